"""Folders of data in the hub's layout: read once, then found in the cache, which is verified."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from datasets.exceptions import DatasetsError

from ukd.config.keys import HASH_LENGTH, config_hash, files_hash
from ukd.config.paths import cache_folder
from ukd.config.verified import build_verified

SAVED = ("dataset_dict.json", "dataset_info.json")  # what `save_to_disk` leaves
PATTERN = set("[]*?")  # as shells read them in a path
CODE = (".py", ".pyc")  # files in a folder of data that are no data


def is_saved(path: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((path / file).is_file() for file in SAVED)


def load_saved(path: Path) -> Dataset | DatasetDict:
    """What a folder holds. Raises ValueError for one that is damaged."""
    try:
        return load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"the folder {path.name!r} is damaged ({reason}): write it anew with save_to_disk"
        ) from error


def read_layout(name: str, path: Path) -> DatasetDict:
    """All splits of a task in a folder, in the hub's layout or as `save_to_disk` left it.

    Raises: ValueError for a folder that can't be read.
    """

    def make(building: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            load_dataset(str(path), name, cache_dir=scratch).save_to_disk(str(building))

    if (path / "dataset_dict.json").is_file():
        return load_saved(path)
    if PATTERN & set(str(path)):
        raise ValueError(
            f"source '{path}': the library that reads it takes {' '.join(sorted(PATTERN))} in a "
            "path for a pattern: give the folder another name, or pass a link to it"
        )
    try:
        folder = dataset_cache(path) / name
        build_verified(folder, make, {"kind": "rows", "task": name}, "copy of the rows")
        return load_from_disk(str(folder))
    except (OSError, ValueError, DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{name} can't be read from {path} ({reason}): pass a folder in the hub's layout, "
            "with whole files, or one written by save_to_disk"
        ) from error


def dataset_cache(path: Path) -> Path:
    """Where `load_dataset` keeps what it reads from a file or folder, by its content.

    In one place for all it would find a changed file under the same name, and serve the old rows.
    """
    if path.is_file():
        content = files_hash([path])[:HASH_LENGTH]
    else:
        content = config_hash({name: files_hash([file]) for name, file in data_files(path)})
    return cache_folder() / "datasets" / content


def data_files(folder: Path) -> list[tuple[str, Path]]:
    """Every file under a folder by its relative name; hidden ones and code are left out.

    Links to folders are followed, as `load_dataset` does.
    """
    files = []
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        above = {parent.resolve() for parent in (here, *here.parents)}
        # A link to a folder above would lead in a circle.
        folders[:] = [name for name in folders if (here / name).resolve() not in above]
        for name in names:
            path = here / name
            relative = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in relative.parts)
            if path.is_file() and not hidden and path.suffix not in CODE:
                files.append((relative.as_posix(), path))
    return sorted(files)
