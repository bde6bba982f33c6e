"""Layer maps: which teacher layers each student layer learns from, in the output space.

B batch, C classes (1 for regression), S student layers, T teacher layers.

A layer map is a function from student logits (B, S, C) and teacher logits (B, T, C) to weights
(B, S, T) whose rows sum to one. The paper's is attention; the others are baselines and controls.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LayerMap = Callable[[Tensor, Tensor], Tensor]


def paper_symbols(**names: str) -> Callable:
    """Decorator: accept keywords by other names, as the paper's `tau=` for `temperature=`."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def renamed(*args: object, **options: object) -> object:
            for symbol in names.keys() & options.keys():
                if names[symbol] in options:
                    raise TypeError(f"{symbol} is another name of {names[symbol]}: give one")
                options[names[symbol]] = options.pop(symbol)
            return function(*args, **options)

        return renamed

    return decorate


class LayerProjection(NamedTuple):
    """What each student layer sees of the teacher.

    weights: (B, S, T), rows sum to one: how much student layer s takes from teacher layer t.
    logits: (B, S, C), the teacher's logits, summed with these weights.
    """

    weights: Tensor
    logits: Tensor


@paper_symbols(kappa="attention_temperature")
def attention_projection(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    attention_temperature: float = 1.0,
    regression: bool = False,
) -> LayerProjection:
    """Let every student layer attend over the teacher's layers by what they predict.

    For classes, score(s, t) = <z_S[s], z_T[t]> / kappa with logits centred over the classes. For
    regression a product of two scalars means nothing: score(s, t) = -(z_S[s] - z_T[t])^2 / kappa.
    The weights are the softmax of the scores over t.

    Args:
        student_logits: (B, S, C), z_S.
        teacher_logits: (B, T, C), z_T.
        attention_temperature: kappa, finite and positive. Large is uniform, small picks one layer.
        regression: one output (C = 1) on the scale of the label.

    Returns:
        LayerProjection: `.weights` (B, S, T) and `.logits` (B, S, C), in float32 (float64 for
        float64 input).

    Raises:
        ValueError: a temperature that is not finite and positive, shapes that do not fit, C = 1
            without `regression`.

    Source: attention over teacher outputs is the paper's abstract. The dot product follows ALP-KD
    (Passban et al., AAAI 2021). Centring, kappa and the regression score are our choice.
    """
    check_temperature("attention_temperature", attention_temperature)
    z_s, z_t = check_logits(student_logits, teacher_logits, regression)
    if regression:
        # (B, S, 1) - (B, 1, T) -> (B, S, T)
        score = -((z_s - z_t.transpose(1, 2)) ** 2)
    else:
        # (B, S, 1, C) * (B, 1, T, C) -> (B, S, T); autocast would run a matrix product in half
        # precision.
        score = (centre(z_s).unsqueeze(2) * centre(z_t).unsqueeze(1)).sum(-1)
    weights = torch.softmax(score / attention_temperature, dim=-1)
    return LayerProjection(weights, weighted_sum(weights, z_t))


attend = attention_projection  # its name up to version 0.1


def teacher_query(
    student: Tensor,
    teacher: Tensor,
    *,
    attention_temperature: float = 1.0,
    regression: bool = False,
) -> Tensor:
    """Attention that the deepest teacher layer passed asks for: (B, S, T), alike for all s.

    A student that is wrong does not choose what it is shown. Source: our choice.
    """
    options = {"attention_temperature": attention_temperature, "regression": regression}
    weights = attention_projection(teacher[:, -1:], teacher, **options).weights
    return weights.expand(-1, student.shape[1], -1)


def weighted_sum(weights: Tensor, teacher_logits: Tensor) -> Tensor:
    """Teacher logits (B, T, C) summed with weights (B, S, T): (B, S, C)."""
    return (weights.unsqueeze(-1) * teacher_logits.unsqueeze(1)).sum(2)  # (B, S, T, C) -> (B, S, C)


def centre(logits: Tensor) -> Tensor:
    """Logits minus their mean over the classes, the part of a layer that no softmax sees."""
    return logits - logits.mean(dim=-1, keepdim=True)


def uniform(student: Tensor, teacher: Tensor) -> Tensor:
    """Every teacher layer alike, 1 / T."""
    return torch.full((student.shape[1], teacher.shape[1]), 1 / teacher.shape[1])


def skip(student: Tensor, teacher: Tensor) -> Tensor:
    """Evenly spaced teacher layers, t = round(s T / S) (PKD-skip, Sun et al. 2019).

    S and T count the last layers of both networks, which are not among those passed.
    """
    return _one_layer_each(_skip(student.shape[1], teacher.shape[1]), teacher)


def last(student: Tensor, teacher: Tensor) -> Tensor:
    """The teacher's last layers in their order (PKD-last, Sun et al. 2019)."""
    depth = teacher.shape[1]
    return _one_layer_each(range(depth - student.shape[1] + 1, depth + 1), teacher)


def reverse(student: Tensor, teacher: Tensor) -> Tensor:
    """`skip` read backwards: a null control."""
    return _one_layer_each(_skip(student.shape[1], teacher.shape[1])[::-1], teacher)


def all_to_one(student: Tensor, teacher: Tensor) -> Tensor:
    """The teacher's middle layer for every student layer: a null control."""
    return _one_layer_each([(teacher.shape[1] + 1) // 2] * student.shape[1], teacher)


def deepest(student: Tensor, teacher: Tensor) -> Tensor:
    """The deepest teacher layer passed for every student layer: supervision without a choice."""
    return _one_layer_each([teacher.shape[1]] * student.shape[1], teacher)


def random(student: Tensor, teacher: Tensor, *, seed: int = 0) -> Tensor:
    """A sorted random subset of the teacher's layers, the same for all examples of a call.

    Where there are fewer than student layers, a teacher layer serves twice.
    """
    rng = torch.Generator().manual_seed(seed)
    rounds = -(-student.shape[1] // teacher.shape[1])
    drawn = [torch.randperm(teacher.shape[1], generator=rng) for _ in range(rounds)]
    chosen = torch.cat(drawn)[: student.shape[1]].sort().values
    return _one_layer_each((chosen + 1).tolist(), teacher)


def _skip(s_layers: int, t_layers: int) -> list[int]:
    return [round(s * (t_layers + 1) / (s_layers + 1)) for s in range(1, s_layers + 1)]


def _one_layer_each(layers: list[int] | range, teacher: Tensor) -> Tensor:
    """Weights (S, T): student layer s takes the teacher layer layers[s - 1], counted from 1."""
    index = torch.tensor(list(layers)).clamp(1, teacher.shape[1]) - 1
    return F.one_hot(index, teacher.shape[1]).float()


# Maps that look at the shapes alone. They give (S, T), the same for every example.
STATIC_LAYER_MAPS: dict[str, LayerMap] = {
    "uniform": uniform,
    "skip": skip,
    "last": last,
    "reverse": reverse,
    "all-to-one": all_to_one,
    "deepest": deepest,
}
LAYER_MAPS = ("attention", "teacher-query", *STATIC_LAYER_MAPS, "random")


def static_layer_map(name: str, student: Tensor, teacher: Tensor, *, seed: int = 0) -> Tensor:
    """Weights (S, T) of a named map that does not depend on the example.

    Only the numbers of layers are read: student (B, S, ...), teacher (B, T, ...). Raises ValueError
    for an unknown name.
    """
    if name == "random":
        return random(student, teacher, seed=seed)
    if name not in STATIC_LAYER_MAPS:
        known = ", ".join(LAYER_MAPS)
        raise ValueError(f"unknown layer map {name!r}; choose one of: {known}, or pass a function")
    return STATIC_LAYER_MAPS[name](student, teacher)


@paper_symbols(kappa="attention_temperature", mapping="layer_map")
def layer_map_weights(
    student: Tensor,
    teacher: Tensor,
    layer_map: str | LayerMap = "attention",
    *,
    attention_temperature: float = 1.0,
    regression: bool = False,
    seed: int = 0,
) -> Tensor:
    """Weights (B, S, T) of a layer map, by its name in `LAYER_MAPS` or as a function.

    Args:
        student, teacher: logits (B, S, C) and (B, T, C).
        layer_map: a name, or a function of copies of both to weights (B, S, T) or (S, T).
        attention_temperature: kappa of "attention" and "teacher-query".
        seed: of "random".

    Raises: ValueError for an unknown name, shapes that do not fit, and for a function whose weights
    have another shape, are negative or not finite, or whose rows do not sum to one.
    """
    student, teacher = check_logits(student, teacher, regression)
    options = {"attention_temperature": attention_temperature, "regression": regression}
    if layer_map == "attention":
        return attention_projection(student, teacher, **options).weights
    if layer_map == "teacher-query":
        return teacher_query(student, teacher, **options)
    check_temperature("attention_temperature", attention_temperature)
    shape = (*student.shape[:2], teacher.shape[1])
    if callable(layer_map):
        weights = layer_map(student.clone(), teacher.clone())
        return check_weights(weights, shape, layer_map).to(teacher)
    return static_layer_map(layer_map, student, teacher, seed=seed).to(teacher).expand(shape)


def check_weights(weights: Tensor, shape: tuple[int, int, int], layer_map: LayerMap) -> Tensor:
    """Weights (B, S, T) of a function, or ValueError that says what is wrong with them."""
    name = getattr(layer_map, "__name__", type(layer_map).__name__)
    if not isinstance(weights, Tensor):
        raise ValueError(f"layer map {name} must return a tensor, got {type(weights).__name__}")
    if tuple(weights.shape) not in (shape, shape[1:]):
        got = tuple(weights.shape)
        raise ValueError(f"layer map {name} must return weights (B, S, T) = {shape}, got {got}")
    weights = weights.expand(shape)
    if not torch.isfinite(weights).all():
        raise ValueError(f"layer map {name} returned weights that are not finite")
    if (weights < 0).any():
        raise ValueError(f"layer map {name} returned negative weights: take a softmax over layers")
    sums = weights.sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise ValueError(
            f"layer map {name} returned rows that do not sum to one "
            f"(from {sums.min():.3g} to {sums.max():.3g}): divide by their sum over the layers"
        )
    return weights


def upcast(logits: Tensor) -> Tensor:
    """Half-precision and whole logits as float32; float32 and float64 unchanged."""
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def check_temperature(name: str, value: float) -> None:
    """Raise ValueError unless the temperature is finite and positive."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and positive, got {value!r}")


def check_logits(student: Tensor, teacher: Tensor, regression: bool) -> tuple[Tensor, Tensor]:
    """Both logits (B, S, C) and (B, T, C), upcast, or ValueError that says which size is off."""
    for name, logits in (("student", student), ("teacher", teacher)):
        shape = tuple(logits.shape)
        if logits.dim() != 3:
            raise ValueError(f"{name} logits must be (batch, layers, classes), got shape {shape}")
        if logits.shape[1] == 0:
            raise ValueError(f"{name} logits have no layers: shape {shape}")
    check_same(student, teacher, regression)
    return upcast(student), upcast(teacher)


def check_same(student: Tensor, teacher: Tensor, regression: bool) -> None:
    """Raise ValueError unless batch and classes agree and the classes fit the kind of task."""
    for size, position in (("batch size", 0), ("classes", -1)):
        ours, theirs = student.shape[position], teacher.shape[position]
        if ours != theirs:
            raise ValueError(f"student and teacher differ in {size}: {ours} and {theirs}")
    classes = student.shape[-1]
    if classes == 1 and not regression:
        raise ValueError(
            "one class (C = 1) has no distribution to compare; pass regression=True for a "
            "regression task"
        )
    if classes != 1 and regression:
        raise ValueError(f"a regression task has one output (C = 1), got C = {classes}")
