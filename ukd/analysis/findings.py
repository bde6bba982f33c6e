"""The README's findings: sentences and one table, made from the committed runs."""

from __future__ import annotations

from textwrap import fill

import pandas as pd

from ukd.analysis.contrasts import against_baseline, mean_over_tasks, seed_scores
from ukd.analysis.difference_figures import short_name
from ukd.analysis.first_look import TASK
from ukd.analysis.grouping import at_chosen_rate, methods_of, tasks_of
from ukd.analysis.runs import LAYER_MAPS, REAL, REAL_SST2, SEARCH, SEARCHED_LOOK, Runs
from ukd.analysis.statistics import Difference
from ukd.analysis.tables import score_table

FIRST_TEACHER = "cola-mpnet-first"  # of the same encoder, at another learning rate
CAPACITY_GAP = "cola-mpnet-minilm"  # the same teacher, a narrow pretrained student
OTHER_STUDENTS = "glue-minilm-other"  # a teacher of 22 million parameters, BiLSTM and CNN
OLD_FORM = "universal-kd (detach_attention=False)"
MAP_CONTROLS = ("uniform", "final", "teacher-query")
WIDTH = 130  # columns of the text


def findings(runs: Runs) -> str:
    """Four bullets with n and 95% intervals, and the scores on the real encoder."""
    look = _table(runs, SEARCHED_LOOK)
    maps = _table(runs, LAYER_MAPS)
    real = _table(runs, REAL)
    other = _table(runs, OTHER_STUDENTS)
    bullets = [
        _across_architectures(look, other[other["student"] == "bilstm"]),
        _layer_maps(maps),
        _real_encoder(real, _table(runs, FIRST_TEACHER), _table(runs, REAL_SST2)),
        _where_it_is_behind(_table(runs, SEARCH), _table(runs, CAPACITY_GAP)),
    ]
    teacher = real.iloc[0]
    caption = (
        f"CoLA's validation score (Matthews correlation), {teacher['teacher_layers']} layers of a "
        "pretrained encoder of BERT-base's size (all-mpnet-base-v2) to the first "
        f"{teacher['student_depth']:g}, one teacher, one learning rate:"
    )
    lines = [fill(f"- {bullet}", WIDTH, subsequent_indent="  ") for bullet in bullets]
    start = fill(_in_short(look, maps, real, _table(runs, CAPACITY_GAP)), WIDTH)
    return "\n".join([start, "", *lines, "", fill(caption, WIDTH), "", score_table(real)])


def _table(runs: Runs, name: str) -> pd.DataFrame:
    return at_chosen_rate(runs.table[runs.table["set"] == name])


def _in_short(look: pd.DataFrame, maps: pd.DataFrame, real: pd.DataFrame, gap: pd.DataFrame) -> str:
    """One sentence on the loss and one on the attention, by what is significant."""
    stages = against_baseline(look, "universal-kd", "kd-two-stage", TASK)
    others = [against_baseline(maps, "universal-kd", name, TASK) for name in MAP_CONTROLS]
    others += [against_baseline(real, "universal-kd", name, "cola") for name in MAP_CONTROLS]
    loss = "can help a student much" if stages.significant and stages.mean > 0 else "is not shown"
    cost = against_baseline(gap, "universal-kd", "kd-two-stage", "cola")
    if cost.significant and cost.mean < 0:
        loss += ", and it can cost another one much"
    better = any(one.significant and one.mean > 0 for one in others)
    worse = any(one.significant and one.mean < 0 for one in others)
    attention = "is shown" if better else "is not shown"
    if worse:
        attention += ", and it can be worse"
    return (
        f"**In short.** A loss on intermediate layers in the output space {loss}. That the "
        f"attention's choice of teacher layers is better than a simpler map {attention}."
    )


def _across_architectures(table: pd.DataFrame, glue: pd.DataFrame) -> str:
    kd = against_baseline(table, "universal-kd", "kd", TASK)
    stages = against_baseline(table, "universal-kd", "kd-two-stage", TASK)
    ours = seed_scores(table, "universal-kd", TASK).mean()
    theirs = seed_scores(table, "kd", TASK).mean()
    gap = mean_over_tasks(glue, OLD_FORM, "kd", tasks_of(glue))
    return (
        "**On one synthetic task, from a transformer to a BiLSTM, Universal-KD is "
        f"{_direction(kd)} KD**: {TASK}, each method at its best learning rate, {ours:.1f} and "
        f"{theirs:.1f}, {kd.points}. Its difference to the same two stages without the "
        f"intermediate loss is {stages.points}. On {len(tasks_of(glue))} GLUE tasks, with a weak "
        "MiniLM teacher and a gradient through the attention, a BiLSTM was "
        f"{_direction(gap)} KD: {gap.points}."
    )


def _layer_maps(table: pd.DataFrame) -> str:
    parts = []
    differences = []
    for name in MAP_CONTROLS:
        difference = against_baseline(table, "universal-kd", name, TASK)
        differences.append(difference)
        parts.append(f"to `{name}` {difference}")
    known = [difference.mean for difference in differences if difference.significant]
    if known and min(known) < 0:
        title = "the paper's attention is behind a simpler layer map"
    elif known:
        title = "the paper's attention is ahead of a simpler layer map"
    else:
        title = "the paper's attention is not shown to be better than simpler layer maps"
    least = max(difference.minimum_detectable_effect for difference in differences)
    by_cosine = next(name for name in methods_of(table) if short_name(name) == "layer_map=cosine")
    cosine = against_baseline(table, by_cosine, "uniform", TASK)
    return (
        f"**On that synthetic task {title}**: its differences are {', '.join(parts)}. Up to "
        f"{least:.1f} points could have gone undetected. Attention by cosine is "
        f"{_direction(cosine)} `uniform`: {cosine.points}."
    )


def _real_encoder(table: pd.DataFrame, first: pd.DataFrame, sst2: pd.DataFrame) -> str:
    kd = against_baseline(table, "universal-kd", "kd", "cola")
    pkd = against_baseline(table, "universal-kd", "pkd-skip", "cola")
    earlier = against_baseline(first, "universal-kd", "kd", "cola")
    on_sst2 = against_baseline(sst2, "universal-kd", "kd", "sst2")
    parts = []
    for name in MAP_CONTROLS:
        difference = against_baseline(table, "universal-kd", name, "cola")
        parts.append(f"to `{name}` {difference}")
    return (
        f"**On an encoder of BERT-base's size Universal-KD is {_direction(kd)} KD** on CoLA: "
        f"{kd.points}. With an earlier teacher it is {_direction(earlier)} KD: {earlier}. "
        f"On SST-2 with {sst2.iloc[0]['max_train']:,} labels it is {_direction(on_sst2)} KD: "
        f"{on_sst2}. On CoLA it is {_direction(pkd)} PKD: {pkd}. "
        f"Its differences there: {', '.join(parts)}."
    )


def _where_it_is_behind(suite: pd.DataFrame, gap: pd.DataFrame) -> str:
    tasks = tasks_of(suite)
    pkd = mean_over_tasks(suite, "universal-kd", "pkd-skip", tasks)
    narrow = against_baseline(gap, "universal-kd", "kd", "cola")
    pseudo = against_baseline(gap, "pseudo-ta", "kd", "cola")
    loses = any(one.significant and one.mean < 0 for one in (pkd, narrow))
    title = "it can lose" if loses else "no loss is shown"
    return (
        f"**With pretrained students {title}.** On the synthetic suite, to four layers of the "
        f"teacher's encoder, it is {_direction(pkd)} PKD over {', '.join(tasks)}: {pkd.points}. "
        f"On CoLA, to the six narrow layers of MiniLM, it is {_direction(narrow)} KD: "
        f"{narrow}. Pseudo assistants are {_direction(pseudo)} KD there: {pseudo}."
    )


def _direction(difference: Difference) -> str:
    if difference.n < 2:
        return "in one seed not to be told from"
    if not difference.significant:
        return "not significantly different from"
    return "ahead of" if difference.mean > 0 else "behind"
