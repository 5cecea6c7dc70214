/*
 * fuzz_struct.c - descriptions of structures: any bytes are refused with a place and a reason, or laid out as the ABI
 * says; and what tools/types.c prints of them for the tracers is a description of the same layout.
 *
 * What the ABI says is written here once more: see judge_field().
 */
#include "tools/tool.h"
#include "usdt_internal.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct target {
    struct usdt_machine machine;
    struct elf_file file;
} targets[] = {
    { { 8, 8, true }, { .wide = true, .machine = EM_X86_64 } },
    { { 4, 4, true }, { .wide = false, .machine = EM_386 } },
    { { 8, 8, false }, { .wide = true, .machine = EM_AARCH64 } },
};

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "fuzz_struct: %s\n", what);
    abort();
}

static void need(int holds, const char *what)
{
    if (!holds)
        die(what);
}

/* "description LINE:COLUMN: WHAT: RULE", where the place is one of the text or just behind it. */
static void judge_refusal(const char *why, const char *text, size_t size)
{
    unsigned line, column, lines = 1, length = 0;
    int end = 0;
    for (const char *at = why; *at != '\0'; at++)
        need(*at >= ' ' && *at <= '~', "a message is printable");
    if (sscanf(why, "descriptions of %*u bytes: at most %*u of a provider are allowed%n", &end) == 0 && end > 0) {
        need(size > USDT_TYPES_MAX && why[end] == '\0', "what is too long is refused for that");
        return;
    }
    need(sscanf(why, "description %u:%u: %n", &line, &column, &end) == 2 && end > 0, "a message begins with a place");
    need(strstr(why + end, ": ") != NULL && strlen(why) < USDT_WHY_MAX - 1, "and has a reason, all of it");
    for (size_t i = 0; i < size && lines <= line; i++) {
        length = lines == line && text[i] != '\n' ? length + 1 : lines == line ? length : 0;
        lines += text[i] == '\n';
    }
    need(line >= 1 && line <= lines && column >= 1 && column <= length + 1, "the place is in the text");
}

/* Whether it is about a size, of which a long and a pointer have another elsewhere. */
static bool depends(const char *why)
{
    return strstr(why, "1048576") != NULL || strstr(why, "is no width of this bit-field") != NULL;
}

static uint64_t up(uint64_t value, uint64_t to)
{
    return value % to == 0 ? value : value + to - value % to;
}

static void judge_type(const struct target *target, const struct usdt_type *type)
{
    unsigned word = target->machine.word, size = type->size;
    bool is_pointer = type->kind == USDT_KIND_POINTER || type->kind == USDT_KIND_STRING;
    need(type->kind != USDT_KIND_VOID, "no member is void");
    need(!is_pointer || (size == word && type->align == word), "a pointer is a word");
    need((type->kind == USDT_KIND_STRUCT || type->of == NULL || type->kind == USDT_KIND_POINTER) &&
             (type->kind == USDT_KIND_ENUM) == (type->constants != NULL),
         "a type has what belongs to its kind");
    if (type->kind == USDT_KIND_STRUCT)
        need(type->of->is_described && type->of->size == size && type->of->align == type->align && size > 0,
             "a structure's size is that of its type");
    else
        need((size == 1 || size == 2 || size == 4 || size == 8) &&
                 type->align == (size == 8 && word == 4 ? 4 : size), "a number is aligned to its size, on i386 to 4");
    need(type->kind != USDT_KIND_FLOAT || size >= 4, "a float has 4 bytes or 8");
}

/* System V ABI and AAPCS64: a member begins at the next multiple of its alignment; a bit-field at the next bit, but if
   it would then reach over more units of its alignment than its type has, at the next multiple. */
static uint64_t judge_field(const struct usdt_struct *in, const struct usdt_field *field, uint64_t end)
{
    uint64_t align = 8 * (uint64_t)field->type.align, size = 8 * (uint64_t)field->type.size, elements = 1;
    uint64_t at = 8 * (uint64_t)field->offset + field->bit, from = in->is_union ? 0 : end;
    for (unsigned i = 0; i < field->dims; i++)
        elements *= field->dim[i];
    if (field->bits == 0) {
        need(field->bit == 0 && at == up(from, align), "a member lies where the one before ends, aligned");
        return at + (field->is_flexible ? 0 : size * elements);
    }
    need(field->bits <= size && elements == 1 && field->bit < 8, "a bit-field is no wider than its type");
    uint64_t last = from + field->bits - 1;
    bool fits = last / align - from / align < size / align;
    need(at == (fits ? from : up(from, align)), "a bit-field lies at the next bit, or in the next unit");
    return at + field->bits;
}

static void judge_struct(const struct target *target, const struct usdt_struct *of)
{
    uint64_t end = 0, most = 0, align = 1;
    need(of->fields != NULL && of->size <= 1 << 20, "a structure has members, and a size");
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        judge_type(target, &field->type);
        end = judge_field(of, field, end);
        most = end > most ? end : most;
        align = field->type.align > align ? field->type.align : align;
        need(!field->is_flexible || (field->next == NULL && field != of->fields), "what has no size is the last");
        need(field->name != NULL || field->type.kind == USDT_KIND_STRUCT, "only a structure has no name");
        for (const struct usdt_field *other = of->fields; other != field; other = other->next)
            need(field->name == NULL || other->name == NULL || strcmp(field->name, other->name) != 0,
                 "no two members have one name");
    }
    need(of->align == align && of->size == up(most, 8 * align) / 8,
         "a structure's alignment is the most of its members', its size a multiple of that");
}

static const struct usdt_struct *find(const struct usdt_types *types, const char *tag)
{
    const struct usdt_struct *of = types->structs;
    while (of != NULL && (of->tag == NULL || strcmp(of->tag, tag) != 0))
        of = of->next;
    return of;
}

static void judge_same(const struct usdt_struct *of, const struct usdt_struct *again, bool for_d)
{
    need(again != NULL && again->is_described && again->size == of->size && again->is_union == of->is_union,
         "what is printed has the same size");
    const struct usdt_field *other = again->fields;
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        if (for_d && (field->bits > 0 || field->is_flexible))
            continue;
        while (for_d && other != NULL && other->name != NULL && strncmp(other->name, "unused", 6) == 0 &&
               (field->name == NULL || strcmp(field->name, other->name) != 0))
            other = other->next;
        if (other == NULL)
            die("and each member");
        need(other->offset == field->offset && other->bit == field->bit && other->bits == field->bits &&
                 other->type.size == field->type.size, "and the same members");
        other = other->next;
    }
}

static void judge_printed(const struct target *target, struct usdt_types *types, const struct usdt_struct *of,
                          bool for_d)
{
    struct elf_file file = target->file;
    file.types = types;
    struct usdt_types again;
    char why[USDT_WHY_MAX], *name = types_name(&file, of), *text = types_definitions(&file, &of, 1, for_d);
    bool done = usdt_types_parse(&again, text, strlen(text), 0, &target->machine, why);
    /* It may be longer than what was given; D's names for what has none may be taken. */
    if (!done && strncmp(why, "descriptions of ", 16) != 0 &&
        (!for_d || strstr(why, "is the name of a member") == NULL)) {
        fprintf(stderr, "%s\n%s\n", text, why);
        need(0, "what is printed is a description");
    }
    if (done) {
        judge_same(of, find(&again, strchr(name, ' ') + 1), for_d);
        usdt_types_free(&again);
    }
    free(name);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char first[USDT_WHY_MAX] = "", why[USDT_WHY_MAX];
    /* Nothing lies behind it: a sanitizer sees each byte that is read too many. */
    char *text = tool_calloc(size, 1);
    memcpy(text, data, size);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct usdt_types types;
        bool taken = usdt_types_parse(&types, text, size, 0, &targets[i].machine, why);
        need(taken == (why[0] == '\0'), "what is refused has a reason");
        need(i == 0 || strcmp(why, first) == 0 || depends(why) || depends(first),
             "only what is too large for one machine may be right for another");
        if (i == 0)
            strcpy(first, why);
        if (!taken) {
            judge_refusal(why, text, size);
            need(types.structs == NULL && types.nodes == NULL, "what is refused leaves nothing");
            continue;
        }
        unsigned printed = 0;
        for (const struct usdt_struct *of = types.structs; of != NULL; of = of->next) {
            if (!of->is_described)
                continue;
            judge_struct(&targets[i], of);
            if (of->tag != NULL && printed++ < 3) {
                judge_printed(&targets[i], &types, of, false);
                judge_printed(&targets[i], &types, of, true);
            }
        }
        usdt_types_free(&types);
    }
    free(text);
    return 0;
}
