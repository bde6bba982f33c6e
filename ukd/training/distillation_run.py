"""One student in training: its stages, and what is measured of it at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import set_seed

from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, logger
from ukd.data.batches import (
    Batch,
    TokenizedSplit,
    extra_splits,
    steps_per_epoch,
    tokenized_splits,
    training_batches,
)
from ukd.data.metrics import mean_metric
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads
from ukd.methods.hidden_states import layer_map_seed
from ukd.methods.method import Method, Stage
from ukd.methods.objective import Objective, TeacherLookup, lowest_taught
from ukd.models.bundled import resolve_encoder
from ukd.models.encoders import load_tokenizer, parameters, save
from ukd.models.loading import read_config
from ukd.training.initial_student import initial_student, student_source
from ukd.training.layer_report import DIGITS, attention, attention_summary, early_exit_curve
from ukd.training.loop import Schedule, fit, predict
from ukd.training.scoring import logged_scores, score
from ukd.training.student_report import prediction_summary
from ukd.training.teacher import HEADS_FILE, Teacher
from ukd.training.teacher_cache import cache_teacher, cached_logits, online_logits

MOST_STATES = 1_000_000_000  # bytes of teacher states to cache; beyond, the teacher runs online
TRAIN, DEV, VALIDATION = range(3)  # what `tokenized_splits` returns


@dataclass
class DistillationRun:
    """One run of one method.

    Attributes:
        teacher: what the student learns from; for TAKD the assistant.
        learning_rate: peak of every stage.
        checkpoints: folder from which a run that was cut off continues; None for none.
        online_teacher: run the teacher in every step, not once beforehand.
        init_source: folder that a student of layers takes them from, by default the encoder's.
    """

    task: Task
    method: Method
    teacher: Teacher
    config: TrainingConfig
    seed: int
    learning_rate: float
    runtime: Runtime
    checkpoints: Path | None = None
    online_teacher: bool = False
    init_source: str | None = None

    @cached_property
    def source(self) -> str:
        """Where the teacher's encoder is."""
        return resolve_encoder(self.teacher.encoder)[0]

    @cached_property
    def student_source(self) -> str:
        """Where the student's tokenizer comes from, and a pretrained student's weights."""
        return student_source(self.config, self.source)

    @cached_property
    def splits(self) -> tuple[TokenizedSplit, TokenizedSplit, TokenizedSplit]:
        """Train, dev and validation in the student's tokens."""
        return tokenized_splits(self.task, load_tokenizer(self.student_source), self.config)

    @cached_property
    def teacher_splits(self) -> tuple[TokenizedSplit, TokenizedSplit, TokenizedSplit]:
        """The same rows in the teacher's tokens: both sides' logits meet by row number."""
        if self.student_source == self.source:
            return self.splits
        return tokenized_splits(self.task, load_tokenizer(self.source), self.config)

    @cached_property
    def student(self) -> ClassifierWithHeads:
        """The student: as initialised before `run`, trained after it."""
        return initial_student(
            self.task,
            self.method,
            self.teacher,
            self.config,
            seed=self.seed,
            init_source=self.init_source,
        )

    def run(self) -> dict:
        """Train stage by stage; the fields of the record that training decides."""
        start = time.perf_counter()
        size = parameters(self.student.network)
        lookups = {
            "teacher_logits": self.teacher_logits() if self.method.needs_teacher else None,
            "teacher_states": self.teacher_states() if self.method.hidden else None,
        }
        history = {}
        layer_maps = None
        for number, stage in enumerate(self.method.stages):
            objective = Objective(
                self.method,
                stage,
                regression=self.task.spec.regression,
                hidden_loss=self.student.hidden_loss,
                seed=self.seed,
                **lookups,
            )
            history[stage.name] = self.train_stage(number, objective)
            if stage.intermediate:
                layer_maps = self.attention_summary(objective.epochs)
        measured = self.measure()
        return measured | {
            "history": history,
            "attention": layer_maps,
            "student_parameters": size,
            "steps": sum(self.schedule(number).steps for number in range(len(self.method.stages))),
            "seconds": round(time.perf_counter() - start, 1),
        }

    def measure(self) -> dict:
        """Scores and predictions of the trained student on every split but train."""
        train, dev, validation = self.splits
        logits = predict(self.student, validation, self.runtime)
        labels = validation.labels
        all_scores = {
            "dev": score(self.student, dev, self.task, self.runtime),
            "validation": logged_scores(logits[:, -1], labels, self.task),
        }
        examples = {"train": len(train), "dev": len(dev), "validation": len(validation)}
        extra = extra_splits(self.task, load_tokenizer(self.student_source), self.config)
        for name, data in extra.items():
            all_scores[name] = score(self.student, data, self.task, self.runtime)
            examples[name] = len(data)
        exits = ()
        if self.method.needs_heads:
            lowest = lowest_taught(self.method, logits.shape[1])
            exits = tuple(early_exit_curve(logits, labels, self.task, lowest=lowest))
        summary = prediction_summary(logits[:, -1], labels, self.task)
        return summary | {"scores": all_scores, "examples": examples, "early_exit": exits}

    def teacher_logits(self) -> TeacherLookup:
        """The teacher's logits for a training batch, on the device."""
        if self.online_teacher:
            return self._online()
        data = self.teacher_splits[TRAIN]
        table = cache_teacher(self.teacher, self.task, "train", data, runtime=self.runtime)
        return cached_logits(table.to(self.runtime.device))

    def teacher_states(self) -> TeacherLookup:
        """The teacher's states for a training batch: cached where they fit, else online."""
        data = self.teacher_splits[TRAIN]
        pooling = self.method.hidden.pooling
        width = read_config(self.teacher.folder).hidden_size
        rows = int(data.rows.max()) + 1
        size = 4 * rows * (self.teacher.about["layers"] - 1) * width
        if size > MOST_STATES:
            logger.info(
                f"the teacher's states would take {size / 1e9:.1f} GB, more than "
                f"{MOST_STATES / 1e9:.0f}: it runs in every step"
            )
        if self.online_teacher or size > MOST_STATES:
            return self._online(pooling)
        table = cache_teacher(
            self.teacher, self.task, "train", data, runtime=self.runtime, states=pooling
        )
        return cached_logits(table, self.runtime.device)

    def _online(self, states: str | None = None) -> TeacherLookup:
        """The teacher itself, on the training rows in its own tokens."""
        data = self.teacher_splits[TRAIN] if self.student_source != self.source else None
        return online_logits(self.teacher, self.task, self.runtime, data, states=states)

    def schedule(self, number: int) -> Schedule:
        """A stage's part of the budget."""
        epochs = self.method.epochs(self.config.student_epochs)[number]
        steps = steps_per_epoch(len(self.splits[TRAIN]), self.config.batch_size)
        return Schedule(epochs, steps, self.learning_rate)

    def train_stage(self, number: int, objective: Objective) -> dict:
        """Train one stage. The order of the examples continues where the stage before stopped."""
        stage = objective.stage
        schedule = self.schedule(number)
        parts = (
            (self.student.heads, stage.intermediate > 0),
            (self.student.hidden_loss, stage.hidden > 0),
        )
        for part, learns in parts:
            # A stage without its loss has nothing to teach it.
            if part is not None:
                part.requires_grad_(learns)
        # For dropout, whatever was drawn on the way here.
        set_seed(1000 * self.seed + number)
        epochs_before = sum(self.method.epochs(self.config.student_epochs)[:number])
        objective.epochs = schedule.epochs

        def batches(epoch: int, rank: int, world: int) -> Iterator[Batch]:
            """One epoch's batches, in an order that no two epochs of all stages share."""
            objective.epoch = epoch
            train = self.splits[TRAIN]
            passed = epochs_before + epoch
            return training_batches(train, self.config.batch_size, self.seed, passed, rank, world)

        checkpoint = None
        if self.checkpoints is not None:
            checkpoint = self.checkpoints / f"{number}-{stage.name}.safetensors"
        return fit(
            self.student,
            batches,
            objective,
            schedule,
            self.runtime,
            score=lambda _: self.evaluate_epoch(stage, objective.epoch),
            checkpoint=checkpoint,
            label=f"{self.method.name} on {self.task.name}, seed {self.seed}, stage {stage.name}",
        )

    def evaluate_epoch(self, stage: Stage, epoch: int) -> tuple[float, dict]:
        """The mean metric on dev, and the mean attention there in stages that teach it."""
        dev = self.splits[DEV]
        logits = predict(self.student, dev, self.runtime)
        reached = mean_metric(logged_scores(logits[:, -1], dev.labels, self.task))
        if not stage.intermediate:
            return reached, {}
        teacher = self.teacher_table(DEV)
        seeds = (layer_map_seed(self.seed, epoch),)
        weights = attention(self.method, logits, teacher, self.task.spec.regression, seeds)
        mean = torch.round(weights.mean(0).double(), decimals=DIGITS)
        return reached, {"attention": mean.tolist()}

    def teacher_table(self, part: int) -> Tensor:
        """The teacher's logits (N, T, C) for the rows of dev or validation."""
        from_train = part == DEV and self.config.selection_split == "dev"
        split = "train" if from_train else "validation"
        data = self.teacher_splits[part]
        table = cache_teacher(self.teacher, self.task, split, data, runtime=self.runtime)
        return table[self.splits[part].rows]

    def attention_summary(self, epochs: int) -> dict:
        """The trained student's attention, as its forward and the loss return it.

        A random map is drawn anew every epoch: the mean over the stage's `epochs`.
        """
        validation = self.splits[VALIDATION]
        return attention_summary(
            self.method,
            predict(self.student, validation, self.runtime),
            self.teacher_table(VALIDATION),
            validation.labels,
            self.task,
            validation.rows,
            [layer_map_seed(self.seed, epoch) for epoch in range(epochs)],
        )

    def save(self, folder: Path) -> None:
        """Write the student: network, tokenizer, and what it learned beside them."""
        save(self.student.network, load_tokenizer(self.student_source), folder)
        if self.student.heads is not None:
            save_file(self.student.heads.state_dict(), folder / HEADS_FILE)
        hidden_loss = self.student.hidden_loss
        if hidden_loss is not None and hidden_loss.state_dict():
            save_file(hidden_loss.state_dict(), folder / "hidden_loss.safetensors")
