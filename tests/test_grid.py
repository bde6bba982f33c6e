"""The grid: one search for every method, runs on several processes, and what ends them."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import ukd
from ukd.config.files import atomic_folder, write_json
from ukd.config.locks import folder_lock
from ukd.config.runtime import usable_cores
from ukd.config.verified import build_verified
from ukd.training import grid as grid_module
from ukd.training.grid import (
    ExperimentGrid,
    LearningRateSearch,
    best_learning_rate,
    default_jobs,
    run_grid,
)

RATES = (1e-5, 2e-3)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def base(tiny, runtime):
    """One method on one task with one seed."""
    methods = (ukd.get_method("no-kd"),)
    return ExperimentGrid(("sentiment",), methods, (1,), tiny, runtime, tiny.encoder)


@pytest.fixture
def pretended(distilled, monkeypatch):
    """Runs that take no time; a list of their (task, method, seed, learning rate)."""
    template = distilled("no-kd")
    runs = []

    def distill(task, method, teacher, *, seed, learning_rate, **_):
        """The higher rate suits kd, the lower one no-kd; with seed 2 both are worse."""
        suits = (method.name == "kd") == (learning_rate == max(RATES))
        dev = {"accuracy": 60.0 + 5 * suits - 10 * (seed == 2)}
        settings = replace(template.settings, learning_rate=learning_rate or 1e-4)
        scores = template.scores | {"dev": dev}
        runs.append((task.name, method.name, seed, learning_rate))
        changes = {"task": task.name, "method": method.name, "seed": seed}
        return replace(template, settings=settings, scores=scores, **changes)

    monkeypatch.setattr(grid_module, "teacher_of", lambda *_, **__: None)
    monkeypatch.setattr(grid_module, "fit_heads", lambda *_, **__: None)
    monkeypatch.setattr(grid_module, "distill", distill)
    return runs


def test_a_student_of_one_layer_is_refused_before_any_teacher_is_made(base, monkeypatch):
    monkeypatch.setattr(grid_module, "_each", lambda *_: pytest.fail("work began"))
    methods = (ukd.get_method("kd"), ukd.get_method("universal-kd"))
    grid = replace(base, methods=methods, config=replace(base.config, student_depth=1))
    with pytest.raises(ValueError, match="universal-kd needs a student of at least 2 layers"):
        run_grid(grid, 1)


def test_every_method_tries_the_same_rates_and_keeps_its_best_on_the_development_part(
    base, pretended
):
    methods = (ukd.get_method("no-kd"), ukd.get_method("kd"))
    search = LearningRateSearch(RATES, "sentiment")
    tasks = ("similarity", "sentiment")
    grid = replace(base, tasks=tasks, methods=methods, seeds=(1, 2), search=search)
    records, failures = run_grid(grid, 1)
    tried = [
        ("sentiment", name, seed, rate)
        for name in ("no-kd", "kd")
        for seed in (1, 2)
        for rate in RATES
    ]
    best = {"no-kd": min(RATES), "kd": max(RATES)}
    others = [("similarity", name, seed, best[name]) for seed in (1, 2) for name in best]
    assert pretended == tried + others and failures == []
    assert [(record.task, record.method, record.seed) for record in records] == [
        run[:3] for run in pretended
    ]
    expected = {"rates": {"sentiment": list(RATES)}, "seeds": [1, 2]}
    assert all(record.search == expected for record in records)


def test_of_equal_rates_the_lower_one_is_best():
    even = [(rate, 50.0) for rate in RATES]
    assert best_learning_rate(even) == best_learning_rate(even[::-1]) == min(RATES)


def test_a_search_on_each_task_needs_no_further_runs(base, pretended):
    tasks = ("similarity", "sentiment")
    run_grid(replace(base, tasks=tasks, search=LearningRateSearch(RATES)), 1)
    assert pretended == [(name, "no-kd", 1, rate) for name in tasks for rate in RATES]


def test_a_search_on_a_task_that_was_not_asked_for_is_returned_too(base, pretended):
    search = LearningRateSearch(RATES, "sentiment")
    records = run_grid(replace(base, tasks=("similarity",), search=search), 1)[0]
    assert [record.task for record in records] == ["sentiment", "sentiment", "similarity"]


def test_without_a_search_every_run_has_the_configs_rate(base, pretended):
    records = run_grid(replace(base, seeds=(1, 2)), 1)[0]
    assert pretended == [("sentiment", "no-kd", seed, None) for seed in (1, 2)]
    assert all(record.search is None for record in records)


def test_a_task_whose_teacher_has_not_learned_is_left_out(base, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("it has not learned")

    monkeypatch.setattr(grid_module, "teacher_of", refuse)
    assert run_grid(base, 1) == ([], ["sentiment: it has not learned"])
    searching = replace(base, search=LearningRateSearch(RATES, "sentiment"))
    with pytest.raises(ValueError, match="can't be searched on sentiment: sentiment: it has not"):
        run_grid(searching, 1)


def test_what_can_not_be_made_is_refused_before_the_teachers(base, monkeypatch):
    monkeypatch.setattr(grid_module, "teacher_of", lambda *_, **__: pytest.fail("was trained"))
    config = replace(base.config, student="bilstmm")
    with pytest.raises(ValueError, match="unknown student 'bilstmm'; choose one of: layers, bils"):
        run_grid(replace(base, config=config), 1)


def test_a_process_a_core_and_one_on_a_gpu(cpu):
    assert default_jobs(cpu) == usable_cores()
    assert default_jobs(replace(cpu, device="cuda")) == 1


RUN_GRID = """
import ukd
from ukd.methods.registry import METHODS
from ukd.training.grid import ExperimentGrid, run_grid
config = ukd.preset("smoke", max_train=96, max_validation=64)
methods = (METHODS["no-kd"], METHODS["kd"])
runtime = ukd.choose_runtime("float32")
grid = ExperimentGrid(("sentiment",), methods, (1,), config, runtime, "bundled")
print(len(run_grid(grid, 1)[0]), "records")
"""


@pytest.mark.slow
def test_two_processes_that_share_a_folder_make_every_run_once(tmp_path):
    env = os.environ | {"UKD_RUNS": str(tmp_path / "runs"), "UKD_CACHE": str(tmp_path / "cache")}
    env |= {"OMP_NUM_THREADS": "1", "UKD_QUIET": "0"}
    options = {"env": env, "text": True, "cwd": ROOT}
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    processes = [subprocess.Popen([sys.executable, "-c", RUN_GRID], **options) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    lines = [line for text in outputs for line in text.splitlines()]
    finished = Counter(line for line in lines if " seed 1: " in line)
    assert len(finished) == 2 and set(finished.values()) == {1}, outputs
    assert sum(line.startswith("fine-tuning the teacher") for line in lines) == 1
    assert len(list((tmp_path / "runs").glob("*/record.json"))) == 2
    assert lines.count("2 records") == 2, "both return the whole comparison"


# --- files ----------------------------------------------------------------------------------------


def test_what_one_makes_another_waits_for_and_finds(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UKD_QUIET", "0")
    calls = []
    begun = threading.Event()

    def make(folder):
        calls.append(folder)
        (folder / "file").touch()
        begun.set()
        time.sleep(0.2)

    folder = tmp_path / "thing"
    other = threading.Thread(target=build_verified, args=(folder, make, {"how": "once"}, "thing"))
    other.start()
    begun.wait()
    assert build_verified(folder, make, {"how": "once"}, "thing")["how"] == "once"
    other.join()
    assert len(calls) == 1 and (folder / "made.json").is_file()
    assert "waiting for another process that is making thing" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".thing")]


def test_a_lock_ends_with_its_block_and_stands_in_no_others_way(tmp_path):
    with folder_lock(tmp_path / "run"), folder_lock(tmp_path / "other run"):
        pass
    with pytest.raises(KeyError), folder_lock(tmp_path / "run"):
        raise KeyError
    with folder_lock(tmp_path / "run"):
        pass


def test_a_folder_is_whole_or_not_there_and_never_overwritten(tmp_path):
    folder = tmp_path / "thing"
    with pytest.raises(KeyError), atomic_folder(folder) as building:
        (building / "file").write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    for content in ("first", "second"):
        with atomic_folder(folder) as building:
            (building / "file").write_text(content)
    assert (folder / "file").read_text() == "first", "what another process made is equal"
    with pytest.raises(FileExistsError, match="is kept"), atomic_folder(folder, shared=False):
        pass
    assert list(tmp_path.iterdir()) == [folder]


def test_json_is_never_overwritten(tmp_path):
    path = tmp_path / "new" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(FileExistsError, match="never overwritten"):
        write_json(path, {"a": 2})
    assert [one.name for one in path.parent.iterdir()] == ["file.json"]


def test_methods_that_are_one_for_the_student_are_said_before_any_run(base, monkeypatch):
    said = []
    monkeypatch.setattr(grid_module.logger, "info", said.append)
    methods = tuple(ukd.get_method(name) for name in ("reverse", "all-to-one", "deepest", "kd"))
    grid = replace(base, methods=methods)
    grid_module.say_coinciding(grid, 2)
    assert said == [
        "for a student of 2 layers these are one method, by their layer maps: reverse, all-to-one"
    ]
    for quiet, depth in ((replace(grid, encoder="org/unknown"), 2), (grid, None), (grid, 4)):
        grid_module.say_coinciding(quiet, depth)
    assert len(said) == 1
