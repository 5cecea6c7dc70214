/*
 * usdt_platform.c - the table of systems and processors: everything in which they differ.
 *
 * No logic but the choice of the row this is compiled for. A test may use any row, to build the
 * document, image and stubs of a system it does not run on.
 *
 * Sources: DOF versions, limits and ioctls are those of the kernels (illumos and FreeBSD
 * sys/dtrace.h and dtrace.c, XNU bsd/sys/dtrace.h, DTrace for Linux dtprobed and dof_parser.c); ELF
 * machines, the processors' ABI supplements.
 */
#include "usdt_internal.h"

#include <string.h>

#if defined(__linux__)
#define SYSTEM "linux"
#elif defined(__APPLE__)
#define SYSTEM "macos"
#elif defined(__FreeBSD__)
#define SYSTEM "freebsd"
#elif defined(__sun)
#define SYSTEM "illumos"
#else
#define SYSTEM "this system"
#endif

/*
 * The templates of the processor compiled for are part of the library. Those of others are NULL,
 * unless a program links them in too, as the tests do: hence weak.
 */
#define HIDDEN __attribute__((visibility("hidden")))
#define WEAK HIDDEN __attribute__((weak))
#define STUBS(arch, linkage) \
    extern const struct usdt_stub usdt_stub_linux_##arch linkage, usdt_stub_dtrace_##arch linkage
#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCH "x86_64"
STUBS(x86_64, HIDDEN);
#else
STUBS(x86_64, WEAK);
#endif
#if defined(__i386__)
#define ARCH "i386"
STUBS(i386, HIDDEN);
#else
STUBS(i386, WEAK);
#endif
#if defined(__aarch64__) && !defined(__AARCH64EB__) && !defined(__ILP32__)
#define ARCH "arm64"
STUBS(arm64, HIDDEN);
#else
STUBS(arm64, WEAK);
#endif
/* Others have a name only, for the message. */
#if defined(__riscv)
#define ARCH "riscv"
#elif defined(__powerpc__)
#define ARCH "powerpc"
#elif defined(__s390__)
#define ARCH "s390"
#elif defined(__sparc__)
#define ARCH "sparc"
#elif defined(__arm__)
#define ARCH "arm"
#elif !defined(ARCH)
#define ARCH "this processor"
#endif

enum { EM_386 = 3, EM_X86_64 = 62, EM_AARCH64 = 183 };

#define KiB 1024u
#define MiB (1024u * KiB)

/* DOF: version 3 counts is-enabled offsets on Linux, and is the only one XNU takes. Helpers: above
   dtrace_helper_providers_max a kernel drops a process's documents without a word; dtprobed has no limit. */
#define LINUX_DOF                                                                          \
    .dof_version = 3, .dof_max = 256 * MiB, .map_max = 10,                                 \
    .device = { "/dev/dtrace/helper" }, .add = 0x4050d803, .remove = 0x4004d802,   \
    .dof_in_file = true, .helpers_forgotten = true
#define MACOS_DOF                                                                          \
    .dof_version = 3, .dof_max = 512 * KiB, .helpers_max = 64, .base_is_dof = true,        \
    .device = { "/dev/dtracehelper" }, .add = 0x80086804, .remove = 0x20006802,      \
    .generation = USDT_GENERATION_IN_LIST
/* With a map that is not the identity, FreeBSD and XNU on x86 take the wrong slot of the stack for what is above the
   registers. What is above DTrace's own number of arguments is 0: 10 on Linux, 5 on XNU on arm64. */
#define FREEBSD_DOF                                                                        \
    .dof_version = 2, .dof_max = 8 * MiB, .helpers_max = 32, .map_max = 6,                 \
    .device = { "/dev/dtrace/helper" }, .add = 0xc0587a03, .remove = 0x80047a02,   \
    .generation = USDT_GENERATION_IN_RECORD
#define ILLUMOS_DOF                                                                        \
    .dof_version = 2, .dof_max = 8 * MiB, .helpers_max = 32,                               \
    .device = { "/dev/dtrace/helper", "/devices/pseudo/dtrace@0:helper" },                 \
    .add = 0x64746803, .remove = 0x64746802

/* XNU on x86 takes 1 off a probe's offset and adds 2 to an is-enabled probe's. */
#define XNU_X86 .probe_bias = 1, .isenabled_bias = -2, .map_max = 6

#define X86_64 .arch = "x86_64", .word = 8, .char_signed = true
#define I386 .arch = "i386", .word = 4, .char_signed = true
#define ARM64 .arch = "arm64", .word = 8

/* On macOS, what is not linked in cannot be named: Mach-O has no such weak references. */
#if defined(__APPLE__)
#define STUB(name) NULL
#else
#define STUB(name) &usdt_stub_##name
#endif
#if defined(__APPLE__) && defined(__x86_64__)
#define MACOS_X86_64 &usdt_stub_dtrace_x86_64
#else
#define MACOS_X86_64 STUB(dtrace_x86_64)
#endif
#if defined(__APPLE__) && defined(__aarch64__)
#define MACOS_ARM64 &usdt_stub_dtrace_arm64
#else
#define MACOS_ARM64 STUB(dtrace_arm64)
#endif

static const struct usdt_platform usdt_platforms[] = {
    { .system = "linux", X86_64, .stub = STUB(linux_x86_64), .elf_machine = EM_X86_64, LINUX_DOF },
    { .system = "linux", I386, .stub = STUB(linux_i386), .elf_machine = EM_386, LINUX_DOF },
    { .system = "linux", ARM64, .stub = STUB(linux_arm64), .elf_machine = EM_AARCH64, LINUX_DOF },
    { .system = "macos", X86_64, .stub = MACOS_X86_64, MACOS_DOF, XNU_X86 },
    { .system = "macos", I386, .stub = STUB(dtrace_i386), MACOS_DOF, XNU_X86 },
    { .system = "macos", ARM64, .stub = MACOS_ARM64, .char_signed = true, MACOS_DOF, .map_max = 5 },
    { .system = "freebsd", X86_64, .stub = STUB(dtrace_x86_64), FREEBSD_DOF },
    { .system = "freebsd", I386, .stub = STUB(dtrace_i386), FREEBSD_DOF },
    { .system = "illumos", X86_64, .stub = STUB(dtrace_x86_64), ILLUMOS_DOF },
    { .system = "illumos", I386, .stub = STUB(dtrace_i386), ILLUMOS_DOF },
};

const struct usdt_platform *usdt_platform_find(const char *system, const char *arch)
{
    for (size_t i = 0; i < sizeof usdt_platforms / sizeof usdt_platforms[0]; i++)
        if (strcmp(usdt_platforms[i].system, system) == 0 && strcmp(usdt_platforms[i].arch, arch) == 0)
            return &usdt_platforms[i];
    return NULL;
}

const struct usdt_platform *usdt_platform_native(void)
{
    const struct usdt_platform *platform = usdt_platform_find(SYSTEM, ARCH);
    return platform == NULL || platform->stub == NULL ? NULL : platform;
}

const char *usdt_platform_name(void)
{
    return ARCH " on " SYSTEM;
}
