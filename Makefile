# The one door to everything. `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
-include .cache/env.mk

.PHONY: help setup build pam test test-fast lint fmt licences bench cost cost-update demo doc clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## find or install what tests need (libclang, PostgreSQL 15 and 18, client drivers)
	@scripts/setup test

build: ## the release binary: target/release/pgweir
	@scripts/setup build
	@$(MAKE) --no-print-directory cargo-build

# A make of its own, so that settings that setup has just written are read.
.PHONY: cargo-build cargo-test
cargo-build:
	$(CARGO) build --release --locked

pam: ## the program that asks PAM for auth_type = pam: target/release/pgweir-pam
	$(CARGO) build --release --locked --manifest-path pam/Cargo.toml --target-dir target

test: ## everything: unit, documentation and integration tests on PostgreSQL 15 and 18
	@scripts/setup test
	@$(MAKE) --no-print-directory cargo-test

cargo-test:
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --lib --bins
	$(CARGO) test --locked --test it

test-fast: ## the inner loop: unit tests and the checks that need no PostgreSQL
	@scripts/setup build
	$(CARGO) test --lib
	$(CARGO) test --test it -- tidy:: licences::

lint: ## formatting and clippy, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

fmt: ## format the source
	$(CARGO) fmt

licences: ## every dependency's licence against deny.toml
	$(CARGO) test --locked --test it -- licences::

bench: ## pgweir beside PgBouncer and a bare TCP relay; settings: make bench BENCH='--help'
	@scripts/setup bench
	@$(MAKE) --no-print-directory cargo-build
	@benches/run $(BENCH)

cost: ## instructions and system calls per transaction against benches/cost.json
	@scripts/setup cost
	@$(MAKE) --no-print-directory cargo-build
	@benches/cost

cost-update: ## measure those again and store them
	@scripts/setup cost
	@$(MAKE) --no-print-directory cargo-build
	@benches/cost --update

demo: ## a throwaway PostgreSQL with a replica and pgweir in front; Ctrl-C removes all
	@scripts/setup demo
	@$(MAKE) --no-print-directory cargo-build
	@exec target/release/pgweir demo

doc: ## the crate's documentation, private items too
	$(CARGO) doc --no-deps --document-private-items

clean: ## build results and everything setup fetched into .cache
	$(CARGO) clean
	rm -rf .cache
