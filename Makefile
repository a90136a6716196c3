# What a person types: make lab, make test, make bench, make check. Each sets up .venv by itself.

PYTHON ?= python3
BIN := .venv/bin
# Options for the lab and the benches: make lab LAB="--only zpa-download", make bench BENCH="lpm4 --quick"
LAB ?=
BENCH ?= all
BENCH_OUT := build/bench
# make callgrind CALLGRIND=--strict: a baseline of another compiler or machine is a failure, as in CI
CALLGRIND ?=
FUZZ_SECONDS ?= 60

NATIVE := $(wildcard $(addprefix src/fastpath/,*.pyx *.pxd capi/*.pyx capi/*.pxd capi/*.h capi/*.map))
ROLES := connector private-edge app-connector internet-edge
# Two compilers at a time; read by every build that setuptools starts, also inside pip.
export DIST_EXTRA_CONFIG := $(CURDIR)/tools/build.cfg
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help lab test bench bench-quoted callgrind callgrind-baseline sanitize fuzz check lint types stubs wheel schema clean

help:
	@echo "make lab     the whole system on this machine, with real traffic"
	@echo "make test    the tests"
	@echo "make bench   the benchmarks beside the peers; table and charts in $(BENCH_OUT)"
	@echo "make bench-quoted  the same by pyperf, with deviations (slow)"
	@echo "make check   lint, types, stubs, tests, wheel, lab; CI runs it, callgrind and sanitize"
	@echo "make callgrind  instructions of three kernels beside their baseline; callgrind-baseline writes it"
	@echo "make sanitize   the tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz    coverage-guided fuzzing, FUZZ_SECONDS=$(FUZZ_SECONDS) a decoder (docs/fuzzing.md)"
	@echo "make schema  write docs/schema again"
	@echo "make clean   forget .venv and everything built"

lab: .venv/built
	@sh tools/need.sh $(PYTHON) lab
	$(BIN)/zcc lab $(LAB)

test: .venv/built
	$(BIN)/pytest --benchmark-columns=min,median,rounds --benchmark-sort=name

bench: .venv/built .venv/peers
	$(BIN)/python -m bench $(BENCH) --save $(BENCH_OUT)

bench-quoted: .venv/built .venv/peers
	$(BIN)/python -m bench $(BENCH) --pyperf --save $(BENCH_OUT)

check: lint types stubs test wheel lab

lint: .venv/built
	$(BIN)/ruff check

types: .venv/built
	$(BIN)/mypy

stubs: .venv/built
	$(BIN)/python tools/check_stubs.py

wheel: .venv/built
	$(BIN)/python tools/check_wheel.py

schema: .venv/built
	mkdir -p docs/schema
	for role in $(ROLES); do $(BIN)/zcc check --schema $$role > docs/schema/$$role.json || exit 1; done

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .hypothesis
	rm -f src/fastpath/*.so src/fastpath/capi/libfastpath.so* src/fastpath/capi/fastpath.pc

# An installation compiles too, so it counts as a build of the sources that were there when it began.
.venv/installed: pyproject.toml setup.py tools/build.cfg
	@sh tools/need.sh $(PYTHON) build
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@touch .venv/began
	$(BIN)/python -m pip install --quiet "setuptools>=77" "Cython>=3.1" wheel
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[dev]"
	@mv .venv/began .venv/built
	@touch $@

callgrind: .venv/built
	@sh tools/need.sh $(PYTHON) callgrind
	$(BIN)/python -m bench.callgrind $(CALLGRIND)

callgrind-baseline: .venv/built
	@sh tools/need.sh $(PYTHON) callgrind
	$(BIN)/python -m bench.callgrind --baseline

sanitize: .venv/built
	$(BIN)/python tools/sanitize.py

fuzz: .venv/built
	$(BIN)/python -m pip install --quiet "atheris>=3.0"
	$(BIN)/python -m tests.fuzz.guided all --seconds $(FUZZ_SECONDS) --keep

# By name, so that nothing of ours is compiled again for it.
.venv/peers: pyproject.toml | .venv/installed
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"])' \
		| xargs $(BIN)/python -m pip install --quiet
	@touch $@

.venv/built: $(NATIVE) | .venv/installed
	@if ! test -e $@ || test -n "$$(find $(NATIVE) -newer $@)"; then \
		touch .venv/began && $(BIN)/python setup.py -q build_ext --inplace && mv .venv/began $@; fi
