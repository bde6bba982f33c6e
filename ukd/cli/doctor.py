"""`ukd doctor`: what this machine has, what the kit chose and why, and the remedy for what is missing."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ukd.config.paths import cache_folder, data_folder, runs_folder
from ukd.config.provenance import device_name
from ukd.config.runtime import choose_runtime
from ukd.models.bundled import BUNDLED_ENCODERS, bundled_encoder


def doctor() -> int:
    """Print the report; returns 0, or 1 when something the kit needs is missing (the remedy is printed with it)."""
    here = choose_runtime()
    print(f"python     {platform.python_version()}")
    problems = [*_packages()]
    print(f"device     {device_name(here.device)}, {here.threads} threads")
    print(f"precision  {here.precision}: {here.reason}")
    for name, folder in (("cache", cache_folder()), ("runs", runs_folder())):
        print(f"{name:10} {folder} ({_size(folder):.1f} MB)")
        problems += _writable(folder)
    print(f"data       {data_folder()}")
    if not (data_folder() / "sentiment").is_dir():
        problems.append(
            f"the synthetic suite is not in {data_folder()}: install the kit from a clone, or run `ukd data`"
        )
    for name in BUNDLED_ENCODERS:
        try:
            bundled_encoder(name)
        except ValueError as error:
            problems.append(str(error))
    print(f"hub        {_hub()}")
    for problem in problems:
        print(f"MISSING    {problem}", file=sys.stderr)
    return 1 if problems else 0


def _packages() -> list[str]:
    """Print the version of every package the kit needs; the problems found."""
    problems = []
    for line in requires("ukd") or []:
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            problems.append(f"{needed.name} is not installed: pip install '{needed}'")
            continue
        print(f"{needed.name:18} {found}")
        if not needed.specifier.contains(found, prereleases=True):
            problems.append(f"{needed.name} {found} does not fit: pip install '{needed}'")
    return problems


def _size(folder: Path) -> float:
    """Megabytes below a folder."""
    return (
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        if folder.is_dir()
        else 0.0
    )


def _writable(folder: Path) -> list[str]:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return (
        []
        if os.access(existing, os.W_OK)
        else [f"{folder} can't be written: set UKD_CACHE or UKD_RUNS to a folder of yours"]
    )


def _hub() -> str:
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return "offline (HF_HUB_OFFLINE=1); the synthetic suite needs no hub"
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info("nyu-mll/glue", timeout=3)
    except Exception as error:  # whatever keeps the hub away, the report goes on
        return f"not reachable ({type(error).__name__}); the synthetic suite needs no hub"
    return "reachable"
