# SPDX-License-Identifier: BSD-3-Clause
#
# Holdfast. `make help` lists what can be asked for.
#
#   build/                  holdfastd, holdfast, libholdfast.*: the release flavour
#   build/<flavour>/        the same two programs and the test programs, in another flavour
#   build/obj/<flavour>/    objects and what they depend on
#
# A flavour is a compiler with flags (section "Flavours"). Sources are found by wildcard: a new file in a
# folder that is listed here needs no line here.

# ---- Options: make NAME=value -----------------------------------------------------------------------

# Compilers: CC makes the release and the first test flavours, CLANG the second ones and the fuzzers.
ifeq ($(origin CC),default)
CC = gcc
endif
CLANG = clang

# Where `make install` puts things, and the service's configuration; DESTDIR is for packagers and is in no installed file.
PREFIX     = /usr/local
SYSCONFDIR = /etc
LIBDIR     = $(PREFIX)/lib
UNITDIR    = $(PREFIX)/lib/systemd/system
DESTDIR    =

# Further flags of the release flavour and the library, for packagers.
CPPFLAGS =
CFLAGS   =
LDFLAGS  =

# Link-time optimisation of the release flavour (gcc only: clang would need one more Debian package).
LTO = 1

# V=1 prints the commands themselves.
V = 0

# Options of `make bench-peers` or `bench-gc`, for example BENCH='--rounds 1 --only get put'; tests/bench/peers.py --help and
# bench_gc.py --help have them.
BENCH =

# Arguments of `make run`, for example ARGS='--listen tcp:127.0.0.1:7677'.
ARGS =

# Test programs that run at the same time (one more than there are processors: some wait more than they work), and the seed
# of the random ones (none: each its default).
TEST_JOBS = $(shell echo $$(($$(nproc) + 1)))
SEED      =

# Seconds that `make soak` works on the daemon under each sanitizer, and then on the release; how many seeds the collector's
# oracle gets there; and the seconds that each fuzzer runs.
SOAK_S         = 600
SOAK_RELEASE_S = 60
SOAK_SEEDS     = 1000000
FUZZ_S         = 480

# ---- Debian packages: the only list -----------------------------------------------------------------

# To build and run.
PACKAGES_RUN = gcc libc6-dev make pkg-config libuv1-dev libmsgpack-dev libjansson-dev libxxhash-dev \
    libsystemd-dev libinih-dev libmicrohttpd-dev libncurses-dev

# `make check` adds: libcheck, what the stock foreign clients among the tests run on, and a systemd to be booted.
PACKAGES_CHECK = check python3 python3-msgpack python3-pynvim python3-pyte nodejs npm systemd util-linux \
    mount man-db

# `make check-all`, `tidy` and `format` add: the second compiler, the fuzzer's run time, checkers, and two
# more foreign clients, a Prometheus and a browser.
PACKAGES_ALL = clang clang-format clang-tidy cppcheck libclang-rt-14-dev valgrind \
    golang-go golang-github-ugorji-go-codec-dev neovim prometheus chromium fonts-dejavu-core

# `make deb` adds what builds and checks Debian packages.
PACKAGES_DEB = debhelper dpkg-dev lintian

# `make bench-peers` adds the peers it measures beside Holdfast, `make bench-bookkeeping` what counts instructions.
PACKAGES_BENCH = redis-server memcached valgrind

# ---- Flags ------------------------------------------------------------------------------------------

STANDARD = -std=c17 -D_GNU_SOURCE -I. -fvisibility=hidden

# Left out: -Wconversion (hundreds of harmless hits on offsets and indexes, each cured by a cast that
# would hide a real one) and -Wpadded (layouts are asserted where they matter).
WARNINGS = \
    -Wall \
    -Wextra \
    -Werror \
    -Wshadow \
    -Wstrict-prototypes \
    -Wmissing-prototypes \
    -Wpointer-arith \
    -Wcast-qual \
    -Wwrite-strings \
    -Wundef \
    -Wvla

LINK  = -Wl,--as-needed
LIBS  = $(call pkg_libs,libuv) $(call pkg_libs,msgpack) $(call pkg_libs,jansson) \
        $(call pkg_libs,libsystemd) $(call pkg_libs,inih) $(call pkg_libs,libmicrohttpd) $(call pkg_libs,ncursesw) -lpthread -lm
CHECK = $(call pkg_libs,check)

# Hardening of the release flavour; it costs nothing that the benchmarks can see.
HARDEN = -D_FORTIFY_SOURCE=2 -fstack-protector-strong

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# ---- Flavours: name, compiler, flags to compile, flags to link --------------------------------------

FLAVOURS = release pic bare unbooked asan tsan hook plain clang clang-asan fuzz

release.cc    = $(CC)
release.link  = $(CC) $(release.flags) $(LDFLAGS) $(LINK)
release.flags = -O2 -g $(HARDEN) $(CPPFLAGS) $(CFLAGS) $(if $(filter 1,$(LTO)),$(if $(findstring clang,$(CC)),,-flto=auto))

# The library: position independent and without LTO, since its objects are linked by strangers.
pic.cc        = $(CC)
pic.flags     = -O2 -g -fPIC $(HARDEN) $(CPPFLAGS) $(CFLAGS)

# `make bench-gc` compares with it: the same code without what operations do for the collector.
bare.cc       = $(CC)
bare.flags    = $(release.flags)
build/obj/bare/daemon/gc/%.o build/obj/bare/daemon/pool/%.o: bare.compile += -include tests/bench/no_collector.h

# tests/bench/instructions.py compares with it: the same daemon without its bookkeeping of requests.
unbooked.cc    = $(CC)
unbooked.flags = $(release.flags) -DHF_NO_BOOKKEEPING

# What `make check` runs. -Og takes half the time to compile that -O1 does with these sanitizers; -g1 is what traces need.
asan.cc       = $(CC)
asan.flags    = -Og -g1 -DHF_DEBUG=1 $(SANITIZE)

# Every store into a heap image calls a hook, which the attack tests use to die at each one in turn.
hook.cc       = $(CC)
hook.flags    = -O1 -g1 -DHF_DEBUG=1 -DHF_STORE_HOOK=1
hook.tested   = $(HEAP_SRC) $(TESTLIB_SRC)

# The threads: what crosses them, and that nothing else does. A pool reserves 60 GiB of addresses and more, and TSan leaves
# about 1.5 TiB of them, so this daemon has room for some twenty pools; pool_create answers OOM then.
tsan.cc       = $(CC)
tsan.flags    = -O1 -g1 -DHF_DEBUG=1 -fsanitize=thread -fno-omit-frame-pointer
tsan.tested   = $(DAEMON_SRC) $(PAGE_SRC) $(PROTO_SRC) $(CLIENT_SRC) $(TESTLIB_SRC)

# For valgrind, which does not go together with sanitizers.
plain.cc      = $(CC)
plain.flags   = -O1 -g -DHF_DEBUG=1

clang.cc      = $(CLANG)
clang.flags   = -O2 -g

clang-asan.cc    = $(CLANG)
clang-asan.flags = -O1 -g -DHF_DEBUG=1 $(SANITIZE)

fuzz.cc       = $(CLANG)
fuzz.flags    = -O1 -g -DHF_DEBUG=1 -fsanitize=fuzzer-no-link $(SANITIZE)

# ---- Sources ----------------------------------------------------------------------------------------

PROTO_SRC  := $(wildcard proto/*.c)
DAEMON_SRC := $(wildcard daemon/*/*.c)
HEAP_SRC   := $(wildcard daemon/base/*.c daemon/heap/*.c daemon/gc/*.c daemon/pool/*.c) $(PROTO_SRC)
PAGE_SRC   := build/page/page.c
CLIENT_SRC := $(wildcard client/lib/*.c)
CLI_SRC    := $(wildcard client/cli/*.c client/bench/*.c client/monitor/*.c)
DEMO_SRC   := $(wildcard client/demo/*.c)
TESTLIB_SRC := $(wildcard tests/lib/*.c)
HEADERS    := $(wildcard client/*.h proto/*.h daemon/*/*.h client/*/*.h tests/*/*.h)

# Test programs: in each folder one program for each file of these names; its other files, and those in
# its lib/, are linked to all of them.
TEST_FOLDERS := unit sim e2e wire crash fuzz bench soak
unit.programs  := $(wildcard tests/unit/test_*.c)
sim.programs   := $(wildcard tests/sim/sim_*.c tests/sim/test_*.c)
e2e.programs   := $(wildcard tests/e2e/test_*.c)
wire.programs  := $(wildcard tests/wire/test_*.c)
crash.programs := $(wildcard tests/crash/attack*.c tests/crash/test_*.c)
bench.programs := $(wildcard tests/bench/*.c)
fuzz.programs  := $(wildcard tests/fuzz/fuzz_*.c)
soak.programs  := tests/soak/soak.c

VERSION   := $(shell sed -n 's/^\#define HF_VERSION  *"\(.*\)".*/\1/p' client/holdfast.h proto/*.h 2>/dev/null | head -n 1)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))

# ---- How things are made ----------------------------------------------------------------------------

# Parallel by itself; a -j on the command line wins.
MAKEFLAGS += $(if $(filter 0,$(MAKELEVEL)),-j$(shell nproc)) --no-builtin-rules --no-print-directory
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
SHELL = /bin/bash

quiet = $(if $(filter 1,$(V)),,@)
say   = $(if $(filter 1,$(V)),@:,@printf '  %-5s %s\n')

# $(call pkg_libs,NAME): the link flags of an installed library, or the way out.
pkg_libs = $(or $(shell pkg-config --libs $(1) 2>/dev/null),$(error $(1) is missing: run `make packages` or `make packages-check` first))

# $(call objects,FLAVOUR,SOURCES)
objects = $(patsubst %.c,build/obj/$(1)/%.o,$(2))

# $(call out,FLAVOUR): the folder of its programs.
out = $(patsubst %/release,%,build/$(1))

all: build/holdfastd build/holdfast build/libholdfast.a build/libholdfast.so.$(VERSION) $(if $(DEMO_SRC),build/holdfast-demo) ## Build holdfastd, holdfast and libholdfast into build/.

.PHONY: all FORCE
.DEFAULT_GOAL := all

define flavour_rules
$(1).compile = $$($(1).cc) $$(STANDARD) $$(WARNINGS) $$($(1).flags)
$(1).link   ?= $$($(1).cc) $$($(1).flags) $$(LINK)

# The command is a file, so that objects follow a change of it (CC=, LTO=) as well as of this Makefile.
build/obj/$(1)/command: Makefile FORCE
	@mkdir -p $$(@D)
	@echo '$$($(1).compile)' | cmp -s - $$@ || echo '$$($(1).compile)' > $$@

build/obj/$(1)/%.o: %.c build/obj/$(1)/command Makefile
	$$(say) CC $$<
	@mkdir -p $$(@D)
	$$(quiet)$$($(1).compile) -MMD -MP -c $$< -o $$@

$(call out,$(1))/holdfastd: $$(call objects,$(1),$$(DAEMON_SRC) $$(PAGE_SRC) daemon/main.c $$(PROTO_SRC))
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(quiet)$$($(1).link) $$^ $$(LIBS) -o $$@

$(call out,$(1))/holdfast: $$(call objects,$(1),$$(CLI_SRC) $$(CLIENT_SRC) $$(PROTO_SRC))
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(quiet)$$($(1).link) $$^ $$(LIBS) -o $$@

$(call out,$(1))/holdfast-demo: $$(call objects,$(1),$$(DEMO_SRC) $$(CLIENT_SRC) $$(PROTO_SRC))
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(quiet)$$($(1).link) $$^ $$(LIBS) -o $$@

# Everything that a test program may call; made anew, so that it keeps no object of a deleted file.
$(1).tested ?= $$(DAEMON_SRC) $$(PAGE_SRC) $$(PROTO_SRC) $$(CLIENT_SRC) $$(filter-out client/cli/main.c,$$(CLI_SRC)) $$(TESTLIB_SRC)
build/obj/$(1)/tested.a: $$(call objects,$(1),$$($(1).tested))
	$$(say) AR $$@
	@rm -f $$@
	$$(quiet)$(if $(filter release,$(1)),gcc-ar,ar) rcs $$@ $$^

$(foreach folder,$(TEST_FOLDERS),$(call folder_rules,$(1),$(folder)))
$(1).binaries = $$(call out,$(1))/holdfastd $$(call out,$(1))/holdfast $$(if $$(DEMO_SRC),$$(call out,$(1))/holdfast-demo)
endef

# $(call folder_rules,FLAVOUR,FOLDER): the programs of one test folder.
define folder_rules
$(call out,$(1))/tests/$(2)/%: build/obj/$(1)/tests/$(2)/%.o $(call objects,$(1),$(filter-out $($(2).programs),$(wildcard tests/$(2)/*.c tests/$(2)/lib/*.c))) build/obj/$(1)/tested.a
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(quiet)$$($(1).link) $$(filter %.o,$$^) $$(filter %.a,$$^) $$(CHECK) $$(LIBS) -o $$@

endef

$(foreach flavour,$(FLAVOURS),$(eval $(call flavour_rules,$(flavour))))

# Objects for TSan call a function at each load and store; here they are linked to a library of ours instead of the sanitizer's.
# It notes what cache lines which thread writes.
build/lines/holdfastd: $(call objects,tsan,$(DAEMON_SRC) $(PAGE_SRC) daemon/main.c $(PROTO_SRC)) build/tests/preload/record_lines.so
	$(say) LINK $@
	@mkdir -p $(@D)
	$(quiet)$(tsan.cc) -Wl,-rpath,'$$ORIGIN/../tests/preload' $(LINK) $^ $(LIBS) -o $@

# The page of the endpoint for monitoring, made one text with its scripts.
$(PAGE_SRC): daemon/observe/page/build.sh $(wildcard daemon/observe/page/*.* daemon/observe/page/uplot/*)
	$(say) PAGE $@
	@mkdir -p $(@D)
	$(quiet)daemon/observe/page/build.sh >$@

# The library: from `pic` objects. The static one is a single object whose internal names are local, so
# that linking it can collide with nothing but hf_*.
LIB_OBJECTS = $(call objects,pic,$(CLIENT_SRC) $(PROTO_SRC))

build/libholdfast.so.$(VERSION): $(LIB_OBJECTS)
	$(say) LINK $@
	$(quiet)$(CC) -shared -Wl,-soname,libholdfast.so.$(SOVERSION) -Wl,-z,defs $^ $(LDFLAGS) $(LINK) $(LIBS) -o $@
	@ln -sf $(@F) build/libholdfast.so.$(SOVERSION)
	@ln -sf $(@F) build/libholdfast.so

build/libholdfast.a: $(LIB_OBJECTS)
	$(say) AR $@
	$(quiet)ld -r $^ -o build/obj/pic/libholdfast.o
	@objcopy --localize-hidden build/obj/pic/libholdfast.o
	@rm -f $@ && ar rcs $@ build/obj/pic/libholdfast.o

# The fuzz flavour of a fuzzer: libFuzzer brings main, so the drivers beside it stay out.
build/fuzz/%: build/obj/fuzz/tests/fuzz/%.o build/obj/fuzz/tested.a
	$(say) LINK $@
	@mkdir -p $(@D)
	$(quiet)$(fuzz.link) -fsanitize=fuzzer $^ $(LIBS) -o $@

-include $(wildcard build/obj/*/*/*.d build/obj/*/*/*/*.d build/obj/*/*/*/*/*.d)

# ---- Packages ---------------------------------------------------------------------------------------

.PHONY: packages packages-check packages-all packages-deb packages-bench

packages: ## Install what `make` needs (Debian packages; says which; nothing when all is there).
	@deploy/packages.sh $(PACKAGES_RUN)

packages-check:
	@deploy/packages.sh $(PACKAGES_RUN) $(PACKAGES_CHECK)

packages-all:
	@deploy/packages.sh $(PACKAGES_RUN) $(PACKAGES_CHECK) $(PACKAGES_ALL)

packages-deb:
	@deploy/packages.sh $(PACKAGES_RUN) $(PACKAGES_DEB)

packages-bench:
	@deploy/packages.sh $(PACKAGES_RUN) $(PACKAGES_CHECK) $(PACKAGES_BENCH)

# ---- Use --------------------------------------------------------------------------------------------

.PHONY: run demo bench bench-peers bench-gc bench-recovery bench-scrape bench-bookkeeping

run: packages ## Install what is missing, build, and start holdfastd in the foreground.
	@$(MAKE) all
	@exec deploy/run.sh build $(ARGS)

demo: packages ## Load this machine's Debian packages as a graph and watch what lives, who holds it, what dies.
	@$(MAKE) all
	@build/holdfast-demo build/holdfastd

bench-peers: packages-bench ## Measure beside redis, memcached and a bare echo, and judge (10 minutes on a quiet machine).
	@$(MAKE) build/holdfastd $(patsubst tests/%.c,build/tests/%,$(bench.programs))
	@tests/bench/peers.py $(BENCH)

# 10 M objects of CPython alone need 2 GB; tests/bench/bench_gc.py --help says more.
bench-gc: packages-check ## Measure the collector beside CPython's, and judge (25 minutes on a quiet machine).
	@$(MAKE) build/holdfastd build/holdfast build/tests/bench/gc build/bare/tests/bench/gc
	@tests/bench/bench_gc.py $(BENCH)

bench-recovery: packages-check ## Measure recovery of 10 million objects, and judge (3 minutes on a quiet machine; takes 2 GB).
	@$(MAKE) build/tests/bench/recovery
	@build/tests/bench/recovery $(BENCH)

bench-scrape: packages-bench ## Look at a daemon of 10 million objects and 10,000 sessions, and judge (a minute; takes 2 GB).
	@$(MAKE) build/holdfastd build/holdfast build/tests/bench/load
	@tests/bench/scrape.py $(BENCH)

bench-bookkeeping: packages-bench ## Count what the daemon's notes about requests cost in instructions, and judge (10 minutes).
	@$(MAKE) build/holdfastd build/unbooked/holdfastd build/tests/bench/load
	@tests/bench/instructions.py --beside build/unbooked --most 3 --load 4x16 4x1 1x1 $(BENCH)

bench: bench-peers

# ---- Tests ------------------------------------------------------------------------------------------

# $(call programs,FLAVOUR,FOLDERS): the test programs of some folders in a flavour.
programs = $(foreach folder,$(2),$(patsubst %.c,$(call out,$(1))/%,$($(folder).programs)))

C_TESTS  = sim fuzz e2e wire unit
PY_TESTS = $(filter-out $(MORE_CLIENTS) $(MORE_DEPLOY),$(wildcard tests/wire/test_*.py tests/e2e/test_*.py tests/fuzz/test_*.py tests/crash/test_*.py client/*/test_*.py deploy/test_*.py tests/bench/test_*.py))

# Preloaded into a daemon by a test.
PRELOADS = $(patsubst %.c,build/%.so,$(wildcard tests/preload/*.c))

build/tests/preload/%.so: tests/preload/%.c Makefile
	$(say) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(STANDARD) $(WARNINGS) -O2 -fPIC -shared -Wl,-soname,$(@F) $< -o $@

# Foreign clients and checkers whose packages are large: only in check-all.
MORE_CLIENTS = tests/wire/test_go.py tests/wire/test_nvim.py tests/wire/test_promtool.py

# What takes a build of its own, or large packages: only in check-all, too.
MORE_DEPLOY = deploy/test_deb.py deploy/test_monitoring.py tests/browser/test_page.py

# $(call run_tests,FLAVOUR,PROGRAMS): the runner, told which flavour the programs are to start.
run_tests = TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp $(if $(SEED),HF_SEED=$(SEED)) \
    tests/run.py --jobs $(TEST_JOBS) $(call daemon_of,$(1)) $(2)
daemon_of = HOLDFASTD=$(CURDIR)/$(call out,$(1))/holdfastd HOLDFAST=$(CURDIR)/$(call out,$(1))/holdfast

.PHONY: check check-all mutants soak tests-asan tests-clang-asan tests-hook tests-valgrind tests-fuzz clang-build node browser \
    tests-long tests-clients tests-deploy tests-steps quick-bench-peers quick-bench-gc soak-release soak-tsan soak-asan soak-seeds

# Damaged images once more under the sanitizers; and the single steps without hooks, which act as barriers.
DAMAGE = $(call out,asan)/tests/crash/test_damage
STEPS  = $(call out,release)/tests/crash/attack_step

# What is about threads, under ThreadSanitizer.
THREADS_C  = $(addprefix $(call out,tsan)/tests/,e2e/test_two_servers unit/test_mailbox unit/test_runners unit/test_log)
THREADS_PY = tests/e2e/test_workers.py

# The soak's program, of one flavour, on daemons of others; and the daemon that tells where it stores.
SOAK  = $(call programs,release,soak)
LINES = build/lines/holdfastd

# $(call load_of,FLAVOUR): the load generator of the benchmarks, which has a test of its own.
load_of = $(call out,$(1))/tests/bench/load

# Those that take long begin first, so that the last minute is not one program on one core.
LONG = %/soak %/sim_pool %/test_mutants.py %/test_mutants_gc.py %/test_large.py %/attack_store %/test_http.py %/test_restart.py \
    %/test_systemd.py %/sim_gc %/sim_events %/attack_kill %/test_damage %/test_turns.py %/test_chaos.py %/test_gc_bound.py \
    %/test_no_memory.py %/test_bench.py
long_first = $(filter $(LONG),$(1)) $(filter-out $(LONG),$(1))

CHECKED = $(SOAK) $(call programs,hook,crash) $(DAMAGE) $(PY_TESTS) $(call programs,asan,$(C_TESTS)) $(TIDY_TESTS)

check: packages-check ## Install what is missing, build with ASan and UBSan, run the tests (4 to 5 minutes on 2 cores).
	@$(MAKE) all node $(PRELOADS) $(asan.binaries) $(call programs,asan,$(C_TESTS)) $(call programs,hook,crash) $(DAMAGE) \
	    build/tsan/holdfastd $(THREADS_C) $(SOAK) $(LINES) $(call load_of,asan)
	@$(call run_tests,tsan,$(SOAK) $(THREADS_PY) $(THREADS_C) $(call daemon_of,asan) $(call long_first,$(CHECKED)))

# What check-all makes, one after the other; PARTS='tidy mutants' asks for some of them.
PARTS = tidy clang-build tests-long tests-clients tests-deploy tests-steps mutants tests-clang-asan tests-valgrind tests-fuzz \
    soak quick-bench-peers quick-bench-gc

# The million of `make soak` takes half an hour.
check-all: SOAK_SEEDS = 100000

check-all: packages-all packages-bench ## Everything, part after part: both compilers, sanitizers, valgrind, long attacks, mutants, fuzz, soak (75 minutes on 2 cores).
	@tests/parts.sh '$(MAKE) SOAK_SEEDS=$(SOAK_SEEDS)' $(PARTS)

tests-long:
	@HF_TEST_LONG=1 $(MAKE) check

tests-clients: $(asan.binaries)
	@$(call run_tests,asan,$(MORE_CLIENTS))

tests-deploy: $(asan.binaries)
	@$(MAKE) all deb browser
	@$(call run_tests,asan,$(MORE_DEPLOY))

tests-steps: $(STEPS)
	@HF_TEST_LONG=1 tests/run.py $(STEPS)

# Whether they work: a round that is not judged.
quick-bench-peers quick-bench-gc: quick-%:
	@$(MAKE) $* BENCH=--quick

# Both sanitizers beside each other: each has a processor to itself on two cores, and cycles enough for the comparison of
# memory (tests/soak/soak.c), which takes 24. A release daemon does one in a second and a half.
SOAKED = $(call out,$(1))/holdfastd
SIM_GC = $(call out,plain)/tests/sim/sim_gc
soak: ## Hundreds of clients, connections and pools that come and go, under TSan and ASan; then the collector's oracle by the million (45 minutes).
	@$(MAKE) $(SOAK) $(foreach flavour,release tsan asan,$(call SOAKED,$(flavour))) $(SIM_GC)
	@$(MAKE) soak-tsan soak-asan
	@$(MAKE) soak-release SOAK_S=$(SOAK_RELEASE_S)
	@$(MAKE) soak-seeds

soak-release soak-tsan soak-asan: soak-%:
	@set -o pipefail; TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp $(if $(SEED),HF_SEED=$(SEED)) \
	    $(SOAK) --daemon $(call SOAKED,$*) --seconds $(SOAK_S) --rounds 20 2>&1 | sed -u 's/^/$*: /'

# In ten pieces, so that all processors have something to do to the end.
soak-seeds: $(SIM_GC)
	@piece=$$(($(SOAK_SEEDS) / 10)); HF_TEST_LONG=1 tests/run.py --jobs $$(nproc) HF_SEEDS=$$piece \
	    $$(for n in {0..9}; do echo HF_SEED=$$((n * piece + $(or $(SEED),1))) $<; done)

mutants: ## Break the heap and the collector in every way on the lists: tests must catch each (make check tries a few).
	@tests/crash/mutants.py
	@tests/sim/mutants.py

clang-build: $(clang.binaries)

tests-asan tests-clang-asan: tests-%:
	@$(MAKE) build/holdfastd node $(PRELOADS) $(LINES) $(call load_of,$*) $($*.binaries) $(call programs,$*,$(C_TESTS))
	@$(call run_tests,$*,$(call programs,$*,$(C_TESTS)) $(PY_TESTS))

tests-hook:
	@$(MAKE) $(call programs,hook,crash)
	@$(call run_tests,hook,$(call programs,hook,crash))

# libcheck forks for each test by default, and valgrind would report the copies as well. Two programs make pools
# that reserve more addresses than valgrind has to give; they run under the sanitizers only. What takes seconds else
# takes minutes here, on a busy machine more than run.py gives a program.
VALGRIND_PROGRAMS = $(filter-out %/test_pool_units %/test_pool_recovery,$(call programs,plain,unit))
tests-valgrind:
	@$(MAKE) $(VALGRIND_PROGRAMS)
	@CK_FORK=no CK_DEFAULT_TIMEOUT=0 tests/run.py --jobs $(TEST_JOBS) --seconds 3600 \
	    --wrap 'valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite' \
	    $(VALGRIND_PROGRAMS)

# Each fuzzer for FUZZ_S seconds, from what earlier runs found (build/corpus); as many at a time as make does things.
FUZZERS = $(patsubst tests/fuzz/%.c,%,$(fuzz.programs))
.PHONY: $(addprefix tests-,$(FUZZERS))
tests-fuzz: $(addprefix build/fuzz/,$(FUZZERS))
	@$(MAKE) $(addprefix tests-,$(FUZZERS))

$(addprefix tests-,$(FUZZERS)): tests-%: build/fuzz/%
	@mkdir -p build/corpus/$*; echo "$*: $(FUZZ_S) s"
	@build/fuzz/$* -max_total_time=$(FUZZ_S) -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
	    -artifact_prefix=build/corpus/ build/corpus/$* 2>build/corpus/$*.log || { tail -n 50 build/corpus/$*.log; exit 1; }
	@grep -E 'stat::(number_of_executed_units|peak_rss_mb)' build/corpus/$*.log | sed 's/^/$*: /'

# Foreign clients for Node, at the versions of the lock file.
NODE_DONE = tests/wire/node/node_modules/.package-lock.json
node: $(NODE_DONE)
$(NODE_DONE): tests/wire/node/package.json tests/wire/node/package-lock.json
	$(say) NPM $(<D)
	@cd $(<D) && npm ci --no-audit --no-fund --loglevel=error && touch $(notdir $(@D))/$(@F)

# What drives the browser, and the library of the page's charts as npm has it.
BROWSER_DONE = tests/browser/node_modules/.package-lock.json
browser: $(BROWSER_DONE)
$(BROWSER_DONE): tests/browser/package.json tests/browser/package-lock.json
	$(say) NPM $(<D)
	@cd $(<D) && npm ci --no-audit --no-fund --loglevel=error && touch $(notdir $(@D))/$(@F)

# ---- Tidiness ---------------------------------------------------------------------------------------

.PHONY: tidy format

C_FILES = $(wildcard $(HEADERS) proto/*.c daemon/*.c daemon/*/*.c client/*/*.c tests/*/*.c tests/*/*/*.[ch])

# Those that need nothing but Python; `make check` runs them too.
TIDY_TESTS = $(wildcard tests/tidy/check_*.py tests/tidy/test_*.py)

tidy: packages-all ## Format, lint, include rules, lists against documents.
	@tests/run.py --jobs $(TEST_JOBS) $(TIDY_TESTS)
	@clang-format --dry-run --Werror $(C_FILES)
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -I. -D_GNU_SOURCE \
	    --enable=warning,portability --suppressions-list=tests/tidy/cppcheck.txt -j $(TEST_JOBS) proto daemon client
	@tests/tidy/clang_tidy.sh $(TEST_JOBS) $(PROTO_SRC) $(DAEMON_SRC) daemon/main.c $(CLIENT_SRC) $(CLI_SRC) $(DEMO_SRC)
	@echo 'tidy: no findings'

format: packages-all ## Apply .clang-format to every C file.
	@clang-format -i $(C_FILES)

# ---- Installing -------------------------------------------------------------------------------------

.PHONY: pictures deb install uninstall clean distclean help

BINDIR = $(DESTDIR)$(PREFIX)/bin
LIB    = $(DESTDIR)$(LIBDIR)
INCDIR = $(DESTDIR)$(PREFIX)/include
MANDIR = $(DESTDIR)$(PREFIX)/share/man
MAN_PAGES = $(wildcard deploy/man/*.[1-8])
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/holdfast
DOC_PAGES = $(wildcard deploy/doc/*.md) deploy/OPERATIONS.md
WORDSDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
CONFIG  = $(DESTDIR)$(SYSCONFDIR)/holdfast/holdfast.conf

# The service: systemd looks below these two only; elsewhere (PREFIX=$HOME/.local) there is none to install.
SERVICE = $(filter /usr /usr/local,$(PREFIX))
UNITS   = $(DESTDIR)$(UNITDIR)/holdfast.service $(DESTDIR)$(UNITDIR)/holdfast.socket \
    $(DESTDIR)$(UNITDIR)/holdfast-stats.socket
USERS   = $(DESTDIR)$(PREFIX)/lib/sysusers.d/holdfast.conf
FOLDERS = $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/holdfast.conf

define install_service
	@$(foreach unit,$(UNITS),install -D -m 644 deploy/$(notdir $(unit)) $(unit);)
	@sed -i -e 's|/usr/local/bin|$(PREFIX)/bin|' -e 's|/etc/holdfast|$(SYSCONFDIR)/holdfast|' $(filter %.service,$(UNITS))
	@install -D -m 644 deploy/holdfast.sysusers $(USERS)
	@install -D -m 644 deploy/holdfast.tmpfiles $(FOLDERS)
	@[ -e $(CONFIG) ] || install -D -m 644 deploy/holdfast.conf $(CONFIG)
	@echo 'as a service: systemd-sysusers && systemctl enable --now holdfast.socket ($(CONFIG))'
endef

define uninstall_service
	@rm -f $(UNITS) $(USERS) $(FOLDERS)
	@if cmp -s deploy/holdfast.conf $(CONFIG); then rm -f $(CONFIG); elif [ -e $(CONFIG) ]; then echo 'kept: $(CONFIG)'; fi
endef

install: all ## Install programs, library, manual pages, documents, and the service (DESTDIR=, PREFIX=/usr/local, SYSCONFDIR=/etc).
	@install -d $(BINDIR) $(LIB)/pkgconfig $(INCDIR)
	@install -m 755 build/holdfastd build/holdfast $(BINDIR)
	@install -m 644 build/libholdfast.a build/libholdfast.so.$(VERSION) $(LIB)
	@ln -sf libholdfast.so.$(VERSION) $(LIB)/libholdfast.so.$(SOVERSION)
	@ln -sf libholdfast.so.$(SOVERSION) $(LIB)/libholdfast.so
	@install -m 644 client/holdfast.h $(INCDIR)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' deploy/libholdfast.pc.in > $(LIB)/pkgconfig/libholdfast.pc
	@$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page));)
	@install -d $(DOCDIR) && install -m 644 $(DOC_PAGES) $(DOCDIR)
	@install -D -m 644 deploy/holdfast.bash-completion $(WORDSDIR)/holdfast && ln -sf holdfast $(WORDSDIR)/holdfastd
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi
	@echo 'installed below $(DESTDIR)$(PREFIX): bin, lib, include, share/man, share/doc'
	$(if $(SERVICE),$(install_service))

uninstall: ## Remove what `make install` with the same options put there; a changed configuration stays.
	@rm -f $(BINDIR)/holdfastd $(BINDIR)/holdfast $(LIB)/libholdfast.a $(LIB)/libholdfast.so*
	@rm -f $(INCDIR)/holdfast.h $(LIB)/pkgconfig/libholdfast.pc
	@rm -f $(foreach page,$(MAN_PAGES),$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
	@rm -f $(addprefix $(DOCDIR)/,$(notdir $(DOC_PAGES)))
	@rm -f $(WORDSDIR)/holdfast $(WORDSDIR)/holdfastd
	@rmdir --ignore-fail-on-non-empty $(DOCDIR) 2>/dev/null || true
	$(if $(SERVICE),$(uninstall_service))

pictures: packages-all ## Make the pictures of README.md anew.
	@$(MAKE) all
	@deploy/picture.py make demo >build/demo.svg && mv build/demo.svg deploy/demo.svg
	@deploy/picture_top.py >build/top.svg && mv build/top.svg deploy/top.svg
	@$(MAKE) browser && deploy/picture_page.py deploy/page.png

# The sources as they are here, with deploy/debian as debian/. The version of the package is that of this tree.
DEB = build/deb
deb: packages-deb ## Build Debian packages into build/deb, and check them with lintian (debhelper builds them once more).
	@rm -rf $(DEB) && mkdir -p $(DEB)/holdfast
	@cp -R Makefile README.md LICENSE daemon client proto deploy $(DEB)/holdfast && cp -R deploy/debian $(DEB)/holdfast/debian
	@[ "$$(dpkg-parsechangelog -l deploy/debian/changelog -S Version)" = '$(VERSION)' ] || \
	    { echo 'deploy/debian/changelog is not about version $(VERSION)' >&2; exit 1; }
	@cd $(DEB)/holdfast && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS DEB_BUILD_OPTIONS=parallel=$(shell nproc) \
	    dpkg-buildpackage --build=binary --unsigned-changes --no-pre-clean >../build.log 2>&1 || { tail -n 50 ../build.log; exit 1; }
	@lintian --fail-on error,warning $(DEB)/*.changes
	@ls $(DEB)/*.deb

clean: ## Remove what was built; what the fuzzers found stays.
	@find build -mindepth 1 -maxdepth 1 ! -name corpus -exec rm -rf {} + 2>/dev/null || true

distclean: ## Remove all that is not a source.
	@rm -rf build tests/wire/node/node_modules tests/browser/node_modules

help: ## Show this list.
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 12
	@echo; echo 'Options (make NAME=value), explained in the Makefile: CC CLANG CPPFLAGS CFLAGS LDFLAGS PREFIX SYSCONFDIR LIBDIR UNITDIR DESTDIR LTO V ARGS BENCH TEST_JOBS SEED SOAK_S SOAK_RELEASE_S SOAK_SEEDS FUZZ_S PARTS'
