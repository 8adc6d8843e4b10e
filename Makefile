# What there is to do with a clone of wormsig. `make help` lists it.
#
# Everything happens in .venv (VENV=... for another place); nothing is installed system-wide. The stamps in it make a
# second `make` fast: they are renewed when pyproject.toml changes. PYTHON=... picks the interpreter,
# BITCOIND=... the node.

VENV ?= .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.stamp-runtime
DEV := $(VENV)/.stamp-dev
BENCH := $(VENV)/.stamp-bench
FUZZ := $(VENV)/.stamp-fuzz
ARGS ?=
# Test files run side by side, each by one process: what a file shares (a node, a relay) is made once. Twice as many as
# there are cores, because most of them wait most of the time. What takes longest comes first by its folder's name.
CORES := $(shell nproc 2>/dev/null || echo 1)
JOBS ?= $(shell echo $$(( 2 * $(CORES) )))
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo test test-pure test-long test-browser check format docs bench fuzz dist clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

$(RUNTIME): pyproject.toml
	@scripts/setup.sh $(VENV) runtime
	@touch $@

$(DEV): $(RUNTIME)
	@scripts/setup.sh $(VENV) dev
	@touch $@

$(BENCH): $(RUNTIME)
	@scripts/setup.sh $(VENV) bench
	@touch $@

$(FUZZ): $(RUNTIME)
	@scripts/setup.sh $(VENV) fuzz
	@touch $@

install: $(RUNTIME) ## wormsig in .venv/bin/wormsig

demo: $(RUNTIME) ## a whole 2-of-3 ceremony on this machine: mailbox server, bitcoind, three people
	@bitcoind=$$(scripts/find-bitcoind.sh) && BITCOIND="$$bitcoind" exec $(BIN)/wormsig demo $(ARGS)

test: $(DEV) ## every test, but those that take more than ten minutes (ARGS="-k name" for some)
	@bitcoind=$$(scripts/find-bitcoind.sh) && BITCOIND="$$bitcoind" exec $(BIN)/python -m pytest -m "not long" --ignore=tests/browser $(PARALLEL) $(ARGS)

test-pure: $(DEV) ## the pure tests: no network, no node, no processes; under 20 seconds (ARGS="-x")
	@exec $(BIN)/python scripts/test_pure.py $(ARGS)

test-long: $(DEV) $(FUZZ) ## the tests that take more than ten minutes
	@bitcoind=$$(scripts/find-bitcoind.sh) && BITCOIND="$$bitcoind" exec $(BIN)/python -m pytest -m long --ignore=tests/browser -n $(CORES) --dist load $(ARGS)

test-browser: $(DEV) ## receipts in a real browser: needs Chromium, which is not installed for you
	@scripts/find-chromium.sh >/dev/null && exec $(BIN)/python -m pytest tests/browser $(ARGS)

check: $(DEV) ## the static checks: ruff, mypy, import-linter, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@for generator in scripts/gen_*.py; do echo "$$generator --check"; $(BIN)/python "$$generator" --check || exit 1; done

format: $(DEV) ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV) ## write the generated pages of docs/ anew
	@for generator in scripts/gen_*.py; do echo "$$generator"; $(BIN)/python "$$generator" || exit 1; done

bench: $(DEV) $(BENCH) ## the benchmarks: ratios against peers, in one run
	@bitcoind=$$(scripts/find-bitcoind.sh) && export BITCOIND="$$bitcoind" && \
	for benchmark in startup ceremony psbt; do $(BIN)/python benchmarks/$$benchmark.py $(ARGS) || exit 1; echo; done

fuzz: $(FUZZ) ## the coverage-guided fuzzer, for five minutes (ARGS="-max_total_time=3600", libFuzzer's options)
	@mkdir -p fuzz/found
	$(BIN)/python fuzz/fuzz_psbt.py fuzz/found -artifact_prefix=fuzz/found/ $(or $(ARGS),-max_total_time=300)

dist: $(DEV) ## wheel and sdist, in dist/
	$(BIN)/python -m build

clean: ## remove .venv, caches and what was built; a fetched bitcoind stays in its cache
	rm -rf $(VENV) dist build htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
