/*
 * decode.c - what a DOF document or an ELF image of probes holds, and which systems take it. The bytes may be any:
 * nothing outside of them is read, and what is printed of a document that says the same thing again and again has an
 * end. The rules are not here: fuzz/check.h has them, and the judges that know nothing of the library.
 */
#include "tool.h"
#include "fuzz/check.h"

#include <elf.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    LONGEST_NAME = 200,      /* of what is printed: no kernel takes more than 127 bytes */
    MOST_OFFSETS = 8,        /* of a probe */
    MOST_PRINTED = 64 << 20, /* bytes; of a large and good document it is a half */
    /* The library's own rules want a look at all pairs, which of a hostile file are too many. */
    SMALL_DOCUMENT = 64 << 10,
    FEW_SECTIONS = 64,
    SMALLEST_PAGE = 4096,
};

struct listing {
    FILE *out;
    uint64_t printed;
};

__attribute__((format(printf, 2, 3))) static void say(struct listing *list, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vfprintf(list->out, format, args);
    va_end(args);
    list->printed += n > 0 ? (unsigned)n : 0;
}

/* A terminal obeys control characters, and C1's in UTF-8: so only ASCII is printed as it is. */
static void say_name(struct listing *list, const char *name, size_t most)
{
    size_t len = strnlen(name, most + 1);
    for (size_t i = 0; i < len && i < most; i++)
        if (name[i] >= ' ' && name[i] <= '~' && name[i] != '\\')
            say(list, "%c", name[i]);
        else
            say(list, "\\x%02x", (unsigned char)name[i]);
    if (len > most)
        say(list, "...");
}

void decode_name(FILE *out, const char *name, size_t most)
{
    struct listing list = { .out = out };
    say_name(&list, name, most);
}

/* ---- the systems ---- */

/* Those that the library writes for, and the processors on which they have USDT. */
static const struct platform {
    const char *system, *arch;
    uint8_t model;    /* of DOF: 1, ILP32; 2, LP64 */
    uint16_t machine; /* of ELF */
} platforms[] = {
    { "illumos", "x86_64", 2, EM_X86_64 }, { "illumos", "i386", 1, EM_386 }, { "freebsd", "x86_64", 2, EM_X86_64 },
    { "freebsd", "i386", 1, EM_386 },      { "macos", "x86_64", 2, EM_X86_64 }, { "macos", "i386", 1, EM_386 },
    { "macos", "arm64", 2, EM_AARCH64 },   { "linux", "x86_64", 2, EM_X86_64 }, { "linux", "i386", 1, EM_386 },
    { "linux", "arm64", 2, EM_AARCH64 },
};
enum { PLATFORMS = sizeof platforms / sizeof platforms[0] };

/* What is judged. */
struct subject {
    const unsigned char *bytes;
    size_t len;
    bool is_elf;
    bool is_ours;  /* the code at its sites, and how it is laid out, are the library's */
    bool is_small; /* all pairs may be compared */
    uint64_t *room;
};

static void run_judge(const struct subject *subject, const struct platform *platform, const bool *spared,
                      struct check_verdict *verdict)
{
    struct check_given given = { .system = platform->system, .arch = platform->arch, .page = SMALLEST_PAGE,
                                 .spared = spared, .room = subject->is_small ? NULL : subject->room };
    if (!subject->is_elf) {
        check_dof(&given, subject->bytes, subject->len, verdict);
        return;
    }
    check_elf(&given, subject->bytes, subject->len, verdict);
    given.direct = true; /* the site may be either of the two nops */
    if (verdict->broken == CHECK_ELF_CODE_SITE)
        check_elf(&given, subject->bytes, subject->len, verdict);
}

static bool is_about_code(enum check_rule rule)
{
    return rule == CHECK_ELF_CODE_SITE || rule == CHECK_ELF_CODE_PAGE;
}

/* The library's own rules that cannot be spared: the file is cut off. */
static bool is_cut_off(enum check_rule rule)
{
    return rule == CHECK_DOF_SHORT || rule == CHECK_DOF_LOADED;
}

enum answer { ACCEPTED, ACCEPTED_BUT, NOT_BY_ALL, LOST, REFUSED, NOT_JUDGED };

static enum answer ask(const struct subject *subject, const struct platform *platform, struct check_verdict *verdict)
{
    bool without_own[CHECK_RULES], without_lost[CHECK_RULES], without_dof[CHECK_RULES] = { false };
    struct check_verdict worse;
    for (int i = 0; i < CHECK_RULES; i++) {
        enum check_rule rule = (enum check_rule)i;
        enum check_answer whose = check_answer(platform->system, platform->arch, rule);
        bool is_spared = (is_about_code(rule) && !subject->is_ours) || is_cut_off(rule);
        without_own[i] = is_spared || whose == CHECK_OWN;
        without_lost[i] = is_spared || whose != CHECK_REFUSES;
    }
    without_own[CHECK_DOF_LOADED] = without_lost[CHECK_DOF_LOADED] = false;
    run_judge(subject, platform, without_own, verdict);
    if (verdict->broken == CHECK_GOOD) {
        /* XNU counts from where the document is, which nobody knows here. */
        without_dof[CHECK_DOF_ADDRESS] = strcmp(platform->system, "macos") == 0;
        if (subject->is_ours && subject->is_small)
            run_judge(subject, platform, without_dof, verdict);
        return verdict->broken == CHECK_GOOD ? ACCEPTED : ACCEPTED_BUT;
    }
    enum check_answer whose = check_answer(platform->system, platform->arch, verdict->broken);
    if (whose == CHECK_OWN)
        return is_cut_off(verdict->broken) ? REFUSED : NOT_JUDGED;
    if (whose == CHECK_REFUSES)
        return REFUSED;
    /* It is refused all the same if it breaks a worse rule, too. */
    run_judge(subject, platform, without_lost, &worse);
    bool is_lost = worse.broken == CHECK_GOOD || (!subject->is_elf && worse.broken == verdict->broken);
    if (is_lost)
        return subject->is_elf ? NOT_BY_ALL : LOST;
    *verdict = worse;
    return REFUSED;
}

static void say_answer(struct listing *list, const struct platform *platform, enum answer answer,
                       const struct check_verdict *verdict)
{
    static const char *const words[] = {
        [ACCEPTED] = "accepted",
        [ACCEPTED_BUT] = "accepted, but libusdt keeps one more rule",
        [NOT_BY_ALL] = "accepted, but not by every tracer; it breaks the rule",
        [LOST] = "not accepted: taken, but its probes are lost; it breaks the rule",
        [REFUSED] = "not accepted: refused; it breaks the rule",
        [NOT_JUDGED] = "not judged: it breaks a rule without which the others are not understood here",
    };
    say(list, "  %-8s %-7s %s", platform->system, platform->arch, words[answer]);
    if (answer != ACCEPTED) {
        say(list, ": %s [%s: ", check_rule_text(verdict->broken), check_rule_name(verdict->broken));
        say_name(list, verdict->where, sizeof verdict->where);
        say(list, "]");
    }
    say(list, "\n");
}

/* Model or machine 0, or one that is not known: then all processors are asked. */
static bool say_answers(struct listing *list, struct subject *subject, unsigned model, unsigned machine)
{
    bool is_known = false, is_accepted = false;
    for (size_t i = 0; i < PLATFORMS; i++)
        is_known |= platforms[i].model == model || platforms[i].machine == machine;
    say(list, "\naccepted?\n");
    for (size_t i = 0; i < PLATFORMS; i++) {
        const struct platform *platform = &platforms[i];
        struct check_verdict verdict;
        if (is_known && platform->model != model && platform->machine != machine)
            continue;
        if (subject->is_elf && strcmp(platform->system, "linux") != 0) {
            say(list, "  %-8s %-7s not accepted: its DTrace takes DOF documents, and reads no notes of images\n",
                platform->system, platform->arch);
            continue;
        }
        enum answer answer = ask(subject, platform, &verdict);
        say_answer(list, platform, answer, &verdict);
        is_accepted |= answer == ACCEPTED || answer == ACCEPTED_BUT || answer == NOT_BY_ALL;
    }
    return is_accepted;
}

/* ---- DOF ---- */

struct document {
    const unsigned char *bytes;
    size_t len;
    struct check_dof_header header;
    struct listing *list;
};

static bool is_within(uint64_t offset, uint64_t size, uint64_t end)
{
    return offset <= end && size <= end - offset;
}

/* Section i, of size 0 if it does not lie in the document. */
static struct check_dof_section section_at(const struct document *doc, uint32_t i)
{
    struct check_dof_section section = { .size = 0 };
    uint64_t at = i * (uint64_t)sizeof section;
    if (i >= doc->header.section_count || doc->header.sections > doc->len ||
        !is_within(at, sizeof section, doc->len - doc->header.sections))
        return section;
    memcpy(&section, doc->bytes + doc->header.sections + at, sizeof section);
    if (!is_within(section.offset, section.size, doc->len))
        section.offset = section.size = 0;
    return section;
}

/* A string of a table; *left: how many bytes may be read of it. NULL: it begins outside, or has no end. */
static const char *string_at(const struct document *doc, const struct check_dof_section *strings, uint64_t offset)
{
    if (offset >= strings->size)
        return NULL;
    const char *string = (const char *)doc->bytes + strings->offset + offset;
    uint64_t left = strings->size - offset;
    /* What is too long to be printed has not to be searched. */
    return left > LONGEST_NAME || memchr(string, '\0', (size_t)left) != NULL ? string : NULL;
}

static void say_string(const struct document *doc, const struct check_dof_section *strings, uint64_t offset)
{
    const char *string = string_at(doc, strings, offset);
    if (string == NULL)
        say(doc->list, "(outside of the strings)");
    else
        say_name(doc->list, string, LONGEST_NAME);
}

static void say_header(const struct document *doc)
{
    const struct check_dof_header *header = &doc->header;
    say(doc->list, "DOF document, %zu bytes\n", doc->len);
    const char *model = header->model == 1 ? "ILP32" : header->model == 2 ? "LP64" : "unknown";
    const char *encoding = header->encoding == 1 ? "LSB" : header->encoding == 2 ? "MSB" : "unknown";
    say(doc->list, "  version %u, DIF version %u, model %u (%s), encoding %u (%s), flags %" PRIx32 "\n",
        header->version, header->dif_version, header->model, model, header->encoding, encoding, header->flags);
    say(doc->list, "  %" PRIu64 " bytes to be loaded, %" PRIu64 " in the file; %" PRIu32 " section headers at %" PRIu64
        "\n", header->loaded, header->file_size, header->section_count, header->sections);
}

/* <sys/dtrace.h>: DOF_SECT_*, those of documents with providers. */
static const char *kind_of(uint32_t type)
{
    switch (type) {
    case 0: return "none";
    case 1: return "comments";
    case CHECK_STRTAB: return "strings";
    case 10: return "relocations";
    case 12: return "relocation header";
    case CHECK_PROVIDER: return "provider";
    case CHECK_PROBES: return "probes";
    case CHECK_PRARGS: return "argument map";
    case CHECK_PROFFS: return "offsets";
    case 20: return "utsname";
    case CHECK_PRENOFFS: return "is-enabled offsets";
    default: return "other";
    }
}

static bool is_enough(const struct document *doc)
{
    if (doc->list->printed < MOST_PRINTED)
        return false;
    say(doc->list, "... and more: what is listed ends after %d MiB\n", MOST_PRINTED >> 20);
    return true;
}

static void say_sections(const struct document *doc)
{
    for (uint32_t i = 0; i < doc->header.section_count && !is_enough(doc); i++) {
        struct check_dof_section section;
        uint64_t at = doc->header.sections + i * (uint64_t)sizeof section;
        if (at < doc->header.sections || !is_within(at, sizeof section, doc->len)) {
            say(doc->list, "  section headers end outside of the document\n");
            return;
        }
        memcpy(&section, doc->bytes + at, sizeof section);
        say(doc->list, "  section %" PRIu32 ": %s (type %" PRIu32 "), %" PRIu64 " bytes at %" PRIu64 ", aligned to %"
            PRIu32 ", flags %" PRIx32 ", entries of %" PRIu32 "\n", i, kind_of(section.type), section.type,
            section.size, section.offset, section.align, section.flags, section.entry_size);
    }
}

/* `count` types, one behind the other; `map`: and which native argument each is. */
static void say_types(const struct document *doc, const struct check_dof_section *strings, uint64_t offset,
                      unsigned count, const unsigned char *map)
{
    for (unsigned i = 0; i < count; i++) {
        const char *type = string_at(doc, strings, offset);
        say(doc->list, "%s", i > 0 ? ", " : "");
        say_string(doc, strings, offset);
        if (map != NULL)
            say(doc->list, " = %u", map[i]);
        size_t len = type == NULL ? 0 : strnlen(type, LONGEST_NAME + 1);
        if (type == NULL || len > LONGEST_NAME)
            return;
        offset += len + 1;
    }
}

static void say_offsets(const struct document *doc, const struct check_dof_section *offsets, const char *what,
                        uint64_t addr, uint32_t first, unsigned count)
{
    if (count == 0)
        return;
    say(doc->list, "    %s", what);
    for (unsigned i = 0; i < count && i < MOST_OFFSETS; i++) {
        int32_t offset;
        if (!is_within(4 * ((uint64_t)first + i), sizeof offset, offsets->size)) {
            say(doc->list, " (outside of the offsets)\n");
            return;
        }
        memcpy(&offset, doc->bytes + offsets->offset + 4 * ((uint64_t)first + i), sizeof offset);
        say(doc->list, "%s %" PRIx64 "%c%" PRIx64, i > 0 ? "," : "", addr, offset < 0 ? '-' : '+',
            offset < 0 ? -(uint64_t)(int64_t)offset : (uint64_t)offset);
    }
    if (count > MOST_OFFSETS)
        say(doc->list, ", ... (%u)", count);
    say(doc->list, "\n");
}

/* Whether the arguments are seen as they are passed: the same number of the same, in their order. */
static bool is_identity(const struct document *doc, const struct check_dof_section *strings,
                        const struct check_dof_probe *probe, const unsigned char *map)
{
    const char *native = string_at(doc, strings, probe->native), *seen = string_at(doc, strings, probe->translated);
    if (probe->translated_count != probe->native_count || (probe->native_count > 0 && (native == NULL || seen == NULL)))
        return false;
    for (unsigned i = 0; i < probe->native_count; i++)
        if (map[i] != i)
            return false;
    return probe->native == probe->translated || probe->native_count == 0;
}

static void say_probe(const struct document *doc, const struct check_dof_provider *provider,
                      const struct check_dof_probe *probe)
{
    struct check_dof_section strings = section_at(doc, provider->strings), map = section_at(doc, provider->map),
                             offsets = section_at(doc, provider->offsets), enabled = section_at(doc, provider->enabled);
    const unsigned char *mapped = is_within(probe->map, probe->translated_count, map.size)
                                      ? doc->bytes + map.offset + probe->map : NULL;
    say(doc->list, "  ");
    say_string(doc, &strings, probe->function);
    say(doc->list, ":");
    say_string(doc, &strings, probe->name);
    say(doc->list, "(");
    say_types(doc, &strings, probe->native, probe->native_count, NULL);
    say(doc->list, ")\n");
    if (mapped == NULL) {
        say(doc->list, "    its argument map is outside of its section\n");
    } else if (!is_identity(doc, &strings, probe, mapped)) {
        say(doc->list, "    seen as (");
        say_types(doc, &strings, probe->translated, probe->translated_count, mapped);
        say(doc->list, ")\n");
    }
    say_offsets(doc, &offsets, "site", probe->addr, probe->offsets, probe->offset_count);
    say_offsets(doc, &enabled, "is-enabled site", probe->addr, probe->enabled,
                provider->enabled == 0 ? 0 : probe->enabled_count);
}

/* DOF_ATTR: name, data, class, from the highest byte; words as dtrace -lv prints them. */
static void say_attributes(const struct document *doc, const struct check_dof_provider *provider)
{
    static const char *const of[] = { "provider", "module", "function", "name", "arguments" };
    static const char *const stable[] = { "Internal", "Private", "Obsolete", "External",
                                          "Unstable", "Evolving", "Stable", "Standard" };
    static const char *const class[] = { "Unknown", "CPU", "Platform", "Group", "ISA", "Common" };
    say(doc->list, "  stability:");
    for (int i = 0; i < 5; i++) {
        uint32_t bits = provider->attributes[i], name = bits >> 24, data = bits >> 16 & 0xff, c = bits >> 8 & 0xff;
        say(doc->list, "%s %s %s/%s/%s", i > 0 ? "," : "", of[i], name < 8 ? stable[name] : "?",
            data < 8 ? stable[data] : "?", c < 6 ? class[c] : "?");
    }
    say(doc->list, "\n");
}

static void say_provider(const struct document *doc, const struct check_dof_section *section)
{
    struct check_dof_provider provider;
    struct check_dof_probe probe;
    if (section->size < sizeof provider) {
        say(doc->list, "\nprovider (outside of the document, or too short)\n");
        return;
    }
    memcpy(&provider, doc->bytes + section->offset, sizeof provider);
    struct check_dof_section strings = section_at(doc, provider.strings), probes = section_at(doc, provider.probes);
    size_t count = (size_t)probes.size / sizeof probe;
    say(doc->list, "\nprovider ");
    say_string(doc, &strings, provider.name);
    say(doc->list, ", %zu probe%s\n", count, count == 1 ? "" : "s");
    say_attributes(doc, &provider);
    for (size_t i = 0; i < count && !is_enough(doc); i++) {
        memcpy(&probe, doc->bytes + probes.offset + i * sizeof probe, sizeof probe);
        say_probe(doc, &provider, &probe);
    }
}

static int decode_dof(const unsigned char *bytes, size_t len, struct listing *list)
{
    struct document doc = { .bytes = bytes, .len = len, .list = list };
    memcpy(&doc.header, bytes, len < sizeof doc.header ? len : sizeof doc.header);
    say_header(&doc);
    if (len < sizeof doc.header) {
        say(list, "  it ends in its header\n");
    } else {
        if (doc.header.loaded >= sizeof doc.header && doc.header.loaded < len) {
            say(list, "  the last %" PRIu64 " bytes of the file are no part of it\n", len - doc.header.loaded);
            doc.len = (size_t)doc.header.loaded;
        }
        say_sections(&doc);
        for (uint32_t i = 0; i < doc.header.section_count && list->printed < MOST_PRINTED; i++) {
            struct check_dof_section section = section_at(&doc, i);
            if (section.type == CHECK_PROVIDER)
                say_provider(&doc, &section);
            if (i * (uint64_t)sizeof section > len)
                break;
        }
    }
    struct subject subject = { .bytes = bytes, .len = doc.len, .is_ours = true, .is_small = doc.len <= SMALL_DOCUMENT };
    subject.room = tool_calloc(doc.len / sizeof(struct check_dof_probe) + 1, 2 * sizeof *subject.room);
    bool is_accepted = say_answers(list, &subject, doc.header.model, 0);
    free(subject.room);
    return is_accepted ? TOOL_DONE : TOOL_FAILED;
}

/* ---- ELF ---- */

/* The header's numbers that are judged and printed; of an image that holds its header. */
struct elf_numbers {
    unsigned class, type, machine, segments, sections;
};

static struct elf_numbers numbers_of(const unsigned char *bytes, size_t len)
{
    Elf64_Ehdr wide = { .e_type = 0 };
    Elf32_Ehdr narrow = { .e_type = 0 };
    memcpy(&wide, bytes, len < sizeof wide ? len : sizeof wide);
    memcpy(&narrow, bytes, len < sizeof narrow ? len : sizeof narrow);
    bool is_wide = wide.e_ident[EI_CLASS] != ELFCLASS32;
    return (struct elf_numbers){ .class = wide.e_ident[EI_CLASS], .type = wide.e_type, .machine = wide.e_machine,
                                 .segments = is_wide ? wide.e_phnum : narrow.e_phnum,
                                 .sections = is_wide ? wide.e_shnum : narrow.e_shnum };
}

static const char *machine_name(unsigned machine)
{
    for (size_t i = 0; i < PLATFORMS; i++)
        if (platforms[i].machine == machine)
            return platforms[i].arch;
    return "another processor";
}

static const char *type_name(unsigned type)
{
    static const char *const names[] = { [ET_NONE] = "no type", [ET_REL] = "object", [ET_EXEC] = "executable",
                                         [ET_DYN] = "shared object or executable", [ET_CORE] = "core" };
    return type < sizeof names / sizeof names[0] ? names[type] : "unknown type";
}

static void say_elf_probe(struct listing *list, const struct elf_probe *probe)
{
    char *arguments = elf_arguments(probe);
    say(list, "  ");
    if (probe->function != NULL) {
        say_name(list, probe->function, LONGEST_NAME);
        say(list, ":");
    }
    say_name(list, probe->name, LONGEST_NAME);
    say(list, "(");
    say_name(list, arguments, 32 * LONGEST_NAME);
    say(list, ")\n    site %" PRIx64, probe->site);
    if (probe->semaphore != 0)
        say(list, ", semaphore %" PRIx64, probe->semaphore);
    if (probe->operands[0] != '\0') {
        say(list, ", operands ");
        say_name(list, probe->operands, 32 * LONGEST_NAME);
    }
    say(list, "\n");
    free(arguments);
}

static int decode_elf(const unsigned char *bytes, size_t len, struct listing *list)
{
    const char *why, *provider = NULL;
    struct elf_numbers numbers = numbers_of(bytes, len);
    struct elf_file *file = elf_read_bytes(bytes, len, &why);
    bool is_ours = file->count > 0 && file->probes[0].types != NULL;
    say(list, "ELF image, %zu bytes\n", len);
    say(list, "  class %u (%s bits), machine %u (%s), type %u (%s), %u program headers, %u section headers\n",
        numbers.class, numbers.class == ELFCLASS64 ? "64" : numbers.class == ELFCLASS32 ? "32" : "unknown",
        numbers.machine, machine_name(numbers.machine), numbers.type, type_name(numbers.type), numbers.segments,
        numbers.sections);
    say(list, "  build-id %s, %zu probe%s, %smade by libusdt%s\n", file->build_id[0] != '\0' ? file->build_id : "none",
        file->count, file->count == 1 ? "" : "s", is_ours ? "" : "not ",
        is_ours ? "" : ": the code at its sites is not judged");
    if (file->count == 0)
        say(list, "  %s\n", why);
    for (size_t i = 0; i < file->count; i++) {
        const struct elf_probe *probe = &file->probes[i];
        if (provider == NULL || strcmp(provider, probe->provider) != 0) {
            provider = probe->provider;
            say(list, "\nprovider ");
            say_name(list, provider, LONGEST_NAME);
            say(list, "\n");
        }
        say_elf_probe(list, probe);
    }
    if (file->descriptions != NULL)
        say(list, "\nstructures\n");
    for (const char *at = file->descriptions; at != NULL && *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        char *line = tool_format("%.*s", (int)strcspn(at, "\n"), at);
        say(list, "  ");
        say_name(list, line, 32 * LONGEST_NAME);
        say(list, "\n");
        free(line);
    }
    elf_free(file);
    struct subject subject = { .bytes = bytes, .len = len, .is_elf = true, .is_ours = is_ours,
                               .is_small = numbers.sections <= FEW_SECTIONS && numbers.segments <= FEW_SECTIONS };
    return say_answers(list, &subject, 0, numbers.machine) ? TOOL_DONE : TOOL_FAILED;
}

int decode(const unsigned char *bytes, size_t len, FILE *out)
{
    struct listing list = { .out = out };
    if (len >= 4 && memcmp(bytes, "\177DOF", 4) == 0)
        return decode_dof(bytes, len, &list);
    if (len >= 4 && memcmp(bytes, ELFMAG, SELFMAG) == 0)
        return decode_elf(bytes, len, &list);
    return DECODE_NEITHER;
}
