/*
 * usdt_code_anonymous.c - the executable memory of an image where the kernel itself is the tracer: macOS,
 * FreeBSD, illumos. It is told of each probe by a document (usdt_helper.c), and needs no file.
 *
 * A range is filled with stubs when it is reserved, and never changes: the stubs of a platform are
 * alike and position independent, and inert unless the kernel puts a breakpoint into one.
 */
#if !defined(__linux__)
#include "usdt_internal.h"

#include <sys/mman.h>
#if defined(__APPLE__) && defined(__aarch64__)
#include <libkern/OSCacheControl.h>
#include <pthread.h>
#include <signal.h>
#endif

bool usdt_code_has_direct_call(const struct usdt_platform *platform)
{
    (void)platform;
    return false;
}

/* Code of the program's own stays, too, and a breakpoint may be taken out of it late. */
bool usdt_code_is_fixed(void)
{
    return true;
}

/* The kernel writes its breakpoints into any memory. */
bool usdt_code_is_in_file(const void *at, size_t size)
{
    (void)at, (void)size;
    return true;
}

static void write_code(const struct usdt_layout *layout, char *range, size_t size)
{
    size_t front = usdt_layout_stubs(layout);
    usdt_layout_write(layout, range + front, size - front);
}

#if defined(__APPLE__) && defined(__aarch64__)

/* Apple's processors have memory that is writable or executable for one thread at a time. While this thread
   may write it cannot execute, and so not fire: no signal handler may run. */
void *usdt_code_reserve(const struct usdt_layout *layout, size_t size)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANON | MAP_JIT, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_jit_write_protect_np(0);
    write_code(layout, at, size);
    pthread_jit_write_protect_np(1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sys_icache_invalidate(at, size);
    return at;
}

#else

void *usdt_code_reserve(const struct usdt_layout *layout, size_t size)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    write_code(layout, at, size);
    if (mprotect(at, size, PROT_READ | PROT_EXEC) == 0)
        return at;
    munmap(at, size);
    return NULL;
}

#endif

bool usdt_code_publish(struct usdt_image *image, const struct usdt_layout *layout, const struct usdt_image *others,
                       char why[USDT_WHY_MAX])
{
    (void)image, (void)layout, (void)others, (void)why;
    return true;
}

/* A tracer may stay at a site for a while after the kernel was told. */
bool usdt_code_withdraw(struct usdt_image *image)
{
    (void)image;
    return false;
}

#else
typedef int usdt_code_is_not_for_linux;
#endif
