# crm-api: what one types. `make` or `make help` explains each target.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
BIN := $(VENV)/bin
# Test processes; each has its own database.
JOBS ?= logical
PYTEST_ARGS ?=
NODE_DIR := tests/outside/node

# Wheels only: building from source would fetch build tools that no lock names.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes
# The package itself, by the locked build backend and nothing fetched.
PIP_PROJECT := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .

##@ Run

.PHONY: help
help: ## Explain each target
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) } \
		/^[a-z][a-z-]*:.*## / { printf "  \033[36m%-15s\033[0m %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(VENV)/.runtime ## Embedded PostgreSQL, real sample data, a table of checks, then serve (ONCE=1: exit after the checks)
	$(BIN)/crm-api demo $(if $(filter-out 0,$(ONCE)),--once)

.PHONY: install
install: $(VENV)/.development ## Prepare .venv from the hash-pinned locks: everything to run, test and check
	@echo "Ready: $(BIN)/crm-api --help"

##@ Test and check

.PHONY: test
test: $(VENV)/.development ## The whole test suite, in parallel (JOBS=2, PYTEST_ARGS="-k orders"; CRM_TEST_DATABASE_URL for your own server)
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

.PHONY: test-long
test-long: $(VENV)/.development ## Longer: 10,000 steps of the ledger; 32 of its clients for 60 s with kill -9 of API and worker; service work through 60 kills
	CRM_TEST_LEDGER_EXAMPLES=400 CRM_TEST_LEDGER_SECONDS=60 CRM_TEST_LEDGER_CLIENTS=32 \
		CRM_TEST_SERVICE_KILLS=60 CRM_TEST_SERVICE_CASES=120 $(BIN)/pytest -o faulthandler_timeout=3600 \
		tests/loyalty/test_machine.py tests/loyalty/test_killed.py tests/complaints/test_killed.py $(PYTEST_ARGS)

.PHONY: check
check: lint types imports migrations-lint snapshots-check deploy-lint wheel outside ## Every check besides the tests: all of this section
	@echo "All checks passed."

.PHONY: lint
lint: $(VENV)/.development ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(VENV)/.development ## mypy strict on src
	$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/.development ## Import contracts: layers, order of domains, who may use which library; and the locks fit pyproject.toml
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/python tools/check_locks.py

.PHONY: migrations-lint
migrations-lint: $(VENV)/.development ## squawk on the SQL of all migrations
	$(BIN)/python tools/lint_migrations.py

.PHONY: snapshots-check
snapshots-check: $(VENV)/.development ## openapi/ is what the code says
	$(BIN)/crm-api schema export --dir openapi --check

.PHONY: deploy-lint
deploy-lint: $(VENV)/.development ## hadolint on the Dockerfile, compose.yaml against the Compose schema
	$(BIN)/hadolint --config .hadolint.yaml Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

.PHONY: wheel
wheel: $(VENV)/.development ## The wheel builds, and crm-api runs from it alone
	$(BIN)/python tools/check_wheel.py

.PHONY: outside
outside: $(VENV)/.development $(NODE_DIR)/node_modules/.installed ## Other people's tools against a running server: graphql-http, schemathesis, redocly, TypeScript, Relay, Chromium
	$(BIN)/pytest -m outside -n $(JOBS) --dist worksteal -o faulthandler_timeout=900 tests/outside $(PYTEST_ARGS)

##@ Develop

.PHONY: format
format: $(VENV)/.development ## Mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: snapshots
snapshots: $(VENV)/.development ## Write openapi/openapi.json and openapi/schema.graphql anew
	$(BIN)/crm-api schema export --dir openapi

.PHONY: bench
bench: $(VENV)/.development ## Benchmarks: every figure beside a floor or a peer of the same run
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: bench-ledger
bench-ledger: $(VENV)/.development ## The ledger against the bare SQL floor: pgbench sending the same statements, on 2 and on 50 wallets
	$(BIN)/python -m benchmarks ledger $(BENCH_ARGS)

UV ?= uv
LOCK := $(UV) pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

.PHONY: lock
lock: ## Resolve pyproject.toml into requirements/*.txt (needs uv; UPGRADE=1 takes the newest versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(LOCK) $(if $(UPGRADE),--upgrade) pyproject.toml --all-extras --group dev --group build --output-file requirements/dev.txt
	$(LOCK) --upgrade pyproject.toml --all-extras --constraint requirements/dev.txt --output-file requirements/runtime.txt
	$(LOCK) --upgrade --group build --constraint requirements/dev.txt --output-file requirements/build.txt
	@! grep -n '://' requirements/*.txt

.PHONY: clean
clean: ## Remove .venv, node_modules, caches and built files (no database is touched)
	rm -rf $(VENV) $(NODE_DIR)/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .schemathesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# --- how .venv comes about; stamps make a second run instant ---

$(VENV)/bin/python:
	@python=; for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	[[ -n "$$python" ]] || { echo "crm-api needs Python 3.11 or newer; name one with PYTHON=…" >&2; exit 1; }; \
	"$$python" -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what crm-api runs on (requirements/runtime.txt) into $(VENV) …"
	@$(PIP_INSTALL) -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP_PROJECT)
	@touch $@

$(VENV)/.development: requirements/dev.txt $(VENV)/.runtime
	@echo "Installing what crm-api is tested with (requirements/dev.txt) into $(VENV) …"
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

$(NODE_DIR)/node_modules/.installed: $(NODE_DIR)/package-lock.json
	@if command -v npm > /dev/null; then \
		cd $(NODE_DIR) && npm ci --no-audit --no-fund --loglevel error && touch node_modules/.installed; \
	else \
		echo "!!! npm is missing (Node.js 20 or newer brings it): the checks that need it will be skipped" >&2; \
	fi
