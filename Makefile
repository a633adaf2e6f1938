# Everything is one `make` away on a machine with rustup's Rust, Python 3 and Debian's packages; see `make help`.

.DEFAULT_GOAL := help
.PHONY: help setup setup-wasm setup-envoy setup-wasm-test setup-fuzz setup-istio setup-prometheus setup-chromium setup-valgrind setup-deny wasm wasm-faults noop image cli trim demo test fuzz hostile counts matrix bench soak eval lint deny schema clean

# The modules and the command are promised at fixed paths, wherever the user's cargo builds otherwise.
export CARGO_TARGET_DIR := $(CURDIR)/target
# Where rustup puts cargo: this shell may not have read the profile that says so.
export PATH := $(PATH):$(HOME)/.cargo/bin
# cargo runs its own jobs; make's job server would reach it broken (rustc warns) or hold it to make's -j.
unexport MAKEFLAGS MFLAGS

help: ## What there is (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: setup-wasm setup-envoy ## Find or install a compiler for wasm32 and an Envoy; nothing the second time

setup-wasm:
	@scripts/setup-wasm

setup-envoy:
	@scripts/setup-envoy

# Apart from `setup`: building the test runner takes minutes, which a demo should not.
setup-wasm-test:
	@scripts/setup-wasm-test

# What only tests need: the manifests' schemas; Prometheus and Alertmanager.
setup-istio: setup-wasm-test
	@scripts/setup-istio

setup-prometheus:
	@scripts/setup-prometheus

# Only `make fuzz` needs it, and building it takes minutes.
setup-fuzz:
	@scripts/setup-fuzz

# Apart from `setup` too: only the report's tests look at pages.
setup-chromium:
	@scripts/setup-chromium

# Apart from `setup` too: only benchmarks count instructions.
setup-valgrind:
	@scripts/setup-valgrind

# Apart from `setup` too: only `make lint` and `make deny` ask it.
setup-deny:
	@scripts/setup-deny

wasm: setup-wasm trim ## The plugin: target/pairwatch.wasm
	@scripts/build-module target/pairwatch.wasm pairwatch

# A target folder of its own: cargo gives both forms of the plugin the same file name.
wasm-faults: setup-wasm trim ## The plugin that traps on request, for tests: target/pairwatch-faults.wasm
	@CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/faults scripts/build-module target/pairwatch-faults.wasm pairwatch --features fault-injection

noop: setup-wasm ## The benchmarks' control, a plugin that does nothing: target/noop.wasm
	@scripts/build-module target/noop.wasm pairwatch-noop

trim:
	@cargo build --locked -p wasm-trim

image: wasm ## The plugin as an OCI image: target/image, and in docker, podman or buildah where there is one (IMAGE=name)
	@scripts/image

cli: ## The command: target/release/pairwatch
	@cargo build --locked --release -p pairwatch-cli

demo: setup wasm ## All set-up, then the plugin on a real Envoy (KEEP=1 leaves it running)
	@cargo run -q --locked -p pairwatch-testbed --bin demo

test: setup setup-wasm-test setup-istio setup-prometheus setup-chromium wasm wasm-faults noop ## All set-up, then all tests: native, on real Envoys, and the engine's on wasm32
	@cargo test --locked --workspace --no-fail-fast
	@scripts/cargo-wasm test --locked -p pairwatch-engine

# Under another name for the script: SECONDS is what bash counts by itself.
fuzz: setup-fuzz ## Every decoder with made-up bytes, a million runs each (TARGET=name, RUNS=n, SECONDS=s, SANITIZER=address)
	@RUNS="$(RUNS)" SECONDS_EACH="$(SECONDS)" SANITIZER="$(SANITIZER)" scripts/fuzz $(TARGET)

hostile: setup wasm ## Hostile traffic at full length: REQUESTS (1000000) made-up paths, authorities, users and addresses, twice; some minutes
	@PAIRWATCH_HOSTILE_REQUESTS=$(or $(REQUESTS),1000000) cargo test --locked --workspace --test hostile -- --nocapture

counts: wasm ## Regenerate benches/counts.json: what the module costs in calls, bytes and fuel, as a test compares it
	@PAIRWATCH_COUNTS_WRITE=1 cargo test -q --locked -p pairwatch --test counts
	@git --no-pager diff --stat -- benches/counts.json

bench: setup setup-valgrind wasm noop cli ## The benchmarks, beside their controls: a quarter of an hour
	@cargo run -q --locked --release -p pairwatch-engine --example costs
	@cargo run -q --locked --release -p pairwatch-testbed --bin bench
	@scripts/bench-replay 3

MINUTES ?= 30
soak: setup wasm ## Half an hour of mixed traffic, then whether counts, memory and cost hold (MINUTES=n; SOAK='--help' has more)
	@cargo run -q --locked --release -p pairwatch-testbed --bin soak -- --minutes $(MINUTES) $(SOAK)

eval: cli ## Detection quality on labelled traffic (PAIRWATCH_EVAL names the kit's folder)
	@scripts/eval

matrix: setup-istio wasm wasm-faults ## The tests on real Envoys for each minor version from 1.36 on, and the table in docs/envoy-versions.md
	@scripts/matrix

lint: setup-wasm ## Format, clippy (native and wasm32), links of the docs, shellcheck, cargo-deny; says what it skipped
	@scripts/lint

deny: setup-deny ## What we are built upon: licences, sources, duplicates, and known advisories where RustSec's database can be had
	@scripts/deny

schema: ## Regenerate filter-config/schema.json
	@cargo run -q --locked -p pairwatch-cli -- schema >filter-config/schema.json.new
	@mv filter-config/schema.json.new filter-config/schema.json

clean: ## Remove target/ (what set-up fetched stays in .tools/)
	@rm -rf target
