/*
 * bad_input.c - what the library does with bad names, types, counts and orders of calls.
 *
 * Owns the tables of what is refused, and in which words, and of what is odd but taken, which then must be
 * harmless: created, added, enabled, fired and freed. Knows usdt.h, and that a published probe is in a
 * file of XDG_RUNTIME_DIR/usdt, which tests/input.t makes for this program alone; nothing else of the
 * library. Prints TAP: one line for each check.
 */
#define _DEFAULT_SOURCE
#include "usdt.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MESSAGE_MAX = 512, FAULT_MAX = 1200, CHECK_SECONDS = 60 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__GNUC__)
#define FORMAT(at) __attribute__((format(printf, at, at + 1)))
#else
#define FORMAT(at)
#endif

/* ---- checks: begin(name), any number of expect(), end() ---- */

static struct {
    size_t count, failed;
    char name[200];
    char faults[4 * FAULT_MAX];
} check;

FORMAT(1) static void begin(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(check.name, sizeof check.name, format, args);
    va_end(args);
    check.faults[0] = '\0';
    alarm(CHECK_SECONDS);
}

FORMAT(2) static bool expect(bool good, const char *format, ...)
{
    size_t len = strlen(check.faults);
    if (good)
        return true;
    if (len > sizeof check.faults - FAULT_MAX)
        return false;
    va_list args;
    va_start(args, format);
    strcpy(check.faults + len, "#   ");
    vsnprintf(check.faults + len + 4, FAULT_MAX - 6, format, args);
    va_end(args);
    strcat(check.faults, "\n");
    return false;
}

static void end(void)
{
    bool good = check.faults[0] == '\0';
    printf("%sok %zu - %s\n%s", good ? "" : "not ", ++check.count, check.name, check.faults);
    check.failed += !good;
    fflush(stdout);
}

/* Says which check the program dies in, or never ends, and leaves the dying to whoever did it before
   (ASan): the fault comes again. */
static struct sigaction before[NSIG];

static void say_and_die(int number)
{
    static const char text[] = "# the program dies in: ";
    ssize_t ignored = write(1, text, sizeof text - 1);
    ignored += write(1, check.name, strlen(check.name));
    ignored += write(1, "\n", 1);
    (void)ignored;
    sigaction(number, &before[number], NULL);
    if (number == SIGALRM)
        raise(number);
}

static void watch_signals(void)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGALRM };
    struct sigaction action = { .sa_handler = say_and_die };
    for (size_t i = 0; i < COUNT(fatal); i++)
        sigaction(fatal[i], &action, &before[fatal[i]]);
}

/* ---- what every check may ask ---- */

/* The files of probes that are published. */
static size_t files(void)
{
    char path[4096];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/usdt", getenv("XDG_RUNTIME_DIR"));
    DIR *list = opendir(path);
    if (list == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(list);
    return count;
}

static void expect_no_file(void)
{
    expect(files() == 0, "%zu files are left", files());
}

/* The error of a provider, or with NULL of this thread; a message is short and printable ASCII. */
static void expect_error(usdt_provider_t *of, int code, const char *message)
{
    const char *text = usdt_errstr(of);
    int is = (int)usdt_provider_errno(of);
    expect(is == code, "the code is %d, not %d", is, code);
    expect(strcmp(text, message) == 0, "the message is '%s',\n#   not '%s'", text, message);
    expect(strlen(text) < MESSAGE_MAX, "the message has %zu characters", strlen(text));
    for (const char *c = text; *c != '\0'; c++)
        if (!expect(*c >= ' ' && *c <= '~', "the message has a byte %#x", (unsigned)(unsigned char)*c))
            break;
    if (of != NULL)
        expect(of->error == text, "the member `error` is another message");
}

/* A message that no call under test leaves: so it is seen whether one left any. */
static const char unset[] = "nothing failed since";

static void clear_error(usdt_provider_t *of)
{
    usdt_error(of, USDT_ERROR_PUBLISH, unset);
}

/* Memory behind which nothing can be read: room for n pointers. */
static char *wall;

static void *room_before_wall(size_t n)
{
    return wall - n * sizeof(void *);
}

static void build_wall(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, page, PROT_NONE) != 0) {
        puts("Bail out! no memory for the tests themselves");
        exit(2);
    }
    wall = map + page;
}

static void *value(size_t i)
{
    return (void *)(uintptr_t)(0x1000 + i);
}

/* The text over and over, up to so many characters; as it is if that is 0. The caller frees it. */
static char *repeated(const char *text, size_t length)
{
    size_t size = strlen(text), len = length > 0 ? length : size;
    char *made = calloc(1, len + 1);
    if (made == NULL)
        exit(2);
    for (size_t i = 0; i < len; i++)
        made[i] = text[i % size];
    return made;
}

/* How a message shows a name or type: its first 60 characters, '?' for what cannot be printed. */
static const char *shown(const char *name)
{
    static char text[64];
    size_t n = 0;
    for (; n < 60 && name[n] != '\0'; n++)
        text[n] = name[n] >= ' ' && name[n] <= '~' ? name[n] : '?';
    strcpy(text + n, name[n] == '\0' ? "" : "...");
    return text;
}

/* How the name of a check shows it: with what it is made of. */
static const char *described(const char *name)
{
    static char text[200];
    size_t n = 0, i = 0;
    if (name == NULL)
        return "NULL";
    text[n++] = '\'';
    for (; i < 20 && name[i] != '\0'; i++)
        n += (size_t)(name[i] >= ' ' && name[i] <= '~' && name[i] != '#' && name[i] != '\\'
                          ? snprintf(text + n, 8, "%c", name[i])
                          : snprintf(text + n, 8, "\\x%02x", (unsigned)(unsigned char)name[i]));
    if (name[i] == '\0')
        strcpy(text + n, "'");
    else
        snprintf(text + n, 60, "...' of %zu", strlen(name));
    return text;
}

/* Asks and fires a probe that nobody traces. */
#if defined(__clang__)
__attribute__((no_sanitize("function"))) /* a stub has no type for UBSan to find */
#endif
static void touch(usdt_probe_t *probe)
{
    void *values[USDT_ARG_MAX];
    for (size_t i = 0; i < USDT_ARG_MAX; i++)
        values[i] = value(i);
    expect(usdt_is_enabled(probe) == 0, "a probe is enabled");
    if (probe != NULL)
        expect(probe->isenabled_addr() == 0, "a probe is enabled, its is-enabled stub says");
    USDT_PROBE(probe, 1, "two");
    usdt_fire_probe(probe, 0, NULL);
    usdt_fire_probe(probe, 2, values);
    usdt_fire_probe(probe, USDT_ARG_MAX, values);
}

/* What was taken does no harm: a whole life. Frees both. */
static void expect_life(usdt_provider_t *p, usdt_probedef_t *d)
{
    clear_error(p);
    expect(usdt_provider_add_probe(p, d) == 0, "it cannot be added: %s", usdt_errstr(p));
    expect(usdt_provider_enable(p) == 0, "it cannot be enabled: %s", usdt_errstr(p));
    expect(d->probe != NULL, "it has no probe");
    expect(files() == 1, "it is published in %zu files", files());
    usdt_probe_t *kept = d->probe;
    touch(kept);
    expect(usdt_provider_disable(p) == 0, "it cannot be disabled: %s", usdt_errstr(p));
    touch(kept);
    expect(usdt_provider_enable(p) == 0, "it cannot be enabled again: %s", usdt_errstr(p));
    expect_error(p, USDT_ERROR_PUBLISH, unset);
    usdt_provider_free(p);
    touch(kept);
    usdt_probe_release(d);
}

/* ---- names ---- */

enum { PROVIDER, MODULE, FUNCTION, PROBE };
enum { P = 1 << PROVIDER, OTHERS = 1 << MODULE | 1 << FUNCTION | 1 << PROBE, ALL = P | OTHERS };

static const struct {
    const char *what;
    size_t max;
} kinds[] = {
    [PROVIDER] = { "provider", 53 },
    [MODULE] = { "module", 63 },
    [FUNCTION] = { "function", 127 },
    [PROBE] = { "probe", 63 },
};

static const char is_empty[] = "must not be empty";
static const char starts[] = "must start with a letter or '_'";
static const char holds[] = "may hold only letters, digits, '_', '-' and '.'";
static const char is_long[] = "is %zu characters long, at most %zu are allowed";
static const char digit[] = "must not end in a digit: DTrace appends the process id to the name";
static const char reserved[] = "is reserved by DTrace; choose another";

/* For which kinds, the name (or what it repeats, up to a length), and the rule it breaks, or NULL. */
struct name_case {
    unsigned kinds;
    const char *name;
    size_t length;
    const char *rule;
};
#define TAKEN(kinds, name) { kinds, name, 0, NULL }
#define REFUSED(kinds, name, rule) { kinds, name, 0, rule }
#define LONG(kinds, part, length, rule) { kinds, part, length, rule }

static const struct name_case name_cases[] = {
    TAKEN(ALL, "a"), TAKEN(ALL, "_"), TAKEN(ALL, "A_b-c.d"), TAKEN(ALL, "x1y"), TAKEN(ALL, "Z"),
    TAKEN(ALL, "a-"), TAKEN(ALL, "a."), TAKEN(ALL, "__"), TAKEN(ALL, "a--..__b"), TAKEN(ALL, "NULL"),
    TAKEN(ALL, "a.so"), TAKEN(ALL, "int"), TAKEN(ALL, "log-info"),

    REFUSED(ALL, "", is_empty), REFUSED(ALL, "9lives", starts), REFUSED(ALL, "-x", starts),
    REFUSED(ALL, ".x", starts), REFUSED(ALL, "0", starts), REFUSED(ALL, "123", starts),
    REFUSED(ALL, "-1", starts), REFUSED(ALL, "-", starts), REFUSED(ALL, ".", starts),
    REFUSED(ALL, "..", starts), REFUSED(ALL, "../../etc/passwd", starts),
    REFUSED(ALL, "/etc/passwd", starts), REFUSED(ALL, "*", starts), REFUSED(ALL, "?", starts),
    REFUSED(ALL, " ", starts), REFUSED(ALL, " a", starts), REFUSED(ALL, "$target", starts),
    REFUSED(ALL, "a b", holds), REFUSED(ALL, "a ", holds), REFUSED(ALL, "a:b", holds),
    REFUSED(ALL, "a::", holds), REFUSED(ALL, "a/b", holds), REFUSED(ALL, "a/../../b", holds),
    REFUSED(ALL, "a\"b", holds), REFUSED(ALL, "a'b", holds), REFUSED(ALL, "a\\b", holds),
    REFUSED(ALL, "x*", holds), REFUSED(ALL, "a[0]", holds), REFUSED(ALL, "a{b}", holds),
    REFUSED(ALL, "a(b)", holds), REFUSED(ALL, "a<b>", holds), REFUSED(ALL, "a,b", holds),
    REFUSED(ALL, "a=b", holds), REFUSED(ALL, "a@plt", holds), REFUSED(ALL, "a`id`", holds),
    REFUSED(ALL, "a;b", holds), REFUSED(ALL, "a$b", holds), REFUSED(ALL, "a+b", holds),
    REFUSED(ALL, "a#b", holds),

    /* the message is not a format */
    REFUSED(ALL, "%s%s%s%s%n", starts), REFUSED(ALL, "%n", starts), REFUSED(ALL, "a%s%n", holds),
    REFUSED(ALL, "a%1000000s", holds), REFUSED(ALL, "a%", holds), REFUSED(ALL, "a%*.*s%99$n", holds),

    REFUSED(ALL, "\t", starts), REFUSED(ALL, "\n", starts), REFUSED(ALL, "\x1b[31mred", starts),
    REFUSED(ALL, "a\tb", holds), REFUSED(ALL, "a\n", holds), REFUSED(ALL, "a\r\nok 1 - b", holds),
    REFUSED(ALL, "a\x1b[2J", holds), REFUSED(ALL, "a\b\b\b", holds), REFUSED(ALL, "a\x7f", holds),

    /* UTF-8: whole, cut in the middle, and what is none */
    REFUSED(ALL, "caf\xc3\xa9", holds), REFUSED(ALL, "\xc3\xa9tat", starts), REFUSED(ALL, "caf\xc3", holds),
    REFUSED(ALL, "a\xe2\x82\xac", holds), REFUSED(ALL, "a\xe2\x82", holds), REFUSED(ALL, "a\xe2", holds),
    REFUSED(ALL, "a\xf0\x9f\x98\x80", holds), REFUSED(ALL, "a\xf0\x9f\x98", holds),
    REFUSED(ALL, "a\xa9", holds), REFUSED(ALL, "a\xc0\x80z", holds), REFUSED(ALL, "a\xed\xa0\x80", holds),
    REFUSED(ALL, "\xef\xbb\xbfname", starts), REFUSED(ALL, "a\xc2\xa0z", holds),
    REFUSED(ALL, "a\xe2\x80\x8bz", holds), REFUSED(ALL, "a\xff\xfe", holds),

    LONG(ALL, "x", 128, is_long), LONG(ALL, "x", 255, is_long), LONG(ALL, "x", 256, is_long),
    LONG(ALL, "x", 3000, is_long), LONG(ALL, "x", 65536, is_long), LONG(ALL, "x", 65546, is_long),
    LONG(ALL, "x", 1000000, is_long), LONG(ALL, "a9", 3000, is_long), LONG(ALL, "a%n", 3000, holds),
    LONG(ALL, "%n", 1000000, starts), LONG(ALL, "x ", 1000000, holds), LONG(ALL, " ", 3000, starts),
    LONG(ALL, "a\xc3\xa9", 3000, holds), LONG(ALL, "\x01", 3000, starts), LONG(ALL, "a\n", 1000000, holds),

    /* rules of providers only */
    REFUSED(P, "web2", digit), REFUSED(P, "a0", digit), REFUSED(P, "_9", digit), REFUSED(P, "a-1.2", digit),
    REFUSED(P, "pid123", digit), REFUSED(P, "objc1", digit), TAKEN(OTHERS, "web2"), TAKEN(OTHERS, "a0"),
    TAKEN(OTHERS, "_9"), TAKEN(OTHERS, "a-1.2"), TAKEN(OTHERS, "pid123"), REFUSED(P, "pid", reserved),
    REFUSED(P, "objc", reserved), REFUSED(P, "oneshot", reserved), TAKEN(OTHERS, "pid"),
    TAKEN(OTHERS, "objc"), TAKEN(OTHERS, "oneshot"), TAKEN(P, "PID"), TAKEN(P, "pids"), TAKEN(P, "pi"),
    TAKEN(P, "objc_"), TAKEN(P, "oneshot.x"), TAKEN(P, "x-pid"),
};

/* A provider and a definition of which one name is given. */
static void make_named(unsigned kind, const char *name, usdt_provider_t **p, usdt_probedef_t **d)
{
    clear_error(NULL);
    *p = usdt_create_provider(kind == PROVIDER ? name : "p", kind == MODULE ? name : "m");
    *d = usdt_create_probe(kind == FUNCTION ? name : "f", kind == PROBE ? name : "n", 0, NULL);
}

static void name_is_refused(unsigned kind, const char *name, const char *message)
{
    usdt_provider_t *p;
    usdt_probedef_t *d;
    make_named(kind, name, &p, &d);
    expect((p == NULL) == (kind == PROVIDER || kind == MODULE), "the provider is %p", (void *)p);
    expect((d == NULL) == (kind == FUNCTION || kind == PROBE), "the definition is %p", (void *)d);
    expect_error(NULL, USDT_ERROR_INVALID, message);
    usdt_provider_free(p);
    usdt_probe_release(d);
}

static void name_is_taken(unsigned kind, const char *name)
{
    usdt_provider_t *p;
    usdt_probedef_t *d;
    make_named(kind, name, &p, &d);
    if (expect(p != NULL && d != NULL, "refused: %s", usdt_errstr(NULL))) {
        const char *copies[] = { p->name, p->module, d->function, d->name };
        expect(strcmp(copies[kind], name) == 0, "the name became '%s'", copies[kind]);
        expect(copies[kind] != name, "the name was not copied");
        expect_life(p, d);
    } else {
        usdt_provider_free(p);
        usdt_probe_release(d);
    }
    expect_error(NULL, USDT_ERROR_PUBLISH, unset);
}

static void check_name(unsigned kind, const char *name, const char *rule)
{
    char message[MESSAGE_MAX], limit[100];
    begin("%s name %s is %s", kinds[kind].what, described(name), rule == NULL ? "taken" : "refused");
    if (rule == NULL) {
        name_is_taken(kind, name);
    } else {
        if (rule == is_long) {
            snprintf(limit, sizeof limit, is_long, strlen(name), kinds[kind].max);
            rule = limit;
        }
        snprintf(message, sizeof message, "%s name \"%s\": %s", kinds[kind].what, shown(name), rule);
        name_is_refused(kind, name, message);
    }
    expect_no_file();
    end();
}

static void check_name_lengths(unsigned kind)
{
    size_t max = kinds[kind].max;
    for (size_t length = max - 1; length <= max + 1; length++) {
        char *name = repeated("x", length);
        check_name(kind, name, length > max ? is_long : NULL);
        if (length > 1)
            name[length - 1] = '9';
        check_name(kind, name, length > max ? is_long : kind == PROVIDER ? digit : NULL);
        free(name);
    }
}

/* Every byte, as the first character and as a later one. */
static void check_name_bytes(unsigned kind)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char more[] = "0123456789-.";
    for (int byte = 1; byte <= UCHAR_MAX; byte++) {
        bool letter = strchr(letters, byte) != NULL;
        check_name(kind, (char[]){ (char)byte, 'z', '\0' }, letter ? NULL : starts);
        check_name(kind, (char[]){ 'a', (char)byte, 'z', '\0' },
                   letter || strchr(more, byte) != NULL ? NULL : holds);
    }
}

static void check_names(void)
{
    for (size_t i = 0; i < COUNT(name_cases); i++) {
        const struct name_case *row = &name_cases[i];
        char *name = repeated(row->name, row->length);
        for (unsigned kind = 0; kind < COUNT(kinds); kind++)
            if ((row->kinds >> kind & 1) != 0)
                check_name(kind, name, row->rule);
        free(name);
    }
    for (unsigned kind = 0; kind < COUNT(kinds); kind++) {
        char message[100];
        check_name_lengths(kind);
        check_name_bytes(kind);
        begin("%s name NULL is refused", kinds[kind].what);
        snprintf(message, sizeof message, "%s name is NULL", kinds[kind].what);
        name_is_refused(kind, NULL, message);
        end();
    }
}

/* With more than one thing wrong, the first is named. */
static void check_name_order(void)
{
    const char *types[] = { NULL };
    begin("usdt_create_provider(NULL, NULL) is refused for the first");
    clear_error(NULL);
    expect(usdt_create_provider(NULL, NULL) == NULL, "it was taken");
    expect_error(NULL, USDT_ERROR_INVALID, "provider name is NULL");
    end();
    begin("usdt_create_probe(NULL, NULL, 1, NULL) is refused for the first");
    clear_error(NULL);
    expect(usdt_create_probe(NULL, NULL, 1, NULL) == NULL, "it was taken");
    expect_error(NULL, USDT_ERROR_INVALID, "function name is NULL");
    end();
    begin("usdt_create_probe(\"f\", \"\", 1, { NULL }) is refused for the name");
    clear_error(NULL);
    expect(usdt_create_probe("f", "", 1, types) == NULL, "it was taken");
    expect_error(NULL, USDT_ERROR_INVALID, "probe name \"\": must not be empty");
    end();
}

/* ---- types ---- */

static const char type_empty[] = "must not be empty; use \"int\" or \"char *\"";
static const char type_holds[] = "may hold only printable ASCII characters";
static const char type_long[] = "is %zu characters long, at most 127 are allowed";

/* The type (or what it repeats, up to a length), and the rule it breaks, or NULL. */
struct type_case {
    const char *type;
    size_t length;
    const char *rule;
};
#define TYPE(type) { type, 0, NULL }
#define NO_TYPE(type, rule) { type, 0, rule }
#define LONG_TYPE(part, length, rule) { part, length, rule }

static const struct type_case type_cases[] = {
    TYPE("int"), TYPE("char *"), TYPE("struct anything_at_all *"), TYPE("???"), TYPE("const struct foo *"),
    TYPE("void"), TYPE("void *"), TYPE("..."), TYPE("int64_t"), TYPE("float"), TYPE("long double"),
    /* words that do not go together */
    TYPE("unsigned unsigned"), TYPE("long long long"), TYPE("long long long long long long long long"),
    TYPE("signed unsigned char"), TYPE("short long"), TYPE("long char double"), TYPE("int int int"),
    TYPE("bool bool"), TYPE("const"), TYPE("const const volatile restrict"), TYPE("unsigned"),
    TYPE("signed"), TYPE("struct"), TYPE("struct {"), TYPE("union"), TYPE("enum"), TYPE("enum enum"),
    TYPE("enum int"), TYPE("unsigned uint8_t"), TYPE("char uint64_t"), TYPE("typedef int x"),
    TYPE("static"), TYPE("__int128"), TYPE("float _Complex"), TYPE("INT"), TYPE("intt"), TYPE("in"),
    TYPE("i n t"), TYPE("8int"),
    /* functions, arrays, brackets */
    TYPE("int (*)(void)"), TYPE("int (*f)(a, b) int a; char b;"), TYPE("int f()"),
    TYPE("void (*(*)(int))(char)"), TYPE("int[3]"), TYPE("int []"), TYPE("int [SIZE_MAX]"),
    TYPE("int [-1]"), TYPE("int [3"), TYPE("int 3]"), TYPE("int ("), TYPE("int )"), TYPE("(((("),
    TYPE("))))"), TYPE(")("), TYPE("]["), TYPE("}{"), TYPE("<<>"),
    TYPE("std::map<int, std::vector<char *> >"), TYPE("int &&"), TYPE("int : 3"), TYPE("char*const*const*"),
    /* no C at all, and what tracers or shells would read */
    TYPE("0"), TYPE("-1"), TYPE("1e999"), TYPE("18446744073709551616"), TYPE("%s%n%n%n%n"),
    TYPE("%1000000s"), TYPE("-8@%rdi"), TYPE("8@%rdi 8@%rsi"), TYPE("@"), TYPE(":"), TYPE("a:b:c:d"),
    TYPE(","), TYPE("int,int"), TYPE("\""), TYPE("'"), TYPE("\\"), TYPE("\\0"), TYPE("/* int"),
    TYPE("// int"), TYPE("$(id)"), TYPE("`id`"), TYPE("; rm x"), TYPE("#define int"), TYPE("!"), TYPE("~"),
    TYPE("*"), TYPE("-"), TYPE("."), TYPE("_"), TYPE(" "), TYPE("     "), TYPE(" int"), TYPE("int "),
    TYPE("  unsigned   int  "), LONG_TYPE("T", 126, NULL), LONG_TYPE("T", 127, NULL),
    LONG_TYPE("*", 127, NULL), LONG_TYPE(" ", 127, NULL), LONG_TYPE("(", 127, NULL),
    LONG_TYPE("[]", 127, NULL), LONG_TYPE("long ", 127, NULL), LONG_TYPE("%n", 127, NULL),
    LONG_TYPE("9", 127, NULL), LONG_TYPE("const ", 127, NULL),

    NO_TYPE("", type_empty), LONG_TYPE("T", 128, type_long), LONG_TYPE("*", 128, type_long),
    LONG_TYPE(" ", 128, type_long), LONG_TYPE("T", 256, type_long), LONG_TYPE("T", 3000, type_long),
    LONG_TYPE("T", 65536, type_long), LONG_TYPE("T", 1000000, type_long),
    LONG_TYPE("%s%n", 3000, type_long), LONG_TYPE("int\n", 1000000, type_holds),
    NO_TYPE("in\x01t", type_holds), NO_TYPE("int\n", type_holds), NO_TYPE("int\t*", type_holds),
    NO_TYPE("char *\r", type_holds), NO_TYPE("\x1b[31mint", type_holds), NO_TYPE("caf\xc3\xa9", type_holds),
    NO_TYPE("caf\xc3", type_holds), NO_TYPE("a\xe2\x82", type_holds),
    NO_TYPE("\xef\xbb\xbfint", type_holds), NO_TYPE("int\xc2\xa0*", type_holds),
    NO_TYPE("\xff", type_holds), NO_TYPE("\x7f", type_holds),
};

/* A definition with this type for argument `index` of `argc`. */
static usdt_probedef_t *make_typed(const char *type, size_t index, size_t argc)
{
    const char *types[USDT_ARG_MAX];
    for (size_t i = 0; i < argc; i++)
        types[i] = i == index ? type : "int";
    clear_error(NULL);
    return usdt_create_probe("f", "n", argc, types);
}

static void type_is_taken(const char *type, size_t index, size_t argc)
{
    usdt_provider_t *p = usdt_create_provider("p", "m");
    usdt_probedef_t *d = make_typed(type, index, argc);
    if (expect(d != NULL, "refused: %s", usdt_errstr(NULL))) {
        expect(strcmp(d->types[index], type) == 0, "the type became '%s'", d->types[index]);
        expect(d->types[index] != type, "the type was not copied");
        expect_life(p, d);
    } else {
        usdt_provider_free(p);
    }
    expect_error(NULL, USDT_ERROR_PUBLISH, unset);
}

static void check_type(const char *type, size_t index, size_t argc, const char *rule)
{
    char message[MESSAGE_MAX], limit[100];
    begin("type %s of argument %zu of %zu is %s", described(type), index, argc,
          rule == NULL ? "taken" : "refused");
    if (rule == NULL) {
        type_is_taken(type, index, argc);
    } else {
        if (rule == type_long) {
            snprintf(limit, sizeof limit, type_long, strlen(type));
            rule = limit;
        }
        snprintf(message, sizeof message, "type of argument %zu \"%s\": %s", index, shown(type), rule);
        expect(make_typed(type, index, argc) == NULL, "it was taken");
        expect_error(NULL, USDT_ERROR_INVALID, message);
    }
    expect_no_file();
    end();
}

static void check_types(void)
{
    for (size_t i = 0; i < COUNT(type_cases); i++) {
        char *type = repeated(type_cases[i].type, type_cases[i].length);
        check_type(type, 0, 1, type_cases[i].rule);
        check_type(type, 1, 2, type_cases[i].rule);
        check_type(type, 31, 32, type_cases[i].rule);
        free(type);
    }
    for (int byte = 1; byte <= UCHAR_MAX; byte++) {
        const char *rule = byte < ' ' || byte > '~' ? type_holds : NULL;
        check_type((char[]){ (char)byte, '\0' }, 1, 2, rule);
        check_type((char[]){ 'i', 'n', (char)byte, 't', '\0' }, 1, 2, rule);
    }
    for (size_t i = 0; i < USDT_ARG_MAX; i++) {
        char message[100];
        begin("type NULL of argument %zu of 32 is refused", i);
        snprintf(message, sizeof message, "type of argument %zu is NULL", i);
        expect(make_typed(NULL, i, USDT_ARG_MAX) == NULL, "it was taken");
        expect_error(NULL, USDT_ERROR_INVALID, message);
        end();
    }
}

/* ---- counts: usdt_create_probe ---- */

/*
 * argc; how many of the types are good, or that there is no array; the count it becomes, or
 * the message. The array is as long as usdt.h lets the library read it, and the wall begins behind it.
 */
enum { NO_ARRAY = -1 };
static const struct count_case {
    size_t argc;
    int good;
    size_t becomes;
    const char *message;
} count_cases[] = {
    { 0, NO_ARRAY, 0, NULL },
    { 0, 0, 0, NULL },
    { 1, 1, 1, NULL },
    { 31, 31, 31, NULL },
    { 32, 32, 32, NULL },
    { 33, 32, 32, NULL },
    { 40, 32, 32, NULL },
    { 64, 32, 32, NULL },
    { 1000, 32, 32, NULL },
    { (size_t)UINT_MAX, 32, 32, NULL },
    { SIZE_MAX / sizeof(char *) + 2, 32, 32, NULL },
    { SIZE_MAX / 2, 32, 32, NULL },
    { SIZE_MAX / 2 + 1, 32, 32, NULL },
    { SIZE_MAX, 32, 32, NULL },
    { 1, NO_ARRAY, 0, "probe \"n\": types is NULL, but argc is 1" },
    { 2, NO_ARRAY, 0, "probe \"n\": types is NULL, but argc is 2" },
    { 32, NO_ARRAY, 0, "probe \"n\": types is NULL, but argc is 32" },
    { 33, NO_ARRAY, 0, "probe \"n\": types is NULL, but argc is 33" },
    { 1000000, NO_ARRAY, 0, "probe \"n\": types is NULL, but argc is 1000000" },
    { 1, 0, 0, "type of argument 0 is NULL" },
    { 2, 1, 0, "type of argument 1 is NULL" },
    { 3, 1, 0, "type of argument 1 is NULL" },
    { 32, 31, 0, "type of argument 31 is NULL" },
    { 33, 31, 0, "type of argument 31 is NULL" },
    { 1000, 16, 0, "type of argument 16 is NULL" },
    { SIZE_MAX, 5, 0, "type of argument 5 is NULL" },
    { SIZE_MAX, 0, 0, "type of argument 0 is NULL" },
};

static const char **types_before_wall(size_t argc, int good)
{
    size_t count = argc < USDT_ARG_MAX ? argc : USDT_ARG_MAX;
    const char **types = room_before_wall(count);
    if (good == NO_ARRAY)
        return NULL;
    for (size_t i = 0; i < count; i++)
        types[i] = (int)i < good ? "int" : (int)i == good ? NULL : "char *";
    return types;
}

static void check_counts(void)
{
    for (size_t i = 0; i < COUNT(count_cases); i++) {
        const struct count_case *row = &count_cases[i];
        begin("argc %zu, types %s (%d good): %s", row->argc, row->good == NO_ARRAY ? "NULL" : "not NULL",
              row->good > 0 ? row->good : 0, row->message == NULL ? "taken" : row->message);
        clear_error(NULL);
        usdt_probedef_t *d = usdt_create_probe("f", "n", row->argc, types_before_wall(row->argc, row->good));
        if (row->message != NULL) {
            expect(d == NULL, "it was taken");
            expect_error(NULL, USDT_ERROR_INVALID, row->message);
        } else if (expect(d != NULL, "refused: %s", usdt_errstr(NULL))) {
            expect(d->argc == row->becomes, "it became %zu", d->argc);
            for (size_t k = 0; k < d->argc; k++)
                expect(strcmp(d->types[k], "int") == 0, "type %zu became '%s'", k, d->types[k]);
            expect_life(usdt_create_provider("p", "m"), d);
            expect_error(NULL, USDT_ERROR_PUBLISH, unset);
        }
        expect_no_file();
        end();
    }
}

/* ---- counts: usdt_fire_probe ---- */

/* Stand in for the stub of a probe, to see what it is handed. (Programs do not write probe_addr.) */
static void *seen[USDT_ARG_MAX];
static size_t calls;

static void see(void *const *values, size_t count)
{
    memcpy(seen, values, count * sizeof *values);
    calls++;
}

static void stub0(void)
{
    calls++;
}

static void stub1(void *a0)
{
    see((void *[]){ a0 }, 1);
}

#define SIX(a) a##0, a##1, a##2, a##3, a##4, a##5
#define SIX_PARAMETERS(a) void *a##0, void *a##1, void *a##2, void *a##3, void *a##4, void *a##5

static void stub6(SIX_PARAMETERS(a))
{
    see((void *[]){ SIX(a) }, 6);
}

static void stub7(SIX_PARAMETERS(a), void *b)
{
    see((void *[]){ SIX(a), b }, 7);
}

static void stub12(SIX_PARAMETERS(a), SIX_PARAMETERS(b))
{
    see((void *[]){ SIX(a), SIX(b) }, 12);
}

static void stub13(SIX_PARAMETERS(a), SIX_PARAMETERS(b), void *c)
{
    see((void *[]){ SIX(a), SIX(b), c }, 13);
}

static void stub32(SIX_PARAMETERS(a), SIX_PARAMETERS(b), SIX_PARAMETERS(c), SIX_PARAMETERS(d),
                   SIX_PARAMETERS(e), void *f, void *g)
{
    see((void *[]){ SIX(a), SIX(b), SIX(c), SIX(d), SIX(e), f, g }, 32);
}

/* Counts declared, and of values fired with each. */
static const struct {
    size_t declared;
    void (*stub)(void);
} stubs[] = {
    { 0, stub0 },
    { 1, (void (*)(void))stub1 },
    { 6, (void (*)(void))stub6 },
    { 7, (void (*)(void))stub7 },
    { 12, (void (*)(void))stub12 },
    { 13, (void (*)(void))stub13 },
    { 32, (void (*)(void))stub32 },
};
static const size_t fired[] = {
    0, 1, 2, 5, 6, 7, 8, 12, 13, 31, 32, 33, 34, 1000, SIZE_MAX / sizeof(void *) + 2, SIZE_MAX / 2, SIZE_MAX,
};

/* argv holds no more than 32 values, then comes the wall; with none it is NULL. */
static void **values_before_wall(size_t argc)
{
    size_t count = argc < USDT_ARG_MAX ? argc : USDT_ARG_MAX;
    void **values = room_before_wall(count);
    for (size_t i = 0; i < count; i++)
        values[i] = value(i);
    return argc == 0 ? NULL : values;
}

static void check_fire(usdt_probe_t *probe, size_t row, size_t argc, const char *when)
{
    size_t declared = stubs[row].declared;
    void **values = values_before_wall(argc);
    begin("a probe of %zu arguments, %s, is fired with %zu", declared, when, argc);
    usdt_fire_probe(probe, argc, values);

    void *real = probe->probe_addr;
    memset(seen, 0xff, sizeof seen);
    calls = 0;
    probe->probe_addr = (void *)(uintptr_t)stubs[row].stub;
    usdt_fire_probe(probe, argc, values);
    probe->probe_addr = real;
    expect(calls == 1, "%zu calls", calls);
    for (size_t i = 0; i < declared; i++)
        expect(seen[i] == (i < argc ? value(i) : NULL), "argument %zu is %p", i, seen[i]);
    end();
}

static void check_fires(void)
{
    const char *types[USDT_ARG_MAX];
    for (size_t i = 0; i < USDT_ARG_MAX; i++)
        types[i] = "long";
    for (size_t row = 0; row < COUNT(stubs); row++) {
        usdt_provider_t *p = usdt_create_provider("p", "m");
        usdt_probedef_t *d = usdt_create_probe("f", "n", stubs[row].declared, types);
        usdt_provider_add_probe(p, d);
        usdt_provider_enable(p);
        usdt_probe_t *probe = d->probe;
        for (size_t i = 0; i < COUNT(fired); i++)
            check_fire(probe, row, fired[i], "enabled");
        usdt_provider_disable(p);
        for (size_t i = 0; i < COUNT(fired); i++)
            check_fire(probe, row, fired[i], "disabled");
        usdt_provider_free(p);
        for (size_t i = 0; i < COUNT(fired); i++)
            check_fire(probe, row, fired[i], "without a provider");
        usdt_probe_release(d);
    }
}

static void check_no_probe(void)
{
    static const size_t counts[] = { 0, 1, 33, SIZE_MAX };
    int evaluated = 0;
    for (size_t i = 0; i < COUNT(counts); i++) {
        begin("a NULL probe is fired with %zu values that cannot be read", counts[i]);
        usdt_fire_probe(NULL, counts[i], NULL);
        usdt_fire_probe(NULL, counts[i], (void **)(void *)wall);
        end();
    }
    begin("a NULL probe is not enabled");
    expect(usdt_is_enabled(NULL) == 0, "it is");
    end();
    begin("USDT_PROBE of NULL evaluates nothing");
    USDT_PROBE(NULL, ++evaluated, 2);
    expect(evaluated == 0, "an argument was");
    end();
}

/* ---- usdt_error ---- */

/* The code; what follows; the message. */
static const struct error_case {
    int code;
    const char *args[4];
    const char *message;
} error_cases[] = {
#define ERROR(code, a, b, c, d, message) { code, { a, b, c, d }, message }
    ERROR(USDT_ERROR_MALLOC, "", "", "", "", "failed to allocate memory"),
    ERROR(USDT_ERROR_VALLOC, "", "", "", "", "failed to allocate page-aligned memory"),
    ERROR(USDT_ERROR_NOPROBES, "", "", "", "", "no probes defined"),
    ERROR(USDT_ERROR_LOADDOF, "why", "", "", "", "failed to load DOF: why"),
    ERROR(USDT_ERROR_ALREADYENABLED, "", "", "", "", "provider is already enabled"),
    ERROR(USDT_ERROR_UNLOADDOF, "why", "", "", "", "failed to unload DOF: why"),
    ERROR(USDT_ERROR_DUP_PROBE, "a", "b", "c", "d", "probe named a:b:c:d already exists"),
    ERROR(USDT_ERROR_REMOVE_PROBE, "a", "b", "c", "d", "failed to remove probe a:b:c:d"),
    ERROR(USDT_ERROR_INVALID, "what", "", "", "", "what"),
    ERROR(USDT_ERROR_PUBLISH, "what", "", "", "", "what"),
    ERROR(USDT_ERROR_DEGRADED, "what", "", "", "", "what"),
    ERROR(USDT_ERROR_UNSUPPORTED, "what", "", "", "", "no tracing support for what"),
    ERROR(USDT_ERROR_INVALID, "", "", "", "", ""),
    ERROR(USDT_ERROR_INVALID, "%s%n%1000000s%", "", "", "", "%s%n%1000000s%"),
    ERROR(USDT_ERROR_LOADDOF, "%n", "%n", "", "", "failed to load DOF: %n"),
    ERROR(USDT_ERROR_DUP_PROBE, "%s", "%n", "", "%", "probe named %s:%n::% already exists"),
    ERROR(USDT_ERROR_UNSUPPORTED + 1, "", "", "", "", "unknown error 12"),
    ERROR(-2, "", "", "", "", "unknown error -2"),
    ERROR(-5, "%s", "", "", "", "unknown error -5"),
    ERROR(999, "%s", "", "", "", "unknown error 999"),
    ERROR(INT_MAX, "", "", "", "", "unknown error 2147483647"),
    ERROR(INT_MIN, "", "", "", "", "unknown error -2147483648"),
    ERROR(USDT_ERROR_NONE, "", "", "", "", ""),
#undef ERROR
};

static void raise_error(usdt_provider_t *of, int code, const char *const *args)
{
    usdt_error(of, (usdt_error_t)code, args[0], args[1], args[2], args[3]);
}

static void check_error_codes(usdt_provider_t *of, const char *whose)
{
    for (size_t i = 0; i < COUNT(error_cases); i++) {
        const struct error_case *row = &error_cases[i];
        begin("usdt_error of %s, code %d: '%s'", whose, row->code, row->message);
        clear_error(of);
        raise_error(of, row->code, row->args);
        if (row->code == USDT_ERROR_NONE) { /* whether `error` is NULL or "" then, usdt.h leaves open */
            expect(usdt_provider_errno(of) == USDT_ERROR_NONE, "the code is not that");
            expect(usdt_errstr(of)[0] == '\0', "the message is '%s'", usdt_errstr(of));
        } else {
            expect_error(of, row->code, row->message);
        }
        end();
    }
}

/* Arguments of any length: the message is whole, or is cut where it does not fit. */
static const struct {
    int code;
    const char *format;
} long_errors[] = {
    { USDT_ERROR_LOADDOF, "failed to load DOF: %1$s" },
    { USDT_ERROR_UNLOADDOF, "failed to unload DOF: %1$s" },
    { USDT_ERROR_DUP_PROBE, "probe named %1$s:%1$s:%1$s:%1$s already exists" },
    { USDT_ERROR_REMOVE_PROBE, "failed to remove probe %1$s:%1$s:%1$s:%1$s" },
    { USDT_ERROR_INVALID, "%1$s" },
    { USDT_ERROR_PUBLISH, "%1$s" },
    { USDT_ERROR_DEGRADED, "%1$s" },
    { USDT_ERROR_UNSUPPORTED, "no tracing support for %1$s" },
};

static void check_long_error(usdt_provider_t *of, const char *whose, size_t row, size_t length)
{
    int code = long_errors[row].code;
    char *text = repeated("0123456789", length), whole[MESSAGE_MAX * 2];
    const char *message = usdt_errstr(of);
    begin("usdt_error of %s, code %d, with %zu characters", whose, code, length);
    raise_error(of, code, (const char *[]){ text, text, text, text });
    size_t fits = (size_t)snprintf(whole, sizeof whole, long_errors[row].format, text);
    size_t len = strnlen(message, MESSAGE_MAX);
    expect((int)usdt_provider_errno(of) == code, "the code is %d", (int)usdt_provider_errno(of));
    expect(len < MESSAGE_MAX, "the message has no end");
    expect(strncmp(message, whole, len) == 0, "the message is '%.*s'", MESSAGE_MAX, message);
    if (fits < MESSAGE_MAX)
        expect(len == fits, "it is cut to %zu characters, where %zu fit", len, fits);
    else
        expect(len >= MESSAGE_MAX - 100, "it is cut to %zu characters", len);
    free(text);
    end();
}

static void check_long_errors(usdt_provider_t *of, const char *whose)
{
    static const size_t lengths[] = { 100, 200, 480, 510, 511, 512, 513, 3000, 1000000 };
    for (size_t i = 0; i < COUNT(long_errors); i++)
        for (size_t k = 0; k < COUNT(lengths); k++)
            check_long_error(of, whose, i, lengths[k]);
}

/* Each provider has its error, each thread its own. */
static void check_channels(usdt_provider_t *p)
{
    usdt_provider_t *fresh = usdt_create_provider("fresh", "m");
    begin("a new provider has no error");
    expect(usdt_provider_errno(fresh) == USDT_ERROR_NONE, "the code is %d", (int)usdt_provider_errno(fresh));
    expect(usdt_errstr(fresh)[0] == '\0', "the message is '%s'", usdt_errstr(fresh));
    expect(fresh->error == NULL, "its member `error` is '%s'", fresh->error);
    end();

    begin("errors do not mix");
    usdt_error(NULL, USDT_ERROR_DEGRADED, "of the thread");
    usdt_error(p, USDT_ERROR_INVALID, "of p");
    usdt_error(fresh, USDT_ERROR_PUBLISH, "of fresh");
    expect_error(NULL, USDT_ERROR_DEGRADED, "of the thread");
    expect_error(p, USDT_ERROR_INVALID, "of p");
    usdt_error(NULL, USDT_ERROR_MALLOC);
    expect_error(p, USDT_ERROR_INVALID, "of p");
    expect_error(fresh, USDT_ERROR_PUBLISH, "of fresh");
    end();
    usdt_provider_free(fresh);

    begin("a message may be made of the one before");
    usdt_error(p, USDT_ERROR_INVALID, "no such device");
    usdt_error(p, USDT_ERROR_LOADDOF, usdt_errstr(p));
    expect_error(p, USDT_ERROR_LOADDOF, "failed to load DOF: no such device");
    end();
}

static void check_no_error(void)
{
    begin("where nothing failed there is no error");
    expect_error(NULL, USDT_ERROR_NONE, "");
    end();
}

static void check_errors(void)
{
    usdt_provider_t *p = usdt_create_provider("p", "m");
    check_error_codes(p, "a provider");
    check_error_codes(NULL, "the thread");
    check_long_errors(p, "a provider");
    check_long_errors(NULL, "the thread");
    check_channels(p);
    usdt_provider_free(p);
}

/* ---- orders of calls: the world they act on ---- */

/*
 * Providers p and q (module m), definitions a, b and c (function f), and d, which has the name of a.
 * Each is made when it is first named, and again when it is named after it went.
 */
enum { PROVIDERS = 2, DEFS = 4 };
static const char provider_letters[] = "pq", def_letters[] = "abcd";
static const char *const def_names[] = { "a", "b", "c", "a" };

static struct {
    usdt_provider_t *providers[PROVIDERS];
    usdt_probedef_t *defs[DEFS];
    bool held[DEFS];          /* we have a reference */
    usdt_probe_t *kept[DEFS]; /* from when it was first enabled */
} world;

/* A call is "verb p a", "verb p" or "release a"; '-' stands for NULL. */
enum verb { ADD, REMOVE, ENABLE, DISABLE, FREE, RELEASE };
static const char *const verbs[] = { "add", "remove", "enable", "disable", "free", "release" };

struct call {
    enum verb verb;
    int provider, def; /* indices, -1: NULL or none */
};

static struct call call_of(const char *text)
{
    struct call call = { ADD, -1, -1 };
    size_t len = strcspn(text, " ");
    while (strncmp(verbs[call.verb], text, len) != 0 || verbs[call.verb][len] != '\0')
        call.verb++;
    for (text += len; *text != '\0'; text++) {
        const char *p = strchr(provider_letters, *text), *d = strchr(def_letters, *text);
        if (p != NULL)
            call.provider = (int)(p - provider_letters);
        if (d != NULL)
            call.def = (int)(d - def_letters);
    }
    return call;
}

static usdt_provider_t *provider_at(int i)
{
    if (i < 0)
        return NULL;
    if (world.providers[i] == NULL) {
        world.providers[i] = usdt_create_provider((char[]){ provider_letters[i], '\0' }, "m");
        expect(world.providers[i] != NULL, "provider %c: %s", provider_letters[i], usdt_errstr(NULL));
        clear_error(world.providers[i]);
    }
    return world.providers[i];
}

static usdt_probedef_t *def_at(int i)
{
    const char *types[] = { "int", "char *" };
    if (i < 0)
        return NULL;
    if (world.defs[i] == NULL) {
        world.defs[i] = usdt_create_probe("f", def_names[i], 2, types);
        expect(world.defs[i] != NULL, "definition %c: %s", def_letters[i], usdt_errstr(NULL));
        world.held[i] = true;
        world.kept[i] = NULL;
    }
    return world.defs[i];
}

static int perform(const struct call *call)
{
    usdt_provider_t *p = provider_at(call->provider);
    usdt_probedef_t *d = def_at(call->def);
    switch (call->verb) {
    case ADD: return usdt_provider_add_probe(p, d);
    case REMOVE: return usdt_provider_remove_probe(p, d);
    case ENABLE: return usdt_provider_enable(p);
    case DISABLE: return usdt_provider_disable(p);
    case FREE:
        usdt_provider_free(p);
        if (p != NULL)
            world.providers[call->provider] = NULL;
        return 0;
    case RELEASE:
        usdt_probe_release(d);
        if (d != NULL)
            world.held[call->def] = false;
        return 0;
    }
    return 0;
}

/* The definitions that a provider has, in its order; how many. */
static int list_of(const usdt_provider_t *provider, usdt_probedef_t *list[DEFS])
{
    int count = 0;
    for (usdt_probedef_t *def = provider->probedefs; def != NULL; def = def->next) {
        if (!expect(count < DEFS, "the list of provider %s has no end", provider->name))
            break;
        list[count++] = def;
    }
    return count;
}

static bool is_listed(const usdt_probedef_t *def)
{
    usdt_probedef_t *list[DEFS];
    for (int p = 0; p < PROVIDERS; p++)
        if (world.providers[p] != NULL)
            for (int i = list_of(world.providers[p], list); i-- > 0;)
                if (list[i] == def)
                    return true;
    return false;
}

/* Forgets what nobody refers to any more. */
static void bury(void)
{
    for (int i = 0; i < DEFS; i++)
        if (!world.held[i] && (world.defs[i] == NULL || !is_listed(world.defs[i])))
            world.defs[i] = NULL, world.kept[i] = NULL;
}

/*
 * The state as text. "p+[a2* b1] c1": provider p, enabled, holds a, which has two references and
 * a probe (`probe` is not NULL), and b, which we released; c is in no provider.
 */
static int write_def(char *at, const usdt_probedef_t *def)
{
    char letter = '?';
    for (int i = 0; i < DEFS; i++)
        if (world.defs[i] == def)
            letter = def_letters[i];
    return sprintf(at, "%c%d%s ", letter, def->refcnt, def->probe != NULL ? "*" : "");
}

static const char *state(void)
{
    static char text[1000];
    char *to = text;
    usdt_probedef_t *list[DEFS];
    for (int p = 0; p < PROVIDERS; p++) {
        if (world.providers[p] == NULL)
            continue;
        to += sprintf(to, "%c%s[", provider_letters[p], world.providers[p]->enabled ? "+" : "");
        int count = list_of(world.providers[p], list);
        for (int i = 0; i < count; i++)
            to += write_def(to, list[i]);
        to -= count > 0;
        to += sprintf(to, "] ");
    }
    for (int i = 0; i < DEFS; i++)
        if (world.defs[i] != NULL && !is_listed(world.defs[i]))
            to += write_def(to, world.defs[i]);
    to[to > text ? -1 : 0] = '\0';
    return text;
}

/* A probe is published; a provider may have published one: its files go when it has none, or is disabled. */
static bool is_published(void)
{
    bool published = false;
    for (int i = 0; i < DEFS; i++)
        published = published || (world.defs[i] != NULL && world.defs[i]->probe != NULL);
    return published;
}

static bool may_be_published(void)
{
    bool may = false;
    for (int p = 0; p < PROVIDERS; p++)
        may = may || (world.providers[p] != NULL && world.providers[p]->enabled &&
                      world.providers[p]->probedefs != NULL);
    return may;
}

/* Whatever was called: all probes can be asked and fired, and each is the same as before. */
static void expect_sanity(void)
{
    for (int i = 0; i < DEFS; i++) {
        const usdt_probedef_t *def = world.defs[i];
        if (def == NULL)
            continue;
        if (world.kept[i] == NULL)
            world.kept[i] = def->probe;
        if (def->probe != NULL) {
            expect(def->probe == world.kept[i], "the probe of %c is another than before", def_letters[i]);
            expect(def->probe->argc == 2, "the probe of %c has not 2 arguments", def_letters[i]);
        }
        touch(def->probe);
        touch(world.kept[i]);
    }
    if (is_published())
        expect(files() > 0, "a probe is published, and there is no file");
    if (!may_be_published())
        expect_no_file();
}

/* At the end of an order: the next enable works, where a provider has probes; */
static void finish_providers(void)
{
    usdt_probedef_t *list[DEFS];
    for (int p = 0; p < PROVIDERS; p++) {
        if (world.providers[p] == NULL)
            continue;
        int want = world.providers[p]->probedefs == NULL ? -1 : 0;
        expect(usdt_provider_enable(world.providers[p]) == want, "the next enable does not return %d", want);
        for (int i = list_of(world.providers[p], list); i-- > 0;)
            expect(list[i]->probe != NULL, "the next enable leaves %s without a probe", list[i]->name);
    }
    expect_sanity();
}

/* what is in none can be used in another; */
static void finish_loose(void)
{
    for (int i = 0; i < DEFS; i++) {
        if (world.defs[i] == NULL || is_listed(world.defs[i]))
            continue;
        usdt_provider_t *other = usdt_create_provider("other", "m");
        expect(usdt_provider_add_probe(other, world.defs[i]) == 0 && usdt_provider_enable(other) == 0 &&
                   world.defs[i]->probe != NULL,
               "%c cannot be used in another provider", def_letters[i]);
        touch(world.defs[i]->probe);
        usdt_provider_free(other);
    }
}

/* and when all is freed, no file is left. */
static void finish(void)
{
    finish_providers();
    finish_loose();
    for (int p = 0; p < PROVIDERS; p++) {
        usdt_provider_free(world.providers[p]);
        world.providers[p] = NULL;
    }
    bury();
    expect_sanity();
    for (int i = 0; i < DEFS; i++) {
        if (!world.held[i])
            continue;
        expect(world.defs[i]->refcnt == 1, "%c has %d references at last", def_letters[i],
               world.defs[i]->refcnt);
        usdt_probe_release(world.defs[i]);
        world.held[i] = false;
    }
    bury();
    expect_no_file();
}

/* ---- orders of calls: one step ---- */

struct step {
    const char *call;
    int result;
    int code;
    const char *message; /* NULL: that of before */
    const char *state;   /* afterwards */
};

static void expect_step(const struct step *step)
{
    struct call call = call_of(step->call);
    usdt_provider_t *channel = provider_at(call.provider);
    bool has_channel = call.verb != FREE && call.verb != RELEASE;
    char message[MESSAGE_MAX];
    if (channel == NULL)
        clear_error(NULL);
    int code = step->message != NULL ? step->code : (int)usdt_provider_errno(channel);
    snprintf(message, sizeof message, "%s", step->message != NULL ? step->message : usdt_errstr(channel));

    int result = perform(&call);
    expect(result == step->result, "%s returns %d, not %d", step->call, result, step->result);
    if (has_channel)
        expect_error(channel, code, message);
    bury();
    expect(strcmp(state(), step->state) == 0, "%s leaves '%s', not '%s'", step->call, state(), step->state);
    expect_sanity();
}

/* ---- orders of calls: by a table ---- */

struct order {
    const char *name;
    struct step steps[10];
};
#define OK(call, state) { call, 0, 0, NULL, state }
#define SAYS(call, code, message, state) { call, 0, USDT_ERROR_##code, message, state }
#define FAILS(call, code, message, state) { call, -1, USDT_ERROR_##code, message, state }
#define ALREADY "provider is already enabled"
#define NONE "no probes defined"
#define DUP(p, name) "probe named " #p ":m:f:" #name " already exists"
#define LACKS(p, name) "failed to remove probe " #p ":m:f:" #name
#define ELSEWHERE(p, name) \
    "probe f:" #name " is in provider \"" #p "\" already; create another for this provider"
#define NO_PROBE "probe is NULL; look at what usdt_create_probe() returned"
#define WITHOUT_PROVIDER(call, state) \
    { call, -1, USDT_ERROR_INVALID, "provider is NULL; look at what usdt_create_provider() returned", state }

static const struct order orders[] = {
    { "added twice", {
        OK("add p a", "p[a2]"),
        FAILS("add p a", DUP_PROBE, DUP(p, a), "p[a2]"),
        OK("enable p", "p+[a2*]"),
        FAILS("add p a", DUP_PROBE, DUP(p, a), "p+[a2*]") } },
    { "two definitions of one name", {
        OK("add p a", "p[a2]"),
        FAILS("add p d", DUP_PROBE, DUP(p, a), "p[a2] d1"),
        OK("enable p", "p+[a2*] d1"),
        FAILS("add p d", DUP_PROBE, DUP(p, a), "p+[a2*] d1"),
        FAILS("remove p d", REMOVE_PROBE, LACKS(p, a), "p+[a2*] d1"),
        OK("remove p a", "p+[] a1 d1"),
        OK("add p d", "p+[d2] a1"),
        FAILS("add p a", DUP_PROBE, DUP(p, a), "p+[d2] a1"),
        OK("enable p", "p+[d2*] a1"),
        FAILS("remove p a", REMOVE_PROBE, LACKS(p, a), "p+[d2*] a1") } },
    { "two definitions of one name in two providers", {
        OK("add p a", "p[a2]"), OK("add q d", "p[a2] q[d2]"),
        OK("enable p", "p+[a2*] q[d2]"), OK("enable q", "p+[a2*] q+[d2*]"),
        FAILS("add p d", INVALID, ELSEWHERE(q, a), "p+[a2*] q+[d2*]"),
        OK("free p", "q+[d2*] a1"),
        FAILS("add q a", DUP_PROBE, DUP(q, a), "q+[d2*] a1") } },
    { "removed twice", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"),
        OK("remove p a", "p[b2] a1"),
        FAILS("remove p a", REMOVE_PROBE, LACKS(p, a), "p[b2] a1"),
        OK("remove p b", "p[] a1 b1"),
        FAILS("remove p b", NOPROBES, NONE, "p[] a1 b1") } },
    { "removed twice while enabled", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("remove p a", "p+[b2*] a1"),
        FAILS("remove p a", REMOVE_PROBE, LACKS(p, a), "p+[b2*] a1"),
        OK("remove p b", "p+[] a1 b1"),
        FAILS("remove p b", NOPROBES, NONE, "p+[] a1 b1"),
        FAILS("enable p", NOPROBES, NONE, "p+[] a1 b1"),
        OK("disable p", "p[] a1 b1") } },
    { "removed, never added", {
        FAILS("remove p a", NOPROBES, NONE, "p[] a1"),
        OK("add p b", "p[b2] a1"),
        FAILS("remove p a", REMOVE_PROBE, LACKS(p, a), "p[b2] a1"),
        OK("enable p", "p+[b2*] a1"),
        FAILS("remove p a", REMOVE_PROBE, LACKS(p, a), "p+[b2*] a1") } },
    { "removed from another provider", {
        OK("add p a", "p[a2]"),
        FAILS("remove q a", NOPROBES, NONE, "p[a2] q[]"),
        OK("add q b", "p[a2] q[b2]"),
        FAILS("remove q a", REMOVE_PROBE, LACKS(q, a), "p[a2] q[b2]"),
        OK("enable p", "p+[a2*] q[b2]"), OK("enable q", "p+[a2*] q+[b2*]"),
        FAILS("remove q a", REMOVE_PROBE, LACKS(q, a), "p+[a2*] q+[b2*]"),
        FAILS("remove p b", REMOVE_PROBE, LACKS(p, b), "p+[a2*] q+[b2*]") } },
    { "removed first, in the middle and last", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("add p c", "p[a2 b2 c2]"),
        OK("enable p", "p+[a2* b2* c2*]"),
        OK("remove p b", "p+[a2* c2*] b1"),
        OK("add p b", "p+[a2* c2* b2]"),
        OK("remove p b", "p+[a2* c2*] b1"),
        OK("remove p a", "p+[c2*] a1 b1"),
        OK("add p a", "p+[c2* a2] b1"),
        OK("enable p", "p+[c2* a2*] b1") } },
    { "enabled empty", {
        FAILS("enable p", NOPROBES, NONE, "p[]"),
        FAILS("enable p", NOPROBES, NONE, "p[]"),
        OK("disable p", "p[]"),
        OK("add p a", "p[a2]"),
        OK("enable p", "p+[a2*]") } },
    { "enabled twice", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        SAYS("enable p", ALREADYENABLED, ALREADY, "p+[a2*]"),
        SAYS("enable p", ALREADYENABLED, ALREADY, "p+[a2*]"),
        OK("disable p", "p[a2]"),
        OK("enable p", "p+[a2*]") } },
    { "disabled, never enabled", {
        OK("disable p", "p[]"),
        OK("add p a", "p[a2]"),
        OK("disable p", "p[a2]"),
        OK("enable p", "p+[a2*]") } },
    { "disabled twice", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("disable p", "p[a2]"), OK("disable p", "p[a2]"),
        OK("enable p", "p+[a2*]"), OK("disable p", "p[a2]") } },
    { "enabled after all was removed", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"),
        OK("remove p a", "p[b2] a1"), OK("remove p b", "p[] a1 b1"),
        FAILS("enable p", NOPROBES, NONE, "p[] a1 b1"),
        OK("add p b", "p[b2] a1"),
        OK("enable p", "p+[b2*] a1") } },
    { "freed while enabled", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("free p", "a1 b1") } },
    { "freed while enabled, a probe not published yet", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"), OK("add p b", "p+[a2* b2]"),
        OK("free p", "a1 b1") } },
    { "freed empty", {
        OK("free p", ""),
        FAILS("enable p", NOPROBES, NONE, "p[]"),
        OK("free p", "") } },
    { "freed after all was removed while enabled", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"), OK("remove p a", "p+[] a1"),
        OK("free p", "a1"),
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]") } },
    { "released before freed", {
        OK("add p a", "p[a2]"), OK("release a", "p[a1]"),
        OK("enable p", "p+[a1*]"),
        OK("free p", "") } },
    { "freed before released", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("free p", "a1"), OK("release a", "") } },
    { "released, never added", { OK("release a", ""), OK("release a", "") } },
    { "released while its provider is enabled", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("release a", "p+[a1*]"),
        SAYS("enable p", ALREADYENABLED, ALREADY, "p+[a1*]"),
        FAILS("add p a", DUP_PROBE, DUP(p, a), "p+[a1*]"),
        FAILS("add q a", INVALID, ELSEWHERE(p, a), "p+[a1*] q[]"),
        OK("disable p", "p[a1] q[]"),
        OK("enable p", "p+[a1*] q[]"),
        OK("remove p a", "p+[] q[]") } },
    { "released before its provider is disabled, which is freed", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("release a", "p+[a1* b2*]"),
        OK("disable p", "p[a1 b2]"),
        OK("remove p a", "p[b2]"),
        OK("enable p", "p+[b2*]"),
        OK("free p", "b1") } },
    { "removed, then released, while enabled", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("remove p a", "p+[b2*] a1"),
        OK("release a", "p+[b2*]"),
        OK("add p a", "p+[b2* a2]"),
        OK("enable p", "p+[b2* a2*]") } },
    { "removed while disabled, then released", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("disable p", "p[a2 b2]"),
        OK("remove p a", "p[b2] a1"),
        OK("release a", "p[b2]"),
        OK("enable p", "p+[b2*]") } },
    { "added while enabled", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("add p b", "p+[a2* b2]"),
        OK("enable p", "p+[a2* b2*]"),
        OK("disable p", "p[a2 b2]"),
        OK("enable p", "p+[a2* b2*]") } },
    { "added while enabled, removed before the next enable", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("add p b", "p+[a2* b2]"),
        OK("remove p b", "p+[a2*] b1"),
        SAYS("enable p", ALREADYENABLED, ALREADY, "p+[a2*] b1") } },
    { "added while enabled, disabled before the next enable", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("add p b", "p+[a2* b2]"),
        OK("disable p", "p[a2 b2]"),
        OK("enable p", "p+[a2* b2*]") } },
    { "added after disable", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"), OK("disable p", "p[a2]"),
        OK("add p b", "p[a2 b2]"),
        OK("enable p", "p+[a2* b2*]") } },
    { "removed and added again while enabled", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("remove p a", "p+[b2*] a1"),
        OK("add p a", "p+[b2* a2]"),
        OK("enable p", "p+[b2* a2*]"),
        SAYS("enable p", ALREADYENABLED, ALREADY, "p+[b2* a2*]") } },
    { "the only one removed and added again while enabled", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("remove p a", "p+[] a1"),
        OK("add p a", "p+[a2]"),
        OK("enable p", "p+[a2*]"),
        OK("disable p", "p[a2]") } },
    { "removed while enabled, added again after disable", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("remove p a", "p+[b2*] a1"),
        OK("disable p", "p[b2] a1"),
        OK("add p a", "p[b2 a2]"),
        OK("enable p", "p+[b2* a2*]") } },
    { "removed while enabled, added again after disable and enable", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("remove p a", "p+[b2*] a1"),
        OK("disable p", "p[b2] a1"), OK("enable p", "p+[b2*] a1"),
        OK("add p a", "p+[b2* a2]"),
        OK("enable p", "p+[b2* a2*]") } },
    { "removed while enabled and added again, then disabled before the next enable", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("remove p a", "p+[b2*] a1"), OK("add p a", "p+[b2* a2]"),
        OK("disable p", "p[b2 a2]"),
        OK("enable p", "p+[b2* a2*]") } },
    { "removed while disabled", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("disable p", "p[a2 b2]"),
        OK("remove p a", "p[b2] a1"),
        OK("enable p", "p+[b2*] a1"),
        OK("add p a", "p+[b2* a2]"),
        OK("enable p", "p+[b2* a2*]") } },
    { "all removed while disabled", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"), OK("disable p", "p[a2]"),
        OK("remove p a", "p[] a1"),
        FAILS("enable p", NOPROBES, NONE, "p[] a1"),
        OK("disable p", "p[] a1"),
        OK("add p a", "p[a2]"),
        OK("enable p", "p+[a2*]") } },
    { "one definition in two providers", {
        OK("add p a", "p[a2]"),
        FAILS("add q a", INVALID, ELSEWHERE(p, a), "p[a2] q[]"),
        OK("enable p", "p+[a2*] q[]"),
        FAILS("add q a", INVALID, ELSEWHERE(p, a), "p+[a2*] q[]"),
        OK("disable p", "p[a2] q[]"),
        FAILS("add q a", INVALID, ELSEWHERE(p, a), "p[a2] q[]"),
        OK("remove p a", "p[] q[] a1"),
        OK("add q a", "p[] q[a2]"),
        FAILS("add p a", INVALID, ELSEWHERE(q, a), "p[] q[a2]"),
        OK("enable q", "p[] q+[a2*]") } },
    { "moved between two enabled providers", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("add q c", "p[a2 b2] q[c2]"),
        OK("enable p", "p+[a2* b2*] q[c2]"), OK("enable q", "p+[a2* b2*] q+[c2*]"),
        OK("remove p a", "p+[b2*] q+[c2*] a1"),
        OK("add q a", "p+[b2*] q+[c2* a2]"),
        OK("enable q", "p+[b2*] q+[c2* a2*]"),
        SAYS("enable p", ALREADYENABLED, ALREADY, "p+[b2*] q+[c2* a2*]"),
        OK("free p", "q+[c2* a2*] b1") } },
    { "moved to another enabled provider and back", {
        OK("add p a", "p[a2]"), OK("add q c", "p[a2] q[c2]"),
        OK("enable p", "p+[a2*] q[c2]"), OK("enable q", "p+[a2*] q+[c2*]"),
        OK("remove p a", "p+[] q+[c2*] a1"),
        OK("add q a", "p+[] q+[c2* a2]"),
        OK("remove q a", "p+[] q+[c2*] a1"),
        OK("add p a", "p+[a2] q+[c2*]"),
        OK("enable p", "p+[a2*] q+[c2*]"),
        SAYS("enable q", ALREADYENABLED, ALREADY, "p+[a2*] q+[c2*]") } },
    { "moved from a provider that is disabled afterwards", {
        OK("add p a", "p[a2]"), OK("add p b", "p[a2 b2]"), OK("enable p", "p+[a2* b2*]"),
        OK("remove p a", "p+[b2*] a1"), OK("add q a", "p+[b2*] q[a2]"),
        OK("enable q", "p+[b2*] q+[a2*]"),
        OK("disable p", "p[b2] q+[a2*]"),
        OK("free p", "q+[a2*] b1"),
        OK("disable q", "q[a2] b1"),
        OK("enable q", "q+[a2*] b1") } },
    { "moved from a provider that was freed", {
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        OK("free p", "a1"),
        OK("add q a", "q[a2]"),
        OK("enable q", "q+[a2*]"),
        OK("free q", "a1"),
        OK("add p a", "p[a2]"),
        OK("enable p", "p+[a2*]") } },
    { "NULL for a definition", {
        FAILS("add p -", INVALID, NO_PROBE, "p[]"),
        FAILS("remove p -", INVALID, NO_PROBE, "p[]"),
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]"),
        FAILS("add p -", INVALID, NO_PROBE, "p+[a2*]"),
        FAILS("remove p -", INVALID, NO_PROBE, "p+[a2*]"),
        OK("release -", "p+[a2*]"),
        SAYS("enable p", ALREADYENABLED, ALREADY, "p+[a2*]") } },
    { "NULL for a provider", {
        WITHOUT_PROVIDER("add - a", "a1"), WITHOUT_PROVIDER("remove - a", "a1"),
        WITHOUT_PROVIDER("add - -", "a1"), WITHOUT_PROVIDER("remove - -", "a1"),
        WITHOUT_PROVIDER("enable -", "a1"), WITHOUT_PROVIDER("disable -", "a1"),
        OK("free -", "a1"), OK("release -", "a1"),
        OK("add p a", "p[a2]"), OK("enable p", "p+[a2*]") } },
};

static void check_orders(void)
{
    for (size_t i = 0; i < COUNT(orders); i++) {
        const struct order *order = &orders[i];
        for (size_t k = 0; k < COUNT(order->steps) && order->steps[k].call != NULL; k++) {
            begin("%s: %zu. %s", order->name, k + 1, order->steps[k].call);
            expect_step(&order->steps[k]);
            end();
        }
        begin("%s: and then it goes on", order->name);
        finish();
        end();
    }
}

/* ---- orders of calls: all of them, by a model of what usdt.h says ---- */

enum { NOWHERE = -1 };

static struct {
    struct {
        bool enabled, exists;
        int list[DEFS], count;
    } providers[PROVIDERS];
    struct {
        int refs, in; /* in: the provider, or NOWHERE */
        bool published, held;
    } defs[DEFS];
} model;

static void model_add(struct step *step, int p, int d)
{
    static char message[MESSAGE_MAX];
    for (int i = 0; i < model.providers[p].count; i++)
        if (strcmp(def_names[model.providers[p].list[i]], def_names[d]) == 0) {
            step->result = -1;
            step->code = USDT_ERROR_DUP_PROBE;
        }
    if (model.defs[d].in != NOWHERE && model.defs[d].in != p) {
        snprintf(message, sizeof message,
                 "probe f:%s is in provider \"%c\" already; create another for this provider", def_names[d],
                 provider_letters[model.defs[d].in]);
        step->result = -1;
        step->code = USDT_ERROR_INVALID;
        step->message = message;
    } else if (step->result == -1) {
        snprintf(message, sizeof message, "probe named %c:m:f:%s already exists", provider_letters[p],
                 def_names[d]);
        step->message = message;
    } else {
        model.providers[p].list[model.providers[p].count++] = d;
        model.defs[d].in = p;
        model.defs[d].refs++;
    }
}

static void model_unlist(int p, int d)
{
    int *list = model.providers[p].list, kept = 0;
    for (int i = 0; i < model.providers[p].count; i++)
        if (list[i] != d)
            list[kept++] = list[i];
    model.providers[p].count = kept;
    model.defs[d].in = NOWHERE;
    model.defs[d].published = false;
    model.defs[d].refs--;
}

static void model_remove(struct step *step, int p, int d)
{
    static char message[MESSAGE_MAX];
    if (model.defs[d].in == p) {
        model_unlist(p, d);
        return;
    }
    bool none = model.providers[p].count == 0;
    snprintf(message, sizeof message, "failed to remove probe %c:m:f:%s", provider_letters[p], def_names[d]);
    step->result = -1;
    step->code = none ? USDT_ERROR_NOPROBES : USDT_ERROR_REMOVE_PROBE;
    step->message = none ? NONE : message;
}

/* Publishes or withdraws all; whether that changed any. */
static bool model_publish(int p, bool published)
{
    bool changed = false;
    for (int i = 0; i < model.providers[p].count; i++) {
        bool *at = &model.defs[model.providers[p].list[i]].published;
        changed = changed || *at != published;
        *at = published;
    }
    model.providers[p].enabled = published;
    return changed;
}

static void model_enable(struct step *step, int p)
{
    if (model.providers[p].count == 0) {
        step->result = -1;
        step->code = USDT_ERROR_NOPROBES;
        step->message = NONE;
    } else if (!model_publish(p, true)) {
        step->code = USDT_ERROR_ALREADYENABLED;
        step->message = ALREADY;
    }
}

static void model_free(int p)
{
    while (model.providers[p].count > 0)
        model_unlist(p, model.providers[p].list[0]);
    model.providers[p].enabled = model.providers[p].exists = false;
}

static const char *model_state(void)
{
    static char text[200];
    char *to = text;
    *to = '\0';
    for (int p = 0; p < PROVIDERS; p++) {
        if (!model.providers[p].exists)
            continue;
        to += sprintf(to, "%c%s[", provider_letters[p], model.providers[p].enabled ? "+" : "");
        for (int i = 0; i < model.providers[p].count; i++) {
            int d = model.providers[p].list[i];
            to += sprintf(to, "%s%c%d%s", i == 0 ? "" : " ", def_letters[d], model.defs[d].refs,
                          model.defs[d].published ? "*" : "");
        }
        to += sprintf(to, "] ");
    }
    for (int d = 0; d < DEFS; d++)
        if (model.defs[d].refs > 0 && model.defs[d].in == NOWHERE)
            to += sprintf(to, "%c%d ", def_letters[d], model.defs[d].refs);
    if (to > text)
        to[-1] = '\0';
    return text;
}

/* What a call must do; false if no program may make it (a reference given up twice). */
static bool predict(struct step *step, const char *text)
{
    struct call call = call_of(text);
    int p = call.provider, d = call.def;
    *step = (struct step){ text, 0, 0, NULL, NULL };
    if (p >= 0)
        model.providers[p].exists = true;
    if (d >= 0 && model.defs[d].refs == 0) {
        model.defs[d].refs = 1;
        model.defs[d].in = NOWHERE;
        model.defs[d].held = true;
    }
    switch (call.verb) {
    case ADD: model_add(step, p, d); break;
    case REMOVE: model_remove(step, p, d); break;
    case ENABLE: model_enable(step, p); break;
    case DISABLE: model_publish(p, false); break;
    case FREE: model_free(p); break;
    case RELEASE:
        if (!model.defs[d].held)
            return false;
        model.defs[d].held = false;
        model.defs[d].refs--;
    }
    step->state = model_state();
    return true;
}

static const char *const calls_made[] = {
    "add p a", "add p b", "add p d", "add q a", "remove p a", "remove p b", "remove q a", "enable p",
    "enable q", "disable p", "disable q", "free p", "free q", "release a", "release b",
};
enum { CALLS = COUNT(calls_made), STEPS = 3 };

/* Where the orders begin: with nothing, with what is enabled, with what is disabled and was enabled. */
static const struct {
    const char *name;
    const char *calls[5];
} beginnings[] = {
    { "", { NULL } },
    { "p+[a b]: ", { "add p a", "add p b", "enable p", NULL } },
    { "p[a] q+[c]: ", { "add p a", "add q c", "enable p", "enable q", "disable p" } },
};

static void expect_calls(const char *const *calls_of, size_t count)
{
    struct step step;
    for (size_t i = 0; i < count && calls_of[i] != NULL && predict(&step, calls_of[i]); i++)
        expect_step(&step);
}

static void check_all_orders(void)
{
    for (size_t from = 0; from < COUNT(beginnings); from++)
        for (size_t i = 0; i < CALLS * CALLS * CALLS; i++) {
            const char *chosen[STEPS] = {
                calls_made[i / CALLS / CALLS], calls_made[i / CALLS % CALLS], calls_made[i % CALLS],
            };
            memset(&model, 0, sizeof model);
            begin("%s%s, %s, %s", beginnings[from].name, chosen[0], chosen[1], chosen[2]);
            expect_calls(beginnings[from].calls, COUNT(beginnings[from].calls));
            expect_calls(chosen, STEPS);
            finish();
            end();
        }
}

int main(void)
{
    if (getenv("XDG_RUNTIME_DIR") == NULL) {
        fputs("bad_input: XDG_RUNTIME_DIR must name an empty directory for this program alone\n", stderr);
        return 2;
    }
    watch_signals();
    build_wall();
    check_no_error();
    check_names();
    check_name_order();
    check_types();
    check_counts();
    check_fires();
    check_no_probe();
    check_errors();
    check_orders();
    check_all_orders();
    printf("1..%zu\n", check.count);
    return check.failed == 0 ? 0 : 1;
}
