"""`ukd verify --rerun HASH`: train a committed run again, and compare the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from ukd.analysis.rows import SPLITS
from ukd.analysis.runs import load_runs
from ukd.config.presets import PRESETS, TrainingConfig
from ukd.config.runtime import choose_runtime
from ukd.config.text import markdown_table
from ukd.data.tasks import Task, load_task, source_of
from ukd.methods.method import HiddenStateConfig, Method, Stage
from ukd.methods.registry import METHODS
from ukd.models.bundled import encoder_named, resolve_encoder
from ukd.models.students import STUDENTS
from ukd.training.distill import distill
from ukd.training.run_record import RunRecord
from ukd.training.teacher import train_teacher

# Records of versions up to 0.2 do not say how many layers these had.
EARLIER_DEPTH = {"bilstm": 2, "gated-cnn": 4}


def repeat(prefix: str, *, encoder: str | None = None, source: str | None = None) -> str:
    """Train a committed run again, and its teacher if that is not cached; the scores as a table.

    Args:
        prefix: the first digits of the run's hash.
        encoder: a folder with the encoder, where its name does not say where it is.
        source: of the task; None for where it is at home.

    Raises: ValueError for a hash that names no run or several, and for an encoder or data that
    are not those of the run.
    """
    row = committed_run(prefix)
    config = config_of(row, encoder)
    runtime = choose_runtime(row["precision"], compiled=bool(row["compiled"]))
    task = load_task(row["task"], source_of(row["task"], source))
    _check_data(task, row)
    teacher = train_teacher(
        task,
        config=config,
        learning_rate=row["teacher_learning_rate"],
        seed=int(row["teacher_seed"]),
        runtime=runtime,
    )
    record = distill(
        task,
        method_of(row),
        teacher,
        config=config,
        seed=int(row["seed"]),
        learning_rate=float(row["learning_rate"]),
        runtime=runtime,
        online_teacher=row["teacher_logits"] == "online",
    )
    heading = (
        f"{row['task']}, {row['method_name']}, seed {row['seed']}, {row['precision']}: run "
        f"{row['run']} of {row['made'][:10]} on {row['device']}"
    )
    return f"{heading}\n\n{_scores_table(record, row)}"


def committed_run(prefix: str) -> Mapping:
    """The row of a committed run. Raises ValueError for a hash that names none, or several."""
    table = load_runs().table.drop_duplicates("run")
    found = table[table["run"].str.startswith(prefix)] if prefix else table.iloc[:0]
    if found.empty:
        raise ValueError(
            f"no committed run has the hash {prefix!r}; they are in data/runs/runs.csv"
        )
    if len(found) > 1:
        hashes = ", ".join(found["run"].head(3))
        raise ValueError(f"{len(found)} runs have hashes that begin with {prefix!r}: {hashes}, ...")
    return found.iloc[0].to_dict()


def config_of(row: Mapping, encoder: str | None = None) -> TrainingConfig:
    """The config of a run. What its record lacks, as the teacher's epochs, is the preset's.

    Raises ValueError for a preset that is gone, or an encoder that is not the run's.
    """
    if row["preset"] not in PRESETS:
        raise ValueError(
            f"run {row['run']} was made with preset {row['preset']!r}, which is gone: it can't be "
            "repeated"
        )
    source = _encoder_of(row, row["teacher_encoder"], encoder)
    layers = row["student_depth"]
    student = row["student"]
    takes_layers = student not in STUDENTS and not pd.isna(layers)
    if takes_layers:
        student = "layers"
    elif student not in STUDENTS:
        student = _encoder_of(row, student, None)
    elif pd.isna(layers):
        layers = EARLIER_DEPTH[student]
    config = replace(
        PRESETS[row["preset"]],
        encoder=source,
        student=student,
        embeddings=_given(row["embeddings"]),
        learning_rate=float(row["learning_rate"]),
        teacher_learning_rate=float(row["teacher_learning_rate"]),
        batch_size=int(row["batch_size"]),
        student_epochs=int(row["epochs"]),
        max_length=int(row["max_length"]),
        max_train=_number(row["max_train"]),
        max_validation=_number(row["max_validation"]),
        selection_split=row["selection_split"],
    )
    if not pd.isna(layers):
        config = replace(config, student_depth=int(layers))
    if not takes_layers:
        return config
    return replace(
        config,
        layer_selection=row["layer_selection"],
        student_init=row["student_init"],
    )


def _encoder_of(row: Mapping, name: str, given: str | None) -> str:
    """Where the encoder of that name is. Raises ValueError where it is another one now."""
    encoder = given or encoder_named(name)
    if given is None and encoder == name and "/" not in name and not _on_hub(name):
        raise ValueError(
            f"run {row['run']} was made from the folder {name}: say where it is (--teacher FOLDER)"
        )
    now = resolve_encoder(encoder)[1]
    if now != name and (given is None or now.rpartition("-")[2] != name.rpartition("-")[2]):
        raise ValueError(f"run {row['run']} was made from {name}, and {encoder} is {now}")
    return encoder


def _on_hub(name: str) -> bool:
    """Whether a preset names this hub id, which has no owner."""
    configs = PRESETS.values()
    return name in {one.encoder for one in configs} | {one.student for one in configs}


def method_of(row: Mapping) -> Method:
    """The method of a run, with the options that it had."""
    settings = dict(row["method_settings"])
    settings["stages"] = tuple(Stage(**stage) for stage in settings["stages"])
    if settings["hidden"] is not None:
        settings["hidden"] = HiddenStateConfig(**settings["hidden"])
    known = METHODS.get(row["method"], Method(row["method"], "", "", ()))
    return replace(known, **settings)


def _check_data(task: Task, row: Mapping) -> None:
    if task.fingerprint != row["fingerprint"]:
        raise ValueError(
            f"run {row['run']} was made on data {row['fingerprint']}, and {task.name} is "
            f"{task.fingerprint} here: pass that data (--source)"
        )


def _scores_table(record: RunRecord, row: Mapping) -> str:
    rows = []
    sides = (
        ("student", record.scores, row["scores"]),
        ("teacher", record.teacher.scores, row["teacher_scores"]),
    )
    for who, scores, committed in sides:
        for split in SPLITS:
            for metric, value in committed[split].items():
                now = scores[split][metric]
                cells = [f"{now:.4f}", f"{value:.4f}", f"{now - value:+.4f}"]
                rows.append([who, split, metric, *cells])
    return markdown_table(["of", "split", "metric, %", "this run", "committed", "difference"], rows)


def _number(value: object) -> int | None:
    return None if pd.isna(value) else int(value)


def _given(value: object) -> str | None:
    return None if pd.isna(value) else str(value)
