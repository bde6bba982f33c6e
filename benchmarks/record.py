"""Everything that is measured, as one record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial

from benchmarks import contenders, peers
from benchmarks.breakdown import exponents, parts_of_step
from benchmarks.timing import REPEATS, Ratio
from benchmarks.workbench import STEPS, Workbench
from ukd.analysis.cards import ratio_row
from ukd.config.keys import config_hash
from ukd.config.provenance import provenance
from ukd.config.runtime import logger
from ukd.models.students import STUDENTS

FORMAT = 1
Measurement = Callable[[], Ratio | list[Ratio]]


def measure(bench: Workbench, *, quick: bool = False) -> dict:
    """All ratios with their circumstances, as `ukd.analysis.cards.benchmark_table` reads them.

    quick: leave out what takes minutes.
    """
    ratios = []
    for name, measurement in _measurements(bench, quick):
        logger.info(f"measuring: {name}")
        result = measurement()
        for ratio in result if isinstance(result, list) else [result]:
            logger.info("  " + " | ".join(ratio_row(asdict(ratio))))
            ratios.append(asdict(ratio))
    record = {
        "format": FORMAT,
        "kind": "bench",
        "quick": quick,
        "repeats": REPEATS,
        "steps in a turn": STEPS,
        **_circumstances(bench),
        "ratios": ratios,
        "parts of a step": parts_of_step(bench),
        "exponents": exponents(bench.runtime),
        "cache": _bytes_an_example(bench),
        "peers": _peers(),
        **provenance(bench.runtime),
    }
    return record | {"hash": config_hash(record)}


def _measurements(bench: Workbench, quick: bool) -> Iterator[tuple[str, Measurement]]:
    """What is measured, by name, in float32 and in the runtime's own precision."""
    for precision in dict.fromkeys(("float32", bench.runtime.precision)):
        there = in_precision(bench, precision)
        for kind in ("layers", *STUDENTS):
            yield f"steps of {kind}, {precision}", partial(contenders.student_steps, there, kind)
        yield f"attention, {precision}", partial(contenders.attention_kernels, there)
        yield f"the loss, {precision}", partial(contenders.intermediate_loss_alone, there)
        yield f"Trainer, {precision}", partial(peers.against_trainer, there)
        yield f"TextBrewer, {precision}", partial(peers.against_textbrewer, there)
        if not quick:
            yield f"a whole comparison, {precision}", partial(contenders.whole_comparison, there)
    yield "pseudo classifiers", partial(contenders.pseudo_classifiers, bench)
    if not quick:
        exact = in_precision(bench, "float32")
        yield "a teacher of BERT-base's size", partial(contenders.base_size_teacher, exact)


def in_precision(bench: Workbench, precision: str) -> Workbench:
    """The same workbench in another precision."""
    return replace(bench, runtime=replace(bench.runtime, precision=precision))


def _circumstances(bench: Workbench) -> dict:
    """Task, teacher, student and batches."""
    return {
        "task": bench.task.name,
        "batch": bench.config.batch_size,
        "labels": len(bench.train),
        "tokens in a batch": [batch.inputs["input_ids"].shape[1] for batch in bench.batches],
        "teacher": bench.teacher.about["encoder"],
        "student layers": bench.config.student_depth,
        "student epochs": bench.config.student_epochs,
    }


def _bytes_an_example(bench: Workbench) -> dict[str, int]:
    """What the cache keeps of an example, and four bytes for each layer and class."""
    logits = bench.cached()(bench.batches[0])
    layers, classes = logits.shape[1:]
    kept = logits[0].numel() * logits.element_size()
    return {"bytes an example": kept, "4 T C": 4 * layers * classes}


def _peers() -> dict[str, str]:
    """Settings of other people's code, by name."""
    settings = {"Trainer": peers.TRAINER_SETTINGS}
    if found := peers.textbrewer_version():
        settings[f"TextBrewer {found}"] = peers.TEXTBREWER_SETTINGS
    return settings
