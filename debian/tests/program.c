/* Publishes a probe and fires it, as C and as C++. */
#include <usdt.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    const char *types[] = { "int", "char *" };
    usdt_provider_t *provider = usdt_create_provider("packaged", "main");
    usdt_probedef_t *start = usdt_create_probe("main", "start", 2, types);
    if (provider == NULL || start == NULL || usdt_provider_add_probe(provider, start) != 0)
        return 1;
    int enabled = usdt_provider_enable(provider);
    USDT_PROBE(start->probe, 1, "value");
    printf("version %s, enable %d %s\n", usdt_version(), enabled, usdt_errstr(provider));
    int good = enabled == 0 && strcmp(usdt_version(), USDT_VERSION) == 0;
    usdt_provider_free(provider);
    usdt_probe_release(start);
    return good ? 0 : 1;
}
