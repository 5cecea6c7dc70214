/*
 * usdt_build.c - writes the DOF documents, the ELF image or the stubs of any platform of the table,
 * for the tests to read. Uses the library's own builders, which are pure functions.
 */
#define _POSIX_C_SOURCE 200809L
#include "usdt_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: usdt_build dof SYSTEM ARCH TEXT DOF PREFIX    documents PREFIX.0, PREFIX.1, ...\n"
    "       usdt_build elf SYSTEM ARCH FLAGS PREFIX       image PREFIX.0; FLAGS: a sum of 1, for the\n"
    "                                                     10-byte nop, and 2, for semaphores\n"
    "       usdt_build stub SYSTEM ARCH PREFIX            the slot's bytes in PREFIX.0\n"
    "       usdt_build size SYSTEM ARCH                   width in bytes of each type, a line each\n"
    "SYSTEM is linux, macos, freebsd or illumos; ARCH x86_64, i386 or arm64. TEXT is the address of the\n"
    "first stub, DOF that of each document. On standard input: a line PROVIDER tab MODULE, then a line for\n"
    "each slot: FUNC tab NAME [tab TYPE]..., or '-' for a slot that is not used (size: a type each). A TYPE\n"
    "that is =INDEX=TYPE is what DTrace is to see. Of documents the first line may go on: for each of provider,\n"
    "module, function, name and arguments three digits, the attributes.\n"
    "Prints a line for each file, NAME=NUMBER what it should hold. Exit code 3: no such platform here.\n";

enum { FIELDS_MAX = 2 + 3 * USDT_ARG_MAX };

static void die(const char *what)
{
    fprintf(stderr, "usdt_build: %s\n", what);
    exit(2);
}

static void write_file(const char *prefix, int number, const void *bytes, size_t len)
{
    char name[512];
    snprintf(name, sizeof name, "%s.%d", prefix, number);
    FILE *file = fopen(name, "wb");
    if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
        die(name);
}

static size_t split(char *line, char **fields, size_t max)
{
    size_t n = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *at = line; at != NULL && n < max;) {
        fields[n++] = at;
        at = strchr(at, '\t');
        if (at != NULL)
            *at++ = '\0';
    }
    return n;
}

/* Those of n fields that say what DTrace is to see: checked for the platform, and set. */
static void translate(const struct usdt_platform *platform, usdt_probedef_t *def, size_t n, char **fields)
{
    const char *types[FIELDS_MAX];
    unsigned char map[FIELDS_MAX];
    char why[USDT_WHY_MAX];
    for (size_t i = 0; i < n; i++) {
        char *type;
        map[i] = (unsigned char)strtoul(fields[i] + 1, &type, 10);
        types[i] = type + 1;
    }
    if (usdt_check_translation(platform, def, n, types, map, why) != USDT_ERROR_NONE)
        die(why);
    if (usdt_probe_translate(def, n, types, map) != 0)
        die(usdt_errstr(NULL));
}

static usdt_probedef_t **read_defs(const struct usdt_platform *platform, size_t *count)
{
    usdt_probedef_t **defs = NULL;
    char *line = NULL, *fields[FIELDS_MAX];
    size_t size = 0;
    for (*count = 0; getline(&line, &size, stdin) > 0; ++*count) {
        size_t all = split(line, fields, FIELDS_MAX), n = 0;
        while (n < all && fields[n][0] != '=')
            n++;
        defs = realloc(defs, (*count + 1) * sizeof *defs);
        if (defs == NULL)
            die("no memory");
        defs[*count] = n < 2 ? NULL : usdt_create_probe(fields[0], fields[1], n - 2, (const char **)(fields + 2));
        if (n >= 2 && defs[*count] == NULL)
            die(usdt_errstr(NULL));
        if (all > n)
            translate(platform, defs[*count], all - n, fields + n);
    }
    free(line);
    return defs;
}

static void write_documents(const struct usdt_layout *layout, uint64_t text, uint64_t dof,
                            const char *prefix)
{
    size_t next = 0;
    for (int part = 0; next < layout->count; part++) {
        struct usdt_buf out = { 0 };
        size_t first = next;
        if (!usdt_dof_build(layout, text, dof, &next, &out))
            die(strerror(errno));
        write_file(prefix, part, out.data, out.len);
        printf("%s.%d first=%zu next=%zu max=%u stub=%u\n", prefix, part, first, next,
               layout->platform->dof_max, layout->platform->stub->size);
        usdt_buf_free(&out);
    }
}

static void write_image(const struct usdt_layout *layout, const char *prefix)
{
    struct usdt_buf out = { 0 };
    unsigned char id[USDT_BUILD_ID];
    if (!usdt_elf_build(layout, &out, id))
        die("usdt_elf_build failed");
    write_file(prefix, 0, out.data, out.len);
    printf("%s.0 build-id=", prefix);
    for (size_t i = 0; i < USDT_BUILD_ID; i++)
        printf("%02x", id[i]);
    printf(" stub=%u\n", layout->platform->stub->size);
    usdt_buf_free(&out);
}

static void print_sizes(const struct usdt_platform *platform)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        line[strcspn(line, "\n")] = '\0';
        printf("%d\t%s\n", usdt_type_size(platform, line), line);
    }
    free(line);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "--help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    bool dof = strcmp(what, "dof") == 0 && argc == 7, elf = strcmp(what, "elf") == 0 && argc == 6;
    bool stub = strcmp(what, "stub") == 0 && argc == 5, type = strcmp(what, "size") == 0 && argc == 4;
    if (!dof && !elf && !stub && !type) {
        fputs(help, stderr);
        return 2;
    }
    const struct usdt_platform *platform = usdt_platform_find(argv[2], argv[3]);
    if (platform == NULL || platform->stub == NULL || (elf && platform->elf_machine == 0))
        return 3;
    if (type) {
        print_sizes(platform);
        return 0;
    }
    if (stub) {
        const struct usdt_stub *s = platform->stub;
        write_file(argv[4], 0, s->code, s->size);
        printf("%s.0 probe=%u site=%u isenabled=%u isenabled_site=%u\n", argv[4], s->probe, s->site,
               s->isenabled, s->isenabled_site);
        return 0;
    }

    char *line = NULL, *names[2 + USDT_ATTRIBUTED];
    size_t size = 0;
    struct usdt_attributes attributes[USDT_ATTRIBUTED];
    size_t given = getline(&line, &size, stdin) < 0 ? 0 : split(line, names, 2 + USDT_ATTRIBUTED);
    if (given != 2 && given != 2 + USDT_ATTRIBUTED)
        die("no provider line");
    for (size_t i = 2; i < given; i++)
        attributes[i - 2] = (struct usdt_attributes){ (uint8_t)(names[i][0] - '0'), (uint8_t)(names[i][1] - '0'),
                                                      (uint8_t)(names[i][2] - '0') };
    struct usdt_layout layout = { .platform = platform, .provider = names[0], .module = names[1],
                                  .page = 4096, .attributes = given > 2 ? attributes : NULL };
    if (elf) {
        unsigned long flags = strtoul(argv[4], NULL, 10);
        layout.direct_call = (flags & 1) != 0;
        layout.semaphores = (flags & 2) != 0;
    }
    layout.defs = read_defs(platform, &layout.count);
    if (dof)
        write_documents(&layout, strtoull(argv[4], NULL, 0), strtoull(argv[5], NULL, 0), argv[6]);
    else
        write_image(&layout, argv[5]);
    for (size_t i = 0; i < layout.count; i++)
        usdt_probe_release(layout.defs[i]);
    free((void *)(uintptr_t)layout.defs);
    free(line);
    return 0;
}
