"""From words of the command line to values, and options in groups.

Errors name the value and what is valid; `ukd.cli.main` prints them in one line.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import fields, is_dataclass
from typing import get_type_hints

import typer

ALL = "all"


def count(text: object) -> int:
    """A whole number of at least 1."""
    word = str(text)
    if not (word.isascii() and word.isdecimal()) or int(word) < 1:
        raise typer.BadParameter(f"must be a whole number of at least 1, got {word!r}")
    return int(word)


def count_or_all(text: object) -> int | str:
    """A whole number of at least 1, or "all", which lifts a limit."""
    if text == ALL:
        return ALL
    try:
        return count(text)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{error.message}; or write all") from None


def positive(text: object) -> float:
    """A finite, positive number."""
    try:
        value = float(str(text))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"must be a positive number, as 5e-4, got {str(text)!r}")
    return value


def one_of(choices: Collection[str], hint: str = "") -> Callable[[object], str]:
    """A parser of one of these words. hint: what may have been meant by another."""

    def parse(text: object) -> str:
        if text not in choices:
            known = ", ".join(choices)
            raise typer.BadParameter(f"must be one of {known}, got {str(text)!r}{hint}")
        return str(text)

    return parse


def map_name(choices: tuple[str, ...]) -> Callable[[object], str]:
    """A parser of one of these names, or of a function's: it has dots."""
    known = one_of(choices, ", nor package.module.function")

    def parse(text: object) -> str:
        return str(text) if "." in str(text) else known(text)

    return parse


def words(text: str) -> tuple[str, ...]:
    """The words of a list with commas, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def counts(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of a list with commas. Raises ValueError for another word, or none."""
    return _each(count, option, text)


def positives(option: str, text: str) -> tuple[float, ...]:
    """The positive numbers of a list with commas. Raises ValueError for another word, or none."""
    return _each(positive, option, text)


def _each(parse: Callable, option: str, text: str) -> tuple:
    """Every word of a list, parsed; equal values once."""
    try:
        values = tuple(dict.fromkeys(parse(word) for word in words(text)))
    except typer.BadParameter as error:
        raise ValueError(f"{option} {text!r}: every value {error.message}") from None
    if not values:
        raise ValueError(f"{option} {text!r} has no values: separate them with commas")
    return values


def names(option: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Known names of a list with commas. Raises ValueError for another name, or none."""
    known = tuple(known)
    chosen = words(text)
    for name in chosen:
        if name not in known:
            raise ValueError(
                f"unknown name {name!r} in {option}; choose among: {', '.join(known)}, or all"
            )
    if not chosen:
        raise ValueError(f"{option} {text!r} has no names; choose among: {', '.join(known)}")
    return chosen


def with_groups(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The command with each dataclass among its parameters replaced by the fields of that class.

    typer then shows every field as an option, and the command gets them as one object.
    """
    groups = {}
    parameters = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        if is_dataclass(parameter.annotation):
            groups[name] = parameter.annotation
            parameters += _parameters_of(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    def flat(**values: object) -> int | None:
        for name, group in groups.items():
            own = {field.name: values.pop(field.name) for field in fields(group)}
            values[name] = group(**own)
        return command(**values)

    flat.__name__ = command.__name__
    flat.__doc__ = command.__doc__
    flat.__signature__ = inspect.Signature(parameters)
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _parameters_of(group: type) -> list[inspect.Parameter]:
    """The fields of a dataclass as parameters of a function."""
    hints = get_type_hints(group, include_extras=True)
    parameters = []
    for field in fields(group):
        parameter = inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        parameters.append(parameter)
    return parameters
