/*
 * check_elf.c - judges an ELF image with stapsdt notes as tracers read it; and by what it was made of.
 *
 * Written from <elf.h> and facts/linux.md ("The ELF image", "Argument specifications"). May not include
 * a header of the library nor be told how it lays an image out (see check.h). Any bytes may be given.
 */
#include "check.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUILD_ID_SIZE = 20,
    STAPSDT_TYPE = 3,   /* <sys/sdt.h>: _SDT_NOTE_TYPE */
    MOST_OPERANDS = 12, /* of libbpf: a 13th makes the attach fail */
    LONGEST_PROBE = 63,
    LONG_NOP = 10,
    SMALLEST_PAGE = 4096,
};

static const struct processor {
    const char *arch;
    unsigned char class, word;
    uint16_t machine;
} processors[] = {
    { "x86_64", ELFCLASS64, 8, EM_X86_64 },
    { "i386", ELFCLASS32, 4, EM_386 },
    { "arm64", ELFCLASS64, 8, EM_AARCH64 },
};

/* The sections that tracers look for. Those of facts/linux.md's order come first, in that order. */
enum { TEXT, BASE, SEMAPHORES, NOTES, BUILD_ID, MORE, TYPES, PARTS };
static const struct part {
    const char *name;
    uint32_t type;
    uint64_t flags, or_flags; /* of write, alloc and execute; the notes may be loaded or not */
    bool is_needed;
} parts[PARTS] = {
    [TEXT] = { ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, SHF_ALLOC | SHF_EXECINSTR, true },
    [BASE] = { ".stapsdt.base", SHT_PROGBITS, SHF_ALLOC, SHF_ALLOC, true },
    [SEMAPHORES] = { ".probes", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, SHF_ALLOC | SHF_WRITE, false },
    [NOTES] = { ".note.stapsdt", SHT_NOTE, 0, SHF_ALLOC, true },
    [BUILD_ID] = { ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, SHF_ALLOC, true },
    [MORE] = { ".usdt.probes", SHT_PROGBITS, 0, 0, false },
    [TYPES] = { ".usdt.types", SHT_PROGBITS, 0, 0, false },
};

struct image {
    const struct check_given *given;
    const struct processor *processor;
    struct check_verdict *verdict;
    const unsigned char *bytes;
    size_t len;
    Elf64_Ehdr header; /* of both classes */
    size_t header_size, segment_size, section_size;
    const char *names; /* of sections */
    uint64_t names_size;
    Elf64_Shdr part[PARTS];
    size_t index[PARTS]; /* 0: not there */
    bool has_semaphores; /* .probes, in a writable segment */
};

#define BROKEN(rule, ...) (check_broken(image->verdict, CHECK_ELF_##rule, __VA_ARGS__), false)
#define REQUIRE(holds, rule, ...)             \
    do {                                      \
        if (!(holds))                         \
            return BROKEN(rule, __VA_ARGS__); \
    } while (0)

/* The same of a rule that may be spared: what follows does not rely on it. */
#define WANT(holds, rule, ...) REQUIRE(is_spared(image, CHECK_ELF_##rule) || (holds), rule, __VA_ARGS__)

static bool is_spared(const struct image *image, enum check_rule rule)
{
    return image->given->spared != NULL && image->given->spared[rule];
}

static bool is_within(uint64_t offset, uint64_t size, uint64_t end)
{
    return offset <= end && size <= end - offset;
}

static bool is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* ---- the structures of both classes, as those of 64 bits; the caller has checked the bounds ---- */

static Elf64_Ehdr wide_header(const unsigned char *bytes)
{
    Elf32_Ehdr h;
    Elf64_Ehdr wide;
    memcpy(&h, bytes, sizeof h);
    memcpy(wide.e_ident, h.e_ident, sizeof wide.e_ident);
    wide.e_type = h.e_type, wide.e_machine = h.e_machine, wide.e_version = h.e_version;
    wide.e_entry = h.e_entry, wide.e_phoff = h.e_phoff, wide.e_shoff = h.e_shoff;
    wide.e_flags = h.e_flags, wide.e_ehsize = h.e_ehsize, wide.e_phentsize = h.e_phentsize;
    wide.e_phnum = h.e_phnum, wide.e_shentsize = h.e_shentsize, wide.e_shnum = h.e_shnum;
    wide.e_shstrndx = h.e_shstrndx;
    return wide;
}

static Elf64_Phdr segment_at(const struct image *image, size_t i)
{
    const unsigned char *at = image->bytes + image->header.e_phoff + i * image->segment_size;
    Elf64_Phdr wide;
    if (image->processor->class == ELFCLASS64) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    Elf32_Phdr p;
    memcpy(&p, at, sizeof p);
    wide.p_type = p.p_type, wide.p_flags = p.p_flags, wide.p_offset = p.p_offset;
    wide.p_vaddr = p.p_vaddr, wide.p_paddr = p.p_paddr, wide.p_filesz = p.p_filesz;
    wide.p_memsz = p.p_memsz, wide.p_align = p.p_align;
    return wide;
}

static Elf64_Shdr section_at(const struct image *image, size_t i)
{
    const unsigned char *at = image->bytes + image->header.e_shoff + i * image->section_size;
    Elf64_Shdr wide;
    if (image->processor->class == ELFCLASS64) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    Elf32_Shdr s;
    memcpy(&s, at, sizeof s);
    wide.sh_name = s.sh_name, wide.sh_type = s.sh_type, wide.sh_flags = s.sh_flags;
    wide.sh_addr = s.sh_addr, wide.sh_offset = s.sh_offset, wide.sh_size = s.sh_size;
    wide.sh_link = s.sh_link, wide.sh_info = s.sh_info, wide.sh_addralign = s.sh_addralign;
    wide.sh_entsize = s.sh_entsize;
    return wide;
}

static uint64_t word_at(const struct image *image, const unsigned char *at)
{
    uint64_t wide;
    uint32_t narrow;
    if (image->processor->word == 4) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, at, sizeof wide);
    return wide;
}

/* ---- the header ---- */

static bool judge_table(struct image *image, const char *what, uint64_t offset, size_t count, size_t entry,
                        size_t need)
{
    REQUIRE(count > 0 && offset > 0, TABLE_NONE, "%s headers", what);
    REQUIRE(entry == need, TABLE_ENTRY, "%s headers of %zu bytes, not %zu", what, entry, need);
    REQUIRE(is_within(offset, count * need, image->len), TABLE_BOUNDS, "%zu %s headers at %" PRIu64, count,
            what, offset);
    WANT(offset % image->processor->word == 0, TABLE_ALIGNED, "%s headers at %" PRIu64, what, offset);
    return true;
}

static bool judge_header(struct image *image)
{
    Elf64_Ehdr *header = &image->header;
    const struct processor *processor = image->processor;
    bool wide = processor->class == ELFCLASS64;
    image->header_size = wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    image->segment_size = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    image->section_size = wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    REQUIRE(image->len >= image->header_size, SHORT, "%zu bytes", image->len);
    if (wide)
        memcpy(header, image->bytes, sizeof *header);
    else
        *header = wide_header(image->bytes);
    REQUIRE(memcmp(header->e_ident, ELFMAG, SELFMAG) == 0, MAGIC, "bytes 0 to 3");
    REQUIRE(header->e_ident[EI_CLASS] == processor->class, CLASS, "%u", header->e_ident[EI_CLASS]);
    REQUIRE(header->e_ident[EI_DATA] == ELFDATA2LSB, DATA, "%u", header->e_ident[EI_DATA]);
    WANT(header->e_ident[EI_VERSION] == EV_CURRENT && header->e_version == EV_CURRENT, VERSION,
            "%u and %" PRIu32, header->e_ident[EI_VERSION], header->e_version);
    WANT(header->e_type == ET_DYN, TYPE, "%u", header->e_type);
    REQUIRE(header->e_machine == processor->machine, MACHINE, "%u", header->e_machine);
    WANT(header->e_ehsize == image->header_size, HEADER_SIZE, "%u", header->e_ehsize);
    WANT(header->e_entry == 0 && header->e_flags == 0, HEADER_ZERO, "%" PRIx64 ", %" PRIx32, header->e_entry,
            header->e_flags);
    return judge_table(image, "program", header->e_phoff, header->e_phnum, header->e_phentsize,
                       image->segment_size) &&
           judge_table(image, "section", header->e_shoff, header->e_shnum, header->e_shentsize,
                       image->section_size);
}

/* ---- segments ---- */

static bool judge_segments(struct image *image)
{
    uint64_t end = 0;
    for (size_t i = 0; i < image->header.e_phnum; i++) {
        Elf64_Phdr segment = segment_at(image, i);
        WANT(is_within(segment.p_offset, segment.p_filesz, image->len), SEGMENT_BOUNDS, "segment %zu", i);
        WANT((segment.p_flags & PF_W) == 0 || (segment.p_flags & PF_X) == 0, SEGMENT_WX, "segment %zu", i);
        WANT(segment.p_filesz == 0 || segment.p_vaddr == segment.p_offset, SEGMENT_PLACE,
                "segment %zu: %" PRIx64 " and %" PRIx64, i, segment.p_vaddr, segment.p_offset);
        WANT(segment.p_memsz >= segment.p_filesz, SEGMENT_SIZE, "segment %zu", i);
        WANT(segment.p_align == 0 || is_power_of_two(segment.p_align), SEGMENT_ALIGN,
                "segment %zu: %" PRIu64, i, segment.p_align);
        if (segment.p_type != PT_LOAD)
            continue;
        WANT(segment.p_align >= image->given->page, SEGMENT_PAGE, "segment %zu: %" PRIu64, i,
                segment.p_align);
        WANT(segment.p_vaddr >= end && segment.p_memsz <= UINT64_MAX - segment.p_vaddr, SEGMENT_ORDER,
                "segment %zu", i);
        end = segment.p_vaddr + segment.p_memsz;
    }
    return true;
}

/* The kernel (lib/buildid.c) takes the build-id from a note segment, and old ones read no more than a page. */
static bool has_note_segment(const struct image *image, const Elf64_Shdr *section)
{
    for (size_t i = 0; i < image->header.e_phnum; i++) {
        Elf64_Phdr segment = segment_at(image, i);
        if (segment.p_type == PT_NOTE && segment.p_offset == section->sh_offset &&
            segment.p_filesz == section->sh_size)
            return is_within(section->sh_offset, section->sh_size, SMALLEST_PAGE);
    }
    return false;
}

/* The loaded segment that holds a section and gives the permissions it asks for; false if none. */
static bool find_segment(const struct image *image, const Elf64_Shdr *section, Elf64_Phdr *found)
{
    uint32_t need = PF_R | ((section->sh_flags & SHF_WRITE) != 0 ? PF_W : 0u) |
                    ((section->sh_flags & SHF_EXECINSTR) != 0 ? PF_X : 0u);
    for (size_t i = 0; i < image->header.e_phnum; i++) {
        Elf64_Phdr segment = segment_at(image, i);
        if (segment.p_type == PT_LOAD && (segment.p_flags & need) == need &&
            section->sh_addr >= segment.p_vaddr &&
            is_within(section->sh_addr - segment.p_vaddr, section->sh_size, segment.p_memsz)) {
            *found = segment;
            return true;
        }
    }
    return false;
}

/* ---- sections ---- */

static bool judge_names(struct image *image)
{
    Elf64_Ehdr *header = &image->header;
    Elf64_Shdr zero = section_at(image, 0), null = { 0 };
    WANT(memcmp(&zero, &null, sizeof null) == 0, SECTION_ZERO, "section 0");
    REQUIRE(header->e_shstrndx < header->e_shnum, NAMES, "section %u of %u", header->e_shstrndx,
            header->e_shnum);
    Elf64_Shdr names = section_at(image, header->e_shstrndx);
    REQUIRE(names.sh_type == SHT_STRTAB, NAMES, "section %u", header->e_shstrndx);
    REQUIRE(is_within(names.sh_offset, names.sh_size, image->len), SECTION_BOUNDS, "section names");
    image->names = (const char *)image->bytes + names.sh_offset;
    image->names_size = names.sh_size;
    REQUIRE(names.sh_size > 0 && image->names[names.sh_size - 1] == '\0', NAMES_NUL, "%" PRIu64 " bytes",
            names.sh_size);
    return true;
}

static bool judge_section(struct image *image, size_t i)
{
    Elf64_Shdr section = section_at(image, i);
    Elf64_Phdr segment;
    REQUIRE(section.sh_name < image->names_size, NAME_BOUNDS, "section %zu", i);
    const char *name = image->names + section.sh_name;
    REQUIRE(section.sh_type == SHT_NOBITS || is_within(section.sh_offset, section.sh_size, image->len),
            SECTION_BOUNDS, "%.40s", name);
    WANT(section.sh_addralign == 0 || is_power_of_two(section.sh_addralign), SECTION_ALIGN,
            "%.40s: %" PRIu64, name, section.sh_addralign);
    WANT(section.sh_addralign == 0 || section.sh_offset % section.sh_addralign == 0, SECTION_ALIGNED,
            "%.40s: %" PRIu64 " by %" PRIu64, name, section.sh_offset, section.sh_addralign);
    bool is_loaded = (section.sh_flags & SHF_ALLOC) != 0;
    WANT(section.sh_link == 0 && section.sh_info == 0 && section.sh_entsize == 0 &&
             (is_loaded || section.sh_addr == 0),
         SECTION_SPARE, "%.40s", name);
    if (is_loaded) {
        WANT(section.sh_addr == section.sh_offset, SECTION_PLACE, "%.40s: %" PRIx64 " and %" PRIx64, name,
                section.sh_addr, section.sh_offset);
        WANT(find_segment(image, &section, &segment), SECTION_LOADED, "%.40s", name);
    }
    for (int p = 0; p < PARTS; p++)
        if (strcmp(name, parts[p].name) == 0) {
            uint64_t flags = section.sh_flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR);
            REQUIRE(image->index[p] == 0, SECTION_TWICE, "%s", name);
            REQUIRE(section.sh_type == parts[p].type, SECTION_TYPE, "%s: %" PRIu32, name, section.sh_type);
            WANT(flags == parts[p].flags || flags == parts[p].or_flags, SECTION_FLAGS, "%s: %" PRIx64, name,
                    flags);
            image->index[p] = i;
            image->part[p] = section;
        }
    return true;
}

/* A part of the file: section i, or one of the three that are no section. */
static void file_part(const struct image *image, size_t i, uint64_t *offset, uint64_t *size)
{
    const Elf64_Ehdr *header = &image->header;
    if (i < header->e_shnum) {
        Elf64_Shdr section = section_at(image, i);
        bool is_none = section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS;
        *offset = section.sh_offset, *size = is_none ? 0 : section.sh_size;
    } else if (i == header->e_shnum) {
        *offset = 0, *size = image->header_size;
    } else if (i == header->e_shnum + 1u) {
        *offset = header->e_phoff, *size = header->e_phnum * image->segment_size;
    } else {
        *offset = header->e_shoff, *size = header->e_shnum * image->section_size;
    }
}

static bool judge_overlaps(struct image *image)
{
    size_t count = image->header.e_shnum + 3u;
    if (is_spared(image, CHECK_ELF_OVERLAP)) /* of a file with many sections, there are very many pairs */
        return true;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++) {
            uint64_t a, a_size, b, b_size;
            file_part(image, i, &a, &a_size);
            file_part(image, k, &b, &b_size);
            REQUIRE(a_size == 0 || b_size == 0 || a >= b + b_size || b >= a + a_size, OVERLAP,
                    "parts %zu and %zu of %zu", k, i, count);
        }
    return true;
}

static bool judge_parts(struct image *image)
{
    int before = -1;
    Elf64_Phdr segment;
    for (int p = 0; p < PARTS; p++)
        WANT(image->index[p] != 0 || !parts[p].is_needed, SECTION_MISSING, "%s", parts[p].name);
    REQUIRE(image->index[NOTES] != 0, SECTION_MISSING, "%s", parts[NOTES].name);
    for (int p = TEXT; p <= NOTES; p++) {
        if (image->index[p] == 0)
            continue;
        WANT(before < 0 || (image->index[before] < image->index[p] &&
                               image->part[before].sh_offset < image->part[p].sh_offset),
                ORDER, "%s", parts[p].name);
        before = p;
    }
    WANT(image->part[BASE].sh_size == 1, BASE_SIZE, "%" PRIu64 " bytes", image->part[BASE].sh_size);
    /* DTrace for Linux takes the start of a file's first mapping for the start of the file. */
    bool is_loaded = find_segment(image, &image->part[TEXT], &segment);
    WANT(is_loaded && segment.p_offset == 0, TEXT_FIRST, "%" PRIx64, is_loaded ? segment.p_offset : 0);
    image->has_semaphores = image->index[SEMAPHORES] != 0 && find_segment(image, &image->part[SEMAPHORES], &segment);
    uint64_t end = image->part[TEXT].sh_offset + image->part[TEXT].sh_size;
    WANT(end % image->given->page == 0, TEXT_END, "%" PRIx64, end);
    WANT(has_note_segment(image, &image->part[BUILD_ID]), BUILD_ID_SEGMENT, "%" PRIx64,
            image->part[BUILD_ID].sh_offset);
    return true;
}

static bool judge_sections(struct image *image)
{
    if (!judge_names(image))
        return false;
    for (size_t i = 1; i < image->header.e_shnum; i++)
        if (!judge_section(image, i))
            return false;
    return judge_overlaps(image) && judge_parts(image);
}

/* ---- notes ---- */

struct note {
    const unsigned char *owner, *data;
    uint32_t owner_size, size, type;
};

static size_t padded(uint32_t size)
{
    return ((size_t)size + 3) & ~(size_t)3;
}

/* Reads the note at *at of a section, and moves *at behind it. */
static bool read_note(struct image *image, int part, uint64_t *at, struct note *note)
{
    const unsigned char *bytes = image->bytes + image->part[part].sh_offset;
    uint64_t left = image->part[part].sh_size - *at;
    Elf32_Nhdr header;
    REQUIRE(left >= sizeof header, NOTE_BOUNDS, "%s + %" PRIu64, parts[part].name, *at);
    memcpy(&header, bytes + *at, sizeof header);
    uint64_t owner = padded(header.n_namesz), data = padded(header.n_descsz);
    REQUIRE(owner >= header.n_namesz && data >= header.n_descsz &&
                is_within(sizeof header + owner, data, left),
            NOTE_BOUNDS, "%s + %" PRIu64, parts[part].name, *at);
    note->owner = bytes + *at + sizeof header;
    note->data = note->owner + owner;
    note->owner_size = header.n_namesz;
    note->size = header.n_descsz;
    note->type = header.n_type;
    for (size_t i = note->owner_size; i < owner; i++)
        WANT(note->owner[i] == 0, NOTE_PADDING, "%s + %" PRIu64, parts[part].name, *at);
    for (size_t i = note->size; i < data; i++)
        WANT(note->data[i] == 0, NOTE_PADDING, "%s + %" PRIu64, parts[part].name, *at);
    *at += sizeof header + owner + data;
    return true;
}

static bool judge_build_id(struct image *image)
{
    struct note note;
    uint64_t at = 0;
    if (is_spared(image, CHECK_ELF_BUILD_ID_NOTE) || image->index[BUILD_ID] == 0)
        return true;
    if (!read_note(image, BUILD_ID, &at, &note))
        return false;
    REQUIRE(at == image->part[BUILD_ID].sh_size && note.type == NT_GNU_BUILD_ID && note.owner_size == 4 &&
                memcmp(note.owner, "GNU", 4) == 0,
            BUILD_ID_NOTE, "type %" PRIu32, note.type);
    REQUIRE(note.size == BUILD_ID_SIZE, BUILD_ID_SIZE, "%" PRIu32, note.size);
    REQUIRE(image->given->provider == NULL || memcmp(note.data, image->given->build_id, BUILD_ID_SIZE) == 0,
            GIVEN_BUILD_ID, "differs");
    return true;
}

/* Where the calling convention has argument n, in the spelling of <sys/sdt.h>. At the site the return
   address is off the stack, so stack arguments begin at the stack pointer. */
static void place_of(const char *arch, size_t n, int width, char place[32])
{
    static const char *const registers[6][4] = {
        { "dil", "di", "edi", "rdi" }, { "sil", "si", "esi", "rsi" }, { "dl", "dx", "edx", "rdx" },
        { "cl", "cx", "ecx", "rcx" },  { "r8b", "r8w", "r8d", "r8" }, { "r9b", "r9w", "r9d", "r9" },
    };
    int column = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
    if (strcmp(arch, "i386") == 0)
        snprintf(place, 32, "%zu(%%esp)", 4 * n);
    else if (strcmp(arch, "arm64") == 0 && n < 8)
        snprintf(place, 32, "x%zu", n);
    else if (strcmp(arch, "arm64") == 0)
        snprintf(place, 32, "[sp, %zu]", 8 * (n - 8));
    else if (n < 6)
        snprintf(place, 32, "%%%s", registers[n][column]);
    else
        snprintf(place, 32, "%zu(%%rsp)", 8 * (n - 6));
}

/* Where an operand ends, whatever it is: before a space and the next one's width and @. A place may have a
   space in it, arm64's. */
static const char *end_of(const char *text)
{
    for (; *text != '\0'; text++) {
        if (text[0] != ' ')
            continue;
        const char *next = text + 1 + (text[1] == '-');
        size_t digits = strspn(next, "0123456789");
        next += digits;
        if (digits > 0 && next[next[0] == 'f'] == '@')
            break;
    }
    return text;
}

/* The operands of note i: their widths, and how many. */
static bool judge_operands(struct image *image, size_t i, const char *text, int widths[MOST_OPERANDS],
                           size_t *count)
{
    for (*count = 0; *text != '\0'; ++*count) {
        char place[32];
        size_t n = *count;
        WANT(n < MOST_OPERANDS, OPERANDS, "note %zu", i);
        bool is_signed = *text == '-';
        text += is_signed;
        int width = *text - '0';
        bool has_width = (width == 1 || width == 2 || width == 4 || width == 8) && text[1] == '@';
        WANT(has_width && width <= image->processor->word, OPERAND_SIZE, "note %zu, operand %zu: %.20s", i, n, text);
        place_of(image->given->arch, n, width, place);
        bool has_place = has_width && strncmp(text + 2, place, strlen(place)) == 0;
        WANT(has_place, OPERAND_PLACE, "note %zu, operand %zu: %.20s, not %s", i, n, has_width ? text + 2 : text,
             place);
        text = is_spared(image, CHECK_ELF_OPERAND_PLACE) || !has_place ? end_of(text) : text + 2 + strlen(place);
        REQUIRE(text[0] == '\0' || (text[0] == ' ' && text[1] != '\0'), OPERAND_END,
                "note %zu, operand %zu: %.20s", i, n, text);
        text += text[0] == ' ';
        if (n < MOST_OPERANDS)
            widths[n] = is_signed ? -width : width;
    }
    return true;
}

static bool holds(const Elf64_Shdr *section, uint64_t addr, uint64_t size)
{
    return addr >= section->sh_addr && is_within(addr - section->sh_addr, size, section->sh_size);
}

/* The first three words of note i: site, base, semaphore. */
static bool judge_words(struct image *image, size_t i, const uint64_t words[3])
{
    const Elf64_Shdr *semaphores = &image->part[SEMAPHORES];
    WANT(words[1] == image->part[BASE].sh_addr, NOTE_BASE, "note %zu: %" PRIx64, i, words[1]);
    REQUIRE(holds(&image->part[TEXT], words[0], 1), NOTE_SITE, "note %zu: %" PRIx64, i, words[0]);
    REQUIRE(words[2] == 0 || (image->has_semaphores && holds(semaphores, words[2], 2) && words[2] % 2 == 0),
            NOTE_SEMAPHORE, "note %zu: %" PRIx64, i, words[2]);
    const struct check_given *given = image->given;
    if (given->provider != NULL && i < given->count)
        REQUIRE(words[2] == (given->semaphores ? semaphores->sh_addr + 2 * given->probes[i].slot : 0), GIVEN_SEMAPHORE,
                "note %zu: %" PRIx64, i, words[2]);
    return true;
}

static bool judge_site(struct image *image, size_t i, uint64_t site)
{
    const struct check_given *given = image->given;
    const Elf64_Shdr *text = &image->part[TEXT];
    WANT(check_code(given, CHECK_PROBE, image->bytes + text->sh_offset, (size_t)text->sh_size,
                       (size_t)(site - text->sh_addr)),
            CODE_SITE, "note %zu: %" PRIx64, i, site);
    /* The kernel rewrites it as one piece; it begins behind the nop that is the site otherwise. */
    uint64_t nop = given->direct ? site : site + 1;
    WANT(strcmp(given->arch, "x86_64") != 0 || nop % given->page <= given->page - LONG_NOP, CODE_PAGE,
            "note %zu: %" PRIx64, i, site);
    REQUIRE(given->provider == NULL ||
                site == text->sh_addr + given->probes[i].slot * given->slot_size + given->site, GIVEN_SITE,
            "note %zu: %" PRIx64, i, site);
    return true;
}

/* A string of a note's data, and what follows it; NULL if it has no end. */
static const char *next_string(const char **at, const char *end)
{
    const char *string = *at, *nul = memchr(string, '\0', (size_t)(end - string));
    *at = nul == NULL ? end : nul + 1;
    return nul == NULL ? NULL : string;
}

static bool judge_note(struct image *image, size_t i, const struct note *note)
{
    const struct check_given *given = image->given;
    size_t word = image->processor->word, count;
    uint64_t words[3];
    int widths[MOST_OPERANDS];
    REQUIRE(note->type == STAPSDT_TYPE && note->owner_size == 8 && memcmp(note->owner, "stapsdt", 8) == 0,
            NOTE_OWNER, "note %zu: type %" PRIu32, i, note->type);
    REQUIRE(note->size >= 3 * word, NOTE_STRINGS, "note %zu: %" PRIu32 " bytes", i, note->size);
    for (size_t n = 0; n < 3; n++)
        words[n] = word_at(image, note->data + n * word);
    const char *at = (const char *)note->data + 3 * word, *end = (const char *)note->data + note->size;
    const char *provider = next_string(&at, end), *name = next_string(&at, end), *text = next_string(&at, end);
    REQUIRE(provider != NULL && name != NULL && text != NULL && at == end, NOTE_STRINGS, "note %zu", i);
    if (!judge_words(image, i, words))
        return false;
    WANT(check_is_name(provider), PROVIDER_NAME, "note %zu: \"%.80s\"", i, provider);
    WANT(check_is_name(name) && strlen(name) <= LONGEST_PROBE, PROBE_NAME, "note %zu: \"%.80s\"", i, name);
    if (!judge_operands(image, i, text, widths, &count))
        return false;

    if (given->provider == NULL)
        return judge_site(image, i, words[0]);
    REQUIRE(i < given->count, GIVEN_COUNT, "more than %zu", given->count);
    const struct check_probe *probe = &given->probes[i];
    REQUIRE(strcmp(provider, given->provider) == 0, GIVEN_PROVIDER, "note %zu: %s", i, provider);
    REQUIRE(strcmp(name, probe->name) == 0, GIVEN_NAME, "note %zu: %s", i, name);
    REQUIRE(count == (probe->argc < MOST_OPERANDS ? probe->argc : MOST_OPERANDS), GIVEN_OPERANDS,
            "note %zu: %zu of %zu", i, count, probe->argc);
    for (size_t n = 0; n < count; n++)
        REQUIRE(widths[n] == probe->widths[n], GIVEN_WIDTH, "note %zu, operand %zu: %d, not %d (%.100s)", i, n,
                widths[n], probe->widths[n], probe->types[n]);
    return judge_site(image, i, words[0]);
}

static bool judge_notes(struct image *image)
{
    struct note note;
    size_t i = 0;
    REQUIRE(image->part[NOTES].sh_offset % 4 == 0, NOTES_ALIGNED, "%" PRIx64, image->part[NOTES].sh_offset);
    for (uint64_t at = 0; at < image->part[NOTES].sh_size; i++)
        if (!read_note(image, NOTES, &at, &note) || !judge_note(image, i, &note))
            return false;
    REQUIRE(image->given->provider == NULL || i == image->given->count, GIVEN_COUNT, "%zu, not %zu", i,
            image->given->count);
    return true;
}

/* What no tracer reads: for each note its function and types, as strings, and an empty one. (No probe is translated.) */
static bool judge_more(struct image *image)
{
    const struct check_given *given = image->given;
    const Elf64_Shdr *more = &image->part[MORE];
    const char *at = (const char *)image->bytes + more->sh_offset, *end = at + more->sh_size;
    if (given->provider == NULL)
        return true;
    for (size_t i = 0; i < given->count; i++)
        for (size_t n = 0; n < given->probes[i].argc + 2; n++) {
            const struct check_probe *probe = &given->probes[i];
            const char *want = n == 0 ? probe->function : n <= probe->argc ? probe->types[n - 1] : "";
            const char *found = next_string(&at, end);
            REQUIRE(found != NULL && strcmp(found, want) == 0, GIVEN_MORE, "probe %zu, string %zu: \"%.80s\", not \"%.80s\"", i, n,
                    found == NULL ? "" : found, want);
        }
    REQUIRE(at == end, GIVEN_MORE, "%zu bytes too many", (size_t)(end - at));
    return true;
}

/* What no tracer reads either; whether it is C is no matter of the image. */
static bool judge_types(struct image *image)
{
    const struct check_given *given = image->given;
    const Elf64_Shdr *types = &image->part[TYPES];
    const unsigned char *text = image->bytes + types->sh_offset;
    uint64_t size = image->index[TYPES] == 0 ? 0 : types->sh_size;
    for (uint64_t i = 0; i < size; i++)
        WANT((text[i] >= ' ' && text[i] <= '~') || text[i] == '\t' || text[i] == '\n' || text[i] == '\0', TYPES,
             "byte %" PRIu64 ": %02x", i, text[i]);
    WANT(image->index[TYPES] == 0 || (size > 0 && text[size - 1] == '\0'), TYPES, "%" PRIu64 " bytes", size);
    REQUIRE(given->provider == NULL ||
                (size == given->types_size && (size == 0 || memcmp(text, given->types, given->types_size) == 0)),
            GIVEN_TYPES, "%" PRIu64 " bytes, not %zu", size, given->types_size);
    return true;
}

/* ---- the text ---- */

static bool judge_text(struct image *image)
{
    const struct check_given *given = image->given;
    const Elf64_Shdr *text = &image->part[TEXT];
    if (given->provider == NULL)
        return true;
    REQUIRE(text->sh_size / given->slot_size >= given->slots &&
                text->sh_size - given->slots * given->slot_size < given->page,
            GIVEN_SLOTS, "%" PRIu64 " bytes for %zu slots", text->sh_size, given->slots);
    REQUIRE(text->sh_size % given->slot_size == 0, GIVEN_STUBS, "%" PRIu64 " bytes", text->sh_size);
    /* The first is the stub, and each is the same as the one before it. */
    const unsigned char *first = image->bytes + text->sh_offset;
    REQUIRE(text->sh_size == 0 ||
                (memcmp(first, given->code, given->slot_size) == 0 &&
                 memcmp(first + given->slot_size, first, (size_t)text->sh_size - given->slot_size) == 0),
            GIVEN_STUBS, "%" PRIu64 " bytes", text->sh_size);
    return true;
}

bool check_elf(const struct check_given *given, const unsigned char *bytes, size_t len,
               struct check_verdict *verdict)
{
    struct image image = { .given = given, .bytes = bytes, .len = len, .verdict = verdict };
    *verdict = (struct check_verdict){ .broken = CHECK_GOOD };
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++)
        if (strcmp(processors[i].arch, given->arch) == 0)
            image.processor = &processors[i];
    if (image.processor == NULL)
        abort(); /* the caller's fault */
    return judge_header(&image) && judge_segments(&image) && judge_sections(&image) &&
           judge_build_id(&image) && judge_notes(&image) && judge_more(&image) && judge_types(&image) &&
           judge_text(&image);
}
