"""Shared and strange machines: cores of a quota, long texts, paths that are not there."""

import errno
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ukd
from ukd.config import locks, runtime
from ukd.config.files import atomic_folder
from ukd.config.verified import build_verified
from ukd.data.batches import evaluation_batches


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups as files: a function that writes one; six cores by affinity."""
    monkeypatch.setattr(runtime, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(runtime, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)

    def write(path, content):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)

    return write


@pytest.mark.parametrize(
    ("content", "expected"),
    [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 6), ("", 6), ("many cores", 6)],
)
def test_cores_are_those_of_the_quota(content, expected, groups):
    assert runtime.usable_cores() == 6, "without a quota"
    groups("cpu.max", content)
    assert runtime.usable_cores() == expected


def test_quotas_of_all_groups_above_count(groups):
    groups("own", "0::/slurm/job_1/step_0\n")
    groups("slurm/job_1/step_0/cpu.max", "max 100000\n")
    groups("slurm/job_1/cpu.max", "300000 100000\n")
    groups("cpu.max", "500000 100000\n")
    assert runtime.usable_cores() == 3
    groups("own", "4:memory:/job\n3:cpu,cpuacct:/job\n")
    groups("cpu/job/cpu.cfs_quota_us", "-1\n")
    groups("cpu/job/cpu.cfs_period_us", "100000\n")
    assert runtime.usable_cores() == 6
    groups("cpu/job/cpu.cfs_quota_us", "200000\n")
    assert runtime.usable_cores() == 2


def test_torch_has_no_more_threads_than_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(runtime, "usable_cores", lambda: 2)
    try:
        torch.set_num_threads(8)
        assert runtime.choose_runtime().threads == torch.get_num_threads() == 2
        torch.set_num_threads(1)
        assert runtime.choose_runtime().threads == 1
    finally:
        torch.set_num_threads(before)


# --- locks ---


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    lines = []
    for kind in ("info", "warning"):
        monkeypatch.setattr(runtime.logger, kind, lines.append)
    return lines


def build(folder, calls):
    build_verified(folder, lambda building: calls.append(building), {"how": "test"}, "thing")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_is_said_once_and_work_goes_on(number, tmp_path, said, monkeypatch):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    calls = []
    build(tmp_path / "one", calls)
    build(tmp_path / "two", calls)
    build(tmp_path / "two", calls)
    assert len(calls) == 2 and len(said) == 1
    assert f"the disk of {tmp_path} has no file locks ({os.strerror(number)})" in said[0]
    assert "results stay the same" in said[0] and "set UKD_CACHE and UKD_RUNS" in said[0]


def test_what_is_finished_is_read_without_a_lock(tmp_path, monkeypatch):
    calls = []
    build(tmp_path / "thing", calls)
    monkeypatch.setattr(os, "open", lambda *_, **__: pytest.fail("a lock was opened"))
    build(tmp_path / "thing", calls)
    assert len(calls) == 1


class Lengths:
    """Stands for a split with texts of these lengths."""

    def __init__(self, lengths):
        self.lengths = np.array(lengths)

    def __len__(self):
        return len(self.lengths)

    def batch(self, rows):
        return torch.tensor(rows)


def test_tokens_bound_an_evaluation_batch_above_128():
    batches = list(evaluation_batches(Lengths([8192, 512, 512, 512, *[100] * 200])))
    assert [len(batch) for batch in batches] == [2, 32, 128, 42]
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(204))
    short = list(evaluation_batches(Lengths([128] * 130)))
    assert [len(batch) for batch in short] == [128, 2], "as ever up to 128 tokens"
    assert [len(batch) for batch in evaluation_batches(Lengths([100_000] * 2))] == [1, 1]


def test_a_path_that_is_not_there_is_said():
    with pytest.raises(ValueError, match="there is no file or folder 'reviws.csv': check the path"):
        ukd.custom_task("reviws.csv", text="text")


@pytest.mark.skipif(os.name != "posix", reason="rights of files are those of POSIX")
def test_others_may_read_what_a_shared_cache_holds(tmp_path):
    before = os.umask(0o002)
    try:
        with atomic_folder(tmp_path / "teacher") as building:
            save_file({"weight": torch.zeros(1)}, building / "model.safetensors")
            (building / "student").mkdir()
            save_file({"weight": torch.zeros(1)}, building / "student" / "model.safetensors")
    finally:
        os.umask(before)
    for path in (tmp_path / "teacher").rglob("*.safetensors"):
        assert path.stat().st_mode & 0o777 == 0o664
