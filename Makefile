# One command on a fresh machine with Python >= 3.11: each target makes .venv when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo

.PHONY: demo test test-slow check docs explore clean

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[app,dev,docs,fast,train]'
	touch $@

demo: $(VENV)/.installed  ## dissect a bundled generator and print the path of the report
	$(BIN)/gandissect dissect dcgan-scenes64 --segmenter unet-scenes --num-samples 1000 --out $(OUT)

test: $(VENV)/.installed  ## the default tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/.installed  ## all tests, including slow ones
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'slow or not slow'

check: $(VENV)/.installed  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed  ## build the documentation site into site/ and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

explore: $(VENV)/.installed  ## open the explorer page
	$(BIN)/gandissect explore

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
