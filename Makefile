PYTHON ?= python3
URLS ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo dev test check bench bench-quick format clean python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/stamp-dev ## Crawl the bundled site, or the pages listed in URLS=file, with no account
	$(BIN)/thunderbit-dagster demo $(if $(URLS),--urls $(URLS)) --dev-command 'make dev$(if $(URLS), URLS=$(URLS))'

dev: $(VENV)/stamp-dev ## Run the emulator and Dagster's UI, with what the demo crawled
	$(BIN)/thunderbit-dagster dev $(if $(URLS),--urls $(URLS))

test: $(VENV)/stamp-test ## Run the tests but the slow ones; ARGS=tests/polling runs those of one package
	$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

check: $(VENV)/stamp-check ## Lint, check types, import rules, style and licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy scripts
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/public_dagster.py thunderbit_dagster $(wildcard definitions.py examples)
	$(BIN)/python scripts/style.py thunderbit_dagster scripts benchmarks $(wildcard definitions.py)
	$(BIN)/pip-licenses --format=json --with-system | $(BIN)/python scripts/licences.py

bench: $(VENV)/stamp-bench ## Measure everything anew and write docs/performance.md: an hour or two, on an idle machine
	$(BIN)/python -W ignore -m benchmarks --page docs/performance.md $(ARGS)

bench-quick: $(VENV)/stamp-bench ## Only try whether the benchmarks work
	$(BIN)/python -W ignore -m benchmarks --quick $(ARGS)

format: $(VENV)/stamp-check ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and everything generated, but no data: data/ may hold paid pages
	rm -rf $(VENV) .ci/venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One stamp for each set of extras; a changed pyproject.toml makes all of them stale.
$(VENV)/stamp-dev: EXTRAS := dev
$(VENV)/stamp-test: EXTRAS := test
$(VENV)/stamp-check: EXTRAS := test,check
$(VENV)/stamp-bench: EXTRAS := dev,bench
$(VENV)/stamp-dev $(VENV)/stamp-test $(VENV)/stamp-check $(VENV)/stamp-bench: pyproject.toml
	@$(MAKE) --no-print-directory python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	scripts/install.sh $(BIN)/python $(EXTRAS)
	@touch $@

python:
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) found. On Debian: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), but Python 3.10 or newer is needed. Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
