"""Commands that train nothing: table, figures, methods, plan, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ukd.cli.budget import Budget
from ukd.cli.comparison import Comparison
from ukd.cli.options import Machine, RunsFolder, Source, number, text
from ukd.cli.parse import words

if TYPE_CHECKING:
    from ukd.methods.method import Stage

SetName = Annotated[
    str | None,
    text("--set", metavar="NAME", text="One set of the committed runs.  [default: all]"),
]
# What `check` takes.
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A task's name, or a file or folder of your own: CSV, TSV, JSON lines, Parquet.",
    ),
]
TextColumns = Annotated[
    str | None,
    text(
        "--text",
        metavar="COLUMN",
        text="Your column of the text, or two with a comma.  [default: text]",
    ),
]
LabelColumn = Annotated[
    str | None,
    text("--label", metavar="COLUMN", text="Your column of the label.  [default: label]"),
]
Metrics = Annotated[
    str | None,
    text(
        "--metrics",
        metavar="NAMES",
        text="For your data: of accuracy, f1, matthews; or pearson,spearman for values.  "
        "[default: accuracy]",
    ),
]
HeldOut = Annotated[
    str | None,
    text(
        "--held-out",
        metavar="SPLIT",
        text="Your split that scores are reported on, or a share of train, as 0.2.  "
        "[default: validation, else 0.2]",
    ),
]
TokensOf = Annotated[
    str, text("--teacher", metavar="ENCODER", text="Whose tokens to count; see `ukd run --help`.")
]
MaxLength = Annotated[int, number("--max-length", text="Limit of tokens an example.", default="")]


def table(runs: RunsFolder = None, set_name: SetName = None) -> int:
    """Print the tables of runs: scores, differences and their intervals."""
    from ukd.analysis.runs import load_runs
    from ukd.analysis.tables import score_tables

    print(score_tables(load_runs(runs, set_name)))
    return 0


def figures(
    runs: RunsFolder = None,
    out: Annotated[Path, text("--out", metavar="FOLDER", text="Of the files.")] = Path("figures"),
) -> int:
    """Draw the figures of a folder's runs, or without one all committed figures."""
    from ukd.analysis.figure_sets import draw_runs
    from ukd.analysis.runs import load_runs

    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: name a folder for the figures (--out FOLDER)")
    if runs is None:
        from ukd.cli.verification import draw_all

        paths = draw_all(out)
    else:
        paths = draw_runs(load_runs(runs), out)
    print(*paths, sep="\n")
    return 0


def methods() -> int:
    """List the methods: what each learns from, its stages and its source."""
    from ukd.config.text import markdown_table
    from ukd.methods.registry import METHODS

    rows = []
    for method in METHODS.values():
        stages = " then ".join(_terms(stage) for stage in method.stages)
        rows.append([method.name, method.summary, stages, method.source])
    print(markdown_table(["method", "what it learns from", "stages", "source"], rows))
    return 0


def _terms(stage: Stage) -> str:
    """The weighted loss terms of a stage."""
    from ukd.methods.method import TERMS

    weights = {term: getattr(stage, term) for term in TERMS}
    return " + ".join(f"{weight:.2g} {term}" for term, weight in weights.items() if weight)


def plan(
    comparison: Comparison,
    budget: Budget,
    machine: Machine,
    source: Source = None,
    presets: Annotated[
        bool,
        typer.Option("--presets", help="Print the table of presets on the hub instead."),
    ] = False,
) -> int:
    """Say what a comparison costs before it runs: steps, operations, bytes, memory and time.

    It takes the options of `ukd reproduce`.
    """
    from ukd.config.presets import HUB_PRESETS
    from ukd.training import cost

    if presets:
        if comparison != Comparison():
            raise ValueError(
                "--presets prints a table of all presets, whatever is compared: leave "
                "the other options out"
            )
        print(cost.presets_table(HUB_PRESETS))
        return 0
    configs = comparison.configs(budget)
    methods = comparison.chosen_methods()
    search = comparison.search(budget)
    runtime = machine.runtime()
    for config in configs:
        tasks = comparison.chosen_tasks(config)
        seeds = len(comparison.chosen_seeds(config))
        print(cost.cost_of(tasks, methods, seeds, config, source, runtime, search))
    return 0


def check(
    data: Data,
    source: Source = None,
    text_columns: TextColumns = None,
    label: LabelColumn = None,
    metrics: Metrics = None,
    held_out: HeldOut = None,
    teacher: TokensOf = "bundled",
    max_length: MaxLength = 64,
) -> int:
    """Check the rows of a task or of your own data before any work, and print what was found.

    "refused": no run takes these rows, and the last line says why. "doubtful" is said before a
    teacher is trained. "noted" is worth knowing.
    """
    from ukd.config.runtime import logger
    from ukd.data.batches import check_length
    from ukd.data.checks import (
        WrongInput,
        across_checks,
        checks_table,
        class_checks,
        refuse,
        token_checks,
    )
    from ukd.data.custom import custom_task
    from ukd.data.tasks import SPECS, load_task, source_of
    from ukd.models.bundled import resolve_encoder
    from ukd.models.encoders import load_tokenizer

    given = {"--text": text_columns, "--label": label, "--metrics": metrics}
    _check_reach(data, data in SPECS, source, given | {"--held-out": held_out})
    logger.disabled = True  # the table says the same
    try:
        if data in SPECS:
            task = load_task(data, source_of(data, source))
            found = [*task.checks, *across_checks(task.dataset, task.spec.columns, own=False)]
            found += class_checks(task, own=False)
        else:
            task = custom_task(
                data,
                text=words(text_columns or "text"),
                label=label or "label",
                metrics=words(metrics or "accuracy"),
                held_out=_split_or_share(held_out),
            )
            found = list(task.checks)
        tokenizer = load_tokenizer(resolve_encoder(teacher)[0])
        check_length(task, tokenizer, max_length)
        found += token_checks(task, tokenizer, max_length)
        refuse(found)
    except WrongInput as error:
        print(checks_table(error.checks))
        raise
    finally:
        logger.disabled = False
    print(checks_table(found))
    return 0


def _check_reach(data: str, is_task: bool, source: str | None, columns: dict) -> None:
    """Raise ValueError for an option that would have no effect on this data."""
    given = [f"{option} {value}" for option, value in columns.items() if value is not None]
    if is_task and given:
        raise ValueError(f"{given[0]} is for data of your own, and {data} is a task: leave it out")
    if not is_task and source is not None:
        raise ValueError(
            f"--source {source} is for a task, and {data} is none: leave it out, or name a task"
        )


def _split_or_share(held_out: str | None) -> str | float | None:
    """A share of train where a number is given, else the name of a split."""
    try:
        return None if held_out is None else float(held_out)
    except ValueError:
        return held_out
