# The one vocabulary of this project: people, hooks and CI call these targets and nothing else.

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes --compile-bytecode

# Without compiled bytecode every start takes five seconds longer.
unexport PYTHONDONTWRITEBYTECODE
# A virtual environment that happens to be active is not ours.
unexport VIRTUAL_ENV
unexport PYTHONPATH
# Threads that wait by spinning cost three to ten times on shared cores.
export OMP_WAIT_POLICY := PASSIVE
export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help setup train test e2e-sagemaker check dashboard bench lock image clean

help:  ## show this
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: .venv/installed  ## create .venv and install the lock

train: .venv/installed  ## train, judge and register a model; ARGS="--set model.max_depth=4"
	$(BIN)/python run.py --pipeline training $(ARGS)

# Without a network the table is synthetic, whose model a shared registry refuses unless it is told to.
e2e-sagemaker: .venv/installed  ## the training pipeline as jobs on the emulated SageMaker stack; ARGS="--execution single-job"
	$(BIN)/python run.py emulator up
	$(BIN)/python run.py stack apply sagemaker-emulated && \
	$(BIN)/python run.py --pipeline training --stack sagemaker-emulated \
		--set gate.allow_synthetic_data=true $(ARGS); \
	status=$$?; $(BIN)/python run.py emulator down; exit $$status

# Many tests wait for servers; those of one file share them, and stay together. conftest.py orders files.
test: .venv/installed-dev  ## run all tests; ARGS="-k split"
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered $(ARGS)

check: .venv/installed-dev  ## format, lint, types, locks, secrets
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	git ls-files -z -- ':!requirements*.txt' | xargs -0 $(BIN)/detect-secrets-hook --exclude-lines '[0-9a-f]{64}'
	$(MAKE) --no-print-directory lock LOCKS=.venv/lock
	for lock in requirements*.txt; do diff -q $$lock .venv/lock/$$lock || exit 1; done

dashboard: .venv/installed  ## open ZenML's dashboard and MLflow's UI
	$(BIN)/python run.py dashboard

bench: .venv/installed-dev  ## run every benchmark
	for name in quality encoding backtest tuning nested_quality overhead emulator zenml_on_emulator; do $(BIN)/python -m benchmarks.$$name || exit 1; done

# Where the locks are written; what is pinned there stays, unless pyproject.toml forbids it.
LOCKS ?= .
lock: .venv/bin/uv  ## compile the locks from pyproject.toml
	mkdir -p $(LOCKS)
	test $(LOCKS) = . || cp requirements*.txt $(LOCKS)
	sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements-uv.txt | $(LOCK) - -o $(LOCKS)/requirements-uv.txt
	$(LOCK) pyproject.toml -o $(LOCKS)/requirements.txt
	$(LOCK) pyproject.toml --group dev -c $(LOCKS)/requirements.txt -o $(LOCKS)/requirements-dev.txt

# IMAGE is ACCOUNT.dkr.ecr.REGION.amazonaws.com/bank-marketing:TAG; the second tag tells its libraries to `stack doctor`.
# SageMaker runs amd64, and refuses an index of images, which provenance would make of it.
image: .venv/installed  ## build the image of the steps and push it; IMAGE=...
	lock=$(firstword $(subst :, ,$(IMAGE))):$$($(BIN)/python -c 'from stacks.doctor.resources import lock_tag; print(lock_tag())') && \
	docker buildx build --platform linux/amd64 --provenance=false --load --file docker/Dockerfile --tag $(IMAGE) --tag $$lock . && \
	docker push $(IMAGE) && docker push $$lock

clean:  ## remove the environment, downloads and caches, stop all servers; ZenML's store stays
	if [ -x $(BIN)/python ] && [ -d .local/dashboard ]; then $(BIN)/python run.py dashboard --stop; fi
	if [ -x $(BIN)/python ] && [ -d .local/emulator ]; then $(BIN)/python run.py emulator down; fi
	rm -rf .venv .local .mypy_cache .pytest_cache .ruff_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/uv: requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed, found $$($(PYTHON) -V); name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

.venv/installed: requirements.txt .venv/bin/uv
	$(INSTALL) -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(INSTALL) -r requirements-dev.txt
	@touch $@
