"""Commands that train nothing: table, figures, methods, plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ukd.cli.budget import Budget
from ukd.cli.comparison import Comparison
from ukd.cli.options import Machine, RunsFolder, Source, text

if TYPE_CHECKING:
    from ukd.methods.method import Stage

SetName = Annotated[
    str | None,
    text("--set", metavar="NAME", text="One set of the committed runs.  [default: all]"),
]


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
