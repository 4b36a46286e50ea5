# Two commands that work on a fresh machine with Python 3.11 and make:
#   make app     builds .venv and opens the dashboard in a browser
#   make test    builds what the tests need and runs everything: lint, types, unit, browser and fault tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
CONSTRAINTS := .ci/constraints.txt
PIP := install --quiet --disable-pip-version-check
.DEFAULT_GOAL := help
.PHONY: help app demo template test lint bench floor clean

help:
	@sed -n 's/^#   //p' Makefile

.venv/.made:
	$(PYTHON) -m venv .venv
	@touch $@

# Torch is the large part: about 200 MB on a CPU, more with CUDA. It is downloaded once.
.venv/.app: .venv/.made pyproject.toml $(CONSTRAINTS)
	@echo "Installing tb_widgets into .venv (the first time takes a minute or two, most of it PyTorch) ..."
	$(BIN)/pip $(PIP) --constraint $(CONSTRAINTS) --editable ".[all]"
	@touch $@

.venv/.test: .venv/.app
	$(BIN)/pip $(PIP) --constraint $(CONSTRAINTS) --editable ".[test]"
	@touch $@

# The Colab-like floor: the oldest widget stack we promise to work in. 1.4 GB and about two minutes, most of it torch.
# No `jupyter nbextension enable` is needed: the wheels of widgetsnbextension, anywidget and plotly enable themselves.
.venv-floor/.made: .ci/constraints-floor.txt pyproject.toml
	@echo "Installing the Colab-like environment into .venv-floor ..."
	$(PYTHON) -m venv --clear .venv-floor
	.venv-floor/bin/pip $(PIP) --constraint .ci/constraints-floor.txt --editable . \
	  notebook ipykernel widgetsnbextension jupyter_server
	.venv-floor/bin/pip check
	@touch $@

#   make app     (PORT=8866 chooses the port, BROWSER=no only serves)
app: .venv/.app
	$(BIN)/tb-widgets app $(if $(PORT),--port $(PORT)) $(if $(filter no,$(BROWSER)),--no-browser)

#   make demo    trains for about a minute in this terminal
demo: .venv/.app
	$(BIN)/tb-widgets demo

#   make template  packs dist/tb_widgets.zip and the notebook that checks a model with it; installs nothing
template:
	$(PYTHON) notebooks/pack.py dist

#   make lint    formatting, lint, types, and the floors that imports must keep
lint: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

floor: .venv-floor/.made

# Two files at a time; what watches the clock has the machine to itself.
test: lint floor
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not (browser or fault or alone)"
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "(browser or fault) and not alone"
	$(BIN)/pytest -q -m alone

#   make bench   the measured promises, each as a ratio within one run; leave the machine idle meanwhile
bench: .venv/.test
	$(BIN)/python -m tests.bench

#   make clean   removes both environments and every cache
clean:
	rm -rf .venv .venv-floor .mypy_cache .ruff_cache .pytest_cache .import_linter_cache test-artifacts
	find . -name __pycache__ -prune -exec rm -rf {} +
