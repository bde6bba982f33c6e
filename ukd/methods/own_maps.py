"""Layer maps of one's own: the name by which a run's record knows a function and finds it again.

"package.module.function@sha256": where importing finds it, and the hash of its source.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ukd.config.keys import files_hash, imported_modules
from ukd.config.paths import PACKAGE
from ukd.projection import LAYER_MAPS, LayerMap

DIGITS_SHOWN = 8  # of the hash, in tables
# Folders where what stands beside a package is no part of it.
INSTALLED = {"site-packages", "dist-packages"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def is_own(layer_map: str) -> bool:
    """Whether a layer map's name is that of a function to import: it has a dot."""
    return "." in layer_map


def named(layer_map: str | LayerMap) -> str:
    """A layer map as a `Method` keeps it: by a name that says what it does.

    Args:
        layer_map: a name in `LAYER_MAPS`; "package.module.function", with or without its
            "@sha256"; or such a function.

    Raises: ValueError for an unknown name, for a function that can't be imported again, and for one
    whose source is not the one that the name says.
    """
    if not isinstance(layer_map, str):
        return _name_of(layer_map)
    if layer_map in LAYER_MAPS:
        return layer_map
    place, _, source = layer_map.partition("@")
    if not is_own(place):
        known = ", ".join(LAYER_MAPS)
        raise ValueError(
            f"unknown layer_map {layer_map!r}; choose one of: {known}, or package.module.function"
        )
    found = _name_of(_imported(place))
    if source and found != f"{place}@{source}":
        raise ValueError(
            f"layer_map {place} has changed: the sha256 of its source is "
            f"{found.partition('@')[2]}, and {source} is meant: bring that source back"
        )
    return found


@functools.cache
def callable_of(layer_map: str | LayerMap) -> str | LayerMap:
    """A layer map as `ukd.intermediate_loss` takes it, from its name in a `Method`."""
    if not isinstance(layer_map, str):
        return layer_map
    name = named(layer_map)
    return _imported(name.partition("@")[0]) if is_own(name) else name


def shown(layer_map: str) -> str:
    """An option's value in tables: of a function's hash the first eight digits."""
    place, at, source = layer_map.partition("@")
    return place + at + source[:DIGITS_SHOWN]


def files_of(layer_map: str) -> str | None:
    """Hash of the file of a function, and of those of its folder that it imports; None for others.

    It is part of a run's key, and sees what the hash in the name may miss: all of these files.
    """
    if not is_own(layer_map):
        return None
    return files_hash(_modules_of(layer_map.partition("@")[0].rpartition(".")[0]).values())


def _helpers_hash(function: LayerMap) -> str:
    """Hash of the other files that a function's file imports from its folder; "" without any."""
    own = function.__module__
    if own.partition(".")[0] == PACKAGE.name:
        return ""  # the kit's code is in every run's key
    helpers = [path for name, path in _modules_of(own).items() if name != own]
    return files_hash(helpers) if helpers else ""


def _modules_of(name: str) -> dict[str, Path]:
    """A module and those of its package or folder that it imports, by name."""
    file = Path(import_module(name).__file__)
    root = file.parent if file.name == "__init__.py" else file.with_suffix("")
    for _ in range(name.count(".")):
        root = root.parent
    return imported_modules(name, root, beside=not INSTALLED & set(root.parts))


def _imported(place: str) -> object:
    module, _, name = place.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"layer_map {place!r} can't be imported ({error}): write package.module.function, of a "
            "file in this folder or of an installed package"
        ) from error


def _name_of(function: object) -> str:
    """Its name, or ValueError that says why importing does not find it again."""
    if reason := _why_not(function):
        name = getattr(function, "__qualname__", type(function).__name__)
        raise ValueError(
            f"layer_map {name} {reason}, and a run's record names what was run: write a function "
            "in a file, as my_maps.py, and pass my_maps.FUNCTION; ukd.intermediate_loss takes any"
        )
    source = hashlib.sha256((code_of(function) + _helpers_hash(function)).encode()).hexdigest()
    return f"{function.__module__}.{function.__name__}@{source}"


def _why_not(function: object) -> str | None:
    """Why a function can't be imported again as it is; None where it can."""
    if not inspect.isfunction(function):
        return "is no function but an object, whose state no source tells"
    if function.__module__ == "__main__":
        return "is defined in a notebook or script (__main__), which no other process imports"
    if function.__qualname__ == "<lambda>":
        return "is a lambda, which has no name"
    if "." in function.__qualname__:
        return "is defined inside a function or class"
    module = import_module(function.__module__)
    if getattr(module, function.__name__, None) is not function:
        return f"is not what importing {module.__name__}.{function.__name__} gives"
    try:
        inspect.getsource(module)
    except (OSError, TypeError):
        return "has no source file"
    for name in _modules_of(module.__name__):
        if changed := _changed(import_module(name)):
            return (
                f"is no longer what its file says (importlib.reload its module): {name}.{changed} "
                "is another"
            )
    return None


def _changed(module: ModuleType) -> str | None:
    """The first name of a module that is not what its file says now; None where all are.

    The file was edited and not imported anew, or the value was set from outside. Functions are
    compared by code and defaults, other names where the file gives a literal: nothing runs.
    """
    source = Path(module.__file__).read_text(encoding="utf-8")
    codes = compile(source, module.__file__, "exec", dont_inherit=True).co_consts
    for name, node in _assigned(ast.parse(source)).items():
        value = inspect.unwrap(getattr(module, name, None))
        if isinstance(node, ast.expr):
            same = _is_literal(value, node)
        elif code := getattr(value, "__code__", None):
            same = code in codes and _same_defaults(value, node.args)
        else:
            same = value is not None  # wrapped, and not to be seen through
        if not same:
            return name
    return None


def _assigned(tree: ast.Module) -> dict[str, ast.expr | ast.FunctionDef]:
    """What a file gives its names at last; not those that a condition or a function sets, too."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    elsewhere = Counter(node.id for node in names if isinstance(node.ctx, ast.Store))
    found: dict = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            here = [one.id for one in targets if isinstance(one, ast.Name)]
            elsewhere.subtract(here)
            found |= dict.fromkeys(here, node.value)
    return {name: node for name, node in found.items() if not elsewhere[name]}


def _is_literal(value: object, node: ast.expr | None) -> bool:
    """Whether a value is the literal; True for other expressions, and for what begins empty."""
    try:
        literal = ast.literal_eval(node)
    except ValueError:
        return True
    cache = isinstance(literal, list | dict | set) and not literal
    return cache or (type(value) is type(literal) and value == literal)


def _same_defaults(function: object, arguments: ast.arguments) -> bool:
    """Whether a function's defaults are those of its source, where they are literals."""
    names = [one.arg for one in arguments.kwonlyargs]
    keywords = function.__kwdefaults__ or {}
    values = [*(function.__defaults__ or ()), *(keywords.get(name) for name in names)]
    nodes = [*arguments.defaults, *arguments.kw_defaults]
    return len(values) == len(nodes) and all(
        node is None or _is_literal(value, node) for value, node in zip(values, nodes, strict=True)
    )


def code_of(function: LayerMap) -> str:
    """The source of a module's function and of all of that module that it uses, in their order."""
    module = inspect.getmodule(function)
    text = inspect.getsource(module)
    lines = text.splitlines(keepends=True)
    body = ast.parse(text).body
    needed = {function.__name__}
    chosen: set[int] = set()
    while found := {i for i, node in enumerate(body) if _binds(node) & needed} - chosen:
        chosen |= found
        for index in found:
            needed |= _names_in(body[index])
    parts = []
    for index in sorted(chosen):
        node = body[index]
        first = min(one.lineno for one in (node, *getattr(node, "decorator_list", ())))
        parts += lines[first - 1 : node.end_lineno]
    return "".join(parts)


def _binds(node: ast.stmt) -> set[str]:
    """The names of a module that a statement gives a value to, or may change."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, ast.Expr):  # a call, as of a list's append
        return _names_in(node)
    names = set()
    for one in ast.walk(node):
        if isinstance(one, ast.alias):
            names.add(one.asname or one.name.partition(".")[0])
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            names.add(one.id)
        elif isinstance(one, ast.Subscript | ast.Attribute) and isinstance(one.ctx, ast.Store):
            names |= _names_in(one)  # STATE["k"] = 2 and CONFIG.k = 2 change STATE and CONFIG
    return names


def _names_in(node: ast.stmt) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
