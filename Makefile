# The README's commands. Everything happens inside .venv and longshore-runs/; nothing is installed elsewhere.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3
RUN := longshore-runs/demo-$(shell date +%Y%m%d-%H%M%S)
NEEDS := needs Python 3.11 or later with the venv module (Debian: apt install python3-venv), or say PYTHON=...
.DEFAULT_GOAL := help
.PHONY: help setup test check fmt crds demo bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: .venv/ready ## make .venv with everything that development needs

test: setup check ## run every test: unit first, then contract, then engine
	pytest

check: setup ## lint, formatting, types, import contracts, and the host's Python 3.7
	ruff check . && ruff format --check . && mypy
	lint-imports && vermin --quiet --no-tips --violations --target=3.7- worker/longshore_host worker/longshore_protocol

fmt: setup ## format, and repair what ruff can
	ruff format . && ruff check --fix .

crds: setup ## make the custom resource definitions in crds/ from the models
	python -m longshore_api.crdgen crds

demo: setup ## score real handwritten digits with 2 workers of 2 processes
	python deploy/examples/digits/prepare.py
	longshore run deploy/examples/digits --run-dir $(RUN)
	python deploy/examples/digits/show_results.py $(RUN)

bench: setup ## compare with multiprocessing.Pool doing the same work
	python tests/benchmarks/run.py

clean: ## remove .venv, runs, caches and what the example made
	rm -rf .venv longshore-runs build dist deploy/examples/*/data .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo 'make setup $(NEEDS)' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check --editable '.[dev]' && touch $@
