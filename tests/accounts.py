"""Three accounts and one cache: two of a group that may write, one that may read alone.

A script that root runs: `python tests/accounts.py FOLDER PLAN`, with a plan as in `kills.py`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from kills import contents, ends, events_of, pipeline, prepare, start

GROUP = 54321
MEMBERS = {"anna": 54322, "bert": 54323}
STRANGER = 54324
SECONDS = 300
MODULES = "modules.json"


def become(account: int, groups: list[int], umask: int) -> None:
    """Leave root for another account."""
    os.umask(umask)
    os.setgroups(groups)
    os.setgid(account)
    os.setuid(account)
    os.environ["HOME"] = "/nonexistent"


def run(folder: Path, plan: dict, account: int, umask: int, deadly: list = ()) -> dict:
    """One account's pipeline, in a folder of its own: its status, what it kept, what it said."""
    folder.mkdir(exist_ok=True)
    os.chown(folder, account, account)
    groups = [GROUP] if account in MEMBERS.values() else []
    status = ends(start(folder, plan, deadly, partial(become, account, groups, umask)), SECONDS)
    report = {"status": status, "kept": [], "at": [], "written": [], "raised": []}
    for _, kind, text in events_of(folder):
        report[kind].append(text)
    (folder / "events.jsonl").unlink()
    return report


def import_all(folder: Path, plan: dict) -> None:
    """Run all of it as root, and import here what that has imported.

    Where the interpreter is in root's home, another account can't import anything.
    """
    folder.mkdir()
    process = os.fork()
    if process == 0:
        pipeline(folder, plan)
        (folder.parent / MODULES).write_text(json.dumps(sorted(sys.modules)))
        os._exit(0)
    assert ends(process, SECONDS) == 0
    for name in json.loads((folder.parent / MODULES).read_text()):
        with suppress(Exception):
            importlib.import_module(name)


def main(folder: Path, plan: dict) -> dict:
    """Anna is killed in her teacher's training, Bert goes on, Anna and a stranger find it all."""
    prepare()
    import_all(folder / "whole", plan)
    cache = folder / "cache"
    cache.mkdir()
    os.chown(cache, 0, GROUP)
    cache.chmod(0o2775)
    shared = plan | {"cache": str(cache)}
    killed = run(folder / "anna", shared, MEMBERS["anna"], 0o022, ["written .labels", 2])
    assert killed["status"] == -signal.SIGKILL, killed
    found = {"bert": run(folder / "bert", shared, MEMBERS["bert"], 0o077)}
    found["anna"] = run(folder / "anna", shared, MEMBERS["anna"], 0o022)
    before = contents(cache)
    found["stranger"] = run(folder / "stranger", shared, STRANGER, 0o022)
    other = shared | {"limits": shared["limits"] | {"teacher_epochs": 1}}
    found["refused"] = run(folder / "refused", other, STRANGER, 0o022)
    found["unchanged"] = contents(cache) == before
    found["equal"] = before == contents(folder / "whole" / "cache")
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.loads(sys.argv[2]))))
