/*
 * usdt_code_linux.c - the executable memory of an image on Linux, where tracers find probes by a file.
 *
 * A range holds either the image's file, read-only and executable, or an inert copy of the same
 * stubs, which nobody can trace; the change between the two is one system call. Nothing is ever
 * writable and executable.
 */
#if defined(__linux__)
#include "usdt_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Linux 6.18 has a system call, 336 on x86_64 only, for the trampolines' own use; called from elsewhere
   it fails with EPROTO where the 10-byte form is in, with ENXIO where it is the 5-byte form, which kills
   forked children. Older kernels are not asked: a seccomp filter might end the program for it. */
bool usdt_code_has_direct_call(const struct usdt_platform *platform)
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

void *usdt_code_reserve(const struct usdt_platform *platform, size_t size, size_t front)
{
    (void)platform, (void)front;
    void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* The semaphores as nobody counts them: all 0. Also before they are first mapped. */
static bool map_no_data(struct usdt_image *image)
{
    return image->data == 0 || mmap((void *)(image->base + image->mapped), image->data, PROT_READ,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static bool map_stored(struct usdt_image *image)
{
    if (image->data != 0 && mmap((void *)(image->base + image->mapped), image->data, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_FIXED, image->stored.fd, (off_t)image->mapped) == MAP_FAILED)
        return false;
    if (mmap((void *)image->base, image->mapped, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, image->stored.fd, 0) !=
        MAP_FAILED)
        return true;
    int error = errno;
    map_no_data(image);
    errno = error;
    return false;
}

/* Replaces the image by an inert copy of its stubs. Where anonymous memory may not become
   executable (SELinux's execmem), the copy is a memfd. */
static bool map_inert(struct usdt_image *image)
{
    void *at = (void *)image->base;
    if (!map_no_data(image))
        return false;
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

static bool has_copy(const struct usdt_image *images, const struct usdt_image *image)
{
    while (images != NULL && (images->copy != image->copy ||
                              memcmp(images->content, image->content, USDT_BUILD_ID) != 0))
        images = images->next;
    return images != NULL;
}

static bool store(struct usdt_image *image, const struct usdt_layout *layout, const struct usdt_image *others,
                  char why[USDT_WHY_MAX])
{
    struct usdt_buf elf = { 0 };
    unsigned char id[USDT_BUILD_ID];
    bool done = usdt_elf_build(layout, &elf, id);
    memcpy(image->content, id, USDT_BUILD_ID);
    for (image->copy = 0; done && has_copy(others, image);)
        image->copy++;
    if (image->copy != 0) {
        struct usdt_layout other = *layout;
        other.copy = image->copy;
        usdt_buf_free(&elf);
        done = usdt_elf_build(&other, &elf, id);
    }
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

bool usdt_code_publish(struct usdt_image *image, const struct usdt_layout *layout, const struct usdt_image *others,
                       char why[USDT_WHY_MAX])
{
    char reason[USDT_WHY_MAX] = "";
    if (!store(image, layout, others, reason)) {
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
    return true;
}

bool usdt_code_withdraw(struct usdt_image *image)
{
    bool is_inert = map_inert(image);
    usdt_store_drop(&image->stored);
    return is_inert;
}

#else
typedef int usdt_code_is_for_linux;
#endif
