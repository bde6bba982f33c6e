"""Drawings of the method: the idea in one, the projection of one example in numbers, and where gradient descent leads a student.

S student layers, T teacher layers, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from torch import Tensor

from ukd.losses import intermediate_loss
from ukd.projection import attention_projection, weighted_sum

STUDENT, TEACHER, SHOWN = 4, 6, 2  # layers drawn, and the student layer whose attention is drawn
HEAD_LOGITS = (
    0.1,
    0.6,
    1.2,
    1.7,
    2.1,
)  # what the teacher's heads say of one example, for the width of the lines


def draw_method(ax: Axes) -> Axes:
    """Student on the left, teacher on the right, one student layer's attention as lines whose width is its weight."""
    blue, orange, green = sns.color_palette("colorblind")[:3]
    left = [
        _layer(ax, 0.4, 1.25 * i + 0.9, f"student layer {i + 1}", blue, i == STUDENT - 1, "left")
        for i in range(STUDENT)
    ]
    right = [
        _layer(ax, 7.2, 0.95 * i + 0.5, f"teacher layer {i + 1}", orange, i == TEACHER - 1, "right")
        for i in range(TEACHER)
    ]
    said = torch.tensor(HEAD_LOGITS).view(1, -1, 1) * torch.tensor([1.0, -1.0])  # (1, T - 1, 2)
    weights = attention_projection(torch.tensor([[[0.9, -0.9]]]), said).weights[0, 0].tolist()
    start = left[SHOWN - 1]
    for place, weight in zip(right[:-1], weights, strict=True):
        ax.plot(
            *zip(start, place, strict=True),
            color="0.25",
            linewidth=0.4 + 12 * weight,
            alpha=0.55,
            zorder=1,
            solid_capstyle="round",
        )
        ax.annotate(
            f"{weight:.2f}",
            (place[0] - 0.62, place[1] - 0.10 + 0.18 * (start[1] - place[1])),
            fontsize=8,
            ha="right",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            zorder=2,
        )
    ax.plot(*zip(left[-1], right[-1], strict=True), color=green, linewidth=2, zorder=1)
    ax.annotate("KD between the last layers", (4.9, 5.28), fontsize=9, ha="center", color=green)
    ax.annotate(
        "attention: who predicts as I do?", (4.9, -0.35), fontsize=9, ha="center", color="0.25"
    )
    ax.annotate(
        "pseudo classifiers,\ntrained with the student",
        (2.95, -0.95),
        fontsize=8,
        ha="center",
        color=blue,
    )
    ax.annotate(
        "pseudo classifiers,\ntrained on labels, then frozen",
        (6.85, -0.95),
        fontsize=8,
        ha="center",
        color=orange,
    )
    ax.set(xlim=(0, 9.9), ylim=(-1.2, 5.9), aspect="equal")
    ax.set_axis_off()
    return ax


def _layer(
    ax: Axes, x: float, y: float, name: str, colour: tuple, last: bool, side: str
) -> tuple[float, float]:
    """A layer's box and the circle of its classifier; returns the circle's centre."""
    ax.add_patch(
        FancyBboxPatch(
            (x, y - 0.27),
            2.1,
            0.54,
            boxstyle="round,pad=0.05",
            facecolor="white",
            edgecolor=colour,
            linewidth=1.5,
        )
    )
    ax.annotate(name, (x + 1.05, y), ha="center", va="center", fontsize=9)
    centre = (x + 2.55, y) if side == "left" else (x - 0.45, y)
    ax.add_patch(
        Circle(
            centre,
            0.2,
            facecolor=colour if last else "white",
            edgecolor=colour,
            linewidth=1.5,
            zorder=3,
        )
    )
    return centre


def method_figure() -> Figure:
    """The drawing on a figure of its own."""
    figure, ax = plt.subplots(figsize=(8.2, 5.2))
    draw_method(ax)
    return figure


def logit_gradient(student: Tensor, teacher: Tensor, **options: object) -> Tensor:
    """Gradient of the intermediate loss with respect to the student's logits (B, S, C), of their shape; `options` as the loss has them."""
    logits = student.detach().clone().requires_grad_()
    intermediate_loss(logits, teacher, **options).loss.backward()
    return logits.grad


def draw_projection(
    axes: Sequence[Axes],
    student: Tensor,
    teacher: Tensor,
    *,
    attention_temperature: float = 1.0,
    temperature: float = 1.0,
    attention_grad: bool = False,
) -> Sequence[Axes]:
    """One example of the projection in numbers, on three axes: weights, mixture, gradient. Drawn again on the same axes it is replaced.

    Args:
        axes: three, from left to right: weights (S, T); the teacher's logits mixed by them (S, C); the gradient of the
            intermediate loss with respect to the student's logits (S, C).
        student: (S, C) logits of one example; teacher: (T, C).
        kappa, tau, attention_grad: as `ukd.intermediate_loss` has them.

    All values are written in the cells, and the colours' limits are fixed, so that two drawings can be compared.
    """
    ours, theirs = student.unsqueeze(0), teacher.unsqueeze(0)  # (1, S, C), (1, T, C)
    options = {"kappa": attention_temperature, "tau": temperature, "attention_grad": attention_grad}
    found, slope = (
        intermediate_loss(ours, theirs, **options),
        logit_gradient(ours, theirs, **options)[0],
    )
    _cells(axes[0], found.weights[0], ("cividis", 0, 1), ".2f")
    _cells(axes[1], weighted_sum(found.weights, theirs)[0], ("PuOr", -6, 6), "+.2f")
    _cells(axes[2], slope, ("PuOr", -1, 1), "+.2f")
    heard = [f"{number}\n{_pair(logits)}" for number, logits in enumerate(teacher.tolist(), 1)]
    said = [f"{number}: {_pair(logits)}" for number, logits in enumerate(student.tolist(), 1)]
    axes[0].set(
        xticklabels=heard,
        yticklabels=said,
        xlabel="Teacher layer and its logits",
        ylabel="Student layer and its logits",
    )
    titles = (
        f"Attention weights (kappa {attention_temperature:.3g})",
        "Mixed teacher logits",
        f"Gradient (tau {temperature:.3g})",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
    axes[1].set_xlabel("Class")
    axes[2].set_xlabel(f"Class (loss {float(found.loss):.3f})")
    return axes


def _cells(ax: Axes, values: Tensor, colours: tuple[str, float, float], form: str) -> None:
    """A table whose cells are coloured by their value and hold it; an earlier one of the same size is only changed, which is faster."""
    name, low, high = colours
    if not ax.images or ax.images[0].get_size() != tuple(values.shape):
        ax.clear()
        ax.imshow(values.numpy(), cmap=name, vmin=low, vmax=high, aspect="auto")
        ax.set(xticks=range(values.shape[1]), yticks=range(values.shape[0]))
        ax.set(xticklabels=range(1, values.shape[1] + 1), yticklabels=range(1, values.shape[0] + 1))
        ax.tick_params(length=0, labelsize=8)
        ax.grid(False)
        for row, column in product(*map(range, values.shape)):
            ax.text(column, row, "", ha="center", va="center", fontsize=9)
    image = ax.images[0]
    image.set_data(values.numpy())
    for text, value in zip(ax.texts, values.flatten().tolist(), strict=True):
        red, green, blue, _ = image.cmap(image.norm(value))
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        text.set(
            text=format(round(value, 2) + 0.0, form), color="black" if light else "white"
        )  # + 0.0: no "-0.00"


def _pair(logits: list[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in logits) + ")"


def draw_descent(ax: Axes, teacher: Tensor, paths: dict[str, Tensor], **options: object) -> Axes:
    """The intermediate loss of one student layer, two classes, over the difference of its logits, and where paths have led.

    teacher: (1, T, 2); paths: {name: (steps, 1, 2) logits of the student, one step a row}; options: as the loss has them.
    """
    difference = torch.linspace(-3, 5, 161)
    logits = torch.stack([-difference, difference], -1).unsqueeze(1) / 2  # (161, 1, 2)
    height = lambda z: [
        float(intermediate_loss(one.unsqueeze(0), teacher, **options).loss) for one in z.detach()
    ]
    ax.plot(difference, height(logits), color="0.3", linewidth=1.5, label="loss")
    for (name, path), colour, marker in zip(
        paths.items(), sns.color_palette("colorblind"), "os^", strict=False
    ):
        ax.plot(
            path[:, 0].diff().squeeze(-1),
            height(path),
            color=colour,
            marker=marker,
            markersize=5,
            linestyle="",
            alpha=0.6,
            label=name,
        )
    ax.axvline(0, color="0.6", linestyle=":", linewidth=1)
    ax.set(xlabel="Student: logit 2 minus logit 1", ylabel="Intermediate loss")
    ax.legend(frameon=False, fontsize=8)
    return ax


def projection_axes(figure: Figure) -> Sequence[Axes]:
    """Three axes on a figure, spaced for `draw_projection`."""
    places = {"left": 0.15, "right": 0.98, "bottom": 0.2, "top": 0.88, "wspace": 0.22}
    return figure.subplots(1, 3, gridspec_kw={"width_ratios": [2, 1.15, 1.15], **places})
