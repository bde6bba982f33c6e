"""What a student shows: calibration, early exit, entropy and what it sees, computed by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset

import ukd
from ukd.data.metrics import expected_calibration_error
from ukd.data.tasks import SPECS
from ukd.training.layer_report import (
    EXIT_THRESHOLDS,
    attention_summary,
    early_exit_curve,
    exit_thresholds,
)
from ukd.training.student_report import prediction_summary


def probabilities(*rows):
    """Logits whose softmax is these rows."""
    return torch.tensor(rows).log()


def small_task(name="sentiment", difficulty=(0, 1)):
    """Two examples of a synthetic task, as far as a report asks."""
    rows = Dataset.from_dict({"label": [0, 1], "difficulty": list(difficulty)})
    return SimpleNamespace(
        spec=SPECS[name],
        label_names=("negative", "positive"),
        dataset={"validation": rows},
        name=name,
    )


def test_calibration_error_by_hand():
    sure, half = [0.9, 0.1], [0.5, 0.5]
    logits = probabilities(sure, sure, sure, sure, half, half).numpy()
    labels = np.array([0, 0, 0, 1, 0, 1])  # right 3 of 4 at 0.9, 1 of 2 at 0.5
    assert expected_calibration_error(logits, labels) == pytest.approx(
        100 * (4 / 6 * 0.15 + 0), abs=1e-4
    )
    certain = 50.0 * np.array([[1, -1], [1, -1]])  # the last bin takes a probability of 1 too
    assert expected_calibration_error(certain, np.array([0, 1])) == pytest.approx(50)


def test_calibration_error_refuses_what_has_no_confidence():
    with pytest.raises(ValueError, match="at least two classes"):
        expected_calibration_error(np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match="examples"):
        expected_calibration_error(np.ones((0, 2)), np.ones(0))
    for logits, labels in (((6, 6, 3), (6,)), ((6, 3), (6, 1)), ((6,), (6,))):
        with pytest.raises(ValueError, match="and a label each"):
            expected_calibration_error(np.ones(logits), np.zeros(labels, int))


def test_early_exit_by_hand():
    first, middle, last = (
        [[0.95, 0.05], [0.55, 0.45]],
        [[0.6, 0.4], [0.2, 0.8]],
        [[0.4, 0.6], [0.3, 0.7]],
    )
    logits = torch.stack([probabilities(*layer) for layer in (first, middle, last)], 1)  # (2, 3, 2)
    found = early_exit_curve(logits, torch.tensor([0, 1]), small_task(), thresholds=(0.75, 0.99))
    assert [(point["threshold"], point["layers"]) for point in found] == [(0.75, 1.5), (0.99, 3.0)]
    assert (
        found[0]["scores"]["accuracy"] == 100
    )  # the second example would be right anywhere but in the first layer
    assert (
        found[1]["scores"]["accuracy"] == 50
    )  # the first is wrong in the last layer: thinking on does harm


@pytest.mark.parametrize("classes", [2, 3, 40, 150])
def test_thresholds_of_early_exit_follow_the_number_of_classes(classes):
    found = exit_thresholds(classes)
    assert found == sorted(found) and found[-1] > 1
    assert 1 / classes < found[0] <= 0.6
    if classes == 2:
        assert tuple(found) == EXIT_THRESHOLDS
    # Right at every layer, five times as sure as a guess.
    labels = torch.arange(2 * classes) % classes
    sure = 5 / classes
    logit = math.log(sure * (classes - 1) / (1 - sure)) if sure < 1 else 3.0
    logits = (logit * torch.eye(classes)[labels]).unsqueeze(1).repeat(1, 4, 1)
    used = {point["layers"] for point in early_exit_curve(logits, labels, small_task())}
    assert used == {1.0, 4.0}


def test_early_exit_of_a_regression_is_nothing():
    assert early_exit_curve(torch.ones(2, 3, 1), torch.ones(2), small_task("similarity")) == []


def test_what_is_seen_by_hand():
    method = ukd.get_method("universal-kd", attention_temperature=1e-3)
    yes, no = [2.0, -2.0], [-2.0, 2.0]
    teacher = torch.tensor([[yes, no, yes], [no, yes, yes]])  # (2, 3, 2): two layers below the last
    student = torch.tensor(
        [[yes, yes], [no, no]]
    )  # (2, 2, 2): one layer below the last; it agrees with the teacher's first
    found = attention_summary(
        method, student, teacher, torch.tensor([0, 1]), small_task(), torch.tensor([0, 1])
    )
    wrong = 1 / (1 + math.exp(4))
    assert found["mean"] == [[1.0, 0.0]] and found["entropy"] == [0.0]
    assert found["attended_label_error"] == [pytest.approx(wrong, abs=1e-4)] and found[
        "uniform_label_error"
    ] == pytest.approx(0.5, abs=1e-4)
    assert found["by_class"] == found["by_class"] | {"negative": [[1.0, 0.0]]} and set(
        found["by_difficulty"]
    ) == {"0", "1"}
    undecided = attention_summary(
        ukd.get_method("uniform"),
        student,
        teacher,
        torch.tensor([0, 1]),
        small_task(),
        torch.tensor([0, 1]),
    )
    assert undecided["entropy"] == [pytest.approx(math.log(2), abs=1e-4)]


def test_difficulties_are_those_of_the_rows_looked_at():
    task, one = small_task(difficulty=(3, 7)), torch.tensor([1])
    found = attention_summary(
        ukd.get_method("uniform"),
        torch.zeros(1, 2, 2),
        torch.zeros(1, 3, 2),
        torch.tensor([1]),
        task,
        one,
    )
    assert list(found["by_difficulty"]) == ["7"]


@pytest.mark.slow
@pytest.mark.xdist_group("methods")
def test_a_record_keeps_the_attention_after_every_epoch(distilled, tiny):
    record = distilled("universal-kd")
    shape = (tiny.student_depth - 1, tiny.teacher_depth - 1)
    for epoch in record.history["teacher"]["epochs"]:
        assert np.shape(epoch["attention"]) == shape
        assert np.allclose(np.sum(epoch["attention"], -1), 1, atol=1e-3)
    assert all("attention" not in epoch for epoch in record.history["labels"]["epochs"])
    assert record.early_exit[-1]["scores"] == pytest.approx(record.scores["validation"])
    assert 0 <= record.calibration_error <= 100


def test_a_collapse_onto_one_class_is_in_the_record(task):
    logits = torch.tensor([[-0.4, 0.4], [-0.1, 0.1]])
    labels = torch.tensor([1, 1])
    summary = {"collapsed": True, "predictions": "11", "calibration_error": 38.01}
    assert prediction_summary(logits, labels, task) == summary
    spread = logits * torch.tensor([[1, -1], [1, 1]])
    assert not prediction_summary(spread, labels, task)["collapsed"]


def test_predictions_on_the_data_of_others_are_in_no_record(task):
    logits = torch.tensor([[-0.4, 0.4], [-0.1, 0.1]])
    other = replace(task, name="rte")
    assert "predictions" not in prediction_summary(logits, torch.tensor([1, 1]), other)
