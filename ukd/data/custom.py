"""Tasks of your own: a file, a folder or a data set of the hub becomes a `Task`, which everything else accepts."""

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

from ukd.config.keys import config_hash
from ukd.config.paths import cache_folder
from ukd.config.runtime import say
from ukd.data.metrics import CORRELATION, METRICS
from ukd.data.tasks import SPECS, Task, TaskSpec, _same_classes, fingerprint

_TABLE = {"keep_default_na": False}  # a text may be the word "NA"
FILES = {
    ".csv": ("csv", _TABLE),
    ".tsv": ("csv", _TABLE | {"sep": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}


def custom_task(
    source: str | Path | Dataset | DatasetDict,
    *,
    text: str | tuple[str, ...],
    label: str = "label",
    metrics: str | tuple[str, ...] = "accuracy",
    name: str = "own",
    held_out: str | float | None = None,
    seed: int = 0,
) -> Task:
    """Your own rows as a task for `train_teacher`, `distill` and the tables: N rows of one or two texts and a label.

    Args:
        source: a file (CSV, TSV, JSON lines, Parquet), a folder of such files or from `save_to_disk`, or what
            `datasets.load_dataset` returned for a data set of the hub.
        text: the column with the text, or the two columns with both texts, under whatever names they have.
        label: the column with the label. Strings, whole numbers and truth values become classes, named in sorted order (which is
            printed); with "pearson" among the metrics labels are values.
        metrics: one or several of `ukd.metrics.METRICS`; the headline score is their mean. F1 is of class 1 of two.
        name: what records, tables and caches call it; letters, digits and "_".
        held_out: the split that scores are reported on, or the share of train to carve it from. By default the split
            "validation" where there is one, else a fifth of train, drawn by `seed` with every class in its proportion.

    Returns: Task with the splits train and validation, whose columns are those of `text`, "label" and "idx", the row's number. Its
    floor is the share of the most frequent class where accuracy alone counts, 0 elsewhere.

    Raises: ValueError for what can't be read or a column that is missing, an empty text, labels that don't fit the
    metrics, a class with too few rows, a name that is taken.
    """
    columns = (text,) if isinstance(text, str) else tuple(text)
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    _check_options(name, columns, metrics)
    splits, values = _read(source), "pearson" in metrics
    reported = held_out or ("validation" if "validation" in splits else 0.2)
    names = (
        {"train": "train", "validation": reported}
        if isinstance(reported, str)
        else {"train": "train"}
    )
    dataset = DatasetDict(
        {split: _rows(splits, found, columns, label, values) for split, found in names.items()}
    )
    if not values:
        dataset = _same_classes(dataset, name)
        _check_classes(dataset["train"], label, metrics)
    if "validation" not in dataset:
        dataset = dataset["train"].train_test_split(
            test_size=reported, seed=seed, stratify_by_column=None if values else "label"
        )
        dataset["validation"] = dataset.pop("test")
        say(
            f"{name}: {len(dataset['validation']):,} of {sum(map(len, dataset.values())):,} rows held out as the validation split"
        )
    if not values:
        _check_classes(dataset["train"], label, metrics)
        say(
            f"{name}: classes "
            + ", ".join(
                f"{number} = {word}"
                for number, word in enumerate(dataset["train"].features["label"].names)
            )
        )
    spec = TaskSpec(
        columns,
        metrics,
        min_teacher_score=_majority(dataset["train"]) if metrics == ("accuracy",) else 0.0,
    )
    return Task(name, spec, dataset, fingerprint(dataset, spec))


def _check_options(name: str, columns: tuple[str, ...], metrics: tuple[str, ...]) -> None:
    """Raise ValueError for a name, columns or metrics that something later would trip over."""
    if not re.fullmatch(r"\w+", name) or name in SPECS:
        raise ValueError(
            f"a task can't be called {name!r}: take letters, digits and '_', and none of {', '.join(SPECS)}"
        )
    if len(columns) not in (1, 2) or set(columns) & {"label", "idx"}:
        raise ValueError(
            f"text must name one or two columns, not 'label' or 'idx', which the task itself has; got {columns}"
        )
    if unknown := set(metrics) - set(METRICS) or not metrics:
        raise ValueError(f"unknown metrics {unknown}; choose among: {', '.join(METRICS)}")
    if set(metrics) & set(CORRELATION) and not {"pearson"} <= set(metrics) <= set(CORRELATION):
        raise ValueError(
            f"labels that are values are scored by 'pearson', with or without 'spearman', and nothing else; got {metrics}"
        )


def _read(source: str | Path | Dataset | DatasetDict) -> DatasetDict:
    """All splits of a source; what comes without splits is train. Raises ValueError for what is none."""
    if isinstance(source, Dataset | DatasetDict):
        return source if isinstance(source, DatasetDict) else DatasetDict(train=source)
    path = Path(source)
    files = (
        [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
    )
    stamp = config_hash(
        [(str(found), found.stat().st_size, found.stat().st_mtime_ns) for found in files]
    )  # a changed file is read anew
    options = {"cache_dir": str(cache_folder() / "datasets" / stamp)}
    disable_progress_bars()
    if path.is_file() and path.suffix in FILES:
        kind, how = FILES[path.suffix]
        return load_dataset(kind, data_files={"train": str(path)}, **how, **options)
    if not path.is_dir():
        raise ValueError(
            f"{path.name!r} is neither a folder nor a file that ends in {', '.join(FILES)}; "
            "of a data set of the hub pass what datasets.load_dataset returns"
        )
    saved = any((path / mark).is_file() for mark in ("dataset_dict.json", "dataset_info.json"))
    return _read(load_from_disk(str(path)) if saved else load_dataset(str(path), **options))


def _rows(
    splits: DatasetDict, split: str, columns: tuple[str, ...], label: str, values: bool
) -> Dataset:
    """A split's texts under their own names, its labels as "label" and its row numbers as "idx". Raises ValueError where one is bad."""
    if split not in splits:
        raise ValueError(f"there is no split {split!r}; there is: {', '.join(splits)}")
    rows = splits[split]
    if missing := {*columns, label} - set(rows.column_names):
        raise ValueError(
            f"{split} has no column {', '.join(sorted(missing))}; it has: {', '.join(rows.column_names)}"
        )
    rows = rows.select_columns([*columns, label])
    for column in columns:
        for number, words in enumerate(rows[column]):
            if not isinstance(words, str) or not words.strip():
                raise ValueError(
                    f"{split}, row {number + 1}: {column} must be a text that is not empty, got {words!r}"
                )
    found = list(rows[label])
    for number, given in enumerate(found):
        if problem := _problem(given, values):
            raise ValueError(f"{split}, row {number + 1}: {label} is {given!r}, {problem}")
    if values:
        rows = rows.remove_columns(label).add_column("label", [float(given) for given in found])
    elif isinstance(rows.features[label], ClassLabel):
        rows = rows.rename_column(label, "label") if label != "label" else rows
    else:  # classes by their names, whatever their kind
        rows = rows.remove_columns(label).add_column("label", [str(given) for given in found])
    return rows.add_column("idx", list(range(len(rows))))


def _problem(given: object, values: bool) -> str | None:
    """What is wrong with a label as a value, or as a class."""
    if given is None or given == "" or given != given:
        return "and every row needs a label"
    if values:
        return (
            None
            if isinstance(given, int | float)
            else "not a number: words are classes, scored by accuracy, f1 or matthews"
        )
    if isinstance(given, float):
        return "a value and no class: take metrics=('pearson', 'spearman')"
    return None


def _check_classes(rows: Dataset, label: str, metrics: tuple[str, ...]) -> None:
    """Raise ValueError unless there are classes to tell apart, each with a row to learn from and one to choose the epoch by."""
    names = rows.features["label"].names
    count = Counter({word: 0 for word in names}) + Counter(
        names[number] for number in rows["label"]
    )
    if len(names) < 2:
        raise ValueError(f"all rows have the {label} {names[0]!r}: there is nothing to tell apart")
    if "f1" in metrics and len(names) != 2:
        raise ValueError(
            f"f1 is of class 1 of two, and {label} has {len(names)} classes: take accuracy or matthews"
        )
    for word in names:
        if count[word] < 2:
            raise ValueError(
                f"train has {count[word]} rows with the {label} {word!r}, and at least 2 are needed: one to learn from, "
                "one to choose the epoch by"
            )


def _majority(rows: Dataset) -> float:
    """The share of the most frequent class in percent: what a teacher must reach to have learned anything."""
    return 100 * max(Counter(rows["label"]).values()) / len(rows)
