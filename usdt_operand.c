/*
 * usdt_operand.c - code of the program's own: what may be a site, and where arguments are at it.
 *
 * Owns the processors' registers by name, and the operands of notes. Pure functions of bytes and strings.
 */
#include "usdt_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X86_REGISTERS = 16, RSP = 4, ARM64_SP = 31 };

/* In the order of their numbers in an instruction, by width: 1, 2, 4, 8 bytes. */
static const char *const x86[X86_REGISTERS][4] = {
    { "al", "ax", "eax", "rax" },        { "cl", "cx", "ecx", "rcx" },        { "dl", "dx", "edx", "rdx" },
    { "bl", "bx", "ebx", "rbx" },        { "spl", "sp", "esp", "rsp" },       { "bpl", "bp", "ebp", "rbp" },
    { "sil", "si", "esi", "rsi" },       { "dil", "di", "edi", "rdi" },       { "r8b", "r8w", "r8d", "r8" },
    { "r9b", "r9w", "r9d", "r9" },       { "r10b", "r10w", "r10d", "r10" },   { "r11b", "r11w", "r11d", "r11" },
    { "r12b", "r12w", "r12d", "r12" },   { "r13b", "r13w", "r13d", "r13" },   { "r14b", "r14w", "r14d", "r14" },
    { "r15b", "r15w", "r15d", "r15" },
};

static bool is_x86(const struct usdt_platform *platform)
{
    return platform->arch[0] != 'a'; /* "arm64" */
}

struct usdt_operand usdt_operand_of_call(const struct usdt_platform *platform, size_t i)
{
    static const uint8_t in_call[6] = { 7, 6, 2, 1, 8, 9 }; /* rdi rsi rdx rcx r8 r9 */
    size_t registers = !is_x86(platform) ? 8 : platform->word == 8 ? 6 : 0;
    if (i < registers)
        return (struct usdt_operand){ .reg = is_x86(platform) ? in_call[i] : (uint8_t)i };
    return (struct usdt_operand){ .reg = is_x86(platform) ? RSP : ARM64_SP, .in_memory = true,
                                  .offset = (int32_t)(platform->word * (i - registers)) };
}

/* Without printf: most of the time of publishing would be spent in it. */
static char *put_text(char *to, const char *text)
{
    while (*text != '\0')
        *to++ = *text++;
    return to;
}

static char *put_number(char *to, int32_t number)
{
    char digits[10];
    size_t n = 0;
    uint32_t rest = number < 0 ? 0 - (uint32_t)number : (uint32_t)number;
    if (number < 0)
        *to++ = '-';
    do
        digits[n++] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    while (n > 0)
        *to++ = digits[--n];
    return to;
}

static char *put_arm64(char *to, const struct usdt_operand *operand)
{
    if (operand->in_memory)
        to = put_text(to, "[");
    to = operand->reg == ARM64_SP ? put_text(to, "sp") : put_number(put_text(to, "x"), operand->reg);
    return operand->in_memory ? put_text(put_number(put_text(to, ", "), operand->offset), "]") : to;
}

char *usdt_operand_put(char *to, const struct usdt_platform *platform, const struct usdt_operand *operand, int size)
{
    int bytes = size < 0 ? -size : size;
    int width = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
    to = put_text(put_number(to, size), "@");
    if (!is_x86(platform))
        return put_arm64(to, operand);
    if (!operand->in_memory)
        return put_text(put_text(to, "%"), x86[operand->reg][width]);
    to = put_text(put_number(to, operand->offset), "(%");
    return put_text(put_text(to, x86[operand->reg][platform->word == 8 ? 3 : 2]), ")");
}

static bool read_x86_register(const char **at, const struct usdt_platform *platform, uint8_t *reg)
{
    size_t len = strcspn(*at, ")");
    for (int i = 0; i < (platform->word == 8 ? X86_REGISTERS : 8); i++) {
        const char *name = x86[i][platform->word == 8 ? 3 : 2];
        if (strlen(name) == len && memcmp(*at, name, len) == 0) {
            *at += len;
            *reg = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static bool read_arm64_register(const char **at, uint8_t *reg)
{
    const char *from = *at;
    unsigned number = 0;
    if (strncmp(from, "sp", 2) == 0) {
        *at += 2;
        *reg = ARM64_SP;
        return true;
    }
    size_t digits = *from == 'x' ? strspn(from + 1, "0123456789") : 0;
    for (size_t i = 1; i <= digits && digits <= 2; i++)
        number = 10 * number + (unsigned)(from[i] - '0');
    *at += 1 + digits;
    *reg = (uint8_t)number;
    return digits > 0 && digits <= 2 && number < ARM64_SP && (digits == 1 || from[1] != '0');
}

/* None is 0. */
static bool read_offset(const char **at, int32_t *offset)
{
    bool is_negative = **at == '-';
    size_t count = strspn(*at + is_negative, "0123456789");
    if (count > 9 || (is_negative && count == 0)) /* more than any frame has */
        return false;
    *offset = (int32_t)strtol(*at, NULL, 10);
    *at += is_negative + count;
    return true;
}

static bool read_x86(const char *at, const struct usdt_platform *platform, struct usdt_operand *operand)
{
    if (*at == '%') {
        at++;
        return read_x86_register(&at, platform, &operand->reg) && *at == '\0';
    }
    operand->in_memory = true;
    if (!read_offset(&at, &operand->offset) || strncmp(at, "(%", 2) != 0)
        return false;
    at += 2;
    return read_x86_register(&at, platform, &operand->reg) && strcmp(at, ")") == 0;
}

static bool read_arm64(const char *at, struct usdt_operand *operand)
{
    if (*at != '[')
        return read_arm64_register(&at, &operand->reg) && operand->reg != ARM64_SP && *at == '\0';
    operand->in_memory = true;
    at++;
    if (!read_arm64_register(&at, &operand->reg))
        return false;
    if (*at == ',') {
        at++;
        at += *at == ' ';
        if (strspn(at, "-0123456789") == 0 || !read_offset(&at, &operand->offset))
            return false;
    }
    return strcmp(at, "]") == 0;
}

bool usdt_operand_read(const struct usdt_platform *platform, size_t index, const char *text, const char *type,
                       struct usdt_operand *operand, char why[USDT_WHY_MAX])
{
    char shown[40] = "NULL";
    const char *quote = text == NULL ? "" : "\"";
    *operand = (struct usdt_operand){ .reg = 0 };
    if (text != NULL && (is_x86(platform) ? read_x86(text, platform, operand) : read_arm64(text, operand))) {
        int size = usdt_type_size(platform, type);
        if (is_x86(platform) && platform->word == 4 && (size == 1 || size == -1) && !operand->in_memory &&
            operand->reg >= RSP) {
            snprintf(why, USDT_WHY_MAX, "place %zu is %s, of which no byte has a name; one of %%eax, %%ebx, %%ecx, "
                                        "%%edx has", index, text);
            return false;
        }
        return true;
    }
    if (text != NULL)
        usdt_show(shown, sizeof shown, text);
    snprintf(why, USDT_WHY_MAX, "place %zu is %s%s%s; it is a register or memory at one, %s", index, quote, shown, quote,
             !is_x86(platform)     ? "as \"x19\", \"[x29, -8]\", \"[sp]\""
             : platform->word == 8 ? "as \"%rbx\", \"-8(%rbp)\", \"(%rsp)\""
                                   : "as \"%ebx\", \"-4(%ebp)\", \"(%esp)\"");
    return false;
}

size_t usdt_nop_size(const struct usdt_platform *platform)
{
    return is_x86(platform) ? 1 : 4;
}

bool usdt_is_nop(const struct usdt_platform *platform, const void *at)
{
    return memcmp(at, platform->stub->code + platform->stub->site, usdt_nop_size(platform)) == 0;
}
