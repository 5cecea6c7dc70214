/*
 * libdtrace.c - libdtrace, loaded at run time; see libdtrace.h. Knows nothing of Node.js.
 */
/* All that POSIX and the system have, also under -std=c11. */
#define _GNU_SOURCE
#define __EXTENSIONS__ /* illumos */
#include "libdtrace.h"
#include "layouts.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/capability.h>
#include <sys/syscall.h>
#endif

enum { API_VERSION = 3, PROBESPEC_NAME = 3, WORK_DONE = 1, THIS_RECORD = 0, NEXT_RECORD = 1, HANDLED = 0, REMOVE = 3 };

/* What the actions' names stand for: <dtrace/actions_defines.h> of Linux, <sys/dtrace.h> elsewhere. */
enum {
    EXPRESSION = 1, EXIT = 2, TRACEMEM = 6, CLASSIC_TRACEMEM_SIZE = 7,
    USTACK = 0x101, JSTACK, USYM, UMOD, UADDR,
    STACK = 0x401, SYM, MOD,
    AGGREGATING = 0x700,
};
/* Arguments of records on Linux: of expressions, and of tracemem() if its size follows. Seen with 2.0.7. */
enum { LINUX_SIGNED = 1, LINUX_BY_REFERENCE = 4, LINUX_TRACEMEM_SIZE = 3, LINUX_TRACEMEM_SIGNED_SIZE = 4 };

#if defined(__linux__)
static const char *const default_name = "libdtrace.so.2";
#elif defined(__FreeBSD__)
static const char *const default_name = "libdtrace.so.2";
#elif defined(__sun)
static const char *const default_name = "libdtrace.so.1";
#elif defined(__APPLE__)
static const char *const default_name = "/usr/lib/libdtrace.dylib";
#else
static const char *const default_name = NULL;
#endif

typedef int on_probe_function(const void *, void *);
typedef int on_record_function(const void *, const void *, void *);

struct library {
    const char *version;
    void *(*open)(int, int, int *);
    int (*init)(void *); /* DTrace 2 for Linux has it, and its layouts; the others do not */
    void (*close)(void *);
    int (*errnumber)(void *);
    const char *(*errmsg)(void *, int);
    int (*setopt)(void *, const char *, const char *);
    int (*getopt)(void *, const char *, uint64_t *);
    void *(*strcompile)(void *, const char *, int, unsigned, int, char *const[]);
    int (*exec)(void *, void *, void *);
    int (*go)(void *, unsigned);
    int (*stop)(void *);
    int (*work)(void *, FILE *, on_probe_function *, on_record_function *, void *);
    int (*snap)(void *);
    int (*walk)(void *, on_probe_function *, void *);
    int (*handle_fault)(void *, on_probe_function *, void *);
    int (*handle_drop)(void *, on_probe_function *, void *);
    int (*addr2str)(void *, uint64_t, char *, int);
    int (*uaddr2str)(void *, pid_t, uint64_t, char *, int);
};

static struct library lib;
static void *loaded; /* the library; NULL if there is none, or no more */
static char version[64];
static int handles;  /* that are open */
static bool enabled; /* one of them has been, since the library was loaded */

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
    { "_dtrace_version", offsetof(struct library, version) },
    { "dtrace_open", offsetof(struct library, open) },
    { "dtrace_close", offsetof(struct library, close) },
    { "dtrace_errno", offsetof(struct library, errnumber) },
    { "dtrace_errmsg", offsetof(struct library, errmsg) },
    { "dtrace_setopt", offsetof(struct library, setopt) },
    { "dtrace_getopt", offsetof(struct library, getopt) },
    { "dtrace_program_strcompile", offsetof(struct library, strcompile) },
    { "dtrace_program_exec", offsetof(struct library, exec) },
    { "dtrace_go", offsetof(struct library, go) },
    { "dtrace_stop", offsetof(struct library, stop) },
    { "dtrace_work", offsetof(struct library, work) },
    { "dtrace_aggregate_snap", offsetof(struct library, snap) },
    { "dtrace_aggregate_walk", offsetof(struct library, walk) },
    { "dtrace_handle_err", offsetof(struct library, handle_fault) },
    { "dtrace_handle_drop", offsetof(struct library, handle_drop) },
    { "dtrace_addr2str", offsetof(struct library, addr2str) },
    { "dtrace_uaddr2str", offsetof(struct library, uaddr2str) },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct consumer {
    atomic_int users;
    struct consumer *next; /* of those that have a handle */
    void *handle;
    int maps[32];
    size_t map_count;
    void **programs;
    size_t program_count, executed;
    bool spoiled, handled, going, done;
    char *output;
    size_t used, size;
    bool no_memory;
    size_t tracemem; /* the length of the last field, if it is of tracemem() */
    FILE *text; /* what libdtrace itself prints of records, into `printed` */
    char *printed;
    size_t printed_size, printed_taken;
    uint64_t interval, last_read; /* ns */
};

static struct consumer *consumers; /* that have a handle */

/* ---- the library ---- */

static void stop_all(void);

/* The first symbol that is missing, or NULL. */
static const char *find_symbols(void *library, struct library *to)
{
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *address = dlsym(library, symbols[i].name);
        if (address == NULL)
            return symbols[i].name;
        memcpy((char *)to + symbols[i].offset, &address, sizeof address);
    }
    void *init = dlsym(library, "dtrace_init");
    memcpy(&to->init, &init, sizeof init);
    return NULL;
}

/* The symbol is a pointer to text in <dtrace.h> of 2.0.7; if it were the text ("Sun D 1.13.1"), its eighth byte were not
   0, as those of addresses are. */
static const char *version_of(const char *symbol)
{
    const char *pointer;
    memcpy(&pointer, symbol, sizeof pointer);
    return symbol[sizeof pointer - 1] == '\0' ? pointer : symbol;
}

static const char *load(void)
{
    static char why[256];
    const char *name = getenv("USDT_LIBDTRACE");
    if (name == NULL)
        name = default_name;
    if (name == NULL)
        return "the libdtrace of this system is not supported";
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(why, sizeof why, "libdtrace cannot be loaded: %s", dlerror());
        return why;
    }
    const char *missing = find_symbols(library, &lib);
    if (missing != NULL) {
        snprintf(why, sizeof why, "%s has no %s", name, missing);
        return why;
    }
    snprintf(version, sizeof version, "%s", version_of(lib.version));
    loaded = library;
    enabled = false;
    return NULL;
}

const char *libdtrace_load(void)
{
    static bool done;
    static const char *reason;
    pthread_mutex_lock(&lock);
    if (!done) {
        reason = load();
        atexit(stop_all); /* process.exit() finalizes nothing */
    }
    done = true;
    pthread_mutex_unlock(&lock);
    return reason;
}

bool libdtrace_is_untried(void)
{
    return lib.init == NULL;
}

const char *libdtrace_version(void)
{
    return version;
}

/* libdtrace 2.0.7 enables once in its life, whatever is opened and closed: when nobody has it, it is loaded anew. (With
   copies of it side by side BEGIN does not fire.) */
static void reload(void)
{
    if (handles > 0 || !enabled || lib.init == NULL)
        return;
    dlclose(loaded);
    loaded = NULL;
    load();
}

/* ---- output ---- */

static void put_bytes(struct consumer *c, const void *bytes, size_t length)
{
    if (c->size - c->used < length) {
        size_t size = 2 * (c->used + length);
        char *output = c->no_memory ? NULL : realloc(c->output, size);
        if (output == NULL) {
            c->no_memory = true;
            return;
        }
        c->output = output;
        c->size = size;
    }
    memcpy(c->output + c->used, bytes, length);
    c->used += length;
}

static void put_header(struct consumer *c, enum tag tag, size_t length)
{
    uint32_t header[2] = { tag, (uint32_t)length };
    put_bytes(c, header, sizeof header);
}

static void put(struct consumer *c, enum tag tag, const void *bytes, size_t length)
{
    put_header(c, tag, length);
    put_bytes(c, bytes, length);
}

static void put_failure(struct consumer *c, const char *what, const char *message)
{
    put_header(c, FAILED, strlen(what) + strlen(message));
    put_bytes(c, what, strlen(what));
    put_bytes(c, message, strlen(message));
}

static void failed(struct consumer *c, const char *what)
{
    put_failure(c, what, lib.errmsg(c->handle, lib.errnumber(c->handle)));
}

/* Four names, each ended by a NUL. */
static void put_probe(struct consumer *c, const void *probe)
{
    static const struct linux_probe none = { 0, "", "", "", "" };
    const char *names[4];
    const struct linux_probe *p = probe != NULL ? probe : &none;
    const struct classic_probe *classic = probe;
    if (lib.init != NULL || probe == NULL)
        memcpy(names, (const char *[]) { p->provider, p->module, p->function, p->name }, sizeof names);
    else
        memcpy(names, (const char *[]) { classic->provider, classic->module, classic->function, classic->name },
               sizeof names);
    size_t length = 0;
    for (int i = 0; i < 4; i++)
        length += strlen(names[i]) + 1;
    put_header(c, PROBE, length);
    for (int i = 0; i < 4; i++)
        put_bytes(c, names[i], strlen(names[i]) + 1);
}

static uint64_t word(const char *data, size_t index)
{
    uint64_t value;
    memcpy(&value, data + index * sizeof value, sizeof value);
    return value;
}

/* An address as module`symbol+offset; pid 0 is the kernel. */
static void name_address(struct consumer *c, uint64_t pid, uint64_t address, char *name, int size)
{
    name[0] = '\0';
    if (pid == 0)
        lib.addr2str(c->handle, address, name, size);
    else
        lib.uaddr2str(c->handle, (pid_t)pid, address, name, size);
}

enum { NAME_SIZE = 2048 };

static void put_symbol(struct consumer *c, unsigned action, const char *data)
{
    char name[NAME_SIZE], *end = NULL;
    if (action == SYM || action == MOD)
        name_address(c, 0, word(data, 0), name, sizeof name);
    else
        name_address(c, word(data, 0), word(data, 1), name, sizeof name);
    if (action == MOD || action == UMOD)
        end = strchr(name, '`');
    else if (action != UADDR)
        end = strstr(name, "+0x");
    if (end != NULL)
        *end = '\0';
    put(c, STRING, name, strlen(name));
}

/* The frames, each ended by a newline. On Linux: their number, a word whose upper half is the process (ustack()),
   addresses; elsewhere, for ustack(), the process, and addresses. The last is followed by 0, if there is room. */
static void put_stack(struct consumer *c, unsigned action, const char *data, size_t size, uint64_t arg)
{
    bool user = action != STACK;
    size_t words = size / sizeof(uint64_t), first = lib.init != NULL ? 2 : user ? 1 : 0;
    uint64_t pid = !user || words < first ? 0 : lib.init != NULL ? word(data, 1) >> 32 : word(data, 0);
    if (lib.init == NULL && (uint32_t)arg != 0 && words > first + (uint32_t)arg)
        words = first + (uint32_t)arg; /* strings follow, of jstack() */
    size_t header = c->used;
    put_header(c, FRAMES, 0);
    for (size_t i = first; i < words && word(data, i) != 0; i++) {
        char name[NAME_SIZE];
        name_address(c, pid, word(data, i), name, sizeof name - 1);
        strcat(name, "\n");
        put_bytes(c, name, strlen(name));
    }
    uint32_t length = (uint32_t)(c->used - header - 2 * sizeof(uint32_t));
    if (!c->no_memory)
        memcpy(c->output + header + sizeof length, &length, sizeof length);
}

/* Of what tracemem() recorded, only so much was asked for. */
static void cut_tracemem(struct consumer *c, uint64_t length)
{
    if (length >= c->tracemem || c->no_memory)
        return;
    uint32_t left = (uint32_t)length;
    memcpy(c->output + c->used - c->tracemem - sizeof left, &left, sizeof left);
    c->used -= c->tracemem - left;
}

static uint64_t integer(const char *data, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, data, size < sizeof value ? size : sizeof value); /* little-endian, as all that has DTrace 2 */
    return value;
}

/* A record of either system. */
struct record {
    unsigned action;
    size_t size;
    uint64_t arg;
    const char *data;
    bool key;
};

static void put_expression(struct consumer *c, const struct record *r)
{
    bool is_integer = r->size == 1 || r->size == 2 || r->size == 4 || r->size == 8;
    if (!is_integer || (lib.init != NULL && !r->key && r->arg & LINUX_BY_REFERENCE))
        put(c, STRING, r->data, strnlen(r->data, r->size));
    else /* of keys, and elsewhere than on Linux, libdtrace does not say; it prints them signed */
        put(c, lib.init == NULL || r->key || r->arg & LINUX_SIGNED ? SIGNED : UNSIGNED, r->data, r->size);
}

/* False if only libdtrace can say what it is: it is to print it. */
static bool put_record(struct consumer *c, const struct record *r)
{
    switch (r->action) {
    case EXPRESSION: put_expression(c, r); return true;
    case EXIT: put(c, SIGNED, r->data, r->size); return true;
    case USTACK: case JSTACK: case STACK: put_stack(c, r->action, r->data, r->size, r->arg); return true;
    case USYM: case UMOD: case UADDR: case SYM: case MOD: put_symbol(c, r->action, r->data); return true;
    case TRACEMEM:
        if (lib.init == NULL || (r->arg != LINUX_TRACEMEM_SIZE && r->arg != LINUX_TRACEMEM_SIGNED_SIZE)) {
            put(c, BYTES, r->data, r->size);
            c->tracemem = r->size;
        } else {
            cut_tracemem(c, integer(r->data, r->size));
        }
        return true;
    case CLASSIC_TRACEMEM_SIZE:
        if (lib.init == NULL)
            cut_tracemem(c, integer(r->data, r->size));
        return lib.init == NULL;
    default: return false;
    }
}

static struct record record_of(const void *record, const char *data)
{
    if (lib.init != NULL) {
        const struct linux_record *r = record;
        return (struct record) { r->action, r->size, r->arg, data, false };
    }
    const struct classic_record *r = record;
    return (struct record) { r->action, r->size, r->arg, data, false };
}

/* ---- callbacks ---- */

/* What libdtrace printed since the last call is the value of the record before. */
static void put_printed(struct consumer *c)
{
    if (c->text == NULL || fflush(c->text) != 0)
        return;
    if (c->printed_size > c->printed_taken)
        put(c, STRING, c->printed + c->printed_taken, c->printed_size - c->printed_taken);
    c->printed_taken = c->printed_size;
}

static int on_probe(const void *data, void *consumer)
{
    const struct linux_data *d = data;
    const struct classic_data *classic = data;
    put_probe(consumer, lib.init != NULL ? (const void *)d->probe : classic->probe);
    return THIS_RECORD;
}

static int on_record(const void *data, const void *record, void *consumer)
{
    struct consumer *c = consumer;
    put_printed(c);
    if (record == NULL) {
        put_header(c, END, 0);
        return THIS_RECORD;
    }
    const struct linux_data *d = data;
    const struct classic_data *classic = data;
    struct record r = record_of(record, lib.init != NULL ? d->data : classic->data);
    return put_record(c, &r) ? NEXT_RECORD : THIS_RECORD;
}

static void put_key(struct consumer *c, const void *record, const char *data)
{
    struct record r = record_of(record, data);
    r.key = true;
    if (!put_record(c, &r))
        put(c, BYTES, r.data, r.size);
}

/* An aggregating action's kind, in the order of decode.js; those of Linux, in the order of their numbers there, are
   the position in `order`. */
static uint32_t kind_of(unsigned action)
{
    /* avg count llquantize lquantize max min quantize stddev sum: seen with 2.0.7 */
    static const unsigned char order[] = { 4, 1, 9, 8, 3, 2, 7, 6, 5 };
    unsigned n = action - AGGREGATING;
    return lib.init == NULL ? n : n < sizeof order ? order[n] : 0;
}

/* kind, encoding of llquantize(), parameters of the ranges, divisor; then the data */
static void put_result(struct consumer *c, const struct record *r, uint64_t parameters, uint64_t normal)
{
    uint32_t kind = kind_of(r->action), classic = lib.init == NULL;
    put_header(c, RESULT, 2 * sizeof kind + 2 * sizeof normal + r->size);
    put_bytes(c, &kind, sizeof kind);
    put_bytes(c, &classic, sizeof classic);
    put_bytes(c, &parameters, sizeof parameters);
    put_bytes(c, &normal, sizeof normal);
    put_bytes(c, r->data, r->size);
}

static int on_aggregation(const void *aggregation, void *consumer)
{
    struct consumer *c = consumer;
    if (lib.init != NULL) {
        const struct linux_aggregation *a = aggregation;
        const struct linux_aggregation_description *d = a->description;
        put(c, AGGREGATION, &d->variable, sizeof d->variable);
        for (unsigned i = 1; i < d->key_count; i++)
            put_key(c, &d->keys[i], a->key + d->keys[i].offset);
        struct record value = record_of(&d->records[1], a->data + d->records[1].offset);
        put_result(c, &value, d->signature, d->normal);
    } else {
        const struct classic_aggregation *a = aggregation;
        const struct classic_aggregation_description *d = a->description;
        uint32_t variable = (uint32_t)d->variable;
        put(c, AGGREGATION, &variable, sizeof variable);
        for (int i = 1; i < d->count - 1; i++)
            put_key(c, &d->records[i], a->data + d->records[i].offset);
        struct record value = record_of(&d->records[d->count - 1], a->data + d->records[d->count - 1].offset);
        uint64_t parameters = 0;
        if (kind_of(value.action) >= 8) { /* lquantize, llquantize: the first word */
            parameters = word(value.data, 0);
            value.data += sizeof parameters;
            value.size -= sizeof parameters;
        }
        put_result(c, &value, parameters, a->normal);
    }
    return REMOVE;
}

/* kind, cpu, drops, total; then the message */
static int on_drop(const void *data, void *consumer)
{
    const struct drop *d = data;
    uint64_t numbers[4] = { (uint64_t)d->kind, (uint64_t)d->cpu, d->drops, d->total };
    const char *message = d->message != NULL ? d->message : "";
    put_header(consumer, DROP, sizeof numbers + strlen(message));
    put_bytes(consumer, numbers, sizeof numbers);
    put_bytes(consumer, message, strlen(message));
    return HANDLED;
}

/* the probe; then number, cpu, address, message */
static int on_fault(const void *data, void *consumer)
{
    const struct fault *f = data;
    uint64_t numbers[3] = { (uint64_t)f->number, (uint64_t)f->cpu, f->address };
    const char *message = f->message != NULL ? f->message : "";
    put_probe(consumer, f->probe);
    put_header(consumer, FAULT, sizeof numbers + strlen(message));
    put_bytes(consumer, numbers, sizeof numbers);
    put_bytes(consumer, message, strlen(message));
    return HANDLED;
}

/* ---- operations ---- */

/* libdtrace 2.0.7 opens without privileges, and fails later with something misleading. */
static bool privileged(void)
{
#if defined(__linux__)
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    enum { BPF = 39 }; /* CAP_BPF, of Linux 5.8 */
    if (syscall(SYS_capget, &header, data) == 0)
        return data[0].effective >> CAP_SYS_ADMIN & 1 || data[1].effective >> (BPF - 32) & 1;
#endif
    return true;
}

static void open_handle(struct consumer *c)
{
    int error = 0;
    if (lib.init != NULL && getenv("USDT_LIBDTRACE") == NULL && !privileged()) {
        put_failure(c, "", "DTrace requires additional privileges");
        return;
    }
    if (loaded == NULL) {
        put_failure(c, "", "libdtrace cannot be loaded again");
        return;
    }
    c->handle = lib.open(API_VERSION, 0, &error);
    if (c->handle == NULL) {
        put_failure(c, "", lib.errmsg(NULL, error));
        return;
    }
    if (lib.setopt(c->handle, "bufsize", "512k") != 0 || lib.setopt(c->handle, "aggsize", "512k") != 0 ||
        (lib.init != NULL && lib.init(c->handle) != 0)) {
        failed(c, "");
        lib.close(c->handle);
        c->handle = NULL;
        return;
    }
    c->next = consumers;
    consumers = c;
    handles++;
}

/* libdtrace 2.0.7 leaves its BPF maps open when it is closed: descriptors, and memory of the kernel. Those that
   dtrace_go() opens are noted, and closed if they still are such. */
static bool is_map(int descriptor)
{
    char path[32], target[32] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return readlink(path, target, sizeof target - 1) > 0 && strcmp(target, "anon_inode:bpf-map") == 0;
}

static size_t list_maps(int *maps, size_t most)
{
    size_t count = 0;
    DIR *dir = lib.init != NULL ? opendir("/proc/self/fd") : NULL;
    for (struct dirent *entry; dir != NULL && count < most && (entry = readdir(dir)) != NULL;) {
        int descriptor = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && is_map(descriptor))
            maps[count++] = descriptor;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

static void note_maps(struct consumer *c, const int *before, size_t before_count)
{
    int after[1024];
    size_t count = list_maps(after, sizeof after / sizeof after[0]), most = sizeof c->maps / sizeof c->maps[0];
    for (size_t i = 0; i < count && c->map_count < most; i++) {
        size_t known = 0;
        while (known < before_count && before[known] != after[i])
            known++;
        if (known == before_count)
            c->maps[c->map_count++] = after[i];
    }
}

static void close_maps(struct consumer *c)
{
    while (c->map_count > 0) {
        int descriptor = c->maps[--c->map_count];
        if (is_map(descriptor))
            close(descriptor);
    }
}

/* Of a program that was wrong the clauses before the one that was stay, and libdtrace 2.0.7 crashes by them later; and
   what it compiles after dtrace_program_exec() damages its heap. */
static bool is_spoiled(struct consumer *c, const char *what)
{
    if (c->spoiled)
        put_failure(c, what, "after an error this libdtrace takes nothing more: stop this consumer, open another");
    return c->spoiled;
}

static void compile(struct consumer *c, const char *text)
{
    if (is_spoiled(c, "couldn't compile: "))
        return;
    void **programs = realloc(c->programs, (c->program_count + 1) * sizeof *programs);
    if (programs == NULL) {
        put_failure(c, "couldn't compile: ", "no memory");
        return;
    }
    c->programs = programs;
    void *program = lib.strcompile(c->handle, text, PROBESPEC_NAME, 0, 0, NULL);
    if (program != NULL) {
        programs[c->program_count++] = program;
        return;
    }
    failed(c, "couldn't compile: ");
    c->spoiled = lib.init != NULL;
}

/* In the order of dtrace(1): dtrace_handle_err() compiles a clause. */
static bool execute(struct consumer *c)
{
    uint64_t info[32]; /* dtrace_proginfo_t, of less than 64 bytes */
    if (!c->handled && (lib.handle_fault(c->handle, on_fault, c) != 0 || lib.handle_drop(c->handle, on_drop, c) != 0))
        return false;
    c->handled = true;
    for (; c->executed < c->program_count; c->executed++)
        if (lib.exec(c->handle, c->programs[c->executed], info) != 0)
            return false;
    return true;
}

/* Linux says that there are records by its next clock tick: those of BEGIN and END are wanted at once. */
static void settle(void)
{
    if (lib.init != NULL)
        nanosleep(&(struct timespec) { .tv_nsec = 20000000 }, NULL);
}

static void go(struct consumer *c)
{
    if (is_spoiled(c, "couldn't enable: "))
        return;
    if (lib.init != NULL && enabled) {
        put_failure(c, "couldn't enable: ",
                    "this libdtrace enables one consumer at a time: all others must be stopped before");
        return;
    }
    enabled = true;
    int before[1024];
    size_t count = list_maps(before, sizeof before / sizeof before[0]);
    c->going = execute(c) && lib.go(c->handle, 0) == 0;
    note_maps(c, before, count);
    if (!c->going) {
        failed(c, "couldn't enable: ");
        c->spoiled = lib.init != NULL;
    }
    settle();
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* On Linux dtrace_consume() waits for data, as long as the option switchrate says, 1 s if it is not set. It is told not
   to wait, and what the option means elsewhere (nothing is read more often) is done here. */
static void do_not_wait(struct consumer *c)
{
    uint64_t rate = 0, unset = (uint64_t)-2;
    if (lib.init == NULL || lib.getopt(c->handle, "switchrate", &rate) != 0 || rate == 1)
        return;
    c->interval = rate == unset ? 0 : rate;
    lib.setopt(c->handle, "switchrate", "1ns");
}

static bool too_early(struct consumer *c)
{
    uint64_t time = now();
    if (c->last_read != 0 && time - c->last_read < c->interval)
        return true;
    c->last_read = time;
    return false;
}

static void read_records(struct consumer *c)
{
    c->printed_taken = c->printed_size = 0;
    c->text = open_memstream(&c->printed, &c->printed_size);
    int status = lib.work(c->handle, c->text, on_probe, on_record, c);
    if (status == WORK_DONE && !c->done) {
        c->done = true;
        settle(); /* exit() has just been seen, and END has fired */
        status = lib.work(c->handle, c->text, on_probe, on_record, c);
    }
    put_printed(c);
    if (status == -1)
        failed(c, "");
    else if (status == WORK_DONE)
        put_header(c, DONE, 0);
    if (c->text != NULL)
        fclose(c->text);
    c->text = NULL;
    free(c->printed);
    c->printed = NULL;
}

static void stop(struct consumer *c)
{
    if (c->going) {
        if (lib.stop(c->handle) != 0)
            failed(c, "couldn't disable: ");
        do_not_wait(c);
        settle();
        read_records(c); /* END's, and drops */
    }
    lib.close(c->handle);
    c->handle = NULL;
    free(c->programs);
    c->programs = NULL;
    close_maps(c);
    struct consumer **at = &consumers;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    handles--;
    reload();
}

static void stop_all(void)
{
    pthread_mutex_lock(&lock);
    while (consumers != NULL)
        stop(consumers);
    pthread_mutex_unlock(&lock);
}

static void operate(struct consumer *c, enum operation operation, const char *text, const char *value)
{
    if (operation == OPEN) {
        open_handle(c);
        return;
    }
    if (c->handle == NULL) {
        put_failure(c, "", "consumer is stopped");
        return;
    }
    switch (operation) {
    case COMPILE: compile(c, text); break;
    case GO: go(c); break;
    case READ:
        do_not_wait(c);
        if (!too_early(c))
            read_records(c);
        break;
    case AGGREGATE:
        if (lib.snap(c->handle) != 0 || lib.walk(c->handle, on_aggregation, c) != 0)
            failed(c, "");
        break;
    case SETOPT:
        if (lib.setopt(c->handle, text, value) != 0)
            failed(c, "couldn't set option: ");
        break;
    default: stop(c);
    }
}

void consumer_do(struct consumer *c, enum operation operation, const char *text, const char *value)
{
    pthread_mutex_lock(&lock);
    operate(c, operation, text, value);
    pthread_mutex_unlock(&lock);
}

bool consumer_take(struct consumer *c, char **output, size_t *size)
{
    pthread_mutex_lock(&lock);
    bool whole = !c->no_memory;
    *output = c->output;
    *size = whole ? c->used : 0;
    c->output = NULL;
    c->used = c->size = 0;
    c->no_memory = false;
    pthread_mutex_unlock(&lock);
    return whole;
}

struct consumer *consumer_new(void)
{
    struct consumer *c = calloc(1, sizeof *c);
    if (c != NULL)
        atomic_init(&c->users, 1);
    return c;
}

void consumer_keep(struct consumer *c)
{
    atomic_fetch_add(&c->users, 1);
}

static void *end(void *consumer)
{
    struct consumer *c = consumer;
    pthread_mutex_lock(&lock);
    if (c->handle != NULL)
        stop(c);
    pthread_mutex_unlock(&lock);
    free(c->output);
    free(c);
    return NULL;
}

/* Of a collected consumer that was not stopped: not in the event loop's thread. */
void consumer_release(struct consumer *c)
{
    pthread_t thread;
    if (atomic_fetch_sub(&c->users, 1) != 1)
        return;
    if (c->handle == NULL) {
        free(c->output);
        free(c);
    } else if (pthread_create(&thread, NULL, end, c) == 0) {
        pthread_detach(thread);
    } else {
        end(c);
    }
}
