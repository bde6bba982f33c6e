"""Run the notebooks into their one committed form, and keep how many minutes each takes.

python notebooks/run.py                  all, with the preset that each is committed with
python notebooks/run.py 03 05            those whose names contain one of these
python notebooks/run.py --preset smoke   the minutes alone; the notebooks stay as they are
python notebooks/run.py --tidy           the committed form without a run, after an edit of prose
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_TEXT = "A widget: run this cell to use it."
PRESET = re.compile(r'"UKD_PRESET", "(\w+)"')
COLOURS = re.compile(r"\x1b\[[\d;]*m")
# Folders and addresses that no other machine has.
HOMES = "home|root|Users|work|tmp|var|opt|mnt|private|content"
TRACES = re.compile(rf"(?<![\w/.:])/(?:{HOMES})/\w[^\s'\"]*|\b[A-Z]:\\\w+|\bat 0x[0-9a-f]{{6,}}")


def default_preset(notebook: NotebookNode) -> str:
    """The preset that a notebook is committed with. Raises ValueError without a parameters cell."""
    for cell in notebook.cells:
        match = PRESET.search(cell.source)
        if match and "parameters" in cell.metadata.get("tags", []):
            return match[1]
    raise ValueError('no cell tagged `parameters` has os.environ.get("UKD_PRESET", ...)')


def execute(path: Path, cache: Path, preset: str | None = None) -> NotebookNode:
    """A notebook run in a fresh kernel, in the committed form; its file stays as it is.

    Raises ValueError for an error and, in a committed preset, for a folder of this machine.
    """
    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {
        "UKD_CACHE": f"{cache}/cache",
        "UKD_RUNS": f"{cache}/runs/{path.stem}",
        "UKD_QUIET": "1",
        "UKD_PRESET": preset or default_preset(notebook),
    }
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=resources)
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        raise ValueError(f"{path.name}: {COLOURS.sub('', str(error))}") from None
    # A preset that is only measured may warn, with the path of the code that does.
    problems = errors(notebook) + ([] if preset else traces(notebook))
    if problems:
        raise ValueError(f"{path.name}: {'; '.join(problems)}")
    return normalise(notebook)


def errors(notebook: NotebookNode) -> list[str]:
    """Errors in cells, and in the widgets that they show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    widgets = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for widget in widgets.values():
        outputs += widget["state"].get("outputs", [])
    failed = [output for output in outputs if output["output_type"] == "error"]
    return [f"{output['ename']}: {output['evalue']}" for output in failed]


def traces(notebook: NotebookNode) -> list[str]:
    """Folders and memory addresses of this machine in the outputs."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            texts = [output.get("text", "")]
            texts += [text for kind, text in output.get("data", {}).items() if "text/" in kind]
            for text in texts:
                found += [f"cell {number} prints {trace!r}" for trace in TRACES.findall(text)]
    return found


def normalise(notebook: NotebookNode) -> NotebookNode:
    """The committed form, in place: ids c00, c01, ...; no times, versions or widget states."""
    notebook.nbformat_minor = 5
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
    return notebook


def _join_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring prints in one piece, and a line in place of a widget, whose id is random."""
    joined: list[NotebookNode] = []
    streams: dict[str, NotebookNode] = {}
    for output in outputs:
        if output.output_type == "stream":
            if output.name in streams:
                streams[output.name].text += output.text
                continue
            streams[output.name] = output
        else:
            streams = {}
            if WIDGET in output.get("data", {}):
                output.data = nbformat.from_dict({"text/plain": WIDGET_TEXT})
        joined.append(output)
    return joined


def text_of(notebook: NotebookNode) -> str:
    """The content of a notebook's file."""
    return nbformat.writes(notebook) + "\n"


def run(paths: list[Path], preset: str | None = None) -> None:
    """Run notebooks in order from one empty cache; keep minutes, and outputs unless preset is set.

    So a teacher is made by the first notebook that needs it. Raises ValueError that names every
    notebook that failed; then no file is written.
    """
    contents: dict[Path, str] = {}
    minutes: dict[str, dict[str, float]] = {}
    failed = []
    with tempfile.TemporaryDirectory() as cache:
        for path in paths:
            start = time.perf_counter()
            try:
                notebook = execute(path, Path(cache), preset)
            except ValueError as error:
                failed.append(str(error))
                continue
            name = preset or default_preset(notebook)
            minutes[path.stem] = {name: round((time.perf_counter() - start) / 60, 2)}
            print(f"{path.name}, {name}: {minutes[path.stem][name]} minutes", flush=True)
            if preset is None:
                contents[path] = text_of(notebook)
    if failed:
        raise ValueError("\n\n".join(failed))
    for path, content in contents.items():
        path.write_text(content, encoding="utf-8")
    _keep_minutes(paths[0].parent, minutes)


def _keep_minutes(folder: Path, minutes: dict[str, dict[str, float]]) -> None:
    path = folder / "minutes.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, values in minutes.items():
        known[name] = known.get(name, {}) | values
    kept = {name: known[name] for name in sorted(known) if (folder / f"{name}.ipynb").is_file()}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 if all notebooks ran, else 1."""
    parser = argparse.ArgumentParser(description="Run the notebooks into their committed form.")
    parser.add_argument("names", nargs="*", help="parts of file names; by default all notebooks")
    parser.add_argument("--preset", help="measure this preset; the notebooks stay as they are")
    parser.add_argument("--tidy", action="store_true", help="the committed form without a run")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the notebooks")
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("*.ipynb"))
    if options.names:
        paths = [path for path in paths if any(name in path.name for name in options.names)]
    if not paths:
        parser.error(f"no notebook in {options.folder} is called so")
    if options.tidy:
        for path in paths:
            path.write_text(text_of(normalise(nbformat.read(path, 4))), encoding="utf-8")
        return 0
    try:
        run(paths, options.preset)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
