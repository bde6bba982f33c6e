"""Tasks from every source through the same code, splits, batches, metrics, runtime, tables."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import ukd
from ukd.config import runtime as runtime_module
from ukd.config.paths import PACKAGE, data_folder
from ukd.config.runtime import choose_runtime, logger, usable_cores
from ukd.config.text import markdown_table
from ukd.data import metrics, tasks
from ukd.data.batches import (
    evaluation_batches,
    steps_per_epoch,
    tokenize_split,
    tokenized_splits,
    training_batches,
)
from ukd.data.draw import divide, limit
from ukd.data.tasks import GLUE, SYNTHETIC, fingerprint, load_task, train_dev_split
from ukd.models.bundled import bundled_encoder, default_learning_rates
from ukd.models.encoders import load_tokenizer

LAYOUT = """---
configs:
- config_name: {name}
  data_files:
  - {{split: train, path: {name}/train.{ending}}}
  - {{split: validation, path: {name}/validation.{ending}}}
---
"""


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(bundled_encoder())


@pytest.fixture(scope="module")
def tokenized(task, tokenizer):
    return tokenize_split(task, "train", tokenizer, 32, list(range(200)))


def rows_of(texts, labels, kind=None):
    """Rows of sst2; `kind` is of the labels."""
    columns = {"sentence": texts, "label": labels, "idx": list(range(len(texts)))}
    if kind is None:
        return Dataset.from_dict(columns)
    types = {"sentence": Value("string"), "label": kind, "idx": Value("int32")}
    return Dataset.from_dict(columns, features=Features(types))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_synthetic_task_loads_with_its_columns_and_labels(name):
    task = load_task(name)
    columns = {*task.spec.columns, "label", "idx", "difficulty"}
    assert set(task.dataset) == {"train", "validation"}
    assert columns == set(task.dataset["train"].column_names)
    assert len(task.dataset["validation"]) >= 1000
    assert task.num_labels == {"similarity": 1, "entailment": 3}.get(name, 2)
    assert (task.label_names is None) == (name == "similarity")


def test_the_synthetic_suite_is_read_without_a_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "none"))
    load_task("entailment")
    assert not (tmp_path / "none").exists()


def test_the_hubs_name_is_used_for_the_hub(task, monkeypatch):
    asked = []

    def load(*arguments, **_):
        asked.append(arguments)
        return task.dataset

    monkeypatch.setattr(tasks, "load_dataset", load)
    assert load_task("sst2", "hub").label_names == ("negative", "positive")
    assert asked == [("nyu-mll/glue", "sst2")]


def test_a_folder_and_a_saved_folder_give_the_same_task_as_the_suite(tmp_path):
    suite = load_task("entailment")
    suite.dataset.save_to_disk(tmp_path / "saved")
    mirror = tmp_path / "mirror"
    shutil.copytree(data_folder() / "synthetic" / "entailment", mirror / "entailment")
    layout = LAYOUT.format(name="entailment", ending="parquet").replace(".parquet", "-*")
    (mirror / "README.md").write_text(layout)
    for source in ("mirror", "saved"):
        other = load_task("entailment", str(tmp_path / source))
        assert other.fingerprint == suite.fingerprint
        assert other.label_names == suite.label_names


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_a_folder_whose_files_changed_is_read_anew(ending, tmp_path):
    (tmp_path / "sst2").mkdir()
    (tmp_path / "README.md").write_text(LAYOUT.format(name="sst2", ending=ending))

    def write(word):
        texts = [f"{word} {number}" for number in range(6)]
        for split in ("train", "validation"):
            path = tmp_path / "sst2" / f"{split}.{ending}"
            rows = rows_of(texts, [0, 1] * 3)
            if ending in ("json", "jsonl"):
                rows.to_json(path)
            else:
                getattr(rows, f"to_{ending}")(path)
        return load_task("sst2", str(tmp_path))

    before = write("old")
    after = write("new")
    assert after.dataset["train"]["sentence"][0] == "new 0"
    assert before.fingerprint != after.fingerprint


def test_the_fingerprint_depends_on_texts_and_labels(task):
    found = {task.fingerprint}
    for column, value in (("label", 0), ("sentence", "Changed.")):
        rows = task.dataset["validation"].to_dict()
        rows[column][0] = 1 - rows["label"][0] if column == "label" else value
        features = task.dataset["validation"].features
        changed = Dataset.from_dict(rows, features=features)
        dataset = DatasetDict(train=task.dataset["train"], validation=changed)
        found.add(fingerprint(dataset, task.spec))
    assert len(found) == 3


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("sentimant", "synthetic", "unknown task 'sentimant'; choose one of: acceptability"),
        ("rte", "synthetic", "source 'synthetic' has no task 'rte'; it has: acceptability"),
        ("sentiment", "hub", "source 'hub' has no task 'sentiment'; it has: cola"),
        ("rte", "no/such/folder", "neither 'synthetic', 'hub' nor a folder"),
    ],
)
def test_what_can_not_be_loaded_is_named(name, source, message):
    with pytest.raises(ValueError, match=message):
        load_task(name, source)


def test_missing_columns_and_splits_are_named(tmp_path):
    rows = rows_of(["a"], [0], ClassLabel(names=["no", "yes"]))
    DatasetDict(train=rows).save_to_disk(tmp_path / "one")
    with pytest.raises(ValueError, match="sst2 has no split 'validation'; it has: train"):
        load_task("sst2", str(tmp_path / "one"))
    rows = rows.rename_column("sentence", "text")
    DatasetDict(train=rows, validation=rows).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"sst2 train lacks the columns \['sentence'\]"):
        load_task("sst2", str(tmp_path / "saved"))


@pytest.mark.parametrize("validation", [["positive", "negative"], ["negative", "d"]])
def test_labels_without_an_order_get_one_order_for_both_splits(tmp_path, validation):
    train = ["positive", "negative", "positive", "negative"]
    splits = DatasetDict(train=rows_of(train, train), validation=rows_of(validation, validation))
    splits.save_to_disk(tmp_path / "saved")
    if "d" in validation:
        with pytest.raises(ValueError, match=r"validation has the labels \['d'\]"):
            load_task("sst2", str(tmp_path / "saved"))
        return
    task = load_task("sst2", str(tmp_path / "saved"))
    assert task.label_names == ("negative", "positive")
    assert task.dataset["validation"]["label"][:] == [1, 0]
    assert task.dataset["train"].column_names == ["sentence", "label", "idx"]


def test_classes_in_two_orders_are_refused(tmp_path):
    splits = DatasetDict()
    for split, names in (("train", ["no", "yes"]), ("validation", ["yes", "no"])):
        splits[split] = rows_of(["a"], [0], ClassLabel(names=names))
    splits.save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match="names its classes in two orders"):
        load_task("sst2", str(tmp_path / "saved"))


def test_glue_has_its_eight_tasks_with_their_metrics():
    assert {name: spec.metrics for name, spec in GLUE.items()} == {
        "cola": ("matthews",),
        "sst2": ("accuracy",),
        "mrpc": ("accuracy", "f1"),
        "qqp": ("accuracy", "f1"),
        "stsb": ("pearson", "spearman"),
        "mnli": ("accuracy",),
        "qnli": ("accuracy",),
        "rte": ("accuracy",),
    }


def test_the_development_part_is_drawn_from_train_stratified_and_apart():
    task = load_task("entailment")
    train, dev = train_dev_split(task, seed=0)
    assert len(dev) == 600 and len(train) + len(dev) == 6000
    assert not set(train) & set(dev)
    labels = np.array(task.dataset["train"]["label"])
    shares = [np.bincount(rows) / len(rows) for rows in (labels[dev], labels)]
    assert abs(shares[0] - shares[1]).max() < 0.01
    assert train_dev_split(task, seed=0) == (train, dev) != train_dev_split(task, seed=1)
    few, few_dev = train_dev_split(task, seed=0, most=100)
    assert len(few) == 90 and len(few_dev) == 10


def test_batches_have_one_size_cover_an_epoch_and_depend_on_seed_and_epoch(tokenized):
    epochs = {}
    for key in ((1, 0), (1, 1), (2, 0)):
        epochs[key] = [batch.rows.tolist() for batch in training_batches(tokenized, 32, *key)]
    for batches in epochs.values():
        assert [len(rows) for rows in batches] == [32] * 6
        assert len(batches) == steps_per_epoch(200, 32)
        assert len({row for rows in batches for row in rows}) == 192, "no example twice"
    assert epochs[1, 0] != epochs[1, 1] != epochs[2, 0]
    again = [batch.rows.tolist() for batch in training_batches(tokenized, 32, 1, 0)]
    assert again == epochs[1, 0]


@pytest.mark.parametrize("examples", [4, 31, 127, 128, 129, 160, 1000])
def test_steps_are_counted_as_batches_are_made(examples, tokenized):
    """Of 4: 32 batches are sorted by length together, so groups hold 128."""
    count = min(examples, 200)
    batches = list(training_batches(tokenized.first(count), 4, 1, 0))
    assert len(batches) == steps_per_epoch(count, 4)


def test_two_processes_share_one_processes_batches(tokenized):
    whole = [set(batch.rows.tolist()) for batch in training_batches(tokenized, 32, 1, 0)]
    halves = []
    for rank in (0, 1):
        part = training_batches(tokenized, 32, 1, 0, rank, 2)
        halves.append([set(batch.rows.tolist()) for batch in part])
    for one, other, both in zip(*halves, whole, strict=True):
        assert one | other == both and not one & other


@pytest.mark.parametrize(("size", "world"), [(201, 1), (32, 3)])
def test_batches_that_can_not_be_made_are_refused(tokenized, size, world):
    with pytest.raises(ValueError, match=f"a batch of {size} needs at least"):
        next(training_batches(tokenized, size, 1, 0, 0, world))


def test_labels_and_rows_stay_with_their_texts(task, tokenized, tokenizer):
    labels = task.dataset["train"]["label"]
    texts = task.dataset["train"]["sentence"]
    batches = [*training_batches(tokenized, 32, 1, 0), *evaluation_batches(tokenized, 64)]
    for batch in batches:
        rows = batch.rows.tolist()
        assert batch.labels.tolist() == [labels[row] for row in rows]
        for tokens, row in zip(batch.inputs["input_ids"], rows, strict=True):
            expected = tokenizer(texts[row], truncation=True, max_length=32)["input_ids"]
            assert tokens[tokens != tokenizer.pad_token_id].tolist() == expected


def test_a_batch_is_padded_as_its_tokenizer_pads(tokenized, tokenizer):
    positions = [3, 50, 7]
    expected = tokenizer.pad(tokenized.inputs[positions], return_tensors="pt")
    found = tokenized.batch(positions).inputs
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_evaluation_sees_every_example_once(tokenized):
    rows = [row for batch in evaluation_batches(tokenized, 64) for row in batch.rows.tolist()]
    assert sorted(rows) == list(range(200))


def test_random_state_outside_is_not_touched_by_batches(tokenized):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(training_batches(tokenized, 32, 1, 0))
    assert torch.equal(before, torch.get_rng_state())


def test_more_tokens_than_the_encoder_reads_and_another_selection_split_are_refused(
    task, tokenizer
):
    with pytest.raises(ValueError, match="reads at most .* tokens, and 100000 are asked for"):
        tokenize_split(task, "train", tokenizer, 100_000)
    config = ukd.preset("smoke", selection_split="test")
    with pytest.raises(ValueError, match="'test'; choose one of: dev, validation"):
        tokenized_splits(task, tokenizer, config)


# --- metrics --------------------------------------------------------------------------------------


def logits_of(predicted, classes=2):
    return np.eye(classes)[predicted]


def test_metrics_by_hand():
    labels = [1, 0, 0, 1, 1]
    logits = logits_of([1, 1, 0, 0, 1])  # 2 true positives, 1 false, 1 true negative, 1 false
    found = metrics.scores(logits, labels, ("accuracy", "f1", "matthews"))
    assert found["accuracy"] == pytest.approx(60)
    assert found["f1"] == pytest.approx(100 * 2 * 2 / (2 * 2 + 1 + 1))
    assert found["matthews"] == pytest.approx(100 * (2 * 1 - 1 * 1) / (3 * 3 * 2 * 2) ** 0.5)
    assert metrics.mean_metric({"accuracy": 60.0, "f1": 70.0}) == 65


def test_correlations_by_hand():
    values = np.array([[1.0], [2.0], [4.0]])
    found = metrics.scores(values, [1.0, 3.0, 2.0], ("pearson", "spearman"))
    assert found["pearson"] == pytest.approx(100 / (2 * (14 / 3)) ** 0.5, rel=1e-6)
    assert found["spearman"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("logits", "labels", "name"),
    [
        (logits_of([0, 0, 0]), [0, 1, 1], "matthews"),
        (logits_of([0, 0, 0]), [0, 1, 1], "f1"),
        (np.ones((3, 1)), [0.0, 1.0, 2.0], "pearson"),
        (np.ones((3, 1)), [0.0, 1.0, 2.0], "spearman"),
    ],
)
def test_degenerate_predictions_give_zero_and_a_warning(logits, labels, name):
    with pytest.warns(UserWarning):
        assert metrics.scores(logits, labels, (name,)) == {name: 0.0}


def test_predictions_that_are_not_finite_are_refused():
    with warnings.catch_warnings(), pytest.raises(ValueError, match="diverged"):
        metrics.scores(np.array([[np.nan, 1.0]]), [1], ("accuracy",))


def test_what_can_not_be_scored_is_named():
    with pytest.raises(ValueError, match="unknown metric 'bleu'; choose one of: accuracy"):
        metrics.scores(logits_of([0, 1]), [0, 1], ("bleu",))
    with pytest.raises(ValueError, match="no examples"):
        metrics.scores(np.zeros((0, 2)), [], ("accuracy",))


# --- runtime, presets, text -----------------------------------------------------------------------


def test_presets_are_changed_by_name_and_unknown_ones_are_refused():
    assert ukd.preset("cpu", batch_size=8, max_train=None).batch_size == 8
    assert ukd.preset("bert-4", student_epochs=1).learning_rate == 5e-5
    with pytest.raises(ValueError, match="unknown preset 'gpu'; choose one of: smoke, lesson, cpu"):
        ukd.preset("gpu")


def test_another_student_than_the_presets_has_the_rate_of_its_kind():
    """A BiLSTM at the rate of pretrained layers would hardly learn, without a word."""
    changed = ukd.preset("bert-4", student="bilstm")
    assert changed.learning_rate is None
    assert default_learning_rates(changed.encoder, changed.student)[1] == 1e-3
    assert ukd.preset("bilstm", student="layers").learning_rate is None
    assert ukd.preset("bert-4", student="bilstm", learning_rate=2e-3).learning_rate == 2e-3


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx2 avx512f", "float32"),
        ("fpu avx512_bf16", "bf16"),
        ("amx_bf16 fpu", "bf16"),
        ("", "float32"),
    ],
)
def test_the_precision_of_a_cpu_follows_its_instructions(flags, precision, monkeypatch):
    monkeypatch.setattr(runtime_module, "_best_device", lambda: "cpu")
    monkeypatch.setattr(runtime_module, "cpuinfo", lambda field: flags)
    assert choose_runtime().precision == precision and choose_runtime().reason
    assert choose_runtime("float32").reason == "asked for"


@pytest.mark.parametrize(
    ("flags", "precision", "warned"),
    [
        ("fpu avx2", "bf16", True),
        ("fpu avx2", "fp16", True),
        ("avx512_bf16", "fp16", True),
        ("avx512_fp16", "fp16", False),
        ("avx512_bf16", "bf16", False),
        ("fpu avx2", "float32", False),
    ],
)
def test_a_precision_that_a_cpu_has_no_instructions_for_is_said(
    flags, precision, warned, monkeypatch, capsys
):
    monkeypatch.setattr(runtime_module, "_best_device", lambda: "cpu")
    monkeypatch.setattr(runtime_module, "cpuinfo", lambda field: flags)
    chosen = choose_runtime(precision)
    lack = f"this CPU has no {precision} instructions"
    assert chosen.precision == precision
    assert (lack in chosen.reason) == (lack in capsys.readouterr().err) == warned


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp16"), ((8, 0), "bf16")])
def test_the_precision_of_a_gpu_follows_its_generation(capability, precision, monkeypatch):
    monkeypatch.setattr(runtime_module, "_best_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_runtime().precision == precision


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="unknown precision 'int8'"):
        choose_runtime("int8")


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_cores() == 3


def test_log_lines_are_plain_and_quiet_on_request(capsys, monkeypatch):
    monkeypatch.setenv("UKD_QUIET", "0")
    logger.info("a line")
    logger.warning("look out")
    assert capsys.readouterr().err == "a line\nwarning: look out\n"
    monkeypatch.setenv("UKD_QUIET", "1")
    logger.info("a line")
    logger.warning("look out")
    assert capsys.readouterr().err == "warning: look out\n"
    monkeypatch.setenv("RANK", "1")
    logger.warning("look out")
    assert capsys.readouterr().err == ""
    assert logging.getLogger("ukd") is logger


def test_importing_the_package_changes_no_environment():
    code = (
        "import json, os; before = dict(os.environ); import ukd, ukd.config.runtime; "
        "print(json.dumps([before == dict(os.environ), 'OMP_WAIT_POLICY' in os.environ]))"
    )
    command = [sys.executable, "-c", code]
    # The command line, which other tests call in this process, sets it.
    clean = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    options = {"capture_output": True, "text": True, "cwd": PACKAGE.parent, "env": clean}
    done = subprocess.run(command, check=True, **options)
    assert json.loads(done.stdout) == [True, False]


def test_tables_have_aligned_columns():
    found = markdown_table(["a", "bb"], [["1", "2"], ["333", "4"]])
    assert found == "| a   | bb |\n|-----|----|\n| 1   | 2  |\n| 333 | 4  |"


def test_a_draw_is_that_of_train_test_split():
    """So that the development parts of committed runs stay as they were."""
    for name, label in (("sentiment", "label"), ("similarity", None)):
        rows = load_task(name).dataset["train"].select(range(300))
        numbered = rows.add_column("row", list(range(300)))
        parts = numbered.train_test_split(test_size=40, seed=3, stratify_by_column=label)
        rest, drawn = divide(rows, lambda _: 40, 3, classes=label is not None)
        assert (rest, drawn) == (parts["train"]["row"][:], parts["test"]["row"][:])


def test_many_classes_cost_little():
    """By one array of rows and classes for each class this would take minutes."""
    labels = [number % 2000 for number in range(20_000)]
    start = time.monotonic()
    assert metrics.constant_score(labels, ("accuracy", "matthews")) == pytest.approx(0.025)
    rows = Dataset.from_dict({"label": labels})
    rest, drawn = divide(rows, lambda _: 2000, 0, classes=True)
    kept = limit(rows, 4000, 0, classes=True, least=2)
    assert time.monotonic() - start < 10
    assert len({labels[row] for row in rest}) == len({labels[row] for row in drawn}) == 2000
    assert len(kept) == 4000 and len({labels[row] for row in kept}) == 2000


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.shuffle(seed=1),
        lambda rows: rows.select(range(50)),
        lambda rows: rows.remove_columns("label").add_column("label", [1] * len(rows)),
    ],
)
def test_rows_that_were_changed_under_an_old_fingerprint_are_refused(change):
    """Their tokens, teacher and runs would be those of the rows before."""
    task = load_task("sentiment")
    dataset = DatasetDict({**task.dataset, "train": change(task.dataset["train"])})
    with pytest.raises(ValueError, match="rows of sentiment were changed and its fingerprint"):
        replace(task, dataset=dataset)
    found = replace(task, dataset=dataset, fingerprint=fingerprint(dataset, task.spec))
    assert found.fingerprint != task.fingerprint
    task.dataset["train"] = dataset["train"]  # in place
    with pytest.raises(ValueError, match="rows of sentiment were changed and its fingerprint"):
        task.key  # noqa: B018
    with pytest.raises(ValueError, match="rows of sentiment were changed and its fingerprint"):
        tokenize_split(task, "train", load_tokenizer(bundled_encoder()), 32, [0])


def test_other_views_of_the_same_rows_keep_their_fingerprint():
    task = load_task("sentiment")
    same = DatasetDict({split: rows.flatten_indices() for split, rows in task.dataset.items()})
    assert replace(task, dataset=same.with_format("numpy")).key == task.key


def linked(top, name, word):
    """A source whose folder of the task is a link to another place."""
    rows = top / f"rows-{name}"
    rows.mkdir(parents=True)
    texts = [f"{word} {number}" for number in range(6)]
    for split in ("train", "validation"):
        rows_of(texts, [0, 1] * 3).to_csv(rows / f"{split}.csv")
    source = top / name
    source.mkdir()
    (source / "README.md").write_text(LAYOUT.format(name="sst2", ending="csv"))
    (source / "sst2").symlink_to(rows, target_is_directory=True)
    (source / "circle").symlink_to(source, target_is_directory=True)
    return str(source)


def test_rows_behind_a_link_to_a_folder_are_those_of_the_link(tmp_path):
    for word in ("one", "two"):
        task = load_task("sst2", linked(tmp_path, word, word))
        assert task.dataset["train"]["sentence"][0] == f"{word} 0"
    rows_of(["new"] * 6, [0, 1] * 3).to_csv(tmp_path / "rows-two" / "train.csv")
    assert load_task("sst2", str(tmp_path / "two")).dataset["train"]["sentence"][0] == "new"


def test_the_rows_of_another_task_with_the_same_columns_are_refused(tmp_path):
    features = Features(
        sentence=Value("string"),
        label=ClassLabel(names=["unacceptable", "acceptable"]),
        idx=Value("int32"),
    )
    rows = {"sentence": ["a", "b", "c"], "label": [0, 1, 1], "idx": [0, 1, 2]}
    split = Dataset.from_dict(rows, features=features)
    DatasetDict(train=split, validation=split).save_to_disk(tmp_path)
    assert load_task("cola", str(tmp_path)).num_labels == 2
    with pytest.raises(ValueError, match="classes unacceptable, acceptable, and sst2 has negative"):
        load_task("sst2", str(tmp_path))


def test_a_text_that_alone_would_fill_the_part_stays_in_the_rest():
    labels = [number % 2 for number in range(1000)]
    groups = np.array([0] * 400 + list(range(1, 601)))
    rows = Dataset.from_dict({"label": labels})
    for seed in range(5):
        rest, drawn = divide(rows, lambda n: round(n / 10), seed, classes=True, groups=groups)
        assert len(drawn) == 60 and not set(drawn) & set(range(400))
        assert sorted(rest + drawn) == list(range(1000))
