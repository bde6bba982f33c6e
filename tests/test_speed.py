"""Cost in advance and cost as measured: by hand, by the library's own counter, and against what a run really takes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from test_families import FAMILIES
from torch.utils.flop_counter import FlopCounterMode

import ukd
from ukd.cli.main import main
from ukd.config.paths import cache_folder
from ukd.config.presets import HUB_PRESETS
from ukd.data.tasks import GLUE
from ukd.methods.registry import METHODS
from ukd.methods.scenarios import DEFAULT_METHODS
from ukd.models.encoders import load_classifier, parameters
from ukd.training.cost import HUB, TASK_SIZES, Network, cost, network_of, plan, sizes_of
from ukd.training.grid import LearningRateSearch

ROOT = Path(__file__).parents[1]
SPEEDS = {"teacher": (1e9, 1e9), "student": (1e9, 1e9)}


def test_operations_are_those_that_the_library_counts(task, teacher):
    network = load_classifier(teacher.folder, task, seed=0)
    network.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.full((1, 12), 7))
    embedded = counter.get_total_flops() - 2 * network.config.hidden_size * (
        network.config.hidden_size + 2
    )  # pooler and classifier
    assert Network(network.config).forward(12) == pytest.approx(embedded, rel=0.01)


@pytest.mark.parametrize("kind", ["bilstm", "gated-cnn"])
def test_operations_of_other_architectures(kind, tiny):
    per_token = {  # 2 layers, both directions: 4 gates of 64 from 128 inputs and 64 states; 4 layers: kernel 5, 128 to 256
        "bilstm": 2 * 2 * 2 * 4 * 64 * (128 + 64),
        "gated-cnn": 4 * 2 * 5 * 128 * 256,
    }
    assert network_of(kind, tiny).forward(10) == 10 * per_token[kind]


def test_parameters_are_those_of_the_network_and_of_bert_base():
    assert network_of("bert-base-uncased", HUB_PRESETS["bert-4"]).parameters() == pytest.approx(
        109.5e6, rel=0.001
    )  # Devlin et al.: 110 M


def test_parameters_of_a_folder(task, teacher, tiny):
    folder = str(teacher.folder)
    assert network_of(folder, tiny).parameters() == parameters(
        load_classifier(folder, task, seed=0)
    )


def test_a_plan_agrees_with_the_run(task, tiny, teacher, runtime):
    record = ukd.distill(
        task, ukd.get_method("universal-kd"), teacher, config=tiny, seed=1, runtime=runtime
    )
    planned = cost(task.name, (METHODS["universal-kd"],), 1, tiny, "embedded", SPEEDS)
    assert planned.steps == record["steps"]
    assert planned.live_passes == record["history"]["teacher"]["epochs"][-1]["epoch"]
    assert planned.examples == record["examples"]["train"]
    table = next(
        path for path in (cache_folder() / "outputs").glob("sentiment-train-*/outputs.npy")
    )
    assert planned.cache == pytest.approx(
        np.load(table, mmap_mode="r").nbytes, rel=0.05
    )  # all rows, of which few are asked for


def test_a_live_teacher_is_planned_to_cost_its_passes(runtime, tiny):
    methods = tuple(METHODS[name] for name in DEFAULT_METHODS)
    planned = cost("sentiment", methods, 2, tiny, "synthetic", SPEEDS)
    # of 2 epochs kd learns from the teacher in both, kd-two-stage and universal-kd in one, no-kd in none; two seeds
    assert planned.live_passes == 2 * (2 + 1 + 1)
    one_pass = planned.examples * network_of("scratch", tiny).forward(planned.tokens)
    assert planned.operations_live - planned.operations == pytest.approx(
        one_pass * (planned.live_passes - 1)
    )
    assert planned.seconds_live - planned.seconds == pytest.approx(
        one_pass * (planned.live_passes - 1) / 1e9
    )


def test_a_search_is_planned_in_its_tasks_row(tiny, runtime):
    methods = (METHODS["kd"], METHODS["universal-kd"])
    once, tried = (
        cost("sentiment", methods, 3, tiny, "synthetic", SPEEDS, rates) for rates in (1, 4)
    )
    assert (
        tried.steps == 4 * once.steps
        and tried.live_passes == 4 * once.live_passes
        and tried.passes == once.passes
    )
    text = plan(
        ("acceptability",),
        methods,
        3,
        tiny,
        "embedded",
        runtime,
        LearningRateSearch((1e-4, 2e-4, 4e-4, 8e-4), "sentiment"),
    )
    row = next(line for line in text.splitlines() if line.startswith("| sentiment"))
    assert "; 4 rates on sentiment" in text and f"{tried.steps:,}" in row


def test_every_preset_is_planned_without_a_network_and_says_where_its_values_are_from(capsys):
    assert set(TASK_SIZES) == set(GLUE)
    assert {preset.encoder for preset in HUB_PRESETS.values()} <= set(HUB)
    for preset in HUB_PRESETS.values():
        assert preset.sources != "our choice"
        for name in preset.tasks:
            examples, tokens, outputs = sizes_of(name, None, preset)
            assert examples > 2000 and 8 < tokens < 128 and outputs in (1, 2, 3)
    assert main(["plan", "--preset", "laptop", "--tasks", "rte,mnli", "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    assert "| all " in said and "google/bert_uncased_L-12_H-256_A-4 to 4 of its layers" in said
    assert main(["plan", "--presets"]) == 0
    assert (table := capsys.readouterr().out.strip()).count("\n") == len(
        HUB_PRESETS
    ) + 1 and table in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_embedded_encoder_is_planned_with_in_any_precision(precision, capsys):
    """Its weights are kept in half precision, and its time is not taken in that."""
    assert main(["plan", "--tasks", "sentiment", "--seeds", "1", "--precision", precision]) == 0
    assert "12 x 128" in capsys.readouterr().out


@pytest.mark.parametrize(("family", "inner"), [("DistilBert", 32), ("Albert", 32), ("MPNet", 32)])
def test_other_families_are_planned_with(family, inner, tiny, tmp_path):
    getattr(transformers, f"{family}Config")(vocab_size=100, **FAMILIES[family]).save_pretrained(
        tmp_path
    )
    network = network_of(str(tmp_path), tiny)
    assert network.layers == 4 and network.forward(8) == 8 * 4 * (
        2 * (4 * 16**2 + 2 * 16 * inner) + 4 * 8 * 16
    )


def test_a_plan_follows_what_is_selected_on(runtime, tiny):
    all_of_it = cost(
        "sentiment",
        (METHODS["kd"],),
        1,
        replace(tiny, selection_split="validation"),
        "embedded",
        SPEEDS,
    )
    assert all_of_it.examples == tiny.max_train


def test_an_encoder_of_unknown_size_is_named(capsys):
    assert main(["plan", "--teacher", "someone/something"]) == 2
    assert "the sizes of 'someone/something' are not known" in capsys.readouterr().err
