"""The teacher: a pretrained encoder, fine-tuned on the task's labels once and then frozen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ukd.config.files import write_json
from ukd.config.keys import code_hash, config_hash, files_hash
from ukd.config.paths import cache_folder
from ukd.config.presets import TrainingConfig, whole_seed
from ukd.config.provenance import provenance
from ukd.config.runtime import Runtime, choose_runtime, logger
from ukd.config.verified import build_verified, is_whole, read_note
from ukd.data.batches import (
    Batch,
    check_length,
    extra_splits,
    steps_per_epoch,
    tokenized_splits,
    training_batches,
)
from ukd.data.checks import check_data
from ukd.data.metrics import above_chance, mean_metric
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, Frozen, PseudoClassifiers
from ukd.losses import label_loss
from ukd.models.bundled import default_learning_rates, resolve_encoder, tokenizer_hash
from ukd.models.encoders import (
    initial_embeddings,
    load_classifier,
    load_tokenizer,
    load_trained,
    parameters,
    save,
)
from ukd.models.family_check import check_family, check_layers
from ukd.models.loading import read_config
from ukd.models.students import STUDENTS
from ukd.training.loop import Schedule, fit
from ukd.training.scoring import check_min_score, score

HEADS_FILE = "heads.safetensors"


def check_saw(saw: tuple[str, str], task: Task, folder: Path) -> None:
    """Raise ValueError unless a folder's teacher saw this task: the name and key of its own."""
    if saw != (task.name, task.key):
        raise ValueError(
            f"what {folder} holds is of {' with data '.join(saw)}, and this is {task.name} with "
            f"data {task.key}: distil on the data that the teacher saw"
        )


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned teacher in a folder.

    Attributes:
        key: hash of all that made it.
        weights: sha256 of its weights.
        encoder: what it was made from, as given: "bundled", a folder or a hub id.
        about: its scores, layers, parameters, history, encoder's name, learning rate, seed, and
            the "settings" that made it.
    """

    folder: Path
    key: str
    weights: str
    encoder: str
    about: dict

    @property
    def saw(self) -> tuple[str, str]:
        """Name and key of the task that it was trained on."""
        return self.about["settings"]["task"], self.about["settings"]["data"]

    def check_task(self, task: Task) -> None:
        """Raise ValueError for another task or data than its own: its heads are fitted once."""
        check_saw(self.saw, task, self.folder)

    def kept_logits(self, split: str) -> Tensor | None:
        """Its logits where they are kept beside it; a teacher with weights computes them."""
        return None

    @property
    def heads(self) -> Path:
        """Folder of its pseudo classifiers, one for each version of the code that fits them."""
        return self.folder / f"heads-{code_hash('ukd.training.teacher_heads')}"

    @property
    def heads_key(self) -> str | None:
        """sha256 of its pseudo classifiers; None before they are fitted.

        Raises ValueError for pseudo classifiers that are damaged.
        """
        if not self.heads.exists():
            return None
        if not is_whole(self.heads):
            raise ValueError(
                f"the pseudo classifiers in {self.heads} are damaged: fit them anew (ukd.fit_heads)"
            )
        return read_note(self.heads)["sha256"][HEADS_FILE]

    def load(self, task: Task) -> Frozen:
        """The frozen teacher: inputs to logits (B, T, C), the last entry its own classifier.

        Before its pseudo classifiers are fitted that is the only one, T = 1.

        Raises: ValueError for files that are damaged, and for weights that are missing.
        """
        network = load_trained(self.folder, task)
        heads = None
        if self.heads_key is not None:
            weights = load_file(self.heads / HEADS_FILE)
            layers, hidden_size, num_labels = weights["weight"].shape
            heads = PseudoClassifiers(hidden_size, num_labels, layers)
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
    """Fine-tune a pretrained encoder on the task's labels, once; then it is found in the cache.

    A teacher in the cache whose files are not as they were written is set aside with a warning,
    and trained anew.

    Args:
        config: its `teacher_depth` says how many of the encoder's layers are taken.
        encoder: "bundled", "random" (the same network without its pretraining), a folder or a hub
            id; by default the config's.
        learning_rate: peak; by default the config's, else the encoder's (see
            `ukd.models.bundled.default_learning_rates`).
        seed: of the classifier's start, the order of the examples and dropout.

    Returns: Teacher, with its scores by split in `.about["scores"]`.

    Raises: ValueError for data that is refused, and for a teacher below the task's least score or
    no better than a constant answer, unless the config only warns.
    """
    runtime = runtime or choose_runtime()
    seed = whole_seed(seed)
    encoder = encoder or config.encoder
    source, name = resolve_encoder(encoder)
    given = config
    if learning_rate is not None:
        given = replace(config, teacher_learning_rate=learning_rate)
    rate = given.teacher_learning_rate or default_learning_rates(encoder)[0]
    settings = teacher_settings(task, config, source, name, rate, seed, runtime)
    key = config_hash(settings)
    folder = cache_folder() / "teachers" / f"{task.name}-{key}"

    def make(building: Path) -> None:
        _fine_tune(building, task, config, source, rate, seed, runtime, checkpoints)
        if not config.enforce_min_teacher_score:
            # Said when it is made, not again for every student.
            _check_learned(task, _about(building), enforce=False)

    checkpoints = folder.with_name(f".{folder.name}")
    build_verified(folder, make, settings, "teacher")
    rmtree(checkpoints, ignore_errors=True)
    about = _about(folder)
    if config.enforce_min_teacher_score:
        _check_learned(task, about, enforce=True)
    about |= {"encoder": name, "learning_rate": rate, "seed": seed, "settings": settings}
    return Teacher(folder, key, about["weights"], encoder, about)


def _about(folder: Path) -> dict:
    return json.loads((folder / "teacher.json").read_text(encoding="utf-8"))


def _check_learned(task: Task, about: dict, *, enforce: bool) -> None:
    above = about["above_chance"]
    check_min_score(task, about["scores"]["dev"], above=above, enforce=enforce)


def teacher_settings(
    task: Task,
    config: TrainingConfig,
    source: str,
    name: str,
    learning_rate: float,
    seed: int,
    runtime: Runtime,
) -> dict:
    """All that decides a teacher, whose hash is its key. `name` ends in the encoder's weights."""
    return {
        "kind": "teacher",
        "task": task.name,
        "data": task.key,
        "encoder": name,
        "revision": hub_revision(source),
        "tokenizer": tokenizer_hash(Path(source)),
        "teacher_depth": config.teacher_depth,
        "learning_rate": learning_rate,
        "seed": seed,
        "epochs": config.teacher_epochs,
        "batch_size": config.batch_size,
        "max_length": config.max_length,
        "max_train": config.max_train,
        "max_validation": config.max_validation,
        "selection_split": config.selection_split,
        "precision": runtime.precision,
        "compiled": runtime.compiled,
        "torch": torch.__version__,
        "code": code_hash("ukd.training.teacher"),
    }


def hub_revision(source: str) -> str | None:
    """The commit of a hub id's files, which its name does not tell; None for a folder."""
    if Path(source).is_dir():
        return None
    return read_config(source)._commit_hash


def weights_of(folder: Path) -> str:
    """sha256 of the weights in a model's folder."""
    return files_hash(sorted(folder.glob("*.safetensors")))


def _fine_tune(
    folder: Path,
    task: Task,
    config: TrainingConfig,
    source: str,
    learning_rate: float,
    seed: int,
    runtime: Runtime,
    checkpoints: Path,
) -> None:
    """Train on labels, keep the best epoch, and write weights, tokenizer and `teacher.json`.

    A training that was cut off continues from its last whole epoch.
    """
    logger.info(f"fine-tuning the teacher on {task.name}")
    tokenizer = load_tokenizer(source)
    check_length(task, tokenizer, config.max_length)
    check_data(task, tokenizer, config.max_length)
    _check_student(task, config, source)
    network = load_classifier(source, task, seed=seed, layers=config.teacher_depth)
    check_layers(network.config, source)
    check_family(network, tokenizer, source, config.max_length, texts=len(task.spec.columns))
    train, dev, validation = tokenized_splits(task, tokenizer, config)
    model = ClassifierWithHeads(network)
    steps = steps_per_epoch(len(train), config.batch_size)

    def batches(epoch: int, rank: int, world: int) -> Iterator[Batch]:
        return training_batches(train, config.batch_size, seed, epoch, rank, world)

    def objective(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = model(**batch.inputs)[:, -1]
        return {"labels": label_loss(logits, batch.labels, regression=task.spec.regression)}

    history = fit(
        model,
        batches,
        objective,
        Schedule(config.teacher_epochs, steps, learning_rate),
        runtime,
        score=lambda model: mean_metric(score(model, dev, task, runtime)),
        checkpoint=checkpoints / "labels.safetensors",
        label=f"teacher {task.name}",
    )
    splits = {"dev": dev, "validation": validation} | extra_splits(task, tokenizer, config)
    all_scores = {name: score(model, data, task, runtime) for name, data in splits.items()}
    save(model.network, tokenizer, folder)
    about = {
        "scores": all_scores,
        "above_chance": above_chance(dev.labels.numpy(), task.spec.metrics),
        "parameters": parameters(model.network),
        "layers": model.network.config.num_hidden_layers,
        "weights": weights_of(folder),
        "history": history,
    }
    write_json(folder / "teacher.json", about | provenance(runtime))


def _check_student(task: Task, config: TrainingConfig, encoder: str) -> None:
    """Raise ValueError for a student that can not be trained, before the teacher is.

    Its pretrained weights, or the word vectors of a new one, may not fit.
    """
    if config.student in STUDENTS and config.embeddings:
        initial_embeddings(config.embeddings, encoder, load_tokenizer(encoder))
    if config.student == "layers" or config.student in STUDENTS:
        return
    source = resolve_encoder(config.student)[0]
    network = load_classifier(source, task, seed=0, new_classifier=True)
    tokenizer = load_tokenizer(source)
    check_family(network, tokenizer, source, config.max_length, texts=len(task.spec.columns))
