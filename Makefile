# make fit    pre-train on the sample archive
# make test   run all tests, with coverage
# make lint   format, lint and types
# ARGS adds arguments: make fit ARGS='--seed_everything 1'

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(shell for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$python && break; done)

.PHONY: fit test lint python

fit: $(VENV)/.installed
	$(BIN)/torchgeo fit --config configs/saco.yaml $(ARGS)

test: $(VENV)/.installed-tests
	$(BIN)/pytest -n 2 --cov=torchgeo_saco --cov-report=term --cov-fail-under=95 $(ARGS)

lint: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml | python
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-tests: pyproject.toml | python
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[tests]'
	touch $@ $(VENV)/.installed

python:
	@test -n "$(PYTHON)" || { echo 'torchgeo_saco needs Python 3.12 or newer on the PATH; install one, or run make PYTHON=/path/to/python3.12' >&2; exit 1; }
