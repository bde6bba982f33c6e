"""Lists that describe the notebooks and the figures, in their folders' READMEs (`ukd rebuild` writes them)."""

from __future__ import annotations

import re
from pathlib import Path

from ukd import studies
from ukd.notebooks import compared, found, measured, read
from ukd.profiles import PROFILES
from ukd.results import markdown

_SUITE, _SEARCH, _REAL = (f"`data/runs/{name}`" for name in ("embedded-ild", "embedded-search", "glue-prose"))
_TUNED = "`data/runs/glue-fine-tuning`"
DRAWN = {  # name of the file, or how it begins: what it shows, what it is drawn from, and the function in `ukd.figures` or `ukd.diagram`
    "attention_by_difficulty": ("where each student layer looks, by the examples' difficulty", _SUITE, "attention_by_difficulty"),
    "attention_entropy": ("how narrowly single examples look", _SUITE, "entropy_of_attention"),
    "attention_over_time": ("where each student layer looks, epoch by epoch", _SUITE, "attention_over_time"),
    "calibration": ("expected calibration error of the students", _SUITE, "calibration"),
    "contrasts": ("differences between methods that differ by one thing alone", _SUITE, "contrasts"),
    "early_exit": ("score against the layers used where each example stops at the first layer that is sure", _SUITE, "early_exit"),
    "student_heads": ("what each student layer's own classifier knows after the first stage", _SUITE, "student_heads"),
    "temperatures": ("scores and entropy for other temperatures of attention and loss", _SUITE, "temperatures"),
    "what_is_seen": ("whether the attention goes to teacher layers that predict better", _SUITE, "what_is_seen"),
    "what_holds_the_attention": ("Universal-KD with one option changed: score, entropy, what is seen", _SUITE, "what_holds_the_attention"),
    "attention_searched": ("where each student layer looks, epoch by epoch, on three tasks", _SEARCH, "attention_over_time"),
    "contrasts_searched": ("differences between methods that differ by one thing alone, on three tasks", _SEARCH, "contrasts"),
    "distance_searched": ("each teacher layer's distance, the attention it gets, on three tasks", _SEARCH, "distance"),
    "heads_searched": ("score of the pseudo classifier on each layer of the three teachers", _SEARCH, "heads"),
    "rates": ("score of every method at every rate that was tried, mean and spread", _SEARCH, "rates"),
    "scores_real": ("score of every seed by method on real text, twelve layers to four", _REAL, "scores"),
    "scores_searched": ("score of every seed by method on three tasks, each method at its best rate", _SEARCH, "scores"),
    "attention_": ("mean attention of student layers to teacher layers, on all examples and by class", _SUITE, "attention"),
    "distance_and_attention": ("how far each teacher layer's classifier is from the label; the attention it gets", _SUITE, "distance"),
    "encoders_by_layer": ("what each layer knows after fine-tuning, encoder by encoder", _TUNED, "encoders"),
    "heads_by_layer": ("score of the pseudo classifier on each teacher layer", _SUITE, "heads"),
    "method": ("the method: pseudo classifiers on every layer, attention between what they say", "nothing: a drawing", "method"),
    "pretraining_embedded": ("losses of the embedded encoder's pretraining", "`data/encoder/pretraining.json`", "pretraining"),
    "pretraining_prose": ("losses of the prose encoder's pretraining", "`data/encoder-prose/pretraining.json`", "pretraining"),
    "scores": ("score of every seed by method, the teacher as a line", _SUITE, "scores"),
    "training_curves": ("every term of the loss over the steps, first seed", _SUITE, "curves"),
}  # fmt: skip


def table(folder: Path) -> str:
    """What is in each notebook, and how long it takes, as Markdown."""
    minutes = measured(folder)
    profiles = [name for name in PROFILES if any(name in each for each in minutes.values())]
    rows = []
    for path in found(folder):
        cells = read(path).cells
        prose = re.sub(r"```.*?```", "", "\n".join(cell.source for cell in cells if cell.cell_type == "markdown"), flags=re.DOTALL)
        title, code = re.search(r"^# (.+)", prose, re.MULTILINE)[1], [cell.source for cell in cells if cell.cell_type == "code"]
        lines = sum(bool(line.strip()) for source in code for line in source.splitlines())
        numbers = (len(cells), lines, len(re.findall(r"[A-Za-z][\w'-]*", prose)), compared(read(path)))
        times = [f"{minutes.get(path.stem, {}).get(name, '-')}" for name in profiles]
        rows.append([f"[{title}]({path.name})", *map(str, numbers), *times])
    return markdown(["notebook", "cells", "code lines", "words", "compared cells", *(f"minutes, `{name}`" for name in profiles)], rows)


def promised(folder: Path) -> dict[str, int]:
    """Compared cells of each notebook as the table in the folder's README says: they may not become fewer."""
    written = (folder / "README.md").read_text(encoding="utf-8").partition("<!-- notebooks: ")[2].partition("<!-- end of notebooks")[0]
    rows = [line.split("|") for line in written.splitlines() if line.startswith("| [")]
    return {re.search(r"\((\S+\.ipynb)\)", row[1])[1]: int(row[5]) for row in rows}


def kept_table(folder: Path) -> str:
    """The table of a folder's notebooks. Raises ValueError where fewer cells are compared than the one in its README promises."""
    for name, number in promised(folder).items():
        if (folder / name).is_file() and (now := compared(read(folder / name))) < number:
            raise ValueError(f"{name} compares {now} cells, {number} before: compare more, or take its row out of {folder / 'README.md'}")
    return table(folder)


def figures_table(folder: Path) -> str:
    """Every figure, what it shows, what it is drawn from, and which notebooks draw its like. Raises ValueError for an unknown one."""
    code = {path: "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code") for path in found(folder)}
    rows = []
    for name in sorted({path.stem for path in (folder.parent / "figures").iterdir() if path.suffix in {".svg", ".png"}}):
        known = next((known for start, known in DRAWN.items() if name == start or start.endswith("_") and name.startswith(start)), None)
        if known is None:
            raise ValueError(f"figure {name} is unknown: say in DRAWN of ukd/guide.py what it shows and comes from")
        shows, source, function = known
        exact = f"|{function}" if hasattr(studies, function) else ""
        calls = re.compile(rf"\b(draw_{function}\w*|{function}_figure{exact})\(")
        alike = ", ".join(f"[{path.stem[:2]}](../notebooks/{path.name})" for path, lines in code.items() if calls.search(lines))
        rows.append([f"{name} ([svg]({name}.svg), [png]({name}.png))", shows, source, "`ukd figures`", alike or "-"])
    return markdown(["figure", "shows", "drawn from", "by", "its like in notebook"], rows)
