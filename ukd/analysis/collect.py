"""Adding runs to the store, and the search over learning rates that they make up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd

from ukd.analysis.columns import joined
from ukd.analysis.grouping import config_key, ordered, with_names
from ukd.analysis.rows import CONFIGS, Tables, tables_of, teacher_row
from ukd.analysis.runs import as_runs, committed_runs
from ukd.analysis.store import (
    UNCOMMITTED,
    Store,
    is_store,
    problems,
    read_store,
    replace_folder,
)
from ukd.config.choices import EACH_TASK
from ukd.config.locks import folder_lock
from ukd.data.tasks import SPECS
from ukd.training.run_record import RunRecord


def add_runs(
    set: str,
    records: Iterable[RunRecord],
    *,
    folder: Path | None = None,
    title: str | None = None,
    command: str = "",
    search_task: str | None = None,
    others: Iterable[str] = (),
) -> list[str]:
    """Add runs to a set of the store, all of them or none; returns the hashes of those added.

    Args:
        set: its name; a new one is made, with title and command.
        search_task: a task whose dev split chose the learning rate for all, or "each"; by default
            there was no search. others: sets whose runs count in the search, too.

    Raises: ValueError for records of uncommitted code, runs or teachers that are there with other
        content, runs that another set has, and a search in which a method lacks a run.
    """
    folder = Path(folder) if folder is not None else committed_runs()
    records = list(records)
    if not records:
        raise ValueError("no finished runs to add: make some with `ukd reproduce` or `ukd run`")
    as_runs(records)  # one that no table can be made of is refused
    others = list(others)
    if others and search_task is None:
        raise ValueError("sets of other runs count in a search alone: name the task of the search")
    with folder_lock(folder):
        store = read_store(folder) if is_store(folder) else _empty_store()
        new = [record for record in records if _is_new(record, set, store)]
        _check_teachers(new)
        known = store.sets.get(set)
        if known is not None and (search_task or "search" in known):
            raise ValueError(f"set {set} is there, and a search is noted once: choose another name")
        search = _search(search_task, records, others, store) if search_task else None
        sets_text = _sets_text(folder)
        if known is None:
            content = {"title": title or set, "command": command}
            store.sets[set] = content | ({"search": search} if search else {})
            sets_text += _toml(set, store.sets[set])
        tables = _together(store.tables, tables_of(new, set))
        changed = Store(tables, store.sets)
        if wrong := problems(changed):
            raise ValueError(f"the runs can't be added: {wrong[0]}")
        replace_folder(folder, changed, sets_text)
    return [record.hash for record in new]


def _empty_store() -> Store:
    return Store(tables_of([], ""), {})


def _sets_text(folder: Path) -> str:
    path = folder / "sets.toml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _is_new(record: RunRecord, set_name: str, store: Store) -> bool:
    """Whether the store lacks a run. Raises ValueError where it may not be added."""
    commit = record.provenance.commit or ""
    if commit.endswith(UNCOMMITTED):
        raise ValueError(
            f"run {record.hash} was made by code that no commit holds ({commit}): commit, run again"
        )
    runs = store.tables.runs
    there = runs[runs["run"] == record.hash]
    if there.empty:
        _check_teacher(record, store)
        return True
    if there["set"].iloc[0] != set_name:
        raise ValueError(f"run {record.hash} is in set {there['set'].iloc[0]} already")
    row = tables_of([record], set_name).runs.iloc[0]
    for name in row.index:
        kept = there[name].iloc[0] if name in there else None
        if not (kept == row[name] or (pd.isna(kept) and pd.isna(row[name]))):
            raise ValueError(
                f"run {record.hash} is there with {name} {kept}, not {row[name]}: "
                f"runs are never overwritten"
            )
    return False


def _check_teacher(record: RunRecord, store: Store) -> None:
    """Raise ValueError for a teacher that the store has with other scores."""
    tables, key = store.tables, record.teacher.key
    kept = tables.teachers[tables.teachers["teacher"] == key] if len(tables.teachers) else ()
    row = tables_of([record], "").teachers.iloc[0]
    for name in row.index if len(kept) else ():
        value = kept[name].iloc[0] if name in kept else None
        if not (value == row[name] or (pd.isna(value) and pd.isna(row[name]))):
            raise ValueError(
                f"teacher {key} of run {record.hash} is there with {name} {value}, "
                f"not {row[name]}: runs of two teachers can't share a key"
            )


def _check_teachers(records: list[RunRecord]) -> None:
    """Raise ValueError where two records have one teacher's key and other scores or weights."""
    known: dict[str, tuple[str, dict]] = {}
    for record in records:
        key, row = record.teacher.key, teacher_row(record.teacher)
        run, first = known.setdefault(key, (record.hash, row))
        if row != first:
            raise ValueError(
                f"runs {run} and {record.hash} have teacher {key} with other weights or scores: "
                f"runs of two teachers can't share a key"
            )


def _together(known: Tables, new: Tables) -> Tables:
    """Both tables, the new rows last; a teacher that is known is not added again."""
    fresh = ~new.teachers["teacher"].isin(known.teachers["teacher"])
    keys = set(new.teachers["teacher"][fresh])
    return Tables(
        runs=_stacked(known.runs, new.runs),
        teachers=_stacked(known.teachers, new.teachers[fresh]),
        heads=_stacked(known.heads, new.heads[new.heads["teacher"].isin(keys)]),
        details=_stacked(known.details, new.details),
        predictions=_stacked(known.predictions, new.predictions),
        configs={kind: known.configs[kind] | new.configs[kind] for kind in CONFIGS},
    )


def _stacked(known: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    parts = [part for part in (known, new) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else known


def _toml(name: str, content: dict) -> str:
    """A set as TOML, whose strings and lists are those of JSON."""
    lines = [f"\n[{name}]"]
    lines += [f"{key} = {json.dumps(content[key])}" for key in ("title", "command")]
    if search := content.get("search"):
        lines += [f"\n[{name}.search]", f"seeds = {json.dumps(search['seeds'])}"]
        lines += [f"counts = {json.dumps(search['counts'], indent=1)}", f"\n[{name}.search.rates]"]
        lines += [f"{task} = {json.dumps(rates)}" for task, rates in search["rates"].items()]
    return "\n".join(lines) + "\n"


def _search(task: str, records: list[RunRecord], others: list[str], store: Store) -> dict:
    """The search that these runs and those of other sets make up.

    Raises: ValueError where a method lacks a run of it: no method gets a smaller search.
    """
    new = as_runs([replace(record, search=None) for record in records]).table
    budgets = sorted(set(_budgets(new)))
    if len(budgets) != 1:
        raise ValueError(
            "a search compares runs that differ in method, learning rate and seed alone; "
            f"these are of {len(budgets)} kinds: {'; '.join(budgets)}"
        )
    counted = _counted(others, new, store)
    every = pd.concat([new, counted])
    seeds = sorted(set(new["seed"]))
    tasks = [task] if task != EACH_TASK else ordered(set(every["task"]), SPECS)
    rates = {}
    for name in tasks:
        rates[name] = sorted(set(every[every["task"] == name]["learning_rate"]))
    if not any(len(tried) > 1 for tried in rates.values()):
        raise ValueError(f"no search: the runs have rates {rates}; a task needs two or more")
    for name in tasks:
        here = every[every["task"] == name]
        methods = here if task == EACH_TASK else every
        for method in sorted(set(methods["method_name"])):
            runs = here[here["method_name"] == method]
            made = set(zip(runs["learning_rate"], runs["seed"], strict=True))
            if missing := sorted(set(product(rates[name], seeds)) - made):
                rate, seed = missing[0]
                raise ValueError(
                    f"{method} was not run on {name} at learning rate {rate:g} with seed {seed}, "
                    f"as others were: run it first"
                )
    return {"rates": rates, "seeds": seeds, "counts": list(counted["run"])}


def _budgets(table: pd.DataFrame) -> list[str]:
    rows = table.to_dict("records")
    return [config_key(row, rate="any learning rate") for row in rows]


def _counted(others: list[str], new: pd.DataFrame, store: Store) -> pd.DataFrame:
    """The runs of other sets that have a method and budget of the new ones."""
    if not others:
        return new.iloc[:0]
    for name in others:
        if name not in store.sets:
            raise ValueError(f"no set {name}; choose among: {', '.join(store.sets) or 'none'}")
    table = with_names(joined(store.tables).assign(search=None))
    table = table[table["set"].isin(others) & ~table["run"].isin(new["run"])]
    pairs = set(zip(new["method_name"], _budgets(new), strict=True))
    pairs_there = zip(table["method_name"], _budgets(table), strict=True)
    return table[[pair in pairs for pair in pairs_there]]
