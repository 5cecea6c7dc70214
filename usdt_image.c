/*
 * usdt_image.c - a batch of probes that is published together: its address range, and who was told
 * of it.
 *
 * Owns address ranges. A range once made executable is never unmapped, and a probe's slot is its own
 * for as long as it exists: a thread may be in a stub at any moment, and nothing would tell us. A
 * range whose probes are all gone serves the next image of its size. What is in a range is the
 * system's usdt_code_*.c's.
 */
#include "usdt_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Under the library's lock. */
static struct usdt_image *published, *spare;

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void link_to(struct usdt_image **list, struct usdt_image *image)
{
    image->next = *list;
    *list = image;
}

static void unlink_from(struct usdt_image **list, const struct usdt_image *image)
{
    while (*list != image)
        list = &(*list)->next;
    *list = image->next;
}

struct usdt_image *usdt_image_create(const struct usdt_platform *platform, usdt_probedef_t **defs, size_t slots,
                                     size_t code, bool semaphores)
{
    struct usdt_layout layout = { .platform = platform, .defs = defs, .count = slots, .page = page_size(),
                                  .code = code, .semaphores = semaphores };
    size_t mapped = usdt_layout_mapped(&layout), data = usdt_layout_data(&layout);
    size_t reserved = layout.page;
    while (reserved < mapped + data)
        reserved *= 2; /* few sizes, so that spare ranges fit */

    struct usdt_image *image = code > 0 && usdt_code_is_fixed() ? NULL : spare;
    while (image != NULL && image->reserved != reserved)
        image = image->next;
    if (image != NULL) {
        unlink_from(&spare, image);
    } else {
        image = calloc(1, sizeof *image);
        void *range = image == NULL ? NULL : usdt_code_reserve(&layout, reserved);
        if (range == NULL) {
            free(image);
            return NULL;
        }
        image->base = (uintptr_t)range;
        image->reserved = reserved;
    }
    image->platform = platform;
    image->slots = slots;
    image->code = code;
    image->defs = defs;
    image->mapped = mapped;
    image->data = data;
    image->stubs = image->base + usdt_layout_stubs(&layout);
    image->semaphores = semaphores ? image->base + mapped + USDT_SEMAPHORES_AT : 0;
    image->stored.fd = -1;
    return image;
}

static struct usdt_layout layout_of(const struct usdt_image *image, const char *provider,
                                    const char *module, const struct usdt_attributes *attributes)
{
    return (struct usdt_layout){
        .platform = image->platform,
        .provider = provider,
        .module = module,
        .defs = image->defs,
        .count = image->slots,
        .page = page_size(),
        .code = image->code,
        .semaphores = image->semaphores != 0,
        .direct_call = usdt_code_has_direct_call(image->platform),
        .attributes = attributes,
    };
}

/* DTrace for Linux counts offsets in a file from its lowest mapping, so it must have one. */
static bool shares_file(const struct usdt_image *image)
{
    const struct usdt_image *other = published;
    while (other != NULL && (other == image || other->stored.ino != image->stored.ino ||
                             other->stored.dev != image->stored.dev))
        other = other->next;
    return image->platform->dof_in_file && other != NULL;
}

/* Tells DTrace, unless it has been told. */
static usdt_error_t submit(struct usdt_image *image, const struct usdt_layout *layout, char why[USDT_WHY_MAX])
{
    char reason[USDT_WHY_MAX];
    bool has_others = image->platform->elf_machine != 0; /* tracers than DTrace */
    enum usdt_helped helped = USDT_HELPER_DONE;
    if (image->helpers == NULL && shares_file(image) && usdt_helper_is_there(image->platform)) {
        helped = USDT_HELPER_FAILED;
        snprintf(reason, sizeof reason, "the process has this provider twice, in one file since before DTrace came; "
                                        "disable both and enable them again");
    } else if (image->helpers == NULL) {
        helped = usdt_helper_submit(&image->helpers, layout, image->stubs, reason);
    }
    if (helped == USDT_HELPER_FAILED && has_others)
        snprintf(why, USDT_WHY_MAX, "failed to load DOF: %.400s (tracers other than DTrace see the probes)",
                 reason);
    for (size_t i = 0; helped == USDT_HELPER_NONE && has_others && i < image->slots; i++)
        if (image->defs[i] != NULL && usdt_is_elsewhere(image->defs[i])) {
            snprintf(why, USDT_WHY_MAX, "there is no DTrace here, which alone can see a probe in memory of the "
                                        "program's own (%s:%s)", image->defs[i]->function, image->defs[i]->name);
            break;
        }
    if (helped == USDT_HELPER_DONE || has_others)
        return USDT_ERROR_NONE;
    snprintf(why, USDT_WHY_MAX, "%s", helped == USDT_HELPER_FAILED ? reason : "there is no DTrace here");
    return helped == USDT_HELPER_FAILED ? USDT_ERROR_LOADDOF : USDT_ERROR_PUBLISH;
}

void usdt_image_submit(struct usdt_image *image, const char *provider, const char *module,
                       const struct usdt_attributes *attributes, char why[USDT_WHY_MAX])
{
    struct usdt_layout layout = layout_of(image, provider, module, attributes);
    submit(image, &layout, why);
}

usdt_error_t usdt_image_publish(struct usdt_image *image, const char *provider, const char *module,
                                const struct usdt_attributes *attributes, const struct usdt_buf *types,
                                char why[USDT_WHY_MAX])
{
    struct usdt_layout layout = layout_of(image, provider, module, attributes);
    layout.types = types;
    why[0] = '\0';
    /* Without DTrace, two images that are the same share a file: bpftrace 0.17 finds only one of two. */
    const struct usdt_image *others = usdt_helper_is_there(image->platform) ? published : NULL;
    if (!usdt_code_publish(image, &layout, others, why))
        return USDT_ERROR_PUBLISH;
    usdt_error_t error = submit(image, &layout, why);
    if (error != USDT_ERROR_NONE) {
        usdt_code_withdraw(image);
        return error;
    }
    image->is_published = true;
    link_to(&published, image);
    return USDT_ERROR_NONE;
}

bool usdt_image_withdraw(struct usdt_image *image, char why[USDT_WHY_MAX])
{
    bool done = usdt_helper_withdraw(&image->helpers, why);
    bool is_inert = usdt_code_withdraw(image);
    for (size_t i = 0; i < image->slots; i++) /* code that stays as it is: make the probes pass it by */
        if (image->defs[i] != NULL && image->defs[i]->probe != NULL && (!is_inert || usdt_is_elsewhere(image->defs[i])))
            usdt_probe_detach(image->defs[i]->probe);
    unlink_from(&published, image);
    image->is_published = false;
    return done;
}

void usdt_image_destroy(struct usdt_image *image)
{
    free(image->defs);
    if (image->code > 0 && usdt_code_is_fixed()) { /* the range serves no other */
        free(image);
        return;
    }
    image->defs = NULL;
    image->slots = 0;
    link_to(&spare, image);
}

void usdt_images_forked(void)
{
    for (struct usdt_image *image = published; image != NULL; image = image->next)
        usdt_helper_forked(image->helpers);
}

void usdt_images_exit(void)
{
    char ignored[USDT_WHY_MAX];
    while (published != NULL)
        usdt_image_withdraw(published, ignored);
    for (struct usdt_image *image; (image = spare) != NULL; free(image))
        spare = image->next; /* the ranges stay: a thread may be in one */
}
