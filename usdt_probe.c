/*
 * usdt_probe.c - the stubs of probes: laying them out, checking and firing them.
 *
 * Owns the calling of a stub, and what usdt_probe_t shows to those who check. Knows nothing of providers, documents
 * or images, nor who listens; takes no lock.
 */
#define USDT_INLINE
#define USDT_EXPORT_INLINE_
#include "usdt_internal.h"

#include <string.h>

void usdt_stubs_write(const struct usdt_stub *stub, void *to, size_t count)
{
    unsigned char *at = to;
    for (size_t i = 0; i < count; i++, at += stub->size)
        memcpy(at, stub->code, stub->size);
}

#if defined(__GNUC__)
#define STORE(p, value) __atomic_store_n(p, value, __ATOMIC_RELAXED)
#define AS_DATA __extension__(void *) /* a function's address: POSIX, not ISO C */
#else
#define STORE(p, value) (*(p) = (value))
#define AS_DATA (void *)
#endif

/* It is not placed. */
void usdt_probe_watch(usdt_probe_t *probe, const void *word)
{
    uint32_t pristine;
    memcpy(&pristine, word, sizeof pristine);
    STORE(&probe->pristine, pristine);
}

void usdt_probe_init(usdt_probe_t *probe, const struct usdt_stub *stub, size_t argc)
{
    probe->argc = (uint32_t)argc;
    if (stub != NULL)
        usdt_probe_watch(probe, stub->code + stub->site);
    usdt_probe_detach(probe);
}

static const volatile uint16_t no_semaphore;

/* Where the members are that say what the stub does: elsewhere, while somebody listens. */
static usdt_probe_t *placed(usdt_probe_t *probe)
{
    return probe->argc > USDT_ARG_MAX ? &((struct usdt_own_probe *)probe)->listening->real : probe;
}

void usdt_probe_place(usdt_probe_t *probe, const struct usdt_stub *stub, uintptr_t slot, uintptr_t semaphore)
{
    usdt_probe_t *to = placed(probe);
    STORE(&to->semaphore, semaphore != 0 ? (const volatile uint16_t *)semaphore : &no_semaphore);
    STORE(&to->site, (const volatile uint32_t *)(slot + stub->site));
    STORE(&to->isenabled_addr, (int (*)(void))(slot + stub->isenabled));
    STORE(&probe->probe_addr, (void *)(slot + stub->probe));
}

void usdt_probe_place_elsewhere(usdt_probe_t *probe, uintptr_t word)
{
    STORE(&placed(probe)->site, (const volatile uint32_t *)word);
}

static int never_enabled(void)
{
    return 0;
}

static void do_nothing(void)
{
}

void usdt_probe_detach(usdt_probe_t *probe)
{
    usdt_probe_t *to = placed(probe);
    STORE(&to->semaphore, &no_semaphore);
    STORE(&to->site, &probe->pristine);
    STORE(&to->isenabled_addr, never_enabled);
    STORE(&probe->probe_addr, AS_DATA do_nothing);
}

static int always_enabled(void)
{
    return 1;
}

/* In usdt_probe_t.argc, while somebody listens: so that usdt_fire_probe() goes another way, at no instruction more. */
enum { LISTENED = 0x100 };

void usdt_probe_listened(struct usdt_own_probe *own)
{
    static const volatile uint16_t semaphore = 1;
    static const volatile uint32_t sites[] = { 0, 1 };
    usdt_probe_t *probe = &own->pub;
    usdt_probe_t *real = &own->listening->real;
    real->argc = probe->argc;
    real->semaphore = probe->semaphore;
    real->isenabled_addr = probe->isenabled_addr;
    STORE(&real->site, probe->site);
    STORE(&probe->argc, probe->argc | LISTENED);
    STORE(&probe->semaphore, &semaphore);
    STORE(&probe->isenabled_addr, always_enabled);
    STORE(&probe->site, &sites[probe->pristine == 0]); /* the one that differs */
}

void usdt_probe_unlistened(struct usdt_own_probe *own)
{
    const usdt_probe_t *real = &own->listening->real;
    usdt_probe_t *probe = &own->pub;
    STORE(&probe->site, real->site);
    STORE(&probe->isenabled_addr, real->isenabled_addr);
    STORE(&probe->semaphore, real->semaphore);
    STORE(&probe->argc, real->argc);
}

usdt_probe_t *usdt_probe_never(void)
{
    static usdt_probe_t never = { .isenabled_addr = never_enabled, .probe_addr = AS_DATA do_nothing,
                                  .site = &never.pristine, .semaphore = &no_semaphore };
    return &never;
}

/*
 * The stub has its arguments where the C calling convention puts them, and touches none; so a call with
 * more than the probe declares is safe, and a few widths are enough. With fewer a tracer would
 * read what happens to be there.
 */
typedef void *arg;
typedef void (*stub0)(void);
typedef void (*stub1)(arg);
typedef void (*stub2)(arg, arg);
typedef void (*stub3)(arg, arg, arg);
typedef void (*stub4)(arg, arg, arg, arg);
typedef void (*stub6)(arg, arg, arg, arg, arg, arg);
typedef void (*stub12)(arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg);
typedef void (*stub32)(arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg,
                       arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg, arg);

#define A4(i) a[i], a[(i) + 1], a[(i) + 2], a[(i) + 3]

static void fire_rarely(usdt_probe_t *probe, size_t argc, void **argv);

/* At least so many arguments. Twice in the library: calls in place of branches would be slower. */
#if defined(__GNUC__)
__attribute__((always_inline))
#endif
#if defined(__clang__)
__attribute__((no_sanitize("function"))) /* the stub has no type for UBSan to find */
#endif
static inline void fire(usdt_probe_t *probe, uint32_t least, size_t argc, void **argv)
{
    uintptr_t stub = (uintptr_t)USDT_LOAD_(&probe->probe_addr);
    arg *a = argv, padded[USDT_ARG_MAX];
    if (argc >= least) /* the usual case, and few */
        switch (argc) {
        case 0: ((stub0)stub)(); return;
        case 1: ((stub1)stub)(a[0]); return;
        case 2: ((stub2)stub)(a[0], a[1]); return;
        case 3: ((stub3)stub)(a[0], a[1], a[2]); return;
        case 4: ((stub4)stub)(A4(0)); return;
        }
    size_t most = argc > least ? argc : least;
    if (most > USDT_ARG_MAX) {
        fire_rarely(probe, argc, argv);
        return;
    }
    size_t width = most <= 6 ? 6 : most <= 12 ? 12 : USDT_ARG_MAX;
    if (argc < width) {
        a = padded;
        for (size_t i = 0; i < width; i++)
            a[i] = i < argc ? argv[i] : NULL;
    }
    if (width == 6)
        ((stub6)stub)(A4(0), a[4], a[5]);
    else if (width == 12)
        ((stub12)stub)(A4(0), A4(4), A4(8));
    else
        ((stub32)stub)(A4(0), A4(4), A4(8), A4(12), A4(16), A4(20), A4(24), A4(28));
}

/* With more arguments than there may be, or to listeners too: after the stub, so that tracers see it whatever they do. */
#if defined(__GNUC__)
__attribute__((noinline))
#endif
#if defined(__clang__)
__attribute__((no_sanitize("function")))
#endif
static void fire_all(usdt_probe_t *probe, size_t argc, void **argv)
{
    uint32_t least = USDT_LOAD_(&probe->argc);
    if (argc > USDT_ARG_MAX)
        argc = USDT_ARG_MAX;
    fire(probe, least % LISTENED, argc, argv);
    if (least >= LISTENED)
        usdt_listeners_call(((struct usdt_own_probe *)probe)->listening, least % LISTENED, argc, argv);
}

/* What usdt_is_enabled() would say if nobody listened. */
static inline USDT_NO_TSAN_ bool is_traced(const usdt_probe_t *probe, const struct usdt_listening *listening)
{
    return *USDT_LOAD_(&listening->real.site) != USDT_LOAD_(&probe->pristine);
}

/* To listeners alone, where no tracer is: the stub would do nothing. */
static void fire_rarely(usdt_probe_t *probe, size_t argc, void **argv)
{
    uint32_t least = USDT_LOAD_(&probe->argc);
    if (least >= LISTENED && argc <= USDT_ARG_MAX) {
        const struct usdt_listening *listening = ((struct usdt_own_probe *)probe)->listening;
        if (listening != NULL && !is_traced(probe, listening)) {
            usdt_listeners_call(listening, least % LISTENED, argc, argv);
            return;
        }
    }
    fire_all(probe, argc, argv);
}

#if defined(__clang__)
__attribute__((no_sanitize("function")))
#endif
void usdt_fire_probe(usdt_probe_t *probe, size_t argc, void **argv)
{
    if (probe != NULL)
        fire(probe, USDT_LOAD_(&probe->argc), argc, argv);
}

const char *usdt_version(void)
{
    return USDT_VERSION;
}
