"""Tables of one's own as they were written: files, folders, data frames, data sets of the hub."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset_builder
from pandas.errors import EmptyDataError, ParserWarning

from ukd.data.checks import DOUBTFUL, GOOD, REFUSED, Check
from ukd.data.folders import data_files, is_saved, load_saved

SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON = (".jsonl", ".json")
FORMATS = (*SEPARATORS, *JSON, ".parquet")

NO_ROWS = ("dataset_info.json", "dataset_infos.json")  # what a data set's folder says of itself

Table = Dataset | pd.DataFrame


def read_tables(source: object, label: str) -> tuple[dict[str, Table], list[Check]]:
    """All splits of a source, and how the rows of its files compare with their lines.

    What comes without splits is train. In CSV and TSV every value is a text, as it is written.

    Args:
        source: see `custom_task`.
        label: the column of the label, by which rows inside a text are known.

    Raises: ValueError for what can't be read.
    """
    if isinstance(source, DatasetDict):
        return {split: _unformatted(rows) for split, rows in source.items()}, []
    if isinstance(source, Dataset):
        return {"train": _unformatted(source)}, []
    if isinstance(source, pd.DataFrame):
        return {"train": source}, []
    if isinstance(source, list) and all(isinstance(row, dict) for row in source):
        return {"train": pd.DataFrame(source, dtype=object)}, []
    if not isinstance(source, str | Path):
        raise ValueError(
            f"rows can't be read from a {type(source).__name__}: pass a file, a folder, a list of "
            "dictionaries, a DataFrame, a Dataset or a DatasetDict"
        )
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() in FORMATS:
        table, checks = read_file(path, label)
        return {"train": table}, checks
    if not path.exists():
        raise ValueError(
            f"there is no file or folder {str(source)!r}: check the path (of a data set of the hub "
            "pass what datasets.load_dataset returns)"
        )
    if not path.is_dir():
        raise ValueError(
            f"{path.name!r} is neither a folder nor a file that ends in {', '.join(FORMATS)}; of a "
            "data set of the hub pass what datasets.load_dataset returns"
        )
    if is_saved(path):
        return read_tables(load_saved(path), label)
    return _read_folder(path, label)


def _unformatted(rows: Dataset) -> Dataset:
    """The rows with plain values, not tensors or arrays; what a transform gives is meant."""
    return rows if rows.format["type"] == "custom" else rows.with_format(None)


def _read_folder(path: Path, label: str) -> tuple[dict[str, Table], list[Check]]:
    try:
        files = load_dataset_builder(str(path)).config.data_files
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"the folder {path.name!r} can't be read ({reason}): name its files train.csv and "
            f"validation.csv, or with another of {', '.join(FORMATS)}, and its path without "
            "brackets"
        ) from error
    _check_all_used(path, {Path(name).resolve() for names in files.values() for name in names})
    splits, checks = {}, []
    for split, names in files.items():
        tables = []
        for name in map(Path, names):
            if name.suffix not in FORMATS:
                raise ValueError(f"{name.name} is none of {', '.join(FORMATS)}: write it as one")
            table, found = read_file(name, label)
            tables.append(table)
            checks += found
        if all(isinstance(table, Dataset) for table in tables):
            splits[str(split)] = concatenate_datasets(tables)
        elif all(isinstance(table, pd.DataFrame) for table in tables):
            splits[str(split)] = pd.concat(tables, ignore_index=True)
        else:
            raise ValueError(f"the files of {split} in {path.name!r} have several formats")
    return splits, checks


def _check_all_used(folder: Path, used: set[Path]) -> None:
    """Raise ValueError for files of rows that stand beside a split's and belong to none.

    Other folders in it are not looked at, nor JSON beside tables, which may be notes.
    """
    places = {folder.resolve(), *(path.parent for path in used)}
    json_rows = any(path.suffix.lower() in JSON for path in used)
    endings = [ending for ending in FORMATS if json_rows or ending != ".json"]
    left = []
    for name, path in data_files(folder):
        beside = path.resolve().parent in places and path.resolve() not in used
        if beside and path.suffix.lower() in endings and path.name not in NO_ROWS:
            left.append(name)
    if left:
        raise ValueError(
            f"the folder {folder.name!r} has {', '.join(left)}, which no split takes: begin the "
            "name with train, validation or test, give all the same ending, or move it elsewhere"
        )


def read_file(path: Path, label: str) -> tuple[Table, list[Check]]:
    """The rows of a file, and how they compare with its lines. Raises ValueError."""
    ending = path.suffix.lower()
    if ending in SEPARATORS:
        return _read_separated(path, label)
    if ending == ".parquet":
        return _read_parquet(path), []
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("["):
            rows = json.loads(text, object_pairs_hook=_object)
        else:
            lines = [line for line in text.split("\n") if line.strip()]
            rows = [json.loads(line, object_pairs_hook=_object) for line in lines]
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path.name} can't be read ({error}): it must be UTF-8, with one JSON object a line, "
            "or a list of objects"
        ) from error
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path.name} must hold JSON objects, one a row, with a value a column")
    return pd.DataFrame(rows, dtype=object), []


def _object(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object. Raises ValueError for a name that stands in it twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name stands twice in the object with {', '.join(found)}")
    return found


def _read_parquet(path: Path) -> Dataset:
    try:
        return Dataset(pq.read_table(path))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path.name} can't be read ({reason}): write it anew") from error


def _read_separated(path: Path, label: str) -> tuple[pd.DataFrame, list[Check]]:
    """A CSV or TSV file; a row with more values than the header is refused, never shortened."""
    separator = SEPARATORS[path.suffix.lower()]
    sign = "comma" if separator == "," else "tab"
    # Values stay texts: a reader that makes numbers of them merges 01 and 1, and NA is a word.
    options = {"dtype": str, "na_filter": False, "index_col": False, "sep": separator}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)
            table = pd.read_csv(path, encoding="utf-8-sig", **options)
            header = pd.read_csv(path, encoding="utf-8-sig", header=None, nrows=1, **options)
        lines = [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except EmptyDataError as error:
        raise ValueError(f"{path.name} is empty: it needs a line of names, then rows") from error
    except (ValueError, ParserWarning) as error:
        raise ValueError(
            f"{path.name} can't be read as rows of equal length ({str(error).strip()}): put double "
            f"quotes around texts that hold a {sign}, a line end or a quote, double the quotes "
            "inside, and save it as UTF-8; or write JSON lines"
        ) from error
    names = header.iloc[0].tolist()
    if len(names) == 1 and any(mark in names[0] for mark in ",;\t|"):
        raise ValueError(
            f"{path.name} has the one column {names[0]!r}: in a file that ends in "
            f"{path.suffix} a {sign} must separate the values"
        )
    for place, one in enumerate(names):
        # A first column without a name is the numbers that pandas writes.
        if place and not one.strip() and (table.iloc[:, place] != "").any():
            raise ValueError(
                f"{path.name} has values in column {place + 1}, which has no name: name it, or put "
                f"double quotes around texts that hold a {sign}"
            )
    table.columns = names  # as they are written: the reader numbers those that are there twice
    if (again := (table == names).all(axis=1)).any():
        raise ValueError(
            f"{path.name}, row {int(again.argmax()) + 1} repeats the names of the columns: leave "
            "it out"
        )
    return table, [_lines_check(path.name, table, len(lines) - 1, separator, label)]


def _lines_check(name: str, table: pd.DataFrame, lines: int, separator: str, label: str) -> Check:
    """Rows read against lines in the file; rows inside a text were swallowed by a quote."""
    found = f"{name}: {len(table):,} rows read from {lines:,} lines after the header"
    if lines == len(table):
        return Check("rows and lines", found)
    broken = table.apply(lambda column: column.str.contains("\n")).any(axis=1)
    first = int(broken.argmax()) + 1
    if table.columns.tolist().count(label) == 1:
        place = table.columns.get_loc(label)
        labels = set(table[label])
        for row in table[broken].itertuples():
            for text in row[1:]:
                if _holds_row(text, separator, place, len(table.columns), labels):
                    found += (
                        f": a quote in row {row.Index + 1} swallowed the rows after it; double the "
                        "quotes inside texts, or write JSON lines"
                    )
                    return Check("rows and lines", found, REFUSED)
    found += f": {int(broken.sum()):,} rows have line ends in a text, first row {first}"
    return Check("rows and lines", found, DOUBTFUL if broken.any() else GOOD)


def _holds_row(text: str, separator: str, place: int, columns: int, labels: set[str]) -> bool:
    """Whether a line of a text reads like a row: as many values, a known label in its place."""
    if "\n" not in text:
        return False
    for line in text.splitlines():
        values = [value.strip('"') for value in line.split(separator)]
        # Commas in the text move the label, and the row that ends in the text has lost its start.
        if columns > 1 and len(values) >= columns and values[place - columns] in labels:
            return True
    return False
