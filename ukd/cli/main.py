"""The command line; `ukd --help` lists the commands."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from data.encoder.make.text import USUAL, Wrong
from ukd.cli import commands, reports
from ukd.cli.commands import BUDGET, count, positive
from ukd.config.presets import HUB_PRESETS, PRESETS, STUDENT_INITS
from ukd.config.runtime import PRECISIONS
from ukd.data.tasks import GLUE, SPECS
from ukd.losses import ATTENTION_ON
from ukd.methods.method import SPACES, STAGE_COUNTS
from ukd.methods.registry import KEYS, METHODS
from ukd.methods.registry import STUDENTS as LEARNERS
from ukd.methods.scenarios import DEFAULT_METHODS, SCENARIOS
from ukd.models.encoders import LAYER_SELECTIONS
from ukd.models.students import STUDENTS
from ukd.projection import LAYER_MAPS


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
    every = top.add_subparsers(required=True, metavar="COMMAND")
    add = lambda name, command, text: _command(every, name, command, text)

    _training(add)
    _costs(add)
    _looking(add)
    _making(add)
    return top


def _training(add: Callable) -> None:
    one = add(
        "run",
        commands.run,
        "Distil one task with one method and one seed; the teacher is made first if it is not cached.",
    )
    one.add_argument(
        "--task", required=True, choices=SPECS, metavar="TASK", help=f"one of: {', '.join(SPECS)}"
    )
    one.add_argument(
        "--method",
        default="universal-kd",
        choices=METHODS,
        metavar="METHOD",
        help=f"one of: {', '.join(METHODS)} (default universal-kd)",
    )
    one.add_argument(
        "--seed",
        type=_number,
        default=1,
        help="of the student's start, the order of examples and dropout (default 1)",
    )
    _where(one)
    _budget(one)
    _loss_options(one)

    test = add(
        "predict",
        commands.predictions,
        "Write what a student says of GLUE's test splits, in the leaderboard's format.",
    )
    test.add_argument(
        "--student",
        type=Path,
        required=True,
        help="a run's student folder, or any classifier with its tokenizer",
    )
    test.add_argument(
        "--task", required=True, choices=GLUE, metavar="TASK", help=f"one of: {', '.join(GLUE)}"
    )
    test.add_argument(
        "--source",
        default="hub",
        help="'hub' (default), or a folder in the hub's layout that has test splits",
    )
    test.add_argument(
        "--max-length", type=_number, default=128, help="limit of tokens an example (default 128)"
    )
    test.add_argument(
        "--out",
        type=Path,
        default=Path("predictions"),
        help="folder for the files (default predictions)",
    )

    many = add(
        "reproduce",
        commands.reproduce,
        "Teachers, pseudo classifiers, every method over all seeds; table and figures.",
    )
    many.add_argument(
        "--tasks",
        default=None,
        help="comma-separated, or 'all': the embedded five, or a preset's (default by profile)",
    )
    many.add_argument(
        "--methods",
        help=f"comma-separated, with options as in universal-kd:kappa=0.1, or 'all' "
        f"(default {','.join(DEFAULT_METHODS)}, or the scenario's)",
    )
    many.add_argument(
        "--scenario",
        choices=SCENARIOS,
        help="methods, and without a preset students, of one of the paper's tables",
    )
    many.add_argument("--seeds", default=None, help="comma-separated (default by profile)")
    many.add_argument(
        "--jobs",
        type=_number,
        help="processes that share the cores (default: one a core on a CPU, one on a GPU)",
    )
    _rates(many)
    _where(many)
    _budget(many)

    tune = add(
        "finetune",
        commands.finetune,
        "Compare encoders by fine-tuning them on tasks under one budget; scores layer by layer.",
    )
    tune.add_argument(
        "--tasks", required=True, help="comma-separated, or 'all' for the five embedded ones"
    )
    tune.add_argument(
        "--encoders",
        help="comma-separated: 'embedded', 'prose', 'random' and 'random-prose' (their networks, weights drawn anew, once "
        "for all seeds), 'scratch', folders, hub ids (default: the tasks' own, and 'random-prose' or 'random')",
    )
    tune.add_argument(
        "--rates",
        default="1e-4,2e-4",
        help="tried with the first seed; the best on the development part is kept",
    )
    tune.add_argument("--seeds", default=None, help="comma-separated (default by profile)")
    tune.add_argument(
        "--source",
        help="'synthetic', 'hub' (GLUE), or a folder in the hub's layout (default by task)",
    )
    tune.add_argument(
        "--jobs",
        type=_number,
        help="processes that share the cores (default: one a core on a CPU, one on a GPU)",
    )
    _budget(
        tune,
        ("teacher_epochs", "max_train", "max_length", "batch"),
        {"teacher_epochs": "passes of the fine-tuning"},
    )


def _rates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rates",
        metavar="R,R",
        help="peak learning rates that every method tries with every seed; its best is used",
    )
    parser.add_argument(
        "--search-task",
        metavar="TASK",
        help="the one whose development part chooses for all (default: each for itself)",
    )


def _costs(add: Callable) -> None:
    text = "Say what a comparison will cost before it runs: passes, steps, operations, bytes, memory, time."
    plan = add("plan", commands.show_plan, text)
    plan.add_argument(
        "--tasks",
        default=None,
        help="comma-separated, or 'all': the embedded five, or a preset's (default by profile)",
    )
    plan.add_argument(
        "--methods",
        help=f"comma-separated, or 'all' (default {','.join(DEFAULT_METHODS)}, or the scenario's)",
    )
    plan.add_argument(
        "--scenario", choices=SCENARIOS, help="methods and students of one of the paper's tables"
    )
    plan.add_argument("--seeds", type=_number, default=3, help="how many (default 3)")
    _rates(plan)
    plan.add_argument("--presets", action="store_true", help="print the table of presets instead")
    _where(plan)
    _budget(plan)

    bench = add(
        "bench",
        commands.run_bench,
        "Measure what a distillation costs, as ratios within one run; writes a record.",
    )
    bench.add_argument(
        "--task", default="paraphrase", choices=SPECS, metavar="TASK", help="default paraphrase"
    )
    bench.add_argument(
        "--quick",
        action="store_true",
        help="leave out whole comparisons and the teacher of BERT-base's size",
    )
    bench.add_argument("--out", type=Path, help="folder for the record (default: the new runs')")
    bench.add_argument(
        "--show", type=Path, metavar="RECORD", help="print a record's table instead of measuring"
    )


def _looking(add: Callable) -> None:
    for name, command, text in (
        ("table", reports.table, "Print the tables of all records in a folder."),
        (
            "paper",
            reports.paper,
            "Print the paper's differences between methods beside ours, and how far they compare.",
        ),
        (
            "figures",
            reports.figures,
            "Draw the figures of a folder's records; without one all of the kit's figures.",
        ),
    ):
        reader = add(name, command, text)
        reader.add_argument(
            "--runs",
            type=Path,
            default=None,
            help="folder of run records (default: the committed ones)",
        )
        if name == "figures":
            reader.add_argument(
                "--out",
                type=Path,
                default=Path("figures"),
                help="folder to write SVG and PNG to (default figures)",
            )
    anew = add(
        "rebuild",
        reports.rebuild,
        "Make every table of the kit's texts and every figure again, from the committed records alone.",
    )
    anew.add_argument(
        "--check",
        action="store_true",
        help="only compare; exits non-zero when one differs from what the records give",
    )
    anew.add_argument(
        "--figures",
        type=Path,
        default=Path("figures"),
        help="folder of the figures (default figures)",
    )
    keep = add(
        "collect",
        reports.collect,
        "Copy the records of finished runs into data/runs/NAME, to be committed.",
    )
    keep.add_argument("name", help="name of the set, as in embedded-ild")
    keep.add_argument(
        "--runs", type=Path, default=None, help="folder of run records (default: the new ones)"
    )
    keep.add_argument(
        "--search-task",
        metavar="TASK",
        help="where every method tried the runs' rates: 'each' task, or one for all",
    )
    keep.add_argument(
        "--with",
        dest="others",
        default="",
        metavar="SET,SET",
        help="committed sets whose runs count in that search, too",
    )


def _making(add: Callable) -> None:
    text = add(
        "pretrain",
        commands.pretrain_encoder,
        "Pretrain an encoder on a text file and the suite's discourse, resumably.",
    )
    text.add_argument(
        "--text",
        type=Path,
        required=True,
        help="a paragraph a line, an empty line between documents; plain, .gz or .xz",
    )
    text.add_argument(
        "--out",
        type=Path,
        required=True,
        help="new folder for the encoder, as from_pretrained takes it",
    )
    text.add_argument(
        "--preset",
        default="narrow-12",
        metavar="NAME",
        help="narrow-12: BERT with 12 "
        "layers, 128 wide, 8,192 entries (default); small-12: 224 wide, for a GPU, on packed text of the file alone",
    )
    text.add_argument(
        "--minutes",
        type=_positive,
        help="about the time to take; becomes a number of steps, from a calibration",
    )
    text.add_argument(
        "--steps", type=_number, help="steps to take, instead of minutes; three a stage at least"
    )
    text.add_argument(
        "--share",
        type=float,
        help="probability of a passage of the file; the rest is discourse (default 1/3, for small-12 1)",
    )
    text.add_argument(
        "--start",
        type=Path,
        help="an encoder made by this command to go on from, with another --seed than it had",
    )
    text.add_argument(
        "--new-words",
        action="store_true",
        help="with --start: first set its word vectors to what the words of the text stand next to",
    )
    text.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FOLDER",
        help="take the one in this folder instead of making one",
    )
    said = "of a second segment that is another's, shuffled, exchanged, replaced (default 0.04,0.06,0.2,0.2, for small-12 0.25,0.25,0,0)"
    text.add_argument("--wrong", type=_wrong, metavar="P,P,P,P", help=f"probabilities {said}")
    text.add_argument(
        "--width", type=_number, help="hidden units, a multiple of 32 (default by preset)"
    )
    text.add_argument("--seed", type=_number, default=1, help="of weights and text (default 1)")
    text.add_argument(
        "--precision", default="auto", choices=PRECISIONS, help="default: what the device does fast"
    )

    build = add(
        "data",
        reports.build_data,
        "Generate the synthetic suite anew; the same seed gives the same files.",
    )
    build.add_argument(
        "--out", type=Path, default=None, help="folder to write to (default: the suite's own)"
    )
    add(
        "datasheet",
        reports.show_datasheet,
        "Print the synthetic suite's datasheet, from its files and records.",
    )
    add(
        "card",
        reports.show_card,
        "Print the numbers of the encoders' model cards, from their records.",
    )
    books = add(
        "notebooks",
        reports.notebooks,
        "Print what is in the notebooks; run them anew and keep their outputs and minutes.",
    )
    books.add_argument("names", nargs="*", help="only those whose file name contains one of these")
    books.add_argument(
        "--run",
        action="store_true",
        help="in order, from one empty cache; files change once all have succeeded",
    )
    books.add_argument(
        "--profile",
        choices=("smoke", "lesson", "cpu"),
        help="run with this one and keep the minutes alone",
    )
    books.add_argument(
        "--tidy",
        action="store_true",
        help="put files saved by JupyterLab into the committed form, outputs as they are",
    )
    books.add_argument("--folder", type=Path, default=Path("notebooks"), help="default notebooks")
    add("methods", reports.show_methods, "List the methods with their stages and sources.")
    add(
        "doctor",
        reports.check,
        "Say what this machine has and what the kit chose; exits non-zero when something is missing.",
    )


def _command(every, name: str, command, text: str) -> argparse.ArgumentParser:
    sub = every.add_parser(name, help=text, description=text)
    sub.set_defaults(command=command)
    return sub


def _number(text: str) -> int:
    try:
        return count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> float:
    try:
        return positive(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _wrong(text: str) -> Wrong:
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    if len(values) != len(USUAL) or not all(value >= 0 for value in values) or sum(values) > 1:
        raise argparse.ArgumentTypeError(
            f"must be four probabilities that add up to 1 at most, separated by commas, got {text!r}"
        )
    return Wrong(*values)


def _where(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--source",
        help="'synthetic', 'hub' (GLUE), or a folder in the hub's layout (default by task)",
    )
    sub.add_argument(
        "--teacher",
        metavar="ENCODER",
        help="encoder that teacher and student are made from: 'embedded' or 'prose' (they come with the "
        "kit, for tasks of its suite and for others), 'scratch' (pretrained now, in minutes), 'random', 'random-prose', a folder or a "
        "hub id (default by profile and task)",
    )
    sub.add_argument(
        "--student",
        help=f"'layers' of the teacher's encoder, another architecture ({', '.join(STUDENTS)}), or a smaller "
        "pretrained encoder: a folder or a hub id (default by profile)",
    )
    sub.add_argument(
        "--student-pick",
        choices=LAYER_SELECTIONS,
        help="which layers of the encoder (default first)",
    )
    sub.add_argument(
        "--student-start",
        choices=STUDENT_INITS,
        help="its layers as pretrained (default), or as the fine-tuned teacher has them",
    )
    sub.add_argument(
        "--embeddings",
        metavar="FROM",
        help="start those of a BiLSTM or CNN from 'teacher' or a file of word vectors",
    )
    sub.add_argument(
        "--teacher-rate",
        type=_positive,
        help="peak learning rate of the teacher (default by encoder)",
    )
    sub.add_argument(
        "--rate",
        type=_positive,
        help="peak learning rate of the student (default by encoder and kind of student)",
    )


def _budget(
    sub: argparse.ArgumentParser,
    names: tuple[str, ...] = tuple(BUDGET),
    other: dict[str, str] | None = None,
) -> None:
    _chosen_profile(sub)
    for name in names:
        said = (other or {}).get(name, BUDGET[name])
        sub.add_argument(
            f"--{name.replace('_', '-')}", type=_number, help=f"{said} (default by profile)"
        )
    said = (
        "where the best epoch is chosen: on a part of train (default dev), or on the split reported"
    )
    sub.add_argument("--select", choices=("dev", "validation"), help=said)
    if other is None:
        sub.add_argument(
            "--allow-weak-teacher",
            action="store_true",
            help="only warn when a teacher has not learned its task",
        )
    sub.add_argument(
        "--precision", default="auto", choices=PRECISIONS, help="default: what the device does fast"
    )
    sub.add_argument("--compile", action="store_true", help="train through torch.compile")


def _chosen_profile(sub: argparse.ArgumentParser) -> None:
    own = [name for name in PRESETS if name not in HUB_PRESETS]
    sub.add_argument(
        "--profile",
        "--preset",
        default="cpu",
        choices=PRESETS,
        metavar="NAME",
        help=f"a budget on what comes with the kit "
        f"({', '.join(own)}) or on encoders of the hub ({', '.join(HUB_PRESETS)}); default cpu",
    )


def _loss_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--space",
        choices=SPACES,
        help="where the intermediate term of a method of output space looks (default output)",
    )
    sub.add_argument(
        "--students",
        choices=LEARNERS,
        help="student layers that it teaches: below the last, or the last (default by method)",
    )
    sub.add_argument(
        "--keys",
        choices=KEYS,
        help="teacher layers that those below the last see: below its last, or all (default below)",
    )
    sub.add_argument(
        "--stages",
        choices=STAGE_COUNTS,
        help="labels and teacher at once, or the teacher first, then labels (default by method)",
    )
    sub.add_argument("--tau", type=float, help="temperature of the losses (default by method)")
    sub.add_argument("--kappa", type=float, help="temperature of the attention (default by method)")
    sub.add_argument(
        "--mapping",
        "--map",
        choices=LAYER_MAPS,
        help="teacher layers each student layer sees (default by method)",
    )
    sub.add_argument(
        "--combine",
        choices=ATTENTION_ON,
        help="mix the teacher's logits, or its losses (default by method)",
    )
    sub.add_argument(
        "--attention-grad",
        choices=("yes", "no"),
        help="let the gradient flow through the attention (default by method)",
    )
