"""GLUE's eight tasks from folders in the hub's layout, made on the spot; nothing is fetched."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from made_records import made_record
from safetensors.torch import load_file

import ukd
from ukd.config.paths import PACKAGE
from ukd.data import tasks
from ukd.data.labels import GLUE_CLASSES
from ukd.data.tasks import GLUE, fingerprint, load_task
from ukd.models.encoders import load_classifier, load_tokenizer, save
from ukd.training.predict import LEADERBOARD_FILES, NAMED, write_predictions

WORDS = ["the", "meal", "was", "good", "bad", "and", "we", "did", "not", "like", "it"]
TEST_ROWS = 12


def rows(name, split, count):
    """Random sentences, labelled by how often they hold a word; test splits have no labels."""
    rng = random.Random(f"{name}{split}")
    spec = GLUE[name]
    columns = {}
    for column in spec.columns:
        columns[column] = [" ".join(rng.choices(WORDS, k=6)) for _ in range(count)]
    counts = [text.split().count("the") for text in columns[spec.columns[0]]]
    if "test" in split:
        labels = [-1] * count
    elif spec.regression:
        labels = [float(number) for number in counts]
    else:
        labels = [number % len(GLUE_CLASSES[name]) for number in counts]
    kind = Value("float32") if spec.regression else ClassLabel(names=list(GLUE_CLASSES[name] or ()))
    types = {column: Value("string") for column in spec.columns}
    features = Features(types | {"label": kind, "idx": Value("int32")})
    columns |= {"label": labels, "idx": list(range(count))}
    return Dataset.from_dict(columns, features=features)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All eight tasks, test splits included."""
    top = tmp_path_factory.mktemp("glue")
    lines = ["---", "configs:"]
    for name, spec in GLUE.items():
        sizes = {"train": 80, spec.validation: 24}
        if spec.extra_split:
            sizes[spec.extra_split] = 16
        sizes |= dict.fromkeys(LEADERBOARD_FILES[name], TEST_ROWS)
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, count in sizes.items():
            path = top / name / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(exist_ok=True)
            rows(name, split, count).to_parquet(path)
            lines += [f"  - split: {split}", f"    path: {name}/{split}-*"]
    (top / "README.md").write_text("\n".join([*lines, "---", ""]))
    return str(top)


@pytest.fixture(scope="module")
def encoder(tiny_encoder, tmp_path_factory):
    """A narrow encoder without dropout, so that one process and two compute the same."""
    made = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    content = json.loads((made / "config.json").read_text())
    content |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (made / "config.json").write_text(json.dumps(content))
    return str(made)


@pytest.fixture(scope="module")
def budget(tiny, encoder):
    changes = {"max_train": 80, "max_validation": None, "teacher_epochs": 1, "student_epochs": 2}
    return replace(tiny, encoder=encoder, teacher_depth=None, **changes)


@pytest.fixture(scope="module")
def options(runtime):
    return {"max_length": 32, "runtime": runtime}


@pytest.mark.parametrize("name", GLUE)
def test_every_task_goes_from_its_layout_to_the_leaderboards_file(
    name, folder, encoder, options, tmp_path
):
    task = load_task(name, folder)
    assert task.label_names == GLUE_CLASSES[name]
    save(load_classifier(encoder, task, seed=0), load_tokenizer(encoder), tmp_path / "student")
    out = tmp_path / "out"
    paths = write_predictions(tmp_path / "student", name, folder, out, **options)
    assert sorted(paths) == sorted(out.iterdir())
    assert {path.name for path in paths} == {
        f"{file}.tsv" for file in LEADERBOARD_FILES[name].values()
    }
    for path in paths:
        header, *lines = path.read_text().splitlines()
        indices, answers = zip(*(line.split("\t") for line in lines), strict=True)
        assert header == "index\tprediction"
        assert indices == tuple(str(number) for number in range(TEST_ROWS))
        if name == "stsb":
            assert all(0 <= float(value) <= 5 for value in answers)
        else:
            assert set(answers) <= (set(GLUE_CLASSES[name]) if name in NAMED else {"0", "1"})
    with pytest.raises(FileExistsError, match="never overwritten"):
        write_predictions(tmp_path / "student", name, folder, out, **options)


def test_more_tokens_than_a_student_has_positions_are_refused(folder, encoder, runtime, tmp_path):
    network = load_classifier(encoder, load_task("rte", folder), seed=0)
    tokenizer = load_tokenizer(encoder)
    tokenizer.model_max_length = 10**9
    save(network, tokenizer, tmp_path / "student")
    options = {"max_length": 300, "runtime": runtime}
    with pytest.raises(ValueError, match="for 256 tokens, and 300 .*: lower --max-length to 256"):
        write_predictions(tmp_path / "student", "rte", folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cola", "stsb", "mnli"])
def test_tasks_of_one_and_two_texts_classes_and_values_are_distilled(
    name, folder, budget, runtime, options, tmp_path
):
    task = load_task(name, folder)
    teacher = ukd.train_teacher(task, config=budget, runtime=runtime)
    method = ukd.get_method("universal-kd")
    given = {"config": budget, "seed": 1, "runtime": runtime, "folder": tmp_path}
    record = ukd.distill(task, method, teacher, **given)
    assert tuple(record.scores["validation"]) == GLUE[name].metrics
    assert record.examples["validation"] == 24
    mismatched = record.examples.get("validation_mismatched")
    assert mismatched == (16 if name == "mnli" else None)
    assert ("validation_mismatched" in record.scores) == (name == "mnli")
    student = Path(record.folder) / "student"
    assert write_predictions(student, name, folder, tmp_path / "out", **options)


@pytest.mark.slow
def test_selecting_on_validation_uses_all_of_train_and_says_so(folder, budget, runtime, tmp_path):
    task = load_task("rte", folder)
    config = replace(budget, selection_split="validation")
    teacher = ukd.train_teacher(task, config=config, runtime=runtime)
    assert teacher.about["scores"]["dev"] == teacher.about["scores"]["validation"]
    given = {"config": config, "seed": 1, "runtime": runtime, "folder": tmp_path}
    record = ukd.distill(task, ukd.get_method("no-kd"), teacher, **given)
    assert record.examples == {"train": 80, "dev": 24, "validation": 24}
    assert record.settings.selection_split == "validation"


def test_a_hub_that_can_not_be_reached_is_an_error_with_a_remedy(monkeypatch):
    def load(*_, **__):
        raise ConnectionError("no way to the hub")

    monkeypatch.setattr(tasks, "load_dataset", load)
    with pytest.raises(ValueError, match="can't be reached .*--source.*acceptability"):
        load_task("rte", "hub")


def test_an_encoder_that_can_not_be_fetched_is_an_error_with_a_remedy(folder, runtime):
    with pytest.raises(ValueError, match="no model could be loaded from 'google/bert_uncased_L-12"):
        ukd.train_teacher(load_task("rte", folder), config=ukd.preset("laptop"), runtime=runtime)


def test_predictions_that_would_be_wrong_are_refused(folder, encoder, options, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="'sentiment' is not a task of GLUE's leaderboard"):
        write_predictions(Path(encoder), "sentiment", folder, out, **options)
    with pytest.raises(ValueError, match="no model could be loaded"):
        write_predictions(tmp_path, "rte", folder, out, **options)
    with pytest.raises(ValueError, match="holds no trained classifier"):
        write_predictions(Path(encoder), "rte", folder, out, **options)
    other = load_classifier(encoder, load_task("sst2", folder), seed=0)
    save(other, load_tokenizer(encoder), tmp_path / "student")
    with pytest.raises(ValueError, match="was trained on another task"):
        write_predictions(tmp_path / "student", "rte", folder, out, **options)
    assert not out.exists()


def test_a_student_of_another_task_with_the_same_classes_is_refused(
    folder, encoder, options, tmp_path
):
    task = load_task("rte", folder)
    save(load_classifier(encoder, task, seed=0), load_tokenizer(encoder), tmp_path / "student")
    made_record("kd", task="rte").write(tmp_path / "record.json")
    with pytest.raises(ValueError, match="another task, rte: take --task rte"):
        write_predictions(tmp_path / "student", "qnli", folder, tmp_path / "out", **options)
    assert write_predictions(tmp_path / "student", "rte", folder, tmp_path / "out", **options)


def test_a_source_without_test_splits_or_with_other_classes_is_refused(folder, options, tmp_path):
    splits = DatasetDict(train=rows("rte", "train", 20), validation=rows("rte", "validation", 20))
    splits.save_to_disk(tmp_path / "saved")
    given = tmp_path / "student", "rte", str(tmp_path / "saved"), tmp_path / "out"
    with pytest.raises(ValueError, match="has no split test of rte; it has: train, validation"):
        write_predictions(*given, **options)
    kind = ClassLabel(names=["not_entailment", "entailment"])
    splits["test"] = rows("rte", "test", 20)
    splits = DatasetDict({name: part.cast_column("label", kind) for name, part in splits.items()})
    splits.save_to_disk(tmp_path / "turned")
    given = tmp_path / "student", "rte", str(tmp_path / "turned"), tmp_path / "out"
    with pytest.raises(ValueError, match="names the classes of rte .*, and GLUE"):
        write_predictions(*given, **options)


def test_the_mismatched_part_is_in_the_fingerprint(folder):
    task = load_task("mnli", folder)
    without = DatasetDict({name: task.dataset[name] for name in ("train", "validation")})
    assert fingerprint(without, task.spec) != task.fingerprint


TWO_PROCESSES = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
DISTIL = """
import sys
import ukd
from ukd.config.runtime import Runtime
source, encoder = sys.argv[1:]
budget = {"max_train": 80, "batch_size": 16, "teacher_epochs": 2, "student_epochs": 2}
config = ukd.preset("smoke", encoder=encoder, teacher_depth=3, **budget)
options = {"config": config, "runtime": Runtime("cpu", "float32", 1, "test")}
task = ukd.load_task("rte", source)
teacher = ukd.train_teacher(task, **options)
print(ukd.distill(task, ukd.get_method("universal-kd"), teacher, seed=1, **options).hash)
"""


@pytest.mark.slow
def test_two_processes_distil_as_one_does(folder, encoder, tmp_path):
    """Curves and weights agree after a teacher and two stages; whole folders are written once."""
    script = tmp_path / "distil.py"
    script.write_text(DISTIL)
    histories = []
    students = []
    for count, launch in ((1, []), (2, TWO_PROCESSES)):
        runs = tmp_path / f"runs-{count}"
        cache = tmp_path / f"cache-{count}"
        env = {"UKD_RUNS": str(runs), "UKD_CACHE": str(cache), "PYTHONPATH": str(PACKAGE.parent)}
        done = subprocess.run(
            [sys.executable, *launch, str(script), folder, encoder],
            env=os.environ | env | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        (path,) = runs.glob("*/record.json")
        record = ukd.training.RunRecord.read(path)
        assert record.provenance.processes == count
        (teacher,) = (cache / "teachers").glob("[!.]*")
        for model in (path.parent / "student", teacher):
            assert {"model.safetensors", "config.json"} <= set(os.listdir(model))
        about = json.loads((teacher / "teacher.json").read_text())
        histories.append({"fine-tuning": about["history"], **record.history})
        students.append(load_file(path.parent / "student" / "model.safetensors"))
    one, two = histories
    assert one.keys() == two.keys() == {"fine-tuning", "teacher", "labels"}
    for stage in one:
        for mine, other in zip(one[stage]["curve"], two[stage]["curve"], strict=True):
            assert mine == pytest.approx(other, rel=1e-4, abs=1e-6)
    for name, weights in students[0].items():
        torch.testing.assert_close(weights, students[1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("damage", ["flipped", "cut", "lost"])
def test_a_damaged_copy_of_the_rows_is_read_anew(damage, folder, tmp_path, monkeypatch):
    """A word of a text that has changed in the cache would be learned like any other."""
    monkeypatch.setenv("UKD_CACHE", str(tmp_path))
    expected = load_task("rte", folder).fingerprint
    (copy,) = tmp_path.glob("datasets/*/rte/train/*.arrow")
    content = bytearray(copy.read_bytes())
    if damage == "lost":
        copy.unlink()
    else:
        content[content.index(b"room") if b"room" in content else len(content) // 2] ^= 1
        copy.write_bytes(content[:-200] if damage == "cut" else content)
    with pytest.warns(UserWarning, match="the copy of the rows in .* is damaged: it is made anew"):
        assert load_task("rte", folder).fingerprint == expected
    assert load_task("rte", folder).fingerprint == expected


def test_a_test_split_needs_no_labels_and_its_other_columns_are_named(
    folder, encoder, options, tmp_path
):
    splits = DatasetDict(load_task("cola", folder).dataset)
    splits["test"] = rows("cola", "test", TEST_ROWS).remove_columns("label")
    splits.save_to_disk(tmp_path / "unlabelled")
    splits["test"] = splits["test"].remove_columns("idx")
    splits.save_to_disk(tmp_path / "unnumbered")
    task = load_task("cola", folder)
    student = tmp_path / "student"
    save(load_classifier(encoder, task, seed=0), load_tokenizer(encoder), student)
    answers = []
    for source in (folder, str(tmp_path / "unlabelled")):
        out = tmp_path / f"out-{len(answers)}"
        answers.append(write_predictions(student, "cola", source, out, **options)[0].read_text())
    assert answers[0] == answers[1]
    with pytest.raises(ValueError, match="cola test in .*unnumbered lacks the columns idx; it has"):
        write_predictions(student, "cola", str(tmp_path / "unnumbered"), tmp_path / "o", **options)
