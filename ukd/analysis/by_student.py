"""Differences between methods on every student: where a loss or a layer map helps, and where not.

A row is a student on a task, of one set of runs; a column is one comparison of two methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukd.analysis.contrasts import against_baseline
from ukd.analysis.figures import BASELINE_LINE, panels
from ukd.analysis.grouping import at_chosen_rate, groups, student_description, tasks_of
from ukd.analysis.map_figures import ATTENTION
from ukd.analysis.runs import (
    CAPACITY_GAP,
    CROSS_ARCHITECTURE,
    EASY,
    FIRST_TEACHER,
    MAP_STUDY_CNN,
    REAL,
    REAL_LSTM,
    REAL_OTHER,
    REAL_SST2,
    SEARCH,
    SEARCHED_LOOK,
    SYNTHETIC_GAP,
    TERM,
    Runs,
)
from ukd.analysis.statistics import Difference
from ukd.config.text import markdown_table
from ukd.data.tasks import SYNTHETIC

Pair = tuple[str, str]  # a method, and the one that it is compared with
ByStudent = Mapping[tuple[str, str], Mapping[Pair, Difference]]  # of a set and a student, in words

# What the intermediate loss adds: to the same two stages without it, and to plain KD.
LOSS_PAIRS: tuple[Pair, ...] = ((ATTENTION, "kd-two-stage"), (ATTENTION, "kd"))
# Other sets that have one of these repeat students and tasks of these sets.
LOSS_SETS = (
    REAL,
    FIRST_TEACHER,
    REAL_SST2,
    REAL_OTHER,
    REAL_LSTM,
    CAPACITY_GAP,
    SEARCHED_LOOK,
    CROSS_ARCHITECTURE,
    MAP_STUDY_CNN,
    TERM,
    SEARCH,
    SYNTHETIC_GAP,
    EASY,
)


def differences_by_student(
    runs: Runs, sets: Iterable[str], pairs: Sequence[Pair]
) -> dict[tuple[str, str], dict[Pair, Difference]]:
    """By set and student, in words, those of the pairs' differences that it has, in points.

    One seed has no interval and is left out.

    Raises: ValueError for two groups of runs of one set that the words do not tell apart.
    """
    found = {}
    for name in sets:
        table = at_chosen_rate(runs.table[runs.table["set"] == name])
        for group in groups(table).values():
            row = group.iloc[0]
            for task in tasks_of(group):
                differences = {}
                for one, other in pairs:
                    difference = against_baseline(group, one, other, task)
                    if difference is not None and difference.n > 1:
                        differences[one, other] = difference
                key = (name, f"{task}: {student_description(row)}; {row['precision']}")
                if key in found:
                    raise ValueError(f"{name} has two groups of runs of {key[1]}: part them")
                if differences:
                    found[key] = differences
    return found


def by_student_table(found: ByStudent, pairs: Sequence[Pair]) -> str:
    """A row a student, a column a comparison: the difference, its 95% interval and n."""
    rows = []
    for (name, student), differences in found.items():
        cells = [str(differences.get(pair, "-")) for pair in pairs]
        rows.append([f"`{name}`", student, *cells])
    return markdown_table(["set", "task: student", *map(_title, pairs)], rows)


def by_student_figure(found: ByStudent, pairs: Sequence[Pair]) -> Figure:
    """A column a comparison, a row a student: the mean difference and its 95% interval.

    Synthetic tasks stand below the others, on an axis of their own: their intervals are wider.
    """
    kinds: dict[bool, dict] = {False: {}, True: {}}
    for key, differences in found.items():
        kinds[key[1].partition(":")[0] in SYNTHETIC][key] = differences
    shown = [rows for rows in kinds.values() if rows]
    figure, axes = panels(
        len(shown),
        len(pairs),
        (2.5 * len(pairs) + 3, 0.42 * len(found) + 0.7 * len(shown) + 0.6),
        sharex="row",
        sharey="row",
        height_ratios=[len(rows) for rows in shown],
    )
    for row, rows in zip(axes, shown, strict=True):
        for ax, pair in zip(row, pairs, strict=True):
            _draw_pair(ax, pair, rows)
        row[0].set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
        row[0].set_yticklabels([f"{student}\n{name}" for name, student in rows], fontsize=7)
    for ax, pair in zip(axes[0], pairs, strict=True):
        ax.set_title(_title(pair).replace(" minus ", "\nminus "), fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("Points (grey: 95%; black: significant)", fontsize=8)
    return figure


def _draw_pair(ax: Axes, pair: Pair, rows: Mapping[tuple[str, str], Mapping]) -> None:
    """One comparison, a line a student that has it."""
    for place, differences in enumerate(rows.values()):
        if pair in differences:
            one = differences[pair]
            # Lines of `plot` would end beyond their interval.
            ax.hlines(place, one.low, one.high, color="0.75", linewidth=4)
            ax.plot(one.mean, place, "o", color="0.15" if one.significant else "0.5")
    ax.axvline(0, **BASELINE_LINE)


def loss_table(runs: Runs) -> str:
    """What the intermediate loss adds, by student."""
    return by_student_table(differences_by_student(runs, LOSS_SETS, LOSS_PAIRS), LOSS_PAIRS)


def loss_figure(runs: Runs) -> Figure:
    """What the intermediate loss adds, by student."""
    return by_student_figure(differences_by_student(runs, LOSS_SETS, LOSS_PAIRS), LOSS_PAIRS)


def _title(pair: Pair) -> str:
    return f"{pair[0]} minus {pair[1]}"
