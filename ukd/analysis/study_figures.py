"""Figures of studies: which heads students attend to, and what their own heads know.

Every function takes the runs of one group (see `ukd.analysis.grouping.groups`).
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukd.analysis.contrasts import contrasts, seed_scores
from ukd.analysis.figures import (
    BASELINE_LINE,
    BESIDE,
    COLOURS,
    NO_MARKS,
    SCORE,
    draw_seeds,
    panels,
    style_of,
    styles,
)
from ukd.analysis.grouping import methods_of, ordered, tasks_of
from ukd.analysis.map_figures import ATTENTION
from ukd.analysis.runs import Runs, one_group
from ukd.config.scenarios import DEFAULT_METHODS
from ukd.data.tasks import SPECS
from ukd.methods.registry import METHODS

WITH_GRADIENT = "universal-kd (detach_attention=False)"
CONTROLS = ("uniform", "reverse")


def label_error_figure(runs: Runs) -> Figure:
    """The paper's figure 3 in kind: label error of each teacher head, beside its attention.

    A row a task. Attention is the mean over student layers, examples and seeds.
    """
    attended = one_group(runs).of(ATTENTION)
    tasks = tasks_of(attended.table)
    figure, axes = panels(len(tasks), 2, (9, 2.7 * len(tasks)))
    for line, task in zip(axes, tasks, strict=True):
        chosen = attended.of(ATTENTION, task)
        received = chosen.layer_map().mean(0)
        run = chosen.table.iloc[0]
        layers = np.arange(1, len(received) + 1)
        errors = [head["label_error"] for head in run["teacher_heads"][: len(received)]]
        valued = "pearson" in run["metrics"]
        what = "Mean absolute error" if valued else "Mean of 1 - p(label)"
        sns.barplot(x=layers, y=errors, color=COLOURS[1], ax=line[0])
        sns.barplot(x=layers, y=received, color=COLOURS[0], ax=line[1])
        line[1].axhline(1 / len(received), label="uniform", **BASELINE_LINE)
        line[1].set_ylim(0, 1.25 * max(*received, 1 / len(received)))
        line[1].legend(loc="upper right")
        line[0].set(title=f"{task}: label error of the head", ylabel=what)
        line[1].set(title=f"{task}: attention received", ylabel="Mean attention weight")
        for ax in line:
            ax.set_xlabel("Teacher layer")
    return figure


def mean_by_run(runs: Runs, kind: str) -> pd.DataFrame:
    """One row a run: task, method_name, seed and value, the mean over student layers."""
    keys = ["run", "task", "method_name", "seed"]
    return runs.values(kind).groupby(keys, sort=False)["value"].mean().reset_index()


def relative_label_error(runs: Runs) -> pd.DataFrame:
    """One row a run: how much smaller the label error of the attended heads is, in percent.

    Compared with uniform attention to the same heads; negative where the attended heads are worse.
    """
    attended = mean_by_run(runs, "attended_label_error")
    uniform = mean_by_run(runs, "uniform_label_error")
    found = attended.merge(uniform[["run", "value"]], on="run", suffixes=("", "_uniform"))
    found["value"] = 100 * (1 - found["value"] / found["value_uniform"])
    return found


def attention_entropy(runs: Runs) -> Figure:
    """Mean entropy of the attention of single examples, in nats; dashed: uniform weights."""
    runs = one_group(runs)
    names = _present(runs, (ATTENTION, WITH_GRADIENT))
    figure, ax = plt.subplots(figsize=(8.4, 3.4), layout="constrained")
    draw_by_task(ax, mean_by_run(runs, "entropy"), names, "Entropy, nats")
    teachers = runs.where(runs.table["method_name"].isin(names)).values("layer_map")["column"].max()
    ax.axhline(np.log(teachers), **BASELINE_LINE)
    ax.set_title("Entropy of the attention of single examples (dashed: uniform)", fontsize=10)
    return figure


def attended_head_quality(runs: Runs) -> Figure:
    """Relative label error of the attended heads, by task; above zero they are better."""
    runs = one_group(runs)
    names = _present(runs, (ATTENTION, WITH_GRADIENT))
    figure, ax = plt.subplots(figsize=(8.4, 3.4), layout="constrained")
    draw_by_task(ax, relative_label_error(runs), names, "Label error smaller by, %")
    ax.axhline(0, **BASELINE_LINE)
    ax.set_title("Does attention go to better heads? (dashed: as good as uniform)", fontsize=10)
    return figure


def calibration(runs: Runs) -> Figure:
    """Expected calibration error of the students on validation, methods side by side.

    The main methods and controls, or all where none of these was run.
    """
    data = one_group(runs).table.dropna(subset=["calibration_error"])
    data = data.assign(value=data["calibration_error"].astype(float))
    names = _present(runs.only(data), (*DEFAULT_METHODS, "pkd-skip", "mhkd", *CONTROLS))
    names = names or methods_of(data)
    figure, ax = plt.subplots(figsize=(9.6, 3.6), layout="constrained")
    draw_by_task(ax, data, names, "Expected calibration error, points")
    ax.set_title("Calibration of the students on validation (15 bins)", fontsize=10)
    return figure


def _present(runs: Runs, names: Sequence[str]) -> list[str]:
    there = set(runs.table["method_name"])
    return [name for name in names if name in there]


def draw_by_task(ax: Axes, data: pd.DataFrame, names: Sequence[str], unit: str) -> Axes:
    """A marker a run and a bar at the mean, methods side by side at each task.

    data: columns task, method_name and value.
    """
    data = data[data["method_name"].isin(names)]
    tasks = tasks_of(data)
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        style = style_of(name)
        runs = data[data["method_name"] == name]
        aside = (number - (len(names) - 1) / 2) * width
        places = [tasks.index(task) + aside for task in runs["task"]]
        ax.plot(places, runs["value"], label=name, **NO_MARKS, **style)
        means = runs.groupby("task")["value"].mean()
        for task, mean in means.items():
            middle = tasks.index(task) + aside
            half = 0.4 * width
            ax.hlines(mean, middle - half, middle + half, color=style["color"], linewidth=2)
    ax.set(ylabel=unit, xlim=(-0.6, len(tasks) - 0.4))
    ax.set_xticks(range(len(tasks)), tasks)
    ax.legend(**BESIDE)
    return ax


def student_heads(runs: Runs) -> Figure:
    """Score of the student's own classifiers at the end of the first stage, a panel a task."""
    runs = one_group(runs)
    names = _present(runs, (ATTENTION, WITH_GRADIENT, *CONTROLS))
    heads = runs.values("student_head")
    heads = heads[(heads["group"] != "label_error") & heads["method_name"].isin(names)]
    keys = ["task", "method_name", "run", "row"]
    scores = heads.groupby(keys)["value"].mean().reset_index()  # over a task's metrics
    tasks = tasks_of(runs.of(ATTENTION).table)
    figure, axes = panels(1, len(tasks), (2.5 * len(tasks) + 1.4, 3))
    look = {"hue": "method_name", "style": "method_name", "dashes": False, "errorbar": None}
    look |= {"hue_order": names, "style_order": names, **styles(names)}
    for ax, task in zip(axes[0], tasks, strict=True):
        chosen = scores[scores["task"] == task]
        last = ax is axes[0, -1]
        sns.lineplot(chosen, x="row", y="value", ax=ax, legend="full" if last else False, **look)
        layers = range(1, int(chosen["row"].max()) + 1)
        ax.set(title=task, xlabel="Student layer", ylabel="", xticks=layers)
    axes[0, 0].set_ylabel(SCORE)
    axes[0, -1].legend(**BESIDE)
    figure.suptitle("Student's classifiers at the end of the first stage", fontsize=10)
    return figure


def early_exit(runs: Runs) -> Figure:
    """Score against the mean number of layers used, by threshold of confidence."""
    points = one_group(runs).of(ATTENTION).values("early_exit")
    points[["moment", "what"]] = points["group"].str.split(": ", expand=True)
    points["what"] = points["what"].where(points["what"] == "layers", "score")
    keys = ["task", "moment", "row", "what"]
    means = points.groupby(keys)["value"].mean().unstack("what").reset_index()
    moments = {"first stage": "after the first stage", "end": "at the end"}
    means["moment"] = means["moment"].map(moments)
    tasks = tasks_of(means)
    order = list(moments.values())
    figure, axes = panels(1, len(tasks), (2.9 * len(tasks), 3))
    look = {"hue": "moment", "style": "moment", "hue_order": order, "style_order": order}
    look |= {"dashes": False, "sort": False, **styles(order, order)}
    for ax, task in zip(axes[0], tasks, strict=True):
        chosen = means[means["task"] == task]
        first = ax is axes[0, 0]
        legend = "full" if first else False
        sns.lineplot(chosen, x="layers", y="score", ax=ax, legend=legend, **look)
        ax.set(title=task, xlabel="Mean layers used", ylabel=SCORE if first else "")
    axes[0, 0].legend()
    figure.suptitle("Early exit at the first layer that is confident enough", fontsize=10)
    return figure


def temperatures(runs: Runs) -> Figure:
    """Score and entropy by attention temperature, and score by temperature, a line a task.

    Bars are sample standard deviations over seeds; dotted: the default.
    """
    runs = one_group(runs)
    shown = (
        ("attention_temperature", SCORE),
        ("attention_temperature", "Entropy, nats"),
        ("temperature", SCORE),
    )
    entropy = mean_by_run(runs, "entropy").set_index("run")["value"]
    figure, axes = panels(1, 3, (11, 3.3))
    for ax, (option, unit) in zip(axes[0], shown, strict=True):
        table = runs.table.copy()
        table[option] = [settings[option] for settings in table["method_settings"]]
        changed = table["method_name"].str.startswith(f"{ATTENTION} ({option}=")
        changed &= ~table["method_name"].str.contains(",")
        table = table[changed | (table["method_name"] == ATTENTION)]
        table["value"] = table["validation"] if unit == SCORE else table["run"].map(entropy)
        several = table.groupby("task")[option].transform("nunique") > 1
        table = table[several]
        tasks = tasks_of(table)
        look = {"hue": "task", "style": "task", "dashes": False, "err_style": "bars"}
        look |= {"errorbar": "sd", "err_kws": {"capsize": 2}, **styles(tasks, tuple(SPECS))}
        sns.lineplot(table, x=option, y="value", ax=ax, **look)
        ax.axvline(getattr(METHODS[ATTENTION], option), color="0.3", linestyle=":", linewidth=1)
        name = option.replace("_", " ").capitalize()
        ax.set(xscale="log", xlabel=f"{name} (dotted: default)", ylabel=unit)
        tried = sorted(set(table[option]))
        ax.set_xticks(tried, [f"{value:g}" for value in tried])
        ax.minorticks_off()
        ax.legend().set_visible(ax is axes[0, 0])
    return figure


def ablation_names(runs: Runs) -> dict[str, list[str]]:
    """By task Universal-KD and its variants with one option changed, if there are two or more."""
    mapped = runs.where(runs.table["run"].isin(runs.values("layer_map", "all")["run"]))
    table = mapped.table[mapped.table["method"] == ATTENTION]
    table = table[~table["method_name"].str.contains(",")]
    found = {}
    for task in tasks_of(table):
        names = set(table[table["task"] == task]["method_name"]) - {ATTENTION}
        if len(names) > 1:
            found[task] = [ATTENTION, *sorted(names)]
    return found


def attention_ablation(runs: Runs) -> Figure:
    """Universal-KD with one option changed: score, entropy, quality of the attended heads."""
    runs = one_group(runs)
    rows = ablation_names(runs)
    values = {
        SCORE: runs.table.assign(value=runs.table["validation"]),
        "Entropy of the attention, nats": mean_by_run(runs, "entropy"),
        "Label error smaller than uniform by, %": relative_label_error(runs),
    }
    size = (11, sum(0.27 * len(names) + 1.1 for names in rows.values()))
    figure, axes = panels(len(rows), 3, size)
    for line, (task, names) in zip(axes, rows.items(), strict=True):
        for ax, (unit, data) in zip(line, values.items(), strict=True):
            chosen = data[(data["task"] == task) & data["method_name"].isin(names)]
            draw_seeds(ax, chosen, "value", names)
            words = [name.removeprefix(f"{ATTENTION} ").strip("()") for name in names]
            ax.set_yticklabels(words if ax is line[0] else [], fontsize=8)
            ax.set_xlabel(unit)
        line[0].set_title(task, fontsize=10)
        line[2].axvline(0, **BASELINE_LINE)
    figure.suptitle("Universal-KD with one option changed", fontsize=10)
    return figure


def contrasts_figure(runs: Runs) -> Figure:
    """Differences between methods that differ by one thing: every seed, and the 95% interval."""
    table = one_group(runs).table
    found = contrasts(table)
    tasks = ordered({task for contrast in found for task in contrast.by_task}, SPECS)
    height = 0.34 * len(found) * max(1, len(tasks) / 2) + 1.2
    figure, ax = plt.subplots(figsize=(9.6, height), layout="constrained")
    width = 0.7 / len(tasks)
    for place, contrast in enumerate(found):
        there = [task for task in tasks if task in contrast.by_task]
        for number, task in enumerate(there):
            middle = place + (number - (len(there) - 1) / 2) * width
            style = style_of(task, tuple(SPECS))
            ours = seed_scores(table, contrast.method, task)
            differences = (ours - seed_scores(table, contrast.other, task)).dropna()
            ax.plot(differences, [middle] * len(differences), label=task, **NO_MARKS, **style)
            interval = contrast.by_task[task]
            ax.hlines(middle, interval.low, interval.high, color=style["color"], linewidth=1.5)
    ax.axvline(0, **BASELINE_LINE)
    ax.set(ylim=(len(found) - 0.4, -0.6), xlabel="Difference, points (bars: 95% over seeds)")
    ax.set_yticks(range(len(found)), [contrast.name for contrast in found], fontsize=8)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend([unique[task] for task in tasks], tasks, **BESIDE)
    return figure
