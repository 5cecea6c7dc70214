/*
 * check.h - judges of the DOF documents and ELF images that the library writes, for the fuzzers.
 *
 * Written from the structures of <sys/dtrace.h> and <elf.h> and from facts/dof.md and facts/linux.md.
 * Nothing here may include a header of the library, or share a constant with it: what both got wrong,
 * nobody would see. The judges take any bytes; they read nothing outside of them and keep nothing.
 */
#ifndef CHECK_H
#define CHECK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The rules, about in the order of judging: the first one broken is the verdict. GIVEN_ rules compare with
 * what was put in, all others are those of the kernels and tracers. check_selftest.c breaks each one.
 */
#define CHECK_DOF_RULES(RULE)                                                              \
    RULE(DOF_SHORT, "a document holds its header")                                         \
    RULE(DOF_MAGIC, "the magic number is 7F D O F")                                        \
    RULE(DOF_MODEL_KNOWN, "the data model is ILP32 or LP64")                               \
    RULE(DOF_MODEL, "the data model is the processor's")                                   \
    RULE(DOF_ENCODING, "the encoding is LSB")                                              \
    RULE(DOF_VERSION, "the version is one that the system takes")                          \
    RULE(DOF_DIF_VERSION, "the DIF version is 2")                                          \
    RULE(DOF_REGISTERS, "there are at most 8 integer and tuple registers")                 \
    RULE(DOF_IDENT, "the rest of the identification is 0")                                 \
    RULE(DOF_FLAGS, "the header has no flags")                                             \
    RULE(DOF_HEADER_SIZE, "the header is 64 bytes")                                        \
    RULE(DOF_SECTION_SIZE, "section headers are 32 bytes")                                 \
    RULE(DOF_LOADED_SMALL, "the loaded size covers the header")                            \
    RULE(DOF_LOADED_LIMIT, "the loaded size is below the system's limit")                  \
    RULE(DOF_LOADED, "the loaded size is that of the document")                            \
    RULE(DOF_FILE_SIZE, "the file size is that of the document")                           \
    RULE(DOF_TABLE_BOUNDS, "the section headers lie in the document")                      \
    RULE(DOF_TABLE_ALIGNED, "the section headers are 8-aligned")                           \
    RULE(DOF_SECTION_KIND, "each section is of a kind that a provider has")                \
    RULE(DOF_SECTION_TWICE, "there is one section of each kind")                           \
    RULE(DOF_SECTION_LOAD, "a provider's section is flagged to be loaded, and nothing else") \
    RULE(DOF_SECTION_BOUNDS, "a section lies in the document")                             \
    RULE(DOF_SECTION_ALIGN, "a section's alignment is a power of two")                     \
    RULE(DOF_SECTION_ALIGNED, "a section is at a multiple of its alignment")               \
    RULE(DOF_SECTION_NATURAL, "a section's alignment is enough for its members")           \
    RULE(DOF_SECTION_OVERLAP, "no two parts share a byte")                                 \
    RULE(DOF_STRINGS_NUL, "the string table ends with a NUL")                              \
    RULE(DOF_ENTRY_SIZE, "a section's entries have the size of their structure")           \
    RULE(DOF_ENTRIES, "a section holds a whole number of entries")                         \
    RULE(DOF_SECTION_ZERO, "section 0 is not the is-enabled offsets")                      \
    RULE(DOF_PROVIDER_NONE, "there is a provider")                                         \
    RULE(DOF_PROVIDER_SHORT, "the provider's section holds its structure")                 \
    RULE(DOF_REFERENCE, "the provider names sections of the right kind")                   \
    RULE(DOF_STRING, "a string begins in the string table")                                \
    RULE(DOF_PROVIDER_FIELD, "the provider name fits in the kernel's field: 63 bytes")     \
    RULE(DOF_PROVIDER_LONG, "the provider name leaves room for a process id: 53 bytes")    \
    RULE(DOF_PROVIDER_NAME, "the provider has a name that D can say")                      \
    RULE(DOF_PROVIDER_DIGIT, "the provider name does not end in a digit")                  \
    RULE(DOF_PROVIDER_RESERVED, "the provider name is not one of DTrace's own")            \
    RULE(DOF_STABILITY, "stabilities are at most 7")                                       \
    RULE(DOF_CLASS, "dependency classes are at most 5")                                    \
    RULE(DOF_PROBES_NONE, "there is a probe")                                              \
    RULE(DOF_FUNCTION_LONG, "a function name is at most 127 bytes")                        \
    RULE(DOF_FUNCTION_NAME, "a function has a name that D can say")                        \
    RULE(DOF_PROBE_LONG, "a probe name is at most 63 bytes")                               \
    RULE(DOF_PROBE_NAME, "a probe has a name that D can say")                              \
    RULE(DOF_TYPE_LONG, "a type is at most 127 bytes")                                     \
    RULE(DOF_TYPE_EMPTY, "a type is not empty")                                            \
    RULE(DOF_MAP_BOUNDS, "a probe's argument map lies in its section")                     \
    RULE(DOF_MAP_INDEX, "the argument map names native arguments")                         \
    RULE(DOF_MAP_READ, "the argument map is the identity, or of arguments that are read right")\
    RULE(DOF_OFFSETS_NONE, "a probe has an offset")                                        \
    RULE(DOF_OFFSETS_BOUNDS, "a probe's offsets lie in their section")                     \
    RULE(DOF_ENABLED_BOUNDS, "a probe's is-enabled offsets lie in their section")          \
    RULE(DOF_ENABLED_LOST, "is-enabled offsets count in this version")                     \
    RULE(DOF_OFFSET_NEGATIVE, "only XNU's offsets may be negative")                        \
    RULE(DOF_ADDRESS, "an offset leads to an address")                                     \
    RULE(DOF_PADDING, "a probe's unused members are 0")                                    \
    RULE(DOF_TWICE, "no two probes have the same function and name")                       \
    RULE(DOF_SAME_ADDRESS, "no two offsets lead to the same address")                      \
    RULE(DOF_GIVEN_PROVIDER, "the provider has the name it was given")                     \
    RULE(DOF_GIVEN_COUNT, "there are as many probes as were given")                        \
    RULE(DOF_GIVEN_FUNCTION, "a probe has the function it was given")                      \
    RULE(DOF_GIVEN_NAME, "a probe has the name it was given")                              \
    RULE(DOF_GIVEN_NATIVE, "a probe has as many arguments as it was given")                \
    RULE(DOF_GIVEN_TRANSLATED, "a probe has as many translated arguments as native ones")  \
    RULE(DOF_GIVEN_MAP, "a probe that is not translated has the identity for a map")       \
    RULE(DOF_GIVEN_TYPE, "an argument has the type it was given")                          \
    RULE(DOF_GIVEN_OFFSETS, "a probe has one offset, and one is-enabled offset")           \
    RULE(DOF_GIVEN_SITE, "the offset leads to the probe's site")                           \
    RULE(DOF_GIVEN_ENABLED, "the is-enabled offset leads to its site")                     \
    RULE(DOF_CODE_SITE, "what is at the site is what the kernel expects")                  \
    RULE(DOF_CODE_ENABLED, "what is at the is-enabled site is what the kernel expects")

#define CHECK_ELF_RULES(RULE)                                                              \
    RULE(ELF_SHORT, "an image holds its header")                                           \
    RULE(ELF_MAGIC, "the magic number is 7F E L F")                                        \
    RULE(ELF_CLASS, "the class is the processor's")                                        \
    RULE(ELF_DATA, "the byte order is LSB")                                                \
    RULE(ELF_VERSION, "both versions are 1")                                               \
    RULE(ELF_TYPE, "the type is ET_DYN")                                                   \
    RULE(ELF_MACHINE, "the machine is the processor")                                      \
    RULE(ELF_HEADER_SIZE, "the header has the size of its class")                          \
    RULE(ELF_HEADER_ZERO, "there is no entry point, and no flags")                         \
    RULE(ELF_TABLE_NONE, "there are program headers and section headers")                  \
    RULE(ELF_TABLE_ENTRY, "program and section headers have the size of their class")      \
    RULE(ELF_TABLE_BOUNDS, "program and section headers lie in the image")                 \
    RULE(ELF_TABLE_ALIGNED, "program and section headers are aligned to a word")           \
    RULE(ELF_SEGMENT_BOUNDS, "a segment lies in the image")                                \
    RULE(ELF_SEGMENT_WX, "no segment is writable and executable")                          \
    RULE(ELF_SEGMENT_PLACE, "a segment has the same place in memory as in the file")       \
    RULE(ELF_SEGMENT_SIZE, "a segment is not smaller in memory than in the file")          \
    RULE(ELF_SEGMENT_ALIGN, "a segment's alignment is 0 or a power of two")                \
    RULE(ELF_SEGMENT_PAGE, "a loaded segment is aligned to a page")                        \
    RULE(ELF_SEGMENT_ORDER, "loaded segments ascend and do not overlap")                   \
    RULE(ELF_SECTION_ZERO, "section 0 is null, all of it")                                 \
    RULE(ELF_NAMES, "the section names are in a string table")                             \
    RULE(ELF_SECTION_BOUNDS, "a section lies in the image")                                \
    RULE(ELF_NAMES_NUL, "the section names end with a NUL")                                \
    RULE(ELF_NAME_BOUNDS, "a section's name is one of them")                               \
    RULE(ELF_SECTION_ALIGN, "a section's alignment is 0 or a power of two")                \
    RULE(ELF_SECTION_ALIGNED, "a section is at a multiple of its alignment")               \
    RULE(ELF_SECTION_PLACE, "a section has the same place in memory as in the file")       \
    RULE(ELF_SECTION_SPARE, "a section has no link, info, entry size; an address only if loaded") \
    RULE(ELF_SECTION_LOADED, "a section is in a segment that gives what it asks for")      \
    RULE(ELF_OVERLAP, "no two parts share a byte")                                         \
    RULE(ELF_SECTION_MISSING, "there are text, base, notes and build-id")                  \
    RULE(ELF_SECTION_TWICE, "each of them once")                                           \
    RULE(ELF_SECTION_TYPE, "each of its type")                                             \
    RULE(ELF_SECTION_FLAGS, "each with its flags")                                         \
    RULE(ELF_ORDER, "text, base, semaphores and notes are in this order")                  \
    RULE(ELF_BASE_SIZE, "the base is one byte")                                            \
    RULE(ELF_TEXT_FIRST, "the segment of the text begins with the file")                   \
    RULE(ELF_TEXT_END, "the text ends at the end of a page")                               \
    RULE(ELF_BUILD_ID_SEGMENT, "a note segment is the build-id, in the first page")        \
    RULE(ELF_BUILD_ID_NOTE, "the build-id is one GNU note of type 3")                      \
    RULE(ELF_BUILD_ID_SIZE, "the build-id is 20 bytes")                                    \
    RULE(ELF_NOTES_ALIGNED, "the notes are 4-aligned")                                     \
    RULE(ELF_NOTE_BOUNDS, "a note lies in its section")                                    \
    RULE(ELF_NOTE_OWNER, "a note's owner is stapsdt, its type 3")                          \
    RULE(ELF_NOTE_STRINGS, "a note is three words and three strings")                      \
    RULE(ELF_NOTE_PADDING, "what pads a note is 0")                                        \
    RULE(ELF_NOTE_BASE, "a note has the base's address")                                   \
    RULE(ELF_NOTE_SITE, "a note's site is in the text")                                    \
    RULE(ELF_NOTE_SEMAPHORE, "a semaphore is a writable, aligned place in .probes")        \
    RULE(ELF_PROVIDER_NAME, "a note's provider is a name")                                 \
    RULE(ELF_PROBE_NAME, "a note's probe is a name of at most 63 bytes")                   \
    RULE(ELF_OPERAND_SIZE, "an operand is 1, 2, 4 or 8 bytes, no more than a word")        \
    RULE(ELF_OPERAND_PLACE, "an operand is where the calling convention puts the argument") \
    RULE(ELF_OPERAND_END, "operands are separated by one space")                           \
    RULE(ELF_OPERANDS, "a note has at most 12 operands")                                   \
    RULE(ELF_GIVEN_COUNT, "there are as many notes as probes were given")                  \
    RULE(ELF_GIVEN_PROVIDER, "a note has the provider it was given")                       \
    RULE(ELF_GIVEN_NAME, "a note has the name it was given")                               \
    RULE(ELF_GIVEN_SITE, "a note has the probe's site")                                    \
    RULE(ELF_GIVEN_SEMAPHORE, "and its slot's semaphore, or none if none were asked for")  \
    RULE(ELF_GIVEN_OPERANDS, "a note has an operand for each argument, up to 12")          \
    RULE(ELF_GIVEN_WIDTH, "an operand has the width and sign of the argument's type")      \
    RULE(ELF_GIVEN_BUILD_ID, "the build-id is the one that was returned")                  \
    RULE(ELF_CODE_SITE, "what is at the site is what the kernel expects")                  \
    RULE(ELF_CODE_PAGE, "the nop that becomes a call is in one page")                      \
    RULE(ELF_TYPES, "descriptions are printable ASCII, with tabs and newlines, and a NUL behind each") \
    RULE(ELF_GIVEN_TYPES, "they are those that were given")                                \
    RULE(ELF_GIVEN_MORE, "functions and types are those that were given")                  \
    RULE(ELF_GIVEN_SLOTS, "the text has room for every slot, and less than a page to spare") \
    RULE(ELF_GIVEN_STUBS, "the text is stubs and nothing else")

enum check_rule {
    CHECK_GOOD,
#define CHECK_RULE_(name, text) CHECK_##name,
    CHECK_DOF_RULES(CHECK_RULE_) CHECK_ELF_RULES(CHECK_RULE_)
#undef CHECK_RULE_
    CHECK_RULES
};
const char *check_rule_name(enum check_rule); /* DOF_SHORT */
const char *check_rule_text(enum check_rule); /* a document holds its header */

/* What a document was made of. */
struct check_probe {
    const char *function, *name;
    const char *const *types;
    const int *widths; /* of the types in bytes, negative if signed */
    size_t argc;
    size_t slot;
};

struct check_given {
    const char *system, *arch; /* linux, macos, freebsd, illumos; x86_64, i386, arm64 */
    const char *provider;             /* NULL: what was put in is not known, no GIVEN_ rule is judged */
    const struct check_probe *probes; /* those that this document is to hold, in their order */
    size_t count;
    /* A slot: its bytes, and where its two sites are as tracers are told. */
    const unsigned char *code;
    size_t slot_size, site, enabled_site;
    bool semaphores; /* ELF: each slot has one */
    const char *types; /* ELF: descriptions, a NUL behind each; types_size 0: there are none */
    size_t types_size;
    bool direct; /* the site is the 10-byte nop behind the nop (Linux on x86_64) */
    /* DOF: addresses of slot 0 and of the document; a limit that may be lower than the system's. */
    uint64_t text, dof, below;
    /* ELF: the machine's page, all slots, the build-id. */
    size_t page, slots;
    const unsigned char *build_id;
    /* By rule, those that are not judged; NULL: none. What keeps a judge within the bytes always is. */
    const bool *spared;
    /* DOF: room for two addresses of each probe: then they are sorted rather than compared in pairs, and
       DOF_TWICE is not judged. NULL: in pairs. */
    uint64_t *room;
};

struct check_verdict {
    enum check_rule broken; /* CHECK_GOOD: none */
    char where[200];
};

/*
 * What becomes of a document that breaks a rule. A kernel refuses it, or takes it and lists none of its
 * probes; of an image, no tracer or not each finds the probes. The other rules are the library's own:
 * kernels and tracers do without.
 */
enum check_answer { CHECK_OWN, CHECK_LOSES, CHECK_REFUSES };
enum check_answer check_answer(const char *system, const char *arch, enum check_rule);

/* True if every rule holds; otherwise the verdict says which does not, and where. */
bool check_dof(const struct check_given *, const unsigned char *bytes, size_t len,
               struct check_verdict *);
bool check_elf(const struct check_given *, const unsigned char *bytes, size_t len,
               struct check_verdict *);

/* ---- check.c: what the judges share ---- */

/* Sets the verdict, and returns false. */
__attribute__((format(printf, 3, 4))) bool check_broken(struct check_verdict *, enum check_rule,
                                                         const char *format, ...);
/* [A-Za-z_][A-Za-z0-9_.-]* */
bool check_is_name(const char *);
/* usdt.h, at usdt_create_provider() and usdt_create_probe(): which names and types are taken. */
enum {
    CHECK_LONGEST_PROVIDER = 53,
    CHECK_LONGEST_MODULE = 63,
    CHECK_LONGEST_FUNCTION = 127,
    CHECK_LONGEST_PROBE = 63
};
bool check_is_good_name(const char *, size_t longest);
bool check_is_good_provider(const char *);
bool check_is_good_type(const char *);
/* Whether a site in a slot has the machine code of facts/dof.md. */
enum check_site { CHECK_PROBE, CHECK_ENABLED };
bool check_code(const struct check_given *, enum check_site, const unsigned char *slot, size_t size, size_t at);
/* The width of a C type in bytes, negative if signed, no more than a word; 0 where neither C nor the
   ABI nor usdt.h says. */
int check_width(const char *system, const char *arch, const char *type);

/* ---- <sys/dtrace.h>: dof_hdr_t, dof_sec_t, dof_provider_t, dof_probe_t; little-endian ---- */

enum { /* DOF_SECT_* */
    CHECK_STRTAB = 8,
    CHECK_PROVIDER = 15,
    CHECK_PROBES = 16,
    CHECK_PRARGS = 17,
    CHECK_PROFFS = 18,
    CHECK_PRENOFFS = 26
};

struct check_dof_header {
    unsigned char magic[4];
    uint8_t model, encoding, version, dif_version, registers, tuple_registers, ident[6];
    uint32_t flags, header_size, section_size, section_count;
    uint64_t sections, loaded, file_size, pad;
};
static_assert(sizeof(struct check_dof_header) == 64, "dof_hdr_t");

struct check_dof_section {
    uint32_t type, align, flags, entry_size;
    uint64_t offset, size;
};
static_assert(sizeof(struct check_dof_section) == 32, "dof_sec_t");

struct check_dof_provider {
    uint32_t strings, probes, map, offsets, name, attributes[5], enabled;
};
static_assert(sizeof(struct check_dof_provider) == 44, "dof_provider_t");

struct check_dof_probe {
    uint64_t addr;
    uint32_t function, name, native, translated, map, offsets;
    uint8_t native_count, translated_count;
    uint16_t offset_count;
    uint32_t enabled;
    uint16_t enabled_count, pad16;
    uint32_t pad32;
};
static_assert(sizeof(struct check_dof_probe) == 48, "dof_probe_t");

#endif
