"""The notebooks' order and form, that comparing their outputs bites, and that the lists beside them are true.

How nbval compares, for whoever tags a cell `nbval-ignore-output`. It runs every cell in order in a fresh kernel, and an exception fails a
cell, tagged or not. In a cell without the tag what is printed must also be what is committed, character by character, standard error
included; pictures are never compared. Tag a cell whose output depends on the profile, the machine or the time, or holds a widget, and
print what does not depend on them in a cell of its own. A widget's callback that raises while the widget is first shown fails as well;
one that raises when somebody moves a slider is seen by `tests/test_browser.py` alone.
"""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import nbformat
import pytest
from notebook_tools import NOTEBOOKS
from ukd.notebooks import (
    IGNORED,
    WIDGETS,
    canonical,
    compared,
    default_profile,
    errors,
    executed,
    found,
    has_widget,
    measured,
    read,
    run,
    text,
    traces,
)

from ukd import notebooks
from ukd.analysis import guide
from ukd.cli import main as cli

ROOT = Path(__file__).parents[1]
EVERY = [pytest.param(path, id=path.stem) for path in found(NOTEBOOKS)]
LESSONS = [param for param in EVERY if not param.id.startswith("00")]


def functions(source):
    """Functions of a cell that are not the stub of an exercise: (name, lines)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and not is_stub(source):
            yield node.name, node.end_lineno - node.lineno + 1


def is_stub(source):
    return "raise NotImplementedError" in source


@pytest.mark.parametrize("path", EVERY)
def test_a_notebook_has_the_common_form(path):
    cells = read(path).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert (
        len(
            re.findall(
                r"^# ", re.sub(r"```.*?```", "", "\n".join(prose), flags=re.DOTALL), re.MULTILINE
            )
        )
        == 1
    ), "one H1"
    assert cells[0].source.startswith("# "), "the title comes first"
    start = next(number for number, cell in enumerate(cells) if cell.cell_type == "code")
    opening = "\n".join(cell.source for cell in cells[:start])
    assert re.search(r"^\| *\*\*Goal\*\*", opening, re.MULTILINE) and "**Minutes**" in opening, (
        "a box with goal and minutes"
    )
    assert sum(
        "parameters" in cell.metadata.get("tags", []) for cell in cells
    ) == 1 and default_profile(read(path)) in ("lesson", "cpu")
    assert "You now know" in "\n".join(prose) and "**Next" in prose[-1]


@pytest.mark.parametrize("path", EVERY)
def test_cells_are_few_and_short(path):
    cells = read(path).cells
    assert len(cells) <= 40
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 20, f"cell {number}"
            assert [name for name, lines in functions(cell.source) if lines > 5] == [], (
                f"cell {number}: this belongs to the package"
            )


@pytest.mark.parametrize("path", EVERY)
def test_committed_outputs_are_whole_and_those_of_any_machine(path):
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), (
        "run in order from a fresh kernel"
    )
    assert errors(notebook) + traces(notebook) == []
    as_run = path.read_text(encoding="utf-8") == text(canonical(notebook))
    assert as_run, f"not in the form that `ukd notebooks --run {path.stem}` gives it"
    for cell in code:
        assert not has_widget(cell) or IGNORED in cell.metadata.get("tags", []), (
            "a widget's id is drawn anew each time: tag its cell"
        )


@pytest.mark.parametrize("path", LESSONS)
def test_a_lesson_has_two_exercises_with_stub_check_hint_and_solution(path):
    cells = read(path).cells
    every = "\n".join(
        cell.source if cell.cell_type == "markdown" else f"<code>\n{cell.source}\n</code>"
        for cell in cells
    )
    _, *parts = re.split(r"^### Exercise (\d): ", every, flags=re.MULTILINE)
    assert parts[::2] == ["1", "2"]
    for part in parts[1::2]:
        stub, check = re.findall(r"<code>\n(.*?)\n</code>", part, re.DOTALL)[:2]
        name = re.search(r"def (\w+)\(", stub)[1]
        assert re.search(r"difficulty.*minutes", part.split("<code>")[0], re.IGNORECASE | re.DOTALL)
        assert is_stub(stub) and "checks." in check and name in check, "a stub, then its check"
        said = next(cell.outputs for cell in cells if cell.source == check)
        assert f"{name}: not solved yet" in "".join(output.get("text", "") for output in said)
        hint, solution = part.split("<summary>Hint</summary>")[1].split(
            "<summary>Solution</summary>"
        )
        blocks = re.findall(r"```python\n(.*?)```", solution.split("</details>")[0], re.DOTALL)
        assert "</details>" in hint and len(blocks) == 1 and f"def {name}(" in blocks[0]


@pytest.mark.parametrize("path", EVERY)
def test_no_fewer_cells_are_compared_than_the_committed_table_says(path, capsys):
    number = compared(read(path))
    with capsys.disabled():
        print(f"{path.name}: {number} compared cells")
    assert number >= guide.promised(NOTEBOOKS)[path.name]


def test_the_lists_of_notebooks_and_figures_link_to_what_is_there():
    for folder in ("notebooks", "figures"):
        written = (ROOT / folder / "README.md").read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!http)([^)#]+)", written):
            assert (ROOT / folder / link).exists(), link
    listed = set(re.findall(r"\]\((\S+\.(?:svg|png))\)", written))
    assert listed == {path.name for path in (ROOT / "figures").iterdir()} - {"README.md"}


def test_minutes_are_measured_for_every_notebook_in_its_two_profiles():
    minutes = measured(NOTEBOOKS)
    assert {path.stem for path in found(NOTEBOOKS)} == set(minutes)
    for path in found(NOTEBOOKS):
        assert {"smoke", default_profile(read(path))} <= set(minutes[path.stem]), path.name


# --- running and comparing, on a notebook of a few cells ----------------------------------------------------------------------

PARAMETERS = 'import os\nPROFILE = os.environ.get("UKD_PROFILE", "cpu")'
SLIDER = "from ipywidgets import interactive\ninteractive(lambda x: print(1 / (x + 1)), x=(0, 3))"


def small(
    path,
    sums="print(1 + 1)\nimport sys; print('a warning', file=sys.stderr)\nprint(2 + 2)",
    slider=SLIDER,
):
    cells = [
        nbformat.v4.new_markdown_cell("# Small"),
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(sums),
        nbformat.v4.new_code_cell(slider, metadata={"tags": [IGNORED]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def patience():
    """A kernel that hangs fails its test within minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebooks, "LIMIT", 120)
        yield


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A small notebook as `ukd notebooks --run` commits it."""
    path = small(tmp_path_factory.mktemp("notebooks") / "00_small.ipynb")
    assert cli.main(["notebooks", "--run", "--folder", str(path.parent)]) == 0
    return path


def test_a_notebook_run_again_is_the_same_byte_for_byte(kept, tmp_path):
    again = tmp_path / kept.name
    again.write_bytes(kept.read_bytes())
    run([again])
    assert again.read_bytes() == kept.read_bytes()
    assert set(measured(tmp_path)["00_small"]) == {"cpu"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [kept.name, "minutes.json"]
    notebook = read(again)
    assert [cell.id for cell in notebook.cells] == [
        "c00",
        "c01",
        "c02",
        "c03",
    ] and "version" not in notebook.metadata.language_info
    assert [output.text for output in notebook.cells[2].outputs] == ["2\n4\n", "a warning\n"], (
        "each stream in one piece"
    )
    assert notebook.cells[3].outputs[0].data == {"text/plain": WIDGETS} and compared(notebook) == 1


def test_a_notebook_saved_elsewhere_is_tidied_without_a_run(kept, tmp_path):
    notebook = read(kept)
    (
        notebook.metadata.language_info.version,
        notebook.cells[1].metadata.trusted,
        notebook.cells[2].id,
    ) = "3.99", True, "other"
    nbformat.write(notebook, tmp_path / kept.name)
    assert cli.main(["notebooks", "--tidy", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / kept.name).read_bytes() == kept.read_bytes()


def test_a_run_with_a_profile_keeps_the_minutes_alone(tmp_path):
    path = small(tmp_path / "00_small.ipynb", sums="print(PROFILE)")
    before = path.read_bytes()
    run([path], "smoke")
    assert path.read_bytes() == before and set(measured(tmp_path)["00_small"]) == {"smoke"}
    assert executed(path, tmp_path).cells[2].outputs[0].text == "cpu\n", (
        "the default where no profile is asked for, UKD_PROFILE or not"
    )


@pytest.mark.parametrize(
    "cells, said",
    [
        ({"sums": "1 / 0"}, "ZeroDivisionError"),
        ({"slider": SLIDER.replace("x + 1", "x - x")}, "ZeroDivisionError"),
        ({"sums": "print(object())"}, "cell 2 prints 'at 0x"),
    ],
)
def test_one_that_fails_shows_a_failing_widget_or_tells_of_this_machine_leaves_all_files_as_they_are(
    tmp_path, capsys, cells, said
):
    first, second = (
        small(tmp_path / "00_fine.ipynb", slider="1"),
        small(tmp_path / "01_wrong.ipynb", **cells),
    )
    before = first.read_bytes(), second.read_bytes()
    assert cli.main(["notebooks", "--run", "--folder", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error and "01_wrong.ipynb" in error
    assert (first.read_bytes(), second.read_bytes()) == before and not (
        tmp_path / "minutes.json"
    ).exists()


def test_folders_and_addresses_of_this_machine_are_told_from_other_words():
    fine = "see https://a.org/" + "home/x and and/or, ../data/runs, 1/2, at 0x10"
    for words, told in (
        (fine, 0),
        ("in /" + "home/somebody/kit: 3", 1),
        ("<object object at 0x7f0000ba0690>", 1),
        ("C:" + "\\Users", 1),
    ):
        cell = nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("stream", text=words)])
        assert len(traces(nbformat.v4.new_notebook(cells=[cell]))) == told, words


def test_comparing_turns_red_for_another_output_a_broken_callback_and_an_exception(kept, tmp_path):
    whole = kept.read_text(encoding="utf-8")
    variants = {
        "untouched": whole,
        "output": whole.replace('"2\\n"', '"3\\n"'),
        "callback": whole.replace("1 / (x + 1)", "1 / (x - x)"),
        "exception": whole.replace("PROFILE = os.environ", "PROFILE = os.environment"),
    }
    for name, content in variants.items():
        assert name == "untouched" or content != whole
        (tmp_path / f"{name}.ipynb").write_text(content, encoding="utf-8")
    report = tmp_path / "report.xml"
    options = ("--nbval", "-p", "no:cacheprovider", "-c", "/dev/null", f"--junitxml={report}")
    subprocess.run(
        (sys.executable, "-m", "pytest", *options, str(tmp_path)), capture_output=True, cwd=tmp_path
    )
    cases = xml.parse(report).iter("testcase")
    red = {
        f"{case.get('classname')} {case.get('name')}".split("::")[0]
        for case in cases
        if case.find("failure") is not None
    }
    assert len(red) == 3 and {name for name in variants for line in red if name in line} == {
        "output",
        "callback",
        "exception",
    }


def test_a_table_that_compares_less_is_refused(kept, tmp_path):
    (tmp_path / kept.name).write_bytes(kept.read_bytes())
    marked = "| [another table](00_small.ipynb) | 1 |\n<!-- notebooks: written -->\n{}\n<!-- end of notebooks -->"
    (tmp_path / "README.md").write_text(marked.format(""), encoding="utf-8")
    (tmp_path / "README.md").write_text(marked.format(guide.kept_table(tmp_path)), encoding="utf-8")
    assert guide.promised(tmp_path) == {kept.name: 1}
    small(tmp_path / kept.name)
    with pytest.raises(ValueError, match="compares 0 cells, 1 before"):
        guide.kept_table(tmp_path)
