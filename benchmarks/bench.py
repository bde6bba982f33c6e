"""What a distillation costs, as ratios within one run; `ukd bench` prints them and writes a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from statistics import median

import numpy as np
import torch

from benchmarks.contenders import STEPS, Bench
from benchmarks.peers import TEXTBREWER, TRAINER
from benchmarks.timing import REPEATS, Ratio, turns
from ukd.analysis.runs import FORMAT
from ukd.analysis.tables import markdown
from ukd.config.keys import config_hash
from ukd.config.provenance import provenance
from ukd.config.runtime import Runtime, say
from ukd.losses import intermediate_loss
from ukd.models.students import STUDENTS


def scaling(runtime: Runtime) -> dict[str, float]:
    """Exponents of the intermediate loss's cost in examples, teacher layers and classes: slopes of a line through logarithms."""
    tried = {
        "examples": (2048, 4096, 8192, 16384),
        "layers": (48, 96, 192, 384),
        "classes": (64, 128, 256, 512),
    }
    found = {}
    for part, values in tried.items():
        seconds = []
        for value in values:
            sizes = {"examples": 1024, "layers": 12, "classes": 16} | {part: value}
            examples, layers, classes = sizes.values()
            student = torch.randn(examples, 3, classes, device=runtime.device, requires_grad=True)
            teacher = torch.randn(examples, layers, classes, device=runtime.device)
            seconds.append(
                median(
                    turns(
                        {"": lambda s=student, t=teacher: intermediate_loss(s, t).loss.backward()},
                        9,
                    )[""]
                )
            )
        found[part] = round(float(np.polyfit(np.log(values), np.log(seconds), 1)[0]), 2)
    return found


def measure(bench: Bench, *, quick: bool = False) -> dict:
    """Everything as a record; `quick` leaves out what takes minutes."""
    precisions = ["float32"] + [bench.runtime.precision] * (bench.runtime.precision != "float32")
    ratios: list[Ratio] = []

    def add(what: str, work: Callable[[], Ratio | list[Ratio]]) -> None:
        say(f"measuring: {what}")
        made = work()
        for each in made if isinstance(made, list) else [made]:
            say("  " + " | ".join(each.row()))
            ratios.append(each)

    for precision in precisions:
        here = replace(bench.runtime, precision=precision)
        for kind in ("layers", *STUDENTS):
            add(
                f"steps of {kind}, {precision}",
                lambda kind=kind, here=here: bench.one_step(here, kind),
            )
        add(f"attention, {precision}", lambda here=here: bench.attention(here))
        add(f"the loss, {precision}", lambda here=here: bench.loss(here))
        add(f"Trainer, {precision}", lambda here=here: bench.trainer(here))
        add(f"TextBrewer, {precision}", lambda here=here: bench.textbrewer(here))
        if not quick:
            add(f"a whole comparison, {precision}", lambda here=here: bench.comparison(here))
    add("pseudo classifiers", bench.heads)
    if not quick:
        add(
            "a teacher of BERT-base's size",
            lambda: bench.big_teacher(replace(bench.runtime, precision="float32")),
        )
    table = bench.kept(bench.runtime)(bench.batches[0])
    said = {
        "format": FORMAT,
        "kind": "bench",
        "task": bench.task.name,
        "quick": quick,
        "repeats": REPEATS,
        "steps in a turn": STEPS,
        "batch": bench.config.batch_size,
        "labels": len(bench.train),
        "tokens in a batch": [batch.inputs["input_ids"].shape[1] for batch in bench.batches],
        "teacher": bench.teacher.about["encoder"],
        "student layers": bench.config.student_depth,
        "student epochs": bench.config.student_epochs,
        "ratios": [asdict(each) for each in ratios],
        "parts of a step": bench.parts(bench.runtime),
        "exponents": scaling(bench.runtime),
        "cache": {
            "bytes an example": table[0].numel() * table.element_size(),
            "4 T C": 4 * table.shape[1] * table.shape[2],
        },
        "peers": {
            "Trainer": TRAINER,
            **({f"TextBrewer {found}": TEXTBREWER} if (found := _textbrewer()) else {}),
        },
        **provenance(bench.runtime),
    }
    return {**said, "hash": config_hash(said)}


def _textbrewer() -> str | None:
    try:
        return version("textbrewer")
    except PackageNotFoundError:
        return None


def bench_table(record: dict) -> str:
    """A record's ratios as Markdown, with what else it holds below."""
    rows = [Ratio(**each).row() for each in record["ratios"]]
    cache, slopes = (
        record["cache"],
        ", ".join(f"{name} {value:.2f}" for name, value in record["exponents"].items()),
    )
    return "\n\n".join(
        [
            markdown(
                [
                    "seconds of / seconds of",
                    "ratio: median (quartiles)",
                    "limit",
                    "kept?",
                    "a step, or the whole",
                ],
                rows,
            ),
            f"A kept example takes {cache['bytes an example']} bytes (4 T C = {cache['4 T C']}). Exponents of the loss's cost: {slopes}.",
            "Milliseconds of a step: "
            + ", ".join(f"{name} {value:.2g}" for name, value in record["parts of a step"].items())
            + ".",
            f"{record['device']}, {record['threads']} threads; task {record['task']}, batch {record['batch']}, "
            f"{min(record['tokens in a batch'])} to {max(record['tokens in a batch'])} tokens; made {record['made'][:10]}.",
        ]
    )
