"""Independent work on several processes of this machine, by joblib."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool

import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import process_executor
from tqdm import tqdm

from ukd.config.runtime import logger, progress

IDLE_SECONDS = 10  # until a worker without work ends; the next stage takes it over
ORPHAN_SECONDS = 1.0  # between looks for the process that started this one


class WorkerLost(RuntimeError):
    """A process ended in the middle of its work."""


def in_processes(
    work: Callable[[object], object],
    items: Sequence[object],
    *,
    jobs: int,
    threads: int,
    label: str,
) -> list:
    """`work(item)` for every item, in `jobs` processes; results in the order of items.

    The first failure stops the rest and is raised here. Workers end when this process does, however
    it ends.

    Args:
        work: a function of a module, or a partial of one.
        items: what it is called with.
        jobs: processes, at least 2.
        threads: of torch, in each process.
        label: names the work in the progress bar and in log lines.

    Raises: WorkerLost for a process that was killed; whatever `work` raises.
    """
    # Threads that wait for each other by spinning stand still when others use their cores. Only
    # the processes started from here read this.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    workers = parallel_config(
        "loky",
        inner_max_num_threads=threads,
        idle_worker_timeout=IDLE_SECONDS,
        initializer=_start_worker,
        initargs=(threads, os.getpid()),
    )
    try:
        with workers:
            pool = Parallel(jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)
            done = pool(delayed(numbered)(index, work, one) for index, one in enumerate(items))
            return in_order(done, label, len(items))
    except BrokenProcessPool as error:
        raise WorkerLost(
            "a process was killed in the middle of its work, most often for want of memory: run "
            f"again with fewer processes (--jobs, now {jobs}) or smaller batches (--batch-size). "
            "What is finished is kept, and the next call continues"
        ) from error


def numbered(index: int, work: Callable, item: object) -> tuple[int, object]:
    """A result with the place of its item, since results come in the order they are finished."""
    return index, work(item)


def in_order(done: Iterable[tuple[int, object]], label: str, total: int) -> list:
    """Numbered results in the order of their numbers; each is said as it comes.

    Args:
        done: from `numbered`.
        label: names the work in the progress bar and in log lines.
        total: how many there will be.
    """
    results: list = [None] * total
    for count, (index, result) in enumerate(progress(done, label, total), start=1):
        results[index] = result
        logger.info(f"[{count}/{total}] {label} done")
    return results


def _start_worker(threads: int, parent: int) -> None:
    """In a new process: its share of the cores, and an end when its parent has ended."""
    torch.set_num_threads(threads)
    # By default a worker that has grown by 300 MB is ended between two items and replaced, with a
    # warning of a memory leak. Training grows by more than that, and leaks nothing: the memory is
    # there for the next item. There is no public setting.
    process_executor._MAX_MEMORY_LEAK_SIZE = math.inf
    # tqdm's own lock is shared between processes. Its semaphore would be reported as leaked when a
    # worker is killed, as on Ctrl-C; the bars of a worker are never shown.
    tqdm.set_lock(threading.RLock())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)
