"""Input that means something else than it seems: refused with row and remedy, or said."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import ukd
from ukd.data.batches import tokenize_split, tokenized_splits, training_batches
from ukd.data.checks import DOUBTFUL, WrongInput, checks_table, token_checks
from ukd.data.draw import divide, limit
from ukd.data.metrics import above_chance, constant_score, scores
from ukd.data.tasks import load_task, scored_rows, train_dev_split
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_tokenizer
from ukd.training.layer_report import difficulty_levels
from ukd.training.teacher import check_min_score

AB = ["a", "b"] * 30


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(bundled_encoder())


@pytest.fixture
def said(capsys, monkeypatch):
    """A function that gives what was logged since the last call."""
    monkeypatch.setenv("UKD_QUIET", "0")
    return lambda: capsys.readouterr().err


def rows(labels=AB, texts=None):
    texts = texts or [f"room {number} was fine" for number in range(len(labels))]
    return Dataset.from_dict({"text": texts, "label": list(labels)})


def own(source, **options):
    return ukd.custom_task(source, **{"text": "text"} | options)


def texts_of(task, split):
    return set(task.dataset[split]["text"])


def written(path, content):
    path.write_text(content, encoding="utf-8")
    return path


# --- labels ---------------------------------------------------------------------------------------

VALUES = {"metrics": ("pearson", "spearman")}
NUMBERED = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
UNLABELLED = Dataset.from_dict(rows([0, 1] * 20 + [-1]).to_dict(), features=NUMBERED)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (rows([["a"], ["b"], ["a", "b"]] * 20), {}, r"row 1: label is \['a'\], a list and not one"),
        (rows([[0.4, 0.6], [0.9, 0.1]] * 30), {}, r"row 1: label is \[0.4, 0.6\], a list and not"),
        (rows([{"v": "a"}, {"v": "b"}] * 30), {}, r"row 1: label is {'v': 'a'}, a dict and not"),
        (rows([["a"]] * 9), VALUES, "a list and not one label"),
        (rows(["a", "b", None] * 20), {}, "row 3: label is None, and every row needs a label"),
        (rows([*AB, " "]), {}, "row 61: label is ' ', and every row needs a label"),
        (rows([*AB, "\u200b"]), {}, "row 61: label is .*, and every row needs a label"),
        (rows([0.0, 1.0, float("nan")] * 20), {}, "row 3: label is nan, and every row needs"),
        (UNLABELLED, {}, "row 41: label is -1, which says that the row has no label"),
        (rows([0.5, 1.0] * 30), {}, "row 1: label is 0.5, a value and no class"),
        (rows(["0.5", "1"] * 30), {}, "row 1: label is '0.5', a value and no class"),
        (rows([*range(50), float("inf")]), VALUES, "row 51: label is inf, not a finite number"),
        (rows([*map(str, range(50)), "nan"]), VALUES, "row 51: label is 'nan', not a finite"),
        (rows([3.0] * 50), VALUES, "all rows have the label 3.0: there is nothing"),
        (rows(["good", "bad", "good "] * 20), {}, "'good' and 'good ' differ only by spaces"),
        (rows(["no", "n\u200bo"] * 20), {}, "differ only by spaces, invisible marks or Unicode"),
        (rows(["caf\u00e9", "cafe\u0301"] * 20), {}, "marks or Unicode form: write them alike"),
        (rows(["rare", *AB]), {}, "1 rows with the label 'rare', and at least 2 are needed"),
        (rows(["rare", *AB, "rare"]), {}, "1 rows with the label 'rare' after a row was held out"),
        (rows([]), {}, "train has no rows"),
    ],
)
def test_labels_that_are_none_are_refused(source, options, words):
    with pytest.raises(ValueError, match=words):
        own(source, **options)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([number % 12 + 1 for number in range(120)], tuple(map(str, range(1, 13)))),
        ([str(number % 12 + 1) for number in range(120)], tuple(map(str, range(1, 13)))),
        ([0.0, 1.0] * 30, ("0", "1")),
        (["0.0", "1.0", "10.0"] * 30, ("0", "1", "10")),
        (["01", "1", "02", "002"] * 20, ("1", "002", "01", "02")),
        (["1.0", "1"] * 20, ("1", "1.0")),
        ([True, False] * 30, ("False", "True")),
        (["2", "ten"] * 30, ("2", "ten")),
        (["A", "a"] * 30, ("A", "a")),
        ([-1, 1] * 30, ("-1", "1")),
    ],
)
def test_classes_are_named_as_written_and_numbers_sorted_as_numbers(labels, names):
    task = own(rows(labels))
    assert task.label_names == names
    number = {f"room {row} was fine": label for row, label in enumerate(labels)}
    for row in task.dataset["train"]:
        written = str(number[row["text"]])
        assert task.label_names[row["label"]] in (written, written.removesuffix(".0"))


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (rows(["A", "a"] * 30), {}, "'A' and 'a' differ only by case or zeros"),
        (rows(["01", "1"] * 30), {}, "'01' and '1' differ only by case or zeros"),
        (rows([-1, 0, 1] * 30), {}, "label is -1 in some rows and counts as a class"),
        (rows(AB, ["a text"] * 30 + ["another"] * 30), {}, "58 of 60 rows, first row 2, repeat"),
        (rows(AB, [f"t{n % 20}" for n in range(59)] + ["t0"]), {}, "first rows 1 and 60"),
        (rows(["x"] * 57 + ["y"] * 3), {"metrics": ("accuracy", "f1")}, None),
        (rows(["n", *["y"] * 19] * 3), {"metrics": ("accuracy", "f1")}, "F1 is of class 1, 'y', wh"),
        (rows(AB, [f"a\tb {n}" for n in range(60)]), {}, "60 texts hold line ends or tabs in text"),
        (rows(AB, ["one"] * 60), {"text": ("text", "label2")}, None),
    ][:5]
    + [
        (rows(["n", *["y"] * 19] * 3), {"metrics": ("accuracy", "f1")}, "F1 is of class 1, 'y', wh"),
        (rows(AB, [f"a\tb {n}" for n in range(60)]), {}, "60 texts hold line ends or tabs in text"),
    ],
)
def test_what_is_doubtful_is_said(source, options, words, said):
    task = own(source, **options)
    assert words in said()
    assert words in checks_table(task.checks)
