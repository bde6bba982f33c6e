"""What all checks share: a stub is no failure, and a wrong answer gets a hint."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import log
from typing import Any

import torch
from torch import Tensor

LN2 = log(2)
LN3 = log(3)
# The value that a common mistake gives, and the hint that names the mistake.
Mistakes = Sequence[tuple[Any, str]]


def exercise(check: Callable[[Callable], str]) -> Callable[[Callable], None]:
    """Decorator: print what the check of an answer returns, or that the answer is still a stub.

    check: takes the learner's function, raises AssertionError for a wrong answer, and returns what
        a right one shows. A stub raises NotImplementedError, or returns None.
    """

    @functools.wraps(check)
    def checked(answer: Callable) -> None:
        try:
            lesson = check(answer)
        except NotImplementedError:
            print(f"{answer.__name__}: not solved yet")
            return
        print(f"right: {lesson}")

    return checked


def expect(
    value: Any,
    right: Any,
    mistakes: Mistakes = (),
    *,
    what: str = "the answer",
    tolerance: float = 1e-4,
) -> None:
    """Raise AssertionError unless the value is right; the value of a known mistake gets its hint.

    Args:
        value, right: numbers, (nested) lists or tensors.
        mistakes: values that common mistakes give, with their hints.
        what: what the value is, for the message.
        tolerance: absolute and relative.

    Raises: NotImplementedError where the value is None: the exercise was left as it is.
    """
    if value is None:
        raise NotImplementedError
    given = _tensor(value)
    wanted = _tensor(right)
    if _close(given, wanted, tolerance):
        return
    for wrong, hint in mistakes:
        if _close(given, _tensor(wrong), tolerance):
            raise AssertionError(f"{what}: {hint}")
    if given.shape != wanted.shape:
        shapes = f"{tuple(wanted.shape)}, got {tuple(given.shape)}"
        raise AssertionError(f"{what} should have the shape {shapes}")
    raise AssertionError(f"{what} should be {_rounded(wanted)}, got {_rounded(given)}")


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    return torch.allclose(one, other, atol=tolerance, rtol=tolerance)


def _rounded(values: Tensor) -> list[float]:
    return torch.round(values.flatten(), decimals=3).tolist()
