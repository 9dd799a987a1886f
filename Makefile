# What a newcomer types. `make help` lists it.
#
# As root, or as a user who may use sudo: then everything is built as the user, and only what makes network
# namespaces runs as root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)

# rustup's place, for shells that have not read its profile; and where Debian keeps ip and modprobe.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:/usr/sbin:/sbin

AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E)
# A variable that makes cargo and nextest run tests through sudo where we are not root.
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
RUN_AS_ROOT := $(if $(AS_ROOT),CARGO_TARGET_$(HOST)_RUNNER='$(AS_ROOT)')

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: demo
demo: packages ## pull the cable of a laptop made of namespaces, and watch that nothing breaks
	cargo build --release --bin hitless --bin demo
	@$(AS_ROOT) $(TARGET)/release/demo $(ARGS)

.PHONY: test
test: deps ## every test: unit, property, simulation, namespaces, guest kernel
	cargo build --workspace --bins
	cargo test --quiet --workspace --doc
	$(RUN_AS_ROOT) cargo nextest run --workspace $(ARGS)

.PHONY: bench
bench: packages ## measure what the README promises (ARGS=--json, ARGS='--pulls 5' …)
	cargo build --release --bin hitless --bin bench
	@$(AS_ROOT) $(TARGET)/release/bench $(ARGS)

.PHONY: bench-wifi
bench-wifi: wifi-packages ## the same for wire and Wi-Fi, beside plain bonding, in a guest kernel (takes some minutes)
	cargo build --release --bin hitless --bin bench-wifi
	@$(AS_ROOT) $(TARGET)/release/bench-wifi $(ARGS)

.PHONY: lint
lint: deps ## formatting, clippy, documentation and dependencies, with warnings denied
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps
	# Not "advisories": that needs a database from the network on each run, and fails when the world
	# changes, not the code. Now and then: cargo deny check advisories
	cargo deny --log-level error check bans licenses sources

.PHONY: build
build: packages ## the release binary, $(TARGET)/release/hitless
	cargo build --release --bin hitless

.PHONY: install
install: ## the binary, its unit, man pages, completions and an example (after make build; PREFIX, DESTDIR)
	install -Dm755 $(TARGET)/release/hitless $(DESTDIR)$(PREFIX)/bin/hitless
	install -Dm644 docs/hitless.toml $(DESTDIR)$(PREFIX)/share/doc/hitless/hitless.toml
	install -Dm644 docs/external-dhcp.md $(DESTDIR)$(PREFIX)/share/doc/hitless/external-dhcp.md
	install -dm755 $(addprefix $(DESTDIR)$(PREFIX)/,lib/systemd/system share/man/man1 share/bash-completion/completions)
	sed 's|/usr/bin/|$(PREFIX)/bin/|' packaging/hitless.service \
	    > $(DESTDIR)$(PREFIX)/lib/systemd/system/hitless.service
	$(TARGET)/release/hitless generate man $(DESTDIR)$(PREFIX)/share/man/man1
	$(TARGET)/release/hitless generate completions $(DESTDIR)$(PREFIX)/share/doc/hitless
	mv $(DESTDIR)$(PREFIX)/share/doc/hitless/hitless.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hitless

.PHONY: deps
deps: ## install what is missing for all of this
	@lab/deps all

.PHONY: packages
packages:
	@lab/deps packages

.PHONY: wifi-packages
wifi-packages:
	@lab/deps wifi

.PHONY: clean-lab
clean-lab: ## remove namespaces that killed runs have left behind
	@cargo build --quiet --bin clean-lab
	@$(AS_ROOT) $(TARGET)/debug/clean-lab
