# Two commands set everything up on a machine with Python and make: `make demo` and `make test`.
# Each installs only what it needs into .venv, once; PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LATEST ?= python3.12
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo segmentation clouds check test test-latest zoo bench bench-gpu stress lint notebooks docs dist lock locked clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.experiments  ## relevance of both halves of real digits: train, explain, draw (about a minute)
	$(BIN)/python -m experiments.digits

segmentation: $(VENV)/.experiments  ## does radar take over under clouds? a U-Net, pixel by pixel (some minutes)
	$(BIN)/python -m experiments.segmentation demo

clouds: $(VENV)/.clouds  ## a trained cloud-mask network on a real image: which band speaks (some minutes)
	$(BIN)/python -m experiments.clouds

# Rooms that need no data set, no framework and no child process; `slow` ones of them are left out.
CHECKED := tests/core tests/house tests/plot tests/rules tests/runs tests/transforms tests/util tests/test_*.py

check: lint  ## lint, types, and the tests of the engine: for the working day (some three minutes)
	$(BIN)/python -m pytest -n auto -m "not slow and not long" $(CHECKED)

test: $(VENV)/.test $(VENV)/.bigearthnet-common  ## the test suite, doctests included; what is marked long is left to `make stress`
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-latest: .venv-latest/.test  ## the suite on Python 3.12 and the newest JAX (LATEST=path/to/python3.12)
	.venv-latest/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Those of PyTorch and ONNX need the extra zoo-torch: docs/zoo.md.
zoo: $(VENV)/.test  ## architectures of six JAX frameworks: coverage, conservation, RFP = LRP (long)
	$(BIN)/python -m benchmarks.zoo --only linen nnx equinox haiku keras ours --float64

bench: $(VENV)/.test  ## time relevance beside the forward pass and its peers (long; REFERENCE=clone)
	$(BIN)/python -m benchmarks $(if $(REFERENCE),--reference $(REFERENCE))

bench-gpu: $(VENV)/.test  ## speed, precision and batches on one accelerator (JAX's build for it in .venv)
	$(BIN)/python -m benchmarks.gpu

stress: $(VENV)/.test $(VENV)/.tutorials $(VENV)/.aeon  ## the tests marked long, and the long forms of the fault-injection tests
	$(BIN)/python -m pytest tests/stress
	$(BIN)/python -m pytest -m long

lint: $(VENV)/.test  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

TUTORIALS = $(wildcard docs/tutorials/*.py)

notebooks: $(VENV)/.test $(VENV)/.tutorials $(VENV)/.aeon  ## run notebooks and tutorials, in step with their text forms
	$(BIN)/jupytext --quiet --sync experiments/notebooks/*.py
	$(BIN)/jupytext --quiet --to ipynb $(TUTORIALS)
	$(BIN)/jupyter-execute --inplace experiments/mnist.ipynb experiments/regression.ipynb
	PYTHONWARNINGS="ignore:IProgress not found" $(BIN)/jupyter-execute --inplace $(TUTORIALS:.py=.ipynb)
	$(BIN)/python docs/gallery.py

# without --quiet, which would silence --strict
docs: $(VENV)/.docs  ## build the documentation, strictly, into site/
	$(BIN)/python docs/check_public.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "documentation: site/index.html"

dist: $(VENV)/.test  ## build wheel and source distribution, check them, run the first example from each
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	@for built in dist/*.whl dist/*.tar.gz; do \
	  echo "the first example from $$built, with what it asks for and no extra" && \
	  $(PYTHON) -m venv --clear .venv-dist && \
	  .venv-dist/bin/python -m pip install --quiet --disable-pip-version-check \
	    "$$built" --constraint constraints.txt && \
	  $(BIN)/python tests/house/first_example.py > .venv-dist/first_example.py && \
	  (cd .venv-dist && bin/python first_example.py) || exit 1; \
	done
	@ls -sh dist/*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rfp_jax needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per extra: a second call finds it and starts at once.
$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing rfp-jax[$*] into $(VENV) ..."
	@$(PIP) --editable '.[$*]' --constraint constraints.txt
	@touch $@

# Data files of these are read; what they require is not needed and does not fit our pins.
FILES := $(VENV)/.aeon $(VENV)/.bigearthnet-common
$(FILES): $(VENV)/.%: constraints.txt | $(BIN)/python
	@$(PIP) --no-deps $* --constraint constraints.txt
	@touch $@

# The newest of everything, but torch: a newer one would come with gigabytes of CUDA.
.venv-latest/.test: pyproject.toml constraints.txt
	@$(LATEST) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
	  { echo "Python 3.12 was not found: make test-latest LATEST=path/to/python3.12"; exit 1; }
	$(LATEST) -m venv .venv-latest
	@grep '^torch==' constraints.txt > .venv-latest/torch.txt
	@.venv-latest/bin/python -m pip install --quiet --upgrade --editable '.[test]' \
	  --constraint .venv-latest/torch.txt
	@touch $@

lock: $(VENV)/.test $(VENV)/.docs $(VENV)/.tutorials $(FILES)  ## write the versions installed now to constraints.txt, and their hashes to requirements.lock
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	@$(PIP) uv
	echo editables | $(BIN)/uv pip compile pyproject.toml - --extra test --extra docs --extra tutorials \
	  --constraint constraints.txt --universal --python-version 3.11.5 --generate-hashes \
	  --no-annotate --no-header --quiet --output-file requirements.lock

# Files of the package index alone, so PyTorch comes with CUDA.
locked: requirements.lock | $(BIN)/python  ## install what tests, docs and tutorials need, each file checked by its hash
	$(PIP) --require-hashes --no-deps --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.experiments $(VENV)/.clouds $(VENV)/.test $(VENV)/.docs $(VENV)/.tutorials

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) .venv-latest .venv-dist dist site .pytest_cache .ruff_cache .hypothesis
