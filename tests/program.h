/*
 * program.h - what test programs have in common. What each prints and reads is at its head.
 */
#ifndef USDT_TESTS_PROGRAM_H
#define USDT_TESTS_PROGRAM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST(condition)                                                                       \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "%s: not true, line %d: %s\n", __FILE__, __LINE__, #condition);   \
            _exit(3);                                                                         \
        }                                                                                     \
    } while (0)

/* Prints "ok ..." or "not ok ...". */
static int failed; /* one was not */
__attribute__((format(printf, 2, 3), unused)) static void check(bool good, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf(good ? "ok " : "not ok ");
    vprintf(format, args);
    va_end(args);
    puts("");
    fflush(stdout);
    failed |= !good;
}

/* What USDT::Program's send() and work() send. */
__attribute__((unused)) static void wait_for_line(void)
{
    char line[16];
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(0);
}

#endif
