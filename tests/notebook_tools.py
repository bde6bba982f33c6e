"""What tests of the notebooks share: their stubs and folded solutions as functions."""

import json
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def cells(name):
    """The cells of a notebook as (type, text)."""
    found = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def setup(name):
    """What the solutions may use: the notebook's imports, without running anything else of it."""
    lines = [line for kind, text in cells(name) if kind == "code" for line in text.splitlines()]
    space = {}
    exec("\n".join(line for line in lines if re.match(r"(import|from) \S", line)), space)
    return space


def stub(name, function):
    """The exercise's function as the notebook leaves it."""
    text = next(text for kind, text in cells(name) if kind == "code" and f"def {function}(" in text)
    return _defined(text, function, name)


def solution(name, function):
    """The exercise's function as the notebook's folded solution has it."""
    blocks = [
        block
        for kind, text in cells(name)
        if kind == "markdown"
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    return _defined(next(block for block in blocks if f"def {function}(" in block), function, name)


def _defined(text, function, name):
    space = setup(name)
    exec(text, space)
    return space[function]
