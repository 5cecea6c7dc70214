/*
 * usdt_dof_sections.c - the sections of a DOF document: strings, probes, argument maps, offsets.
 *
 * Owns what stands in each section; knows nothing of where it will lie in the file.
 */
#include "usdt_dof.h"

#include <stdlib.h>
#include <string.h>

/* Puts `len` bytes, one or more strings with their NULs, into the string table. */
static uint32_t put_strings(struct usdt_dof *doc, const char *bytes, size_t len)
{
    struct usdt_buf *table = &doc->section[USDT_DOF_STRTAB];
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 16777619u;
    hash %= USDT_DOF_RECENT;

    uint32_t offset = doc->recent[hash].offset;
    if (doc->recent[hash].len == len && offset + len <= table->len &&
        memcmp(table->data + offset, bytes, len) == 0)
        return offset;
    offset = (uint32_t)table->len;
    usdt_buf_put(table, bytes, len);
    doc->recent[hash].offset = offset;
    doc->recent[hash].len = (uint32_t)len;
    return offset;
}

static uint32_t put_string(struct usdt_dof *doc, const char *string)
{
    return put_strings(doc, string, strlen(string) + 1);
}

const struct usdt_attributes usdt_dof_attributes[USDT_ATTRIBUTED] = {
    [USDT_OF_PROVIDER] = { USDT_STABILITY_EVOLVING, USDT_STABILITY_EVOLVING, USDT_DEPENDENCY_COMMON },
    [USDT_OF_MODULE] = { USDT_STABILITY_PRIVATE, USDT_STABILITY_PRIVATE, USDT_DEPENDENCY_UNKNOWN },
    [USDT_OF_FUNCTION] = { USDT_STABILITY_PRIVATE, USDT_STABILITY_PRIVATE, USDT_DEPENDENCY_UNKNOWN },
    [USDT_OF_NAME] = { USDT_STABILITY_EVOLVING, USDT_STABILITY_EVOLVING, USDT_DEPENDENCY_COMMON },
    [USDT_OF_ARGUMENTS] = { USDT_STABILITY_EVOLVING, USDT_STABILITY_EVOLVING, USDT_DEPENDENCY_COMMON },
};

static uint32_t attributes_of(const struct usdt_layout *layout, enum usdt_attributed of)
{
    const struct usdt_attributes *all = layout->attributes != NULL ? layout->attributes : usdt_dof_attributes;
    return DOF_ATTR(all[of].name, all[of].data, all[of].dependency);
}

/* The types of a probe are one run of strings. */
static uint32_t put_types(struct usdt_dof *doc, size_t argc, char *const *types)
{
    char run[USDT_ARG_MAX * 128];
    size_t len = 0;
    for (size_t i = 0; i < argc; i++) {
        size_t n = strlen(types[i]) + 1;
        memcpy(run + len, types[i], n);
        len += n;
    }
    return len == 0 ? 0 : put_strings(doc, run, len);
}

struct usdt_dof *usdt_dof_begin(const struct usdt_layout *layout, uint64_t text, uint64_t dof)
{
    struct usdt_dof *doc = calloc(1, sizeof *doc);
    if (doc == NULL)
        return NULL;
    doc->layout = layout;
    doc->text = text;
    doc->dof = dof;
    put_string(doc, "");

    /* The identity comes first: the map of every probe that is not translated. */
    for (uint8_t i = 0; i < USDT_ARG_MAX; i++)
        usdt_buf_put(&doc->section[USDT_DOF_PRARGS], &i, 1);

    struct dof_provider provider = {
        .strtab = USDT_DOF_STRTAB,
        .probes = USDT_DOF_PROBES,
        .prargs = USDT_DOF_PRARGS,
        .proffs = USDT_DOF_PROFFS,
        .prenoffs = USDT_DOF_PRENOFFS,
        .name = put_string(doc, layout->provider),
        .provider_attr = attributes_of(layout, USDT_OF_PROVIDER),
        .module_attr = attributes_of(layout, USDT_OF_MODULE),
        .function_attr = attributes_of(layout, USDT_OF_FUNCTION),
        .name_attr = attributes_of(layout, USDT_OF_NAME),
        .args_attr = attributes_of(layout, USDT_OF_ARGUMENTS),
    };
    usdt_buf_put(&doc->section[USDT_DOF_PROVIDER], &provider, sizeof provider);
    return doc;
}

/* Where a site is, as the kernel will look for it: from the probe's address, or from the document. */
static void put_offset(struct usdt_dof *doc, struct usdt_buf *offsets, uint64_t addr, uint64_t site, int bias)
{
    uint64_t base = doc->layout->platform->base_is_dof ? doc->dof : addr;
    int64_t offset = (int64_t)(site - base) + bias;
    doc->too_far |= offset < INT32_MIN || offset > INT32_MAX;
    usdt_buf_put32(offsets, (uint32_t)offset);
}

/* What args[] are in D. */
static void translate(struct usdt_dof *doc, struct dof_probe *probe, const struct usdt_translation *translation)
{
    struct usdt_buf *maps = &doc->section[USDT_DOF_PRARGS];
    probe->translated_types = put_types(doc, translation->argc, translation->types);
    probe->translated_argc = (uint8_t)translation->argc;
    if (usdt_is_identity(translation->argc, translation->map))
        return;
    probe->arg_index = (uint32_t)maps->len;
    usdt_buf_put(maps, translation->map, translation->argc);
}

void usdt_dof_add_probe(struct usdt_dof *doc, size_t slot)
{
    const struct usdt_platform *platform = doc->layout->platform;
    const struct usdt_stub *stub = platform->stub;
    const usdt_probedef_t *def = doc->layout->defs[slot];
    struct usdt_buf *offsets = &doc->section[USDT_DOF_PROFFS];
    struct usdt_buf *isenabled_offsets = &doc->section[USDT_DOF_PRENOFFS];
    uint64_t at = doc->text + slot * stub->size;
    const struct usdt_own_code *code = usdt_code_of(def);
    uintptr_t elsewhere = code == NULL ? 0 : code->elsewhere;
    const struct usdt_translation *translation = ((const struct usdt_own_def *)def)->translation;
    uint32_t types = put_types(doc, def->argc, def->types);

    struct dof_probe probe = {
        .addr = elsewhere != 0 ? elsewhere : at + stub->probe,
        .function = put_string(doc, def->function),
        .name = put_string(doc, def->name),
        .native_types = types,
        .translated_types = types,
        .native_argc = (uint8_t)def->argc,
        .translated_argc = (uint8_t)def->argc,
        .offset_index = (uint32_t)(offsets->len / 4),
        .offsets = 1,
        .isenabled_index = (uint32_t)(isenabled_offsets->len / 4),
        .isenabled_offsets = elsewhere != 0 ? 0 : 1,
    };
    if (translation != NULL)
        translate(doc, &probe, translation);
    put_offset(doc, offsets, probe.addr, elsewhere != 0 ? elsewhere : at + usdt_layout_site(doc->layout),
               platform->probe_bias);
    if (elsewhere == 0)
        put_offset(doc, isenabled_offsets, probe.addr, at + stub->isenabled_site, platform->isenabled_bias);
    /* DTrace takes arguments from where a call has them; for other places there is the note. */
    if (code != NULL && elsewhere == 0 && code->operands == NULL) {
        uint64_t own = doc->text + usdt_layout_code(doc->layout, code) - usdt_layout_stubs(doc->layout) + code->site;
        put_offset(doc, offsets, probe.addr, own, platform->probe_bias);
        probe.offsets++;
    }
    usdt_buf_put(&doc->section[USDT_DOF_PROBES], &probe, sizeof probe);
}

struct usdt_dof_mark usdt_dof_mark(const struct usdt_dof *doc)
{
    struct usdt_dof_mark mark;
    for (int i = 0; i < USDT_DOF_SECTIONS; i++)
        mark.len[i] = doc->section[i].len;
    return mark;
}

void usdt_dof_rewind(struct usdt_dof *doc, struct usdt_dof_mark mark)
{
    for (int i = 0; i < USDT_DOF_SECTIONS; i++)
        doc->section[i].len = mark.len[i];
}

void usdt_dof_end(struct usdt_dof *doc)
{
    for (int i = 0; i < USDT_DOF_SECTIONS; i++)
        usdt_buf_free(&doc->section[i]);
    free(doc);
}
