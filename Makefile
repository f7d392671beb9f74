# The README's commands. Everything happens inside .venv and longshore-runs/; nothing is installed elsewhere.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3
SEEDS ?= 1-1000000
AGAINST ?= HEAD~1
MINUTES ?= 10
RUN := longshore-runs/demo-$(shell date +%Y%m%d-%H%M%S)
TORCH := deploy/examples/torch-digits
# Of torch, which pyproject.toml excludes from what uv installs in this folder, but not in /. uv does not read pip's
# settings: a folder of wheels may hold a torch without CUDA, which has a tenth of the size.
WHEELS = $(PIP_FIND_LINKS:%=--find-links %)
# More than there are cores: what tests start waits for much of its time.
PROCESSES = $$(python -c "import os; print(os.cpu_count() + 1)")
NEEDS := needs Python 3.11 or later with the venv module (Debian: apt install python3-venv), or say PYTHON=...
# A file is one process's, for its fixtures' sake; files come in the order of tests/conftest.py, the slowest first.
IN_PARALLEL = --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
LOCAL_TESTS := tests/unit tests/contract tests/fuzz tests/stores tests/operator tests/chart tests/engine
# Of the image: what deploy/Dockerfile installs.
EXTRAS = $(shell sed -n 's/^ARG EXTRAS="\(.*\)"$$/\1/p' deploy/Dockerfile)
SBOM ?= dist/longshore-image.cdx.json
.DEFAULT_GOAL := help
.PHONY: help setup test test-cluster test-python test-lowest check fmt lock coverage release crds docs demo demo-torch cluster-up cluster-down cluster-demo crd-server image sbom chaos bench bench-startup bench-finish bench-cluster bench-operator bench-packages clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: .venv/ready ## make .venv with everything that development needs

test: setup check ## run every test, the slowest files first; those on a cluster where one is up or can be made
	pytest $(IN_PARALLEL) --durations=20 $(LOCAL_TESTS)
	$(MAKE) test-cluster

test-cluster: setup ## run the tests on a real Kubernetes; one is made on this machine where none is up
	pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations=20 tests/cluster

test-python: .venv/bin/uv ## run the unit and contract tests on another Python: make test-python PYTHON=python3.13
	UV_PROJECT_ENVIRONMENT=.venv-python uv sync --quiet --locked --extra dev --group examples --python $(PYTHON)
	PATH='$(CURDIR)/.venv-python/bin':"$$PATH" python -m pytest $(IN_PARALLEL) tests/unit tests/contract

test-lowest: .venv/bin/uv ## run the unit tests with the oldest releases of optional packages that pyproject.toml allows
	uv venv --quiet --clear .venv-lowest && export VIRTUAL_ENV=$(CURDIR)/.venv-lowest && \
	uv pip install --quiet --resolution lowest-direct --editable '.[operator,parquet,s3,gcs,azure,sql,tables]' && \
	uv pip install --quiet --editable '.[dev]' && .venv-lowest/bin/python -m pytest tests/unit tests/operator

check: setup ## lint, formatting, types, import contracts, and the host's Python 3.7
	ruff check . && ruff format --check . && mypy
	lint-imports && vermin --quiet --no-tips --violations --target=3.7- worker/longshore_host worker/longshore_packages worker/longshore_protocol worker/longshore_run worker/longshore_shims

fmt: setup ## format, and repair what ruff can
	ruff format . && ruff check --fix .

lock: .venv/bin/uv ## bring uv.lock in step with pyproject.toml; UPGRADE=--upgrade takes the newest releases of all
	uv lock $(UPGRADE)

coverage: setup ## measure which lines the tests of units, contracts, stores and operator run, in all processes; see build/coverage
	mkdir -p build/coverage && coverage erase
	coverage run -m pytest $(IN_PARALLEL) tests/unit tests/contract tests/stores tests/operator
	coverage combine --quiet && coverage html --quiet && coverage report

release: setup ## rehearse a release, or write it with APPLY=1: make release VERSION=0.2.0
	python deploy/release/releasing.py $(VERSION) $(if $(APPLY),--apply)

crds: setup ## make the custom resource definitions in crds/ and the chart from the models
	python -m longshore_api.crdgen crds charts/longshore/files/crds

docs: setup ## build the documentation site into build/docs-site, in strict mode
	PYTHONPATH=deploy/docs python -m docsite build/docs-pages
	zensical build --strict

demo: setup ## score real handwritten digits with 2 workers of 2 processes
	python deploy/examples/digits/prepare.py
	longshore run deploy/examples/digits --run-dir $(RUN)
	python deploy/examples/digits/show_results.py $(RUN)

demo-torch: .venv-torch/ready ## the same with PyTorch, in an environment of its own; on a GPU where there is one
	.venv-torch/bin/python $(TORCH)/train.py
	.venv-torch/bin/longshore run $(TORCH) --run-dir $(RUN)
	.venv-torch/bin/python deploy/examples/digits/show_results.py $(RUN) --labels $(TORCH)/data/labels.csv --required 0.95

cluster-up: ## start a real Kubernetes on this machine; needs root, and Debian for what is missing
	deploy/local/cluster up
	deploy/local/cluster image --base

cluster-down: ## end it, and remove all of it
	deploy/local/cluster down

cluster-demo: setup .venv-torch/ready cluster-up ## score the digits in pods, watch it, and compare with the same step run here
	PYTHONPATH=deploy/local python -m localcluster.demo

crd-server: ## build the newest server of custom resources, with which the tests check crds/ and manifests; 8 minutes, once
	deploy/local/cluster crd-server

image: ## build the one image of operator, coordinator and agent, and load it into the cluster that is up
	deploy/local/cluster image

sbom: setup ## write the image's bill of materials, as uv.lock records it, in CycloneDX's format
	mkdir -p $(dir $(SBOM))
	uv export --quiet --frozen --format cyclonedx1.5 $(EXTRAS:%=--extra %) --output-file $(SBOM)

chaos: setup ## random runs under random faults, each compared with its oracle: make chaos SEEDS=1-50 MINUTES=10
	PYTHONPATH=tests:tests/engine python tests/chaos --seeds $(SEEDS) --minutes $(MINUTES)

bench: setup ## compare with multiprocessing.Pool doing the same work
	python tests/benchmarks/run.py

bench-startup: setup ## compare the start-up time with that of another commit: make bench-startup AGAINST=v0.1.0
	python tests/benchmarks/startup.py --against $(AGAINST)

bench-finish: setup ## measure memory and time at the end of runs of 300,000 and of a million mini-batches
	PYTHONPATH=tests python tests/benchmarks/finishing.py

bench-cluster: setup cluster-up ## compare the start of a step with that of a bare Job; run a hundred pipelines, and count API writes
	PYTHONPATH=deploy/local python tests/benchmarks/cluster.py
	LONGSHORE_TEST_RUNS=100 pytest tests/cluster/test_many_runs.py

bench-packages: setup cluster-up ## compare the start of a step with packages with that of a step whose image contains them
	PYTHONPATH=deploy/local:tests:tests/cluster python tests/benchmarks/packages.py

bench-operator: setup ## measure the operator beside 100, 300 and 1,000 simulated steps; needs root, as the local cluster does
	PYTHONPATH=deploy/local python tests/benchmarks/operator_scale

clean: ## remove .venv, runs, caches and what the example made
	rm -rf .venv .venv-lowest .venv-python .venv-torch longshore-runs build dist deploy/examples/*/data .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/ready: pyproject.toml uv.lock | .venv/bin/uv
	uv sync --quiet --locked --inexact --compile-bytecode --extra dev --group examples && touch $@

.venv/bin/uv:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo 'make setup $(NEEDS)' >&2; exit 1; }
	$(PYTHON) -m venv .venv && pip install --quiet --disable-pip-version-check uv

.venv-torch/ready: pyproject.toml $(TORCH)/requirements.txt $(TORCH)/train-requirements.txt | .venv/bin/uv
	uv venv --quiet --clear .venv-torch
	cd / && uv pip install --quiet --python '$(CURDIR)/.venv-torch/bin/python' $(WHEELS) \
	  --editable '$(CURDIR)[torch]' --requirement '$(CURDIR)/$(TORCH)/train-requirements.txt' && touch '$(CURDIR)/$@'
