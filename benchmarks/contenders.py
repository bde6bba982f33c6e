"""What takes turns: the kit's own steps, losses, heads and whole comparisons."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, BertConfig

from benchmarks.timing import Ratio, ratio, take_turns
from benchmarks.workbench import Workbench
from ukd.config.runtime import attention_kernel
from ukd.config.scenarios import DEFAULT_METHODS
from ukd.heads import ClassifierWithHeads, Frozen, PseudoClassifiers
from ukd.losses import intermediate_loss
from ukd.methods.registry import get_method
from ukd.models.encoders import load_tokenizer
from ukd.training.distill import distill
from ukd.training.loop import predict
from ukd.training.teacher_cache import cached_logits
from ukd.training.teacher_heads import HiddenStateExtractor, fit_pseudo_classifiers

FEW_STEPS = 3  # in a turn with the large teacher
BASE_LAYERS = 12
BASE_WIDTH = 768
SEEDS = (1, 2, 3)
# Limits of "an online teacher costs so many times as much".
ONLINE = {
    ("layers", "float32"): 1.75,
    ("layers", "bf16"): 1.5,
    ("bilstm", "float32"): 4,
    ("bilstm", "bf16"): 1.8,
    ("gated-cnn", "float32"): 4,
    ("gated-cnn", "bf16"): 1.8,
}


def student_steps(bench: Workbench, kind: str) -> list[Ratio]:
    """A step with cached logits beside fine-tuning, and an online teacher beside cached logits."""
    seconds = take_turns(
        {
            "fine-tuning": bench.fine_tuning(bench.student(kind, heads=False)),
            "cached": bench.distilling(kind, bench.cached()),
            "online": bench.distilling(kind, bench.online()),
        }
    )
    precision = bench.runtime.precision
    name = f"{kind}, {precision}"
    limit = f"at least {ONLINE.get((kind, precision), 1)}"
    parts = len(bench.batches)
    return [
        ratio(
            f"{name}: distilling / fine-tuning",
            "at most 1.05",
            seconds,
            "cached",
            "fine-tuning",
            parts=parts,
        ),
        ratio(
            f"{name}: online teacher / cached logits",
            limit,
            seconds,
            "online",
            "cached",
            parts=parts,
        ),
    ]


def base_size_teacher(bench: Workbench) -> Ratio:
    """A BiLSTM taught by an online teacher of BERT-base's size.

    Its weights are random: its time does not depend on them.
    """
    labels = bench.task.num_labels
    config = BertConfig(vocab_size=len(load_tokenizer(bench.source)), num_labels=labels)
    network = AutoModelForSequenceClassification.from_config(
        config, attn_implementation=attention_kernel()
    )
    heads = PseudoClassifiers(BASE_WIDTH, labels, BASE_LAYERS - 1)
    base = Frozen(ClassifierWithHeads(network, heads)).to(bench.runtime.device)
    rows = int(bench.train.rows.max()) + 1
    table = torch.randn(rows, BASE_LAYERS, labels, device=bench.runtime.device)
    seconds = take_turns(
        {
            "cached": bench.distilling("bilstm", cached_logits(table), FEW_STEPS),
            "online": bench.distilling("bilstm", lambda batch: base(**batch.inputs), FEW_STEPS),
        }
    )
    return ratio(
        f"bilstm, {bench.runtime.precision}, teacher of BERT-base's size: "
        "online teacher / cached logits",
        "at least 8",
        seconds,
        "online",
        "cached",
        parts=FEW_STEPS,
    )


def whole_comparison(bench: Workbench) -> Ratio:
    """All default methods and three seeds, with cached logits and with an online teacher.

    The two take turns run by run. The pass of the teacher over the training split counts, once.
    """
    seconds = {"cached": 0.0, "online": 0.0}
    runs = [(method, seed) for seed in SEEDS for method in DEFAULT_METHODS]
    with tempfile.TemporaryDirectory() as folder:
        for number, (method, seed) in enumerate(runs):
            for name in list(seconds)[:: 1 if number % 2 else -1]:
                place = Path(folder) / name
                with _cache_in(place):
                    start = time.perf_counter()
                    distill(
                        bench.task,
                        get_method(method),
                        bench.teacher,
                        config=bench.config,
                        seed=seed,
                        runtime=bench.runtime,
                        folder=place / "runs",
                        online_teacher=name == "online",
                    )
                    seconds[name] += time.perf_counter() - start
    precision = bench.runtime.precision
    return ratio(
        f"whole comparison ({len(DEFAULT_METHODS)} methods, {len(SEEDS)} seeds), {precision}: "
        "online teacher / cached logits",
        f"at least {1.3 if precision == 'float32' else 1.2}",
        {name: [total] for name, total in seconds.items()},
        "online",
        "cached",
    )


def intermediate_loss_alone(bench: Workbench) -> Ratio:
    """The intermediate loss, forward and backward, beside a whole distillation step."""
    lookup = bench.cached()
    depth = bench.config.student_depth - 1
    shape = (bench.config.batch_size, depth, bench.task.num_labels)
    student = torch.randn(shape, device=bench.runtime.device, requires_grad=True)
    regression = bench.task.spec.regression

    def loss_alone() -> None:
        for batch in bench.batches:
            teacher = lookup(batch).to(bench.runtime.device)[:, :-1]
            result = intermediate_loss(student, teacher, temperature=2.0, regression=regression)
            result.per_layer.sum().backward()

    seconds = take_turns({"loss": loss_alone, "step": bench.distilling("layers", lookup)})
    return ratio(
        f"layers, {bench.runtime.precision}: intermediate loss / step",
        "at most 0.03",
        seconds,
        "loss",
        "step",
        parts=len(bench.batches),
    )


def attention_kernels(bench: Workbench) -> Ratio:
    """Steps with torch's fused attention beside plain matrix products, our choice off CUDA."""
    contenders = {}
    for name, kernel in (("fused", "sdpa"), ("plain", "eager")):
        student = bench.student("layers", heads=False)
        student.network.set_attn_implementation(kernel)
        contenders[name] = bench.fine_tuning(student)
    return ratio(
        f"layers, {bench.runtime.precision}: fused attention / plain",
        "at least 1" if bench.runtime.device == "cpu" else "at least 0",
        take_turns(contenders),
        "fused",
        "plain",
        parts=len(bench.batches),
    )


def pseudo_classifiers(bench: Workbench) -> Ratio:
    """Fitting all heads, states included, beside one pass of the teacher over the examples."""
    network = bench.teacher.load(bench.task).module.network
    runtime = bench.runtime

    def fit_heads() -> None:
        states = predict(HiddenStateExtractor(network), bench.train, runtime)
        fit_pseudo_classifiers(
            states,
            bench.train.labels,
            bench.task.num_labels,
            regression=bench.task.spec.regression,
        )

    def one_pass() -> None:
        predict(ClassifierWithHeads(network), bench.train, runtime)

    return ratio(
        f"all pseudo classifiers, {runtime.precision} / one teacher pass",
        "at most 1.3",
        take_turns({"heads": fit_heads, "one pass": one_pass}, 3),
        "heads",
        "one pass",
    )


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Keep teacher logits in this folder, apart from the user's."""
    before = os.environ.get("UKD_CACHE")
    os.environ["UKD_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["UKD_CACHE"]
        if before is not None:
            os.environ["UKD_CACHE"] = before
