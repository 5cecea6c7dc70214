/*
 * static_tracing.c - StaticTracing's providers and tracepoints on libusdt.
 *
 * Owns the lifetime of both, and the conversion of Ruby's values; what they are called and who keeps them is
 * lib/'s. A tracepoint has its own reference to its probe: it may be checked and fired as long as it lives, in any
 * thread and Ractor, whatever became of its provider.
 */
#include <ruby.h>
#include <ruby/ractor.h>
#include <time.h>
#include <usdt.h>

static VALUE invalid_argument;

/* ---- providers ---- */

static void provider_free(void *provider)
{
    usdt_provider_free(provider);
}

static const rb_data_type_t provider_type = {
    "StaticTracing::Provider", { NULL, provider_free, NULL, NULL, { NULL } }, NULL, NULL, RUBY_TYPED_FREE_IMMEDIATELY
};

static VALUE provider_allocate(VALUE class)
{
    return TypedData_Wrap_Struct(class, &provider_type, NULL);
}

static usdt_provider_t *provider_of(VALUE self)
{
    return rb_check_typeddata(self, &provider_type);
}

/* nil, or the message of what failed. */
static VALUE provider_create(VALUE self, VALUE name)
{
    const char *c_name = StringValueCStr(name);
    usdt_provider_free(provider_of(self));
    DATA_PTR(self) = usdt_create_provider(c_name, "ruby");
    return provider_of(self) != NULL ? Qnil : rb_str_new_cstr(usdt_errstr(NULL));
}

static VALUE provider_enable(VALUE self)
{
    return usdt_provider_enable(provider_of(self)) == 0 ? Qtrue : Qfalse;
}

static VALUE provider_disable(VALUE self)
{
    return usdt_provider_disable(provider_of(self)) == 0 ? Qtrue : Qfalse;
}

static VALUE provider_enabled_p(VALUE self)
{
    usdt_provider_t *provider = provider_of(self);
    return provider != NULL && provider->enabled ? Qtrue : Qfalse;
}

static VALUE provider_error(VALUE self)
{
    const char *message = usdt_errstr(provider_of(self));
    return *message != '\0' ? rb_str_new_cstr(message) : Qnil;
}

static VALUE provider_free_now(VALUE self)
{
    usdt_provider_free(provider_of(self));
    DATA_PTR(self) = NULL;
    return Qnil;
}

/* ---- tracepoints ---- */

enum kind { INTEGER, STRING, FLOAT, SCALED };

struct tracepoint {
    usdt_probe_t *probe; /* never NULL */
    usdt_probedef_t *def;
    int argc;
    int64_t last; /* how long the last measured fire took, in nanoseconds */
    struct {
        enum kind kind;
        double scale;
    } args[USDT_ARG_MAX];
};

static void tracepoint_free(void *data)
{
    usdt_probe_release(((struct tracepoint *)data)->def);
    ruby_xfree(data);
}

static size_t tracepoint_size(const void *data)
{
    return sizeof *(const struct tracepoint *)data;
}

static const rb_data_type_t tracepoint_type = {
    "StaticTracing::Tracepoint",
    { NULL, tracepoint_free, tracepoint_size, NULL, { NULL } },
    NULL,
    NULL,
    RUBY_TYPED_FREE_IMMEDIATELY | RUBY_TYPED_FROZEN_SHAREABLE
};

static VALUE tracepoint_allocate(VALUE class)
{
    struct tracepoint *t;
    VALUE self = TypedData_Make_Struct(class, struct tracepoint, &tracepoint_type, t);
    t->probe = usdt_probedef_probe(NULL);
    return self;
}

/* The methods below are Tracepoint's only, whose instances all come from tracepoint_allocate(): no check of the
   type, which would cost more than that of the site. */
static struct tracepoint *tracepoint_of(VALUE self)
{
    return DATA_PTR(self);
}

/* kinds: :integer, :string, :float or the factor of a scaled float. nil, or the message of what failed. */
static VALUE tracepoint_create(VALUE self, VALUE provider, VALUE name, VALUE kinds)
{
    struct tracepoint *t = tracepoint_of(self);
    const char *types[USDT_ARG_MAX], *c_name = StringValueCStr(name);
    long argc = RARRAY_LEN(kinds);
    usdt_provider_t *p = provider_of(provider);

    if (t->def != NULL || argc > USDT_ARG_MAX)
        rb_raise(rb_eArgError, "already made, or more than %d arguments", USDT_ARG_MAX);
    for (long i = 0; i < argc; i++) {
        VALUE kind = RARRAY_AREF(kinds, i);
        if (RB_FLOAT_TYPE_P(kind)) {
            t->args[i].kind = SCALED;
            t->args[i].scale = RFLOAT_VALUE(kind);
        } else
            t->args[i].kind = kind == ID2SYM(rb_intern("string"))  ? STRING
                              : kind == ID2SYM(rb_intern("float")) ? FLOAT
                                                                   : INTEGER;
        types[i] = t->args[i].kind == STRING  ? "char *"
                   : t->args[i].kind == FLOAT ? (sizeof(void *) == 8 ? "double" : "float")
                                              : "long";
    }
    usdt_probedef_t *def = usdt_create_probe(c_name, c_name, (size_t)argc, types);
    if (def == NULL)
        return rb_str_new_cstr(usdt_errstr(NULL));
    if (usdt_provider_add_probe(p, def) != 0) {
        usdt_probe_release(def);
        return rb_str_new_cstr(usdt_errstr(p));
    }
    t->def = def;
    t->argc = (int)argc;
    t->probe = usdt_probedef_probe(def);
    return Qnil;
}

static VALUE tracepoint_enabled_p(VALUE self)
{
    return usdt_is_enabled(tracepoint_of(self)->probe) ? Qtrue : Qfalse;
}

/* ---- listeners: lib/ has them, by Ractor ---- */

/* What the library's listener heard of a thread's hit; Ruby is called when the library has returned. */
static _Thread_local struct hit {
    size_t count;
    void *words[USDT_ARG_MAX];
    int heard;
} *current;

static void hear(void *context, usdt_probedef_t *def, size_t argc, void *const *argv)
{
    (void)context, (void)def;
    if (current == NULL)
        return;
    current->heard = 1;
    current->count = argc;
    memcpy(current->words, argv, argc * sizeof *argv);
}

static VALUE word_value(enum kind kind, void *word)
{
    double value = 0;
    float single;
    switch (kind) {
    case STRING: return word == NULL ? Qnil : rb_utf8_str_new_cstr(word);
    case FLOAT:
        if (sizeof word == sizeof value)
            memcpy(&value, &word, sizeof value);
        else {
            memcpy(&single, &word, sizeof single);
            value = single;
        }
        return DBL2NUM(value);
    default: return LL2NUM((intptr_t)word);
    }
}

static void tell(VALUE self, const struct tracepoint *t, const struct hit *hit)
{
    VALUE values[USDT_ARG_MAX];
    for (size_t i = 0; i < hit->count; i++)
        values[i] = word_value(t->args[i].kind, hit->words[i]);
    rb_funcallv(self, rb_intern("heard"), (int)hit->count, values);
}

/* id: of the listener; nil, or the message of what failed. */
static VALUE tracepoint_listen(VALUE self, VALUE id)
{
    int result = usdt_probe_listen(tracepoint_of(self)->def, hear, (void *)NUM2SIZET(id));
    return result == 0 ? Qnil : rb_str_new_cstr(usdt_errstr(NULL));
}

static VALUE tracepoint_unlisten(VALUE self, VALUE id)
{
    usdt_probe_unlisten(tracepoint_of(self)->def, hear, (void *)NUM2SIZET(id));
    return Qnil;
}

static uintptr_t integer_word(VALUE value)
{
    intptr_t word;
    if (FIXNUM_P(value))
        return (uintptr_t)FIX2LONG(value);
    /* What does not fit leaves its low bits. */
    rb_integer_pack(value, &word, 1, sizeof word, 0, INTEGER_PACK_2COMP | INTEGER_PACK_NATIVE_BYTE_ORDER);
    return (uintptr_t)word;
}

static uintptr_t float_word(double value)
{
    uintptr_t word = 0;
    float single = (float)value;
    if (sizeof word == sizeof value)
        memcpy(&word, &value, sizeof word);
    else
        memcpy(&word, &single, sizeof word);
    return word;
}

static uintptr_t scaled_word(double value)
{
    if (value != value)
        return 0;
    if (value >= (double)INTPTR_MAX)
        return (uintptr_t)INTPTR_MAX;
    if (value <= (double)INTPTR_MIN)
        return (uintptr_t)INTPTR_MIN;
    return (uintptr_t)(intptr_t)(value < 0 ? value - 0.5 : value + 0.5);
}

/* A C string, up to the first NUL. Ruby ends its own strings with one; of an extension's that does not end so, a copy
   is fired. *kept is on the stack: what is there neither goes nor moves. */
static uintptr_t string_word(VALUE value, volatile VALUE *kept)
{
    *kept = RSTRING_PTR(value)[RSTRING_LEN(value)] == '\0' ? value : rb_str_new(RSTRING_PTR(value), RSTRING_LEN(value));
    return (uintptr_t)RSTRING_PTR(*kept);
}

NORETURN(static void mismatch(VALUE self, VALUE value, int index));
static void mismatch(VALUE self, VALUE value, int index)
{
    VALUE args[] = { value, rb_ary_entry(rb_attr_get(self, rb_intern("@args")), index) };
    rb_exc_raise(rb_class_new_instance(2, args, invalid_argument));
}

/* Fires argv as the arguments from `first` on, those before are in words. Classes are compared whether the probe is
   traced or not: a program must not fail because somebody looks. */
static VALUE fire(VALUE self, void **words, int first, int argc, const VALUE *argv)
{
    struct tracepoint *t = tracepoint_of(self);
    int traced = usdt_is_enabled(t->probe), i;
    volatile VALUE kept[USDT_ARG_MAX];

    if (argc > t->argc - first)
        mismatch(self, argv[t->argc - first], t->argc);
    for (i = 0; i < argc; i++) {
        VALUE value = argv[i];
        uintptr_t word = 0;
        if (!NIL_P(value))
            switch (t->args[first + i].kind) {
            case INTEGER:
                if (!RB_INTEGER_TYPE_P(value))
                    mismatch(self, value, first + i);
                if (traced)
                    word = integer_word(value);
                break;
            case STRING:
                if (SYMBOL_P(value))
                    value = rb_sym2str(value);
                else if (!RB_TYPE_P(value, T_STRING))
                    mismatch(self, value, first + i);
                if (traced)
                    word = string_word(value, &kept[i]);
                break;
            default:
                if (!RB_FLOAT_TYPE_P(value) && !RB_INTEGER_TYPE_P(value))
                    mismatch(self, value, first + i);
                if (traced && t->args[first + i].kind == FLOAT)
                    word = float_word(RFLOAT_VALUE(rb_Float(value)));
                else if (traced)
                    word = scaled_word(RFLOAT_VALUE(rb_Float(value)) * t->args[first + i].scale);
            }
        words[first + i] = (void *)word;
    }
    if (traced) {
        struct hit hit, *before = current;
        hit.heard = 0;
        current = &hit;
        usdt_fire_probe(t->probe, (size_t)(first + argc), words);
        current = before;
        if (hit.heard)
            tell(self, t, &hit);
    }
    return traced ? Qtrue : Qfalse;
}

static VALUE tracepoint_fire(int argc, VALUE *argv, VALUE self)
{
    void *words[USDT_ARG_MAX];
    return fire(self, words, 0, argc, argv);
}

static int64_t nsec(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* since, values...: fires (cost, values...). Cost is the time from `since` to here, and what the tracer took of the
   last hit: of this one nobody can know it yet. */
static VALUE tracepoint_fire_measured(int argc, VALUE *argv, VALUE self)
{
    struct tracepoint *t = tracepoint_of(self);
    void *words[USDT_ARG_MAX];
    rb_check_arity(argc, 1, UNLIMITED_ARGUMENTS);
    if (t->argc == 0 || t->args[0].kind != INTEGER)
        rb_raise(rb_eArgError, "the first argument of a measured tracepoint is an Integer");
    int64_t before = nsec();
    int64_t cost = before - NUM2LL(argv[0]) + __atomic_load_n(&t->last, __ATOMIC_RELAXED);
    words[0] = (void *)(intptr_t)cost;
    VALUE traced = fire(self, words, 1, argc - 1, argv + 1);
    if (traced == Qtrue)
        __atomic_store_n(&t->last, nsec() - before, __ATOMIC_RELAXED);
    return traced;
}

static VALUE module_nsec(VALUE self)
{
    (void)self;
    return LL2NUM(nsec());
}

RUBY_FUNC_EXPORTED void Init_native(void)
{
    rb_ext_ractor_safe(true);
    VALUE module = rb_define_module("StaticTracing");
    rb_define_module_function(module, "nsec", module_nsec, 0);

    VALUE provider = rb_define_class_under(module, "Provider", rb_cObject);
    rb_define_alloc_func(provider, provider_allocate);
    rb_undef_method(provider, "initialize_copy");
    rb_define_method(provider, "enable", provider_enable, 0);
    rb_define_method(provider, "disable", provider_disable, 0);
    rb_define_method(provider, "enabled?", provider_enabled_p, 0);
    rb_define_method(provider, "error", provider_error, 0);
    rb_define_private_method(provider, "native_create", provider_create, 1);
    rb_define_private_method(provider, "native_free", provider_free_now, 0);

    VALUE tracepoint = rb_define_class_under(module, "Tracepoint", rb_cObject);
    rb_define_alloc_func(tracepoint, tracepoint_allocate);
    rb_undef_method(tracepoint, "initialize_copy");
    rb_define_method(tracepoint, "enabled?", tracepoint_enabled_p, 0);
    rb_define_method(tracepoint, "fire", tracepoint_fire, -1);
    rb_define_method(tracepoint, "fire_measured", tracepoint_fire_measured, -1);
    rb_define_private_method(tracepoint, "native_create", tracepoint_create, 3);
    rb_define_private_method(tracepoint, "native_listen", tracepoint_listen, 1);
    rb_define_private_method(tracepoint, "native_unlisten", tracepoint_unlisten, 1);

    invalid_argument = rb_const_get(tracepoint, rb_intern("InvalidArgumentError"));
    rb_gc_register_mark_object(invalid_argument);
}
