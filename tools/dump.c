/*
 * dump.c - `usdt dump`: reads a file, or those that a process has mapped, and has decode.c say what they are.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: usdt dump FILE|PID\n"
    "\n"
    "Prints what a DOF document, or an ELF file with probes (SystemTap's notes), holds; then of each system and\n"
    "processor that may read it, whether it accepts it, and if not, which rule it breaks. Of a process: the same of\n"
    "each file with probes that it has mapped to be executed. A file with a number for a name is ./NUMBER.\n"
    "\n"
    "Numbers are decimal; addresses, offsets of sites and flags hexadecimal. Of names, what is no printable ASCII is\n"
    "\\xNN. \"Accepted\" is said by rules that were seen to hold on those systems, not by asking one. A rule that\n"
    "only libusdt keeps to is named, but nobody refuses a file for it.\n"
    "\n"
    "Exit code: 0, at least one system accepts it (of a process: each of its files); 1, none does, or it is no such\n"
    "file, or cannot be read; 2, wrong use.\n";

enum { MOST_BYTES = 64 << 20 };

/* A path may be one that another process chose. */
static void complain(const char *path, const char *why)
{
    char *shown = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&shown, &len);
    if (out != NULL) {
        decode_name(out, path, strlen(path));
        fclose(out);
    }
    tool_complain("dump: %s: %s", shown != NULL ? shown : "a file", why);
    free(shown);
}

/* Complains, and returns NULL. */
static void *cannot(int fd, const char *path, const char *why)
{
    complain(path, why);
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* All of a file that may be any, and may become shorter or longer meanwhile. To be freed; NULL after a complaint. */
static unsigned char *read_all(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* not to wait for who writes into a FIFO */
    if (fd < 0)
        return cannot(fd, path, errno == EACCES || errno == EPERM ? "it may not be read by this user: run as root"
                                                                  : strerror(errno));
    if (fstat(fd, &st) != 0)
        return cannot(fd, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return cannot(fd, path, S_ISDIR(st.st_mode) ? "it is a directory: name a file in it"
                                                    : "it is no regular file: copy what it gives into one");
    if (st.st_size > MOST_BYTES)
        return cannot(fd, path, "it has more than 64 MiB: no document and no image is that large");
    /* A byte more than it says, to see that it has become longer; files of /proc say 0. */
    size_t room = st.st_size > 0 ? (size_t)st.st_size + 1 : 65536;
    unsigned char *bytes = tool_calloc(1, room);
    ssize_t n;
    for (*len = 0; (n = read(fd, bytes + *len, room - *len)) != 0 && *len < room;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        *len += (size_t)n;
    }
    const char *why = n < 0 ? strerror(errno) : *len < (size_t)st.st_size ? "it has become shorter: try again"
                    : *len == room ? "it is longer than its size says: copy it into a file" : NULL;
    if (why != NULL) {
        free(bytes);
        return cannot(fd, path, why);
    }
    close(fd);
    return bytes;
}

static int dump_file(const char *path)
{
    size_t len;
    unsigned char *bytes = read_all(path, &len);
    if (bytes == NULL)
        return TOOL_FAILED;
    int code = decode(bytes, len, stdout);
    free(bytes);
    if (code != DECODE_NEITHER)
        return code;
    complain(path, "it begins neither like a DOF document (7F D O F) nor like an ELF file (7F E L F)");
    return TOOL_FAILED;
}

static int dump_process(pid_t pid)
{
    struct process_probes probes;
    int code = TOOL_DONE;
    if (!process_read(pid, NULL, &probes))
        return TOOL_FAILED;
    if (probes.count == 0) {
        tool_complain("dump: process %d has no file with probes mapped", (int)pid);
        code = TOOL_FAILED;
    }
    for (size_t i = 0; i < probes.count; i++) {
        const struct process_probe *row = &probes.list[i];
        size_t before = 0;
        while (before < i && strcmp(probes.list[before].open_path, row->open_path) != 0)
            before++;
        if (before < i)
            continue;
        printf("%sfile ", i > 0 ? "\n" : "");
        decode_name(stdout, row->path, strlen(row->path));
        printf("\n");
        int file = dump_file(row->open_path);
        code = file != TOOL_DONE ? file : code;
    }
    process_free(&probes);
    return code;
}

int dump_main(int argc, char **argv)
{
    static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option != 'h')
            return TOOL_USAGE; /* getopt has said why */
        fputs(usage, stdout);
        return TOOL_DONE;
    }
    if (argc - optind != 1) {
        tool_complain("dump: one FILE or PID, not %d: usdt dump --help says more", argc - optind);
        return TOOL_USAGE;
    }
    const char *what = argv[optind];
    if (what[0] == '\0' || what[strspn(what, "0123456789")] != '\0')
        return dump_file(what);
    pid_t pid = tool_pid(what);
    return pid == 0 ? TOOL_USAGE : dump_process(pid);
}
