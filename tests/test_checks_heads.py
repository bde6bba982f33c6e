"""Checks of pseudo classifiers: each likely mistake gets its own hint."""

import pytest
import torch
import torch.nn.functional as F

from ukd.teaching import checks


def normal(x, dim=-1, correction=0):
    return (x - x.mean(dim, keepdim=True)) / x.std(dim, keepdim=True, correction=correction)


HEADS = {
    "left out the normalisation": lambda x, w, b: x @ w + b,
    "normalised over the batch": lambda x, w, b: normal(x, 0) @ w + b,
    r"sample \(n - 1\)": lambda x, w, b: normal(x, correction=1) @ w + b,
    "only centred the states": lambda x, w, b: (x - x.mean(-1, keepdim=True)) @ w + b,
    "left out the bias": lambda x, w, b: normal(x) @ w,
    "you took a softmax": lambda x, w, b: (normal(x) @ w + b).softmax(-1),
    r"should have the shape \(2, 2\), got \(2, 3\)": lambda x, w, b: normal(x),
}
SIZES = {
    "left out the biases": lambda n, layers, d, c: (
        layers * d * c,
        4 * n * layers * c,
        4 * n * layers * d,
    ),
    "this is one head": lambda n, layers, d, c: (d * c + c, 4 * n * layers * c, 4 * n * layers * d),
    "normalisation's weights": lambda n, layers, d, c: (
        layers * (d * c + c + 2 * d),
        4 * n * layers * c,
        4 * n * layers * d,
    ),
    "output space: these are numbers, not bytes": lambda n, layers, d, c: (
        layers * (d * c + c),
        n * layers * c,
        n * layers * d,
    ),
    "hidden space: these are numbers, not bytes": lambda n, layers, d, c: (
        layers * (d * c + c),
        4 * n * layers * c,
        n * layers * d,
    ),
    "the output space comes first": lambda n, layers, d, c: (
        layers * (d * c + c),
        4 * n * layers * d,
        4 * n * layers * c,
    ),
    "output space: you forgot the layers": lambda n, layers, d, c: (
        layers * (d * c + c),
        4 * n * c,
        4 * n * d,
    ),
    "output space: this is one example": lambda n, layers, d, c: (
        layers * (d * c + c),
        4 * layers * c,
        4 * layers * d,
    ),
    "return three numbers": lambda n, layers, d, c: layers * (d * c + c),
    "BERT-base on MNLI should be": lambda n, layers, d, c: (54, 240, 960),
}
GRADIENTS = {
    "you summed over the examples": lambda x, y, w, l2: len(x) * (slope(x, y, w) - w) + 2 * l2 * w,
    "2 l2 W, not l2 W": lambda x, y, w, l2: slope(x, y, w) - w + l2 * w,
    "left out the l2 term": lambda x, y, w, l2: slope(x, y, w) - w,
    "the sign is turned": lambda x, y, w, l2: w - slope(x, y, w) + 2 * l2 * w,
    "left out the labels": lambda x, y, w, l2: x.T @ (x @ w).softmax(-1) / len(x) + 2 * l2 * w,
    r"should have the shape \(2, 2\)": lambda x, y, w, l2: (slope(x, y, w) - w).sum(0),
}
LABEL_ERRORS = {
    r"this is p\(label\)": lambda z, y: z.softmax(-1).gather(1, y[:, None]).squeeze(1),
    "own favourite": lambda z, y: 1 - z.softmax(-1).amax(-1),
    "forgot the softmax": lambda z, y: 1 - z.gather(1, y[:, None]).squeeze(1),
    "this is the cross-entropy": lambda z, y: F.cross_entropy(z, y, reduction="none"),
    "softmaxed over the examples": lambda z, y: 1 - z.softmax(0).gather(1, y[:, None]).squeeze(1),
    "this is the mean": lambda z, y: (1 - z.softmax(-1).gather(1, y[:, None])).mean(),
    r"should have the shape \(3,\), got \(3, 1\)": lambda z, y: (
        1 - z.softmax(-1).gather(1, y[:, None])
    ),
}


def slope(x, y, w):
    """Gradient of the mean loss plus the weights themselves; the mistakes are made from it."""
    w = w.clone().requires_grad_()
    (F.cross_entropy(x @ w, y) + w.square().sum() / 2).backward()
    return w.grad


MISTAKES = [
    (check, words, answer)
    for check, mistakes in (
        (checks.pseudo_classifier, HEADS),
        (checks.head_sizes, SIZES),
        (checks.head_gradient, GRADIENTS),
        (checks.label_error, LABEL_ERRORS),
    )
    for words, answer in mistakes.items()
]


@pytest.mark.parametrize(
    ("check", "words", "answer"), MISTAKES, ids=[words for _, words, _ in MISTAKES]
)
def test_a_typical_mistake_is_named(check, words, answer):
    with pytest.raises(AssertionError, match=words):
        check(answer)


def test_a_normalisation_that_depends_on_the_states_size_is_noticed():
    def shrinks(states, weight, bias):
        return (states - states.mean(-1, keepdim=True)) / states.std(
            -1, keepdim=True, correction=0
        ).clamp(max=3) @ weight + bias

    with pytest.raises(AssertionError, match="ten times the state"):
        checks.pseudo_classifier(shrinks)


def test_the_packages_own_functions_solve_the_exercises(capsys):
    from ukd.training.teacher_heads import label_error

    checks.pseudo_classifier(lambda x, w, b: F.layer_norm(x, x.shape[-1:]) @ w + b)
    checks.label_error(lambda z, y: label_error(z, y, False))
    checks.head_gradient(lambda x, y, w, l2: slope(x, y, w) - w + 2 * l2 * w)
    assert capsys.readouterr().out.count("right: ") == 3
    assert torch.is_grad_enabled()
