"""Checks of pooling and sizes: each likely mistake gets its own hint."""

import pytest

from ukd.heads import pool
from ukd.models.students import BiLSTMLayer
from ukd.teaching import checks


def filled(states, mask):
    return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda states, mask: states.amax(1), "padding entered"),
        (lambda states, mask: (states * mask.unsqueeze(-1)).amax(1), "multiplied by the mask"),
        (lambda states, mask: pool(states, mask, "mean"), "that is the mean"),
        (lambda states, mask: states.amax(-1), "maximum over the features: "),
        (lambda states, mask: filled(states, mask).amax(-1), "you masked, and then"),
        (lambda states, mask: states[:, 0], "first token's state"),
        (
            lambda states, mask: states.masked_fill_(mask.unsqueeze(-1) == 0, -1e9).amax(1),
            "you changed the states",
        ),
        (lambda states, mask: states, "should have the shape"),
    ],
)
def test_mistakes_in_pooling_are_told_apart(answer, words):
    with pytest.raises(AssertionError, match=words):
        checks.masked_max(answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            lambda width: 4 * (width // 2) * (width + width // 2) + 4 * width,
            "one direction is missing",
        ),
        (
            lambda width: 2 * (4 * (width // 2) * (width + width // 2) + 2 * width),
            "two bias vectors",
        ),
        (lambda width: 2 * ((width // 2) * (width + width // 2) + width), "four sets of weights"),
        (lambda width: 2 * (4 * width * 2 * width + 8 * width), "half of the width"),
        (lambda width: 2 * 4 * (width // 2) * (width + width // 2), "biases are missing"),
        (lambda width: 1, r"should be \[448.0, 99328.0\]"),
    ],
)
def test_mistakes_in_counting_are_told_apart(answer, words):
    with pytest.raises(AssertionError, match=words):
        checks.bilstm_parameters(answer)


def test_the_counts_are_those_of_the_kits_layers(capsys):
    checks.bilstm_parameters(lambda width: sum(p.numel() for p in BiLSTMLayer(width).parameters()))
    checks.masked_max(lambda states, mask: pool(states, mask, "max"))
    assert capsys.readouterr().out.count("right") == 2
