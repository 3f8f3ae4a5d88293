# Two commands do everything on a machine with Python >= 3.11, make, git and a C compiler:
#   make demo    runs the main job end to end
#   make test    runs all tests
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test dev lint types imports abi check clean

demo: $(STAMP)
	$(BIN)/dataspace demo

test: $(STAMP)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules; \
	else echo "npm is not here: tests that need solc or anvil are skipped"; fi
	$(BIN)/python -m pytest

dev: $(STAMP) node_modules

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; say make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch node_modules

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

abi: $(STAMP) node_modules
	$(BIN)/python -m scripts.build_contracts --check

check: lint types imports abi test

clean:
	rm -rf $(VENV) node_modules .mypy_cache .pytest_cache .ruff_cache
