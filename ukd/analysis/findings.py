"""The README's findings: sentences and one table, made from the committed runs."""

from __future__ import annotations

from textwrap import fill

import pandas as pd

from ukd.analysis.contrasts import against_baseline, mean_over_tasks
from ukd.analysis.grouping import at_chosen_rate, tasks_of
from ukd.analysis.runs import REAL, SEARCH, Runs
from ukd.analysis.statistics import Difference
from ukd.analysis.tables import score_table

ARCHITECTURES = "synthetic-cross-architecture"
WIDTH = 130  # columns of the text


def findings(runs: Runs) -> str:
    """Four bullets with n and 95% intervals, and the scores on the real encoder."""
    real = _table(runs, REAL)
    search = _table(runs, SEARCH)
    bullets = [
        _real_encoder(real),
        _controls(real),
        _synthetic(search),
        _bilstm(_table(runs, ARCHITECTURES)),
    ]
    teacher = real.iloc[0]
    caption = (
        f"CoLA's validation score (Matthews correlation), {teacher['teacher_layers']} layers of a "
        "pretrained encoder of BERT-base's size (all-mpnet-base-v2) to the first "
        f"{teacher['student_depth']}, one teacher, one learning rate:"
    )
    lines = [fill(f"- {bullet}", WIDTH, subsequent_indent="  ") for bullet in bullets]
    return "\n".join([*lines, "", fill(caption, WIDTH), "", score_table(real)])


def _table(runs: Runs, name: str) -> pd.DataFrame:
    return at_chosen_rate(runs.table[runs.table["set"] == name])


def _real_encoder(table: pd.DataFrame) -> str:
    kd = against_baseline(table, "universal-kd", "kd", "cola")
    stages = against_baseline(table, "universal-kd", "kd-two-stage", "cola")
    return (
        f"**On a real encoder, on one task, Universal-KD is {_direction(kd)} KD**: CoLA, "
        f"{kd.points}. "
        f"Its difference to the same two stages without the intermediate loss is {stages.points}."
    )


def _controls(table: pd.DataFrame) -> str:
    uniform = against_baseline(table, "universal-kd", "uniform", "cola")
    return (
        f"**How much of it is the attention?** The difference to uniform weights "
        f"{_is_significant(uniform)} there: {uniform.points}. The minimum detectable effect was "
        f"{uniform.minimum_detectable_effect:.1f} points."
    )


def _synthetic(table: pd.DataFrame) -> str:
    tasks = tasks_of(table)
    pkd = mean_over_tasks(table, "universal-kd", "pkd-skip", tasks)
    kd = mean_over_tasks(table, "universal-kd", "kd", tasks)
    return (
        f"**On the synthetic suite it is {_direction(pkd)} PKD**: over {', '.join(tasks)} by "
        f"{pkd.points}. Its difference to KD {_is_significant(kd)}: {kd.points}."
    )


def _bilstm(table: pd.DataFrame) -> str:
    group = table[(table["student"] == "bilstm") & (table["precision"] == "float32")]
    kd = against_baseline(group, "universal-kd", "kd", "acceptability")
    return (
        f"**A BiLSTM of two layers gains over KD** on synthetic acceptability: {kd.points}. "
        "It has one "
        "intermediate layer; whether the attention or any loss on it brings this, these runs "
        "can't tell."
    )


def _direction(difference: Difference) -> str:
    if not difference.significant:
        return "not significantly different from"
    return "ahead of" if difference.mean > 0 else "behind"


def _is_significant(difference: Difference) -> str:
    return "is significant" if difference.significant else "is not significant"
