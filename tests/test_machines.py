"""Shared and strange machines: cores of a quota, long texts, paths that are not there."""

import errno
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ukd
from ukd.config import locks, paths, runtime
from ukd.config.files import atomic_folder
from ukd.config.paths import cache_folder, data_folder, runs_folder
from ukd.config.verified import build_verified
from ukd.data.batches import evaluation_batches, tokenize_split
from ukd.models.bundled import bundled_encoder, resolve_encoder
from ukd.models.encoders import load_tokenizer


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
    def make(building):
        calls.append(building)
        (building / "file").touch()

    build_verified(folder, make, {"how": "test"}, "thing")


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


@pytest.mark.parametrize("name", ["final [2] of 3", "диплом 论文", "~"])
def test_a_path_may_have_brackets_spaces_and_any_letters(name, tmp_path, monkeypatch):
    lines = "".join(f"room {number},{'ab'[number % 2]}\n" for number in range(60))
    folder = tmp_path / name
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\n" + lines)
    monkeypatch.setenv("UKD_CACHE", str(folder / "cache"))
    task = ukd.custom_task(folder / "train.csv", text="text")
    tokenize_split(task, "train", load_tokenizer(bundled_encoder()), 16, [0, 1])
    assert len(list((folder / "cache" / "tokens").glob("*/made.json"))) == 1
    if "[" in name:  # of a folder the library that lists its files makes a pattern
        with pytest.raises(ValueError, match="can't be read .* its path without brackets"):
            ukd.custom_task(folder, text="text")
    else:
        assert ukd.custom_task(folder, text="text").key == task.key


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path, tiny_encoder, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UKD_CACHE", "~/cache")
    monkeypatch.setenv("UKD_RUNS", "~/runs")
    assert (cache_folder(), runs_folder()) == (tmp_path / "cache", tmp_path / "runs")
    made = tiny_encoder(tmp_path / "encoder")
    assert resolve_encoder("~/encoder") == resolve_encoder(str(made))
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"{n},{'xy'[n % 2]}\n" for n in range(60))
    )
    assert ukd.custom_task("~/rows.csv", text="text").label_names == ("x", "y")
    with pytest.raises(ValueError, match="source '~/glue' is neither"):
        ukd.load_task("rte", "~/glue")
    (tmp_path / "glue [1]").mkdir()
    with pytest.raises(ValueError, match=r"/glue \[1\]': .*give the folder another name"):
        ukd.load_task("rte", "~/glue [1]")


def test_a_clone_may_stand_in_any_folder(tmp_path, monkeypatch):
    clone = tmp_path / "диплом [2025] v 1"
    clone.mkdir()
    (clone / "data").symlink_to(data_folder())
    monkeypatch.setattr(paths, "PACKAGE", clone / "ukd")
    assert data_folder() == clone / "data"
    assert len(ukd.load_task("sentiment").dataset["train"]) > 1000
    assert bundled_encoder().parent == clone / "data"


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
