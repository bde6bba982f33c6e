"""Checks of the layer maps: each likely mistake gets its own hint."""

import re

import pytest
import torch

from ukd.teaching import checks


def entropy(p):
    return torch.special.entr(p).sum(-1)


ENTROPIES = {
    "entropy of the mean map": lambda w: entropy(w.mean(0)),
    "these are bits": lambda w: entropy(w).mean(0) / torch.tensor(2.0).log(),
    "minus sign is missing": lambda w: -entropy(w).mean(0),
    "added up the examples": lambda w: entropy(w).sum(0),
    "mean over the teacher's layers": lambda w: torch.special.entr(w).mean(-1).mean(0),
    "mean over the examples is still to be taken": lambda w: entropy(w),
    "has become NaN": lambda w: -(w * w.log()).sum(-1).mean(0),
    "should have the shape": lambda w: entropy(w).mean(),
    "uniform weights over eight": lambda w: (
        torch.tensor([0.5, 1.5]).mul(0.6931472) if w.shape[1] == 2 else torch.zeros(3)
    ),
}


@pytest.mark.parametrize("words", ENTROPIES)
def test_mistakes_in_the_entropy_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.row_entropy(ENTROPIES[words])


def seen(w, d):
    return (w * d.unsqueeze(1)).sum(-1)


SEEN = {
    "mean map by the mean label errors": lambda w, d: w.mean(0) @ d.mean(0),
    "the weights are not used": lambda w, d: d.mean().expand(w.shape[1]),
    "added up the examples": lambda w, d: seen(w, d).sum(0),
    "mean over the teacher's layers": lambda w, d: (w * d.unsqueeze(1)).mean(-1).mean(0),
    "mean over the examples is still to be taken": seen,
    "should have the shape": lambda w, d: seen(w, d).mean(),
    "uniform weights attend": lambda w, d: seen(w, d).mean(0) + (w.shape[1] == 4),
}


@pytest.mark.parametrize("words", SEEN)
def test_mistakes_in_what_is_seen_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.attended_label_error(SEEN[words])
