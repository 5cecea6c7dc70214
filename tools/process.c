/*
 * process.c - the probes of running processes: which files a process has mapped to be executed, what probes these
 * describe, and whether the code at a probe's site is still that of the file.
 */
#include "tool.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A file that some process has mapped, read once. */
struct known {
    struct known *next;
    dev_t dev;
    ino_t ino;
    struct elf_file *elf;
};

/* A name that rows point to. */
struct text {
    struct text *next;
    char string[];
};

struct files {
    struct known *known;
    struct text *texts;
};

/* An executable mapping of a process. */
struct mapping {
    uint64_t start, end, offset;
    dev_t dev;
    ino_t ino;
    char path[4096]; /* as the process sees it; " (deleted)" behind it if it has no name any more */
};

static const char *keep(struct files *files, char *string)
{
    size_t size = strlen(string) + 1;
    struct text *text = tool_calloc(1, sizeof *text + size);
    memcpy(text->string, string, size);
    text->next = files->texts;
    files->texts = text;
    free(string);
    return text->string;
}

bool process_takes(const char *glob, const char *provider, const char *name)
{
    if (glob == NULL)
        return true;
    if (strchr(glob, ':') == NULL)
        return fnmatch(glob, provider, 0) == 0;
    char *both = tool_format("%s:%s", provider, name);
    bool takes = fnmatch(glob, both, 0) == 0;
    free(both);
    return takes;
}

/* A line of /proc/PID/maps; false: it is no file that is executed. */
static bool read_mapping(const char *line, struct mapping *mapping)
{
    char permissions[5];
    unsigned major_number, minor_number;
    uintmax_t inode;
    int path = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %ju %n", &mapping->start, &mapping->end, permissions,
               &mapping->offset, &major_number, &minor_number, &inode, &path) != 7 ||
        path == 0 || line[path] != '/' || permissions[2] != 'x')
        return false;
    mapping->dev = makedev(major_number, minor_number);
    mapping->ino = (ino_t)inode;
    size_t len = strcspn(line + path, "\n");
    if (len >= sizeof mapping->path)
        return false;
    memcpy(mapping->path, line + path, len);
    mapping->path[len] = '\0';
    return true;
}

/* How this program can open it: by its name in the process's root, if that is still the file; NULL: by the mapping. */
static char *named_path(pid_t pid, const struct mapping *mapping)
{
    char *path = tool_format("/proc/%d/root%s", (int)pid, mapping->path);
    struct stat st;
    /* On overlayfs and btrfs the device that maps shows is another than stat()'s: the inode must do. */
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == mapping->ino)
        return path;
    free(path);
    return NULL;
}

static const struct elf_file *read_known(struct files *files, const struct mapping *mapping, const char *path)
{
    for (struct known *known = files->known; known != NULL; known = known->next)
        if (known->dev == mapping->dev && known->ino == mapping->ino)
            return known->elf;
    const char *why;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    struct known *known = tool_calloc(1, sizeof *known);
    *known = (struct known){ .next = files->known, .dev = mapping->dev, .ino = mapping->ino, .elf = elf_read(fd, &why) };
    files->known = known;
    close(fd);
    return known->elf;
}

/* Whether somebody has changed the code at the site. */
static enum traced look_at_site(int memory, int file, const struct process_probe *probe)
{
    unsigned char there[2], here[2];
    if (memory < 0 || file < 0 || pread(memory, there, 2, (off_t)probe->address) != 2 ||
        pread(file, here, 2, (off_t)probe->probe->site) != 2)
        return NOT_KNOWN;
    return memcmp(there, here, 2) == 0 ? NOT_TRACED : IS_TRACED;
}

static void add_probes(struct process_probes *to, pid_t pid, const char *glob, const struct mapping *mapping, int memory)
{
    struct files *files = to->files;
    char *mapped = tool_format("/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, mapping->start, mapping->end);
    char *named = named_path(pid, mapping);
    const char *path = named != NULL ? named : mapped;
    const struct elf_file *elf = read_known(files, mapping, path);
    const char *kept_path = NULL, *kept_open = NULL, *kept_mapped = NULL;
    int file = -1;
    for (size_t i = 0; elf != NULL && i < elf->count; i++) {
        const struct elf_probe *probe = &elf->probes[i];
        if (probe->site < mapping->offset || probe->site - mapping->offset >= mapping->end - mapping->start ||
            !process_takes(glob, probe->provider, probe->name))
            continue;
        if (kept_path == NULL) {
            kept_path = keep(files, tool_strdup(mapping->path));
            kept_mapped = keep(files, tool_strdup(mapped));
            kept_open = named != NULL ? keep(files, tool_strdup(named)) : kept_mapped;
            file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        }
        if ((to->count & (to->count - 1)) == 0)
            to->list = tool_realloc(to->list, (to->count == 0 ? 1 : 2 * to->count) * sizeof *to->list);
        struct process_probe *row = &to->list[to->count++];
        *row = (struct process_probe){
            .pid = pid, .probe = probe, .file = elf, .path = kept_path, .open_path = kept_open,
            .mapped_path = kept_mapped, .address = mapping->start + (probe->site - mapping->offset),
        };
        row->traced = look_at_site(memory, file, row);
    }
    if (file >= 0)
        close(file);
    free(named);
    free(mapped);
}

/* False, and errno: it cannot be read. */
static bool add_process(struct process_probes *to, pid_t pid, const char *glob)
{
    char path[64], line[8192];
    struct mapping mapping;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL)
        return false;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    while (fgets(line, sizeof line, maps) != NULL)
        if (read_mapping(line, &mapping))
            add_probes(to, pid, glob, &mapping, memory);
    bool done = !ferror(maps);
    int error = errno;
    fclose(maps);
    if (memory >= 0)
        close(memory);
    errno = error;
    return done;
}

static int in_order(const void *a, const void *b)
{
    const struct process_probe *x = a, *y = b;
    int order = (x->pid > y->pid) - (x->pid < y->pid);
    if (order == 0)
        order = strcmp(x->probe->provider, y->probe->provider);
    if (order == 0)
        order = strcmp(x->probe->name, y->probe->name);
    if (order == 0)
        order = strcmp(x->path, y->path);
    return order != 0 ? order : (x->address > y->address) - (x->address < y->address);
}

bool process_read(pid_t pid, const char *glob, struct process_probes *to)
{
    *to = (struct process_probes){ .files = tool_calloc(1, sizeof(struct files)) };
    if (pid != 0) {
        if (!add_process(to, pid, glob)) {
            tool_complain(errno == ENOENT || errno == ESRCH ? "process %d: there is none of this number"
                          : errno != EACCES && errno != EPERM ? "process %d: it cannot be read"
                          : geteuid() == 0 ? "process %d: not even root may look into it here"
                                           : "process %d: it is another user's: run as root", (int)pid);
            process_free(to);
            return false;
        }
    } else {
        DIR *processes = opendir("/proc");
        if (processes == NULL) {
            tool_complain("/proc: %s: is it mounted?", strerror(errno));
            process_free(to);
            return false;
        }
        for (struct dirent *entry; (entry = readdir(processes)) != NULL;)
            if (isdigit((unsigned char)entry->d_name[0]) && !add_process(to, (pid_t)atoi(entry->d_name), glob))
                to->unreadable += errno == EACCES || errno == EPERM;
        closedir(processes);
    }
    if (to->count > 0)
        qsort(to->list, to->count, sizeof *to->list, in_order);
    return true;
}

void process_free(struct process_probes *probes)
{
    struct files *files = probes->files;
    if (files == NULL)
        return;
    for (struct known *known; (known = files->known) != NULL; free(known)) {
        files->known = known->next;
        elf_free(known->elf);
    }
    for (struct text *text; (text = files->texts) != NULL; free(text))
        files->texts = text->next;
    free(files);
    free(probes->list);
    *probes = (struct process_probes){ .list = NULL };
}
