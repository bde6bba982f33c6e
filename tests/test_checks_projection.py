"""Checks of the projection: each likely mistake gets its own hint."""

import re

import pytest
import torch
import torch.nn.functional as F

from ukd.teaching import checks


def centre(z, dim=-1):
    return z - z.mean(dim, keepdim=True)


def scores(student, teacher):
    return student @ teacher.transpose(1, 2)


WEIGHTS = {
    "not centred": lambda s, t, attention_temperature: (
        scores(s, t) / attention_temperature
    ).softmax(-1),
    "centred over the layers": lambda s, t, attention_temperature: (
        scores(centre(s, 1), centre(t, 1)) / attention_temperature
    ).softmax(-1),
    "over the student's layers": lambda s, t, attention_temperature: (
        scores(centre(s), centre(t)) / attention_temperature
    ).softmax(1),
    "multiplied the scores by kappa": lambda s, t, attention_temperature: (
        scores(centre(s), centre(t)) * attention_temperature
    ).softmax(-1),
    "kappa is not used": lambda s, t, attention_temperature: scores(centre(s), centre(t)).softmax(
        -1
    ),
    "these are the scores": lambda s, t, attention_temperature: (
        scores(centre(s), centre(t)) / attention_temperature
    ),
    "should have the shape": lambda s, t, attention_temperature: (
        scores(centre(s), centre(t)) / attention_temperature
    ).softmax(-1)[0],
    "should be": lambda s, t, attention_temperature: torch.full(
        (len(s), s.shape[1], t.shape[1]), 0.25
    ),
}


@pytest.mark.parametrize("words", WEIGHTS)
def test_mistakes_in_the_weights_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.attention_weights(WEIGHTS[words])


def kl(p, q):
    return p * (p / q).log()


def both(s, t, w, temperature):
    """Mixture and student, softened: (B, S, C) each."""
    return (w @ t / temperature).softmax(-1), (s / temperature).softmax(-1)


LOSSES = {
    "tau^2 is missing": lambda s, t, w, temperature: kl(*both(s, t, w, temperature)).sum(-1).mean(),
    "not by tau^2": lambda s, t, w, temperature: (
        temperature * kl(*both(s, t, w, temperature)).sum(-1).mean()
    ),
    "are exchanged": lambda s, t, w, temperature: (
        temperature**2 * kl(*both(s, t, w, temperature)[::-1]).sum(-1).mean()
    ),
    "mixed probabilities": lambda s, t, w, temperature: (
        temperature**2
        * kl(w @ (t / temperature).softmax(-1), (s / temperature).softmax(-1)).sum(-1).mean()
    ),
    "student's layers are added up": lambda s, t, w, temperature: (
        temperature**2
        * F.kl_div(
            (s / temperature).log_softmax(-1),
            (w @ t / temperature).softmax(-1),
            reduction="batchmean",
        )
    ),
    "over the classes too": lambda s, t, w, temperature: (
        temperature**2 * kl(*both(s, t, w, temperature)).mean()
    ),
    "the losses of the examples are added up": lambda s, t, w, temperature: (
        temperature**2 * kl(*both(s, t, w, temperature)).sum(-1).mean(1).sum()
    ),
    "should have the shape": lambda s, t, w, temperature: (
        temperature**2 * kl(*both(s, t, w, temperature)).sum(-1)
    ),
    "tau 1": lambda s, t, w, temperature: 16 * kl(*both(s, t, w, 4.0)).sum(-1).mean(),
}


@pytest.mark.parametrize("words", LOSSES)
def test_mistakes_in_the_loss_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.mixed_loss(LOSSES[words])
