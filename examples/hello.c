/* hello.c - the example of the README: one probe, fired every second. */
#include <stdio.h>
#include <unistd.h>
#include <usdt.h>

int main(void)
{
    const char *types[] = { "int", "char *" };
    usdt_provider_t *app = usdt_create_provider("myapp", "main");
    usdt_probedef_t *start = usdt_create_probe("request", "start", 2, types);
    if (app == NULL || start == NULL) {
        fprintf(stderr, "%s\n", usdt_errstr(NULL));
        return 1;
    }
    if (usdt_provider_add_probe(app, start) != 0 || usdt_provider_enable(app) != 0)
        fprintf(stderr, "no probes: %s\n", usdt_errstr(app)); /* harmless: the program goes on */
    for (int id = 1;; id++) {
        USDT_PROBE(start->probe, id, "/index.html"); /* evaluates nothing until it is traced */
        sleep(1);
    }
}
