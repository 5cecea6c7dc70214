/*
 * stepper.c - stops a running program after the Nth system call of its next command, to kill it
 * there or to let others run meanwhile. Linux.
 *
 * Knows of test_usdt only that it reads commands from descriptor 0 and replies on descriptor 1;
 * neither counts as a system call of the command. Reports on standard output, a line for each event:
 *     attached            the command may be sent now
 *     stopped NR          the program has done N calls, the last of them number NR
 *     replied COUNT       the command ended before that, after COUNT calls; the stepper has let go
 *     ended               the program is gone
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* linux/ptrace.h, struct ptrace_syscall_info, as far as it is used; that header and sys/ptrace.h do
   not go together. */
#define GET_SYSCALL_INFO 0x420e
enum { ENTRY = 1, EXIT = 2 };
struct call {
    unsigned char op, pad[3];
    unsigned arch;
    unsigned long long ip, sp;
    unsigned long long nr, args[6]; /* at an entry */
};
_Static_assert(sizeof(struct call) == 80, "as the kernel has it");

static void fail(const char *what)
{
    printf("failed %s: %s\n", what, strerror(errno));
    exit(1);
}

static long trace(int request, pid_t pid, size_t addr, void *data)
{
    return ptrace((enum __ptrace_request)request, pid, (void *)addr, data);
}

/* Waits until the program stops; ends the stepper if the program has ended. */
static int wait_stop(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, __WALL) < 0)
        fail("waitpid");
    if (!WIFSTOPPED(status)) {
        puts("ended");
        exit(0);
    }
    return status;
}

/* Lets the program run to the end of a system call; what it was. */
static struct call next_call(pid_t pid)
{
    struct call call = { 0 }, at;
    for (int signal = 0;;) {
        if (trace(PTRACE_SYSCALL, pid, 0, (void *)(size_t)signal) != 0)
            fail("PTRACE_SYSCALL");
        int status = wait_stop(pid);
        signal = 0;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            if (status >> 16 == 0)
                signal = WSTOPSIG(status);
            continue;
        }
        if (trace(GET_SYSCALL_INFO, pid, sizeof at, &at) <= 0)
            fail("PTRACE_GET_SYSCALL_INFO");
        if (at.op == ENTRY)
            call = at;
        else if (at.op == EXIT && call.op == ENTRY)
            return call;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[3], "kill") != 0 && strcmp(argv[3], "pause") != 0)) {
        fputs("usage: stepper PID N kill    after N calls, kill the program\n"
              "       stepper PID N pause   after N calls, let it wait for a line on standard input\n",
              stderr);
        return 2;
    }
    pid_t pid = (pid_t)atol(argv[1]);
    long last = atol(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (trace(PTRACE_SEIZE, pid, 0, (void *)(size_t)PTRACE_O_TRACESYSGOOD) != 0 ||
        trace(PTRACE_INTERRUPT, pid, 0, NULL) != 0)
        fail("PTRACE_SEIZE");
    wait_stop(pid);
    puts("attached");

    for (long count = 0; count < last;) {
        struct call call = next_call(pid);
        if (call.nr == SYS_read && call.args[0] == 0)
            continue;
        if (call.nr == SYS_write && call.args[0] == 1) {
            trace(PTRACE_DETACH, pid, 0, NULL);
            printf("replied %ld\n", count);
            return 0;
        }
        if (++count < last)
            continue;
        if (argv[3][0] == 'k')
            kill(pid, SIGKILL);
        printf("stopped %llu\n", call.nr);
    }
    if (argv[3][0] == 'k') {
        for (;;) /* until it has ended */
            wait_stop(pid);
    }
    char line[16];
    bool go = fgets(line, sizeof line, stdin) != NULL;
    trace(PTRACE_DETACH, pid, 0, NULL);
    return go ? 0 : 1;
}
