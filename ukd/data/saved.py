"""Folders that `save_to_disk` of Hugging Face's datasets wrote."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset, DatasetDict, load_from_disk

SAVED = ("dataset_dict.json", "dataset_info.json")  # what `save_to_disk` leaves


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
