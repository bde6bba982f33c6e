"""The datasheet of the embedded suite: counted, measured and read from the committed records, written by `ukd datasheet`."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from ukd.config import data_folder
from ukd.data import EMBEDDED, Task, load_task
from ukd.grouping import decided
from ukd.metrics import headline, scores
from ukd.records import read_records
from ukd.results import cells, markdown

STUDENTS = {"": "4-layer student, no KD", "bilstm": "BiLSTM, no KD", "gated-cnn": "gated CNN, no KD"}
SETS = ("embedded-ild", "embedded-search", "embedded-easy", "embedded-cross-architecture")  # of several teachers the first is shown


def datasheet(records: list[dict]) -> str:
    """The table as Markdown; `records` are the committed runs on the embedded suite."""
    tasks = {name: load_task(name) for name in EMBEDDED}
    counted = [_counts(task) for task in tasks.values()]
    measured = [_measured(task, records) for task in tasks.values()]
    sizes = markdown(["task", "kind", "columns", "train", "validation", "labels in train", "duplicates", "overlap"], counted)
    found = markdown(
        ["task", "metric", "majority", "bag of words", "teacher", "its pseudo classifiers, layer 1 to last", *STUDENTS.values()], measured
    )
    return f"{sizes}\n\n{found}"


def _texts(task: Task, split: str) -> list[tuple[str, ...]]:
    return list(zip(*(task.dataset[split][column] for column in task.spec.columns), strict=True))


def _counts(task: Task) -> list[str]:
    train, validation = _texts(task, "train"), _texts(task, "validation")
    labels = np.array(task.dataset["train"]["label"])
    if task.label_names:
        balance = ", ".join(f"{name} {np.mean(labels == i):.0%}" for i, name in enumerate(task.label_names))
    else:
        balance = f"mean {labels.mean():.2f}, sd {labels.std():.2f}, {labels.min():.1f} to {labels.max():.1f}"
    duplicates = len(train) + len(validation) - len(set(train)) - len(set(validation))
    kind = "regression" if task.spec.regression else f"{task.num_labels} classes"
    return [
        task.name, kind, ", ".join(task.spec.columns), f"{len(train):,}", f"{len(validation):,}", balance, str(duplicates),
        str(len(set(train) & set(validation))),
    ]  # fmt: skip


def bag_of_words(task: Task) -> dict[str, float]:
    """Validation scores of a linear model on words: each side's own, and for pairs also the words shared and not shared.

    Fitted to the end, so that the scores are those of the data and not of how a machine rounds on the way there.
    """
    vectorizer = CountVectorizer(binary=True).fit([text for texts in _texts(task, "train") for text in texts])

    def features(split: str) -> csr_matrix:
        sides = [vectorizer.transform(side) for side in zip(*_texts(task, split), strict=True)]
        if len(sides) == 2:
            shared = sides[0].multiply(sides[1])
            sides += [shared, csr_matrix(np.c_[shared.sum(1), (sides[0] + sides[1] - 2 * shared).sum(1)])]
        return hstack(sides).tocsr()

    labels = np.array(task.dataset["train"]["label"])
    model = Ridge(alpha=10.0) if task.spec.regression else LogisticRegression(C=0.1, tol=1e-8, max_iter=10_000)
    model.fit(features("train"), labels)
    x = features("validation")
    predicted = model.predict(x).reshape(-1, 1) if task.spec.regression else model.predict_proba(x)
    return scores(predicted, np.array(task.dataset["validation"]["label"]), task.spec.metrics)


def majority(task: Task) -> str:
    """Headline score of always answering the most frequent class, without warnings; "-" for regression."""
    if task.spec.regression or "matthews" in task.spec.metrics:
        return "0.0"
    labels = np.array(task.dataset["validation"]["label"])
    always = np.eye(task.num_labels)[np.full(len(labels), np.bincount(labels).argmax())]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f"{headline(scores(always, labels, task.spec.metrics)):.1f}"


def _measured(task: Task, records: list[dict]) -> list[str]:
    mine = [record for record in records if record["task"] == task.name]
    row = [task.name, " and ".join(task.spec.metrics), majority(task), f"{headline(bag_of_words(task)):.1f}"]
    if not mine:
        return [*row, "-", "-", *("-" for _ in STUDENTS)]
    teacher = mine[0]["teacher"]
    by_layer = ", ".join(f"{headline(layer['scores']):.1f}" for layer in teacher["by_layer"])
    kind = lambda record: "" if record["settings"]["student_layers"] else record["settings"]["student"]  # noqa: E731
    alone = {name: cells(r for r in mine if kind(r) == name).get(("no-kd", task.name), "-") for name in STUDENTS}
    students = [str(cell) for cell in alone.values()]
    return [*row, f"{headline(teacher['scores']['validation']):.1f}", by_layer, *students]


def committed() -> list[dict]:
    """The records the datasheet is made from: those on the embedded suite."""
    found = [record for name in SETS if (folder := data_folder() / "runs" / name).is_dir() for record in read_records(folder)]
    return decided([record for record in found if "teacher" in record])
