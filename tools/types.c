/*
 * types.c - the structures that a file describes (.usdt.types): the library's parser reads them, for the file's
 * machine. What does not parse is as if it were not there.
 */
#include "usdt_internal.h"
#include "tool.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

void types_read(struct elf_file *file, const char *text, size_t size)
{
    const struct usdt_machine machine = { .word = file->wide ? 8 : 4, .align8 = file->machine == EM_386 ? 4 : 8,
                                          .char_signed = file->machine != EM_AARCH64 };
    char why[USDT_WHY_MAX];
    file->types = tool_calloc(1, sizeof *file->types);
    if (size == 0 || text[size - 1] != '\0' || !usdt_types_parse(file->types, text, size, 0, &machine, why)) {
        free(file->types);
        file->types = NULL;
        return;
    }
    file->descriptions = tool_calloc(1, size);
    memcpy(file->descriptions, text, size);
    for (size_t i = 0; i + 1 < size; i++)
        file->descriptions[i] = text[i] == '\0' ? '\n' : text[i];
}

void types_free(struct elf_file *file)
{
    if (file->types != NULL)
        usdt_types_free(file->types);
    free(file->types);
    free(file->descriptions);
}

/* The next word of a type, and moves *at behind it. */
static size_t next_word(const char **at, const char **word)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    *word = *at + strspn(*at, " \t");
    size_t len = strspn(*word, letters);
    *at = *word + len;
    return len;
}

static bool is_word(const char *word, size_t len, const char *other)
{
    return strlen(other) == len && memcmp(word, other, len) == 0;
}

const struct usdt_struct *types_pointee(const struct elf_file *file, const char *type)
{
    const char *at = type, *word, *name = NULL;
    bool has_keyword = false, is_union = false;
    size_t name_len = 0;
    if (file->types == NULL || type == NULL)
        return NULL;
    for (size_t len; (len = next_word(&at, &word)) > 0;) {
        if (is_word(word, len, "const") || is_word(word, len, "volatile"))
            continue;
        if (name != NULL)
            return NULL;
        if (!has_keyword && (is_word(word, len, "struct") || is_word(word, len, "union")))
            has_keyword = true, is_union = word[0] == 'u';
        else
            name = word, name_len = len;
    }
    if (name == NULL || *at++ != '*')
        return NULL;
    for (size_t len; (len = next_word(&at, &word)) > 0;)
        if (!is_word(word, len, "const") && !is_word(word, len, "volatile") && !is_word(word, len, "restrict"))
            return NULL;
    const struct usdt_struct *found = NULL;
    for (const struct usdt_struct *of = file->types->structs; has_keyword && of != NULL; of = of->next)
        if (of->tag != NULL && is_word(name, name_len, of->tag) && of->is_union == is_union)
            found = of;
    for (const struct usdt_alias *alias = file->types->aliases; !has_keyword && alias != NULL; alias = alias->next)
        if (is_word(name, name_len, alias->name) && alias->type.kind == USDT_KIND_STRUCT)
            found = alias->type.of;
    return *at == '\0' && found != NULL && found->is_described ? found : NULL;
}

/* ---- as text ---- */

/*
 * A structure without a tag has the name of its typedef; "" if there is none either. To be freed. A bpftrace that knows
 * the kernel's types takes "struct req" for the kernel's, and refuses another: so names begin with usdt_ here.
 */
static char *tag_of(const struct usdt_types *types, const struct usdt_struct *of)
{
    if (of->tag != NULL)
        return tool_format("usdt_%s", of->tag);
    const struct usdt_alias *alias = types->aliases;
    while (alias != NULL && (alias->type.kind != USDT_KIND_STRUCT || alias->type.of != of))
        alias = alias->next;
    if (alias == NULL)
        return tool_strdup("");
    for (const struct usdt_struct *other = types->structs; other != NULL; other = other->next)
        if (other->tag != NULL && strcmp(other->tag, alias->name) == 0)
            return tool_format("usdt_%s_", alias->name);
    return tool_format("usdt_%s", alias->name);
}

char *types_name(const struct elf_file *file, const struct usdt_struct *of)
{
    char *tag = tag_of(file->types, of), *name = tool_format("%s %s", of->is_union ? "union" : "struct", tag);
    free(tag);
    return name;
}

/* D has words of its own, and no members without a name. */
char *types_member(const struct usdt_struct *of, const struct usdt_field *field, bool for_d)
{
    static const char *const words[] = { "counter", "import", "offsetof", "probe", "provider", "self", "string",
                                         "stringof", "this", "translator", "xlate", "userland" };
    unsigned number = 0;
    for (const struct usdt_field *before = of->fields; before != field; before = before->next)
        number += before->name == NULL;
    if (field->name == NULL)
        return for_d ? tool_format("unnamed%u", number) : tool_strdup("");
    for (size_t i = 0; for_d && i < sizeof words / sizeof words[0]; i++)
        if (strcmp(field->name, words[i]) == 0)
            return tool_format("%s_", field->name);
    return tool_strdup(field->name);
}

struct printer {
    const struct elf_file *file;
    FILE *out;
    bool for_d;
    const struct usdt_struct **structs; /* those that are printed, or will be by who called */
    size_t count;
    const struct usdt_enum **enums;
    size_t enum_count;
};

static void print_fields(struct printer *printer, const struct usdt_struct *of);

/* DTrace 2.0.7 gives an enum no room in a structure: there it is an int. */
static bool has_enum(const struct printer *printer, const struct usdt_enum *of)
{
    return of->tag != NULL && !printer->for_d;
}

/* By C's own words, as wide as in the file's machine. */
static void print_type(struct printer *printer, const struct usdt_type *type)
{
    static const char *const numbers[] = { [1] = "char", [2] = "short", [4] = "int", [8] = "long long" };
    char *name;
    switch (type->kind) {
    case USDT_KIND_UNSIGNED: fprintf(printer->out, "unsigned %s ", numbers[type->size]); break;
    case USDT_KIND_SIGNED: fprintf(printer->out, "%s%s ", type->size == 1 ? "signed " : "", numbers[type->size]); break;
    case USDT_KIND_CHAR: fprintf(printer->out, "char "); break;
    case USDT_KIND_BOOL: fprintf(printer->out, "unsigned char "); break; /* D knows no other */
    case USDT_KIND_FLOAT: fprintf(printer->out, type->size == 4 ? "float " : "double "); break;
    case USDT_KIND_ENUM:
        if (has_enum(printer, type->constants))
            fprintf(printer->out, "enum usdt_%s ", type->constants->tag);
        else
            fprintf(printer->out, type->constants->has_negative ? "int " : "unsigned int ");
        break;
    case USDT_KIND_STRING: fprintf(printer->out, "char *"); break;
    case USDT_KIND_VOID: fprintf(printer->out, "void "); break;
    case USDT_KIND_POINTER:
    case USDT_KIND_STRUCT:
        name = type->of == NULL ? NULL : types_name(printer->file, type->of);
        if (type->kind == USDT_KIND_STRUCT && name[strlen(name) - 1] == ' ') {
            fprintf(printer->out, "%s{ ", name);
            print_fields(printer, type->of);
            fprintf(printer->out, "} ");
        } else if (type->kind == USDT_KIND_POINTER && (name == NULL || name[strlen(name) - 1] == ' ')) {
            fprintf(printer->out, "void *");
        } else {
            fprintf(printer->out, "%s %s", name, type->kind == USDT_KIND_POINTER ? "*" : "");
        }
        free(name);
        break;
    }
}

/* D's bit-fields lie elsewhere than C's, and it has no arrays without a size: for it there are bytes in their place,
   and more of them to say what they do to an alignment. */
static unsigned d_align(const struct usdt_type *type);
static unsigned d_struct_align(const struct usdt_struct *of)
{
    unsigned align = 1;
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next)
        if (field->bits == 0 && !field->is_flexible && d_align(&field->type) > align)
            align = d_align(&field->type);
    return align;
}

static unsigned d_align(const struct usdt_type *type)
{
    return type->kind == USDT_KIND_STRUCT ? d_struct_align(type->of) : type->align;
}

static void print_padding(struct printer *printer, unsigned from, unsigned to, unsigned align)
{
    if ((from + align - 1) / align * align < to)
        fprintf(printer->out, "unsigned char unused%u[%u]; ", from, to - from);
}

static void print_fields(struct printer *printer, const struct usdt_struct *of)
{
    unsigned end = 0, align = d_struct_align(of);
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        if (printer->for_d && (field->bits > 0 || field->is_flexible))
            continue;
        if (printer->for_d && !of->is_union)
            print_padding(printer, end, field->offset, d_align(&field->type));
        char *name = types_member(of, field, printer->for_d);
        print_type(printer, &field->type);
        fprintf(printer->out, "%s", name);
        free(name);
        if (field->is_flexible)
            fprintf(printer->out, "[]");
        for (unsigned i = 0; i < field->dims; i++)
            fprintf(printer->out, "[%u]", field->dim[i]);
        if (field->bits > 0)
            fprintf(printer->out, " : %u", field->bits);
        fprintf(printer->out, "; ");
        unsigned behind = field->offset + field->type.size * (unsigned)usdt_field_elements(field);
        end = behind > end ? behind : end;
    }
    if (printer->for_d)
        print_padding(printer, of->is_union && (end + align - 1) / align * align < of->size ? 0 : end, of->size, align);
}

static void print_enum(struct printer *printer, const struct usdt_enum *of)
{
    for (size_t i = 0; i < printer->enum_count; i++)
        if (printer->enums[i] == of)
            return;
    printer->enums = tool_realloc(printer->enums, (printer->enum_count + 1) * sizeof(struct usdt_enum *));
    printer->enums[printer->enum_count++] = of;
    fprintf(printer->out, "enum usdt_%s { ", of->tag);
    for (const struct usdt_constant *c = of->constants; c != NULL; c = c->next)
        fprintf(printer->out, "%s = %lld%s", c->name, (long long)c->value, c->next != NULL ? ", " : " }; ");
}

static bool has_name(const struct printer *printer, const struct usdt_struct *of)
{
    char *tag = tag_of(printer->file->types, of);
    bool has = tag[0] != '\0';
    free(tag);
    return has;
}

static void print_struct(struct printer *printer, const struct usdt_struct *of);

/* What a structure has comes before it. */
static void print_parts(struct printer *printer, const struct usdt_struct *of)
{
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        const struct usdt_type *type = &field->type;
        if (type->kind == USDT_KIND_ENUM && has_enum(printer, type->constants))
            print_enum(printer, type->constants);
        else if (type->kind == USDT_KIND_STRUCT && has_name(printer, type->of))
            print_struct(printer, type->of);
        else if (type->kind == USDT_KIND_STRUCT)
            print_parts(printer, type->of);
    }
}

static void print_struct(struct printer *printer, const struct usdt_struct *of)
{
    for (size_t i = 0; i < printer->count; i++)
        if (printer->structs[i] == of)
            return;
    printer->structs = tool_realloc(printer->structs, (printer->count + 1) * sizeof(struct usdt_struct *));
    printer->structs[printer->count++] = of;
    print_parts(printer, of);
    char *name = types_name(printer->file, of);
    fprintf(printer->out, "%s { ", name);
    print_fields(printer, of);
    fprintf(printer->out, "}; ");
    free(name);
}

/* What it points to comes behind all others: then nothing is half printed. */
static void print_pointed(struct printer *printer, const struct usdt_struct *of)
{
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        const struct usdt_type *type = &field->type;
        if (type->kind == USDT_KIND_POINTER && type->of != NULL && type->of->is_described &&
            has_name(printer, type->of))
            print_struct(printer, type->of);
        else if (type->kind == USDT_KIND_STRUCT && !has_name(printer, type->of))
            print_pointed(printer, type->of);
    }
}

char *types_definitions(const struct elf_file *file, const struct usdt_struct *const *these, size_t count, bool for_d)
{
    char *text = NULL;
    size_t len = 0;
    struct printer printer = { .file = file, .for_d = for_d, .out = open_memstream(&text, &len) };
    if (printer.out == NULL)
        return tool_strdup("");
    for (size_t i = 0; i < count; i++)
        print_struct(&printer, these[i]);
    for (size_t i = 0; i < printer.count; i++)
        print_pointed(&printer, printer.structs[i]);
    fclose(printer.out);
    free(printer.structs);
    free(printer.enums);
    return text;
}
