# RecTutor. `make book` and `make test` each do everything on a fresh machine with Python >= 3.11; `make` lists the rest.
PYTHON ?= python3
PORT ?= 8000
HERE := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
BIN := .venv/bin
READY := .venv/.installed
PEERS := .venv-peers
BUILD := $(BIN)/jupyter-book build . -W -n --keep-going

# Copies of public data sets, for the tests and the ledger: by default the folder beside this checkout, if there is one.
ifndef RECTUTOR_SAMPLES
ifneq ($(wildcard $(HERE)../shared/data/.),)
export RECTUTOR_SAMPLES := $(abspath $(HERE)../shared/data)
endif
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# threads that wait for each other leave the core to others: several times as fast where other work shares the cores
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help book html serve test check lab bench picture browser clean
help:
	@echo "make book      install, build the book and serve it on this machine (PORT=$(PORT))"
	@echo "make test      install and run every check (up to 30 minutes)"
	@echo "make check     the fast loop: lint, types and the fast tests"
	@echo "make lab       open the notebooks in JupyterLab"
	@echo "make bench     run the benchmarks beside other libraries (installs them into $(PEERS))"
	@echo "make html      build the book without serving it"
	@echo "make picture   take the picture in the README from the built book"
	@echo "make clean     remove what was built (the environments stay)"
	@echo "Another interpreter: make book PYTHON=python3.12"

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "RecTutor needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)."; \
	  echo "Install one and say where it is: make PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "No virtual environment: on Debian and Ubuntu, install the package python3-venv."; exit 1; }
	@echo "Installing the locked requirements into .venv (a few minutes, once)"
	@$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.txt
	@# the build of torch that Linux gets by default needs CUDA's libraries beside it; where it does not, this adds nothing
	@$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.txt)"
	@# setuptools warns of every editable install; there is nothing for a reader to do about it
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

book: html
	@$(BIN)/python -m rectutor.preview _build/html --port $(PORT)

serve: book

html: $(READY)
	@$(BUILD)

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -m "not slow" --ignore=tests/book --ignore=tests/browser tests

test: $(READY) browser
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -rs --durations=15 --doctest-modules rectutor tests

browser: $(READY)
	@$(BIN)/python tests/browser/chromium.py || $(BIN)/python -m playwright install chromium || { \
	  echo "The browser tests need Chromium: install it (Debian: apt-get install chromium) and run make test again."; exit 1; }

lab: $(READY)
	@$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/book/index.ipynb --LabApp.news_url=None \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(if $(filter 0,$(shell id -u)),--allow-root)

$(PEERS)/.installed: benchmarks/requirements.txt $(READY)
	@test -x $(PEERS)/bin/python || $(BIN)/python -m venv $(PEERS)
	@echo "Installing the peers into $(PEERS) (some compile; several minutes, once)"
	@$(PEERS)/bin/python -m pip install --quiet setuptools wheel numpy==$$(sed -n 's/^numpy==//p' $<) Cython pybind11
	@$(PEERS)/bin/python -m pip install --quiet --no-deps --no-build-isolation --requirement $<
	@touch $@

bench: $(PEERS)/.installed
	@set -e; for name in bench_similarity bench_factors bench_metrics bench_rerank bench_ctr bench_fm bench_ftrl bench_ann ledger ledger_ctr; do \
	  echo "== benchmarks.$$name"; PYTHONPATH=. $(PEERS)/bin/python -m benchmarks.$$name; done

picture: html browser
	@$(BIN)/python tests/browser/picture.py book/_static/page.png

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find rectutor tests benchmarks book -name __pycache__ -type d -prune -exec rm -rf {} +
