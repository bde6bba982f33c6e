"""Rows drawn from a split by a seed, so that both sides hold every class and share no text."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable

import numpy as np
from datasets import Dataset
from datasets.utils.stratify import stratified_shuffle_split_generate_indices


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
    labels = rows["label"][:]
    numbers = np.arange(len(labels))
    frequent = []
    if groups is not None:
        _, numbers, times = np.unique(groups, return_index=True, return_counts=True)
        # A text that alone would fill the part stays in the rest.
        small = times <= max(1, size(len(numbers)))
        if size(int(small.sum())) < small.sum():
            numbers, frequent = numbers[small], numbers[~small].tolist()
    count = size(len(numbers))
    if not 0 < count < len(numbers):
        raise ValueError(
            f"{count} of {len(numbers)} rows with different texts can't be set apart: more rows "
            "are needed, or a smaller part"
        )
    rest, drawn = _parts(numbers, labels, count, seed, classes)
    if classes:
        _complete(rest, drawn, labels)
        _complete(drawn, rest, labels)
    if groups is None:
        return rest, drawn
    members = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    rest += frequent
    return _with_members(rest, groups, members), _with_members(drawn, groups, members)


def limit(rows: Dataset, most: int, seed: int, *, classes: bool, least: int = 1) -> list[int]:
    """Row numbers of `most` rows, drawn by the seed; all where there are no more.

    With classes each keeps its share, and `least` rows where it has them.

    Raises: ValueError for less than one row.
    """
    if most < 1:
        raise ValueError(f"at least one row must be left, and {most} are asked for")
    if most >= len(rows):
        return list(range(len(rows)))
    labels = rows["label"][:]
    kept, left = _parts(np.arange(len(rows)), labels, len(rows) - most, seed, classes)
    if classes:
        _complete(left, kept, labels, least=least, spare=0)
    return kept


def text_groups(rows: Dataset, columns: tuple[str, ...]) -> np.ndarray:
    """(N,) the number of each row's text, in order of appearance; equal texts have one number."""
    frame = rows.select_columns(list(columns)).to_pandas()
    return frame.groupby(list(columns), sort=False).ngroup().to_numpy()


def _parts(
    numbers: np.ndarray, labels: list, size: int, seed: int, classes: bool
) -> tuple[list[int], list[int]]:
    """The rest and `size` of the row numbers, stratified where every class can be.

    It is the draw of `Dataset.train_test_split`, which reads the labels row by row.
    """
    chosen = [labels[number] for number in numbers]
    count = Counter(chosen)
    left = len(numbers) - size
    random = np.random.default_rng(seed)
    if classes and min(count.values()) > 1 and min(size, left) >= len(count):
        parts = stratified_shuffle_split_generate_indices(np.array(chosen), left, size, random)
        rest, drawn = next(parts)
    else:
        order = random.permutation(len(numbers))
        drawn, rest = order[:size], order[size:]
    return numbers[rest].tolist(), numbers[drawn].tolist()


def _complete(
    giver: list[int], taker: list[int], labels: list, *, least: int = 1, spare: int = 1
) -> None:
    """Exchange rows until the taker has `least` of every class.

    The giver keeps `spare` of each. Rows of the taker's most frequent class are given for them.
    """
    stock = Counter(labels[row] for row in giver)
    have = Counter(labels[row] for row in taker)
    places_there, places_here = _places(giver, labels), _places(taker, labels)
    for label in sorted(stock):
        while have[label] < least and stock[label] > spare:
            usual, number = have.most_common(1)[0]
            if number <= least:
                return
            # No class is both: what is given for a rare one has more rows than it may need.
            given, taken = places_there[label].popleft(), places_here[usual].popleft()
            giver[given], taker[taken] = taker[taken], giver[given]
            stock.update({label: -1, usual: 1})
            have.update({label: 1, usual: -1})


def _places(rows: list[int], labels: list) -> dict[object, deque[int]]:
    """Where the rows of each class stand, the first first."""
    places = defaultdict(deque)
    for place, row in enumerate(rows):
        places[labels[row]].append(place)
    return places


def _with_members(rows: list[int], groups: np.ndarray, members: dict) -> list[int]:
    """The rows, each followed by the others of its group."""
    return [member for row in rows for member in members[groups[row]]]
