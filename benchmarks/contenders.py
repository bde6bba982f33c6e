"""What `ukd bench` lets take turns: steps, heads, whole comparisons, and other people's training code, on one task and teacher."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, BertConfig
from ukd.analysis.tables import tables

from benchmarks.peers import textbrewer_run, trainer_run
from benchmarks.timing import Ratio, Steps, ratio, turns
from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, attention_kernel
from ukd.data.batches import Batch, TokenizedSplit, tokenized_splits, training_batches
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, Frozen, PseudoClassifiers
from ukd.losses import intermediate_loss, kd_loss
from ukd.methods.method import Stage
from ukd.methods.objective import Objective
from ukd.methods.registry import METHODS, get_method
from ukd.methods.scenarios import DEFAULT_METHODS
from ukd.models.bundled import resolve_encoder
from ukd.models.encoders import load_classifier, load_tokenizer, new_student
from ukd.training.distill import distill
from ukd.training.loop import predict
from ukd.training.teacher import Teacher
from ukd.training.teacher_cache import TeacherLogits, cache_teacher, kept, live
from ukd.training.teacher_heads import HiddenStateExtractor, fit_pseudo_classifiers

STEPS = 12
LONG, SHORT = 60, 10  # steps of the two epochs whose difference is compared with Trainer
LABELS = Stage("labels", 1.0, labels=1.0)
TEACHER = METHODS["universal-kd"].stages[0]
LIVE = {  # limits of "a live teacher costs so many times as much"
    ("layers", "float32"): 1.75,
    ("layers", "bf16"): 1.5,
    ("bilstm", "float32"): 4,
    ("bilstm", "bf16"): 1.8,
    ("gated-cnn", "float32"): 4,
    ("gated-cnn", "bf16"): 1.8,
}


@dataclass
class Bench:
    """What is measured on: a task, its teacher, a profile, and the first batches of an epoch."""

    task: Task
    teacher: Teacher
    config: TrainingConfig
    runtime: Runtime

    def __post_init__(self) -> None:
        self.source = resolve_encoder(self.teacher.encoder)[0]
        self.train: TokenizedSplit = tokenized_splits(
            self.task, load_tokenizer(self.source), self.config
        )[0]
        self.position = {int(row): number for number, row in enumerate(self.train.rows)}
        self.batches: list[Batch] = list(
            training_batches(self.train, self.config.batch_size, 1, 0)
        )[:STEPS]

    def student(self, kind: str, heads: bool) -> ClassifierWithHeads:
        """A student with or without pseudo classifiers."""
        if kind == "layers":
            network = load_classifier(
                self.source, self.task, seed=1, layers=self.config.student_depth
            )
        else:
            network = new_student(kind, self.source, self.task, seed=1)
        below = network.config.num_hidden_layers - 1
        return ClassifierWithHeads(
            network,
            PseudoClassifiers(network.config.hidden_size, self.task.num_labels, below)
            if heads
            else None,
        )

    def steps(
        self, kind: str, outputs: TeacherLogits | None, here: Runtime, count: int = STEPS
    ) -> Steps:
        """Steps of Universal-KD's first stage with these teacher outputs, or of fine-tuning without any."""
        terms = Objective(
            get_method("universal-kd"),
            TEACHER if outputs else LABELS,
            outputs,
            self.task.spec.regression,
        )
        return Steps(
            self.student(kind, heads=outputs is not None), terms, self.batches[:count], here
        )

    def kept(self, here: Runtime) -> TeacherLogits:
        """The teacher's outputs, asked once."""
        return kept(
            cache_teacher(self.teacher, self.task, "train", self.train, runtime=here).to(
                here.device
            )
        )

    def one_step(self, here: Runtime, kind: str) -> list[Ratio]:
        """A distillation step with kept outputs beside fine-tuning of the same student, and with a live teacher beside kept outputs."""
        seconds = turns(
            {
                "fine-tuning": self.steps(kind, None, here),
                "kept": self.steps(kind, self.kept(here), here),
                "live": self.steps(kind, live(self.teacher, self.task, here), here),
            }
        )
        name, parts = f"{kind}, {here.precision}", len(self.batches)
        limit = f"at least {LIVE.get((kind, here.precision), 1)}"
        return [
            ratio(
                f"{name}: distilling / fine-tuning",
                "at most 1.05",
                seconds,
                "kept",
                "fine-tuning",
                parts,
            ),
            ratio(f"{name}: live teacher / kept outputs", limit, seconds, "live", "kept", parts),
        ]

    def big_teacher(self, here: Runtime) -> Ratio:
        """A BiLSTM taught by a live teacher of BERT-base's size (random weights: its time does not depend on them)."""
        config = BertConfig(
            vocab_size=len(load_tokenizer(self.source)), num_labels=self.task.num_labels
        )
        heads = PseudoClassifiers(768, self.task.num_labels, 11)
        network = AutoModelForSequenceClassification.from_config(
            config, attn_implementation=attention_kernel()
        )
        base = Frozen(ClassifierWithHeads(network, heads)).to(here.device)
        table = torch.randn(
            int(self.train.rows.max()) + 1, 12, self.task.num_labels, device=here.device
        )
        seconds = turns(
            {
                "kept": self.steps("bilstm", kept(table), here, 3),
                "live": self.steps("bilstm", lambda batch: base(**batch.inputs), here, 3),
            },
            5,
        )
        name = f"bilstm, {here.precision}, teacher of BERT-base's size: live teacher / kept outputs"
        return ratio(name, "at least 8", seconds, "live", "kept", 3)

    def comparison(self, here: Runtime) -> Ratio:
        """All methods, three seeds, from the first run to the table: the teacher asked once, beside a live one; run by run in turns."""
        found, records = {"kept": 0.0, "live": 0.0}, {"kept": [], "live": []}
        with tempfile.TemporaryDirectory() as folder:
            for number, (name, seed) in enumerate(
                (name, seed) for seed in (1, 2, 3) for name in DEFAULT_METHODS
            ):
                for which in ("kept", "live") if number % 2 else ("live", "kept"):
                    with _cache(
                        Path(folder) / which
                    ):  # the pass over the training set counts, once
                        start = time.perf_counter()
                        records[which].append(
                            distill(
                                self.task,
                                get_method(name),
                                self.teacher,
                                config=self.config,
                                seed=seed,
                                runtime=here,
                                folder=Path(folder) / which / "runs",
                                live_teacher=which == "live",
                            )
                        )
                        found[which] += time.perf_counter() - start
            for which, made in records.items():
                start = time.perf_counter()
                tables(made)
                found[which] += time.perf_counter() - start
        limit = f"at least {1.3 if here.precision == 'float32' else 1.2}"
        name = f"whole comparison ({len(DEFAULT_METHODS)} methods, 3 seeds), {here.precision}: live teacher / kept outputs"
        return ratio(
            name, limit, {which: [seconds] for which, seconds in found.items()}, "live", "kept"
        )

    def loss(self, here: Runtime) -> Ratio:
        """The intermediate loss, forward and backward, beside a whole distillation step."""
        outputs, shape = (
            self.kept(here),
            (self.config.batch_size, self.config.student_depth - 1, self.task.num_labels),
        )
        student, regression = (
            torch.randn(shape, device=here.device, requires_grad=True),
            self.task.spec.regression,
        )

        def alone() -> None:
            for batch in self.batches:
                seen = outputs(batch).to(here.device)[:, :-1]
                intermediate_loss(
                    student, seen, temperature=2.0, regression=regression
                ).per_layer.sum().backward()

        seconds = turns({"loss": alone, "step": self.steps("layers", outputs, here)})
        return ratio(
            f"layers, {here.precision}: intermediate loss / step",
            "at most 0.03",
            seconds,
            "loss",
            "step",
            len(self.batches),
        )

    def attention(self, here: Runtime) -> Ratio:
        """Fine-tuning steps with torch's fused attention beside plain matrix products, the kit's choice off CUDA."""
        each = {}
        for name, kernel in (("fused", "sdpa"), ("plain", "eager")):
            each[name] = self.student("layers", False)
            each[name].network.set_attn_implementation(kernel)
        terms = Objective(get_method("universal-kd"), LABELS, None, self.task.spec.regression)
        seconds = turns(
            {name: Steps(model, terms, self.batches, here) for name, model in each.items()}
        )
        least = "at least 1" if here.device == "cpu" else "at least 0"
        return ratio(
            f"layers, {here.precision}: fused attention / plain",
            least,
            seconds,
            "fused",
            "plain",
            len(self.batches),
        )

    def parts(self, here: Runtime) -> dict[str, float]:
        """Milliseconds of the parts of a distillation step, median over the batches of three rounds."""
        steps, outputs = self.steps("layers", self.kept(here), here), self.kept(here)
        options = {"tau": 2.0, "regression": self.task.spec.regression}
        found: dict[str, list[float]] = {}

        def timed(name: str, work: Callable[[], object]) -> object:
            start = time.perf_counter()
            answer = work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            found.setdefault(name, []).append(1000 * (time.perf_counter() - start))
            return answer

        for positions in [batch.rows for batch in self.batches] * 3:
            where = [self.position[int(row)] for row in positions]
            batch = timed("batch: choose and pad", lambda where=where: self.train.batch(where)).to(
                here.device
            )
            teacher = timed("teacher's outputs: look up", lambda batch=batch: outputs(batch))
            logits = timed(
                "student: forward", lambda batch=batch: steps.model.train()(**batch.inputs)
            )
            loss = timed(
                "losses",
                lambda s=logits, t=teacher: (
                    kd_loss(s[:, -1], t[:, -1], **options)
                    + intermediate_loss(s[:, :-1], t[:, :-1], **options).per_layer.sum()
                ),
            )
            timed("backward", lambda loss=loss: steps.accelerator.backward(loss))
            timed(
                "clipping", lambda: steps.accelerator.clip_grad_norm_(steps.model.parameters(), 1.0)
            )
            timed("optimiser", lambda: (steps.optimizer.step(), steps.optimizer.zero_grad()))
        return {name: round(median(values), 2) for name, values in found.items()}

    def heads(self) -> Ratio:
        """All pseudo classifiers, features included, beside one pass of the teacher over the same examples."""
        network = self.teacher.load(self.task).module.network

        def everything() -> None:
            states = predict(HiddenStateExtractor(network), self.train, self.runtime)
            fit_pseudo_classifiers(
                states,
                self.train.labels,
                self.task.num_labels,
                regression=self.task.spec.regression,
            )

        seconds = turns(
            {
                "heads": everything,
                "one pass": lambda: predict(ClassifierWithHeads(network), self.train, self.runtime),
            },
            5,
        )
        return ratio(
            f"all pseudo classifiers, {self.runtime.precision} / one teacher pass",
            "at most 1.3",
            seconds,
            "heads",
            "one pass",
        )

    def trainer(self, here: Runtime) -> Ratio:
        """Fine-tuning the student with our loop, batches made on the way, beside Hugging Face's Trainer: a long epoch less a short
        one, so that neither pays for what happens once."""
        train = tokenized_splits(
            self.task, load_tokenizer(self.source), replace(self.config, max_train=None)
        )[0]
        long, short = (train.first(count * self.config.batch_size) for count in (LONG, SHORT))
        terms = Objective(get_method("universal-kd"), LABELS, None, self.task.spec.regression)
        each: dict[str, Callable[[], object]] = {}
        for name, data in (("long", long), ("short", short)):
            ours = Steps(self.student("layers", False), terms, [], here)
            each[f"our {name}"] = lambda data=data, ours=ours: self.epoch(ours, data)
            each[f"Trainer's {name}"] = trainer_run(
                self.student("layers", False).network, data, self.config.batch_size, here
            )
        found = turns(each, 5)
        less = {
            who: list(np.subtract(found[f"{who} long"], found[f"{who} short"]))
            for who in ("our", "Trainer's")
        }
        seconds = {"ours": less["our"], "Trainer": less["Trainer's"]}
        return ratio(
            f"fine-tuning, {here.precision}: our loop / Trainer",
            "at most 1.05",
            seconds,
            "ours",
            "Trainer",
            LONG - SHORT,
        )

    def epoch(self, steps: Steps, data: TokenizedSplit) -> None:
        """Our loop over an epoch of `data`, its batches made on the way."""
        steps.batches = list(training_batches(data, self.config.batch_size, 1, 0))
        steps()

    def textbrewer(self, here: Runtime) -> list[Ratio]:
        """Distilling the last layer and hidden states with TextBrewer, live and with its own cache, beside ours; none without it."""
        both = lambda: (
            self.teacher.load(self.task).module.network,
            self.student("layers", False).network,
        )
        found = {
            cached: textbrewer_run(*both(), self.batches, here, cached=cached)
            for cached in (False, True)
        }
        if found[True] is None:
            return []
        ours = self.steps("layers", self.kept(here), here)
        seconds = turns({"TextBrewer": found[False], "its cache": found[True], "ours": ours})
        limit, name, parts = (
            f"at least {1.75 if here.precision == 'float32' else 1.4}",
            f"layers, {here.precision}",
            len(self.batches),
        )
        return [
            ratio(
                f"{name}: TextBrewer, live teacher / ours",
                limit,
                seconds,
                "TextBrewer",
                "ours",
                parts,
            ),
            ratio(
                f"{name}: TextBrewer, cache filled by hand / ours",
                "at least 1.0",
                seconds,
                "its cache",
                "ours",
                parts,
            ),
        ]


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    before = os.environ.get("UKD_CACHE")
    os.environ["UKD_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["UKD_CACHE"]
        if before is not None:
            os.environ["UKD_CACHE"] = before
