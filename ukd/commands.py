"""What each command does; its options are in `ukd.cli`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from ukd.config import compute as choose_compute
from ukd.config import data_folder, digest, runs_folder
from ukd.data import EMBEDDED, SPECS, load_task, source_of
from ukd.finetune import FINE_TUNING
from ukd.methods import METHODS, OPTIONS, method
from ukd.profiles import PRESETS, Profile, profile
from ukd.projection import check_temperature
from ukd.records import read_records
from ukd.results import beside, label, markdown, setting, tables

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


def _profile(options: argparse.Namespace) -> Profile:
    floor = False if getattr(options, "allow_weak_teacher", False) else None
    chosen = {name: getattr(options, name, None) for name in (*BUDGET, "student", "student_pick", "embeddings", "rate", "teacher_rate")}
    made = profile(options.profile, enforce_floor=floor, **chosen)
    if made.student != "layers" and (given := chosen["student_layers"] or chosen["student_pick"]):
        raise ValueError(
            f"--student-layers and --student-pick are about the encoder's layers, and student {made.student} takes none: {given}"
        )
    return made


def run(options: argparse.Namespace) -> int:
    """`ukd run`."""
    from ukd.distill import distill
    from ukd.teacher import train_teacher

    chosen = method(options.method, **{name: {"yes": True, "no": False}.get(value := getattr(options, name), value) for name in OPTIONS})
    here, budget = choose_compute(options.precision), _profile(options)
    task = load_task(options.task, source_of(options.task, options.source))
    teacher = train_teacher(task, profile=budget, encoder=options.teacher, compute=here)
    record = distill(task, chosen, teacher, profile=budget, seed=options.seed, compute=here)
    said = ", ".join(f"{name} {value:.1f}" for name, value in record["scores"]["validation"].items())
    print(f"{task.name}, {label(record)}, seed {options.seed}: {said} | {Path(record['folder']) / 'record.json'}")
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """`ukd reproduce`."""
    from ukd.figures import draw_all
    from ukd.jobs import Plan, default_jobs, run_all

    here, budget = choose_compute(options.precision), _profile(options)
    tasks, seeds = _tasks(options, budget), _seeds(options, budget)
    methods = tuple(method(name) for name in _listed(options.methods, METHODS, "method"))
    print(f"{here.device}, {here.precision} ({here.reason}); tasks {', '.join(tasks)}; seeds {', '.join(map(str, seeds))}", flush=True)
    plan = Plan(tasks, methods, seeds, budget, here, options.teacher or budget.encoder, options.source)
    records, failures = run_all(plan, options.jobs or default_jobs(here))
    print(f"\n{tables(records)}\n")
    settings = {setting(record) for record in records}
    committed = [record for record in _committed() if record["method"] != FINE_TUNING]
    if kept := [record for record in committed if setting(record) in settings]:
        print(f"### Beside the committed records\n\n{beside(records, kept)}\n")
    folder = runs_folder() / "figures"
    for path in draw_all(records, folder) if records else []:
        print(path)
    for failure in failures:
        print(f"ukd: left out {failure}", file=sys.stderr)
    return 2 if failures else 0


def finetune(options: argparse.Namespace) -> int:
    """`ukd finetune`."""
    from ukd.jobs import Plan, compare_encoders, default_jobs

    here, budget = choose_compute(options.precision), _profile(options)
    rates = tuple(dict.fromkeys(positive(rate) for rate in options.rates.split(",")))
    plan = Plan(_tasks(options, budget), (), _seeds(options, budget), budget, here, budget.encoder, options.source)
    print(tables(compare_encoders(plan, tuple(options.encoders.split(",")), rates, options.jobs or default_jobs(here))))
    return 0


def show_plan(options: argparse.Namespace) -> int:
    """`ukd plan`."""
    from dataclasses import replace

    from ukd.plan import plan, presets_table

    if options.presets:
        print(presets_table(PRESETS))
        return 0
    budget = _profile(options)
    budget = replace(budget, encoder=options.teacher or budget.encoder)
    methods = tuple(method(name) for name in _listed(options.methods, METHODS, "method"))
    print(plan(_tasks(options, budget), methods, options.seeds, budget, options.source, choose_compute(options.precision)))
    return 0


def run_bench(options: argparse.Namespace) -> int:
    """`ukd bench`: on 1,000 labels, with a teacher of one epoch, since no time depends on what the weights are."""
    from ukd.bench import bench_table, measure
    from ukd.contenders import Bench
    from ukd.probing import train_heads
    from ukd.records import write_json
    from ukd.teacher import train_teacher

    if options.show:
        print(_bench_table(options.show))
        return 0
    here = choose_compute()
    budget = profile("cpu", max_train=1000, max_validation=500, teacher_epochs=1, student_epochs=4, enforce_floor=False)
    task = load_task(options.task, source_of(options.task, None))
    teacher = train_teacher(task, profile=budget, compute=here)
    train_heads(teacher, task, profile=budget, compute=here)
    record = measure(Bench(task, teacher, budget, here), quick=options.quick)
    path = (options.out or runs_folder()) / f"bench-{record['hash']}.json"
    write_json(path, record)
    print(f"{bench_table(record)}\n\n{path}")
    return 0


def _bench_table(path: Path) -> str:
    from ukd.bench import bench_table

    return bench_table(json.loads(path.read_text(encoding="utf-8")))


def _tasks(options: argparse.Namespace, budget: Profile) -> tuple[str, ...]:
    if options.tasks == "all":
        return budget.tasks if budget.name in PRESETS else tuple(EMBEDDED)
    return budget.tasks if options.tasks is None else _listed(options.tasks, SPECS, "task")


def _seeds(options: argparse.Namespace, budget: Profile) -> tuple[int, ...]:
    return tuple(dict.fromkeys(count(seed) for seed in options.seeds.split(","))) if options.seeds else budget.seeds


def _listed(text: str, known: dict, what: str) -> tuple[str, ...]:
    names = list(known) if text == "all" else [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; choose among: {', '.join(known)}, or all")
    if not names:
        raise ValueError(f"no {what} given; choose among: {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def _committed() -> list[dict]:
    return read_records(data_folder() / "runs")


def _records(folder: Path | None) -> list[dict]:
    folder = folder or data_folder() / "runs"
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of run records")
    if not (records := read_records(folder)):
        raise ValueError(f"{folder} holds no run records: make some with `ukd reproduce` or `ukd run`")
    return records


def table(options: argparse.Namespace) -> int:
    """`ukd table`."""
    if options.write:
        from ukd.datasheet import write

        made = {path.name: lambda path=path: tables(read_records(path)) for path in (data_folder() / "runs").iterdir() if path.is_dir()}
        made |= {f"bench-{path.stem}": lambda path=path: _bench_table(path) for path in (data_folder() / "bench").glob("*.json")}
        for name, text in sorted(made.items()):
            begin = f"<!-- {name}: written by `ukd table --write` -->"
            if written := begin in options.write.read_text(encoding="utf-8"):
                write(options.write, f"\n{text()}\n", (begin, f"<!-- end of {name} -->"))
            print(f"{name}: {'written' if written else f'left out, {options.write} has no line {begin}'}")
        return 0
    print(tables(_records(options.runs)))
    return 0


def figures(options: argparse.Namespace) -> int:
    """`ukd figures`: drawn from the records on the embedded suite where there are any, with the drawing of the method."""
    from ukd.card import committed_encoder
    from ukd.diagram import method_figure
    from ukd.figures import draw_all, draw_encoder, save

    every = _records(options.runs)
    tuned, records = [r for r in every if r["method"] == FINE_TUNING], [r for r in every if r["method"] != FINE_TUNING]
    embedded = [record for record in records if record["task"] in EMBEDDED and record["settings"]["student_layers"]]
    settings = sorted({setting(record) for record in embedded or records})
    for name in settings:
        chosen = [record for record in embedded or records if setting(record) == name]
        folder = options.out if len(settings) == 1 else options.out / digest(name)
        print(f"{name}:")
        for path in draw_all(chosen, folder):
            print(f"  {path}")
    print(*save(method_figure(), "method", options.out), *draw_encoder(committed_encoder(), tuned, options.out), sep="\n")
    return 0


def collect(options: argparse.Namespace) -> int:
    """`ukd collect`: copies, never overwrites."""
    folder = data_folder() / "runs" / options.name
    found = sorted((options.runs or runs_folder()).glob("*/record.json"))
    if not found:
        raise ValueError(f"no finished runs in {options.runs or runs_folder()}")
    if there := [path.parent.name for path in found if (folder / f"{path.parent.name}.json").exists()]:
        raise ValueError(f"{folder} holds {there[0]} already; records are never overwritten: choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    for path in found:
        print(shutil.copyfile(path, folder / f"{path.parent.name}.json"))
    return 0


def pretrain_encoder(options: argparse.Namespace) -> int:
    """`ukd pretrain`."""
    from ukd.pretrain import encoder_from_text

    names = ("preset", "steps", "minutes", "share", "seed")
    changes = {"width": options.width} if options.width else {}
    here = choose_compute(options.precision)
    print(encoder_from_text(options.text, options.out, compute=here, **{name: getattr(options, name) for name in names}, **changes))
    return 0


def build_data(options: argparse.Namespace) -> int:
    """`ukd data`."""
    from ukd.grammar import build

    build(options.out or data_folder())
    return 0


def show_datasheet(options: argparse.Namespace) -> int:
    """`ukd datasheet`."""
    from ukd.datasheet import committed, datasheet, write

    text = datasheet(committed())
    print(text)
    if options.write:
        write(data_folder() / "README.md", text)
    return 0


def show_card(options: argparse.Namespace) -> int:
    """`ukd card`."""
    from ukd.card import card, write

    text = card(_committed())
    print(text)
    if options.write:
        write(text)
    return 0


def show_methods(options: argparse.Namespace) -> int:
    """`ukd methods`."""
    stages = lambda m: " then ".join(  # noqa: E731
        " + ".join(f"{getattr(s, term)} {term}" for term in ("labels", "kd", "intermediate") if getattr(s, term)) for s in m.stages
    )
    rows = [[m.name, m.summary, stages(m), m.source] for m in METHODS.values()]
    print(markdown(["method", "what it learns from", "stages", "source"], rows))
    return 0


def check(options: argparse.Namespace) -> int:
    """`ukd doctor`."""
    from ukd.doctor import doctor

    return doctor()
