# Two commands do everything on a fresh Debian-like machine: `make demo` and `make test`. Each makes the one .venv where it is
# missing and installs what it needs. `make help` lists the rest.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do command -v $$p && break; done)
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Many tests wait for a time-out of something real: one more of them than cores. A file's tests share what they set up.
JOBS   ?= $(shell expr $$(nproc) + 1)
APT    := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120

# libGL and glib: opencv-python. mosquitto: the demo's and the tests' real broker.
SYSTEM_DEMO := mosquitto libgl1 libglib2.0-0
# avr-gcc and its library: the controller's image.
SYSTEM_FIRMWARE := make gcc-avr avr-libc binutils-avr
# systemd: systemd-analyze and systemd-sysusers check the units. gcc, simavr: the controller's two other bodies. clang: the
# fuzzers. arduino-core-avr: the real bootloader, for flashing.
SYSTEM_TEST := $(SYSTEM_DEMO) $(SYSTEM_FIRMWARE) systemd gcc libc6-dev libsimavr-dev libelf-dev \
               avrdude arduino-core-avr clang libclang-rt-dev

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench scenes soak firmware lock clean system-demo system-test system-firmware

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-8s %s\n", $$1, $$2}'

demo: system-demo $(VENV)/.demo ## Show a bin sorting real photographs; ends by itself
	@echo "== demo: a simulated bin, everything else real"
	$(BIN)/bin-daemon demo --fetch $(DEMO_ARGS)

test: system-test $(VENV)/.test ## Install what is missing, then run every check and test
	@$(MAKE) --no-print-directory check

check: ## Every check that CI makes: format, lint, types, import contracts, generated files, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m firmware_protocol.generate --check
	$(BIN)/pytest -n $(JOBS) --dist loadfile

format: ## Format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

firmware: system-firmware ## Build the controller's image: firmware_protocol/firmware/build/mega2560.hex
	@$(MAKE) --no-print-directory -C firmware_protocol/firmware

bench: $(VENV)/.test ## Measure speed and memory against peers: a table, then one JSON object
	$(BIN)/python -m tests.benchmarks

scenes: $(VENV)/.test ## Score the placement detector on several hundred clips with known truth (SCENES_ARGS="--help")
	$(BIN)/python -m tests.scenes $(SCENES_ARGS)

soak: $(VENV)/.test ## A million frames through the detector, 100,000 through the pipeline: does anything grow? (SOAK_ARGS="--help")
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

lock: ## Resolve constraints.txt anew for all Pythons (needs uv)
	@{ sed -n '/^#/p' constraints.txt; \
	   uv pip compile --quiet --universal --python-version 3.10 --extra dev --no-header --no-annotate -c .ci/torch-pins.txt pyproject.toml; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# -- set-up ------------------------------------------------------------------------------------------------------------------

define need
	@missing=""; for package in $(1); do \
	   dpkg-query -W -f='$${db:Status-Status}\n' $$package "$$package:*" 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	 done; \
	 if [ -z "$$missing" ]; then exit 0; fi; \
	 if ! command -v apt-get >/dev/null; then \
	   echo "== no apt-get here: please install the equivalents of:$$missing" >&2; exit 0; fi; \
	 echo "== installing system packages:$$missing"; \
	 $(APT) update -qq && $(APT) install -y -qq --no-install-recommends $$missing
endef

system-demo:
	$(call need,$(SYSTEM_DEMO))

system-firmware:
	$(call need,$(SYSTEM_FIRMWARE))

system-test:
	$(call need,$(SYSTEM_TEST))

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "no python3 found: apt-get install python3 python3-venv" >&2; exit 69; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v < (3, 14))' || \
	  { echo "Python 3.10 to 3.13 is needed, $(PYTHON) is $$($(PYTHON) -V): set PYTHON=python3.11" >&2; exit 69; }
	@echo "== making $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(APT) update -qq && $(APT) install -y -qq --no-install-recommends python3-venv; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== installing Python packages into $(VENV) (torch is large: about 5.5 GB on x86-64, a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== installing Python packages and the workshop's tools into $(VENV) (torch is large: about 5.5 GB on x86-64, a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo
