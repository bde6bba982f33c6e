"""What a comparison will cost, said before anything runs, and the presets in a table."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, logger
from ukd.config.text import markdown_table
from ukd.methods.method import Method
from ukd.models.students import STUDENTS
from ukd.training.cost_model import TIMED_LAYERS, Cost, Speed, cost, measured_speed
from ukd.training.network_sizes import student_size, teacher_size

if TYPE_CHECKING:
    from ukd.training.grid import LearningRateSearch

HEADER = [
    "task",
    "examples",
    "tokens",
    "student steps",
    "teacher passes",
    "if online",
    "PFLOP",
    "if online",
    "cache",
    "time",
    "if online",
]
PRESETS_HEADER = [
    "preset",
    "teacher",
    "student",
    "teacher's epochs",
    "student's epochs",
    "GB to train teacher and student, computed, 128 tokens, bf16",
    "sources",
]


def cost_of(
    tasks: tuple[str, ...],
    methods: tuple[Method, ...],
    seeds: int,
    config: TrainingConfig,
    source: str | None,
    runtime: Runtime,
    search: LearningRateSearch | None = None,
) -> str:
    """The cost of a comparison as Markdown, with the teacher's logits cached and without.

    A search over learning rates is in its task's row. Time is estimated from a short calibration.

    Args:
        tasks: names.
        methods: what is compared.
        seeds: their number.
        config: the budget.
        source: of the tasks; None for where each is at home.
        runtime: device and precision.
        search: learning rates to try, if any.

    Raises: ValueError for an encoder whose size is not known, and for a task that the source lacks.
    """
    teacher = teacher_size(config)
    student = student_size(config)
    logger.info(f"calibrating: {TIMED_LAYERS} layers of teacher and student for a few steps")
    speeds = {
        "teacher": measured_speed(teacher, config, runtime),
        "student": measured_speed(student, config, runtime),
    }
    tried = search.on(tasks) if search else {}
    costs = []
    for name in dict.fromkeys((*tasks, *tried)):
        rates = len(tried.get(name, [None]))
        costs.append(cost(name, methods, seeds, config, source, speeds, rates))
    rows = [_row(one) for one in costs]
    if len(costs) > 1:
        rows.append(_row(_total(costs)))
    parts = [
        f"### {config.name}: {config.encoder} to {student_name(config)}",
        _budget(methods, seeds, config, search),
        markdown_table(HEADER, rows),
        _memory_table(config, runtime),
        _reading(methods, runtime, speeds),
    ]
    return "\n\n".join(parts)


def presets_table(presets: dict[str, TrainingConfig]) -> str:
    """Presets, one a row, with the source of every value."""
    rows = []
    for config in presets.values():
        memory = []
        for size in (teacher_size(config), student_size(config)):
            needed = size.training_bytes(config.batch_size, config.max_length, "bf16")
            memory.append(f"{needed / 1e9:.1f}")
        row = [config.name, config.encoder, student_name(config)]
        row.append(f"{config.teacher_epochs} at {config.teacher_learning_rate:g}")
        row.append(f"{config.student_epochs} at {config.learning_rate:g}")
        rows.append([*row, " and ".join(memory), config.sources])
    return markdown_table(PRESETS_HEADER, rows)


def student_name(config: TrainingConfig) -> str:
    """What a config's students are, in words."""
    if config.student == "layers":
        return f"{config.student_depth} of its layers"
    if config.student in STUDENTS:
        return f"{config.student} of {config.student_depth} layers"
    return config.student


def _budget(
    methods: tuple[Method, ...],
    seeds: int,
    config: TrainingConfig,
    search: LearningRateSearch | None,
) -> str:
    tried = ""
    if search:
        where = search.task or "each task"
        tried = f"; {len(search.learning_rates)} learning rates on {where}"
    return (
        f"{len(methods)} methods, {seeds} seeds, batches of {config.batch_size}; teacher "
        f"{config.teacher_epochs} epochs, students {config.student_epochs}{tried}. "
        f"Sources of the preset: {config.sources}."
    )


def _memory_table(config: TrainingConfig, runtime: Runtime) -> str:
    memory = f"memory to train, at {config.max_length} tokens"
    rows = []
    for kind, size in (("teacher", teacher_size(config)), ("student", student_size(config))):
        needed = size.training_bytes(config.batch_size, config.max_length, runtime.precision)
        shape = f"{size.layers} x {size.config.hidden_size}"
        rows.append([kind, shape, f"{size.parameters() / 1e6:.1f} M", f"{needed / 1e9:.2f} GB"])
    return markdown_table(["network", "layers x width", "weights", memory], rows)


def _reading(methods: tuple[Method, ...], runtime: Runtime, speeds: dict[str, Speed]) -> str:
    """How the tables are to be read."""
    left_out = "Evaluation and reading come on top"
    if any(method.assistant for method in methods):
        left_out = "Evaluation, TAKD's assistants and reading come on top"
    teacher = speeds["teacher"]
    return (
        f"Time is that of one process on {runtime.device} in {runtime.precision} "
        f"({runtime.threads} threads), from {TIMED_LAYERS} layers and the optimizer, timed here. "
        "Teacher: "
        f"{teacher.inference / 1e9:.0f} GFLOP/s in inference, {teacher.training / 1e9:.0f} in "
        f"training. Student: {speeds['student'].training / 1e9:.0f} in training. A step of the "
        f"optimizer: {1e9 / speeds['student'].update:.1f} ms for a million weights. {left_out}. "
        '"If online": the teacher runs in every step.'
    )


def _total(costs: list[Cost]) -> Cost:
    """All tasks in one row; passes are the same for each."""
    same = ("passes", "online_passes")
    totals: dict = {"task": "all", **{name: getattr(costs[0], name) for name in same}}
    examples = sum(one.examples for one in costs)
    totals["tokens"] = sum(one.tokens * one.examples for one in costs) / examples
    for field in fields(Cost):
        if field.name not in totals:
            totals[field.name] = sum(getattr(one, field.name) for one in costs)
    return Cost(**totals)


def _row(one: Cost) -> list[str]:
    return [
        one.task,
        f"{one.examples:,}",
        f"{one.tokens:.0f}",
        f"{one.steps:,}",
        str(one.passes),
        str(1 + one.online_passes),
        f"{one.operations / 1e15:.2f}",
        f"{one.online_operations / 1e15:.2f}",
        f"{one.cache / 1e6:.1f} MB",
        _duration(one.seconds),
        _duration(one.online_seconds),
    ]


def _duration(seconds: float) -> str:
    hours = seconds / 3600
    if hours < 1:
        return f"{seconds / 60:.1f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
