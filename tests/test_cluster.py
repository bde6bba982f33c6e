"""Work on a dask cluster. Workers import this module, so it imports little."""

import os
import re
import signal
import socket
import sys
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import ukd
from ukd.cli.main import explain, main
from ukd.config import cluster as cluster_module
from ukd.config.cluster import MARK, facts, open_cluster
from ukd.config.paths import runs_folder
from ukd.config.runtime import logger
from ukd.config.workers import WorkerLost
from ukd.training import grid as grid_module
from ukd.training.checkpoint import Checkpointer
from ukd.training.grid import ExperimentGrid, make_student, run_grid

CODE = "ukd.config.workers"  # of little, so that it is hashed at once
SECONDS = 120  # until a test is said to hang


@pytest.fixture
def distributed():
    """dask.distributed, or a skipped test."""
    return pytest.importorskip(
        "distributed", reason="needs dask.distributed: pip install '.[cluster]'"
    )


@pytest.fixture
def within(distributed):
    """`with within() as cluster:` a cluster of one worker in this process, on loopback."""

    @contextmanager
    def start(**options):
        options = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1"} | options
        options |= {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
        with distributed.LocalCluster(**options) as started:
            yield started

    return start


def two_processes(distributed):
    """A cluster of two worker processes on loopback."""
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
    return distributed.LocalCluster(**options, dashboard_address="127.0.0.1:0")


def work(item):
    """An item says what becomes of it."""
    if item == "bad":
        raise ValueError("a bad input")
    if item == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "slow":
        time.sleep(SECONDS)
    return item.upper()


def test_a_worker_is_compared_and_results_come_in_order(within, runtime):
    with within() as local, open_cluster(local.scheduler_address, CODE) as cluster:
        assert cluster.runtime.device == runtime.device
        assert cluster.each(work, ["a", "b", "c"], "items") == ["A", "B", "C"]
        with pytest.raises(ValueError, match="^a bad input$"):
            cluster.each(work, ["bad", "a"], "items")
        # As if this worker had joined later.
        other = replace(cluster, expected=cluster.expected | {"code": "0123456789ab"})
        with pytest.raises(ValueError, match=r"worker tcp://127\.0\.0\.1:\d+ .* must be 0123456"):
            other.each(work, ["a"], "items")


DIFFERENT = [
    ("ukd", "0.0.1", "install the same version there"),
    ("code", "0123456789ab", "the same commit"),
    ("torch", "1.0", "install the same version there"),
    ("cache", "/elsewhere (of another disk)", "set UKD_CACHE"),
    ("runs", "/elsewhere (of another disk)", "set UKD_RUNS"),
    ("threads", 4, "--nthreads 1"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), DIFFERENT, ids=[row[0] for row in DIFFERENT])
def test_a_worker_that_differs_is_refused_by_name(name, value, remedy, monkeypatch):
    monkeypatch.setattr(cluster_module, "_connect", lambda address: Pretended({name: value}))
    pattern = f"the worker tcp://127.0.0.1:2 of .*its {name} is {value}, .*{remedy}"
    pattern = pattern.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=pattern), open_cluster("tcp://127.0.0.1:1", CODE):
        pytest.fail("was opened")


class Pretended:
    """A client of two workers: one as this process, one with other facts."""

    def __init__(self, other, address="tcp://127.0.0.1:1"):
        self.other = other
        self.scheduler = type("Scheduler", (), {"address": address})

    def run(self, work, *given, on_error):
        assert work is cluster_module._facts_there
        own = facts(*given, mark=True)
        other = own | self.other if isinstance(self.other, dict) else self.other
        return {"tcp://127.0.0.1:1": own, "tcp://127.0.0.1:2": other}

    def close(self):
        """Nothing is open."""


def test_workers_of_two_kinds_and_without_ukd_are_refused(monkeypatch):
    for other, text in [
        ({"precision": "fp16"}, "take workers of one kind"),
        ({"device": "tpu"}, "its device is tpu.*take workers of one kind"),
        (ModuleNotFoundError("No module named 'ukd'"), r"127.0.0.1:2 of .*No module named 'ukd'"),
    ]:
        monkeypatch.setattr(cluster_module, "_connect", lambda _, other=other: Pretended(other))
        with pytest.raises(ValueError, match=text), open_cluster("tcp://127.0.0.1:1", CODE):
            pytest.fail("was opened")


def test_a_folder_of_another_disk_is_told_by_its_mark(tmp_path, monkeypatch):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path))
    own = facts(CODE, "auto", mark=True)["cache"]
    assert facts(CODE, "auto", mark=True)["cache"] == own, "the mark stays"
    (tmp_path / cluster_module.MARK).unlink()  # the same path, and not the same folder
    assert facts(CODE, "auto")["cache"] != own
    assert list(tmp_path.iterdir()) == [], "a worker leaves no mark"


def test_a_worker_with_several_threads_is_refused(within):
    with (
        within(threads_per_worker=2) as local,
        pytest.raises(ValueError, match="its threads is 2, and must be 1: .*--nthreads 1"),
        open_cluster(local.scheduler_address, CODE),
    ):
        pytest.fail("was opened")


def test_an_open_address_is_warned_about_once(monkeypatch):
    said = []
    monkeypatch.setattr(logger, "warning", said.append)
    for address, scheduler, count in [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", 0),
        ("tcp://localhost:1", "tcp://127.0.0.1:1", 0),
        ("tls://10.0.0.5:1", "tls://10.0.0.5:1", 0),
        ("tcp://10.0.0.5:1", "tcp://10.0.0.5:1", 1),
        ("tcp://127.0.0.1:1", "tcp://10.0.0.5:1", 1),  # it listens to all
    ]:
        said.clear()
        client = Pretended({}, scheduler)
        monkeypatch.setattr(cluster_module, "_connect", lambda _, client=client: client)
        with open_cluster(address, CODE):
            pass
        assert len(said) == count, (address, scheduler)
    assert "tcp://10.0.0.5:1 of the cluster is neither on loopback" in said[0]


def refusal(capsys, *words):
    """The one line of a refused `ukd reproduce`."""
    assert main(["reproduce", "--preset", "smoke", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_without_dask_the_remedy_is_said(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = refusal(capsys, "--cluster", "tcp://127.0.0.1:8786")
    assert "needs dask.distributed, which is not installed: pip install 'ukd[cluster]'" in line


def test_jobs_and_cluster_exclude_each_other(capsys):
    line = refusal(capsys, "--cluster", "tcp://127.0.0.1:8786", "--jobs", "2")
    assert "--jobs are processes of this machine" in line


@pytest.mark.parametrize("address", ["here", "127.0.0.1:8786", "tcp://127.0.0.1", "tcp://x:y"])
def test_an_address_has_a_scheme_a_host_and_a_port(address, capsys, distributed):
    assert f"--cluster '{address}': take the address" in refusal(capsys, "--cluster", address)


def test_where_nothing_answers_one_line_says_so(capsys, distributed, within, monkeypatch):
    monkeypatch.setattr(cluster_module, "ANSWER_SECONDS", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    line = refusal(capsys, "--cluster", address)
    assert f"no dask scheduler answers at {address} within 1 seconds: start one as in" in line
    line = refusal(capsys, "--cluster", address.replace("tcp", "tls"))
    assert "within 1 seconds with the certificates that it asks for" in line
    with within(n_workers=0) as local:
        line = refusal(capsys, "--cluster", local.scheduler_address)
    assert "has no worker after 1 seconds: start one with `dask worker tcp://" in line


def test_relative_folders_are_refused_since_workers_have_others(tiny, runtime, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    methods = (ukd.get_method("no-kd"),)
    grid = ExperimentGrid(("cola",), methods, (1,), tiny, runtime, tiny.encoder, "../data")
    with pytest.raises(ValueError, match=re.escape(f"write {Path('../data').resolve()} in place")):
        run_grid(grid, 1, cluster="never reached")
    # A word that names the suite, where a folder of that name is.
    monkeypatch.chdir(Path(__file__).parents[1] / "data")
    grid_module._check_folders(replace(grid, source="synthetic"))


def make_student_and_die_once(grid, run):
    """A student; the first process that saves a checkpoint is killed right after it."""
    save = Checkpointer.save

    def save_and_die(self, next_epoch):
        save(self, next_epoch)
        with suppress(FileExistsError):
            (runs_folder() / "killed").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointer, "save", save_and_die)
        return make_student(grid, run)


@pytest.mark.long
def test_two_processes_make_the_same_records_and_a_killed_one_is_replaced(
    tmp_path, monkeypatch, cpu, distributed
):
    limits = {"max_train": 64, "max_validation": 32, "teacher_epochs": 1}
    config = ukd.preset("smoke", enforce_min_teacher_score=False, **limits)
    methods = (ukd.get_method("kd"),)
    grid = ExperimentGrid(("sentiment",), methods, (1, 2), config, cpu, config.encoder)
    made = {}
    for name in ("cluster", "alone"):
        monkeypatch.setenv("UKD_RUNS", str(tmp_path / name / "runs"))
        monkeypatch.setenv("UKD_CACHE", str(tmp_path / name / "cache"))
        if name == "alone":
            made[name] = run_grid(grid, 1)
            continue
        with (
            two_processes(distributed) as local,
            open_cluster(local.scheduler_address, "ukd.training.grid") as cluster,
            monkeypatch.context() as patch,
        ):
            patch.setattr(grid_module, "make_student", make_student_and_die_once)
            made[name] = run_grid(grid, 1, cluster)
    kept = sorted(path.name for path in (tmp_path / "cluster" / "runs").iterdir())
    alone = sorted(path.name for path in (tmp_path / "alone" / "runs").iterdir())
    assert kept == sorted([*alone, "killed", MARK]), "nothing is lost, made twice or left over"
    results = {}
    for name, (records, failures) in made.items():
        assert failures == [] and len(records) == 2
        results[name] = [(one.hash, one.scores, one.teacher) for one in records]
    assert results["cluster"] == results["alone"]


def test_a_scheduler_that_is_gone_ends_the_work_with_a_word():
    lost = SimpleNamespace(status="cancelled")
    done = [(SimpleNamespace(status="finished"), (0, "A")), (lost, CancelledError())]
    results = cluster_module._whole(done)
    assert next(results) == (0, "A")
    with pytest.raises(WorkerLost, match="scheduler is gone: start it again.*next call continues"):
        next(results)
    text = "the scheduler is gone: start it again, and the next call continues"
    assert explain(WorkerLost(text)) == (f"error: {text}", 1)


@pytest.mark.long
def test_work_that_kills_its_workers_ends_with_a_word(distributed):
    with (
        two_processes(distributed) as local,
        open_cluster(local.scheduler_address, CODE) as cluster,
        pytest.raises(WorkerLost, match="killed its workers one after another"),
    ):
        cluster.each(work, ["killer", "a"], "items")
