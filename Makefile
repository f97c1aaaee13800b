# Two commands do everything on a fresh machine: `make discover` and `make test`.
PYTHON ?= python3
VENV ?= .venv
CONFIG ?= configs/discover/co2_flue_gas.yaml
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: discover test test-slow test-gpu lint types format bench results clean help

help:  ## this page
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / \t/' | expand -t 14

$(BIN)/sorbus: pyproject.toml constraints.txt
	@echo "setting up $(VENV) (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sorbus needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(BIN)/sorbus
	$(PIP) -e '.[dev]'
	@touch $@

discover: $(BIN)/sorbus  ## set up, run the CO2 campaign, print the ranking, write the report; again: resume
	$(BIN)/sorbus discover $(CONFIG)

test: $(VENV)/.dev  ## set up what is missing and run the default tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu"

test-slow: $(VENV)/.dev  ## long and statistical tests
	$(BIN)/python -m pytest -m "slow and not gpu"

test-gpu: $(VENV)/.dev  ## tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/.dev  ## ruff: lint and format check
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy
	$(BIN)/mypy

format: $(VENV)/.dev  ## apply ruff's formatting and safe fixes
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

results: $(BIN)/sorbus  ## write benchmarks/RESULTS.md from benchmarks/results.jsonl
	$(BIN)/python benchmarks/make_results.py

clean:  ## remove the virtual environment and caches (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
