"""What would be a plausible wrong number or picture: runs mixed unseen, pairs of other seeds."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from made_records import columns, committed, made_record, table_of, with_search

from ukd.analysis import study_figures
from ukd.analysis.comparable import newest
from ukd.analysis.contrasts import contrast_table
from ukd.analysis.difference_figures import differences_figure
from ukd.analysis.figure_sets import possible
from ukd.analysis.figures import heads_figure, scores_figure
from ukd.analysis.first_look import sentences
from ukd.analysis.map_figures import attention_over_time, layer_map_figure
from ukd.analysis.resampling import bootstrap_scores, examples_interval, validation_labels
from ukd.analysis.runs import FIRST_LOOK, as_runs
from ukd.analysis.statistics import paired_difference
from ukd.analysis.tables import (
    compare_with_committed,
    difference_table,
    interval_table,
    score_table,
    score_tables,
)
from ukd.analysis.taught import taught_by_maps
from ukd.analysis.training_figures import curves_figure, dev_scores_figure, learning_rates_figure
from ukd.data.metrics import expected_calibration_error
from ukd.data.tasks import SPECS, load_task
from ukd.methods.layer_maps import by_scores
from ukd.teaching import layer_maps
from ukd.training import early_exit_curve

LATER = "2026-02-01T00:00:00+00:00"
FIGURES = (
    scores_figure,
    heads_figure,
    curves_figure,
    dev_scores_figure,
    partial(differences_figure, baseline="no-kd"),
    attention_over_time,
    partial(layer_map_figure, task="sentiment"),
    study_figures.label_error_figure,
    study_figures.attention_entropy,
    study_figures.attended_head_quality,
    study_figures.calibration,
    study_figures.student_heads,
    study_figures.early_exit,
    study_figures.temperatures,
    study_figures.attention_ablation,
    study_figures.contrasts_figure,
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def with_map(weights, method="universal-kd", seed=1, **changes):
    """A record with this layer map (S, T)."""
    attention = {"mean": weights, "heads": (), "early_exit": ()}
    return replace(made_record(method, seed, **changes), attention=attention)


def renamed_settings(record, **settings):
    """The record with other settings of its method, under the same name."""
    method = record.settings.method | settings
    return replace(record, settings=replace(record.settings, method=method))


@pytest.fixture(scope="module")
def search():
    runs = committed()
    return runs.where(runs.table["set"] == "synthetic-search")


@pytest.mark.parametrize("draw", FIGURES)
def test_no_figure_mixes_the_rates_of_a_search(draw, search):
    with pytest.raises(ValueError, match=r"have learning rates .*\(see `at_chosen_rate`\)"):
        draw(search)


@pytest.mark.parametrize("made", [score_table, difference_table, contrast_table])
def test_no_table_mixes_the_rates_of_a_search(made, search):
    """Of each seed the newest run had counted, at whatever rate it was made last."""
    with pytest.raises(ValueError, match=r"kd on acceptability have learning rates 0\.00025"):
        made(search.table)
    with pytest.raises(ValueError, match="see `at_chosen_rate`"):
        interval_table(search)


@pytest.mark.parametrize("draw", [scores_figure, heads_figure, study_figures.contrasts_figure])
def test_no_figure_mixes_two_teachers(draw):
    other = made_record("no-kd", teacher__key="other", teacher__weights="cd" * 32)
    with pytest.raises(ValueError, match=r"several teachers or data \(other; teacher-of-sent"):
        draw(as_runs([made_record("kd"), other]))


def test_contrasts_are_of_one_teacher():
    other = made_record("kd-two-stage", teacher__key="other", teacher__weights="cd" * 32)
    with pytest.raises(ValueError, match="several teachers or data"):
        contrast_table(table_of([made_record("universal-kd"), other]))


def test_two_versions_of_a_method_under_one_name_are_refused():
    """As after a change of a method's weights: seeds of both had been averaged."""
    mine = [replace(made_record("kd", seed, 60.0), method="mine") for seed in (1, 2)]
    changed = renamed_settings(
        replace(made_record("kd", 1, 90.0, provenance__made=LATER), method="mine"), temperature=4.0
    )
    with pytest.raises(ValueError, match="on sentiment are all of 'mine', and its settings differ"):
        score_table(table_of([*mine, changed]))
    assert columns(score_table(table_of(mine)), "mine") == ["60.0 ± 0.0 (n=2)"]


def test_figures_count_a_seed_once_as_tables_do():
    epoch = {"epoch": 1, "step": 6, "dev": 70.0}
    history = {"kd": {"curve": [{"step": 6, "kd": 0.5}], "epochs": [epoch]}}
    old = made_record("kd", 1, 60.0, history=history)
    new = made_record("kd", 1, 80.0, history=history, provenance__made=LATER)
    runs = as_runs([old, new, made_record("kd", 2, 80.0, history=history)])
    assert newest(runs.table)["run"].tolist() == runs.table["run"][1:].tolist()
    assert columns(score_table(runs.table), "kd") == ["80.0 ± 0.0 (n=2)"]
    assert scores_figure(runs).axes[0].lines[0].get_xdata().tolist() == [80.0, 80.0]
    assert dev_scores_figure(runs).axes[0].lines[0].get_xdata().tolist() == [1], "not both runs'"


def test_a_mean_of_layer_maps_is_of_one_method_task_and_group():
    deep, flat = [[1.0, 0.0]], [[0.5, 0.5]]
    one = with_map(deep)
    for other, words in (
        (with_map(flat, "uniform"), "of one method, and these runs have uniform, universal-kd"),
        (with_map(flat, task="similarity"), "of one task, and these runs have sentiment, simil"),
        (with_map(flat, seed=2, settings__student_depth=2), "its first 2 layers"),
        (with_map(flat, seed=2, teacher__key="other"), "several teachers or data"),
    ):
        with pytest.raises(ValueError, match=words):
            as_runs([one, other]).layer_map()
    again = as_runs([one, with_map(flat, provenance__made=LATER)])
    assert again.layer_map().tolist() == flat, "of two runs with one seed the newer counts"
    with pytest.raises(ValueError, match="its first 2 layers"):
        layer_maps(as_runs([one, with_map(flat, settings__student_depth=2)]))


def test_runs_on_other_data_are_not_beside_the_committed():
    kept = table_of([made_record("kd", 1, 90.0)]).assign(set=FIRST_LOOK)
    new = table_of([made_record("kd", 1, 60.0, data__fingerprint="of-my-own")])
    assert compare_with_committed(new, kept) == "" and sentences(new, kept) == []
    assert compare_with_committed(kept, kept) and sentences(kept, kept)


@pytest.mark.parametrize(
    "other", [{"settings__student_depth": 2}, {"rate": 1e-3}, {"data__fingerprint": "of-my-own"}]
)
def test_a_run_of_another_student_or_rate_is_not_among_the_committed_seeds(other):
    """It had counted as the newer run of its seed."""
    kept = [made_record("kd", seed, 40.0 + seed, "acceptability") for seed in (1, 2)]
    late = made_record("kd", 1, 90.0, "acceptability", provenance__made=LATER, **other)
    found = sentences(table_of([kept[0], late]), table_of(kept).assign(set=FIRST_LOOK))
    assert found[-1].endswith("committed seeds: kd 41.0 (41.0 to 42.0).")


def test_runs_of_two_precisions_are_never_one_mean_beside_a_third():
    kept = [made_record("kd", seed, 50.0) for seed in (1, 2)]
    kept.append(made_record("kd", 1, 10.0, settings__precision="bf16", provenance__made=LATER))
    text = compare_with_committed(
        table_of([made_record("kd", 1, 60.0, settings__precision="fp16")]), table_of(kept)
    )
    assert "committed runs in float32 on" in text and "50.0 ± 0.0 (n=2)" in text


def test_pairs_of_other_seeds_are_refused():
    ours = pd.Series([80.0, 82.0], index=[1, 2])
    with pytest.raises(ValueError, match=r"one seed, got \[1, 2\] and \[2, 3\]: align them"):
        paired_difference(ours, pd.Series([80.0, 81.0], index=[2, 3]))
    assert paired_difference(ours, ours - 1).mean == 1


def test_a_baseline_that_no_run_has_is_refused():
    runs = as_runs([made_record("kd"), made_record("no-kd")])
    for table, part in ((difference_table, runs.table), (interval_table, runs)):
        with pytest.raises(ValueError, match="no run of the baseline 'KD'; choose one of: no-kd, "):
            table(part, baseline="KD")


def test_methods_that_a_search_leaves_out_are_named():
    whole = [made_record("kd", 1, 70.0, rate=rate) for rate in (1e-3, 5e-4)]
    records = with_search(
        [*whole, made_record("universal-kd", rate=1e-3)], {"sentiment": [1e-3, 5e-4]}
    )
    text = score_tables(as_runs(records))
    assert text.endswith("since runs of their search are missing: universal-kd on sentiment.")
    assert "Left out" not in score_tables(as_runs(records[:2]))
    learning_rates_figure(as_runs(records))  # which shows what was tried
    assert list(possible(as_runs(records[2:]))) == ["learning_rates"]
    learning_rates_figure(as_runs(records[2:]))


def test_a_teacher_without_a_further_split_has_no_score_there():
    record = made_record("kd", 1, 80.0, "mnli")
    extra = {"validation_mismatched": {"accuracy": 70.0}}
    text = score_tables(as_runs([replace(record, scores=record.scores | extra)]))
    assert columns(text, "teacher") == ["90.0", "nan"] and "70.0 (n=1)" in text


def answered(rows, wrong, seed=1, method="kd", fingerprint=None):
    """A record that has the first `wrong` of so many scored rows of sentiment wrong."""
    labels = validation_labels("sentiment", rows).astype(int)
    labels[:wrong] = 1 - labels[:wrong]
    text = "".join(map(str, labels))
    fingerprint = fingerprint or load_task("sentiment").fingerprint
    score = 100 * (1 - wrong / rows)
    return made_record(method, seed, score, predictions=text, data__fingerprint=fingerprint)


def test_predictions_of_other_data_have_no_interval():
    """Labels of the kit's task say nothing of a user's own rows under its name."""
    own = [answered(100, 45, fingerprint="own"), answered(100, 60, 1, "no-kd", "own")]
    runs = as_runs(own)
    table = runs.table.merge(runs.predictions, on="run")
    assert bootstrap_scores(table, "sentiment") == {}
    assert examples_interval(table[:1], table[1:], "sentiment") is None
    ours = table.assign(fingerprint=load_task("sentiment").fingerprint)
    assert set(bootstrap_scores(ours, "sentiment")) == set(table["run"])


def test_an_interval_is_of_all_seeds_that_its_difference_is_of():
    """With the predictions of one seed alone it had been that of the examples."""
    records = [answered(2000, 100, seed) for seed in (1, 2)]
    records += [
        answered(2000, 200, 1, "no-kd"),
        replace(answered(2000, 300, 2, "no-kd"), predictions=None),
    ]
    text = interval_table(as_runs(records))
    assert columns(text, "no-kd") == ["-"]
    records[-1] = answered(2000, 300, 2, "no-kd")
    assert columns(interval_table(as_runs(records)), "no-kd") != ["-"]


def test_shares_and_probabilities_are_told_from_percent_and_logits():
    task = SimpleNamespace(name="sentiment", spec=SPECS["sentiment"])
    teacher = torch.zeros(1, 2, 2)
    with pytest.raises(ValueError, match=r"shares of one, got 90.0: divide percent by 100"):
        by_scores(teacher, teacher, scores=[80.0, 90.0])
    sure = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(ValueError, match="these are probabilities"):
        expected_calibration_error(sure.numpy(), np.array([0, 1]))
    with pytest.raises(ValueError, match="these are probabilities"):
        early_exit_curve(sure.unsqueeze(1), torch.tensor([0, 1]), task)
    with pytest.raises(ValueError, match="these are probabilities"):
        taught_by_maps(sure.expand(2, 2, 2), torch.tensor([0, 1]), task)
    assert expected_calibration_error(sure.log().numpy(), np.array([0, 1])) == pytest.approx(15)
