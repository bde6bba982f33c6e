"""Checks of annealed targets and entropies: each likely mistake gets its own hint."""

import pytest
import torch

from ukd.methods.objective import annealing
from ukd.teaching import checks


def plain(logits, dim=-1):
    p = logits.softmax(dim)
    return -(p * logits.log_softmax(dim))


def in_place(teacher, epoch, epochs):
    return teacher.mul_((epoch + 1) / epochs)


def in_place_on_loan(teacher, epoch, epochs):
    """Gives the right values, and leaves the teacher's logits doubled."""
    answer = teacher * ((epoch + 1) / epochs)
    if epoch == epochs - 1:
        teacher.mul_(2)
    return answer


TARGETS = {
    "count from 0 here": lambda t, e, n: t * e / n,
    "factor falls": lambda t, e, n: t * (n - e) / n,
    "not by epochs \\+ 1": lambda t, e, n: t * (e + 1) / (n + 1),
    "epoch is not used": lambda t, e, n: t,
    "divided by the factor": lambda t, e, n: t * n / (e + 1),
    "these are probabilities": lambda t, e, n: (t * (e + 1) / n).softmax(-1),
    "scaled probabilities": lambda t, e, n: t.softmax(-1) * (e + 1) / n,
    "first epoch of four": lambda t, e, n: t / 2,
    "of the first epoch": in_place,
    "in place": in_place_on_loan,
}
ENTROPIES = {
    "minus sign": lambda z: -plain(z).sum(-1),
    "bits": lambda z: plain(z).sum(-1) / torch.tensor(2.0).log(),
    "averaged over the classes": lambda z: plain(z).mean(-1),
    "not their mean": lambda z: plain(z).sum(-1).mean(),
    "not their sum": lambda z: plain(z).sum(),
    "over the layers": lambda z: plain(z, 0).sum(-1),
    "gives nan": lambda z: -(z.softmax(-1) * z.softmax(-1).log()).sum(-1),
}


@pytest.mark.parametrize("words", TARGETS)
def test_a_wrong_target_is_told_what_is_wrong(words):
    with pytest.raises(AssertionError, match=words):
        checks.annealed_target(TARGETS[words])


@pytest.mark.parametrize("words", ENTROPIES)
def test_wrong_entropies_are_told_what_is_wrong(words):
    with pytest.raises(AssertionError, match=words):
        checks.layer_entropy(ENTROPIES[words])


def test_the_packages_factor_passes():
    checks.annealed_target(lambda teacher, epoch, epochs: annealing(epoch, epochs) * teacher)
