"""Layer maps beside the named ones, to compare with: each is a function, or takes what it needs.

B batch, C classes, S student layers, T teacher layers. A function of student and teacher logits can
be distilled with by its name ("ukd.methods.layer_maps.cosine"). The others need more than logits:
`partial(query_by_label, labels=labels)` serves in `ukd.intermediate_loss`, and the analysis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ukd.projection import centre


def cosine(student: Tensor, teacher: Tensor, *, temperature: float = 0.2) -> Tensor:
    """Attention by the cosine of centred logits: how sure a layer is does not count. (B, S, T).

    Raises ValueError for one output, as in regression: centred it is zero.
    """
    _check_classes(teacher)
    query = F.normalize(centre(student), dim=-1).unsqueeze(2)
    keys = F.normalize(centre(teacher), dim=-1).unsqueeze(1)
    return torch.softmax((query * keys).sum(-1) / temperature, -1)


def keys_of_one_norm(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Attention with every teacher layer's logits at the batch's mean norm: (B, S, T).

    The student's own certainty still counts. Raises ValueError for one output, as `cosine`.
    """
    _check_classes(teacher)
    keys = centre(teacher)
    norm = keys.norm(dim=-1).mean()
    keys = norm * F.normalize(keys, dim=-1)
    score = (centre(student).unsqueeze(2) * keys.unsqueeze(1)).sum(-1)
    return torch.softmax(score / temperature, -1)


def _check_classes(logits: Tensor) -> None:
    if logits.shape[-1] < 2:
        raise ValueError(
            "this layer map compares classes, and one output (regression) has none: take "
            "'attention', which compares distances there"
        )


def by_scores(
    student: Tensor, teacher: Tensor, *, scores: Sequence[float], temperature: float = 0.1
) -> Tensor:
    """The same weights for every example, softmax(score / temperature): (S, T).

    scores: of each teacher head on the development part, as a share of one.
    """
    if len(scores) != teacher.shape[1]:
        raise ValueError(
            f"{len(scores)} scores for {teacher.shape[1]} teacher layers: give one a layer seen"
        )
    if any(abs(score) > 1 for score in scores):
        raise ValueError(f"scores are shares of one, got {max(scores)}: divide percent by 100")
    weights = torch.softmax(torch.as_tensor(scores, dtype=teacher.dtype) / temperature, -1)
    return weights.expand(student.shape[1], -1)


def query_by_label(
    student: Tensor, teacher: Tensor, *, labels: Tensor, temperature: float = 0.2
) -> Tensor:
    """Attention by each layer's log-probability of the label, labels (B,): (B, S, T).

    An oracle that looks at the layers that are right; no method to distil with.
    """
    index = labels.view(-1, 1, 1).expand(-1, teacher.shape[1], 1)
    score = teacher.log_softmax(-1).gather(2, index).transpose(1, 2)  # (B, 1, T)
    return torch.softmax(score / temperature, -1).expand(-1, student.shape[1], -1)
