/*
 * usdt_listen.c - who hears the hits of a probe in the program itself.
 *
 * Owns the lists of listeners, and the knowledge of who is in one: to fire takes no lock, so a listener that is
 * removed may be running. A thread takes a cell while it calls listeners; who removes one looks at all cells, and
 * waits for those that were taken for this probe. Either the thread sees the list without the listener, or the other
 * sees the cell: each writes first and then reads, and all of that is in one order (seq_cst, C11's default).
 */
#include "usdt_internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct usdt_listener {
    struct usdt_listener *_Atomic next; /* stays when it is removed: a thread may be here */
    struct usdt_listener *gone;
    _Atomic usdt_listener_t function; /* NULL: removed */
    void *context;
};

/* Of so many threads at one time, each in a cache line of its own. A hit in a handler, or in a listener, has another
   one. */
enum { CELLS = 1024 };
static struct cell {
    _Alignas(64) const struct usdt_listening *_Atomic in; /* NULL: free */
    atomic_uintptr_t thread;                              /* 0: not known yet */
    atomic_uint turn;                                     /* counts those who were here */
} cells[CELLS];

static bool is_used; /* since somebody listened */

/* Never 0. The call of pthread_self() would be a fifth of what a hit costs. */
static inline uintptr_t this_thread(void)
{
#if defined(__linux__) && defined(__x86_64__) && defined(__LP64__)
    uintptr_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self)); /* the thread pointer points to itself: psABI, ELF TLS */
    return self;
#else
    return (uintptr_t)pthread_self();
#endif
}

static inline struct cell *enter(const struct usdt_listening *listening)
{
    uintptr_t self = this_thread();
    uint32_t at = (uint32_t)(self >> 6) * 2654435769u >> 22;
    for (size_t tries = 0; tries < CELLS; tries++, at = (at + 1) % CELLS) {
        const struct usdt_listening *nobody = NULL;
        if (atomic_compare_exchange_strong(&cells[at].in, &nobody, listening)) {
            atomic_store_explicit(&cells[at].thread, self, memory_order_relaxed);
            return &cells[at];
        }
    }
    return NULL;
}

static inline void leave(struct cell *cell)
{
    unsigned turn = atomic_load_explicit(&cell->turn, memory_order_relaxed);
    atomic_store_explicit(&cell->thread, 0, memory_order_relaxed);
    atomic_store_explicit(&cell->turn, turn + 1, memory_order_release);
    atomic_store_explicit(&cell->in, NULL, memory_order_release);
}

static void call_all(const struct usdt_listening *listening, size_t declared, void **argv)
{
    struct cell *cell = enter(listening);
    if (cell == NULL)
        return;
    for (struct usdt_listener *listener = listening->first; listener != NULL; listener = listener->next) {
        usdt_listener_t function = listener->function;
        if (function != NULL)
            function(listener->context, listening->def, declared, argv);
    }
    leave(cell);
}

/* Apart, because it is rare, and wants a large frame. */
#if defined(__GNUC__)
__attribute__((noinline))
#endif
static void call_padded(const struct usdt_listening *listening, size_t declared, size_t argc, void **argv)
{
    void *padded[USDT_ARG_MAX] = { NULL };
    for (size_t i = 0; i < argc; i++)
        padded[i] = argv[i];
    call_all(listening, declared, padded);
}

void usdt_listeners_call(const struct usdt_listening *listening, size_t declared, size_t argc, void **argv)
{
    if (listening == NULL)
        return; /* it is the first, and not there yet */
    if (argc < declared)
        call_padded(listening, declared, argc, argv);
    else
        call_all(listening, declared, argv);
}

/* The link to it, or the last link. */
static struct usdt_listener *_Atomic *find(struct usdt_listening *listening, usdt_listener_t function,
                                           const void *context)
{
    struct usdt_listener *_Atomic *link = &listening->first;
    for (struct usdt_listener *at; (at = *link) != NULL; link = &at->next)
        if (at->function == function && at->context == context)
            break;
    return link;
}

static void free_gone(struct usdt_listener *gone)
{
    for (struct usdt_listener *next; gone != NULL; gone = next) {
        next = gone->gone;
        free(gone);
    }
}

static bool is_called(const struct usdt_listening *listening)
{
    for (size_t i = 0; i < CELLS; i++)
        if (cells[i].in == listening)
            return true;
    return false;
}

usdt_error_t usdt_listeners_add(struct usdt_own_probe *probe, usdt_probedef_t *def, usdt_listener_t function,
                                void *context)
{
    struct usdt_listening *listening = probe->listening;
    if (listening == NULL) {
        if ((listening = calloc(1, sizeof *listening)) == NULL)
            return USDT_ERROR_MALLOC;
        listening->def = def;
        probe->listening = listening;
        is_used = true;
    }
    struct usdt_listener *_Atomic *link = find(listening, function, context);
    if (*link != NULL)
        return USDT_ERROR_INVALID;
    if (!is_called(listening)) { /* of those that removed themselves */
        free_gone(listening->gone);
        listening->gone = NULL;
    }
    struct usdt_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return USDT_ERROR_MALLOC;
    listener->function = function;
    listener->context = context;
    bool is_first = listening->first == NULL;
    *link = listener;
    if (is_first)
        usdt_probe_listened(probe);
    return USDT_ERROR_NONE;
}

bool usdt_listeners_remove(struct usdt_own_probe *probe, usdt_listener_t function, void *context)
{
    struct usdt_listening *listening = probe->listening;
    if (listening == NULL)
        return false;
    struct usdt_listener *_Atomic *link = find(listening, function, context);
    struct usdt_listener *listener = *link;
    if (listener == NULL)
        return false;
    listener->function = (usdt_listener_t)0;
    *link = listener->next;
    listener->gone = listening->gone;
    listening->gone = listener;
    if (listening->first == NULL)
        usdt_probe_unlistened(probe);
    return true;
}

static bool in_listener(void)
{
    uintptr_t self = this_thread();
    for (size_t i = 0; i < CELLS; i++)
        if (cells[i].thread == self)
            return true;
    return false;
}

struct usdt_listener *usdt_listeners_gone(struct usdt_own_probe *probe)
{
    if (probe->listening == NULL || in_listener())
        return NULL;
    struct usdt_listener *gone = probe->listening->gone;
    probe->listening->gone = NULL;
    return gone;
}

void usdt_listeners_wait(struct usdt_own_probe *probe, struct usdt_listener *gone)
{
    if (gone == NULL)
        return;
    for (size_t i = 0; i < CELLS; i++) {
        unsigned turn = cells[i].turn;
        while (cells[i].in == probe->listening && cells[i].turn == turn)
            sched_yield();
    }
    free_gone(gone);
}

void usdt_listeners_free(struct usdt_own_probe *probe)
{
    struct usdt_listening *listening = probe->listening;
    if (listening == NULL)
        return;
    for (struct usdt_listener *at; (at = listening->first) != NULL; free(at))
        listening->first = at->next;
    free_gone(listening->gone);
    free(listening);
}

/* The threads that were in a listener are not here. */
void usdt_listeners_forked(void)
{
    uintptr_t self = this_thread();
    for (size_t i = 0; is_used && i < CELLS; i++)
        if (cells[i].in != NULL && cells[i].thread != self)
            leave(&cells[i]);
}
