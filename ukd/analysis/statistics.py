"""Differences between methods, paired by seed: intervals, and the minimum detectable effect.

Runs of one seed share the initial student and the order of the examples. What both methods have in
common drops out of a paired difference.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

LEVEL = 0.95
POWER = 0.8
NAN = float("nan")


@dataclass(frozen=True)
class Difference:
    """Paired difference over seeds, in percentage points; nan where n = 1 leaves it unknown.

    mean, error: of the differences, with its standard error. low, high: 95% confidence interval
    (paired t-test). minimum_detectable_effect: the true difference that a two-sided paired t-test
    at 5% finds with 80% power, for this standard error.
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
    def points(self) -> str:
        """The difference in words, with its interval and n."""
        if self.n < 2:
            return f"{self.mean:+.1f} points (n={self.n})"
        return f"{self.mean:+.1f} points (95% {self.low:+.1f} to {self.high:+.1f}, n={self.n})"

    @property
    def verdict(self) -> str:
        """Whether the interval excludes zero, and if not, what would have been detected."""
        if self.significant:
            return "significant"
        if self.n < 2:
            return "one seed shows nothing"
        return f"not significant ({self.minimum_detectable_effect:.1f} could have been detected)"

    def __str__(self) -> str:
        if self.n < 2:
            return f"{self.mean:+.1f} (n={self.n})"
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f}, n={self.n})"


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """The difference of scores of the same seeds, in order.

    Raises ValueError for two lengths, for no seeds, and for two pandas series of other seeds.
    """
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"pairs need one score of each seed on both sides: {ours}, {theirs}")
    if isinstance(ours, pd.Series) and isinstance(theirs, pd.Series):
        seeds = [side.index.tolist() for side in (ours, theirs)]
        if seeds[0] != seeds[1]:
            raise ValueError(f"pairs are of one seed, got {seeds[0]} and {seeds[1]}: align them")
    difference = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    n = len(difference)
    if n < 2:
        return Difference(float(difference[0]), NAN, n, NAN, NAN, NAN)
    error = float(stats.sem(difference))
    # A difference that is the same for every seed has an interval of length zero.
    low = high = float(difference.mean())
    if error > 0:
        interval = stats.ttest_rel(ours, theirs).confidence_interval(LEVEL)
        low = float(interval.low)
        high = float(interval.high)
    detectable = error * detectable_errors(n)
    return Difference(float(difference.mean()), error, n, low, high, detectable)


@functools.cache
def detectable_errors(n: int) -> float:
    """The true difference, in standard errors, that a paired t-test of n pairs finds by `POWER`.

    Of a true difference the test statistic has a noncentral t distribution, its square a
    noncentral F.
    """
    bound = stats.f.ppf(LEVEL, 1, n - 1)

    def missing_power(difference: float) -> float:
        return stats.ncf.sf(bound, 1, n - 1, difference**2) - POWER

    return float(optimize.brentq(missing_power, 0.1, 50))
