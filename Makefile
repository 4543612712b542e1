# `make help` lists what there is to do. Nothing needs to be installed first but Python 3.11+ and
# npm; another Python than the first one found: make run PYTHON=/path/to/python3.12
PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
# The lock names every package, so nothing is left to resolve: a newer release changes nothing.
PIP_INSTALL = $(VENV_PYTHON) -m pip install -qq --no-input --disable-pip-version-check --no-deps --require-hashes

.PHONY: help run demo test check simulate bench lock clean
.DEFAULT_GOAL = help

help: ## List these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile

run: .venv/.runtime ## Serve the portal on http://127.0.0.1:8000
	@$(VENV_PYTHON) hatch_build.py
	@exec $(VENV_PYTHON) manage.py run

demo: .venv/.runtime ## The same with three users and a few slow transfers
	@$(VENV_PYTHON) hatch_build.py
	@exec $(VENV_PYTHON) manage.py demo

test: .venv/.dev ## Set up everything the tests need, then do what CI does
	@$(VENV_PYTHON) hatch_build.py --dev
	@$(VENV_PYTHON) tests/browser/chromium.py
	@$(VENV_PYTHON) tests/shipped/environment.py
	@$(VENV_PYTHON) tests/storages/environment.py
	@$(VENV_PYTHON) tests/support/redis_server.py
	@exec $(VENV_PYTHON) manage.py check

check: test ## The same as make test

simulate: .venv/.dev ## Run a million courses of jobs, workers and faults under virtual time
	@exec $(VENV_PYTHON) -m tests.simulation $(COURSES)

bench: .venv/.dev ## Measure, beside references (BENCH_QUICK=1: try the benchmarks)
	@$(VENV_PYTHON) hatch_build.py --dev
	@exec $(VENV_PYTHON) -m bench

lock: .venv/.dev ## Write the pinned requirements anew from pyproject.toml
	@CUSTOM_COMPILE_COMMAND="make lock" $(VENV_PYTHON) -m piptools compile \
		--output-file requirements.txt pyproject.toml
	@CUSTOM_COMPILE_COMMAND="make lock" $(VENV_PYTHON) -m piptools compile --extra dev \
		--constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

clean: ## Remove what was installed and built; data in instance/ stays
	rm -rf .venv node_modules static/vendor dist .coverage .coverage.* \
		.hypothesis .mypy_cache .pytest_cache .ruff_cache test-artefacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment whose Python has gone, after an upgrade of the system say, is made anew.
$(shell test ! -e .venv/.made || $(VENV_PYTHON) -c '' 2>/dev/null || rm -f .venv/.made)

# The stamps are newer than the requirements once all of them are installed. The development
# requirements hold the runtime ones, so that `make run` after `make test` installs nothing.
.venv/.runtime: requirements.txt .venv/.made
	@echo "Installing Python packages into .venv"
	@$(PIP_INSTALL) -r requirements.txt || { echo "The Python packages could not be installed; pip says above why." >&2; exit 1; }
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt .venv/.made
	@echo "Installing Python packages for development into .venv"
	@$(PIP_INSTALL) -r requirements-dev.txt || { echo "The Python packages could not be installed; pip says above why." >&2; exit 1; }
	@touch .venv/.runtime $@

.venv/.made:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; '$(PYTHON)' was not found. Name another one: make run PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is older or does not start. Name another one: make run PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer with npm (on Debian and Ubuntu: apt install nodejs npm)." >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv || { echo "The virtual environment .venv could not be made; Python says above why." >&2; exit 1; }
	@touch $@
