"""Tasks: the synthetic suite, GLUE from the hub or a folder, tokenised once and served in length-grouped batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
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
from ukd.config.paths import cache_folder, data_folder

HUB = "nyu-mll/glue"
DEV_SHARE, DEV_MOST = 0.1, 1000


@dataclass(frozen=True)
class TaskSpec:
    """Text columns and metrics of a task; `floor` is the least headline score a teacher must reach to teach.

    `also` names a further split that is scored and reported by itself, where the source has it.
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


SENTENCE, SENTENCES = ("sentence",), ("sentence1", "sentence2")
SYNTHETIC = {
    "acceptability": TaskSpec(SENTENCE, ("matthews",), min_teacher_score=20),
    "sentiment": TaskSpec(SENTENCE, ("accuracy",), min_teacher_score=65),
    "paraphrase": TaskSpec(SENTENCES, ("accuracy", "f1"), min_teacher_score=74),
    "similarity": TaskSpec(SENTENCES, ("pearson", "spearman"), min_teacher_score=15),
    "entailment": TaskSpec(("premise", "hypothesis"), ("accuracy",), min_teacher_score=38),
}
GLUE = {
    "cola": TaskSpec(SENTENCE, ("matthews",), min_teacher_score=5),
    "sst2": TaskSpec(SENTENCE, ("accuracy",), min_teacher_score=70),
    "mrpc": TaskSpec(SENTENCES, ("accuracy", "f1"), min_teacher_score=70),
    "qqp": TaskSpec(("question1", "question2"), ("accuracy", "f1"), min_teacher_score=65),
    "stsb": TaskSpec(SENTENCES, ("pearson", "spearman"), min_teacher_score=40),
    "mnli": TaskSpec(
        ("premise", "hypothesis"),
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
    """A task's data: `dataset` with the splits train and validation (MNLI's matched part), MNLI's mismatched one under its own
    name, and what is known of it."""

    name: str
    spec: TaskSpec
    dataset: DatasetDict
    fingerprint: str

    @property
    def key(self) -> str:
        """Key of all that decides what scores on the task mean: data, columns, metrics, classes."""
        spec = (self.spec.columns, self.spec.metrics, self.spec.validation, self.spec.extra_split)
        return config_hash(self.fingerprint, spec, self.label_names)

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The class names in the order of their indices; None for regression."""
        return (
            None if self.spec.regression else tuple(self.dataset["train"].features["label"].names)
        )

    @property
    def num_labels(self) -> int:
        """Number of outputs: classes, or 1 for regression."""
        return len(self.label_names or ("value",))


def load_task(name: str, source: str = "synthetic") -> Task:
    """Load a task by name from the synthetic suite, the hub, or a folder; all three through the same code.

    Args:
        name: a task of the synthetic suite (acceptability, ...) or of GLUE (cola, ...).
        source: "embedded"; "hub" for `nyu-mll/glue`; or a path to a folder in the hub's layout or from `save_to_disk`.

    Raises: ValueError for an unknown task, a task the source lacks, or columns that are missing.
    """
    if name not in SPECS:
        raise ValueError(f"unknown task {name!r}; choose one of: {', '.join(SPECS)}")
    if source in ("synthetic", "hub") and (name in SYNTHETIC) != (source == "synthetic"):
        holds = SYNTHETIC if source == "synthetic" else GLUE
        raise ValueError(f"source {source!r} has no task {name!r}; it has: {', '.join(holds)}")
    spec, splits = SPECS[name], read_splits(name, source)
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
    if not spec.regression:
        dataset = _same_classes(dataset, name)
    return Task(name, spec, dataset, fingerprint(dataset, spec))


def source_of(name: str, asked: str | None) -> str:
    """Where a task's data is: the source asked for, else the synthetic suite or the hub, whichever has it."""
    return asked or ("synthetic" if name in SYNTHETIC else "hub")


def _same_classes(dataset: DatasetDict, name: str) -> DatasetDict:
    """Labels as classes in one order for all splits. Raises ValueError where the orders differ or another split has others."""
    features = {split: rows.features["label"] for split, rows in dataset.items()}
    if all(isinstance(feature, ClassLabel) for feature in features.values()):
        orders = {split: feature.names for split, feature in features.items()}
        if any(names != orders["train"] for names in orders.values()):
            raise ValueError(f"{name} names its classes in two orders: {orders}")
        return dataset
    found = {split: set(rows["label"]) for split, rows in dataset.items()}
    for split, values in found.items():
        if new := values - found["train"]:
            raise ValueError(f"{name} {split} has the labels {sorted(new)}, which train lacks")
    classes = sorted(found["train"])
    kind = ClassLabel(names=[str(label) for label in classes])
    number = {label: index for index, label in enumerate(classes)}
    return dataset.map(
        lambda row: {"label": number[row["label"]]}, load_from_cache_file=False
    ).cast_column("label", kind)


def read_splits(name: str, source: str) -> DatasetDict:
    """All splits of a task as the source has them (see `load_task`). Raises ValueError for a source that can't be reached."""
    disable_progress_bars()
    path = data_folder() / "synthetic" if source == "synthetic" else Path(source)
    if source == "hub":
        try:
            return load_dataset(HUB, name)
        except OSError as error:
            raise ValueError(
                f"{HUB} can't be reached ({str(error).splitlines()[0]}): pass a folder in its layout (--source), or take a "
                f"task that comes with the kit: {', '.join(SYNTHETIC)}"
            ) from error
    if not path.is_dir():
        raise ValueError(f"source {source!r} is neither 'synthetic', 'hub' nor a folder")
    if (path / "dataset_dict.json").is_file():
        return load_from_disk(str(path))
    return load_dataset(str(path), name, cache_dir=str(cache_folder() / "datasets" / _files(path)))


def _files(folder: Path) -> str:
    """Digest of a folder's data files: `load_dataset` finds a local folder in its cache by name, changed files or not."""
    found = [
        path
        for ending in ("README.md", "*.parquet", "*.csv", "*.tsv", "*.jsonl")
        for path in folder.rglob(ending)
    ]
    return config_hash(
        sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found)
    )


def _split(splits: DatasetDict, split: str, name: str) -> Dataset:
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(splits)}")
    return splits[split]


def fingerprint(dataset: DatasetDict, spec: TaskSpec) -> str:
    """Twelve hexadecimal digits that depend on the texts and labels of all splits, and not on where they are stored."""
    state = hashlib.sha256()
    for split in ("train", "validation", *sorted(set(dataset) - {"train", "validation"})):
        for column in (
            *spec.columns,
            "label",
        ):  # as repr((split, column, values)) has it, a part at a time
            state.update(f"({split!r}, {column!r}, [".encode())
            for number, part in enumerate(dataset[split].select_columns(column).iter(10_000)):
                state.update((", " * (number > 0) + ", ".join(map(repr, part[column]))).encode())
            state.update(b"])")
    return state.hexdigest()[:12]


def train_dev_split(task: Task, seed: int, most: int | None = None) -> tuple[list[int], list[int]]:
    """Row numbers of train and of a development part: a tenth of train, at most 1,000, stratified by class.

    The development part serves all choices (which epoch, which setting); the validation split is only reported. `most`
    limits train and development together to that many rows, drawn by the seed.
    """
    rows = task.dataset["train"]
    numbered = rows.select_columns("label").add_column("row", list(range(len(rows))))
    stratify = None if task.spec.regression else "label"
    if most is not None and most < len(rows):
        numbered = numbered.train_test_split(
            train_size=most, seed=seed, stratify_by_column=stratify
        )["train"]
    size = min(max(round(DEV_SHARE * len(numbered)), task.num_labels), DEV_MOST)
    parts = numbered.train_test_split(test_size=size, seed=seed, stratify_by_column=stratify)
    return list(parts["train"]["row"]), list(parts["test"]["row"])
