/*
 * fuzz_api.c - fuzzes the public API: an input is a sequence of calls, and a model of usdt.h's contracts is
 * compared with the library after each.
 *
 * An input is pairs of bytes, an operation and its operand; see operate(). A call that the contracts forbid (a
 * definition without a reference, a second release) is left out. Everything is freed at the end.
 * Then no file is left, no descriptor is open, and memory is as it was (LeakSanitizer; from time to
 * time the executable ranges, of which the library keeps spare ones).
 *
 * Where the system's /proc/self/mem can be written, it is also the tracer: it overwrites sites, as uprobes
 * do, and sees what arguments arrive. Knows the library by usdt.h only.
 */
#define _GNU_SOURCE
#include "check.h"
#include "usdt.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PROVIDERS = 3,
    DEFS = 16,
    CROWD = 64, /* more probes than one page holds; all made by one operation */
    ALL_DEFS = DEFS + CROWD,
    MOST_CALLS = 100,
    MOST_ENABLES = 6, /* the slowest call by far */
    MESSAGE_MAX = 512,
};

enum traced { NOT_TRACED, TRACED, UNKNOWN };

struct def {
    usdt_probedef_t *def; /* NULL: there is none */
    char function[130], name[130];
    size_t argc;
    bool is_ours; /* we hold a reference */
    struct provider *provider;
    bool is_published;
    usdt_probe_t *probe; /* as good as the definition, published or not */
    enum traced traced;
    bool is_marked; /* its site was overwritten, and may still be when it is published again */
    bool traps;     /* with what traps, see trace() */
    bool was_published, has_code;
    bool is_listened; /* and does not show its site */
};

struct provider {
    usdt_provider_t *provider;
    char name[130], module[130];
    bool is_enabled;
    bool has_removed; /* since it was enabled: these may still be listed */
    usdt_error_t error;
    char message[MESSAGE_MAX]; /* "": not known, where error is not NONE */
    struct def *order[ALL_DEFS];
    size_t count;
};

static struct def defs[ALL_DEFS];
static struct provider providers[PROVIDERS];
static struct provider thread = { .error = USDT_ERROR_NONE }; /* what usdt_errstr(NULL) is about */
static unsigned enables;
static bool is_crowded;
static const uint8_t *input, *input_end;

/* ---- the private directory ---- */

static char runtime_dir[64];
static DIR *image_dir; /* usdt/ in it, once it is there */
static int memory = -1; /* /proc/self/mem, where we can be the tracer */

static bool open_images(void)
{
    char path[80];
    snprintf(path, sizeof path, "%s/usdt", runtime_dir);
    if (image_dir == NULL && (image_dir = opendir(path)) == NULL)
        return false;
    rewinddir(image_dir);
    return true;
}

static unsigned count_files(void)
{
    unsigned files = 0;
    if (!open_images())
        return 0;
    for (struct dirent *entry; (entry = readdir(image_dir)) != NULL;)
        files += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    return files;
}

static void remove_directory(void)
{
    char path[80];
    if (image_dir != NULL) {
        rewinddir(image_dir);
        for (struct dirent *entry; (entry = readdir(image_dir)) != NULL;)
            unlinkat(dirfd(image_dir), entry->d_name, 0);
        closedir(image_dir);
        image_dir = NULL;
    }
    snprintf(path, sizeof path, "%s/usdt", runtime_dir);
    rmdir(path);
    rmdir(runtime_dir);
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fuzz_api: not so: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    remove_directory();
    abort();
}

#define REQUIRE(holds, ...)   \
    do {                      \
        if (!(holds))         \
            die(__VA_ARGS__); \
    } while (0)

/* ---- the model against the library ---- */

static void check_error(const struct provider *model)
{
    const char *message = usdt_errstr(model->provider);
    REQUIRE(usdt_provider_errno(model->provider) == model->error, "%s: error %d, not %d (%s)", model->name,
            usdt_provider_errno(model->provider), model->error, message);
    if (model->error == USDT_ERROR_NONE || model->message[0] != '\0')
        REQUIRE(strcmp(message, model->message) == 0, "%s: message \"%s\", not \"%s\"", model->name, message,
                model->message);
    else
        REQUIRE(message[0] != '\0', "%s: error %d has a message", model->name, model->error);
    if (model->provider != NULL)
        REQUIRE(model->provider->error == NULL ? model->error == USDT_ERROR_NONE
                                               : strcmp(model->provider->error, message) == 0,
                "%s: the member error is the message", model->name);
}

/* The library has told of an error: of this code and, if it is known, with this message. */
static void expect_error(struct provider *model, usdt_error_t error, const char *message)
{
    model->error = error;
    snprintf(model->message, sizeof model->message, "%s", message);
    check_error(model);
    snprintf(model->message, sizeof model->message, "%s", usdt_errstr(model->provider));
}

static void check_probe(struct def *model)
{
    usdt_probe_t *probe = model->probe;
    int enabled = usdt_is_enabled(probe);
    if (model->traced == UNKNOWN)
        model->traced = enabled ? TRACED : NOT_TRACED;
    REQUIRE(enabled == (model->traced == TRACED), "%s:%s: enabled is %d", model->function, model->name,
            enabled);
    REQUIRE(probe->isenabled_addr() == enabled, "%s:%s: isenabled_addr() agrees", model->function, model->name);
    REQUIRE(*probe->semaphore == 0, "%s:%s: the kernel counts", model->function, model->name);
    REQUIRE((*probe->site != probe->pristine) == (enabled != 0), "%s:%s: the site agrees", model->function,
            model->name);
    REQUIRE(probe->argc == model->argc, "%s:%s: argc %u", model->function, model->name, probe->argc);
    REQUIRE((uintptr_t)probe->site % 4 == 0 && probe->probe_addr != NULL, "%s:%s: the site is aligned",
            model->function, model->name);
}

static void check_def(struct def *model, bool thorough)
{
    const usdt_probedef_t *def = model->def;
    if (def == NULL)
        return;
    int references = model->is_ours + (model->provider != NULL);
    REQUIRE(def->argc == model->argc && (!thorough || (strcmp(def->name, model->name) == 0 &&
                                                       strcmp(def->function, model->function) == 0)),
            "%s:%s stays what it was", model->function, model->name);
    REQUIRE(def->refcnt == references, "%s:%s: refcnt %d, not %d", model->function, model->name, def->refcnt,
            references);
    REQUIRE(usdt_probedef_probe(model->def) == model->probe, "%s:%s: another probe", model->function,
            model->name);
    REQUIRE(def->probe == (model->is_published ? model->probe : NULL), "%s:%s: the member probe is %s",
            model->function, model->name,
            def->probe == NULL ? "NULL" : model->is_published ? "another" : "not NULL");
    check_probe(model);
}

static void check_provider(const struct provider *model, bool thorough)
{
    const usdt_provider_t *provider = model->provider;
    const usdt_probedef_t *def;
    size_t i = 0;
    if (provider == NULL)
        return;
    REQUIRE(provider->file == NULL && (!thorough || (strcmp(provider->name, model->name) == 0 &&
                                                     strcmp(provider->module, model->module) == 0)),
            "%s stays what it was", model->name);
    REQUIRE(provider->enabled == model->is_enabled, "%s: enabled is %d", model->name, provider->enabled);
    for (def = provider->probedefs; def != NULL && i < model->count; def = def->next, i++)
        REQUIRE(def == model->order[i]->def, "%s: probe %zu is %s:%s, not %s:%s", model->name, i, def->function,
                def->name, model->order[i]->function, model->order[i]->name);
    REQUIRE(def == NULL && i == model->count, "%s: %zu probes", model->name, model->count);
    check_error(model);
}

/* Thorough: strings too, which is slow. */
static void check_all(bool thorough)
{
    for (size_t i = 0; i < PROVIDERS; i++)
        check_provider(&providers[i], thorough);
    for (size_t i = 0; i < (is_crowded ? ALL_DEFS : DEFS); i++)
        check_def(&defs[i], thorough);
    check_error(&thread);
}

/* ---- what tracers see ---- */

/* A note of an image in the private directory: that it is one of an enabled provider's probes. */
static void see_note(const char *provider, const char *name, uint64_t site, bool seen[ALL_DEFS])
{
    bool is_expected = false;
    for (size_t p = 0; p < PROVIDERS; p++) {
        const struct provider *model = &providers[p];
        if (!model->is_enabled || strcmp(model->name, provider) != 0)
            continue;
        is_expected = is_expected || model->has_removed;
        for (size_t i = 0; i < model->count; i++) {
            const struct def *def = model->order[i];
            if (!def->is_published || strcmp(def->name, name) != 0)
                continue;
            /* The image is mapped page by page. The site may be named by its second byte, see trace(). */
            if (def->is_listened || ((uintptr_t)def->probe->site % 4096 | 1) == (site % 4096 | 1))
                is_expected = seen[def - defs] = true;
            is_expected |= def->has_code && (site - (uintptr_t)usdt_probedef_code(def->def)) % 4096 <= 4; /* use_code() */
        }
    }
    REQUIRE(is_expected, "%s:%s is listed, but not published", provider, name);
}

static void see_file(const char *bytes, size_t len, bool seen[ALL_DEFS])
{
    static const char start[] = "\3\0\0\0stapsdt"; /* a note's type and owner */
    const char *end = bytes + len;
    for (const char *at; (at = memmem(bytes, (size_t)(end - bytes), start, sizeof start)) != NULL;) {
        uintptr_t site;
        const char *provider = at + sizeof start + 3 * sizeof site, *name = provider + strlen(provider) + 1;
        memcpy(&site, at + sizeof start, sizeof site);
        see_note(provider, name, site, seen);
        bytes = name;
    }
}

/* Every published probe has a note in some file. */
static void check_files(void)
{
    static char bytes[1 << 18]; /* the longest image here has ALL_DEFS slots and notes */
    bool seen[ALL_DEFS] = { false };
    if (!open_images())
        return;
    for (struct dirent *entry; (entry = readdir(image_dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(image_dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        ssize_t len = read(fd, bytes, sizeof bytes - 1);
        close(fd);
        REQUIRE(len > 0 && len < (ssize_t)sizeof bytes - 1, "%s can be read", entry->d_name);
        see_file(bytes, (size_t)len, seen);
    }
    for (size_t i = 0; i < ALL_DEFS; i++)
        REQUIRE(seen[i] || defs[i].def == NULL || !defs[i].is_published, "%s:%s:%s is listed",
                defs[i].provider->name, defs[i].function, defs[i].name);
}

/* ---- input ---- */

static uint8_t next_byte(void)
{
    return input < input_end ? *input++ : 0;
}

/* A name, sane or odd, or NULL. The strings are gone with the next call: the library copies. */
static const char *next_name(char buffer[160])
{
    static const char *const usual[] = { "a", "b", "start", "a-b.c", "_x", "main" };
    static const char *const odd[] = { NULL, "", "9", "a b", "a:b", "web2", "pid", "objc", "caf\xc3\xa9", "%s%n" };
    static const uint8_t lengths[] = { 1, 53, 54, 63, 64, 127, 128, 150 };
    uint8_t byte = next_byte();
    if (byte < 192)
        return strcpy(buffer, usual[byte % (sizeof usual / sizeof usual[0])]);
    if (byte < 224) {
        const char *name = odd[byte % (sizeof odd / sizeof odd[0])];
        return name == NULL ? NULL : strcpy(buffer, name);
    }
    size_t len = byte < 240 ? lengths[byte % 8] : byte % 16u;
    for (size_t i = 0; i < len; i++)
        buffer[i] = byte < 240 ? 'n' : (char)next_byte();
    buffer[len] = '\0';
    return buffer;
}

static struct provider *pick_provider(uint8_t operand)
{
    return &providers[operand % PROVIDERS];
}

static struct def *pick_def(uint8_t operand)
{
    return &defs[operand / PROVIDERS % DEFS];
}

/* ---- the calls ---- */

static void create_provider(uint8_t operand)
{
    struct provider *model = pick_provider(operand);
    char buffers[2][160];
    if (model->provider != NULL)
        return;
    const char *name = next_name(buffers[0]), *module = next_name(buffers[1]);
    bool good = check_is_good_provider(name) && check_is_good_name(module, CHECK_LONGEST_MODULE);
    *model = (struct provider){ .provider = usdt_create_provider(name, module), .error = USDT_ERROR_NONE };
    REQUIRE(good == (model->provider != NULL), "usdt_create_provider(%s, %s)", name == NULL ? "NULL" : name,
            module == NULL ? "NULL" : module);
    if (!good) {
        expect_error(&thread, USDT_ERROR_INVALID, "");
        return;
    }
    strcpy(model->name, name);
    strcpy(model->module, module);
    memset(buffers, '?', sizeof buffers);
    REQUIRE(model->provider->probedefs == NULL, "a new provider is empty");
    if ((operand & 128) != 0)
        REQUIRE(usdt_provider_use_semaphores(model->provider) == 0, "no semaphores");
}

/* Types in memory of their own; returns whether all are good. */
static bool next_types(size_t argc, size_t used, char **types)
{
    static const char *const usual[] = { "int", "char *", "uint8_t", "struct foo *", "unsigned long" };
    static const char *const odd[] = { NULL, "", "in\x01t" };
    bool good = true;
    for (size_t i = 0; i < argc; i++) {
        uint8_t byte = i < 4 ? next_byte() : (uint8_t)i;
        const char *type = byte < 250 ? usual[byte % 5] : odd[byte % 3];
        types[i] = type == NULL ? NULL : strdup(type);
        good = good && (i >= used || check_is_good_type(type));
    }
    return good;
}

static void create_probe(uint8_t operand)
{
    struct def *model = pick_def(operand);
    char buffers[2][160], **types = NULL;
    if (model->def != NULL)
        return;
    const char *function = next_name(buffers[0]), *name = next_name(buffers[1]);
    uint8_t byte = next_byte();
    size_t argc = byte % 41u, used = argc < USDT_ARG_MAX ? argc : USDT_ARG_MAX;
    bool good = check_is_good_name(function, CHECK_LONGEST_FUNCTION) &&
                check_is_good_name(name, CHECK_LONGEST_PROBE);
    if (byte >= 246)
        good = good && argc == 0;
    else if ((types = malloc((argc + 1) * sizeof *types)) != NULL)
        good = next_types(argc, used, types) && good;
    *model = (struct def){ .def = usdt_create_probe(function, name, argc, (const char **)(uintptr_t)types) };
    REQUIRE(good == (model->def != NULL), "usdt_create_probe(%s, %s, %zu)", function == NULL ? "NULL" : function,
            name == NULL ? "NULL" : name, argc);
    if (good) {
        model->probe = usdt_probedef_probe(model->def);
        REQUIRE(model->probe != NULL, "a definition has a probe");
        strcpy(model->function, function);
        strcpy(model->name, name);
        model->argc = used;
        model->is_ours = true;
        for (size_t i = 0; i < used; i++)
            REQUIRE(model->def->types[i] != types[i] && strcmp(model->def->types[i], types[i]) == 0,
                    "type %zu is a copy", i);
    } else {
        expect_error(&thread, USDT_ERROR_INVALID, "");
    }
    for (size_t i = 0; types != NULL && i < argc; i++)
        free(types[i]);
    free(types);
    memset(buffers, '?', sizeof buffers);
}

static const struct def *find(const struct provider *provider, const struct def *def)
{
    for (size_t i = 0; i < provider->count; i++)
        if (provider->order[i]->name[0] == def->name[0] && strcmp(provider->order[i]->name, def->name) == 0 &&
            strcmp(provider->order[i]->function, def->function) == 0)
            return provider->order[i];
    return NULL;
}

/* The message of libusdt 1.x for a probe: "... PROVIDER:MODULE:FUNCTION:NAME ...". */
static void expect_probe_error(struct provider *provider, usdt_error_t error, const struct def *def,
                               const char *before, const char *after)
{
    char message[MESSAGE_MAX];
    snprintf(message, sizeof message, "%s%.60s:%.70s:%.130s:%.70s%s", before, provider->name, provider->module,
             def->function, def->name, after);
    expect_error(provider, error, message);
}

static void add(struct provider *provider, struct def *def)
{
    if (provider->provider == NULL || def->def == NULL)
        return;
    int result = usdt_provider_add_probe(provider->provider, def->def);
    bool elsewhere = def->provider != NULL && def->provider != provider, twice = find(provider, def) != NULL;
    REQUIRE(result == (elsewhere || twice ? -1 : 0), "usdt_provider_add_probe(%s, %s:%s): %d", provider->name,
            def->function, def->name, result);
    if (elsewhere && twice) { /* usdt.h does not say which comes first */
        provider->error = usdt_provider_errno(provider->provider);
        REQUIRE(provider->error == USDT_ERROR_INVALID || provider->error == USDT_ERROR_DUP_PROBE, "error %d",
                provider->error);
        expect_error(provider, provider->error, "");
    } else if (elsewhere) {
        expect_error(provider, USDT_ERROR_INVALID, "");
    } else if (twice) {
        expect_probe_error(provider, USDT_ERROR_DUP_PROBE, def, "probe named ", " already exists");
    } else {
        provider->order[provider->count++] = def;
        def->provider = provider;
    }
}

/* The provider's reference is gone: the definition too, if it was the last. */
static void leave_provider(struct def *def)
{
    def->provider = NULL;
    def->is_published = false;
    def->traced = NOT_TRACED;
    if (!def->is_ours)
        def->def = NULL;
}

static void remove_probe(struct provider *provider, struct def *def)
{
    if (provider->provider == NULL || def->def == NULL)
        return;
    int result = usdt_provider_remove_probe(provider->provider, def->def);
    REQUIRE(result == (def->provider == provider ? 0 : -1), "usdt_provider_remove_probe(%s, %s:%s): %d",
            provider->name, def->function, def->name, result);
    if (provider->count == 0) {
        expect_error(provider, USDT_ERROR_NOPROBES, "no probes defined");
    } else if (def->provider != provider) {
        expect_probe_error(provider, USDT_ERROR_REMOVE_PROBE, def, "failed to remove probe ", "");
    } else {
        size_t i = 0;
        while (provider->order[i] != def)
            i++;
        memmove(&provider->order[i], &provider->order[i + 1],
                (--provider->count - i) * sizeof provider->order[0]);
        leave_provider(def);
        provider->has_removed = provider->is_enabled;
    }
}

static void enable(struct provider *provider)
{
    bool is_new = false;
    if (provider->provider == NULL || enables++ >= MOST_ENABLES)
        return;
    int result = usdt_provider_enable(provider->provider);
    if (provider->count == 0) {
        REQUIRE(result == -1, "%s without probes is not enabled: %d", provider->name, result);
        expect_error(provider, USDT_ERROR_NOPROBES, "no probes defined");
        return;
    }
    REQUIRE(result == 0, "usdt_provider_enable(%s): %s", provider->name, usdt_errstr(provider->provider));
    for (size_t i = 0; i < provider->count; i++) {
        struct def *def = provider->order[i];
        if (def->is_published)
            continue;
        def->is_published = def->was_published = is_new = true;
        def->traced = def->is_marked ? UNKNOWN : NOT_TRACED;
    }
    provider->is_enabled = true;
    if (!is_new)
        expect_error(provider, USDT_ERROR_ALREADYENABLED, "provider is already enabled");
    check_files();
}

static void disable(struct provider *provider)
{
    if (provider->provider == NULL)
        return;
    int result = usdt_provider_disable(provider->provider);
    REQUIRE(result == 0, "usdt_provider_disable(%s): %s", provider->name, usdt_errstr(provider->provider));
    for (size_t i = 0; i < provider->count; i++) {
        provider->order[i]->is_published = provider->order[i]->is_marked = false;
        provider->order[i]->traced = NOT_TRACED;
    }
    provider->is_enabled = provider->has_removed = false;
}

static void free_provider(struct provider *provider)
{
    usdt_provider_free(provider->provider);
    for (size_t i = 0; i < provider->count; i++) {
        provider->order[i]->is_marked = false;
        leave_provider(provider->order[i]);
    }
    *provider = (struct provider){ 0 };
}

static void release(struct def *def)
{
    if (def->def == NULL || !def->is_ours)
        return;
    usdt_probe_release(def->def);
    def->is_ours = false;
    if (def->provider == NULL)
        def->def = NULL;
}

/* ---- checking and firing ---- */

/* What arrived at a site that traps. */
static struct {
    unsigned count;
    uintptr_t site, values[USDT_ARG_MAX];
    size_t wanted; /* so many values: what is behind them is not ours */
} hits;

#if defined(__x86_64__) || defined(__i386__)
static void on_trap(int number, siginfo_t *info, void *context)
{
    const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
    (void)number, (void)info;
#if defined(__x86_64__)
    static const int order[] = { REG_RDI, REG_RSI, REG_RDX, REG_RCX, REG_R8, REG_R9 };
    const size_t in_registers = 6;
    const uintptr_t *stack = (const uintptr_t *)registers[REG_RSP];
    hits.site = (uintptr_t)registers[REG_RIP] - 1;
#else
    static const int order[] = { 0 };
    const size_t in_registers = 0;
    const uintptr_t *stack = (const uintptr_t *)registers[REG_ESP];
    hits.site = (uintptr_t)registers[REG_EIP] - 1;
#endif
    for (size_t i = 0; i < hits.wanted; i++)
        hits.values[i] = i < in_registers ? (uintptr_t)registers[order[i]] : stack[i - in_registers];
    hits.count++;
}
#endif

static void expect_hit(const struct def *def, size_t argc)
{
    hits.count = 0;
    hits.wanted = argc > def->argc ? argc : def->argc;
    if (hits.wanted > USDT_ARG_MAX)
        hits.wanted = USDT_ARG_MAX;
}

/* If the probe is traced, the argc values that were passed have arrived, and 0 for what is missing. */
static void check_hit(const struct def *def, size_t argc, void *const *argv)
{
    bool is_hit = def->traced == TRACED && def->traps;
    REQUIRE(hits.count == is_hit, "%s:%s: %u hits, not %d", def->function, def->name, hits.count, is_hit);
    if (!is_hit)
        return;
    REQUIRE(hits.site == (uintptr_t)def->probe->site, "%s:%s: hit elsewhere", def->function, def->name);
    for (size_t i = 0; i < hits.wanted; i++)
        REQUIRE(hits.values[i] == (i < argc ? (uintptr_t)argv[i] : 0), "%s:%s: argument %zu of %zu is %#zx",
                def->function, def->name, i, argc, (size_t)hits.values[i]);
}

static void fire(const struct def *def, uint8_t argc)
{
    void **argv = argc == 0 ? NULL : malloc(argc * sizeof *argv); /* of exactly that size */
    for (uint8_t i = 0; argv != NULL && i < argc; i++)
        argv[i] = &argv[i];
    expect_hit(def, argc);
    usdt_fire_probe(usdt_probedef_probe(def->def), argc, argv);
    check_hit(def, argc, argv);
    free(argv);
}

static void use_macro(const struct def *def)
{
    usdt_probe_t *probe = usdt_probedef_probe(def->def);
    int evaluated = 0, traced = probe != NULL && def->traced == TRACED;
    void *argv[USDT_ARG_MAX];
    for (uintptr_t i = 0; i < USDT_ARG_MAX; i++)
        argv[i] = (void *)(i + 1);
    expect_hit(def, 0);
    USDT_PROBE(probe);
    check_hit(def, 0, NULL);
    expect_hit(def, 3);
    USDT_PROBE(probe, ++evaluated, 2, (char *)3);
    check_hit(def, 3, argv);
    expect_hit(def, 32);
    USDT_PROBE(probe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
               26, 27, 28, 29, 30, 31, 30 + ++evaluated);
    check_hit(def, 32, argv);
    REQUIRE(evaluated == 2 * traced, "USDT_PROBE evaluated %d times, traced is %d", evaluated, traced);
    if (probe == NULL)
        return;
    hits.count = 0;
    hits.wanted = 3; /* we pass no more */
    ((void (*)(void *, void *, void *))(uintptr_t)probe->probe_addr)(argv[0], argv[1], argv[2]);
    check_hit(def, 3, argv);
}

/* Overwrites a site, or puts it back: the nop becomes an int3; or what newer kernels overwrite, the 10-byte nop
   behind it, becomes one with another prefix. */
static void trace(struct def *def, bool on, bool behind)
{
    if (def->def == NULL || !def->is_published || memory < 0)
        return;
    uint32_t word = def->probe->pristine;
    bool is_long = behind && (word & 0xff00) == 0x6600;
    if (on)
        word = is_long ? (word & ~0xff00u) | 0x2e00 : (word & ~0xffu) | 0xcc;
    if (pwrite(memory, &word, sizeof word, (off_t)(uintptr_t)def->probe->site) != sizeof word)
        return; /* this kernel does not let us */
    def->traced = on ? TRACED : NOT_TRACED;
    def->is_marked = on;
    def->traps = on && !is_long;
}

/* ---- what may be said of providers and probes ---- */

static void describe(struct provider *provider, uint8_t operand)
{
    static const struct { const char *text; bool good; } texts[] = {
        { "struct a { int x; };", true }, { "struct b { struct a *p; char s[8]; };", true }, { "enum e { A, B = -1 };", true },
        { "struct c { int };", false }, { "struct d {", false }, { "", true }, { "int x;", false }, { NULL, false },
    };
    if (provider->provider == NULL)
        return;
    int result = usdt_provider_add_type(provider->provider, texts[operand % 8].text);
    REQUIRE((result == 0) == texts[operand % 8].good, "usdt_provider_add_type(%s) is %d: %s", texts[operand % 8].text,
            result, usdt_errstr(provider->provider));
    if (result != 0)
        expect_error(provider, USDT_ERROR_INVALID, "");
    unsigned name = next_byte() % 10;
    result = usdt_provider_set_stability(provider->provider, (enum usdt_attributed)(operand % 6), (enum usdt_stability)name,
                                         USDT_STABILITY_STABLE, USDT_DEPENDENCY_ISA);
    REQUIRE((result == 0) == (operand % 6 < 5 && name < 8), "usdt_provider_set_stability(%u, %u) is %d", operand % 6u,
            name, result);
    if (result != 0)
        expect_error(provider, USDT_ERROR_INVALID, "");
}

static void translate(struct def *def, uint8_t operand)
{
    static const char *const types[] = { "long", "struct req *", "", "" };
    const unsigned char map[] = { operand % 4, operand / 4 % 4 };
    size_t count = operand % 3;
    if (def->def == NULL)
        return;
    bool good = operand < 250;
    for (size_t i = 0; i < count; i++)
        good = good && map[i] < def->argc;
    int result = usdt_probe_translate(def->def, count, types + (operand < 250 ? 0 : 2), map);
    REQUIRE((result == 0) == (good || count == 0), "usdt_probe_translate(%zu) is %d", count, result);
    if (result != 0)
        expect_error(&thread, USDT_ERROR_INVALID, "");
}

static void use_code(struct def *def, uint8_t operand)
{
#if defined(__aarch64__)
    static const uint32_t bytes[] = { 0xd503201f, 0xd503201f, 0xd65f03c0, 0xd65f03c0 };
#else
    static const unsigned char bytes[] = { 0x90, 0x90, 0xc3, 0xc3 };
#endif
    const size_t unit = sizeof bytes / 4;
    const usdt_code_t code = { .bytes = bytes, .size = sizeof bytes, .site = operand % 5 * unit };
    if (def->def == NULL)
        return;
    int result = usdt_probe_use_code(def->def, &code);
    bool good = operand % 5 < 2;
    REQUIRE(def->was_published ? result == -1 || good : (result == 0) == good, "usdt_probe_use_code(%zu) is %d: %s",
            code.site, result, usdt_errstr(NULL));
    if (result == 0)
        def->has_code = true;
    else
        expect_error(&thread, USDT_ERROR_INVALID, "");
}

static void run_code(const struct def *def)
{
    const void *code = usdt_probedef_code(def->def);
    REQUIRE(code == NULL || def->has_code, "%s:%s: code that nobody gave", def->function, def->name);
    REQUIRE(code != NULL || !def->has_code || !def->is_published, "%s:%s: no code", def->function, def->name);
    if (code != NULL)
        ((void (*)(void))(uintptr_t)code)();
}

static void count_hit(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)def, (void)argc, (void)argv;
    ++*(unsigned *)context;
}

/* While something is done that others do not notice. */
static void listen(struct def *def, uint8_t operand)
{
    unsigned heard = 0;
    if (def->def == NULL)
        return;
    REQUIRE(usdt_probe_listen(def->def, count_hit, &heard) == 0, "listen: %s", usdt_errstr(NULL));
    REQUIRE(usdt_is_enabled(def->probe) && def->probe->isenabled_addr() == 1, "%s:%s is listened to", def->function,
            def->name);
    if (operand % 2 == 1 && def->provider != NULL) {
        def->is_listened = true;
        disable(def->provider);
        enable(def->provider);
        def->is_listened = false;
    }
    unsigned fired = operand % 5;
    expect_hit(def, 0);
    for (unsigned i = 0; i < fired; i++)
        usdt_fire_probe(def->probe, 0, NULL);
    REQUIRE(heard == fired, "%s:%s: %u of %u hits are heard", def->function, def->name, heard, fired);
    REQUIRE(usdt_probe_unlisten(def->def, count_hit, &heard) == 0, "unlisten: %s", usdt_errstr(NULL));
}

/* As the bindings do. */
static void set_error(struct provider *provider, uint8_t operand)
{
    if (provider->provider == NULL)
        provider = &thread;
    usdt_error(provider->provider, USDT_ERROR_INVALID, "of a binding");
    expect_error(provider, USDT_ERROR_INVALID, "of a binding");
    usdt_error(provider->provider, USDT_ERROR_DEGRADED, usdt_errstr(provider->provider));
    expect_error(provider, USDT_ERROR_DEGRADED, "of a binding");
    if (operand % 4 == 1) { /* a code that does not exist */
        usdt_error_t unknown = (usdt_error_t)(operand < 128 ? -2 - operand : USDT_ERROR_UNSUPPORTED + operand - 128);
        usdt_error(provider->provider, unknown);
        REQUIRE(strcmp(usdt_errstr(provider->provider), "of a binding") != 0, "error %d has another message", unknown);
        expect_error(provider, unknown, "");
    } else if (operand % 4 == 2) {
        usdt_error(provider->provider, USDT_ERROR_MALLOC);
        expect_error(provider, USDT_ERROR_MALLOC, "failed to allocate memory");
    } else if (operand % 4 == 3) {
        usdt_error(provider->provider, USDT_ERROR_NONE);
        expect_error(provider, USDT_ERROR_NONE, "");
    }
}

/* NULL in place of anything. */
static void use_null(struct provider *provider, const struct def *def)
{
    usdt_probe_release(NULL);
    usdt_provider_free(NULL);
    usdt_fire_probe(NULL, 0, NULL);
    REQUIRE(usdt_is_enabled(NULL) == 0 && usdt_is_enabled(usdt_probedef_probe(NULL)) == 0, "NULL is not enabled");
    usdt_fire_probe(usdt_probedef_probe(NULL), 0, NULL);
    for (int call = 0; call < 4; call++) {
        usdt_error(NULL, USDT_ERROR_NONE);
        REQUIRE((call == 0   ? usdt_provider_enable(NULL)
                 : call == 1 ? usdt_provider_disable(NULL)
                 : call == 2 ? usdt_provider_add_probe(NULL, def->def)
                             : usdt_provider_remove_probe(NULL, def->def)) == -1,
                "NULL is no provider");
        expect_error(&thread, USDT_ERROR_INVALID, "");
    }
    REQUIRE(strcmp(usdt_version(), USDT_VERSION) == 0, "the version is the header's");
    if (provider->provider == NULL)
        return;
    REQUIRE(usdt_provider_add_probe(provider->provider, NULL) == -1, "NULL is not added");
    expect_error(provider, USDT_ERROR_INVALID, "");
    REQUIRE(usdt_provider_remove_probe(provider->provider, NULL) == -1, "NULL is not removed");
    expect_error(provider, USDT_ERROR_INVALID, "");
}

/* So many probes that their image is longer than a page, once in an execution. The provider alone holds
   half of them. */
static void crowd(struct provider *provider)
{
    if (provider->provider == NULL || is_crowded)
        return;
    is_crowded = true;
    for (size_t i = DEFS; i < ALL_DEFS; i++) {
        struct def *def = &defs[i];
        *def = (struct def){ .is_ours = true };
        strcpy(def->function, "crowd");
        snprintf(def->name, sizeof def->name, "c%zu", i);
        def->def = usdt_create_probe(def->function, def->name, 0, NULL);
        REQUIRE(def->def != NULL, "crowd: %s", usdt_errstr(NULL));
        def->probe = usdt_probedef_probe(def->def);
        add(provider, def);
        if (i % 2 == 0)
            release(def);
    }
}

static void operate(uint8_t operation, uint8_t operand)
{
    struct provider *provider = pick_provider(operand);
    struct def *def = pick_def(operand);
    switch (operation % 25) {
    case 0: create_provider(operand); break;
    case 1:
    case 2: create_probe(operand); break;
    case 3:
    case 4: add(provider, def); break;
    case 5: remove_probe(provider, def); break;
    case 6:
    case 7: enable(provider); break;
    case 8: disable(provider); break;
    case 9: release(def); break;
    case 10: free_provider(provider); break;
    case 11: fire(def, next_byte() % 41); break;
    case 12: use_macro(def); break;
    case 13: trace(def, true, operand >= PROVIDERS * DEFS); break;
    case 14: trace(def, false, false); break;
    case 15: set_error(provider, operand); break;
    case 16: use_null(provider, def); break;
    case 17: crowd(provider); break;
    case 18: /* one of those that a provider alone may hold */
        if (provider->count > 0)
            remove_probe(provider, provider->order[operand % provider->count]);
        break;
    case 19: describe(provider, operand); break;
    case 20: translate(def, next_byte()); break;
    case 21: use_code(def, next_byte()); break;
    case 22: run_code(def); break;
    case 23: listen(def, next_byte()); break;
    default: /* everything is withdrawn and comes back */
        disable(provider);
        enable(provider);
        break;
    }
    check_all(false);
}

/* ---- an execution ---- */

/* Executable ranges without a file: what the library keeps for reuse. A definition has a slot in one image,
   so no more images than definitions exist at a time, and none takes more than two pages. */
static void check_ranges(void)
{
    char line[512], mode[8];
    unsigned long from, to, inode, total = 0;
    unsigned long most = (unsigned long)ALL_DEFS * 2 * (unsigned long)sysconf(_SC_PAGESIZE);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%lx-%lx %7s %*x %*s %lu", &from, &to, mode, &inode) == 4 && inode == 0 &&
            mode[2] == 'x' && strchr(line, '[') == NULL)
            total += to - from;
    if (maps != NULL)
        fclose(maps);
    REQUIRE(total <= most, "%lu bytes of executable ranges are kept, at most %lu", total, most);
}

/* The lowest descriptor that is free. */
static int free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

static void finish(void)
{
    check_all(true);
    for (size_t i = 0; i < PROVIDERS; i++)
        if (providers[i].provider != NULL)
            free_provider(&providers[i]);
    check_all(true);
    for (size_t i = 0; i < ALL_DEFS; i++)
        release(&defs[i]);
    memset(defs, 0, sizeof defs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned executions;
    static int lowest;
    if (executions == 0)
        lowest = free_descriptor();
    enables = 0;
    is_crowded = false;
    input = data;
    input_end = data + size;
    for (int calls = 0; input < input_end && calls < MOST_CALLS; calls++) {
        uint8_t operation = next_byte();
        operate(operation, next_byte());
    }
    finish();
    if (enables > 0) {
        unsigned files = count_files();
        int fd = free_descriptor();
        REQUIRE(files == 0, "%u files are left", files);
        /* libFuzzer opens some of its own between executions. */
        REQUIRE(fd <= lowest + 1, "descriptor %d was free, now only %d is", lowest, fd);
    }
    if (executions++ % 1024 == 0)
        check_ranges();
    return 0;
}

/* Whether probes are published as a file of this directory. */
static bool works(void)
{
    usdt_provider_t *provider = usdt_create_provider("trial", "fuzz_api");
    usdt_probedef_t *def = usdt_create_probe("main", "start", 0, NULL);
    REQUIRE(provider != NULL && def != NULL && usdt_provider_add_probe(provider, def) == 0, "a trial: %s",
            usdt_errstr(NULL));
    bool done = usdt_provider_enable(provider) == 0 && usdt_provider_errno(provider) == USDT_ERROR_NONE &&
                count_files() == 1;
    if (!done)
        fprintf(stderr, "fuzz_api: %s: %s\n", runtime_dir, usdt_errstr(provider));
    usdt_provider_free(provider);
    usdt_probe_release(def);
    return done;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const parents[] = { "/dev/shm", "/tmp" };
    (void)argc, (void)argv;
    for (size_t i = 0; i < 2; i++) {
        snprintf(runtime_dir, sizeof runtime_dir, "%s/usdt-fuzz-XXXXXX", parents[i]);
        if (mkdtemp(runtime_dir) == NULL)
            continue;
        setenv("XDG_RUNTIME_DIR", runtime_dir, 1);
        if (works()) {
            atexit(remove_directory);
#if defined(__x86_64__) || defined(__i386__)
            struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
            sigaction(SIGTRAP, &action, NULL);
            memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
#endif
            return 0;
        }
        remove_directory();
    }
    fputs("fuzz_api: probes cannot be published as files here\n", stderr);
    exit(3);
}
