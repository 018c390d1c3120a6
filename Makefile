# make fit    pre-train on the sample archive
# make report compare encoders on the five sample benchmarks, over three seeds
# make fractions  pre-train on two sensors, and compare what shares of the labels are worth
# make compare  pre-train every method alike on the sample, over five seeds, and compare them
# make test   run the tests but the slow ones, with coverage
# make test-all  run all tests, with coverage, and try 100 of the changes of make mutants
# make mutants  change the code in small ways, and fail where fewer than 9 in 10 fail a test: hours
# make lint   format, lint and types
# make docs   build the site of the documentation, docs/_build/html
# ARGS adds arguments: make fit ARGS='--seed_everything 1'

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(shell for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$python && break; done)

.PHONY: fit report compare fractions test test-all mutants lint docs python

# Encoders of the report, as <method>-<seed>; those that are there are not trained again.
ENCODERS := $(foreach method,moco sa_moco saco,$(foreach seed,0 1 2,logs/report/encoders/$(method)-$(seed).ckpt))

PAIRED := $(foreach method,dual_simclr sa_dual,$(foreach seed,0 1 2,logs/fractions/encoders/$(method)-$(seed).ckpt))

fit: $(VENV)/.installed
	$(BIN)/torchgeo fit --config configs/saco.yaml $(ARGS)

report: $(ENCODERS)
	$(BIN)/torchgeo-saco evaluate --config configs/report.yaml $(ARGS)

compare: $(VENV)/.installed
	$(BIN)/torchgeo-saco evaluate --config configs/compare.yaml $(ARGS)

fractions: $(PAIRED)
	$(BIN)/torchgeo-saco evaluate --config configs/fractions.yaml $(ARGS)

logs/fractions/encoders/%.ckpt: | $(VENV)/.installed
	rm -rf logs/fractions/runs/$*
	$(BIN)/torchgeo fit --config configs/fractions/dual_simclr.yaml \
		--config configs/fractions/$(word 1,$(subst -, ,$*)).yaml --seed_everything $(word 2,$(subst -, ,$*)) \
		--trainer.logger.init_args.save_dir logs/fractions/runs --trainer.logger.init_args.name $* \
		--trainer.logger.init_args.version fit
	mkdir -p $(@D) && mv logs/fractions/runs/$*/fit/checkpoints/last.ckpt $@

logs/report/encoders/%.ckpt: | $(VENV)/.installed
	rm -rf logs/report/runs/$*
	$(BIN)/torchgeo fit --config configs/saco.yaml --config configs/report/$(word 1,$(subst -, ,$*)).yaml \
		--seed_everything $(word 2,$(subst -, ,$*)) --trainer.logger.init_args.save_dir logs/report/runs \
		--trainer.logger.init_args.name $* --trainer.logger.init_args.version fit
	mkdir -p $(@D) && mv logs/report/runs/$*/fit/checkpoints/last.ckpt $@

test: $(VENV)/.installed-tests
	$(BIN)/pytest -n 2 -m 'not slow' --cov=torchgeo_saco --cov-report=term --cov-fail-under=95 $(ARGS)

test-all: $(VENV)/.installed-tests
	$(BIN)/pytest -n 2 --cov=torchgeo_saco --cov-report=term --cov-fail-under=98 $(ARGS)
	$(BIN)/python -m tests.mutants --sample 100

mutants: $(VENV)/.installed-tests
	$(BIN)/python -m tests.mutants $(ARGS)

lint: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Warnings are errors. Nothing is fetched, and no notebook is run.
docs: $(VENV)/.installed-docs
	rm -rf docs/_build docs/api
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs . docs/_build/html $(ARGS)

$(VENV)/.installed: pyproject.toml | python
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-tests: pyproject.toml | python
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[tests]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | python
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@ $(VENV)/.installed

python:
	@test -n "$(PYTHON)" || { echo 'torchgeo_saco needs Python 3.12 or newer on the PATH; install one, or run make PYTHON=/path/to/python3.12' >&2; exit 1; }
