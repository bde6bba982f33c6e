"""How much the intermediate term counts, and for how long: options that change the stages."""

from __future__ import annotations

import math
from dataclasses import replace

from ukd.methods.method import HALF, Method, Stage

STAGE_OPTIONS = ("intermediate_weight", "intermediate_decay", "teacher_stage")


def with_stage_options(
    method: Method,
    *,
    intermediate_weight: float | None = None,
    intermediate_decay: bool | None = None,
    teacher_stage: float | None = None,
) -> Method:
    """The method with these changed, or as it is where they are None.

    Args:
        intermediate_weight: of the term in the output space, a student layer; usually 0.5. The
            terms of the last layer keep their weights.
        intermediate_decay: lower that weight epoch by epoch, from the whole in the first to 1/E of
            it in the last of the stage's E epochs.
        teacher_stage: part of all epochs that the first of two stages gets; usually 0.5.

    Raises: ValueError for a value out of range, and for an option that would change nothing.
    """
    stages = method.stages
    if intermediate_weight is not None:
        _check_term(method, "intermediate_weight", intermediate_weight)
        if not (math.isfinite(intermediate_weight) and intermediate_weight > 0):
            raise ValueError(
                f"intermediate_weight must be finite and positive, got {intermediate_weight!r}; "
                "kd-two-stage is universal-kd without the term"
            )
        stages = _with_term(stages, intermediate=float(intermediate_weight))
    if intermediate_decay is not None:
        _check_term(method, "intermediate_decay", intermediate_decay)
        stages = _with_term(stages, intermediate_decay=intermediate_decay)
    if teacher_stage is not None:
        stages = _with_fractions(method.name, stages, teacher_stage)
    return replace(method, stages=stages)


def _check_term(method: Method, option: str, value: object) -> None:
    if not method.has_intermediate_loss:
        raise ValueError(
            f"{method.name} has no {option} to change ({value!r}): that takes a term in the output "
            "space, as in universal-kd"
        )


def _with_term(stages: tuple[Stage, ...], **changes: object) -> tuple[Stage, ...]:
    """The stages with the intermediate term changed where they have one."""
    return tuple(replace(one, **changes) if one.intermediate else one for one in stages)


def _with_fractions(name: str, stages: tuple[Stage, ...], first: float) -> tuple[Stage, ...]:
    if len(stages) != 2:
        raise ValueError(
            f"{name} has one stage, so none gets a part of the epochs (teacher_stage {first!r}): "
            "take two (stages two)"
        )
    if not 0 < first < 1:
        raise ValueError(f"teacher_stage must be above 0 and below 1, got {first!r}")
    teaching, labels = stages
    return (
        replace(teaching, epoch_fraction=float(first)),
        replace(labels, epoch_fraction=1 - float(first)),
    )


def changed_stage_options(settings: dict, usual: dict) -> list[str]:
    """The options above in which a method's settings differ from the usual ones: "name=value"."""
    changed = []
    weight, usual_weight = _weight_of(settings), _weight_of(usual)
    if weight != usual_weight:
        changed.append(f"intermediate_weight={weight!r}")
    if any(stage.get("intermediate_decay") for stage in settings["stages"]):
        changed.append("intermediate_decay=True")
    first = settings["stages"][0]["epoch_fraction"]
    if len(settings["stages"]) == 2 and first != HALF:
        changed.append(f"teacher_stage={first!r}")
    return changed


def _weight_of(settings: dict) -> float:
    """The largest weight of the term in the output space, or of the one that took its place."""
    outer = max(stage["intermediate"] for stage in settings["stages"])
    return outer or max(stage["hidden"] for stage in settings["stages"])
