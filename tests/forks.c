/*
 * forks.c - a program with a probe that makes other processes in every way there is. For tests/forks.t to
 * run and to trace.
 *
 * Knows only usdt.h.
 *
 *     forks fork COUNT     forks so often; parent and children fire
 *     forks ways           vfork, posix_spawn, system, clone without fork's handlers, fork from a thread while
 *                          another one enables; children that change, disable, free, exit
 *     forks exec PROGRAM   becomes PROGRAM while its probe is published
 *
 * Prints "ready PID", waits for a line, works, prints what it counted; waits for a line and ends.
 */
#define _GNU_SOURCE
#include "program.h"
#include "usdt.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static const char *types[] = { "int" };
static usdt_provider_t *provider;
static usdt_probedef_t *def;
static unsigned long fired;

static void fire(int value)
{
    void *values[] = { (void *)(intptr_t)value };
    MUST(def->probe != NULL);
    if (usdt_is_enabled(def->probe)) {
        usdt_fire_probe(def->probe, 1, values);
        fired++;
    }
}

static void must_end_well(pid_t child)
{
    int status = -1;
    MUST(child > 0 && waitpid(child, &status, 0) == child);
    if (status != 0)
        fprintf(stderr, "forks: a child ended with %#x\n", (unsigned)status);
    MUST(status == 0);
}

/* Children tell by their exit code whether they saw the probe traced. */
static void fork_often(long count)
{
    unsigned long in_children = 0;
    for (long i = 0; i < count; i++) {
        fire(1);
        pid_t child = fork();
        if (child == 0) {
            fired = 0;
            fire(2);
            fire(2);
            _exit((int)fired);
        }
        int status;
        MUST(waitpid(child, &status, 0) == child && WIFEXITED(status));
        in_children += (unsigned long)WEXITSTATUS(status);
    }
    printf("children %lu\n", in_children);
}

/* What a child of fork() may do: everything. */
static void child_of_fork(int what)
{
    usdt_provider_t *own;
    usdt_probedef_t *late = usdt_create_probe("func", "late", 0, NULL);
    MUST(late != NULL);
    switch (what) {
    case 0:
        MUST(usdt_provider_disable(provider) == 0);
        MUST(usdt_provider_enable(provider) == 0);
        break;
    case 1:
        MUST(usdt_provider_add_probe(provider, late) == 0 && usdt_provider_enable(provider) == 0);
        MUST(usdt_provider_remove_probe(provider, def) == 0);
        break;
    case 2:
        usdt_provider_free(provider);
        break;
    default:
        own = usdt_create_provider("child", "forks");
        MUST(own != NULL && usdt_provider_add_probe(own, late) == 0 && usdt_provider_enable(own) == 0);
    }
    usdt_probe_release(late);
    exit(0); /* with destructors: they must not take the parent's file */
}

static atomic_bool done;

static void *enabler(void *arg)
{
    usdt_provider_t *other = usdt_create_provider("other", "forks");
    usdt_probedef_t *probe = usdt_create_probe("func", "other", 1, types);
    MUST(usdt_provider_add_probe(other, probe) == 0);
    while (!done)
        MUST(usdt_provider_enable(other) == 0 && usdt_provider_disable(other) == 0);
    usdt_provider_free(other);
    usdt_probe_release(probe);
    return arg;
}

static void try_ways(void)
{
    char *const true_argv[] = { (char *)(uintptr_t)"true", NULL };
    for (int what = 0; what < 4; what++) {
        pid_t child = fork();
        if (child == 0)
            child_of_fork(what);
        must_end_well(child);
        fire(1);
    }

    pid_t child = vfork();
    if (child == 0) {
        execv("/bin/true", true_argv);
        _exit(9);
    }
    must_end_well(child);
    MUST(posix_spawn(&child, "/bin/true", NULL, NULL, true_argv, environ) == 0);
    must_end_well(child);
    MUST(system("true") == 0);
    fire(1);

    /* Without fork's handlers: may check and fire, and end in either way. */
    for (int way = 0; way < 2; way++) {
        child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
        if (child == 0) {
            fire(3);
            way == 0 ? _exit(0) : exit(0);
        }
        must_end_well(child);
        fire(1);
    }

    /* A child may enable although another thread of its parent was doing so. */
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, enabler, NULL) == 0);
    for (int i = 0; i < 200; i++) {
        child = fork();
        if (child == 0)
            child_of_fork(i % 4);
        must_end_well(child);
    }
    done = true;
    pthread_join(thread, NULL);
    fire(1);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    bool takes_more = strcmp(mode, "fork") == 0 || strcmp(mode, "exec") == 0;
    if ((!takes_more && strcmp(mode, "ways") != 0) || argc != (takes_more ? 3 : 2)) {
        fputs("usage: forks fork COUNT | ways | exec PROGRAM\n", stderr);
        return 2;
    }
    provider = usdt_create_provider("forks", "forks");
    def = usdt_create_probe("func", "f", 1, types);
    MUST(provider != NULL && def != NULL && usdt_provider_add_probe(provider, def) == 0);
    MUST(usdt_provider_enable(provider) == 0);
    printf("ready %ld\n", (long)getpid());
    wait_for_line();

    if (mode[0] == 'f')
        fork_often(strtol(argv[2], NULL, 10));
    else if (mode[0] == 'w')
        try_ways();
    else
        execl(argv[2], argv[2], (char *)NULL);
    printf("fired %lu\nend\n", fired);
    wait_for_line();
    usdt_provider_free(provider);
    usdt_probe_release(def);
    return 0;
}
