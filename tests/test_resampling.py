"""Intervals over seeds and examples: the metrics of resamples, and the interval by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from ukd.analysis.resampling import (
    Resample,
    bootstrap_scores,
    examples_interval,
    mean_score,
    predicted_values,
    validation_labels,
)
from ukd.analysis.runs import load_runs
from ukd.data.tasks import load_task

REFERENCES = {
    "accuracy": accuracy_score,
    "f1": f1_score,
    "matthews": matthews_corrcoef,
    "pearson": lambda x, y: stats.pearsonr(x, y)[0],
    "spearman": lambda x, y: stats.spearmanr(x, y)[0],
}


@pytest.mark.parametrize("metric", REFERENCES)
def test_metrics_of_resamples_are_those_of_the_libraries(metric):
    rng = np.random.default_rng(0)
    valued = metric in ("pearson", "spearman")
    labels = rng.integers(0, 6, 50) / 2 if valued else rng.integers(0, 2, 50)
    predicted = labels + rng.normal(size=50).round(1) if valued else rng.integers(0, 2, 50)
    rows = rng.integers(0, 50, (4, 50))
    found = Resample(labels.astype(float), rows).mean_score([metric], predicted.astype(float))
    expected = [100 * REFERENCES[metric](labels[some], predicted[some]) for some in rows]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", ["matthews", "f1", "pearson", "spearman"])
def test_a_constant_prediction_scores_0(metric):
    labels = np.array([0.0, 1.0, 1.0])
    assert mean_score([metric], labels, np.zeros(3)) == 0


def test_matthews_of_three_classes():
    labels = np.array([0.0, 1, 2, 2, 1, 0])
    predicted = np.array([0.0, 2, 2, 1, 1, 0])
    expected = 100 * matthews_corrcoef(labels, predicted)
    assert mean_score(["matthews"], labels, predicted) == pytest.approx(expected)


def test_predictions_are_read_as_they_were_written():
    assert predicted_values("0120").tolist() == [0, 1, 2, 0]
    assert predicted_values("1.250 -0.500").tolist() == [1.25, -0.5]


def test_kept_predictions_give_the_recorded_scores():
    runs = load_runs()
    table = runs.table.drop_duplicates("run").merge(runs.predictions, on="run")
    assert len(table) > 400
    for task, group in table.groupby("task"):
        labels = validation_labels(task)
        for row in group.itertuples():
            predicted = predicted_values(row.predictions)
            score = mean_score(row.metrics, labels[: len(predicted)], predicted)
            assert score == pytest.approx(row.validation, abs=0.02), row.run


def test_the_interval_joins_seeds_and_examples():
    labels = validation_labels("sentiment").astype(int)
    wrong = labels.copy()
    wrong[:100] = 1 - wrong[:100]
    texts = {"right": "".join(map(str, labels)), "wrong": "".join(map(str, wrong))}
    rows = [
        {"run": f"{kind}{seed}", "seed": seed, "made": "", "validation": score, "predictions": text}
        for (kind, text), score in zip(texts.items(), (100.0, 95.0), strict=True)
        for seed in (1, 2, 3)
    ]
    table = pd.DataFrame(rows).assign(fingerprint=load_task("sentiment").fingerprint)
    ours = table[table["run"].str.startswith("right")]
    base = table[table["run"].str.startswith("wrong")]
    low, high = examples_interval(ours, base, "sentiment")
    # The seeds agree, so the interval is that of a share of 100 in 2,000.
    half = 1.96 * 100 * (0.05 * 0.95 / 2000) ** 0.5
    assert (low + high) / 2 == pytest.approx(5.0)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    resampled = bootstrap_scores(table, "sentiment")
    assert examples_interval(ours, base, "sentiment", resampled=resampled) == (low, high)
    moved = base.assign(validation=[94.0, 95.0, 96.0])
    wider = examples_interval(ours, moved, "sentiment")
    over_seeds = stats.t.ppf(0.975, 2) * 1 / 3**0.5
    assert (wider[1] - wider[0]) / 2 == pytest.approx(np.hypot(over_seeds, (high - low) / 2))


def test_without_a_shared_seed_or_predictions_there_is_no_interval():
    table = pd.DataFrame({"run": ["a"], "seed": [1], "made": [""], "validation": [1.0]})
    table = table.assign(predictions="01", fingerprint=load_task("sentiment").fingerprint)
    assert examples_interval(table, table.assign(seed=2), "sentiment") is None
    assert examples_interval(table, table.assign(run="b", predictions=None), "sentiment") is None
    assert examples_interval(table, table, "cola") is None, "no predictions of other data are kept"
