"""What tests of the notebooks share: their stubs and folded solutions as functions."""

import json
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def cells(name):
    """The cells of a notebook as (type, text)."""
    content = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    return [(cell["cell_type"], "".join(cell["source"])) for cell in content["cells"]]


def code(name):
    """The texts of a notebook's code cells."""
    return [text for kind, text in cells(name) if kind == "code"]


def stub(name, function):
    """The exercise's function as the notebook leaves it."""
    text = next(text for text in code(name) if f"def {function}(" in text)
    return _defined(text, function, name)


def solution(name, function):
    """The exercise's function as the notebook's folded solution has it."""
    blocks = []
    for kind, text in cells(name):
        if kind == "markdown":
            blocks += re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    text = next(block for block in blocks if f"def {function}(" in block)
    return _defined(text, function, name)


def _defined(text, function, name):
    """The function that a text defines, with the notebook's imports alone around it."""
    lines = [line for cell in code(name) for line in cell.splitlines()]
    imports = [line for line in lines if re.match(r"(import|from) \S", line)]
    # An import over several lines needs none of its names here.
    space = {}
    exec("\n".join(line for line in imports if not line.endswith("(")), space)
    exec(text, space)
    return space[function]
