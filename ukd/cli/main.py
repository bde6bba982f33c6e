"""The command line: `ukd --help` lists the commands. Every error ends in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
import warnings
from typing import Annotated

import typer

import ukd
from ukd.cli import doctor, keep, look, train
from ukd.cli.parse import with_groups
from ukd.config.disk import FULL, DiskFull
from ukd.config.disk import REMEDY as FREE_SOME

REFUSED = 2  # exit status for what can't be used
FAILED = 1
INTERRUPTED = 130  # as shells report Ctrl-C
PIPE_CLOSED = 141  # as shells report SIGPIPE
# typer has its own errors of usage, or click's, by its version.
UsageError = typer.BadParameter.__mro__[1]
LOST_WORKERS = ("WorkerLost", "TerminatedWorkerError", "BrokenProcessPool")
MEMORY_TEXTS = ("out of memory", "can't allocate memory", "not enough memory", "unable to allocate")
LESS_MEMORY = (
    "take smaller batches (--batch-size), shorter texts (--max-length), fewer processes (--jobs) "
    "or a smaller encoder (--teacher); what is finished is kept"
)
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
RENAMED_OPTIONS = {
    "--profile": "--preset",
    "--rate": "--learning-rate",
    "--rates": "--learning-rates",
    "--teacher-rate": "--teacher-learning-rate",
    "--student-pick": "--layer-selection",
    "--student-start": "--student-init",
    "--batch": "--batch-size",
    "--select": "--selection-split",
    "--map": "--layer-map",
    "--students": "--student-layers",
    "--keys": "--teacher-layers",
    "--attention-grad": "--detach-attention or --no-detach-attention",
}
MOVED_COMMANDS = {
    "rebuild": "ukd verify --write",
    "paper": "ukd verify --write",
    "datasheet": "ukd verify --write",
    "card": "ukd verify --write",
    "data": "python -m data.synthetic.make",
    "pretrain": "python -m data.encoder.make",
    "bench": "python -m benchmarks",
    "notebooks": "make notebooks",
    "finetune": "ukd.train_teacher, once for every encoder",
}

app = typer.Typer(
    name="ukd",
    help="Universal-KD: distil a deep classifier into a small one by what their layers predict.",
    epilog="First steps: `ukd doctor`, `ukd plan`, `ukd reproduce --preset smoke`. Every command "
    "has its own --help.",
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain text stays readable in pipes, narrow windows and ASCII terminals.
    rich_markup_mode=None,
)
EXAMPLES = {
    train.run: "ukd run --task sentiment --method universal-kd --kappa 0.5",
    train.reproduce: "ukd reproduce --tasks acceptability --methods kd,universal-kd --seeds 1,2,3",
    look.plan: "ukd plan --preset laptop --tasks rte,mnli",
    look.check: "ukd check reviews.csv --text review --label verdict",
    train.logits: "ukd logits --task acceptability --preset cpu --out my-teacher",
    train.predict: "ukd predict --student runs/NAME/student --task rte --out predictions",
    look.table: "ukd table --set synthetic-search",
    look.figures: "ukd figures --runs runs --out figures",
    look.methods: "ukd methods",
    keep.collect: "ukd collect my-runs --title 'Three seeds of mine'",
    doctor.doctor: "ukd doctor",
    keep.verify: "ukd verify --rerun 10f54a9113ae",
}
for command, example in EXAMPLES.items():
    summary = command.__doc__.splitlines()[0]
    app.command(short_help=summary, epilog=f"Example: {example}")(with_groups(command))


@app.callback()
def show_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, with any command.")
    ] = False,
) -> None:
    """Options before a command; `main` has taken them out of the words already."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 for success; 1 for a failure, as of memory; 2 for input that can't be used; 130 for Ctrl-C.
    """
    # Threads that wait by spinning come to a standstill when others work on their cores. It has to
    # be said before torch is imported, and commands import it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "" not in sys.path:
        sys.path.append("")  # this folder, last, for a layer map in a file of it
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    warnings.formatwarning = _warning_line
    _replace_what_has_no_letters()
    try:
        if words == ["--version"]:
            print(f"ukd {ukd.__version__}")
            return 0
        check_spelling(words)
        status = _run(words or ["--help"])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of a pipe has seen enough, as `head` has. Nothing more can be written there.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        message, status = explain(error)
        print(f"ukd: {_in_one_line(message)}", file=sys.stderr)
        return status


def _run(words: list[str]) -> int:
    """The status of one command, its errors as they are."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("ukd", words) as context:
            return command.invoke(context) or 0
    except typer.Exit as end:  # of --help
        return end.exit_code


def check_spelling(words: list[str]) -> None:
    """Raise ValueError for a command or an option of versions up to 0.1, with what it is now."""
    if words and words[0] in MOVED_COMMANDS:
        raise ValueError(f"the command {words[0]} is gone: use {MOVED_COMMANDS[words[0]]}")
    for word in words:
        option = word.partition("=")[0]
        if option in RENAMED_OPTIONS:
            raise ValueError(f"{option} is {RENAMED_OPTIONS[option]} now")


def explain(error: BaseException) -> tuple[str, int]:
    """What to print for an error, and the exit status."""
    text = str(error)
    kind = type(error).__name__
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return "interrupted; what is finished is kept, and the same command goes on", INTERRUPTED
    if isinstance(error, UsageError):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "ukd"
        return f"error: {error.format_message().rstrip('.')}; see {path} --help", REFUSED
    if kind in LOST_WORKERS:
        has_remedy = "--jobs" in text or "next call continues" in text
        return f"error: {text}" if has_remedy else f"error: {kind}: {LESS_MEMORY}", FAILED
    if isinstance(error, MemoryError) or any(words in text.lower() for words in MEMORY_TEXTS):
        return f"error: out of memory: {LESS_MEMORY}", FAILED
    if isinstance(error, DiskFull):
        return f"error: {text}", FAILED
    if isinstance(error, OSError) and error.errno in FULL:
        return f"error: the disk is full ({text}): {FREE_SOME}", FAILED
    if isinstance(error, OSError) and error.errno in NO_RIGHT:
        return (
            f"error: this account has no right to it ({text}): take another file or folder, or set "
            "UKD_CACHE and UKD_RUNS to folders of yours",
            REFUSED,
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"error: {text}: check the path", REFUSED
    if isinstance(error, ValueError | FileExistsError):
        return f"error: {text or kind}", REFUSED
    return f"error: {kind}: {text} (add --debug for the traceback)", FAILED


def _in_one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _warning_line(message: Warning | str, *_: object) -> str:
    return f"warning: {_in_one_line(str(message))}\n"


def _replace_what_has_no_letters() -> None:
    """On terminals and in pipes without UTF-8, print "?" for other letters rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
