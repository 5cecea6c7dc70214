/*
 * usdt_elf.c - the ELF image that the Linux tracers read: stubs, and a note for each probe.
 *
 * Pure: no system calls, no address of this process, so that equal definitions give equal images.
 * Owns the file's layout and the note format (SystemTap's "stapsdt" version 3).
 *
 *     0         ELF header, program headers, build-id note
 *     64 x n    .text            stubs, to the end of a page: so far the file is mapped
 *     page      .stapsdt.base    one byte, its address is in every note
 *     2 x n     .probes          semaphores, if asked for: the file is mapped there once more, writable
 *               .note.stapsdt
 *               .usdt.probes     what a note cannot say: function and C types, for usdt(1)
 *               .usdt.types      descriptions of structures, if there are any
 *               .shstrtab, section headers
 *
 * Addresses equal file offsets throughout: consumers derive one from the other in different ways,
 * and so all agree. For the same reason the mapping begins with the file: DTrace for Linux takes the
 * start of a file's first mapping for the file's.
 */
#include "usdt_internal.h"

#include <string.h>

/* libbpf refuses a probe whose note has more. */
enum { NOTE_ARGS_MAX = 12 };

enum { EM_386 = 3, EM_X86_64 = 62 };
enum { ET_DYN = 3, PT_LOAD = 1, PT_NOTE = 4, PF_X = 1, PF_W = 2, PF_R = 4 };
enum { SHT_PROGBITS = 1, SHT_STRTAB = 3, SHT_NOTE = 7, SHF_WRITE = 1, SHF_ALLOC = 2, SHF_EXECINSTR = 4 };
enum { NT_STAPSDT = 3, NT_GNU_BUILD_ID = 3 };
enum { SEGMENTS = 2, SECTIONS = 7 }; /* and one more of each for the semaphores, and of these for types */

/* Sections, by their place in the names. */
static const char names[] = "\0.note.gnu.build-id\0.text\0.stapsdt.base\0.note.stapsdt\0.shstrtab\0.probes"
                            "\0.usdt.probes\0.usdt.types";
enum { NAME_BUILD_ID = 1, NAME_TEXT = 20, NAME_BASE = 26, NAME_NOTES = 40, NAME_NAMES = 54, NAME_PROBES = 64,
       NAME_MORE = 72, NAME_TYPES = 85 };

static void put_word(struct usdt_buf *out, const struct usdt_platform *platform, uint64_t value)
{
    if (platform->word == 8)
        usdt_buf_put64(out, value);
    else
        usdt_buf_put32(out, (uint32_t)value);
}

static size_t segment_size(const struct usdt_platform *platform)
{
    return platform->word == 8 ? 56 : 32;
}

static size_t header_size(const struct usdt_platform *platform)
{
    return platform->word == 8 ? 64 : 52;
}

/* Where the build-id note is, and how long. */
static size_t id_offset(const struct usdt_layout *layout)
{
    const struct usdt_platform *platform = layout->platform;
    return header_size(platform) + (SEGMENTS + layout->semaphores) * segment_size(platform);
}
enum { ID_SIZE = 16 + USDT_BUILD_ID };

size_t usdt_layout_stubs(const struct usdt_layout *layout)
{
    size_t slot = layout->platform->stub->size;
    return (id_offset(layout) + ID_SIZE + slot - 1) / slot * slot;
}

size_t usdt_layout_mapped(const struct usdt_layout *layout)
{
    size_t size = usdt_layout_stubs(layout) + layout->count * layout->platform->stub->size;
    return (size + layout->page - 1) & ~(layout->page - 1);
}

static size_t data_size(const struct usdt_layout *layout)
{
    return layout->semaphores ? USDT_SEMAPHORES_AT + layout->count * sizeof(uint16_t) : 0;
}

size_t usdt_layout_data(const struct usdt_layout *layout)
{
    return (data_size(layout) + layout->page - 1) & ~(layout->page - 1);
}

/* Without printf: most of the time of publishing would be spent in it. */
static char *put_text(char *to, const char *text)
{
    while (*text != '\0')
        *to++ = *text++;
    return to;
}

static char *put_number(char *to, size_t number)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (n > 0)
        *to++ = digits[--n];
    return to;
}

/* Where argument i is at the site, as an operand of the note: the register in the width named, or
   the stack. Other forms (constants, floating-point registers) lose the probe in some consumer. */
static char *put_operand(char *to, const struct usdt_platform *platform, size_t i, int size)
{
    static const char *const x86_64[6][4] = {
        { "dil", "di", "edi", "rdi" },   { "sil", "si", "esi", "rsi" },  { "dl", "dx", "edx", "rdx" },
        { "cl", "cx", "ecx", "rcx" },    { "r8b", "r8w", "r8d", "r8" },  { "r9b", "r9w", "r9d", "r9" },
    };
    int bytes = size < 0 ? -size : size;
    int width = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
    to = put_text(to, size < 0 ? "-" : "");
    to = put_text(put_number(to, (size_t)bytes), "@");
    if (platform->elf_machine == EM_X86_64 && i < 6)
        return put_text(put_text(to, "%"), x86_64[i][width]);
    if (platform->elf_machine == EM_X86_64)
        return put_text(put_number(to, 8 * (i - 6)), "(%rsp)");
    if (platform->elf_machine == EM_386)
        return put_text(put_number(to, 4 * i), "(%esp)");
    if (i < 8)
        return put_number(put_text(to, "x"), i);
    return put_text(put_number(put_text(to, "[sp, "), 8 * (i - 8)), "]");
}

static void put_note_header(struct usdt_buf *out, const char *owner, uint32_t size, uint32_t type)
{
    usdt_buf_put32(out, (uint32_t)strlen(owner) + 1);
    usdt_buf_put32(out, size);
    usdt_buf_put32(out, type);
    usdt_buf_str(out, owner);
    usdt_buf_align(out, 4);
}

static void put_probe_note(struct usdt_buf *out, const struct usdt_layout *layout, size_t slot,
                           uint64_t base)
{
    const struct usdt_platform *platform = layout->platform;
    const usdt_probedef_t *def = layout->defs[slot];
    uint64_t site = usdt_layout_stubs(layout) + slot * platform->stub->size + usdt_layout_site(layout);

    char args[NOTE_ARGS_MAX * 32], *end = args; /* the longest is "-8@[sp, 24]" */
    for (size_t i = 0; i < def->argc && i < NOTE_ARGS_MAX; i++)
        end = put_operand(put_text(end, i > 0 ? " " : ""), platform, i, usdt_type_size(platform, def->types[i]));
    *end++ = '\0';
    size_t args_size = (size_t)(end - args);
    size_t size = 3 * platform->word + strlen(layout->provider) + 1 + strlen(def->name) + 1 + args_size;
    put_note_header(out, "stapsdt", (uint32_t)size, NT_STAPSDT);
    put_word(out, platform, site);
    put_word(out, platform, base);
    put_word(out, platform, layout->semaphores ? base + USDT_SEMAPHORES_AT + slot * sizeof(uint16_t) : 0);
    usdt_buf_str(out, layout->provider);
    usdt_buf_str(out, def->name);
    usdt_buf_put(out, args, args_size);
    usdt_buf_align(out, 4);
}

/* Strings, in the order of the notes: function, then each type, then an empty one, which no type is. */
static void put_more(struct usdt_buf *out, const usdt_probedef_t *def)
{
    usdt_buf_str(out, def->function);
    for (size_t i = 0; i < def->argc; i++)
        usdt_buf_str(out, def->types[i]);
    usdt_buf_str(out, "");
}

static size_t section_count(const struct usdt_layout *layout)
{
    return (size_t)SECTIONS + layout->semaphores + (layout->types != NULL);
}

static void put_elf_header(struct usdt_buf *out, const struct usdt_layout *layout, uint64_t sections)
{
    const struct usdt_platform *platform = layout->platform;
    bool wide = platform->word == 8;
    unsigned char ident[16] = { 0x7f, 'E', 'L', 'F', wide ? 2 : 1, 1 /* little-endian */, 1 };
    usdt_buf_put(out, ident, sizeof ident);
    usdt_buf_put16(out, ET_DYN);
    usdt_buf_put16(out, platform->elf_machine);
    usdt_buf_put32(out, 1);
    put_word(out, platform, 0); /* no entry point */
    put_word(out, platform, header_size(platform));
    put_word(out, platform, sections);
    usdt_buf_put32(out, 0);
    usdt_buf_put16(out, (uint32_t)header_size(platform));
    usdt_buf_put16(out, (uint32_t)segment_size(platform));
    usdt_buf_put16(out, SEGMENTS + layout->semaphores);
    usdt_buf_put16(out, wide ? 64 : 40);
    usdt_buf_put16(out, (uint32_t)section_count(layout));
    usdt_buf_put16(out, (uint32_t)section_count(layout) - 1); /* the names' is the last */
}

static void put_segment(struct usdt_buf *out, const struct usdt_platform *platform, uint32_t type,
                        uint32_t flags, uint64_t offset, uint64_t size, uint64_t align)
{
    usdt_buf_put32(out, type);
    if (platform->word == 8)
        usdt_buf_put32(out, flags);
    put_word(out, platform, offset);
    put_word(out, platform, offset);
    put_word(out, platform, offset);
    put_word(out, platform, size);
    put_word(out, platform, size);
    if (platform->word == 4)
        usdt_buf_put32(out, flags);
    put_word(out, platform, align);
}

static void put_section(struct usdt_buf *out, const struct usdt_platform *platform, uint32_t name,
                        uint32_t type, uint64_t flags, uint64_t offset, uint64_t size, uint64_t align)
{
    usdt_buf_put32(out, name);
    usdt_buf_put32(out, type);
    put_word(out, platform, flags);
    put_word(out, platform, flags & SHF_ALLOC ? offset : 0);
    put_word(out, platform, offset);
    put_word(out, platform, size);
    usdt_buf_put32(out, 0);
    usdt_buf_put32(out, 0);
    put_word(out, platform, align);
    put_word(out, platform, 0);
}

/* Little-endian; compilers make this one load. */
static uint64_t load64(const unsigned char *at)
{
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 | (uint64_t)at[7] << 56;
}

/* A content hash, to name the image by; two lanes of multiply and xor-shift over 16 bytes at a
   time. Not cryptographic: who maps a file by this name compares its bytes first. */
static void hash_bytes(const unsigned char *bytes, size_t len, unsigned copy, unsigned char to[USDT_BUILD_ID])
{
    uint64_t a = 0x9e3779b97f4a7c15u ^ len, b = 0xc2b2ae3d27d4eb4fu ^ copy;
    for (; len > 0; len -= len < 16 ? len : 16, bytes += 16) {
        unsigned char last[16] = { 0 };
        const unsigned char *at = bytes;
        if (len < 16)
            at = memcpy(last, bytes, len);
        a = (a ^ load64(at)) * 0xff51afd7ed558ccdu;
        a ^= a >> 29;
        b = ((b << 31 | b >> 33) ^ load64(at + 8) ^ a) * 0xc4ceb9fe1a85ec53u;
        b ^= b >> 32;
    }
    uint64_t lanes[3] = { a ^ b >> 17, b ^ a << 23, (a + b) * 0x9e3779b97f4a7c15u };
    for (size_t i = 0; i < USDT_BUILD_ID; i++)
        to[i] = (unsigned char)(lanes[i / 8] >> (8 * (i % 8)));
}

bool usdt_elf_build(const struct usdt_layout *layout, struct usdt_buf *out,
                    unsigned char build_id[USDT_BUILD_ID])
{
    const struct usdt_platform *platform = layout->platform;
    size_t text = usdt_layout_stubs(layout), base = usdt_layout_mapped(layout), data = data_size(layout);
    size_t id = id_offset(layout), notes = base + (data == 0 ? 4 : (data + 3) & ~(size_t)3);

    /* The notes' size is known only when they are written. */
    struct usdt_buf body = { 0 };
    for (size_t slot = 0; slot < layout->count; slot++)
        if (layout->defs[slot] != NULL)
            put_probe_note(&body, layout, slot, base);
    size_t notes_size = body.len;
    for (size_t slot = 0; slot < layout->count; slot++)
        if (layout->defs[slot] != NULL)
            put_more(&body, layout->defs[slot]);
    size_t more_size = body.len - notes_size;
    if (layout->types != NULL)
        usdt_buf_put(&body, layout->types->data, layout->types->len);
    size_t name_offset = notes + body.len;
    size_t section_offset = (name_offset + sizeof names + 7) & ~(size_t)7;

    put_elf_header(out, layout, section_offset);
    put_segment(out, platform, PT_LOAD, PF_R | PF_X, 0, base + (data == 0), layout->page);
    if (data != 0)
        put_segment(out, platform, PT_LOAD, PF_R | PF_W, base, data, layout->page);
    put_segment(out, platform, PT_NOTE, PF_R, id, ID_SIZE, 4);
    put_note_header(out, "GNU", USDT_BUILD_ID, NT_GNU_BUILD_ID);
    size_t id_at = out->len;
    usdt_buf_grow(out, text - id_at);
    void *stubs = usdt_buf_grow(out, base - text);
    if (stubs != NULL)
        usdt_stubs_write(platform->stub, stubs, (base - text) / platform->stub->size);
    usdt_buf_grow(out, notes - base); /* .stapsdt.base, .probes: 0 */
    if (!body.failed)
        usdt_buf_put(out, body.data, body.len);
    usdt_buf_put(out, names, sizeof names);
    usdt_buf_align(out, 8);

    put_section(out, platform, 0, 0, 0, 0, 0, 0);
    put_section(out, platform, NAME_BUILD_ID, SHT_NOTE, SHF_ALLOC, id, ID_SIZE, 4);
    put_section(out, platform, NAME_TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, text, base - text,
                platform->stub->size);
    put_section(out, platform, NAME_BASE, SHT_PROGBITS, SHF_ALLOC, base, 1, 1);
    if (data != 0)
        put_section(out, platform, NAME_PROBES, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, base + USDT_SEMAPHORES_AT,
                    data - USDT_SEMAPHORES_AT, sizeof(uint16_t));
    put_section(out, platform, NAME_NOTES, SHT_NOTE, 0, notes, notes_size, 4);
    put_section(out, platform, NAME_MORE, SHT_PROGBITS, 0, notes + notes_size, more_size, 1);
    if (layout->types != NULL)
        put_section(out, platform, NAME_TYPES, SHT_PROGBITS, 0, notes + notes_size + more_size, layout->types->len, 1);
    put_section(out, platform, NAME_NAMES, SHT_STRTAB, 0, name_offset, sizeof names, 1);

    bool done = !out->failed && !body.failed;
    usdt_buf_free(&body);
    if (!done)
        return false;
    hash_bytes(out->data, out->len, layout->copy, build_id);
    memcpy(out->data + id_at, build_id, USDT_BUILD_ID);
    return true;
}
