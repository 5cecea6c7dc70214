/*
 * kernels.c - see kernels.h. What a document must be is fuzz/check_dof.c's, and which of its rules a kernel
 * has fuzz/check.c's; here is what a kernel does about a broken one, and all that is around the document: the
 * ioctl, the record, generations, limits.
 */
#include "kernels.h"
#include "fuzz/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct kernel kernel;

/* facts/dof.md, "ioctl" and "What a kernel accepts". */
static const struct system {
    const char *name, *device, *other_device;
    unsigned long add, remove;
    uint64_t limit;
    unsigned providers;      /* of a process; a further one is lost; 0: no limit */
    uint8_t enabled_version; /* is-enabled offsets count from that on */
} systems[] = {
    { "illumos", "/dev/dtrace/helper", "/devices/pseudo/dtrace@0:helper", 0x64746803, 0x64746802, 8u << 20, 32, 2 },
    { "freebsd", "/dev/dtrace/helper", NULL, 0xc0587a03, 0x80047a02, 8u << 20, 32, 2 },
    { "macos", "/dev/dtracehelper", NULL, 0x80086804, 0x20006802, 512u << 10, 64, 3 },
    { "linux", "/dev/dtrace/helper", NULL, 0x4050d803, 0x4004d802, 256u << 20, 0, 3 },
};
enum { SYSTEMS = sizeof systems / sizeof systems[0], DOF_HELPER = 80 /* dof_helper_t but for FreeBSD */ };

/* What was submitted and not removed, oldest first. */
static struct document {
    struct kernel_record record;
    unsigned char *bytes; /* NULL: not read yet */
    uint64_t len, file[2];
    uint32_t sum; /* macOS: of the bytes as they were at the ioctl, 0 if there were none */
    int generation;
    const char *lost; /* the rule for which it is */
} documents[128];
static size_t count;
static const struct system *booted;
static bool spared[CHECK_RULES], spared_or_lost[CHECK_RULES], is_lost[CHECK_RULES];

static bool is_system(const char *name)
{
    return strcmp(booted->name, name) == 0;
}

static bool is_x86(void)
{
    return strcmp(kernel.arch, "arm64") != 0;
}

static void forget(size_t from)
{
    for (size_t i = from; i < count; i++)
        free(documents[i].bytes);
    count = from;
}

void kernel_boot(const char *system, const char *arch)
{
    forget(0);
    for (size_t i = 0; i < SYSTEMS; i++)
        if (strcmp(systems[i].name, system) == 0)
            booted = &systems[i];
    kernel = (struct kernel){ .system = system, .arch = arch, .device = booted->device,
                              .other_device = booted->other_device, .limit = booted->limit };

    for (int i = 0; i < CHECK_RULES; i++) { /* of images, kernels know nothing */
        enum check_answer answer = i < CHECK_ELF_SHORT ? check_answer(system, arch, (enum check_rule)i) : CHECK_OWN;
        is_lost[i] = answer == CHECK_LOSES;
        spared_or_lost[i] = answer != CHECK_REFUSES;
        spared[i] = answer == CHECK_OWN;
    }
}

bool kernel_has_rule(int rule)
{
    return rule != CHECK_GOOD && !spared[rule];
}

/* ---- reading a document ---- */

static int refuse(const char *rule, int error)
{
    kernel.refused++;
    kernel.reason = rule;
    errno = error;
    return -1;
}

static void lose(struct document *doc, const char *rule)
{
    if (doc->lost != NULL)
        return;
    kernel.lost++;
    kernel.reason = doc->lost = rule;
}

static enum check_rule judge(const struct document *doc, const bool *without)
{
    struct check_given given = { .system = kernel.system, .arch = kernel.arch, .dof = doc->record.addr,
                                 .below = kernel.limit, .spared = without };
    struct check_verdict verdict;
    check_dof(&given, doc->bytes, (size_t)doc->len, &verdict);
    return verdict.broken;
}

/* As many bytes as the header says. 0, or -1 and errno. */
static int copy_in(struct document *doc)
{
    struct check_dof_header header;
    if (!process_read(doc->record.dof, &header, sizeof header))
        return refuse("DOCUMENT_FAULT", EFAULT);
    if (header.loaded < sizeof header)
        return refuse("DOF_LOADED_SMALL", EINVAL);
    if (header.loaded >= kernel.limit)
        return refuse("DOF_LOADED_LIMIT", E2BIG);
    doc->len = header.loaded;
    doc->bytes = calloc(1, (size_t)doc->len);
    if (doc->bytes == NULL)
        return refuse("KERNEL_MEMORY", ENOMEM);
    if (!process_read(doc->record.dof, doc->bytes, (size_t)doc->len))
        return refuse("DOCUMENT_FAULT", EFAULT);
    if (kernel.damage != NULL)
        kernel.damage(doc->bytes, (size_t)doc->len);
    return 0;
}

static void read_arm64_code(struct document *);

/* 0, or -1 and errno if the kernel refuses the document. It may be lost, then. */
static int load(struct document *doc)
{
    if (memchr(doc->record.module, '\0', sizeof doc->record.module) == NULL)
        return refuse("MODULE_LONG", EINVAL);
    if (copy_in(doc) != 0)
        return -1;
    enum check_rule broken = judge(doc, spared), worse = broken;
    if (is_lost[broken])
        worse = judge(doc, spared_or_lost);
    if (worse != CHECK_GOOD && !is_lost[worse])
        return refuse(check_rule_name(worse), worse == CHECK_DOF_LOADED_LIMIT ? E2BIG : EINVAL);
    if (broken != CHECK_GOOD)
        lose(doc, check_rule_name(broken));
    if (!check_is_name(doc->record.module))
        lose(doc, "MODULE_NAME");
    if (is_system("macos") && !is_x86() && doc->lost == NULL)
        read_arm64_code(doc);
    return 0;
}

/* ---- the probes of a good document ---- */

/* The bytes of section i of a document that was found good. */
static const unsigned char *section(const struct document *doc, uint32_t i, uint64_t *size)
{
    struct check_dof_header header;
    struct check_dof_section found;
    memcpy(&header, doc->bytes, sizeof header);
    memcpy(&found, doc->bytes + header.sections + i * sizeof found, sizeof found);
    if (size != NULL)
        *size = found.size;
    return doc->bytes + found.offset;
}

static struct check_dof_provider provider_of(const struct document *doc)
{
    struct check_dof_header header;
    struct check_dof_provider provider = { 0 };
    memcpy(&header, doc->bytes, sizeof header);
    for (uint32_t i = 0; i < header.section_count; i++) {
        struct check_dof_section at;
        memcpy(&at, doc->bytes + header.sections + i * sizeof at, sizeof at);
        if (at.type == CHECK_PROVIDER)
            memcpy(&provider, doc->bytes + at.offset, sizeof provider);
    }
    return provider;
}

/* Where a kernel puts its breakpoint; facts/dof.md, "Machine code". */
static uint64_t counter(const struct document *doc, uint64_t addr, const unsigned char *offsets, uint32_t i,
                        enum check_site site)
{
    uint32_t offset;
    memcpy(&offset, offsets + 4 * (size_t)i, sizeof offset);
    if (!is_system("macos"))
        return addr + offset;
    uint64_t pc = doc->record.addr + (uint64_t)(int64_t)(int32_t)offset;
    return !is_x86() ? pc : site == CHECK_PROBE ? pc - 1 : pc + 2;
}

static void list(struct document *doc, void (*each)(const struct kernel_probe *, void *), void *argument)
{
    struct check_dof_provider provider = provider_of(doc);
    const char *strings = (const char *)section(doc, provider.strings, NULL);
    const unsigned char *offsets = section(doc, provider.offsets, NULL);
    const unsigned char *enabled = section(doc, provider.enabled, NULL);
    uint64_t size;
    const unsigned char *at = section(doc, provider.probes, &size);
    for (; size >= sizeof(struct check_dof_probe); size -= sizeof(struct check_dof_probe)) {
        struct check_dof_probe probe;
        memcpy(&probe, at, sizeof probe);
        at += sizeof probe;
        struct kernel_probe found = {
            .provider = strings + provider.name, .module = doc->record.module,
            .function = strings + probe.function, .name = strings + probe.name,
            .native = strings + probe.native, .translated = strings + probe.translated,
            .map = section(doc, provider.map, NULL) + probe.map,
            .native_count = probe.native_count, .translated_count = probe.translated_count,
            .sites = probe.offset_count,
            .site = counter(doc, probe.addr, offsets, probe.offsets, CHECK_PROBE),
            .last_site = counter(doc, probe.addr, offsets, probe.offsets + probe.offset_count - 1, CHECK_PROBE),
        };
        if (doc->bytes[6] >= booted->enabled_version && provider.enabled != 0 && probe.enabled_count > 0) {
            found.enabled_sites = probe.enabled_count;
            found.enabled_site = counter(doc, probe.addr, enabled, probe.enabled, CHECK_ENABLED);
        }
        each(&found, argument);
    }
}

void kernel_list(void (*each)(const struct kernel_probe *, void *), void *argument)
{
    for (size_t i = 0; i < count; i++)
        if (documents[i].bytes != NULL && documents[i].lost == NULL)
            list(&documents[i], each, argument);
}

size_t kernel_documents(void)
{
    return count;
}

/* macOS on arm64: a site is exactly a nop, an is-enabled site that or movz x0, #0. */
static void read_site(const struct kernel_probe *probe, void *doc)
{
    const uint32_t nop = 0xd503201f, movz = 0xd2800000;
    uint32_t site, enabled = nop;
    if (!process_read(probe->site, &site, sizeof site) || site != nop)
        lose(doc, "CODE_SITE");
    if (probe->enabled_sites > 0 && (!process_read(probe->enabled_site, &enabled, sizeof enabled) ||
                                     (enabled != nop && enabled != movz)))
        lose(doc, "CODE_ENABLED");
}

static void read_arm64_code(struct document *doc)
{
    list(doc, read_site, doc);
}

/* ---- the process's list ---- */

/* What is read, of `doc` itself not. */
static size_t held(const struct document *doc)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += &documents[i] != doc && documents[i].bytes != NULL && documents[i].lost == NULL;
    return n;
}

/* That a document is the process's only one of its kind. */
static void compare(struct document *doc)
{
    if (booted->providers != 0 && held(doc) >= booted->providers)
        lose(doc, "PROVIDERS");
    for (size_t i = 0; i < count && &documents[i] != doc; i++) {
        if (is_system("linux") ? memcmp(documents[i].file, doc->file, sizeof doc->file) == 0
                               : documents[i].record.addr == doc->record.addr)
            lose(doc, is_system("linux") ? "SAME_FILE" : "SAME_ADDR");
    }
}

/* The generation, or -1 and errno. */
static int keep(struct document *doc)
{
    if (count == sizeof documents / sizeof documents[0]) {
        free(doc->bytes);
        return refuse("MODEL_FULL", ENOMEM);
    }
    kernel.adds++;
    doc->generation = kernel.next_generation++;
    documents[count++] = *doc;
    return doc->generation;
}

static int add_now(const struct kernel_record *record)
{
    struct document doc = { .record = *record };
    bool is_linux = is_system("linux");
    int result = load(&doc);
    if (result == 0 && is_linux && !process_file(doc.record.dof, doc.len, doc.file))
        result = refuse("NO_FILE", EINVAL);
    if (result != 0) {
        int error = errno;
        free(doc.bytes);
        errno = error;
        return -1;
    }
    if (doc.lost == NULL)
        compare(&doc);
    return keep(&doc);
}

/* ---- macOS: descriptors now, documents later ---- */

/* FNV-1a of what is to be read; 0 if it cannot be. */
static uint32_t sum_of(const struct kernel_record *record)
{
    struct check_dof_header header;
    uint32_t sum = 2166136261u;
    unsigned char part[4096];
    if (!process_read(record->dof, &header, sizeof header))
        return 0;
    for (uint64_t at = 0, len; at < header.loaded; at += len) {
        len = header.loaded - at < sizeof part ? header.loaded - at : sizeof part;
        if (!process_read(record->dof + at, part, (size_t)len))
            return 0;
        for (size_t i = 0; i < len; i++)
            sum = (sum ^ part[i]) * 16777619u;
    }
    return sum | 1;
}

void kernel_dtrace_starts(void)
{
    for (size_t i = 0; i < count; i++) {
        struct document *doc = &documents[i];
        unsigned refused = kernel.refused;
        if (doc->bytes != NULL || doc->lost != NULL)
            continue;
        if (doc->record.addr != doc->record.dof)
            lose(doc, "ADDR_NOT_DOF");
        else if (doc->sum != sum_of(&doc->record))
            lose(doc, "DOCUMENT_CHANGED");
        else if (load(doc) != 0)
            kernel.refused = refused, lose(doc, kernel.reason); /* nobody is told */
        if (doc->lost == NULL)
            compare(doc);
    }
}

static int add_later(uintptr_t argument)
{
    uint64_t at, helpers;
    struct kernel_record record = { .pid = 0 };
    if (!process_read(argument, &at, sizeof at) || !process_read(at, &helpers, sizeof helpers))
        return refuse("RECORD_FAULT", EFAULT);
    at += sizeof helpers;
    for (; helpers > 0; helpers--, at += DOF_HELPER) {
        if (!process_read(at, &record, DOF_HELPER))
            return refuse("RECORD_FAULT", EFAULT);
        if (kernel.never)
            continue;
        struct document doc = { .record = record };
        if (kernel.damage_record != NULL)
            kernel.damage_record(&doc.record);
        doc.sum = sum_of(&doc.record);
        uint64_t generation = (uint64_t)keep(&doc);
        if (!process_write(at + offsetof(struct kernel_record, dof), &generation, sizeof generation))
            return refuse("RECORD_FAULT", EFAULT);
    }
    return 0;
}

/* ---- the system calls ---- */

int kernel_open(const char *path)
{
    errno = kernel.open_error;
    if (kernel.open_error != 0)
        return -1;
    errno = ENOENT;
    return kernel.device != NULL && strcmp(path, kernel.device) == 0 ? 0 : -1;
}

static int add(uintptr_t argument)
{
    bool is_freebsd = is_system("freebsd");
    struct kernel_record record = { .pid = 0 };
    size_t size = is_freebsd ? sizeof record : DOF_HELPER;
    if (kernel.restricted)
        return refuse("RESTRICTED", EACCES);
    if (kernel.add_error != 0 && kernel.good_adds == 0)
        return refuse("ADD_ERROR", kernel.add_error);
    if (kernel.good_adds > 0)
        kernel.good_adds--;
    if (is_system("macos"))
        return add_later(argument);
    if (!process_read(argument, &record, size))
        return refuse("RECORD_FAULT", EFAULT);
    if (kernel.damage_record != NULL)
        kernel.damage_record(&record);
    if (is_freebsd && record.pid != process_id())
        return refuse("PID", ESRCH);
    int generation = add_now(&record);
    if (generation < 0 || !is_freebsd)
        return generation;
    return process_write(argument + offsetof(struct kernel_record, generation), &generation, sizeof generation)
               ? 0 : refuse("RECORD_FAULT", EFAULT);
}

static int remove_generation(int generation)
{
    if (generation >= kernel.next_generation)
        return refuse("GENERATION", EINVAL);
    for (size_t i = 0; i < count; i++)
        if (documents[i].generation == generation) {
            kernel.removes++;
            free(documents[i].bytes);
            memmove(&documents[i], &documents[i + 1], (--count - i) * sizeof documents[0]);
            break;
        }
    return 0;
}

int kernel_ioctl(unsigned long request, uintptr_t argument)
{
    int generation = (int)argument;
    if (request == booted->add)
        return add(argument);
    if (request != booted->remove)
        return refuse("REQUEST", ENOTTY);
    if (kernel.remove_error != 0)
        return refuse("REMOVE_ERROR", kernel.remove_error);
    if (is_system("freebsd") && !process_read(argument, &generation, sizeof generation))
        return refuse("GENERATION_FAULT", EFAULT);
    return remove_generation(generation);
}

void kernel_forks(void)
{
    if (is_system("linux")) {
        forget(0);
        kernel.next_generation = 0;
    }
}
