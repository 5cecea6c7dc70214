/*
 * jit.c - a small just-in-time compiler with probes in its code: what the implementer of one copies.
 *
 *     jit '2 x * 1 +' 10     prints 2x + 1 for x = 1 to 10, two a second; without a number for ever
 *
 * The expression becomes a function in machine code (x86_64, arm64), with two probes:
 *
 *   eval(long x, long value, char *source)   The compiled code checks it inline and calls code of its own, in which
 *                                            the arguments are where the compiler has them: two in registers that
 *                                            survive calls, one on the stack. All tracers see it.
 *   entry(long x)                            A nop in the compiled code itself, which is in a file: for DTrace.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <usdt.h>

typedef long function_t(long);

enum { PAGE = 65536 }; /* of every processor a multiple of its pages */
static unsigned char out[PAGE];
static size_t len;

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "jit: %s: %s\n", what, which);
    exit(1);
}

static void emit(const void *bytes, size_t size)
{
    if (size > sizeof out - len)
        fail("too long", "the expression");
    memcpy(out + len, bytes, size);
    len += size;
}

/* ---- the processors ---- */

#if defined(__x86_64__)

#define EMIT(...) emit((const unsigned char[]){ __VA_ARGS__ }, sizeof (const unsigned char[]){ __VA_ARGS__ })
static void emit64(uint64_t value) { emit(&value, sizeof value); }

/* The code of the probe. It is called, so what the compiled code has on top of its stack is at 8(%rsp). */
static const unsigned char hit[] = { 0x90 /* nop: the site */, 0xc3 /* ret */ };
static const char *const places[] = { "%rbx", "%r12", "8(%rsp)" };
enum { SITE = 0, ENTRY = 0 /* that of entry() in the compiled code */ };

static void begin(const char *source)
{
    EMIT(0x90, 0x53, 0x41, 0x54, 0x48, 0x89, 0xfb); /* nop; push %rbx; push %r12; mov %rdi, %rbx */
    EMIT(0x48, 0xb8);                               /* mov $source, %rax; push %rax */
    emit64((uintptr_t)source);
    EMIT(0x50);
}
static void push_number(long value)
{
    EMIT(0x48, 0xb8); /* mov $value, %rax; push %rax */
    emit64((uint64_t)value);
    EMIT(0x50);
}
static void push_x(void) { EMIT(0x53); } /* push %rbx */
static void compute(char operation)
{
    EMIT(0x59, 0x58); /* pop %rcx; pop %rax */
    if (operation == '+')
        EMIT(0x48, 0x01, 0xc8); /* add %rcx, %rax */
    else if (operation == '-')
        EMIT(0x48, 0x29, 0xc8); /* sub %rcx, %rax */
    else
        EMIT(0x48, 0x0f, 0xaf, 0xc1); /* imul %rcx, %rax */
    EMIT(0x50);                       /* push %rax */
}
static void end(const usdt_probe_t *probe, const void *code)
{
    EMIT(0x41, 0x5c, 0x48, 0xb9); /* pop %r12; mov $site, %rcx */
    emit64((uintptr_t)probe->site);
    EMIT(0x81, 0x39); /* cmpl $pristine, (%rcx); je over the next 12 bytes */
    emit(&probe->pristine, sizeof probe->pristine);
    EMIT(0x74, 12, 0x48, 0xb9); /* mov $code, %rcx; call *%rcx */
    emit64((uintptr_t)code);
    EMIT(0xff, 0xd1);
    EMIT(0x4c, 0x89, 0xe0, 0x59, 0x41, 0x5c, 0x5b, 0xc3); /* mov %r12, %rax; pop %rcx, %r12, %rbx; ret */
}

#elif defined(__aarch64__)

static void word(uint32_t instruction) { emit(&instruction, sizeof instruction); }
static void load(unsigned reg, uint64_t value) /* movz, movk */
{
    for (unsigned part = 0; part < 4; part++)
        word((part == 0 ? 0xd2800000u : 0xf2800000u) | part << 21 | (uint32_t)(value >> 16 * part & 0xffff) << 5 | reg);
}

static const uint32_t hit[] = { 0xd503245f /* bti c */, 0xd503201f /* nop: the site */, 0xd65f03c0 /* ret */ };
static const char *const places[] = { "x19", "x20", "[sp, 32]" };
enum { SITE = 4, ENTRY = 4 };

static void begin(const char *source)
{
    word(0xd503245f); /* bti c */
    word(0xd503201f); /* nop */
    word(0xa9bd7bfd); /* stp x29, x30, [sp, #-48]! */
    word(0x910003fd); /* mov x29, sp */
    word(0xa90153f3); /* stp x19, x20, [sp, #16] */
    word(0xaa0003f3); /* mov x19, x0 */
    load(9, (uintptr_t)source);
    word(0xf90013e9); /* str x9, [sp, #32] */
}
static void push_number(long value)
{
    load(0, (uint64_t)value);
    word(0xf81f0fe0); /* str x0, [sp, #-16]! */
}
static void push_x(void) { word(0xf81f0ff3); } /* str x19, [sp, #-16]! */
static void compute(char operation)
{
    word(0xf84107e1); /* ldr x1, [sp], #16 */
    word(0xf84107e0); /* ldr x0, [sp], #16 */
    word(operation == '+' ? 0x8b010000 : operation == '-' ? 0xcb010000 : 0x9b017c00); /* add, sub, mul x0, x0, x1 */
    word(0xf81f0fe0);
}
static void end(const usdt_probe_t *probe, const void *code)
{
    word(0xf84107f4); /* ldr x20, [sp], #16 */
    load(9, (uintptr_t)probe->site);
    word(0xb940012a); /* ldr w10, [x9] */
    load(11, probe->pristine);
    word(0x6b0b015f); /* cmp w10, w11 */
    word(0x540000c0); /* b.eq over the next five */
    load(9, (uintptr_t)code);
    word(0xd63f0120); /* blr x9 */
    word(0xaa1403e0); /* mov x0, x20 */
    word(0xa94153f3); /* ldp x19, x20, [sp, #16] */
    word(0xa8c37bfd); /* ldp x29, x30, [sp], #48 */
    word(0xd65f03c0); /* ret */
}

#else
static const unsigned char hit[] = { 0 };
static const char *const places[] = { "", "", "" };
enum { SITE = 0, ENTRY = 0 };
static void begin(const char *source) { fail("no code for this processor", source); }
static void push_number(long value) { (void)value; }
static void push_x(void) { }
static void compute(char operation) { (void)operation; }
static void end(const usdt_probe_t *probe, const void *code) { (void)probe, (void)code; }
#endif

/* ---- the compiler ---- */

static void compile(const char *source, const usdt_probe_t *probe, const void *code)
{
    int depth = 0;
    char *copy = strdup(source), *rest;
    begin(source);
    for (char *token = copy == NULL ? NULL : strtok(copy, " "); token != NULL; token = strtok(NULL, " ")) {
        long value = strtol(token, &rest, 0);
        if (rest != token && *rest == '\0') {
            push_number(value);
            depth++;
        } else if (strcmp(token, "x") == 0) {
            push_x();
            depth++;
        } else if (strlen(token) == 1 && strchr("+-*", token[0]) != NULL) {
            if (--depth < 1)
                fail("takes two values, which are not there", token);
            compute(token[0]);
        } else {
            fail("is no number, x, +, - or *", token);
        }
    }
    if (depth != 1)
        fail("leaves no single value", source);
    end(probe, code);
    free(copy);
}

/* What was compiled, executable: DTrace for Linux finds a probe by the file that is mapped where it is. */
static const unsigned char *install(void)
{
    char path[] = "/tmp/jit-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, out, sizeof out) != (ssize_t)sizeof out)
        fail("cannot write", path);
    unlink(path);
    void *at = mmap(NULL, sizeof out, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        fail("cannot map what is compiled", path);
    return at;
}

static usdt_probedef_t *make_probe(usdt_provider_t *provider, const char *name, size_t argc, const char **types)
{
    usdt_probedef_t *def = usdt_create_probe("compiled", name, argc, types);
    if (usdt_provider_add_probe(provider, def) != 0)
        fail(name, usdt_errstr(provider));
    return def;
}

/* Without tracing it runs all the same, but compiled code must not call what is not there. */
static void publish(usdt_provider_t *provider)
{
    if (usdt_provider_enable(provider) != 0)
        fail("no probes", usdt_errstr(provider));
    if (usdt_provider_errno(provider) == USDT_ERROR_DEGRADED)
        fprintf(stderr, "jit: %s\n", usdt_errstr(provider));
}

int main(int argc, char **argv)
{
    const char *source = argc > 1 ? argv[1] : "2 x * 1 +";
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    const char *types[] = { "long", "long", "char *" };

    usdt_provider_t *provider = usdt_create_provider("jit", "jit");
    usdt_probedef_t *eval = make_probe(provider, "eval", 3, types);
    if (usdt_probe_use_code(eval, &(usdt_code_t){ .bytes = hit, .size = sizeof hit, .site = SITE, .operands = places }))
        fail("eval", usdt_errstr(NULL));
    publish(provider); /* now the addresses are known */
    compile(source, usdt_probedef_probe(eval), usdt_probedef_code(eval));
    const unsigned char *compiled = install();

    usdt_probedef_t *entry = make_probe(provider, "entry", 1, types);
    if (usdt_probe_use_site(entry, compiled + ENTRY) != 0)
        fail("entry", usdt_errstr(NULL));
    publish(provider); /* it joins the other */

    function_t *function = (function_t *)(uintptr_t)compiled;
    for (long x = 1; count == 0 || x <= count; x++) {
        printf("%ld %ld\n", x, function(x));
        fflush(stdout);
        nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL);
    }
    usdt_provider_free(provider);
    usdt_probe_release(eval);
    usdt_probe_release(entry);
    return 0;
}
