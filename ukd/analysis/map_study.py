"""Which layer map? Ten seeds and the development part choose one, ten fresh seeds confirm it.

Then that map and the paper's, on every student that had both or a control.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ukd.analysis.comparable import check_one_group
from ukd.analysis.contrasts import against_baseline, seed_scores
from ukd.analysis.difference_figures import short_name
from ukd.analysis.figures import BASELINE_LINE, panels
from ukd.analysis.grouping import at_chosen_rate, groups, methods_of, student_description, tasks_of
from ukd.analysis.map_figures import ATTENTION
from ukd.analysis.runs import LAYER_MAPS, LAYER_MAPS_CNN, REAL, REAL_SST2, TERM, Runs
from ukd.analysis.statistics import Difference
from ukd.analysis.tables import how_made, score_cell
from ukd.config.text import markdown_table

LAST_CHOOSING_SEED = 10
CONTROLS = ("uniform", "final")  # in no choice: what a chosen map must beat
CHOSEN = "teacher-query"  # by `chosen_map` of the set LAYER_MAPS
COMPARED = (
    (ATTENTION, "uniform"),
    (ATTENTION, "final"),
    (CHOSEN, "uniform"),
    (CHOSEN, "final"),
    (CHOSEN, ATTENTION),
)
MAP_SETS = (LAYER_MAPS, LAYER_MAPS_CNN, TERM, REAL, REAL_SST2)


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


def map_differences(runs: Runs) -> dict[tuple[str, str], dict[tuple[str, str], Difference]]:
    """By set and student, in words, the differences of `COMPARED` that it has, in points.

    Seeds that chose the map are left out. Raises ValueError for two groups of runs of one set that
    the words do not tell apart.
    """
    found = {}
    for name in MAP_SETS:
        table = at_chosen_rate(runs.table[runs.table["set"] == name])
        if name == LAYER_MAPS:
            table = table[table["seed"] > LAST_CHOOSING_SEED]
        for group in groups(table).values():
            for task in tasks_of(group):
                differences = {}
                for one, other in COMPARED:
                    difference = against_baseline(group, one, other, task)
                    if difference is not None and difference.n > 1:
                        differences[one, other] = difference
                key = (name, f"{task}: {student_description(group.iloc[0])}")
                if key in found:
                    raise ValueError(f"{name} has two groups of runs of {key[1]}: part them")
                if differences:
                    found[key] = differences
    return found


def maps_table(runs: Runs) -> str:
    """A row a student, a column a comparison: the difference, its 95% interval and n."""
    rows = []
    for (name, student), differences in map_differences(runs).items():
        cells = [str(differences.get(pair, "-")) for pair in COMPARED]
        rows.append([f"`{name}`", student, *cells])
    return markdown_table(["set", "task: student", *map(_title, COMPARED)], rows)


def maps_figure(runs: Runs) -> Figure:
    """A panel a comparison, a row a student: the mean difference and its 95% interval."""
    students = map_differences(runs)
    size = (2.5 * len(COMPARED) + 2.5, 0.42 * len(students) + 1.3)
    figure, axes = panels(1, len(COMPARED), size, sharex=True, sharey=True)
    for ax, pair in zip(axes[0], COMPARED, strict=True):
        for place, differences in enumerate(students.values()):
            if pair in differences:
                one = differences[pair]
                ax.plot([one.low, one.high], [place, place], color="0.75", linewidth=4)
                ax.plot(one.mean, place, "o", color="0.15" if one.significant else "0.5")
        ax.axvline(0, **BASELINE_LINE)
        ax.set_title(_title(pair).replace(" minus ", "\nminus "), fontsize=9)
        ax.set_xlabel("Points (grey: 95%)")
    axes[0][0].set(yticks=range(len(students)), ylim=(len(students) - 0.4, -0.6))
    axes[0][0].set_yticklabels([student for _, student in students], fontsize=8)
    return figure


def _title(pair: tuple[str, str]) -> str:
    return f"{pair[0]} minus {pair[1]}"
