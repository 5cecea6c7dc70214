/*
 * faults.c - makes every call that the library makes to the system fail, one after the other, and sees
 * that its program is not hurt. For tests/faults.t to run.
 *
 * Knows usdt.h only. It is linked with --wrap for each function below, so that the library's calls come
 * here first. Each fault has a process of its own, which lives a life with probes (life()), first with
 * the fault and then without: that must work, and leave no memory, descriptor, mapping or file.
 *
 *     faults calls        each call, once and always, each errno; prints a line for each function
 *     faults limits       what a program may do to itself: limits, closed descriptors, seccomp
 */
#define _GNU_SOURCE
#include "usdt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the fault ---- */

static struct {
    const char *function; /* NULL: none; "memory": any of the allocating ones */
    int error;
    long at; /* the how-manyeth call of it fails; 0: each */
    long seen;
    bool armed; /* not while we look at what is left */
    bool hit;
} fault;

static long allocated;       /* by the library, not freed yet */
static bool dtrace_is_there; /* we are its daemon */
static long generations;

static bool fails(const char *function)
{
    if (!fault.armed || fault.function == NULL || strcmp(fault.function, function) != 0)
        return false;
    fault.seen++;
    if (fault.at != 0 && fault.seen != fault.at)
        return false;
    fault.hit = true;
    errno = fault.error;
    return true;
}

/* ---- the calls ---- */

static const char *const functions[] = {
    "memory", "open",   "openat",   "fstat", "fstatat", "fstatfs", "mkdirat", "flock",     "write",     "pread",
    "fchmod", "linkat", "unlinkat", "close", "fcntl",   "mmap",    "mprotect", "mremap",   "munmap",    "ioctl",
    "syscall", "uname", "nanosleep", "fdopendir", "readdir", "closedir", "getrlimit", "clock_gettime",
};

/* `result`, unless the call is to fail. */
#define WRAP_AS(base, type, failed, name, params, args) \
    type __real_##name params;                          \
    type __wrap_##name params;                          \
    type __wrap_##name params                           \
    {                                                   \
        return fails(base) ? failed : __real_##name args; \
    }
#define WRAP(name, params, args) WRAP_AS(#name, int, -1, name, params, args)
#define WRAP_64(base, name, params, args) WRAP_AS(#base, int, -1, name, params, args)

WRAP(fstat, (int fd, void *to), (fd, to))
WRAP_64(fstat, fstat64, (int fd, void *to), (fd, to))
WRAP(fstatat, (int dir, const char *path, void *to, int how), (dir, path, to, how))
WRAP_64(fstatat, fstatat64, (int dir, const char *path, void *to, int how), (dir, path, to, how))
WRAP(fstatfs, (int fd, void *to), (fd, to))
WRAP_64(fstatfs, fstatfs64, (int fd, void *to), (fd, to))
WRAP(mkdirat, (int dir, const char *path, unsigned mode), (dir, path, mode))
WRAP(flock, (int fd, int how), (fd, how))
WRAP_AS("write", ssize_t, -1, write, (int fd, const void *from, size_t n), (fd, from, n))
WRAP_AS("pread", ssize_t, -1, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
WRAP_AS("pread", ssize_t, -1, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
WRAP(fchmod, (int fd, unsigned mode), (fd, mode))
WRAP(linkat, (int a, const char *from, int b, const char *to, int how), (a, from, b, to, how))
WRAP(unlinkat, (int dir, const char *path, int how), (dir, path, how))
WRAP_AS("mmap", void *, MAP_FAILED, mmap, (void *at, size_t n, int prot, int how, int fd, off_t off),
        (at, n, prot, how, fd, off))
WRAP_AS("mmap", void *, MAP_FAILED, mmap64, (void *at, size_t n, int prot, int how, int fd, off64_t off),
        (at, n, prot, how, fd, off))
WRAP(mprotect, (void *at, size_t n, int prot), (at, n, prot))
WRAP_AS("mremap", void *, MAP_FAILED, mremap, (void *at, size_t n, size_t m, int how, void *to),
        (at, n, m, how, to))
WRAP(uname, (void *to), (to))
WRAP(nanosleep, (const void *time, void *left), (time, left))
WRAP(getrlimit, (int which, void *to), (which, to))
WRAP_64(getrlimit, getrlimit64, (int which, void *to), (which, to))
WRAP(clock_gettime, (clockid_t clock, void *to), (clock, to))
WRAP_AS("fdopendir", DIR *, NULL, fdopendir, (int fd), (fd))
WRAP_AS("readdir", void *, NULL, readdir, (DIR *dir), (dir))
WRAP_AS("readdir", void *, NULL, readdir64, (DIR *dir), (dir))

/* These have their effect even where they report a failure: nothing that a program could undo. */
#define WRAP_LATE(name, params, args)                    \
    int __real_##name params;                            \
    int __wrap_##name params;                            \
    int __wrap_##name params                             \
    {                                                    \
        bool bad = fails(#name);                         \
        int error = errno, result = __real_##name args;  \
        if (bad)                                         \
            errno = error;                               \
        return bad ? -1 : result;                        \
    }
WRAP_LATE(close, (int fd), (fd))
WRAP_LATE(closedir, (DIR *dir), (dir))
WRAP_LATE(munmap, (void *at, size_t n), (at, n))

/* And these take what they need. */
static int mode_of(int flags, va_list args)
{
    return (flags & O_CREAT) != 0 ? va_arg(args, int) : 0;
}

#define WRAP_OPENAT(name)                                              \
    int __real_##name(int dir, const char *path, int flags, ...);      \
    int __wrap_##name(int dir, const char *path, int flags, ...);      \
    int __wrap_##name(int dir, const char *path, int flags, ...)       \
    {                                                                  \
        va_list args;                                                  \
        va_start(args, flags);                                         \
        int mode = mode_of(flags, args);                               \
        va_end(args);                                                  \
        return fails("openat") ? -1 : __real_##name(dir, path, flags, mode); \
    }
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

#define WRAP_OPEN(name)                                              \
    int __real_##name(const char *path, int flags, ...);             \
    int __wrap_##name(const char *path, int flags, ...);             \
    int __wrap_##name(const char *path, int flags, ...)              \
    {                                                                \
        if (fails("open"))                                           \
            return -1;                                               \
        if (strncmp(path, "/dev/dtrace", 11) == 0 && dtrace_is_there) \
            path = "/dev/null";                                      \
        return __real_##name(path, flags);                           \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)

#define WRAP_FCNTL(name)                                          \
    int __real_##name(int fd, int what, ...);                     \
    int __wrap_##name(int fd, int what, ...);                     \
    int __wrap_##name(int fd, int what, ...)                      \
    {                                                             \
        va_list args;                                             \
        va_start(args, what);                                     \
        long arg = va_arg(args, long);                            \
        va_end(args);                                             \
        return fails("fcntl") ? -1 : __real_##name(fd, what, arg); \
    }
WRAP_FCNTL(fcntl)
WRAP_FCNTL(fcntl64)

int __wrap_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...)
{
    (void)fd, (void)what;
    return fails("ioctl") ? -1 : (int)++generations;
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    va_list args;
    va_start(args, number);
    long a = va_arg(args, long), b = va_arg(args, long);
    va_end(args);
    return fails("syscall") ? -1 : __real_syscall(number, a, b);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    void *at = fails("memory") ? NULL : __real_calloc(n, size);
    allocated += at != NULL;
    return at;
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    void *at = fails("memory") ? NULL : __real_realloc(old, size);
    allocated += at != NULL && old == NULL;
    return at;
}

char *__real_strdup(const char *from);
char *__wrap_strdup(const char *from);
char *__wrap_strdup(const char *from)
{
    char *at = fails("memory") ? NULL : __real_strdup(from);
    allocated += at != NULL;
    return at;
}

void __real_free(void *at);
void __wrap_free(void *at);
void __wrap_free(void *at)
{
    allocated -= at != NULL;
    __real_free(at);
}

/* ---- a life with probes ---- */

static char directory[256]; /* where the images go */

static void complain(const char *what, const char *detail)
{
    const char *which = fault.function == NULL ? "no fault" : fault.function;
    dprintf(2, "faults: %s, call %ld, %s: %s: %s\n", which, fault.at, strerror(fault.error), what, detail);
    _exit(1);
}

#define MUST(condition) ((condition) ? (void)0 : complain("not true", #condition))

static long failures; /* calls of the library that returned -1 or NULL */

enum { DEFS = 3 };
static usdt_probedef_t *defs[DEFS];

static void fire_all(void)
{
    void *values[40] = { 0 };
    for (size_t i = 0; i < DEFS; i++) {
        usdt_probe_t *probe = usdt_probedef_probe(defs[i]);
        MUST(!usdt_is_enabled(probe));
        MUST(probe->isenabled_addr() == 0);
        MUST(*probe->semaphore == 0);
        usdt_fire_probe(probe, 0, NULL);
        usdt_fire_probe(probe, 40, values);
        MUST(defs[i] == NULL || defs[i]->probe == NULL || defs[i]->probe == probe);
    }
}

/* What holds after any call: -1 has a reason; and without a fault nothing fails. */
static void check(const char *call, usdt_provider_t *provider, int result)
{
    if (result != 0 && (usdt_errstr(provider)[0] == '\0' || usdt_provider_errno(provider) == USDT_ERROR_NONE))
        complain(call, "fails without a reason");
    if (result != 0 && fault.function == NULL)
        complain(call, usdt_errstr(provider));
    failures += result != 0;
    fire_all();
}

static void enable(usdt_provider_t *provider)
{
    bool was = provider->enabled;
    const usdt_probe_t *before[DEFS];
    for (size_t i = 0; i < DEFS; i++)
        before[i] = defs[i] == NULL ? NULL : defs[i]->probe;
    int result = usdt_provider_enable(provider);
    check("enable", provider, result);
    MUST(provider->enabled == (was || result == 0));
    for (size_t i = 0; i < DEFS && result != 0; i++)
        MUST(defs[i] == NULL || defs[i]->probe == before[i]);
    if (result == 0)
        for (usdt_probedef_t *def = provider->probedefs; def != NULL; def = def->next)
            MUST(def->probe != NULL);
    if (fault.function == NULL && usdt_provider_errno(provider) == USDT_ERROR_DEGRADED)
        complain("enable", usdt_errstr(provider));
}

static void disable(usdt_provider_t *provider)
{
    check("disable", provider, usdt_provider_disable(provider));
    MUST(provider->enabled == 0);
    for (size_t i = 0; i < DEFS; i++)
        MUST(defs[i] == NULL || defs[i]->probe == NULL);
}

static void add(usdt_provider_t *provider, size_t i)
{
    static const char *types[] = { "int", "char *" };
    static const char *const names[DEFS] = { "a", "b", "c" };
    if (defs[i] == NULL) {
        defs[i] = usdt_create_probe("func", names[i], i > 2 ? 2 : i, types);
        check("create_probe", NULL, defs[i] == NULL ? -1 : 0);
    }
    if (defs[i] != NULL)
        check("add_probe", provider, usdt_provider_add_probe(provider, defs[i]));
}

static void count_hit(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)def, (void)argc, (void)argv;
    ++*(unsigned *)context;
}

/* Listens to a probe, or not: then an error, and nothing is heard. */
static void listen(usdt_probedef_t *def)
{
    unsigned hits = 0;
    int result = usdt_probe_listen(def, count_hit, &hits);
    MUST(usdt_is_enabled(usdt_probedef_probe(def)) == (result == 0));
    usdt_fire_probe(usdt_probedef_probe(def), 0, NULL);
    MUST(hits == (result == 0));
    if (result == 0)
        MUST(usdt_probe_unlisten(def, count_hit, &hits) == 0);
    usdt_fire_probe(usdt_probedef_probe(def), 0, NULL);
    MUST(hits == (result == 0));
    check("listen", NULL, result);
}

/* In the program's own file. */
#if defined(__aarch64__)
__asm__(".text\n .balign 4\n site_here: nop\n ret\n");
#else
__asm__(".text\n site_here: nop\n ret\n");
#endif
extern const unsigned char site_here[];

static void live_with(usdt_provider_t *provider)
{
    add(provider, 0);
    enable(provider);
    add(provider, 1);
    add(provider, 2);
    listen(defs[2]);
    listen(defs[2]);
    check("use_semaphores", provider, usdt_provider_use_semaphores(provider));
    check("add_type", provider,
          usdt_provider_add_type(provider, "enum e { A }; typedef struct s { int x; enum e e; } s_t;"));
    static const char *const seen[] = { "long", "id_t" };
#if defined(__aarch64__)
    static const uint32_t code[] = { 0xd503201f, 0xd65f03c0 };
#else
    static const unsigned char code[] = { 0x90, 0xc3 };
#endif
    if (defs[2] != NULL) {
        check("translate", NULL, usdt_probe_translate(defs[2], 1, seen, (const unsigned char[]){ 0 }));
        check("use code", NULL, usdt_probe_use_code(defs[2], &(usdt_code_t){ .bytes = code, .size = sizeof code }));
        if (usdt_probe_use_site(defs[2], site_here) == 0)
            check("use code again", NULL, usdt_probe_use_code(defs[2], &(usdt_code_t){ .bytes = code, .size = sizeof code }));
        check("translate again", NULL, usdt_probe_translate(defs[2], 2, seen, (const unsigned char[]){ 0, 0 }));
    }
    enable(provider); /* a second image */
    enable(provider);
    if (defs[1] != NULL && usdt_provider_remove_probe(provider, defs[1]) == 0)
        add(provider, 1);
    enable(provider);
    if (defs[0] != NULL)
        usdt_provider_remove_probe(provider, defs[0]);
    fire_all();
    if (provider->probedefs == NULL)
        add(provider, 1);
    disable(provider);
    if (provider->probedefs != NULL)
        enable(provider);
    disable(provider);
    if (provider->probedefs != NULL)
        enable(provider);
}

static void life(void)
{
    fault.armed = true;
    usdt_provider_t *provider = usdt_create_provider("faults", "mod");
    check("create_provider", NULL, provider == NULL ? -1 : 0);
    if (provider != NULL)
        live_with(provider);
    usdt_provider_free(provider);
    fire_all();
    for (size_t i = 0; i < DEFS; i++) {
        usdt_probe_release(defs[i]);
        defs[i] = NULL;
    }
    fault.armed = false;
}

/* ---- what is left ---- */

static long kept; /* allocations for address ranges, which live as long as the process */

static long count_entries(const char *path)
{
    long count = 0;
    DIR *dir = opendir(path);
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count - 2;
}

static long count_mappings(void)
{
    static char text[1 << 16];
    long lines = 0;
#ifdef __SANITIZE_ADDRESS__ /* which maps more now and then */
    return 0;
#endif
    int fd = open("/proc/self/maps", O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    close(fd);
    return lines;
}

static void without_fault(void)
{
    fault.function = NULL;
    life();
}

/* The life with the fault, then without. Exit code 0: good; 2: the call was never made. */
static void live(void)
{
    long descriptors = count_entries("/proc/self/fd");
    life();
    bool hit = fault.hit;
    MUST(allocated <= kept);
    MUST(count_entries("/proc/self/fd") == descriptors);
    without_fault();
    long mappings = count_mappings();
    without_fault();
    MUST(count_mappings() == mappings);
    MUST(allocated == kept);
    MUST(count_entries("/proc/self/fd") == descriptors);
    _exit(hit ? 0 : 2);
}

static int in_process(void (*what)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        what();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 99;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void count_kept(void)
{
    without_fault();
    _exit((int)allocated);
}

static bool run_fault(const char *function, int error, long at, long *failed)
{
    fault.function = function;
    fault.error = error;
    fault.at = at;
    int result = in_process(live);
    if (result != 0 && result != 2) {
        fprintf(stderr, "faults: %s, call %ld, %s: ended with %d\n", function, at, strerror(error), result);
        ++*failed;
    }
    /* What could not be removed then, the first enable of another process removes. */
    fault.function = NULL;
    if (count_entries(directory) > 0 && in_process(without_fault) == 0 && count_entries(directory) > 0) {
        fprintf(stderr, "faults: %s, call %ld, %s: a file is left\n", function, at, strerror(error));
        ++*failed;
    }
    return result != 2;
}

static void try_function(const char *function)
{
    /* First those that the library treats like no other. */
    static const int errors[] = { ENOENT, EAGAIN, EINTR, EINVAL, ENOMEM, EPERM,
                                  EACCES, ENOSPC, EMFILE, EROFS, ENOSYS, EIO };
    size_t count = getenv("USDT_TEST_STRESS") != NULL ? sizeof errors / sizeof errors[0] : 5;
    long calls = 0, faults = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        long at = 1;
        for (; failed < 10 && run_fault(function, errors[i], at, &failed); at++)
            faults++;
        calls = at - 1;
        faults += run_fault(function, errors[i], 0, &failed);
        if (strcmp(function, "memory") == 0)
            break; /* whatever the errno */
    }
    printf("%s %ld %ld %ld\n", function, calls, faults, failed);
    fflush(stdout);
}

/* ---- what a program may do to itself ---- */

static void set_limit(unsigned which, rlim_t value)
{
    struct rlimit limit;
    getrlimit(which, &limit);
    limit.rlim_cur = value;
    setrlimit(which, &limit);
}

/* A fault that is none of a call: for complain(), and so that failures are allowed. */
static void pretend(const char *name, long step)
{
    fault.function = name;
    fault.at = step;
    fault.error = 0;
}

static void with_few_descriptors(void)
{
    for (rlim_t more = 0; more < 8; more++) {
        pretend("RLIMIT_NOFILE", (long)more);
        set_limit(RLIMIT_NOFILE, 3 + more);
        life();
        set_limit(RLIMIT_NOFILE, 1024);
        without_fault();
    }
    MUST(failures > 0);
}

static void with_little_memory(void)
{
    for (rlim_t more = 0; more < 64; more++) {
        long pages = 0;
        FILE *statm = fopen("/proc/self/statm", "r");
        MUST(statm != NULL && fscanf(statm, "%ld", &pages) == 1);
        fclose(statm);
        pretend("RLIMIT_AS", (long)more);
        set_limit(RLIMIT_AS, ((rlim_t)pages + more) * 4096);
        life();
        set_limit(RLIMIT_AS, RLIM_INFINITY);
        without_fault();
    }
    MUST(failures > 0);
}

static void with_small_files(void)
{
    static const rlim_t sizes[] = { 0, 1, 64, 4095, 4096, 4097, 5000 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pretend("RLIMIT_FSIZE", (long)sizes[i]);
        set_limit(RLIMIT_FSIZE, sizes[i]);
        life();
        set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
        without_fault();
    }
    MUST(failures > 0);
}

static usdt_provider_t *publish(void)
{
    usdt_provider_t *provider = usdt_create_provider("faults", "mod");
    add(provider, 0);
    check("enable", provider, usdt_provider_enable(provider));
    return provider;
}

static void end(usdt_provider_t *provider)
{
    usdt_provider_free(provider);
    for (size_t i = 0; i < DEFS; i++) {
        usdt_probe_release(defs[i]);
        defs[i] = NULL;
    }
}

/* Nothing of ours may become the program's input or output, in any place where an image lives. */
static void with_closed_stdio(void)
{
    for (int memfd = 0; memfd < 2; memfd++) {
        pretend(memfd ? "mkdirat" : "closed stdio", 0);
        fault.error = EROFS;
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        usdt_provider_t *provider = publish();
        if (defs[0]->probe == NULL)
            _exit(3);
        for (int fd = 0; fd < 3; fd++)
            if (fcntl(fd, F_GETFD) != -1)
                _exit(4);
        end(provider);
        without_fault();
    }
}

/* The numbers of closed descriptors become other files, which are none of our business. */
static void with_closed_descriptors(void)
{
    for (int memfd = 0; memfd < 2; memfd++) {
        pretend(memfd ? "mkdirat" : "closed descriptors", 0);
        fault.error = EROFS;
        usdt_provider_t *provider = publish();
        MUST(defs[0]->probe != NULL);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        for (int fd = 3; fd < 64; fd++)
            MUST(open("/dev/zero", O_RDONLY) == fd);
        fire_all();
        check("disable", provider, usdt_provider_disable(provider));
        check("enable", provider, usdt_provider_enable(provider));
        end(provider);
        for (int fd = 3; fd < 64; fd++) {
            char byte = 1;
            MUST(read(fd, &byte, 1) == 1 && byte == 0);
            close(fd);
        }
        without_fault();
    }
}

#if defined(__x86_64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_I386
#else
#define AUDIT_ARCH_HERE AUDIT_ARCH_AARCH64
#endif

/* From now on every system call fails, but write, what ends a program, and futex, without which glibc
   aborts. */
static void filter(int error)
{
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), \
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(write), ALLOW(futex), ALLOW(exit), ALLOW(exit_group), ALLOW(rt_sigreturn),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
    };
    struct sock_fprog all = { .len = sizeof program / sizeof program[0], .filter = program };
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0);
}

static int filter_error;

static void behind_a_filter(void)
{
    pretend("seccomp", filter_error);
    filter(filter_error);
    life();
    life();
    MUST(failures > 0);
}

static void behind_a_filter_later(void)
{
    pretend("seccomp", filter_error);
    usdt_provider_t *provider = publish();
    filter(filter_error);
    fire_all();
    disable(provider);
    enable(provider);
    disable(provider);
    life();
    end(provider);
    exit(0); /* with what the library does then */
}

static void behind_strict_seccomp(void)
{
    publish();
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    fire_all();
    __real_syscall(SYS_exit, 0L);
}

static void try_limit(const char *name, void (*what)(void))
{
    int result = in_process(what);
    fault.function = NULL;
    int after = in_process(without_fault);
    long files = count_entries(directory);
    printf("%s %d %d %ld\n", name, result, after, files);
    fflush(stdout);
}

static void try_limits(void)
{
    try_limit("RLIMIT_NOFILE", with_few_descriptors);
    try_limit("RLIMIT_AS", with_little_memory);
    try_limit("RLIMIT_FSIZE", with_small_files);
    try_limit("closed_stdio", with_closed_stdio);
    try_limit("closed_descriptors", with_closed_descriptors);
    static const int errors[] = { EPERM, EACCES, ENOSYS, ENOMEM, EINTR, ENOENT };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        filter_error = errors[i];
        try_limit("seccomp_filter_first", behind_a_filter);
        try_limit("seccomp_filter_later", behind_a_filter_later);
    }
    try_limit("seccomp_strict", behind_strict_seccomp);
}

int main(int argc, char **argv)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (argc != 2 || (strcmp(argv[1], "calls") != 0 && strcmp(argv[1], "limits") != 0) || runtime == NULL) {
        fputs("usage: XDG_RUNTIME_DIR=DIR faults calls|limits\n", stderr);
        return 2;
    }
    snprintf(directory, sizeof directory, "%s/usdt", runtime);
    if (argv[1][0] == 'l') {
        try_limits();
        return 0;
    }
    kept = in_process(count_kept);
    for (int i = 0; i < 2; i++) {
        dtrace_is_there = i;
        printf("%s\n", i ? "dtrace" : "plain");
        for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++)
            try_function(functions[f]);
    }
    return 0;
}
