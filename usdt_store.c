/*
 * usdt_store.c - where the bytes of an image live on Linux: a file that every user of the same
 * image shares, or a memfd.
 *
 * Owns the directories, the files and the rule by which they go. Knows nothing of what is in them.
 *
 * A real file, because bpftrace and perf do not see memfds, and because uprobes belong to an inode:
 * processes with the same definition share one file, and one attach covers them all. The file is
 * named by its content and compared byte for byte before use. It appears under its name only when
 * it is complete (written under another, then linked).
 *
 * Its users hold a shared flock. The lock belongs to the open file, and a mapping keeps that open:
 * so the descriptor is closed once the file is mapped, the lock goes with the last mapping, in
 * whatever way the process ends, and a forked child holds it too. (On overlayfs a mapping is of the
 * file below: there the descriptor stays open.) Who gets the exclusive lock knows that nobody uses
 * the file, and may remove it.
 */
#if defined(__linux__)
#define _FILE_OFFSET_BITS 64 /* inode numbers may have 64 bits in a 32-bit program too */
#include "usdt_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u /* Linux 6.3: executable also where vm.memfd_noexec is 1 */
#endif

#ifndef OVERLAYFS_SUPER_MAGIC
#define OVERLAYFS_SUPER_MAGIC 0x794c7630 /* linux/magic.h */
#endif

static const char suffix[] = ".so";

/* Whether the name still is that of the open file. Who waits for a lock may get it when the file is
   gone, and its name another's. */
static bool has_name(int fd, int dir, const char *name)
{
    struct stat st, named;
    return fstat(fd, &st) == 0 && fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

/* Removes a file unless somebody uses it. */
static void remove_unused(int fd, int dir, const char *name)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && has_name(fd, dir, name))
        unlinkat(dir, name, 0);
}

/* Adds a reason to why[], behind those that are there; what no longer fits is cut. */
static void add_reason(char why[USDT_WHY_MAX], const char *where, const char *what)
{
    const char *const parts[] = { why[0] != '\0' ? "; " : "", where, ": ", what };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        strncat(why, parts[i], USDT_WHY_MAX - 1 - strlen(why));
}

/* write() to the end; a limit on file sizes is an error, not a signal. */
static bool write_all(int fd, const unsigned char *bytes, size_t len)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && len > limit.rlim_cur) {
        errno = EFBIG;
        return false;
    }
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Moves a descriptor out of the way of 0, 1 and 2: where the program has closed those, its own output
   would go to the image, and its input come from there. */
static int above_stdio(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3), error = errno;
    close(fd);
    errno = error;
    return moved;
}

/* Opens, making it if need be, a directory that only we can write; -1 and a reason otherwise, no reason
   where there is no parent for it. */
static int open_private_dir(const char *parent, const char *name, const char *path,
                            char why[USDT_WHY_MAX])
{
    struct stat st;
    int up = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (up < 0) {
        if (errno != ENOENT)
            add_reason(why, parent, strerror(errno));
        return -1;
    }
    int dir = -1;
    if (fstat(up, &st) != 0 || (st.st_uid != geteuid() && st.st_uid != 0) ||
        ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0)) {
        add_reason(why, parent, "another user may change it");
    } else if (mkdirat(up, name, 0700) != 0 && errno != EEXIST) {
        add_reason(why, path, strerror(errno));
    } else if ((dir = openat(up, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) {
        add_reason(why, path, errno == ELOOP || errno == ENOTDIR ? "is not a directory" : strerror(errno));
    } else if (fstat(dir, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        add_reason(why, path, "must belong to this user alone (mode 0700)");
        close(dir);
        dir = -1;
    }
    close(up);
    return dir;
}

/* Removes what nobody uses: files of processes that ended without a word, and half-written ones. */
static void sweep(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (list == NULL) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (len < sizeof suffix || strcmp(entry->d_name + len - strlen(suffix), suffix) != 0)
            continue;
        int fd = openat(dir, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
            if (entry->d_name[0] == '.' && st.st_nlink > 1)
                unlinkat(dir, entry->d_name, 0); /* it has its own name by now */
            else
                remove_unused(fd, dir, entry->d_name);
        }
        close(fd);
    }
    closedir(list);
}

/* Makes a file with these bytes appear as `name`; returns a descriptor that holds it, or -1 and
   errno. That another process was faster is no error. */
static int create_file(int dir, const char *name, const unsigned char *bytes, size_t len)
{
    struct timespec now = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    char temporary[48];
    snprintf(temporary, sizeof temporary, ".%lx.%lx%s", (unsigned long)getpid(),
             (unsigned long)now.tv_sec * 1000000000u + (unsigned long)now.tv_nsec, suffix);

    int fd = openat(dir, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    fd = above_stdio(fd);
    bool done = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0 && write_all(fd, bytes, len) &&
                fchmod(fd, 0400) == 0 &&
                (linkat(dir, temporary, dir, name, 0) == 0 || errno == EEXIST);
    int error = errno;
    unlinkat(dir, temporary, 0);
    if (!done) {
        if (fd >= 0)
            close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Whether the file holds these bytes. Read, not mapped: in a mapping the breakpoints of whoever traces
   the file already would be seen. */
static bool has_content(int fd, const unsigned char *bytes, size_t len)
{
    unsigned char part[16384];
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, part, sizeof part, (off_t)at);
        if (n <= 0 || (size_t)n > len - at || memcmp(part, bytes + at, (size_t)n) != 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Asked of the last page, where no stub is: in one that is traced the kernel would count its semaphore already. */
static bool may_execute(int fd, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *map = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)((len - 1) / page * page));
    if (map == MAP_FAILED)
        return false;
    munmap(map, page);
    return true;
}

/* NULL if a file may be used as the image: ours alone, regular, of these bytes, executable. */
static const char *refuse_file(int fd, const unsigned char *bytes, size_t len)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "is not a regular file";
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return "belongs to, or may be written by, another user";
    if ((uint64_t)st.st_size != len || !has_content(fd, bytes, len))
        return "has other content";
    if (!may_execute(fd, len))
        return errno == EPERM ? "is on a file system mounted noexec" : strerror(errno);
    return NULL;
}

/* Opens the file, making it if need be, and locks it; -1 and a reason if it cannot be had. */
static int open_file(int dir, const char *name, const char *path, const unsigned char *bytes, size_t len,
                     char why[USDT_WHY_MAX])
{
    const char *reason = "is held by another process";
    int maker = -1, fd = -1;
    /* Somebody may be removing the file at any moment; who keeps on removing it wins. */
    for (int i = 0; i < 100; i++) {
        fd = above_stdio(openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (fd < 0 && errno == ENOENT) {
            if (maker >= 0)
                close(maker);
            maker = create_file(dir, name, bytes, len);
            /* Either: a sweep took the new file before it was locked. */
            if (maker < 0 && errno != ENOENT && errno != EWOULDBLOCK) {
                reason = strerror(errno);
                break;
            }
            continue;
        }
        if (fd < 0) {
            reason = errno == ELOOP ? "is a symbolic link" : strerror(errno);
            break;
        }
        if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
            if (has_name(fd, dir, name)) {
                reason = refuse_file(fd, bytes, len);
                break;
            }
        } else if (errno != EWOULDBLOCK) {
            reason = strerror(errno);
            break;
        } else {
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        }
        close(fd);
        fd = -1;
    }
    if (reason != NULL) {
        add_reason(why, path, reason);
        if (maker >= 0)
            close(maker);
        if (fd >= 0) {
            if (maker >= 0)
                remove_unused(fd, dir, name); /* it was made for nothing */
            close(fd);
        }
        return -1;
    }
    if (maker >= 0)
        close(maker);
    return fd;
}

static bool store_in(struct usdt_stored *stored, const char *parent, const char *dir_name,
                     const char *name, const unsigned char *bytes, size_t len, char why[USDT_WHY_MAX])
{
    static bool swept; /* under the library's lock */
    char dir_path[512], path[768];
    int n = snprintf(dir_path, sizeof dir_path, "%s/%s", parent, dir_name);
    if (n < 0 || (size_t)n >= sizeof dir_path) {
        add_reason(why, parent, strerror(ENAMETOOLONG));
        return false;
    }
    snprintf(path, sizeof path, "%s/%s", dir_path, name);

    int dir = open_private_dir(parent, dir_name, dir_path, why);
    if (dir < 0)
        return false;
    stored->fd = open_file(dir, name, path, bytes, len, why);
    /* Afterwards: a tracer may wait for this program at a file that an earlier one left. */
    if (!swept)
        sweep(dir);
    swept = true;
    close(dir);
    if (stored->fd < 0)
        return false;
    stored->path = strdup(path);
    if (stored->path == NULL) {
        close(stored->fd);
        add_reason(why, path, strerror(ENOMEM));
        return false;
    }
    return true;
}

static bool store_in_memfd(struct usdt_stored *stored, const unsigned char *bytes, size_t len,
                           char why[USDT_WHY_MAX])
{
    int fd = usdt_memfd("usdt", bytes, len);
    if (fd < 0) {
        add_reason(why, "memfd", strerror(errno));
        return false;
    }
    if (!may_execute(fd, len)) {
        add_reason(why, "memfd", strerror(errno));
        close(fd);
        return false;
    }
    stored->fd = fd;
    return true;
}

int usdt_memfd(const char *name, const unsigned char *bytes, size_t len)
{
    /* By number: glibc has the function since 2.27 only. */
    int fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fd = above_stdio(fd);
    if (fd < 0)
        return -1;
    if (!write_all(fd, bytes, len)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return fd;
}

/* Whether the kernel keeps other processes of this user from changing this one (ptrace(2)): it runs with
   more rights than they do, or holds a secret. A file of that user's is no place for its code. */
static bool is_guarded(unsigned long uid)
{
    return uid != 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1;
}

bool usdt_store_put(struct usdt_stored *stored, const char *name, const unsigned char *bytes,
                    size_t len, char why[USDT_WHY_MAX])
{
    unsigned long uid = (unsigned long)geteuid();
    char file[128], user_dir[64], tmp_name[64];
    snprintf(file, sizeof file, "%s%s", name, suffix);
    snprintf(user_dir, sizeof user_dir, "/run/user/%lu", uid);
    snprintf(tmp_name, sizeof tmp_name, "usdt-%lu", uid);
    /* A program that runs with more rights than its caller does not trust the caller's environment. */
    const char *xdg = getauxval(AT_SECURE) ? NULL : getenv("XDG_RUNTIME_DIR");

    *stored = (struct usdt_stored){ .fd = -1 };
    why[0] = '\0';
    bool found = false;
    if (is_guarded(uid))
        add_reason(why, "no file", "this process is not dumpable; by a file, others of its user could change it");
    else
        found = (xdg != NULL && xdg[0] == '/' && store_in(stored, xdg, "usdt", file, bytes, len, why)) ||
                store_in(stored, user_dir, "usdt", file, bytes, len, why) ||
                (uid == 0 && store_in(stored, "/run", "usdt", file, bytes, len, why)) ||
                store_in(stored, "/tmp", tmp_name, file, bytes, len, why);
    if (found)
        why[0] = '\0'; /* a place that works: nobody needs to know of the others */
    else if (!store_in_memfd(stored, bytes, len, why))
        return false;
    else if (why[0] == '\0')
        add_reason(why, "/run, /tmp", "not there");

    struct stat st;
    if (fstat(stored->fd, &st) != 0) {
        add_reason(why, stored->path != NULL ? stored->path : "memfd", strerror(errno));
        close(stored->fd);
        free(stored->path);
        return false;
    }
    stored->dev = st.st_dev;
    stored->ino = st.st_ino;
    return true;
}

/* The program may have closed the descriptor behind our back, and the number be somebody else's. */
static bool is_ours(const struct usdt_stored *stored, int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == stored->dev && st.st_ino == stored->ino;
}

void usdt_store_mapped(struct usdt_stored *stored)
{
    if (stored->path == NULL)
        return; /* /proc/PID/fd/N is the only name a memfd has */
    struct statfs fs;
    if (fstatfs(stored->fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC)
        return; /* what is mapped is the file below, which does not have the lock */
    close(stored->fd);
    stored->fd = -1;
}

void usdt_store_drop(struct usdt_stored *stored)
{
    if (is_ours(stored, stored->fd))
        close(stored->fd);
    if (stored->path != NULL) {
        int fd = open(stored->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (is_ours(stored, fd))
            remove_unused(fd, AT_FDCWD, stored->path);
        if (fd >= 0)
            close(fd);
    }
    free(stored->path);
    *stored = (struct usdt_stored){ .fd = -1 };
}

#else
#include "usdt_internal.h"

#include <errno.h>

int usdt_memfd(const char *name, const unsigned char *bytes, size_t len)
{
    (void)name, (void)bytes, (void)len;
    errno = ENOSYS;
    return -1;
}
#endif
