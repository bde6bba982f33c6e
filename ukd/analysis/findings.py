"""The README's findings: sentences and one table, made from the committed runs."""

from __future__ import annotations

from textwrap import fill

import pandas as pd

from ukd.analysis.contrasts import against_baseline, mean_over_tasks, seed_scores
from ukd.analysis.first_look import TASK
from ukd.analysis.grouping import at_chosen_rate, tasks_of
from ukd.analysis.map_study import CHOSEN, LAST_CHOOSING_SEED
from ukd.analysis.runs import (
    CAPACITY_GAP,
    FIRST_TEACHER,
    MAP_STUDY,
    REAL,
    REAL_OTHER,
    REAL_SST2,
    SEARCH,
    SEARCHED_LOOK,
    Runs,
)
from ukd.analysis.statistics import Difference
from ukd.analysis.tables import score_table

OTHER_STUDENTS = "glue-minilm-other"  # a teacher of 22 million parameters, BiLSTM and CNN
OLD_FORM = "universal-kd (detach_attention=False)"
MAP_CONTROLS = ("uniform", "final", "teacher-query")
WIDTH = 130  # columns of the text


def findings(runs: Runs) -> str:
    """Four bullets with n and 95% intervals, and the scores on the real encoder."""
    look = _table(runs, SEARCHED_LOOK)
    maps = _table(runs, MAP_STUDY)
    real = _table(runs, REAL)
    other = _table(runs, OTHER_STUDENTS)
    bullets = [
        _across_architectures(look, _table(runs, REAL_OTHER), other[other["student"] == "bilstm"]),
        _layer_maps(maps),
        _real_encoder(real, _table(runs, FIRST_TEACHER), _table(runs, REAL_SST2)),
        _where_it_is_behind(_table(runs, SEARCH), _table(runs, CAPACITY_GAP)),
    ]
    teacher = real.iloc[0]
    caption = (
        f"CoLA (Matthews correlation on validation), {teacher['teacher_layers']} layers of "
        f"all-mpnet-base-v2 to its first {teacher['student_depth']:g}, one teacher, one learning "
        "rate:"
    )
    lines = [_filled(f"- {bullet}", "  ") for bullet in bullets]
    start = _filled(_in_short(look, maps, real, _table(runs, CAPACITY_GAP)))
    return "\n".join([start, "", *lines, "", _filled(caption), "", score_table(real)])


def _filled(text: str, indent: str = "") -> str:
    return fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


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
        f"**In short.** A loss on intermediate layers {loss}. That the "
        f"attention's choice of teacher layers is better than a simpler map {attention}."
    )


def _across_architectures(look: pd.DataFrame, sst2: pd.DataFrame, glue: pd.DataFrame) -> str:
    kd = against_baseline(look, "universal-kd", "kd", TASK)
    stages = against_baseline(look, "universal-kd", "kd-two-stage", TASK)
    ours = seed_scores(look, "universal-kd", TASK).mean()
    theirs = seed_scores(look, "kd", TASK).mean()
    earlier = mean_over_tasks(glue, OLD_FORM, "kd", tasks_of(glue))
    lstm = sst2[sst2["student"] == "bilstm"]
    cnn = sst2[sst2["student"] == "gated-cnn"]
    on_lstm, on_cnn = (against_baseline(one, "universal-kd", "kd", "sst2") for one in (lstm, cnn))
    uniform = against_baseline(lstm, "uniform", "kd", "sst2")
    real = (on_lstm, on_cnn, earlier)
    gain = "A" if any(one.significant and one.mean > 0 for one in real) else "No"
    return (
        "**On one synthetic task, from a transformer to a BiLSTM, Universal-KD is "
        f"{_direction(kd)} KD**: {TASK}, each method at its best learning rate, {ours:.1f} and "
        f"{theirs:.1f}, {kd}. Its difference to the two stages alone is {stages}. {gain} real task "
        "shows such a gain between architectures. On SST-2, from an encoder of BERT-base's size, "
        f"the difference to KD is "
        f"{on_lstm} to a BiLSTM and {on_cnn} to a gated CNN. With `uniform` weights the BiLSTM is "
        f"{_direction(uniform)} KD: {uniform}. On {len(tasks_of(glue))} GLUE tasks, from a weak "
        f"teacher to a BiLSTM, an earlier form of Universal-KD has {earlier}."
    )


def _layer_maps(table: pd.DataFrame) -> str:
    """Of the map that the first seeds chose, only the others count."""
    fresh = table[table["seed"] > LAST_CHOOSING_SEED]
    parts = []
    differences = []
    for name in MAP_CONTROLS:
        seeds = fresh if name == CHOSEN else table
        difference = against_baseline(seeds, "universal-kd", name, TASK)
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
    return (
        f"**On that synthetic task {title}**: its differences are {', '.join(parts)}. A true "
        f"difference of {least:.1f} would have been found four times in five."
    )


def _real_encoder(table: pd.DataFrame, first: pd.DataFrame, sst2: pd.DataFrame) -> str:
    kd = against_baseline(table, "universal-kd", "kd", "cola")
    pkd = against_baseline(table, "universal-kd", "pkd-skip", "cola")
    stages = against_baseline(table, "universal-kd", "kd-two-stage", "cola")
    earlier = against_baseline(first, "universal-kd", "kd", "cola")
    on_sst2 = against_baseline(sst2, "universal-kd", "kd", "sst2")
    means = [kd.mean, earlier.mean, on_sst2.mean]
    maps = [against_baseline(table, "universal-kd", name, "cola") for name in MAP_CONTROLS]
    apart = [f"`{name}`" for name, one in zip(MAP_CONTROLS, maps, strict=True) if one.significant]
    low, high = min(one.low for one in maps), max(one.high for one in maps)
    return (
        "**On an encoder of BERT-base's size, to its first four layers, Universal-KD's differences "
        "to KD are "
        f"{min(means):+.1f} to {max(means):+.1f} points**: on CoLA {kd}, with an earlier teacher "
        f"{earlier}, on SST-2 with {sst2.iloc[0]['max_train']:,} labels {on_sst2}. On CoLA it is "
        f"{_direction(stages)} the two stages alone: {stages}, and {_direction(pkd)} PKD: {pkd}. "
        f"Of the layer maps there it differs significantly from {', '.join(apart) or 'none'} "
        f"({low:+.1f} to {high:+.1f}, n={maps[0].n})."
    )


def _where_it_is_behind(suite: pd.DataFrame, gap: pd.DataFrame) -> str:
    layers = against_baseline(suite, "universal-kd", "kd", TASK)
    narrow = against_baseline(gap, "universal-kd", "kd", "cola")
    pseudo = against_baseline(gap, "pseudo-ta", "kd", "cola")
    loses = any(one.significant and one.mean < 0 for one in (layers, narrow))
    title = "it can lose" if loses else "no loss is shown"
    return (
        f"**With pretrained students {title}.** On synthetic {TASK}, to four layers of the "
        f"teacher's encoder, it is {_direction(layers)} KD: {layers}. On CoLA, to the six narrow "
        f"layers of MiniLM, it is {_direction(narrow)} KD: {narrow}. Pseudo assistants are "
        f"{_direction(pseudo)} KD there: {pseudo}."
    )


def _direction(difference: Difference) -> str:
    if difference.n < 2:
        return "in one seed not to be told from"
    if not difference.significant:
        return "not significantly different from"
    return "ahead of" if difference.mean > 0 else "behind"
