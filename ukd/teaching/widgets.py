"""Widgets: controls beside a figure that is drawn again whenever one of them changes.

Every control has a written label, shows its number, and works without a mouse. Below every figure a
sentence says what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from io import BytesIO
from textwrap import fill

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ukd.analysis.figures import alt_text, draw_layer_map, map_norm
from ukd.analysis.grouping import at_chosen_rate, methods_of, tasks_of
from ukd.analysis.runs import Runs, one_group
from ukd.losses import intermediate_loss
from ukd.teaching.diagrams import draw_projection, projection_axes

# The playground's logits at the start: (S, C) and (T, C).
STUDENT = ((0.5, -0.5), (-1.0, 1.0), (0.0, 0.0))
TEACHER = ((0.0, 0.0), (1.0, -1.0), (-2.0, 2.0), (3.0, -3.0))
FIGURE_WIDTH = 9.6  # inches
DPI = 80
MAP_MARGINS = {"left": 0.06, "right": 0.9, "bottom": 0.24, "top": 0.86, "wspace": 0.13}


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG. It is shown at once and thrown away, so it is hardly compressed."""
    file = BytesIO()
    figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})
    return file.getvalue()


def slider(
    label: str, value: float, low: float, high: float, *, step: float = 0.1
) -> ipywidgets.FloatSlider:
    """A labelled slider. Arrow keys move it by a step, and its number can be typed over."""
    return ipywidgets.FloatSlider(
        value, min=low, max=high, step=step, description=label, readout_format=".2f", **_layout()
    )


def temperature_slider(label: str, value: float = 1.0) -> ipywidgets.FloatLogSlider:
    """A labelled slider for a temperature, 1/16 to 64, half an octave a step."""
    return ipywidgets.FloatLogSlider(
        value, base=2, min=-4, max=6, step=0.5, description=label, readout_format=".3g", **_layout()
    )


def dropdown(label: str, options: Sequence[str], value: str) -> ipywidgets.Dropdown:
    """A labelled list to choose from. The space bar opens it, arrows and Enter choose."""
    return ipywidgets.Dropdown(options=options, value=value, description=label, **_layout())


def _layout() -> dict[str, dict[str, str]]:
    return {"style": {"description_width": "11em"}, "layout": {"width": "26em"}}


def live_figure(
    figure: Figure, draw: Callable[[], str], controls: Mapping[str, ipywidgets.Widget]
) -> ipywidgets.VBox:
    """The figure with a sentence below, both drawn again whenever one of the controls changes.

    draw: draws on the figure and returns the sentence, as HTML. Its errors are shown below.
    """
    image = ipywidgets.Image(format="png")
    sentence = ipywidgets.HTML()

    def update(**_values: object) -> None:
        sentence.value = draw()
        image.value = png_bytes(figure)

    errors = ipywidgets.interactive_output(update, dict(controls))
    return ipywidgets.VBox([image, sentence, errors])


def playground() -> ipywidgets.VBox:
    """Widget of the projection: both temperatures, three student layers, four teacher layers.

    Shows weights, mixture and gradient (see `draw_projection`).
    """
    attention_temperature = temperature_slider("attention temperature κ")
    temperature = temperature_slider("temperature τ")
    detached = ipywidgets.Checkbox(
        True, description="detach attention: no gradient through the weights", indent=False
    )
    students = _logit_sliders("student", STUDENT)
    teachers = _logit_sliders("teacher", TEACHER)
    figure = Figure(figsize=(FIGURE_WIDTH, 3.0), dpi=DPI)
    axes = projection_axes(figure)

    def draw() -> str:
        options = {
            "attention_temperature": attention_temperature.value,
            "temperature": temperature.value,
            "detach_attention": detached.value,
        }
        student = _values(students)
        teacher = _values(teachers)
        draw_projection(axes, student, teacher, **options)
        result = intermediate_loss(student.unsqueeze(0), teacher.unsqueeze(0), **options)
        return alt_text(result.weights[0])

    rows = [[attention_temperature, temperature, detached], *students, *teachers]
    controls = {control.description: control for row in rows for control in row}
    return ipywidgets.VBox([live_figure(figure, draw, controls), *map(ipywidgets.HBox, rows)])


def _logit_sliders(
    side: str, logits: Sequence[Sequence[float]]
) -> list[list[ipywidgets.FloatSlider]]:
    """Sliders for the logits of a network's layers: a row a layer, a column a class."""
    rows = []
    for layer, values in enumerate(logits, 1):
        row = []
        for number, value in enumerate(values, 1):
            row.append(slider(f"{side} {layer}, class {number}", value, -6, 6))
        rows.append(row)
    return rows


def _values(sliders: list[list[ipywidgets.FloatSlider]]) -> Tensor:
    """The sliders' values, (layers, C)."""
    return torch.tensor([[one.value for one in row] for row in sliders])


def layer_maps(runs: Runs) -> ipywidgets.Tab:
    """Widget of layer maps, a tab a task: two methods side by side, and which examples or epoch.

    Of a search over learning rates the chosen runs count. Raises ValueError for runs without layer
    maps.
    """
    runs = runs_with_layer_maps(runs)
    tasks = tasks_of(runs.table)
    tabs = ipywidgets.Tab([_task_maps(runs, task) for task in tasks])
    for number, task in enumerate(tasks):
        tabs.set_title(number, task)
    return tabs


def runs_with_layer_maps(runs: Runs) -> Runs:
    """The runs with a layer map, at the chosen learning rate. Raises ValueError without any."""
    chosen = one_group(runs.only(at_chosen_rate(runs.table)))
    has_map = chosen.table["run"].isin(chosen.values("layer_map")["run"])
    mapped = chosen.where(has_map)
    if not len(mapped):
        raise ValueError("no run has a layer map: `ukd run --method universal-kd` makes one")
    return mapped


def _task_maps(runs: Runs, task: str) -> ipywidgets.VBox:
    """One task's tab: the layer maps of two methods."""
    runs = runs.where(runs.table["task"] == task)
    names = methods_of(runs.table)
    left = dropdown("left: method", names, _first_of(names, "universal-kd"))
    right = dropdown("right: method", names, _first_of(names, "uniform"))
    groups = _common_groups(runs, names)
    group = dropdown("mean over", groups, groups[0])
    figure = Figure(figsize=(FIGURE_WIDTH, 2.2), dpi=DPI)
    axes = figure.subplots(1, 2, gridspec_kw=MAP_MARGINS)

    def draw() -> str:
        maps = {name: runs.of(name).layer_map(group.value) for name in (left.value, right.value)}
        scale = map_norm(maps.values())
        for ax, name in zip(axes, (left.value, right.value), strict=True):
            title = f"{task}, {name}: {group.value}"
            ax.clear()
            draw_layer_map(ax, maps[name], title, norm=scale, colour_bar=ax is axes[1])
        return "<br>".join(f"<b>{name}</b>: {alt_text(weights)}" for name, weights in maps.items())

    controls = {"left": left, "right": right, "group": group}
    shown = live_figure(figure, draw, controls)
    return ipywidgets.VBox([shown, ipywidgets.HBox([left, right, group])])


def _first_of(names: list[str], wanted: str) -> str:
    return wanted if wanted in names else names[-1]


def _common_groups(runs: Runs, names: list[str]) -> list[str]:
    """The groups of examples, and the epochs, that all methods have a layer map for."""
    groups = runs.map_groups()
    for name in names:
        known = set(runs.of(name).map_groups())
        groups = [group for group in groups if group in known]
    return sorted(groups, key=_examples_first)


def _examples_first(group: str) -> tuple[bool, bool]:
    """All examples, then parts of them, then the epochs."""
    return group != "all", group.startswith("epoch")


def example_maps(weights: Tensor, texts: Sequence[str]) -> ipywidgets.VBox:
    """Widget of single examples' layer maps, with a slider over the examples.

    weights: (N, S, T). texts: of the N examples. Raises ValueError where their numbers differ.
    """
    if len(weights) != len(texts):
        raise ValueError(f"{len(weights)} layer maps and {len(texts)} texts: give one for each")
    number = ipywidgets.IntSlider(1, min=1, max=len(texts), description="example", **_layout())
    figure = Figure(figsize=(FIGURE_WIDTH, 2.2), dpi=DPI)
    ax, beside = figure.subplots(1, 2, gridspec_kw=MAP_MARGINS)
    beside.set_axis_off()
    text_shown = beside.text(0, 0.5, "", va="center", fontsize=11, parse_math=False)

    def draw() -> str:
        example = weights[number.value - 1]
        text = texts[number.value - 1]
        ax.clear()
        draw_layer_map(ax, example, f"example {number.value}", colour_bar=False)
        text_shown.set_text(fill(text, 46))
        return f"{escape(text)}: {alt_text(example)}"

    return ipywidgets.VBox([live_figure(figure, draw, {"number": number}), number])
