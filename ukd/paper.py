"""The paper's numbers beside ours: differences between methods, since scores on other data are no comparison."""

from __future__ import annotations

import csv
from statistics import mean

from ukd.config import data_folder
from ukd.data import SPECS
from ukd.grouping import decided, setting, students
from ukd.results import Difference, cells, markdown, spread, with_interval
from ukd.students import STUDENTS

VERDICTS = ("match", "close", "differs", "inconclusive", "not run")


def claims() -> list[dict]:
    """The paper's claims as far as they are known, with their source; `difference` may be a number or ">0"."""
    with (data_folder() / "paper.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def verdict(papers: str, found: Difference | None, level: float = 0.95) -> str:
    """How far our difference compares with the paper's, by the interval of ours over seeds. A higher number is judged as a lower one.

    papers: a difference in points, or ">0" where only the sign is known. match: the interval holds the paper's number and not
    zero (of a paper's zero: it lies within one point of it); close: the same sign, another size; inconclusive: it holds
    both, or what it excludes says nothing; differs: it excludes the paper's number, or its sign is the other one.
    """
    if found is None or found.n < 2:
        return "not run"
    low, high = found.interval(level)
    if papers.startswith(">"):
        return "match" if low > 0 else "differs" if high < 0 else "inconclusive"
    aim = float(papers)
    if aim == 0:
        return "match" if low >= -1 and high <= 1 else "inconclusive" if low <= 0 <= high else "differs"
    if low <= aim <= high:
        return "inconclusive" if low <= 0 <= high else "match"
    return "close" if (low > 0) == (aim > 0) and not low <= 0 <= high else "differs"


def against(records: list[dict], ours: list[str], theirs: list[str]) -> tuple[str, str, Difference, list[str]] | None:
    """The best of our methods against the best of the others, each by its mean over the tasks that all have; None if one side is missing.

    The best are chosen by the development part, since what is chosen by the numbers that are compared is flattered by them. One value
    a seed, the mean over those tasks, which come last. Records of one setting.
    """
    found, on_dev = cells(records), cells(records, "dev")
    there = {method for method, _ in found}
    sides = [[label for name in names if (label := _as_run(name, there))] for names in (ours, theirs)]
    if not all(sides):
        return None
    here = [name for side in sides for name in side]
    tasks = [task for task in SPECS if all((name, task) in found for name in here)]
    seeds = sorted(set.intersection(*(set(found[name, task].by_seed) for name in here for task in tasks))) if tasks else []
    if not seeds:
        return None
    average = lambda name, seed, of=found: mean(of[name, task].by_seed[seed] for task in tasks)  # noqa: E731
    best = lambda names: max(names, key=lambda name: mean(average(name, seed, on_dev) for seed in seeds))  # noqa: E731
    one, other = best(sides[0]), best(sides[1])
    return one, other, spread([average(one, seed) - average(other, seed) for seed in seeds]), tasks


def _as_run(name: str, labels: set[str]) -> str | None:
    """How a method is called among the labels: by its name, or with the gradient through the attention, of which the paper says nothing."""
    return next((label for label in (name, *(f"{name} (attention_grad={flag})" for flag in (False, True))) if label in labels), None)


def fits(scenario: str, record: dict) -> bool:
    """Whether a record belongs to a scenario: by what its student is."""
    said = record["settings"]
    if scenario in ("bilstm", "gated-cnn"):
        return said["student"] == scenario
    if said["student"] in STUDENTS:
        return False
    if said["student_layers"] is None:  # an encoder of its own: what counts is how large it is
        share = record["student_parameters"] / record["teacher"]["parameters"]
    else:
        share = said["student_layers"] / record["teacher"]["layers"]
    return share < 0.3 if scenario == "capacity-gap" else share >= 0.3


def paper_table(sets: dict[str, list[dict]]) -> str:
    """Claim, the paper's difference, ours on every set of records that has both methods, and how far they compare."""
    rows = []
    for claim in claims():
        found = list(_ours(claim, sets))
        paper = claim["difference"] if claim["difference"].startswith(">") else f"{float(claim['difference']):+.1f}"
        if claim["paper"]:
            paper += f" ({claim['paper']} against {claim['paper_against']})"
        said = f"{claim['claim']} (table {claim['table']}; {claim['what']})"
        for number, (name, what, difference) in enumerate(found or [("-", "-", None)]):
            shown = with_interval(difference) if difference else "-"
            could = f"{difference.detectable:.1f}" if difference and difference.n > 1 else "-"
            first = [said, f"{paper}, {claim['source']} source"] if not number else ["", ""]
            rows.append([*first, name, what, shown, could, verdict(claim["difference"], difference)])
    ours = ["our data", "what stands against what", "ours, 95% over seeds", "could have shown"]
    header = ["the paper's claim", "the paper's difference", *ours, "verdict"]
    return markdown(header, rows)


def _ours(claim: dict, sets: dict[str, list[dict]]):
    for name, records in sets.items():
        mine = decided([r for r in records if "teacher" in r and fits(claim["scenario"], r)])
        for one in sorted({setting(record) for record in mine}):
            chosen = [record for record in mine if setting(record) == one]
            if made := against(chosen, claim["ours"].split("|"), claim["against"].split("|")):
                said = chosen[0]["settings"]
                where = f"{name}: {', '.join(made[3])}; student: {students(said)}; {said['precision']}"
                yield where, f"{made[0]} minus {made[1]}", made[2]
