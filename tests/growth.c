/*
 * growth.c - does the same over and over, and prints what the process holds before and after. For
 * tests/growth.t to run.
 *
 * Knows usdt.h, and /proc. The figures are of the second half of the cycles: the first may warm up what
 * is kept for use again.
 *
 *     growth enable CYCLES     enable and disable
 *     growth add CYCLES        define, add, enable, remove, release, beside a probe that stays
 *     growth many CYCLES       a provider of 1 to 300 probes is made, enabled and freed
 */
#define _GNU_SOURCE
#include "program.h"
#include "usdt.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *types[] = { "int", "char *" };

static long lines_of(const char *path)
{
    long lines = 0;
    FILE *file = fopen(path, "r");
    MUST(file != NULL);
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

static long entries_of(const char *path)
{
    long entries = -2; /* "." and ".." */
    DIR *dir = opendir(path);
    MUST(dir != NULL);
    while (readdir(dir) != NULL)
        entries++;
    closedir(dir);
    return entries;
}

static long resident(void)
{
    long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");
    MUST(file != NULL && fscanf(file, "%ld %ld", &size, &pages) == 2);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void print_figures(const char *when)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s/usdt", getenv("XDG_RUNTIME_DIR"));
    printf("rss_kib_%s %ld\n", when, resident());
    printf("descriptors_%s %ld\n", when, entries_of("/proc/self/fd"));
    printf("mappings_%s %ld\n", when, lines_of("/proc/self/maps"));
    printf("files_%s %ld\n", when, entries_of(dir));
}

static usdt_provider_t *provider;

static usdt_probedef_t *add(const char *name)
{
    usdt_probedef_t *def = usdt_create_probe("func", name, 2, types);
    MUST(def != NULL && usdt_provider_add_probe(provider, def) == 0);
    return def;
}

static void cycle(char mode, long i)
{
    char name[32];
    usdt_probedef_t *def;
    switch (mode) {
    case 'e':
        MUST(usdt_provider_disable(provider) == 0 && usdt_provider_enable(provider) == 0);
        break;
    case 'a':
        snprintf(name, sizeof name, "n%ld", i % 1000);
        def = add(name);
        MUST(usdt_provider_enable(provider) == 0);
        MUST(usdt_provider_remove_probe(provider, def) == 0);
        usdt_probe_release(def);
        break;
    default:
        usdt_provider_free(provider);
        provider = usdt_create_provider("growth", "mod");
        MUST(provider != NULL);
        for (long n = i * 7 % 300; n >= 0; n--) {
            snprintf(name, sizeof name, "n%ld", n);
            usdt_probe_release(add(name));
        }
        MUST(usdt_provider_enable(provider) == 0);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || strchr("eam", argv[1][0]) == NULL || getenv("XDG_RUNTIME_DIR") == NULL) {
        fputs("usage: XDG_RUNTIME_DIR=DIR growth enable|add|many CYCLES\n", stderr);
        return 2;
    }
    long cycles = strtol(argv[2], NULL, 10);
    provider = usdt_create_provider("growth", "mod");
    usdt_probe_release(add("stays"));
    MUST(usdt_provider_enable(provider) == 0);
    MUST(usdt_provider_use_semaphores(provider) == 0);
    for (long i = 0; i < cycles; i++) {
        if (i == cycles / 2)
            print_figures("before");
        cycle(argv[1][0], i);
    }
    print_figures("after");
    puts("end");
    usdt_provider_free(provider);
    return 0;
}
