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
    "Starts a program that makes two probes at run time and serves imaginary requests; lists the probes, shows their hits\n"
    "by the kernel's own tracer for three seconds (as root), and says what to type for other tracers.\n";

/* The program. Writes a byte to `ready` when it has its probes. */
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
    if (write(ready, "", 1) != 1)
        return TOOL_FAILED;
    int traced = 0;
    for (int id = 1; id <= requests; id++) {
        traced += usdt_is_enabled(start->probe);
        USDT_PROBE(start->probe, id, paths[id % 5]);
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
        USDT_PROBE(done->probe, id, id % 5 == 4 ? 404 : 200);
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
    close(ready[0]);
    char *pid = tool_format("%d", (int)program);
    printf("A program (process %s) has made two probes at run time, and fires them five times a second.\n\n", pid);
    run(list_main, "list", (const char *[]){ "-p", pid, NULL });
    if (can_trace)
        run(trace_main, "trace", (const char *[]){ "-p", pid, "--for", "3", "shop:*", NULL });
    else
        puts("Only root can trace: as root, while it runs (half a minute), usdt trace and each of these show them.\n");
    run(how_main, "how", (const char *[]){ "-p", pid, "shop:start", NULL });
    int status;
    free(pid);
    return waitpid(program, &status, 0) == program && status == 0 ? TOOL_DONE : TOOL_FAILED;
}
