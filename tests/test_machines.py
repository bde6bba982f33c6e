"""Shared and strange machines: cores of a quota, long texts, paths that are not there."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ukd
from ukd.config import runtime
from ukd.config.files import atomic_folder
from ukd.data.batches import evaluation_batches


@pytest.mark.parametrize(
    ("content", "expected"),
    [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 6), ("", 6), ("many cores", 6)],
)
def test_cores_are_those_of_the_quota(content, expected, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(runtime, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert runtime.usable_cores() == expected
    monkeypatch.setattr(runtime, "CPU_QUOTA", tmp_path / "is not there")
    assert runtime.usable_cores() == 6


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
