/*
 * damage.h - damage to one member of a good document: patches, and where they go in a DOF document.
 *
 * For check_selftest.c, which breaks each rule of the judges, and tests/models.c, which shows the broken
 * documents to the models of kernels. May not include a header of the library (see check.h).
 */
#ifndef DAMAGE_H
#define DAMAGE_H

#include "check.h"

/* Where a patch goes; `index` says which of them. */
enum place {
    NOWHERE,
    /* DOF */
    HEADER, SECTION /* by type */, PROVIDER, PROBE,
    MAP, OFFSETS, ENABLED,                               /* contents: that of probe `index` */
    PROVIDER_STRING, FUNCTION_STRING, NAME_STRING, TYPE_STRING,
    /* ELF, of 64 bits */
    EHDR, PHDR /* by type */, SHDR /* of section `index` of sections[] */,
    TEXT_BYTES, MORE_BYTES, TYPES_BYTES, ID_NOTE, NOTE, DESC, ARGUMENTS, NOTE_PROVIDER, NOTE_NAME,
    /* the slot's code that the judges are given */
    SITE_CODE, ENABLED_CODE,
};

enum mode {
    SET, ADD,
    AT,   /* the value is added to the offset of section `from` */
    COPY, /* of the same place, index `from` */
};

struct patch {
    enum place place;
    unsigned index;
    long member;
    size_t width;
    enum mode mode;
    uint64_t value;
    unsigned from;
};

#define MEMBER(type, name) (long)offsetof(type, name), sizeof(((type *)0)->name)
#define HDR(name, how, value) { HEADER, 0, MEMBER(struct check_dof_header, name), how, value, 0 }
#define SEC(kind, name, how, value) { SECTION, CHECK_##kind, MEMBER(struct check_dof_section, name), how, value, 0 }
#define PROV(name, how, value) { PROVIDER, 0, MEMBER(struct check_dof_provider, name), how, value, 0 }
#define PRB(i, name, how, value) { PROBE, i, MEMBER(struct check_dof_probe, name), how, value, 0 }
#define AS(i, name, other) { PROBE, i, MEMBER(struct check_dof_probe, name), COPY, 0, other }
#define BYTE(place, i, at, value) { place, i, at, 1, SET, value, 0 }
#define WORD(place, i, at, how, value) { place, i, at, 4, how, value, 0 }
#define MINUS(n) ((uint64_t)0 - (n))

/* Of a good DOF document; what it does not have ends the program. */
struct check_dof_header damage_dof_header(const unsigned char *document);
size_t damage_dof_section(const unsigned char *document, uint32_t type);  /* of its header */
size_t damage_dof_contents(const unsigned char *document, uint32_t type); /* of the section's bytes */
struct check_dof_probe damage_dof_probe(const unsigned char *document, unsigned i);
size_t damage_dof_place(const unsigned char *document, enum place, unsigned index);
void damage_dof(unsigned char *document, size_t len, const struct patch *);

__attribute__((noreturn)) void damage_die(const char *what);

#endif
