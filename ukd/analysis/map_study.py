"""Which layer map? Ten seeds and the development part choose one, ten fresh seeds confirm it.

Then that map and the paper's, on every student that had both or a control.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ukd.analysis.by_student import (
    ByStudent,
    Pair,
    by_student_figure,
    by_student_table,
    differences_by_student,
)
from ukd.analysis.comparable import check_one_group
from ukd.analysis.contrasts import against_baseline, seed_scores
from ukd.analysis.difference_figures import short_name
from ukd.analysis.grouping import methods_of, tasks_of
from ukd.analysis.map_figures import ATTENTION
from ukd.analysis.runs import MAP_STUDY, MAP_STUDY_CNN, REAL, REAL_OTHER, REAL_SST2, TERM, Runs
from ukd.analysis.tables import how_made, score_cell
from ukd.config.text import markdown_table

LAST_CHOOSING_SEED = 10
CONTROLS = ("uniform", "final")  # in no choice: what a chosen map must beat
CHOSEN = "teacher-query"  # by `chosen_map` of the set MAP_STUDY
COMPARED: tuple[Pair, ...] = (
    (ATTENTION, "uniform"),
    (ATTENTION, "final"),
    (CHOSEN, "uniform"),
    (CHOSEN, "final"),
    (CHOSEN, ATTENTION),
)
MAP_SETS = (MAP_STUDY, MAP_STUDY_CNN, TERM, REAL, REAL_SST2, REAL_OTHER)


def map_study(table: pd.DataFrame) -> str:
    """The scores of both halves, and in words what was chosen and what fresh seeds say of it.

    table: runs of one student and task that differ by layer map and seed.

    Raises: ValueError for runs of several configurations or tasks.
    """
    check_one_group(table)
    if len(tasks_of(table)) != 1:
        raise ValueError(f"one task at a time, these runs have {', '.join(tasks_of(table))}")
    task = tasks_of(table)[0]
    first = table["seed"] <= LAST_CHOOSING_SEED
    choosing, fresh = table[first], table[~first]
    rows = []
    for name in methods_of(table):
        cells = [score_cell(seed_scores(choosing, name, task, split="dev"))]
        cells.append(score_cell(seed_scores(choosing, name, task)))
        cells.append(score_cell(seed_scores(fresh, name, task)))
        rows.append([short_name(name), *cells])
    header = ["layer map", "dev, seeds that choose", "validation, the same", "fresh seeds"]
    text = markdown_table(header, rows)
    made = how_made(table, table["config_key"].iloc[0])
    return f"{made}\n\n{text}\n\n{_in_words(table, choosing, fresh, task)}"


def chosen_map(choosing: pd.DataFrame, task: str) -> str:
    """The method with the best mean on the development part, controls apart."""
    means = {}
    for name in methods_of(choosing):
        if name not in CONTROLS:
            means[name] = seed_scores(choosing, name, task, split="dev").mean()
    return max(means, key=means.__getitem__)


def _in_words(table: pd.DataFrame, choosing: pd.DataFrame, fresh: pd.DataFrame, task: str) -> str:
    """The choice, then one line a comparison: of the chosen map, and of the paper's."""
    chosen = chosen_map(choosing, task)
    lines = [f"The development part chose `{short_name(chosen)}`. On fresh seeds:", ""]
    lines += [_compared(fresh, chosen, name, task) for name in (ATTENTION, *CONTROLS)]
    if chosen != ATTENTION:
        lines += ["", "No score chose the paper's attention, so all seeds count for it:", ""]
        lines += [_compared(table, ATTENTION, name, task) for name in CONTROLS]
    return "\n".join(line for line in lines if line is not None)


def _compared(table: pd.DataFrame, one: str, other: str, task: str) -> str | None:
    """One difference in words; None of a method and itself, and without a seed that both have."""
    difference = None if one == other else against_baseline(table, one, other, task)
    if difference is None:
        return None
    words = f"`{short_name(one)}` minus `{short_name(other)}`"
    return f"- {words}: {difference.points}, {difference.verdict}."


def map_differences(runs: Runs) -> ByStudent:
    """By set and student, in words, the differences of `COMPARED` that it has, in points.

    Seeds that chose the map are left out.
    """
    chose = (runs.table["set"] == MAP_STUDY) & (runs.table["seed"] <= LAST_CHOOSING_SEED)
    return differences_by_student(runs.where(~chose), MAP_SETS, COMPARED)


def maps_table(runs: Runs) -> str:
    """Layer maps against each other, a row a student."""
    return by_student_table(map_differences(runs), COMPARED)


def maps_figure(runs: Runs) -> Figure:
    """Layer maps against each other, a row a student."""
    return by_student_figure(map_differences(runs), COMPARED)
