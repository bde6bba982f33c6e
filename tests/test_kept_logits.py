"""Students from kept logits are those from the teacher itself; other data is refused."""

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import ukd
from ukd.cli.main import main
from ukd.config.keys import config_hash
from ukd.data.tasks import SYNTHETIC
from ukd.training.distill import run_settings
from ukd.training.kept_logits import (
    LOGITS_FILE,
    ROWS,
    TEACHER_NOTE,
    _without_gaps,
    read_logits,
    teacher_of,
)
from ukd.training.teacher_heads import per_layer_scores

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def kept(task, tiny, teacher, runtime, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "sentiment"
    return ukd.keep_logits(teacher, task, folder, config=tiny, runtime=runtime)


@pytest.mark.slow
def test_a_student_from_kept_logits_is_the_same_to_the_last_bit(
    task, tiny, runtime, kept, distilled, tmp_path
):
    method = ukd.get_method("universal-kd")
    expected = distilled("universal-kd")
    found = ukd.distill(task, method, kept, config=tiny, seed=1, runtime=runtime, folder=tmp_path)
    weights = [
        load_file(Path(record.folder) / "student" / "model.safetensors")
        for record in (expected, found)
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
    assert found.scores == expected.scores and found.attention == expected.attention
    assert found.teacher == expected.teacher and found.settings == expected.settings


def test_rows_that_a_limit_left_out_take_no_room_and_come_back_as_missing(task, tmp_path):
    rows = len(task.dataset["train"])
    table = torch.full((rows, 3, 2), torch.nan)
    table[[5, 2]] = torch.randn(2, 3, 2)
    whole = torch.randn(4, 3, 2)
    save_file(_without_gaps({"train": table, "validation": whole}), tmp_path / LOGITS_FILE)
    kept = load_file(tmp_path / LOGITS_FILE)
    assert kept["train"].shape == (2, 3, 2) and kept["train_rows"].tolist() == [2, 5]
    assert set(kept) == {"train", "train_rows", "validation"}
    found = read_logits(tmp_path, task)
    assert torch.equal(found["train"].nan_to_num(9.0), table.nan_to_num(9.0))
    assert torch.equal(found["validation"], whole) and set(found) == {"train", "validation"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes", "options", "reason"),
    [
        ("pkd-skip", {}, {}, "method pkd-skip compares hidden states"),
        ("kd", {"student_init": "teacher"}, {}, "student_init is 'teacher'"),
        ("kd", {}, {"online_teacher": True}, "is to run online"),
        ("kd", {"max_length": 32}, {}, "take --max-length 64"),
        ("kd", {"max_train": 200}, {}, "lack .* rows of train"),
    ],
)
def test_what_needs_more_than_logits_is_refused(
    task, tiny, runtime, kept, tmp_path, method, changes, options, reason
):
    with pytest.raises(ValueError, match=reason):
        ukd.distill(
            task,
            ukd.get_method(method),
            kept,
            config=replace(tiny, **changes),
            seed=1,
            runtime=runtime,
            folder=tmp_path,
            **options,
        )


def test_logits_of_another_length_than_their_note_says_are_not_kept(task, tiny, teacher, tmp_path):
    config = replace(tiny, max_length=16)
    with pytest.raises(ValueError, match="max_length is 16, and the teacher .* on 64 tokens"):
        ukd.keep_logits(teacher, task, tmp_path / "kept", config=config)
    assert not (tmp_path / "kept").exists()


@pytest.mark.slow
def test_other_data_damage_and_what_is_there_are_refused(task, tiny, teacher, kept, tmp_path):
    with pytest.raises(ValueError, match="of sentiment with data .* is acceptability with data"):
        ukd.load_kept_teacher(kept.folder, ukd.load_task("acceptability"))
    with pytest.raises(FileExistsError, match="choose another folder"):
        ukd.keep_logits(teacher, task, kept.folder, config=tiny)
    with pytest.raises(ValueError, match="holds no teacher's logits"):
        ukd.load_kept_teacher(tmp_path, task)
    for name in (LOGITS_FILE, TEACHER_NOTE):
        shutil.copy(kept.folder / name, tmp_path)
    content = bytearray((tmp_path / LOGITS_FILE).read_bytes())
    content[-1] ^= 1
    (tmp_path / LOGITS_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=f"{LOGITS_FILE} is damaged"):
        ukd.load_kept_teacher(tmp_path, task)
    shutil.copy(kept.folder / LOGITS_FILE, tmp_path)
    note = json.loads((tmp_path / TEACHER_NOTE).read_text(encoding="utf-8"))
    note["scores"]["validation"]["accuracy"] += 1
    (tmp_path / TEACHER_NOTE).write_text(json.dumps(note), encoding="utf-8")
    with pytest.raises(ValueError, match=f"{TEACHER_NOTE} is damaged"):
        ukd.load_kept_teacher(tmp_path, task)
    for content in ("[]", "5", "{}"):
        (tmp_path / TEACHER_NOTE).write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match="holds no teacher's logits"):
            ukd.load_kept_teacher(tmp_path, task)


@pytest.mark.parametrize("folder", sorted((ROOT / "data" / "teachers").glob("*/")), ids=str)
def test_committed_logits_are_whole_and_give_the_scores_that_their_note_has(folder):
    note = json.loads((folder / TEACHER_NOTE).read_text(encoding="utf-8"))
    logits = load_file(folder / LOGITS_FILE)
    assert all(not table.isnan().any() for table in logits.values())
    assert note["layers"] == logits["train"].shape[1] == len(note["heads"]["layers"])
    if note["task"] not in SYNTHETIC:
        return
    task = ukd.load_task(note["task"])
    teacher = ukd.load_kept_teacher(folder, task)
    labels = torch.tensor(task.dataset["validation"]["label"])
    layers = per_layer_scores(teacher.logits["validation"], labels, task)
    assert layers[-1]["scores"] == pytest.approx(note["scores"]["validation"])
    for found, kept in zip(layers, note["heads"]["layers"], strict=True):
        assert found["scores"] == pytest.approx(kept["scores"])


@pytest.mark.slow
def test_nothing_of_texts_and_labels_is_kept(kept):
    note = json.loads((kept.folder / TEACHER_NOTE).read_text(encoding="utf-8"))
    names = set(load_file(kept.folder / LOGITS_FILE))
    assert {name.removesuffix(ROWS) for name in names} == {"train", "validation"}
    assert not {"texts", "labels", "folder"} & set(note)


def test_the_command_line_says_what_is_wrong(capsys, tmp_path):
    words = f"run --task sentiment --preset smoke --teacher-logits {tmp_path}"
    assert main(words.split()) == 2
    assert "holds no teacher's logits" in capsys.readouterr().err


# --- the depth is that of the teacher that is kept, never the preset's ---

KEPT_RUN = "--preset smoke --teacher-logits acceptability"  # 12 layers; the preset's teacher has 4


@pytest.fixture
def committed():
    return ukd.load_kept_teacher("acceptability", ukd.load_task("acceptability"))


@pytest.mark.parametrize(
    ("words", "module"),
    [
        ("run --method kd --task", "distill"),
        ("reproduce --seeds 1 --methods kd --tasks", "grid"),
    ],
)
def test_a_student_may_be_as_deep_as_the_kept_teacher(words, module, capsys, monkeypatch):
    def begin(*given, **options):
        raise ValueError("training began")

    monkeypatch.setattr(import_module(f"ukd.training.{module}"), "distill", begin)
    command = f"{words} acceptability {KEPT_RUN} --student-depth".split()
    assert main([*command, "12"]) == 2
    assert "training began" in capsys.readouterr().err
    assert main([*command, "13"]) == 2
    found = capsys.readouterr().err
    assert "student_depth is 13, and the teacher has 12 layers: take a student of at most" in found
    assert "--teacher-depth" not in found, "which is refused beside kept logits"


@pytest.mark.parametrize("depth", [5, 7, 12])
def test_settings_of_a_student_are_checked_against_the_kept_teacher(committed, runtime, depth):
    # 7 is the depth of TAKD's assistant between 12 layers and 2.
    config = ukd.preset("smoke", student_depth=depth)
    settings = run_settings(ukd.get_method("kd"), committed, config, 1e-3, runtime)
    assert settings.student_depth == depth


def test_methods_that_coincide_are_found_for_the_depth_of_the_kept_teacher(runtime, monkeypatch):
    seen = []
    grid_module = import_module("ukd.training.grid")
    monkeypatch.setattr(grid_module, "coinciding", lambda *given: seen.append(given[1:]) or [])
    monkeypatch.setattr(grid_module, "make_student", lambda *given: None)
    config = ukd.preset("smoke")
    grid = ukd.training.ExperimentGrid(
        ("acceptability",), (ukd.get_method("kd"),), (1,), config, runtime, "bundled"
    )
    grid_module.run_grid(replace(grid, teacher_logits=Path("acceptability")), 1)
    assert config.teacher_depth == 4 and seen == [(config.student_depth, 12)]


def test_a_weak_teacher_is_refused_by_its_kept_logits_too(task, tiny, kept, tmp_path):
    """Its score says so, whether it was trained here or its logits were kept."""
    folder = tmp_path / "weak"
    shutil.copytree(kept.folder, folder)
    about = json.loads((folder / TEACHER_NOTE).read_text())
    about.pop("note")
    assert about["above_chance"] > 50
    about["scores"]["dev"] = {"accuracy": 51.0}
    (folder / TEACHER_NOTE).write_text(json.dumps(about | {"note": config_hash(about)}))
    strict = replace(tiny, enforce_min_teacher_score=True)
    with pytest.raises(ValueError, match="the teacher reaches 51.0 on the development part"):
        teacher_of(task, folder, config=strict)
    assert teacher_of(task, folder, config=tiny).about["scores"]["dev"] == {"accuracy": 51.0}
