"""Checks of early exit and the order of classes: each likely mistake gets its own hint."""

import pytest

from ukd.teaching import checks


def ends(largest, sure, last=True):
    stops = largest >= sure
    if last:
        stops[:, -1] = True
    return stops.int().argmax(1)


def sure_in_place(largest, sure):
    largest[:, -1] = 1.0
    return (largest >= sure).int().argmax(1) + 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda largest, sure: ends(largest, sure), "count layers from 0; the first"),
        (lambda largest, sure: ends(largest, sure, last=False) + 1, "argmax of all-False"),
        (lambda largest, sure: ends(largest, sure, last=False), "and you count from 0"),
        (lambda largest, sure: largest.argmax(1) + 1, "most confident layer"),
        (lambda largest, sure: ends(largest, sure + 1e-6) + 1, "use >="),
        (sure_in_place, "you changed the probabilities"),
        (
            lambda largest, sure: largest.shape[1] - (largest >= sure).flip(1).int().argmax(1),
            "last sure layer",
        ),
        (lambda largest, sure: ends(largest, sure).float().mean(), "should have the shape"),
    ],
)
def test_mistakes_in_stopping_are_told_apart(answer, words):
    with pytest.raises(AssertionError, match=words):
        checks.exit_layer(answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda logits, theirs, ours: logits, "still in the model's order"),
        (
            lambda logits, theirs, ours: logits[:, [ours.index(name) for name in theirs]],
            "wrong way round",
        ),
        (lambda logits, theirs, ours: logits.flip(1), "turned the columns round"),
        (
            lambda logits, theirs, ours: logits[
                :, [theirs.index(name) if name in theirs else 0 for name in ours]
            ],
            "must raise ValueError",
        ),
        (lambda logits, theirs, ours: logits * 0, "should be"),
    ],
)
def test_mistakes_in_the_order_of_classes_are_told_apart(answer, words):
    with pytest.raises(AssertionError, match=words):
        checks.reorder_classes(answer)
