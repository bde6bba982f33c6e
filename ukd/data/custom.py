"""Your own data as a task: a file, a folder, or a data set of the hub."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, disable_progress_bars

from ukd.config.runtime import logger
from ukd.data.checks import FEW_ROWS, across_checks, class_checks, refuse, row_checks, say
from ukd.data.draw import divide, text_groups
from ukd.data.labels import class_names, values_of, with_class_labels
from ukd.data.metrics import CORRELATION, METRICS, constant_score
from ukd.data.reading import Table, read_tables
from ukd.data.tasks import SPECS, Task, TaskSpec, fingerprint

VALIDATION_NAMES = ("validation", "valid", "val", "dev")
HELD_OUT = 0.2  # of train, where there is no validation split


def custom_task(
    source: str | Path | Dataset | DatasetDict | pd.DataFrame | list[dict],
    *,
    text: str | tuple[str, ...],
    label: str = "label",
    metrics: str | tuple[str, ...] = "accuracy",
    name: str = "custom",
    held_out: str | float | None = None,
    seed: int = 0,
) -> Task:
    """Your own rows, of one or two texts and a label, as a task.

    Args:
        source: a file (CSV, TSV, JSON lines, Parquet), a folder of such files or from
            `save_to_disk`, what `datasets.load_dataset` returned, a DataFrame, or a list of
            dictionaries.
        text: the column with the text, or the two columns with both texts.
        label: the column with the label. Strings, whole numbers and truth values become classes,
            named in sorted order (numbers as numbers), which is printed. With "pearson" among the
            metrics labels are values.
        metrics: one or several of `ukd.data.metrics.METRICS`. F1 is of class 1 of two.
        name: what records, tables and caches call it; letters, digits and "_".
        held_out: the split that scores are reported on, or the share of train that is drawn for it.
            By default the split "validation" (or "valid", "val", "dev") where there is one, else a
            fifth of train.
        seed: of that draw, in which every class keeps its share.

    Returns: a Task with the splits train and validation. Splits that are given stay as they are; of
    rows that are drawn equal texts stay on one side. Its least teacher score is that of the best
    constant answer. What is doubtful is logged, and all that was checked is in its `checks`.

    Raises: ValueError for what can't be read, a missing column, an empty text, labels that do not
    fit the metrics, a class with too few rows, and a name that is taken.
    """
    columns = (text,) if isinstance(text, str) else tuple(text)
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    _check_options(name, columns, metrics)
    disable_progress_bars()
    regression = "pearson" in metrics
    splits, checks = read_tables(source, label)
    reported = _validation(splits, held_out, name)
    given = _chosen(splits, reported, {*columns, label})
    checks += row_checks(given, columns, label, regression=regression, own=True)
    refuse(checks)
    dataset = _labelled(given, columns, label, regression, name)
    checks += across_checks(dataset, columns, own=True)
    _check_apart(dataset, columns)
    if not regression:
        _check_classes(dataset["train"], label, metrics)
        _log_classes(dataset["train"], name)
    if "validation" not in dataset:
        dataset = _hold_out(dataset["train"], reported, seed, name, columns, not regression)
        if not regression:
            _check_classes(dataset["train"], label, metrics, " after a row was held out")
    least_score = constant_score(dataset["train"]["label"][:], metrics)
    spec = TaskSpec(columns, metrics, min_teacher_score=least_score)
    task = Task(name, spec, dataset, fingerprint(dataset, spec))
    checks += class_checks(task, own=True)
    say(checks, name)
    return replace(task, checks=tuple(checks))


def _check_options(name: str, columns: tuple[str, ...], metrics: tuple[str, ...]) -> None:
    """Raise ValueError for a name, columns or metrics that later work would trip over."""
    if not re.fullmatch(r"\w+", name) or name in SPECS:
        raise ValueError(
            f"a task can't be called {name!r}: take letters, digits and '_', and none of "
            f"{', '.join(SPECS)}"
        )
    if len(columns) not in (1, 2) or set(columns) & {"label", "idx"}:
        raise ValueError(
            "text must name one or two columns, not 'label' or 'idx', which the task itself has; "
            f"got {columns}"
        )
    unknown = sorted(set(metrics) - set(METRICS))
    if unknown or not metrics:
        what = f"unknown metrics {', '.join(unknown)}" if unknown else "there are no metrics"
        raise ValueError(f"{what}; choose among: {', '.join(METRICS)}")
    if set(metrics) & set(CORRELATION) and not {"pearson"} <= set(metrics) <= set(CORRELATION):
        raise ValueError(
            "labels that are values are scored by 'pearson', with or without 'spearman', and "
            f"nothing else; got {metrics}"
        )


def _validation(splits: dict[str, Table], held_out: str | float | None, name: str) -> str | float:
    """The split that scores are reported on, or the share of train that is drawn for it.

    Raises: ValueError for a split that is not there, for train itself, and for no share.
    """
    if held_out is None:
        known = [split for split in VALIDATION_NAMES if split in splits]
        held_out = known[0] if known else HELD_OUT
    if isinstance(held_out, str):
        if held_out not in splits:
            raise ValueError(f"there is no split {held_out!r}; there is: {', '.join(splits)}")
        if held_out == "train":
            raise ValueError(
                "held_out='train' would report scores on the rows that are learned: name another "
                "split, or give a share of train, as 0.2"
            )
    elif not 0 < held_out < 1:
        raise ValueError(f"held_out must be a split or a share between 0 and 1, got {held_out}")
    unused = [split for split in splits if split not in ("train", held_out)]
    if held_out not in ("validation", HELD_OUT) or unused:
        others = f"; not used: {', '.join(map(repr, unused))}" if unused else ""
        kind = "split" if isinstance(held_out, str) else "share of train:"
        logger.info(f"{name}: scores are reported on the {kind} {held_out!r}{others}")
    return held_out


def _chosen(splits: dict[str, Table], reported: str | float, needed: set[str]) -> dict[str, Table]:
    """Train, and "validation" where it is given. Raises ValueError for what is missing."""
    if "train" not in splits:
        raise ValueError(f"there is no split 'train'; there is: {', '.join(splits)}")
    given = {"train": splits["train"]}
    if isinstance(reported, str):
        given["validation"] = splits[reported]
    for split, rows in given.items():
        has = list(rows.columns) if isinstance(rows, pd.DataFrame) else rows.column_names
        if missing := needed - set(has):
            raise ValueError(
                f"{split} has no column {', '.join(sorted(missing))}; it has: "
                f"{', '.join(map(str, has))}"
            )
    return given


def _labelled(
    given: dict[str, Table], columns: tuple[str, ...], label: str, regression: bool, name: str
) -> DatasetDict:
    """The splits as a task has them, labels as classes or values."""
    dataset = DatasetDict()
    for split, rows in given.items():
        dataset[split] = _rows(rows, columns, label, regression)
    return dataset if regression else with_class_labels(dataset, name)


def _rows(rows: Table, columns: tuple[str, ...], label: str, regression: bool) -> Dataset:
    """A split's texts, its labels as "label" and its row numbers as "idx"."""
    content = {column: values_of(rows, column) for column in columns}
    labels = values_of(rows, label)
    kind = None
    if regression:
        labels = [float(value) for value in labels]
    elif isinstance(rows, Dataset) and isinstance(rows.features[label], ClassLabel):
        kind = rows.features[label]
    else:
        labels = class_names(labels)
    numbered = Dataset.from_dict(content).add_column("label", labels, feature=kind)
    return numbered.add_column("idx", list(range(len(labels))))


def _check_apart(dataset: DatasetDict, columns: tuple[str, ...]) -> None:
    """Raise ValueError where validation has the texts of train and no others."""
    texts = {}
    for split, rows in dataset.items():
        texts[split] = set(zip(*(values_of(rows, column) for column in columns), strict=True))
    if "validation" in texts and texts["validation"] == texts["train"]:
        raise ValueError(
            "the validation split has the same texts as train, so its scores would say nothing: "
            "name another split, or a share of train, as held_out=0.2"
        )


def _hold_out(
    rows: Dataset, share: float, seed: int, name: str, columns: tuple[str, ...], classes: bool
) -> DatasetDict:
    """Train and validation from train's rows; equal texts stay on one side."""
    outputs = len(set(rows["label"])) if classes else 1

    def size(count: int) -> int:
        return max(math.ceil(share * count), outputs)

    groups = text_groups(rows, columns)
    train, held_out = divide(rows, size, seed, classes=classes, groups=groups)
    logger.info(f"{name}: {len(held_out):,} of {len(rows):,} rows held out as the validation split")
    return DatasetDict(train=rows.select(train), validation=rows.select(held_out))


def _check_classes(rows: Dataset, label: str, metrics: tuple[str, ...], when: str = "") -> None:
    """Raise ValueError unless each class has enough rows."""
    names = rows.features["label"].names
    if "f1" in metrics and len(names) != 2:
        raise ValueError(
            f"f1 is of class 1 of two, and {label} has {len(names)} classes: take accuracy or "
            "matthews"
        )
    count = Counter(rows["label"][:])
    for number, word in enumerate(names):
        if count[number] < FEW_ROWS:
            raise ValueError(
                f"train has {count[number]} rows with the {label} {word!r}{when}, and at least "
                f"{FEW_ROWS} are needed: one to learn from, one to choose the epoch by; find "
                "more, join it with another class, or leave it out"
            )


def _log_classes(rows: Dataset, name: str) -> None:
    names = rows.features["label"].names
    listed = ", ".join(f"{number} = {word}" for number, word in enumerate(names))
    logger.info(f"{name}: classes {listed}")
