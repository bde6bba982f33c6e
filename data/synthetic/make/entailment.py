"""Entailment: what follows from quantifiers, taxonomies, orderings, boxes and movements.

The hypothesis and the wanted label are drawn first and independently; only then are premises
sought that give this label.  So a hypothesis alone says nothing about its label.
"""

import random

from data.synthetic.make import chains
from data.synthetic.make import lexicon as lex
from data.synthetic.make import quantifiers as quant
from data.synthetic.make.base import Grammar, flip, plural, sentence

LABELS = ("entailment", "neutral", "contradiction")
Drawn = tuple[list[str], str, int]


def _told(rng: random.Random, form: quant.Form, setting: tuple) -> str:
    """A quantified form in words."""
    kinds, properties, place = setting
    kind = rng.choice(lex.siblings(kinds[0])) if form[1] == quant.SIBLING else kinds[form[1]]
    wording = rng.choice(quant.WORDING[form[0]])
    return f"{wording.format(n=plural(kind))} {place} {properties[form[2]]}"


def quantity(rng: random.Random, target: int) -> Drawn:
    """One or two quantified premises and a quantified hypothesis."""
    setting = quant.setting(rng)
    count = 1 + flip(rng, 0.75)
    hypothesis = rng.choice(quant.hypotheses(count))
    forms = rng.choice(rng.choice(quant.premises(hypothesis, count))[target])
    told = [_told(rng, form, setting) for form in forms]
    return told, _told(rng, hypothesis, setting), quant.hops(forms, hypothesis)


def _rules(rng: random.Random, quantifiers: tuple[str, str]) -> list[quant.Form]:
    """Two forms, one of them on a kind that the individual does not belong to."""
    kinds = [quant.SIBLING, rng.randrange(3)]
    rng.shuffle(kinds)
    return [(word, kind, rng.randrange(2)) for word, kind in zip(quantifiers, kinds, strict=True)]


def member(rng: random.Random, target: int) -> Drawn:
    """A kind is stated of one individual, and quantified sentences hold of kinds around it."""
    setting = quant.setting(rng)
    kinds, properties, place = setting
    name = rng.choice(lex.PETS if kinds[2] == "animal" else lex.PEOPLE)
    level = rng.randrange(2)
    denied = flip(rng)
    # "all" decides in favour of an assertion and "none" against it; denials turn that round.
    decisive = rng.choice(("all", "none"))
    if target != quant.NEUTRAL:
        decisive = "all" if (target == quant.ENTAILMENT) != denied else "none"
    quantifiers = (decisive, rng.choice(("some", "two", "most", "notall")))
    forms = _rules(rng, quantifiers)
    while quant.member_label(forms, level, denied) != target:
        forms = _rules(rng, quantifiers)
    told = [_told(rng, form, setting) for form in forms]
    told.insert(rng.randrange(3), f"{name} was one of the {plural(kinds[0])} {place}")
    verb, _, rest = properties[level].partition(" ")
    verb = "did not " + quant.BASES[verb] if denied else verb
    climbed = max(form[1] for form in forms if form[1] != quant.SIBLING)
    return told, f"{name} {verb} {rest}".strip(), 2 + climbed


FAMILIES = (quantity, quantity, member, chains.ordering, chains.containment, chains.movement)


def generate(rng: random.Random) -> dict:
    """One premise of one or more sentences, a hypothesis and their relation."""
    target = rng.randrange(3)
    told, hypothesis, hops = rng.choice(FAMILIES)(rng, target)
    return {
        "premise": " ".join(sentence(text) for text in told),
        "hypothesis": sentence(hypothesis),
        "label": target,
        "difficulty": hops,
    }


GRAMMAR = Grammar(
    "entailment",
    ("premise", "hypothesis"),
    LABELS,
    {"train": 6000, "validation": 2000},
    generate,
    "Does the hypothesis follow from the premise, or contradict it?",
    (1 / 3,) * 3,
)
