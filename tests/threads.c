/*
 * threads.c - a program that fires probes from many threads, or from a signal handler, while it changes
 * its providers. For tests/threads.t to run and to trace.
 *
 * Knows only usdt.h. Every hit carries (n, ~n, 3n): a tracer sees whether its arguments belong together.
 *
 *     threads fire SECONDS     8 threads fire and check, 3 others define, enable, disable, remove, free
 *     threads signal SECONDS   a signal handler fires, and sometimes forks; it interrupts enable and disable
 *     threads grow BATCHES     a thread fires while the provider gets 100 more probes so many times
 *     threads half TIMES       goes on from the second half of the site, where newer kernels of x86_64 put
 *                              a call, when the probe is published and when it no longer is
 *
 * Prints "ready PID", waits for a line, works, prints "fired N", the hits of steady:s that a tracer must
 * have seen if it watched all the time, and what else it counted; waits for another line and ends.
 */
#define _GNU_SOURCE
#include "program.h"
#include "usdt.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ThreadSanitizer's own fork() takes locks that the handler may have interrupted. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NO_FORK 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define NO_FORK 1
#endif
#ifndef NO_FORK
#define NO_FORK 0
#endif

enum { FIRERS = 8, CHANGING = 4, POOL = 24, BATCH = 100 };

static const char *types[] = { "uint64_t", "uint64_t", "uint64_t" };
static usdt_probe_t *steady;                /* published all the time */
static usdt_probedef_t *changing[CHANGING]; /* published and withdrawn by one thread */
static usdt_probedef_t *pool[POOL];         /* in providers that come and go */
static atomic_bool done;
static atomic_ulong fired, enables, refused;

static usdt_probedef_t *define(const char *name)
{
    usdt_probedef_t *def = usdt_create_probe("func", name, 3, types);
    MUST(def != NULL);
    return def;
}

static usdt_provider_t *provide(const char *name, usdt_probedef_t **defs, size_t count)
{
    usdt_provider_t *provider = usdt_create_provider(name, "threads");
    MUST(provider != NULL);
    for (size_t i = 0; i < count; i++)
        MUST(usdt_provider_add_probe(provider, defs[i]) == 0);
    return provider;
}

static void fire(usdt_probe_t *probe, uint64_t n)
{
    void *values[] = { (void *)(uintptr_t)n, (void *)(uintptr_t)~n, (void *)(uintptr_t)(3 * n) };
    usdt_fire_probe(probe, 3, values);
}

static void *firer(void *arg)
{
    uint64_t n = (uint64_t)(uintptr_t)arg << 32;
    unsigned long count = 0;
    while (!done) {
        if (usdt_is_enabled(steady)) {
            fire(steady, n);
            count++;
        }
        usdt_probedef_t *def = n % 3 == 0 ? pool[n / 3 % POOL] : changing[n % CHANGING];
        usdt_probe_t *probe = usdt_probedef_probe(def);
        USDT_PROBE(probe, n, ~n, 3 * n);
        if (n % 5 == 0)
            fire(probe, n);
        if (n % 7 == 0)
            MUST((unsigned)__atomic_load_n(&probe->isenabled_addr, __ATOMIC_RELAXED)() <= 1);
        usdt_probe_t *now = __atomic_load_n(&def->probe, __ATOMIC_ACQUIRE);
        MUST(now == NULL || now == probe);
        n++;
    }
    fired += count;
    return NULL;
}

static void pause_up_to(unsigned *seed, unsigned us)
{
    nanosleep(&(struct timespec){ .tv_nsec = (long)((unsigned)rand_r(seed) % us) * 1000 }, NULL);
}

/* The same definition again and again: its file stays, if another process holds it, and its tracers. */
static void *toggler(void *arg)
{
    usdt_provider_t *provider = arg;
    unsigned seed = 1;
    while (!done) {
        MUST(usdt_provider_enable(provider) == 0);
        enables++;
        if (rand_r(&seed) % 4 != 0)
            pause_up_to(&seed, 500);
        MUST(usdt_provider_disable(provider) == 0);
        if (rand_r(&seed) % 4 != 0)
            pause_up_to(&seed, 100);
    }
    return NULL;
}

/* Everything else a program may do with providers, in any order. */
static void *changer(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    char name[16];
    snprintf(name, sizeof name, "mixed%c", 'a' + (int)seed);
    while (!done) {
        usdt_provider_t *provider = usdt_create_provider(name, "threads");
        MUST(provider != NULL);
        if (rand_r(&seed) % 2 == 0)
            MUST(usdt_provider_use_semaphores(provider) == 0);
        for (unsigned steps = (unsigned)rand_r(&seed) % 40; steps > 0; steps--) {
            usdt_probedef_t *shared = pool[rand_r(&seed) % POOL], *own;
            switch (rand_r(&seed) % 8) {
            case 0:
            case 1:
            case 2:
                refused += usdt_provider_add_probe(provider, shared) != 0;
                break;
            case 3:
                refused += usdt_provider_remove_probe(provider, shared) != 0;
                break;
            case 4:
                enables += usdt_provider_enable(provider) == 0;
                break;
            case 5:
                MUST(usdt_provider_disable(provider) == 0);
                break;
            case 6: /* a probe that the provider alone goes on holding */
                own = define("own");
                refused += usdt_provider_add_probe(provider, own) != 0;
                usdt_probe_release(own);
                break;
            default:
                pause_up_to(&seed, 50);
            }
        }
        usdt_provider_free(provider);
    }
    return NULL;
}

static void sleep_for(double seconds)
{
    struct timespec t = { .tv_sec = (time_t)seconds,
                          .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
    while (nanosleep(&t, &t) != 0)
        ;
}

static void run_threads(double seconds, usdt_provider_t *changes)
{
    pthread_t threads[FIRERS + 3];
    size_t n = 0;
    for (; n < FIRERS; n++)
        MUST(pthread_create(&threads[n], NULL, firer, (void *)(n + 1)) == 0);
    MUST(pthread_create(&threads[n++], NULL, toggler, changes) == 0);
    MUST(pthread_create(&threads[n++], NULL, changer, (void *)1) == 0);
    MUST(pthread_create(&threads[n++], NULL, changer, (void *)2) == 0);
    sleep_for(seconds);
    done = true;
    while (n > 0)
        pthread_join(threads[--n], NULL);
}

static volatile sig_atomic_t handled, forked;

static void on_signal(int number)
{
    (void)number;
    uint64_t n = (uint64_t)++handled;
    if (usdt_is_enabled(steady)) {
        fire(steady, n);
        fired++;
    }
    for (size_t i = 0; i < CHANGING; i++) {
        usdt_probe_t *probe = usdt_probedef_probe(changing[i]);
        USDT_PROBE(probe, n, ~n, 3 * n);
        fire(probe, n);
    }
    if (n % 20 == 0 && !NO_FORK) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        while (child > 0 && waitpid(child, NULL, 0) < 0)
            ;
        forked++;
    }
}

static void run_signals(double seconds, usdt_provider_t *changes)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    struct itimerval every = { .it_interval = { .tv_usec = 97 }, .it_value = { .tv_usec = 97 } };
    struct timespec start, now;
    sigaction(SIGALRM, &action, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    setitimer(ITIMER_REAL, &every, NULL);
    do {
        MUST(usdt_provider_enable(changes) == 0);
        enables++;
        MUST(usdt_provider_disable(changes) == 0);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
    setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { 0 } }, NULL);
    printf("handled %ld\nforked %ld\n", (long)handled, (long)forked);
}

static void *steady_firer(void *arg)
{
    (void)arg;
    for (uint64_t n = 0; !done; n++, fired++)
        fire(steady, n); /* whatever the check says: a tracer must not miss one */
    return NULL;
}

static void run_growth(int batches, usdt_provider_t *provider)
{
    pthread_t thread;
    char name[32];
    MUST(pthread_create(&thread, NULL, steady_firer, NULL) == 0);
    while (fired == 0)
        sched_yield();
    for (int i = 0; i < batches * BATCH; i++) {
        snprintf(name, sizeof name, "more%d", i);
        usdt_probedef_t *def = define(name);
        MUST(usdt_provider_add_probe(provider, def) == 0);
        usdt_probe_release(def);
        if ((i + 1) % BATCH == 0) {
            MUST(usdt_provider_enable(provider) == 0);
            enables++;
        }
    }
    done = true;
    pthread_join(thread, NULL);
}

#if defined(__x86_64__)
/* Does what a thread does that was interrupted between the `lea -128(%rsp), %rsp` and the `call` that the
   kernel puts in place of the 10-byte nop, behind the first byte of the site. Returns by how much the stack
   pointer is wrong afterwards. */
static long go_on_half_way(const usdt_probe_t *probe)
{
    uintptr_t at = (uintptr_t)probe->site + 1 + 5;
    long wrong;
    __asm__ volatile("lea -256(%%rsp), %%rsp\n\t" /* past the red zone */
                     "mov %%rsp, %%rbx\n\t"
                     "lea 1f(%%rip), %%r11\n\t" /* where the stub returns to, which it has popped */
                     "lea -128(%%rsp), %%rsp\n\t"
                     "jmp *%1\n"
                     "1:\tsub %%rsp, %%rbx\n\t"
                     "lea 256(%%rsp, %%rbx), %%rsp"
                     : "=b"(wrong)
                     : "a"(at)
                     : "r11", "memory", "cc");
    return wrong;
}

static void run_half_way(int times, usdt_provider_t *provider)
{
    long wrong = 0;
    for (int i = 0; i < times; i++) {
        wrong += go_on_half_way(steady);
        MUST(usdt_provider_disable(provider) == 0);
        wrong += go_on_half_way(steady);
        MUST(usdt_provider_enable(provider) == 0);
    }
    printf("wrong %ld\n", wrong);
}
#else
static void run_half_way(int times, usdt_provider_t *provider)
{
    (void)times, (void)provider;
}
#endif

int main(int argc, char **argv)
{
    if (argc != 3 || strchr("fsgh", argv[1][0]) == NULL) {
        fputs("usage: threads fire SECONDS | signal SECONDS | grow BATCHES | half TIMES\n", stderr);
        return 2;
    }
    for (int i = 0; i < POOL; i++) {
        char name[16];
        snprintf(name, sizeof name, "pool%d", i);
        pool[i] = define(name);
    }
    for (int i = 0; i < CHANGING; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        changing[i] = define(name);
    }
    usdt_probedef_t *s = define("s");
    usdt_provider_t *steadies = provide("steady", &s, 1);
    usdt_provider_t *changes = provide("changing", changing, CHANGING);
    MUST(usdt_provider_enable(steadies) == 0);
    steady = usdt_probedef_probe(s);

    printf("ready %ld\n", (long)getpid());
    wait_for_line();
    if (argv[1][0] == 'f')
        run_threads(strtod(argv[2], NULL), changes);
    else if (argv[1][0] == 's')
        run_signals(strtod(argv[2], NULL), changes);
    else if (argv[1][0] == 'g')
        run_growth(atoi(argv[2]), steadies);
    else
        run_half_way(atoi(argv[2]), steadies);
    printf("fired %lu\nenables %lu\nrefused %lu\nend\n", (unsigned long)fired, (unsigned long)enables,
           (unsigned long)refused);
    wait_for_line();

    usdt_provider_free(steadies);
    usdt_provider_free(changes);
    usdt_probe_release(s);
    for (int i = 0; i < POOL; i++)
        usdt_probe_release(pool[i]);
    for (int i = 0; i < CHANGING; i++)
        usdt_probe_release(changing[i]);
    return 0;
}
