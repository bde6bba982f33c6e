"""`ukd verify`: every generated text and figure of a clone, from all parts of the kit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ukd.analysis.figure_sets import draw_figures
from ukd.analysis.verify import Blocks, blocks, verify_figures, verify_store, verify_texts
from ukd.config.paths import data_folder, in_clone
from ukd.config.presets import HUB_PRESETS
from ukd.teaching.diagrams import method_figure
from ukd.teaching.guide import notebooks_table
from ukd.training.cost import presets_table


def all_blocks() -> Blocks:
    """The blocks of the analysis, and those of presets and notebooks."""
    notebooks = data_folder().parent / "notebooks"
    return blocks() | {
        "presets": lambda: presets_table(HUB_PRESETS),
        "notebooks": lambda: notebooks_table(notebooks),
    }


def draw_all(folder: Path) -> list[Path]:
    """Every figure of the kit, drawn into a folder."""
    return draw_figures(folder, {"method": method_figure})


def verify_clone(*, write: bool = False) -> list[str]:
    """What differs from what the committed runs give, one sentence each; `write` mends it.

    Damage to the runs themselves is reported and never mended. Raises ValueError outside a clone.
    """
    if not in_clone():
        raise ValueError("the texts and figures are in a clone of the repository: run it there")
    problems = verify_store()
    if problems:
        return problems
    # Figures first: a text may list them.
    with tempfile.TemporaryDirectory() as scratch:
        problems += verify_figures(draw_all, Path(scratch), write=write)
    return problems + verify_texts(all_blocks(), write=write)
