"""The losses: labels, knowledge distillation on the last layer, and the intermediate loss in the output space.

B batch, C classes (1 for regression), S student layers, T teacher layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ukd.projection import attend, check_logits, check_same, check_temperature, full_precision, mix

COMBINE = ("logits", "losses")


class IntermediateLoss(NamedTuple):
    """loss: scalar, the mean of per_layer; per_layer: (S,), batch means; weights: (B, S, T), detached, for looking at."""

    loss: Tensor
    per_layer: Tensor
    weights: Tensor


def label_loss(logits: Tensor, labels: Tensor, *, regression: bool = False) -> Tensor:
    """Cross-entropy (B, C) against labels (B,), or the mean squared error of (B, 1) against (B,) for regression."""
    logits = full_precision(logits)
    return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype)) if regression else F.cross_entropy(logits, labels)


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, *, tau: float, regression: bool = False) -> Tensor:
    """Knowledge distillation: tau^2 KL(teacher || student) at temperature tau, summed over classes, mean over the batch.

    Args:
        student_logits, teacher_logits: (B, C).
        tau: temperature, finite and positive. Not used for regression, where the loss is the squared error.

    Returns: a scalar in float32 (float64 for float64 input).

    Raises: ValueError for such a tau, for shapes that differ, for C = 1 without `regression`.

    Source: Hinton et al. 2015; tau^2 keeps the gradient's scale when tau changes. No gradient is stopped here: pass a
    detached teacher (a frozen one is).
    """
    check_temperature("tau", tau)
    if student_logits.dim() != 2 or teacher_logits.dim() != 2:
        raise ValueError(f"logits must be (batch, classes), got {tuple(student_logits.shape)}, {tuple(teacher_logits.shape)}")
    check_same(student_logits, teacher_logits, regression)
    return divergence(full_precision(student_logits), full_precision(teacher_logits), tau, regression).mean()


def divergence(student: Tensor, teacher: Tensor, tau: float, regression: bool) -> Tensor:
    """tau^2 KL(teacher || student), or the squared error, over the last dimension: (..., C) -> (...)."""
    if regression:
        return ((student - teacher) ** 2).sum(-1)
    log_q, log_p = F.log_softmax(student / tau, -1), F.log_softmax(teacher / tau, -1)
    # log_target keeps the gradient finite when a teacher probability underflows to zero
    return tau**2 * F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def intermediate_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    mapping: str = "attention",
    combine: str = "logits",
    tau: float = 1.0,
    kappa: float = 1.0,
    attention_grad: bool = False,
    regression: bool = False,
    seed: int = 0,
) -> IntermediateLoss:
    """Universal-KD's intermediate loss: every student layer learns from what it sees of the teacher's layers.

    combine="logits": z~[s] = sum_t alpha(s,t) z_T[t], then tau^2 KL(z~[s] || z_S[s]).
    combine="losses": sum_t alpha(s,t) tau^2 KL(z_T[t] || z_S[s]).

    Args:
        student: (B, S, C) logits of the student's pseudo classifiers. All layers passed are used: the caller leaves out
            the last layer, which learns by `kd_loss`.
        teacher: (B, T, C) logits of the teacher's.
        mapping: where alpha comes from, one of `MAPPINGS`; "attention" is the paper's.
        combine: "logits" or "losses".
        tau, kappa: temperatures of the loss and of the attention, finite and positive.
        attention_grad: whether the gradient flows through alpha. If it does, a student can lower the loss by moving its
            attention instead of its prediction, and a confident teacher layer can repel it; by default what is mixed is a target.
        regression: squared error in place of tau^2 KL, C = 1.
        seed: by which mapping="random" draws its teacher layers; the same for all examples of a call.

    Returns: IntermediateLoss with `.loss` (scalar, mean over layers), `.per_layer` (S,), `.weights` (B, S, T).

    Raises: ValueError for unknown names, bad temperatures and shapes that do not fit.

    Source: the output space and the attention are the abstract's; the two ways to combine come from a secondary summary of
    the paper's Table 6; `attention_grad` as an option, and its default, are our choice.
    """
    check_temperature("tau", tau)
    if combine not in COMBINE:
        raise ValueError(f"unknown combine {combine!r}; choose one of: {', '.join(COMBINE)}")
    z_s, z_t = check_logits(student, teacher, regression)
    weights = layer_weights(z_s, z_t, mapping, kappa=kappa, regression=regression, seed=seed)
    if not attention_grad:
        weights = weights.detach()
    if combine == "logits":
        per_example = divergence(z_s, mix(weights, z_t), tau, regression)  # (B, S)
    else:
        pairs = divergence(z_s.unsqueeze(2), z_t.unsqueeze(1), tau, regression)  # (B, S, 1, C), (B, 1, T, C) -> (B, S, T)
        per_example = (weights * pairs).sum(-1)
    per_layer = per_example.mean(0)
    return IntermediateLoss(per_layer.mean(), per_layer, weights.detach())


def layer_weights(
    student: Tensor, teacher: Tensor, mapping: str, *, kappa: float = 1.0, regression: bool = False, seed: int = 0
) -> Tensor:
    """The weights (B, S, T) of the named mapping; attention depends on the example, the others do not."""
    if mapping == "attention":
        return attend(student, teacher, kappa=kappa, regression=regression).weights
    check_temperature("kappa", kappa)
    (batch, s_layers, _), t_layers = student.shape, teacher.shape[1]
    return fixed_weights(mapping, s_layers, t_layers, seed=seed).to(teacher).expand(batch, s_layers, t_layers)


def fixed_weights(mapping: str, s_layers: int, t_layers: int, *, seed: int = 0) -> Tensor:
    """The weights (S, T) of a mapping that does not depend on the example. Raises ValueError for an unknown one."""
    if mapping == "random":  # a sorted random subset of the teacher's layers; the same layer may serve twice if there are too few
        dice = torch.Generator().manual_seed(seed)
        drawn = torch.cat([torch.randperm(t_layers, generator=dice) for _ in range(-(-s_layers // t_layers))])[:s_layers]
        return F.one_hot(drawn.sort().values, t_layers).float()
    if mapping not in FIXED_MAPS:
        raise ValueError(f"unknown mapping {mapping!r}; choose one of: {', '.join(MAPPINGS)}")
    return FIXED_MAPS[mapping](s_layers, t_layers).float()


def _one_teacher_layer(layers: list[int], t_layers: int) -> Tensor:
    """Weights (S, T) that give student layer s the teacher layer layers[s - 1], counted from 1."""
    index = torch.tensor(layers).clamp(1, t_layers) - 1
    return F.one_hot(index, t_layers)


def _skip(s_layers: int, t_layers: int) -> list[int]:
    # The last layers of both networks are not among those passed: S = s_layers + 1, T = t_layers + 1, and t = s T / S.
    return [round(s * (t_layers + 1) / (s_layers + 1)) for s in range(1, s_layers + 1)]


FIXED_MAPS: dict[str, Callable[[int, int], Tensor]] = {
    "uniform": lambda s, t: torch.full((s, t), 1 / t),
    "skip": lambda s, t: _one_teacher_layer(_skip(s, t), t),
    "last": lambda s, t: _one_teacher_layer(list(range(t - s + 1, t + 1)), t),
    "reverse": lambda s, t: _one_teacher_layer(_skip(s, t)[::-1], t),
    "all-to-one": lambda s, t: _one_teacher_layer([(t + 1) // 2] * s, t),
}
MAPPINGS = ("attention", *FIXED_MAPS, "random")
