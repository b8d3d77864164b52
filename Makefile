# Few verbs. Each makes the virtual environment it needs and nothing outside this folder.
# PYTHON chooses the interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Commands of the demo keep their data here, away from a home in use.
DEMO_HOME ?= $(CURDIR)/.gristmill/demo
QUESTION ?= how are retries bounded?

# What was compiled and rewritten once is found by the next process and the next run.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test cover check bench chaos overshoot live pages clean lock

help:  ## What can be done
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /	/' | expand -t 10

demo: $(VENV)/.installed  ## Install, ingest the sample documents, ask them a question
	@GRISTMILL_HOME=$(DEMO_HOME) $(BIN)/gristmill ingest samples/documents --collection samples \
		|| test $$? -eq 3  # a scan has no text: published, and said to be incomplete
	@echo
	@GRISTMILL_HOME=$(DEMO_HOME) $(BIN)/gristmill search "$(QUESTION)" --collection samples --limit 3
	@echo
	@GRISTMILL_HOME=$(DEMO_HOME) $(BIN)/gristmill costs

test: check  ## Lint, types, import rules, and every test (under 5 minutes)
	$(BIN)/pytest --numprocesses logical --dist worksteal

cover: $(VENV)/.developed  ## Every test, and which lines none of them runs (half as long again)
	$(BIN)/pytest --numprocesses logical --dist worksteal --cov --cov-report term:skip-covered

check: $(VENV)/.developed  ## Lint, types and import rules only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.developed  ## Measure; prints ratios against a baseline of the same run
	$(BIN)/python -m benchmarks

chaos: $(VENV)/.developed  ## Random kill -9, outages and switches, with the calls counted (minutes)
	$(BIN)/pytest tests/chaos tests/scenarios/test_origins.py -m slow --timeout 1200

overshoot: $(VENV)/.developed  ## A million random entries in the ledger, with kill -9 at random (minutes)
	$(BIN)/pytest tests/chaos/test_ledger.py -m slow --operations 1000000

live: $(VENV)/.developed  ## What the vendors promise, asked of the real ones with your keys (billed)
	$(BIN)/pytest tests/conformance tests/scenarios/test_integration.py --against real -rs

pages: $(VENV)/.developed  ## Write the parts of docs/ anew that are made from the code
	$(BIN)/python -c "from gristmill.settings.reference import as_markdown; print(as_markdown(), end='')" \
		> docs/configuration.md
	$(BIN)/python tests/support/behaviours.py > docs/conformance.md
	$(BIN)/python tests/support/simulators_page.py

clean:  ## Remove everything that make has made
	rm -rf $(VENV) .gristmill .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: $(VENV)/.developed  ## Write the lock files anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-annotate \
		--no-header --upgrade pyproject.toml -o requirements/run.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-annotate \
		--no-header --upgrade pyproject.toml --group dev -o requirements/dev.lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Gristmill needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The lock files name everything, so nothing is resolved anew: some versions of pip take an extra of a
# locked package for a package of its own, and refuse it. `pip check` says if a lock file is not whole.
$(VENV)/.installed: $(VENV)/bin/python requirements/run.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m pip check
	@touch $@

$(VENV)/.developed: $(VENV)/.installed requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip check
	@touch $@
