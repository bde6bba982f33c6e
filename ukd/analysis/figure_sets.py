"""Which figures are drawn: those of the committed runs, and all that fresh runs allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ukd.analysis.by_student import LOSS_SETS, loss_figure
from ukd.analysis.contrasts import contrasts
from ukd.analysis.difference_figures import WITHOUT_TERM, differences_figure
from ukd.analysis.figures import (
    STYLE,
    heads_figure,
    save_figure,
    scores_figure,
)
from ukd.analysis.grouping import at_chosen_rate, groups, tasks_of
from ukd.analysis.map_figures import (
    ATTENTION,
    attention_by_difficulty,
    attention_over_time,
    layer_map_figure,
)
from ukd.analysis.map_study import MAP_SETS, maps_figure
from ukd.analysis.runs import (
    MAP_STUDY,
    REAL,
    SEARCH,
    SEARCHED_LOOK,
    SUITE,
    TERM,
    Runs,
    load_runs,
)
from ukd.analysis.study_figures import (
    ablation_names,
    attended_head_quality,
    attention_ablation,
    attention_entropy,
    calibration,
    contrasts_figure,
    early_exit,
    label_error_figure,
    student_heads,
    temperatures,
)
from ukd.analysis.training_figures import (
    curves_figure,
    dev_scores_figure,
    learning_rates_figure,
)
from ukd.config.scenarios import DEFAULT_METHODS
from ukd.config.text import markdown_table

TEMPERATURES = r"universal-kd \((attention_temperature|temperature)=[\d.]+\)"
LEARNING_RATES = "learning_rates"  # the one figure of all that was tried

Draw = Callable[[Runs], Figure]

# The committed figures by name: what each shows, the sets it is drawn from, and the function.
COMMITTED: dict[str, tuple[str, str | tuple[str, ...], Draw]] = {
    LEARNING_RATES: (
        "score of every method at every learning rate that was tried",
        SEARCH,
        learning_rates_figure,
    ),
    "scores_searched": (
        "score of every seed, each method at its best learning rate",
        SEARCH,
        scores_figure,
    ),
    "contrasts_searched": (
        "differences between methods that differ by one thing, at their best learning rates",
        SEARCH,
        contrasts_figure,
    ),
    "heads_searched": ("score of the teacher's head on each layer", SEARCH, heads_figure),
    "label_error_searched": (
        "label error of each teacher head beside the attention it gets",
        SEARCH,
        label_error_figure,
    ),
    "attention_over_time": ("layer maps epoch by epoch", SEARCH, attention_over_time),
    "attention_acceptability": (
        "layer maps of all examples and of each class",
        SUITE,
        partial(layer_map_figure, task="acceptability"),
    ),
    "attention_by_difficulty": (
        "layer maps by the examples' difficulty",
        SUITE,
        attention_by_difficulty,
    ),
    "attention_entropy": ("entropy of single examples' attention", SUITE, attention_entropy),
    "attention_ablation": (
        "Universal-KD with one option changed: score, entropy, quality of the attended heads",
        SUITE,
        attention_ablation,
    ),
    "temperatures": ("score and entropy by temperature", SUITE, temperatures),
    "student_heads": ("score of the student's own heads by layer", SUITE, student_heads),
    "calibration": ("expected calibration error of the students", SUITE, calibration),
    "early_exit": ("score against the layers used by early exit", SUITE, early_exit),
    "scores_first_look": (
        "score of every seed, a BiLSTM of four layers, each method at its best learning rate",
        SEARCHED_LOOK,
        scores_figure,
    ),
    "contrasts_first_look": (
        "differences between methods that differ by one thing, a BiLSTM of four layers",
        SEARCHED_LOOK,
        contrasts_figure,
    ),
    "epochs_first_look": (
        "dev score epoch by epoch, a line a seed: plateaus, and when they end",
        SEARCHED_LOOK,
        dev_scores_figure,
    ),
    "attention_first_look": (
        "layer maps of a BiLSTM, all examples and each class; above: how loud each head is",
        SEARCHED_LOOK,
        partial(layer_map_figure, task="acceptability"),
    ),
    "label_error_first_look": (
        "label error of each teacher head beside the attention a BiLSTM gives it",
        SEARCHED_LOOK,
        label_error_figure,
    ),
    "layer_maps_compared": (
        "what each layer map adds to uniform weights, a BiLSTM of four layers, seed by seed",
        MAP_STUDY,
        partial(differences_figure, baseline="uniform"),
    ),
    "intermediate_loss_by_student": (
        "what the intermediate loss adds to the stages alone and to KD, a row a student",
        LOSS_SETS,
        loss_figure,
    ),
    "layer_maps_by_student": (
        "two layer maps against each other and against uniform and final, a row a student",
        MAP_SETS,
        maps_figure,
    ),
    "intermediate_term": (
        "what weight, decay, layers and layer map of the intermediate loss add to the stages alone",
        TERM,
        partial(differences_figure, baseline=WITHOUT_TERM),
    ),
    "scores_cola_mpnet": ("score of every seed, pretrained encoder on CoLA", REAL, scores_figure),
    "heads_cola_mpnet": (
        "score of that encoder's head on each layer, after fine-tuning",
        REAL,
        heads_figure,
    ),
    "label_error_cola_mpnet": (
        "label error of each of these heads beside the attention it gets",
        REAL,
        label_error_figure,
    ),
    "attention_cola_mpnet": (
        "layer maps of its first four layers; above: how loud each head is",
        REAL,
        partial(layer_map_figure, task="cola"),
    ),
}


def figures_table() -> str:
    """Every committed figure: what it shows, and the set of runs it is drawn from."""
    rows = [["[method](method.svg)", "the method", "nothing: a drawing"]]
    for name, (shows, sets, _) in COMMITTED.items():
        words = ", ".join(f"`{one}`" for one in _names(sets))
        rows.append([f"[{name}]({name}.svg)", shows, words])
    return markdown_table(["figure", "shows", "drawn from the runs of"], rows)


def draw_figures(
    folder: Path, others: Mapping[str, Callable[[], Figure]] | None = None
) -> list[Path]:
    """Draw every committed figure into a folder; returns the files written.

    others: figures that need no runs, such as the drawing of the method, by name.
    """
    paths = []
    runs = load_runs()
    for name, (_, sets, draw) in COMMITTED.items():
        chosen = runs.where(runs.table["set"].isin(_names(sets)))
        paths.append(_drawn(name, draw, chosen, folder))
    for name, draw in (others or {}).items():
        with plt.rc_context(STYLE):
            paths.append(save_figure(draw(), name, folder))
    return paths


def _names(sets: str | tuple[str, ...]) -> tuple[str, ...]:
    return (sets,) if isinstance(sets, str) else sets


def _drawn(name: str, draw: Draw, runs: Runs, folder: Path) -> Path:
    """Draw one figure, of the runs at their chosen rate unless it shows the search itself."""
    if name != LEARNING_RATES:
        runs = runs.only(at_chosen_rate(runs.table))
    with plt.rc_context(STYLE):
        return save_figure(draw(runs), name, folder)


def possible(runs: Runs) -> dict[str, Draw]:
    """By the name of its file, every figure that the runs of one group allow."""
    kept = runs.only(at_chosen_rate(runs.table))
    attended = kept.of(ATTENTION)
    kinds = set(attended.details[attended.details["run"].isin(attended.table["run"])]["kind"])
    maps = set(attended.map_groups())
    names = kept.table["method_name"]
    some = len(kept) > 0  # none of a search that decided nothing
    wanted: list[tuple[str, Draw, bool]] = [
        ("heads", heads_figure, some),
        ("scores", scores_figure, some),
        ("training_curves", default_curves, some),
        ("epochs", dev_scores_figure, some),
        (LEARNING_RATES, learning_rates_figure, runs.table["search"].notna().any()),
        ("contrasts", contrasts_figure, bool(contrasts(kept.table))),
        ("calibration", calibration, kept.table["calibration_error"].notna().any()),
        ("label_error", label_error_figure, "all" in maps),
        ("attention_over_time", attention_over_time, "epoch: 1" in maps),
        ("attention_by_difficulty", attention_by_difficulty, _has_levels(maps)),
        ("attention_entropy", attention_entropy, "entropy" in kinds),
        ("attended_head_quality", attended_head_quality, "attended_label_error" in kinds),
        ("student_heads", student_heads, "student_head" in kinds),
        ("early_exit", early_exit, "early_exit" in kinds),
        ("attention_ablation", attention_ablation, bool(ablation_names(kept))),
        ("temperatures", temperatures, names.str.fullmatch(TEMPERATURES).any()),
    ]
    found = {name: draw for name, draw, there in wanted if there}
    for task in tasks_of(attended.table) if "all" in maps else ():
        found[f"attention_{task}"] = partial(layer_map_figure, task=task)
    return found


def _has_levels(maps: set[str]) -> bool:
    return any(name.startswith("difficulty: ") for name in maps)


def default_curves(runs: Runs) -> Figure:
    """Loss curves of the default methods, or of all where none of them was run."""
    default = runs.table["method_name"].isin(DEFAULT_METHODS)
    return curves_figure(runs.where(default) if default.any() else runs)


def draw_runs(runs: Runs, folder: Path) -> list[Path]:
    """Every figure that the runs allow: of the largest group here, of others in numbered folders.

    Returns the files written.
    """
    found = groups(runs.table)
    largest = sorted(found, key=lambda heading: (-len(found[heading]), heading))
    paths = []
    for number, heading in enumerate(largest, 1):
        group = runs.only(found[heading])
        place = folder if number == 1 else folder / f"group-{number}"
        for name, draw in possible(group).items():
            paths.append(_drawn(name, draw, group, place))
    return paths
