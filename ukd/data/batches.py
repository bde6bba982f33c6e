"""Tasks: the synthetic suite, GLUE from the hub or a folder, tokenised once and served in length-grouped batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import (
    Dataset,
)
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ukd.config.keys import config_hash
from ukd.config.paths import cache_folder
from ukd.config.presets import TrainingConfig
from ukd.data.tasks import (
    Task,
    train_dev_split,
)


@dataclass(frozen=True)
class TokenizedSplit:
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

    def first(self, count: int) -> TokenizedSplit:
        """The first `count` examples."""
        count = min(count, len(self))
        return TokenizedSplit(
            self.inputs.select(range(count)),
            self.labels[:count],
            self.rows[:count],
            self.tokenizer,
            f"{self.key}-{count}",
        )

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
        move = lambda tensor: (tensor.pin_memory() if pinned and not tensor.is_cuda else tensor).to(
            device, non_blocking=True
        )
        return Batch(
            {name: move(t) for name, t in self.inputs.items()}, move(self.labels), move(self.rows)
        )


def tokenize_split(
    task: Task,
    split: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    rows: list[int] | None = None,
) -> TokenizedSplit:
    """Tokenise the given rows of a split (all by default), cut to `max_length` tokens, unpadded; once, then found in the cache.

    Raises ValueError for more tokens than the tokenizer's model has positions for.
    """
    if max_length > tokenizer.model_max_length:
        raise ValueError(
            f"the encoder reads at most {tokenizer.model_max_length} tokens, and {max_length} are asked for (--max-length)"
        )
    if rows is None:
        rows = list(range(len(task.dataset[split])))
    chosen = task.dataset[split].select(rows)
    key = config_hash(
        task.fingerprint,
        split,
        hashlib.sha256(np.asarray(rows).tobytes()).hexdigest(),
        _tokenizer(tokenizer),
        max_length,
    )

    def tokens(texts: dict[str, list[str]]) -> dict[str, list]:
        columns = [texts[column] for column in task.spec.columns]
        return dict(tokenizer(*columns, truncation=True, max_length=max_length, padding=False))

    folder = cache_folder() / "tokens"
    folder.mkdir(parents=True, exist_ok=True)
    inputs = chosen.map(
        tokens,
        batched=True,
        remove_columns=chosen.column_names,
        new_fingerprint=key,
        cache_file_name=str(folder / f"{key}.arrow"),
    )
    kind = torch.float32 if task.spec.regression else torch.long
    return TokenizedSplit(
        inputs,
        torch.tensor(np.asarray(chosen["label"]), dtype=kind),
        torch.tensor(rows),
        tokenizer,
        key,
    )


def _tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of a tokenizer, whatever it was asked to cut or pad before."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    said = json.loads(backend.to_str()) if backend is not None else tokenizer.get_vocab()
    said = {name: part for name, part in said.items() if name not in ("truncation", "padding")}
    return config_hash(
        said, type(tokenizer).__name__, list(tokenizer.model_input_names), tokenizer.truncation_side
    )


def training_batches(
    data: TokenizedSplit, size: int, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """Shuffled, length-grouped batches of exactly `size` examples; the rest of an epoch's shuffle is dropped.

    The order depends on the seed and the epoch alone. With `world` processes each takes its share of the same batches.
    Raises ValueError if the batch can't be shared equally or there are fewer examples than one batch.
    """
    if size % world or len(data) < size:
        raise ValueError(
            f"a batch of {size} needs at least {size} examples (there are {len(data)}) and must divide by {world}"
        )
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order, lengths = torch.randperm(len(data), generator=generator).tolist(), data.lengths
    batches = []
    for start in range(
        0, len(order), 32 * size
    ):  # sort within 32 batches: little padding, still shuffled
        group = sorted(order[start : start + 32 * size], key=lengths.__getitem__)
        batches += [group[i : i + size] for i in range(0, len(group) - size + 1, size)]
    for position in torch.randperm(len(batches), generator=generator).tolist():
        yield data.batch(batches[position][rank::world])


def steps_per_epoch(examples: int, size: int) -> int:
    """Batches that `training_batches` yields in one epoch."""
    return sum(min(32 * size, examples - start) // size for start in range(0, examples, 32 * size))


def evaluation_batches(data: TokenizedSplit, size: int = 128) -> Iterator[Batch]:
    """All examples once, longest first, in large batches; find the order back by `rows`."""
    order = sorted(range(len(data)), key=data.lengths.__getitem__, reverse=True)
    for start in range(0, len(order), size):
        yield data.batch(order[start : start + size])


def tokenized_splits(
    task: Task, tokenizer, config: TrainingConfig
) -> tuple[TokenizedSplit, TokenizedSplit, TokenizedSplit]:
    """Train, development and validation parts, tokenised. Rows of train and development are carved by a fixed seed.

    With `config.selection_split` "validation" nothing is carved, and the development part is the validation split itself.
    """
    train, dev = train_dev_split(task, seed=0, most=config.max_train)
    validation = list(range(len(task.dataset["validation"])))[: config.max_validation]
    part = lambda split, rows: tokenize_split(task, split, tokenizer, config.max_length, rows)
    if config.selection_split == "validation":
        return (
            part("train", sorted(train + dev)),
            part("validation", validation),
            part("validation", validation),
        )
    if config.selection_split != "dev":
        raise ValueError(
            f"unknown part {config.selection_split!r} to select on; choose one of: dev, validation"
        )
    return part("train", train), part("train", dev), part("validation", validation)


def extra_splits(task: Task, tokenizer, config: TrainingConfig) -> dict[str, TokenizedSplit]:
    """Further splits that are scored and reported by themselves: MNLI's mismatched part."""
    if task.spec.extra_split not in task.dataset:
        return {}
    rows = list(range(len(task.dataset[task.spec.extra_split])))[: config.max_validation]
    return {
        task.spec.extra_split: tokenize_split(
            task, task.spec.extra_split, tokenizer, config.max_length, rows
        )
    }
