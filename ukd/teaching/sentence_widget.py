"""Widget of single sentences: each layer's prediction, and where the student's layers attend.

S student layers, T teacher layers, C classes (1 for regression).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import ipywidgets
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors.torch import load_file
from torch import Tensor

from ukd.analysis.figures import alt_text, draw_layer_map, map_norm
from ukd.config.verified import refuse_damaged
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, Frozen, PseudoClassifiers
from ukd.methods.method import Method
from ukd.methods.registry import OPTIONS, get_method
from ukd.models.encoders import load_tokenizer, load_trained
from ukd.teaching.widgets import DPI, FIGURE_WIDTH, live_figure
from ukd.training.layer_report import attention
from ukd.training.run_record import RunRecord
from ukd.training.teacher import Teacher

REGRESSION_MAXIMUM = 5.0  # of the labels of the suites' regression tasks, which begin at 0
MARGINS = {"left": 0.13, "right": 0.99, "bottom": 0.2, "top": 0.92, "wspace": 0.14, "hspace": 0.85}
CELLS = {"cmap": "cividis", "annot": True, "fmt": ".2f", "annot_kws": {"size": 8}, "cbar": False}


class LayerPredictions(NamedTuple):
    """What all layers predict for one example.

    teacher: logits (T, C). student: logits (S, C). weights: the layer map, over the layers that
    meet in the output space.
    """

    teacher: Tensor
    student: Tensor
    weights: Tensor


def load_student(run: RunRecord | str | Path, task: Task) -> tuple[Frozen, Method]:
    """A finished run's student, inputs to logits (B, S, C), and its method.

    The pseudo classifiers are those of the stage that trained them. The layers below them may have
    moved in a later stage.

    Args:
        run: its record, or its folder.
        task: that of the run.

    Raises: ValueError for a run on another task, without pseudo classifiers, or that is damaged.
    """
    record = _record(run)
    if record.task != task.name:
        raise ValueError(
            f"the run is of the task {record.task}, not {task.name}: load {record.task}"
        )
    folder = Path(record.folder) / "student"
    refuse_damaged(folder)
    if not (folder / "heads.safetensors").is_file():
        raise ValueError(
            f"students of {record.method} have no pseudo classifiers, so nothing can be seen layer "
            "by layer: take universal-kd"
        )
    network = load_trained(folder, task)
    options = {name: record.settings.method[name] for name in OPTIONS}
    weights = load_file(folder / "heads.safetensors")
    layers, hidden_size, classes = weights["weight"].shape
    heads = PseudoClassifiers(hidden_size, classes, layers, pooler="pooler" in weights)
    heads.load_state_dict(weights)
    return Frozen(ClassifierWithHeads(network, heads)), get_method(record.method, **options)


def _record(run: RunRecord | str | Path) -> RunRecord:
    return run if isinstance(run, RunRecord) else RunRecord.read(Path(run) / "record.json")


def sentence_predictor(
    teacher: Teacher, run: RunRecord | str | Path, task: Task
) -> Callable[..., LayerPredictions]:
    """A function from the text or texts of one example to the predictions of all layers."""
    record = _record(run)
    student, method = load_student(record, task)
    frozen = teacher.load(task)
    read_teacher = load_tokenizer(teacher.folder)
    read_student = load_tokenizer(Path(record.folder) / "student")
    options = {
        "truncation": True,
        "max_length": record.settings.max_length,
        "return_tensors": "pt",
    }

    def predict_layers(*texts: str) -> LayerPredictions:
        """What both networks' layers predict of a sentence or a pair, and the map between them."""
        teacher_logits = frozen(**read_teacher(*texts, **options))  # (1, T, C)
        student_logits = student(**read_student(*texts, **options))  # (1, S, C)
        weights = attention(method, student_logits, teacher_logits, task.spec.regression)
        return LayerPredictions(teacher_logits[0], student_logits[0], weights[0])

    return predict_layers


def sentence_axes(figure: Figure) -> Sequence[Axes]:
    """Three axes for `draw_sentence`: the teacher above the map, the student beside it."""
    grid = figure.add_gridspec(2, 2, width_ratios=[4, 1.2], height_ratios=[1, 1.4], **MARGINS)
    teacher = figure.add_subplot(grid[0, 0])
    layer_map = figure.add_subplot(grid[1, 0])
    student = figure.add_subplot(grid[1, 1])
    return [teacher, layer_map, student]


def draw_sentence(
    axes: Sequence[Axes], predictions: LayerPredictions, classes: Sequence[str] | None
) -> Sequence[Axes]:
    """Predictions of every layer for one sentence, and where the student's layers attend.

    Args:
        axes: of `sentence_axes`.
        predictions: of one example.
        classes: their names; None for regression, where values stand in place of probabilities.
    """
    teacher_values = predictions.teacher.softmax(-1) if classes else predictions.teacher
    student_values = predictions.student.softmax(-1) if classes else predictions.student
    for ax in axes:
        ax.clear()
    # A dollar sign would begin a formula.
    names = [name.replace("$", r"\$") for name in classes or ("value",)]
    what = "probabilities" if classes else "values"
    style = CELLS | {"vmin": 0, "vmax": 1 if classes else REGRESSION_MAXIMUM}
    layers = range(1, len(teacher_values) + 1)
    sns.heatmap(teacher_values.T, ax=axes[0], xticklabels=layers, yticklabels=names, **style)
    axes[0].set(title=f"Teacher: {what} by layer", xlabel="Teacher layer")
    shown = _with_last_layers(predictions)
    options = {"norm": map_norm([predictions.weights]), "colour_bar": False}
    draw_layer_map(axes[1], shown, "Where each student layer attends", **options)
    axes[1].set_facecolor("0.85")  # the cells without a weight
    layers = range(1, len(student_values) + 1)
    sns.heatmap(student_values, ax=axes[2], xticklabels=names, yticklabels=layers, **style)
    axes[2].set(title=f"Student: {what}")
    axes[2].set_xticks(axes[2].get_xticks(), names, rotation=25, ha="right")
    for ax in axes:
        ax.tick_params(axis="y", rotation=0)
    return axes


def _with_last_layers(predictions: LayerPredictions) -> Tensor:
    """The layer map with a place for every layer (S, T), NaN where no attention is.

    The last layers of both networks meet in ordinary KD. Where one row of weights is given, the
    student's last layer attends to all of the teacher's.
    """
    layers = (len(predictions.student), len(predictions.teacher))
    shown = torch.full(layers, float("nan"))
    students, teachers = predictions.weights.shape
    if students == layers[0] - 1:
        shown[:students, :teachers] = predictions.weights
    else:
        shown[-1:, :teachers] = predictions.weights
    return shown


def sentence(
    teacher: Teacher, run: RunRecord | str | Path, task: Task, *texts: str
) -> ipywidgets.VBox:
    """Widget of single sentences: type one, or two where the task takes pairs.

    Args:
        teacher: that of the run.
        run: a finished run with pseudo classifiers: its record, or its folder.
        task: that of the run.
        texts: in the boxes at the start; by default the first validation example.

    Raises: ValueError for another number of texts than the task has, and as `load_student` does.
    """
    columns = task.spec.columns
    if not texts:
        first = task.dataset["validation"][0]
        texts = tuple(first[column] for column in columns)
    if len(texts) != len(columns):
        names = ", ".join(columns)
        raise ValueError(f"{task.name} takes {len(columns)} text(s) ({names}), got {len(texts)}")
    predict_layers = sentence_predictor(teacher, run, task)
    boxes = {}
    for column, text in zip(columns, texts, strict=True):
        boxes[column] = _text_box(column, text)
    figure = Figure(figsize=(FIGURE_WIDTH, 3.8), dpi=DPI)
    axes = sentence_axes(figure)

    def draw() -> str:
        predictions = predict_layers(*(box.value for box in boxes.values()))
        draw_sentence(axes, predictions, task.label_names)
        answers = [
            _answer(logits[-1], task.label_names)
            for logits in (predictions.teacher, predictions.student)
        ]
        words = f"Teacher: <b>{answers[0]}</b>; student: <b>{answers[1]}</b>."
        return f"{words} {alt_text(predictions.weights)}"

    return ipywidgets.VBox([*boxes.values(), live_figure(figure, draw, boxes)])


def _text_box(label: str, text: str) -> ipywidgets.Text:
    return ipywidgets.Text(
        text,
        description=label,
        continuous_update=False,
        style={"description_width": "9em"},
        layout={"width": "60em"},
    )


def _answer(logits: Tensor, classes: Sequence[str] | None) -> str:
    """The likeliest class with its probability, or the value, of logits (C,), as HTML."""
    if classes is None:
        return f"{float(logits):.2f}"
    best = logits.softmax(-1).max(-1)
    return f"{escape(classes[int(best.indices)])} {float(best.values):.2f}"
