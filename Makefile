# Everything a person runs. `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RUNS ?= data/runs
MODE ?= replay
# Test processes; each needs a gigabyte.
WORKERS ?= 2
.DEFAULT_GOAL := help
.PHONY: help setup demo dashboard notebooks notebooks-build notebooks-quick test test-browser test-slow test-cluster chaos long-run licences offline-kit workshop parity perf-eval perf-train gpu-check lint format workshop-data clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"slimnb needs Python 3.11 to 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[all]' -c constraints.txt
	$(BIN)/slimnb models get smollm2-135m
	@touch $(READY)

setup: $(READY)  ## create .venv, install everything, prepare the offline model

demo: $(READY)  ## base, LoRA, QLoRA and full fine-tuning compared on the workshop's benchmarks
	$(BIN)/slimnb study run data/studies/quick.yaml --runs $(RUNS)
	@echo
	@echo 'Look at these runs:  $(BIN)/streamlit run dashboard/app.py'

dashboard: $(READY)  ## open the dashboard on the saved runs
	$(BIN)/streamlit run dashboard/app.py

notebooks: $(READY)  ## open the workshop in JupyterLab (MODE=quick trains and measures on this machine)
	SLIMNB_MODE=$(MODE) $(BIN)/jupyter lab notebooks/00_start_here.ipynb

notebooks-build: $(READY)  ## run all notebooks on the shipped runs and keep what they show (needs Chrome or Chromium)
	$(BIN)/python notebooks/build.py

notebooks-quick: $(READY)  ## run all notebooks with real training and scoring, into build/notebooks
	$(BIN)/python notebooks/build.py --mode quick --out build/notebooks

test: lint  ## lint, types, floors of the house, and the fast tests
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile

test-browser: $(READY)  ## the dashboard in a real Chromium, if there is one; screenshots in build/screenshots
	$(BIN)/pytest -m browser --numprocesses $(WORKERS)

test-slow: $(READY)  ## the tests that take minutes: the real model on the real benchmarks
	$(BIN)/pytest -m slow

test-cluster: $(READY)  ## studies on Ray, with workers lost (installs the extra `cluster`; minutes)
	$(BIN)/pip install --quiet -e '.[cluster]' -c constraints.txt
	$(BIN)/pytest -m cluster

chaos: $(READY)  ## faults planted in running commands, bad inputs, a fuzzer (installs the extra `chaos`)
	$(BIN)/pip install --quiet -e '.[chaos]' -c constraints.txt
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.corpus
	$(BIN)/python -m tests.corpus.fuzz --seconds 300
	$(BIN)/python -m tests.security_page
	$(BIN)/python -m tests.chaos.report

licences: $(READY)  ## every dependency's licence, allowed or not, and known holes where they can be looked up
	$(BIN)/python -m tests.licences --audit

offline-kit: $(READY)  ## the project, its packages and the model in build/offline-kit, for a stick
	$(BIN)/python -m notebooks.offline_kit

workshop: $(READY)  ## prepare everything a room needs: set-up, a look by the doctor, the offline kit
	$(BIN)/slimnb doctor
	$(BIN)/python -m notebooks.offline_kit

long-run: $(READY)  ## two hours of training and scoring: does memory grow, does a file stay open?
	$(BIN)/python -m tests.chaos.long_run

parity: $(READY)  ## scores beside lm-evaluation-harness's, item by item (installs the extra `peers`; an hour)
	$(BIN)/pip install --quiet -e '.[peers]' -c constraints.txt
	$(BIN)/pytest -m peers

perf-eval: $(READY)  ## evaluation's speed and memory beside lm-evaluation-harness's (half an hour, a quiet machine)
	$(BIN)/pip install --quiet -e '.[peers]' -c constraints.txt
	$(BIN)/python -m tests.perf.evaluation

perf-train: $(READY)  ## training's speed and memory beside TRL's (half an hour, a quiet machine)
	$(BIN)/pip install --quiet -e '.[peers]' -c constraints.txt
	$(BIN)/python -m tests.perf.training

gpu-check: $(READY)  ## every method trained and scored on a CUDA GPU, measured; elsewhere it says what it would do
	$(BIN)/python -m tests.perf.gpu_check

lint: $(READY)  ## ruff, pyright and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)  ## put the code in its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

workshop-data: $(READY)  ## make the workshop's data sets again, byte for byte
	$(BIN)/python data/workshop/generate.py

clean:  ## remove the environment and caches, keep runs and models
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info
