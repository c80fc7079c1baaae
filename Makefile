# One command each; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest --durations=10 --dist=loadfile
# Workers of each tier. The unit tier computes, so a worker a core. The engine tier computes too, the path tier waits for
# processes and timers half of the time: side by side each has what the other leaves. A file stays on one worker, which is
# what shares its lab; both begin with their longest files (tests/conftest.py).
UNIT = $(IN_MEMORY) $(PYTEST) --numprocesses=auto tests/unit examples
ENGINE := $(PYTEST) --no-loadscope-reorder --numprocesses=4 tests/engine
PATHS := $(PYTEST) --no-loadscope-reorder --numprocesses=7 tests/path
# The unit tier makes thousands of files durable, which takes a disk a third of the tier's time.
IN_MEMORY = $(shell df --output=avail -B1M /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 500 { print "TMPDIR=/dev/shm" }')
# One process for each release of Debian: its tests share a machine, which is as slow as the processor is busy.
DEVICE := $(BIN)/python -m pytest --durations=0 tests/device

# The tiers start hundreds of Pythons: compiling all that each imports takes longer than what it does.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help bench deb demo demo-down setup system system-tests lint format soak test test-unit test-engine test-path \
  test-device engine path device-debian-12 device-others reference requirements clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: setup system ## see the whole path at work on this machine; the lab stays up
	$(BIN)/python -m lab demo

demo-down: setup ## remove the lab that `make demo` left running
	$(BIN)/python -m lab down

setup: $(STAMP) ## make the environment in .venv from the pinned requirements

$(STAMP): requirements/development.txt components/pyproject.toml device_agent/pyproject.toml
	$(PYTHON) tools/require_python.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e components -e device_agent
	touch $@

system: ## install the system packages that the lab needs (needs root; says what is missing otherwise)
	tools/install-system-packages

system-tests: ## install what only the tests run as well: a browser, virtual machines
	tools/install-system-packages tests

lint: setup ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p private_iot -p device_agent -p lab -p tests -p tools -p bench -p soak
	$(BIN)/mypy __main__.py settings.py

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup system-tests ## run every tier: unit, engine beside path, and of device the walk-through on Debian 13
	$(UNIT)
	$(MAKE) --no-print-directory --jobs=2 --output-sync=line engine path
	$(DEVICE) -m "not slow"

engine:
	$(ENGINE)

path:
	$(PATHS)

test-unit: setup ## run the unit tier alone, in seconds
	$(UNIT)

test-engine: setup system-tests ## run the tier that needs the Pulumi engine
	$(ENGINE)

test-path: setup system-tests ## run the tier that needs network namespaces
	$(PATHS)

test-device: setup system-tests ## run the tier on real Debian 13 and 12 in virtual machines, the slow tests too (needs root)
	$(MAKE) --no-print-directory --jobs=2 --output-sync=line device-debian-12 device-others

device-debian-12:
	$(DEVICE) -k debian-12

device-others:
	$(DEVICE) -k "not debian-12"

deb: setup ## build the agent's Debian package in build/ (ARCHITECTURE=arm64; amd64 or arm64, this machine's by default)
	packaging/build-deb $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) build

bench: setup system ## measure the program, the lab and the agent beside their peers (an hour or more; BENCH="messages")
	$(BIN)/python -m bench $(BENCH)

soak: setup system ## run ten minutes of random faults and count what is lost (SECONDS=600 SEED=… SITE=1)
	$(BIN)/python -m soak $(if $(SITE),--site) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

reference: setup ## write docs/configuration.md and docs/components.md anew
	$(BIN)/python tools/write_reference.py

requirements: setup ## compile the pinned requirements anew
	tools/compile-requirements

clean: ## remove what the targets made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
