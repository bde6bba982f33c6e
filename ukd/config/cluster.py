"""The same work on the workers of a dask cluster, which may be other machines.

joblib has a backend for dask. It waits for ever when a task has killed its workers and when the
scheduler is lost, so dask's own client is used.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import torch

import ukd
from ukd.config.files import atomic_file
from ukd.config.keys import code_hash
from ukd.config.paths import cache_folder, runs_folder
from ukd.config.runtime import Runtime, choose_runtime, logger
from ukd.config.workers import WorkerLost, in_order, numbered

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

ANSWER_SECONDS = 15  # for a scheduler to answer, and then for its first worker
LOOK_SECONDS = 30  # between looks whether any worker is left
SCHEMES = ("tcp", "tls")
MARK = ".shared-disk"  # in the cache and the runs: the same file on all machines
PAGE = "ukd/training/README.md"
SAME_KIND = "take workers of one kind, since runs on two kinds are not equal"
REMEDIES = {
    "ukd": "install the same version there",
    "code": "give all machines the same commit without changes of their own, and start it anew",
    "torch": "install the same version there",
    "cache": "set UKD_CACHE here and there to one folder of a disk that all share",
    "runs": "set UKD_RUNS here and there to one folder of a disk that all share",
    "threads": "start it with --nthreads 1, and with --nworkers N for more than one run at a time",
    "device": SAME_KIND,
    "precision": SAME_KIND,
}


@dataclass(frozen=True)
class Cluster:
    """Workers that have the same code and the same disk as this process.

    Attributes:
        client: of the scheduler.
        runtime: how the workers compute; their threads are their own.
        expected: what is the same on all of them, see `REMEDIES`.
        code: the module whose code they share.
    """

    client: Client
    runtime: Runtime
    expected: dict[str, object]
    code: str

    def each(self, work: Callable[[object], object], items: Sequence, label: str) -> list:
        """`work(item)` for every item, on the workers; results in the order of items.

        The first failure is raised here. A worker that ends is replaced: what it did is done by
        another one, up to three times.

        Args:
            work: a function of a module, or a partial of one.
            label: names the work in the progress bar and in log lines.

        Raises: ValueError for a worker that has joined with other code; WorkerLost for work that
        killed its workers and for a scheduler that is gone; whatever `work` raises.
        """
        from distributed import KilledWorker, as_completed

        if not items:
            return []
        checked = partial(_checked, self.expected, self.code, work)
        places = range(len(items))
        futures = self.client.map(numbered, places, [checked] * len(items), items, pure=False)
        finished = threading.Event()
        threading.Thread(target=self._watch, args=(finished,), daemon=True).start()
        try:
            done = as_completed(futures, loop=self.client.loop, with_results=True)
            return in_order(_whole(done), label, len(items))
        except KilledWorker as error:
            raise WorkerLost(
                "one of the runs killed its workers one after another, most often for want of "
                "memory: give workers more (--memory-limit of `dask worker`), or take smaller "
                "batches (--batch-size). What is finished is kept, and the next call continues"
            ) from error
        finally:
            finished.set()

    def _watch(self, finished: threading.Event) -> None:
        """Say so while work waits because no worker is left."""
        while not finished.wait(LOOK_SECONDS):
            if self.client.status == "running" and not self.client.nthreads():
                logger.warning("the cluster has no worker left: waiting for one to join")


def _whole(done: Iterable[tuple[Future, object]]) -> Iterator:
    """The results of finished work. Raises WorkerLost for work that dask has given up."""
    for future, result in done:
        if future.status == "cancelled":
            raise WorkerLost(
                "the cluster's scheduler is gone: start it again. What is finished is kept, and "
                "the next call continues"
            )
        yield result


@contextmanager
def open_cluster(
    address: str, code: str, *, precision: str = "auto", compiled: bool = False
) -> Iterator[Cluster]:
    """A cluster whose workers were compared with this process; closed after the block.

    What still runs on the workers then goes on to its end.

    Args:
        address: of the scheduler, as it prints it: tcp://HOST:PORT or tls://HOST:PORT.
        code: dotted name of the module whose code, with all it imports, must be the same.
        precision: one of `PRECISIONS`, chosen by the workers.
        compiled: train through `torch.compile`.

    Raises: ValueError without dask, for an address at which no scheduler or no worker answers, and
    for workers with other code, another disk or other devices.
    """
    client = _connect(address)
    try:
        expected = facts(code, precision, mark=True)
        workers = client.run(_facts_there, code, precision, on_error="return")
        _warn_if_open([address, client.scheduler.address, *workers])
        first = next(iter(workers.values()))
        if isinstance(first, dict):
            expected |= {name: first[name] for name in ("device", "precision")}
        for name, found in workers.items():
            _compare(name, found, expected)
        device, chosen = expected["device"], expected["precision"]
        runtime = Runtime(device, chosen, torch.get_num_threads(), "as on the workers", compiled)
        yield Cluster(client, runtime, expected, code)
    finally:
        client.close()


def _connect(address: str) -> Client:
    """A client of the scheduler, when a worker is there. Raises ValueError."""
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(
            "--cluster needs dask.distributed, which is not installed: pip install 'ukd[cluster]', "
            "in a clone pip install -e '.[cluster]'"
        ) from None
    parts = _parts(address)
    # It prints tracebacks where a scheduler is gone. `Cluster.each` says that in one line.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    client = None
    try:
        client = Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    except (OSError, TypeError) as error:
        if client is not None:
            client.close()
            raise ValueError(
                f"the cluster at {address} has no worker after {ANSWER_SECONDS} seconds: start one "
                f"with `dask worker {address} --nthreads 1`, or wait until one has joined"
            ) from error
        secured = " with the certificates that it asks for" if parts.scheme == "tls" else ""
        raise ValueError(
            f"no dask scheduler answers at {address} within {ANSWER_SECONDS} seconds{secured}: "
            f"start one as in {PAGE}, or correct --cluster"
        ) from error
    return client


def _parts(address: str) -> SplitResult:
    """Scheme, host and port of an address. Raises ValueError for another form."""
    try:
        parts = urlsplit(address)
        whole = parts.hostname and parts.port
    except ValueError:
        whole = False
    if not whole or parts.scheme not in SCHEMES:
        raise ValueError(
            f"--cluster {address!r}: take the address that `dask scheduler` prints, as "
            "tcp://127.0.0.1:8786 or tls://HOST:8786"
        )
    return parts


def _warn_if_open(addresses: Sequence[str]) -> None:
    """One line for the first address that others can reach and that asks for no certificate."""
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme == "tcp" and not _is_loopback(parts.hostname or ""):
            logger.warning(
                f"{address} of the cluster is neither on loopback (127.0.0.1) nor tls://: whoever "
                f"reaches it can run programs as you, on the workers and here; see {PAGE}"
            )
            return


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def facts(
    code: str, precision: str, worker: Worker | None = None, *, mark: bool = False
) -> dict[str, object]:
    """What must be the same on every machine, see `REMEDIES`.

    Args:
        worker: the one that this process is; None in the process that sends the work.
        mark: leave the file in cache and runs by which workers know that they have the same.
    """
    runtime = choose_runtime(precision)
    return {
        "ukd": ukd.__version__,
        "code": code_hash(code),
        "torch": torch.__version__,
        "cache": _marked(cache_folder(), mark),
        "runs": _marked(runs_folder(), mark),
        # Runs in one process would share their random numbers.
        "threads": worker.state.nthreads if worker else 1,
        "device": runtime.device,
        "precision": runtime.precision,
    }


def _marked(folder: Path, mark: bool) -> str:
    """A folder's path with the content of its mark. A path alone may be of another disk."""
    file = folder.resolve() / MARK
    if mark and not file.is_file():
        with atomic_file(file) as temporary:
            temporary.write_text(secrets.token_hex(4), encoding="utf-8")
    content = file.read_text(encoding="utf-8") if file.is_file() else "of another disk"
    return f"{folder.resolve()} ({content})"


def _facts_there(code: str, precision: str, dask_worker: Worker) -> dict[str, object]:
    """The facts of a worker; dask passes it by this name."""
    return facts(code, precision, dask_worker)


def _compare(worker: str, found: object, expected: dict[str, object]) -> None:
    """Raise ValueError for a worker that is not as expected, with what differs and the remedy."""
    if not isinstance(found, dict):
        raise ValueError(
            f"the worker {worker} of the cluster could not be asked for its version of ukd "
            f"({type(found).__name__}: {found}): install the same version there"
        )
    for name, value in expected.items():
        if found[name] != value:
            raise ValueError(
                f"the worker {worker} of the cluster is refused: its {name} is {found[name]}, and "
                f"must be {value}: {REMEDIES[name]}"
            )


def _checked(expected: dict[str, object], code: str, work: Callable, item: object) -> object:
    """On a worker: the work, if this worker is as expected. It may have joined later."""
    from distributed import get_worker

    worker = get_worker()
    _compare(worker.address, facts(code, expected["precision"], worker), expected)
    return work(item)
