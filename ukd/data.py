"""Tasks: the embedded suite, GLUE from the hub or a folder, tokenised once and served in length-grouped batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import ClassLabel, Dataset, DatasetDict, disable_progress_bars, load_dataset, load_from_disk
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ukd.config import cache_folder, data_folder, digest

HUB = "nyu-mll/glue"
DEV_SHARE, DEV_MOST = 0.1, 1000


@dataclass(frozen=True)
class TaskSpec:
    """Text columns and metrics of a task; `floor` is the least headline score a teacher must reach to teach.

    `also` names a further split that is scored and reported by itself, where the source has it.
    """

    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    floor: float = 0.0
    validation: str = "validation"
    also: str | None = None

    @property
    def regression(self) -> bool:
        """Whether labels are values rather than classes."""
        return "pearson" in self.metrics


SENTENCE, SENTENCES = ("sentence",), ("sentence1", "sentence2")
EMBEDDED = {
    "acceptability": TaskSpec(SENTENCE, ("matthews",), floor=20),
    "sentiment": TaskSpec(SENTENCE, ("accuracy",), floor=65),
    "paraphrase": TaskSpec(SENTENCES, ("accuracy", "f1"), floor=74),
    "similarity": TaskSpec(SENTENCES, ("pearson", "spearman"), floor=15),
    "entailment": TaskSpec(("premise", "hypothesis"), ("accuracy",), floor=38),
}
GLUE = {
    "cola": TaskSpec(SENTENCE, ("matthews",), floor=5),
    "sst2": TaskSpec(SENTENCE, ("accuracy",), floor=70),
    "mrpc": TaskSpec(SENTENCES, ("accuracy", "f1"), floor=70),
    "qqp": TaskSpec(("question1", "question2"), ("accuracy", "f1"), floor=65),
    "stsb": TaskSpec(SENTENCES, ("pearson", "spearman"), floor=40),
    "mnli": TaskSpec(("premise", "hypothesis"), ("accuracy",), floor=50, validation="validation_matched", also="validation_mismatched"),
    "qnli": TaskSpec(("question", "sentence"), ("accuracy",), floor=60),
    "rte": TaskSpec(SENTENCES, ("accuracy",), floor=52),
}
SPECS = {**EMBEDDED, **GLUE}


@dataclass(frozen=True)
class Task:
    """A task's data: `dataset` with the splits train and validation (MNLI's matched part), MNLI's mismatched one under its own
    name, and what is known of it."""

    name: str
    spec: TaskSpec
    dataset: DatasetDict
    fingerprint: str

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The class names in the order of their indices; None for regression."""
        return None if self.spec.regression else tuple(self.dataset["train"].features["label"].names)

    @property
    def num_labels(self) -> int:
        """Number of outputs: classes, or 1 for regression."""
        return len(self.label_names or ("value",))


def load_task(name: str, source: str = "embedded") -> Task:
    """Load a task by name from the embedded suite, the hub, or a folder; all three through the same code.

    Args:
        name: a task of the embedded suite (acceptability, ...) or of GLUE (cola, ...).
        source: "embedded"; "hub" for `nyu-mll/glue`; or a path to a folder in the hub's layout or from `save_to_disk`.

    Raises: ValueError for an unknown task, a task the source lacks, or columns that are missing.
    """
    if name not in SPECS:
        raise ValueError(f"unknown task {name!r}; choose one of: {', '.join(SPECS)}")
    if source in ("embedded", "hub") and (name in EMBEDDED) != (source == "embedded"):
        holds = EMBEDDED if source == "embedded" else GLUE
        raise ValueError(f"source {source!r} has no task {name!r}; it has: {', '.join(holds)}")
    spec, splits = SPECS[name], read_splits(name, source)
    dataset = DatasetDict(train=_split(splits, "train", name), validation=_split(splits, spec.validation, name))
    if spec.also in splits:
        dataset[spec.also] = splits[spec.also]
    for split, rows in dataset.items():
        if missing := {*spec.columns, "label", "idx"} - set(rows.column_names):
            raise ValueError(f"{name} {split} lacks the columns {sorted(missing)}; it has {rows.column_names}")
    if not spec.regression:
        dataset = _same_classes(dataset, name)
    return Task(name, spec, dataset, fingerprint(dataset, spec))


def source_of(name: str, asked: str | None) -> str:
    """Where a task's data is: the source asked for, else the embedded suite or the hub, whichever has it."""
    return asked or ("embedded" if name in EMBEDDED else "hub")


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
    return dataset.map(lambda row: {"label": number[row["label"]]}, load_from_cache_file=False).cast_column("label", kind)


def read_splits(name: str, source: str) -> DatasetDict:
    """All splits of a task as the source has them (see `load_task`). Raises ValueError for a source that can't be reached."""
    disable_progress_bars()
    path = data_folder() if source == "embedded" else Path(source)
    if source == "hub":
        try:
            return load_dataset(HUB, name)
        except OSError as error:
            raise ValueError(f"{HUB} can't be reached ({str(error).splitlines()[0]}): pass a folder in its layout (--source), or take a "
                             f"task that comes with the kit: {', '.join(EMBEDDED)}") from error  # fmt: skip
    if not path.is_dir():
        raise ValueError(f"source {source!r} is neither 'embedded', 'hub' nor a folder")
    if (path / "dataset_dict.json").is_file():
        return load_from_disk(str(path))
    return load_dataset(str(path), name, cache_dir=str(cache_folder() / "datasets" / _files(path)))


def _files(folder: Path) -> str:
    """Digest of a folder's data files: `load_dataset` finds a local folder in its cache by name, changed files or not."""
    found = [path for ending in ("README.md", "*.parquet", "*.csv", "*.tsv", "*.jsonl") for path in folder.rglob(ending)]
    return digest(sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found))


def _split(splits: DatasetDict, split: str, name: str) -> Dataset:
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(splits)}")
    return splits[split]


def fingerprint(dataset: DatasetDict, spec: TaskSpec) -> str:
    """Twelve hexadecimal digits that depend on the texts and labels of all splits, and not on where they are stored."""
    state = hashlib.sha256()
    for split in ("train", "validation", *sorted(set(dataset) - {"train", "validation"})):
        for column in (*spec.columns, "label"):  # as repr((split, column, values)) has it, a part at a time
            state.update(f"({split!r}, {column!r}, [".encode())
            for number, part in enumerate(dataset[split].select_columns(column).iter(10_000)):
                state.update((", " * (number > 0) + ", ".join(map(repr, part[column]))).encode())
            state.update(b"])")
    return state.hexdigest()[:12]


def carve(task: Task, seed: int, most: int | None = None) -> tuple[list[int], list[int]]:
    """Row numbers of train and of a development part: a tenth of train, at most 1,000, stratified by class.

    The development part serves all choices (which epoch, which setting); the validation split is only reported. `most`
    limits train and development together to that many rows, drawn by the seed.
    """
    rows = task.dataset["train"]
    numbered = rows.select_columns("label").add_column("row", list(range(len(rows))))
    stratify = None if task.spec.regression else "label"
    if most is not None and most < len(rows):
        numbered = numbered.train_test_split(train_size=most, seed=seed, stratify_by_column=stratify)["train"]
    size = min(max(round(DEV_SHARE * len(numbered)), task.num_labels), DEV_MOST)
    parts = numbered.train_test_split(test_size=size, seed=seed, stratify_by_column=stratify)
    return list(parts["train"]["row"]), list(parts["test"]["row"])


@dataclass(frozen=True)
class Encoded:
    """Tokenised examples: `inputs` (rows of token lists per name, memory-mapped), `labels` (N,), `rows` (N,) their numbers in the
    split; `key` names all that made the tokens."""

    inputs: Dataset
    labels: Tensor
    rows: Tensor
    tokenizer: PreTrainedTokenizerBase
    key: str

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, (N,)."""
        return pc.list_value_length(self.inputs.data.column("input_ids")).to_numpy()

    def first(self, count: int) -> Encoded:
        """The first `count` examples."""
        count = min(count, len(self))
        return Encoded(self.inputs.select(range(count)), self.labels[:count], self.rows[:count], self.tokenizer, f"{self.key}-{count}")

    def batch(self, positions: list[int]) -> Batch:
        """The examples at these positions, padded to the longest of them."""
        padded = self.tokenizer.pad(self.inputs[positions], return_tensors="pt")
        index = torch.tensor(positions)
        return Batch(dict(padded), self.labels[index], self.rows[index])


@dataclass(frozen=True)
class Batch:
    """inputs: name -> (B, tokens); labels: (B,); rows: (B,), by which cached teacher outputs are found."""

    inputs: dict[str, Tensor]
    labels: Tensor
    rows: Tensor

    def to(self, device: str | torch.device) -> Batch:
        """The same batch on a device; the copy does not wait."""
        pinned = torch.device(device).type == "cuda"  # only from pinned memory does a copy not wait
        move = lambda tensor: (tensor.pin_memory() if pinned and not tensor.is_cuda else tensor).to(device, non_blocking=True)  # noqa: E731
        return Batch({name: move(t) for name, t in self.inputs.items()}, move(self.labels), move(self.rows))


def encode(task: Task, split: str, tokenizer: PreTrainedTokenizerBase, max_length: int, rows: list[int] | None = None) -> Encoded:
    """Tokenise the given rows of a split (all by default), cut to `max_length` tokens, unpadded; once, then found in the cache.

    Raises ValueError for more tokens than the tokenizer's model has positions for.
    """
    if max_length > tokenizer.model_max_length:
        raise ValueError(f"the encoder reads at most {tokenizer.model_max_length} tokens, and {max_length} are asked for (--max-length)")
    if rows is None:
        rows = list(range(len(task.dataset[split])))
    chosen = task.dataset[split].select(rows)
    key = digest(task.fingerprint, split, hashlib.sha256(np.asarray(rows).tobytes()).hexdigest(), _tokenizer(tokenizer), max_length)

    def tokens(texts: dict[str, list[str]]) -> dict[str, list]:
        columns = [texts[column] for column in task.spec.columns]
        return dict(tokenizer(*columns, truncation=True, max_length=max_length, padding=False))

    folder = cache_folder() / "tokens"
    folder.mkdir(parents=True, exist_ok=True)
    inputs = chosen.map(
        tokens, batched=True, remove_columns=chosen.column_names, new_fingerprint=key, cache_file_name=str(folder / f"{key}.arrow"),
    )  # fmt: skip
    kind = torch.float32 if task.spec.regression else torch.long
    return Encoded(inputs, torch.tensor(np.asarray(chosen["label"]), dtype=kind), torch.tensor(rows), tokenizer, key)


def _tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of a tokenizer, whatever it was asked to cut or pad before."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    said = json.loads(backend.to_str()) if backend is not None else tokenizer.get_vocab()
    said = {name: part for name, part in said.items() if name not in ("truncation", "padding")}
    return digest(said, type(tokenizer).__name__, list(tokenizer.model_input_names), tokenizer.truncation_side)


def training_batches(data: Encoded, size: int, seed: int, epoch: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
    """Shuffled, length-grouped batches of exactly `size` examples; the rest of an epoch's shuffle is dropped.

    The order depends on the seed and the epoch alone. With `world` processes each takes its share of the same batches.
    Raises ValueError if the batch can't be shared equally or there are fewer examples than one batch.
    """
    if size % world or len(data) < size:
        raise ValueError(f"a batch of {size} needs at least {size} examples (there are {len(data)}) and must divide by {world}")
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order, lengths = torch.randperm(len(data), generator=generator).tolist(), data.lengths
    batches = []
    for start in range(0, len(order), 32 * size):  # sort within 32 batches: little padding, still shuffled
        group = sorted(order[start : start + 32 * size], key=lengths.__getitem__)
        batches += [group[i : i + size] for i in range(0, len(group) - size + 1, size)]
    for position in torch.randperm(len(batches), generator=generator).tolist():
        yield data.batch(batches[position][rank::world])


def steps_per_epoch(examples: int, size: int) -> int:
    """Batches that `training_batches` yields in one epoch."""
    return sum(min(32 * size, examples - start) // size for start in range(0, examples, 32 * size))


def evaluation_batches(data: Encoded, size: int = 128) -> Iterator[Batch]:
    """All examples once, longest first, in large batches; find the order back by `rows`."""
    order = sorted(range(len(data)), key=data.lengths.__getitem__, reverse=True)
    for start in range(0, len(order), size):
        yield data.batch(order[start : start + size])
