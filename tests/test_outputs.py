"""Kept teacher outputs: equal to live ones, whole or made anew, and safe when two processes fill at once."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ukd
from ukd.config.paths import cache_folder
from ukd.data.batches import tokenized_splits
from ukd.models.encoders import load_tokenizer
from ukd.training.teacher import Teacher
from ukd.training.teacher_cache import cache_teacher, kept, live

ROOT = Path(__file__).parents[1]


@pytest.fixture
def train(task, teacher, tiny):
    return tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[0]


@pytest.fixture
def alone(tmp_path, teacher, monkeypatch):
    """Outputs in a cache of their own; the teacher stays where it is."""
    monkeypatch.setattr("ukd.outputs.cache_folder", lambda: tmp_path)
    return tmp_path / "outputs"


def test_kept_and_live_give_the_training_code_the_same(task, teacher, train, runtime):
    ask_kept, ask_live = (
        kept(cache_teacher(teacher, task, "train", train, runtime=runtime)),
        live(teacher, task, runtime),
    )
    for positions in ([5, 3, 40], list(range(20, 37))):
        batch = train.batch(positions)
        asked = ask_live(batch.to(runtime.device)).cpu()
        torch.testing.assert_close(ask_kept(batch), asked, rtol=1e-4, atol=1e-5)
        assert not ask_live(batch).requires_grad


def test_a_run_with_a_live_teacher_ends_where_the_kept_one_does(
    task, tiny, teacher, runtime, tmp_path
):
    scores = [
        ukd.distill(
            task,
            ukd.get_method("universal-kd"),
            teacher,
            config=tiny,
            seed=1,
            runtime=runtime,
            folder=tmp_path,
            live_teacher=asked,
        )
        for asked in (False, True)
    ]
    assert scores[0]["hash"] != scores[1]["hash"]
    terms = [record["history"]["teacher"]["curve"][-1] for record in scores]
    assert terms[0] == pytest.approx(terms[1], rel=1e-3)
    assert scores[0]["scores"]["validation"]["accuracy"] == pytest.approx(
        scores[1]["scores"]["validation"]["accuracy"], abs=3.2
    )


@pytest.mark.parametrize("damage", ["cut", "changed", "removed"])
def test_damaged_outputs_are_noticed_and_made_anew(damage, task, teacher, train, runtime, alone):
    whole = cache_teacher(teacher, task, "train", train, runtime=runtime).clone()
    path = next(alone.glob("*/outputs.npy"))
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    else:
        content[-1] ^= 1
        path.write_bytes(content[:-8] if damage == "cut" else content)
    with pytest.warns(UserWarning, match="are damaged; asking the teacher again"):
        again = cache_teacher(teacher, task, "train", train, runtime=runtime)
    assert torch.equal(again.nan_to_num(), whole.nan_to_num())


def test_writing_to_what_was_read_does_not_change_the_file(task, teacher, train, runtime, alone):
    table = cache_teacher(teacher, task, "train", train, runtime=runtime)
    before = next(alone.glob("*/outputs.npy")).read_bytes()
    table.zero_()
    assert next(alone.glob("*/outputs.npy")).read_bytes() == before


def test_other_tokens_another_teacher_and_other_heads_are_a_miss(
    task, tiny, teacher, train, runtime, alone, tmp_path, monkeypatch
):
    count = lambda: len(list(alone.iterdir()))
    cache_teacher(teacher, task, "train", train, runtime=runtime)
    shorter = tokenized_splits(task, load_tokenizer(teacher.folder), replace(tiny, max_length=8))[0]
    cache_teacher(teacher, task, "train", shorter, runtime=runtime)
    assert count() == 2
    other = ukd.train_teacher(task, config=tiny, runtime=runtime, seed=3)
    ukd.fit_heads(other, task, config=tiny, runtime=runtime)
    cache_teacher(other, task, "train", train, runtime=runtime)
    assert count() == 3
    shutil.copytree(teacher.heads, tmp_path / "heads-other")
    monkeypatch.setattr(Teacher, "heads", property(lambda self: tmp_path / "heads-other"))
    cache_teacher(teacher, task, "train", train, runtime=runtime)
    assert count() == 4


def test_memory_does_not_hold_the_table(task, teacher, train, runtime, alone, monkeypatch):
    """The table is a view of the file, mapped, and as large as rows x layers x classes."""
    seen, load = [], np.load
    monkeypatch.setattr(
        np, "load", lambda *args, **options: seen.append(load(*args, **options)) or seen[-1]
    )
    table = cache_teacher(teacher, task, "train", train, runtime=runtime)
    assert isinstance(seen[0], np.memmap) and table.data_ptr() == seen[0].ctypes.data
    assert table.shape == (int(train.rows.max()) + 1, 4, 2)


FILL = """
import sys
import ukd
from ukd.models import load_tokenizer
from ukd.outputs import teacher_outputs
from ukd.teacher import tokenized_splits, train_teacher
task, compute = ukd.load_task("sentiment"), ukd.choose_compute("float32")
profile = ukd.preset("smoke", **eval(sys.argv[1]))
teacher = train_teacher(task, profile=profile, compute=compute)
train = tokenized_splits(task, load_tokenizer(teacher.folder), profile)[0]
print(float(teacher_outputs(teacher, task, "train", train, compute=compute).nan_to_num().sum()))
"""


def test_two_processes_that_fill_at_once_agree(task, tiny, teacher, runtime, train):
    from conftest import TINY

    for folder in (cache_folder() / "outputs").glob("sentiment-train-*"):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", FILL, repr(TINY)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0].strip().splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [0, 0] and said[0] == said[1]
    mine = float(cache_teacher(teacher, task, "train", train, runtime=runtime).nan_to_num().sum())
    assert float(said[0]) == pytest.approx(mine, rel=1e-5)


MILLION = """
import sys, tempfile
from pathlib import Path
import numpy as np, pyarrow as pa, torch
from datasets import Dataset
from ukd.config import Compute
from ukd.data import Encoded, steps_per_epoch, training_batches
from ukd.losses import intermediate_loss, label_loss
from ukd.models import load_tokenizer
from ukd.outputs import kept
from ukd.teacher import embedded_encoder
from ukd.train import Schedule, fit

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024

count, folder = int(sys.argv[1]), Path(sys.argv[2])
tokens = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8 * count, dtype=np.int32) % 4000 + 5), 8).cast(pa.list_(pa.int32()))
with pa.OSFile(str(folder / "tokens.arrow"), "wb") as file, pa.ipc.new_stream(file, pa.schema({"input_ids": tokens.type})) as writer:
    writer.write_table(pa.table({"input_ids": tokens}), max_chunksize=10_000)
del tokens
np.lib.format.open_memmap(folder / "outputs.npy", mode="w+", dtype=np.float32, shape=(count, 12, 2)).flush()
tokenizer = load_tokenizer(embedded_encoder())
inputs = Dataset.from_file(str(folder / "tokens.arrow"))
data = Encoded(inputs, torch.zeros(count, dtype=torch.long), torch.arange(count), tokenizer, "million")
answers = kept(torch.from_numpy(np.load(folder / "outputs.npy", mmap_mode="c")))

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = torch.nn.Embedding(5000, 4), torch.nn.Linear(4, 8)
    def forward(self, input_ids, attention_mask=None):
        return self.out(self.words(input_ids).mean(1)).reshape(-1, 4, 2)

def terms(model, batch):
    logits = model(**batch.inputs)
    inter = intermediate_loss(logits[:, :-1], answers(batch)[:, :-1]).loss
    return {"labels": label_loss(logits[:, -1], batch.labels), "intermediate": inter}

def batches(epoch, rank, world):
    for number, batch in enumerate(training_batches(data, 1000, 1, epoch, rank, world)):
        if number == 20: seen.append(anonymous())
        yield batch
    seen.append(anonymous())

seen = []
fit(Small(), batches, terms, Schedule(1, steps_per_epoch(count, 1000), 1e-3), Compute("cpu", "float32", 1, "test"))
print(seen[1] - seen[0], seen[1])
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="needs /proc to see what a process holds"
)
def test_a_million_examples_take_no_more_memory_at_the_end_of_an_epoch_than_at_its_start(tmp_path):
    """Tokens and teacher outputs are files that are mapped: 96 MB of outputs and 80 MB of tokens never become the process's own."""
    done = subprocess.run(
        [sys.executable, "-c", MILLION, "1000000", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    grown, held = (
        map(float, done.stdout.split()[-2:]) if done.returncode == 0 else (done.stderr[-500:], "")
    )
    assert grown < 40, f"grew by {grown} MB to {held}"
