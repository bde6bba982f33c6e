"""The notebooks: run anew into their one committed form, and timed; `ukd notebooks --run`."""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from ukd.config import say

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py", "mimetype": "text/x-python", "name": "python",
    "nbconvert_exporter": "python", "pygments_lexer": "ipython3",
}  # fmt: skip
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGETS = "A widget: run this cell to use it."
IGNORED = "nbval-ignore-output"
FOLDERS = "home|root|Users|work|tmp|var|opt|mnt|private|content"
HERE_ALONE = re.compile(rf"(?<![\w/.:])/(?:{FOLDERS})/\w[^\s'\"]*|\b[A-Z]:\\\w+|\bat 0x[0-9a-f]{{6,}}")


def found(folder: Path, names: list[str] | None = None) -> list[Path]:
    """The notebooks of a folder in their order, or those whose file names contain one of `names`. Raises ValueError if there is none."""
    paths = [path for path in sorted(folder.glob("*.ipynb")) if not names or any(name in path.name for name in names)]
    if not paths:
        raise ValueError(f"no notebook in {folder}" + (f" has one of these in its name: {', '.join(names)}" if names else ""))
    return paths


def read(path: Path) -> NotebookNode:
    """A notebook as its cells."""
    return nbformat.read(path, as_version=4)


def text(notebook: NotebookNode) -> str:
    """What a notebook's file holds."""
    return nbformat.writes(notebook) + "\n"


def canonical(notebook: NotebookNode) -> NotebookNode:
    """The committed form: ids c00, c01, ...; no times, no widgets' state, no version of this machine, neighbouring prints in one piece."""
    made = copy.deepcopy(notebook)
    made.nbformat, made.nbformat_minor = 4, 5
    made.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for number, cell in enumerate(made.cells):
        cell.id = f"c{number:02d}"
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in ("tags", "jupyter") if cell.metadata.get(key)})
        if cell.cell_type == "code":
            cell.outputs = _outputs(cell.outputs)
    return made


def _outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Streams that follow each other become one each; a widget, whose id is drawn anew each time, a line that names it."""
    kept, near = [], {}
    for output in outputs:
        if output.output_type == "stream":
            if output.name in near:
                near[output.name].text += output.text
                continue
            near[output.name] = output
        else:
            near = {}
            if WIDGET in output.get("data", {}):
                output.data = nbformat.from_dict({"text/plain": WIDGETS})
        kept.append(output)
    return kept


def default_profile(notebook: NotebookNode) -> str:
    """The profile that the parameters cell takes where `UKD_PROFILE` is unset: the committed form's. Raises ValueError without one."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []) and (match := re.search(r'"UKD_PROFILE", "(\w+)"', cell.source)):
            return match[1]
    raise ValueError('no cell tagged `parameters` says os.environ.get("UKD_PROFILE", ...)')


def errors(notebook: NotebookNode) -> list[str]:
    """What went wrong in cells, and inside the widgets that they show."""
    cells = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    models = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {}).values()
    shown = [output for model in models for output in model["state"].get("outputs", [])]
    return [f"{output['ename']}: {output['evalue']}" for output in cells + shown if output["output_type"] == "error"]


def traces(notebook: NotebookNode) -> list[str]:
    """What outputs tell of this machine alone: folders, addresses in memory."""
    said = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            words = [output.get("text", ""), *(value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))]
            said += [f"cell {number} prints {match!r}" for word in words for match in HERE_ALONE.findall(word)]
    return said


def executed(path: Path, home: Path, profile: str | None = None) -> NotebookNode:
    """A notebook run with `profile` or its own default, cache and runs in `home`, in the committed form; the file stays as it is.

    Progress lines are silenced. Raises ValueError for an error and, without `profile`, for outputs that no other machine would give.
    """
    notebook = read(path)
    environment = os.environ | {"UKD_CACHE": f"{home}/cache", "UKD_RUNS": f"{home}/runs/{path.stem}", "UKD_QUIET": "1"}
    environment["UKD_PROFILE"] = profile or default_profile(notebook)
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if wrong := errors(notebook) + ([] if profile else traces(notebook)):
        raise ValueError(f"{path.name}: {'; '.join(wrong)}")
    return canonical(notebook)


def run(paths: list[Path], profile: str | None = None) -> None:
    """Run notebooks in order from one empty cache, so that a teacher is made by the first that needs it; once all have succeeded, keep
    their minutes and, unless a `profile` is given, their outputs."""
    made, minutes = {}, {}
    with tempfile.TemporaryDirectory() as home:
        for path in paths:
            start = time.perf_counter()
            made[path] = text(executed(path, Path(home), profile))
            name, taken = profile or default_profile(read(path)), round((time.perf_counter() - start) / 60, 2)
            minutes[path.stem] = {name: taken}
            say(f"{path.name}, {name}: {taken} minutes")
    known = {name: kept for name, kept in measured(paths[0].parent).items() if (paths[0].parent / f"{name}.ipynb").is_file()}
    merged = {name: known.get(name, {}) | minutes.get(name, {}) for name in sorted({*known, *minutes})}
    writing = ({} if profile else made) | {paths[0].parent / "minutes.json": json.dumps(merged, indent=1) + "\n"}
    for path, content in writing.items():
        path.with_name(f".{path.name}").write_text(content, encoding="utf-8")
    for path in writing:
        path.with_name(f".{path.name}").replace(path)


def measured(folder: Path) -> dict[str, dict[str, float]]:
    """Minutes of each notebook by profile, as last run."""
    path = folder / "minutes.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def compared(notebook: NotebookNode) -> int:
    """How many cells have printed something that nbval compares: no tag, and not pictures alone."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and IGNORED not in cell.metadata.get("tags", [])]
    return sum(any("image/png" not in output.get("data", {}) for output in cell.outputs) for cell in cells)
