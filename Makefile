# Everything starts here: make demo, make ui, make test, make check. Each is safe to run twice.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
EXAMPLES := $(VENV)/examples

.PHONY: demo ui test strangers examples browser kills check format lint types contracts docs docs-check bench clean

demo: $(VENV)/.ready
	$(BIN)/conversation-pipeline demo

ui: $(VENV)/.ready
	$(BIN)/conversation-pipeline demo --ui

test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest

check: $(VENV)/.ready-dev lint types contracts docs-check test

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.ready-dev
	$(BIN)/mypy

contracts: $(VENV)/.ready-dev
	$(BIN)/lint-imports

docs: $(VENV)/.ready-dev
	$(BIN)/python docs/generate.py

docs-check: $(VENV)/.ready-dev
	$(BIN)/python docs/generate.py --check

strangers: $(VENV)/.ready-strangers
	$(BIN)/python -m pytest -m strangers conversation_pipeline_tests/strangers

# The report in headless Chromium, which has to be there: apt-get install -y chromium.
browser: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -m browser conversation_pipeline_tests/browser

# A backfill that is killed fifty times at random moments: some minutes.
kills: $(VENV)/.ready-dev
	$(BIN)/python -m conversation_pipeline_tests.pipeline.random_kills 50

examples: $(EXAMPLES)/.ready
	$(EXAMPLES)/bin/python -m pytest -m examples conversation_pipeline_tests/examples

bench: $(VENV)/.ready-dev
	$(BIN)/python -m benchmarks.saturation

# The environment: made when missing, made again when what it should hold has changed.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.ready-strangers: $(VENV)/.ready-dev conversation_pipeline_tests/strangers/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-r conversation_pipeline_tests/strangers/requirements.txt
	@touch $@

# An environment of its own: dbt-core wants an older pathspec than mypy.
$(EXAMPLES)/.ready: $(VENV)/.ready examples/constraints.txt
	@test -x $(EXAMPLES)/bin/python || $(PYTHON) -m venv $(EXAMPLES)
	$(EXAMPLES)/bin/python -m pip install --quiet --disable-pip-version-check -c examples/constraints.txt \
		-e '.[examples]' hypothesis pytest pytest-timeout pytest-xdist
	@touch $@

clean:
	rm -rf $(VENV) data .dagster .tmp_dagster_home_*
