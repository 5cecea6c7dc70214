/*
 * checks.c - the code that is timed. Compile-time probes are those of <sys/sdt.h> (systemtap-sdt-dev), with
 * semaphores, as `dtrace -h` makes them: what a program could have instead.
 */
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#include "bench.h"

usdt_probedef_t *bench_def;
usdt_probe_t *bench_probes[BENCH_PROBES];
usdt_probe_t *bench_traced;
const volatile uint16_t *bench_semaphores;
unsigned long bench_hits;

/* What a program does between two checks is unknown to the compiler: it must read again. */
#define OTHER_WORK() __asm__ volatile("" ::: "memory")

/* A function of a virtual machine, say, has its probe at hand, and knows that it is none of NULL. */
#define LOOP(name, work)                                      \
    void name(unsigned long times)                            \
    {                                                         \
        usdt_probe_t *probe = usdt_probedef_probe(bench_def); \
        (void)probe;                                          \
        for (unsigned long i = 0; i < times; i++) {           \
            work;                                             \
            OTHER_WORK();                                     \
        }                                                     \
    }

/* m(p0..0, 0) to m(p3..3, n - 1): as many as the name says. */
#define R4(m, p, i) m(p##0, 4 * (i)) m(p##1, 4 * (i) + 1) m(p##2, 4 * (i) + 2) m(p##3, 4 * (i) + 3)
#define R16(m, p, i) \
    R4(m, p##0, 4 * (i)) R4(m, p##1, 4 * (i) + 1) R4(m, p##2, 4 * (i) + 2) R4(m, p##3, 4 * (i) + 3)
#define R64(m, p, i) \
    R16(m, p##0, 4 * (i)) R16(m, p##1, 4 * (i) + 1) R16(m, p##2, 4 * (i) + 2) R16(m, p##3, 4 * (i) + 3)
/* The same, for what has an R64() inside. */
#define S4(m, p, i) m(p##0, 4 * (i)) m(p##1, 4 * (i) + 1) m(p##2, 4 * (i) + 2) m(p##3, 4 * (i) + 3)
#define S16(m, p, i) S4(m, p##0, 4 * (i)) S4(m, p##1, 4 * (i) + 1) S4(m, p##2, 4 * (i) + 2) S4(m, p##3, 4 * (i) + 3)
#define S64(m, p, i) S16(m, p##0, 4 * (i)) S16(m, p##1, 4 * (i) + 1) S16(m, p##2, 4 * (i) + 2) S16(m, p##3, 4 * (i) + 3)

#define DECLARE(name, i) \
    unsigned short bench_##name##_semaphore __attribute__((unused, section(".probes"), visibility("hidden")));
#define STATIC(name, i)                                           \
    if (__builtin_expect(bench_##name##_semaphore, 0)) {          \
        STAP_PROBE3(bench, name, bench_hits, times, bench_hits);  \
        bench_hits++;                                             \
    }                                                             \
    OTHER_WORK();
#define CHECK(name, i)                                         \
    if (__builtin_expect(usdt_is_enabled(bench_probes[i]), 0)) \
        bench_hits++;                                          \
    OTHER_WORK();

#define SEMAPHORE(name, i)                           \
    if (__builtin_expect(bench_semaphores[i] > 0, 0)) \
        bench_hits++;                                \
    OTHER_WORK();

#define DECLARE_64(name, i) R64(DECLARE, name, i)
S64(DECLARE_64, a, 0)
DECLARE(one, 0)
R64(DECLARE, b, 0)
DECLARE(static_hit, 0)

LOOP(loop_empty, (void)0)
LOOP(loop_check, if (__builtin_expect(usdt_is_enabled(probe), 0)) bench_hits++)
LOOP(loop_global, if (__builtin_expect(usdt_is_enabled(bench_probes[0]), 0)) bench_hits++)
LOOP(loop_semaphore, if (__builtin_expect(*probe->semaphore > 0, 0)) bench_hits++)
LOOP(loop_static, if (__builtin_expect(bench_one_semaphore, 0)) bench_hits++)

#define PLACES(name, places)                        \
    void name(unsigned long times)                  \
    {                                               \
        for (unsigned long i = 0; i < times; i++) { \
            places                                  \
        }                                           \
    }
/* In functions of 64: a compiler takes long over one of 4,096. */
#define GROUP(name, i)                                                                       \
    static __attribute__((noinline)) void check_##name(void) { R64(CHECK, name, i) }         \
    static __attribute__((noinline)) void semaphore_##name(void) { R64(SEMAPHORE, name, i) } \
    static __attribute__((noinline)) void static_##name(unsigned long times) { R64(STATIC, name, i) }
#define CALL_CHECK(name, i) check_##name();
#define CALL_SEMAPHORE(name, i) semaphore_##name();
#define CALL_STATIC(name, i) static_##name(i);
S64(GROUP, a, 0)

PLACES(check_1, CHECK(one, 0))
PLACES(check_64, R64(CHECK, b, 0))
PLACES(check_4096, S64(CALL_CHECK, a, 0))
PLACES(semaphore_1, SEMAPHORE(one, 0))
PLACES(semaphore_64, R64(SEMAPHORE, b, 0))
PLACES(semaphore_4096, S64(CALL_SEMAPHORE, a, 0))
PLACES(static_1, STATIC(one, 0))
PLACES(static_64, R64(STATIC, b, 0))
PLACES(static_4096, S64(CALL_STATIC, a, 0))

/* An argument that costs something, were it computed. */
static unsigned long costly(unsigned long n)
{
    for (int i = 0; i < 8; i++)
        n = n * 6364136223846793005u + 1442695040888963407u;
    return n;
}

#define A3 costly(bench_hits), costly(bench_hits + 1), costly(bench_hits + 2)
LOOP(probe_0, USDT_PROBE(probe))
LOOP(probe_3, USDT_PROBE(probe, A3))
LOOP(probe_6, USDT_PROBE(probe, A3, A3))
LOOP(probe_12, USDT_PROBE(probe, A3, A3, A3, A3))

#define V(n) (void *)(i + (n))
#define V4(n) V(n), V((n) + 1), V((n) + 2), V((n) + 3)

void fire_3(unsigned long times)
{
    usdt_probe_t *probe = usdt_probedef_probe(bench_def);
    for (unsigned long i = 0; i < times; i++) {
        void *argv[] = { V(0), V(1), V(2) };
        usdt_fire_probe(probe, 3, argv);
    }
}

void fire_12(unsigned long times)
{
    usdt_probe_t *probe = usdt_probedef_probe(bench_def);
    for (unsigned long i = 0; i < times; i++) {
        void *argv[] = { V4(0), V4(4), V4(8) };
        usdt_fire_probe(probe, 12, argv);
    }
}

void fire_32(unsigned long times)
{
    usdt_probe_t *probe = usdt_probedef_probe(bench_def);
    for (unsigned long i = 0; i < times; i++) {
        void *argv[] = { V4(0), V4(4), V4(8), V4(12), V4(16), V4(20), V4(24), V4(28) };
        usdt_fire_probe(probe, 32, argv);
    }
}

LOOP(hit, USDT_PROBE(bench_traced, i, i, i))
LOOP(static_hit, if (__builtin_expect(bench_static_hit_semaphore, 0)) STAP_PROBE3(bench, static_hit, i, i, i))

int is_static_hit_traced(void)
{
    return bench_static_hit_semaphore > 0;
}
