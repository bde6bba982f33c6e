"""Tasks from every source through the same code, splits, batches, metrics."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import ukd
from ukd import config, data
from ukd.data import metrics
from ukd.data.batches import evaluation_batches, steps_per_epoch, tokenize_split, training_batches
from ukd.data.tasks import GLUE, SYNTHETIC, load_task, train_dev_split


@pytest.fixture
def encoded(task, tiny, teacher):
    from ukd.models.encoders import load_tokenizer

    return tokenize_split(task, "train", load_tokenizer(teacher.folder), 32, list(range(200)))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_embedded_task_loads_with_its_columns_and_labels(name):
    task = load_task(name)
    assert set(task.dataset) == {"train", "validation"}
    assert {*task.spec.columns, "label", "idx", "difficulty"} == set(
        task.dataset["train"].column_names
    )
    assert len(task.dataset["validation"]) >= 1000
    assert task.num_labels == {"similarity": 1, "entailment": 3}.get(name, 2)
    assert (task.label_names is None) == (name == "similarity")


def test_the_hubs_name_is_used_for_the_hub(monkeypatch):
    asked = []
    local = load_task("sentiment").dataset

    def fake(*args, **kwargs):
        asked.append(args)
        return local

    monkeypatch.setattr(data, "load_dataset", fake)
    assert load_task("sst2", "hub").label_names == ("negative", "positive")
    assert asked == [("nyu-mll/glue", "sst2")]


def test_a_folder_and_a_saved_folder_give_the_same_task_as_the_suite(tmp_path):
    (tmp_path / "mirror").mkdir()
    shutil.copy(config.data_folder() / "README.md", tmp_path / "mirror")
    for name in SYNTHETIC:
        shutil.copytree(config.data_folder() / name, tmp_path / "mirror" / name)
    suite = load_task("entailment")
    suite.dataset.save_to_disk(tmp_path / "saved")
    for source in ("mirror", "saved"):
        other = load_task("entailment", str(tmp_path / source))
        assert other.fingerprint == suite.fingerprint and other.label_names == suite.label_names


def test_a_folder_whose_files_changed_is_read_anew(tmp_path):
    shutil.copy(config.data_folder() / "README.md", tmp_path)
    for name in SYNTHETIC:
        shutil.copytree(config.data_folder() / name, tmp_path / name)
    before = load_task("sentiment", str(tmp_path))
    path = tmp_path / "sentiment" / "validation-00000-of-00001.parquet"
    rows = Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    rows.select(range(10)).to_parquet(path)
    after = load_task("sentiment", str(tmp_path))
    assert (len(before.dataset["validation"]), len(after.dataset["validation"])) == (2000, 10)
    assert before.fingerprint != after.fingerprint


def test_the_fingerprint_depends_on_texts_and_labels():
    task = load_task("sentiment")
    prints = {task.fingerprint}
    for column, value in (("label", 0), ("sentence", "Changed.")):
        rows = task.dataset["validation"].to_dict()
        rows[column][0] = 1 - rows["label"][0] if column == "label" else value
        changed = DatasetDict(
            train=task.dataset["train"],
            validation=Dataset.from_dict(rows, features=task.dataset["validation"].features),
        )
        prints.add(data.fingerprint(changed, task.spec))
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        (
            "sentimant",
            "embedded",
            "unknown task 'sentimant'; choose one of: acceptability, sentiment",
        ),
        ("rte", "embedded", "source 'synthetic' has no task 'rte'; it has: acceptability"),
        ("sentiment", "hub", "source 'hub' has no task 'sentiment'; it has: cola"),
        ("rte", "no/such/folder", "neither 'synthetic', 'hub' nor a folder"),
    ],
)
def test_what_can_not_be_loaded_is_named(name, source, message):
    with pytest.raises(ValueError, match=message):
        load_task(name, source)


def test_missing_columns_are_named(tmp_path):
    rows = Dataset.from_dict(
        {"text": ["a"], "label": [0], "idx": [0]},
        features=Features(
            {
                "text": Value("string"),
                "label": ClassLabel(names=["no", "yes"]),
                "idx": Value("int32"),
            }
        ),
    )
    DatasetDict(train=rows, validation=rows).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"sst2 train lacks the columns \['sentence'\]"):
        load_task("sst2", str(tmp_path / "saved"))


@pytest.mark.parametrize("validation", [["b", "c"], ["a", "d"]])
def test_labels_without_an_order_get_one_order_for_both_splits(tmp_path, validation):
    made = {"train": ["c", "a", "b", "a"], "validation": validation}
    DatasetDict(
        {
            split: Dataset.from_dict(
                {"sentence": labels, "label": labels, "idx": list(range(len(labels)))}
            )
            for split, labels in made.items()
        }
    ).save_to_disk(tmp_path / "saved")
    if "d" in validation:
        with pytest.raises(ValueError, match=r"validation has the labels \['d'\]"):
            load_task("sst2", str(tmp_path / "saved"))
    else:
        task = load_task("sst2", str(tmp_path / "saved"))
        assert task.label_names == ("a", "b", "c") and task.dataset["validation"]["label"][:] == [
            1,
            2,
        ]


def test_classes_in_two_orders_are_refused(tmp_path):
    names = {"train": ["no", "yes"], "validation": ["yes", "no"]}
    DatasetDict(
        {
            split: Dataset.from_dict(
                {"sentence": ["a"], "label": [0], "idx": [0]},
                features=Features(
                    {
                        "sentence": Value("string"),
                        "label": ClassLabel(names=order),
                        "idx": Value("int32"),
                    }
                ),
            )
            for split, order in names.items()
        }
    ).save_to_disk(tmp_path / "saved")
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


def test_the_development_part_is_carved_from_train_stratified_and_apart():
    task = load_task("entailment")
    train, dev = train_dev_split(task, seed=0)
    assert len(dev) == 600 and not set(train) & set(dev) and len(train) + len(dev) == 6000
    labels = np.array(task.dataset["train"]["label"])
    assert abs(np.bincount(labels[dev]) / len(dev) - np.bincount(labels) / len(labels)).max() < 0.01
    assert train_dev_split(task, seed=0) == (train, dev) != train_dev_split(task, seed=1)
    few, few_dev = train_dev_split(task, seed=0, most=100)
    assert len(few) == 90 and len(few_dev) == 10


def test_batches_have_one_size_cover_an_epoch_and_depend_on_seed_and_epoch(encoded):
    epochs = {
        key: [batch.rows.tolist() for batch in training_batches(encoded, 32, *key)]
        for key in ((1, 0), (1, 1), (2, 0))
    }
    for batches in epochs.values():
        assert [len(rows) for rows in batches] == [32] * 6 and len(batches) == steps_per_epoch(
            200, 32
        )
        assert len({row for rows in batches for row in rows}) == 192, "no example twice"
    assert epochs[1, 0] != epochs[1, 1] != epochs[2, 0]
    assert [batch.rows.tolist() for batch in training_batches(encoded, 32, 1, 0)] == epochs[1, 0]


def test_two_processes_share_one_processes_batches(encoded):
    whole = [set(batch.rows.tolist()) for batch in training_batches(encoded, 32, 1, 0)]
    halves = [
        [set(batch.rows.tolist()) for batch in training_batches(encoded, 32, 1, 0, rank, 2)]
        for rank in (0, 1)
    ]
    assert [one | other for one, other in zip(*halves, strict=True)] == whole
    assert not any(one & other for one, other in zip(*halves, strict=True))


@pytest.mark.parametrize(("size", "world"), [(201, 1), (32, 3)])
def test_batches_that_can_not_be_made_are_refused(encoded, size, world):
    with pytest.raises(ValueError, match=f"a batch of {size} needs at least"):
        next(training_batches(encoded, size, 1, 0, 0, world))


def test_labels_and_rows_stay_with_their_texts(task, encoded):
    labels = task.dataset["train"]["label"]
    for batch in [*training_batches(encoded, 32, 1, 0), *evaluation_batches(encoded, 64)]:
        assert batch.labels.tolist() == [labels[row] for row in batch.rows.tolist()]
        for tokens, row in zip(batch.inputs["input_ids"], batch.rows.tolist(), strict=True):
            expected = encoded.tokenizer(
                task.dataset["train"][row]["sentence"], truncation=True, max_length=32
            )["input_ids"]
            assert tokens[tokens != encoded.tokenizer.pad_token_id].tolist() == expected


def test_evaluation_sees_every_example_once(encoded):
    rows = [row for batch in evaluation_batches(encoded, 64) for row in batch.rows.tolist()]
    assert sorted(rows) == list(range(200))


# --- metrics --------------------------------------------------------------------------------------------------------------


def logits_of(predicted, classes=2):
    return np.eye(classes)[predicted]


def test_metrics_by_hand():
    predicted, labels = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]  # tp 2, fp 1, fn 1, tn 1
    found = metrics.scores(logits_of(predicted), labels, ("accuracy", "f1", "matthews"))
    assert found["accuracy"] == pytest.approx(60)
    assert found["f1"] == pytest.approx(100 * 2 * 2 / (2 * 2 + 1 + 1))
    assert found["matthews"] == pytest.approx(100 * (2 * 1 - 1 * 1) / (3 * 3 * 2 * 2) ** 0.5)


def test_correlations_by_hand():
    found = metrics.scores(
        np.array([[1.0], [2.0], [4.0]]), [1.0, 3.0, 2.0], ("pearson", "spearman")
    )
    assert found["pearson"] == pytest.approx(100 * 1.0 / (2 * (14 / 3)) ** 0.5 * 1.0, rel=1e-6)
    assert found["spearman"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("logits", "labels", "name", "expected"),
    [
        (logits_of([0, 0, 0]), [0, 1, 1], "matthews", 0.0),
        (logits_of([0, 0, 0]), [0, 1, 1], "f1", 0.0),
        (np.ones((3, 1)), [0.0, 1.0, 2.0], "pearson", 0.0),
        (np.ones((3, 1)), [0.0, 1.0, 2.0], "spearman", 0.0),
    ],
)
def test_degenerate_predictions_give_a_number_and_a_warning(logits, labels, name, expected):
    with pytest.warns(UserWarning):
        assert metrics.scores(logits, labels, (name,)) == {name: expected}


def test_predictions_that_are_not_finite_are_refused():
    with warnings.catch_warnings(), pytest.raises(ValueError, match="diverged"):
        metrics.scores(np.array([[np.nan, 1.0]]), [1], ("accuracy",))


def test_what_can_not_be_scored_is_named():
    with pytest.raises(ValueError, match="unknown metric 'bleu'; choose one of: accuracy"):
        metrics.scores(logits_of([0, 1]), [0, 1], ("bleu",))
    with pytest.raises(ValueError, match="no examples"):
        metrics.scores(np.zeros((0, 2)), [], ("accuracy",))


def test_profiles_are_changed_by_name_and_unknown_ones_are_refused():
    assert ukd.preset("cpu", batch_size=8, width=None).batch == 8
    with pytest.raises(
        ValueError, match="unknown profile 'gpu'; choose one of: smoke, lesson, cpu"
    ):
        ukd.preset("gpu")


def test_precision_is_chosen_with_a_reason_and_a_wrong_one_refused():
    assert (
        ukd.choose_runtime().precision in ("float32", "bf16", "fp16")
        and ukd.choose_runtime().reason
    )
    assert ukd.choose_runtime("float32").reason == "asked for"
    with pytest.raises(ValueError, match="unknown precision 'int8'"):
        ukd.choose_runtime("int8")


def test_random_state_outside_is_not_touched_by_batches(encoded):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(training_batches(encoded, 32, 1, 0))
    assert torch.equal(before, torch.get_rng_state())
