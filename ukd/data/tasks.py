"""Tasks: the synthetic suite, and GLUE from the hub or from a folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, disable_progress_bars, load_dataset

from ukd.config.keys import HASH_LENGTH, config_hash
from ukd.config.paths import data_folder
from ukd.data.checks import FEW_ROWS, Check, refuse, row_checks
from ukd.data.draw import divide, limit, text_groups
from ukd.data.folders import read_layout
from ukd.data.labels import check_classes, with_class_labels
from ukd.data.metrics import check_f1

HUB = "nyu-mll/glue"
DEV_SHARE = 0.1  # of train
DEV_MOST = 1000  # rows
FINGERPRINT_ROWS = 10_000  # read at a time
_SEEN: dict[tuple, str] = {}  # fingerprints of this process, by `_marks`


@dataclass(frozen=True)
class TaskSpec:
    """What is known of a task before its data is read.

    Attributes:
        columns: of the text, one or two.
        metrics: names from `ukd.data.metrics.METRICS`; their mean is the task's score.
        min_teacher_score: the least score, in percent, that a teacher must reach to teach.
        validation: the split that is called "validation" here.
        extra_split: a further split that is scored and reported by itself, where the source has it.
    """

    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    min_teacher_score: float = 0.0
    validation: str = "validation"
    extra_split: str | None = None

    @property
    def regression(self) -> bool:
        """Whether labels are values rather than classes."""
        return "pearson" in self.metrics


SENTENCE = ("sentence",)
SENTENCES = ("sentence1", "sentence2")
PREMISE = ("premise", "hypothesis")
SYNTHETIC = {
    "acceptability": TaskSpec(SENTENCE, ("matthews",), min_teacher_score=20),
    "sentiment": TaskSpec(SENTENCE, ("accuracy",), min_teacher_score=65),
    "paraphrase": TaskSpec(SENTENCES, ("accuracy", "f1"), min_teacher_score=74),
    "similarity": TaskSpec(SENTENCES, ("pearson", "spearman"), min_teacher_score=15),
    "entailment": TaskSpec(PREMISE, ("accuracy",), min_teacher_score=38),
}
GLUE = {
    "cola": TaskSpec(SENTENCE, ("matthews",), min_teacher_score=5),
    "sst2": TaskSpec(SENTENCE, ("accuracy",), min_teacher_score=70),
    "mrpc": TaskSpec(SENTENCES, ("accuracy", "f1"), min_teacher_score=70),
    "qqp": TaskSpec(("question1", "question2"), ("accuracy", "f1"), min_teacher_score=65),
    "stsb": TaskSpec(SENTENCES, ("pearson", "spearman"), min_teacher_score=40),
    "mnli": TaskSpec(
        PREMISE,
        ("accuracy",),
        min_teacher_score=50,
        validation="validation_matched",
        extra_split="validation_mismatched",
    ),
    "qnli": TaskSpec(("question", "sentence"), ("accuracy",), min_teacher_score=60),
    "rte": TaskSpec(SENTENCES, ("accuracy",), min_teacher_score=52),
}
SPECS = {**SYNTHETIC, **GLUE}


@dataclass(frozen=True)
class Task:
    """A task's data, and what is known of it.

    Attributes:
        name: as records and tables have it.
        spec: columns and metrics.
        dataset: the splits train and validation, and the extra split under its own name. Columns
            are those of the text, "label", and "idx", the row's number.
        fingerprint: of the texts and labels of all splits.
        checks: what was found in its rows when they were read.

    Raises: ValueError for rows that were changed under the fingerprint of those before.
    """

    name: str
    spec: TaskSpec
    dataset: DatasetDict
    fingerprint: str
    checks: tuple[Check, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        self.check_rows()

    def check_rows(self) -> None:
        """Raise ValueError where the fingerprint is not that of the rows: caches go by it."""
        whole = {"train", "validation"} <= set(self.dataset)  # a test split has a key of its own
        if not whole or _SEEN.get(_marks(self.dataset, self.spec)) == self.fingerprint:
            return
        if fingerprint(self.dataset, self.spec) != self.fingerprint:
            raise ValueError(
                f"the rows of {self.name} were changed and its fingerprint was not: make them a "
                "task by custom_task, or give fingerprint=ukd.data.tasks.fingerprint(dataset, spec)"
            )

    @property
    def key(self) -> str:
        """Key of all that decides what scores on the task mean: data, columns, metrics, classes."""
        self.check_rows()
        spec = (self.spec.columns, self.spec.metrics, self.spec.validation, self.spec.extra_split)
        return config_hash(self.fingerprint, spec, self.label_names)

    @property
    def official(self) -> bool:
        """Whether its splits are published ones, which are reported on and never altered."""
        return self.name in SPECS

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The class names in the order of their indices; None for regression."""
        if self.spec.regression:
            return None
        return tuple(self.dataset["train"].features["label"].names)

    @property
    def num_labels(self) -> int:
        """Number of outputs: classes, or 1 for regression."""
        return len(self.label_names or ("value",))


def load_task(name: str, source: str = "synthetic") -> Task:
    """Load a task by name.

    Args:
        name: a task of the synthetic suite (acceptability, ...) or of GLUE (cola, ...).
        source: "synthetic"; "hub" for `nyu-mll/glue`; or a folder, in the hub's layout or from
            `save_to_disk`.

    Raises: ValueError for an unknown task, a task that the source lacks, columns that are missing,
    labels that are none or all the same, and classes in two orders.
    """
    if name not in SPECS:
        raise ValueError(f"unknown task {name!r}; choose one of: {', '.join(SPECS)}")
    spec = SPECS[name]
    splits = read_splits(name, source)
    dataset = DatasetDict(
        train=_split(splits, "train", name), validation=_split(splits, spec.validation, name)
    )
    if spec.extra_split in splits:
        dataset[spec.extra_split] = splits[spec.extra_split]
    for split, rows in dataset.items():
        if missing := {*spec.columns, "label", "idx"} - set(rows.column_names):
            raise ValueError(
                f"{name} {split} lacks the columns {sorted(missing)}; it has {rows.column_names}"
            )
    checks = row_checks(dataset, spec.columns, "label", regression=spec.regression, own=False)
    refuse(checks)
    if not spec.regression:
        dataset = with_class_labels(dataset, name)
        check_classes(dataset["train"].features["label"].names, name, source)
        check_f1(spec.metrics, name, len(dataset["train"].features["label"].names))
    return Task(name, spec, dataset, fingerprint(dataset, spec), tuple(checks))


def source_of(name: str, source: str | None) -> str:
    """Where a task's data is: as given, else the synthetic suite or the hub, whichever has it."""
    return source or ("synthetic" if name in SYNTHETIC else "hub")


def read_splits(name: str, source: str) -> DatasetDict:
    """All splits of a task as the source has them; see `load_task`.

    Raises: ValueError for a source that lacks the task, or can't be reached.
    """
    if source in ("synthetic", "hub") and (name in SYNTHETIC) != (source == "synthetic"):
        tasks = SYNTHETIC if source == "synthetic" else GLUE
        raise ValueError(f"source {source!r} has no task {name!r}; it has: {', '.join(tasks)}")
    disable_progress_bars()
    if source == "synthetic":
        return _read_synthetic(name)
    if source == "hub":
        return _read_hub(name)
    path = Path(source).expanduser()
    if not path.is_dir():
        raise ValueError(f"source {source!r} is neither 'synthetic', 'hub' nor a folder")
    return read_layout(name, path)


def _read_synthetic(name: str) -> DatasetDict:
    """Straight from the files that come with the kit: no copy in a cache, so no lock."""
    splits = DatasetDict()
    for path in sorted((data_folder() / "synthetic" / name).glob("*.parquet")):
        split = path.name.partition("-")[0]
        splits[split] = Dataset(pq.read_table(path))
    return splits


def _read_hub(name: str) -> DatasetDict:
    try:
        return load_dataset(HUB, name)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{HUB} can't be reached ({reason}): pass a folder in its layout (--source), or take a "
            f"task that comes with the kit: {', '.join(SYNTHETIC)}"
        ) from error


def _split(splits: DatasetDict, split: str, name: str) -> Dataset:
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(splits)}")
    return splits[split]


def fingerprint(dataset: DatasetDict, spec: TaskSpec) -> str:
    """Twelve hexadecimal digits that name the texts and labels of all splits, wherever they are."""
    others = sorted(set(dataset) - {"train", "validation"})
    state = hashlib.sha256()
    for split in ("train", "validation", *others):
        for column in (*spec.columns, "label"):
            # The text is that of repr((split, column, values)), made in parts to save memory.
            state.update(f"({split!r}, {column!r}, [".encode())
            comma = ""
            plain = dataset[split].with_format(None).select_columns(column)
            for part in plain.iter(FINGERPRINT_ROWS):
                state.update((comma + ", ".join(map(repr, part[column]))).encode())
                comma = ", "
            state.update(b"])")
    _SEEN[_marks(dataset, spec)] = state.hexdigest()[:HASH_LENGTH]
    return _SEEN[_marks(dataset, spec)]


def _marks(dataset: DatasetDict, spec: TaskSpec) -> tuple:
    """What the library changes with every change of rows: a look that costs nothing."""
    return spec.columns, tuple((split, rows._fingerprint) for split, rows in dataset.items())


def train_dev_split(task: Task, seed: int, most: int | None = None) -> tuple[list[int], list[int]]:
    """Row numbers of train without a development part, and of that part.

    It is a tenth of train, at most 1,000 rows, stratified by class, with a row of every class that
    has two. All choices are made on it (which epoch, which learning rate); the validation split is
    only reported on. In data of one's own equal texts stay on one side.

    Args:
        task: its train split is divided.
        seed: of the draw.
        most: limits both parts together to so many rows, drawn by the seed.
    """
    rows = task.dataset["train"]
    classes = not task.spec.regression
    kept = list(range(len(rows)))
    if most is not None:
        kept = limit(rows, most, seed, classes=classes, least=FEW_ROWS)
    part = rows if len(kept) == len(rows) else rows.select(kept)
    # Official splits stay as they are drawn: their texts are not looked at.
    groups = None if task.official else text_groups(part, task.spec.columns)

    def size(count: int) -> int:
        return dev_size(count, task.num_labels)

    train, dev = divide(part, size, seed, classes=classes, groups=groups)
    return [kept[row] for row in train], [kept[row] for row in dev]


def scored_rows(task: Task, split: str, most: int | None) -> list[int]:
    """Row numbers of a split that are scored: all, or `most` of them in their order.

    They are drawn by a fixed seed and stratified by class: the first rows of a sorted split would
    be of one class.
    """
    rows = task.dataset[split]
    if most is None:
        return list(range(len(rows)))
    return sorted(limit(rows, most, seed=0, classes=not task.spec.regression))


def dev_size(rows: int, outputs: int) -> int:
    """Rows of the development part of so many labelled ones: room for every class at least."""
    return min(max(round(DEV_SHARE * rows), outputs), DEV_MOST)
