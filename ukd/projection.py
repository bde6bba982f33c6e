"""Attention-based layer projection, in the output space.

B batch, C classes (1 for regression), S student layers, T teacher layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Projection(NamedTuple):
    """What each student layer sees of the teacher.

    weights: (B, S, T), rows sum to one: alpha(s, t), how much student layer s takes from teacher layer t.
    logits: (B, S, C): the teacher's logits mixed by these weights.
    """

    weights: Tensor
    logits: Tensor


def attend(student_logits: Tensor, teacher_logits: Tensor, *, kappa: float = 1.0, regression: bool = False) -> Projection:
    """Let every student layer attend over the teacher's layers by what they predict.

    score(s, t) = <centred z_S[s], centred z_T[t]> / kappa, softmax over t; for regression, where a product of two scalars
    means nothing, score(s, t) = -(z_S[s] - z_T[t])^2 / kappa.

    Args:
        student_logits: (B, S, C), z_S in the paper's terms.
        teacher_logits: (B, T, C), z_T.
        kappa: temperature of the attention, finite and positive; large is uniform, small picks one layer.
        regression: one output (C = 1) on the scale of the label.

    Returns:
        Projection with `.weights` (B, S, T) and `.logits` (B, S, C), in float32 (float64 for float64 input).

    Raises:
        ValueError: kappa not finite and positive; shapes that do not fit; C = 1 without `regression`.

    Source: attention over teacher outputs is the paper's abstract; the dot product follows ALP-KD (Passban et al., AAAI
    2021); centring, kappa and the regression score are our choice (logits are defined up to a constant per layer).
    """
    check_temperature("kappa", kappa)
    z_s, z_t = check_logits(student_logits, teacher_logits, regression)
    if regression:
        score = -((z_s - z_t.transpose(1, 2)) ** 2)  # (B, S, 1) - (B, 1, T) -> (B, S, T)
    else:
        # (B, S, 1, C) * (B, 1, T, C) -> (B, S, T); products, not a matrix product, which autocast would run in half precision
        score = (centre(z_s).unsqueeze(2) * centre(z_t).unsqueeze(1)).sum(-1)
    weights = torch.softmax(score / kappa, dim=-1)
    return Projection(weights, mix(weights, z_t))


def mix(weights: Tensor, teacher_logits: Tensor) -> Tensor:
    """Teacher logits (B, T, C) mixed by weights (B, S, T): (B, S, C)."""
    return (weights.unsqueeze(-1) * teacher_logits.unsqueeze(1)).sum(2)  # (B, S, T, C) -> (B, S, C)


def centre(logits: Tensor) -> Tensor:
    """Logits minus their mean over the classes: the constant per layer, which no softmax sees, must not move the scores."""
    return logits - logits.mean(dim=-1, keepdim=True)


def full_precision(logits: Tensor) -> Tensor:
    """Half-precision logits as float32; float32 and float64 unchanged."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def check_temperature(name: str, value: float) -> None:
    """Raise ValueError unless the temperature is finite and positive."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and positive, got {value!r}")


def check_logits(student: Tensor, teacher: Tensor, regression: bool) -> tuple[Tensor, Tensor]:
    """Both logits (B, S, C) and (B, T, C) in full precision, or ValueError that says which size is off."""
    for name, logits in (("student", student), ("teacher", teacher)):
        if logits.dim() != 3:
            raise ValueError(f"{name} logits must be (batch, layers, classes), got shape {tuple(logits.shape)}")
        if logits.shape[1] == 0:
            raise ValueError(f"{name} logits have no layers: shape {tuple(logits.shape)}")
    check_same(student, teacher, regression)
    return full_precision(student), full_precision(teacher)


def check_same(student: Tensor, teacher: Tensor, regression: bool) -> None:
    """Raise ValueError unless batch and class counts agree and the class count fits the kind of task."""
    if student.shape[0] != teacher.shape[0]:
        raise ValueError(f"student and teacher differ in batch size: {student.shape[0]} and {teacher.shape[0]}")
    if student.shape[-1] != teacher.shape[-1]:
        raise ValueError(f"student and teacher differ in classes: {student.shape[-1]} and {teacher.shape[-1]}")
    if student.shape[-1] == 1 and not regression:
        raise ValueError("one class (C = 1) has no distribution to compare; pass regression=True for a regression task")
    if student.shape[-1] != 1 and regression:
        raise ValueError(f"a regression task has one output (C = 1), got C = {student.shape[-1]}")
