"""One run: its record, its student, what it resumes from, and what is refused before it."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ukd
from ukd.config.choices import STUDENT_LAYERS, TEACHER_LAYERS
from ukd.config.paths import runs_folder
from ukd.config.scenarios import DEFAULT_METHODS
from ukd.data.batches import tokenized_splits
from ukd.data.metrics import mean_metric
from ukd.heads import ClassifierWithHeads
from ukd.losses import ATTENTION_ON
from ukd.methods.method import Stage
from ukd.methods.objective import Objective
from ukd.methods.registry import METHODS, OPTIONS
from ukd.models.encoders import load_classifier, load_tokenizer
from ukd.projection import LAYER_MAPS
from ukd.training.distill import distill
from ukd.training.distillation_run import DistillationRun
from ukd.training.run_record import RunRecord, method_settings
from ukd.training.scoring import score

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("methods")]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def records(distilled):
    """The default methods, on the tiny preset."""
    return [distilled(name) for name in DEFAULT_METHODS]


def test_a_record_says_how_it_was_made_and_holds_no_path(records, task, teacher):
    for record in records:
        assert record.data.metrics == ("accuracy",)
        assert record.data.class_names == ("negative", "positive") == task.label_names
        assert record.teacher.weights == teacher.weights
        assert record.settings.method == method_settings(METHODS[record.method])
        assert record.settings.student_depth == 2 and record.seconds > 0
        text = json.dumps(record.to_dict())
        for path in (Path.home(), runs_folder(), ROOT):
            assert str(path) not in text


def test_a_record_is_read_as_it_was_returned(records):
    for record in records:
        assert RunRecord.read(Path(record.folder) / "record.json") == record


def test_a_finished_run_is_found_and_not_repeated(records, distilled, monkeypatch):
    before = next(record for record in records if record.method == "kd")
    monkeypatch.setattr(DistillationRun, "run", lambda self: pytest.fail("it ran again"))
    assert distilled("kd") == before
    with pytest.raises(pytest.fail.Exception, match="it ran again"):
        distilled(ukd.get_method("kd", temperature=4.0))


def test_equal_settings_give_equal_scores(distilled, task, tiny, teacher, runtime, tmp_path):
    first = distilled("universal-kd")
    method = ukd.get_method("universal-kd")
    again = distill(task, method, teacher, config=tiny, seed=1, runtime=runtime, folder=tmp_path)
    assert (again.scores, again.history, again.attention) == (
        first.scores,
        first.history,
        first.attention,
    )


def test_a_run_that_dies_leaves_no_record_and_goes_on_to_the_same_result(
    distilled, task, tiny, teacher, runtime, tmp_path, killed
):
    options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path}
    method = ukd.get_method("universal-kd")
    with killed(2):  # in the second stage
        distill(task, method, teacher, **options)
    assert not list(tmp_path.glob("*/record.json"))
    resumed = distill(task, method, teacher, **options)
    whole = distilled("universal-kd")
    assert resumed.scores == whole.scores and resumed.history == whole.history
    left = {path.name for path in tmp_path.iterdir()} - {".locks"}
    assert left == {Path(resumed.folder).name}, "no checkpoint is left"


def test_attention_is_kept_as_the_trained_forward_returned_it(records):
    for record in records:
        assert (record.attention is not None) == METHODS[record.method].needs_heads
        if record.attention:
            weights = record.attention["mean"]
            assert len(weights) == 1 and len(weights[0]) == 3
            assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in weights)
            assert set(record.attention["by_class"]) == {"negative", "positive"}


def test_the_saved_student_gives_the_records_score(records, task, tiny, runtime):
    for record in records:
        folder = Path(record.folder) / "student"
        validation = tokenized_splits(task, load_tokenizer(folder), tiny)[2]
        network = ClassifierWithHeads(load_classifier(folder, task, seed=0))
        found = score(network, validation, task, runtime)
        assert found == pytest.approx(record.scores["validation"])
        assert (folder / "heads.safetensors").is_file() == METHODS[record.method].needs_heads


# --- options and weights ---

OPTION_VALUES = {
    "temperature": (1.0, 2.0),
    "attention_temperature": (0.1, 1.0),
    "layer_map": LAYER_MAPS,
    "attention_on": ATTENTION_ON,
    "detach_attention": (True, False),
    "student_layers": STUDENT_LAYERS,
    "teacher_layers": TEACHER_LAYERS,
}
TAUGHT = [method for method in METHODS.values() if method.has_intermediate_loss]
# Those that no method of the table has, and which are therefore not run by test_methods.
NOT_IN_TABLE = [
    (option, value)
    for option, values in OPTION_VALUES.items()
    for value in values
    if not any(getattr(method, option) == value for method in TAUGHT)
]


def test_all_options_are_among_those_run():
    assert set(OPTION_VALUES) == set(OPTIONS)
    assert ("detach_attention", False) in NOT_IN_TABLE and len(NOT_IN_TABLE) >= 4


@pytest.mark.parametrize(("option", "value"), NOT_IN_TABLE)
def test_every_option_of_every_method_is_run(option, value, distilled):
    deep = {"student_depth": 3}  # has an intermediate layer that is not among the upper ones
    record = distilled(ukd.get_method("universal-kd", **{option: value}), **deep)
    assert record.settings.method[option] == value
    assert record.hash != distilled("universal-kd", **deep).hash


def test_every_weight_reaches_the_gradient(task, tiny, teacher, runtime):
    """Each weight at zero takes its term out, and twice the weight doubles the term's gradient."""
    run = DistillationRun(task, METHODS["universal-kd"], teacher, tiny, 1, 1e-3, runtime)
    student = run.student.to(runtime.device).eval()
    batch = run.splits[0].batch(list(range(16))).to(runtime.device)
    teacher_logits = run.teacher_logits()

    def gradient(**weights):
        stage = replace(Stage("all", 1.0), **weights)
        student.zero_grad()
        terms = Objective(run.method, stage, teacher_logits, False)(student, batch)
        sum(terms.values()).backward()
        reached = [p.grad.flatten() for p in student.parameters() if p.grad is not None]
        return torch.cat([g for g in reached if g.abs().sum() > 0]), set(terms)

    for name in ("labels", "kd", "intermediate"):
        once, terms = gradient(**{name: 0.5})
        twice, _ = gradient(**{name: 1.0})
        assert terms == {name} and once.norm() > 0
        torch.testing.assert_close(2 * once, twice, rtol=1e-3, atol=1e-6)
    whole, terms = gradient(labels=1.0, kd=0.5, intermediate=0.5)
    assert terms == {"labels", "kd", "intermediate"}
    without, _ = gradient(labels=1.0, kd=0.5)
    # Of the network, whose parameters come before the heads'.
    assert not torch.allclose(whole[: len(without)], without)


# One method for each term and shape of the loss; the layer maps are tested by hand.
REGRESSION = ("kd", "universal-kd", "universal-kd-losses", "dih", "annealing-kd", "rail-kd")


def test_regression_runs_through_every_term(tiny, runtime):
    task = ukd.load_task("similarity")
    teacher = ukd.train_teacher(task, config=tiny, runtime=runtime)
    for name in REGRESSION:
        method = ukd.get_method(name)
        record = distill(task, method, teacher, config=tiny, seed=1, runtime=runtime)
        assert set(record.scores["validation"]) == {"pearson", "spearman"}
        assert record.data.class_names is None and record.early_exit == ()


# --- what is refused ---


def test_a_teacher_whose_encoder_has_changed_is_refused(
    task, tiny, teacher, runtime, tiny_encoder, tmp_path
):
    folder = tiny_encoder(tmp_path / "encoder")
    other = replace(teacher, encoder=str(folder))
    with pytest.raises(ValueError, match=r"made from bundled-.*encoder-.*train the teacher anew"):
        distill(task, METHODS["kd"], other, config=tiny, seed=1, runtime=runtime)


def test_a_student_deeper_than_its_teacher_is_refused(task, tiny, teacher, runtime):
    options = {"seed": 1, "runtime": runtime}
    words = "student_depth is 5, and the teacher has 4 layers: take a student of at most 4"
    for depth in (4, None):
        config = replace(tiny, student_depth=5, teacher_depth=depth)
        with pytest.raises(ValueError, match=words):
            distill(task, METHODS["kd"], teacher, config=config, **options)


def test_a_layer_map_that_no_import_finds_is_refused(task, tiny, teacher, runtime):
    def own(student, teacher):
        return torch.full((student.shape[1], teacher.shape[1]), 1 / teacher.shape[1])

    method = replace(METHODS["universal-kd"], layer_map=own)
    words = "is defined inside a function or class, and .* write a function in a file, as my_maps"
    with pytest.raises(ValueError, match=words):
        distill(task, method, teacher, config=tiny, seed=1, runtime=runtime)


# --- damage ---


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of its own, which a test may damage."""
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_damaged_teacher_is_set_aside_and_trained_anew(task, tiny, teacher, runtime, own_cache):
    copy = own_cache / "teachers" / teacher.folder.name
    shutil.copytree(teacher.folder, copy)
    path = copy / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    with pytest.warns(UserWarning, match="the teacher in .* is damaged: it is made anew"):
        again = ukd.train_teacher(task, config=tiny, runtime=runtime)
    assert (again.key, again.weights) == (teacher.key, teacher.weights)
    assert path.read_bytes() == whole
    assert len(list((own_cache / "teachers").glob("*.damaged-*"))) == 1


@pytest.mark.parametrize("lost", ["made.json", "teacher.json"])
def test_a_teacher_that_lost_a_note_is_trained_anew_once(
    lost, task, tiny, teacher, runtime, own_cache, monkeypatch
):
    copy = own_cache / "teachers" / teacher.folder.name
    shutil.copytree(teacher.folder, copy)
    (copy / lost).unlink()

    def restore(building, *_):
        for file in teacher.folder.iterdir():
            if file.is_file() and file.name != "made.json":
                shutil.copy(file, building)

    calls = []
    monkeypatch.setattr(
        "ukd.training.teacher._fine_tune", lambda *args: calls.append(1) or restore(*args)
    )
    with pytest.warns(UserWarning, match="is damaged"):
        ukd.train_teacher(task, config=tiny, runtime=runtime)
    ukd.train_teacher(task, config=tiny, runtime=runtime)
    assert calls == [1]


@pytest.mark.parametrize("damage", ["made.json lost", "cut", "changed"])
def test_damaged_heads_are_fitted_anew(damage, task, tiny, teacher, runtime, tmp_path):
    folder = tmp_path / teacher.folder.name
    shutil.copytree(teacher.folder, folder)
    copy = replace(teacher, folder=folder)
    expected = ukd.fit_heads(teacher, task, config=tiny, runtime=runtime)
    weights = copy.heads / "heads.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "made.json lost":
        (copy.heads / "made.json").unlink()
    else:
        content[-1] ^= 1
        weights.write_bytes(content[:-8] if damage == "cut" else content)
    with pytest.raises(ValueError, match="are damaged: fit them anew"):
        copy.load(task)
    with pytest.warns(UserWarning, match="the set of pseudo classifiers in .* is damaged"):
        assert ukd.fit_heads(copy, task, config=tiny, runtime=runtime) == expected
    assert copy.heads_key == teacher.heads_key


def test_what_is_finished_is_read_without_a_lock(
    task, tiny, teacher, runtime, distilled, monkeypatch
):
    """From a cache that can only be read."""
    record = distilled("kd")

    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    for module in ("ukd.config.verified", "ukd.training.distill"):
        monkeypatch.setattr(sys.modules[module], "folder_lock", refuse)
    assert ukd.train_teacher(task, config=tiny, runtime=runtime) == teacher
    assert ukd.fit_heads(teacher, task, config=tiny, runtime=runtime)["layers"]
    assert distilled("kd") == record
    assert mean_metric(record.scores["validation"]) >= 0


def test_a_weak_teacher_is_warned_of_once_where_it_is_made(
    task, tiny, teacher, runtime, own_cache, monkeypatch
):
    monkeypatch.setattr("ukd.training.teacher._fine_tune", lambda building, *_: restore(building))

    def restore(building):
        for file in teacher.folder.iterdir():
            if file.is_file() and file.name != "made.json":
                shutil.copy(file, building)

    weak = replace(task, spec=replace(task.spec, min_teacher_score=101.0))
    warned = []
    monkeypatch.setattr("ukd.training.teacher.logger.warning", warned.append)
    config = replace(tiny, enforce_min_teacher_score=False)
    for _ in range(3):
        ukd.train_teacher(weak, config=config, runtime=runtime)
    assert len(warned) == 1 and "least score of 101" in warned[0]
    with pytest.raises(ValueError, match="least score of 101"):
        ukd.train_teacher(
            weak, config=replace(config, enforce_min_teacher_score=True), runtime=runtime
        )
