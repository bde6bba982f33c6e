"""What each layer map teaches, without training: the mixed targets of five made-up students.

N examples, C classes, T teacher layers. A map whose query is the student's prediction shows a
student that is wrong the layers that agree with it; this table says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ukd.config.paths import data_folder
from ukd.config.text import markdown_table
from ukd.data.metrics import mean_metric, refuse_probabilities
from ukd.data.tasks import Task, load_task, train_dev_split
from ukd.methods.layer_maps import by_scores, cosine, keys_of_one_norm, query_by_label
from ukd.projection import LayerMap, centre, layer_map_weights, weighted_sum
from ukd.training.kept_logits import KeptTeacher, load_kept_teacher
from ukd.training.teacher_heads import per_layer_scores

# A student's logit of the label; its other logits are zero.
MADE_UP_STUDENTS = {
    "right and sure": 4.0,
    "right and unsure": 1.0,
    "knows nothing": 0.0,
    "wrong and unsure": -1.0,
    "wrong and sure": -4.0,
}
COMPARED_MAPS: dict[str, str | LayerMap] = {
    "attention": "attention",
    "cosine": cosine,
    "keys of one norm": keys_of_one_norm,
    "teacher-query": "teacher-query",
    "uniform": "uniform",
    "deepest": "deepest",
}


def taught_by_maps(
    logits: Tensor,
    labels: Tensor,
    task: Task,
    *,
    scores: Sequence[float] | None = None,
    maps: Mapping[str, str | LayerMap] = COMPARED_MAPS,
) -> dict[str, dict[str, tuple[float, float]]]:
    """For each map and student the target's score in percent and its mean p(label).

    The target is the teacher's intermediate logits summed with the map's weights. `final` is the
    teacher's last layer, and "query by label" the oracle.

    Args:
        logits: the teacher's, (N, T, C), its last layer last.
        labels: (N,).
        scores: of the intermediate heads on a development part, in percent, for the row
            "by scores"; None for no such row.
        maps: by name, as `ukd.intermediate_loss` takes them.

    Raises: ValueError for regression, which has no p(label), for logits that are not finite, and
        for probabilities instead of logits.
    """
    if task.spec.regression:
        raise ValueError(f"{task.name} is a regression task, and targets are scored by p(label)")
    if not torch.isfinite(logits).all():
        raise ValueError("the teacher's logits are not finite: take rows that it has seen")
    refuse_probabilities(logits.numpy())
    seen = logits[:, :-1]
    rows: dict[str, str | LayerMap] = dict(maps)
    if scores is not None:
        rows["by scores"] = partial(by_scores, scores=[score / 100 for score in scores])
    rows["query by label"] = partial(query_by_label, labels=labels)
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in rows}
    for student, size in MADE_UP_STUDENTS.items():
        query = size * F.one_hot(labels, logits.shape[-1]).to(logits).unsqueeze(1)  # (N, 1, C)
        for name, layer_map in rows.items():
            target = weighted_sum(layer_map_weights(query, seen, layer_map), seen)
            found[name][student] = _quality(target, labels, task)
    final = _quality(logits[:, -1:], labels, task)
    return found | {"final": dict.fromkeys(MADE_UP_STUDENTS, final)}


def _quality(target: Tensor, labels: Tensor, task: Task) -> tuple[float, float]:
    """Score in percent and mean p(label) of logits (N, 1, C)."""
    layer = per_layer_scores(target, labels, task)[0]
    return mean_metric(layer["scores"]), 1 - layer["label_error"]


def taught_table(found: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    """The result of `taught_by_maps` in Markdown, "score / p(label)" in each cell."""
    rows = [[name, *(f"{s:.0f} / {p:.2f}" for s, p in row.values())] for name, row in found.items()]
    return markdown_table(["layer map", *MADE_UP_STUDENTS], rows)


def taught_by(teacher: KeptTeacher, task: Task) -> dict[str, dict[str, tuple[float, float]]]:
    """`taught_by_maps` on the training rows, of a teacher's kept logits and the task's labels.

    The heads' scores are those on the development part that its students choose epochs on. Raises
    ValueError where that is the validation split, of which nothing may be chosen.
    """
    settings = teacher.about["settings"]
    if settings["selection_split"] != "dev":
        raise ValueError(f"the teacher in {teacher.folder} has no development part of train")
    train, dev = train_dev_split(task, seed=0, most=settings["max_train"])
    labels = torch.as_tensor(task.dataset["train"]["label"])
    heads = per_layer_scores(teacher.logits["train"][dev, :-1], labels[dev], task)
    scores = [mean_metric(head["scores"]) for head in heads]
    return taught_by_maps(teacher.logits["train"][train], labels[train], task, scores=scores)


def head_norms(logits: Tensor) -> list[float]:
    """The mean norm of every teacher head's centred logits (N, T, C), T numbers."""
    known = ~logits.isnan().flatten(1).any(1)
    return centre(logits[known]).norm(dim=-1).mean(0).tolist()


def what_maps_teach(name: str = "acceptability") -> str:
    """The table of a teacher whose logits come with the kit (`data/teachers`)."""
    task = load_task(name)
    return taught_table(taught_by(load_kept_teacher(data_folder() / "teachers" / name, task), task))
