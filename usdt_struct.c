/*
 * usdt_struct.c - descriptions: C text of the structures that arguments point to, and where a machine's
 * compiler puts their members.
 *
 * Pure: bytes in, a list of structures out. Text may be any: what is no description is refused with line and
 * column. The grammar is a part of C11, without preprocessor and expressions; usdt_provider_add_type(3) has it.
 *
 * The layout is that of the System V ABI's supplements for x86_64 and i386, and of AAPCS64; tests/struct.t
 * compares it with compilers'.
 */
#include "usdt_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, STRUCT_MAX = 1 << 20, MEMBERS_MAX = 10000 };

struct token {
    enum { END, WORD, NUMBER, OTHER } kind;
    const char *at;
    size_t len;
};

struct parser {
    struct usdt_types *types;
    const struct usdt_machine *machine;
    const char *from, *end; /* what is new begins at `from` */
    const char *at;
    struct token token; /* the next one */
    unsigned depth;
    char *why;
    bool failed;
};

/* ---- errors, memory ---- */

/* The first one is kept: what follows from it says less. */
static bool refuse_at(struct parser *parser, const char *place, const char *what, const char *rule)
{
    unsigned line = 1, column = 1;
    for (const char *at = parser->from; at < place; at++)
        if (*at == '\n')
            line++, column = 1;
        else
            column++;
    if (!parser->failed)
        snprintf(parser->why, USDT_WHY_MAX, "description %u:%u: %s: %s", line, column, what, rule);
    parser->failed = true;
    return false;
}

static bool refuse(struct parser *parser, struct token token, const char *rule)
{
    char what[50] = "the end";
    if (token.kind != END)
        snprintf(what, sizeof what, "\"%.*s%s\"", token.len < 40 ? (int)token.len : 40, token.at,
                 token.len > 40 ? "..." : "");
    return refuse_at(parser, token.at, what, rule);
}

static bool refuse_next(struct parser *parser, const char *rule)
{
    return refuse(parser, parser->token, rule);
}

/* Zeroed, freed with the rest. NULL: the parser has failed, and says nothing of it. */
static void *new_node(struct parser *parser, size_t size)
{
    struct usdt_node *node = calloc(1, sizeof *node + size);
    if (node == NULL) {
        parser->why[0] = parser->failed ? parser->why[0] : '\0';
        parser->failed = true;
        return NULL;
    }
    node->next = parser->types->nodes;
    parser->types->nodes = node;
    return node + 1;
}

static char *copy_of(struct parser *parser, struct token token)
{
    char *copy = new_node(parser, token.len + 1);
    if (copy != NULL)
        memcpy(copy, token.at, token.len);
    return copy;
}

void usdt_types_free(struct usdt_types *types)
{
    for (struct usdt_node *node; (node = types->nodes) != NULL; free(node))
        types->nodes = node->next;
    *types = (struct usdt_types){ 0 };
}

/* ---- tokens ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

/* Descriptions that were given one after the other have a NUL between them. */
static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\0';
}

static bool begins(const struct parser *parser, const char *with)
{
    return parser->end - parser->at >= 2 && memcmp(parser->at, with, 2) == 0;
}

/* False: a comment does not end. */
static bool skip_blanks(struct parser *parser)
{
    for (;;) {
        const char *start = parser->at;
        while (parser->at < parser->end && is_blank(*parser->at))
            parser->at++;
        if (begins(parser, "//"))
            while (parser->at < parser->end && *parser->at != '\n' && *parser->at != '\0')
                parser->at++;
        if (begins(parser, "/*")) {
            const char *open = parser->at;
            parser->at += 2;
            while (!begins(parser, "*/"))
                if (parser->at++ >= parser->end)
                    return refuse(parser, (struct token){ OTHER, open, 2 }, "the comment does not end; end it with */");
            parser->at += 2;
        }
        if (parser->at == start)
            return true;
    }
}

static bool next(struct parser *parser)
{
    if (!skip_blanks(parser)) {
        parser->at = parser->end;
        parser->token = (struct token){ END, parser->end, 0 };
        return false;
    }
    struct token token = { END, parser->at, 0 };
    if (parser->at < parser->end) {
        token.kind = is_digit(*parser->at) ? NUMBER : in_word(*parser->at) ? WORD : OTHER;
        do
            parser->at++;
        while (token.kind != OTHER && parser->at < parser->end && in_word(*parser->at));
        token.len = (size_t)(parser->at - token.at);
    }
    parser->token = token;
    return true;
}

static bool is(struct token token, const char *word)
{
    return token.len == strlen(word) && memcmp(token.at, word, token.len) == 0;
}

static bool next_is(const struct parser *parser, const char *word)
{
    return is(parser->token, word);
}

static bool accept(struct parser *parser, const char *word)
{
    return next_is(parser, word) && next(parser);
}

static bool expect(struct parser *parser, const char *word, const char *rule)
{
    return accept(parser, word) || refuse_next(parser, rule);
}

static bool skip_qualifiers(struct parser *parser, bool of_pointer)
{
    while (accept(parser, "const") || accept(parser, "volatile") || (of_pointer && accept(parser, "restrict")))
        ;
    return !parser->failed;
}

static bool is_one_of(struct token token, const char *const *words, size_t count)
{
    while (count > 0 && !is(token, words[count - 1]))
        count--;
    return count > 0;
}
#define IS_ONE_OF(token, words) is_one_of(token, words, sizeof(words) / sizeof(words)[0])

static bool is_keyword(struct token token)
{
    static const char *const words[] = {
        "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern",
        "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed",
        "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "_Alignas",
        "_Alignof", "_Atomic", "_Bool", "_Complex", "_Generic", "_Imaginary", "_Noreturn", "_Static_assert",
        "_Thread_local", "__attribute__", "bool",
    };
    return IS_ONE_OF(token, words);
}

static bool is_attribute(struct token token)
{
    static const char *const words[] = { "__attribute__", "__attribute", "_Alignas", "_Atomic", "_Static_assert",
                                         "__packed", "__extension__", "__declspec" };
    return IS_ONE_OF(token, words);
}

/* What is wrong with the next token where something else is wanted. */
static bool refuse_for(struct parser *parser, const char *rule)
{
    if (is_attribute(parser->token))
        return refuse_next(parser, "attributes are not taken: members lie where the compiler puts them without any");
    if (next_is(parser, "#"))
        return refuse_next(parser, "there is no preprocessor here; write what it would make of this");
    return refuse_next(parser, rule);
}

/* ---- what has a name ---- */

static struct usdt_struct *find_struct(const struct usdt_types *types, struct token tag)
{
    struct usdt_struct *found = types->structs;
    while (found != NULL && (found->tag == NULL || !is(tag, found->tag)))
        found = found->next;
    return found;
}

static struct usdt_enum *find_enum(const struct usdt_types *types, struct token tag)
{
    struct usdt_enum *found = types->enums;
    while (found != NULL && (found->tag == NULL || !is(tag, found->tag)))
        found = found->next;
    return found;
}

static const struct usdt_constant *find_constant(const struct usdt_types *types, struct token name)
{
    for (const struct usdt_enum *of = types->enums; of != NULL; of = of->next)
        for (const struct usdt_constant *constant = of->constants; constant != NULL; constant = constant->next)
            if (is(name, constant->name))
                return constant;
    return NULL;
}

static const struct usdt_alias *find_alias(const struct usdt_types *types, struct token name)
{
    const struct usdt_alias *alias = types->aliases;
    while (alias != NULL && !is(name, alias->name))
        alias = alias->next;
    return alias;
}

/* Members of a structure without a name are its structure's. */
static bool has_member(const struct usdt_struct *in, struct token name)
{
    for (const struct usdt_field *field = in->fields; field != NULL; field = field->next)
        if (field->name != NULL ? is(name, field->name) : has_member(field->type.of, name))
            return true;
    return false;
}

static bool shares_member(const struct usdt_struct *in, const struct usdt_struct *with)
{
    for (const struct usdt_field *field = with->fields; field != NULL; field = field->next)
        if (field->name != NULL ? has_member(in, (struct token){ WORD, field->name, strlen(field->name) })
                                : shares_member(in, field->type.of))
            return true;
    return false;
}

static bool takes_name(struct parser *parser, const char *rule)
{
    if (parser->token.kind != WORD)
        return refuse_for(parser, rule);
    if (is_keyword(parser->token) || is_attribute(parser->token))
        return refuse_for(parser, "is a word of C's own; choose another name");
    return true;
}

/* Types and constants are of one kind of names in C. */
static bool is_new_name(struct parser *parser, struct token name)
{
    if (find_alias(parser->types, name) != NULL)
        return refuse(parser, name, "is the name of a type already; describe it once");
    if (find_constant(parser->types, name) != NULL)
        return refuse(parser, name, "is the name of a constant already; describe it once");
    return true;
}

/* ---- numbers ---- */

/* A number, or the name of a constant; with a sign, if that is allowed. */
static bool read_constant(struct parser *parser, bool may_be_negative, int64_t *value)
{
    static const char rule[] = "is no constant; write a number, or a constant of an enum (there are no expressions)";
    bool negative = may_be_negative && accept(parser, "-");
    struct token token = parser->token;
    const struct usdt_constant *constant = token.kind == WORD ? find_constant(parser->types, token) : NULL;
    if (constant != NULL) {
        *value = negative ? -constant->value : constant->value;
        return next(parser);
    }
    if (token.kind != NUMBER)
        return refuse_for(parser, rule);
    bool hex = token.len > 2 && token.at[0] == '0' && (token.at[1] == 'x' || token.at[1] == 'X');
    unsigned base = hex ? 16 : token.at[0] == '0' ? 8 : 10;
    const char *at = token.at + (hex ? 2 : 0), *end = token.at + token.len;
    while (end - at > 1 && (end[-1] == 'u' || end[-1] == 'U' || end[-1] == 'l' || end[-1] == 'L'))
        end--;
    for (*value = 0; at < end; at++) {
        unsigned digit = is_digit(*at) ? (unsigned)(*at - '0') : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a' + 10)
                         : *at >= 'A' && *at <= 'F' ? (unsigned)(*at - 'A' + 10) : 16;
        if (digit >= base)
            return refuse_next(parser, "is no number; write a decimal, octal or hexadecimal one");
        *value = *value * (int)base + (int)digit;
        if (*value > UINT32_MAX)
            return refuse_next(parser, "is too large; at most 4294967295 is allowed");
    }
    *value = negative ? -*value : *value;
    return next(parser);
}

/* ---- types ---- */

static unsigned align_of(const struct parser *parser, unsigned size)
{
    return size == 8 ? parser->machine->align8 : size;
}

static struct usdt_type number_type(const struct parser *parser, enum usdt_kind kind, unsigned size)
{
    return (struct usdt_type){ .kind = kind, .size = size, .align = align_of(parser, size) };
}

static struct usdt_type pointer_to(const struct parser *parser, struct usdt_type type)
{
    unsigned word = parser->machine->word;
    return (struct usdt_type){ .kind = type.kind == USDT_KIND_CHAR ? USDT_KIND_STRING : USDT_KIND_POINTER, .size = word,
                               .align = word, .of = type.kind == USDT_KIND_STRUCT ? type.of : NULL };
}

static bool read_enum(struct parser *parser, struct usdt_type *type);
static bool read_struct(struct parser *parser, bool is_union, struct usdt_type *type, bool *is_anonymous);

static const char no_type[] = "begins words that are no type of C together";

/* The words of an arithmetic type, and how often each is there. */
struct words {
    unsigned chars, shorts, ints, longs, is_signed, is_unsigned;
};

static unsigned *word_of(struct words *words, struct token token)
{
    return is(token, "char") ? &words->chars : is(token, "short") ? &words->shorts : is(token, "int") ? &words->ints
           : is(token, "long") ? &words->longs : is(token, "signed") ? &words->is_signed
           : is(token, "unsigned") ? &words->is_unsigned : NULL;
}

static bool read_words(struct parser *parser, struct usdt_type *type)
{
    struct words words = { 0 };
    struct token first = parser->token;
    unsigned *word;
    for (; skip_qualifiers(parser, false) && (word = word_of(&words, parser->token)) != NULL; next(parser))
        ++*word;
    unsigned widths = words.chars + words.shorts + (words.longs > 0);
    if (words.longs > 0 && next_is(parser, "double"))
        return refuse_next(parser, "long double is not known here; describe it as char [16]");
    if (words.chars > 1 || words.shorts > 1 || words.ints > 1 || words.longs > 2 || widths > 1 ||
        words.is_signed + words.is_unsigned > 1 || (words.chars > 0 && words.ints > 0))
        return refuse(parser, first, no_type);
    unsigned size = words.chars > 0 ? 1 : words.shorts > 0 ? 2 : words.longs == 0 ? 4 : words.longs == 2 ? 8
                    : parser->machine->word;
    bool is_plain = words.is_signed + words.is_unsigned == 0;
    *type = number_type(parser, words.is_unsigned ? USDT_KIND_UNSIGNED
                                : words.chars > 0 && is_plain ? USDT_KIND_CHAR : USDT_KIND_SIGNED, size);
    return !parser->failed;
}

/* One of the types that a word names. */
static bool read_named(struct parser *parser, struct usdt_type *type)
{
    struct token token = parser->token;
    const struct usdt_alias *alias = find_alias(parser->types, token);
    int size = usdt_named_size(token.at, token.len, parser->machine->word, parser->machine->char_signed);
    if (alias != NULL) {
        *type = alias->type;
        if (type->kind == USDT_KIND_STRUCT) /* which may have been described since */
            type->size = type->of->size, type->align = type->of->align;
    } else if (is(token, "void"))
        *type = (struct usdt_type){ .kind = USDT_KIND_VOID };
    else if (is(token, "bool") || is(token, "_Bool"))
        *type = number_type(parser, USDT_KIND_BOOL, 1);
    else if (is(token, "float") || is(token, "double"))
        *type = number_type(parser, USDT_KIND_FLOAT, is(token, "float") ? 4 : 8);
    else if (size != 0)
        *type = size < 0 ? number_type(parser, USDT_KIND_SIGNED, (unsigned)-size)
                         : number_type(parser, USDT_KIND_UNSIGNED, (unsigned)size);
    else if (token.kind != WORD)
        return refuse_for(parser, "is where a type is wanted");
    else if (is_keyword(token))
        return refuse_for(parser, "is no type, and no part of one here");
    else
        return refuse_for(parser, "is no type that is known here; describe it before, or point to it as void *");
    return next(parser);
}

static bool is_type_word(struct token token)
{
    static const char *const words[] = { "char", "short", "int", "long", "signed", "unsigned", "float", "double",
                                         "void", "bool", "_Bool", "_Complex", "struct", "union", "enum" };
    return IS_ONE_OF(token, words);
}

/* What a declaration begins with. *is_anonymous: a structure without a name, with its members. */
static bool read_type(struct parser *parser, struct usdt_type *type, bool *is_anonymous)
{
    struct words none = { 0 };
    *type = (struct usdt_type){ .kind = USDT_KIND_VOID };
    *is_anonymous = false;
    if (!skip_qualifiers(parser, false))
        return false;
    struct token first = parser->token;
    bool done;
    if (next_is(parser, "struct") || next_is(parser, "union"))
        done = read_struct(parser, next_is(parser, "union"), type, is_anonymous);
    else if (next_is(parser, "enum"))
        done = read_enum(parser, type);
    else if (word_of(&none, parser->token) != NULL)
        done = read_words(parser, type);
    else
        done = read_named(parser, type);
    if (!done || !skip_qualifiers(parser, false))
        return false;
    return !is_type_word(parser->token) || type->kind == USDT_KIND_STRUCT || type->kind == USDT_KIND_ENUM ||
           refuse(parser, first, no_type);
}

static bool add_constant(struct parser *parser, struct usdt_enum *to, struct usdt_constant ***last, int64_t *value)
{
    struct token name = parser->token;
    if (!takes_name(parser, "is where the name of a constant is wanted") || !is_new_name(parser, name) || !next(parser))
        return false;
    if (accept(parser, "=") && !read_constant(parser, true, value))
        return false;
    to->has_negative |= *value < 0;
    to->has_large |= *value > INT32_MAX;
    if (*value < INT32_MIN || *value > UINT32_MAX || (to->has_negative && to->has_large))
        return refuse(parser, name, "makes the enum wider than an int; its constants must fit into an int, or an "
                                    "unsigned one");
    struct usdt_constant *constant = new_node(parser, sizeof *constant);
    if (constant == NULL || (constant->name = copy_of(parser, name)) == NULL)
        return false;
    constant->value = (*value)++;
    **last = constant;
    *last = &constant->next;
    return !parser->failed;
}

static bool read_enum(struct parser *parser, struct usdt_type *type)
{
    next(parser);
    struct token tag = parser->token;
    bool has_tag = tag.kind == WORD;
    if (has_tag && (!takes_name(parser, "") || !next(parser)))
        return false;
    if (has_tag && find_struct(parser->types, tag) != NULL)
        return refuse(parser, tag, "is the name of a structure or union already; describe it once");
    struct usdt_enum *found = has_tag ? find_enum(parser->types, tag) : NULL;
    if (!next_is(parser, "{")) {
        if (!has_tag)
            return refuse_for(parser, "is where the name of an enum, or a {, is wanted");
        if (found == NULL)
            return refuse(parser, tag, "is an enum that is not described yet; describe it before");
    } else {
        if (found != NULL)
            return refuse(parser, tag, "is described already; describe it once, or add the very same text again");
        found = new_node(parser, sizeof *found);
        if (found == NULL || (has_tag && (found->tag = copy_of(parser, tag)) == NULL))
            return false;
        struct usdt_enum **end = &parser->types->enums; /* in their order */
        while (*end != NULL)
            end = &(*end)->next;
        *end = found;
        struct usdt_constant **last = &found->constants;
        int64_t value = 0;
        next(parser);
        do {
            if (!add_constant(parser, found, &last, &value))
                return false;
        } while (accept(parser, ",") && !next_is(parser, "}"));
        if (!expect(parser, "}", "is where a comma or the enum's } is wanted"))
            return false;
    }
    *type = number_type(parser, USDT_KIND_ENUM, 4);
    type->constants = found;
    return !parser->failed;
}

/* ---- members ---- */

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

/* Where the next member is. A bit-field lies where the one before it ends, unless it would cross the border of a
   unit of its type. */
static bool place(struct parser *parser, struct usdt_struct *in, struct usdt_field *field, struct token name)
{
    uint64_t size = 8 * (uint64_t)field->type.size * usdt_field_elements(field);
    uint64_t align = 8 * (uint64_t)field->type.align, at = in->is_union ? 0 : in->used;
    if (field->is_flexible)
        size = 0;
    if (field->bits == 0 || (at % align + field->bits + align - 1) / align > size / align)
        at = round_up(at, align);
    field->offset = (unsigned)(at / 8);
    field->bit = (unsigned)(at % 8);
    uint64_t end = at + (field->bits > 0 ? field->bits : size);
    if (end > 8 * (uint64_t)STRUCT_MAX)
        return refuse(parser, name, "makes the structure larger than 1048576 bytes, which is the most");
    in->used = end > in->used ? end : in->used;
    in->align = field->type.align > in->align ? field->type.align : in->align;
    return true;
}

static bool add_field(struct parser *parser, struct usdt_struct *in, const struct usdt_field *given, struct token name)
{
    const struct usdt_field *last = in->last;
    if (last != NULL && last->is_flexible)
        return refuse(parser, name, "follows an array without a size; that must be the last member");
    if (given->is_flexible && (in->is_union || last == NULL))
        return refuse(parser, name, "is an array without a size; it must be the last member of a structure that has "
                                    "others");
    in->members += given->type.kind == USDT_KIND_STRUCT ? given->type.of->members : 1;
    if (in->members > MEMBERS_MAX) /* structures in structures are soon more than anybody can print */
        return refuse(parser, name, "makes the members more than 10000, with those of members, which are the most");
    struct usdt_field *field = new_node(parser, sizeof *field);
    if (field == NULL)
        return false;
    *field = *given;
    if (!place(parser, in, field, name))
        return false;
    if (in->last == NULL)
        in->fields = field;
    else
        in->last->next = field;
    in->last = field;
    return true;
}

static bool read_sizes(struct parser *parser, struct usdt_field *field)
{
    while (accept(parser, "[")) {
        struct token token = parser->token;
        int64_t size = 0;
        if (field->is_flexible)
            return refuse(parser, token, "follows a dimension without a size; only the first may have none, and then "
                                         "there is no other");
        if (field->dims == USDT_DIMS_MAX)
            return refuse(parser, token, "begins a fifth dimension; at most 4 are allowed");
        if (accept(parser, "]")) {
            if (field->dims > 0)
                return refuse(parser, token, "leaves a dimension without a size; give it one");
            field->is_flexible = true;
            continue;
        }
        if (!read_constant(parser, false, &size))
            return false;
        if (size <= 0 || size > STRUCT_MAX || usdt_field_elements(field) * (uint64_t)size > STRUCT_MAX)
            return refuse(parser, token, size <= 0 ? "is no size of an array; for one without a size write []"
                                                   : "makes the array too large; 1048576 bytes are the most");
        field->dim[field->dims++] = (unsigned)size;
        if (!expect(parser, "]", "is where the array's ] is wanted; there are no expressions"))
            return false;
    }
    return !parser->failed;
}

/* What a function takes does not matter: to its closing bracket. */
static bool skip_parameters(struct parser *parser)
{
    struct token open = parser->token;
    unsigned depth = 0;
    do {
        if (parser->token.kind == OTHER && strchr("()[]*,.", parser->token.at[0]) == NULL)
            return refuse_next(parser, "is nothing that a function's parameters have");
        if (parser->token.kind == END)
            return refuse(parser, open, "has no ) that belongs to it");
        depth += next_is(parser, "(");
        depth -= next_is(parser, ")");
    } while (next(parser) && depth > 0);
    return !parser->failed;
}

/* Stars, the name, sizes; "(*name)(int)" and "(*name)[4]" are pointers to something that is not followed. */
static bool read_declarator(struct parser *parser, struct usdt_field *field, struct token *name)
{
    while (accept(parser, "*")) {
        field->type = pointer_to(parser, field->type);
        if (!skip_qualifiers(parser, true))
            return false;
    }
    bool is_bracketed = accept(parser, "(");
    if (is_bracketed) {
        if (!expect(parser, "*", "is where the * of a pointer to a function is wanted") ||
            !skip_qualifiers(parser, true))
            return false;
        field->type = pointer_to(parser, (struct usdt_type){ .kind = USDT_KIND_VOID });
    }
    *name = parser->token;
    if (!takes_name(parser, "is where a name is wanted") || !next(parser) || !read_sizes(parser, field))
        return false;
    if (!is_bracketed)
        return !next_is(parser, "(") ||
               refuse_next(parser, "begins a function, which is no member; a pointer to one is (*name)()");
    if (!expect(parser, ")", "is where the ) behind the name is wanted"))
        return false;
    if (next_is(parser, "("))
        return skip_parameters(parser);
    struct usdt_field pointed = { .dims = 0 };
    if (!next_is(parser, "["))
        return refuse_next(parser, "is where the parameters of a function, or the size of an array, are wanted");
    return read_sizes(parser, &pointed);
}

/* Whether a thing of this type can be a part of another. */
static bool has_size(struct parser *parser, const struct usdt_type *type, struct token name)
{
    if (type->kind == USDT_KIND_VOID)
        return refuse(parser, name, "is void, which has no size; void * is a pointer");
    if (type->kind != USDT_KIND_STRUCT)
        return true;
    if (type->of->is_open)
        return refuse(parser, name, "has the type of the structure that it is in; point to it");
    if (!type->of->is_described)
        return refuse(parser, name, "has a type that is not described yet; describe it before, or point to it");
    if (type->of->last->is_flexible)
        return refuse(parser, name, "ends with an array without a size; such a structure is no member of another");
    return true;
}

static bool read_bits(struct parser *parser, struct usdt_field *field, struct token name)
{
    struct token token = parser->token;
    int64_t bits = 0;
    enum usdt_kind kind = field->type.kind;
    if (field->dims > 0 || field->is_flexible || kind == USDT_KIND_FLOAT || kind == USDT_KIND_POINTER ||
        kind == USDT_KIND_STRING || kind == USDT_KIND_STRUCT || kind == USDT_KIND_VOID)
        return refuse(parser, name, "cannot be a bit-field; only an integer can");
    if (!read_constant(parser, false, &bits))
        return false;
    unsigned most = kind == USDT_KIND_BOOL ? 1 : 8 * field->type.size;
    if (bits <= 0 || bits > most)
        return refuse(parser, token, "is no width of this bit-field; 1 to the bits of its type are");
    field->bits = (unsigned)bits;
    return true;
}

static bool read_member(struct parser *parser, struct usdt_struct *in)
{
    struct usdt_type type;
    struct token first = parser->token, name;
    bool is_anonymous;
    if (!read_type(parser, &type, &is_anonymous))
        return false;
    if (next_is(parser, ";")) {
        if (!is_anonymous)
            return refuse(parser, first, "begins a member that has no name");
        if (shares_member(in, type.of))
            return refuse(parser, first, "begins members of which one has a name that is here already");
        if (!has_size(parser, &type, first) || !add_field(parser, in, &(struct usdt_field){ .type = type }, first))
            return false;
        return next(parser);
    }
    do {
        struct usdt_field field = { .type = type };
        if (next_is(parser, ":"))
            return refuse_next(parser, "begins a bit-field without a name; give it one");
        if (!read_declarator(parser, &field, &name))
            return false;
        if (has_member(in, name))
            return refuse(parser, name, "is the name of a member already; choose another");
        if ((accept(parser, ":") && !read_bits(parser, &field, name)) || !has_size(parser, &field.type, name) ||
            (field.name = copy_of(parser, name)) == NULL || !add_field(parser, in, &field, name))
            return false;
    } while (accept(parser, ","));
    if (is_attribute(parser->token) || next_is(parser, "#"))
        return refuse_for(parser, "");
    return expect(parser, ";", "is where the ; behind a member is wanted");
}

static bool read_members(struct parser *parser, struct usdt_struct *in)
{
    if (++parser->depth > DEPTH_MAX)
        return refuse_next(parser, "opens a structure in 16 others, which are the most");
    in->is_open = true;
    in->align = 1;
    next(parser);
    if (next_is(parser, "}"))
        return refuse_next(parser, "ends a structure without a member; it must have one");
    while (!next_is(parser, "}")) {
        if (parser->token.kind == END)
            return refuse_next(parser, "comes before the } of a structure");
        if (!read_member(parser, in))
            return false;
    }
    in->is_open = false;
    in->is_described = true;
    in->size = (unsigned)(round_up(in->used, 8 * (uint64_t)in->align) / 8);
    parser->depth--;
    return next(parser);
}

static struct usdt_struct *new_struct(struct parser *parser, struct token tag, bool is_union)
{
    struct usdt_struct *made = new_node(parser, sizeof *made);
    if (made == NULL || (tag.kind == WORD && (made->tag = copy_of(parser, tag)) == NULL))
        return NULL;
    made->is_union = is_union;
    made->next = parser->types->structs;
    return parser->types->structs = made;
}

static bool read_struct(struct parser *parser, bool is_union, struct usdt_type *type, bool *is_anonymous)
{
    next(parser);
    struct token tag = parser->token;
    bool has_tag = tag.kind == WORD;
    if (has_tag && (!takes_name(parser, "") || !next(parser)))
        return false;
    bool has_members = next_is(parser, "{");
    if (!has_tag && !has_members)
        return refuse_for(parser, "is where the name of a structure, or a {, is wanted");
    if (has_tag && find_enum(parser->types, tag) != NULL)
        return refuse(parser, tag, "is the name of an enum already; describe it once");
    struct usdt_struct *found = has_tag ? find_struct(parser->types, tag) : NULL;
    if (found != NULL && found->is_union != is_union)
        return refuse(parser, tag, found->is_union ? "is a union elsewhere; write union"
                                                   : "is a struct elsewhere; write struct");
    if (found != NULL && has_members && (found->is_described || found->is_open))
        return refuse(parser, tag, "is described already; describe it once, or add the very same text again");
    if (found == NULL && (found = new_struct(parser, tag, is_union)) == NULL)
        return false;
    if (has_members && !read_members(parser, found))
        return false;
    *is_anonymous = has_members && !has_tag;
    *type = (struct usdt_type){ .kind = USDT_KIND_STRUCT, .size = found->size, .align = found->align, .of = found };
    return !parser->failed;
}

/* ---- declarations ---- */

static bool read_typedef(struct parser *parser)
{
    struct usdt_field field = { .dims = 0 };
    struct token name;
    bool is_anonymous;
    next(parser);
    if (!read_type(parser, &field.type, &is_anonymous) || !read_declarator(parser, &field, &name) ||
        !is_new_name(parser, name))
        return false;
    if (field.dims > 0 || field.is_flexible)
        return refuse(parser, name, "is an array; a typedef names no array here");
    if (usdt_named_size(name.at, name.len, 8, true) != 0)
        return refuse(parser, name, "is the name of a type already; describe it once");
    struct usdt_alias *alias = new_node(parser, sizeof *alias);
    if (alias == NULL || (alias->name = copy_of(parser, name)) == NULL)
        return false;
    alias->type = field.type;
    alias->next = parser->types->aliases;
    parser->types->aliases = alias;
    return expect(parser, ";", "is where the ; behind a typedef is wanted");
}

static bool read_declaration(struct parser *parser)
{
    struct usdt_type type;
    bool is_anonymous;
    if (next_is(parser, "typedef"))
        return read_typedef(parser);
    if (!next_is(parser, "struct") && !next_is(parser, "union") && !next_is(parser, "enum"))
        return refuse_for(parser, "begins no description; struct, union, enum and typedef do");
    struct token first = parser->token;
    if (!read_type(parser, &type, &is_anonymous))
        return false;
    if (is_anonymous && next_is(parser, ";"))
        return refuse(parser, first, "begins a structure that has no name; give it one");
    if (is_attribute(parser->token))
        return refuse_for(parser, "");
    return expect(parser, ";", "is where the ; behind a description is wanted");
}

bool usdt_types_parse(struct usdt_types *types, const char *text, size_t len, size_t from,
                      const struct usdt_machine *machine, char why[USDT_WHY_MAX])
{
    struct parser parser = { .types = types, .machine = machine, .from = text + from, .end = text + len, .at = text,
                             .why = why };
    *types = (struct usdt_types){ 0 };
    why[0] = '\0';
    if (len > USDT_TYPES_MAX)
        snprintf(why, USDT_WHY_MAX, "descriptions of %zu bytes: at most %d of a provider are allowed", len,
                 USDT_TYPES_MAX);
    parser.failed = len > USDT_TYPES_MAX;
    for (size_t i = from; i < len && !parser.failed; i++)
        if ((text[i] < ' ' || text[i] > '~') && !is_blank(text[i])) {
            char what[20];
            snprintf(what, sizeof what, "byte 0x%02x", (unsigned char)text[i]);
            refuse_at(&parser, text + i, what, "only printable ASCII, tabs and newlines are allowed");
        }
    if (!parser.failed)
        for (next(&parser); !parser.failed && parser.token.kind != END;)
            read_declaration(&parser);
    if (parser.failed)
        usdt_types_free(types);
    return !parser.failed;
}
