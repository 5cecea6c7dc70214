/*
 * how.c - `usdt how`: what to type to see the hits of a probe, for each tracer. What is printed is meant to be pasted
 * into a shell: names and paths come from files that may say anything, so they are quoted, or refused.
 */
#include "usdt_internal.h"
#include "tool.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: usdt how -p PID PROVIDER:PROBE\n"
    "\n"
    "Prints commands that show the hits of a probe of a process, with its arguments: for bpftrace, perf, gdb, ftrace\n"
    "and dtrace. Each is to be pasted into a shell, runs until Ctrl-C, and then cleans up (perf leaves perf.data).\n"
    "PROVIDER:PROBE may have *, ? and [], if one probe only is like it.\n"
    "\n"
    "  -p PID    of this process\n"
    "\n"
    "Exit code: 0, printed; 1, there is no such probe, or more than one, or the process cannot be read.\n";

enum { ARGUMENTS_MAX = 64 };

struct argument {
    struct elf_operand operand;
    const char *type; /* NULL: not known */
    bool unfit;       /* a float, or of a width that no tracer has */
    bool odd;         /* or at a place that tracers get wrong: a variable by its name, as "counter(%rip)" */
    char fetch[64];   /* what the kernel fetches it by, as a number; or "" */
    const struct usdt_struct *of; /* what it points to, if the file describes that */
};

struct how {
    pid_t pid;
    const struct elf_file *file;
    const struct elf_probe *probe; /* of the first site */
    const struct elf_probe *sites[64]; /* all in one file: a compile-time probe has one for each place it is at */
    size_t site_count, untold; /* sites; those that there is no room for */
    size_t elsewhere;          /* probes of this name in other files of the process */
    uint64_t base;  /* of the file in the process */
    char *path;     /* of the file, for a tracer to open; NULL: the file has no name */
    bool same_root; /* the process has it by this path, too */
    char *mapped;   /* a path that is always there, has no special characters, and that root may open */
    char label[61]; /* the probe's name, as the kernel takes it for an event */
    struct argument arguments[ARGUMENTS_MAX];
    size_t count;
    bool any_unfit, any_odd;
    bool gdb_knows; /* the words that the note has for the arguments' places */
    unsigned spent; /* of the room for members, in the program that is written */
    bool is_short;  /* it has not all members */
};

/* A word for the shell. To be freed. */
static char *quoted(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0')
        return tool_strdup(word);
    char *to = tool_calloc(4 * strlen(word) + 3, 1), *at = to;
    *at++ = '\'';
    for (; *word != '\0'; word++)
        if (*word == '\'')
            at = stpcpy(at, "'\\''");
        else
            *at++ = *word;
    *at = '\'';
    return to;
}

/* A string for gdb's command line. To be freed. */
static char *in_double_quotes(const char *string)
{
    char *to = tool_calloc(2 * strlen(string) + 3, 1), *at = to;
    *at++ = '"';
    for (; *string != '\0'; string++) {
        if (*string == '"' || *string == '\\')
            *at++ = '\\';
        *at++ = *string;
    }
    *at = '"';
    return to;
}

/* Both were allocated; the second is freed. */
static void append(char **text, char *more)
{
    char *both = tool_format("%s%s", *text, more);
    free(*text);
    free(more);
    *text = both;
}

/*
 * A comment may hold what a file says, which must not become a command; nor may what we say, pasted into a shell that
 * takes comments in scripts only (zsh): no comment has a quote or the like.
 */
static void print_printable(const char *text)
{
    for (; *text != '\0'; text++)
        putchar(*text >= ' ' && *text <= '~' && strchr("'\"`$\\!;&|<>", *text) == NULL ? *text : '?');
}

/* ---- what the languages of the tracers have in common ---- */

struct language {
    size_t most;                      /* arguments */
    const char *argument;             /* "arg", which the number follows */
    const char *string, *string_end;  /* around that: the string it points to */
    const char *wide;                 /* the length that printf wants of 8 bytes */
    const char *casts[2][4];          /* unsigned and signed, of 1, 2, 4, 8 bytes */
    bool has_members;
};

static const struct language bpftrace = {
    .most = 12, .argument = "arg", .string = "str(", .string_end = ")", .wide = "l",
    .casts = { { "(uint8)", "(uint16)", "(uint32)", "(uint64)" }, { "(int8)", "(int16)", "(int32)", "(int64)" } },
    .has_members = true,
};
static const struct language gdb = {
    .most = 12, .argument = "$_probe_arg", .string = "(char *)", .string_end = "", .wide = "ll",
    .casts = { { "", "", "", "" }, { "", "", "", "" } },
};
static const struct language dtrace = {
    .most = 10, .argument = "arg", .string = "copyinstr(", .string_end = ")", .wide = "",
    .casts = { { "(uint8_t)", "(uint16_t)", "(uint32_t)", "(uint64_t)" },
               { "(int8_t)", "(int16_t)", "(int)", "(int64_t)" } },
    .has_members = true,
};

/*
 * An argument by its register, for gdb: "(short)$rdi", "*(short *)($rsp + 8)". If gdb cannot read one argument of a
 * note it reads none: 13 knows no %r8b, no floats and no variables. To be freed; NULL: it is not known.
 */
static char *by_register(const struct how *how, const struct argument *argument)
{
    static const char *const types[] = { "char", "short", "int", "long long" };
    int bytes = argument->operand.bytes;
    const char *sign = argument->operand.is_signed ? "signed" : "unsigned";
    const char *type = types[bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3], *fetch = argument->fetch;
    const char *name = strchr(fetch, '%');
    if (fetch[0] == '\\')
        return tool_format("%ld", strtol(fetch + 1, NULL, 10));
    if (name == NULL)
        return NULL;
    name++;
    /* The kernel says di where gdb says rdi or edi. */
    const char *prefix = isdigit((unsigned char)name[1]) || how->file->machine == EM_AARCH64 ? ""
                         : how->file->wide ? "r" : "e";
    int len = (int)strcspn(name, "):");
    if (fetch[0] == '%')
        return tool_format("(%s %s)$%s%.*s", sign, type, prefix, len, name);
    return tool_format("*(%s %s *)($%s%.*s %+ld)", sign, type, prefix, len, name, strtol(fetch, NULL, 10));
}

/* ---- members ---- */

/*
 * What one program can print of members, in units of 8 bytes: a number is one. bpftrace 0.17 has what printf() is given
 * on a stack of 512 bytes, a string takes 64 there; dtrace has 256 bytes for copyin(), and few strings.
 */
enum { BPFTRACE_ROOM = 50, BPFTRACE_STRING = 9, DTRACE_ROOM = 30, DTRACE_STRING = 5 };

static bool is_signed_member(const struct usdt_type *type)
{
    return type->kind == USDT_KIND_SIGNED || type->kind == USDT_KIND_CHAR ||
           (type->kind == USDT_KIND_ENUM && type->constants->has_negative);
}

/* A member of a program's structure for bpftrace, which reads it where `path` names it. */
static char *bpftrace_member(const struct usdt_field *field, const char *path)
{
    return tool_format(field->type.kind == USDT_KIND_STRING ? "str(%s)" : "%s", path);
}

/* The same for dtrace, at an address. By `->` behind copyin() 2.0.7 shows numbers that are off by where it has put
   them, so each is copied alone. Of a NULL pointer it would show nothing but an error. */
static char *dtrace_member(const struct usdt_field *field, size_t argument, const char *address)
{
    static const char *const words[] = { [1] = "char", [2] = "short", [4] = "int", [8] = "long long" };
    const struct usdt_type *type = &field->type;
    if (field->dims > 0)
        return tool_format("arg%zu == 0 ? \"NULL\" : copyinstr(%s, %u)", argument, address, field->dim[0] + 1);
    bool is_pointer = type->kind == USDT_KIND_STRING || type->kind == USDT_KIND_POINTER;
    /* Through a pointer a char has no sign there; by a cast it gets one. */
    bool is_signed = is_signed_member(type) && type->size >= 4;
    const char *narrow = is_signed || !is_signed_member(type) ? "" : dtrace.casts[1][type->size - 1];
    char *cast = is_pointer ? tool_strdup("uintptr_t")
                            : tool_format("%s%s", is_signed ? "" : "unsigned ", words[type->size]);
    char *value = tool_format("%s*(%s *)copyin(%s, %u)", narrow, cast, address, type->size);
    char *text = type->kind == USDT_KIND_STRING
                     ? tool_format("arg%zu == 0 || %s == 0 ? \"NULL\" : copyinstr(%s)", argument, value, value)
                     : tool_format("arg%zu == 0 ? 0 : %s", argument, value);
    free(cast);
    free(value);
    return text;
}

/* " id=%d" and ", ((struct req *)arg0)->id"; false: the language cannot print it, or there is no room. */
static bool append_member(struct how *how, const struct language *language, const struct usdt_field *field,
                          size_t argument, const char *before, const char *path, char **format, char **values)
{
    const struct usdt_type *type = &field->type;
    bool for_d = language == &dtrace, is_text = type->kind == USDT_KIND_CHAR && field->dims == 1;
    bool is_string = is_text || type->kind == USDT_KIND_STRING, is_pointer = type->kind == USDT_KIND_POINTER;
    unsigned price = !is_string ? 1 : for_d ? DTRACE_STRING : BPFTRACE_STRING;
    if (type->kind == USDT_KIND_FLOAT || field->is_flexible || (field->dims > 0 && !is_text) ||
        (field->bits > 0 && for_d) || how->spent + price > (for_d ? DTRACE_ROOM : BPFTRACE_ROOM))
        return false;
    how->spent += price;
    const char *percent = is_string ? "%s" : is_pointer ? for_d ? "0x%x" : "%p"
                          : type->size == 8 && !for_d ? is_signed_member(type) ? "%lld" : "%llu"
                                                      : is_signed_member(type) ? "%d" : "%u";
    append(format, tool_format("%s%s=%s", before, field->name, percent));
    char *value = for_d ? dtrace_member(field, argument, path) : bpftrace_member(field, path);
    append(values, tool_format(", %s", value));
    free(value);
    return true;
}

/* Also those of members, and of structures without a name. `path` is that of the structure: "((struct req *)arg0)->",
   and for dtrace its address; with `name`, that of the structure, it is the argument itself. */
static void append_members(struct how *how, const struct language *language, const struct usdt_struct *of,
                           size_t argument, const char *path, const char *name, char **format, char **values,
                           const char *before)
{
    bool for_d = language == &dtrace;
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        char *word = types_member(of, field, for_d);
        char *member = !for_d ? tool_format("%s%s", path, word)
                       : name != NULL ? tool_format("%s + offsetof(%s, %s)", path, name, word)
                       : field->offset > 0 ? tool_format("%s + %u", path, field->offset) : tool_strdup(path);
        if (field->type.kind == USDT_KIND_STRUCT && field->dims == 0) {
            char *inner = !for_d && field->name == NULL ? tool_strdup(path)
                                                        : tool_format("%s%s", member, for_d ? "" : ".");
            append(format, field->name == NULL ? tool_strdup("") : tool_format("%s%s={", before, field->name));
            append_members(how, language, field->type.of, argument, inner, NULL, format, values,
                           field->name == NULL ? before : "");
            append(format, tool_strdup(field->name != NULL ? "}" : ""));
            free(inner);
            before = " ";
        } else if (append_member(how, language, field, argument, before, member, format, values)) {
            before = " ";
        } else {
            how->is_short = true;
        }
        free(member);
        free(word);
    }
}

/* The definitions of what the arguments point to, which a program begins with. To be freed. */
static char *definitions(const struct how *how, const struct language *language)
{
    const struct usdt_struct *of[ARGUMENTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < how->count && i < language->most; i++)
        if (how->arguments[i].of != NULL)
            of[count++] = how->arguments[i].of;
    return count == 0 ? tool_strdup("") : types_definitions(how->file, of, count, language == &dtrace);
}

/* printf("NAME %d %s\n", (int32)arg0, str(arg1)) as far as the language takes arguments; without the brackets. */
static char *printf_of(struct how *how, const struct language *language, size_t most, const char *end)
{
    how->spent = 0;
    how->is_short = false;
    char *format = tool_format("%s", how->label), *values = tool_strdup("");
    for (size_t i = 0; i < how->count && i < most; i++) {
        const struct argument *argument = &how->arguments[i];
        bool direct = language == &gdb && !how->gdb_knows;
        char *value = direct ? by_register(how, argument) : tool_format("%s%zu", language->argument, i);
        if (argument->unfit || argument->odd || value == NULL) {
            free(value);
            continue;
        }
        if (argument->of != NULL && language->has_members) {
            char *name = types_name(how->file, argument->of);
            char *path = language == &dtrace ? tool_strdup(value) : tool_format("((%s *)%s)->", name, value);
            append(&format, tool_strdup(" {"));
            append_members(how, language, argument->of, i, path, name, &format, &values, "");
            append(&format, tool_strdup("}"));
            free(name);
            free(path);
            free(value);
            continue;
        }
        enum type_kind kind = type_kind(argument->type);
        int bytes = argument->operand.bytes;
        size_t width = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
        bool is_signed = kind == TYPE_NUMBER && argument->operand.is_signed, string = kind == TYPE_STRING;
        const char *before = string ? language->string : language->casts[is_signed][width];
        const char *percent = kind == TYPE_POINTER ? "0x%" : "%", *length = !string && bytes == 8 ? language->wide : "";
        char letter = string ? 's' : kind == TYPE_POINTER ? 'x' : is_signed ? 'd' : 'u';
        append(&format, tool_format(" %s%s%c", percent, length, letter));
        append(&values, tool_format(", %s%s%s", before, value, string ? language->string_end : ""));
        free(value);
    }
    char *text = tool_format("\"%s%s\"%s", format, end, values);
    free(format);
    free(values);
    return text;
}

static bool is_unfit(const struct elf_operand *operand)
{
    int bytes = operand->bytes;
    return operand->is_float || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8);
}

static void print_place(const struct argument *argument)
{
    if (argument->operand.is_float)
        printf("floating-point numbers");
    else if (argument->unfit)
        printf("numbers of %d bytes", argument->operand.bytes);
    else
        print_printable(argument->operand.place);
}

static void say_too_many(const struct how *how, size_t most)
{
    if (how->count == most + 1)
        printf("# Argument %zu is left out: it takes %zu.\n", most + 1, most);
    else if (how->count > most)
        printf("# Arguments %zu to %zu are left out: it takes %zu.\n", most + 1, how->count, most);
}

static void say_left_out(const struct how *how, size_t most)
{
    say_too_many(how, most);
    for (size_t i = 0; i < how->count && i < most; i++)
        if (how->arguments[i].unfit || how->arguments[i].odd) {
            printf("# Argument %zu is left out: it cannot read ", i + 1);
            print_place(&how->arguments[i]);
            printf(".\n");
        }
}

static bool is_plain(const char *name)
{
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

/* ---- the tracers ---- */

/* By which path bpftrace is to find the file. "*", any, also finds those whose name it could not take. */
static const char *bpftrace_path(const struct how *how)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./";
    return how->path != NULL && how->same_root && how->path[strspn(how->path, plain)] == '\0' ? how->path : "*";
}

static void say_short(const struct how *how)
{
    if (how->is_short)
        printf("# Some members are left out: floating-point numbers, arrays, or those that there is no room for.\n");
}

static void show_one_bpftrace(struct how *how, const char *version, const char *path, size_t most)
{
    printf("# bpftrace %s, as root\n", version);
    say_left_out(how, most);
    if (how->any_odd)
        printf("# A new one may refuse the probe for it.\n");
    char *values = printf_of(how, &bpftrace, most, "\\n"), *described = definitions(how, &bpftrace);
    say_short(how);
    const struct elf_probe *probe = how->probe;
    char *script = tool_format("%susdt:%s:%s:%s { printf(%s); }", described, path, probe->provider, probe->name,
                               values);
    free(described);
    char *word = quoted(script);
    printf("bpftrace -p %d -e %s\n\n", (int)how->pid, word);
    free(word);
    free(script);
    free(values);
}

/* 0.17 reads the six arguments that are in registers on x86_64, 0.27 all that a note has. */
static void show_bpftrace(struct how *how)
{
    const char *why = how->any_unfit ? "an argument is a floating-point number, or of an unusual width"
                      : how->path != NULL && strchr(how->path, ':') != NULL ? "the path of the file has a colon" : NULL;
    if (why != NULL) {
        printf("# bpftrace cannot trace it: %s\n\n", why);
        return;
    }
    enum { OLD_MOST = 6 };
    const char *path = bpftrace_path(how);
    if (how->count <= OLD_MOST && how->path != NULL) {
        show_one_bpftrace(how, "(0.17 and newer)", path, OLD_MOST);
    } else {
        show_one_bpftrace(how, "(old: 0.17 to 0.24)", path, OLD_MOST);
        /* A new one passes by what is deleted, as a memfd is, unless it is given a path to it. */
        show_one_bpftrace(how, "(new: 0.25 and newer)", how->path != NULL ? path : how->mapped, bpftrace.most);
    }
}

/* perf takes what is in a register or at an offset from one: what the kernel can fetch and is no constant. */
static bool perf_takes(const struct argument *argument)
{
    return argument->fetch[0] != '\0' && argument->fetch[0] != '\\';
}

static const char *perf_cannot(const struct how *how)
{
    bool plain = is_plain(how->probe->provider) && is_plain(how->probe->name);
    static const char no_path[] = " \t\n#:,'\"\\";
    return how->path == NULL ? "the file has no name any more"
           : !how->same_root ? "the process sees other files than perf does (as in a container)"
           : how->file->build_id[0] == '\0' ? "the file has no build-id"
           : !plain ? "only letters, digits and _ may be in the name of a probe"
           : how->path[strcspn(how->path, no_path)] != '\0' ? "the path of the file has a blank, a quote or # : ,"
           : how->any_unfit ? "an argument is a floating-point number, or of an unusual width"
                            : NULL;
}

static void show_perf(const struct how *how)
{
    enum { PERF_MOST = 12 };
    const char *why = perf_cannot(how);
    if (why != NULL) {
        printf("# perf cannot trace it: %s\n\n", why);
        return;
    }
    char *path = quoted(how->path);
    const char *provider = how->probe->provider, *name = how->probe->name;
    printf("# perf (with libelf), as root; Ctrl-C ends the recording, then it is shown. perf counts from arg1\n");
    say_too_many(how, PERF_MOST);
    for (size_t i = 0; i < how->count && i < PERF_MOST; i++) {
        if (!perf_takes(&how->arguments[i]))
            printf("# Argument %zu is left out: perf takes only what is in a register or beside one.\n", i + 1);
        else if (type_kind(how->arguments[i].type) == TYPE_STRING)
            printf("# Argument %zu is shown as the address of the string: perf does not follow it.\n", i + 1);
        else if (how->arguments[i].operand.is_signed && how->arguments[i].operand.bytes < 4)
            printf("# Argument %zu is shown without its sign: -1 as %u.\n", i + 1,
                   how->arguments[i].operand.bytes == 1 ? UINT8_MAX : UINT16_MAX);
    }
    printf("(trap : INT\n"
           "perf buildid-cache --add %s\n"
           "perf probe sdt_%s:%s\n"
           "perf record -N -o perf.data -e 'sdt_%s:%s%s' -p %d\n" /* named: else it may be sent to standard output */
           "perf script -i perf.data\n"
           "perf probe -d 'sdt_%s:%s%s'\n"
           "perf buildid-cache --remove %s)\n\n",
           path, provider, name, provider, name, how->site_count > 1 ? "*" : "", (int)how->pid, provider, name,
           how->site_count > 1 ? "*" : "", path);
    free(path);
}

static void show_gdb(struct how *how)
{
    printf("# gdb; the process stands still for a moment at each hit\n");
    say_left_out(how, gdb.most);
    for (size_t i = 0; !how->gdb_knows && i < how->count && i < gdb.most; i++)
        if (!how->arguments[i].unfit && !how->arguments[i].odd && how->arguments[i].fetch[0] == '\0')
            printf("# Argument %zu is left out: gdb would read it if it could read all of them.\n", i + 1);
    char *values = printf_of(how, &gdb, gdb.most, "\\n");
    printf("gdb -nx -q -batch -p %d ", (int)how->pid);
    /* An image that was made at run time is none that the dynamic linker has loaded: gdb is told where it is. */
    if (how->probe->types != NULL) {
        char *path = in_double_quotes(how->path != NULL ? how->path : how->mapped);
        char *command = tool_format("add-symbol-file %s -o %#" PRIx64, path, how->base), *word = quoted(command);
        printf("-ex %s ", word);
        free(word);
        free(command);
        free(path);
    }
    /* "commands" takes what it is to do at each hit from standard input, for which it prints prompts. */
    printf("-ex 'break -probe-stap %s:%s' -ex commands -ex 'echo \\n' -ex continue <<'END'\n"
           "silent\n"
           "printf %s\n"
           "continue\n"
           "end\n"
           "END\n\n",
           how->probe->provider, how->probe->name, values);
    free(values);
}

static void echo_to(const char *text, const char *file)
{
    char *word = quoted(text);
    /* The echo of some shells takes a backslash for its own. */
    printf("%s %s >> %s\n", strchr(text, '\\') == NULL ? "echo" : "printf '%s\\n'", word, file);
    free(word);
}

/* "p:usdt_shop/start /run/usdt/shop.so:0x1040(0x3000) arg0=%di:s32" */
static char *uprobe_event(const struct how *how, const char *event, size_t number)
{
    const struct elf_probe *probe = how->sites[number];
    char semaphore[24] = "";
    if (probe->semaphore != 0)
        snprintf(semaphore, sizeof semaphore, "(%#" PRIx64 ")", probe->semaphore);
    const char *path = how->path != NULL && fetch_takes_path(how->path) ? how->path : how->mapped;
    char *text = tool_format("p:%s %s:%#" PRIx64 "%s", event, path, probe->site, semaphore);
    const char *at = probe->operands;
    struct elf_operand operand;
    for (size_t i = 0; i < how->count && elf_next_operand(&at, &operand); i++) {
        char expression[96];
        if (!fetch_operand(how->file, &operand, how->arguments[i].type, expression, sizeof expression)) {
            printf("# Argument %zu is left out: it cannot read ", i + 1);
            print_place(&(struct argument){ .operand = operand, .unfit = is_unfit(&operand) });
            printf(".\n");
            continue;
        }
        append(&text, tool_format(" arg%zu=%s", i, expression));
    }
    return text;
}

static void show_ftrace(const struct how *how)
{
    const char *tracefs = "/sys/kernel/tracing", *old_tracefs = "/sys/kernel/debug/tracing";
    if (access(tracefs, X_OK) != 0 && access(old_tracefs, X_OK) == 0)
        tracefs = old_tracefs;
    char *instance = tool_format("instances/usdt-%d-%s", (int)how->pid, how->label);
    char *events[sizeof how->sites / sizeof how->sites[0]], *texts[sizeof how->sites / sizeof how->sites[0]];
    printf("# ftrace (the tracer of the kernel itself, without any package), as root\n");
    if (how->untold > 0)
        printf("# At %zu more places it is not traced: these are many already.\n", how->untold);
    for (size_t i = 0; i < how->count; i++)
        if (!how->file->wide && type_kind(how->arguments[i].type) == TYPE_STRING)
            printf("# Argument %zu may be shown as the address of the string: the kernel takes pointers of its own\n"
                   "# width from memory.\n", i + 1);
    for (size_t i = 0; i < how->site_count; i++) {
        events[i] = i == 0 ? tool_format("usdt_%d/%s", (int)how->pid, how->label)
                           : tool_format("usdt_%d/%.56s_%zu", (int)how->pid, how->label, i);
        texts[i] = uprobe_event(how, events[i], i);
    }
    printf("(trap : INT\n"
           "cd %s || exit\n"
           "mkdir %s\n", tracefs, instance);
    for (size_t i = 0; i < how->site_count; i++)
        echo_to(texts[i], "uprobe_events");
    printf("echo 1 > %s/options/event-fork\n"
           "ls /proc/%d/task > %s/set_event_pid\n", instance, (int)how->pid, instance);
    for (size_t i = 0; i < how->site_count; i++)
        printf("echo 1 > %s/events/%s/enable\n", instance, events[i]);
    printf("cat %s/trace_pipe\n", instance);
    for (size_t i = 0; i < how->site_count; i++)
        printf("echo 0 > %s/events/%s/enable\n", instance, events[i]);
    printf("rmdir %s\n", instance);
    for (size_t i = 0; i < how->site_count; i++) {
        printf("echo -:%s >> uprobe_events%s\n", events[i], i + 1 == how->site_count ? ")\n" : "");
        free(events[i]);
        free(texts[i]);
    }
    free(instance);
}

/* DTrace's arg0, arg1... are what the probe's args[] are made of. */
static void translate(struct how *how, const struct how *from)
{
    *how = *from;
    how->count = how->any_unfit = how->any_odd = 0;
    for (size_t i = 0; from->probe->translated[i] != NULL && how->count < ARGUMENTS_MAX; i++) {
        unsigned argument = from->probe->map[i];
        if (argument >= from->count) /* the file does not say where it is */
            break;
        how->arguments[how->count++] = from->arguments[argument];
        how->any_unfit |= from->arguments[argument].unfit;
        how->any_odd |= from->arguments[argument].odd;
    }
}

static void show_dtrace(struct how *how)
{
    struct how translated;
    printf("# dtrace (2.0 on Linux), as root\n");
    if (how->probe->translated != NULL) {
        translate(&translated, how);
        how = &translated;
        printf("# The provider has chosen which arguments it shows, and in which order.\n");
    }
    say_left_out(how, dtrace.most);
    char *values = printf_of(how, &dtrace, dtrace.most, ""), *script = definitions(how, &dtrace);
    say_short(how);
    append(&script, tool_format("%s$target:::%s { printf(%s); }", how->probe->provider, how->probe->name, values));
    char *word = quoted(script);
    printf("dtrace -p %d -n %s\n", (int)how->pid, word);
    free(word);
    free(script);
    free(values);
}

/* ---- which probe ---- */

static void show_header(const struct how *how)
{
    char *types = elf_arguments(how->probe);
    printf("# %s:%s(", how->probe->provider, how->probe->name);
    print_printable(types);
    printf(") in process %d\n", (int)how->pid);
    free(types);
    size_t count = 0;
    while (how->probe->types != NULL && how->probe->types[count] != NULL)
        count++;
    if (count > how->count)
        printf("# The file says where %zu of the %zu arguments are: the others are left out.\n", how->count, count);
    if (how->elsewhere > 0)
        printf("# Other files of this process have a probe of this name, too: those hits are not shown.\n");
    for (size_t i = 0; i < how->count; i++)
        if (value_real_size(how->arguments[i].type) != 0)
            printf("# Argument %zu is shown as the bits of a floating-point number: usdt trace shows the number, and\n"
                   "# doc/cookbook.md has what bpftrace and dtrace take to show it.\n", i + 1);
    bool may_point = false;
    int word = how->file->wide ? 8 : 4;
    for (size_t i = 0; how->probe->types == NULL && i < how->count; i++)
        may_point |= !how->arguments[i].unfit && !how->arguments[i].operand.is_signed &&
                     how->arguments[i].operand.bytes == word;
    if (may_point)
        printf("# Their types are not known: a uint%d may be a pointer. If arg0 is one to a string, it is shown by\n"
               "# %%s and str(arg0) for bpftrace, (char *)$_probe_arg0 for gdb, copyinstr(arg0) for dtrace. For\n"
               "# ftrace arg0=%%di:u64 becomes arg0=+0(%%di):string.\n", 8 * word);
    putchar('\n');
}

/* /proc/PID/fd/N: a file that a process has open. To be freed; NULL: it has not. */
static char *descriptor_path(pid_t pid, const struct stat *file)
{
    char *dir = tool_format("/proc/%d/fd", (int)pid), *found = NULL;
    DIR *descriptors = opendir(dir);
    struct dirent *entry;
    while (found == NULL && descriptors != NULL && (entry = readdir(descriptors)) != NULL) {
        struct stat st;
        if (fstatat(dirfd(descriptors), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
            st.st_dev == file->st_dev && st.st_ino == file->st_ino)
            found = tool_format("%s/%s", dir, entry->d_name);
    }
    if (descriptors != NULL)
        closedir(descriptors);
    free(dir);
    return found;
}

static void find_paths(const struct process_probe *row, struct how *how)
{
    struct stat here, there;
    bool is_there = stat(row->open_path, &there) == 0;
    /* Some tracers take no path below map_files: 0.17 of bpftrace. */
    how->mapped = is_there ? descriptor_path(row->pid, &there) : NULL;
    if (how->mapped == NULL)
        how->mapped = tool_strdup(row->mapped_path);
    how->same_root = is_there && stat(row->path, &here) == 0 && here.st_dev == there.st_dev &&
                     here.st_ino == there.st_ino;
    if (how->same_root)
        how->path = tool_strdup(row->path);
    else if (row->open_path != row->mapped_path)
        how->path = tool_strdup(row->open_path);
}

static void find_arguments(struct how *how)
{
    const char *at = how->probe->operands;
    char **type = how->probe->types;
    how->gdb_knows = true;
    while (how->count < ARGUMENTS_MAX && elf_next_operand(&at, &how->arguments[how->count].operand)) {
        struct argument *argument = &how->arguments[how->count++];
        const char *place = argument->operand.place;
        argument->unfit = is_unfit(&argument->operand);
        how->any_unfit |= argument->unfit;
        if (!fetch_operand(how->file, &argument->operand, NULL, argument->fetch, sizeof argument->fetch))
            argument->fetch[0] = '\0';
        /* What has an index, as "(%rax,%rbx,4)", others than the kernel and perf do read. */
        argument->odd = !argument->unfit && argument->fetch[0] == '\0' && strchr(place, ',') == NULL;
        how->any_odd |= argument->odd;
        how->gdb_knows &= !argument->unfit && !argument->odd &&
                          !(strncmp(place, "%r", 2) == 0 && place[strlen(place) - 1] == 'b');
        if (type != NULL && *type != NULL)
            argument->type = *type++;
        if (how->file->wide && argument->operand.bytes == 8) /* tracers lay structures out for 64 bits */
            argument->of = types_pointee(how->file, argument->type);
    }
}

static bool same_name(const struct elf_probe *a, const struct elf_probe *b)
{
    return strcmp(a->provider, b->provider) == 0 && strcmp(a->name, b->name) == 0;
}

/* Names like the glob, for somebody to choose from. */
static void complain_of_many(const struct process_probes *probes, const char *glob)
{
    enum { NAMED = 5 };
    char *names = tool_strdup("");
    size_t different = 0;
    for (size_t i = 0; i < probes->count; i++) {
        const struct elf_probe *probe = probes->list[i].probe;
        if ((i > 0 && same_name(probe, probes->list[i - 1].probe)) || different++ >= NAMED)
            continue;
        append(&names, tool_format("%s%s:%s", different > 1 ? ", " : "", probe->provider, probe->name));
    }
    tool_complain("how: %s: %zu probes are like it: name one: %s%s", glob, different, names,
                  different > NAMED ? ", ..." : "");
    free(names);
}

/* Names that tracers take hold letters, digits, _, - and ., and those need no quotes anywhere. */
static bool is_traceable(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("_-.", *c) == NULL)
            return false;
    return name[0] != '\0';
}

static bool choose(const struct process_probes *probes, const char *glob, struct how *how)
{
    if (probes->count == 0) {
        tool_complain("how: %s: process %d has no such probe: usdt list -p %d shows what it has", glob, (int)how->pid,
                      (int)how->pid);
        return false;
    }
    const struct process_probe *first = &probes->list[0], *last = &probes->list[probes->count - 1];
    if (!same_name(first->probe, last->probe)) {
        complain_of_many(probes, glob);
        return false;
    }
    how->file = first->file;
    how->probe = first->probe;
    how->base = first->address - first->probe->site;
    if (!is_traceable(how->probe->provider) || !is_traceable(how->probe->name)) {
        tool_complain("how: %s: no tracer takes its name: only letters, digits, _, - and . may be in it", glob);
        return false;
    }
    for (size_t i = 0; i < probes->count; i++) {
        bool here = probes->list[i].file == how->file, seen = false;
        for (size_t j = 0; j < how->site_count; j++)
            seen |= here && how->sites[j]->site == probes->list[i].probe->site;
        if (!here)
            how->elsewhere++;
        else if (!seen && how->site_count == sizeof how->sites / sizeof how->sites[0])
            how->untold++;
        else if (!seen)
            how->sites[how->site_count++] = probes->list[i].probe;
    }
    const char *name = how->probe->name;
    snprintf(how->label, sizeof how->label, "%s%.59s", isdigit((unsigned char)name[0]) ? "_" : "", name);
    for (char *c = how->label; *c != '\0'; c++)
        *c = *c == '-' || *c == '.' ? '_' : *c;
    find_paths(first, how);
    find_arguments(how);
    return true;
}

int how_main(int argc, char **argv)
{
    static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
    struct how how = { .pid = 0 };
    for (int option; (option = getopt_long(argc, argv, "p:", options, NULL)) != -1;)
        switch (option) {
        case 'p':
            if ((how.pid = tool_pid(optarg)) == 0)
                return TOOL_USAGE;
            break;
        case 'h': fputs(usage, stdout); return TOOL_DONE;
        default: return TOOL_USAGE; /* getopt has said why */
        }
    if (how.pid == 0 || argc - optind != 1) {
        tool_complain(how.pid == 0 ? "how: of which process? -p PID says it; usdt list shows all"
                      : argc == optind ? "how: which probe? usdt how -p %d PROVIDER:PROBE"
                                       : "how: one PROVIDER:PROBE only: usdt how -p %d PROVIDER:PROBE", (int)how.pid);
        return TOOL_USAGE;
    }
    struct process_probes probes;
    bool found = process_read(how.pid, argv[optind], &probes) && choose(&probes, argv[optind], &how);
    if (found) {
        show_header(&how);
        show_bpftrace(&how);
        show_perf(&how);
        show_gdb(&how);
        show_ftrace(&how);
        show_dtrace(&how);
    }
    free(how.path);
    free(how.mapped);
    process_free(&probes);
    return found ? TOOL_DONE : TOOL_FAILED;
}
