"""The suite: drawing, splitting and writing the examples of every task."""

import random
from functools import cache
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Value

from data.synthetic.make import acceptability, entailment, paraphrase, sentiment, similarity
from data.synthetic.make.base import Grammar

SEED = 2024
TASKS: dict[str, Grammar] = {
    grammar.name: grammar
    for grammar in (
        acceptability.GRAMMAR,
        sentiment.GRAMMAR,
        paraphrase.GRAMMAR,
        similarity.GRAMMAR,
        entailment.GRAMMAR,
    )
}


def _quota(grammar: Grammar, size: int) -> dict:
    """How many examples of each label a split of `size` takes; one number without labels."""
    if grammar.shares is None:
        return {None: size}
    counts = [round(share * size) for share in grammar.shares[:-1]]
    return dict(enumerate([*counts, size - sum(counts)]))


@cache
def _splits(name: str, seed: int) -> dict[str, list[dict]]:
    """All splits of a task, drawn together so that no text occurs twice."""
    grammar = TASKS[name]
    rng = random.Random(f"{seed} {name}")
    quotas = {split: _quota(grammar, size) for split, size in grammar.sizes.items()}
    splits: dict[str, list[dict]] = {split: [] for split in quotas}
    seen: set[tuple] = set()
    while any(sum(quota.values()) for quota in quotas.values()):
        row = grammar.generate(rng)
        key = tuple(sorted(row[column] for column in grammar.columns))
        label = None if grammar.shares is None else row["label"]
        open_splits = [split for split, quota in quotas.items() if quota[label]]
        if key in seen or not open_splits:
            continue
        seen.add(key)
        left = [quotas[split][label] for split in open_splits]
        split = rng.choices(open_splits, left)[0]
        quotas[split][label] -= 1
        splits[split].append(row)
    for rows in splits.values():
        rng.shuffle(rows)
    return splits


def examples(name: str, split: str, seed: int = SEED) -> list[dict]:
    """The examples of a split: text columns, label, idx and difficulty.

    Raises KeyError for an unknown task or split.
    """
    return [row | {"idx": index} for index, row in enumerate(_splits(name, seed)[split])]


def build(folder: str | Path, seed: int = SEED) -> None:
    """Write every split to folder/<task>/<split>-00000-of-00001.parquet, in GLUE's layout.

    The same seed gives the same files.
    """
    for name, grammar in TASKS.items():
        features = _features(grammar)
        target = Path(folder) / name
        target.mkdir(parents=True, exist_ok=True)
        for split in grammar.sizes:
            rows = examples(name, split, seed)
            table = {column: [row[column] for row in rows] for column in features}
            Dataset.from_dict(table, features=features).to_parquet(
                target / f"{split}-00000-of-00001.parquet"
            )


def _features(grammar: Grammar) -> Features:
    """The columns of a task's files with their types."""
    columns = {column: Value("string") for column in grammar.columns}
    label = Value("float32")
    if grammar.label_names:
        label = ClassLabel(names=list(grammar.label_names))
    numbers = {"label": label, "idx": Value("int32"), "difficulty": Value("int32")}
    return Features(columns | numbers)
