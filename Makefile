# Every target makes .venv and installs what is missing. A second call installs nothing.
PYTHON ?= python3
TASKS ?=
BIN := .venv/bin
READY := .venv/ready
BROWSER := .venv/browser
CLUSTER := .venv/cluster
INSTALL := -m pip install --quiet --disable-pip-version-check
# Two processes for the tests. The notebooks follow in one: kernels that start at the same moment can
# take the same port, and then hang.
PARALLEL := -n 2

.PHONY: help reproduce test test-quick test-all test-browser test-floors lint lab notebooks clean

help:
	@echo "make reproduce     a teacher, its heads, seven BiLSTM students; table, figures, what was found"
	@echo "                   (TASKS=acceptability,similarity for students of four transformer layers)"
	@echo "make test          doctor, lint, all tests but the longest, the notebooks' outputs"
	@echo "make test-quick    tests without training, in less than 90 seconds"
	@echo "make test-all      all tests, with those of pretraining, grammars, benchmarks and dask"
	@echo "make test-browser  every notebook in JupyterLab in Chromium, or the browser UKD_BROWSER names"
	@echo "make test-floors   the tests on the lowest versions that pyproject.toml admits"
	@echo "make lint          format, complexity and the order of imports"
	@echo "make lab           JupyterLab on notebooks/"
	@echo "make notebooks     run the notebooks anew and keep their outputs"
	@echo "make clean         remove .venv, the cache and new runs"

$(READY): pyproject.toml constraints.txt
	@echo "Installing the kit and its tools into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

reproduce: $(READY)
	$(BIN)/ukd reproduce --preset cpu $(if $(TASKS),--tasks $(TASKS),--scenario first-look)

# One thread each: two processes share the cores already.
test test-quick test-all: export OMP_NUM_THREADS = 1
test test-all: export UKD_PRESET = smoke
test test-quick test-all: export UKD_QUIET = 1
test: $(READY) lint
	@echo "What this machine has:"
	@$(BIN)/ukd doctor
	@echo "Tests, without the longest ones (make test-all):"
	@$(BIN)/python -m pytest $(PARALLEL) -m "not long" tests
	@echo "Outputs of the notebooks:"
	@$(BIN)/python -m pytest --nbval notebooks

test-quick: $(READY)
	@echo "Tests that train nothing:"
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not long" tests

test-all: $(CLUSTER) lint
	@$(BIN)/ukd doctor
	@echo "All tests:"
	@$(BIN)/python -m pytest $(PARALLEL) tests
	@echo "Outputs of the notebooks:"
	@$(BIN)/python -m pytest --nbval notebooks

$(CLUSTER): $(READY)
	@echo "Installing dask.distributed into .venv"
	@$(BIN)/python $(INSTALL) --constraint constraints.txt --editable '.[dev,cluster]'
	@touch $(CLUSTER)

$(BROWSER): $(READY)
	@echo "Installing playwright into .venv"
	@$(BIN)/python $(INSTALL) --constraint constraints.txt --editable '.[dev,browser]'
	@touch $(BROWSER)

test-browser: $(BROWSER)
	$(BIN)/python -m pytest tests/test_browser.py

test-floors: pyproject.toml
	$(PYTHON) -m venv .venv-floors
	.venv-floors/bin/python tests/floors.py > .venv-floors/floors.txt
	.venv-floors/bin/python $(INSTALL) --constraint .venv-floors/floors.txt --editable '.[dev]'
	.venv-floors/bin/python -m pytest $(PARALLEL) -m "not long" tests

lint: $(READY)
	@echo "Format, complexity and the order of imports:"
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/lint-imports --no-logo

lab: $(READY)
	$(BIN)/jupyter lab --ip 127.0.0.1 notebooks

notebooks: $(READY)
	$(BIN)/python notebooks/run.py --preset smoke
	$(BIN)/python notebooks/run.py
	$(BIN)/ukd verify --write

clean:
	rm -rf .venv .venv-floors .ukd runs
