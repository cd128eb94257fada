# A front for meson and the tools: `make` builds build/stead. See HACKING.md.
BUILD ?= build
NINJA ?= ninja
JOBS ?= $(shell nproc)

.PHONY: all program bootstrap demo test unit integration bench check fuzz fuzz-keep docs format soak install clean

all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD) -j$(JOBS)

# The program alone, without tests and benchmarks.
program: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD) -j$(JOBS) stead

$(BUILD)/build.ninja: meson.build | bootstrap
	@meson setup $(BUILD) >/dev/null

# Installs the Debian packages that are missing; silent when none is.
bootstrap:
	@tools/bootstrap

demo: program
	@tools/bootstrap demo
	@demo/run $(BUILD)/stead

# Everything: unit tests, then the real binary. Ends with "N passed, N failed, N skipped".
test: all
	@tools/bootstrap test
	@tools/run-tests $(BUILD)

unit: all
	@tools/run-tests $(BUILD) --unit

integration: all
	@tools/bootstrap test
	@tools/run-tests $(BUILD) --integration

bench: all
	@bench/run $(BUILD)

# Format, layers, headers on their own, warnings of gcc and clang, tests under sanitizers.
check: bootstrap
	@tools/check-all

# Searches for inputs that break a parser, each target for so long: make fuzz FUZZ_SECONDS=600 FUZZ=toml
FUZZ_BUILD ?= build-fuzz
FUZZ_SECONDS ?= 60
FUZZ ?=

$(FUZZ_BUILD)/build.ninja: meson.build | bootstrap
	@CC=clang meson setup $(FUZZ_BUILD) -Dfuzz=true >/dev/null

.PHONY: fuzz-build
fuzz-build: $(FUZZ_BUILD)/build.ninja
	@$(NINJA) -C $(FUZZ_BUILD) -j$(JOBS) fuzz

fuzz: fuzz-build
	@tools/fuzz $(FUZZ_BUILD) --seconds $(FUZZ_SECONDS) --only "$(FUZZ)"

# Copies inputs that reach new code to test/corpus.
fuzz-keep: fuzz-build
	@tools/fuzz $(FUZZ_BUILD) --keep --only "$(FUZZ)"

docs: program
	@tools/generate-docs $(BUILD)/stead

format:
	@clang-format -i $$(git ls-files 'src/*.[ch]' 'bench/*.[ch]' 'examples/*/*.[ch]')

# Longer runs, not part of `make test`.
soak: all
	@tools/bootstrap test
	@/usr/bin/python3 -m pytest -q -p no:cacheprovider --soak test

# Stores stay linearizable while they are killed: SQLite, then a cluster of etcd, each for so long.
SECONDS_EACH ?= 600
.PHONY: linear
linear: $(BUILD)/build.ninja
	@tools/bootstrap test
	@$(NINJA) -C $(BUILD) -j$(JOBS) src/state/test-state-linear
	@LINEAR_SECONDS=$(SECONDS_EACH) $(BUILD)/src/state/test-state-linear

# What a fleet needs, each figure beside its limit.
.PHONY: bench-fleet
bench-fleet: $(BUILD)/build.ninja
	@tools/bootstrap test
	@$(NINJA) -C $(BUILD) -j$(JOBS) stead bench/bench-state bench/hub-clients
	@$(BUILD)/bench/bench-state
	@bench/hub $(BUILD)
	@bench/cluster $(BUILD)
	@bench/lab $(BUILD)

# The program, its manual pages, completion, a unit for the agent, and libstead.
install: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD) -j$(JOBS) installed
	@meson install -C $(BUILD) --no-rebuild --quiet
	@echo "installed; man stead, and: systemctl enable --now stead-agent  (keeps /etc/stead/site.lua)"

# Debian packages, in build-deb; check-deb then installs, upgrades and removes them in a container (root, systemd-nspawn).
.PHONY: deb check-deb
deb:
	@tools/bootstrap deb
	@JOBS=$(JOBS) tools/build-deb build-deb

check-deb: deb program
	@STEAD=$(abspath $(BUILD))/stead /usr/bin/python3 -m pytest -q -p no:cacheprovider -rs test/container/test_package.py

clean:
	@rm -rf build build-*
