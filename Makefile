# make train   a fresh machine: sets up .venv and trains a small language model on Kuhn poker
# make test    a fresh machine: sets up .venv and runs what CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# pip answers from what it finds; it is asked for torch first, because other packages would take
# whichever build of it they meet.
TRAIN := $(VENV)/.train
STAMP := $(VENV)/.installed

.PHONY: train test lint types clean

$(TRAIN): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e '.[train]'
	touch $@

$(STAMP): $(TRAIN)
	$(PIP) -c constraints.txt -e '.[dev]'
	touch $@

train: $(TRAIN)
	$(BIN)/ludus train kuhn-selfplay --resume

test: $(STAMP)
	bash tests/run.sh

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
