"""The family of methods: each by hand, each trained, all on one budget from one initial student."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import ukd
from ukd.config.paths import cache_folder
from ukd.config.scenarios import DEFAULT_METHODS, SCENARIOS
from ukd.data.batches import Batch, tokenized_splits
from ukd.losses import soft_target_loss
from ukd.methods.coinciding import coinciding, map_rows
from ukd.methods.hidden_states import HiddenStateLoss
from ukd.methods.method import TERMS, HiddenStateConfig, Stage
from ukd.methods.objective import Objective, annealing
from ukd.methods.registry import MAPS_OVER_ALL, METHODS, attends, get_method, parse_method
from ukd.models.bundled import resolve_encoder
from ukd.models.encoders import load_classifier, load_tokenizer
from ukd.projection import STATIC_LAYER_MAPS, layer_map_weights, static_layer_map
from ukd.training import distillation_run
from ukd.training.initial_student import initial_student
from ukd.training.run_record import RunRecord
from ukd.training.teacher_cache import cache_teacher

pytestmark = pytest.mark.xdist_group("methods")
STUDENT = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])  # (1, 2, 2)
TEACHER = torch.tensor([[[4.0, 3.0], [1.0, 0.0], [0.0, 5.0]]])  # (1, 3, 2)


def match(config, s_layers=2, t_layers=3):
    return HiddenStateLoss(config, s_layers, t_layers, 2, 2)


def test_pkd_by_hand():
    # skip: 3 and 4 layers in all, so students 1 and 2 see t = round(s 4 / 3) = 1 and 3
    per_layer = match(HiddenStateConfig("skip"))(STUDENT, TEACHER)
    by_hand = [(0.6 - 0.8) ** 2 + (0.8 - 0.6) ** 2, 0.0]
    assert per_layer.tolist() == pytest.approx(by_hand, abs=1e-6)
    last = match(HiddenStateConfig("last"))(STUDENT, TEACHER)  # layers 2 and 3
    assert last.tolist() == pytest.approx([(0.6 - 1) ** 2 + 0.8**2, 0.0], abs=1e-6)
    # Of unit length: how long the states are changes nothing.
    longer = match(HiddenStateConfig("skip"))(STUDENT, 7 * TEACHER)
    torch.testing.assert_close(per_layer, longer)


def test_alp_kd_by_hand():
    per_layer = match(HiddenStateConfig("attention", normalise=False))(STUDENT, TEACHER)
    weights = torch.softmax(torch.tensor([[24.0, 3.0, 20.0], [6.0, 0.0, 10.0]]), -1)
    seen = weights @ TEACHER[0]
    torch.testing.assert_close(per_layer, (STUDENT[0] - seen).square().mean(-1))


def test_ckd_by_hand():
    config = HiddenStateConfig("groups", normalise=False)
    loss = match(config, 2, 4)
    assert loss.groups == [(0, 2), (2, 4)]
    assert [tuple(layer.weight.shape) for layer in loss.teacher] == [(2, 4), (2, 4)]
    assert match(config, 2, 3).groups == [(0, 2), (2, 3)]  # all layers, each in one group
    teacher = torch.cat([TEACHER, TEACHER[:, :1]], 1)
    first = loss.teacher[0](teacher[0, :2].flatten())
    second = loss.teacher[1](teacher[0, 2:].flatten())
    by_hand = (STUDENT[0] - torch.stack([first, second])).square().mean(-1)
    torch.testing.assert_close(loss(STUDENT, teacher), by_hand)


def test_rail_kd_draws_sorted_layers_anew_each_epoch_and_projects_both_sides():
    loss = HiddenStateLoss(METHODS["rail-kd"].hidden, 3, 11, 2, 5)
    assert loss.student.weight.shape == (128, 2) and loss.teacher.weight.shape == (128, 5)
    student = torch.randn(4, 3, 2)
    teacher = torch.randn(4, 11, 5)
    drawn = []
    for epoch in range(20):
        layer_map = static_layer_map("random", student, teacher, seed=epoch)
        drawn.append(tuple(layer_map.argmax(-1).tolist()))
    assert all(list(layers) == sorted(set(layers)) for layers in drawn)
    assert len(set(drawn)) > 10
    again = static_layer_map("random", student, teacher, seed=3)
    assert drawn[3] == tuple(again.argmax(-1).tolist())
    one, same, other = (loss(student, teacher, epoch, 1) for epoch in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_other_widths_are_projected_and_equal_ones_are_not():
    assert not list(match(HiddenStateConfig("skip")).parameters())
    assert HiddenStateLoss(HiddenStateConfig("skip"), 2, 3, 2, 5).student.weight.shape == (5, 2)
    with pytest.raises(ValueError, match="needs 1 to 3 student layers below the last, got 4"):
        match(HiddenStateConfig("skip"), 4, 3)


class Fixed(nn.Module):
    """Answers with what it was given."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, **_):
        return self.logits


def terms(name, logits, teacher, stage=0, **where):
    batch = Batch({}, torch.tensor([0, 1]), torch.arange(2))
    method = METHODS[name]
    objective = Objective(method, method.stages[stage], lambda _: teacher, False, **where)
    return objective(Fixed(logits), batch)


def test_dih_and_pseudo_ta_teach_the_last_layer_from_all_heads():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 3, generator=rng)
    teacher = torch.randn(2, 5, 3, generator=rng)
    pairs = [soft_target_loss(logits[:, 0], teacher[:, t], 2.0, False) for t in range(5)]
    dih = terms("dih", logits, teacher)["intermediate"]
    torch.testing.assert_close(dih, 0.5 * torch.stack(pairs).mean())
    seen = ukd.attention_projection(logits, teacher).logits[:, 0]
    by_hand = soft_target_loss(logits[:, 0], seen, 2.0, False).mean()
    pseudo_ta = terms("pseudo-ta", logits, teacher)["intermediate"]
    torch.testing.assert_close(pseudo_ta, by_hand)


def test_mhkd_pairs_heads_by_depth():
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 2, generator=rng)
    teacher = torch.randn(2, 6, 2, generator=rng)
    by_hand = 0.0
    for s, t in ((0, 1), (1, 3)):  # layers 2 and 4 of 6
        by_hand += soft_target_loss(logits[:, s], teacher[:, t], 2.0, False).mean()
    torch.testing.assert_close(terms("mhkd", logits, teacher)["intermediate"], 0.5 * by_hand)


@pytest.mark.parametrize(
    ("epochs", "shown"), [(1, [1.0]), (2, [0.5, 1.0]), (4, [0.25, 0.5, 0.75, 1.0])]
)
def test_annealing_ends_at_the_teachers_logits(epochs, shown):
    assert [annealing(epoch, epochs) for epoch in range(epochs)] == shown
    assert annealing(epochs + 3, epochs) == 1.0
    logits = torch.zeros(2, 1, 2)
    teacher = torch.full((2, 3, 2), 4.0)
    losses = []
    for epoch in range(epochs):
        where = {"epoch": epoch, "epochs": epochs}
        losses.append(float(terms("annealing-kd", logits, teacher, **where)["annealed"]))
    assert losses == pytest.approx([2 * (4 * part) ** 2 for part in shown])


# --- every method, trained ---


@pytest.fixture(scope="module")
def made(distilled):
    """One tiny run of every method."""
    return {name: distilled(name) for name in METHODS}


@pytest.mark.slow
def test_every_method_gets_the_same_steps_and_budget(made):
    for name in ("steps", "examples", "student_parameters"):
        assert len({str(getattr(record, name)) for record in made.values()}) == 1, name
    assert len({str(replace(record.settings, method={})) for record in made.values()}) == 1


@pytest.mark.parametrize("name", METHODS)
def test_every_method_starts_from_one_student_of_the_seed(name, task, tiny, teacher):
    start = initial_student(task, METHODS[name], teacher, tiny, seed=1)
    source = resolve_encoder(teacher.encoder)[0]
    plain = load_classifier(source, task, seed=1, layers=tiny.student_depth)
    for ours, expected in zip(start.network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.slow
def test_every_term_of_every_method_is_in_its_curve(made):
    for name, record in made.items():
        for stage in METHODS[name].stages:
            weighted = {term for term in TERMS if getattr(stage, term)}
            assert set(record.history[stage.name]["curve"][-1]) == weighted | {"step"}, name


@pytest.mark.slow
def test_every_method_with_a_map_shows_it(made):
    for name, record in made.items():
        assert (record.attention is not None) == METHODS[name].has_intermediate_loss
        if METHODS[name].has_intermediate_loss:
            rows = torch.tensor(record.attention["mean"])
            sees_all = METHODS[name].student_layers == "last"
            sees_all = sees_all or METHODS[name].teacher_layers == "all"
            assert rows.shape == ((1, 4) if sees_all else (1, 3))
            torch.testing.assert_close(rows.sum(-1), torch.ones(1), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_projections_learn_and_are_saved(made):
    learned = load_file(Path(made["rail-kd"].folder) / "student" / "hidden_loss.safetensors")
    sides = ("student", "teacher")
    assert set(learned) == {f"{side}.{part}" for side in sides for part in ("weight", "bias")}
    # Nothing to learn there.
    assert not (Path(made["pkd-skip"].folder) / "student" / "hidden_loss.safetensors").exists()


@pytest.mark.slow
def test_takd_learns_from_an_assistant_of_middle_depth(made, tiny):
    assert made["takd"].assistant["layers"] == 3 and made["kd"].assistant is None  # 4 and 2
    assert made["takd"].teacher == made["kd"].teacher
    assert made["takd"].history["kd"]["curve"] != made["kd"].history["kd"]["curve"]
    records = list((cache_folder() / "assistants").glob("*/record.json"))
    assert records
    assert all(RunRecord.read(path).settings.epochs == tiny.teacher_epochs for path in records)


@pytest.mark.slow
def test_cached_states_equal_online_ones_and_too_large_ones_are_not_cached(
    distilled, task, tiny, teacher, runtime, tmp_path, monkeypatch, capsys
):
    method = get_method("alp-kd")
    options = {"config": tiny, "seed": 1, "runtime": runtime}
    cached = distilled(method).history["all"]["curve"][-1]
    online = ukd.distill(
        task, method, teacher, folder=tmp_path / "1", online_teacher=True, **options
    )
    monkeypatch.setattr(distillation_run, "MOST_STATES", 1000)
    monkeypatch.setenv("UKD_QUIET", "0")
    large = ukd.distill(task, method, teacher, folder=tmp_path / "2", **options)
    assert "it runs in every step" in capsys.readouterr().err
    for record in (online, large):
        assert record.history["all"]["curve"][-1] == pytest.approx(cached, rel=1e-3)
    train = tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[0]
    table = cache_teacher(teacher, task, "train", train, runtime=runtime, states="mean")
    width = teacher.load(task).module.network.config.hidden_size
    assert table.shape[1:] == (3, width)


def test_states_are_pooled_over_tokens_and_not_over_padding(task, teacher):
    model = ukd.ClassifierWithHeads(load_classifier(teacher.folder, task, seed=0).eval())
    inputs = {
        "input_ids": torch.arange(5, 25).reshape(2, 10),
        "attention_mask": torch.ones(2, 10, dtype=torch.long),
    }
    longer = {name: F.pad(value, (0, 6)) for name, value in inputs.items()}
    for pooling in ("first", "mean"):
        states = model(**inputs, states=pooling)[1]
        padded = model(**longer, states=pooling)[1]
        torch.testing.assert_close(states, padded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("student", ["bilstm", "gated-cnn"])
def test_first_tokens_of_other_architectures_are_refused_with_what_applies(
    student, task, tiny, teacher, distilled
):
    config = replace(tiny, student=student)
    words = f"pkd-skip compares the first token's states.*{student}.*universal-kd"
    with pytest.raises(ValueError, match=words):
        initial_student(task, METHODS["pkd-skip"], teacher, config, seed=1)
    assert initial_student(task, METHODS["rail-kd"], teacher, config, seed=1).hidden_loss


@pytest.mark.slow
def test_a_random_map_is_recorded_as_it_was_drawn(distilled, tiny):
    record = distilled("random", seed=3, student_epochs=6)
    student = torch.zeros(1, 1, 2)
    teacher = torch.zeros(1, tiny.teacher_depth - 1, 2)
    drawn = [static_layer_map("random", student, teacher, seed=30_000 + k) for k in range(3)]
    epochs = record.history["teacher"]["epochs"]
    assert [epoch["attention"] for epoch in epochs] == [each.tolist() for each in drawn]
    mean = torch.tensor(record.attention["mean"])
    torch.testing.assert_close(mean, torch.stack(drawn).mean(0), atol=1e-5, rtol=0)


# --- options ---


OUTPUT_SPACE = [name for name, method in METHODS.items() if method.has_intermediate_loss]
ATTENDS = [name for name in OUTPUT_SPACE if attends(METHODS[name].layer_map)]
SUMS = [name for name in OUTPUT_SPACE if name in (*ATTENDS, "uniform", "dih")]
SOFT = [n for n, m in METHODS.items() if any(one.kd or one.intermediate for one in m.stages)]
SEES_ALL = [
    name
    for name in OUTPUT_SPACE
    if METHODS[name].student_layers == "intermediate" and METHODS[name].layer_map in MAPS_OVER_ALL
]
CHANGES = {  # option: values, and the methods that have it
    "layer_map": (("random", "uniform"), OUTPUT_SPACE),
    "attention_on": (("logits", "losses"), SUMS),
    "attention_temperature": ((3.0,), ATTENDS),
    "detach_attention": ((False,), [name for name in ATTENDS if name != "teacher-query"]),
    "teacher_layers": (("all", "intermediate"), SEES_ALL),
    "temperature": ((3.0,), SOFT),
}


@pytest.mark.parametrize("option", CHANGES)
def test_an_option_that_no_term_of_a_method_has_is_refused(option):
    values, methods = CHANGES[option]
    for name, method in METHODS.items():
        before = getattr(method, option)
        value = next(value for value in values if value != before)
        # What is so already is no change.
        assert get_method(name, **{option: before}) == method
        if (option, name) == ("layer_map", "final"):
            value = "random"
        if name in methods:
            assert getattr(get_method(name, **{option: value}), option) == value
        elif (option, value) != ("teacher_layers", "intermediate"):
            words = f"{name} has no {option} to change|sees all of the teacher|all are seen by"
            with pytest.raises(ValueError, match=words):
                get_method(name, **{option: value})
    with pytest.raises(ValueError, match="has its term in the hidden space"):
        get_method("pkd-skip", space="output")


def test_attention_in_the_hidden_space_is_held_fixed_where_the_method_says_so():
    student = STUDENT.clone().requires_grad_()
    gradients = {}
    for detached in (True, False):
        hidden = get_method("universal-kd", space="hidden", detach_attention=detached).hidden
        assert hidden.detach_attention is detached
        loss = match(replace(hidden, normalise=False))(student, TEACHER).sum()
        gradients[detached] = torch.autograd.grad(loss, student)[0]
    weights = torch.softmax(torch.tensor([[24.0, 3.0, 20.0], [6.0, 0.0, 10.0]]), -1)
    # Of the mean over two values of squares.
    torch.testing.assert_close(gradients[True][0], STUDENT[0] - weights @ TEACHER[0])
    assert not torch.allclose(gradients[True], gradients[False], atol=1e-3)


def test_any_other_point_of_the_family_by_its_options():
    moved = get_method("universal-kd", space="hidden", layer_map="last")
    assert moved.hidden == HiddenStateConfig("last", detach_attention=True)
    assert moved.stages[0] == Stage("teacher", 0.5, kd=0.5, hidden=0.5) and not moved.needs_heads
    last = get_method("universal-kd", student_layers="last")
    assert last.has_intermediate_loss and not last.needs_heads
    refused = (
        ("no-kd", {"space": "hidden"}),
        ("universal-kd", {"space": "hidden", "attention_on": "losses"}),
    )
    for name, options in refused:
        with pytest.raises(ValueError, match="take universal-kd|states are summed first"):
            get_method(name, **options)
    with pytest.raises(ValueError, match="unknown space 'inner'; choose one of: output, hidden"):
        get_method("universal-kd", space="inner")


def test_stages_can_be_one_or_two():
    one = get_method("universal-kd", stages="one")
    two = get_method("pkd-skip", stages="two")
    assert one.stages == (Stage("all", 1.0, labels=0.5, kd=0.5, intermediate=0.5),)
    labels = Stage("labels", 0.5, labels=1.0)
    assert two.stages == (Stage("teacher", 0.5, kd=0.5, hidden=0.5), labels)
    assert get_method("kd", stages="two").stages == METHODS["kd-two-stage"].stages
    assert get_method("universal-kd", stages="two") == METHODS["universal-kd"]
    assert get_method("mhkd", stages="one") == METHODS["mhkd"]
    assert parse_method("universal-kd:stages=one") == one
    with pytest.raises(ValueError, match="no-kd learns from labels alone"):
        get_method("no-kd", stages="two")
    with pytest.raises(ValueError, match="unknown stages 'three'; choose one of: one, two"):
        get_method("kd", stages="three")


def test_all_teacher_layers_show_the_last_one_too():
    rng = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, 2, generator=rng)
    teacher = torch.randn(2, 5, 2, generator=rng)
    batch = Batch({}, torch.tensor([0, 1]), torch.arange(2))
    for teacher_layers, seen in (("intermediate", teacher[:, :-1]), ("all", teacher)):
        method = get_method("universal-kd", teacher_layers=teacher_layers)
        objective = Objective(method, method.stages[0], lambda _: teacher, False)
        loss = objective(Fixed(logits), batch)["intermediate"]
        target = ukd.attention_projection(logits[:, :-1], seen).logits
        pairs = soft_target_loss(logits[:, :-1], target, 2.0, False)
        torch.testing.assert_close(loss, 0.5 * pairs.mean(0).sum())
    refused = (
        ({"layer_map": "skip"}, "counts the intermediate layers"),
        ({"space": "hidden"}, "intermediate layers of both sides"),
    )
    for options, words in refused:
        with pytest.raises(ValueError, match=words):
            get_method("universal-kd", teacher_layers="all", **options)


def test_scenarios_name_methods_that_are_there():
    for names in (DEFAULT_METHODS, *SCENARIOS.values()):
        assert {parse_method(name).name for name in names} <= set(METHODS)
    assert "takd" in SCENARIOS["capacity-gap"] and "reverse" in SCENARIOS["ablation"]


def test_options_can_be_spelled_in_a_list():
    method = parse_method("universal-kd:kappa=0.1:detach_attention=no:student_layers=last")
    assert method.attention_temperature == 0.1
    assert method.detach_attention is False and method.student_layers == "last"
    assert parse_method("universal-kd:mapping=uniform").layer_map == "uniform"
    for text, words in (
        ("universal-kd:layer_map", "has no value"),
        ("universal-kd:kappa=x", "must be a number"),
        ("universal-kd:detach_attention=maybe", "must be yes or no"),
        ("universal-kd:colour=red", "unknown option 'colour'"),
    ):
        with pytest.raises(ValueError, match=words):
            parse_method(text)


@pytest.mark.parametrize("total", [2, 3, 5, 8])
def test_the_stages_share_every_budget_and_none_goes_without(total):
    for name in METHODS:
        assert sum(get_method(name).epochs(total)) == total
    with pytest.raises(ValueError, match="1 epochs leave one without any"):
        get_method("universal-kd").epochs(1)


def test_unknown_options_of_a_method_are_refused():
    words = "unknown option 'temprature' of kd; choose among: temperature"
    with pytest.raises(ValueError, match=words):
        get_method("kd", temprature=2.0)


def test_methods_whose_layer_maps_coincide_for_a_student_are_named():
    chosen = ("universal-kd", "uniform", "skip", "reverse", "all-to-one", "deepest", "final")
    methods = [METHODS[name] for name in chosen if name != "skip"]
    methods += [METHODS[name] for name in ("pkd-skip", "hidden-reverse", "mhkd", "kd")]
    assert coinciding(methods, 4, 12) == []
    # One intermediate layer: the middle of eleven is the sixth whichever way one reads.
    assert coinciding(methods, 2, 12) == [("reverse", "all-to-one"), ("pkd-skip", "hidden-reverse")]
    two = [("universal-kd", "uniform", "reverse", "all-to-one", "deepest")]
    assert coinciding(methods, 2, 2) == [*two, ("pkd-skip", "hidden-reverse")]
    spelled = [parse_method(f"universal-kd:layer_map={name}") for name in ("skip", "last")]
    assert coinciding([*spelled, METHODS["reverse"]], 2, 12) == [("universal-kd", "reverse")]
    assert coinciding(spelled, 3, 4) == []  # skip: 1 and 3 of three layers
    assert coinciding(spelled, 3, 3) == [("universal-kd", "universal-kd")]


def test_pairs_that_are_said_to_coincide_have_equal_weights():
    for layers in ((1, 11), (3, 11), (2, 2), (3, 3)):
        logits = [torch.randn(2, number, 2) for number in layers]
        for name in STATIC_LAYER_MAPS:
            weights = layer_map_weights(*logits, name)
            assert map_rows(name, *layers) == tuple(map(tuple, weights[0].tolist()))


def test_an_assistant_learns_at_the_temperature_of_its_method(task, tiny, runtime, tmp_path):
    run = SimpleNamespace(
        task=task,
        method=get_method("takd", temperature=8.0),
        teacher=SimpleNamespace(
            encoder="bundled",
            about={"layers": 4, "settings": {"epochs": 2}, "learning_rate": 1e-3},
        ),
        config=tiny,
        seed=1,
        runtime=runtime,
    )
    asked = []

    def distilled(task, method, *args, **options):
        asked.append((method.name, method.temperature))
        (tmp_path / "student").mkdir()
        (tmp_path / "student" / "model.safetensors").write_bytes(b"")
        return SimpleNamespace(scores={}, student_parameters=1, hash="key", folder=str(tmp_path))

    module = import_module("ukd.training.distill")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "distill", distilled)
        module._assistant(run)
    assert asked == [("kd", 8.0)]
