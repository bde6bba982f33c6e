"""Which records belong together: what a method and a setting are called, what lost its search, what counts as a task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import product

from ukd.data import SPECS
from ukd.finetune import best_rate
from ukd.methods import METHODS, OPTIONS, SCENARIOS, STAGINGS, spelled


def label(record: dict) -> str:
    """The method's name, with the options that differ from its default."""
    said, name = record["settings"]["method"], record["method"]
    usual = asdict(METHODS[name]) if name in METHODS else said
    differs = lambda option: option in said and said[option] != usual[option]  # noqa: E731
    moved = said.get("hidden") is not None and usual["hidden"] is None
    looks = any(stage["intermediate"] or moved and stage.get("hidden") for stage in said.get("stages", ()))
    idle = () if looks and said.get("mapping", "attention") == "attention" else ("attention_grad", "kappa")  # there is no attention to set
    changed = [f"{option}={said[option]}" for option in OPTIONS if differs(option) and option not in idle]
    if "stages" in said and len(said["stages"]) != len(usual["stages"]):
        changed.append(f"stages={STAGINGS[len(said['stages']) - 1]}")
    changed += ["space=hidden"] * moved
    return name + (f" ({', '.join(changed)})" if changed else "")


def setting(record: dict) -> str:
    """What must agree for two records to stand in one table: profile, teacher's encoder (by its weights), student, budget."""
    encoder = record["teacher"]["encoder"]
    said = record["settings"]
    limit = f", at most {said['max_train']:,} labels" if said["max_train"] else ""
    return (
        f"profile {record['profile']}, teacher from {encoder} ({record['teacher']['layers']} layers, "
        f"rate {record['teacher']['rate']:g}), "
        f"student: {students(said)}, {said['epochs']} epochs of batch {said['batch']} "
        f"at {_rate(said)}, {said['max_length']} tokens, {said['precision']}{limit}{selected(said)}"
    )


def of_scenario(name: str, records: Iterable[dict]) -> list[dict]:
    """The records of a scenario's methods (see `ukd.methods.SCENARIOS`)."""
    shown = {label({"method": m.name, "settings": {"method": asdict(m)}}) for m in map(spelled, SCENARIOS[name])}
    return [record for record in records if label(record) in shown]


def alike(record: dict, *, precision: bool = True) -> str:
    """The setting with the rate that the run had, searched or not: by it a fresh run finds committed ones.

    precision: whether it counts in which precision the run was made.
    """
    changes = {"searched": None} | ({} if precision else {"precision": "any precision"})
    return setting({**record, "settings": {**record["settings"], **changes}})


def but_for_the_rate(record: dict) -> str:
    """The setting whatever the student's rate was: what runs of one search share."""
    return alike({**record, "settings": {**record["settings"], "rate": float("nan")}})


def like(records: list[dict], known: list[dict]) -> list[dict]:
    """Those of the known records whose setting one of the records has: in the same precision, or if there are none in another."""
    for precision in (True, False):
        settings = {alike(record, precision=precision) for record in records}
        if found := [record for record in known if alike(record, precision=precision) in settings]:
            return found
    return []


def _rate(settings: dict) -> str:
    """The students' rate, or the rates that every method tried."""
    if not (search := settings.get("searched")):
        return f"rate {settings['rate']:g}"
    tried, seeds = searched(search)
    kinds: dict[str, list[str]] = {}
    for task, rates in tried.items():
        kinds.setdefault(", ".join(f"{rate:g}" for rate in rates), []).append(task)
    if len(tried) == 1:
        return f"the best for each method of rates {next(iter(kinds))} (chosen on {next(iter(tried))}'s development part, n={len(seeds)})"
    said = "; ".join(f"{rates} on {', '.join(tasks)}" for rates, tasks in kinds.items())
    return f"the best for each method and task of rates {said} (chosen on the task's development part, n={len(seeds)})"


def searched(search: dict) -> tuple[dict[str, list[float]], list[int]]:
    """By task the rates that every method tried there, and with which seeds. Older records name one task and the first seed."""
    return ({search["task"]: search["rates"]}, [search["seed"]]) if "task" in search else (search["rates"], search["seeds"])


def decided(records: list[dict]) -> list[dict]:
    """The records without those of rates that lost a method's search: what was tried is no result."""
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault((setting(record), label(record)) if record["settings"].get("searched") else (), []).append(record)
    kept = groups.pop((), [])
    for some in groups.values():
        tried, seeds = searched(some[0]["settings"]["searched"])
        best = {}
        for task, rates in tried.items():
            runs = attempts(some, task)
            if runs.keys() == set(product(rates, seeds)):  # else it was cut off, and nothing is decided
                best[task] = best_rate(list(runs.values()))
        served = next(iter(tried)) if len(tried) == 1 else None  # one task's choice serves all
        kept += [r for r in some if r["settings"]["rate"] == best.get(served or r["task"])]
    return kept


def attempts(records: list[dict], task: str) -> dict[tuple[float, int], dict]:
    """Of one method's records of a search those on a task that it meant, by rate and seed; of two the newer counts."""
    tried, seeds = searched(records[0]["settings"]["searched"])
    meant = [r for r in records if r["task"] == task and r["settings"]["rate"] in tried[task] and r["seed"] in seeds]
    return {(r["settings"]["rate"], r["seed"]): r for r in sorted(meant, key=lambda record: record["made"])}


def selected(settings: dict) -> str:
    """Where the best epoch was chosen, if not on a part of train."""
    return ", epochs chosen on the split reported" if settings.get("select") == "validation" else ""


def apart(records: list[dict]) -> list[dict]:
    """The records, and for every further split that one has scores on a copy that reports it as a task of its own."""
    found = list(records)
    for record in records:
        also = SPECS[record["task"]].also if record["task"] in SPECS else None  # a task of one's own has none
        if also in record["scores"]:
            swap = lambda said, also=also: {**said, "validation": said.get(also, said["validation"])}  # noqa: E731
            copy = {**record, "task": f"{record['task']} ({also})", "scores": swap(record["scores"])}
            if "teacher" in record:
                copy["teacher"] = {**record["teacher"], "scores": swap(record["teacher"]["scores"])}
                copy["examples"] = swap(record["examples"])
            found.append(copy)
    return found


def metrics_of(task: str, records: list[dict]) -> str:
    """A task's metrics in words, as its records have them."""
    return " and ".join(next(record["scores"]["validation"] for record in records if record["task"] == task))


def whole(task: str) -> bool:
    """Whether this is a task, and no further split of one (see `apart`), which counts in no average."""
    return " (" not in task


def students(settings: dict) -> str:
    """What the students of these settings are."""
    if settings["student_layers"]:
        how = {"first": "its first {} layers", "spread": "{} of its layers, evenly spread", "last": "its last {} layers"}
        tuned = " as the fine-tuned teacher has them" if settings.get("student_start") == "teacher" else ""
        return how[settings.get("student_pick", "first")].format(settings["student_layers"]) + tuned
    return settings["student"] + (f", embeddings {settings['embeddings']}" if settings.get("embeddings") else "")


def ordered(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Names in the order in which they are known, the others after them by alphabet."""
    rank = {name: position for position, name in enumerate(known)}
    return sorted(names, key=lambda name: (rank.get(name.split(" (")[0], len(rank)), name))
