"""What each command does; its options are in `ukd.cli`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from ukd.analysis.grouping import decided, label
from ukd.analysis.tables import beside, tables
from ukd.cli.reports import committed
from ukd.config.paths import runs_folder
from ukd.config.presets import HUB_PRESETS, TrainingConfig
from ukd.config.runtime import choose_runtime, rank
from ukd.data.tasks import SPECS, SYNTHETIC, load_task, source_of
from ukd.finetune import FINE_TUNING
from ukd.methods.method import Method
from ukd.methods.registry import METHODS, OPTIONS, get_method, parse_method
from ukd.methods.scenarios import DEFAULT_METHODS, SCENARIO_STUDENTS, SCENARIOS
from ukd.projection import check_temperature

BUDGET = {
    "student_layers": "layers of the student: the first of the teacher's encoder",
    "teacher_epochs": "passes of the teacher's fine-tuning",
    "student_epochs": "passes of the distillation, all stages together",
    "max_train": "limit of labelled examples, the development part included",
    "max_length": "limit of tokens an example",
    "batch": "examples a step",
}


def count(text: str) -> int:
    """A whole number of at least 1. Raises ValueError."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A positive number. Raises ValueError."""
    try:
        check_temperature("it", value := float(text))
    except ValueError:
        raise ValueError(f"must be a positive number, got {text!r}") from None
    return value


def _profile(options: argparse.Namespace) -> TrainingConfig:
    floor = False if getattr(options, "allow_weak_teacher", False) else None
    others = (
        "student",
        "student_pick",
        "student_start",
        "embeddings",
        "rate",
        "teacher_rate",
        "select",
    )
    chosen = {name: getattr(options, name, None) for name in (*BUDGET, *others)}
    made = config(options.config, enforce_min_teacher_score=floor, **chosen)
    if made.student != "layers" and (
        given := chosen["student_layers"] or chosen["student_pick"] or chosen["student_start"]
    ):
        raise ValueError(
            f"--student-layers, -pick and -start are about the encoder's layers, and student {made.student} takes none: {given}"
        )
    return made


def _budgets(options: argparse.Namespace, first: TrainingConfig) -> list[TrainingConfig]:
    """The profile with each of the scenario's students, unless a student was asked for or comes with a preset."""
    asked = options.student or options.student_depth or first.name in HUB_PRESETS
    changes = () if asked else SCENARIO_STUDENTS.get(options.scenario, ())
    given = {"student_epochs": options.student_epochs} if options.student_epochs else {}
    return [replace(first, **(change | given)) for change in changes] or [first]


def run(options: argparse.Namespace) -> int:
    """`ukd run`."""
    from ukd.models.bundled import default_encoder
    from ukd.training.distill import distill
    from ukd.training.student_report import describe_student
    from ukd.training.teacher import train_teacher

    changes = {
        name: {"yes": True, "no": False}.get(value := getattr(options, name), value)
        for name in OPTIONS
    }
    chosen = get_method(options.method, space=options.space, stages=options.stages, **changes)
    here, budget = choose_runtime(options.precision, compiled=options.compile), _profile(options)
    task = load_task(options.task, source_of(options.task, options.source))
    encoder = options.teacher or default_encoder(budget, task.name)
    describe_student(budget, encoder, here)  # what can't be made is refused before the teacher is
    teacher = train_teacher(task, config=budget, encoder=encoder, runtime=here)
    record = distill(task, chosen, teacher, config=budget, seed=options.seed, runtime=here)
    said = ", ".join(
        f"{name} {value:.1f}" for name, value in record["scores"]["validation"].items()
    )
    if rank() == 0:
        print(
            f"{task.name}, {label(record)}, seed {options.seed}: {said} | {Path(record['folder']) / 'record.json'}"
        )
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """`ukd reproduce`."""
    from ukd.analysis.study_figures import draw_records
    from ukd.models.bundled import default_encoder
    from ukd.training.grid import ExperimentGrid, default_jobs, run_all

    here, first = choose_runtime(options.precision, compiled=options.compile), _profile(options)
    tasks, seeds, methods = _tasks(options, first), _seeds(options, first), _methods(options)
    print(
        f"{here.device}, {here.precision} ({here.reason}); tasks {', '.join(tasks)}; seeds {', '.join(map(str, seeds))}",
        flush=True,
    )
    records, failures = [], []
    for budget in _budgets(options, first):
        search = _search(options)
        encoder = options.teacher or default_encoder(
            budget, *tasks, *([search.task] if search and search.task else [])
        )
        plan = ExperimentGrid(tasks, methods, seeds, budget, here, encoder, options.source, search)
        made, failed = run_all(plan, options.jobs or default_jobs(here))
        records, failures = records + made, list(dict.fromkeys(failures + failed))
    print(f"\n{tables(records)}\n")
    if text := beside(
        records, decided([record for record in committed() if record["method"] != FINE_TUNING])
    ):
        print(f"### Beside the committed records\n\n{text}\n")
    if options.rates:
        print(
            f"The records do not name the search. To keep them with it: ukd collect NAME --search-task {options.search_task or 'each'}"
        )
    folder = runs_folder() / "figures"
    for path in draw_records(records, folder) if records else []:
        print(path)
    for failure in failures:
        print(f"ukd: left out {failure}", file=sys.stderr)
    return 2 if failures else 0


def predictions(options: argparse.Namespace) -> int:
    """`ukd predict`."""
    from ukd.training.predict import write_predictions

    settings = {"max_length": options.max_length, "compute": choose_runtime()}
    print(
        *write_predictions(options.student, options.task, options.source, options.out, **settings),
        sep="\n",
    )
    return 0


def finetune(options: argparse.Namespace) -> int:
    """`ukd finetune`."""
    from ukd.models.bundled import default_encoder, drawn_for
    from ukd.training.grid import ExperimentGrid, compare_encoders, default_jobs

    here, budget = choose_runtime(options.precision, compiled=options.compile), _profile(options)
    rates = tuple(
        dict.fromkeys(positive(learning_rate) for learning_rate in options.rates.split(","))
    )
    tasks = _tasks(options, budget)
    plan = ExperimentGrid(
        tasks,
        (),
        _seeds(options, budget),
        budget,
        here,
        default_encoder(budget, *tasks),
        options.source,
    )
    encoders = (
        tuple(options.encoders.split(","))
        if options.encoders
        else (plan.encoder, drawn_for(plan.encoder)[0])
    )
    print(tables(compare_encoders(plan, encoders, rates, options.jobs or default_jobs(here))))
    return 0


def show_plan(options: argparse.Namespace) -> int:
    """`ukd plan`."""
    from ukd.models.bundled import default_encoder
    from ukd.training.cost import plan, presets_table

    if options.presets:
        print(presets_table(HUB_PRESETS))
        return 0
    first, methods, here = _profile(options), _methods(options), choose_runtime(options.precision)
    encoder = options.teacher or default_encoder(first, *_tasks(options, first))
    for budget in _budgets(options, replace(first, encoder=encoder)):
        tasks = _tasks(options, budget)
        print(plan(tasks, methods, options.seeds, budget, options.source, here, _search(options)))
    return 0


def run_bench(options: argparse.Namespace) -> int:
    """`ukd bench`: on 1,000 labels, with a teacher of one epoch, since no time depends on what the weights are.

    On a CPU with one thread, as each of the kit's processes has.
    """
    import torch

    from benchmarks.bench import bench_table, measure
    from benchmarks.contenders import Bench
    from ukd.config.files import write_json
    from ukd.training.teacher import train_teacher
    from ukd.training.teacher_heads import fit_heads

    if options.show:
        print(bench_table(json.loads(options.show.read_text(encoding="utf-8"))))
        return 0
    if (here := choose_runtime()).device == "cpu":
        torch.set_num_threads(1)
        here = choose_runtime()
    budget = config(
        "cpu",
        max_train=1000,
        max_validation=500,
        teacher_epochs=1,
        student_epochs=4,
        enforce_min_teacher_score=False,
    )
    task = load_task(options.task, source_of(options.task, None))
    teacher = train_teacher(task, config=budget, runtime=here)
    fit_heads(teacher, task, config=budget, runtime=here)
    record = measure(Bench(task, teacher, budget, here), quick=options.quick)
    path = (options.out or runs_folder()) / f"bench-{record['hash']}.json"
    write_json(path, record)
    print(f"{bench_table(record)}\n\n{path}")
    return 0


def _methods(options: argparse.Namespace) -> tuple[Method, ...]:
    default = SCENARIOS[options.scenario] if options.scenario else DEFAULT_METHODS
    names = (
        tuple(METHODS)
        if options.methods == "all"
        else dict.fromkeys(filter(None, (options.methods or "").split(","))) or default
    )
    return tuple(parse_method(name) for name in names)


def _search(options: argparse.Namespace):  # -> Search | None
    """Of which rates every method takes its best, and where that is found out: on each task if none is named."""
    from ukd.training.grid import LearningRateSearch

    if not options.rates:
        if options.search_task:
            raise ValueError("--search-task says where --rates are tried: give both")
        return None
    rates = tuple(
        dict.fromkeys(positive(learning_rate) for learning_rate in options.rates.split(","))
    )
    if options.learning_rate or len(rates) < 2:
        raise ValueError(
            f"--rates takes two or more, each tried for every method, and no --rate beside it; got {options.rates!r}"
        )
    return LearningRateSearch(
        rates,
        _listed(options.search_task, SPECS, "task")[0]
        if options.search_task not in (None, "each")
        else None,
    )


def _tasks(options: argparse.Namespace, budget: TrainingConfig) -> tuple[str, ...]:
    if options.tasks == "all":
        return budget.tasks if budget.name in HUB_PRESETS else tuple(SYNTHETIC)
    return budget.tasks if options.tasks is None else _listed(options.tasks, SPECS, "task")


def _seeds(options: argparse.Namespace, budget: TrainingConfig) -> tuple[int, ...]:
    return (
        tuple(dict.fromkeys(count(seed) for seed in options.seeds.split(",")))
        if options.seeds
        else budget.seeds
    )


def _listed(text: str, known: dict, what: str) -> tuple[str, ...]:
    names = list(known) if text == "all" else [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; choose among: {', '.join(known)}, or all")
    if not names:
        raise ValueError(f"no {what} given; choose among: {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def pretrain_encoder(options: argparse.Namespace) -> int:
    """`ukd pretrain`."""
    from data.encoder.make.pretrain import encoder_from_text

    names = (
        "preset",
        "steps",
        "minutes",
        "share",
        "seed",
        "start",
        "wrong",
        "new_words",
        "tokenizer",
    )
    changes = {"width": options.width} if options.width else {}
    here = choose_runtime(options.precision)
    print(
        encoder_from_text(
            options.text,
            options.out,
            runtime=here,
            **{name: getattr(options, name) for name in names},
            **changes,
        )
    )
    return 0
