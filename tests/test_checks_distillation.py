"""Checks of the loss and its steps: each likely mistake gets its own hint."""

import pytest
import torch
import torch.nn.functional as F

from ukd.teaching import checks


def kl(student, teacher, temperature, dim=-1):
    p, q = (teacher / temperature).softmax(dim), (student / temperature).softmax(dim)
    return p * (p.log() - q.log())


LOSSES = {
    "factor tau^2 is missing": lambda s, t, temperature: kl(s, t, temperature).sum(-1).mean(),
    "by tau and not by tau": lambda s, t, temperature: (
        temperature * kl(s, t, temperature).sum(-1).mean()
    ),
    "divided by tau before": lambda s, t, temperature: temperature**2 * kl(s, t, 1).sum(-1).mean(),
    "not used at all": lambda s, t, temperature: kl(s, t, 1).sum(-1).mean(),
    "only the student's": lambda s, t, temperature: (
        temperature**2
        * F.kl_div((s / temperature).log_softmax(-1), t.softmax(-1), reduction="batchmean")
    ),
    "are exchanged": lambda s, t, temperature: (
        temperature**2 * kl(t, s, temperature).sum(-1).mean()
    ),
    "averaged over the classes": lambda s, t, temperature: (
        temperature**2 * kl(s, t, temperature).mean()
    ),
    "summed over the batch": lambda s, t, temperature: temperature**2 * kl(s, t, temperature).sum(),
    "softmaxed over the batch": lambda s, t, temperature: (
        temperature**2 * kl(s, t, temperature, 0).sum(0).mean()
    ),
    "is the cross-entropy": lambda s, t, temperature: (
        temperature**2 * F.cross_entropy(s / temperature, (t / temperature).softmax(-1))
    ),
    "LOG-probabilities": lambda s, t, temperature: (
        temperature**2
        * F.kl_div(
            (s / temperature).softmax(-1), (t / temperature).softmax(-1), reduction="batchmean"
        )
    ),
    "at tau = 1": lambda s, t, temperature: 4 * kl(s, t, 2).sum(-1).mean(),
}


def parts(shares, epochs, rounded):
    return [rounded(share * epochs) for share in shares]


def cumulated(shares, epochs, examples, batch):
    ends = [round(epochs * sum(shares[: n + 1])) * (examples // batch) for n in range(len(shares))]
    return ends


STEPS = {
    "2 \\+ 2 epochs are not 3": lambda shares, e, n, b: [
        p * (n // b) for p in parts(shares, e, round)
    ],
    "1 \\+ 1 epochs are not 3": lambda shares, e, n, b: [
        p * (n // b) for p in parts(shares, e, int)
    ],
    "training longer": lambda shares, e, n, b: [e * (n // b) for _ in shares],
    "incomplete batch: an epoch": lambda shares, e, n, b: [p * -(-n // b) for p in (2, 1)],
    "gave every stage": lambda shares, e, n, b: [e * -(-n // b) for _ in shares],
    "share the epochs, then": lambda shares, e, n, b: [share * e * (n // b) for share in shares],
    "share the epochs first, then": lambda shares, e, n, b: [
        int(share * e * (n // b)) for share in shares
    ],
    "these are epochs": lambda shares, e, n, b: [2, 1],
    "made at its end": cumulated,
    "a single stage": lambda shares, e, n, b: [6, 3],
}


@pytest.mark.parametrize("words", LOSSES)
def test_a_wrong_loss_is_told_what_is_wrong(words):
    with pytest.raises(AssertionError, match=words.replace("^", "\\^")):
        checks.distillation_loss(LOSSES[words])


@pytest.mark.parametrize("words", STEPS)
def test_wrong_steps_are_told_what_is_wrong(words):
    with pytest.raises(AssertionError, match=words):
        checks.stage_steps(STEPS[words])


def test_the_values_are_those_of_the_package():
    import ukd
    from ukd.teaching.checks.distillation import _STUDENT, _TEACHER

    found = ukd.kd_loss(torch.tensor(_STUDENT), torch.tensor(_TEACHER), temperature=2.0)
    assert found.item() == pytest.approx(1.26078, abs=1e-5)
