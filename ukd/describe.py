"""What a record says of a run's student and of its answers."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ukd.config import Compute
from ukd.data import EMBEDDED, Task
from ukd.metrics import expected_calibration_error
from ukd.outputs import sha256_of
from ukd.profiles import PROFILES, STARTS, Profile
from ukd.students import STUDENTS
from ukd.teacher import resolve_encoder

KNOWN = {profile.student for profile in PROFILES.values()} | {profile.encoder for profile in PROFILES.values()}


def describe_student(profile: Profile, encoder: str, compute: Compute) -> dict:
    """The student as a record names it: by content, never by path. Raises ValueError for one that can't be made."""
    layers = profile.student == "layers"
    name = encoder if layers else profile.student if profile.student in STUDENTS else resolve_encoder(profile.student, profile, compute)[1]
    if not layers and profile.student not in STUDENTS and name == profile.student and "/" not in name and name not in KNOWN:
        raise ValueError(f"unknown student {name!r}; choose one of: layers, {', '.join(STUDENTS)}, a folder, or a hub id")
    if profile.embeddings and profile.student not in STUDENTS:
        raise ValueError(f"embeddings are given to one of {', '.join(STUDENTS)}; {profile.student!r} brings its own")
    file = profile.embeddings and Path(profile.embeddings)
    if file and profile.embeddings != "teacher" and not file.is_file():
        raise ValueError(f"embeddings must be 'teacher' or a file of word vectors, and {profile.embeddings!r} is neither")
    if profile.student_start not in STARTS:
        raise ValueError(f"unknown start {profile.student_start!r} of the student; choose one of: {', '.join(STARTS)}")
    return {
        "student": name, "student_layers": profile.student_layers if layers else None,
        "student_start": profile.student_start if layers else None,
        "student_pick": profile.student_pick if layers else None,
        "embeddings": sha256_of(file)[:12] if file and file.is_file() else profile.embeddings,
    }  # fmt: skip


def said(answers: Tensor, labels: Tensor, task: Task) -> dict:
    """For the record: whether all examples got one class, the calibration error in points, and on the embedded suite what each example
    got, for bootstraps over examples."""
    regression = task.spec.regression
    classes = answers.argmax(-1).tolist()
    found = {"collapsed": not regression and len(set(classes)) == 1}
    if not regression:
        found["calibration_error"] = round(expected_calibration_error(answers.numpy(), labels.numpy()), 3)
    if task.name in EMBEDDED:  # no data of others enters a record, not even what would give its labels away
        values = (f"{value:.3f}" for value in answers.squeeze(-1).tolist())
        found["predicted"] = " ".join(values) if regression else "".join(map(str, classes))
    return found
