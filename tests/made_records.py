"""Run records made by hand, for tests of tables, contrasts and the store."""

from dataclasses import replace
from functools import cache

from ukd.analysis.runs import Runs, as_runs, load_runs
from ukd.config.keys import config_hash
from ukd.data.tasks import SPECS
from ukd.methods.registry import parse_method
from ukd.training.run_record import (
    DataRecord,
    Provenance,
    RunRecord,
    RunSettings,
    TeacherRecord,
    method_settings,
)

LAYERS = 12
MADE = "2026-01-01T00:00:00+00:00"


@cache
def committed() -> Runs:
    """The committed runs, read once."""
    return load_runs()


def made_record(
    method="kd", seed=1, score=80.0, task="sentiment", *, dev=None, rate=5e-4, **changes
) -> RunRecord:
    """A record of one run; method may be spelled with options.

    changes: fields of the record, or of its parts as "teacher__key" and "settings__precision".
    """
    method = parse_method(method)
    metrics = SPECS[task].metrics if task in SPECS else ("accuracy",)
    dev = score if dev is None else dev
    scores = {"dev": dict.fromkeys(metrics, dev), "validation": dict.fromkeys(metrics, score)}
    taught = dict.fromkeys(metrics, 90.0)
    head = {"scores": taught, "label_error": 0.25}
    record = RunRecord(
        hash=config_hash([repr(method), seed, score, task, dev, rate, repr(changes)]),
        task=task,
        method=method.name,
        seed=seed,
        settings=RunSettings(
            preset="cpu",
            method=method_settings(method),
            student="bundled-0123456789ab",
            student_depth=4,
            layer_selection="first",
            student_init="pretrained",
            embeddings=None,
            learning_rate=rate,
            batch_size=32,
            epochs=6,
            max_length=64,
            max_train=None,
            max_validation=None,
            precision="float32",
        ),
        data=DataRecord(f"data-of-{task}", tuple(metrics), None),
        teacher=TeacherRecord(
            key=f"teacher-of-{task}",
            encoder="bundled-0123456789ab",
            learning_rate=2e-4,
            seed=1,
            layers=LAYERS,
            parameters=9000,
            scores={"dev": taught, "validation": taught},
            heads=(head,) * LAYERS,
            weights="ab" * 32,
        ),
        scores=scores,
        examples={"train": 900, "dev": 100, "validation": 2000},
        steps=6,
        student_parameters=5000,
        seconds=1.5,
        provenance=Provenance(MADE, "a CPU", 1, 1, "3.12", {"torch": "2"}, "0123456789ab"),
        history={
            "labels": {
                "curve": [{"step": 6, "labels": 0.5}],
                "epochs": [{"epoch": 1, "step": 6, "dev": dev}],
            }
        },
    )
    return changed(record, **changes)


def changed(record: RunRecord, **changes) -> RunRecord:
    """The record with other fields: "seed", or "teacher__key" for a field of a part."""
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            value = replace(getattr(record, part), **{field: value})
        record = replace(record, **{part: value})
    return record


def table_of(records):
    """The table of runs of these records."""
    return as_runs(records).table


def with_search(records, rates, seeds=(1,)):
    """The records as runs of a search over these rates by task."""
    search = {"rates": {task: list(tried) for task, tried in rates.items()}, "seeds": list(seeds)}
    return [replace(record, search=search) for record in records]


def columns(text: str, row: str) -> list[str]:
    """The cells of a Markdown table's row whose first cell is `row`."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == row:
            return cells[1:]
    raise AssertionError(f"no row {row!r} in\n{text}")
