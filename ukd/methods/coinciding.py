"""Methods that are one for a student, because their layer maps are: said before they are run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, replace

import torch
import torch.nn.functional as F

from ukd.methods.method import Method
from ukd.projection import STATIC_LAYER_MAPS, static_layer_map

Rows = tuple[tuple[float, ...], ...]


def map_rows(
    layer_map: str, s_layers: int, t_layers: int, *, hidden_last: bool = False
) -> Rows | None:
    """Weights of a layer map that looks at no example, a row a student layer; else None.

    With one teacher layer to see every map is the same.

    Args:
        s_layers, t_layers: the layers that meet.
        hidden_last: the teacher has a further layer, which is not seen; its weights are 0.
    """
    if layer_map in STATIC_LAYER_MAPS:
        weights = static_layer_map(
            layer_map, torch.empty(1, s_layers, 1), torch.empty(1, t_layers, 1)
        )
    elif t_layers == 1:
        weights = torch.ones(s_layers, 1)
    else:
        return None
    return tuple(map(tuple, F.pad(weights, (0, int(hidden_last))).tolist()))


def coinciding(
    methods: Iterable[Method], student_depth: int, teacher_depth: int
) -> list[tuple[str, ...]]:
    """Names of methods that train the same student, as lists of two and more.

    They differ by name and layer map alone, and the maps' weights are equal between a student and a
    teacher of these depths: with one intermediate layer skip, reverse and all-to-one are one map.
    """
    found: dict[object, list[str]] = {}
    for method in methods:
        alike = _without_map(method, student_depth, teacher_depth)
        if alike is not None:
            found.setdefault(alike, []).append(method.name)
    return [tuple(names) for names in found.values() if len(names) > 1]


def _without_map(method: Method, student_depth: int, teacher_depth: int) -> object:
    """What decides a method's result, the weights in place of its map; None for another map."""
    s_layers, t_layers = student_depth - 1, teacher_depth - 1
    plain = replace(method, name="", summary="", source="")
    if s_layers < 1 or t_layers < 1:
        return None
    rows = []
    if method.has_intermediate_loss:
        if method.student_layers == "last":
            rows.append(map_rows(method.layer_map, 1, teacher_depth))
        else:
            every = method.teacher_layers == "all"
            seen = teacher_depth if every else t_layers
            rows.append(map_rows(method.layer_map, s_layers, seen, hidden_last=not every))
        options = {"layer_map": "", "teacher_layers": "", "attention_temperature": 0.0}
        plain = replace(plain, **options)
    if method.hidden:
        rows.append(map_rows(method.hidden.layer_map, s_layers, t_layers))
        hidden = replace(method.hidden, layer_map="", attention_temperature=0.0)
        # No weight is learned from, or stopped, where none depends on the student.
        plain = replace(plain, hidden=replace(hidden, detach_attention=True))
    if not rows or None in rows or getattr(method.hidden, "layer_map", "") == "groups":
        return None
    return (repr(astuple(plain)), tuple(rows))
