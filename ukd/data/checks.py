"""Checks of a task's rows before any work: what is wrong is refused, what is doubtful is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset
from transformers import PreTrainedTokenizerBase

from ukd.config.runtime import logger
from ukd.config.text import markdown_table
from ukd.data.labels import (
    NO_LABEL,
    is_unicode,
    look_alikes,
    several_in_one,
    shows,
    values_of,
    wrong_label,
)

if TYPE_CHECKING:
    from ukd.data.tasks import Task

GOOD, NOTED, DOUBTFUL, REFUSED = "good", "noted", "doubtful", "refused"
SAMPLE = 2000  # texts that are tokenised for the checks, evenly from train
SHOWN = 60  # characters of a value in a message
MOST_UNKNOWN = 0.5  # of the tokens; with more a text can't be read
SOME_UNKNOWN = 0.05
MOST_POSITIVE = 0.5  # of train: F1 is meant for the rarer class
MANY_CUT = 0.1  # of the rows
FEW_ROWS = 2  # of a class in train: one to learn from, one to choose the epoch by


@dataclass(frozen=True)
class Check:
    """One line of the table: what was looked at, what was found, and the verdict on it."""

    name: str
    found: str
    verdict: str = GOOD


class WrongInput(ValueError):
    """Rows that are refused. `checks`: all that was found, the reason among it."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = tuple(checks)
        super().__init__(next(one.found for one in checks if one.verdict == REFUSED))


def refuse(checks: Sequence[Check]) -> None:
    """Raise WrongInput, a ValueError, where a check refuses."""
    if any(check.verdict == REFUSED for check in checks):
        raise WrongInput(checks)


def say(checks: Sequence[Check], task: str) -> None:
    """Log what is doubtful as warnings, and what is worth a note as lines."""
    for check in checks:
        text = f"{task}: {check.name}: {check.found}"
        if check.verdict == DOUBTFUL:
            logger.warning(text)
        elif check.verdict == NOTED:
            logger.info(text)


def checks_table(checks: Sequence[Check]) -> str:
    """All checks as a Markdown table."""
    rows = [[check.name, check.found.replace("|", "\\|"), check.verdict] for check in checks]
    return markdown_table(["check", "found", "verdict"], rows)


def row_checks(
    splits: Mapping[str, Dataset | pd.DataFrame],
    columns: tuple[str, ...],
    label: str,
    *,
    regression: bool,
    own: bool,
) -> list[Check]:
    """Checks of texts and labels as they were read, before labels become classes.

    Args:
        splits: by name; each has the columns.
        columns: of the text.
        label: the column of the label.
        regression: whether labels are values.
        own: whether the data is one's own. Texts of an official split are only reported on.
    """
    checks = []
    for split, rows in splits.items():
        for column in columns:
            checks += _text_checks(values_of(rows, column), f"{split}, row", column, own)
        checks += _label_checks(rows, split, label, regression)
    return checks


def _text_checks(texts: Sequence, place: str, column: str, own: bool) -> list[Check]:
    """No text, texts that show nothing, line ends and tabs, one text in all rows."""
    empty, broken = [], []
    for row, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not shows(text):
            empty.append((row, text))
        elif not text.isascii() and not is_unicode(text):
            found = f"{place} {row}: {column} holds half of a character: write it anew as UTF-8"
            return [Check("texts", f"{found}; got {_short(text)}", REFUSED)]
        elif any(mark in text for mark in "\n\r\t"):
            broken.append(row)
    checks = []
    if empty:
        row, text = empty[0]
        found = f"{place} {row}: {column} must be a text that is not empty, got {_short(text)}"
        more = f"; {len(empty):,} such rows: leave them out" if len(empty) > 1 else ""
        official = not own and all(isinstance(text, str) for _, text in empty)
        checks.append(Check("empty texts", found + more, DOUBTFUL if official else REFUSED))
    if broken:
        found = f"{len(broken):,} texts hold line ends or tabs in {column}, first {place} "
        checks.append(Check("line ends, tabs", f"{found}{broken[0]}", NOTED))
    if len(texts) > 1 and not empty and all(text == texts[0] for text in texts):
        found = f"{place}s 1 to {len(texts):,}: {column} is always {_short(texts[0])}"
        checks.append(Check("constant texts", found, DOUBTFUL))
    good = Check(
        "texts", f"{place.partition(',')[0]}: {column} has no empty, broken or constant texts"
    )
    return checks or [good]


def _label_checks(
    rows: Dataset | pd.DataFrame, split: str, label: str, regression: bool
) -> list[Check]:
    """Labels that are none, of another kind, or all the same."""
    feature = rows.features[label] if isinstance(rows, Dataset) else None
    numbered = isinstance(feature, ClassLabel)
    labels = values_of(rows, label)
    if not labels:
        return [Check("rows", f"{split} has no rows", REFUSED)]
    if wrong := wrong_label(labels, regression, numbered=numbered):
        row, value, reason = wrong
        found = f"{split}, row {row}: {label} is {_short(value)}, {reason}"
        return [Check("labels", found, REFUSED)]
    distinct = set(labels)
    seen = np.array(list(map(float, labels)), np.float32) if regression else labels
    if len(labels) > 1 and len(set(seen)) == 1 and (regression or split == "train"):
        name = feature.names[labels[0]] if numbered else labels[0]
        found = f"all rows have the {label} {name!r}: there is nothing to tell apart"
        if len(distinct) > 1:
            found = f"no two values of {label} differ in float32: subtract {name!r} from them"
        return [Check("labels", found, REFUSED if split == "train" else DOUBTFUL)]
    kind = "values" if regression else "labels"
    checks = [Check("rows", f"{split}: {len(labels):,}, {len(distinct):,} different {kind}")]
    if not regression:
        names = feature.names if numbered else sorted(map(str, distinct))
        checks += _alike(names, split)
        for name in names:
            if not numbered and name.strip().casefold() in NO_LABEL:
                found = f"{split}: {label} is {name} in some rows and counts as a class"
                remedy = ": where it says that there is no label, leave the row out"
                checks.append(Check("labels", found + remedy, DOUBTFUL))
        if name := several_in_one(names):
            found = f"{split}: {label} {name!r} is one class: several labels a row aren't supported"
            checks.append(Check("labels", found, DOUBTFUL))
    return checks


def _alike(names: Sequence[str], split: str) -> list[Check]:
    for case, verdict in ((False, REFUSED), (True, DOUBTFUL)):
        if pair := look_alikes(names, case=case):
            how = "case or zeros" if case else "spaces, invisible marks or Unicode form"
            found = f"{split}: the labels {pair[0]!r} and {pair[1]!r} differ only by {how}: write "
            return [Check("look-alike labels", found + "them alike if they are one class", verdict)]
    return [Check("look-alike labels", f"{split}: none")]


def across_checks(
    splits: Mapping[str, Dataset], columns: tuple[str, ...], *, own: bool
) -> list[Check]:
    """Checks across rows: texts that are repeated, in a split or in two, and with two labels.

    Args:
        splits: by name, "train" among them, with a column "label".
        columns: of the text.
        own: whether the data is one's own.
    """
    checks = []
    frames = {}
    for split, rows in splits.items():
        frame = rows.select_columns([*columns, "label"]).to_pandas()
        texts = pd.util.hash_pandas_object(frame[list(columns)], index=False)
        frames[split] = frame = frame.assign(text=texts)
        repeated = frame.duplicated("text")
        found = f"{split}: {_share(repeated)} repeat a text"
        checks.append(Check("duplicates", found, NOTED if repeated.any() else GOOD))
        checks.append(_contradictions(frame, split, DOUBTFUL if own else NOTED))
        if split != "train":
            known = frame["text"].isin(frames["train"]["text"])
            found = f"{split}: {_share(known)} stand in train too"
            verdict = (DOUBTFUL if own else NOTED) if known.any() else GOOD
            checks.append(Check("duplicates", found, verdict))
    return checks


def _share(rows: pd.Series) -> str:
    """How many rows are true, and the first of them."""
    first = f", first row {rows.argmax() + 1}," if rows.any() else ""
    return f"{int(rows.sum()):,} of {len(rows):,} rows{first}"


def _contradictions(frame: pd.DataFrame, split: str, verdict: str) -> Check:
    labels = frame.groupby("text", sort=False)["label"].transform("nunique")
    against = labels > 1
    if not against.any():
        return Check("one text, two labels", f"{split}: none")
    first = frame.loc[against, "text"].iloc[0]
    rows = (frame[frame["text"] == first].drop_duplicates("label").index[:2] + 1).tolist()
    count = frame.loc[against, "text"].nunique()
    found = f"{split}: {count:,} texts have two labels or more, first rows {rows[0]} and {rows[1]}"
    return Check("one text, two labels", found, verdict)


def class_checks(task: Task, *, own: bool) -> list[Check]:
    """Classes that a split lacks, or that are too rare to choose an epoch by; whose F1 it is."""
    if task.spec.regression:
        return []
    checks = []
    names = task.label_names
    for split, rows in task.dataset.items():
        count = np.bincount(rows["label"][:], minlength=len(names))
        least = FEW_ROWS if split == "train" else 1
        rare = [f"{names[one]!r} ({count[one]})" for one in np.flatnonzero(count < least)]
        found = f"{split}: {_list(rare)}: fewer rows than {least}" if rare else f"{split}: none"
        checks.append(Check("rare classes", found, DOUBTFUL if rare else GOOD))
    if "f1" in task.spec.metrics:
        share = float(np.mean(np.array(task.dataset["train"]["label"][:]) == 1))
        found = f"F1 is of class 1, {names[1]!r}, which {share:.0%} of train have"
        verdict = DOUBTFUL if own and share > MOST_POSITIVE else GOOD
        checks.append(Check("metrics", found, verdict))
    return checks


def token_checks(task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Check]:
    """What a tokenizer makes of some texts of train: tokens that it does not know, rows it cuts.

    Args:
        task: up to 2,000 of its rows are looked at, evenly drawn.
        tokenizer: of the encoder.
        max_length: tokens that an example is cut to.
    """
    rows = task.dataset["train"]
    chosen = rows.select(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int))
    texts = [values_of(chosen, column) for column in task.spec.columns]
    options = {"add_special_tokens": False, "verbose": False}
    parts = [tokenizer(column, **options)["input_ids"] for column in texts]
    tokens = [sum(ids, []) for ids in zip(*parts, strict=True)]
    lengths = np.array([len(ids) for ids in tokens])
    lengths += tokenizer.num_special_tokens_to_add(len(texts) == 2)
    every = np.concatenate([np.array(ids, dtype=int) for ids in tokens])
    unknown = float((every == tokenizer.unk_token_id).mean()) if len(every) else 1.0
    found = f"{unknown:.1%} of the tokens of {len(tokens):,} rows of train"
    checks = [Check("unknown tokens", found)]
    if unknown > MOST_UNKNOWN:
        remedy = "the encoder can't read these texts: take one of their language (--teacher)"
        checks = [Check("unknown tokens", f"unknown tokens: {found}: {remedy}", REFUSED)]
    elif unknown > SOME_UNKNOWN:
        checks = [Check("unknown tokens", found, DOUBTFUL)]
    cut = lengths > max_length
    found = f"{cut.mean():.1%} of {len(tokens):,} rows of train have more than {max_length} tokens"
    verdict = GOOD
    if cut.any():
        found += f", the median of these {int(np.median(lengths[cut])):,} (--max-length)"
        verdict = DOUBTFUL if cut.mean() > MANY_CUT else NOTED
    return [*checks, Check("cut texts", found, verdict)]


def check_data(task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    """Say what is doubtful in a task's rows before a teacher is trained on them.

    Of data of one's own all but the tokens was said when it was read. Raises WrongInput, a
    ValueError.
    """
    own = not task.official
    checks = token_checks(task, tokenizer, max_length)
    if not own:
        across = across_checks(task.dataset, task.spec.columns, own=False)
        checks = [*task.checks, *across, *class_checks(task, own=False), *checks]
    refuse(checks)
    say(checks, task.name)


def _list(words: Sequence[str], most: int = 5) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if words[most:] else "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
