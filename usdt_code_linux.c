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
#include <fcntl.h>
#include <inttypes.h>
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

void *usdt_code_reserve(const struct usdt_layout *layout, size_t size)
{
    (void)layout;
    void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

bool usdt_code_is_fixed(void)
{
    return false;
}

/* A line of /proc/self/maps: is it that of a file, executable, with this memory? */
static bool is_line_of(const char *line, uintptr_t first, size_t size)
{
    uintptr_t start, end;
    char executable, path;
    return sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*c%*c%c%*c %*s %*s %*s %c", &start, &end, &executable, &path) == 4 &&
           executable == 'x' && path == '/' && first >= start && first < end && size <= end - first;
}

bool usdt_code_is_in_file(const void *at, size_t size)
{
    char text[8192]; /* no line is longer */
    size_t len = 0;
    off_t offset = 0;
    bool found = false;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t n; fd >= 0 && !found && (n = pread(fd, text + len, sizeof text - 1 - len, offset)) > 0;) {
        char *line = text, *end;
        offset += n;
        text[len + (size_t)n] = '\0';
        for (; !found && (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            found = is_line_of(line, (uintptr_t)at, size);
        }
        len = strlen(line);
        memmove(text, line, len);
    }
    if (fd >= 0)
        close(fd);
    return found;
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
    const struct usdt_layout layout = { .platform = image->platform, .defs = image->defs, .count = image->slots,
                                        .code = image->code, .semaphores = image->semaphores != 0 };
    size_t front = image->stubs - image->base;
    usdt_layout_write(&layout, (char *)copy + front, image->mapped - front);
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
