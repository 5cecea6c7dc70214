/*
 * usdt_helper.c - DTrace's helper device: submits the DOF documents of an image, and takes them back.
 *
 * Owns what is submitted in this process. How the systems differ, the device's names, its ioctls and how
 * they are called, are columns of the platform table; so every system's way runs, and is tested, on each.
 */
#include "usdt_internal.h"
#include "usdt_dof_format.h"

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

bool usdt_helper_is_there(const struct usdt_platform *platform)
{
    int device = open_device(platform);
    if (device >= 0)
        close(device);
    return device >= 0;
}

/* musl and illumos have an int for the request, glibc and the BSDs an unsigned long. */
static int call(int device, unsigned long request, uintptr_t argument)
{
#if defined(__sun) || (defined(__linux__) && !defined(__GLIBC__))
    return ioctl(device, (int)request, argument);
#else
    return ioctl(device, request, argument);
#endif
}

/* False and errno where the device refuses; 0 where DTrace is switched off. */
static bool add(struct usdt_helper *helper, int device)
{
    const struct usdt_platform *platform = helper->platform;
    struct dof_helper_list list = { .count = 1, .helper = helper->record };
    struct dof_helper_freebsd record = { .helper = helper->record, .pid = getpid(), .generation = -1 };
    uint64_t where = (uintptr_t)&list;

    switch (platform->generation) {
    case USDT_GENERATION_RETURNED:
        helper->generation = call(device, platform->add, (uintptr_t)&helper->record);
        break;
    case USDT_GENERATION_IN_RECORD:
        helper->generation = call(device, platform->add, (uintptr_t)&record) == 0 ? record.generation : -1;
        break;
    case USDT_GENERATION_IN_LIST:
        helper->generation = call(device, platform->add, (uintptr_t)&where) == 0 ? (int)list.helper.dof : -1;
        /* Where DTrace is switched off it succeeds, and writes nothing. */
        if (helper->generation != -1 && list.helper.dof == helper->record.dof) {
            helper->generation = -1;
            errno = 0;
        }
    }
    return helper->generation >= 0;
}

static bool take_back(const struct usdt_helper *helper, int device)
{
    int generation = helper->generation;
    bool by_pointer = helper->platform->generation == USDT_GENERATION_IN_RECORD;
    return call(device, helper->platform->remove, by_pointer ? (uintptr_t)&generation : (uintptr_t)generation) >= 0;
}

/* Linux: a file of its own. */
static void *map_file(const struct usdt_buf *document)
{
    int fd = usdt_memfd("usdt-dof", document->data, document->len);
    if (fd < 0)
        return MAP_FAILED;
    void *map = mmap(NULL, document->len, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    close(fd);
    errno = error;
    return map;
}

/* Others: memory, which for XNU is near the stubs. It looks upwards from a hint that is taken; where a system
   does not, further hints may be free. */
static void *map_memory(uint64_t text, size_t size)
{
    const uint64_t far = UINT64_C(1) << 30, step = UINT64_C(1) << 26;
    void *map = MAP_FAILED;
    for (uint64_t hint = text + step - text % step; hint < text + far / 2; hint += step) {
        map = mmap((void *)(uintptr_t)hint, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        uint64_t at = (uintptr_t)map;
        if (map == MAP_FAILED || (at > text ? at - text : text - at) < far)
            break;
        if (hint + step < text + far / 2)
            munmap(map, size);
    }
    return map;
}

/* Maps, read-only, a document of the probes from slot *next on, and moves *next behind them. */
static void *map_document(const struct usdt_layout *layout, uint64_t text, size_t *next, size_t *size)
{
    struct usdt_buf document = { 0 };
    size_t first = *next;
    void *map = MAP_FAILED;
    bool done = usdt_dof_build(layout, text, text, next, &document);
    if (done)
        map = layout->platform->dof_in_file ? map_file(&document) : map_memory(text, document.len);
    done = map != MAP_FAILED;
    *size = document.len;
    if (done && layout->platform->base_is_dof) { /* again, now that its address is known */
        document.len = 0;
        *next = first;
        done = usdt_dof_build(layout, text, (uintptr_t)map, next, &document);
    }
    if (done && !layout->platform->dof_in_file) {
        memcpy(map, document.data, document.len);
        done = mprotect(map, *size, PROT_READ) == 0;
    }
    int error = errno;
    usdt_buf_free(&document);
    if (!done && map != MAP_FAILED)
        munmap(map, *size);
    errno = error;
    return done ? map : NULL;
}

static bool submit_part(struct usdt_helper **list, const struct usdt_layout *layout, uint64_t text,
                        size_t *next, int device, char why[USDT_WHY_MAX])
{
    const struct usdt_platform *platform = layout->platform;
    if (platform->helpers_max > 0 && submitted >= platform->helpers_max) {
        snprintf(why, USDT_WHY_MAX, "DTrace takes at most %u providers of a process", platform->helpers_max);
        return false;
    }
    struct usdt_helper *helper = calloc(1, sizeof *helper);
    size_t first = *next;
    void *map = NULL;
    bool done = false;

    if (helper != NULL && (map = map_document(layout, text, next, &helper->size)) != NULL) {
        helper->platform = platform;
        helper->record.dof = (uintptr_t)map;
        /* Each document needs an address of its own: its own, or that of its first stub, or site. */
        const usdt_probedef_t *def = layout->defs[first];
        helper->record.addr = platform->base_is_dof ? helper->record.dof
                              : usdt_is_elsewhere(def) ? usdt_code_of(def)->elsewhere
                                                       : text + first * platform->stub->size;
        strncpy(helper->record.module, layout->module, sizeof helper->record.module - 1);
        done = add(helper, device);
    }
    if (done) {
        helper->next = *list;
        *list = helper;
        submitted++;
        return true;
    }
    snprintf(why, USDT_WHY_MAX, "%s",
             errno == 0        ? "DTrace takes no probes of programs here (sysctl kern.dtrace.dof_mode)"
             : errno == ERANGE ? "no memory for DTrace's document within 2 GiB of the stubs"
                               : strerror(errno));
    if (map != NULL)
        munmap(map, helper->size);
    free(helper);
    return false;
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
    bool done = true;
    for (size_t next = 0; done;) {
        while (next < layout->count && layout->defs[next] == NULL)
            next++;
        if (next == layout->count)
            break;
        done = submit_part(list, layout, text, &next, device, why);
    }
    if (!done) {
        char ignored[USDT_WHY_MAX];
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
    if (list == NULL || !list->platform->helpers_forgotten)
        return;
    int device = open_device(list->platform);
    for (; list != NULL; list = list->next)
        if (device < 0 || !add(list, device))
            list->generation = -1;
    if (device >= 0)
        close(device);
}
