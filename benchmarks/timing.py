"""Timing: contenders take turns within one run, and what counts is the ratio of their seconds in the same turn."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import nn

from ukd.config.runtime import Runtime
from ukd.data.batches import Batch
from ukd.training.loop import (
    AcceleratorWrapper,
    Schedule,
    accelerator_for,
    parameter_groups,
    train_one_epoch,
)

REPEATS = 7
DECAY, RATE = 0.01, 1e-5


@dataclass(frozen=True)
class Ratio:
    """Seconds of one contender over those of another: median over repeats, quartiles, both medians, and the limit set for it."""

    name: str
    median: float
    low: float
    high: float
    repeats: int
    seconds: dict[str, float]
    limit: str

    @property
    def met(self) -> bool:
        """Whether the median keeps the limit, "at most X" or "at least X"."""
        bound = float(self.limit.split()[-1])
        return self.median <= bound if self.limit.startswith("at most") else self.median >= bound

    def row(self) -> list[str]:
        """For the table."""
        each = ", ".join(f"{name} {_seconds(value)}" for name, value in self.seconds.items())
        spread = (
            f"{self.low:.2f} to {self.high:.2f}, n={self.repeats}" if self.repeats > 1 else "n=1"
        )
        return [
            self.name,
            f"{self.median:.3g} ({spread})",
            self.limit,
            "yes" if self.met else "no",
            each,
        ]


def _seconds(value: float) -> str:
    return f"{1000 * value:.3g} ms" if value < 10 else f"{value:.0f} s"


def ratio(
    name: str, limit: str, seconds: dict[str, list[float]], above: str, below: str, parts: int = 1
) -> Ratio:
    """Of two contenders that took turns; `parts` are the steps in a turn, so that the seconds shown are those of one."""
    quotients = np.array(seconds[above]) / np.array(seconds[below])
    low, high = np.quantile(quotients, (0.25, 0.75))
    each = {name: median(seconds[name]) / parts for name in (above, below)}
    return Ratio(
        name, float(np.median(quotients)), float(low), float(high), len(quotients), each, limit
    )


def turns(
    contenders: dict[str, Callable[[], object]], repeats: int = REPEATS
) -> dict[str, list[float]]:
    """Seconds of each contender in each repeat; all take their turn in every repeat, in alternating order, after a warm-up."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(repeats + 1):
        for name in list(contenders)[:: 1 if number % 2 else -1]:
            gc.collect()
            start = time.perf_counter()
            contenders[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                found[name].append(time.perf_counter() - start)
    return found


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the kit's own loop, which every contender gets."""
    return torch.optim.AdamW(parameter_groups(model, DECAY), lr=RATE, fused=True)


class Steps:
    """A model ready to take the steps of `ukd.train.fit`, over the same batches each time."""

    def __init__(
        self, model: nn.Module, terms: Callable, batches: list[Batch], runtime: Runtime
    ) -> None:
        self.terms, self.batches, self.accelerator = terms, batches, accelerator_for(runtime)
        self.model, self.optimizer = self.accelerator.prepare(
            AcceleratorWrapper(model.to(runtime.device)), optimizer_of(model)
        )

    def __call__(self) -> None:
        """One round over the batches."""
        schedule = Schedule(1, len(self.batches), RATE)
        train_one_epoch(
            self.accelerator, self.model, self.optimizer, self.batches, self.terms, schedule, 0
        )
