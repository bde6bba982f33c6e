"""The teacher's pseudo classifiers: fitted on labels with the backbone frozen, scored by layer.

N examples, L layers below the last, D hidden size, E = D + 1 with the bias, C classes (1 for
regression).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from ukd.config.files import write_json
from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, choose_runtime, logger
from ukd.config.verified import build_verified
from ukd.data.batches import tokenized_splits
from ukd.data.metrics import scores
from ukd.data.tasks import Task
from ukd.heads import Frozen, PseudoClassifiers, pooled_hidden_states
from ukd.models.encoders import load_tokenizer
from ukd.training.head_solvers import fit_newton, fit_quasi_newton
from ukd.training.loop import predict
from ukd.training.teacher import HEADS_FILE, Teacher

MOST_EXAMPLES = 50_000
# Newton's second derivative takes (C E)^2 numbers: with 20 classes and width 768 that is 4.9 GB.
NEWTON_CLASSES = 7
DATA_SETTINGS = ("max_length", "max_train", "max_validation", "selection_split")


def fit_heads(
    teacher: Teacher, task: Task, *, config: TrainingConfig, runtime: Runtime | None = None
) -> dict:
    """Fit the teacher's pseudo classifiers on labels with the backbone frozen, once.

    One pass over the training rows gives every layer's states, at most 50,000 of them; see
    `fit_pseudo_classifiers`. The last layer keeps the teacher's own classifier. Rows and precision
    are those that the teacher was trained with, so that one teacher has one set of heads. Damaged
    heads are set aside with a warning and fitted anew.

    Returns: {"layers": [{"scores": {metric: percent}, "label_error"}], "examples": N}, on
    validation, with an entry for each layer, the last included.

    Raises: ValueError for another task than the teacher's.
    """
    teacher.check_task(task)
    if teacher.kept_logits("train") is not None:
        return teacher.about["heads"]
    runtime = runtime or choose_runtime()
    settings = teacher.about["settings"]
    config = replace(config, **{name: settings[name] for name in DATA_SETTINGS})
    runtime = replace(runtime, precision=settings["precision"])

    def make(building: Path) -> None:
        logger.info(f"fitting the teacher's pseudo classifiers on {task.name}")
        tokenizer = load_tokenizer(teacher.folder)
        train, _, validation = tokenized_splits(task, tokenizer, config)
        if len(train) > MOST_EXAMPLES:
            # Of rows as they are drawn: the first ones of a file may all be of one class.
            drawn = replace(config, selection_split="dev")
            train = tokenized_splits(task, tokenizer, drawn)[0].first(MOST_EXAMPLES)
        frozen = teacher.load(task)
        states = predict(HiddenStateExtractor(frozen.module.network), train, runtime)
        heads = fit_pseudo_classifiers(
            states, train.labels, task.num_labels, regression=task.spec.regression
        )
        frozen.module.heads = heads.requires_grad_(False)
        logits = predict(frozen, validation, runtime)
        save_file(heads.state_dict(), building / HEADS_FILE)
        layers = per_layer_scores(logits, validation.labels, task)
        write_json(building / "heads.json", {"layers": layers, "examples": len(train)})

    build_verified(teacher.heads, make, {"teacher": teacher.key}, "set of pseudo classifiers")
    return json.loads((teacher.heads / "heads.json").read_text(encoding="utf-8"))


class HiddenStateExtractor(Frozen):
    """A frozen network that gives its layers' states (B, L, D) instead of logits.

    pooling: of the tokens' states; see `pooled_hidden_states`.
    """

    def __init__(self, network: PreTrainedModel, pooling: str | None = None) -> None:
        super().__init__(network)
        self.pooling = pooling

    @torch.no_grad()
    def forward(self, **inputs: Tensor) -> Tensor:
        """Tokenised inputs to the states of the layers below the last."""
        hidden_states = self.module(**inputs, output_hidden_states=True).hidden_states
        return pooled_hidden_states(self.module, hidden_states, inputs, self.pooling)


def per_layer_scores(logits: Tensor, labels: Tensor, task: Task) -> list[dict]:
    """Scores and mean label error of every layer of logits (N, L, C); see `label_error`."""
    layers = []
    for layer in logits.unbind(1):
        error = label_error(layer, labels, task.spec.regression)
        with ignore_warnings():
            layer_scores = scores(layer.numpy(), labels.numpy(), task.spec.metrics)
        layers.append({"scores": layer_scores, "label_error": float(error.mean())})
    return layers


@contextmanager
def ignore_warnings() -> Iterator[None]:
    """Hide the warning that every example got one class, which low layers often deserve."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def label_error(logits: Tensor, labels: Tensor, regression: bool) -> Tensor:
    """(N, C) and (N,) to (N,): 1 - p(label) for classes, the absolute error for regression."""
    if regression:
        return (logits.squeeze(-1) - labels).abs()
    return 1 - logits.softmax(-1).gather(1, labels.unsqueeze(1)).squeeze(1)


def fit_pseudo_classifiers(
    states: Tensor, labels: Tensor, num_labels: int, *, regression: bool = False, l2: float = 1e-3
) -> PseudoClassifiers:
    """Fit the pseudo classifiers of all layers on fixed states.

    With linear heads the problem is convex: Newton's method solves it for few classes, a
    quasi-Newton method, whose memory is linear in the classes, from 8 on.

    Args:
        states: (N, L, D), computed once from the frozen teacher.
        labels: (N,) class indices, or values for regression. Without labels a constant on both
            sides would be a perfect match.
        l2: weight of the squared norm of each layer's map, beside the mean loss.

    Returns: fitted PseudoClassifiers for L layers.

    Raises: ValueError for labels of another shape or that are all the same, states or labels that
    are not finite, outputs that do not fit the kind of task, and a negative l2.

    Source: heads trained on labels with the backbone frozen: secondary summary.
    """
    _check_fit(states, labels, num_labels, regression, l2)
    layers, hidden_size = states.shape[1:]
    heads = PseudoClassifiers(hidden_size, num_labels, layers)
    if regression:
        target = labels.float().unsqueeze(1)
    else:
        target = F.one_hot(labels, num_labels).float()
    for layer in range(layers):
        x = F.layer_norm(states[:, layer].float(), (hidden_size,))
        x = F.pad(x, (0, 1), value=1.0)  # (N, E)
        if num_labels <= NEWTON_CLASSES:
            weights = fit_newton(x, target, l2, regression)
        else:
            weights = fit_quasi_newton(x, labels, num_labels, l2)
        with torch.no_grad():
            heads.weight[layer] = weights[:-1]
            heads.bias[layer] = weights[-1]
    return heads


def _check_fit(
    states: Tensor, labels: Tensor, num_labels: int, regression: bool, l2: float
) -> None:
    """Raise ValueError for what would be fitted to heads that mean nothing."""
    if states.dim() != 3 or labels.shape != states.shape[:1]:
        shapes = f"{tuple(states.shape)}, {tuple(labels.shape)}"
        raise ValueError(f"states must be (N, layers, hidden size) and labels (N,), got {shapes}")
    if regression != (num_labels == 1):
        raise ValueError(
            f"num_labels is {num_labels} and regression {regression}: values have one output "
            "(regression=True), classes at least two"
        )
    if not (states.isfinite().all() and labels.isfinite().all()):
        raise ValueError("states or labels hold values that are not finite: look at these rows")
    if len(labels.unique()) < 2:
        raise ValueError(
            f"all {len(labels)} labels are {labels[:1].tolist()}: there is nothing to tell apart; "
            "take more rows"
        )
    if not (math.isfinite(l2) and l2 >= 0):
        raise ValueError(f"l2 must be finite and at least 0, got {l2!r}")
