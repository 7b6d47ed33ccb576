# Quartermaster's tasks; `make help` lists them. Variables may follow the task: make demo CONSOLE_PORT=8001

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCAL := $(or $(LOCAL_DIR),.local)
OWN := manage.py launcher config core audit accounts tenants directory exports privacy billing catalog deployments gateway

# Lint reads the settings and asks no server.
LINT_ENVIRONMENT := SECRET_KEY=lint DATABASE_URL=postgresql://lint@127.0.0.1:1/lint CELERY_BROKER_URL=redis://127.0.0.1:1 \
	CONSOLE_URL=http://127.0.0.1:8000 GATEWAY_URL=http://127.0.0.1:8080 \
	EXPORT_DIR=$(LOCAL)/exports ENGINE_STATE_DIR=$(LOCAL)/engines STATIC_ROOT=$(LOCAL)/static

# Linted, but not laid out anew: white space is part of letters and of calls to copy.
TEMPLATES := templates exports/templates
AS_WRITTEN := templates/mail/|components/calls/(?!call\.html)

.PHONY: help demo test bench fuzz soak soak-away lint format messages lock clean venv venv-demo venv-dev languages
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SILENT:

help: ## list the tasks
	awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: venv-demo languages ## start everything on this machine, with demo data (CONSOLE_PORT=8000 GATEWAY_PORT=8080)
	exec $(BIN)/python manage.py demo --stop-with-parent

# Tests also wait for the servers that they start, so three workers keep two processors busy.
test: lint languages ## check the code and run all tests
	$(BIN)/python -m pytest -n $$(($$(nproc) * 3 / 2)) --dist worksteal

fuzz: venv-dev ## send the gateway many damaged calls (EXAMPLES=20000 for each kind; 20,000 take about an hour)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) exec $(BIN)/python -m pytest -n 0 --timeout=0 tests/gateway/test_surface_fuzzed.py

bench: venv-dev ## list the benchmarks, or run one (NAME=ingest ARGS='--rounds 4')
	exec $(BIN)/python -m benchmarks$(if $(NAME),.$(NAME) $(ARGS))

soak: venv-dev ## call a gateway for ten minutes; the ledger must have every call once (SECONDS=600)
	exec $(BIN)/python -m benchmarks.gateway --soak $(or $(SECONDS),600)

soak-away: venv-dev ## let a gateway work for an hour while its console is killed; the ledger must have every call once (MINUTES=60)
	exec $(BIN)/python -m tests.gateway.console_away --minutes $(or $(MINUTES),60)

lint: venv-dev ## check style of code and templates, types, imports between apps and missing migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --check --extend-exclude '$(AS_WRITTEN)' $(TEMPLATES)
	$(BIN)/djlint --quiet --lint $(TEMPLATES)
	$(LINT_ENVIRONMENT) $(BIN)/mypy $(OWN)
	$(BIN)/lint-imports --no-cache
	$(LINT_ENVIRONMENT) $(BIN)/python -W ignore manage.py makemigrations --check --dry-run --settings config.settings.test

format: venv-dev ## rewrite the code in the one style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djlint --quiet --reformat --extend-exclude '$(AS_WRITTEN)' $(TEMPLATES)

messages: venv-dev ## bring the catalogs of other languages up to date with the source (docs/languages.md)
	$(BIN)/python -m core.languages update

# Only what changed. Babel writes the files that Django reads.
languages:
	$(BIN)/python -m core.languages build > /dev/null

clean: ## remove everything the demo wrote, its data included
	if [ -e "$(LOCAL)/lock" ] && ! flock --nonblock "$(LOCAL)/lock" true; then \
		echo "The demo is running (process $$(cat "$(LOCAL)/lock")). Stop it with Ctrl-C in its terminal, then clean." >&2; exit 1; fi
	rm -rf "$(LOCAL)"

# One resolution for both: the second lock holds the first, and what development needs beside it.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header $(UPGRADE)
lock: venv ## resolve the dependencies anew after a change in pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(COMPILE) --extra local pyproject.toml -o requirements.lock
	$(COMPILE) --extra local --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	echo uv | $(COMPILE) - -o requirements-uv.lock
	if grep -nE '^(--|.*https?://)' requirements.lock requirements-dev.lock requirements-uv.lock; then \
		echo "A lock names an address; it must work with any index." >&2; exit 1; fi

# A copy of the lock inside the virtualenv says what is installed there, so that nothing is done twice. What the tests need
# includes what the demo needs: going from one to the other uninstalls nothing.
INSTALL = $(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python

venv-demo: venv
	if cmp -s requirements-dev.lock $(VENV)/dev.lock || cmp -s requirements.lock $(VENV)/demo.lock; then exit 0; fi; \
	echo "Installing what the demo needs …"; \
	rm -f $(VENV)/dev.lock; \
	$(INSTALL) requirements.lock && cp requirements.lock $(VENV)/demo.lock

venv-dev: venv
	if cmp -s requirements-dev.lock $(VENV)/dev.lock; then exit 0; fi; \
	echo "Installing what the tests need …"; \
	rm -f $(VENV)/demo.lock; \
	$(INSTALL) requirements-dev.lock && cp requirements-dev.lock $(VENV)/dev.lock

venv:
	if $(BIN)/uv --version > /dev/null 2>&1 && $(BIN)/python -c '' && cmp -s requirements-uv.lock $(VENV)/uv.lock; then exit 0; fi; \
	command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is not here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; exit 1; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed and $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12" >&2; exit 1; }; \
	$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
		echo "$(PYTHON) cannot make virtualenvs. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	$(PYTHON) -m venv --clear $(VENV) && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock && \
	cp requirements-uv.lock $(VENV)/uv.lock
