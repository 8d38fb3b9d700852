# The front door: aliases for what people do with this tree. The build itself is Meson's.
# `make` alone lists what there is.

BUILD  ?= build
PREFIX ?= /usr/local
# Where tools/get-libbpf puts what old releases lack.
export PKG_CONFIG_PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/scry/libbpf/lib64/pkgconfig:$(PKG_CONFIG_PATH)

.PHONY: help
help: # Print this list
	@echo "scry: look inside running programs"
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*# \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
	@echo
	@echo "  BUILD=$(BUILD) is where it is built, PREFIX=$(PREFIX) and DESTDIR where it is installed."

# Meson's own folder is made once; afterwards ninja keeps it up to date.
$(BUILD)/build.ninja:
	@tools/setup build
	@meson setup $(BUILD) --prefix=$(PREFIX) >$(BUILD)-setup.log 2>&1 || { cat $(BUILD)-setup.log; exit 1; }
	@rm -f $(BUILD)-setup.log

.PHONY: build
build: $(BUILD)/build.ninja # Install what building needs, build
	@tools/setup build
	@ninja -C $(BUILD) program

.PHONY: demo
demo: # See it work: a small service under load, profiled for ten seconds
	@tools/setup demo
	@echo "Building scry ..."
	@$(MAKE) --no-print-directory -s quiet-build PART=program
	@demo/run $(BUILD)

# Says nothing unless it fails; PART is what to build, everything when empty.
.PHONY: quiet-build
quiet-build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) $(PART) >$(BUILD)/build.log 2>&1 || { cat $(BUILD)/build.log; exit 1; }

# The build folder may be older than the libraries that the tests need.
.PHONY: build-tests
build-tests: $(BUILD)/build.ninja
	@grep -q tests/unit/base $(BUILD)/build.ninja || meson setup --reconfigure -Dtests=enabled $(BUILD) >$(BUILD)/build.log 2>&1 || \
	  { cat $(BUILD)/build.log; exit 1; }
	@$(MAKE) --no-print-directory -s quiet-build

.PHONY: test
test: # Install what tests need, build, run every test; the last line counts
	@tools/setup test
	@$(MAKE) --no-print-directory -s build-tests
	@tools/run-tests $(BUILD)

.PHONY: install
install: $(BUILD)/build.ninja # Install under DESTDIR and PREFIX: program, man pages, completion
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@ninja -C $(BUILD) program
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

.PHONY: deb
deb: # Build a Debian package into build-deb/
	@tools/setup deb
	@tools/make-deb build-deb

.PHONY: format
format: # Bring the C code into the house's form
	@tools/setup ci
	@tools/format --write

.PHONY: lint
lint: # Check form, walls and sizes, and run the static analysers
	@tools/setup ci
	@tools/lint $(BUILD)

.PHONY: fuzz
fuzz: # Fuzz every parser for SECONDS each (60), starting from the corpora
	@tools/setup ci
	@tools/fuzz $(or $(SECONDS),60)

.PHONY: bench
bench: # Measure against the tools people use today
	@tools/setup test
	@$(MAKE) --no-print-directory -s build-tests
	@bench/setup
	@for one in $$(ls bench/*.py | grep -v /lib.py); do echo "== $$one"; SCRY_BUILD=$(abspath $(BUILD)) python3 $$one || exit 1; done

.PHONY: clean
clean: # Remove what was built
	@rm -rf $(BUILD) build-*
