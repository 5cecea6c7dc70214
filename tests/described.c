/*
 * described.c - a program whose probes have pointers to structures that it describes, and doubles. It fires each probe
 * once for each line that it reads; "ready", and "ok" after each line, are its answers.
 */
#include "usdt.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DESCRIPTION                                                                        \
    struct point { int x, y; };                                                            \
    enum state { IDLE, BUSY = 7, DONE = -1 };                                              \
    struct req {                                                                           \
        int id;                                                                            \
        const char *path;                                                                  \
        struct point at;                                                                   \
        enum state state;                                                                  \
        unsigned flags : 3, rest : 13;                                                     \
        signed char small;                                                                 \
        bool is_new;                                                                       \
        char name[12];                                                                     \
        uint16_t table[2][3];                                                              \
        struct point corners[2];                                                           \
        double ratio;                                                                      \
        float half;                                                                        \
        const char *none;                                                                  \
        const char *words[2];                                                              \
        union { uint32_t number; uint8_t bytes[4]; };                                      \
        struct point *origin;                                                              \
        struct req *next;                                                                  \
        void *opaque;                                                                      \
        int64_t big;                                                                       \
    };
#define TEXT_OF(...) TEXT_OF_(__VA_ARGS__)
#define TEXT_OF_(...) #__VA_ARGS__

DESCRIPTION

static uintptr_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uintptr_t)bits;
}

int main(void)
{
    const char *types[] = { "struct req *", "const struct point *", "int" }, *numbers[] = { "double", "float", "int" };
    usdt_provider_t *provider = usdt_create_provider("described", "main");
    usdt_probedef_t *request = usdt_create_probe("serve", "request", 3, types);
    usdt_probedef_t *measure = usdt_create_probe("serve", "measure", 3, numbers);
    if (provider == NULL || request == NULL || measure == NULL ||
        usdt_provider_add_type(provider, TEXT_OF(DESCRIPTION)) != 0 ||
        usdt_provider_add_probe(provider, request) != 0 || usdt_provider_add_probe(provider, measure) != 0 ||
        usdt_provider_enable(provider) != 0) {
        fprintf(stderr, "%s\n", usdt_errstr(provider));
        return 1;
    }
    static struct point origin = { 100, -200 };
    static struct req second = { .id = 2, .path = "/second", .state = IDLE };
    static struct req first = {
        .id = -7, .path = "/cart", .at = { 3, -4 }, .state = BUSY, .flags = 5, .rest = 8000, .small = -8,
        .is_new = true,
        .name = "twelve chars", .table = { { 1, 2, 3 }, { 4, 5, 65535 } }, .corners = { { 1, 2 }, { 3, 4 } },
        .ratio = 0.1, .half = -0.5f, .words = { "one", "two" }, .number = 0x04030201, .origin = &origin,
        .next = &second,
        .opaque = (void *)4096, .big = -9000000000,
    };
    float third = 1.0f / 3;
    uint32_t third_bits;
    memcpy(&third_bits, &third, sizeof third_bits);
    puts("ready");
    fflush(stdout);
    for (int c; (c = getchar()) != EOF;) {
        if (c != '\n')
            continue;
        USDT_PROBE(request->probe, &first, NULL, 42);
        USDT_PROBE(measure->probe, bits_of(-1234.5), third_bits, 42);
        puts("ok");
        fflush(stdout);
    }
    usdt_provider_free(provider);
    usdt_probe_release(request);
    usdt_probe_release(measure);
    return 0;
}
