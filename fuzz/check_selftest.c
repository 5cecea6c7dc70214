/*
 * check_selftest.c - shows that the judges can say no: breaks each rule of check.h in a good document, one
 * at a time, and sees that this rule is the verdict. A rule that no case breaks is a failure too.
 *
 * A case is a few patches of members, found in the document by what they are: see enum place. Prints a
 * line for each, "ok" or "not ok", for tests/fuzz.t. The good documents are those of the library.
 */
#include "damage.h"
#include "usdt_internal.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
    unsigned char *bytes;
    size_t len;
    struct check_given given;
    struct check_probe probes[8];
    unsigned char code[256], id[USDT_BUILD_ID];
};

struct test {
    enum check_rule rule;
    const char *system, *arch; /* NULL: linux, x86_64; "*": every platform */
    struct patch patches[6];
    void (*edit)(struct work *); /* what patches cannot say; before them */
    size_t cut;                  /* to so many bytes */
    bool semaphores;             /* of an image that has some */
};

static const char *const platforms[][2] = {
    { "linux", "x86_64" },   { "linux", "i386" },   { "linux", "arm64" },    { "macos", "x86_64" },
    { "macos", "i386" },     { "macos", "arm64" },  { "freebsd", "x86_64" }, { "freebsd", "i386" },
    { "illumos", "x86_64" }, { "illumos", "i386" },
};

enum { S_NULL, S_TEXT, S_BASE, S_NOTES, S_ID, S_MORE, S_TYPES, S_NAMES };
static const char *const sections[] = { "",          ".text", ".stapsdt.base", ".note.stapsdt",
                                        ".note.gnu.build-id", ".usdt.probes", ".usdt.types", ".shstrtab" };
static unsigned char types[] = "struct one { int x; };\0enum two {\n\tTWO };";

static int failed;
static bool is_broken[CHECK_RULES];

/* ---- finding places ---- */

static Elf64_Ehdr elf_header(const struct work *work)
{
    Elf64_Ehdr header;
    memcpy(&header, work->bytes, sizeof header);
    return header;
}

static Elf64_Shdr elf_section(const struct work *work, size_t i)
{
    Elf64_Shdr section;
    memcpy(&section, work->bytes + elf_header(work).e_shoff + i * sizeof section, sizeof section);
    return section;
}

static size_t section_at(const struct work *work, unsigned which)
{
    Elf64_Ehdr header = elf_header(work);
    const char *names = (const char *)work->bytes + elf_section(work, header.e_shstrndx).sh_offset;
    for (size_t i = 0; i < header.e_shnum; i++)
        if (strcmp(names + elf_section(work, i).sh_name, sections[which]) == 0)
            return (size_t)header.e_shoff + i * sizeof(Elf64_Shdr);
    damage_die("no such section");
}

static Elf64_Shdr section_of(const struct work *work, unsigned which)
{
    Elf64_Shdr section;
    memcpy(&section, work->bytes + section_at(work, which), sizeof section);
    return section;
}

static size_t segment_at(const struct work *work, uint32_t type)
{
    Elf64_Ehdr header = elf_header(work);
    for (size_t i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        size_t at = (size_t)header.e_phoff + i * sizeof segment;
        memcpy(&segment, work->bytes + at, sizeof segment);
        if (segment.p_type == type)
            return at;
    }
    damage_die("no such segment");
}

static size_t note_at(const struct work *work, unsigned index)
{
    size_t at = (size_t)section_of(work, S_NOTES).sh_offset;
    for (unsigned i = 0; i < index; i++) {
        Elf64_Nhdr note;
        memcpy(&note, work->bytes + at, sizeof note);
        at += sizeof note + (note.n_namesz + 3u) / 4 * 4 + (note.n_descsz + 3u) / 4 * 4;
    }
    return at;
}

static size_t find_in_note(const struct work *work, enum place place, unsigned index)
{
    const char *bytes = (const char *)work->bytes;
    size_t desc = note_at(work, index) + sizeof(Elf64_Nhdr) + 8; /* "stapsdt" */
    size_t provider = desc + 24, name = provider + strlen(bytes + provider) + 1;
    switch (place) {
    case DESC: return desc;
    case NOTE_PROVIDER: return provider;
    case NOTE_NAME: return name;
    case ARGUMENTS: return name + strlen(bytes + name) + 1;
    default: damage_die("no such place");
    }
}

static size_t find_in_elf(const struct work *work, enum place place, unsigned index)
{
    switch (place) {
    case EHDR: return 0;
    case PHDR: return segment_at(work, index);
    case SHDR: return section_at(work, index);
    case TEXT_BYTES: return (size_t)section_of(work, S_TEXT).sh_offset;
    case MORE_BYTES: return (size_t)section_of(work, S_MORE).sh_offset;
    case TYPES_BYTES: return (size_t)section_of(work, S_TYPES).sh_offset;
    case ID_NOTE: return (size_t)section_of(work, S_ID).sh_offset;
    case NOTE: return note_at(work, index);
    default: return find_in_note(work, place, index);
    }
}

static unsigned char *find(struct work *work, const struct patch *patch, unsigned index)
{
    if (patch->place == SITE_CODE)
        return work->code + (long)work->given.site + patch->member;
    if (patch->place == ENABLED_CODE)
        return work->code + (long)work->given.enabled_site + patch->member;
    size_t at = find_in_elf(work, patch->place, index);
    at = (size_t)((long)at + patch->member);
    if (at > work->len || patch->width > work->len - at)
        damage_die("a patch is outside");
    return work->bytes + at;
}

static void apply(struct work *work, const struct patch *patch)
{
    if (patch->place < EHDR) {
        damage_dof(work->bytes, work->len, patch);
        return;
    }
    unsigned char *to = find(work, patch, patch->index);
    uint64_t value = 0;
    if (patch->mode == ADD)
        memcpy(&value, to, patch->width);
    else if (patch->mode == COPY)
        memcpy(&value, find(work, patch, patch->from), patch->width);
    else if (patch->mode == AT)
        value = section_of(work, patch->from).sh_offset;
    value += patch->value;
    memcpy(to, &value, patch->width);
}

/* ---- the good documents ---- */

static char long_name[64], long_function[128], long_type[128];
static const char *const two_types[] = { "int", "char *" };
static const char *many_types[13];

static void read_strings(void)
{
    memset(long_name, 'n', 63);
    memset(long_function, 'f', 127);
    memset(long_type, 't', 127);
    for (size_t i = 0; i < 13; i++)
        many_types[i] = long_type;
}

/* Slots: main:start(int, char *), none, main:end(), and the longest of everything, with 13 arguments. */
static void build(struct work *work, const struct usdt_platform *platform, bool elf, bool semaphores)
{
    static usdt_probedef_t *defs[4];
    static int widths[3][13];
    if (defs[0] == NULL) {
        read_strings();
        defs[0] = usdt_create_probe("main", "start", 2, (const char **)(uintptr_t)two_types);
        defs[2] = usdt_create_probe("main", "end", 0, NULL);
        defs[3] = usdt_create_probe(long_function, long_name, 13, many_types);
    }
    struct usdt_buf described = { .data = types, .len = sizeof types };
    struct usdt_layout layout = { .platform = platform, .provider = "prov-9.x", .module = "mod", .defs = defs,
                                  .count = 4, .page = 4096, .semaphores = semaphores, .types = &described };
    const struct usdt_stub *stub = platform->stub;
    widths[0][0] = -4;
    widths[0][1] = (int)platform->word;
    for (size_t i = 0; i < 13; i++)
        widths[2][i] = (int)platform->word;
    work->probes[0] = (struct check_probe){ "main", "start", two_types, widths[0], 2, 0 };
    work->probes[1] = (struct check_probe){ "main", "end", NULL, widths[1], 0, 2 };
    work->probes[2] = (struct check_probe){ long_function, long_name, many_types, widths[2], 13, 3 };
    memcpy(work->code, stub->code, stub->size);
    work->given = (struct check_given){
        .system = platform->system, .arch = platform->arch, .provider = "prov-9.x", .probes = work->probes,
        .count = 3, .code = work->code, .slot_size = stub->size, .site = stub->site,
        .enabled_site = stub->isenabled_site, .text = platform->word == 4 ? 0xb7700100 : 0x7f1234567100,
        .dof = platform->word == 4 ? 0xb7600000 : 0x7f1234000000, .page = 4096, .slots = 4, .build_id = work->id,
        .semaphores = semaphores, .types = (const char *)types, .types_size = sizeof types,
    };
    struct usdt_buf out = { 0 };
    size_t next = 0;
    if (elf ? !usdt_elf_build(&layout, &out, work->id)
            : !usdt_dof_build(&layout, work->given.text, work->given.dof, &next, &out))
        damage_die("a builder fails");
    work->bytes = out.data;
    work->len = out.len;
}

static bool judge(const struct work *work, bool elf, struct check_verdict *verdict)
{
    unsigned char *exact = malloc(work->len + 1); /* where a sanitizer sees one byte too far */
    if (exact == NULL)
        damage_die("malloc");
    memcpy(exact, work->bytes, work->len);
    bool good = (elf ? check_elf : check_dof)(&work->given, exact, work->len, verdict);
    free(exact);
    return good;
}

/* ---- edits ---- */

static void swap(unsigned char *a, unsigned char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = a[i];
        a[i] = b[i];
        b[i] = c;
    }
}

static unsigned char *dof_section(struct work *work, uint32_t i)
{
    return work->bytes + damage_dof_header(work->bytes).sections + i * sizeof(struct check_dof_section);
}

static void enabled_first(struct work *work)
{
    swap(dof_section(work, 0), work->bytes + damage_dof_section(work->bytes, CHECK_PRENOFFS),
         sizeof(struct check_dof_section));
}

static void drop_provider(struct work *work)
{
    struct check_dof_header header = damage_dof_header(work->bytes);
    swap(dof_section(work, header.section_count - 1), work->bytes + damage_dof_section(work->bytes, CHECK_PROVIDER),
         sizeof(struct check_dof_section));
    header.section_count--;
    memcpy(work->bytes, &header, sizeof header);
}

/* The provider takes a type of 127 characters for its name. */
static void type_for_name(struct work *work)
{
    uint32_t type = damage_dof_probe(work->bytes, 2).native;
    memcpy(work->bytes + damage_dof_contents(work->bytes, CHECK_PROVIDER) + offsetof(struct check_dof_provider, name), &type, 4);
}

/* The provider takes the end of it: 54 characters. */
static void longer_name(struct work *work)
{
    uint32_t name = damage_dof_probe(work->bytes, 2).native + 127 - 54;
    memcpy(work->bytes + damage_dof_contents(work->bytes, CHECK_PROVIDER) +
               offsetof(struct check_dof_provider, name), &name, 4);
}

/* A probe takes its function of 127 characters for its name. */
static void function_for_name(struct work *work)
{
    struct check_dof_probe probe = damage_dof_probe(work->bytes, 2);
    probe.name = probe.function;
    memcpy(work->bytes + damage_dof_place(work->bytes, PROBE, 2), &probe, sizeof probe);
}

static void one_less(struct work *work) { work->given.count--; }
static void one_argument_less(struct work *work) { work->probes[0].argc--; }
static void other_width(struct work *work)
{
    static const int widths[] = { -4, 4 };
    work->probes[0].widths = widths;
}
static void lower_limit(struct work *work) { work->given.below = work->len; }
static void more_slots(struct work *work) { work->given.slots = 1000; }
static void no_semaphores(struct work *work) { work->given.semaphores = false; }
static void half_page(struct work *work) { work->given.page = 2048; }
static void small_page(struct work *work) { work->given.page = 16; }

static void swap_text_and_base(struct work *work)
{
    swap(work->bytes + section_at(work, S_TEXT), work->bytes + section_at(work, S_BASE), sizeof(Elf64_Shdr));
}

/* Two loaded segments, of which the text is in the second. */
static void text_in_second(struct work *work)
{
    Elf64_Ehdr header = elf_header(work);
    uint64_t text = section_of(work, S_TEXT).sh_offset, end = section_of(work, S_BASE).sh_offset + 1;
    Elf64_Phdr segments[2] = {
        { PT_LOAD, PF_R, 0, 0, 0, text, text, 4096 },
        { PT_LOAD, PF_R | PF_X, text, text, text, end - text, end - text, 4096 },
    };
    memcpy(work->bytes + header.e_phoff, segments, sizeof segments);
}

/* The first note that needs padding has something in it. */
static void dirty_padding(struct work *work)
{
    for (unsigned i = 0; i < 3; i++) {
        Elf64_Nhdr note;
        size_t at = note_at(work, i);
        memcpy(&note, work->bytes + at, sizeof note);
        if (note.n_descsz % 4 != 0) {
            work->bytes[at + sizeof note + 8 + note.n_descsz] = 1;
            return;
        }
    }
    damage_die("no note needs padding");
}

/* The last note gets a 13th operand; its name gives the room, and what is left of it goes to the provider. */
static void thirteenth(struct work *work)
{
    static const char more[] = " 8@48(%rsp)";
    char *provider = (char *)work->bytes + find_in_elf(work, NOTE_PROVIDER, 2);
    char *operands = (char *)work->bytes + find_in_elf(work, ARGUMENTS, 2), *to = operands - strlen(more);
    size_t len = strlen(operands);
    memmove(to, operands, len);
    memcpy(to + len, more, sizeof more);
    memset(provider, 'p', (size_t)(to - 3 - provider));
    memcpy(to - 3, "\0n", 3);
}

/* ---- the cases ---- */


static const struct test dof_tests[] = {
    { CHECK_DOF_SHORT, .cut = 63 },
    { CHECK_DOF_SHORT, .cut = 1 },
    { CHECK_DOF_MAGIC, .patches = { BYTE(HEADER, 0, 0, 'E') } },
    { CHECK_DOF_MAGIC, .patches = { BYTE(HEADER, 0, 3, 'f') } },
    { CHECK_DOF_MODEL_KNOWN, .patches = { HDR(model, SET, 3) } },
    { CHECK_DOF_MODEL, .patches = { HDR(model, SET, 1) } },
    { CHECK_DOF_MODEL, "linux", "i386", .patches = { HDR(model, SET, 2) } },
    { CHECK_DOF_ENCODING, .patches = { HDR(encoding, SET, 2) } },
    { CHECK_DOF_VERSION, .patches = { HDR(version, SET, 0) } },
    { CHECK_DOF_VERSION, .patches = { HDR(version, SET, 4) } },
    { CHECK_DOF_VERSION, "macos", "x86_64", .patches = { HDR(version, SET, 2) } },
    { CHECK_DOF_VERSION, "freebsd", "x86_64", .patches = { HDR(version, SET, 3) } },
    { CHECK_DOF_VERSION, "illumos", "i386", .patches = { HDR(version, SET, 3) } },
    { CHECK_DOF_DIF_VERSION, .patches = { HDR(dif_version, SET, 1) } },
    { CHECK_DOF_REGISTERS, .patches = { HDR(registers, SET, 9) } },
    { CHECK_DOF_REGISTERS, .patches = { HDR(tuple_registers, SET, 9) } },
    { CHECK_DOF_IDENT, .patches = { BYTE(HEADER, 0, 10, 1) } },
    { CHECK_DOF_IDENT, .patches = { BYTE(HEADER, 0, 15, 1) } },
    { CHECK_DOF_FLAGS, .patches = { HDR(flags, SET, 1) } },
    { CHECK_DOF_HEADER_SIZE, .patches = { HDR(header_size, SET, 72) } },
    { CHECK_DOF_SECTION_SIZE, .patches = { HDR(section_size, SET, 40) } },
    { CHECK_DOF_LOADED_SMALL, .patches = { HDR(loaded, SET, 63) } },
    { CHECK_DOF_LOADED_LIMIT, .patches = { HDR(loaded, SET, 256 << 20) } },
    { CHECK_DOF_LOADED_LIMIT, "macos", "arm64", .patches = { HDR(loaded, SET, 512 << 10) } },
    { CHECK_DOF_LOADED_LIMIT, "illumos", "x86_64", .patches = { HDR(loaded, SET, 8 << 20) } },
    { CHECK_DOF_LOADED_LIMIT, .edit = lower_limit },
    { CHECK_DOF_LOADED, .patches = { HDR(loaded, ADD, MINUS(8)) } },
    { CHECK_DOF_LOADED, .patches = { HDR(loaded, ADD, 8) } },
    { CHECK_DOF_FILE_SIZE, .patches = { HDR(file_size, ADD, 8) } },
    { CHECK_DOF_TABLE_BOUNDS, .patches = { HDR(section_count, SET, UINT32_MAX) } },
    { CHECK_DOF_TABLE_BOUNDS, .patches = { HDR(sections, SET, MINUS(32)) } },
    { CHECK_DOF_TABLE_ALIGNED, .patches = { HDR(sections, ADD, 4) } },
    { CHECK_DOF_SECTION_KIND, .patches = { SEC(STRTAB, type, SET, 1) } },
    { CHECK_DOF_SECTION_TWICE, .patches = { SEC(PRENOFFS, type, SET, CHECK_PROFFS) } },
    { CHECK_DOF_SECTION_LOAD, .patches = { SEC(PROBES, flags, SET, 0) } },
    { CHECK_DOF_SECTION_BOUNDS, .patches = { SEC(PRARGS, size, ADD, 1 << 20) } },
    { CHECK_DOF_SECTION_BOUNDS, .patches = { SEC(PROBES, offset, SET, MINUS(48)) } },
    { CHECK_DOF_SECTION_ALIGN, .patches = { SEC(PROBES, align, SET, 0) } },
    { CHECK_DOF_SECTION_ALIGN, .patches = { SEC(STRTAB, align, SET, 3) } },
    { CHECK_DOF_SECTION_ALIGNED, .patches = { SEC(PROBES, offset, ADD, 4) } },
    { CHECK_DOF_SECTION_NATURAL, .patches = { SEC(PROBES, align, SET, 4) } },
    { CHECK_DOF_SECTION_NATURAL, .patches = { SEC(PROFFS, align, SET, 2) } },
    { CHECK_DOF_SECTION_OVERLAP, .patches = { SEC(PRARGS, offset, SET, 0) } },
    { CHECK_DOF_SECTION_OVERLAP, .patches = { SEC(PRARGS, offset, SET, 64) } },
    { CHECK_DOF_SECTION_OVERLAP,
      .patches = { { SECTION, CHECK_PRENOFFS, MEMBER(struct check_dof_section, offset), AT, 0, CHECK_PROFFS } } },
    { CHECK_DOF_STRINGS_NUL, .patches = { SEC(STRTAB, size, ADD, MINUS(1)) } },
    { CHECK_DOF_ENTRY_SIZE, .patches = { SEC(PROBES, entry_size, SET, 47) } },
    { CHECK_DOF_ENTRY_SIZE, .patches = { SEC(PRARGS, entry_size, SET, 0) } },
    { CHECK_DOF_ENTRIES, .patches = { SEC(PROBES, size, ADD, MINUS(1)) } },
    { CHECK_DOF_ENTRIES, .patches = { SEC(PRENOFFS, size, ADD, MINUS(2)) } },
    { CHECK_DOF_SECTION_ZERO, .edit = enabled_first },
    { CHECK_DOF_PROVIDER_NONE, .edit = drop_provider },
    { CHECK_DOF_PROVIDER_SHORT, .patches = { SEC(PROVIDER, size, SET, 40) } },
    { CHECK_DOF_REFERENCE, .patches = { PROV(strings, SET, 99) } },
    { CHECK_DOF_REFERENCE, .patches = { PROV(probes, SET, 0) } },
    { CHECK_DOF_REFERENCE, .patches = { PROV(map, SET, UINT32_MAX) } },
    { CHECK_DOF_REFERENCE, .patches = { PROV(offsets, SET, 0) } },
    { CHECK_DOF_REFERENCE, .patches = { PROV(enabled, SET, 99) } },
    { CHECK_DOF_STRING, .patches = { PROV(name, SET, 1 << 20) } },
    { CHECK_DOF_STRING, .patches = { PRB(0, function, SET, 1 << 20) } },
    { CHECK_DOF_STRING, .patches = { PRB(1, name, SET, UINT32_MAX) } },
    { CHECK_DOF_STRING, .patches = { PRB(2, native, SET, UINT32_MAX) } },
    { CHECK_DOF_STRING, .patches = { PRB(2, translated, SET, 1 << 20) } },
    { CHECK_DOF_PROVIDER_FIELD, .edit = type_for_name },
    { CHECK_DOF_PROVIDER_LONG, .edit = longer_name },
    { CHECK_DOF_PROVIDER_NAME, .patches = { BYTE(PROVIDER_STRING, 0, 0, '9') } },
    { CHECK_DOF_PROVIDER_NAME, .patches = { BYTE(PROVIDER_STRING, 0, 2, ':') } },
    { CHECK_DOF_PROVIDER_NAME, .patches = { PROV(name, ADD, 8) } },
    { CHECK_DOF_PROVIDER_DIGIT, .patches = { BYTE(PROVIDER_STRING, 0, 7, '1') } },
    { CHECK_DOF_PROVIDER_RESERVED, .patches = { WORD(PROVIDER_STRING, 0, 0, SET, 0x646970) } },
    { CHECK_DOF_PROVIDER_RESERVED, "macos", "x86_64",
      .patches = { WORD(PROVIDER_STRING, 0, 0, SET, 0x636a626f), BYTE(PROVIDER_STRING, 0, 4, 0) } },
    { CHECK_DOF_STABILITY, .patches = { PROV(attributes[0], SET, 8u << 24) } },
    { CHECK_DOF_STABILITY, .patches = { PROV(attributes[4], SET, 8u << 16) } },
    { CHECK_DOF_CLASS, .patches = { PROV(attributes[2], SET, 6u << 8) } },
    { CHECK_DOF_PROBES_NONE, .patches = { SEC(PROBES, size, SET, 0) } },
    { CHECK_DOF_FUNCTION_LONG, .patches = { BYTE(FUNCTION_STRING, 2, 127, 'f') } },
    { CHECK_DOF_FUNCTION_NAME, .patches = { BYTE(FUNCTION_STRING, 2, 5, ' ') } },
    { CHECK_DOF_PROBE_LONG, .edit = function_for_name },
    { CHECK_DOF_PROBE_NAME, .patches = { BYTE(NAME_STRING, 2, 0, '-') } },
    { CHECK_DOF_TYPE_LONG, .patches = { BYTE(TYPE_STRING, 2, 127, 't') } },
    { CHECK_DOF_TYPE_EMPTY, .patches = { BYTE(TYPE_STRING, 0, 0, 0) } },
    { CHECK_DOF_MAP_BOUNDS, .patches = { PRB(2, map, SET, UINT32_MAX) } },
    { CHECK_DOF_MAP_INDEX, .patches = { BYTE(MAP, 0, 1, 2) } },
    { CHECK_DOF_MAP_READ, "freebsd", "x86_64", .patches = { BYTE(MAP, 2, 7, 8) } },
    { CHECK_DOF_MAP_READ, "macos", "x86_64", .patches = { BYTE(MAP, 2, 0, 1) } },
    { CHECK_DOF_OFFSETS_NONE, .patches = { PRB(1, offset_count, SET, 0) } },
    { CHECK_DOF_OFFSETS_BOUNDS, .patches = { PRB(1, offsets, SET, UINT32_MAX) } },
    { CHECK_DOF_OFFSETS_BOUNDS, .patches = { PRB(0, offset_count, SET, 4) } },
    { CHECK_DOF_ENABLED_BOUNDS, .patches = { PRB(2, enabled, SET, 3) } },
    { CHECK_DOF_ENABLED_LOST, .patches = { HDR(version, SET, 2) } },
    { CHECK_DOF_ENABLED_LOST, "freebsd", "i386", .patches = { HDR(version, SET, 1) } },
    { CHECK_DOF_OFFSET_NEGATIVE, .patches = { WORD(OFFSETS, 0, 0, SET, 0xfffffffc) } },
    { CHECK_DOF_OFFSET_NEGATIVE, "illumos", "x86_64", .patches = { WORD(ENABLED, 2, 0, SET, 0x80000000) } },
    { CHECK_DOF_ADDRESS, .patches = { PRB(1, addr, SET, UINT64_MAX) } },
    { CHECK_DOF_ADDRESS, "linux", "i386", .patches = { PRB(0, addr, SET, UINT32_MAX) } },
    { CHECK_DOF_ADDRESS, "linux", "i386", .patches = { PRB(0, addr, SET, UINT64_C(1) << 32) } },
    { CHECK_DOF_PADDING, .patches = { PRB(0, pad16, SET, 1) } },
    { CHECK_DOF_PADDING, .patches = { PRB(2, pad32, SET, 1) } },
    { CHECK_DOF_TWICE, .patches = { AS(1, name, 0) } },
    { CHECK_DOF_SAME_ADDRESS, .patches = { AS(1, addr, 0) } },
    { CHECK_DOF_SAME_ADDRESS, "macos", "x86_64", .patches = { { OFFSETS, 2, 0, 4, COPY, 0, 1 } } },
    { CHECK_DOF_SAME_ADDRESS, "macos", "arm64", .patches = { { ENABLED, 2, 0, 4, COPY, 0, 0 } } },
    { CHECK_DOF_GIVEN_PROVIDER, .patches = { BYTE(PROVIDER_STRING, 0, 7, 'y') } },
    { CHECK_DOF_GIVEN_COUNT, .patches = { SEC(PROBES, size, ADD, MINUS(48)) } },
    { CHECK_DOF_GIVEN_COUNT, .edit = one_less },
    { CHECK_DOF_GIVEN_FUNCTION, .patches = { BYTE(FUNCTION_STRING, 2, 126, 'g') } },
    { CHECK_DOF_GIVEN_NAME, .patches = { BYTE(NAME_STRING, 2, 62, 'm') } },
    { CHECK_DOF_GIVEN_NATIVE, .patches = { PRB(0, native_count, SET, 1), PRB(0, translated_count, SET, 1) } },
    { CHECK_DOF_GIVEN_NATIVE, .edit = one_argument_less },
    { CHECK_DOF_GIVEN_TRANSLATED, .patches = { PRB(0, translated_count, SET, 1) } },
    { CHECK_DOF_GIVEN_MAP, .patches = { BYTE(MAP, 0, 0, 1) } },
    { CHECK_DOF_GIVEN_TYPE, .patches = { BYTE(TYPE_STRING, 0, 0, 'I') } },
    { CHECK_DOF_GIVEN_TYPE, .patches = { BYTE(TYPE_STRING, 0, 9, '&') } },
    { CHECK_DOF_GIVEN_TYPE, .patches = { PRB(0, translated, ADD, 1) } },
    { CHECK_DOF_GIVEN_OFFSETS, .patches = { PRB(0, offset_count, SET, 2) } },
    { CHECK_DOF_GIVEN_OFFSETS, .patches = { PRB(1, enabled_count, SET, 0) } },
    { CHECK_DOF_GIVEN_SITE, "*", "*", .patches = { WORD(OFFSETS, 1, 0, ADD, 1) } },
    { CHECK_DOF_GIVEN_ENABLED, "*", "*", .patches = { WORD(ENABLED, 2, 0, ADD, 1) } },
    { CHECK_DOF_CODE_SITE, "*", "*", .patches = { BYTE(SITE_CODE, 0, 0, 0xcc) } },
    { CHECK_DOF_CODE_SITE, .patches = { BYTE(SITE_CODE, 0, 5, 0x80) } },
    { CHECK_DOF_CODE_ENABLED, "*", "*", .patches = { BYTE(ENABLED_CODE, 0, 0, 0xcc) } },
    { CHECK_DOF_CODE_ENABLED, .patches = { BYTE(ENABLED_CODE, 0, -1, 0xe6) } },
    { CHECK_DOF_CODE_ENABLED, "illumos", "x86_64", .patches = { BYTE(ENABLED_CODE, 0, -2, 0x90) } },
    { CHECK_DOF_CODE_ENABLED, "freebsd", "i386", .patches = { BYTE(ENABLED_CODE, 0, -1, 0xc9) } },
};

#define EH(name, how, value) { EHDR, 0, MEMBER(Elf64_Ehdr, name), how, value, 0 }
#define PH(type, name, how, value) { PHDR, PT_##type, MEMBER(Elf64_Phdr, name), how, value, 0 }
#define SH(section, name, how, value) { SHDR, S_##section, MEMBER(Elf64_Shdr, name), how, value, 0 }
#define NH(i, name, how, value) { NOTE, i, MEMBER(Elf64_Nhdr, name), how, value, 0 }
#define NAMED(section, other) { SHDR, S_##section, MEMBER(Elf64_Shdr, sh_name), COPY, 0, S_##other }

static const struct test elf_tests[] = {
    { CHECK_ELF_SHORT, .cut = 63 },
    { CHECK_ELF_SHORT, .cut = 1 },
    { CHECK_ELF_SHORT, "linux", "i386", .cut = 51 },
    { CHECK_ELF_MAGIC, .patches = { BYTE(EHDR, 0, 3, 'f') } },
    { CHECK_ELF_CLASS, .patches = { BYTE(EHDR, 0, EI_CLASS, ELFCLASS32) } },
    { CHECK_ELF_DATA, .patches = { BYTE(EHDR, 0, EI_DATA, ELFDATA2MSB) } },
    { CHECK_ELF_VERSION, .patches = { BYTE(EHDR, 0, EI_VERSION, 0) } },
    { CHECK_ELF_VERSION, .patches = { EH(e_version, SET, 2) } },
    { CHECK_ELF_TYPE, .patches = { EH(e_type, SET, ET_EXEC) } },
    { CHECK_ELF_MACHINE, .patches = { EH(e_machine, SET, EM_386) } },
    { CHECK_ELF_MACHINE, "linux", "arm64", .patches = { EH(e_machine, SET, EM_X86_64) } },
    { CHECK_ELF_HEADER_SIZE, .patches = { EH(e_ehsize, SET, 52) } },
    { CHECK_ELF_HEADER_ZERO, .patches = { EH(e_entry, SET, 1) } },
    { CHECK_ELF_HEADER_ZERO, .patches = { EH(e_flags, SET, 1) } },
    { CHECK_ELF_TABLE_NONE, .patches = { EH(e_phnum, SET, 0) } },
    { CHECK_ELF_TABLE_NONE, .patches = { EH(e_shoff, SET, 0) } },
    { CHECK_ELF_TABLE_ENTRY, .patches = { EH(e_phentsize, SET, 32) } },
    { CHECK_ELF_TABLE_ENTRY, .patches = { EH(e_shentsize, SET, 40) } },
    { CHECK_ELF_TABLE_BOUNDS, .patches = { EH(e_shnum, ADD, 1) } },
    { CHECK_ELF_TABLE_BOUNDS, .patches = { EH(e_phoff, SET, MINUS(64)) } },
    { CHECK_ELF_TABLE_ALIGNED, .patches = { EH(e_phoff, ADD, 4) } },
    { CHECK_ELF_TABLE_ALIGNED, .patches = { EH(e_shoff, ADD, MINUS(4)) } },
    { CHECK_ELF_SEGMENT_BOUNDS, .patches = { PH(LOAD, p_filesz, ADD, 1 << 20) } },
    { CHECK_ELF_SEGMENT_BOUNDS, .patches = { PH(NOTE, p_offset, SET, MINUS(8)) } },
    { CHECK_ELF_SEGMENT_WX, .patches = { PH(LOAD, p_flags, SET, PF_R | PF_W | PF_X) } },
    { CHECK_ELF_SEGMENT_PLACE, .patches = { PH(LOAD, p_vaddr, ADD, 4096) } },
    { CHECK_ELF_SEGMENT_SIZE, .patches = { PH(LOAD, p_memsz, ADD, MINUS(1)) } },
    { CHECK_ELF_SEGMENT_ALIGN, .patches = { PH(NOTE, p_align, SET, 3) } },
    { CHECK_ELF_SEGMENT_PAGE, .patches = { PH(LOAD, p_align, SET, 16) } },
    { CHECK_ELF_SEGMENT_ORDER, .patches = { PH(NOTE, p_align, SET, 4096), PH(NOTE, p_type, SET, PT_LOAD) } },
    { CHECK_ELF_SECTION_ZERO, .patches = { SH(NULL, sh_type, SET, SHT_PROGBITS) } },
    { CHECK_ELF_SECTION_ZERO, .patches = { SH(NULL, sh_link, SET, 1) } },
    { CHECK_ELF_NAMES, .patches = { EH(e_shstrndx, SET, 99) } },
    { CHECK_ELF_NAMES, .patches = { EH(e_shstrndx, SET, 0) } },
    { CHECK_ELF_SECTION_BOUNDS, .patches = { SH(TEXT, sh_size, ADD, 1 << 20) } },
    { CHECK_ELF_SECTION_BOUNDS, .patches = { SH(NAMES, sh_offset, SET, MINUS(1)) } },
    { CHECK_ELF_NAMES_NUL, .patches = { SH(NAMES, sh_size, ADD, MINUS(1)) } },
    { CHECK_ELF_NAME_BOUNDS, .patches = { SH(TEXT, sh_name, SET, 5000) } },
    { CHECK_ELF_SECTION_ALIGN, .patches = { SH(TEXT, sh_addralign, SET, 3) } },
    { CHECK_ELF_SECTION_ALIGNED, .patches = { SH(TEXT, sh_addralign, SET, 1 << 20) } },
    { CHECK_ELF_SECTION_PLACE, .patches = { SH(TEXT, sh_addr, ADD, 64) } },
    { CHECK_ELF_SECTION_SPARE, .patches = { SH(NOTES, sh_link, SET, 1) } },
    { CHECK_ELF_SECTION_SPARE, .patches = { SH(TEXT, sh_entsize, SET, 64) } },
    { CHECK_ELF_SECTION_SPARE, .patches = { SH(NAMES, sh_addr, SET, 1) } },
    { CHECK_ELF_SECTION_LOADED, .patches = { PH(LOAD, p_flags, SET, PF_R) } },
    { CHECK_ELF_SECTION_LOADED, .patches = { PH(LOAD, p_filesz, SET, 4096), PH(LOAD, p_memsz, SET, 4096) } },
    { CHECK_ELF_OVERLAP, .patches = { { SHDR, S_NOTES, MEMBER(Elf64_Shdr, sh_offset), AT, 0, S_TEXT } } },
    { CHECK_ELF_SECTION_MISSING, .patches = { NAMED(NOTES, NAMES) } },
    { CHECK_ELF_SECTION_MISSING, .patches = { NAMED(ID, NAMES) } },
    { CHECK_ELF_SECTION_TWICE, .patches = { NAMED(NOTES, BASE) } },
    { CHECK_ELF_SECTION_TYPE, .patches = { SH(BASE, sh_type, SET, SHT_NOBITS) } },
    { CHECK_ELF_SECTION_TYPE, .patches = { SH(NOTES, sh_type, SET, SHT_PROGBITS) } },
    { CHECK_ELF_SECTION_FLAGS, .patches = { SH(BASE, sh_flags, SET, SHF_ALLOC | SHF_EXECINSTR) } },
    { CHECK_ELF_SECTION_FLAGS, .patches = { SH(TEXT, sh_flags, SET, SHF_ALLOC) } },
    { CHECK_ELF_SECTION_FLAGS, .patches = { SH(NOTES, sh_flags, SET, SHF_WRITE) } },
    { CHECK_ELF_ORDER, .edit = swap_text_and_base },
    { CHECK_ELF_BASE_SIZE, .patches = { SH(BASE, sh_size, SET, 0) } },
    { CHECK_ELF_TEXT_FIRST, .edit = text_in_second },
    { CHECK_ELF_TEXT_END, .patches = { SH(TEXT, sh_size, ADD, MINUS(64)) } },
    { CHECK_ELF_BUILD_ID_SEGMENT, .patches = { PH(NOTE, p_type, SET, PT_SHLIB) } },
    { CHECK_ELF_BUILD_ID_SEGMENT, .patches = { PH(NOTE, p_filesz, ADD, MINUS(4)) } },
    { CHECK_ELF_BUILD_ID_NOTE, .patches = { WORD(ID_NOTE, 0, 8, SET, 1) } },
    { CHECK_ELF_BUILD_ID_NOTE, .patches = { BYTE(ID_NOTE, 0, 12, 'g') } },
    { CHECK_ELF_BUILD_ID_SIZE, .patches = { WORD(ID_NOTE, 0, 4, SET, 16), SH(ID, sh_size, ADD, MINUS(4)),
                                             PH(NOTE, p_filesz, ADD, MINUS(4)) } },
    { CHECK_ELF_NOTES_ALIGNED,
      .patches = { SH(NOTES, sh_addralign, SET, 1), SH(NOTES, sh_size, ADD, MINUS(2)), SH(NOTES, sh_offset, ADD, 2) } },
    { CHECK_ELF_NOTE_BOUNDS, .patches = { NH(2, n_descsz, ADD, 8) } },
    { CHECK_ELF_NOTE_BOUNDS, .patches = { NH(0, n_descsz, SET, UINT32_MAX) } },
    { CHECK_ELF_NOTE_BOUNDS, .patches = { NH(0, n_namesz, SET, UINT32_MAX) } },
    { CHECK_ELF_NOTE_OWNER, .patches = { NH(1, n_type, SET, 4) } },
    { CHECK_ELF_NOTE_OWNER, .patches = { BYTE(NOTE, 2, 12, 'S') } },
    { CHECK_ELF_NOTE_STRINGS, .patches = { NH(2, n_descsz, SET, 8) } },
    { CHECK_ELF_NOTE_STRINGS, .patches = { BYTE(ARGUMENTS, 0, 7, 0) } },
    { CHECK_ELF_NOTE_PADDING, .edit = dirty_padding },
    { CHECK_ELF_NOTE_BASE, .patches = { { DESC, 1, 8, 8, ADD, 1, 0 } } },
    { CHECK_ELF_NOTE_SITE, .patches = { { DESC, 0, 0, 8, SET, 64, 0 } } },
    { CHECK_ELF_NOTE_SITE, .patches = { { DESC, 0, 0, 8, SET, UINT64_MAX, 0 } } },
    { CHECK_ELF_NOTE_SEMAPHORE, .patches = { { DESC, 2, 16, 8, AT, 0, S_BASE } } },
    { CHECK_ELF_NOTE_SEMAPHORE, .patches = { { DESC, 1, 16, 8, ADD, 1, 0 } }, .semaphores = true },
    { CHECK_ELF_NOTE_SEMAPHORE, .patches = { { DESC, 2, 16, 8, ADD, 2, 0 } }, .semaphores = true },
    { CHECK_ELF_PROVIDER_NAME, .patches = { BYTE(NOTE_PROVIDER, 0, 4, ':') } },
    { CHECK_ELF_PROBE_NAME, .patches = { BYTE(NOTE_NAME, 1, 0, '9') } },
    { CHECK_ELF_PROBE_NAME, .patches = { BYTE(NOTE_NAME, 2, 63, '-'), BYTE(NOTE_NAME, 2, 65, 0) } },
    { CHECK_ELF_OPERAND_SIZE, .patches = { BYTE(ARGUMENTS, 0, 1, '3') } },
    { CHECK_ELF_OPERAND_SIZE, .patches = { BYTE(ARGUMENTS, 0, 2, '#') } },
    { CHECK_ELF_OPERAND_PLACE, .patches = { BYTE(ARGUMENTS, 0, 4, 'r') } },
    { CHECK_ELF_OPERAND_PLACE, .patches = { BYTE(ARGUMENTS, 0, 12, 'd') } },
    { CHECK_ELF_OPERAND_PLACE, "linux", "arm64", .patches = { BYTE(ARGUMENTS, 0, 3, 'w') } },
    { CHECK_ELF_OPERAND_END, .patches = { BYTE(ARGUMENTS, 0, 7, ',') } },
    { CHECK_ELF_OPERANDS, .edit = thirteenth },
    { CHECK_ELF_GIVEN_COUNT, .edit = one_less },
    { CHECK_ELF_GIVEN_PROVIDER, .patches = { BYTE(NOTE_PROVIDER, 2, 0, 'P') } },
    { CHECK_ELF_GIVEN_NAME, .patches = { BYTE(NOTE_NAME, 1, 0, 'E') } },
    { CHECK_ELF_GIVEN_SITE, .patches = { { DESC, 1, 0, 8, ADD, 64, 0 } } },
    { CHECK_ELF_GIVEN_SEMAPHORE, .patches = { { DESC, 1, 16, 8, ADD, 2, 0 } }, .semaphores = true },
    { CHECK_ELF_GIVEN_SEMAPHORE, .edit = no_semaphores, .semaphores = true },
    { CHECK_ELF_GIVEN_OPERANDS, .edit = one_argument_less },
    { CHECK_ELF_GIVEN_WIDTH, .patches = { BYTE(ARGUMENTS, 0, 8, '4'), BYTE(ARGUMENTS, 0, 11, 'e') } },
    { CHECK_ELF_GIVEN_WIDTH, .edit = other_width },
    { CHECK_ELF_GIVEN_BUILD_ID, .patches = { BYTE(ID_NOTE, 0, 16, 0), BYTE(ID_NOTE, 0, 17, 1), BYTE(ID_NOTE, 0, 18, 2) } },
    { CHECK_ELF_CODE_SITE, .patches = { BYTE(TEXT_BYTES, 0, 8, 0xcc) } },
    { CHECK_ELF_CODE_SITE, .patches = { { DESC, 0, 0, 8, ADD, 1, 0 } } },
    { CHECK_ELF_CODE_PAGE, .edit = small_page },
    { CHECK_ELF_TYPES, .patches = { BYTE(TYPES_BYTES, 0, 5, 0x1b) } },
    { CHECK_ELF_TYPES, .patches = { BYTE(TYPES_BYTES, 0, 5, 0x7f) } },
    { CHECK_ELF_TYPES, .patches = { SH(TYPES, sh_size, ADD, MINUS(1)) } },
    { CHECK_ELF_TYPES, .patches = { SH(TYPES, sh_size, SET, 0) } },
    { CHECK_ELF_GIVEN_TYPES, .patches = { BYTE(TYPES_BYTES, 0, 5, 'x') } },
    { CHECK_ELF_GIVEN_TYPES, .patches = { SH(TYPES, sh_size, SET, 23) } },
    { CHECK_ELF_GIVEN_TYPES, .patches = { NAMED(TYPES, NAMES) } },
    { CHECK_ELF_GIVEN_MORE, .patches = { BYTE(MORE_BYTES, 0, 5, 'x') } },
    { CHECK_ELF_GIVEN_MORE, .patches = { SH(MORE, sh_size, ADD, MINUS(1)) } },
    { CHECK_ELF_GIVEN_SLOTS, .edit = more_slots },
    { CHECK_ELF_GIVEN_SLOTS, .edit = half_page },
    { CHECK_ELF_GIVEN_STUBS, .patches = { BYTE(TEXT_BYTES, 0, 64, 0xcc) } },
    { CHECK_ELF_GIVEN_STUBS, .patches = { BYTE(SITE_CODE, 0, 12, 0xcc) } },
};

/* ---- running them ---- */

static void report(bool ok, const char *rule, const char *system, const char *arch, const char *what,
                   const struct check_verdict *verdict)
{
    printf("%s %s, %s %s: %s", ok ? "ok" : "not ok", rule, system, arch, what);
    if (!ok && verdict != NULL)
        printf(" [the verdict is %s: %s]", check_rule_name(verdict->broken), verdict->where);
    printf("\n");
    failed |= !ok;
}

static void run_on(const struct test *test, bool elf, const char *system, const char *arch)
{
    const struct usdt_platform *platform = usdt_platform_find(system, arch);
    struct check_verdict verdict;
    struct work work;
    is_broken[test->rule] = true;
    if (platform == NULL || platform->stub == NULL)
        return;
    build(&work, platform, elf, test->semaphores);
    if (test->edit != NULL)
        test->edit(&work);
    for (const struct patch *patch = test->patches; patch->place != NOWHERE; patch++)
        apply(&work, patch);
    if (test->cut != 0)
        work.len = test->cut;
    bool good = judge(&work, elf, &verdict);
    report(!good && verdict.broken == test->rule, check_rule_name(test->rule), system, arch,
           "broken, and found so", &verdict);
    free(work.bytes);
}

static void run(const struct test *tests, size_t count, bool elf)
{
    for (size_t i = 0; i < count; i++) {
        const char *system = tests[i].system == NULL ? "linux" : tests[i].system;
        const char *arch = tests[i].arch == NULL ? "x86_64" : tests[i].arch;
        for (size_t p = 0; p < sizeof platforms / sizeof platforms[0]; p++)
            if (strcmp(system, "*") == 0 ||
                (strcmp(system, platforms[p][0]) == 0 && strcmp(arch, platforms[p][1]) == 0))
                run_on(&tests[i], elf, platforms[p][0], platforms[p][1]);
    }
}

static void run_good(const char *system, const char *arch, bool elf, bool semaphores)
{
    const struct usdt_platform *platform = usdt_platform_find(system, arch);
    struct check_verdict verdict;
    struct work work;
    if (platform->stub == NULL || (elf && platform->elf_machine == 0))
        return;
    build(&work, platform, elf, semaphores);
    bool good = judge(&work, elf, &verdict);
    report(good, elf ? "ELF" : "DOF", system, arch, "a good document is good", &verdict);
    free(work.bytes);
}

int main(void)
{
    for (size_t i = 0; i < sizeof platforms / sizeof platforms[0]; i++) {
        run_good(platforms[i][0], platforms[i][1], false, false);
        run_good(platforms[i][0], platforms[i][1], true, false);
        run_good(platforms[i][0], platforms[i][1], true, true);
    }
    run(dof_tests, sizeof dof_tests / sizeof dof_tests[0], false);
    run(elf_tests, sizeof elf_tests / sizeof elf_tests[0], true);
    for (int rule = CHECK_GOOD + 1; rule < CHECK_RULES; rule++)
        if (!is_broken[rule])
            report(false, check_rule_name((enum check_rule)rule), "*", "*", "no case breaks it", NULL);
    return failed;
}
