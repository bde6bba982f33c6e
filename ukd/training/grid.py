"""Many runs at once: teachers first, then every student, each process with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from statistics import mean

import torch

from ukd.config.files import Busy, without_waiting
from ukd.config.presets import TrainingConfig
from ukd.config.runtime import Runtime, progress, say
from ukd.data.metrics import mean_metric
from ukd.data.tasks import load_task, source_of
from ukd.methods.method import Method
from ukd.models.bundled import resolve_encoder
from ukd.training.distill import distill
from ukd.training.student_report import describe_student
from ukd.training.teacher import train_teacher
from ukd.training.teacher_heads import fit_heads


@dataclass(frozen=True)
class ExperimentGrid:
    """What to run: every method on every task with every seed, all on one budget."""

    tasks: tuple[str, ...]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    config: TrainingConfig
    runtime: Runtime
    encoder: str
    source: str | None = None
    search: LearningRateSearch | None = None


@dataclass(frozen=True)
class LearningRateSearch:
    """Which peak learning rates every method tries, with every seed; its best by the mean on the development part is used.

    The same rates for every method: none gets a larger search than the rest. On each task for itself, or on one whose choice serves all.
    """

    rates: tuple[float, ...]
    task: str | None = None

    def on(self, tasks: tuple[str, ...]) -> dict[str, list[float]]:
        """By task what is tried there."""
        return {name: list(self.rates) for name in ((self.task,) if self.task else tasks)}


def default_jobs(runtime: Runtime) -> int:
    """One process a core on a CPU, where the small networks of the kit gain little from threads; one on a GPU."""
    return (os.cpu_count() or 1) if runtime.device == "cpu" else 1


def run_all(plan: ExperimentGrid, jobs: int) -> tuple[list[dict], list[str]]:
    """Make the encoder, the teachers and their heads, then all runs.

    Returns the records in the order of the plan, and "task: reason" for every task left out because of its teacher.
    """
    resolve_encoder(plan.encoder)  # with all cores, before anything needs it
    describe_student(
        plan.config, plan.encoder, plan.runtime
    )  # what can't be made is refused before the teachers are
    tried = plan.search.on(plan.tasks) if plan.search else {}
    wanted = tuple(dict.fromkeys((*plan.tasks, *tried)))
    failures = [
        text
        for text in _each(make_teacher, [(plan, name) for name in wanted], plan, jobs, "teachers")
        if text
    ]
    failed = {text.split(":")[0] for text in failures}
    if plan.search and plan.search.task in failed:
        raise ValueError(f"rates can't be searched on {plan.search.task}: {failures}")
    made = (
        search_rates(plan, [name for name in tried if name not in failed], jobs)
        if plan.search
        else []
    )
    count = len(made) // len(plan.methods)  # of runs a method, for the search on one task
    best = [best_rate(made[i : i + count]) for i in range(0, len(made), count or 1)] or [
        None
    ] * len(plan.methods)
    runs = [
        (plan, name, chosen, seed, learning_rate)
        for name in plan.tasks
        if name not in failed and name not in tried
        for seed in plan.seeds
        for chosen, learning_rate in zip(plan.methods, best, strict=True)
    ]
    made += _each(make_student, runs, plan, jobs, "runs") if runs else []
    for record in made if plan.search else ():  # a run does not know what it is compared with
        record["settings"]["searched"] = {"rates": tried, "seeds": list(plan.seeds)}
    return made, failures


def search_rates(plan: ExperimentGrid, tasks: list[str], jobs: int) -> list[dict]:
    """The records of every method on these tasks with every seed at every rate of the search, method by method."""
    runs = [
        (plan, name, chosen, seed, learning_rate)
        for chosen in plan.methods
        for name in tasks
        for seed in plan.seeds
        for learning_rate in plan.search.rates
    ]
    return _each(make_student, runs, plan, jobs, "rates") if runs else []


def make_teacher(plan: ExperimentGrid, name: str, seed: int = 1) -> str | None:
    """One task's teacher with its pseudo classifiers, into the cache; "task: reason" if it stays below its floor."""
    task = load_task(name, source_of(name, plan.source))
    try:
        teacher = train_teacher(
            task, config=plan.config, encoder=plan.encoder, seed=seed, runtime=plan.runtime
        )
    except ValueError as error:
        return f"{name}: {error}"
    fit_heads(teacher, task, config=plan.config, runtime=plan.runtime)
    return None


def make_student(
    plan: ExperimentGrid, name: str, method: Method, seed: int, learning_rate: float | None = None
) -> dict:
    """One run; its teacher comes from the cache."""
    task = load_task(name, source_of(name, plan.source))
    teacher = train_teacher(task, config=plan.config, encoder=plan.encoder, runtime=plan.runtime)
    return distill(
        task,
        method,
        teacher,
        config=plan.config,
        seed=seed,
        learning_rate=learning_rate,
        runtime=plan.runtime,
    )


def best_rate(records: list[dict]) -> float:
    """The learning rate whose runs are best on the development part, by their mean; of equals the lower one."""
    by_rate: dict[float, list[float]] = {}
    for record in records:
        score = mean_metric(record["scores"]["dev"])
        by_rate.setdefault(record["settings"]["rate"], []).append(score)
    return max(by_rate, key=lambda learning_rate: (mean(by_rate[learning_rate]), -learning_rate))


def _begin(threads: int) -> None:
    """In a new process: its share of the cores, and an end if the process that started it is killed."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _each(
    work: Callable, arguments: list[tuple], plan: ExperimentGrid, jobs: int, what: str
) -> list:
    """`work` of every tuple of arguments (the plan first), in `jobs` processes; the first failure stops the rest and is raised here.

    What another machine that shares the folders is at work on comes last; by then it is mostly done, and found.
    """
    jobs = min(jobs, len(arguments))
    plan = replace(
        plan, runtime=replace(plan.runtime, threads=max(1, plan.runtime.threads // jobs))
    )
    arguments = [(plan, *some) for _, *some in arguments]
    found = _spread(
        _unless_busy, [(work, *some) for some in arguments], jobs, what, plan.runtime.threads
    )
    if waiting := [index for index, one in enumerate(found) if one == BUSY]:
        left = [arguments[index] for index in waiting]
        late = _spread(
            work, left, min(jobs, len(left)), f"{what} begun elsewhere", plan.runtime.threads
        )
        for index, one in zip(waiting, late, strict=True):
            found[index] = one
    return found


BUSY = "another process is at work on it"


def _unless_busy(work: Callable, *some: object) -> object:
    """`work` of these, or BUSY."""
    try:
        with without_waiting():
            return work(*some)
    except Busy:
        return BUSY


def _spread(work: Callable, arguments: list[tuple], jobs: int, what: str, threads: int) -> list:
    if jobs == 1:
        return [work(*some) for some in progress(arguments, what)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, _begin, (threads,)) as pool:
        waiting = {pool.submit(work, *some): index for index, some in enumerate(arguments)}
        found: list = [None] * len(arguments)
        try:
            for number, done in enumerate(progress(as_completed(waiting), what, len(arguments)), 1):
                found[waiting[done]] = done.result()
                say(f"[{number}/{len(arguments)}] {what} done")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found
