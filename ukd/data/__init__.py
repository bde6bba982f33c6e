"""Tasks, tokenised batches, metrics."""

from ukd.data.batches import (
    Batch,
    TokenizedSplit,
    evaluation_batches,
    extra_splits,
    steps_per_epoch,
    tokenize_split,
    tokenized_splits,
    training_batches,
)
from ukd.data.custom import custom_task
from ukd.data.metrics import expected_calibration_error, mean_metric, scores
from ukd.data.tasks import GLUE, SPECS, SYNTHETIC, Task, TaskSpec, load_task, train_dev_split

__all__ = [
    "Batch",
    "GLUE",
    "SPECS",
    "SYNTHETIC",
    "Task",
    "TaskSpec",
    "TokenizedSplit",
    "custom_task",
    "evaluation_batches",
    "expected_calibration_error",
    "extra_splits",
    "load_task",
    "mean_metric",
    "scores",
    "steps_per_epoch",
    "tokenize_split",
    "tokenized_splits",
    "train_dev_split",
    "training_batches",
]
