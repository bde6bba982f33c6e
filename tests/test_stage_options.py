"""The weight of the intermediate term, how it falls, whom it teaches, and how long the stage is."""

from dataclasses import replace

import pytest
import torch
from test_methods import Fixed

import ukd
from ukd.cli.comparison import Comparison
from ukd.cli.options import Losses
from ukd.cli.rerun import method_of
from ukd.data.batches import Batch
from ukd.methods.objective import Objective, lowest_taught
from ukd.methods.registry import get_method, parse_method
from ukd.training.layer_report import early_exit_curve
from ukd.training.run_record import method_settings
from ukd.training.student_report import check_student_layers

CHANGED = (
    "universal-kd:intermediate_weight=0.1",
    "universal-kd:intermediate_decay=yes",
    "universal-kd:teacher_stage=0.25",
    "universal-kd:student_layers=upper",
)


@pytest.fixture
def logits():
    """Of a student of four layers (B, S, C), whose gradients are looked at."""
    rng = torch.Generator().manual_seed(3)
    return torch.randn(2, 4, 3, generator=rng, requires_grad=True)


def term(text, logits, **where):
    """The weighted intermediate term of the first stage."""
    rng = torch.Generator().manual_seed(4)
    teacher = torch.randn(2, 6, 3, generator=rng)
    method = parse_method(text)
    objective = Objective(method, method.stages[0], lambda _: teacher, False, **where)
    batch = Batch({}, torch.tensor([0, 1]), torch.arange(2))
    return objective(Fixed(logits), batch)["intermediate"]


def test_the_weight_scales_the_term_and_nothing_else(logits):
    usual = term("universal-kd", logits)
    torch.testing.assert_close(term(CHANGED[0], logits), usual / 5)
    stages = parse_method(CHANGED[0]).stages
    usual_stages = get_method("universal-kd").stages
    assert stages == (replace(usual_stages[0], intermediate=0.1), usual_stages[1])


def test_the_weight_falls_epoch_by_epoch_to_nothing(logits):
    usual = term("universal-kd", logits, epochs=4)
    parts = [term(CHANGED[1], logits, epochs=4, epoch=epoch) / usual for epoch in range(4)]
    assert torch.stack(parts).tolist() == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_upper_layers_are_those_above_a_third_of_the_depth(logits):
    method = parse_method("universal-kd:student_layers=upper")
    # With 12 layers the fourth stands at a third, and the fifth above it.
    depths = {2: 0, 3: 1, 4: 1, 6: 2, 12: 4}
    assert {depth: lowest_taught(method, depth) for depth in depths} == depths
    assert lowest_taught(get_method("universal-kd"), 12) == 0
    for text, taught in (("universal-kd", [0, 1, 2]), (CHANGED[3], [1, 2])):
        (gradient,) = torch.autograd.grad(term(text, logits), logits)
        reached = gradient.abs().sum((0, 2)) > 0
        assert reached.nonzero().flatten().tolist() == taught
    assert method.needs_heads


def test_the_first_stage_takes_its_part_of_the_epochs():
    assert get_method("universal-kd", teacher_stage=0.25).epochs(12) == [3, 9]
    assert get_method("kd-two-stage", teacher_stage=0.75).epochs(12) == [9, 3]
    both = get_method("kd", stages="two", teacher_stage=0.75)
    assert both.epochs(4) == [3, 1]


REFUSED = {
    "uniform:kappa=0.1": "uniform has no attention_temperature to change .0.1.: layer_map uniform",
    "reverse:detach_attention=no": "reverse has no detach_attention to change .False.",
    "universal-kd:intermediate_wieght=1": "choose among: .*intermediate_weight.*teacher_stage",
    "kd:intermediate_weight=1": "kd has no intermediate_weight to change .* output space",
    "kd:intermediate_decay=yes": "kd has no intermediate_decay to change",
    "kd:teacher_stage=0.5": "kd has one stage.* take two",
    "universal-kd:stages=one:teacher_stage=0.5": "has one stage",
    "universal-kd:intermediate_weight=0": "finite and positive, got 0.0; kd-two-stage",
    "universal-kd:intermediate_weight=nan": "finite and positive, got nan",
    "universal-kd:intermediate_weight=much": "must be a number, got 'much'",
    "universal-kd:intermediate_decay=1": "must be yes or no, got '1'",
    "universal-kd:teacher_stage=1": "above 0 and below 1, got 1.0",
    "universal-kd:teacher_stage=-0.5": "above 0 and below 1, got -0.5",
    "universal-kd:intermediate_decay=yes:space=hidden": "intermediate_decay no",
    "universal-kd:student_layers=upper:space=hidden": "student_layers and teacher_layers",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_changes_nothing_or_is_out_of_range_is_refused(text):
    with pytest.raises(ValueError, match=REFUSED[text]):
        parse_method(text)


@pytest.mark.parametrize("text", CHANGED)
def test_a_run_keeps_the_option_and_its_method_comes_back(text, distilled):
    method = parse_method(text)
    record = distilled(method, student_epochs=4, student_depth=3)
    assert record.settings.method == method_settings(method)
    row = {"method": record.method, "method_settings": record.settings.method}
    assert method_of(row) == method
    assert record.hash != distilled("universal-kd", student_epochs=4, student_depth=3).hash


@pytest.mark.parametrize(
    ("text", "epochs", "words"),
    [
        ("universal-kd:teacher_stage=0.6", 2, "teacher_stage 0.6 of 2 epochs is 1, as it is"),
        ("kd-two-stage:teacher_stage=0.45", 6, "teacher_stage 0.45 of 6 epochs is 3"),
        ("universal-kd:intermediate_decay=yes", 2, "stage teacher of universal-kd has one"),
    ],
)
def test_an_option_without_effect_in_so_few_epochs_is_refused(text, epochs, words):
    with pytest.raises(ValueError, match=words):
        parse_method(text).epochs(epochs)
    assert parse_method(text).epochs(20)


def test_upper_layers_that_are_all_layers_are_refused(tiny):
    method = parse_method("universal-kd:student_layers=upper")
    with pytest.raises(ValueError, match="of a student of 2: take at least 3"):
        check_student_layers(method, replace(tiny, student_depth=2))
    check_student_layers(method, replace(tiny, student_depth=3))
    check_student_layers(method, replace(tiny, student="someone/pretrained"))


def test_layers_that_were_not_taught_stop_no_example(task):
    logits = torch.tensor([[[9.0, -9.0], [5.0, -5.0], [0.2, -0.2]]] * 2)
    labels = torch.tensor([0, 1])
    for lowest, layers in ((0, 1.0), (1, 2.0)):
        (point,) = early_exit_curve(logits, labels, task, (0.9,), lowest=lowest)
        assert point["layers"] == layers


def test_two_methods_of_one_row_are_refused_and_one_named_twice_is_run_once(monkeypatch):
    given = Comparison(methods="kd,kd:temperature=2,kd:temperature=4")
    assert [method.temperature for method in given.chosen_methods()] == [2.0, 4.0]
    monkeypatch.setattr("ukd.analysis.grouping.method_name", lambda name, _: name)
    with pytest.raises(ValueError, match="kd:temperature=4 and another method are both 'kd'"):
        given.chosen_methods()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("intermediate_decay", "no", "must be True or False, got 'no'"),
        ("detach_attention", "no", "must be True or False, got 'no'"),
        ("intermediate_weight", "0.1", "must be a number, got '0.1'"),
        ("teacher_stage", "0.3", "must be a number, got '0.3'"),
        ("temperature", True, "must be a number, got True"),
        ("kappa", "1", "attention_temperature must be a number, got '1'"),
    ],
)
def test_a_value_of_another_kind_is_refused(option, value, words):
    with pytest.raises(ValueError, match=words):
        get_method("universal-kd", **{option: value})


def test_records_without_the_option_are_equal_to_older_ones():
    for stage in method_settings(get_method("universal-kd"))["stages"]:
        assert "intermediate_decay" not in stage


def test_the_command_line_has_them():
    given = Losses(intermediate_weight=0.1, intermediate_decay=True, teacher_stage=0.25)
    options = {"intermediate_weight": 0.1, "intermediate_decay": True, "teacher_stage": 0.25}
    assert given.method("universal-kd") == ukd.get_method("universal-kd", **options)
