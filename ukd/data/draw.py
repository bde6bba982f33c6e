"""Rows drawn from a split by a seed, so that both sides hold every class and share no text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
from datasets import Dataset


def divide(
    rows: Dataset,
    size: Callable[[int], int],
    seed: int,
    *,
    classes: bool,
    groups: np.ndarray | None = None,
) -> tuple[list[int], list[int]]:
    """Row numbers of the rest and of a part that is drawn.

    Args:
        rows: with a column "label".
        size: from the number of rows (of groups, where there are any) to that of the part.
        seed: of the draw.
        classes: whether labels are classes. Each keeps its share, and one that a side would lack
            gets a row there, in exchange for one of the most frequent class.
        groups: (N,) rows of one number stay on one side, as `text_groups` gives; by default none.

    Raises: ValueError for a side without rows.
    """
    numbered = _numbered(rows)
    if groups is not None:
        numbered = numbered.select(np.unique(groups, return_index=True)[1])
    count = size(len(numbered))
    if not 0 < count < len(numbered):
        raise ValueError(
            f"{count} of {len(numbered)} rows with different texts can't be set apart: more are "
            "needed"
        )
    rest, drawn = _parts(numbered, count, seed, classes)
    if classes:
        labels = rows["label"][:]
        _complete(rest, drawn, labels)
        _complete(drawn, rest, labels)
    if groups is None:
        return rest, drawn
    members = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    return _with_members(rest, groups, members), _with_members(drawn, groups, members)


def limit(rows: Dataset, most: int, seed: int, *, classes: bool, least: int = 1) -> list[int]:
    """Row numbers of `most` rows, drawn by the seed; all where there are no more.

    With classes each keeps its share, and `least` rows where it has them.
    """
    if most >= len(rows):
        return list(range(len(rows)))
    kept, left = _parts(_numbered(rows), len(rows) - most, seed, classes)
    if classes:
        _complete(left, kept, rows["label"][:], least=least, spare=0)
    return kept


def text_groups(rows: Dataset, columns: tuple[str, ...]) -> np.ndarray:
    """(N,) the number of each row's text, in order of appearance; equal texts have one number."""
    frame = rows.select_columns(list(columns)).to_pandas()
    return frame.groupby(list(columns), sort=False).ngroup().to_numpy()


def _numbered(rows: Dataset) -> Dataset:
    return rows.select_columns("label").add_column("row", list(range(len(rows))))


def _parts(numbered: Dataset, size: int, seed: int, classes: bool) -> tuple[list[int], list[int]]:
    """The rest and `size` rows, stratified where every class can be."""
    count = Counter(numbered["label"][:])
    room = min(size, len(numbered) - size)
    even = classes and min(count.values()) > 1 and room >= len(count)
    stratify = "label" if even else None
    parts = numbered.train_test_split(test_size=size, seed=seed, stratify_by_column=stratify)
    return parts["train"]["row"][:], parts["test"]["row"][:]


def _complete(
    giver: list[int], taker: list[int], labels: list, *, least: int = 1, spare: int = 1
) -> None:
    """Exchange rows until the taker has `least` of every class.

    The giver keeps `spare` of each. Rows of the taker's most frequent class are given for them.
    """
    stock = Counter(labels[row] for row in giver)
    have = Counter(labels[row] for row in taker)
    for label in sorted(stock):
        while have[label] < least and stock[label] > spare:
            usual, number = have.most_common(1)[0]
            if number <= least:
                return
            given = next(place for place, row in enumerate(giver) if labels[row] == label)
            taken = next(place for place, row in enumerate(taker) if labels[row] == usual)
            giver[given], taker[taken] = taker[taken], giver[given]
            stock.update({label: -1, usual: 1})
            have.update({label: 1, usual: -1})


def _with_members(rows: list[int], groups: np.ndarray, members: dict) -> list[int]:
    """The rows, each followed by the others of its group."""
    return [member for row in rows for member in members[groups[row]]]
