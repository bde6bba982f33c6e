"""Predictions for GLUE's test splits, in the files that its leaderboard takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datasets import Dataset, DatasetDict
from torch import Tensor

from ukd.config.files import atomic_file
from ukd.config.keys import config_hash
from ukd.config.runtime import Runtime
from ukd.data.batches import tokenize_split
from ukd.data.labels import GLUE_CLASSES
from ukd.data.tasks import GLUE, Task, load_task, read_splits
from ukd.heads import ClassifierWithHeads
from ukd.models.encoders import load_tokenizer, load_trained
from ukd.models.family_check import check_family
from ukd.models.loading import read_config
from ukd.training.loop import predict
from ukd.training.run_record import RECORD, RunRecord

# The leaderboard's file for each test split.
LEADERBOARD_FILES = {
    "cola": {"test": "CoLA"},
    "sst2": {"test": "SST-2"},
    "mrpc": {"test": "MRPC"},
    "qqp": {"test": "QQP"},
    "stsb": {"test": "STS-B"},
    "mnli": {"test_matched": "MNLI-m", "test_mismatched": "MNLI-mm"},
    "qnli": {"test": "QNLI"},
    "rte": {"test": "RTE"},
}
NAMED = ("mnli", "qnli", "rte")  # the leaderboard takes class names; elsewhere numbers
LARGEST_SIMILARITY = 5  # STS-B's scale begins at 0


def write_predictions(
    model: Path, name: str, source: str, out: Path, *, max_length: int, runtime: Runtime
) -> list[Path]:
    """Write a student's predictions for a task's test splits: index and prediction of every row.

    Args:
        model: a folder with a classifier and its tokenizer, such as a run's `student/`.
        name: one of GLUE's tasks.
        source: "hub", or a folder in its layout.
        out: folder of the files, one for each test split.
        max_length: tokens an example.
        runtime: device and precision.

    Returns: the files.

    Raises: ValueError for a task that is not GLUE's, a source without test splits or with other
    classes, a model that was not trained on the task; FileExistsError for a file that is there.
    """
    if name not in LEADERBOARD_FILES:
        raise ValueError(
            f"{name!r} is not a task of GLUE's leaderboard; choose one of: "
            f"{', '.join(LEADERBOARD_FILES)}"
        )
    task = load_task(name, source)
    splits = read_splits(name, source)
    if missing := set(LEADERBOARD_FILES[name]) - set(splits):
        raise ValueError(
            f"{source} has no split {sorted(missing)[0]} of {name}; it has: {', '.join(splits)}"
        )
    if task.label_names != GLUE_CLASSES[name]:
        raise ValueError(
            f"{source} names the classes of {name} {task.label_names}, and GLUE "
            f"{GLUE_CLASSES[name]}: pass a folder with GLUE's own"
        )
    for split in LEADERBOARD_FILES[name]:
        if lacking := {*task.spec.columns, "idx"} - set(splits[split].column_names):
            raise ValueError(
                f"{name} {split} in {source} lacks the columns {', '.join(sorted(lacking))}; it "
                f"has: {', '.join(splits[split].column_names)}"
            )
    paths = {split: out / f"{file}.tsv" for split, file in LEADERBOARD_FILES[name].items()}
    for path in paths.values():
        if path.exists():
            raise FileExistsError(
                f"{path} exists, and predictions are never overwritten: remove it or choose "
                "another folder"
            )
    classifier = load_trained(model, task)
    _check_classes(model, name)
    tokenizer = load_tokenizer(model)
    check_family(classifier, tokenizer, model, max_length, texts=len(task.spec.columns))
    network = ClassifierWithHeads(classifier)
    for split, path in paths.items():
        rows = splits[split]
        test = _test_task(task, split, rows)
        data = tokenize_split(test, split, tokenizer, max_length)
        answers = _answers(predict(network, data, runtime)[:, -1], task)
        lines = ["index\tprediction"]
        for index, answer in zip(rows["idx"], answers, strict=True):
            lines.append(f"{index}\t{answer}")
        with atomic_file(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return list(paths.values())


def _test_task(task: Task, split: str, rows: Dataset) -> Task:
    """A test split as a task, whose key follows its texts.

    Its labels say nothing, where it has that column at all: every row gets the same.
    """
    if "label" in rows.column_names:
        rows = rows.remove_columns("label")
    rows = rows.add_column("label", [0] * len(rows))
    texts = [list(rows[column]) for column in GLUE[task.name].columns]
    key = config_hash(task.fingerprint, texts)
    return replace(task, dataset=DatasetDict({split: rows}), fingerprint=key)


def _answers(logits: Tensor, task: Task) -> list[str]:
    """Logits (N, C) as the leaderboard takes them; values are cut to the task's scale."""
    if task.spec.regression:
        values = logits.squeeze(-1).clamp(0, LARGEST_SIMILARITY)
        return [f"{value:.3f}" for value in values.tolist()]
    classes = logits.argmax(-1).tolist()
    if task.name in NAMED:
        return [task.label_names[index] for index in classes]
    return [str(index) for index in classes]


def _check_classes(model: Path, name: str) -> None:
    """Raise ValueError for a folder that holds a classifier of another task or other classes."""
    record = model.resolve().parent / RECORD
    if record.is_file() and (trained := RunRecord.read(record).task) != name:
        # Several tasks have classes of the same names.
        raise ValueError(f"{model} was trained on another task, {trained}: take --task {trained}")
    config = read_config(model)
    of_model = tuple(config.id2label[index] for index in sorted(config.id2label))
    if GLUE_CLASSES[name] and of_model != GLUE_CLASSES[name]:
        raise ValueError(
            f"{model} was trained on another task: it knows {list(of_model)}, and {name} has "
            f"{GLUE_CLASSES[name]}"
        )
