"""Disks: rights in a folder that several accounts share, room, and full disks in one sentence."""

from __future__ import annotations

import errno
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
# As libraries say it whose errors have no number.
FULL_TEXTS = ("no space left on device", "disk quota exceeded")
REMEDY = (
    "free some, or set UKD_CACHE and UKD_RUNS to folders on another disk; what is finished is "
    "kept, and the next call goes on"
)


class DiskFull(OSError):
    """There is no room for what is to be written; the sentence names the folder and the remedy."""


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise DiskFull where fewer than `needed` bytes are free for a folder that may not be yet.

    what: takes the room, for the sentence.
    """
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DiskFull(
            f"{what} takes up to {needed / 1e6:,.0f} MB in {folder}, and its disk has "
            f"{free / 1e6:,.0f} MB left: {REMEDY}"
        )


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Raise DiskFull in place of whatever a library raises for a full disk in the block."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if not _says_full(error):
            raise
        raise DiskFull(f"the disk of {folder} is full: {REMEDY}") from error


def _says_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error: some libraries fail once more when they close."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(text in str(error).lower() for text in FULL_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each shared as the one that holds it; see `share`."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):  # made by another process meanwhile
        folder.mkdir()
        share(folder)


def share(path: Path) -> None:
    """In a folder that its group may write to, let others do with what is new as they may with it.

    So several accounts can add to one cache, whatever the umask of each. A folder that everybody
    may write to, as /tmp, shares nothing.
    """
    above = path.parent.stat().st_mode
    if not above & stat.S_IWGRP or above & stat.S_IWOTH:
        return
    rights = path.stat().st_mode
    shared = above & (stat.S_IRWXG | stat.S_IRWXO)
    if not stat.S_ISDIR(rights):
        shared &= ~(stat.S_IXGRP | stat.S_IXOTH)
    with suppress(PermissionError):  # another account's, who has shared it or not
        path.chmod(stat.S_IMODE(rights) | shared)
