"""Tables of runs in Markdown: scores, differences to vanilla KD, contrasts, intervals.

Scores are percentages: mean, sample standard deviation and n over seeds. Every table is of runs of
one group (see `ukd.analysis.grouping.groups`): one configuration, one teacher a task.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ukd.analysis.grouping import (
    at_chosen_rate,
    check_one_group,
    explode_extra_splits,
    groups,
    like,
    methods_of,
    metrics_of,
    ordered,
    student_description,
    tasks_of,
    whole,
)
from ukd.analysis.resampling import bootstrap_scores, seed_and_example_interval
from ukd.analysis.runs import Runs, as_runs
from ukd.analysis.statistics import PairedDifference, paired_difference
from ukd.data import SPECS
from ukd.training.run_record import RunRecord

BASELINE = "kd"
AnyRuns = Runs | Iterable[RunRecord]

# A question, and the two methods that differ by it alone where nothing else is said.
CONTRASTS = (
    ("Does the intermediate loss help?", "universal-kd", "kd-two-stage"),
    ("Attention or uniform weights?", "universal-kd", "uniform"),
    ("Attention or fixed pairs in reverse order?", "universal-kd", "reverse"),
    ("Does the order of the layers matter in the hidden space?", "pkd-skip", "hidden-reverse"),
    ("... or uniform weights there?", "pkd-skip", "hidden-uniform"),
    ("Output space or hidden space, fixed pairs, one stage?", "mhkd", "pkd-skip"),
    ("Output or hidden space, as published (other stages and map)?", "universal-kd", "pkd-skip"),
    ("Attention or fixed pairs, one stage?", "universal-kd (stages=one)", "mhkd"),
    ("Two stages or one?", "universal-kd", "universal-kd (stages=one)"),
    ("... in the hidden space?", "pkd-skip (stages=two)", "pkd-skip"),
    ("... without an intermediate loss?", "kd-two-stage", "kd"),
    ("Attention on logits or on losses?", "universal-kd", "universal-kd-losses"),
    (
        "Attend to the teacher's last layer too?",
        "universal-kd (teacher_layers=all)",
        "universal-kd",
    ),
    ("A gradient through the attention?", "universal-kd (detach_attention=False)", "universal-kd"),
    ("Does Universal-KD add to PKD?", "pkd+universal-kd", "pkd-skip (stages=two)"),
)


def scores_by_seed(table: pd.DataFrame, split: str = "validation") -> pd.DataFrame:
    """Scores in percent: a row a seed, a column a (method_name, task), nan where there is no run.

    Of several runs for one seed the newest counts.

    Raises: ValueError for runs of two teachers, two sets of data or two precisions of one task.
    """
    check_one_group(table)
    keys = ["seed", "method_name", "task"]
    newest = table.sort_values("made", kind="stable").drop_duplicates(keys, keep="last")
    return newest.pivot(index="seed", columns=["method_name", "task"], values=split)


def mean_and_deviation(scores: pd.Series) -> str:
    """ "82.0 ± 2.0 (n=3)": mean, sample standard deviation and n; one seed shows no deviation."""
    scores = scores.dropna()
    if len(scores) < 2:
        return f"{scores.iloc[0]:.1f} (n=1)" if len(scores) else "-"
    return f"{scores.mean():.1f} ± {scores.std():.1f} (n={len(scores)})"


def difference(
    scores: pd.DataFrame, method: str, baseline: str, task: str
) -> PairedDifference | None:
    """The difference of two methods over the seeds that both have; None where they share none."""
    if (method, task) not in scores or (baseline, task) not in scores:
        return None
    pairs = scores[[(method, task), (baseline, task)]].dropna()
    return paired_difference(*pairs.to_numpy().T) if len(pairs) else None


def difference_over_tasks(
    scores: pd.DataFrame, method: str, tasks: list[str], baseline: str = BASELINE
) -> PairedDifference | None:
    """The difference of the means over tasks: one pair a seed, since tasks are no repeats.

    None unless both methods have all tasks: averages over different tasks can't be compared.
    """
    counted = [task for task in tasks if whole(task)]
    columns = [(name, task) for name in (method, baseline) for task in counted]
    if not counted or any(column not in scores for column in columns):
        return None
    complete = scores[columns].dropna()
    if complete.empty:
        return None
    return paired_difference(complete[method].mean(axis=1), complete[baseline].mean(axis=1))


def score_table(runs: AnyRuns) -> str:
    """Methods as rows, tasks as columns, then their average and the learning rate chosen."""
    table = as_runs(runs).table
    scores = scores_by_seed(table)
    tasks = tasks_of(table)
    counted = [task for task in tasks if whole(task)]
    teacher = table.groupby("task")["teacher_validation"].last()
    average = f"{np.mean([teacher[task] for task in counted]):.1f}"
    rows = [["teacher", *(f"{teacher[task]:.1f}" for task in tasks), average]]
    for method in methods_of(table):
        mean = scores[method].mean().reindex(counted)
        average = f"{mean.mean():.1f}" if mean.notna().all() else "-"
        rows.append([method, *_cells(scores, method, tasks), average])
    header = [
        "validation, %",
        *(f"{task} ({metrics_of(task, table)})" for task in tasks),
        "average",
    ]
    if table["search"].notna().any():
        header.append("learning rate")
        rows[0].append("")
        for row in rows[1:]:
            row.append(_chosen_rates(table[table["method_name"] == row[0]], counted))
    return markdown(header, rows)


def _cells(scores: pd.DataFrame, method: str, tasks: list[str]) -> list[str]:
    found = []
    for task in tasks:
        there = (method, task) in scores
        found.append(mean_and_deviation(scores[method, task]) if there else "-")
    return found


def _chosen_rates(table: pd.DataFrame, tasks: list[str]) -> str:
    """The learning rates of one method's runs: one where all tasks share it, else one a task."""
    chosen = table.groupby("task")["learning_rate"].last()
    if chosen.nunique() == 1:
        return f"{chosen.iloc[0]:g}"
    rates = [f"{chosen[task]:g}" if task in chosen else "-" for task in tasks]
    return rates[0] if len(set(rates)) == 1 else ", ".join(rates)


def difference_table(runs: AnyRuns) -> str:
    """Each method's paired difference to vanilla KD, by task and over all tasks together."""
    table = as_runs(runs).table
    scores = scores_by_seed(table)
    tasks = tasks_of(table)
    rows = []
    for method in methods_of(table):
        if method != BASELINE:
            found = [difference(scores, method, BASELINE, task) for task in tasks]
            found.append(difference_over_tasks(scores, method, tasks))
            rows.append([method, *(str(one or "-") for one in found)])
    return markdown([f"minus {BASELINE}, points", *tasks, "all tasks"], rows)


def contrasts(table: pd.DataFrame) -> list[tuple[str, str, str, dict[str, PairedDifference]]]:
    """For each of `CONTRASTS` that the runs allow: question, both methods, differences by task."""
    scores = scores_by_seed(table)
    found = []
    for question, method, other in CONTRASTS:
        by_task = {}
        for task in tasks_of(table):
            one = difference(scores, method, other, task) if whole(task) else None
            if one is not None:
                by_task[task] = one
        if by_task:
            found.append((question, method, other, by_task))
    return found


def contrast_table(runs: AnyRuns) -> str:
    """Differences between methods that differ by one thing, with 95% intervals over seeds."""
    table = as_runs(runs).table
    scores = scores_by_seed(table)
    found = contrasts(table)
    tasks = ordered({task for *_, by_task in found for task in by_task}, SPECS)
    several = len(tasks) > 1
    rows = []
    for question, method, other, by_task in found:
        cells = [by_task.get(task) for task in tasks]
        if several:
            cells.append(difference_over_tasks(scores, method, tasks, other))
        words = [cell.with_interval if cell else "-" for cell in cells]
        rows.append([question, f"{method} minus {other}", *words])
    columns = [*tasks, "all tasks"] if several else tasks
    intervals = [f"{name}, 95% over seeds" for name in columns]
    return markdown(["question", "difference", *intervals], rows)


def interval_table(runs: AnyRuns) -> str:
    """95% intervals of the differences to vanilla KD over seeds and validation examples together.

    For the tasks whose predictions are kept; see `seed_and_example_interval`.
    """
    runs = as_runs(runs)
    table = runs.table.merge(runs.predictions, on="run", how="left").sort_values("made")
    check_one_group(table)
    tasks = tasks_of(table[table["predictions"].notna()])
    resampled = {}
    for task in tasks:
        resampled |= bootstrap_scores(table[table["task"] == task])
    rows = []
    for method in methods_of(table):
        if method == BASELINE:
            continue
        cells = []
        for task in tasks:
            here = table[table["task"] == task]
            ours = here[here["method_name"] == method]
            theirs = here[here["method_name"] == BASELINE]
            several = len(set(ours["seed"]) & set(theirs["seed"])) > 1
            ends = seed_and_example_interval(ours, theirs, resampled) if several else None
            cells.append(f"{ends[0]:+.1f} to {ends[1]:+.1f}" if ends else "-")
        rows.append([method, *cells])
    return markdown([f"minus {BASELINE}, 95% over seeds and examples", *tasks], rows)


def compare_with_committed(new: AnyRuns, committed: AnyRuns) -> str:
    """Fresh means beside the committed ones of the same configuration, with their difference.

    Another precision is named. "" where there are no such committed runs.
    """
    fresh = at_chosen_rate(as_runs(new).table)
    known = as_runs(committed).table.drop_duplicates("run")
    parts = []
    for runs in groups(fresh).values():
        matches = []
        for method in sorted(set(runs["method_name"])):  # in a search each may have another rate
            ours = runs[runs["method_name"] == method]
            matches.append(like(ours, known[known["method_name"] == method]))
        theirs = pd.concat(matches)
        if theirs.empty:
            continue
        precision = ", ".join(sorted(set(theirs["precision"])))
        student = student_description(runs.iloc[0])
        header = ["task", "method", "this run", "committed", "difference"]
        rows = markdown(header, _rows_beside(runs, theirs))
        parts.append(f"student: {student}; committed runs in {precision}\n\n{rows}")
    return "\n\n".join(parts)


def _rows_beside(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[list[str]]:
    rows = []
    for task in tasks_of(ours):
        fresh, known = ours[ours["task"] == task], theirs[theirs["task"] == task]
        for method in sorted(set(fresh["method_name"])):
            scores = fresh[fresh["method_name"] == method]
            kept = known[known["method_name"] == method]
            for name in sorted(set(kept["teacher"])) or [None]:
                row = [task, method, mean_and_deviation(_newest(scores))]
                committed = _newest(kept[kept["teacher"] == name])
                gap = f"{_newest(scores).mean() - committed.mean():+.1f}" if name else "-"
                rows.append([*row, mean_and_deviation(committed), gap])
    return rows


def _newest(runs: pd.DataFrame) -> pd.Series:
    newest = runs.sort_values("made", kind="stable").drop_duplicates("seed", keep="last")
    return newest["validation"]


def all_tables(runs: AnyRuns) -> str:
    """Scores, differences and intervals of every group of the runs, each under a heading."""
    runs = as_runs(runs)
    table = explode_extra_splits(at_chosen_rate(runs.table))
    parts = []
    for heading, chosen in groups(table).items():
        row = chosen.iloc[0]
        group = runs.only(chosen)
        parts.append(f"### Student: {student_description(row)}; {row['precision']}")
        parts += [described_scores(group, heading), difference_table(group)]
        if runs.predictions["run"].isin(chosen["run"]).any():
            parts.append(interval_table(group))
        collapsed = chosen[chosen["collapsed"].fillna(False).astype(bool)]
        if len(collapsed):
            names = collapsed.apply("{0.method_name} on {0.task} (seed {0.seed})".format, axis=1)
            parts.append(
                f"Runs that predict one class for every example: {', '.join(sorted(names))}."
            )
    return "\n\n".join(parts)


def described_scores(runs: AnyRuns, heading: str | None = None) -> str:
    """The score table of one group, under a line that says how its runs were made and scored."""
    runs = as_runs(runs)
    table = runs.table
    sizes = []
    for task in tasks_of(table):
        examples = table[table["task"] == task]["examples"].iloc[0]
        sizes.append(f"{task} {examples['validation']:,}")
    train = _span([examples["train"] for examples in table["examples"]])
    line = (
        f"Runs: {heading or table['config_key'].iloc[0]}. "
        f"Validation examples: {', '.join(sizes)}. "
        f"A run: {train} training examples, {_span(table['steps'])} steps."
    )
    return f"{line}\n\n{score_table(runs)}"


def _span(values: Iterable[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table with aligned columns."""
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(f"| {' | '.join(padded)} |")
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    return "\n".join(lines)
