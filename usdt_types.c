/*
 * usdt_types.c - what names and type strings mean: which are allowed, and how wide a type is.
 *
 * Pure functions of strings; knows nothing of providers, documents or images.
 *
 * The limits are those of DTrace's <sys/dtrace.h> (DTRACE_PROVNAMELEN 64, of which the kernel needs
 * up to 10 for the process id, _MODNAMELEN 64, _FUNCNAMELEN 128, _NAMELEN 64, _ARGTYPELEN 128),
 * which count the NUL. DTrace accepts some names and then silently loses the probe; those are
 * refused here.
 */
#include "usdt_internal.h"

#include <stdio.h>
#include <string.h>

enum { TYPE_MAX = 127 };

/* Locale does not matter to what a tracer accepts, so no <ctype.h>. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_word(char c)
{
    return starts_word(c) || is_digit(c);
}

void usdt_show(char *to, size_t size, const char *text)
{
    size_t n = 0;
    for (; n < size - 4 && text[n] != '\0'; n++)
        to[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    strcpy(to + n, text[n] == '\0' ? "" : "...");
}

static bool refuse(char why[USDT_WHY_MAX], const char *what, const char *name, const char *rule)
{
    char shown[64];
    usdt_show(shown, sizeof shown, name);
    snprintf(why, USDT_WHY_MAX, "%s \"%s\": %s", what, shown, rule);
    return false;
}

bool usdt_check_name(enum usdt_name kind, const char *name, char why[USDT_WHY_MAX])
{
    static const struct {
        const char *what;
        size_t max;
    } rules[] = {
        [USDT_NAME_PROVIDER] = { "provider name", 53 },
        [USDT_NAME_MODULE] = { "module name", 63 },
        [USDT_NAME_FUNCTION] = { "function name", 127 },
        [USDT_NAME_PROBE] = { "probe name", 63 },
    };
    const char *what = rules[kind].what;
    if (name == NULL) {
        snprintf(why, USDT_WHY_MAX, "%s is NULL", what);
        return false;
    }
    if (name[0] == '\0')
        return refuse(why, what, name, "must not be empty");
    if (!starts_word(name[0]))
        return refuse(why, what, name, "must start with a letter or '_'");
    size_t len = 0;
    for (; name[len] != '\0'; len++)
        if (!in_word(name[len]) && name[len] != '-' && name[len] != '.')
            return refuse(why, what, name, "may hold only letters, digits, '_', '-' and '.'");
    if (len > rules[kind].max) {
        char rule[100];
        snprintf(rule, sizeof rule, "is %zu characters long, at most %zu are allowed", len,
                 rules[kind].max);
        return refuse(why, what, name, rule);
    }
    if (kind != USDT_NAME_PROVIDER)
        return true;
    if (is_digit(name[len - 1]))
        return refuse(why, what, name,
                      "must not end in a digit: DTrace appends the process id to the name");
    if (strcmp(name, "pid") == 0 || strcmp(name, "objc") == 0 || strcmp(name, "oneshot") == 0)
        return refuse(why, what, name, "is reserved by DTrace; choose another");
    return true;
}

static bool refuse_type(char why[USDT_WHY_MAX], size_t index, const char *type, const char *rule)
{
    char what[40];
    snprintf(what, sizeof what, "type of argument %zu", index);
    return refuse(why, what, type, rule);
}

bool usdt_check_type(size_t index, const char *type, char why[USDT_WHY_MAX])
{
    if (type == NULL) {
        snprintf(why, USDT_WHY_MAX, "type of argument %zu is NULL", index);
        return false;
    }
    if (type[0] == '\0')
        return refuse_type(why, index, type, "must not be empty; use \"int\" or \"char *\"");
    size_t len = 0;
    for (; type[len] != '\0'; len++)
        if (type[len] < ' ' || type[len] > '~')
            return refuse_type(why, index, type, "may hold only printable ASCII characters");
    if (len > TYPE_MAX) {
        char rule[100];
        snprintf(rule, sizeof rule, "is %zu characters long, at most %d are allowed", len, TYPE_MAX);
        return refuse_type(why, index, type, rule);
    }
    return true;
}

bool usdt_is_identity(size_t argc, const unsigned char *map)
{
    size_t i = 0;
    while (i < argc && map[i] == i)
        i++;
    return i == argc;
}

usdt_error_t usdt_check_translation(const struct usdt_platform *platform, const usdt_probedef_t *def, size_t argc,
                                    const char *const *types, const unsigned char *map, char why[USDT_WHY_MAX])
{
    int n = snprintf(why, USDT_WHY_MAX, "probe %s:%s: ", def->function, def->name);
    size_t left = USDT_WHY_MAX - (size_t)n;
    why += n;
    if (argc > USDT_ARG_MAX) {
        snprintf(why, left, "%zu translated arguments, at most %d are allowed", argc, USDT_ARG_MAX);
        return USDT_ERROR_INVALID;
    }
    if (argc > 0 && (types == NULL || map == NULL)) {
        snprintf(why, left, "%s is NULL, but argc is %zu", types == NULL ? "types" : "map", argc);
        return USDT_ERROR_INVALID;
    }
    for (size_t i = 0; i < argc; i++) {
        char rule[USDT_WHY_MAX];
        if (!usdt_check_type(i, types[i], rule)) {
            snprintf(why, left, "%.300s", rule);
            return USDT_ERROR_INVALID;
        }
        if (map[i] >= def->argc) {
            snprintf(why, left, "map[%zu] is %u, but the probe has %zu arguments; the first is 0", i, map[i],
                     def->argc);
            return USDT_ERROR_INVALID;
        }
    }
    if (platform == NULL || platform->map_max == 0 || usdt_is_identity(argc, map))
        return USDT_ERROR_NONE;
    for (size_t i = 0; i < argc; i++)
        if (map[i] >= platform->map_max) {
            snprintf(why, left, "map[%zu] is %u; DTrace on %s reads no others in a map than 0 to %u", i, map[i],
                     platform->system, platform->map_max - 1);
            return USDT_ERROR_UNSUPPORTED;
        }
    return USDT_ERROR_NONE;
}

/* The next word of a type, or the next character of punctuation; false at the end. */
static bool next_token(const char **at, const char **token, size_t *len)
{
    while (**at == ' ')
        ++*at;
    *token = *at;
    if (**at == '\0')
        return false;
    if (in_word(**at))
        while (in_word(**at))
            ++*at;
    else
        ++*at;
    *len = (size_t)(*at - *token);
    return true;
}

/* Names that stand for one size and sign. 0 is the size of a word. wchar_t has the sign of char: so
   say the ABI supplements (AAPCS64 on Linux: neither; Apple's, and all of x86: both). */
enum sign { NO, YES, AS_CHAR };
static const struct named {
    const char *name;
    unsigned char size, is_signed;
} named[] = {
    { "int8_t", 1, YES },    { "uint8_t", 1, NO },   { "int16_t", 2, YES },
    { "uint16_t", 2, NO }, { "int32_t", 4, YES },    { "uint32_t", 4, NO },
    { "int64_t", 8, YES },   { "uint64_t", 8, NO },  { "bool", 1, NO },
    { "_Bool", 1, NO },    { "size_t", 0, NO },    { "ssize_t", 0, YES },
    { "ptrdiff_t", 0, YES }, { "intptr_t", 0, YES },   { "uintptr_t", 0, NO },
    { "float", 4, NO },    { "double", 8, NO },    { "pid_t", 4, YES },
    { "uid_t", 4, NO },    { "gid_t", 4, NO },     { "time_t", 0, YES },
    { "off_t", 0, YES },     { "intmax_t", 8, YES },   { "uintmax_t", 8, NO },
    { "u8", 1, NO },       { "u16", 2, NO },       { "u32", 4, NO },
    { "u64", 8, NO },      { "s8", 1, YES },         { "s16", 2, YES },
    { "s32", 4, YES },       { "s64", 8, YES },        { "wchar_t", 4, AS_CHAR },
};

int usdt_named_size(const char *name, size_t len, unsigned word, bool char_signed)
{
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (strlen(named[i].name) == len && memcmp(named[i].name, name, len) == 0) {
            int size = named[i].size == 0 ? (int)word : named[i].size;
            return named[i].is_signed == YES || (named[i].is_signed == AS_CHAR && char_signed) ? -size : size;
        }
    return 0;
}

int usdt_type_size(const struct usdt_platform *platform, const char *type)
{
    int word = (int)platform->word;
    bool is_char = false, is_short = false, is_int = false, is_enum = false, other = false;
    bool is_signed = false, is_unsigned = false;
    int longs = 0;
    int found = 0;

    const char *at = type, *token;
    size_t len;
    while (next_token(&at, &token, &len)) {
#define IS(word_) (len == sizeof(word_) - 1 && memcmp(token, word_, len) == 0)
        if (!in_word(token[0]))
            return word; /* a pointer, an array or a function: passed as an address */
        if (IS("const") || IS("volatile") || IS("restrict") || IS("register"))
            continue;
        if (IS("char"))
            is_char = true;
        else if (IS("short"))
            is_short = true;
        else if (IS("int"))
            is_int = true;
        else if (IS("long"))
            longs++;
        else if (IS("signed"))
            is_signed = true;
        else if (IS("unsigned"))
            is_unsigned = true;
        else if (IS("enum"))
            is_enum = true;
        else if (!is_enum) {
            int known = usdt_named_size(token, len, platform->word, platform->char_signed);
            other = true;
            found = known != 0 ? known : found;
        }
#undef IS
    }

    int size;
    bool sign = !is_unsigned;
    if (found != 0) {
        size = found < 0 ? -found : found;
        sign = found < 0;
        if (longs > 0) /* long double: its address or its first word, as the caller likes */
            size = word, sign = false;
    } else if (is_enum) {
        size = 4;
    } else if (other) { /* a name we do not know */
        size = word, sign = false;
    } else if (is_char) {
        size = 1;
        sign = is_signed || (platform->char_signed && !is_unsigned);
    } else if (is_short) {
        size = 2;
    } else if (longs > 0) {
        size = longs > 1 ? 8 : word;
    } else if (is_int || is_signed || is_unsigned) {
        size = 4;
    } else {
        size = word, sign = false;
    }
    if (size > word)
        size = word;
    return sign ? -size : size;
}
