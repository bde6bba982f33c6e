"""Events and the many ways of telling the same event.

A frame is a list of templates that mean the same: converse verbs, passives, the dative
alternation and synonymous verbs are all just templates.  The roles are {a}, who starts the
event, {b}, the other person, and {t}, the thing.
"""

import random
from dataclasses import dataclass, replace

from data.synthetic.make import lexicon as lex
from data.synthetic.make.base import flip


@dataclass(frozen=True)
class Frame:
    """Templates of one meaning; `family` groups frames of related meaning."""

    family: str
    ways: tuple[str, ...]

    @property
    def roles(self) -> str:
        """The roles that occur, a subset of "abt"."""
        return "".join(role for role in "abt" if "{" + role + "}" in self.ways[0])


def _transfer(give: str, given: str, take: str, taken: str) -> Frame:
    """The ways of telling that {t} goes from {a} to {b}."""
    ways = [
        f"{{a}} {give} {{t}} to {{b}}",
        f"{{a}} {give} {{b}} {{t}}",
        f"{{b}} {take} {{t}} from {{a}}",
        f"{{t}} was {given} to {{b}} by {{a}}",
        f"{{b}} was {given} {{t}} by {{a}}",
        f"{{t}} was {taken} from {{a}} by {{b}}",
    ]
    return Frame("transfer", tuple(ways))


def _act(family: str, roles: str, *verbs: str) -> Frame:
    """Active, passive and cleft forms of synonymous verbs whose past is their participle."""
    active = [f"{{a}} {verb} {{{roles}}}" for verb in verbs]
    passive = [f"{{{roles}}} was {verb} by {{a}}" for verb in verbs]
    cleft = [f"it was {{a}} who {verb} {{{roles}}}" for verb in verbs]
    return Frame(family, tuple(active + passive + cleft))


FRAMES: tuple[Frame, ...] = (
    _transfer("sold", "sold", "bought", "bought"),
    _transfer("lent", "lent", "borrowed", "borrowed"),
    _transfer("gave", "given", "received", "received"),
    _transfer("handed", "handed", "accepted", "accepted"),
    Frame(
        "transfer",
        (
            "{a} offered {t} to {b}",
            "{a} offered {b} {t}",
            "{b} was offered {t} by {a}",
            "{t} was offered to {b} by {a}",
        ),
    ),
    Frame(
        "transfer",
        (
            "{a} sent {t} to {b}",
            "{a} sent {b} {t}",
            "{b} got {t} from {a}",
            "{t} was sent to {b} by {a}",
            "{a} mailed {t} to {b}",
        ),
    ),
    Frame(
        "display",
        (
            "{a} showed {t} to {b}",
            "{a} showed {b} {t}",
            "{b} was shown {t} by {a}",
            "{t} was shown to {b} by {a}",
            "{a} let {b} see {t}",
        ),
    ),
    Frame(
        "display",
        (
            "{a} described {t} to {b}",
            "{b} heard about {t} from {a}",
            "{t} was described to {b} by {a}",
            "{a} told {b} about {t}",
        ),
    ),
    _act("care", "t", "repaired", "fixed", "mended"),
    _act("care", "t", "cleaned", "washed"),
    _act("care", "t", "painted"),
    _act("harm", "t", "damaged", "spoiled"),
    _act("harm", "t", "destroyed", "ruined"),
    _act("search", "t", "found", "discovered"),
    _act("search", "t", "lost", "misplaced"),
    _act("search", "t", "buried"),
    _act("meeting", "b", "invited"),
    _act("meeting", "b", "visited"),
    _act("meeting", "b", "welcomed", "greeted"),
    _act("help", "b", "helped", "assisted"),
    _act("help", "b", "rescued", "saved"),
    _act("help", "b", "praised"),
    _act("quarrel", "b", "followed", "chased"),
    _act("quarrel", "b", "insulted", "offended"),
    _act("quarrel", "b", "accused", "blamed"),
    Frame(
        "talk",
        (
            "{a} interviewed {b}",
            "{b} was interviewed by {a}",
            "{b} answered the questions of {a}",
            "{a} put questions to {b}",
        ),
    ),
    Frame(
        "lesson",
        (
            "{a} taught {b} chess",
            "{b} learned chess from {a}",
            "{b} was taught chess by {a}",
            "{a} gave {b} chess lessons",
        ),
    ),
    Frame(
        "lesson",
        (
            "{a} taught {b} to swim",
            "{b} learned to swim from {a}",
            "{b} was taught to swim by {a}",
            "{a} gave {b} swimming lessons",
        ),
    ),
    Frame("work", ("{a} employed {b}", "{b} was employed by {a}", "{b} worked for {a}")),
    Frame(
        "game",
        (
            "{a} defeated {b} at cards",
            "{a} won against {b} at cards",
            "{b} lost to {a} at cards",
            "{b} was beaten at cards by {a}",
        ),
    ),
)
TRANSFERS = tuple(frame for frame in FRAMES if frame.roles == "abt")
BETWEEN = tuple(frame for frame in FRAMES if frame.roles == "ab")


@dataclass(frozen=True)
class Event:
    """Who did what to whom, where and when; `a` and `b` are noun phrases, `t` a noun."""

    frame: Frame
    a: str
    b: str
    t: str
    place: str = ""
    time: str = ""

    def swapped(self) -> "Event":
        """The event with the two people in each other's role."""
        return replace(self, a=self.b, b=self.a)


def person(rng: random.Random, *taken: str) -> str:
    """A name or, one time in four, a trade ("the baker"), none of `taken`."""
    while True:
        who = "the " + rng.choice(lex.TRADES) if flip(rng, 0.25) else rng.choice(lex.PEOPLE)
        if who not in taken:
            return who


def things(frame: Frame) -> tuple[str, ...]:
    """The things that suit a frame: what is repaired or painted must be made for it."""
    return lex.MADE if frame.roles == "at" else lex.GOODS


def draw(rng: random.Random, frames: tuple[Frame, ...] = FRAMES, adjuncts: float = 0.5) -> Event:
    """A random event; place and time are each given with probability `adjuncts`."""
    frame = rng.choice(frames)
    a = person(rng)
    place = rng.choice(lex.OUTSIDE) if flip(rng, adjuncts) else ""
    time = rng.choice(lex.TIMES) if flip(rng, adjuncts) else ""
    return Event(frame, a, person(rng, a), rng.choice(things(frame)), place, time)


def clause(event: Event, way: str) -> str:
    """The event told by the template `way`, without place and time."""
    return way.format(a=event.a, b=event.b, t="the " + event.t)


def tell(rng: random.Random, event: Event, avoid: str = "", cleft: bool = True) -> tuple[str, str]:
    """A clause with place and time in a free order, and the template it used (never `avoid`).

    `cleft` permits "it was Anna who ...", which reads badly in a subordinate clause.
    """
    ways = tuple(way for way in event.frame.ways if cleft or not way.startswith("it was"))
    way = lex.pick(rng, ways, avoid)
    text = clause(event, way)
    if event.place:
        text += " " + lex.where(event.place)
    if event.time:
        text = f"{event.time}, {text}" if flip(rng) else f"{text} {event.time}"
    return text, way
