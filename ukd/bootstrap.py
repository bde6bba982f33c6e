"""Intervals for differences between methods, paired by seed and by example: Student's t for the seeds, a bootstrap for the examples.

Pairs share their seed (the same initial student) and their examples, so what both have in common drops out. Three seeds drawn anew
with replacement are still those three, so a bootstrap over seeds would be far too short; t knows how few they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.stats import rankdata

from ukd.data import EMBEDDED, load_task

DRAWS, AT_ONCE = 1000, 50


def interval(ours: list[dict], base: list[dict], task: str, *, level: float = 0.95, seed: int = 0) -> tuple[float, float] | None:
    """Ends of the interval of the mean difference in headline points, from records of two methods on an embedded task.

    Its half length is the root of the sum of two squares: of the t interval's over seeds, and of that of a bootstrap which draws the
    examples anew for all seeds alike. With one seed it is that of the examples alone. None without a shared seed, or where records hold
    no predictions.
    """
    newest = lambda records: sorted(records, key=lambda record: record.get("made", ""))  # noqa: E731
    mine, theirs = ({r["seed"]: r for r in newest(records) if "predicted" in r} for records in (ours, base))
    if task not in EMBEDDED or not (shared := sorted(mine.keys() & theirs.keys())):
        return None
    values = np.stack([[_values(side[number]["predicted"]) for number in shared] for side in (mine, theirs)])  # (2, seeds, N)
    labels = np.asarray(load_task(task).dataset["validation"]["label"], dtype=float)[: values.shape[-1]]
    away = lambda rows: np.subtract(*(  # noqa: E731
        np.stack([_headline(task)(labels[rows], said[rows]) for said in side]) for side in values
    ))  # fmt: skip
    dice = np.random.default_rng(seed)
    drawn = [away(dice.integers(0, len(labels), (AT_ONCE, len(labels)))).mean(0) for _ in range(DRAWS // AT_ONCE)]
    by_seed = away(np.arange(len(labels))[None])[:, 0]
    n = len(shared)
    seeds = stats.t.ppf((1 + level) / 2, n - 1) * by_seed.std(ddof=1) / n**0.5 if n > 1 else 0.0
    examples = stats.norm.ppf((1 + level) / 2) * np.concatenate(drawn).std(ddof=1)
    half = float(np.hypot(seeds, examples))
    return float(by_seed.mean()) - half, float(by_seed.mean()) + half


def _values(predicted: str) -> np.ndarray:
    return np.array([float(value) for value in (predicted.split() if " " in predicted else predicted)])


def _headline(task: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(draws, N) labels and predictions to (draws,) scores in percent: the mean of the task's metrics, as `ukd.metrics.headline` has it."""
    metrics = EMBEDDED[task].metrics
    return lambda labels, said: 100 * np.mean([METRICS[name](labels, said) for name in metrics], axis=0)


def _accuracy(labels: np.ndarray, said: np.ndarray) -> np.ndarray:
    return (labels == said).mean(-1)


def _f1(labels: np.ndarray, said: np.ndarray) -> np.ndarray:
    hit, asked = ((labels == 1) & (said == 1)).sum(-1), (labels == 1).sum(-1) + (said == 1).sum(-1)
    return 2 * hit / np.maximum(asked, 1)


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Also Matthews' correlation, which for two classes is Pearson's of the indices; 0 where one of them is constant."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    size = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.where(size > 0, (x * y).sum(-1) / np.where(size > 0, size, 1), 0.0)


METRICS = {
    "accuracy": _accuracy, "f1": _f1, "matthews": _pearson, "pearson": _pearson,
    "spearman": lambda x, y: _pearson(rankdata(x, axis=-1), rankdata(y, axis=-1)),
}  # fmt: skip
