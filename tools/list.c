/*
 * list.c - `usdt list`: where the probes are, and whether somebody traces them.
 */
#include "tool.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: usdt list [-p PID] [--types] [--json] [GLOB]\n"
    "\n"
    "Lists the USDT probes of all processes that may be read, or of one: run-time and compile-time ones.\n"
    "GLOB is PROVIDER:PROBE, or PROVIDER for all of its probes; either may have *, ? and [].\n"
    "\n"
    "  -p PID    of this process only\n"
    "  --types   and, behind them, the structures that the programs describe, by file\n"
    "  --json    as JSON, an object for each probe; its member \"structures\" has those\n"
    "\n"
    "Columns: process, probe, whether it is traced at this moment (yes, no; ? where the process's memory may not be\n"
    "read), types of the arguments, file. On a terminal they are aligned and have a header, and structures are shown\n"
    "without being asked for; else a tab is between them.\n"
    "Exit code: 0, there are some; 1, there are none, or a process could not be read.\n";

static const char *const traced_words[] = { [NOT_TRACED] = "no", [IS_TRACED] = "yes", [NOT_KNOWN] = "?" };

/* The columns of a row, to be freed. */
enum { COLUMNS = 5 };
static void make_row(const struct process_probe *probe, char *row[COLUMNS])
{
    row[0] = tool_format("%d", (int)probe->pid);
    row[1] = tool_printable(tool_format("%s:%s", probe->probe->provider, probe->probe->name));
    row[2] = tool_strdup(traced_words[probe->traced]);
    row[3] = tool_printable(elf_arguments(probe->probe));
    row[4] = tool_printable(tool_strdup(probe->path));
}

static void print_aligned(const struct process_probes *probes)
{
    static const char *const header[COLUMNS] = { "PID", "PROBE", "TRACED", "ARGUMENTS", "FILE" };
    int width[COLUMNS];
    char *(*rows)[COLUMNS] = tool_calloc(probes->count, sizeof *rows);
    for (size_t c = 0; c < COLUMNS; c++)
        width[c] = (int)strlen(header[c]);
    for (size_t i = 0; i < probes->count; i++) {
        make_row(&probes->list[i], rows[i]);
        for (size_t c = 0; c < COLUMNS; c++)
            width[c] = (int)strlen(rows[i][c]) > width[c] ? (int)strlen(rows[i][c]) : width[c];
    }
    printf("%*s  %-*s  %-*s  %-*s  %s\n", width[0], header[0], width[1], header[1], width[2], header[2], width[3],
           header[3], header[4]);
    for (size_t i = 0; i < probes->count; i++) {
        char **row = rows[i];
        printf("%*s  %-*s  %-*s  %-*s  %s\n", width[0], row[0], width[1], row[1], width[2], row[2], width[3], row[3], row[4]);
        for (size_t c = 0; c < COLUMNS; c++)
            free(row[c]);
    }
    free(rows);
}

static void print_tabbed(const struct process_probes *probes)
{
    for (size_t i = 0; i < probes->count; i++) {
        char *row[COLUMNS];
        make_row(&probes->list[i], row);
        for (size_t c = 0; c < COLUMNS; c++) {
            printf("%s%c", row[c], c + 1 < COLUMNS ? '\t' : '\n');
            free(row[c]);
        }
    }
}

/* The parser took them: they hold printable ASCII, tabs and newlines only. */
static void print_structures(const struct process_probes *probes)
{
    for (size_t i = 0; i < probes->count; i++) {
        const struct process_probe *row = &probes->list[i];
        size_t before = 0;
        while (before < i && strcmp(probes->list[before].path, row->path) != 0)
            before++;
        if (before < i || row->file->descriptions == NULL)
            continue;
        char *path = tool_printable(tool_strdup(row->path));
        printf("\n// %s\n%s\n", path, row->file->descriptions);
        free(path);
    }
}

/* The character that UTF-8 begins with, and its length in bytes; U+FFFD of one byte for what is none. */
static uint32_t character(const unsigned char *at, size_t *len)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t bytes = *at < 0x80 ? 1 : *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2, n = 1;
    uint32_t c = bytes == 1 ? *at : *at & (0x7fu >> bytes);
    for (; n < bytes && (at[n] & 0xc0) == 0x80; n++)
        c = c << 6 | (at[n] & 0x3f);
    bool is_one = n == bytes && *at < 0xf8 && c >= least[bytes] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
    *len = is_one ? bytes : 1;
    return is_one ? c : 0xfffd;
}

/* In ASCII: file names may hold any bytes. */
static void print_string(const char *string)
{
    size_t len;
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)string; *at != '\0'; at += len) {
        uint32_t c = character(at, &len);
        if (c == '"' || c == '\\')
            printf("\\%c", (int)c);
        else if (c >= ' ' && c < 0x7f)
            putchar((int)c);
        else if (c <= 0xffff)
            printf("\\u%04" PRIx32, c);
        else
            printf("\\u%04" PRIx32 "\\u%04" PRIx32, 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
    }
    putchar('"');
}

static void print_json(const struct process_probes *probes)
{
    printf("[");
    for (size_t i = 0; i < probes->count; i++) {
        const struct process_probe *row = &probes->list[i];
        const struct elf_probe *probe = row->probe;
        printf("%s\n  { \"pid\": %d, \"provider\": ", i > 0 ? "," : "", (int)row->pid);
        print_string(probe->provider);
        printf(", \"probe\": ");
        print_string(probe->name);
        if (probe->function != NULL) {
            printf(", \"function\": ");
            print_string(probe->function);
        }
        const char *operands = probe->operands;
        char *type;
        printf(", \"arguments\": [");
        for (size_t n = 0; (type = elf_next_argument(probe, n, &operands)) != NULL; n++) {
            fputs(n > 0 ? ", " : "", stdout);
            print_string(type);
            free(type);
        }
        for (size_t n = 0; probe->translated != NULL && probe->translated[n] != NULL; n++) {
            printf("%s{ \"argument\": %u, \"type\": ", n > 0 ? ", " : "], \"translated\": [", probe->map[n]);
            print_string(probe->translated[n]);
            printf(" }");
        }
        printf("], \"traced\": %s", row->traced == NOT_KNOWN ? "null" : row->traced == IS_TRACED ? "true" : "false");
        printf(", \"address\": %llu, \"offset\": %llu, \"semaphore\": %llu, \"file\": ", (unsigned long long)row->address,
               (unsigned long long)probe->site, (unsigned long long)probe->semaphore);
        print_string(row->path);
        if (row->file->descriptions != NULL) {
            printf(", \"structures\": ");
            print_string(row->file->descriptions);
        }
        printf(" }");
    }
    printf("%s]\n", probes->count > 0 ? "\n" : "");
}

int list_main(int argc, char **argv)
{
    static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { "types", no_argument, NULL, 't' },
                                             { "help", no_argument, NULL, 'h' }, { 0 } };
    pid_t pid = 0;
    bool json = false, types = isatty(STDOUT_FILENO);
    for (int option; (option = getopt_long(argc, argv, "p:", options, NULL)) != -1;)
        switch (option) {
        case 'p':
            if ((pid = tool_pid(optarg)) == 0)
                return TOOL_USAGE;
            break;
        case 'j': json = true; break;
        case 't': types = true; break;
        case 'h': fputs(usage, stdout); return TOOL_DONE;
        default: return TOOL_USAGE; /* getopt has said why */
        }
    if (argc - optind > 1) {
        tool_complain("list: one GLOB, not %d: \"%s\" (quote it, so that the shell does not expand it)", argc - optind, argv[optind + 1]);
        return TOOL_USAGE;
    }
    struct process_probes probes;
    if (!process_read(pid, argv[optind], &probes))
        return TOOL_FAILED;
    if (json)
        print_json(&probes);
    else if (probes.count > 0)
        isatty(STDOUT_FILENO) ? print_aligned(&probes) : print_tabbed(&probes);
    if (types && !json)
        print_structures(&probes);
    bool found = probes.count > 0;
    if (probes.unreadable > 0 && (!found || geteuid() != 0)) /* root may be kept out of some, and knows no cure */
        tool_complain("list: %u process%s may not be read%s", probes.unreadable, probes.unreadable > 1 ? "es" : "",
                      geteuid() == 0 ? ", not by root either" : " by this user: run as root to see their probes");
    if (!found)
        tool_complain(argv[optind] != NULL ? "list: no probe is like \"%s\"" : "list: there is no probe", argv[optind]);
    process_free(&probes);
    return found ? TOOL_DONE : TOOL_FAILED;
}
