"""Figures from run records: data in, axes out, saved as SVG and PNG that are byte-identical when drawn again."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukd.data import SPECS
from ukd.grouping import attempts, decided, label, ordered, searched
from ukd.methods import CORE, METHODS, TERMS
from ukd.metrics import headline
from ukd.results import by_budget, encoder_names, winners

ENCODERS = ("embedded", "random", "prose", "random-prose")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = {"svg.hashsalt": "ukd", "figure.dpi": 110, "savefig.dpi": 160, "font.size": 10, "axes.grid": True, "grid.alpha": 0.3}


def look(name: str, known: tuple[str, ...]) -> dict:
    """Colour and marker that belong to a name wherever it is drawn."""
    index = known.index(name) if name in known else len(known)
    return {"color": sns.color_palette("colorblind")[index % 10], "marker": MARKERS[index % len(MARKERS)]}


def save(figure: Figure, name: str, folder: Path) -> list[Path]:
    """Write `name`.svg and `name`.png without dates, and close the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    with plt.rc_context(STYLE):
        figure.savefig(paths[0], metadata={"Date": None}, bbox_inches="tight")
        figure.savefig(paths[1], metadata={"Software": None}, bbox_inches="tight")
    plt.close(figure)
    return paths


def draw_heads(ax: Axes, by_layer: dict[str, list[dict]]) -> Axes:
    """Score of each teacher layer's classifier, one line a task: {task: [{"scores"} per layer]}."""
    for task, layers in by_layer.items():
        values = [headline(layer["scores"]) for layer in layers]
        ax.plot(range(1, len(values) + 1), values, label=task, markersize=5, **look(task, tuple(SPECS)))
    ax.set(xlabel="Teacher layer", ylabel="Validation score, %", xticks=range(1, len(values) + 1))
    ax.legend(frameon=False, fontsize=9)
    return ax


def draw_attention(ax: Axes, weights: list[list[float]], title: str, *, values: bool = True) -> Axes:
    """A layer map: mean attention (S, T) with fixed limits 0 and 1, its values written in the cells."""
    weights = np.asarray(weights)
    students, teachers = (np.arange(1, size + 1) for size in weights.shape)
    sns.heatmap(
        weights, ax=ax, vmin=0, vmax=1, cmap="cividis", annot=values, fmt=".2f", annot_kws={"size": 8}, linewidths=0.5,
        xticklabels=teachers, yticklabels=students, cbar=False,
    )  # fmt: skip
    ax.set(xlabel="Teacher layer", ylabel="Student layer", title=title)
    ax.tick_params(axis="y", rotation=0)
    ax.grid(False)
    return ax


def draw_distance_and_attention(axes: list[Axes], by_layer: list[dict], weights: list[list[float]], task: str) -> list[Axes]:
    """The paper's figure 3 in kind: how far each teacher head is from the label, beside the attention that it gets.

    by_layer: all T teacher layers, of which the first ones are attended to; weights: (S, T - 1), averaged over S.
    """
    received = np.asarray(weights).mean(0)
    layers = np.arange(1, len(received) + 1)
    away = "Mean absolute error" if "pearson" in by_layer[0]["scores"] else "Mean of 1 - p(label)"
    colours = sns.color_palette("colorblind")
    axes[0].bar(layers, [layer["distance"] for layer in by_layer[: len(received)]], color=colours[1])
    axes[0].set(title=f"{task}: distance from the label", ylabel=away)
    axes[1].bar(layers, received, color=colours[0])
    axes[1].axhline(1 / len(received), color="0.3", linestyle="--", linewidth=1, label="uniform")
    axes[1].set(title=f"{task}: attention received", ylabel="Mean attention weight")
    axes[1].set_ylim(0, 1.25 * max(*received, 1 / len(received)))
    axes[1].legend(frameon=False, fontsize=8, loc="upper right")
    for ax in axes:
        ax.set(xlabel="Teacher layer", xticks=layers)
    return axes


def draw_curves(ax: Axes, history: dict[str, dict], title: str) -> Axes:
    """Every term of the loss by name over the optimiser steps of all stages, in their order; a dotted line where one begins."""
    found = {name for stage in history.values() for point in stage["curve"] for name in point} - {"step"}
    terms, done = [*(name for name in TERMS if name in found), *sorted(found - set(TERMS))], 0
    for number, (stage, run) in enumerate(history.items()):
        for name in (name for name in terms if any(name in point for point in run["curve"])):
            points = [(done + point["step"], point[name]) for point in run["curve"]]
            first = number == 0 or not any(name in p for earlier in list(history.values())[:number] for p in earlier["curve"])
            style = look(name, TERMS) | {"marker": None}
            ax.plot(*zip(*points, strict=True), label=name if first else None, **style)
        if number:
            ax.axvline(done, color="0.3", linestyle=":", linewidth=1)
        place = {"xycoords": ("data", "axes fraction"), "xytext": (3, 0), "textcoords": "offset points"}
        ax.annotate(f"stage: {stage}", (done, 0.98), fontsize=8, va="top", **place)
        done += run["epochs"][-1]["step"] if run["epochs"] else 0
    ax.set(xlabel="Optimiser step", ylabel="Weighted loss term", title=title)
    ax.set_ylim(0, 1.4 * ax.get_ylim()[1])  # room for stage names and legend
    ax.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.93))
    return ax


def draw_pretraining(ax: Axes, said: dict) -> Axes:
    """Losses of an encoder's pretraining over its steps, as `pretraining.json` holds them; a dotted line where the depth grows."""
    done, colours = 0, sns.color_palette("colorblind")
    for number, stage in enumerate(said["stages"]):
        first = number == 0
        points = [(done + point["step"], point["masked words"]) for point in stage["curve"]]
        ax.plot(*zip(*points, strict=True), color=colours[7], linewidth=1, label="masked words, in training" if first else None)
        points = [(done + point["step"], -point["dev"]) for point in stage["epochs"]]
        ax.plot(*zip(*points, strict=True), color=colours[0], marker="o", markersize=3, label="masked words, held out" if first else None)
        ax.axvline(done, color="0.3", linestyle=":", linewidth=1)
        place = {"xycoords": ("data", "axes fraction"), "xytext": (3, 0), "textcoords": "offset points"}
        ax.annotate(f"{stage['layers']} layers", (done, 0.97), fontsize=8, va="top", **place)
        done += stage["epochs"][-1]["step"]
    single = mean(said["unigram"].values())
    ax.axhline(single, color=colours[3], linestyle="--", linewidth=1, label="single words' frequencies, held out")
    ax.set(xlabel="Optimiser step", ylabel="Loss, nats", ylim=(0, None))
    ax.legend(frameon=False, fontsize=8)
    return ax


def pretraining_figure(said: dict, name: str) -> Figure:
    """The pretraining of an encoder that comes with the kit."""
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    draw_pretraining(ax, said).set_title(f"Pretraining of the {name} encoder")
    return figure


def encoders_figure(records: list[dict]) -> Figure:
    """Score of the pseudo classifiers by layer after fine-tuning, mean over seeds: a row a budget, a panel a task, a line an encoder."""
    tasks, budgets = ordered({record["task"] for record in records}, SPECS), by_budget(records)
    figure, axes = plt.subplots(len(budgets), len(tasks), figsize=(2.9 * len(tasks), 3.1 * len(budgets)), squeeze=False)
    for row, mine in zip(axes, budgets.values(), strict=True):
        for ax, task in zip(row, tasks, strict=True):
            _draw_encoders(ax, [record for record in mine if record["task"] == task], encoder_names(mine))
            ax.set(title=task, xlabel="Layer, as a share of the depth")
            ax.set_visible(bool(ax.lines))
        shown = [ax for ax in row if ax.lines]
        shown[0].set_ylabel("Validation score, %\n({epochs} epochs, {precision})".format_map(mine[0]["settings"]))
        shown[-1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure


def _draw_encoders(ax: Axes, records: list[dict], encoders: dict[str, str]) -> None:
    """One task's panel of `encoders_figure`: of each encoder the rate that won its search."""
    for encoder in ordered(encoders, ENCODERS):
        kept = winners([record for record in records if record["settings"]["encoder"] == encoders[encoder]])
        values = np.array([[headline(layer["scores"]) for layer in record["by_layer"]] for record in kept])
        if len(values):
            layers = np.arange(1, values.shape[1] + 1) / values.shape[1]
            ax.plot(layers, values.mean(0), label=encoder, markersize=4, **look(encoder, ENCODERS))


def heads_figure(records: list[dict]) -> Figure:
    """Pseudo classifiers' score by teacher layer, all tasks of the records."""
    by_task = {record["task"]: record["teacher"]["by_layer"] for record in records}
    figure, ax = plt.subplots(figsize=(6.4, 4))
    draw_heads(ax, {task: by_task[task] for task in ordered(by_task, SPECS)})
    ax.set_title("What each teacher layer knows")
    return figure


def attention_figure(records: list[dict]) -> Figure:
    """Layer maps of one task, averaged over the seeds: all validation examples first, then each class."""
    maps = [record["attention"] for record in records]
    average = lambda found: np.mean(found, axis=0)  # noqa: E731
    shown = {"all examples": average([m["mean"] for m in maps])}
    for name in maps[0].get("by_class", {}):
        shown[f"class: {name}"] = average([m["by_class"][name] for m in maps if name in m["by_class"]])
    students, teachers = shown["all examples"].shape
    figure, axes = plt.subplots(len(shown), 1, figsize=(0.55 * teachers + 1.6, (0.42 * students + 1.15) * len(shown)), squeeze=False)
    for ax, (title, weights) in zip(axes[:, 0], shown.items(), strict=True):
        draw_attention(ax, weights, f"{records[0]['task']}, {title}")
    figure.suptitle(f"Where each student layer looks, end of the first stage (mean of {len(maps)} seeds)", fontsize=10)
    figure.tight_layout()
    return figure


def distance_figure(records: list[dict]) -> Figure:
    """Figure 3 in kind, a row a task, attention averaged over the seeds."""
    tasks = ordered({record["task"] for record in records}, SPECS)
    figure, axes = plt.subplots(len(tasks), 2, figsize=(9, 2.7 * len(tasks)), squeeze=False)
    for row, task in zip(axes, tasks, strict=True):
        chosen = [record for record in records if record["task"] == task]
        weights = np.mean([record["attention"]["mean"] for record in chosen], axis=0)
        draw_distance_and_attention(row, chosen[0]["teacher"]["by_layer"], weights, task)
    figure.tight_layout()
    return figure


def curves_figure(records: list[dict]) -> Figure:
    """Training curves of the first seed, a row a task, a column a method."""
    seed = min(record["seed"] for record in records)
    chosen = {(record["task"], label(record)): record for record in records if record["seed"] == seed}
    tasks, methods = ordered({task for task, _ in chosen}, SPECS), ordered({name for _, name in chosen}, METHODS)
    figure, axes = plt.subplots(len(tasks), len(methods), figsize=(4 * len(methods), 3 * len(tasks)), squeeze=False)
    for row, task in zip(axes, tasks, strict=True):
        for ax, name in zip(row, methods, strict=True):
            if record := chosen.get((task, name)):
                stages = [stage["name"] for stage in record["settings"]["method"]["stages"]]
                draw_curves(ax, {stage: record["history"][stage] for stage in stages}, f"{task}, {name}, seed {seed}")
            else:
                ax.set_axis_off()
    figure.tight_layout()
    return figure


def scores_figure(records: list[dict]) -> Figure:
    """Every seed's score, a panel a task and a line a method, the mean as a bar and the teacher dashed: the spread is what one looks at."""
    tasks = ordered({record["task"] for record in records}, SPECS)
    methods = ordered({label(record) for record in records}, METHODS)
    size = (2.2 * len(tasks) + 1.8, 0.27 * len(methods) + 1.3)
    figure, axes = plt.subplots(1, len(tasks), figsize=size, squeeze=False, sharey=True, layout="constrained")
    for ax, task in zip(axes[0], tasks, strict=True):
        chosen = [record for record in records if record["task"] == task]
        for position, name in enumerate(methods):
            if values := [headline(record["scores"]["validation"]) for record in chosen if label(record) == name]:
                style = look(name, tuple(METHODS))
                ax.plot(values, [position] * len(values), linestyle="", alpha=0.7, markersize=4, **style)
                ax.vlines(mean(values), position - 0.35, position + 0.35, color=style["color"], linewidth=2)
        teacher = headline(chosen[0]["teacher"]["scores"]["validation"])
        ax.axvline(teacher, color="0.3", linestyle="--", linewidth=1)
        ax.set(title=task, xlabel="Validation score, %", yticks=range(len(methods)), ylim=(len(methods) - 0.4, -0.9))
        ax.set_yticklabels(methods, fontsize=8)
        ax.margins(x=0.12)
        left = teacher < mean(ax.get_xlim())  # the word stands towards the middle: it stays in its panel
        place = {"xytext": (3 if left else -3, -3), "textcoords": "offset points", "ha": "left" if left else "right", "va": "top"}
        ax.annotate("teacher", (teacher, 1), xycoords=("data", "axes fraction"), fontsize=8, **place)
    return figure


def rates_figure(records: list[dict]) -> Figure:
    """Score of every method at every rate of its search, a panel for every task where there were two or more; bars are sample standard
    deviations over seeds, a ring is at the rate that the development part chose. Records of one setting with all that was tried."""
    tried, _ = searched(records[0]["settings"]["searched"])
    tasks, names = [task for task, rates in tried.items() if len(rates) > 1], ordered({label(record) for record in records}, METHODS)
    kept = {(label(record), record["task"]): record["settings"]["rate"] for record in decided(records)}
    figure, axes = plt.subplots(1, len(tasks), figsize=(3.4 * len(tasks) + 1.8, 3.8), squeeze=False, layout="constrained")
    for ax, task in zip(axes[0], tasks, strict=True):
        for number, name in enumerate(names):
            points: dict[float, list[float]] = {}
            for (rate, _), record in sorted(attempts([record for record in records if label(record) == name], task).items()):
                points.setdefault(rate, []).append(headline(record["scores"]["validation"]))
            aside, style = 1.035 ** (number - (len(names) - 1) / 2), look(name, tuple(METHODS))  # so that no bar hides another
            bars = [stdev(values) if len(values) > 1 else 0 for values in points.values()]
            x, y = [rate * aside for rate in points], [mean(values) for values in points.values()]
            ax.errorbar(x, y, bars, capsize=2, label=name, markersize=4, **style)
            if (rate := kept.get((name, task))) in points:
                ax.plot(rate * aside, mean(points[rate]), "o", markersize=11, fillstyle="none", color=style["color"])
        ax.set(xscale="log", title=task, xlabel="Peak learning rate", ylabel="Validation score, %" if ax is axes[0, 0] else "")
        ax.set_xticks(tried[task], [f"{rate:g}" for rate in tried[task]])
        ax.minorticks_off()
    axes[0, -1].legend(frameon=False, fontsize=8, bbox_to_anchor=(1.01, 1), loc="upper left")
    figure.suptitle("The search over rates; a ring: chosen on the development part", fontsize=10)
    return figure


def draw_all(records: list[dict], folder: Path) -> list[Path]:
    """All figures that records of one budget allow; returns the files written. Raises ValueError without records."""
    if not records:
        raise ValueError("no run records to draw from: make some with `ukd reproduce` or `ukd run`")
    records = decided(records)
    attended = [record for record in records if record["attention"] and label(record) == "universal-kd"]
    core = [record for record in records if label(record) in CORE] or records
    with plt.rc_context(STYLE):
        paths = save(heads_figure(records), "heads_by_layer", folder) + save(scores_figure(records), "scores", folder)
        paths += save(curves_figure(core), "training_curves", folder)
        if attended:
            paths += save(distance_figure(attended), "distance_and_attention", folder)
        for task in ordered({record["task"] for record in attended}, SPECS):
            chosen = [record for record in attended if record["task"] == task]
            paths += save(attention_figure(chosen), f"attention_{task}", folder)
    return paths


def draw_scores(records: list[dict], name: str, folder: Path) -> list[Path]:
    """The scores of one set of records, named to stand beside another set's."""
    with plt.rc_context(STYLE):
        return save(scores_figure(decided(records)), name, folder)


def draw_encoders(made: dict[str, dict], tuned: list[dict], folder: Path) -> list[Path]:
    """Figures of the encoders that come with the kit: their pretraining, and their layers after fine-tuning where there are records."""
    with plt.rc_context(STYLE):
        paths = [path for name, said in made.items() for path in save(pretraining_figure(said, name), f"pretraining_{name}", folder)]
        return paths + (save(encoders_figure(tuned), "encoders_by_layer", folder) if tuned else [])
