"""The table of methods: a name, a source, stages, and what the intermediate terms compare.

A new method is one entry of `METHODS`; the tests run it with every other.
"""

from __future__ import annotations

from dataclasses import replace

from ukd.losses import ATTENTION_ON
from ukd.methods.method import (
    SPACES,
    STAGE_COUNTS,
    STUDENT_LAYERS,
    TEACHER_LAYERS,
    TEACHER_TERMS,
    HiddenStateConfig,
    Method,
    Stage,
    one_stage,
    two_stages,
)
from ukd.projection import LAYER_MAPS, check_temperature

_WU = "Wu et al. 2021"
_MERIT_1 = "Wu et al. 2021, merit (i)"
_PKD = HiddenStateConfig("skip")
_PKD_LAST = HiddenStateConfig("last")
_ALP = HiddenStateConfig("attention", normalise=False)
_RAIL = HiddenStateConfig("random", pooling="mean", width=128)
_CKD = HiddenStateConfig("groups", normalise=False)
_LABELS = (Stage("labels", 1.0, labels=1.0),)
_KD = (Stage("kd", 1.0, labels=0.5, kd=0.5),)
_KD_TWO_STAGE = two_stages(kd=0.5)
_UNIVERSAL_KD = two_stages(kd=0.5, intermediate=0.5)
_BOTH_SPACES = two_stages(kd=0.5, intermediate=0.5, hidden=0.5)
_HIDDEN = one_stage(labels=0.5, kd=0.5, hidden=0.5)

_BASELINES = (
    Method("no-kd", "labels only", "baseline", _LABELS),
    Method("kd", "labels and the teacher's last layer, half each", "Hinton et al. 2015", _KD),
    Method(
        "kd-two-stage",
        "universal-kd without its intermediate term: the stages alone",
        "control",
        _KD_TWO_STAGE,
    ),
)
_UNIVERSAL = (
    Method(
        "universal-kd",
        "attention over the teacher layers' outputs, then labels",
        _WU,
        _UNIVERSAL_KD,
    ),
    Method(
        "universal-kd-losses",
        "the same with the attention on losses, not on logits",
        "Wu et al. 2021 (ablation)",
        _UNIVERSAL_KD,
        attention_on="losses",
    ),
)
_HIDDEN_SPACE = (
    Method(
        "pkd-skip",
        "first-token states of evenly spaced teacher layers, of unit length",
        "Sun et al. 2019",
        _HIDDEN,
        hidden=_PKD,
    ),
    Method(
        "pkd-last",
        "first-token states of the teacher's last layers, of unit length",
        "Sun et al. 2019",
        _HIDDEN,
        hidden=_PKD_LAST,
    ),
    Method(
        "alp-kd",
        "first-token states, summed by attention",
        "Passban et al. 2021",
        one_stage(labels=0.1, kd=0.7, hidden=0.2),
        temperature=20.0,
        hidden=_ALP,
    ),
    Method(
        "rail-kd",
        "mean states of teacher layers drawn anew each epoch, projected",
        "Haidar et al. 2022",
        one_stage(labels=1 / 3, kd=1 / 3, hidden=1 / 3),
        temperature=10.0,
        hidden=_RAIL,
    ),
    Method(
        "ckd",
        "groups of teacher layers, concatenated and projected",
        "Wu et al. 2020",
        _HIDDEN,
        hidden=_CKD,
    ),
)
_OUTPUT_SPACE = (
    Method(
        "mhkd",
        "pseudo classifiers in fixed pairs",
        "Wang et al. 2021",
        one_stage(labels=0.5, kd=0.5, intermediate=0.5),
        layer_map="skip",
    ),
    Method(
        "dih",
        "the last layer learns from all teacher heads alike",
        "Asadian & Salehi-Abari 2021",
        one_stage(labels=0.5, intermediate=0.5),
        layer_map="uniform",
        attention_on="losses",
        student_layers="last",
    ),
    Method(
        "pseudo-ta",
        "the last layer attends over all teacher heads, then labels",
        "Wu et al. 2021 for the idea; form: our choice",
        two_stages(intermediate=1.0),
        student_layers="last",
    ),
)
_CAPACITY_GAP = (
    Method(
        "takd",
        "kd from an assistant of middle depth, which learned by kd from the teacher",
        "Mirzadeh et al. 2020",
        _KD,
        assistant=True,
    ),
    Method(
        "annealing-kd",
        "the teacher's logits, growing epoch by epoch, then labels",
        "Jafari et al. 2021",
        two_stages(annealed=1.0),
    ),
)
_COMBINED = (
    Method(
        "pkd+universal-kd",
        "both intermediate terms, then labels",
        _MERIT_1,
        _BOTH_SPACES,
        hidden=_PKD,
    ),
    Method(
        "alp-kd+universal-kd",
        "both intermediate terms, then labels",
        _MERIT_1,
        _BOTH_SPACES,
        hidden=_ALP,
    ),
    Method(
        "rail-kd+universal-kd",
        "both intermediate terms, then labels",
        _MERIT_1,
        _BOTH_SPACES,
        hidden=_RAIL,
    ),
)


def _output_control(name: str, summary: str, layer_map: str, **options: str) -> Method:
    return Method(name, summary, "control", _UNIVERSAL_KD, layer_map=layer_map, **options)


def _hidden_control(name: str, summary: str, layer_map: str) -> Method:
    return Method(name, summary, "control", _HIDDEN, hidden=HiddenStateConfig(layer_map))


_CONTROLS = (
    _output_control("uniform", "universal-kd with uniform weights", "uniform"),
    _output_control("reverse", "universal-kd with fixed pairs, read backwards", "reverse"),
    _output_control(
        "all-to-one", "universal-kd with the middle teacher layer for all", "all-to-one"
    ),
    _output_control("random", "universal-kd with teacher layers drawn anew each epoch", "random"),
    _output_control(
        "deepest",
        "every intermediate layer learns the deepest intermediate teacher head",
        "deepest",
    ),
    _output_control(
        "final",
        "every intermediate layer learns the teacher's own last layer",
        "deepest",
        teacher_layers="all",
    ),
    _hidden_control("hidden-uniform", "pkd with uniform weights", "uniform"),
    _hidden_control("hidden-reverse", "pkd-skip read backwards", "reverse"),
    _hidden_control("hidden-all-to-one", "pkd with the middle teacher layer for all", "all-to-one"),
    _hidden_control("hidden-random", "pkd with teacher layers drawn anew each epoch", "random"),
)
METHODS = {
    method.name: method
    for method in (
        *_BASELINES,
        *_UNIVERSAL,
        *_HIDDEN_SPACE,
        *_OUTPUT_SPACE,
        *_CAPACITY_GAP,
        *_COMBINED,
        *_CONTROLS,
    )
}
# Maps that serve any number of teacher layers, the last one among them.
MAPS_OVER_ALL = ("attention", "uniform", "random", "deepest")
OPTIONS = (
    "temperature",
    "layer_map",
    "attention_on",
    "attention_temperature",
    "detach_attention",
    "student_layers",
    "teacher_layers",
)
# The paper's symbols, and the names up to version 0.1, for the same options.
OPTION_ALIASES = {
    "tau": "temperature",
    "kappa": "attention_temperature",
    "mapping": "layer_map",
    "combine": "attention_on",
}
CHOICES = {
    "layer_map": LAYER_MAPS,
    "attention_on": ATTENTION_ON,
    "student_layers": STUDENT_LAYERS,
    "teacher_layers": TEACHER_LAYERS,
    "space": SPACES,
    "stages": STAGE_COUNTS,
}


def get_method(
    name: str, *, space: str | None = None, stages: str | None = None, **options: object
) -> Method:
    """The named method with any of its `OPTIONS` changed.

    Args:
        space: "hidden" moves an output-space term there, with the method's layer map.
        stages: "one" learns from labels (half) and teacher together, "two" from the teacher first
            and from labels alone then.
        options: of `OPTIONS`; `tau`, `kappa`, `mapping` and `combine` are other names of four.

    Raises: ValueError that lists what is valid, and for an option that would change nothing.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of: {', '.join(METHODS)}")
    changes = _changes(METHODS[name], options)
    _check_choices(changes | {"space": space, "stages": stages})
    _check_reach(METHODS[name], changes)
    chosen = replace(METHODS[name], **changes)
    check_temperature("temperature", chosen.temperature)
    check_temperature("attention_temperature", chosen.attention_temperature)
    _check_teacher_layers(chosen)
    if stages:
        chosen = _with_stages(chosen, stages)
    if space == "output" and chosen.hidden and not chosen.has_intermediate_loss:
        raise ValueError(
            f"{name} has its term in the hidden space: for one in the output space take "
            "universal-kd or mhkd"
        )
    return _in_hidden_space(chosen) if space == "hidden" else chosen


def _changes(method: Method, options: dict[str, object]) -> dict[str, object]:
    """The options under their own names, without those that are not given or as they were."""
    changes = {}
    for given, value in options.items():
        option = OPTION_ALIASES.get(given, given)
        if option not in OPTIONS:
            known = ", ".join(OPTIONS)
            raise ValueError(f"unknown option {given!r} of {method.name}; choose among: {known}")
        if value is not None and value != getattr(method, option):
            changes[option] = value
    return changes


def _check_choices(given: dict[str, object]) -> None:
    """Raise ValueError for a value that an option does not have."""
    for option, value in given.items():
        known = CHOICES.get(option)
        if known and value is not None and value not in known:
            raise ValueError(f"unknown {option} {value!r}; choose one of: {', '.join(known)}")


def _check_reach(method: Method, changes: dict[str, object]) -> None:
    """Raise ValueError for an option that would have no effect on the method."""
    has_soft_targets = any(stage.kd or stage.intermediate for stage in method.stages)
    for option, value in changes.items():
        if option == "temperature":
            reaches = has_soft_targets
            needed = "a loss with a temperature"
        else:
            reaches = method.has_intermediate_loss
            needed = "a term in the output space"
        if not reaches:
            raise ValueError(
                f"{method.name} has no {option} to change ({value!r}): that takes {needed}, "
                "as in universal-kd"
            )


def _check_teacher_layers(method: Method) -> None:
    """Raise ValueError where all of the teacher's layers can't be what the student's see."""
    if method.teacher_layers != "all":
        return
    if method.student_layers == "last":
        raise ValueError(
            "student_layers 'last' sees all of the teacher's layers already: teacher_layers is "
            "for the intermediate ones"
        )
    if method.layer_map not in MAPS_OVER_ALL:
        raise ValueError(
            f"layer_map {method.layer_map!r} counts the intermediate layers (teacher_layers "
            f"intermediate); all are seen by {', '.join(MAPS_OVER_ALL)}"
        )


def _with_stages(method: Method, stages: str) -> Method:
    """A method in one or two stages, with its weights of the terms that use the teacher."""
    if not method.needs_teacher:
        raise ValueError(
            f"{method.name} learns from labels alone, so it has no stages to choose "
            f"(stages {stages}): take another method"
        )
    if len(method.stages) == 1 + STAGE_COUNTS.index(stages):
        return method
    teaching = next(stage for stage in method.stages if stage.uses_teacher)
    weights = {term: getattr(teaching, term) for term in TEACHER_TERMS}
    if stages == "two":
        return replace(method, stages=two_stages(**weights))
    return replace(method, stages=one_stage(labels=0.5, **weights))


def _in_hidden_space(method: Method) -> Method:
    """A method whose output-space term is one in the hidden space instead."""
    if not method.has_intermediate_loss or method.hidden:
        raise ValueError(
            f"{method.name} has no term in the output space alone that could move to the hidden "
            "one: take universal-kd"
        )
    layers = (method.student_layers, method.teacher_layers)
    if method.attention_on != "logits" or layers != ("intermediate", "intermediate"):
        raise ValueError(
            "in the hidden space states are summed first (attention_on logits), and the "
            "intermediate layers of both sides meet (student_layers and teacher_layers "
            "intermediate)"
        )
    stages = []
    for stage in method.stages:
        stages.append(replace(stage, intermediate=0.0, hidden=stage.intermediate))
    hidden = HiddenStateConfig(
        method.layer_map,
        attention_temperature=method.attention_temperature,
        detach_attention=method.detach_attention,
    )
    return replace(method, stages=tuple(stages), hidden=hidden)


def parse_method(text: str) -> Method:
    """A method as written in a list: "universal-kd", or with options "universal-kd:kappa=0.1".

    Options follow after colons, as in "universal-kd:kappa=0.1:detach_attention=no". Raises
    ValueError for an unknown name or option, or a value of another kind.
    """
    name, *changes = text.split(":")
    options: dict[str, object] = {}
    for change in changes:
        option, _, value = change.partition("=")
        options[option] = _parse_value(OPTION_ALIASES.get(option, option), value, text)
    return get_method(name, **options)


def _parse_value(option: str, value: str, text: str) -> object:
    """An option's value from its text."""
    example = "write as in universal-kd:kappa=0.1:detach_attention=no"
    if option in ("temperature", "attention_temperature"):
        try:
            return float(value)
        except ValueError:
            message = f"{option} of {text!r} must be a number, got {value!r}; {example}"
            raise ValueError(message) from None
    if option == "detach_attention":
        if value not in ("yes", "no"):
            raise ValueError(f"{option} of {text!r} must be yes or no, got {value!r}; {example}")
        return value == "yes"
    if not value:
        raise ValueError(f"{option!r} of {text!r} has no value; {example}")
    return value
