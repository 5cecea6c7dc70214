/*
 * systems.c - a program of another system (illumos, FreeBSD, macOS, or one that has no tracing), made and run on
 * Linux, for tests/systems.t: the whole library is compiled as for that system, and --wrap hands what it asks of the
 * helper device to a model of the kernel (kernels.h). This program is the tracer: it writes the breakpoints that
 * such a kernel would, and reads arguments where it would. (facts/dof.md, "Machine code".)
 *
 *     systems SYSTEM       prints "ok ..." or "not ok ..." lines
 */
#define _GNU_SOURCE
#include "kernels.h"
#include "program.h"
#include "usdt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#if defined(__APPLE__) && defined(__aarch64__)
#include <libkern/OSCacheControl.h> /* systems.t's */
#endif

/* ---- the system ---- */

enum { DEVICE = 1000 };
static unsigned devices;
static int code_error; /* what the making of executable memory fails with, or 0 */

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    (void)flags;
    if (kernel_open(path) != 0)
        return -1;
    devices++;
    return DEVICE;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    devices -= fd == DEVICE;
    return fd == DEVICE ? 0 : __real_close(fd);
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    uintptr_t argument = va_arg(args, uintptr_t);
    va_end(args);
    return fd == DEVICE && devices == 1 ? kernel_ioctl((uint32_t)request, argument) : (errno = EBADF, -1);
}

static unsigned bad_code; /* what such a kernel, or processor, would not take */

int __real_mprotect(void *at, size_t len, int prot);
int __wrap_mprotect(void *at, size_t len, int prot);
void *__real_mmap(void *at, size_t len, int prot, int how, int fd, off_t from);
void *__wrap_mmap(void *at, size_t len, int prot, int how, int fd, off_t from);

#if defined(__APPLE__) && defined(__aarch64__)

/* Memory that a thread may either write or execute. */
static const char code_protection[] = "rwxp";
static bool may_write;
static size_t not_flushed; /* bytes of it */

void *__wrap_mmap(void *at, size_t len, int prot, int how, int fd, off_t from)
{
    bool executable = (prot & PROT_EXEC) != 0;
    bad_code += ((how & MAP_JIT) != 0) != executable;
    not_flushed += executable ? len : 0;
    return executable && code_error != 0 ? (errno = code_error, MAP_FAILED)
                                         : __real_mmap(at, len, prot, how & ~MAP_JIT, fd, from);
}

int __wrap_mprotect(void *at, size_t len, int prot)
{
    bad_code += prot != PROT_READ;
    return __real_mprotect(at, len, prot);
}

void pthread_jit_write_protect_np(int protect)
{
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    bad_code += sigismember(&blocked, SIGALRM) != 1; /* a handler could fire while nothing can be executed */
    bad_code += may_write != protect;
    may_write = !protect;
}

void sys_icache_invalidate(void *at, size_t len)
{
    bad_code += may_write;
    not_flushed -= len;
    __builtin___clear_cache(at, (char *)at + len);
}

#else

static const char code_protection[] = "r-xp";
enum { not_flushed = 0 };

void *__wrap_mmap(void *at, size_t len, int prot, int how, int fd, off_t from)
{
    bad_code += (prot & PROT_EXEC) != 0;
    return __real_mmap(at, len, prot, how, fd, from);
}

int __wrap_mprotect(void *at, size_t len, int prot)
{
    bad_code += (prot & PROT_WRITE) != 0;
    return (prot & PROT_EXEC) != 0 && code_error != 0 ? (errno = code_error, -1) : __real_mprotect(at, len, prot);
}

#endif

bool process_read(uint64_t from, void *to, size_t len)
{
    memcpy(to, (void *)(uintptr_t)from, len);
    return true;
}

bool process_write(uint64_t to, const void *from, size_t len)
{
    memcpy((void *)(uintptr_t)to, from, len);
    return true;
}

bool process_file(uint64_t at, uint64_t len, uint64_t file[2])
{
    (void)at, (void)len, (void)file;
    return false;
}

int32_t process_id(void)
{
    return (int32_t)getpid();
}

/* ---- the tracer ---- */

enum { PROBES = USDT_ARG_MAX + 1 }; /* number n has n arguments */
static struct site {
    uintptr_t probe, enabled;
    unsigned hits;
    uintptr_t args[USDT_ARG_MAX];
} sites[PROBES];

static void find_site(const struct kernel_probe *probe, void *found)
{
    unsigned n = (unsigned)strtoul(probe->name + 1, NULL, 10);
    if (probe->name[0] != 'p' || n >= PROBES || probe->native_count != n || probe->sites != 1 || probe->enabled_sites != 1)
        return;
    sites[n].probe = (uintptr_t)probe->site;
    sites[n].enabled = (uintptr_t)probe->enabled_site;
    ++*(unsigned *)found;
}

#if defined(__aarch64__)
typedef uint32_t instruction;
enum { BREAK = 0xd4200000, PROBE = 0xd503201f /* nop */, ENABLED = 0xd2800000 /* movz x0, #0 */ };
#else
typedef unsigned char instruction;
enum { BREAK = 0xcc, PROBE = 0x90, ENABLED = 0x90 };
#endif

static bool replace(uintptr_t at, instruction old, instruction new)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    instruction *code = (instruction *)at;
    void *start = (void *)(at & -page);
    if (*code != old || __real_mprotect(start, page, PROT_READ | PROT_WRITE) != 0)
        return false;
    *code = new;
    __builtin___clear_cache((char *)code, (char *)(code + 1));
    return __real_mprotect(start, page, PROT_READ | PROT_EXEC | (code_protection[1] == 'w' ? PROT_WRITE : 0)) == 0;
}

/* Writes breakpoints to all sites, or what was there before. */
static bool trace(bool on)
{
    bool good = true;
    for (size_t i = 0; i < PROBES; i++)
        good = good && replace(sites[i].probe, on ? PROBE : BREAK, on ? BREAK : PROBE) &&
               replace(sites[i].enabled, on ? ENABLED : BREAK, on ? BREAK : ENABLED);
    return good;
}

/* What a kernel does at a breakpoint of its own: takes the arguments, answers, and goes on behind it. */
static void on_trap(int signal, siginfo_t *info, void *context)
{
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    (void)signal, (void)info;
#if defined(__x86_64__)
    const greg_t *r = machine->gregs;
    uintptr_t pc = (uintptr_t)r[REG_RIP] - 1;
    const uintptr_t *stack = (void *)r[REG_RSP], registers[] = { (uintptr_t)r[REG_RDI], (uintptr_t)r[REG_RSI],
        (uintptr_t)r[REG_RDX], (uintptr_t)r[REG_RCX], (uintptr_t)r[REG_R8], (uintptr_t)r[REG_R9] };
    const size_t in_registers = 6;
    greg_t *result = &machine->gregs[REG_RAX];
#elif defined(__i386__)
    uintptr_t pc = (uintptr_t)machine->gregs[REG_EIP] - 1;
    const uintptr_t *stack = (void *)machine->gregs[REG_UESP], *registers = stack;
    const size_t in_registers = 0;
    greg_t *result = &machine->gregs[REG_EAX];
#else
    uintptr_t pc = (uintptr_t)machine->pc;
    const uintptr_t *registers = (const uintptr_t *)machine->regs, *stack = NULL; /* it is not read */
    const size_t in_registers = 5;
    unsigned long long *result = &machine->regs[0];
    machine->pc += 4;
#endif
    for (size_t i = 0; i < PROBES; i++) {
        if (pc == sites[i].enabled) {
            *result = 1;
            return;
        }
        if (pc != sites[i].probe)
            continue;
        sites[i].hits++;
        for (size_t n = 0; n < i; n++)
            sites[i].args[n] = n < in_registers ? registers[n] : stack == NULL ? 0 : stack[n - in_registers];
        return;
    }
    _exit(9); /* no site of ours */
}

/* ---- the program ---- */

static usdt_provider_t *provider;
static usdt_probedef_t *defs[PROBES];
static usdt_probe_t *kept[PROBES]; /* pointers that a thread may still have */

static uintptr_t value(size_t probe, size_t n)
{
    return (uintptr_t)0x0123456789abcdef * (probe + 1) + n;
}

static void define(void)
{
    static const char *const types[USDT_ARG_MAX] = {
        "long", "long", "long", "long", "long", "long", "long", "long", "long", "long", "long",
        "long", "long", "long", "long", "long", "long", "long", "long", "long", "long", "long",
        "long", "long", "long", "long", "long", "long", "long", "long", "long", "long",
    };
    provider = usdt_create_provider("systems", "test");
    for (size_t i = 0; i < PROBES; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%zu", i);
        defs[i] = usdt_create_probe("func", name, i, (const char **)(uintptr_t)types);
        usdt_provider_add_probe(provider, defs[i]);
    }
}

/* Checks and fires each; how many were enabled by both ways of asking. */
static unsigned fire_all(void)
{
    unsigned enabled = 0;
    for (size_t i = 0; i < PROBES; i++) {
        void *args[USDT_ARG_MAX];
        for (size_t n = 0; n < i; n++)
            args[n] = (void *)value(i, n);
        kept[i] = defs[i]->probe != NULL ? defs[i]->probe : kept[i];
        if (kept[i] == NULL)
            continue;
        enabled += usdt_is_enabled(kept[i]) == 1 && kept[i]->isenabled_addr() == 1;
        usdt_fire_probe(kept[i], i, args);
    }
    return enabled;
}

#if defined(__aarch64__)
enum { SHOWN = 5 };
#else
enum { SHOWN = USDT_ARG_MAX };
#endif

/* How many were hit since the last call, with the right values. */
static unsigned hits(void)
{
    unsigned good = 0;
    for (size_t i = 0; i < PROBES; i++) {
        bool right = sites[i].hits == 1;
        for (size_t n = 0; n < i; n++)
            right = right && sites[i].args[n] == (n < SHOWN ? value(i, n) : 0);
        good += right;
        sites[i].hits = 0;
    }
    return good;
}

/* The protection of what is mapped at an address; or "rwxp", if anything is. */
static const char *protection(uintptr_t at)
{
    static char text[5];
    char line[512], found[5] = "none";
    FILE *maps = fopen("/proc/self/maps", "r");
    uintmax_t from, to;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%jx-%jx %4s", &from, &to, text) == 3 &&
            (strncmp(text, "rwx", 3) == 0 || (at >= from && at < to && strcmp(found, "rwxp") != 0)))
            strcpy(found, text);
    if (maps != NULL)
        fclose(maps);
    return strcpy(text, found);
}

static void find_sites(void)
{
    unsigned found = 0;
    kernel_dtrace_starts();
    kernel_list(find_site, &found);
    check(found == PROBES && kernel.refused + kernel.lost == 0, "the kernel lists %u probes", found);
}

static void live(void)
{
    check(usdt_provider_enable(provider) == 0, "enable: %s", usdt_errstr(provider));
    find_sites();
    const char *code = protection(sites[PROBES - 1].probe);
    check(strcmp(code, code_protection) == 0 && bad_code == 0 && not_flushed == 0,
          "how code is made: %s", code);
    check(fire_all() == 0 && hits() == 0, "untraced: nothing is enabled");
    check(trace(true), "the expected instruction is at each site");
    check(fire_all() == PROBES, "traced: all are enabled");
    unsigned good = hits();
    check(good == PROBES, "and %u were hit, with their values where the kernel looks for them", good);
    check(trace(false) && fire_all() == 0 && hits() == 0, "untraced again");
}

static void live_in_child(void)
{
    unsigned adds = kernel.adds;
    kernel_forks();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool good = kernel.adds == adds && trace(true) && fire_all() == PROBES && hits() == PROBES;
        _exit(good && usdt_provider_disable(provider) == 0 && kernel_documents() == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    check(status == 0, "a child of fork() is traced as its parent, and takes its own probes back");
}

static void end(void)
{
    check(trace(true) && usdt_provider_disable(provider) == 0, "disable, while traced: %s", usdt_errstr(provider));
    check(kernel_documents() == 0 && devices == 0, "the kernel has nothing left");
    check(defs[1]->probe == NULL && fire_all() == 0 && hits() == 0, "who kept a pointer fires past the breakpoints");
    trace(false);
}

static void try_errors(void)
{
    kernel.add_error = EACCES;
    check(usdt_provider_enable(provider) == -1 && usdt_provider_errno(provider) == USDT_ERROR_LOADDOF,
          "refused: %s", usdt_errstr(provider));
    check(fire_all() == 0 && defs[1]->probe == NULL, "then firing does nothing");
    kernel.add_error = 0;
    kernel.device = NULL;
    check(usdt_provider_enable(provider) == -1 && usdt_provider_errno(provider) == USDT_ERROR_PUBLISH,
          "no device: %s", usdt_errstr(provider));
    usdt_provider_t *other = usdt_create_provider("other", "test");
    usdt_probedef_t *def = usdt_create_probe("func", "p0", 0, NULL);
    usdt_provider_add_probe(other, def);
    code_error = EACCES;
    for (int i = 0; i < 100; i++) /* until no range is spare */
        if (usdt_provider_enable(other) == 0)
            break;
    check(usdt_provider_errno(other) != USDT_ERROR_NONE && def->probe == NULL, "code is not allowed: %s", usdt_errstr(other));
    code_error = 0;
    usdt_probe_release(def);
    usdt_provider_free(other);
}

static unsigned heard;

static void hear(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    size_t i = (size_t)(uintptr_t)context;
    bool right = def == defs[i] && argc == i;
    for (size_t n = 0; n < argc; n++)
        right = right && (uintptr_t)argv[n] == value(i, n);
    heard += right;
}

static bool listen_to_all(void)
{
    bool good = true;
    for (size_t i = 0; i < PROBES; i++)
        good = good && usdt_probe_listen(defs[i], hear, (void *)i) == 0;
    return good;
}

static bool listen_to_none(void)
{
    bool good = true;
    for (size_t i = 0; i < PROBES; i++)
        good = good && usdt_probe_unlisten(defs[i], hear, (void *)i) == 0;
    return good;
}

/* The program itself listens: with a tracer and without, and nothing changes for that. */
static void listened(void)
{
    check(usdt_provider_enable(provider) == 0 && listen_to_all(), "all probes are listened to");
    find_sites();
    heard = 0;
    check(fire_all() == PROBES && heard == PROBES && hits() == 0, "untraced: all are enabled, and %u heard", heard);
    heard = 0;
    check(trace(true) && fire_all() == PROBES, "traced, too");
    unsigned good = hits();
    check(heard == PROBES && good == PROBES, "%u are heard, %u hit", heard, good);
    heard = 0;
    check(listen_to_none() && fire_all() == PROBES && heard == 0 && hits() == PROBES, "then only hit");
    check(trace(false) && fire_all() == 0 && hits() == 0, "untraced again");
    check(listen_to_all() && usdt_provider_disable(provider) == 0 && fire_all() == PROBES && heard == PROBES &&
              hits() == 0, "not enabled: all are heard");
    check(listen_to_none() && fire_all() == 0, "and none");
}

/* Nothing but a message, and no harm. */
static void live_without(void)
{
    check(usdt_provider_enable(provider) == -1, "enable: %s", usdt_errstr(provider));
    check(fire_all() == 0 && defs[1]->probe == NULL, "firing does nothing");
    for (size_t i = 0; i < PROBES; i++)
        kept[i] = usdt_probedef_probe(defs[i]);
    check(fire_all() == 0 && listen_to_all() && fire_all() == PROBES && heard == PROBES,
          "but %u are heard by listeners", heard);
    check(listen_to_none() && fire_all() == 0 && heard == PROBES, "as long as they listen");
    check(usdt_provider_disable(provider) == 0, "disable has nothing to do");
}

int main(int argc, char **argv)
{
    #if defined(__aarch64__)
    static const char arch[] = "arm64";
#else
    static const char *const arch = sizeof(void *) == 8 ? "x86_64" : "i386";
#endif
    struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
    if (argc != 2)
        return 2;
    define();
    if (strcmp(argv[1], "none") == 0) {
        live_without();
    } else {
        sigaction(SIGTRAP, &action, NULL);
        kernel_boot(argv[1], arch);
        live();
        live_in_child();
        end();
        live();
        end();
        listened();
        try_errors();
    }
    for (size_t i = 0; i < PROBES; i++)
        usdt_probe_release(defs[i]);
    usdt_provider_free(provider);
    return failed;
}
