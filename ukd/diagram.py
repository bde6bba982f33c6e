"""The idea in one drawing: heads on every layer, attention between what they say, KD between the last ones."""

from __future__ import annotations

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from ukd.projection import attend

STUDENT, TEACHER, SHOWN = 4, 6, 2  # layers drawn, and the student layer whose attention is drawn
HEAD_LOGITS = (0.1, 0.6, 1.2, 1.7, 2.1)  # what the teacher's heads say of one example, for the width of the lines


def draw_method(ax: Axes) -> Axes:
    """Student on the left, teacher on the right, one student layer's attention as lines whose width is its weight."""
    blue, orange, green = sns.color_palette("colorblind")[:3]
    left = [_layer(ax, 0.4, 1.25 * i + 0.9, f"student layer {i + 1}", blue, i == STUDENT - 1, "left") for i in range(STUDENT)]
    right = [_layer(ax, 7.2, 0.95 * i + 0.5, f"teacher layer {i + 1}", orange, i == TEACHER - 1, "right") for i in range(TEACHER)]
    said = torch.tensor(HEAD_LOGITS).view(1, -1, 1) * torch.tensor([1.0, -1.0])  # (1, T - 1, 2)
    weights = attend(torch.tensor([[[0.9, -0.9]]]), said).weights[0, 0].tolist()
    start = left[SHOWN - 1]
    for place, weight in zip(right[:-1], weights, strict=True):
        ax.plot(*zip(start, place, strict=True), color="0.25", linewidth=0.4 + 12 * weight, alpha=0.55, zorder=1, solid_capstyle="round")
        ax.annotate(f"{weight:.2f}", (place[0] - 0.62, place[1] - 0.10 + 0.18 * (start[1] - place[1])), fontsize=8, ha="right",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0}, zorder=2)  # fmt: skip
    ax.plot(*zip(left[-1], right[-1], strict=True), color=green, linewidth=2, zorder=1)
    ax.annotate("KD between the last layers", (4.9, 5.28), fontsize=9, ha="center", color=green)
    ax.annotate("attention: who predicts as I do?", (4.9, -0.35), fontsize=9, ha="center", color="0.25")
    ax.annotate("pseudo classifiers,\ntrained with the student", (2.95, -0.95), fontsize=8, ha="center", color=blue)
    ax.annotate("pseudo classifiers,\ntrained on labels, then frozen", (6.85, -0.95), fontsize=8, ha="center", color=orange)
    ax.set(xlim=(0, 9.9), ylim=(-1.2, 5.9), aspect="equal")
    ax.set_axis_off()
    return ax


def _layer(ax: Axes, x: float, y: float, name: str, colour: tuple, last: bool, side: str) -> tuple[float, float]:
    """A layer's box and the circle of its classifier; returns the circle's centre."""
    ax.add_patch(FancyBboxPatch((x, y - 0.27), 2.1, 0.54, boxstyle="round,pad=0.05", facecolor="white", edgecolor=colour, linewidth=1.5))
    ax.annotate(name, (x + 1.05, y), ha="center", va="center", fontsize=9)
    centre = (x + 2.55, y) if side == "left" else (x - 0.45, y)
    ax.add_patch(Circle(centre, 0.2, facecolor=colour if last else "white", edgecolor=colour, linewidth=1.5, zorder=3))
    return centre


def method_figure() -> Figure:
    """The drawing on a figure of its own."""
    figure, ax = plt.subplots(figsize=(8.2, 5.2))
    draw_method(ax)
    return figure
