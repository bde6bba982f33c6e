"""What a trained student shows: where its layers look, what its classifiers say, how sure it is, and where it could stop.

N examples, C classes (1 for regression), S student layers that look, T teacher layers seen, L layers with a classifier.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ukd.data.metrics import scores
from ukd.data.tasks import Task
from ukd.losses import intermediate_loss
from ukd.methods.method import Method
from ukd.methods.objective import loss_options, select_layers
from ukd.training.teacher_heads import ignore_warnings, label_error, per_layer_scores

SURE = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)
DIGITS = 6


def attention(
    method: Method, logits: Tensor, teacher: Tensor, regression: bool, seeds: Iterable[int] = (0,)
) -> Tensor:
    """Weights (N, S, T) with which a method's student layers look, from logits (N, L, C) and the teacher's (N, T', C).

    seeds: by which a random map was drawn in each epoch looked at; the mean over them.
    """
    ours, theirs = select_layers(method, logits, teacher)
    drawn = tuple(seeds) if method.layer_map == "random" else (0,)
    return torch.stack(
        [
            intermediate_loss(ours, theirs, **loss_options(method, regression), seed=seed).weights
            for seed in drawn
        ]
    ).mean(0)


def look(
    method: Method,
    logits: Tensor,
    teacher: Tensor,
    labels: Tensor,
    task: Task,
    rows: Tensor,
    seeds: Iterable[int] = (0,),
) -> dict:
    """What a record keeps of where a student looks: everything as means over the examples.

    mean, by_class, by_difficulty: weights (S, T); entropy: (S,) in nats, of the weights of single examples; seen_distance: (S,), how
    far the teacher heads are from the label where each student layer looks, and uniform_distance, were it to look at all alike;
    by_layer: scores of the student's own heads, its classifier last; exits: see `early_exit_curve`.
    """
    weights = attention(method, logits, teacher, task.spec.regression, seeds)
    theirs = select_layers(method, logits, teacher)[1]
    away = torch.stack(
        [label_error(layer, labels, task.spec.regression) for layer in theirs.unbind(1)], 1
    )  # (N, T)
    found = {
        "mean": _listed(weights.mean(0)),
        "entropy": _listed(torch.special.entr(weights).sum(-1).mean(0)),
        "seen_distance": _listed((weights * away.unsqueeze(1)).sum(-1).mean(0)),
        "uniform_distance": _listed(away.mean()),
        "by_layer": per_layer_scores(logits, labels, task),
        "exits": early_exit_curve(logits, labels, task),
    }
    groups = {
        "by_class": {name: labels == index for index, name in enumerate(task.label_names or ())}
    }
    if "difficulty" in task.dataset["validation"].column_names:
        levels = torch.as_tensor(task.dataset["validation"]["difficulty"])[rows]
        groups["by_difficulty"] = {
            str(level): levels == level for level in levels.unique().tolist()
        }
    for name, chosen in groups.items():
        if maps := {
            key: _listed(weights[where].mean(0)) for key, where in chosen.items() if where.any()
        }:
            found[name] = maps
    return found


def early_exit_curve(
    logits: Tensor, labels: Tensor, task: Task, sure: tuple[float, ...] = SURE
) -> list[dict]:
    """Early exit: each example stops at its first layer whose largest probability reaches a threshold, at the last one at the latest.

    Args:
        logits: (N, L, C), the network's own classifier last.
        sure: thresholds; above 1 nobody stops early.

    Returns: for each threshold the mean number of layers used and the scores; nothing for regression, which has no probabilities.
    """
    if task.spec.regression:
        return []
    largest = logits.softmax(-1).amax(-1)  # (N, L)
    found = []
    for threshold in sure:
        stops = largest >= threshold
        stops[:, -1] = True
        layer = stops.int().argmax(1)  # the first that is sure enough
        said = logits[torch.arange(len(logits)), layer]
        with ignore_warnings():
            reached = scores(said.numpy(), labels.numpy(), task.spec.metrics)
        found.append(
            {
                "sure": threshold,
                "layers": round(float(layer.float().mean()) + 1, DIGITS),
                "scores": reached,
            }
        )
    return found


def _listed(values: Tensor) -> list | float:
    """Numbers for a record, rounded."""
    rounded = torch.round(values.double(), decimals=DIGITS)
    return rounded.tolist()
