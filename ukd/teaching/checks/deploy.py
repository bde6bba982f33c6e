"""Checks of the exercises on models in use: where to stop, and which output is which class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect

# (N, L): the largest probability of five texts at three layers.
_LARGEST = (
    (0.6, 0.9, 0.95),
    (0.9, 0.5, 0.5),
    (0.6, 0.7, 0.8),
    (0.5, 0.6, 0.99),
    (0.7, 0.89, 0.75),
)
_EXIT_MISTAKES = [
    ([1, 0, 2, 2, 2], "you count layers from 0; the first layer is 1"),
    (
        [2, 1, 1, 3, 1],
        "where no layer reaches the threshold, argmax of all-False is the first layer: let the "
        "last one answer",
    ),
    (
        [1, 0, 0, 2, 0],
        "where no layer reaches the threshold the last one answers, and you count from 0",
    ),
    (
        [3, 1, 3, 3, 2],
        "you took the most confident layer: that computes all of them, and saves nothing",
    ),
    ([3, 3, 3, 3, 3], "a layer that just reaches the threshold may answer: use >="),
    ([3, 1, 3, 3, 3], "that is the last sure layer; the first one was asked for"),
]
_ORDER_MISTAKES = [
    (
        [[0.1, 0.2, 0.7], [1, 2, 3]],
        "the columns are still in the model's order: its first class would be read as ours",
    ),
    (
        [[0.2, 0.7, 0.1], [2, 3, 1]],
        "you went the wrong way round: column i should hold the model's logit of OUR class i",
    ),
    ([[0.7, 0.2, 0.1], [3, 2, 1]], "you turned the columns round; look each name up"),
]
_MODEL_ORDER = ("entailment", "neutral", "contradiction")
_OUR_ORDER = ("contradiction", "entailment", "neutral")


@exercise
def exit_layer(answer: Callable[[Tensor, float], Tensor]) -> str:
    """`answer(largest, threshold)`: the first layer, counted from 1, that reaches the threshold.

    largest: (N, L), each layer's largest probability. The result is (N,); the last layer where none
    reaches the threshold.
    """
    largest = torch.tensor(_LARGEST)
    layers = answer(largest, 0.9)
    expect(layers, [2, 1, 3, 3, 3], _EXIT_MISTAKES, what="the layers used")
    assert torch.equal(largest, torch.tensor(_LARGEST)), (
        "you changed the probabilities that were given: make a copy"
    )
    alone = answer(largest[:, :1], 0.99)
    expect(alone, [1, 1, 1, 1, 1], what="the layers used of a network of one layer")
    return "2, 1, 3, 3 and 3 of three layers, 2.4 on average"


@exercise
def reorder_classes(answer: Callable[[Tensor, tuple, tuple], Tensor]) -> str:
    """`answer(logits, theirs, ours)`: the columns in the order of our class names.

    logits: (N, C), a column for each name of theirs.
    """
    logits = torch.tensor([[0.1, 0.2, 0.7], [1.0, 2.0, 3.0]])
    ours = answer(logits, _MODEL_ORDER, _OUR_ORDER)
    expect(ours, [[0.7, 0.1, 0.2], [3, 1, 2]], _ORDER_MISTAKES, what="the logits in our order")
    try:
        answer(logits, _MODEL_ORDER, ("entailment", "neutral", "unknown"))
    except ValueError:
        return "by name, and a class that the model lacks is refused"
    raise AssertionError(
        "a class that the model does not have must raise ValueError: any column would be a wrong "
        "answer that looks right"
    )
