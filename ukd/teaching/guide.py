"""The table of notebooks in `notebooks/README.md`, derived from the notebooks and their minutes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ukd.config.presets import PRESETS
from ukd.config.text import markdown_table

BEGIN = "<!-- notebooks: "
END = "<!-- end of notebooks"
COLUMNS = ("notebook", "cells", "code lines", "words", "compared cells")
IGNORED = "nbval-ignore-output"
FENCED = re.compile(r"```.*?```", re.DOTALL)
PICTURE = "image/png"


def notebooks_table(folder: Path) -> str:
    """The table of a folder's notebooks, as Markdown.

    Raises ValueError where a notebook compares fewer cells than the table in the folder's README
    states, so that a comparison is not lost unnoticed.
    """
    stated = promised(folder)
    measured = minutes(folder)
    presets = [name for name in PRESETS if any(name in times for times in measured.values())]
    header = [*COLUMNS, *(f"minutes, `{name}`" for name in presets)]
    rows = []
    for path in sorted(folder.glob("*.ipynb")):
        compared = compared_cells(path)
        if compared < stated.get(path.name, 0):
            raise ValueError(
                f"{path.name} compares {compared} cells, {stated[path.name]} before: compare more, "
                f"or take its row out of {folder.name}/README.md"
            )
        times = measured.get(path.stem, {})
        cells = [*_contents(path), compared, *(times.get(name, "-") for name in presets)]
        rows.append([str(cell) for cell in cells])
    return markdown_table(header, rows)


def _contents(path: Path) -> list[object]:
    """Title with a link, cells, code lines and words of a notebook."""
    cells = _cells(path)
    prose = [_source(cell) for cell in cells if cell["cell_type"] == "markdown"]
    code = [_source(cell) for cell in cells if cell["cell_type"] == "code"]
    text = FENCED.sub("", "\n".join(prose))
    title = re.search(r"^# (.+)", text, re.MULTILINE)[1]
    lines = [line for source in code for line in source.splitlines() if line.strip()]
    words = re.findall(r"[A-Za-z][\w'-]*", text)
    return [f"[{title}]({path.name})", len(cells), len(lines), len(words)]


def _cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def compared_cells(path: Path) -> int:
    """Cells whose output nbval compares: those without its tag that show more than pictures."""
    count = 0
    for cell in _cells(path):
        if cell["cell_type"] == "code" and IGNORED not in cell["metadata"].get("tags", []):
            count += any(PICTURE not in output.get("data", {}) for output in cell["outputs"])
    return count


def promised(folder: Path) -> dict[str, int]:
    """Compared cells of each notebook, as the table in the folder's README states them."""
    written = (folder / "README.md").read_text(encoding="utf-8")
    table = written.partition(BEGIN)[2].partition(END)[0] if BEGIN in written else written
    stated = {}
    for line in table.splitlines():
        columns = [column.strip() for column in line.strip("|").split("|")]
        link = re.search(r"\((\S+\.ipynb)\)", columns[0])
        if link and len(columns) >= len(COLUMNS):
            stated[link[1]] = int(columns[COLUMNS.index("compared cells")])
    return stated


def minutes(folder: Path) -> dict[str, dict[str, float]]:
    """Minutes of each notebook by preset, as `notebooks/run.py` measured them last."""
    path = folder / "minutes.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
