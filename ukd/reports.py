"""What the commands do that read records, or write data, cards and sheets; their options are in `ukd.cli`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from ukd.config import data_folder, digest, runs_folder
from ukd.data import EMBEDDED
from ukd.finetune import FINE_TUNING
from ukd.methods import METHODS, TERMS
from ukd.profiles import PRESETS
from ukd.records import read_records
from ukd.results import markdown, setting, tables


def show_bench(path: Path) -> str:
    """A benchmark record as tables."""
    from ukd.bench import bench_table

    return bench_table(json.loads(path.read_text(encoding="utf-8")))


def committed() -> list[dict]:
    """The committed run records."""
    return read_records(data_folder() / "runs")


def _records(folder: Path | None) -> list[dict]:
    folder = folder or data_folder() / "runs"
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of run records")
    if not (records := read_records(folder)):
        raise ValueError(f"{folder} holds no run records: make some with `ukd reproduce` or `ukd run`")
    return records


def table(options: argparse.Namespace) -> int:
    """`ukd table`."""
    if options.write:
        from ukd.datasheet import write
        from ukd.plan import presets_table

        made = {path.name: lambda path=path: tables(read_records(path)) for path in (data_folder() / "runs").iterdir() if path.is_dir()}
        made |= {f"bench-{path.stem}": lambda path=path: show_bench(path) for path in (data_folder() / "bench").glob("*.json")}
        made["presets"] = lambda: presets_table(PRESETS)
        for name, text in sorted(made.items()):
            begin = f"<!-- {name}: written by `ukd table --write` -->"
            if written := begin in options.write.read_text(encoding="utf-8"):
                write(options.write, f"\n{text()}\n", (begin, f"<!-- end of {name} -->"))
            print(f"{name}: {'written' if written else f'left out, {options.write} has no line {begin}'}")
        return 0
    print(tables(_records(options.runs)))
    return 0


def figures(options: argparse.Namespace) -> int:
    """`ukd figures`: drawn from the records on the embedded suite where there are any, with the drawing of the method."""
    from ukd.card import committed_encoder
    from ukd.diagram import method_figure
    from ukd.figures import draw_all, draw_encoder, save

    every = _records(options.runs)
    tuned, records = [r for r in every if r["method"] == FINE_TUNING], [r for r in every if r["method"] != FINE_TUNING]
    embedded = [record for record in records if record["task"] in EMBEDDED and record["settings"]["student_layers"]]
    settings = sorted({setting(record) for record in embedded or records})
    for name in settings:
        chosen = [record for record in embedded or records if setting(record) == name]
        folder = options.out if len(settings) == 1 else options.out / digest(name)
        print(f"{name}:")
        for path in draw_all(chosen, folder):
            print(f"  {path}")
    print(*save(method_figure(), "method", options.out), *draw_encoder(committed_encoder(), tuned, options.out), sep="\n")
    return 0


def collect(options: argparse.Namespace) -> int:
    """`ukd collect`: copies, never overwrites."""
    folder = data_folder() / "runs" / options.name
    found = sorted((options.runs or runs_folder()).glob("*/record.json"))
    if not found:
        raise ValueError(f"no finished runs in {options.runs or runs_folder()}")
    if there := [path.parent.name for path in found if (folder / f"{path.parent.name}.json").exists()]:
        raise ValueError(f"{folder} holds {there[0]} already; records are never overwritten: choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    for path in found:
        print(shutil.copyfile(path, folder / f"{path.parent.name}.json"))
    return 0


def build_data(options: argparse.Namespace) -> int:
    """`ukd data`."""
    from ukd.grammar import build

    build(options.out or data_folder())
    return 0


def show_datasheet(options: argparse.Namespace) -> int:
    """`ukd datasheet`."""
    from ukd import datasheet as sheet

    text = sheet.datasheet(sheet.committed())
    print(text)
    if options.write:
        sheet.write(data_folder() / "README.md", text)
    return 0


def show_card(options: argparse.Namespace) -> int:
    """`ukd card`."""
    from ukd.card import card, write

    text = card(committed())
    print(text)
    if options.write:
        write(text)
    return 0


def show_methods(options: argparse.Namespace) -> int:
    """`ukd methods`."""
    stages = lambda m: " then ".join(  # noqa: E731
        " + ".join(f"{round(getattr(s, term), 2)} {term}" for term in TERMS if getattr(s, term)) for s in m.stages
    )
    rows = [[m.name, m.summary, stages(m), m.source] for m in METHODS.values()]
    print(markdown(["method", "what it learns from", "stages", "source"], rows))
    return 0


def notebooks(options: argparse.Namespace) -> int:
    """`ukd notebooks`."""
    from ukd import guide
    from ukd.notebooks import found, run

    if options.run:
        run(found(options.folder, options.names), options.profile)
    if options.table:
        guide.write_tables(options.folder)
    print(guide.table(options.folder))
    return 0


def check(options: argparse.Namespace) -> int:
    """`ukd doctor`."""
    from ukd.doctor import doctor

    return doctor()
