/*
 * fuzz_dump.c - usdt dump's decode() over any bytes: whatever they are, it reads nothing outside of them, ends, prints
 * printable ASCII only, and says of each document and image who accepts it.
 */
#include "tools/tool.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_dump: %s\n", what);
    abort();
}

/* Whether a verdict of what was printed begins like that; a name has no newline. */
static bool is_accepted(const char *text)
{
    static const char heading[] = "\naccepted?\n";
    const char *line = strstr(text, heading);
    need(line != NULL && strlen(line) > sizeof heading, "there are verdicts");
    for (line += strlen(heading); line != NULL && *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line + strlen("  illumos  x86_64  "), "accepted", 8) == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    need(out != NULL, "no memory");
    /* Nothing lies behind it: a sanitizer sees each byte that is read too many. */
    uint8_t *bytes = tool_calloc(size, 1);
    memcpy(bytes, data, size);
    int code = decode(bytes, size, out);
    free(bytes);
    need(fclose(out) == 0, "cannot print into memory");
    bool is_either = size >= 4 && (memcmp(data, "\177DOF", 4) == 0 || memcmp(data, "\177ELF", 4) == 0);
    need(is_either == (code != DECODE_NEITHER), "a magic number decides");
    need(is_either == (len > 0), "what is neither is not printed");
    need(!is_either || (code == TOOL_DONE) == is_accepted(text), "the exit code is that of the verdicts");
    for (size_t i = 0; i < len; i++)
        need(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'), "only printable ASCII is printed");
    free(text);
    return 0;
}
