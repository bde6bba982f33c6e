"""Explorers: sliders beside a figure that is drawn anew with every move. ipywidgets alone, and no need of a mouse or of colour.

Every control has a written label and shows its number; below every picture a sentence says what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from io import BytesIO
from textwrap import fill

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ukd.analysis.figures import draw_attention
from ukd.analysis.tables import decided, label, ordered
from ukd.data.tasks import SPECS
from ukd.losses import intermediate_loss
from ukd.methods.registry import METHODS
from ukd.teaching.diagrams import draw_projection, projection_axes

STUDENT = (
    (0.5, -0.5),
    (-1.0, 1.0),
    (0.0, 0.0),
)  # what the playground's layers say at the start, (S, C)
TEACHER = ((0.0, 0.0), (1.0, -1.0), (-2.0, 2.0), (3.0, -3.0))  # (T, C)
ALL = "all examples"
PLACES = {
    "left": 0.06,
    "right": 0.99,
    "bottom": 0.24,
    "top": 0.86,
    "wspace": 0.13,
}  # of layer maps on their figure


def picture(figure: Figure) -> bytes:
    """The figure as it stands, as a PNG; hardly compressed, for it is shown at once and thrown away."""
    file = BytesIO()
    figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})
    return file.getvalue()


def slider(
    label: str, value: float, low: float, high: float, *, step: float = 0.1
) -> ipywidgets.FloatSlider:
    """A labelled slider with its number beside it, which can be typed over; arrow keys move it by a step."""
    return ipywidgets.FloatSlider(
        value, min=low, max=high, step=step, description=label, readout_format=".2f", **_look()
    )


def temperature_slider(label: str, value: float = 1.0) -> ipywidgets.FloatLogSlider:
    """A labelled slider for a temperature, 1/16 to 64, half an octave a step."""
    return ipywidgets.FloatLogSlider(
        value, base=2, min=-4, max=6, step=0.5, description=label, readout_format=".3g", **_look()
    )


def _look() -> dict:
    return {"style": {"description_width": "9em"}, "layout": {"width": "24em"}}


def live(
    figure: Figure, draw: Callable[[], str], controls: Iterable[ipywidgets.Widget]
) -> ipywidgets.VBox:
    """The figure's picture with a sentence below, both made anew whenever one of the controls changes.

    draw: draws on the figure and returns the sentence. What it raises reaches whoever moved the control, nothing is caught here.
    """
    image, text = ipywidgets.Image(format="png"), ipywidgets.HTML()

    def redraw(_change: object = None) -> None:
        text.value = draw()
        image.value = picture(figure)

    for control in controls:
        control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([image, text])


def playground() -> ipywidgets.VBox:
    """Explorer of the projection: kappa, tau, and the two logits of three student and four teacher layers, each with a slider.

    Shows weights, mixture and the gradient on the student's logits at once (see `ukd.diagram.draw_projection`).
    """
    attention_temperature, temperature = (
        temperature_slider("kappa (attention)"),
        temperature_slider("tau (loss)"),
    )
    flows = ipywidgets.Checkbox(
        False, description="gradients flow through the attention", indent=False
    )
    ours, theirs = _logits("student", STUDENT), _logits("teacher", TEACHER)
    figure = Figure(figsize=(9.6, 3.0), dpi=80)
    axes = projection_axes(figure)

    def draw() -> str:
        options = {
            "kappa": attention_temperature.value,
            "tau": temperature.value,
            "attention_grad": flows.value,
        }
        draw_projection(axes, _read(ours), _read(theirs), **options)
        return alt_text(
            intermediate_loss(_read(ours)[None], _read(theirs)[None], **options).weights[0]
        )

    controls = [
        attention_temperature,
        temperature,
        flows,
        *(one for row in ours + theirs for one in row),
    ]
    rows = [
        ipywidgets.HBox(row)
        for row in ([attention_temperature, temperature, flows], *ours, *theirs)
    ]
    return ipywidgets.VBox([live(figure, draw, controls), *rows])


def _logits(side: str, start: Iterable[Iterable[float]]) -> list[list[ipywidgets.FloatSlider]]:
    """Sliders for the logits of a network's layers: a row a layer, a column a class."""
    rows = enumerate(start, 1)
    return [
        [slider(f"{side} {layer}, class {c}", value, -6, 6) for c, value in enumerate(row, 1)]
        for layer, row in rows
    ]


def _read(sliders: list[list[ipywidgets.FloatSlider]]) -> Tensor:
    """What the sliders say, (layers, C)."""
    return torch.tensor([[one.value for one in row] for row in sliders])


def alt_text(weights: Tensor | np.ndarray) -> str:
    """Where each student layer looks most, in words; weights (S, T)."""
    said = []
    for layer, row in enumerate(weights, 1):
        most = f"most at teacher layer {int(row.argmax()) + 1} ({float(row.max()):.2f})"
        said.append(
            f"student layer {layer} looks "
            + ("at all alike" if row.max() - row.min() < 0.005 else most)
        )
    return "; ".join(said).capitalize() + "."


def views(record: dict) -> dict[str, np.ndarray]:
    """The layer maps (S, T) that a record holds, by what each is a mean over: all examples, those of a class or of a level of
    difficulty, at the end of the stage with the intermediate term (validation); or all examples after one of its epochs (development part).

    Raises ValueError for a method without a term in the output space, which has no layer map.
    """
    said = record["attention"]
    if not said:
        raise ValueError(
            f"{label(record)} has no layer map: no student layer of it looks at what the teacher's layers predict"
        )
    found = {ALL: said["mean"]} | {
        f"class {name}": weights for name, weights in said.get("by_class", {}).items()
    }
    levels = said.get("by_difficulty", {})
    found |= {f"difficulty {level}": levels[level] for level in sorted(levels, key=float)}
    for stage in record["settings"]["method"]["stages"]:
        for epoch in record["history"][stage["name"]]["epochs"]:
            if "attention" in epoch:
                found[f"epoch {epoch['epoch']}"] = epoch["attention"]
    return {name: np.array(weights) for name, weights in found.items()}


def mean_layer_map(records: Iterable[dict], task: str, name: str, view: str = ALL) -> np.ndarray:
    """A layer map (S, T) of a method (by its label) on a task, the mean over the records' seeds. view: one of `views`.

    Raises ValueError where no record is of that method and task, or none has such a view.
    """
    chosen = [record for record in records if record["task"] == task and label(record) == name]
    if not chosen:
        raise ValueError(f"no record of {name!r} on {task!r}")
    found = [maps[view] for record in chosen if view in (maps := views(record))]
    if not found:
        raise ValueError(
            f"{name} on {task} has no view {view!r}; choose one of: {', '.join(views(chosen[0]))}"
        )
    return np.mean(found, axis=0)


def choice(label: str, options: Sequence[str], value: str) -> ipywidgets.Dropdown:
    """A labelled list to choose from. The space bar opens it, arrows and Enter choose (JupyterLab keeps plain arrows for its cells)."""
    return ipywidgets.Dropdown(options=options, value=value, description=label, **_look())


def layer_maps(
    records: list[dict], *, weights: Tensor | None = None, texts: Sequence[str] = ()
) -> ipywidgets.VBox:
    """Explorer of layer maps from run records: a task, two methods side by side, and which examples or which epoch.

    weights (N, S, T) of the single examples `texts` of a run that is at hand: a third map below, with a slider over the examples;
    records hold means alone. Raises ValueError for records without layer maps, and where weights and texts differ in number.
    """
    records = [record for record in decided(records) if record["attention"]]
    if not records:
        raise ValueError(
            "no record with a layer map to explore: `ukd run --method universal-kd` makes one"
        )
    if weights is not None and len(weights) != len(texts):
        raise ValueError(
            f"{len(weights)} maps of single examples and {len(texts)} texts: give one text for each"
        )
    tasks = ordered({record["task"] for record in records}, SPECS)
    task, left, right, view = (
        choice(name, [" "], " ") for name in ("task", "left: method", "right: method", "mean over")
    )
    task.options = tasks
    single = ipywidgets.IntSlider(
        1, min=1, max=max(1, len(texts)), description="single example", **_look()
    )
    figure = Figure(figsize=(9.6, 4.2 if len(texts) else 2.2), dpi=80)
    spaced = PLACES | ({"hspace": 0.9, "top": 0.92, "bottom": 0.13} if texts else {})
    axes = figure.subplots(1 + bool(texts), 2, squeeze=False, gridspec_kw=spaced)
    for ax in axes[1:, 1]:
        ax.set_axis_off()
    beside = axes[1, 1].text(0, 0.5, "", va="center", fontsize=11) if texts else None
    changed = ipywidgets.IntText(
        0
    )  # counts what is to be drawn, so that a new task with its new lists is drawn once

    def fill_lists() -> None:
        mine = [record for record in records if record["task"] == task.value]
        names = ordered({label(record) for record in mine}, METHODS)
        shared = [name for name in views(mine[0]) if all(name in views(record) for record in mine)]
        for control, options, first in (
            (left, names, "universal-kd"),
            (right, names, "uniform"),
            (view, shared, ALL),
        ):
            kept = (
                control.value
                if control.value in options
                else first
                if first in options
                else options[-1]
            )
            control.options = options
            control.value = kept

    def draw() -> str:
        found = [
            (name.value, mean_layer_map(records, task.value, name.value, view.value))
            for name in (left, right)
        ]
        for ax, (name, mean) in zip(axes[0], found, strict=True):
            _draw_once(ax, mean, f"{task.value}, {name}: {view.value}")
        said = [f"<b>{name}</b>: {alt_text(mean)}" for name, mean in found]
        if texts:
            number, text = single.value, texts[single.value - 1]
            _draw_once(
                axes[1, 0], np.asarray(weights[number - 1]), f"run at hand, single example {number}"
            )
            beside.set_text(fill(text, 46))
            said.append(
                f"<b>single example {number}</b>, {escape(text)}: {alt_text(weights[number - 1])}"
            )
        return "<br>".join(said)

    def react(change: dict) -> None:
        if busy:
            return
        if change["owner"] is task:
            busy.append(True)
            fill_lists()
            busy.clear()
        changed.value += 1

    busy: list[bool] = []
    fill_lists()
    shown = live(figure, draw, [changed])
    controls = [task, left, right, view, *([single] if texts else [])]
    for control in controls:
        control.observe(react, names="value")
    return ipywidgets.VBox(
        [shown, ipywidgets.HBox([task, view]), ipywidgets.HBox([left, right]), *controls[4:]]
    )


def _draw_once(ax: Axes, weights: np.ndarray, title: str) -> None:
    """The map on its axes, unless just that is there already: a third of the time of a response is drawing cells."""
    if ax.get_title() != title:
        ax.clear()
        draw_attention(ax, weights, title)
