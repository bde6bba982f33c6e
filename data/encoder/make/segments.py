"""Pairs of segments as BERT reads them; the second one is wrong half of the time.

BERT's own wrong segments come from another document, and their names alone give them away.
Most of ours are the right segment with two words of a kind exchanged, or one replaced. They read
well, so a model has to compare the two segments to tell (our choice).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, islice
from typing import TypeVar

from data.encoder.make.settings import WrongSegments

POOL = 512  # paragraphs from which foreign segments and replacements are drawn
SHORT = 3  # letters up to which a word tells the kind of the word after it
WORDS = re.compile(r"\w+|\W+")
SENTENCE_END = re.compile(r"(?<=[.?!]) |(?<=[.?!][\"”’']) ")
Segments = tuple[str, ...]
Item = TypeVar("Item")


def segment_pairs(
    paragraphs: Iterable[str], rng: random.Random, wrong: WrongSegments
) -> Iterator[tuple[Segments, Segments]]:
    """(segments as shown, right segments) of each paragraph.

    A paragraph is cut in two at the end of a sentence; a single sentence stays one segment.
    """
    paragraphs = iter(paragraphs)
    while texts := list(islice(paragraphs, POOL)):
        cut = [split_in_two(text, rng) for text in texts]
        uncapitalised = set()
        for text in texts:
            uncapitalised.update(re.findall(r"\b[a-z]+", text))
        stock: dict[str, list[str]] = {}
        for segments in cut:
            parts = WORDS.findall(segments[-1])
            for place, kind in words_of_a_kind(parts, uncapitalised):
                stock.setdefault(kind, []).append(parts[place])
        for segments in cut:
            foreign = rng.choice(cut)[-1]
            shown = spoil(segments, foreign, stock, uncapitalised, rng, wrong)
            yield (*segments[:-1], shown), segments


def split_in_two(paragraph: str, rng: random.Random) -> Segments:
    """(first, second) at the end of a random sentence, or the one sentence alone."""
    sentences = SENTENCE_END.split(paragraph)
    if len(sentences) == 1:
        return (paragraph,)
    end = rng.randrange(1, len(sentences))
    return " ".join(sentences[:end]), " ".join(sentences[end:])


def spoil(
    segments: Segments,
    foreign: str,
    stock: dict[str, list[str]],
    uncapitalised: set[str],
    rng: random.Random,
    wrong: WrongSegments,
) -> str:
    """The last segment, as it is or made wrong.

    Args:
        segments: the right ones, one or two.
        foreign: a segment of another paragraph.
        stock: words by kind, to replace others with.
        uncapitalised: words that occur without a capital, which are no names.
    """
    fate = rng.random()
    right = segments[-1]
    other, shuffled, exchanged, any_wrong = wrong.thresholds()
    if fate > any_wrong:
        return right
    if fate < other and len(segments) == 2:
        return foreign
    parts = WORDS.findall(right)
    places = words_of_a_kind(parts, uncapitalised)
    pairs = _pairs_of_a_kind(parts, places)
    words = [place for place, part in enumerate(parts) if part[0].isalnum()]
    first = set(WORDS.findall(segments[0].lower())) if len(segments) == 2 else set()

    def known(*chosen: int) -> bool:
        return all(parts[place].lower() in first for place in chosen)

    if fate < shuffled and len(words) > 1:
        _exchange(parts, *rng.sample(words, 2))
    elif fate < exchanged and pairs:
        _exchange(parts, *rng.choice(_preferred(pairs, lambda pair: known(*pair))))
    elif places:
        place, kind = rng.choice(_preferred(places, lambda found: known(found[0])))
        parts[place] = rng.choice(stock[kind])
    changed = "".join(parts)
    return changed if changed.lower() != right.lower() else right


def words_of_a_kind(parts: Sequence[str], uncapitalised: set[str]) -> list[tuple[int, str]]:
    """(place, kind) of the words that others can stand in for.

    The kind is "name", or the short word that stands before, as in "the" for nouns.

    Args:
        parts: words and what is between them.
        uncapitalised: words that occur without a capital, which are no names.
    """
    found = []
    before = ""
    for place, part in enumerate(parts):
        if not part[0].isalpha():
            before = "" if set(part) & set(".?!") else before
            continue
        if part[0].isupper() and part.lower() not in uncapitalised:
            found.append((place, "name"))
        elif part.islower() and len(part) > SHORT and before and len(before) <= SHORT:
            found.append((place, before))
        before = part.lower()
    return found


def _pairs_of_a_kind(
    parts: Sequence[str], places: Sequence[tuple[int, str]]
) -> list[tuple[int, int]]:
    """Places of two different words of one kind."""
    pairs = []
    for (one, kind), (other, other_kind) in combinations(places, 2):
        if kind == other_kind and parts[one].lower() != parts[other].lower():
            pairs.append((one, other))
    return pairs


def _preferred(candidates: list[Item], known: Callable[[Item], bool]) -> list[Item]:
    """Those whose words the first segment has, too; all where there are none."""
    return [candidate for candidate in candidates if known(candidate)] or candidates


def _exchange(parts: list[str], one: int, other: int) -> None:
    """Let two parts change places."""
    parts[one], parts[other] = parts[other], parts[one]
