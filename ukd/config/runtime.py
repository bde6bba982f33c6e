"""Where things live, and how this machine computes.

Everything that depends on the environment (device, precision, threads, folders, progress) is decided here and nowhere else.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from tqdm import tqdm

from ukd.config.paths import cache_folder

PRECISIONS = ("auto", "float32", "bf16", "fp16")


@dataclass(frozen=True)
class Runtime:
    """Device, precision and threads of this process, with the reason for the precision; `compiled`: train through `torch.compile`."""

    device: str
    precision: str
    threads: int
    reason: str
    compiled: bool = False


def choose_runtime(precision: str = "auto", *, compiled: bool = False) -> Runtime:
    """Choose device and precision: CUDA, then MPS, then CPU; the precision is what the device does fast.

    Raises ValueError for a precision that is not one of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose one of: {', '.join(PRECISIONS)}")
    device = (
        "cuda"
        if torch.cuda.is_available()
        else "mps"
        if torch.backends.mps.is_available()
        else "cpu"
    )
    chosen, reason = (precision, "asked for") if precision != "auto" else _fast_precision(device)
    return Runtime(device, chosen, torch.get_num_threads(), reason, compiled)


def attention_kernel() -> str | None:
    """transformers' name of the attention code to use: plain matrix products ("eager") where there is no CUDA device, since in
    bf16 on a CPU a training step with torch's fused attention takes up to twice as long; the library's own choice elsewhere."""
    return None if torch.cuda.is_available() else "eager"


@functools.cache
def _fast_precision(device: str) -> tuple[str, str]:
    if device == "cuda":
        if torch.cuda.get_device_capability()[0] >= 8:
            return "bf16", "this GPU has fast bf16"
        return "fp16", "this GPU has no fast bf16; fp16 with loss scaling"
    if device == "mps":
        return "float32", "autocast on MPS is not used"
    ratio = _measured_once()
    fast = ratio >= 1.5
    return (
        "bf16" if fast else "float32"
    ), f"a bf16 matrix product ran {ratio:.2g} times as fast as a float32 one"


def _measured_once() -> float:
    """float32 seconds over bf16 seconds, kept in the cache: a busy moment must not change what settings are equal."""
    path, key = cache_folder() / "precision.json", f"{platform.node()}, torch {torch.__version__}"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if key not in known:
        known[key] = round(_matmul_seconds(torch.float32) / _matmul_seconds(torch.bfloat16), 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(path)
    return known[key]


def _matmul_seconds(dtype: torch.dtype, size: int = 512, repeats: int = 9) -> float:
    """Best of `repeats` seconds for one product of two (size, size) matrices."""
    a, best = torch.ones(size, size, dtype=dtype), float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return best


def bars() -> bool:
    """Whether progress shows as bars: on a terminal, in the process that owns it; elsewhere plain lines are printed."""
    return sys.stderr.isatty() and rank() == 0 and multiprocessing.parent_process() is None


def progress(items: Iterable, label: str, total: int | None = None) -> Iterator:
    """`items` with a progress bar on a terminal; silent elsewhere, where callers print plain lines with `say`."""
    return tqdm(items, desc=label, total=total, leave=False, disable=not bars())


def rank() -> int:
    """The number of this process among those that train together, as their launcher set it; 0 for one alone."""
    return int(os.environ.get("RANK", "0"))


def say(text: str) -> None:
    """One plain line about what is going on, on standard error so that tables on standard output stay clean."""
    if os.environ.get("UKD_QUIET") != "1" and rank() == 0:
        tqdm.write(text, file=sys.stderr)
