/*
 * consumer_node.c - libdtrace.c for consumer.js, by Node-API.
 *
 * Consumers are externals. An operation runs in the calling thread (now) or on libuv's pool (run); either yields what
 * it has to say as a Buffer, which decode.js takes apart. No state, so that each thread may load it.
 */
#define NAPI_VERSION 8
#include "libdtrace.h"

#include <node_api.h>
#include <stdlib.h>

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

static napi_value text(napi_env env, const char *string)
{
    napi_value value = NULL;
    napi_create_string_utf8(env, string, NAPI_AUTO_LENGTH, &value);
    return value;
}

static void free_consumer(napi_env env, void *consumer, void *hint)
{
    (void)env, (void)hint;
    consumer_release(consumer);
}

/* create(): a consumer to be opened; undefined if there is no memory */
static napi_value create(napi_env env, napi_callback_info info)
{
    (void)info;
    napi_value external = NULL;
    struct consumer *consumer = consumer_new();
    if (consumer != NULL && napi_create_external(env, consumer, free_consumer, NULL, &external) != napi_ok)
        consumer_release(consumer);
    return external;
}

/* An operation, as it was asked for: (consumer, operation[, text[, value]]). */
struct call {
    struct consumer *consumer;
    int32_t operation;
    char *text, *value;
    napi_async_work work;
    napi_deferred deferred;
};

static void get_call(napi_env env, napi_callback_info info, struct call *call)
{
    napi_value argv[4];
    size_t count = 4;
    napi_get_cb_info(env, info, &count, argv, NULL, NULL);
    napi_get_value_external(env, argv[0], (void **)&call->consumer);
    napi_get_value_int32(env, argv[1], &call->operation);
    call->text = string(env, argv[2]);
    call->value = string(env, argv[3]);
}

static napi_value output(napi_env env, struct consumer *consumer)
{
    char *bytes;
    size_t size;
    napi_value buffer = NULL;
    if (!consumer_take(consumer, &bytes, &size) || napi_create_buffer_copy(env, size, bytes, NULL, &buffer) != napi_ok)
        napi_throw_error(env, NULL, "no memory");
    free(bytes);
    return buffer;
}

static void do_call(napi_env env, void *data)
{
    (void)env;
    struct call *call = data;
    consumer_do(call->consumer, (enum operation)call->operation, call->text, call->value);
}

static void end_call(struct call *call)
{
    free(call->text);
    free(call->value);
}

/* now(...): its output */
static napi_value now(napi_env env, napi_callback_info info)
{
    struct call call = { 0 };
    get_call(env, info, &call);
    do_call(env, &call);
    end_call(&call);
    return output(env, call.consumer);
}

static void complete(napi_env env, napi_status status, void *data)
{
    struct call *call = data;
    napi_value result = status == napi_ok ? output(env, call->consumer) : NULL, error = NULL;
    bool thrown = false;
    napi_is_exception_pending(env, &thrown);
    if (thrown && napi_get_and_clear_last_exception(env, &error) == napi_ok)
        napi_reject_deferred(env, call->deferred, error);
    else if (result != NULL)
        napi_resolve_deferred(env, call->deferred, result);
    napi_delete_async_work(env, call->work);
    consumer_release(call->consumer);
    end_call(call);
    free(call);
}

/* run(...): a promise of its output */
static napi_value run(napi_env env, napi_callback_info info)
{
    napi_value promise = NULL;
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        napi_throw_error(env, NULL, "no memory");
        return NULL;
    }
    get_call(env, info, call);
    if (napi_create_promise(env, &call->deferred, &promise) == napi_ok &&
        napi_create_async_work(env, NULL, text(env, "libdtrace"), do_call, complete, call, &call->work) == napi_ok) {
        consumer_keep(call->consumer); /* until it is complete: the external may be collected before */
        if (napi_queue_async_work(env, call->work) == napi_ok)
            return promise;
        napi_delete_async_work(env, call->work);
        consumer_release(call->consumer);
    }
    end_call(call);
    free(call);
    napi_throw_error(env, NULL, "cannot be run");
    return NULL;
}

/* version(): that of the library */
static napi_value version(napi_env env, napi_callback_info info)
{
    (void)info;
    return text(env, libdtrace_version());
}

NAPI_MODULE_INIT()
{
    static const struct {
        const char *name;
        napi_callback function;
    } functions[] = { { "create", create }, { "now", now }, { "run", run }, { "version", version } };
    napi_value value;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &value);
        napi_set_named_property(env, exports, functions[i].name, value);
    }
    const char *reason = libdtrace_load();
    if (reason != NULL) {
        napi_set_named_property(env, exports, "reason", text(env, reason));
    } else {
        napi_get_boolean(env, libdtrace_is_untried(), &value);
        napi_set_named_property(env, exports, "untried", value);
    }
    return exports;
}
