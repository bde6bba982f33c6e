"""Unlabelled text as pretraining reads it: two segments, words masked, and a second segment that may be wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from ukd.data import Batch
from ukd.grammar import discourse

OTHER_PARAGRAPH, EXCHANGED, REPLACED = 0.1, 0.25, 0.15  # how often the second segment is wrong, and how; the rest is right
LONG = 4  # letters from which a word counts as saying something
POOL = 512
SENTENCE_END = re.compile(r"(?<=[.?!]) |(?<=[.?!][\"”’']) ")
Example = tuple[tuple[str, ...], int]


class PairedText:
    """Batches of BERT's two tasks: guess the masked words, and tell whether the second segment is the right one.

    BERT's own wrong segments come from another document, which names alone give away. So most of ours are the right one
    with two of its words exchanged or one replaced, where possible words that the first segment holds too: to tell, the
    first token has to compare what the segments say (our choice).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, length: int, batch: int, source: Callable[[int], Iterable[str]] = discourse
    ) -> None:
        self.tokenizer, self.length, self.batch, self.source = tokenizer, length, batch, source

    def epoch(self, first: int, steps: int, epoch: int, rank: int, world: int) -> Iterator[Batch]:
        """`steps` batches of text that no other epoch draws; every process reads all and takes its share."""
        for batch in islice(self.batches(self.source(first + epoch), seed=first + epoch), steps):
            yield Batch({name: t[rank::world] for name, t in batch.inputs.items()}, batch.labels[rank::world], batch.rows[rank::world])

    def batches(self, paragraphs: Iterable[str], seed: int) -> Iterator[Batch]:
        """Length-grouped batches. `labels`: (B, tokens), -100 where nothing was masked; `rows`: (B,), 1 for a wrong segment."""
        mask = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15, seed=seed)  # apart from dropout's dice
        dice = random.Random(seed)
        pool = examples(paragraphs, dice)
        options = {"truncation": True, "max_length": self.length, "return_special_tokens_mask": True}
        while group := [(self.tokenizer(*segments, **options), wrong) for segments, wrong in islice(pool, POOL)]:
            group.sort(key=lambda example: len(example[0]["input_ids"]))
            batches = [group[i : i + self.batch] for i in range(0, len(group) - self.batch + 1, self.batch)]
            dice.shuffle(batches)
            for chosen in batches:
                masked = mask([tokens for tokens, _ in chosen])
                labels = masked.pop("labels")
                yield Batch(dict(masked), labels, torch.tensor([wrong for _, wrong in chosen]))


def examples(paragraphs: Iterable[str], dice: random.Random) -> Iterator[Example]:
    """((first, second), wrong): every paragraph cut in two at the end of a sentence; a single sentence stays one segment."""
    paragraphs = iter(paragraphs)
    while texts := list(islice(paragraphs, POOL)):
        cut = [split_in_two(text, dice) for text in texts]
        for segments in cut:
            second, other = spoil(segments, dice.choice(cut)[-1], dice), segments[-1]
            yield (*segments[:-1], second), int(second != other)


def spoil(segments: tuple[str, ...], foreign: str, dice: random.Random) -> str:
    """The last segment, right half of the time, else `foreign` or changed in one or two words."""
    fate, right = dice.random(), segments[-1]
    if fate < OTHER_PARAGRAPH and len(segments) == 2:
        return foreign
    if fate > OTHER_PARAGRAPH + EXCHANGED + REPLACED:
        return right
    parts = re.findall(r"\w+|\W+", right)
    places = telling(parts, segments[0] if len(segments) == 2 else "", dice)
    if not places:
        return right
    if fate > OTHER_PARAGRAPH + EXCHANGED:
        words = [word for word in re.findall(r"\w+", foreign) if len(word) >= LONG and word.istitle() == parts[places[0]].istitle()]
        parts[places[0]] = dice.choice(words or [parts[places[0]]])
    elif len(places) == 2:
        one, other = places
        parts[one], parts[other] = parts[other], parts[one]
    changed = "".join(parts)
    return changed if changed.lower() != right.lower() else right


def telling(parts: list[str], first: str, dice: random.Random) -> list[int]:
    """Up to two places of words to change: long ones that `first` holds too, else any."""
    words = [index for index, part in enumerate(parts) if part[0].isalnum()]
    held = set(re.findall(r"\w+", first.lower()))
    shared = [index for index in words if len(parts[index]) >= LONG and parts[index].lower() in held]
    chosen = shared if len(shared) >= 2 else words
    return dice.sample(chosen, min(2, len(chosen)))


def split_in_two(paragraph: str, dice: random.Random) -> tuple[str, ...]:
    """(first, second) at the end of a random sentence, or the one sentence alone."""
    sentences = SENTENCE_END.split(paragraph)
    if len(sentences) == 1:
        return (paragraph,)
    at = dice.randrange(1, len(sentences))
    return " ".join(sentences[:at]), " ".join(sentences[at:])
