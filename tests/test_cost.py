"""Cost in advance: by hand, by the library's own counter, and against what a run takes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ukd.config.paths import cache_folder
from ukd.config.presets import HUB_PRESETS, preset
from ukd.config.scenarios import DEFAULT_METHODS
from ukd.data.tasks import GLUE
from ukd.methods.registry import METHODS
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_classifier
from ukd.training.cost import cost_of, presets_table
from ukd.training.cost_model import TASK_SIZES, Speed, cost, measured_speed, task_size
from ukd.training.grid import LearningRateSearch
from ukd.training.network_sizes import (
    HUB_SIZES,
    NetworkSize,
    encoder_size,
    student_size,
    teacher_size,
)

SPEEDS = {"teacher": Speed(1e9, 1e9, 1e9), "student": Speed(1e9, 1e9, 1e9)}
KD = (METHODS["kd"],)


def test_operations_are_those_that_the_library_counts(task):
    network = load_classifier(bundled_encoder(), task, seed=0, layers=2)
    network.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.full((1, 12), 7))
    width = network.config.hidden_size
    pooler_and_classifier = 2 * width * (width + 2)
    expected = counter.get_total_flops() - pooler_and_classifier
    assert NetworkSize(network.config).forward(12) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "products"),
    [
        # 2 layers, both directions: 4 gates of 64 from 128 inputs and 64 states.
        ("bilstm", 2 * 2 * 4 * 64 * (128 + 64)),
        # 2 layers, of which each has kernel 5, 128 to 256.
        ("gated-cnn", 2 * 5 * 128 * 256),
    ],
)
def test_operations_of_other_architectures(kind, products, tiny):
    assert student_size(replace(tiny, student=kind)).forward(10) == 10 * 2 * products


def test_parameters_are_those_of_the_network_and_of_bert_base(task, tiny):
    bert = encoder_size("bert-base-uncased").parameters()
    assert bert == pytest.approx(109.5e6, rel=0.001)  # Devlin et al.: 110 M
    network = load_classifier(bundled_encoder(), task, seed=0, layers=tiny.teacher_depth)
    assert teacher_size(tiny).parameters() == sum(p.numel() for p in network.parameters())


def test_a_cost_agrees_with_the_run(task, tiny, distilled):
    record = distilled("universal-kd")
    planned = cost(task.name, (METHODS["universal-kd"],), 1, tiny, "synthetic", SPEEDS)
    assert planned.steps == record.steps
    assert planned.examples == record.examples["train"]
    assert planned.online_passes == record.history["teacher"]["epochs"][-1]["epoch"]
    tables = sorted((cache_folder() / "outputs").glob("sentiment-train-*/*.npy"))
    sizes = [np.load(path, mmap_mode="r").nbytes for path in tables]
    assert planned.cache in [pytest.approx(size, rel=0.05) for size in sizes]


def test_an_online_teacher_costs_its_passes(tiny):
    methods = tuple(METHODS[name] for name in DEFAULT_METHODS)
    planned = cost("sentiment", methods, 2, tiny, "synthetic", SPEEDS)
    # Of 2 epochs kd learns from the teacher in both, kd-two-stage and universal-kd in one, no-kd in
    # none; there are two seeds.
    assert planned.online_passes == 2 * (2 + 1 + 1)
    more = planned.online_passes - 1
    one_pass = planned.examples * teacher_size(tiny).forward(planned.tokens)
    operations = planned.online_operations - planned.operations
    assert operations == pytest.approx(one_pass * more)
    assert planned.online_seconds - planned.seconds == pytest.approx(one_pass * more / 1e9)


def test_the_optimizer_visits_every_weight_in_every_step(tiny):
    """A student with many words has few operations and many weights."""
    slow = {kind: replace(speed, update=1e6) for kind, speed in SPEEDS.items()}
    fast, planned = (
        cost("sentiment", KD, 1, tiny, "synthetic", speeds) for speeds in (SPEEDS, slow)
    )
    teacher_steps = planned.steps * tiny.teacher_epochs / tiny.student_epochs
    weights = planned.steps * student_size(tiny).parameters()
    weights += teacher_steps * teacher_size(tiny).parameters()
    assert planned.seconds - fast.seconds == pytest.approx(weights * (1e-6 - 1e-9))
    assert planned.operations == fast.operations


def test_a_search_is_planned_in_its_tasks_row(tiny, runtime):
    methods = (METHODS["kd"], METHODS["universal-kd"])
    once = cost("sentiment", methods, 3, tiny, "synthetic", SPEEDS, 1)
    searched = cost("sentiment", methods, 3, tiny, "synthetic", SPEEDS, 4)
    assert searched.steps == 4 * once.steps
    assert searched.online_passes == 4 * once.online_passes
    assert searched.passes == once.passes
    search = LearningRateSearch((1e-4, 2e-4, 4e-4, 8e-4), "sentiment")
    text = cost_of(("acceptability",), methods, 3, tiny, "synthetic", runtime, search)
    row = next(line for line in text.splitlines() if line.startswith("| sentiment"))
    assert "; 4 learning rates on sentiment" in text and f"{searched.steps:,}" in row
    assert "| all " in text and "bundled to 2 of its layers" in text


def test_every_preset_of_the_hub_is_planned_offline_and_names_its_sources():
    assert set(TASK_SIZES) == set(GLUE)
    assert {config.encoder for config in HUB_PRESETS.values()} <= set(HUB_SIZES)
    for config in HUB_PRESETS.values():
        assert config.sources != "our choice"
        for name in config.tasks:
            examples, tokens, outputs = task_size(name, None, config)
            assert examples > 2000 and 8 < tokens < 128 and outputs in (1, 2, 3)
            assert cost(name, KD, 1, config, None, SPEEDS).seconds > 0
    assert presets_table(HUB_PRESETS).count("\n") == len(HUB_PRESETS) + 1


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_bundled_encoder_is_timed_in_any_precision(precision, cpu):
    """Its weights are kept in half precision, and its time is not taken in that."""
    config = preset("cpu", batch_size=2)
    speed = measured_speed(teacher_size(config), config, replace(cpu, precision=precision))
    assert speed.inference > 0 and speed.training > 0 and speed.update > 0


def test_a_cost_follows_the_selection_split(tiny):
    whole = replace(tiny, selection_split="validation")
    assert cost("sentiment", KD, 1, whole, "synthetic", SPEEDS).examples == tiny.max_train


def test_what_has_no_known_size_is_named(tiny):
    with pytest.raises(ValueError, match="sizes of 'someone/something' are not known; pass a fold"):
        encoder_size("someone/something")
    with pytest.raises(ValueError, match="source 'hub' has no task 'sentiment'; it has: cola"):
        task_size("sentiment", "hub", tiny)
