"""How this machine computes: device, precision, threads, progress and log lines."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from ukd.config.choices import AUTO_PRECISION, PRECISIONS

AMPERE = 8  # compute capability of the first NVIDIA GPUs with bf16
CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
HALF_FLAGS = {  # as Linux names a CPU's instructions
    "bf16": {"avx512_bf16", "amx_bf16"},
    "fp16": {"avx512_fp16", "amx_fp16"},
}


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

    Threads are torch's own number, and no more than the cores that this process may use.
    "auto" takes bf16 on GPUs of compute capability 8 and on CPUs with avx512_bf16 or amx_bf16,
    fp16 on older GPUs, and float32 elsewhere. So machines of one kind make equal runs.
    A CPU without the instructions for the precision that is asked for is warned of: it took 60
    times as long as in float32 (a matrix product on an EPYC with avx2).

    Raises: ValueError for a precision that is neither "auto" nor one of `PRECISIONS`.
    """
    known = (AUTO_PRECISION, *PRECISIONS)
    if precision not in known:
        raise ValueError(f"unknown precision {precision!r}; choose one of: {', '.join(known)}")
    device = _best_device()
    reason = "asked for"
    if precision == AUTO_PRECISION:
        precision, reason = _default_precision(device)
    elif device == "cpu" and precision in HALF_FLAGS and not _half_instructions(precision):
        lack = f"this CPU has no {precision} instructions"
        reason += f"; {lack}"
        logger.warning(f"{lack}: a run can take 60 times as long. Remedy: --precision float32")
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
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
    flags = _half_instructions("bf16")
    if flags:
        return "bf16", f"this CPU has {' and '.join(flags)}"
    return "float32", "this CPU has no bf16 instructions"


def _half_instructions(precision: str) -> list[str]:
    """The instructions that this CPU has for "bf16" or "fp16", by name."""
    return sorted(HALF_FLAGS[precision] & set(cpuinfo("flags").split()))


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
    """Cores that this process may use: those of its affinity, within quotas of control groups."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return max(1, min([cores, *_quotas()]))


def _quotas() -> Iterator[int]:
    """Whole cores that Linux grants this process's control group and those above it.

    A container sees its own group at the top. A batch system's jobs are in groups below.
    """
    own = _text(OWN_GROUPS)
    for line in own.splitlines() or ["0::/"]:
        _, controllers, path = line.split(":", 2)
        group = Path(path.lstrip("/"))
        for place in (group, *group.parents):
            if not controllers:  # version 2: "200000 100000" says 2
                quota = _text(CONTROL_GROUPS / place / "cpu.max")
            elif "cpu" in controllers.split(","):
                folder = CONTROL_GROUPS / "cpu" / place
                quota = " ".join(_text(folder / f"cpu.cfs_{n}_us") for n in ("quota", "period"))
            else:
                continue
            # Else there is no such file, or no limit: "max", or -1.
            if re.fullmatch(r"\d+\s+[1-9]\d*\s*", quota):
                granted, period = quota.split()
                yield int(granted) // int(period)


def _text(file: Path) -> str:
    """A file's content; empty where it can't be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


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
