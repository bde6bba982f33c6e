"""Steps for a given number of minutes, at the speed of this machine at this moment."""

from __future__ import annotations

import time
from itertools import islice

from data.encoder.make.batches import SegmentBatches
from data.encoder.make.network import (
    STACKING,
    BertPretraining,
    grown,
    losses,
    narrow_bert,
    stages_of,
)
from data.encoder.make.segments import POOL
from data.encoder.make.settings import PretrainingConfig
from ukd.config.runtime import Runtime, logger
from ukd.data.batches import Batch
from ukd.training.loop import Schedule, fit

FEW_STEPS = 8
MANY_STEPS = 40
ANY_STEPS = 1000  # only the stages' depths are asked for


def steps_for_minutes(
    minutes: float, config: PretrainingConfig, text: SegmentBatches, runtime: Runtime
) -> int:
    """Optimiser steps that take the given minutes in all, the making of the text included."""
    batches, reading = _timed_batches(config, text)
    seconds = reading
    by_stage = []
    depths = stages_of(config.layers, ANY_STEPS)
    for (_, share), (layers, _) in zip(STACKING, depths, strict=True):
        bert = narrow_bert(config, layers, len(text.tokenizer))
        model = BertPretraining(grown(None, bert, seed=0))
        few = _seconds(model, batches[:FEW_STEPS], config, runtime)
        many = _seconds(model, batches, config, runtime)
        # The difference leaves out what starting up takes.
        step = (many - few) / (MANY_STEPS - FEW_STEPS)
        by_stage.append(f"{1000 * step:.0f}")
        seconds += share * step
    steps = round(60 * minutes / seconds)
    logger.info(
        f"{minutes} minutes are {steps} steps, at {', '.join(by_stage)} ms a step by stage and "
        f"{1000 * reading:.0f} ms to make its text"
    )
    return steps


def _timed_batches(config: PretrainingConfig, text: SegmentBatches) -> tuple[list[Batch], float]:
    """Batches, and the seconds that making one takes."""
    next(text.batches(text.stream(0), seed=0))  # the first one takes longer
    start = time.perf_counter()
    batches = list(islice(text.batches(text.stream(0), seed=0), MANY_STEPS))
    seconds = time.perf_counter() - start
    # Text is made a whole pool at a time.
    return batches, seconds / max(MANY_STEPS, POOL / config.batch_size)


def _seconds(
    model: BertPretraining, batches: list[Batch], config: PretrainingConfig, runtime: Runtime
) -> float:
    """Seconds of one step on each batch."""

    def stream(epoch: int, rank: int, world: int) -> list[Batch]:
        return batches

    schedule = Schedule(1, len(batches), config.learning_rate)
    start = time.perf_counter()
    fit(model, stream, losses, schedule, runtime, label="calibration")
    return time.perf_counter() - start
