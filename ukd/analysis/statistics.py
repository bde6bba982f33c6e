"""Differences between methods, paired by seed, and their 95% confidence intervals.

Two runs of a pair share their seed, and so the student's initial weights and the order of the
examples: what both have in common drops out of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference of n pairs, in percentage points.

    error: standard error. low, high: ends of the 95% confidence interval of a paired t-test.
    minimum_detectable_effect: the true difference that this test finds with a power of 80%, were
    the standard error as estimated. All but mean and n are nan where n is 1.
    """

    mean: float
    error: float
    n: int
    low: float
    high: float
    minimum_detectable_effect: float

    @property
    def significant(self) -> bool:
        """Whether the 95% confidence interval excludes zero."""
        return self.low > 0 or self.high < 0

    @property
    def with_interval(self) -> str:
        """The mean with its interval and n: "+2.0 (-0.5 to +4.5, n=3)"."""
        if self.n < 2:
            return f"{self.mean:+.1f} (n={self.n})"
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f}, n={self.n})"

    def __str__(self) -> str:
        if self.n < 2:
            return f"{self.mean:+.1f} (n={self.n}, no error known)"
        effect = self.minimum_detectable_effect
        return f"{self.mean:+.1f} ± {self.error:.1f} (n={self.n}, MDE {effect:.1f})"


def paired_difference(
    ours: Sequence[float], theirs: Sequence[float], level: float = LEVEL
) -> PairedDifference:
    """Ours minus theirs; element i of both is a pair. Raises ValueError without a pair."""
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    count = len(differences)
    if count == 0:
        raise ValueError("no pairs: the two methods share no seed")
    mean = float(differences.mean())
    if count == 1:
        nan = float("nan")
        return PairedDifference(mean, nan, 1, nan, nan, nan)
    error = float(stats.sem(differences))
    interval = stats.ttest_rel(ours, theirs).confidence_interval(level)
    effect = minimum_detectable_effect(error, count)
    return PairedDifference(mean, error, count, float(interval.low), float(interval.high), effect)


def minimum_detectable_effect(error: float, count: int, level: float = LEVEL) -> float:
    """The true difference that a two-sided paired t-test finds with a power of 80%.

    Args:
        error: standard error of the difference, from `count` pairs.
    """
    freedom = count - 1
    return float(error * (stats.t.ppf((1 + level) / 2, freedom) + stats.t.ppf(POWER, freedom)))
