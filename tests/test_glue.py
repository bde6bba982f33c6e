"""GLUE's eight tasks from folders made on the spot in the hub's layout: loading, scoring, selecting, predicting; nothing is fetched."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import ukd
from ukd.analysis.tables import tables
from ukd.cli.main import main
from ukd.data.tasks import GLUE, fingerprint, load_task
from ukd.training.predict import FILES

ROOT = Path(__file__).parents[1]
WORDS = ["the", "meal", "was", "good", "bad", "and", "we", "did", "not", "like", "it"]
NAMES = {
    "cola": ["unacceptable", "acceptable"],
    "sst2": ["negative", "positive"],
    "mrpc": ["not_equivalent", "equivalent"],
    "qqp": ["not_duplicate", "duplicate"],
    "mnli": ["entailment", "neutral", "contradiction"],
    "qnli": ["entailment", "not_entailment"],
    "rte": ["entailment", "not_entailment"],
}


def rows(name, count, seed, labelled=True):
    """Random sentences whose label is whether they hold a word."""
    rng, spec = random.Random(f"{name}{seed}"), GLUE[name]
    texts = {
        column: [" ".join(rng.choices(WORDS, k=6)) for _ in range(count)] for column in spec.columns
    }
    first = texts[spec.columns[0]]
    if spec.regression:
        labels = (
            [float(text.split().count("the")) for text in first] if labelled else [-1.0] * count
        )
    else:
        labels = (
            [text.split().count("the") % len(NAMES[name]) for text in first]
            if labelled
            else [-1] * count
        )
    kind = Value("float32") if spec.regression else ClassLabel(names=NAMES[name])
    features = Features(
        {column: Value("string") for column in spec.columns}
        | {"label": kind, "idx": Value("int32")}
    )
    return Dataset.from_dict(
        {**texts, "label": labels, "idx": list(range(count))}, features=features
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All eight tasks, test splits included."""
    top = tmp_path_factory.mktemp("glue")
    said = "---\nconfigs:\n"
    for name, spec in GLUE.items():
        splits = {
            "train": 80,
            spec.validation: 24,
            **({spec.extra_split: 16} if spec.extra_split else {}),
            **dict.fromkeys(FILES[name], 12),
        }
        said += f"- config_name: {name}\n  data_files:\n"
        for split, count in splits.items():
            path = top / name / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(exist_ok=True)
            rows(name, count, split, labelled="test" not in split).to_parquet(path)
            said += f"  - split: {split}\n    path: {name}/{split}-*\n"
    (top / "README.md").write_text(f"{said}---\n")
    return str(top)


@pytest.fixture(scope="module")
def budget(tiny):
    return replace(tiny, max_train=80, max_validation=None, student_epochs=2, teacher_epochs=1)


@pytest.fixture(scope="module")
def encoder(tiny, runtime):
    from data.encoder.make.pretrain import encoder_from_nothing

    return str(encoder_from_nothing(tiny, runtime))


@pytest.mark.parametrize("name", list(GLUE))
def test_every_task_goes_from_its_layout_to_a_student_and_to_the_leaderboards_file(
    name, folder, budget, encoder, runtime, tmp_path
):
    task = load_task(name, folder)
    assert task.label_names == (None if name == "stsb" else tuple(NAMES[name]))
    teacher = ukd.train_teacher(task, config=budget, encoder=encoder, runtime=runtime)
    record = ukd.distill(
        task,
        ukd.get_method("universal-kd"),
        teacher,
        config=budget,
        seed=1,
        runtime=runtime,
        folder=tmp_path,
    )
    assert set(record["scores"]["validation"]) == set(GLUE[name].metrics)
    assert ("validation_mismatched" in record["scores"]) == (name == "mnli")
    student, out = str(Path(record["folder"]) / "student"), tmp_path / "predictions"
    command = [
        "predict",
        "--student",
        student,
        "--task",
        name,
        "--source",
        folder,
        "--out",
        str(out),
    ]
    assert main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{file}.tsv" for file in FILES[name].values()
    )
    for path in out.iterdir():
        header, *lines = path.read_text().splitlines()
        assert header == "index\tprediction" and [line.split("\t")[0] for line in lines] == [
            str(i) for i in range(12)
        ]
        said = {line.split("\t")[1] for line in lines}
        if name == "stsb":
            assert all(0 <= float(value) <= 5 for value in said)
        else:
            assert said <= (set(NAMES[name]) if name in ("mnli", "qnli", "rte") else {"0", "1"})
    assert main(command) == 2  # what is there is not overwritten


def test_matched_and_mismatched_are_reported_apart(folder, budget, encoder, runtime, tmp_path):
    task = load_task("mnli", folder)
    teacher = ukd.train_teacher(task, config=budget, encoder=encoder, runtime=runtime)
    record = ukd.distill(
        task, ukd.get_method("kd"), teacher, config=budget, seed=1, runtime=runtime, folder=tmp_path
    )
    assert (
        record["examples"]["validation"] == 24 and record["examples"]["validation_mismatched"] == 16
    )
    record["scores"] |= {
        "validation": {"accuracy": 70.0},
        "validation_mismatched": {"accuracy": 60.0},
    }
    said = tables([record])
    assert "mnli (accuracy)" in said and "mnli (validation_mismatched) (accuracy)" in said
    assert (
        "70.0 (n=1)" in said
        and "60.0 (n=1)" in said
        and "mnli 24, mnli (validation_mismatched) 16" in said
    )


def test_selecting_on_validation_uses_all_of_train_and_says_so(
    folder, budget, encoder, runtime, tmp_path
):
    task, paper = load_task("rte", folder), replace(budget, selection_split="validation")
    teacher = ukd.train_teacher(task, config=paper, encoder=encoder, runtime=runtime)
    assert teacher.about["scores"]["dev"] == teacher.about["scores"]["validation"]
    assert (
        teacher.key != ukd.train_teacher(task, config=budget, encoder=encoder, runtime=runtime).key
    )
    record = ukd.distill(
        task,
        ukd.get_method("no-kd"),
        teacher,
        config=paper,
        seed=1,
        runtime=runtime,
        folder=tmp_path,
    )
    assert (
        record["examples"] == {"train": 80, "dev": 24, "validation": 24}
        and record["settings"]["select"] == "validation"
    )
    assert "epochs chosen on the split reported" in tables([record])
    with pytest.raises(
        ValueError, match="unknown part 'test' to select on; choose one of: dev, validation"
    ):
        ukd.train_teacher(
            task, config=replace(budget, selection_split="test"), encoder=encoder, runtime=runtime
        )


def test_what_can_not_be_predicted_is_named(folder, budget, encoder, runtime, capsys, tmp_path):
    assert (
        main(
            [
                "predict",
                "--student",
                str(tmp_path),
                "--task",
                "rte",
                "--source",
                folder,
                "--out",
                str(tmp_path),
            ]
        )
        == 2
    )
    assert "no model could be loaded" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tsv"))


def test_a_hub_that_can_not_be_reached_is_an_error_with_a_remedy(monkeypatch, capsys):
    def away(*_, **__):
        raise ConnectionError("no way to the hub")

    monkeypatch.setattr("ukd.data.load_dataset", away)
    assert main(["run", "--preset", "bert-4", "--task", "rte"]) == 2
    said = capsys.readouterr().err
    assert "can't be reached" in said and "--source" in said and "acceptability" in said


def test_a_teacher_that_can_not_be_fetched_is_an_error_with_a_remedy(folder, capsys):
    assert main(["run", "--preset", "laptop", "--task", "rte", "--source", folder]) == 2
    assert (
        "no model could be loaded from 'google/bert_uncased_L-12_H-256_A-4': pass a folder"
        in capsys.readouterr().err
    )


def test_training_goes_through_torch_compile_when_asked(
    folder, budget, encoder, runtime, monkeypatch
):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda model, **options: seen.append(options) or model)
    ukd.train_teacher(
        load_task("cola", folder),
        config=budget,
        encoder=encoder,
        runtime=replace(runtime, compiled=True),
    )
    assert seen == [{"dynamic": True}]


def test_two_processes_train_as_one_does(folder, encoder, tmp_path):
    """The same global batch, no dropout: the curves of teacher and student agree, and whole folders are written, once each."""
    still = tmp_path / "encoder"
    shutil.copytree(encoder, still)
    config = json.loads((still / "config.json").read_text())
    (still / "config.json").write_text(
        json.dumps(config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    )
    found = []
    for count in (1, 2):
        runs, cache = tmp_path / f"runs-{count}", tmp_path / f"cache-{count}"
        launch = [
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={count}",
            "-m",
            "ukd",
            "run",
        ]
        options = [
            "--profile",
            "smoke",
            "--task",
            "rte",
            "--source",
            folder,
            "--teacher",
            str(still),
            "--precision",
            "float32",
        ]
        done = subprocess.run(
            [
                sys.executable,
                *launch,
                "--method",
                "universal-kd",
                *options,
                "--max-train",
                "80",
                "--batch",
                "16",
            ],
            env={
                **os.environ,
                "UKD_RUNS": str(runs),
                "UKD_CACHE": str(cache),
                "OMP_NUM_THREADS": "1",
                "ACCELERATE_USE_CPU": "true",
            },
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        records = [json.loads(path.read_text()) for path in runs.glob("*/record.json")]
        assert len(records) == 1 and records[0]["processes"] == count
        assert len(done.stdout.strip().splitlines()) == 1
        found.append(records[0])
        for student in [*runs.glob("*/student"), *(cache / "teachers").glob("[!.]*")]:
            assert (student / "model.safetensors").is_file() and (student / "config.json").is_file()
    for stage in ("teacher", "labels"):
        one, two = (list(record["history"][stage]["curve"]) for record in found)
        assert one[-1]["step"] == two[-1]["step"]
        assert one[-1] == pytest.approx(two[-1], rel=1e-3, abs=1e-6)
    taught = [
        json.loads(next((tmp_path / f"cache-{n}" / "teachers").glob("*/teacher.json")).read_text())[
            "history"
        ]
        for n in (1, 2)
    ]
    assert [point["labels"] for point in taught[0]["curve"]] == pytest.approx(
        [point["labels"] for point in taught[1]["curve"]], rel=1e-4
    )


def test_predictions_of_what_was_not_trained_on_the_task_are_refused(
    folder, encoder, budget, runtime, tmp_path, capsys
):
    command = [
        "predict",
        "--task",
        "rte",
        "--source",
        folder,
        "--out",
        str(tmp_path / "out"),
        "--student",
    ]
    assert main([*command, encoder]) == 2
    assert "holds no trained classifier" in capsys.readouterr().err
    task = load_task("sst2", folder)
    teacher = ukd.train_teacher(task, config=budget, encoder=encoder, runtime=runtime)
    assert main([*command, str(teacher.folder)]) == 2
    assert "was trained on another task" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_mismatched_part_is_in_the_fingerprint(folder):
    task = load_task("mnli", folder)
    without = {name: rows for name, rows in task.dataset.items() if name != "validation_mismatched"}
    assert fingerprint(DatasetDict(without), task.spec) != task.fingerprint


def test_a_further_split_counts_in_no_average():
    scores = {"accuracy": 90.0}
    settings = {
        "method": {},
        "student_layers": 2,
        "max_train": None,
        "epochs": 1,
        "batch": 1,
        "rate": 1,
        "max_length": 1,
        "precision": "",
    }
    record = {
        "task": "mnli",
        "method": "kd",
        "seed": 1,
        "made": "",
        "profile": "",
        "settings": settings,
        "steps": 1,
        "examples": {"train": 1, "validation": 1, "validation_mismatched": 1},
        "scores": {"validation": scores, "validation_mismatched": {"accuracy": 10.0}},
        "teacher": {
            "encoder": "",
            "layers": 1,
            "rate": 1,
            "scores": {"validation": scores, "validation_mismatched": {"accuracy": 20.0}},
        },
    }
    rows = [
        line.split("|")[2:-1]
        for line in tables([record]).splitlines()
        if line.startswith(("| teacher", "| kd"))
    ]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["90.0", "20.0", "90.0"],
        ["90.0 (n=1)", "10.0 (n=1)", "90.0"],
    ]
