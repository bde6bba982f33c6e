"""Paraphrase pairs: the same transformations with the roles kept or disturbed.

Every family draws the two surface forms first and the roles after, so that the words of a pair
say next to nothing about its label.
"""

import random
from dataclasses import replace

from data.synthetic.make import events
from data.synthetic.make import lexicon as lex
from data.synthetic.make.base import Grammar, flip, plural, sentence
from data.synthetic.make.events import Event

LABELS = ("not_equivalent", "equivalent")
SHARES = (0.33, 0.67)


def _boxed(rng: random.Random) -> str:
    """A thing that can be changed in its number: "box of six lemons"."""
    content = plural(rng.choice(lex.SMALL))
    return f"{rng.choice(('box', 'bag', 'basket'))} of {rng.choice(lex.NUMBERS)} {content}"


def _other_thing(rng: random.Random, event: Event) -> str:
    """Another thing; a box of so many things changes only its number."""
    words = event.t.split()
    if len(words) > 1:
        words[2] = lex.pick(rng, lex.NUMBERS, words[2])
        return " ".join(words)
    return lex.pick(rng, events.things(event.frame), event.t)


def altered(rng: random.Random, event: Event) -> Event:
    """An event that differs from `event` in one role, mostly by exchanging the people."""
    if "b" in event.frame.roles and flip(rng, 0.6):
        return event.swapped()
    if "t" in event.frame.roles and flip(rng):
        return replace(event, t=_other_thing(rng, event))
    return replace(event, a=events.person(rng, event.a, event.b))


def synonymous(rng: random.Random, event: Event) -> Event:
    """The event with each participant named, mostly, by a synonym where there is one."""
    words = {}
    for role in ("a", "b", "t"):
        word = getattr(event, role)
        words[role] = lex.synonym(word) if flip(rng, 0.7) else word
    return replace(event, **words)


def draw(rng: random.Random) -> Event:
    """An event, mostly a transfer, sometimes of a box of so many things."""
    event = events.draw(rng, events.TRANSFERS if flip(rng, 0.6) else events.FRAMES, 0.35)
    boxed = event.frame.roles == "abt" and flip(rng, 0.3)
    return replace(event, t=_boxed(rng)) if boxed else event


def _event(rng: random.Random, same: bool) -> tuple[str, str, int]:
    """One event told twice: converse verbs, passives, datives and synonyms."""
    event = draw(rng)
    first, way = events.tell(rng, event)
    other = synonymous(rng, event if same else altered(rng, event))
    return first, events.tell(rng, other, avoid=way)[0], 1


def related(rng: random.Random) -> tuple[str, str, tuple[str, str]]:
    """Two participants and a relation between them with its converse, as phrases."""
    kind = rng.randrange(3)
    if kind == 1:
        one = rng.choice(lex.OUTSIDE)
        two = "the " + lex.pick(rng, lex.OUTSIDE, one)
        return "the " + one, two, tuple("was " + word for word in rng.choice(lex.CONVERSES))
    one = events.person(rng)
    two = events.person(rng, one)
    if kind == 2:
        return one, two, tuple("was " + word for word in rng.choice(lex.KIN))
    return one, two, tuple(f"was {word} than" for word in rng.choice(lex.OPPOSITES))


def _relation(rng: random.Random, same: bool) -> tuple[str, str, int]:
    """A relation and its converse; equivalent where the participants change places too."""
    one, two, words = related(rng)
    left = rng.randrange(2)
    time = rng.choice(("", " at that time", " in those days", " then"))
    first = f"{one} {words[left]} {two}{time}"
    ends = (two, one) if same else (one, two)
    return first, f"{ends[0]} {words[1 - left]} {ends[1]}{time}", 1


ORDERS = ("{x} before {y}", "before {y}, {x}", "{y} after {x}", "after {x}, {y}")


def _sequence(rng: random.Random, same: bool) -> tuple[str, str, int]:
    """Two events in order; disturbed by exchanging their order or the people of one."""
    x = events.draw(rng, events.FRAMES, 0)
    y = events.draw(rng, events.FRAMES, 0)
    x1, x_way = events.tell(rng, x, cleft=False)
    y1, y_way = events.tell(rng, y, cleft=False)
    order = rng.choice(ORDERS)
    first = order.format(x=x1, y=y1)
    retold = flip(rng)
    if not same and flip(rng):
        x, y, x_way, y_way = y, x, y_way, x_way
    elif not same:
        x = altered(rng, x)
        retold = True
    x1 = events.tell(rng, x, avoid=x_way, cleft=False)[0] if retold else events.clause(x, x_way)
    second = lex.pick(rng, ORDERS, order).format(x=x1, y=events.clause(y, y_way))
    return first, second, 2


FAMILIES = (_event, _event, _event, _relation, _sequence, _sequence)


def generate(rng: random.Random) -> dict:
    """One pair of sentences and whether they mean the same."""
    label = int(flip(rng, SHARES[1]))
    first, second, hops = rng.choice(FAMILIES)(rng, bool(label))
    return {
        "sentence1": sentence(first),
        "sentence2": sentence(second),
        "label": label,
        "difficulty": hops,
    }


GRAMMAR = Grammar(
    "paraphrase",
    ("sentence1", "sentence2"),
    LABELS,
    {"train": 6000, "validation": 2000},
    generate,
    "Do two sentences tell the same event or relation?",
    SHARES,
)
