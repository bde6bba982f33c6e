"""Run records: one immutable JSON file per run, from which every table and figure is derived."""

from __future__ import annotations

import json
import os
import platform
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree, which

from filelock import FileLock, Timeout

from ukd.config import PACKAGE, Compute, in_clone, rank

FORMAT = 1
SEARCH = "search.json"  # in a set's folder, where rates were searched: rates by task, seeds, and other sets' files that count, too
WAIT_SECONDS = 600
PACKAGES = ("ukd", "torch", "transformers", "datasets", "accelerate", "tokenizers", "numpy", "scikit-learn", "scipy")


def provenance(compute: Compute) -> dict:
    """How a result was made: versions, device, precision, threads, commit and time; never a path."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device_name(compute.device),
        "precision": compute.precision,
        "threads": compute.threads,
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
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{device} ({model})"


def commit() -> str | None:
    """The clone's commit, with "+changes" when the package's code differs from it; None outside a clone and where there is no git."""
    if not in_clone() or not which("git"):
        return None
    git = lambda *args: subprocess.run(("git", "-C", str(PACKAGE), *args), capture_output=True, text=True).stdout.strip()  # noqa: E731
    head = git("rev-parse", "--short=12", "HEAD")
    return (head + ("+changes" if git("status", "--porcelain", "--", ".") else "")) or None


def write_json(path: Path, content: dict) -> None:
    """Write JSON whole or not at all, and never over an existing file. Raises FileExistsError."""
    if path.exists():
        raise FileExistsError(f"{path} exists; records are never overwritten: remove it or choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_records(folder: Path) -> list[dict]:
    """All run records below a folder, in the order of their paths. Raises ValueError that names a damaged file.

    Those of a set with a `search.json` have it in their settings as `searched`; the runs of other sets that it names come last.
    """
    folder, records, places, searches = Path(folder).resolve(), [], [], {}
    for path in sorted(folder.rglob("*.json")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not a readable record ({error}); remove it and run again") from error
        if path.name == SEARCH:
            searches[path.parent] = record
        elif isinstance(record, dict) and "method" in record and "scores" in record:
            records.append(record)
            places.append(path.parent)
    for place, search in searches.items():
        if gone := [name for name in search["with"] if not (place.parent / name).is_file()]:
            raise ValueError(f"{place / SEARCH} counts {gone[0]}, which is not beside it: bring that record back")
        mine = [record for record, one in zip(records, places, strict=False) if one == place]
        others = [json.loads((place.parent / name).read_text(encoding="utf-8")) for name in search["with"]]
        for record in (*mine, *others):
            record["settings"]["searched"] = {"rates": search["rates"], "seeds": search["seeds"]}
        records += others
    return records


def made_once(folder: Path, make: Callable[[Path], None], made: dict) -> Path:
    """`folder` as `make` fills it, made once: built beside it and moved into place whole, with `made.json` saying how."""
    with claim(folder):
        if not (folder / "made.json").is_file():
            with whole_folder(folder) as building:
                make(building)
                write_json(building / "made.json", made)
    return folder


class Busy(Exception):
    """Another process is making this just now."""


_WAITS = ContextVar("waits", default=True)


@contextmanager
def without_waiting() -> Iterator[None]:
    """In this block `claim` raises Busy instead of waiting."""
    before = _WAITS.set(False)
    try:
        yield
    finally:
        _WAITS.reset(before)


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`, of all machines that share the disk. A lock ends with its process, however that ends.

    Raises Busy inside `without_waiting`. Of processes that train together the first one claims for all.
    """
    if rank() > 0:
        yield
        return
    (folder.parent / ".locks").mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / ".locks" / folder.name)
    try:
        lock.acquire(blocking=_WAITS.get())
    except Timeout:
        raise Busy(str(folder)) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_folder(folder: Path, *, shared: bool = True) -> Iterator[Path]:
    """A temporary folder that takes the name `folder` if the block succeeds and vanishes if it does not.

    Of several processes that train together the first one's takes the name (libraries write weights in that one alone), and the
    others wait for it.

    shared: a folder that another process made meanwhile is the same thing, named by what made it. Without, FileExistsError is raised.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"  # mkdtemp would make it for this user alone
    building.mkdir()
    try:
        yield building
        if rank() > 0:
            _wait_for(folder)
            return
        try:
            building.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            if not shared:
                raise FileExistsError(f"{folder} was made by another meanwhile, and is kept: run again with another folder, what was "
                                      "trained is found") from None  # fmt: skip
    finally:
        rmtree(building, ignore_errors=True)


def _wait_for(folder: Path) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not folder.is_dir():
        if time.monotonic() > end:
            raise TimeoutError(f"the first process did not make {folder} within {WAIT_SECONDS} seconds of this one")
        time.sleep(0.1)
