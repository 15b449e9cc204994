# Every target first makes the virtual environment that it needs: pinned, hashed requirements, and this package.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
INSTALL := requirements/install.py
CODE := connect statecharts tests benchmarks examples proto docs requirements

.PHONY: help demo lab test pythons soak fuzz attack faults mutate oldest newest lint format diagrams docs proto lock dist bench clean

help: ## Show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# An environment's python is a link. If the Python that it links to is gone, the environment is made anew.
%/bin/python: ;

$(READY): requirements/dev.txt pyproject.toml $(INSTALL) $(BIN)/python
	@$(PYTHON) $(INSTALL) $(VENV) requirements/dev.txt --editable .

$(VENV)-oldest/ready: requirements/oldest.txt pyproject.toml $(INSTALL) $(VENV)-oldest/bin/python
	@$(PYTHON) $(INSTALL) $(VENV)-oldest requirements/oldest.txt --editable .

$(VENV)-proto/ready: requirements/proto.txt $(INSTALL) $(VENV)-proto/bin/python
	@$(PYTHON) $(INSTALL) $(VENV)-proto requirements/proto.txt

$(VENV)-lock/ready: requirements/lock.txt $(INSTALL) $(VENV)-lock/bin/python
	@$(PYTHON) $(INSTALL) $(VENV)-lock requirements/lock.txt

$(VENV)-dist/ready: requirements/dist.txt $(INSTALL) $(VENV)-dist/bin/python
	@$(PYTHON) $(INSTALL) $(VENV)-dist requirements/dist.txt

demo: $(READY) ## A worker's life in about ten seconds, no server needed
	$(BIN)/python -m connect demo

lab: $(READY) ## A worker live on a web page, with buttons that disturb it; prints the page's address
	$(BIN)/python -m connect lab

test: $(READY) ## Every test (8 minutes); fails if the tests of the real worker miss a transition, or an outcome of a guard
	$(BIN)/python -m pytest -n auto -p statecharts.tools.coverage --transition-cover \
	    --transition-cover-from=tests/worker --transition-cover-min=100 \
	    --transition-cover-report=.transition-coverage $(PYTEST)

pythons: ## Every test with the Pythons of Debian's releases, unpacked by debootstrap; as root (an hour, and 2 GB of disk)
	.ci/pythons $(RELEASES)

COUNT ?= 0

soak: $(READY) ## 60 seconds of faults under load; COUNT=1000000 ISOLATION=thread: so many requests, their figures for docs/performance.md
	$(BIN)/python -m pytest tests/soak --soak-seconds 60 --soak-requests $(COUNT) $(if $(filter-out 0,$(COUNT)),--soak-save) \
	    $(if $(ISOLATION),-k $(ISOLATION)) -s $(PYTEST)

MINUTES ?= 5

fuzz: $(READY) ## Gateways that send whatever a protobuf can be spoilt to, for MINUTES=5
	$(BIN)/python -m pytest tests/fuzz --fuzz-seconds $$(( 60 * $(MINUTES) )) -s $(PYTEST)

SECONDS ?= 10

attack: $(READY) ## Hostile gateways, SECONDS=10 each, against a worker in each isolation: memory, /livez, how it ends (15 minutes)
	$(BIN)/python -m pytest tests/attack --attack-seconds $(SECONDS) -s $(PYTEST)

faults: $(READY) ## Remove each line that protects from a known fault, and check that its tests fail (minutes)
	$(BIN)/python -m tests.faults

mutate: $(READY) ## Change the charts in one place at a time, and check that tests of the worker fail (half an hour)
	nice $(BIN)/python -m tests.mutate $(MUTATE)

# pytest-asyncio before 1.4 leaves an event loop open after a test that calls asyncio.run: its sockets warn in whichever test collects them.
oldest: $(VENV)-oldest/ready ## The tests of the bridge to the SDK, with the oldest supported releases of the SDK and of everything else
	$(VENV)-oldest/bin/python -m pytest -n auto -m oldest -W "ignore:Protobuf gencode" -W "ignore:unclosed:ResourceWarning" \
	    tests/leaning/test_leaning_inngest.py tests/execution tests/worker/test_worker_first_light.py

newest: ## Every test, with the newest releases that pyproject.toml allows; first prints how they differ from the lock
	@$(PYTHON) $(INSTALL) $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-newest/bin/python -m pip install --quiet --upgrade --group dev --editable .
	sed -n 's/^\([A-Za-z0-9._-]*\)[^=]*==\([^ ]*\).*/\1==\2/p' requirements/dev.txt >$(VENV)-newest/locked
	@echo "releases other than the locked ones, if any:"
	@$(VENV)-newest/bin/python -m pip freeze --exclude-editable >$(VENV)-newest/installed
	@tr _ - <$(VENV)-newest/installed | grep -vixFf $(VENV)-newest/locked || true
	touch $(VENV)-newest/ready
	$(MAKE) test VENV=$(VENV)-newest

lint: $(READY) ## ruff, mypy --strict, shellcheck, actionlint
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy $(INSTALL)
	$(BIN)/shellcheck .ci/* tests/doctor/certificates/make.sh
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

diagrams: $(READY) ## Redraw diagrams/ from the charts, and the picture of the modules from their imports
	$(BIN)/python -m statecharts draw
	$(BIN)/python -m docs.modules

docs: $(READY) ## Write docs/api.md from the docstrings, and record docs/demo.svg
	$(BIN)/python -m docs.api
	$(BIN)/python -m docs.demo

proto: $(VENV)-proto/ready ## Regenerate connect/wire/ from proto/; fails if that changes a file, and shows which
	$(VENV)-proto/bin/python proto/generate.py
	git diff --exit-code --stat -- connect/wire

RESOLVE = $(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-strip-extras --generate-hashes \
    --no-annotate --no-header

lock: $(VENV)-lock/ready ## Resolve the locks again, to the newest releases that pyproject.toml allows
	$(RESOLVE) --group pyproject.toml:dev pyproject.toml --output-file requirements/dev.txt
	$(RESOLVE) --extra otel --extra uvloop pyproject.toml --output-file requirements/run.txt
	$(RESOLVE) --extra testing pyproject.toml --output-file requirements/testing.txt
	$(RESOLVE) requirements/dist.in --output-file requirements/dist.txt
	$(RESOLVE) requirements/proto.in --output-file requirements/proto.txt
	$(RESOLVE) requirements/lock.in --output-file requirements/lock.txt
	$(RESOLVE) --resolution lowest-direct --group pyproject.toml:test --group pyproject.toml:build pyproject.toml requirements/oldest.in \
	    --output-file requirements/oldest.txt

dist: $(VENV)-dist/ready ## Build wheel and sdist, check them, and use the wheel outside this folder, as a user would
	rm -rf dist
	$(VENV)-dist/bin/python -m build --no-isolation
	$(VENV)-dist/bin/python -m twine check --strict dist/*.whl dist/*.tar.gz
	$(VENV)-dist/bin/check-wheel-contents dist/*.whl
	cp requirements/run.txt dist/worker.txt
	$(VENV)-dist/bin/python -m tests.dist dist

bench: $(READY) ## Measure ours beside the official client; writes docs/performance.md and docs/scale.md (two hours)
	nice $(BIN)/python -m benchmarks

clean: ## Remove the virtual environments and caches
	rm -rf $(VENV) $(VENV)-dist $(VENV)-lock $(VENV)-newest $(VENV)-oldest $(VENV)-proto dist .mutation .transition-coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
