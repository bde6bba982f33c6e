"""Checks of the exercises on models in use: where to stop, and which output is which class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect


@exercise
def first_sure(answer: Callable[[Tensor, float], Tensor]) -> str:
    """`answer(largest (N, L), sure)` should be the first layer, counted from 1, whose largest probability reaches `sure`, (N,).

    The last layer where none does.
    """
    largest = torch.tensor(
        [[0.6, 0.9, 0.95], [0.9, 0.5, 0.5], [0.6, 0.7, 0.8], [0.5, 0.6, 0.99], [0.7, 0.89, 0.75]]
    )
    before = largest.clone()
    found = answer(largest, 0.9)
    mistakes = {
        "you count layers from 0; the first layer is 1": [1, 0, 2, 2, 2],
        "where no layer is sure, argmax of all-False is the first layer: let the last one answer": [
            2,
            1,
            1,
            3,
            1,
        ],
        "where no layer is sure the last one answers, and you count from 0": [1, 0, 0, 2, 0],
        "you took the most confident layer: that asks for all of them, and saves nothing": [
            3,
            1,
            3,
            3,
            2,
        ],
        "a layer that is exactly as sure as asked for may answer: use >=": [3, 3, 3, 3, 3],
        "that is the last sure layer; the first one was asked for": [3, 1, 3, 3, 3],
    }
    expect(found, [2, 1, 3, 3, 3], mistakes, what="the layers used")
    assert torch.equal(largest, before), (
        "you changed the probabilities that were given: make a copy"
    )
    expect(
        answer(largest[:, :1], 0.99),
        [1, 1, 1, 1, 1],
        what="the layers used of a network of one layer",
    )
    return "2, 1, 3, 3 and 3 of three layers, 2.4 on average"


@exercise
def reordered(answer: Callable[[Tensor, tuple, tuple], Tensor]) -> str:
    """`answer(logits (N, C), theirs, ours)` should have the columns in the order of our class names, (N, C)."""
    logits = torch.tensor([[0.1, 0.2, 0.7], [1.0, 2.0, 3.0]])
    found = answer(
        logits,
        ("entailment", "neutral", "contradiction"),
        ("contradiction", "entailment", "neutral"),
    )
    mistakes = {
        "the columns are still in the model's order: its first answer would be read as our first class": [
            [0.1, 0.2, 0.7],
            [1, 2, 3],
        ],
        "you went the wrong way round: column i should hold the model's logit of OUR class i": [
            [0.2, 0.7, 0.1],
            [2, 3, 1],
        ],
        "you turned the columns round; look each name up": [[0.7, 0.2, 0.1], [3, 2, 1]],
    }
    expect(found, [[0.7, 0.1, 0.2], [3, 1, 2]], mistakes, what="the logits in our order")
    try:
        answer(
            logits, ("entailment", "neutral", "contradiction"), ("entailment", "neutral", "unknown")
        )
    except ValueError:
        return "by name, and a class that the model lacks is refused"
    raise AssertionError(
        "a class that the model does not have must raise ValueError: any column would be a wrong answer that looks right"
    )
