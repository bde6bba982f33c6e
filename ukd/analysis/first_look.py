"""What `make reproduce` says at its end: five sentences from the committed runs of its scenario."""

from __future__ import annotations

import pandas as pd

from ukd.analysis.contrasts import against_baseline, seed_scores
from ukd.analysis.grouping import at_chosen_rate, like, methods_of
from ukd.analysis.runs import FIRST_LOOK

TASK = "acceptability"
_CONTROL_WORDS = {
    "uniform": "uniform weights",
    "final": "the teacher's last layer for every student layer",
    "teacher-query": "attention with the teacher's own query",
}


def sentences(new: pd.DataFrame, committed: pd.DataFrame) -> list[str]:
    """What the committed runs of the first look say, and where the new ones stand among them.

    new: runs of any configurations. committed: the table of the committed runs.

    Returns: nothing where no new run is of the committed configuration; others count nowhere.
    """
    kept = at_chosen_rate(committed[committed["set"] == FIRST_LOOK])
    kept = like(new, kept)
    new = like(kept, new)
    if kept.empty:
        return []
    found = [
        _heads(kept),
        _against(kept, "kd", "kd"),
        _against(kept, "kd-two-stage", "the same two stages without the intermediate loss"),
        _attention(kept),
        _this_run(new, kept),
    ]
    return [sentence for sentence in found if sentence]


def _heads(kept: pd.DataFrame) -> str:
    """What the teacher's layers know."""
    first = kept.iloc[0]
    scores = [head["score"] for head in first["teacher_heads"]]
    return (
        f"The committed runs' teacher scores {first['teacher_validation']:.1f}. Its pseudo "
        f"classifiers rise from {scores[0]:.1f} at layer 1 to {scores[-2]:.1f} at layer "
        f"{len(scores) - 1}."
    )


def _against(kept: pd.DataFrame, other: str, words: str) -> str:
    """Universal-KD beside another method, in scores and as a difference."""
    difference = against_baseline(kept, "universal-kd", other, TASK)
    if difference is None:
        return ""
    ours = seed_scores(kept, "universal-kd", TASK).mean()
    theirs = seed_scores(kept, other, TASK).mean()
    return (
        f"Universal-KD scores {ours:.1f}, {words} {theirs:.1f}: {difference.points}, "
        f"{difference.verdict}."
    )


def _attention(kept: pd.DataFrame) -> str:
    """What the paper's attention adds to other layer maps."""
    parts = []
    for name, words in _CONTROL_WORDS.items():
        difference = against_baseline(kept, "universal-kd", name, TASK)
        if difference is not None:
            parts.append(f"{words} {difference.points}, {difference.verdict}")
    return f"Universal-KD minus other layer maps: {'; '.join(parts)}." if parts else ""


def _this_run(new: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Where the scores just made lie among the committed seeds of their methods."""
    parts = []
    for name in methods_of(new):
        ours = seed_scores(new, name, TASK)
        theirs = seed_scores(kept, name, TASK)
        if ours.empty or theirs.empty:
            continue
        parts.append(f"{name} {ours.mean():.1f} ({theirs.min():.1f} to {theirs.max():.1f})")
    if not parts:
        return ""
    count = kept["seed"].nunique()
    return f"This run, and the range of {count} committed seeds: {', '.join(parts)}."
