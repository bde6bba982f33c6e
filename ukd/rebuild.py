"""Every table in the kit's texts and every figure, made again from the committed records, or compared with what they give now."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ukd.config import data_folder
from ukd.records import read_records
from ukd.teacher import SHIPPED

SUITE = "embedded-ild"  # every method at one rate: the set of which the figures are drawn
SEARCH = "embedded-search"  # the core methods on three tasks, each at the best of the rates that all have tried
REAL = "glue-prose"  # the core methods on real text
TUNED = "glue-fine-tuning"  # encoders on real text
MARKED = re.compile(r"(<!-- (?P<name>[\w-]+): written by `ukd rebuild` -->\n).*?(\n<!-- end of (?P=name) -->)", re.DOTALL)


def written() -> dict[str, Callable[[], str]]:
    """What can stand between marks, by name: every set of records, benchmarks, presets, paper and ours, datasheet, model cards."""
    from ukd import card, datasheet, guide, paper, plan, profiles
    from ukd.bench import bench_table
    from ukd.grouping import decided, of_scenario
    from ukd.results import contrast_table, scores_alone, tables

    sets = {path.name: path for path in sorted((data_folder() / "runs").iterdir()) if path.is_dir()}
    found = {name: lambda path=path: tables(read_records(path)) for name, path in sets.items()}
    if SUITE in sets:  # several tables of one set: all its runs have the same students
        for scenario in ("ild", "ablation"):
            found[f"embedded-{scenario}"] = lambda scenario=scenario: tables(of_scenario(scenario, read_records(sets[SUITE])))
        found["embedded-contrasts"] = lambda: contrast_table(read_records(sets[SUITE]))
    if SEARCH in sets:
        found["embedded-search-scores"] = lambda: scores_alone(decided(read_records(sets[SEARCH])))
        found["embedded-search-contrasts"] = lambda: contrast_table(decided(read_records(sets[SEARCH])))
    for path in sorted((data_folder() / "bench").glob("*.json")):
        found[f"bench-{path.stem}"] = lambda path=path: bench_table(json.loads(path.read_text(encoding="utf-8")))
    found["presets"] = lambda: plan.presets_table(profiles.PRESETS)
    found["paper-and-ours"] = lambda: paper.paper_table({name: read_records(path) for name, path in sets.items()})
    found["datasheet"] = lambda: datasheet.datasheet(datasheet.committed())
    found |= {f"card-{name}": lambda name=name: card.card(name) for name in SHIPPED}
    if (books := data_folder().parent / "notebooks").is_dir():
        found |= {"notebooks": lambda: guide.kept_table(books), "figures": lambda: guide.figures_table(books)}
    return found


def texts() -> list[Path]:
    """The Markdown files of a clone that hold marks."""
    data = data_folder()
    folders = (".", "data", "data/runs", "data/bench", *(f"data/{name}" for name in SHIPPED.values()), "notebooks", "figures")
    return [path for folder in folders if (path := data.parent / folder / "README.md").is_file()]


def rebuilt(text: str, made: dict[str, Callable[[], str]]) -> str:
    """A text with everything between its marks made anew. Raises ValueError for a mark that nothing is made for."""

    def anew(mark: re.Match) -> str:
        if mark["name"] not in made:
            raise ValueError(f"nothing is called {mark['name']!r}; a mark names one of: {', '.join(made)}")
        return f"{mark[1]}\n{made[mark['name']]()}\n{mark[3]}"

    return MARKED.sub(anew, text)


def rebuild(check: bool, figures: Path, say: Callable[[str], object] = print) -> bool:
    """Write texts and figures, or with `check` only compare; says what differs. Returns whether nothing did."""
    same, made = True, written()
    for path in differing(figures) if check else drawn(figures):  # first: one of the texts lists them
        same = same and not check
        say(f"{path}: {'differs from what the records give' if check else 'drawn'}")
    for path in texts():
        before = path.read_text(encoding="utf-8")
        if (after := rebuilt(before, made)) != before:
            same = False
            say(f"{path}: {'differs from what the records give' if check else 'written'}")
            if not check:
                path.write_text(after, encoding="utf-8")
    return same


def drawn(folder: Path) -> list[Path]:
    """Draw every figure into a folder: the method, the comparisons on the embedded suite with their studies, real text, the encoders."""
    from ukd.card import committed_encoder
    from ukd.diagram import method_figure
    from ukd.figures import draw_encoders, draw_scores, save
    from ukd.studies import draw_records, draw_search

    runs = data_folder() / "runs"
    tuned = read_records(runs / TUNED) if (runs / TUNED).is_dir() else []
    made = {name: committed_encoder(name) for name in SHIPPED}
    suite = draw_records(read_records(runs / SUITE), folder)
    searched = draw_search(read_records(runs / SEARCH), folder) if (runs / SEARCH).is_dir() else []
    real = draw_scores(read_records(runs / REAL), "scores_real", folder) if (runs / REAL).is_dir() else []
    return save(method_figure(), "method", folder) + suite + searched + real + draw_encoders(made, tuned, folder)


def differing(folder: Path) -> Iterator[Path]:
    """Figures of a folder that are not what the records give. Compared as SVG; other versions of matplotlib may draw a line otherwise."""
    with tempfile.TemporaryDirectory() as temporary:
        made = drawn(Path(temporary))
        yield from sorted(path for path in folder.glob("*.svg") if path.name not in {one.name for one in made})  # nothing draws it
        for path in made:
            kept = folder / path.name
            if path.suffix == ".svg" and (not kept.is_file() or kept.read_bytes() != path.read_bytes()):
                yield kept
