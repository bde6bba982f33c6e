"""Checks of the exercises on pseudo classifiers: forward, sizes, label error, gradient."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect

_HEAD_LOGITS = [[-0.7247, 2.4495], [-0.2071, 2.1213]]
_HEAD_MISTAKES = [
    (
        [[1.5, 8.0], [0.5, 12.0]],
        "you left out the normalisation: a layer with large states would shout",
    ),
    (
        [[1.5, -1.0], [-0.5, 1.0]],
        "you normalised over the batch: each example is normalised by itself, over its D numbers",
    ),
    (
        [[-0.5, 2.0], [-0.0774, 1.7321]],
        "you divided by the standard deviation of a sample (n - 1): layer norm divides by n",
    ),
    (
        [[-0.5, 2.0], [-1.5, 6.0]],
        "you only centred the states: divide by their standard deviation too",
    ),
    ([[-1.2247, 2.4495], [-0.7071, 2.1213]], "you left out the bias"),
    ([[0.0401, 0.9599], [0.0888, 0.9112]], "you took a softmax: a head answers with logits"),
]
_NOT_BYTES = "these are numbers, not bytes: a float32 takes four"
_NO_LAYERS = "you forgot the layers"
_ONE_EXAMPLE = "this is one example"
_PARAMETER_MISTAKES = [
    (48, "you left out the biases: a head has D x C weights and C biases"),
    (18, "this is one head: every layer has its own"),
    (102, "you counted the normalisation's weights: it has none"),
]
_OUTPUT_MISTAKES = [
    (60, _NOT_BYTES),
    (80, _NO_LAYERS),
    (24, _ONE_EXAMPLE),
    (960, "you gave the hidden space's bytes second: the output space comes first"),
]
_HIDDEN_MISTAKES = [(240, _NOT_BYTES), (320, _NO_LAYERS), (96, _ONE_EXAMPLE)]
_ERROR_MISTAKES = [
    ([0.5, 0.75, 0.1], "this is p(label): the error of a head that is right would be large"),
    (
        [0.5, 0.25, 0.1],
        "you took the probability of the head's own favourite: take that of the label, even if "
        "the head is wrong",
    ),
    ([1.0, 1 - log(3), 1.0], "you forgot the softmax: logits are no probabilities"),
    (
        [log(2), -log(0.75), -log(0.1)],
        "this is the cross-entropy, -log p(label): it has no upper end",
    ),
    (
        [0.9091, 0.4, 0.8],
        "you softmaxed over the examples: each example's probabilities sum to one over the classes",
    ),
    (0.55, "this is the mean: keep one number an example"),
]


@exercise
def pseudo_classifier(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    """`answer(states, weight, bias)`: normalisation over D, then a linear map.

    states: (B, D). weight: (D, C). bias: (C,). The result is (B, C).
    """
    states = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    bias = torch.tensor([0.5, 0.0])
    logits = answer(states, weight, bias)
    expect(logits, _HEAD_LOGITS, _HEAD_MISTAKES, what="the head's logits", tolerance=1e-3)
    large = answer(10 * states, weight, bias)
    expect(large, _HEAD_LOGITS, what="the logits of ten times the state", tolerance=1e-3)
    return "the direction of a state decides what the head predicts, its size does not"


@exercise
def head_sizes(answer: Callable[[int, int, int, int], tuple[int, int, int]]) -> str:
    """`answer(examples, layers, hidden_size, classes)`: sizes of heads, logits and states.

    The result: parameters of all heads, bytes of all logits, bytes of all states.
    """
    sizes = answer(10, 3, 8, 2)
    if sizes is None:
        raise NotImplementedError
    if not isinstance(sizes, tuple) or len(sizes) != 3:
        raise AssertionError(
            "return three numbers: parameters, bytes in the output space, bytes in the hidden space"
        )
    parameters, output_bytes, hidden_bytes = sizes
    expect(parameters, 54, _PARAMETER_MISTAKES, what="the parameters of all heads")
    expect(output_bytes, 240, _OUTPUT_MISTAKES, what="the bytes in the output space")
    expect(hidden_bytes, 960, _HIDDEN_MISTAKES, what="the bytes in the hidden space")
    mnli = list(answer(392_702, 11, 768, 3))
    expect(mnli, [25_377, 51_836_664, 13_270_185_984], what="BERT-base on MNLI")
    return (
        "BERT-base on MNLI needs 25,377 parameters and 52 MB where its first-token states alone "
        "take 13 GB"
    )


@exercise
def label_error(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """`answer(logits, labels)`: one minus the probability of the label, (N, C) and (N,) to (N,)."""
    logits = torch.tensor([[0.0, 0.0], [log(3), 0.0], [0.0, log(9)]])
    labels = torch.tensor([1, 0, 0])
    expect(answer(logits, labels), [0.5, 0.25, 0.9], _ERROR_MISTAKES, what="the label error")
    return "0 is sure and right, 1 is sure and wrong, 0.5 is an undecided head with two classes"


@exercise
def head_gradient(answer: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> str:
    """`answer(x, labels, weight, l2)`: gradient (D, C) of mean cross-entropy plus l2 ||weight||^2.

    x: (N, D). labels: (N,). weight: (D, C).
    """
    x = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]])
    labels = torch.tensor([0, 1, 1])
    # The probabilities are then 3/4 and 1/4, 1/4 and 3/4, 3/4 and 1/4.
    weight = torch.tensor([[log(3), 0.0], [0.0, 0.0]])
    decay = 0.2 * log(3)
    mistakes = [
        (
            _gradient(1 / 4, decay),
            "you summed over the examples: the loss is their mean, so divide by N",
        ),
        (_gradient(1 / 12, 0.1 * log(3)), "the square's gradient is 2 l2 W, not l2 W"),
        (_gradient(1 / 12, 0.0), "you left out the l2 term"),
        (
            _gradient(-1 / 12, decay),
            "the sign is turned: it is p minus y, the prediction minus the label",
        ),
        (
            [[decay + 5 / 12, -1 / 12], [-5 / 12, 1 / 12]],
            "you left out the labels: subtract the one-hot label from the probabilities",
        ),
    ]
    gradient = answer(x, labels, weight, 0.1)
    expect(gradient, _gradient(1 / 12, decay), mistakes, what="the gradient")
    return "a gradient of zero means the optimum, and a convex head has only one"


def _gradient(fit: float, decay: float) -> list[list[float]]:
    """The gradient of the exercise from that of the mean loss and that of the l2 term."""
    return [[fit + decay, -fit], [-fit, fit]]
