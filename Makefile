# Two commands do everything on a machine with Python >= 3.11, make, git and a C compiler:
#   make demo    runs the main job end to end
#   make test    runs all tests
# And one looks for inputs that no test thought of:
#   make fuzz    fuzzes the parsers for FUZZ_SECONDS
# And one walks all random honest histories of the audit, of which `make test` walks a part:
#   make histories
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FUZZ_SECONDS ?= 60
STAMP  := $(VENV)/.installed

.PHONY: demo test dev lint types imports abi findings histories fuzz check clean

demo: $(STAMP)
	$(BIN)/dataspace demo

test: $(STAMP)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules; \
	else echo "npm is not here: tests that need solc or anvil are skipped"; fi
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

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

findings: $(STAMP)
	$(BIN)/python -m scripts.build_findings --check

histories: $(STAMP)
	DATASPACE_HISTORIES=all $(BIN)/python -m pytest tests/audit/test_random.py

fuzz: $(STAMP)
	@if [ -n "$$CI" ] || $(BIN)/python -c 'import atheris' 2>/dev/null; then \
	$(BIN)/python -m tests.fuzz.fuzz_parsers --seconds $(FUZZ_SECONDS); \
	else echo "atheris has no wheel for this platform: nothing is fuzzed"; fi

check: lint types imports abi findings test

clean:
	rm -rf $(VENV) node_modules .mypy_cache .pytest_cache .ruff_cache fuzz-findings
