"""Batches of BERT's two tasks: guess the masked words, and tell a wrong second segment."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from data.encoder.make.segments import POOL, Segments, segment_pairs
from data.encoder.make.settings import WrongSegments
from ukd.data.batches import Batch

IGNORED = -100  # label of a token that is not asked for
FEW = 4  # tokens that differ where one word was replaced or two were exchanged
MASKED_SHARE = 0.15  # of the tokens, as in BERT
Tokens = dict[str, list[int]]


class SegmentBatches:
    """Endless batches of a stream of paragraphs.

    Args:
        tokenizer: BERT's.
        max_length: tokens an example.
        batch_size: examples a batch.
        stream: seed -> paragraphs.
        wrong: how often the second segment is wrong, and how.
    """

    held_out_batches = 32

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        batch_size: int,
        stream: Callable[[int], Iterable[str]],
        wrong: WrongSegments | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.batch_size = batch_size
        self.stream = stream
        self.wrong = wrong or WrongSegments()

    def epoch(
        self, first_seed: int, steps: int, epoch: int, rank: int, world: int
    ) -> Iterator[Batch]:
        """`steps` batches of text for this epoch alone; every process takes its share of rows."""
        seed = first_seed + epoch
        for batch in islice(self.batches(self.stream(seed), seed=seed), steps):
            yield rows_of_process(batch, rank, world)

    def batches(self, paragraphs: Iterable[str], seed: int) -> Iterator[Batch]:
        """Length-grouped batches of the paragraphs.

        `labels`: (B, tokens), IGNORED where nothing is asked for. `rows`: (B,), 1 for a wrong
        second segment.
        """
        # The collator has a generator of its own: text does not depend on dropout's.
        mask = DataCollatorForLanguageModeling(
            self.tokenizer, mlm_probability=MASKED_SHARE, seed=seed
        )
        rng = random.Random(seed)
        pairs = segment_pairs(paragraphs, rng, self.wrong)
        while group := self._tokenized(islice(pairs, max(POOL, self.batch_size))):
            group.sort(key=_shown_length)
            batches = []
            for start in range(0, len(group) - self.batch_size + 1, self.batch_size):
                batches.append(group[start : start + self.batch_size])
            rng.shuffle(batches)
            for examples in batches:
                yield self._batch(examples, mask, rng)

    def _tokenized(
        self, pairs: Iterable[tuple[Segments, Segments]]
    ) -> list[tuple[Tokens, list[int]]]:
        """(tokens as shown, right tokens) of each pair."""
        return [(self._encode(shown), self._encode(right)["input_ids"]) for shown, right in pairs]

    def _encode(self, segments: Segments) -> Tokens:
        return self.tokenizer(
            *segments,
            truncation=True,
            max_length=self.max_length,
            return_special_tokens_mask=True,
        )

    def _batch(
        self,
        examples: list[tuple[Tokens, list[int]]],
        mask: DataCollatorForLanguageModeling,
        rng: random.Random,
    ) -> Batch:
        masked = mask([shown for shown, _ in examples])
        labels = masked.pop("labels")
        wrong = []
        for row, (shown, right) in enumerate(examples):
            self.ask_for_right_words(labels[row], shown["input_ids"], right, rng)
            wrong.append(int(shown["input_ids"] != right))
        return Batch(dict(masked), labels, torch.tensor(wrong))

    def ask_for_right_words(
        self, labels: Tensor, shown: list[int], right: list[int], rng: random.Random
    ) -> None:
        """Make the right token the answer wherever another is shown, and as often elsewhere.

        BERT shows a random token in a tenth of the places it asks about. Ours reads well, so
        finding it takes a comparison with the first segment. Nothing is asked where the two have
        different lengths or differ in many tokens.

        Args:
            labels: (tokens,), changed in place.
        """
        if len(shown) != len(right):
            return
        different = [place for place in range(len(right)) if shown[place] != right[place]]
        if len(different) > FEW:
            return
        inner = range(1, len(right) - 1)
        same = rng.sample(inner, min(max(1, len(different)), len(inner)))
        for place in (*different, *same):
            if right[place] not in self.tokenizer.all_special_ids:
                labels[place] = right[place]


def rows_of_process(batch: Batch, rank: int, world: int) -> Batch:
    """The rows of a batch that one of several processes takes."""
    inputs = {name: tensor[rank::world] for name, tensor in batch.inputs.items()}
    return Batch(inputs, batch.labels[rank::world], batch.rows[rank::world])


def _shown_length(example: tuple[Tokens, list[int]]) -> int:
    return len(example[0]["input_ids"])
