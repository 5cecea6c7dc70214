/*
 * damage.c - see damage.h.
 */
#include "damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void damage_die(const char *what)
{
    fprintf(stderr, "damage: %s\n", what);
    exit(2);
}

struct check_dof_header damage_dof_header(const unsigned char *document)
{
    struct check_dof_header header;
    memcpy(&header, document, sizeof header);
    return header;
}

size_t damage_dof_section(const unsigned char *document, uint32_t type)
{
    struct check_dof_header header = damage_dof_header(document);
    for (uint32_t i = 0; i < header.section_count; i++) {
        struct check_dof_section section;
        size_t at = (size_t)header.sections + i * sizeof section;
        memcpy(&section, document + at, sizeof section);
        if (section.type == type)
            return at;
    }
    damage_die("no such section");
}

size_t damage_dof_contents(const unsigned char *document, uint32_t type)
{
    struct check_dof_section section;
    memcpy(&section, document + damage_dof_section(document, type), sizeof section);
    return (size_t)section.offset;
}

struct check_dof_probe damage_dof_probe(const unsigned char *document, unsigned i)
{
    struct check_dof_probe probe;
    memcpy(&probe, document + damage_dof_contents(document, CHECK_PROBES) + i * sizeof probe, sizeof probe);
    return probe;
}

size_t damage_dof_place(const unsigned char *document, enum place place, unsigned index)
{
    struct check_dof_provider provider;
    memcpy(&provider, document + damage_dof_contents(document, CHECK_PROVIDER), sizeof provider);
    size_t strings = damage_dof_contents(document, CHECK_STRTAB);
    switch (place) {
    case HEADER: return 0;
    case SECTION: return damage_dof_section(document, index);
    case PROVIDER: return damage_dof_contents(document, CHECK_PROVIDER);
    case PROBE: return damage_dof_contents(document, CHECK_PROBES) + index * sizeof(struct check_dof_probe);
    case MAP: return damage_dof_contents(document, CHECK_PRARGS) + damage_dof_probe(document, index).map;
    case OFFSETS: return damage_dof_contents(document, CHECK_PROFFS) + 4 * damage_dof_probe(document, index).offsets;
    case ENABLED: return damage_dof_contents(document, CHECK_PRENOFFS) + 4 * damage_dof_probe(document, index).enabled;
    case PROVIDER_STRING: return strings + provider.name;
    case FUNCTION_STRING: return strings + damage_dof_probe(document, index).function;
    case NAME_STRING: return strings + damage_dof_probe(document, index).name;
    case TYPE_STRING: return strings + damage_dof_probe(document, index).native;
    default: damage_die("no such place");
    }
}

/* Patches of one document may follow each other: what the first did must not lead the next outside. */
static unsigned char *find(unsigned char *document, size_t len, const struct patch *patch, unsigned index)
{
    size_t at = (size_t)((long)damage_dof_place(document, patch->place, index) + patch->member);
    if (at > len || patch->width > len - at)
        damage_die("a patch is outside");
    return document + at;
}

void damage_dof(unsigned char *document, size_t len, const struct patch *patch)
{
    unsigned char *to = find(document, len, patch, patch->index);
    uint64_t value = 0;
    if (patch->mode == ADD)
        memcpy(&value, to, patch->width);
    else if (patch->mode == COPY)
        memcpy(&value, find(document, len, patch, patch->from), patch->width);
    else if (patch->mode == AT)
        value = damage_dof_contents(document, patch->from);
    value += patch->value;
    memcpy(to, &value, patch->width);
}
