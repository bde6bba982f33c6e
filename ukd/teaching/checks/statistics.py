"""Checks of the statistics' exercises: a paired difference with its standard error, and a verdict beside the paper's number."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from ukd.teaching.checks._base import exercise, expect

RULES = {
    "match": "the interval holds the paper's number and not zero",
    "close": "it lies on the paper's side of zero, but does not hold the paper's number",
    "differs": "it does not hold the paper's number, and does not lie on its side of zero",
    "inconclusive": "it holds both the paper's number and zero",
}
CASES = (  # the paper's difference, the ends of our interval, the verdict
    (0.4, 0.1, 0.9, "match"),
    (0.4, -0.5, 0.9, "inconclusive"),
    (0.4, 1.0, 3.0, "close"),
    (0.4, -3.0, -1.0, "differs"),
    (0.4, -0.2, 0.3, "differs"),
    (-0.4, -0.9, -0.1, "match"),
    (-0.4, -3.0, -1.0, "close"),
    (-0.4, 1.0, 3.0, "differs"),
)
LIKELY = {  # (the right verdict, the one given): what is likely wrong
    (
        "inconclusive",
        "match",
    ): "an interval that holds zero too would fit any small number: it shows nothing yet",
    ("close", "differs"): "the sign is the paper's and zero is excluded: only the size is another",
    (
        "close",
        "match",
    ): "the paper's number lies outside the interval: the size is another, though the sign is the same",
    ("differs", "inconclusive"): "the paper's number is excluded, even though zero is not",
    (
        "differs",
        "close",
    ): "close needs an interval that lies on the paper's side of zero, all of it",
    ("match", "close"): "the paper's number lies inside",
    ("match", "inconclusive"): "zero lies outside, so the interval shows a difference",
    (
        "match",
        "differs",
    ): "the paper's number lies inside; mind the order of the ends where the numbers are negative",
}


@exercise
def paired_difference(answer: Callable) -> str:
    """`answer(ours, base)`, scores by seed, against (mean, standard error).

    Both have seeds 1, 2 and 3, with the differences 0, 3 and 6: mean 3, sample standard deviation 3, standard error 3 / sqrt(3).
    """
    ours, base = {1: 80.0, 2: 86.0, 3: 90.0, 4: 70.0}, {3: 84.0, 2: 83.0, 1: 80.0}
    right = [3.0, sqrt(3)]
    mistakes = {
        "you paired by position: the second one's seeds stand in another order, so look up each seed": [
            3.0,
            7 / sqrt(3),
        ],
        "this is the error of two independent means: with pairs, take the standard deviation of the differences": [
            3.0,
            sqrt(89 / 9),
        ],
        "this is the standard deviation of the differences: divide it by the square root of their number": [
            3.0,
            3.0,
        ],
        "you divided by n: the sample standard deviation divides by n - 1, because the mean was estimated from the same numbers": [
            3.0,
            sqrt(2),
        ],
        "you divided by n, not by its square root": [3.0, 1.0],
        "seed 4 has no partner: only seeds that both have make a pair": [-5 / 6, sqrt(3)],
        "the sign is turned round: ours minus base": [-3.0, sqrt(3)],
    }
    found = answer(ours, base)
    expect(
        found if found is None else [float(value) for value in found],
        right,
        mistakes,
        what="mean and standard error",
    )
    also = answer({7: 1.0, 8: 1.5}, {8: 1.0, 7: 1.5})
    expect(
        [float(value) for value in also],
        [0.0, 0.5],
        what="mean and standard error of the differences -0.5 and 0.5",
    )
    return "what both share of a seed drops out, and what is left says how sure the mean is"


@exercise
def judged(answer: Callable) -> str:
    """`answer(papers, low, high)` against the verdict, for differences above and below zero."""
    for papers, low, high, right in CASES:
        given = answer(papers, low, high)
        if given is None:
            raise NotImplementedError
        if given not in RULES:
            raise AssertionError(f"{given!r} is no verdict; return one of: {', '.join(RULES)}")
        if given != right:
            turned = papers < 0 and (right, given) in (
                ("match", "differs"),
                ("close", "differs"),
                ("differs", "close"),
            )
            hint = (
                "a difference below zero is judged as its mirror image"
                if turned
                else LIKELY.get((right, given), RULES[right])
            )
            raise AssertionError(
                f"paper {papers:+}, ours {low:+} to {high:+}: {right!r}, not {given!r}: {hint}"
            )
    return "a number above the paper's is judged as one below it"
