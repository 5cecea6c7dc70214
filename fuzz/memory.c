/*
 * memory.c - what the files of tools/ have of usdt.c, for the targets that are made of them.
 */
#include "tools/tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

void *tool_calloc(size_t count, size_t size)
{
    return must(calloc(count > 0 ? count : 1, size));
}

void *tool_realloc(void *old, size_t size)
{
    return must(realloc(old, size));
}

char *tool_strdup(const char *string)
{
    return must(strdup(string));
}

char *tool_format(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return len < 0 ? must(NULL) : text;
}
