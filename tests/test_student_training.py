"""Students of every kind in training: other architectures, own tokenizers, other starts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

import ukd
from ukd.config.paths import cache_folder
from ukd.heads import pool
from ukd.methods.registry import METHODS
from ukd.models.bundled import resolve_encoder
from ukd.models.encoders import load_classifier, load_tokenizer, new_student
from ukd.models.students import STUDENTS
from ukd.training.initial_student import fine_tuned_encoder, initial_student
from ukd.training.student_report import (
    check_student_layers,
    describe_student,
    say_without_effect,
)
from ukd.training.teacher_heads import HiddenStateExtractor

pytestmark = pytest.mark.xdist_group("methods")
# One method for each kind of term: labels, the last layer, the intermediate ones.
KINDS_OF_TERMS = ("no-kd", "kd", "universal-kd")


@pytest.fixture(params=list(STUDENTS))
def kind(request):
    return request.param


@pytest.mark.slow
def test_methods_distil_into_it_and_the_student_goes_round_trip(kind, task, teacher, distilled):
    records = [distilled(name, student=kind) for name in KINDS_OF_TERMS]
    for record in records:
        assert record.settings.student == kind and record.settings.student_depth == 2
    assert len({record.steps for record in records}) == 1
    folder = f"{records[-1].folder}/student"
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    assert network.config.model_type == f"ukd-{kind}"
    assert network.config.id2label == {0: "negative", 1: "positive"}
    texts = ["The meal was good.", "The meal was not good."]
    answers = pipeline("text-classification", model=folder)(texts)
    assert {answer["label"] for answer in answers} <= {"negative", "positive"}
    start = new_student(kind, teacher.folder, task, seed=1).state_dict()
    changed = [not torch.equal(start[name], value) for name, value in network.state_dict().items()]
    assert any(changed), "it has learned"


@pytest.mark.slow
def test_it_learns_a_regression(kind, tiny, runtime):
    task = ukd.load_task("similarity")
    teacher = ukd.train_teacher(task, config=tiny, runtime=runtime)
    config = replace(tiny, student=kind)
    method = METHODS["universal-kd"]
    record = ukd.distill(task, method, teacher, config=config, seed=1, runtime=runtime)
    assert set(record.scores["validation"]) == {"pearson", "spearman"}


def test_as_a_teacher_its_heads_are_fitted_on_the_states_they_read(kind, task, teacher):
    network = new_student(kind, teacher.folder, task, seed=1).eval()
    texts = ["the meal was good", "i did not find the picnic greasy"]
    tokens = load_tokenizer(teacher.folder)(texts, padding=True, return_tensors="pt")
    states = network(**tokens, output_hidden_states=True).hidden_states
    pooled = [pool(layer, tokens["attention_mask"], "max") for layer in states[1:-1]]
    found = HiddenStateExtractor(network)(**tokens)
    torch.testing.assert_close(found, torch.stack(pooled, dim=1))


@pytest.mark.slow
def test_a_pretrained_student_with_its_own_tokenizer_meets_the_teacher_by_row(
    task, tiny, teacher, runtime, distilled, tiny_encoder, tmp_path
):
    """Its tokens are others than the teacher's; cached and online logits are still the same."""
    folder = tiny_encoder(tmp_path / "encoder")
    texts = task.dataset["validation"]["sentence"][:50]
    tokenizer = load_tokenizer(teacher.folder).train_new_from_iterator(texts, 200)
    tokenizer.save_pretrained(folder)
    cached = distilled("universal-kd", student=str(folder))
    config = replace(tiny, student=str(folder))
    options = {"config": config, "seed": 1, "runtime": runtime, "online_teacher": True}
    online = ukd.distill(task, METHODS["universal-kd"], teacher, **options)
    assert cached.settings.student.startswith("encoder-")
    assert str(tmp_path) not in json.dumps(cached.to_dict())
    assert len(cached.attention["mean"]) == 2
    curves = [record.history["teacher"]["curve"][-1] for record in (cached, online)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
    student = pipeline("text-classification", model=str(Path(cached.folder) / "student"))
    text = "the meal was good"
    assert student.tokenizer.vocab_size < load_tokenizer(teacher.folder).vocab_size
    assert student(text)[0]["label"] in ("negative", "positive")


@pytest.mark.slow
def test_the_teachers_own_encoder_can_be_the_student(teacher, distilled):
    source = resolve_encoder(teacher.encoder)[0]
    record = distilled("kd", student=source)
    assert record.settings.student_depth is None
    assert record.student_parameters > teacher.about["parameters"]  # all 12 layers


@pytest.mark.slow
def test_a_student_may_start_from_the_teachers_layers_as_fine_tuned(task, tiny, teacher, distilled):
    tuned = distilled("kd", student_init="teacher")
    assert tuned.settings.student_init == "teacher"
    assert distilled("takd", student_init="teacher").settings.student_init == "teacher"
    plain = distilled("kd")
    assert plain.settings.student_init == "pretrained" and plain.hash != tuned.hash
    source = fine_tuned_encoder(teacher, task)
    options = {"init_source": source}
    students = [
        initial_student(task, METHODS["kd"], teacher, tiny, seed=seed, **options).network
        for seed in (1, 2)
    ]
    network = load_classifier(teacher.folder, task, seed=0)
    layers = students[0].base_model.encoder.layer
    for layer, expected in zip(layers, network.base_model.encoder.layer, strict=False):
        for ours, theirs in zip(layer.parameters(), expected.parameters(), strict=True):
            assert torch.equal(ours, theirs)
    # Drawn by the seed, not the teacher's.
    assert not torch.equal(students[0].classifier.weight, network.classifier.weight)
    assert not torch.equal(students[0].classifier.weight, students[1].classifier.weight)


@pytest.mark.slow
def test_a_student_does_not_depend_on_what_the_cache_holds(task, tiny, teacher, runtime, tmp_path):
    config = replace(tiny, student_epochs=4)
    method = METHODS["universal-kd"]
    records = []
    for name in ("cold", "warm"):
        if name == "cold":
            shutil.rmtree(cache_folder() / "outputs", ignore_errors=True)
        options = {"config": config, "runtime": runtime, "folder": tmp_path / name}
        records.append(ukd.distill(task, method, teacher, seed=1, **options))
    cold, warm = (record.history["teacher"]["curve"] for record in records)
    assert cold == warm and records[0].scores == records[1].scores


def test_embeddings_from_a_file_are_in_the_record_and_their_path_is_not(distilled, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("the 1 2 3\nwas -1 0.5 2\n")
    record = distilled("no-kd", student="bilstm", embeddings=str(vectors))
    assert len(record.settings.embeddings) == 12
    assert str(tmp_path) not in json.dumps(record.to_dict())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"student": "bilstmm"}, "unknown student 'bilstmm'; choose one of: layers, bilstm"),
        ({"embeddings": "teacher"}, "'layers' brings its own"),
        ({"student": "bilstm", "embeddings": "no-such-file"}, "'no-such-file' is neither"),
        ({"student_init": "end"}, "unknown student_init 'end'; choose one of: pretrained, teacher"),
        ({"student": "bilstm", "layer_selection": "last"}, "layer_selection 'last' .* takes none"),
        ({"student": "bilstm", "student_init": "teacher"}, "student_init 'teacher' .* takes none"),
        ({"student_depth": 5}, "student_depth is 5, and the teacher has 4 layers: take"),
    ],
)
def test_a_student_that_can_not_be_made_is_refused_before_the_teacher_is(changes, words, tiny):
    with pytest.raises(ValueError, match=words):
        describe_student(replace(tiny, **changes), "bundled")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("universal-kd", {"temperature": 4.0}, ["temperature 4"]),
        ("universal-kd-losses", {"temperature": 3.0}, ["temperature 3", "attention_on losses"]),
        ("universal-kd-losses", {"detach_attention": False}, []),
        ("alp-kd", {}, []),
    ],
)
def test_options_that_change_nothing_on_values_are_said(task, capsys, name, options, said):
    method = ukd.get_method(name, **options)
    say_without_effect(task, method)
    assert capsys.readouterr().err == ""
    say_without_effect(ukd.load_task("similarity"), method)
    found = capsys.readouterr().err.splitlines()
    assert len(found) == len(said)
    for line, option in zip(found, said, strict=True):
        assert f"{name}: {option} has no effect on similarity, a regression" in line


def test_a_student_of_one_layer_has_nothing_to_teach_between(task, tiny, teacher):
    config = replace(tiny, student_depth=1)
    for name in ("universal-kd", "pkd-skip"):
        with pytest.raises(ValueError, match=f"{name} needs a student of at least 2 layers, got 1"):
            initial_student(task, METHODS[name], teacher, config, seed=1)
        # Before the teacher as well, whose depth the config tells.
        with pytest.raises(ValueError, match=f"{name} needs .* got 1: take .*--student-depth"):
            check_student_layers(METHODS[name], config)
    check_student_layers(METHODS["kd"], config)
    assert initial_student(task, METHODS["kd"], teacher, config, seed=1).heads is None
