"""Checks of the layer maps' exercises: how narrowly single examples look, and how far from the label is what they see.

N examples, S student layers, T teacher layers. The values are worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch

from ukd.teaching.checks._base import exercise, expect

LN2, LN3 = log(2), log(3)


@exercise
def row_entropy(answer: Callable) -> str:
    """`answer(weights (2, 2, 4))` against (2,), in nats.

    Student layer 1 looks at one teacher layer, then at two alike: entropies 0 and ln 2. Layer 2 looks at two alike, then at all four:
    ln 2 and ln 4 = 2 ln 2. The means over the two examples are ln 2 / 2 and 3 ln 2 / 2.
    """
    first = [[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]]
    second = [[0.0, 0.5, 0.5, 0.0], [0.25, 0.25, 0.25, 0.25]]
    right = [LN2 / 2, 3 * LN2 / 2]
    mistakes = {
        "this is the entropy of the mean map: take each example's entropy first, then the mean over the examples": [
            3 * LN2 / 2,
            3 * LN2 - 0.75 * LN3,
        ],
        "these are bits: take the natural logarithm": [0.5, 1.5],
        "the minus sign is missing: an entropy is never negative": [-value for value in right],
        "you added up the examples: take their mean": [2 * value for value in right],
        "you took the mean over the teacher's layers: p log p is summed over them": [
            value / 4 for value in right
        ],
        "one value for each example and layer: the mean over the examples is still to be taken": [
            [0.0, LN2],
            [LN2, 2 * LN2],
        ],
    }
    found = answer(torch.tensor([first, second]))
    if found is not None and torch.as_tensor(found).isnan().any():
        raise AssertionError(
            "0 log 0 has become NaN: it counts as 0 (torch.special.entr knows that)"
        )
    expect(found, right, mistakes, what="the entropy")
    expect(
        answer(torch.full((5, 3, 8), 0.125)),
        [3 * LN2] * 3,
        what="the entropy of looking at eight layers all alike",
    )
    return "0 for a layer that looks at one teacher layer, log T for one that looks at all alike"


@exercise
def seen_distance(answer: Callable) -> str:
    """`answer(weights (2, 2, 3), distance (2, 3))` against (2,).

    Student layer 1 always looks at the one teacher layer that is near to the label, 0.1 in both examples, and another one each
    time. Layer 2 sees 1/4 of 0.9 and 3/4 of 0.5, which is 0.6, then 0.8.
    """
    weights = torch.tensor(
        [[[1.0, 0.0, 0.0], [0.0, 0.25, 0.75]], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    )
    distance = torch.tensor([[0.1, 0.9, 0.5], [0.9, 0.1, 0.8]])
    right = [0.1, 0.7]
    mistakes = {
        "you multiplied the mean map by the mean distances: which layer is near changes from example to example, so weigh within each "
        "example first": [0.5, 0.63125],
        "the weights are not used: this is what looking at all alike would see": [0.55, 0.55],
        "you added up the examples: take their mean": [0.2, 1.4],
        "you took the mean over the teacher's layers: the weights sum to one already, so add the products up": [
            0.1 / 3,
            0.7 / 3,
        ],
        "one value for each example and layer: the mean over the examples is still to be taken": [
            [0.1, 0.6],
            [0.1, 0.8],
        ],
    }
    expect(answer(weights, distance), right, mistakes, what="the distance that is seen")
    even = torch.full((2, 4, 3), 1 / 3)
    expect(
        answer(even, distance),
        [0.55] * 4,
        what="the distance that is seen by layers that look at all alike",
    )
    return "a student that finds the right layer in every example sees less distance than any mean map shows"
