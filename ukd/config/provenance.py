"""How a result was made: versions, device, precision, commit and time; never a path."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import which

import torch

from ukd.config.paths import PACKAGE, in_clone
from ukd.config.runtime import Runtime, cpuinfo

PACKAGES = (
    "ukd",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "tokenizers",
    "numpy",
    "scikit-learn",
    "scipy",
)


def provenance(runtime: Runtime) -> dict:
    """Time, device, precision, threads, processes, versions and commit of what is made now."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device_name(runtime.device),
        "precision": runtime.precision,
        "threads": runtime.threads,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": commit(),
    }


def device_name(device: str) -> str:
    """Device and its model, as in "cpu (AMD EPYC)"."""
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    return f"{device} ({cpuinfo('model name') or platform.processor()})"


def commit(root: Path = PACKAGE) -> str | None:
    """The clone's commit, with "+changes" if the package's code differs from it.

    None outside a clone, and where there is no git.
    """
    if not in_clone() or not which("git"):
        return None
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    changes = "+changes" if _git(root, "status", "--porcelain", "--", ".") else ""
    return (head + changes) or None


def _git(folder: Path, *arguments: str) -> str:
    """What a git command prints; empty where it fails."""
    command = ("git", "-C", str(folder), *arguments)
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
