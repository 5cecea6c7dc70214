/*
 * server.c - an HTTP server on the loopback interface, with threads and, if asked, worker processes, whose requests are
 * probes; doc/cookbook.md traces it.
 *
 *     server [--port N] [--threads N] [--workers N] [--load N]
 *
 * The port (default: any) is printed. Each of the workers (default: none, this process does the work) has so many
 * threads (4), which serve what they accept. --load has a process of so many clients that ask all the time.
 *
 *     web:request_start  int id, char *path, char *json
 *     web:request_done   int id, int status, long bytes
 *
 * Both are fired by the thread that serves the request; ids are of the process.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <usdt.h>

static const struct page {
    const char *path;
    int status, milliseconds;
    long bytes;
} pages[] = {
    { "/", 200, 1, 120 }, { "/cart", 200, 4, 300 }, { "/report", 200, 30, 2000 }, { "/missing", 404, 1, 0 },
};
enum { PAGES = sizeof pages / sizeof *pages, WORKERS_MAX = 64 };

static struct sockaddr_in address;
static int listener;
static int threads = 4;
static usdt_probe_t *request_start, *request_done;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* What request_start says of a request beside its path. */
static const char *describe(char *json, size_t size, const char *path, int port)
{
    snprintf(json, size, "{\"path\":\"%s\",\"client\":{\"address\":\"127.0.0.1\",\"port\":%d}}", path, port);
    return json;
}

static const struct page *respond(int client, const char *path)
{
    static const char zeros[2000];
    const struct page *page = pages;
    while (page < &pages[PAGES - 1] && strcmp(page->path, path) != 0)
        page++;
    sleep_ms(page->milliseconds); /* what another server would do now */
    char head[128];
    int length = snprintf(head, sizeof head, "HTTP/1.0 %d %s\r\nContent-Length: %ld\r\n\r\n", page->status,
                          page->status == 200 ? "OK" : "Not Found", page->bytes);
    if (write(client, head, (size_t)length) != length || write(client, zeros, (size_t)page->bytes) != page->bytes)
        perror("response");
    return page;
}

static void serve(int client, int port)
{
    static atomic_int requests;
    char text[512], path[64], json[256];
    ssize_t length = read(client, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "GET %63[a-zA-Z0-9/_.-]", path) != 1)
        return;
    int id = ++requests;
    /* The JSON is made only while the probe is traced, as nothing of USDT_PROBE's is evaluated otherwise. */
    USDT_PROBE(request_start, id, path, describe(json, sizeof json, path, port));
    const struct page *page = respond(client, path);
    USDT_PROBE(request_done, id, page->status, page->bytes);
}

static void *work(void *number)
{
    for (;;) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        int client = accept(listener, (struct sockaddr *)&from, &size);
        if (client < 0)
            continue;
        serve(client, ntohs(from.sin_port));
        close(client);
    }
    return number;
}

/* A client: until the server is gone. */
static void *ask(void *number)
{
    unsigned turn = (unsigned)(uintptr_t)number;
    for (;;) {
        /* / four times as often as each of the others */
        turn = turn * 1103515245 + 12345;
        unsigned which = turn >> 16 & 7;
        char text[2048];
        int length = snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", pages[which < PAGES ? which : 0].path);
        int server = socket(AF_INET, SOCK_STREAM, 0);
        if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) != 0 ||
            write(server, text, (size_t)length) != length)
            exit(0);
        while (read(server, text, sizeof text) > 0)
            ;
        close(server);
        sleep_ms(10);
    }
    return number;
}

/* So many threads; does not return. */
static void run(void *(*what)(void *), int count)
{
    pthread_t thread;
    for (int i = 1; i < count; i++)
        if (pthread_create(&thread, NULL, what, (void *)(uintptr_t)i) != 0)
            die("thread");
    what(NULL);
}

static void make_probes(void)
{
    const char *start_types[] = { "int", "char *", "char *" }, *done_types[] = { "int", "int", "long" };
    usdt_provider_t *web = usdt_create_provider("web", "server");
    usdt_probedef_t *start = usdt_create_probe("serve", "request_start", 3, start_types);
    usdt_probedef_t *done = usdt_create_probe("serve", "request_done", 3, done_types);
    if (usdt_provider_add_probe(web, start) != 0 || usdt_provider_add_probe(web, done) != 0 ||
        usdt_provider_enable(web) != 0)
        fprintf(stderr, "no probes: %s\n", usdt_errstr(web)); /* harmless: the server serves */
    request_start = usdt_probedef_probe(start);
    request_done = usdt_probedef_probe(done);
}

int main(int argc, char **argv)
{
    int port = 0, workers = 0, load = 0;
    pid_t pids[WORKERS_MAX];
    struct { const char *name; int *value; } options[] = {
        { "--port", &port }, { "--threads", &threads }, { "--workers", &workers }, { "--load", &load },
    };
    for (int i = 1; i < argc; i += 2) {
        size_t o = 0;
        while (o < 4 && strcmp(options[o].name, argv[i]) != 0)
            o++;
        if (o == 4 || i + 1 == argc) {
            fputs("usage: server [--port N] [--threads N] [--workers N] [--load N]\n", stderr);
            return 2;
        }
        *options[o].value = atoi(argv[i + 1]);
    }
    signal(SIGPIPE, SIG_IGN);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0)
        die("listen");
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("port %d\n", ntohs(address.sin_port)); /* 0 was any */
    fflush(stdout);
    if (load > 0 && fork() == 0) {
        close(listener);
        run(ask, load);
    }
    make_probes();
    if (workers == 0)
        run(work, threads);
    /* From here on it ends by sigwait(), with its workers: none is forgotten that is just being made. */
    sigset_t ends, before;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, &before);
    for (int i = 0; i < workers && i < WORKERS_MAX; i++) {
        if ((pids[i] = fork()) < 0)
            die("fork");
        if (pids[i] == 0) {
            sigprocmask(SIG_SETMASK, &before, NULL);
            run(work, threads);
        }
    }
    sigwait(&ends, &on);
    for (int i = 0; i < workers && i < WORKERS_MAX; i++)
        kill(pids[i], SIGTERM);
}
