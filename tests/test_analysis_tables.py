"""Which runs may stand together, and every number of a table by hand."""

import json
import math
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from made_records import columns, committed, made_record, table_of, with_search
from scipy import stats
from sklearn.linear_model import LogisticRegression

from ukd.analysis import datasheet
from ukd.analysis.cards import within
from ukd.analysis.comparable import check_one_group
from ukd.analysis.contrasts import (
    CONTRASTS,
    against_baseline,
    contrast_table,
    contrasts,
    mean_over_tasks,
    seed_scores,
)
from ukd.analysis.grouping import (
    at_chosen_rate,
    explode_extra_splits,
    groups,
    like,
    method_name,
    methods_of,
    scenario_runs,
    tasks_of,
)
from ukd.analysis.paper import (
    best_vs_best,
    matches_scenario,
    paper_claims,
    paper_table,
    verdict,
)
from ukd.analysis.resampling import bootstrap_scores, examples_interval, validation_labels
from ukd.analysis.runs import as_runs
from ukd.analysis.statistics import Difference, paired_difference
from ukd.analysis.study_figures import ablation_names
from ukd.analysis.tables import (
    compare_with_committed,
    difference_table,
    score_cell,
    score_table,
    score_tables,
    scores_alone,
)
from ukd.config.scenarios import SCENARIOS
from ukd.data.tasks import SYNTHETIC, load_task
from ukd.methods.registry import METHODS, get_method, parse_method
from ukd.training.grid import best_learning_rate
from ukd.training.run_record import method_settings

T2 = 4.302653  # 97.5% quantile of Student's t with 2 degrees of freedom
# In standard errors, the true difference that 80% of 400,000 simulated tests of three pairs find.
DETECTABLE3 = 5.653


def made(values, **changes):
    """Runs with the scores of their seeds, by method: {"kd": [80, 82]}."""
    return [
        made_record(method, seed, float(score), **changes)
        for method, scored in values.items()
        for seed, score in enumerate(scored, 1)
    ]


# --- paired differences ---


def test_a_paired_difference_by_hand():
    found = paired_difference([81.0, 85.0, 86.0], [80.0, 82.0, 84.0])  # 1, 3 and 2
    assert (found.mean, found.n) == (2.0, 3)
    assert found.error == pytest.approx(1 / math.sqrt(3))
    assert (found.low, found.high) == pytest.approx((2 - T2 / 3**0.5, 2 + T2 / 3**0.5), abs=1e-5)
    assert found.minimum_detectable_effect == pytest.approx(found.error * DETECTABLE3, rel=1e-3)
    assert not found.significant and str(found) == "+2.0 (-0.5 to +4.5, n=3)"


def test_the_interval_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(80, 2, 6), rng.normal(79, 2, 6)
    found = paired_difference(ours, theirs)
    low, high = stats.t.interval(0.95, 5, (ours - theirs).mean(), stats.sem(ours - theirs))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.significant == (stats.ttest_rel(ours, theirs).pvalue < 0.05)
    turned = paired_difference(theirs, ours)
    assert (turned.low, turned.high) == pytest.approx((-high, -low))
    moved = paired_difference(ours + 5, theirs + 5)
    assert moved.error == pytest.approx(found.error), "what both share drops out"


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_the_minimum_detectable_effect_is_found_four_times_in_five(n):
    """In a simulation whose true difference is the effect for its true standard error."""
    rng = np.random.default_rng(n)
    draws = rng.normal(size=(40_000, n))
    one = paired_difference(draws[0], np.zeros(n))
    in_errors = one.minimum_detectable_effect / one.error
    found = stats.ttest_1samp(draws + in_errors / math.sqrt(n), 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.007)


def test_one_seed_has_neither_spread_nor_interval():
    found = paired_difference([81.0], [80.0])
    assert (found.mean, found.n) == (1.0, 1) and not found.significant
    assert math.isnan(found.low) and math.isnan(found.minimum_detectable_effect)
    assert str(found) == "+1.0 (n=1)"


def test_equal_differences_have_an_interval_of_length_zero():
    found = paired_difference([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert (found.low, found.high, found.error) == (1.0, 1.0, 0.0) and found.significant
    assert not paired_difference([1.0, 2.0], [1.0, 2.0]).significant


@pytest.mark.parametrize(("ours", "theirs"), [([1.0], [1.0, 2.0]), ([], [])])
def test_pairs_that_do_not_match_are_refused(ours, theirs):
    with pytest.raises(ValueError, match="pairs need one score of each seed on both sides"):
        paired_difference(ours, theirs)


# --- names of methods ---

NAMES = {
    "kd": "kd",
    "kd:temperature=4": "kd (temperature=4.0)",
    "universal-kd:stages=one": "universal-kd (stages=one)",
    "pkd-skip:stages=two": "pkd-skip (stages=two)",
    "universal-kd:attention_temperature=10": "universal-kd (attention_temperature=10.0)",
    "universal-kd:detach_attention=no": "universal-kd (detach_attention=False)",
    "universal-kd:teacher_layers=all": "universal-kd (teacher_layers=all)",
    "universal-kd:student_layers=last": "universal-kd (student_layers=last)",
    "universal-kd:student_layers=upper": "universal-kd (student_layers=upper)",
    "universal-kd:intermediate_weight=0.1": "universal-kd (intermediate_weight=0.1)",
    "universal-kd:intermediate_decay=yes": "universal-kd (intermediate_decay=True)",
    "universal-kd:teacher_stage=0.25": "universal-kd (teacher_stage=0.25)",
    "universal-kd:intermediate_weight=0.12345678": "universal-kd (intermediate_weight=0.12345678)",
    "universal-kd:space=hidden:intermediate_weight=0.1": (
        "universal-kd (intermediate_weight=0.1, space=hidden)"
    ),
    "kd:stages=two:teacher_stage=0.25": "kd (teacher_stage=0.25, stages=two)",
    "pkd-skip:stages=two:teacher_stage=0.75": "pkd-skip (teacher_stage=0.75, stages=two)",
    "universal-kd:attention_on=losses": "universal-kd (attention_on=losses)",
    "universal-kd:layer_map=skip": "universal-kd (layer_map=skip)",
    "mhkd": "mhkd",
}


@pytest.mark.parametrize("text", NAMES)
def test_options_that_differ_from_the_default_are_in_a_methods_name(text):
    assert made_record(text).settings.method == method_settings(parse_method(text))
    assert table_of([made_record(text)])["method_name"].tolist() == [NAMES[text]]


def test_a_moved_term_is_named():
    moved = get_method("universal-kd", space="hidden", layer_map="last")
    assert method_name(moved.name, method_settings(moved)) == (
        "universal-kd (layer_map=last, space=hidden)"
    )


def test_an_option_that_a_layer_map_makes_idle_is_not_named():
    """A fixed map has no attention, so its temperature tells nothing apart."""
    settings = method_settings(METHODS["uniform"]) | {"attention_temperature": 7.0}
    assert method_name("uniform", settings) == "uniform"


def test_a_method_that_is_gone_keeps_its_name():
    assert method_name("ours", method_settings(METHODS["kd"])) == "ours"


def test_a_scenario_shows_its_methods_alone_and_tells_options_apart():
    texts = (*SCENARIOS["ablation"], "takd", "universal-kd:attention_temperature=3", "pkd-last")
    table = table_of([made_record(text) for text in texts])
    names = table["method_name"].tolist()
    shown = scenario_runs("ablation", table)["method_name"].tolist()
    assert shown == names[: len(SCENARIOS["ablation"])]
    ild = scenario_runs("ild", table)["method_name"].tolist()
    assert ild == [name for name in names if name in SCENARIOS["ild"]]


def test_contrasts_of_two_budgets_are_refused():
    records = [made_record("universal-kd", 1, 80.0), made_record("kd-two-stage", 1, 70.0)]
    records.append(made_record("kd-two-stage", 2, 60.0, settings__epochs=99))
    with pytest.raises(ValueError, match="of 2 configurations: compare one group at a time"):
        contrasts(table_of(records))
    assert contrasts(table_of(records[:2]))


def test_contrasts_name_methods_that_a_scenario_runs():
    names = {name for contrast in CONTRASTS for name in contrast[1:]}
    run = set()
    for texts in SCENARIOS.values():
        run |= set(table_of([made_record(text) for text in texts])["method_name"])
    known = {method_name(m.name, method_settings(m)) for m in METHODS.values()}
    assert names <= run | known


def test_options_of_universal_kd_stand_side_by_side():
    texts = ("universal-kd", "universal-kd:attention_temperature=10", "universal-kd:stages=one")
    maps = {"mean": [[1.0]], "heads": [], "early_exit": []}
    records = [made_record(text, attention=maps) for text in texts]
    uniform = made_record("uniform", attention=maps)
    both = made_record("universal-kd:attention_temperature=10:stages=one", attention=maps)
    assert ablation_names(as_runs([*records[:2], uniform])) == {}, "one more is no study"
    expected = ["universal-kd", *(NAMES[text] for text in texts[1:])]
    assert ablation_names(as_runs([both, *records[::-1]])) == {"sentiment": expected}


# --- what may stand in one table ---

APART = {  # fields of one run, each of which makes it another comparison
    "settings__student_depth": 2,
    "settings__preset": "gpu",
    "settings__precision": "bf16",
    "settings__epochs": 9,
    "settings__batch_size": 16,
    "settings__learning_rate": 1e-3,
    "settings__max_length": 128,
    "settings__max_train": 1000,
    "settings__max_validation": 500,
    "settings__layer_selection": "spread",
    "settings__student_init": "teacher",
    "settings__selection_split": "validation",
    "data__fingerprint": "other data",
    "teacher__key": "another",
    "teacher__weights": "cd" * 32,
}


@pytest.mark.parametrize("name", APART)
def test_runs_that_can_not_be_compared_are_never_in_one_table(name):
    changes = {name: APART[name]}
    one = made_record("kd", 1, 70.0)
    other = made_record("kd", 1, 10.0, **changes)
    text = score_tables(as_runs([one, other]))
    assert text.count("### ") == 2 and "70.0 (n=1)" in text and "10.0 (n=1)" in text
    assert text.count("Runs: ") == len(set(re.findall(r"Runs: [^|]*?\. Scored", text))) == 2
    assert len(groups(table_of([one, other]))) == 2
    with pytest.raises(ValueError, match="these runs are of 2 configurations"):
        scores_alone(as_runs([one, other]))


def test_a_record_that_names_no_classes_has_those_of_its_rows():
    old = made_record("kd", 1, 70.0, data__class_names=None)
    new = made_record("no-kd", 1, 60.0, data__class_names=("bad", "good"))
    assert list(groups(table_of([old, new])).values())[0]["run"].nunique() == 2
    other = made_record("no-kd", 2, 60.0, data__class_names=("good", "bad"))
    assert len(groups(table_of([new, other]))) == 2
    assert len(groups(table_of([old, new, other]))) == 3  # which of the two it has is not known
    elsewhere = made_record("no-kd", 2, data__class_names=("a", "b"), data__fingerprint="others")
    assert len(groups(table_of([old, elsewhere]))) == 2


@pytest.mark.parametrize("name", ["data__fingerprint", "teacher__weights", "teacher__key"])
def test_one_table_of_two_teachers_or_data_sets_is_refused(name):
    table = table_of([made_record("kd"), made_record("no-kd", **{name: "ef" * 32})])
    with pytest.raises(ValueError, match="the runs on sentiment are of several teachers or data"):
        check_one_group(table)
    with pytest.raises(ValueError, match="compare one group at a time"):
        score_table(table)
    for difference in (
        lambda: against_baseline(table, "kd", "no-kd", "sentiment"),
        lambda: mean_over_tasks(table, "kd", "no-kd", ["sentiment"]),
    ):
        with pytest.raises(ValueError, match="are of several teachers or data"):
            difference()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("settings__precision", "bf16", "64 tokens, bf16; preset cpu"),
        ("settings__epochs", 9, "9 epochs of batch size 32"),
        ("settings__layer_selection", None, "student: bundled-0123456789ab of 4 layers"),
        ("settings__student_depth", 2, "its first 2 layers"),
        ("settings__learning_rate", 1e-3, "at learning rate 0.001"),
    ],
)
def test_one_table_of_two_budgets_or_students_is_refused(name, value, words):
    """Of two runs of one method and seed the newer counts: the other would be lost unseen."""
    table = table_of([made_record("kd"), made_record("kd", **{name: value})])
    for made in (score_table, difference_table):
        with pytest.raises(ValueError, match=rf"sentiment are of several budgets, .*{words}"):
            made(table)
    with pytest.raises(ValueError, match=rf"sentiment are of several budgets, .*{words}"):
        seed_scores(table, "kd", "sentiment")


def test_a_heading_names_data_and_teachers_where_only_these_part_the_runs():
    one = made({"kd": [70.0]}) + made({"kd": [60.0]}, task="similarity")
    other = made_record("kd", 1, 10.0, data__fingerprint="other")
    assert all("data " not in heading for heading in groups(table_of(one)))
    headings = list(groups(table_of([*one, other])))
    assert len(headings) == 2
    assert "sentiment: data data-of-sentiment, teacher teacher-of-sentiment" in headings[0]
    assert "sentiment: data other" in headings[1]


def test_tasks_with_teachers_of_their_own_are_one_table():
    records = made({"kd": [70.0]}) + made({"kd": [60.0]}, task="similarity")
    (group,) = groups(table_of(records)).values()
    assert tasks_of(group) == list(dict.fromkeys(t for t in SYNTHETIC if t in set(group["task"])))


def test_the_older_of_two_data_sets_comes_first_whatever_the_order_of_runs():
    old = made_record("kd", 1, 70.0, data__fingerprint="zz")
    later = "2026-03-01T00:00:00+00:00"
    new = made_record("kd", 1, 10.0, data__fingerprint="aa", provenance__made=later)
    for records in ([old, new], [new, old]):
        first, second = groups(table_of(records))
        assert "data zz" in first and "data aa" in second


# --- tables ---


def test_tables_by_hand():
    records = made({"kd": [80, 82, 84], "universal-kd": [81, 85, 86], "no-kd": [70, 70, 70]})
    table = table_of(records)
    text = score_table(table)
    assert columns(text, "teacher") == ["90.0"], "of one task there is no average"
    assert columns(text, "kd") == ["82.0 ± 2.0 (n=3)"]
    assert columns(text, "universal-kd") == ["84.0 ± 2.6 (n=3)"]
    assert "sentiment (accuracy)" in text
    rows = [line.split("|")[1].strip() for line in text.splitlines()[2:]]
    assert rows == ["teacher", "no-kd", "kd", "universal-kd"], "as the registry has them"
    text = difference_table(table)
    words = "+2.0 ± 0.6 (n=3; minimum detectable effect 3.3)"
    assert columns(text, "universal-kd") == [words]
    assert columns(text, "no-kd")[0].startswith("-12.0 ± 1.2 (n=3;")
    assert "\n| kd" not in text
    whole = score_tables(as_runs(records))
    assert "Scored on validation examples: sentiment 2,000. A run: 900 training" in whole
    assert score_tables(as_runs(records[::-1])) == whole, "the order of runs changes nothing"


def test_one_seed_prints_no_spread():
    text = score_tables(as_runs(made({"kd": [80], "universal-kd": [81]})))
    assert "80.0 (n=1)" in text and "+1.0 (n=1)" in text and "±" not in text


def test_a_score_is_the_mean_of_a_tasks_metrics():
    both = {"pearson": 60.0, "spearman": 80.0}
    record = replace(made_record("kd", task="similarity"), scores={"dev": both, "validation": both})
    text = score_table(table_of([record]))
    assert columns(text, "kd")[0] == "70.0 (n=1)" and "similarity (pearson and spearman)" in text


def test_the_newest_of_two_runs_for_one_seed_counts():
    old = made_record("kd", 1, 10.0)
    new = made_record("kd", 1, 80.0, provenance__made="2026-01-02T00:00:00+00:00")
    for records in ([old, new], [new, old]):
        assert seed_scores(table_of(records), "kd", "sentiment").to_dict() == {1: 80.0}
        assert columns(score_table(table_of(records)), "kd")[0] == "80.0 (n=1)"


def test_an_average_over_tasks_takes_all_of_them_or_none():
    records = made({"kd": [70, 70], "no-kd": [60, 60], "mhkd": [90, 90]})
    records += made({"kd": [70, 70], "no-kd": [60, 60]}, task="entailment")
    table = table_of(records)
    text = difference_table(table)
    assert columns(text, "no-kd")[-1].startswith("-10.0 ± 0.0 (n=2")
    assert columns(text, "mhkd")[-1] == "-"
    text = score_table(table)
    assert columns(text, "kd")[-1] == "70.0" and columns(text, "mhkd")[-1] == "-"


def test_tasks_are_no_repeats_of_a_difference():
    """The mean over tasks has a value a seed: n is the number of seeds."""
    records = made({"kd": [70, 70, 70], "uniform": [71, 72, 73]})
    records += made({"kd": [50, 50, 50], "uniform": [53, 52, 51]}, task="entailment")
    found = mean_over_tasks(table_of(records), "uniform", "kd", ["sentiment", "entailment"])
    assert (found.n, found.mean, found.error) == (3, 2.0, pytest.approx(0.0, abs=1e-9))
    # Of a seed that one task lacks there is no mean.
    fewer = mean_over_tasks(table_of(records[:-1]), "uniform", "kd", ["sentiment", "entailment"])
    assert fewer.n == 2


def test_only_seeds_that_both_have_are_compared():
    table = table_of([*made({"kd": [70, 72, 90]}), *made({"uniform": [71, 75]})])
    found = against_baseline(table, "uniform", "kd", "sentiment")
    assert (found.n, found.mean) == (2, 2.0)
    alone = table_of([made_record("kd", 1), made_record("uniform", 2)])
    assert against_baseline(alone, "uniform", "kd", "sentiment") is None
    assert mean_over_tasks(alone, "uniform", "kd", ["sentiment"]) is None
    assert mean_over_tasks(alone, "uniform", "kd", []) is None


def test_a_further_split_is_a_column_and_counts_in_no_average():
    values = {"dev": {"accuracy": 1.0}, "validation": {"accuracy": 80.0}}
    values["validation_mismatched"] = {"accuracy": 60.0}
    counts = {"train": 9, "dev": 9, "validation": 99, "validation_mismatched": 55}
    records = [
        replace(made_record(name, 1, 80.0, "mnli"), scores=values, examples=counts)
        for name in ("kd", "uniform")
    ]
    table = explode_extra_splits(table_of(records))
    text = score_table(table)
    assert "mnli (validation_mismatched) (accuracy)" in text
    assert columns(text, "kd") == ["80.0 (n=1)", "60.0 (n=1)"]
    whole = score_tables(as_runs(records))
    assert "mnli 99, mnli (validation_mismatched) 55" in whole
    records += [made_record(name, 1, 70.0, "sentiment") for name in ("kd", "uniform")]
    table = explode_extra_splits(table_of(records))
    assert columns(score_table(table), "kd")[-1] == "75.0"
    assert columns(difference_table(table), "uniform")[-1] == "+0.0 (n=1)"


def test_a_collapse_onto_one_class_is_said_below_the_table():
    records = [made_record("kd", 2, collapsed=True), made_record("no-kd", 1, collapsed=False)]
    words = "Runs that predicted one class for every example: kd on sentiment (seed 2)."
    assert words in score_tables(as_runs(records))
    assert "predicted one class" not in score_tables(as_runs(records[1:]))


def test_no_scores_are_a_dash():
    table = table_of([made_record("kd")])
    assert score_cell(seed_scores(table, "no-kd", "sentiment")) == "-"


# --- contrasts ---


def test_contrasts_by_hand():
    records = made({"universal-kd": [70, 74, 75], "kd-two-stage": [69, 72, 72]})  # 1, 2 and 3
    records.append(made_record("uniform", 1, 80.0))
    table = table_of(records)
    rows = contrast_table(table).splitlines()[2:]
    assert len(rows) == 2
    assert "universal-kd minus kd-two-stage" in rows[0] and "+2.0 (-0.5 to +4.5, n=3)" in rows[0]
    assert "universal-kd minus uniform" in rows[1] and "-10.0 (n=1)" in rows[1]
    names = ("universal-kd", "kd-two-stage", "uniform")
    records += made(dict.fromkeys(names, [51, 52, 53]), task="entailment")
    rows = [row.split("|") for row in contrast_table(table_of(records)).splitlines()[2:]]
    assert rows[0][-2].strip() == "+1.0 (-0.2 to +2.2, n=3)", "over both tasks: 0.5, 1 and 1.5"
    assert rows[1][-2].strip() == "-5.0 (n=1)"
    found = contrasts(table_of(records))
    assert [contrast.name for contrast in found] == [row[2].strip() for row in rows]
    assert found[0].by_task["entailment"].mean == 0.0


def test_a_contrast_that_lacks_a_method_is_left_out():
    assert contrasts(table_of(made({"universal-kd": [70], "kd": [60]}))) == []


# --- searches over learning rates ---


def searched(dev_scores, method="kd", **changes):
    """Runs of a search: {rate: [dev score of seed 1, 2, ...]}; validation is 100 - dev."""
    task = changes.pop("task", "sentiment")
    return [
        made_record(method, seed, 100 - dev, task, dev=dev, rate=rate, **changes)
        for rate, devs in dev_scores.items()
        for seed, dev in enumerate(devs, 1)
    ]


RATES = (1e-4, 1e-3)
SEARCH = {"sentiment": RATES}


def test_the_best_rate_is_so_by_the_mean_on_dev_and_of_equals_the_lower():
    devs = {1e-4: [40.0, 60.0], 3e-4: [55.0, 55.0], 2e-4: [55.0, 55.0], 9e-4: [70.0, 10.0]}
    for records in (searched(devs), searched(devs)[::-1]):
        tried = table_of(records)
        assert best_learning_rate(zip(tried["learning_rate"], tried["dev"], strict=True)) == 2e-4


def test_each_method_stands_at_its_own_best_rate_and_losers_in_no_table():
    records = searched({1e-4: [60.0, 60.0], 1e-3: [55.0, 66.0]})
    records += searched({1e-4: [50.0, 50.0], 1e-3: [55.0, 44.0]}, "no-kd")
    records = with_search(records, SEARCH, (1, 2))
    chosen = at_chosen_rate(table_of(records))
    rates = chosen.groupby("method_name")["learning_rate"].unique()
    assert rates["kd"].tolist() == [1e-3] and rates["no-kd"].tolist() == [1e-4]
    text = score_tables(as_runs(records))
    words = "each method's best learning rate of 0.0001, 0.001 (chosen on dev of sentiment, n=2)"
    assert words in text and "learning rate chosen" in text and text.count("### ") == 1
    assert columns(text, "kd") == ["39.5 ± 7.8 (n=2)", "0.001"]
    assert columns(text, "no-kd")[-1] == "0.0001"
    assert "40.0" not in text, "the loser's scores"


def test_of_equal_rates_the_lower_wins():
    records = with_search(searched({1e-4: [50.0], 1e-3: [50.0]}), SEARCH)
    for one in (records, records[::-1]):
        assert at_chosen_rate(table_of(one))["learning_rate"].tolist() == [1e-4]


def test_a_search_that_lacks_a_run_decides_nothing():
    records = with_search(searched({1e-4: [50.0, 60.0], 1e-3: [50.0, 70.0]}), SEARCH, (1, 2))
    assert set(at_chosen_rate(table_of(records))["learning_rate"]) == {1e-3}
    for lost in range(len(records)):
        rest = records[:lost] + records[lost + 1 :]
        assert at_chosen_rate(table_of(rest)).empty, lost


def test_what_was_tried_beside_a_search_can_not_win_it():
    devs = {1e-4: [50.0, 60.0], 1e-3: [50.0, 40.0]}
    beyond = searched({7e-3: [99.0, 99.0]})
    other_seed = [made_record("kd", 9, 1.0, dev=99.0, rate=1e-3)]
    older = [
        made_record("kd", 1, 1.0, dev=99.0, rate=1e-3, provenance__made="2000-01-01T00:00:00+00:00")
    ]
    for more in (beyond, other_seed, older):
        table = table_of(with_search([*searched(devs), *more], SEARCH, (1, 2)))
        assert set(at_chosen_rate(table)["learning_rate"]) == {1e-4}


def test_the_choice_of_one_task_serves_all():
    records = searched({1e-4: [50.0], 1e-3: [60.0]})
    records += searched({1e-4: [60.0], 1e-3: [50.0]}, task="entailment")
    table = at_chosen_rate(table_of(with_search(records, SEARCH)))
    assert dict(zip(table["task"], table["learning_rate"], strict=True)) == {
        "sentiment": 1e-3,
        "entailment": 1e-3,
    }


def test_each_task_can_choose_for_itself():
    records = searched({1e-4: [50.0], 1e-3: [60.0]})
    records += searched({1e-4: [60.0], 1e-3: [50.0]}, task="entailment")
    records = with_search(records, {"sentiment": RATES, "entailment": RATES})
    table = at_chosen_rate(table_of(records))
    assert dict(zip(table["task"], table["learning_rate"], strict=True)) == {
        "sentiment": 1e-3,
        "entailment": 1e-4,
    }
    text = score_tables(as_runs(records))
    words = "learning rate of 0.0001, 0.001 on sentiment, entailment (chosen on the task's dev, n=1"
    assert words in text
    assert columns(text, "kd")[-1] == "0.001, 0.0001"


def test_runs_of_no_search_stay_at_their_own_rate():
    records = searched({1e-4: [50.0], 1e-3: [60.0]})
    assert len(at_chosen_rate(table_of(records))) == 2
    assert len(groups(table_of(records))) == 2


def test_two_searches_are_decided_apart():
    """Of two precisions each has its own best rate."""
    one = searched({1e-4: [50.0], 1e-3: [60.0]})
    other = searched({1e-4: [60.0], 1e-3: [50.0]}, settings__precision="bf16")
    table = at_chosen_rate(table_of(with_search(one + other, SEARCH)))
    assert dict(zip(table["precision"], table["learning_rate"], strict=True)) == {
        "float32": 1e-3,
        "bf16": 1e-4,
    }


# --- fresh runs beside committed ones ---


def test_fresh_scores_stand_beside_committed_ones_of_the_same_student():
    deep = made({"kd": [70.0, 70.0]})
    shallow = made({"kd": [50.0, 50.0]}, settings__student_depth=2)
    fresh = [made_record("kd", 1, 71.0)]
    text = compare_with_committed(table_of(fresh), table_of(deep + shallow))
    assert "its first 2 layers" not in text and "student: its first 4 layers" in text
    assert columns(text, "sentiment") == ["kd", "71.0 (n=1)", "70.0 ± 0.0 (n=2)", "+1.0"]
    assert compare_with_committed(table_of(shallow), table_of(deep)) == ""


def test_committed_runs_of_the_same_precision_come_before_others():
    plain = made({"kd": [70.0]})
    half = made({"kd": [60.0]}, settings__precision="bf16")
    rated = made({"kd": [50.0]}, settings__learning_rate=9.0)
    found = like(table_of(plain), table_of(half + plain + rated))
    assert set(found["run"]) == {plain[0].hash}
    assert set(like(table_of(plain), table_of(half))["run"]) == {half[0].hash}
    assert like(table_of(plain), table_of(rated)).empty
    text = compare_with_committed(table_of(plain), table_of(half))
    assert "committed runs in bf16" in text and columns(text, "sentiment")[-1] == "+10.0"


def test_each_method_of_a_search_finds_the_committed_runs_of_its_rate():
    fresh = searched({1e-4: [50.0], 1e-3: [60.0]})
    fresh += searched({1e-4: [60.0], 1e-3: [50.0]}, "no-kd")
    text = compare_with_committed(
        table_of(with_search(fresh, SEARCH)),
        table_of(fresh),
    )
    rows = [line for line in text.splitlines() if line.startswith("| sentiment")]
    assert len(rows) == 2 and all(row.count("40.0 (n=1)") == 2 for row in rows)


def test_a_committed_method_that_was_not_run_again_is_not_shown():
    committed_runs = made({"kd": [70.0], "uniform": [60.0]})
    text = compare_with_committed(table_of(made({"kd": [71.0]})), table_of(committed_runs))
    assert "uniform" not in text


# --- intervals over seeds and examples ---


def answered(method, seed, score, predictions, task="sentiment"):
    """A record with predictions on the kit's own data."""
    own = load_task(task).fingerprint
    return made_record(method, seed, score, task, predictions=predictions, data__fingerprint=own)


def answering(predictions, method="kd", task="sentiment", right=None):
    """A table of runs with these predictions by seed, scored as the task scores them."""
    records = []
    for seed, text in enumerate(predictions, 1):
        score = 50.0 if right is None else right[seed - 1]
        records.append(answered(method, seed, score, text, task))
    runs = as_runs(records)
    return runs.table.merge(runs.predictions, on="run", how="left")


@pytest.fixture(scope="module")
def labels():
    return np.array(load_task("sentiment").dataset["validation"]["label"])


def with_errors(labels, errors):
    """Predictions of two classes whose first `errors` are wrong, and their accuracy."""
    flipped = labels ^ (np.arange(len(labels)) < errors)
    return "".join(map(str, flipped)), 100 * (1 - errors / len(labels))


def test_the_bootstrap_has_the_spread_of_the_binomial(labels):
    text, right = with_errors(labels, 400)
    table = answering([text], right=[right])
    drawn = bootstrap_scores(table, "sentiment")[table["run"].iloc[0]]
    share = right / 100
    expected = 100 * math.sqrt(share * (1 - share) / len(labels))
    assert drawn.std(ddof=1) == pytest.approx(expected, rel=0.1)
    assert drawn.mean() == pytest.approx(right, abs=0.1)
    again = bootstrap_scores(table, "sentiment")[table["run"].iloc[0]]
    assert (drawn == again).all(), "equal seeds give equal intervals"


def test_intervals_know_how_few_the_seeds_are(labels):
    ours, ours_right = zip(
        *(with_errors(labels, errors) for errors in (300, 320, 340)), strict=True
    )
    base, base_right = zip(*[with_errors(labels, 400)] * 3, strict=True)  # 5, 4 and 3 behind
    one = answering(ours, "uniform", right=ours_right)
    other = answering(base, right=base_right)
    low, high = examples_interval(one, other, "sentiment")
    over_seeds = paired_difference(ours_right, base_right)
    assert (low + high) / 2 == pytest.approx(4.0)
    assert low < over_seeds.low and high > over_seeds.high
    rows = np.arange(len(labels))
    away = (rows >= 320) & (rows < 400)  # on average over the seeds, nearly
    over_examples = 1.96 * 100 * away.std() / len(labels) ** 0.5
    half = math.hypot(over_seeds.high - 4, over_examples)
    assert high - low == pytest.approx(2 * half, rel=0.05)
    low, high = examples_interval(one[:1], other, "sentiment")  # one seed: of the examples alone
    alone = (rows >= 300) & (rows < 400)
    assert high - low == pytest.approx(2 * 1.96 * 100 * alone.std() / 2000**0.5, rel=0.1)


def test_what_both_methods_share_drops_out_of_the_interval(labels):
    text, right = with_errors(labels, 400)
    table = answering([text] * 3, right=[right] * 3)
    assert examples_interval(table, table, "sentiment") == (0.0, 0.0)


def test_intervals_are_shorter_with_more_examples():
    rng = np.random.default_rng(1)
    lengths = []
    for rows in (200, 2000):
        labels = validation_labels("sentiment", rows).astype(int)
        sides = []
        for share in (0.2, 0.3):
            texts, right = [], []
            for _ in range(3):
                wrong = rng.random(rows) < share
                texts.append("".join(map(str, labels ^ wrong)))
                right.append(100 * (1 - wrong.mean()))
            sides.append(answering(texts, right=right))
        low, high = examples_interval(*sides, "sentiment")
        assert low < 10 < high
        lengths.append(high - low)
    assert lengths[1] < 0.6 * lengths[0]


def test_tables_show_the_intervals(labels):
    predictions, right = with_errors(labels, 300)
    better, higher = with_errors(labels, 100)
    records = [answered("kd", seed, right, predictions) for seed in (1, 2)]
    records += [answered("universal-kd", seed, higher, better) for seed in (1, 2)]
    text = score_tables(as_runs(records))
    part = text[text.index("minus kd, 95% over seeds and examples") :]
    low, high = columns(part, "universal-kd")[0].split(" to ")
    assert float(low) < higher - right < float(high)
    one_seed = score_tables(as_runs(records[::2]))
    part = one_seed[one_seed.index("minus kd, 95% over seeds and examples") :]
    assert columns(part, "universal-kd") == ["-"], "one seed tells nothing of others"


# --- the paper ---


def difference(value, error, n=3):
    half = T2 * error
    return Difference(value, error, n, value - half, value + half, 0.0)


@pytest.mark.parametrize(
    ("claimed", "found", "expected"),
    [
        ("0.4", difference(0.5, 0.05), "match"),  # 0.28 to 0.72
        ("0.4", difference(0.5, 0.2), "inconclusive"),  # -0.36 to 1.36
        ("0.4", difference(2.0, 0.1), "same sign"),  # 1.57 to 2.43: larger is no match
        ("0.4", difference(-2.0, 0.1), "differs"),
        ("0.4", difference(0.0, 0.01), "differs"),  # as good as nothing, and surely
        ("0.4", difference(-1.0, 0.3), "differs"),  # -2.29 to 0.29: zero, and less than claimed
        ("-0.4", difference(-0.5, 0.05), "match"),
        ("-0.4", difference(-2.0, 0.1), "same sign"),
        ("0.0", difference(0.2, 0.1), "match"),  # -0.23 to 0.63
        ("0.0", difference(0.2, 2.0), "inconclusive"),
        ("0.0", difference(3.0, 0.1), "differs"),
        ("0.0", difference(0.1, 0.01), "match"),  # not zero, but within a point of it
        (">0", difference(1.0, 0.1), "match"),
        (">0", difference(-1.0, 0.1), "differs"),
        (">0", difference(1.0, 1.0), "inconclusive"),
        ("0.4", difference(0.5, float("nan"), 1), "one seed"),
        ("0.4", None, "not run"),
    ],
)
def test_verdicts(claimed, found, expected):
    assert verdict(claimed, found) == expected


def test_the_papers_numbers_agree_with_themselves_and_name_methods():
    claims = paper_claims()
    assert len(claims) >= 6
    for claim in claims:
        if claim["paper"]:
            gap = float(claim["paper"]) - float(claim["paper_against"])
            assert gap == pytest.approx(float(claim["difference"]))
        methods = [*claim["ours"].split("|"), *claim["against"].split("|")]
        assert set(methods) <= set(METHODS)
        assert claim["source"] in {"abstract", "secondary"}


def test_the_best_of_each_side_is_chosen_on_dev_and_compared_on_validation():
    records = [made_record("uniform", seed, 70.0 + seed, dev=60.0) for seed in (1, 2)]
    records += [made_record("reverse", seed, 90.0, dev=50.0) for seed in (1, 2)]
    records += [made_record("kd", seed, 65.0, dev=40.0) for seed in (1, 2)]
    found = best_vs_best(table_of(records), ["uniform", "reverse"], ["kd", "mhkd"])
    assert found[:2] == ("uniform", "kd") and found[3] == ["sentiment"]
    assert (found[2].mean, found[2].n) == (6.5, 2)
    assert best_vs_best(table_of(records), ["uniform"], ["takd"]) is None


def test_the_best_are_compared_on_the_tasks_that_all_have():
    records = made({"uniform": [70.0], "reverse": [72.0], "kd": [60.0]})
    records += made({"uniform": [99.0], "kd": [10.0]}, task="entailment")
    found = best_vs_best(table_of(records), ["uniform", "reverse"], ["kd"])
    assert found[0] == "reverse" and found[3] == ["sentiment"] and found[2].mean == 12.0


def test_ours_is_paired_by_seed_over_the_tasks_that_both_have():
    table = committed().table
    table = table[(table["set"] == "glue-minilm") & table["task"].isin(["rte", "sst2"])]
    one, other, found, tasks = best_vs_best(table, ["universal-kd"], ["kd"])
    name = "universal-kd (detach_attention=False)"  # as these were run
    assert (one, other) == (name, "kd") and set(tasks) == {"rte", "sst2"}
    values = table.set_index(["method_name", "task", "seed"])["validation"].to_dict()
    by_seed = [
        sum(values[name, task, seed] - values["kd", task, seed] for task in tasks) / 2
        for seed in (1, 2, 3)
    ]
    assert found.mean == pytest.approx(sum(by_seed) / 3) and found.n == 3


SCENARIO_OF = [
    ({}, "ild"),  # 4 of 12 layers
    ({"settings__student_depth": 3}, "capacity-gap"),
    ({"settings__student": "bilstm", "settings__student_depth": None}, "bilstm"),
    ({"settings__student_depth": None, "settings__layer_selection": None}, "ild"),  # 5 / 9
    ({"settings__student_depth": None, "student_parameters": 900}, "capacity-gap"),
]


@pytest.mark.parametrize(("changes", "expected"), SCENARIO_OF)
def test_a_run_belongs_to_the_scenario_of_its_student(changes, expected):
    row = table_of([made_record("kd", **changes)]).iloc[0]
    fitting = {
        scenario
        for scenario in ("ild", "capacity-gap", "bilstm", "gated-cnn")
        if matches_scenario(scenario, row)
    }
    assert fitting == {expected}


def test_under_every_claim_runs_on_real_text_come_first():
    ours = [line.split("|")[3].strip() for line in paper_table(committed()).splitlines()[2:]]
    claims = [line.split("|")[1].strip() for line in paper_table(committed()).splitlines()[2:]]
    made_text_before = False
    for claim, data in zip(claims, ours, strict=True):
        made_text = data.startswith("synthetic")
        assert claim or made_text or not made_text_before, data
        made_text_before = made_text
    assert not ours[0].startswith("synthetic")


def test_the_table_of_paper_and_ours_has_every_claim_once():
    text = paper_table(committed())
    for claim in paper_claims():
        assert text.count(claim["claim"]) == 1
    verdicts = {line.split("|")[-2].strip() for line in text.splitlines()[2:]}
    assert verdicts <= {"match", "same sign", "inconclusive", "differs", "one seed", "not run"}


# --- committed runs, the datasheet, benchmarks ---


def test_every_group_of_the_committed_runs_is_one_comparison():
    table = at_chosen_rate(committed().table)
    for name, runs in table.groupby("set"):
        for group in groups(runs).values():
            check_one_group(group)
            assert methods_of(group), name
            assert json.loads(json.dumps(tasks_of(group)))


def test_the_datasheets_bag_of_words_is_the_same_by_another_way_to_the_optimum(monkeypatch):
    task = load_task("acceptability")
    found = datasheet.bag_of_words(task)
    other = partial(LogisticRegression, solver="newton-cg")
    monkeypatch.setattr(datasheet, "LogisticRegression", other)
    assert datasheet.bag_of_words(task) == pytest.approx(found, abs=1e-9)


def test_the_datasheets_majority_is_the_share_of_the_most_frequent_class():
    task = load_task("sentiment")
    gold = np.array(task.dataset["validation"]["label"])
    share = 100 * max(gold.mean(), 1 - gold.mean())
    assert datasheet.majority(task) == f"{share:.1f}"
    assert datasheet.majority(load_task("similarity")) == "0.0"


@pytest.mark.parametrize(
    ("value", "limit", "kept"),
    [
        (1.0, "at most 1.1", True),
        (1.2, "at most 1.1", False),
        (1.2, "at least 1.1", True),
        (1.0, "at least 1.1", False),
    ],
)
def test_a_benchmarks_limit_is_kept_or_not(value, limit, kept):
    assert within(value, limit) is kept


def test_a_table_names_the_commits_of_its_runs_where_there_are_several():
    records = made({"kd": [80, 82], "no-kd": [70, 71]})
    assert "commits" not in score_tables(as_runs(records))
    other = replace(records[0].provenance, commit="fedcba987654+changes")
    records[0] = replace(records[0], provenance=other)
    text = score_tables(as_runs(records))
    own = records[1].provenance.commit
    assert f"Code of several commits: {own}, fedcba987654+changes." in text
