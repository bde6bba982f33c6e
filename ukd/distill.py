"""Distillation: one student, one method, one seed; returns the run's record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import set_seed

from ukd.config import Compute, digest, runs_folder, say, source_digest
from ukd.config import compute as choose_compute
from ukd.data import Batch, Encoded, Task, steps_per_epoch, training_batches
from ukd.heads import LayerwiseClassifier, PseudoClassifiers
from ukd.losses import intermediate_loss, kd_loss, label_loss
from ukd.methods import Method, Stage
from ukd.metrics import headline
from ukd.models import load_classifier, load_tokenizer, new_student, parameters, save
from ukd.outputs import Outputs, kept, live, teacher_outputs
from ukd.probing import by_layer, train_heads
from ukd.profiles import Profile
from ukd.records import FORMAT, provenance, whole_folder, write_json
from ukd.students import STUDENTS
from ukd.teacher import Teacher, also, rates, resolve_encoder, score, splits
from ukd.train import Schedule, fit, predict

CODE = ("data", "distill", "heads", "losses", "methods", "metrics", "models", "outputs", "probing", "projection", "students", "train")


def distill(
    task: Task, method: Method, teacher: Teacher, *, profile: Profile, seed: int,
    rate: float | None = None, compute: Compute | None = None, folder: Path | None = None, live_teacher: bool = False,
) -> dict:  # fmt: skip
    """Distil the teacher into the student that the profile names, and return the run's record.

    That is `profile.student_layers` layers of the teacher's encoder, a BiLSTM or gated CNN, or another pretrained encoder with a
    tokenizer of its own (`profile.student`).

    Args:
        method: from `ukd.method(name, ...)`. Every method gets the same steps and, per seed, the same initial student.
        teacher: from `train_teacher`; its pseudo classifiers are fitted here if they are not there yet.
        rate: peak learning rate of every stage; by default 5e-4 for layers of encoders that the kit has pretrained (a third
            of the depth bears a higher rate than the teacher's), 5e-5 for those of any other, 1e-3 for BiLSTM and CNN.
        folder: where runs are kept, by default `runs_folder()`. A finished run with equal settings, data and code is
            found there and not repeated; one that was cut off goes on from its last whole epoch.
        live_teacher: ask the teacher in every step instead of once beforehand; for comparison, it costs and gains nothing.

    Returns: the record, as written to `record.json`; `record["folder"]` (only in memory) says where.
    """  # fmt: skip
    compute = compute or choose_compute()
    method.epochs(profile.student_epochs)  # refuses a budget that leaves a stage without epochs
    source, name = resolve_encoder(teacher.encoder, profile, compute)
    if name != teacher.about["encoder"]:
        raise ValueError(f"the teacher was made from {teacher.about['encoder']} and not from {name}: use the profile it was made with")
    settings = {
        "method": asdict(method), **_student(profile, name, compute), "teacher": teacher.key,
        "rate": rate or profile.rate or rates(teacher.encoder, profile.student)[1], "batch": profile.batch,
        "epochs": profile.student_epochs, "max_length": profile.max_length, "max_train": profile.max_train,
        "max_validation": profile.max_validation, "precision": compute.precision, "teacher_outputs": "live" if live_teacher else "kept",
        "select": profile.select, "compiled": compute.compiled,
    }  # fmt: skip
    key = digest(settings, task.name, task.fingerprint, seed, torch.__version__, source_digest(*CODE))
    run = (folder or runs_folder()) / f"{task.name}-{method.name}-seed{seed}-{key}"
    if not (run / "record.json").is_file():
        heads = train_heads(teacher, task, profile=profile, compute=compute)
        job = Job(task, method, teacher, profile, seed, source, settings, compute, run)
        record = {
            "format": FORMAT, "hash": key, "task": task.name, "method": method.name, "seed": seed, "profile": profile.name,
            "settings": settings, "data": task.fingerprint, "teacher": about_teacher(teacher, heads), **job.run(),
            **provenance(compute),
        }  # fmt: skip
        job.finish(record)
    return {**json.loads((run / "record.json").read_text(encoding="utf-8")), "folder": str(run)}


def _student(profile: Profile, encoder: str, compute: Compute) -> dict:
    """The student as a record names it: by content, never by path."""
    layers = profile.student == "layers"
    name = encoder if layers else profile.student if profile.student in STUDENTS else resolve_encoder(profile.student, profile, compute)[1]
    if profile.embeddings and profile.student not in STUDENTS:
        raise ValueError(f"embeddings are given to one of {', '.join(STUDENTS)}; {profile.student!r} brings its own")
    file = profile.embeddings and Path(profile.embeddings)
    return {
        "student": name, "student_layers": profile.student_layers if layers else None,
        "student_pick": profile.student_pick if layers else None,
        "embeddings": digest(file.read_text(encoding="utf-8")) if file and file.is_file() else profile.embeddings,
    }  # fmt: skip


def about_teacher(teacher: Teacher, heads: dict) -> dict:
    """What a record keeps of its teacher: scores, and what each layer's classifier reaches."""
    kept = {key: teacher.about[key] for key in ("scores", "encoder", "rate", "seed", "layers", "parameters")}
    return {**kept, "key": teacher.key, "by_layer": heads["layers"]}


@dataclass
class Job:
    """One run in progress."""

    task: Task
    method: Method
    teacher: Teacher
    profile: Profile
    seed: int
    source: str
    settings: dict
    compute: Compute
    folder: Path

    def run(self) -> dict:
        """Train stage by stage; scores, history, attention, sizes and seconds for the record."""
        start = time.perf_counter()
        train, dev, validation = splits(self.task, load_tokenizer(self.student_source), self.profile)
        self.student = self.make_student()
        size = parameters(self.student.network)
        outputs = self.outputs(train) if self.method.needs_teacher else None
        history, attention = {}, None
        for number, stage in enumerate(self.method.stages):
            history[stage.name] = self.train_stage(number, stage, train, dev, outputs)
            if stage.intermediate:
                attention = self.look(validation)
        found = {"dev": score(self.student, dev, self.task, self.compute)}
        found["validation"] = score(self.student, validation, self.task, self.compute)
        others = also(self.task, load_tokenizer(self.student_source), self.profile)
        found |= {split: score(self.student, data, self.task, self.compute) for split, data in others.items()}
        return {
            "scores": found, "history": history, "attention": attention, "student_parameters": size,
            "examples": {"train": len(train), "dev": len(dev), "validation": len(validation), **{k: len(v) for k, v in others.items()}},
            "steps": sum(self.schedule(number, len(train)).steps for number in range(len(self.method.stages))),
            "seconds": round(time.perf_counter() - start, 1),
        }  # fmt: skip

    def make_student(self) -> LayerwiseClassifier:
        """The initial student: its network depends on the seed and not on the method; heads are drawn after it."""
        if self.profile.student == "layers":
            kept = {"layers": self.profile.student_layers, "pick": self.profile.student_pick}
            network = load_classifier(self.source, self.task, seed=self.seed, **kept)
        elif self.student_source != self.source:
            network = load_classifier(self.student_source, self.task, seed=self.seed)
        else:
            network = new_student(self.profile.student, self.source, self.task, seed=self.seed, embeddings=self.profile.embeddings)
        below = network.config.num_hidden_layers - 1
        if not self.method.needs_heads:
            return LayerwiseClassifier(network)
        if below < 1:
            raise ValueError(f"{self.method.name} needs a student of at least 2 layers, got {below + 1}")
        return LayerwiseClassifier(network, PseudoClassifiers(network.config.hidden_size, self.task.num_labels, below))

    @property
    def student_source(self) -> str:
        """Where the student's tokenizer comes from, and for a pretrained one its weights."""
        return self.source if self.profile.student in ("layers", *STUDENTS) else self.profile.student

    def as_the_teacher_reads(self, data: Encoded, part: int) -> Encoded:
        """The same rows, train (0) or validation (2), in the teacher's tokens: both sides' answers meet by the number of the row."""
        return data if self.student_source == self.source else splits(self.task, load_tokenizer(self.source), self.profile)[part]

    def outputs(self, train: Encoded) -> Outputs:
        """The teacher's outputs for a training batch, on the device: kept ones, or live if that was asked for."""
        data = self.as_the_teacher_reads(train, 0)
        if self.settings["teacher_outputs"] == "live":
            return live(self.teacher, self.task, self.compute, None if data is train else data)
        return kept(teacher_outputs(self.teacher, self.task, "train", data, compute=self.compute).to(self.compute.device))

    def schedule(self, number: int, examples: int) -> Schedule:
        """A stage's share of the budget."""
        epochs = self.method.epochs(self.profile.student_epochs)[number]
        return Schedule(epochs, steps_per_epoch(examples, self.profile.batch), self.settings["rate"])

    def train_stage(self, number: int, stage: Stage, train: Encoded, dev: Encoded, outputs: Outputs | None) -> dict:
        """One stage through the common loop. The order of the examples goes on where the stage before stopped."""
        label = f"{self.method.name} on {self.task.name}, seed {self.seed}, stage {stage.name}"
        if self.student.heads is not None:  # a stage without the intermediate loss has nothing to teach them
            self.student.heads.requires_grad_(stage.intermediate > 0)
        set_seed(1000 * self.seed + number)  # dropout's dice, whatever was drawn on the way here
        before = sum(self.method.epochs(self.profile.student_epochs)[:number])
        return fit(
            self.student,
            lambda epoch, rank, world: training_batches(train, self.profile.batch, self.seed, before + epoch, rank, world),
            objective(self.method, stage, outputs, self.task.spec.regression),
            self.schedule(number, len(train)),
            self.compute,
            score=lambda model: headline(score(model, dev, self.task, self.compute)),
            checkpoint=self.folder.with_name(f".{self.folder.name}") / f"{number}-{stage.name}.safetensors",
            label=label,
        )

    def look(self, validation: Encoded) -> dict:
        """Where the trained student layers look, as its forward and the loss return it: mean weights (S, T), and per class."""
        logits = predict(self.student, validation, self.compute)
        data = self.as_the_teacher_reads(validation, 2)
        teacher = teacher_outputs(self.teacher, self.task, "validation", data, compute=self.compute)[validation.rows]
        options = loss_options(self.method, self.task.spec.regression)
        weights = intermediate_loss(logits[:, :-1], teacher[:, :-1], **options).weights  # (N, S, T)
        maps = {"mean": weights.mean(0).tolist(), "by_layer": by_layer(logits, validation.labels, self.task)}
        for index, name in enumerate(self.task.label_names or ()):
            if (chosen := validation.labels == index).any():
                maps.setdefault("by_class", {})[name] = weights[chosen].mean(0).tolist()
        return maps

    def finish(self, record: dict) -> None:
        """Write the student and the record, whole; then the checkpoints have done their work."""
        with whole_folder(self.folder) as building:
            save(self.student.network, load_tokenizer(self.student_source), building / "student")
            if self.student.heads is not None:
                save_file(self.student.heads.state_dict(), building / "student" / "heads.safetensors")
            write_json(building / "record.json", record)
        rmtree(self.folder.with_name(f".{self.folder.name}"), ignore_errors=True)
        say(f"{record['task']} {record['method']} seed {record['seed']}: {headline(record['scores']['validation']):.1f}")


def loss_options(method: Method, regression: bool) -> dict:
    """The method's options as `intermediate_loss` takes them."""
    names = ("mapping", "combine", "tau", "kappa", "attention_grad")
    return {name: getattr(method, name) for name in names} | {"regression": regression}


def objective(method: Method, stage: Stage, outputs: Outputs | None, regression: bool) -> Callable[[nn.Module, Batch], dict[str, Tensor]]:
    """The stage's terms by name, weighted: what is shown is what is minimised.

    The intermediate term covers the layers below the last on both sides and is summed over the student's layers (both from
    the reading of the paper by the author of GLMKD); the last layers meet in ordinary KD.
    """

    def terms(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = model(**batch.inputs)  # (B, S, C), the network's own classifier last
        teacher = outputs(batch) if stage.kd or stage.intermediate else None  # (B, T, C)
        found = {}
        if stage.labels:
            found["labels"] = stage.labels * label_loss(logits[:, -1], batch.labels, regression=regression)
        if stage.kd:
            found["kd"] = stage.kd * kd_loss(logits[:, -1], teacher[:, -1], tau=method.tau, regression=regression)
        if stage.intermediate:
            result = intermediate_loss(logits[:, :-1], teacher[:, :-1], **loss_options(method, regression))
            found["intermediate"] = stage.intermediate * result.per_layer.sum()
        return found

    return terms
