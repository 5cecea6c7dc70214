/*
 * usdt.c - the `usdt` command: finds, shows and traces USDT probes. See tool.h for its parts.
 */
#include "tool.h"
#include "usdt.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: usdt COMMAND [ARGUMENT]...\n"
    "\n"
    "  list [-p PID] [GLOB]            where the probes are, and whether they are traced\n"
    "  dump FILE|PID                   what a DOF document or an image holds, and which systems accept it\n"
    "\n"
    "usdt COMMAND --help says more. --version: of this command and its library.\n"
    "Exit codes: 0, done; 1, not done, or nothing found; 2, wrong use. Errors are one line on standard error.\n";

static const struct command {
    const char *name;
    int (*main)(int argc, char **argv);
} commands[] = {
    { "list", list_main },
    { "dump", dump_main },
};

void tool_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("usdt: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

__attribute__((noreturn)) static void no_memory(void)
{
    tool_complain("no memory");
    exit(TOOL_FAILED);
}

void *tool_calloc(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        no_memory();
    return memory;
}

void *tool_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL)
        no_memory();
    return memory;
}

char *tool_strdup(const char *string)
{
    char *copy = strdup(string);
    if (copy == NULL)
        no_memory();
    return copy;
}

char *tool_format(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        no_memory();
    va_end(args);
    return text;
}

pid_t tool_pid(const char *text)
{
    char *end;
    errno = 0;
    long pid = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && pid > 0 && pid <= INT_MAX)
        return (pid_t)pid;
    tool_complain("-p %s: a process is a number above 0", text);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(usage, stderr);
        return TOOL_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, stdout);
        return TOOL_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("usdt %s\n", USDT_VERSION);
        return TOOL_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            argv[1] = (char *)"usdt"; /* for getopt's messages */
            int code = commands[i].main(argc - 1, argv + 1);
            if (fflush(stdout) != 0 || ferror(stdout)) {
                tool_complain("standard output: %s", strerror(errno));
                return TOOL_FAILED;
            }
            return code;
        }
    tool_complain("%s: there is no such command; usdt --help lists them", argv[1]);
    return TOOL_USAGE;
}
