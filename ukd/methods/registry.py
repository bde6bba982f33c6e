"""Methods by name, with their options changed: `get_method("universal-kd", temperature=4.0)`."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real

from ukd.config.choices import SPACES, STAGE_COUNTS, STUDENT_LAYERS, TEACHER_LAYERS
from ukd.losses import ATTENTION_ON
from ukd.methods.method import (
    OPTIONS,
    TEACHER_TERMS,
    HiddenStateConfig,
    Method,
    one_stage,
    two_stages,
)
from ukd.methods.own_maps import is_own, named
from ukd.methods.stage_options import STAGE_OPTIONS, with_stage_options
from ukd.methods.table import METHODS
from ukd.projection import check_temperature

# Maps that serve any number of teacher layers, the last one among them.
MAPS_OVER_ALL = ("attention", "teacher-query", "uniform", "random", "deepest")
# The paper's symbols, and the names up to version 0.1, for the same options.
OPTION_ALIASES = {
    "tau": "temperature",
    "kappa": "attention_temperature",
    "mapping": "layer_map",
    "combine": "attention_on",
}
ATTENDING = ("attention", "teacher-query")
OF_ATTENTION = ("attention_temperature", "detach_attention")
SWITCHES = ("detach_attention", "intermediate_decay")
NUMBERS = ("temperature", "attention_temperature", "intermediate_weight", "teacher_stage")
CHOICES = {
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
        intermediate_weight, intermediate_decay, teacher_stage: see `with_stage_options`.
        options: of `OPTIONS`; `tau`, `kappa`, `mapping` and `combine` are other names of four.
            `layer_map` may be a function of a file, or "package.module.function".

    Raises: ValueError that lists what is valid, and for an option that would change nothing.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of: {', '.join(METHODS)}")
    for option, value in options.items():
        _check_kind(OPTION_ALIASES.get(option, option), value)
    of_stages = {option: options.pop(option) for option in STAGE_OPTIONS if option in options}
    changes = _changes(METHODS[name], options)
    _check_choices(changes | {"space": space, "stages": stages})
    _check_reach(METHODS[name], changes)
    chosen = replace(METHODS[name], **changes)
    _check_attends(chosen, changes)
    check_temperature("temperature", chosen.temperature)
    check_temperature("attention_temperature", chosen.attention_temperature)
    _check_teacher_layers(chosen)
    if stages:
        chosen = _with_stages(chosen, stages)
    chosen = with_stage_options(chosen, **of_stages)
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
            known = ", ".join((*OPTIONS, *STAGE_OPTIONS, "stages", "space"))
            raise ValueError(f"unknown option {given!r} of {method.name}; choose among: {known}")
        if option == "layer_map" and value is not None:
            value = named(value)
        if value is not None and value != getattr(method, option):
            changes[option] = value
    return changes


def _check_kind(option: str, value: object) -> None:
    """Raise ValueError for a value that is no number, or neither True nor False, where it must be.

    A text such as "no" would count as true.
    """
    if value is None:
        return
    if option in SWITCHES and not isinstance(value, bool):
        raise ValueError(f"{option} must be True or False, got {value!r}")
    if option in NUMBERS and (isinstance(value, bool) or not isinstance(value, Real)):
        raise ValueError(f"{option} must be a number, got {value!r}")


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


def _check_attends(method: Method, changes: dict[str, object]) -> None:
    """Raise ValueError for an option of the attention that changes nothing with the layer map."""
    layer_map = method.layer_map
    reasons: dict[str, str] = {}
    if not attends(layer_map):
        reasons = dict.fromkeys(OF_ATTENTION, "does not look at what is predicted")
        if layer_map != "uniform":
            reasons["attention_on"] = "shows one teacher layer, so nothing is summed"
    if is_own(layer_map):
        reasons["attention_temperature"] = "has a temperature of its own"
    if layer_map == "teacher-query":
        reasons["detach_attention"] = "depends on no student"
    for option, value in changes.items():
        if option in reasons:
            raise ValueError(
                f"{method.name} has no {option} to change ({value!r}): layer_map {layer_map} "
                f"{reasons[option]}; take attention"
            )


def attends(layer_map: str) -> bool:
    """Whether a map's weights depend on the logits: of the named ones, or a function's name."""
    return layer_map in ATTENDING or is_own(layer_map)


def _check_teacher_layers(method: Method) -> None:
    """Raise ValueError where all of the teacher's layers can't be what the student's see."""
    if method.teacher_layers != "all":
        return
    if method.student_layers == "last":
        raise ValueError(
            "student_layers 'last' sees all of the teacher's layers already: teacher_layers is "
            "for the intermediate ones"
        )
    if method.layer_map not in MAPS_OVER_ALL and not is_own(method.layer_map):
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
    if method.layer_map == "teacher-query" or is_own(method.layer_map):
        raise ValueError(
            f"layer_map {method.layer_map} compares what the teacher's layers predict, which "
            "hidden states are not: take attention"
        )
    layers = (method.student_layers, method.teacher_layers)
    if method.attention_on != "logits" or layers != ("intermediate", "intermediate"):
        raise ValueError(
            "in the hidden space states are summed first (attention_on logits), and the "
            "intermediate layers of both sides meet (student_layers and teacher_layers "
            "intermediate)"
        )
    if any(stage.intermediate_decay for stage in method.stages):
        raise ValueError(
            "in the hidden space the term keeps its weight (intermediate_decay no): take space "
            "output"
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

    Options follow after colons, as in "universal-kd:kappa=0.1:detach_attention=no" or
    "universal-kd:layer_map=my_maps.two_deepest". Raises ValueError for an unknown name or option,
    or a value of another kind.
    """
    name, *changes = text.split(":")
    options: dict[str, object] = {}
    for change in changes:
        option, _, value = change.partition("=")
        option = OPTION_ALIASES.get(option, option)
        if option in options:
            raise ValueError(f"{text!r} has {option} twice: give one value")
        options[option] = _parse_value(option, value, text)
    return get_method(name, **options)


def _parse_value(option: str, value: str, text: str) -> object:
    """An option's value from its text."""
    example = "write as in universal-kd:kappa=0.1:detach_attention=no"
    if option in NUMBERS:
        try:
            return float(value)
        except ValueError:
            message = f"{option} of {text!r} must be a number, got {value!r}; {example}"
            raise ValueError(message) from None
    if option in SWITCHES:
        if value not in ("yes", "no"):
            raise ValueError(f"{option} of {text!r} must be yes or no, got {value!r}; {example}")
        return value == "yes"
    if not value:
        raise ValueError(f"{option!r} of {text!r} has no value; {example}")
    return value
