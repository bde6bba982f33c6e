"""Checks of the projection's exercises: the attention weights, and the loss on the mixture.

S student layers, T teacher layers, C classes. The values are worked out by hand, with logits chosen so that they come out even.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch

from ukd.teaching.checks._base import exercise, expect

LN2, LN3 = log(2), log(3)


@exercise
def attention_weights(answer: Callable) -> str:
    """`answer(student (1, 2, 2), teacher (1, 3, 2), kappa)` against weights (1, 2, 3) in sevenths.

    Centred, the student says (1, -1) and (-1, 1), the teacher (0, 0), (ln 2, -ln 2) and (-ln 2, ln 2). With kappa 2 the scores are 0,
    ln 2 and -ln 2, their exponentials 1, 2 and 1/2: 2/7, 4/7 and 1/7. The constants, 1 and ln 8, are there to be taken away.
    """
    student = torch.tensor([[[2.0, 0.0], [-1.0, 1.0]]])
    teacher = torch.tensor([[[3 * LN2, 3 * LN2], [LN2, -LN2], [-LN2, LN2]]])
    right = [[[2 / 7, 4 / 7, 1 / 7], [2 / 7, 1 / 7, 4 / 7]]]
    over_layers = [
        [value / sum(row) for value in row]
        for row in ([2, 2**0.5, 2**-1.5], [2**-1, 2**-0.5, 2**1.5])
    ]
    mistakes = {
        "the logits are not centred: take away each layer's mean over its classes, or a constant, which no softmax sees, moves the "
        "weights": [[[16 / 21, 4 / 21, 1 / 21], [2 / 7, 1 / 7, 4 / 7]]],
        "you centred over the layers: the mean to take away is each layer's own, over its classes (the last dimension)": [
            over_layers
        ],
        "you softmaxed over the student's layers: the rows must sum to one over the teacher's": [
            [[1 / 2, 4 / 5, 1 / 5], [1 / 2, 1 / 5, 4 / 5]]
        ],
        "you multiplied the scores by kappa: a temperature divides, so that a large one makes the weights even": [
            [[16 / 273, 256 / 273, 1 / 273], [16 / 273, 1 / 273, 256 / 273]]
        ],
        "kappa is not used: divide the scores by it": [
            [[4 / 21, 16 / 21, 1 / 21], [4 / 21, 1 / 21, 16 / 21]]
        ],
        "these are the scores: a softmax over the teacher's layers makes weights of them": [
            [[0, LN2, -LN2], [0, -LN2, LN2]]
        ],
    }
    expect(answer(student, teacher, 2.0), right, mistakes, what="the weights")
    nothing = torch.zeros(4, 7, 3)
    expect(
        answer(nothing[:, :2], nothing[:, 2:], 1.0),
        torch.full((4, 2, 5), 0.2),
        what="the weights where nobody says anything",
    )
    return "the rows sum to one over the teacher's layers, and no constant moves them"


@exercise
def mixed_loss(answer: Callable) -> str:
    """`answer(student (2, 3, 2), teacher (2, 2, 2), weights (2, 3, 2), tau)` against one number, tau = 4.

    Half and half the teacher's two layers make logits that differ by 4 ln 3, and tau divides that by 4: probabilities 3/4 and 1/4.
    The three student layers say 1/2 and 1/2, the same 3/4 and 1/4, and 1/4 and 3/4. The second example is the first with the
    classes exchanged, so that the mean over examples is that of the first.
    """
    student = 2 * LN3 * torch.tensor([[[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0]]])
    teacher = 2 * LN3 * torch.tensor([[[2.0, -2.0], [0.0, 0.0]]])
    both = [torch.cat([one, one.flip(-1)]) for one in (student, teacher)]
    even = 0.75 * log(1.5) + 0.25 * log(
        0.5
    )  # KL of (3/4, 1/4) from (1/2, 1/2); from itself it is 0, from (1/4, 3/4) ln 3 / 2
    right = 16 * (even + LN3 / 2) / 3
    averaged = [
        0.7 * log(0.7 / q) + 0.3 * log(0.3 / (1 - q)) for q in (0.5, 0.75, 0.25)
    ]  # softmax first: 9/10 and 1/2 make 7/10
    mistakes = {
        "tau^2 is missing: without it a larger tau makes the gradients smaller": right / 16,
        "it is multiplied by tau, not by tau^2": right / 4,
        "the two sides of KL are exchanged: the mixture comes first, KL(mixture || student)": 16
        * (log(4 / 3) / 2 + LN3 / 2)
        / 3,
        "you mixed probabilities: mix the logits, then take one softmax": 16 * sum(averaged) / 3,
        'the losses of the student\'s layers are added up: take their mean ("batchmean" divides by the examples alone)': 3
        * right,
        "the mean is taken over the classes too: sum over them, then take the mean of the rest": right
        / 2,
        "the losses of the examples are added up: take their mean": 2 * right,
    }
    expect(answer(*both, torch.full((2, 3, 2), 0.5), 4.0), right, mistakes, what="the loss")
    heard, first = (
        torch.tensor([[[LN3, 0.0], [5.0, 1.0]]]),
        torch.tensor([[[1.0, 0.0]]]),
    )  # the first teacher layer alone: (3/4, 1/4) again
    expect(
        answer(student[:, :1], heard, first, 1.0),
        even,
        what="the loss of a layer that hears the first teacher layer alone, tau 1",
    )
    return "one softmax of the mixed logits, KL from the mixture to the student, times tau^2"
