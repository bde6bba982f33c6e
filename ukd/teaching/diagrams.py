"""Drawings of the method: the idea, the projection of one example in numbers, gradient descent.

S student layers, T teacher layers, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from torch import Tensor

from ukd.losses import intermediate_loss
from ukd.projection import attention_projection, weighted_sum

BLUE, ORANGE, GREEN = sns.color_palette("colorblind")[:3]
TEXT_GREY = "0.25"
DRAWN_STUDENT_LAYERS = 4
DRAWN_TEACHER_LAYERS = 6
ATTENDING_LAYER = 2  # the student layer whose attention is drawn
# The teacher heads' logits of one example. They decide how wide the lines are.
TEACHER_LOGITS = (0.1, 0.6, 1.2, 1.7, 2.1)
STUDENT_LOGIT = 0.9
BOX_WIDTH = 2.1
BOX_HEIGHT = 0.54


def method_figure() -> Figure:
    """The method's drawing on a figure of its own (see `draw_method`)."""
    figure, ax = plt.subplots(figsize=(8.2, 5.2))
    draw_method(ax)
    return figure


def draw_method(ax: Axes) -> Axes:
    """Student on the left, teacher on the right, one student layer's attention between them.

    The width of a line is its weight.
    """
    students = []
    for layer in range(1, DRAWN_STUDENT_LAYERS + 1):
        colour = BLUE if layer == DRAWN_STUDENT_LAYERS else "white"
        _draw_layer(ax, (0.4, 1.25 * layer - 0.35), f"student layer {layer}", BLUE)
        students.append(_draw_classifier(ax, (2.95, 1.25 * layer - 0.35), BLUE, colour))
    teachers = []
    for layer in range(1, DRAWN_TEACHER_LAYERS + 1):
        colour = ORANGE if layer == DRAWN_TEACHER_LAYERS else "white"
        _draw_layer(ax, (7.2, 0.95 * layer - 0.45), f"teacher layer {layer}", ORANGE)
        teachers.append(_draw_classifier(ax, (6.75, 0.95 * layer - 0.45), ORANGE, colour))
    _draw_attention_lines(ax, students[ATTENDING_LAYER - 1], teachers[:-1])
    _draw_line(ax, students[-1], teachers[-1], color=GREEN, linewidth=2)
    _write(ax, "KD between the last layers", (4.9, 5.28), GREEN, 9)
    _write(ax, "attention: who predicts as I do?", (4.9, -0.35), TEXT_GREY, 9)
    _write(ax, "pseudo classifiers,\ntrained with the student", (2.95, -0.95), BLUE, 8)
    _write(ax, "pseudo classifiers,\ntrained on labels, then frozen", (6.85, -0.95), ORANGE, 8)
    ax.set(xlim=(0, 9.9), ylim=(-1.2, 5.9), aspect="equal")
    ax.set_axis_off()
    return ax


def _draw_layer(ax: Axes, place: tuple[float, float], name: str, colour: tuple) -> None:
    """A layer's box, whose left edge has its middle at `place`."""
    x, y = place
    box = FancyBboxPatch(
        (x, y - BOX_HEIGHT / 2),
        BOX_WIDTH,
        BOX_HEIGHT,
        boxstyle="round,pad=0.05",
        facecolor="white",
        edgecolor=colour,
        linewidth=1.5,
    )
    ax.add_patch(box)
    ax.annotate(name, (x + BOX_WIDTH / 2, y), ha="center", va="center", fontsize=9)


def _draw_classifier(
    ax: Axes, centre: tuple[float, float], colour: tuple, filling: tuple | str
) -> tuple[float, float]:
    """The circle of a layer's classifier; returns its centre."""
    circle = Circle(centre, 0.2, facecolor=filling, edgecolor=colour, linewidth=1.5, zorder=3)
    ax.add_patch(circle)
    return centre


def _draw_attention_lines(
    ax: Axes, student: tuple[float, float], teachers: list[tuple[float, float]]
) -> None:
    """Lines from a student layer to the teacher layers, each with its weight."""
    student_logits = torch.tensor([[[STUDENT_LOGIT, -STUDENT_LOGIT]]])  # (1, 1, 2)
    teacher_logits = torch.tensor(TEACHER_LOGITS).view(1, -1, 1) * torch.tensor([1.0, -1.0])
    weights = attention_projection(student_logits, teacher_logits).weights[0, 0].tolist()
    for teacher, weight in zip(teachers, weights, strict=True):
        width = 0.4 + 12 * weight
        style = {"linewidth": width, "alpha": 0.55, "solid_capstyle": "round"}
        _draw_line(ax, student, teacher, color=TEXT_GREY, **style)
        x, y = teacher
        ax.annotate(
            f"{weight:.2f}",
            (x - 0.62, y - 0.10 + 0.18 * (student[1] - y)),
            fontsize=8,
            ha="right",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            zorder=2,
        )


def _draw_line(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], **style: object
) -> None:
    x = [start[0], end[0]]
    y = [start[1], end[1]]
    ax.plot(x, y, zorder=1, **style)


def _write(
    ax: Axes, text: str, place: tuple[float, float], colour: tuple | str, size: float
) -> None:
    ax.annotate(text, place, fontsize=size, ha="center", color=colour)


def logit_gradient(student: Tensor, teacher: Tensor, **options: object) -> Tensor:
    """Gradient of the intermediate loss with respect to the student's logits, (B, S, C).

    student: (B, S, C). teacher: (B, T, C). options: of `ukd.intermediate_loss`.
    """
    logits = student.detach().clone().requires_grad_()
    intermediate_loss(logits, teacher, **options).loss.backward()
    return logits.grad


def projection_axes(figure: Figure) -> Sequence[Axes]:
    """Three axes on a figure, spaced for `draw_projection`."""
    places = {"left": 0.15, "right": 0.98, "bottom": 0.2, "top": 0.88, "wspace": 0.22}
    return figure.subplots(1, 3, gridspec_kw={"width_ratios": [2, 1.15, 1.15], **places})


def draw_projection(
    axes: Sequence[Axes], student: Tensor, teacher: Tensor, **options: object
) -> Sequence[Axes]:
    """One example of the projection in numbers: weights, mixture, gradient.

    All values are written in the cells, and the colours' limits are fixed, so that two drawings can
    be compared. Drawn again on the same axes it is replaced.

    Args:
        axes: three, from left to right: weights (S, T); the teacher's logits summed with them
            (S, C); the gradient of the intermediate loss with respect to the student's logits
            (S, C). Descent goes against its sign.
        student: (S, C) logits of one example.
        teacher: (T, C).
        options: of `ukd.intermediate_loss`.
    """
    result = intermediate_loss(student.unsqueeze(0), teacher.unsqueeze(0), **options)
    mixture = weighted_sum(result.weights, teacher.unsqueeze(0))
    gradient = logit_gradient(student.unsqueeze(0), teacher.unsqueeze(0), **options)
    _draw_cells(axes[0], result.weights[0], WEIGHT_COLOURS)
    _draw_cells(axes[1], mixture[0], LOGIT_COLOURS)
    _draw_cells(axes[2], gradient[0], GRADIENT_COLOURS)
    axes[0].set(
        title="Attention weights",
        xlabel="Teacher layer and its logits",
        ylabel="Student layer and its logits",
        xticklabels=_layer_names(teacher, "\n"),
        yticklabels=_layer_names(student, ": "),
    )
    axes[1].set(title="Mixed teacher logits", xlabel="Class")
    axes[2].set(title="Gradient", xlabel=f"Class (loss {float(result.loss):.3f})")
    for ax in axes:
        ax.title.set_fontsize(10)
    return axes


class CellColours(NamedTuple):
    """Colours of a table's cells: map, limits, and the format of the numbers in them."""

    name: str
    low: float
    high: float
    number: str


WEIGHT_COLOURS = CellColours("cividis", 0, 1, ".2f")
LOGIT_COLOURS = CellColours("PuOr", -6, 6, "+.2f")
GRADIENT_COLOURS = CellColours("PuOr", -1, 1, "+.2f")


def _draw_cells(ax: Axes, values: Tensor, colours: CellColours) -> None:
    """A table of values (rows, columns), whose cells are coloured by their value and hold it."""
    rows, columns = values.shape
    ax.clear()
    image = ax.imshow(
        values.numpy(), cmap=colours.name, vmin=colours.low, vmax=colours.high, aspect="auto"
    )
    ax.set(xticks=range(columns), yticks=range(rows))
    ax.set(xticklabels=range(1, columns + 1), yticklabels=range(1, rows + 1))
    ax.tick_params(length=0, labelsize=8)
    ax.grid(False)
    for row in range(rows):
        for column in range(columns):
            value = float(values[row, column])
            text = format(round(value, 2) + 0.0, colours.number)  # + 0.0: no "-0.00"
            ink = _readable_ink(image.cmap(image.norm(value)))
            ax.text(column, row, text, ha="center", va="center", fontsize=9, color=ink)


def _readable_ink(background: tuple[float, float, float, float]) -> str:
    """Black on light cells, white on dark ones, by the luminance of the background."""
    red, green, blue, _ = background
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _layer_names(logits: Tensor, separator: str) -> list[str]:
    """Each layer's number and its logits (layers, C), for an axis."""
    names = []
    for layer, values in enumerate(logits.tolist(), 1):
        numbers = ", ".join(f"{value:g}" for value in values)
        names.append(f"{layer}{separator}({numbers})")
    return names


def draw_descent(ax: Axes, teacher: Tensor, paths: dict[str, Tensor], **options: object) -> Axes:
    """The intermediate loss of one student layer with two classes, and the paths of descents.

    Args:
        teacher: (1, T, 2).
        paths: by name the student's logits (steps, 1, 2), a step a row.
        options: of `ukd.intermediate_loss`.
    """
    difference = torch.linspace(-3, 5, 161)
    logits = torch.stack([-difference, difference], -1).unsqueeze(1) / 2  # (161, 1, 2)
    ax.plot(difference, _losses(logits, teacher, options), color="0.3", linewidth=1.5, label="loss")
    styles = zip(sns.color_palette("colorblind"), "os^", strict=False)
    for (name, path), (colour, marker) in zip(paths.items(), styles, strict=False):
        ax.plot(
            path[:, 0].diff().squeeze(-1),
            _losses(path, teacher, options),
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


def _losses(students: Tensor, teacher: Tensor, options: dict[str, object]) -> list[float]:
    """The loss at each of the student's logits (steps, 1, 2)."""
    losses = []
    for student in students.detach():
        result = intermediate_loss(student.unsqueeze(0), teacher, **options)
        losses.append(float(result.loss))
    return losses
