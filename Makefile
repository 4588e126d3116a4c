PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint docs lock bench wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-7s %s\n' "$$name" "$$text"; done

setup: $(READY) ## create .venv with the locked versions and this package, editable

# uv, itself at its locked version, installs the rest several times faster than pip does.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
		echo "error: Expected Python 3.11, 3.12 or 3.13. Received: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "hint: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check \
		"$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: export LSTM_WORKSPACE := data
demo: $(READY) ## sample bars → training → forecast → chart, without network
	$(BIN)/lstm fetch GOOG --source sample
	$(BIN)/lstm train GOOG --config smoke.yaml
	$(BIN)/lstm predict GOOG
	$(BIN)/lstm plot GOOG

test: $(READY) ## run the tests
	$(BIN)/python -m pytest

check: lint test ## everything that must pass before a commit

lint: $(READY) ## check style, types, import directions and the README
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog -P --check README.md

docs: $(READY) ## write the generated parts of README.md
	$(BIN)/cog -P -r README.md

lock: $(READY) ## bring requirements.lock in step with pyproject.toml (UPGRADE=1: newest versions)
	$(BIN)/uv pip compile pyproject.toml --group dev --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		$(if $(UPGRADE),--upgrade) --output-file requirements.lock

bench: $(READY) ## measure speed and memory against other libraries (about 45 minutes)
	$(BIN)/python benchmarks/speed.py

wheel: $(READY) ## build dist/*.whl
	$(BIN)/python -m hatchling build --target wheel

clean: ## remove .venv, caches and dist; data/ stays
	rm -rf $(VENV) dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
