"""Options that several commands share, in groups, and what each group builds.

torch is imported only where something is built, so that `ukd --help` is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ukd.cli.parse import count, map_name, one_of, positive
from ukd.config.choices import (
    AUTO_PRECISION,
    GLUE_TASKS,
    PRECISIONS,
    SPACES,
    STAGE_COUNTS,
    STUDENT_LAYERS,
    SYNTHETIC_TASKS,
    TEACHER_LAYERS,
)

if TYPE_CHECKING:
    from ukd.config.cluster import Cluster
    from ukd.config.runtime import Runtime
    from ukd.methods.method import Method

# The method's own files import nothing of the package's, so their words stand here once more.
LAYER_MAPS = (
    "attention",
    "teacher-query",
    "uniform",
    "skip",
    "last",
    "reverse",
    "all-to-one",
    "deepest",
    "random",
)
ATTENTION_ON = ("logits", "losses")
BY_PRESET = "[default: the preset's]"
BY_METHOD = "[default: the method's]"


def number(*names: str, text: str, default: str, parser: Callable = count) -> object:
    """An option that takes a number; the text says its unit."""
    metavar = "X" if parser is positive else "N"
    return typer.Option(*names, parser=parser, metavar=metavar, help=f"{text}  {default}".rstrip())


def text(*names: str, metavar: str, text: str, **settings: object) -> object:
    """An option that takes a name, a list or a path."""
    return typer.Option(*names, metavar=metavar, help=text, **settings)


def choice(*names: str, choices: Collection[str], text: str, hint: str = "") -> object:
    """An option that takes one of a few words."""
    metavar = "NAME" if len(choices) > 4 else "|".join(choices)
    return typer.Option(*names, parser=one_of(choices, hint), metavar=metavar, help=text)


TaskName = Annotated[
    str,
    text(
        "--task",
        metavar="TASK",
        text=f"Of the synthetic suite: {', '.join(SYNTHETIC_TASKS)}; of GLUE: "
        f"{', '.join(GLUE_TASKS)}.",
    ),
]
Source = Annotated[
    str | None,
    text(
        "--source",
        metavar="SOURCE",
        text="Where the data is: 'synthetic', 'hub' (GLUE), or a folder in the hub's layout.  "
        "[default: the task's]",
    ),
]
RunsFolder = Annotated[
    Path | None,
    text(
        "--runs",
        metavar="FOLDER",
        text="Of runs or of records.  [default: the committed runs]",
    ),
]


TeacherLogits = Annotated[
    Path | None,
    text(
        "--teacher-logits",
        metavar="FOLDER",
        text="Logits of a teacher, kept by `ukd logits`, in place of the teacher.  "
        "[default: train one]",
    ),
]


@dataclass(frozen=True)
class Machine:
    """How this machine computes."""

    precision: Annotated[
        str,
        choice(
            "--precision",
            choices=(AUTO_PRECISION, *PRECISIONS),
            text="'auto' is bf16 where the device has it, else float32; see `ukd doctor`.",
        ),
    ] = AUTO_PRECISION
    compile: Annotated[
        bool, typer.Option("--compile", help="Train through torch.compile.  [default: off]")
    ] = False

    def runtime(self) -> Runtime:
        """Device and precision."""
        from ukd.config.runtime import choose_runtime

        return choose_runtime(self.precision, compiled=self.compile)

    def cluster(self, address: str) -> AbstractContextManager[Cluster]:
        """The workers of the dask scheduler at this address, for the block of a `with`."""
        from ukd.config.cluster import open_cluster

        code = "ukd.training.grid"
        return open_cluster(address, code, precision=self.precision, compiled=self.compile)


@dataclass(frozen=True)
class Losses:
    """Options of a method's losses."""

    temperature: Annotated[
        float | None,
        number("--temperature", "--tau", parser=positive, text="Of the losses.", default=BY_METHOD),
    ] = None
    layer_map: Annotated[
        str | None,
        typer.Option(
            "--layer-map",
            "--mapping",
            parser=map_name(LAYER_MAPS),
            metavar="NAME",
            help=f"Teacher layers that each student layer sees: {', '.join(LAYER_MAPS)}; or a "
            f"function, as my_maps.two_deepest.  {BY_METHOD}",
        ),
    ] = None
    attention_on: Annotated[
        str | None,
        choice(
            "--attention-on",
            "--combine",
            choices=ATTENTION_ON,
            text=f"Sum the teacher's logits, or its losses.  {BY_METHOD}",
        ),
    ] = None
    attention_temperature: Annotated[
        float | None,
        number(
            "--attention-temperature",
            "--kappa",
            parser=positive,
            text="Large is uniform, small picks one layer.",
            default=BY_METHOD,
        ),
    ] = None
    detach_attention: Annotated[
        bool | None,
        typer.Option(
            "--detach-attention/--no-detach-attention",
            help=f"Stop the gradient at the attention weights.  {BY_METHOD}",
        ),
    ] = None
    student_layers: Annotated[
        str | None,
        choice(
            "--student-layers",
            choices=STUDENT_LAYERS,
            hint="; the number of layers is --student-depth",
            text="Student layers that learn from the teacher's; upper: of the intermediate ones "
            f"those above a third of the depth.  {BY_METHOD}",
        ),
    ] = None
    teacher_layers: Annotated[
        str | None,
        choice(
            "--teacher-layers",
            choices=TEACHER_LAYERS,
            hint="; the number of layers is --teacher-depth",
            text=f"Teacher layers that they see.  {BY_METHOD}",
        ),
    ] = None
    stages: Annotated[
        str | None,
        choice(
            "--stages",
            choices=STAGE_COUNTS,
            text=f"Labels and teacher at once, or the teacher first, then labels.  {BY_METHOD}",
        ),
    ] = None
    intermediate_weight: Annotated[
        float | None,
        number(
            "--intermediate-weight",
            parser=positive,
            text="Of the intermediate term, a student layer.",
            default=BY_METHOD,
        ),
    ] = None
    intermediate_decay: Annotated[
        bool | None,
        typer.Option(
            "--intermediate-decay/--no-intermediate-decay",
            help=f"Lower that weight epoch by epoch, to one E-th in the last of E.  {BY_METHOD}",
        ),
    ] = None
    teacher_stage: Annotated[
        float | None,
        number(
            "--teacher-stage",
            parser=positive,
            text="Part of all epochs that the first of two stages gets.",
            default=BY_METHOD,
        ),
    ] = None
    space: Annotated[
        str | None,
        choice("--space", choices=SPACES, text=f"Of the intermediate term.  {BY_METHOD}"),
    ] = None

    def method(self, name: str) -> Method:
        """The method with the options that are given. Raises ValueError for what does not fit."""
        from ukd.methods.registry import get_method

        return get_method(name, **{field.name: getattr(self, field.name) for field in fields(self)})
