"""Labels as classes: which are none, what the others are called, and in which order."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict

WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0+)?")  # not "01", which is a code
FRACTION = re.compile(r"-?\d*\.\d+(?:[eE][-+]?\d+)?")
UNLABELLED = -1  # in the hub's test splits
NO_LABEL = ("-1", "nan", "<na>", "n/a", "null", "none")  # as programs write a missing label
LARGEST = float(np.finfo(np.float32).max)  # value that a network can learn
LISTED = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)", re.DOTALL)
SEPARATED = re.compile(r"\s*[,;|]\s*")

# GLUE's classes in its order; STS-B has values.
GLUE_CLASSES = {
    "mnli": ("entailment", "neutral", "contradiction"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "stsb": None,
}


def values_of(rows: Dataset | pd.DataFrame, column: str) -> list:
    """The values of a column as plain Python ones."""
    values = rows[column][:]  # at once: a data set's column makes its values one by one
    values = values.tolist() if isinstance(values, pd.Series) else list(values)
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def wrong_label(labels: Sequence, regression: bool, *, numbered: bool = False) -> tuple | None:
    """The first label that is none, as (row from 1, label, why); None where all are good.

    Args:
        labels: of one split, as they were read.
        regression: whether they are to be values, else classes.
        numbered: whether they are the numbers of classes, where -1 says that there is no label.
    """
    if regression and numbered:
        return 1, labels[0], "the number of a class and no value: cast the column to values"
    for test in (_not_one, _missing, _not_a_text):
        for row, label in enumerate(labels, start=1):
            if reason := test(label, numbered):
                return row, label, reason
    if len({isinstance(label, bool) for label in labels}) > 1:
        row = next(row for row, label in enumerate(labels, 1) if isinstance(label, bool))
        return row, labels[row - 1], "a truth value among other labels: write all of one kind"
    # Words beside numbers make classes of them all.
    values = regression or all(_is_number(label) for label in labels)
    for row, label in enumerate(labels, start=1):
        if reason := _not_a_value(label) if regression else _not_a_class(label, values):
            return row, label, reason
    return None


def _not_one(label: object, _: bool) -> str | None:
    if label is None or label is pd.NA or label is pd.NaT or isinstance(label, str | int | float):
        return None
    return (
        f"a {type(label).__name__} and not one label: each row needs one text, whole number or "
        "value; several labels a row are not supported"
    )


def _missing(label: object, numbered: bool) -> str | None:
    empty = label is None or label is pd.NA or label is pd.NaT or label != label
    if empty or (isinstance(label, str) and not shows(label)):
        return "and every row needs a label"
    if numbered and label == UNLABELLED:
        return "which says that the row has no label: leave such rows out"
    return None


def _not_a_text(label: object, _: bool) -> str | None:
    half = isinstance(label, str) and not is_unicode(label)
    return "which holds half of a character: write it anew as UTF-8" if half else None


def _not_a_value(label: object) -> str | None:
    try:
        value = float(label)
    except (ValueError, OverflowError):
        return "not a number: words are classes, scored by accuracy, f1 or matthews"
    if math.isfinite(value) and abs(value) > LARGEST:
        return "too large for float32, in which networks compute: scale the labels"
    return None if math.isfinite(value) else "not a finite number: leave the row out"


def _not_a_class(label: object, among_numbers: bool) -> str | None:
    fraction = isinstance(label, float) or (among_numbers and isinstance(label, str))
    if fraction and _whole(label) is None:
        return "a value and no class: take metrics=('pearson', 'spearman')"
    return None


def _is_number(label: object) -> bool:
    if isinstance(label, str):
        return bool(WHOLE.fullmatch(label) or FRACTION.fullmatch(label))
    return not isinstance(label, bool)


def _whole(label: object) -> str | None:
    """A whole number in digits; None for another label."""
    if isinstance(label, str):
        match = WHOLE.fullmatch(label)
        return match[1] if match else None
    if isinstance(label, bool) or label != label or math.isinf(label) or label != int(label):
        return None
    return str(int(label))


def class_names(labels: Sequence) -> list[str]:
    """Each label's class: 0.0 and "0.0" are "0" where all are whole; others as they are written.

    Two labels never become one class: where they would, all stay as they are.
    """
    written = [str(label) for label in labels]
    whole = [_whole(label) for label in labels]
    if None in whole or len(set(whole)) < len(set(written)):
        return written
    return whole


def class_order(name: object) -> tuple:
    """Key to sort classes by: whole numbers as numbers, before words."""
    whole = _whole(name)
    return (1, 0, str(name)) if whole is None else (0, int(whole), str(name))


def shows(text: str) -> bool:
    """Whether a text has a character that shows: no space, control or zero-width one."""
    return any(_is_visible(character) for character in text)


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: half of a pair of surrogates can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def several_in_one(names: Sequence[str]) -> str | None:
    """The first class name that reads as several: a list, or other names with signs between."""
    known = set(names)
    for name in names:
        parts = SEPARATED.split(name.strip())
        if LISTED.fullmatch(name.strip()) or (len(parts) > 1 and set(parts) <= known):
            return name
    return None


def _is_visible(character: str) -> bool:
    if character.isascii():
        return "!" <= character <= "~"
    blank = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
    # Fillers of Hangul, the blank of Braille, and the marks that choose a glyph.
    filler = character in "\u115f\u1160\u3164\uffa0\u2800" or "\ufe00" <= character <= "\ufe0f"
    return not (blank or filler)


def look_alikes(names: Sequence[str], *, case: bool) -> tuple[str, str] | None:
    """The first two class names that differ only by spaces, marks that don't show or Unicode form.

    With `case` also those that differ by case, or as numbers do that are written in two ways.
    """
    seen: dict[str, str] = {}
    for name in names:
        form = unicodedata.normalize("NFKC", name)
        form = "".join(letter for letter in form if letter.isspace() or _is_visible(letter))
        form = " ".join(form.split())
        if case:
            form = form.casefold()
            is_number = form.isascii() and re.fullmatch(r"-?\d+(\.\d*)?", form)
            form = str(float(form)) if is_number else form
        if form in seen:
            return seen[form], name
        seen[form] = name
    return None


def check_classes(names: list[str], task: str, source: str) -> None:
    """Raise ValueError for classes of another task: in one folder several may look for their rows.

    Numbers are taken as they come.
    """
    meant = GLUE_CLASSES.get(task)
    if meant and set(names) != set(meant) and not all(name.isdecimal() for name in names):
        raise ValueError(
            f"{source} has rows with the classes {', '.join(names)}, and {task} has "
            f"{', '.join(meant)}: pass the folder of {task}"
        )


def with_class_labels(dataset: DatasetDict, name: str) -> DatasetDict:
    """The same rows, their labels as classes that have one order in all splits.

    Labels without an order get the sorted one of train, numbers as numbers.

    Raises: ValueError where splits have different orders, or one has labels that train lacks.
    """
    features = {split: rows.features["label"] for split, rows in dataset.items()}
    if all(isinstance(feature, ClassLabel) for feature in features.values()):
        orders = {split: feature.names for split, feature in features.items()}
        if any(names != orders["train"] for names in orders.values()):
            raise ValueError(f"{name} names its classes in two orders: {orders}")
        return dataset
    in_train = set(dataset["train"]["label"][:])
    for split, rows in dataset.items():
        if new := set(rows["label"][:]) - in_train:
            raise ValueError(
                f"{name} {split} has the labels {sorted(new, key=class_order)}, which train lacks"
            )
    classes = sorted(in_train, key=class_order)
    return DatasetDict({split: _numbered(rows, classes) for split, rows in dataset.items()})


def _numbered(rows: Dataset, classes: list) -> Dataset:
    """The same rows, each label replaced by its place in `classes`."""
    number = {label: index for index, label in enumerate(classes)}
    numbers = [number[label] for label in rows["label"][:]]
    kind = ClassLabel(names=class_names(classes))
    columns = rows.column_names
    rows = rows.remove_columns("label").add_column("label", numbers, feature=kind)
    return rows.select_columns(columns)
