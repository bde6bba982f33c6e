"""Commands that train or use what was trained: run, reproduce, logits, predict."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

from ukd.cli.budget import Budget
from ukd.cli.comparison import Comparison
from ukd.cli.options import (
    Losses,
    Machine,
    Source,
    TaskName,
    TeacherLogits,
    number,
    text,
)
from ukd.config.choices import GLUE_TASKS

if TYPE_CHECKING:
    from ukd.config.runtime import Runtime
    from ukd.training.run_record import RunRecord


def run(
    *,
    task: TaskName,
    method: Annotated[
        str, text("--method", metavar="METHOD", text="One of `ukd methods`.")
    ] = "universal-kd",
    seed: Annotated[
        int,
        number("--seed", text="Of the student's weights, order of examples, dropout.", default=""),
    ] = 1,
    source: Source = None,
    teacher_logits: TeacherLogits = None,
    budget: Budget,
    losses: Losses,
    machine: Machine,
) -> int:
    """Distil one task with one method and one seed.

    The teacher is trained first if it is not in the cache. A finished run is found, not repeated.
    """
    from ukd.analysis.grouping import method_name
    from ukd.config.runtime import rank
    from ukd.data.tasks import load_task, source_of
    from ukd.models.bundled import resolve_encoder
    from ukd.training.distill import distill
    from ukd.training.kept_logits import teacher_of, with_depth_of
    from ukd.training.student_report import check_student_layers, describe_student

    budget.check_kept(teacher_logits)
    chosen = losses.method(method)
    config = with_depth_of(teacher_logits, budget.config())
    runtime = machine.runtime()
    chosen.epochs(config.student_epochs)
    data = load_task(task, source_of(task, source))
    # What can't be made is refused before a teacher is trained.
    describe_student(config, resolve_encoder(config.encoder)[1])
    check_student_layers(chosen, config)
    teacher = teacher_of(data, teacher_logits, config=config, runtime=runtime)
    record = distill(data, chosen, teacher, config=config, seed=seed, runtime=runtime)
    if rank() == 0:
        scores = []
        for metric, value in record.scores["validation"].items():
            scores.append(f"{metric} {value:.1f}")
        name = method_name(record.method, record.settings.method)
        path = Path(record.folder) / "record.json"
        print(f"{data.name}, {name}, seed {seed}: {', '.join(scores)} | {path}")
    return 0


def reproduce(
    comparison: Comparison,
    budget: Budget,
    machine: Machine,
    source: Source = None,
    teacher_logits: TeacherLogits = None,
    jobs: Annotated[
        int | None,
        number(
            "--jobs",
            text="Processes that share the cores.",
            default="[default: one a core on a CPU, one on a GPU]",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        text(
            "--cluster",
            metavar="ADDRESS",
            text="Of a dask scheduler, on loopback or with TLS: its workers make the runs.  "
            "[default: processes of this machine]",
        ),
    ] = None,
) -> int:
    """Run every method on every task with every seed, and compare with the committed scores.

    Teachers and their pseudo classifiers come first. Tables and figures follow. What is finished is
    found, not repeated.
    """
    from ukd.training.grid import ExperimentGrid, default_jobs, run_grid

    if cluster and jobs:
        raise ValueError("--jobs are processes of this machine, and --cluster has its own workers")
    budget.check_kept(teacher_logits)
    configs = comparison.configs(budget)
    tasks = comparison.chosen_tasks(configs[0])
    seeds = comparison.chosen_seeds(configs[0])
    methods = comparison.chosen_methods()
    search = comparison.search(budget)
    records: list[RunRecord] = []
    failures: list[str] = []
    with machine.cluster(cluster) if cluster else nullcontext() as workers:
        runtime = workers.runtime if workers else machine.runtime()
        _announce(runtime, tasks, seeds)
        for config in configs:
            encoder = config.encoder
            grid = ExperimentGrid(
                tasks, methods, seeds, config, runtime, encoder, source, search, teacher_logits
            )
            made, failed = run_grid(grid, jobs or default_jobs(runtime), workers)
            records += made
            failures += [failure for failure in failed if failure not in failures]
    if records:
        _show(records)
    if search:
        where = search.task or "each"
        print(
            "A record does not name the search it belongs to. To keep them with it: "
            f"ukd collect NAME --search-task {where}"
        )
    for failure in failures:
        print(f"ukd: left out {failure}", file=sys.stderr)
    return 2 if failures else 0


def _announce(runtime: Runtime, tasks: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    numbers = ", ".join(str(seed) for seed in seeds)
    print(
        f"{runtime.device}, {runtime.precision} ({runtime.reason}); tasks {', '.join(tasks)}; "
        f"seeds {numbers}",
        flush=True,
    )


def _show(records: list[RunRecord]) -> None:
    """Tables, figures, and the scores beside the committed ones, which come last."""
    from ukd.analysis.figure_sets import draw_runs
    from ukd.analysis.first_look import sentences
    from ukd.analysis.runs import as_runs, load_runs
    from ukd.analysis.tables import compare_with_committed, score_tables
    from ukd.config.paths import runs_folder

    runs = as_runs(records)
    print(f"\n{score_tables(runs)}\n")
    for path in draw_runs(runs, runs_folder() / "figures"):
        print(path)
    committed = load_runs().table
    beside = compare_with_committed(runs.table, committed)
    if beside:
        print(f"\n### Beside the committed runs\n\n{beside}\n")
    else:
        print("\nNo committed run has this configuration, so there is nothing to compare with.\n")
    found = sentences(runs.table, committed)
    if found:
        print("### What was found\n")
        print(*(fill(f"- {one}", 100, subsequent_indent="  ") for one in found), sep="\n")


def logits(
    *,
    task: TaskName,
    out: Annotated[Path, text("--out", metavar="FOLDER", text="A new folder for the logits.")],
    source: Source = None,
    budget: Budget,
    machine: Machine,
) -> int:
    """Keep a teacher's logits, so that students can be distilled without it.

    The teacher is trained first if it is not in the cache. `ukd run` and `ukd reproduce` take the
    folder as --teacher-logits.
    """
    from ukd.data.tasks import load_task, source_of
    from ukd.training.kept_logits import check_new, keep_logits
    from ukd.training.teacher import train_teacher

    check_new(out)  # before a teacher is trained
    config = budget.config()
    runtime = machine.runtime()
    data = load_task(task, source_of(task, source))
    teacher = train_teacher(data, config=config, runtime=runtime)
    kept = keep_logits(teacher, data, out, config=config, runtime=runtime)
    for split, table in kept.logits.items():
        rows, layers, classes = table.shape
        print(f"{split}: {rows} rows, {layers} layers, {classes} numbers each")
    return 0


def predict(
    student: Annotated[
        Path,
        text(
            "--student",
            metavar="FOLDER",
            text="A run's student folder, or any classifier with its tokenizer.",
        ),
    ],
    task: Annotated[str, text("--task", metavar="TASK", text=f"One of: {', '.join(GLUE_TASKS)}.")],
    source: Annotated[
        str,
        text(
            "--source",
            metavar="SOURCE",
            text="'hub', or a folder in the hub's layout that has test splits.",
        ),
    ] = "hub",
    max_length: Annotated[
        int, number("--max-length", text="Limit of tokens an example.", default="")
    ] = 128,
    out: Annotated[Path, text("--out", metavar="FOLDER", text="Of the files.")] = Path(
        "predictions"
    ),
) -> int:
    """Write a student's predictions for GLUE's test splits, in the leaderboard's format."""
    from ukd.config.runtime import choose_runtime
    from ukd.training.predict import write_predictions

    paths = write_predictions(
        student, task, source, out, max_length=max_length, runtime=choose_runtime()
    )
    print(*paths, sep="\n")
    return 0
