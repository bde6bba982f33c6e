"""Tokenised splits, and length-grouped batches of them.

Texts are tokenised once and kept in the cache. N examples, B of them in a batch.
"""

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
from datasets import Dataset
from torch import Tensor
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ukd.config.choices import SELECTION_SPLITS
from ukd.config.keys import config_hash
from ukd.config.paths import cache_folder
from ukd.config.presets import TrainingConfig
from ukd.config.verified import build_verified
from ukd.data.tasks import Task, scored_rows, train_dev_split

GROUP = 32  # batches whose examples are sorted by length together: little padding, still shuffled
TOKENS_FILE = "tokens.arrow"
EVALUATION_SIZE = 128  # examples
EVALUATION_TOKENS = 128  # an example, up to which that many are taken
SEED_STEP = 1_000_003  # apart, so that no seed's epoch is another seed's


@dataclass(frozen=True)
class TokenizedSplit:
    """Tokenised examples.

    Attributes:
        inputs: lists of tokens by name, unpadded, memory-mapped.
        labels: (N,).
        rows: (N,), their numbers in the split.
        tokenizer: pads them.
        key: of all that made the tokens.
        split: of the task, whose rows these are: "train" for a development part drawn from it.
    """

    inputs: Dataset
    labels: Tensor
    rows: Tensor
    tokenizer: PreTrainedTokenizerBase
    key: str
    split: str

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, (N,)."""
        return pc.list_value_length(self.inputs.data.column("input_ids")).to_numpy()

    @cached_property
    def _collator(self) -> DataCollatorWithPadding:
        if self.tokenizer.padding_side != "right":
            raise ValueError(
                f"the tokenizer pads on the {self.tokenizer.padding_side}, where the first token "
                "is read: set its padding_side to 'right', as load_tokenizer does"
            )
        return DataCollatorWithPadding(self.tokenizer)

    def first(self, count: int) -> TokenizedSplit:
        """The first `count` examples."""
        count = min(count, len(self))
        return TokenizedSplit(
            self.inputs.select(range(count)),
            self.labels[:count],
            self.rows[:count],
            self.tokenizer,
            f"{self.key}-{count}",
            self.split,
        )

    def batch(self, positions: list[int]) -> Batch:
        """The examples at these positions, padded to the longest of them."""
        padded = self._collator(self.inputs[positions])
        index = torch.tensor(positions)
        return Batch(dict(padded), self.labels[index], self.rows[index])


@dataclass(frozen=True)
class Batch:
    """Examples to train on or to evaluate.

    inputs: name -> (B, tokens). labels: (B,). rows: (B,), by which a teacher's cached logits are
    found.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    rows: Tensor

    def to(self, device: str | torch.device) -> Batch:
        """The same batch on a device; the copy does not wait."""
        inputs = {name: _moved(tensor, device) for name, tensor in self.inputs.items()}
        return Batch(inputs, _moved(self.labels, device), _moved(self.rows, device))


def _moved(tensor: Tensor, device: str | torch.device) -> Tensor:
    # A copy to a GPU that does not wait needs pinned memory.
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def tokenize_split(
    task: Task,
    split: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    rows: list[int] | None = None,
) -> TokenizedSplit:
    """Tokenise rows of a split; the tokens are then found in the cache.

    Args:
        split: one of the task's.
        max_length: tokens an example is cut to.
        rows: their numbers, by default all.

    Raises: ValueError for more tokens than the tokenizer's model has positions for, and for so few
    that no token of a text is left.
    """
    task.check_rows()
    check_length(task, tokenizer, max_length)
    if rows is None:
        rows = list(range(len(task.dataset[split])))
    key = config_hash(
        task.fingerprint,
        split,
        hashlib.sha256(np.asarray(rows).tobytes()).hexdigest(),
        _tokenizer_key(tokenizer),
        max_length,
    )
    selected = task.dataset[split].select(rows)

    def tokenize(texts: dict[str, list[str]]) -> dict[str, list]:
        columns = [texts[column] for column in task.spec.columns]
        return dict(tokenizer(*columns, truncation=True, max_length=max_length, padding=False))

    folder = cache_folder() / "tokens" / key

    def make(building: Path) -> None:
        selected.map(
            tokenize,
            batched=True,
            remove_columns=selected.column_names,
            new_fingerprint=key,
            cache_file_name=str(building / TOKENS_FILE),
        )

    build_verified(folder, make, {"kind": "tokens", "task": task.name, "split": split}, "tokens")
    inputs = Dataset.from_file(str(folder / TOKENS_FILE))
    dtype = torch.float32 if task.spec.regression else torch.long
    labels = torch.tensor(np.asarray(selected["label"]), dtype=dtype)
    return TokenizedSplit(inputs, labels, torch.tensor(rows), tokenizer, key, split)


def check_length(task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    """Raise ValueError for too many tokens an example, and for so few that none of a text is left.

    The tokenizer says how many its model has positions for.
    """
    pair = len(task.spec.columns) == 2
    # Of one token a text neither its order nor its difference to another could be seen.
    least = tokenizer.num_special_tokens_to_add(pair) + 2 * len(task.spec.columns)
    if max_length < least:
        raise ValueError(
            f"{max_length} tokens an example leave none of the text: at least {least} are needed "
            "(--max-length)"
        )
    if max_length > tokenizer.model_max_length:
        raise ValueError(
            f"the encoder reads at most {tokenizer.model_max_length} tokens, and {max_length} are "
            "asked for (--max-length)"
        )


def _tokenizer_key(tokenizer: PreTrainedTokenizerBase) -> str:
    """Key of a tokenizer, whatever it was asked to cut or pad before."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content = tokenizer.get_vocab()
    else:
        content = json.loads(backend.to_str())
        for setting in ("truncation", "padding"):
            content.pop(setting, None)
    kind = type(tokenizer).__name__
    inputs = list(tokenizer.model_input_names)
    return config_hash(content, kind, inputs, tokenizer.truncation_side)


def training_batches(
    data: TokenizedSplit, size: int, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """Shuffled, length-grouped batches of exactly `size` examples; what is left over is dropped.

    The order depends on the seed and the epoch alone. With `world` processes each takes its part of
    the same batches.

    Raises: ValueError for a batch that can't be divided equally, and for fewer examples than one
    batch.
    """
    if size % world or len(data) < size:
        raise ValueError(
            f"a batch of {size} needs at least {size} examples (there are {len(data)}) and must "
            f"divide by {world}: take smaller ones (batch_size, --batch-size)"
        )
    generator = torch.Generator().manual_seed(SEED_STEP * seed + epoch)
    order = torch.randperm(len(data), generator=generator).tolist()
    lengths = data.lengths
    batches = []
    for start in range(0, len(order), GROUP * size):
        group = sorted(order[start : start + GROUP * size], key=lengths.__getitem__)
        for first in range(0, len(group) - size + 1, size):
            batches.append(group[first : first + size])
    for number in torch.randperm(len(batches), generator=generator).tolist():
        yield data.batch(batches[number][rank::world])


def steps_per_epoch(examples: int, size: int) -> int:
    """Batches that `training_batches` yields in one epoch."""
    whole_groups, rest = divmod(examples, GROUP * size)
    return whole_groups * GROUP + rest // size


def evaluation_batches(data: TokenizedSplit, size: int = EVALUATION_SIZE) -> Iterator[Batch]:
    """All examples once, longest first; `rows` tells which they are.

    A batch has `size` examples of up to 128 tokens, and fewer of longer ones, so that memory stays
    bounded.
    """
    order = sorted(range(len(data)), key=data.lengths.__getitem__, reverse=True)
    start = 0
    while start < len(order):
        longest = max(EVALUATION_TOKENS, int(data.lengths[order[start]]))
        end = start + max(1, size * EVALUATION_TOKENS // longest)
        yield data.batch(order[start:end])
        start = end


def tokenized_splits(
    task: Task, tokenizer: PreTrainedTokenizerBase, config: TrainingConfig
) -> tuple[TokenizedSplit, TokenizedSplit, TokenizedSplit]:
    """Train, development part and validation, tokenised.

    The development part is drawn from train by a fixed seed. With `config.selection_split`
    "validation" it is the validation split itself, and train stays whole.

    Raises: ValueError for another selection split.
    """
    if config.selection_split not in SELECTION_SPLITS:
        raise ValueError(
            f"unknown selection_split {config.selection_split!r}; choose one of: "
            f"{', '.join(SELECTION_SPLITS)}"
        )
    train, dev = train_dev_split(task, seed=0, most=config.max_train)
    scored = scored_rows(task, "validation", config.max_validation)
    validation = tokenize_split(task, "validation", tokenizer, config.max_length, scored)
    if config.selection_split == "validation":
        whole = tokenize_split(task, "train", tokenizer, config.max_length, sorted(train + dev))
        return whole, validation, validation
    return (
        tokenize_split(task, "train", tokenizer, config.max_length, train),
        tokenize_split(task, "train", tokenizer, config.max_length, dev),
        validation,
    )


def extra_splits(
    task: Task, tokenizer: PreTrainedTokenizerBase, config: TrainingConfig
) -> dict[str, TokenizedSplit]:
    """Further splits that are scored and reported by themselves: MNLI's mismatched part."""
    name = task.spec.extra_split
    if name not in task.dataset:
        return {}
    rows = scored_rows(task, name, config.max_validation)
    return {name: tokenize_split(task, name, tokenizer, config.max_length, rows)}
