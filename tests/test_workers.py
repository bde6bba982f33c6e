"""Work on several processes. Workers import this module, so it imports little."""

import os
import signal
import time
import warnings

import pytest
import torch

from ukd.config.workers import WorkerLost, in_processes

held = []
OPTIONS = {"jobs": 2, "threads": 2, "label": "items"}


def work(item):
    """An item says what becomes of it."""
    if item == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "bad":
        raise ValueError("a bad input")
    if item == "slow":
        time.sleep(60)
    if item == "large":
        held.append(b"x" * 400_000_000)
        time.sleep(1.1)  # until the next look at a worker's memory
    return item, torch.get_num_threads(), os.environ["OMP_WAIT_POLICY"], os.getpid()


@pytest.mark.slow
def test_workers_share_the_cores_and_the_first_failure_stops_the_rest():
    results = in_processes(work, ["a", "b", "c"], **OPTIONS)
    assert [result[0] for result in results] == ["a", "b", "c"]
    assert {result[1:3] for result in results} == {(2, "PASSIVE")}
    assert os.getpid() not in {result[3] for result in results}
    start = time.monotonic()
    with pytest.raises(ValueError, match="a bad input"):
        in_processes(work, ["bad", "slow", "slow"], **OPTIONS)
    with pytest.raises(WorkerLost, match=r"fewer processes \(--jobs, now 2\).*next call continues"):
        in_processes(work, ["killed", "slow", "slow"], **OPTIONS)
    assert time.monotonic() - start < 60, "nothing waits for the others"


@pytest.mark.slow
def test_a_worker_that_grows_is_kept_and_nobody_is_warned_of_a_leak():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = in_processes(work, ["small", "small", "large", "small", "small"], **OPTIONS)
    assert len({result[3] for result in results}) <= 2
