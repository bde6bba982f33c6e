"""Run records and the store: what is read, what is refused, and that nothing is overwritten."""

import json
import shutil
import subprocess
from copy import deepcopy
from dataclasses import asdict, replace

import pandas as pd
import pytest
from made_records import changed, committed, made_record, table_of, with_search
from test_run_record import FORMAT_1

from ukd.analysis.collect import add_runs
from ukd.analysis.grouping import at_chosen_rate
from ukd.analysis.rows import CURVE_POINTS, tables_of
from ukd.analysis.runs import as_runs, check_runs, load_runs, read_records
from ukd.analysis.store import (
    FILES,
    SUMS,
    Store,
    problems,
    read_store,
    replace_folder,
    write_sums,
)
from ukd.config.choices import EACH_TASK
from ukd.methods.registry import METHODS
from ukd.training.record_checks import METHOD_FIELDS
from ukd.training.run_record import RunRecord, method_settings

# --- one record ---


@pytest.fixture
def record():
    return full_record()


def full_record():
    """A record with attention, early exits and predictions."""
    head = {"scores": {"accuracy": 70.0}, "label_error": 0.25}
    exits = [{"threshold": 0.9, "layers": 2.5, "scores": {"accuracy": 79.0}}]
    weights = [[0.25, 0.75], [0.5, 0.5]]
    curve = [{"step": step, "kd": 1.0 / step, "intermediate": 0.5} for step in range(1, 41)]
    return made_record(
        "universal-kd",
        history={
            "teacher": {
                "curve": curve,
                "epochs": [{"epoch": 1, "step": 40, "dev": 60.0, "attention": weights}],
            }
        },
        attention={
            "mean": weights,
            "by_class": {"negative": weights},
            "by_difficulty": {"0": weights},
            "entropy": [0.5, 0.6],
            "attended_label_error": [0.3, 0.4],
            "uniform_label_error": 0.35,
            "heads": [head, head],
            "early_exit": exits,
        },
        early_exit=tuple(exits),
        calibration_error=3.5,
        collapsed=False,
        predictions="0110",
    )


def test_a_record_is_never_overwritten(record, tmp_path):
    path = tmp_path / "record.json"
    record.write(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="records are never overwritten: remove it"):
        changed(record, seconds=9.0).write(path)
    assert path.read_bytes() == before


def test_method_settings_are_the_fields_that_decide_a_result():
    settings = method_settings(METHODS["universal-kd"])
    assert tuple(settings) == METHOD_FIELDS
    reworded = replace(METHODS["universal-kd"], summary="in other words", source="elsewhere")
    assert method_settings(reworded) == settings
    assert method_settings(replace(reworded, temperature=9.0)) != settings


HALF = [{"epoch_fraction": 0.5, "labels": 1.0, "kd": 0.0, "intermediate": 0.0}]
REFUSED = [
    ("hash", "ab12", "hex digits"),
    ("task", None, "a name"),
    ("seed", True, "a whole number"),
    ("student_parameters", -1, "a whole number above 0"),
    ("examples", {"train": 9, "dev": 0, "validation": 9}, "a whole number above 0"),
    ("settings__precision", "int8", "one of float32, bf16, fp16"),
    ("settings__batch_size", 0, "a whole number above 0"),
    ("settings__epochs", 2.0, "a whole number above 0"),
    ("settings__max_length", None, "a whole number above 0"),
    ("settings__max_train", -5, "None or a whole number above 0"),
    ("settings__max_validation", 1.5, "None or a whole number above 0"),
    ("settings__learning_rate", 0.0, "a finite number above 0"),
    ("teacher__learning_rate", float("inf"), "a finite number above 0"),
    ("teacher__layers", 0, "a whole number above 0"),
    ("teacher__parameters", "9", "a whole number above 0"),
    ("teacher__scores", {"dev": {"accuracy": 1.0}}, "score the split"),
    ("scores", {"validation": {"accuracy": 1.0}}, "score the split"),
    ("scores", {"dev": {"accuracy": 1.0}, "validation": {"f1": 1.0}}, "scores of"),
    ("scores", {"dev": {"accuracy": 1.0}, "validation": {"accuracy": None}}, "a finite number"),
    ("attention", {"mean": [[1.0]], "by_class": {"a": [[2.0]]}}, "add up to 1 in each row"),
    ("attention", {"mean": [[1.0]], "by_difficulty": {"0": [[0.0]]}}, "add up to 1 in each row"),
    ("provenance__made", None, "a time in ISO format"),
]
REFUSED_OF_METHOD = [
    ("attention_temperature", float("nan"), "above 0"),
    ("teacher_layers", "below", "one of intermediate, all"),
    ("stages", HALF, "add up to 1"),
    ("colour", "red", "among"),
]


@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_a_value_that_can_not_be_right_is_refused(name, value, words):
    field = name.rpartition("__")[2]
    with pytest.raises(ValueError, match=rf"(?s){field}.* is .* and should be .*{words}"):
        made_record(**{name: value})


def test_scores_are_those_of_the_datas_metrics():
    with pytest.raises(ValueError, match=r"scores\.dev is \('accuracy',\) and .*'matthews'"):
        made_record(data__metrics=("matthews",))
    with pytest.raises(ValueError, match="method is '' and should be a name"):
        changed(made_record(), method="")


@pytest.mark.parametrize(("name", "value", "words"), REFUSED_OF_METHOD)
def test_a_method_that_can_not_be_right_is_refused(name, value, words):
    settings = made_record().settings.method | {name: value}
    with pytest.raises(ValueError, match=rf"settings\.method\.{name} is .*{words}"):
        made_record(settings__method=settings)


@pytest.mark.parametrize("name", METHOD_FIELDS)
def test_a_method_without_one_of_its_fields_is_refused(name):
    settings = made_record().settings.method
    del settings[name]
    with pytest.raises(ValueError, match=rf"settings\.method\.{name} is None"):
        made_record(settings__method=settings)


DAMAGED = {
    "another format": ({"format": 3}, "format is 3, and 1 and 2 can be read: update ukd"),
    "no format": ({"format": None}, "format is None"),
    "an unknown field": ({"colour": "red"}, "unknown field colour"),
    "no object": ({"settings": 5}, "settings is 5 and should be an object"),
    "an unknown field of a part": ({"data": {"shape": 1}}, "unknown field data.shape"),
    "an incomplete part": ({"provenance": {}}, "provenance. is incomplete"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_is_named_with_its_fault(damage, record, tmp_path):
    values, words = DAMAGED[damage]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record.to_dict() | values))
    with pytest.raises(ValueError, match=rf"record\.json is not a readable record \({words}"):
        RunRecord.read(path)


@pytest.mark.parametrize("name", sorted(set(made_record().to_dict()) - {"format"}))
def test_a_record_lacks_no_field_that_has_no_default(name, record):
    content = record.to_dict()
    del content[name]
    optional = {"history", "attention", "early_exit", "collapsed", "calibration_error"}
    optional |= {"predictions", "assistant"}
    if name in optional:
        assert RunRecord.from_dict(content).hash == record.hash
        return
    with pytest.raises(ValueError, match=f"the record is incomplete.*{name}"):
        RunRecord.from_dict(content)


# --- records of format 1 ---


def old_content():
    """A record as versions up to 0.1 wrote it."""
    content = deepcopy(FORMAT_1)
    del content["settings"]["searched"]
    return content


@pytest.mark.parametrize("kept", [True, False])
def test_the_gradient_through_the_attention_keeps_its_sense(kept):
    content = old_content()
    content["settings"]["method"]["attention_grad"] = kept
    assert RunRecord.from_dict(content).settings.method["detach_attention"] is not kept


@pytest.mark.parametrize(
    "searched",
    [
        {"task": "sentiment", "rates": [1e-4, 1e-3], "seed": 2},
        {"rates": {"sentiment": [1e-4, 1e-3]}, "seeds": [2]},
    ],
)
def test_both_old_ways_to_note_a_search_are_read(searched):
    content = old_content()
    content["settings"]["searched"] = searched
    search = RunRecord.from_dict(content).search
    assert search == {"rates": {"sentiment": [1e-4, 1e-3]}, "seeds": [2]}


@pytest.mark.parametrize("name", ["hash", "scores", "settings", "teacher", "made", "history"])
def test_a_record_of_format_1_that_lacks_something_is_refused(name):
    content = old_content()
    del content[name]
    with pytest.raises(ValueError, match=f"the record of format 1 lacks '{name}': run it again"):
        RunRecord.from_dict(content)


# --- records in folders ---


def test_records_below_a_folder_are_found_and_other_files_left_alone(record, tmp_path):
    record.write(tmp_path / "b" / "record.json")
    other = made_record("kd", 2)
    other.write(tmp_path / "a" / "record.json")
    made_record("kd", 3).write(tmp_path / ".cache" / "record.json")
    (tmp_path / "b" / "config.json").write_text('{"method": 1}')
    found = read_records(tmp_path)
    assert [one.hash for one in found] == [other.hash, record.hash], "in the order of their paths"
    (tmp_path / "half.json").write_text('{"method": ')
    with pytest.raises(ValueError, match=r"half\.json is not a readable record"):
        read_records(tmp_path)


def test_a_folder_of_records_is_loaded_as_runs(record, tmp_path):
    record.write(tmp_path / "record.json")
    runs = load_runs(tmp_path)
    assert len(runs) == 1 and runs.sets == {}
    with pytest.raises(ValueError, match="holds records and no sets: leave out set 'one'"):
        load_runs(tmp_path, "one")


def test_no_runs_are_refused_with_what_makes_some(tmp_path):
    with pytest.raises(ValueError, match="no runs: make some with `ukd reproduce`"):
        load_runs(tmp_path)
    with pytest.raises(ValueError, match="is not a folder of runs"):
        load_runs(tmp_path / "nowhere")


# --- the store ---


@pytest.fixture
def store(tmp_path):
    """A store of two sets."""
    folder = tmp_path / "runs"
    add_runs("one", [full_record(), made_record("kd")], folder=folder, title="The one")
    similar = [
        made_record("kd", seed, 70.1234567890123, "similarity", predictions="0.500 -1.250 3.000")
        for seed in (1, 2)
    ]
    add_runs("two", similar, folder=folder, command="ukd run")
    return folder


def test_what_was_added_is_loaded(store):
    runs = load_runs(store)
    assert runs.sets == {
        "one": {"title": "The one", "command": ""},
        "two": {"title": "two", "command": "ukd run"},
    }
    fresh = as_runs([full_record(), made_record("kd")])
    names = [name for name in fresh.table if name != "set"]
    kept = load_runs(store, "one").table[names].reset_index(drop=True)
    left = json.loads(kept.to_json(orient="records"))
    right = json.loads(fresh.table[names].to_json(orient="records"))
    assert left == right
    found = load_runs(store, "two").table["validation"]
    assert set(found) == {70.1234567890123}, "to the last digit"
    with pytest.raises(ValueError, match="has no set 'three'; choose one of: one, two"):
        load_runs(store, "three")


def test_predictions_keep_every_digit(store):
    runs = load_runs(store)
    texts = set(runs.predictions["predictions"])
    assert texts == {"0110", "0.500 -1.250 3.000"}


def test_a_hash_of_digits_stays_text(tmp_path):
    record = made_record(hash="00123456e789", provenance__commit="123456e78901")
    add_runs("one", [record], folder=tmp_path / "runs")
    (row,) = load_runs(tmp_path / "runs").table.to_dict("records")
    assert (row["run"], row["commit"]) == ("00123456e789", "123456e78901")


def test_details_are_found_by_kind_and_group(store):
    runs = load_runs(store, "one").of("universal-kd")
    assert runs.map_groups() == ["epoch: 1", "all", "class: negative", "difficulty: 0"]
    assert runs.layer_map("epoch: 1").tolist() == [[0.25, 0.75], [0.5, 0.5]]
    losses = runs.values("loss", "teacher: kd")
    assert 1 < len(losses) <= CURVE_POINTS and losses["row"].max() == 39
    exits = runs.values("early_exit", "end: accuracy")
    assert (exits["row"].iloc[0], exits["value"].iloc[0]) == (pytest.approx(0.9), 79.0)
    assert runs.values("uniform_label_error")["value"].tolist() == pytest.approx([0.35])
    assert runs.values("student_head", "label_error")["row"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="no layer map 'all' of kd: it has no attention"):
        load_runs(store, "one").of("kd").layer_map()


def test_the_layer_map_of_several_runs_is_their_mean():
    one, other = full_record(), changed(full_record(), seed=2, hash="ab" * 6)
    maps = other.attention | {"mean": [[1.0, 0.0], [0.0, 1.0]]}
    runs = as_runs([one, replace(other, attention=maps)])
    assert runs.layer_map().tolist() == [[0.625, 0.375], [0.25, 0.75]]


@pytest.mark.parametrize("damage", ["cut", "emptied", "altered", "gone"])
@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_a_damaged_file_of_the_store_is_named(name, damage, store):
    path = store / name
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        at = len(whole) // 2
        altered = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        path.write_bytes({"cut": whole[:at], "emptied": b"", "altered": altered}[damage])
    words = f"lacks {name}" if damage == "gone" else f"is not as {SUMS} has it"
    if damage != "gone" and name != SUMS:
        words = f"{name} {words}"
    for read in (load_runs, read_store):
        with pytest.raises(ValueError, match=words):
            read(store)
    (problem,) = check_runs(store)
    assert words in problem
    before = files_of(store)
    with pytest.raises(ValueError, match=words):
        add_runs("one", [made_record("no-kd")], folder=store)
    assert files_of(store) == before, "nothing is written over what is left"


def test_the_sums_are_those_of_sha256sum(store):
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    done = subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=store)
    assert done.returncode == 0


def test_a_change_that_was_meant_is_noted_in_the_sums(store):
    path = store / "sets.toml"
    path.write_text(path.read_text().replace("The one", "Another title"))
    write_sums(store)
    assert load_runs(store).sets["one"]["title"] == "Another title" and check_runs(store) == []


def test_the_committed_runs_are_whole():
    assert check_runs() == []
    runs = committed()
    assert len(runs) > 600 and set(runs.table["set"]) == set(runs.sets)


# --- what is wrong with a store ---


PROBLEMS = {
    "is there twice": lambda t: replace(t, runs=pd.concat([t.runs, t.runs.iloc[:1]])),
    "set 'other' is used and not there": lambda t: replace(t, runs=t.runs.assign(set="other")),
    "teacher 'x' is used and not there": lambda t: replace(t, runs=t.runs.assign(teacher="x")),
    "teacher 'teacher-of-sentiment' is there and not used": lambda t: replace(
        t, runs=t.runs.assign(teacher="x")
    ),
    "teacher of heads 'teacher-of-sentiment' is used and not": lambda t: replace(
        t, heads=t.heads.iloc[:0]
    ),
    "settings in configs.json 'x' is used and not there": lambda t: replace(
        t, runs=t.runs.assign(settings="x")
    ),
    "method_config in configs.json": lambda t: replace(t, configs=t.configs | {"methods": {}}),
    "data in configs.json": lambda t: replace(t, configs=t.configs | {"data": {"y": {}}}),
    "environment in configs.json": lambda t: replace(t, configs=t.configs | {"environments": {}}),
    "details.parquet has run x": lambda t: replace(t, details=t.details.assign(run="x")),
    "has no details": lambda t: replace(t, details=t.details.iloc[:0]),
    "predictions.parquet has run x": lambda t: replace(
        t, predictions=t.predictions.assign(run="x")
    ),
    "commit 12ab[+]changes is code that no commit holds": lambda t: replace(
        t, runs=t.runs.assign(commit="12ab+changes")
    ),
}


@pytest.mark.parametrize("words", PROBLEMS)
def test_what_is_wrong_with_a_store_is_said(words):
    tables = tables_of([full_record(), made_record("kd")], "one")
    sets = {"one": {"title": "", "command": ""}}
    assert problems(Store(tables, sets)) == []
    found = problems(Store(PROBLEMS[words](tables), sets))
    assert any(words.replace("[+]", "+") in problem for problem in found), found


def test_a_run_stands_in_each_set_that_counts_it(tmp_path):
    folder = tmp_path / "runs"
    add_runs("one", [made_record("kd", 1), made_record("kd", 2)], folder=folder)
    [third] = add_runs("two", [made_record("kd", 3)], folder=folder)
    first = load_runs(folder, "one").table["run"].iloc[0]
    sets = folder / "sets.toml"
    sets.write_text(sets.read_text() + f'counts = ["{first}"]\n')
    write_sums(folder)
    assert set(load_runs(folder, "two").table["run"]) == {first, third}
    assert len(load_runs(folder, "one")) == 2 and check_runs(folder) == []


def test_a_set_without_runs_and_one_that_counts_strangers_are_said():
    tables = tables_of([full_record()], "one")
    sets = {"one": {"search": {"counts": ["x"]}, "counts": ["y"]}, "empty": {}}
    found = problems(Store(tables, sets))
    assert "set one counts run x, which is not there" in found
    assert "set one counts run y, which is not there" in found
    assert "set 'empty' is there and not used" in found


def test_a_commit_that_the_history_lacks_is_said(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git here")
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "one")):
        subprocess.run((*git, *words), check=True)
    head = subprocess.run((*git, "rev-parse", "HEAD"), capture_output=True, text=True, check=True)
    known = made_record("kd", provenance__commit=head.stdout.strip()[:12])
    stranger = made_record("kd", 2, provenance__commit="f" * 12)
    sets = {"one": {}}
    assert problems(Store(tables_of([known], "one"), sets), tmp_path) == []
    found = problems(Store(tables_of([known, stranger], "one"), sets), tmp_path)
    assert found == [f"commit {'f' * 12} is not in the history"]
    assert problems(Store(tables_of([stranger], "one"), sets)) == [], "without a clone"


# --- adding runs ---


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_runs_that_are_there_are_not_added_again(store):
    before = files_of(store)
    assert add_runs("one", [full_record()], folder=store) == []
    assert files_of(store) == before, "not a byte changes"
    new = made_record("no-kd")
    assert add_runs("one", [full_record(), new], folder=store) == [new.hash]
    lines = (store / "runs.csv").read_text().splitlines()
    assert lines[:-1] == before["runs.csv"].decode().splitlines(), "a run adds one line"


def test_a_text_beside_the_runs_is_kept(store):
    (store / "README.md").write_text("words")
    add_runs("one", [made_record("no-kd")], folder=store)
    assert (store / "README.md").read_text() == "words"
    assert check_runs(store) == []
    left = {path.name for path in store.parent.iterdir()} - {".locks"}
    assert left == {"runs"}, "nothing is left beside the store"


def test_a_record_of_format_1_is_added(store):
    add_runs("old", [RunRecord.from_dict(old_content())], folder=store)
    (row,) = load_runs(store, "old").table.to_dict("records")
    assert row["task"] == "sentiment" and row["validation"] == 81.5
    assert row["teacher_weights"] is None and row["class_names"] is None
    assert check_runs(store) == []


def fresh(seed=5, **changes):
    return made_record("no-kd", seed, **changes)


def same_hash(**changes):
    return changed(made_record("kd"), **changes)


REFUSED_RUNS = {
    "no finished runs to add": lambda: ("one", []),
    "made by code that no commit holds .*commit, run again": lambda: (
        "one",
        [fresh(provenance__commit="0123456789ab+changes")],
    ),
    "is in set one already": lambda: ("two", [full_record()]),
    "is there with validation_accuracy 80.0, not 81.0: runs are never over": lambda: (
        "one",
        [same_hash(scores={"dev": {"accuracy": 80.0}, "validation": {"accuracy": 81.0}})],
    ),
    "is there with seconds 1.5, not 2.5": lambda: ("one", [same_hash(seconds=2.5)]),
    "is there with settings": lambda: ("one", [same_hash(settings__epochs=7)]),
    "is there with made": lambda: (
        "one",
        [same_hash(provenance__made="2026-02-01T00:00:00+00:00")],
    ),
    "teacher teacher-of-sentiment of run .* with weights": lambda: (
        "one",
        [fresh(teacher__weights="cd" * 32)],
    ),
    "with validation_accuracy 90.0, not 91.0: runs of two teachers": lambda: (
        "one",
        [
            fresh(
                teacher__scores={"dev": {"accuracy": 90.0}, "validation": {"accuracy": 91.0}},
            )
        ],
    ),
    "have teacher a-new-one with other weights or scores: runs of two": lambda: (
        "one",
        [
            fresh(teacher__key="a-new-one"),
            fresh(6, teacher__key="a-new-one", teacher__weights="cd" * 32),
        ],
    ),
    "can't be added: run .* is there twice": lambda: ("one", [fresh(), fresh()]),
    "has no details": lambda: ("one", [fresh(history={})]),
}


@pytest.mark.parametrize("words", REFUSED_RUNS)
def test_runs_that_may_not_be_added_are_refused_and_nothing_changes(words, store):
    name, records = REFUSED_RUNS[words]()
    before = files_of(store)
    with pytest.raises(ValueError, match=words):
        add_runs(name, records, folder=store)
    if len(records) == 1:  # all of them or none
        with pytest.raises(ValueError, match=words):
            add_runs(name, [fresh(9), *records], folder=store)
    assert files_of(store) == before


def test_a_store_that_can_not_be_written_stays_as_it_was(store, monkeypatch):
    before = files_of(store)

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("ukd.analysis.store.write_sums", fail)
    whole = read_store(store)
    with pytest.raises(OSError, match="full"):
        replace_folder(store, whole, "")
    assert files_of(store) == before
    assert {path.name for path in store.parent.iterdir()} - {".locks"} == {"runs"}


# --- searches over learning rates ---

RATES = (1e-4, 1e-3)


def tried(method, task="sentiment", rates=RATES, seeds=(1, 2), **changes):
    """A run a rate and seed; the higher rate is the better one by a point."""
    return [
        made_record(method, seed, 70.0 + rates.index(rate), task, rate=rate, **changes)
        for rate in rates
        for seed in seeds
    ]


def at(records, rate):
    return [record for record in records if record.settings.learning_rate == rate]


@pytest.fixture
def halves(tmp_path):
    """A store whose set `lower` has the lower rate's runs of two methods; the others, and all."""
    every = tried("kd") + tried("no-kd")
    folder = tmp_path / "runs"
    add_runs("lower", at(every, min(RATES)), folder=folder)
    return folder, at(every, max(RATES)), every


def test_new_runs_and_those_of_another_set_make_up_a_search(halves):
    folder, new, every = halves
    options = {"folder": folder, "search_task": "sentiment", "others": ["lower"]}
    assert add_runs("both", new, **options) == [record.hash for record in new]
    runs = load_runs(folder, "both")
    lower = load_runs(folder, "lower")
    assert set(runs.table["run"]) == {record.hash for record in every}
    search = runs.sets["both"]["search"]
    assert search["rates"] == {"sentiment": list(RATES)} and search["seeds"] == [1, 2]
    assert set(search["counts"]) == set(lower.table["run"])
    assert runs.table["search"].notna().all() and lower.table["search"].isna().all()
    chosen = at_chosen_rate(runs.table)
    assert set(chosen["run"]) == {record.hash for record in new}
    assert check_runs(folder) == []


def test_a_search_is_noted_once(halves):
    folder, new, _ = halves
    options = {"folder": folder, "search_task": "sentiment"}
    add_runs("both", new, others=["lower"], **options)
    before = files_of(folder)
    for more in ({"folder": folder}, options):
        with pytest.raises(ValueError, match="set both is there, and a search is noted once"):
            add_runs("both", tried("kd", seeds=(9,)), **more)
    assert files_of(folder) == before


def test_a_method_with_a_smaller_search_is_refused(halves):
    folder, new, _ = halves
    options = {"folder": folder, "search_task": "sentiment", "others": ["lower"]}
    lacking = [one for one in new if (one.method, one.seed) != ("kd", 2)]
    before = files_of(folder)
    words = "kd was not run on sentiment at learning rate 0.001 with seed 2, as others were"
    with pytest.raises(ValueError, match=words):
        add_runs("both", lacking, **options)
    assert files_of(folder) == before


def test_every_task_of_a_search_on_each_needs_all_of_its_rates(tmp_path):
    every = tried("kd") + tried("kd", "similarity") + tried("no-kd")
    options = {"folder": tmp_path / "runs", "search_task": EACH_TASK}
    add_runs("each", every, **options)
    search = load_runs(tmp_path / "runs").sets["each"]["search"]
    assert list(search["rates"]) == ["sentiment", "similarity"]
    lacking = [one for one in every if (one.task, one.seed) != ("similarity", 2)]
    # Seed 2 is one of the search on sentiment, and so it is asked for everywhere.
    with pytest.raises(ValueError, match="kd was not run on similarity at learning rate 0.0001"):
        add_runs("again", lacking, folder=tmp_path / "other", search_task=EACH_TASK)


def more(*arguments, **changes):
    """Runs that the store does not have yet."""
    return tried(*arguments, rates=(2e-4, 2e-3), **changes)


REFUSED_SEARCHES = {
    "these are of 2 kinds": (
        lambda: more("kd") + more("no-kd", settings__precision="fp16"),
        {"search_task": "sentiment"},
    ),
    "no search: the runs have rates .*a task needs two or more": (
        lambda: tried("kd", rates=(5e-4,)),
        {"search_task": "sentiment"},
    ),
    "no set nowhere; choose among: lower": (
        lambda: more("kd"),
        {"search_task": "sentiment", "others": ["nowhere"]},
    ),
    "count in a search alone: name the task": (lambda: more("kd"), {"others": ["lower"]}),
    "no-kd was not run on similarity": (
        lambda: more("kd", "similarity") + more("no-kd"),
        {"search_task": "similarity"},
    ),
}


@pytest.mark.parametrize("words", REFUSED_SEARCHES)
def test_a_search_that_makes_no_sense_is_refused(words, halves):
    folder, _, _ = halves
    records, options = REFUSED_SEARCHES[words]
    before = files_of(folder)
    with pytest.raises(ValueError, match=words):
        add_runs("both", records(), folder=folder, **options)
    assert files_of(folder) == before


def test_runs_of_another_budget_do_not_count_in_a_search(tmp_path):
    folder = tmp_path / "runs"
    other = tried("kd", rates=RATES[:1], settings__epochs=9)
    add_runs("lower", tried("kd", rates=RATES[:1]) + other, folder=folder)
    options = {"folder": folder, "search_task": "sentiment", "others": ["lower"]}
    add_runs("both", at(tried("kd"), max(RATES)), **options)
    assert not set(load_runs(folder).sets["both"]["search"]["counts"]) & {r.hash for r in other}


def test_a_method_is_what_it_does_whatever_it_is_described_as(tmp_path):
    """The settings of a record have no words, so that rewording a method splits no search."""
    assert not {"name", "summary", "source"} & set(asdict(made_record())["settings"]["method"])
    content = old_content()
    reworded = deepcopy(content)
    reworded["settings"]["method"]["summary"] = "in other words"
    reworded["hash"] = "ba" * 6
    tables = table_of([RunRecord.from_dict(one) for one in (content, reworded)])
    assert tables["config_key"].nunique() == 1 and tables["method_name"].nunique() == 1


def test_a_search_of_fresh_records_is_known_in_memory():
    table = table_of(with_search(tried("kd"), {"sentiment": RATES}, (1, 2)))
    assert json.loads(table["search"].iloc[0])["rates"] == {"sentiment": list(RATES)}
    assert set(at_chosen_rate(table)["learning_rate"]) == {max(RATES)}


def test_the_committed_searches_lack_no_run():
    runs = committed()
    for name, content in runs.sets.items():
        if "search" not in content:
            continue
        part = runs.table[runs.table["set"] == name]
        assert part["search"].notna().all()
        assert not at_chosen_rate(part).empty
