"""Checks of the notebook on the capacity gap: the annealed target, and the entropy of a layer."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect

_TEACHER = ((4.0, 0.0, -2.0),)
_TARGET_MISTAKES = [
    (
        [[1.0, 0.0, -0.5]],
        "epochs count from 0 here, so the second of four shows 2/4, not 1/4: else the first shows "
        "nothing",
    ),
    (
        [[3.0, 0.0, -1.5]],
        "the factor falls, and it must grow: soft first, the teacher itself at the end",
    ),
    (
        [[1.6, 0.0, -0.8]],
        "the last epoch must show the whole logits: divide by epochs, not by epochs + 1",
    ),
    ([[4.0, 0.0, -2.0]], "this is the teacher itself: the epoch is not used"),
    (
        [[8.0, 0.0, -4.0]],
        "the logits were divided by the factor: that makes the target harder than the teacher",
    ),
    (
        torch.tensor([[2.0, 0.0, -1.0]]).softmax(-1),
        "these are probabilities: the target is made of logits, and the loss is a squared error",
    ),
    (
        0.5 * torch.tensor(_TEACHER).softmax(-1),
        "these are scaled probabilities: scale the logits",
    ),
]
# Probabilities (1/3, 1/3, 1/3), (1/2, 1/4, 1/4) and (1, 0, 0): log 3, 1.5 log 2 and 0 nats.
_LAYERS = ((0.0, 0.0, 0.0), (log(2), 0.0, 0.0), (30.0, 0.0, 0.0))
_ENTROPY_MISTAKES = [
    ([-1.09861, -1.03972, 0.0], "the minus sign is missing: an entropy is never negative"),
    ([1.58496, 1.5, 0.0], "these are bits: take the natural logarithm"),
    ([0.36620, 0.34657, 0.0], "you averaged over the classes: an entropy is a sum"),
    (0.71278, "one number a layer is asked for, not their mean"),
    (2.13833, "one number a layer is asked for, not their sum"),
    (
        [0.73241, 0.73241, 0.73241],
        "you softmaxed over the layers: each layer's probabilities sum to one over the classes",
    ),
]


@exercise
def annealed_target(answer: Callable[[Tensor, int, int], Tensor]) -> str:
    """`answer(teacher, epoch, epochs)`: Annealing-KD's target of an epoch, counted from 0.

    teacher: logits (B, C). The result is (B, C).
    """
    teacher = torch.tensor(_TEACHER)
    second = answer(teacher, 1, 4)
    expect(
        second, [[2.0, 0.0, -1.0]], _TARGET_MISTAKES, what="the target of the second epoch of four"
    )
    expect(answer(teacher, 0, 4), [[1.0, 0.0, -0.5]], what="the target of the first epoch of four")
    expect(answer(teacher, 3, 4), _TEACHER, what="the target of the last epoch")
    expect(teacher, _TEACHER, what="the teacher's logits afterwards (you changed them in place)")
    return "a quarter, a half, ..., the teacher itself in the last epoch"


@exercise
def layer_entropy(answer: Callable[[Tensor], Tensor]) -> str:
    """`answer(logits)`: the entropy in nats of each layer's prediction, (T, C) to (T,)."""
    entropies = answer(torch.tensor(_LAYERS))
    right = [1.09861, 1.03972, 0.0]
    expect(entropies, right, _ENTROPY_MISTAKES, what="the entropies of three layers")
    certain = answer(torch.tensor([[500.0, 0.0]]))
    if torch.as_tensor(certain).isnan().any():
        raise AssertionError(
            "a probability of zero gives nan (0 times log 0): use log_softmax, not the log of "
            "softmax"
        )
    expect(certain, [0.0], what="the entropy of a layer that is sure")
    return "from log 3 for a layer that knows nothing down to zero for one that has no doubt"
