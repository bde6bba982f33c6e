"""Keys of cached things: equal settings, data and code give equal keys, and nothing else does."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.util import resolve_name
from pathlib import Path

from ukd.config.paths import PACKAGE

HASH_LENGTH = 12  # hexadecimal digits of every key
HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def config_hash(*parts: object) -> str:
    """Twelve hexadecimal digits that name settings; dataclasses count as dictionaries."""
    text = json.dumps(parts, sort_keys=True, default=asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def files_hash(paths: Iterable[Path]) -> str:
    """sha256 over the content of files, one after another, read in parts."""
    state = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                state.update(part)
    return state.hexdigest()


def code_hash(module: str, root: Path = PACKAGE) -> str:
    """Key of the code behind a module: its own and all that it imports from the package.

    Comments, docstrings and formatting do not count, so only an edit that may change a result
    changes the key. No list of modules is kept by hand: the imports are read.

    Args:
        module: dotted name, as in "ukd.training.distill".
        root: folder of the package.

    Raises: ValueError where a file was edited since this process began: it runs the old code.
    """
    if root == PACKAGE and (edited := _stamps() ^ AT_START):
        name = min(edited)[0]
        raise ValueError(
            f"{name} was edited since this process began, which still runs the code that was "
            "there: restart the kernel or the command, so that results are kept under their code"
        )
    return _code_hash(module, root)


def _stamps() -> set[tuple[str, int, int]]:
    """Name, time and size of each of the kit's files of code."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        seen = path.stat()
        found.add((path.relative_to(PACKAGE).as_posix(), seen.st_mtime_ns, seen.st_size))
    return found


AT_START = _stamps()


@functools.cache
def _code_hash(module: str, root: Path) -> str:
    code = {name: _code_of(path) for name, path in imported_modules(module, root).items()}
    return config_hash(code)


def imported_modules(module: str, root: Path = PACKAGE, *, beside: bool = False) -> dict[str, Path]:
    """The module and every module of the package that it imports, directly or not, by name.

    beside: with the package's own face, and with what stands in the same folder as the package.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path_of(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        for imported in _imports_of(path, name):
            first = imported.partition(".")[0]
            # The package's own face only re-exports, and would reach everything.
            inside = first == root.name and (beside or imported != root.name)
            if inside or (beside and first != PACKAGE.name):
                waiting.append(imported)
    return dict(sorted(found.items()))


def _path_of(module: str, root: Path) -> Path | None:
    """The file of a module of the package; None for a name that is no module."""
    place = root.parent.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports_of(path: Path, module: str) -> list[str]:
    """Names that a module's file imports: modules, and what may be a module in them."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            place = resolve_name("." * node.level + (node.module or ""), package)
            names += [place, *(f"{place}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def _code_of(path: Path) -> str:
    """A file's code in one form, without docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, HAS_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
