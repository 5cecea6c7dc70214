/*
 * check.c - what the judges and the fuzz targets share: the rules' names and whose they are, what a name is,
 * what machine code a site has, how wide a C type is.
 *
 * Knows nothing of documents. May not include a header of the library (see check.h).
 */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
} rules[] = {
    { "GOOD", "no rule is broken" },
#define RULE(name, text) { #name, text },
    CHECK_DOF_RULES(RULE) CHECK_ELF_RULES(RULE)
#undef RULE
};

const char *check_rule_name(enum check_rule rule)
{
    return rules[rule].name;
}

const char *check_rule_text(enum check_rule rule)
{
    return rules[rule].text;
}

/*
 * facts/dof.md: the rules that a kernel answers with EINVAL (E2BIG for the size); those that it has no word
 * for, and loses the provider. facts/linux.md: those without which tracers find no probes, or not each does;
 * the code at a site, where it is known to be the library's. Of all others the facts say nothing.
 */
static const enum check_rule refuses[] = {
    CHECK_DOF_MAGIC, CHECK_DOF_MODEL_KNOWN, CHECK_DOF_ENCODING, CHECK_DOF_VERSION,
    CHECK_DOF_DIF_VERSION, CHECK_DOF_REGISTERS, CHECK_DOF_IDENT, CHECK_DOF_FLAGS, CHECK_DOF_SECTION_SIZE,
    CHECK_DOF_LOADED_SMALL, CHECK_DOF_LOADED_LIMIT, CHECK_DOF_TABLE_BOUNDS, CHECK_DOF_TABLE_ALIGNED,
    CHECK_DOF_SECTION_LOAD, CHECK_DOF_SECTION_BOUNDS, CHECK_DOF_SECTION_ALIGN, CHECK_DOF_SECTION_ALIGNED,
    CHECK_DOF_STRINGS_NUL, CHECK_DOF_ENTRY_SIZE, CHECK_DOF_SECTION_ZERO, CHECK_DOF_PROVIDER_SHORT,
    CHECK_DOF_REFERENCE, CHECK_DOF_STRING, CHECK_DOF_PROVIDER_FIELD, CHECK_DOF_PROBES_NONE,
    CHECK_DOF_FUNCTION_LONG, CHECK_DOF_PROBE_LONG, CHECK_DOF_TYPE_LONG, CHECK_DOF_MAP_BOUNDS,
    CHECK_DOF_OFFSETS_NONE, CHECK_DOF_OFFSETS_BOUNDS, CHECK_DOF_ENABLED_BOUNDS, CHECK_DOF_SAME_ADDRESS,
    CHECK_ELF_SHORT, CHECK_ELF_MAGIC, CHECK_ELF_CLASS, CHECK_ELF_DATA, CHECK_ELF_MACHINE,
    CHECK_ELF_TABLE_NONE, CHECK_ELF_TABLE_ENTRY, CHECK_ELF_TABLE_BOUNDS, CHECK_ELF_SEGMENT_BOUNDS, CHECK_ELF_NAMES,
    CHECK_ELF_SECTION_BOUNDS, CHECK_ELF_NAMES_NUL, CHECK_ELF_NAME_BOUNDS, CHECK_ELF_SECTION_TYPE,
    CHECK_ELF_NOTES_ALIGNED, CHECK_ELF_NOTE_BOUNDS, CHECK_ELF_NOTE_OWNER, CHECK_ELF_NOTE_STRINGS,
    CHECK_ELF_NOTE_SITE, CHECK_ELF_NOTE_SEMAPHORE, CHECK_ELF_CODE_SITE, CHECK_ELF_CODE_PAGE,
};
static const enum check_rule loses[] = {
    CHECK_DOF_PROVIDER_NONE, CHECK_DOF_PROVIDER_LONG, CHECK_DOF_PROVIDER_NAME, CHECK_DOF_PROVIDER_DIGIT,
    CHECK_DOF_PROVIDER_RESERVED, CHECK_DOF_STABILITY, CHECK_DOF_FUNCTION_NAME, CHECK_DOF_PROBE_NAME,
    CHECK_ELF_SECTION_MISSING, CHECK_ELF_ORDER, CHECK_ELF_PROVIDER_NAME, CHECK_ELF_PROBE_NAME,
    CHECK_ELF_OPERAND_SIZE, CHECK_ELF_OPERAND_END, CHECK_ELF_OPERANDS,
};

enum check_answer check_answer(const char *system, const char *arch, enum check_rule rule)
{
    for (size_t i = 0; i < sizeof refuses / sizeof refuses[0]; i++)
        if (refuses[i] == rule)
            return CHECK_REFUSES;
    for (size_t i = 0; i < sizeof loses / sizeof loses[0]; i++)
        if (loses[i] == rule)
            return CHECK_LOSES;
    /* The wrong stack slot is read for arguments >= 6. */
    bool reads_wrong = strcmp(system, "freebsd") == 0 || (strcmp(system, "macos") == 0 && strcmp(arch, "arm64") != 0);
    return rule == CHECK_DOF_MAP_READ && reads_wrong ? CHECK_LOSES : CHECK_OWN;
}

bool check_broken(struct check_verdict *verdict, enum check_rule rule, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verdict->broken = rule;
    vsnprintf(verdict->where, sizeof verdict->where, format, args);
    va_end(args);
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

bool check_is_name(const char *name)
{
    if (name[0] == '\0' || !is_word(name[0]) || is_digit(name[0]))
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (!is_word(*c) && *c != '.' && *c != '-')
            return false;
    return true;
}

bool check_is_good_name(const char *name, size_t longest)
{
    return name != NULL && check_is_name(name) && strlen(name) <= longest;
}

bool check_is_good_provider(const char *name)
{
    return check_is_good_name(name, CHECK_LONGEST_PROVIDER) && !is_digit(name[strlen(name) - 1]) &&
           strcmp(name, "pid") != 0 && strcmp(name, "objc") != 0 && strcmp(name, "oneshot") != 0;
}

bool check_is_good_type(const char *type)
{
    size_t len = type == NULL ? 0 : strlen(type);
    for (size_t i = 0; i < len; i++)
        if (type[i] < 0x20 || type[i] > 0x7e)
            return false;
    return len >= 1 && len <= 127; /* DTRACE_ARGTYPELEN */
}

/* ---- facts/dof.md, "Machine code" ---- */

struct bytes {
    unsigned char len, at[8];
};

#define NOP_X86 { 1, { 0x90 } }
#define NOP_ARM64 { 4, { 0x1f, 0x20, 0x03, 0xd5 } } /* D503201F */
#define LONG_NOP 0x66, 0x2e, 0x0f, 0x1f, 0x84       /* its SIB byte and displacement may be anything */
#define MOV_RSP_RDI { 3, { 0x48, 0x89, 0xe7 } }
#define MOV_SP_X0 { 4, { 0xe0, 0x03, 0x00, 0x91 } }
#define NONE { 0, { 0 } }

/* What is at a site and right before it. Any row of the system, processor and site will do; "" is every
   system but Linux. */
static const struct code {
    const char *system, *arch;
    enum check_site site;
    struct bytes before, at;
} codes[] = {
    { "linux", "x86_64", CHECK_PROBE, NONE, { 6, { 0x90, LONG_NOP } } },
    { "linux", "x86_64", CHECK_ENABLED, MOV_RSP_RDI, NOP_X86 },
    { "linux", "i386", CHECK_PROBE, NONE, NOP_X86 },
    { "linux", "i386", CHECK_ENABLED, NONE, NOP_X86 },
    { "linux", "arm64", CHECK_PROBE, NONE, NOP_ARM64 },
    { "linux", "arm64", CHECK_ENABLED, MOV_SP_X0, NOP_ARM64 },
    { "", "x86_64", CHECK_PROBE, NONE, NOP_X86 },
    { "", "x86_64", CHECK_ENABLED, { 3, { 0x48, 0x31, 0xc0 } }, NOP_X86 }, /* xor %rax, %rax */
    { "", "x86_64", CHECK_ENABLED, { 3, { 0x48, 0x33, 0xc0 } }, NOP_X86 },
    { "", "i386", CHECK_PROBE, NONE, NOP_X86 },
    { "", "i386", CHECK_ENABLED, { 2, { 0x31, 0xc0 } }, NOP_X86 }, /* xor %eax, %eax */
    { "", "i386", CHECK_ENABLED, { 2, { 0x33, 0xc0 } }, NOP_X86 },
    { "", "arm64", CHECK_PROBE, NONE, NOP_ARM64 },
    { "", "arm64", CHECK_ENABLED, NONE, { 4, { 0x00, 0x00, 0x80, 0xd2 } } }, /* movz x0, #0 */
    { "", "arm64", CHECK_ENABLED, NONE, NOP_ARM64 },
};

static bool has_bytes(const unsigned char *slot, size_t size, size_t at, const struct bytes *bytes)
{
    return at <= size && bytes->len <= size - at && memcmp(slot + at, bytes->at, bytes->len) == 0;
}

bool check_code(const struct check_given *given, enum check_site site, const unsigned char *slot, size_t size,
                size_t at)
{
    const char *system = strcmp(given->system, "linux") == 0 ? "linux" : "";
    /* The 10-byte nop has the one-byte nop before it. */
    if (given->direct && site == CHECK_PROBE && at-- == 0)
        return false;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const struct code *code = &codes[i];
        if (strcmp(code->system, system) == 0 && strcmp(code->arch, given->arch) == 0 &&
            code->site == site && at >= code->before.len &&
            has_bytes(slot, size, at - code->before.len, &code->before) &&
            has_bytes(slot, size, at, &code->at))
            return true;
    }
    return false;
}

/* ---- types ---- */

/* Names of one width and sign: <stdint.h>, <stddef.h>, <sys/types.h>, the Linux kernel's. 0 is a word. */
enum { UNSIGNED, SIGNED, LIKE_CHAR };
static const struct {
    const char *name;
    int width, sign;
} named[] = {
    { "int8_t", 1, SIGNED },    { "int16_t", 2, SIGNED },    { "int32_t", 4, SIGNED },
    { "int64_t", 8, SIGNED },   { "uint8_t", 1, UNSIGNED },  { "uint16_t", 2, UNSIGNED },
    { "uint32_t", 4, UNSIGNED }, { "uint64_t", 8, UNSIGNED }, { "intmax_t", 8, SIGNED },
    { "uintmax_t", 8, UNSIGNED }, { "intptr_t", 0, SIGNED }, { "uintptr_t", 0, UNSIGNED },
    { "size_t", 0, UNSIGNED },  { "ssize_t", 0, SIGNED },    { "ptrdiff_t", 0, SIGNED },
    { "bool", 1, UNSIGNED },    { "_Bool", 1, UNSIGNED },    { "float", 4, UNSIGNED },
    { "double", 8, UNSIGNED },  { "pid_t", 4, SIGNED },      { "uid_t", 4, UNSIGNED },
    { "gid_t", 4, UNSIGNED },   { "time_t", 0, SIGNED },     { "off_t", 0, SIGNED },
    { "wchar_t", 4, LIKE_CHAR }, { "u8", 1, UNSIGNED },      { "u16", 2, UNSIGNED },
    { "u32", 4, UNSIGNED },     { "u64", 8, UNSIGNED },      { "s8", 1, SIGNED },
    { "s16", 2, SIGNED },       { "s32", 4, SIGNED },        { "s64", 8, SIGNED },
};

/* How often a type has each keyword; of what is no keyword, how many and the last. */
enum { CHAR, SHORT, INT, LONG, SIGN, UNSIGN, QUALIFIER, ENUM, STRUCT, KEYWORDS };
struct words {
    unsigned of[KEYWORDS], others;
    char other[24];
    int before;  /* the keyword before, or KEYWORDS */
    bool is_tag; /* the last of the others follows enum or struct */
};

static void count_word(struct words *words, const char *word, size_t len)
{
    static const struct {
        const char *name;
        int keyword;
    } keywords[] = {
        { "char", CHAR },       { "short", SHORT },         { "int", INT },
        { "long", LONG },       { "signed", SIGN },         { "unsigned", UNSIGN },
        { "const", QUALIFIER }, { "volatile", QUALIFIER },  { "restrict", QUALIFIER },
        { "enum", ENUM },       { "register", QUALIFIER },  { "struct", STRUCT },
        { "union", STRUCT },
    };
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (keywords[i].name[0] == word[0] && strlen(keywords[i].name) == len &&
            memcmp(keywords[i].name, word, len) == 0) {
            words->before = keywords[i].keyword;
            words->of[words->before]++;
            return;
        }
    words->others++;
    words->is_tag = words->before == ENUM || words->before == STRUCT;
    words->before = KEYWORDS;
    if (len >= sizeof words->other) /* longer than any that is known */
        len = 0;
    memcpy(words->other, word, len);
    words->other[len] = '\0';
}

/* C11 6.7.2, the list of integer types: the width, 0 for what is not on it. */
static int integer_width(const struct words *words, int word, bool char_is_signed)
{
    const unsigned *of = words->of;
    bool sign = of[UNSIGN] == 0;
    int width;
    if (of[SIGN] + of[UNSIGN] > 1 || of[INT] > 1 || of[CHAR] + of[SHORT] > 1 || of[LONG] > 2 ||
        (of[LONG] > 0 && of[CHAR] + of[SHORT] > 0) || (of[CHAR] > 0 && of[INT] > 0))
        return 0;
    if (of[CHAR] > 0)
        width = 1, sign = of[SIGN] > 0 || (sign && char_is_signed);
    else if (of[SHORT] > 0)
        width = 2;
    else if (of[LONG] > 0)
        width = of[LONG] == 2 ? 8 : word;
    else
        width = 4;
    if (width > word)
        width = word;
    return sign ? -width : width;
}

enum { NAMES = sizeof named / sizeof named[0] };

static size_t find_name(const char *name)
{
    size_t i = 0;
    while (i < NAMES && (named[i].name[0] != name[0] || strcmp(named[i].name, name) != 0))
        i++;
    return i;
}

static int named_width(const char *name, int word, bool char_is_signed)
{
    size_t i = find_name(name);
    if (i == NAMES)
        return word; /* usdt.h: an unsigned integer as wide as a pointer */
    int width = named[i].width == 0 || named[i].width > word ? word : named[i].width;
    bool sign = named[i].sign == SIGNED || (named[i].sign == LIKE_CHAR && char_is_signed);
    return sign ? -width : width;
}

int check_width(const char *system, const char *arch, const char *type)
{
    struct words words = { .before = KEYWORDS };
    int word = strcmp(arch, "i386") == 0 ? 4 : 8;
    /* AAPCS64 has char unsigned; Apple's ABI does not follow it there. */
    bool char_is_signed = strcmp(arch, "arm64") != 0 || strcmp(system, "macos") == 0;
    for (const char *c = type; *c != '\0';) {
        const char *start = c;
        while (is_word(*c))
            c++;
        if (c > start)
            count_word(&words, start, (size_t)(c - start));
        else if (*c++ != ' ')
            return word; /* a pointer, an array, a function: an address */
    }
    const unsigned *of = words.of;
    unsigned integers = of[CHAR] + of[SHORT] + of[INT] + of[LONG] + of[SIGN] + of[UNSIGN];
    if (of[ENUM] == 1 && words.others == 1 && words.is_tag && integers + of[STRUCT] == 0)
        return -4; /* C11 6.7.2.2: its constants are int */
    if (of[ENUM] > 0)
        return 0;
    if (of[STRUCT] > 0)
        /* A tag that is also one of the names is not judged: usdt_type_size() takes the name. */
        return of[STRUCT] == 1 && words.others == 1 && integers == 0 && find_name(words.other) == NAMES ? word
                                                                                                       : 0;
    if (integers > 0)
        return words.others > 0 ? 0 : integer_width(&words, word, char_is_signed);
    if (words.others == 1)
        return named_width(words.other, word, char_is_signed);
    return words.others == 0 && of[QUALIFIER] == 0 ? word : 0;
}
