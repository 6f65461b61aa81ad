# make demo   sets everything up, then trains, converts, runs and benchmarks; DATA=photos/ takes your own photos
# make test   sets everything up, then checks and tests; the last lines say what was skipped, and why
# make test-slow  injected faults and endurance, which take minutes each
# make deps   installs what the tests need beside Python (apt: mosquitto, OpenSSL, sshd, Chromium, node, a C compiler, QEMU)
# make venv   only sets everything up, in .venv
# make check  formatting, lint, types, layers
# make check-js  types of the JavaScript that runs in browsers; needs what `make deps` installs
# make wheel  what the Pi installs, in dist/
# make verify-pi  the product on emulated Raspberry Pis with a camera; MODELS="a.tflite b.tflite" PHOTOS=photos/ are yours,
#                 OPTIONS=--help tells more
# make verify-pi-32  what there is for 32-bit Raspberry Pi OS
# make verify-instructions  whether a frame has become dearer on Arm, in instructions
# make verify-home-assistant  a real Home Assistant with the MQTT sink; needs mosquitto and Python 3.13, HA_PYTHON=... names one
# make verify-web  the JavaScript engine against Python, in node, Chromium and Firefox; MODELS="a.tflite b.tflite" PHOTOS=photos/ are yours,
#                 OPTIONS=--help tells more
# make verify-phone  the page for phones: every cut of an update, and MODELS on a camera that plays PHOTOS against the device,
#                 frames per second, memory and bytes of a first visit with them
# make verify-gpu  the same training on the GPU and on the processor, and a report; DATA=photos/ takes your own photos
# make bench-familiarity FILE=flowers-int8.tflite  what it costs that a file tells what is foreign to it
# make mutants  breaks the contracts in a thousand ways and tells what no test notices; EACH=16 a sample of each contract,
#                 CONTRACTS="seal, label order" these only
# make docs   the documentation as a site, in documentation/
# make clean  removes .venv, the demo, the documentation and dist/

DATA ?= signs
DEMO ?= demo
# The first interpreter that TensorFlow has a wheel for.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)

# Where NVIDIA's driver is, TensorFlow comes with its CUDA libraries. GPU= leaves them out, GPU=gpu, asks for them.
GPU ?= $(shell test "$$(uname -m)" = x86_64 && { test -e /proc/driver/nvidia/version || test -e /usr/lib/wsl/lib/nvidia-smi || \
	command -v nvidia-smi >/dev/null; } && echo gpu,)

BIN := .venv/bin
READY := .venv/ready

# A venv works only where it was made.
$(shell test ! -e $(READY) || test "$$(cat $(READY))" = "$(CURDIR)" || rm -rf .venv)

help:
	@sed -n 's/^# //p; /^$$/q' Makefile

.PHONY: help docs demo test test-slow pytest pytest-slow deps check check-js venv wheel clean verify-pi verify-pi-pins verify-pi-ssh verify-pi-32 verify-instructions verify-gpu verify-web verify-phone verify-home-assistant bench-familiarity mutants

venv: $(READY)

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 with venv is needed (TensorFlow has no wheel for 3.14); name one with PYTHON=..." >&2; exit 2; }
	@echo "Setting up .venv with $(PYTHON): $(if $(GPU),several GB with CUDA's libraries,about 3 GB), a minute or more" >&2
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[$(GPU)train,convert,bench]' --group dev
	@$(BIN)/python -c 'import edge_core'
	@echo '$(CURDIR)' > $(READY)

# Small signs are seen better on pictures larger than those that it is trained on.
ifeq ($(DATA),signs)
DEMO_SIZES := --image-size 192 --train-size 160
endif

demo: $(READY)
	rm -rf $(DEMO)/new
	$(BIN)/edge-train fit "$(DATA)" $(DEMO_SIZES) --out $(DEMO)/new
	@rm -rf $(DEMO)/run && mv $(DEMO)/new $(DEMO)/run  # trained beside: a run that fails leaves the one before
	$(BIN)/edge-convert export $(DEMO)/run --recipe int8 --out $(DEMO)/int8.tflite
	$(BIN)/edge-convert export $(DEMO)/run --recipe float16 --out $(DEMO)/float16.tflite
ifeq ($(DATA),signs)
	$(BIN)/edge-train signs --sheet $(DEMO)/signs.pdf --video $(DEMO)/drive.mp4
	$(BIN)/edge-run live $(DEMO)/int8.tflite --source $(DEMO)/drive.mp4 --json > $(DEMO)/drive.jsonl
	@head -n 3 $(DEMO)/drive.jsonl
else
	$(BIN)/edge-run images $(DEMO)/int8.tflite "$(DATA)" --json > $(DEMO)/photos.jsonl
	@head -n 3 $(DEMO)/photos.jsonl
endif
	$(BIN)/edge-bench run $(DEMO)/run $(DEMO)/int8.tflite $(DEMO)/float16.tflite --cold-starts 1 --seconds 5 --out $(DEMO)/bench

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@cd docs/examples && "$(CURDIR)/$(BIN)/mypy" --strict --config-file= --cache-dir "$(CURDIR)/.mypy_cache" *.py  # as users see the packages; what is installed has been read above
	$(BIN)/lint-imports

check-js:
	@for folder in $(dir $(wildcard convert/edge_convert/web/*/tsconfig.json)); do \
		node .venv/node/node_modules/typescript/bin/tsc -p $$folder || exit 1; done

# Processes at once: three for two cores, since a quarter of the tests' time is waiting; each may hold TensorFlow and takes up to 2 GB.
PARALLEL ?= -n $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 ))) --maxprocesses 4 --dist worksteal
# Whatever the caller's shell asks for: each command that a test starts, and each mutant, would compile the product anew.
pytest pytest-slow mutants: export PYTHONDONTWRITEBYTECODE :=
# One thread of arithmetic each: threads that wait for one another on cores that are taken cost a fit twice the time.
pytest pytest-slow: export OPENBLAS_NUM_THREADS ?= 1
pytest pytest-slow: export OMP_NUM_THREADS ?= 1
pytest pytest-slow: export TF_NUM_INTRAOP_THREADS ?= 1
pytest pytest-slow: export TF_NUM_INTEROP_THREADS ?= 1

# Types are checked beside the tests, which leaves no core idle; both are run to their end.
test: $(READY)
	$(MAKE) --no-print-directory -j 2 -k check pytest

test-slow: $(READY)
	$(MAKE) --no-print-directory -j 2 -k check pytest-slow

pytest: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) $(OPTIONS)

pytest-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(PARALLEL) $(OPTIONS)

# Real programs for the tests, which skip by name where one is missing.
APT := $(if $(filter 0,$(shell id -u)),,sudo )apt-get
AXE := 4.14.1
TYPESCRIPT := 5.9.3
LITERT := 2.5.3
DEPS := mosquitto openssl openssh-server chromium xvfb gcc libc6-dev libgl1 systemd qemu-system-arm
# NodeSource's nodejs brings its own npm and conflicts with the distribution's, which would fail the whole install.
NODE = $$(command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm)

deps:
	$(APT) update -q
	$(APT) install -y -q --no-install-recommends $(DEPS) $(NODE)
	-$(APT) install -y -q --no-install-recommends firefox-esr  # not every distribution has it
	@command -v npm >/dev/null || { echo "npm is not installed: pages are tested without axe-core, their code not for types"; exit 0; }; \
	npm install --prefix .venv/node --no-save --no-package-lock --no-audit --no-fund axe-core@$(AXE) typescript@$(TYPESCRIPT) @litertjs/core@$(LITERT)

wheel: $(READY)
	$(BIN)/python -m build --wheel --no-isolation

verify-pi: $(READY)
	$(BIN)/python -m tests.emulated.verify $(MODELS) $(if $(PHOTOS),--photos "$(PHOTOS)") $(OPTIONS)

# What emulated boards install, resolved anew. Instruction counts are of these versions.
verify-pi-pins: $(READY)
	$(BIN)/python -m tests.emulated.pins

# Home Assistant in an environment of its own; what its integrations need it installs by itself when it starts.
HA_PYTHON ?= python3.13
HA_VENV ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/edge-mobilenet/home-assistant
HASS ?= $(HA_VENV)/bin/hass
$(HA_VENV)/bin/hass:
	$(HA_PYTHON) -m venv "$(HA_VENV)" && "$(HA_VENV)/bin/pip" install --quiet --prefer-binary homeassistant

verify-home-assistant: $(READY) $(filter $(HA_VENV)/bin/hass,$(HASS))
	$(BIN)/python -m tests.home_assistant.verify --hass "$(HASS)"

verify-pi-ssh: $(READY)
	$(BIN)/python -m tests.emulated.ssh $(MODELS)

verify-pi-32: $(READY)
	$(BIN)/python -m tests.emulated.armv7l $(MODELS)

# Exit status 1 if a cost has risen by over 2 %.
verify-instructions: $(READY)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	models=$$($(BIN)/python benchmarks/experiments/instruction_models.py "$$folder") && \
	$(BIN)/edge-bench instructions $$models --against benchmarks/reference/instructions.csv

bench-familiarity: $(READY)
	@$(BIN)/python benchmarks/experiments/familiarity_cost.py $(FILE)

verify-web: $(READY)
	$(BIN)/python -m tests.convert.web_engine.verify $(MODELS) $(if $(PHOTOS),--photos "$(PHOTOS)") $(OPTIONS)

verify-gpu: $(READY)
	$(BIN)/python -m tests.gpu.verify "$(DATA)" $(OPTIONS)

verify-phone: $(READY)
	$(BIN)/python -m pytest -m "slow or not slow" tests/convert/web $(OPTIONS)
	$(if $(MODELS),$(BIN)/python -m tests.convert.web.phone $(MODELS) --photos "$(PHOTOS)")
	$(if $(MODELS),$(BIN)/python -m tests.convert.web.phone_speed $(MODELS) --photos "$(PHOTOS)")

# Exit status 1 if a mutant survives that is not known to do what the original does.
mutants: $(READY)
	$(BIN)/python -m tests.mutants $(if $(EACH),--each $(EACH)) $(if $(CONTRACTS),"$(CONTRACTS)")

clean:
	rm -rf .venv $(DEMO) dist documentation

# The documentation as a site, in documentation/; a link that leads nowhere or a name that is gone is an error.
docs: $(READY)
	@$(BIN)/python -m pip install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict --quiet
