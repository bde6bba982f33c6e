"""Profiles and presets: how much work a run does, on which encoder; the code path is the same in all.

Profiles run on what comes with the kit. Presets name encoders of the hub: the paper's pairs, and one for people without a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

STARTS = ("pretrained", "teacher")
GLUE_TASKS = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte")


@dataclass(frozen=True)
class Profile:
    """A budget and what it is spent on.

    Widths are hidden units, epochs are passes over the training rows, batch sizes are examples. `student_epochs` is the
    budget of the whole distillation, shared between the stages of a method, so that every method takes as many steps.
    `encoder` is what teachers and students are made from where nothing else is asked for (`embedded` gives way to `prose` on tasks
    that are not of the suite, see `ukd.teacher.default_encoder`). `student`: "layers" for
    `student_layers` of the encoder's layers (`student_pick` says which; `student_start` whether as "pretrained" or as the "teacher" has
    them after fine-tuning), "bilstm" or "gated-cnn" for another architecture, or a
    pretrained encoder of its own (a folder or a hub id). `embeddings` start those of a BiLSTM or CNN: "teacher", or a file of word
    vectors. Rates are peak learning rates; None for the encoder's default. `select`: the part on which the best epoch is chosen, "dev"
    (carved from train) or "validation", the paper's habit, which is then reported on too.
    """

    name: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    width: int = 128
    teacher_layers: int = 12
    student_layers: int = 4
    student_pick: str = "first"
    student_start: str = "pretrained"
    vocabulary: int = 2000
    pretrain_steps: int = 7000
    pretrain_batch: int = 24
    pretrain_rate: float = 1e-3
    teacher_epochs: int = 14
    student_epochs: int = 6
    teacher_rate: float | None = None
    rate: float | None = None
    batch: int = 32
    max_length: int = 64
    max_train: int | None = None
    max_validation: int | None = None
    select: str = "dev"
    enforce_floor: bool = True
    encoder: str = "embedded"
    student: str = "layers"
    embeddings: str | None = None
    sources: str = "our choice"


_BERT = "teacher: 3 epochs of 32 at 2e-5, among those of Devlin et al. 2019; "
_NEW = _BERT + "the student's size and budget: our choice"
_RATE = "the student's rate: in PKD's grid (Sun et al. 2019, from a summary); its 6 passes: our choice"
_FOUR = Profile(
    "bert-4", GLUE_TASKS, (1, 2, 3), encoder="bert-base-uncased", teacher_epochs=3, teacher_rate=2e-5, rate=5e-5, max_length=128,
    sources=f"pair: the paper's; {_BERT}{_RATE}",
)  # fmt: skip
PRESETS = {
    preset.name: preset
    for preset in (
        _FOUR,
        replace(
            _FOUR, name="distilroberta", encoder="roberta-large", student="distilroberta-base", teacher_epochs=10, teacher_rate=1e-5,
            rate=2e-5, sources=f"pair: the paper's; teacher: 10 epochs of 32 at 1e-5, among those of Liu et al. 2019; {_RATE}",
        ),
        replace(_FOUR, name="bilstm", student="bilstm", student_epochs=12, rate=1e-3, sources=f"pair: the paper's; {_NEW}"),
        replace(_FOUR, name="gated-cnn", student="gated-cnn", student_epochs=12, rate=1e-3, sources=f"pair: the paper's; {_NEW}"),
        replace(
            _FOUR, name="laptop", encoder="google/bert_uncased_L-12_H-256_A-4", teacher_epochs=4, teacher_rate=1e-4, rate=3e-4,
            sources="encoder, 4 epochs and both rates: among those of Turc et al. 2019; the rest: our choice",
        ),
    )
}  # fmt: skip
PROFILES = {
    "smoke": Profile(
        "smoke", ("sentiment", "similarity"), (1,), width=32, teacher_layers=4, student_layers=2, vocabulary=500,
        pretrain_steps=60, teacher_epochs=2, student_epochs=2, max_train=320, max_validation=100,
        enforce_floor=False, encoder="scratch",
    ),
    "lesson": Profile(
        "lesson", ("acceptability",), (1,), teacher_layers=6, student_layers=3, pretrain_steps=4000, teacher_epochs=5, student_epochs=4,
        max_train=3000, max_validation=1000, enforce_floor=False, encoder="scratch",
    ),
    "cpu": Profile("cpu", ("acceptability", "similarity"), (1, 2, 3)),
    **PRESETS,
}  # fmt: skip


def profile(name: str, **changes: object) -> Profile:
    """The named profile or preset, with any of its fields changed. Raises ValueError that lists the valid names."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; choose one of: {', '.join(PROFILES)}")
    return replace(PROFILES[name], **{key: value for key, value in changes.items() if value is not None})
