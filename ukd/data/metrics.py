"""GLUE's metrics, by scikit-learn and scipy, as percentages.

A degenerate case gives a number and a warning.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

CLASSIFICATION = ("accuracy", "f1", "matthews")
CORRELATION = ("pearson", "spearman")
METRICS = (*CLASSIFICATION, *CORRELATION)
CALIBRATION_BINS = 15


def scores(
    logits: np.ndarray,
    labels: np.ndarray,
    metrics: tuple[str, ...],
) -> dict[str, float]:
    """Each named metric, in percent.

    Args:
        logits: (N, C), or (N, 1) for a regression task.
        labels: (N,) class indices, or values for the correlations.
        metrics: names from `METRICS`. F1 is of class 1, as in GLUE.

    Raises: ValueError for an unknown metric, no examples, or logits that are not finite.
    """
    logits = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels)
    if len(labels) == 0:
        raise ValueError("no examples to score: the split is empty")
    if not np.isfinite(logits).all():
        raise ValueError(
            "the predictions hold values that are not finite: training has diverged, lower the "
            "learning rate"
        )
    found = {}
    for name in metrics:
        if name in CORRELATION:
            found[name] = 100 * _correlation(name, logits.reshape(-1), labels)
        elif name in CLASSIFICATION:
            found[name] = 100 * _classification(name, logits.argmax(-1), labels)
        else:
            raise ValueError(f"unknown metric {name!r}; choose one of: {', '.join(METRICS)}")
    return found


def mean_metric(all_scores: dict[str, float]) -> float:
    """The one number of a task: the mean of its metrics, as in GLUE."""
    return sum(all_scores.values()) / len(all_scores)


def expected_calibration_error(
    logits: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """How far confidence is from accuracy, in percentage points.

    The mean of |accuracy - mean confidence| over equal bins of the largest probability, weighted by
    their examples (Naeini et al. 2015; Guo et al. 2017).

    Args:
        logits: (N, C), C at least 2.
        labels: (N,) class indices.
        bins: their number.

    Raises: ValueError for no examples, or for one output, which has no confidence.
    """
    logits = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels)
    if len(labels) == 0 or logits.shape[-1] < 2:
        raise ValueError(
            "calibration needs examples and at least two classes, got logits of shape "
            f"{logits.shape}"
        )
    probability = softmax(logits, axis=-1)
    confidence = probability.max(-1)
    correct = probability.argmax(-1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        members = bin_of == number
        total += abs((correct[members] - confidence[members]).sum())
    return float(100 * total / len(labels))


def _correlation(name: str, values: np.ndarray, labels: np.ndarray) -> float:
    """Pearson's or Spearman's correlation, from -1 to 1; 0 with a warning for a constant."""
    if np.ptp(values) == 0 or np.ptp(labels) == 0:
        warnings.warn(f"{name} of a constant is undefined; reported as 0", stacklevel=3)
        return 0.0
    correlate = pearsonr if name == "pearson" else spearmanr
    return float(correlate(values, labels)[0])


def _classification(name: str, predicted: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy, F1 or Matthews' correlation; a warning where all examples got one class."""
    if len(np.unique(predicted)) == 1:
        warnings.warn(f"every example got class {predicted[0]}; {name} says little", stacklevel=3)
    if name == "f1":
        return float(f1_score(labels, predicted, zero_division=0.0))
    if name == "matthews":
        return float(matthews_corrcoef(labels, predicted))
    return float(accuracy_score(labels, predicted))
