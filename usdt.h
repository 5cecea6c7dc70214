/*
 * usdt.h - USDT probes made at run time.
 *
 * The one public header of libusdt. A program describes a provider and its probes, publishes them
 * with usdt_provider_enable(), and fires them; DTrace, bpftrace, bcc, perf, SystemTap, gdb and
 * ftrace can then trace them. Source-compatible with libusdt 1.x.
 *
 *     usdt_provider_t *p = usdt_create_provider("myapp", "main");
 *     const char *types[] = { "int", "char *" };
 *     usdt_probedef_t *d = usdt_create_probe("request", "start", 2, types);
 *     usdt_provider_add_probe(p, d);
 *     usdt_provider_enable(p);
 *     USDT_PROBE(d->probe, request_id, path);
 *
 * Contracts that hold for every declaration here, unless it says otherwise. (SECURITY.md says what the
 * library does to the system, and what others can do to it.)
 *
 * Listeners. usdt_probe_listen() lets the program itself hear the hits of a probe, on any system, without a
 * tracer. What is said below of a tracer that watches a probe is true of a listener, too.
 *
 * Threads. usdt_is_enabled(), USDT_PROBE(), usdt_fire_probe() and usdt_probedef_probe() take no lock,
 * make no system call and may run in any thread at any time, also while another thread enables,
 * disables or changes the provider, or listens. (What a listener does is its own matter.) A thread that
 * does so while others enable and disable keeps the pointer of usdt_probedef_probe(): the member `probe` of
 * a definition changes then. All other functions take one lock of the library's own and may be called from
 * any thread; they are no cancellation points. What an object's reference protects is said at
 * usdt_probe_release(). An error message belongs to its provider, not to a thread: threads that use one
 * provider at once may see each other's.
 *
 * Signals. Only those four functions and usdt_version() are async-signal-safe; a handler may call them
 * also where it interrupts the library. The library installs no handler and blocks no signal (but on macOS on
 * arm64, while it writes stubs).
 *
 * Processes. After fork() parent and child have the same providers, definitions and probes, live or
 * not; a tracer of the probes sees both; each may then change its own, which the other does not
 * notice. fork() is safe from any thread, and from a handler that interrupts the library; but such a
 * child may check and fire, no more, if several threads use the library, as may a child of vfork() or
 * of the bare system call clone(). After exec() nothing of the library's is left but a file (see below).
 *
 * Files and descriptors. On Linux an enabled provider has a file for each usdt_provider_enable() that
 * found new probes, shared with all processes of the same user and the same definitions (and in one process by
 * providers that are the same, unless DTrace is there, which wants a file for each; of probes whose provider, module,
 * function and name are the same it shows the first of a process). The last user removes it, at
 * usdt_provider_disable() or at exit(). What a process leaves that ends otherwise (_exit(), a signal, exec()) the
 * first usdt_provider_enable() of another one removes. No descriptor is open between calls, but where the probes are
 * in a memfd, or the file is on overlayfs: then one for each file, close-on-exec, never 0, 1 or 2. A program that
 * closes it, or all, does no harm to itself.
 *
 * Memory. No page is ever both writable and executable for a thread. Address ranges of published probes are used
 * again, never unmapped: a program has as many as it had images at one time.
 *
 * Errors. A function fails in one way: it returns -1 or NULL, and leaves a message and a code,
 * which usdt_errstr() and usdt_provider_errno() return. No function ends the program, prints, or
 * raises a signal. What failed may be tried again; nothing is half done.
 */
#ifndef USDT_H
#define USDT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header; usdt_version() returns that of the library in use. */
#define USDT_VERSION_MAJOR 2
#define USDT_VERSION_MINOR 0
#define USDT_VERSION_PATCH 0
#define USDT_VERSION "2.0.0"

#if defined(__GNUC__)
#define USDT_API __attribute__((visibility("default")))
#define USDT_LIKELY_(x) __builtin_expect(!!(x), 1)
#define USDT_UNLIKELY_(x) __builtin_expect(!!(x), 0)
#define USDT_NONNULL_ __attribute__((returns_nonnull)) /* the check for NULL goes where the pointer comes from it */
#define USDT_LOAD_(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#else
#define USDT_API
#define USDT_LIKELY_(x) (x)
#define USDT_UNLIKELY_(x) (x)
#define USDT_NONNULL_
#define USDT_LOAD_(p) (*(p))
#endif

/* The kernel and the library change a site while it is read, as one word: not a race to report. */
#if defined(__SANITIZE_THREAD__)
#define USDT_NO_TSAN_ __attribute__((no_sanitize_thread))
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define USDT_NO_TSAN_ __attribute__((no_sanitize("thread")))
#endif
#endif
#ifndef USDT_NO_TSAN_
#define USDT_NO_TSAN_
#endif

/* The inline functions below are also symbols of the library, for callers that cannot include a
   header. Only usdt_probe.c defines this macro. */
#ifndef USDT_INLINE
#define USDT_INLINE static inline
#endif

/* The most arguments a probe has. A tracer may show fewer: bpftrace and gdb 12, DTrace on Linux 10, on macOS
   on arm64 5 (its kernel reads x0 to x4; arg5 and later are 0 there). */
#define USDT_ARG_MAX 32

typedef enum usdt_error {
    USDT_ERROR_NONE = -1, /* no error so far (since 2.0) */
    USDT_ERROR_MALLOC,    /* no memory */
    USDT_ERROR_VALLOC,    /* no memory for stubs */
    USDT_ERROR_NOPROBES,
    USDT_ERROR_LOADDOF, /* the DTrace helper refused the probes */
    USDT_ERROR_ALREADYENABLED,
    USDT_ERROR_UNLOADDOF,
    USDT_ERROR_DUP_PROBE,
    USDT_ERROR_REMOVE_PROBE,
    /* since 2.0 */
    USDT_ERROR_INVALID,    /* a name, type or argument breaks a rule; the message names it */
    USDT_ERROR_PUBLISH,    /* the probes could not be handed to any tracer */
    USDT_ERROR_DEGRADED,   /* enabled, but some tracer will not see the probes; the message says which */
    USDT_ERROR_UNSUPPORTED /* no tracing on this system or processor */
} usdt_error_t;

/*
 * A published probe: what is checked and fired. Owned by its usdt_probedef_t; the memory stays
 * valid, and both addresses callable, until both references to that definition are gone (see
 * usdt_probe_release()), whether the provider is enabled or not.
 */
typedef struct usdt_probe {
    /* Returns 1 while a tracer watches the probe, else 0; asks the tracer where it has a say
       (DTrace's is-enabled probes). usdt_is_enabled() is much cheaper. */
    int (*isenabled_addr)(void);
    /* The stub: a C function of the probe's arguments, each as wide as a pointer. Listeners do not hear who calls it:
       see usdt_probe_listen(). */
    void *probe_addr;
    /* The instruction that a tracer overwrites (since 2.0). A JIT compiler may inline the enabled
       check: the probe is traced if *site != pristine. Aligned to 4. Changes only while the
       probe is being published or removed, and to a word that differs while somebody listens.
       Code may have the values of `site`, `pristine` and `probe_addr` in it: those that they have
       after usdt_provider_enable(), while nobody listens, may be read and called as long as the
       definition is in the provider, disabled or not. (Hits by such code are not heard by listeners.) */
    const volatile uint32_t *site;
    uint32_t pristine;
    /* As declared: so many arguments are passed at least. Above USDT_ARG_MAX while somebody listens; that of
       the definition stays (since 2.0). */
    uint32_t argc;
    /* See usdt_provider_use_semaphores(). Never NULL; points to 0 where there is none, and changes as `site`
       does (since 2.0). */
    const volatile uint16_t *semaphore;
} usdt_probe_t;

/* The definition of a probe. Members are for reading. */
typedef struct usdt_probedef {
    const char *name;
    const char *function;
    size_t argc;
    char **types;        /* argc of them, as given, then NULL (until 2.0 an array of USDT_ARG_MAX) */
    usdt_probe_t *probe; /* NULL unless the provider is enabled and holds the probe */
    struct usdt_probedef *next;
    int refcnt;
    unsigned slot; /* internal */
} usdt_probedef_t;

/* A provider. Members are for reading. */
typedef struct usdt_provider {
    const char *name;
    const char *module;
    usdt_probedef_t *probedefs; /* in the order they were added */
    char *error;                /* the message of usdt_errstr(), or NULL */
    int enabled;
    void *file; /* NULL: not used since 2.0 */
} usdt_provider_t;

/*
 * Makes a provider; both strings are copied. NULL on failure: usdt_errstr(NULL) says why.
 *
 * Names (here and in usdt_create_probe) are [A-Za-z_][A-Za-z0-9_.-]*, because every tracer uses
 * ':' to separate them and DTrace drops other names without a word. At most 53 characters for the
 * provider (the kernel appends the process id, limit 63), 63 for the module and the probe, 127 for
 * the function. The provider's must not end in a digit (DTrace takes it for the process id) nor be
 * one of DTrace's own: pid, objc, oneshot. perf accepts neither '-' nor '.'.
 * Limits: DTRACE_PROVNAMELEN, _MODNAMELEN, _FUNCNAMELEN, _NAMELEN of DTrace's <sys/dtrace.h>.
 */
USDT_API usdt_provider_t *usdt_create_provider(const char *name, const char *module);

/*
 * Makes the definition of probe `name` in function `func`, with `argc` arguments of the C types
 * in `types`; everything is copied. The types tell tracers the width and sign of a value ("int",
 * "uint8_t", "char *", "const struct foo *"); a type the library does not know is taken for an
 * unsigned integer as wide as a pointer, and handed on to DTrace as it is. Floating-point
 * arguments are passed as their bits. argc above USDT_ARG_MAX counts as USDT_ARG_MAX; types may be
 * NULL only if argc is 0; a type is 1 to 127 printable characters (DTRACE_ARGTYPELEN).
 *
 * The caller gets one reference, to be given up with usdt_probe_release().
 * NULL on failure: usdt_errstr(NULL) says why.
 */
USDT_API usdt_probedef_t *usdt_create_probe(const char *func, const char *name, size_t argc,
                                            const char **types);

/*
 * The probe of a definition: never NULL, the same from its creation to its end, and safe to check and
 * fire all the time, whether it is published or not. What a thread should keep that fires while others
 * enable and disable; the member `probe` is the same pointer or NULL, and changes then. For NULL, as for a
 * definition that could not be created, a probe that is never enabled. Since 2.0.
 */
USDT_API USDT_NONNULL_ usdt_probe_t *usdt_probedef_probe(usdt_probedef_t *probedef);

/*
 * Gives up the caller's reference. The provider that holds the probe has one of its own, given up
 * by usdt_provider_free() or usdt_provider_remove_probe(); the definition and its usdt_probe_t
 * go when both are gone, in either order, and whether the provider is enabled or not: a probe
 * that is released at once lives as long as its provider. From then on no thread may check or fire it.
 * NULL is allowed.
 */
USDT_API void usdt_probe_release(usdt_probedef_t *probedef);

/*
 * Adds a probe; constant time. In an enabled provider the new probe becomes visible at the next
 * usdt_provider_enable(), which does not disturb those already there: their tracers miss nothing.
 * A probe that was removed may be added again, to this provider or to another. (It has another
 * address in another provider: a thread that is about to fire it while it moves may reach the old one.)
 * -1 if the provider already has a probe of this function and name, this one or another
 * (USDT_ERROR_DUP_PROBE), or the definition is in another provider (USDT_ERROR_INVALID).
 */
USDT_API int usdt_provider_add_probe(usdt_provider_t *provider, usdt_probedef_t *probedef);

/*
 * Removes a probe; it never fires again, unless it is added again. While the provider stays
 * enabled tracers may go on listing it, until the next disable and enable.
 * -1 if the provider has no probes (USDT_ERROR_NOPROBES) or not this one (USDT_ERROR_REMOVE_PROBE).
 */
USDT_API int usdt_provider_remove_probe(usdt_provider_t *provider, usdt_probedef_t *probedef);

/*
 * Gives each probe that has never been published a semaphore, as compile-time probes have: a count that the kernel
 * keeps in the process's memory, above 0 while a tracer is attached that knows of semaphores (bpftrace and perf were
 * seen to; not DTrace, nor what is written to uprobe_events without it). Linux only. To be called before
 * usdt_provider_enable().
 *
 * Nothing in this library needs it: usdt_is_enabled() sees every tracer, and costs little more. It is for callers that
 * want their checks in few cache lines: semaphores that are published together lie 2 bytes apart, in the order of
 * adding, where sites are 64 bytes apart (doc/performance.md has figures). Of two copies of this library in one process
 * that publish the same provider, one's stay 0. Source: Linux, REF_CTR_OFFSET of uprobe_events, see the file README
 * in tracefs.
 *
 * 0; -1 and USDT_ERROR_UNSUPPORTED where no tracer would set them. Since 2.0.
 */
USDT_API int usdt_provider_use_semaphores(usdt_provider_t *provider);

/*
 * Describes structures that arguments of the provider's probes point to, in C:
 *
 *     usdt_provider_add_type(app, "struct req { int id; const char *path; };");
 *
 * Tracers can show the members then: the text is in the image of the probes, `usdt list` shows it, `usdt how` has it
 * in its programs, and `usdt trace` prints the members of an argument of type "struct req *". Linux only; elsewhere the
 * text is checked, and not used.
 *
 * The text is copied: definitions of struct, union, enum and typedef, with members of arithmetic types (by their names
 * in C and <stdint.h>), enums, pointers, arrays, bit-fields and structures; comments; no preprocessor, no attributes.
 * What it names must be described in it or in one that was added before; pointers may be to what is not. All texts of
 * a provider together have at most 32768 bytes, a NUL behind each. The same text again changes nothing. It is in all
 * images that are published from now on: to be called before usdt_provider_enable(). A probe that is published already
 * shows it from the next usdt_provider_disable() and usdt_provider_enable() on.
 *
 * 0; -1 and USDT_ERROR_INVALID where the text is no such description: the message says what is wrong, and begins
 * with line and column, "description 1:14: ...". Since 2.0.
 */
USDT_API int usdt_provider_add_type(usdt_provider_t *provider, const char *text);

/*
 * What DTrace shows as args[]: args[i] has the type types[i], and is argument map[i] of the probe. So arguments may be
 * in another order than they are passed in, be there twice with two types, or not at all:
 *
 *     const char *types[] = { "struct req *", "int" };
 *     const unsigned char map[] = { 1, 0 };
 *     usdt_probe_translate(start, 2, types, map);
 *
 * Where the order changes, arg0, arg1... of DTrace change with it (seen on Linux, 2.0.7). All else knows the arguments
 * as declared: other tracers, listeners, `usdt` with its commands, and what is fired.
 *
 * Types are as in usdt_create_probe(); of those that are not C's own a D program has the definition. All is copied. A
 * second call replaces the first. It holds wherever the probe is published from now on: to be called before
 * usdt_provider_enable(), or between usdt_provider_disable() and that.
 *
 * 0; -1, nothing changed and a message in usdt_errstr(NULL): more than USDT_ARG_MAX types, one that
 * usdt_create_probe() would refuse, an argument that the probe has not, or NULL (USDT_ERROR_INVALID); this system's
 * DTrace would show another value (USDT_ERROR_UNSUPPORTED: a map other than 0, 1, 2... that names an argument above 9
 * on Linux, 5 on FreeBSD and on macOS on x86, 4 on macOS on arm64); no memory. Since 2.0.
 */
USDT_API int usdt_probe_translate(usdt_probedef_t *probedef, size_t argc, const char *const *types,
                                  const unsigned char *map);

/*
 * Code of the program's own, in which the probe is hit too, beside its stub: for compilers, whose values are not where
 * a call of C has them. It is run as it is wherever it is called or jumped to, traced or not.
 */
enum { USDT_CODE_MAX = 65536 };
typedef struct usdt_code {
    const void *bytes; /* position independent: it runs from a copy, which is 64-byte aligned, and only read */
    size_t size;       /* 1 to USDT_CODE_MAX */
    size_t site;       /* offset of the instruction that tracers overwrite: a nop, 0x90 on x86, 0xd503201f on arm64 */
    /* For each argument of the probe the place where it is at the site, as wide as a register: one of the general
       registers, or memory at one. On x86_64 "%rbx", "-8(%rbp)"; on i386 "%ebx", "-4(%ebp)"; on arm64 "x19",
       "[x29, -8]". Of memory, the first bytes are read that the argument's type has. NULL: they are where a call in C
       has them when the callee has taken its return address off the stack. */
    const char *const *operands;
} usdt_code_t;

/*
 * Gives a probe such code, a copy of it, before it is first published. It becomes a second place of the same probe: who
 * traces the probe traces both. Compiled code checks `site` and `pristine` of the probe (see usdt_probe_t), and calls
 * usdt_probedef_code(), which is in the image, where tracers look; the stub goes on to be what usdt_fire_probe() calls.
 * Listeners do not hear who calls the code. A second call replaces the first.
 *
 * DTrace takes arguments only from where a call has them: with `operands` it does not see the code. (On systems other
 * than Linux an image with such code keeps its addresses for itself when it is gone.)
 *
 * 0; -1 and a message in usdt_errstr(NULL), nothing changed: no nop at the site, an operand that is none,
 * a size, or NULL (USDT_ERROR_INVALID); the probe has been published (USDT_ERROR_INVALID); `operands` where DTrace is
 * the only tracer (USDT_ERROR_INVALID); no memory; no tracing here (USDT_ERROR_UNSUPPORTED). Since 2.0.
 */
USDT_API int usdt_probe_use_code(usdt_probedef_t *probedef, const usdt_code_t *code);

/* Where that code is: from the first usdt_provider_enable() on, as long as the definition is in the provider. NULL
   before, and where the probe has none. Since 2.0. */
USDT_API const void *usdt_probedef_code(usdt_probedef_t *probedef);

/*
 * Makes an instruction of code that is there already the place of a probe, instead of a stub: for DTrace alone, which
 * is told of an address where others read a file that the library wrote. `site` is a nop (see usdt_code_t), on Linux in
 * a file that is mapped executable, and stays there as long as the provider is enabled. The arguments are where a call
 * has them. It is hit whenever it is run; usdt_fire_probe() does nothing, and isenabled_addr returns 0, while
 * usdt_is_enabled() and `site` tell what they always do. Before the probe is first published.
 *
 * Where there is no DTrace usdt_provider_enable() says so, USDT_ERROR_DEGRADED.
 *
 * 0; -1 and a message in usdt_errstr(NULL), nothing changed: no nop there, no file (on Linux), or the
 * probe has been published (USDT_ERROR_INVALID); no memory; no tracing here (USDT_ERROR_UNSUPPORTED). Since 2.0.
 */
USDT_API int usdt_probe_use_site(usdt_probedef_t *probedef, const void *site);

/* What of a provider has stability attributes: itself, and the module, the function, the name and the arguments of
   its probes. Since 2.0. */
enum usdt_attributed { USDT_OF_PROVIDER, USDT_OF_MODULE, USDT_OF_FUNCTION, USDT_OF_NAME, USDT_OF_ARGUMENTS };

/* DTrace's terms, and its numbers (DTRACE_STABILITY_*, DTRACE_CLASS_* of <sys/dtrace.h>). Since 2.0. */
enum usdt_stability {
    USDT_STABILITY_INTERNAL,
    USDT_STABILITY_PRIVATE,
    USDT_STABILITY_OBSOLETE,
    USDT_STABILITY_EXTERNAL,
    USDT_STABILITY_UNSTABLE,
    USDT_STABILITY_EVOLVING,
    USDT_STABILITY_STABLE,
    USDT_STABILITY_STANDARD
};
enum usdt_dependency {
    USDT_DEPENDENCY_UNKNOWN,
    USDT_DEPENDENCY_CPU,
    USDT_DEPENDENCY_PLATFORM,
    USDT_DEPENDENCY_GROUP,
    USDT_DEPENDENCY_ISA,
    USDT_DEPENDENCY_COMMON
};

/*
 * Says how stable something of the provider is, to users of DTrace: the stability of its name, that of its data, and
 * what it depends on. DTrace for Linux (2.0.7) does not use it: dtrace -lv says Private, whatever is set.
 * Unless it is set, module and function are Private/Private/Unknown, all else Evolving/Evolving/Common. To be called
 * before usdt_provider_enable(), as usdt_probe_translate().
 *
 * 0; -1 and USDT_ERROR_INVALID if a value is none of those above. Since 2.0.
 */
USDT_API int usdt_provider_set_stability(usdt_provider_t *provider, enum usdt_attributed of, enum usdt_stability name,
                                         enum usdt_stability data, enum usdt_dependency dependency);

/*
 * Publishes every probe that is not published yet, and sets `probe` in each definition.
 *
 * Where DTrace's helper came up only after the probes were published (on Linux, its daemon dtprobed),
 * the next call tells it of them; until then dtrace finds them by `-p PID` and `$target` only.
 *
 * 0 on success, also when there was nothing to do (the message then is "provider is already
 * enabled") and when only some tracers can see the probes (USDT_ERROR_DEGRADED, and why).
 * -1 and nothing changed: no probes (USDT_ERROR_NOPROBES), no memory, or no way to hand them to a
 * tracer (USDT_ERROR_PUBLISH, USDT_ERROR_LOADDOF, USDT_ERROR_UNSUPPORTED). The program may go on:
 * checking and firing a probe that is not published does nothing.
 */
USDT_API int usdt_provider_enable(usdt_provider_t *provider);

/*
 * Withdraws the probes from all tracers; sets `probe` to NULL in each definition. Threads that are
 * firing at this moment finish safely, and a usdt_probe_t kept from before stays valid: it is
 * not enabled, and lives again after the next enable. 0, also when not enabled; -1 if the DTrace helper
 * refused (USDT_ERROR_UNLOADDOF): the probes are inert all the same.
 */
USDT_API int usdt_provider_disable(usdt_provider_t *provider);

/* Disables and frees a provider, and gives up its reference to each of its probes: definitions that the
   caller still holds stay valid, inert, and may be added to another provider. NULL is allowed. */
USDT_API void usdt_provider_free(usdt_provider_t *provider);

/*
 * Fires a probe, without asking whether it is traced. argv holds argc values as wide as a pointer;
 * argc may differ from the number declared: missing values are 0, those past USDT_ARG_MAX are
 * dropped. A NULL probe does nothing; argv may be NULL if argc is 0.
 */
USDT_API void usdt_fire_probe(usdt_probe_t *probe, size_t argc, void **argv);

/*
 * A function that hears the hits of a probe: with the context of usdt_probe_listen(), and as many arguments as were
 * declared, each as wide as a pointer (missing values are 0); argv is there during the call only. It runs in the
 * thread that fires, which may be in a signal handler, after tracers have seen the hit, and must return (no
 * longjmp(), no exception, no end of the thread). It may call all of this library but give up the last reference to
 * its probe. If it fires the probe it listens to, it hears that, too. Since 2.0.
 */
typedef void (*usdt_listener_t)(void *context, usdt_probedef_t *probedef, size_t argc, void *const *argv);

/*
 * Has `function` called at each hit, from now on: wherever the probe is fired by usdt_fire_probe() or USDT_PROBE(),
 * whether its provider is enabled or not, on every system, also where there is no tracing. Tracers see the same hits.
 * Several may listen to a probe, and are called in the order in which they came.
 *
 * Meanwhile usdt_is_enabled() and isenabled_addr() are 1, *site is not `pristine`, and *semaphore is not 0. The member
 * `probe` of a definition is NULL as always while the provider is not enabled: what fires by it is not heard then, what
 * fires by usdt_probedef_probe() is. Code that calls probe_addr by itself calls usdt_fire_probe() instead if
 * listeners are to hear it. While nobody listens, checking and firing cost what they cost without this function.
 *
 * Of hits that are in listeners at the same time, in all threads and probes, 1024 are heard. A child of fork() has
 * the same listeners. They go with their definition.
 *
 * 0; -1 and a message in usdt_errstr(NULL): no memory (USDT_ERROR_MALLOC); the definition or the function is NULL, or
 * this function listens to the probe with this context already (USDT_ERROR_INVALID). Since 2.0.
 */
USDT_API int usdt_probe_listen(usdt_probedef_t *probedef, usdt_listener_t function, void *context);

/*
 * Ends that. When it returns no other thread is in the function for this probe, nor will it be called again: the
 * context may be freed. So it waits for those that are (hold no lock that they want), unless it is called by a
 * listener, of any probe: then only the thread itself will not call it again, and the next call of this for the same
 * probe, by no listener, waits for all who were removed before.
 *
 * 0; -1 and USDT_ERROR_INVALID, a message in usdt_errstr(NULL), if there is none such. Since 2.0.
 */
USDT_API int usdt_probe_unlisten(usdt_probedef_t *probedef, usdt_listener_t function, void *context);

/* Sets the provider's error and its message, formatted from `error` and what follows (see usdt.c).
   For bindings that share the provider's error channel; the library calls it for its own. */
USDT_API void usdt_error(usdt_provider_t *provider, usdt_error_t error, ...);

/*
 * The message of the last error or notice of this provider; "" when there was none. Owned by the
 * provider and overwritten by its next one. With NULL: that of the last usdt_create_provider(),
 * usdt_create_probe(), usdt_probe_listen(), usdt_probe_unlisten(), usdt_probe_translate(), usdt_probe_use_code(),
 * usdt_probe_use_site() or call with a NULL provider that failed in the calling thread.
 */
USDT_API char *usdt_errstr(usdt_provider_t *provider);

/* The code that belongs to usdt_errstr(), USDT_ERROR_NONE when there was none. Since 2.0. */
USDT_API usdt_error_t usdt_provider_errno(usdt_provider_t *provider);

/* The version of the library, as "2.0.0". Static. Since 2.0. */
USDT_API const char *usdt_version(void);

/*
 * 1 while a tracer watches the probe, else 0. Every tracer works by overwriting the instruction at the
 * probe's site, so the site is its own flag: what this costs is to compare four bytes. 0 for NULL.
 */
#ifdef USDT_EXPORT_INLINE_
USDT_API int usdt_is_enabled(usdt_probe_t *probe);
#endif
USDT_INLINE USDT_NO_TSAN_ int usdt_is_enabled(usdt_probe_t *probe)
{
    return USDT_UNLIKELY_(USDT_LIKELY_(probe != NULL) && *USDT_LOAD_(&probe->site) != probe->pristine) ? 1 : 0;
}

/*
 * USDT_PROBE(probe, ...): fires `probe` (a usdt_probe_t *, or NULL) with 0 to 32 arguments,
 * integers and pointers, if a tracer watches it; otherwise the arguments are not evaluated. Integers are
 * converted to the width of a pointer. Since 2.0.
 */
#define USDT_PROBE(...) USDT_PROBE_(USDT_COUNT_(__VA_ARGS__), __VA_ARGS__)

#define USDT_PROBE_(n, ...) USDT_PROBE__(n, __VA_ARGS__)
#define USDT_PROBE__(n, ...)                                                  \
    do {                                                                      \
        usdt_probe_t *usdt_probe_ = USDT_FIRST_(__VA_ARGS__, ~);              \
        if (USDT_UNLIKELY_(usdt_is_enabled(usdt_probe_))) {                   \
            void *usdt_argv_[] = { USDT_ARGS_##n(__VA_ARGS__) (void *)NULL }; \
            usdt_fire_probe(usdt_probe_, n, usdt_argv_);                      \
        }                                                                     \
    } while (0)

#define USDT_FIRST_(first, ...) first
#define USDT_VALUE_(x) (void *)(uintptr_t)(x)

#define USDT_COUNT_(...) \
    USDT_PICK_(__VA_ARGS__, \
               too_many, too_many, too_many, too_many, too_many, too_many, too_many, 32, 31, 30, 29, \
               28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, \
               6, 5, 4, 3, 2, 1, 0, ~)
#define USDT_PICK_( \
    a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, \
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, \
    a36, a37, a38, a39, n, ...) n
/* USDT_ARGS_n: the n values after the probe; USDT_MORE_n: the last n of them. */
#define USDT_ARGS_0(p)
#define USDT_ARGS_1(p, ...) USDT_MORE_1(__VA_ARGS__)
#define USDT_ARGS_2(p, ...) USDT_MORE_2(__VA_ARGS__)
#define USDT_ARGS_3(p, ...) USDT_MORE_3(__VA_ARGS__)
#define USDT_ARGS_4(p, ...) USDT_MORE_4(__VA_ARGS__)
#define USDT_ARGS_5(p, ...) USDT_MORE_5(__VA_ARGS__)
#define USDT_ARGS_6(p, ...) USDT_MORE_6(__VA_ARGS__)
#define USDT_ARGS_7(p, ...) USDT_MORE_7(__VA_ARGS__)
#define USDT_ARGS_8(p, ...) USDT_MORE_8(__VA_ARGS__)
#define USDT_ARGS_9(p, ...) USDT_MORE_9(__VA_ARGS__)
#define USDT_ARGS_10(p, ...) USDT_MORE_10(__VA_ARGS__)
#define USDT_ARGS_11(p, ...) USDT_MORE_11(__VA_ARGS__)
#define USDT_ARGS_12(p, ...) USDT_MORE_12(__VA_ARGS__)
#define USDT_ARGS_13(p, ...) USDT_MORE_13(__VA_ARGS__)
#define USDT_ARGS_14(p, ...) USDT_MORE_14(__VA_ARGS__)
#define USDT_ARGS_15(p, ...) USDT_MORE_15(__VA_ARGS__)
#define USDT_ARGS_16(p, ...) USDT_MORE_16(__VA_ARGS__)
#define USDT_ARGS_17(p, ...) USDT_MORE_17(__VA_ARGS__)
#define USDT_ARGS_18(p, ...) USDT_MORE_18(__VA_ARGS__)
#define USDT_ARGS_19(p, ...) USDT_MORE_19(__VA_ARGS__)
#define USDT_ARGS_20(p, ...) USDT_MORE_20(__VA_ARGS__)
#define USDT_ARGS_21(p, ...) USDT_MORE_21(__VA_ARGS__)
#define USDT_ARGS_22(p, ...) USDT_MORE_22(__VA_ARGS__)
#define USDT_ARGS_23(p, ...) USDT_MORE_23(__VA_ARGS__)
#define USDT_ARGS_24(p, ...) USDT_MORE_24(__VA_ARGS__)
#define USDT_ARGS_25(p, ...) USDT_MORE_25(__VA_ARGS__)
#define USDT_ARGS_26(p, ...) USDT_MORE_26(__VA_ARGS__)
#define USDT_ARGS_27(p, ...) USDT_MORE_27(__VA_ARGS__)
#define USDT_ARGS_28(p, ...) USDT_MORE_28(__VA_ARGS__)
#define USDT_ARGS_29(p, ...) USDT_MORE_29(__VA_ARGS__)
#define USDT_ARGS_30(p, ...) USDT_MORE_30(__VA_ARGS__)
#define USDT_ARGS_31(p, ...) USDT_MORE_31(__VA_ARGS__)
#define USDT_ARGS_32(p, ...) USDT_MORE_32(__VA_ARGS__)
#define USDT_MORE_1(a) USDT_VALUE_(a),
#define USDT_MORE_2(a, ...) USDT_VALUE_(a), USDT_MORE_1(__VA_ARGS__)
#define USDT_MORE_3(a, ...) USDT_VALUE_(a), USDT_MORE_2(__VA_ARGS__)
#define USDT_MORE_4(a, ...) USDT_VALUE_(a), USDT_MORE_3(__VA_ARGS__)
#define USDT_MORE_5(a, ...) USDT_VALUE_(a), USDT_MORE_4(__VA_ARGS__)
#define USDT_MORE_6(a, ...) USDT_VALUE_(a), USDT_MORE_5(__VA_ARGS__)
#define USDT_MORE_7(a, ...) USDT_VALUE_(a), USDT_MORE_6(__VA_ARGS__)
#define USDT_MORE_8(a, ...) USDT_VALUE_(a), USDT_MORE_7(__VA_ARGS__)
#define USDT_MORE_9(a, ...) USDT_VALUE_(a), USDT_MORE_8(__VA_ARGS__)
#define USDT_MORE_10(a, ...) USDT_VALUE_(a), USDT_MORE_9(__VA_ARGS__)
#define USDT_MORE_11(a, ...) USDT_VALUE_(a), USDT_MORE_10(__VA_ARGS__)
#define USDT_MORE_12(a, ...) USDT_VALUE_(a), USDT_MORE_11(__VA_ARGS__)
#define USDT_MORE_13(a, ...) USDT_VALUE_(a), USDT_MORE_12(__VA_ARGS__)
#define USDT_MORE_14(a, ...) USDT_VALUE_(a), USDT_MORE_13(__VA_ARGS__)
#define USDT_MORE_15(a, ...) USDT_VALUE_(a), USDT_MORE_14(__VA_ARGS__)
#define USDT_MORE_16(a, ...) USDT_VALUE_(a), USDT_MORE_15(__VA_ARGS__)
#define USDT_MORE_17(a, ...) USDT_VALUE_(a), USDT_MORE_16(__VA_ARGS__)
#define USDT_MORE_18(a, ...) USDT_VALUE_(a), USDT_MORE_17(__VA_ARGS__)
#define USDT_MORE_19(a, ...) USDT_VALUE_(a), USDT_MORE_18(__VA_ARGS__)
#define USDT_MORE_20(a, ...) USDT_VALUE_(a), USDT_MORE_19(__VA_ARGS__)
#define USDT_MORE_21(a, ...) USDT_VALUE_(a), USDT_MORE_20(__VA_ARGS__)
#define USDT_MORE_22(a, ...) USDT_VALUE_(a), USDT_MORE_21(__VA_ARGS__)
#define USDT_MORE_23(a, ...) USDT_VALUE_(a), USDT_MORE_22(__VA_ARGS__)
#define USDT_MORE_24(a, ...) USDT_VALUE_(a), USDT_MORE_23(__VA_ARGS__)
#define USDT_MORE_25(a, ...) USDT_VALUE_(a), USDT_MORE_24(__VA_ARGS__)
#define USDT_MORE_26(a, ...) USDT_VALUE_(a), USDT_MORE_25(__VA_ARGS__)
#define USDT_MORE_27(a, ...) USDT_VALUE_(a), USDT_MORE_26(__VA_ARGS__)
#define USDT_MORE_28(a, ...) USDT_VALUE_(a), USDT_MORE_27(__VA_ARGS__)
#define USDT_MORE_29(a, ...) USDT_VALUE_(a), USDT_MORE_28(__VA_ARGS__)
#define USDT_MORE_30(a, ...) USDT_VALUE_(a), USDT_MORE_29(__VA_ARGS__)
#define USDT_MORE_31(a, ...) USDT_VALUE_(a), USDT_MORE_30(__VA_ARGS__)
#define USDT_MORE_32(a, ...) USDT_VALUE_(a), USDT_MORE_31(__VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
