"""Scores of a network on the task's metrics, and whether a teacher has learned its task."""

from __future__ import annotations

import warnings

from torch import Tensor, nn

from ukd.config.runtime import Runtime, logger
from ukd.data.batches import TokenizedSplit
from ukd.data.metrics import mean_metric, scores
from ukd.data.tasks import Task
from ukd.training.loop import predict


def score(model: nn.Module, data: TokenizedSplit, task: Task, runtime: Runtime) -> dict[str, float]:
    """The task's metrics of the network's own classifier, in percent."""
    return logged_scores(predict(model, data, runtime)[:, -1], data.labels, task)


def logged_scores(logits: Tensor, labels: Tensor, task: Task) -> dict[str, float]:
    """The task's metrics of logits (N, C) and labels (N,), in percent.

    What makes a score mean little is logged, as that every example got one class.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = scores(logits.numpy(), labels.numpy(), task.spec.metrics)
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        logger.warning(text)
    return found


def check_min_score(
    task: Task, dev: dict[str, float], *, above: float = 0.0, enforce: bool
) -> None:
    """A teacher that has not learned its task can't teach it: raise ValueError, or only warn.

    It must reach the task's least score, and exceed `above`: the best constant answer and what
    chance adds to it (`ukd.data.metrics.above_chance`). All in percent, on the development part.
    """
    reached = mean_metric(dev)
    least = task.spec.min_teacher_score
    start = f"the teacher reaches {reached:.1f} on the development part of {task.name}, "
    if reached < least:
        text = f"{start}below the least score of {least:.0f}"
    elif reached <= above:
        text = f"{start}and a constant answer with luck {above:.1f}"
    else:
        return
    if enforce:
        raise ValueError(
            f"{text}: distilling from it would teach noise. Train it longer (--teacher-epochs), at "
            "another rate (--teacher-learning-rate), on more rows, from a better encoder "
            "(--teacher), or see for yourself (--allow-weak-teacher)"
        )
    logger.warning(text)
