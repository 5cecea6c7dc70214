/*
 * usdt_elf.c - the ELF image that the Linux tracers read: stubs, and a note for each probe.
 *
 * Pure: no system calls, no address of this process, so that equal definitions give equal images.
 * Owns the file's layout and the note format (SystemTap's "stapsdt" version 3).
 *
 *     0         ELF header, program headers, build-id note
 *     64 x n    .text            stubs, to the end of a page: so far the file is mapped
 *     page      .stapsdt.base    one byte, its address is in every note
 *               .note.stapsdt
 *               .shstrtab, section headers
 *
 * Addresses equal file offsets throughout: consumers derive one from the other in different ways,
 * and so all agree. For the same reason the mapping begins with the file: DTrace for Linux takes the
 * start of a file's first mapping for the file's.
 */
#include "usdt_internal.h"

#include <stdio.h>
#include <string.h>

/* libbpf refuses a probe whose note has more. */
enum { NOTE_ARGS_MAX = 12 };

enum { EM_386 = 3, EM_X86_64 = 62 };
enum { ET_DYN = 3, PT_LOAD = 1, PT_NOTE = 4, PF_X = 1, PF_R = 4 };
enum { SHT_PROGBITS = 1, SHT_STRTAB = 3, SHT_NOTE = 7, SHF_ALLOC = 2, SHF_EXECINSTR = 4 };
enum { NT_STAPSDT = 3, NT_GNU_BUILD_ID = 3 };
enum { SEGMENTS = 2, SECTIONS = 6 };

/* Sections, by their place in the names. */
static const char names[] = "\0.note.gnu.build-id\0.text\0.stapsdt.base\0.note.stapsdt\0.shstrtab";
enum { NAME_BUILD_ID = 1, NAME_TEXT = 20, NAME_BASE = 26, NAME_NOTES = 40, NAME_NAMES = 54 };

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
static size_t id_offset(const struct usdt_platform *platform)
{
    return header_size(platform) + SEGMENTS * segment_size(platform);
}
enum { ID_SIZE = 16 + USDT_BUILD_ID };

size_t usdt_layout_stubs(const struct usdt_layout *layout)
{
    size_t slot = layout->platform->stub->size;
    return (id_offset(layout->platform) + ID_SIZE + slot - 1) / slot * slot;
}

size_t usdt_layout_mapped(const struct usdt_layout *layout)
{
    size_t size = usdt_layout_stubs(layout) + layout->count * layout->platform->stub->size;
    return (size + layout->page - 1) & ~(layout->page - 1);
}

/* Where argument i is at the site, as an operand of the note: the register in the width named, or
   the stack. Other forms (constants, floating-point registers) lose the probe in some consumer. */
static void put_operand(char to[32], const struct usdt_platform *platform, size_t i, int size)
{
    static const char *const x86_64[6][4] = {
        { "dil", "di", "edi", "rdi" },   { "sil", "si", "esi", "rsi" },  { "dl", "dx", "edx", "rdx" },
        { "cl", "cx", "ecx", "rcx" },    { "r8b", "r8w", "r8d", "r8" },  { "r9b", "r9w", "r9d", "r9" },
    };
    int bytes = size < 0 ? -size : size;
    int width = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
    if (platform->elf_machine == EM_X86_64 && i < 6)
        snprintf(to, 32, "%d@%%%s", size, x86_64[i][width]);
    else if (platform->elf_machine == EM_X86_64)
        snprintf(to, 32, "%d@%zu(%%rsp)", size, 8 * (i - 6));
    else if (platform->elf_machine == EM_386)
        snprintf(to, 32, "%d@%zu(%%esp)", size, 4 * i);
    else if (i < 8)
        snprintf(to, 32, "%d@x%zu", size, i);
    else
        snprintf(to, 32, "%d@[sp, %zu]", size, 8 * (i - 8));
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

    char args[NOTE_ARGS_MAX * 32] = "";
    size_t len = 0;
    for (size_t i = 0; i < def->argc && i < NOTE_ARGS_MAX; i++) {
        if (i > 0)
            args[len++] = ' ';
        put_operand(args + len, platform, i, usdt_type_size(platform, def->types[i]));
        len += strlen(args + len);
    }
    size_t size = 3 * platform->word + strlen(layout->provider) + 1 + strlen(def->name) + 1 + len + 1;
    put_note_header(out, "stapsdt", (uint32_t)size, NT_STAPSDT);
    put_word(out, platform, site);
    put_word(out, platform, base);
    put_word(out, platform, 0); /* no semaphore */
    usdt_buf_str(out, layout->provider);
    usdt_buf_str(out, def->name);
    usdt_buf_str(out, args);
    usdt_buf_align(out, 4);
}

static void put_elf_header(struct usdt_buf *out, const struct usdt_platform *platform, uint64_t sections)
{
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
    usdt_buf_put16(out, SEGMENTS);
    usdt_buf_put16(out, wide ? 64 : 40);
    usdt_buf_put16(out, SECTIONS);
    usdt_buf_put16(out, SECTIONS - 1);
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

static uint64_t load64(const unsigned char *at)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* A content hash, to name the image by; two lanes of multiply and xor-shift over 16 bytes at a
   time. Not cryptographic: who maps a file by this name compares its bytes first. */
static void hash_bytes(const unsigned char *bytes, size_t len, unsigned char to[USDT_BUILD_ID])
{
    uint64_t a = 0x9e3779b97f4a7c15u ^ len, b = 0xc2b2ae3d27d4eb4fu;
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
    size_t text = usdt_layout_stubs(layout), base = usdt_layout_mapped(layout), notes = base + 4;
    size_t id = id_offset(platform);

    /* The notes' size is known only when they are written. */
    struct usdt_buf body = { 0 };
    for (size_t slot = 0; slot < layout->count; slot++)
        if (layout->defs[slot] != NULL)
            put_probe_note(&body, layout, slot, base);
    size_t name_offset = notes + body.len;
    size_t section_offset = (name_offset + sizeof names + 7) & ~(size_t)7;

    put_elf_header(out, platform, section_offset);
    put_segment(out, platform, PT_LOAD, PF_R | PF_X, 0, base + 1, layout->page);
    put_segment(out, platform, PT_NOTE, PF_R, id, ID_SIZE, 4);
    put_note_header(out, "GNU", USDT_BUILD_ID, NT_GNU_BUILD_ID);
    size_t id_at = out->len;
    usdt_buf_grow(out, text - id_at);
    void *stubs = usdt_buf_grow(out, base - text);
    if (stubs != NULL)
        usdt_stubs_write(platform->stub, stubs, (base - text) / platform->stub->size);
    usdt_buf_put32(out, 0); /* .stapsdt.base */
    if (!body.failed)
        usdt_buf_put(out, body.data, body.len);
    usdt_buf_put(out, names, sizeof names);
    usdt_buf_align(out, 8);

    put_section(out, platform, 0, 0, 0, 0, 0, 0);
    put_section(out, platform, NAME_BUILD_ID, SHT_NOTE, SHF_ALLOC, id, ID_SIZE, 4);
    put_section(out, platform, NAME_TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, text, base - text,
                platform->stub->size);
    put_section(out, platform, NAME_BASE, SHT_PROGBITS, SHF_ALLOC, base, 1, 1);
    put_section(out, platform, NAME_NOTES, SHT_NOTE, 0, notes, body.len, 4);
    put_section(out, platform, NAME_NAMES, SHT_STRTAB, 0, name_offset, sizeof names, 1);

    bool done = !out->failed && !body.failed;
    usdt_buf_free(&body);
    if (!done)
        return false;
    hash_bytes(out->data, out->len, build_id);
    memcpy(out->data + id_at, build_id, USDT_BUILD_ID);
    return true;
}
