"""What the contenders share: a task, its teacher, students, batches, and steps to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn

from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime
from ukd.data.batches import Batch, TokenizedSplit, tokenized_splits, training_batches
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, PseudoClassifiers
from ukd.methods.method import Stage
from ukd.methods.objective import Objective, TeacherLookup
from ukd.methods.registry import METHODS
from ukd.models.bundled import resolve_encoder
from ukd.models.encoders import load_classifier, load_tokenizer, new_student
from ukd.training.loop import (
    AcceleratorWrapper,
    Schedule,
    accelerator_for,
    parameter_groups,
    train_one_epoch,
)
from ukd.training.teacher import Teacher
from ukd.training.teacher_cache import cache_teacher, cached_logits, online_logits

STEPS = 12  # in a turn
WEIGHT_DECAY = 0.01
LEARNING_RATE = 1e-5
UNIVERSAL_KD = METHODS["universal-kd"]
LABELS_ALONE = Stage("labels", 1.0, labels=1.0)


@dataclass
class Workbench:
    """What is measured on: a task, its teacher, a configuration, and an epoch's first batches."""

    task: Task
    teacher: Teacher
    config: TrainingConfig
    runtime: Runtime

    def __post_init__(self) -> None:
        self.source = resolve_encoder(self.teacher.encoder)[0]
        self.train: TokenizedSplit = self.tokenized(self.config)
        epoch = training_batches(self.train, self.config.batch_size, 1, 0)
        self.batches: list[Batch] = list(islice(epoch, STEPS))

    def tokenized(self, config: TrainingConfig) -> TokenizedSplit:
        """The training split."""
        return tokenized_splits(self.task, load_tokenizer(self.source), config)[0]

    def student(self, kind: str, *, heads: bool) -> ClassifierWithHeads:
        """A student with or without pseudo classifiers.

        kind: "layers" of the teacher's encoder, or an architecture such as "bilstm".
        """
        if kind == "layers":
            depth = self.config.student_depth
            network = load_classifier(self.source, self.task, seed=1, layers=depth)
        else:
            network = new_student(kind, self.source, self.task, seed=1)
        if not heads:
            return ClassifierWithHeads(network)
        layers = network.config.num_hidden_layers - 1
        width = network.config.hidden_size
        return ClassifierWithHeads(network, PseudoClassifiers(width, self.task.num_labels, layers))

    def fine_tuning(self, student: ClassifierWithHeads) -> Steps:
        """Steps on the labels alone."""
        return Steps(student, self.objective(None), self.batches, self.runtime)

    def distilling(self, kind: str, lookup: TeacherLookup, steps: int = STEPS) -> Steps:
        """Steps of Universal-KD's first stage."""
        student = self.student(kind, heads=True)
        return Steps(student, self.objective(lookup), self.batches[:steps], self.runtime)

    def objective(self, lookup: TeacherLookup | None) -> Objective:
        """The terms of Universal-KD's first stage, or of fine-tuning without a teacher."""
        stage = UNIVERSAL_KD.stages[0] if lookup else LABELS_ALONE
        return Objective(UNIVERSAL_KD, stage, lookup, self.task.spec.regression)

    def cached(self) -> TeacherLookup:
        """The teacher's logits, computed once."""
        table = cache_teacher(self.teacher, self.task, "train", self.train, runtime=self.runtime)
        return cached_logits(table.to(self.runtime.device))

    def online(self) -> TeacherLookup:
        """The teacher's logits, computed for each batch."""
        return online_logits(self.teacher, self.task, self.runtime)


class Steps:
    """A model that takes the steps of `ukd.training.loop.fit`, over the same batches each time."""

    def __init__(
        self, model: nn.Module, objective: Callable, batches: list[Batch], runtime: Runtime
    ) -> None:
        self.objective = objective
        self.batches = batches
        self.accelerator = accelerator_for(runtime)
        self.model, self.optimizer = self.accelerator.prepare(
            AcceleratorWrapper(model.to(runtime.device)), adamw(model)
        )

    def __call__(self) -> None:
        """One round over the batches."""
        schedule = Schedule(1, len(self.batches), LEARNING_RATE)
        train_one_epoch(
            self.accelerator,
            self.model,
            self.optimizer,
            self.batches,
            self.objective,
            schedule,
            0,
        )


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the kit's own loop, which every contender gets."""
    groups = parameter_groups(model, WEIGHT_DECAY)
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, fused=True)
