"""Checks of the notebook on distillation: the KD loss, and the optimiser steps of stages."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ukd.teaching.checks._base import exercise, expect

# tau = 2 halves the logits: [0, 0, 0] against [1, 0, -1] and [1, 0, 0] against [0, 1, 0].
# The KL of the two rows is 0.26623 and 0.36417.
_STUDENT = ((0.0, 0.0, 0.0), (2.0, 0.0, 0.0))
_TEACHER = ((2.0, 0.0, -2.0), (0.0, 2.0, 0.0))
_KD_MISTAKES = [
    (0.31520, "the factor tau^2 is missing: without it the gradient shrinks as tau grows"),
    (0.63039, "you multiplied by tau and not by tau^2"),
    (4.03703, "the logits must be divided by tau before the softmax"),
    (1.00926, "the temperature is not used at all"),
    (2.87384, "only the student's logits were divided by tau: the teacher's must be too"),
    (1.34634, "teacher and student are exchanged: it is KL(teacher || student)"),
    (0.42026, "you averaged over the classes too: sum over the classes, mean over the batch"),
    (2.52157, "you summed over the batch: sum over the classes, mean over the batch"),
    (
        0.91201,
        "you softmaxed over the batch: each example's probabilities sum to one over the classes",
    ),
    (
        4.87623,
        "that is the cross-entropy with the teacher: the KL takes the teacher's own entropy away",
    ),
    (-4.86036, "F.kl_div wants the student's LOG-probabilities first"),
]
_STEP_MISTAKES = [
    (
        [6, 6],
        "each share was rounded by itself, and 2 + 2 epochs are not 3: round where the stage ENDS",
    ),
    (
        [3, 3],
        "each share was cut down by itself, and 1 + 1 epochs are not 3: round where the stage ENDS",
    ),
    ([9, 9], "every stage got the whole budget: a method must not win by training longer"),
    ([8, 4], "you counted the last, incomplete batch: an epoch has whole batches only"),
    (
        [12, 12],
        "you counted the last, incomplete batch, and gave every stage the whole budget",
    ),
    ([4.5, 4.5], "a stage lasts whole epochs: share the epochs, then count the steps"),
    ([4, 4], "a stage lasts whole epochs: share the epochs first, then count the steps"),
    ([4, 5], "a stage lasts whole epochs: share the epochs first, not the steps"),
    ([2, 1], "these are epochs: each has examples // batch_size steps"),
    ([6, 9], "one number a stage, not how many steps have been made at its end"),
]


@exercise
def distillation_loss(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """`answer(student, teacher, temperature)`: tau^2 KL(teacher || student), mean over the batch.

    student, teacher: logits (B, C).
    """
    student = torch.tensor(_STUDENT)
    teacher = torch.tensor(_TEACHER)
    expect(answer(student, teacher, 2.0), 1.26078, _KD_MISTAKES, what="the loss at tau = 2")
    equal = answer(teacher, teacher, 2.0)
    expect(equal, 0.0, what="the loss of a student that predicts what its teacher predicts")
    expect(answer(student, teacher, 1.0), 1.00926, what="the loss at tau = 1")
    moved = answer(student + 3.0, teacher, 2.0)
    expect(moved, 1.26078, what="the loss after adding 3 to all of the student's logits")
    return "the loss is 1.261, and nothing changes when a constant is added to all logits"


@exercise
def stage_steps(answer: Callable[[list[float], int, int, int], list[int]]) -> str:
    """`answer(fractions, epochs, examples, batch_size)`: the optimiser steps of each stage."""
    # 100 examples in batches of 32: 3 whole batches an epoch. 3 epochs halved: 2 and 1, since 1.5
    # rounds to 2.
    steps = answer([0.5, 0.5], 3, 100, 32)
    expect(steps, [6, 3], _STEP_MISTAKES, what="the steps of two stages")
    expect(answer([1.0], 6, 5400, 32), [1008], what="the steps of a single stage")
    expect(answer([0.5, 0.5], 6, 5400, 32), [504, 504], what="the steps of two equal stages")
    return "two stages share 1008 steps as 504 and 504, and a single one takes all of them"
