"""The project's own order: what imports what, versions that agree, texts that are true."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from floors import constraints, requirements
from packaging.version import Version

import ukd
from ukd.cli.main import EXAMPLES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ukd"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEART = ("ukd.heads", "ukd.losses", "ukd.projection")
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST_FILE = 2**20
LARGER = {  # and why they need to be
    "data/encoder/model.safetensors": 8 * 2**20,  # the bundled encoder, in float32
    "data/teachers/sst2-mpnet-base/logits.safetensors": 1_100_000,  # of 10,000 examples
}
TEXT_ENDINGS = {".py", ".md", ".toml", ".yml", ".txt", ".ipynb", ".json", ".csv", ".cff"}
# Files that an editor wrote elsewhere would bring in.
SOMEBODYS_FOLDER = re.compile(r"/(home|root|Users|work|tmp)/\w")


def tracked():
    """Names of the files in git that are there; the test is skipped outside a clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone of the repository")
    command = ("git", "-C", str(ROOT), "ls-files")
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def python(code):
    """What a process of its own prints for this code."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_method_imports_torch_and_nothing_else_of_the_project():
    code = (
        "import sys\n"
        "sys.modules['transformers'] = sys.modules['datasets'] = None\n"
        "import torch, ukd.heads, ukd.projection, ukd.losses\n"
        "logits = torch.randn(2, 3, 4)\n"
        "ukd.losses.intermediate_loss(logits, logits, temperature=2.0)\n"
        "print(*sorted(name for name in sys.modules if name.startswith('ukd.')))\n"
    )
    assert tuple(python(code).split()) == HEART


def test_importing_the_package_loads_no_torch_and_changes_no_environment():
    code = (
        "import os, sys\n"
        "before = dict(os.environ)\n"
        "import ukd\n"
        "assert os.environ == before\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    assert python(code).strip() == "[]"


def test_every_folder_has_its_place_in_the_order_of_imports():
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [name.strip() for layer in layers for name in layer.split(":")]
    assert sorted(names) == sorted([*(f"ukd.{folder}" for folder in FOLDERS), *HEART])


def test_every_public_name_is_there_and_documented():
    assert len(ukd.__all__) == len(set(ukd.__all__))
    assert set(ukd.__all__) <= set(dir(ukd))
    for name in ukd.__all__:
        value = getattr(ukd, name)
        assert value.__doc__ or isinstance(value, dict), name


def test_an_unknown_name_lists_the_public_ones():
    with pytest.raises(AttributeError, match="no attribute 'profile'; it has: .*distill"):
        _ = ukd.profile


@pytest.mark.parametrize("folder", FOLDERS)
def test_public_names_of_a_folder_are_there(folder):
    module = import_module(f"ukd.{folder}")
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name), name


def code_of(notebook):
    """The code of a notebook, without IPython's own lines."""
    lines = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            text = "".join(cell["source"])
            lines += [line for line in text.splitlines() if not re.match(r"\s*[%!]", line)]
    return "\n".join(lines)


def imported_names(tree):
    """(module, name) of every import of the package; name is None for the module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ukd":
            for alias in node.names:
                yield node.module, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "ukd":
                    yield alias.name, None


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_public_names_alone(notebook):
    tree = ast.parse(code_of(notebook))
    public = {"ukd": {*ukd.__all__, *FOLDERS}}
    for folder in FOLDERS:
        public[f"ukd.{folder}"] = set(getattr(import_module(f"ukd.{folder}"), "__all__", ()))
    for module, name in imported_names(tree):
        assert module in public, f"{module} is deeper than a folder"
        assert name is None or name in public[module], f"{module}.{name} is not public"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            of_package = node.value.id == "ukd"
            assert not of_package or node.attr in public["ukd"] | {"__version__"}, node.attr


def test_constraints_admit_the_floors_and_hold_names_and_versions_alone():
    exact = constraints()
    for name, floor in requirements().items():
        assert Version(exact[name]) >= Version(floor), name
    assert not re.search(r"https?:|--", (ROOT / "constraints.txt").read_text(encoding="utf-8"))


def test_floors_are_not_above_what_a_year_old_machine_has():
    floors = requirements()
    assert Version(floors["torch"]) <= Version("2.11")
    assert Version(floors["transformers"]) <= Version("5.17")
    assert Version(floors["accelerate"]) <= Version("1.15")


def test_every_dependency_has_its_reason():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    reasons = text.partition("**Why each dependency is there.**")[2].partition("**Commits**")[0]
    extras = PROJECT["project"]["optional-dependencies"].values()
    for line in (*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)):
        name = re.match(r"[\w-]+", line)[0]
        assert re.search(rf"\b{name}\b", reasons, re.IGNORECASE), name


def test_the_conda_environment_agrees_with_pyproject_and_constraints():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^\s+- ([\w-]+)==([\d.]+)$", text, re.MULTILINE))
    assert pins == {name: constraints()[name] for name in requirements()}
    assert re.search(r"- python=3\.1[1-4]", text)


def test_the_command_is_the_one_that_is_installed():
    assert PROJECT["project"]["scripts"] == {"ukd": "ukd.cli.main:main"}


def test_no_file_names_a_folder_of_somebodys_machine():
    for name in tracked():
        if Path(name).suffix in TEXT_ENDINGS:
            text = (ROOT / name).read_text(encoding="utf-8")
            found = SOMEBODYS_FOLDER.search(text)
            assert not found, f"{name}: {found.group()}"


def test_nothing_tracked_is_pickled_or_large():
    for name in tracked():
        assert Path(name).suffix not in {".bin", ".pt", ".pkl", ".pickle", ".npy"}, name
        largest = LARGER.get(name, LARGEST_FILE)
        assert (ROOT / name).stat().st_size <= largest, name


def texts():
    """The Markdown files of the project and the Makefile."""
    return [name for name in tracked() if name.endswith(".md") or name == "Makefile"]


def test_commands_in_the_texts_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = {command.__name__ for command in EXAMPLES}
    named = set()
    for name in texts():
        if name == "CHANGELOG.md":  # it names what is gone
            continue
        text = (ROOT / name).read_text(encoding="utf-8")
        used = set(re.findall(r"(?:^|`|\.venv/bin/)ukd ([a-z]+)", text, re.MULTILINE))
        assert used <= commands, f"{name}: {used - commands}"
        made = set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.MULTILINE))
        assert made <= set(targets), f"{name}: {made - set(targets)}"
        named |= used
    assert {"run", "reproduce", "verify"} <= named


def test_links_in_the_texts_lead_to_files():
    for name in texts():
        text = (ROOT / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
            path = os.path.normpath(ROOT / Path(name).parent / link)
            assert Path(path).exists(), f"{name}: {link}"
