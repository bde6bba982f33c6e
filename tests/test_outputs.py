"""Cached teacher outputs: equal to online ones, whole or made anew, safe in two processes."""

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
from ukd.training.teacher_cache import cache_teacher, cached_logits, online_logits

ROOT = Path(__file__).parents[1]


@pytest.fixture
def train(task, teacher, tiny):
    return tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[0]


@pytest.fixture
def alone(tmp_path, teacher, monkeypatch):
    """Outputs in a cache of their own; the teacher stays where it is."""
    monkeypatch.setattr("ukd.training.teacher_cache.cache_folder", lambda: tmp_path)
    return tmp_path / "outputs"


def test_cached_and_online_logits_are_the_same(task, teacher, train, runtime):
    cached = cached_logits(cache_teacher(teacher, task, "train", train, runtime=runtime))
    online = online_logits(teacher, task, runtime)
    for positions in ([5, 3, 40], list(range(20, 37))):
        batch = train.batch(positions)
        logits = online(batch.to(runtime.device)).cpu()
        torch.testing.assert_close(cached(batch), logits, rtol=1e-4, atol=1e-5)
        assert not logits.requires_grad


@pytest.mark.slow
def test_a_run_with_an_online_teacher_ends_where_the_cached_one_does(
    distilled, task, tiny, teacher, runtime, tmp_path
):
    method = ukd.get_method("universal-kd")
    options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path}
    cached = distilled(method)
    online = ukd.distill(task, method, teacher, online_teacher=True, **options)
    assert cached.hash != online.hash
    assert (cached.settings.teacher_logits, online.settings.teacher_logits) == ("cached", "online")
    curves = [record.history["teacher"]["curve"][-1] for record in (cached, online)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
    accuracies = [record.scores["validation"]["accuracy"] for record in (cached, online)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=3.2)


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
    with pytest.warns(UserWarning, match="the table of teacher outputs in .* is damaged"):
        again = cache_teacher(teacher, task, "train", train, runtime=runtime)
    assert torch.equal(again.nan_to_num(), whole.nan_to_num())
    assert len(list(alone.glob("*.damaged-*"))) == 1


def test_writing_to_what_was_read_does_not_change_the_file(task, teacher, train, runtime, alone):
    table = cache_teacher(teacher, task, "train", train, runtime=runtime)
    before = next(alone.glob("*/outputs.npy")).read_bytes()
    table.zero_()
    assert next(alone.glob("*/outputs.npy")).read_bytes() == before


def test_whatever_decides_the_outputs_makes_others(task, tiny, teacher, train, runtime, alone):
    """Tokens, rows, precision, and the teacher's key, weights and heads, one by one."""

    def count(teacher, data, runtime=runtime):
        cache_teacher(teacher, task, "train", data, runtime=runtime)
        return len([path for path in alone.iterdir() if path.name != ".locks"])

    tokenizer = load_tokenizer(teacher.folder)
    shorter = tokenized_splits(task, tokenizer, replace(tiny, max_length=8))[0]
    assert count(teacher, train) == 1
    assert count(teacher, train) == 1
    assert count(teacher, shorter) == 2
    assert count(teacher, train.first(20)) == 3
    assert count(teacher, train, replace(runtime, precision="bf16")) == 4
    assert count(replace(teacher, key="a" * 12), train) == 5
    assert count(replace(teacher, weights="a" * 64), train) == 6
    without = alone.parent / "teacher"
    shutil.copytree(teacher.folder, without)
    shutil.rmtree(without / teacher.heads.name)
    assert count(replace(teacher, folder=without), train) == 7


def test_a_row_that_was_never_asked_for_is_not_a_number(task, teacher, runtime, train):
    table = cache_teacher(teacher, task, "train", train, runtime=runtime)
    missing = set(range(len(table))) - set(train.rows.tolist())
    assert missing and table[sorted(missing)].isnan().all()


def test_a_pass_that_is_killed_leaves_nothing_behind(
    task, teacher, runtime, train, alone, monkeypatch
):
    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("ukd.config.verified.write_json", die)
    with pytest.raises(KeyboardInterrupt):
        cache_teacher(teacher, task, "train", train, runtime=runtime)
    assert [path.name for path in alone.iterdir()] == [".locks"]


def test_memory_does_not_hold_the_table(task, teacher, train, runtime, alone, monkeypatch):
    """The table is a view of the file, mapped, and as large as rows x layers x classes."""
    load = np.load
    loaded = []

    def remember(*args, **options):
        loaded.append(load(*args, **options))
        return loaded[-1]

    monkeypatch.setattr(np, "load", remember)
    table = cache_teacher(teacher, task, "train", train, runtime=runtime)
    assert isinstance(loaded[0], np.memmap) and table.data_ptr() == loaded[0].ctypes.data
    assert table.shape == (int(train.rows.max()) + 1, 4, 2)


FILL = """
import sys
import ukd
from ukd.models.encoders import load_tokenizer
task, runtime = ukd.load_task("sentiment"), ukd.choose_runtime("float32")
config = ukd.preset("smoke", **eval(sys.argv[1]))
teacher = ukd.train_teacher(task, config=config, runtime=runtime)
train = ukd.tokenized_splits(task, load_tokenizer(teacher.folder), config)[0]
print(float(ukd.cache_teacher(teacher, task, "train", train, runtime=runtime).nan_to_num().sum()))
"""


@pytest.mark.slow
def test_two_processes_that_fill_at_once_agree(task, tiny, teacher, runtime, train):
    from conftest import TINY

    for folder in (cache_folder() / "outputs").glob("sentiment-train-*"):
        shutil.rmtree(folder)
    command = [sys.executable, "-c", FILL, repr(TINY)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    printed = [process.communicate(timeout=240)[0].strip().splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [0, 0] and printed[0] == printed[1]
    table = cache_teacher(teacher, task, "train", train, runtime=runtime)
    assert float(printed[0]) == pytest.approx(float(table.nan_to_num().sum()), rel=1e-5)


MANY = """
import sys, tempfile
from pathlib import Path
import numpy as np, pyarrow as pa, torch
from datasets import Dataset
from ukd.config.runtime import Runtime
from ukd.data.batches import TokenizedSplit, steps_per_epoch, training_batches
from ukd.losses import intermediate_loss, label_loss
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_tokenizer
from ukd.training.loop import Schedule, fit
from ukd.training.teacher_cache import cached_logits

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024

count, folder = int(sys.argv[1]), Path(sys.argv[2])
numbers = pa.array(np.arange(8 * count, dtype=np.int32) % 4000 + 5)
tokens = pa.FixedSizeListArray.from_arrays(numbers, 8).cast(pa.list_(pa.int32()))
schema = pa.schema({"input_ids": tokens.type})
path = str(folder / "tokens.arrow")
with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
    writer.write_table(pa.table({"input_ids": tokens}), max_chunksize=10_000)
del tokens, numbers
shape = (count, 12, 2)
np.lib.format.open_memmap(folder / "outputs.npy", "w+", np.float32, shape).flush()
tokenizer = load_tokenizer(bundled_encoder())
inputs = Dataset.from_file(str(folder / "tokens.arrow"))
labels = torch.zeros(count, dtype=torch.long)
data = TokenizedSplit(inputs, labels, torch.arange(count), tokenizer, "many", "train")
answers = cached_logits(torch.from_numpy(np.load(folder / "outputs.npy", mmap_mode="c")))

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
schedule = Schedule(1, steps_per_epoch(count, 1000), 1e-3)
fit(Small(), batches, terms, schedule, Runtime("cpu", "float32", 1, "test"))
print(seen[1] - seen[0], seen[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="needs /proc to see what a process holds"
)
def test_half_a_million_examples_take_no_more_memory_at_the_end_of_an_epoch_than_at_its_start(
    tmp_path,
):
    """Tokens and outputs are mapped files: 48 MB and 40 MB never become the process's own."""
    done = subprocess.run(
        [sys.executable, "-c", MANY, "500000", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-500:]
    grown, held = (float(number) for number in done.stdout.split()[-2:])
    assert grown < 20, f"grew by {grown} MB to {held}"
