"""Intervals over seeds and validation examples together: Student's t, and a bootstrap.

N examples, C classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ukd.analysis.statistics import LEVEL
from ukd.data.tasks import SYNTHETIC, load_task, scored_rows

RESAMPLES = 1000
BATCH = 50  # resamples at a time: bounds the memory


def examples_interval(
    ours: pd.DataFrame,
    base: pd.DataFrame,
    task: str,
    *,
    resampled: dict[str, np.ndarray] | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Interval of the mean difference over seeds and examples together, in points.

    Its half length is the root of the sum of two squares: of the t interval over seeds, and of a
    bootstrap that draws the examples anew for all seeds alike. A bootstrap over three seeds would
    be far too short; t knows how few they are. With one seed it is that of the examples alone.

    Args:
        ours, base: runs of two methods on a synthetic task, with the columns run, seed, made,
            validation, fingerprint and predictions; of two runs for one seed the newer counts.
        resampled: from `bootstrap_scores`, where it is at hand for all these runs.

    Returns: None without a shared seed, or where predictions of one are not there or of other data.
    """
    mine = _newest(ours)
    theirs = _newest(base)
    shared = sorted(mine.keys() & theirs.keys())
    if task not in SYNTHETIC or not shared:
        return None
    if resampled is None:
        resampled = bootstrap_scores(pd.concat([ours, base]), task, seed)
    if any(side[number].run not in resampled for side in (mine, theirs) for number in shared):
        return None
    differences = []
    drawn = []
    for number in shared:
        one = mine[number]
        other = theirs[number]
        differences.append(one.validation - other.validation)
        drawn.append(resampled[one.run] - resampled[other.run])
    over_examples = stats.norm.ppf((1 + level) / 2) * np.mean(drawn, axis=0).std(ddof=1)
    over_seeds = 0.0
    n = len(shared)
    if n > 1:
        over_seeds = stats.t.ppf((1 + level) / 2, n - 1) * stats.sem(differences)
    half = float(np.hypot(over_seeds, over_examples))
    mean = float(np.mean(differences))
    return mean - half, mean + half


def _newest(runs: pd.DataFrame) -> dict:
    """Runs by seed."""
    return {row.seed: row for row in runs.sort_values("made", kind="stable").itertuples()}


def bootstrap_scores(runs: pd.DataFrame, task: str, seed: int = 0) -> dict[str, np.ndarray]:
    """By run its mean metric in percent, (R,), on validation sets drawn with replacement.

    All runs are scored on the same resamples, so that differences are paired by example.

    Args:
        runs: on this task of the synthetic suite, with the columns run, fingerprint and
            predictions. Runs without predictions are left out, and those of other data, such as a
            source of your own: the labels here say nothing of them.
    """
    answered = runs["predictions"].notna() & (runs["fingerprint"] == load_task(task).fingerprint)
    kept = runs[answered].drop_duplicates("run")
    if kept.empty:
        return {}
    answers = [predicted_values(text) for text in kept["predictions"]]
    labels = validation_labels(task, len(answers[0]))
    metrics = SYNTHETIC[task].metrics

    def scores(rows: np.ndarray, axis: int) -> np.ndarray:
        """(runs, draws) scores of the examples in rows (draws, N)."""
        drawn = Resample(labels, rows)
        return np.stack([drawn.mean_score(metrics, values) for values in answers])

    result = stats.bootstrap(
        (np.arange(len(labels)),),
        scores,
        n_resamples=RESAMPLES,
        batch=BATCH,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return dict(zip(kept["run"], result.bootstrap_distribution, strict=True))


def validation_labels(task: str, most: int | None = None) -> np.ndarray:
    """(N,) labels of the rows that are scored of a task of the synthetic suite, all by default."""
    data = load_task(task)
    labels = np.asarray(data.dataset["validation"]["label"], dtype=float)
    return labels[scored_rows(data, "validation", most)]


def predicted_values(predictions: str) -> np.ndarray:
    """(N,) class indices, written as digits, or values, written with spaces between them."""
    parts = predictions.split() if " " in predictions else list(predictions)
    return np.array([float(part) for part in parts])


def mean_score(metrics: Sequence[str], labels: np.ndarray, predicted: np.ndarray) -> float:
    """The mean of the metrics in percent, of (N,) labels and predictions."""
    rows = np.arange(len(labels))[None]
    return float(Resample(labels, rows).mean_score(metrics, predicted)[0])


class Resample:
    """Validation sets drawn with replacement, and the metrics of predictions on them.

    Args:
        labels: (N,) class indices or values.
        rows: (draws, N) numbers of the examples drawn.
    """

    def __init__(self, labels: np.ndarray, rows: np.ndarray) -> None:
        self.labels = labels
        self.rows = rows
        draws, examples = rows.shape
        places = rows + examples * np.arange(draws)[:, None]
        counts = np.bincount(places.ravel(), minlength=draws * labels.size)
        self.weights = counts.reshape(draws, -1).astype(np.float32)  # how often each was drawn
        self.ranks: np.ndarray | None = None  # of the labels, which all runs share

    def mean_score(self, metrics: Sequence[str], predicted: np.ndarray) -> np.ndarray:
        """(draws,) the mean of the metrics in percent, of predictions (N,)."""
        return 100 * np.mean([getattr(self, f"_{name}")(predicted) for name in metrics], axis=0)

    def _confusion(self, predicted: np.ndarray) -> np.ndarray:
        """(draws, C, C) how many examples have a label (row) and a prediction (column)."""
        classes = int(max(self.labels.max(), predicted.max())) + 1
        pairs = (self.labels * classes + predicted).astype(int)
        chosen = np.eye(classes**2, dtype=np.float32)[pairs]
        return (self.weights @ chosen).astype(float).reshape(-1, classes, classes)

    def _accuracy(self, predicted: np.ndarray) -> np.ndarray:
        return self.weights @ (self.labels == predicted).astype(np.float32) / len(self.labels)

    def _f1(self, predicted: np.ndarray) -> np.ndarray:
        """F1 of class 1, as GLUE has it."""
        counts = self._confusion(predicted)
        total = counts[:, 1, :].sum(-1) + counts[:, :, 1].sum(-1)
        return 2 * counts[:, 1, 1] / np.maximum(total, 1)

    def _matthews(self, predicted: np.ndarray) -> np.ndarray:
        """Matthews' correlation of any number of classes; 0 where one side is constant."""
        counts = self._confusion(predicted)
        labelled, answered = counts.sum(2), counts.sum(1)
        total = counts.sum((1, 2))
        hits = np.trace(counts, axis1=1, axis2=2)
        above = hits * total - (labelled * answered).sum(-1)
        square = (total**2 - (labelled**2).sum(-1)) * (total**2 - (answered**2).sum(-1))
        return np.divide(above, np.sqrt(square), out=np.zeros_like(above), where=square > 0)

    def _pearson(self, predicted: np.ndarray) -> np.ndarray:
        return _correlation(self.labels[self.rows], predicted[self.rows])

    def _spearman(self, predicted: np.ndarray) -> np.ndarray:
        if self.ranks is None:
            self.ranks = stats.rankdata(self.labels[self.rows], axis=-1)
        return _correlation(self.ranks, stats.rankdata(predicted[self.rows], axis=-1))


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(draws,) Pearson's correlation over the last dimension; 0 where one side is constant."""
    first = first - first.mean(-1, keepdims=True)
    second = second - second.mean(-1, keepdims=True)
    size = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    above = (first * second).sum(-1)
    return np.divide(above, size, out=np.zeros_like(above), where=size > 0)
