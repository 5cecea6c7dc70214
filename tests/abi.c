/*
 * abi.c - the binary interface of libusdt.so.2, written down once more: what a program has in it that was compiled with
 * an older usdt.h. Compiles only while usdt.h says the same. What is here stays as it is until libusdt.so.3; what is
 * new is added.
 */
#include "usdt.h"

/* OFFSET(type, member, where on 64 bits, where on 32) */
#define WIDTH(on64, on32) (sizeof(void *) == 8 ? (on64) : (on32))
#define SIZE(type, on64, on32) _Static_assert(sizeof(type) == WIDTH(on64, on32), "size of " #type)
#define OFFSET(type, member, on64, on32) \
    _Static_assert(offsetof(type, member) == WIDTH(on64, on32), "offset of " #member " in " #type)
#define VALUE(constant, value) _Static_assert(constant == (value), "value of " #constant)

OFFSET(usdt_probe_t, isenabled_addr, 0, 0);
OFFSET(usdt_probe_t, probe_addr, 8, 4);
OFFSET(usdt_probe_t, site, 16, 8);
OFFSET(usdt_probe_t, pristine, 24, 12);
OFFSET(usdt_probe_t, argc, 28, 16);
OFFSET(usdt_probe_t, semaphore, 32, 20);
SIZE(usdt_probe_t, 40, 24);

OFFSET(usdt_probedef_t, name, 0, 0);
OFFSET(usdt_probedef_t, function, 8, 4);
OFFSET(usdt_probedef_t, argc, 16, 8);
OFFSET(usdt_probedef_t, types, 24, 12);
OFFSET(usdt_probedef_t, probe, 32, 16);
OFFSET(usdt_probedef_t, next, 40, 20);
OFFSET(usdt_probedef_t, refcnt, 48, 24);
OFFSET(usdt_probedef_t, slot, 52, 28);
SIZE(usdt_probedef_t, 56, 32);

OFFSET(usdt_provider_t, name, 0, 0);
OFFSET(usdt_provider_t, module, 8, 4);
OFFSET(usdt_provider_t, probedefs, 16, 8);
OFFSET(usdt_provider_t, error, 24, 12);
OFFSET(usdt_provider_t, enabled, 32, 16);
OFFSET(usdt_provider_t, file, 40, 20);
SIZE(usdt_provider_t, 48, 24);

SIZE(usdt_error_t, 4, 4);
VALUE(USDT_ERROR_NONE, -1);
VALUE(USDT_ERROR_MALLOC, 0);
VALUE(USDT_ERROR_VALLOC, 1);
VALUE(USDT_ERROR_NOPROBES, 2);
VALUE(USDT_ERROR_LOADDOF, 3);
VALUE(USDT_ERROR_ALREADYENABLED, 4);
VALUE(USDT_ERROR_UNLOADDOF, 5);
VALUE(USDT_ERROR_DUP_PROBE, 6);
VALUE(USDT_ERROR_REMOVE_PROBE, 7);
VALUE(USDT_ERROR_INVALID, 8);
VALUE(USDT_ERROR_PUBLISH, 9);
VALUE(USDT_ERROR_DEGRADED, 10);
VALUE(USDT_ERROR_UNSUPPORTED, 11);
VALUE(USDT_ARG_MAX, 32);

usdt_provider_t *usdt_create_provider(const char *, const char *);
usdt_probedef_t *usdt_create_probe(const char *, const char *, size_t, const char **);
usdt_probe_t *usdt_probedef_probe(usdt_probedef_t *);
void usdt_probe_release(usdt_probedef_t *);
int usdt_provider_add_probe(usdt_provider_t *, usdt_probedef_t *);
int usdt_provider_add_type(usdt_provider_t *, const char *);
int usdt_provider_remove_probe(usdt_provider_t *, usdt_probedef_t *);
int usdt_provider_use_semaphores(usdt_provider_t *);
int usdt_provider_enable(usdt_provider_t *);
int usdt_provider_disable(usdt_provider_t *);
void usdt_provider_free(usdt_provider_t *);
void usdt_fire_probe(usdt_probe_t *, size_t, void **);
typedef void (*usdt_listener_t)(void *, usdt_probedef_t *, size_t, void *const *);
int usdt_probe_listen(usdt_probedef_t *, usdt_listener_t, void *);
int usdt_probe_unlisten(usdt_probedef_t *, usdt_listener_t, void *);
int usdt_probe_translate(usdt_probedef_t *, size_t, const char *const *, const unsigned char *);
int usdt_probe_use_code(usdt_probedef_t *, const usdt_code_t *);
int usdt_probe_use_site(usdt_probedef_t *, const void *);
const void *usdt_probedef_code(usdt_probedef_t *);
VALUE(USDT_OF_PROVIDER, 0);
VALUE(USDT_OF_MODULE, 1);
VALUE(USDT_OF_FUNCTION, 2);
VALUE(USDT_OF_NAME, 3);
VALUE(USDT_OF_ARGUMENTS, 4);
VALUE(USDT_STABILITY_INTERNAL, 0);
VALUE(USDT_STABILITY_PRIVATE, 1);
VALUE(USDT_STABILITY_OBSOLETE, 2);
VALUE(USDT_STABILITY_EXTERNAL, 3);
VALUE(USDT_STABILITY_UNSTABLE, 4);
VALUE(USDT_STABILITY_EVOLVING, 5);
VALUE(USDT_STABILITY_STABLE, 6);
VALUE(USDT_STABILITY_STANDARD, 7);
VALUE(USDT_DEPENDENCY_UNKNOWN, 0);
VALUE(USDT_DEPENDENCY_CPU, 1);
VALUE(USDT_DEPENDENCY_PLATFORM, 2);
VALUE(USDT_DEPENDENCY_GROUP, 3);
VALUE(USDT_DEPENDENCY_ISA, 4);
VALUE(USDT_DEPENDENCY_COMMON, 5);
int usdt_provider_set_stability(usdt_provider_t *, enum usdt_attributed, enum usdt_stability, enum usdt_stability,
                                enum usdt_dependency);
void usdt_error(usdt_provider_t *, usdt_error_t, ...);
char *usdt_errstr(usdt_provider_t *);
usdt_error_t usdt_provider_errno(usdt_provider_t *);
const char *usdt_version(void);
static inline int usdt_is_enabled(usdt_probe_t *);

/* The members that programs and compilers of theirs read by themselves have their types, too. */
#define TYPE(type, member, of) _Static_assert(_Generic(&((type *)0)->member, of: 1, default: 0), "type of " #member)
TYPE(usdt_probe_t, isenabled_addr, int (**)(void));
TYPE(usdt_probe_t, probe_addr, void **);
TYPE(usdt_probe_t, site, const volatile uint32_t **);
TYPE(usdt_probe_t, pristine, uint32_t *);
TYPE(usdt_probe_t, argc, uint32_t *);
TYPE(usdt_probe_t, semaphore, const volatile uint16_t **);
