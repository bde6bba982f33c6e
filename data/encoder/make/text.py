"""Unlabelled text as pretraining reads it: two segments, words masked, and a second segment that may be wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, islice
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from data.synthetic.make import discourse
from ukd.data.batches import Batch

FEW = 4  # tokens that differ where one word was replaced or two were exchanged
SMALL = 3  # letters up to which a word says less than the one it stands before
POOL = 512
WORDS = re.compile(r"\w+|\W+")
SENTENCE_END = re.compile(r"(?<=[.?!]) |(?<=[.?!][\"”’']) ")
Example = tuple[tuple[str, ...], tuple[str, ...]]


class Wrong(NamedTuple):
    """How often the second segment is wrong, and how: another's, two random words exchanged, two of a kind, one replaced."""

    other: float = 0.04
    shuffled: float = 0.06
    exchanged: float = 0.20
    replaced: float = 0.20


USUAL = Wrong()


class PairedText:
    """Batches of BERT's two tasks: guess the masked words, and tell whether the second segment is the right one.

    BERT's own wrong segments come from another document, which names alone give away. So most of ours are the right one
    with two words of a kind exchanged (names, nouns after "the") or one replaced by another of its kind: they read well, and
    to tell them the first token has to compare what the segments say (our choice).
    """

    held_out_batches = 32

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        length: int,
        batch: int,
        source: Callable[[int], Iterable[str]] = discourse,
        wrong: Wrong = USUAL,
    ) -> None:
        self.tokenizer, self.length, self.batch, self.source, self.wrong = (
            tokenizer,
            length,
            batch,
            source,
            wrong,
        )

    def epoch(self, first: int, steps: int, epoch: int, rank: int, world: int) -> Iterator[Batch]:
        """`steps` batches of text drawn for this epoch alone; every process reads all and takes its share."""
        for batch in islice(self.batches(self.source(first + epoch), seed=first + epoch), steps):
            yield share(batch, rank, world)

    def batches(self, paragraphs: Iterable[str], seed: int) -> Iterator[Batch]:
        """Length-grouped batches. `labels`: (B, tokens), -100 where nothing was masked; `rows`: (B,), 1 for a wrong segment."""
        mask = DataCollatorForLanguageModeling(
            self.tokenizer, mlm_probability=0.15, seed=seed
        )  # apart from dropout's dice
        rng = random.Random(seed)
        pool = examples(paragraphs, rng, self.wrong)
        options = {
            "truncation": True,
            "max_length": self.length,
            "return_special_tokens_mask": True,
        }
        encode = lambda segments: self.tokenizer(*segments, **options)
        while group := [
            (encode(shown), tokenize_split(right)["input_ids"])
            for shown, right in islice(pool, max(POOL, self.batch))
        ]:
            group.sort(key=lambda example: len(example[0]["input_ids"]))
            batches = [
                group[i : i + self.batch] for i in range(0, len(group) - self.batch + 1, self.batch)
            ]
            rng.shuffle(batches)
            for chosen in batches:
                masked = mask([shown for shown, _ in chosen])
                labels = masked.pop("labels")
                for row, (shown, right) in enumerate(chosen):
                    self.ask_for_the_right_word(labels[row], shown["input_ids"], right, rng)
                wrong = torch.tensor([int(shown["input_ids"] != right) for shown, right in chosen])
                yield Batch(dict(masked), labels, wrong)

    def ask_for_the_right_word(
        self, labels: Tensor, shown: list[int], right: list[int], rng: random.Random
    ) -> None:
        """Make the right token the answer wherever another is shown, and as often where the shown one is right.

        BERT shows a random token in a tenth of the places it asks about; ours is one that reads well, so that finding it
        takes a comparison with the first segment. Where the two have different lengths, or little in common, nothing is asked.
        """
        if len(shown) != len(right):
            return
        other = [
            place for place, (one, two) in enumerate(zip(shown, right, strict=True)) if one != two
        ]
        if len(other) > FEW:
            return
        same = rng.sample(range(1, len(right) - 1), min(max(1, len(other)), len(right) - 2))
        for place in (*other, *same):
            if right[place] not in self.tokenizer.all_special_ids:
                labels[place] = right[place]


def share(batch: Batch, rank: int, world: int) -> Batch:
    """The rows of a batch that one of several processes takes."""
    return Batch(
        {name: t[rank::world] for name, t in batch.inputs.items()},
        batch.labels[rank::world],
        batch.rows[rank::world],
    )


def examples(
    paragraphs: Iterable[str], rng: random.Random, wrong: Wrong = USUAL
) -> Iterator[Example]:
    """(segments as shown, right segments): paragraphs cut in two at the end of a sentence, a single sentence stays one.

    Shown and right are equal half of the time; else the last segment as shown is wrong.
    """
    paragraphs = iter(paragraphs)
    while texts := list(islice(paragraphs, POOL)):
        cut = [split_in_two(text, rng) for text in texts]
        plain = {word for text in texts for word in re.findall(r"\b[a-z]+", text)}
        stock: dict[str, list[str]] = {}
        for segments in cut:
            parts = WORDS.findall(segments[-1])
            for place, kind in kinds(parts, plain):
                stock.setdefault(kind, []).append(parts[place])
        for segments in cut:
            yield (
                (*segments[:-1], spoil(segments, rng.choice(cut)[-1], stock, plain, rng, wrong)),
                segments,
            )


def spoil(
    segments: tuple[str, ...],
    foreign: str,
    stock: dict[str, list[str]],
    plain: set[str],
    rng: random.Random,
    wrong: Wrong = USUAL,
) -> str:
    """The last segment, right half of the time, else `foreign`, or with two words exchanged or one replaced.

    Mostly these are words of a kind: the changed segment reads as well as the right one, and only the first tells it is wrong.
    """
    fate, right = rng.random(), segments[-1]
    if fate > sum(wrong):
        return right
    if fate < wrong.other and len(segments) == 2:
        return foreign
    parts, held = (
        WORDS.findall(right),
        set(WORDS.findall(segments[0].lower())) if len(segments) == 2 else set(),
    )
    places = kinds(parts, plain)
    known = lambda *chosen: all(parts[place].lower() in held for place in chosen)
    pairs = [
        (i, j)
        for (i, one), (j, other) in combinations(places, 2)
        if one == other and parts[i].lower() != parts[j].lower()
    ]
    words = [place for place, part in enumerate(parts) if part[0].isalnum()]
    if fate < sum(wrong[:2]) and len(words) > 1:
        exchange(parts, *rng.sample(words, 2))
    elif fate < sum(wrong[:3]) and pairs:
        exchange(parts, *rng.choice([pair for pair in pairs if known(*pair)] or pairs))
    elif places:
        place, kind = rng.choice([found for found in places if known(found[0])] or places)
        parts[place] = rng.choice(stock[kind])
    changed = "".join(parts)
    return changed if changed.lower() != right.lower() else right


def exchange(parts: list[str], one: int, other: int) -> None:
    """Let two parts change places."""
    parts[one], parts[other] = parts[other], parts[one]


def kinds(parts: list[str], plain: set[str]) -> list[tuple[int, str]]:
    """(place, kind) of the words that others can stand in for: names, and words by the small word before them.

    parts: words and what is between them; plain: words that occur uncapitalised, which are no names.
    """
    found, before = [], ""
    for place, part in enumerate(parts):
        if not part[0].isalpha():
            before = "" if set(part) & set(".?!") else before
            continue
        if part[0].isupper() and part.lower() not in plain:
            found.append((place, "name"))
        elif part.islower() and len(part) > SMALL and before and len(before) <= SMALL:
            found.append((place, before))
        before = part.lower()
    return found


def split_in_two(paragraph: str, rng: random.Random) -> tuple[str, ...]:
    """(first, second) at the end of a random sentence, or the one sentence alone."""
    sentences = SENTENCE_END.split(paragraph)
    if len(sentences) == 1:
        return (paragraph,)
    at = rng.randrange(1, len(sentences))
    return " ".join(sentences[:at]), " ".join(sentences[at:])
