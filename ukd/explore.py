"""Explorers: sliders beside a figure that is drawn anew with every move. ipywidgets alone, and no need of a mouse or of colour.

Every control has a written label and shows its number; below every picture a sentence says what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ukd.diagram import draw_projection, projection_axes
from ukd.losses import intermediate_loss

STUDENT = ((0.5, -0.5), (-1.0, 1.0), (0.0, 0.0))  # what the playground's layers say at the start, (S, C)
TEACHER = ((0.0, 0.0), (1.0, -1.0), (-2.0, 2.0), (3.0, -3.0))  # (T, C)


def picture(figure: Figure) -> bytes:
    """The figure as it stands, as a PNG; hardly compressed, for it is shown at once and thrown away."""
    file = BytesIO()
    figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})
    return file.getvalue()


def slider(label: str, value: float, low: float, high: float, *, step: float = 0.1) -> ipywidgets.FloatSlider:
    """A labelled slider with its number beside it, which can be typed over; arrow keys move it by a step."""
    return ipywidgets.FloatSlider(value, min=low, max=high, step=step, description=label, readout_format=".2f", **_look())


def temperature(label: str, value: float = 1.0) -> ipywidgets.FloatLogSlider:
    """A labelled slider for a temperature, 1/16 to 64, half an octave a step."""
    return ipywidgets.FloatLogSlider(value, base=2, min=-4, max=6, step=0.5, description=label, readout_format=".3g", **_look())


def _look() -> dict:
    return {"style": {"description_width": "9em"}, "layout": {"width": "24em"}}


def live(figure: Figure, draw: Callable[[], str], controls: Iterable[ipywidgets.Widget]) -> ipywidgets.VBox:
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
    kappa, tau = temperature("kappa (attention)"), temperature("tau (loss)")
    flows = ipywidgets.Checkbox(False, description="gradients flow through the attention", indent=False)
    ours, theirs = _logits("student", STUDENT), _logits("teacher", TEACHER)
    figure = Figure(figsize=(9.6, 3.0), dpi=80)
    axes = projection_axes(figure)

    def draw() -> str:
        options = {"kappa": kappa.value, "tau": tau.value, "attention_grad": flows.value}
        draw_projection(axes, _read(ours), _read(theirs), **options)
        return _sentence(intermediate_loss(_read(ours)[None], _read(theirs)[None], **options).weights[0])

    controls = [kappa, tau, flows, *(one for row in ours + theirs for one in row)]
    rows = [ipywidgets.HBox(row) for row in ([kappa, tau, flows], *ours, *theirs)]
    return ipywidgets.VBox([live(figure, draw, controls), *rows])


def _logits(side: str, start: Iterable[Iterable[float]]) -> list[list[ipywidgets.FloatSlider]]:
    """Sliders for the logits of a network's layers: a row a layer, a column a class."""
    rows = enumerate(start, 1)
    return [[slider(f"{side} {layer}, class {c}", value, -6, 6) for c, value in enumerate(row, 1)] for layer, row in rows]


def _read(sliders: list[list[ipywidgets.FloatSlider]]) -> Tensor:
    """What the sliders say, (layers, C)."""
    return torch.tensor([[one.value for one in row] for row in sliders])


def _sentence(weights: Tensor) -> str:
    """Where each student layer looks most, in words; weights (S, T)."""
    said = []
    for layer, row in enumerate(weights, 1):
        most = f"most at teacher layer {int(row.argmax()) + 1} ({float(row.max()):.2f})"
        said.append(f"student layer {layer} looks " + ("at all alike" if row.max() - row.min() < 0.005 else most))
    return "; ".join(said).capitalize() + "."
