"""Which runs belong together: names of methods, keys of configurations, the outcome of a search.

Every function takes a table of runs (see `ukd.analysis.runs.Runs`), one row a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product

import pandas as pd

from ukd.analysis.columns import with_means
from ukd.analysis.comparable import pairing_keys
from ukd.config.choices import PRECISIONS, STAGE_COUNTS
from ukd.config.keys import config_hash
from ukd.config.scenarios import SCENARIOS
from ukd.data.tasks import SPECS
from ukd.methods.method import OPTIONS
from ukd.methods.own_maps import shown
from ukd.methods.registry import METHODS, OF_ATTENTION, attends, parse_method
from ukd.methods.stage_options import changed_stage_options
from ukd.training.grid import best_learning_rate
from ukd.training.run_record import method_settings

DATA = ("task", "fingerprint", "metrics")  # class names are in no record of format 1
LAYERS_TAKEN = {
    "first": "its first {} layers",
    "spread": "{} of its layers, evenly spread",
    "last": "its last {} layers",
}


def method_name(method: str, settings: Mapping) -> str:
    """A method's name with its options that differ from the default: "kd (temperature=4.0)"."""
    usual = method_settings(METHODS[method]) if method in METHODS else settings
    moved = settings["hidden"] is not None and usual["hidden"] is None
    attended = any(one["intermediate"] or (moved and one["hidden"]) for one in settings["stages"])
    attended = attended and attends(settings["layer_map"])
    idle = () if attended else OF_ATTENTION
    changed = [
        f"{option}={shown(str(settings[option]))}"
        for option in OPTIONS
        if option not in idle and settings[option] != usual[option]
    ]
    changed += changed_stage_options(settings, usual)
    if len(settings["stages"]) != len(usual["stages"]):
        changed.append(f"stages={STAGE_COUNTS[len(settings['stages']) - 1]}")
    if moved:
        changed.append("space=hidden")
    return f"{method} ({', '.join(changed)})" if changed else method


def scenario_runs(scenario: str, table: pd.DataFrame) -> pd.DataFrame:
    """The runs of a scenario's methods (see `ukd.config.scenarios`)."""
    methods = [parse_method(text) for text in SCENARIOS[scenario]]
    names = {method_name(method.name, method_settings(method)) for method in methods}
    return table[table["method_name"].isin(names)]


def config_key(row: Mapping, *, rate: str | None = None, precision: str | None = None) -> str:
    """How a run was made, in words: preset, encoder and budget; runs of one table share it.

    rate: words for the learning rate, by default the run's own, or those that its search tried.
    precision: by default the run's own.
    """
    parts = [
        f"preset {row['preset']}",
        f"teacher from {row['teacher_encoder']} ({row['teacher_layers']} layers, "
        f"learning rate {row['teacher_learning_rate']:g})",
        f"student: {student_description(row)}",
        f"{row['epochs']} epochs of batch size {row['batch_size']} at {rate or _rate(row)}",
        f"{row['max_length']} tokens",
        precision or row["precision"],
    ]
    if row["max_train"]:
        parts.append(f"at most {row['max_train']:,} labels")
    if row["max_validation"]:
        parts.append(f"at most {row['max_validation']:,} validation examples")
    if row["selection_split"] == "validation":
        parts.append("epochs chosen on the split reported")
    return ", ".join(parts)


def _rate(row: Mapping) -> str:
    """The students' learning rate, or the rates that every method tried."""
    if not row["search"]:
        return own_rate(row)
    search = json.loads(row["search"])
    tasks_of_rates: dict[str, list[str]] = {}
    for task, rates in search["rates"].items():
        words = ", ".join(f"{rate:g}" for rate in rates)
        tasks_of_rates.setdefault(words, []).append(task)
    seeds = f"n={len(search['seeds'])}"
    if len(search["rates"]) == 1:
        ((words, (task,)),) = tasks_of_rates.items()
        return f"each method's best learning rate of {words} (chosen on dev of {task}, {seeds})"
    words = "; ".join(f"{rates} on {', '.join(tasks)}" for rates, tasks in tasks_of_rates.items())
    return f"each method's best learning rate of {words} (chosen on the task's dev, {seeds})"


def own_rate(row: Mapping) -> str:
    """Words for the learning rate that a run had, searched or not."""
    return f"learning rate {row['learning_rate']:g}"


def student_description(row: Mapping) -> str:
    """What the students of a configuration are."""
    if row["layer_selection"]:
        words = LAYERS_TAKEN[row["layer_selection"]].format(row["student_depth"])
        tuned = " as the fine-tuned teacher has them" if row["student_init"] == "teacher" else ""
        return words + tuned
    depth = f" of {row['student_depth']:g} layers" if row["student_depth"] else ""
    start = f", embeddings {row['embeddings']}" if row["embeddings"] else ""
    return row["student"] + depth + start


def with_names(table: pd.DataFrame) -> pd.DataFrame:
    """The table with method_name, config_key and pairing_key.

    pairing_key: names task, data, metrics, classes and teacher. Scores are compared within one.
    """
    named = table.copy()
    rows = table.to_dict("records")
    named["method_name"] = [method_name(row["method"], row["method_settings"]) for row in rows]
    named["config_key"] = [config_key(row) for row in rows]
    named["pairing_key"] = pairing_keys(rows)
    return named


def groups(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs that may stand in one table, by a heading.

    No group holds two configurations, and none two teachers or two sets of data for one task.
    Where that parts runs of one configuration, the heading names data and teachers.
    """
    found = {}
    for key, runs in table.groupby("config_key", sort=True):
        variants = _variants(runs)
        for number in sorted(set(variants)):
            chosen = runs[variants == number]
            parted = variants.max() > 0
            found[f"{key}; {_pairings(chosen, runs)}" if parted else key] = chosen
    return found


def _variants(runs: pd.DataFrame) -> pd.Series:
    """For each run the number of its pairing among those of its task, the oldest first."""
    oldest = runs.groupby(["task", "pairing_key"])["made"].min().reset_index()
    oldest = oldest.sort_values(["task", "made", "pairing_key"])
    oldest["number"] = oldest.groupby("task").cumcount()
    # By task too: a further split has the pairing of the task that it belongs to.
    pairs = ["task", "pairing_key"]
    numbers = runs[pairs].merge(oldest, on=pairs, how="left")["number"]
    return numbers.set_axis(runs.index)


def _pairings(chosen: pd.DataFrame, runs: pd.DataFrame) -> str:
    """The data and teachers of the chosen runs; what else parts them from the others is named."""
    words = []
    for row in chosen.drop_duplicates("task").to_dict("records"):
        parts = [f"data {row['fingerprint']}", f"teacher {row['teacher']}"]
        others = runs[runs["task"] == row["task"]]
        for name in ("metrics", "class_names"):
            if others[name].map(str).nunique() > 1:
                values = ", ".join(row[name] or ["unknown"])
                parts.append(f"{name.replace('_', ' ')} {values}")
        words.append(f"{row['task']}: {', '.join(parts)}")
    return "; ".join(words)


def at_chosen_rate(table: pd.DataFrame) -> pd.DataFrame:
    """Keep only the runs at the learning rate chosen by the search, and those of no search.

    A search with a run missing decides nothing: its runs are left out. Of equal rates the lower
    one is chosen. What is returned has a column `rate_decided`: asked again, its runs are kept,
    where the search would now seem to lack those that were not chosen.
    """
    if "rate_decided" not in table:
        table = table.assign(rate_decided=False)
    searched = table["search"].notna() & ~table["rate_decided"].astype(bool)
    kept = [table[~searched]]
    for group in groups(table[searched]).values():
        for _, runs in group.groupby("method_name", sort=False):
            kept.append(_at_best_rate(runs))
    return pd.concat(kept).assign(rate_decided=True)


def _at_best_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """Of one method's runs in a search those at the best rate of their task."""
    search = json.loads(runs["search"].iloc[0])
    best = {}
    for task, rates in search["rates"].items():
        tried = attempts(runs, task)
        pairs = set(zip(tried["learning_rate"], tried["seed"], strict=True))
        if pairs == set(product(rates, search["seeds"])):
            best[task] = best_learning_rate(zip(tried["learning_rate"], tried["dev"], strict=True))
    if len(search["rates"]) == 1:  # the choice of one task serves all
        chosen = pd.Series(best.get(next(iter(search["rates"]))), runs.index, dtype=float)
    else:
        chosen = runs["task"].map(best).astype(float)
    return runs[runs["learning_rate"] == chosen]


def attempts(runs: pd.DataFrame, task: str) -> pd.DataFrame:
    """Of one method's runs in a search those on a task that it asked for, one a rate and seed.

    Of two runs the newer counts.
    """
    search = json.loads(runs["search"].iloc[0])
    meant = runs[
        (runs["task"] == task)
        & runs["learning_rate"].isin(search["rates"][task])
        & runs["seed"].isin(search["seeds"])
    ]
    newest = meant.sort_values("made", kind="stable")
    newest = newest.drop_duplicates(["learning_rate", "seed"], keep="last")
    return newest.sort_values(["learning_rate", "seed"])


def like(table: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Those of the known runs that have data and a configuration of the table, in its precision.

    Where there are none, those in another precision, the first of `PRECISIONS`.
    """
    for precision in (None, "any precision"):
        keys = _exact_keys(table, precision)
        found = known[_exact_keys(known, precision).isin(set(keys))]
        if len(found):
            one = found["precision"] == min(found["precision"], key=PRECISIONS.index)
            return found if precision is None else found[one]
    return known.iloc[:0]


def _exact_keys(table: pd.DataFrame, precision: str | None) -> pd.Series:
    rows = table.to_dict("records")
    keys = []
    for row in rows:
        words = config_key(row, rate=own_rate(row), precision=precision)
        keys.append(config_hash([words, *(row[name] for name in DATA)]))
    return pd.Series(keys, table.index, dtype=object)


def explode_extra_splits(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a row for each further split that a run was scored on, as a task of its own.

    MNLI's mismatched part becomes "mnli (validation_mismatched)".
    """
    found = [table]
    for index, row in table.iterrows():
        split = SPECS[row["task"]].extra_split if row["task"] in SPECS else None
        if split not in row["scores"]:
            continue
        copy = table.loc[[index]].copy()
        copy["task"] = f"{row['task']} ({split})"
        unknown = dict.fromkeys(row["metrics"], float("nan"))  # of a teacher without that split
        rows = row["examples"]["validation"]
        for name, other in (("scores", None), ("teacher_scores", unknown), ("examples", rows)):
            copy[name] = [row[name] | {"validation": row[name].get(split, other)}]
        found.append(with_means(copy))
    return pd.concat(found, ignore_index=True)


def whole(task: str) -> bool:
    """Whether this is a task, and no further split of one, which counts in no average."""
    return " (" not in task


def metrics_of(task: str, table: pd.DataFrame) -> str:
    """A task's metrics in words."""
    return " and ".join(table[table["task"] == task]["metrics"].iloc[0])


def ordered(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Names in the order in which they are known, the others after them by alphabet."""
    rank = {name: position for position, name in enumerate(known)}
    return sorted(names, key=lambda name: (rank.get(name.split(" (")[0], len(rank)), name))


def tasks_of(table: pd.DataFrame) -> list[str]:
    """The tasks of the runs, in the order of the suites."""
    return ordered(set(table["task"]), SPECS)


def methods_of(table: pd.DataFrame) -> list[str]:
    """The methods of the runs by name, in the order of the registry."""
    return ordered(set(table["method_name"]), METHODS)
