"""Checks of the notebook on the capacity gap: the annealed target, and how sure a layer is of what it says."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect


@exercise
def annealed_target(answer: Callable[[Tensor, int, int], Tensor]) -> str:
    """`answer(teacher, epoch, epochs)`, logits (B, C) and an epoch counted from 0, returns the target (B, C) of that epoch."""
    teacher = torch.tensor([[4.0, 0.0, -2.0]])
    said = (0.5 * teacher).softmax(-1)
    expect(
        answer(teacher, 1, 4),
        [[2.0, 0.0, -1.0]],
        {
            "epochs count from 0 here, so the second of four shows 2/4, not 1/4: else the first shows nothing": [
                [1.0, 0.0, -0.5]
            ],
            "the factor falls, and it must grow: soft first, the teacher itself at the end": [
                [3.0, 0.0, -1.5]
            ],
            "the last epoch must show the whole logits: divide by epochs, not by epochs + 1": [
                [1.6, 0.0, -0.8]
            ],
            "this is the teacher itself: the epoch is not used": [[4.0, 0.0, -2.0]],
            "the logits were divided by the factor: that makes the target harder than the teacher": [
                [8.0, 0.0, -4.0]
            ],
            "these are probabilities: the target is made of logits, and the loss is a squared error": said,
            "these are scaled probabilities: scale the logits": 0.5 * teacher.softmax(-1),
        },
        what="the target of the second epoch of four",
    )
    expect(answer(teacher, 0, 4), [[1.0, 0.0, -0.5]], what="the target of the first epoch of four")
    expect(answer(teacher, 3, 4), [[4.0, 0.0, -2.0]], what="the target of the last epoch")
    expect(
        teacher,
        [[4.0, 0.0, -2.0]],
        what="the teacher's logits afterwards (you changed them in place)",
    )
    return "a quarter, a half, ..., the teacher itself in the last epoch"


@exercise
def layer_entropy(answer: Callable[[Tensor], Tensor]) -> str:
    """`answer(logits)`, (T, C) of one example's teacher layers, returns the entropy (T,) of each layer's prediction, in nats."""
    # Probabilities (1/3, 1/3, 1/3), (1/2, 1/4, 1/4) and (1, 0, 0): log 3, 1.5 log 2 and 0 nats.
    logits = torch.tensor([[0.0, 0.0, 0.0], [log(2), 0.0, 0.0], [30.0, 0.0, 0.0]])
    expect(
        answer(logits),
        [1.09861, 1.03972, 0.0],
        {
            "the minus sign is missing: an entropy is never negative": [-1.09861, -1.03972, 0.0],
            "these are bits: take the natural logarithm": [1.58496, 1.5, 0.0],
            "you averaged over the classes: an entropy is a sum": [0.36620, 0.34657, 0.0],
            "one number a layer is asked for, not their mean": 0.71278,
            "one number a layer is asked for, not their sum": 2.13833,
            "you softmaxed over the layers: each layer's probabilities must sum to one over the classes": [
                0.73241,
                0.73241,
                0.73241,
            ],
        },
        what="the entropies of three layers",
    )
    sure = answer(torch.tensor([[500.0, 0.0]]))
    if torch.as_tensor(sure).isnan().any():
        raise AssertionError(
            "a probability of zero gives nan (0 times log 0): use log_softmax and not the log of softmax"
        )
    expect(sure, [0.0], what="the entropy of a layer that is sure")
    return "from log 3 for a layer that knows nothing down to zero for one that has no doubt"
