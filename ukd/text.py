"""Unlabelled text as pretraining reads it: two segments, words masked, and a second segment that may be wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from ukd.data import Batch
from ukd.grammar import discourse

OTHER_PARAGRAPH, TWO_WORDS_EXCHANGED = 0.15, 0.35  # how often the second segment is wrong, and how; the rest is right
POOL = 512
Example = tuple[tuple[str, ...], int]


class PairedText:
    """Batches of BERT's two tasks: guess the masked words, and tell whether the second segment is the right one.

    BERT's own wrong segments come from another document, which names alone give away. So most of ours are the right one
    with two of its words exchanged: to tell, the first token has to compare what the segments say (our choice).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, length: int, batch: int) -> None:
        self.tokenizer, self.length, self.batch = tokenizer, length, batch

    def epoch(self, first: int, steps: int, epoch: int, rank: int, world: int) -> Iterator[Batch]:
        """`steps` batches of discourse that no other epoch reads; every process reads all and takes its share."""
        for batch in islice(self.batches(discourse(first + epoch), seed=first + epoch), steps):
            yield Batch({name: t[rank::world] for name, t in batch.inputs.items()}, batch.labels[rank::world], batch.rows[rank::world])

    def batches(self, paragraphs: Iterable[str], seed: int) -> Iterator[Batch]:
        """Length-grouped batches. `labels`: (B, tokens), -100 where nothing was masked; `rows`: (B,), 1 for a wrong segment."""
        mask = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15, seed=seed)  # apart from dropout's dice
        dice = random.Random(seed)
        pool = examples(paragraphs, dice)
        while group := sorted(islice(pool, POOL), key=lambda example: sum(map(len, example[0]))):
            batches = [group[i : i + self.batch] for i in range(0, len(group) - self.batch + 1, self.batch)]
            dice.shuffle(batches)
            for chosen in batches:
                options = {"truncation": True, "max_length": self.length, "return_special_tokens_mask": True}
                masked = mask([self.tokenizer(*segments, **options) for segments, _ in chosen])
                labels = masked.pop("labels")
                yield Batch(dict(masked), labels, torch.tensor([wrong for _, wrong in chosen]))


def examples(paragraphs: Iterable[str], dice: random.Random) -> Iterator[Example]:
    """((first, second), wrong): every paragraph cut in two at the end of a sentence; a single sentence stays one segment."""
    paragraphs = iter(paragraphs)
    while texts := list(islice(paragraphs, POOL)):
        cut = [split_in_two(text, dice) for text in texts]
        for segments in cut:
            fate = dice.random()
            if fate < OTHER_PARAGRAPH and len(segments) == 2:
                yield (segments[0], dice.choice(cut)[-1]), 1
            elif fate < OTHER_PARAGRAPH + TWO_WORDS_EXCHANGED and (changed := exchange_two_words(segments[-1], dice)) != segments[-1]:
                yield (*segments[:-1], changed), 1
            else:
                yield segments, 0


def split_in_two(paragraph: str, dice: random.Random) -> tuple[str, ...]:
    """(first, second) at the end of a random sentence, or the one sentence alone."""
    sentences = re.split(r"(?<=[.?]) ", paragraph)
    if len(sentences) == 1:
        return (paragraph,)
    at = dice.randrange(1, len(sentences))
    return " ".join(sentences[:at]), " ".join(sentences[at:])


def exchange_two_words(text: str, dice: random.Random) -> str:
    """The text with two of its words in each other's place; punctuation stays."""
    parts = re.findall(r"\w+|\W+", text)
    words = [index for index, part in enumerate(parts) if part[0].isalnum()]
    if len(words) < 2:
        return text
    one, other = dice.sample(words, 2)
    parts[one], parts[other] = parts[other], parts[one]
    return "".join(parts) if parts[one].lower() != parts[other].lower() else text
