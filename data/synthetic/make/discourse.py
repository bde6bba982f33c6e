"""Unlabelled paragraphs whose later words follow only from composing the earlier ones."""

import random
from collections.abc import Iterator
from itertools import pairwise

from data.synthetic.make import acceptability, chains, events, paraphrase, sentiment
from data.synthetic.make import lexicon as lex
from data.synthetic.make import quantifiers as quant
from data.synthetic.make.base import flip, indefinite, plural, sentence

SO = ("so", "therefore", "it follows that", "hence")
THAT_IS = ("in other words,", "that is,", "this means that")


def _so(rng: random.Random, text: str) -> str:
    """A conclusion, half of the time after a word that announces it."""
    return _said(rng, SO, text)


def _said(rng: random.Random, words: tuple[str, ...], text: str) -> str:
    """The text, half of the time after one of the words that announce it.

    Labelled pairs have no such words, so the encoder should know the text without them.
    """
    return f"{rng.choice(words)} {text}" if flip(rng) else text


def _carried(rng: random.Random) -> list[str]:
    """A person picks things up, walks and puts them down; the thing goes along."""
    name = rng.choice(lex.PEOPLE)
    thing = rng.choice(lex.SMALL)
    pronoun = "she" if name in lex.FEMALE else "he"
    rooms = rng.sample(lex.ROOMS, rng.choice((2, 3, 4)))
    story = [f"{name} picked up the {thing} in the {rooms[0]}"]
    story += [f"then {pronoun} went to the {room}" for room in rooms[1:]]
    if flip(rng):
        away = lex.pick(rng, lex.ROOMS, *rooms)
        story.append(f"{pronoun} dropped the {thing} there and walked to the {away}")
    story.append(_so(rng, f"the {thing} was in the {rooms[-1]}"))
    return story


def _moved(rng: random.Random) -> list[str]:
    """Things are carried about, now and then one of two; where each may be follows."""
    things = rng.sample(lex.SMALL, 2)
    rooms = rng.sample(lex.ROOMS, 3)
    told, places = chains.story(rng, things, rooms, rng.choice(((1,), (1, 1), (2,), (2, 1))))
    thing = rng.choice(things)
    possible = " or in ".join(f"the {room}" for room in sorted(places[thing]))
    return [*told, _so(rng, f"the {thing} was in {possible}")]


def _contained(rng: random.Random) -> list[str]:
    """What is in a box is where the box is; a chain of boxes, told in any order."""
    depth = rng.choice((1, 2, 2, 3))
    path = [rng.choice(lex.SMALL), *rng.sample(lex.BOXES, depth), rng.choice(lex.ROOMS)]
    facts = [f"the {inner} is in the {outer}" for inner, outer in pairwise(path)]
    rng.shuffle(facts)
    other = lex.pick(rng, lex.ROOMS, path[-1])
    ends = [_so(rng, f"the {path[0]} is in the {path[-1]}"), f"it is not in the {other}"]
    return facts + ends[: 1 + flip(rng)]


def _ordered(rng: random.Random) -> list[str]:
    """A chain of comparisons and what follows for its ends."""
    more, less = rng.choice(lex.OPPOSITES)
    names = rng.sample(lex.PEOPLE, rng.choice((2, 3, 3, 4, 5)))
    facts = [chains.compare(rng, (more, less), *pair) for pair in pairwise(names)]
    rng.shuffle(facts)
    low, high = sorted(rng.sample(range(len(names)), 2))
    ends = [
        _so(rng, f"{names[low]} is {more} than {names[high]}"),
        _said(rng, THAT_IS, f"{names[high]} is {less} than {names[low]}"),
    ]
    return facts + ends


def _classified(rng: random.Random) -> list[str]:
    """A taxonomy, stated or silent, carries a property down to an individual."""
    kinds = rng.choice(quant.KINDS + quant.CRAFTS)
    animal = kinds[2] == "animal"
    name = rng.choice(lex.PETS if animal else lex.PEOPLE)
    specific, general = rng.choice(quant.PROPERTIES if animal else quant.DEEDS)
    level = rng.randrange(3)
    text = [f"{name} was {indefinite(kinds[0])}", f"all the {plural(kinds[level])} {specific}"]
    if flip(rng):
        text.insert(1, f"every {kinds[0]} is {indefinite(kinds[1])}")
    if flip(rng, 0.3):
        text[-1] = f"none of the {plural(kinds[level])} {general}"
        verb, _, rest = rng.choice((specific, general)).partition(" ")
        return text + [_so(rng, f"{name} did not {quant.BASES[verb]} {rest}".strip())]
    return text + [_so(rng, f"{name} {rng.choice((specific, general))}")]


def _taxonomy(rng: random.Random) -> list[str]:
    """Which kinds there are, and a thing named first by its kind and then by the one above."""
    head = rng.choice(tuple(lex.CHILDREN))
    one, two = rng.sample(lex.CHILDREN[head], 2)
    buyer = events.person(rng)
    verb = rng.choice(("bought", "saw", "found", "wanted", "drew"))
    text = [
        f"{indefinite(one)} is {indefinite(head)}, and so is {indefinite(two)}",
        f"{buyer} {verb} {indefinite(rng.choice((one, two)))}",
        _so(rng, f"{buyer} {verb} {indefinite(head)}"),
    ]
    return text[flip(rng) :]


def _quantified(rng: random.Random) -> list[str]:
    """A quantified sentence and two others that follow from it."""
    kinds, deeds, place = quant.setting(rng)
    follow: list[quant.Form] = []
    while not follow:
        first = rng.choice(quant.FORMS)
        follow = [form for form in quant.consequences(first) if form != first]
    chosen = [first] + rng.sample(follow, min(2, len(follow)))
    told = []
    for quantifier, kind, level in chosen:
        wording = rng.choice(quant.WORDING[quantifier])
        told.append(wording.format(n=f"{plural(kinds[kind])} {place}") + f" {deeds[level]}")
    return told[:1] + [_so(rng, text) for text in told[1:]]


def _retold(rng: random.Random) -> list[str]:
    """An event, the same event in other words, and perhaps a relation and its converse."""
    event = paraphrase.draw(rng)
    first, way = events.tell(rng, event)
    second, _ = events.tell(rng, paraphrase.synonymous(rng, event), avoid=way)
    text = [first, _said(rng, THAT_IS, second)]
    if flip(rng):
        one, two, words = paraphrase.related(rng)
        text += [f"{one} {words[0]} {two}", _said(rng, THAT_IS, f"{two} {words[1]} {one}")]
    return text


def _afterwards(rng: random.Random) -> list[str]:
    """Two events in order, told with before and with after."""
    one, two = (events.draw(rng, events.FRAMES, 0) for _ in range(2))
    x, y = (events.tell(rng, event, cleft=False)[0] for event in (one, two))
    first, second = rng.sample(paraphrase.ORDERS, 2)
    return [first.format(x=x, y=y), _said(rng, THAT_IS, second.format(x=x, y=y))]


def _believed(rng: random.Random) -> list[str]:
    """Somebody misses a move and still believes what was true before it."""
    one, two = rng.sample(lex.PEOPLE, 2)
    thing = rng.choice(lex.SMALL)
    old, new = rng.sample(lex.BOXES, 2)
    saw = flip(rng)
    return [
        f"{one} put the {thing} in the {old}",
        f"{two} moved it to the {new}",
        f"{one} {'saw' if saw else 'did not see'} this",
        f"so {one} thinks that the {thing} is in the {new if saw else old}",
        f"in fact the {thing} is in the {new}",
    ]


LIKED = (
    ("{n} did not like it", "{n} regretted it", "{n} was disappointed"),
    ("{n} liked it", "{n} enjoyed it", "{n} was delighted"),
)


def _judged(rng: random.Random) -> list[str]:
    """Opinions that agree, each followed by what its author must have felt."""
    text, positive, _ = sentiment.opinion(rng)
    name = rng.choice(lex.PEOPLE)
    verdict = rng.choice(LIKED[positive]).format(n=name)
    told = [text, f"so {verdict}"]
    if flip(rng):
        other = rng.choice(lex.TRADES)
        told.append(f"{name} {'praised' if positive else 'criticised'} it, and the {other} agreed")
    return told


def _plain(rng: random.Random) -> list[str]:
    """Unrelated acceptable sentences."""
    return [acceptability.draw(rng, True)[0] for _ in range(rng.choice((2, 3, 4)))]


# Retellings most of all: to tell one from its spoilt copy takes comparing who did what to whom.
KINDS = (
    _carried,
    _moved,
    _contained,
    _ordered,
    _classified,
    _taxonomy,
    _believed,
    *2 * (_quantified, _afterwards, _plain),
    *3 * (_judged,),
    *7 * (_retold,),
)


def paragraph(rng: random.Random) -> str:
    """One paragraph of two to eight sentences."""
    told = rng.choice(KINDS)(rng)
    return " ".join(text if text[-1] in ".?" else sentence(text) for text in told)


def discourse(seed: int) -> Iterator[str]:
    """An endless stream of paragraphs, the same for the same seed."""
    rng = random.Random(f"discourse {seed}")
    while True:
        yield paragraph(rng)
