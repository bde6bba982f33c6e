"""A layer map of one's own: its name and source in the record; what no import finds is refused."""

import functools
import importlib
import json
import sys
from dataclasses import replace

import pytest
import torch
from made_records import made_record

import ukd
from ukd.analysis.collect import add_runs
from ukd.analysis.runs import load_runs, read_records
from ukd.cli.rerun import method_of
from ukd.methods.layer_maps import cosine, keys_of_one_norm
from ukd.methods.objective import loss_options
from ukd.methods.own_maps import code_of, files_of, named
from ukd.methods.registry import METHODS, get_method, parse_method
from ukd.training.run_record import RunRecord

MAPS = '''"""Maps."""
import torch
from mine.shares import ONE

HALF = 0.5
OTHER = 3


def two_deepest(student, teacher):
    weights = torch.zeros(student.shape[1], teacher.shape[1])
    weights[:, -2:] = HALF * ONE
    return weights


def unrelated(student, teacher):
    return OTHER
'''
SPOILT = MAPS.replace("HALF = 0.5", "HALF = 0.25\nHALF = HALF + 0.25")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function from a text to the package `mine` with it as module `maps`, imported anew."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("ONE = 1.0\n")
    (folder / "shares.py").write_text("ONE = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def imported(text):
        (folder / "maps.py").write_text(text)
        for name in ("mine.maps", "mine.shares", "mine"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("mine.maps")

    yield imported
    for name in ("mine.maps", "mine.shares", "mine"):
        sys.modules.pop(name, None)


def test_a_function_and_its_name_are_one_method(write):
    maps = write(MAPS)
    method = get_method("universal-kd", layer_map=maps.two_deepest)
    place, _, source = method.layer_map.partition("@")
    assert place == "mine.maps.two_deepest" and len(source) == 64
    assert get_method("universal-kd", layer_map="mine.maps.two_deepest") == method
    assert parse_method("universal-kd:layer_map=mine.maps.two_deepest") == method
    assert parse_method(f"universal-kd:layer_map={method.layer_map}") == method
    assert loss_options(method, False)["layer_map"] is maps.two_deepest
    assert get_method("universal-kd", layer_map=maps.two_deepest, teacher_layers="all")
    with pytest.raises(ValueError, match="compares what the teacher's layers predict"):
        get_method("universal-kd", layer_map=maps.two_deepest, space="hidden")
    with pytest.raises(ValueError, match="has no attention_temperature.*temperature of its own"):
        get_method("universal-kd", layer_map=maps.two_deepest, kappa=0.1)


def test_the_source_is_of_the_function_and_of_what_it_uses(write):
    maps = write(MAPS)
    source = code_of(maps.two_deepest)
    assert "HALF = 0.5" in source and "import ONE" in source and "def two_deepest" in source
    assert "OTHER" not in source and "unrelated" not in source
    first = named(maps.two_deepest)
    assert named(write(MAPS.replace("OTHER = 3", "OTHER = 4")).two_deepest) == first
    assert named(write(SPOILT).two_deepest) != first
    with pytest.raises(ValueError, match="two_deepest has changed: the sha256 of its source is"):
        named(first)


def test_the_key_has_the_helpers_of_other_files(write):
    name = named(write(MAPS).two_deepest)
    before = files_of(name)
    write(MAPS)
    shares = sys.modules["mine.shares"].__file__
    with open(shares, "a") as file:
        file.write("ONE = 1\n")
    changed = named(write(MAPS).two_deepest)
    assert files_of(changed) != before and files_of("attention") is None
    assert changed != name, "tables tell the versions apart by the name"


@pytest.mark.parametrize(
    "lines", ["STATE = {}\nSTATE['k'] = 2", "class STATE:\n    pass\n\n\nSTATE.k = 2"]
)
def test_the_source_has_what_changes_a_value_from_outside(write, lines):
    text = f"{lines}\n\n\ndef shared(student, teacher):\n    return STATE\n"
    assert named(write(text).shared) != named(write(text.replace("= 2", "= 4")).shared)


@pytest.mark.parametrize(
    "line",
    ["from .shares import ONE", "from mine import ONE", "import mine.shares", "import beside"],
)
def test_the_key_has_a_helper_however_it_is_imported(write, tmp_path, line):
    (tmp_path / "beside.py").write_text("")
    name = named(
        write(MAPS.replace("from mine.shares import ONE", f"{line}\nONE = 1.0")).two_deepest
    )
    before = files_of(name)
    helper = {"from mine import ONE": "mine/__init__.py", "import beside": "beside.py"}
    with open(tmp_path / helper.get(line, "mine/shares.py"), "a") as file:
        file.write("# Another line.\n")
    assert files_of(name) != before


class Weights:
    """A callable object."""

    def __call__(self, student, teacher):
        """Nothing."""

    def method(self, teacher):
        """Nothing."""


def inner():
    def own(student, teacher):
        return None

    return own


def of_a_notebook(student, teacher):
    return None


of_a_notebook.__module__ = "__main__"


@pytest.mark.parametrize(
    ("layer_map", "reason"),
    [
        (lambda student, teacher: None, "lambda, which has no name"),
        (inner(), "inside a function or class"),
        (Weights.method, "inside a function or class"),
        (Weights(), "no function but an object"),
        (functools.partial(inner), "no function but an object"),
        (of_a_notebook, "is defined in a notebook or script"),
        (print, "no function but an object"),
        ("mine.nothing", "can't be imported .*write package.module.function"),
        ("ukd.projection.nothing", "can't be imported"),
        ("atention", "unknown layer_map 'atention'; choose one of: attention"),
    ],
)
def test_what_can_not_be_imported_again_is_refused(layer_map, reason):
    with pytest.raises(ValueError, match=reason):
        get_method("universal-kd", layer_map=layer_map)


SCALED = MAPS.replace("HALF * ONE", "scaled(HALF)").replace(
    "def two_deepest(student, teacher):",
    "SEEN = []\n\n\ndef scaled(x, by=ONE):\n    return x * by\n\n\n"
    "def two_deepest(student, teacher, *, first=-2):\n    SEEN.append(len(student))",
)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("-2:", "-1:", "two_deepest"),
        ("first=-2", "first=-1", "two_deepest"),
        ("HALF = 0.5", "HALF = 0.75", "HALF"),
        ("x * by", "x / by", "scaled"),
        ("by=ONE", "by=2", "scaled"),
    ],
)
def test_a_file_that_was_edited_after_its_import_is_refused(write, old, new, name):
    maps = write(SCALED)
    named(maps.two_deepest)
    maps.two_deepest(torch.ones(1, 2, 3), torch.ones(1, 4, 3))  # fills SEEN, which is no constant
    named(maps.two_deepest)
    with open(maps.__file__, "w") as file:
        file.write(SCALED.replace(old, new))
    refused = rf"no longer what its file says .importlib.reload.*mine.maps.{name} is another"
    with pytest.raises(ValueError, match=refused):
        named(maps.two_deepest)
    importlib.reload(maps)
    assert named(maps.two_deepest)


def test_a_constant_that_is_set_from_outside_is_refused(write):
    maps = write(SCALED)
    maps.HALF = 0.25
    with pytest.raises(ValueError, match="no longer what its file says.*mine.maps.HALF"):
        get_method("universal-kd", layer_map=maps.two_deepest)


def test_a_file_that_computes_its_values_is_compared_without_running_it(write):
    """A wrapped function and a computed value are no edits, and nothing is run twice."""
    computed = "import random, functools\nHALF = random.random()\nPLACE = 'cpu'\n"
    computed += "if HALF < 2:\n    PLACE = 'cuda'"
    text = SCALED.replace("HALF = 0.5", computed)
    text = text.replace("def scaled", "@functools.cache\ndef scaled")
    assert named(write(text).two_deepest)


def test_a_helper_in_another_file_that_was_edited_is_refused(write):
    maps = write(MAPS)
    with open(sys.modules["mine.shares"].__file__, "a") as file:
        file.write("ONE = 3.0\n")
    with pytest.raises(ValueError, match="no longer what its file says.*mine.shares.ONE"):
        named(maps.two_deepest)
    importlib.reload(sys.modules["mine.shares"])
    assert named(maps.two_deepest)


@pytest.mark.slow
def test_a_run_is_known_by_its_layer_maps_source(write, task, tiny, teacher, runtime, tmp_path):
    options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path / "runs"}
    found = []
    for text in (MAPS, MAPS, SPOILT):
        method = replace(METHODS["universal-kd"], layer_map=write(text).two_deepest)
        found.append(ukd.distill(task, method, teacher, **options))
    assert found[0] == found[1] and found[0].hash != found[2].hash
    assert found[0].settings.method["layer_map"] == named(write(MAPS).two_deepest)
    assert found[0].attention["mean"][0][-2:] == [0.5, 0.5]
    assert found[0].scores == found[2].scores


def test_records_of_two_sources_go_through_the_store_apart(write, tmp_path):
    methods = [f"universal-kd:layer_map={named(write(t).two_deepest)}" for t in (SPOILT, MAPS)]
    records = []
    for seed, text in enumerate((SPOILT, MAPS), 1):
        write(text)
        records.append(made_record(methods[seed - 1], seed=seed))
    for record in records:
        record.write(tmp_path / "runs" / f"{record.hash}.json")
        path = tmp_path / "runs" / f"{record.hash}.json"
        assert RunRecord.read(path) == record
        assert (
            "mine.maps.two_deepest@"
            in json.loads(path.read_text())["settings"]["method"]["layer_map"]
        )
    add_runs("own", read_records(tmp_path / "runs"), folder=tmp_path / "store")
    table = load_runs(tmp_path / "store").table
    names = [f"universal-kd (layer_map={text.partition('=')[2][:30]})" for text in methods]
    assert set(table["method_name"]) == set(names) and len(set(names)) == 2
    rows = {row["method_name"]: row for row in table.to_dict("records")}
    # The source that is there now is that of the second.
    assert named(method_of(rows[names[1]]).layer_map) in methods[1]
    with pytest.raises(ValueError, match="has changed"):
        named(method_of(rows[names[0]]).layer_map)


def test_a_map_that_changes_the_logits_it_is_given_changes_no_loss():
    def careless(student, teacher):
        student -= student.mean(-1, keepdim=True)
        teacher /= teacher.norm(dim=-1, keepdim=True)
        return torch.softmax((student.unsqueeze(2) * teacher.unsqueeze(1)).sum(-1), -1)

    def careful(student, teacher):
        return careless(student.clone(), teacher.clone())

    student, teacher = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    before = student.clone(), teacher.clone()
    expected = ukd.intermediate_loss(student, teacher, layer_map=careful)
    found = ukd.intermediate_loss(student, teacher, layer_map=careless)
    assert torch.equal(found.loss, expected.loss)
    assert torch.equal(student, before[0]) and torch.equal(teacher, before[1])


def test_weights_take_the_type_of_the_logits():
    def double(student, teacher):
        return torch.full((1, 2), 0.5, dtype=torch.float64)

    found = ukd.intermediate_loss(torch.ones(3, 1, 2), torch.ones(3, 2, 2), layer_map=double)
    assert found.weights.dtype == found.loss.dtype == torch.float32


@pytest.mark.parametrize("layer_map", [cosine, keys_of_one_norm])
def test_maps_that_compare_classes_refuse_a_single_output(layer_map):
    assert layer_map(torch.randn(2, 3, 2), torch.randn(2, 4, 2)).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="one output \\(regression\\) has none"):
        layer_map(torch.randn(2, 3, 1), torch.randn(2, 4, 1))
