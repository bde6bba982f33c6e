"""Predictions for GLUE's test splits, in the files that its leaderboard takes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from datasets import DatasetDict
from transformers import AutoConfig, AutoModelForSequenceClassification

from ukd.config.keys import config_hash
from ukd.config.runtime import Runtime
from ukd.data.batches import tokenize_split
from ukd.data.tasks import GLUE, load_task, read_splits
from ukd.heads import ClassifierWithHeads
from ukd.models.encoders import load_classifier, load_tokenizer, sources_explained
from ukd.training.loop import predict

FILES = {
    "cola": {"test": "CoLA"},
    "sst2": {"test": "SST-2"},
    "mrpc": {"test": "MRPC"},
    "qqp": {"test": "QQP"},
    "stsb": {"test": "STS-B"},
    "mnli": {"test_matched": "MNLI-m", "test_mismatched": "MNLI-mm"},
    "qnli": {"test": "QNLI"},
    "rte": {"test": "RTE"},
}
CLASSES = {  # GLUE's, in its order
    "mnli": ("entailment", "neutral", "contradiction"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "stsb": None,
}
NAMED = (
    "mnli",
    "qnli",
    "rte",
)  # their predictions are the classes' names; elsewhere numbers are asked for


def write_predictions(
    model: Path, name: str, source: str, out: Path, *, max_length: int, runtime: Runtime
) -> list[Path]:
    """Write what a student says of a task's test split, one file a split: a header, then index and prediction of every row.

    model: a folder with a classifier and its tokenizer (a run's `student/`). STS-B's values are cut to 0 to 5.

    Raises: ValueError for a task that is not GLUE's, a source without test splits or with other classes, a model that was not
    trained on the task; FileExistsError for a file that is there.
    """
    if name not in FILES:
        raise ValueError(
            f"{name!r} is not a task of GLUE's leaderboard; choose one of: {', '.join(FILES)}"
        )
    task, splits = load_task(name, source), read_splits(name, source)
    if missing := set(FILES[name]) - set(splits):
        raise ValueError(
            f"{source} has no split {sorted(missing)[0]} of {name}; it has: {', '.join(splits)}"
        )
    paths = {split: out / f"{file}.tsv" for split, file in FILES[name].items()}
    for path in paths.values():
        if path.exists():
            raise FileExistsError(
                f"{path} exists; predictions are never overwritten: remove it or choose another folder"
            )
    if task.label_names != CLASSES[name]:
        raise ValueError(
            f"{source} names the classes of {name} {task.label_names}, GLUE {CLASSES[name]}: answers would be read as others"
        )
    _check_model(model, name)
    tokenizer, network = (
        load_tokenizer(model),
        ClassifierWithHeads(load_classifier(model, task, seed=0)),
    )
    out.mkdir(parents=True, exist_ok=True)
    for split, path in paths.items():
        rows = splits[split]
        key = config_hash(task.fingerprint, [list(rows[column]) for column in GLUE[name].columns])
        data = tokenize_split(
            replace(task, dataset=DatasetDict({split: rows}), fingerprint=key),
            split,
            tokenizer,
            max_length,
        )
        answers = predict(network, data, runtime)[:, -1]
        if task.spec.regression:
            said = [f"{value:.3f}" for value in answers.squeeze(-1).clamp(0, 5).tolist()]
        else:
            said = [
                task.label_names[index] if name in NAMED else str(index)
                for index in answers.argmax(-1).tolist()
            ]
        lines = [
            "index\tprediction",
            *(f"{index}\t{answer}" for index, answer in zip(rows["idx"], said, strict=True)),
        ]
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        temporary.replace(path)
    return list(paths.values())


def _check_model(model: Path, name: str) -> None:
    """Raise ValueError for a folder that holds no classifier, or one of other classes."""
    with sources_explained(model):
        config, network = AutoConfig.from_pretrained(model), None
        if any("SequenceClassification" in kind for kind in config.architectures or ()):
            network, report = AutoModelForSequenceClassification.from_pretrained(
                model, output_loading_info=True
            )
    if network is None or report["missing_keys"]:
        raise ValueError(f"{model} holds no trained classifier: pass a run's student folder")
    if (
        CLASSES[name]
        and tuple(config.id2label[index] for index in sorted(config.id2label)) != CLASSES[name]
    ):
        raise ValueError(
            f"{model} was trained on another task: it knows {list(config.id2label.values())}, {name} has {CLASSES[name]}"
        )
