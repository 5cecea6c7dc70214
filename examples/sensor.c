/*
 * sensor.c - a probe of which one argument points to a structure, which the provider describes, and one is a double;
 * doc/cookbook.md traces it.
 *
 *     sensor:reading  struct reading *reading, double celsius
 *
 * Fires ten times a second, for three places in turn, until it is ended.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <usdt.h>

/* What the compiler reads and what the provider is given are the same text. */
#define DESCRIBED(...) __VA_ARGS__ static const char description[] = #__VA_ARGS__;
DESCRIBED(
    enum state { FINE, BROKEN };
    struct reading {
        int id;
        const char *place;
        enum state state;
        double bar;
    };
)

/* A double is passed as its bits. */
static uintptr_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uintptr_t)bits;
}

int main(void)
{
    static struct reading readings[] = {
        { .place = "kitchen", .bar = 1.0125 },
        { .place = "cellar", .bar = 1.0138 },
        { .place = "roof", .state = BROKEN },
    };
    static const double celsius[] = { 21.375, 11.5, -3.0625 };
    const char *types[] = { "struct reading *", "double" };
    usdt_provider_t *sensor = usdt_create_provider("sensor", "main");
    usdt_probedef_t *reading = usdt_create_probe("measure", "reading", 2, types);
    if (sensor == NULL || reading == NULL) {
        fprintf(stderr, "%s\n", usdt_errstr(NULL));
        return 1;
    }
    if (usdt_provider_add_type(sensor, description) != 0 || usdt_provider_add_probe(sensor, reading) != 0 ||
        usdt_provider_enable(sensor) != 0)
        fprintf(stderr, "no probes: %s\n", usdt_errstr(sensor));
    for (int id = 1;; id++) {
        struct reading *now = &readings[id % 3];
        now->id = id;
        USDT_PROBE(reading->probe, now, bits_of(celsius[id % 3]));
        nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    }
}
