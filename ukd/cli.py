"""The command line; `ukd --help` lists the commands."""

from __future__ import annotations

import argparse
import shutil
import sys
import warnings
from pathlib import Path

from ukd.config import PRECISIONS, PROFILES, Profile, data_folder, digest, profile, runs_folder
from ukd.config import compute as choose_compute
from ukd.data import EMBEDDED, SPECS, load_task
from ukd.losses import COMBINE, MAPPINGS
from ukd.methods import METHODS, OPTIONS, method
from ukd.projection import check_temperature
from ukd.records import read_records
from ukd.results import beside, label, markdown, setting, tables
from ukd.students import STUDENTS

BUDGET = {
    "student_layers": "layers of the student: the first of the teacher's encoder",
    "teacher_epochs": "passes of the teacher's fine-tuning",
    "student_epochs": "passes of the distillation, all stages together",
    "max_train": "limit of labelled examples, the development part included",
    "max_length": "limit of tokens an example",
    "batch": "examples a step",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 for input that can't be used."""
    options = parser().parse_args(arguments)
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        return options.command(options) or 0
    except (ValueError, FileExistsError) as error:
        print(f"ukd: error: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    said = "Universal-KD: teachers, pseudo classifiers, students, tables and figures. Each command has its own --help."
    top = argparse.ArgumentParser("ukd", description=said)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add = lambda name, command, text: _command(commands, name, command, text)  # noqa: E731

    one = add("run", run, "Distil one task with one method and one seed; the teacher is made first if it is not cached.")
    one.add_argument("--task", required=True, choices=SPECS, metavar="TASK", help=f"one of: {', '.join(SPECS)}")
    one.add_argument("--method", required=True, choices=METHODS, metavar="METHOD", help=f"one of: {', '.join(METHODS)}")
    one.add_argument("--seed", type=_number, default=1, help="of the student's start, the order of examples and dropout (default 1)")
    _where(one)
    _budget(one)
    _loss_options(one)

    many = add("reproduce", reproduce, "Teacher, pseudo classifiers and every method over all seeds; table and figures at the end.")
    many.add_argument("--tasks", default=None, help="comma-separated, or 'all' for the five embedded ones (default by profile)")
    many.add_argument("--methods", default=",".join(METHODS), help="comma-separated (default all)")
    many.add_argument("--seeds", default=None, help="comma-separated (default by profile)")
    many.add_argument("--jobs", type=_number, help="processes that share the cores (default: one a core on a CPU, one on a GPU)")
    _where(many)
    _budget(many)

    tune = add("finetune", finetune, "Compare encoders by fine-tuning them on tasks under one budget; scores layer by layer.")
    tune.add_argument("--tasks", required=True, help="comma-separated")
    tune.add_argument("--encoders", default="embedded,random", help="comma-separated: 'embedded', 'random', 'scratch', folders, hub ids")
    tune.add_argument("--rates", default="1e-4,2e-4", help="tried with the first seed; the best on the development part is kept")
    tune.add_argument("--seeds", default=None, help="comma-separated (default by profile)")
    tune.add_argument("--source", help="'embedded', 'hub' (GLUE), or a folder in the hub's layout (default by task)")
    tune.add_argument("--jobs", type=_number, help="processes that share the cores (default: one a core on a CPU, one on a GPU)")
    _budget(tune)

    for name, command, text in (
        ("table", table, "Print the tables of all records in a folder."),
        ("figures", figures, "Draw the figures of all records in a folder."),
    ):
        reader = add(name, command, text)
        reader.add_argument("--runs", type=Path, default=None, help="folder of run records (default: the committed ones)")
        if name == "figures":
            reader.add_argument("--out", type=Path, default=Path("figures"), help="folder to write SVG and PNG to (default figures)")
    keep = add("collect", collect, "Copy the records of finished runs into data/runs/NAME, to be committed.")
    keep.add_argument("name", help="name of the set, as in embedded-cpu")
    keep.add_argument("--runs", type=Path, default=None, help="folder of run records (default: the new ones)")

    text = add("pretrain", pretrain_encoder, "Pretrain an encoder on a text file and the suite's discourse; goes on where it was cut off.")
    text.add_argument("--text", type=Path, required=True, help="a paragraph a line, an empty line between documents; plain, .gz or .xz")
    text.add_argument("--out", type=Path, required=True, help="new folder for the encoder, as from_pretrained takes it")
    text.add_argument("--preset", default="narrow-12", help="narrow-12: BERT with 12 layers, 128 wide, 8,192 entries")
    text.add_argument("--minutes", type=_positive, help="time to take; becomes a number of steps, from a calibration")
    text.add_argument("--steps", type=_number, help="steps to take, instead of minutes")
    text.add_argument(
        "--share", type=float, default=1 / 3, help="probability of a passage of the file; the rest is discourse (default 1/3)"
    )
    text.add_argument("--width", type=_number, help="hidden units, a multiple of 32 (default by preset)")
    text.add_argument("--seed", type=_number, default=1, help="of weights and text (default 1)")
    text.add_argument("--precision", default="auto", choices=PRECISIONS, help="default: what the device does fast")

    build = add("data", build_data, "Generate the embedded suite anew; the same seed gives the same files.")
    build.add_argument("--out", type=Path, default=None, help="folder to write to (default: the suite's own)")
    sheet = add("datasheet", show_datasheet, "Print the embedded suite's datasheet, made from its files and the committed records.")
    sheet.add_argument("--write", action="store_true", help="write it into data/README.md")
    add("methods", show_methods, "List the methods with their stages and sources.")
    add("doctor", check, "Say what this machine has and what the kit chose; exits non-zero when something is missing.")
    return top


def _command(commands, name: str, command, text: str) -> argparse.ArgumentParser:
    sub = commands.add_parser(name, help=text, description=text)
    sub.set_defaults(command=command)
    return sub


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def _number(text: str) -> int:
    try:
        return _count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> float:
    try:
        check_temperature("it", value := float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}") from None
    return value


def _where(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--source", help="'embedded', 'hub' (GLUE), or a folder in the hub's layout (default by task)")
    sub.add_argument(
        "--teacher", metavar="ENCODER", help="encoder that teacher and student are made from: 'embedded' (it comes with the kit), "
        "'scratch' (pretrained now, in minutes), 'random', a folder or a hub id (default by profile)",
    )  # fmt: skip
    kinds = ("layers", *STUDENTS)
    sub.add_argument("--student", choices=kinds, help="the encoder's first layers, or another architecture (default layers)")
    sub.add_argument("--teacher-rate", type=_positive, help="peak learning rate of the teacher (default by encoder)")
    sub.add_argument("--rate", type=_positive, help="peak learning rate of the student (default by encoder)")


def _budget(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--profile", default="cpu", choices=PROFILES, metavar="PROFILE", help=f"one of: {', '.join(PROFILES)} (default cpu)")
    for name, text in BUDGET.items():
        sub.add_argument(f"--{name.replace('_', '-')}", type=_number, help=f"{text} (default by profile)")
    sub.add_argument("--allow-weak-teacher", action="store_true", help="only warn when a teacher has not learned its task")
    sub.add_argument("--precision", default="auto", choices=PRECISIONS, help="default: what the device does fast")


def _loss_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--tau", type=float, help="temperature of the losses (default by method)")
    sub.add_argument("--kappa", type=float, help="temperature of the attention (default by method)")
    sub.add_argument("--mapping", choices=MAPPINGS, help="teacher layers each student layer sees (default by method)")
    sub.add_argument("--combine", choices=COMBINE, help="mix the teacher's logits, or its losses (default by method)")
    sub.add_argument("--attention-grad", choices=("yes", "no"), help="let the gradient flow through the attention (default by method)")


def _profile(options: argparse.Namespace) -> Profile:
    floor = False if options.allow_weak_teacher else None
    chosen = {name: getattr(options, name, None) for name in (*BUDGET, "student")}
    return profile(options.profile, enforce_floor=floor, **chosen)


def run(options: argparse.Namespace) -> int:
    """`ukd run`."""
    from ukd.distill import distill
    from ukd.teacher import train_teacher

    chosen = method(options.method, **{name: {"yes": True, "no": False}.get(value := getattr(options, name), value) for name in OPTIONS})
    here, budget = choose_compute(options.precision), _profile(options)
    task = load_task(options.task, options.source or ("embedded" if options.task in EMBEDDED else "hub"))
    teacher = train_teacher(task, profile=budget, encoder=options.teacher, rate=options.teacher_rate, compute=here)
    record = distill(task, chosen, teacher, profile=budget, seed=options.seed, rate=options.rate, compute=here)
    said = ", ".join(f"{name} {value:.1f}" for name, value in record["scores"]["validation"].items())
    print(f"{task.name}, {label(record)}, seed {options.seed}: {said} | {Path(record['folder']) / 'record.json'}")
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """`ukd reproduce`."""
    from ukd.figures import draw_all
    from ukd.jobs import Plan, default_jobs, run_all

    here, budget = choose_compute(options.precision), _profile(options)
    tasks = list(EMBEDDED) if options.tasks == "all" else _listed(options.tasks, budget.tasks, SPECS, "task")
    methods = [method(name) for name in _listed(options.methods, tuple(METHODS), METHODS, "method")]
    seeds = [_count(seed) for seed in options.seeds.split(",")] if options.seeds else budget.seeds
    tasks, seeds = list(dict.fromkeys(tasks)), list(dict.fromkeys(seeds))
    print(f"{here.device}, {here.precision} ({here.reason}); tasks {', '.join(tasks)}; seeds {', '.join(map(str, seeds))}", flush=True)
    where = (options.teacher or budget.encoder, options.source, options.rate, options.teacher_rate)
    plan = Plan(tuple(tasks), tuple(methods), tuple(seeds), budget, here, *where)
    records, failures = run_all(plan, options.jobs or default_jobs(here))
    print(f"\n{tables(records)}\n")
    settings = {setting(record) for record in records}
    if kept := [record for record in _committed() if setting(record) in settings]:
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
    tasks = _listed(options.tasks, (), SPECS, "task")
    seeds = tuple(_count(seed) for seed in options.seeds.split(",")) if options.seeds else budget.seeds
    rates = tuple(float(rate) for rate in options.rates.split(","))
    plan = Plan(tuple(tasks), (), seeds, budget, here, budget.encoder, options.source)
    print(tables(compare_encoders(plan, tuple(options.encoders.split(",")), rates, options.jobs or default_jobs(here))))
    return 0


def _listed(text: str | None, default: tuple[str, ...], known: dict, what: str) -> list[str]:
    names = list(known) if text == "all" else text.split(",") if text else list(default)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; choose among: {', '.join(known)}, or all")
    return names


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
    print(tables(_records(options.runs)))
    return 0


def figures(options: argparse.Namespace) -> int:
    """`ukd figures`: drawn from the records on the embedded suite where there are any, with the drawing of the method."""
    from ukd.diagram import method_figure
    from ukd.figures import draw_all, save

    records = _records(options.runs)
    embedded = [record for record in records if record["task"] in EMBEDDED]
    settings = sorted({setting(record) for record in embedded or records})
    for name in settings:
        chosen = [record for record in embedded or records if setting(record) == name]
        folder = options.out if len(settings) == 1 else options.out / digest(name)
        print(f"{name}:")
        for path in draw_all(chosen, folder):
            print(f"  {path}")
    print(*save(method_figure(), "method", options.out), sep="\n")
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

    text = datasheet(read_records(committed()))
    print(text)
    if options.write:
        write(data_folder() / "README.md", text)
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
