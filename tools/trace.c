/*
 * trace.c - `usdt trace`: prints the hits of a process's probes, by the kernel's own tracer: uprobe events, in an
 * instance of tracefs that is removed again.
 *
 * What is left by a trace that was killed (SIGKILL), the next one removes: instances and events are named by the
 * process that made them.
 */
#include "tool.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: usdt trace -p PID [--count N] [--for SECONDS] GLOB\n"
    "\n"
    "Prints each hit of the probes that GLOB takes (PROVIDER:PROBE, or PROVIDER; with *, ? and []): time of day, thread,\n"
    "probe, arguments. By the kernel's own tracer: needs root, and no other program. Ends with the process, by Ctrl-C, or\n"
    "\n"
    "  --count N        after N hits\n"
    "  --for SECONDS    after so many seconds (fractions allowed)\n"
    "\n"
    "Exit code: 0, something was hit; 1, nothing was, or it cannot be traced.\n";

enum { MOST_EVENTS = 1000, BUFFER_KIB = 4096 /* of each processor */ };

static char tracefs[64];
static char instance[96]; /* ours, or "" */
static bool has_events;

/* ---- tracefs ---- */

/* Writes to a file of tracefs, its path made of the two; 0, or an errno. Lists, of events and of threads, grow by it. */
__attribute__((format(printf, 3, 4))) static int put(const char *dir, const char *name, const char *format, ...)
{
    char *path = tool_format("%s/%s", dir, name), *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* O_TRUNC would empty them */
    int error = fd < 0 || len < 0 || write(fd, text, (size_t)len) != len ? errno : 0;
    if (fd >= 0)
        close(fd);
    free(path);
    free(text);
    return error;
}

static bool find_tracefs(void)
{
    static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/uprobe_events", places[i]);
        if (access(path, W_OK) == 0) {
            strcpy(tracefs, places[i]);
            return true;
        }
        if (errno == EACCES || errno == EPERM || (errno == ENOENT && geteuid() != 0)) {
            tool_complain("trace: cannot open tracefs: run as root");
            return false;
        }
    }
    tool_complain("trace: cannot open tracefs: mount -t tracefs tracefs /sys/kernel/tracing (or the kernel has no uprobes)");
    return false;
}

/* The process whose instance or group of events has this name, or 0. */
static pid_t owner_of(const char *name)
{
    return strncmp(name, "usdt_", 5) == 0 && isdigit((unsigned char)name[5]) ? (pid_t)atoi(name + 5) : 0;
}

/* Removes the instance and the events of a process's trace. */
static void remove_of(pid_t owner)
{
    char path[128], group[32], line[4096];
    snprintf(group, sizeof group, "usdt_%d", (int)owner);
    snprintf(path, sizeof path, "%s/instances/%s", tracefs, group);
    if (access(path, F_OK) == 0) {
        char *events = tool_format("events/%s/enable", group);
        put(path, events, "0\n");
        free(events);
        rmdir(path);
    }
    /* The list may not be read while it is changed. */
    char **names = NULL;
    size_t count = 0;
    snprintf(path, sizeof path, "%s/uprobe_events", tracefs);
    FILE *list = fopen(path, "re");
    while (list != NULL && fgets(line, sizeof line, list) != NULL) {
        char name[64];
        if (sscanf(line, "p:%63[^ ]", name) != 1 || strncmp(name, group, strlen(group)) != 0 || name[strlen(group)] != '/')
            continue;
        names = tool_realloc(names, (count + 1) * sizeof *names);
        names[count++] = tool_strdup(name);
    }
    if (list != NULL)
        fclose(list);
    for (size_t i = 0; i < count; i++) {
        put(tracefs, "uprobe_events", "-:%s\n", names[i]);
        free(names[i]);
    }
    free(names);
}

static void clean_up(void)
{
    if (instance[0] != '\0' || has_events)
        remove_of(getpid());
    instance[0] = '\0';
    has_events = false;
}

static bool is_dead(pid_t pid)
{
    return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

/* What traces that were killed have left. */
static void sweep(void)
{
    char path[128], line[4096];
    pid_t dead[64];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/instances", tracefs);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (count < 64 && is_dead(owner_of(entry->d_name)))
            dead[count++] = owner_of(entry->d_name);
    if (dir != NULL)
        closedir(dir);
    snprintf(path, sizeof path, "%s/uprobe_events", tracefs);
    FILE *list = fopen(path, "re");
    while (list != NULL && count < 64 && fgets(line, sizeof line, list) != NULL)
        if (strncmp(line, "p:", 2) == 0 && is_dead(owner_of(line + 2)) && (count == 0 || dead[count - 1] != owner_of(line + 2)))
            dead[count++] = owner_of(line + 2);
    if (list != NULL)
        fclose(list);
    for (size_t i = 0; i < count; i++)
        remove_of(dead[i]);
}

/* ---- events ---- */

/* One event for each place; rows of the same place (it is mapped twice) share one. */
static bool add_events(const struct process_probes *probes, struct value_plan **plans)
{
    if (probes->count > MOST_EVENTS) {
        tool_complain("trace: %zu probes are too many, at most %d: a narrower GLOB", probes->count, MOST_EVENTS);
        return false;
    }
    for (size_t i = 0; i < probes->count; i++) {
        const struct process_probe *row = &probes->list[i];
        if (i > 0 && row->probe == row[-1].probe)
            continue;
        char semaphore[32] = "";
        const char *arguments;
        plans[i] = value_plan(row, &arguments);
        if (row->probe->semaphore != 0)
            snprintf(semaphore, sizeof semaphore, "(0x%" PRIx64 ")", row->probe->semaphore);
        int error = put(tracefs, "uprobe_events", "p:usdt_%d/e%zu %s:0x%" PRIx64 "%s%s\n", (int)getpid(), i,
                        fetch_takes_path(row->open_path) ? row->open_path : row->mapped_path,
                        row->probe->site, semaphore, arguments);
        if (error != 0) {
            tool_complain("trace: the kernel refuses %s:%s of %s: %s (%s/error_log says more)", row->probe->provider,
                          row->probe->name, row->path, strerror(error), tracefs);
            return false;
        }
        has_events = true;
    }
    return true;
}

/* Only this process: its threads, and those they will start. */
static void choose_process(pid_t pid)
{
    char path[64];
    put(instance, "options/event-fork", "1\n");
    put(instance, "options/record-tgid", "1\n");
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]))
            put(instance, "set_event_pid", "%s\n", entry->d_name);
    if (tasks != NULL)
        closedir(tasks);
}

static int start(pid_t pid)
{
    char path[128];
    snprintf(instance, sizeof instance, "%s/instances/usdt_%d", tracefs, (int)getpid());
    if (mkdir(instance, 0700) != 0) {
        tool_complain("trace: %s: %s", instance, strerror(errno));
        instance[0] = '\0';
        return -1;
    }
    put(instance, "trace_clock", "mono\n");
    put(instance, "buffer_size_kb", "%d\n", BUFFER_KIB);
    choose_process(pid);
    snprintf(path, sizeof path, "%s/trace_pipe", instance);
    int pipe = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *events = tool_format("events/usdt_%d/enable", (int)getpid());
    int error = pipe < 0 ? errno : put(instance, events, "1\n");
    free(events);
    if (error != 0) {
        tool_complain("trace: the events cannot be enabled: %s", strerror(error));
        return -1;
    }
    return pipe;
}

/* ---- hits ---- */

static struct hits {
    pid_t pid;
    const struct process_probes *probes;
    struct value_plan **plans; /* of those that have an event of their own */
    uint64_t count, most, lost;
    char *pending; /* a line that is to be printed; a string in it may go on in the next */
    size_t len;
} hits;

/* "comm-TID (TGID) [000] ... 123.456789: e0: (0x...) a0=1": where the seconds begin, or NULL; the event's row. */
static const char *read_hit(const char *line, long *tid, long *tgid, size_t *row, const char **arguments)
{
    for (const char *at = strstr(line, ": e"); at != NULL; at = strstr(at + 1, ": e")) {
        const char *seconds = at, *bracket;
        char *end;
        *row = strtoul(at + 3, &end, 10);
        if (strncmp(end, ": (", 3) != 0 || *row >= hits.probes->count ||
            hits.plans[*row] == NULL)
            continue;
        while (seconds > line && (isdigit((unsigned char)seconds[-1]) || seconds[-1] == '.'))
            seconds--;
        for (bracket = seconds; bracket > line && *bracket != '['; bracket--)
            ;
        const char *task = bracket;
        while (task > line && (strchr(" ()", task[-1]) != NULL || isdigit((unsigned char)task[-1])))
            task--;
        if (task == line || task[-1] != '-' || sscanf(task, "%ld ( %ld", tid, tgid) != 2)
            continue;
        *arguments = strchr(end, ')');
        return *arguments == NULL ? NULL : seconds;
    }
    return NULL;
}

/* The monotonic clock's seconds as a time of day. */
static void print_time(const char *seconds)
{
    struct timespec real, mono;
    char *end;
    long long whole = strtoll(seconds, &end, 10);
    long micros = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_MONOTONIC, &mono);
    long long at = (real.tv_sec - mono.tv_sec) * 1000000LL + (real.tv_nsec - mono.tv_nsec) / 1000 + whole * 1000000 + micros;
    time_t second = (time_t)(at / 1000000);
    struct tm day;
    localtime_r(&second, &day);
    printf("%02d:%02d:%02d.%06d", day.tm_hour, day.tm_min, day.tm_sec, (int)(at % 1000000));
}

static void flush_pending(void)
{
    long tid, tgid;
    size_t row;
    const char *arguments, *seconds = hits.len == 0 ? NULL : read_hit(hits.pending, &tid, &tgid, &row, &arguments);
    hits.len = 0;
    if (seconds == NULL || tgid != hits.pid || hits.count >= hits.most)
        return;
    const struct elf_probe *probe = hits.probes->list[row].probe;
    hits.count++;
    print_time(seconds);
    char *name = tool_printable(tool_format("%s:%s", probe->provider, probe->name));
    printf(" %ld %s", tid, name);
    free(name);
    value_print(hits.plans[row], hits.pid, arguments + 1, stdout);
    putchar('\n');
}

static void take_line(const char *line)
{
    long tid, tgid;
    size_t row;
    unsigned long lost;
    const char *arguments, *at;
    if ((at = strstr(line, "[LOST ")) != NULL && sscanf(at, "[LOST %lu EVENTS]", &lost) == 1) {
        hits.lost += lost;
        return;
    }
    bool goes_on = hits.len > 0 && read_hit(line, &tid, &tgid, &row, &arguments) == NULL;
    if (!goes_on)
        flush_pending();
    size_t len = strlen(line);
    hits.pending = tool_realloc(hits.pending, hits.len + len + 2);
    if (goes_on)
        hits.pending[hits.len++] = '\n';
    memcpy(hits.pending + hits.len, line, len + 1);
    hits.len += len;
}

/* All that the pipe holds now. */
static void drain(int pipe)
{
    static char bytes[1 << 16];
    static size_t held; /* of a line that is not whole */
    for (ssize_t n; hits.count < hits.most && (n = read(pipe, bytes + held, sizeof bytes - 1 - held)) > 0;) {
        char *line = bytes, *end;
        bytes[held + (size_t)n] = '\0';
        for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            take_line(line);
        }
        held = strlen(line);
        memmove(bytes, line, held);
        if (held == sizeof bytes - 1)
            held = 0; /* no line is as long */
    }
    flush_pending();
    fflush(stdout);
}

static volatile sig_atomic_t asked_to_end;

static void on_signal(int signal)
{
    asked_to_end = signal;
}

static void watch_signals(sigset_t *before)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT };
    struct sigaction action = { .sa_handler = on_signal };
    sigset_t these;
    sigemptyset(&these);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
        sigaddset(&these, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &these, before); /* they come in ppoll() only */
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Until something says that it is enough. */
static void follow(int pipe, double seconds, const sigset_t *signals)
{
    int process = (int)syscall(SYS_pidfd_open, (long)hits.pid, 0L);
    double end = seconds_now() + seconds;
    bool ended = false;
    while (!asked_to_end && !ended && hits.count < hits.most && !ferror(stdout)) {
        double left = seconds == 0 ? 1 : end - seconds_now();
        if (left <= 0)
            break;
        left = left > 0.25 ? 0.25 : left; /* what is in the pipe may wait for more of it */
        struct timespec wait = { .tv_nsec = (long)(left * 1e9) };
        struct pollfd from[2] = { { .fd = pipe, .events = POLLIN }, { .fd = process, .events = POLLIN } };
        ppoll(from, process < 0 ? 1 : 2, &wait, signals);
        ended = process < 0 ? is_dead(hits.pid) : (from[1].revents & POLLIN) != 0;
        drain(pipe);
    }
    if (process >= 0)
        close(process);
}

static void free_plans(void)
{
    for (size_t i = 0; i < hits.probes->count; i++)
        if (hits.plans[i] != NULL)
            value_free(hits.plans[i]);
    free(hits.plans);
}

static int trace(pid_t pid, const struct process_probes *probes, uint64_t count, double seconds)
{
    sigset_t signals;
    if (!find_tracefs())
        return TOOL_FAILED;
    sweep();
    watch_signals(&signals);
    atexit(clean_up);
    hits = (struct hits){ .pid = pid, .probes = probes, .plans = tool_calloc(probes->count, sizeof(struct value_plan *)),
                          .most = count == 0 ? UINT64_MAX : count };
    int pipe = add_events(probes, hits.plans) ? start(pid) : -1;
    if (pipe < 0) {
        clean_up();
        free_plans();
        return TOOL_FAILED;
    }
    tool_complain("trace: %zu probe%s of process %d; Ctrl-C ends it", probes->count, probes->count > 1 ? "s" : "", (int)pid);
    follow(pipe, seconds, &signals);
    close(pipe);
    clean_up();
    sigprocmask(SIG_SETMASK, &signals, NULL);
    free(hits.pending);
    free_plans();
    if (hits.lost > 0)
        tool_complain("trace: %" PRIu64 " hits were lost: they came faster than they could be printed", hits.lost);
    return hits.count > 0 ? TOOL_DONE : TOOL_FAILED;
}

int trace_main(int argc, char **argv)
{
    static const struct option options[] = { { "count", required_argument, NULL, 'c' }, { "for", required_argument, NULL, 'f' },
                                             { "help", no_argument, NULL, 'h' }, { 0 } };
    pid_t pid = 0;
    unsigned long long count = 0;
    double seconds = 0;
    char *end;
    for (int option; (option = getopt_long(argc, argv, "p:", options, NULL)) != -1;)
        switch (option) {
        case 'p':
            if ((pid = tool_pid(optarg)) == 0)
                return TOOL_USAGE;
            break;
        case 'c':
            count = strtoull(optarg, &end, 10);
            if (end == optarg || *end != '\0' || count == 0 || optarg[0] == '-') {
                tool_complain("trace: --count %s: a number above 0", optarg);
                return TOOL_USAGE;
            }
            break;
        case 'f':
            seconds = strtod(optarg, &end);
            if (end == optarg || *end != '\0' || !(seconds > 0 && seconds < 1e9)) {
                tool_complain("trace: --for %s: seconds, above 0", optarg);
                return TOOL_USAGE;
            }
            break;
        case 'h': fputs(usage, stdout); return TOOL_DONE;
        default: return TOOL_USAGE; /* getopt has said why */
        }
    if (pid == 0 || argc - optind != 1) {
        tool_complain(pid == 0 ? "trace: of which process? -p PID" : "trace: of which probes? one GLOB, quoted");
        return TOOL_USAGE;
    }
    struct process_probes probes;
    if (!process_read(pid, argv[optind], &probes))
        return TOOL_FAILED;
    int code = TOOL_FAILED;
    if (probes.count == 0)
        tool_complain("trace: process %d has no probe like \"%s\"; usdt list -p %d shows all", (int)pid, argv[optind], (int)pid);
    else
        code = trace(pid, &probes, count, seconds);
    process_free(&probes);
    return code;
}
