"""What a record says about a run's student and its predictions."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ukd.config.choices import STUDENT_INITS
from ukd.config.keys import HASH_LENGTH, files_hash
from ukd.config.presets import PRESETS, TrainingConfig
from ukd.config.runtime import logger
from ukd.data.metrics import expected_calibration_error
from ukd.data.tasks import SYNTHETIC, Task
from ukd.methods.method import Method
from ukd.methods.objective import lowest_taught
from ukd.methods.registry import METHODS
from ukd.models.bundled import resolve_encoder
from ukd.models.encoders import TEACHER_EMBEDDINGS
from ukd.models.students import STUDENTS

OF_NEW_STUDENT = ("first", "pretrained")  # layer_selection and student_init that choose nothing


def describe_student(config: TrainingConfig, encoder: str) -> dict:
    """The student's part of `RunSettings`: by content, never by path.

    encoder: the name of the teacher's, for a student that takes layers of it.

    Raises: ValueError for a student that can't be made.
    """
    takes_layers = config.student == "layers"
    if takes_layers:
        name = encoder
        check_depth(config, config.teacher_depth)
    else:
        name = _student_name(config.student)
    if config.student_init not in STUDENT_INITS:
        raise ValueError(
            f"unknown student_init {config.student_init!r}; "
            f"choose one of: {', '.join(STUDENT_INITS)}"
        )
    if not takes_layers and (config.layer_selection, config.student_init) != OF_NEW_STUDENT:
        raise ValueError(
            f"layer_selection {config.layer_selection!r} and student_init {config.student_init!r} "
            f"are about layers of the encoder, and student {config.student!r} takes none: leave "
            f"them at {OF_NEW_STUDENT}"
        )
    return {
        "student": name,
        "student_depth": config.student_depth if takes_layers or name in STUDENTS else None,
        "layer_selection": config.layer_selection if takes_layers else None,
        "student_init": config.student_init if takes_layers else None,
        "embeddings": _embeddings_name(config),
    }


def check_depth(config: TrainingConfig, teacher_depth: int | None) -> None:
    """Raise ValueError for a student of layers that is deeper than its teacher."""
    if config.student != "layers" or teacher_depth is None:
        return
    if config.student_depth > teacher_depth:
        raise ValueError(
            f"student_depth is {config.student_depth}, and the teacher has {teacher_depth} layers: "
            f"take a student of at most {teacher_depth} (--student-depth), or a deeper teacher"
        )


def check_student_layers(method: Method, config: TrainingConfig, layers: int | None = None) -> None:
    """Raise ValueError for a student without the layers that a method teaches.

    That is one below the last, and for student_layers "upper" one more, which is left out.

    layers: the student's; by default the config's, which those of a pretrained student are not in.
    """
    known = layers is not None or config.student == "layers" or config.student in STUDENTS
    if layers is None:
        layers = config.student_depth if known else 2
    if known and method.student_layers == "upper" and lowest_taught(method, layers) == 0:
        raise ValueError(
            f"student_layers 'upper' are all intermediate layers of a student of {layers}: take at "
            "least 3 (--student-depth), or student_layers intermediate"
        )
    if (method.needs_heads or method.hidden) and layers < 2:
        raise ValueError(
            f"{method.name} needs a student of at least 2 layers, got {layers}: take a deeper one "
            "(--student-depth), or a method that compares the last layers alone, such as kd"
        )


def say_without_effect(task: Task, method: Method) -> None:
    """Warn of options that change nothing where labels are values: they serve a grid's others."""
    if not task.spec.regression:
        return
    without = []
    if method.temperature != METHODS.get(method.name, method).temperature:
        without.append(f"temperature {method.temperature:g}")
    if method.attention_on == "losses" and method.detach_attention:
        # The squared errors differ by what no gradient sees.
        without.append("attention_on losses")
    for option in without:
        logger.warning(f"{method.name}: {option} has no effect on {task.name}, a regression")


def _student_name(student: str) -> str:
    """A student's name: an architecture, a folder's name with its weights' hash, or a hub id."""
    if student in STUDENTS:
        return student
    name = resolve_encoder(student)[1]
    is_hub_id = name == student
    if is_hub_id and "/" not in name and name not in _known_encoders():
        raise ValueError(
            f"unknown student {name!r}; choose one of: layers, {', '.join(STUDENTS)}, a folder, or "
            "a hub id"
        )
    return name


def _known_encoders() -> set[str]:
    """Hub ids without an owner that presets name."""
    students = {config.student for config in PRESETS.values()}
    return students | {config.encoder for config in PRESETS.values()}


def _embeddings_name(config: TrainingConfig) -> str | None:
    """Where word embeddings start from: None, "teacher", or the hash of a file of vectors."""
    if not config.embeddings:
        return None
    if config.student not in STUDENTS:
        raise ValueError(
            f"embeddings are given to one of {', '.join(STUDENTS)}; {config.student!r} brings its "
            "own"
        )
    if config.embeddings == TEACHER_EMBEDDINGS:
        return TEACHER_EMBEDDINGS
    file = Path(config.embeddings)
    if not file.is_file():
        raise ValueError(
            f"embeddings must be 'teacher' or a file of word vectors, and {config.embeddings!r} is "
            "neither"
        )
    return files_hash([file])[:HASH_LENGTH]


def prediction_summary(logits: Tensor, labels: Tensor, task: Task) -> dict:
    """Fields of a record about the predictions, from logits (N, C) and labels (N,).

    collapsed: whether all examples got one class. calibration_error: in percentage points; classes
    only. predictions: of each example, for the synthetic suite alone: nothing of other data enters
    a record, not even what would tell its labels.
    """
    regression = task.spec.regression
    classes = logits.argmax(-1).tolist()
    summary: dict = {"collapsed": not regression and len(set(classes)) == 1}
    if not regression:
        error = expected_calibration_error(logits.numpy(), labels.numpy())
        summary["calibration_error"] = round(error, 3)
    if task.name in SYNTHETIC:
        if regression:
            values = [f"{value:.3f}" for value in logits.squeeze(-1).tolist()]
            summary["predictions"] = " ".join(values)
        else:
            summary["predictions"] = "".join(str(index) for index in classes)
    return summary
