"""Timing: contenders take turns, and what counts is the ratio of their seconds in one turn."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch.utils.benchmark import Timer

REPEATS = 5
Contender = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """Seconds of one contender over those of another.

    Attributes:
        name: what is compared, "... / ...".
        median, low, high: of the ratio over the repeats; low and high are quartiles.
        repeats: turns that were taken.
        seconds: median of each contender.
        limit: "at most X" or "at least X".
    """

    name: str
    median: float
    low: float
    high: float
    repeats: int
    seconds: dict[str, float]
    limit: str


def ratio(
    name: str,
    limit: str,
    seconds: dict[str, list[float]],
    above: str,
    below: str,
    *,
    parts: int = 1,
) -> Ratio:
    """The ratio of two contenders that took turns.

    Args:
        seconds: of each contender, by turn.
        above, below: the two contenders.
        parts: steps in a turn; the seconds kept are those of one step.
    """
    quotients = np.array(seconds[above]) / np.array(seconds[below])
    low, high = np.quantile(quotients, (0.25, 0.75))
    each = {contender: median(seconds[contender]) / parts for contender in (above, below)}
    return Ratio(
        name, float(np.median(quotients)), float(low), float(high), len(quotients), each, limit
    )


def take_turns(contenders: dict[str, Contender], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Seconds of each contender in each repeat.

    All take their turn in every repeat, in alternating order, so that a machine that slows down
    slows all of them. torch's timer warms each one up and waits for the GPU.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(repeats):
        for name in list(contenders)[:: -1 if repeat % 2 else 1]:
            gc.collect()
            timer = Timer(
                "contender()",
                globals={"contender": contenders[name]},
                num_threads=torch.get_num_threads(),
            )
            seconds[name].append(timer.timeit(1).mean)
    return seconds
