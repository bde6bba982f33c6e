"""The paper's differences between methods beside ours; scores on other data are no comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from ukd.analysis.contrasts import seed_scores
from ukd.analysis.grouping import at_chosen_rate, groups, student_description, tasks_of, whole
from ukd.analysis.runs import Runs
from ukd.analysis.statistics import Difference, paired_difference
from ukd.config.paths import data_folder
from ukd.config.text import markdown_table
from ukd.models.students import STUDENTS

SMALL_SHARE = 0.3  # of the teacher's size: below it a student stands for the capacity gap
NEAR_ZERO = 1.0  # points within which our interval matches a difference of zero


class _Comparison(NamedTuple):
    """Where our runs are from, which methods, and their difference."""

    where: str
    methods: str
    difference: Difference


def paper_claims() -> list[dict]:
    """The paper's claims as far as they are known, with their source.

    `difference` is a number in points, or ">0" where only the sign is known.
    """
    claims = pd.read_csv(data_folder() / "paper.csv", dtype=str, keep_default_na=False)
    return claims.to_dict("records")


def verdict(claimed: str, found: Difference | None) -> str:
    """How far our difference compares with the paper's, by our 95% interval over seeds.

    - match: the interval holds the paper's number and not zero; of a paper's zero, it lies within
      one point of it.
    - same sign: the interval excludes zero on the paper's side, and the paper's number.
    - inconclusive: it holds zero and the paper's number; where the paper names a sign alone, or
      zero, it holds zero.
    - differs: everything else.
    - one seed: no interval. not run: no seed.

    A higher number is judged as a lower one.
    """
    if found is None:
        return "not run"
    if found.n < 2:
        return "one seed"
    holds_zero = found.low <= 0 <= found.high
    if claimed.startswith(">"):
        if holds_zero:
            return "inconclusive"
        return "match" if found.low > 0 else "differs"
    aim = float(claimed)
    if aim == 0:
        if found.low >= -NEAR_ZERO and found.high <= NEAR_ZERO:
            return "match"
        return "inconclusive" if holds_zero else "differs"
    if found.low <= aim <= found.high:
        return "inconclusive" if holds_zero else "match"
    same_sign = not holds_zero and (found.low > 0) == (aim > 0)
    return "same sign" if same_sign else "differs"


def best_vs_best(
    table: pd.DataFrame, ours: list[str], theirs: list[str]
) -> tuple[str, str, Difference, list[str]] | None:
    """Our best method minus the best of the others, on the tasks that all of them have.

    Each side's best is chosen on the dev split, to avoid selection bias. One value a seed: the mean
    over those tasks, which come last. None if one side is missing.
    """
    present = set(table["method_name"])
    sides = [_present(names, present) for names in (ours, theirs)]
    if not all(sides):
        return None
    names = [*sides[0], *sides[1]]
    tasks = []
    for task in tasks_of(table):
        if whole(task) and all(len(seed_scores(table, name, task)) for name in names):
            tasks.append(task)
    if not tasks:
        return None
    dev = _means(table, names, tasks, "dev")
    validation = _means(table, names, tasks, "validation")
    if dev.empty:
        return None
    one, other = (dev[side].mean().idxmax() for side in sides)
    difference = paired_difference(validation[one].tolist(), validation[other].tolist())
    return one, other, difference, tasks


def _present(names: list[str], present: set[str]) -> list[str]:
    """The methods among those present; one with the gradient through the attention stands in."""
    found = []
    for name in names:
        for variant in (name, f"{name} (detach_attention=False)"):
            if variant in present:
                found.append(variant)
                break
    return found


def _means(table: pd.DataFrame, names: list[str], tasks: list[str], split: str) -> pd.DataFrame:
    """The mean over tasks by seed (rows, those that all have) and method (columns)."""
    columns = {}
    for name in names:
        scores = [seed_scores(table, name, task, split) for task in tasks]
        columns[name] = pd.concat(scores, axis=1, join="inner").mean(axis=1)
    return pd.concat(columns, axis=1, join="inner")


def matches_scenario(scenario: str, row: pd.Series) -> bool:
    """Whether a run belongs to one of the paper's scenarios, by what its student is."""
    if scenario in STUDENTS:
        return row["student"] == scenario
    if row["student"] in STUDENTS:
        return False
    if pd.isna(row["student_depth"]):  # an encoder of its own: its size counts
        share = row["student_parameters"] / row["teacher_parameters"]
    else:
        share = row["student_depth"] / row["teacher_layers"]
    small = share < SMALL_SHARE
    return small if scenario == "capacity-gap" else not small


def paper_table(runs: Runs) -> str:
    """Claim, the paper's difference, ours on every set of runs that has both methods, verdict."""
    rows = []
    for claim in paper_claims():
        found = list(_comparisons(claim, runs)) or [None]
        for number, comparison in enumerate(found):
            first = _claim_cells(claim) if number == 0 else ["", ""]
            rows.append([*first, *_comparison_cells(comparison, claim["difference"])])
    header = [
        "the paper's claim",
        "the paper's difference",
        "our data",
        "methods",
        "ours, 95% over seeds",
        "minimum detectable effect",
        "verdict",
    ]
    return markdown_table(header, rows)


def _claim_cells(claim: dict) -> list[str]:
    difference = claim["difference"]
    if not difference.startswith(">"):
        difference = f"{float(difference):+.1f}"
    if claim["paper"]:
        difference += f" ({claim['paper']} against {claim['paper_against']})"
    place, source = claim["table"], claim["source"]
    if source == "secondary":
        place, source = f"table {place}", "secondary source"
    return [f"{claim['claim']} ({place}; {claim['what']})", f"{difference}, {source}"]


def _comparison_cells(comparison: _Comparison | None, claimed: str) -> list[str]:
    if comparison is None:
        return ["-", "-", "-", "-", verdict(claimed, None)]
    difference = comparison.difference
    effect = f"{difference.minimum_detectable_effect:.1f}" if difference.n > 1 else "-"
    result = verdict(claimed, difference)
    return [comparison.where, comparison.methods, str(difference), effect, result]


def _comparisons(claim: dict, runs: Runs) -> Iterator[_Comparison]:
    """Our difference on every group of runs that has both sides of a claim; real text first."""
    for name in sorted(runs.sets, key=lambda name: name.startswith("synthetic")):
        table = at_chosen_rate(runs.table[runs.table["set"] == name])
        fitting = [matches_scenario(claim["scenario"], row) for _, row in table.iterrows()]
        for group in groups(table[fitting]).values():
            found = best_vs_best(group, claim["ours"].split("|"), claim["against"].split("|"))
            if found is None:
                continue
            one, other, difference, tasks = found
            first = group.iloc[0]
            student = student_description(first)
            where = f"{name}: {', '.join(tasks)}; student: {student}; {first['precision']}"
            yield _Comparison(where, f"{one} minus {other}", difference)
