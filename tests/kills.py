"""A small pipeline that is killed with SIGKILL and started again, until it is through.

It makes a teacher, its heads, cached logits, a student with an intermediate loss, and one with an
assistant. A script, since it forks: `python tests/kills.py FOLDER PLAN`, with a plan in JSON.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import random
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import ukd
from ukd.analysis.runs import as_runs
from ukd.analysis.tables import score_tables
from ukd.cli.main import explain
from ukd.config import files
from ukd.config.keys import code_hash
from ukd.config.runtime import Runtime, logger
from ukd.data.tasks import Task
from ukd.training import checkpoint

RUNTIME = Runtime("cpu", "float32", 1, "tests")
METHODS = ("universal-kd", "takd")
EVENTS = "events.jsonl"
TABLE = "table.md"
DIFFERENT = {"made", "seconds", "sha256", "commit"}  # in JSON: when, and what follows from it
POLL_SECONDS = 0.01
SECONDS = 300  # until a process is said to hang
SHARE = 0.6
CODE = ("teacher", "teacher_heads", "teacher_cache", "distill")


def pipeline(folder: Path, plan: dict) -> None:
    """All of it, into the cache and runs below the folder; its table of scores beside them.

    plan: {"limits": fields of the preset, "rows": of a task made on the spot, in place of the
        synthetic sentiment task, "cache": another one, "methods": others}.
    """
    os.environ["UKD_CACHE"] = plan.get("cache", str(folder / "cache"))
    os.environ["UKD_RUNS"] = str(folder / "runs")
    task = small_task(plan["rows"]) if "rows" in plan else ukd.load_task("sentiment")
    options = {"config": ukd.preset("smoke", **plan["limits"]), "runtime": RUNTIME}
    teacher = ukd.train_teacher(task, **options)
    records = []
    for name in plan.get("methods", METHODS):
        records.append(ukd.distill(task, ukd.get_method(name), teacher, seed=1, **options))
    (folder / TABLE).write_text(score_tables(as_runs(records)), encoding="utf-8")


def small_task(rows: int) -> Task:
    """Whether a made-up sentence says good or bad."""
    lines = []
    for number in range(rows):
        word = ("good", "bad")[number % 2]
        lines.append({"text": f"the meal of day {number} was {word}", "label": word})
    return ukd.custom_task(lines, text="text")


# --- what a process notes, so that it outlives it ---


def note(folder: Path, deadly: list, kind: str, text: str) -> None:
    """Append an event; the process dies at the n-th one that is like `deadly`."""
    line = json.dumps([time.time(), kind, text]) + "\n"
    with (folder / EVENTS).open("a", encoding="utf-8") as events:
        events.write(line)
    if deadly and re.search(deadly[0], f"{kind} {text}"):
        deadly[1] -= 1
        if deadly[1] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(folder: Path, deadly: list) -> None:
    """Note log lines, and what is written and kept of folders and checkpoints."""
    noted = partial(note, folder, deadly)
    handler = logging.Handler()
    handler.emit = lambda record: noted("at", record.getMessage())
    logger.addHandler(handler)
    move, save_file, save = files._move, checkpoint.save_file, checkpoint.Checkpointer.save

    def noted_move(building, place, shared):
        noted("written", f"{place.parent.name}/{place.name}")
        move(building, place, shared)
        noted("kept", f"{place.parent.name}/{place.name}")

    def noted_save_file(tensors, path, *others):
        save_file(tensors, path, *others)
        noted("written", path.name)

    def noted_save(self, next_epoch):
        save(self, next_epoch)
        noted("kept", f"{self.path.parent.name}/{self.path.name} after epoch {next_epoch}")

    files._move, checkpoint.save_file = noted_move, noted_save_file
    checkpoint.Checkpointer.save = noted_save


def events_of(folder: Path) -> list[list]:
    """[time, kind, text] of every event in order."""
    path = folder / EVENTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# --- processes ---


def start(
    folder: Path, plan: dict, deadly: list = (), become: Callable[[], None] = lambda: None
) -> int:
    """A new process that runs the pipeline; its id.

    become: called first, as to be another account.
    """
    folder.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        become()
        watch(folder, list(deadly))
        pipeline(folder, plan)
        status = 0
    except BaseException as error:
        traceback.print_exc()
        note(folder, [], "raised", explain(error)[0])
    finally:
        os._exit(status)


def ends(process: int, seconds: float) -> int | None:
    """The status of a process that ends within so many seconds; else it is killed, and None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_SECONDS)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def lost(folder: Path, began: float) -> dict:
    """Where a process was that has just been killed, and the seconds since it kept something."""
    now = time.time()
    events = [event for event in events_of(folder) if event[0] >= began]
    kept = max([began, *(when for when, kind, _ in events if kind == "kept")])
    stage = events[-1][2] if events else "loading"
    return {"stage": re.sub(r"[-/][0-9a-f]{12}|, [a-z]+ [\d.]+.*", "", stage), "lost": now - kept}


def random_kills(folder: Path, plan: dict, seconds: float) -> tuple[list[dict], list[Path]]:
    """Kill at random moments, in a new folder whenever the pipeline is through.

    seconds: that a whole one takes; a process is killed within SHARE of them.
    """
    moments = random.Random(plan["seed"])
    kills, rounds = [], []
    while len(kills) < plan["kills"]:
        rounds.append(folder / f"round-{len(rounds) + 1}")
        while True:
            began = time.time()
            left = moments.uniform(0, SHARE * seconds) if len(kills) < plan["kills"] else SECONDS
            status = ends(start(rounds[-1], plan), left)
            if status is not None:
                assert status == 0, f"it ended with {status}"
                break
            kills.append({"round": len(rounds)} | lost(rounds[-1], began))
    return kills, rounds


def chosen_kills(folder: Path, plan: dict) -> tuple[list[dict], list[Path]]:
    """Kill where the plan says, [a pattern of events, the how many-th], then run to the end."""
    kills = []
    for deadly in plan["at"]:
        began = time.time()
        status = ends(start(folder / "killed", plan, deadly), SECONDS)
        assert status == -signal.SIGKILL, f"it ended with {status} and never came to {deadly}"
        kills.append({"round": 1} | lost(folder / "killed", began))
    assert ends(start(folder / "killed", plan), SECONDS) == 0
    return kills, [folder / "killed"]


# --- what is compared ---


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file by its path: what is left over shows, times do not."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name != EVENTS and ".locks" not in path.parts:
            content = path.read_bytes()
            if path.suffix == ".json":
                content = json.dumps(without_times(json.loads(content))).encode()
            found[name] = hashlib.sha256(content).hexdigest()
        elif path.is_dir() and not any(path.iterdir()):
            found[name] = "an empty folder"
    return found


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in DIFFERENT}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def prepare() -> None:
    """What all processes have in common, done once."""
    torch.set_num_threads(1)
    for module in CODE:
        code_hash(f"ukd.training.{module}")
    gc.freeze()  # what is loaded is not looked through again in each of them


def main(folder: Path, plan: dict) -> dict:
    """Run a plan. What was lost, what was done twice, what differs from an uninterrupted run."""
    prepare()
    began = time.time()
    assert ends(start(folder / "whole", plan), SECONDS) == 0
    seconds = time.time() - began
    expected = contents(folder / "whole")
    if "kills" in plan:
        kills, rounds = random_kills(folder, plan, seconds)
    else:
        kills, rounds = chosen_kills(folder, plan)
    differ, twice = {}, []
    for one in rounds:
        found = contents(one)
        names = {name for name, _ in expected.items() ^ found.items()}
        if names:
            differ[one.name] = sorted(names)
        kept = Counter(text for _, kind, text in events_of(one) if kind == "kept")
        twice += [text for text, count in kept.items() if count > 1]
    return {"kills": kills, "rounds": len(rounds), "differ": differ, "twice": twice}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.loads(sys.argv[2]))))
