"""One search for every method, and one comparison shared by several processes."""

import os
import subprocess
import sys
from collections import Counter

import pytest

import ukd
from ukd.cli import main
from ukd.grouping import decided, like, setting
from ukd.jobs import Plan, Search, run_all
from ukd.records import Busy, claim, made_once, read_records, without_waiting
from ukd.results import tables

RATES = (1e-5, 2e-3)


@pytest.fixture(scope="module")
def searched(tiny, compute, tmp_path_factory):
    methods = (ukd.method("no-kd"), ukd.method("kd"))
    search = Search("sentiment", RATES)
    plan = Plan(("similarity", "sentiment"), methods, (1, 2), tiny, compute, tiny.encoder, search=search)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UKD_RUNS", str(tmp_path_factory.mktemp("searched")))
        return run_all(plan, 1)[0]


def test_every_method_tries_the_same_rates_and_keeps_its_best_on_the_development_part(searched):
    tried = {}
    for record in searched:
        if record["task"] == "sentiment" and record["seed"] == 1:
            tried.setdefault(record["method"], {})[record["settings"]["rate"]] = record["scores"]["dev"]["accuracy"]
    assert {method: set(rates) for method, rates in tried.items()} == {"no-kd": set(RATES), "kd": set(RATES)}
    for record in searched:
        if record["task"] == "similarity" or record["seed"] == 2:
            rates = tried[record["method"]]
            assert rates[record["settings"]["rate"]] == max(rates.values())
    assert len(searched) == 2 * 2 * 2 + 2  # what was found is used again, what lost stays beside it


def test_losing_rates_are_in_no_table(searched):
    kept = decided(searched)
    assert len(kept) == 2 * 2 * 2 and len({setting(record) for record in kept}) == 1
    assert Counter(record["method"] for record in kept) == {"no-kd": 4, "kd": 4}
    text = tables(searched)
    assert "the best for each method of rates 1e-05, 0.002 (chosen on sentiment)" in text and "rate chosen" in text
    assert " training examples, " in text and " steps." in text
    loser = next(record for record in searched if record not in kept)
    worse = {**loser, "scores": {**loser["scores"], "validation": {"accuracy": 1234.5}}}
    assert "1234.5" not in tables([*kept, worse])


def test_of_equal_rates_the_lower_wins_and_a_search_cut_off_decides_nothing(searched):
    even = [{**record, "scores": {**record["scores"], "dev": {"accuracy": 50.0, "pearson": 50.0, "spearman": 50.0}}} for record in searched]
    for records in (even, even[::-1]):
        assert {r["settings"]["rate"] for r in decided(records) if r["task"] == "sentiment" and r["seed"] == 1} == {min(RATES)}
    first = next(r for r in searched if r["task"] == "sentiment" and r["seed"] == 1 and r["method"] == "kd")
    assert decided([first]) == []


def test_what_a_search_tries_on_a_task_that_was_not_asked_for_is_no_result(tiny, compute, monkeypatch, tmp_path):
    monkeypatch.setenv("UKD_RUNS", str(tmp_path))
    plan = Plan(("similarity",), (ukd.method("no-kd"),), (1,), tiny, compute, tiny.encoder, search=Search("sentiment", RATES))
    assert [record["task"] for record in run_all(plan, 1)[0]] == ["similarity"] and len(read_records(tmp_path)) == 3


def test_a_fresh_run_finds_records_of_its_own_precision_before_others(searched):
    plain = [{**record, "settings": {**record["settings"], "searched": None}} for record in decided(searched)]
    other = [{**record, "settings": {**record["settings"], "precision": "fp16"}} for record in plain]
    rated = [{**record, "settings": {**record["settings"], "rate": 9.0}} for record in plain]
    assert like(plain, other + plain) == plain
    assert like(plain, other) == other  # better than nothing to stand beside
    assert like(plain, rated) == []


def test_a_search_that_makes_no_sense_is_refused(capsys):
    for words in (["--rates", "1e-3"], ["--rates", "1e-3,2e-3", "--rate", "1e-3"], ["--search-task", "sentiment"]):
        assert main(["reproduce", "--profile", "smoke", *words]) == 2
    said = capsys.readouterr().err
    assert "two or more" in said and "give both" in said


def test_what_one_process_makes_another_does_not(tmp_path):
    with claim(tmp_path / "run"), without_waiting(), pytest.raises(Busy), claim(tmp_path / "run"):
        pass
    with claim(tmp_path / "run"), claim(tmp_path / "other run"):
        pass  # a lock ends with its block and stands in no other's way
    calls = []
    for _ in range(2):
        made_once(tmp_path / "thing", lambda folder: calls.append(folder), {"how": "once"})
    assert len(calls) == 1


def test_two_commands_that_share_a_folder_make_every_run_once(tmp_path):
    words = ["-m", "ukd", "reproduce", "--profile", "smoke", "--methods", "no-kd,kd,kd-two-stage", "--jobs", "1"]
    shared = os.environ | {"UKD_RUNS": str(tmp_path / "runs"), "UKD_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    shared.pop("UKD_QUIET")
    both = [
        subprocess.Popen([sys.executable, *words], env=shared, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in "ab"
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    finished = Counter(line for text in said for line in text.splitlines() if " seed 1: " in line)
    assert len(finished) == 6 and set(finished.values()) == {1}, said
    fine_tuned = [line for text in said for line in text.splitlines() if line.startswith("fine-tuning the teacher")]
    assert len(fine_tuned) == 2
    assert len(read_records(tmp_path / "runs")) == 6
    assert said[0].count("| kd-two-stage") == said[1].count("| kd-two-stage") > 0  # both print the whole comparison
