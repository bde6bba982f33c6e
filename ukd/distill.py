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

from ukd.config import Compute, cache_folder, digest, runs_folder, say, source_digest
from ukd.config import compute as choose_compute
from ukd.data import Batch, Encoded, Task, steps_per_epoch, training_batches
from ukd.describe import describe_student, said
from ukd.heads import LayerwiseClassifier, PseudoClassifiers
from ukd.hidden import HiddenMatch
from ukd.methods import METHODS, Method, Stage
from ukd.metrics import headline, scores
from ukd.models import load_classifier, load_tokenizer, new_student, parameters, save
from ukd.objective import Objective, map_seed
from ukd.observe import attention, exits, look
from ukd.outputs import Outputs, kept, live, teacher_outputs
from ukd.probing import train_heads
from ukd.profiles import Profile
from ukd.records import FORMAT, claim, made_once, provenance, whole_folder, write_json
from ukd.students import STUDENTS
from ukd.teacher import Teacher, also, rates, resolve_encoder, score, splits
from ukd.train import Schedule, fit, predict

MOST_STATES = 1_000_000_000  # bytes of teacher states to keep; beyond, the teacher is asked live
CODE = (
    "data", "distill", "heads", "hidden", "losses", "methods", "metrics", "models", "objective", "observe", "outputs", "probing",
    "projection", "students", "train",
)  # fmt: skip


def distill(
    task: Task, method: Method, teacher: Teacher, *, profile: Profile, seed: int,
    rate: float | None = None, compute: Compute | None = None, folder: Path | None = None,
    live_teacher: bool = False,
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
        "method": asdict(method), **describe_student(profile, name, compute), "teacher": teacher.key,
        "rate": rate or profile.rate or rates(teacher.encoder, profile.student)[1], "batch": profile.batch,
        "epochs": profile.student_epochs, "max_length": profile.max_length, "max_train": profile.max_train,
        "max_validation": profile.max_validation, "precision": compute.precision, "teacher_outputs": "live" if live_teacher else "kept",
        "select": profile.select, "compiled": compute.compiled,
    }  # fmt: skip
    key = digest(settings, task.name, task.fingerprint, seed, torch.__version__, source_digest(*CODE))
    run = (folder or runs_folder()) / f"{task.name}-{method.name}-seed{seed}-{key}"
    with claim(run):
        if not (run / "record.json").is_file():
            heads = train_heads(teacher, task, profile=profile, compute=compute)
            taught_by = assistant(task, teacher, profile=profile, seed=seed, compute=compute) if method.assistant else teacher
            start = fine_tuned_encoder(teacher, task) if settings["student_start"] == "teacher" else None
            job = Job(task, method, taught_by, profile, seed, source, settings, compute, run, start)
            record = {
                "format": FORMAT, "hash": key, "task": task.name, "method": method.name, "seed": seed, "profile": profile.name,
                "settings": settings, "data": task.fingerprint, "teacher": about_teacher(teacher, heads), **job.run(),
                **provenance(compute),
            }  # fmt: skip
            if method.assistant:
                record["assistant"] = {name: taught_by.about[name] for name in ("layers", "parameters", "scores")}
            job.finish(record)
    return {**json.loads((run / "record.json").read_text(encoding="utf-8")), "folder": str(run)}


def fine_tuned_encoder(teacher: Teacher, task: Task) -> str:
    """Folder of a teacher's encoder without its classifier, which belongs to its last layer: a student draws its own. Made once."""

    def make(building: Path) -> None:
        save(load_classifier(teacher.folder, task, seed=0).base_model, load_tokenizer(teacher.folder), building)

    return str(made_once(cache_folder() / "starts" / teacher.folder.name, make, {"kind": "start", "teacher": teacher.key}))


def assistant(task: Task, teacher: Teacher, *, profile: Profile, seed: int, compute: Compute) -> Teacher:
    """A network of the depth midway between teacher and student, which has learned from the teacher by vanilla KD, as a teacher.

    It is trained for the teacher's epochs at the teacher's rate, beyond the student's own budget, as in TAKD. Made once.
    """
    below = profile.student_layers if profile.student == "layers" else 0
    budget = replace(
        profile, student="layers", student_pick="first", student_start="pretrained", embeddings=None,
        student_layers=max(2, (teacher.about["layers"] + below) // 2), student_epochs=profile.teacher_epochs,
    )  # fmt: skip
    rate, folder = teacher.about["rate"], cache_folder() / "assistants"
    record = distill(task, METHODS["kd"], teacher, profile=budget, seed=seed, rate=rate, compute=compute, folder=folder)
    about = {"scores": record["scores"], "layers": budget.student_layers, "parameters": record["student_parameters"]}
    return Teacher(Path(record["folder"]) / "student", record["hash"], teacher.encoder, {**teacher.about, **about})


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
    start: str | None = None  # where a student of the encoder's layers takes them from; the source by default

    def run(self) -> dict:
        """Train stage by stage; scores, history, attention, sizes and seconds for the record."""
        start = time.perf_counter()
        train, dev, validation = splits(self.task, load_tokenizer(self.student_source), self.profile)
        self.student = self.make_student()
        size = parameters(self.student.network)
        outputs = self.outputs(train) if self.method.needs_teacher else None
        states = self.states(train) if self.method.hidden else None
        history, maps = {}, None
        for number, stage in enumerate(self.method.stages):
            goal = Objective(self.method, stage, outputs, self.task.spec.regression, states, self.student.match, seed=self.seed)
            history[stage.name] = self.train_stage(number, goal, train, dev)
            if stage.intermediate:
                maps = self.look(validation, goal.epochs)
        found = {"dev": score(self.student, dev, self.task, self.compute)}
        every = predict(self.student, validation, self.compute)
        answers = every[:, -1]
        found["validation"] = scores(answers.numpy(), validation.labels.numpy(), self.task.spec.metrics)
        others = also(self.task, load_tokenizer(self.student_source), self.profile)
        found |= {split: score(self.student, data, self.task, self.compute) for split, data in others.items()}
        return {
            "scores": found, **said(answers, validation.labels, self.task), "history": history, "attention": maps,
            "student_parameters": size, "exits": exits(every, validation.labels, self.task) if self.method.needs_heads else [],
            "examples": {"train": len(train), "dev": len(dev), "validation": len(validation), **{k: len(v) for k, v in others.items()}},
            "steps": sum(self.schedule(number, len(train)).steps for number in range(len(self.method.stages))),
            "seconds": round(time.perf_counter() - start, 1),
        }  # fmt: skip

    def make_student(self) -> LayerwiseClassifier:
        """The initial student: its network depends on the seed and not on the method; heads are drawn after it."""
        if self.profile.student == "layers":
            kept = {"layers": self.profile.student_layers, "pick": self.profile.student_pick}
            network = load_classifier(self.start or self.source, self.task, seed=self.seed, **kept)
        elif self.profile.student in STUDENTS:
            network = new_student(self.profile.student, self.source, self.task, seed=self.seed, embeddings=self.profile.embeddings)
        else:
            network = load_classifier(self.student_source, self.task, seed=self.seed)
        below, width = network.config.num_hidden_layers - 1, network.config.hidden_size
        if (self.method.needs_heads or self.method.hidden) and below < 1:
            raise ValueError(f"{self.method.name} needs a student of at least 2 layers, got {below + 1}")
        model = LayerwiseClassifier(network, PseudoClassifiers(width, self.task.num_labels, below) if self.method.needs_heads else None)
        if self.method.hidden:
            self.check_states(network)
            theirs = AutoConfig.from_pretrained(self.teacher.folder)
            model.match = HiddenMatch(self.method.hidden, below, theirs.num_hidden_layers - 1, width, theirs.hidden_size)
        return model

    def check_states(self, network: PreTrainedModel) -> None:
        """Raise ValueError where the student has no states of the kind that the method compares."""
        if self.method.hidden.pooling == "first" and getattr(network.config, "pooling", "first") != "first":
            can = [m.name for m in METHODS.values() if not m.hidden or m.hidden.pooling == "mean"]
            raise ValueError(
                f"{self.method.name} compares the first token's states, and those of a {self.profile.student} say nothing of the sentence; "
                f"these apply: {', '.join(can)}"
            )

    @property
    def student_source(self) -> str:
        """Where the student's tokenizer comes from, and for a pretrained one its weights."""
        if self.profile.student in ("layers", *STUDENTS):
            return self.source
        return resolve_encoder(self.profile.student, self.profile, self.compute)[0]

    def as_the_teacher_reads(self, data: Encoded, part: int) -> Encoded:
        """The same rows, train (0) or validation (2), in the teacher's tokens: both sides' answers meet by the number of the row."""
        return data if self.student_source == self.source else splits(self.task, load_tokenizer(self.source), self.profile)[part]

    def outputs(self, train: Encoded) -> Outputs:
        """The teacher's outputs for a training batch, on the device: kept ones, or live if that was asked for."""
        data = self.as_the_teacher_reads(train, 0)
        if self.settings["teacher_outputs"] == "live":
            return live(self.teacher, self.task, self.compute, None if data is train else data)
        return kept(teacher_outputs(self.teacher, self.task, "train", data, compute=self.compute).to(self.compute.device))

    def states(self, train: Encoded) -> Outputs:
        """The teacher's layer states for a training batch: kept ones where they fit, else live."""
        data, how = self.as_the_teacher_reads(train, 0), self.method.hidden.pooling
        width = AutoConfig.from_pretrained(self.teacher.folder).hidden_size
        size = 4 * (int(data.rows.max()) + 1) * (self.teacher.about["layers"] - 1) * width
        if self.settings["teacher_outputs"] == "live" or size > MOST_STATES:
            if size > MOST_STATES:
                say(f"the teacher's states would take {size / 1e9:.1f} GB, more than {MOST_STATES / 1e9:.0f}: it is asked in every step")
            return live(self.teacher, self.task, self.compute, None if data is train else data, states=how)
        return kept(teacher_outputs(self.teacher, self.task, "train", data, compute=self.compute, states=how), self.compute.device)

    def schedule(self, number: int, examples: int) -> Schedule:
        """A stage's share of the budget."""
        epochs = self.method.epochs(self.profile.student_epochs)[number]
        return Schedule(epochs, steps_per_epoch(examples, self.profile.batch), self.settings["rate"])

    def train_stage(self, number: int, goal: Objective, train: Encoded, dev: Encoded) -> dict:
        """One stage through the common loop. The order of the examples goes on where the stage before stopped."""
        stage, schedule = goal.stage, self.schedule(number, len(train))
        label = f"{self.method.name} on {self.task.name}, seed {self.seed}, stage {stage.name}"
        for part, taught in ((self.student.heads, stage.intermediate > 0), (self.student.match, stage.hidden > 0)):
            if part is not None:  # a stage without its loss has nothing to teach it
                part.requires_grad_(taught)
        set_seed(1000 * self.seed + number)  # dropout's dice, whatever was drawn on the way here
        before, goal.epochs = sum(self.method.epochs(self.profile.student_epochs)[:number]), schedule.epochs

        def batches(epoch: int, rank: int, world: int) -> Iterator[Batch]:
            goal.epoch = epoch
            return training_batches(train, self.profile.batch, self.seed, before + epoch, rank, world)

        return fit(
            self.student,
            batches,
            goal,
            schedule,
            self.compute,
            score=lambda _: self.judge(stage, dev, goal.epoch),
            checkpoint=self.folder.with_name(f".{self.folder.name}") / f"{number}-{stage.name}.safetensors",
            label=label,
        )

    def judge(self, stage: Stage, dev: Encoded, epoch: int) -> tuple[float, dict]:
        """Headline score on the development part, and where the student's layers look there while they learn to look."""
        logits = predict(self.student, dev, self.compute)
        reached = headline(scores(logits[:, -1].numpy(), dev.labels.numpy(), self.task.spec.metrics))
        if not stage.intermediate:
            return reached, {}
        weights = attention(self.method, logits, self.asked(dev, 1), self.task.spec.regression, (map_seed(self.seed, epoch),))
        return reached, {"attention": torch.round(weights.mean(0).double(), decimals=6).tolist()}

    def asked(self, data: Encoded, part: int) -> torch.Tensor:
        """What every teacher layer says of part 1 (development) or 2 (validation): (N, T, C)."""
        split = "train" if part == 1 and self.profile.select == "dev" else "validation"
        read = self.as_the_teacher_reads(data, part)
        return teacher_outputs(self.teacher, self.task, split, read, compute=self.compute)[data.rows]

    def look(self, validation: Encoded, epochs: int) -> dict:
        """Where the trained student's layers look, as its forward and the loss return it (see `ukd.observe.look`).

        A random map is redrawn every epoch: the mean over the stage's `epochs`.
        """
        logits, seeds = predict(self.student, validation, self.compute), [map_seed(self.seed, epoch) for epoch in range(epochs)]
        return look(self.method, logits, self.asked(validation, 2), validation.labels, self.task, validation.rows, seeds)

    def finish(self, record: dict) -> None:
        """Write the student and the record, whole; then the checkpoints have done their work."""
        with whole_folder(self.folder) as building:
            save(self.student.network, load_tokenizer(self.student_source), building / "student")
            if self.student.heads is not None:
                save_file(self.student.heads.state_dict(), building / "student" / "heads.safetensors")
            if self.student.match is not None and (learned := self.student.match.state_dict()):
                save_file(learned, building / "student" / "match.safetensors")
            write_json(building / "record.json", record)
        rmtree(self.folder.with_name(f".{self.folder.name}"), ignore_errors=True)
        say(f"{record['task']} {record['method']} seed {record['seed']}: {headline(record['scores']['validation']):.1f}")
