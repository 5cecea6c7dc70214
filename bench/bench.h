/*
 * bench.h - what bench.c (how things are timed and compared) and checks.c (the code that is timed) share.
 */
#ifndef BENCH_H
#define BENCH_H

#include "usdt.h"

#include <stdint.h>

enum { BENCH_PROBES = 4096 };

/* Published, three arguments each, and untraced; bench.c's. The first one's definition. */
extern usdt_probedef_t *bench_def;
extern usdt_probe_t *bench_probes[BENCH_PROBES];
/* So that nothing that is timed can be left out by the compiler. */
extern unsigned long bench_hits;

/* Code to be timed: works `times` times. */
typedef void bench_code(unsigned long times);

/* Their semaphores, one after the other. */
extern const volatile uint16_t *bench_semaphores;

/* One check each, in a loop: of nothing; of a probe, by usdt_is_enabled(), also through a global pointer, and by its
   semaphore; of a compile-time probe's semaphore. */
bench_code loop_empty, loop_check, loop_global, loop_semaphore, loop_static;
/* A check at each of so many places, of as many probes. */
bench_code check_1, check_64, check_4096, semaphore_1, semaphore_64, semaphore_4096, static_1, static_64, static_4096;
/* USDT_PROBE() with so many arguments that are not free to compute. */
bench_code probe_0, probe_3, probe_6, probe_12;
/* usdt_fire_probe() without a check. */
bench_code fire_3, fire_12, fire_32;
/* Traced: USDT_PROBE() of this probe, and the compile-time probe bench:static_hit. */
extern usdt_probe_t *bench_traced;
bench_code hit, static_hit;
/* Whether a tracer is at bench:static_hit. */
int is_static_hit_traced(void);

#endif
