"""One search for every method, and one comparison shared by several processes."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

import ukd
from ukd.analysis.figures import rates_figure
from ukd.analysis.grouping import decided, like, setting
from ukd.analysis.runs import read_records
from ukd.analysis.study_figures import draw_records
from ukd.analysis.tables import beside, tables
from ukd.cli import reports
from ukd.cli.main import main
from ukd.config.files import Busy, build_once, folder_lock, without_waiting
from ukd.data.metrics import mean_metric
from ukd.training.grid import ExperimentGrid, LearningRateSearch, run_all

RATES = (1e-5, 2e-3)


@pytest.fixture(scope="module")
def searched(tiny, runtime, tmp_path_factory):
    methods = (ukd.get_method("no-kd"), ukd.get_method("kd"))
    search = LearningRateSearch(RATES, "sentiment")
    plan = ExperimentGrid(
        ("similarity", "sentiment"), methods, (1, 2), tiny, runtime, tiny.encoder, search=search
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UKD_RUNS", str(tmp_path_factory.mktemp("searched")))
        return run_all(plan, 1)[0]


def test_every_method_tries_the_same_rates_and_keeps_its_best_on_the_development_part(searched):
    tried = {}
    for record in searched:
        if record["task"] == "sentiment":
            tried.setdefault((record["method"], record["settings"]["rate"]), []).append(
                record["scores"]["dev"]["accuracy"]
            )
    assert {pair: len(scores) for pair, scores in tried.items()} == {
        (name, learning_rate): 2 for name in ("no-kd", "kd") for learning_rate in RATES
    }
    for record in searched:
        if record["task"] == "similarity":
            assert mean(tried[record["method"], record["settings"]["rate"]]) == max(
                mean(tried[record["method"], learning_rate]) for learning_rate in RATES
            )
    assert (
        len(searched) == 2 * 2 * 2 + 2 * 2
    )  # what was found is used again, what lost stays beside it


def test_losing_rates_are_in_no_table(searched):
    kept = decided(searched)
    assert len(kept) == 2 * 2 * 2 and len({setting(record) for record in kept}) == 1
    assert Counter(record["method"] for record in kept) == {"no-kd": 4, "kd": 4}
    text = tables(searched)
    assert (
        "the best for each method of rates 1e-05, 0.002 (chosen on sentiment's development part, n=2)"
        in text
        and "rate chosen" in text
    )
    assert " training examples, " in text and " steps." in text
    loser = next(record for record in searched if record not in kept)
    worse = {**loser, "scores": {**loser["scores"], "validation": {"accuracy": 1234.5}}}
    assert "1234.5" not in tables([*kept, worse])


def test_the_figure_of_a_search_shows_all_that_was_tried_and_rings_what_was_chosen(searched):
    ax = rates_figure(searched).axes[0]
    drawn = {bars.get_label(): bars.lines[0].get_ydata() for bars in ax.containers}
    rings = [line for line in ax.lines if line.get_fillstyle() == "none"]
    assert drawn.keys() == {"no-kd", "kd"} and len(rings) == 2
    for name, ring in zip(("no-kd", "kd"), rings, strict=True):
        of = [r for r in searched if r["method"] == name and r["task"] == "sentiment"]
        means = [
            mean(
                r["scores"]["validation"]["accuracy"]
                for r in of
                if r["settings"]["rate"] == learning_rate
            )
            for learning_rate in RATES
        ]
        assert list(drawn[name]) == pytest.approx(means)
        chosen = next(r["settings"]["rate"] for r in decided(searched) if r["method"] == name)
        assert ring.get_ydata()[0] == pytest.approx(means[RATES.index(chosen)])
        assert ring.get_xdata()[0] == pytest.approx(chosen, rel=0.05)


def test_of_equal_rates_the_lower_wins_and_a_search_cut_off_decides_nothing(searched):
    even = [
        {
            **record,
            "scores": {
                **record["scores"],
                "dev": {"accuracy": 50.0, "pearson": 50.0, "spearman": 50.0},
            },
        }
        for record in searched
    ]
    for records in (even, even[::-1]):
        assert {
            r["settings"]["rate"]
            for r in decided(records)
            if r["task"] == "sentiment" and r["seed"] == 1
        } == {min(RATES)}
    one_seed = [
        r for r in searched if r["task"] == "sentiment" and r["seed"] == 1 and r["method"] == "kd"
    ]
    assert len(one_seed) == 2 and decided(one_seed) == []


def test_a_search_of_the_first_seed_alone_is_still_read(searched):
    """As the first records of searches have it."""
    before = {"task": "sentiment", "rates": list(RATES), "seed": 1}
    older = [
        {**r, "settings": {**r["settings"], "searched": before}}
        for r in searched
        if r["task"] == "sentiment" and r["method"] == "kd"
    ]
    chosen = {r["settings"]["rate"] for r in decided(older)}
    dev = {r["settings"]["rate"]: r["scores"]["dev"]["accuracy"] for r in older if r["seed"] == 1}
    assert chosen == {
        min(RATES) if dev[min(RATES)] >= dev[max(RATES)] else max(RATES)
    } and "n=1" in tables(older)


@pytest.fixture
def sets(searched, tmp_path, monkeypatch):
    """Plain runs of two methods: those of the lower rate in a committed set, the others new."""
    monkeypatch.setattr(reports, "data_folder", lambda: tmp_path)
    for record in searched:
        path = Path(record["folder"]) / "record.json"
        assert (
            "searched" not in json.loads(path.read_text())["settings"]
        )  # a run does not know what it is compared with
        if record["settings"]["rate"] == min(RATES):
            (tmp_path / "runs" / "lower").mkdir(parents=True, exist_ok=True)
            (tmp_path / "runs" / "lower" / f"{path.parent.name}.json").write_text(path.read_text())
        else:
            (tmp_path / "new").mkdir(exist_ok=True)
            (tmp_path / "new" / path.parent.name).symlink_to(path.parent)
    return tmp_path


def test_collected_runs_and_those_of_another_set_make_up_a_search(searched, sets):
    assert (
        main(
            [
                "collect",
                "both",
                "--runs",
                str(sets / "new"),
                "--search-task",
                "sentiment",
                "--with",
                "lower",
            ]
        )
        == 0
    )
    found = read_records(sets / "runs" / "both")
    listed = json.loads((sets / "runs" / "both" / "search.json").read_text())["with"]
    assert len(listed) == len(list((sets / "runs" / "lower").iterdir())) and len(found) == len(
        searched
    )
    assert {record["hash"] for record in decided(found)} == {
        record["hash"] for record in decided(searched)
    }
    assert all(
        record["settings"]["searched"] == {"rates": {"sentiment": list(RATES)}, "seeds": [1, 2]}
        for record in found
    )
    assert not any(
        "searched" in record["settings"] for record in read_records(sets / "runs" / "lower")
    )
    (sets / "runs" / "lower").rename(sets / "runs" / "elsewhere")
    with pytest.raises(
        ValueError, match="counts lower/sentiment-kd-seed1-.*, which is not beside it"
    ):
        read_records(sets / "runs")


def test_a_search_is_noted_once_and_of_runs_of_one_kind(sets, capsys):
    words = [
        "collect",
        "both",
        "--runs",
        str(sets / "new"),
        "--search-task",
        "sentiment",
        "--with",
        "lower",
    ]
    path = next((sets / "new").glob("sentiment-kd-seed2-*"))
    record = json.loads((path / "record.json").read_text())
    path.unlink()
    path.mkdir()
    changed = {**record, "settings": {**record["settings"], "precision": "fp16"}}
    (path / "record.json").write_text(json.dumps(changed))
    assert main(words) == 2 and "these are of 2 kinds" in capsys.readouterr().err
    reworded = {
        **record,
        "settings": {
            **record["settings"],
            "method": {**record["settings"]["method"], "summary": "in other words"},
        },
    }
    (path / "record.json").write_text(json.dumps(reworded))
    assert (
        main(words) == 0 and len(decided(read_records(sets / "runs" / "both"))) == 8
    )  # a method is what it does
    before = sorted((sets / "runs" / "both").iterdir())
    late = sets / "late" / "sentiment-kd-seed9-0123456789ab"
    late.mkdir(parents=True)
    (late / "record.json").write_text(json.dumps({**record, "seed": 9, "hash": "0123456789ab"}))
    for more in ([], ["--search-task", "sentiment"]):
        assert main(["collect", "both", "--runs", str(sets / "late"), *more]) == 2
    assert (
        "noted once" in capsys.readouterr().err
        and sorted((sets / "runs" / "both").iterdir()) == before
    )


def test_each_task_can_choose_for_itself(searched, sets):
    """Of the same runs: similarity was run at one rate alone there, which is no choice but counts as what all have tried."""
    extra = next(r for r in searched if r["task"] == "similarity")
    assert (
        main(
            [
                "collect",
                "each",
                "--runs",
                str(sets / "new"),
                "--search-task",
                "each",
                "--with",
                "lower",
            ]
        )
        == 0
    )
    found = read_records(sets / "runs" / "each")
    tried = found[0]["settings"]["searched"]["rates"]
    assert list(tried) == ["sentiment", "similarity"] and tried["sentiment"] == list(RATES)
    assert extra["settings"]["rate"] in tried["similarity"]
    text = tables(found)
    assert "the best for each method and task of rates 1e-05, 0.002 on sentiment; " in text
    assert "(chosen on the task's development part, n=2)" in text
    for name in ("no-kd", "kd"):
        rates = {
            r["settings"]["rate"]
            for r in decided(found)
            if r["method"] == name and r["task"] == "sentiment"
        }
        assert rates == {
            r["settings"]["rate"]
            for r in decided(searched)
            if r["method"] == name and r["task"] == "sentiment"
        }


def test_a_search_on_each_task_needs_no_further_runs(tiny, runtime, monkeypatch, tmp_path):
    monkeypatch.setenv("UKD_RUNS", str(tmp_path))
    plan = ExperimentGrid(
        ("similarity", "sentiment"),
        (ukd.get_method("no-kd"),),
        (1,),
        tiny,
        runtime,
        tiny.encoder,
        search=LearningRateSearch(RATES),
    )
    found = run_all(plan, 1)[0]
    assert (
        Counter(record["task"] for record in found) == {"similarity": 2, "sentiment": 2}
        and len(read_records(tmp_path)) == 4
    )
    assert Counter(record["task"] for record in decided(found)) == {"similarity": 1, "sentiment": 1}
    for record in decided(found):
        dev = [mean_metric(r["scores"]["dev"]) for r in found if r["task"] == record["task"]]
        assert mean_metric(record["scores"]["dev"]) == max(dev)
    assert len(rates_figure(found).axes) == 2
    assert (
        "the best for each method and task of rates 1e-05, 0.002 on similarity, sentiment"
        in tables(found)
    )


def test_what_was_tried_beside_a_search_can_not_win_it(searched):
    kept = decided(searched)
    one = next(
        r for r in searched if r["task"] == "sentiment" and r["method"] == "kd" and r["seed"] == 1
    )
    beyond = {
        **one,
        "hash": "beyond",
        "settings": {**one["settings"], "rate": 7e-3},
        "scores": {"dev": {"accuracy": 99.0}},
    }
    again = {
        **one,
        "hash": "again",
        "made": "2000-01-01T00:00:00+00:00",
        "scores": {"dev": {"accuracy": 99.0}},
    }  # of two the newer counts
    for more in (beyond, again):
        assert {r["settings"]["rate"] for r in decided([*searched, more])} == {
            r["settings"]["rate"] for r in kept
        }


def test_a_fresh_run_stands_beside_committed_ones_of_its_methods_rate(searched):
    plain = [
        {**r, "settings": {**r["settings"], "searched": None}}
        for r in searched
        if r["task"] == "sentiment"
    ]
    fresh = [
        r for r in plain if r["settings"]["rate"] == (RATES[0] if r["method"] == "kd" else RATES[1])
    ]
    here = {"rates": {"sentiment": list(RATES)}, "seeds": [1, 2]}
    marked = [{**r, "settings": {**r["settings"], "searched": here}} for r in fresh]
    marked += [
        {**r, "settings": {**r["settings"], "searched": here}} for r in plain if r not in fresh
    ]
    chosen = decided(marked)
    text = beside(marked, plain)
    for name in ("kd", "no-kd"):
        value = mean(r["scores"]["validation"]["accuracy"] for r in chosen if r["method"] == name)
        row = next(line for line in text.splitlines() if f"| {name} " in line)
        assert row.count(f"{value:.1f}") == 2 and "| +0.0" in row


def test_a_method_with_a_smaller_search_is_not_collected(sets, capsys):
    words = ["collect", "both", "--runs", str(sets / "new"), "--search-task", "sentiment"]
    next((sets / "new").glob("sentiment-kd-seed2-*")).unlink()
    assert (
        main([*words, "--with", "lower"]) == 2
        and "kd was not run on sentiment at rate 0.002 with seed 2" in capsys.readouterr().err
    )
    assert main(words) == 2 and "two or more on a task make one" in capsys.readouterr().err
    assert main([*words[:4], "--with", "lower"]) == 2 and "--search-task" in capsys.readouterr().err
    assert (
        main([*words, "--with", "nowhere"]) == 2
        and "no records of nowhere" in capsys.readouterr().err
    )
    assert not (sets / "runs" / "both").exists()


def test_a_search_on_a_task_that_was_not_asked_for_is_shown_too(
    tiny, runtime, monkeypatch, tmp_path
):
    monkeypatch.setenv("UKD_RUNS", str(tmp_path))
    plan = ExperimentGrid(
        ("similarity",),
        (ukd.get_method("no-kd"),),
        (1,),
        tiny,
        runtime,
        tiny.encoder,
        search=LearningRateSearch(RATES, "sentiment"),
    )
    found = run_all(plan, 1)[0]
    assert (
        Counter(record["task"] for record in found) == {"similarity": 1, "sentiment": 2}
        and len(read_records(tmp_path)) == 3
    )
    header = next(line for line in tables(found).splitlines() if line.startswith("| validation"))
    assert "sentiment" in header and "similarity" in header
    assert {path.name for path in draw_records(found, tmp_path / "figures")} >= {
        "rates.svg",
        "scores.svg",
    }


def test_a_fresh_run_finds_records_of_its_own_precision_before_others(searched):
    plain = [
        {**record, "settings": {**record["settings"], "searched": None}}
        for record in decided(searched)
    ]
    other = [
        {**record, "settings": {**record["settings"], "precision": "fp16"}} for record in plain
    ]
    rated = [{**record, "settings": {**record["settings"], "rate": 9.0}} for record in plain]
    assert like(plain, other + plain) == plain
    assert like(plain, other) == other  # better than nothing to stand beside
    assert like(plain, rated) == []


def test_a_search_that_makes_no_sense_is_refused(capsys):
    for words in (
        ["--rates", "1e-3"],
        ["--rates", "1e-3,2e-3", "--rate", "1e-3"],
        ["--search-task", "sentiment"],
    ):
        assert main(["reproduce", "--profile", "smoke", *words]) == 2
    said = capsys.readouterr().err
    assert "two or more" in said and "give both" in said


def test_what_one_process_makes_another_does_not(tmp_path):
    with (
        folder_lock(tmp_path / "run"),
        without_waiting(),
        pytest.raises(Busy),
        folder_lock(tmp_path / "run"),
    ):
        pass
    with folder_lock(tmp_path / "run"), folder_lock(tmp_path / "other run"):
        pass  # a lock ends with its block and stands in no other's way
    calls = []
    for _ in range(2):
        build_once(tmp_path / "thing", lambda folder: calls.append(folder), {"how": "once"})
    assert len(calls) == 1


def test_two_commands_that_share_a_folder_make_every_run_once(tmp_path):
    words = [
        "-m",
        "ukd",
        "reproduce",
        "--profile",
        "smoke",
        "--methods",
        "no-kd,kd,kd-two-stage",
        "--jobs",
        "1",
    ]
    shared = os.environ | {
        "UKD_RUNS": str(tmp_path / "runs"),
        "UKD_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    shared.pop("UKD_QUIET")
    both = [
        subprocess.Popen(
            [sys.executable, *words],
            env=shared,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in "ab"
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    finished = Counter(line for text in said for line in text.splitlines() if " seed 1: " in line)
    assert len(finished) == 6 and set(finished.values()) == {1}, said
    fine_tuned = [
        line
        for text in said
        for line in text.splitlines()
        if line.startswith("fine-tuning the teacher")
    ]
    assert len(fine_tuned) == 2
    assert len(read_records(tmp_path / "runs")) == 6
    assert (
        said[0].count("| kd-two-stage") == said[1].count("| kd-two-stage") > 0
    )  # both print the whole comparison
