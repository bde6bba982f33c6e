"""The store of runs: loading them, adding to them, checking them.

`data/runs` holds all committed runs in a few files (see `ukd.analysis.store`); a new run adds one
line to `runs.csv`. Tables and figures are derived from `Runs`, of the store or of fresh records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ukd.analysis.columns import joined
from ukd.analysis.comparable import check_one_group, newest
from ukd.analysis.grouping import with_names
from ukd.analysis.rows import tables_of
from ukd.analysis.store import Store, counted_runs, is_store, problems, read_store
from ukd.config.paths import data_folder, in_clone
from ukd.config.verified import ASIDE, NOTE, noted
from ukd.training.run_record import MISSHAPEN, RECORD, RunRecord

# Sets of the committed runs that texts and figures are made from.
SUITE = "synthetic-ild"  # every method at one learning rate
SEARCH = "synthetic-search"  # the core methods, each at the best of the rates that all tried
REAL = "cola-mpnet"  # a pretrained encoder on CoLA
FIRST_LOOK = "synthetic-first-look"  # what `make reproduce` runs
TERM = "synthetic-term"  # options of the intermediate term, two kinds of student
SEARCHED_LOOK = "synthetic-first-look-searched"  # the same, each method at its best rate
MAP_STUDY = "synthetic-layer-maps"  # layer maps alone, ten seeds to choose and ten to confirm
MAP_STUDY_CNN = "synthetic-layer-maps-cnn"  # the same with a gated CNN, nothing chosen
REAL_SST2 = "sst2-mpnet"  # that encoder on SST-2
REAL_OTHER = "sst2-mpnet-other"  # the same to a BiLSTM and a gated CNN
REAL_LSTM = "cola-mpnet-bilstm"  # to a BiLSTM on CoLA
FIRST_TEACHER = "cola-mpnet-first"  # an earlier teacher of it, at another learning rate
CAPACITY_GAP = "cola-mpnet-minilm"  # it teaches a narrow pretrained student
CROSS_ARCHITECTURE = "synthetic-cross-architecture"  # a BiLSTM of two layers and a gated CNN
SYNTHETIC_GAP = "synthetic-capacity-gap"  # the bundled encoder to two of its layers
EASY = "synthetic-easy"  # two tasks that leave nothing to distil
NO_SET = "records"  # the set of runs that belong to no set of the store


@dataclass(frozen=True)
class Runs:
    """Runs as a table, with what they keep besides.

    table: one row a run (see `ukd.analysis.columns.joined`), with method_name, config_key and
        pairing_key; search is JSON with the learning rates that were tried, or None.
    details: one number a row (see `ukd.analysis.rows.detail_rows`).
    predictions: run and predictions.
    sets: name -> {"title", "command", "search"}.
    """

    table: pd.DataFrame
    details: pd.DataFrame
    predictions: pd.DataFrame
    sets: dict[str, dict]

    def __len__(self) -> int:
        return len(self.table)

    def where(self, mask: pd.Series) -> Runs:
        """The runs of those rows of the table."""
        return self.only(self.table[mask])

    def only(self, table: pd.DataFrame) -> Runs:
        """The same with another table, such as one group's."""
        return replace(self, table=table)

    def of(self, method_name: str, task: str | None = None) -> Runs:
        """The runs of a method by its full name, on one task or on all."""
        mask = self.table["method_name"] == method_name
        return self.where(mask & (self.table["task"] == task) if task else mask)

    def values(self, kind: str, group: str | None = None) -> pd.DataFrame:
        """The details of one kind, with the columns of each run's row in the table."""
        chosen = self.details["kind"] == kind
        if group is not None:
            chosen &= self.details["group"] == group
        return self.details[chosen].merge(self.table, on="run")

    def layer_map(self, group: str = "all") -> np.ndarray:
        """The mean over these runs of their layer maps, (S, T).

        group: "all", "class: NAME", "difficulty: LEVEL" or "epoch: N".

        Raises: ValueError where no run has such a map, and for runs of several methods, tasks,
            teachers or budgets, whose maps have no mean.
        """
        for column, choice in (("task", "task"), ("method_name", "method")):
            names = sorted(set(self.table[column]))
            if len(names) > 1:
                raise ValueError(
                    f"a mean of layer maps is of one {choice}, and these runs have "
                    f"{', '.join(names)}: choose by `of`"
                )
        values = one_group(self).values("layer_map", group)
        if values.empty:
            names = ", ".join(sorted(set(self.table["method_name"])))
            raise ValueError(f"no layer map {group!r} of {names or 'no runs'}: it has no attention")
        return values.pivot_table("value", "row", "column").to_numpy()

    def map_groups(self) -> list[str]:
        """The groups for which some of these runs have a layer map, in their order."""
        return list(dict.fromkeys(self.values("layer_map")["group"]))


def committed_runs() -> Path:
    """The folder of the committed runs."""
    return data_folder() / "runs"


def load_runs(folder: Path | None = None, set: str | None = None) -> Runs:
    """The runs of a folder: a store, or a folder of records in JSON.

    Args:
        folder: by default the committed runs. A set holds the runs of other sets that count in it
            as well, so that such a run has a row in both.
        set: one set's runs alone.

    Raises: ValueError for a folder without runs, a set that is not there, or a damaged file.
    """
    folder = Path(folder) if folder is not None else committed_runs()
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of runs")
    if not is_store(folder):
        if set is not None:
            raise ValueError(f"{folder} holds records and no sets: leave out set {set!r}")
        return as_runs(read_records(folder))
    runs = _runs_of(read_store(folder))
    if set is None:
        return runs
    if set not in runs.sets:
        raise ValueError(f"{folder} has no set {set!r}; choose one of: {', '.join(runs.sets)}")
    return runs.where(runs.table["set"] == set)


def _runs_of(store: Store) -> Runs:
    table = joined(store.tables)
    table["search"] = None
    parts = []
    for name, content in store.sets.items():
        search = content.get("search")
        mask = (table["set"] == name) | table["run"].isin(counted_runs(content))
        part = table[mask].copy()
        part["set"] = name
        if search:
            part["search"] = _search_text(search)
        parts.append(part)
    table = with_names(pd.concat(parts, ignore_index=True))
    return Runs(table, store.tables.details, store.tables.predictions, store.sets)


def _search_text(search: dict | None) -> str | None:
    if search is None:
        return None
    return json.dumps({"rates": search["rates"], "seeds": search["seeds"]})


def as_runs(runs: Runs | Iterable[RunRecord]) -> Runs:
    """Runs as they are, or those of fresh records.

    Raises: ValueError where there are none, and for a record that has a value of another kind.
    """
    if isinstance(runs, Runs):
        return runs
    records = list(runs)
    if not records:
        raise ValueError("no runs: make some with `ukd reproduce` or `ukd run`")
    try:
        return _runs_of_records(records)
    except MISSHAPEN as error:
        if len(records) == 1:
            raise ValueError(
                f"the record of run {records[0].hash} in {records[0].folder} has a value of "
                f"another kind ({error!r}): remove it and run again"
            ) from error
        for record in records:
            as_runs([record])  # raises for the one
        raise


def _runs_of_records(records: list[RunRecord]) -> Runs:
    tables = tables_of(records, NO_SET)
    table = joined(tables)
    searches = [_search_text(record.search) for record in records]
    table["search"] = pd.Series(searches, table.index, dtype=object)
    return Runs(with_names(table), tables.details, tables.predictions, {})


def one_group(runs: Runs | Iterable[RunRecord]) -> Runs:
    """Runs that may be compared, each seed once: of two runs with one seed the newer counts.

    Raises: ValueError for runs of several groups (see `ukd.analysis.comparable.check_one_group`).
    """
    runs = as_runs(runs)
    check_one_group(runs.table)
    return runs.only(newest(runs.table))


def read_records(folder: Path) -> list[RunRecord]:
    """All records in JSON below a folder, in the order of their paths.

    Hidden folders, and runs that were set aside as damaged, are left out.

    Raises: ValueError that names a file that is damaged or lost.
    """
    folder = Path(folder).resolve()
    records = []
    for path in sorted(folder.rglob("*.json")):
        parts = path.relative_to(folder).parts
        if not any(part.startswith(".") or ASIDE in part for part in parts) and _is_record(path):
            records.append(RunRecord.read(path))
    return records


def _is_record(path: Path) -> bool:
    """Whether a file is a record, or too damaged to tell.

    Raises: ValueError for the note of a run that has lost its record.
    """
    of_run = [place / RECORD for place in (path.parent, path.parent.parent)]
    if path.name == RECORD:
        return True
    if any(record.is_file() for record in of_run):
        return False
    if path.name == NOTE:
        with suppress(OSError):
            if RECORD in noted(path.parent):
                raise ValueError(f"{of_run[0]} is lost: run it again, or remove its folder")
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True
    return isinstance(content, dict) and {"hash", "format"} <= set(content)


def check_runs(folder: Path | None = None) -> list[str]:
    """What is wrong with the store, one sentence each; empty if nothing is.

    Checksums, ids that match one to one over the files, and commits: each is in the history where
    there is one, and none is of uncommitted code.
    """
    folder = Path(folder) if folder is not None else committed_runs()
    try:
        store = read_store(folder)
    except ValueError as error:
        return [str(error)]
    return problems(store, folder if in_clone() else None)
