# make quickstart   install into .venv, then train, evaluate and compare (about ten minutes)
# make test         install with the test extras, then run the tests that are not slow
# make test-all     the same with the slow ones
# make lint         formatting, lint and types

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3 python,$(shell command -v $(name))))
VENV := .venv
BIN := $(VENV)/bin/python
INSTALL := $(BIN) -m pip install --disable-pip-version-check --no-input -c constraints.txt

TEST := $(BIN) -m pytest --numprocesses 2 --dist worksteal

.PHONY: quickstart test test-all lint

quickstart: $(VENV)/installed
	$(BIN) -m harness run suites/quickstart.yaml

test: $(VENV)/installed-dev
	$(TEST) -m 'not slow'

test-all: $(VENV)/installed-dev
	$(TEST)

lint: $(VENV)/installed-dev
	$(BIN) -m ruff check .
	$(BIN) -m ruff format --check .
	$(BIN) -m mypy

# A stamp is touched last, so an interrupted installation is taken up again.
$(VENV)/installed: pyproject.toml setup.py constraints.txt | $(BIN)
	$(INSTALL) -e '.[ray]'
	touch $@

$(VENV)/installed-dev: pyproject.toml setup.py constraints.txt | $(BIN)
	$(INSTALL) -e '.[ray,dev]'
	touch $@ $(VENV)/installed

$(BIN):
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	    || { echo 'Python 3.11 or 3.12 is needed: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv $(VENV)
