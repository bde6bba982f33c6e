"""The losses: labels, knowledge distillation on the last layer, and the intermediate loss.

B batch, C classes (1 for regression), S student layers, T teacher layers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ukd.projection import (
    LayerMap,
    check_logits,
    check_same,
    check_temperature,
    layer_map_weights,
    paper_symbols,
    upcast,
    weighted_sum,
)

ATTENTION_ON = ("logits", "losses")


class IntermediateLoss(NamedTuple):
    """What `intermediate_loss` returns.

    loss: scalar, the mean of per_layer. per_layer: (S,), means over the batch. weights: (B, S, T),
    detached, for looking at.
    """

    loss: Tensor
    per_layer: Tensor
    weights: Tensor


def label_loss(logits: Tensor, labels: Tensor, *, regression: bool = False) -> Tensor:
    """Cross-entropy of logits (B, C) and labels (B,); for regression the mean squared error.

    Returns a scalar in float32 (float64 for float64 input).

    Raises: ValueError for other shapes and for C = 1 without `regression`.
    """
    if logits.dim() != 2 or labels.shape != logits.shape[:1]:
        shapes = f"{tuple(logits.shape)}, {tuple(labels.shape)}"
        raise ValueError(f"logits must be (batch, classes) and labels (batch,), got {shapes}")
    check_same(logits, logits, regression)
    logits = upcast(logits)
    if regression:
        return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
    return F.cross_entropy(logits, labels)


@paper_symbols(tau="temperature")
def kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float, regression: bool = False
) -> Tensor:
    """Knowledge distillation: tau^2 KL(teacher || student), a sum over classes, a batch mean.

    Args:
        student_logits, teacher_logits: (B, C).
        temperature: tau, finite and positive. Regression does not use it.
        regression: squared error in place of tau^2 KL, C = 1.

    Returns: a scalar in float32 (float64 for float64 input).

    Raises: ValueError for such a temperature, for shapes that differ, for C = 1 without
    `regression`.

    Source: Hinton et al. 2015. The factor tau^2 keeps the gradient's scale when tau changes. No
    gradient is stopped here: pass a detached teacher.
    """
    check_temperature("temperature", temperature)
    if student_logits.dim() != 2 or teacher_logits.dim() != 2:
        shapes = f"{tuple(student_logits.shape)}, {tuple(teacher_logits.shape)}"
        raise ValueError(f"logits must be (batch, classes), got {shapes}")
    check_same(student_logits, teacher_logits, regression)
    student, teacher = upcast(student_logits), upcast(teacher_logits)
    return soft_target_loss(student, teacher, temperature, regression).mean()


def soft_target_loss(
    student: Tensor, teacher: Tensor, temperature: float, regression: bool
) -> Tensor:
    """tau^2 KL(teacher || student), or the squared error: (..., C) -> (...)."""
    if regression:
        return ((student - teacher) ** 2).sum(-1)
    log_q = F.log_softmax(student / temperature, -1)
    log_p = F.log_softmax(teacher / temperature, -1)
    # log_target keeps the gradient finite where a teacher probability underflows to zero.
    return temperature**2 * F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


@paper_symbols(
    tau="temperature",
    kappa="attention_temperature",
    mapping="layer_map",
    combine="attention_on",
)
def intermediate_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    layer_map: str | LayerMap = "attention",
    attention_on: str = "logits",
    temperature: float = 1.0,
    attention_temperature: float = 1.0,
    detach_attention: bool = True,
    regression: bool = False,
    seed: int = 0,
) -> IntermediateLoss:
    """Universal-KD's intermediate loss: each student layer learns from the layers it sees.

    attention_on="logits": z~[s] = sum_t alpha(s,t) z_T[t], then tau^2 KL(z~[s] || z_S[s]).
    attention_on="losses": sum_t alpha(s,t) tau^2 KL(z_T[t] || z_S[s]).

    Args:
        student: (B, S, C) logits of the student's pseudo classifiers. All layers passed are used.
            The caller leaves out the last layer, which learns by `kd_loss`.
        teacher: (B, T, C) logits of the teacher's, detached: no gradient is stopped at them.
        layer_map: where alpha comes from: one of `LAYER_MAPS`, or a function of student and
            teacher to weights (B, S, T). "attention" is the paper's.
        attention_on: "logits" or "losses".
        temperature: tau of the loss, finite and positive.
        attention_temperature: kappa of the attention, finite and positive.
        detach_attention: stop the gradient at alpha. With a gradient a student can lower the loss
            by moving its attention instead of its prediction, and a confident teacher layer can
            repel it.
        regression: squared error in place of tau^2 KL, C = 1.
        seed: of layer_map="random".

    Returns: IntermediateLoss with `.loss` (scalar), `.per_layer` (S,), `.weights` (B, S, T).

    Raises: ValueError for unknown names, bad temperatures, shapes that do not fit, and a function
    whose weights are no weights.

    Source: the output space and the attention are the abstract's. Attention on logits or losses
    comes from a secondary summary of the paper's Table 6. `detach_attention`, and that it is the
    default, are our choice.
    """
    check_temperature("temperature", temperature)
    if attention_on not in ATTENTION_ON:
        known = ", ".join(ATTENTION_ON)
        raise ValueError(f"unknown attention_on {attention_on!r}; choose one of: {known}")
    z_s, z_t = check_logits(student, teacher, regression)
    weights = layer_map_weights(
        z_s,
        z_t,
        layer_map,
        attention_temperature=attention_temperature,
        regression=regression,
        seed=seed,
    )
    if detach_attention:
        weights = weights.detach()
    if attention_on == "logits":
        seen = weighted_sum(weights, z_t)
        per_example = soft_target_loss(z_s, seen, temperature, regression)  # (B, S)
    else:
        # (B, S, 1, C), (B, 1, T, C) -> (B, S, T)
        pairs = soft_target_loss(z_s.unsqueeze(2), z_t.unsqueeze(1), temperature, regression)
        per_example = (weights * pairs).sum(-1)
    per_layer = per_example.mean(0)
    return IntermediateLoss(per_layer.mean(), per_layer, weights.detach())
