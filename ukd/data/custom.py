"""Your own data as a task: a file, a folder, or a data set of the hub."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    disable_progress_bars,
    load_dataset,
    load_from_disk,
)

from ukd.config.runtime import logger
from ukd.data.metrics import CORRELATION, METRICS
from ukd.data.tasks import (
    SPECS,
    Task,
    TaskSpec,
    dataset_cache,
    fingerprint,
    with_class_labels,
)

TABLE = {"keep_default_na": False}  # a text may be the word "NA"
FORMATS = {
    ".csv": ("csv", TABLE),
    ".tsv": ("csv", TABLE | {"sep": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}
SAVED = ("dataset_dict.json", "dataset_info.json")  # what `save_to_disk` leaves
HELD_OUT = 0.2  # of train, where there is no validation split
LEAST_ROWS = 2  # of a class: one to learn from, one to choose the epoch by


def custom_task(
    source: str | Path | Dataset | DatasetDict,
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
            `save_to_disk`, or what `datasets.load_dataset` returned.
        text: the column with the text, or the two columns with both texts.
        label: the column with the label. Strings, whole numbers and truth values become classes,
            named in sorted order, which is printed. With "pearson" among the metrics labels are
            values.
        metrics: one or several of `ukd.data.metrics.METRICS`. F1 is of class 1 of two.
        name: what records, tables and caches call it; letters, digits and "_".
        held_out: the split that scores are reported on, or the share of train that is drawn for it.
            By default the split "validation" where there is one, else a fifth of train.
        seed: of that draw, in which every class keeps its share.

    Returns: a Task with the splits train and validation. Its least teacher score is the share of
    the most frequent class where accuracy alone counts, else 0.

    Raises: ValueError for what can't be read, a missing column, an empty text, labels that do not
    fit the metrics, a class with too few rows, and a name that is taken.
    """
    columns = (text,) if isinstance(text, str) else tuple(text)
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    _check_options(name, columns, metrics)
    regression = "pearson" in metrics
    splits = _read(source)
    reported = held_out or ("validation" if "validation" in splits else HELD_OUT)
    dataset = DatasetDict(train=_rows(splits, "train", columns, label, regression))
    if isinstance(reported, str):
        dataset["validation"] = _rows(splits, reported, columns, label, regression)
    if not regression:
        dataset = with_class_labels(dataset, name)
        _check_classes(dataset["train"], label, metrics)
    if not isinstance(reported, str):
        dataset = _hold_out(dataset["train"], reported, seed, name, regression)
    least = 0.0
    if not regression:
        _check_classes(dataset["train"], label, metrics)
        _log_classes(dataset["train"], name)
        if metrics == ("accuracy",):
            least = _majority(dataset["train"])
    spec = TaskSpec(columns, metrics, min_teacher_score=least)
    return Task(name, spec, dataset, fingerprint(dataset, spec))


def _check_options(
    name: str,
    columns: tuple[str, ...],
    metrics: tuple[str, ...],
) -> None:
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
    if unknown := set(metrics) - set(METRICS) or not metrics:
        raise ValueError(f"unknown metrics {unknown}; choose among: {', '.join(METRICS)}")
    if set(metrics) & set(CORRELATION) and not {"pearson"} <= set(metrics) <= set(CORRELATION):
        raise ValueError(
            "labels that are values are scored by 'pearson', with or without 'spearman', and "
            f"nothing else; got {metrics}"
        )


def _read(source: str | Path | Dataset | DatasetDict) -> DatasetDict:
    """All splits of a source; what comes without splits is train. Raises ValueError."""
    if isinstance(source, DatasetDict):
        return source
    if isinstance(source, Dataset):
        return DatasetDict(train=source)
    path = Path(source)
    disable_progress_bars()
    if path.is_file() and path.suffix in FORMATS:
        kind, options = FORMATS[path.suffix]
        cache = str(dataset_cache(path))
        return load_dataset(kind, data_files={"train": str(path)}, cache_dir=cache, **options)
    if not path.is_dir():
        raise ValueError(
            f"{path.name!r} is neither a folder nor a file that ends in {', '.join(FORMATS)}; of a "
            "data set of the hub pass what datasets.load_dataset returns"
        )
    if any((path / file).is_file() for file in SAVED):
        return _read(load_from_disk(str(path)))
    return load_dataset(str(path), cache_dir=str(dataset_cache(path)))


def _rows(
    splits: DatasetDict, split: str, columns: tuple[str, ...], label: str, regression: bool
) -> Dataset:
    """A split's texts, its labels as "label" and its row numbers as "idx".

    Raises: ValueError that names the row and the value where one is bad.
    """
    if split not in splits:
        raise ValueError(f"there is no split {split!r}; there is: {', '.join(splits)}")
    rows = splits[split]
    if missing := {*columns, label} - set(rows.column_names):
        raise ValueError(
            f"{split} has no column {', '.join(sorted(missing))}; it has: "
            f"{', '.join(rows.column_names)}"
        )
    rows = rows.select_columns([*columns, label])
    for column in columns:
        _check_texts(rows[column], f"{split}, row", column)
    labels = list(rows[label])
    for number, value in enumerate(labels, start=1):
        if problem := _problem(value, regression):
            raise ValueError(f"{split}, row {number}: {label} is {value!r}, {problem}")
    if isinstance(rows.features[label], ClassLabel) and not regression:
        rows = rows.rename_column(label, "label") if label != "label" else rows
    else:
        kind = float if regression else str
        rows = rows.remove_columns(label).add_column("label", [kind(value) for value in labels])
    return rows.add_column("idx", list(range(len(rows))))


def _check_texts(texts: list[str], place: str, column: str) -> None:
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"{place} {number}: {column} must be a text that is not empty, got {text!r}"
            )


def _problem(label: object, regression: bool) -> str | None:
    """What is wrong with a label as a value, or as a class; None for a good one."""
    if label is None or label == "" or label != label:  # NaN differs from itself
        return "and every row needs a label"
    is_number = isinstance(label, int | float)
    if regression and not is_number:
        return "not a number: words are classes, scored by accuracy, f1 or matthews"
    if isinstance(label, float) and not regression:
        return "a value and no class: take metrics=('pearson', 'spearman')"
    return None


def _hold_out(
    rows: Dataset,
    share: float,
    seed: int,
    name: str,
    regression: bool,
) -> DatasetDict:
    """Train and validation from train's rows."""
    stratify = None if regression else "label"
    parts = rows.train_test_split(test_size=share, seed=seed, stratify_by_column=stratify)
    held_out = len(parts["test"])
    logger.info(f"{name}: {held_out:,} of {len(rows):,} rows held out as the validation split")
    return DatasetDict(train=parts["train"], validation=parts["test"])


def _check_classes(
    rows: Dataset,
    label: str,
    metrics: tuple[str, ...],
) -> None:
    """Raise ValueError unless there are two classes or more, each with enough rows."""
    names = rows.features["label"].names
    if len(names) < 2:
        raise ValueError(f"all rows have the {label} {names[0]!r}: there is nothing to tell apart")
    if "f1" in metrics and len(names) != 2:
        raise ValueError(
            f"f1 is of class 1 of two, and {label} has {len(names)} classes: take accuracy or "
            "matthews"
        )
    count = Counter(rows["label"])
    for number, word in enumerate(names):
        if count[number] < LEAST_ROWS:
            raise ValueError(
                f"train has {count[number]} rows with the {label} {word!r}, and at least "
                f"{LEAST_ROWS} are needed: one to learn from, one to choose the epoch by"
            )


def _log_classes(rows: Dataset, name: str) -> None:
    names = rows.features["label"].names
    listed = ", ".join(f"{number} = {word}" for number, word in enumerate(names))
    logger.info(f"{name}: classes {listed}")


def _majority(rows: Dataset) -> float:
    """The share of the most frequent class in percent: what a constant answer reaches."""
    return 100 * max(Counter(rows["label"]).values()) / len(rows)
