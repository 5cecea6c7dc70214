/*
 * usdt_image.c - a batch of probes that is published together: its address range, what is mapped
 * there, and who was told of it.
 *
 * Owns address ranges. A range once made executable is never unmapped, and a probe's slot is its own
 * for as long as it exists: a thread may be in a stub at any moment, and nothing would tell us. A
 * range whose probes are all gone serves the next image of its size.
 *
 * A range holds either the image's file, read-only and executable, or an inert copy of the same
 * stubs, which nobody can trace; the change between the two is one system call. Nothing is ever
 * writable and executable.
 */
#define _GNU_SOURCE
#include "usdt_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

/* Under the library's lock. */
static struct usdt_image *published, *spare;

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

#if defined(__linux__)

/* Whether the kernel turns a 10-byte nop into a direct call. Linux 6.18 has a system call, 336 on
   x86_64 only, for the trampolines' own use; called from elsewhere it fails with EPROTO where the
   10-byte form is in, with ENXIO where it is the 5-byte form, which kills forked children. Older
   kernels are not asked: a seccomp filter might end the program for it. */
static bool has_direct_call(const struct usdt_platform *platform)
{
    static int known = -1;
    struct utsname kernel;
    unsigned major, minor;
    if (known < 0)
        known = platform->word == 8 && strcmp(platform->arch, "x86_64") == 0 && uname(&kernel) == 0 &&
                sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
                (major > 6 || (major == 6 && minor >= 18)) && syscall(336) == -1 && errno == EPROTO;
    return known;
}

static bool reserve(struct usdt_image *image)
{
    void *at = mmap(NULL, image->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    image->base = (uintptr_t)at;
    return at != MAP_FAILED;
}

static bool map_stored(struct usdt_image *image)
{
    return mmap((void *)image->base, image->mapped, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED,
                image->stored.fd, 0) != MAP_FAILED;
}

/* Replaces the image by an inert copy of its stubs. Where anonymous memory may not become
   executable (SELinux's execmem), the copy is a memfd. */
static bool map_inert(struct usdt_image *image)
{
    void *at = (void *)image->base;
    void *copy = mmap(NULL, image->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return false;
    size_t front = image->stubs - image->base;
    usdt_stubs_write(image->platform->stub, (char *)copy + front,
                     (image->mapped - front) / image->platform->stub->size);
    if (mprotect(copy, image->mapped, PROT_READ | PROT_EXEC) == 0 &&
        mremap(copy, image->mapped, image->mapped, MREMAP_MAYMOVE | MREMAP_FIXED, at) != MAP_FAILED)
        return true;

    int fd = usdt_memfd("usdt-inert", copy, image->mapped);
    munmap(copy, image->mapped);
    bool done = fd >= 0 && mmap(at, image->mapped, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
                                0) != MAP_FAILED;
    if (fd >= 0)
        close(fd);
    return done;
}

static bool store(struct usdt_image *image, const struct usdt_layout *layout, char why[USDT_WHY_MAX])
{
    struct usdt_buf elf = { 0 };
    unsigned char id[USDT_BUILD_ID];
    bool done = usdt_elf_build(layout, &elf, id);
    if (!done) {
        snprintf(why, USDT_WHY_MAX, "%s", strerror(ENOMEM));
    } else {
        char name[64 + 2 * USDT_BUILD_ID];
        int len = snprintf(name, sizeof name, "%s-", layout->provider);
        for (size_t i = 0; i < USDT_BUILD_ID; i++)
            len += snprintf(name + len, 3, "%02x", id[i]);
        done = usdt_store_put(&image->stored, name, elf.data, elf.len, why);
    }
    usdt_buf_free(&elf);
    return done;
}

#else

static bool has_direct_call(const struct usdt_platform *platform)
{
    (void)platform;
    return false;
}

static bool reserve(struct usdt_image *image)
{
    image->base = 0;
    return true;
}

static bool map_stored(struct usdt_image *image)
{
    (void)image;
    return false;
}

static bool map_inert(struct usdt_image *image)
{
    (void)image;
    return false;
}

static bool store(struct usdt_image *image, const struct usdt_layout *layout, char why[USDT_WHY_MAX])
{
    (void)image;
    snprintf(why, USDT_WHY_MAX, "no tracing support for %s yet", layout->platform->system);
    return false;
}

void usdt_store_mapped(struct usdt_stored *stored)
{
    (void)stored;
}

void usdt_store_drop(struct usdt_stored *stored)
{
    (void)stored;
}

#endif

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

struct usdt_image *usdt_image_create(const struct usdt_platform *platform, size_t slots)
{
    struct usdt_layout layout = { .platform = platform, .count = slots, .page = page_size() };
    size_t mapped = usdt_layout_mapped(&layout), reserved = layout.page;
    while (reserved < mapped)
        reserved *= 2; /* few sizes, so that spare ranges fit */

    usdt_probedef_t **defs = calloc(slots, sizeof(usdt_probedef_t *));
    if (defs == NULL)
        return NULL;
    struct usdt_image *image = spare;
    while (image != NULL && image->reserved != reserved)
        image = image->next;
    if (image != NULL) {
        unlink_from(&spare, image);
    } else {
        image = calloc(1, sizeof *image);
        if (image != NULL)
            image->reserved = reserved;
        if (image == NULL || !reserve(image)) {
            free(image);
            free(defs);
            return NULL;
        }
    }
    image->platform = platform;
    image->slots = slots;
    image->defs = defs;
    image->mapped = mapped;
    image->stubs = image->base + usdt_layout_stubs(&layout);
    image->stored.fd = -1;
    return image;
}

static struct usdt_layout layout_of(const struct usdt_image *image, const char *provider,
                                    const char *module)
{
    return (struct usdt_layout){
        .platform = image->platform,
        .provider = provider,
        .module = module,
        .defs = image->defs,
        .count = image->slots,
        .page = page_size(),
        .direct_call = has_direct_call(image->platform),
    };
}

void usdt_image_submit(struct usdt_image *image, const char *provider, const char *module,
                       char why[USDT_WHY_MAX])
{
    struct usdt_layout layout = layout_of(image, provider, module);
    char reason[USDT_WHY_MAX];
    if (image->helpers == NULL &&
        usdt_helper_submit(&image->helpers, &layout, image->stubs, reason) == USDT_HELPER_FAILED)
        snprintf(why, USDT_WHY_MAX, "failed to load DOF: %.400s (tracers other than DTrace see the probes)",
                 reason);
}

bool usdt_image_publish(struct usdt_image *image, const char *provider, const char *module,
                        char why[USDT_WHY_MAX])
{
    struct usdt_layout layout = layout_of(image, provider, module);
    char reason[USDT_WHY_MAX] = "";
    why[0] = '\0';
    if (!store(image, &layout, reason)) {
        snprintf(why, USDT_WHY_MAX, "cannot publish probes: %.480s", reason);
        return false;
    }
    if (!map_stored(image)) {
        snprintf(why, USDT_WHY_MAX, "cannot publish probes: %s", strerror(errno));
        usdt_store_drop(&image->stored);
        return false;
    }
    usdt_store_mapped(&image->stored);
    if (reason[0] != '\0')
        snprintf(why, USDT_WHY_MAX, "bpftrace 0.25 and newer and perf do not see the probes, which are in a "
                                    "memfd (%.400s)", reason);
    usdt_image_submit(image, provider, module, why);
    image->is_published = true;
    link_to(&published, image);
    return true;
}

bool usdt_image_withdraw(struct usdt_image *image, char why[USDT_WHY_MAX])
{
    bool done = usdt_helper_withdraw(&image->helpers, why);
    if (!map_inert(image)) /* no memory: leave the code, and make the probes pass it by */
        for (size_t i = 0; i < image->slots; i++)
            if (image->defs[i] != NULL && image->defs[i]->probe != NULL)
                usdt_probe_detach(image->defs[i]->probe);
    usdt_store_drop(&image->stored);
    unlink_from(&published, image);
    image->is_published = false;
    return done;
}

void usdt_image_destroy(struct usdt_image *image)
{
    free(image->defs);
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
