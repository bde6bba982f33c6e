"""Run records: one immutable JSON file per run, from which every table and figure is derived."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from shutil import rmtree

from filelock import FileLock, Timeout

from ukd.config.runtime import rank

WAIT_SECONDS = 600


def write_json(path: Path, content: dict) -> None:
    """Write JSON whole or not at all, and never over an existing file. Raises FileExistsError."""
    if path.exists():
        raise FileExistsError(
            f"{path} exists; records are never overwritten: remove it or choose another folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def build_once(folder: Path, make: Callable[[Path], None], made: dict) -> Path:
    """`folder` as `make` fills it, made once: built beside it and moved into place whole, with `made.json` saying how."""
    with folder_lock(folder):
        if not (folder / "made.json").is_file():
            with atomic_folder(folder) as building:
                make(building)
                write_json(building / "made.json", made)
    return folder


class Busy(Exception):
    """Another process is making this just now."""


_WAITS = ContextVar("waits", default=True)


@contextmanager
def without_waiting() -> Iterator[None]:
    """In this block `folder_lock` raises Busy instead of waiting."""
    before = _WAITS.set(False)
    try:
        yield
    finally:
        _WAITS.reset(before)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`, of all machines that share the disk. A lock ends with its process, however that ends.

    Raises Busy inside `without_waiting`. Of processes that train together the first one claims for all.
    """
    if rank() > 0:
        yield
        return
    (folder.parent / ".locks").mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / ".locks" / folder.name)
    try:
        lock.acquire(blocking=_WAITS.get())
    except Timeout:
        raise Busy(str(folder)) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def atomic_folder(folder: Path, *, shared: bool = True) -> Iterator[Path]:
    """A temporary folder that takes the name `folder` if the block succeeds and vanishes if it does not.

    Of several processes that train together the first one's takes the name (libraries write weights in that one alone), and the
    others wait for it.

    shared: a folder that another process made meanwhile is the same thing, named by what made it. Without, FileExistsError is raised.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = (
        folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    )  # mkdtemp would make it for this user alone
    building.mkdir()
    try:
        yield building
        if rank() > 0:
            _wait_for(folder)
            return
        try:
            building.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            if not shared:
                raise FileExistsError(
                    f"{folder} was made by another meanwhile, and is kept: run again with another folder, what was "
                    "trained is found"
                ) from None
    finally:
        rmtree(building, ignore_errors=True)


def _wait_for(folder: Path) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not folder.is_dir():
        if time.monotonic() > end:
            raise TimeoutError(
                f"the first process did not make {folder} within {WAIT_SECONDS} seconds of this one"
            )
        time.sleep(0.1)
