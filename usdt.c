/*
 * usdt.c - the API: providers and their probes.
 *
 * Owns definitions, their references, the errors, and the decision what is published when. Knows
 * nothing of stubs, documents or files: an image (usdt_image.c) is told which probes it has.
 *
 * A definition has a slot in at most one image. It gets one when it is first published and keeps it
 * until it is freed, goes to another provider, or its image is published anew without it.
 */
#include "usdt_internal.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probedef {
    union { /* first: the public pointer is ours */
        usdt_probedef_t pub;
        struct usdt_own_def own;
    };
    struct usdt_own_probe probe; /* pub.probe while published */
    struct provider *provider;
    struct probedef *prev;  /* in the provider's list */
    struct probedef *chain; /* in its hash table */
    struct usdt_image *image; /* of pub.slot, or NULL */
    char *types[];          /* pub.types; the strings follow */
};

struct provider {
    usdt_provider_t pub; /* first */
    struct probedef *last;
    struct probedef **buckets; /* by function and name; a power of two of them, at least `count` */
    size_t bucket_count, count;
    bool semaphores;
    struct usdt_buf types; /* descriptions, a NUL behind each */
    struct usdt_attributes attributes[USDT_ATTRIBUTED];
    usdt_error_t code;
    char message[USDT_WHY_MAX];
    char strings[];
};

static struct probedef *def_of(usdt_probedef_t *def)
{
    return (struct probedef *)def;
}

static struct provider *provider_of(usdt_provider_t *provider)
{
    return (struct provider *)provider;
}

/* ---- the lock, fork and exit ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int cancel_state; /* of the thread that holds the lock */
/* This thread holds it, is about to or just did: what a signal handler that interrupts it must know. */
static _Thread_local volatile bool inside;

/* A thread that were cancelled in here would take the lock with it. */
static void take_lock(void)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    inside = true;
    pthread_mutex_lock(&lock);
    cancel_state = state;
}

static void drop_lock(void)
{
    int state = cancel_state;
    pthread_mutex_unlock(&lock);
    inside = false;
    pthread_setcancelstate(state, &state);
}

/* A signal handler that interrupted us may fork, to report a crash: then the call goes on in both. (If it
   was waiting for another thread it waits for ever in the child, which by POSIX may do no such call.) */
static _Thread_local volatile unsigned skipped; /* forks under way that found us inside */

static void before_fork(void)
{
    if (inside)
        skipped++;
    else
        take_lock();
}

static void after_fork(void)
{
    if (skipped > 0)
        skipped--;
    else
        drop_lock();
}

static void in_child(void)
{
    if (skipped == 0)
        usdt_images_forked();
    usdt_listeners_forked();
    after_fork();
}

static void at_forks(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

static void watch_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, at_forks);
}

#if defined(__GNUC__)
/* A program that ends normally leaves no file behind. It may end inside the library, from a signal
   handler or while another thread is there: then the next one sweeps. */
__attribute__((destructor)) static void at_exit(void)
{
    if (inside)
        return;
    inside = true;
    if (pthread_mutex_trylock(&lock) == 0) {
        usdt_images_exit();
        pthread_mutex_unlock(&lock);
    }
    inside = false;
}
#endif

/* ---- errors ---- */

/* What create_* could not say otherwise. */
static _Thread_local usdt_error_t thread_error = USDT_ERROR_NONE;
static _Thread_local char thread_message[USDT_WHY_MAX];

static const char *const formats[] = {
    [USDT_ERROR_MALLOC] = "failed to allocate memory",
    [USDT_ERROR_VALLOC] = "failed to allocate page-aligned memory",
    [USDT_ERROR_NOPROBES] = "no probes defined",
    [USDT_ERROR_LOADDOF] = "failed to load DOF: %s",
    [USDT_ERROR_ALREADYENABLED] = "provider is already enabled",
    [USDT_ERROR_UNLOADDOF] = "failed to unload DOF: %s",
    [USDT_ERROR_DUP_PROBE] = "probe named %s:%s:%s:%s already exists",
    [USDT_ERROR_REMOVE_PROBE] = "failed to remove probe %s:%s:%s:%s",
    [USDT_ERROR_INVALID] = "%s",
    [USDT_ERROR_PUBLISH] = "%s",
    [USDT_ERROR_DEGRADED] = "%s",
    [USDT_ERROR_UNSUPPORTED] = "no tracing support for %s",
};

void usdt_error(usdt_provider_t *provider, usdt_error_t error, ...)
{
    char *message = provider != NULL ? provider_of(provider)->message : thread_message;
    char text[USDT_WHY_MAX] = ""; /* an argument may be the message of before */
    va_list args;
    va_start(args, error);
    if (error >= 0 && (size_t)error < sizeof formats / sizeof formats[0])
        vsnprintf(text, sizeof text, formats[error], args);
    else if (error != USDT_ERROR_NONE)
        snprintf(text, sizeof text, "unknown error %d", (int)error);
    va_end(args);
    strcpy(message, text);
    if (provider != NULL) {
        provider_of(provider)->code = error;
        provider->error = message;
    } else {
        thread_error = error;
    }
}

static int fail(struct provider *provider, usdt_error_t error, const char *what)
{
    usdt_error(&provider->pub, error, what);
    return -1;
}

static const char no_probe[] = "probe is NULL; look at what usdt_create_probe() returned";

static int no_provider(void)
{
    usdt_error(NULL, USDT_ERROR_INVALID, "provider is NULL; look at what usdt_create_provider() returned");
    return -1;
}

static int fail_probe(struct provider *provider, usdt_error_t error, const struct probedef *def)
{
    usdt_error(&provider->pub, error, provider->pub.name, provider->pub.module, def->pub.function,
               def->pub.name);
    return -1;
}

char *usdt_errstr(usdt_provider_t *provider)
{
    return provider != NULL ? provider_of(provider)->message : thread_message;
}

usdt_error_t usdt_provider_errno(usdt_provider_t *provider)
{
    return provider != NULL ? provider_of(provider)->code : thread_error;
}

/* ---- definitions ---- */

/* Copies a string to *to, and moves *to behind it. */
static char *copy_string(char **to, const char *from)
{
    char *copy = *to;
    size_t size = strlen(from) + 1;
    memcpy(copy, from, size);
    *to += size;
    return copy;
}

usdt_probedef_t *usdt_create_probe(const char *func, const char *name, size_t argc, const char **types)
{
    char why[USDT_WHY_MAX] = "";
    bool good = usdt_check_name(USDT_NAME_FUNCTION, func, why) &&
                usdt_check_name(USDT_NAME_PROBE, name, why);
    if (good && argc > 0 && types == NULL) {
        snprintf(why, sizeof why, "probe \"%s\": types is NULL, but argc is %zu", name, argc);
        good = false;
    }
    if (argc > USDT_ARG_MAX)
        argc = USDT_ARG_MAX;
    for (size_t i = 0; good && i < argc; i++)
        good = usdt_check_type(i, types[i], why);
    if (!good) {
        usdt_error(NULL, USDT_ERROR_INVALID, why);
        return NULL;
    }

    size_t size = sizeof(struct probedef) + (argc + 1) * sizeof(char *) + strlen(func) + 1 + strlen(name) + 1;
    for (size_t i = 0; i < argc; i++)
        size += strlen(types[i]) + 1;
    struct probedef *def = calloc(1, size);
    if (def == NULL) {
        usdt_error(NULL, USDT_ERROR_MALLOC);
        return NULL;
    }
    char *at = (char *)&def->types[argc + 1];
    def->pub.types = def->types;
    def->pub.function = copy_string(&at, func);
    def->pub.name = copy_string(&at, name);
    for (size_t i = 0; i < argc; i++)
        def->pub.types[i] = copy_string(&at, types[i]);
    def->pub.argc = argc;
    def->pub.refcnt = 1;
    const struct usdt_platform *platform = usdt_platform_native();
    usdt_probe_init(&def->probe.pub, platform == NULL ? NULL : platform->stub, argc);
    return &def->pub;
}

usdt_probe_t *usdt_probedef_probe(usdt_probedef_t *probedef)
{
    return probedef == NULL ? usdt_probe_never() : &def_of(probedef)->probe.pub;
}

static void drop_slot(struct probedef *def)
{
    struct usdt_image *image = def->image;
    if (image == NULL)
        return;
    image->defs[def->pub.slot] = NULL;
    def->image = NULL;
    if (--image->owners == 0)
        usdt_image_destroy(image);
}

static void unref(struct probedef *def)
{
    if (--def->pub.refcnt > 0)
        return;
    drop_slot(def);
    usdt_listeners_free(&def->probe);
    free(def->own.translation);
    free(def->own.code);
    free(def);
}

void usdt_probe_release(usdt_probedef_t *probedef)
{
    if (probedef == NULL)
        return;
    take_lock();
    unref(def_of(probedef));
    drop_lock();
}

/* ---- what DTrace is to see ---- */

static struct usdt_translation *make_translation(size_t argc, const char *const *types, const unsigned char *map)
{
    size_t size = sizeof(struct usdt_translation) + argc * sizeof(char *);
    for (size_t i = 0; i < argc; i++)
        size += strlen(types[i]) + 1;
    struct usdt_translation *made = calloc(1, size);
    if (made == NULL)
        return NULL;
    char *at = (char *)&made->types[argc];
    made->argc = argc;
    for (size_t i = 0; i < argc; i++) {
        made->map[i] = map[i];
        made->types[i] = copy_string(&at, types[i]);
    }
    return made;
}

int usdt_probe_translate(usdt_probedef_t *probedef, size_t argc, const char *const *types, const unsigned char *map)
{
    char why[USDT_WHY_MAX];
    if (probedef == NULL) {
        usdt_error(NULL, USDT_ERROR_INVALID, no_probe);
        return -1;
    }
    usdt_error_t error = usdt_check_translation(usdt_platform_native(), probedef, argc, types, map, why);
    struct usdt_translation *made = error == USDT_ERROR_NONE ? make_translation(argc, types, map) : NULL;
    if (made == NULL) {
        usdt_error(NULL, error == USDT_ERROR_NONE ? USDT_ERROR_MALLOC : error, why);
        return -1;
    }
    take_lock();
    struct usdt_translation *before = def_of(probedef)->own.translation;
    def_of(probedef)->own.translation = made;
    drop_lock();
    free(before);
    return 0;
}

/* ---- code of the program's own ---- */

/* The aligned word with the site in it. */
static uintptr_t word_of(uintptr_t site)
{
    return site - site % sizeof(uint32_t);
}

/* Takes `code`, NULL if there is no memory. */
static int set_code(struct probedef *def, const struct usdt_stub *stub, struct usdt_own_code *code)
{
    struct usdt_own_code *before = code;
    take_lock();
    bool is_free = def->image == NULL;
    if (is_free && code != NULL) {
        before = def->own.code;
        def->own.code = code;
        usdt_probe_watch(&def->probe.pub, code->elsewhere != 0 ? (const void *)word_of(code->elsewhere)
                                                               : stub->code + stub->site);
    }
    drop_lock();
    free(before);
    if (code == NULL) {
        usdt_error(NULL, USDT_ERROR_MALLOC);
    } else if (!is_free) {
        char why[USDT_WHY_MAX];
        snprintf(why, sizeof why, "probe %s:%s has been published: give it its code before usdt_provider_enable()",
                 def->pub.function, def->pub.name);
        usdt_error(NULL, USDT_ERROR_INVALID, why);
    }
    return is_free && code != NULL ? 0 : -1;
}

/* What is wrong with code, before its operands are looked at; NULL: nothing. */
static const char *check_code(const struct usdt_platform *platform, const struct usdt_code *code,
                              char why[USDT_WHY_MAX])
{
    size_t nop = usdt_nop_size(platform);
    if (code == NULL || code->bytes == NULL)
        return "code is NULL; it is what the probe is to be hit in";
    if (code->size > USDT_CODE_MAX)
        snprintf(why, USDT_WHY_MAX, "code has %zu bytes, at most %d are allowed", code->size, USDT_CODE_MAX);
    else if (code->size < nop || code->site > code->size - nop)
        snprintf(why, USDT_WHY_MAX, "code has %zu bytes, so its site cannot be at %zu", code->size, code->site);
    else if (nop > 1 && (code->site % nop != 0 || code->size % nop != 0))
        snprintf(why, USDT_WHY_MAX, "code has %zu bytes, and its site at %zu; both are multiples of %zu", code->size,
                 code->site, nop);
    else if (!usdt_is_nop(platform, (const char *)code->bytes + code->site))
        snprintf(why, USDT_WHY_MAX, "code has 0x%02x at %zu, where its site is; a site is a nop, %s",
                 ((const unsigned char *)code->bytes)[code->site], code->site, nop > 1 ? "0xd503201f" : "the byte 0x90");
    else if (code->operands != NULL && platform->elf_machine == 0)
        return "operands are given; DTrace takes arguments only from where a call has them";
    else
        return NULL;
    return why;
}

/* NULL: no memory, or why[] says what is wrong. */
static struct usdt_own_code *make_code(const struct usdt_platform *platform, const usdt_probedef_t *def,
                                       const struct usdt_code *code, char why[USDT_WHY_MAX])
{
    size_t operands = code->operands == NULL ? 0 : def->argc;
    struct usdt_own_code *made = calloc(1, sizeof *made + operands * sizeof *made->operands + alignof(struct usdt_operand) +
                                               code->size);
    if (made == NULL)
        return NULL;
    made->size = code->size;
    made->site = code->site;
    memcpy(made->bytes, code->bytes, code->size);
    if (operands > 0) {
        uintptr_t end = (uintptr_t)(made->bytes + code->size), align = alignof(struct usdt_operand);
        made->operands = (void *)((end + align - 1) & ~(align - 1));
    }
    for (size_t i = 0; i < operands; i++)
        if (!usdt_operand_read(platform, i, code->operands[i], def->types[i], &made->operands[i], why)) {
            free(made);
            return NULL;
        }
    return made;
}

/* The platform, or NULL: no probe, or no tracing here. */
static const struct usdt_platform *platform_for(const usdt_probedef_t *def)
{
    const struct usdt_platform *platform = usdt_platform_native();
    if (def == NULL)
        usdt_error(NULL, USDT_ERROR_INVALID, no_probe);
    else if (platform == NULL)
        usdt_error(NULL, USDT_ERROR_UNSUPPORTED, usdt_platform_name());
    return def == NULL ? NULL : platform;
}

int usdt_probe_use_code(usdt_probedef_t *probedef, const struct usdt_code *code)
{
    char why[USDT_WHY_MAX] = "";
    const struct usdt_platform *platform = platform_for(probedef);
    if (platform == NULL)
        return -1;
    const char *wrong = check_code(platform, code, why);
    struct usdt_own_code *made = wrong == NULL ? make_code(platform, probedef, code, why) : NULL;
    if (wrong == NULL && why[0] != '\0')
        wrong = why;
    if (wrong == NULL)
        return set_code(def_of(probedef), platform->stub, made);
    char all[USDT_WHY_MAX];
    snprintf(all, sizeof all, "probe %.127s:%.63s: %.300s", probedef->function, probedef->name, wrong);
    usdt_error(NULL, USDT_ERROR_INVALID, all);
    return -1;
}

const void *usdt_probedef_code(usdt_probedef_t *probedef)
{
    if (probedef == NULL)
        return NULL;
    take_lock();
    const struct usdt_image *image = def_of(probedef)->image;
    const struct usdt_own_code *code = usdt_code_of(probedef);
    uintptr_t at = image == NULL || code == NULL || code->elsewhere != 0
                       ? 0 : image->stubs + image->slots * image->platform->stub->size + code->at;
    drop_lock();
    return (const void *)at;
}

int usdt_probe_use_site(usdt_probedef_t *probedef, const void *site)
{
    const struct usdt_platform *platform = platform_for(probedef);
    if (platform == NULL)
        return -1;
    size_t nop = usdt_nop_size(platform);
    const char *wrong = site == NULL                      ? "it is NULL"
                        : (uintptr_t)site % nop != 0      ? "it is no multiple of 4"
                        : !usdt_code_is_in_file(site, nop) ? "no file is mapped there, executable"
                        : !usdt_is_nop(platform, site)     ? "there is no nop (0x90; on arm64 0xd503201f)"
                                                           : NULL;
    if (wrong != NULL) {
        char why[USDT_WHY_MAX];
        snprintf(why, sizeof why, "probe %s:%s cannot have its site at %p: %s", probedef->function, probedef->name, site,
                 wrong);
        usdt_error(NULL, USDT_ERROR_INVALID, why);
        return -1;
    }
    struct usdt_own_code *made = calloc(1, sizeof *made);
    if (made != NULL)
        made->elsewhere = (uintptr_t)site;
    return set_code(def_of(probedef), platform->stub, made);
}

static int set_stability(struct provider *provider, unsigned of, unsigned name, unsigned data, unsigned dependency)
{
    const struct {
        const char *what;
        unsigned value, max;
    } given[] = {
        { "what it is of", of, USDT_OF_ARGUMENTS },
        { "stability of the name", name, USDT_STABILITY_STANDARD },
        { "stability of the data", data, USDT_STABILITY_STANDARD },
        { "dependency", dependency, USDT_DEPENDENCY_COMMON },
    };
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        if (given[i].value > given[i].max) {
            char why[USDT_WHY_MAX];
            snprintf(why, sizeof why, "%s is %u, at most %u is allowed; usdt.h has the names", given[i].what,
                     given[i].value, given[i].max);
            return fail(provider, USDT_ERROR_INVALID, why);
        }
    provider->attributes[of] = (struct usdt_attributes){ (uint8_t)name, (uint8_t)data, (uint8_t)dependency };
    return 0;
}

int usdt_provider_set_stability(usdt_provider_t *provider, enum usdt_attributed of, enum usdt_stability name,
                                enum usdt_stability data, enum usdt_dependency dependency)
{
    if (provider == NULL)
        return no_provider();
    take_lock();
    int result = set_stability(provider_of(provider), (unsigned)of, (unsigned)name, (unsigned)data,
                               (unsigned)dependency);
    drop_lock();
    return result;
}

/* ---- listeners ---- */

static int fail_listener(usdt_error_t error, const usdt_probedef_t *def, const char *what)
{
    char why[USDT_WHY_MAX];
    snprintf(why, sizeof why, "probe %s:%s %s", def->function, def->name, what);
    usdt_error(NULL, error, why);
    return -1;
}

int usdt_probe_listen(usdt_probedef_t *probedef, usdt_listener_t function, void *context)
{
    if (probedef == NULL || function == NULL) {
        usdt_error(NULL, USDT_ERROR_INVALID, probedef == NULL ? no_probe : "listener is NULL; it is a function");
        return -1;
    }
    watch_forks();
    take_lock();
    usdt_error_t error = usdt_listeners_add(&def_of(probedef)->probe, probedef, function, context);
    drop_lock();
    return error == USDT_ERROR_NONE ? 0 : fail_listener(error, probedef, "has this listener already");
}

int usdt_probe_unlisten(usdt_probedef_t *probedef, usdt_listener_t function, void *context)
{
    if (probedef == NULL) {
        usdt_error(NULL, USDT_ERROR_INVALID, no_probe);
        return -1;
    }
    struct usdt_own_probe *probe = &def_of(probedef)->probe;
    take_lock();
    bool done = usdt_listeners_remove(probe, function, context);
    struct usdt_listener *gone = usdt_listeners_gone(probe);
    drop_lock();
    usdt_listeners_wait(probe, gone);
    return done ? 0 : fail_listener(USDT_ERROR_INVALID, probedef, "has no such listener");
}

/* ---- a provider's probes: a list in the order of adding, and a hash table ---- */

static size_t hash(const char *function, const char *name)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, over both with their NUL */
    const char *const strings[] = { function, name };
    for (int i = 0; i < 2; i++)
        for (const char *c = strings[i];; c++) {
            hash = (hash ^ (unsigned char)*c) * 1099511628211u;
            if (*c == '\0')
                break;
        }
    return (size_t)(hash ^ hash >> 32);
}

static struct probedef **bucket_of(struct provider *provider, const char *function, const char *name)
{
    return &provider->buckets[hash(function, name) & (provider->bucket_count - 1)];
}

static bool grow_buckets(struct provider *provider)
{
    if (provider->count < provider->bucket_count)
        return true;
    size_t count = provider->bucket_count == 0 ? 16 : provider->bucket_count * 2;
    struct probedef **buckets = calloc(count, sizeof(struct probedef *));
    if (buckets == NULL)
        return false;
    free(provider->buckets);
    provider->buckets = buckets;
    provider->bucket_count = count;
    for (usdt_probedef_t *pub = provider->pub.probedefs; pub != NULL; pub = pub->next) {
        struct probedef **bucket = bucket_of(provider, pub->function, pub->name);
        def_of(pub)->chain = *bucket;
        *bucket = def_of(pub);
    }
    return true;
}

static struct probedef *find(struct provider *provider, const char *function, const char *name)
{
    struct probedef *def = *bucket_of(provider, function, name);
    while (def != NULL && (strcmp(def->pub.name, name) != 0 || strcmp(def->pub.function, function) != 0))
        def = def->chain;
    return def;
}

static void link_def(struct provider *provider, struct probedef *def)
{
    struct probedef **bucket = bucket_of(provider, def->pub.function, def->pub.name);
    def->chain = *bucket;
    *bucket = def;
    def->prev = provider->last;
    def->pub.next = NULL;
    if (provider->last == NULL)
        provider->pub.probedefs = &def->pub;
    else
        provider->last->pub.next = &def->pub;
    provider->last = def;
    def->provider = provider;
    provider->count++;
}

static void unlink_def(struct provider *provider, struct probedef *def)
{
    struct probedef **at = bucket_of(provider, def->pub.function, def->pub.name);
    while (*at != def)
        at = &(*at)->chain;
    *at = def->chain;
    if (def->prev == NULL)
        provider->pub.probedefs = def->pub.next;
    else
        def->prev->pub.next = def->pub.next;
    if (def->pub.next == NULL)
        provider->last = def->prev;
    else
        def_of(def->pub.next)->prev = def->prev;
    def->pub.next = NULL;
    def->prev = def->chain = NULL;
    def->provider = NULL;
    provider->count--;
}

static int add(struct provider *provider, struct probedef *def)
{
    if (def->provider != NULL && def->provider != provider) {
        char why[USDT_WHY_MAX];
        snprintf(why, sizeof why,
                 "probe %s:%s is in provider \"%s\" already; create another for this provider",
                 def->pub.function, def->pub.name, def->provider->pub.name);
        return fail(provider, USDT_ERROR_INVALID, why);
    }
    if (!grow_buckets(provider)) {
        usdt_error(&provider->pub, USDT_ERROR_MALLOC);
        return -1;
    }
    if (find(provider, def->pub.function, def->pub.name) != NULL)
        return fail_probe(provider, USDT_ERROR_DUP_PROBE, def);
    if (def->image != NULL && def->image->provider != &provider->pub)
        drop_slot(def);
    link_def(provider, def);
    def->pub.refcnt++;
    if (def->image != NULL)
        def->image->members++;
    return 0;
}

int usdt_provider_add_probe(usdt_provider_t *provider, usdt_probedef_t *probedef)
{
    if (provider == NULL)
        return no_provider();
    take_lock();
    int result = probedef == NULL ? fail(provider_of(provider), USDT_ERROR_INVALID, no_probe)
                                  : add(provider_of(provider), def_of(probedef));
    drop_lock();
    return result;
}

static void set_probe(struct probedef *def, usdt_probe_t *probe)
{
#if defined(__GNUC__)
    __atomic_store_n(&def->pub.probe, probe, __ATOMIC_RELEASE);
#else
    def->pub.probe = probe;
#endif
}

static int remove_def(struct provider *provider, struct probedef *def)
{
    char ignored[USDT_WHY_MAX];
    if (provider->pub.probedefs == NULL)
        return fail(provider, USDT_ERROR_NOPROBES, "");
    if (def->provider != provider)
        return fail_probe(provider, USDT_ERROR_REMOVE_PROBE, def);
    usdt_probe_detach(&def->probe.pub);
    set_probe(def, NULL);
    unlink_def(provider, def);
    if (def->image != NULL && --def->image->members == 0 && def->image->is_published)
        usdt_image_withdraw(def->image, ignored);
    unref(def);
    return 0;
}

int usdt_provider_remove_probe(usdt_provider_t *provider, usdt_probedef_t *probedef)
{
    if (provider == NULL)
        return no_provider();
    take_lock();
    int result = probedef == NULL ? fail(provider_of(provider), USDT_ERROR_INVALID, no_probe)
                                  : remove_def(provider_of(provider), def_of(probedef));
    drop_lock();
    return result;
}

/* ---- providers ---- */

usdt_provider_t *usdt_create_provider(const char *name, const char *module)
{
    char why[USDT_WHY_MAX];
    if (!usdt_check_name(USDT_NAME_PROVIDER, name, why) ||
        !usdt_check_name(USDT_NAME_MODULE, module, why)) {
        usdt_error(NULL, USDT_ERROR_INVALID, why);
        return NULL;
    }
    struct provider *provider = calloc(1, sizeof *provider + strlen(name) + 1 + strlen(module) + 1);
    if (provider == NULL) {
        usdt_error(NULL, USDT_ERROR_MALLOC);
        return NULL;
    }
    char *at = provider->strings;
    provider->pub.name = copy_string(&at, name);
    provider->pub.module = copy_string(&at, module);
    provider->code = USDT_ERROR_NONE;
    memcpy(provider->attributes, usdt_dof_attributes, sizeof provider->attributes);
    watch_forks();
    return &provider->pub;
}

int usdt_provider_use_semaphores(usdt_provider_t *provider)
{
    const struct usdt_platform *platform = usdt_platform_native();
    if (provider == NULL)
        return no_provider();
    take_lock();
    bool done = platform != NULL && platform->elf_machine != 0;
    if (done) {
        provider_of(provider)->semaphores = true;
    } else {
        char what[64];
        snprintf(what, sizeof what, "semaphores of %s", usdt_platform_name());
        fail(provider_of(provider), USDT_ERROR_UNSUPPORTED, what);
    }
    drop_lock();
    return done ? 0 : -1;
}

static bool has_type(const struct provider *provider, const char *text)
{
    const char *at = (const char *)provider->types.data;
    for (size_t left = provider->types.len; left > 0; left -= strlen(at) + 1, at += strlen(at) + 1)
        if (strcmp(at, text) == 0)
            return true;
    return false;
}

struct aligned {
    char before;
    uint64_t is_at;
};

/* A description is good if it is behind the others. */
static int add_type(struct provider *provider, const char *text)
{
    const struct usdt_machine machine = { .word = sizeof(void *), .align8 = offsetof(struct aligned, is_at),
                                          .char_signed = (char)-1 < 0 };
    struct usdt_types parsed;
    char why[USDT_WHY_MAX];
    if (text == NULL)
        return fail(provider, USDT_ERROR_INVALID, "description is NULL; write one, as \"struct point { int x, y; };\"");
    if (has_type(provider, text))
        return 0;
    size_t from = provider->types.len;
    usdt_buf_str(&provider->types, text);
    if (provider->types.failed) {
        provider->types.failed = false; /* it holds what it held */
        return fail(provider, USDT_ERROR_MALLOC, "");
    }
    if (usdt_types_parse(&parsed, (const char *)provider->types.data, provider->types.len, from, &machine, why)) {
        usdt_types_free(&parsed);
        return 0;
    }
    provider->types.len = from;
    return fail(provider, why[0] == '\0' ? USDT_ERROR_MALLOC : USDT_ERROR_INVALID, why);
}

int usdt_provider_add_type(usdt_provider_t *provider, const char *text)
{
    if (provider == NULL)
        return no_provider();
    take_lock();
    int result = add_type(provider_of(provider), text);
    drop_lock();
    return result;
}

/* Gives a slot to each probe that has none: all in one new image. */
static bool place_new(struct provider *provider, const struct usdt_platform *platform)
{
    size_t slots = 0, code = 0;
    for (usdt_probedef_t *pub = provider->pub.probedefs; pub != NULL; pub = pub->next)
        slots += def_of(pub)->image == NULL;
    if (slots == 0)
        return true;
    usdt_probedef_t **defs = calloc(slots, sizeof(usdt_probedef_t *));
    if (defs == NULL)
        return false;
    slots = 0;
    for (usdt_probedef_t *pub = provider->pub.probedefs; pub != NULL; pub = pub->next) {
        struct usdt_own_code *own = def_of(pub)->own.code;
        if (def_of(pub)->image != NULL)
            continue;
        defs[slots++] = pub;
        if (own != NULL) {
            own->at = code;
            code += (own->size + USDT_CODE_ALIGN - 1) & ~(size_t)(USDT_CODE_ALIGN - 1);
        }
    }
    struct usdt_image *image = usdt_image_create(platform, defs, slots, code, provider->semaphores);
    if (image == NULL) {
        free(defs);
        return false;
    }
    image->provider = &provider->pub;
    image->owners = image->members = slots;
    for (size_t i = 0; i < slots; i++) {
        defs[i]->slot = (unsigned)i;
        def_of(defs[i])->image = image;
    }
    return true;
}

static usdt_error_t publish(struct provider *provider, struct usdt_image *image, char why[USDT_WHY_MAX])
{
    /* What was removed leaves the listing now; if it comes back, it gets another slot. */
    for (size_t i = 0; image->owners > image->members && i < image->slots; i++)
        if (image->defs[i] != NULL && def_of(image->defs[i])->provider != provider)
            drop_slot(def_of(image->defs[i]));
    usdt_error_t error = usdt_image_publish(image, provider->pub.name, provider->pub.module, provider->attributes,
                                            provider->types.len > 0 ? &provider->types : NULL, why);
    image->is_new = error == USDT_ERROR_NONE;
    return error;
}

static int enable(struct provider *provider)
{
    const struct usdt_platform *platform = usdt_platform_native();
    if (provider->pub.probedefs == NULL)
        return fail(provider, USDT_ERROR_NOPROBES, "");
    if (platform == NULL)
        return fail(provider, USDT_ERROR_UNSUPPORTED, usdt_platform_name());
    if (!place_new(provider, platform))
        return fail(provider, USDT_ERROR_VALLOC, "");

    char notice[USDT_WHY_MAX] = "", why[USDT_WHY_MAX] = "", ignored[USDT_WHY_MAX];
    usdt_error_t error = USDT_ERROR_NONE;
    usdt_probedef_t *pub;
    const struct usdt_image *last = NULL; /* probes of one image mostly follow each other */
    for (pub = provider->pub.probedefs; pub != NULL; pub = pub->next) {
        struct usdt_image *image = def_of(pub)->image;
        if (image == last)
            continue;
        last = image;
        why[0] = '\0';
        if (image->is_published)
            usdt_image_submit(image, provider->pub.name, provider->pub.module, provider->attributes, why);
        else if ((error = publish(provider, image, why)) != USDT_ERROR_NONE)
            break;
        if (why[0] != '\0')
            memcpy(notice, why, sizeof notice);
    }
    if (pub != NULL) {
        for (pub = provider->pub.probedefs; pub != NULL; pub = pub->next)
            if (def_of(pub)->image->is_new) {
                def_of(pub)->image->is_new = false;
                usdt_image_withdraw(def_of(pub)->image, ignored);
            }
        return fail(provider, error, why);
    }

    bool changed = false;
    for (pub = provider->pub.probedefs; pub != NULL; pub = pub->next) {
        struct probedef *def = def_of(pub);
        def->image->is_new = false; /* NOLINT(clang-analyzer-core.NullDereference): place_new() gave each one */
        if (pub->probe != NULL)
            continue;
        const struct usdt_image *image = def->image;
        if (usdt_is_elsewhere(pub))
            usdt_probe_place_elsewhere(&def->probe.pub, word_of(def->own.code->elsewhere));
        else
            usdt_probe_place(&def->probe.pub, platform->stub, image->stubs + pub->slot * platform->stub->size,
                             image->semaphores == 0 ? 0 : image->semaphores + pub->slot * sizeof(uint16_t));
        set_probe(def, &def->probe.pub);
        changed = true;
    }
    provider->pub.enabled = 1;
    if (notice[0] != '\0')
        usdt_error(&provider->pub, USDT_ERROR_DEGRADED, notice);
    else if (!changed)
        usdt_error(&provider->pub, USDT_ERROR_ALREADYENABLED);
    return 0;
}

int usdt_provider_enable(usdt_provider_t *provider)
{
    if (provider == NULL)
        return no_provider();
    take_lock();
    int result = enable(provider_of(provider));
    drop_lock();
    return result;
}

static int disable(struct provider *provider)
{
    char why[USDT_WHY_MAX] = "";
    bool done = true;
    for (usdt_probedef_t *pub = provider->pub.probedefs; pub != NULL; pub = pub->next)
        if (def_of(pub)->image != NULL && def_of(pub)->image->is_published)
            done &= usdt_image_withdraw(def_of(pub)->image, why);
    for (usdt_probedef_t *pub = provider->pub.probedefs; pub != NULL; pub = pub->next)
        set_probe(def_of(pub), NULL);
    provider->pub.enabled = 0;
    return done ? 0 : fail(provider, USDT_ERROR_UNLOADDOF, why);
}

int usdt_provider_disable(usdt_provider_t *provider)
{
    if (provider == NULL)
        return no_provider();
    take_lock();
    int result = disable(provider_of(provider));
    drop_lock();
    return result;
}

void usdt_provider_free(usdt_provider_t *provider)
{
    if (provider == NULL)
        return;
    take_lock();
    disable(provider_of(provider));
    while (provider->probedefs != NULL)
        remove_def(provider_of(provider), def_of(provider->probedefs)); /* NOLINT(clang-analyzer-unix.Malloc): it takes
                                                                           it off the list */
    drop_lock();
    free(provider_of(provider)->buckets);
    usdt_buf_free(&provider_of(provider)->types);
    free(provider_of(provider));
}
