"""From teacher to table: runs, records, tables, figures, the command line; one smoke pipeline."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from ukd.analysis import study_figures as studies
from ukd.analysis import tables as results
from ukd.analysis.runs import read_records

import ukd
from ukd import records as records_module
from ukd.cli import main as cli
from ukd.cli import reports
from ukd.config.files import write_json
from ukd.config.paths import runs_folder
from ukd.config.presets import PRESETS
from ukd.losses import ATTENTION_ON
from ukd.methods.registry import KEYS, METHODS, OPTIONS, STUDENTS, parse_method
from ukd.methods.scenarios import DEFAULT_METHODS, SCENARIOS
from ukd.projection import LAYER_MAPS
from ukd.training.distill import distill

ROOT = Path(__file__).parents[1]


def ukd_command(*arguments, **env):
    """`ukd ...` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ukd", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env={**os.environ, "UKD_QUIET": "0", "OMP_NUM_THREADS": "1", **env},
    )


@pytest.fixture(scope="module")
def records(task, tiny, teacher, runtime):
    """The core methods, two seeds, on the tiny profile."""
    return [
        distill(task, ukd.get_method(name), teacher, config=tiny, seed=seed, runtime=runtime)
        for name in DEFAULT_METHODS
        for seed in (1, 2)
    ]


def test_the_smoke_pipeline_from_teacher_to_table_and_figures(tmp_path):
    done = ukd_command(
        "reproduce",
        "--profile",
        "smoke",
        UKD_CACHE=str(tmp_path / "cache"),
        UKD_RUNS=str(tmp_path / "runs"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| universal-kd " in done.stdout and "| teacher " in done.stdout
    assert "minus kd, points" in done.stdout
    made = read_records(tmp_path / "runs")
    assert len(made) == len(PRESETS["smoke"].tasks) * len(DEFAULT_METHODS)
    figures = {path.name for path in (tmp_path / "runs" / "figures").iterdir()}
    names = {
        "heads_by_layer",
        "scores",
        "training_curves",
        "distance_and_attention",
        "attention_sentiment",
        "attention_similarity",
    }
    names |= {"attention_over_time", "attention_by_difficulty", "attention_entropy", "what_is_seen"}
    names |= {"student_heads", "calibration", "contrasts", "early_exit"}
    assert figures == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    values = [record for record in made if record["task"] == "similarity"]
    drawn = {path.stem for path in studies.draw_records(values, tmp_path / "values")}
    assert drawn == names - {
        "attention_sentiment",
        "calibration",
        "early_exit",
    }  # values have neither calibration nor certainty


def test_every_method_takes_the_same_steps_from_the_same_student(
    records, task, tiny, teacher, runtime
):
    from ukd.training.distill import DistillationRun

    assert len({record["steps"] for record in records}) == 1
    starts = []
    for name in METHODS:
        job = DistillationRun(
            task,
            ukd.get_method(name),
            teacher,
            tiny,
            1,
            str(teacher.folder),
            {},
            runtime,
            Path("unused"),
        )
        starts.append(job.make_student().network.state_dict())
    for other in starts[1:]:
        assert all((starts[0][name] == other[name]).all() for name in starts[0])


def test_a_record_says_how_it_was_made_and_holds_no_path(records):
    for record in records:
        assert {
            "scores",
            "settings",
            "hash",
            "seed",
            "seconds",
            "device",
            "precision",
            "versions",
            "examples",
            "data",
        } <= set(record)
        text = json.dumps({key: value for key, value in record.items() if key != "folder"})
        assert (
            str(Path.home()) not in text
            and str(runs_folder()) not in text
            and str(ROOT) not in text
        )


def test_a_finished_run_is_found_and_not_repeated(records, task, tiny, teacher, runtime):
    again = distill(task, ukd.get_method("kd"), teacher, config=tiny, seed=1, runtime=runtime)
    assert again == next(
        record for record in records if record["method"] == "kd" and record["seed"] == 1
    )
    other = distill(
        task, ukd.get_method("kd", temperature=4.0), teacher, config=tiny, seed=1, runtime=runtime
    )
    assert other["hash"] != again["hash"]


def test_equal_settings_give_equal_scores(records, task, tiny, teacher, runtime, tmp_path):
    again = distill(
        task,
        ukd.get_method("universal-kd"),
        teacher,
        config=tiny,
        seed=1,
        runtime=runtime,
        folder=tmp_path,
    )
    first = next(
        record for record in records if record["method"] == "universal-kd" and record["seed"] == 1
    )
    assert (
        again["scores"] == first["scores"]
        and again["history"] == first["history"]
        and again["attention"] == first["attention"]
    )


def test_a_run_that_dies_leaves_no_record_and_goes_on_to_the_same_result(
    records, task, tiny, teacher, runtime, tmp_path, killed
):
    method = ukd.get_method("universal-kd")
    with killed(2):  # in the second stage
        distill(task, method, teacher, config=tiny, seed=1, runtime=runtime, folder=tmp_path)
    assert read_records(tmp_path) == []
    resumed = distill(task, method, teacher, config=tiny, seed=1, runtime=runtime, folder=tmp_path)
    whole = next(
        record for record in records if record["method"] == "universal-kd" and record["seed"] == 1
    )
    assert resumed["scores"] == whole["scores"] and resumed["history"] == whole["history"]
    left = {path.name for path in tmp_path.iterdir()} - {".locks"}
    assert left == {Path(resumed["folder"]).name}, "no checkpoint is left"


def test_attention_is_kept_as_the_trained_forward_returned_it(records):
    for record in records:
        assert (record["attention"] is not None) == METHODS[record["method"]].needs_heads
        if record["attention"]:
            weights = record["attention"]["mean"]
            assert len(weights) == 1 and len(weights[0]) == 3
            assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in weights)
            assert set(record["attention"]["by_class"]) == {"negative", "positive"}


def test_the_saved_student_gives_the_records_score(records, task, tiny, teacher, runtime):
    from ukd.data.batches import tokenized_splits
    from ukd.heads import ClassifierWithHeads
    from ukd.models.encoders import load_classifier, load_tokenizer
    from ukd.training.teacher import score

    for record in records:
        folder = Path(record["folder"]) / "student"
        validation = tokenized_splits(task, load_tokenizer(folder), tiny)[2]
        network = ClassifierWithHeads(load_classifier(folder, task, seed=0))
        assert score(network, validation, task, runtime) == pytest.approx(
            record["scores"]["validation"]
        )
        assert (folder / "heads.safetensors").is_file() == METHODS[record["method"]].needs_heads


OPTION_VALUES = {
    "tau": [1.0, 5.0],
    "kappa": [0.1, 10.0],
    "mapping": LAYER_MAPS,
    "combine": ATTENTION_ON,
    "attention_grad": [True, False],
    "students": STUDENTS,
    "keys": KEYS,
}


@pytest.mark.parametrize(
    ("option", "value"),
    [(name, value) for name, values in OPTION_VALUES.items() for value in values],
)
def test_every_option_of_every_method_is_run(option, value, task, tiny, teacher, runtime, tmp_path):
    record = distill(
        task,
        ukd.get_method("universal-kd", **{option: value}),
        teacher,
        config=tiny,
        seed=1,
        runtime=runtime,
        folder=tmp_path,
    )
    assert record["settings"]["method"][option] == value
    expected = (
        "universal-kd"
        if getattr(METHODS["universal-kd"], option) == value
        else f"universal-kd ({option}={value})"
    )
    assert results.label(record) == expected


@pytest.mark.parametrize("total", [2, 3, 5, 8])
def test_the_stages_share_every_budget_and_none_goes_without(total):
    for name in METHODS:
        assert sum(ukd.get_method(name).epochs(total)) == total
    with pytest.raises(ValueError, match="1 epochs leave one without any"):
        ukd.get_method("universal-kd").epochs(1)


def test_a_teacher_of_another_profile_is_not_distilled_into_a_foreign_student(
    task, tiny, teacher, runtime
):
    from dataclasses import replace

    with pytest.raises(ValueError, match="use the profile it was made with"):
        distill(
            task,
            ukd.get_method("kd"),
            teacher,
            config=replace(tiny, pretrain_steps=9),
            seed=1,
            runtime=runtime,
        )


def test_all_options_are_among_those_run():
    assert set(OPTION_VALUES) == set(OPTIONS)


def test_regression_runs_through_every_method(tiny, runtime, tmp_path):
    task = ukd.load_task("similarity")
    teacher = ukd.train_teacher(task, config=tiny, runtime=runtime)
    for name in METHODS:
        record = distill(
            task,
            ukd.get_method(name),
            teacher,
            config=tiny,
            seed=1,
            runtime=runtime,
            folder=tmp_path,
        )
        assert set(record["scores"]["validation"]) == {"pearson", "spearman"}


def test_every_weight_reaches_the_gradient(task, tiny, teacher, runtime):
    """Each weight at zero takes its term out, and twice the weight gives twice the gradient of that term."""
    from dataclasses import replace

    import torch

    from ukd.data.batches import tokenized_splits
    from ukd.methods.method import Stage
    from ukd.methods.objective import Objective
    from ukd.models.encoders import load_tokenizer
    from ukd.training.distill import DistillationRun

    job = DistillationRun(
        task,
        ukd.get_method("universal-kd"),
        teacher,
        tiny,
        1,
        str(teacher.folder),
        {"teacher_outputs": "kept"},
        runtime,
        Path("unused"),
    )
    student, train = (
        job.make_student().to(runtime.device).eval(),
        tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[0],
    )
    outputs, batch = job.outputs(train), train.batch(list(range(16))).to(runtime.device)

    def gradient(**weights):
        stage = replace(Stage("all", 1.0), **weights)
        student.zero_grad()
        terms = Objective(job.method, stage, outputs, False)(student, batch)
        sum(terms.values()).backward()
        return torch.cat(
            [
                p.grad.flatten()
                for p in student.parameters()
                if p.grad is not None and p.grad.abs().sum() > 0
            ]
        ), set(terms)

    for name in ("labels", "kd", "intermediate"):
        once, terms = gradient(**{name: 0.5})
        twice, _ = gradient(**{name: 1.0})
        assert terms == {name} and once.norm() > 0
        torch.testing.assert_close(2 * once, twice, rtol=1e-3, atol=1e-6)
    whole, terms = gradient(labels=1.0, kd=0.5, intermediate=0.5)
    assert terms == {"labels", "kd", "intermediate"}
    assert not torch.allclose(whole[:100], gradient(labels=1.0, kd=0.5)[0][:100])


# --- tables ---------------------------------------------------------------------------------------------------------------


def record_with(method, seed, score, task="sentiment"):
    said = {name: getattr(METHODS[method], name) for name in OPTIONS}
    return {
        "method": method,
        "seed": seed,
        "task": task,
        "made": "2026-01-01",
        "profile": "cpu",
        "scores": {"validation": {"accuracy": score}},
        "settings": {
            "method": said,
            "student_layers": 4,
            "epochs": 6,
            "max_train": None,
            "batch": 32,
            "rate": 5e-4,
            "max_length": 64,
            "precision": "bf16",
        },
        "steps": 6,
        "examples": {"train": 9, "validation": 2000},
        "teacher": {
            "encoder": "scratch-x",
            "layers": 12,
            "rate": 2e-4,
            "scores": {"validation": {"accuracy": 90.0}},
        },
    }


def test_tables_by_hand():
    scores = {"kd": [80.0, 82.0, 84.0], "universal-kd": [81.0, 85.0, 86.0]}
    made = [
        record_with(name, seed, value)
        for name, values in scores.items()
        for seed, value in enumerate(values, 1)
    ]
    text = results.tables(made)
    assert "82.0 ± 2.0 (n=3)" in text and "84.0 ± 2.6 (n=3)" in text
    differences = [1.0, 3.0, 2.0]  # mean 2, standard error 1 / sqrt(3)
    found = results.spread(differences)
    assert (found.mean, found.n) == (2.0, 3) and found.error == pytest.approx(1 / math.sqrt(3))
    assert found.detectable == pytest.approx(found.error * (4.302653 + 1.060660), rel=1e-5)
    assert "+2.0 ± 0.6 (n=3; could have shown 3.1)" in text


def test_fine_tuning_records_do_not_disturb_the_other_tables():
    said = {
        "encoder": "random-0123456789ab",
        "rate": 1e-4,
        "searched": [1e-4],
        "epochs": 3,
        "batch": 32,
        "max_length": 64,
        "max_train": None,
        "precision": "bf16",
    }
    tuned = {
        "method": "fine-tuning",
        "task": "sst2",
        "seed": 1,
        "made": "2026-01-01",
        "scores": {"validation": {"accuracy": 50.0}},
    }
    tuned["settings"] = said
    text = results.tables([record_with("kd", 1, 80.0), tuned])
    assert text.count("### ") == 2 and "| random " in text and "| kd " in text


def test_an_average_over_tasks_takes_all_of_them_or_none():
    made = [
        record_with(m, s, v, t)
        for t in ("sentiment", "entailment")
        for m, v in (("kd", 70.0), ("no-kd", 60.0))
        for s in (1, 2)
    ]
    made += [record_with("mhkd", s, 90.0) for s in (1, 2)]
    rows = {
        line.split("|")[1].strip(): line.split("|")[-2].strip()
        for line in results.difference_table(made).splitlines()[2:]
    }
    assert rows["no-kd"].startswith("-10.0 ± 0.0") and rows["mhkd"] == "-"


def test_contrasts_by_hand():
    made = [record_with("universal-kd", s, v) for s, v in ((1, 70.0), (2, 74.0), (3, 75.0))]
    made += [
        record_with("kd-two-stage", s, v) for s, v in ((1, 69.0), (2, 72.0), (3, 72.0))
    ]  # 1, 2 and 3 points below
    row = results.contrast_table([*made, record_with("uniform", 1, 80.0)]).splitlines()[2:]
    assert (
        len(row) == 2
        and "universal-kd minus kd-two-stage" in row[0]
        and "+2.0 (-0.5 to +4.5, n=3)" in row[0]
    )  # 4.303 / sqrt(3)
    assert "universal-kd minus uniform" in row[1] and "-10.0 (n=1)" in row[1]
    two = [
        *made,
        *(
            record_with(m, s, 50.0 + s, "entailment")
            for m in ("universal-kd", "kd-two-stage", "uniform")
            for s in (1, 2, 3)
        ),
    ]
    row = results.contrast_table([*two, record_with("uniform", 1, 80.0)]).splitlines()[2:]
    assert (
        "+1.0 (-0.2 to +2.2, n=3)" in row[0].split("|")[-2]
    )  # the mean over both tasks, a value a seed: 0.5, 1 and 1.5
    assert row[1].split("|")[-2].strip() == "-5.0 (n=1)"
    ax = studies.contrasts_figure([*made, record_with("uniform", 1, 80.0)]).axes[0]
    assert [line.get_xdata().tolist() for line in ax.lines[:2]] == [[1.0, 2.0, 3.0], [-10.0]]
    low, high = ax.collections[0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-4)
    plt.close(ax.figure)


def test_contrasts_name_methods_that_are_run():
    labels = {name for pair in results.CONTRASTS for name in pair[1:]}
    run = [
        {"method": (m := parse_method(n)).name, "settings": {"method": asdict(m)}}
        for names in SCENARIOS.values()
        for n in names
    ]
    assert labels <= {results.label(one) for one in run}


def test_fresh_scores_stand_beside_committed_ones_of_the_same_student():
    deep, shallow = ([record_with("kd", s, v) for s in (1, 2)] for v in (70.0, 50.0))
    for record in shallow:
        record["settings"]["student_layers"] = 2
    text = results.beside(deep + shallow, [record_with("kd", 1, 69.0)])
    assert "its first 2 layers" not in text and "| +1.0" in text and text.count("| sentiment") == 1
    assert results.beside(shallow, deep) == ""


def test_one_seed_prints_no_spread():
    text = results.tables([record_with("kd", 1, 80.0), record_with("universal-kd", 1, 81.0)])
    assert "80.0 (n=1)" in text and "±" not in text


def test_the_newest_of_two_records_for_one_seed_counts():
    old, new = record_with("kd", 1, 10.0), record_with("kd", 1, 80.0)
    new["made"] = "2026-01-02"
    assert results.cells([new, old])["kd", "sentiment"].by_seed == {1: 80.0}


def test_settings_that_differ_are_not_mixed_in_one_table():
    other = record_with("kd", 1, 80.0)
    other["settings"] = {**other["settings"], "student_layers": 2}
    text = results.tables([record_with("kd", 1, 70.0), other])
    assert text.count("### ") == 2


def test_the_committed_records_give_tables():
    committed = read_records(ROOT / "data" / "runs")
    assert committed and "universal-kd" in results.tables(committed)


def test_a_record_is_never_overwritten_and_a_damaged_one_is_named(tmp_path):
    write_json(tmp_path / "one.json", {"a": 1})
    with pytest.raises(FileExistsError, match="never overwritten"):
        write_json(tmp_path / "one.json", {"a": 2})
    assert json.loads((tmp_path / "one.json").read_text()) == {"a": 1}
    (tmp_path / "half.json").write_text('{"method": ')
    with pytest.raises(ValueError, match=r"half\.json is not a readable record"):
        read_records(tmp_path)


def test_figures_are_byte_identical_when_drawn_again(records, tmp_path):
    from ukd.analysis.figures import draw_all

    for folder in ("one", "two"):
        paths = draw_all(records, tmp_path / folder)
    assert len(paths) == 10
    for path in paths:
        assert (tmp_path / "one" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("score", [0.0, 100.0], ids=["teacher below", "teacher above"])
def test_the_word_that_marks_the_teacher_stays_in_its_panel(records, score):
    from ukd.analysis.figures import scores_figure

    taught = [
        r | {"teacher": r["teacher"] | {"scores": {"validation": {"accuracy": score}}}}
        for r in records
    ]
    figure = scores_figure(taught)
    figure.canvas.draw()
    for ax in figure.axes:
        (word,) = ax.texts
        inside, panel = word.get_window_extent(), ax.get_window_extent()
        assert panel.x0 <= inside.x0 and inside.x1 <= panel.x1, score


# --- the command line -------------------------------------------------------------------------------------------------------


def test_a_run_ends_with_its_score_and_the_path_of_its_record(tmp_path):
    arguments = (
        "run",
        "--task",
        "sentiment",
        "--method",
        "kd",
        "--profile",
        "smoke",
        "--max-train",
        "96",
        "--batch",
        "16",
    )
    done = ukd_command(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    last = done.stdout.splitlines()[-1]
    assert (
        last.startswith("sentiment, kd, seed 1: accuracy ") and Path(last.split(" | ")[1]).is_file()
    )
    assert "epoch 1/" in done.stderr and "%|" not in done.stderr, (
        "plain lines, no bar, when it is not a terminal"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--task", "sentimant", "--method", "kd"], "sentiment"),
        (["run", "--task", "sentiment", "--method", "kdd"], "universal-kd"),
        (["run", "--task", "sentiment", "--method", "kd", "--profile", "big"], "smoke"),
        (["run", "--task", "sentiment", "--method", "kd", "--combine", "sum"], "losses"),
        (["run", "--task", "sentiment", "--method", "kd", "--batch", "0"], "at least 1"),
        (["run", "--task", "sentiment", "--method", "kd", "--attention-grad", "maybe"], "yes"),
        (["run", "--task", "sentiment", "--method", "kd", "--nonsense"], "unrecognized"),
        (["reproduce", "--tasks", "sentiment,nli"], "unknown task 'nli'"),
        (["reproduce", "--seeds", "1,x"], "x"),
        (["table", "--runs", "no/such/folder"], "not a folder"),
        (["nonsense"], "run"),
    ],
)
def test_what_is_unknown_lists_what_is_valid_and_exits_with_2(arguments, message, capsys):
    try:
        status = cli.main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_a_bad_temperature_stops_before_anything_is_trained(capsys):
    assert (
        cli.main(
            [
                "run",
                "--task",
                "sentiment",
                "--method",
                "universal-kd",
                "--profile",
                "smoke",
                "--tau",
                "0",
            ]
        )
        == 2
    )
    assert "tau must be finite and positive, got 0.0" in capsys.readouterr().err


def test_unknown_options_of_a_method_are_refused():
    with pytest.raises(ValueError, match="unknown option 'temprature' of kd; choose among: tau"):
        ukd.get_method("kd", temprature=2.0)


COMMANDS = (
    "run",
    "reproduce",
    "finetune",
    "table",
    "figures",
    "collect",
    "pretrain",
    "data",
    "datasheet",
    "card",
    "notebooks",
    "methods",
    "doctor",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0 and len(capsys.readouterr().out) > 100


def test_tables_figures_and_methods_from_the_command_line(records, tmp_path, capsys):
    assert cli.main(["table", "--runs", str(runs_folder())]) == 0
    assert cli.main(["methods"]) == 0
    out = capsys.readouterr().out
    assert "universal-kd" in out and "0.5 kd + 0.5 intermediate then 1.0 labels" in out


def test_collect_copies_records_and_never_overwrites(records, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reports, "data_folder", lambda: tmp_path)
    folder = tmp_path / "some"
    folder.mkdir()
    for record in records[:2]:
        (folder / Path(record["folder"]).name).symlink_to(record["folder"])
    assert cli.main(["collect", "kept", "--runs", str(folder)]) == 0
    assert len(read_records(tmp_path / "runs" / "kept")) == 2
    assert cli.main(["collect", "kept", "--runs", str(folder)]) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_the_doctor_reports_and_fails_when_something_is_missing(capsys, monkeypatch):
    from ukd.cli import doctor

    assert doctor.doctor() == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("torch", "precision", "cache", "hub", "threads"))
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch>=99", "no-such-package>=1"])
    assert doctor.doctor() == 1
    err = capsys.readouterr().err
    assert "pip install 'torch>=99'" in err and "no-such-package is not installed" in err


def test_without_git_a_result_has_no_commit(monkeypatch):
    monkeypatch.setattr("ukd.records.which", lambda name: None)
    assert records_module.commit() is None
