"""Run records as rows of tables.

Four tables and one dictionary hold everything that tables and figures use. What many runs share
(settings, methods, data, software) is kept once in the dictionary, under its hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import pandas as pd

from ukd.config.keys import config_hash
from ukd.data.metrics import METRICS
from ukd.training.run_record import RunRecord, TeacherRecord

CONFIGS = ("methods", "settings", "data", "environments")
SPLITS = ("dev", "validation")
OWN = ("method", "learning_rate")  # settings with a column of their own in the table of runs
CURVE_POINTS = 16  # of a loss term in one stage; a record of a run has each step that was logged
DETAILS = ("run", "kind", "group", "row", "column", "value")
TEXT = (
    *("run", "set", "task", "method", "method_config", "settings", "data", "environment"),
    *("teacher", "made", "commit", "extra", "encoder", "weights"),
)  # columns of text: a hash such as 12e45 is no number
CONFIG_COLUMNS = {
    "method_config": "methods",
    "settings": "settings",
    "data": "data",
    "environment": "environments",
}


@dataclass(frozen=True)
class Tables:
    """Runs in normal form.

    runs: one row a run. teachers: one row a teacher. heads: one row a teacher and layer.
    details: one number a row, of the kinds that `detail_rows` makes. predictions: one row a run.
    configs: {kind: {hash: content}} for the kinds of `CONFIGS`.
    """

    runs: pd.DataFrame
    teachers: pd.DataFrame
    heads: pd.DataFrame
    details: pd.DataFrame
    predictions: pd.DataFrame
    configs: dict[str, dict[str, dict]]


def tables_of(records: Iterable[RunRecord], set_name: str) -> Tables:
    """The tables of these records, as runs of one set."""
    runs, teachers, heads, details, predictions = [], {}, [], [], []
    configs: dict[str, dict[str, dict]] = {kind: {} for kind in CONFIGS}
    for record in records:
        teacher = _renamed_teacher(record.teacher, teachers)
        record = replace(record, teacher=teacher)
        runs.append(run_row(record, set_name, configs))
        if teacher.key not in teachers:
            teachers[teacher.key] = teacher_row(teacher)
            heads += head_rows(teacher)
        details += detail_rows(record)
        if record.predictions is not None:
            predictions.append({"run": record.hash, "predictions": record.predictions})
    return Tables(
        runs=_frame(runs, ("run",)),
        teachers=_frame(list(teachers.values()), ("teacher",)),
        heads=_frame(heads, ("teacher", "layer")),
        details=pd.DataFrame(details, columns=list(DETAILS)),
        predictions=pd.DataFrame(predictions, columns=["run", "predictions"]),
        configs=configs,
    )


def _renamed_teacher(teacher: TeacherRecord, known: dict[str, dict]) -> TeacherRecord:
    """The teacher, under a key of its own where its key is that of one with other weights.

    A key names settings. On another machine the same settings can give other weights.
    """
    if known.get(teacher.key, {"weights": teacher.weights})["weights"] == teacher.weights:
        return teacher
    weights = (teacher.weights or "unknown")[:12]
    return replace(teacher, key=f"{teacher.key} with weights {weights}")


def _frame(rows: list[dict], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))


def run_row(record: RunRecord, set_name: str, configs: dict) -> dict:
    """One row of the table of runs; what it shares with others is put into `configs`."""
    settings = asdict(record.settings)
    shared = {name: value for name, value in settings.items() if name not in OWN}
    environment = asdict(record.provenance)
    made, commit = environment.pop("made"), environment.pop("commit")
    data = {"task": record.task} | asdict(record.data)
    further = [split for split in record.scores if split not in SPLITS]
    extra = {"scores": {split: record.scores[split] for split in further}} if further else {}
    if record.assistant is not None:
        extra["assistant"] = record.assistant
    row = {
        "run": record.hash,
        "set": set_name,
        "task": record.task,
        "method": record.method,
        "seed": record.seed,
        "learning_rate": record.settings.learning_rate,
        **_score_columns(record.scores),
        "calibration_error": record.calibration_error,
        "collapsed": record.collapsed,
        "steps": record.steps,
        "student_parameters": record.student_parameters,
        "seconds": record.seconds,
        "teacher": record.teacher.key,
        "method_config": _share(configs["methods"], settings["method"]),
        "settings": _share(configs["settings"], shared),
        "data": _share(configs["data"], data),
        "environment": _share(configs["environments"], environment),
        "made": made,
        "commit": commit,
    }
    row |= {f"{split}_examples": count for split, count in record.examples.items()}
    row["extra"] = json.dumps(extra, sort_keys=True) if extra else None
    return row


def _share(known: dict[str, dict], content: dict) -> str:
    content = json.loads(json.dumps(content))  # tuples become lists, as they will be on disk
    key = config_hash(content)
    known[key] = content
    return key


def _score_columns(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    columns = {}
    for split in SPLITS:
        for metric in dict.fromkeys((*METRICS, *scores[split])):
            columns[f"{split}_{metric}"] = scores[split].get(metric)
    return columns


def teacher_row(teacher: TeacherRecord) -> dict:
    """One row of the table of teachers."""
    further = {split: values for split, values in teacher.scores.items() if split not in SPLITS}
    return {
        "teacher": teacher.key,
        "encoder": teacher.encoder,
        "weights": teacher.weights,
        "learning_rate": teacher.learning_rate,
        "seed": teacher.seed,
        "layers": teacher.layers,
        "parameters": teacher.parameters,
        **_score_columns(teacher.scores),
        "extra": json.dumps({"scores": further}, sort_keys=True) if further else None,
    }


def head_rows(teacher: TeacherRecord) -> list[dict]:
    """A row a layer: label_error and scores of the teacher's head there."""
    return [
        {"teacher": teacher.key, "layer": layer, "label_error": head["label_error"]}
        | {metric: head["scores"].get(metric) for metric in (*METRICS, *head["scores"])}
        for layer, head in enumerate(teacher.heads, 1)
    ]


def detail_rows(record: RunRecord) -> list[tuple]:
    """What a run keeps besides scores, one number a row: (run, kind, group, row, column, value).

    layer_map: row student layer, column teacher layer; group "all", "class: NAME",
        "difficulty: LEVEL" or "epoch: N".
    entropy, attended_label_error: row student layer. uniform_label_error: one number.
    student_head: row layer; group a metric or "label_error".
    early_exit: row threshold; group "first stage: WHAT" or "end: WHAT", WHAT a metric or "layers".
    loss: row step; group "STAGE: TERM"; at most `CURVE_POINTS`.
    dev: row epoch, column step; group the stage.
    """
    rows = _history_rows(record.history)
    rows += _exit_rows("end", record.early_exit)
    if record.attention:
        rows += _attention_rows(record.attention)
    return [(record.hash, *row) for row in rows]


def _history_rows(history: dict[str, dict]) -> list[tuple]:
    rows = []
    for stage, content in history.items():
        curve = content["curve"]
        every = max(1, -(-len(curve) // CURVE_POINTS))
        for point in curve[every - 1 :: every]:
            for term, value in point.items():
                if term != "step":
                    rows.append(("loss", f"{stage}: {term}", point["step"], 0, value))
        for epoch in content["epochs"]:
            rows.append(("dev", stage, epoch["epoch"], epoch["step"], epoch["dev"]))
            if "attention" in epoch:
                rows += _map_rows(f"epoch: {epoch['epoch']}", epoch["attention"])
    return rows


def _map_rows(group: str, weights: list[list[float]]) -> list[tuple]:
    return [
        ("layer_map", group, student, teacher, weight)
        for student, layer in enumerate(weights, 1)
        for teacher, weight in enumerate(layer, 1)
    ]


def _exit_rows(moment: str, points: Iterable[dict]) -> list[tuple]:
    rows = []
    for point in points:
        for what, value in {"layers": point["layers"], **point["scores"]}.items():
            rows.append(("early_exit", f"{moment}: {what}", point["threshold"], 0, value))
    return rows


def _attention_rows(attention: dict) -> list[tuple]:
    rows = _map_rows("all", attention["mean"])
    for kind in ("class", "difficulty"):
        for name, weights in attention.get(f"by_{kind}", {}).items():
            rows += _map_rows(f"{kind}: {name}", weights)
    for name in ("entropy", "attended_label_error"):
        rows += [(name, "", layer, 0, v) for layer, v in enumerate(attention.get(name, ()), 1)]
    if "uniform_label_error" in attention:
        rows.append(("uniform_label_error", "", 0, 0, attention["uniform_label_error"]))
    for layer, head in enumerate(attention["heads"], 1):
        if "label_error" in head:
            rows.append(("student_head", "label_error", layer, 0, head["label_error"]))
        for metric, value in head["scores"].items():
            rows.append(("student_head", metric, layer, 0, value))
    return rows + _exit_rows("first stage", attention["early_exit"])
