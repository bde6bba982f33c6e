"""What is damaged, lost or half-made in cache and runs is set aside and made anew; work goes on."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import ukd
from ukd.analysis.runs import read_records
from ukd.config.files import atomic_folder
from ukd.config.paths import cache_folder
from ukd.config.verified import NOTE, is_whole, set_aside
from ukd.data.batches import TOKENS_FILE, tokenize_split
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_tokenizer, load_trained
from ukd.teaching.sentence_widget import load_student
from ukd.training.checkpoint import Checkpointer
from ukd.training.loop import LossNotFiniteError, _scored, check_finite


@pytest.fixture
def own(monkeypatch, tmp_path):
    """A cache and runs of this test alone."""
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UKD_RUNS", str(tmp_path / "runs"))
    return tmp_path


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(content)


def tokens(task):
    return tokenize_split(task, "train", load_tokenizer(bundled_encoder()), 64, list(range(40)))


@pytest.mark.parametrize("damage", [cut, flip, os.remove])
def test_damaged_tokens_are_made_anew(task, own, damage):
    expected = tokens(task).inputs[:]
    (path,) = (cache_folder() / "tokens").glob(f"*/{TOKENS_FILE}")
    damage(path)
    with pytest.warns(UserWarning, match="the tokens in .* made anew"):
        assert tokens(task).inputs[:] == expected
    assert tokens(task).inputs[:] == expected


def small_state(path):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return Checkpointer(model, optimizer, path)


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_set_aside_and_training_begins_again(tmp_path, damage):
    path = tmp_path / "state.safetensors"
    small_state(path).save(3)
    assert small_state(path).load() == 3
    damage(path)
    fresh = small_state(path)
    before = {name: tensor.clone() for name, tensor in fresh.model.state_dict().items()}
    with pytest.warns(UserWarning, match="checkpoint .* is damaged"):
        assert fresh.load() == 0
    assert all(bool((before[name] == now).all()) for name, now in fresh.model.state_dict().items())
    assert not path.exists() and len(list(tmp_path.glob("*damaged*"))) == 1


@pytest.mark.slow
def test_a_run_whose_record_is_damaged_is_made_anew(task, tiny, teacher, runtime, tmp_path):
    method = ukd.get_method("no-kd")
    options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path}
    first = ukd.distill(task, method, teacher, **options)
    cut(Path(first.folder) / "record.json")
    with pytest.warns(UserWarning, match="the run in .* is damaged"):
        again = ukd.distill(task, method, teacher, **options)
    assert again.scores == first.scores and again.folder == first.folder


def test_half_made_folders_of_killed_processes_are_cleared(tmp_path):
    folder = tmp_path / "thing [1]"
    code = (
        "import os, sys; from pathlib import Path; from ukd.config.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as building: os.kill(os.getpid(), 9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    left = list(tmp_path.iterdir())
    assert len(left) == 1, "the second has cleared what the first left"
    with atomic_folder(tmp_path / "thing [1] and more"):
        assert left[0].exists(), "of another folder"
    with atomic_folder(folder) as building:
        assert not left[0].exists() and building.is_dir()
        with atomic_folder(folder):
            assert building.is_dir(), "a living process's stays"


def test_a_loss_that_is_not_finite_names_step_term_and_rows():
    good, bad = torch.tensor([1.0, 2.0]), torch.tensor([1.0, float("nan")])
    rows = [torch.tensor([4, 5]), torch.tensor([7, 9])]
    check_finite([good, good], rows, ["kd", "intermediate"], 12)
    check_finite([], [], ["kd"], 12)
    with pytest.raises(LossNotFiniteError, match=r"'intermediate' is nan at step 12 \(rows 7, 9"):
        check_finite([good, bad], rows, ["kd", "intermediate"], 12)
    with pytest.raises(LossNotFiniteError, match=r"'kd' is inf at step 11 \(rows 4, 5"):
        check_finite([good / 0, bad], rows, ["kd", "intermediate"], 12)


@pytest.mark.slow
def test_training_stops_at_a_loss_that_is_not_finite_and_keeps_its_epochs(
    task, tiny, teacher, runtime, own, monkeypatch
):
    import ukd.methods.objective as objective

    real = objective.label_loss
    calls = []

    def breaks(*arguments, **options):
        calls.append(1)
        return real(*arguments, **options) * (float("inf") if len(calls) > 9 else 1.0)

    monkeypatch.setattr(objective, "label_loss", breaks)
    with pytest.raises(LossNotFiniteError, match="no-kd on sentiment, seed 1.*epoch 2/2: the loss"):
        ukd.distill(task, ukd.get_method("no-kd"), teacher, config=tiny, seed=1, runtime=runtime)
    (kept,) = (own / "runs").glob(".*/0-labels.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(kept).values())


@pytest.mark.slow
def test_an_assistant_whose_weights_are_damaged_is_made_anew(
    task, tiny, teacher, runtime, tmp_path
):
    def run(folder):
        options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path / folder}
        return ukd.distill(task, ukd.get_method("takd"), teacher, **options)

    first = run("first")
    (weights,) = (cache_folder() / "assistants").glob("*/student/model.safetensors")
    flip(weights)
    with pytest.warns(UserWarning, match="the run in .*assistants.* is damaged"):
        again = run("again")
    assert again.scores == first.scores


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [os.remove, emptied, cut, flip])
def test_no_file_of_a_run_or_teacher_is_damaged_unnoticed(
    damage, task, teacher, distilled, tmp_path
):
    run = Path(distilled("universal-kd").folder)
    there = [path.relative_to(run) for path in run.rglob("*") if path.is_file()]
    assert {"record.json", "made.json", "student/heads.safetensors"} <= set(map(str, there))
    for number, name in enumerate(there):
        copy = tmp_path / str(number)
        shutil.copytree(run, copy)
        damage(copy / name)
        if str(name) == NOTE:
            assert damage is flip or not is_whole(copy), "a lost note means that it is made anew"
            continue
        assert not is_whole(copy)
        with pytest.raises(ValueError, match=r"record\.json|is damaged") as error:
            load_student(copy, task)
        assert "\n" not in str(error.value) and str(copy) in str(error.value)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "teacher.json"):
        copy = tmp_path / name / teacher.folder.name
        shutil.copytree(teacher.folder, copy)
        damage(copy / name)
        with pytest.raises(ValueError, match="is damaged: its files are not as its made.json"):
            replace(teacher, folder=copy).load(task)


@pytest.mark.parametrize("lost", ["classifier.bias", "classifier.weight", "bert.pooler.dense.bias"])
def test_a_trained_classifier_is_never_drawn_anew(lost, task, teacher, distilled, tmp_path):
    """Labels of a classifier that nobody trained look like any others."""
    student = Path(distilled("universal-kd").folder) / "student"
    for name, folder in (("teacher", teacher.folder), ("student", student)):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        (copy / NOTE).unlink(missing_ok=True)  # as a folder of another tool
        assert load_trained(copy, task).config.num_labels == 2
        weights = load_file(copy / "model.safetensors")
        del weights[lost]
        save_file(weights, copy / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match=f"{name} holds no trained classifier, .* {lost}"):
            load_trained(copy, task)
    with pytest.raises(ValueError, match="holds no trained classifier, .*train it again"):
        replace(teacher, folder=tmp_path / "teacher").load(task)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [os.remove, emptied, cut, flip])
@pytest.mark.parametrize("name", ["record.json", "made.json", "student/model.safetensors"])
def test_a_run_that_lost_a_file_is_made_anew_once_and_tables_go_on(
    name, damage, distilled, task, tiny, teacher, runtime, tmp_path, monkeypatch
):
    first = distilled("universal-kd")
    method = ukd.get_method("universal-kd")
    place = tmp_path / Path(first.folder).name
    shutil.copytree(first.folder, place)
    damage(place / name)
    calls = []

    def train(*_):
        calls.append(1)
        shutil.copytree(first.folder, place)

    monkeypatch.setattr("ukd.training.distill._train", train)
    options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path}
    with pytest.warns(UserWarning, match="the run in .* is damaged: it is made anew"):
        assert ukd.distill(task, method, teacher, **options) == first
    assert ukd.distill(task, method, teacher, **options) == first
    assert len(calls) == 1
    assert read_records(tmp_path) == [first], "what was set aside is no run"


def test_a_lost_or_changed_record_is_never_left_out_of_a_table(distilled, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(distilled("universal-kd").folder, place)
    record = place / "record.json"
    content = record.read_text()
    record.write_text(content.replace('"seed": 1', '"seed": 2', 1))
    with pytest.raises(ValueError, match=r"record\.json is not a readable record \(its sha256"):
        read_records(tmp_path)
    record.unlink()
    with pytest.raises(ValueError, match=r"record\.json is lost: run it again, or remove"):
        read_records(tmp_path)


def test_healing_in_the_middle_of_training_is_said(tmp_path):
    """The score of an epoch reads tables of the cache, which may be damaged."""

    def score(_):
        set_aside(tmp_path / "table", "table of teacher outputs")
        return 1.0

    (tmp_path / "table").mkdir()
    with pytest.warns(UserWarning, match="the table of teacher outputs in .* is damaged"):
        assert _scored(torch.nn.Linear(1, 1), score) == (1.0, {})
