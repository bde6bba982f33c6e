"""The benchmarks: contenders take turns, every one of them runs, and the record holds."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import breakdown, contenders, peers
from benchmarks.timing import ratio, take_turns
from benchmarks.workbench import Workbench
from ukd.analysis.cards import ratio_row, within

RECORDS = sorted((Path(__file__).parents[1] / "benchmarks" / "records").glob("*.json"))


def test_ratios_are_of_the_same_turn():
    seconds = {"a": [2.0, 30.0, 4.0], "b": [1.0, 15.0, 4.0]}
    made = ratio("a / b", "at most 1.05", seconds, "a", "b", parts=2)
    assert made.median == 2.0 and made.seconds == {"a": 2.0, "b": 2.0}
    assert ratio_row(asdict(made)) == [
        "a / b",
        "2 (1.50 to 2.00, n=3)",
        "at most 1.05",
        "no",
        "a 2e+03 ms, b 2e+03 ms",
    ]


def test_limits_are_kept_from_above_and_below():
    assert within(1.8, "at least 1.75") and not within(1.7, "at least 1.75")
    assert within(1.0, "at most 1.05") and not within(1.1, "at most 1.05")


def test_contenders_take_turns_in_alternating_order():
    order = []
    contenders = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = take_turns(contenders, repeats=2)
    turns = [name for number, name in enumerate(order) if number % 3 == 0]
    assert turns == ["a", "b", "b", "a"], "each is warmed up twice, then timed once"
    assert all(len(values) == 2 for values in seconds.values())


@pytest.mark.long
def test_every_contender_runs(task, teacher, tiny, runtime, monkeypatch):
    def once(contenders, repeats=1):
        for work in contenders.values():
            work()
        return {name: [1.0 + number] for number, name in enumerate(contenders)}

    for module in (contenders, peers):
        monkeypatch.setattr(module, "take_turns", once)
    bench = Workbench(task, teacher, tiny, runtime)
    bench.batches = bench.batches[:2]
    made = []
    for kind in ("layers", "bilstm", "gated-cnn"):
        made += contenders.student_steps(bench, kind)
    made += [
        contenders.intermediate_loss_alone(bench),
        contenders.attention_kernels(bench),
        contenders.pseudo_classifiers(bench),
        contenders.whole_comparison(bench),
        peers.against_trainer(bench),
        *peers.against_textbrewer(bench),
    ]
    assert len({each.name for each in made}) == len(made) >= 11
    assert min(breakdown.parts_of_step(bench).values()) >= 0


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_committed_record_keeps_four_bytes_a_layer_and_class(path):
    cache = json.loads(path.read_text(encoding="utf-8"))["cache"]
    assert cache["bytes an example"] == cache["4 T C"]
