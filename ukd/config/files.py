"""Files of the cache and of runs: written whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from ukd.config.disk import full_disk_named, make_folder, share
from ukd.config.runtime import rank

WAIT_SECONDS = 600


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its name if the block succeeds, else vanishes.

    Raises DiskFull where it has no room.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with full_disk_named(path.parent):
            make_folder(path.parent)
            temporary.touch()
            rights = temporary.stat().st_mode
            yield temporary
            temporary.chmod(rights)  # safetensors writes for this account alone
            share(temporary)
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
def atomic_folder(folder: Path, *, shared: bool = True) -> Iterator[Path]:
    """A temporary folder that takes the name `folder` if the block succeeds, else vanishes.

    Of processes that train together the first one's takes the name, since libraries write weights
    in that one alone. The others wait for it.

    Args:
        folder: where it goes.
        shared: its name says what made it, so one that another process made meanwhile is equal and
            is kept. Without, FileExistsError is raised.

    Raises: DiskFull where it has no room.
    """
    _clear_half_made(folder)
    # tempfile.mkdtemp would make it for this user alone.
    building = folder.parent / f"{_half_made_prefix(folder)}{os.getpid()}.{secrets.token_hex(4)}"
    try:
        with full_disk_named(folder.parent):
            make_folder(building)
            yield building
            _share(building)
            if rank() > 0:
                _wait_for(folder)
            else:
                _move(building, folder, shared)
    finally:
        rmtree(building, ignore_errors=True)


def _share(building: Path) -> None:
    """Give what is inside the folder's rights: safetensors writes for this account alone."""
    rights = stat.S_IMODE(building.stat().st_mode)
    for path in building.rglob("*"):
        path.chmod(rights if path.is_dir() else rights & 0o666)


def _half_made_prefix(folder: Path) -> str:
    """How the names of this machine's half-made folders begin."""
    return f".{folder.name}.{platform.node()}."


def _clear_half_made(folder: Path) -> None:
    """Remove what killed processes of this machine left of `folder`."""
    prefix = _half_made_prefix(folder)
    for path in folder.parent.iterdir() if folder.parent.is_dir() else ():
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
