"""Checks of the statistics' exercises: a paired difference, and a verdict on the paper's number."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from ukd.teaching.checks._base import exercise, expect

_RULES = {
    "match": "the interval holds the paper's number and not zero",
    "same sign": "it lies on the paper's side of zero, but does not hold the paper's number",
    "differs": "it does not hold the paper's number, and does not lie on its side of zero",
    "inconclusive": "it holds both the paper's number and zero",
}
# The paper's difference, the ends of our interval, the verdict.
CASES = (
    (0.4, 0.1, 0.9, "match"),
    (0.4, -0.5, 0.9, "inconclusive"),
    (0.4, 1.0, 3.0, "same sign"),
    (0.4, -3.0, -1.0, "differs"),
    (0.4, -0.2, 0.3, "differs"),
    (-0.4, -0.9, -0.1, "match"),
    (-0.4, -3.0, -1.0, "same sign"),
    (-0.4, 1.0, 3.0, "differs"),
)
_MIRROR_IMAGE = "a difference below zero is judged as its mirror image"
_SIGN_IGNORED = (("match", "differs"), ("same sign", "differs"), ("differs", "same sign"))
# (the right verdict, the one given): the likely mistake.
_HINTS = {
    ("inconclusive", "match"): (
        "an interval that holds zero too would fit any small number: it shows nothing yet"
    ),
    ("same sign", "differs"): (
        "the sign is the paper's and zero is excluded: only the size is another"
    ),
    ("same sign", "match"): (
        "the paper's number lies outside the interval: the size is another, though the sign is "
        "the same"
    ),
    ("differs", "inconclusive"): "the paper's number is excluded, even though zero is not",
    ("differs", "same sign"): (
        "this verdict needs an interval that lies on the paper's side of zero, all of it"
    ),
    ("match", "same sign"): "the paper's number lies inside",
    ("match", "inconclusive"): "zero lies outside, so the interval shows a difference",
    ("match", "differs"): (
        "the paper's number lies inside; mind the order of the ends where the numbers are negative"
    ),
}
_PAIR_MISTAKES = [
    (
        [3.0, 7 / sqrt(3)],
        "you paired by position: the second one's seeds are in another order, so look up each seed",
    ),
    (
        [3.0, sqrt(89 / 9)],
        "this is the error of two independent means: with pairs, take the standard deviation of "
        "the differences",
    ),
    (
        [3.0, 3.0],
        "this is the standard deviation of the differences: divide it by the square root of their "
        "number",
    ),
    (
        [3.0, sqrt(2)],
        "you divided by n: the sample standard deviation divides by n - 1, because the mean was "
        "estimated from the same numbers",
    ),
    ([3.0, 1.0], "you divided by n, not by its square root"),
    (
        [-5 / 6, sqrt(3)],
        "seed 4 has no partner: only seeds that both have make a pair",
    ),
    ([-3.0, sqrt(3)], "the sign is turned round: ours minus base"),
]


@exercise
def paired_difference(answer: Callable[[dict, dict], tuple[float, float]]) -> str:
    """`answer(ours, base)`: mean and standard error of the paired differences of scores by seed.

    Both have seeds 1, 2 and 3, with the differences 0, 3 and 6: mean 3, sample standard deviation
    3, standard error 3 / sqrt(3).
    """
    ours = {1: 80.0, 2: 86.0, 3: 90.0, 4: 70.0}
    base = {3: 84.0, 2: 83.0, 1: 80.0}
    pair = _floats(answer(ours, base))
    expect(pair, [3.0, sqrt(3)], _PAIR_MISTAKES, what="mean and standard error")
    other = _floats(answer({7: 1.0, 8: 1.5}, {8: 1.0, 7: 1.5}))
    expect(other, [0.0, 0.5], what="mean and standard error of the differences -0.5 and 0.5")
    return "the part that a seed gives to both drops out; the rest shows how certain the mean is"


def _floats(values: tuple[float, float] | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]


@exercise
def verdict(answer: Callable[[float, float, float], str]) -> str:
    """`answer(paper, low, high)`: the verdict on a paper's difference, by our interval's ends."""
    for paper, low, high, right in CASES:
        given = answer(paper, low, high)
        if given is None:
            raise NotImplementedError
        if given not in _RULES:
            raise AssertionError(f"{given!r} is no verdict; return one of: {', '.join(_RULES)}")
        if given != right:
            case = f"paper {paper:+}, ours {low:+} to {high:+}: {right!r}, not {given!r}"
            raise AssertionError(f"{case}: {_hint(paper, right, given)}")
    return "a number above the paper's is judged as one below it"


def _hint(paper: float, right: str, given: str) -> str:
    if paper < 0 and (right, given) in _SIGN_IGNORED:
        return _MIRROR_IMAGE
    return _HINTS.get((right, given), _RULES[right])
