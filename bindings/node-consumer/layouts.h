/*
 * layouts.h - the structures that libdtrace hands to its callbacks, as far as they are read here. libdtrace has no
 * stable ABI: a system differs in this file and in the two tables of libdtrace.c, nowhere else. 64-bit only.
 *
 * linux_: DTrace 2 for Linux; from <dtrace.h> of 2.0.7, and seen with it; test/layouts.c compares them.
 * classic_: illumos, FreeBSD and macOS; from <dtrace.h> and <sys/dtrace.h> of the first two, which the third's come
 * from too. Not tried; so trial.js tries them where they are.
 */
#ifndef LAYOUTS_H
#define LAYOUTS_H

#include <stddef.h>
#include <stdint.h>

struct linux_probe {
    uint32_t id;
    const char *provider, *module, *function, *name;
};

struct classic_probe {
    uint32_t id;
    char provider[64], module[64], function[128], name[64];
};

struct linux_record {
    uint16_t action;
    uint32_t size, offset;
    uint16_t alignment;
    void *format;
    uint64_t arg;
};

struct classic_record {
    uint16_t action;
    uint32_t size, offset;
    uint16_t alignment, format;
    uint64_t arg, user_arg;
};

/* What comes with a probe, and with each record: `data` is the record's. */
struct linux_data {
    void *handle;
    uint32_t statement;
    void *description;
    const struct linux_probe *probe;
    unsigned cpu;
    const char *data;
};

struct classic_data {
    void *handle, *description;
    const struct classic_probe *probe;
    int cpu;
    const char *data;
};

/* The first key is the variable's number. records[1] is the value, records[0] a counter of the library's own. */
struct linux_aggregation {
    void *handle;
    const struct linux_aggregation_description {
        const char *name;
        uint32_t variable;
        int flags;
        uint64_t signature, normal;
        uint32_t key_size, data_size;
        unsigned key_count, key_index;
        const struct linux_record *keys, *records;
    } *description;
    const char *key, *data;
};

/* The first record is the variable's number, the last the value, the others keys. */
struct classic_aggregation {
    void *handle;
    const struct classic_aggregation_description {
        const char *name;
        int64_t variable;
        int flags;
        uint32_t id, enabled_probe, size;
        int count;
        uint32_t pad;
        struct classic_record records[];
    } *description;
    void *enabled_probe;
    const struct classic_probe *probe;
    const char *data;
    uint64_t normal;
};

/* Alike everywhere; the probe is of the system's kind. */
struct fault {
    void *handle, *description;
    const void *probe;
    int cpu, action, offset, number;
    uint64_t address;
    const char *message;
};

struct drop {
    void *handle;
    int cpu, kind;
    uint64_t drops, total;
    const char *message;
};

#endif
