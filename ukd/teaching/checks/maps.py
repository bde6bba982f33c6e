"""Checks of the layer maps' exercises: the entropy of single examples, the attended label error.

N examples, S student layers, T teacher layers. The values are worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ukd.teaching.checks._base import LN2, LN3, exercise, expect

# (N, S, T) = (2, 2, 4). Layer 1 attends to one teacher layer, then to two alike: entropies 0 and
# ln 2. Layer 2 attends to two alike, then to all four: ln 2 and 2 ln 2.
_WEIGHTS = (
    ((1.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.0, 0.0)),
    ((0.0, 0.5, 0.5, 0.0), (0.25, 0.25, 0.25, 0.25)),
)
_ENTROPIES = [LN2 / 2, 3 * LN2 / 2]
_ENTROPY_MISTAKES = [
    (
        [3 * LN2 / 2, 3 * LN2 - 0.75 * LN3],
        "this is the entropy of the mean map: take each example's entropy first, then the mean "
        "over the examples",
    ),
    ([0.5, 1.5], "these are bits: take the natural logarithm"),
    ([-LN2 / 2, -3 * LN2 / 2], "the minus sign is missing: an entropy is never negative"),
    ([LN2, 3 * LN2], "you added up the examples: take their mean"),
    (
        [LN2 / 8, 3 * LN2 / 8],
        "you took the mean over the teacher's layers: p log p is summed over them",
    ),
    (
        [[0.0, LN2], [LN2, 2 * LN2]],
        "one value for each example and layer: the mean over the examples is still to be taken",
    ),
]
# Layer 1 finds the teacher layer with the small label error in both examples, 0.1. Layer 2 sees
# 1/4 of 0.9 and 3/4 of 0.5, which is 0.6, then 0.8.
_ATTENTION = (((1.0, 0.0, 0.0), (0.0, 0.25, 0.75)), ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
_LABEL_ERRORS = ((0.1, 0.9, 0.5), (0.9, 0.1, 0.8))
_ERROR_MISTAKES = [
    (
        [0.5, 0.63125],
        "you multiplied the mean map by the mean label errors: which layer is good changes from "
        "example to example, so weigh within each example first",
    ),
    ([0.55, 0.55], "the weights are not used: this is what uniform weights would see"),
    ([0.2, 1.4], "you added up the examples: take their mean"),
    (
        [0.1 / 3, 0.7 / 3],
        "you took the mean over the teacher's layers: the weights sum to one already, so add the "
        "products up",
    ),
    (
        [[0.1, 0.6], [0.1, 0.8]],
        "one value for each example and layer: the mean over the examples is still to be taken",
    ),
]


@exercise
def row_entropy(answer: Callable[[Tensor], Tensor]) -> str:
    """`answer(weights)`: entropy in nats of each student layer, mean over examples.

    weights: (N, S, T). The result is (S,).
    """
    entropies = answer(torch.tensor(_WEIGHTS))
    if entropies is not None and torch.as_tensor(entropies).isnan().any():
        raise AssertionError(
            "0 log 0 has become NaN: it counts as 0 (torch.special.entr knows that)"
        )
    expect(entropies, _ENTROPIES, _ENTROPY_MISTAKES, what="the entropy")
    uniform = answer(torch.full((5, 3, 8), 0.125))
    expect(uniform, [3 * LN2] * 3, what="the entropy of uniform weights over eight layers")
    return "0 for a layer that attends to one teacher layer, log T for uniform weights"


@exercise
def attended_label_error(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """`answer(weights, errors)`: label error that each student layer attends to.

    The mean over the examples.

    weights: (N, S, T). errors: (N, T), each teacher head's label error. The result is (S,).
    """
    attended = answer(torch.tensor(_ATTENTION), torch.tensor(_LABEL_ERRORS))
    expect(attended, [0.1, 0.7], _ERROR_MISTAKES, what="the attended label error")
    uniform = answer(torch.full((2, 4, 3), 1 / 3), torch.tensor(_LABEL_ERRORS))
    expect(uniform, [0.55] * 4, what="the label error that uniform weights attend to")
    return (
        "a student that finds the right layer in every example attends to a smaller error than "
        "any mean map shows"
    )
