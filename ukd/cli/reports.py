"""What the commands do that read records, or write data, cards and sheets; their options are in `ukd.cli`."""

from __future__ import annotations

import argparse
import json
import shutil
from itertools import product
from pathlib import Path

from ukd.analysis.grouping import but_for_the_rate, label, ordered
from ukd.analysis.runs import SEARCH, read_records
from ukd.analysis.tables import markdown, tables
from ukd.config.files import write_json
from ukd.config.paths import data_folder, runs_folder
from ukd.data.tasks import SPECS
from ukd.methods.method import TERMS
from ukd.methods.registry import METHODS


def committed() -> list[dict]:
    """The committed run records."""
    return read_records(data_folder() / "runs")


def _records(folder: Path | None) -> list[dict]:
    folder = folder or data_folder() / "runs"
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of run records")
    if not (records := read_records(folder)):
        raise ValueError(
            f"{folder} holds no run records: make some with `ukd reproduce` or `ukd run`"
        )
    return records


def table(options: argparse.Namespace) -> int:
    """`ukd table`."""
    print(tables(_records(options.runs)))
    return 0


def paper(options: argparse.Namespace) -> int:
    """`ukd paper`: the committed sets, or one folder of records."""
    from ukd.analysis.paper import paper_table

    folders = (
        [options.runs]
        if options.runs
        else sorted(path for path in (data_folder() / "runs").iterdir() if path.is_dir())
    )
    print(paper_table({folder.name: _records(folder) for folder in folders}))
    return 0


def figures(options: argparse.Namespace) -> int:
    """`ukd figures`."""
    from ukd.analysis.study_figures import draw_records
    from ukd.analysis.verify import drawn

    print(
        *(
            draw_records(_records(options.runs), options.out)
            if options.runs
            else drawn(options.out)
        ),
        sep="\n",
    )
    return 0


def rebuild(options: argparse.Namespace) -> int:
    """`ukd rebuild`."""
    from ukd.analysis.verify import rebuild

    same = rebuild(options.check, options.figures)
    if options.check:
        print(
            "tables and figures are what the records give"
            if same
            else "tables or figures differ: run `ukd rebuild`"
        )
    return int(options.check and not same)


def collect(options: argparse.Namespace) -> int:
    """`ukd collect`: copies, never overwrites. With --search-task it also notes how the set's rates were searched."""
    folder = data_folder() / "runs" / options.name
    found = sorted((options.runs or runs_folder()).glob("*/record.json"))
    if not found:
        raise ValueError(f"no finished runs in {options.runs or runs_folder()}")
    if there := [
        path.parent.name for path in found if (folder / f"{path.parent.name}.json").exists()
    ]:
        raise ValueError(
            f"{folder} holds {there[0]} already; records are never overwritten: choose another name"
        )
    if (folder / SEARCH).exists() or options.search_task and folder.exists():
        raise ValueError(
            f"{folder} is there already, and a search is noted once for all its runs: choose another name"
        )
    others = [name for name in options.others.split(",") if name]
    search = _search(
        options.search_task,
        [json.loads(path.read_text(encoding="utf-8")) for path in found],
        others,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for path in found:
        print(shutil.copyfile(path, folder / f"{path.parent.name}.json"))
    if search:
        write_json(folder / SEARCH, search)
        print(folder / SEARCH)
    return 0


def _search(task: str | None, new: list[dict], others: list[str]) -> dict | None:
    """The search that these runs and those of other sets make up. Raises ValueError where a method lacks a run of it: none gets a smaller
    search than the rest."""
    if task is None:
        if others:
            raise ValueError(
                "--with names sets whose runs count in a search: say by --search-task where it was made"
            )
        return None
    new = [record for record in new if "teacher" in record]
    if len(kinds := sorted({but_for_the_rate(record) for record in new})) != 1:
        several = "; ".join(kinds)
        raise ValueError(
            f"a search compares runs that differ in method, rate and seed alone; these are of {len(kinds)} kinds: {several}"
        )
    kept = _counting(others, new)
    every, seeds = [*new, *kept.values()], sorted({record["seed"] for record in new})
    tasks = [task] if task != "each" else ordered({record["task"] for record in every}, SPECS)
    rates = {
        name: sorted({record["settings"]["rate"] for record in every if record["task"] == name})
        for name in tasks
    }
    if not any(len(tried) > 1 for tried in rates.values()):
        raise ValueError(
            f"no search: the runs have rates {rates}, and two or more on a task make one"
        )
    for name in tasks:
        for method in sorted(
            {label(record) for record in every if task != "each" or record["task"] == name}
        ):
            made = {
                (r["settings"]["rate"], r["seed"])
                for r in every
                if r["task"] == name and label(r) == method
            }
            if missing := sorted(set(product(rates[name], seeds)) - made):
                learning_rate, seed = missing[0]
                raise ValueError(
                    f"{method} was not run on {name} at rate {learning_rate:g} with seed {seed}, as others were: run it first"
                )
    return {"rates": rates, "seeds": seeds, "with": list(kept)}


def _counting(others: list[str], new: list[dict]) -> dict[str, dict]:
    """By file the records of other sets that have methods and kind of the new runs. Raises ValueError where there are no records at all."""
    files = [
        path
        for name in others
        for path in sorted((data_folder() / "runs" / name).glob("*.json"))
        if path.name != SEARCH
    ]
    if others and not files:
        raise ValueError(f"no records of {', '.join(others)} in {data_folder() / 'runs'}")
    known, pairs = (
        {record["hash"] for record in new},
        {(label(record), but_for_the_rate(record)) for record in new},
    )
    found = {
        f"{path.parent.name}/{path.name}": json.loads(path.read_text(encoding="utf-8"))
        for path in files
    }
    fits = lambda record: (
        "teacher" in record
        and record["hash"] not in known
        and (label(record), but_for_the_rate(record)) in pairs
    )
    return {name: record for name, record in found.items() if fits(record)}


def build_data(options: argparse.Namespace) -> int:
    """`ukd data`."""
    from data.synthetic.make import build

    build(options.out or data_folder())
    return 0


def show_datasheet(options: argparse.Namespace) -> int:
    """`ukd datasheet`."""
    from ukd.analysis import datasheet as sheet

    print(sheet.datasheet(sheet.committed()))
    return 0


def show_card(options: argparse.Namespace) -> int:
    """`ukd card`."""
    from ukd.card import card
    from ukd.models.bundled import BUNDLED_ENCODERS

    print("\n\n".join(f"### {name}\n\n{card(name)}" for name in BUNDLED_ENCODERS))
    return 0


def show_methods(options: argparse.Namespace) -> int:
    """`ukd methods`."""
    stages = lambda m: " then ".join(
        " + ".join(f"{round(getattr(s, term), 2)} {term}" for term in TERMS if getattr(s, term))
        for s in m.stages
    )
    rows = [[m.name, m.summary, stages(m), m.source] for m in METHODS.values()]
    print(markdown(["method", "what it learns from", "stages", "source"], rows))
    return 0


def notebooks(options: argparse.Namespace) -> int:
    """`ukd notebooks`."""
    from ukd.analysis import guide
    from ukd.notebooks import found, run, tidy

    chosen = found(options.folder, options.names)
    if options.run:
        run(chosen, options.config)
    if options.tidy:
        tidy(chosen)
    print(guide.table(options.folder))
    return 0


def check(options: argparse.Namespace) -> int:
    """`ukd doctor`."""
    from ukd.cli.doctor import doctor

    return doctor()
