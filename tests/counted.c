/*
 * counted.c - does one thing a number of times, for tests/instructions.t to count the instructions of.
 *
 *     counted WHAT TIMES
 */
#include "usdt.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static usdt_probe_t *probe;
static unsigned long evaluated;

static unsigned long costly(unsigned long n)
{
    evaluated++;
    return n;
}

static void die(const char *what)
{
    fprintf(stderr, "counted: %s\n", what);
    exit(1);
}

static usdt_provider_t *create(size_t count)
{
    static const char *types[] = { "int", "char *", "long" };
    usdt_provider_t *provider = usdt_create_provider("counted", "test");
    for (size_t i = 0; i < count; i++) {
        char name[] = "p00000000"; /* no printf: its instructions vary */
        for (size_t n = i, at = 8; n > 0; n /= 10)
            name[at--] = (char)('0' + n % 10);
        usdt_probedef_t *def = usdt_create_probe("function", name, 3, types);
        if (def == NULL || usdt_provider_add_probe(provider, def) != 0)
            die("cannot add a probe");
        usdt_probe_release(def);
    }
    return provider;
}

static void enable(usdt_provider_t *provider)
{
    if (usdt_provider_enable(provider) != 0)
        die(usdt_errstr(provider));
}

static void fire(unsigned long times, size_t argc)
{
    void *argv[USDT_ARG_MAX] = { NULL };
    for (unsigned long i = 0; i < times; i++)
        usdt_fire_probe(probe, argc, argv);
}

static void hear(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)def, (void)argc, (void)argv;
}

static void work(const char *what, unsigned long times)
{
#define LOOP(work)                                    \
    for (unsigned long i = 0; i < times; i++) {       \
        work;                                         \
        __asm__ volatile("" ::: "memory");            \
    }
    if (strcmp(what, "loop") == 0)
        LOOP((void)0)
    else if (strcmp(what, "check") == 0)
        LOOP(if (usdt_is_enabled(probe)) costly(i))
    else if (strcmp(what, "probe") == 0)
        LOOP(USDT_PROBE(probe, costly(i), costly(i), costly(i)))
    else if (strcmp(what, "listened") == 0)
        fire(times, 3);
    else if (strncmp(what, "fire", 4) == 0)
        fire(times, strtoul(what + 4, NULL, 10));
    else
        die("what?");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        die("WHAT TIMES");
    unsigned long times = strtoul(argv[2], NULL, 10);
    bool is_create = strcmp(argv[1], "create") == 0, is_enable = strcmp(argv[1], "enable") == 0;
    usdt_provider_t *provider = create(is_create || is_enable ? times : 1);
    if (!is_create)
        enable(provider);
    probe = provider->probedefs->probe;
    if (strcmp(argv[1], "listened") == 0 && usdt_probe_listen(provider->probedefs, hear, NULL) != 0)
        die(usdt_errstr(NULL));
    if (strcmp(argv[1], "toggle") == 0)
        for (unsigned long i = 0; i < times; i++) {
            usdt_provider_disable(provider);
            enable(provider);
        }
    else if (!is_create && !is_enable)
        work(argv[1], times);
    if (evaluated > 0)
        die("an argument was evaluated");
    usdt_provider_free(provider);
    return 0;
}
