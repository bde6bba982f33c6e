"""Checks of a run record's values: each names the field, its value and what it should be."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING

from ukd.config.choices import PRECISIONS, STUDENT_LAYERS, TEACHER_LAYERS
from ukd.methods.method import OPTIONS

if TYPE_CHECKING:
    from ukd.training.run_record import RunRecord, Scores

METHOD_FIELDS = ("stages", *OPTIONS, "hidden", "assistant")


def validate(record: RunRecord) -> None:
    """Raise ValueError for the first field whose value can't be right; see `RunRecord`."""
    settings, teacher = record.settings, record.teacher
    _check(re.fullmatch(r"[0-9a-f]{8,64}", str(record.hash)), "hash", record.hash, "hex digits")
    for name in ("task", "method"):
        value = getattr(record, name)
        _check(_is_name(value), name, value, "a name without a slash, since files are called by it")
    _check(settings.precision in PRECISIONS, "precision", settings.precision, _one_of(PRECISIONS))
    _check_choice("teacher_logits", settings.teacher_logits, ("cached", "online"))
    _check_choice("selection_split", settings.selection_split, ("dev", "validation"))
    _check(type(record.seed) is int, "seed", record.seed, "a whole number")
    counts = {
        "settings.batch_size": settings.batch_size,
        "settings.epochs": settings.epochs,
        "settings.max_length": settings.max_length,
        "teacher.layers": teacher.layers,
        "teacher.parameters": teacher.parameters,
        "student_parameters": record.student_parameters,
        "steps": record.steps,
    } | {f"examples.{split}": count for split, count in record.examples.items()}
    for name, value in counts.items():
        _check(type(value) is int and value > 0, name, value, "a whole number above 0")
    for name in ("student_depth", "max_train", "max_validation"):
        value = getattr(settings, name)
        right = value is None or (type(value) is int and value > 0)
        _check(right, f"settings.{name}", value, "None or a whole number above 0")
    rates = {
        "settings.learning_rate": settings.learning_rate,
        "teacher.learning_rate": teacher.learning_rate,
    }
    for name, value in rates.items():
        _check(_finite(value) and value > 0, name, value, "a finite number above 0")
    _check_method(settings.method)
    _check_scores("scores", record.scores, record.data.metrics)
    _check_scores("teacher.scores", teacher.scores, record.data.metrics)
    _check(
        len(teacher.heads) in (0, teacher.layers),
        "teacher.heads",
        len(teacher.heads),
        "a layer each",
    )
    if record.attention is not None:
        _check_layer_maps(record.attention)
    try:
        datetime.fromisoformat(record.provenance.made)
    except (TypeError, ValueError):
        _check(False, "provenance.made", record.provenance.made, "a time in ISO format")


def _check(right: object, name: str, value: object, wanted: str) -> None:
    if not right:
        raise ValueError(f"{name} is {value!r} and should be {wanted}")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and not re.search(r"[/\\]", value)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    _check(value in choices, name, value, _one_of(choices))


def _one_of(choices: tuple[str, ...]) -> str:
    return f"one of {', '.join(choices)}"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_method(method: dict) -> None:
    """A method has exactly the fields of `METHOD_FIELDS`, and its stages share all epochs."""
    missing, unknown = set(METHOD_FIELDS) - set(method), set(method) - set(METHOD_FIELDS)
    for name in sorted(missing | unknown):
        _check(False, f"settings.method.{name}", method.get(name), f"among {METHOD_FIELDS}")
    for name in ("temperature", "attention_temperature"):
        value = method[name]
        _check(_finite(value) and value > 0, f"settings.method.{name}", value, "above 0")
    _check_choice("settings.method.attention_on", method["attention_on"], ("logits", "losses"))
    layers = {"student_layers": STUDENT_LAYERS, "teacher_layers": TEACHER_LAYERS}
    for name, choices in layers.items():
        _check_choice(f"settings.method.{name}", method[name], choices)
    share = sum(stage["epoch_fraction"] for stage in method["stages"])
    right = abs(share - 1) < 1e-6
    _check(right, "settings.method.stages", share, "stages whose epoch_fraction add up to 1")


def _check_scores(name: str, scores: Scores, metrics: tuple[str, ...]) -> None:
    """Every split has each of the data's metrics, and dev and validation are there."""
    for split in ("dev", "validation"):
        _check(split in scores, f"{name}.{split}", None, "there: score the split")
    for split, values in scores.items():
        found = tuple(values)
        _check(found == tuple(metrics), f"{name}.{split}", found, f"scores of {tuple(metrics)}")
        for metric, value in values.items():
            _check(_finite(value), f"{name}.{split}.{metric}", value, "a finite number")


def _check_layer_maps(attention: dict) -> None:
    """The weights of each student layer add up to 1."""
    groups = (attention.get("by_class", {}), attention.get("by_difficulty", {}))
    maps = {"mean": attention["mean"]}
    for group in groups:
        maps |= group
    for name, weights in maps.items():
        for row in weights:
            right = abs(sum(row) - 1) < 1e-3
            _check(right, f"attention.{name}", sum(row), "weights that add up to 1 in each row")
