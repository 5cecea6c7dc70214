/*
 * demo.c - `usdt demo`: a program with two probes made at run time, and the other commands on it.
 */
#include "tool.h"
#include "usdt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: usdt demo\n"
    "\n"
    "Starts a program that makes two probes at run time and serves imaginary requests; lists the probes, shows their\n"
    "hits for three seconds by the kernel's own tracer (as root) or as the program itself hears them, and says what to\n"
    "type for other tracers.\n";

/* A listener that prints a hit as usdt trace does. */
static void show(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    const usdt_provider_t *provider = context;
    struct timespec now;
    char time[16];
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(time, sizeof time, "%H:%M:%S", localtime(&now.tv_sec));
    printf("%s.%06ld %ld %s:%s", time, now.tv_nsec / 1000, (long)getpid(), provider->name, def->name);
    for (size_t i = 0; i < argc; i++)
        if (strcmp(def->types[i], "int") == 0)
            printf(" %d", (int)(intptr_t)argv[i]);
        else
            printf(" \"%s\"", (const char *)argv[i]);
    puts("");
    fflush(stdout);
}

static volatile sig_atomic_t is_asked;

static void on_signal(int number)
{
    (void)number;
    is_asked = 1;
}

/* The program. Writes a byte to `ready` when it has its probes. At SIGUSR1 it shows the hits of three seconds by
   itself, and writes another. */
static int serve(int ready, int requests)
{
    static const char *const paths[] = { "/", "/cart", "/cart/42", "/checkout", "/missing" };
    const char *start_types[] = { "int", "char *" };
    const char *done_types[] = { "int", "int" };
    usdt_provider_t *shop = usdt_create_provider("shop", "demo");
    usdt_probedef_t *start = usdt_create_probe("serve", "start", 2, start_types);
    usdt_probedef_t *done = usdt_create_probe("serve", "done", 2, done_types);
    if (shop == NULL || start == NULL || done == NULL || usdt_provider_add_probe(shop, start) != 0 ||
        usdt_provider_add_probe(shop, done) != 0 || usdt_provider_enable(shop) != 0) {
        tool_complain("demo: %s", usdt_errstr(shop));
        return TOOL_FAILED;
    }
    signal(SIGUSR1, on_signal);
    if (write(ready, "", 1) != 1)
        return TOOL_FAILED;
    int traced = 0, heard = 0; /* requests */
    for (int id = 1; id <= requests; id++) {
        if (heard == 0)
            traced += usdt_is_enabled(start->probe);
        if (is_asked) {
            is_asked = 0;
            heard = 15;
            usdt_probe_listen(start, show, shop);
            usdt_probe_listen(done, show, shop);
        }
        USDT_PROBE(start->probe, id, paths[id % 5]);
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
        USDT_PROBE(done->probe, id, id % 5 == 4 ? 404 : 200);
        if (heard == 0 || --heard > 0)
            continue;
        usdt_probe_unlisten(start, show, shop);
        usdt_probe_unlisten(done, show, shop);
        if (write(ready, "", 1) != 1)
            return TOOL_FAILED;
    }
    printf("\nThe program says: %d of %d requests were traced\n", traced, requests);
    usdt_provider_free(shop);
    usdt_probe_release(start);
    usdt_probe_release(done);
    return TOOL_DONE;
}

/* One of the other commands, as the user would type it. */
static int run(int (*command)(int, char **), const char *text, const char *const *arguments)
{
    char *argv[8] = { (char *)"usdt" };
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    printf("$ usdt %s", text);
    for (int i = 1; i < argc; i++)
        printf(strchr(argv[i], '*') == NULL ? " %s" : " '%s'", argv[i]);
    puts("");
    fflush(stdout);
    optind = 0; /* each reads its own options */
    int code = command(argc, argv);
    puts("");
    fflush(stdout);
    return code;
}

int demo_main(int argc, char **argv)
{
    if (argc > 1) {
        bool help = strcmp(argv[1], "--help") == 0;
        fputs(usage, help ? stdout : stderr);
        return help ? TOOL_DONE : TOOL_USAGE;
    }
    bool can_trace = geteuid() == 0;
    int ready[2];
    char byte;
    if (pipe(ready) != 0) {
        tool_complain("demo: %s", strerror(errno));
        return TOOL_FAILED;
    }
    fflush(stdout);
    pid_t program = fork();
    if (program == 0) {
        int code = serve(ready[1], can_trace ? 25 : 150);
        fflush(stdout);
        _exit(code);
    }
    close(ready[1]);
    if (program < 0 || read(ready[0], &byte, 1) != 1)
        return TOOL_FAILED; /* it has said why */
    char *pid = tool_format("%d", (int)program);
    printf("A program (process %s) has made two probes at run time, and fires them five times a second.\n\n", pid);
    run(list_main, "list", (const char *[]){ "-p", pid, NULL });
    bool is_traced = can_trace &&
                     run(trace_main, "trace", (const char *[]){ "-p", pid, "--for", "3", "shop:*", NULL }) == TOOL_DONE;
    if (!is_traced) {
        printf("%s, but the program itself can listen to its probes (usdt_probe_listen()), and hears:\n",
               can_trace ? "There is no tracer here" : "Only root can trace");
        fflush(stdout);
        kill(program, SIGUSR1);
        if (read(ready[0], &byte, 1) != 1)
            tool_complain("demo: the program has ended");
        puts("");
    }
    if (!can_trace)
        puts("As root, while it runs (half a minute), usdt trace and each of these show them.\n");
    run(how_main, "how", (const char *[]){ "-p", pid, "shop:start", NULL });
    int status;
    close(ready[0]);
    free(pid);
    return waitpid(program, &status, 0) == program && status == 0 ? TOOL_DONE : TOOL_FAILED;
}
