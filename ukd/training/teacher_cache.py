"""Cache of the teacher's logits, per layer and dataset row; and the same asked online."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ukd.config.keys import code_hash, config_hash
from ukd.config.paths import cache_folder
from ukd.config.runtime import Runtime, logger
from ukd.config.verified import build_verified
from ukd.data.batches import Batch, TokenizedSplit
from ukd.data.tasks import Task
from ukd.heads import Frozen
from ukd.methods.objective import TeacherLookup
from ukd.models.encoders import load_tokenizer
from ukd.training.loop import autocast, evaluate
from ukd.training.teacher import Teacher
from ukd.training.teacher_heads import HiddenStateExtractor


def cache_teacher(
    teacher: Teacher,
    task: Task,
    split: str,
    data: TokenizedSplit,
    *,
    runtime: Runtime,
    states: str | None = None,
) -> Tensor:
    """The logits of every teacher layer for every row of a split: (rows of the split, T, C).

    Rows that are not in `data` are NaN. The table is computed once for each teacher, heads, tokens,
    rows and precision, and mapped into memory; several processes can read it. A damaged file is set
    aside with a warning and computed anew.

    states: "first" or "mean" gives the states of the layers below the last, pooled in that way,
    instead of logits: (rows of the split, T - 1, D), for methods in the hidden space.

    Raises: ValueError for another task than the teacher's, rows of another split, tokens of another
    vocabulary, and rows that kept logits lack.
    """
    teacher.check_task(task)
    if data.split != split:
        raise ValueError(
            f"the data has rows of {data.split!r}, and the split named is {split!r}: name that of "
            "the data (a development part is of 'train')"
        )
    kept = teacher.kept_logits(split)
    if kept is not None:
        return _kept_rows(teacher, kept, split, data)
    settings = {
        "teacher": teacher.key,
        "weights": teacher.weights,
        "heads": teacher.heads_key,
        "data": data.key,
        "precision": runtime.precision,
        "states": states,
        "code": code_hash("ukd.training.teacher_cache"),
    }
    folder = cache_folder() / "outputs" / f"{task.name}-{split}-{config_hash(settings)}"

    def make(building: Path) -> None:
        logger.info(f"running the teacher on {len(data)} {split} examples of {task.name}")
        _check_tokens(teacher, data)
        network = _teacher_network(teacher, task, states)
        _write_table(building / "outputs.npy", network, data, runtime)

    build_verified(folder, make, settings, "table of teacher outputs")
    return torch.from_numpy(np.load(folder / "outputs.npy", mmap_mode="c"))


def _kept_rows(teacher: Teacher, table: Tensor, split: str, data: TokenizedSplit) -> Tensor:
    """The kept table. Raises ValueError where it lacks a row of the data."""
    lacking = [row for row in data.rows.tolist() if row >= len(table) or table[row].isnan().any()]
    if lacking:
        raise ValueError(
            f"the logits in {teacher.folder} lack {len(lacking)} rows of {split}, as row "
            f"{lacking[0]}: take the limits they were made with (max_train, max_validation)"
        )
    return table


def _check_tokens(teacher: Teacher, data: TokenizedSplit) -> None:
    """Raise ValueError for tokens of a student's own tokenizer, which the teacher would misread."""
    if data.tokenizer.get_vocab() != load_tokenizer(teacher.folder).get_vocab():
        raise ValueError(
            f"the data is in tokens of another vocabulary than the teacher's in {teacher.folder}: "
            "tokenise it by the teacher's own tokenizer"
        )


def _teacher_network(teacher: Teacher, task: Task, states: str | None) -> Frozen:
    """The teacher with its pseudo classifiers, or its layers' states, pooled as named."""
    frozen = teacher.load(task)
    return frozen if states is None else HiddenStateExtractor(frozen.module.network, states)


def _write_table(path: Path, network: Frozen, data: TokenizedSplit, runtime: Runtime) -> None:
    """Write the outputs batch by batch, so that memory does not grow with the examples."""
    table = None
    for rows, outputs in evaluate(network, data, runtime):
        if table is None:
            table = _empty_table(path, (int(data.rows.max()) + 1, *outputs.shape[1:]))
        table[rows.numpy()] = outputs.numpy()
    table.flush()


def _empty_table(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A file of NaN, mapped into memory.

    It is written first: where the disk is full that is an error, while a write into a mapped file
    without room ends the process.
    """
    row = np.full(shape[1:], np.nan, dtype=np.float32).tobytes()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(shape[0]):
            file.write(row)
    return np.lib.format.open_memmap(path, mode="r+")


def cached_logits(table: Tensor, device: str | None = None) -> TeacherLookup:
    """Look a batch up in a table by its row numbers: batch -> (B, T, C).

    device: where the result goes; the table stays where it is. By default both are at one place.
    """

    def lookup(batch: Batch) -> Tensor:
        """Logits (B, T, C) of the batch's rows."""
        if device is None:
            return table[batch.rows]
        return table[batch.rows.to(table.device)].to(device)

    return lookup


def online_logits(
    teacher: Teacher,
    task: Task,
    runtime: Runtime,
    data: TokenizedSplit | None = None,
    *,
    states: str | None = None,
) -> TeacherLookup:
    """Run the teacher itself for each batch: batch -> (B, T, C).

    data: the rows in the teacher's tokens, where the batches hold those of a student with another
        tokenizer.
    states: as in `cache_teacher`.
    """
    teacher.check_task(task)
    network = _teacher_network(teacher, task, states).to(runtime.device)
    positions = {}
    if data is not None:
        positions = {int(row): position for position, row in enumerate(data.rows)}

    def run(batch: Batch) -> Tensor:
        if data is not None:
            batch = data.batch([positions[int(row)] for row in batch.rows]).to(runtime.device)
        with autocast(runtime):
            return network(**batch.inputs).float()

    return run
