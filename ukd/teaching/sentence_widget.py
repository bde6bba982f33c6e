"""Explorer of single sentences: what every layer of teacher and student says of one, and where the student's layers look.

S student layers, T teacher layers, C classes (1 for regression).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors.torch import load_file
from torch import Tensor

from ukd.analysis.figures import draw_attention
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, Frozen, PseudoClassifiers
from ukd.methods.method import Method
from ukd.methods.registry import OPTIONS, get_method
from ukd.models.encoders import load_classifier, load_tokenizer
from ukd.teaching.widgets import alt_text, live
from ukd.training.layer_report import attention
from ukd.training.teacher import Teacher

HIGHEST = 5.0  # of the values of the suite's and GLUE's regression tasks, which begin at 0


def load_run_student(run: dict | str | Path, task: Task) -> tuple[Frozen, Method]:
    """A finished run's student as it stands at the end, inputs to logits (B, S, C), and its method, from the record or its folder.

    The pseudo classifiers are those of the stage that taught them; the layers below them may have moved in a later one. Raises ValueError
    for a method whose students have none, and for a run on another task.
    """
    folder, record = _read(run)
    said, name = record["settings"]["method"], record["method"]
    if record["task"] != task.name:
        raise ValueError(
            f"the run in {folder.name} is of the task {record['task']}, not {task.name}"
        )
    if not (folder / "student" / "heads.safetensors").is_file():
        raise ValueError(
            f"students of {name} have no pseudo classifiers, so nothing can be seen layer by layer: take universal-kd"
        )
    chosen = get_method(name, **{option: said[option] for option in OPTIONS if option in said})
    weights = load_file(folder / "student" / "heads.safetensors")
    layers, hidden, classes = weights["weight"].shape
    heads = PseudoClassifiers(hidden, classes, layers, pooler="pooler" in weights)
    heads.load_state_dict(weights)
    return Frozen(
        ClassifierWithHeads(load_classifier(folder / "student", task, seed=0), heads)
    ), chosen


def _read(run: dict | str | Path) -> tuple[Path, dict]:
    """A run's folder and the record in it."""
    folder = Path(run["folder"] if isinstance(run, dict) else run)
    return folder, json.loads((folder / "record.json").read_text(encoding="utf-8"))


def sentence_axes(figure: Figure) -> Sequence[Axes]:
    """Three axes on a figure, spaced for `draw_sentence`: the teacher's above the map, the student's beside it, layers in line."""
    spaced = {
        "left": 0.13,
        "right": 0.99,
        "bottom": 0.2,
        "top": 0.92,
        "wspace": 0.14,
        "hspace": 0.85,
    }
    grid = figure.add_gridspec(2, 2, width_ratios=[4, 1.2], height_ratios=[1, 1.4], **spaced)
    return [
        figure.add_subplot(grid[0, 0]),
        figure.add_subplot(grid[1, 0]),
        figure.add_subplot(grid[1, 1]),
    ]


def draw_sentence(
    axes: Sequence[Axes],
    teacher: Tensor,
    student: Tensor,
    weights: Tensor,
    classes: Sequence[str] | None,
) -> Sequence[Axes]:
    """What every layer of teacher and student says of one sentence, and where the student's layers look.

    Args:
        axes: three (see `sentence_axes`): the teacher's predictions (C, T), the layer map (S, T), the student's predictions (S, C).
        teacher: (T, C) logits; student: (S, C); weights: those of the layers below the last on both sides, or of the student's last.
        classes: their names; None for regression, where values are shown in place of probabilities.
    """
    theirs, ours = (logits.softmax(-1) if classes else logits for logits in (teacher, student))
    rows = (
        (slice(None, -1), slice(None, -1))
        if len(weights) == len(student) - 1
        else (slice(-1, None), slice(None))
    )
    shown = torch.full(
        (len(student), len(teacher)), float("nan")
    )  # the last layers meet in ordinary KD: no weight there
    shown[rows] = weights
    for ax in axes:
        ax.clear()
    look = {
        "vmin": 0,
        "vmax": 1 if classes else HIGHEST,
        "cmap": "cividis",
        "annot": True,
        "fmt": ".2f",
        "annot_kws": {"size": 8},
        "linewidths": 0.5,
        "cbar": False,
    }
    names, (t, s) = (
        list(classes or ("value",)),
        (range(1, len(layers) + 1) for layers in (teacher, student)),
    )
    sns.heatmap(theirs.T.numpy(), ax=axes[0], xticklabels=t, yticklabels=names, **look)
    sns.heatmap(ours.numpy(), ax=axes[2], xticklabels=names, yticklabels=s, **look)
    draw_attention(axes[1], shown.tolist(), "Where each student layer looks")
    what = "probabilities" if classes else "values"
    axes[0].set(title=f"Teacher: {what} by layer", xlabel="Teacher layer")
    axes[2].set_title(f"Student: {what}")
    axes[2].set_xticks(axes[2].get_xticks(), names, rotation=25, ha="right")
    for ax in axes:
        ax.tick_params(axis="y", rotation=0)
    return axes


def sentence(teacher: Teacher, run: dict | str | Path, task: Task, *texts: str) -> ipywidgets.VBox:
    """Explorer of single sentences: type one, or two where the task takes pairs, and see what every layer says and where the student looks.

    Args:
        run: a finished run with pseudo classifiers, its record with "folder" or its folder.
        texts: what stands in the boxes at the start; by default the first validation example.

    Raises ValueError for another number of texts than the task has, and as `load_run_student` does.
    """
    columns, first = task.spec.columns, task.dataset["validation"][0]
    texts = texts or tuple(first[column] for column in columns)
    if len(texts) != len(columns):
        raise ValueError(
            f"{task.name} takes {len(columns)} text(s) ({', '.join(columns)}), got {len(texts)}"
        )
    ask, names = sentence_asker(teacher, run, task), task.label_names
    boxes = [
        ipywidgets.Text(
            text,
            description=name,
            continuous_update=False,
            style={"description_width": "9em"},
            layout={"width": "60em"},
        )
        for name, text in zip(columns, texts, strict=True)
    ]
    figure = Figure(figsize=(9.6, 3.8), dpi=80)
    axes = sentence_axes(figure)

    def draw() -> str:
        theirs, ours, weights = ask(*(box.value for box in boxes))
        draw_sentence(axes, theirs, ours, weights, names)
        ends = [_answer(logits[-1], names) for logits in (theirs, ours)]
        return f"Teacher: <b>{ends[0]}</b>; student: <b>{ends[1]}</b>. {alt_text(weights)}"

    return ipywidgets.VBox([*boxes, live(figure, draw, boxes)])


def sentence_asker(
    teacher: Teacher, run: dict | str | Path, task: Task
) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Texts of one example to what the teacher's layers say (T, C), the student's (S, C), and the weights with which these look."""
    (student, chosen), frozen, (folder, record) = (
        load_run_student(run, task),
        teacher.load(task),
        _read(run),
    )
    tokenizers = [load_tokenizer(place) for place in (teacher.folder, folder / "student")]
    options = {
        "truncation": True,
        "max_length": record["settings"]["max_length"],
        "return_tensors": "pt",
    }

    def ask(*texts: str) -> tuple[Tensor, Tensor, Tensor]:
        theirs, ours = (
            net(**read(*texts, **options))
            for net, read in zip((frozen, student), tokenizers, strict=True)
        )
        return theirs[0], ours[0], attention(chosen, ours, theirs, task.spec.regression)[0]

    return ask


def _answer(logits: Tensor, classes: Sequence[str] | None) -> str:
    """The likeliest class with its probability, or the value, of logits (C,)."""
    best = logits.softmax(-1).max(-1)
    return (
        f"{classes[int(best.indices)]} {float(best.values):.2f}"
        if classes
        else f"{float(logits):.2f}"
    )
