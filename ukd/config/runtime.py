"""How this machine computes: device, precision, threads, progress and log lines."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from ukd.config.choices import AUTO_PRECISION, PRECISIONS

AMPERE = 8  # compute capability of the first NVIDIA GPUs with bf16
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}  # as Linux names a CPU's instructions


@dataclass(frozen=True)
class Runtime:
    """Device, precision and threads of this process.

    Attributes:
        device: "cuda", "mps" or "cpu".
        precision: "float32", "bf16" or "fp16"; weights are float32 in all.
        threads: of torch, in this process.
        reason: why this precision.
        compiled: train through `torch.compile`.
    """

    device: str
    precision: str
    threads: int
    reason: str
    compiled: bool = False


def choose_runtime(precision: str = AUTO_PRECISION, *, compiled: bool = False) -> Runtime:
    """Choose the device (CUDA, then MPS, then CPU) and the precision.

    "auto" takes bf16 on GPUs of compute capability 8 and on CPUs with avx512_bf16 or amx_bf16,
    fp16 on older GPUs, and float32 elsewhere. So machines of one kind make equal runs.

    Raises: ValueError for a precision that is neither "auto" nor one of `PRECISIONS`.
    """
    known = (AUTO_PRECISION, *PRECISIONS)
    if precision not in known:
        raise ValueError(f"unknown precision {precision!r}; choose one of: {', '.join(known)}")
    device = _best_device()
    reason = "asked for"
    if precision == AUTO_PRECISION:
        precision, reason = _default_precision(device)
    return Runtime(device, precision, torch.get_num_threads(), reason, compiled)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _default_precision(device: str) -> tuple[str, str]:
    """The precision that a device is fast in, and why."""
    if device == "cuda":
        if torch.cuda.get_device_capability()[0] >= AMPERE:
            return "bf16", "this GPU has bf16"
        return "fp16", "this GPU has no bf16; fp16 with loss scaling"
    if device == "mps":
        return "float32", "autocast on MPS is not used"
    flags = BF16_FLAGS & set(cpuinfo("flags").split())
    if flags:
        return "bf16", f"this CPU has {' and '.join(sorted(flags))}"
    return "float32", "this CPU has no bf16 instructions"


def cpuinfo(field: str, path: Path = Path("/proc/cpuinfo")) -> str:
    """A field of the first CPU as Linux states it; empty on other systems."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""


def attention_kernel() -> str | None:
    """The name that transformers has for the attention code to use; None for its own choice.

    "eager", plain matrix products, without a CUDA device: on a CPU in bf16 a training step with
    torch's fused attention takes up to twice as long.
    """
    return None if torch.cuda.is_available() else "eager"


def usable_cores() -> int:
    """Cores that this process may use: those of its affinity, within a container's quota."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, _cores_of_quota(CPU_QUOTA)))


def _cores_of_quota(file: Path) -> int:
    """Whole cores that a Linux control group grants, as "200000 100000" says 2; else very many."""
    try:
        quota, period = file.read_text(encoding="utf-8").split()
        return int(quota) // int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return sys.maxsize


def rank() -> int:
    """Number of this process among those that train together, as their launcher set it; else 0."""
    return int(os.environ.get("RANK", "0"))


def shows_bars() -> bool:
    """Whether progress shows as bars: on a terminal, in the process that owns it."""
    return sys.stderr.isatty() and rank() == 0 and multiprocessing.parent_process() is None


def progress(items: Iterable, label: str, total: int | None = None) -> Iterator:
    """`items` with a progress bar on a terminal; elsewhere callers log plain lines."""
    return tqdm(items, desc=label, total=total, leave=False, disable=not shows_bars())


class _LogHandler(logging.Handler):
    """Plain lines on standard error, above any progress bar; tables on standard output stay clean.

    UKD_QUIET=1 hides all but warnings. Of processes that train together the first one speaks.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        warns = record.levelno >= logging.WARNING
        if rank() > 0 or (os.environ.get("UKD_QUIET") == "1" and not warns):
            return
        tqdm.write(("warning: " if warns else "") + record.getMessage(), file=sys.stderr)


def _logger() -> logging.Logger:
    log = logging.getLogger("ukd")
    if not log.handlers:
        log.addHandler(_LogHandler())
        log.setLevel(logging.INFO)
        log.propagate = False
    return log


logger = _logger()
