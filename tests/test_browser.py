"""Every notebook in JupyterLab in a real browser: all cells run, and a slider moves its figure.

Needs playwright (`make test-browser` installs it) and Chromium, or the browser that UKD_BROWSER
names; skipped where one is missing.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from notebook_tools import PATHS

from notebooks import run as runner

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: see `make test-browser`"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = os.environ.get("UKD_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
REASON = "no Chromium found: install one, or set UKD_BROWSER to its path"
pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.skipif(not BROWSER, reason=REASON)]
FAILURES = """[...document.querySelectorAll(
    '[data-mime-type$=".error"], [data-mime-type$=".stderr"]')]
    .map(output => output.textContent)
    .filter(text => text.includes('Traceback (most recent call last)'))"""
FINISHED = """[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
    .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"""
SHOWN = """slider => [...slider.closest('.jp-CodeCell')
    .querySelectorAll('img, .jp-RenderedText, .jp-RenderedHTMLCommon')]
    .map(part => part.src || part.textContent).join()"""
MINUTES = 3 * 60_000  # the longest wait, in milliseconds
SETTINGS = "lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"


class Lab:
    """A JupyterLab that works on copies of notebooks, whose cells have not been run yet."""

    def __init__(self, folder):
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir()
        settings = folder / "config" / SETTINGS
        settings.parent.mkdir(parents=True)
        # All cells stay in the page, wherever one has scrolled to.
        settings.write_text(json.dumps({"windowingMode": "none"}))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.token, self.url = secrets.token_hex(16), f"http://127.0.0.1:{port}"
        options = {
            "ip": "127.0.0.1",
            "port": port,
            "ServerApp.port_retries": 0,
            "IdentityProvider.token": self.token,
            "ServerApp.root_dir": self.notebooks,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        }
        own = {
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "UKD_PRESET": "smoke",
        }
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            *(f"--{name}={options[name]}" for name in options),
        ]
        self.log = (folder / "log.txt").open("w")
        self.process = subprocess.Popen(
            command, env=os.environ | own, stdout=self.log, stderr=subprocess.STDOUT
        )

    def ask(self, path, method="GET"):
        """The server's answer to a request of its interface; None while it does not answer."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            method=method,
            headers={"Authorization": f"token {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read() or "null")
        except OSError:
            return None

    def wait(self):
        """Return once the server answers."""
        for _ in range(600):
            assert self.process.poll() is None, f"JupyterLab has ended: see {self.log.name}"
            if self.ask("status"):
                return
            time.sleep(0.2)
        raise AssertionError(f"JupyterLab does not answer: see {self.log.name}")

    def add(self, path):
        """Copy a notebook without its outputs; returns how many of its cells showed widgets."""
        notebook = nbformat.read(path, as_version=4)
        widgets = 0
        for cell in notebook.cells:
            if cell.cell_type == "code":
                shown = [output.get("data", {}).get("text/plain") for output in cell.outputs]
                widgets += runner.WIDGET_TEXT in shown
                cell.execution_count, cell.outputs = None, []
        nbformat.write(notebook, self.notebooks / path.name)
        return widgets

    def stop(self):
        """End the server, and with it its kernels."""
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One server for all notebooks."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def browser():
    """One browser for all notebooks."""
    with playwright.sync_playwright() as started:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        running = started.chromium.launch(executable_path=BROWSER, args=["--disable-gpu", *root])
        yield running
        running.close()


def visit(path, lab, browser, question=FAILURES):
    """Open a notebook, run all cells, move its sliders. Returns the errors that cells show.

    question: asked of the page at the end, in place of the errors.
    """
    widgets, page = lab.add(path), browser.new_page(viewport={"width": 1400, "height": 1000})
    try:
        page.goto(f"{lab.url}/lab/tree/{path.name}?token={lab.token}&reset", timeout=MINUTES)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=MINUTES)
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        page.wait_for_function(f"{FAILURES}.length || {FINISHED}", timeout=MINUTES)
        if failed := page.evaluate(FAILURES):
            return failed
        holders = page.locator(".jp-CodeCell:has(.jupyter-widgets)")
        if widgets:
            holders.nth(widgets - 1).wait_for(timeout=MINUTES)
        assert holders.count() == widgets, "cells with widgets, in the browser and as committed"
        for number in range(widgets):
            move_a_slider(page, holders.nth(number))
        return page.evaluate(question)
    finally:
        page.close()
        for kernel in lab.ask("kernels") or []:
            lab.ask(f"kernels/{kernel['id']}", "DELETE")


def move_a_slider(page, holder):
    """Press a key on the cell's first slider, if there is one, and wait until the cell changes."""
    if not holder.get_by_role("slider").count():
        return
    slider = holder.get_by_role("slider").first
    before = slider.evaluate(SHOWN)
    low, now = (float(slider.get_attribute(name)) for name in ("aria-valuemin", "aria-valuenow"))
    slider.press("ArrowLeft" if now > low else "ArrowRight")
    page.wait_for_function(
        f"([slider, before]) => ({SHOWN})(slider) !== before",
        arg=[slider.element_handle(), before],
        timeout=MINUTES,
    )


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in PATHS])
def test_a_notebook_runs_in_the_browser_and_its_sliders_move_what_they_should(path, lab, browser):
    assert visit(path, lab, browser) == []


def test_a_sentence_with_a_script_tag_is_shown_as_text(lab, browser, tmp_path):
    shown = [nbformat.v4.new_output("display_data", {"text/plain": runner.WIDGET_TEXT})]
    text = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    code = (
        "import torch\nfrom ukd.teaching import example_maps\n"
        f"example_maps(torch.full((2, 1, 2), 0.5), 2 * [{text!r}])"
    )
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code, outputs=shown)])
    nbformat.write(runner.normalise(made), tmp_path / "script.ipynb")
    question = f"[window.hacked || 0, document.body.innerText.includes({json.dumps(text)})]"
    assert visit(tmp_path / "script.ipynb", lab, browser, question) == [0, True]


def test_cells_that_fail_and_sliders_that_fail_when_moved_are_seen(lab, browser, tmp_path):
    shown = [nbformat.v4.new_output("display_data", {"text/plain": runner.WIDGET_TEXT})]
    slider = "from ipywidgets import interactive\ninteractive(lambda x: print({}), x=(1, 3))"
    for name, code in (
        ("fine", slider.format("2 / x")),
        ("moved", slider.format("2 / (x - 1)")),
        ("cell", "1 / 0"),
    ):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code, outputs=shown)])
        nbformat.write(runner.normalise(made), tmp_path / f"{name}.ipynb")
    assert visit(tmp_path / "fine.ipynb", lab, browser) == []
    for name in ("moved", "cell"):
        failed = visit(tmp_path / f"{name}.ipynb", lab, browser)
        assert any("ZeroDivisionError" in text for text in failed)
