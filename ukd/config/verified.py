"""Cached folders: built once, checked by the sha256 of their files, built anew if damaged."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ukd.config.files import atomic_folder, write_json
from ukd.config.keys import files_hash
from ukd.config.locks import folder_lock
from ukd.config.runtime import rank

NOTE = "made.json"
ASIDE = ".damaged-"  # in the name of a folder or file that was set aside


def build_verified(
    folder: Path, make: Callable[[Path], None], made: dict[str, object], content: str
) -> dict:
    """Build a folder once; where its files are not those that were written, set it aside first.

    A finished folder is only read, so that a cache can be shared without the right to write.

    Args:
        make: writes the files into the empty folder that it is given.
        made: what decides the content, for the note.
        content: what the folder holds, for the warning, as in "teacher".

    Returns: the folder's note: `made`, and the sha256 of each file by name.
    """
    if not is_whole(folder):
        with folder_lock(folder):
            # Another process may have built it while this one waited for the lock.
            if not is_whole(folder):
                set_aside(folder, content)
                with atomic_folder(folder) as building:
                    make(building)
                    write_json(building / NOTE, made | {"sha256": _checksums(building)})
    return read_note(folder)


def read_note(folder: Path) -> dict:
    """The note of a built folder. Raises OSError or ValueError where it can't be read."""
    return json.loads((folder / NOTE).read_text(encoding="utf-8"))


def noted(folder: Path) -> dict[str, str]:
    """The sha256 of each file by its name, as a folder's note has it.

    Raises OSError where there is none, or one that can't be read.
    """
    try:
        sums = read_note(folder)["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"{folder / NOTE} is damaged ({error})") from error
    if not sums or not isinstance(sums, dict):
        raise OSError(f"{folder / NOTE} is damaged: it names no files")
    return sums


def is_whole(folder: Path) -> bool:
    """Whether a folder has its note, and every file is as it was written.

    Raises PermissionError for what this account may not read: that need not be damaged.
    """
    try:
        expected = noted(folder)
        return all(files_hash([folder / name]) == digest for name, digest in expected.items())
    except PermissionError:
        raise
    except OSError:
        return False


def refuse_damaged(folder: Path) -> None:
    """Raise ValueError for a folder whose files are not as it or its parent noted them.

    One without a note, such as a model of another tool, passes.
    """
    for place in (folder, folder.parent):
        if (place / NOTE).is_file() and not is_whole(place):
            raise ValueError(
                f"{place} is damaged: its files are not as its {NOTE} has them; make it anew (the "
                "call that made it does that), or remove it"
            )


def refuse_changed(path: Path) -> None:
    """Raise ValueError for a file that is not as its folder's note has it, if there is a note."""
    with suppress(OSError):
        expected = noted(path.parent).get(path.name)
        if expected not in (None, files_hash([path])):
            raise ValueError(f"its sha256 is not the one in {NOTE}")


def set_aside(folder: Path, content: str) -> None:
    """Rename a damaged folder, with a warning, so that its place is free."""
    if rank() > 0 or not folder.exists():
        return
    aside = folder.with_name(f"{folder.name}{ASIDE}{secrets.token_hex(3)}")
    folder.rename(aside)
    warnings.warn(
        f"the {content} in {folder} is damaged: it is made anew, and what was there is kept as "
        f"{aside.name}; you may delete that",
        stacklevel=3,
    )


def write_checksums(folder: Path) -> None:
    """Write the note of a folder that holds folders, too; see `is_whole`."""
    write_json(folder / NOTE, {"sha256": _checksums(folder)})


def _checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file by its path in the folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): files_hash([path]) for path in files}
