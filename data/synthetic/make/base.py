"""What every grammar shares: its description and the finishing touches on a sentence."""

import random
from collections.abc import Callable
from dataclasses import dataclass

VOWELS = "aeiou"
IRREGULAR = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "person": "people",
    "fish": "fish",
    "trout": "trout",
    "salmon": "salmon",
    "carp": "carp",
    "herring": "herring",
    "loaf": "loaves",
    "knife": "knives",
    "shelf": "shelves",
    "scarf": "scarves",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "photo": "photos",
    "piano": "pianos",
}


@dataclass(frozen=True)
class Grammar:
    """One task of the suite: how to draw an example and how many to draw.

    `shares` gives the wanted share of every label; None leaves the labels as they fall.
    """

    name: str
    columns: tuple[str, ...]
    label_names: tuple[str, ...] | None
    sizes: dict[str, int]
    generate: Callable[[random.Random], dict]
    summary: str
    shares: tuple[float, ...] | None = None


def words(text: str, separator: str | None = None) -> tuple[str, ...]:
    """The words of `text`, or its phrases where a separator is given."""
    return tuple(text.split(separator))


def pairs(text: str, separator: str | None = None) -> tuple[tuple[str, str], ...]:
    """The pairs of `text`, whose words or phrases read "one/two"."""
    return tuple((one, two) for one, _, two in (p.partition("/") for p in text.split(separator)))


def sentence(text: str, end: str = ".") -> str:
    """`text` with a capital at the start and `end` at the end."""
    return text[0].upper() + text[1:] + end


def indefinite(phrase: str) -> str:
    """`phrase` with the indefinite article its first letter asks for."""
    return ("an " if phrase[0] in VOWELS else "a ") + phrase


def plural(noun: str) -> str:
    """The plural of a singular noun."""
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def third(verb: str) -> str:
    """The third person singular of a regular verb's base form."""
    return plural(verb)


def flip(rng: random.Random, chance: float = 0.5) -> bool:
    """True with probability `chance`."""
    return rng.random() < chance
