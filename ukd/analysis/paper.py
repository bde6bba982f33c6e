"""The paper's differences between methods beside ours; scores on other data can't be compared."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping

import pandas as pd

from ukd.analysis.grouping import at_chosen_rate, groups, student_description
from ukd.analysis.runs import Runs
from ukd.analysis.statistics import PairedDifference, paired_difference
from ukd.analysis.tables import markdown, scores_by_seed
from ukd.config import data_folder
from ukd.data import SPECS
from ukd.students import STUDENTS

VERDICTS = ("match", "close", "differs", "inconclusive", "not run")
DEEP_ENOUGH = 0.3  # of the teacher's layers or parameters: below it there is a capacity gap


def claims() -> list[dict[str, str]]:
    """The paper's claims as far as they are known, with their source.

    difference: a number of points, or ">0" where only the sign is known.
    """
    with (data_folder() / "paper.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def verdict(papers: str, ours: PairedDifference | None) -> str:
    """How our difference compares with the paper's, by the 95% interval of ours over seeds.

    match: the interval holds the paper's number and excludes zero; if the paper's number is zero,
    it lies within one point of it. close: the sign of the paper's, another size. differs: it
    excludes the paper's number, or has the other sign. inconclusive: anything else. not run: fewer
    than two pairs.
    """
    if ours is None or ours.n < 2:
        return "not run"
    holds_zero = not ours.significant
    if papers.startswith(">"):
        sign = "match" if ours.low > 0 else "differs"
        return "inconclusive" if holds_zero else sign
    aim = float(papers)
    if aim == 0:
        near = ours.low >= -1 and ours.high <= 1
        away = "inconclusive" if holds_zero else "differs"
        return "match" if near else away
    if ours.low <= aim <= ours.high:
        return "inconclusive" if holds_zero else "match"
    return "close" if not holds_zero and (ours.low > 0) == (aim > 0) else "differs"


def best_vs_best(
    table: pd.DataFrame, ours: list[str], theirs: list[str]
) -> tuple[str, str, PairedDifference, list[str]] | None:
    """Our best method against the best of the others, by the mean over the tasks that all have.

    Each side's best method is chosen on the dev split, to avoid selection bias.

    Args:
        table: runs of one group.

    Returns: both methods, their difference (one pair a seed) and the tasks; None where one side has
        no runs, or no task or seed is shared by all.
    """
    names = set(table["method_name"])
    sides = [[run for name in side if (run := _as_run(name, names))] for side in (ours, theirs)]
    if not all(sides):
        return None
    methods = [*sides[0], *sides[1]]
    scores = scores_by_seed(table)
    tasks = [task for task in SPECS if all((name, task) in scores for name in methods)]
    columns = [(name, task) for name in methods for task in tasks]
    complete = scores[columns].dropna()
    if complete.empty:
        return None
    dev = scores_by_seed(table, "dev").loc[complete.index, columns]
    best = [max(side, key=lambda name: dev[name].mean(axis=1).mean()) for side in sides]
    found = paired_difference(complete[best[0]].mean(axis=1), complete[best[1]].mean(axis=1))
    return best[0], best[1], found, tasks


def _as_run(name: str, names: set[str]) -> str | None:
    """A method's full name among these; the paper is silent on detaching the attention."""
    variants = [f"{name} (detach_attention={flag})" for flag in (True, False)]
    return next((one for one in (name, *variants) if one in names), None)


def matches_scenario(scenario: str, row: Mapping) -> bool:
    """Whether a run belongs to a scenario of the paper, by what its student is."""
    if scenario in STUDENTS:
        return row["student"] == scenario
    if row["student"] in STUDENTS:
        return False
    if row["student_depth"] is None:  # an encoder of its own: what counts is how large it is
        share = row["student_parameters"] / row["teacher_parameters"]
    else:
        share = row["student_depth"] / row["teacher_layers"]
    return share < DEEP_ENOUGH if scenario == "capacity-gap" else share >= DEEP_ENOUGH


def paper_table(runs: Runs) -> str:
    """Each claim of the paper, our difference in every group of runs, and a verdict."""
    rows = []
    for claim in claims():
        papers = claim["difference"]
        if not papers.startswith(">"):
            papers = f"{float(papers):+.1f}"
        if claim["paper"]:
            papers += f" ({claim['paper']} against {claim['paper_against']})"
        words = f"{claim['claim']} (table {claim['table']}; {claim['what']})"
        start = [words, f"{papers}, {claim['source']} source"]
        for where, methods, found in _ours(claim, runs) or [("-", "-", None)]:
            interval = found.with_interval if found else "-"
            several = found is not None and found.n > 1
            effect = f"{found.minimum_detectable_effect:.1f}" if several else "-"
            judged = verdict(claim["difference"], found)
            rows.append([*start, where, methods, interval, effect, judged])
            start = ["", ""]
    ours = ["our data", "difference", "ours, 95% over seeds", "MDE"]
    header = ["the paper's claim", "the paper's difference", *ours, "verdict"]
    return markdown(header, rows)


def _ours(claim: dict[str, str], runs: Runs) -> list[tuple[str, str, PairedDifference]]:
    """Our differences for a claim, one for every set and group of runs that has both methods."""
    found = []
    for name, chosen in _by_set(claim["scenario"], runs):
        for group in groups(chosen).values():
            best = best_vs_best(group, claim["ours"].split("|"), claim["against"].split("|"))
            if best is not None:
                method, other, gap, tasks = best
                row = group.iloc[0]
                student = f"student: {student_description(row)}; {row['precision']}"
                where = f"{name}: {', '.join(tasks)}; {student}"
                found.append((where, f"{method} minus {other}", gap))
    return found


def _by_set(scenario: str, runs: Runs) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, table in runs.table.groupby("set", sort=True):
        mask = [matches_scenario(scenario, row) for row in table.to_dict("records")]
        if any(mask):
            yield name, at_chosen_rate(table[mask])
