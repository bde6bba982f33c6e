"""A teacher's logits in a folder of their own: all that output-space distilling needs of it.

A student from kept logits equals one from the teacher itself, to the last bit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ukd.config.files import atomic_folder, write_json
from ukd.config.keys import HASH_LENGTH, config_hash, files_hash
from ukd.config.paths import data_folder
from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, choose_runtime
from ukd.data.batches import tokenized_splits
from ukd.data.tasks import Task
from ukd.heads import Frozen
from ukd.models.bundled import encoder_named
from ukd.models.encoders import load_tokenizer
from ukd.training.scoring import check_min_score
from ukd.training.teacher import Teacher, check_saw, train_teacher
from ukd.training.teacher_cache import cache_teacher
from ukd.training.teacher_heads import fit_heads

LOGITS_FILE = "logits.safetensors"
TEACHER_NOTE = "teacher.json"
ROWS = "_rows"  # after a split's name: the numbers of the rows that are kept
KEPT = ("layers", "parameters", "scores", "encoder", "learning_rate", "seed", "settings")


@dataclass(frozen=True)
class KeptTeacher(Teacher):
    """A teacher of which logits, scores and settings are left, without its weights.

    Attributes:
        logits: by split, (rows of the split, T, C).
    """

    logits: dict[str, Tensor]

    @property
    def saw(self) -> tuple[str, str]:
        """Name and key of the task whose rows the logits are of."""
        return self.about["task"], self.about["data"]

    @property
    def heads(self) -> Path:
        """A name for its pseudo classifiers, which are in the logits."""
        return self.folder / f"heads-{self.heads_key}"

    @property
    def heads_key(self) -> str:
        """Hash of the logits, and so of what the pseudo classifiers gave."""
        return files_hash([self.folder / LOGITS_FILE])[:HASH_LENGTH]

    def kept_logits(self, split: str) -> Tensor | None:
        """Its logits for the rows of a split, (rows, T, C)."""
        return self.logits[split]

    def load(self, task: Task) -> Frozen:
        """Raise ValueError: there are no weights."""
        raise ValueError(
            f"only the logits of the teacher in {self.folder} are kept, so it can't run on "
            f"{task.name}: take a method in the output space, or train a teacher"
        )


def check_new(folder: Path) -> None:
    """Raise FileExistsError for a folder that is there, since logits are never overwritten."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists: choose another folder, or remove it")


def keep_logits(
    teacher: Teacher,
    task: Task,
    folder: Path,
    *,
    config: TrainingConfig,
    runtime: Runtime | None = None,
) -> KeptTeacher:
    """Write a teacher's logits on train and validation, its scores and settings, to a new folder.

    The folder holds `logits.safetensors`, float32 of (rows, T, C) for each split, and
    `teacher.json`. Where a limit leaves rows out, those kept are named beside it, as "train_rows".
    Nothing of the texts or labels is in it.

    Raises: FileExistsError for a folder that is there; ValueError for another task or another
    `max_length` than the teacher's, which its students are held to.
    """
    check_new(folder)
    teacher.check_task(task)
    length = teacher.about["settings"]["max_length"]
    if config.max_length != length:
        raise ValueError(
            f"max_length is {config.max_length}, and the teacher in {teacher.folder} was trained "
            f"on {length} tokens: take {length}, which its students are held to"
        )
    runtime = runtime or choose_runtime()
    heads = fit_heads(teacher, task, config=config, runtime=runtime)
    train, dev, validation = tokenized_splits(task, load_tokenizer(teacher.folder), config)
    dev_split = "train" if config.selection_split == "dev" else "validation"
    tables: dict[str, Tensor] = {}
    for split, data in (("train", train), (dev_split, dev), ("validation", validation)):
        found = cache_teacher(teacher, task, split, data, runtime=runtime)
        if split not in tables:
            shape = (len(task.dataset[split]), *found.shape[1:])
            tables[split] = torch.full(shape, torch.nan)  # rows that a limit leaves out
        tables[split][data.rows] = found[data.rows]
    about = {name: teacher.about[name] for name in KEPT}
    if "above_chance" in teacher.about:
        about["above_chance"] = teacher.about["above_chance"]
    with atomic_folder(folder) as building:
        save_file(_without_gaps(tables), building / LOGITS_FILE)
        about |= {
            "task": task.name,
            "data": task.key,
            "precision": runtime.precision,
            "key": teacher.key,
            "weights": teacher.weights,
            "heads": heads,
            "sha256": files_hash([building / LOGITS_FILE]),
        }
        write_json(building / TEACHER_NOTE, about | {"note": config_hash(about)})
    return load_kept_teacher(folder, task, encoder=teacher.encoder)


def _without_gaps(tables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tables without the rows that are not there, whose numbers are noted where some are not."""
    kept = {}
    for split, table in tables.items():
        there = ~table.isnan().any(2).any(1)
        kept[split] = table[there]
        if not there.all():
            kept[split + ROWS] = there.nonzero().flatten().int()
    return kept


def read_logits(folder: Path, task: Task) -> dict[str, Tensor]:
    """By split, logits (rows of the split, T, C); NaN in rows that were left out."""
    kept = load_file(folder / LOGITS_FILE)
    tables = {}
    for split in [name for name in kept if not name.endswith(ROWS)]:
        tables[split] = kept[split]
        if (rows := kept.get(split + ROWS)) is not None:
            shape = (len(task.dataset[split]), *kept[split].shape[1:])
            tables[split] = torch.full(shape, torch.nan)
            tables[split][rows] = kept[split]
    return tables


def load_kept_teacher(folder: Path | str, task: Task, *, encoder: str | None = None) -> KeptTeacher:
    """The teacher whose logits a folder holds, for `distill` as any other.

    Args:
        folder: a folder, or the name of one in the kit's own `data/teachers`.
        encoder: where the encoder is that it was made from, of which a student takes layers or
            tokenizer; by default the bundled one.

    Raises: ValueError for a folder that holds no logits, damaged ones, or those of other data.
    """
    folder, about = _read_note(folder)
    check_saw((about["task"], about["data"]), task, folder)
    logits = read_logits(folder, task)
    encoder = encoder or encoder_named(about["encoder"])
    return KeptTeacher(folder, about["key"], about["weights"], encoder, about, logits)


def _read_note(folder: Path | str) -> tuple[Path, dict]:
    """Where a teacher's logits are, and what is noted of them; raises ValueError as its caller."""
    remedy = "take the folder from where it came, or write it again (ukd logits)"
    ours = data_folder() / "teachers" / folder
    folder = Path(folder).expanduser()
    folder = ours if ours.is_dir() and not folder.is_dir() else folder
    try:
        about = json.loads((folder / TEACHER_NOTE).read_text(encoding="utf-8"))
        # Its scores go into every record of a student, so a changed one would be a wrong result.
        damaged = [TEACHER_NOTE] if about.pop("note") != config_hash(about) else []
        if files_hash([folder / LOGITS_FILE]) != about["sha256"]:
            damaged.append(LOGITS_FILE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder} holds no teacher's logits ({error}): {remedy}") from error
    if damaged:
        raise ValueError(f"{folder / damaged[0]} is damaged: {remedy}")
    return folder, about


def with_depth_of(kept: Path | None, config: TrainingConfig) -> TrainingConfig:
    """The budget with the depth of the teacher whose logits are kept, which is not the preset's.

    Raises: ValueError for a folder that holds no logits, or damaged ones.
    """
    if kept is None:
        return config
    return replace(config, teacher_depth=_read_note(kept)[1]["layers"])


def teacher_of(
    task: Task,
    kept: Path | None,
    *,
    config: TrainingConfig,
    encoder: str | None = None,
    runtime: Runtime | None = None,
) -> Teacher:
    """The teacher of a run: of kept logits where a folder is given, else trained once.

    Raises: ValueError as in `load_kept_teacher` and `train_teacher`; a teacher that is too weak is
    refused in either case.
    """
    if kept is None:
        return train_teacher(task, config=config, encoder=encoder, runtime=runtime)
    teacher = load_kept_teacher(kept, task, encoder=encoder or config.encoder)
    above = teacher.about.get("above_chance", 0.0)  # not noted beside logits kept earlier
    enforce = config.enforce_min_teacher_score
    check_min_score(task, teacher.about["scores"]["dev"], above=above, enforce=enforce)
    return teacher
