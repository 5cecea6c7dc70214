/*
 * fetch.c - the kernel's own words for an argument: the operand of a note ("8@16(%rsp)") as a fetch expression of
 * uprobe_events ("+16(%sp):u64"). The syntax is that of the kernel's Documentation/trace/uprobetracer.rst; registers
 * have the names of regoffset_table in its arch/.../kernel/ptrace.c.
 */
#include "tool.h"

#include <ctype.h>
#include <elf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Whether the words of a type are those of a char and of its qualifiers, and nothing else. */
static bool is_char(const char *type, size_t len)
{
    static const char *const words[] = { "char", "const", "volatile" };
    bool found = false;
    for (size_t at = 0; at < len;) {
        size_t word = strcspn(type + at, " "), i = 0;
        word = word < len - at ? word : len - at;
        while (word > 0 && i < 3 && (strlen(words[i]) != word || memcmp(type + at, words[i], word) != 0))
            i++;
        if (i == 3)
            return false;
        found |= word > 0 && i == 0;
        at += word + 1;
    }
    return found;
}

enum type_kind type_kind(const char *type)
{
    if (type == NULL)
        return TYPE_NUMBER;
    size_t len = strcspn(type, "*[(");
    const char *behind = type + len;
    if (*behind == '\0')
        return TYPE_NUMBER;
    if (*behind != '(' && is_char(type, len) && strpbrk(behind + 1, "*[(") == NULL)
        return TYPE_STRING;
    return TYPE_POINTER;
}

/* Behind "%rdi", "%edi", "%di" or "%dil": "di". False: it is no register, or one that cannot be fetched, as %ah. */
static bool x86_register(const char *name, char to[8])
{
    static const char *const registers[][4] = {
        { "ax", "rax", "eax", "al" },  { "bx", "rbx", "ebx", "bl" },  { "cx", "rcx", "ecx", "cl" },
        { "dx", "rdx", "edx", "dl" },  { "si", "rsi", "esi", "sil" }, { "di", "rdi", "edi", "dil" },
        { "bp", "rbp", "ebp", "bpl" }, { "sp", "rsp", "esp", "spl" },
    };
    for (size_t i = 0; i < sizeof registers / sizeof registers[0]; i++)
        for (size_t j = 0; j < 4; j++)
            if (strcmp(name, registers[i][j]) == 0) {
                strcpy(to, registers[i][0]);
                return true;
            }
    char *end;
    long number = name[0] == 'r' && isdigit((unsigned char)name[1]) ? strtol(name + 1, &end, 10) : 0;
    if (number < 8 || number > 15 || (*end != '\0' && (strchr("dwb", *end) == NULL || end[1] != '\0')))
        return false;
    snprintf(to, 8, "r%ld", number);
    return true;
}

/* "x0", of which "w0" is a half; "sp". */
static bool arm64_register(const char *name, char to[8])
{
    char *end;
    if (strcmp(name, "sp") == 0) {
        strcpy(to, name);
        return true;
    }
    if ((name[0] != 'x' && name[0] != 'w') || !isdigit((unsigned char)name[1]))
        return false;
    long number = strtol(name + 1, &end, 10);
    if (*end != '\0' || number < 0 || number > 30)
        return false;
    snprintf(to, 8, "x%ld", number);
    return true;
}

/* Where an operand is. */
struct place {
    enum { IN_REGISTER, IN_MEMORY, CONSTANT } where;
    char reg[8];
    long offset; /* from the register, or the constant */
};

/* A decimal number, or, as an assembler's, a sum of some: "-4", "16+8". */
static bool read_number(const char **at, long *number)
{
    *number = 0;
    do {
        char *end;
        long term = strtol(*at, &end, 10);
        if (end == *at || term < INT_MIN || term > INT_MAX)
            return false;
        *number += term;
        *at = end;
    } while (**at == '+' || **at == '-');
    return true;
}

/* A name that ends with `last` (with the string, if that is NUL), of a register. */
static bool read_register(const char *at, char last, bool arm64, char to[8])
{
    char name[8];
    const char *end = strchr(at, last);
    size_t len = end == NULL ? sizeof name : (size_t)(end - at);
    if (len >= sizeof name)
        return false;
    memcpy(name, at, len);
    name[len] = '\0';
    return arm64 ? arm64_register(name, to) : x86_register(name, to);
}

/* "%edi", "8(%rsp)", "$-1" */
static bool read_x86(const char *at, struct place *place)
{
    if (*at == '%')
        return read_register(at + 1, '\0', false, place->reg);
    place->where = *at == '$' ? CONSTANT : IN_MEMORY;
    at += *at == '$';
    if ((place->where == CONSTANT || *at != '(') && !read_number(&at, &place->offset))
        return false;
    if (place->where == CONSTANT)
        return *at == '\0';
    size_t len = strlen(at);
    return strncmp(at, "(%", 2) == 0 && at[len - 1] == ')' && strchr(at, ')') == at + len - 1 &&
           read_register(at + 2, ')', false, place->reg);
}

/* "x0", "[sp]", "[sp, 8]", "7" */
static bool read_arm64(const char *at, struct place *place)
{
    if (*at == '[') {
        place->where = IN_MEMORY;
        const char *comma = strchr(at, ',');
        if (!read_register(at + 1, comma == NULL ? ']' : ',', true, place->reg))
            return false;
        at = comma == NULL ? strchr(at, ']') : comma + 1;
        return (comma == NULL || read_number(&at, &place->offset)) && strcmp(at, "]") == 0;
    }
    if (isdigit((unsigned char)*at) || *at == '-') {
        place->where = CONSTANT;
        return read_number(&at, &place->offset) && *at == '\0';
    }
    return read_register(at, '\0', true, place->reg);
}

bool fetch_takes_path(const char *path)
{
    return path[strcspn(path, " \t\r\n\v\f#")] == '\0';
}

/* A place, in the kernel's words. */
static bool read_place(const struct elf_file *file, const struct elf_operand *operand, struct place *place,
                       char value[48])
{
    *place = (struct place){ .where = IN_REGISTER };
    bool known = file->machine == EM_AARCH64 ? read_arm64(operand->place, place)
                 : (file->machine == EM_X86_64 || file->machine == EM_386) && read_x86(operand->place, place);
    if (place->where == IN_REGISTER)
        snprintf(value, 48, "%%%s", place->reg);
    else if (place->where == IN_MEMORY)
        snprintf(value, 48, "%+ld(%%%s)", place->offset, place->reg);
    else
        snprintf(value, 48, "\\%ld", place->offset);
    return known;
}

bool fetch_value(const struct elf_file *file, const struct elf_operand *operand, char *to, size_t size)
{
    struct place place;
    char value[48];
    return !operand->is_float && read_place(file, operand, &place, value) && place.where != CONSTANT &&
           (size_t)snprintf(to, size, "%s", value) < size;
}

bool fetch_operand(const struct elf_file *file, const struct elf_operand *operand, const char *type, char *to,
                   size_t size)
{
    struct place place;
    int bytes = operand->bytes;
    char value[48];
    if (operand->is_float || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8))
        return false;
    if (!read_place(file, operand, &place, value))
        return false;
    enum type_kind kind = type_kind(type);
    int len;
    /* From memory the kernel takes a pointer of its own width: of a 32-bit program show the pointer itself. */
    if (kind == TYPE_STRING && place.where != CONSTANT && (file->wide || place.where == IN_REGISTER))
        len = snprintf(to, size, "+0(%s):string", value);
    else
        len = snprintf(to, size, "%s:%c%d", value, kind != TYPE_NUMBER ? 'x' : operand->is_signed ? 's' : 'u',
                       8 * bytes);
    return (size_t)len < size;
}
