# Two commands for a newcomer: `make demo` and `make test`. Each sets up all it needs, in .venv.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do $$p -c 'import sys, venv, ensurepip; sys.exit(not (3,11) <= sys.version_info[:2] < (3,14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.PHONY: demo test check rules backends integration bench calibration examples docs wire kill build clean

demo: .venv/demo                        ## six months of real flights, four faults, found live
	$(BIN)/python -m examples.flights $(ARGS)

test: .venv/dev                         ## the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not long and not integration" $(ARGS)

check: .venv/dev                        ## lint, types, import contracts, docs and generated code fresh
	$(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python -m agent.documentation --check && $(BIN)/python -m deploy.generate --check

kill: .venv/dev                         ## two hundred kills at random moments; nothing lost, nothing twice
	$(BIN)/python -m pytest -m long tests/end_to_end $(ARGS)

backends: .venv/dev                     ## Collector, Prometheus, Jaeger, Alertmanager from source, outside the repository
	$(BIN)/python deploy/backends/build.py $(ARGS)

integration: .venv/dev                  ## an agent and real backends; asks their own query APIs
	$(BIN)/python deploy/backends/build.py otelcol prometheus jaeger alertmanager || test -z "$$CI"
	$(BIN)/python -m pytest -rs -m integration tests/integration $(ARGS)

bench: .venv/dev .venv/bench            ## the budgets, beside the limit and a peer: docs/benchmarks.md
	$(BIN)/python -m bench $(ARGS)

calibration: .venv/dev                  ## the dial kept, changes found, peers beside: docs/calibration.md
	$(BIN)/python -m calibration $(ARGS)

examples: .venv/dev                     ## senders in Node, Go and Python against a live agent
	PATH="$(CURDIR)/$(BIN):$$PATH" ./examples/run.sh

docs: .venv/dev                         ## writes docs/configuration.md, docs/metrics.md, rules and dashboards
	$(BIN)/python -m agent.documentation && $(BIN)/python -m deploy.generate

rules: .venv/dev                        ## Prometheus' own tool checks the rules and runs their unit tests
	test -z "$$CI" || $(BIN)/python deploy/backends/build.py promtool
	$(BIN)/python -m deploy.prometheus.check

wire:                                   ## the code of the contract, from proto/
	./proto/generate.sh

build: .venv/dev                        ## the two wheels, in dist/
	$(BIN)/python -m build -q --wheel -o dist . && $(BIN)/python -m build -q --wheel -o dist clients/python

clean:
	rm -rf .venv dist build .demo .bench

.venv/python:
	@test -n "$(PYTHON)" || { echo "Sidelight needs Python 3.11, 3.12 or 3.13 with venv on the PATH (or: make PYTHON=/path/to/python)"; exit 1; }
	$(PYTHON) -m venv .venv && touch $@

.venv/demo: .venv/python pyproject.toml clients/python/pyproject.toml constraints.txt
	$(PIP) -e '.[demo]' -e clients/python && touch $@

.venv/dev: .venv/python pyproject.toml clients/python/pyproject.toml constraints.txt
	$(PIP) -e '.[dev,build,demo]' -e clients/python && touch $@

.venv/bench: .venv/python pyproject.toml bench/requirements.txt
	$(PIP) -r bench/requirements.txt && touch $@
