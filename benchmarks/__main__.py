"""Measure what a distillation costs, as ratios within one run, and write a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.record import measure
from benchmarks.workbench import Workbench
from ukd.analysis.cards import benchmark_table
from ukd.config.files import write_json
from ukd.config.paths import runs_folder
from ukd.config.presets import preset
from ukd.config.runtime import choose_runtime
from ukd.data.tasks import load_task
from ukd.training.teacher import train_teacher
from ukd.training.teacher_heads import fit_heads

QUICK = "leave out whole comparisons and the teacher of BERT-base's size"
# No time depends on what the weights are: few labels and one epoch of the teacher are enough.
CONFIG = preset(
    "cpu",
    max_train=1000,
    max_validation=500,
    teacher_epochs=1,
    student_epochs=4,
    enforce_min_teacher_score=False,
)


def main(
    quick: Annotated[bool, typer.Option("--quick", help=QUICK)] = False,
    task: Annotated[str, typer.Option(help="of the synthetic suite")] = "paraphrase",
    out: Annotated[Path | None, typer.Option(help="folder for the record")] = None,
    show: Annotated[Path | None, typer.Option(help="print this record's table instead")] = None,
) -> None:
    """Measure what a distillation costs, as ratios within one run; writes a record."""
    try:
        if show:
            record = json.loads(show.read_text(encoding="utf-8"))
            typer.echo(benchmark_table(record))
            return
        record = measure(_workbench(task), quick=quick)
        path = (out or runs_folder()) / f"benchmark-{record['hash']}.json"
        write_json(path, record)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{benchmark_table(record)}\n\n{path}")


def _workbench(name: str) -> Workbench:
    """A task with its teacher; on a CPU with one thread, as each of the kit's processes has."""
    if choose_runtime().device == "cpu":
        torch.set_num_threads(1)
    runtime = choose_runtime()
    task = load_task(name)
    teacher = train_teacher(task, config=CONFIG, runtime=runtime)
    fit_heads(teacher, task, config=CONFIG, runtime=runtime)
    return Workbench(task, teacher, CONFIG, runtime)


if __name__ == "__main__":
    typer.run(main)
