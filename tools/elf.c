/*
 * elf.c - the USDT probes that an ELF file describes in .note.stapsdt (SystemTap's notes, version 3), and
 * what libusdt adds in .usdt.probes and .usdt.types. Reads with pread() or from memory, never more than there is: it
 * may be any file, and may change meanwhile.
 */
#include "tool.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More segments than any program has: each note's address is looked for in them. */
enum { STAPSDT_TYPE = 3, MOST_BYTES = 1 << 30, MOST_SEGMENTS = 256 };

struct reader {
    int fd;
    const char *bytes; /* NULL: read from fd */
    uint64_t size;
    bool wide;
    const char *why;
};

/* Bytes of the file, with a NUL behind them, to be freed; or NULL. */
static char *read_part(struct reader *reader, uint64_t offset, uint64_t size)
{
    if (size > MOST_BYTES || offset > reader->size || size > reader->size - offset) {
        reader->why = "it ends before what it says it holds";
        return NULL;
    }
    char *bytes = tool_calloc(1, (size_t)size + 1);
    size_t done = 0;
    if (reader->bytes != NULL)
        return memcpy(bytes, reader->bytes + offset, (size_t)size);
    while (done < size) {
        ssize_t n = pread(reader->fd, bytes + done, (size_t)size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            reader->why = n < 0 ? strerror(errno) : "it has become shorter";
            free(bytes);
            return NULL;
        }
        done += (size_t)n;
    }
    return bytes;
}

/* Headers of 32-bit files are widened. */
static Elf64_Ehdr wide_header(const Elf32_Ehdr *from)
{
    return (Elf64_Ehdr){ .e_machine = from->e_machine, .e_phoff = from->e_phoff, .e_shoff = from->e_shoff,
                         .e_phentsize = from->e_phentsize, .e_phnum = from->e_phnum, .e_shentsize = from->e_shentsize,
                         .e_shnum = from->e_shnum, .e_shstrndx = from->e_shstrndx };
}

static Elf64_Shdr section_at(const struct reader *reader, const char *table, size_t i)
{
    Elf64_Shdr section;
    Elf32_Shdr narrow;
    if (reader->wide) {
        memcpy(&section, table + i * sizeof section, sizeof section);
        return section;
    }
    memcpy(&narrow, table + i * sizeof narrow, sizeof narrow);
    return (Elf64_Shdr){ .sh_name = narrow.sh_name, .sh_type = narrow.sh_type, .sh_addr = narrow.sh_addr,
                         .sh_offset = narrow.sh_offset, .sh_size = narrow.sh_size };
}

static Elf64_Phdr segment_at(const struct reader *reader, const char *table, size_t i)
{
    Elf64_Phdr segment;
    Elf32_Phdr narrow;
    if (reader->wide) {
        memcpy(&segment, table + i * sizeof segment, sizeof segment);
        return segment;
    }
    memcpy(&narrow, table + i * sizeof narrow, sizeof narrow);
    return (Elf64_Phdr){ .p_type = narrow.p_type, .p_offset = narrow.p_offset, .p_vaddr = narrow.p_vaddr,
                         .p_filesz = narrow.p_filesz };
}

static uint64_t word_at(const struct reader *reader, const char *at)
{
    uint64_t wide;
    uint32_t narrow;
    memcpy(&wide, at, reader->wide ? sizeof wide : 0);
    memcpy(&narrow, at, sizeof narrow);
    return reader->wide ? wide : narrow;
}

/* What is read of a file before its notes are. */
struct tables {
    Elf64_Ehdr header;
    char *sections, *segments, *names;
    uint64_t names_size;
};

/* The section of a name; type SHT_NULL: there is none. */
static Elf64_Shdr find_section(const struct reader *reader, const struct tables *tables, const char *name)
{
    for (size_t i = 1; i < tables->header.e_shnum; i++) {
        Elf64_Shdr section = section_at(reader, tables->sections, i);
        if (section.sh_name < tables->names_size && strcmp(tables->names + section.sh_name, name) == 0)
            return section;
    }
    return (Elf64_Shdr){ .sh_type = SHT_NULL };
}

static uint64_t offset_of(const struct reader *reader, const struct tables *tables, uint64_t address)
{
    for (size_t i = 0; i < tables->header.e_phnum; i++) {
        Elf64_Phdr segment = segment_at(reader, tables->segments, i);
        if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz)
            return address - segment.p_vaddr + segment.p_offset;
    }
    return 0;
}

static bool read_tables(struct reader *reader, struct tables *tables)
{
    unsigned char ident[EI_NIDENT];
    char *bytes = read_part(reader, 0, sizeof ident);
    bool is_elf = bytes != NULL && memcmp(bytes, ELFMAG, SELFMAG) == 0;
    if (is_elf)
        memcpy(ident, bytes, sizeof ident);
    free(bytes);
    reader->why = "it is no ELF file";
    if (!is_elf)
        return false;
    reader->wide = ident[EI_CLASS] == ELFCLASS64;
    reader->why = "its byte order is another machine's";
    if (ident[EI_DATA] != ELFDATA2LSB)
        return false;
    bytes = read_part(reader, 0, reader->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr));
    if (bytes == NULL)
        return false;
    if (reader->wide) {
        memcpy(&tables->header, bytes, sizeof tables->header);
    } else {
        Elf32_Ehdr narrow;
        memcpy(&narrow, bytes, sizeof narrow);
        tables->header = wide_header(&narrow);
    }
    free(bytes);
    const Elf64_Ehdr *header = &tables->header;
    size_t section_size = reader->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    size_t segment_size = reader->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    reader->why = "it has no section headers";
    if (header->e_shnum == 0 || header->e_shstrndx >= header->e_shnum || header->e_shentsize != section_size ||
        (header->e_phnum > 0 && header->e_phentsize != segment_size))
        return false;
    reader->why = "it has more segments than any program";
    if (header->e_phnum > MOST_SEGMENTS)
        return false;
    tables->sections = read_part(reader, header->e_shoff, header->e_shnum * section_size);
    tables->segments = read_part(reader, header->e_phoff, header->e_phnum * segment_size);
    if (tables->sections == NULL || tables->segments == NULL)
        return false;
    Elf64_Shdr names = section_at(reader, tables->sections, header->e_shstrndx);
    tables->names = read_part(reader, names.sh_offset, names.sh_size);
    tables->names_size = names.sh_size;
    return tables->names != NULL;
}

/* A string that ends before `end`, and moves *at behind it; or NULL. */
static const char *next_string(const char **at, const char *end)
{
    const char *string = *at, *nul = string < end ? memchr(string, '\0', (size_t)(end - string)) : NULL;
    if (nul == NULL)
        return NULL;
    *at = nul + 1;
    return string;
}

/* One note's description: three words, three strings. False: it is none of a probe. */
static bool read_probe(const struct reader *reader, const struct tables *tables, const char *at, size_t size,
                       uint64_t base, struct elf_probe *probe)
{
    size_t word = reader->wide ? 8 : 4;
    const char *end = at + size;
    if (size < 3 * word)
        return false;
    uint64_t site = word_at(reader, at), linked_base = word_at(reader, at + word), semaphore = word_at(reader, at + 2 * word);
    uint64_t moved = base == 0 ? 0 : base - linked_base; /* prelink moves addresses, not notes */
    at += 3 * word;
    const char *provider = next_string(&at, end), *name = next_string(&at, end), *operands = next_string(&at, end);
    if (provider == NULL || name == NULL || operands == NULL)
        return false;
    *probe = (struct elf_probe){
        .provider = tool_strdup(provider), .name = tool_strdup(name), .operands = tool_strdup(operands),
        .site = offset_of(reader, tables, site + moved),
        .semaphore = semaphore == 0 ? 0 : offset_of(reader, tables, semaphore + moved),
    };
    return true;
}

static void read_notes(const struct reader *reader, const struct tables *tables, const char *notes, uint64_t size,
                       uint64_t base, struct elf_file *file)
{
    for (uint64_t at = 0; size - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        uint64_t owner = at + sizeof note, desc = owner + (((uint64_t)note.n_namesz + 3) & ~UINT64_C(3));
        if (desc > size || note.n_descsz > size - desc)
            return;
        struct elf_probe probe;
        if (note.n_type == STAPSDT_TYPE && note.n_namesz == 8 && memcmp(notes + owner, "stapsdt", 8) == 0 &&
            read_probe(reader, tables, notes + desc, note.n_descsz, base, &probe)) {
            if ((file->count & (file->count - 1)) == 0)
                file->probes = tool_realloc(file->probes, (file->count == 0 ? 1 : 2 * file->count) * sizeof probe);
            file->probes[file->count++] = probe;
        }
        at = desc + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
        if (at > size)
            return;
    }
}

static char **copy_strings(const char *const *strings, size_t count)
{
    char **copy = tool_calloc(count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++)
        copy[i] = tool_strdup(strings[i]);
    return copy;
}

static void free_strings(char **strings)
{
    for (size_t i = 0; strings != NULL && strings[i] != NULL; i++)
        free(strings[i]);
    free(strings);
}

/* Byte 1, the number of one of `count` arguments in two digits, a space, a type. */
enum { TRANSLATED = 1 };
static bool is_translated(const char *string, size_t count)
{
    return string[0] == TRANSLATED && strspn(string + 1, "0123456789") == 2 && string[3] == ' ' &&
           (size_t)(10 * (string[1] - '0') + string[2] - '0') < count;
}

/* Functions and types of all probes, in their order; or of none, if the section does not fit. */
static void read_more(const char *more, uint64_t size, struct elf_file *file)
{
    const char *at = more, *end = more + size;
    for (size_t i = 0; i < file->count; i++) {
        struct elf_probe *probe = &file->probes[i];
        enum { MOST_TYPES = 64 };
        const char *function = next_string(&at, end), *type = NULL, *types[MOST_TYPES], *translated[MOST_TYPES];
        size_t count = 0, shown = 0;
        while (count < MOST_TYPES && (type = next_string(&at, end)) != NULL && type[0] > TRANSLATED)
            types[count++] = type;
        for (; shown < MOST_TYPES && type != NULL && is_translated(type, count); type = next_string(&at, end)) {
            probe->map[shown] = (unsigned char)(10 * (type[1] - '0') + type[2] - '0');
            translated[shown++] = type + 4;
        }
        if (function == NULL || type == NULL || type[0] != '\0')
            return;
        probe->function = tool_strdup(function);
        probe->types = copy_strings(types, count);
        probe->translated = shown == 0 ? NULL : copy_strings(translated, shown);
    }
}

static void read_build_id(struct reader *reader, const struct tables *tables, struct elf_file *file)
{
    Elf64_Shdr section = find_section(reader, tables, ".note.gnu.build-id");
    Elf64_Nhdr note;
    char *bytes = section.sh_type == SHT_NOTE && section.sh_size >= sizeof note
                      ? read_part(reader, section.sh_offset, section.sh_size) : NULL;
    if (bytes == NULL)
        return;
    memcpy(&note, bytes, sizeof note);
    if (note.n_namesz == 4 && note.n_descsz <= 64 && section.sh_size >= sizeof note + 4 + note.n_descsz)
        for (size_t i = 0; i < note.n_descsz; i++)
            sprintf(file->build_id + 2 * i, "%02x", (unsigned char)bytes[sizeof note + 4 + i]);
    free(bytes);
}

static void read_file(struct reader *reader, struct tables *tables, struct elf_file *file)
{
    Elf64_Shdr base = find_section(reader, tables, ".stapsdt.base");
    file->wide = reader->wide;
    file->machine = tables->header.e_machine;
    uint64_t left = reader->size; /* sections of notes may not be the same bytes again and again */
    for (size_t i = 1; i < tables->header.e_shnum; i++) {
        Elf64_Shdr section = section_at(reader, tables->sections, i);
        if (section.sh_type != SHT_NOTE || section.sh_name >= tables->names_size ||
            strcmp(tables->names + section.sh_name, ".note.stapsdt") != 0)
            continue;
        if (section.sh_size > left)
            break;
        left -= section.sh_size;
        char *notes = read_part(reader, section.sh_offset, section.sh_size);
        if (notes != NULL)
            read_notes(reader, tables, notes, section.sh_size, base.sh_type == SHT_NULL ? 0 : base.sh_addr, file);
        free(notes);
    }
    Elf64_Shdr more = find_section(reader, tables, ".usdt.probes");
    char *bytes = more.sh_type == SHT_PROGBITS ? read_part(reader, more.sh_offset, more.sh_size) : NULL;
    if (bytes != NULL)
        read_more(bytes, more.sh_size, file);
    free(bytes);
    Elf64_Shdr types = find_section(reader, tables, ".usdt.types");
    bytes = types.sh_type == SHT_PROGBITS ? read_part(reader, types.sh_offset, types.sh_size) : NULL;
    if (bytes != NULL)
        types_read(file, bytes, (size_t)types.sh_size);
    free(bytes);
    read_build_id(reader, tables, file);
}

static struct elf_file *read_all(struct reader *reader, const char **why)
{
    struct tables tables = { .sections = NULL };
    struct elf_file *file = tool_calloc(1, sizeof *file);
    if (reader->why == NULL && read_tables(reader, &tables)) {
        reader->why = "it has no probes";
        read_file(reader, &tables, file);
    }
    free(tables.sections);
    free(tables.segments);
    free(tables.names);
    *why = file->count > 0 ? NULL : reader->why;
    return file;
}

struct elf_file *elf_read(int fd, const char **why)
{
    struct reader reader = { .fd = fd };
    struct stat st;
    if (fstat(fd, &st) != 0)
        reader.why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        reader.why = "it is no regular file";
    else
        reader.size = (uint64_t)st.st_size;
    return read_all(&reader, why);
}

struct elf_file *elf_read_bytes(const void *bytes, size_t len, const char **why)
{
    struct reader reader = { .fd = -1, .bytes = bytes, .size = len };
    return read_all(&reader, why);
}

void elf_free(struct elf_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        struct elf_probe *probe = &file->probes[i];
        free_strings(probe->types);
        free_strings(probe->translated);
        free(probe->function);
        free(probe->provider);
        free(probe->name);
        free(probe->operands);
    }
    free(file->probes);
    types_free(file);
    free(file);
}

/* An operand begins here: a number, perhaps an f, and an @. Where it is behind that, or NULL. */
static const char *begins_operand(const char *at)
{
    at += *at == '-';
    size_t digits = strspn(at, "0123456789");
    at += digits;
    at += *at == 'f';
    return digits > 0 && digits < 4 && *at == '@' ? at + 1 : NULL;
}

bool elf_next_operand(const char **operands, struct elf_operand *operand)
{
    const char *place = begins_operand(*operands), *end;
    if (place == NULL)
        return false;
    long size = strtol(*operands, NULL, 10);
    *operand = (struct elf_operand){ .bytes = (int)labs(size), .is_signed = size < 0, .is_float = place[-2] == 'f' };
    /* A place may have a space in it, arm64's. */
    for (end = place; *end != '\0' && (*end != ' ' || begins_operand(end + 1) == NULL); end++)
        ;
    if ((size_t)(end - place) < sizeof operand->place)
        memcpy(operand->place, place, (size_t)(end - place));
    *operands = *end == ' ' ? end + 1 : end;
    return true;
}

char *elf_next_argument(const struct elf_probe *probe, size_t i, const char **operands)
{
    struct elf_operand operand;
    if (probe->types != NULL)
        return probe->types[i] == NULL ? NULL : tool_strdup(probe->types[i]);
    if (!elf_next_operand(operands, &operand))
        return NULL;
    return tool_format("%s%d", operand.is_float ? "float" : operand.is_signed ? "int" : "uint", 8 * operand.bytes);
}

char *elf_arguments(const struct elf_probe *probe)
{
    char *text = NULL, *type;
    size_t len = 0;
    const char *operands = probe->operands;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return tool_strdup("");
    for (size_t i = 0; (type = elf_next_argument(probe, i, &operands)) != NULL; i++) {
        fprintf(out, "%s%s", i > 0 ? ", " : "", type);
        free(type);
    }
    fclose(out);
    return text;
}
