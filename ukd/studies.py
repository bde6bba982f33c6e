"""Figures of studies: what the attention does over time, by difficulty and temperature, what it sees, and what students can do besides.

Records in, figures out; every function takes the records of one budget (see `ukd.grouping.setting`) and draws what they hold.
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean, stdev

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukd.config import digest
from ukd.data import SPECS
from ukd.figures import STYLE, distance_figure, draw_all, draw_attention, heads_figure, look, rates_figure, save, scores_figure
from ukd.grouping import decided, label, ordered, setting
from ukd.methods import CORE, METHODS
from ukd.metrics import headline
from ukd.results import cells, contrasts

PLAIN, FLOWING = "universal-kd", "universal-kd (attention_grad=True)"
KNOWN = (*METHODS, FLOWING)
SPELLED = {FLOWING: "gradient through\nthe attention"}


def of(records: list[dict], name: str, task: str | None = None) -> list[dict]:
    """Records of a method (by its label) on a task."""
    return [record for record in records if label(record) == name and task in (None, record["task"])]


def tasks_of(records: list[dict]) -> list[str]:
    """Their tasks, in the suite's order."""
    return ordered({record["task"] for record in records}, SPECS)


def _maps(rows: dict[str, dict[str, list]], title: str) -> Figure:
    """A grid of layer maps without their numbers, {row: {column: weights}}, with one scale beside it."""
    columns = max(len(row) for row in rows.values())
    students, teachers = np.shape(next(iter(next(iter(rows.values())).values())))
    size = (0.19 * teachers * columns + 1.8, (0.24 * students + 0.75) * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for line, (task, row) in zip(axes, rows.items(), strict=True):
        for ax in line[len(row) :]:
            ax.set_axis_off()
        for ax, (name, weights) in zip(line, row.items(), strict=False):
            draw_attention(ax, weights, f"{task}, {name}", values=False)
            ax.title.set_fontsize(8)
            ax.set(xlabel="Teacher layer" if line is axes[-1] else "", ylabel="Student layer" if ax is line[0] else "")
            ax.tick_params(labelsize=7)
    figure.colorbar(axes[0, 0].collections[0], ax=axes, shrink=0.6, label="Mean attention weight")
    figure.suptitle(title, fontsize=10)
    return figure


def attention_over_time(records: list[dict]) -> Figure:
    """Layer maps on the development part after every epoch of the first stage, mean over seeds."""
    rows = {}
    for task in tasks_of(of(records, PLAIN)):
        epochs = [record["history"]["teacher"]["epochs"] for record in of(records, PLAIN, task)]
        rows[task] = {f"epoch {n + 1}": np.mean([e[n]["attention"] for e in epochs], 0) for n in range(len(epochs[0]))}
    return _maps(rows, "Where each student layer looks, epoch by epoch of the first stage")


def attention_by_difficulty(records: list[dict]) -> Figure:
    """Layer maps of the examples of each level of difficulty, at the end of the first stage, mean over seeds."""
    rows = {}
    for task in tasks_of(of(records, PLAIN)):
        maps = [record["attention"]["by_difficulty"] for record in of(records, PLAIN, task)]
        rows[task] = {f"level {level}": np.mean([m[level] for m in maps], 0) for level in sorted(maps[0], key=float)}
    return _maps(rows, "Where each student layer looks, by the examples' difficulty")


def _over_tasks(ax: Axes, records: list[dict], names: list[str], value, unit: str) -> Axes:
    """One marker a seed for every method and task, side by side; `value`: record -> number."""
    tasks, width = tasks_of(records), 0.8 / len(names)
    for number, name in enumerate(names):
        style, first = look(name, KNOWN), True
        for position, task in enumerate(tasks):
            if values := [value(record) for record in of(records, name, task)]:
                x = position + (number - (len(names) - 1) / 2) * width
                ax.plot([x] * len(values), values, linestyle="", alpha=0.75, label=SPELLED.get(name, name) if first else None, **style)
                ax.hlines(mean(values), x - 0.4 * width, x + 0.4 * width, color=style["color"], linewidth=2)
                first = False
    ax.set(xticks=range(len(tasks)), ylabel=unit, xlim=(-0.6, len(tasks) - 0.4))
    ax.set_xticklabels(tasks)
    ax.legend(frameon=False, fontsize=8, bbox_to_anchor=(1.01, 1), loc="upper left")
    return ax


def entropy_of_attention(records: list[dict]) -> Figure:
    """Mean entropy of the attention of single examples, mean over student layers; a dashed line where all layers get alike."""
    figure, ax = plt.subplots(figsize=(8.4, 3.4), layout="constrained")
    names = [name for name in (PLAIN, FLOWING) if of(records, name)]
    _over_tasks(ax, [r for r in records if r["attention"]], names, lambda r: mean(r["attention"]["entropy"]), "Entropy, nats")
    ax.axhline(np.log(np.shape(of(records, PLAIN)[0]["attention"]["mean"])[1]), color="0.3", linestyle="--", linewidth=1)
    ax.set_title("How narrowly single examples look (dashed: all teacher layers alike)", fontsize=10)
    return figure


def nearer(record: dict) -> float:
    """How much nearer to the label the teacher's heads are where a student looks than were it to look at all alike, in percent."""
    return 100 * (1 - mean(record["attention"]["seen_distance"]) / record["attention"]["uniform_distance"])


def what_is_seen(records: list[dict]) -> Figure:
    """How much nearer to the label the teacher's heads are where the student looks than were it to look at all alike."""
    figure, ax = plt.subplots(figsize=(8.4, 3.4), layout="constrained")
    names = [name for name in (PLAIN, FLOWING) if of(records, name)]
    _over_tasks(ax, [r for r in records if r["attention"]], names, nearer, "Nearer to the label, %")
    ax.axhline(0, color="0.3", linestyle="--", linewidth=1)
    ax.set_title("Does the attention go to layers that predict better? (dashed: no better than all alike)", fontsize=10)
    return figure


def calibration(records: list[dict]) -> Figure:
    """Expected calibration error of the students, methods side by side."""
    figure, ax = plt.subplots(figsize=(9.6, 3.6), layout="constrained")
    judged = [record for record in records if record.get("calibration_error") is not None]
    names = [name for name in (*CORE, "pkd-skip", "mhkd", "uniform", "reverse") if of(judged, name)]
    _over_tasks(ax, judged, names, lambda r: r["calibration_error"], "Expected calibration error, points")
    ax.set_title("Calibration of the students on validation (15 bins)", fontsize=10)
    return figure


def student_heads(records: list[dict]) -> Figure:
    """Score of the student's own classifiers at the end of the first stage, a panel a task, mean over seeds."""
    names = [n for n in (PLAIN, FLOWING, "uniform", "reverse") if any(r["attention"] for r in of(records, n))]
    tasks = tasks_of(of(records, PLAIN))
    figure, axes = plt.subplots(1, len(tasks), figsize=(2.5 * len(tasks) + 1.4, 3), squeeze=False, layout="constrained")
    for ax, task in zip(axes[0], tasks, strict=True):
        for name in names:
            if mine := of(records, name, task):
                values = np.mean([[headline(layer["scores"]) for layer in r["attention"]["by_layer"]] for r in mine], 0)
                ax.plot(range(1, len(values) + 1), values, label=SPELLED.get(name, name), **look(name, KNOWN))
        ax.set(title=task, xlabel="Student layer", xticks=range(1, len(values) + 1))
    axes[0, 0].set_ylabel("Validation score, %")
    drawn = {text: line for ax in axes[0] for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}  # not all on every task
    axes[0, -1].legend(drawn.values(), drawn, frameon=False, fontsize=8, bbox_to_anchor=(1.01, 1), loc="upper left")
    figure.suptitle("What each student layer's own classifier knows at the end of the first stage", fontsize=10)
    return figure


def early_exit(records: list[dict]) -> Figure:
    """Score against the mean number of layers used, for thresholds of confidence: after the first stage and at the end."""
    mine = [record for record in of(records, PLAIN) if record["exits"]]
    tasks, colours = tasks_of(mine), sns.color_palette("colorblind")
    figure, axes = plt.subplots(1, len(tasks), figsize=(2.9 * len(tasks), 3), squeeze=False, layout="constrained")
    for ax, task in zip(axes[0], tasks, strict=True):
        moments = (("after the first stage", lambda r: r["attention"]["exits"]), ("at the end", lambda r: r["exits"]))
        for number, (name, of_record) in enumerate(moments):
            points = [[(e["layers"], headline(e["scores"])) for e in of_record(r)] for r in of(mine, PLAIN, task)]
            x, y = np.mean(points, 0).T
            ax.plot(x, y, marker="os"[number], color=colours[number], markersize=4, label=name)
        ax.set(title=task, xlabel="Mean layers used", ylabel="Validation score, %" if ax is axes[0, 0] else "")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.suptitle("Early exit: stop at the first layer that is sure enough", fontsize=10)
    return figure


def temperatures(records: list[dict]) -> Figure:
    """Score and entropy against kappa, and score against tau, a line a task; bars are sample standard deviations over seeds."""
    usual = METHODS[PLAIN]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
    panels = (("kappa", "score"), ("kappa", "entropy"), ("tau", "score"))
    for ax, (option, what) in zip(axes, panels, strict=True):
        found: dict[str, dict[float, list[float]]] = {}
        for record in records:
            said = record["settings"]["method"][option]
            if label(record) in (PLAIN, f"{PLAIN} ({option}={said})"):
                value = headline(record["scores"]["validation"]) if what == "score" else mean(record["attention"]["entropy"])
                found.setdefault(record["task"], {}).setdefault(said, []).append(value)
        for task in ordered((task for task, points in found.items() if len(points) > 1), SPECS):
            x = sorted(found[task])
            bars = [stdev(found[task][v]) if len(found[task][v]) > 1 else 0 for v in x]
            ax.errorbar(x, [mean(found[task][v]) for v in x], bars, capsize=2, markersize=4, label=task, **look(task, tuple(SPECS)))
        ax.axvline(getattr(usual, option), color="0.3", linestyle=":", linewidth=1)
        name = "Attention's temperature, kappa" if option == "kappa" else "Loss's temperature, tau"
        tried = sorted({value for points in found.values() for value in points})
        ax.set(xscale="log", xlabel=f"{name} (dotted: default)", ylabel="Validation score, %" if what == "score" else "Entropy, nats")
        ax.set_xticks(tried, [f"{value:g}" for value in tried])
        ax.minorticks_off()
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def variants(records: list[dict]) -> dict[str, list[str]]:
    """By task the labels of Universal-KD with one option changed, the default first; tasks with two of them or more."""
    found = {}
    for task in tasks_of(records):
        names = {label(r) for r in records if r["task"] == task and r["method"] == PLAIN and r["attention"] and "," not in label(r)}
        names = [PLAIN, *sorted(names - {PLAIN})] if PLAIN in names else []
        if len(names) > 2:
            found[task] = names
    return found


def what_holds_the_attention(records: list[dict]) -> Figure:
    """Universal-KD with one option changed: does the look fall onto heads that know little, and does the score follow? A row a task."""
    rows = variants(records)
    size = (11, sum(0.27 * len(names) + 1.1 for names in rows.values()))
    figure, axes = plt.subplots(len(rows), 3, figsize=size, squeeze=False, layout="constrained")
    panels = {
        "Validation score, %": lambda r: headline(r["scores"]["validation"]),
        "Entropy of the attention, nats": lambda r: mean(r["attention"]["entropy"]),
        "Nearer to the label than all alike, % (negative: further)": nearer,
    }
    for line, (task, names) in zip(axes, rows.items(), strict=True):
        for ax, (what, value) in zip(line, panels.items(), strict=True):
            for position, name in enumerate(names):
                values, style = [value(record) for record in of(records, name, task)], look(name, names)
                ax.plot(values, [position] * len(values), linestyle="", alpha=0.7, markersize=4, **style)
                ax.vlines(mean(values), position - 0.35, position + 0.35, color=style["color"], linewidth=2)
            ax.set(xlabel=what, yticks=range(len(names)), ylim=(len(names) - 0.4, -0.6))
            ax.set_yticklabels([name.removeprefix(f"{PLAIN} ").strip("()") for name in names] if ax is line[0] else [], fontsize=8)
        line[0].set_title(task, fontsize=10)
        line[2].axvline(0, color="0.3", linestyle="--", linewidth=1)
    figure.suptitle("Universal-KD with one option changed: what it scores, and where it looks", fontsize=10)
    return figure


def contrasts_figure(records: list[dict]) -> Figure:
    """Differences between methods that differ by one thing: every seed's, and the t interval over them; a colour and marker a task."""
    rows = contrasts(records)
    tasks = ordered({task for _, _, each in rows for task in each}, SPECS)
    found, width = cells(records), 0.7 / len(tasks)
    figure, ax = plt.subplots(figsize=(9.6, 0.34 * len(rows) * max(1, len(tasks) / 2) + 1.2), layout="constrained")
    for position, (_, what, each) in enumerate(rows):
        one, other = what.split(" minus ")
        for number, task in enumerate(task for task in tasks if task in each):
            y, style = position + (number - (len(each) - 1) / 2) * width, look(task, tuple(SPECS))
            ours, base = found[one, task].by_seed, found[other, task].by_seed
            away = [ours[seed] - base[seed] for seed in sorted(ours.keys() & base.keys())]
            ax.plot(away, [y] * len(away), linestyle="", alpha=0.6, markersize=4, **style)
            ax.hlines(y, *each[task].interval(), color=style["color"], linewidth=1.5)
    for task in tasks:
        ax.plot([], [], label=task, **look(task, tuple(SPECS)))
    ax.axvline(0, color="0.3", linestyle="--", linewidth=1)
    ax.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6), xlabel="Difference, points (bars: 95% over seeds)")
    ax.set_yticklabels([what for _, what, _ in rows], fontsize=8)
    ax.legend(frameon=False, fontsize=8, bbox_to_anchor=(1.01, 1), loc="upper left")
    return figure


def draw_records(records: list[dict], folder: Path) -> list[Path]:
    """All figures of distillation records: those of the largest group of one budget here, of any other in a folder of its own."""
    groups: dict[str, list[dict]] = {}
    for record in (record for record in records if "teacher" in record):
        groups.setdefault(setting(record), []).append(record)
    if not groups:
        raise ValueError("no records of distillations to draw from: make some with `ukd reproduce` or `ukd run`")
    paths = []
    for number, name in enumerate(sorted(groups, key=lambda name: (-len(groups[name]), name))):
        place = folder / digest(name) if number else folder
        paths += draw_all(groups[name], place)
        with plt.rc_context(STYLE):
            tried = {"rates": rates_figure(groups[name])} if groups[name][0]["settings"].get("searched") else {}
            for study, figure in (tried | studies(decided(groups[name]))).items():
                paths += save(figure, study, place)
    return paths


def draw_search(records: list[dict], folder: Path) -> list[Path]:
    """What a search tried, and of what it chose scores, contrasts, teachers, attention; named to stand beside another set's figures."""
    if not (kept := decided(records)):
        raise ValueError("nothing to draw: no method has a run at every rate with every seed of its search")
    with plt.rc_context(STYLE):
        found = {
            "rates": rates_figure(records), "scores_searched": scores_figure(kept), "contrasts_searched": contrasts_figure(kept),
            "heads_searched": heads_figure(kept), "distance_searched": distance_figure(of(kept, PLAIN)),
            "attention_searched": attention_over_time(kept),
        }  # fmt: skip
        return [path for name, figure in found.items() for path in save(figure, name, folder)]


def studies(records: list[dict]) -> dict[str, Figure]:
    """All studies that the records allow, by the name of their file."""
    found = {"contrasts": contrasts_figure(records)} if contrasts(records) else {}
    attended = [record for record in of(records, PLAIN) if record["attention"] and "entropy" in record["attention"]]
    if not attended:
        return found
    if all("attention" in epoch for record in attended for epoch in record["history"]["teacher"]["epochs"]):
        found["attention_over_time"] = attention_over_time(records)
    if all("by_difficulty" in record["attention"] for record in attended):
        found["attention_by_difficulty"] = attention_by_difficulty(records)
    shown = {"attention_entropy": entropy_of_attention, "what_is_seen": what_is_seen, "student_heads": student_heads}
    found |= {name: draw(records) for name, draw in shown.items()}
    if any(record.get("calibration_error") is not None for record in records):  # values have no calibration
        found["calibration"] = calibration(records)
    if any(record["exits"] for record in attended):
        found["early_exit"] = early_exit(records)
    if variants(records):
        found["what_holds_the_attention"] = what_holds_the_attention(records)
    if any(re.fullmatch(rf"{PLAIN} \((kappa|tau)=[\d.]+\)", label(record)) for record in records):
        found["temperatures"] = temperatures(records)
    return found
