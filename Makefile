PYTHON ?= python3
URLS ?=

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo dev test check format clean python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/stamp-dev ## Crawl the bundled site, or the pages listed in URLS=file, with no account
	$(BIN)/thunderbit-dagster demo $(if $(URLS),--urls $(URLS))

dev: $(VENV)/stamp-dev ## Run the emulator and Dagster's UI
	$(BIN)/thunderbit-dagster dev

test: $(VENV)/stamp-test ## Run the tests, without the slow ones
	$(BIN)/pytest -n 3 --dist worksteal

check: $(VENV)/stamp-check ## Lint, check types, import rules, style and licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy scripts
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/public_dagster.py thunderbit_dagster $(wildcard definitions.py examples)
	$(BIN)/python scripts/style.py thunderbit_dagster scripts $(wildcard definitions.py)
	$(BIN)/pip-licenses --format=json --with-system | $(BIN)/python scripts/licences.py

format: $(VENV)/stamp-check ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and everything generated
	rm -rf $(VENV) .ci/venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One stamp for each set of extras; a changed pyproject.toml makes all of them stale.
$(VENV)/stamp-dev: EXTRAS := dev
$(VENV)/stamp-test: EXTRAS := test
$(VENV)/stamp-check: EXTRAS := test,check
$(VENV)/stamp-dev $(VENV)/stamp-test $(VENV)/stamp-check: pyproject.toml
	@$(MAKE) --no-print-directory python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[$(EXTRAS)]'
	@touch $@

python:
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) found. On Debian: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), but Python 3.10 or newer is needed. Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
