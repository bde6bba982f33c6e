"""`ukd doctor`: what this machine has, what the package chose and why, and remedies."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

NO_HUB = "the synthetic suite needs no hub"
HUB_SECONDS = 3


def doctor() -> int:
    """Say what this machine has, what was chosen, and what is missing.

    Every missing thing is named with its remedy; the exit status is 1 then.
    """
    from ukd.config.paths import cache_folder, data_folder, runs_folder
    from ukd.config.provenance import device_name
    from ukd.config.runtime import choose_runtime

    runtime = choose_runtime()
    print(f"python     {platform.python_version()}")
    problems = _check_packages()
    print(f"device     {device_name(runtime.device)}, {runtime.threads} threads")
    print(f"precision  {runtime.precision}: {runtime.reason}")
    for name, folder in (("cache", cache_folder()), ("runs", runs_folder())):
        print(f"{name:10} {folder} ({_megabytes(folder):.1f} MB)")
        problems += _check_writable(folder)
    print(f"data       {data_folder()}")
    problems += _check_data(data_folder())
    print(f"hub        {_hub()}")
    for problem in problems:
        print(f"MISSING    {problem}", file=sys.stderr)
    return 1 if problems else 0


def _check_packages() -> list[str]:
    """Print the version of every package that is needed; what is wrong with them."""
    from packaging.requirements import Requirement

    problems = []
    for line in requires("ukd") or []:
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(needed.name)
        except PackageNotFoundError:
            problems.append(f"{needed.name} is not installed: pip install '{needed}'")
            continue
        print(f"{needed.name:18} {installed}")
        if not needed.specifier.contains(installed, prereleases=True):
            problems.append(f"{needed.name} {installed} does not fit: pip install '{needed}'")
    return problems


def _check_data(folder: Path) -> list[str]:
    from ukd.data.tasks import SYNTHETIC
    from ukd.models.bundled import bundled_encoder

    problems = []
    for name in SYNTHETIC:
        if not any((folder / "synthetic" / name).glob("*.parquet")):
            problems.append(
                f"task {name} is not in {folder / 'synthetic'}: `git checkout data`, or install "
                "the package again"
            )
    try:
        bundled_encoder()
    except ValueError as error:
        problems.append(str(error))
    return problems


def _megabytes(folder: Path) -> float:
    """Size of all files below a folder; 0 where there is none."""
    size = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        # Another process may remove a file meanwhile.
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size / 1e6


def _check_writable(folder: Path) -> list[str]:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if os.access(existing, os.W_OK):
        return []
    return [f"{folder} can't be written: set UKD_CACHE or UKD_RUNS to a folder of yours"]


def _hub() -> str:
    """Whether the hub can be reached; without it the report goes on."""
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return f"offline (HF_HUB_OFFLINE=1); {NO_HUB}"
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info("nyu-mll/glue", timeout=HUB_SECONDS)
    except Exception as error:
        return f"not reachable ({type(error).__name__}); {NO_HUB}"
    return "reachable"
