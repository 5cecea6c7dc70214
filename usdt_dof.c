/*
 * usdt_dof.c - the DTrace document: probes in, one DOF document out.
 *
 * Owns the splitting of a provider that is too big for one document. What is in each section is
 * usdt_dof_sections.c's, how sections make a file usdt_dof_file.c's. Pure: no system calls.
 */
#include "usdt_dof.h"

#include <errno.h>

bool usdt_dof_build(const struct usdt_layout *layout, uint64_t text, uint64_t dof, size_t *next,
                    struct usdt_buf *out)
{
    struct usdt_dof *doc = usdt_dof_begin(layout, text, dof);
    if (doc == NULL)
        return false; /* calloc has set ENOMEM */

    size_t slot = *next, probes = 0;
    for (; slot < layout->count; slot++) {
        if (layout->defs[slot] == NULL)
            continue;
        /* Linux finds the file of a document's probes by one address: what is in another file has one of its own. */
        bool is_alone = layout->platform->dof_in_file && usdt_is_elsewhere(layout->defs[slot]);
        if (is_alone && probes > 0)
            break;
        struct usdt_dof_mark before = usdt_dof_mark(doc);
        usdt_dof_add_probe(doc, slot);
        if (usdt_dof_file_size(doc) >= layout->platform->dof_max) {
            usdt_dof_rewind(doc, before);
            break;
        }
        probes++;
        if (is_alone) {
            slot++;
            break;
        }
    }
    errno = probes == 0 ? E2BIG : doc->too_far ? ERANGE : ENOMEM;
    bool done = probes > 0 && !doc->too_far && usdt_dof_file_write(doc, out);
    usdt_dof_end(doc);
    *next = slot;
    return done;
}
