"""Premises of several steps: orderings, containment and movements, each with its evaluator.

An evaluator returns ENTAILMENT, NEUTRAL or CONTRADICTION.  Things have one place each, so being
somewhere else contradicts being here.
"""

import random
from collections.abc import Iterable

from data.synthetic.make import lexicon as lex
from data.synthetic.make.base import flip
from data.synthetic.make.quantifiers import CONTRADICTION, ENTAILMENT, NEUTRAL


def reaches(facts: Iterable[tuple[str, str]], start: str, goal: str) -> int:
    """The steps from `start` to `goal` along the facts (more, less); 0 where there is no way."""
    seen = {start}
    edge = [start]
    steps = 0
    while edge:
        steps += 1
        edge = [b for a, b in facts if a in edge and b not in seen]
        if goal in edge:
            return steps
        seen.update(edge)
    return 0


def order_label(facts: list[tuple[str, str]], one: str, two: str) -> int:
    """Whether `one` stands above `two` in the strict order that the facts state."""
    if reaches(facts, one, two):
        return ENTAILMENT
    return CONTRADICTION if reaches(facts, two, one) else NEUTRAL


def place_label(possible: set[str], place: str, denied: bool) -> int:
    """Whether a thing that is in one of the `possible` places is (or is not) in `place`."""
    if place not in possible:
        return ENTAILMENT if denied else CONTRADICTION
    if len(possible) > 1:
        return NEUTRAL
    return CONTRADICTION if denied else ENTAILMENT


def _tree(rng: random.Random, names: list[str]) -> list[tuple[str, str]]:
    """Facts that connect all names without a cycle, so that no fact contradicts the others."""
    facts = []
    for index in range(1, len(names)):
        pair = [names[index], names[rng.randrange(index)]]
        rng.shuffle(pair)
        facts.append(tuple(pair))
    rng.shuffle(facts)
    return facts


def compare(rng: random.Random, words: tuple[str, str], one: str, two: str) -> str:
    """ "one is MORE than two" or the same the other way round."""
    more, less = words
    return f"{one} is {more} than {two}" if flip(rng) else f"{two} is {less} than {one}"


def ordering(rng: random.Random, target: int) -> tuple[list[str], str, int]:
    """Sentences on who is taller than whom, a hypothesis with the wanted label, and the facts."""
    words = rng.choice(lex.OPPOSITES)
    names = rng.sample(lex.PEOPLE, rng.choice((3, 3, 4, 4, 5)))
    one, two = names[:2]
    hypothesis = compare(rng, words, one, two)
    while True:
        rng.shuffle(names)
        facts = _tree(rng, names)
        # A fact that repeats the hypothesis would leave nothing to compose.
        stated = {(one, two), (two, one)} & set(facts)
        if order_label(facts, one, two) == target and not stated:
            return [compare(rng, words, *fact) for fact in facts], hypothesis, len(facts)


def _either(words: list[str]) -> str:
    """ "the box", or "either the box or the bag" for two."""
    return f"the {words[0]}" if len(words) == 1 else f"either the {words[0]} or the {words[1]}"


def resolve(inside: dict[str, list[str]], thing: str) -> set[str]:
    """The outermost places a thing may be in, where `inside` lists the places of each thing."""
    if thing not in inside:
        return {thing}
    return set().union(*(resolve(inside, outer) for outer in inside[thing]))


def _inside(
    rng: random.Random, things: list[str], boxes: list[str], rooms: list[str], doubts: int
) -> dict[str, list[str]]:
    """Where each thing and box is; `doubts` of them have two possible places."""
    movable = things + boxes
    doubtful = rng.sample(movable, doubts)
    inside = {}
    for item in movable:
        places = boxes if item in things else rooms
        inside[item] = rng.sample(places, 1 + (item in doubtful))
    return inside


def containment(rng: random.Random, target: int) -> tuple[list[str], str, int]:
    """Sentences on what is inside what, a hypothesis on a place, and the number of facts."""
    things = rng.sample(lex.SMALL, 2)
    boxes = rng.sample(lex.BOXES, 2)
    rooms = rng.sample(lex.ROOMS, 2)
    doubts = rng.choice((1, 1, 2))
    denied = flip(rng)
    purse = flip(rng, 0.3)
    while True:
        inside = _inside(rng, things, boxes, rooms, doubts)
        if purse:
            inside |= {"purse": inside[things[0]], things[0]: ["purse"]}
        named = any(rooms[0] in outer for outer in inside.values())
        if named and place_label(resolve(inside, things[0]), rooms[0], denied) == target:
            break
    facts = [f"the {thing} is in {_either(outer)}" for thing, outer in inside.items()]
    rng.shuffle(facts)
    return facts, f"the {things[0]} is {'not ' * denied}in the {rooms[0]}", len(facts)


MOVES = (
    "{a} carried {t} to the {p}",
    "{a} took {t} to the {p}",
    "{a} brought {t} to the {p}",
    "{t} was brought to the {p} by {a}",
)
# The numbers of things that may be meant by each move; the last move is a definite one.
PATTERNS = ((2, 1), (2, 1), (1, 2, 1), (2, 1, 1))


def _move(rng: random.Random, places: dict[str, set[str]], rooms: list[str], choices: int) -> str:
    """Moves one of `choices` things to a room where it cannot be yet; "" without such a room."""
    moved = rng.sample(list(places), choices)
    free = [room for room in rooms if not any(room in places[thing] for thing in moved)]
    if not free:
        return ""
    room = rng.choice(free)
    for thing in moved:
        places[thing] = {room} | (places[thing] if choices > 1 else set())
    template = rng.choice(MOVES[:3] if choices > 1 else MOVES)
    return template.format(a=rng.choice(lex.PEOPLE), t=_either(moved), p=room)


def story(
    rng: random.Random, things: list[str], rooms: list[str], pattern: tuple[int, ...]
) -> tuple[list[str], dict[str, set[str]]]:
    """Sentences on two things carried about, and where each may be at the end."""
    while True:
        places = {thing: {rng.choice(rooms)} for thing in things}
        told = [f"the {thing} was in the {min(places[thing])}" for thing in things]
        moves = [_move(rng, places, rooms, choices) for choices in pattern]
        if all(moves):
            return told + moves[:1] + ["then " + move for move in moves[1:]], places


def movement(rng: random.Random, target: int) -> tuple[list[str], str, int]:
    """A story of things carried about, a hypothesis on where one is at the end, and its moves."""
    things = rng.sample(lex.SMALL, 2)
    rooms = rng.sample(lex.ROOMS, 3)
    denied = flip(rng)
    pattern = rng.choice(PATTERNS)
    hypothesis = f"at the end the {things[0]} was {'not ' * denied}in the {rooms[0]}"
    while True:
        told, places = story(rng, things, rooms, pattern)
        named = any(rooms[0] in text for text in told)
        if named and place_label(places[things[0]], rooms[0], denied) == target:
            return told, hypothesis, len(pattern)
