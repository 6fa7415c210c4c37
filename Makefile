# `make demo` and `make test` set everything up themselves; a second call installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto

FAULTS_MINUTES ?= 28
FAULTS_SEED ?= 0

.PHONY: demo test faults check lint format types floors docs clean

demo: $(VENV)/.installed
	$(BIN)/xeval demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS)

# Thousands of kills, failing system calls, damaged units and malformed inputs; the counts go to docs/faults.md.
faults: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 0 -m slow tests/faults --faults-counts docs/faults.md \
		--faults-minutes $(FAULTS_MINUTES) --faults-seed $(FAULTS_SEED)

check: lint types floors

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

floors: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# A local folder of wheels (PIP_FIND_LINKS) goes first. Without one and without a GPU, uv fetches the CPU build of
# torch, a tenth of the default one's size; where that fails, the default build serves as well.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "xeval needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@if [ -z "$$PIP_FIND_LINKS" ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
		$(BIN)/python -m pip install --quiet uv && \
		VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --torch-backend=cpu --constraint constraints.txt torch || \
		echo "the CPU build cannot be had; taking the default one"; \
	fi
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/tasks.py
	$(BIN)/python docs/api.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
