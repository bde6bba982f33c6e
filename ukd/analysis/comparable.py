"""Which runs may stand in one table or figure; every other mixture is refused.

Tables of runs have one row a run (see `ukd.analysis.runs.Runs`).
"""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

from ukd.config.keys import config_hash

PAIRING = ("task", "fingerprint", "metrics", "teacher", "teacher_weights")


def pairing_keys(rows: list[dict]) -> list[str]:
    """For each run a key of its task, data, metrics, classes and teacher.

    A record of format 1 names no classes. It has those of the other runs on its rows and labels
    with its teacher, where these agree.
    """
    keys = [config_hash([row[name] for name in PAIRING]) for row in rows]
    classes = defaultdict(set)
    for key, row in zip(keys, rows, strict=True):
        if row["class_names"] is not None:
            classes[key].add(row["class_names"])
    found = []
    for key, row in zip(keys, rows, strict=True):
        known = classes[key]
        names = min(known) if len(known) == 1 else row["class_names"]
        found.append(config_hash([key, names]))
    return found


def newest(table: pd.DataFrame) -> pd.DataFrame:
    """The table without runs that were made again: of two with one seed the newer counts."""
    ordered = table.sort_values("made", kind="stable")
    older = ordered.duplicated(["task", "method_name", "seed"], keep="last")
    return table[~older.reindex(table.index)]


def check_one_group(table: pd.DataFrame) -> None:
    """Raise ValueError for runs that may not stand in one table.

    Those are a task's runs of two budgets, students, teachers or data sets, and a method's runs at
    two learning rates or with two contents of one name.
    """
    apart = (
        ("config_key", "config_key", "budgets, students or precisions"),
        ("pairing_key", "teacher", "teachers or data"),
    )
    for key, named, words in apart:
        counts = table.groupby("task")[key].nunique()
        if (counts > 1).any():
            task = counts.idxmax()
            values = sorted(set(table[table["task"] == task][named]))
            raise ValueError(
                f"the runs on {task} are of several {words} ({'; '.join(values)}): compare one "
                f"group at a time (see `groups`)"
            )
    for (task, name), runs in table.groupby(["task", "method_name"]):
        rates = sorted(set(runs["learning_rate"]))
        if len(rates) > 1:
            raise ValueError(
                f"the runs of {name} on {task} have learning rates "
                f"{', '.join(f'{rate:g}' for rate in rates)}: take those at the rate that their "
                f"search chose (see `at_chosen_rate`)"
            )
        versions = runs["method_settings"].map(config_hash).drop_duplicates()
        if len(versions) > 1:
            several = ", ".join(runs["run"][versions.index])
            raise ValueError(
                f"runs {several} on {task} are all of {name!r}, and its settings differ: compare "
                "one version at a time, or give the changed method a name of its own"
            )
