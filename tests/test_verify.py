"""Texts and figures are what the committed runs give, and the check that says so bites."""

import re
from pathlib import Path

import matplotlib
import pytest
from floors import constraints
from made_records import committed

from ukd.analysis import findings, verify
from ukd.analysis.statistics import Difference, paired_difference
from ukd.analysis.verify import BLOCK, TEXTS, renewed, verify_figures, verify_texts
from ukd.cli import verification
from ukd.cli.verification import all_blocks, draw_all

ROOT = Path(__file__).parents[1]
MARK = "<!-- {0}: written by `ukd verify --write` -->\n\n{1}\n\n<!-- end of {0} -->\n"
OPENED = re.compile(r"<!-- ([\w-]+): written by")


@pytest.fixture(scope="module")
def made():
    """Every block of the kit's texts, each made once."""
    return all_blocks()


# --- the committed texts and figures ---


@pytest.mark.slow
def test_the_committed_texts_are_what_the_runs_give(made):
    assert verify_texts(made) == []


@pytest.mark.slow
def test_the_committed_figures_are_what_the_runs_give(tmp_path):
    if matplotlib.__version__ != constraints()["matplotlib"]:
        pytest.skip("another version of matplotlib may draw a line otherwise")
    assert verify_figures(draw_all, tmp_path) == []


def test_every_committed_set_of_runs_stands_in_some_text(made):
    marks = set()
    for name in TEXTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        blocks = [match["name"] for match in BLOCK.finditer(text)]
        assert blocks == OPENED.findall(text), f"{name} has a mark that is no block"
        marks |= set(blocks)
    assert marks <= set(made)
    assert set(committed().sets) <= marks


# --- the check itself ---


@pytest.fixture
def text(tmp_path):
    """A text of two blocks, of which one is old."""
    path = tmp_path / "README.md"
    path.write_text("# Title\n" + MARK.format("one", "1.0") + "words\n" + MARK.format("two", "old"))
    return path


BLOCKS = {"one": lambda: "1.0", "two": lambda: "2.0"}


def test_a_text_is_made_anew_between_its_marks_alone(text, tmp_path):
    assert verify_texts(BLOCKS, root=tmp_path) == ["README.md: differs from what the runs give"]
    assert "old" in text.read_text(), "comparing writes nothing"
    assert verify_texts(BLOCKS, root=tmp_path, write=True) == ["README.md: written"]
    expected = "# Title\n" + MARK.format("one", "1.0") + "words\n" + MARK.format("two", "2.0")
    assert text.read_text() == expected
    assert verify_texts(BLOCKS, root=tmp_path) == []


@pytest.mark.parametrize("place", ["1.0", "2.0"])
def test_a_changed_digit_of_any_block_is_found(place, text, tmp_path):
    verify_texts(BLOCKS, root=tmp_path, write=True)
    text.write_text(text.read_text().replace(place, "9.0"))
    assert len(verify_texts(BLOCKS, root=tmp_path)) == 1


def test_a_changed_digit_of_a_committed_table_is_found(made):
    name = "synthetic-search-contrasts"
    block = MARK.format(name, made[name]())
    assert renewed(block, made) == block
    digit = re.search(r"\+(\d)\.\d", block)
    wrong = block[: digit.start(1)] + str((int(digit[1]) + 1) % 10) + block[digit.end(1) :]
    assert renewed(wrong, made) == block


def test_a_mark_that_names_nothing_is_refused():
    with pytest.raises(ValueError, match="no block is called 'three'; choose one of: one, two"):
        renewed(MARK.format("three", ""), BLOCKS)


@pytest.mark.parametrize(
    "damaged",
    [
        "<!-- one: written by `ukd verify --write` -->\n1.0\n",
        "<!-- one: written by `ukd verify --write` -->\n1.0\n<!-- end of two -->\n",
        "<!-- one: written by `ukd rebuild` -->\n1.0\n<!-- end of one -->\n",
        "<!-- one: written by `ukd verify --write` -->\n" + MARK.format("one", "1.0"),
    ],
)
def test_a_mark_that_is_no_block_is_refused(damaged):
    """It would never be compared."""
    with pytest.raises(ValueError, match="the mark of 'one' .* end of one"):
        renewed(MARK.format("two", "2.0") + damaged, BLOCKS)


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """A clone's folder of figures, and what draws one figure into a folder."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(verify, "data_folder", lambda: tmp_path / "data")

    def draw(folder):
        (folder / "a.svg").write_text("<svg/>")
        return [folder / "a.svg"]

    def check(**options):
        return verify_figures(draw, tmp_path / "scratch", **options)

    return tmp_path / "figures", check


def test_a_figure_that_is_missing_or_changed_is_found_and_drawn(figures):
    folder, check = figures
    words = ["figures/a.svg: differs from what the runs give"]
    assert check() == words and not (folder / "a.svg").exists()
    assert check(write=True) == ["figures/a.svg: drawn"] and check() == []
    (folder / "a.svg").write_text("<svg>other</svg>")
    assert check() == words and (folder / "a.svg").read_text() == "<svg>other</svg>"


def test_a_figure_that_nothing_draws_is_found(figures):
    folder, check = figures
    check(write=True)
    (folder / "old.svg").write_text("<svg/>")
    assert check(write=True) == ["figures/old.svg: nothing draws it"]
    assert (folder / "old.svg").exists(), "nothing is removed"


def test_damaged_runs_are_reported_and_nothing_is_written(monkeypatch):
    monkeypatch.setattr(verification, "verify_store", lambda: ["runs.csv is not as it was"])
    for name in ("verify_texts", "verify_figures"):
        monkeypatch.setattr(verification, name, lambda *_, **__: pytest.fail("it went on"))
    assert verification.verify_clone(write=True) == ["runs.csv is not as it was"]


def test_outside_a_clone_there_is_nothing_to_verify(monkeypatch):
    monkeypatch.setattr(verification, "in_clone", lambda: False)
    with pytest.raises(ValueError, match="in a clone of the repository: run it there"):
        verification.verify_clone()


# --- findings ---


def difference(mean, half):
    return Difference(mean, 0.1, 3, mean - half, mean + half, 1.0)


@pytest.mark.parametrize(
    ("mean", "half", "words"),
    [
        (2.0, 1.0, "ahead of"),
        (-2.0, 1.0, "behind"),
        (2.0, 3.0, "not significantly different from"),
        (-2.0, 3.0, "not significantly different from"),
    ],
)
def test_a_finding_says_no_more_than_its_interval(mean, half, words):
    assert findings._direction(difference(mean, half)) == words


def test_a_finding_of_one_seed_says_so():
    assert findings._direction(paired_difference([70.0], [60.0])) == (
        "in one seed not to be told from"
    )


def test_every_finding_has_its_interval_and_n():
    text = findings.findings(committed())
    bullets = text.split("\n\n")[1].split("\n- ")
    assert len(bullets) == 4
    for bullet in bullets:
        assert re.search(r"\([+-][\d.]+\s+to\s+[+-][\d.]+,\s+n=\d", bullet), bullet
