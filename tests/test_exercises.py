"""Every exercise of every notebook: its folded solution passes, and the stub as it stands is no failure.

Exercises are found by the cells that check them, `checks.NAME(function)`; the mistakes that a check tells apart have tests of their own.
"""

import re

import pytest
from notebook_tools import NOTEBOOKS, cells, solution, stub

from ukd.teaching import checks

CHECKED = re.compile(r"checks\.(\w+)\((\w+)\)")
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
EXERCISES = [
    pytest.param(name, function, getattr(checks, match), id=f"{name[:2]}-{match}")
    for name in NAMES
    for kind, text in cells(name)
    if kind == "code" and (found := CHECKED.fullmatch(text.strip()))
    for match, function in [found.parameter_groups()]
]


def test_every_check_belongs_to_an_exercise():
    public = {name for name in vars(checks) if callable(getattr(checks, name))}
    assert public == {param.values[2].__name__ for param in EXERCISES} and len(EXERCISES) == len(
        public
    ) == 2 * (len(NAMES) - 1)


@pytest.mark.parametrize(("name", "function", "check"), EXERCISES)
def test_the_folded_solution_passes_and_the_stub_is_not_solved_yet(name, function, check, capsys):
    check(solution(name, function))
    check(stub(name, function))
    right, unsolved = capsys.readouterr().out.splitlines()
    assert right.startswith("right: ") and unsolved == f"{function}: not solved yet"


@pytest.mark.parametrize(("name", "function", "check"), EXERCISES)
def test_an_answer_that_returns_nothing_is_not_solved_yet(name, function, check, capsys):
    def left(*values, **options):
        return None

    check(left)
    assert capsys.readouterr().out == "left: not solved yet\n"


@pytest.mark.parametrize(
    "name", ["03_projection.ipynb", "05_layer_maps.ipynb", "08_paper_and_ours.ipynb"]
)
def test_the_promises_at_the_top_are_kept_at_the_end(name):
    texts = [text for kind, text in cells(name) if kind == "markdown"]
    promises = re.findall(r"^- .*$", texts[0], re.MULTILINE)
    assert len(promises) == 3 and all(
        promise in texts[-1].split("## You now know")[1] for promise in promises
    )
