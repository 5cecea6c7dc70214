/*
 * code.c - a program that gives its probes code of its own. For tests/code.t to run, and to trace.
 *
 *     code values       prints "ok ..." or "not ok ..." lines
 *     code operands     reads lines "SYSTEM ARCH TYPE PLACE" (tabs), answers "ok NOTE" or "error MESSAGE": by what the
 *                       library has inside, for any processor
 *     code hits TIMES   prints "ready PID", waits for a line, runs the code of two probes whose arguments are all
 *                       over the registers, and of one whose argument is that of a call, prints "end", waits for another line and ends
 */
#define _GNU_SOURCE
#include "program.h"
#include "usdt_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* long plus_one(long), with a site; and two that are called with nothing, and have what is in the tables in the registers
   named there. As bytes they are position independent. */
#define CODE extern const unsigned char __attribute__((visibility("hidden")))
CODE plus_one[], plus_one_site[], plus_one_end[];
CODE wide[], wide_site[], wide_end[], narrow[], narrow_site[], narrow_end[];

#if defined(__x86_64__)
__asm__(".section .rodata\n"
        "plus_one: lea 1(%rdi), %rax\n plus_one_site: nop\n ret\n plus_one_end:\n"
        "wide: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov $0x1100, %eax\n mov $0x1101, %ebx\n mov $0x1102, %ecx\n mov $0x1103, %edx\n mov $0x1104, %esi\n"
        "mov $0x1105, %edi\n mov $0x1106, %ebp\n mov $0x1107, %r8d\n mov $0x1108, %r9d\n mov $0x1109, %r10d\n"
        "mov $0x110a, %r11d\n mov $0x110b, %r12d\n"
        "wide_site: nop\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n wide_end:\n"
        "narrow: push %rbx\n push %rbp\n push %r13\n push %r14\n push %r15\n mov %rsp, %rbp\n sub $32, %rsp\n"
        "mov $0xffffffffffffff9c, %r13\n mov $0xffffffffffff8000, %r14\n mov $0x7fffffff80000000, %r15\n"
        "mov $0x123456789abcdef0, %rbx\n mov %rbx, -8(%rbp)\n mov %rbx, (%rsp)\n lea 7(%rsp), %rdx\n"
        "mov $0x1180, %eax\n mov $0x11ffff, %ecx\n"
        "narrow_site: nop\n mov %rbp, %rsp\n pop %r15\n pop %r14\n pop %r13\n pop %rbp\n pop %rbx\n ret\n narrow_end:\n"
        ".text\n");
static const char *const wide_places[] = { "%rax", "%rbx", "%rcx", "%rdx", "%rsi", "%rdi", "%rbp", "%r8", "%r9", "%r10",
                                           "%r11", "%r12" };
static const char *const narrow_places[] = { "%r13", "%r14", "%r15", "-8(%rbp)", "(%rsp)", "0(%rdx)", "%rax", "%rcx" };
#elif defined(__i386__)
__asm__(".section .rodata\n"
        "plus_one: pop %edx\n mov (%esp), %eax\n inc %eax\n plus_one_site: nop\n push %edx\n ret\n plus_one_end:\n"
        "wide: push %ebx\n push %ebp\n push %esi\n push %edi\n"
        "mov $0x1100, %eax\n mov $0x1101, %ebx\n mov $0x1102, %ecx\n mov $0x1103, %edx\n mov $0x1104, %esi\n"
        "mov $0x1105, %edi\n mov $0x1106, %ebp\n"
        "wide_site: nop\n pop %edi\n pop %esi\n pop %ebp\n pop %ebx\n ret\n wide_end:\n"
        "narrow: push %ebx\n push %ebp\n push %esi\n push %edi\n mov %esp, %ebp\n sub $32, %esp\n"
        "mov $0xffffff9c, %ebx\n mov $0xffff8000, %esi\n mov $0x80000000, %edi\n movl $0x9abcdef0, -8(%ebp)\n"
        "movl $0x9abcdef0, (%esp)\n lea 3(%esp), %edx\n mov $0x1180, %eax\n mov $0x11ffff, %ecx\n"
        "narrow_site: nop\n mov %ebp, %esp\n pop %edi\n pop %esi\n pop %ebp\n pop %ebx\n ret\n narrow_end:\n"
        ".text\n");
static const char *const wide_places[] = { "%eax", "%ebx", "%ecx", "%edx", "%esi", "%edi", "%ebp" };
static const char *const narrow_places[] = { "%ebx", "%esi", "%edi", "-8(%ebp)", "(%esp)", "0(%edx)", "%eax", "%ecx" };
#elif defined(__aarch64__)
__asm__(".section .rodata\n .balign 4\n"
        "plus_one: mov x9, x0\n plus_one_site: nop\n add x0, x9, 1\n ret\n plus_one_end:\n"
        "wide: stp x19, x30, [sp, -16]!\n stp x28, x29, [sp, -16]!\n"
        "mov x8, 0x1100\n mov x9, 0x1101\n mov x10, 0x1102\n mov x11, 0x1103\n mov x12, 0x1104\n mov x13, 0x1105\n"
        "mov x14, 0x1106\n mov x15, 0x1107\n mov x19, 0x1108\n mov x28, 0x1109\n mov x29, 0x110a\n mov x30, 0x110b\n"
        "wide_site: nop\n ldp x28, x29, [sp], 16\n ldp x19, x30, [sp], 16\n ret\n wide_end:\n"
        "narrow: stp x29, x30, [sp, -16]!\n mov x29, sp\n sub sp, sp, 32\n"
        "mov x9, -100\n mov x10, -32768\n mov x11, 0x80000000\n movk x11, 0x7fff, lsl 32\n"
        "movz x12, 0xdef0\n movk x12, 0x9abc, lsl 16\n movk x12, 0x5678, lsl 32\n movk x12, 0x1234, lsl 48\n"
        "str x12, [x29, -8]\n str x12, [sp]\n add x13, sp, 7\n mov x14, 0x1180\n mov x15, 0xffff\n movk x15, 0x11, lsl 16\n"
        "narrow_site: nop\n mov sp, x29\n ldp x29, x30, [sp], 16\n ret\n narrow_end:\n"
        ".text\n");
static const char *const wide_places[] = { "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x19", "x28", "x29",
                                           "x30" };
static const char *const narrow_places[] = { "x9", "x10", "x11", "[x29, -8]", "[sp]", "[x13, 0]", "x14", "x15" };
#endif
enum { WIDE = sizeof wide_places / sizeof wide_places[0], NARROW = sizeof narrow_places / sizeof narrow_places[0] };
static const char *narrow_types[NARROW] = { "int8_t", "int16_t", "int", "long", "uint32_t", "unsigned char", "uint8_t",
                                            "short" };

typedef long function_t(long);

static size_t distance(const unsigned char *from, const unsigned char *to)
{
    return (size_t)((uintptr_t)to - (uintptr_t)from);
}

static usdt_probedef_t *define(const char *name, size_t argc, const char **types)
{
    usdt_probedef_t *def = usdt_create_probe("func", name, argc, types);
    MUST(def != NULL);
    return def;
}

static bool use(usdt_probedef_t *def, const unsigned char *from, const unsigned char *site, const unsigned char *end,
                const char *const *places)
{
    const usdt_code_t code = { .bytes = from, .size = distance(from, end), .site = distance(from, site),
                               .operands = places };
    return usdt_probe_use_code(def, &code) == 0;
}

static bool use_plus_one(usdt_probedef_t *def)
{
    return use(def, plus_one, plus_one_site, plus_one_end, NULL);
}

static function_t *function_of(usdt_probedef_t *def)
{
    return (function_t *)(uintptr_t)usdt_probedef_code(def);
}

/* ---- values ---- */

static _Atomic bool done;

static void *caller(void *def)
{
    function_t *function = function_of(def);
    for (long n = 0; !done; n++)
        if (function(n) != n + 1)
            return def;
    return NULL;
}

static void lifetime(void)
{
    const char *types[] = { "long" };
    usdt_provider_t *p = usdt_create_provider("code", "test"), *q = usdt_create_provider("other", "test");
    usdt_probedef_t *defs[3];
    for (size_t i = 0; i < 3; i++) {
        defs[i] = define((const char *[]){ "a", "b", "c" }[i], 1, types);
        MUST(use_plus_one(defs[i]) && usdt_provider_add_probe(p, defs[i]) == 0);
    }
    check(usdt_probedef_code(defs[0]) == NULL && usdt_probedef_code(NULL) == NULL, "there is no code before it is published");
    check(usdt_provider_enable(p) == 0, "it is published (%s)", usdt_errstr(p));
    function_t *function = function_of(defs[0]);
    check(function != NULL && function(41) == 42, "it runs");
    check((uintptr_t)function % 64 == 0 && function_of(defs[1]) != function, "each at its own aligned place");
    check(function_of(defs[2])(-1) == 0, "also that of the last");
    check(!use_plus_one(defs[0]) && strcmp(usdt_errstr(NULL), "probe func:a has been published: give it its code before "
                                                              "usdt_provider_enable()") == 0,
          "a published probe keeps its code");
    check(usdt_provider_disable(p) == 0 && function_of(defs[0]) == function && function(1) == 2,
          "it is there and runs while its provider is disabled");
    MUST(usdt_provider_remove_probe(p, defs[1]) == 0);
    check(usdt_provider_enable(p) == 0 && function_of(defs[0]) == function && function(2) == 3 &&
              function_of(defs[2])(2) == 3, "and where it was, when it is published anew without one of its neighbours");
    check(usdt_provider_add_probe(q, defs[1]) == 0 && usdt_provider_enable(q) == 0 && function_of(defs[1])(7) == 8,
          "a probe takes it along to another provider");
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        MUST(pthread_create(&threads[i], NULL, caller, defs[2 * i]) == 0);
    for (int i = 0; i < 300; i++)
        MUST(usdt_provider_disable(p) == 0 && usdt_provider_enable(p) == 0);
    done = true;
    void *wrong[2];
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], &wrong[i]);
    check(wrong[0] == NULL && wrong[1] == NULL, "threads run it while it is disabled and enabled 300 times");
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(function(5) == 6 ? 0 : 1);
    check(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child runs it");
    usdt_provider_free(p);
    check(function(8) == 9, "it runs until its definition is released");
    usdt_provider_free(q);
    for (size_t i = 0; i < 3; i++)
        usdt_probe_release(defs[i]);
}

static void large(void)
{
    static unsigned char bytes[USDT_CODE_MAX + 4];
    usdt_provider_t *p = usdt_create_provider("large", "test");
    usdt_probedef_t *def = define("large", 0, NULL), *small = define("small", 0, NULL);
    size_t size = distance(plus_one, plus_one_end), at = USDT_CODE_MAX - size;
    at -= at % 4;
    memcpy(bytes + at, plus_one, size);
    usdt_code_t code = { .bytes = bytes, .size = USDT_CODE_MAX, .site = at + distance(plus_one, plus_one_site) };
    check(usdt_probe_use_code(def, &code) == 0 && use_plus_one(small), "65536 bytes of code are taken");
    MUST(usdt_provider_add_probe(p, def) == 0 && usdt_provider_add_probe(p, small) == 0);
    check(usdt_provider_enable(p) == 0 && ((function_t *)((uintptr_t)function_of(def) + at))(3) == 4 &&
              function_of(small)(3) == 4, "and run at their end, and behind it");
    code.size += 4;
    check(usdt_probe_use_code(def, &code) != 0, "no more");
    usdt_provider_free(p);
    usdt_probe_release(def);
    usdt_probe_release(small);
}

/* ---- a site elsewhere ---- */

static bool overwrite(void *at, unsigned char byte)
{
    int fd = open("/proc/self/mem", O_RDWR);
    bool good = fd >= 0 && pwrite(fd, &byte, 1, (off_t)(uintptr_t)at) == 1;
    if (fd >= 0)
        close(fd);
    return good;
}

static void elsewhere(void)
{
    const char *types[] = { "long" };
    size_t size = distance(plus_one, plus_one_end), page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = memfd_create("code", 0);
    MUST(fd >= 0 && pwrite(fd, plus_one, size, 5 * 4) == (ssize_t)size && ftruncate(fd, (off_t)page) == 0);
    unsigned char *code = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    unsigned char *data = mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, 0);
    unsigned char *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(code != MAP_FAILED && data != MAP_FAILED && memory != MAP_FAILED);
    memcpy(memory, code, page);
    MUST(mprotect(memory, page, PROT_READ | PROT_EXEC) == 0);
    close(fd);
    size_t site = 5 * 4 + distance(plus_one, plus_one_site);
    usdt_provider_t *p = usdt_create_provider("elsewhere", "test");
    usdt_probedef_t *def = define("f", 1, types), *stub = define("stub", 1, types);
    usdt_probe_t *probe = usdt_probedef_probe(def);
    const struct { const void *site; const char *why; } bad[] = {
        { NULL, "it is NULL" }, { memory + site, "no file is mapped there, executable" },
        { data + site, "no file is mapped there, executable" }, { (void *)(uintptr_t)page, "no file is mapped there" },
        { code, "there is no nop (0x90; on arm64 0xd503201f)" },
#if defined(__aarch64__)
        { code + site + 2, "it is no multiple of 4" },
#endif
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check(usdt_probe_use_site(def, bad[i].site) == -1 && usdt_provider_errno(NULL) == USDT_ERROR_INVALID &&
                  strstr(usdt_errstr(NULL), bad[i].why) != NULL, "refused: %s (%s)", bad[i].why, usdt_errstr(NULL));
    check(usdt_probe_use_site(def, code + site) == 0, "a nop in a file is taken");
    check(!usdt_is_enabled(probe), "it is not enabled");
    check(use_plus_one(def) && !usdt_is_enabled(probe) && usdt_probe_use_site(def, code + site) == 0,
          "it may have code in its stead, and again a site");
    MUST(usdt_provider_add_probe(p, def) == 0 && usdt_provider_add_probe(p, stub) == 0);
    check(usdt_provider_enable(p) == 0, "it is published: %s", usdt_errstr(p));
    if (access("/dev/dtrace/helper", F_OK) != 0)
        check(usdt_provider_errno(p) == USDT_ERROR_DEGRADED &&
                  strcmp(usdt_errstr(p), "there is no DTrace here, which alone can see a probe in memory of the program's own "
                                         "(func:f)") == 0, "and who will not see it is said");
    check(usdt_probe_use_site(def, code + site) == -1, "it keeps its site then");
    check((uintptr_t)probe->site == ((uintptr_t)(code + site) & ~(uintptr_t)3) && !usdt_is_enabled(probe) &&
              probe->isenabled_addr() == 0 && usdt_probedef_code(def) == NULL, "its word is the one with the nop");
    USDT_PROBE(probe, 1);
    usdt_fire_probe(probe, 1, (void *[]){ (void *)1 });
    if (overwrite(code + site, 0xcc)) {
        check(usdt_is_enabled(probe) && !usdt_is_enabled(stub->probe), "a breakpoint there enables it, and it alone");
        check(usdt_provider_disable(p) == 0 && !usdt_is_enabled(probe), "until its provider is disabled");
        MUST(overwrite(code + site, plus_one_site[0]) && usdt_provider_enable(p) == 0);
        check(!usdt_is_enabled(probe), "and enabled without it");
    }
    usdt_provider_disable(p);
    munmap(code, page);
    check(!usdt_is_enabled(probe), "what is disabled is not looked at: its memory may go");
    usdt_provider_free(p);
    usdt_probe_release(def);
    usdt_probe_release(stub);
    munmap(data, page);
    munmap(memory, page);
}

/* ---- operands ---- */

static void operands(void)
{
    char line[512], why[USDT_WHY_MAX], note[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *field[4];
        size_t n = 0;
        line[strcspn(line, "\n")] = '\0';
        for (char *at = line; n < 4; at = strchr(at, '\0') + 1) {
            field[n++] = at;
            at[strcspn(at, "\t")] = '\0';
        }
        const struct usdt_platform *platform = usdt_platform_find(field[0], field[1]);
        struct usdt_operand operand;
        MUST(platform != NULL);
        if (usdt_operand_read(platform, 3, field[3], field[2], &operand, why)) {
            *usdt_operand_put(note, platform, &operand, usdt_type_size(platform, field[2])) = '\0';
            printf("ok %s\n", note);
        } else {
            printf("error %s\n", why);
        }
        fflush(stdout);
    }
}

/* ---- hits ---- */

static void hits(unsigned long times)
{
    const char *types[WIDE];
    for (size_t i = 0; i < WIDE; i++)
        types[i] = "long";
    usdt_provider_t *p = usdt_create_provider("code", "test");
    usdt_probedef_t *defs[] = { define("wide", WIDE, types), define("narrow", NARROW, narrow_types),
                                define("call", 1, types) };
    MUST(use(defs[0], wide, wide_site, wide_end, wide_places));
    MUST(use(defs[1], narrow, narrow_site, narrow_end, narrow_places));
    MUST(use_plus_one(defs[2]));
    for (size_t i = 0; i < 3; i++)
        MUST(usdt_provider_add_probe(p, defs[i]) == 0);
    MUST(usdt_provider_enable(p) == 0);
    printf("ready %ld\n", (long)getpid());
    wait_for_line();
    printf("enabled %d\n", usdt_is_enabled(defs[0]->probe) + usdt_is_enabled(defs[1]->probe) +
           usdt_is_enabled(defs[2]->probe));
    for (unsigned long i = 0; i < times; i++) {
        for (size_t n = 0; n < 2; n++)
            ((void (*)(void))(uintptr_t)usdt_probedef_code(defs[n]))();
        MUST(function_of(defs[2])((long)i) == (long)i + 1);
    }
    puts("end");
    wait_for_line();
    usdt_provider_free(p);
    for (size_t i = 0; i < 3; i++)
        usdt_probe_release(defs[i]);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "values") == 0 && argc == 2) {
        lifetime();
        large();
        elsewhere();
        return failed;
    }
    if (strcmp(mode, "operands") == 0 && argc == 2) {
        operands();
        return 0;
    }
    if (strcmp(mode, "hits") == 0 && argc == 3) {
        hits(strtoul(argv[2], NULL, 10));
        return 0;
    }
    fputs("usage: code values | operands | hits TIMES\n", stderr);
    return 2;
}
