# Each target works on a fresh clone with nothing but Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HOME_FOLDER ?= home

.PHONY: demo dev test faults spark lint bench docs lock clean help

help:
	@echo "make demo   set up, run every asset on real demo data, say where to look"
	@echo "make dev    the Dagster UI on ./home (http://127.0.0.1:3000)"
	@echo "make test   set up and run all tests and checks"
	@echo "make faults kill, repeat and cut off whole nights (half an hour)"
	@echo "make spark  roll-ups and forecasts on a Spark cluster of two workers against those of one process"
	@echo "make bench  measure speed and memory beside the naive ways"
	@echo "make docs   write the data dictionary and the settings page anew"
	@echo "make lint   formatting, style, types, architecture"

demo: $(READY)
	@echo "== running the demo"
	@$(BIN)/lifecycle demo --home $(HOME_FOLDER)

dev: $(READY)
	@$(BIN)/lifecycle dev --home $(HOME_FOLDER)

test: $(READY) lint
	@echo "== testing"
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Nights that are killed, run twice at once, repeated, cut off from their database, on one thread, and with a process per step.
faults: $(READY)
	@$(BIN)/python -m pytest tests -m nights

# Needs Java 17 or newer; pyspark is half a gigabyte.
spark: $(READY)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check 'pyspark>=4'
	@$(BIN)/python -m pytest -rs tests/resources/test_spark.py tests/resources/test_spark_map.py

lint: $(READY)
	@echo "== checking style, types and architecture"
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/ty check --quiet --python $(VENV)
	@$(BIN)/lint-imports --no-cache > $(VENV)/imports.txt || (cat $(VENV)/imports.txt; exit 1)

bench: $(READY)
	@$(BIN)/python -m bench

docs: $(READY)
	@$(BIN)/python -m lifecycle_assets.documentation docs

# After a change of the dependencies in pyproject.toml: versions and hashes, no address.
lock:
	@$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --group dev pyproject.toml \
		--generate-hashes --no-header --no-annotate --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group image pyproject.toml --constraint requirements.lock \
		--generate-hashes --no-header --no-annotate --output-file deploy/requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; say make PYTHON=python3.12 demo")'
	@echo "== setting up $(VENV) (once; a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $(READY)

clean:
	@rm -rf $(VENV) build dist *.egg-info
