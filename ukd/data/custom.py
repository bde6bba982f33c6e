"""Your own data as a task: a file, a folder, or a data set of the hub."""

from __future__ import annotations

import difflib
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
from ukd.data.metrics import CORRELATION, METRICS, check_f1, constant_score
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
    columns, metrics = _names("text", text), _names("metrics", metrics)
    _check_options(name, columns, label, metrics, seed)
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


def _names(option: str, value: object) -> tuple[str, ...]:
    """One name or several. Raises ValueError for anything else."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{option} must be a name or several, got {value!r}")
    return tuple(names)


def _check_options(
    name: str, columns: tuple[str, ...], label: str, metrics: tuple[str, ...], seed: int
) -> None:
    """Raise ValueError for a name, columns, metrics or seed that later work would trip over."""
    if not isinstance(name, str) or not re.fullmatch(r"\w{1,50}", name) or name in SPECS:
        raise ValueError(
            f"a task can't be called {name!r}: take at most 50 letters, digits and '_', and none "
            f"of {', '.join(SPECS)}"
        )
    if not isinstance(label, str):
        raise ValueError(f"label must name a column, got {label!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0, got {seed!r}")
    if len(columns) not in (1, 2) or set(columns) & {"label", "idx"}:
        raise ValueError(
            "text must name one or two columns, not 'label' or 'idx', which the task itself has; "
            f"got {columns}"
        )
    if len({*columns, label}) <= len(columns):
        raise ValueError(
            f"the columns {columns} of the text and {label!r} of the label must differ: a text "
            "that is the label gives the answer away"
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
    elif not isinstance(held_out, int | float) or not 0 < held_out < 1:
        raise ValueError(f"held_out must be a split or a share between 0 and 1, got {held_out!r}")
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
        if not has:
            raise ValueError(f"{split} has no rows")
        if missing := needed - set(has):
            known = ", ".join(map(str, has)) + _meant(missing, has)
            raise ValueError(f"{split} has no column {', '.join(sorted(missing))}; it has: {known}")
        if twice := [column for column in sorted(needed) if has.count(column) > 1]:
            raise ValueError(
                f"{split} has {has.count(twice[0])} columns called {twice[0]!r}: rename all but "
                "the one that is meant"
            )
    return given


def _meant(missing: set[str], has: list) -> str:
    """Columns whose names are like those that are missing, in words; "" for none."""
    known = {str(column).strip().casefold(): str(column) for column in has}
    found = []
    for name in sorted(missing):
        for close in difflib.get_close_matches(name.strip().casefold(), known, n=1):
            found.append(f"{known[close]!r} for {name!r}")
    return f" (did you mean {', '.join(found)}?)" if found else ""


def _labelled(
    given: dict[str, Table], columns: tuple[str, ...], label: str, regression: bool, name: str
) -> DatasetDict:
    """The splits as a task has them, labels as classes or values."""
    labels, kinds = {}, {}
    for split, rows in given.items():
        labels[split] = values_of(rows, label)
        if isinstance(rows, Dataset) and isinstance(rows.features[label], ClassLabel):
            kinds[split] = rows.features[label]
    if regression:
        labels = {split: list(map(float, values)) for split, values in labels.items()}
    else:
        # Of all splits at once: "1.0" is the class "1" in one where it is so in the other.
        written = [split for split in given if split not in kinds]
        names = iter(class_names([value for split in written for value in labels[split]]))
        labels |= {split: [next(names) for _ in labels[split]] for split in written}
    dataset = DatasetDict()
    for split, rows in given.items():
        content = {column: values_of(rows, column) for column in columns}
        texts = Dataset.from_dict(content)
        numbered = texts.add_column("label", labels[split], feature=kinds.get(split))
        dataset[split] = numbered.add_column("idx", list(range(len(numbered))))
    return dataset if regression else with_class_labels(dataset, name)


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
    check_f1(metrics, label, len(names))
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
