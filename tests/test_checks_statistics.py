"""Checks of the statistics: each likely mistake gets its own hint."""

import re
from statistics import mean, pstdev, stdev, variance

import pytest

from ukd.analysis.paper import verdict
from ukd.analysis.tables import Difference, spread
from ukd.teaching import checks
from ukd.teaching.checks.statistics import CASES


def both(ours, base):
    return sorted(ours.keys() & base.keys())


def away(ours, base):
    return [ours[seed] - base[seed] for seed in both(ours, base)]


def by_position(ours, base):
    return [a - b for a, b in zip(ours.values(), base.values(), strict=False)]


def independent(ours, base):
    select_layers = [[side[seed] for seed in both(ours, base)] for side in (ours, base)]
    return sum(variance(side) / len(side) for side in select_layers) ** 0.5


def summed(values, spread=stdev, power=0.5):
    return mean(values), spread(values) / len(values) ** power


PAIRS = {
    "paired by position": lambda a, b: summed(by_position(a, b)),
    "two independent means": lambda a, b: (mean(away(a, b)), independent(a, b)),
    "this is the standard deviation": lambda a, b: summed(away(a, b), power=0),
    "divides by n - 1": lambda a, b: summed(away(a, b), pstdev),
    "not by its square root": lambda a, b: summed(away(a, b), power=1),
    "seed 4 has no partner": lambda a, b: (
        mean(a.values()) - mean(b.values()),
        summed(away(a, b))[1],
    ),
    "turned round": lambda a, b: summed(away(b, a)),
    "of the differences -0.5 and 0.5": lambda a, b: (
        summed(away(a, b)) if len(b) == 3 else (1.0, 1.0)
    ),
}


@pytest.mark.parametrize("words", PAIRS)
def test_mistakes_in_the_difference_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.paired_difference(PAIRS[words])


def test_the_packages_own_difference_is_right(capsys):
    checks.paired_difference(lambda a, b: ((found := spread(away(a, b))).mean, found.error))
    assert capsys.readouterr().out.startswith("right: ")


def found(papers, low, high):
    """The package's verdict on an interval, through a difference over so many seeds that the interval is that one."""
    return verdict(
        str(papers), Difference((low + high) / 2, (high - low) / 2 / 12.706204736432095, 2, 0.0)
    )


def test_the_cases_are_the_packages_verdicts():
    assert [found(*case[:3]) for case in CASES] == [case[3] for case in CASES]


VERDICTS = {
    "would fit any small number": lambda p, low, high: (
        "match" if low <= p <= high else found(p, low, high)
    ),
    "only the size is another": lambda p, low, high: (
        "differs" if found(p, low, high) == "same sign" else found(p, low, high)
    ),
    "though the sign is the same": lambda p, low, high: (
        "match" if p * low > 0 and p * high > 0 else found(p, low, high)
    ),
    "even though zero is not": lambda p, low, high: (
        "inconclusive" if low <= 0 <= high else found(p, low, high)
    ),
    "all of it": lambda p, low, high: (
        "same sign" if found(p, low, high) == "differs" and high > 0 else found(p, low, high)
    ),
    "mirror image": lambda p, low, high: found(p, low, high) if p > 0 else "differs",
    "is no verdict": lambda p, low, high: "equal",
    "inside": lambda p, low, high: (
        "same sign" if found(p, low, high) == "match" else found(p, low, high)
    ),
    "shows a difference": lambda p, low, high: "inconclusive",
}


@pytest.mark.parametrize("words", VERDICTS)
def test_mistakes_in_the_verdict_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.verdict(VERDICTS[words])
