"""A full disk: said in one sentence, nothing half-written counts, and the next call goes on."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_records import made_record
from safetensors.torch import save_file

from ukd.cli.main import main
from ukd.config import disk
from ukd.config.disk import DiskFull
from ukd.config.files import write_json
from ukd.config.verified import build_verified, is_whole
from ukd.data.batches import tokenize_split
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_tokenizer
from ukd.training import loop
from ukd.training.checkpoint import Checkpointer
from ukd.training.teacher_cache import _empty_table

SIZE = 2_000_000  # of the disk, in bytes
LEFT = 40_000  # where it is nearly full
FILLER = "filler"
NUMBERS = 100_000


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A disk in memory that holds cache and runs, nearly full."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this container may not mount a disk")
    try:
        (folder / FILLER).write_bytes(bytes(shutil.disk_usage(folder).free - LEFT))
        monkeypatch.setenv("UKD_CACHE", str(folder))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def built(make):
    """A function that builds a folder of the cache."""

    def write(folder):
        build_verified(folder / "thing", make, {"kind": "test"}, "thing")
        return is_whole(folder / "thing")

    return write


def save_weights(building):
    save_file({"weight": torch.zeros(NUMBERS)}, building / "model.safetensors")


def save_tokenizer(building):
    load_tokenizer(bundled_encoder()).save_pretrained(building)


def save_table(building):
    table = _empty_table(building / "outputs.npy", (NUMBERS // 10, 10))
    assert np.isnan(table).all() and table.dtype == np.float32
    table[:] = 1


def save_checkpoint(folder):
    model = torch.nn.Linear(300, 300)
    state = Checkpointer(model, torch.optim.AdamW(model.parameters()), folder / "new" / "state")
    state.save(1)
    return Checkpointer(model, state.optimizer, state.path).load() == 1


def save_record(folder):
    record = made_record(predictions="x" * NUMBERS)
    record.write(folder / "run" / "record.json")
    return type(record).read(folder / "run" / "record.json") == record


def save_notes(folder):
    write_json(folder / "notes.json", {"text": "x" * NUMBERS})
    return True


WRITERS = {
    "weights": built(save_weights),
    "tokenizer": built(save_tokenizer),
    "table": built(save_table),
    "checkpoint": save_checkpoint,
    "record": save_record,
    "notes": save_notes,
}


def files_of(folder):
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in found if ".locks" not in path.parts and str(path) != FILLER]


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_and_the_next_call_goes_on(name, small_disk):
    for _ in range(2):
        with pytest.raises(DiskFull, match=rf"the disk of {small_disk}.* is full: free some, or"):
            WRITERS[name](small_disk)
        assert files_of(small_disk) == [], "nothing half-written is left"
    (small_disk / FILLER).unlink()
    assert WRITERS[name](small_disk)


def test_tokens_on_a_full_disk_are_made_when_there_is_room(small_disk, task):
    def tokens():
        return tokenize_split(
            task, "train", load_tokenizer(bundled_encoder()), 64, list(range(400))
        )

    with pytest.raises(DiskFull, match="is full: free some"):
        tokens()
    assert files_of(small_disk) == []
    (small_disk / FILLER).unlink()
    assert len(tokens()) == 400


def test_room_is_looked_at_before_any_step(tiny_encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "train_one_epoch", lambda *_: pytest.fail("it was trained"))
    usage = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    encoder = tiny_encoder(tmp_path / "encoder", layers=4)
    words = ["--max-train", "64", "--teacher", str(encoder)]
    capsys.readouterr()
    assert main(["run", "--task", "sentiment", "--preset", "smoke", *words]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("ukd: error: teacher sentiment takes up to ") and "has 1 MB left" in line
    assert "set UKD_CACHE and UKD_RUNS to folders on another disk" in line
