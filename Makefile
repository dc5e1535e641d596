# SPDX-License-Identifier: Apache-2.0
# The front door for people: meson and ninja do the work behind it.
#
#   make run      start Gibbon with the example configuration on 8000, 8443 and 8001
#   make test     everything CI checks; the last line is "N passed, N failed"
#   make build    build/gibbon        make check    the checks of the sources alone
#   make bench    bench/RESULTS.md    make fuzz     every fuzz target for FUZZ_SECONDS
#   make install  PREFIX=/usr/local DESTDIR=        make clean
#
# The packages of Debian 12 that a target needs are installed first, when one is missing.
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
PYTHON := /usr/bin/python3
MESON_FLAGS ?=

BUILD_PACKAGES := build-essential meson ninja-build pkg-config python3 libssl-dev libc-ares-dev \
	libpcre2-dev libjansson-dev libyaml-dev zlib1g-dev libsqlite3-dev libboost-context-dev libcmocka-dev \
	libpq-dev libhiredis-dev libnghttp2-dev libluajit-5.1-dev
TEST_PACKAGES := clang-14 libclang-rt-14-dev clang-format-14 universal-ctags git openssl curl nginx-light libnginx-mod-stream \
	python3-pytest python3-pytest-xdist python3-pytest-timeout python3-yaml python3-cryptography \
	python3-prometheus-client postgresql pgbouncer redis-server slapd \
	nghttp2-client python3-hpack python3-websockets python3-grpcio
BENCH_PACKAGES := nginx-light libnginx-mod-stream haproxy wrk nghttp2-client openssl postgresql
RUN_PACKAGES := curl

.PHONY: all deps deps-test deps-bench build run test check bench install fuzz clean

all: build

deps:
	@tools/install_packages.sh $(BUILD_PACKAGES)

deps-test: deps
	@tools/install_packages.sh $(TEST_PACKAGES)

deps-bench: deps
	@tools/install_packages.sh $(BENCH_PACKAGES)

build/build.ninja: | deps
	meson setup build $(MESON_FLAGS)

build: deps build/build.ninja
	@ninja -C build

run: build
	@tools/install_packages.sh $(RUN_PACKAGES)
	@examples/run

test: deps-test
	@$(PYTHON) tools/test.py

check: deps-test build/build.ninja
	@$(PYTHON) tools/test.py checks

bench: deps-bench build
	$(PYTHON) bench/run.py $(BENCH_FLAGS)

fuzz: deps-test
	$(PYTHON) tools/fuzz.py --seconds $(FUZZ_SECONDS)

install: build
	meson configure build -Dprefix=$(abspath $(PREFIX))
	DESTDIR=$(DESTDIR) meson install -C build
	install -D -m 644 docs/reference/kong.conf.sample $(DESTDIR)/etc/kong/kong.conf.default
	install -D -m 644 /dev/null $(DESTDIR)/lib/systemd/system/gibbon.service
	sed 's|@BINDIR@|$(PREFIX)/bin|' packaging/gibbon.service > $(DESTDIR)/lib/systemd/system/gibbon.service

clean:
	rm -rf build build-asan build-tsan build-fuzz
