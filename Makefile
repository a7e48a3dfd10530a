# Two commands set everything up on a machine with Python and make: `make demo` and `make test`.
# Each installs only what it needs into .venv, once; PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.experiments  ## relevance of both halves of real digits: train, explain, draw (about a minute)
	$(BIN)/python -m experiments.digits

test: $(VENV)/.test  ## the whole test suite, doctests included
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.test  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.docs  ## build the documentation, strictly, into site/
	$(BIN)/python docs/check_public.py
	$(BIN)/mkdocs build --strict --quiet
	@echo "documentation: site/index.html"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rfp_jax needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per extra: a second call finds it and starts at once.
$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing rfp-jax[$*] into $(VENV) ..."
	@$(PIP) --editable '.[$*]' --constraint constraints.txt
	@touch $@

lock: $(VENV)/.test $(VENV)/.docs  ## write the versions installed now to constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) site .pytest_cache .ruff_cache .hypothesis
