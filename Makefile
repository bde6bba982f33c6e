# Every target makes .venv and installs what is missing; a second call installs nothing.
PYTHON ?= python3
TASKS ?=
BIN := .venv/bin
READY := .venv/ready
BROWSER := .venv/browser

.PHONY: help reproduce test test-browser test-floors lab notebooks clean

help:
	@echo "make reproduce    teacher, pseudo classifiers, students over three seeds; table and figures (TASKS=all for all five tasks)"
	@echo "make test         all tests and the notebooks' outputs"
	@echo "make test-browser every notebook in JupyterLab in a browser: Chromium, or the one that UKD_BROWSER names"
	@echo "make test-floors  the same tests on the lowest versions that pyproject.toml admits"
	@echo "make lab          JupyterLab on notebooks/"
	@echo "make notebooks    run the notebooks anew and keep their outputs and minutes"
	@echo "make clean        remove .venv, cache and new runs"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

reproduce: $(READY)
	$(BIN)/ukd reproduce --profile cpu $(if $(TASKS),--tasks $(TASKS))

test: export UKD_PROFILE = smoke
test: $(READY)
	$(BIN)/ukd doctor
	$(BIN)/python -m pytest --nbval tests notebooks

$(BROWSER): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,browser]'
	@touch $(BROWSER)

test-browser: $(BROWSER)
	$(BIN)/python -m pytest tests/test_browser.py

test-floors: pyproject.toml
	$(PYTHON) -m venv .venv-floors
	.venv-floors/bin/python tests/floors.py > .venv-floors/floors.txt
	.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-floors/floors.txt --editable '.[dev]'
	.venv-floors/bin/python -m pytest tests

lab: $(READY)
	$(BIN)/jupyter lab --ip 127.0.0.1 notebooks

notebooks: $(READY)
	$(BIN)/ukd notebooks --run --profile smoke
	$(BIN)/ukd notebooks --run
	$(BIN)/ukd rebuild

clean:
	rm -rf .venv .venv-floors .ukd runs
