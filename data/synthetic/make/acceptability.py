"""Acceptable and unacceptable sentences that differ in one dependency.

Every phenomenon draws its words without regard to the label and then satisfies or breaks one
condition between two of them, so that each word is as frequent in either class.  `depth` is
the number of phrases between the two.
"""

import random

from data.synthetic.make import lexicon as lex
from data.synthetic.make.base import Grammar, flip, plural, sentence, third, words

LABELS = ("unacceptable", "acceptable")
SHARES = (0.35, 0.65)
HUMANS = lex.MEN + lex.WOMEN + lex.TRADES
THINGS = words("key letter map picture lamp clock box chair table book mirror candle ticket basket")
LINKS = words("near;behind;beside;next to;in front of;opposite", ";")
ADMIRE = words("admired helped praised followed visited invited rescued blamed")
BREAK = words("repaired painted cleaned damaged bought sold found lost hid borrowed")
# Verbs that never go without an object, and verbs that never take one.
FIND = words("repaired damaged found borrowed destroyed mentioned carried noticed")
SLEEP = words("slept laughed arrived smiled disappeared vanished coughed waited")
BASES = words("smile laugh wait cough work walk dance dream swim sing")
STATES = words("tired happy old young famous hungry quiet angry ready strong calm rich")
HABITS = words("open close clean paint repair wash carry collect borrow return")


def noun(rng: random.Random, many: bool, pool: tuple[str, ...] = HUMANS) -> str:
    """A noun with its article, singular or plural."""
    word = rng.choice(pool)
    return "the " + (plural(word) if many else word)


def _phrase(rng: random.Random, many: bool, thing: bool) -> str:
    """A modifier that ends in, or contains, a distracting noun."""
    attractor = noun(rng, many)
    if flip(rng, 0.5):
        return f"{rng.choice(LINKS)} {attractor}"
    if thing:
        return f"that {attractor} {rng.choice(BREAK)}"
    who = rng.choice((f"{attractor} {rng.choice(ADMIRE)}", f"{rng.choice(ADMIRE)} {attractor}"))
    return f"who {who}"


def modified(rng: random.Random, many: bool, depth: int, pool: tuple[str, ...] = HUMANS) -> str:
    """A noun phrase followed by `depth` modifiers, mostly of the other number."""
    phrases = [noun(rng, many, pool)]
    for _ in range(depth):
        phrases.append(_phrase(rng, many != flip(rng, 0.8), pool is THINGS))
    return " ".join(phrases)


def agreement(rng: random.Random, good: bool, depth: int) -> str:
    """The verb agrees with its subject across nouns of the other number."""
    many = flip(rng)
    seen = many == good
    thing = flip(rng, 0.3)
    subject = modified(rng, many, depth, THINGS if thing else HUMANS)
    if thing:
        return f"{subject} {('is', 'are')[seen]} {rng.choice(lex.LOOKS)}"
    base = rng.choice(BASES)
    often = rng.choice(("every day", "at night", "again"))
    return f"{subject} " + rng.choice(
        (
            f"{('is', 'are')[seen]} {rng.choice(STATES)}",
            f"{('was', 'were')[seen]} very {rng.choice(STATES)}",
            f"{('has', 'have')[seen]} become {rng.choice(STATES)}",
            f"{(third(base), base)[seen]} {often}",
        )
    )


def reflexive(rng: random.Random, good: bool, depth: int) -> str:
    """A reflexive agrees with the subject of its clause in gender and number."""
    forms = ("himself", "herself", "themselves")
    pools = (lex.MEN, lex.WOMEN, lex.MEN + lex.WOMEN)
    own = rng.randrange(3)
    other = (own + rng.choice((1, 2))) % 3
    subject = noun(rng, own == 2, pools[own])
    for _ in range(depth):
        link = rng.choice(LINKS + ("who knew", "who " + rng.choice(ADMIRE)))
        subject += f" {link} {noun(rng, other == 2, pools[other])}"
    if depth == 0 and flip(rng):
        subject = f"{noun(rng, other == 2, pools[other])} said that {subject}"
    return f"{subject} {rng.choice(ADMIRE)} {forms[own if good else other]}"


def determiner(rng: random.Random, good: bool, depth: int) -> str:
    """A determiner agrees with its noun across adjectives."""
    many = flip(rng)
    word = rng.choice(
        ("these", "those", "many", "several") if many == good else ("this", "that", "every", "each")
    )
    thing = rng.choice(THINGS)
    looks = rng.sample(lex.LOOKS, depth) + ([rng.choice(lex.COLOURS)] if depth == 2 else [])
    phrase = " ".join([word, *looks, plural(thing) if many else thing])
    name = rng.choice(lex.PEOPLE)
    return rng.choice(
        (
            f"{name} {rng.choice(BREAK)} {phrase} {lex.where(rng.choice(lex.OUTSIDE))}",
            f"{noun(rng, flip(rng))} {rng.choice(BREAK)} {phrase} for {name}",
        )
    )


def polarity(rng: random.Random, good: bool, depth: int) -> str:
    """ "ever" and "any" need a negation that commands them; both versions have the same words."""
    one, two = rng.sample(HUMANS, 2)
    act, name = rng.choice(ADMIRE), rng.choice(lex.PEOPLE)
    tail = rng.choice(
        (
            f"ever {rng.choice(ADMIRE)} {name}",
            f"{rng.choice(BREAK)} any {plural(rng.choice(THINGS))}",
            f"ever {rng.choice(BREAK)} the {rng.choice(THINGS)}",
        )
    )
    had = rng.choice(("had ", "has "))
    near = f" {rng.choice(LINKS)} the {rng.choice(THINGS)}" if depth > 1 else ""
    if depth == 0:
        inner, outer = ("nobody", f"the {one}") if good else (f"the {one}", "nobody")
        return f"{outer} said that {inner} had {tail}"
    first, second = ("no", "the") if good else ("the", "no")
    return f"{first} {one} who {second} {two}{near} {act} {had}{tail}"


def argument(rng: random.Random, good: bool, depth: int) -> str:
    """A transitive verb needs its object, in place or as a gap; an intransitive one bars it."""
    takes = flip(rng)
    verb = rng.choice(FIND if takes else SLEEP)
    subject = modified(rng, flip(rng), max(0, depth - 1))
    place = lex.where(rng.choice(lex.OUTSIDE))
    thing = rng.choice(THINGS)
    if depth == 0:
        given = f" the {thing}" if takes == good else ""
        return f"{subject} {verb}{given} {place}"
    # The gap of a relative clause counts as an object.
    one, two = rng.choice(FIND), rng.choice(("disappeared", "vanished", "arrived"))
    first, second = (one, two) if good else (two, one)
    return f"the {thing} that {subject} {first} {place} {second} {rng.choice(lex.TIMES)}"


def order(rng: random.Random, good: bool, depth: int) -> str:
    """A question fronts the auxiliary of the main clause, not that of the relative clause."""
    one, two = rng.sample(STATES, 2)
    base = rng.choice(BASES)
    outer, inner = (("is", two), ("can", base))
    if flip(rng):
        outer, inner = inner, outer
    subject = noun(rng, False)
    if depth == 2:
        subject += f" {rng.choice(LINKS)} {noun(rng, False)}"
    if depth == 0:
        asker = rng.choice(lex.PEOPLE)
        asked = f"{subject} {outer[0]}" if good else f"{outer[0]} {subject}"
        return f"{asker} {rng.choice(('asked', 'wondered'))} whether {asked} {outer[1]}"
    front, kept = (outer, inner) if good else (inner, outer)
    body = f"{front[0]} {subject} who {inner[0]} {inner[1]} {outer[1]}"
    broken = f"{inner[0]} {subject} who {inner[1]} {outer[0]} {outer[1]}"
    return (body if good else broken) + "?"


def tense(rng: random.Random, good: bool, depth: int) -> str:
    """A modal takes the base form and "has" the participle, across adverbs."""
    base = rng.choice(HABITS)
    past = base[:-1] + "ied" if base == "carry" else base + ("d" if base.endswith("e") else "ed")
    is_past = flip(rng)
    perfect = rng.choice(("has", "had"))
    modal = rng.choice(("will", "can", "must", "should", "did not"))
    auxiliary = perfect if is_past == good else modal
    adverbs = " and ".join(rng.sample(lex.ADVERBS, depth))
    verb = past if is_past else base
    words = [
        modified(rng, False, flip(rng, 0.5)),
        auxiliary,
        adverbs,
        verb,
        f"the {rng.choice(THINGS)}",
        lex.where(rng.choice(lex.OUTSIDE)),
    ]
    return " ".join(word for word in words if word)


PHENOMENA = (agreement, agreement, reflexive, determiner, polarity, argument, order, tense)


def draw(rng: random.Random, good: bool) -> tuple[str, int]:
    """A sentence with its capital and stop, and its depth of 0 to 2."""
    depth = rng.choice((0, 1, 1, 2))
    text = rng.choice(PHENOMENA)(rng, good, depth)
    return (sentence(text[:-1], "?") if text.endswith("?") else sentence(text)), depth


def generate(rng: random.Random) -> dict:
    """One sentence and whether it is acceptable."""
    good = flip(rng, SHARES[1])
    text, depth = draw(rng, good)
    return {"sentence": text, "label": int(good), "difficulty": depth}


GRAMMAR = Grammar(
    "acceptability",
    ("sentence",),
    LABELS,
    {"train": 6000, "validation": 2000},
    generate,
    "Is the sentence grammatical?",
    SHARES,
)
