"""Differences of methods to one baseline, seed by seed: what an option or a layer map adds."""

from __future__ import annotations

import re

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukd.analysis.comparable import check_one_group
from ukd.analysis.contrasts import against_baseline, seed_scores
from ukd.analysis.figures import BASELINE_LINE, draw_seeds, panels
from ukd.analysis.grouping import groups, methods_of, student_description, tasks_of
from ukd.analysis.map_figures import ATTENTION
from ukd.analysis.runs import Runs

WITHOUT_TERM = "kd-two-stage"  # the same two stages without the intermediate loss


def differences_figure(runs: Runs, baseline: str) -> Figure:
    """Each method's difference to a baseline, a panel a student and task; no-kd has no row.

    Markers are seeds, and grey bars 95% intervals of the mean over them.
    """
    found = []
    for group in groups(runs.table).values():
        check_one_group(group)
        found += [(group, task) for task in tasks_of(group)]
    rows = max(group["method_name"].nunique() for group, _ in found)
    figure, axes = panels(1, len(found), (5.6 * len(found), 0.3 * rows + 1.3))
    for ax, (group, task) in zip(axes[0], found, strict=True):
        _draw_differences(ax, group, task, baseline)
        ax.set_title(f"{task}\nstudent: {student_description(group.iloc[0])}", fontsize=10)
    return figure


def short_name(name: str) -> str:
    """A variant's option alone, and a function's name without its module and hash."""
    variant = f"{ATTENTION} ("
    option = name.removeprefix(variant).removesuffix(")") if name.startswith(variant) else name
    return re.sub(r"=[\w.]*\.(\w+)@\w+", r"=\1", option)


def _draw_differences(ax: Axes, group: pd.DataFrame, task: str, baseline: str) -> None:
    """The differences of one group's methods to a baseline on a task, in points."""
    parts = []
    for name in methods_of(group):
        differences = seed_scores(group, name, task) - seed_scores(group, baseline, task)
        differences = differences.dropna()
        if name not in ("no-kd", baseline) and len(differences):
            parts.append(pd.DataFrame({"method_name": name, "value": differences}))
    data = pd.concat(parts)
    names = list(dict.fromkeys(data["method_name"]))
    for place, name in enumerate(names):
        interval = against_baseline(group, name, baseline, task)
        if interval.n > 1:
            ax.hlines(place, interval.low, interval.high, color="0.75", linewidth=4, zorder=0)
    draw_seeds(ax, data, "value", names)
    ax.set_yticklabels([short_name(name) for name in names], fontsize=8)
    ax.axvline(0, **BASELINE_LINE)
    ax.set_xlabel(f"Points above {baseline} (grey: 95%)")
