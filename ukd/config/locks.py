"""One process at a time makes a folder, on all machines that share its disk."""

from __future__ import annotations

import fcntl
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ukd.config.disk import make_folder, share
from ukd.config.runtime import logger, rank


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`, on all machines that share the disk.

    Others wait, and say so. A lock ends with its process, however that ends. Of processes that
    train together the first one locks for all. On a disk without locks work goes on without one:
    folders are moved to their place whole, so the worst is work that two processes do twice.
    """
    if rank() > 0:
        yield
        return
    locks = folder.parent / ".locks"
    make_folder(locks)
    file = _opened(locks / folder.name)
    try:
        _acquire(file, folder)
        yield
    finally:
        os.close(file)  # and with it goes the lock


def _opened(path: Path) -> int:
    """A lock's file. One of another account may be there to read alone: enough on most disks."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY)
    share(path)
    return file


def _acquire(file: int, folder: Path) -> None:
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # held; the latter on some disks
            logger.info(f"waiting for another process that is making {folder.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        _say_without_locks(str(folder.parent), error.strerror)


@functools.cache
def _say_without_locks(folder: str, reason: str) -> None:
    """Once for each folder."""
    logger.warning(
        f"the disk of {folder} has no file locks ({reason}): results stay the same, but two "
        "processes at once may do the same work twice. For locks set UKD_CACHE and UKD_RUNS to "
        "folders on another disk"
    )
