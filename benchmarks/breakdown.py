"""Where the time of a step goes, and how the intermediate loss's cost grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from benchmarks.timing import take_turns
from benchmarks.workbench import Workbench
from ukd.config.runtime import Runtime
from ukd.losses import intermediate_loss, kd_loss

ROUNDS = 3
STUDENT_LAYERS = 3
SIZES = {"examples": 1024, "layers": 12, "classes": 16}
LARGER_SIZES = {
    "examples": (2048, 4096, 8192, 16384),
    "layers": (48, 96, 192, 384),
    "classes": (64, 128, 256, 512),
}


def parts_of_step(bench: Workbench) -> dict[str, float]:
    """Milliseconds of the parts of a distillation step, median over three rounds of batches."""
    lookup = bench.cached()
    steps = bench.distilling("layers", lookup)
    options = {"temperature": 2.0, "regression": bench.task.spec.regression}
    positions = {int(row): position for position, row in enumerate(bench.train.rows)}
    milliseconds: dict[str, list[float]] = {}

    def timed(part: str, work: Callable, *arguments: object) -> object:
        start = time.perf_counter()
        result = work(*arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        milliseconds.setdefault(part, []).append(1000 * (time.perf_counter() - start))
        return result

    def losses(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        kd = kd_loss(student[:, -1], teacher[:, -1], **options)
        intermediate = intermediate_loss(student[:, :-1], teacher[:, :-1], **options)
        return kd + intermediate.per_layer.sum()

    def forward(inputs: dict) -> torch.Tensor:
        return steps.model.train()(**inputs)

    def optimise() -> None:
        steps.optimizer.step()
        steps.optimizer.zero_grad()

    for rows in [batch.rows for batch in bench.batches] * ROUNDS:
        examples = [positions[int(row)] for row in rows]
        batch = timed("batch: choose and pad", bench.train.batch, examples)
        batch = batch.to(bench.runtime.device)
        teacher = timed("teacher's logits: look up", lookup, batch)
        logits = timed("student: forward", forward, batch.inputs)
        loss = timed("losses", losses, logits, teacher)
        timed("backward", steps.accelerator.backward, loss)
        timed("clipping", steps.accelerator.clip_grad_norm_, steps.model.parameters(), 1.0)
        timed("optimiser", optimise)
    return {part: round(median(values), 2) for part, values in milliseconds.items()}


def exponents(runtime: Runtime) -> dict[str, float]:
    """Exponents of the loss's cost in examples, teacher layers and classes.

    They are the slopes of lines through logarithms.
    """
    slopes = {}
    for part, values in LARGER_SIZES.items():
        seconds = []
        for value in values:
            contender = _loss_of_size(runtime, **(SIZES | {part: value}))
            seconds.append(median(take_turns({"loss": contender})["loss"]))
        slope = np.polyfit(np.log(values), np.log(seconds), 1)[0]
        slopes[part] = round(float(slope), 2)
    return slopes


def _loss_of_size(
    runtime: Runtime, *, examples: int, layers: int, classes: int
) -> Callable[[], None]:
    """The intermediate loss, forward and backward, on random logits."""
    shape = (examples, STUDENT_LAYERS, classes)
    student = torch.randn(shape, device=runtime.device, requires_grad=True)
    teacher = torch.randn(examples, layers, classes, device=runtime.device)

    def run() -> None:
        intermediate_loss(student, teacher).loss.backward()

    return run
