/*
 * fake_libdtrace.c - a libdtrace that needs no kernel: what it records is what the D program says. One file for the
 * interface of DTrace 2 for Linux, and, with -DCLASSIC, for that of illumos and FreeBSD. Written from their headers,
 * and not from layouts.h. It ends the process if two threads are in it at once.
 *
 * A program is lines of words; bytes are hexadecimal. What strcompile() does not do itself happens at the first
 * dtrace_work(), after dtrace_stop() if the line begins with END.
 *     error MESSAGE            the compilation fails         sleep MS, gosleep MS   it, or go, takes so long
 *     goerror, snaperror, workerror, stoperror MESSAGE       these fail
 *     probe PROVIDER MODULE FUNCTION NAME                    a probe fires; its records follow (-: no name)
 *     record ACTION SIZE ARG BYTES                           as many bytes as there are, then zeros
 *     print TEXT               a record that libdtrace prints, of printf(): %20 is a space, %0a a newline
 *     done                     as after exit()
 *     count                    each dtrace_work() records its number
 *     drop KIND DROPS TOTAL MESSAGE
 *     fault NUMBER ADDRESS MESSAGE                           of the last probe
 *     aggregation VARID NORMAL                               its keys follow, and a value
 *     key ACTION SIZE ARG BYTES                              value ACTION PARAMETERS BYTES
 *     crash, quit              the process is ended by SIGABRT, by _exit()
 * The option "shown" is refused; the message is its value. The program of trial.js, which is real, is this: what follows,
 * or what is in the environment as FAKE_TRIAL.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#ifdef CLASSIC
typedef struct { uint32_t id; char provider[64], mod[64], func[128], name[64]; } probedesc_t;
typedef struct {
    uint16_t action; uint32_t size, offset; uint16_t alignment; uint16_t format; uint64_t arg; uint64_t uarg;
} recdesc_t;
typedef struct {
    void *handle, *edesc; probedesc_t *pdesc; int cpu; char *data; int flow; const char *prefix; int indent;
} probedata_t;
typedef struct {
    char *name; int64_t varid; int flags; uint32_t id, epid, size; int nrecs; uint32_t pad; recdesc_t rec[16];
} aggdesc_t;
typedef struct {
    void *handle; aggdesc_t *desc; void *edesc; probedesc_t *pdesc; char *data; uint64_t normal; size_t size;
    char *delta, **percpu, **percpu_delta;
} aggdata_t;
#else
typedef struct { uint32_t id; const char *provider, *mod, *func, *name; } probedesc_t;
typedef struct {
    uint16_t action; uint32_t size, offset; uint16_t alignment; void *format; uint64_t arg;
} recdesc_t;
typedef struct {
    void *handle; uint32_t stid; void *ddesc; probedesc_t *pdesc; unsigned cpu; char *data; int flow;
    const char *prefix; int indent;
} probedata_t;
typedef struct {
    const char *name; uint32_t varid; int flags; uint64_t sig, normal; uint32_t ksize, dsize; unsigned nkrecs, keyidx;
    recdesc_t *krecs, *drecs;
} aggdesc_t;
typedef struct { void *handle; aggdesc_t *desc; char *key, *data, **percpu; } aggdata_t;
#endif
typedef struct {
    void *handle, *desc; probedesc_t *pdesc; int cpu, action, offset, fault; uint64_t addr; const char *msg;
} errdata_t;
typedef struct { void *handle; int cpu, kind; uint64_t drops, total; const char *msg; } dropdata_t;

typedef int probe_f(const probedata_t *, void *);
typedef int rec_f(const probedata_t *, const recdesc_t *, void *);
typedef int agg_f(const aggdata_t *, void *);
typedef int err_f(const errdata_t *, void *);
typedef int drop_f(const dropdata_t *, void *);

typedef struct {
    char *program, message[256];
    uintptr_t compiled, executed;
    int wrong, initialized, going, stopped, worked, walked, ended, done;
    uint64_t switchrate;
    err_f *on_error;
    drop_f *on_drop;
    void *error_arg, *drop_arg;
} handle_t;

const char *const _dtrace_version = "D fake";
static atomic_int inside;
static atomic_int handles;

static void enter(const char *name)
{
    if (atomic_fetch_add(&inside, 1) == 0)
        return;
    fprintf(stderr, "two threads in libdtrace: %s\n", name);
    abort();
}
#define ENTER enter(__func__)
#define LEAVE(value) do { atomic_fetch_sub(&inside, 1); return value; } while (0)

static void nap(int ms)
{
    nanosleep(&(struct timespec) { ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static int fail(handle_t *h, const char *message)
{
    snprintf(h->message, sizeof h->message, "%s", message);
    return -1;
}

/* The rest of the line that begins with a word; NULL if there is none. */
static char *line(const handle_t *h, const char *word)
{
    static char found[4096];
    for (const char *at = h->program; at != NULL && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        if (strncmp(at, word, strlen(word)) == 0 && strchr(" \n", at[strlen(word)]) != NULL) {
            snprintf(found, sizeof found, "%.*s", (int)strcspn(at, "\n"), at);
            return found + strlen(word) + (found[strlen(word)] == ' ');
        }
    }
    return NULL;
}

static size_t bytes(const char *hex, char *to, size_t size)
{
    size_t count = strlen(hex) / 2;
    memset(to, 0, size);
    for (size_t i = 0; i < count && i < size; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        to[i] = (char)byte;
    }
    return count;
}

#define ZEROS "0000000000000000"
static const char trial[] =
    "probe dtrace - - BEGIN\nrecord 1 4 1 2a000000\nrecord 1 256 4 74657874\nprint 7%20printed\n"
    "fault 1 16 invalid address (0x10)\nrecord 2 4 1 00000000\ndone\n"
    "aggregation 1 1\nkey 1 4 1 fbffffff\nkey 1 256 4 6b6579\nvalue 705 0 0300000000000000\n"
    "aggregation 2 1\nvalue 708 2814792716779520 "
    ZEROS ZEROS "0100000000000000" ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS "\n";

handle_t *dtrace_open(int version, int flags, int *error)
{
    ENTER;
    if (version != 3 || flags != 0 || getenv("FAKE_OPEN_ERROR") != NULL) {
        *error = 1;
        LEAVE(NULL);
    }
    atomic_fetch_add(&handles, 1);
    handle_t *h = calloc(1, sizeof *h);
#ifdef CLASSIC
    h->initialized = 1;
#endif
    LEAVE(h);
}

#ifndef CLASSIC
int dtrace_init(handle_t *h)
{
    ENTER;
    h->initialized = 1;
    LEAVE(0);
}
#endif

int dtrace_errno(handle_t *h)
{
    (void)h;
    return 1;
}

const char *dtrace_errmsg(handle_t *h, int error)
{
    (void)error;
    return h == NULL ? "DTrace requires additional privileges" : h->message;
}

void dtrace_close(handle_t *h)
{
    ENTER;
    free(h->program);
    free(h);
    if (atomic_fetch_sub(&handles, 1) == 1 && getenv("FAKE_CLOSED") != NULL)
        fprintf(stderr, "all closed\n");
    atomic_fetch_sub(&inside, 1);
}

int dtrace_setopt(handle_t *h, const char *name, const char *value)
{
    ENTER;
    if (strcmp(name, "switchrate") == 0)
        h->switchrate = strtoull(value, NULL, 10) * (strstr(value, "ms") ? 1000000 : 1);
    else if (strcmp(name, "shown") != 0 && strcmp(name, "bufsize") != 0 && strcmp(name, "aggsize") != 0)
        LEAVE(fail(h, "Invalid option name"));
    else if (strcmp(name, "shown") == 0)
        LEAVE(fail(h, value == NULL ? "no value" : value));
    LEAVE(0);
}

int dtrace_getopt(handle_t *h, const char *name, uint64_t *value)
{
    ENTER;
    *value = h->switchrate;
    LEAVE(strcmp(name, "switchrate") == 0 ? 0 : -1);
}

void *dtrace_program_strcompile(handle_t *h, const char *text, int spec, unsigned flags, int argc, char *const argv[])
{
    (void)argv;
    ENTER;
    if (strstr(text, "dtrace:::BEGIN") != NULL)
        text = getenv("FAKE_TRIAL") != NULL ? getenv("FAKE_TRIAL") : trial;
    char *before = h->program;
    h->program = strdup(text);
#ifndef CLASSIC
    if (h->wrong || h->executed) /* it damages the heap */
        abort();
#endif
    if (line(h, "crash") != NULL)
        abort();
    if (line(h, "quit") != NULL)
        _exit(0);
    if (line(h, "sleep") != NULL)
        nap(atoi(line(h, "sleep")));
    if (!h->initialized || spec != 3 || flags != 0 || argc != 0)
        fail(h, "bad call");
    else if (line(h, "error") != NULL)
        fail(h, line(h, "error"));
    else {
        char *both = NULL;
        if (before != NULL && asprintf(&both, "%s\n%s", before, h->program) > 0) {
            free(h->program);
            h->program = both;
        }
        free(before);
        LEAVE((void *)++h->compiled);
    }
    free(h->program);
    h->program = before;
    h->wrong = 1;
    LEAVE(NULL);
}

int dtrace_program_exec(handle_t *h, void *program, void *info)
{
    ENTER;
    memset(info, 0, 64);
    LEAVE((uintptr_t)program == ++h->executed ? 0 : fail(h, "another program"));
}

int dtrace_go(handle_t *h, unsigned flags)
{
    ENTER;
    if (line(h, "gosleep") != NULL)
        nap(atoi(line(h, "gosleep")));
#ifndef CLASSIC
    static handle_t *enabled; /* as of 2.0.7 */
    if (enabled != NULL && enabled != h)
        LEAVE(fail(h, "Bad file descriptor"));
    enabled = h;
#endif
    if (line(h, "goerror") != NULL || flags != 0 || h->executed != h->compiled)
        LEAVE(fail(h, line(h, "goerror")));
    h->going = 1;
    LEAVE(0);
}

int dtrace_stop(handle_t *h)
{
    ENTER;
    h->stopped = 1;
    LEAVE(line(h, "stoperror") != NULL ? fail(h, line(h, "stoperror")) : 0);
}

int dtrace_handle_err(handle_t *h, err_f *f, void *arg)
{
    h->on_error = f;
    h->error_arg = arg;
#ifndef CLASSIC
    if (h->executed) /* it damages the heap */
        abort();
#endif
    return h->initialized && h->program != NULL ? 0 : fail(h, "too early");
}

int dtrace_handle_drop(handle_t *h, drop_f *f, void *arg)
{
    h->on_drop = f;
    h->drop_arg = arg;
    return 0;
}

static void set_probe(probedesc_t *p, char names[4][128])
{
#ifdef CLASSIC
    snprintf(p->provider, sizeof p->provider, "%.63s", names[0]);
    snprintf(p->mod, sizeof p->mod, "%.63s", names[1]);
    snprintf(p->func, sizeof p->func, "%s", names[2]);
    snprintf(p->name, sizeof p->name, "%.63s", names[3]);
#else
    p->provider = names[0];
    p->mod = names[1];
    p->func = names[2];
    p->name = names[3];
#endif
}

static void print(FILE *fp, const char *text)
{
    for (; *text; text++) {
        unsigned byte = (unsigned char)*text;
        if (*text == '%' && sscanf(text + 1, "%2x", &byte) == 1)
            text += 2;
        fputc((int)byte, fp);
    }
}

int dtrace_work(handle_t *h, FILE *fp, probe_f *pf, rec_f *rf, void *arg)
{
    ENTER;
    if (h->going && !h->stopped && line(h, "workerror") != NULL)
        LEAVE(fail(h, line(h, "workerror")));
    static char names[4][128], data[4096], hex[8192], text[4096];
    probedesc_t probe = { 0 };
    probedata_t d = { .handle = h, .pdesc = &probe, .data = data };
    int firing = 0, end = h->stopped && !h->ended, begin = h->worked++ == 0;
    h->ended = h->stopped;
#ifndef CLASSIC
    if (h->switchrate != 1) /* the real one would wait */
        LEAVE(fail(h, "switchrate is not 1 ns"));
#endif
    set_probe(&probe, names);
    for (char *at = h->program; at != NULL && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        unsigned action, size, kind;
        unsigned long long a, b;
        int is_end = strncmp(at, "END ", 4) == 0;
        const char *l = at + (is_end ? 4 : 0);
        recdesc_t rec = { 0 };
        if (is_end ? !end : !begin)
            continue;
        hex[0] = text[0] = '\0';
        if (strncmp(l, "probe ", 6) == 0) {
            if (firing)
                rf(&d, NULL, arg);
            sscanf(l, "probe %127s %127s %127s %127s", names[0], names[1], names[2], names[3]);
            for (int i = 0; i < 4; i++)
                if (strcmp(names[i], "-") == 0)
                    names[i][0] = '\0';
            set_probe(&probe, names);
            firing = 1;
            if (pf(&d, arg) != 0)
                abort();
        } else if (sscanf(l, "record %x %u %llu %8191[0-9a-f]", &action, &size, &a, hex) >= 3) {
            rec.action = (uint16_t)action;
            rec.size = size;
            rec.arg = a;
            bytes(hex, data, sizeof data);
            if (rf(&d, &rec, arg) == 0)
                fprintf(fp, "<%x>", action);
        } else if (sscanf(l, "print %4095s", text) == 1) {
            rec.action = 3;
            if (rf(&d, &rec, arg) != 0)
                abort();
            print(fp, text);
        } else if (sscanf(l, "drop %u %llu %llu %4095[^\n]", &kind, &a, &b, text) == 4) {
            dropdata_t drop = { h, 1, (int)kind, a, b, text };
            h->on_drop(&drop, h->drop_arg);
        } else if (sscanf(l, "fault %u %llu %4095[^\n]", &kind, &a, text) == 3) {
            errdata_t error = { h, NULL, &probe, 2, 0, 0, (int)kind, a, text };
            h->on_error(&error, h->error_arg);
        } else if (strncmp(l, "done", 4) == 0) {
            h->done = 1;
        }
    }
    if (line(h, "count") != NULL) {
        recdesc_t rec = { .action = 1, .size = 4 };
        firing = 1;
        memcpy(data, &h->worked, sizeof h->worked);
        if (pf(&d, arg) != 0 || rf(&d, &rec, arg) != 1)
            abort();
    }
    if (firing)
        rf(&d, NULL, arg);
    LEAVE(h->done || h->stopped);
}

int dtrace_aggregate_snap(handle_t *h)
{
    ENTER;
    LEAVE(line(h, "snaperror") != NULL ? fail(h, line(h, "snaperror")) : 0);
}

int dtrace_aggregate_walk(handle_t *h, agg_f *f, void *arg)
{
    ENTER;
    static char keys[8192], value[16384], hex[32768];
    static recdesc_t records[16];
    unsigned varid = 0, action, size, count = 1, offset = 8;
    unsigned long long normal = 1, a;
    for (char *at = h->walked ? NULL : h->program; at != NULL && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        hex[0] = '\0';
        if (sscanf(at, "aggregation %u %llu", &varid, &normal) == 2) {
            count = 1;
            offset = 8;
            memset(keys, 0, sizeof keys);
        } else if (sscanf(at, "key %x %u %llu %32767[0-9a-f]", &action, &size, &a, hex) >= 3) {
            bytes(hex, keys + offset, size);
            records[count++] = (recdesc_t) { .action = (uint16_t)action, .size = size, .offset = offset, .arg = a };
            offset += (size + 7) / 8 * 8;
        } else if (sscanf(at, "value %x %llu %32767[0-9a-f]", &action, &a, hex) == 3) {
            size = (unsigned)bytes(hex, value, sizeof value);
#ifdef CLASSIC
            aggdesc_t desc = { .name = (char *)"a", .varid = varid, .nrecs = (int)count + 1 };
            memcpy(desc.rec, records, count * sizeof *records);
            if (action >= 0x708) { /* its parameters are the first word */
                memmove(value + 8, value, size);
                memcpy(value, &a, 8);
                size += 8;
            }
            memcpy(keys + offset, value, size);
            desc.rec[count] = (recdesc_t) { .action = (uint16_t)action, .size = size, .offset = offset };
            aggdata_t d = { .handle = h, .desc = &desc, .data = keys, .normal = normal };
#else
            recdesc_t drecs[2] = { { .size = 8 }, { .action = (uint16_t)action, .size = size, .offset = 8 } };
            aggdesc_t desc = { .name = "a", .varid = varid, .sig = a, .normal = normal, .nkrecs = count,
                               .krecs = records, .drecs = drecs };
            memmove(value + 8, value, size);
            aggdata_t d = { .handle = h, .desc = &desc, .key = keys, .data = value };
#endif
            if (f(&d, arg) != 3)
                abort();
        }
    }
    h->walked = 1;
    LEAVE(0);
}

int dtrace_addr2str(handle_t *h, uint64_t addr, char *name, int size)
{
    (void)h;
    return snprintf(name, (size_t)size, "kernel`f%llx+0x4", (unsigned long long)addr);
}

int dtrace_uaddr2str(handle_t *h, pid_t pid, uint64_t addr, char *name, int size)
{
    (void)h;
    return snprintf(name, (size_t)size, "app%d`g%llx+0x8", (int)pid, (unsigned long long)addr);
}
