"""The tables of a store joined to one table: a row a run, a column for everything known of it."""

from __future__ import annotations

import json
from dataclasses import fields

import pandas as pd

from ukd.analysis.rows import CONFIG_COLUMNS, OWN, SPLITS, Tables
from ukd.data.metrics import mean_metric
from ukd.training.run_record import RunSettings


def joined(tables: Tables) -> pd.DataFrame:
    """One row a run with everything that is known of it.

    Besides the columns of the table of runs: the fields of `RunSettings`; method_settings, a
    dictionary; metrics, class_names and fingerprint of the data; teacher_encoder and the like;
    scores, teacher_scores and examples, dictionaries by split; dev, validation, teacher_dev and
    teacher_validation, the means of a task's metrics in percent; device and versions.
    """
    table = tables.runs.copy()
    for column, kind in CONFIG_COLUMNS.items():
        table[column] = table[column].map(tables.configs[kind])
    teachers = tables.teachers.set_index("teacher").to_dict("index")
    taught_by = table["teacher"].map(teachers)
    for name in (one.name for one in fields(RunSettings)):
        if name not in OWN:
            table[name] = _column(table["settings"], name)
    for name in ("encoder", "weights", "learning_rate", "seed", "layers", "parameters"):
        table[f"teacher_{name}"] = _column(taught_by, name)
    metrics = [tuple(data["metrics"]) for data in table["data"]]
    classes = [data["class_names"] and tuple(data["class_names"]) for data in table["data"]]
    rows = table.to_dict("records")
    table["scores"] = [_scores(row, names) for row, names in zip(rows, metrics, strict=True)]
    table["teacher_scores"] = [
        _scores(teacher, names) for teacher, names in zip(taught_by, metrics, strict=True)
    ]
    table["examples"] = [_examples(row) for row in rows]
    table["assistant"] = [_extra(row).get("assistant") for row in rows]
    table["metrics"] = pd.Series(metrics, index=table.index, dtype=object)
    table["class_names"] = pd.Series(classes, index=table.index, dtype=object)
    table["fingerprint"] = _column(table["data"], "fingerprint")
    for name in ("device", "threads", "processes", "python", "versions"):
        table[name] = _column(table["environment"], name)
    table = table.rename(columns={"method_config": "method_settings"})
    table = with_means(table)
    heads = {}
    for key, names in set(zip(table["teacher"], table["metrics"], strict=True)):
        heads[key] = teacher_heads(tables.heads, key, names)
    table["teacher_heads"] = table["teacher"].map(heads)
    return table.drop(columns=["settings", "data", "environment", "extra"])


def with_means(table: pd.DataFrame) -> pd.DataFrame:
    """The table with dev, validation, teacher_dev and teacher_validation from its scores."""
    found = table.copy()
    for split in SPLITS:
        found[split] = [mean_metric(scores[split]) for scores in table["scores"]]
        found[f"teacher_{split}"] = [
            mean_metric(scores[split]) for scores in table["teacher_scores"]
        ]
    return found


def teacher_heads(heads: pd.DataFrame, teacher: str, metrics: tuple[str, ...]) -> list[dict]:
    """By layer {"label_error", "score"}, the score as the mean of the metrics in percent."""
    rows = heads[heads["teacher"] == teacher].sort_values("layer").to_dict("records")
    return [
        {
            "label_error": row["label_error"],
            "score": mean_metric({metric: row[metric] for metric in metrics}),
        }
        for row in rows
    ]


def _column(values: pd.Series, name: str) -> pd.Series:
    return pd.Series([value[name] for value in values], index=values.index, dtype=object)


def _extra(row: dict) -> dict:
    return json.loads(row["extra"]) if isinstance(row["extra"], str) else {}


def _scores(row: dict, metrics: tuple[str, ...]) -> dict[str, dict[str, float]]:
    own = {split: {name: row[f"{split}_{name}"] for name in metrics} for split in SPLITS}
    return own | _extra(row).get("scores", {})


def _examples(row: dict) -> dict[str, int]:
    counts = {name: value for name, value in row.items() if name.endswith("_examples")}
    return {name.removesuffix("_examples"): int(n) for name, n in counts.items() if n == n}
