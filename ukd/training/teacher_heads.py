"""The teacher's pseudo classifiers: fitted on labels with the backbone frozen, all layers at once, and judged layer by layer.

N examples, L layers below the last, D hidden size, C classes (1 for regression).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from ukd.config.files import atomic_folder, write_json
from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, choose_runtime, say
from ukd.data.batches import tokenized_splits
from ukd.data.metrics import scores
from ukd.data.tasks import Task
from ukd.heads import Frozen, PseudoClassifiers, pooled_hidden_states
from ukd.models.encoders import load_tokenizer
from ukd.training.loop import predict
from ukd.training.teacher import Teacher

MOST_EXAMPLES = 50_000


def fit_heads(
    teacher: Teacher, task: Task, *, config: TrainingConfig, runtime: Runtime | None = None
) -> dict:
    """Fit the teacher's pseudo classifiers on labels, the backbone frozen; written into the teacher's folder once.

    One pass over the training part gives every layer's states; the heads of all layers are then fitted together (see
    `ukd.heads.fit_pseudo_classifiers`). The last layer keeps the teacher's own classifier. At most 50,000 examples are used.

    Returns: what is kept beside them: per layer, the last included, validation scores and the mean distance of the
    prediction from the label.
    """
    runtime = runtime or choose_runtime()
    if not (teacher.heads / "made.json").is_file():
        say(f"fitting the teacher's pseudo classifiers on {task.name}")
        train, dev, validation = tokenized_splits(task, load_tokenizer(teacher.folder), config)
        frozen = teacher.load(task)
        train = train.first(MOST_EXAMPLES)
        states = predict(HiddenStateExtractor(frozen.module.network), train, runtime)
        heads = fit_pseudo_classifiers(
            states, train.labels, task.num_labels, regression=task.spec.regression
        )
        frozen.module.heads = heads.requires_grad_(False)
        logits = predict(frozen, validation, runtime)
        with atomic_folder(teacher.heads) as building:
            save_file(heads.state_dict(), building / "heads.safetensors")
            write_json(
                building / "made.json",
                {
                    "layers": per_layer_scores(logits, validation.labels, task),
                    "examples": len(train),
                },
            )
    return json.loads((teacher.heads / "made.json").read_text(encoding="utf-8"))


class HiddenStateExtractor(Frozen):
    """A frozen network that answers with its layers' states (B, L, D) instead of logits, pooled as asked (see `pooled_hidden_states`)."""

    def __init__(self, network: PreTrainedModel, how: str | None = None) -> None:
        super().__init__(network)
        self.how = how

    @torch.no_grad()
    def forward(self, **inputs: Tensor) -> Tensor:
        """Tokenised inputs to the states of the layers below the last."""
        return pooled_hidden_states(
            self.module,
            self.module(**inputs, output_hidden_states=True).hidden_states,
            inputs,
            self.how,
        )


def per_layer_scores(logits: Tensor, labels: Tensor, task: Task) -> list[dict]:
    """For every layer of (N, L, C): scores and the mean distance between prediction and label.

    The distance is 1 - p(label) for classes and the absolute error for regression.
    """
    found = []
    for layer in logits.unbind(1):
        away = label_error(layer, labels, task.spec.regression)
        with ignore_warnings():
            found.append(
                {
                    "scores": scores(layer.numpy(), labels.numpy(), task.spec.metrics),
                    "distance": float(away.mean()),
                }
            )
    return found


@contextmanager
def ignore_warnings() -> Iterator[None]:
    """Without the warning that every example got one class: low layers often guess so, and their score shows it."""
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
    """Fit the pseudo classifiers of all layers on fixed states, by Newton's method: with linear heads the problem is convex.

    Args:
        states: (N, L, D), computed once from the frozen teacher.
        labels: (N,) class indices, or values for regression. Labels are needed: without them a constant on both sides
            would be a perfect match.
        l2: weight of the squared norm, per layer, beside the mean loss.

    Returns: fitted PseudoClassifiers for L layers. Heads trained on labels with the backbone frozen: secondary summary.
    """
    _, layers, hidden = states.shape
    heads = PseudoClassifiers(hidden, num_labels, layers)
    target = labels.float().unsqueeze(1) if regression else F.one_hot(labels, num_labels).float()
    with torch.no_grad():
        for layer in range(layers):
            x = F.layer_norm(states[:, layer].float(), (hidden,))
            found = _newton(F.pad(x, (0, 1), value=1.0), target, l2, regression)
            heads.weight[layer], heads.bias[layer] = found[:-1], found[-1]
    return heads


def _newton(
    x: Tensor, target: Tensor, l2: float, regression: bool, most: int = 50, tolerance: float = 1e-5
) -> Tensor:
    """Weights (E, C) that minimise the mean loss of x (N, E), its last column 1, against target (N, C) and l2 times their square."""
    (count, entries), classes = x.shape, target.shape[1]
    weights, kept = torch.zeros(entries, classes), torch.full((entries, 1), l2)
    kept[-1] = 0.0  # a bias may be as large as it likes

    def loss(weights: Tensor) -> Tensor:
        logits = x @ weights
        fit = (logits - target).square() if regression else -target * logits.log_softmax(-1)
        return fit.sum(1).mean() + (kept * weights.square()).sum()

    for _ in range(most):
        said = x @ weights if regression else (x @ weights).softmax(-1)
        slope = x.T @ (said - target) * ((2 if regression else 1) / count) + 2 * kept * weights
        if slope.abs().max() < tolerance:
            break
        step, size, here = _solve(x, said, slope, kept, regression), 1.0, loss(weights)
        while (
            loss(weights - size * step) > here - 1e-4 * size * (slope * step).sum() and size > 1e-6
        ):
            size /= 2
        weights = weights - size * step
    return weights


def _solve(x: Tensor, said: Tensor, slope: Tensor, kept: Tensor, regression: bool) -> Tensor:
    """Newton's step (E, C): the inverse of the second derivative (C E, C E), applied to the slope (E, C)."""
    entries, classes = slope.shape
    curved = torch.zeros(classes, entries, classes, entries)
    free = max(
        1, classes - 1
    )  # probabilities add up to 1: the last class's part follows from the others'
    for c in range(free):
        for k in range(c + 1):
            share = (
                torch.full_like(said[:, c], 2.0)
                if regression
                else said[:, c] * (float(c == k) - said[:, k])
            )
            curved[c, :, k] = curved[k, :, c] = x.T @ (x * share.unsqueeze(1)) / len(x)
    if classes > 1:
        curved[:free, :, free] = -curved[:free, :, :free].sum(2)
        curved[free] = -curved[:free].sum(0)
    ridge = (
        (2 * kept + 1e-7).expand(entries, classes).T.reshape(-1)
    )  # the small part: equal biases for all classes change nothing
    curved = curved.reshape(classes * entries, -1) + ridge.diag()
    return (
        torch.linalg.solve(curved.double(), slope.T.reshape(-1).double())
        .reshape(classes, entries)
        .T.float()
    )
