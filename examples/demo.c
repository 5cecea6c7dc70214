/*
 * demo.c - a program with two probes made at run time; what `make demo` traces.
 *
 * It serves imaginary requests for some seconds. The probes do nothing until a tracer watches them.
 */
#define _POSIX_C_SOURCE 200809L
#include <usdt.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const char *const paths[] = { "/", "/cart", "/cart/42", "/checkout", "/missing" };
    const char *start_types[] = { "int", "char *" };
    const char *done_types[] = { "int", "int" };
    int requests = argc > 1 ? atoi(argv[1]) : 20;

    usdt_provider_t *shop = usdt_create_provider("shop", "demo");
    usdt_probedef_t *start = usdt_create_probe("serve", "start", 2, start_types);
    usdt_probedef_t *done = usdt_create_probe("serve", "done", 2, done_types);
    if (shop == NULL || start == NULL || done == NULL) {
        fprintf(stderr, "demo: %s\n", usdt_errstr(NULL));
        return 1;
    }
    if (usdt_provider_add_probe(shop, start) != 0 || usdt_provider_add_probe(shop, done) != 0 ||
        usdt_provider_enable(shop) != 0) {
        fprintf(stderr, "demo: %s\n", usdt_errstr(shop));
        return 1;
    }
    printf("%ld\n", (long)getpid());
    fflush(stdout);

    int traced = 0;
    for (int id = 1; id <= requests; id++) {
        const char *path = paths[id % 5];
        traced += usdt_is_enabled(start->probe);
        USDT_PROBE(start->probe, id, path);
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
        USDT_PROBE(done->probe, id, id % 5 == 4 ? 404 : 200);
    }
    printf("%d of %d requests were traced\n", traced, requests);

    usdt_provider_free(shop);
    usdt_probe_release(start);
    usdt_probe_release(done);
    return 0;
}
