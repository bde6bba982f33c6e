"""Where things live: embedded data, cache, new runs."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def data_folder() -> Path:
    """The kit's own data: `data/` beside the package in a clone, inside the package in a wheel."""
    beside = PACKAGE.parent / "data"
    inside = PACKAGE / "_data"
    return beside if (beside / "README.md").is_file() or not inside.is_dir() else inside


def in_clone() -> bool:
    """Whether the package runs from a clone of its repository, not from site-packages."""
    return (PACKAGE.parent / "pyproject.toml").is_file()


def cache_folder() -> Path:
    """Teachers and their logits: `$UKD_CACHE`, else `.ukd/` in a clone, else `~/.cache/ukd`."""
    default = PACKAGE.parent / ".ukd" if in_clone() else Path.home() / ".cache" / "ukd"
    return _folder_from("UKD_CACHE", default)


def runs_folder() -> Path:
    """New run records: `$UKD_RUNS`, else `runs/` in a clone, else `./runs`."""
    default = (PACKAGE.parent if in_clone() else Path.cwd()) / "runs"
    return _folder_from("UKD_RUNS", default)


def _folder_from(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, `~` expanded."""
    return Path(os.environ.get(variable) or default).expanduser()
