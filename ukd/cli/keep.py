"""Commands on the committed runs: collect, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ukd.cli.options import Source, text
from ukd.cli.parse import words
from ukd.config.choices import EACH_TASK


def collect(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the set, as synthetic-ild.")],
    runs: Annotated[
        Path | None,
        text("--runs", metavar="FOLDER", text="Of finished runs.  [default: new runs]"),
    ] = None,
    title: Annotated[
        str | None, text("--title", metavar="TEXT", text="Of a new set.  [default: its name]")
    ] = None,
    made_by: Annotated[
        str,
        text("--command", metavar="TEXT", text="Command that makes a new set.  [default: none]"),
    ] = "",
    search_task: Annotated[
        str | None,
        text(
            "--search-task",
            metavar="TASK",
            text="The task on which every method tried the runs' learning rates, or "
            f"'{EACH_TASK}'.  [default: no search]",
        ),
    ] = None,
    others: Annotated[
        str,
        text(
            "--with",
            metavar="SET,SET",
            text="Sets whose runs count in that search, too.  [default: none]",
        ),
    ] = "",
) -> int:
    """Add finished runs to the committed ones, under the name of a set.

    All are added or none. Nothing is overwritten. Runs of code with uncommitted changes are
    refused.
    """
    from ukd.analysis.collect import add_runs
    from ukd.analysis.runs import read_records
    from ukd.config.paths import data_folder, runs_folder

    folder = runs or runs_folder()
    if not folder.is_dir():
        raise ValueError(f"no finished runs in {folder}: make some with `ukd reproduce`")
    added = add_runs(
        name,
        read_records(folder),
        title=title,
        command=made_by,
        search_task=search_task,
        others=words(others),
    )
    print(f"{len(added)} runs added to set {name} in {data_folder() / 'runs'}")
    return 0


def verify(
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Write what differs: tables in the texts, figures.  [default: compare]"
        ),
    ] = False,
    rerun: Annotated[
        str | None,
        text(
            "--rerun",
            metavar="HASH",
            text="Repeat this committed run instead, and print both scores; its first digits will "
            "do.  [default: none]",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        text(
            "--teacher",
            metavar="FOLDER",
            text="With --rerun: where its encoder is, if that is neither bundled nor on the hub.",
        ),
    ] = None,
    source: Source = None,
) -> int:
    """Check that every table and figure follows from the committed runs.

    The exit status is 1 if one does not.
    """
    if rerun is not None and write:
        raise ValueError("--rerun repeats a run and --write mends texts: leave one of them out")
    if rerun is None and (teacher or source):
        raise ValueError(
            f"{'--teacher' if teacher else '--source'} {teacher or source} is for a run that is "
            "repeated: give its hash (--rerun), or leave it out"
        )
    if rerun is not None:
        from ukd.cli.rerun import repeat

        print(repeat(rerun, encoder=teacher, source=source))
        return 0
    from ukd.cli import verification

    problems = verification.verify_clone(write=write)
    for problem in problems:
        print(problem)
    if not problems:
        print("tables and figures are what the committed runs give")
    return int(bool(problems) and not write)
