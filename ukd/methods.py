"""The table of methods: each is a name, a source, one or two stages, and where its intermediate terms look.

All intermediate methods are points of one family: the space (output or hidden), the student layers that learn (those below the
last, or the last), the map that says which teacher layers they see, and how what they see is combined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ukd.losses import COMBINE, MAPPINGS
from ukd.projection import check_temperature

SPACES, STUDENTS, KEYS, STAGINGS = ("output", "hidden"), ("below", "last"), ("below", "all"), ("one", "two")


@dataclass(frozen=True)
class Stage:
    """What a stage minimises: the weighted sum of its terms.

    labels, kd: on the last layer. intermediate: in the output space, summed over the student's layers. hidden: in the hidden
    space, likewise. annealed: squared error to the teacher's last logits, which grow to their size over the stage's epochs.
    `share` is the stage's part of the epochs, which are the same for every method.
    """

    name: str
    share: float
    labels: float = 0.0
    kd: float = 0.0
    intermediate: float = 0.0
    hidden: float = 0.0
    annealed: float = 0.0

    @property
    def asks(self) -> bool:
        """Whether the stage learns from the teacher."""
        return any(getattr(self, term) for term in TERMS[1:])


TERMS = ("labels", "kd", "intermediate", "hidden", "annealed")


@dataclass(frozen=True)
class Hidden:
    """A term in the hidden space (see `ukd.hidden.HiddenMatch`): which teacher layers are seen, pooling of the tokens' states,
    unit length, width of a learned projection of both sides, temperature of the attention and whether the gradient flows through it."""

    mapping: str
    pooling: str = "first"
    normalise: bool = True
    width: int | None = None
    kappa: float = 1.0
    attention_grad: bool = True


@dataclass(frozen=True)
class Method:
    """A method: its stages and the options of its losses (see `ukd.intermediate_loss`).

    attention_grad: whether the gradient flows through the attention. By default it does not: what the attention mixes is a target,
    and a target stays where it is. If it does, a confident teacher layer can repel the student (`notebooks/03_projection.ipynb`).
    students: which of them the output-space term teaches, those "below" the last or the "last", which sees all of the
    teacher's. keys: which of the teacher's layers those below the last see, those "below" its last or "all". assistant: learn from
    a network between teacher and student instead of from the teacher.
    """

    name: str
    summary: str
    source: str
    stages: tuple[Stage, ...]
    tau: float = 2.0
    mapping: str = "attention"
    combine: str = "logits"
    kappa: float = 1.0
    attention_grad: bool = False
    students: str = "below"
    keys: str = "below"
    hidden: Hidden | None = None
    assistant: bool = False

    def epochs(self, total: int) -> list[int]:
        """The stages' parts of `total` epochs, which add up to it. Raises ValueError if a stage would get none."""
        ends = [round(total * sum(stage.share for stage in self.stages[: number + 1])) for number in range(len(self.stages))]
        parts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        if min(parts) < 1:
            raise ValueError(f"{self.name} has {len(parts)} stages, and {total} epochs leave one without any: give it more")
        return parts

    @property
    def needs_teacher(self) -> bool:
        """Whether any stage learns from the teacher."""
        return any(stage.asks for stage in self.stages)

    @property
    def attends(self) -> bool:
        """Whether any stage has a term in the output space, so that there is a layer map to look at."""
        return any(stage.intermediate for stage in self.stages)

    @property
    def needs_heads(self) -> bool:
        """Whether the student gets pseudo classifiers."""
        return self.attends and self.students == "below"


def _once(**weights: float) -> tuple[Stage, ...]:
    return (Stage("all", 1.0, **weights),)


def _twice(**weights: float) -> tuple[Stage, ...]:
    return (Stage("teacher", 0.5, **weights), Stage("labels", 0.5, labels=1.0))


_BOTH = _once(labels=0.5, kd=0.5, hidden=0.5)
_UKD = _twice(kd=0.5, intermediate=0.5)
_WITH = _twice(kd=0.5, intermediate=0.5, hidden=0.5)
_PKD, _LAST, _ALP, _RAIL = (
    Hidden("skip"), Hidden("last"), Hidden("attention", normalise=False), Hidden("random", pooling="mean", width=128)
)
METHODS = {
    method.name: method
    for method in (
        Method("no-kd", "labels only", "baseline", (Stage("labels", 1.0, labels=1.0),)),
        Method("kd", "labels and the teacher's last layer, half each", "Hinton et al. 2015", (Stage("kd", 1.0, labels=0.5, kd=0.5),)),
        Method(
            "kd-two-stage", "universal-kd without its intermediate term: what the stages alone do", "control",
            (Stage("teacher", 0.5, kd=0.5), Stage("labels", 0.5, labels=1.0)),
        ),
        Method("universal-kd", "attention over the teacher layers' outputs, then labels", "Wu et al. 2021", _UKD),
        Method(
            "universal-kd-losses", "the same with the losses mixed by the attention, not the logits", "Wu et al. 2021 (ablation)", _UKD,
            combine="losses",
        ),
        Method("pkd-skip", "first-token states of evenly spaced teacher layers, of unit length", "Sun et al. 2019", _BOTH, hidden=_PKD),
        Method("pkd-last", "first-token states of the teacher's last layers, of unit length", "Sun et al. 2019", _BOTH, hidden=_LAST),
        Method(
            "alp-kd", "first-token states mixed by attention", "Passban et al. 2021", _once(labels=0.1, kd=0.7, hidden=0.2), tau=20.0,
            hidden=_ALP,
        ),
        Method(
            "rail-kd", "mean states of teacher layers drawn anew each epoch, projected", "Haidar et al. 2022",
            _once(labels=1 / 3, kd=1 / 3, hidden=1 / 3), tau=10.0, hidden=_RAIL,
        ),
        Method(
            "ckd", "groups of teacher layers, concatenated and projected", "Wu et al. 2020", _BOTH, hidden=Hidden("groups", normalise=False)
        ),
        Method(
            "mhkd", "pseudo classifiers in fixed pairs", "Wang et al. 2021", _once(labels=0.5, kd=0.5, intermediate=0.5), mapping="skip"
        ),
        Method(
            "dih", "the last layer learns from all teacher heads alike", "Asadian & Salehi-Abari 2021", _once(labels=0.5, intermediate=0.5),
            mapping="uniform", combine="losses", students="last",
        ),
        Method(
            "pseudo-ta", "the last layer attends over all teacher heads, then labels", "Wu et al. 2021 for the idea; form: our choice",
            _twice(intermediate=1.0), students="last",
        ),
        Method(
            "takd", "kd from an assistant of middle depth, which learned by kd from the teacher", "Mirzadeh et al. 2020",
            (Stage("kd", 1.0, labels=0.5, kd=0.5),), assistant=True,
        ),
        Method("annealing-kd", "the teacher's logits, growing epoch by epoch, then labels", "Jafari et al. 2021", _twice(annealed=1.0)),
        Method("pkd+universal-kd", "both intermediate terms, then labels", "Wu et al. 2021, merit (i)", _WITH, hidden=_PKD),
        Method("alp-kd+universal-kd", "both intermediate terms, then labels", "Wu et al. 2021, merit (i)", _WITH, hidden=_ALP),
        Method("rail-kd+universal-kd", "both intermediate terms, then labels", "Wu et al. 2021, merit (i)", _WITH, hidden=_RAIL),
        Method("uniform", "universal-kd that looks at all teacher layers alike", "control", _UKD, mapping="uniform"),
        Method("reverse", "universal-kd with fixed pairs, read backwards", "control", _UKD, mapping="reverse"),
        Method("all-to-one", "universal-kd with the middle teacher layer for all", "control", _UKD, mapping="all-to-one"),
        Method("random", "universal-kd with teacher layers drawn anew each epoch", "control", _UKD, mapping="random"),
        Method("hidden-uniform", "pkd that looks at all teacher layers alike", "control", _BOTH, hidden=Hidden("uniform")),
        Method("hidden-reverse", "pkd-skip read backwards", "control", _BOTH, hidden=Hidden("reverse")),
        Method("hidden-all-to-one", "pkd with the middle teacher layer for all", "control", _BOTH, hidden=Hidden("all-to-one")),
        Method("hidden-random", "pkd with teacher layers drawn anew each epoch", "control", _BOTH, hidden=Hidden("random")),
    )
}  # fmt: skip
CORE = ("no-kd", "kd", "kd-two-stage", "universal-kd")
SCENARIOS = {
    "ild": ("no-kd", "kd", "kd-two-stage", "pkd-skip", "pkd-last", "alp-kd", "rail-kd", "ckd", "mhkd", "universal-kd",
            "pkd+universal-kd", "alp-kd+universal-kd", "rail-kd+universal-kd", "uniform", "reverse"),
    "capacity-gap": ("no-kd", "kd", "kd-two-stage", "takd", "annealing-kd", "dih", "pseudo-ta", "universal-kd"),
    "cross-architecture": CORE,
    "ablation": ("kd", "kd-two-stage", "universal-kd", "universal-kd-losses", "uniform", "reverse", "all-to-one", "random",
                 "pkd-skip", "hidden-uniform", "hidden-reverse", "hidden-all-to-one", "hidden-random",
                 "mhkd", "universal-kd:stages=one", "universal-kd:keys=all", "pkd-skip:stages=two",
                 "universal-kd:attention_grad=yes", "universal-kd:kappa=0.1", "universal-kd:kappa=10", "universal-kd:tau=1",
                 "universal-kd:tau=8"),
}  # fmt: skip
STUDENTS_OF = {  # what a scenario changes of the profiles that run on what comes with the kit; presets bring their own students
    "capacity-gap": ({"student_layers": 2},),
    "cross-architecture": ({"student": "bilstm", "student_epochs": 12}, {"student": "gated-cnn", "student_epochs": 12}),
}
ANY_KEYS = ("attention", "uniform", "random")  # maps that serve any number of teacher layers
OPTIONS = ("tau", "mapping", "combine", "kappa", "attention_grad", "students", "keys")


def method(name: str, *, space: str | None = None, stages: str | None = None, **options: object) -> Method:
    """The named method with any of its `OPTIONS` changed; any other point of the family by changing several.

    space: "hidden" moves an output-space term there, with the method's mapping. stages: "one" learns from labels (half) and teacher
    together, "two" from the teacher first and from labels alone then. Raises ValueError that lists what is valid.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of: {', '.join(METHODS)}")
    if unknown := set(options) - set(OPTIONS):
        raise ValueError(f"unknown option {sorted(unknown)[0]!r} of {name}; choose among: {', '.join(OPTIONS)}")
    changes = {key: value for key, value in options.items() if value is not None and value != getattr(METHODS[name], key)}
    _check_reach(METHODS[name], changes)
    chosen = replace(METHODS[name], **changes)
    check_temperature("tau", chosen.tau)
    check_temperature("kappa", chosen.kappa)
    given = {option: getattr(chosen, option) for option in ("mapping", "combine", "students", "keys")} | {"space": space, "stages": stages}
    valid_values = (MAPPINGS, COMBINE, STUDENTS, KEYS, (None, *SPACES), (None, *STAGINGS))
    for (option, value), valid in zip(given.items(), valid_values, strict=True):
        if value not in valid:
            raise ValueError(f"unknown {option} {value!r}; choose one of: {', '.join(filter(None, valid))}")
    if chosen.keys == "all" and chosen.students == "last":
        raise ValueError("students 'last' see all of the teacher's layers as it is: keys are for those below the last")
    if chosen.keys == "all" and chosen.mapping not in ANY_KEYS:
        raise ValueError(f"mapping {chosen.mapping!r} counts the layers below the last (keys below); all are seen by {', '.join(ANY_KEYS)}")
    chosen = _staged(chosen, stages) if stages else chosen
    if space == "output" and chosen.hidden and not chosen.attends:
        raise ValueError(f"{name} has its term in the hidden space: for one in the output space take universal-kd or mhkd")
    return _in_hidden_space(chosen) if space == "hidden" else chosen


def _check_reach(chosen: Method, changes: dict[str, object]) -> None:
    """Raise ValueError for an option that no term of the method has: it would change nothing but the run's name."""
    for option in changes:
        soft = any(stage.kd or stage.intermediate for stage in chosen.stages)
        if not (soft if option == "tau" else chosen.attends):
            where = "a loss with a temperature" if option == "tau" else "a term in the output space"
            raise ValueError(f"{chosen.name} has no {option} to change ({changes[option]!r}): that takes {where}, as in universal-kd")


def _staged(chosen: Method, stages: str) -> Method:
    """A method whose stages are one or two, with its weights of what it learns from the teacher."""
    if not chosen.needs_teacher:
        raise ValueError(f"{chosen.name} learns from labels alone, so it has no stages to choose (stages {stages}): take another method")
    if len(chosen.stages) == 1 + STAGINGS.index(stages):
        return chosen
    teaching = next(stage for stage in chosen.stages if stage.asks)
    weights = {term: getattr(teaching, term) for term in TERMS[1:]}
    return replace(chosen, stages=_twice(**weights) if stages == "two" else _once(labels=0.5, **weights))


def spelled(text: str) -> Method:
    """A method as a list on the command line has it: its name, or with options as in "universal-kd:kappa=0.1:attention_grad=no".

    Raises ValueError for an unknown name or option, or a value of another kind.
    """
    name, *changes = text.split(":")
    options: dict[str, object] = {}
    for change in changes:
        option, given, value = change.partition("=")
        try:
            options[option] = float(value) if option in ("tau", "kappa") else {"yes": True, "no": False}.get(value, value)
        except ValueError:
            given = ""
        if not given or (option == "attention_grad" and value not in ("yes", "no")):
            raise ValueError(f"{change!r} of {text!r} is no option with its value; write as in universal-kd:kappa=0.1:attention_grad=no")
    return method(name, **options)


def _in_hidden_space(chosen: Method) -> Method:
    """A method whose output-space term is one in the hidden space instead."""
    if not chosen.attends or chosen.hidden:
        raise ValueError(f"{chosen.name} has no term in the output space alone that could move to the hidden one: take universal-kd")
    if chosen.combine != "logits" or chosen.students != "below" or chosen.keys != "below":
        raise ValueError("in the hidden space features are mixed first (combine logits), for the layers below the last (students below) "
                         "from those below the last (keys below)")  # fmt: skip
    stages = tuple(replace(stage, intermediate=0.0, hidden=stage.intermediate) for stage in chosen.stages)
    return replace(chosen, stages=stages, hidden=Hidden(chosen.mapping, kappa=chosen.kappa, attention_grad=chosen.attention_grad))
