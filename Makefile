# Works on a bare machine with python3 (3.11 or newer) and make. Everything goes into .venv and .venv-*.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The demo and the wheel need a tenth of what development needs: they take .venv only if it is there.
DEMO := .venv-demo
DEMO_STAMP := $(or $(wildcard $(STAMP)),$(DEMO)/.installed)
DEMO_BIN := $(dir $(DEMO_STAMP))bin
MINISTACK := .venv-ministack
MINISTACK_STAMP := $(MINISTACK)/.installed
TOOLKIT := .venv-toolkit
TOOLKIT_STAMP := $(TOOLKIT)/.installed
# `python3` may be older than what jobcore needs: take the first that is new enough.
PYTHONS := python3 python3.11 python3.12 python3.13 python3.14 python
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo wheel sandbox test coverage test-pythons check docs proof swarm mutants mutation durability fuzz bench lock diagram reference clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP)  ## make .venv with everything that is locked

# A half-made environment has no stamp, so the next make completes it.
$(STAMP) $(DEMO)/.installed: pyproject.toml
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "jobcore needs Python 3.11 or newer; none of these is: $(PYTHONS)" >&2; \
	  echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) and run make again." >&2; exit 1; \
	fi; \
	$$found tests/environment.py $(@D) $(filter %.lock,$^)
$(STAMP): requirements.lock
$(DEMO)/.installed: examples/requirements.lock

# The emulated AWS pins its own botocore, so it lives in an environment of its own.
$(MINISTACK_STAMP): tests/ministack/requirements.lock $(STAMP)
	@echo "Setting up $(MINISTACK) (once, half a minute) ..."
	@test -x $(MINISTACK)/bin/python || $(BIN)/python -m venv $(MINISTACK)
	@$(MINISTACK)/bin/python -m pip --quiet --quiet --disable-pip-version-check install --require-hashes --requirement $<
	@touch $@

# The tests compare the training contract with SageMaker's own package. A folder on the path of one
# process is enough: what the package needs beside it and .venv has not, and its sources, because its
# wheel needs a C compiler for a part that is not used here.
$(TOOLKIT_STAMP): tests/toolkit/requirements.lock tests/toolkit/sources.lock $(STAMP)
	@echo "Setting up $(TOOLKIT) (once, a few seconds) ..."
	@rm -rf $(TOOLKIT)
	@$(PIP) install --no-deps --require-hashes --upgrade --target $(TOOLKIT) --requirement tests/toolkit/requirements.lock
	@$(PIP) download --no-deps --require-hashes --dest $(TOOLKIT) --requirement tests/toolkit/sources.lock
	@$(BIN)/python -m tarfile -e $(TOOLKIT)/sagemaker_training-*.tar.gz $(TOOLKIT)
	@touch $@

demo: $(DEMO_STAMP)  ## train a sweep of real models, through a shortage and a crash
	@$(DEMO_BIN)/python examples/digits/demo.py

wheel: $(DEMO_STAMP)  ## build the wheel into dist/, install it elsewhere and run a job with it
	@$(DEMO_BIN)/python tests/make_wheel.py

sandbox: $(STAMP) $(MINISTACK_STAMP)  ## start an AWS on this machine to try things on
	@$(BIN)/jobcore sandbox --env-file .sandbox.env

# Half of the tests' time is waiting, so a worker more than there are cores; 0 is one after the other.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min((os.cpu_count() or 1) + 1, 4))')

# Modules keep together until a worker runs out of tests and takes some of another's.
# The tests start hundreds of processes: none shall compile jobcore anew, whatever is set.
test: $(STAMP) $(MINISTACK_STAMP) $(TOOLKIT_STAMP)  ## run every test
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --quiet --numprocesses=$(WORKERS) --dist=worksteal

# Of the core by its own tests alone: measured over all tests it would take twice their time.
CORE_TESTS := $(addprefix tests/,lifecycle scheduling failures ticks jobfile) $(wildcard tests/test_*.py)
coverage: $(STAMP)  ## measure how much of the core its own tests run; less than 95 % fails
	@$(BIN)/python -m pytest --quiet --quiet --numprocesses=$(WORKERS) --dist=worksteal \
	  --cov --cov-report=term:skip-covered $(CORE_TESTS)

# Python 3.12 and so on, from the PATH or pyenv. Not all tests: tests/pythons.py says which, and why.
MINUTES ?= 60
test-pythons: $(STAMP) $(MINISTACK_STAMP) $(TOOLKIT_STAMP)  ## run the tests on other Pythons that are found
	@$(BIN)/python tests/pythons.py --workers $(WORKERS) --minutes $(MINUTES)

check: $(STAMP)  ## lint, format, types, import contracts, generated docs
	@echo "lint" && $(BIN)/ruff check --quiet .
	@echo "format" && $(BIN)/ruff format --quiet --check .
	@echo "types" && $(BIN)/mypy --no-error-summary
	@echo "types again" && $(BIN)/pyright --pythonpath $(BIN)/python > $(VENV)/pyright.txt || { cat $(VENV)/pyright.txt; exit 1; }
	@echo "contracts" && $(BIN)/lint-imports --no-cache > $(VENV)/contracts.txt || { cat $(VENV)/contracts.txt; exit 1; }
	@echo "docs" && $(BIN)/python docs/make_state_diagram.py --check && $(BIN)/python docs/make_reference.py --check

docs: $(STAMP)  ## build the documentation site; dead links and missing docstrings fail
	@$(BIN)/python docs/make_state_diagram.py --check
	@$(BIN)/python docs/make_reference.py --check
	@$(BIN)/zensical build --strict --clean
	@$(BIN)/python docs/check_links.py site
	@echo "The site is in site/index.html"

proof: $(STAMP)  ## every interleaving of the ticks, with three faults: nothing lost, nothing doubled
	@$(BIN)/python -m proof.exhaustive

SEEDS ?= 50000
swarm: $(STAMP)  ## random faults over the whole system (SEEDS=1000000 for more)
	@$(BIN)/python -m proof.swarm --seeds $(SEEDS)

mutants: $(STAMP)  ## bugs put into the protocol, each of which proof or swarm must find
	@$(BIN)/python -m proof.mutants
	@$(BIN)/python -m proof.swarm --mutants

mutation: $(STAMP)  ## wrong changes of the core, one at a time, that its tests must notice (long)
	@$(BIN)/python -m proof.mutation

durability: $(STAMP)  ## power cuts, failing disks, kill -9
	@$(BIN)/python -m proof.powercut
	@$(BIN)/python -m proof.diskfaults
	@$(BIN)/python -m proof.kills

fuzz: $(STAMP)  ## a million inputs for every parser, and every endpoint against its description
	@$(BIN)/python -m proof.fuzz
	@$(BIN)/python -m proof.endpoints

bench: $(STAMP)  ## measure, against bare references in the same run
	@$(BIN)/python -m benchmarks

diagram: $(STAMP)  ## generate the states page and its picture from the transition table
	@$(BIN)/python docs/make_state_diagram.py

reference: $(STAMP)  ## generate the pages of the API reference from the packages
	@$(BIN)/python docs/make_reference.py

lock: $(STAMP)  ## resolve the requirements.lock files anew
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-strip-extras --no-header --no-annotate --no-config --quiet \
	  --output-file requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra cli --extra examples --group build --constraint requirements.lock \
	  --universal --python-version 3.11 \
	  --generate-hashes --no-strip-extras --no-header --no-annotate --no-config --quiet \
	  --output-file examples/requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra lambda --universal --python-version 3.13 \
	  --generate-hashes --no-strip-extras --no-header --no-annotate --no-config --quiet \
	  --output-file deploy/requirements.lock

clean:  ## remove the environments and everything that was generated
	@rm -rf $(VENV) $(VENV)-3.* $(DEMO) $(MINISTACK) $(TOOLKIT) .demo .coverage htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build site
