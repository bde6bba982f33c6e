"""Figures of training: the search over learning rates, and the loss terms over the steps."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukd.analysis.figures import (
    BASELINE_LINE,
    BESIDE,
    COLOURS,
    GREY,
    SCORE,
    AnyRuns,
    panels,
    style_of,
)
from ukd.analysis.grouping import at_chosen_rate, attempts, methods_of, tasks_of
from ukd.analysis.runs import Runs, one_group


def learning_rates_figure(runs: Runs) -> Figure:
    """Score of every method at every learning rate of a search, a panel a task with two or more.

    Bars are sample standard deviations over seeds. A ring marks the rate chosen on the dev split.

    Args:
        runs: of one group, with all that was tried.
    """
    rates = json.loads(runs.table["search"].iloc[0])["rates"]
    tasks = [task for task, tried in rates.items() if len(tried) > 1]
    methods = methods_of(runs.table)
    decided = one_group(runs.only(at_chosen_rate(runs.table))).table
    chosen = decided.groupby(["method_name", "task"])["learning_rate"].first()
    figure, axes = panels(1, len(tasks), (3.4 * len(tasks) + 1.8, 3.8))
    for ax, task in zip(axes[0], tasks, strict=True):
        for number, name in enumerate(methods):
            tried = attempts(runs.table[runs.table["method_name"] == name], task)
            scores = tried.groupby("learning_rate")["validation"].agg(["mean", "std"]).fillna(0)
            aside = 1.02 ** (number - (len(methods) - 1) / 2)  # so that no bar hides another
            style = style_of(name)
            places = aside * scores.index.to_numpy()
            bars = {"capsize": 2, "label": name, "markersize": 4}
            ax.errorbar(places, scores["mean"], scores["std"], **bars, **style)
            rate = chosen.get((name, task))
            if rate in scores.index:
                ring = {"markersize": 11, "fillstyle": "none", "color": style["color"]}
                ax.plot(rate * aside, scores["mean"][rate], "o", **ring)
        ax.set(xscale="log", title=task, xlabel="Peak learning rate")
        ax.set_xticks(rates[task], [f"{rate:g}" for rate in rates[task]])
        ax.minorticks_off()
    axes[0, 0].set_ylabel(SCORE)
    axes[0, -1].legend(**BESIDE)
    figure.suptitle("The search over learning rates; a ring: chosen on the dev split", fontsize=10)
    return figure


def curves_figure(runs: AnyRuns) -> Figure:
    """Weighted loss terms over all steps, first seed: a row a task, a column a method."""
    runs = one_group(runs)
    seed = runs.table["seed"].min()
    first = runs.where(runs.table["seed"] == seed)
    tasks = tasks_of(first.table)
    methods = methods_of(first.table)
    losses = first.values("loss")
    losses[["stage", "term"]] = losses["group"].str.split(": ", expand=True)
    terms = sorted(set(losses["term"]))
    figure, axes = panels(len(tasks), len(methods), (4 * len(methods), 3 * len(tasks)))
    for line, task in zip(axes, tasks, strict=True):
        for ax, name in zip(line, methods, strict=True):
            mask = (losses["task"] == task) & (losses["method_name"] == name)
            if not mask.any():
                ax.set_axis_off()
                continue
            draw_curves(ax, losses[mask], terms)
            ax.set_title(f"{task}, {name}, seed {seed}")
    return figure


def dev_scores_figure(runs: AnyRuns) -> Figure:
    """Score on the dev split epoch by epoch, a line a seed: a row a task, a column a method.

    A dashed line: the teacher. A dotted one: where the second stage begins.
    """
    runs = one_group(runs)
    tasks = tasks_of(runs.table)
    methods = methods_of(runs.table)
    scores = runs.values("dev")
    size = (1.75 * len(methods) + 0.8, 2.4 * len(tasks) + 0.4)
    figure, axes = panels(len(tasks), len(methods), size, sharex="row", sharey="row")
    for line, task in zip(axes, tasks, strict=True):
        for ax, name in zip(line, methods, strict=True):
            chosen = scores[(scores["task"] == task) & (scores["method_name"] == name)]
            for _, run in chosen.groupby("seed"):
                _draw_dev_scores(ax, run)
            if len(chosen):
                ax.axhline(chosen["teacher_dev"].iloc[0], **BASELINE_LINE)
            ax.set_title(name, fontsize=9)
        line[0].set_ylabel(f"{task}: dev score, %")
    figure.supxlabel("Epoch", fontsize=10)
    return figure


def _draw_dev_scores(ax: Axes, run: pd.DataFrame) -> None:
    """One run's line over its epochs, stage after stage."""
    stages = [stage["name"] for stage in run["method_settings"].iloc[0]["stages"]]
    done = 0
    epochs = []
    values = []
    for stage in stages:
        points = run[run["group"] == stage].sort_values("row")
        if done:
            ax.axvline(done + 0.5, color=GREY, linestyle=":", linewidth=1)
        epochs += (done + points["row"]).tolist()
        values += points["value"].tolist()
        done += len(points)
    ax.plot(
        epochs, values, linewidth=1, alpha=0.8, color=style_of(run["method_name"].iloc[0])["color"]
    )


def draw_curves(ax: Axes, losses: pd.DataFrame, terms: Sequence[str]) -> Axes:
    """Loss terms over the steps; stages follow one another, a dotted line where one begins.

    losses: columns stage, term, row (the step in its stage), value, steps and method_settings.
    """
    run = losses.iloc[0]
    done = 0
    for stage in run["method_settings"]["stages"]:
        chosen = losses[losses["stage"] == stage["name"]]
        for term, points in chosen.groupby("term"):
            colour = COLOURS[list(terms).index(term) % 10]
            ax.plot(done + points["row"], points["value"], color=colour, label=term)
        if done:
            ax.axvline(done, color=GREY, linestyle=":", linewidth=1)
        place = {"xycoords": ("data", "axes fraction"), "xytext": (3, 0)}
        name = f"stage: {stage['name']}"
        ax.annotate(name, (done, 0.98), fontsize=8, va="top", textcoords="offset points", **place)
        done += round(run["steps"] * stage["epoch_fraction"])
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique, loc="upper right", bbox_to_anchor=(1, 0.93))
    ax.set(xlabel="Optimiser step", ylabel="Weighted loss term")
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1.4 * ax.get_ylim()[1])  # room for the names of stages
    return ax
