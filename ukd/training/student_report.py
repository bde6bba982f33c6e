"""What a record says of a run's student and of its answers."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ukd.config.presets import PRESETS, STUDENT_INITS, TrainingConfig
from ukd.config.runtime import Runtime
from ukd.data.metrics import expected_calibration_error
from ukd.data.tasks import SYNTHETIC, Task
from ukd.models.bundled import resolve_encoder
from ukd.models.students import STUDENTS
from ukd.training.teacher_cache import sha256_of

KNOWN = {config.student for config in PRESETS.values()} | {
    config.encoder for config in PRESETS.values()
}


def describe_student(config: TrainingConfig, encoder: str, runtime: Runtime) -> dict:
    """The student as a record names it: by content, never by path. Raises ValueError for one that can't be made."""
    layers = config.student == "layers"
    name = (
        encoder
        if layers
        else config.student
        if config.student in STUDENTS
        else resolve_encoder(config.student)[1]
    )
    if (
        not layers
        and config.student not in STUDENTS
        and name == config.student
        and "/" not in name
        and name not in KNOWN
    ):
        raise ValueError(
            f"unknown student {name!r}; choose one of: layers, {', '.join(STUDENTS)}, a folder, or a hub id"
        )
    if config.embeddings and config.student not in STUDENTS:
        raise ValueError(
            f"embeddings are given to one of {', '.join(STUDENTS)}; {config.student!r} brings its own"
        )
    file = config.embeddings and Path(config.embeddings)
    if file and config.embeddings != "teacher" and not file.is_file():
        raise ValueError(
            f"embeddings must be 'teacher' or a file of word vectors, and {config.embeddings!r} is neither"
        )
    if config.student_init not in STUDENT_INITS:
        raise ValueError(
            f"unknown start {config.student_init!r} of the student; choose one of: {', '.join(STUDENT_INITS)}"
        )
    return {
        "student": name,
        "student_layers": config.student_depth if layers else None,
        "student_start": config.student_init if layers else None,
        "student_pick": config.layer_selection if layers else None,
        "embeddings": sha256_of(file)[:12] if file and file.is_file() else config.embeddings,
    }


def said(answers: Tensor, labels: Tensor, task: Task) -> dict:
    """For the record: whether all examples got one class, the calibration error in points, and on the synthetic suite what each example
    got, for bootstraps over examples."""
    regression = task.spec.regression
    classes = answers.argmax(-1).tolist()
    found = {"collapsed": not regression and len(set(classes)) == 1}
    if not regression:
        found["calibration_error"] = round(
            expected_calibration_error(answers.numpy(), labels.numpy()), 3
        )
    if (
        task.name in SYNTHETIC
    ):  # no data of others enters a record, not even what would give its labels away
        values = (f"{value:.3f}" for value in answers.squeeze(-1).tolist())
        found["predicted"] = " ".join(values) if regression else "".join(map(str, classes))
    return found
