"""Many runs: the teachers first, then every student, on several processes or machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean

import torch

from ukd.config.cluster import Cluster
from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, logger, progress, usable_cores
from ukd.config.workers import in_processes
from ukd.data.metrics import mean_metric
from ukd.data.tasks import Task, load_task, source_of
from ukd.methods.coinciding import coinciding
from ukd.methods.method import Method
from ukd.models.bundled import BUNDLED, RANDOM_INIT, resolve_encoder
from ukd.models.students import STUDENTS
from ukd.training.distill import distill
from ukd.training.kept_logits import teacher_of, with_depth_of
from ukd.training.network_sizes import encoder_size
from ukd.training.run_record import RunRecord
from ukd.training.student_report import check_student_layers, describe_student
from ukd.training.teacher import Teacher
from ukd.training.teacher_heads import fit_heads

# Words that stand where a folder may be given.
NO_FOLDERS = ("synthetic", "hub", BUNDLED, RANDOM_INIT, "layers", "teacher", *STUDENTS)


@dataclass(frozen=True)
class LearningRateSearch:
    """Peak learning rates that every method tries, with every seed.

    A method then runs at the one with the best mean on the development part. All methods try the
    same rates, so none is searched for more than the others.

    Attributes:
        learning_rates: what is tried.
        task: the task whose choice serves all; None to search on each task for itself.
    """

    learning_rates: tuple[float, ...]
    task: str | None = None

    def on(self, tasks: tuple[str, ...]) -> dict[str, list[float]]:
        """What is tried, by task."""
        searched = (self.task,) if self.task else tasks
        return {name: list(self.learning_rates) for name in searched}


@dataclass(frozen=True)
class ExperimentGrid:
    """What to run: every method on every task with every seed, all on one budget.

    Attributes:
        tasks: names for `load_task`.
        methods: from `get_method`.
        seeds: of students.
        config: the budget.
        runtime: device and precision; its threads are divided between processes.
        encoder: what teachers are made from.
        source: of the tasks; None for where each is at home.
        search: learning rates to try; None for the config's.
        teacher_logits: folder of a teacher's logits (see `keep_logits`), in place of teachers.
    """

    tasks: tuple[str, ...]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    config: TrainingConfig
    runtime: Runtime
    encoder: str
    source: str | None = None
    search: LearningRateSearch | None = None
    teacher_logits: Path | None = None


@dataclass(frozen=True)
class StudentRun:
    """One run of a grid; learning_rate None for the config's."""

    task: str
    method: Method
    seed: int
    learning_rate: float | None = None


def default_jobs(runtime: Runtime) -> int:
    """One process a core on a CPU, where small networks gain little from threads; one on a GPU."""
    return usable_cores() if runtime.device == "cpu" else 1


def run_grid(
    grid: ExperimentGrid, jobs: int, cluster: Cluster | None = None
) -> tuple[list[RunRecord], list[str]]:
    """Make the teachers and their heads, then all runs. What is finished is found, not repeated.

    Args:
        jobs: processes at a time, on this machine.
        cluster: whose workers take the place of these processes.

    Returns: the records in the order of the grid, and "task: reason" for each task that was left
    out because its teacher has not learned it.

    Raises: ValueError for a student that can't be made, for damaged logits of a teacher, and for a
    search whose task was left out; WorkerLost for a process that was killed; whatever a run raises.
    """
    grid = replace(grid, config=with_depth_of(grid.teacher_logits, grid.config))
    each = partial(_each, grid, jobs, cluster)
    if cluster is not None:
        _check_folders(grid)
    # With all cores, and before any work: what can't be made is refused here.
    name = resolve_encoder(grid.encoder)[1]
    student = describe_student(grid.config, name)
    for method in grid.methods:
        check_student_layers(method, grid.config)
    say_coinciding(grid, student["student_depth"])
    searched = grid.search.on(grid.tasks) if grid.search else {}
    tasks = list(dict.fromkeys((*grid.tasks, *searched)))
    failures = [text for text in each(make_teacher, tasks, "teachers") if text]
    failed = {text.split(":")[0] for text in failures}
    if grid.search and grid.search.task in failed:
        raise ValueError(
            f"learning rates can't be searched on {grid.search.task}: {'; '.join(failures)}"
        )
    tried = _search_runs(grid, [name for name in searched if name not in failed])
    records = each(make_student, tried, "learning rates")
    best = _best_by_method(grid, tried, records)
    runs = []
    for name in grid.tasks:
        if name in failed or name in searched:
            continue
        for seed in grid.seeds:
            runs += [StudentRun(name, method, seed, best[method]) for method in grid.methods]
    records += each(make_student, runs, "runs")
    if grid.search:
        # A run does not know what it is compared with, so this is in memory alone.
        search = {"rates": searched, "seeds": list(grid.seeds)}
        records = [replace(record, search=search) for record in records]
    return records, failures


def say_coinciding(grid: ExperimentGrid, student_depth: int | None) -> None:
    """Log the methods that are one for this student; nothing where a depth is not known yet."""
    if student_depth is None:
        return
    try:
        teacher_depth = encoder_size(grid.encoder, grid.config.teacher_depth).layers
    except ValueError:  # an encoder of the hub whose sizes are not stated here
        return
    found = coinciding(grid.methods, student_depth, teacher_depth)
    if found:
        logger.info(
            f"for a student of {student_depth} layers these are one method, by their layer maps: "
            f"{'; '.join(', '.join(names) for names in found)}"
        )


def _search_runs(grid: ExperimentGrid, tasks: list[str]) -> list[StudentRun]:
    """Every method with every seed at every learning rate of the search, method by method."""
    runs = []
    for method in grid.methods:
        for name in tasks:
            for seed in grid.seeds:
                for rate in grid.search.learning_rates:
                    runs.append(StudentRun(name, method, seed, rate))
    return runs


def _best_by_method(
    grid: ExperimentGrid, tried: list[StudentRun], records: list[RunRecord]
) -> dict[Method, float | None]:
    """The learning rate that serves all tasks, by method; None without a search on one task."""
    best: dict[Method, float | None] = dict.fromkeys(grid.methods)
    if grid.search and grid.search.task:
        for method in best:
            own = [one for run, one in zip(tried, records, strict=True) if run.method == method]
            best[method] = best_learning_rate(
                (one.settings.learning_rate, mean_metric(one.scores["dev"])) for one in own
            )
    return best


def best_learning_rate(tried: Iterable[tuple[float, float]]) -> float:
    """The learning rate with the best mean score on the development part; of equals the lower.

    tried: a learning rate and a score for each run.
    """
    scores: dict[float, list[float]] = {}
    for rate, score in tried:
        scores.setdefault(rate, []).append(score)
    return max(scores, key=lambda rate: (mean(scores[rate]), -rate))


def make_teacher(grid: ExperimentGrid, name: str) -> str | None:
    """One task's teacher with its pseudo classifiers, into the cache.

    Returns "task: reason" if it can't teach, else None.
    """
    task = load_task(name, source_of(name, grid.source))
    try:
        teacher = _teacher(grid, task)
    except ValueError as error:
        return f"{name}: {error}"
    fit_heads(teacher, task, config=grid.config, runtime=grid.runtime)
    return None


def make_student(grid: ExperimentGrid, run: StudentRun) -> RunRecord:
    """One run; its teacher comes from the cache."""
    task = load_task(run.task, source_of(run.task, grid.source))
    return distill(
        task,
        run.method,
        _teacher(grid, task),
        config=grid.config,
        seed=run.seed,
        learning_rate=run.learning_rate,
        runtime=grid.runtime,
    )


def _teacher(grid: ExperimentGrid, task: Task) -> Teacher:
    return teacher_of(
        task,
        grid.teacher_logits,
        config=grid.config,
        encoder=grid.encoder,
        runtime=grid.runtime,
    )


def _check_folders(grid: ExperimentGrid) -> None:
    """Raise ValueError for a folder or file that workers would look for where they were started."""
    config = grid.config
    given = (grid.source, grid.encoder, grid.teacher_logits, config.student, config.embeddings)
    for path in (Path(place) for place in given if place and place not in NO_FOLDERS):
        if path.exists() and not path.is_absolute():
            raise ValueError(
                f"the workers of a cluster may have another working folder: write {path.resolve()} "
                f"in place of {path}, on a disk that they share"
            )


def _each(
    grid: ExperimentGrid,
    jobs: int,
    cluster: Cluster | None,
    work: Callable,
    items: list,
    label: str,
) -> list:
    """`work(grid, item)` for every item, on several processes; results in the order of items."""
    if cluster is not None:
        return cluster.each(partial(_with_own_threads, work, grid), items, label)
    jobs = min(jobs, len(items))
    if jobs <= 1:
        return [work(grid, item) for item in progress(items, label)]
    threads = max(1, grid.runtime.threads // jobs)
    grid = replace(grid, runtime=replace(grid.runtime, threads=threads))
    return in_processes(partial(work, grid), items, jobs=jobs, threads=threads, label=label)


def _with_own_threads(work: Callable, grid: ExperimentGrid, item: object) -> object:
    """On a worker of a cluster, whose threads are its own affair."""
    runtime = replace(grid.runtime, threads=torch.get_num_threads())
    return work(replace(grid, runtime=runtime), item)
