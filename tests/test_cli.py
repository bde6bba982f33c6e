"""The command line: help, refusals in one line, statuses, and what its options build."""

import errno
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ukd.analysis.runs import as_runs, load_runs
from ukd.cli import options, rerun
from ukd.cli.budget import Budget
from ukd.cli.comparison import Comparison
from ukd.cli.main import EXAMPLES, MOVED_COMMANDS, RENAMED_OPTIONS, explain, main
from ukd.cli.options import Losses, Machine
from ukd.config import presets
from ukd.config.choices import GLUE_TASKS, SYNTHETIC_TASKS
from ukd.config.disk import DiskFull
from ukd.config.scenarios import DEFAULT_METHODS
from ukd.config.workers import WorkerLost
from ukd.data.tasks import GLUE, SYNTHETIC
from ukd.losses import ATTENTION_ON
from ukd.methods import registry
from ukd.projection import LAYER_MAPS

ROOT = Path(__file__).parents[1]
COMMANDS = (
    *("run", "reproduce", "plan", "check", "logits", "predict", "table", "figures", "methods"),
    *("collect", "doctor", "verify"),
)
RUN = ("run", "--task", "sentiment")
KEPT = "--teacher-logits data/teachers/acceptability"
SMOKE_RUN = (*RUN, "--preset", "smoke")


@pytest.fixture(autouse=True)
def no_preset(monkeypatch):
    """Tests choose their preset; `make test` sets UKD_PRESET."""
    monkeypatch.delenv("UKD_PRESET", raising=False)


def refusal(capsys, *words):
    """The one line of a command that is refused."""
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("ukd: error: "), printed.err
    assert printed.out == ""
    return lines[0]


def test_commands_are_those_of_the_help(capsys):
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^  (\w+) ", listed, re.MULTILINE)) == COMMANDS
    assert main([]) == 0 and "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_states_the_default_of_every_option_and_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: ukd {name}" in " ".join(text.split())
    described = text.partition("\nOptions:\n")[2].partition("\n\n")[0]
    for entry in re.split(r"\n  (?=--)", described):
        words = " ".join(entry.split())
        known = re.search(r"\[(env var: UKD_PRESET; )?default: .|\[required\]|-- ?help", words)
        assert known or words.startswith(("--presets", "--teacher FOLDER")), words
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.isascii()


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda command: command.__name__)
def test_examples_in_the_help_can_be_parsed(command, capsys, monkeypatch):
    name, *words = re.sub(r"'[^']*'", "text", EXAMPLES[command]).split()[1:]
    assert name == command.__name__
    # Parsing ends at --help, after all options before it.
    assert main([name, *words, "--help"]) == 0


def test_choices_in_the_help_are_those_of_the_package():
    assert tuple(SYNTHETIC) == SYNTHETIC_TASKS
    assert tuple(GLUE) == GLUE_TASKS
    assert LAYER_MAPS == options.LAYER_MAPS
    assert ATTENTION_ON == options.ATTENTION_ON


def test_every_option_of_a_method_is_one_of_the_command_line():
    fields = set(Losses.__dataclass_fields__)
    assert fields == {*registry.OPTIONS, *registry.STAGE_OPTIONS, "stages", "space"}


USAGE = [
    ("bogus", "No such command 'bogus'"),
    ("rum", "Did you mean 'run'"),
    ("run", "Missing option '--task'"),
    ("run --task", "requires an argument"),
    ("run --tusk sentiment", "No such option: --tusk"),
    ("run --task sentiment extra", "extra"),
    ("run --task sentimentt", "unknown task 'sentimentt'; choose one of: acceptability"),
    ("run --task sentiment --source hub", "source 'hub' has no task 'sentiment'"),
    ("run --task cola --source synthetic", "source 'synthetic' has no task 'cola'"),
    ("run --task cola --source nowhere", "neither 'synthetic', 'hub' nor a folder"),
    ("run --task sentiment --preset tiny", "unknown preset 'tiny'; choose one of: smoke"),
    ("run --task sentiment --method ukd", "unknown method 'ukd'; choose one of: no-kd"),
    ("run --task sentiment --seed 0", "whole number of at least 1, got '0'"),
    ("run --task sentiment --seed -1", "whole number of at least 1, got '-1'"),
    ("run --task sentiment --seed one", "whole number of at least 1, got 'one'"),
    ("run --task sentiment --seed 1.5", "whole number of at least 1, got '1.5'"),
    ("run --task sentiment --seed ²", "whole number of at least 1, got '²'"),
    ("run --task sentiment --batch-size 0", "whole number of at least 1, got '0'"),
    ("run --task sentiment --max-length x", "whole number of at least 1, got 'x'"),
    ("run --task sentiment --max-train -5", "got '-5'; or write all"),
    ("run --task sentiment --max-train some", "got 'some'; or write all"),
    ("run --task sentiment --teacher-epochs 0", "whole number of at least 1, got '0'"),
    ("run --task sentiment --student-epochs 0", "whole number of at least 1, got '0'"),
    ("run --task sentiment --student-epochs 1", "2 stages, and 1 epochs leave one"),
    ("run --task sentiment --teacher-depth 0", "whole number of at least 1, got '0'"),
    ("run --task sentiment --student-depth 0", "whole number of at least 1, got '0'"),
    ("run --task sentiment --learning-rate 0", "positive number, as 5e-4, got '0'"),
    ("run --task sentiment --learning-rate nan", "positive number, as 5e-4, got 'nan'"),
    ("run --task sentiment --learning-rate inf", "positive number, as 5e-4, got 'inf'"),
    ("run --task sentiment --teacher-learning-rate -1e-4", "positive number, as 5e-4"),
    ("run --task sentiment --temperature 0", "'--temperature' / '--tau'"),
    ("run --task sentiment --tau hot", "positive number, as 5e-4, got 'hot'"),
    ("run --task sentiment --kappa inf", "'--attention-temperature' / '--kappa'"),
    ("run --task sentiment --layer-map all", "must be one of attention, teacher-query, uniform"),
    ("run --task sentiment --mapping best", "got 'best'"),
    ("run --task sentiment --attention-on both", "must be one of logits, losses, got 'both'"),
    ("run --task sentiment --combine sum", "must be one of logits, losses, got 'sum'"),
    ("run --task sentiment --student-layers 4", "the number of layers is --student-depth"),
    ("run --task sentiment --student-layers below", "must be one of intermediate, upper, last"),
    ("run --task sentiment --teacher-layers 6", "the number of layers is --teacher-depth"),
    ("run --task sentiment --stages three", "must be one of one, two, got 'three'"),
    ("run --task sentiment --space latent", "must be one of output, hidden, got 'latent'"),
    ("run --task sentiment --detach-attention=yes", "--detach-attention"),
    ("run --task sentiment --layer-selection best", "must be one of first, spread, last"),
    ("run --task sentiment --student-init zero", "must be one of pretrained, teacher"),
    ("run --task sentiment --selection-split test", "must be one of dev, validation"),
    ("run --task sentiment --precision int8", "must be one of auto, float32, bf16, fp16"),
    ("run --task sentiment --method kd --kappa 2", "kd has no attention_temperature to change"),
    ("run --task sentiment --method no-kd --tau 4", "no-kd has no temperature to change"),
    ("run --task sentiment --method no-kd --stages two", "learns from labels alone"),
    ("run --task sentiment --method mhkd --teacher-layers all", "layer_map 'skip'"),
    ("run --task sentiment --method kd --space hidden", "kd has no term in the output space"),
    ("run --task sentiment --preset smoke --student-depth 5", "the teacher has 4 layers"),
    ("run --task sentiment --student org/small --student-depth 2", "--student-depth 2 is about"),
    ("run --task sentiment --layer-map teacher-query --space hidden", "hidden states are not"),
    ("run --task sentiment --student bilstm --student-init teacher", "--student-init teacher is"),
    ("run --task sentiment --student gated-cnn --layer-selection last", "--layer-selection last"),
    ("run --task sentiment --student bilstmm", "unknown student 'bilstmm'"),
    ("run --task sentiment --embeddings teacher", "embeddings are given to one of"),
    ("run --task sentiment --student bilstm --embeddings nowhere.txt", "neither"),
    ("reproduce --tasks sentiment,sst3", "unknown name 'sst3' in --tasks"),
    ("reproduce --tasks ,", "--tasks ',' has no names"),
    ("reproduce --methods universal", "unknown method 'universal'"),
    ("reproduce --methods ,", "--methods ',' has no names"),
    ("reproduce --methods kd:tau=x", "must be a number, got 'x'"),
    ("reproduce --methods kd:heat=2", "unknown option 'heat'"),
    ("reproduce --methods universal-kd:detach_attention=maybe", "must be yes or no"),
    ("reproduce --methods universal-kd:layer_map", "has no value"),
    ("reproduce --scenario easy", "one of first-look, ild, capacity-gap"),
    ("reproduce --seeds 1,x", "--seeds '1,x': every value must be a whole number"),
    ("reproduce --seeds 0", "got '0'"),
    ("reproduce --seeds ,", "--seeds ',' has no values"),
    ("reproduce --jobs 0", "whole number of at least 1, got '0'"),
    ("reproduce --learning-rates 1e-4", "--learning-rates takes two or more"),
    ("reproduce --learning-rates 1e-4,1e-4", "--learning-rates takes two or more"),
    ("reproduce --learning-rates 1e-4,fast", "every value must be a positive number"),
    ("reproduce --learning-rates 1e-4,2e-4 --learning-rate 1e-4", "no --learning-rate beside it"),
    ("reproduce --search-task sentiment", "--search-task sentiment says where"),
    ("reproduce --learning-rates 1e-4,2e-4 --search-task no", "unknown name 'no'"),
    ("reproduce --task sentiment", "No such option: --task"),
    ("plan --teacher someone/something", "the sizes of 'someone/something' are not known"),
    ("plan --tasks sst3", "unknown name 'sst3' in --tasks"),
    ("plan --seeds three", "every value must be a whole number"),
    ("predict --task rte", "Missing option '--student'"),
    ("predict --student x", "Missing option '--task'"),
    ("predict --student x --task sentiment", "not a task of GLUE's leaderboard"),
    ("predict --student x --task rte --source nowhere", "neither 'synthetic', 'hub' nor a folder"),
    ("predict --student x --task rte --max-length 0", "whole number of at least 1"),
    ("table --runs nowhere", "nowhere is not a folder of runs"),
    ("table --runs tests", "no runs: make some with"),
    ("table --set nothing", "has no set 'nothing'; choose one of:"),
    ("figures --runs nowhere", "nowhere is not a folder of runs"),
    ("figures --out README.md", "README.md is a file: name a folder for the figures"),
    ("collect", "Missing argument 'NAME'"),
    ("collect mine --runs nowhere", "no finished runs in nowhere"),
    ("collect mine --runs tests", "no finished runs to add"),
    ("verify --rerun 0bad", "no committed run has the hash '0bad'"),
    ("verify --rerun 1", "runs have hashes that begin with '1'"),
    ("verify --rerun=", "no committed run has the hash ''"),
    ("verify --check", "No such option: --check"),
    ("methods all", "all"),
    ("doctor extra", "unexpected extra argument"),
    ("tabel", "Did you mean 'table'"),
    ("run --task sentiment --teacher-logits nowhere", "nowhere holds no teacher's logits"),
    ("run --task sentiment --teacher-logits README.md", "README.md holds no teacher's logits"),
    ("run --task sentiment --teacher-logits tests", "tests holds no teacher's logits"),
    (f"run --task sentiment {KEPT}", "is of acceptability with data"),
    (f"run --task acceptability {KEPT} --method pkd-skip", "pkd-skip compares hidden states"),
    (f"run --task acceptability {KEPT} --max-length 32", "take --max-length 64"),
    (f"run --task acceptability {KEPT} --teacher-epochs 3", "--teacher-epochs 3 is about training"),
    (f"run --task acceptability {KEPT} --teacher-depth 3", "leave one of them out"),
    (f"reproduce {KEPT} --teacher-learning-rate 1e-4", "--teacher-learning-rate 0.0001 is about"),
    ("run --task sentiment --teacher nowhere/at/all", "no model could be loaded from 'nowhere/at"),
    ("run --task sentiment --teacher README.md", "no model could be loaded from 'README.md'"),
    ("run --task sentiment --teacher tests", "'tests': it has no config.json; pass a folder made"),
    ("run --task sentiment --teacher-depth 1", "student_depth is 4, and the teacher has 1 layers"),
    ("run --task sentiment --student tests", "'tests': it has no config.json; pass a folder made"),
    ("run --task sentiment --student README.md", "choose one of: layers, bilstm, gated-cnn"),
    ("run --task sentiment --student-depth 1", "needs a student of at least 2 layers, got 1"),
    ("run --task sentiment --student bilstm --embeddings tests", "'tests' is neither"),
    ("run --task rte --source ukd/cli", "can't be read from ukd/cli ("),
    ("run --task rte --source README.md", "'README.md' is neither 'synthetic', 'hub' nor a folder"),
    ("run --task sentiment --layer-map my.map", "layer_map 'my.map' can't be imported"),
    ("run --task sentiment --layer-map math.sqrt", "write a function in a file, as my_maps.py"),
    ("run --task sentiment --student-layers last --teacher-layers all", "sees all of the teacher"),
    ("reproduce --tasks all,sentiment", "unknown name 'all' in --tasks"),
    ("reproduce --methods kd:tau=2:temperature=3", "has temperature twice: give one value"),
    ("reproduce --methods kd:tau=-1", "temperature must be finite and positive, got -1"),
    ("reproduce --cluster tcp://127.0.0.1:1 --jobs 2", "--cluster has its own workers"),
    ("plan --presets --tasks sentiment", "--presets prints a table of all presets"),
    ("plan --student bilstmm", "the sizes of 'bilstmm' are not known; pass a folder with its"),
    ("plan --teacher tests", "the sizes of 'tests' are not known; pass a folder with its config"),
    ("plan --jobs 2", "No such option: --jobs"),
    ("check", "Missing argument 'DATA'"),
    ("check nowhere.csv", "there is no file or folder 'nowhere.csv': check the path"),
    ("check README.md", "neither a folder nor a file that ends in .csv, .tsv, .jsonl"),
    ("check sentiment --text said", "--text said is for data of your own, and sentiment is a task"),
    ("check sentiment --label said", "--label said is for data of your own"),
    ("check sentiment --metrics f1", "--metrics f1 is for data of your own"),
    ("check sentiment --held-out 0.5", "--held-out 0.5 is for data of your own"),
    ("check sentiment --source hub", "source 'hub' has no task 'sentiment'"),
    ("check sentiment --max-length 0", "whole number of at least 1, got '0'"),
    ("check sentiment --max-length 2", "2 tokens an example leave none of the text: at least 4"),
    ("check sentiment --max-length 300", "reads at most 256 tokens, and 300 are asked for"),
    ("check sentiment --teacher tests", "'tests': it has no config.json; pass a folder made"),
    ("logits --task sentiment", "Missing option '--out'"),
    ("logits --out x", "Missing option '--task'"),
    ("logits --task sentiment --out README.md", "README.md exists: choose another folder"),
    ("logits --task sentiment --out tests", "tests exists: choose another folder, or remove it"),
    ("logits --task none --out x", "unknown task 'none'; choose one of: acceptability"),
    ("predict --student x --task rte --source ukd/cli", "can't be read from ukd/cli ("),
    ("table --runs README.md", "README.md is not a folder of runs"),
    ("table --runs tests --set mine", "tests holds records and no sets: leave out set 'mine'"),
    ("figures --runs README.md", "README.md is not a folder of runs"),
    ("figures --runs tests", "no runs: make some with"),
    ("collect mine --runs README.md", "no finished runs in README.md"),
    ("collect a b", "unexpected extra argument"),
    ("verify --source hub", "--source hub is for a run that is repeated: give its hash (--rerun)"),
    ("verify --teacher x", "--teacher x is for a run that is repeated"),
    ("verify --write --rerun 10f5", "--write mends texts: leave one of them out"),
]
ROWS = "text,label\n" + "".join(f"room {number},{'ab'[number % 2]}\n" for number in range(60))
# Files of one's own: name, content, further options, and what the line says.
FILES = [
    ("rows.csv", "", "", "rows.csv is empty: it needs a line of names"),
    ("rows.csv", b"text,label\n\xff\xfe,a\n", "", "and save it as UTF-8"),
    (
        "rows.csv",
        "text,label\nroom,a,b,c\n",
        "",
        "put double quotes around texts that hold a comma",
    ),
    ("rows.parquet", b"PAR1", "", "rows.parquet can't be read"),
    ("rows.jsonl", "{", "", "rows.jsonl can't be read"),
    ("rows.jsonl", "[1, 2]", "", "must hold JSON objects, one a row"),
    ("rows.xlsx", "", "", "'rows.xlsx' is neither a folder nor a file that ends in .csv"),
    ("saved/dataset_dict.json", "{", "", "is damaged (Expecting"),
    ("rows.csv", ROWS, "--text said", "train has no column said; it has: text, label"),
    ("rows.csv", ROWS, "--label said", "train has no column said; it has: text, label"),
    ("rows.csv", ROWS, "--text a,b,c", "text must name one or two columns"),
    ("rows.csv", ROWS, "--text ,", "text must name one or two columns"),
    ("rows.csv", ROWS, "--metrics f2", "unknown metrics f2; choose among: accuracy, f1"),
    ("rows.csv", ROWS, "--metrics ,", "there are no metrics; choose among: accuracy, f1"),
    ("rows.csv", ROWS, "--metrics accuracy,pearson", "scored by 'pearson', with or without"),
    ("rows.csv", ROWS, "--held-out test", "there is no split 'test'; there is: train"),
    ("rows.csv", ROWS, "--held-out train", "would report scores on the rows that are learned"),
    ("rows.csv", ROWS, "--held-out 2", "a share between 0 and 1, got 2.0"),
    ("rows.csv", ROWS, "--held-out nan", "a share between 0 and 1, got nan"),
    ("rows.csv", ROWS, "--source hub", "is none: leave it out, or name a task"),
    ("rows.csv", ROWS, "--max-length 1", "1 tokens an example leave none of the text"),
]


@pytest.mark.parametrize(("line", "text"), USAGE, ids=[line for line, _ in USAGE])
def test_bad_input_is_refused_in_one_line(line, text, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert text in refusal(capsys, *line.split(" "))


@pytest.fixture(autouse=True)
def no_training(request, monkeypatch):
    """What is refused is refused before anything trains."""
    if "bad_input" in request.node.name:
        monkeypatch.setattr("ukd.training.teacher.fit", raiser(AssertionError("training began")))


@pytest.mark.parametrize(
    ("name", "content", "words", "text"), FILES, ids=[f"{name} {w}" for name, _, w, _ in FILES]
)
def test_bad_input_in_a_file_is_refused_in_one_line(name, content, words, text, capsys, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    data = file if file.parent == tmp_path else file.parent
    assert text in refusal(capsys, "check", data, *words.split())


def test_bad_input_of_vectors_and_records_is_refused_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "vectors.txt").write_text("no numbers\n")
    words = ("--student", "bilstm", "--embeddings", tmp_path / "vectors.txt")
    assert "holds no word of the vocabulary" in refusal(capsys, *SMOKE_RUN, *words)
    (tmp_path / "record.json").mkdir()
    assert "record.json is not a readable record" in refusal(capsys, "table", "--runs", tmp_path)
    (tmp_path / "record.json").rmdir()
    (tmp_path / "record.json").write_text('{"format": 99, "hash": "0123456789ab"}')
    for command in (("table",), ("figures",), ("collect", "mine")):
        line = refusal(capsys, *command, "--runs", tmp_path)
        assert f"{tmp_path / 'record.json'} is not a readable record (format is 99, and" in line


def test_there_are_many_cases_of_bad_input():
    assert len(USAGE) + len(FILES) >= 180 and len({line for line, _ in USAGE}) == len(USAGE)


@pytest.mark.parametrize("option", RENAMED_OPTIONS)
def test_options_of_old_scripts_name_the_new_one(option, capsys):
    for words in ((*RUN, option, "1"), (*RUN, f"{option}=1")):
        assert refusal(capsys, *words) == f"ukd: error: {option} is {RENAMED_OPTIONS[option]} now"


def test_new_names_of_options_exist(capsys):
    main(["run", "--help"])
    text = capsys.readouterr().out
    main(["reproduce", "--help"])
    text += capsys.readouterr().out
    for new in RENAMED_OPTIONS.values():
        for name in new.split(" or "):
            assert re.search(rf"(?<![\w-]){name}(?![\w-])", text), name


@pytest.mark.parametrize("name", MOVED_COMMANDS)
def test_commands_of_old_scripts_name_the_new_one(name, capsys):
    assert MOVED_COMMANDS[name] in refusal(capsys, name)


def test_a_preset_of_the_environment_is_checked(capsys, monkeypatch):
    monkeypatch.setenv("UKD_PRESET", "tiny")
    assert "unknown preset 'tiny'" in refusal(capsys, *RUN)


def raiser(error):
    """A function that raises this, whatever it is given."""

    def fail(*_, **__):
        raise error

    return fail


FAILURES = [
    (KeyboardInterrupt(), 130, "interrupted; what is finished is kept, and the same command goes"),
    (MemoryError(), 1, "out of memory: take smaller batches (--batch-size)"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "--max-length"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), 1, "out of memory"),
    (WorkerLost("a process was killed: take fewer (--jobs, now 2)"), 1, "(--jobs, now 2)"),
    (TerminatedWorkerError("SIGKILL"), 1, "TerminatedWorkerError: take smaller batches"),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "the disk is full"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "the disk is full"),
    (DiskFull("no room in x"), 1, "error: no room in x"),
    (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "'x'): take another file or fold"),
    (OSError(errno.EROFS, "Read-only file system", "x"), 2, "or set UKD_CACHE and UKD_RUNS to"),
    (
        IsADirectoryError(errno.EISDIR, "Is a directory", "x"),
        2,
        "Is a directory: 'x': check the path",
    ),
    (OSError("no file, no number"), 1, "OSError: no file, no number (add --debug"),
    (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
    (KeyError("scores"), 1, "KeyError: 'scores' (add --debug for the traceback)"),
    (ValueError("two\nlines"), 2, "error: two lines"),
    (ValueError(), 2, "error: ValueError"),
    (FileExistsError("x exists"), 2, "error: x exists"),
]


@pytest.mark.parametrize(
    ("error", "status", "text"), FAILURES, ids=[type(error).__name__ for error, *_ in FAILURES]
)
def test_failures_end_in_one_line(error, status, text, capsys, monkeypatch):
    monkeypatch.setattr("ukd.analysis.runs.load_runs", raiser(error))
    assert main(["table"]) == status
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and printed.startswith("ukd: ") and text in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("words", [["--debug", "table"], ["table", "--debug"]])
def test_debug_shows_the_traceback_before_the_line(words, capsys, monkeypatch):
    monkeypatch.setattr("ukd.analysis.runs.load_runs", raiser(ZeroDivisionError("no")))
    assert main(words) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback") and printed.splitlines()[-1].startswith("ukd: error: ")


def test_a_worker_that_was_lost_says_what_to_lower():
    message, status = explain(WorkerLost("lost"))
    assert status == 1 and "--jobs" in message and "--batch-size" in message


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys\n"
        "from ukd.cli.main import main\n"
        "for command in ([], ['run'], ['reproduce'], ['verify']):\n"
        "    assert main([*command, '--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'numpy', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_output_without_utf_8_has_question_marks(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["table", "--set", "cola-mpnet-first"]) == 0
    assert b"universal-kd" in written.getvalue()
    assert b" ? " in written.getvalue()  # for the sign of plus or minus


def test_a_pipe_that_closes_ends_the_command_without_a_word(monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        assert main(["methods"]) == 141
        monkeypatch.undo()
    assert capfd.readouterr().err == ""


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"ukd \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_budget_changes_the_fields_that_are_given():
    given = Budget(
        preset="smoke",
        teacher="random",
        teacher_depth=6,
        student_depth=3,
        layer_selection="spread",
        student_init="teacher",
        learning_rate=1e-3,
        teacher_learning_rate=1e-4,
        batch_size=8,
        max_length=32,
        max_train=50,
        teacher_epochs=3,
        student_epochs=4,
        selection_split="validation",
        allow_weak_teacher=True,
    )
    assert given.config() == replace(
        presets.SMOKE,
        encoder="random",
        teacher_depth=6,
        student_depth=3,
        layer_selection="spread",
        student_init="teacher",
        learning_rate=1e-3,
        teacher_learning_rate=1e-4,
        batch_size=8,
        max_length=32,
        max_train=50,
        teacher_epochs=3,
        student_epochs=4,
        selection_split="validation",
        enforce_min_teacher_score=False,
    )
    assert Budget(preset="lesson").config() == presets.LESSON
    assert Budget().config() == presets.CPU


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"teacher": "my/encoder"}, "(teacher 2e-05, student 5e-05)"),
        ({"teacher": "my/encoder", "student": "bilstm"}, "(teacher 2e-05)"),
        ({"teacher": "my/encoder", "learning_rate": 1.0, "teacher_learning_rate": 1.0}, None),
        ({"teacher": "bert-base-uncased"}, None),
        ({"preset": "cpu", "teacher": "my/encoder"}, None),
    ],
)
def test_a_presets_rates_for_another_encoder_are_said(options, words, caplog):
    Budget(**{"preset": "bert-4"} | options).config()
    assert bool(caplog.messages) == bool(words)
    if words:
        end = (
            "were chosen for bert-base-uncased, not for my/encoder: give others where it needs them"
        )
        assert f"{words} {end}" in caplog.messages[0]


def test_a_limit_of_a_preset_can_be_lifted():
    assert presets.SMOKE.max_train == 320
    assert Budget(preset="smoke", max_train="all").config().max_train is None


def test_a_teacher_that_must_not_be_weak_is_the_presets_choice():
    assert Budget().config().enforce_min_teacher_score
    assert not Budget(allow_weak_teacher=True).config().enforce_min_teacher_score


def test_the_environment_names_the_default_preset(capsys, monkeypatch):
    monkeypatch.setenv("UKD_PRESET", "laptop")
    seen = []
    monkeypatch.setattr("ukd.training.cost.cost_of", lambda *given: seen.append(given[3].name))
    assert main(["plan"]) == 0 and seen == ["laptop"]
    assert main(["plan", "--preset", "smoke"]) == 0 and seen == ["laptop", "smoke"]


def test_loss_options_reach_the_method(monkeypatch, capsys):
    seen = []

    def stop(config, name):
        raise ValueError("seen")

    def chosen(losses, name):
        seen.append((name, losses))
        return registry.get_method(name)

    monkeypatch.setattr("ukd.cli.options.Losses.method", chosen)
    monkeypatch.setattr("ukd.training.student_report.describe_student", stop)
    words = "--tau 4 --mapping uniform --combine losses --kappa 0.5 --no-detach-attention"
    assert main([*SMOKE_RUN, *words.split()]) == 2
    words = (
        "--temperature 4 --layer-map uniform --attention-on losses --attention-temperature 0.5 "
        "--no-detach-attention --method mhkd"
    )
    assert main([*SMOKE_RUN, *words.split()]) == 2
    losses = Losses(4.0, "uniform", "losses", 0.5, False)
    assert seen == [("universal-kd", losses), ("mhkd", losses)]


def test_loss_options_change_the_method_that_they_name():
    changed = Losses(temperature=4.0, detach_attention=False, student_layers="last")
    expected = registry.get_method(
        "universal-kd", temperature=4.0, detach_attention=False, student_layers="last"
    )
    assert changed.method("universal-kd") == expected
    assert Losses().method("kd") == registry.METHODS["kd"]


def test_a_comparison_lists_tasks_methods_and_seeds():
    given = Comparison("cola, sst2,cola", "kd, universal-kd:kappa=0.1", None, "3,1,3")
    assert given.chosen_tasks(presets.CPU) == ("cola", "sst2")
    assert given.chosen_seeds(presets.CPU) == (3, 1)
    names = [one.name for one in given.chosen_methods()]
    assert names == ["kd", "universal-kd"]
    assert given.chosen_methods()[1].attention_temperature == 0.1
    everything = Comparison(tasks="all", methods="all")
    assert everything.chosen_tasks(presets.CPU) == tuple(SYNTHETIC)
    assert everything.chosen_tasks(presets.LAPTOP) == presets.LAPTOP.tasks
    assert len(everything.chosen_methods()) == len(registry.METHODS)
    assert Comparison().chosen_tasks(presets.CPU) == presets.CPU.tasks
    assert Comparison().chosen_seeds(presets.CPU) == (1, 2, 3)
    assert tuple(one.name for one in Comparison().chosen_methods()) == DEFAULT_METHODS


def test_a_scenario_brings_its_students_unless_one_is_given():
    gap = Comparison(scenario="capacity-gap")
    assert [one.student_depth for one in gap.configs(Budget())] == [2]
    assert [one.student_depth for one in gap.configs(Budget(student_depth=3))] == [3]
    other = Comparison(scenario="cross-architecture")
    found = other.configs(Budget(student_epochs=5))
    assert [(one.student, one.student_epochs) for one in found] == [
        ("bilstm", 5),
        ("gated-cnn", 5),
    ]
    assert [one.student_epochs for one in other.configs(Budget())] == [12, 12]
    assert [one.student for one in other.configs(Budget(preset="bert-4"))] == ["layers"]
    assert Comparison().configs(Budget()) == [presets.CPU]


def test_a_search_takes_two_rates_or_more():
    search = Comparison(learning_rates="1e-4,2e-4", search_task="sentiment").search(Budget())
    assert search.learning_rates == (1e-4, 2e-4) and search.task == "sentiment"
    assert Comparison(learning_rates="1e-4,2e-4", search_task="each").search(Budget()).task is None
    assert Comparison().search(Budget()) is None


def test_the_machine_is_asked_for_its_precision():
    chosen = Machine("float32", True).runtime()
    assert (chosen.precision, chosen.compiled) == ("float32", True)


def test_methods_are_listed_with_their_stages_and_sources(capsys):
    assert main(["methods"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(registry.METHODS)
    assert "0.5 kd + 0.5 intermediate then 1 labels" in "\n".join(rows)


def test_doctor_says_what_was_chosen_and_what_is_missing(capsys, monkeypatch, tmp_path):
    main(["doctor"])  # its status depends on the machine
    printed = capsys.readouterr()
    for name in ("python", "device", "precision", "cache", "runs", "data", "hub", "torch"):
        assert re.search(rf"^{name} ", printed.out, re.MULTILINE), name
    assert "sentiment" not in printed.err and "encoder" not in printed.err
    monkeypatch.setattr("ukd.config.paths.data_folder", lambda: tmp_path)
    monkeypatch.setattr("ukd.models.bundled.data_folder", lambda: tmp_path)
    assert main(["doctor"]) == 1
    missing = capsys.readouterr().err
    assert "MISSING    task sentiment is not in" in missing
    assert "MISSING    the bundled encoder lacks" in missing


@pytest.fixture
def found(distilled, tiny, monkeypatch):
    """A run that is finished already, of the smoke preset as tests have it."""
    monkeypatch.setitem(presets.PRESETS, "smoke", tiny)
    return distilled("universal-kd")


@pytest.mark.slow
def test_run_finds_what_is_finished_and_prints_its_scores(found, capsys):
    assert main([*SMOKE_RUN, "--precision", found.settings.precision]) == 0
    printed = capsys.readouterr().out
    score = f"accuracy {found.scores['validation']['accuracy']:.1f}"
    assert printed.startswith(f"sentiment, universal-kd, seed 1: {score} | ")
    assert Path(printed.split(" | ")[1].strip()) == Path(found.folder) / "record.json"


@pytest.mark.slow
def test_reproduce_ends_with_the_committed_scores(found, capsys, monkeypatch):
    monkeypatch.setattr("ukd.analysis.runs.load_runs", lambda: as_runs([found]))
    words = "reproduce --preset smoke --tasks sentiment --methods universal-kd --seeds 1 --jobs 1"
    assert main([*words.split(), "--precision", found.settings.precision]) == 0
    printed = capsys.readouterr().out
    tables, _, beside = printed.partition("### Beside the committed runs")
    assert "validation, %" in tables and "+0.0" in beside
    assert "scores.svg" in tables


@pytest.mark.slow
def test_ctrl_c_in_training_says_that_the_next_call_goes_on(found, capsys, monkeypatch):
    monkeypatch.setattr("ukd.training.distill._train", raiser(KeyboardInterrupt()))
    assert main([*SMOKE_RUN, "--seed", "77", "--precision", found.settings.precision]) == 130
    printed = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert printed == ["ukd: interrupted; what is finished is kept, and the same command goes on"]


@pytest.mark.slow
def test_a_committed_run_is_repeated_from_its_row(found, capsys, monkeypatch):
    monkeypatch.setattr(rerun, "load_runs", lambda: as_runs([found]))
    assert main(["verify", "--rerun", found.hash[:6]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sentiment, universal-kd, seed 1, ") and found.hash in lines[0]
    differences = {line.split("|")[-2].strip() for line in lines[4:]}
    assert differences == {"+0.0000"} and len(lines) == 4 + 4


def test_configs_and_methods_of_all_committed_runs_are_known():
    rows = load_runs().table.drop_duplicates("run").drop_duplicates("config_key")
    folders = 0
    for row in rows.to_dict("records"):
        assert rerun.method_of(row).stages
        if not row["teacher_encoder"].startswith("bundled-"):
            folders += 1
            with pytest.raises(ValueError, match="say where it is"):
                rerun.config_of(row)
            continue
        config = rerun.config_of(row)
        assert config.batch_size == row["batch_size"] and config.encoder == "bundled"
    assert folders


def test_a_run_of_another_encoder_or_other_data_is_not_repeated(monkeypatch, task):
    table = load_runs().table.drop_duplicates("run")
    row = table[table["task"] == "sentiment"].iloc[0].to_dict()
    with pytest.raises(ValueError, match="was made from bundled-0, and bundled is bundled-"):
        rerun.config_of(row | {"teacher_encoder": "bundled-0"})
    with pytest.raises(ValueError, match="preset 'gone'"):
        rerun.config_of(row | {"preset": "gone"})
    with pytest.raises(ValueError, match="was made on data other"):
        rerun._check_data(task, row | {"fingerprint": "other"})


def test_check_prints_its_table_for_a_task_and_for_a_file(capsys, tmp_path):
    assert main(["check", "sentiment"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert printed.err == "" and lines[0].startswith("| check ")
    assert all(line.endswith("| good    |") for line in lines[2:])
    for name in ("texts", "rows", "look-alike", "duplicates", "one text, two", "unknown", "cut"):
        assert any(line.startswith(f"| {name}") for line in lines), name
    file = tmp_path / "rows.csv"
    content = [f"room {number},{'ab'[number % 2]}" for number in range(60)]
    file.write_text("\n".join(["said,verdict", *content, "room 1,a"]))
    words = ["check", str(file), "--text", "said", "--label", "verdict"]
    assert main([*words, "--held-out", "0.5"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and "61 rows read from 61 lines" in printed.out
    assert "1 of 61 rows, first row 61, repeat a text" in printed.out


def test_check_prints_its_table_and_one_line_for_what_is_refused(capsys, tmp_path):
    file = tmp_path / "rows.csv"
    content = [f"room {number},{'ab'[number % 2]}" for number in range(60)]
    file.write_text("\n".join(["text,label", *content, "\u200b,a"]), encoding="utf-8")
    assert main(["check", str(file)]) == 2
    printed = capsys.readouterr()
    assert "| refused |" in printed.out and "61 rows read from 61 lines" in printed.out
    assert printed.err.startswith("ukd: error: train, row 61: text must be a text that is not")
    assert len(printed.err.splitlines()) == 1
    assert (
        main(["check", "nowhere"]) == 2 and "there is no file or folder" in capsys.readouterr().err
    )
