"""Many runs at once: teachers first, then every student, each process with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

import torch

from ukd.config import Compute, Profile, progress, say
from ukd.data import load_task
from ukd.distill import distill
from ukd.methods import Method
from ukd.probing import train_heads
from ukd.teacher import SCRATCH, resolve_encoder, train_teacher


@dataclass(frozen=True)
class Plan:
    """What to run: every method on every task with every seed, all on one budget."""

    tasks: tuple[str, ...]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    profile: Profile
    compute: Compute


def default_jobs(compute: Compute) -> int:
    """One process a core on a CPU, where the small networks of the kit gain little from threads; one on a GPU."""
    return (os.cpu_count() or 1) if compute.device == "cpu" else 1


def run_all(plan: Plan, jobs: int) -> tuple[list[dict], list[str]]:
    """Make the encoder, the teachers and their heads, then all runs.

    Returns the records in the order of the plan, and "task: reason" for every task left out because of its teacher.
    """
    resolve_encoder(SCRATCH, plan.profile, plan.compute)  # with all cores, before anything needs it
    share = lambda count: replace(plan.compute, threads=max(1, plan.compute.threads // min(jobs, count)))  # noqa: E731
    here = share(len(plan.tasks))
    failures = [text for text in _each(make_teacher, [(name, plan.profile, here) for name in plan.tasks], jobs, "teachers") if text]
    taught = [name for name in plan.tasks if name not in {text.split(":")[0] for text in failures}]
    here = share(len(taught) * len(plan.seeds) * len(plan.methods) or 1)
    runs = [(name, chosen, seed, plan.profile, here) for name in taught for seed in plan.seeds for chosen in plan.methods]
    return _each(make_student, runs, jobs, "runs") if runs else [], failures


def make_teacher(name: str, profile: Profile, compute: Compute) -> str | None:
    """One task's teacher with its pseudo classifiers, into the cache; "task: reason" if it stays below its floor."""
    task = load_task(name)
    try:
        teacher = train_teacher(task, profile=profile, compute=compute)
    except ValueError as error:
        return f"{name}: {error}"
    train_heads(teacher, task, profile=profile, compute=compute)
    return None


def make_student(name: str, method: Method, seed: int, profile: Profile, compute: Compute) -> dict:
    """One run; its teacher comes from the cache."""
    task = load_task(name)
    teacher = train_teacher(task, profile=profile, compute=compute)
    return distill(task, method, teacher, profile=profile, seed=seed, compute=compute)


def _each(work: Callable, arguments: list[tuple], jobs: int, what: str) -> list:
    """`work` of every tuple of arguments, in `jobs` processes; the first failure stops the rest and is raised here."""
    if jobs == 1:
        return [work(*some) for some in progress(arguments, what)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(arguments)), spawn, torch.set_num_threads, (arguments[0][-1].threads,)) as pool:
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
