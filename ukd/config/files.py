"""Files of the cache and of runs: written whole or not at all, by one process at a time."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from filelock import FileLock

from ukd.config.runtime import logger, rank

WAIT_SECONDS = 600


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name if the block succeeds, else vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Write JSON whole or not at all. Raises FileExistsError for a file that is there."""
    if path.exists():
        raise FileExistsError(
            f"{path} exists; records are never overwritten: remove it or choose another folder"
        )
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`, on all machines that share the disk.

    Others wait. A lock ends with its process, however that ends. Of processes that train together
    the first one locks for all.
    """
    if rank() > 0:
        yield
        return
    locks = folder.parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / folder.name)
    if not _acquired_at_once(lock):
        logger.info(f"waiting for another process that is making {folder.name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _acquired_at_once(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except TimeoutError:  # filelock's Timeout is one
        return False
    return True


@contextmanager
def atomic_folder(folder: Path, *, shared: bool = True) -> Iterator[Path]:
    """A temporary folder that takes the name `folder` if the block succeeds, else vanishes.

    Of processes that train together the first one's takes the name, since libraries write weights
    in that one alone. The others wait for it.

    Args:
        folder: where it goes.
        shared: its name says what made it, so one that another process made meanwhile is equal and
            is kept. Without, FileExistsError is raised.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_half_made(folder)
    # tempfile.mkdtemp would make it for this user alone.
    building = folder.parent / f"{_half_made_prefix(folder)}{os.getpid()}.{secrets.token_hex(4)}"
    building.mkdir()
    try:
        yield building
        _share(building)
        if rank() > 0:
            _wait_for(folder)
        else:
            _move(building, folder, shared)
    finally:
        rmtree(building, ignore_errors=True)


def _share(building: Path) -> None:
    """Give files the folder's rights: safetensors writes them for this account alone."""
    rights = building.stat().st_mode & 0o666
    for path in building.rglob("*"):
        if path.is_file():
            path.chmod(rights)


def _half_made_prefix(folder: Path) -> str:
    """How the names of this machine's half-made folders begin."""
    return f".{folder.name}.{platform.node()}."


def _clear_half_made(folder: Path) -> None:
    """Remove what killed processes of this machine left of `folder`."""
    prefix = _half_made_prefix(folder)
    for path in folder.parent.iterdir():
        process = path.name.removeprefix(prefix).partition(".")[0]
        if path.name.startswith(prefix) and process.isdigit() and not _is_alive(int(process)):
            rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another account
        return True
    return True


def _move(building: Path, folder: Path, shared: bool) -> None:
    """Give a folder its name, unless another process took it first."""
    try:
        building.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        if not shared:
            raise FileExistsError(
                f"{folder} was made by another process meanwhile and is kept: run again with "
                "another folder, and what was trained is found"
            ) from None


def _wait_for(folder: Path) -> None:
    """Wait for the first process's folder. Raises TimeoutError."""
    end = time.monotonic() + WAIT_SECONDS
    while not folder.is_dir():
        if time.monotonic() > end:
            raise TimeoutError(
                f"the first process did not make {folder} within {WAIT_SECONDS} seconds of this one"
            )
        time.sleep(0.1)
