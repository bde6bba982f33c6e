"""What a comparison costs in numbers: passes, steps, operations, bytes, time.

Works offline: sizes of GLUE's tasks are stated here, those of data that is at hand are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, median

import torch
from torch import nn
from torch.utils.benchmark import Timer
from transformers import AutoModelForSequenceClassification

from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, attention_kernel
from ukd.data.batches import steps_per_epoch, tokenize_split
from ukd.data.tasks import GLUE, dev_size, load_task, source_of
from ukd.losses import label_loss
from ukd.methods.method import Method
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_tokenizer
from ukd.models.students import StudentConfig
from ukd.training.loop import Schedule, autocast
from ukd.training.network_sizes import NetworkSize, student_size, teacher_size
from ukd.training.teacher_heads import MOST_EXAMPLES

# (labelled examples, mean tokens of at most 128 with BERT's uncased vocabulary), counted on the
# train splits, on the first 10,000 rows where there are more. Tokens of MRPC and STS-B are
# estimates.
TASK_SIZES = {
    "cola": (8551, 11),
    "sst2": (67349, 13),
    "mrpc": (3668, 53),
    "qqp": (363846, 31),
    "stsb": (5749, 28),
    "mnli": (392702, 40),
    "qnli": (104743, 49),
    "rte": (2490, 67),
}
COUNTED_ROWS = 500  # of a task, for its mean tokens
TRAINING_PASSES = 3  # a training step counts as so many forward passes
TIMED_LAYERS = 2
TIMED_TOKENS = 32
TIMED_VOCABULARY = 1000
TIMED_WEIGHTS = (4096, 4096)  # too many for a processor's cache, as those of an encoder are
TIMED_REPEATS = 3


@dataclass(frozen=True)
class Speed:
    """How fast a network is on this device.

    Attributes:
        inference, training: floating-point operations a second, forward, and forward and backward.
        update: weights a second that clipping and the optimizer's step take.
    """

    inference: float
    training: float
    update: float


@dataclass(frozen=True)
class Cost:
    """What one task's comparison takes.

    Attributes:
        examples: of the train part. tokens: their mean.
        steps: of all students.
        passes, online_passes: of the teacher over train, with its logits cached and without.
        operations, online_operations: floating-point operations, likewise.
        seconds, online_seconds: of one process, likewise.
        cache: bytes of the cached logits.
    """

    task: str
    examples: int
    tokens: float
    steps: int
    passes: int
    online_passes: int
    operations: float
    online_operations: float
    seconds: float
    online_seconds: float
    cache: int


def cost(
    name: str,
    methods: tuple[Method, ...],
    seeds: int,
    config: TrainingConfig,
    source: str | None,
    speeds: dict[str, Speed],
    rates: int = 1,
) -> Cost:
    """The cost of one task: teacher, heads, cached logits, and every method with every seed.

    The teacher passes over the data once for its logits, and once more for each way to pool hidden
    states. Left out are evaluation, TAKD's assistants, and states that are too many to cache.

    rates: learning rates that every method tries.
    """
    rows, tokens, outputs = task_size(name, source, config)
    examples = train_rows(rows, outputs, config)
    teacher = teacher_size(config)
    one_pass = examples * teacher.forward(tokens)
    fine_tuning = TRAINING_PASSES * one_pass * config.teacher_epochs
    heads = one_pass * min(1.0, MOST_EXAMPLES / examples)
    passes = 1 + len({method.hidden.pooling for method in methods if method.hidden})
    online_passes = seeds * rates * sum(_online_epochs(method, config) for method in methods)
    epochs = len(methods) * seeds * rates * config.student_epochs
    student = student_size(config)
    training = epochs * TRAINING_PASSES * examples * student.forward(tokens)
    one_epoch = steps_per_epoch(examples, config.batch_size)
    teacher_speed = speeds["teacher"]
    seconds = fine_tuning / teacher_speed.training + heads / teacher_speed.inference
    seconds += config.teacher_epochs * one_epoch * teacher.parameters() / teacher_speed.update
    seconds += training / speeds["student"].training
    seconds += epochs * one_epoch * student.parameters() / speeds["student"].update
    return Cost(
        task=name,
        examples=examples,
        tokens=tokens,
        steps=epochs * one_epoch,
        passes=1 + passes,
        online_passes=online_passes,
        operations=fine_tuning + heads + passes * one_pass + training,
        online_operations=fine_tuning + heads + online_passes * one_pass + training,
        seconds=seconds + passes * one_pass / teacher_speed.inference,
        online_seconds=seconds + online_passes * one_pass / teacher_speed.inference,
        cache=4 * rows * teacher.layers * outputs,
    )


def _online_epochs(method: Method, config: TrainingConfig) -> int:
    """Epochs of a run in which the teacher is needed."""
    epochs = method.epochs(config.student_epochs)
    stages = zip(method.stages, epochs, strict=True)
    return sum(count for stage, count in stages if stage.uses_teacher)


def train_rows(rows: int, outputs: int, config: TrainingConfig) -> int:
    """Rows to learn from, of so many labelled ones: without the development part."""
    labelled = min(rows, config.max_train or rows)
    if config.selection_split == "validation":
        return labelled
    return labelled - dev_size(labelled, outputs)


def task_size(name: str, source: str | None, config: TrainingConfig) -> tuple[int, float, int]:
    """A task's (labelled examples, mean tokens, outputs): stated for the hub, else counted."""
    source = source_of(name, source)
    if source == "hub":
        if name not in TASK_SIZES:
            raise ValueError(f"source 'hub' has no task {name!r}; it has: {', '.join(TASK_SIZES)}")
        examples, tokens = TASK_SIZES[name]
        outputs = 1 if GLUE[name].regression else 3 if name == "mnli" else 2
        return examples, min(tokens, config.max_length), outputs
    task = load_task(name, source)
    examples = len(task.dataset["train"])
    encoder = config.encoder if Path(config.encoder).is_dir() else bundled_encoder()
    counted = list(range(min(examples, COUNTED_ROWS)))
    data = tokenize_split(task, "train", load_tokenizer(encoder), config.max_length, counted)
    return examples, min(mean(data.lengths.tolist()), config.max_length), task.num_labels


def measured_speed(size: NetworkSize, config: TrainingConfig, runtime: Runtime) -> Speed:
    """The speed of two layers of a network's width, on one small batch, and of the optimizer.

    The optimizer visits every weight in every step, embeddings too. In a small network with many
    words that takes longer than the layers.
    """
    small = {
        **size.config.to_dict(),
        "num_hidden_layers": min(TIMED_LAYERS, size.layers),
        "vocab_size": TIMED_VOCABULARY,
    }
    network_config = type(size.config).from_dict(small)
    options = {}
    if not isinstance(network_config, StudentConfig):
        options["attn_implementation"] = attention_kernel()
    # Some encoders are kept in half precision, and none is trained in it.
    model = AutoModelForSequenceClassification.from_config(
        network_config, dtype=torch.float32, **options
    ).to(runtime.device)
    shape = (config.batch_size, TIMED_TOKENS)
    inputs = torch.randint(5, TIMED_VOCABULARY, shape, device=runtime.device)
    labels = torch.zeros(config.batch_size, dtype=torch.long, device=runtime.device)

    def infer() -> None:
        """One batch forward, without gradients."""
        with torch.no_grad(), autocast(runtime):
            model.eval()(input_ids=inputs)

    def train() -> None:
        """One batch forward and backward."""
        with autocast(runtime):
            logits = model.train()(input_ids=inputs).logits
        label_loss(logits, labels).backward()
        model.zero_grad()

    operations = NetworkSize(network_config).forward(TIMED_TOKENS) * config.batch_size
    return Speed(
        inference=operations / _seconds(infer, runtime),
        training=TRAINING_PASSES * operations / _seconds(train, runtime),
        update=_update_speed(runtime),
    )


@cache
def _update_speed(runtime: Runtime) -> float:
    """Weights a second that clipping and AdamW's step take, in float32 as in training."""
    weights = nn.Parameter(torch.zeros(TIMED_WEIGHTS, device=runtime.device))
    weights.grad = torch.ones_like(weights)
    optimizer = torch.optim.AdamW([weights], fused=True)

    def update() -> None:
        """One step of the optimizer, and gradients of zero for the next."""
        nn.utils.clip_grad_norm_([weights], Schedule.clip)
        optimizer.step()
        weights.grad.zero_()

    return weights.numel() / _seconds(update, runtime)


def _seconds(work: Callable[[], None], runtime: Runtime) -> float:
    timer = Timer("work()", globals={"work": work}, num_threads=runtime.threads)
    return median(timer.timeit(1).mean for _ in range(TIMED_REPEATS))
