"""Tasks of one's own: any table of texts and labels, and errors that say what is there."""

import csv

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import ukd
from ukd.analysis.figures import draw_all
from ukd.analysis.tables import tables
from ukd.training.teacher import check_min_score

ROWS = [
    (
        f"the meal was {'good' if i % 3 else 'bad'}, number {i}",
        f"note {i}",
        "praise" if i % 3 else "blame",
        i / 10,
    )
    for i in range(60)
]


def table(rows=ROWS, names=("said", "note", "verdict", "stars")):
    return Dataset.from_dict({name: [row[i] for row in rows] for i, name in enumerate(names)})


def written(path, rows=ROWS):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("said", "note", "verdict", "stars"), *rows])
    return path


def test_a_file_becomes_a_task_with_its_own_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UKD_QUIET", "0")
    task = ukd.custom_task(
        written(tmp_path / "own.csv"), text=("said", "note"), label="verdict", name="meals"
    )
    assert (task.name, task.num_labels, task.label_names) == ("meals", 2, ("blame", "praise"))
    assert task.spec.columns == ("said", "note") and task.dataset["train"].column_names == [
        "said",
        "note",
        "label",
        "idx",
    ]
    assert {split: len(rows) for split, rows in task.dataset.items()} == {
        "train": 48,
        "validation": 12,
    }
    counts = [list(task.dataset["validation"]["label"]).count(number) for number in (0, 1)]
    assert counts == [4, 8]
    said = capsys.readouterr().err
    assert "meals: classes 0 = blame, 1 = praise" in said and "12 of 60 rows held out" in said


def test_what_is_held_out_depends_on_the_seed_alone(tmp_path):
    held = [
        set(
            ukd.custom_task(table(), text="said", label="verdict", seed=seed).dataset["validation"][
                "said"
            ]
        )
        for seed in (0, 0, 1)
    ]
    assert held[0] == held[1] != held[2]
    task = ukd.custom_task(table(), text="said", label="verdict")
    assert not set(task.dataset["train"]["said"]) & set(task.dataset["validation"]["said"])


def test_equal_rows_have_equal_fingerprints_wherever_they_are(tmp_path):
    given = {"text": "said", "label": "verdict"}
    sources = (table(), written(tmp_path / "a.csv"), str(written(tmp_path / "b.csv")))
    prints = [ukd.custom_task(source, **given).fingerprint for source in sources]
    table().to_json(tmp_path / "a.jsonl")
    table().to_parquet(tmp_path / "a.parquet")
    table().to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    prints += [
        ukd.custom_task(tmp_path / f"a.{ending}", **given).fingerprint
        for ending in ("jsonl", "parquet", "tsv")
    ]
    assert len(set(prints)) == 1
    assert ukd.custom_task(table(), text="note", label="verdict").fingerprint != prints[0]


def test_a_changed_file_is_read_anew(tmp_path):
    path = written(tmp_path / "own.csv")
    before = ukd.custom_task(path, text="said", label="verdict")
    written(path, [(text.upper(), *others) for text, *others in ROWS])
    assert ukd.custom_task(path, text="said", label="verdict").fingerprint != before.fingerprint


def test_splits_that_are_there_are_used(tmp_path):
    splits = DatasetDict(train=table(), test=table(ROWS[:20]))
    assert len(ukd.custom_task(splits, text="said", label="verdict").dataset["validation"]) == 12, (
        "a test split is left alone"
    )
    task = ukd.custom_task(splits, text="said", label="verdict", held_out="test")
    assert {split: len(rows) for split, rows in task.dataset.items()} == {
        "train": 60,
        "validation": 20,
    }
    splits["validation"] = splits.pop("test")
    splits.save_to_disk(str(tmp_path / "saved"))
    assert (
        ukd.custom_task(tmp_path / "saved", text="said", label="verdict").fingerprint
        == task.fingerprint
    )
    (tmp_path / "files").mkdir()
    written(tmp_path / "files" / "train.csv")
    written(tmp_path / "files" / "validation.csv", ROWS[:20])
    assert (
        ukd.custom_task(tmp_path / "files", text="said", label="verdict").fingerprint
        == task.fingerprint
    )
    table().save_to_disk(str(tmp_path / "one"))
    assert (
        len(
            ukd.custom_task(tmp_path / "one", text="said", label="verdict", held_out=0.5).dataset[
                "validation"
            ]
        )
        == 30
    )


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([2, 1, 2], ("1", "2")),
        ([True, False, True], ("False", "True")),
        (["no", "yes", "no"], ("no", "yes")),
    ],
)
def test_labels_of_several_kinds_become_classes(labels, names):
    rows = Dataset.from_dict({"text": [f"row {i}" for i in range(30)], "label": labels * 10})
    task = ukd.custom_task(rows, text="text")
    assert task.label_names == names
    for row in task.dataset["train"]:
        assert task.label_names[row["label"]] == str(labels[int(row["text"].split()[1]) % 3])


def test_classes_that_have_an_order_keep_it():
    kind = Features({"text": Value("string"), "label": ClassLabel(names=["yes", "no"])})
    rows = Dataset.from_dict(
        {"text": [f"row {i}" for i in range(20)], "label": [0, 1] * 10}, features=kind
    )
    assert ukd.custom_task(rows, text="text").label_names == ("yes", "no")


def test_values_are_values():
    task = ukd.custom_task(
        table(), text=("said", "note"), label="stars", metrics=("pearson", "spearman")
    )
    assert task.spec.regression and task.num_labels == 1 and task.label_names is None
    assert sorted([*task.dataset["train"]["label"], *task.dataset["validation"]["label"]]) == [
        row[3] for row in ROWS
    ]


def without(row, **changed):
    """The table with one row changed."""
    rows = [dict(zip(("said", "note", "verdict", "stars"), values, strict=True)) for values in ROWS]
    rows[row] |= changed
    return Dataset.from_list(rows)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (
            table(),
            {"text": "sentence"},
            "train has no column sentence; it has: said, note, verdict, stars",
        ),
        (table(), {"label": "score"}, "train has no column score; it has: said"),
        (
            without(4, said="  "),
            {},
            "train, row 5: said must be a text that is not empty, got '  '",
        ),
        (without(4, said=None), {}, "row 5: said must be a text that is not empty, got None"),
        (table(), {"text": "stars"}, "stars must be a text that is not empty, got 0.0"),
        (without(7, verdict=None), {}, "row 8: verdict is None, and every row needs a label"),
        (table(), {"label": "stars"}, "a value and no class: take metrics="),
        (table(), {"metrics": ("pearson",)}, "verdict is 'blame', not a number"),
        (table(), {"metrics": "rouge"}, "unknown metrics {'rouge'}; choose among: accuracy, f1"),
        (table(), {"metrics": ()}, "choose among: accuracy"),
        (table(), {"metrics": ("spearman",)}, "scored by 'pearson'"),
        (table(), {"metrics": ("pearson", "accuracy")}, "scored by 'pearson'"),
        (without(0, verdict="shrug"), {}, "1 rows with the verdict 'shrug', and at least 2"),
        (
            without(0, verdict="shrug"),
            {"metrics": "f1"},
            "f1 is of class 1 of two, and verdict has 3 classes",
        ),
        (
            table([row for row in ROWS if row[2] == "praise"]),
            {},
            "all rows have the verdict 'praise'",
        ),
        (table(), {"name": "sentiment"}, "can't be called 'sentiment'"),
        (table(), {"name": "my task"}, "can't be called 'my task'"),
        (table(), {"text": ("said", "note", "verdict")}, "one or two columns"),
        (table(), {"held_out": "test"}, "no split 'test'; there is: train"),
        ("nowhere.csv", {}, "'nowhere.csv' is neither a folder nor a file"),
        (
            DatasetDict(train=table(), validation=without(0, verdict="shrug")),
            {},
            r"labels \['shrug'\], which train lacks",
        ),
    ],
)
def test_what_would_be_silently_wrong_is_refused(source, options, words):
    with pytest.raises(ValueError, match=words):
        ukd.custom_task(source, **{"text": "said", "label": "verdict"} | options)


def test_records_tables_figures_and_caches_take_an_own_task(tiny, runtime, tmp_path):
    task = ukd.custom_task(table(ROWS * 3), text=("said", "note"), label="verdict", name="meals")
    teacher = ukd.train_teacher(task, config=tiny, runtime=runtime)
    assert ukd.train_teacher(task, config=tiny, runtime=runtime).folder == teacher.folder
    given = {"profile": tiny, "seed": 1, "compute": runtime, "folder": tmp_path}
    records = [
        ukd.distill(task, ukd.get_method(name), teacher, **given) for name in ("kd", "universal-kd")
    ]
    assert "predicted" not in records[0], "no data of others enters a record"
    found = tables(records)
    assert "meals (accuracy)" in found and "| universal-kd " in found
    assert (tmp_path / "figures" / "distance_and_attention.png") in draw_all(
        records, tmp_path / "figures"
    )


def test_an_own_tables_average_counts_its_tasks(tiny, runtime, tmp_path):
    values = ukd.custom_task(
        table(ROWS * 3), text="said", label="stars", metrics=("pearson", "spearman"), name="stars"
    )
    teacher = ukd.train_teacher(values, config=tiny, runtime=runtime)
    record = ukd.distill(
        values,
        ukd.get_method("universal-kd"),
        teacher,
        config=tiny,
        seed=1,
        runtime=runtime,
        folder=tmp_path,
    )
    found = tables([record])
    assert "stars (pearson and spearman)" in found and "average" in found
    draw_all([record], tmp_path / "figures")


def test_a_teacher_that_always_says_one_class_has_not_learned():
    task = ukd.custom_task(table(), text="said", label="verdict")
    assert task.spec.min_teacher_score == pytest.approx(100 * 2 / 3)
    with pytest.raises(ValueError, match="below the floor of 67"):
        check_min_score(task, {"accuracy": 60.0}, enforce=True)
    assert (
        ukd.custom_task(
            table(), text="said", label="verdict", metrics="matthews"
        ).spec.min_teacher_score
        == 0
    )
