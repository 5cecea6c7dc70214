/*
 * usdt_internal.h - what the files of the library share, and users never see.
 *
 * The way of the data is one direction, no calls back up:
 *     usdt.c        the API: providers and their probes; decides what is published when
 *     usdt_types.c  what names and type strings mean
 *     usdt_struct.c the structures that a program describes
 *     usdt_operand.c code that a program supplies, and where arguments are in it
 *     usdt_probe.c  stubs, checking and firing
 *     usdt_listen.c who hears of it in the program itself
 *     usdt_dof*.c   the DTrace document   (pure: bytes in a buffer)
 *     usdt_elf.c    the ELF image         (pure: bytes in a buffer)
 *     usdt_store.c  files and memfds that hold an image
 *     usdt_code_*.c what is mapped of an image, by system
 *     usdt_image.c  a batch of probes: its address range, who was told
 *     usdt_helper.c the DTrace helper device
 *     usdt_platform.c  the table of systems and processors that all of these read
 */
#ifndef USDT_INTERNAL_H
#define USDT_INTERNAL_H

/* All that POSIX and the system have, also under -std=c11: so this header comes first. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef __EXTENSIONS__
#define __EXTENSIONS__ /* illumos */
#endif

#include "usdt.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* usdt_buf.c: a growing buffer of bytes. A failed allocation sticks: later calls do nothing, and
   whoever uses the bytes asks `failed` once, at the end. Multi-byte values are little-endian. */
struct usdt_buf {
    unsigned char *data;
    size_t len, cap;
    bool failed;
};

void *usdt_buf_grow(struct usdt_buf *, size_t len); /* len more bytes, zeroed, or NULL */
void usdt_buf_put(struct usdt_buf *, const void *, size_t len);
void usdt_buf_put16(struct usdt_buf *, uint32_t);
void usdt_buf_put32(struct usdt_buf *, uint32_t);
void usdt_buf_put64(struct usdt_buf *, uint64_t);
void usdt_buf_str(struct usdt_buf *, const char *); /* with its NUL */
void usdt_buf_align(struct usdt_buf *, size_t power_of_two);
void usdt_buf_free(struct usdt_buf *);

/* A template of usdt_tracepoints_<arch>.s: where things lie in a slot, and the slot. */
struct usdt_stub {
    uint32_t size;
    uint32_t probe, site;
    uint32_t isenabled, isenabled_site;
    unsigned char code[];
};

/* A system and processor: all that differs. Sources: facts/dof.md's tables, restated at the rows. */
struct usdt_platform {
    const char *system, *arch;
    const struct usdt_stub *stub; /* NULL where the template is not linked in */
    unsigned word;                /* size of a pointer: 4 or 8 */
    bool char_signed;
    /* ELF image; machine 0 where nobody reads one */
    uint16_t elf_machine;
    /* DOF and helper; dof_version 0 where there is none */
    uint8_t dof_version;
    bool base_is_dof; /* offsets count from the document, not from dofpr_addr (XNU) */
    int8_t probe_bias, isenabled_bias;
    uint32_t dof_max;                 /* documents must be smaller, bytes */
    unsigned map_max;                 /* in a map, arguments below this are read right; 0: all */
    unsigned helpers_max;             /* documents a process may have submitted at a time; 0: any */
    const char *device[2];            /* helper device, and where else to look */
    unsigned long add, remove;        /* its ioctls */
    /* Where `add` says what it calls the document. IN_RECORD: and `remove` takes a pointer to that. */
    enum { USDT_GENERATION_RETURNED, USDT_GENERATION_IN_RECORD, USDT_GENERATION_IN_LIST } generation;
    bool dof_in_file;       /* it tells documents apart by the file they are mapped from */
    bool helpers_forgotten; /* by a forked child */
};

const struct usdt_platform *usdt_platform_find(const char *system, const char *arch);
/* The platform this is compiled for, or NULL: no tracing there. And its name, for messages. */
const struct usdt_platform *usdt_platform_native(void);
const char *usdt_platform_name(void);

/* What the builders turn into bytes: probes, each in a slot. A NULL definition is an unused slot. */
struct usdt_layout {
    const struct usdt_platform *platform;
    const char *provider, *module;
    usdt_probedef_t *const *defs;
    size_t count;
    size_t page;         /* of the machine the image is for */
    unsigned copy;       /* images that are the same but for this number differ in their build-id */
    size_t code;         /* bytes behind the slots, for code of the program's own */
    bool semaphores;     /* one for each slot */
    bool direct_call;    /* tracers are shown the 10-byte nop, which the kernel makes a direct call */
    const struct usdt_buf *types; /* descriptions, a NUL behind each; NULL: there are none */
    const struct usdt_attributes *attributes; /* by enum usdt_attributed; NULL: usdt_dof_attributes */
};

/* What usdt_provider_set_stability() sets. */
struct usdt_attributes {
    uint8_t name, data, dependency;
};
enum { USDT_ATTRIBUTED = USDT_OF_ARGUMENTS + 1 };
extern const struct usdt_attributes usdt_dof_attributes[USDT_ATTRIBUTED]; /* where nobody did */

/* What usdt_probe_translate() sets. The strings are in the same allocation. */
struct usdt_translation {
    size_t argc;
    unsigned char map[USDT_ARG_MAX];
    char *types[];
};
/* Every definition begins with this. */
struct usdt_own_def {
    usdt_probedef_t pub;
    struct usdt_translation *translation; /* NULL: args[] are the arguments */
    struct usdt_own_code *code;           /* NULL: hit in its stub only */
};

/* Where an argument is at a site: in a register (by its number in an instruction; 31 is sp on arm64), or in memory,
   so many bytes from where that points to. */
struct usdt_operand {
    uint8_t reg;
    bool in_memory;
    int32_t offset;
};
/* What usdt_probe_use_code() or usdt_probe_use_site() set. */
struct usdt_own_code {
    uintptr_t elsewhere; /* the site, in other memory; 0: it is in `bytes` */
    size_t at;           /* where they are, behind the image's slots */
    size_t size, site;
    struct usdt_operand *operands; /* in the same allocation; NULL: where a call has them */
    unsigned char bytes[];
};
static inline const struct usdt_own_code *usdt_code_of(const usdt_probedef_t *def)
{
    return ((const struct usdt_own_def *)def)->code;
}
static inline bool usdt_is_elsewhere(const usdt_probedef_t *def)
{
    return usdt_code_of(def) != NULL && usdt_code_of(def)->elsewhere != 0;
}


/* The site's offset in its slot, as tracers are told. DOF and notes must agree: DTrace for Linux reads
   both, and takes two places for two probes, which then both fire. */
static inline uint32_t usdt_layout_site(const struct usdt_layout *layout)
{
    return layout->platform->stub->site + (layout->direct_call ? 1 : 0);
}

/* What is mapped of an image: whole pages, the first stub so many bytes behind their start. */
size_t usdt_layout_mapped(const struct usdt_layout *);
size_t usdt_layout_stubs(const struct usdt_layout *);
/* Where a program's own code is behind that start; NULL: the first such. */
size_t usdt_layout_code(const struct usdt_layout *, const struct usdt_own_code *);
/* Writes the stubs, and the code behind them: so many bytes. */
void usdt_layout_write(const struct usdt_layout *, void *stubs, size_t size);
/* The semaphores' pages behind that, writable; 0 without. The first one is so many bytes behind their start. */
size_t usdt_layout_data(const struct usdt_layout *);
enum { USDT_SEMAPHORES_AT = 4 };

/* usdt_types.c. Checks write what is wrong to why[] and return false. */
enum { USDT_WHY_MAX = 512 };
enum usdt_name { USDT_NAME_PROVIDER, USDT_NAME_MODULE, USDT_NAME_FUNCTION, USDT_NAME_PROBE };
/* A hostile string may hold anything and be of any length: its start, printable. */
void usdt_show(char *to, size_t size, const char *text);
bool usdt_check_name(enum usdt_name, const char *name, char why[USDT_WHY_MAX]);
bool usdt_check_type(size_t index, const char *type, char why[USDT_WHY_MAX]);
/* NONE; INVALID; UNSUPPORTED: this platform's DTrace would show other arguments. */
usdt_error_t usdt_check_translation(const struct usdt_platform *, const usdt_probedef_t *, size_t argc,
                                    const char *const *types, const unsigned char *map, char why[USDT_WHY_MAX]);
bool usdt_is_identity(size_t argc, const unsigned char *map);
/* The width of a type in bytes, negative if it is signed; at most a word. */
int usdt_type_size(const struct usdt_platform *, const char *type);

/* The same of a name such as "uint8_t"; 0: it is not known. */
int usdt_named_size(const char *name, size_t len, unsigned word, bool char_signed);

/* usdt_operand.c */
enum { USDT_CODE_ALIGN = 64 };
struct usdt_operand usdt_operand_of_call(const struct usdt_platform *, size_t i);
/* As a note has it, "-4@%ebx", without a NUL; less than 32 characters. Returns what is behind it. */
char *usdt_operand_put(char *to, const struct usdt_platform *, const struct usdt_operand *, int type_size);
/* False: why[] says what is wrong with it. */
bool usdt_operand_read(const struct usdt_platform *, size_t index, const char *text, const char *type,
                       struct usdt_operand *, char why[USDT_WHY_MAX]);
size_t usdt_nop_size(const struct usdt_platform *);
bool usdt_is_nop(const struct usdt_platform *, const void *at);

/*
 * usdt_struct.c: what a description (usdt_provider_add_type()) says. Lists are in the order of the text, but for
 * `structs` and `aliases`: the last one first.
 */
enum { USDT_TYPES_MAX = 32768, USDT_DIMS_MAX = 4 };
enum usdt_kind {
    USDT_KIND_VOID, USDT_KIND_UNSIGNED, USDT_KIND_SIGNED, USDT_KIND_CHAR, USDT_KIND_BOOL, USDT_KIND_FLOAT,
    USDT_KIND_ENUM, USDT_KIND_STRING /* char * */, USDT_KIND_POINTER, USDT_KIND_STRUCT /* or union */
};
struct usdt_node { /* what is freed with the rest; the rest is behind it */
    struct usdt_node *next;
    max_align_t rest[];
};
struct usdt_constant {
    struct usdt_constant *next;
    char *name;
    int64_t value;
};
struct usdt_enum {
    struct usdt_enum *next;
    char *tag; /* or NULL */
    struct usdt_constant *constants;
    bool has_negative, has_large; /* of an int, of an unsigned int only */
};
struct usdt_type {
    enum usdt_kind kind;
    unsigned size, align;
    struct usdt_struct *of;      /* of a structure; of a pointer: to that, or NULL */
    struct usdt_enum *constants; /* of an enum */
};
struct usdt_field {
    struct usdt_field *next;
    char *name; /* NULL: its members are the structure's own */
    struct usdt_type type; /* of an element */
    unsigned dims, dim[USDT_DIMS_MAX];
    bool is_flexible; /* an array to the end of the memory: as a member it has no size */
    unsigned offset;  /* bytes */
    unsigned bit, bits; /* of a bit-field: from this bit of that byte on, the lowest is 0; else 0 */
};
struct usdt_struct {
    struct usdt_struct *next;
    char *tag; /* or NULL */
    struct usdt_field *fields, *last;
    bool is_union, is_described;
    unsigned size, align;
    unsigned members; /* with those of members */
    bool is_open;  /* the parser's: it is being described */
    uint64_t used; /* its bits so far */
};
struct usdt_alias {
    struct usdt_alias *next;
    char *name;
    struct usdt_type type;
};
struct usdt_types {
    struct usdt_struct *structs;
    struct usdt_enum *enums;
    struct usdt_alias *aliases;
    struct usdt_node *nodes;
};
/* What of a machine its layouts depend on. */
struct usdt_machine {
    unsigned word, align8; /* size of a pointer; alignment of a member of 8 bytes */
    bool char_signed;
};
/* Reads all of `text`, of which the bytes before `from` are known to be good: errors count lines from there. False:
   why[] says what is wrong, or is "" where there is no memory; nothing is to be freed. */
bool usdt_types_parse(struct usdt_types *, const char *text, size_t len, size_t from, const struct usdt_machine *,
                      char why[USDT_WHY_MAX]);
void usdt_types_free(struct usdt_types *);

static inline uint64_t usdt_field_elements(const struct usdt_field *field)
{
    uint64_t elements = 1;
    for (unsigned i = 0; i < field->dims; i++)
        elements *= field->dim[i];
    return elements;
}

/* usdt_probe.c. Every probe but that of usdt_probe_never() is a part of this. */
struct usdt_own_probe {
    usdt_probe_t pub;                         /* first: the public pointer is ours */
    struct usdt_listening *_Atomic listening; /* NULL: nobody ever has */
};
void usdt_stubs_write(const struct usdt_stub *, void *to, size_t count);
/* Detached. What never changes is set here, so that a check needs no order of two loads. */
void usdt_probe_init(usdt_probe_t *, const struct usdt_stub *, size_t argc);
/* `semaphore` is its address, or 0: it has none. */
void usdt_probe_place(usdt_probe_t *, const struct usdt_stub *, uintptr_t slot, uintptr_t semaphore);
/* What its site is while nobody traces it: 4 bytes, as they are now. And: its site is in that word, elsewhere. */
void usdt_probe_watch(usdt_probe_t *, const void *word);
void usdt_probe_place_elsewhere(usdt_probe_t *, uintptr_t word);
usdt_probe_t *usdt_probe_never(void); /* one for all, that is never placed */
void usdt_probe_detach(usdt_probe_t *); /* fires nothing from now on, without a stub */
/* Somebody listens now: it shows that it is enabled, and hits go to usdt_listeners_call(). Nobody does any more. */
void usdt_probe_listened(struct usdt_own_probe *);
void usdt_probe_unlistened(struct usdt_own_probe *);

/* usdt_listen.c. All under the library's lock, but for _call(), _wait() and _forked(). */
struct usdt_listening {
    usdt_probe_t real; /* what the probe would show if nobody listened, while somebody does */
    usdt_probedef_t *def;
    struct usdt_listener *_Atomic first;
    struct usdt_listener *gone; /* removed; a thread may still be in one */
};
/* NONE: it went well. MALLOC; INVALID: there is this one already. */
usdt_error_t usdt_listeners_add(struct usdt_own_probe *, usdt_probedef_t *, usdt_listener_t function, void *context);
/* False: there is none such. */
bool usdt_listeners_remove(struct usdt_own_probe *, usdt_listener_t function, void *context);
/* Those that were removed, to be handed to usdt_listeners_wait(), which returns when no other thread is in one, and
   frees them. NULL in a listener, which would wait for itself. */
struct usdt_listener *usdt_listeners_gone(struct usdt_own_probe *);
void usdt_listeners_wait(struct usdt_own_probe *, struct usdt_listener *gone);
void usdt_listeners_free(struct usdt_own_probe *);
/* A hit; NULL: nobody is there yet. Async-signal-safe, as is usdt_listeners_forked(), for the child of a fork(). */
void usdt_listeners_call(const struct usdt_listening *, size_t declared, size_t argc, void **argv);
void usdt_listeners_forked(void);

/*
 * usdt_dof.c: appends to `out` one document that holds as many of the probes as the platform's
 * limit allows, from slot *next on, and moves *next behind them. (On Linux a site elsewhere is alone in
 * its.) `text` is the address of slot 0, `dof` that of the document. False, and errno: ENOMEM; E2BIG, no
 * probe or one that is too big for a document; ERANGE, the stubs are more than 2 GiB from the document,
 * where XNU cannot find them.
 */
bool usdt_dof_build(const struct usdt_layout *, uint64_t text, uint64_t dof, size_t *next,
                    struct usdt_buf *out);

/* usdt_elf.c: the whole image. The build-id is a hash of all else in it, and of layout->copy. */
enum { USDT_BUILD_ID = 20 };
bool usdt_elf_build(const struct usdt_layout *, struct usdt_buf *out,
                    unsigned char build_id[USDT_BUILD_ID]);

/* usdt_store.c: where the bytes of an image live. */
struct usdt_stored {
    int fd;     /* open for reading; the caller maps it and hands it to usdt_store_mapped() */
    char *path; /* of the file, or NULL: a memfd */
    uint64_t dev, ino;
};
/* Stores bytes under `name` as the first of the places that works; on success *why is "" or says
   why it had to be a memfd, on failure why nothing worked. */
bool usdt_store_put(struct usdt_stored *, const char *name, const unsigned char *bytes, size_t len,
                    char why[USDT_WHY_MAX]);
/* The file is mapped now: the mapping holds it, no descriptor is needed (but for a memfd). */
void usdt_store_mapped(struct usdt_stored *);
/* Nothing of it is mapped here any more: the last user of a file removes it. */
void usdt_store_drop(struct usdt_stored *);

/* A sealed memfd with these bytes, or -1 and errno. */
int usdt_memfd(const char *name, const unsigned char *bytes, size_t len);

/* usdt_helper.c: the documents of one image that DTrace has been handed. */
struct usdt_helper;
enum usdt_helped { USDT_HELPER_NONE, USDT_HELPER_DONE, USDT_HELPER_FAILED };
bool usdt_helper_is_there(const struct usdt_platform *);
/* Submits documents for all probes of the layout, whose slot 0 is at `text`. NONE: no DTrace here. */
enum usdt_helped usdt_helper_submit(struct usdt_helper **list, const struct usdt_layout *,
                                    uint64_t text, char why[USDT_WHY_MAX]);
/* Empties the list, also where the device refuses: then false, and why. */
bool usdt_helper_withdraw(struct usdt_helper **list, char why[USDT_WHY_MAX]);
/* In the child of a fork(): submits again where the system forgot. Async-signal-safe. */
void usdt_helper_forked(struct usdt_helper *list);

/*
 * usdt_image.c: a batch of probes that is published together. Its address range belongs to its
 * probes for as long as any of them exists, and a probe keeps its slot there: so no thread ever
 * runs another probe's code, and no code is ever unmapped.
 */
struct usdt_image {
    struct usdt_image *next; /* in one of usdt_image.c's lists */
    const struct usdt_platform *platform;
    uintptr_t base;          /* where it is mapped */
    size_t mapped, data;     /* bytes of it, executable, and behind them with the semaphores */
    size_t reserved;         /* bytes of addresses set aside */
    uintptr_t stubs;         /* address of slot 0 */
    uintptr_t semaphores;    /* that of its semaphore, or 0: there are none */
    size_t slots, code;     /* as in usdt_layout */
    usdt_probedef_t **defs; /* by slot; NULL: nobody's */
    bool is_published;
    unsigned char content[USDT_BUILD_ID]; /* build-id of copy 0 */
    unsigned copy;
    struct usdt_stored stored;
    struct usdt_helper *helpers;
    /* usdt.c's */
    const usdt_provider_t *provider;
    size_t owners;  /* slots that belong to a probe */
    size_t members; /* those of them whose probe is in the provider */
    bool is_new;    /* published by the call that is under way */
};
/* Takes `defs`, one for each slot, if it does not fail. */
struct usdt_image *usdt_image_create(const struct usdt_platform *, usdt_probedef_t **defs, size_t slots, size_t code,
                                     bool semaphores);
/* Publishes all probes that have a slot. With USDT_ERROR_NONE why[] is "" or names who will not see them,
   with any other it says why. `attributes` and `types` as in usdt_layout. */
usdt_error_t usdt_image_publish(struct usdt_image *, const char *provider, const char *module,
                                const struct usdt_attributes *attributes, const struct usdt_buf *types,
                                char why[USDT_WHY_MAX]);
/* Tells DTrace of an image, unless it has been told: its daemon may have come later than the image.
   What goes wrong is no more than a notice in why[]. */
void usdt_image_submit(struct usdt_image *, const char *provider, const char *module,
                       const struct usdt_attributes *attributes, char why[USDT_WHY_MAX]);
/* The stubs become inert in one step, the tracers are told. False: a helper refused, see why[]. */
bool usdt_image_withdraw(struct usdt_image *, char why[USDT_WHY_MAX]);
/* No probe has a slot in it any more, and it is not published. */
void usdt_image_destroy(struct usdt_image *);
/* In the child of a fork(): tells the tracers that need it. Async-signal-safe. */
void usdt_images_forked(void);
/* At the end of the program: withdraws every image. */
void usdt_images_exit(void);

/*
 * usdt_code_linux.c, usdt_code_anonymous.c: what is in an image's range, on the system compiled for.
 */
/* So many bytes of addresses, or NULL, for this layout and others. */
void *usdt_code_reserve(const struct usdt_layout *, size_t size);
/* Whether what such a range holds for good depends on its layout. */
bool usdt_code_is_fixed(void);
/* Whether a file is mapped there, executable. */
bool usdt_code_is_in_file(const void *at, size_t size);
/* The stubs can be executed, and traced, in a file that is not that of one of the `others`. On success why[] is ""
   or names who will not see the probes. */
bool usdt_code_publish(struct usdt_image *, const struct usdt_layout *, const struct usdt_image *others,
                       char why[USDT_WHY_MAX]);
/* The stubs can no longer be traced, in one step; a thread may be in one. False: they can. */
bool usdt_code_withdraw(struct usdt_image *);
/* Whether the kernel turns a 10-byte nop into a direct call. */
bool usdt_code_has_direct_call(const struct usdt_platform *);

#endif
