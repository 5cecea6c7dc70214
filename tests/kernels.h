/*
 * kernels.h - models of what takes a DOF document from a process: the helper devices of illumos, FreeBSD (11 and
 * newer) and macOS, and Linux's dtprobed.
 *
 * Written from facts/dof.md and <sys/dtrace.h>'s structures. May not include a header of the library: what
 * both got wrong, nobody would see (as fuzz/check.h). A model has one process, whose memory it reads through
 * process_read(), and never otherwise.
 */
#ifndef KERNELS_H
#define KERNELS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* dof_helper_t; the last two FreeBSD's only. */
struct kernel_record {
    char module[64];
    uint64_t addr, dof;
    int32_t pid, generation;
};
static_assert(sizeof(struct kernel_record) == 88, "FreeBSD's dof_helper_t");

/* kernel_boot() sets it to what an ordinary kernel does; a test may change it then. */
extern struct kernel {
    const char *system, *arch; /* linux, macos, freebsd, illumos; x86_64, i386, arm64 */
    const char *device;        /* the only one that is there, or NULL */
    const char *other_device;  /* where such a kernel may have it instead, or NULL */
    uint64_t limit;            /* documents must be smaller */
    int next_generation;       /* of the next document: 0 is a process's first */
    int open_error;            /* what open() fails with, or 0 */
    int add_error, remove_error;
    unsigned good_adds;        /* that many ADDDOF succeed before add_error */
    bool restricted, never;    /* macOS: a process that may not; the mode in which nothing is taken */
    /* What a test does to a document and a record once they are copied in. */
    void (*damage)(unsigned char *document, size_t len);
    void (*damage_record)(struct kernel_record *);
    /* For the test to read. */
    unsigned adds, removes;    /* of documents, that succeeded */
    unsigned refused, lost;    /* documents; lost: without a word */
    const char *reason;        /* the rule for which the last of them was, or NULL */
} kernel;

/* A new kernel, whose process has submitted nothing. */
void kernel_boot(const char *system, const char *arch);
/* Whether it refuses or loses what breaks this rule of fuzz/check.h. */
bool kernel_has_rule(int rule);
/* 0, or -1 and errno, as the system calls. */
int kernel_open(const char *path);
int kernel_ioctl(unsigned long request, uintptr_t argument);
/* macOS reads what it was handed before. */
void kernel_dtrace_starts(void);
/* The process is the child of a fork() now. */
void kernel_forks(void);

/* A probe that dtrace could trace; strings of the model's own, types one after the other. */
struct kernel_probe {
    const char *provider, *module, *function, *name, *native, *translated;
    size_t native_count, translated_count;
    const unsigned char *map; /* of each translated argument */
    uint64_t site, enabled_site; /* the first program counter of each, or 0 */
    uint64_t last_site;
    size_t sites, enabled_sites;
};
/* All that is held, oldest document first. */
void kernel_list(void (*each)(const struct kernel_probe *, void *), void *argument);
/* Documents, also lost ones and those that are still to be read. */
size_t kernel_documents(void);

/* ---- the test's ---- */

/* False: EFAULT. */
bool process_read(uint64_t from, void *to, size_t len);
bool process_write(uint64_t to, const void *from, size_t len);
/* Device and inode of the file mapping that holds these bytes; false: there is none. */
bool process_file(uint64_t at, uint64_t len, uint64_t file[2]);
int32_t process_id(void);

#endif
