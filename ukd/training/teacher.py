"""The teacher: a pretrained encoder fine-tuned on the task's labels, kept in a folder, and frozen from then on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from ukd.config.files import build_once, write_json
from ukd.config.keys import code_hash, config_hash
from ukd.config.paths import cache_folder
from ukd.config.presets import TrainingConfig
from ukd.config.provenance import provenance
from ukd.config.runtime import Runtime, choose_runtime, say
from ukd.data.batches import (
    TokenizedSplit,
    extra_splits,
    steps_per_epoch,
    tokenized_splits,
    training_batches,
)
from ukd.data.metrics import mean_metric, scores
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, Frozen, PseudoClassifiers
from ukd.losses import label_loss
from ukd.models.bundled import (
    default_learning_rates,
    resolve_encoder,
    tokenizer_hash,
)
from ukd.models.encoders import load_classifier, load_tokenizer, parameters, save
from ukd.training.loop import Schedule, fit, predict


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned teacher in a folder.

    key: digest of all that made it. encoder: what it was made from, as given ("embedded", a folder, a hub id). about: what
    its `teacher.json` says of it (scores, settings, how made).
    """

    folder: Path
    key: str
    encoder: str
    about: dict

    @property
    def heads(self) -> Path:
        """Where its pseudo classifiers are: a folder of its own for each version of the code that fits them."""
        return self.folder / f"heads-{code_hash('ukd.training.teacher_heads')}"

    def load(self, task: Task) -> Frozen:
        """The frozen teacher: inputs to logits (B, T, C), pseudo classifiers included if they have been trained."""
        network = load_classifier(self.folder, task, seed=0)
        heads = None
        if (path := self.heads / "heads.safetensors").is_file():
            weights = load_file(path)
            layers, hidden, classes = weights["weight"].shape
            heads = PseudoClassifiers(hidden, classes, layers)
            heads.load_state_dict(weights)
        return Frozen(ClassifierWithHeads(network, heads))


def train_teacher(
    task: Task,
    *,
    config: TrainingConfig,
    encoder: str | None = None,
    learning_rate: float | None = None,
    seed: int = 1,
    runtime: Runtime | None = None,
) -> Teacher:
    """Fine-tune a pretrained encoder on the task's labels; made once, then found in the cache by its settings.

    Args:
        encoder: "embedded" and "prose" for those that come with the kit, "scratch" for the profile's own, pretrained now on the
            synthetic suite's text, "random" and "random-prose" for weights drawn anew, a folder, or a hub id; by default `default_encoder`.
        rate: peak learning rate; by default 2e-4 for the encoders that come with the kit, 1e-4 for one pretrained now, else 5e-5.
        seed: of the classifier's start, the order of the examples and dropout.

    Returns: Teacher, its development and validation scores in `.about["scores"]`.

    Raises: ValueError when the teacher stays below the task's floor (a profile may only warn).
    """
    runtime = runtime or choose_runtime()
    encoder = encoder or config.encoder
    source, name = resolve_encoder(encoder)
    learning_rate = (
        learning_rate or config.teacher_learning_rate or default_learning_rates(encoder)[0]
    )
    made = {
        "kind": "teacher",
        "tokenizer": tokenizer_hash(Path(source)),
        "task": task.name,
        "data": task.key,
        "encoder": name,
        "depth": config.teacher_depth,
        "rate": learning_rate,
        "seed": seed,
        "epochs": config.teacher_epochs,
        "batch": config.batch_size,
        "max_length": config.max_length,
        "max_train": config.max_train,
        "max_validation": config.max_validation,
        "precision": runtime.precision,
        "select": config.selection_split,
        "compiled": runtime.compiled,
        "torch": torch.__version__,
        "code": code_hash("ukd.training.teacher"),
    }
    key = config_hash(made)
    folder = cache_folder() / "teachers" / f"{task.name}-{key}"
    build_once(
        folder,
        lambda building: _fine_tune(building, task, config, source, learning_rate, seed, runtime),
        made,
    )
    about = json.loads((folder / "teacher.json").read_text(encoding="utf-8"))
    check_min_score(task, about["scores"]["dev"], enforce=config.enforce_min_teacher_score)
    return Teacher(
        folder, key, encoder, {**about, "encoder": name, "rate": learning_rate, "seed": seed}
    )


def _fine_tune(
    folder: Path,
    task: Task,
    config: TrainingConfig,
    source: str,
    learning_rate: float,
    seed: int,
    runtime: Runtime,
) -> None:
    say(f"fine-tuning the teacher on {task.name}")
    tokenizer = load_tokenizer(source)
    train, dev, validation = tokenized_splits(task, tokenizer, config)
    network = load_classifier(source, task, seed=seed, layers=config.teacher_depth)
    model = ClassifierWithHeads(network)
    history = fit(
        model,
        lambda epoch, rank, world: training_batches(
            train, config.batch_size, seed, epoch, rank, world
        ),
        lambda model, batch: {
            "labels": label_loss(
                model(**batch.inputs)[:, -1], batch.labels, regression=task.spec.regression
            )
        },
        Schedule(
            config.teacher_epochs, steps_per_epoch(len(train), config.batch_size), learning_rate
        ),
        runtime,
        score=lambda model: mean_metric(score(model, dev, task, runtime)),
        label=f"teacher {task.name}",
    )
    found = {
        "dev": score(model, dev, task, runtime),
        "validation": score(model, validation, task, runtime),
    }
    found |= {
        split: score(model, data, task, runtime)
        for split, data in extra_splits(task, tokenizer, config).items()
    }
    save(model.network, tokenizer, folder)
    sizes = {
        "parameters": parameters(model.network),
        "layers": model.network.config.num_hidden_layers,
    }
    write_json(
        folder / "teacher.json",
        {"scores": found, **sizes, "history": history, **provenance(runtime)},
    )


def score(model: nn.Module, data: TokenizedSplit, task: Task, runtime: Runtime) -> dict[str, float]:
    """The task's metrics of the network's own classifier, in percent."""
    return scores(
        predict(model, data, runtime)[:, -1].numpy(), data.labels.numpy(), task.spec.metrics
    )


def check_min_score(task: Task, dev: dict[str, float], *, enforce: bool) -> None:
    """A teacher that has not learned the task can't teach it: raise ValueError, or say so where that is only a warning."""
    reached = mean_metric(dev)
    if reached >= task.spec.min_teacher_score:
        return
    text = f"the teacher reaches {reached:.1f} on the development part of {task.name}, below the floor of {task.spec.min_teacher_score:.0f}"
    if enforce:
        raise ValueError(
            f"{text}: distilling from it would teach noise. Train it longer (--teacher-epochs), at another rate "
            "(--teacher-rate), pass a better encoder (--teacher), or see for yourself (--allow-weak-teacher)"
        )
    say(f"warning: {text}")
