"""Checks of the exercises on pseudo classifiers: their forward, their sizes, their distance from the label, their slope."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch

from ukd.teaching.checks._base import exercise, expect


@exercise
def pseudo_classifier(answer: Callable) -> str:
    """`answer(states, weight, bias)`: (B, D), (D, C), (C,) to logits (B, C); normalisation over D, then a linear map."""
    states, bias = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]]), torch.tensor([0.5, 0.0])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    mistakes = {
        "you left out the normalisation: a layer with large states would shout": [
            [1.5, 8.0],
            [0.5, 12.0],
        ],
        "you normalised over the batch: each example is normalised by itself, over its D numbers": [
            [1.5, -1.0],
            [-0.5, 1.0],
        ],
        "you divided by the standard deviation of a sample (n - 1): layer norm divides by n": [
            [-0.5, 2.0],
            [-0.0774, 1.7321],
        ],
        "you only centred the states: divide by their standard deviation too": [
            [-0.5, 2.0],
            [-1.5, 6.0],
        ],
        "you left out the bias": [[-1.2247, 2.4495], [-0.7071, 2.1213]],
        "you took a softmax: a head answers with logits": [[0.0401, 0.9599], [0.0888, 0.9112]],
    }
    expect(
        answer(states, weight, bias),
        [[-0.7247, 2.4495], [-0.2071, 2.1213]],
        mistakes,
        what="the head's logits",
        tolerance=1e-3,
    )
    expect(
        answer(10 * states, weight, bias),
        [[-0.7247, 2.4495], [-0.2071, 2.1213]],
        what="the logits of ten times the state",
        tolerance=1e-3,
    )
    return "the direction of a state decides what the head says, its size does not"


@exercise
def head_sizes(answer: Callable) -> str:
    """`answer(examples, layers, hidden, classes)` to (parameters of all heads, bytes of all logits, bytes of all states)."""
    found = answer(10, 3, 8, 2)
    if found is None:
        raise NotImplementedError
    if not isinstance(found, tuple) or len(found) != 3:
        raise AssertionError(
            "return three numbers: parameters, bytes in the output space, bytes in the hidden space"
        )
    parameters = {
        "you left out the biases: a head has D x C weights and C biases": 48,
        "this is one head: every layer has its own": 18,
        "you counted the normalisation's weights: it has none": 102,
    }
    numbers = {
        "these are numbers, not bytes: a float32 takes four": 60,
        "you forgot the layers": 80,
        "this is one example": 24,
    }
    states = {
        "these are numbers, not bytes: a float32 takes four": 240,
        "you forgot the layers": 320,
        "this is one example": 96,
    }
    expect(found[0], 54, parameters, what="the parameters of all heads")
    expect(
        found[1],
        240,
        {**numbers, "you gave the hidden space's bytes second: the output space comes first": 960},
        what="the bytes in the output space",
    )
    expect(found[2], 960, states, what="the bytes in the hidden space")
    expect(
        list(answer(392_702, 11, 768, 3)),
        [25_377, 51_836_664, 13_270_185_984],
        what="BERT-base on MNLI",
    )
    return "BERT-base on MNLI needs 25,377 parameters and 52 MB where its first-token states alone take 13 GB"


@exercise
def label_distance(answer: Callable) -> str:
    """`answer(logits, labels)`: (N, C) and (N,) to (N,), one minus the probability of the label."""
    logits, labels = (
        torch.tensor([[0.0, 0.0], [log(3), 0.0], [0.0, log(9)]]),
        torch.tensor([1, 0, 0]),
    )
    mistakes = {
        "this is p(label): a head that is right would be far away": [0.5, 0.75, 0.1],
        "you took the probability of the head's own favourite: take that of the label, even if the head is wrong": [
            0.5,
            0.25,
            0.1,
        ],
        "you forgot the softmax: logits are no probabilities": [1.0, 1 - log(3), 1.0],
        "this is the cross-entropy, -log p(label): it has no upper end": [
            log(2),
            -log(0.75),
            -log(0.1),
        ],
        "you softmaxed over the examples: each example's probabilities sum to one over the classes": [
            0.9091,
            0.4,
            0.8,
        ],
        "this is the mean: keep one number an example": 0.55,
    }
    expect(answer(logits, labels), [0.5, 0.25, 0.9], mistakes, what="the distance from the label")
    return "0 is sure and right, 1 is sure and wrong, 0.5 is what no idea gives where there are two classes"


@exercise
def head_slope(answer: Callable) -> str:
    """`answer(x, labels, weight, l2)`: the slope (D, C) of a head's mean cross-entropy plus l2 times its squared weights."""
    x, labels = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]]), torch.tensor([0, 1, 1])
    weight = torch.tensor(
        [[log(3), 0.0], [0.0, 0.0]]
    )  # so p is 3/4 and 1/4, 1/4 and 3/4, 3/4 and 1/4
    decay = 0.2 * log(3)
    slope = lambda fit, decay: [[fit + decay, -fit], [-fit, fit]]
    mistakes = {
        "you summed over the examples: the loss is their mean, so divide by N": slope(1 / 4, decay),
        "the square's slope is 2 l2 W, not l2 W": slope(1 / 12, 0.1 * log(3)),
        "you left out the l2 term": slope(1 / 12, 0.0),
        "the sign is turned: it is p minus y, what is said minus what is right": slope(
            -1 / 12, decay
        ),
        "you left out the labels: subtract the one-hot label from the probabilities": [
            [decay + 5 / 12, -1 / 12],
            [-5 / 12, 1 / 12],
        ],
    }
    expect(answer(x, labels, weight, 0.1), slope(1 / 12, decay), mistakes, what="the slope")
    return "zero slope means the optimum, and a convex head has only one"
