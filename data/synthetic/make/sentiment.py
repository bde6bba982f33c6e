"""Opinions whose polarity follows from the operators around an adjective.

The innermost clause says that something has a property; each operator keeps or turns the
polarity of what it embeds.  `{c}` stands for the embedded clause, `{s}` for the thing and
`{a}` for the adjective.
"""

import random

from data.synthetic.make.base import Grammar, flip, sentence, words

LABELS = ("negative", "positive")
POSITIVE = words(
    "good lovely charming delightful pleasant enjoyable splendid impressive memorable agreeable "
    "beautiful refreshing remarkable admirable interesting"
)
NEGATIVE = words(
    "bad poor dull boring dreary tedious disappointing inferior forgettable miserable mediocre "
    "tiresome annoying dismal feeble"
)
# What is judged, its aspects, and the adjectives of either polarity that suit it besides.
FIELDS = tuple(
    tuple(part.split() for part in field.split("|"))
    for field in (
        "film movie play show comedy drama | music acting plot ending dialogue dancing lighting |"
        "clever exciting amusing thoughtful graceful entertaining | clumsy lifeless confusing weak",
        "novel book story poem biography essay memoir | plot ending opening style cover title |"
        "clever exciting amusing thoughtful elegant fascinating | clumsy lifeless confusing "
        "careless",
        "meal dinner lunch breakfast supper picnic |"
        "soup sauce service dessert wine salad starter |"
        "tasty delicious generous satisfying | bland tasteless stale greasy",
        "journey trip voyage tour cruise holiday | weather scenery hotel food guide company |"
        "restful exciting cheerful rewarding | exhausting chaotic depressing irritating",
    )
)
# (template, whether the polarity turns)
PROPERTIES = (
    ("{s} was {a}", False),
    ("{s} was really {a}", False),
    ("{s} felt {a} throughout", False),
    ("everyone would call {s} {a}", False),
    ("{s} never stopped being {a}", False),
    ("nobody would call {s} anything but {a}", False),
    ("{s} was more {a} than the last one", False),
    ("{s} turned out to be {a}", False),
    ("I found {s} {a}", False),
    ("{s} was not {a}", True),
    ("{s} was not at all {a}", True),
    ("{s} was far from {a}", True),
    ("nobody would call {s} {a}", True),
    ("{s} was anything but {a}", True),
    ("{s} never once felt {a}", True),
    ("{s} was less {a} than the last one", True),
    ("I did not find {s} {a}", True),
    ("{s} could hardly be called {a}", True),
)
# Only these stay readable below another operator.
SIMPLE = (
    ("{s} was {a}", False),
    ("{s} turned out to be {a}", False),
    ("{s} was not {a}", True),
    ("{s} was far from {a}", True),
    ("{s} was anything but {a}", True),
)
EMBEDDINGS = (
    ("I am sure that {c}", False),
    ("everyone agrees that {c}", False),
    ("I cannot deny that {c}", False),
    ("nobody doubts that {c}", False),
    ("I have to admit that {c}", False),
    ("it is quite true that {c}", False),
    ("there is no question that {c}", False),
    ("the critics said that {c}, and they were right", False),
    ("a friend told me that {c}, and I fully agree", False),
    ("I had heard that {c}, and it was no lie", False),
    ("I doubt that {c}", True),
    ("nobody believes that {c}", True),
    ("I cannot agree that {c}", True),
    ("it is simply not true that {c}", True),
    ("I would be lying if I said that {c}", True),
    ("it would be wrong to say that {c}", True),
    ("the critics said that {c}, but they were wrong", True),
    ("a friend told me that {c}, but I cannot agree", True),
    ("I had heard that {c}, but it was a lie", True),
)
# Those that take no second "but" amiss.
OPEN = tuple(e for e in EMBEDDINGS if e[0].endswith("{c}"))
# {x} is an aspect that the main clause {c} outweighs; the second half needs a plain main clause.
CONTRASTS = (
    "{x}, but {c}",
    "although {x}, {c}",
    "even though {x}, {c}",
    "{c}, although {x}",
    "{c}, even though {x}",
    "{c}, whereas {x}",
)
PLAIN = "{s} was {a}"


def _turn(rng: random.Random, templates: tuple, turns: bool) -> str:
    """One of the templates that turn the polarity, or that keep it."""
    return rng.choice([text for text, turning in templates if turning == turns])


def _aspect(rng: random.Random, noun: str, positive: bool) -> tuple[str, int]:
    """A clause of the wanted polarity on an aspect, and its operators."""
    turns = flip(rng, 0.3)
    template = _turn(rng, SIMPLE, turns)
    adjective = rng.choice(POSITIVE if positive != turns else NEGATIVE)
    return template.format(s=f"the {noun}", a=adjective), int(template != PLAIN)


def opinion(rng: random.Random) -> tuple[str, bool, int]:
    """An opinion without capital and stop, whether it is positive, and its operators."""
    things, aspects, good, bad = rng.choice(FIELDS)
    thing = rng.choice(things)
    embedded = flip(rng, 0.4)
    contrasted = flip(rng, 0.4)
    positive = flip(rng)
    turns = flip(rng, 0.3)
    template = _turn(rng, SIMPLE if embedded else PROPERTIES, turns)
    adjective = rng.choice(POSITIVE + tuple(good) if positive else NEGATIVE + tuple(bad))
    text = template.format(s=f"the {thing}", a=adjective)
    positive = positive != turns
    operators = int(template != PLAIN)
    if embedded:
        turns = flip(rng, 0.45)
        template = _turn(rng, OPEN if contrasted else EMBEDDINGS, turns)
        text = template.format(c=text)
        positive = positive != turns
        operators += 1
    if contrasted:
        aspect, inner = _aspect(rng, rng.choice(aspects), not positive)
        contrast = rng.choice(CONTRASTS[:3] if embedded else CONTRASTS)
        text = contrast.format(x=aspect, c=text)
        operators += 1 + inner
    return text, positive, operators


def generate(rng: random.Random) -> dict:
    """One opinion with its polarity."""
    text, positive, operators = opinion(rng)
    return {"sentence": sentence(text), "label": int(positive), "difficulty": operators}


GRAMMAR = Grammar(
    "sentiment",
    ("sentence",),
    LABELS,
    {"train": 6000, "validation": 2000},
    generate,
    "Is the opinion of the whole favourable?",
    (0.5, 0.5),
)
