"""Quantified premises and hypotheses, judged by enumerating small worlds.

A world counts the individuals of nine sorts: three kinds (poodle, other dog, other animal) by
three properties (slept in the barn, slept elsewhere, did not sleep), with 0 to 9 of each.  A
form (quantifier, kind level, property level) is true in some of these worlds; the set of them
is an integer with one bit for every world, so that "entails" and "contradicts" are bit tests.
"""

import random
from functools import cache
from itertools import product

from data.synthetic.make import lexicon as lex
from data.synthetic.make.base import flip, pairs

Form = tuple[str, int, int]
ENTAILMENT, NEUTRAL, CONTRADICTION = range(3)
QUANTIFIERS = ("all", "none", "some", "notall", "two", "most")
# The kind levels 0 to 2 rise from specific to general; this one is next to the most specific.
SIBLING = 3

WORDING = {
    "all": ("all the {n}", "every one of the {n}"),
    "none": ("none of the {n}", "not one of the {n}"),
    "some": ("at least one of the {n}",),
    "notall": ("not all the {n}", "not every one of the {n}"),
    "two": ("at least two of the {n}",),
    "most": ("most of the {n}", "more than half of the {n}"),
}
# Kinds from the specific to the general, with properties (specific, general).
KINDS = tuple(
    (*lex.chain(noun)[:2], "animal")
    for root in ("dog", "bird", "horse")
    for noun in lex.CHILDREN[root]
)
PROPERTIES = (
    ("slept under the tree", "slept"),
    ("rested by the fence", "rested"),
    ("moved very slowly", "moved"),
    ("ate an apple", "ate fruit"),
    ("fell ill in spring", "fell ill"),
    ("ate a carrot", "ate vegetables"),
    ("died in winter", "died"),
    ("drank from the pond", "drank"),
)
CRAFTS = tuple(
    (child, head, "person")
    for head in ("artist", "worker", "official")
    for child in lex.CHILDREN[head]
)
BASES = dict(
    pairs(
        "slept/sleep rested/rest moved/move ate/eat fell/fall died/die drank/drink bought/buy "
        "wore/wear played/play adopted/adopt planted/plant arrived/arrive sang/sing sat/sit "
        "carried/carry owned/own laughed/laugh"
    )
)
DEEDS = (
    ("bought a rose", "bought a flower"),
    ("wore a beret", "wore a hat"),
    ("played the violin", "played an instrument"),
    ("adopted a poodle", "adopted a dog"),
    ("planted an oak", "planted a tree"),
    ("arrived by bus", "arrived"),
    ("sang very loudly", "sang"),
    ("sat on a bench", "sat on a seat"),
    ("carried a hammer", "carried a tool"),
    ("owned a yacht", "owned a boat"),
    ("laughed at the joke", "laughed"),
)
ANIMAL_PLACES = ("on the farm", "in the park", "on the island", "in the yard")
HUMAN_PLACES = ("in the village", "at the party", "on the ferry", "in the hotel")


def setting(rng: random.Random) -> tuple[tuple[str, str, str], tuple[str, str], str]:
    """Three kinds and two properties, each from specific to general, and a place."""
    if flip(rng):
        return rng.choice(KINDS), rng.choice(PROPERTIES), rng.choice(ANIMAL_PLACES)
    return rng.choice(CRAFTS), rng.choice(DEEDS), rng.choice(HUMAN_PLACES)


def quantifies(quantifier: str, individuals: int, having: int) -> bool:
    """Whether a quantifier is true of so many individuals, `having` of which have the property."""
    return {
        "all": having == individuals,
        "none": having == 0,
        "some": having >= 1,
        "notall": having < individuals,
        "two": having >= 2,
        "most": 2 * having > individuals,
    }[quantifier]


@cache
def _worlds() -> tuple[tuple[int, ...], ...]:
    """All worlds with at least two individuals of the most specific kind."""
    # The general kinds reach numbers that let "most" hold against the specific kind.
    counts = [(0, 1, 2)] * 3 + [(0, 1, 3)] * 3 + [(0, 1, 9)] * 3
    return tuple(world for world in product(*counts) if sum(world[:3]) >= 2)


@cache
def mask(form: Form) -> int:
    """The worlds in which `form` is true, one bit for each."""
    quantifier, kind, level = form
    sorts = (3,) if kind == SIBLING else range(0, 3 * kind + 3, 3)
    bits = []
    for world in _worlds():
        number = sum(sum(world[sort : sort + 3]) for sort in sorts)
        having = sum(sum(world[sort : sort + level + 1]) for sort in sorts)
        bits.append("01"[number > 0 and quantifies(quantifier, number, having)])
    return int("".join(bits), 2)


def label(premises: tuple[Form, ...], hypothesis: Form) -> int | None:
    """The relation of `hypothesis` to the conjunction; None where no world makes that true."""
    both = mask(premises[0]) & mask(premises[-1])
    if not both:
        return None
    true = both & mask(hypothesis)
    return ENTAILMENT if true == both else NEUTRAL if true else CONTRADICTION


FORMS = tuple(product(QUANTIFIERS, range(3), range(2)))


@cache
def premises(hypothesis: Form, count: int) -> tuple[tuple[tuple, ...], ...]:
    """The usable premises of one or two forms: (their entailments, neutrals, contradictions).

    The pairs of one group have the same quantifiers, and every group has all three labels, so
    that the choice of quantifiers does not give the label away.  Single premises are one group.
    """
    usable = [form for form in FORMS if form != hypothesis]
    if count == 1:
        given = [(form,) for form in usable]
    else:
        given = [pair for pair in product(usable, usable) if pair[0][1] != pair[1][1]]
    groups: dict[tuple, tuple[list, list, list]] = {}
    for forms in given:
        found = label(forms, hypothesis)
        if found is not None:
            key = tuple(form[0] for form in forms) if count > 1 else ()
            groups.setdefault(key, ([], [], []))[found].append(forms)
    return tuple(tuple(map(tuple, group)) for group in groups.values() if all(group))


@cache
def hypotheses(count: int) -> tuple[Form, ...]:
    """The forms that `count` premises can make true, open and false alike."""
    return tuple(form for form in FORMS if premises(form, count))


def hops(given: tuple[Form, ...], hypothesis: Form) -> int:
    """The number of premises, plus one where a kind and one where a property is replaced."""
    kinds = all(form[1] != hypothesis[1] for form in given)
    levels = all(form[2] != hypothesis[2] for form in given)
    return len(given) + kinds + levels


def allowed(form: Form) -> set[int]:
    """The properties (0 specific, 1 only general, 2 neither) that a form leaves to a member."""
    low = set(range(form[2] + 1))
    if form[1] == SIBLING:
        return {0, 1, 2}
    return {"all": low, "none": {0, 1, 2} - low}.get(form[0], {0, 1, 2})


def member_label(forms: list[Form], level: int, denied: bool) -> int | None:
    """Whether a member of every kind has the property `level`; None where the forms clash."""
    left = set.intersection(*(allowed(form) for form in forms))
    true = set(range(level + 1))
    true = {0, 1, 2} - true if denied else true
    if not left or not mask(forms[0]) & mask(forms[-1]):
        return None
    return ENTAILMENT if left <= true else NEUTRAL if left & true else CONTRADICTION


@cache
def consequences(premise: Form) -> tuple[Form, ...]:
    """The forms that follow from `premise`, itself included."""
    return tuple(form for form in FORMS if label((premise,), form) == ENTAILMENT)
