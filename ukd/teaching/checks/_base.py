"""What all checks share: an unsolved stub is no failure, a wrong answer says what is likely wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch


def exercise(check: Callable[[Callable], str]) -> Callable[[Callable], None]:
    """Make `check(answer)` a check that prints: it raises AssertionError for a wrong answer, and returns what a right one shows.

    A stub that raises NotImplementedError, or returns nothing where something was asked, prints "not solved yet".
    """

    @functools.wraps(check)
    def shown(answer: Callable) -> None:
        try:
            said = check(answer)
        except NotImplementedError:
            print(f"{answer.__name__}: not solved yet")
            return
        print(f"right: {said}")

    return shown


def expect(
    found: Any,
    right: Any,
    mistakes: dict[str, Any] | None = None,
    *,
    what: str = "the answer",
    tolerance: float = 1e-4,
) -> None:
    """Raise AssertionError unless `found` equals `right`; a value that a known mistake gives is told by that mistake's words.

    found, right: numbers, (nested) lists or tensors; mistakes: {what the learner likely did: the value it gives}. Raises
    NotImplementedError where `found` is None: the exercise has been left as it was.
    """
    if found is None:
        raise NotImplementedError
    got, wanted = (torch.as_tensor(value, dtype=torch.float64) for value in (found, right))
    same = lambda value: (
        got.shape == value.shape and torch.allclose(got, value, atol=tolerance, rtol=tolerance)
    )
    if same(wanted):
        return
    for words, value in (mistakes or {}).items():
        if same(torch.as_tensor(value, dtype=torch.float64)):
            raise AssertionError(f"{what}: {words}")
    if got.shape != wanted.shape:
        raise AssertionError(
            f"{what} should have the shape {tuple(wanted.shape)}, got {tuple(got.shape)}"
        )
    rounded = lambda value: [round(x, 3) for x in value.flatten().tolist()]
    raise AssertionError(f"{what} should be {rounded(wanted)}, got {rounded(got)}")
