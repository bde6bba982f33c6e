"""The synthetic suite's datasheet: counted from its files, and read from the committed runs."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from ukd.analysis.grouping import at_chosen_rate
from ukd.config.text import markdown_table as markdown
from ukd.data.metrics import mean_metric, scores
from ukd.data.tasks import SYNTHETIC, Task, load_task

# Of several teachers the first set's is shown.
SETS = (
    "synthetic-ild",
    "synthetic-search",
    "synthetic-easy",
    "synthetic-cross-architecture",
)
_STUDENT_COLUMNS = {
    "layers": "4-layer student, no KD",
    "bilstm": "BiLSTM of two layers, no KD",
    "gated-cnn": "gated CNN, no KD",
}
COUNTS = (
    "task",
    "kind",
    "columns",
    "train",
    "validation",
    "labels in train",
    "duplicates",
    "overlap",
)
SCORES = (
    "task",
    "metric",
    "majority",
    "bag of words",
    "teacher",
    "its pseudo classifiers, layer 1 to last",
)


def datasheet(runs: pd.DataFrame) -> str:
    """Sizes and difficulty of the suite's tasks, as Markdown.

    runs: the table of the committed runs, of which `SETS` are shown.
    """
    chosen = at_chosen_rate(runs[runs["set"].isin(SETS)])
    chosen = chosen.sort_values("set", key=lambda names: names.map(SETS.index), kind="stable")
    tasks = [load_task(name) for name in SYNTHETIC]
    counts = markdown(COUNTS, [_counts(task) for task in tasks])
    reached = markdown(
        (*SCORES, *_STUDENT_COLUMNS.values()), [_scores(task, chosen) for task in tasks]
    )
    return f"{counts}\n\n{reached}"


def _counts(task: Task) -> list[str]:
    """Examples, labels and repeated texts of a task."""
    train = _texts(task, "train")
    validation = _texts(task, "validation")
    labels = np.array(task.dataset["train"]["label"])
    if task.label_names:
        shares = [np.mean(labels == number) for number in range(task.num_labels)]
        pairs = zip(task.label_names, shares, strict=True)
        balance = ", ".join(f"{name} {share:.0%}" for name, share in pairs)
    else:
        spread = f"mean {labels.mean():.2f}, sd {labels.std():.2f}"
        balance = f"{spread}, {labels.min():.1f} to {labels.max():.1f}"
    duplicates = len(train) + len(validation) - len(set(train)) - len(set(validation))
    return [
        task.name,
        "regression" if task.spec.regression else f"{task.num_labels} classes",
        ", ".join(task.spec.columns),
        f"{len(train):,}",
        f"{len(validation):,}",
        balance,
        str(duplicates),
        str(len(set(train) & set(validation))),
    ]


def _texts(task: Task, split: str) -> list[tuple[str, ...]]:
    """The texts of every example."""
    columns = [task.dataset[split][column] for column in task.spec.columns]
    return list(zip(*columns, strict=True))


def _scores(task: Task, runs: pd.DataFrame) -> list[str]:
    """What guessing, a bag of words, the teacher, its heads and students without KD reach."""
    row = [task.name, " and ".join(task.spec.metrics), majority(task)]
    row.append(f"{mean_metric(bag_of_words(task)):.1f}")
    of_task = runs[runs["task"] == task.name]
    if of_task.empty:
        return [*row, "-", "-", *("-" for _ in _STUDENT_COLUMNS)]
    first = of_task.iloc[0]
    heads = [f"{head['score']:.1f}" for head in first["teacher_heads"]]
    row += [f"{first['teacher_validation']:.1f}", ", ".join(heads)]
    alone = of_task[of_task["method_name"] == "no-kd"]
    kinds = alone["student"].where(alone["student"].isin(_STUDENT_COLUMNS), "layers")
    return row + [_mean_and_spread(alone[kinds == kind]) for kind in _STUDENT_COLUMNS]


def _mean_and_spread(runs: pd.DataFrame) -> str:
    """Validation score over seeds; of two runs with one seed the newer counts."""
    if runs.empty:
        return "-"
    newest = runs.sort_values("made", kind="stable").drop_duplicates("seed", keep="last")
    values = newest["validation"]
    if len(values) < 2:
        return f"{values.iloc[0]:.1f} (n=1)"
    return f"{values.mean():.1f} ± {values.std():.1f} (n={len(values)})"


def bag_of_words(task: Task) -> dict[str, float]:
    """Validation scores of a linear model on words, by metric, in percent.

    Its features are each side's words, and for pairs also the words shared and not shared. It is
    fitted to the end, so that the scores do not depend on how a machine rounds on the way.
    """
    texts = [text for example in _texts(task, "train") for text in example]
    vectorizer = CountVectorizer(binary=True).fit(texts)
    labels = np.array(task.dataset["train"]["label"])
    if task.spec.regression:
        model = Ridge(alpha=10.0)
    else:
        model = LogisticRegression(C=0.1, tol=1e-8, max_iter=10_000)
    model.fit(_word_features(vectorizer, _texts(task, "train")), labels)
    features = _word_features(vectorizer, _texts(task, "validation"))
    if task.spec.regression:
        predicted = model.predict(features).reshape(-1, 1)
    else:
        predicted = model.predict_proba(features)
    gold = np.array(task.dataset["validation"]["label"])
    return scores(predicted, gold, task.spec.metrics)


def _word_features(vectorizer: CountVectorizer, texts: list[tuple[str, ...]]) -> csr_matrix:
    """One row an example: words of each side, words of both, and two counts."""
    sides = [vectorizer.transform(side) for side in zip(*texts, strict=True)]
    if len(sides) == 2:
        one, other = sides
        shared = one.multiply(other)
        apart = one + other - 2 * shared
        sides += [shared, csr_matrix(np.c_[shared.sum(1), apart.sum(1)])]
    return hstack(sides).tocsr()


def majority(task: Task) -> str:
    """Score of always answering the most frequent class; 0 for correlations."""
    if task.spec.regression or "matthews" in task.spec.metrics:
        return "0.0"
    labels = np.array(task.dataset["validation"]["label"])
    most_frequent = np.bincount(labels).argmax()
    always = np.eye(task.num_labels)[np.full(len(labels), most_frequent)]
    with warnings.catch_warnings():
        # That every example gets one class is what is asked for here.
        warnings.simplefilter("ignore", UserWarning)
        return f"{mean_metric(scores(always, labels, task.spec.metrics)):.1f}"
