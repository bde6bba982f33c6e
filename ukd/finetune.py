"""Encoders compared by fine-tuning: one budget, one search over rates, several seeds, scores layer by layer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch

from ukd.config import Compute, digest, runs_folder, source_digest
from ukd.data import Task
from ukd.metrics import headline
from ukd.probing import train_heads
from ukd.profiles import Profile
from ukd.records import FORMAT, provenance, whole_folder, write_json
from ukd.teacher import resolve_encoder, tokenizer_digest, train_teacher

FINE_TUNING = "fine-tuning"
CODE = ("data", "heads", "losses", "metrics", "models", "probing", "students", "teacher", "train")


def finetune(
    task: Task, *, profile: Profile, encoder: str, rate: float, seed: int, compute: Compute, searched: tuple[float, ...] = ()
) -> dict:
    """Fine-tune an encoder on a task, fit its pseudo classifiers, and return the run's record.

    A finished run is found by its settings and not repeated. A score below the task's floor is kept: it is a result.
    `searched` are the rates among which this one was chosen by the development part, for the record.
    """
    budget = replace(profile, enforce_floor=False)
    source, name = resolve_encoder(encoder, budget, compute)
    settings = {
        "encoder": name, "rate": rate, "searched": list(searched), "epochs": budget.teacher_epochs, "batch": budget.batch,
        "max_length": budget.max_length, "max_train": budget.max_train, "max_validation": budget.max_validation,
        "precision": compute.precision, "select": budget.select, "compiled": compute.compiled,
    }  # fmt: skip
    key = digest(settings, task.name, task.fingerprint, seed, torch.__version__, tokenizer_digest(Path(source)), source_digest(*CODE))
    folder = runs_folder() / f"{task.name}-{FINE_TUNING}-{short_name(name).replace('/', '--')}-seed{seed}-{key}"
    if not (folder / "record.json").is_file():
        teacher = train_teacher(task, profile=budget, encoder=encoder, rate=rate, seed=seed, compute=compute)
        heads = train_heads(teacher, task, profile=budget, compute=compute)
        about = {key: teacher.about[key] for key in ("scores", "history", "layers", "parameters")}
        record = {
            "format": FORMAT, "hash": key, "task": task.name, "method": FINE_TUNING, "seed": seed, "profile": budget.name,
            "settings": settings, "data": task.fingerprint, "by_layer": heads["layers"], "heads_fitted_on": heads["examples"],
            **about, **provenance(compute),
        }  # fmt: skip
        with whole_folder(folder) as building:
            write_json(building / "record.json", record)
    return json.loads((folder / "record.json").read_text(encoding="utf-8"))


def best_rate(records: list[dict]) -> float:
    """The rate whose runs are best on the development part, by their mean; of equals the lower one."""
    by_rate: dict[float, list[float]] = {}
    for record in records:
        by_rate.setdefault(record["settings"]["rate"], []).append(headline(record["scores"]["dev"]))
    return max(by_rate, key=lambda rate: (mean(by_rate[rate]), -rate))


def short_name(name: str | Path) -> str:
    """An encoder's name without the digest of its weights."""
    head, _, tail = str(name).rpartition("-")
    return head if head and len(tail) == 12 and all(c in "0123456789abcdef" for c in tail) else str(name)
