"""The project's own order: imports go one way, versions agree, texts are true where a test can tell."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from floors import constraints, requirements
from packaging.version import Version

import ukd

ROOT = Path(__file__).parents[1]
ORDER = (
    "config",
    "profiles",
    "grammar",
    "data",
    "metrics",
    "own",
    "students",
    "models",
    "heads",
    "projection",
    "losses",
    "methods",
    "hidden",
    "records",
    "train",
    "tokenizer",
    "text",
    "packed",
    "prose",
    "cooccurrence",
    "masked",
    "pretrain",
    "teacher",
    "probing",
    "finetune",
    "outputs",
    "describe",
    "objective",
    "observe",
    "distill",
    "predictions",
    "jobs",
    "bootstrap",
    "grouping",
    "results",
    "figures",
    "studies",
    "diagram",
    "datasheet",
    "card",
    "paper",
    "doctor",
    "timing",
    "plan",
    "peers",
    "contenders",
    "bench",
    "notebooks",
    "guide",
    "rebuild",
    "reports",
    "commands",
    "cli",
    "checks",
    "explore",
    "explorers",
)
MODULES = sorted((ROOT / "ukd").glob("*.py"))
TRACKED = subprocess.run(
    ("git", "-C", str(ROOT), "ls-files"), capture_output=True, text=True
).stdout.split()


def imported(path):
    """Modules of the package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ukd."):
            found.add(node.module.split(".")[1])
    return found


def test_data_flows_one_way():
    names = {path.stem for path in MODULES} - {"__init__", "__main__"}
    assert names | {"grammar", "checks"} == set(ORDER)
    for path in MODULES:
        if path.stem in ORDER:
            later = imported(path) & set(ORDER[ORDER.index(path.stem) :])
            assert not later, f"ukd.{path.stem} imports {later}, which come after it"
    assert set().union(*(imported(path) for path in (ROOT / "ukd" / "grammar").glob("*.py"))) <= {
        "grammar"
    }


def test_modules_and_functions_stay_short():
    for path in (ROOT / "ukd").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, f"{path.name} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno <= 60, f"{path.name}: {node.name} is too long"


def test_every_public_name_is_there_and_documented():
    for name in ukd.__all__:
        assert getattr(ukd, name).__doc__, name


def test_constraints_admit_the_floors_and_hold_names_and_versions_alone():
    exact, floors = constraints(), requirements()
    assert exact["torch"] == "2.13.0"
    for name, floor in floors.items():
        assert Version(exact[name]) >= Version(floor), name
    assert not re.search(r"https?:|--", (ROOT / "constraints.txt").read_text())


def test_floors_are_not_above_what_a_year_old_machine_has():
    floors = requirements()
    assert Version(floors["torch"]) <= Version("2.11") and Version(
        floors["transformers"]
    ) <= Version("5.17")
    assert Version(floors["accelerate"]) <= Version("1.15")


def test_the_conda_environment_agrees_with_pyproject_and_constraints():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^\s+- ([\w-]+)==([\d.]+)$", text, re.MULTILINE))
    assert pins == {name: constraints()[name] for name in requirements()}
    assert re.search(r"- python=3\.1[1-4]", text)


TEXTS = [
    name
    for name in TRACKED
    if Path(name).suffix in {".py", ".md", ".toml", ".yml", ".txt", ".ipynb", ".json"}
]


@pytest.mark.parametrize("name", TEXTS)
def test_no_file_names_a_folder_of_somebodys_machine(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|Users|work|tmp)/\w", text), name


def test_nothing_tracked_is_pickled_or_large():
    for name in TRACKED:
        assert Path(name).suffix not in {".bin", ".pt", ".pkl", ".pickle", ".npy"}, name
        if (ROOT / name).is_file():
            assert (ROOT / name).stat().st_size <= 2**20 or name.startswith("data/encoder"), name


def test_importing_the_package_keeps_waiting_threads_from_spinning():
    code = "import os, ukd; print(os.environ['OMP_WAIT_POLICY'])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "PASSIVE"
    )


def test_the_readmes_commands_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([\w-]+)", text)) <= targets
    commands = set(re.findall(r"^\s*(?:\.venv/bin/)?ukd (\w+)", text, re.MULTILINE))
    known = re.findall(
        r'"(\w+)", (?:commands|reports)\.', (ROOT / "ukd" / "cli.py").read_text(encoding="utf-8")
    )
    assert commands and commands <= set(known)
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / link).exists(), link
