/*
 * tool.h - what the files of the `usdt` command share. Linux only; libc only.
 *
 *     usdt.c      the command line: options, help, errors
 *     elf.c       the probes of a file                  (any bytes: hostile files do no harm)
 *     process.c   the files of a process, and whether their probes are traced
 *     types.c     the structures that a file describes
 *     fetch.c     an argument, as the kernel's uprobe_events name it
 *     value.c     what the kernel is to fetch of a hit, and the text of what it fetched
 *     decode.c    what is in a DOF document or an image, and which systems take it (any bytes)
 *     list.c ...  one for each subcommand
 */
#ifndef TOOL_H
#define TOOL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Exit codes of the command. */
enum { TOOL_DONE = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

/* Prints "usdt: ..." and a newline to standard error. One line: the value, the cause, the cure. */
__attribute__((format(printf, 1, 2))) void tool_complain(const char *format, ...);

/* As libc's; they end the program with TOOL_FAILED and a message when there is no memory. */
void *tool_calloc(size_t count, size_t size);
void *tool_realloc(void *old, size_t size);
char *tool_strdup(const char *string);
__attribute__((format(printf, 1, 2))) char *tool_format(const char *format, ...);

/* Without what a terminal, or a reader of columns, takes for more than text: names come from files that may say
   anything. Takes and gives a string to be freed. */
char *tool_printable(char *string);

/* elf.c: a probe as its file describes it. Offsets are those in the file. */
struct elf_probe {
    char *provider, *name;
    char *operands;  /* as in the note: "-4@%edi 8@%rsi" */
    char *function;  /* NULL: not known (the file was not made by libusdt) */
    char **types;    /* C types, NULL behind the last; or NULL: not known */
    /* What DTrace shows as args[], and as arg0, arg1...: of these arguments, with these types. NULL: what there is. */
    char **translated;
    unsigned char map[64];
    uint64_t site;
    uint64_t semaphore; /* 0: none */
};

struct elf_file {
    struct elf_probe *probes;
    size_t count;
    bool wide;        /* 64 bits */
    uint16_t machine; /* ELF's number of the processor */
    char build_id[2 * 64 + 1]; /* in hexadecimal, or "" */
    char *descriptions;        /* of structures, C text as the program gave it; NULL: none */
    struct usdt_types *types;  /* what it says (usdt_internal.h); NULL: nothing, or it is damaged */
};

/* Reads the probes of an ELF file; a file that is none, or is damaged, has no probes: then *why says so. */
struct elf_file *elf_read(int fd, const char **why);
struct elf_file *elf_read_bytes(const void *, size_t len, const char **why); /* the same of a file in memory */
void elf_free(struct elf_file *);

/* One operand of a note: "-4@%edi", "8@16(%rsp)", "-4@[sp, 8]", "4@$7", "8f@%xmm0". */
struct elf_operand {
    int bytes;        /* its width, 1 to 8 or what the note says */
    bool is_signed, is_float;
    char place[128];  /* what follows the @, "" if it is longer */
};
/* Takes the next one off a list of them; false at the end, or where it is no operand. */
bool elf_next_operand(const char **operands, struct elf_operand *);

/*
 * The type of argument i, from 0 upwards: as C or, where that is not known, as its width: "char *", "uint64". `operands`
 * begins at the probe's and goes on by itself. To be freed; NULL behind the last.
 */
char *elf_next_argument(const struct elf_probe *, size_t i, const char **operands);
/* All of them: "int, char *". To be freed. */
char *elf_arguments(const struct elf_probe *);

struct usdt_struct;
struct usdt_field;
/* types.c: reads the descriptions of a file, if they are good. */
void types_read(struct elf_file *, const char *text, size_t size);
void types_free(struct elf_file *);
/* The structure that a C type points to, as "const struct req *" does; NULL: it is not described, or something else. */
const struct usdt_struct *types_pointee(const struct elf_file *, const char *type);
/* "struct usdt_req": the name that it has in what types_definitions() prints. To be freed. */
char *types_name(const struct elf_file *, const struct usdt_struct *);
/* One line of C that describes a structure, and all that it has and points to, by C's own types only. To be freed. */
char *types_definitions(const struct elf_file *, const struct usdt_struct *const *, size_t count, bool for_d);
/* A member's name in them; "": it has none, and its members are the structure's own. To be freed. */
char *types_member(const struct usdt_struct *, const struct usdt_field *, bool for_d);

/* fetch.c: how a value of a C type is to be shown. NULL, a type that is not known: as a number. */
enum type_kind { TYPE_NUMBER, TYPE_POINTER, TYPE_STRING } type_kind(const char *type);
/*
 * Writes the fetch expression of an operand for uprobe_events: "%di:s32", "+8(%sp):u64", "+0(%si):string". The type
 * may be NULL. False: the kernel cannot fetch it (a float, a variable's name, an index), or there is no room.
 */
bool fetch_operand(const struct elf_file *, const struct elf_operand *, const char *type, char *to, size_t size);

/* The same without its type: "%di", "+8(%sp)". */
bool fetch_value(const struct elf_file *, const struct elf_operand *, char *to, size_t size);

/* Whether uprobe_events take a path: they end words at blanks and lines at a #, and know no quotes. */
bool fetch_takes_path(const char *path);

/* process.c: a probe in a process. */
struct process_probe {
    pid_t pid;
    const struct elf_probe *probe;
    const struct elf_file *file;
    const char *path;      /* of the file, as the process sees it */
    const char *open_path; /* as this program can open it now */
    const char *mapped_path; /* the same by the mapping, for root: it has no blank, and the file may have lost its name */
    uint64_t address;      /* of the site in the process */
    enum traced { NOT_TRACED, IS_TRACED, NOT_KNOWN } traced;
};

struct process_probes {
    struct process_probe *list; /* sorted: pid, provider, name, path */
    size_t count;
    unsigned unreadable; /* processes that this user may not look into */
    void *files;         /* process.c's */
};

/* Whether a glob takes a probe: "PROVIDER:PROBE", or "PROVIDER" for all of its probes; NULL takes each. */
bool process_takes(const char *glob, const char *provider, const char *name);
/* The probes of a process, or of all with pid 0. False: the process cannot be read, the reason was printed. */
bool process_read(pid_t pid, const char *glob, struct process_probes *);
void process_free(struct process_probes *);

/*
 * value.c: a probe's arguments by the kernel's tracer. `fetches` is what an event has of them, " a0=%di:s32
 * a1=+0(%si):string"; value_print() takes what it prints of them, and prints them as their types are.
 */
struct value_plan *value_plan(const struct process_probe *, const char **fetches);
void value_print(const struct value_plan *, pid_t pid, const char *printed, FILE *out);
void value_free(struct value_plan *);
/* 4 of a float, 8 of a double, else 0. */
unsigned value_real_size(const char *type);

/*
 * decode.c: prints what a DOF document or an ELF image holds, and what each system says of it. TOOL_DONE: one accepts
 * it; TOOL_FAILED: none does; DECODE_NEITHER: it is neither, nothing was printed.
 */
enum { DECODE_NEITHER = -1 };
int decode(const unsigned char *bytes, size_t len, FILE *out);
/* Prints a name of a file: all but printable ASCII as \xNN, and no more of it than `most` bytes. */
void decode_name(FILE *out, const char *name, size_t most);

/* The subcommands, with the arguments behind their name. They return the exit code. */
int list_main(int argc, char **argv);
int how_main(int argc, char **argv);
int trace_main(int argc, char **argv);
int dump_main(int argc, char **argv);
int demo_main(int argc, char **argv);

/* "-p PID": a number above 0, or 0 after a complaint. */
pid_t tool_pid(const char *text);

#endif
