/*
 * usdt_node.c - libusdt for provider.js, by Node-API.
 *
 * Owns the native side of a provider and of a probe: one object each, freed when JavaScript's handle is
 * collected or its thread ends. Runs no JavaScript: values arrive as numbers, BigInts, strings and Uint8Arrays.
 * Has no state but in these objects, so that each thread may load it. What fails returns a message, a string.
 */
#define NAPI_VERSION 8
#include <node_api.h>
#include <usdt.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of provider.js; BUFFER takes two arguments. */
enum kind { STRING, BUFFER, DOUBLE, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, KINDS };

static const char *const c_types[KINDS] = {
    [STRING] = "char *", [BUFFER] = "void *",   [DOUBLE] = "double",   [INT8] = "int8_t",
    [INT16] = "int16_t", [INT32] = "int32_t",   [INT64] = "int64_t",   [UINT8] = "uint8_t",
    [UINT16] = "uint16_t", [UINT32] = "uint32_t", [UINT64] = "uint64_t",
};

struct provider {
    usdt_provider_t *provider;
};

struct probe {
    usdt_probedef_t *def;
    uint32_t count; /* of values: a buffer is one */
    unsigned char kinds[USDT_ARG_MAX];
    napi_env env;     /* of the call of fire() under way */
    napi_value heard; /* by a listener, during that: an array */
};

/* ---- what Node-API asks for ---- */

/* The first arguments of a call; what is missing is undefined. How many were given, at most `most`. */
static size_t arguments(napi_env env, napi_callback_info info, size_t most, napi_value *argv)
{
    size_t count = most;
    napi_get_cb_info(env, info, &count, argv, NULL, NULL); /* makes it the number given */
    return count < most ? count : most;
}

static void *handle(napi_env env, napi_value value)
{
    void *data = NULL;
    napi_get_value_external(env, value, &data);
    return data;
}

/* malloc()ed; NULL if it is no string. */
static char *string(napi_env env, napi_value value)
{
    size_t length;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok)
        return NULL;
    char *copy = malloc(length + 1);
    if (copy != NULL)
        napi_get_value_string_utf8(env, value, copy, length + 1, &length);
    return copy;
}

static napi_value message(napi_env env, const char *text)
{
    napi_value value = NULL;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    return value;
}

/* ---- providers ---- */

static void free_provider(napi_env env, void *data, void *hint)
{
    (void)env, (void)hint;
    usdt_provider_free(((struct provider *)data)->provider);
    free(data);
}

/* provider(name[, module]): a handle, or a message */
static napi_value create_provider(napi_env env, napi_callback_info info)
{
    napi_value argv[2], made = NULL;
    arguments(env, info, 2, argv);
    struct provider *provider = malloc(sizeof *provider);
    char *name = string(env, argv[0]), *module = string(env, argv[1]), address[32];
    snprintf(address, sizeof address, "mod-%p", (void *)provider);
    if (provider != NULL && name != NULL)
        provider->provider = usdt_create_provider(name, module != NULL ? module : address);
    free(module);
    if (provider == NULL || name == NULL || provider->provider == NULL)
        made = message(env, name == NULL || provider == NULL ? "no memory" : usdt_errstr(NULL));
    else if (napi_create_external(env, provider, free_provider, NULL, &made) == napi_ok)
        provider = NULL;
    else
        usdt_provider_free(provider->provider);
    free(provider);
    free(name);
    return made;
}

/* enable(provider): undefined; a message if not all tracers see the probes */
static napi_value enable(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    arguments(env, info, 1, argv);
    usdt_provider_t *provider = ((struct provider *)handle(env, argv[0]))->provider;
    usdt_error(provider, USDT_ERROR_NONE); /* the message may be of a call before */
    usdt_provider_enable(provider);
    usdt_error_t error = usdt_provider_errno(provider);
    return error == USDT_ERROR_NONE || error == USDT_ERROR_ALREADYENABLED ? NULL : message(env, usdt_errstr(provider));
}

/* disable(provider): undefined, or a message */
static napi_value disable(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    arguments(env, info, 1, argv);
    usdt_provider_t *provider = ((struct provider *)handle(env, argv[0]))->provider;
    return usdt_provider_disable(provider) == 0 ? NULL : message(env, usdt_errstr(provider));
}

/* ---- probes ---- */

static void hear(void *context, usdt_probedef_t *def, size_t argc, void *const *argv);

static void free_probe(napi_env env, void *data, void *hint)
{
    (void)env, (void)hint;
    usdt_probe_unlisten(((struct probe *)data)->def, hear, data); /* the provider may hold the definition */
    usdt_probe_release(((struct probe *)data)->def);
    free(data);
}

/* probe(provider, name, ...kinds): a handle, or a message */
static napi_value create_probe(napi_env env, napi_callback_info info)
{
    napi_value argv[2 + USDT_ARG_MAX], made = NULL;
    size_t given = arguments(env, info, 2 + USDT_ARG_MAX, argv), count = 0;
    usdt_provider_t *provider = ((struct provider *)handle(env, argv[0]))->provider;
    struct probe *probe = calloc(1, sizeof *probe);
    char *name = string(env, argv[1]);
    if (probe == NULL || name == NULL) {
        free(probe);
        free(name);
        return message(env, "no memory");
    }
    const char *types[USDT_ARG_MAX];
    for (size_t i = 2; i < given; i++) {
        uint32_t kind = 0;
        napi_get_value_uint32(env, argv[i], &kind);
        if (count + (kind == BUFFER) >= USDT_ARG_MAX)
            break;
        probe->kinds[probe->count++] = (unsigned char)kind;
        types[count++] = c_types[kind];
        if (kind == BUFFER)
            types[count++] = c_types[UINT64];
    }
    probe->def = usdt_create_probe(name, name, count, types);
    free(name);
    if (probe->def == NULL)
        made = message(env, usdt_errstr(NULL));
    else if (usdt_provider_add_probe(provider, probe->def) != 0)
        made = message(env, usdt_errstr(provider));
    else if (napi_create_external(env, probe, free_probe, NULL, &made) == napi_ok)
        return made;
    usdt_probe_release(probe->def);
    free(probe);
    return made;
}

/* remove(provider, probe): undefined, or a message */
static napi_value remove_probe(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    arguments(env, info, 2, argv);
    usdt_provider_t *provider = ((struct provider *)handle(env, argv[0]))->provider;
    struct probe *probe = handle(env, argv[1]);
    return usdt_provider_remove_probe(provider, probe->def) == 0 ? NULL : message(env, usdt_errstr(provider));
}

/* site(probe): the four bytes of its site, as an ArrayBuffer: readable to the end of the process, never writable.
   undefined if it is not published, null if Node.js allows no such buffers (napi_no_external_buffers_allowed). */
static napi_value site(napi_env env, napi_callback_info info)
{
    napi_value argv[1], buffer = NULL;
    arguments(env, info, 1, argv);
    const usdt_probe_t *probe = ((struct probe *)handle(env, argv[0]))->def->probe;
    if (probe == NULL)
        return NULL;
    if (napi_create_external_arraybuffer(env, (void *)(uintptr_t)probe->site, sizeof *probe->site, NULL, NULL,
                                         &buffer) != napi_ok)
        napi_get_null(env, &buffer);
    return buffer;
}

/* enabled(probe): whether it is traced */
static napi_value enabled(napi_env env, napi_callback_info info)
{
    napi_value argv[1], answer = NULL;
    arguments(env, info, 1, argv);
    napi_get_boolean(env, usdt_is_enabled(usdt_probedef_probe(((struct probe *)handle(env, argv[0]))->def)), &answer);
    return answer;
}

/* ---- listening ---- */

static napi_value integer_value(napi_env env, uint64_t bits, enum kind kind)
{
    napi_value value = NULL;
    const int64_t number = (int64_t)bits, most = (int64_t)1 << 53; /* what a number holds exactly */
    if (kind == UINT64 && bits >= (uint64_t)most)
        napi_create_bigint_uint64(env, bits, &value);
    else if (number >= most || number <= -most)
        napi_create_bigint_int64(env, number, &value);
    else
        napi_create_int64(env, number, &value);
    return value;
}

/* What the tracer gets, as JavaScript has it. */
static void hear(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    struct probe *probe = context;
    napi_env env = probe->env;
    (void)def, (void)argc;
    if (napi_create_array_with_length(env, probe->count, &probe->heard) != napi_ok)
        return;
    for (uint32_t i = 0; i < probe->count; i++) {
        const uintptr_t bits = (uintptr_t)*argv++;
        enum kind kind = probe->kinds[i];
        napi_value value = NULL;
        if (kind == STRING) {
            napi_create_string_utf8(env, (const char *)bits, NAPI_AUTO_LENGTH, &value);
        } else if (kind == BUFFER) {
            napi_create_buffer_copy(env, (size_t)*argv++, (const void *)bits, NULL, &value);
        } else if (kind == DOUBLE) {
            double number;
            memcpy(&number, &(uint64_t){ bits }, sizeof number);
            napi_create_double(env, number, &value);
        } else {
            value = integer_value(env, kind >= UINT8 ? bits : (uint64_t)(intptr_t)bits, kind);
        }
        napi_set_element(env, probe->heard, i, value);
    }
}

/* listen(probe), unlisten(probe): whether fire() returns what was heard. undefined, or a message */
static napi_value listen_to(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    arguments(env, info, 1, argv);
    struct probe *probe = handle(env, argv[0]);
    return usdt_probe_listen(probe->def, hear, probe) == 0 ? NULL : message(env, usdt_errstr(NULL));
}

static napi_value unlisten(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    arguments(env, info, 1, argv);
    struct probe *probe = handle(env, argv[0]);
    usdt_probe_unlisten(probe->def, hear, probe);
    return NULL;
}

/* ---- firing ---- */

/* Where strings are until the probe is fired: here, or, the long ones, on the heap. */
struct strings {
    size_t used;
    unsigned count;
    char *long_ones[USDT_ARG_MAX];
    char bytes[4096];
};

static uintptr_t string_argument(napi_env env, napi_value value, struct strings *strings)
{
    enum { LONGEST_CHARACTER = 4 }; /* one that does not fit whole is left out */
    size_t length = 0, room = sizeof strings->bytes - strings->used;
    char *to = strings->bytes + strings->used;
    if (room > LONGEST_CHARACTER) {
        napi_status status = napi_get_value_string_utf8(env, value, to, room, &length);
        if (status == napi_ok && length + LONGEST_CHARACTER < room) {
            strings->used += length + 1;
            return (uintptr_t)to;
        }
    }
    char *copy = string(env, value);
    if (copy == NULL)
        return (uintptr_t)"undefined";
    strings->long_ones[strings->count++] = copy;
    return (uintptr_t)copy;
}

/* A number outside the 64 bits is the nearest inside; of a BigInt the low 64 bits count. */
static uint64_t integer_argument(napi_env env, napi_value value, enum kind kind)
{
    double number = 0;
    uint64_t bits = 0;
    bool lossless;
    if (napi_get_value_double(env, value, &number) != napi_ok)
        napi_get_value_bigint_uint64(env, value, &bits, &lossless);
    else if (number != number)
        bits = 0;
    else if (number < -0x1p63)
        bits = (uint64_t)INT64_MIN;
    else if (number < 0x1p63)
        bits = (uint64_t)(int64_t)number;
    else if (kind != UINT64)
        bits = INT64_MAX;
    else
        bits = number < 0x1p64 ? (uint64_t)number : UINT64_MAX;
    switch (kind) {
    case INT8: return (uint64_t)(int8_t)bits;
    case INT16: return (uint64_t)(int16_t)bits;
    case INT32: return (uint64_t)(int32_t)bits;
    case UINT8: return (uint8_t)bits;
    case UINT16: return (uint16_t)bits;
    case UINT32: return (uint32_t)bits;
    default: return bits;
    }
}

static uint64_t double_argument(napi_env env, napi_value value)
{
    double number = 0;
    uint64_t bits;
    napi_get_value_double(env, value, &number);
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* fire(probe, ...values): undefined, or what was heard, an array */
static napi_value fire(napi_env env, napi_callback_info info)
{
    napi_value argv[1 + USDT_ARG_MAX];
    arguments(env, info, 1 + USDT_ARG_MAX, argv);
    struct probe *probe = handle(env, argv[0]);
    uintptr_t values[USDT_ARG_MAX];
    size_t count = 0;
    struct strings strings;
    strings.used = strings.count = 0;
    for (uint32_t i = 0; i < probe->count; i++) {
        napi_value value = argv[1 + i];
        enum kind kind = probe->kinds[i];
        if (kind == STRING) {
            values[count++] = string_argument(env, value, &strings);
        } else if (kind == BUFFER) {
            void *data = NULL;
            size_t length = 0;
            napi_get_typedarray_info(env, value, NULL, &length, &data, NULL, NULL);
            values[count++] = (uintptr_t)data;
            values[count++] = length;
        } else {
            values[count++] = (uintptr_t)(kind == DOUBLE ? double_argument(env, value)
                                                         : integer_argument(env, value, kind));
        }
    }
    probe->env = env;
    probe->heard = NULL;
    usdt_fire_probe(usdt_probedef_probe(probe->def), count, (void **)values);
    while (strings.count > 0)
        free(strings.long_ones[--strings.count]);
    return probe->heard;
}

/* ---- the module ---- */

/* What a site holds that is not traced; 0, and why, where there is no tracing. */
static uint32_t pristine(napi_env env, napi_value exports)
{
    usdt_probedef_t *def = usdt_create_probe("f", "p", 0, NULL);
    uint32_t value = usdt_probedef_probe(def)->pristine;
    if (value == 0) {
        usdt_provider_t *provider = usdt_create_provider("p", "m");
        usdt_provider_add_probe(provider, def);
        usdt_provider_enable(provider);
        napi_set_named_property(env, exports, "reason", message(env, usdt_errstr(provider)));
        usdt_provider_free(provider);
    }
    usdt_probe_release(def);
    return value;
}

NAPI_MODULE_INIT()
{
    static const struct {
        const char *name;
        napi_callback function;
    } functions[] = {
        { "provider", create_provider }, { "enable", enable },   { "disable", disable },
        { "probe", create_probe },       { "remove", remove_probe }, { "site", site },
        { "enabled", enabled },          { "fire", fire },
        { "listen", listen_to },         { "unlisten", unlisten },
    };
    napi_value value;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &value);
        napi_set_named_property(env, exports, functions[i].name, value);
    }
    napi_create_uint32(env, pristine(env, exports), &value);
    napi_set_named_property(env, exports, "pristine", value);
    return exports;
}
