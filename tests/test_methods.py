"""The family of methods: each by hand, each trained, all on one budget from one initial student."""

import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from ukd.analysis import statistics as bootstrap
from ukd.analysis.grouping import label, of_scenario
from ukd.analysis.tables import spread, tables

import ukd
from ukd.cli.main import main
from ukd.config.paths import cache_folder
from ukd.data.batches import tokenized_splits
from ukd.data.metrics import mean_metric, scores
from ukd.data.tasks import SYNTHETIC
from ukd.losses import soft_target_loss
from ukd.methods.hidden_states import HiddenStateLoss
from ukd.methods.method import HiddenStateConfig, Stage
from ukd.methods.objective import Objective, annealing
from ukd.methods.registry import MAPS_OVER_ALL, METHODS, get_method, parse_method
from ukd.methods.scenarios import DEFAULT_METHODS, SCENARIOS
from ukd.models.encoders import load_classifier
from ukd.projection import static_layer_map
from ukd.training.distill import DistillationRun
from ukd.training.student_report import said
from ukd.training.teacher_cache import cache_teacher

STUDENT = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])  # (1, 2, 2)
TEACHER = torch.tensor([[[4.0, 3.0], [1.0, 0.0], [0.0, 5.0]]])  # (1, 3, 2)


def match(term, s_layers=2, t_layers=3):
    return HiddenStateLoss(term, s_layers, t_layers, 2, 2)


def test_pkd_by_hand():
    # skip: 3 and 4 layers in all, so students 1 and 2 see t = round(s 4 / 3) = 1 and 3
    found = match(HiddenStateConfig("skip"))(STUDENT, TEACHER)
    unit = [(0.6 - 0.8) ** 2 + (0.8 - 0.6) ** 2, 0.0]
    assert found.tolist() == pytest.approx(unit, abs=1e-6)
    last = match(HiddenStateConfig("last"))(STUDENT, TEACHER)  # layers 2 and 3
    assert last.tolist() == pytest.approx([(0.6 - 1) ** 2 + 0.8**2, 0.0], abs=1e-6)
    longer = match(HiddenStateConfig("skip"))(
        STUDENT, 7 * TEACHER
    )  # of unit length: how long they are changes nothing
    torch.testing.assert_close(found, longer)


def test_alp_kd_by_hand():
    found = match(HiddenStateConfig("attention", normalise=False))(STUDENT, TEACHER)
    weights = torch.softmax(torch.tensor([[24.0, 3.0, 20.0], [6.0, 0.0, 10.0]]), -1)
    seen = weights @ TEACHER[0]
    torch.testing.assert_close(found, (STUDENT[0] - seen).square().mean(-1))


def test_ckd_by_hand():
    term = HiddenStateConfig("groups", normalise=False)
    made = match(term, 2, 4)
    assert made.groups == [(0, 2), (2, 4)] and [
        tuple(layer.weight.shape) for layer in made.teacher
    ] == [(2, 4), (2, 4)]
    assert match(term, 2, 3).groups == [(0, 2), (2, 3)]  # all layers, each in one group
    teacher = torch.cat([TEACHER, TEACHER[:, :1]], 1)
    seen = torch.stack(
        [made.teacher[0](teacher[0, :2].flatten()), made.teacher[1](teacher[0, 2:].flatten())]
    )
    torch.testing.assert_close(made(STUDENT, teacher), (STUDENT[0] - seen).square().mean(-1))


def test_rail_kd_draws_sorted_layers_anew_each_epoch_and_projects_both_sides():
    term = METHODS["rail-kd"].hidden
    made = HiddenStateLoss(term, 3, 11, 2, 5)
    assert made.student.weight.shape == (128, 2) and made.teacher.weight.shape == (128, 5)
    drawn = [
        static_layer_map("random", 3, 11, seed=epoch).argmax(-1).tolist() for epoch in range(20)
    ]
    assert (
        all(layers == sorted(set(layers)) for layers in drawn) and len(set(map(tuple, drawn))) > 10
    )
    assert drawn[3] == static_layer_map("random", 3, 11, seed=3).argmax(-1).tolist()
    student, teacher = torch.randn(4, 3, 2), torch.randn(4, 11, 5)
    one, same, other = (made(student, teacher, epoch, 1) for epoch in (0, 0, 1))
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
    batch = ukd.data.Batch({}, torch.tensor([0, 1]), torch.arange(2))
    goal = Objective(METHODS[name], METHODS[name].stages[stage], lambda _: teacher, False, **where)
    return goal(Fixed(logits), batch)


def test_dih_and_pseudo_ta_teach_the_last_layer_from_all_heads():
    rng = torch.Generator().manual_seed(0)
    logits, teacher = torch.randn(2, 1, 3, generator=rng), torch.randn(2, 5, 3, generator=rng)
    dih = terms("dih", logits, teacher)["intermediate"]
    by_hand = torch.stack(
        [soft_target_loss(logits[:, 0], teacher[:, t], 2.0, False) for t in range(5)]
    ).mean()
    torch.testing.assert_close(dih, 0.5 * by_hand)
    seen = ukd.attention_projection(logits, teacher).logits[:, 0]
    torch.testing.assert_close(
        terms("pseudo-ta", logits, teacher)["intermediate"],
        soft_target_loss(logits[:, 0], seen, 2.0, False).mean(),
    )


def test_mhkd_pairs_heads_by_depth():
    rng = torch.Generator().manual_seed(1)
    logits, teacher = torch.randn(2, 3, 2, generator=rng), torch.randn(2, 6, 2, generator=rng)
    found = terms("mhkd", logits, teacher)["intermediate"]
    pairs = sum(
        soft_target_loss(logits[:, s], teacher[:, t], 2.0, False).mean()
        for s, t in ((0, 1), (1, 3))
    )  # layers 2 and 4 of 6
    torch.testing.assert_close(found, 0.5 * pairs)


@pytest.mark.parametrize(
    ("epochs", "shown"), [(1, [1.0]), (2, [0.5, 1.0]), (4, [0.25, 0.5, 0.75, 1.0])]
)
def test_annealing_ends_at_the_teachers_logits(epochs, shown):
    assert [annealing(epoch, epochs) for epoch in range(epochs)] == shown
    assert annealing(epochs + 3, epochs) == 1.0
    logits, teacher = torch.zeros(2, 1, 2), torch.full((2, 3, 2), 4.0)
    found = [
        float(terms("annealing-kd", logits, teacher, epoch=epoch, epochs=epochs)["annealed"])
        for epoch in range(epochs)
    ]
    assert found == pytest.approx([2 * (4 * part) ** 2 for part in shown])


@pytest.fixture(scope="module")
def made(task, tiny, teacher, runtime, tmp_path_factory):
    """One tiny run of every method."""
    options = {
        "profile": tiny,
        "seed": 1,
        "compute": runtime,
        "folder": tmp_path_factory.mktemp("methods"),
    }
    return {name: ukd.distill(task, ukd.get_method(name), teacher, **options) for name in METHODS}


def test_every_method_gets_the_same_steps_and_budget(made):
    for name in ("steps", "examples", "student_parameters"):
        assert len({str(record[name]) for record in made.values()}) == 1, name
    assert len({str({**record["settings"], "method": None}) for record in made.values()}) == 1


@pytest.mark.parametrize("name", METHODS)
def test_every_method_starts_from_one_student_of_the_seed(name, task, tiny, teacher, runtime):
    source = ukd.teacher.resolve_encoder(teacher.encoder)[0]
    start = DistillationRun(
        task, METHODS[name], teacher, tiny, 1, source, {}, runtime, Path("unused")
    ).make_student()
    plain = load_classifier(source, task, seed=1, layers=tiny.student_depth)
    assert all(
        torch.equal(a, b)
        for a, b in zip(start.network.parameters(), plain.parameters(), strict=True)
    )


def test_every_term_of_every_method_is_in_its_curve(made):
    for name, record in made.items():
        for stage in METHODS[name].stages:
            terms = {
                term
                for term in ("labels", "kd", "intermediate", "hidden", "annealed")
                if getattr(stage, term)
            }
            assert set(record["history"][stage.name]["curve"][-1]) == terms | {"step"}, name


def test_every_method_with_a_map_shows_it(made):
    for name, record in made.items():
        assert (record["attention"] is not None) == METHODS[name].has_intermediate_loss
        if METHODS[name].has_intermediate_loss:
            rows = torch.tensor(record["attention"]["mean"])
            assert rows.shape == ((1, 4) if METHODS[name].student_layers == "last" else (1, 3))
            torch.testing.assert_close(rows.sum(-1), torch.ones(1), atol=1e-5, rtol=0)


def test_projections_learn_and_are_saved(made):
    learned = load_file(Path(made["rail-kd"]["folder"]) / "student" / "match.safetensors")
    assert set(learned) == {
        f"{side}.{part}" for side in ("student", "teacher") for part in ("weight", "bias")
    }
    assert not (
        Path(made["pkd-skip"]["folder"]) / "student" / "match.safetensors"
    ).exists()  # nothing to learn there


def test_takd_learns_from_an_assistant_of_middle_depth(made, tiny):
    assert made["takd"]["assistant"]["layers"] == 3 and "assistant" not in made["kd"]  # 4 and 2
    assert made["takd"]["teacher"] == made["kd"]["teacher"]
    assert made["takd"]["history"]["kd"]["curve"] != made["kd"]["history"]["kd"]["curve"]
    record = next((cache_folder() / "assistants").glob("*/record.json"))
    assert (
        record.is_file()
        and ukd.read_records(cache_folder() / "assistants")[0]["settings"]["epochs"]
        == tiny.teacher_epochs
    )


def test_kept_states_are_the_live_ones_and_too_large_ones_are_asked_live(
    made, task, tiny, teacher, runtime, tmp_path, monkeypatch, capsys
):
    options = {"profile": tiny, "seed": 1, "compute": runtime}
    live = ukd.distill(
        task, ukd.get_method("alp-kd"), teacher, folder=tmp_path / "1", live_teacher=True, **options
    )
    monkeypatch.setattr(
        sys.modules["ukd.distill"], "MOST_STATES", 1000
    )  # the name alone is the function
    monkeypatch.setenv("UKD_QUIET", "0")
    large = ukd.distill(task, ukd.get_method("alp-kd"), teacher, folder=tmp_path / "2", **options)
    assert "it is asked in every step" in capsys.readouterr().err
    for record in (live, large):
        assert record["history"]["all"]["curve"][-1] == pytest.approx(
            made["alp-kd"]["history"]["all"]["curve"][-1], rel=1e-3
        )
    train = tokenized_splits(task, ukd.models.load_tokenizer(teacher.folder), tiny)[0]
    table = cache_teacher(teacher, task, "train", train, runtime=runtime, states="mean")
    assert table.shape[1:] == (3, 16)


def test_states_are_pooled_over_tokens_and_not_over_padding(task, teacher):
    network = load_classifier(teacher.folder, task, seed=0).eval()
    model = ukd.ClassifierWithHeads(network)
    inputs = {
        "input_ids": torch.arange(5, 25).reshape(2, 10),
        "attention_mask": torch.ones(2, 10, dtype=torch.long),
    }
    longer = {name: F.pad(value, (0, 6)) for name, value in inputs.items()}
    for how in ("first", "mean"):
        torch.testing.assert_close(
            model(**inputs, states=how)[1], model(**longer, states=how)[1], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("student", ["bilstm", "gated-cnn"])
def test_first_tokens_of_other_architectures_are_refused_with_what_applies(
    student, task, tiny, teacher, runtime, tmp_path
):
    budget, options = (
        replace(tiny, student=student),
        {"seed": 1, "compute": runtime, "folder": tmp_path},
    )
    with pytest.raises(
        ValueError, match=f"pkd-skip compares the first token's states.*{student}.*universal-kd"
    ):
        ukd.distill(task, ukd.get_method("pkd-skip"), teacher, config=budget, **options)
    assert ukd.distill(task, ukd.get_method("rail-kd"), teacher, config=budget, **options)["scores"]


REACHED = {
    option: [n for n, m in METHODS.items() if m.has_intermediate_loss]
    for option in ("mapping", "combine", "kappa", "attention_grad", "keys")
}
REACHED["tau"] = [
    n for n, m in METHODS.items() if any(stage.kd or stage.intermediate for stage in m.stages)
]
REACHED["keys"] = [
    n
    for n in REACHED["keys"]
    if METHODS[n].student_layers == "intermediate" and METHODS[n].layer_map in MAPS_OVER_ALL
]
CHANGED = {
    "mapping": ("random", "uniform"),
    "combine": ("logits", "losses"),
    "kappa": (3.0,),
    "attention_grad": (True,),
    "keys": ("all",),
    "tau": (3.0,),
}


@pytest.mark.parametrize("option", CHANGED)
def test_an_option_that_no_term_of_a_method_has_is_refused(option):
    for name in METHODS:
        changed = {
            option: next(
                value for value in CHANGED[option] if value != getattr(METHODS[name], option)
            )
        }
        if name in REACHED[option]:
            assert getattr(get_method(name, **changed), option) == changed[option]
        else:
            with pytest.raises(
                ValueError,
                match=f"{name} has no {option} to change|keys are for those below|can be seen|are seen by",
            ):
                get_method(name, **changed)
        assert (
            get_method(name, **{option: getattr(METHODS[name], option)}) == METHODS[name]
        )  # what is so already is no change
    with pytest.raises(ValueError, match="has its term in the hidden space"):
        get_method("pkd-skip", space="output")


def test_attention_in_the_hidden_space_is_held_fixed_where_the_method_says_so():
    student, found = STUDENT.clone().requires_grad_(), {}
    for flows in (True, False):
        term = get_method("universal-kd", space="hidden", attention_grad=flows).hidden
        assert term.attention_grad is flows
        found[flows] = torch.autograd.grad(
            match(replace(term, normalise=False))(student, TEACHER).sum(), student
        )[0]
    weights = torch.softmax(torch.tensor([[24.0, 3.0, 20.0], [6.0, 0.0, 10.0]]), -1)
    torch.testing.assert_close(
        found[False][0], STUDENT[0] - weights @ TEACHER[0]
    )  # of the mean over two values of squares
    assert not torch.allclose(found[True], found[False], atol=1e-3)
    said = [
        {
            "settings": {
                "method": asdict(
                    get_method(
                        "universal-kd", space="hidden", attention_temperature=attention_temperature
                    )
                )
            }
        }
        for attention_temperature in (1.0, 9.0)
    ]
    names = ["universal-kd (space=hidden)", "universal-kd (kappa=9.0, space=hidden)"]
    assert [label({"method": "universal-kd", **one}) for one in said] == names


def test_a_random_map_is_recorded_as_it_was_drawn(task, tiny, teacher, runtime, tmp_path):
    budget = replace(tiny, student_depth=2, student_epochs=6)
    record = ukd.distill(
        task, get_method("random"), teacher, config=budget, seed=3, runtime=runtime, folder=tmp_path
    )
    drawn = [
        static_layer_map("random", 1, tiny.teacher_depth - 1, seed=30_000 + epoch)
        for epoch in range(3)
    ]
    assert [epoch["attention"] for epoch in record["history"]["teacher"]["epochs"]] == [
        each.tolist() for each in drawn
    ]
    torch.testing.assert_close(
        torch.tensor(record["attention"]["mean"]), torch.stack(drawn).mean(0), atol=1e-5, rtol=0
    )


def test_a_moved_term_is_named_in_tables(task, tiny, teacher, runtime, tmp_path):
    moved = get_method("universal-kd", space="hidden", layer_map="last")
    record = ukd.distill(
        task, moved, teacher, config=tiny, seed=1, runtime=runtime, folder=tmp_path
    )
    assert (
        label(record) == "universal-kd (mapping=last, space=hidden)" and record["attention"] is None
    )


def test_any_other_point_of_the_family_by_its_switches(capsys):
    moved = get_method("universal-kd", space="hidden", layer_map="last")
    assert moved.hidden == HiddenStateConfig("last", attention_grad=False)
    assert moved.stages[0] == Stage("teacher", 0.5, kd=0.5, hidden=0.5) and not moved.needs_heads
    assert (
        get_method("universal-kd", students="last").has_intermediate_loss
        and not get_method("universal-kd", students="last").needs_heads
    )
    for name, options in (
        ("no-kd", {"space": "hidden"}),
        ("universal-kd", {"space": "hidden", "combine": "losses"}),
    ):
        with pytest.raises(ValueError, match="take universal-kd|features are mixed first"):
            get_method(name, **options)
    with pytest.raises(ValueError, match="unknown space 'inner'; choose one of: output, hidden"):
        get_method("universal-kd", space="inner")
    assert main(["methods"]) == 0
    said = capsys.readouterr().out
    assert all(f"| {name} " in said for name in METHODS)


def test_stages_can_be_one_or_two():
    one, two = get_method("universal-kd", stages="one"), get_method("pkd-skip", stages="two")
    assert one.stages == (Stage("all", 1.0, labels=0.5, kd=0.5, intermediate=0.5),)
    assert two.stages == (
        Stage("teacher", 0.5, kd=0.5, hidden=0.5),
        Stage("labels", 0.5, labels=1.0),
    )
    assert get_method("kd", stages="two").stages == METHODS["kd-two-stage"].stages
    assert (
        get_method("universal-kd", stages="two") == METHODS["universal-kd"]
        and get_method("mhkd", stages="one") == METHODS["mhkd"]
    )
    said = [
        label({"method": m.name, "settings": {"method": asdict(m)}})
        for m in (one, two, METHODS["mhkd"])
    ]
    assert said == ["universal-kd (stages=one)", "pkd-skip (stages=two)", "mhkd"]
    assert parse_method("universal-kd:stages=one") == one
    with pytest.raises(ValueError, match="no-kd learns from labels alone"):
        get_method("no-kd", stages="two")
    with pytest.raises(ValueError, match="unknown stages 'three'; choose one of: one, two"):
        get_method("kd", stages="three")


def test_all_keys_show_the_teachers_last_layer_too():
    rng = torch.Generator().manual_seed(2)
    logits, teacher = torch.randn(2, 3, 2, generator=rng), torch.randn(2, 5, 2, generator=rng)
    for keys, seen in (("intermediate", teacher[:, :-1]), ("all", teacher)):
        chosen = get_method("universal-kd", keys=keys)
        batch = ukd.data.Batch({}, torch.tensor([0, 1]), torch.arange(2))
        found = Objective(chosen, chosen.stages[0], lambda _: teacher, False)(Fixed(logits), batch)[
            "intermediate"
        ]
        aim = ukd.attention_projection(logits[:, :-1], seen).logits
        torch.testing.assert_close(
            found, 0.5 * soft_target_loss(logits[:, :-1], aim, 2.0, False).mean(0).sum()
        )
    for options, words in (
        ({"mapping": "skip"}, "counts the layers below"),
        ({"space": "hidden"}, "keys below"),
    ):
        with pytest.raises(ValueError, match=words):
            get_method("universal-kd", keys="all", **options)


def test_scenarios_name_methods_that_are_there():
    assert {
        parse_method(name).name
        for names in (DEFAULT_METHODS, *SCENARIOS.values())
        for name in names
    } <= set(METHODS)
    assert "takd" in SCENARIOS["capacity-gap"] and "reverse" in SCENARIOS["ablation"]


def test_a_scenario_shows_its_methods_alone_and_tells_options_apart():
    made = lambda text: {
        "method": (m := parse_method(text)).name,
        "settings": {"method": asdict(m)},
    }
    records = {
        text: made(text)
        for text in (*SCENARIOS["ablation"], "takd", "universal-kd:kappa=3", "pkd-last")
    }
    assert of_scenario("ablation", records.values()) == [
        records[text] for text in SCENARIOS["ablation"]
    ]
    assert of_scenario("ild", records.values()) == [
        records[n] for n in records if n in SCENARIOS["ild"]
    ]


def test_options_can_be_spelled_in_a_list():
    found = parse_method(
        "universal-kd:kappa=0.1:attention_grad=no:map=uniform".replace("map=", "mapping=")
    )
    assert (found.attention_temperature, found.attention_grad, found.layer_map) == (
        0.1,
        False,
        "uniform",
    )
    for text in ("universal-kd:kappa", "universal-kd:kappa=x", "universal-kd:attention_grad=maybe"):
        with pytest.raises(ValueError, match="no option with its value"):
            parse_method(text)
    with pytest.raises(ValueError, match="unknown option 'colour'"):
        parse_method("universal-kd:colour=red")


def test_a_scenario_brings_its_students_unless_one_is_asked_for(capsys):
    words = [
        "plan",
        "--profile",
        "smoke",
        "--tasks",
        "sentiment",
        "--methods",
        "no-kd",
        "--seeds",
        "1",
    ]
    assert main([*words, "--scenario", "cross-architecture"]) == 0
    said = capsys.readouterr().out
    assert "bilstm" in said and "gated-cnn" in said
    assert main([*words, "--scenario", "cross-architecture", "--student", "bilstm"]) == 0
    assert "gated-cnn" not in capsys.readouterr().out


def records_of(name, seeds, predicted):
    return [
        {"method": name, "seed": seed, "predicted": text}
        for seed, text in zip(seeds, predicted, strict=True)
    ]


def test_bootstrap_metrics_are_the_librarys():
    rng = np.random.default_rng(0)
    for task, classes in (
        ("sentiment", 2),
        ("entailment", 3),
        ("acceptability", 2),
        ("paraphrase", 2),
    ):
        labels, said = rng.integers(0, classes, 300), rng.integers(0, classes, 300)
        ours = bootstrap._headline(task)(labels[None].astype(float), said[None].astype(float))[0]
        assert ours == pytest.approx(
            mean_metric(scores(np.eye(classes)[said], labels, SYNTHETIC[task].metrics))
        )
    labels, said = rng.normal(size=300), rng.normal(size=300).round(1)
    ours = bootstrap._headline("similarity")(labels[None], said[None])[0]
    assert ours == pytest.approx(
        mean_metric(scores(said[:, None], labels, SYNTHETIC["similarity"].metrics))
    )


def test_intervals_know_how_few_the_seeds_are():
    labels = ukd.load_task("sentiment").dataset["validation"]["label"]
    right = lambda wrong: "".join(str(y ^ (row < wrong)) for row, y in enumerate(labels))
    base = records_of("kd", (1, 2, 3), [right(400)] * 3)
    ours = records_of(
        "b", (1, 2, 3), [right(300), right(320), right(340)]
    )  # ahead by 5, 4 and 3 points
    low, high = bootstrap.interval(ours, base, "sentiment")
    over_seeds = spread([5.0, 4.0, 3.0]).interval()
    assert (low + high) / 2 == pytest.approx(4.0) and low < over_seeds[0] and high > over_seeds[1]
    away = (np.arange(2000) >= 320) & (np.arange(2000) < 400)  # on average over the seeds, nearly
    assert high - low == pytest.approx(
        2 * math.hypot(over_seeds[1] - 4, 1.96 * 100 * away.std() / 2000**0.5), rel=0.05
    )
    low, high = bootstrap.interval(ours[:1], base, "sentiment")  # one seed: of the examples alone
    alone = (np.arange(2000) >= 300) & (np.arange(2000) < 400)
    assert high - low == pytest.approx(2 * 1.96 * 100 * alone.std() / 2000**0.5, rel=0.1)


def test_intervals_hold_the_difference_are_paired_and_shrink_with_examples():
    labels = ukd.load_task("sentiment").dataset["validation"]["label"]
    rng, right = np.random.default_rng(1), np.array(labels)
    flip = lambda share, rows: "".join(
        str(int(y) ^ int(rng.random() < share)) for y in right[:rows]
    )
    widths = []
    for rows in (200, 2000):
        base, ours = [flip(0.3, rows) for _ in range(3)], [flip(0.2, rows) for _ in range(3)]
        low, high = bootstrap.interval(
            records_of("b", (1, 2, 3), ours), records_of("kd", (1, 2, 3), base), "sentiment"
        )
        assert low < 10 < high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]
    same = records_of("kd", (1, 2, 3), base)
    assert bootstrap.interval(same, same, "sentiment") == (
        0.0,
        0.0,
    )  # paired: what both share drops out
    assert bootstrap.interval(same, records_of("kd", (4, 5, 6), base), "sentiment") is None
    assert bootstrap.interval(same, same, "rte") is None


def test_tables_show_the_intervals(made):
    records = [{**made[name], "seed": seed} for name in ("kd", "universal-kd") for seed in (1, 2)]
    text = tables(records)
    assert (
        "minus kd, 95% over seeds and examples" in text
        and " to " in text[text.index("95% over") :].splitlines()[2]
    )
    assert (
        " to " not in tables(records[::2]).partition("95% over")[2]
    )  # one seed tells nothing of others
    other = {**records[-1], "teacher": {**records[-1]["teacher"], "key": "of another"}}
    words = "Runs of several teachers stand together on sentiment"
    assert words in tables([*records[:-1], other]) and words not in text


def test_a_collapse_onto_one_class_is_in_the_record_and_below_the_table(made, task):
    fallen = {**made["kd"], "collapsed": True}
    assert "Runs that gave every example one class: kd on sentiment (seed 1)." in tables(
        [fallen, {**made["no-kd"], "collapsed": False}]
    )
    logits = torch.tensor([[0.1, 0.9], [0.4, 0.6]])
    labels = torch.tensor([1, 1])
    assert said(logits, labels, task) == {
        "collapsed": True,
        "predicted": "11",
        "calibration_error": 38.01,
    }
    assert not said(logits * torch.tensor([[1, -1], [1, 1]]), labels, task)["collapsed"]
    assert "predicted" not in said(logits, labels, replace(task, name="rte"))
