"""Every generated table of the kit's texts, derived anew from the committed files.

A block stands between two marks, <!-- NAME: written by `ukd verify --write` --> and
<!-- end of NAME -->.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from ukd.analysis.by_student import loss_table
from ukd.analysis.cards import benchmark_table, card
from ukd.analysis.contrasts import contrast_table
from ukd.analysis.datasheet import datasheet
from ukd.analysis.figure_sets import figures_table
from ukd.analysis.findings import findings
from ukd.analysis.grouping import at_chosen_rate, scenario_runs
from ukd.analysis.map_study import map_study, maps_table
from ukd.analysis.paper import paper_table
from ukd.analysis.runs import MAP_STUDY, SEARCH, SUITE, Runs, check_runs, load_runs
from ukd.analysis.tables import score_tables, scores_alone
from ukd.analysis.taught import what_maps_teach
from ukd.config.paths import data_folder

BLOCK = re.compile(
    r"(<!-- (?P<name>[\w-]+): written by `ukd verify --write` -->\n)"
    r".*?"
    r"(\n<!-- end of (?P=name) -->)",
    re.DOTALL,
)
OPENED = re.compile(r"<!-- (?P<name>[\w-]+): written by")
TEXTS = (
    "README.md",
    "data/README.md",
    "data/runs/README.md",
    "data/synthetic/README.md",
    "data/encoder/README.md",
    "benchmarks/README.md",
    "notebooks/README.md",
    "figures/README.md",
    "ukd/README.md",
)

Blocks = dict[str, Callable[[], str]]


def blocks() -> Blocks:
    """What can stand between marks, by name; each is made when it is called."""
    runs = load_runs()
    root = data_folder().parent
    made: Blocks = {
        "figures": figures_table,
        "findings": lambda: findings(runs),
        "intermediate-loss-by-student": lambda: loss_table(runs),
        "layer-maps-by-student": lambda: maps_table(runs),
        "what-maps-teach": what_maps_teach,
        "paper-and-ours": lambda: paper_table(runs),
        "datasheet": lambda: datasheet(runs.table),
        "card": lambda: card(_read(data_folder() / "encoder" / "pretraining.json")),
        "synthetic-contrasts": lambda: contrast_table(_set(runs, SUITE).table),
        "synthetic-search-scores": lambda: scores_alone(_set(runs, SEARCH)),
        "synthetic-search-contrasts": lambda: contrast_table(_chosen(runs, SEARCH)),
    }
    for name in runs.sets:
        made[name] = _set_block(runs, name)
    made[MAP_STUDY] = lambda: map_study(_set(runs, MAP_STUDY).table)
    for name, scenario in ((SUITE, "ild"), ("synthetic-ablation", "ablation")):
        made[name] = _scenario_block(runs, scenario)
    for path in sorted((root / "benchmarks" / "records").glob("*.json")):
        made[f"benchmark-{path.stem}"] = _benchmark_block(path)
    return made


def _set(runs: Runs, name: str) -> Runs:
    return runs.where(runs.table["set"] == name)


def _chosen(runs: Runs, name: str) -> object:
    return at_chosen_rate(_set(runs, name).table)


def _set_block(runs: Runs, name: str) -> Callable[[], str]:
    return lambda: score_tables(_set(runs, name))


def _scenario_block(runs: Runs, scenario: str) -> Callable[[], str]:
    """Several tables of one set: all its runs have the same students."""
    suite = _set(runs, SUITE)
    return lambda: score_tables(suite.only(scenario_runs(scenario, suite.table)))


def _benchmark_block(path: Path) -> Callable[[], str]:
    return lambda: benchmark_table(_read(path))


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def renewed(text: str, made: Blocks) -> str:
    """A text with everything between its marks made anew.

    Raises ValueError for a mark that nothing is made for, and for one that is no block's.
    """
    blocks_there = {match.start() for match in BLOCK.finditer(text)}
    for mark in OPENED.finditer(text):
        if mark.start() not in blocks_there:
            raise ValueError(
                f"the mark of {mark['name']!r} begins no block: write it as the others, and "
                f"<!-- end of {mark['name']} --> below"
            )

    def anew(mark: re.Match) -> str:
        """A block between its marks. Raises ValueError for a name that no block has."""
        if mark["name"] not in made:
            raise ValueError(
                f"no block is called {mark['name']!r}; choose one of: {', '.join(made)}"
            )
        return f"{mark[1]}\n{made[mark['name']]()}\n{mark[3]}"

    return BLOCK.sub(anew, text)


def verify_texts(made: Blocks, *, write: bool = False, root: Path | None = None) -> list[str]:
    """Compare the texts of a clone with what the committed files give, or write them.

    Returns a sentence for each text that differs.
    """
    root = root or data_folder().parent
    different = []
    for name in TEXTS:
        path = root / name
        if not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        after = renewed(before, made)
        if after == before:
            continue
        different.append(f"{name}: {'written' if write else 'differs from what the runs give'}")
        if write:
            path.write_text(after, encoding="utf-8")
    return different


def verify_figures(
    draw: Callable[[Path], list[Path]], scratch: Path, *, write: bool = False
) -> list[str]:
    """Compare the figures of a clone with what `draw(folder)` gives, or write them.

    Returns a sentence for each figure that differs, is missing, or is drawn by nothing.
    """
    folder = data_folder().parent / "figures"
    drawn = {path.name: path for path in draw(scratch)}
    different = []
    for path in sorted(folder.glob("*.svg")):
        if path.name not in drawn:
            different.append(f"figures/{path.name}: nothing draws it")
    for name, path in sorted(drawn.items()):
        kept = folder / name
        if kept.is_file() and kept.read_bytes() == path.read_bytes():
            continue
        different.append(
            f"figures/{name}: {'drawn' if write else 'differs from what the runs give'}"
        )
        if write:
            kept.write_bytes(path.read_bytes())
    return different


def verify_store() -> list[str]:
    """What is wrong with the committed runs: checksums, ids, commits."""
    return check_runs()
