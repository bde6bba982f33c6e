"""The options of a budget, and the training config that they give."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ukd.cli.options import (
    BY_PRESET,
    choice,
    number,
    text,
)
from ukd.cli.parse import ALL, count_or_all, positive
from ukd.config.choices import LAYER_SELECTIONS, SELECTION_SPLITS, STUDENT_INITS
from ukd.config.presets import HUB_PRESETS, LOCAL_PRESETS

if TYPE_CHECKING:
    from ukd.config.presets import TrainingConfig


@dataclass(frozen=True)
class Budget:
    """Encoder, student and training; every method gets the same."""

    preset: Annotated[
        str,
        text(
            "--preset",
            metavar="NAME",
            envvar="UKD_PRESET",
            text=f"A budget, on the bundled encoder ({', '.join(LOCAL_PRESETS)}) or on encoders of "
            f"the hub ({', '.join(HUB_PRESETS)}). See `ukd plan --presets`.",
        ),
    ] = "cpu"
    teacher: Annotated[
        str | None,
        text(
            "--teacher",
            metavar="ENCODER",
            text="What teacher and student are made from: 'bundled', 'random' (the same without "
            f"pretraining), a folder or a hub id.  {BY_PRESET}",
        ),
    ] = None
    teacher_depth: Annotated[
        int | None,
        number("--teacher-depth", text="The teacher's layers, the first.", default=BY_PRESET),
    ] = None
    student: Annotated[
        str | None,
        text(
            "--student",
            metavar="KIND",
            text="'layers' of the encoder, 'bilstm', 'gated-cnn', or a smaller encoder: a folder "
            f"or a hub id.  {BY_PRESET}",
        ),
    ] = None
    student_depth: Annotated[
        int | None,
        number(
            "--student-depth",
            text="Layers of the encoder, or of a BiLSTM or CNN.",
            default=BY_PRESET,
        ),
    ] = None
    layer_selection: Annotated[
        str | None,
        choice(
            "--layer-selection",
            choices=LAYER_SELECTIONS,
            text=f"Which layers of the encoder.  {BY_PRESET}",
        ),
    ] = None
    student_init: Annotated[
        str | None,
        choice(
            "--student-init",
            choices=STUDENT_INITS,
            text=f"Its layers as pretrained, or as the fine-tuned teacher's.  {BY_PRESET}",
        ),
    ] = None
    embeddings: Annotated[
        str | None,
        text(
            "--embeddings",
            metavar="FROM",
            text="Start those of a BiLSTM or CNN from 'teacher', those of its encoder as "
            "pretrained, or from a file of word vectors.  [default: random]",
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        number(
            "--learning-rate",
            parser=positive,
            text="Peak of the student's.",
            default="[default: the preset's for its own student, else by kind]",
        ),
    ] = None
    teacher_learning_rate: Annotated[
        float | None,
        number(
            "--teacher-learning-rate",
            parser=positive,
            text="Peak of the teacher's.",
            default="[default: the preset's, or by encoder]",
        ),
    ] = None
    batch_size: Annotated[
        int | None, number("--batch-size", text="Examples a step.", default=BY_PRESET)
    ] = None
    max_length: Annotated[
        int | None, number("--max-length", text="Limit of tokens an example.", default=BY_PRESET)
    ] = None
    max_train: Annotated[
        str | None,
        number(
            "--max-train",
            parser=count_or_all,
            text="Limit of labelled examples, the development part included, or 'all'.",
            default=BY_PRESET,
        ),
    ] = None
    teacher_epochs: Annotated[
        int | None, number("--teacher-epochs", text="Passes over train.", default=BY_PRESET)
    ] = None
    student_epochs: Annotated[
        int | None,
        number(
            "--student-epochs", text="Passes over train, all stages together.", default=BY_PRESET
        ),
    ] = None
    selection_split: Annotated[
        str | None,
        choice(
            "--selection-split",
            choices=SELECTION_SPLITS,
            text="Where the best epoch is chosen: a part of train, or the split that is reported.  "
            f"{BY_PRESET}",
        ),
    ] = None
    allow_weak_teacher: Annotated[
        bool,
        typer.Option(
            "--allow-weak-teacher",
            help=f"Only warn when the teacher has not learned its task.  {BY_PRESET}",
        ),
    ] = False

    def check_kept(self, logits: Path | None) -> None:
        """Raise ValueError for an option of the teacher's training where its logits are kept."""
        if logits is None:
            return
        for name in ("teacher_depth", "teacher_epochs", "teacher_learning_rate"):
            if (value := getattr(self, name)) is not None:
                raise ValueError(
                    f"--{name.replace('_', '-')} {value} is about training a teacher, and "
                    f"--teacher-logits {logits} is one that is trained: leave one of them out"
                )

    def config(self) -> TrainingConfig:
        """The preset with the options that are given.

        Raises ValueError for an unknown preset, and for layers of a student that takes none.
        """
        from ukd.config.presets import preset
        from ukd.models.students import STUDENTS

        changes = {field.name: getattr(self, field.name) for field in fields(self)}
        name = changes.pop("preset")
        changes["encoder"] = changes.pop("teacher")
        if changes.pop("allow_weak_teacher"):
            changes["enforce_min_teacher_score"] = False
        limit = changes.pop("max_train")
        given = {field: value for field, value in changes.items() if value is not None}
        config = preset(name, **given)
        _say_rates(config, given)
        if limit is not None:
            config = replace(config, max_train=None if limit == ALL else limit)
        if config.student != "layers":
            about_layers = ["layer_selection", "student_init"]
            if config.student not in STUDENTS:
                about_layers.append("student_depth")
            for option in about_layers:
                if changes[option]:
                    raise ValueError(
                        f"--{option.replace('_', '-')} {changes[option]} is about layers of the "
                        f"encoder, and student {config.student} takes none: leave it out, or take "
                        "--student layers"
                    )
        return config


def _say_rates(config: TrainingConfig, given: dict[str, object]) -> None:
    """Warn of learning rates of a preset that were chosen for another encoder than is given."""
    from ukd.config.presets import PRESETS
    from ukd.config.runtime import logger

    usual = PRESETS[config.name].encoder
    rates = {"teacher": config.teacher_learning_rate}
    options = {"teacher": "teacher_learning_rate", "student": "learning_rate"}
    if config.student == "layers":
        rates["student"] = config.learning_rate
    kept = {whose: rate for whose, rate in rates.items() if rate and options[whose] not in given}
    if kept and config.encoder != usual:
        words = ", ".join(f"{whose} {rate:g}" for whose, rate in kept.items())
        logger.warning(
            f"the learning rates of preset {config.name} ({words}) were chosen for {usual}, not "
            f"for {config.encoder}: give others where it needs them"
        )
