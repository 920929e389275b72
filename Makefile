# Every verb of the project; `make` alone lists them. A verb sets up what it needs and may be interrupted at any
# point: the next run converges. STACK=local, the default, is Modal on this machine; any other STACK is at the Modal
# that the client's own configuration names (modal token set, MODAL_TOKEN_ID), in its own Pulumi backend.

ifneq ($(filter 3.%,$(MAKE_VERSION)),)
$(error GNU make 4 or newer is needed, this is $(MAKE_VERSION); Debian: apt-get install make)
endif

STACK ?= local
PYTHON ?= python3.11
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
LISTS := $(patsubst %,requirements/requirements.%.txt,server local-modal infra dev)
CODE := $(wildcard infra modal_app local_modal docker tests benchmarks examples)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PYTHON STACK
# An exported PYTHONDONTWRITEBYTECODE doubles the time of every import; PYTHONPATH and PYTHONHOME would shadow .venv.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

CONVERGE := $(PY) -m infra.converge
REQUEST := build/serve/request.json
as_server = $(PY) -m infra.env_file --stack $(STACK) --run

ifeq ($(STACK),local)
start_modal := $(PY) -m local_modal start
modal_env = credentials="$$($(PY) -m local_modal env)"; eval "$$credentials";
else
start_modal := echo "stack $(STACK): Modal by the client's own credentials"
modal_env =
endif

# A deploy that passed every check leaves what it was made of and which deployment that was. While both are the same, a
# quick check beside the deploy replaces the full one after it; should it fail, Modal is compared with the stack first.
CHECKED := $(or $(XDG_STATE_HOME),$(HOME)/.local/state)/inference-custom-blocks/checked
DEPLOYED := $(CHECKED)/$(STACK).deployed
PASSED := $(CHECKED)/$(STACK).passed
QUICK_OUTPUT := $(CHECKED)/$(STACK).quick
made = { find modal_app local_modal requirements -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum; \
	  cat $(DEPLOYED) 2>&1; env | sort | awk '/^(CUSTOM_BLOCKS|LOCAL_MODAL|MODAL)_/'; } | sha256sum
passed = [ "$$($(made))" = "$$(cat $(PASSED) 2>/dev/null)" ]

##@ Use

.PHONY: deploy
deploy: setup ## Set up what is missing, start local Modal, converge the stack, smoke-test it
	@$(start_modal)
	@$(modal_env) quick=; \
	if $(passed); then $(as_server) $(PY) -m modal_app.smoke --quick >$(QUICK_OUTPUT) 2>&1 & quick=$$!; fi; \
	$(CONVERGE) up --stack $(STACK) --record $(DEPLOYED) $(if $(REFRESH),--refresh); \
	if [ "$$quick" ] && $(passed); then \
	  if wait "$$quick"; then \
	    cat $(QUICK_OUTPUT); echo "nothing changed since all checks passed (make smoke repeats them)"; cat $(DEPLOYED); exit; \
	  fi; \
	  cat $(QUICK_OUTPUT); echo "what is at Modal may differ from what was deployed: comparing"; \
	  $(CONVERGE) up --refresh --stack $(STACK) --record $(DEPLOYED); \
	fi; \
	rm -f $(PASSED); \
	$(as_server) $(PY) -m modal_app.smoke; \
	made="$$($(made))"; echo "$$made" >$(PASSED); \
	cat $(DEPLOYED)

.PHONY: preview
preview: setup ## Show what a deploy would change (DIFF=1: every property)
	@$(start_modal)
	@$(CONVERGE) preview --stack $(STACK) $(if $(DIFF),--diff)

.PHONY: policy
policy: setup ## Hold what a deploy would make against the policies (infra/policies)
	@$(start_modal)
	@$(CONVERGE) preview --policies --stack $(STACK)

.PHONY: release
release: setup ## Deploy and check the whole chain; roll back when a check fails
	@$(start_modal)
	@$(PY) -m infra.release --stack $(STACK) --record $(DEPLOYED)

.PHONY: drift
drift: setup ## Compare Modal with the stack and the code; fails when they differ
	@$(start_modal)
	@$(CONVERGE) drift --stack $(STACK)

.PHONY: rollback
rollback: setup ## Make the version before live (VERSION=v3: that one), till the next deploy
	@$(start_modal)
	@$(CONVERGE) rollback --stack $(STACK) $(if $(VERSION),--version $(VERSION))

.PHONY: destroy
destroy: setup ## Delete what the stack made (asks first, unless STACK=local or YES=1)
	@$(start_modal)
	@$(CONVERGE) destroy --stack $(STACK) $(if $(YES),--yes)

.PHONY: server-env
server-env: setup ## Print a server's variables (TRANSPORT=, SHOW_SECRETS=1, FILE=path, FORMAT=docker)
	@$(PY) -m infra.env_file --stack $(STACK) $(if $(TRANSPORT),--transport '$(TRANSPORT)') \
	  $(if $(FORMAT),--format $(FORMAT)) $(if $(SHOW_SECRETS),--show-secrets) $(if $(FILE),--file '$(FILE)')

.PHONY: serve
serve: setup ## Run a released server connected to the stack (TRANSPORT=native, PORT=9001)
	@$(start_modal)
	@$(PY) -m examples '$(or $(NAME),count_per_zone)' --request $(REQUEST)
	@$(PY) -m infra.serve --stack $(STACK) --request $(REQUEST) \
	  $(if $(TRANSPORT),--transport '$(TRANSPORT)') $(if $(PORT),--port '$(PORT)')

.PHONY: rotate
rotate: setup ## Make new tokens for a server; those before work until the next time (FILE=path)
	@$(start_modal)
	@$(CONVERGE) rotate --stack $(STACK)
	@$(MAKE) server-env

.PHONY: doctor
doctor: setup ## Say what the stack needs here, what is missing, and what to do about it
	@$(PY) -m infra.doctor --stack $(STACK)

.PHONY: build
build: setup ## Build the executors' image ahead of a deploy
	@$(start_modal)
	@$(modal_env) $(PY) -m modal_app.build

.PHONY: smoke
smoke: setup ## Check the whole chain of what is deployed: a table and an exit status
	@$(as_server) $(PY) -m modal_app.smoke

.PHONY: example
example: setup ## Run an example of examples/ on what is deployed (NAME=which; none: list them)
ifneq ($(wildcard examples/$(NAME)/workflow.json),)
	@$(start_modal)
	@$(as_server) $(PY) -m examples '$(NAME)'
else
	@$(PY) -m examples '$(NAME)'
endif

.PHONY: status
status: setup ## Show local Modal: its address, and the active layers of isolation
	@$(PY) -m local_modal status

.PHONY: logs
logs: setup ## Follow local Modal's log
	@$(PY) -m local_modal logs -f

.PHONY: down
down: setup ## Stop local Modal; what is deployed stays for the next start
	@$(PY) -m local_modal stop

##@ Images

IMAGES := $(PY) -m infra.server_images
SUPPLY_CHAIN := $(PY) -m infra.supply_chain
# A registry's layers are taken where they are the same, and left there for the next build where that is asked for.
layers = $(if $(LAYERS),--layers '$(LAYERS)' $(if $(PUSH_LAYERS),--push-layers))
image_arguments = $(if $(filter default,$(TORCH)),--arg TORCH_BACKEND=) $(if $(BASE),--arg PYTHON_IMAGE='$(BASE)')
# The engine that answers, or one started from the distribution's packages; and the base image on it.
with_engine = engine="$$(docker/engine.sh)"; eval "$$engine"; docker/base.sh $(if $(BASE),'$(BASE)') >&2;

.PHONY: images
images: setup ## Build the CPU server's image and local Modal's (BASE=, TORCH=default, LAYERS=)
	@$(with_engine) $(IMAGES) build cpu $(image_arguments) $(layers); \
	$(IMAGES) build local-modal $(if $(BASE),--arg PYTHON_IMAGE='$(BASE)') $(layers)

.PHONY: images-gpu
images-gpu: setup ## Build the GPU server's image (BASE=image)
	@$(with_engine) $(IMAGES) build gpu $(if $(BASE),--arg PYTHON_IMAGE='$(BASE)')

.PHONY: sbom
sbom: setup ## Write what is in each image that is built, as CycloneDX, to build/sbom
	@engine="$$(docker/engine.sh find)"; eval "$$engine"; $(SUPPLY_CHAIN) sbom

.PHONY: audit
audit: setup ## Ask the database of known vulnerabilities about what is pinned
	@$(SUPPLY_CHAIN) audit $(wildcard requirements/requirements.*.txt)

##@ Work on it

.PHONY: setup
setup: $(READY) ## Create .venv with the pinned packages (every target does it when needed)

# Also when the interpreter behind .venv is gone, which no file's date tells.
$(READY): requirements/requirements.uv.txt $(LISTS) $(if $(shell $(PY) -c 'print(1)' 2>/dev/null),,force)
	@requirements/install.sh $(VENV) $@ $(LISTS)

.PHONY: force
force:

.PHONY: test
test: setup ## Run all tests, folder by folder; they start what they need (ARGS=-k narrows)
	@$(if $(ARGS),$(PY) -m pytest $(ARGS),.ci/stages test)

.PHONY: test-docker
test-docker: setup ## Test the images on a Docker engine, which is started where none runs (ARGS=...)
	@$(with_engine) REQUIRE_DOCKER=1 $(PY) -m pytest tests/docker $(ARGS)

.PHONY: test-clients
test-clients: setup ## Run contract tests with each version of modal's client (VERSIONS=, QUICK=1)
	@$(PY) -m tests.contract.clients $(if $(QUICK),--quick) $(VERSIONS)

.PHONY: bench-images
bench-images: setup ## Measure the server's image: layers, build, start, memory, beside upstream's
	@$(with_engine) $(PY) -m benchmarks.images

.PHONY: lint
lint: setup lint-ci ## Check style and types (ruff, mypy, hadolint), and that generated files are current
	@$(VENV)/bin/ruff check $(CODE)
	@$(VENV)/bin/ruff format --check $(CODE)
	@$(PY) -m infra.reference --check
	@$(PY) -m mypy $(CODE)
	@$(VENV)/bin/hadolint $(filter-out %.dockerignore,$(wildcard docker/Dockerfile.*))

.PHONY: lint-ci
lint-ci: setup ## Check GitHub's workflows: actionlint (built with Go), zizmor
	@.ci/lint-workflows $(VENV)/bin/zizmor

.PHONY: format
format: setup ## Format the code, with ruff's safe fixes
	@$(VENV)/bin/ruff check --fix-only --quiet $(CODE)
	@$(VENV)/bin/ruff format $(CODE)

.PHONY: fuzz
fuzz: setup ## Feed the doors' parsers generated messages (HYPOTHESIS_PROFILE=full: fewer)
	@HYPOTHESIS_PROFILE=$(or $(HYPOTHESIS_PROFILE),fuzz) $(PY) -m pytest -q tests/unit/modal_app/gateway/test_fuzz.py \
	  tests/unit/modal_app/contract/test_properties.py --timeout=0 $(ARGS)

.PHONY: load
load: setup ## Call from many workspaces at once (TEST_SECONDS, TEST_WORKSPACES, TEST_THREADS)
	@$(PY) -m pytest -q -s tests/load $(ARGS)

.PHONY: chaos
chaos: setup ## Kill local Modal's processes at random, under load (TEST_SECONDS, TEST_SEED)
	@$(PY) -m pytest -q -s tests/chaos $(ARGS)

.PHONY: docs
docs: setup ## Write what is generated: configuration, differences, modal's versions
	@$(PY) -m infra.reference
	@$(PY) -m tests.chain.behaviours --write
	@$(PY) -m tests.contract.clients --write

.PHONY: bench
bench: setup ## Measure the chain: latency, throughput and memory, side by side
	@$(PY) -m benchmarks
	@$(PY) -m benchmarks.doors

.PHONY: lock
lock: | $(VENV)/bin/uv ## Compile requirements/*.in to pinned, hashed *.txt (UPGRADE=1: newest versions)
	@requirements/lock.sh $(VENV)/bin/uv $(if $(UPGRADE),--upgrade)

$(VENV)/bin/uv:
	@$(MAKE) setup

.PHONY: ci
ci: ## Run what CI runs, with the time of each stage
	@.ci/stages

.PHONY: ci-full
ci-full: ## Run that with more kills and generated values, then load and chaos
	@.ci/stages full

.PHONY: comment
comment: setup ## Write a preview as a comment on a pull request (FILE=path)
	@.ci/preview-comment $(STACK) '$(or $(FILE),build/preview.md)'

.PHONY: ran
ran: ## Fail unless each of RESULTS, how the jobs of a pipeline ended, is success
	@.ci/ran $(RESULTS)

.PHONY: clean
clean: ## Remove .venv and caches of tools; local Modal's state stays (local-modal reset)
	@rm -f $(READY)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "%s%s\n", sep, substr($$0, 5); sep = "\n"} \
	  /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
