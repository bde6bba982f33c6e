"""The words that all tasks and the discourse draw on."""

import random

from data.synthetic.make.base import pairs, words

FEMALE = words(
    "Anna Clara Emma Greta Helen Ines Julia Karla Laura Maria Nora Olga Paula Rosa Sara Tina "
    "Vera Wanda Yara Zoe"
)
MALE = words(
    "Bruno David Felix Georg Hugo Ivan Jonas Karl Leo Martin Nils Oscar Peter Quentin Robert "
    "Simon Thomas Victor Walter Adam"
)
PEOPLE = FEMALE + MALE
PETS = words("Rex Bella Max Luna Rusty Bonny Shadow Pepper Ginger Biscuit")

# Every line reads "hypernym: hyponyms"; a hyponym may head a line of its own.
TAXONOMY = """
animal: dog cat horse bird fish insect
dog: poodle terrier spaniel beagle collie
horse: pony mare stallion
bird: robin sparrow owl eagle duck swan goose
fish: trout salmon carp herring
insect: bee ant beetle moth wasp
fruit: apple pear plum orange lemon cherry peach
vegetable: carrot onion potato cabbage turnip leek
pastry: tart bun scone pie muffin
vehicle: car truck bus boat bicycle
boat: canoe ferry yacht raft
car: taxi limousine
tool: hammer saw drill spade rake chisel
garment: shirt coat hat scarf glove skirt
hat: cap beret bonnet
seat: chair stool bench sofa
instrument: violin flute drum trumpet guitar piano
plant: flower tree bush
flower: rose tulip daisy lily violet
tree: oak elm birch pine maple
container: box bag basket drawer bucket jar suitcase
jewel: ring necklace bracelet brooch
toy: doll puppet kite marble
artist: painter singer dancer poet actor
worker: baker farmer plumber carpenter gardener mason
official: mayor judge minister ambassador
"""
_PAIRS = pairs(
    "sofa/couch rug/carpet stone/rock bicycle/bike photo/picture gift/present parcel/package "
    "bucket/pail cup/mug pillow/cushion doctor/physician lawyer/attorney author/writer "
    "driver/chauffeur guard/watchman"
)
# Either word of a pair leads to the other.
SYNONYMS = dict(_PAIRS) | {two: one for one, two in _PAIRS}

MEN = words("man boy king brother uncle father son waiter actor monk prince")
WOMEN = words("woman girl queen sister aunt mother daughter waitress actress nun princess")
TRADES = words(
    "doctor nurse baker teacher lawyer farmer sailor painter singer dancer poet gardener "
    "carpenter plumber judge mayor author pilot student guard librarian driver"
)

ROOMS = words("kitchen cellar attic bedroom hall garage pantry study library bathroom")
OUTSIDE = words(
    "garden yard park forest meadow market harbour station village school museum church bakery "
    "hotel theatre castle valley office hospital stable barn"
)
AT = {"market", "harbour", "station"}
TIMES = words(
    "on Monday;on Tuesday;on Wednesday;on Thursday;on Friday;on Saturday;on Sunday;"
    "in the morning;in the afternoon;in the evening;at noon;at night;last week;last summer;"
    "last winter;yesterday;two days ago;a year ago",
    ";",
)
NUMBERS = words("two three four five six seven eight nine ten twelve")
ADVERBS = words("quietly slowly quickly gladly secretly carefully suddenly calmly")
COLOURS = words("red blue green yellow white black brown grey")
LOOKS = words("old new small large heavy broken wooden dusty precious strange round tiny")

# (more, less): "x is MORE than y" says the same as "y is LESS than x".
OPPOSITES = pairs(
    "taller/shorter older/younger faster/slower stronger/weaker richer/poorer louder/quieter "
    "heavier/lighter calmer/wilder"
)
# (relation, converse): "x is RELATION y" says the same as "y is CONVERSE x".
CONVERSES = pairs(
    "north of/south of;east of/west of;above/below;in front of/behind;larger than/smaller than;"
    "uphill from/downhill from",
    ";",
)
KIN = pairs(
    "a parent of/a child of;the teacher of/the pupil of;the employer of/the employee of;"
    "the landlord of/the tenant of;the leader of/a follower of",
    ";",
)


def _parse(text: str) -> dict[str, tuple[str, ...]]:
    """Hyponyms by hypernym."""
    lines = (line.split(":") for line in text.strip().splitlines())
    return {head: tuple(rest.split()) for head, rest in lines}


CHILDREN = _parse(TAXONOMY)
PARENT = {child: head for head, heads in CHILDREN.items() for child in heads}


def chain(noun: str) -> tuple[str, ...]:
    """`noun` and everything above it, the most specific first."""
    return (noun,) + (chain(PARENT[noun]) if noun in PARENT else ())


def siblings(noun: str) -> tuple[str, ...]:
    """The other nouns with the same hypernym; empty for a noun without one."""
    return tuple(n for n in CHILDREN.get(PARENT.get(noun, ""), ()) if n != noun)


def leaves(root: str) -> tuple[str, ...]:
    """All nouns below `root` that have nothing below them."""
    found: list[str] = []
    for child in CHILDREN[root]:
        found.extend(leaves(child) if child in CHILDREN else (child,))
    return tuple(found)


# Things that can be bought, lent, carried and lost.
_TRADED = words("fruit vegetable pastry tool garment jewel toy instrument flower container")
GOODS = tuple(noun for root in _TRADED for noun in leaves(root)) + words(
    "sofa chair stool bicycle lamp rug key cup map book letter photo parcel candle umbrella "
    "clock mirror pencil notebook ticket coin pillow blanket kettle spoon stone gift"
)
# Those among them that can be repaired, cleaned and painted.
MADE = (
    leaves("tool")
    + leaves("instrument")
    + leaves("container")
    + words("doll puppet kite sofa chair stool bicycle lamp cup clock mirror kettle umbrella")
)
SMALL = words(
    "key coin ring letter map pencil candle spoon ticket marble photo apple brooch doll cap "
    "lemon notebook whistle"
)
BOXES = words("box bag basket drawer suitcase chest cupboard trunk")


def synonym(phrase: str) -> str:
    """`phrase` with its last word replaced by a synonym where there is one."""
    *rest, last = phrase.split()
    return " ".join([*rest, SYNONYMS.get(last, last)])


def where(place: str) -> str:
    """`place` with its preposition: "in the garden", "at the station"."""
    return ("at the " if place in AT else "in the ") + place


def pick(rng: random.Random, words: tuple, *taken: object) -> object:
    """One of `words` that is none of `taken`."""
    word = rng.choice(words)
    while word in taken:
        word = rng.choice(words)
    return word
