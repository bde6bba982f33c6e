"""Distillation: one student, one method, one seed; returns the run's record."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import rmtree

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, PreTrainedModel, set_seed

from ukd.analysis.runs import FORMAT
from ukd.config.files import atomic_folder, build_once, folder_lock, write_json
from ukd.config.keys import code_hash, config_hash
from ukd.config.paths import cache_folder, runs_folder
from ukd.config.presets import TrainingConfig
from ukd.config.provenance import provenance
from ukd.config.runtime import Runtime, choose_runtime, say
from ukd.data.batches import (
    Batch,
    TokenizedSplit,
    extra_splits,
    steps_per_epoch,
    tokenized_splits,
    training_batches,
)
from ukd.data.metrics import mean_metric, scores
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, PseudoClassifiers
from ukd.methods.hidden_states import HiddenStateLoss, layer_map_seed
from ukd.methods.method import Method, Stage
from ukd.methods.objective import Objective
from ukd.methods.registry import METHODS
from ukd.models.bundled import default_learning_rates, resolve_encoder
from ukd.models.encoders import load_classifier, load_tokenizer, new_student, parameters, save
from ukd.models.students import STUDENTS
from ukd.training.layer_report import attention, early_exit_curve, look
from ukd.training.loop import Schedule, fit, predict
from ukd.training.student_report import describe_student, said
from ukd.training.teacher import Teacher, score
from ukd.training.teacher_cache import TeacherLogits, cache_teacher, kept, live
from ukd.training.teacher_heads import fit_heads

MOST_STATES = 1_000_000_000  # bytes of teacher states to keep; beyond, the teacher is asked live


def distill(
    task: Task,
    method: Method,
    teacher: Teacher,
    *,
    config: TrainingConfig,
    seed: int,
    learning_rate: float | None = None,
    runtime: Runtime | None = None,
    folder: Path | None = None,
    live_teacher: bool = False,
) -> dict:
    """Distil the teacher into the student that the profile names, and return the run's record.

    That is `config.student_depth` layers of the teacher's encoder, a BiLSTM or gated CNN, or another pretrained encoder with a
    tokenizer of its own (`config.student`).

    Args:
        method: from `ukd.get_method(name, ...)`. Every method gets the same steps and, per seed, the same initial student.
        teacher: from `train_teacher`; its pseudo classifiers are fitted here if they are not there yet.
        rate: peak learning rate of every stage; by default 5e-4 for layers of encoders that the kit has pretrained (a third
            of the depth bears a higher rate than the teacher's), 5e-5 for those of any other, 1e-3 for BiLSTM and CNN.
        folder: where runs are kept, by default `runs_folder()`. A finished run with equal settings, data and code is
            found there and not repeated; one that was cut off goes on from its last whole epoch.
        live_teacher: ask the teacher in every step instead of once beforehand; for comparison, it costs and gains nothing.

    Returns: the record, as written to `record.json`; `record["folder"]` (only in memory) says where.
    """
    runtime = runtime or choose_runtime()
    method.epochs(config.student_epochs)  # refuses a budget that leaves a stage without epochs
    source, name = resolve_encoder(teacher.encoder)
    if name != teacher.about["encoder"]:
        raise ValueError(
            f"the teacher was made from {teacher.about['encoder']} and not from {name}: use the profile it was made with"
        )
    settings = {
        "method": asdict(method),
        **describe_student(config, name, runtime),
        "teacher": teacher.key,
        "rate": learning_rate
        or config.learning_rate
        or default_learning_rates(teacher.encoder, config.student)[1],
        "batch": config.batch_size,
        "epochs": config.student_epochs,
        "max_length": config.max_length,
        "max_train": config.max_train,
        "max_validation": config.max_validation,
        "precision": runtime.precision,
        "teacher_outputs": "live" if live_teacher else "kept",
        "select": config.selection_split,
        "compiled": runtime.compiled,
    }
    key = config_hash(
        settings,
        task.name,
        task.fingerprint,
        seed,
        torch.__version__,
        code_hash("ukd.training.distill"),
    )
    run = (folder or runs_folder()) / f"{task.name}-{method.name}-seed{seed}-{key}"
    with folder_lock(run):
        if not (run / "record.json").is_file():
            heads = fit_heads(teacher, task, config=config, runtime=runtime)
            taught_by = (
                assistant(task, teacher, config=config, seed=seed, runtime=runtime)
                if method.assistant
                else teacher
            )
            start = (
                fine_tuned_encoder(teacher, task)
                if settings["student_start"] == "teacher"
                else None
            )
            job = DistillationRun(
                task, method, taught_by, config, seed, source, settings, runtime, run, start
            )
            record = {
                "format": FORMAT,
                "hash": key,
                "task": task.name,
                "method": method.name,
                "seed": seed,
                "profile": config.name,
                "settings": settings,
                "data": task.fingerprint,
                "teacher": about_teacher(teacher, heads),
                **job.run(),
                **provenance(runtime),
            }
            if method.assistant:
                record["assistant"] = {
                    name: taught_by.about[name] for name in ("layers", "parameters", "scores")
                }
            job.finish(record)
    return {**json.loads((run / "record.json").read_text(encoding="utf-8")), "folder": str(run)}


def fine_tuned_encoder(teacher: Teacher, task: Task) -> str:
    """Folder of a teacher's encoder without its classifier, which belongs to its last layer: a student draws its own. Made once."""

    def make(building: Path) -> None:
        save(
            load_classifier(teacher.folder, task, seed=0).base_model,
            load_tokenizer(teacher.folder),
            building,
        )

    return str(
        build_once(
            cache_folder() / "starts" / teacher.folder.name,
            make,
            {"kind": "start", "teacher": teacher.key},
        )
    )


def assistant(
    task: Task, teacher: Teacher, *, config: TrainingConfig, seed: int, runtime: Runtime
) -> Teacher:
    """A network of the depth midway between teacher and student, which has learned from the teacher by vanilla KD, as a teacher.

    It is trained for the teacher's epochs at the teacher's rate, beyond the student's own budget, as in TAKD. Made once.
    """
    below = config.student_depth if config.student == "layers" else 0
    budget = replace(
        config,
        student="layers",
        layer_selection="first",
        student_init="pretrained",
        embeddings=None,
        student_depth=max(2, (teacher.about["layers"] + below) // 2),
        student_epochs=config.teacher_epochs,
    )
    learning_rate, folder = teacher.about["rate"], cache_folder() / "assistants"
    record = distill(
        task,
        METHODS["kd"],
        teacher,
        config=budget,
        seed=seed,
        learning_rate=learning_rate,
        runtime=runtime,
        folder=folder,
    )
    about = {
        "scores": record["scores"],
        "layers": budget.student_depth,
        "parameters": record["student_parameters"],
    }
    return Teacher(
        Path(record["folder"]) / "student",
        record["hash"],
        teacher.encoder,
        {**teacher.about, **about},
    )


def about_teacher(teacher: Teacher, heads: dict) -> dict:
    """What a record keeps of its teacher: scores, and what each layer's classifier reaches."""
    kept = {
        key: teacher.about[key]
        for key in ("scores", "encoder", "rate", "seed", "layers", "parameters")
    }
    return {**kept, "key": teacher.key, "by_layer": heads["layers"]}


@dataclass
class DistillationRun:
    """One run in progress."""

    task: Task
    method: Method
    teacher: Teacher
    config: TrainingConfig
    seed: int
    source: str
    settings: dict
    runtime: Runtime
    folder: Path
    start: str | None = (
        None  # where a student of the encoder's layers takes them from; the source by default
    )

    def run(self) -> dict:
        """Train stage by stage; scores, history, attention, sizes and seconds for the record."""
        start = time.perf_counter()
        train, dev, validation = tokenized_splits(
            self.task, load_tokenizer(self.student_source), self.config
        )
        self.student = self.make_student()
        size = parameters(self.student.network)
        outputs = self.outputs(train) if self.method.needs_teacher else None
        states = self.states(train) if self.method.hidden else None
        history, maps = {}, None
        for number, stage in enumerate(self.method.stages):
            goal = Objective(
                self.method,
                stage,
                outputs,
                self.task.spec.regression,
                states,
                self.student.hidden_loss,
                seed=self.seed,
            )
            history[stage.name] = self.train_stage(number, goal, train, dev)
            if stage.intermediate:
                maps = self.look(validation, goal.epochs)
        found = {"dev": score(self.student, dev, self.task, self.runtime)}
        every = predict(self.student, validation, self.runtime)
        answers = every[:, -1]
        found["validation"] = scores(
            answers.numpy(), validation.labels.numpy(), self.task.spec.metrics
        )
        others = extra_splits(self.task, load_tokenizer(self.student_source), self.config)
        found |= {
            split: score(self.student, data, self.task, self.runtime)
            for split, data in others.items()
        }
        return {
            "scores": found,
            **said(answers, validation.labels, self.task),
            "history": history,
            "attention": maps,
            "student_parameters": size,
            "exits": early_exit_curve(every, validation.labels, self.task)
            if self.method.needs_heads
            else [],
            "examples": {
                "train": len(train),
                "dev": len(dev),
                "validation": len(validation),
                **{k: len(v) for k, v in others.items()},
            },
            "steps": sum(
                self.schedule(number, len(train)).steps for number in range(len(self.method.stages))
            ),
            "seconds": round(time.perf_counter() - start, 1),
        }

    def make_student(self) -> ClassifierWithHeads:
        """The initial student: its network depends on the seed and not on the method; heads are drawn after it."""
        if self.config.student == "layers":
            kept = {"layers": self.config.student_depth, "pick": self.config.layer_selection}
            network = load_classifier(self.start or self.source, self.task, seed=self.seed, **kept)
        elif self.config.student in STUDENTS:
            network = new_student(
                self.config.student,
                self.source,
                self.task,
                seed=self.seed,
                embeddings=self.config.embeddings,
            )
        else:
            network = load_classifier(self.student_source, self.task, seed=self.seed)
        below, width = network.config.num_hidden_layers - 1, network.config.hidden_size
        if (self.method.needs_heads or self.method.hidden) and below < 1:
            raise ValueError(
                f"{self.method.name} needs a student of at least 2 layers, got {below + 1}"
            )
        model = ClassifierWithHeads(
            network,
            PseudoClassifiers(width, self.task.num_labels, below)
            if self.method.needs_heads
            else None,
        )
        if self.method.hidden:
            self.check_states(network)
            theirs = AutoConfig.from_pretrained(self.teacher.folder)
            model.hidden_loss = HiddenStateLoss(
                self.method.hidden, below, theirs.num_hidden_layers - 1, width, theirs.hidden_size
            )
        return model

    def check_states(self, network: PreTrainedModel) -> None:
        """Raise ValueError where the student has no states of the kind that the method compares."""
        if (
            self.method.hidden.pooling == "first"
            and getattr(network.config, "pooling", "first") != "first"
        ):
            can = [m.name for m in METHODS.values() if not m.hidden or m.hidden.pooling == "mean"]
            raise ValueError(
                f"{self.method.name} compares the first token's states, and those of a {self.config.student} say nothing of the sentence; "
                f"these apply: {', '.join(can)}"
            )

    @property
    def student_source(self) -> str:
        """Where the student's tokenizer comes from, and for a pretrained one its weights."""
        if self.config.student in ("layers", *STUDENTS):
            return self.source
        return resolve_encoder(self.config.student)[0]

    def as_the_teacher_reads(self, data: TokenizedSplit, part: int) -> TokenizedSplit:
        """The same rows, train (0) or validation (2), in the teacher's tokens: both sides' answers meet by the number of the row."""
        return (
            data
            if self.student_source == self.source
            else tokenized_splits(self.task, load_tokenizer(self.source), self.config)[part]
        )

    def outputs(self, train: TokenizedSplit) -> TeacherLogits:
        """The teacher's outputs for a training batch, on the device: kept ones, or live if that was asked for."""
        data = self.as_the_teacher_reads(train, 0)
        if self.settings["teacher_outputs"] == "live":
            return live(self.teacher, self.task, self.runtime, None if data is train else data)
        return kept(
            cache_teacher(self.teacher, self.task, "train", data, runtime=self.runtime).to(
                self.runtime.device
            )
        )

    def states(self, train: TokenizedSplit) -> TeacherLogits:
        """The teacher's layer states for a training batch: kept ones where they fit, else live."""
        data, how = self.as_the_teacher_reads(train, 0), self.method.hidden.pooling
        width = AutoConfig.from_pretrained(self.teacher.folder).hidden_size
        size = 4 * (int(data.rows.max()) + 1) * (self.teacher.about["layers"] - 1) * width
        if self.settings["teacher_outputs"] == "live" or size > MOST_STATES:
            if size > MOST_STATES:
                say(
                    f"the teacher's states would take {size / 1e9:.1f} GB, more than {MOST_STATES / 1e9:.0f}: it is asked in every step"
                )
            return live(
                self.teacher, self.task, self.runtime, None if data is train else data, states=how
            )
        return kept(
            cache_teacher(self.teacher, self.task, "train", data, runtime=self.runtime, states=how),
            self.runtime.device,
        )

    def schedule(self, number: int, examples: int) -> Schedule:
        """A stage's share of the budget."""
        epochs = self.method.epochs(self.config.student_epochs)[number]
        return Schedule(
            epochs, steps_per_epoch(examples, self.config.batch_size), self.settings["rate"]
        )

    def train_stage(
        self, number: int, goal: Objective, train: TokenizedSplit, dev: TokenizedSplit
    ) -> dict:
        """One stage through the common loop. The order of the examples goes on where the stage before stopped."""
        stage, schedule = goal.stage, self.schedule(number, len(train))
        label = f"{self.method.name} on {self.task.name}, seed {self.seed}, stage {stage.name}"
        for part, taught in (
            (self.student.heads, stage.intermediate > 0),
            (self.student.hidden_loss, stage.hidden > 0),
        ):
            if part is not None:  # a stage without its loss has nothing to teach it
                part.requires_grad_(taught)
        set_seed(1000 * self.seed + number)  # dropout's dice, whatever was drawn on the way here
        before, goal.epochs = (
            sum(self.method.epochs(self.config.student_epochs)[:number]),
            schedule.epochs,
        )

        def batches(epoch: int, rank: int, world: int) -> Iterator[Batch]:
            goal.epoch = epoch
            return training_batches(
                train, self.config.batch_size, self.seed, before + epoch, rank, world
            )

        return fit(
            self.student,
            batches,
            goal,
            schedule,
            self.runtime,
            score=lambda _: self.evaluate_epoch(stage, dev, goal.epoch),
            checkpoint=self.folder.with_name(f".{self.folder.name}")
            / f"{number}-{stage.name}.safetensors",
            label=label,
        )

    def evaluate_epoch(self, stage: Stage, dev: TokenizedSplit, epoch: int) -> tuple[float, dict]:
        """Headline score on the development part, and where the student's layers look there while they learn to look."""
        logits = predict(self.student, dev, self.runtime)
        reached = mean_metric(
            scores(logits[:, -1].numpy(), dev.labels.numpy(), self.task.spec.metrics)
        )
        if not stage.intermediate:
            return reached, {}
        weights = attention(
            self.method,
            logits,
            self.asked(dev, 1),
            self.task.spec.regression,
            (layer_map_seed(self.seed, epoch),),
        )
        return reached, {"attention": torch.round(weights.mean(0).double(), decimals=6).tolist()}

    def asked(self, data: TokenizedSplit, part: int) -> torch.Tensor:
        """What every teacher layer says of part 1 (development) or 2 (validation): (N, T, C)."""
        split = "train" if part == 1 and self.config.selection_split == "dev" else "validation"
        read = self.as_the_teacher_reads(data, part)
        return cache_teacher(self.teacher, self.task, split, read, runtime=self.runtime)[data.rows]

    def look(self, validation: TokenizedSplit, epochs: int) -> dict:
        """Where the trained student's layers look, as its forward and the loss return it (see `ukd.observe.look`).

        A random map is redrawn every epoch: the mean over the stage's `epochs`.
        """
        logits, seeds = (
            predict(self.student, validation, self.runtime),
            [layer_map_seed(self.seed, epoch) for epoch in range(epochs)],
        )
        return look(
            self.method,
            logits,
            self.asked(validation, 2),
            validation.labels,
            self.task,
            validation.rows,
            seeds,
        )

    def finish(self, record: dict) -> None:
        """Write the student and the record, whole; then the checkpoints have done their work."""
        with atomic_folder(self.folder) as building:
            save(self.student.network, load_tokenizer(self.student_source), building / "student")
            if self.student.heads is not None:
                save_file(
                    self.student.heads.state_dict(), building / "student" / "heads.safetensors"
                )
            if self.student.hidden_loss is not None and (
                learned := self.student.hidden_loss.state_dict()
            ):
                save_file(learned, building / "student" / "match.safetensors")
            write_json(building / "record.json", record)
        rmtree(self.folder.with_name(f".{self.folder.name}"), ignore_errors=True)
        say(
            f"{record['task']} {record['method']} seed {record['seed']}: {mean_metric(record['scores']['validation']):.1f}"
        )
