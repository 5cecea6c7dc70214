/*
 * structs.c - what usdt_struct.c makes of a description, for struct.t.
 *
 *     structs MACHINE < TEXT    x86_64, i386 or arm64
 *
 * Prints "error MESSAGE"; or of each structure with a tag "struct TAG SIZE ALIGN", then of each member, those of
 * structures without a name among them, "PATH OFFSET SIZE" or "PATH OFFSET BIT WIDTH". Several texts, one added to the
 * other, have a line "----" between them.
 */
#include "usdt_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_fields(const struct usdt_struct *in, unsigned at)
{
    for (const struct usdt_field *field = in->fields; field != NULL; field = field->next) {
        unsigned offset = at + field->offset;
        if (field->name == NULL)
            print_fields(field->type.of, offset);
        else if (field->bits > 0)
            printf("%s %u %u %u\n", field->name, offset, field->bit, field->bits);
        else
            printf("%s %u %llu\n", field->name, offset,
                   field->is_flexible ? 0 : (unsigned long long)(field->type.size * usdt_field_elements(field)));
    }
}

int main(int argc, char **argv)
{
    const struct { const char *name; struct usdt_machine machine; } machines[] = {
        { "x86_64", { 8, 8, true } }, { "i386", { 4, 4, true } }, { "arm64", { 8, 8, false } },
    };
    static char text[1 << 20];
    size_t len = fread(text, 1, sizeof text - 1, stdin), from = 0, which = 0;
    while (which < 3 && (argc != 2 || strcmp(argv[1], machines[which].name) != 0))
        which++;
    if (which == 3)
        return 2;
    for (char *more; (more = strstr(text + from, "----\n")) != NULL; from = (size_t)(more - text) + 5)
        memcpy(more, "   \n", 4), more[4] = '\0';
    struct usdt_types types;
    char why[USDT_WHY_MAX];
    if (!usdt_types_parse(&types, text, len, from, &machines[which].machine, why)) {
        printf("error %s\n", why);
        return 0;
    }
    for (const struct usdt_struct *of = types.structs; of != NULL; of = of->next)
        if (of->is_described && of->tag != NULL) {
            printf("%s %s %u %u\n", of->is_union ? "union" : "struct", of->tag, of->size, of->align);
            print_fields(of, 0);
        }
    usdt_types_free(&types);
    return 0;
}
