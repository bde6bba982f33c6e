"""Which runs may stand in one table or figure; every other mixture is refused.

Every function takes a table of runs (see `ukd.analysis.runs.Runs`), one row a run.
"""

from __future__ import annotations

import pandas as pd

from ukd.config.keys import config_hash


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
