"""The classes that a classifier's configuration names, against those of a task."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedConfig

from ukd.data.tasks import Task


def classifies(config: PreTrainedConfig) -> bool:
    """Whether a source's classifier is one of whole texts; a folder that does not say has it."""
    kinds = config.architectures
    return not kinds or any("SequenceClassification" in kind for kind in kinds)


def check_label_order(config: PreTrainedConfig, task: Task, source: str | Path) -> None:
    """Raise ValueError for a classifier with other outputs, or with its classes in another order.

    Its answers would be read as others.
    """
    if config.architectures and classifies(config) and config.num_labels != task.num_labels:
        raise ValueError(
            f"{source} has a classifier with {config.num_labels} outputs, and {task.name} needs "
            f"{task.num_labels}: pass the encoder it was made from"
        )
    by_index = sorted((config.id2label or {}).items(), key=lambda item: int(item[0]))
    of_model = [str(name).lower() for _, name in by_index]
    of_task = [name.lower() for name in task.label_names or ()]
    if set(of_model) == set(of_task) and of_model != of_task:
        raise ValueError(
            f"{source} names its classes {of_model}, and {task.name} names them {of_task}: pass a "
            "model with the task's order, or one without a classifier"
        )


def label_options(task: Task) -> dict:
    """How a configuration names the task's outputs."""
    options = {
        "num_labels": task.num_labels,
        "problem_type": "regression" if task.spec.regression else None,
    }
    if task.label_names:
        options["id2label"] = dict(enumerate(task.label_names))
        options["label2id"] = {name: index for index, name in enumerate(task.label_names)}
    return options
