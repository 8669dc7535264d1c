# SPDX-License-Identifier: Apache-2.0
# A thin front to Meson. Each target installs the Debian packages it lacks (tools/need asks sudo when not root).
BUILD ?= build
FIXTURES := $(or $(ENTENTE_FIXTURES),$(abspath ../shared))

.PHONY: build demo run test bench fuzz clean

build:
	@tools/need build
	@mkdir -p $(BUILD)
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --buildtype=release >$(BUILD)/setup.log 2>&1 || { cat $(BUILD)/setup.log; exit 1; }
	@ninja -C $(BUILD) >$(BUILD)/ninja.log 2>&1 || { cat $(BUILD)/ninja.log; exit 1; }
	@echo "$(BUILD)/entente is ready"

demo: build
	@ENTENTE_FIXTURES=$(FIXTURES) $(BUILD)/entente demo $(DEMO_ARGS)

run: build
	@$(BUILD)/entente serve

test:
	@tools/need build test
	@ENTENTE_FIXTURES=$(FIXTURES) t/run

bench: build
	@tools/need bench
	@BUILD=$(BUILD) bench/run

fuzz:
	@tools/need build fuzz
	@fuzz/run

clean:
	rm -rf build build-*
