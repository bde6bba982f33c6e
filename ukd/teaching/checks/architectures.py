"""Checks of the exercises on students of another architecture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect

_INF = float("inf")
# (B, N, D) = (2, 3, 2). The second example has one token, the first has two.
_STATES = (
    ((-1.0, -4.0), (-3.0, 2.0), (9.0, 9.0)),
    ((-5.0, -2.0), (7.0, 7.0), (8.0, 8.0)),
)
_MASK = ((1, 1, 0), (1, 0, 0))
_POOLING_MISTAKES = [
    ([[9, 9], [8, 8]], "padding entered: its values are the largest here, and no token is there"),
    (
        [[0, 2], [0, 0]],
        "you multiplied by the mask: padding becomes 0, which is larger than any negative state",
    ),
    ([[-2, -1], [-5, -2]], "that is the mean over the tokens; the maximum was asked for"),
    (
        [[-1, 2, 9], [-2, 7, 8]],
        "you took the maximum over the features: (B, N); take it over the tokens, dimension 1",
    ),
    (
        [[-1, 2, -_INF], [-2, -_INF, -_INF]],
        "you masked, and then took the maximum over the features; take it over the tokens",
    ),
    ([[-1, -4], [-5, -2]], "that is the first token's state; compare all tokens of the mask"),
]
_LSTM_MISTAKES = [
    ([224, 49664], "one direction is missing: a layer holds two LSTMs"),
    ([416, 98816], "PyTorch's LSTM has two bias vectors a gate, one beside each matrix"),
    (
        [112, 24832],
        "an LSTM has four sets of weights: three gates and the values that they let through",
    ),
    (
        [1152, 264192],
        "each direction has half of the width, so that both together give `width` features",
    ),
    ([384, 98304], "the biases are missing"),
]


@exercise
def masked_max(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """`answer(states, mask)`: each feature's maximum over the tokens of the mask.

    states: (B, N, D). mask: (B, N). The result is (B, D).
    """
    states = torch.tensor(_STATES)
    pooled = answer(states, torch.tensor(_MASK))
    expect(pooled, [[-1, 2], [-5, -2]], _POOLING_MISTAKES, what="the pooled states")
    assert torch.equal(states, torch.tensor(_STATES)), (
        "you changed the states that were given: a masked_fill without the underscore makes a copy"
    )
    return "the largest value of each feature, over real tokens alone"


@exercise
def bilstm_parameters(answer: Callable[[int], int]) -> str:
    """`answer(width)`: parameters of a bidirectional LSTM layer that keeps the width."""
    counts = [answer(8), answer(128)]
    if None in counts:
        raise NotImplementedError
    expect(counts, [448, 99328], _LSTM_MISTAKES, what="the parameters for widths 8 and 128")
    return "448 for a width of 8, 99,328 for a width of 128"
