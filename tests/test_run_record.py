"""Run records: what is refused, what is written is read, and format 1 in today's names."""

import json
from copy import deepcopy

import pytest

from ukd.analysis.runs import as_runs, read_records
from ukd.methods.registry import get_method
from ukd.training.run_record import RunRecord, method_settings

STAGES = [
    {"name": "teacher", "share": 0.5, "labels": 0.0, "kd": 0.5, "intermediate": 0.5},
    {"name": "labels", "share": 0.5, "labels": 1.0, "kd": 0.0, "intermediate": 0.0},
]
FORMAT_1 = {
    "format": 1,
    "hash": "0123456789ab",
    "task": "sentiment",
    "method": "universal-kd",
    "seed": 1,
    "profile": "cpu",
    "settings": {
        "method": {
            "name": "universal-kd",
            "summary": "words",
            "source": "more words",
            "stages": STAGES,
            "tau": 2.0,
            "mapping": "attention",
            "combine": "logits",
            "kappa": 1.0,
            "attention_grad": True,
            "students": "below",
            "keys": "all",
        },
        "student": "embedded-a2144435ee9b",
        "student_layers": 2,
        "student_pick": "first",
        "embeddings": None,
        "teacher": "ba9876543210",
        "rate": 5e-4,
        "batch": 32,
        "epochs": 6,
        "max_length": 64,
        "max_train": None,
        "max_validation": None,
        "precision": "float32",
        "teacher_outputs": "live",
        "searched": {"task": "sentiment", "rates": [5e-4, 1e-3], "seed": 1},
    },
    "data": "fedcba987654",
    "teacher": {
        "scores": {"dev": {"accuracy": 90.0}, "validation": {"accuracy": 91.0}},
        "encoder": "embedded-a2144435ee9b",
        "rate": 2e-4,
        "seed": 1,
        "layers": 2,
        "parameters": 9,
        "key": "ba9876543210",
        "by_layer": [{"scores": {"accuracy": 60.0}, "distance": 0.5}] * 2,
    },
    "scores": {"dev": {"accuracy": 80.0}, "validation": {"accuracy": 81.5}},
    "history": {"teacher": {"curve": [{"step": 8, "kd": 0.5}], "epochs": []}},
    "attention": {
        "mean": [[0.25, 0.75]],
        "seen_distance": [0.5],
        "uniform_distance": 0.4,
        "by_layer": [{"scores": {"accuracy": 70.0}, "distance": 0.3}],
        "exits": [{"sure": 0.9, "layers": 1.5, "scores": {"accuracy": 70.0}}],
        "by_class": {"negative": [[0.5, 0.5]], "positive": [[0.0, 1.0]]},
    },
    "exits": [{"sure": 0.9, "layers": 1.5, "scores": {"accuracy": 70.0}}],
    "predicted": "0110",
    "student_parameters": 5,
    "examples": {"train": 90, "dev": 10, "validation": 4},
    "steps": 6,
    "seconds": 1.5,
    "made": "2026-01-01T00:00:00+00:00",
    "device": "cpu",
    "precision": "float32",
    "threads": 1,
    "python": "3.11",
    "versions": {"torch": "2"},
    "commit": "0123456789ab",
}


def record():
    return RunRecord.from_dict(deepcopy(FORMAT_1))


def test_a_record_of_format_1_has_todays_names():
    one = record()
    method = one.settings.method
    assert method["detach_attention"] is False, "it was: a gradient flows through the attention"
    assert (method["temperature"], method["attention_temperature"]) == (2.0, 1.0)
    assert (method["student_layers"], method["teacher_layers"]) == ("intermediate", "all")
    assert [stage["epoch_fraction"] for stage in method["stages"]] == [0.5, 0.5]
    assert method["hidden"] is None and method["assistant"] is False, "there was no such option yet"
    assert not {"name", "summary", "source"} & set(method), "a method is what it does"
    settings = one.settings
    assert (settings.student_depth, settings.student_init) == (2, "pretrained")
    assert (settings.learning_rate, settings.batch_size) == (5e-4, 32)
    assert (settings.teacher_logits, settings.selection_split) == ("online", "dev")
    assert settings.student == one.teacher.encoder == "bundled-a2144435ee9b"
    assert one.teacher.weights is None and one.data.class_names is None
    assert one.teacher.heads[0] == {"scores": {"accuracy": 60.0}, "label_error": 0.5}
    assert one.attention["attended_label_error"] == [0.5]
    assert one.attention["early_exit"][0]["threshold"] == one.early_exit[0]["threshold"] == 0.9
    assert one.predictions == "0110" and one.scores["validation"] == {"accuracy": 81.5}
    assert one.search == {"rates": {"sentiment": [5e-4, 1e-3]}, "seeds": [1]}


def test_what_is_written_is_read(tmp_path):
    one = record()
    one.write(tmp_path / "run" / "record.json")
    read = RunRecord.read(tmp_path / "run" / "record.json")
    assert read == one and read.folder == str(tmp_path / "run")
    assert read.search is None, "a run does not know its comparison"
    content = json.loads((tmp_path / "run" / "record.json").read_text())
    assert content["format"] == 2 and not {"folder", "search"} & set(content)
    with pytest.raises(FileExistsError, match="never overwritten"):
        one.write(tmp_path / "run" / "record.json")


def test_a_method_and_its_record_have_the_same_fields():
    settings = method_settings(get_method("rail-kd"))
    assert settings["hidden"]["layer_map"] == "random" and settings["temperature"] == 10.0
    assert set(settings) == set(record().settings.method)


DAMAGES = [
    (("hash",), "../x", "hash is '../x'"),
    (("task",), "", "task is ''"),
    (("seed",), 1.5, "seed is 1.5"),
    (("steps",), 0, "steps is 0 and should be a whole number above 0"),
    (("settings", "precision"), "fp8", "precision is 'fp8' and should be one of float32, bf16"),
    (("settings", "batch_size"), True, "settings.batch_size is True"),
    (("settings", "learning_rate"), float("nan"), "settings.learning_rate is nan"),
    (("settings", "student_depth"), -1, "settings.student_depth is -1"),
    (("settings", "selection_split"), "test", "selection_split is 'test'"),
    (("settings", "teacher_logits"), "asked", "teacher_logits is 'asked'"),
    (("settings", "method", "temperature"), 0.0, "settings.method.temperature is 0.0"),
    (("settings", "method", "attention_on"), "sums", "attention_on is 'sums'"),
    (("settings", "method", "student_layers"), "below", "student_layers is 'below'"),
    (("settings", "method", "tau"), 2.0, "settings.method.tau"),
    (("settings", "method", "stages", 0, "epoch_fraction"), 0.9, "add up to 1"),
    (("scores", "dev"), None, "scores.dev"),
    (("scores", "validation"), {"f1": 1.0}, r"scores.validation is \('f1',\)"),
    (("scores", "validation", "accuracy"), float("inf"), "scores.validation.accuracy is inf"),
    (("teacher", "heads"), [], None),
    (("teacher", "heads"), [{"scores": {"accuracy": 1.0}, "label_error": 0.5}], "heads is 1"),
    (("attention", "mean"), [[0.5, 0.6]], "attention.mean is 1.1"),
    (("attention", "by_class", "negative"), [[0.5, 0.1]], "attention.negative is 0.6"),
    (("provenance", "made"), "yesterday", "provenance.made is 'yesterday'"),
    (("examples", "train"), 0, "examples.train is 0"),
    (("settings", "nonsense"), 1, "unknown field settings.nonsense"),
    (("nonsense",), 1, "unknown field nonsense"),
    (("data",), "abc", "data is 'abc' and should be an object"),
    (("format",), 3, "format is 3, and 1 and 2 can be read: update ukd"),
]


@pytest.mark.parametrize(("path", "value", "message"), DAMAGES, ids=lambda x: str(x)[:40])
def test_a_record_that_can_not_be_right_is_refused(path, value, message, tmp_path):
    content = json.loads(json.dumps(record().to_dict()))
    place = content
    for name in path[:-1]:
        place = place[name]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    file = tmp_path / "record.json"
    file.write_text(json.dumps(content))
    if message is None:
        assert RunRecord.read(file).teacher.heads == ()
        return
    with pytest.raises(ValueError, match=message) as refused:
        RunRecord.read(file)
    assert str(file) in str(refused.value) and "remove it" in str(refused.value)


@pytest.mark.parametrize("text", ["", '{"format": 2', "[1]", '{"format": 1}'])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "half.json").write_text(text)
    with pytest.raises(ValueError, match=r"half\.json is not a readable record"):
        RunRecord.read(tmp_path / "half.json")


def _places(content, path=()):
    """The path of every value in a record, of a list the first."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content[:1])
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


@pytest.mark.slow
def test_a_value_of_another_kind_is_refused_or_harmless_wherever_it_stands(tmp_path):
    content = record().to_dict()
    file = tmp_path / "record.json"
    refused = 0
    for path in _places(json.loads(json.dumps(content))):
        for value in ("gone", 7):
            changed = json.loads(json.dumps(content))
            place = changed
            for name in path[:-1]:
                place = place[name]
            if value == "gone":
                del place[path[-1]]
            else:
                place[path[-1]] = value
            file.write_text(json.dumps(changed))
            try:
                as_runs(read_records(tmp_path))
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error) and str(tmp_path) in str(error), path
    assert refused > 80
