"""Tables of scores and of differences, in Markdown; every number comes from run records.

Every function takes a table of runs (see `ukd.analysis.runs.Runs`), one row a run. Functions on one
group expect runs that may be compared (see `ukd.analysis.grouping.groups`).
"""

from __future__ import annotations

import pandas as pd

from ukd.analysis.comparable import check_one_group
from ukd.analysis.contrasts import against_baseline, mean_over_tasks, seed_scores
from ukd.analysis.grouping import (
    at_chosen_rate,
    explode_extra_splits,
    groups,
    like,
    methods_of,
    metrics_of,
    student_description,
    tasks_of,
    whole,
)
from ukd.analysis.resampling import bootstrap_scores, examples_interval
from ukd.analysis.runs import Runs
from ukd.config.text import markdown_table
from ukd.data.tasks import SYNTHETIC

BASELINE = "kd"
NONE = "-"


def score_cell(scores: pd.Series) -> str:
    """Mean ± sample standard deviation (n); one seed has no spread."""
    if scores.empty:
        return NONE
    if len(scores) == 1:
        return f"{scores.iloc[0]:.1f} (n=1)"
    return f"{scores.mean():.1f} ± {scores.std(ddof=1):.1f} (n={len(scores)})"


def score_table(table: pd.DataFrame) -> str:
    """Method rows, task columns, and with several tasks their average, of one group of runs."""
    check_one_group(table)
    tasks = tasks_of(table)
    counted = [task for task in tasks if whole(task)]
    searched = table["search"].notna().any()
    teacher = table.groupby("task")["teacher_validation"].first()
    rows = [["teacher", *(f"{teacher[task]:.1f}" for task in tasks)]]
    for name in methods_of(table):
        rows.append([name, *(score_cell(seed_scores(table, name, task)) for task in tasks)])
    header = ["validation, %", *(f"{task} ({metrics_of(task, table)})" for task in tasks)]
    if len(counted) > 1:
        header.append("average")
        rows[0].append(f"{teacher[counted].mean():.1f}")
        for row in rows[1:]:
            means = pd.Series([seed_scores(table, row[0], task).mean() for task in counted])
            row.append(NONE if means.isna().any() else f"{means.mean():.1f}")
    if searched:
        header.append("learning rate chosen")
        rows[0].append("")
        for row in rows[1:]:
            row.append(_chosen_rates(table[table["method_name"] == row[0]], counted))
    return markdown_table(header, rows)


def _chosen_rates(runs: pd.DataFrame, tasks: list[str]) -> str:
    """One rate where all tasks have the same, else the rate of each task."""
    rates = runs.groupby("task")["learning_rate"].first()
    words = [f"{rates[task]:g}" if task in rates else NONE for task in tasks]
    known = {word for word in words if word != NONE}
    if len(known) == 1 and len(set(words)) <= 2:
        return known.pop()
    return ", ".join(words)


def difference_table(table: pd.DataFrame, baseline: str = BASELINE) -> str:
    """Paired differences to a baseline: interval, n, and the minimum detectable effect.

    Raises ValueError for runs of several groups, and for a baseline that no run has.
    """
    check_one_group(table)
    _check_baseline(table, baseline)
    tasks = tasks_of(table)
    several = sum(whole(task) for task in tasks) > 1
    rows = []
    for name in methods_of(table):
        if name == baseline:
            continue
        found = [against_baseline(table, name, baseline, task) for task in tasks]
        if several:
            found.append(mean_over_tasks(table, name, baseline, tasks))
        rows.append([name, *(_with_detectable(difference) for difference in found)])
    columns = [*tasks, "all tasks"] if several else tasks
    return markdown_table([f"minus {baseline}, points", *columns], rows)


def _check_baseline(table: pd.DataFrame, baseline: str) -> None:
    names = methods_of(table)
    if baseline not in names:
        raise ValueError(f"no run of the baseline {baseline!r}; choose one of: {', '.join(names)}")


def _with_detectable(difference: object) -> str:
    if difference is None:
        return NONE
    if difference.n < 2:
        return f"{difference.mean:+.1f} (n=1)"
    return (
        f"{difference.mean:+.1f} ± {difference.error:.1f} (n={difference.n}; minimum detectable "
        f"effect {difference.minimum_detectable_effect:.1f})"
    )


def interval_table(runs: Runs, baseline: str = BASELINE) -> str:
    """95% intervals of the differences, over seeds and validation examples together.

    Raises ValueError for runs of several groups, and for a baseline that no run has.
    """
    check_one_group(runs.table)
    _check_baseline(runs.table, baseline)
    table = runs.table.merge(runs.predictions, on="run", how="left")
    tasks = [task for task in tasks_of(table) if task in SYNTHETIC]
    resampled = {}
    for task in tasks:
        resampled |= bootstrap_scores(table[table["task"] == task], task)
    rows = []
    for name in methods_of(table):
        if name == baseline:
            continue
        row = [name]
        for task in tasks:
            here = table[table["task"] == task]
            ours = here[here["method_name"] == name]
            base = here[here["method_name"] == baseline]
            interval = None
            if len(set(ours["seed"]) & set(base["seed"])) > 1:
                interval = examples_interval(ours, base, task, resampled=resampled)
            row.append(f"{interval[0]:+.1f} to {interval[1]:+.1f}" if interval else NONE)
        rows.append(row)
    return markdown_table([f"minus {baseline}, 95% over seeds and examples", *tasks], rows)


def score_tables(runs: Runs) -> str:
    """All tables of these runs, group by group, each under a line that says how they were made.

    Last the methods that are in no table, since runs of their search are missing.
    """
    chosen = at_chosen_rate(runs.table)
    parts = []
    for heading, group in groups(explode_extra_splits(chosen)).items():
        parts += _group_tables(runs, heading, group)
    if undecided := sorted(_pairs(runs.table) - _pairs(chosen)):
        words = ", ".join(f"{name} on {task}" for name, task in undecided)
        parts.append(f"Left out, since runs of their search are missing: {words}.")
    return "\n\n".join(parts)


def _pairs(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["method_name"], table["task"], strict=True))


def _group_tables(runs: Runs, heading: str, group: pd.DataFrame) -> list[str]:
    first = group.iloc[0]
    parts = [f"### Student: {student_description(first)}; {first['precision']}"]
    parts.append(f"{how_made(group, heading)}\n\n{score_table(group)}")
    if BASELINE in set(group["method_name"]):
        parts.append(difference_table(group))
        if group["run"].isin(runs.predictions["run"]).any():
            parts.append(interval_table(runs.only(group)))
    if collapsed := _collapsed(group):
        parts.append(f"Runs that predicted one class for every example: {', '.join(collapsed)}.")
    return parts


def _collapsed(group: pd.DataFrame) -> list[str]:
    runs = group[group["collapsed"].fillna(False).astype(bool)]
    return sorted(f"{row.method_name} on {row.task} (seed {row.seed})" for row in runs.itertuples())


def scores_alone(runs: Runs) -> str:
    """The score table of one group, under a line that says how its runs were made."""
    table = at_chosen_rate(runs.table)
    found = groups(table)
    if len(found) != 1:
        raise ValueError(f"these runs are of {len(found)} configurations: {'; '.join(found)}")
    heading = next(iter(found))
    return f"{how_made(table, heading)}\n\n{score_table(table)}"


def how_made(table: pd.DataFrame, heading: str) -> str:
    """Configuration, on how many examples and steps its scores stand, and by code of which commits.

    Commits are named where there are several: runs of two versions may differ by the code alone.
    """
    sizes = []
    for task in tasks_of(table):
        examples = table[table["task"] == task]["examples"].iloc[0]
        sizes.append(f"{task} {examples['validation']:,}")
    train = [examples["train"] for examples in table["examples"]]
    commits = sorted(set(table["commit"].dropna()))
    code = f" Code of several commits: {', '.join(commits)}." if len(commits) > 1 else ""
    return (
        f"Runs: {heading}. Scored on validation examples: {', '.join(sizes)}. "
        f"A run: {_span(train)} training examples, {_span(table['steps'])} steps.{code}"
    )


def _span(values: list[int] | pd.Series) -> str:
    low = min(values)
    high = max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def compare_with_committed(new: pd.DataFrame, committed: pd.DataFrame) -> str:
    """Fresh means beside the committed ones of the same configuration; "" if there are none.

    Where no committed run has the precision, those of another precision are shown, and named. Runs
    of the same device come first: another kind of CPU rounds otherwise and has another teacher.
    """
    new = at_chosen_rate(new)
    parts = []
    for group in groups(new).values():
        kept = _counterparts(group, at_chosen_rate(committed))
        if kept.empty:
            continue
        rows = []
        for task in tasks_of(group):
            for name in methods_of(group[group["task"] == task]):
                ours = seed_scores(group, name, task)
                theirs = seed_scores(kept, name, task)
                gap = NONE if theirs.empty else f"{ours.mean() - theirs.mean():+.1f}"
                rows.append([task, name, score_cell(ours), score_cell(theirs), gap])
        precisions = ", ".join(sorted(set(kept["precision"])))
        devices = ", ".join(sorted(set(kept["device"])))
        words = student_description(group.iloc[0])
        header = ["task", "method", "this run", "committed", "difference"]
        heading = f"student: {words}; committed runs in {precisions} on {devices}"
        parts.append(f"{heading}\n\n{markdown_table(header, rows)}")
    return "\n\n".join(parts)


def _counterparts(group: pd.DataFrame, committed: pd.DataFrame) -> pd.DataFrame:
    """Committed runs like those of a group, method by method: each may have a rate of its own."""
    parts = [committed.iloc[:0]]
    for name in methods_of(group):
        ours = group[group["method_name"] == name]
        theirs = committed[committed["method_name"] == name]
        parts.append(like(ours, theirs[theirs["task"].isin(set(ours["task"]))]))
    found = pd.concat(parts).drop_duplicates("run")
    same_device = found["device"].isin(set(group["device"]))
    return found[same_device] if same_device.any() else found
