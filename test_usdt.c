/*
 * test_usdt.c - a program with probes, for the tests (test.pl, tests/) to drive.
 *
 * Knows only usdt.h. Two ways of use, see usage(): one probe given on the command line, as the
 * old library's test program took it, or commands on standard input with a reply to each.
 */
#define _POSIX_C_SOURCE 200809L
#include "usdt.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FIELDS_MAX = 80, NAMES_MAX = 256 };

static void usage(FILE *to)
{
    fputs("usage: test_usdt FUNC NAME [i|c]...   a probe testlibusdt:modname:FUNC:NAME with an int for\n"
          "                                      each i and a char * for each c; waits up to 10 seconds\n"
          "                                      for a tracer, then fires it once: exit code 0, else 1\n"
          "       test_usdt -                    read commands from standard input, fields separated by\n"
          "                                      tabs, and reply \"ok ...\" or \"error CODE MESSAGE\" to each\n"
          "\n"
          "  provider P NAME MODULE    probe D FUNC NAME [TYPE]...\n"
          "  add P D   remove P D   enable P   disable P   free P   release D\n"
          "  many P COUNT              adds COUNT probes many:m0, many:m1, ... of one int\n"
          "  nth D P INDEX             D is the provider's probe of this number\n"
          "  fire D [VALUE]...         i:NUMBER, s:STRING, r:LENGTH (a string of x), n: (NULL);\n"
          "                            the reply lists the values as passed, in hexadecimal\n"
          "  probe? D                  what usdt_is_enabled() and isenabled_addr say\n"
          "  semaphores P              usdt_provider_use_semaphores()\n"
          "  type P TEXT               usdt_provider_add_type()\n"
          "  translate D [INDEX TYPE]...           usdt_probe_translate()\n"
          "  code D SITE HEX [PLACE]...            usdt_probe_use_code()\n"
          "  stability P OF NAME DATA DEPENDENCY   usdt_provider_set_stability(), numbers\n"
          "  semaphore? D              the probe's count\n"
          "  keep D                    probe?, semaphore? and fire go on using the usdt_probe_t it has now\n"
          "  nulls P D                 what every function does with NULL: ok if it is what usdt.h says\n"
          "  fork                      the child takes the commands that follow, until its quit\n"
          "  quit\n",
          to);
}

/* ---- objects by name ---- */

struct named {
    char name[64];
    usdt_provider_t *provider;
    usdt_probedef_t *def;
    usdt_probe_t *kept;
};
static struct named objects[NAMES_MAX];

static struct named *find(const char *name)
{
    for (size_t i = 0; i < NAMES_MAX; i++)
        if (strcmp(objects[i].name, name) == 0)
            return &objects[i];
    return NULL;
}

static struct named *make(const char *name)
{
    struct named *object = find(name);
    if (object == NULL)
        object = find("");
    if (object == NULL || strlen(name) >= sizeof object->name)
        exit(2);
    *object = (struct named){ .name = "" };
    strcpy(object->name, name);
    return object;
}

static usdt_provider_t *provider(const char *name)
{
    struct named *object = find(name);
    return object == NULL ? NULL : object->provider;
}

static usdt_probedef_t *def(const char *name)
{
    struct named *object = find(name);
    return object == NULL ? NULL : object->def;
}

static usdt_probe_t *probe(const char *name)
{
    struct named *object = find(name);
    if (object == NULL)
        return NULL;
    return object->kept != NULL ? object->kept : object->def->probe;
}

/* ---- commands ---- */

static void reply(usdt_provider_t *of, int result)
{
    if (result == 0)
        printf("ok %s\n", usdt_errstr(of));
    else
        printf("error %d %s\n", (int)usdt_provider_errno(of), usdt_errstr(of));
}

static int add_many(usdt_provider_t *to, long count)
{
    const char *types[] = { "int" };
    for (long i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "m%ld", i);
        usdt_probedef_t *made = usdt_create_probe("many", name, 1, types);
        if (made == NULL || usdt_provider_add_probe(to, made) != 0)
            return -1;
        usdt_probe_release(made);
    }
    return 0;
}

static int use_code(usdt_probedef_t *at, size_t n, char **f)
{
    const char *places[USDT_ARG_MAX + 1] = { NULL };
    size_t size = strlen(f[1]) / 2;
    unsigned char *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)strtoul((char[]){ f[1][2 * i], f[1][2 * i + 1], '\0' }, NULL, 16);
    for (size_t i = 2; i < n && i < USDT_ARG_MAX + 2; i++)
        places[i - 2] = f[i];
    usdt_code_t code = { .bytes = bytes, .size = size, .site = strtoul(f[0], NULL, 10), .operands = n > 2 ? places : NULL };
    int result = usdt_probe_use_code(at, &code);
    free(bytes);
    return result;
}

static int translate(usdt_probedef_t *at, size_t n, char **f)
{
    const char *types[FIELDS_MAX];
    unsigned char map[FIELDS_MAX];
    for (size_t i = 0; i < n / 2; i++) {
        map[i] = (unsigned char)strtoul(f[2 * i], NULL, 10);
        types[i] = f[2 * i + 1];
    }
    return usdt_probe_translate(at, n / 2, types, map);
}

/* Values in: text. Values out: as wide as a pointer. Strings go at the end of the program. */
static void *value(const char *text)
{
    size_t len = (size_t)strtoul(text + 2, NULL, 10);
    char *run;
    switch (text[0]) {
    case 'i':
        return (void *)(intptr_t)(text[2] == '-' ? strtoll(text + 2, NULL, 0)
                                                 : (long long)strtoull(text + 2, NULL, 0));
    case 's':
        return strdup(text + 2);
    case 'r':
        run = calloc(1, len + 1);
        if (run != NULL)
            memset(run, 'x', len);
        return run;
    default:
        return NULL;
    }
}

static void fire(usdt_probe_t *at, size_t argc, char **argv)
{
    void *values[FIELDS_MAX];
    printf("ok");
    for (size_t i = 0; i < argc; i++) {
        values[i] = value(argv[i]);
        printf(" %#lx", (unsigned long)(uintptr_t)values[i]);
    }
    usdt_fire_probe(at, argc, values);
    putchar('\n');
    for (size_t i = 0; i < argc; i++)
        if (argv[i][0] == 's' || argv[i][0] == 'r')
            free(values[i]);
}

/* What holds of every function that is given NULL; names the first statement that does not. */
static void pass_nulls(usdt_provider_t *p, usdt_probedef_t *d)
{
    const char *types[] = { "int", NULL };
#define CHECK(statement)                              \
    if (!(statement)) {                               \
        printf("error not true: %s\n", #statement); \
        return;                                       \
    }
    CHECK(usdt_create_provider(NULL, "m") == NULL)
    CHECK(strcmp(usdt_errstr(NULL), "provider name is NULL") == 0)
    CHECK(usdt_create_provider("p", NULL) == NULL)
    CHECK(strcmp(usdt_errstr(NULL), "module name is NULL") == 0)
    CHECK(usdt_create_probe(NULL, "n", 0, NULL) == NULL)
    CHECK(strcmp(usdt_errstr(NULL), "function name is NULL") == 0)
    CHECK(usdt_create_probe("f", NULL, 0, NULL) == NULL)
    CHECK(strcmp(usdt_errstr(NULL), "probe name is NULL") == 0)
    CHECK(usdt_create_probe("f", "n", 2, NULL) == NULL)
    CHECK(strcmp(usdt_errstr(NULL), "probe \"n\": types is NULL, but argc is 2") == 0)
    CHECK(usdt_create_probe("f", "n", 2, types) == NULL)
    CHECK(strcmp(usdt_errstr(NULL), "type of argument 1 is NULL") == 0)
    CHECK(usdt_provider_errno(NULL) == USDT_ERROR_INVALID)
    CHECK(usdt_provider_add_probe(NULL, d) == -1)
    CHECK(usdt_provider_add_probe(p, NULL) == -1)
    CHECK(usdt_provider_errno(p) == USDT_ERROR_INVALID)
    CHECK(usdt_provider_remove_probe(NULL, d) == -1)
    CHECK(usdt_provider_remove_probe(p, NULL) == -1)
    CHECK(usdt_provider_use_semaphores(NULL) == -1)
    CHECK(usdt_provider_add_type(NULL, "struct a { int x; };") == -1)
    CHECK(usdt_provider_add_type(p, NULL) == -1)
    CHECK(strncmp(usdt_errstr(p), "description is NULL; ", 21) == 0)
    CHECK(usdt_probe_translate(NULL, 0, NULL, NULL) == -1)
    CHECK(usdt_provider_set_stability(NULL, USDT_OF_NAME, USDT_STABILITY_STABLE, USDT_STABILITY_STABLE,
                                      USDT_DEPENDENCY_COMMON) == -1)
    CHECK(usdt_provider_enable(NULL) == -1)
    CHECK(usdt_provider_disable(NULL) == -1)
    CHECK((usdt_provider_free(NULL), 1))
    CHECK((usdt_probe_release(NULL), 1))
    CHECK((usdt_fire_probe(NULL, 3, NULL), 1))
    CHECK((usdt_fire_probe(d->probe, 0, NULL), 1))
    CHECK(usdt_is_enabled(NULL) == 0)
    CHECK(usdt_is_enabled(usdt_probedef_probe(NULL)) == 0)
    CHECK(usdt_probedef_probe(NULL)->isenabled_addr() == 0)
    CHECK(*usdt_probedef_probe(NULL)->semaphore == 0)
    CHECK((usdt_fire_probe(usdt_probedef_probe(NULL), 3, (void *[]){ NULL, NULL, NULL }), 1))
#undef CHECK
    puts("ok");
}

static void become_child(void)
{
    fflush(stdout);
    pid_t child = fork();
    int status = 0;
    if (child > 0) {
        waitpid(child, &status, 0);
        printf("ok child ended with %d\n", status);
    } else {
        printf("ok %ld\n", (long)getpid());
    }
}

/* Runs one command; false: it was the last. */
static bool command(size_t n, char **f)
{
    const char *name = f[0];
    if (strcmp(name, "provider") == 0 && n == 4) {
        usdt_provider_t *made = usdt_create_provider(f[2], f[3]);
        make(f[1])->provider = made;
        reply(made, made == NULL ? -1 : 0);
    } else if (strcmp(name, "probe") == 0 && n >= 4) {
        usdt_probedef_t *made = usdt_create_probe(f[2], f[3], n - 4, (const char **)(f + 4));
        make(f[1])->def = made;
        if (made != NULL)
            puts("ok");
        else
            reply(NULL, -1);
    } else if (strcmp(name, "add") == 0 && n == 3) {
        reply(provider(f[1]), usdt_provider_add_probe(provider(f[1]), def(f[2])));
    } else if (strcmp(name, "remove") == 0 && n == 3) {
        reply(provider(f[1]), usdt_provider_remove_probe(provider(f[1]), def(f[2])));
    } else if (strcmp(name, "enable") == 0 && n == 2) {
        reply(provider(f[1]), usdt_provider_enable(provider(f[1])));
    } else if (strcmp(name, "disable") == 0 && n == 2) {
        reply(provider(f[1]), usdt_provider_disable(provider(f[1])));
    } else if (strcmp(name, "free") == 0 && n == 2) {
        usdt_provider_free(provider(f[1]));
        find(f[1])->name[0] = '\0';
        puts("ok");
    } else if (strcmp(name, "release") == 0 && n == 2) {
        usdt_probe_release(def(f[1]));
        find(f[1])->name[0] = '\0';
        puts("ok");
    } else if (strcmp(name, "many") == 0 && n == 3) {
        reply(provider(f[1]), add_many(provider(f[1]), strtol(f[2], NULL, 10)));
    } else if (strcmp(name, "nth") == 0 && n == 4) {
        usdt_probedef_t *at = provider(f[2])->probedefs;
        for (long i = strtol(f[3], NULL, 10); i > 0 && at != NULL; i--)
            at = at->next;
        make(f[1])->def = at;
        puts(at == NULL ? "error no such probe" : "ok");
    } else if (strcmp(name, "fire") == 0 && n >= 2 && find(f[1]) != NULL) {
        fire(probe(f[1]), n - 2, f + 2);
    } else if (strcmp(name, "probe?") == 0 && n == 2 && find(f[1]) != NULL) {
        usdt_probe_t *at = probe(f[1]);
        printf("ok %d %d\n", usdt_is_enabled(at), at == NULL ? 0 : at->isenabled_addr());
    } else if (strcmp(name, "type") == 0 && n == 3) {
        reply(provider(f[1]), usdt_provider_add_type(provider(f[1]), f[2]));
    } else if (strcmp(name, "translate") == 0 && n >= 2) {
        if (translate(def(f[1]), n - 2, f + 2) == 0)
            puts("ok");
        else
            reply(NULL, -1);
    } else if (strcmp(name, "code") == 0 && n >= 4) {
        if (use_code(def(f[1]), n - 2, f + 2) == 0)
            puts("ok");
        else
            reply(NULL, -1);
    } else if (strcmp(name, "stability") == 0 && n == 6) {
        int v[4];
        for (int i = 0; i < 4; i++)
            v[i] = (int)strtol(f[2 + i], NULL, 10);
        reply(provider(f[1]), usdt_provider_set_stability(provider(f[1]), (enum usdt_attributed)v[0],
            (enum usdt_stability)v[1], (enum usdt_stability)v[2], (enum usdt_dependency)v[3]));
    } else if (strcmp(name, "semaphores") == 0 && n == 2) {
        reply(provider(f[1]), usdt_provider_use_semaphores(provider(f[1])));
    } else if (strcmp(name, "semaphore?") == 0 && n == 2 && find(f[1]) != NULL && probe(f[1]) != NULL) {
        printf("ok %u\n", (unsigned)*probe(f[1])->semaphore);
    } else if (strcmp(name, "keep") == 0 && n == 2 && find(f[1]) != NULL) {
        find(f[1])->kept = def(f[1])->probe;
        puts("ok");
    } else if (strcmp(name, "nulls") == 0 && n == 3) {
        pass_nulls(provider(f[1]), def(f[2]));
    } else if (strcmp(name, "fork") == 0 && n == 1) {
        become_child();
    } else if (strcmp(name, "quit") == 0 && n == 1) {
        puts("ok");
        return false;
    } else {
        printf("error what is \"%s\" with %zu fields?\n", name, n);
    }
    return true;
}

static int run_commands(void)
{
    char *line = NULL;
    size_t size = 0;
    bool more = true;
    setvbuf(stdin, NULL, _IONBF, 0); /* a forked child goes on reading where its parent was */
    while (more && getline(&line, &size, stdin) > 0) {
        char *fields[FIELDS_MAX];
        size_t n = 0;
        line[strcspn(line, "\n")] = '\0';
        char *at = line;
        do {
            fields[n++] = at;
            at = strchr(at, '\t');
            if (at != NULL)
                *at++ = '\0';
        } while (at != NULL && n < FIELDS_MAX);
        more = command(n, fields);
        fflush(stdout);
    }
    free(line);
    return 0;
}

static int fire_one(int argc, char **argv)
{
    const char *types[USDT_ARG_MAX];
    void *values[USDT_ARG_MAX];
    char strings[USDT_ARG_MAX][16];
    size_t n = 0;
    for (int i = 3; i < argc && n < USDT_ARG_MAX; i++, n++) {
        if (strcmp(argv[i], "i") != 0 && strcmp(argv[i], "c") != 0) {
            fprintf(stderr, "test_usdt: \"%s\": an argument is i (int) or c (char *)\n", argv[i]);
            return 2;
        }
        types[n] = argv[i][0] == 'i' ? "int" : "char *";
        snprintf(strings[n], sizeof strings[n], "arg%zu", n);
        values[n] = argv[i][0] == 'i' ? (void *)(uintptr_t)n : strings[n];
    }
    usdt_provider_t *p = usdt_create_provider("testlibusdt", "modname");
    usdt_probedef_t *d = usdt_create_probe(argv[1], argv[2], n, types);
    if (p == NULL || d == NULL) {
        fprintf(stderr, "test_usdt: %s\n", usdt_errstr(NULL));
        return 2;
    }
    if (usdt_provider_add_probe(p, d) != 0 || usdt_provider_enable(p) != 0) {
        fprintf(stderr, "test_usdt: %s\n", usdt_errstr(p));
        return 2;
    }
    printf("%ld: waiting for a tracer of testlibusdt:%s\n", (long)getpid(), argv[2]);
    fflush(stdout);
    for (int i = 0; i < 1000 && !usdt_is_enabled(d->probe); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    int traced = usdt_is_enabled(d->probe);
    usdt_fire_probe(d->probe, n, values);
    usdt_provider_free(p);
    usdt_probe_release(d);
    return traced ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        usage(stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "-") == 0)
        return run_commands();
    if (argc >= 3)
        return fire_one(argc, argv);
    usage(stderr);
    return 2;
}
