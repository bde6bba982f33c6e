"""GLUE's metrics, through scikit-learn and scipy, as percentages; a degenerate case gives a number and a warning."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

CLASSIFICATION = {
    "accuracy": accuracy_score,
    "f1": lambda labels, predicted: f1_score(labels, predicted, zero_division=0.0),
    "matthews": matthews_corrcoef,
}
CORRELATION = {"pearson": pearsonr, "spearman": spearmanr}
METRICS = (*CLASSIFICATION, *CORRELATION)


def scores(logits: np.ndarray, labels: np.ndarray, metrics: tuple[str, ...]) -> dict[str, float]:
    """Each named metric times 100.

    Args:
        logits: (N, C), or (N, 1) for a regression task.
        labels: (N,) class indices, or values for the correlations.
        metrics: names from `METRICS`; F1 is of class 1, as GLUE has it.

    Raises: ValueError for an unknown metric, no examples, or values that are not finite.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if len(labels) == 0:
        raise ValueError("no examples to score")
    if not np.isfinite(logits).all():
        raise ValueError(
            "the predictions hold values that are not finite; training has diverged: lower the rate"
        )
    return {name: 100 * _score(name, logits, labels) for name in metrics}


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """How far confidence is from accuracy, in percentage points: |accuracy - mean confidence| of equal bins of the largest probability,
    weighted by their examples (Naeini et al. 2015; Guo et al. 2017).

    Args:
        logits: (N, C), C at least 2. labels: (N,) class indices.

    Raises: ValueError for no examples, or for one output, which has no confidence.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if len(labels) == 0 or logits.shape[-1] < 2:
        raise ValueError(
            f"calibration needs examples and at least two classes, got logits of shape {logits.shape}"
        )
    probability = softmax(logits, axis=-1)
    sure, right = probability.max(-1), probability.argmax(-1) == labels
    of = np.minimum((sure * bins).astype(int), bins - 1)
    return float(
        100 * sum(abs((right[of == b] - sure[of == b]).sum()) for b in range(bins)) / len(labels)
    )


def mean_metric(all_scores: dict[str, float]) -> float:
    """The one number of a task: the mean of its metrics, as GLUE averages them."""
    return sum(all_scores.values()) / len(all_scores)


def _score(name: str, logits: np.ndarray, labels: np.ndarray) -> float:
    if name in CORRELATION:
        values = logits.reshape(-1)
        if np.ptp(values) == 0 or np.ptp(labels) == 0:
            warnings.warn(f"{name} of a constant is undefined; reported as 0", stacklevel=2)
            return 0.0
        return float(CORRELATION[name](values, labels)[0])
    if name not in CLASSIFICATION:
        raise ValueError(f"unknown metric {name!r}; choose one of: {', '.join(METRICS)}")
    predicted = logits.argmax(-1)
    if len(np.unique(predicted)) == 1:
        warnings.warn(f"every example got class {predicted[0]}; {name} says little", stacklevel=2)
    return float(CLASSIFICATION[name](labels, predicted))
