"""The notebooks' form, that comparing their outputs bites, and that the list of them is true.

How nbval compares, for whoever tags a cell `nbval-ignore-output`. It runs every cell in order in a
fresh kernel, and an exception fails a cell, tagged or not. In a cell without the tag the printed
text must also be the committed one, character by character, standard error included; pictures are
never compared. Tag a cell whose output depends on the preset, the machine or the time, or holds a
widget, and print what does not depend on them in a cell of its own. A widget's callback that raises
while the widget is first shown fails as well; one that raises when somebody moves a slider is seen
by `tests/test_browser.py` alone.
"""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

import nbformat
import pytest
from notebook_tools import NOTEBOOKS, PATHS

from notebooks import run as runner
from ukd.teaching import guide

IGNORED = "nbval-ignore-output"
FOLDERS = ("data", "models", "methods", "training", "analysis", "teaching")
EVERY = [pytest.param(path, id=path.stem) for path in PATHS]
LESSONS = EVERY[1:]


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_stub(source):
    return "raise NotImplementedError" in source


def longest_function(source):
    """Lines of the longest function of a cell that is not the stub of an exercise."""
    lengths = [0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and not is_stub(source):
            lengths.append(node.end_lineno - node.lineno + 1)
    return max(lengths)


@pytest.mark.parametrize("path", EVERY)
def test_a_notebook_has_the_common_form(path):
    cells = read(path).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    without_code = re.sub(r"```.*?```", "", "\n".join(prose), flags=re.DOTALL)
    assert len(re.findall(r"^# ", without_code, re.MULTILINE)) == 1, "one H1"
    assert cells[0].source.startswith("# "), "the title comes first"
    opening = prose[0]
    assert re.search(r"^\| *\*\*Goal\*\*", opening, re.MULTILINE) and "**Minutes**" in opening
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    assert runner.default_preset(read(path)) in ("lesson", "cpu")
    assert "You now know" in "\n".join(prose) and "**Next" in prose[-1]


@pytest.mark.parametrize("path", EVERY)
def test_cells_are_few_and_short(path):
    notebook = read(path)
    assert len(notebook.cells) <= 40
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 20, cell.source
        assert longest_function(cell.source) <= 5, "longer ones belong to the package"


@pytest.mark.parametrize("path", EVERY)
def test_only_public_names_are_imported(path):
    """`ukd` and the public names of its folders, so that a student finds each by its name."""
    for cell in code_cells(read(path)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                assert all(not name.startswith("ukd.") for name in names), names
            elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "ukd":
                package, _, folder = node.module.partition(".")
                assert folder in FOLDERS, node.module
                public = __import__(node.module, fromlist=["__all__"]).__all__
                assert {alias.name for alias in node.names} <= set(public), node.module


@pytest.mark.parametrize("path", EVERY)
def test_committed_outputs_are_whole_and_those_of_any_machine(path):
    notebook = read(path)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run in order from a fresh kernel"
    assert runner.errors(notebook) + runner.traces(notebook) == []
    for cell in code_cells(notebook):
        shown = [output.get("data", {}).get("text/plain") for output in cell.outputs]
        if runner.WIDGET_TEXT in shown:
            assert IGNORED in cell.metadata.get("tags", []), "a widget's id is random: tag its cell"
    content = path.read_text(encoding="utf-8")
    assert content == runner.text_of(runner.normalise(notebook)), "run `make notebooks`"


@pytest.mark.parametrize("path", LESSONS)
def test_a_lesson_has_two_exercises_with_stub_check_hint_and_solution(path):
    cells = read(path).cells
    texts = []
    for cell in cells:
        fenced = f"<code>\n{cell.source}\n</code>"
        texts.append(cell.source if cell.cell_type == "markdown" else fenced)
    _, *exercises = re.split(r"^### Exercise (\d): ", "\n".join(texts), flags=re.MULTILINE)
    assert exercises[::2] == ["1", "2"]
    for exercise in exercises[1::2]:
        stub, check = re.findall(r"<code>\n(.*?)\n</code>", exercise, re.DOTALL)[:2]
        name = re.search(r"def (\w+)\(", stub)[1]
        heading = exercise.split("<code>")[0]
        assert re.search(r"difficulty.*minutes", heading, re.IGNORECASE | re.DOTALL)
        assert is_stub(stub) and "checks." in check and name in check, "a stub, then its check"
        outputs = next(cell.outputs for cell in cells if cell.source == check)
        printed = "".join(output.get("text", "") for output in outputs)
        assert f"{name}: not solved yet" in printed
        hint, solution = exercise.split("<summary>Hint</summary>")[1].split(
            "<summary>Solution</summary>"
        )
        blocks = re.findall(r"```python\n(.*?)```", solution.split("</details>")[0], re.DOTALL)
        assert "</details>" in hint and len(blocks) == 1 and f"def {name}(" in blocks[0]


@pytest.mark.parametrize("path", EVERY)
def test_no_fewer_cells_are_compared_than_the_committed_table_states(path):
    assert guide.compared_cells(path) >= guide.promised(NOTEBOOKS)[path.name]


def test_the_list_of_notebooks_links_to_what_is_there():
    written = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)#]+)", written):
        assert (NOTEBOOKS / link).exists(), link


def test_minutes_are_measured_for_every_notebook_in_two_presets():
    minutes = guide.minutes(NOTEBOOKS)
    assert {path.stem for path in PATHS} == set(minutes)
    for path in PATHS:
        presets = {"smoke", runner.default_preset(read(path))}
        assert presets <= set(minutes[path.stem]), path.name


# --- running and comparing, on a notebook of a few cells ---------------------------------------

PARAMETERS = 'import os\nPRESET = os.environ.get("UKD_PRESET", "cpu")'
SUMS = "print(1 + 1)\nimport sys; print('a warning', file=sys.stderr)\nprint(2 + 2)"
SLIDER = "from ipywidgets import interactive\ninteractive(lambda x: print(1 / (x + 1)), x=(0, 3))"


def small(path, sums=SUMS, slider=SLIDER):
    cells = [
        nbformat.v4.new_markdown_cell("# Small"),
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(sums),
        nbformat.v4.new_code_cell(slider, metadata={"tags": [IGNORED]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A small notebook as `make notebooks` leaves it."""
    path = small(tmp_path_factory.mktemp("notebooks") / "00_small.ipynb")
    assert runner.main(["--folder", str(path.parent)]) == 0
    return path


@pytest.mark.long
def test_a_notebook_run_again_is_the_same_byte_for_byte(committed, tmp_path):
    again = tmp_path / committed.name
    again.write_bytes(committed.read_bytes())
    runner.run([again])
    assert again.read_bytes() == committed.read_bytes()
    assert set(guide.minutes(tmp_path)["00_small"]) == {"cpu"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [committed.name, "minutes.json"]
    notebook = read(again)
    assert [cell.id for cell in notebook.cells] == ["c00", "c01", "c02", "c03"]
    assert "version" not in notebook.metadata.language_info
    streams = [output.text for output in notebook.cells[2].outputs]
    assert streams == ["2\n4\n", "a warning\n"], "each stream in one piece"
    assert notebook.cells[3].outputs[0].data == {"text/plain": runner.WIDGET_TEXT}
    assert guide.compared_cells(again) == 1


@pytest.mark.long
def test_a_notebook_saved_elsewhere_is_tidied_without_a_run(committed, tmp_path):
    notebook = read(committed)
    notebook.metadata.language_info.version = "3.99"
    notebook.cells[1].metadata.trusted = True
    notebook.cells[2].id = "other"
    nbformat.write(notebook, tmp_path / committed.name)
    assert runner.main(["--tidy", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()


@pytest.mark.long
def test_a_run_with_a_preset_keeps_the_minutes_alone(tmp_path):
    path = small(tmp_path / "00_small.ipynb", sums="print(PRESET)")
    before = path.read_bytes()
    runner.run([path], "smoke")
    assert path.read_bytes() == before
    assert set(guide.minutes(tmp_path)["00_small"]) == {"smoke"}
    outputs = runner.execute(path, tmp_path).cells[2].outputs
    assert outputs[0].text == "cpu\n", "the default where no preset is given"


FAILING = [
    ({"sums": "1 / 0"}, "ZeroDivisionError"),
    ({"slider": SLIDER.replace("x + 1", "x - x")}, "ZeroDivisionError"),
    ({"sums": "print(object())"}, "cell 2 prints 'at 0x"),
]


@pytest.mark.long
@pytest.mark.parametrize(("cells", "words"), FAILING)
def test_a_failing_cell_or_widget_or_a_trace_of_this_machine_leaves_all_files(
    tmp_path, capsys, cells, words
):
    first = small(tmp_path / "00_fine.ipynb", slider="1")
    second = small(tmp_path / "01_wrong.ipynb", **cells)
    before = first.read_bytes(), second.read_bytes()
    assert runner.main(["--folder", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert words in error and "01_wrong.ipynb" in error
    assert (first.read_bytes(), second.read_bytes()) == before
    assert not (tmp_path / "minutes.json").exists()


def test_folders_and_addresses_of_this_machine_are_told_from_other_words():
    fine = "see https://a.org/" + "home/x and and/or, ../data/runs, 1/2, at 0x10"
    cases = (
        (fine, 0),
        ("in /" + "home/somebody/kit: 3", 1),
        ("<object object at 0x7f0000ba0690>", 1),
        ("C:" + "\\Users", 1),
    )
    for words, count in cases:
        output = nbformat.v4.new_output("stream", text=words)
        cell = nbformat.v4.new_code_cell("", outputs=[output])
        assert len(runner.traces(nbformat.v4.new_notebook(cells=[cell]))) == count, words


@pytest.mark.long
def test_comparing_fails_for_another_output_a_broken_callback_and_an_exception(committed, tmp_path):
    whole = committed.read_text(encoding="utf-8")
    variants = {
        "untouched": whole,
        "output": whole.replace('"2\\n"', '"3\\n"'),
        "callback": whole.replace("1 / (x + 1)", "1 / (x - x)"),
        "exception": whole.replace("PRESET = os.environ", "PRESET = os.environment"),
    }
    for name, content in variants.items():
        assert name == "untouched" or content != whole
        (tmp_path / f"{name}.ipynb").write_text(content, encoding="utf-8")
    report = tmp_path / "report.xml"
    options = ("--nbval", "-p", "no:cacheprovider", "-c", "/dev/null", f"--junitxml={report}")
    command = (sys.executable, "-m", "pytest", *options, str(tmp_path))
    subprocess.run(command, capture_output=True, cwd=tmp_path)
    failed = set()
    for case in xml.parse(report).iter("testcase"):
        if case.find("failure") is not None:
            line = f"{case.get('classname')} {case.get('name')}"
            failed |= {name for name in variants if name in line.split("::")[0]}
    assert failed == {"output", "callback", "exception"}


@pytest.mark.long
def test_a_table_that_compares_less_is_refused(committed, tmp_path):
    (tmp_path / committed.name).write_bytes(committed.read_bytes())
    (tmp_path / "README.md").write_text("", encoding="utf-8")
    table = guide.notebooks_table(tmp_path)
    (tmp_path / "README.md").write_text(table, encoding="utf-8")
    assert guide.promised(tmp_path) == {committed.name: 1}
    small(tmp_path / committed.name)
    with pytest.raises(ValueError, match="compares 0 cells, 1 before"):
        guide.notebooks_table(tmp_path)
