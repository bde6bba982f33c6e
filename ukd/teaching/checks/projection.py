"""Checks of the projection's exercises: the attention weights, and the loss on the mixture.

S student layers, T teacher layers, C classes. The values are worked out by hand, with logits chosen
so that they come out even.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from ukd.teaching.checks._base import LN2, LN3, exercise, expect

# Softmax over the student's two layers instead of the teacher's three.
_WRONG_AXIS = [[1 / 2, 4 / 5, 1 / 5], [1 / 2, 1 / 5, 4 / 5]]
# 2^1, 2^(1/2), 2^(-3/2) and 2^-1, 2^(-1/2), 2^(3/2), each divided by its sum.
_CENTRED_OVER_LAYERS = torch.tensor([[1.0, 0.5, -1.5], [-1.0, -0.5, 1.5]]).mul(LN2).softmax(-1)
_WEIGHTS = [[2 / 7, 4 / 7, 1 / 7], [2 / 7, 1 / 7, 4 / 7]]
_WEIGHT_MISTAKES = [
    (
        [[[16 / 21, 4 / 21, 1 / 21], [2 / 7, 1 / 7, 4 / 7]]],
        "the logits are not centred: take away each layer's mean over its classes, or a constant, "
        "which no softmax sees, moves the weights",
    ),
    (
        _CENTRED_OVER_LAYERS.unsqueeze(0),
        "you centred over the layers: the mean to take away is each layer's own, over its classes "
        "(the last dimension)",
    ),
    (
        [_WRONG_AXIS],
        "you softmaxed over the student's layers: the rows must sum to one over the teacher's",
    ),
    (
        [[[16 / 273, 256 / 273, 1 / 273], [16 / 273, 1 / 273, 256 / 273]]],
        "you multiplied the scores by kappa: a temperature divides, so that a large one makes the "
        "weights even",
    ),
    (
        [[[4 / 21, 16 / 21, 1 / 21], [4 / 21, 1 / 21, 16 / 21]]],
        "kappa is not used: divide the scores by it",
    ),
    (
        [[[0, LN2, -LN2], [0, -LN2, LN2]]],
        "these are the scores: a softmax over the teacher's layers makes weights of them",
    ),
]
# KL of (3/4, 1/4) from (1/2, 1/2). From itself it is 0, from (1/4, 3/4) it is ln 3 / 2.
_EVEN = 0.75 * log(1.5) + 0.25 * log(0.5)
_LOSS = 16 * (_EVEN + LN3 / 2) / 3
_LOSS_MISTAKES = [
    (_LOSS / 16, "tau^2 is missing: without it a larger tau makes the gradients smaller"),
    (_LOSS / 4, "it is multiplied by tau, not by tau^2"),
    (
        16 * (log(4 / 3) / 2 + LN3 / 2) / 3,
        "the two sides of KL are exchanged: the mixture comes first, KL(mixture || student)",
    ),
    (
        # Probabilities 9/10 and 1/2 make 7/10. The student's are 1/2, 3/4 and 1/4.
        16 * (3 * (0.7 * log(0.7) + 0.3 * log(0.3)) - log(0.5) - log(0.75) - log(0.25)) / 3,
        "you mixed probabilities: mix the logits, then take one softmax",
    ),
    (
        3 * _LOSS,
        "the losses of the student's layers are added up: take their mean "
        '("batchmean" divides by the examples alone)',
    ),
    (
        _LOSS / 2,
        "the mean is taken over the classes too: sum over them, then take the mean of the rest",
    ),
    (2 * _LOSS, "the losses of the examples are added up: take their mean"),
]


@exercise
def attention_weights(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """`answer(student, teacher, kappa)`: weights (B, S, T) from logits (B, S, C) and (B, T, C).

    Centred, the student predicts (1, -1) and (-1, 1), the teacher (0, 0), (ln 2, -ln 2) and
    (-ln 2, ln 2). With kappa 2 the scores are 0, ln 2 and -ln 2, their exponentials 1, 2 and 1/2:
    2/7, 4/7 and 1/7. The constants, 1 and ln 8, are there to be taken away.
    """
    student = torch.tensor([[[2.0, 0.0], [-1.0, 1.0]]])
    teacher = torch.tensor([[[3 * LN2, 3 * LN2], [LN2, -LN2], [-LN2, LN2]]])
    expect(answer(student, teacher, 2.0), [_WEIGHTS], _WEIGHT_MISTAKES, what="the weights")
    uniform = answer(torch.zeros(4, 2, 3), torch.zeros(4, 5, 3), 1.0)
    expect(uniform, torch.full((4, 2, 5), 0.2), what="the weights where all logits are zero")
    return "the rows sum to one over the teacher's layers, and no constant moves them"


@exercise
def mixed_loss(answer: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> str:
    """`answer(student, teacher, weights, temperature)`: the intermediate loss on the mixture.

    student: (B, S, C). teacher: (B, T, C). weights: (B, S, T).

    Half and half, the teacher's two layers make logits that differ by 4 ln 3, and tau = 4 divides
    that by 4: probabilities 3/4 and 1/4. The three student layers predict 1/2 and 1/2, the same
    3/4 and 1/4, and 1/4 and 3/4. The second example is the first with the classes exchanged, so
    that the mean over examples is that of the first.
    """
    student = 2 * LN3 * torch.tensor([[[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0]]])
    teacher = 2 * LN3 * torch.tensor([[[2.0, -2.0], [0.0, 0.0]]])
    students = torch.cat([student, student.flip(-1)])
    teachers = torch.cat([teacher, teacher.flip(-1)])
    loss = answer(students, teachers, torch.full((2, 3, 2), 0.5), 4.0)
    expect(loss, _LOSS, _LOSS_MISTAKES, what="the loss")
    # All weight on the first teacher layer: (3/4, 1/4) again.
    single = torch.tensor([[[LN3, 0.0], [5.0, 1.0]]])
    alone = answer(student[:, :1], single, torch.tensor([[[1.0, 0.0]]]), 1.0)
    expect(alone, _EVEN, what="the loss with all weight on the first teacher layer, tau 1")
    return "one softmax of the mixed logits, KL from the mixture to the student, times tau^2"
