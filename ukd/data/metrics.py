"""GLUE's metrics, by scikit-learn and scipy, as percentages.

A degenerate case gives a number and a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

CLASSIFICATION = ("accuracy", "f1", "matthews")
CORRELATION = ("pearson", "spearman")
METRICS = (*CLASSIFICATION, *CORRELATION)
CALIBRATION_BINS = 15
ONE_IN_TWENTY = 1.645  # standard errors that chance exceeds in one of twenty cases


def scores(logits: np.ndarray, labels: np.ndarray, metrics: tuple[str, ...]) -> dict[str, float]:
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


def check_f1(metrics: tuple[str, ...], label: str, classes: int) -> None:
    """Raise ValueError for F1 of more than two classes. label: the column, as messages call it."""
    if "f1" in metrics and classes != 2:
        raise ValueError(
            f"f1 is of class 1 of two, and {label} has {classes} classes: take accuracy or matthews"
        )


def mean_metric(all_scores: dict[str, float]) -> float:
    """The one number of a task: the mean of its metrics, as in GLUE."""
    return sum(all_scores.values()) / len(all_scores)


def constant_score(labels: Sequence, metrics: tuple[str, ...]) -> float:
    """The mean metric, in percent, of the best constant answer to (N,) labels; 0 for values."""
    if set(metrics) & set(CORRELATION):
        return 0.0
    labels = np.asarray(labels)
    values, counts = np.unique(labels, return_counts=True)
    # No other class can be the best: accuracy is of the most frequent, F1 of class 1.
    candidates = {values[counts.argmax()], 1}
    best = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label in candidates:
            answer = np.full(len(labels), label)
            found = {name: 100 * _classification(name, answer, labels) for name in metrics}
            best = max(best, mean_metric(found))
    return best


def above_chance(labels: Sequence, metrics: tuple[str, ...]) -> float:
    """The mean metric, in percent, that only an answer which has learned from the texts exceeds.

    It is the best constant answer's plus 1.645 standard errors, so that of 20 answers that ignore
    the text one exceeds it by luck; or half of what is missing to 100 where that is less, so that
    few rows refuse no perfect answer. Standard errors for N labels, p of them of the constant
    answer's class: sqrt(p (1 - p) / N) for accuracy (binomial), that times 2 / (1 + p)^2 for F1
    (p of class 1; the delta method), 1 / sqrt(N - 1) for the three correlations. Of several metrics
    the mean, as if they erred together.

    Args:
        labels: (N,) class indices or values.
        metrics: names from `METRICS`.
    """
    labels = np.asarray(labels)
    constant = constant_score(labels, metrics)
    n = len(labels)
    errors = {name: 1 / np.sqrt(max(n - 1, 1)) for name in METRICS}
    if not set(metrics) & set(CORRELATION):
        p = np.bincount(labels.astype(int)).max() / n
        errors["accuracy"] = np.sqrt(p * (1 - p) / n)
        positive = np.mean(labels == 1)
        binomial = np.sqrt(positive * (1 - positive) / n)
        errors["f1"] = 2 * binomial / (1 + positive) ** 2
    error = 100 * float(np.mean([errors[name] for name in metrics]))
    return constant + min(ONE_IN_TWENTY * error, (100 - constant) / 2)


def refuse_probabilities(logits: np.ndarray) -> None:
    """Raise ValueError for (..., C) probabilities, whose softmax would be near uniform."""
    between = ((logits > 0) & (logits < 1)).any()  # rows of one 1 may be logits
    if between and (logits >= 0).all() and np.allclose(logits.sum(-1), 1):
        raise ValueError(
            "these are probabilities, each row adds up to 1: give logits, or their log"
        )


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

    Raises: ValueError for no examples, other shapes, one output, which has no confidence, and for
        probabilities instead of logits.
    """
    logits = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels)
    fit = logits.ndim == 2 and labels.shape == logits.shape[:1]
    if not fit or len(labels) == 0 or logits.shape[1] < 2:
        raise ValueError(
            "calibration needs examples, at least two classes and a label each, got logits of "
            f"shape {logits.shape} and labels {labels.shape}"
        )
    refuse_probabilities(logits)
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
