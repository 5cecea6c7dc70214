/*
 * check_dof.c - judges a DOF document as the kernels do that take it, and compares it with what it was made of.
 *
 * Written from <sys/dtrace.h>'s structures and facts/dof.md. May not include a header of the library nor
 * be told how it lays a document out (see check.h). Any bytes may be given.
 */
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LSB = 1,
    ILP32 = 1,
    LP64 = 2,
    DIF_VERSION = 2,
    MOST_REGISTERS = 8,
    LOAD = 1,              /* DOF_SECF_LOAD */
    MOST_STABLE = 7,       /* DTRACE_STABILITY_MAX */
    MOST_CLASS = 5,        /* DTRACE_CLASS_MAX */
    PROVIDER_FIELD = 63,   /* DTRACE_PROVNAMELEN 64, less a NUL */
    LONGEST_PROVIDER = 53, /* and less the ten digits of a process id */
    LONGEST_PROBE = 63,
    LONGEST_FUNCTION = 127,
    LONGEST_TYPE = 127,
    REGISTER_ARGUMENTS = 6, /* of x86_64 */
};

/* facts/dof.md, "What a kernel accepts". */
static const struct system {
    const char *name;
    uint8_t first_version, last_version, enabled_version; /* is-enabled offsets count from that on */
    bool xnu;
    uint64_t below;
    const char *reserved[3];
} systems[] = {
    { "linux", 1, 3, 3, false, 256u << 20, { "pid" } },
    { "macos", 3, 3, 2, true, 512u << 10, { "pid", "objc", "oneshot" } },
    { "freebsd", 1, 2, 2, false, 8u << 20, { "pid" } },
    { "illumos", 1, 2, 2, false, 8u << 20, { "pid" } },
};

/* The kinds of section; what an entry of each measures, and the alignment of its widest member. */
enum { STRINGS, PROVIDER, PROBES, MAP, OFFSETS, ENABLED, KINDS };
static const struct kind {
    uint32_t type, entry, align;
    const char *name;
} kinds[KINDS] = {
    [STRINGS] = { CHECK_STRTAB, 0, 1, "string table" },
    [PROVIDER] = { CHECK_PROVIDER, 0, 4, "provider" },
    [PROBES] = { CHECK_PROBES, sizeof(struct check_dof_probe), 8, "probes" },
    [MAP] = { CHECK_PRARGS, 1, 1, "argument map" },
    [OFFSETS] = { CHECK_PROFFS, 4, 4, "offsets" },
    [ENABLED] = { CHECK_PRENOFFS, 4, 4, "is-enabled offsets" },
};

struct document {
    const struct check_given *given;
    const struct system *system;
    bool is_i386, shifts; /* XNU on x86 shifts offsets */
    bool misreads;        /* with a map, arguments that no register has */
    struct check_verdict *verdict;
    const unsigned char *bytes;
    size_t len;
    struct check_dof_header header;
    struct {
        bool found;
        uint32_t index;
        uint64_t offset, size;
    } part[KINDS];
    struct check_dof_provider provider;
};

#define BROKEN(rule, ...) (check_broken(doc->verdict, CHECK_DOF_##rule, __VA_ARGS__), false)
#define REQUIRE(holds, rule, ...)             \
    do {                                      \
        if (!(holds))                         \
            return BROKEN(rule, __VA_ARGS__); \
    } while (0)

/* The same of a rule that may be spared: what follows does not rely on it. */
#define WANT(holds, rule, ...) REQUIRE(is_spared(doc, CHECK_DOF_##rule) || (holds), rule, __VA_ARGS__)

static bool is_spared(const struct document *doc, enum check_rule rule)
{
    return doc->given->spared != NULL && doc->given->spared[rule];
}

static bool is_within(uint64_t offset, uint64_t size, uint64_t end)
{
    return offset <= end && size <= end - offset;
}

/* ---- the header and the sections ---- */

static bool judge_ident(struct document *doc)
{
    const struct check_dof_header *header = &doc->header;
    static const unsigned char zero[sizeof header->ident];
    int model = doc->is_i386 ? ILP32 : LP64;
    WANT(memcmp(header->magic, "\177DOF", 4) == 0, MAGIC, "bytes 0 to 3");
    WANT(header->model == ILP32 || header->model == LP64, MODEL_KNOWN, "%u", header->model);
    WANT(header->model == model, MODEL, "%u, not %d", header->model, model);
    WANT(header->encoding == LSB, ENCODING, "%u", header->encoding);
    WANT(header->version >= doc->system->first_version && header->version <= doc->system->last_version,
            VERSION, "%u on %s", header->version, doc->system->name);
    WANT(header->dif_version == DIF_VERSION, DIF_VERSION, "%u", header->dif_version);
    WANT(header->registers <= MOST_REGISTERS && header->tuple_registers <= MOST_REGISTERS, REGISTERS,
            "%u and %u", header->registers, header->tuple_registers);
    WANT(memcmp(header->ident, zero, sizeof zero) == 0, IDENT, "bytes 10 to 15");
    return true;
}

static bool judge_header(struct document *doc)
{
    struct check_dof_header *header = &doc->header;
    uint64_t below = doc->system->below;
    if (doc->given->below != 0 && doc->given->below < below)
        below = doc->given->below;
    REQUIRE(doc->len >= sizeof *header, SHORT, "%zu bytes", doc->len);
    memcpy(header, doc->bytes, sizeof *header);
    if (!judge_ident(doc))
        return false;
    WANT(header->flags == 0, FLAGS, "%" PRIx32, header->flags);
    WANT(header->header_size == sizeof *header, HEADER_SIZE, "%" PRIu32, header->header_size);
    WANT(header->section_size == sizeof(struct check_dof_section), SECTION_SIZE, "%" PRIu32,
            header->section_size);
    WANT(header->loaded >= sizeof *header, LOADED_SMALL, "%" PRIu64, header->loaded);
    WANT(header->loaded < below, LOADED_LIMIT, "%" PRIu64 ", not below %" PRIu64, header->loaded, below);
    WANT(header->loaded == doc->len, LOADED, "%" PRIu64 " of %zu", header->loaded, doc->len);
    WANT(header->file_size == doc->len, FILE_SIZE, "%" PRIu64 " of %zu", header->file_size, doc->len);
    REQUIRE(is_within(header->sections, header->section_count * (uint64_t)sizeof(struct check_dof_section),
                      doc->len),
            TABLE_BOUNDS, "%" PRIu32 " at %" PRIu64, header->section_count, header->sections);
    WANT(header->sections % 8 == 0, TABLE_ALIGNED, "at %" PRIu64, header->sections);
    return true;
}

static bool judge_section(struct document *doc, uint32_t i)
{
    struct check_dof_section section;
    int k = 0;
    memcpy(&section, doc->bytes + doc->header.sections + i * sizeof section, sizeof section);
    while (k < KINDS && kinds[k].type != section.type)
        k++;
    if (k == KINDS && is_spared(doc, CHECK_DOF_SECTION_KIND))
        return true;
    REQUIRE(k < KINDS, SECTION_KIND, "section %" PRIu32 " is of type %" PRIu32, i, section.type);
    REQUIRE(!doc->part[k].found, SECTION_TWICE, "section %" PRIu32 ", %s", i, kinds[k].name);
    WANT(section.flags == LOAD, SECTION_LOAD, "%s has flags %" PRIx32, kinds[k].name, section.flags);
    REQUIRE(is_within(section.offset, section.size, doc->len), SECTION_BOUNDS,
            "%s, %" PRIu64 " at %" PRIu64 " of %zu", kinds[k].name, section.size, section.offset, doc->len);
    REQUIRE(section.align != 0 && (section.align & (section.align - 1)) == 0, SECTION_ALIGN,
            "%s: %" PRIu32, kinds[k].name, section.align);
    WANT(section.offset % section.align == 0, SECTION_ALIGNED, "%s: %" PRIu64 " by %" PRIu32,
            kinds[k].name, section.offset, section.align);
    WANT(section.offset % kinds[k].align == 0 && section.align >= kinds[k].align, SECTION_NATURAL,
            "%s: %" PRIu64 " by %" PRIu32, kinds[k].name, section.offset, kinds[k].align);
    WANT(kinds[k].entry == 0 || section.entry_size == kinds[k].entry, ENTRY_SIZE, "%s: %" PRIu32,
            kinds[k].name, section.entry_size);
    WANT(kinds[k].entry == 0 || section.size % kinds[k].entry == 0, ENTRIES, "%s: %" PRIu64,
            kinds[k].name, section.size);
    doc->part[k].found = true;
    doc->part[k].index = i;
    doc->part[k].offset = section.offset;
    doc->part[k].size = section.size;
    return true;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a_size > 0 && b_size > 0 && a < b + b_size && b < a + a_size;
}

/* The sections, the header and the section headers: all lie in the document, so no sum overflows. */
static bool judge_overlaps(struct document *doc)
{
    const struct check_dof_header *header = &doc->header;
    uint64_t table = header->section_count * (uint64_t)sizeof(struct check_dof_section);
    WANT(header->sections >= sizeof *header, SECTION_OVERLAP, "header and section headers");
    for (int k = 0; k < KINDS; k++) {
        uint64_t offset = doc->part[k].offset, size = doc->part[k].size;
        WANT(!overlap(offset, size, 0, sizeof *header), SECTION_OVERLAP, "header and %s", kinds[k].name);
        WANT(!overlap(offset, size, header->sections, table), SECTION_OVERLAP, "section headers and %s",
                kinds[k].name);
        for (int j = 0; j < k; j++)
            WANT(!overlap(offset, size, doc->part[j].offset, doc->part[j].size), SECTION_OVERLAP,
                    "%s and %s", kinds[j].name, kinds[k].name);
    }
    return true;
}

static bool judge_sections(struct document *doc)
{
    for (uint32_t i = 0; i < doc->header.section_count; i++)
        if (!judge_section(doc, i))
            return false;
    if (!judge_overlaps(doc))
        return false;
    uint64_t strings = doc->part[STRINGS].size;
    REQUIRE(strings == 0 || doc->bytes[doc->part[STRINGS].offset + strings - 1] == '\0', STRINGS_NUL,
            "%" PRIu64 " bytes", strings);
    WANT(!doc->part[ENABLED].found || doc->part[ENABLED].index != 0, SECTION_ZERO, "section 0");
    return true;
}

/* ---- the provider ---- */

/* A string of the table, or NULL; the table ends with a NUL. */
static const char *string_at(const struct document *doc, uint64_t offset)
{
    return offset < doc->part[STRINGS].size ? (const char *)doc->bytes + doc->part[STRINGS].offset + offset
                                            : NULL;
}

static bool judge_references(struct document *doc)
{
    const struct {
        int kind;
        uint32_t index;
    } references[] = {
        { STRINGS, doc->provider.strings }, { PROBES, doc->provider.probes }, { MAP, doc->provider.map },
        { OFFSETS, doc->provider.offsets }, { ENABLED, doc->provider.enabled },
    };
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++) {
        int k = references[i].kind;
        if (k == ENABLED && references[i].index == 0) { /* there are none */
            doc->part[k].size = 0;
            continue;
        }
        REQUIRE(doc->part[k].found && doc->part[k].index == references[i].index, REFERENCE,
                "%s in section %" PRIu32, kinds[k].name, references[i].index);
    }
    return true;
}

static bool judge_provider(struct document *doc)
{
    struct check_dof_provider *provider = &doc->provider;
    REQUIRE(doc->part[PROVIDER].found, PROVIDER_NONE, "%" PRIu32 " sections", doc->header.section_count);
    REQUIRE(doc->part[PROVIDER].size >= sizeof *provider, PROVIDER_SHORT, "%" PRIu64 " bytes",
            doc->part[PROVIDER].size);
    memcpy(provider, doc->bytes + doc->part[PROVIDER].offset, sizeof *provider);
    if (!judge_references(doc))
        return false;
    const char *name = string_at(doc, provider->name);
    REQUIRE(name != NULL, STRING, "provider name at %" PRIu32, provider->name);
    size_t len = strlen(name);
    WANT(len <= PROVIDER_FIELD, PROVIDER_FIELD, "%zu bytes", len);
    WANT(len <= LONGEST_PROVIDER, PROVIDER_LONG, "%zu bytes", len);
    WANT(check_is_name(name), PROVIDER_NAME, "\"%s\"", name);
    WANT(len == 0 || name[len - 1] < '0' || name[len - 1] > '9', PROVIDER_DIGIT, "\"%s\"", name);
    for (int i = 0; i < 3 && doc->system->reserved[i] != NULL; i++)
        WANT(strcmp(name, doc->system->reserved[i]) != 0, PROVIDER_RESERVED, "\"%s\"", name);
    for (int i = 0; i < 5; i++) { /* DOF_ATTR: name, data, class, from the highest byte */
        uint32_t attributes = provider->attributes[i];
        WANT(attributes >> 24 <= MOST_STABLE && (attributes >> 16 & 0xff) <= MOST_STABLE, STABILITY,
                "attributes %d: %08" PRIx32, i, attributes);
        WANT((attributes >> 8 & 0xff) <= MOST_CLASS, CLASS, "attributes %d: %08" PRIx32, i, attributes);
    }
    REQUIRE(doc->given->provider == NULL || strcmp(name, doc->given->provider) == 0, GIVEN_PROVIDER, "\"%s\"", name);
    return true;
}

/* ---- the probes ---- */

static struct check_dof_probe probe_at(const struct document *doc, size_t i)
{
    struct check_dof_probe probe;
    memcpy(&probe, doc->bytes + doc->part[PROBES].offset + i * sizeof probe, sizeof probe);
    return probe;
}

static int32_t offset_at(const struct document *doc, int kind, uint64_t i)
{
    int32_t offset;
    memcpy(&offset, doc->bytes + doc->part[kind].offset + 4 * i, sizeof offset);
    return offset;
}

static bool judge_names(struct document *doc, size_t i, const struct check_dof_probe *probe)
{
    const char *function = string_at(doc, probe->function), *name = string_at(doc, probe->name);
    REQUIRE(function != NULL && name != NULL, STRING, "names of probe %zu", i);
    WANT(strlen(function) <= LONGEST_FUNCTION, FUNCTION_LONG, "probe %zu", i);
    WANT(check_is_name(function), FUNCTION_NAME, "probe %zu: \"%s\"", i, function);
    WANT(strlen(name) <= LONGEST_PROBE, PROBE_LONG, "probe %zu", i);
    WANT(check_is_name(name), PROBE_NAME, "probe %zu: \"%s\"", i, name);
    return true;
}

static bool judge_types(struct document *doc, size_t i, uint64_t offset, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        const char *type = string_at(doc, offset);
        REQUIRE(type != NULL, STRING, "type %zu of probe %zu", n, i);
        WANT(type[0] != '\0', TYPE_EMPTY, "type %zu of probe %zu", n, i);
        WANT(strlen(type) <= LONGEST_TYPE, TYPE_LONG, "type %zu of probe %zu", n, i);
        offset += strlen(type) + 1;
    }
    return true;
}

static bool judge_map(struct document *doc, size_t i, const struct check_dof_probe *probe)
{
    REQUIRE(is_within(probe->map, probe->translated_count, doc->part[MAP].size), MAP_BOUNDS,
            "probe %zu: %u at %" PRIu32, i, probe->translated_count, probe->map);
    const unsigned char *map = doc->bytes + doc->part[MAP].offset + probe->map;
    bool is_identity = true;
    for (unsigned n = 0; n < probe->translated_count; n++) {
        WANT(map[n] < probe->native_count, MAP_INDEX, "probe %zu: %u of %u", i, map[n],
                probe->native_count);
        is_identity &= map[n] == n;
    }
    for (unsigned n = 0; doc->misreads && !is_identity && n < probe->translated_count; n++)
        WANT(map[n] < REGISTER_ARGUMENTS, MAP_READ, "probe %zu: %u is %u", i, n, map[n]);
    return true;
}

/* The program counter of an offset. The kernels add to the probe's address; XNU adds to the document's,
   and on x86 takes one byte off for a probe and adds two for an is-enabled probe. */
static bool counter(struct document *doc, size_t i, uint64_t probe_addr, enum check_site site,
                    int32_t offset, uint64_t *pc)
{
    int64_t distance = (int64_t)offset + (!doc->shifts ? 0 : site == CHECK_PROBE ? -1 : 2);
    uint64_t base = doc->system->xnu ? doc->given->dof : probe_addr;
    uint64_t last = doc->is_i386 ? UINT32_MAX : UINT64_MAX;
    WANT(doc->system->xnu || offset >= 0, OFFSET_NEGATIVE, "probe %zu: %" PRId32, i, offset);
    WANT(base <= last && (distance < 0 ? base >= (uint64_t)-distance : (uint64_t)distance <= last - base),
            ADDRESS, "probe %zu: %" PRIx64 " %+" PRId64, i, base, distance);
    *pc = base + (uint64_t)distance;
    return true;
}

static bool judge_offsets(struct document *doc, size_t i, const struct check_dof_probe *probe)
{
    uint64_t pc;
    REQUIRE(probe->offset_count > 0, OFFSETS_NONE, "probe %zu", i);
    REQUIRE(is_within(probe->offsets, probe->offset_count, doc->part[OFFSETS].size / 4), OFFSETS_BOUNDS,
            "probe %zu: %u at %" PRIu32, i, probe->offset_count, probe->offsets);
    REQUIRE(is_within(probe->enabled, probe->enabled_count, doc->part[ENABLED].size / 4), ENABLED_BOUNDS,
            "probe %zu: %u at %" PRIu32, i, probe->enabled_count, probe->enabled);
    WANT(probe->enabled_count == 0 || doc->header.version >= doc->system->enabled_version, ENABLED_LOST,
            "probe %zu: version %u", i, doc->header.version);
    /* Many probes may have the same many offsets: nothing is asked of each that is not to be judged. */
    if (is_spared(doc, CHECK_DOF_OFFSET_NEGATIVE) && is_spared(doc, CHECK_DOF_ADDRESS))
        return true;
    for (unsigned n = 0; n < probe->offset_count; n++)
        if (!counter(doc, i, probe->addr, CHECK_PROBE, offset_at(doc, OFFSETS, probe->offsets + n), &pc))
            return false;
    for (unsigned n = 0; n < probe->enabled_count; n++)
        if (!counter(doc, i, probe->addr, CHECK_ENABLED, offset_at(doc, ENABLED, probe->enabled + n), &pc))
            return false;
    return true;
}

/* That a probe, by itself, is one that the kernel takes. */
static bool judge_probe(struct document *doc, size_t i)
{
    struct check_dof_probe probe = probe_at(doc, i);
    WANT(probe.pad16 == 0 && probe.pad32 == 0, PADDING, "probe %zu", i);
    return judge_names(doc, i, &probe) && judge_types(doc, i, probe.native, probe.native_count) &&
           judge_types(doc, i, probe.translated, probe.translated_count) && judge_map(doc, i, &probe) &&
           judge_offsets(doc, i, &probe);
}

/* ---- what was put in ---- */

static bool judge_given_types(struct document *doc, size_t i, uint64_t offset)
{
    const struct check_probe *given = &doc->given->probes[i];
    for (size_t n = 0; n < given->argc; n++) {
        const char *type = string_at(doc, offset);
        REQUIRE(strcmp(type, given->types[n]) == 0, GIVEN_TYPE, "probe %zu, argument %zu: \"%.100s\"", i, n,
                type);
        offset += strlen(type) + 1;
    }
    return true;
}

static bool judge_given(struct document *doc, size_t i)
{
    const struct check_given *all = doc->given;
    const struct check_probe *given = &all->probes[i];
    struct check_dof_probe probe = probe_at(doc, i);
    uint64_t slot = all->text + given->slot * all->slot_size, pc = 0, enabled = 0;
    REQUIRE(strcmp(string_at(doc, probe.function), given->function) == 0, GIVEN_FUNCTION,
            "probe %zu: \"%s\"", i, string_at(doc, probe.function));
    REQUIRE(strcmp(string_at(doc, probe.name), given->name) == 0, GIVEN_NAME, "probe %zu: \"%s\"", i,
            string_at(doc, probe.name));
    REQUIRE(probe.native_count == given->argc, GIVEN_NATIVE, "probe %zu: %u of %zu", i, probe.native_count,
            given->argc);
    REQUIRE(probe.translated_count == given->argc, GIVEN_TRANSLATED, "probe %zu: %u of %zu", i,
            probe.translated_count, given->argc);
    const unsigned char *map = doc->bytes + doc->part[MAP].offset + probe.map;
    for (size_t n = 0; n < given->argc; n++)
        REQUIRE(map[n] == n, GIVEN_MAP, "probe %zu: %zu is %u", i, n, map[n]);
    if (!judge_given_types(doc, i, probe.native) || !judge_given_types(doc, i, probe.translated))
        return false;
    REQUIRE(probe.offset_count == 1 && probe.enabled_count == 1, GIVEN_OFFSETS, "probe %zu: %u and %u", i,
            probe.offset_count, probe.enabled_count);
    if (!counter(doc, i, probe.addr, CHECK_PROBE, offset_at(doc, OFFSETS, probe.offsets), &pc) ||
        !counter(doc, i, probe.addr, CHECK_ENABLED, offset_at(doc, ENABLED, probe.enabled), &enabled))
        return false;
    REQUIRE(pc == slot + all->site, GIVEN_SITE, "probe %zu: %" PRIx64 ", slot %" PRIx64, i, pc, slot);
    REQUIRE(enabled == slot + all->enabled_site, GIVEN_ENABLED, "probe %zu: %" PRIx64 ", slot %" PRIx64, i,
            enabled, slot);
    REQUIRE(check_code(all, CHECK_PROBE, all->code, all->slot_size, all->site), CODE_SITE, "slot + %zu",
            all->site);
    REQUIRE(check_code(all, CHECK_ENABLED, all->code, all->slot_size, all->enabled_site), CODE_ENABLED,
            "slot + %zu", all->enabled_site);
    return true;
}

/* There are many pairs: strcmp() costs a fuzzer much more. */
static bool is_same(const char *a, const char *b)
{
    for (; *a == *b && *a != '\0'; a++)
        b++;
    return *a == *b;
}

/* That a probe is not the same as, nor at the place of, one before it. Of the offsets the first of
   each: the library writes no more, and judge_given() allows no more. */
static bool judge_pair(struct document *doc, size_t i, size_t before)
{
    struct check_dof_probe probe[2] = { probe_at(doc, i), probe_at(doc, before) };
    uint64_t pc[4];
    size_t n = 0;
    WANT(!is_same(string_at(doc, probe[0].name), string_at(doc, probe[1].name)) ||
                !is_same(string_at(doc, probe[0].function), string_at(doc, probe[1].function)),
            TWICE, "probes %zu and %zu", before, i);
    for (int p = 0; p < 2; p++) {
        if (!counter(doc, i, probe[p].addr, CHECK_PROBE, offset_at(doc, OFFSETS, probe[p].offsets), &pc[n++]))
            return false;
        if (probe[p].enabled_count > 0 && !counter(doc, i, probe[p].addr, CHECK_ENABLED,
                                                   offset_at(doc, ENABLED, probe[p].enabled), &pc[n++]))
            return false;
    }
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < a; b++)
            WANT(pc[a] != pc[b], SAME_ADDRESS, "probes %zu and %zu: %" PRIx64, before, i, pc[a]);
    return true;
}

static int in_order(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The same of the addresses of all probes, where they are too many for pairs. */
static bool judge_sorted(struct document *doc, size_t count)
{
    uint64_t *pc = doc->given->room;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct check_dof_probe probe = probe_at(doc, i);
        if (!counter(doc, i, probe.addr, CHECK_PROBE, offset_at(doc, OFFSETS, probe.offsets), &pc[n++]))
            return false;
        if (probe.enabled_count > 0 &&
            !counter(doc, i, probe.addr, CHECK_ENABLED, offset_at(doc, ENABLED, probe.enabled), &pc[n++]))
            return false;
    }
    qsort(pc, n, sizeof *pc, in_order);
    for (size_t i = 1; i < n; i++)
        WANT(pc[i] != pc[i - 1], SAME_ADDRESS, "two at %" PRIx64, pc[i]);
    return true;
}

static bool judge_probes(struct document *doc)
{
    size_t count = (size_t)doc->part[PROBES].size / sizeof(struct check_dof_probe);
    WANT(count > 0, PROBES_NONE, "%" PRIu64 " bytes", doc->part[PROBES].size);
    for (size_t i = 0; i < count; i++)
        if (!judge_probe(doc, i))
            return false;
    bool is_known = doc->given->provider != NULL;
    REQUIRE(!is_known || count == doc->given->count, GIVEN_COUNT, "%zu, not %zu", count, doc->given->count);
    if (doc->given->room != NULL && !judge_sorted(doc, count))
        return false;
    for (size_t i = 0; doc->given->room == NULL && i < count; i++)
        for (size_t before = 0; before < i; before++)
            if (!judge_pair(doc, i, before))
                return false;
    for (size_t i = 0; is_known && i < count; i++)
        if (!judge_given(doc, i))
            return false;
    return true;
}

bool check_dof(const struct check_given *given, const unsigned char *bytes, size_t len,
               struct check_verdict *verdict)
{
    struct document doc = { .given = given, .bytes = bytes, .len = len, .verdict = verdict };
    *verdict = (struct check_verdict){ .broken = CHECK_GOOD };
    for (size_t i = 0; i < sizeof systems / sizeof systems[0]; i++)
        if (strcmp(systems[i].name, given->system) == 0)
            doc.system = &systems[i];
    doc.is_i386 = strcmp(given->arch, "i386") == 0;
    doc.shifts = doc.system->xnu && strcmp(given->arch, "arm64") != 0;
    doc.misreads = doc.shifts || strcmp(given->system, "freebsd") == 0;
    return judge_header(&doc) && judge_sections(&doc) && judge_provider(&doc) && judge_probes(&doc);
}
