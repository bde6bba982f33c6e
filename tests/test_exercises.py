"""Every exercise of every notebook: its folded solution passes, and its stub is no failure.

Exercises are found by the cells that check them, `checks.NAME(function)`. The hints that a check
gives have tests of their own.
"""

import re

import pytest
from notebook_tools import PATHS, cells, code, solution, stub

from ukd.teaching import checks

CHECKED = re.compile(r"checks\.(\w+)\((\w+)\)")


def exercises():
    """(notebook, the learner's function, the name of its check), in the order of the notebooks."""
    found = []
    for path in PATHS:
        for text in code(path.name):
            if match := CHECKED.fullmatch(text.strip()):
                check, function = match.groups()
                found.append((path.name, function, check))
    return found


EXERCISES = [pytest.param(*one, id=f"{one[0][:2]}-{one[2]}") for one in exercises()]


def test_every_check_belongs_to_one_exercise():
    assert sorted(check for _, _, check in exercises()) == sorted(checks.__all__)
    assert len(exercises()) == 2 * (len(PATHS) - 1), "two a notebook, none in the first"


@pytest.mark.parametrize(("name", "function", "check"), EXERCISES)
def test_the_solution_passes_and_the_stub_is_not_solved_yet(name, function, check, capsys):
    getattr(checks, check)(solution(name, function))
    getattr(checks, check)(stub(name, function))
    right, unsolved = capsys.readouterr().out.splitlines()
    assert right.startswith("right: ") and unsolved == f"{function}: not solved yet"


@pytest.mark.parametrize("check", checks.__all__)
def test_an_answer_that_returns_nothing_is_not_solved_yet(check, capsys):
    def empty(*values):
        return None

    getattr(checks, check)(empty)
    assert capsys.readouterr().out == "empty: not solved yet\n"


@pytest.mark.parametrize(
    "name", ["03_projection.ipynb", "05_layer_maps.ipynb", "08_paper_and_ours.ipynb"]
)
def test_the_promises_at_the_top_are_kept_at_the_end(name):
    texts = [text for kind, text in cells(name) if kind == "markdown"]
    promises = re.findall(r"^- .*$", texts[0], re.MULTILINE)
    end = texts[-1].split("## You now know")[1]
    assert len(promises) == 3 and all(promise in end for promise in promises)
