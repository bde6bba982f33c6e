"""What a comparison will cost, before anything runs: passes, steps, operations, bytes, and time from a short calibration.

Works offline: sizes of the hub's encoders and of GLUE's tasks are stated here, those of what is at hand are read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    PreTrainedConfig,
)

from benchmarks.timing import optimizer_of
from ukd.analysis.tables import markdown
from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, attention_kernel, say
from ukd.data.batches import steps_per_epoch, tokenize_split
from ukd.data.tasks import DEV_MOST, DEV_SHARE, GLUE, load_task, source_of
from ukd.losses import label_loss
from ukd.methods.method import Method
from ukd.models.encoders import load_tokenizer
from ukd.models.students import STUDENTS
from ukd.training.loop import autocast
from ukd.training.teacher_heads import MOST_EXAMPLES

if TYPE_CHECKING:
    from ukd.training.grid import LearningRateSearch

# Layers, width, heads, inner width, entries: as published with each model.
HUB = {
    "bert-base-uncased": (12, 768, 12, 3072, 30522),
    "roberta-large": (24, 1024, 16, 4096, 50265),
    "distilroberta-base": (6, 768, 12, 3072, 50265),
    "google/bert_uncased_L-12_H-256_A-4": (12, 256, 4, 1024, 30522),
}
# Labelled examples, mean tokens (at most 128) with BERT's uncased vocabulary: counted on the train splits, on the first 10,000
# rows where there are more; those of MRPC and STS-B are estimates.
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
INNER = ("intermediate_size", "hidden_dim", "d_inner", "n_inner")
BYTES = {"float32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class Network:
    """A network's sizes, from its configuration."""

    config: PreTrainedConfig

    @property
    def layers(self) -> int:
        """Layers that have a classifier each."""
        return self.config.num_hidden_layers

    def forward(self, tokens: float) -> float:
        """Floating-point operations of one example of so many tokens, embeddings and classifier left out: 2 a multiplication."""
        width, layers = self.config.hidden_size, self.layers
        if self.config.model_type == "ukd-bilstm":
            return tokens * layers * 2 * 2 * 4 * (width // 2) * (width + width // 2)
        if self.config.model_type == "ukd-gated-cnn":
            return tokens * layers * 2 * self.config.kernel * width * 2 * width
        inner = next(
            (n for name in INNER if isinstance(n := getattr(self.config, name, None), int)),
            4 * width,
        )
        return tokens * layers * (2 * (4 * width**2 + 2 * width * inner) + 4 * tokens * width)

    def parameters(self) -> int:
        """Number of weights, embeddings included."""
        with torch.device("meta"):
            return sum(
                p.numel()
                for p in AutoModelForSequenceClassification.from_config(self.config).parameters()
            )

    def training_bytes(self, batch: int, tokens: int, precision: str) -> float:
        """Weights, gradients, two moments and the best epoch's weights in float32, autocast's copy of the weights, and activations
        (Korthikanti et al. 2022: 34 + 5 a n / h a unit in 16 bits)."""
        width, heads = self.config.hidden_size, getattr(self.config, "num_attention_heads", 0)
        activations = (
            batch
            * tokens
            * width
            * self.layers
            * (34 + 5 * heads * tokens / width)
            * BYTES[precision]
            / 2
        )
        return (20 + 2 * (precision != "float32")) * self.parameters() + activations


def network_of(encoder: str, config: TrainingConfig, layers: int | None = None) -> Network:
    """The encoder's sizes: stated for the hub's, read from its folder for any other. Raises ValueError for one that is neither."""
    if encoder == SCRATCH:
        found = (
            config.teacher_depth,
            config.width,
            max(2, config.width // 32),
            4 * config.width,
            config.vocabulary,
        )
    elif encoder in HUB:
        found = HUB[encoder]
    elif encoder in STUDENTS:
        taught = network_of(config.encoder, config).config
        size = taught.hidden_size if config.embeddings == "teacher" else None
        return Network(STUDENTS[encoder](vocab_size=taught.vocab_size, embedding_size=size))
    else:
        folder = (
            bundled_encoder(RANDOM_INIT.get(encoder, encoder))
            if encoder in (*BUNDLED_ENCODERS, *RANDOM_INIT)
            else Path(encoder)
        )
        if not (folder / "config.json").is_file():
            raise ValueError(
                f"the sizes of {encoder!r} are not known; pass a folder with its config.json, or one of: {', '.join(HUB)}"
            )
        return Network(
            AutoConfig.from_pretrained(folder, **({"num_hidden_layers": layers} if layers else {}))
        )
    names = (
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
    )
    return Network(BertConfig(**dict(zip(names, (layers or found[0], *found[1:]), strict=True))))


def sizes_of(name: str, source: str | None, config: TrainingConfig) -> tuple[int, float, int]:
    """A task's (labelled examples, mean tokens, outputs): stated for GLUE on the hub, counted where the data is at hand."""
    where = source_of(name, source)
    if where == "hub":
        if name not in TASK_SIZES:
            raise ValueError(f"source 'hub' has no task {name!r}; it has: {', '.join(TASK_SIZES)}")
        examples, tokens = TASK_SIZES[name]
        outputs = 1 if GLUE[name].regression else 3 if name == "mnli" else 2
    else:
        task = load_task(name, where)
        examples, outputs = len(task.dataset["train"]), task.num_labels
        tokenizer = load_tokenizer(
            config.encoder if Path(config.encoder).is_dir() else bundled_encoder()
        )
        tokens = mean(
            tokenize_split(
                task, "train", tokenizer, config.max_length, list(range(min(examples, 500)))
            ).lengths.tolist()
        )
    return examples, min(tokens, config.max_length), outputs


def speed(
    network: Network, config: TrainingConfig, runtime: Runtime, tokens: int = 32, repeats: int = 3
) -> tuple[float, float]:
    """Operations a second on this device, answering and training: two layers of the network's width, a small batch, median."""
    config = type(network.config).from_dict(
        {
            **network.config.to_dict(),
            "num_hidden_layers": min(2, network.layers),
            "vocab_size": 1000,
        }
    )
    options = (
        {}
        if config.model_type in ("ukd-bilstm", "ukd-gated-cnn")
        else {"attn_implementation": attention_kernel()}
    )
    model = AutoModelForSequenceClassification.from_config(
        config, dtype=torch.float32, **options
    ).to(runtime.device)
    optimizer = optimizer_of(model)
    inputs = torch.randint(5, 1000, (config.batch_size, tokens), device=runtime.device)
    labels = torch.zeros(config.batch_size, dtype=torch.long, device=runtime.device)

    def answer() -> None:
        with torch.no_grad(), autocast(runtime):
            model.eval()(input_ids=inputs)

    def train() -> None:
        with autocast(runtime):
            logits = model.train()(input_ids=inputs).logits
        label_loss(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    operations = Network(config).forward(tokens) * config.batch_size
    return operations / _seconds(answer, repeats), 3 * operations / _seconds(train, repeats)


def _seconds(work, repeats: int) -> float:
    found = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return median(found[1:])


@dataclass(frozen=True)
class Cost:
    """What one task's comparison takes. Operations are floating-point ones, seconds those of one process; with a live teacher too."""

    task: str
    examples: int
    tokens: float
    steps: int
    passes: int
    live_passes: int
    operations: float
    operations_live: float
    seconds: float
    seconds_live: float
    cache: int


def cost(
    name: str,
    methods: tuple[Method, ...],
    seeds: int,
    config: TrainingConfig,
    source: str | None,
    speeds: dict,
    rates: int = 1,
) -> Cost:
    """One task: teacher, heads and outputs (two passes, and one for each way to pool states), every method with every seed at every rate.

    Left out are evaluation, TAKD's assistants, and that states which are too many to keep are asked for in every step.
    """
    rows, tokens, outputs = sizes_of(name, source, config)
    labelled = min(rows, config.max_train or rows)
    examples = labelled - (
        0
        if config.selection_split == "validation"
        else min(max(round(DEV_SHARE * labelled), outputs), DEV_MOST)
    )
    teacher, student = network_of(config.encoder, config), load_run_student(config)
    one_pass, one_epoch = examples * teacher.forward(tokens), 3 * examples * student.forward(tokens)
    fine_tuning, runs = 3 * one_pass * config.teacher_epochs, len(methods) * seeds * rates
    shares = [
        pair
        for m in methods
        for pair in zip(m.stages, m.epochs(config.student_epochs), strict=True)
    ]
    asked = 1 + len(
        {m.hidden.pooling for m in methods if m.hidden}
    )  # outputs, and states by how they are pooled
    live = seeds * rates * sum(epochs for stage, epochs in shares if stage.uses_teacher)
    (teacher_asks, teacher_trains), (_, student_trains) = speeds["teacher"], speeds["student"]
    heads = one_pass * min(1.0, MOST_EXAMPLES / examples)
    before = fine_tuning / teacher_trains + heads / teacher_asks
    training = runs * config.student_epochs * one_epoch / student_trains
    return Cost(
        name,
        examples,
        tokens,
        runs * config.student_epochs * steps_per_epoch(examples, config.batch_size),
        1 + asked,
        live,
        fine_tuning + heads + asked * one_pass + runs * config.student_epochs * one_epoch,
        fine_tuning + heads + live * one_pass + runs * config.student_epochs * one_epoch,
        before + asked * one_pass / teacher_asks + training,
        before + live * one_pass / teacher_asks + training,
        4 * rows * teacher.layers * outputs,
    )


def load_run_student(config: TrainingConfig) -> Network:
    """The profile's student."""
    if config.student == "layers":
        return network_of(config.encoder, config, config.student_depth)
    return network_of(config.student, config)


def plan(
    tasks: tuple[str, ...],
    methods: tuple[Method, ...],
    seeds: int,
    config: TrainingConfig,
    source: str | None,
    runtime: Runtime,
    search: LearningRateSearch | None = None,
) -> str:
    """The cost of a comparison as Markdown, with the teacher's outputs kept and with a live teacher; that of a search over rates is in its
    task's row."""
    teacher, student = network_of(config.encoder, config), load_run_student(config)
    say("calibrating: two layers of teacher and student for a few steps")
    speeds = {
        "teacher": speed(teacher, config, runtime),
        "student": speed(student, config, runtime),
    }
    rates = search.on(tasks) if search else {}
    tried = f"; {len(search.rates)} rates on {search.task or 'each task'}" if search else ""
    costs = [
        cost(name, methods, seeds, config, source, speeds, len(rates.get(name, [0])))
        for name in dict.fromkeys((*tasks, *rates))
    ]
    rows = [_row(each) for each in costs] + ([_row(_total(costs))] if len(costs) > 1 else [])
    header = [
        "task",
        "examples",
        "tokens",
        "student steps",
        "teacher passes",
        "if live",
        "PFLOP",
        "if live",
        "cache",
        "time",
        "if live",
    ]
    memory = [
        [
            kind,
            f"{network.layers} x {network.config.hidden_size}",
            f"{network.parameters() / 1e6:.1f} M",
            f"{network.training_bytes(config.batch_size, config.max_length, runtime.precision) / 1e9:.2f} GB",
        ]
        for kind, network in (("teacher", teacher), ("student", student))
    ]
    more = "evaluation, TAKD's assistants" if any(m.assistant for m in methods) else "evaluation"
    return "\n\n".join(
        [
            f"### {config.name}: {config.encoder} to {students(config)}",
            f"{len(methods)} methods, {seeds} seeds, batch {config.batch_size}; teacher {config.teacher_epochs} epochs, students "
            f"{config.student_epochs}{tried}. Sources: {config.sources}.",
            markdown(header, rows),
            markdown(
                [
                    "network",
                    "layers x width",
                    "weights",
                    f"memory to train, at {config.max_length} tokens",
                ],
                memory,
            ),
            f"Time is that of one process on {runtime.device} in {runtime.precision} ({runtime.threads} threads), from two layers timed here "
            f"(teacher: {speeds['teacher'][0] / 1e9:.0f} GFLOP/s answering, {speeds['teacher'][1] / 1e9:.0f} training; student: "
            f"{speeds['student'][1] / 1e9:.0f} training); {more} and reading come on top. "
            ' "if live": the teacher asked in every step.',
        ]
    )


def students(config: TrainingConfig) -> str:
    """What a profile's students are, in words."""
    return f"{config.student_depth} of its layers" if config.student == "layers" else config.student


def _total(costs: list[Cost]) -> Cost:
    names = [
        name
        for name in Cost.__dataclass_fields__
        if name not in ("task", "tokens", "passes", "live_passes")
    ]
    summed = {name: sum(getattr(each, name) for each in costs) for name in names}
    tokens = sum(each.tokens * each.examples for each in costs) / summed["examples"]
    return Cost(
        task="all",
        passes=costs[0].passes,
        live_passes=costs[0].live_passes,
        tokens=tokens,
        **summed,
    )


def _row(each: Cost) -> list[str]:
    return [
        each.task,
        f"{each.examples:,}",
        f"{each.tokens:.0f}",
        f"{each.steps:,}",
        str(each.passes),
        str(1 + each.live_passes),
        f"{each.operations / 1e15:.2f}",
        f"{each.operations_live / 1e15:.2f}",
        f"{each.cache / 1e6:.1f} MB",
        _duration(each.seconds),
        _duration(each.seconds_live),
    ]


def _duration(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def presets_table(profiles: dict[str, TrainingConfig]) -> str:
    """Presets, one a row, with the source of every value."""
    rows = [
        [
            p.name,
            p.encoder,
            students(p),
            f"{p.teacher_epochs} at {p.teacher_learning_rate:g}",
            f"{p.student_epochs} at {p.learning_rate:g}",
            " and ".join(
                f"{n.training_bytes(p.batch, p.max_length, 'bf16') / 1e9:.1f}"
                for n in (network_of(p.encoder, p), load_run_student(p))
            ),
            p.sources,
        ]
        for p in profiles.values()
    ]
    memory = "GB to train teacher and student, computed, 128 tokens, bf16"
    return markdown(
        ["preset", "teacher", "student", "teacher's epochs", "student's epochs", memory, "sources"],
        rows,
    )
