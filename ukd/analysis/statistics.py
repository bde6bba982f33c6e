"""Differences between methods, paired by seed and by example: intervals and what n could detect.

Runs of one seed share the initial student and the order of the examples. What both methods have in
common drops out of a paired difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ukd.data.tasks import SYNTHETIC, load_task

LEVEL = 0.95
POWER = 0.8
DRAWS = 1000
DRAWS_AT_ONCE = 50
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

    def __str__(self) -> str:
        if self.n < 2:
            return f"{self.mean:+.1f} (n={self.n})"
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f}, n={self.n})"


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """The difference of scores of the same seeds, in order.

    Raises ValueError for two lengths and for no seeds.
    """
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"pairs need one score of each seed on both sides: {ours}, {theirs}")
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
    detectable = error * (stats.t.ppf((1 + LEVEL) / 2, n - 1) + stats.t.ppf(POWER, n - 1))
    return Difference(float(difference.mean()), error, n, low, high, float(detectable))


def examples_interval(
    ours: pd.DataFrame, base: pd.DataFrame, task: str, *, level: float = LEVEL, seed: int = 0
) -> tuple[float, float] | None:
    """Interval of the mean difference over seeds and examples together, in points.

    Its half length is the root of the sum of two squares: of the t interval over seeds, and of a
    bootstrap that draws the examples anew for all seeds alike. A bootstrap over three seeds would
    be far too short; t knows how few they are. With one seed it is that of the examples alone.

    Args:
        ours, base: runs of two methods on a synthetic task, with the columns seed, made and
            predictions.

    Returns: None without a shared seed, or where no predictions were kept.
    """
    mine = _newest(ours)
    theirs = _newest(base)
    shared = sorted(mine.keys() & theirs.keys())
    if task not in SYNTHETIC or not shared:
        return None
    sides = []
    for side in (mine, theirs):
        sides.append(np.stack([_values(side[number]) for number in shared]))  # (seeds, N)
    labels = np.asarray(load_task(task).dataset["validation"]["label"], dtype=float)
    labels = labels[: sides[0].shape[-1]]
    whole = np.arange(len(labels))[None]
    by_seed = _score_differences(sides, labels, task, whole)[:, 0]  # (seeds,)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS // DRAWS_AT_ONCE):
        rows = rng.integers(0, len(labels), (DRAWS_AT_ONCE, len(labels)))
        drawn.append(_score_differences(sides, labels, task, rows).mean(0))
    over_examples = stats.norm.ppf((1 + level) / 2) * np.concatenate(drawn).std(ddof=1)
    over_seeds = 0.0
    n = len(shared)
    if n > 1:
        over_seeds = stats.t.ppf((1 + level) / 2, n - 1) * by_seed.std(ddof=1) / n**0.5
    half = float(np.hypot(over_seeds, over_examples))
    mean = float(by_seed.mean())
    return mean - half, mean + half


def _newest(runs: pd.DataFrame) -> dict[int, str]:
    """Predictions by seed; of two runs with one seed the newer counts."""
    kept = runs.dropna(subset=["predictions"]).sort_values("made", kind="stable")
    return dict(zip(kept["seed"], kept["predictions"], strict=True))


def _values(predictions: str) -> np.ndarray:
    """Predictions as kept: digits of classes, or numbers with spaces between them."""
    parts = predictions.split() if " " in predictions else predictions
    return np.array([float(value) for value in parts])


def _score_differences(
    sides: list[np.ndarray], labels: np.ndarray, task: str, rows: np.ndarray
) -> np.ndarray:
    """Differences of the mean metric in points, (seeds, draws), on rows (draws, N)."""
    metrics = [METRICS[name] for name in SYNTHETIC[task].metrics]
    scores = []
    for side in sides:
        by_seed = []
        for predictions in side:
            values = [metric(labels[rows], predictions[rows]) for metric in metrics]
            by_seed.append(100 * np.mean(values, axis=0))
        scores.append(np.stack(by_seed))
    return scores[0] - scores[1]


# The metrics of many draws at once, (draws, N) and (draws, N) -> (draws,), between 0 and 1.
def _accuracy(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return (labels == predicted).mean(-1)


def _f1(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    hits = ((labels == 1) & (predicted == 1)).sum(-1)
    marked = (labels == 1).sum(-1) + (predicted == 1).sum(-1)
    return 2 * hits / np.maximum(marked, 1)


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Also Matthews' correlation: for two classes it is Pearson's of the indices."""
    x = x - x.mean(-1, keepdims=True)
    y = y - y.mean(-1, keepdims=True)
    size = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    constant = size == 0
    return np.where(constant, 0.0, (x * y).sum(-1) / np.where(constant, 1, size))


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _pearson(stats.rankdata(x, axis=-1), stats.rankdata(y, axis=-1))


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _pearson,
    "pearson": _pearson,
    "spearman": _spearman,
}
