"""Checks of the statistics: each likely mistake gets its own hint."""

import re
from statistics import mean, pstdev, stdev, variance

import pytest

from ukd.analysis.paper import verdict
from ukd.analysis.statistics import Difference, paired_difference
from ukd.teaching import checks
from ukd.teaching.checks.statistics import CASES


def shared(ours, base):
    return sorted(ours.keys() & base.keys())


def differences(ours, base):
    return [ours[seed] - base[seed] for seed in shared(ours, base)]


def by_position(ours, base):
    return [a - b for a, b in zip(ours.values(), base.values(), strict=False)]


def independent(ours, base):
    """Standard error of the difference of two independent means."""
    sides = [[side[seed] for seed in shared(ours, base)] for side in (ours, base)]
    return sum(variance(side) / len(side) for side in sides) ** 0.5


def summed(values, deviation=stdev, power=0.5):
    return mean(values), deviation(values) / len(values) ** power


def without_a_pair(a, b):
    return mean(a.values()) - mean(b.values()), summed(differences(a, b))[1]


def right_once(a, b):
    return summed(differences(a, b)) if len(b) == 3 else (1.0, 1.0)


PAIRS = {
    "paired by position": lambda a, b: summed(by_position(a, b)),
    "two independent means": lambda a, b: (mean(differences(a, b)), independent(a, b)),
    "this is the standard deviation": lambda a, b: summed(differences(a, b), power=0),
    "divides by n - 1": lambda a, b: summed(differences(a, b), pstdev),
    "not by its square root": lambda a, b: summed(differences(a, b), power=1),
    "seed 4 has no partner": without_a_pair,
    "turned round": lambda a, b: summed(differences(b, a)),
    "of the differences -0.5 and 0.5": right_once,
}


@pytest.mark.parametrize("words", PAIRS)
def test_mistakes_in_the_difference_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.paired_difference(PAIRS[words])


def test_the_packages_own_difference_is_right(capsys):
    def answer(ours, base):
        seeds = shared(ours, base)
        difference = paired_difference([ours[one] for one in seeds], [base[one] for one in seeds])
        return difference.mean, difference.error

    checks.paired_difference(answer)
    assert capsys.readouterr().out.startswith("right: ")


def judge(paper, low, high):
    """The package's verdict on an interval."""
    return verdict(str(paper), Difference((low + high) / 2, 0.1, 3, low, high, 0.0))


def test_the_cases_are_the_packages_verdicts():
    assert [judge(*case[:3]) for case in CASES] == [case[3] for case in CASES]


VERDICTS = {
    "would fit any small number": lambda p, low, high: (
        "match" if low <= p <= high else judge(p, low, high)
    ),
    "only the size is another": lambda p, low, high: (
        "differs" if judge(p, low, high) == "same sign" else judge(p, low, high)
    ),
    "though the sign is the same": lambda p, low, high: (
        "match" if p * low > 0 and p * high > 0 else judge(p, low, high)
    ),
    "even though zero is not": lambda p, low, high: (
        "inconclusive" if low <= 0 <= high else judge(p, low, high)
    ),
    "all of it": lambda p, low, high: (
        "same sign" if judge(p, low, high) == "differs" and high > 0 else judge(p, low, high)
    ),
    "mirror image": lambda p, low, high: judge(p, low, high) if p > 0 else "differs",
    "is no verdict": lambda p, low, high: "equal",
    "inside": lambda p, low, high: (
        "same sign" if judge(p, low, high) == "match" else judge(p, low, high)
    ),
    "shows a difference": lambda p, low, high: "inconclusive",
}


@pytest.mark.parametrize("words", VERDICTS)
def test_mistakes_in_the_verdict_are_named(words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        checks.verdict(VERDICTS[words])
