/*
 * bench.c - what a probe costs, beside the compile-time probes of <sys/sdt.h>, in one run: everything that is
 * compared is timed in turn, round after round, and the medians are shown. `make bench` runs it.
 *
 * Times vary with the machine, and on a busy one from run to run: what holds is the ratio of two columns.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: bench [--rounds N] [--json] [--svg FILE] [--hits]\n"
    "\n"
    "Measures libusdt's probes beside the compile-time probes of <sys/sdt.h>, and prints a table.\n"
    "  --rounds N   time everything N times, in turn, and take the medians (7 to 999, default 15)\n"
    "  --json       print JSON instead of the table\n"
    "  --svg FILE   also write a plot: time and memory of enabling against the number of probes\n"
    "  --hits       measure hits under bpftrace only\n"
    "\n"
    "Hits under a tracer are measured if bpftrace is installed and the user is root.\n";

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    exit(1);
}

/* ---- numbers ---- */

enum { MOST_ROUNDS = 999 };
static size_t rounds = 15;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Code that is compared with other code: `per` pieces of work each time. */
struct timed {
    bench_code *run;
    double per;
    double ns; /* the median, for one piece */
    double values[MOST_ROUNDS];
};

static double time_once(const struct timed *code, unsigned long times)
{
    double start = now(CLOCK_MONOTONIC);
    code->run(times);
    return now(CLOCK_MONOTONIC) - start;
}

/* Times them in turn; so often that each takes some 10 ms, or `times`, if that is not 0. */
static void time_all(struct timed **codes, size_t count, unsigned long times)
{
    unsigned long often[16];
    for (size_t i = 0; i < count; i++)
        for (often[i] = times != 0 ? times : 16; times == 0 && time_once(codes[i], often[i]) < 1e7; often[i] *= 2)
            ;
    for (size_t round = 0; round < rounds; round++)
        for (size_t n = 0; n < count; n++) {
            size_t i = (round + n) % count;
            codes[i]->values[round] = time_once(codes[i], often[i]) / (double)often[i] / codes[i]->per;
        }
    for (size_t i = 0; i < count; i++)
        codes[i]->ns = median(codes[i]->values, rounds);
}

/* ---- the table ---- */

static struct row {
    char measure[64];
    double value, reference; /* reference 0: there is none */
    const char *unit;
    double most, most_ratio; /* the targets; 0: none */
    char note[96];
} rows[64];
static size_t row_count;

static struct row *add_row(double value, double reference, const char *unit, double most, double most_ratio,
                           const char *format, ...) __attribute__((format(printf, 6, 7)));
static struct row *add_row(double value, double reference, const char *unit, double most, double most_ratio,
                           const char *format, ...)
{
    struct row *row = &rows[row_count++];
    *row = (struct row){ .value = value, .reference = reference, .unit = unit, .most = most, .most_ratio = most_ratio };
    va_list args;
    va_start(args, format);
    vsnprintf(row->measure, sizeof row->measure, format, args);
    va_end(args);
    return row;
}

static bool is_met(const struct row *row)
{
    return (row->most == 0 || row->value <= row->most) &&
           (row->most_ratio == 0 || row->value <= row->most_ratio * row->reference);
}

static void print_table(void)
{
    printf("%-52s %12s %12s %7s   %s\n", "", "libusdt", "reference", "ratio", "target");
    for (size_t i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        char reference[32] = "", ratio[32] = "", target[64] = "";
        if (row->reference != 0) {
            snprintf(reference, sizeof reference, "%.2f %s", row->reference, row->unit);
            snprintf(ratio, sizeof ratio, "%.2f", row->value / row->reference);
        }
        if (row->most != 0)
            snprintf(target, sizeof target, "%g %s ", row->most, row->unit);
        if (row->most_ratio != 0)
            snprintf(target + strlen(target), sizeof target - strlen(target), "%g x ", row->most_ratio);
        if (target[0] != '\0')
            strcat(target, is_met(row) ? "met" : "NOT MET");
        char value[32];
        snprintf(value, sizeof value, "%.2f %s", row->value, row->unit);
        printf("%-52s %12s %12s %7s   %s%s\n", row->measure, row->note[0] != '\0' ? "" : value, reference, ratio, target,
               row->note);
    }
}

static void print_json(void)
{
    struct utsname machine = { 0 };
    uname(&machine);
    printf("{\n  \"version\": \"%s\", \"system\": \"%s %s\", \"machine\": \"%s\", \"rounds\": %zu,\n  \"rows\": [\n",
           usdt_version(), machine.sysname, machine.release, machine.machine, rounds);
    for (size_t i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        printf("    { \"measure\": \"%s\", ", row->measure);
        if (row->note[0] != '\0')
            printf("\"note\": \"%s\"", row->note);
        else
            printf("\"value\": %.4f, \"unit\": \"%s\"", row->value, row->unit);
        if (row->reference != 0)
            printf(", \"reference\": %.4f", row->reference);
        if (row->most != 0)
            printf(", \"most\": %g", row->most);
        if (row->most_ratio != 0)
            printf(", \"most_ratio\": %g", row->most_ratio);
        printf(" }%s\n", i + 1 < row_count ? "," : "");
    }
    puts("  ]\n}");
}

/* ---- checking and firing ---- */

static const char *types[] = { "int", "char *", "long" };

/* A provider with so many probes, not enabled. Names are made before: a program has them. */
static usdt_provider_t *create(const char *name, size_t count, usdt_probedef_t **defs, char (*names)[32])
{
    usdt_provider_t *provider = usdt_create_provider(name, "bench");
    if (provider == NULL)
        die("%s", usdt_errstr(NULL));
    for (size_t i = 0; i < count; i++) {
        usdt_probedef_t *def = usdt_create_probe("function", names[i], 3, types);
        if (def == NULL)
            die("%s", usdt_errstr(NULL));
        if (usdt_provider_add_probe(provider, def) != 0)
            die("%s", usdt_errstr(provider));
        if (defs != NULL)
            defs[i] = def;
        usdt_probe_release(def);
    }
    return provider;
}

static char (*make_names(size_t count))[32]
{
    char(*names)[32] = calloc(count, sizeof *names);
    if (names == NULL)
        die("no memory for %zu names", count);
    for (size_t i = 0; i < count; i++)
        snprintf(names[i], sizeof *names, "probe%zu", i);
    return names;
}

static void enable(usdt_provider_t *provider)
{
    if (usdt_provider_enable(provider) != 0)
        die("%s", usdt_errstr(provider));
}

static usdt_probedef_t *listened_def;

static void listen(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)def;
    bench_hits += (uintptr_t)argv[argc - 1];
}

static void fire_listened(unsigned long times)
{
    usdt_probedef_t *was = bench_def;
    bench_def = listened_def;
    fire_3(times);
    bench_def = was;
}

static void measure_checks(void)
{
    static usdt_probedef_t *defs[BENCH_PROBES];
    char(*names)[32] = make_names(BENCH_PROBES);
    usdt_provider_t *provider = create("checks", BENCH_PROBES, defs, names);
    if (usdt_provider_use_semaphores(provider) != 0)
        die("%s", usdt_errstr(provider));
    enable(provider);
    for (size_t i = 0; i < BENCH_PROBES; i++)
        bench_probes[i] = defs[i]->probe;

    bench_def = defs[0];
    bench_semaphores = defs[0]->probe->semaphore;

    static struct timed empty = { .run = loop_empty, .per = 1 }, check = { .run = loop_check, .per = 1 },
                        global = { .run = loop_global, .per = 1 },
                        semaphore = { .run = loop_semaphore, .per = 1 }, by_static = { .run = loop_static, .per = 1 };
    time_all((struct timed *[]){ &empty, &check, &global, &semaphore, &by_static }, 5, 0);
    add_row(empty.ns, 0, "ns", 0, 0, "an empty loop");
    add_row(check.ns - empty.ns, 0, "ns", 0.3, 0, "check, over the empty loop");
    add_row(check.ns, by_static.ns, "ns", 0, 1.2, "check, with its loop");
    add_row(global.ns, by_static.ns, "ns", 0, 0, "  through a global pointer");
    add_row(semaphore.ns, by_static.ns, "ns", 0, 0, "  its semaphore");

    static struct timed in_turn[][3] = {
        { { .run = check_1, .per = 1 }, { .run = semaphore_1, .per = 1 }, { .run = static_1, .per = 1 } },
        { { .run = check_64, .per = 64 }, { .run = semaphore_64, .per = 64 }, { .run = static_64, .per = 64 } },
        { { .run = check_4096, .per = 4096 }, { .run = semaphore_4096, .per = 4096 }, { .run = static_4096, .per = 4096 } },
    };
    for (size_t i = 0; i < 3; i++) {
        struct timed *codes = in_turn[i];
        time_all((struct timed *[]){ &codes[0], &codes[1], &codes[2] }, 3, 0);
        add_row(codes[0].ns, codes[2].ns, "ns", 0, 1.5, "check, of %g in turn", codes[0].per);
        add_row(codes[1].ns, codes[2].ns, "ns", 0, 0, "  their semaphores");
    }

    static struct timed probes[] = {
        { .run = loop_check, .per = 1 }, { .run = probe_0, .per = 1 },  { .run = probe_3, .per = 1 },
        { .run = probe_6, .per = 1 },    { .run = probe_12, .per = 1 },
    };
    static const int counts[] = { 0, 3, 6, 12 };
    time_all((struct timed *[]){ &probes[0], &probes[1], &probes[2], &probes[3], &probes[4] }, 5, 0);
    for (size_t i = 0; i < 4; i++)
        add_row(probes[i + 1].ns, probes[0].ns, "ns", 0, 1.1, "USDT_PROBE, %d arguments, over the check", counts[i]);

    static struct timed fires[] = { { .run = fire_3, .per = 1 }, { .run = fire_12, .per = 1 }, { .run = fire_32, .per = 1 } };
    time_all((struct timed *[]){ &fires[0], &fires[1], &fires[2] }, 3, 0);
    for (size_t i = 0; i < 3; i++)
        add_row(fires[i].ns, 0, "ns", (const double[]){ 4, 8, 16 }[i], 0, "usdt_fire_probe, %d arguments, not traced",
                (const int[]){ 3, 12, 32 }[i]);
    static struct timed listened = { .run = fire_listened, .per = 1 };
    listened_def = defs[1];
    if (usdt_probe_listen(listened_def, listen, NULL) != 0)
        die("%s", usdt_errstr(NULL));
    time_all((struct timed *[]){ &fires[0], &listened }, 2, 0);
    add_row(listened.ns, fires[0].ns, "ns", 10, 0, "  3 arguments, with a listener");
    usdt_provider_free(provider);
    free(names);
}

/* ---- enabling ---- */

/* What many probes take, in a process of their own. */
struct enabling {
    double cpu;                 /* ns: to create, add and enable them */
    double toggle;              /* ns: to disable and enable them */
    double heap, image, notes;  /* bytes; the image's include the notes' */
    double stub;                /* from one to the next */
};

/* The file that holds a provider's image, as the kernel knows it. */
static bool find_image(const char *provider, char *path, size_t size)
{
    char line[4096], begin[64];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    snprintf(begin, sizeof begin, "/%s-", provider);
    while (maps != NULL && !found && fgets(line, sizeof line, maps) != NULL) {
        char *at = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        if (at != NULL && strstr(at, begin) != NULL && strstr(at, ".so") != NULL)
            found = snprintf(path, size, "%s", at) < (int)size;
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

/* Its bytes, and those of its notes. */
static void measure_image(const char *path, struct enabling *result)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat file;
    if (fd < 0 || fstat(fd, &file) != 0)
        die("%s: %s", path, strerror(errno));
    unsigned char *bytes = malloc((size_t)file.st_size);
    if (bytes == NULL || read(fd, bytes, (size_t)file.st_size) != file.st_size)
        die("%s cannot be read", path);
    close(fd);
#if UINTPTR_MAX > UINT32_MAX
    const Elf64_Ehdr *header = (const void *)bytes;
    const Elf64_Shdr *sections = (const void *)(bytes + header->e_shoff);
#else
    const Elf32_Ehdr *header = (const void *)bytes;
    const Elf32_Shdr *sections = (const void *)(bytes + header->e_shoff);
#endif
    for (size_t i = 0; i < header->e_shnum; i++) {
        const char *name = (const char *)bytes + sections[header->e_shstrndx].sh_offset + sections[i].sh_name;
        if (strcmp(name, ".note.stapsdt") == 0)
            result->notes += (double)sections[i].sh_size;
    }
    result->image = (double)file.st_size;
    free(bytes);
}

static double heap_in_use(void)
{
    struct mallinfo2 heap = mallinfo2();
    return (double)heap.uordblks + (double)heap.hblkhd;
}

static struct enabling enable_here(size_t count)
{
    struct enabling result = { 0 };
    char path[4096];
    char(*names)[32] = make_names(count);
    double heap = heap_in_use(), start = now(CLOCK_PROCESS_CPUTIME_ID);
    usdt_provider_t *provider = create("enabling", count, NULL, names);
    enable(provider);
    result.cpu = now(CLOCK_PROCESS_CPUTIME_ID) - start;
    result.heap = heap_in_use() - heap;
    usdt_probedef_t *first = provider->probedefs;
    result.stub = (double)((uintptr_t)first->next->probe->site - (uintptr_t)first->probe->site);
    if (find_image("enabling", path, sizeof path))
        measure_image(path, &result);
    start = now(CLOCK_MONOTONIC);
    usdt_provider_disable(provider);
    enable(provider);
    result.toggle = now(CLOCK_MONOTONIC) - start;
    usdt_provider_free(provider);
    free(names);
    return result;
}

static struct enabling enable_in_child(size_t count)
{
    struct enabling result;
    int ends[2], status = -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        die("pipe: %s", strerror(errno));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        result = enable_here(count);
        _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
    }
    close(ends[1]);
    bool done = read(ends[0], &result, sizeof result) == sizeof result;
    close(ends[0]);
    waitpid(child, &status, 0);
    if (!done || status != 0)
        die("the process that enables %zu probes failed", count);
    return result;
}

/* The numbers of probes; of some there is a row. */
static const size_t counts[] = { 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000 };
enum { COUNTS = sizeof counts / sizeof counts[0] };
static struct enabling medians[COUNTS];

static const struct enabling *median_of(size_t count)
{
    for (size_t i = 0; i < COUNTS; i++)
        if (counts[i] == count)
            return &medians[i];
    abort();
}

static void measure_enabling(void)
{
    static double cpu[COUNTS][MOST_ROUNDS], toggle[COUNTS][MOST_ROUNDS];
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNTS; i++) {
            medians[i] = enable_in_child(counts[i]); /* the sizes are the same in each */
            cpu[i][round] = medians[i].cpu;
            toggle[i][round] = medians[i].toggle;
        }
    for (size_t i = 0; i < COUNTS; i++) {
        medians[i].cpu = median(cpu[i], rounds);
        medians[i].toggle = median(toggle[i], rounds);
    }
    double each = median_of(1000)->cpu / 1000;
    add_row(median_of(10)->cpu / 1e6, 0, "ms", 0, 0, "create, add, enable 10 probes: CPU");
    add_row(median_of(1000)->cpu / 1e6, 0, "ms", 0, 0, "create, add, enable 1000");
    add_row(median_of(10000)->cpu / 1e6, 0, "ms", 10, 0, "create, add, enable 10000");
    add_row(median_of(100000)->cpu / 1e6, 0, "ms", 0, 0, "create, add, enable 100000");
    add_row(median_of(100000)->cpu / 1e5, each, "ns", 0, 1.3, "the same, each of 100000, over each of 1000");
    add_row(median_of(1000)->toggle / 1e6, 0, "ms", 2, 0, "disable and enable 1000");
    const struct enabling *most = median_of(100000), *less = median_of(30000);
    add_row((most->heap - less->heap) / 7e4, 0, "bytes", 400, 0, "heap of a further probe (3 arguments)");
    add_row(most->stub, 0, "bytes", 64, 0, "its stubs");
    add_row((most->notes - less->notes) / 7e4, 0, "bytes", 160, 0, "its note");
}

/* ---- the plot: on both axes each line is ten times the one before ---- */

enum { WIDTH = 360, HEIGHT = 260, LEFT = 64, TOP = 44 };

/* A panel of the plot: a value for each number of probes, between two powers of ten. */
static void draw_panel(FILE *svg, int x, const char *title, double (*value)(const struct enabling *), int low, int high,
                       const char *const *labels)
{
    fprintf(svg, "<g transform='translate(%d,%d)'>\n<text x='%d' y='-18' text-anchor='middle' font-weight='bold'>%s</text>\n", x,
            TOP, WIDTH / 2, title);
    for (int power = low; power <= high; power++) {
        double y = HEIGHT - (double)HEIGHT * (power - low) / (high - low);
        fprintf(svg, "<line x1='0' y1='%.1f' x2='%d' y2='%.1f' stroke='#ddd'/><text x='-6' y='%.1f' text-anchor='end'>%s</text>\n", y,
                WIDTH, y, y + 4, labels[power - low]);
    }
    for (int power = 1; power <= 5; power++) {
        double at = (double)WIDTH * (power - 1) / 4;
        fprintf(svg, "<line x1='%.1f' y1='0' x2='%.1f' y2='%d' stroke='#ddd'/><text x='%.1f' y='%d' text-anchor='middle'>%.0f</text>\n",
                at, at, HEIGHT, at, HEIGHT + 16, pow(10, power));
    }
    fprintf(svg, "<polyline fill='none' stroke='#06c' stroke-width='2' points='");
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < COUNTS; i++) {
            double at = WIDTH * (log10((double)counts[i]) - 1) / 4;
            double y = HEIGHT - HEIGHT * (log10(value(&medians[i])) - low) / (high - low);
            fprintf(svg, pass == 0 ? "%.1f,%.1f " : "<circle cx='%.1f' cy='%.1f' r='3' fill='#06c'/>\n", at, y);
        }
        if (pass == 0)
            fputs("'/>\n", svg);
    }
    fprintf(svg, "<text x='%d' y='%d' text-anchor='middle'>probes</text>\n</g>\n", WIDTH / 2, HEIGHT + 34);
}

static double milliseconds(const struct enabling *of)
{
    return of->cpu / 1e6;
}

static double kibibytes(const struct enabling *of)
{
    return (of->heap + of->image) / 1024;
}

static void draw(const char *path)
{
    static const char *const times[] = { "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s" };
    static const char *const sizes[] = { "1 KiB", "10 KiB", "100 KiB", "1,000 KiB", "10,000 KiB", "100,000 KiB" };
    FILE *svg = fopen(path, "w");
    if (svg == NULL)
        die("%s: %s", path, strerror(errno));
    fprintf(svg, "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' font-size='12'>\n"
                 "<rect width='100%%' height='100%%' fill='white'/>\n",
            2 * (LEFT + 20 + WIDTH) + 20, TOP + HEIGHT + 48);
    draw_panel(svg, LEFT, "create, add and enable: CPU time", milliseconds, -2, 3, times);
    draw_panel(svg, 2 * LEFT + 30 + WIDTH, "heap and image", kibibytes, 0, 5, sizes);
    fputs("</svg>\n", svg);
    if (fclose(svg) != 0)
        die("%s: %s", path, strerror(errno));
}

/* ---- the start of a program ---- */

/* What is started: this program, as one that enables so many probes and ends. */
static int be_program(size_t count)
{
    if (count == 0)
        return 0;
    char(*names)[32] = make_names(count);
    enable(create("program", count, NULL, names));
    free(names);
    return 0;
}

static double start_program(const char *count)
{
    extern char **environ;
    char *arguments[] = { (char *)"bench", (char *)"--program", (char *)count, NULL };
    pid_t child;
    int status = -1;
    double start = now(CLOCK_MONOTONIC);
    if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ) != 0 || waitpid(child, &status, 0) != child ||
        status != 0)
        die("a program with %s probes does not start", count);
    return now(CLOCK_MONOTONIC) - start;
}

static void measure_start(void)
{
    static double without[10 * MOST_ROUNDS], with[10 * MOST_ROUNDS];
    for (size_t i = 0; i < 10 * rounds; i++) {
        without[i] = start_program("0");
        with[i] = start_program("100");
    }
    double base = median(without, 10 * rounds), more = median(with, 10 * rounds) - base;
    add_row(more / 1e6, 0, "ms", 1, 0, "start and end with 100 probes, over none (%.2f ms)", base / 1e6);
}

/* ---- hits ---- */

static const char *why_no_hits(void)
{
    if (geteuid() != 0)
        return "not measured: only root can trace";
    if (system("command -v bpftrace > /dev/null 2>&1") != 0)
        return "not measured: bpftrace is not installed";
    return NULL;
}

static void measure_hits(void)
{
    enum { TIMES = 10000 };
    const char *why = why_no_hits();
    if (why != NULL) {
        snprintf(add_row(0, 0, "ns", 0, 0, "hit under bpftrace count()")->note, sizeof rows[0].note, "%s", why);
        return;
    }
    static const char script[] =
        "usdt:*:hits:hit { @run_time = count(); } usdt:*:bench:static_hit { @compile_time = count(); }";
    char names[1][32] = { "hit" }, pid[16], out[] = "/tmp/usdt-bench-XXXXXX";
    usdt_probedef_t *def;
    usdt_provider_t *provider = create("hits", 1, &def, names);
    enable(provider);
    bench_traced = def->probe;
    int fd = mkstemp(out);
    if (fd < 0)
        die("%s: %s", out, strerror(errno));
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    fflush(stdout);
    pid_t tracer = fork();
    if (tracer == 0) {
        dup2(fd, 1);
        dup2(fd, 2);
        execlp("bpftrace", "bpftrace", "-p", pid, "-e", script, (char *)NULL);
        _exit(127);
    }
    int status;
    for (int i = 0; i < 600000 && !(usdt_is_enabled(bench_traced) && is_static_hit_traced()); i++) {
        usleep(1000);
        if (waitpid(tracer, &status, WNOHANG) == tracer)
            die("bpftrace ended; its words are in %s", out);
    }
    usleep(500000); /* it is at both, and goes on to be ready */
    static struct timed hits[] = { { .run = hit, .per = 1 }, { .run = static_hit, .per = 1 } };
    time_all((struct timed *[]){ &hits[0], &hits[1] }, 2, TIMES);
    kill(tracer, SIGINT);
    waitpid(tracer, &status, 0);

    double seen[2] = { 0, 0 };
    char line[256];
    FILE *file = fdopen(fd, "r");
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "@run_time: %lf", &seen[0]);
        sscanf(line, "@compile_time: %lf", &seen[1]);
    }
    fclose(file);
    unlink(out);
    double fired = (double)rounds * TIMES;
    add_row(hits[0].ns, hits[1].ns, "ns", 0, 1.05, "hit under bpftrace count(), 3 arguments");
    if (fabs(seen[0] - fired) > fired / 1000 || fabs(seen[1] - fired) > fired / 1000) /* a preempted count() may lose one */
        fprintf(stderr, "bench: of %.0f hits each bpftrace counted %.0f and %.0f\n", fired, seen[0], seen[1]);
    usdt_provider_free(provider);
}

int main(int argc, char **argv)
{
    const char *svg = NULL;
    bool json = false, hits_only = false;
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--hits") == 0) {
            hits_only = true;
        } else if (strcmp(argv[i], "--svg") == 0 && has_value) {
            svg = argv[++i];
        } else if (strcmp(argv[i], "--program") == 0 && has_value) {
            return be_program(strtoul(argv[++i], NULL, 10));
        } else if (strcmp(argv[i], "--rounds") == 0 && has_value) {
            rounds = strtoul(argv[++i], &end, 10);
            if (*end != '\0' || rounds < 7 || rounds > MOST_ROUNDS) {
                fprintf(stderr, "bench: --rounds %s: a number from 7 to %d\n", argv[i], MOST_ROUNDS);
                return 2;
            }
        } else if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        } else {
            fprintf(stderr, "bench: %s%s; see --help\n", argv[i], has_value ? ": unknown" : ": unknown, or its value is missing");
            return 2;
        }
    }
    if (!hits_only) {
        measure_checks();
        measure_enabling();
        measure_start();
        if (svg != NULL)
            draw(svg);
    }
    measure_hits();
    json ? print_json() : print_table();
    return 0;
}
