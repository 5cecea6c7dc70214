/*
 * usdt_helper.c - DTrace's helper device: submits the DOF documents of an image, and takes them back.
 *
 * Owns what is submitted in this process. The device's names, its ioctls and its limits are columns
 * of the platform table; which records it takes is here.
 */
#define _GNU_SOURCE
#include "usdt_dof_format.h"
#include "usdt_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct usdt_helper {
    struct usdt_helper *next;
    const struct usdt_platform *platform;
    struct dof_helper record; /* .dof is our read-only mapping of the document */
    size_t size;
    int generation; /* what the device calls it; -1: not submitted */
};

static unsigned submitted; /* in this process, under the library's lock */

static int open_device(const struct usdt_platform *platform)
{
    int fd = -1;
    for (size_t i = 0; i < 2 && platform->device[i] != NULL && fd < 0; i++)
        fd = open(platform->device[i], O_RDWR | O_CLOEXEC);
    return fd;
}

#if defined(__linux__)

/* dtprobed tells documents apart by the file that is mapped where they lie, and refuses one that lies
   in no file: so each gets a memfd of its own. */
static void *map_document(const struct usdt_buf *document)
{
    int fd = usdt_memfd("usdt-dof", document->data, document->len);
    if (fd < 0)
        return NULL;
    void *map = mmap(NULL, document->len, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    close(fd);
    errno = error;
    return map == MAP_FAILED ? NULL : map;
}

/* dtprobed returns the generation. */
static bool add(struct usdt_helper *helper, int device)
{
    helper->generation = ioctl(device, helper->platform->add, &helper->record);
    return helper->generation >= 0;
}

static bool take_back(struct usdt_helper *helper, int device)
{
    return ioctl(device, helper->platform->remove, (long)helper->generation) >= 0;
}

#else

static void *map_document(const struct usdt_buf *document)
{
    (void)document;
    errno = ENOSYS;
    return NULL;
}

static bool add(struct usdt_helper *helper, int device)
{
    (void)helper, (void)device;
    errno = ENOSYS;
    return false;
}

static bool take_back(struct usdt_helper *helper, int device)
{
    (void)helper, (void)device;
    return true;
}

#endif

static bool submit_part(struct usdt_helper **list, const struct usdt_layout *layout, uint64_t text,
                        size_t *next, int device)
{
    struct usdt_buf document = { 0 };
    struct usdt_helper *helper = calloc(1, sizeof *helper);
    size_t first = *next;
    void *map = NULL;
    bool done = false;

    bool built = helper != NULL && usdt_dof_build(layout, text, 0, next, &document);
    unsigned most = layout->platform->helpers_max;
    if (built && most > 0 && submitted >= most) {
        errno = EAGAIN;
    } else if (built && (map = map_document(&document)) != NULL) {
        helper->platform = layout->platform;
        helper->size = document.len;
        helper->record.dof = (uintptr_t)map;
        /* Each document needs an address of its own: that of its first stub. */
        helper->record.addr = text + first * layout->platform->stub->size;
        strncpy(helper->record.module, layout->module, sizeof helper->record.module - 1);
        done = add(helper, device);
    }
    if (done) {
        helper->next = *list;
        *list = helper;
        submitted++;
    } else {
        int error = errno;
        if (map != NULL)
            munmap(map, document.len);
        free(helper);
        errno = error;
    }
    usdt_buf_free(&document);
    return done;
}

enum usdt_helped usdt_helper_submit(struct usdt_helper **list, const struct usdt_layout *layout,
                                    uint64_t text, char why[USDT_WHY_MAX])
{
    if (layout->platform->device[0] == NULL)
        return USDT_HELPER_NONE;
    int device = open_device(layout->platform);
    if (device < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        return USDT_HELPER_NONE;
    if (device < 0) {
        snprintf(why, USDT_WHY_MAX, "%s: %s", layout->platform->device[0], strerror(errno));
        return USDT_HELPER_FAILED;
    }
    size_t next = 0;
    bool done = true;
    while (done && next < layout->count) {
        done = submit_part(list, layout, text, &next, device);
        while (next < layout->count && layout->defs[next] == NULL)
            next++;
    }
    if (!done) {
        char ignored[USDT_WHY_MAX];
        if (errno == EAGAIN)
            snprintf(why, USDT_WHY_MAX, "DTrace takes at most %u providers of a process",
                     layout->platform->helpers_max);
        else
            snprintf(why, USDT_WHY_MAX, "%s", strerror(errno));
        usdt_helper_withdraw(list, ignored);
    }
    close(device);
    return done ? USDT_HELPER_DONE : USDT_HELPER_FAILED;
}

bool usdt_helper_withdraw(struct usdt_helper **list, char why[USDT_WHY_MAX])
{
    bool done = true;
    if (*list == NULL)
        return true;
    int device = open_device((*list)->platform);
    for (struct usdt_helper *helper; (helper = *list) != NULL;) {
        if (helper->generation >= 0 && (device < 0 || !take_back(helper, device))) {
            snprintf(why, USDT_WHY_MAX, "%s", strerror(errno));
            done = false;
        }
        *list = helper->next;
        munmap((void *)(uintptr_t)helper->record.dof, helper->size);
        free(helper);
        submitted--;
    }
    if (device >= 0)
        close(device);
    return done;
}

void usdt_helper_forked(struct usdt_helper *list)
{
#if defined(__linux__) /* the other systems copy helpers to the child */
    int device = list == NULL ? -1 : open_device(list->platform);
    for (; list != NULL; list = list->next)
        if (device < 0 || !add(list, device))
            list->generation = -1;
    if (device >= 0)
        close(device);
#else
    (void)list;
#endif
}
