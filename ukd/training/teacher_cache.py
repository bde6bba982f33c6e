"""What the teacher's layers say of every example: asked once, kept on disk, found by the number of the row; or asked live."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

import numpy as np
import torch
from torch import Tensor

from ukd.config.files import atomic_folder, write_json
from ukd.config.keys import code_hash, config_hash
from ukd.config.paths import cache_folder
from ukd.config.runtime import Runtime, say
from ukd.data.batches import Batch, TokenizedSplit
from ukd.data.tasks import Task
from ukd.heads import Frozen
from ukd.training.loop import autocast, evaluate
from ukd.training.teacher import Teacher
from ukd.training.teacher_heads import HiddenStateExtractor

TeacherLogits = Callable[[Batch], Tensor]


def cache_teacher(
    teacher: Teacher,
    task: Task,
    split: str,
    data: TokenizedSplit,
    *,
    runtime: Runtime,
    states: str | None = None,
) -> Tensor:
    """What every teacher layer says of every row of a split: (rows of the split, T, C), NaN where a row was not asked for.

    Computed once per teacher, heads, tokens, rows and precision; later runs map the file into memory, several at a time if
    need be. A file that is cut short or altered is noticed by its checksum, with a warning, and made anew. Output-space
    distillation needs nothing else of the teacher. With `states` ("first" or "mean") the states of the layers below the last
    instead, pooled in that way: (rows of the split, T - 1, D), for methods in the hidden space.
    """
    key = config_hash(
        teacher.key,
        teacher.heads.name,
        data.key,
        runtime.precision,
        code_hash("ukd.training.teacher_cache"),
        states,
    )
    folder = cache_folder() / "outputs" / f"{task.name}-{split}-{key}"
    if (folder / "made.json").is_file() and not _whole(folder):
        warnings.warn(
            f"the teacher outputs in {folder} are damaged; asking the teacher again", stacklevel=2
        )
        rmtree(folder)
    if not (folder / "made.json").is_file():
        say(f"asking the teacher once about {len(data)} {split} examples of {task.name}")
        with atomic_folder(folder) as building:
            path = _ask(building / "outputs.npy", _asked(teacher, task, states), data, runtime)
            said = {
                "teacher": teacher.key,
                "split": split,
                "settings": asdict(runtime),
                "sha256": sha256_of(path),
            }
            write_json(building / "made.json", said)
    return torch.from_numpy(np.load(folder / "outputs.npy", mmap_mode="c"))


def _asked(teacher: Teacher, task: Task, states: str | None) -> Frozen:
    """What answers: the teacher with its pseudo classifiers, or its layers' states."""
    frozen = teacher.load(task)
    return frozen if states is None else HiddenStateExtractor(frozen.module.network, states)


def _ask(path: Path, frozen: Frozen, data: TokenizedSplit, runtime: Runtime) -> Path:
    """Write the outputs batch by batch, so that memory does not grow with the examples."""
    table = None
    for rows, logits in evaluate(frozen, data, runtime):
        if table is None:
            shape = (int(data.rows.max()) + 1, *logits.shape[1:])
            table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            table[:] = np.nan
        table[rows.numpy()] = logits.numpy()
    table.flush()
    return path


def _whole(folder: Path) -> bool:
    said, path = (
        json.loads((folder / "made.json").read_text(encoding="utf-8")),
        folder / "outputs.npy",
    )
    return path.is_file() and sha256_of(path) == said["sha256"]


def sha256_of(path: Path) -> str:
    """Digest of a file, read in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept(table: Tensor, device: str | None = None) -> TeacherLogits:
    """Answers from what was kept: batch -> (B, T, C), by the numbers of its rows; with `device` the table stays where it is."""
    if device is None:
        return lambda batch: table[batch.rows]
    return lambda batch: table[batch.rows.to(table.device)].to(device)


def live(
    teacher: Teacher,
    task: Task,
    runtime: Runtime,
    data: TokenizedSplit | None = None,
    *,
    states: str | None = None,
) -> TeacherLogits:
    """Answers of the teacher itself: batch -> (B, T, C), a forward pass through all its layers each time.

    data: the rows in the teacher's tokens, where the batches hold the tokens of a student with another tokenizer.
    """
    frozen = _asked(teacher, task, states).to(runtime.device)
    position = {} if data is None else {int(row): number for number, row in enumerate(data.rows)}

    def ask(batch: Batch) -> Tensor:
        if data is not None:
            batch = data.batch([position[int(row)] for row in batch.rows]).to(runtime.device)
        with autocast(runtime):
            return frozen(**batch.inputs).float()

    return ask
