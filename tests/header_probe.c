/*
 * header_probe.c - usdt.h as a program uses it: what USDT_PROBE() and usdt_fire_probe() hand to a probe.
 *
 * C and C++ in one source, for tests/header.t to compile as each of their standards and to run. No
 * tracer: the usdt_probe_t here are made by hand, with a C function for a stub, which records its
 * arguments. Prints "ok" or "not ok" and a statement for each, then "done" and their number.
 *
 * header_calls.h, which header.t writes, holds fire_all(): USDT_PROBE() with 0, 1, .. 32 arguments.
 */
#include "usdt.h"
#include "usdt.h" /* twice is as good as once */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef void *arg;

/* ---- the probe made by hand ---- */

static arg seen[USDT_ARG_MAX];
static int fired;

static void record(arg a0, arg a1, arg a2, arg a3, arg a4, arg a5, arg a6, arg a7, arg a8, arg a9, arg a10,
                   arg a11, arg a12, arg a13, arg a14, arg a15, arg a16, arg a17, arg a18, arg a19, arg a20,
                   arg a21, arg a22, arg a23, arg a24, arg a25, arg a26, arg a27, arg a28, arg a29, arg a30,
                   arg a31)
{
    seen[0] = a0, seen[1] = a1, seen[2] = a2, seen[3] = a3, seen[4] = a4, seen[5] = a5, seen[6] = a6;
    seen[7] = a7, seen[8] = a8, seen[9] = a9, seen[10] = a10, seen[11] = a11, seen[12] = a12;
    seen[13] = a13, seen[14] = a14, seen[15] = a15, seen[16] = a16, seen[17] = a17, seen[18] = a18;
    seen[19] = a19, seen[20] = a20, seen[21] = a21, seen[22] = a22, seen[23] = a23, seen[24] = a24;
    seen[25] = a25, seen[26] = a26, seen[27] = a27, seen[28] = a28, seen[29] = a29, seen[30] = a30;
    seen[31] = a31;
    fired++;
}

static const uint32_t untouched = 0x90909090, patched = 0x909090cc;
static usdt_probe_t traced, untraced;

static void make_probes(void)
{
    traced.probe_addr = untraced.probe_addr = (void *)(uintptr_t)record;
    traced.pristine = untraced.pristine = untouched;
    traced.site = &patched;
    untraced.site = &untouched;
}

/* ---- reporting ---- */

static int checks;

static void check(bool good, const char *statement)
{
    printf("%s %s\n", good ? "ok" : "not ok", statement);
    fflush(stdout);
    checks++;
}

static void forget(void)
{
    fired = 0;
    memset(seen, 0xee, sizeof seen);
}

/* Whether the probe fired once, and its first n arguments are those. */
static bool recorded(size_t n, const uintptr_t *want)
{
    bool good = fired == 1;
    if (!good)
        printf("# fired %d times\n", fired);
    for (size_t i = 0; i < n; i++)
        if ((uintptr_t)seen[i] != want[i]) {
            printf("# argument %u is %p, should be %p\n", (unsigned)i, seen[i], (void *)want[i]);
            good = false;
        }
    forget();
    return good;
}

static bool recorded1(uintptr_t want)
{
    return recorded(1, &want);
}

/* ---- 0 to 32 arguments ---- */

static unsigned char byte = 255;
static long number = -4000000;
static bool truth = true;
static enum colour { RED = -7, BLUE = 70000 } colour = RED;
static int numbers[4];
static const char *text = "text";

#include "header_calls.h"

/* ---- values ---- */

static void function_value(void)
{
}

static void test_signs(void)
{
    signed char c8 = -128;
    short c16 = -32768;
    int c32 = -2147483647 - 1;
    long word = -1;
    int64_t c64 = -5;
    USDT_PROBE(&traced, c8);
    check(recorded1((uintptr_t)(intptr_t)-128), "a negative signed char is sign-extended");
    USDT_PROBE(&traced, c16);
    check(recorded1((uintptr_t)(intptr_t)-32768), "a negative short is sign-extended");
    USDT_PROBE(&traced, c32);
    check(recorded1((uintptr_t)(intptr_t)INT32_MIN), "a negative int is sign-extended");
    USDT_PROBE(&traced, word);
    check(recorded1(UINTPTR_MAX), "a negative long keeps all its bits");
    USDT_PROBE(&traced, c64);
    check(recorded1(UINTPTR_MAX - 4), "a negative int64_t is passed in the width of a pointer");
    USDT_PROBE(&traced, RED);
    check(recorded1((uintptr_t)(intptr_t)-7), "a negative enumerator is sign-extended");
    USDT_PROBE(&traced, -1);
    check(recorded1(UINTPTR_MAX), "a negative literal is sign-extended");
}

static void test_unsigned(void)
{
    unsigned short u16 = 0xffff;
    unsigned u32 = 0xffffffffu;
    size_t size = SIZE_MAX;
    uint64_t u64 = (uint64_t)UINTPTR_MAX;
    USDT_PROBE(&traced, byte);
    check(recorded1(255), "an unsigned char stays positive");
    USDT_PROBE(&traced, u16);
    check(recorded1(65535), "an unsigned short stays positive");
    USDT_PROBE(&traced, u32);
    check(recorded1((uintptr_t)0xffffffffu), "an unsigned int is zero-extended");
    USDT_PROBE(&traced, size);
    check(recorded1(SIZE_MAX), "a size_t keeps all its bits");
    USDT_PROBE(&traced, u64);
    check(recorded1(UINTPTR_MAX), "a uint64_t is passed in the width of a pointer");
    USDT_PROBE(&traced, truth);
    check(recorded1(1), "true is 1");
    USDT_PROBE(&traced, !truth);
    check(recorded1(0), "false is 0");
}

static void test_pointers(void)
{
    int local = 3;
    const int *constant = &local;
    volatile int *changing = &local;
    char writable[8] = "array";
    USDT_PROBE(&traced, &local);
    check(recorded1((uintptr_t)&local), "a pointer is passed as it is");
    USDT_PROBE(&traced, constant);
    check(recorded1((uintptr_t)&local), "a pointer to const too");
    USDT_PROBE(&traced, changing);
    check(recorded1((uintptr_t)&local), "a pointer to volatile too");
    USDT_PROBE(&traced, text);
    check(recorded1((uintptr_t)text), "a const char * too");
    USDT_PROBE(&traced, writable);
    check(recorded1((uintptr_t)writable), "an array is passed by its address");
    USDT_PROBE(&traced, function_value);
    check(recorded1((uintptr_t)function_value), "a function is passed by its address");
    USDT_PROBE(&traced, NULL);
    check(recorded1(0), "NULL is 0");
    USDT_PROBE(&traced, "literal");
    check(fired == 1 && strcmp((const char *)seen[0], "literal") == 0, "a string literal can be read back");
    forget();
#ifdef __cplusplus
    enum class scoped : short { LOW = -3 };
    USDT_PROBE(&traced, nullptr);
    check(recorded1(0), "nullptr is 0");
    USDT_PROBE(&traced, scoped::LOW);
    check(recorded1((uintptr_t)(intptr_t)-3), "an enum class is passed as its number");
#endif
}

/* ---- how the macro behaves as a statement ---- */

static int evaluated;

static int count(int value)
{
    evaluated++;
    return value;
}

static usdt_probe_t *count_probe(usdt_probe_t *probe)
{
    evaluated++;
    return probe;
}

static void test_evaluation(void)
{
    usdt_probe_t *none = NULL;
    int i = 4;
    evaluated = 0;
    USDT_PROBE(&traced, count(11), i++, count(13));
    const uintptr_t want[] = { 11, 4, 13 };
    check(recorded(3, want) && evaluated == 2 && i == 5,
          "the arguments of a traced probe are evaluated once");
    USDT_PROBE(&untraced, count(11), i++, count(13));
    check(fired == 0 && evaluated == 2 && i == 5, "those of a probe that is not traced never");
    USDT_PROBE(none, count(11), i++);
    USDT_PROBE(NULL, count(11), i++);
    USDT_PROBE(NULL);
    check(fired == 0 && evaluated == 2 && i == 5, "a NULL probe fires nothing and evaluates nothing");
    evaluated = 0;
    USDT_PROBE(count_probe(&traced), 1);
    USDT_PROBE(count_probe(&untraced), 1);
    check(fired == 1 && evaluated == 2, "the probe itself is evaluated once, traced or not");
    forget();
}

static void test_statement(bool yes)
{
    int other = 0;
    if (yes)
        USDT_PROBE(&traced, 1, 2);
    else
        other++;
    const uintptr_t want[] = { 1, 2 };
    check(recorded(2, want) && other == 0, "USDT_PROBE() is one statement, as the first branch of an if");
    if (!yes)
        other++;
    else
        USDT_PROBE(&traced, 3);
    check(recorded1(3) && other == 0, "and as the other one");
    for (int i = 0; i < 3; i++)
        USDT_PROBE(&traced, i);
    check(fired == 3 && seen[0] == (void *)2, "and as the body of a loop");
    forget();
    USDT_PROBE(yes ? &traced : &untraced, yes ? 5 : 6, (evaluated = 7, 8), other = 9, 1 << 4 | 1);
    const uintptr_t low[] = { 5, 8, 9, 17 };
    check(recorded(4, low) && other == 9, "an argument may be an expression of any precedence");
}

/* ---- usdt_is_enabled() and usdt_fire_probe() ---- */

static void test_enabled(void)
{
    uint32_t site = 0x1f0f2e66;
    usdt_probe_t probe = traced;
    probe.site = &site;
    probe.pristine = site;
    check(usdt_is_enabled(&probe) == 0, "a probe is not enabled while its site is pristine");
    site ^= 0xcc;
    check(usdt_is_enabled(&probe) == 1, "it is when the first byte of the site is changed");
    site = probe.pristine ^ 0xe80000;
    check(usdt_is_enabled(&probe) == 1, "or another byte");
    site = probe.pristine;
    check(usdt_is_enabled(&probe) == 0, "and no longer when the site is as before");
    check(usdt_is_enabled(NULL) == 0, "NULL is not enabled");
}

/* Leaves something on the stack, for a call to find where it was not given an argument. */
__attribute__((noinline)) static void soil_stack(void)
{
    volatile unsigned char soil[4096];
    for (size_t i = 0; i < sizeof soil; i++)
        soil[i] = 0x5a;
}

static void test_fire(usdt_probe_t *probe, size_t declared, const char *statement)
{
    arg values[40];
    bool good = true;
    for (size_t i = 0; i < 40; i++)
        values[i] = (arg)(uintptr_t)(0x1000 + i);
    for (size_t argc = 0; argc <= 40; argc++) {
        uintptr_t want[USDT_ARG_MAX];
        size_t n = argc > declared ? argc : declared;
        if (n > USDT_ARG_MAX)
            n = USDT_ARG_MAX;
        for (size_t i = 0; i < n; i++)
            want[i] = i < argc ? (uintptr_t)values[i] : 0;
        soil_stack();
        usdt_fire_probe(probe, argc, argc == 0 ? NULL : values);
        if (!recorded(n, want)) {
            printf("# declared: %u, fired with: %u\n", (unsigned)declared, (unsigned)argc);
            good = false;
        }
    }
    check(good, statement);
}

static void test_fire_past_the_end(void)
{
    /* Under a sanitizer this also shows that no more is read than counts. */
    arg values[3] = { (arg)1, (arg)2, (arg)3 };
    const uintptr_t want[] = { 1, 2, 3 };
    usdt_fire_probe(&traced, 3, values);
    check(recorded(3, want), "usdt_fire_probe() reads argc values, and fires a probe that is traced");
    usdt_fire_probe(&untraced, 3, values);
    check(recorded(3, want), "and one that is not: it does not ask");
    usdt_fire_probe(NULL, 3, values);
    check(fired == 0, "usdt_fire_probe(NULL, ...) does nothing");
}

/* The probes of the library with `record` for a stub: so it knows how many arguments each declares. */
static void test_declared(void)
{
    static const size_t declared[] = { 0, 1, 5, 6, 7, 11, 12, 13, 31, 32 };
    const char *types[USDT_ARG_MAX];
    for (size_t i = 0; i < USDT_ARG_MAX; i++)
        types[i] = "long";
    usdt_provider_t *provider = usdt_create_provider("headerprobe", "main");
    for (size_t i = 0; i < sizeof declared / sizeof declared[0]; i++) {
        char name[32], statement[100];
        snprintf(name, sizeof name, "of%u", (unsigned)declared[i]);
        usdt_probedef_t *def = usdt_create_probe("f", name, declared[i], types);
        usdt_provider_add_probe(provider, def);
        bool published = usdt_provider_enable(provider) == 0;
        snprintf(statement, sizeof statement,
                 "a probe of %u argument(s), fired with 0 to 40: missing ones are 0", (unsigned)declared[i]);
        if (published) {
            usdt_probe_t probe = *def->probe;
            probe.probe_addr = (void *)(uintptr_t)record;
            test_fire(&probe, declared[i], statement);
        } else {
            check(false, usdt_errstr(provider));
        }
        usdt_probe_release(def);
    }
    usdt_provider_free(provider);
}

int main(void)
{
    make_probes();
    forget();
    fire_all();
    test_signs();
    test_unsigned();
    test_pointers();
    test_evaluation();
    test_statement(true);
    test_enabled();
    test_fire(&traced, 0, "usdt_fire_probe() with 0 to 40 values: the first 32 arrive, no more");
    test_fire_past_the_end();
    test_declared();
    printf("done %d\n", checks);
    return 0;
}
