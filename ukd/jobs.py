"""Many runs at once: teachers first, then every student, each process with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

import torch

from ukd.config import Compute, progress, say
from ukd.data import load_task, source_of
from ukd.describe import describe_student
from ukd.distill import distill
from ukd.finetune import best_rate, finetune
from ukd.methods import Method
from ukd.probing import train_heads
from ukd.profiles import Profile
from ukd.records import Busy, without_waiting
from ukd.teacher import resolve_encoder, train_teacher


@dataclass(frozen=True)
class Plan:
    """What to run: every method on every task with every seed, all on one budget."""

    tasks: tuple[str, ...]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    profile: Profile
    compute: Compute
    encoder: str
    source: str | None = None
    search: Search | None = None


@dataclass(frozen=True)
class Search:
    """Which peak learning rates every method tries, with every seed; its best by the mean on the development part is used.

    The same rates for every method: none gets a larger search than the rest. On each task for itself, or on one whose choice serves all.
    """

    rates: tuple[float, ...]
    task: str | None = None

    def on(self, tasks: tuple[str, ...]) -> dict[str, list[float]]:
        """By task what is tried there."""
        return {name: list(self.rates) for name in ((self.task,) if self.task else tasks)}


def default_jobs(compute: Compute) -> int:
    """One process a core on a CPU, where the small networks of the kit gain little from threads; one on a GPU."""
    return (os.cpu_count() or 1) if compute.device == "cpu" else 1


def run_all(plan: Plan, jobs: int) -> tuple[list[dict], list[str]]:
    """Make the encoder, the teachers and their heads, then all runs.

    Returns the records in the order of the plan, and "task: reason" for every task left out because of its teacher.
    """
    resolve_encoder(plan.encoder, plan.profile, plan.compute)  # with all cores, before anything needs it
    describe_student(plan.profile, plan.encoder, plan.compute)  # what can't be made is refused before the teachers are
    tried = plan.search.on(plan.tasks) if plan.search else {}
    wanted = tuple(dict.fromkeys((*plan.tasks, *tried)))
    failures = [text for text in _each(make_teacher, [(plan, name) for name in wanted], plan, jobs, "teachers") if text]
    failed = {text.split(":")[0] for text in failures}
    if plan.search and plan.search.task in failed:
        raise ValueError(f"rates can't be searched on {plan.search.task}: {failures}")
    made = search_rates(plan, [name for name in tried if name not in failed], jobs) if plan.search else []
    count = len(made) // len(plan.methods)  # of runs a method, for the search on one task
    best = [best_rate(made[i : i + count]) for i in range(0, len(made), count or 1)] or [None] * len(plan.methods)
    runs = [
        (plan, name, chosen, seed, rate)
        for name in plan.tasks if name not in failed and name not in tried
        for seed in plan.seeds for chosen, rate in zip(plan.methods, best, strict=True)
    ]  # fmt: skip
    made += _each(make_student, runs, plan, jobs, "runs") if runs else []
    for record in made if plan.search else ():  # a run does not know what it is compared with
        record["settings"]["searched"] = {"rates": tried, "seeds": list(plan.seeds)}
    return made, failures


def search_rates(plan: Plan, tasks: list[str], jobs: int) -> list[dict]:
    """The records of every method on these tasks with every seed at every rate of the search, method by method."""
    runs = [
        (plan, name, chosen, seed, rate) for chosen in plan.methods for name in tasks for seed in plan.seeds for rate in plan.search.rates
    ]
    return _each(make_student, runs, plan, jobs, "rates") if runs else []


def make_teacher(plan: Plan, name: str, seed: int = 1) -> str | None:
    """One task's teacher with its pseudo classifiers, into the cache; "task: reason" if it stays below its floor."""
    task = load_task(name, source_of(name, plan.source))
    try:
        teacher = train_teacher(task, profile=plan.profile, encoder=plan.encoder, seed=seed, compute=plan.compute)
    except ValueError as error:
        return f"{name}: {error}"
    train_heads(teacher, task, profile=plan.profile, compute=plan.compute)
    return None


def make_student(plan: Plan, name: str, method: Method, seed: int, rate: float | None = None) -> dict:
    """One run; its teacher comes from the cache."""
    task = load_task(name, source_of(name, plan.source))
    teacher = train_teacher(task, profile=plan.profile, encoder=plan.encoder, compute=plan.compute)
    return distill(task, method, teacher, profile=plan.profile, seed=seed, rate=rate, compute=plan.compute)


def compare_encoders(plan: Plan, encoders: tuple[str, ...], rates: tuple[float, ...], jobs: int) -> list[dict]:
    """Fine-tune every encoder on every task: all rates with the first seed, then the one that is best on the development part."""
    pairs = [(name, encoder) for name in plan.tasks for encoder in encoders]
    for encoder in encoders:
        resolve_encoder(encoder, plan.profile, plan.compute)
    tried = _each(make_finetuned, [(plan, *pair, rate, plan.seeds[0], rates) for pair in pairs for rate in rates], plan, jobs, "rates")
    best = [best_rate(tried[i : i + len(rates)]) for i in range(0, len(tried), len(rates))]
    kept = [tried[i * len(rates) + rates.index(rate)] for i, rate in enumerate(best)]
    again = [(plan, *pair, rate, seed, rates) for pair, rate in zip(pairs, best, strict=True) for seed in plan.seeds[1:]]
    return kept + (_each(make_finetuned, again, plan, jobs, "seeds") if again else [])


def make_finetuned(plan: Plan, name: str, encoder: str, rate: float, seed: int, rates: tuple[float, ...]) -> dict:
    """One encoder fine-tuned on one task."""
    task = load_task(name, source_of(name, plan.source))
    return finetune(task, profile=plan.profile, encoder=encoder, rate=rate, seed=seed, searched=rates, compute=plan.compute)


def _begin(threads: int) -> None:
    """In a new process: its share of the cores, and an end if the process that started it is killed."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _each(work: Callable, arguments: list[tuple], plan: Plan, jobs: int, what: str) -> list:
    """`work` of every tuple of arguments (the plan first), in `jobs` processes; the first failure stops the rest and is raised here.

    What another machine that shares the folders is at work on comes last; by then it is mostly done, and found.
    """
    jobs = min(jobs, len(arguments))
    plan = replace(plan, compute=replace(plan.compute, threads=max(1, plan.compute.threads // jobs)))
    arguments = [(plan, *some) for _, *some in arguments]
    found = _spread(_unless_busy, [(work, *some) for some in arguments], jobs, what, plan.compute.threads)
    if waiting := [index for index, one in enumerate(found) if one == BUSY]:
        left = [arguments[index] for index in waiting]
        late = _spread(work, left, min(jobs, len(left)), f"{what} begun elsewhere", plan.compute.threads)
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
