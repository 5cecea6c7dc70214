/*
 * usdt_dof_format.h - the DTrace Object Format: constants and layouts of what this library writes.
 *
 * Facts of the format, as in the kernels' <sys/dtrace.h> (dof_hdr_t, dof_sec_t, dof_provider_t,
 * dof_probe_t, dof_helper_t); our own text, so that no system's header is needed.
 */
#ifndef USDT_DOF_FORMAT_H
#define USDT_DOF_FORMAT_H

#include <assert.h>
#include <stdint.h>

enum { DOF_MODEL_ILP32 = 1, DOF_MODEL_LP64 = 2 };
enum { DOF_ENCODE_LSB = 1 };
enum { DOF_DIF_VERSION = 2, DOF_DIF_INT_REGS = 8, DOF_DIF_TUPLE_REGS = 8 };

/* Kinds of section (dofs_type). */
enum {
    DOF_SECT_STRTAB = 8,
    DOF_SECT_PROVIDER = 15,
    DOF_SECT_PROBES = 16,
    DOF_SECT_PRARGS = 17,
    DOF_SECT_PROFFS = 18,
    DOF_SECT_PRENOFFS = 26
};
enum { DOF_SECF_LOAD = 1 };

struct dof_header {
    uint8_t magic[4]; /* 7f 'D' 'O' 'F' */
    uint8_t model, encoding, version, dif_version, int_regs, tuple_regs, zero[6];
    uint32_t flags;
    uint32_t header_size, section_size, sections;
    uint64_t section_offset;
    uint64_t load_size, file_size;
    uint64_t pad;
};
static_assert(sizeof(struct dof_header) == 64, "dof_hdr_t");

struct dof_section {
    uint32_t type, align, flags, entry_size;
    uint64_t offset, size;
};
static_assert(sizeof(struct dof_section) == 32, "dof_sec_t");

/* Names are offsets into the string table, sections are indexes. */
struct dof_provider {
    uint32_t strtab, probes, prargs, proffs;
    uint32_t name;
    uint32_t provider_attr, module_attr, function_attr, name_attr, args_attr;
    uint32_t prenoffs;
};
static_assert(sizeof(struct dof_provider) == 44, "dof_provider_t");

struct dof_probe {
    uint64_t addr;
    uint32_t function, name;
    uint32_t native_types, translated_types; /* runs of strings */
    uint32_t arg_index;                      /* into PRARGS */
    uint32_t offset_index;                   /* into PROFFS */
    uint8_t native_argc, translated_argc;
    uint16_t offsets;
    uint32_t isenabled_index; /* into PRENOFFS */
    uint16_t isenabled_offsets;
    uint16_t pad1;
    uint32_t pad2;
};
static_assert(sizeof(struct dof_probe) == 48, "dof_probe_t");

/* Stability attributes: of the name, of the data, class of dependency. */
#define DOF_ATTR(name, data, class) \
    ((uint32_t)(name) << 24 | (uint32_t)(data) << 16 | (uint32_t)(class) << 8)

/* What the helper device is handed. */
struct dof_helper {
    char module[64];
    uint64_t addr; /* base of the program text: one per document and process */
    uint64_t dof;  /* address of the document */
};
static_assert(sizeof(struct dof_helper) == 80, "dof_helper_t");

/* On FreeBSD: of which process, and what the kernel calls it. */
struct dof_helper_freebsd {
    struct dof_helper helper;
    int32_t pid, generation;
};
static_assert(sizeof(struct dof_helper_freebsd) == 88, "dof_helper_t of FreeBSD");

/* On macOS: so many of them; the kernel writes what it calls each to `dof`. */
struct dof_helper_list {
    uint64_t count;
    struct dof_helper helper;
};
static_assert(sizeof(struct dof_helper_list) == 88, "dof_ioctl_data_t");

#endif
