/*
 * usdt_elf.c - the ELF image that the Linux tracers read: stubs, and a note for each probe.
 *
 * Pure: no system calls, no address of this process, so that equal definitions give equal images.
 * Owns the file's layout and the note format (SystemTap's "stapsdt" version 3).
 *
 *     0         ELF header, program headers, build-id note
 *     64 x n    .text            stubs, then code of the program's own, to the end of a page: so far the file is mapped
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

size_t usdt_layout_code(const struct usdt_layout *layout, const struct usdt_own_code *code)
{
    return usdt_layout_stubs(layout) + layout->count * layout->platform->stub->size + (code == NULL ? 0 : code->at);
}

void usdt_layout_write(const struct usdt_layout *layout, void *stubs, size_t size)
{
    usdt_stubs_write(layout->platform->stub, stubs, size / layout->platform->stub->size);
    for (size_t slot = 0; layout->code > 0 && slot < layout->count; slot++) {
        const struct usdt_own_code *code = layout->defs[slot] == NULL ? NULL : usdt_code_of(layout->defs[slot]);
        if (code != NULL && code->size > 0)
            memcpy((char *)stubs + usdt_layout_code(layout, code) - usdt_layout_stubs(layout), code->bytes, code->size);
    }
}

size_t usdt_layout_mapped(const struct usdt_layout *layout)
{
    size_t size = usdt_layout_code(layout, NULL) + layout->code;
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

static void put_note_header(struct usdt_buf *out, const char *owner, uint32_t size, uint32_t type)
{
    usdt_buf_put32(out, (uint32_t)strlen(owner) + 1);
    usdt_buf_put32(out, size);
    usdt_buf_put32(out, type);
    usdt_buf_str(out, owner);
    usdt_buf_align(out, 4);
}

/* `operands`: where the arguments are; NULL: where a call has them. */
static void put_note(struct usdt_buf *out, const struct usdt_layout *layout, size_t slot, uint64_t base, uint64_t site,
                     const struct usdt_operand *operands)
{
    const struct usdt_platform *platform = layout->platform;
    const usdt_probedef_t *def = layout->defs[slot];

    char args[NOTE_ARGS_MAX * 32], *end = args; /* the longest is "-8@-999999999(%r15)", and a space */
    for (size_t i = 0; i < def->argc && i < NOTE_ARGS_MAX; i++) {
        struct usdt_operand operand = operands != NULL ? operands[i] : usdt_operand_of_call(platform, i);
        if (i > 0)
            *end++ = ' ';
        end = usdt_operand_put(end, platform, &operand, usdt_type_size(platform, def->types[i]));
    }
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

/* One for the stub, one for code of the program's own. Where the site is in other memory, no tracer of notes can see it. */
static void put_probe_notes(struct usdt_buf *out, const struct usdt_layout *layout, size_t slot, uint64_t base)
{
    const struct usdt_own_code *code = usdt_code_of(layout->defs[slot]);
    if (usdt_is_elsewhere(layout->defs[slot]))
        return;
    put_note(out, layout, slot, base, usdt_layout_stubs(layout) + slot * layout->platform->stub->size +
             usdt_layout_site(layout), NULL);
    if (code != NULL)
        put_note(out, layout, slot, base, usdt_layout_code(layout, code) + code->site, code->operands);
}

/* Strings, in the order of the notes: function, then each type, then what DTrace is to show as args[], each a byte 1,
   the argument's number, a space and a type, then an empty one, which no type is. */
static void put_more(struct usdt_buf *out, const usdt_probedef_t *def)
{
    const struct usdt_translation *translation = ((const struct usdt_own_def *)def)->translation;
    size_t notes = usdt_is_elsewhere(def) ? 0 : usdt_code_of(def) == NULL ? 1 : 2;
    for (; notes > 0; notes--) {
        usdt_buf_str(out, def->function);
        for (size_t i = 0; i < def->argc; i++)
            usdt_buf_str(out, def->types[i]);
        for (size_t i = 0; translation != NULL && i < translation->argc; i++) {
            const char head[] = { 1, (char)('0' + translation->map[i] / 10), (char)('0' + translation->map[i] % 10), ' ' };
            usdt_buf_put(out, head, sizeof head);
            usdt_buf_str(out, translation->types[i]);
        }
        usdt_buf_str(out, "");
    }
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
            put_probe_notes(&body, layout, slot, base);
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
        usdt_layout_write(layout, stubs, base - text);
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
