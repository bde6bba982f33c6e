"""Tasks of one's own: any table of texts and labels, and errors that say what is there."""

import csv

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import ukd
from ukd.training.scoring import check_min_score

NAMES = ("said", "note", "verdict", "stars")
ROWS = []
for number in range(60):
    mood = "good" if number % 3 else "bad"
    verdict = "praise" if number % 3 else "blame"
    ROWS.append((f"the meal was {mood}, number {number}", f"note {number}", verdict, number / 10))
GIVEN = {"text": "said", "label": "verdict"}
BOTH = {"text": ("said", "note"), "label": "verdict"}


def table(rows=ROWS):
    return Dataset.from_dict({name: [row[i] for row in rows] for i, name in enumerate(NAMES)})


def written(path, rows=ROWS):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([NAMES, *rows])
    return path


def sizes(task):
    return {split: len(rows) for split, rows in task.dataset.items()}


def test_a_file_becomes_a_task_with_its_own_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UKD_QUIET", "0")
    task = ukd.custom_task(written(tmp_path / "rows.csv"), **BOTH, name="meals")
    assert (task.name, task.num_labels, task.label_names) == ("meals", 2, ("blame", "praise"))
    assert task.spec.columns == ("said", "note")
    assert task.dataset["train"].column_names == ["said", "note", "label", "idx"]
    assert sizes(task) == {"train": 48, "validation": 12}
    labels = list(task.dataset["validation"]["label"])
    assert [labels.count(0), labels.count(1)] == [4, 8], "each class keeps its share"
    logged = capsys.readouterr().err
    assert "meals: classes 0 = blame, 1 = praise" in logged
    assert "12 of 60 rows held out" in logged


def test_what_is_held_out_depends_on_the_seed_alone():
    held_out = []
    for seed in (0, 0, 1):
        task = ukd.custom_task(table(), **GIVEN, seed=seed)
        held_out.append(set(task.dataset["validation"]["said"]))
    assert held_out[0] == held_out[1] != held_out[2]
    assert not set(task.dataset["train"]["said"]) & held_out[2]


def test_equal_rows_have_equal_fingerprints_wherever_they_are(tmp_path):
    table().to_json(tmp_path / "rows.jsonl")
    table().to_parquet(tmp_path / "rows.parquet")
    table().to_csv(tmp_path / "rows.tsv", sep="\t", index=False)
    sources = [table(), written(tmp_path / "a.csv"), str(written(tmp_path / "b.csv"))]
    sources += sorted(tmp_path.glob("rows.*"))
    assert len(sources) == 6
    found = {ukd.custom_task(source, **GIVEN).fingerprint for source in sources}
    assert len(found) == 1
    other = ukd.custom_task(table(), text="note", label="verdict")
    assert other.fingerprint not in found


@pytest.mark.parametrize("ending", ["csv", "json", "folder"])
def test_a_changed_file_is_read_anew(ending, tmp_path):
    path = tmp_path / f"rows.{ending}"
    if ending == "folder":
        path.mkdir()

    def write(rows):
        if ending == "json":
            table(rows).to_json(path)
        else:
            written(path / "train.csv" if ending == "folder" else path, rows)
        return ukd.custom_task(path, **GIVEN)

    before = write(ROWS)
    after = write([(text.upper(), *others) for text, *others in ROWS])
    assert before.fingerprint != after.fingerprint
    assert after.dataset["train"]["said"][0].startswith("THE MEAL")


def test_splits_that_are_there_are_used(tmp_path):
    splits = DatasetDict(train=table(), test=table(ROWS[:20]))
    alone = ukd.custom_task(splits, **GIVEN)
    assert sizes(alone) == {"train": 48, "validation": 12}, "a test split is left alone"
    task = ukd.custom_task(splits, **GIVEN, held_out="test")
    assert sizes(task) == {"train": 60, "validation": 20}
    splits["validation"] = splits.pop("test")
    splits.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "files").mkdir()
    written(tmp_path / "files" / "train.csv")
    written(tmp_path / "files" / "validation.csv", ROWS[:20])
    for source in ("saved", "files"):
        assert ukd.custom_task(tmp_path / source, **GIVEN).fingerprint == task.fingerprint
    table().save_to_disk(str(tmp_path / "one"))
    half = ukd.custom_task(tmp_path / "one", **GIVEN, held_out=0.5)
    assert sizes(half) == {"train": 30, "validation": 30}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([2, 1, 2], ("1", "2")),
        ([True, False, True], ("False", "True")),
        (["no", "yes", "no"], ("no", "yes")),
    ],
)
def test_labels_of_several_kinds_become_classes(labels, names):
    texts = [f"row {number}" for number in range(30)]
    task = ukd.custom_task(Dataset.from_dict({"text": texts, "label": labels * 10}), text="text")
    assert task.label_names == names
    for row in task.dataset["train"]:
        number = int(row["text"].split()[1])
        assert task.label_names[row["label"]] == str(labels[number % 3])


def test_classes_that_have_an_order_keep_it():
    kind = Features({"text": Value("string"), "label": ClassLabel(names=["yes", "no"])})
    texts = [f"row {number}" for number in range(20)]
    rows = Dataset.from_dict({"text": texts, "label": [0, 1] * 10}, features=kind)
    assert ukd.custom_task(rows, text="text").label_names == ("yes", "no")


def test_values_are_values():
    metrics = ("pearson", "spearman")
    task = ukd.custom_task(table(), text=("said", "note"), label="stars", metrics=metrics)
    assert task.spec.regression and task.num_labels == 1 and task.label_names is None
    values = [*task.dataset["train"]["label"], *task.dataset["validation"]["label"]]
    assert sorted(values) == [row[3] for row in ROWS]


def changed(number, **columns):
    """The table with one row changed."""
    rows = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    rows[number] |= columns
    return Dataset.from_list(rows)


ONE_CLASS = table([row for row in ROWS if row[2] == "praise"])
NEW_CLASS = DatasetDict(train=table(), validation=changed(0, verdict="shrug"))


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (table(), {"text": "sentence"}, "train has no column sentence; it has: said, note, ver"),
        (table(), {"label": "score"}, "train has no column score; it has: said"),
        (changed(4, said="  "), {}, "train, row 5: said must be a text that is not empty, got"),
        (changed(4, said=None), {}, "row 5: said must be a text that is not empty, got None"),
        (table(), {"text": "stars"}, "stars must be a text that is not empty, got 0.0"),
        (changed(7, verdict=None), {}, "row 8: verdict is None, and every row needs a label"),
        (table(), {"label": "stars"}, "a value and no class: take metrics="),
        (table(), {"metrics": ("pearson",)}, "verdict is 'blame', not a number"),
        (table(), {"metrics": "rouge"}, "unknown metrics rouge; choose among: accuracy, f1"),
        (table(), {"metrics": ()}, "choose among: accuracy"),
        (table(), {"metrics": ("spearman",)}, "scored by 'pearson'"),
        (table(), {"metrics": ("pearson", "accuracy")}, "scored by 'pearson'"),
        (changed(0, verdict="shrug"), {}, "1 rows with the verdict 'shrug', and at least 2"),
        (changed(0, verdict="shrug"), {"metrics": "f1"}, "class 1 of two, and verdict has 3"),
        (ONE_CLASS, {}, "all rows have the verdict 'praise'"),
        (table(), {"name": "sentiment"}, "can't be called 'sentiment'"),
        (table(), {"name": "my task"}, "can't be called 'my task'"),
        (table(), {"text": ("said", "note", "verdict")}, "one or two columns"),
        (table(), {"held_out": "test"}, "no split 'test'; there is: train"),
        ("nowhere.csv", {}, "there is no file or folder 'nowhere.csv'"),
        (NEW_CLASS, {}, r"labels \['shrug'\], which train lacks"),
    ],
)
def test_what_would_be_silently_wrong_is_refused(source, options, words):
    with pytest.raises(ValueError, match=words):
        ukd.custom_task(source, **GIVEN | options)


@pytest.mark.slow
def test_a_custom_task_is_taught_and_its_data_enters_no_record(tiny, runtime, tmp_path):
    task = ukd.custom_task(table(ROWS * 3), **BOTH, name="meals")
    teacher = ukd.train_teacher(task, config=tiny, runtime=runtime)
    assert ukd.train_teacher(task, config=tiny, runtime=runtime).folder == teacher.folder
    method = ukd.get_method("universal-kd")
    options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path}
    record = ukd.distill(task, method, teacher, **options)
    assert record.predictions is None and record.data.class_names == ("blame", "praise")
    assert set(record.scores["validation"]) == {"accuracy"}


@pytest.mark.slow
def test_values_are_taught(tiny, runtime, tmp_path):
    metrics = ("pearson", "spearman")
    task = ukd.custom_task(table(ROWS * 3), text="said", label="stars", metrics=metrics, name="s")
    teacher = ukd.train_teacher(task, config=tiny, runtime=runtime)
    method = ukd.get_method("universal-kd")
    options = {"config": tiny, "seed": 1, "runtime": runtime, "folder": tmp_path}
    record = ukd.distill(task, method, teacher, **options)
    assert tuple(record.scores["validation"]) == metrics and record.data.class_names is None


def test_a_teacher_that_always_predicts_one_class_has_not_learned():
    task = ukd.custom_task(table(), **GIVEN)
    assert task.spec.min_teacher_score == pytest.approx(100 * 2 / 3)
    with pytest.raises(ValueError, match="below the least score of 67"):
        check_min_score(task, {"accuracy": 60.0}, enforce=True)
    other = ukd.custom_task(table(), **GIVEN, metrics="matthews")
    assert other.spec.min_teacher_score == 0


@pytest.mark.parametrize("name", ["extra.csv", "mydev.csv", "more.jsonl"])
def test_a_file_in_a_folder_that_no_split_takes_is_named(name, tmp_path):
    written(tmp_path / "train.csv")
    (tmp_path / "README.md").write_text("Meals.")
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vocab.csv").write_text("word")
    assert sizes(ukd.custom_task(tmp_path, **GIVEN)) == {"train": 48, "validation": 12}
    written(tmp_path / name)
    with pytest.raises(ValueError, match=f"has {name}, which no split takes: begin the name with"):
        ukd.custom_task(tmp_path, **GIVEN)


def test_values_in_a_column_without_a_name_are_refused_and_pandas_numbers_are_not(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [f"{number},praise,good {number}" for number in range(30)]
    rows += [f"{number},blame,bad {number}" for number in range(30, 60)]
    path.write_text("\n".join([",verdict,said", *rows]))
    assert sizes(ukd.custom_task(path, **GIVEN))["train"] == 48
    cut = [f"praise,good {number}, but the end is bad" for number in range(30)]
    path.write_text("\n".join(["verdict,said,", *cut]))
    with pytest.raises(ValueError, match="values in column 3, which has no name: name it, or put"):
        ukd.custom_task(path, **GIVEN)
