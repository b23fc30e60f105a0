# Needs Python 3.11 or newer with pip, make, and a C++ compiler (one comes from PyPI where there is none).
# Every target makes its own virtual environment in .venv first; `make test PYTHON=python3.12` picks the Python for it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow mutation bench boards lint format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.demo  ## classify handwritten digits on the simulated fabric
	$(BIN)/python -m celosia.host.demo

test: lint  ## lint, types, fast tests
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

test-slow: lint  ## lint, types, every test
	$(BIN)/python -m pytest -n $(WORKERS)

mutation: $(VENV)/.dev  ## faults planted in the gateware, and how many the tests find; writes tests/mutation/REPORT.md
	$(BIN)/python -m tests.mutation --workers $(WORKERS)
	$(BIN)/python -m tests.levels --write

bench: $(VENV)/.dev  ## cycles, time and speed of the four MLPerf Tiny models; writes bench.json
	$(BIN)/python -m tests.bench

boards: $(VENV)/.dev  ## a bitstream for every board, an hour or two; writes boards/measured.json and the README's table
	$(BIN)/celosia boards --measure
	$(BIN)/celosia boards --readme README.md

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## put the code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the other targets made, the virtual environment too
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment; where Python comes without ensurepip, as Debian's does, its own pip puts pip there.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Celosia needs Python 3.11 or newer, not " + sys.version.split()[0] + ": make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $@ install pip; } || { rm -rf $(VENV); exit 1; }

# A stamp says that the environment holds what pyproject.toml asks for.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.demo
