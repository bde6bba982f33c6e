"""Run records: one immutable JSON file per run, from which every table and figure is derived."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import which

from ukd.config.paths import PACKAGE, in_clone
from ukd.config.runtime import Runtime

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
    """How a result was made: versions, device, precision, threads, commit and time; never a path."""
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
        import torch

        return f"cuda ({torch.cuda.get_device_name()})"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
    return f"{device} ({model})"


def commit() -> str | None:
    """The clone's commit, with "+changes" when the package's code differs from it; None outside a clone and where there is no git."""
    if not in_clone() or not which("git"):
        return None
    git = lambda *args: subprocess.run(
        ("git", "-C", str(PACKAGE), *args), capture_output=True, text=True
    ).stdout.strip()
    head = git("rev-parse", "--short=12", "HEAD")
    return (head + ("+changes" if git("status", "--porcelain", "--", ".") else "")) or None
