/*
 * value.c - the arguments of a hit: what the kernel's tracer is to fetch of them, and how that is printed.
 *
 * The memory of a structure is fetched as it is, in one piece, and the members are read from that; only what it points
 * to, strings and other structures, is fetched by itself. All is read by the kernel at the hit: later it may have
 * changed.
 *
 * A structure is walked twice, for the plan and for printing, in the same order: what is fetched of it is numbered so.
 */
#include "usdt_internal.h"
#include "tool.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel takes 128 of them of an event, in a line of 4096 bytes, arrays of up to 64 elements (trace_probe.h:
   MAX_TRACE_ARGS, trace.c: WRITE_BUFSIZE, MAX_ARRAY_LEN), and prints a page. */
enum {
    MOST_FETCHES = 120, MOST_TEXT = 3500, MOST_BYTES = 1280, /* of all structures of an event */
    PIECE = 512,     /* of one structure */
    MOST_LEVELS = 2, /* what a structure points to is followed, what that points to is not */
    MOST_ELEMENTS = 16,
};
enum { NOT_FETCHED = -1 };

struct view {
    enum { AS_IT_IS, REAL, STRUCTURE, NOTHING } kind;
    unsigned bytes;               /* of a REAL */
    const struct usdt_struct *of; /* of a STRUCTURE */
    int fetch;
};

struct value_plan {
    const struct elf_file *file;
    struct view views[64];
    size_t views_count;
    char *numbers[MOST_FETCHES], *strings[MOST_FETCHES]; /* expressions: numbers are printed before strings, so that */
    size_t number_count, string_count;                   /* no string is taken for one */
    int *slots; /* of what structures point to, in the order of the walk */
    size_t slot_count;
    size_t text, bytes; /* so far */
    char *fetches;
};

/* ---- the plan ---- */

/* Strings are numbered from MOST_FETCHES on. */
static int add_fetch(struct value_plan *plan, bool is_string, char *expression)
{
    size_t len = strlen(expression) + sizeof " a119=" - 1;
    if (plan->number_count + plan->string_count >= MOST_FETCHES || plan->text + len > MOST_TEXT) {
        free(expression);
        return NOT_FETCHED;
    }
    plan->text += len;
    if (is_string) {
        plan->strings[plan->string_count] = expression;
        return MOST_FETCHES + (int)plan->string_count++;
    }
    plan->numbers[plan->number_count] = expression;
    return (int)plan->number_count++;
}

static void add_slot(struct value_plan *plan, int fetch)
{
    size_t count = plan->slot_count++;
    if ((count & (count - 1)) == 0)
        plan->slots = tool_realloc(plan->slots, (count == 0 ? 1 : 2 * count) * sizeof *plan->slots);
    plan->slots[count] = fetch;
}

/* So many bytes of a structure are fetched, by two fetches at most. */
static size_t piece_of(const struct usdt_struct *of)
{
    return of->size < PIECE ? of->size : PIECE;
}

static bool is_followed(const struct usdt_type *type, unsigned level)
{
    return type->kind == USDT_KIND_POINTER && type->of != NULL && type->of->is_described && level < MOST_LEVELS;
}

static void plan_struct(struct value_plan *plan, const struct usdt_struct *of, const char *address, unsigned level);

/* The elements of a member that are printed, and lie in the piece. */
static size_t elements_of(const struct usdt_field *field, size_t at, size_t piece)
{
    uint64_t elements = field->is_flexible ? 0 : usdt_field_elements(field);
    size_t fit = at >= piece || field->type.size == 0 ? 0 : (piece - at) / field->type.size;
    return elements < fit ? (size_t)elements : fit;
}

static void plan_fields(struct value_plan *plan, const struct usdt_struct *of, size_t at, size_t piece,
                        const char *address, unsigned level)
{
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        size_t offset = at + field->offset, count = elements_of(field, offset, piece);
        for (size_t i = 0; i < count && i < MOST_ELEMENTS; i++, offset += field->type.size)
            if (field->type.kind == USDT_KIND_STRUCT) {
                plan_fields(plan, field->type.of, offset, piece, address, level);
            } else if (field->type.kind == USDT_KIND_STRING) {
                add_slot(plan, add_fetch(plan, true, tool_format("+0(+%zu(%s)):string", offset, address)));
            } else if (is_followed(&field->type, level)) {
                char *pointer = tool_format("+%zu(%s)", offset, address);
                plan_struct(plan, field->type.of, pointer, level + 1);
                free(pointer);
            }
    }
}

static void plan_struct(struct value_plan *plan, const struct usdt_struct *of, const char *address, unsigned level)
{
    size_t piece = piece_of(of), words = piece / 8, rest = piece % 8;
    int first = NOT_FETCHED, second = NOT_FETCHED;
    if (plan->bytes + piece <= MOST_BYTES && plan->number_count + plan->string_count + 2 <= MOST_FETCHES &&
        plan->text + 2 * (strlen(address) + 20) <= MOST_TEXT) {
        plan->bytes += piece;
        first = words == 0 ? 0 : add_fetch(plan, false, tool_format("+0(%s):x64[%zu]", address, words));
        second = rest == 0 ? 0 : add_fetch(plan, false, tool_format("+%zu(%s):x8[%zu]", 8 * words, address, rest));
    }
    first = second == NOT_FETCHED ? NOT_FETCHED : first;
    add_slot(plan, first);
    add_slot(plan, second);
    if (first != NOT_FETCHED)
        plan_fields(plan, of, 0, piece, address, level);
}

unsigned value_real_size(const char *type)
{
    unsigned size = 0;
    char word[16];
    int len;
    if (type == NULL)
        return 0;
    for (; sscanf(type, " %15[a-z]%n", word, &len) == 1; type += len)
        if (strcmp(word, "double") == 0 || strcmp(word, "float") == 0)
            size += word[0] == 'd' ? 8 : 4;
        else if (strcmp(word, "const") != 0 && strcmp(word, "volatile") != 0)
            return 0;
    return type[strspn(type, " ")] == '\0' && (size == 4 || size == 8) ? size : 0;
}

static void plan_argument(struct value_plan *plan, const struct elf_operand *operand, const char *type,
                          struct view *view)
{
    char expression[256];
    unsigned real = value_real_size(type);
    view->of = types_pointee(plan->file, type);
    view->kind = NOTHING;
    if (real != 0 && operand->bytes == (int)real && fetch_value(plan->file, operand, expression, sizeof expression)) {
        view->fetch = add_fetch(plan, false, tool_format("%s:x%u", expression, 8 * real));
        view->kind = REAL;
        view->bytes = real;
    } else if (view->of != NULL && plan->file->wide && operand->bytes == 8 &&
               fetch_value(plan->file, operand, expression, sizeof expression)) {
        view->fetch = add_fetch(plan, false, tool_format("%s:x64", expression));
        view->kind = STRUCTURE;
        plan_struct(plan, view->of, expression, 1);
    } else if (fetch_operand(plan->file, operand, type, expression, sizeof expression)) {
        size_t len = strlen(expression);
        bool is_string = len > 7 && strcmp(expression + len - 7, ":string") == 0;
        view->fetch = add_fetch(plan, is_string, tool_strdup(expression));
        view->kind = AS_IT_IS;
    }
}

struct value_plan *value_plan(const struct process_probe *row, const char **fetches)
{
    struct value_plan *plan = tool_calloc(1, sizeof *plan);
    const char *operands = row->probe->operands;
    struct elf_operand operand;
    size_t len = 0;
    bool has_type = row->probe->types != NULL;
    plan->file = row->file;
    for (size_t i = 0; i < 64 && elf_next_operand(&operands, &operand); i++) {
        has_type = has_type && row->probe->types[i] != NULL;
        plan_argument(plan, &operand, has_type ? row->probe->types[i] : NULL, &plan->views[plan->views_count++]);
    }
    FILE *out = open_memstream(&plan->fetches, &len);
    for (size_t i = 0; out != NULL && i < plan->number_count + plan->string_count; i++)
        fprintf(out, " a%zu=%s", i, i < plan->number_count ? plan->numbers[i] : plan->strings[i - plan->number_count]);
    if (out != NULL)
        fclose(out);
    *fetches = plan->fetches != NULL ? plan->fetches : "";
    return plan;
}

void value_free(struct value_plan *plan)
{
    for (size_t i = 0; i < plan->number_count; i++)
        free(plan->numbers[i]);
    for (size_t i = 0; i < plan->string_count; i++)
        free(plan->strings[i]);
    free(plan->slots);
    free(plan->fetches);
    free(plan);
}

/* ---- what came of it ---- */

struct hit {
    const struct value_plan *plan;
    struct { const char *at; size_t len; } printed[MOST_FETCHES];
    size_t slot; /* the next one */
    int memory;  /* /proc/PID/mem, or -1: it was not asked for */
    pid_t pid;
    FILE *out;
};

/* " a0=1 a1="x"", by their numbers. */
static void split(struct hit *hit, const char *at)
{
    size_t count = hit->plan->number_count + hit->plan->string_count;
    const char *end = at + strlen(at);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, " a%zu=", i);
        const char *found = strstr(at, name);
        if (found == NULL)
            break;
        if (i > 0)
            hit->printed[i - 1].len = (size_t)(found - hit->printed[i - 1].at);
        at = found + strlen(name);
        hit->printed[i].at = at;
        hit->printed[i].len = (size_t)(end - at);
    }
}

static size_t index_of(const struct hit *hit, int fetch)
{
    return fetch < MOST_FETCHES ? (size_t)fetch : hit->plan->number_count + (size_t)fetch - MOST_FETCHES;
}

static uint64_t number_of(const struct hit *hit, int fetch)
{
    const char *at = fetch == NOT_FETCHED ? NULL : hit->printed[index_of(hit, fetch)].at;
    return at == NULL ? 0 : strtoull(at, NULL, 16);
}

static void print_as_it_is(const struct hit *hit, int fetch)
{
    const char *at = fetch == NOT_FETCHED ? NULL : hit->printed[index_of(hit, fetch)].at;
    if (at == NULL) {
        fputs("...", hit->out);
        return;
    }
    for (size_t i = 0; i < hit->printed[index_of(hit, fetch)].len; i++)
        fprintf(hit->out, isprint((unsigned char)at[i]) || (unsigned char)at[i] >= 0x80 ? "%c" : "\\x%02x",
                (unsigned char)at[i]);
}

/* "{0x1,0x2}": elements of so many bytes. */
static void read_elements(const struct hit *hit, int fetch, size_t width, size_t count, unsigned char *to)
{
    const char *at = hit->printed[index_of(hit, fetch)].at;
    for (size_t i = 0; i < count && at != NULL; i++) {
        char *end;
        uint64_t element = strtoull(at + (*at == '{' || *at == ','), &end, 16);
        memcpy(to + i * width, &element, width);
        at = end;
    }
}

/* The shortest text that is this number. */
static void print_real(FILE *out, double value, bool is_float)
{
    char text[40];
    for (int digits = is_float ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    fputs(text, out);
}

static void print_bits(FILE *out, uint64_t bits, unsigned bytes)
{
    double value;
    float narrow;
    uint32_t low = (uint32_t)bits;
    memcpy(&value, &bits, sizeof value);
    memcpy(&narrow, &low, sizeof narrow);
    print_real(out, bytes == 4 ? (double)narrow : value, bytes == 4);
}

static void print_text(FILE *out, const unsigned char *text, size_t size)
{
    fputc('"', out);
    for (size_t i = 0; i < size && text[i] != '\0'; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            fprintf(out, "\\x%02x", text[i]);
        else
            fputc(text[i], out);
    fputc('"', out);
}

/* Little-endian, as are the machines that have probes. */
static uint64_t load(const unsigned char *at, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    return value;
}

static uint64_t load_bits(const unsigned char *at, const struct usdt_field *field)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < field->bits; i++)
        value |= (uint64_t)(at[(field->bit + i) / 8] >> (field->bit + i) % 8 & 1) << i;
    return value;
}

static void print_number(const struct hit *hit, const struct usdt_type *type, uint64_t value, unsigned bits)
{
    bool is_signed = type->kind == USDT_KIND_SIGNED ||
                     (type->kind == USDT_KIND_ENUM && type->constants->has_negative) ||
                     (type->kind == USDT_KIND_CHAR && hit->plan->file->machine != EM_AARCH64);
    bool is_negative = is_signed && bits < 64 && (value >> (bits - 1) & 1) != 0;
    int64_t wide = (int64_t)(is_negative ? value | UINT64_MAX << bits : value);
    if (type->kind == USDT_KIND_BOOL && value <= 1) {
        fputs(value == 1 ? "true" : "false", hit->out);
        return;
    }
    const struct usdt_constant *c = type->kind == USDT_KIND_ENUM ? type->constants->constants : NULL;
    for (; c != NULL; c = c->next)
        if (c->value == wide) {
            fputs(c->name, hit->out);
            return;
        }
    fprintf(hit->out, is_signed ? "%" PRId64 : "%" PRIu64, is_signed ? wide : (int64_t)value);
}

static void print_fields(struct hit *hit, const struct usdt_struct *of, const unsigned char *bytes, size_t at,
                         size_t piece, unsigned level, const char *before);
static void print_struct(struct hit *hit, const struct usdt_struct *of, uint64_t address, unsigned level);

static void print_element(struct hit *hit, const struct usdt_field *field, const unsigned char *bytes, size_t at,
                          size_t piece, unsigned level)
{
    const struct usdt_type *type = &field->type;
    uint64_t value = type->kind == USDT_KIND_STRUCT ? 0 : field->bits > 0 ? load_bits(bytes + at, field)
                                                                          : load(bytes + at, type->size);
    switch (type->kind) {
    case USDT_KIND_STRUCT:
        fputc('{', hit->out);
        print_fields(hit, type->of, bytes, at, piece, level, "");
        fputc('}', hit->out);
        break;
    case USDT_KIND_FLOAT: print_bits(hit->out, value, type->size); break;
    case USDT_KIND_STRING:
        if (value == 0)
            hit->slot++, fputs("NULL", hit->out);
        else
            print_as_it_is(hit, hit->plan->slots[hit->slot++]);
        break;
    case USDT_KIND_POINTER:
        if (is_followed(type, level))
            print_struct(hit, type->of, value, level + 1);
        else if (value == 0)
            fputs("NULL", hit->out);
        else
            fprintf(hit->out, "0x%" PRIx64, value);
        break;
    default: print_number(hit, type, value, field->bits > 0 ? field->bits : 8 * type->size); break;
    }
}

/* An array, {{1, 2}, {3, 4}}, from its dimension `dim` on; *element counts all of its elements. */
static void print_array(struct hit *hit, const struct usdt_field *field, unsigned dim, size_t *element, size_t count,
                        const unsigned char *bytes, size_t at, size_t piece, unsigned level)
{
    unsigned size = field->type.size;
    if (dim == field->dims) {
        if (*element < count && *element < MOST_ELEMENTS)
            print_element(hit, field, bytes, at + *element * size, piece, level);
        ++*element;
        return;
    }
    if (field->type.kind == USDT_KIND_CHAR && dim + 1 == field->dims) {
        size_t len = field->dim[dim], from = at + *element;
        print_text(hit->out, bytes + from, from + len <= piece ? len : piece - from);
        *element += len;
        return;
    }
    fputc('{', hit->out);
    for (unsigned i = 0; i < field->dim[dim]; i++) {
        bool is_cut = *element >= count || (*element >= MOST_ELEMENTS && field->type.kind != USDT_KIND_CHAR);
        fputs(i > 0 ? ", " : "", hit->out);
        if (is_cut) {
            fputs("...", hit->out);
            break;
        }
        print_array(hit, field, dim + 1, element, count, bytes, at, piece, level);
    }
    fputc('}', hit->out);
}

static void print_fields(struct hit *hit, const struct usdt_struct *of, const unsigned char *bytes, size_t at,
                         size_t piece, unsigned level, const char *before)
{
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next, before = ", ") {
        size_t offset = at + field->offset, count = elements_of(field, offset, piece), element = 0;
        if (field->name == NULL && count > 0) {
            print_fields(hit, field->type.of, bytes, offset, piece, level, before);
            continue;
        }
        fputs(before, hit->out);
        if (field->name != NULL)
            fprintf(hit->out, "%s=", field->name);
        bool is_there = field->bits > 0 ? offset + (field->bit + field->bits + 7) / 8 <= piece : count > 0;
        if (!is_there)
            fputs("...", hit->out);
        else if (field->dims == 0)
            print_element(hit, field, bytes, offset, piece, level);
        else
            print_array(hit, field, 0, &element, count, bytes, offset, piece, level);
    }
}

/* Of memory that cannot be read the kernel fetches zeros. What is all zero may be that. */
static bool is_fault(struct hit *hit, uint64_t address, const unsigned char *bytes, size_t size)
{
    char path[40], byte;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    if (hit->memory < 0) {
        snprintf(path, sizeof path, "/proc/%d/mem", (int)hit->pid);
        hit->memory = open(path, O_RDONLY | O_CLOEXEC);
    }
    return hit->memory >= 0 && pread(hit->memory, &byte, 1, (off_t)address) < 0 && errno == EIO;
}

/* The slots of what is not printed. */
static void skip_fields(struct hit *hit, const struct usdt_struct *of, size_t at, size_t piece, unsigned level);

static void skip_struct(struct hit *hit, const struct usdt_struct *of, unsigned level)
{
    bool is_fetched = hit->plan->slots[hit->slot] != NOT_FETCHED;
    hit->slot += 2;
    if (is_fetched)
        skip_fields(hit, of, 0, piece_of(of), level);
}

static void skip_fields(struct hit *hit, const struct usdt_struct *of, size_t at, size_t piece, unsigned level)
{
    for (const struct usdt_field *field = of->fields; field != NULL; field = field->next) {
        size_t offset = at + field->offset, count = elements_of(field, offset, piece);
        for (size_t i = 0; i < count && i < MOST_ELEMENTS; i++, offset += field->type.size)
            if (field->type.kind == USDT_KIND_STRUCT)
                skip_fields(hit, field->type.of, offset, piece, level);
            else if (field->type.kind == USDT_KIND_STRING)
                hit->slot++;
            else if (is_followed(&field->type, level))
                skip_struct(hit, field->type.of, level + 1);
    }
}

static void print_struct(struct hit *hit, const struct usdt_struct *of, uint64_t address, unsigned level)
{
    unsigned char bytes[PIECE] = { 0 };
    size_t piece = piece_of(of), words = piece / 8;
    int first = hit->plan->slots[hit->slot], second = hit->plan->slots[hit->slot + 1];
    bool is_fetched = first != NOT_FETCHED;
    if (is_fetched && words > 0)
        read_elements(hit, first, 8, words, bytes);
    if (is_fetched && piece % 8 > 0)
        read_elements(hit, second, 1, piece % 8, bytes + 8 * words);
    bool fault = is_fetched && address != 0 && is_fault(hit, address, bytes, piece);
    if (address == 0 || fault || !is_fetched) {
        skip_struct(hit, of, level);
        if (address == 0)
            fputs("NULL", hit->out);
        else
            fprintf(hit->out, "0x%" PRIx64 "%s", address, fault ? " (fault)" : "");
        return;
    }
    hit->slot += 2;
    fputc('{', hit->out);
    print_fields(hit, of, bytes, 0, piece, level, "");
    fputc('}', hit->out);
}

void value_print(const struct value_plan *plan, pid_t pid, const char *printed, FILE *out)
{
    struct hit hit = { .plan = plan, .memory = -1, .pid = pid, .out = out };
    split(&hit, printed);
    for (size_t i = 0; i < plan->views_count; i++) {
        const struct view *view = &plan->views[i];
        if (view->kind == NOTHING)
            continue;
        fputc(' ', out);
        if (view->kind == REAL && view->fetch != NOT_FETCHED)
            print_bits(out, number_of(&hit, view->fetch), view->bytes);
        else if (view->kind == STRUCTURE)
            print_struct(&hit, view->of, number_of(&hit, view->fetch), 1);
        else
            print_as_it_is(&hit, view->fetch);
    }
    if (hit.memory >= 0)
        close(hit.memory);
}
