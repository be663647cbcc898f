# Two commands matter: `make run` and `make test`. Both set everything up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MINISTACK_VENV := .venv-ministack
MINISTACK_STAMP := $(MINISTACK_VENV)/.installed

SPEED ?= 10
WORKERS ?= 2
MARKETS ?= 6
DURATION ?= 90
EXECUTION ?= live
MAX_POSITIONS ?= 8
MIN_ORDERS ?= 0
RATE ?= 2000

.PHONY: run chaos rolling soak fuzz test lint bench clean setup ministack lock

setup: $(STAMP)

# pyproject.toml, because the command line's entry point comes from there.
$(STAMP): requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

# The second DynamoDB of the tests; apart, because it pins another botocore.
ministack: $(MINISTACK_STAMP)

$(MINISTACK_STAMP): requirements-ministack.txt
	$(PYTHON) -m venv $(MINISTACK_VENV)
	$(MINISTACK_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-ministack.txt
	touch $(MINISTACK_STAMP)

run: setup
	@$(BIN)/python -m sandbox run --speed $(SPEED) --workers $(WORKERS) --markets $(MARKETS) \
		--duration $(DURATION) --execution $(EXECUTION) \
		--max-positions $(MAX_POSITIONS) --min-orders $(MIN_ORDERS)

# Kills, stops and starves everything for DURATION seconds; SEED repeats a plan.
chaos: DURATION := 300
chaos: SPEED := 30
chaos: WORKERS := 4
chaos: setup
	@$(BIN)/python -m sandbox chaos --duration $(DURATION) --workers $(WORKERS) --speed $(SPEED) \
		$(if $(SEED),--seed $(SEED))

# Replaces every process in turn, once at least and for DURATION seconds, while orders flow.
rolling: DURATION := 60
rolling: SPEED := 30
rolling: setup
	@$(BIN)/python -m sandbox rolling --duration $(DURATION) --workers $(WORKERS) --speed $(SPEED)

# Two feeders under RATE changes a second while something fails every few seconds.
soak: DURATION := 600
soak: setup
	@$(BIN)/python -m sandbox soak --duration $(DURATION) --rate $(RATE) $(if $(SEED),--seed $(SEED))

test: setup ministack
	$(BIN)/python -m pytest -n 4 --dist worksteal

# Damaged frames by the million; FRAMES and SEED.
fuzz: FRAMES ?= 1000000
fuzz: SEED ?= 1
fuzz: setup
	@$(BIN)/python -m tests.fuzz --frames $(FRAMES) --seed $(SEED)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(MINISTACK_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache benchmarks/out sandbox-logs

# Only for maintainers: refresh the pinned, hashed requirements (needs uv).
LOCK := uv pip compile --quiet --python-version 3.11 --universal --generate-hashes \
	--no-emit-index-url --no-header --no-annotate
lock:
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	$(LOCK) requirements-ministack.in -o requirements-ministack.txt
