"""Graded similarity of two events.

The score starts at 5 and loses, down to 0:

=========  ==========================================================================
action     1.0 for a related action (sold, lent), 2.0 for an unrelated one
people     2.4 where the two people exchanged their roles, else 1.2 for every other person
thing      0.2 for a synonym, 0.4 for a hypernym or hyponym, 0.8 for another kind of the
           same (rose, tulip), 1.6 for anything else
place      0.8 for another place
time       0.6 for another time
=========  ==========================================================================

Voice, converse verbs, the dative alternation, synonymous verbs and word order cost nothing.
"""

import random
from dataclasses import replace

from data.synthetic.make import events
from data.synthetic.make import lexicon as lex
from data.synthetic.make.base import Grammar, flip, sentence
from data.synthetic.make.events import Event


def _thing_loss(one: str, two: str) -> float:
    """What the score loses by the things."""
    if one == two:
        return 0.0
    if two == lex.SYNONYMS.get(one):
        return 0.2
    if one in lex.chain(two) or two in lex.chain(one):
        return 0.4
    return 0.8 if two in lex.siblings(one) else 1.6


def _people_loss(one: Event, two: Event) -> float:
    """What the score loses by the people."""
    if "b" not in one.frame.roles or "b" not in two.frame.roles:
        return 0.0 if one.a == two.a else 1.2
    if (one.a, one.b) == (two.b, two.a):
        return 2.4
    return 1.2 * ((one.a != two.a) + (one.b != two.b))


def score(one: Event, two: Event) -> float:
    """The similarity of two events, 0 to 5, by the rule at the top of this module."""
    loss = _people_loss(one, two)
    if one.frame != two.frame:
        loss += 1.0 if one.frame.family == two.frame.family else 2.0
    if "t" in one.frame.roles and "t" in two.frame.roles:
        loss += _thing_loss(one.t, two.t)
    loss += 0.8 * (one.place != two.place) + 0.6 * (one.time != two.time)
    return round(max(0.0, 5.0 - loss), 1)


def _other_thing(rng: random.Random, event: Event) -> str:
    """A synonym, a hypernym, a sibling or an unrelated thing."""
    thing = event.t
    near = [lex.SYNONYMS.get(thing), *lex.chain(thing)[1:2]]
    if lex.siblings(thing):
        near.append(rng.choice(lex.siblings(thing)))
    near = [word for word in near if word]
    if near and flip(rng, 0.7):
        return rng.choice(near)
    return lex.pick(rng, events.things(event.frame), thing)


def _frame(rng: random.Random, event: Event) -> Event:
    """The event with another action that has the same roles."""
    frames = tuple(f for f in events.FRAMES if f.roles == event.frame.roles)
    return replace(event, frame=lex.pick(rng, frames, event.frame))


def _changed(rng: random.Random, event: Event, change: str) -> Event:
    """The event after one of the changes of `_changes`."""
    if change == "swap":
        return event.swapped()
    if change == "action":
        return _frame(rng, event)
    if change in ("a", "b"):
        return replace(event, **{change: events.person(rng, event.a, event.b)})
    if change == "thing":
        return replace(event, t=_other_thing(rng, event))
    if change == "place":
        return replace(event, place=lex.pick(rng, lex.OUTSIDE, event.place))
    return replace(event, time=lex.pick(rng, lex.TIMES, event.time))


def _changes(rng: random.Random, event: Event) -> list[str]:
    """The names of the changes to make; half of the pairs with two people exchange them."""
    names = ["action", "a"]
    names += ["thing"] if "t" in event.frame.roles else []
    names += ["place"] if event.place else []
    names += ["time"] if event.time else []
    swap = "b" in event.frame.roles and flip(rng, 0.45)
    count = rng.choice((0, 0, 1, 1, 2) if swap else (0, 1, 1, 2, 2, 3))
    if swap:
        names.remove("a")
    elif "b" in event.frame.roles:
        names.append("b")
    rng.shuffle(names)
    return names[:count] + ["swap"] * swap


def generate(rng: random.Random) -> dict:
    """Two tellings of an event and of a changed event, with their similarity."""
    frames = events.TRANSFERS if flip(rng) else events.FRAMES
    one = events.draw(rng, frames, 0.6)
    two = one
    names = _changes(rng, one)
    for name in names:
        two = _changed(rng, two, name)
    first, way = events.tell(rng, one)
    second, _ = events.tell(rng, two, avoid=way)
    if flip(rng):
        first, second = second, first
    return {
        "sentence1": sentence(first),
        "sentence2": sentence(second),
        "label": score(one, two),
        "difficulty": len(names),
    }


GRAMMAR = Grammar(
    "similarity",
    ("sentence1", "sentence2"),
    None,
    {"train": 6000, "validation": 2000},
    generate,
    "How similar are two events, from 0 to 5?",
)
