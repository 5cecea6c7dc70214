/*
 * usdt_dof.h - a DOF document being written: shared by usdt_dof.c, _sections.c and _file.c only.
 */
#ifndef USDT_DOF_H
#define USDT_DOF_H

#include "usdt_internal.h"
#include "usdt_dof_format.h"

/* The sections in the order in which they lie in the document. Section 0 is the string table: an
   index of 0 for the is-enabled offsets would mean that there are none. */
enum usdt_dof_section {
    USDT_DOF_STRTAB,
    USDT_DOF_PROBES,
    USDT_DOF_PRARGS,
    USDT_DOF_PROFFS,
    USDT_DOF_PRENOFFS,
    USDT_DOF_PROVIDER,
    USDT_DOF_SECTIONS
};

enum { USDT_DOF_RECENT = 1024 };

struct usdt_dof {
    const struct usdt_layout *layout;
    uint64_t text, dof;
    struct usdt_buf section[USDT_DOF_SECTIONS];
    bool too_far; /* a site is out of reach of a 32-bit offset */
    /* Strings lately put into the table, by hash, so that equal ones share a place. */
    struct {
        uint32_t offset, len;
    } recent[USDT_DOF_RECENT];
};

/* How far a document has got, to take the last probe back. */
struct usdt_dof_mark {
    size_t len[USDT_DOF_SECTIONS];
};

struct usdt_dof *usdt_dof_begin(const struct usdt_layout *, uint64_t text, uint64_t dof);
void usdt_dof_add_probe(struct usdt_dof *, size_t slot);
struct usdt_dof_mark usdt_dof_mark(const struct usdt_dof *);
void usdt_dof_rewind(struct usdt_dof *, struct usdt_dof_mark);
void usdt_dof_end(struct usdt_dof *);

size_t usdt_dof_file_size(const struct usdt_dof *);
bool usdt_dof_file_write(const struct usdt_dof *, struct usdt_buf *out);

#endif
