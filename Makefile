# Perimage. `make` alone lists the verbs; each sets up what it needs first.

VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/
SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))
PINS := constraints.txt
PIP := $(RUN)python -m pip --disable-pip-version-check --quiet
UV_SYNC := uv sync --quiet --frozen --all-extras --all-packages
HOSTS := grep -oE "https?://[^/]+" uv.lock | sort -u
.DEFAULT_GOAL := help
.PHONY: help setup demo up serve test test-all lint bench screenshots lock clean

help:  ## list the verbs
	@echo "Perimage: meter images, bill licence fees."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## install everything into .venv, with uv when it is there, else with venv and pip
	@echo "Ready. Next: make demo, or make help."

demo: $(READY)  ## bill a month of real usage amid months of history, keep serving (SERVE=0: end after the summary)
	@$(RUN)perimage demo $(if $(filter 0 no false,$(SERVE)),--no-serve) $(if $(DATA),--data $(DATA))

up: $(READY)  ## run the database, the queue, the service, the worker and beat until Ctrl-C (DATA=folder, PORT=number)
	@$(RUN)perimage up $(if $(DATA),--data $(DATA)) $(if $(PORT),--port $(PORT))

serve: up  ## the same as up

# Tests start programs by the dozen, which would each be compiled anew where the environment forbids to keep bytecode.
test test-all: export PYTHONDONTWRITEBYTECODE :=
test: $(READY)  ## run the tests, but for those that take minutes (ARGS=... for pytest)
	@$(RUN)pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' $(ARGS)

test-all: $(READY)  ## run every test
	@$(RUN)pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)  ## check style, format, types and who may import whom
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

bench: $(READY)  ## measure the intake against its baselines on this machine
	@$(RUN)python bench/intake.py $(ARGS)

screenshots: $(READY)  ## take the pictures of docs/screenshots anew, in Chromium (ARGS=names of some)
	@$(RUN)python -m tests.service.dashboard.screenshots $(ARGS)

lock:  ## write uv.lock and constraints.txt anew; needs uv (ARGS=--upgrade for newer versions)
	@before=$$($(HOSTS)); uv lock $(ARGS) && if [ "$$($(HOSTS))" != "$$before" ]; then \
	  echo "uv.lock names another index than before; lock again with the default index." >&2; exit 1; fi
	@echo '# Written by make lock: what pip installs where there is no uv; the versions and hashes of uv.lock.' >$(PINS)
	@uv export --quiet --frozen --all-extras --no-emit-workspace --no-annotate --no-header >>$(PINS)

clean:  ## remove .venv and every cache; your data in .local stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -not -path './.local/*' -prune -exec rm -rf {} +

# The stamp is written last, so an interrupted run is simply done again. uv is tried with its own list of authorities,
# then with this machine's, which a company network may need; pip is there when uv cannot.
$(READY): pyproject.toml sdk/pyproject.toml uv.lock $(PINS)
	@rm -f $@
	@if command -v uv >/dev/null; then \
	  echo "Installing into $(VENV) with uv ..."; \
	  $(UV_SYNC) 2>/dev/null || UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 $(UV_SYNC) || $(MAKE) --no-print-directory .install-with-pip; \
	else \
	  $(MAKE) --no-print-directory .install-with-pip; \
	fi
	@touch $@

.PHONY: .install-with-pip
.install-with-pip:
	@for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	  if command -v $$name >/dev/null && $$name -c '$(SUPPORTED)' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Perimage needs Python 3.11 or newer; here python3 is $$(python3 --version 2>/dev/null || echo missing). Install one, or uv." >&2; exit 1; \
	fi; \
	if ! $(RUN)python -c '$(SUPPORTED)' 2>/dev/null || ! $(PIP) --version >/dev/null 2>&1; then \
	  rm -rf $(VENV); \
	  if ! $$python -m venv $(VENV); then \
	    echo "$$python cannot make a virtual environment; on Debian and Ubuntu install python3-venv, or install uv." >&2; exit 1; \
	  fi; \
	fi; \
	echo "Installing $$(grep -c == $(PINS)) packages into $(VENV) with pip; about a minute the first time ..."
	@$(PIP) install --require-hashes -r $(PINS)
	@$(PIP) install --no-deps --editable . --editable ./sdk
