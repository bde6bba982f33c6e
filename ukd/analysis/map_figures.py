"""Figures of layer maps: over time, by class, by difficulty; all maps of a figure on one scale."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from safetensors.torch import load_file

from ukd.analysis.figures import draw_layer_map, label_colour_bar, map_norm, panels
from ukd.analysis.grouping import tasks_of
from ukd.analysis.runs import Runs, one_group
from ukd.analysis.taught import head_norms
from ukd.config.paths import data_folder
from ukd.training.kept_logits import LOGITS_FILE, TEACHER_NOTE

ATTENTION = "universal-kd"


def attention_over_time(runs: Runs) -> Figure:
    """Layer maps on the dev split after every epoch of the first stage, mean over seeds."""
    return _attention_by(runs, "epoch", "Attention epoch by epoch of the first stage")


def attention_by_difficulty(runs: Runs) -> Figure:
    """Layer maps of the examples of each level of difficulty, end of the first stage."""
    return _attention_by(runs, "difficulty", "Attention by the examples' difficulty")


def layer_map_figure(runs: Runs, task: str) -> Figure:
    """Layer maps of one task: all validation examples, then those of each class.

    Where the teacher's logits come with the kit, their norms stand above the first map.
    """
    chosen = one_group(runs).of(ATTENTION, task)
    names = [name for name in chosen.map_groups() if name == "all" or name.startswith("class: ")]
    names.sort(key=lambda name: name != "all")
    maps = {name: chosen.layer_map(name) for name in names}
    norms = _kept_norms(chosen)
    students, teachers = maps["all"].shape
    height = (0.42 * students + 1.15) * len(maps) + (0 if norms is None else 0.8)
    figure, axes = panels(len(maps), 1, (0.55 * teachers + 1.9, height))
    seeds = chosen.table["seed"].nunique()
    scale = map_norm(maps.values())
    for ax, (name, weights) in zip(axes[:, 0], maps.items(), strict=True):
        words = "all examples" if name == "all" else name
        above = norms if name == "all" else None
        draw_layer_map(ax, weights, f"{task}, {words}", norm=scale, logit_norms=above)
    figure.suptitle(f"Attention at the end of the first stage (mean of {seeds} seeds)", fontsize=10)
    return figure


def _kept_norms(runs: Runs) -> list[float] | None:
    """Mean norms of the teacher's intermediate logits on validation; None where none are kept."""
    weights = set(runs.table["teacher_weights"])
    for note in sorted((data_folder() / "teachers").glob(f"*/{TEACHER_NOTE}")):
        if weights == {json.loads(note.read_text(encoding="utf-8"))["weights"]}:
            return head_norms(load_file(note.with_name(LOGITS_FILE))["validation"][:, :-1])
    return None


def _attention_by(runs: Runs, kind: str, title: str) -> Figure:
    """A grid of layer maps, a row a task, a column a group of this kind."""
    attended = one_group(runs).of(ATTENTION)
    rows = {}
    for task in tasks_of(attended.table):
        chosen = attended.of(ATTENTION, task)
        names = [name for name in chosen.map_groups() if name.startswith(f"{kind}: ")]
        names.sort(key=lambda name: float(name.partition(": ")[2]))
        if names:
            rows[task] = {name.replace(":", ""): chosen.layer_map(name) for name in names}
    return layer_maps_figure(rows, title)


def layer_maps_figure(
    rows: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], title: str
) -> Figure:
    """A grid of layer maps on one colour scale: {row: {column: weights (S, T)}}."""
    every = [weights for row in rows.values() for weights in row.values()]
    scale = map_norm(every)
    students, teachers = np.shape(every[0])
    columns = max(len(row) for row in rows.values())
    size = (0.19 * teachers * columns + 2.2, (0.26 * students + 0.8) * len(rows) + 0.5)
    figure, axes = panels(len(rows), columns, size)
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        for ax in line[len(row) :]:
            ax.set_axis_off()
        for ax, (column, weights) in zip(line, row.items(), strict=False):
            heading = f"{name}, {column}"
            draw_layer_map(ax, weights, heading, values=False, colour_bar=False, norm=scale)
            ax.title.set_fontsize(8)
            ax.tick_params(labelsize=7)
            ax.set(xlabel="", ylabel="")
    figure.supxlabel("Teacher layer", fontsize=10)
    figure.supylabel("Student layer", fontsize=10)
    shown = axes[0, 0].collections[0]
    bar = figure.colorbar(shown, ax=axes, shrink=0.7, label="Mean attention weight")
    label_colour_bar(bar, scale)
    figure.suptitle(title, fontsize=10)
    return figure
