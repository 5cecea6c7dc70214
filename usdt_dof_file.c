/*
 * usdt_dof_file.c - a DOF document as a file: header, table of sections, the sections.
 *
 * Owns where things lie; knows nothing of what the sections say.
 */
#include "usdt_dof.h"

static const struct {
    uint32_t type, align, entry_size;
} kinds[USDT_DOF_SECTIONS] = {
    [USDT_DOF_STRTAB] = { DOF_SECT_STRTAB, 1, 0 },
    [USDT_DOF_PROBES] = { DOF_SECT_PROBES, 8, sizeof(struct dof_probe) },
    [USDT_DOF_PRARGS] = { DOF_SECT_PRARGS, 1, 1 },
    [USDT_DOF_PROFFS] = { DOF_SECT_PROFFS, 4, 4 },
    [USDT_DOF_PRENOFFS] = { DOF_SECT_PRENOFFS, 4, 4 },
    [USDT_DOF_PROVIDER] = { DOF_SECT_PROVIDER, 4, 0 },
};

enum { FRONT = sizeof(struct dof_header) + USDT_DOF_SECTIONS * sizeof(struct dof_section) };

static size_t aligned(size_t offset, size_t align)
{
    return (offset + align - 1) & ~(align - 1);
}

size_t usdt_dof_file_size(const struct usdt_dof *doc)
{
    size_t size = FRONT;
    for (int i = 0; i < USDT_DOF_SECTIONS; i++)
        size = aligned(size, kinds[i].align) + doc->section[i].len;
    return size;
}

bool usdt_dof_file_write(const struct usdt_dof *doc, struct usdt_buf *out)
{
    size_t start = out->len, size = usdt_dof_file_size(doc);
    bool failed = false;

    struct dof_header header = {
        .magic = { 0x7f, 'D', 'O', 'F' },
        .model = doc->layout->platform->word == 8 ? DOF_MODEL_LP64 : DOF_MODEL_ILP32,
        .encoding = DOF_ENCODE_LSB,
        .version = doc->layout->platform->dof_version,
        .dif_version = DOF_DIF_VERSION,
        .int_regs = DOF_DIF_INT_REGS,
        .tuple_regs = DOF_DIF_TUPLE_REGS,
        .header_size = sizeof(struct dof_header),
        .section_size = sizeof(struct dof_section),
        .sections = USDT_DOF_SECTIONS,
        .section_offset = sizeof(struct dof_header),
        .load_size = size,
        .file_size = size,
    };
    usdt_buf_put(out, &header, sizeof header);

    size_t offset = FRONT;
    for (int i = 0; i < USDT_DOF_SECTIONS; i++) {
        offset = aligned(offset, kinds[i].align);
        struct dof_section section = {
            .type = kinds[i].type,
            .align = kinds[i].align,
            .flags = DOF_SECF_LOAD,
            .entry_size = kinds[i].entry_size,
            .offset = offset,
            .size = doc->section[i].len,
        };
        usdt_buf_put(out, &section, sizeof section);
        offset += doc->section[i].len;
    }
    for (int i = 0; i < USDT_DOF_SECTIONS; i++) {
        failed |= doc->section[i].failed;
        usdt_buf_grow(out, aligned(out->len - start, kinds[i].align) - (out->len - start));
        usdt_buf_put(out, doc->section[i].data, doc->section[i].len);
    }
    return !failed && !out->failed;
}
