"""Checks of the exercises on students of another architecture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect

INF = float("inf")


@exercise
def masked_max(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """`answer(states (B, N, D), mask (B, N))` should be each feature's largest value over the tokens of the mask, (B, D)."""
    states = torch.tensor(
        [[[-1.0, -4.0], [-3.0, 2.0], [9.0, 9.0]], [[-5.0, -2.0], [7.0, 7.0], [8.0, 8.0]]]
    )
    before = states.clone()
    found = answer(states, torch.tensor([[1, 1, 0], [1, 0, 0]]))
    mistakes = {
        "padding entered: its values are the largest here, and no token stands there": [
            [9, 9],
            [8, 8],
        ],
        "you multiplied by the mask: that turns padding into 0, which is larger than any negative state": [
            [0, 2],
            [0, 0],
        ],
        "that is the mean over the tokens; the maximum was asked for": [[-2, -1], [-5, -2]],
        "you took the maximum over the features: (B, N); take it over the tokens, dimension 1": [
            [-1, 2, 9],
            [-2, 7, 8],
        ],
        "you masked, and then took the maximum over the features; take it over the tokens, dimension 1": [
            [-1, 2, -INF],
            [-2, -INF, -INF],
        ],
        "that is the first token's state; compare all tokens of the mask": [[-1, -4], [-5, -2]],
    }
    expect(found, [[-1, 2], [-5, -2]], mistakes, what="the pooled states")
    assert torch.equal(states, before), (
        "you changed the states that were given: a masked_fill without the underscore makes a copy"
    )
    return "the largest value of each feature, over real tokens alone"


@exercise
def bilstm_parameters(answer: Callable[[int], int]) -> str:
    """`answer(width)` should be the number of parameters of a bidirectional LSTM layer from `width` features to `width` features."""
    found = [answer(8), answer(128)]
    mistakes = {
        "one direction is missing: a layer holds two LSTMs": [224, 49664],
        "PyTorch's LSTM has two bias vectors a gate, one beside each matrix": [416, 98816],
        "an LSTM has four sets of weights: three gates and what they let through": [112, 24832],
        "each direction has half of the width, so that both together give `width` features": [
            1152,
            264192,
        ],
        "the biases are missing": [384, 98304],
    }
    expect(
        None if None in found else found,
        [448, 99328],
        mistakes,
        what="the parameters for widths 8 and 128",
    )
    return "448 for a width of 8, 99,328 for a width of 128"
