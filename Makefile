PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SAMPLE ?= ^GSPC

# Where bytecode is not kept, each process that loads TensorFlow compiles it anew for 15 seconds,
# and tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test check lint nightly newest docs screens lock bench wheel clean

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

# A folder of its own: bars of past years would be stale in `lstm daily` every evening.
demo: export LSTM_WORKSPACE := demo
demo: $(READY) ## sample bars → training → page → forecast of the shipped network, without network
	$(BIN)/lstm fetch '$(SAMPLE)' --source sample
	$(BIN)/lstm train '$(SAMPLE)' --config smoke.yaml
	$(BIN)/lstm plot --kind training
	$(BIN)/lstm report
	$(BIN)/lstm predict '$(SAMPLE)' --run pretrained
	$(BIN)/lstm plot '$(SAMPLE)' --run pretrained
	@printf '%s\n' '' 'That was a sample of past years, in demo/: delete it when you like.' \
		'The network that ships has seen these years: the last forecast is a picture, no score.' \
		'Now shares of today, with bars from Yahoo, in data/. No training is needed:' '' \
		'  export PATH="$$PWD/$(BIN):$$PATH"' \
		'  lstm predict AAPL MSFT MRK' '' \
		'docs/tutorial.md goes on from there.'

# Each core takes tests from the others when its own are done.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

quick: $(READY) ## run the tests that load no TensorFlow and start no process
	$(PYTEST) -m "not (tensorflow or process or browser or evenings or nightly)"

test: $(READY) ## run the tests
	$(PYTEST) -m "not (evenings or nightly)"

check: lint test ## everything that must pass before a commit

nightly: $(READY) ## run what takes many minutes: 200 random walks, a replayed year
	$(PYTEST) -m "evenings or nightly"
	$(if $(LSTM_MARKET_DATA),$(BIN)/python tests/year.py $$(mktemp -d) $(LSTM_MARKET_DATA))

newest: NEWEST := .venv-newest
newest: ## run the tests on the newest releases that pyproject.toml allows
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install -qq --disable-pip-version-check --upgrade uv
	$(NEWEST)/bin/uv pip install --quiet --python $(NEWEST)/bin/python --upgrade --group dev --group docs --editable .
	$(NEWEST)/bin/python -m pytest -n auto --dist worksteal -m "not (evenings or nightly)"

# Pages are built as HTML to see that every link and picture is there.
PAGES = README.md $(shell find docs -name '*.md' -not -path 'docs/_build/*')
COG = $(BIN)/cog -P -I docs
SPHINX = $(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

lint: $(READY) ## check style, types, import directions and docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(COG) --check $(PAGES)
	$(SPHINX)

docs: $(READY) ## write the generated parts of README.md and docs, build docs/_build/html
	$(COG) -r $(PAGES)
	$(SPHINX)

screens: $(READY) ## write what the program prints into README.md and docs (two minutes)
	$(BIN)/python docs/screens.py

lock: $(READY) ## bring requirements.lock in step with pyproject.toml (UPGRADE=1: newest versions)
	$(BIN)/uv pip compile pyproject.toml --group dev --group docs --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		$(if $(UPGRADE),--upgrade) --output-file requirements.lock

bench: $(READY) ## measure speed and memory against other libraries (about 45 minutes)
	$(BIN)/python benchmarks/speed.py

wheel: $(READY) ## build dist/*.whl
	$(BIN)/python -m hatchling build --target wheel

clean: ## remove .venv, caches and dist; data/ stays
	rm -rf $(VENV) .venv-newest dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
