"""Keys of cached things: equal settings, data and code give equal keys, and nothing else does."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ukd.config.paths import PACKAGE

HASH_LENGTH = 12  # hexadecimal digits of every key
HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def config_hash(*parts: object) -> str:
    """Twelve hexadecimal digits that name JSON-serialisable settings; dataclasses count as dicts."""
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


@functools.cache
def code_hash(module: str, root: Path = PACKAGE) -> str:
    """Key of the code behind a module: its own and all that it imports from the package.

    Comments, docstrings and formatting do not count, so only an edit that may change a result
    changes the key. No list of modules is kept by hand: the imports are read.

    Args:
        module: dotted name, as in "ukd.training.distill".
        root: folder of the package.
    """
    code = {name: _code_of(path) for name, path in imported_modules(module, root).items()}
    return config_hash(code)


def imported_modules(module: str, root: Path = PACKAGE) -> dict[str, Path]:
    """The module and every module of the package that it imports, directly or not, by name."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path_of(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += _imports_of(path, root.name)
    return dict(sorted(found.items()))


def _path_of(module: str, root: Path) -> Path | None:
    """The file of a module of the package; None for a name that is no module."""
    place = root.parent.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports_of(path: Path, package: str) -> list[str]:
    """Names that a file imports from the package: modules, and what may be a module in them."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.split(".")[0] == package]
    # The package's own face only re-exports, and would reach everything.
    return [name for name in names if name != package]


def _code_of(path: Path) -> str:
    """A file's code in one form, without docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, HAS_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
