"""Encoders compared by fine-tuning: one search for all, the rate chosen on the development part, and the table."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from ukd.finetune import best_rate, finetune, short_name

from data.encoder.make.pretrain import encoder_from_nothing
from ukd.analysis import tables as results
from ukd.analysis.figures import encoders_figure
from ukd.analysis.runs import read_records
from ukd.training.grid import ExperimentGrid, compare_encoders


@pytest.fixture(scope="module")
def records(tiny, runtime, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("runs")
    patch.setenv("UKD_RUNS", str(folder))
    plan = ExperimentGrid(("sentiment",), (), (1, 2), tiny, runtime, tiny.encoder)
    found = compare_encoders(plan, ("scratch",), (1e-4, 1e-3), jobs=1)
    patch.undo()
    return found, read_records(folder)


def test_the_first_seed_searches_and_the_others_take_its_rate(records):
    kept, every = records
    assert [record["seed"] for record in kept] == [1, 2]
    assert kept[0]["settings"]["rate"] == kept[1]["settings"]["rate"]
    tried = [record for record in every if record["seed"] == 1]
    assert {record["settings"]["rate"] for record in tried} == {1e-4, 1e-3}
    assert kept[0]["scores"]["dev"]["accuracy"] == max(
        record["scores"]["dev"]["accuracy"] for record in tried
    )
    assert all(record["settings"]["searched"] == [1e-4, 1e-3] for record in every)


def test_a_record_has_every_layer_and_no_path(records, tiny):
    for record in records[1]:
        assert len(record["by_layer"]) == tiny.teacher_depth
        assert record["by_layer"][-1]["scores"]["accuracy"] == pytest.approx(
            record["scores"]["validation"]["accuracy"]
        )
        assert "/" not in record["settings"]["encoder"]


def test_it_is_not_repeated_and_a_weak_score_is_kept(
    task, tiny, runtime, records, monkeypatch, tmp_path
):
    monkeypatch.setenv("UKD_RUNS", str(tmp_path))
    strict = replace(tiny, enforce_min_teacher_score=True)
    options = {"profile": strict, "encoder": "scratch", "rate": 1e-9, "seed": 1, "compute": runtime}
    first = finetune(task, **options)
    assert first["scores"]["validation"]["accuracy"] < 65 and first == finetune(task, **options)
    assert len(read_records(tmp_path)) == 1


def test_another_tokenizer_is_another_run_and_too_long_a_text_is_refused(
    task, tiny, runtime, monkeypatch, tmp_path
):
    monkeypatch.setenv("UKD_RUNS", str(tmp_path / "runs"))
    folder = shutil.copytree(encoder_from_nothing(tiny, runtime), tmp_path / "mine")
    options = {"profile": tiny, "encoder": str(folder), "rate": 1e-3, "seed": 1, "compute": runtime}
    finetune(task, **options)
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    said = json.loads(text)
    vocabulary = said["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(said), encoding="utf-8")
    finetune(task, **options)
    assert len(read_records(tmp_path / "runs")) == 2
    longest = 2 * tiny.max_length
    with pytest.raises(
        ValueError, match=f"reads at most {longest} tokens, and {longest + 1} are asked for"
    ):
        finetune(task, **options | {"profile": replace(tiny, max_length=longest + 1)})


def test_the_best_rate_is_so_by_the_mean_on_the_development_part_and_of_equals_the_lower():
    tried = (
        (1e-4, 40.0),
        (1e-4, 60.0),
        (3e-4, 55.0),
        (3e-4, 55.0),
        (2e-4, 55.0),
        (9e-4, 70.0),
        (9e-4, 10.0),
    )
    scores = [{"dev": {"accuracy": dev}, "validation": {"accuracy": 100 - dev}} for _, dev in tried]
    made = [
        {"settings": {"rate": learning_rate}, "scores": one}
        for (learning_rate, _), one in zip(tried, scores, strict=True)
    ]
    assert best_rate(made) == best_rate(made[::-1]) == 2e-4


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("embedded-0123456789ab", "embedded"),
        ("all-MiniLM-L6-v2-0123456789ab", "all-MiniLM-L6-v2"),
        ("bert-base-uncased",) * 2,
    ],
)
def test_an_encoder_is_named_without_its_digest(name, short):
    assert short_name(name) == short


def test_the_table_by_hand(records):
    budget = {
        "searched": [1e-4, 2e-4],
        "epochs": 3,
        "batch": 32,
        "max_length": 64,
        "max_train": 4000,
        "precision": "bf16",
    }
    made = [
        {
            "task": "sst2",
            "method": "fine-tuning",
            "seed": seed,
            "made": "2026-01-01",
            "scores": {"validation": {"accuracy": score}},
            "settings": {"encoder": f"{encoder}-0123456789ab", "rate": learning_rate, **budget},
        }
        for encoder, learning_rate, values in (
            ("random", 2e-4, [70, 72, 74]),
            ("embedded", 1e-4, [80, 81, 82]),
        )
        for seed, score in enumerate(values)
    ]
    text = results.tables(made)
    assert "| embedded " in text and text.index("embedded") < text.index("random")
    assert "81.0 ± 1.0 (n=3)" in text and "72.0 ± 2.0 (n=3)" in text
    lead = re.search(
        r"\| embedded minus random, 95% over seeds +\| \+9\.0 \((\S+) to (\S+), n=3\)", text
    )
    assert [float(end) for end in lead.parameter_groups()] == pytest.approx(
        [9 - 4.303 / 3**0.5, 9 + 4.303 / 3**0.5], abs=0.05
    )
    assert "minus" not in results.tables(made[3:]), "there is no lead without random weights"
    assert "at most 4,000 labels" in text and "rates tried 0.0001, 0.0002" in text
    names = [f"embedded-{letter * 12}" for letter in "ab"]
    twins = [
        {**record, "settings": {**record["settings"], "encoder": name}}
        for record in made[:3]
        for name in names
    ]
    assert "| embedded-aaaaaaaaaaaa " in results.tables(twins), "two encoders of one name stay two"
    mixed = results.tables([*records[0], *made])
    assert mixed.count("### ") == 2, "other budgets are another table"
    longer = [
        {**record, "settings": {**record["settings"], "epochs": epochs}}
        for epochs in (2, 5)
        for record in made[: epochs - 1]
    ]
    assert re.findall(r"layers: (\d+) epochs", results.tables([*longer, *made])) == [
        "3",
        "5",
        "2",
    ], "most runs first"


def test_the_figure_has_a_row_a_budget_and_says_which():
    made = [
        {
            "task": "sst2",
            "method": "fine-tuning",
            "seed": 1,
            "scores": {"dev": {"accuracy": 70}},
            "by_layer": [{"scores": {"accuracy": score}} for score in (60, 70)],
            "settings": {
                "encoder": "random-0123456789ab",
                "rate": 2e-4,
                "searched": [],
                "epochs": epochs,
                "batch": 32,
                "max_length": 64,
                "max_train": 4000,
                "precision": "bf16",
                "select": "dev",
            },
        }
        for epochs in (3, 10)
    ]
    rows = [ax for ax in encoders_figure(made).axes if ax.get_visible()]
    assert {ax.get_ylabel() for ax in rows} == {
        "Validation score, %\n(3 epochs, bf16)",
        "Validation score, %\n(10 epochs, bf16)",
    }
    assert [list(ax.lines[0].get_ydata()) for ax in rows] == [[60, 70]] * 2
