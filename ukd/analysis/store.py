"""The files of a store of runs: reading, writing whole, and checking them.

A folder holds runs.csv, teachers.csv, teacher_heads.csv, configs.json, details.parquet,
predictions.parquet, sets.toml and SHA256SUMS. Nothing here needs git.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from packaging.version import Version

from ukd.analysis.rows import CONFIG_COLUMNS, CONFIGS, DETAILS, TEXT, Tables

FILES = (
    "runs.csv",
    "teachers.csv",
    "teacher_heads.csv",
    "configs.json",
    "details.parquet",
    "predictions.parquet",
    "sets.toml",
)
SUMS = "SHA256SUMS"
UNCOMMITTED = "+changes"  # how the commit of a run ends whose code no commit holds
VALUE_DIGITS = 3  # decimals of a predicted value
# pandas 3.1 reads every digit by default, and warns of what older versions need for it.
EXACT = {} if Version(pd.__version__) >= Version("3.1") else {"float_precision": "round_trip"}


@dataclass(frozen=True)
class Store:
    """A store's tables, and its sets: name -> {"title", "command", "counts", "search"}.

    counts: runs of other sets that stand in this one as well. search: of learning rates.
    """

    tables: Tables
    sets: dict[str, dict]


def is_store(folder: Path) -> bool:
    """Whether a folder is a store, be it one that lacks files."""
    return any((folder / name).is_file() for name in (*FILES, SUMS))


def read_store(folder: Path) -> Store:
    """The store in a folder. Raises ValueError for a file that is missing or changed."""
    if missing := [name for name in (*FILES, SUMS) if not (folder / name).is_file()]:
        raise ValueError(f"{folder} lacks {missing[0]}: bring it back, for example by git checkout")
    check_sums(folder)
    predictions = pq.read_table(folder / "predictions.parquet").to_pydict()
    details = pq.read_table(folder / "details.parquet").to_pandas()
    details["value"] = details["value"].astype(float).round(6)
    tables = Tables(
        runs=_read_csv(folder / "runs.csv"),
        teachers=_read_csv(folder / "teachers.csv"),
        heads=_read_csv(folder / "teacher_heads.csv"),
        details=details,
        predictions=_read_predictions(predictions),
        configs=json.loads((folder / "configs.json").read_text(encoding="utf-8")),
    )
    return Store(tables, tomllib.loads((folder / "sets.toml").read_text(encoding="utf-8")))


def _read_csv(path: Path) -> pd.DataFrame:
    header = path.read_text(encoding="utf-8").partition("\n")[0].split(",")
    text = [name for name in header if name in TEXT]
    types = dict.fromkeys(text, object)
    table = pd.read_csv(path, dtype=types, **EXACT)
    for name in text:
        table[name] = table[name].astype(object).where(table[name].notna(), None)
    return table


def write_store(folder: Path, store: Store, sets_text: str) -> None:
    """Write all files of a store into a folder that exists; other files there stay.

    sets_text: the content of sets.toml, which is also edited by hand.
    """
    tables = store.tables
    counts = [name for name in tables.runs if name.endswith("_examples")]
    runs = tables.runs.astype(dict.fromkeys(counts, "Int64"))
    runs.to_csv(folder / "runs.csv", index=False, lineterminator="\n")
    tables.teachers.to_csv(folder / "teachers.csv", index=False, lineterminator="\n")
    tables.heads.to_csv(folder / "teacher_heads.csv", index=False, lineterminator="\n")
    configs = {kind: dict(sorted(tables.configs[kind].items())) for kind in CONFIGS}
    text = json.dumps(configs, indent=1, ensure_ascii=False)
    (folder / "configs.json").write_text(text + "\n", encoding="utf-8")
    _write_details(folder / "details.parquet", tables.details)
    _write_predictions(folder / "predictions.parquet", tables.predictions)
    (folder / "sets.toml").write_text(sets_text, encoding="utf-8")
    write_sums(folder)


def _write_details(path: Path, details: pd.DataFrame) -> None:
    """Numbers as float32: seven digits, more than any figure or text shows."""
    types = (pa.string(), pa.string(), pa.string(), pa.float32(), pa.int32(), pa.float32())
    schema = pa.schema(list(zip(DETAILS, types, strict=True)))
    table = pa.Table.from_pandas(details[list(DETAILS)], schema=schema, preserve_index=False)
    names = list(DETAILS[:-1])
    _write_parquet(path, table.replace_schema_metadata(None), names, {"value": "BYTE_STREAM_SPLIT"})


def _write_predictions(path: Path, predictions: pd.DataFrame) -> None:
    """Classes as a string of digits, values as whole numbers of thousandths."""
    classes, values = [], []
    for text in predictions["predictions"]:
        valued = " " in text
        classes.append(None if valued else text)
        values.append(np.rint(1000 * np.array(text.split(), float)).astype(int) if valued else None)
    arrays = {
        "run": pa.array(predictions["run"], pa.string()),
        "classes": pa.array(classes, pa.string()),
        "thousandths": pa.array(values, pa.list_(pa.int16())),
    }
    _write_parquet(path, pa.table(arrays), ["run"], None)


def _write_parquet(path: Path, table: pa.Table, names: list[str], encoding: dict | None) -> None:
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=names,
        column_encoding=encoding,
        write_statistics=False,
        store_schema=False,
    )


def _read_predictions(columns: dict[str, list]) -> pd.DataFrame:
    found = []
    for classes, values in zip(columns["classes"], columns["thousandths"], strict=True):
        if values is not None:
            classes = " ".join(f"{value / 1000:.{VALUE_DIGITS}f}" for value in values)
        found.append(classes)
    return pd.DataFrame({"run": columns["run"], "predictions": found})


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of the store's files, as `sha256sum --check` reads it."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in FILES]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> None:
    """Raise ValueError that names the first file that SHA256SUMS does not know as it is."""
    known = {}
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        checksum, _, name = line.partition("  ")
        known[name] = checksum
    for name in FILES:
        if known.get(name) != sha256_of(folder / name):
            raise ValueError(
                f"{folder / name} is not as {SUMS} has it: restore it by git checkout, or if the "
                f"change is meant, write its new sha256 there"
            )


def replace_folder(folder: Path, store: Store, sets_text: str) -> None:
    """Put a changed store in a folder's place, whole: it is built beside it, then renamed.

    Other files of the folder, such as README.md, are kept.
    """
    building = folder.with_name(f".{folder.name}.new.{os.getpid()}")
    before = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    if folder.exists():
        shutil.copytree(folder, building)
    else:
        building.mkdir(parents=True)
    try:
        write_store(building, store, sets_text)
        read_store(building)
        if folder.exists():
            folder.rename(before)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    shutil.rmtree(before, ignore_errors=True)


def problems(store: Store, repository: Path | None = None) -> list[str]:
    """What is wrong with a store, one sentence each; empty if nothing is.

    repository: a clone whose history must hold every run's commit; None, or a clone without its
    history, leaves that out.
    """
    tables = store.tables
    runs = tables.runs
    found = [f"run {name} is there twice" for name in runs["run"][runs["run"].duplicated()]]
    found += _unmatched("set", runs["set"], store.sets)
    found += _unmatched("teacher", runs["teacher"], tables.teachers["teacher"])
    found += _unmatched("teacher of heads", tables.teachers["teacher"], tables.heads["teacher"])
    for column, kind in CONFIG_COLUMNS.items():
        found += _unmatched(f"{column} in configs.json", runs[column], tables.configs[kind])
    for name in ("details", "predictions"):
        strangers = sorted(set(getattr(tables, name)["run"]) - set(runs["run"]))
        found += [f"{name}.parquet has run {run}, and runs.csv has not" for run in strangers]
    without = set(runs["run"]) - set(tables.details["run"])
    found += [f"run {run} has no details" for run in sorted(without)]
    for name, content in store.sets.items():
        strangers = sorted(set(counted_runs(content)) - set(runs["run"]))
        found += [f"set {name} counts run {run}, which is not there" for run in strangers]
    commits = runs["commit"].dropna()
    changed = commits[commits.str.endswith(UNCOMMITTED)]
    found += [f"commit {name} is code that no commit holds" for name in sorted(set(changed))]
    return found + _unknown_commits(sorted(set(commits) - set(changed)), repository)


def counted_runs(content: dict) -> list[str]:
    """The runs of other sets that count in a set of this content, in its search or without one."""
    return [*content.get("counts", []), *content.get("search", {}).get("counts", [])]


def _unmatched(name: str, used: pd.Series, known: object) -> list[str]:
    """Names that are used and not known, or known and not used."""
    used, known = set(used), set(known)
    lacking = [f"{name} {one!r} is used and not there" for one in sorted(used - known)]
    return lacking + [f"{name} {one!r} is there and not used" for one in sorted(known - used)]


def _unknown_commits(commits: list[str], repository: Path | None) -> list[str]:
    """Commits that a clone's history lacks."""
    if repository is None or not shutil.which("git"):
        return []
    git = ("git", "-C", str(repository))
    shallow = subprocess.run(
        (*git, "rev-parse", "--is-shallow-repository"), capture_output=True, text=True
    )
    if shallow.stdout.strip() != "false":
        return []
    answer = subprocess.run(
        (*git, "cat-file", "--batch-check"),
        input="".join(f"{commit}^{{commit}}\n" for commit in commits),
        capture_output=True,
        text=True,
    )
    lines = zip(commits, answer.stdout.splitlines(), strict=True)
    return [
        f"commit {name} is not in the history" for name, line in lines if " commit " not in line
    ]
