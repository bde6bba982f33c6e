"""Differences between methods that differ by one thing, paired by seed."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ukd.analysis.comparable import check_one_group, newest
from ukd.analysis.grouping import tasks_of, whole
from ukd.analysis.statistics import Difference, paired_difference
from ukd.config.text import markdown_table

# The question, and the two methods that differ by it (by it alone where nothing else is said).
CONTRASTS = (
    ("Does the intermediate loss help?", "universal-kd", "kd-two-stage"),
    (
        "A smaller weight of the intermediate loss?",
        "universal-kd (intermediate_weight=0.1)",
        "universal-kd",
    ),
    (
        "That weight falling epoch by epoch?",
        "universal-kd (intermediate_decay=True)",
        "universal-kd",
    ),
    ("Without the student's lower layers?", "universal-kd (student_layers=upper)", "universal-kd"),
    ("A shorter first stage?", "universal-kd (teacher_stage=0.33)", "universal-kd"),
    ("Attention or uniform weights?", "universal-kd", "uniform"),
    ("Does the student ask, or the teacher?", "universal-kd", "teacher-query"),
    ("The teacher's query or uniform weights?", "teacher-query", "uniform"),
    ("Attention or fixed pairs read backwards?", "universal-kd", "reverse"),
    ("Attention or the deepest teacher head for all?", "universal-kd", "deepest"),
    ("Attention or the teacher's last layer for all?", "universal-kd", "final"),
    ("Does the order of layers matter in the hidden space?", "pkd-skip", "hidden-reverse"),
    ("Skip or uniform weights in the hidden space?", "pkd-skip", "hidden-uniform"),
    ("Output or hidden space (fixed pairs, one stage)?", "mhkd", "pkd-skip"),
    (
        "Output or hidden space (as published: other stages, other map)?",
        "universal-kd",
        "pkd-skip",
    ),
    ("Attention or fixed pairs (one stage)?", "universal-kd (stages=one)", "mhkd"),
    ("Two stages or one?", "universal-kd", "universal-kd (stages=one)"),
    ("Two stages or one in the hidden space?", "pkd-skip (stages=two)", "pkd-skip"),
    ("Two stages or one without an intermediate loss?", "kd-two-stage", "kd"),
    ("Attention on logits or on losses?", "universal-kd", "universal-kd-losses"),
    (
        "Does the teacher's last layer among the keys help?",
        "universal-kd (teacher_layers=all)",
        "universal-kd",
    ),
    (
        "Does a gradient through the attention help?",
        "universal-kd (detach_attention=False)",
        "universal-kd",
    ),
    ("Does Universal-KD add to PKD?", "pkd+universal-kd", "pkd-skip (stages=two)"),
)


class Contrast(NamedTuple):
    """question; method minus other; the differences by task, and their mean over all tasks."""

    question: str
    method: str
    other: str
    by_task: dict[str, Difference]
    over_tasks: Difference | None

    @property
    def name(self) -> str:
        """What is subtracted from what."""
        return f"{self.method} minus {self.other}"


def seed_scores(
    table: pd.DataFrame, method: str, task: str, split: str = "validation"
) -> pd.Series:
    """Mean metric in percent by seed; of two runs with one seed the newer counts.

    Raises ValueError for runs of several budgets, students, teachers or rates.
    """
    runs = table[(table["method_name"] == method) & (table["task"] == task)]
    check_one_group(runs)
    return newest(runs).set_index("seed")[split].sort_index()


def against_baseline(
    table: pd.DataFrame, method: str, baseline: str, task: str
) -> Difference | None:
    """The difference over the seeds that both have; None without any.

    Raises ValueError for two methods whose runs may not stand in one table.
    """
    check_one_group(table[table["method_name"].isin([method, baseline]) & (table["task"] == task)])
    pairs = pd.concat(
        [seed_scores(table, method, task), seed_scores(table, baseline, task)],
        axis=1,
        join="inner",
    )
    if pairs.empty:
        return None
    return paired_difference(pairs.iloc[:, 0].tolist(), pairs.iloc[:, 1].tolist())


def mean_over_tasks(
    table: pd.DataFrame, method: str, baseline: str, tasks: list[str]
) -> Difference | None:
    """The difference of the means over tasks, one value a seed, so that tasks are no repeats.

    None unless both have all tasks: means over different tasks are no comparison. A further split
    of a task counts in no mean. Raises ValueError for runs that may not stand in one table.
    """
    counted = [task for task in tasks if whole(task)]
    compared = table["method_name"].isin([method, baseline]) & table["task"].isin(counted)
    check_one_group(table[compared])
    sides = []
    for name in (method, baseline):
        scores = [seed_scores(table, name, task) for task in counted]
        if not scores or any(series.empty for series in scores):
            return None
        sides.append(pd.concat(scores, axis=1, join="inner").mean(axis=1))
    pairs = pd.concat(sides, axis=1, join="inner")
    if pairs.empty:
        return None
    return paired_difference(pairs.iloc[:, 0].tolist(), pairs.iloc[:, 1].tolist())


def contrasts(table: pd.DataFrame) -> list[Contrast]:
    """The contrasts that a group of runs has both methods of.

    Raises ValueError for runs of several configurations, whose differences would be of budgets too.
    """
    configurations = sorted(set(table["config_key"]))
    if len(configurations) > 1:
        raise ValueError(
            f"these runs are of {len(configurations)} configurations: compare one group at a time "
            f"(see `groups`): {'; '.join(configurations)}"
        )
    check_one_group(table)
    tasks = [task for task in tasks_of(table) if whole(task)]
    found = []
    for question, method, other in CONTRASTS:
        by_task = {}
        for task in tasks:
            difference = against_baseline(table, method, other, task)
            if difference is not None:
                by_task[task] = difference
        if by_task:
            over_tasks = mean_over_tasks(table, method, other, tasks)
            found.append(Contrast(question, method, other, by_task, over_tasks))
    return found


def contrast_table(table: pd.DataFrame) -> str:
    """Contrasts with 95% confidence intervals over seeds; last the mean over all tasks."""
    found = contrasts(table)
    present = set()
    for contrast in found:
        present |= set(contrast.by_task)
    tasks = [task for task in tasks_of(table) if task in present]
    rows = []
    for contrast in found:
        cells = [str(contrast.by_task.get(task, "-")) for task in tasks]
        if len(tasks) > 1:
            over_tasks = mean_over_tasks(table, contrast.method, contrast.other, tasks)
            cells.append(str(over_tasks or "-"))
        rows.append([contrast.question, contrast.name, *cells])
    columns = [*tasks, "all of them"] if len(tasks) > 1 else tasks
    header = ["question", "difference", *(f"{name}, 95% over seeds" for name in columns)]
    return markdown_table(header, rows)
