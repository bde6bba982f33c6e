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
from ukd.training.scoring import check_min_score

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


def listed(labels):
    """Rows as JSON gives them, each label of its own kind."""
    return [{"text": f"room {number}", "label": label} for number, label in enumerate(labels)]


def own(source, **options):
    return ukd.custom_task(source, **{"text": "text"} | options)


def texts_of(task, split):
    return set(task.dataset[split]["text"])


def written(path, content):
    path.write_text(content, encoding="utf-8")
    return path


# --- labels ---------------------------------------------------------------------------------------

LAYOUT = """---
configs:
- config_name: sst2
  data_files:
  - {split: train, path: train.csv}
---
"""
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
        (listed([1, True, 0, False] * 15), {}, "row 2: label is True, a truth value among"),
        (UNLABELLED, VALUES, "row 1: label is 0, the number of a class and no value: cast"),
        (rows([*range(50), 1e39]), VALUES, r"row 51: label is 1e\+39, too large for float32"),
        (rows([1e9 + n / 100 for n in range(60)]), VALUES, "no two values .* differ in float32"),
        (listed(["x\ud800", "b"] * 30), {}, "row 1: label is .* half of a character"),
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
        (rows([-1, 0, 1] * 20), {}, "label is -1 in some rows and counts as a class"),
        (rows(AB, [f"t{n // 6}" for n in range(60)]), {}, "50 of 60 rows, first row 2, repeat"),
        (rows(AB, [f"t{n % 20}" for n in range(59)] + ["t0"]), {}, "first rows 1 and 60"),
        (
            rows(["n", *["y"] * 19] * 3),
            {"metrics": ("accuracy", "f1")},
            "F1 is of class 1, 'y', wh",
        ),
        (rows(["none", "b"] * 30), {}, "label is none in some rows and counts as a class"),
        (rows(["nan", "b"] * 30), {}, "label is nan in some rows and counts as a class"),
        (rows(["a,b", "a", "b"] * 20), {}, "label 'a,b' is one class: several labels a row"),
        (rows(["['a']", "['b']"] * 30), {}, "is one class: several labels a row aren't"),
        (
            DatasetDict(train=rows([*range(60)]), dev=rows([1.5] * 9, [f"t{n}" for n in range(9)])),
            VALUES,
            "all rows have the label 1.5",
        ),
        (rows(AB, [f"a\tb {n}" for n in range(60)]), {}, "60 texts hold line ends or tabs in text"),
    ],
)
def test_what_is_doubtful_is_said(source, options, words, said):
    task = own(source, **options)
    assert words in said()
    assert words in checks_table(task.checks)


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark", ["\u200b", "\ufeff", "\x07", "\u2060\u00a0", "\u3164", "\ufe0f", "\n"]
)
def test_a_text_of_nothing_that_shows_is_refused_with_its_row(mark):
    texts = [f"room {number}" for number in range(59)] + [mark * 3]
    with pytest.raises(ValueError, match="row 60: text must be a text that is not empty"):
        own(rows(texts=texts))


@pytest.mark.parametrize("text", ["!", "\u0e33", "\U0001f600", "\u5bbf", "\u200ba"])
def test_a_text_of_one_sign_shows(text):
    task = own(rows(texts=[f"room {number}" for number in range(59)] + [text]))
    kept = [*task.dataset["train"]["text"], *task.dataset["validation"]["text"]]
    assert text in kept and not [check for check in task.checks if check.name == "empty texts"]


def test_texts_that_the_tokenizer_can_not_read_are_refused_before_training(
    tiny, runtime, tokenizer
):
    texts = ["\u0916\u093e\u0928\u093e \u0925\u093e", "\U0001f600\U0001f389"] * 30
    task = own(rows(texts=[f"{text} " * (number + 1) for number, text in enumerate(texts)]))
    with pytest.raises(WrongInput, match="unknown tokens: .* the encoder can't read these texts"):
        ukd.train_teacher(task, config=tiny, runtime=runtime)
    few = own(rows(texts=[f"the room \u5bbf was the room {number}" for number in range(60)]))
    unknown, _ = token_checks(few, tokenizer, 64)
    assert unknown.verdict == DOUBTFUL


def test_the_share_of_rows_that_are_cut_is_said_with_their_length(tokenizer):
    texts = ["the room " * (20 if number % 4 else 2) + str(number) for number in range(60)]
    task = own(rows(texts=texts))
    cut = token_checks(task, tokenizer, 16)[1]
    lengths = [len(tokenizer(text)["input_ids"]) for text in task.dataset["train"]["text"]]
    long = [length for length in lengths if length > 16]
    share = f"{100 * len(long) / len(lengths):.1f}% of {len(lengths)} rows"
    assert cut.found.startswith(share) and cut.verdict == DOUBTFUL
    assert f"the median of these {int(np.median(long))}" in cut.found
    assert token_checks(task, tokenizer, 64)[1].verdict == "good"


@pytest.mark.parametrize(("columns", "least"), [(("text",), 4), (("text", "other"), 7)])
def test_a_length_that_leaves_no_word_is_refused(columns, least, tokenizer):
    task = own(rows().add_column("other", [f"so {n}" for n in range(60)]), text=columns)
    for length in range(1, least):
        with pytest.raises(ValueError, match=f"at least {least} are needed .--max-length"):
            tokenize_split(task, "train", tokenizer, length)
    assert max(tokenize_split(task, "train", tokenizer, least).lengths) == least


# --- files and other sources ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "lines", "words"),
    [
        (
            "csv",
            ["not, room {n} was fine,{l}"],
            "rows.csv can't be read .* texts that hold a comma",
        ),
        ("csv", ["room {n},{l}"] * 9 + ["no, room {n},{l}"], "texts that hold a comma"),
        ("tsv", ["room {n}\t{l}"] * 9 + ["a\troom {n}\t{l}"], "texts that hold a tab"),
        ("csv", ["room {n},{l}"] * 9 + ["room {n}"], "row 10: label is '', and every row needs"),
        ("csv", ["room {n},{l}"] * 9 + ['"room {n},{l}'], "a quote in row 10 swallowed the rows"),
        ("tsv", ["room {n}\t{l}"] * 9 + ['"room {n}\t{l}'], "a quote in row 10 swallowed the rows"),
        ("csv", ["room {n},{l}"] * 59 + ['"room {n},{l}'], "rows.csv can't be read .* quote"),
        ("jsonl", ['{{"text": "room {n}", "label": "{l}"'], "rows.jsonl can't be read"),
        ("jsonl", ["[{n}]"], "rows.jsonl can't be read|must hold JSON objects"),
        (
            "jsonl",
            ['{{"text": "r {n}", "label": 1}}'] * 33 + ['{{"text": "r {n}", "label": NaN}}'],
            "row 34: label is nan, and every row needs a label",
        ),
    ],
)
def test_a_file_whose_rows_are_not_its_lines_is_refused(ending, lines, words, tmp_path):
    content = [] if ending == "jsonl" else ["text\tlabel" if ending == "tsv" else "text,label"]
    for number in range(60):
        content.append(lines[number % len(lines)].format(n=number, l="ab"[number % 2]))
    path = written(tmp_path / f"rows.{ending}", "\n".join(content) + "\n")
    with pytest.raises(ValueError, match=words):
        own(path)


def test_texts_over_several_lines_are_taken_and_said(tmp_path, said):
    lines = [f'"Dear all, \nroom {n}, it was fine",{"ab"[n % 2]}' for n in range(60)]
    task = own(written(tmp_path / "rows.csv", "\n".join(["text,label", *lines])))
    assert "60 rows read from 120 lines" in said()
    assert "Dear all, \nroom 7, it was fine" in texts_of(task, "train") | texts_of(
        task, "validation"
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.csv", "", "rows.csv is empty: it needs a line of names, then rows"),
        ("rows.csv", "text,label\n", "train has no rows"),
        ("rows.json", "[]", "train has no rows"),
        ("rows.csv", "text;label\nroom;a\n", "one column 'text;label': .* a comma must separate"),
        ("rows.tsv", "text,label\nroom,a\n", "one column 'text,label': .* a tab must separate"),
        ("rows.csv", "Text, label\nroom,a\n", "mean ' label' for 'label', 'Text' for 'text'"),
        ("rows.csv", "txet,label\nroom,a\n", r"it has: txet, label .did you mean 'txet' for"),
        ("rows.csv", "text,label,label\nroom,a,b\n", "train has 2 columns called 'label': rename"),
        ("rows.csv", "text,text,label\nroom,hall,b\n", "train has 2 columns called 'text': rename"),
        ("rows.csv", "text,label\nroom,a\ntext,label\nhall,b\n", "row 2 repeats the names"),
        (
            "rows.jsonl",
            '{"text": "room", "label": 1, "label": 2}',
            "a name stands twice in the obj",
        ),
        ("rows.json", "[" * 100_000, "rows.json can't be read .maximum recursion"),
        (
            "rows.jsonl",
            '{"text": "\\ud800 a", "label": 1}',
            "row 1: text holds half of a character",
        ),
        ("rows.parquet", "PAR1 and nothing else", "rows.parquet can't be read .*: write it anew"),
        ("dataset_info.json", "{", "folder .* is damaged .*: write it anew with save_to_disk"),
    ],
)
def test_a_file_that_reads_as_something_else_is_refused(name, content, words, tmp_path):
    path = written(tmp_path / name, content)
    with pytest.raises(ValueError, match=words):
        own(tmp_path if name == "dataset_info.json" else path)


def test_a_saved_folder_without_its_data_is_refused(tmp_path):
    columns = {"sentence": ["room", "hall"], "label": [0, 1], "idx": [0, 1]}
    split = Dataset.from_dict(columns)
    DatasetDict(train=split, validation=split).save_to_disk(tmp_path)
    (tmp_path / "train" / "data-00000-of-00001.arrow").unlink()
    for read in (lambda: own(tmp_path), lambda: load_task("sst2", str(tmp_path))):
        with pytest.raises(ValueError, match="is damaged .*: write it anew with save_to_disk"):
            read()


def test_an_ending_in_capitals_is_known(tmp_path):
    path = written(tmp_path / "ROWS.CSV", "text,label\n" + "room,a\nhall,b\n" * 4)
    with pytest.raises(ValueError, match="2 of 2 rows with different texts"):
        own(path)


@pytest.mark.parametrize("kind", [None, "numpy", "torch", "pandas", "arrow", "numpy: label"])
def test_the_format_of_a_data_set_changes_no_task(kind):
    plain = rows([0, 1] * 30)
    columns = ["label"] if kind == "numpy: label" else None
    formatted = plain.with_format(kind and kind.split(":")[0], columns=columns)
    assert own(formatted).fingerprint == own(plain).fingerprint


def test_scalars_of_numpy_are_labels():
    for kind in (np.int64, np.bool_, np.str_):
        found = own(listed([kind(number % 2) for number in range(60)]))
        assert found.key == own(listed([kind(number % 2).item() for number in range(60)])).key
    assert own(listed([np.float32(number) for number in range(60)]), **VALUES).spec.regression


def test_a_class_has_one_name_in_all_splits():
    """Of its own validation would read "1.0" as the class "1"."""
    later = [f"hall {number}" for number in range(20)]
    task = own(DatasetDict(train=rows(["1.0", "1", "2"] * 20), dev=rows(["1.0", "2"] * 10, later)))
    names = [task.label_names[label] for label in task.dataset["validation"]["label"]]
    assert names == ["1.0", "2"] * 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": None}, "text must be a name or several, got None"),
        ({"text": 3}, "text must be a name or several, got 3"),
        ({"text": ("text", "text")}, "must differ"),
        ({"text": ("text", "more"), "label": "more"}, "a text that is the label gives the answer"),
        ({"text": "more", "label": "more"}, "a text that is the label gives the answer away"),
        ({"label": None}, "label must name a column, got None"),
        ({"label": ["label"]}, "label must name a column"),
        ({"metrics": None}, "metrics must be a name or several, got None"),
        ({"seed": None}, "seed must be a whole number from 0, got None"),
        ({"seed": -1}, "seed must be a whole number from 0, got -1"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"held_out": ["test"]}, r"between 0 and 1, got \['test'\]"),
        ({"held_out": 0.99}, "can't be set apart: more rows are needed, or a smaller part"),
        ({"name": None}, "can't be called None"),
        ({"name": "x" * 51}, "take at most 50 letters"),
    ],
)
def test_options_that_fit_no_task_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        own(rows().add_column("more", AB), **options)


@pytest.mark.parametrize("twice", ["text", "label"])
def test_a_frame_with_a_column_twice_is_refused(twice):
    frame = rows().to_pandas()
    with pytest.raises(ValueError, match=f"train has 2 columns called '{twice}': rename all but"):
        own(pd.concat([frame, frame[[twice]]], axis=1))


@pytest.mark.parametrize("place", ["rows.csv", "folder/train.csv", "br[a]cket.csv"])
def test_values_of_a_table_stay_as_they_are_written(place, tmp_path):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    lines = [f"NA {n},{['01', '1', '02', '002'][n % 4]},{n}" for n in range(80)]
    written(path, "\n".join(["text,label,price", *lines, "NA,01,N/A", ""]))
    task = own(path.parent if "folder" in place else path)
    assert set(task.label_names) == {"01", "1", "02", "002"}
    assert "NA" in texts_of(task, "train") | texts_of(task, "validation")


def test_a_column_that_is_not_used_may_hold_anything(tmp_path):
    lines = [{"text": f"room {n}", "label": "ab"[n % 2], "price": n} for n in range(60)]
    lines[50]["price"] = "N/A"
    path = written(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, lines)))
    listed = written(tmp_path / "rows.json", json.dumps(lines))
    sources = (path, listed, lines, pd.DataFrame(lines))
    assert len({own(source).fingerprint for source in sources}) == 1


@pytest.mark.parametrize("source", [{"text": ["a"]}, 3, None, [1, 2]])
def test_what_is_no_table_is_named(source):
    with pytest.raises(
        ValueError, match="rows can't be read from a .*: pass a file, a folder, a li"
    ):
        own(source)


def test_a_text_column_may_be_called_difficulty():
    task = own(rows().rename_column("text", "difficulty"), text="difficulty")
    assert difficulty_levels(task) is None
    assert set(difficulty_levels(load_task("sentiment"))) == {0, 1, 2, 3, 4}


# --- splits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_the_split_to_report_on_is_known_by_its_usual_names(name, said):
    later = [f"hall {number}" for number in range(20)]
    splits = DatasetDict({"train": rows(), name: rows(AB[:20], later), "test": rows(AB[:4])})
    task = own(splits)
    assert texts_of(task, "validation") == set(later) and len(task.dataset["train"]) == 60
    assert f"reported on the split '{name}'; not used: 'test'" in said()


@pytest.mark.parametrize("held_out", ["train", "test", 0.0, 1.0, -0.2, 20])
def test_what_can_not_be_held_out_is_refused(held_out):
    with pytest.raises(ValueError, match="no split 'test'|another split|between 0 and 1"):
        own(rows(), held_out=held_out)


def test_a_validation_split_that_is_train_is_refused():
    with pytest.raises(ValueError, match="validation split has the same texts as train"):
        own(DatasetDict(train=rows(), validation=rows()))


def test_equal_texts_of_ones_own_are_drawn_to_one_side():
    texts = [f"room {number // 3} was fine" for number in range(180)]
    task = own(rows(AB * 3, texts))
    assert not texts_of(task, "train") & texts_of(task, "validation")
    train, dev = train_dev_split(task, seed=0)
    learned = task.dataset["train"].select(train)
    assert not set(learned["text"]) & set(task.dataset["train"].select(dev)["text"])
    assert sum(map(len, task.dataset.values())) == 180 and len(train) + len(dev) == len(
        task.dataset["train"]
    )


def test_splits_that_are_given_stay_as_they_are_and_shared_texts_are_said(said):
    later = ["room 3 was fine", *(f"hall {number}" for number in range(59))]
    task = own(DatasetDict(train=rows(), validation=rows(AB, later)))
    assert len(task.dataset["train"]) == len(task.dataset["validation"]) == 60
    assert "warning: custom: duplicates: validation: 1 of 60 rows, first row 1, stand in" in said()


@pytest.mark.parametrize("rare", [3, 5])
def test_every_class_is_in_train_development_part_and_validation(rare):
    labels = [
        "rare" if number in (5, 400, 900, 901, 902)[:rare] else "usual" for number in range(1003)
    ]
    for seed in range(2):
        task = own(rows(labels), seed=seed)
        train, dev = train_dev_split(task, seed=0)
        numbers = task.dataset["train"]["label"][:]
        assert {numbers[row] for row in train} == {numbers[row] for row in dev} == {0, 1}
        assert set(task.dataset["validation"]["label"]) == {0, 1}
        few, few_dev = train_dev_split(task, seed=0, most=100)
        assert {numbers[row] for row in few} == {numbers[row] for row in few_dev} == {0, 1}
        assert len(few) + len(few_dev) == 100


def test_forty_classes_of_four_rows_are_divided():
    task = own(rows([f"k{number % 40}" for number in range(160)]))
    train, dev = train_dev_split(task, seed=0)
    numbers = task.dataset["train"]["label"][:]
    assert len({numbers[row] for row in train}) == len({numbers[row] for row in dev}) == 40


def test_fewer_rows_than_a_batch_name_the_option(tokenizer, tiny):
    data = tokenized_splits(own(rows(AB[:40])), tokenizer, tiny)[0]
    with pytest.raises(
        ValueError, match="a batch of 32 needs .* smaller ones .batch_size, --batch"
    ):
        next(training_batches(data, 32, 1, 0))


def test_a_limited_split_is_drawn_from_all_its_classes(tokenizer, tiny):
    later = [f"hall {number}" for number in range(400)]
    splits = DatasetDict(train=rows(), test=rows(["a"] * 200 + ["b"] * 200, later))
    task = own(splits, held_out="test")
    validation = tokenized_splits(task, tokenizer, tiny)[2]
    assert len(validation) == 64 and validation.labels.tolist() == [0] * 32 + [1] * 32
    assert scored_rows(task, "validation", 64) == validation.rows.tolist()
    for most in (None, 400, 1000):
        assert scored_rows(task, "validation", most) == list(range(400))


def test_a_draw_takes_what_is_asked_for_or_says_why_not():
    table = load_task("entailment").dataset["train"]
    assert sorted(sum(divide(table, lambda _: 7, 0, classes=True), [])) == list(range(6000))
    assert len(limit(table, 2, 0, classes=True)) == 2
    with pytest.raises(ValueError, match="0 of 6000 rows with different texts can't be set apart"):
        divide(table, lambda _: 0, 0, classes=True)


def test_one_class_in_a_folder_is_refused_before_any_work(tmp_path):
    content = {"sentence": [f"room {n}" for n in range(60)], "label": [0] * 60, "idx": [*range(60)]}
    one = Dataset.from_dict(content)
    DatasetDict(train=one, validation=one).save_to_disk(tmp_path / "one")
    with pytest.raises(ValueError, match="all rows have the label 0: there is nothing to tell"):
        load_task("sst2", str(tmp_path / "one"))
    bad = Dataset.from_dict(content | {"label": [0, 1, -1] * 20})
    kind = bad.cast_column("label", ClassLabel(names=["no", "yes"]))
    DatasetDict(train=kind, validation=kind).save_to_disk(tmp_path / "bad")
    with pytest.raises(ValueError, match="train, row 3: label is -1"):
        load_task("sst2", str(tmp_path / "bad"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "sst2 can't be read from .*sst2 .*: pass a folder in the hub's layout"),
        ({"train.csv": "sentence,label\nroom,0\n"}, "can't be read from .* .BuilderConfig 'sst2'"),
        (
            {"README.md": LAYOUT, "train.csv": "sentence,label,idx\na,0,0\nb,0,0,0,0\n"},
            "sst2 can't be read from .*: pass a folder in the hub's layout",
        ),
    ],
)
def test_a_folder_that_is_no_task_is_named(content, words, tmp_path):
    (tmp_path / "sst2").mkdir()
    for name, text in content.items():
        written(tmp_path / "sst2" / name, text)
    with pytest.raises(ValueError, match=words):
        load_task("sst2", str(tmp_path / "sst2"))


def test_three_classes_where_f1_is_asked_for_are_refused_before_any_work(tmp_path):
    texts = [f"room {n}" for n in range(60)]
    content = {"sentence1": texts, "sentence2": texts, "label": [0, 1, 2] * 20, "idx": [*range(60)]}
    three = Dataset.from_dict(content)
    DatasetDict(train=three, validation=three).save_to_disk(tmp_path / "three")
    with pytest.raises(ValueError, match="f1 is of class 1 of two, and mrpc has 3 classes"):
        load_task("mrpc", str(tmp_path / "three"))


def test_none_lifts_a_limit_and_no_other_field():
    config = ukd.preset("smoke", max_train=None, max_validation=None)
    assert (config.max_train, config.max_validation) == (None, None)
    with pytest.raises(ValueError, match="batch_size can't be None"):
        ukd.preset("smoke", batch_size=None)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        *((field, 0, "whole number from 1, got 0") for field in ("batch_size", "teacher_epochs")),
        ("batch_size", -4, "whole number from 1, got -4"),
        ("batch_size", "16", "whole number from 1, got '16'"),
        ("max_length", 16.0, "whole number from 1, got 16.0"),
        ("max_train", 0, "max_train must be a whole number from 1, got 0"),
        ("max_train", -5, "max_train must be a whole number from 1, got -5"),
        ("max_train", 50.5, "max_train must be a whole number"),
        ("max_validation", 0, "max_validation must be a whole number from 1, got 0"),
        ("student_depth", True, "student_depth must be a whole number from 1, got True"),
        ("learning_rate", 0, "learning_rate must be a positive number, got 0"),
        ("learning_rate", float("nan"), "learning_rate must be a positive number, got nan"),
        ("batch", 16, "a preset has no batch; it has: .*batch_size"),
    ],
)
def test_numbers_that_no_run_could_have_are_refused(field, value, words):
    with pytest.raises(ValueError, match=words):
        ukd.preset("smoke", **{field: value})
    if hasattr(ukd.PRESETS["smoke"], field):
        with pytest.raises(ValueError, match=words):
            replace(ukd.PRESETS["smoke"], **{field: value})


def test_less_than_one_row_is_no_limit():
    with pytest.raises(ValueError, match="at least one row must be left, and 0 are asked for"):
        limit(load_task("sentiment").dataset["train"], 0, 0, classes=True)


# --- the teacher against the constant answer ------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "metrics", "constant"),
    [
        ([0] * 5 + [1] * 95, ("accuracy",), 95),
        ([0] * 5 + [1] * 95, ("accuracy", "f1"), (95 + 100 * 190 / 195) / 2),
        ([0] * 95 + [1] * 5, ("accuracy", "f1"), 47.5),
        ([0] * 5 + [1] * 95, ("matthews",), 0),
        ([0.5, 1.0, 2.0] * 9, ("pearson", "spearman"), 0),
    ],
)
def test_the_constant_answer_is_scored_by_the_tasks_own_metrics(labels, metrics, constant):
    assert constant_score(labels, metrics) == pytest.approx(constant)
    assert above_chance(labels, metrics) > constant


@pytest.mark.filterwarnings("ignore:every example got class")
@pytest.mark.parametrize("metrics", [("accuracy",), ("accuracy", "f1"), ("matthews",)])
def test_answers_that_ignore_the_text_seldom_pass(metrics):
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(60):
        labels = (rng.random(200) < 0.6).astype(int)
        answers = np.eye(2)[(rng.random(200) < rng.choice([0.5, 0.8, 0.97])).astype(int)]
        found = scores(answers, labels, metrics)
        passed.append(np.mean(list(found.values())) > above_chance(labels, metrics))
    assert np.mean(passed) < 0.12


@pytest.mark.parametrize("count", [2, 5, 20, 500])
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_perfect_answer_passes_however_few_rows_there_are(count, share):
    labels = [1] * max(1, int(share * count)) + [0] * (count - max(1, int(share * count)))
    assert above_chance(labels, ("accuracy", "f1")) < 100


def test_a_teacher_that_is_not_above_chance_is_refused():
    task = own(rows(["anomaly", *["usual"] * 19] * 20), metrics=("accuracy", "f1"))
    labels = task.dataset["train"]["label"][:]
    constant = constant_score(labels, task.spec.metrics)
    assert task.spec.min_teacher_score == pytest.approx(constant) and constant > 95
    above = above_chance(labels, task.spec.metrics)
    for reached in (constant - 1, constant, above):
        with pytest.raises(ValueError, match="would teach noise"):
            check_min_score(task, {"accuracy": reached}, above=above, enforce=True)
    check_min_score(task, {"accuracy": above + 0.1}, above=above, enforce=True)
    spec = replace(task.spec, min_teacher_score=0.0)
    with pytest.raises(ValueError, match="a constant answer with luck"):
        check_min_score(replace(task, spec=spec), {"accuracy": 1.0}, above=above, enforce=True)
