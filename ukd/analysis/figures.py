"""Figures of runs: one style for all, scores, heads of the teacher, layer maps.

Functions `draw_...` draw on axes and return them; functions `..._figure` make a figure.
Runs are those of one group (see `ukd.analysis.grouping.groups`). Figures are saved as SVG without a
date and with fixed ids: drawn again they are the same byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from ukd.analysis.grouping import methods_of, tasks_of
from ukd.analysis.runs import Runs, one_group
from ukd.data.metrics import mean_metric
from ukd.data.tasks import SPECS
from ukd.methods.registry import METHODS
from ukd.training.run_record import RunRecord

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
OPTION_MARKERS = {
    "temperature": "h",
    "attention_temperature": "*",
    "detach_attention": "v",
    "student_layers": "<",
    "teacher_layers": ">",
    "stages": "d",
}
COLOURS = sns.color_palette("colorblind")
GREY = "0.3"
MAP_COLOURS = "vlag"  # diverging: its pale middle is the uniform share
SCORE = "Validation score, %"
STYLE = {
    "svg.hashsalt": "ukd",
    "figure.dpi": 110,
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
BASELINE_LINE = {"color": GREY, "linestyle": "--", "linewidth": 1}
NO_MARKS = {"linestyle": "", "alpha": 0.75, "markersize": 5}

AnyRuns = Runs | Iterable[RunRecord]


def style_of(name: str, known: Sequence[str] = tuple(METHODS)) -> dict:
    """The colour and marker that a name has wherever it is drawn, by its place among the known.

    A method with an option changed has the method's colour and the option's marker.
    """
    base, _, option = name.partition(" (")
    index = list(known).index(base) if base in known else len(known)
    marker = MARKERS[index % len(MARKERS)]
    return {
        "color": COLOURS[index % 10],
        "marker": OPTION_MARKERS.get(option.partition("=")[0], marker),
    }


def styles(names: Iterable[str], known: Sequence[str] = tuple(METHODS)) -> dict:
    """seaborn's palette and markers for these names, as in `style_of`."""
    found = {name: style_of(name, known) for name in names}
    return {
        "palette": {name: style["color"] for name, style in found.items()},
        "markers": {name: style["marker"] for name, style in found.items()},
    }


def save_figure(figure: Figure, name: str, folder: Path) -> Path:
    """Write `name`.svg into a folder, without a date, and close the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.svg"
    with plt.rc_context(STYLE):
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    return path


def alt_text(weights: Sequence[Sequence[float]] | np.ndarray) -> str:
    """A layer map (S, T) in words: where each student layer attends most."""
    parts = []
    for layer, row in enumerate(np.asarray(weights), 1):
        share = 1 / len(row)
        place = f"most to teacher layer {row.argmax() + 1} ({row.max():.2f})"
        if np.ptp(row) < share / 10:
            place = "to all teacher layers alike"
        parts.append(f"student layer {layer} attends {place}")
    return "; ".join(parts).capitalize() + "."


def map_norm(maps: Iterable[Sequence[Sequence[float]]]) -> TwoSlopeNorm:
    """The colour scale of layer maps (S, T): 0, the uniform share 1/T, and the largest weight.

    Maps that are compared share one scale, made from all of them.
    """
    arrays = [np.asarray(weights) for weights in maps]
    share = 1 / arrays[0].shape[1]
    largest = max(array.max() for array in arrays)
    if share == 1:  # one teacher layer has all the weight
        share = 0.5
    return TwoSlopeNorm(share, vmin=0, vmax=max(float(largest), min(1.0, 2 * share)))


def draw_layer_map(
    ax: Axes,
    weights: Sequence[Sequence[float]] | np.ndarray,
    title: str = "",
    *,
    values: bool = True,
    colour_bar: bool = True,
    norm: TwoSlopeNorm | None = None,
    logit_norms: Sequence[float] | None = None,
) -> Axes:
    """A layer map: mean attention weights (S, T), coloured about the uniform share 1/T.

    values: write the weights into the cells. norm: a scale shared with other maps (`map_norm`).
    logit_norms: of the T teacher heads (`ukd.analysis.taught.head_norms`), as bars above the map.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or not weights.size:
        raise ValueError(f"a layer map is (student layers, teacher layers), got {weights.shape}")
    students, teachers = weights.shape
    scale = norm or map_norm([weights])
    bar = ax.inset_axes((1.02, 0, 0.025, 1)) if colour_bar else None
    sns.heatmap(
        weights,
        ax=ax,
        norm=scale,
        cmap=MAP_COLOURS,
        annot=values,
        fmt=".2f",
        annot_kws={"size": 8},
        linewidths=0.5,
        xticklabels=range(1, teachers + 1),
        yticklabels=range(1, students + 1),
        cbar=colour_bar,
        cbar_ax=bar,
    )
    if bar is not None:
        label_colour_bar(ax.collections[0].colorbar, scale)
    ax.set(xlabel="Teacher layer", ylabel="Student layer")
    ax.tick_params(rotation=0)
    ax.grid(False)
    top = ax if logit_norms is None else _bars_above(ax, logit_norms, teachers)
    top.set_title(title, parse_math=False)
    return ax


def _bars_above(ax: Axes, logit_norms: Sequence[float], teachers: int) -> Axes:
    """Mean logit norms above the columns: attention may go to a head because it is loud."""
    if len(logit_norms) != teachers:
        raise ValueError(f"{len(logit_norms)} logit norms for {teachers} teacher layers")
    above = ax.inset_axes((0, 1.04, 1, 0.45), sharex=ax)
    above.bar(np.arange(teachers) + 0.5, logit_norms, color=GREY, width=0.7)
    above.set_ylabel("Mean logit\nnorm", fontsize=8)
    above.tick_params(labelbottom=False, bottom=False, labelsize=7)
    return above


def label_colour_bar(bar: object, scale: TwoSlopeNorm) -> None:
    """Mark 0, the uniform share and the largest weight on a layer map's colour bar."""
    uniform = f"{scale.vcenter:.2f} (uniform)"
    bar.set_ticks([0, scale.vcenter, scale.vmax], labels=["0", uniform, f"{scale.vmax:.2f}"])
    bar.ax.tick_params(labelsize=7)
    bar.ax.grid(False)
    bar.outline.set_visible(False)


def panels(
    rows: int, columns: int, size: tuple[float, float], **options: object
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, (rows, columns); size in inches."""
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)


def draw_heads(ax: Axes, by_task: Mapping[str, Sequence[Mapping]]) -> Axes:
    """Score of each teacher layer's classifier, a line a task.

    by_task: {task: [{"score": percent} or {"scores": {metric: percent}} for each layer]}.
    """
    rows = []
    for task, layers in by_task.items():
        for number, layer in enumerate(layers, 1):
            score = layer["score"] if "score" in layer else mean_metric(layer["scores"])
            rows.append({"task": task, "layer": number, "score": score})
    data = pd.DataFrame(rows)
    look = {"hue": "task", "style": "task", "dashes": False, **styles(by_task, tuple(SPECS))}
    sns.lineplot(data, x="layer", y="score", ax=ax, **look)
    layers = range(1, data["layer"].max() + 1)
    ax.set(xlabel="Teacher layer", ylabel=SCORE, xticks=layers)
    ax.legend(frameon=False, fontsize=9)
    return ax


def heads_figure(runs: AnyRuns) -> Figure:
    """Score of the pseudo classifier on each teacher layer, all tasks of the runs."""
    table = one_group(runs).table
    heads = table.drop_duplicates("task").set_index("task")["teacher_heads"]
    figure, ax = plt.subplots(figsize=(6.4, 4))
    draw_heads(ax, {task: heads[task] for task in tasks_of(table)})
    ax.set_title("Pseudo classifiers of the teacher, by layer")
    return figure


def scores_figure(runs: AnyRuns) -> Figure:
    """Score of every seed and their mean: a panel a task, a row a method; dashed: the teacher."""
    table = one_group(runs).table
    tasks = tasks_of(table)
    methods = methods_of(table)
    size = (2.2 * len(tasks) + 1.8, 0.27 * len(methods) + 1.3)
    figure, axes = panels(1, len(tasks), size, sharey=True)
    for ax, task in zip(axes[0], tasks, strict=True):
        runs_on_task = table[table["task"] == task]
        draw_seeds(ax, runs_on_task, "validation", methods)
        ax.set(title=task, xlabel=SCORE)
        ax.margins(x=0.12)
        _mark_teacher(ax, runs_on_task["teacher_validation"].iloc[0])
    return figure


def draw_seeds(ax: Axes, data: pd.DataFrame, value: str, methods: Sequence[str]) -> Axes:
    """A marker a run and a bar at the mean, a row a method_name, from the top in this order."""
    places = {name: place for place, name in enumerate(methods)}
    for name, runs in data.groupby("method_name"):
        style = style_of(name)
        place = places[name]
        ax.plot(runs[value], [place] * len(runs), **NO_MARKS, **style)
        middle = runs[value].mean()
        ax.vlines(middle, place - 0.35, place + 0.35, color=style["color"], linewidth=2)
    ax.set(yticks=range(len(methods)), ylim=(len(methods) - 0.4, -0.9))
    ax.set_yticklabels(methods, fontsize=8)
    return ax


def _mark_teacher(ax: Axes, score: float) -> None:
    """A dashed line at the teacher's score; its name stands towards the middle of the panel."""
    ax.axvline(score, **BASELINE_LINE)
    right = score < np.mean(ax.get_xlim())
    ax.annotate(
        "teacher",
        (score, 1),
        xycoords=("data", "axes fraction"),
        xytext=(3 if right else -3, -3),
        textcoords="offset points",
        ha="left" if right else "right",
        va="top",
        fontsize=8,
    )
