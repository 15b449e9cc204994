# Every target sets itself up: a virtual environment with pinned, hashed requirements, and this package in it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
CODE := connect statecharts tests benchmarks examples proto docs

.PHONY: help demo lab test soak faults mutate lint format types diagrams docs proto lock oldest bench clean

help: ## Show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## A worker's life in about ten seconds, no server needed
	$(BIN)/python -m connect demo

lab: $(READY) ## A worker live on a web page, with buttons that do to it what the world does
	$(BIN)/python -m connect lab

test: $(READY) ## Every test; fails unless tests of the real worker take every transition of the charts and see every guard both ways
	$(BIN)/python -m pytest -n auto -p statecharts.tools.coverage --transition-cover \
	    --transition-cover-from=tests/worker --transition-cover-min=100 \
	    --transition-cover-report=.transition-coverage $(PYTEST)

soak: $(READY) ## 60 seconds of faults under load
	$(BIN)/python -m pytest tests/soak --soak-seconds 60 -s $(PYTEST)

faults: $(READY) ## Take each line out that protects from a known fault, and see its tests fail (minutes)
	$(BIN)/python -m tests.faults

mutate: $(READY) ## Change the charts in one place after the other, and see tests of the worker fail (half an hour)
	nice $(BIN)/python -m tests.mutate $(MUTATE)

oldest: ## The bridge to the SDK, with the oldest release of it that is supported, and everything else as old as it may be
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --require-hashes --requirement requirements/oldest.txt
	$(VENV)-oldest/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(VENV)-oldest/bin/python -m pytest -n auto -m oldest -W "ignore:Protobuf gencode" \
	    tests/test_sdk.py tests/executors tests/worker/test_worker_first_light.py

lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

diagrams: $(READY) ## Redraw diagrams/ from the charts
	$(BIN)/python -m statecharts draw

docs: $(READY) ## Write docs/api.md from the docstrings, and record docs/demo.svg
	$(BIN)/python -m docs.api
	$(BIN)/python -m docs.demo

proto: ## Regenerate connect/wire/ from proto/, and say what changed
	$(PYTHON) -m venv $(VENV)-proto
	$(VENV)-proto/bin/python -m pip install --quiet --require-hashes --requirement requirements/proto.txt
	$(VENV)-proto/bin/python proto/generate.py
	git diff --exit-code --stat -- connect/wire

lock: $(READY) ## Resolve the requirements anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    --extra test --extra lint --extra build --extra uvloop pyproject.toml --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    --extra build --extra otel --extra uvloop pyproject.toml --output-file requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    requirements/proto.in --output-file requirements/proto.txt
	$(BIN)/uv pip compile --quiet --universal --resolution lowest-direct --python-version 3.11 --generate-hashes --no-annotate \
	    --no-header --extra test --extra build pyproject.toml requirements/oldest.in --output-file requirements/oldest.txt

bench: $(READY) ## Side by side with the official client; writes docs/performance.md (40 minutes)
	nice $(BIN)/python -m benchmarks

clean: ## Remove the virtual environments and caches
	rm -rf $(VENV) $(VENV)-proto $(VENV)-oldest .mutation .transition-coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
