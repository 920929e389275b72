# Every verb of the project; `make` alone lists them. A verb sets up what it needs and may be interrupted at any
# point: the next run converges. STACK=local, the default, is Modal on this machine; with any other STACK the
# client finds Modal by its own configuration (modal token set, MODAL_TOKEN_ID, MODAL_ENVIRONMENT).

ifneq ($(filter 3.%,$(MAKE_VERSION)),)
$(error GNU make 4 or newer is needed, this is $(MAKE_VERSION); Debian: apt-get install make)
endif

STACK ?= local
APP := inference-custom-blocks
PYTHON ?= python3.11
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
LISTS := $(patsubst %,requirements/requirements.%.txt,server local-modal dev)
CODE := $(wildcard modal_app local_modal tests benchmarks)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PYTHON STACK
# An exported PYTHONDONTWRITEBYTECODE doubles the time of every import; PYTHONPATH and PYTHONHOME would shadow .venv.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

ifeq ($(STACK),local)
start_modal := $(PY) -m local_modal start
modal_env = credentials="$$($(PY) -m local_modal env)"; eval "$$credentials";
else
start_modal := echo "stack $(STACK): Modal by the client's own credentials"
modal_env =
endif

# A deploy that passed every check leaves what it was made of and what Modal said was deployed then. While both still
# agree, there is nothing to deploy, and a quick check replaces the full one.
PASSED := $(VENV)/.passed-$(STACK)
sources = { find modal_app local_modal requirements -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum; \
	  env | sort | awk '/^(CUSTOM_BLOCKS|LOCAL_MODAL|MODAL)_/'; } | sha256sum
deployed = $(PY) -m modal app history $(APP) --json 2>/dev/null | sha256sum

##@ Use

.PHONY: deploy
deploy: setup ## Set up what is missing, start local Modal, deploy the app, smoke-test it
	@$(start_modal)
	@$(modal_env) sources="$$($(sources))"; \
	if [ "$$sources $$($(deployed))" = "$$(cat $(PASSED) 2>/dev/null)" ] && $(PY) -m modal_app.smoke --quick; then \
	  echo "nothing to deploy: this is what passed all checks before (make smoke repeats them)"; \
	else \
	  rm -f $(PASSED); \
	  $(PY) -m modal deploy -m modal_app.app; \
	  $(PY) -m modal_app.smoke; \
	  echo "$$sources $$($(deployed))" >$(PASSED); \
	fi

.PHONY: build
build: setup ## Build the executors' image ahead of a deploy
	@$(start_modal)
	@$(modal_env) $(PY) -m modal_app.build

.PHONY: smoke
smoke: setup ## Check the whole chain of what is deployed: a table and an exit status
	@$(modal_env) $(PY) -m modal_app.smoke

.PHONY: status
status: setup ## Show local Modal: its address, its apps, the active layers of isolation
	@$(PY) -m local_modal status

.PHONY: logs
logs: setup ## Follow local Modal's log
	@$(PY) -m local_modal logs -f

.PHONY: down
down: setup ## Stop local Modal; what is deployed stays for the next start
	@$(PY) -m local_modal stop

##@ Work on it

.PHONY: setup
setup: $(READY) ## Create .venv with the pinned packages (every target does it when needed)

# Also when the interpreter behind .venv is gone, which no file's date tells.
$(READY): requirements/requirements.uv.txt $(LISTS) $(if $(shell $(PY) -c 'print(1)' 2>/dev/null),,force)
	@requirements/install.sh $(VENV) $@ $(LISTS)

.PHONY: force
force:

.PHONY: test
test: setup ## Run all tests; they start what they need (ARGS="-k name" narrows)
	@$(PY) -m pytest $(ARGS)

.PHONY: lint
lint: setup ## Check style and types: ruff, mypy --strict
	@$(VENV)/bin/ruff check $(CODE)
	@$(VENV)/bin/ruff format --check $(CODE)
	@$(PY) -m mypy $(CODE)

.PHONY: format
format: setup ## Format the code, with ruff's safe fixes
	@$(VENV)/bin/ruff check --fix-only --quiet $(CODE)
	@$(VENV)/bin/ruff format $(CODE)

.PHONY: bench
bench: setup ## Measure the chain: latency, throughput and memory, side by side
	@$(PY) -m benchmarks

.PHONY: lock
lock: | $(VENV)/bin/uv ## Compile requirements/*.in to pinned, hashed *.txt (UPGRADE=1: newest versions)
	@requirements/lock.sh $(VENV)/bin/uv $(if $(UPGRADE),--upgrade)

$(VENV)/bin/uv:
	@$(MAKE) setup

.PHONY: ci
ci: ## Run what CI runs, with the time of each stage
	@.ci/stages

.PHONY: clean
clean: ## Remove .venv and caches of tools; local Modal's state stays (see: local-modal reset)
	@rm -f $(READY)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "%s%s\n", sep, substr($$0, 5); sep = "\n"} \
	  /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
