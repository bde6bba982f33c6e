"""Where a trained student's layers attend, what its heads predict, and where it could stop.

N examples, C classes (1 for regression), S student layers that attend, T teacher layers they see, L
layers with a classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ukd.data.metrics import refuse_probabilities, scores
from ukd.data.tasks import Task
from ukd.losses import intermediate_loss
from ukd.methods.method import Method
from ukd.methods.objective import loss_options, lowest_taught, select_layers
from ukd.training.teacher_heads import ignore_warnings, label_error, per_layer_scores

# Of the largest probability, for two classes; above 1 no example stops early.
EXIT_THRESHOLDS = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)
DIGITS = 6


def attention(
    method: Method, logits: Tensor, teacher: Tensor, regression: bool, seeds: Iterable[int] = (0,)
) -> Tensor:
    """Weights (N, S, T) of a method's layer map, as its loss returns them.

    Args:
        logits: the student's, (N, L, C). teacher: the teacher's, all of its layers.
        seeds: of a random map, one for each epoch; the mean over them.
    """
    student, teacher = select_layers(method, logits, teacher)
    options = loss_options(method, regression)
    drawn = tuple(seeds) if method.layer_map == "random" else (0,)
    maps = [intermediate_loss(student, teacher, **options, seed=seed).weights for seed in drawn]
    return torch.stack(maps).mean(0)


def attention_summary(
    method: Method,
    logits: Tensor,
    teacher: Tensor,
    labels: Tensor,
    task: Task,
    rows: Tensor,
    seeds: Iterable[int] = (0,),
) -> dict:
    """What a record keeps of the attention, as means over the examples.

    Args: as in `attention`; labels (N,); rows (N,) in the validation split.

    Returns:
        mean, and by_class, by_difficulty where the task has them: weights (S, T).
        entropy: (S,) in nats, of the weights of single examples.
        attended_label_error: (S,), of the teacher's heads, by the weights of each student layer.
        uniform_label_error: the same at uniform weights, one number.
        heads: scores of the student's own classifiers, by layer.
        early_exit: see `early_exit_curve`.
    """
    weights = attention(method, logits, teacher, task.spec.regression, seeds)
    lowest = lowest_taught(method, logits.shape[1])
    seen = select_layers(method, logits, teacher)[1]
    errors = [label_error(layer, labels, task.spec.regression) for layer in seen.unbind(1)]
    error = torch.stack(errors, 1)  # (N, T)
    summary = {
        "mean": _rounded(weights.mean(0)),
        "entropy": _rounded(torch.special.entr(weights).sum(-1).mean(0)),
        "attended_label_error": _rounded((weights * error.unsqueeze(1)).sum(-1).mean(0)),
        "uniform_label_error": _rounded(error.mean()),
        "heads": per_layer_scores(logits, labels, task),
        "early_exit": early_exit_curve(logits, labels, task, lowest=lowest),
    }
    classes = {name: labels == index for index, name in enumerate(task.label_names or ())}
    groups = {"by_class": classes, "by_difficulty": {}}
    levels = difficulty_levels(task)
    if levels is not None:
        levels = torch.as_tensor(levels)[rows]
        groups["by_difficulty"] = {str(one): levels == one for one in levels.unique().tolist()}
    for name, members in groups.items():
        maps = {key: _rounded(weights[some].mean(0)) for key, some in members.items() if some.any()}
        if maps:
            summary[name] = maps
    return summary


def difficulty_levels(task: Task) -> list | None:
    """The difficulty of every validation row, a whole number; None where a task has none."""
    validation = task.dataset["validation"]
    feature = validation.features.get("difficulty")
    # A column of that name in other data may hold texts.
    if feature is None or not getattr(feature, "dtype", "").startswith("int"):
        return None
    return list(validation["difficulty"])


def exit_thresholds(classes: int) -> list[float]:
    """`EXIT_THRESHOLDS`, taken to the power log2(C) for C classes.

    A guess among C has a probability of 1/C, which is (1/2) to that power, so each threshold is as
    far above a guess as among two. At those of two, of 40 classes nothing would stop.
    """
    return [round(threshold ** math.log2(classes), DIGITS) for threshold in EXIT_THRESHOLDS]


def early_exit_curve(
    logits: Tensor,
    labels: Tensor,
    task: Task,
    thresholds: tuple[float, ...] | None = None,
    *,
    lowest: int = 0,
) -> list[dict]:
    """Scores if each example stops at the first layer whose largest probability is high enough.

    Args:
        logits: (N, L, C), the network's own classifier last, where an example stops at the latest.
        thresholds: of that probability; by default `exit_thresholds(C)`.
        lowest: index of the first layer whose classifier was taught; those below stop nothing.

    Returns: for each threshold {"threshold", "layers": their mean number, "scores"}; nothing for
    regression, which has no probabilities.

    Raises: ValueError for probabilities instead of logits.
    """
    if task.spec.regression:
        return []
    refuse_probabilities(logits.numpy())
    confidence = logits.softmax(-1).amax(-1)  # (N, L)
    curve = []
    for threshold in thresholds or exit_thresholds(logits.shape[-1]):
        stops = confidence >= threshold
        stops[:, :lowest] = False
        stops[:, -1] = True
        first = stops.int().argmax(1)
        exits = logits[torch.arange(len(logits)), first]
        with ignore_warnings():
            exit_scores = scores(exits.numpy(), labels.numpy(), task.spec.metrics)
        layers = round(float(first.float().mean()) + 1, DIGITS)
        curve.append({"threshold": threshold, "layers": layers, "scores": exit_scores})
    return curve


def _rounded(values: Tensor) -> list | float:
    """Numbers as a record keeps them."""
    return torch.round(values.double(), decimals=DIGITS).tolist()
