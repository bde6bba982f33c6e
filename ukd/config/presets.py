"""Presets: how much work a run does, on which encoder; the code path is the same in all.

Local presets run on what comes with the kit. Hub presets name encoders of the hub: the paper's
pairs, and one for people without a GPU.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields, replace

from ukd.config.choices import GLUE_TASKS

LARGEST_SEED = 4_294_966  # a stage takes 1,000 times the seed, and generators less than 2**32


@dataclass(frozen=True)
class TrainingConfig:
    """A budget and what it is spent on; every method gets the same.

    Attributes:
        name: of the preset it comes from.
        tasks, seeds: what `ukd reproduce` runs by default.
        teacher_depth: layers of the encoder that the teacher has, the first ones; None for all.
        student_depth: layers of a student: of the encoder, for "layers", or of a BiLSTM or CNN.
        layer_selection: which of them: "first", "spread" or "last".
        student_init: its layers as "pretrained", or as the fine-tuned "teacher" has them.
        teacher_epochs: passes over the training rows.
        student_epochs: passes of the whole distillation, shared between a method's stages.
        teacher_learning_rate, learning_rate: peaks; None for the encoder's default.
        batch_size: examples a step.
        max_length: tokens an example.
        max_train: labelled examples, the development part included; None for all.
        max_validation: examples that are scored; None for all.
        selection_split: where the best epoch is chosen: "dev", a part of train, or "validation",
            the paper's habit, which is then reported on too.
        enforce_min_teacher_score: refuse a teacher that has not learned its task, or only warn.
        encoder: what teacher and student are made from: "bundled", a folder or a hub id.
        student: "layers" of the encoder, "bilstm", "gated-cnn", or a pretrained encoder of its own.
        embeddings: start those of a BiLSTM or CNN from the "teacher" or a file of word vectors.
        sources: where the values come from.
    """

    name: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    teacher_depth: int | None = None
    student_depth: int = 4
    layer_selection: str = "first"
    student_init: str = "pretrained"
    teacher_epochs: int = 14
    student_epochs: int = 6
    teacher_learning_rate: float | None = None
    learning_rate: float | None = None
    batch_size: int = 32
    max_length: int = 64
    max_train: int | None = None
    max_validation: int | None = None
    selection_split: str = "dev"
    enforce_min_teacher_score: bool = True
    encoder: str = "bundled"
    student: str = "layers"
    embeddings: str | None = None
    sources: str = "our choice"

    def __post_init__(self) -> None:
        """Raise ValueError for a number that no run could have."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in field.type:
                continue
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if field.type.startswith("int") and not whole:
                raise ValueError(f"{field.name} must be a whole number from 1, got {value!r}")
            positive = isinstance(value, int | float) and 0 < value < float("inf")
            if field.type.startswith("float") and not positive:
                raise ValueError(f"{field.name} must be a positive number, got {value!r}")


def whole_seed(seed: object) -> int:
    """A seed as a plain whole number. Raises ValueError for what is none, or too large."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number <= LARGEST_SEED:
        raise ValueError(f"a seed is a whole number from 0 to {LARGEST_SEED:,}, got {seed!r}")
    return number


_BERT = "teacher: 3 epochs of 32 at 2e-5, among those of Devlin et al. 2019; "
_ROBERTA = "teacher: 10 epochs of 32 at 1e-5, among those of Liu et al. 2019; "
_NEW_STUDENT = "the student's size and budget: our choice"
_PKD_RATE = (
    "the student's rate: in PKD's grid (Sun et al. 2019, from a summary); its 6 passes: our choice"
)
BERT_4 = TrainingConfig(
    "bert-4",
    GLUE_TASKS,
    (1, 2, 3),
    encoder="bert-base-uncased",
    teacher_epochs=3,
    teacher_learning_rate=2e-5,
    learning_rate=5e-5,
    max_length=128,
    sources=f"pair: the paper's; {_BERT}{_PKD_RATE}",
)
DISTILROBERTA = replace(
    BERT_4,
    name="distilroberta",
    encoder="roberta-large",
    student="distilroberta-base",
    teacher_epochs=10,
    teacher_learning_rate=1e-5,
    learning_rate=2e-5,
    sources=f"pair: the paper's; {_ROBERTA}{_PKD_RATE}",
)
BILSTM = replace(
    BERT_4,
    name="bilstm",
    student="bilstm",
    student_epochs=12,
    learning_rate=1e-3,
    sources=f"pair: the paper's; {_BERT}{_NEW_STUDENT}",
)
GATED_CNN = replace(BILSTM, name="gated-cnn", student="gated-cnn")
LAPTOP = replace(
    BERT_4,
    name="laptop",
    encoder="google/bert_uncased_L-12_H-256_A-4",
    teacher_epochs=4,
    teacher_learning_rate=1e-4,
    learning_rate=3e-4,
    sources="encoder, 4 epochs, both rates: among those of Turc et al. 2019; the rest: our choice",
)
SMOKE = TrainingConfig(
    "smoke",
    ("sentiment", "similarity"),
    (1,),
    teacher_depth=4,
    student_depth=2,
    teacher_epochs=2,
    student_epochs=2,
    max_train=320,
    max_validation=100,
    enforce_min_teacher_score=False,
)
LESSON = TrainingConfig(
    "lesson",
    ("acceptability",),
    (1,),
    teacher_depth=6,
    student_depth=3,
    teacher_epochs=5,
    student_epochs=4,
    max_train=3000,
    max_validation=1000,
    enforce_min_teacher_score=False,
)
CPU = TrainingConfig("cpu", ("acceptability", "similarity"), (1, 2, 3))

LOCAL_PRESETS = {config.name: config for config in (SMOKE, LESSON, CPU)}
HUB_PRESETS = {config.name: config for config in (BERT_4, DISTILROBERTA, BILSTM, GATED_CNN, LAPTOP)}
PRESETS = LOCAL_PRESETS | HUB_PRESETS


def preset(name: str, **changes: object) -> TrainingConfig:
    """The named preset with any of its fields changed; None lifts a limit.

    A preset's learning rate is that of its student. Another student has the default of its kind,
    unless a rate is given.

    Raises ValueError that lists the valid names, and for a value that a field can't have.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose one of: {', '.join(PRESETS)}")
    known = [field.name for field in fields(TrainingConfig)]
    if unknown := set(changes) - set(known):
        raise ValueError(f"a preset has no {', '.join(sorted(unknown))}; it has: {known}")
    for field in fields(TrainingConfig):
        needs_value = "None" not in str(field.type)
        if needs_value and field.name in changes and changes[field.name] is None:
            raise ValueError(f"{field.name} can't be None: give a value, or leave it out")
    config = replace(PRESETS[name], **changes)
    if config.student != PRESETS[name].student and "learning_rate" not in changes:
        return replace(config, learning_rate=None)
    return config
