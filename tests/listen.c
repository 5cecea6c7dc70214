/*
 * listen.c - a program that listens to its own probes. For tests/listen.t to run, and to trace.
 *
 * Knows only usdt.h.
 *
 *     listen values            prints "ok ..." or "not ok ..." lines
 *     listen threads SECONDS   threads fire while others listen and do not, each time with a context of its own
 *     listen hits TIMES        fires a probe that it listens to, and a tracer may watch
 *
 * The latter two print "ready PID", wait for a line, work, print what they counted; wait for another line and end.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *types[USDT_ARG_MAX];

static usdt_probedef_t *define(const char *name, size_t argc)
{
    usdt_probedef_t *def = usdt_create_probe("func", name, argc, types);
    if (def == NULL)
        abort();
    return def;
}

static void fire(usdt_probedef_t *def, uintptr_t value)
{
    void *argv[] = { (void *)value };
    usdt_fire_probe(usdt_probedef_probe(def), 1, argv);
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

/* ---- what a listener is given ---- */

static struct {
    unsigned hits;
    void *context;
    usdt_probedef_t *def;
    size_t argc;
    void *argv[USDT_ARG_MAX];
} last;

static void remember(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    last.hits++;
    last.context = context;
    last.def = def;
    last.argc = argc;
    for (size_t i = 0; i < argc; i++)
        last.argv[i] = argv[i];
}

static uintptr_t value(size_t n)
{
    return (uintptr_t)0x0123456789abcdef * (n + 1);
}

/* Fires with `given` arguments, and looks at what was heard. */
static bool is_heard(usdt_probedef_t *def, size_t given)
{
    void *argv[USDT_ARG_MAX + 8];
    for (size_t i = 0; i < sizeof argv / sizeof argv[0]; i++)
        argv[i] = (void *)value(i);
    memset(&last, 0xff, sizeof last);
    last.hits = 0;
    usdt_fire_probe(usdt_probedef_probe(def), given, given == 0 ? NULL : argv);
    bool good = last.hits == 1 && last.context == &last && last.def == def && last.argc == def->argc;
    for (size_t i = 0; good && i < def->argc; i++)
        good = (uintptr_t)last.argv[i] == (i < given ? value(i) : 0);
    return good;
}

static void try_values(const char *when, usdt_probedef_t **defs)
{
    bool good = true;
    for (size_t declared = 0; declared <= USDT_ARG_MAX; declared++)
        for (size_t given = 0; given <= USDT_ARG_MAX + 8; given++)
            good = good && is_heard(defs[declared], given);
    check(good, "%s: 0 to 40 values of probes of 0 to 32 are heard", when);
}

static bool shows(usdt_probedef_t *def, int is)
{
    const usdt_probe_t *probe = usdt_probedef_probe(def);
    return usdt_is_enabled(usdt_probedef_probe(def)) == is && probe->isenabled_addr() == is &&
           (*probe->site != probe->pristine) == is && *probe->semaphore == is;
}

static void values(void)
{
    usdt_probedef_t *defs[USDT_ARG_MAX + 1];
    usdt_provider_t *provider = usdt_create_provider("listen", "test");
    for (size_t i = 0; i <= USDT_ARG_MAX; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%zu", i);
        defs[i] = define(name, i);
        usdt_provider_add_probe(provider, defs[i]);
    }
    usdt_probedef_t *def = defs[3];
    const usdt_probe_t *probe = usdt_probedef_probe(def);
    const usdt_probe_t before = *probe;
    for (size_t i = 0; i <= USDT_ARG_MAX; i++)
        if (usdt_probe_listen(defs[i], remember, &last) != 0)
            abort();
    check(shows(def, 1), "a probe that is listened to shows so to all who check");
    check(probe->argc > USDT_ARG_MAX && def->argc == 3, "argc stays in the definition");
    try_values("not enabled", defs);
    check(def->probe == NULL, "then the definition has no probe, as always");

    bool can = usdt_provider_enable(provider) == 0; /* not where there is no tracing */
    check(shows(def, 1) && (def->probe == probe) == can, "it shows the same when it is published");
    try_values("enabled", defs);
    int evaluated = 0;
    memset(&last, 0, sizeof last);
    USDT_PROBE(usdt_probedef_probe(def), -1, ++evaluated, "text");
    check(evaluated == 1 && last.hits == 1 && (intptr_t)last.argv[0] == -1 && strcmp(last.argv[2], "text") == 0,
          "USDT_PROBE() evaluates its arguments once, and is heard");

    for (size_t i = 0; i <= USDT_ARG_MAX; i++)
        if (usdt_probe_unlisten(defs[i], remember, &last) != 0)
            abort();
    USDT_PROBE(usdt_probedef_probe(def), ++evaluated);
    fire(def, 1);
    check(shows(def, 0) && probe->argc == 3 && evaluated == 1 && last.hits == 1, "then it is as before");
    check(!can || (probe->site != before.site && probe->probe_addr != before.probe_addr), "and has its place");

    usdt_probe_listen(def, remember, &last);
    usdt_provider_disable(provider);
    check(def->probe == NULL && shows(def, 1) && is_heard(def, 3), "it is heard when its provider is disabled");
    usdt_provider_enable(provider);
    usdt_provider_remove_probe(provider, def);
    check(shows(def, 1) && is_heard(def, 3), "when it is removed");
    usdt_probe_unlisten(def, remember, &last);
    check(shows(def, 0) && memcmp(probe, &before, sizeof before) == 0, "then, not listened to, it is as it was made");
    usdt_probe_listen(def, remember, &last);
    usdt_provider_free(provider);
    check(is_heard(def, 3), "when its provider is gone");
    for (size_t i = 0; i <= USDT_ARG_MAX; i++)
        usdt_probe_release(defs[i]); /* with its listener */
}

/* ---- errors ---- */

static void errors(void)
{
    usdt_probedef_t *def = define("errors", 0);
    int other;
    check(usdt_probe_listen(NULL, remember, NULL) == -1 && usdt_provider_errno(NULL) == USDT_ERROR_INVALID,
          "no definition: %s", usdt_errstr(NULL));
    check(usdt_probe_listen(def, NULL, NULL) == -1 && usdt_provider_errno(NULL) == USDT_ERROR_INVALID,
          "no function: %s", usdt_errstr(NULL));
    check(usdt_probe_unlisten(NULL, remember, NULL) == -1 && usdt_provider_errno(NULL) == USDT_ERROR_INVALID,
          "nor to remove: %s", usdt_errstr(NULL));
    check(usdt_probe_unlisten(def, remember, NULL) == -1 && usdt_provider_errno(NULL) == USDT_ERROR_INVALID,
          "none to remove: %s", usdt_errstr(NULL));
    usdt_probe_listen(def, remember, NULL);
    check(usdt_probe_listen(def, remember, NULL) == -1 && usdt_provider_errno(NULL) == USDT_ERROR_INVALID,
          "twice: %s", usdt_errstr(NULL));
    check(usdt_probe_unlisten(def, remember, &other) == -1, "the context is a part of it");
    last.hits = 0;
    fire(def, 0);
    check(last.hits == 1, "the listener that is there goes on");
    usdt_probe_release(def);
}

/* ---- what listeners may do ---- */

static char order[64];

static void note(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)def, (void)argc, (void)argv;
    strcat(order, context);
}

static char a[] = "a", b[] = "b", c[] = "c";

static bool hears(usdt_probedef_t *def, const char *what)
{
    order[0] = '\0';
    fire(def, 1);
    return strcmp(order, what) == 0;
}

static void a_and_b_go(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)argc, (void)argv;
    usdt_probe_unlisten(def, a_and_b_go, context);
    usdt_probe_unlisten(def, note, a);
    usdt_probe_unlisten(def, note, b);
}

static void c_comes(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)argc, (void)argv;
    if (usdt_probe_listen(def, note, c) != 0)
        strcat(order, "!");
}

static void fires_twice_more(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)argc;
    strcat(order, "f");
    if (argv[0] != NULL && (uintptr_t)argv[0] < 3)
        fire(def, (uintptr_t)argv[0] + 1);
}

static void changes_all(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)argc, (void)argv;
    usdt_provider_t *provider = context;
    usdt_provider_disable(provider);
    usdt_provider_remove_probe(provider, def);
    usdt_provider_add_probe(provider, def);
    usdt_provider_enable(provider);
    usdt_probedef_t *other = define("other", 0);
    usdt_provider_add_probe(provider, other);
    usdt_probe_release(other);
    usdt_provider_enable(provider);
}

static unsigned deep;

static void fires_deeper(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)argc, (void)argv;
    if (++deep < 2000)
        fire(def, 1);
}

static void several(void)
{
    usdt_probedef_t *def = define("several", 1);
    usdt_probe_listen(def, note, a);
    usdt_probe_listen(def, note, b);
    usdt_probe_listen(def, note, c);
    check(hears(def, "abc"), "three listeners, called as they came");
    usdt_probe_unlisten(def, note, b);
    check(hears(def, "ac") && shows(def, 1), "the second goes, the others stay");
    usdt_probe_unlisten(def, note, a);
    usdt_probe_unlisten(def, note, c);
    check(hears(def, "") && shows(def, 0), "all are gone");

    usdt_probe_listen(def, note, a);
    usdt_probe_listen(def, a_and_b_go, NULL);
    usdt_probe_listen(def, note, b);
    usdt_probe_listen(def, note, c);
    check(hears(def, "ac"), "a listener removes itself, the one before and the one behind: that is called no more");
    check(hears(def, "c"), "nor is any of them by the next hit");
    usdt_probe_unlisten(def, note, c);

    usdt_probe_listen(def, c_comes, NULL);
    fire(def, 1);
    check(hears(def, "!c"), "a listener adds one, which hears the next hit");
    usdt_probe_unlisten(def, c_comes, NULL);
    usdt_probe_unlisten(def, note, c);

    usdt_probe_listen(def, fires_twice_more, NULL);
    check(hears(def, "fff"), "a listener that fires the probe hears it");
    usdt_probe_unlisten(def, fires_twice_more, NULL);

    usdt_probe_listen(def, fires_deeper, NULL);
    fire(def, 1);
    check(deep == 1024, "as often as there may be hits in listeners: %u", deep);
    usdt_probe_unlisten(def, fires_deeper, NULL);
    check(shows(def, 0), "after which it can be removed");

    usdt_provider_t *provider = usdt_create_provider("changes", "test");
    usdt_provider_add_probe(provider, def);
    usdt_probe_listen(def, changes_all, provider);
    usdt_probe_listen(def, note, a);
    check(hears(def, "a") && hears(def, "a") && shows(def, 1),
          "a listener disables, removes, adds and enables its probe");
    usdt_probe_unlisten(def, changes_all, provider);
    usdt_provider_free(provider);
    check(hears(def, "a"), "which is heard again");
    usdt_probe_release(def);
}

/* ---- threads, fork, signals ---- */

static atomic_bool inside, may_leave, left;

static void waits(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)def, (void)argc, (void)argv;
    inside = true;
    while (!may_leave)
        sched_yield();
    nap();
    left = true;
}

static void *fires_once(void *def)
{
    fire(def, 1);
    return NULL;
}

static usdt_probedef_t *in_handler;

static void on_signal(int number)
{
    (void)number;
    USDT_PROBE(usdt_probedef_probe(in_handler), 1);
}

static void raises(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)def, (void)argc, (void)argv;
    raise(SIGUSR1);
}

static bool child_of_fork(usdt_probedef_t *def, usdt_probedef_t *busy)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        bool good = hears(def, "a") && usdt_probe_unlisten(def, note, a) == 0 && hears(def, "") &&
                    usdt_probe_unlisten(busy, waits, NULL) == 0;
        usdt_probe_release(def);
        usdt_probe_release(busy);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status == 0;
}

static void forks(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)argc, (void)argv;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) { /* in a listener, as its parent: so this does not wait */
        alarm(10);
        _exit(usdt_probe_unlisten(def, forks, NULL) == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    check(status == 0, "a child that is forked in a listener ends that, without waiting for itself");
}

static void one_by_one(void)
{
    usdt_probedef_t *def = define("def", 1), *busy = define("busy", 1);
    pthread_t thread;
    usdt_probe_listen(def, note, a);
    usdt_probe_listen(busy, waits, NULL);
    pthread_create(&thread, NULL, fires_once, busy);
    while (!inside)
        sched_yield();
    usdt_probe_unlisten(def, note, a);
    check(!left, "a listener of another probe is not waited for");
    usdt_probe_listen(def, note, a);
    check(child_of_fork(def, busy), "a child of fork() listens, and does not wait for its parent's threads");
    may_leave = true;
    usdt_probe_unlisten(busy, waits, NULL);
    check(left, "unlisten returns when the thread that is in the listener has left it");
    pthread_join(thread, NULL);

    usdt_probe_listen(busy, forks, NULL);
    fire(busy, 1);
    usdt_probe_unlisten(busy, forks, NULL);

    in_handler = def;
    signal(SIGUSR1, on_signal);
    usdt_probe_listen(def, raises, NULL);
    usdt_probe_listen(busy, raises, NULL);
    usdt_probe_unlisten(def, raises, NULL);
    check(hears(busy, "a"), "a signal handler that interrupts a listener fires, and is heard");
    usdt_probe_release(def);
    usdt_probe_release(busy);
}

/* ---- threads fire while others listen ---- */

enum { FIRERS = 4, LISTENERS = 3, PROBES = 2 };
struct life {
    atomic_bool alive;
    atomic_ulong hits;
};
static usdt_probedef_t *shared[PROBES];
static atomic_bool done;
static atomic_ulong fired, heard, listened;

static void lives(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    struct life *life = context;
    MUST(life->alive && argc == 3 && (def == shared[0] || def == shared[1]));
    MUST((uintptr_t)argv[1] == ~(uintptr_t)argv[0] && (uintptr_t)argv[2] == 3 * (uintptr_t)argv[0]);
    life->hits++;
    sched_yield();
    MUST(life->alive);
}

static void once(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)argc, (void)argv;
    if (usdt_probe_unlisten(def, once, context) == 0) /* of two threads, one */
        ++*(atomic_ulong *)context;
}

static void *firer(void *number)
{
    uintptr_t n = (uintptr_t)number << 20;
    for (; !done; n++) {
        void *argv[] = { (void *)n, (void *)~n, (void *)(3 * n) };
        usdt_probe_t *probe = usdt_probedef_probe(shared[n % PROBES]);
        if (n % 2 == 0)
            USDT_PROBE(probe, n, ~n, 3 * n);
        else
            usdt_fire_probe(probe, 3, argv);
        fired++;
        if (n % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *listener(void *number)
{
    static atomic_ulong onces[LISTENERS];
    atomic_ulong *own = &onces[(uintptr_t)number];
    unsigned seed = (unsigned)(uintptr_t)number;
    while (!done) {
        struct life *life = calloc(1, sizeof *life);
        usdt_probedef_t *def = shared[(unsigned)rand_r(&seed) % PROBES];
        MUST(life != NULL);
        life->alive = true;
        MUST(usdt_probe_listen(def, lives, life) == 0);
        usdt_probe_listen(def, once, own);
        nanosleep(&(struct timespec){ .tv_nsec = rand_r(&seed) % 100000 }, NULL);
        MUST(usdt_probe_unlisten(def, lives, life) == 0);
        heard += life->hits;
        life->alive = false;
        free(life);
        listened++;
    }
    for (int i = 0; i < PROBES; i++)
        usdt_probe_unlisten(shared[i], once, own);
    return NULL;
}

static void *toggler(void *provider)
{
    while (!done) {
        MUST(usdt_provider_enable(provider) == 0);
        MUST(usdt_provider_disable(provider) == 0);
        sched_yield();
    }
    return NULL;
}

static void threads(double seconds, usdt_provider_t *provider)
{
    pthread_t all[FIRERS + LISTENERS + 1];
    size_t n = 0;
    for (; n < FIRERS; n++)
        MUST(pthread_create(&all[n], NULL, firer, (void *)(n + 1)) == 0);
    for (; n < FIRERS + LISTENERS; n++)
        MUST(pthread_create(&all[n], NULL, listener, (void *)(n - FIRERS)) == 0);
    MUST(pthread_create(&all[n++], NULL, toggler, provider) == 0);
    nanosleep(&(struct timespec){ .tv_sec = (time_t)seconds }, NULL);
    done = true;
    while (n > 0)
        pthread_join(all[--n], NULL);
    MUST(shows(shared[0], 0) && shows(shared[1], 0));
    printf("fired %lu\nheard %lu\nlistened %lu\n", (unsigned long)fired, (unsigned long)heard, (unsigned long)listened);
}

static void count(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)def, (void)argc, (void)argv;
    ++*(unsigned long *)context;
}

static void hits(unsigned long times)
{
    unsigned long counted = 0;
    usdt_probe_t *probe = usdt_probedef_probe(shared[0]);
    printf("before %d\n", usdt_is_enabled(probe));
    MUST(usdt_probe_listen(shared[0], count, &counted) == 0);
    for (uintptr_t n = 0; n < times; n++)
        USDT_PROBE(probe, n, ~n, 3 * n);
    MUST(usdt_probe_unlisten(shared[0], count, &counted) == 0);
    for (uintptr_t n = 0; n < times; n++) /* now without */
        USDT_PROBE(probe, n, ~n, 3 * n);
    printf("after %d\nheard %lu\n", usdt_is_enabled(probe), counted);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < USDT_ARG_MAX; i++)
        types[i] = "uint64_t";
    if (argc == 2 && strcmp(argv[1], "values") == 0) {
        values();
        errors();
        several();
        one_by_one();
        return failed;
    }
    if (argc != 3 || strchr("th", argv[1][0]) == NULL) {
        fputs("usage: listen values | threads SECONDS | hits TIMES\n", stderr);
        return 2;
    }
    usdt_provider_t *provider = usdt_create_provider("listen", "test");
    shared[0] = define("a", 3);
    shared[1] = define("b", 3);
    MUST(usdt_provider_add_probe(provider, shared[0]) == 0 && usdt_provider_add_probe(provider, shared[1]) == 0);
    MUST(usdt_provider_enable(provider) == 0);
    printf("ready %ld\n", (long)getpid());
    wait_for_line();
    if (argv[1][0] == 't')
        threads(strtod(argv[2], NULL), provider);
    else
        hits(strtoul(argv[2], NULL, 10));
    puts("end");
    wait_for_line();
    usdt_provider_free(provider);
    usdt_probe_release(shared[0]);
    usdt_probe_release(shared[1]);
    return 0;
}
