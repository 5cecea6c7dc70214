/*
 * models.c - submits random providers to models of the four systems that take DOF documents, and takes them
 * back; breaks their rules one by one; makes them fail. For tests/models.t to run.
 *
 * The library's own code runs, on Linux, as it does on each system: the row of the platform table says which.
 * The seam is the link: what the library asks of the system comes here first (--wrap), and of a helper device
 * goes to a model (kernels.h). What the models list is compared with what was defined.
 *
 *     models [SEED [PROVIDERS]]       prints "ok ..." or "not ok ..." lines
 */
#define _GNU_SOURCE
#include "kernels.h"
#include "fuzz/damage.h"
#include "usdt_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The rows of the table; at `column` stands what a test expects of them. */
enum column { ILLUMOS, FREEBSD, MACOS_X86, MACOS_ARM64, LINUX, COLUMNS };
static const struct row {
    const char *system, *arch;
    enum column column;
} rows[] = {
    { "illumos", "x86_64", ILLUMOS }, { "illumos", "i386", ILLUMOS },   { "freebsd", "x86_64", FREEBSD },
    { "freebsd", "i386", FREEBSD },   { "macos", "x86_64", MACOS_X86 }, { "macos", "i386", MACOS_X86 },
    { "macos", "arm64", MACOS_ARM64 }, { "linux", "x86_64", LINUX },    { "linux", "i386", LINUX },
    { "linux", "arm64", LINUX },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* What a test works on. */
static struct {
    const struct row *row;
    struct usdt_platform platform; /* a copy, to be changed */
    struct usdt_layout layout;
    uint64_t text;
    char why[USDT_WHY_MAX];
} now;

static char wrong[1000]; /* what is, or "" */

__attribute__((format(printf, 1, 2))) static bool is_wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (wrong[0] == '\0') /* the first is the cause */
        vsnprintf(wrong, sizeof wrong, format, args);
    va_end(args);
    return false;
}

#define EXPECT(holds, ...) ((holds) ? true : is_wrong(__VA_ARGS__))

/* ---- the calls of the library ---- */

static long allocated;    /* and not freed; the models give all back as well */
static unsigned devices;  /* how often the device is open */
static int device_fd;     /* its descriptor, each time */
static long calls, fails; /* of those that may fail, and the one that is to: 0 none */

static struct mapping {
    uintptr_t at;
    size_t len;
    int prot;
    uint64_t file[2]; /* 0: none */
} mappings[128];
static size_t mapping_count;
enum { FORGE_NOTHING, FORGE_NO_FILE, FORGE_SAME_FILE };
static int forged; /* what Linux is told of the files of mappings */

static bool must_fail(void)
{
    if (fails == 0 || ++calls != fails)
        return false;
    errno = ENOMEM;
    return true;
}

void *__real_mmap(void *at, size_t len, int prot, int how, int fd, off_t from);
void *__wrap_mmap(void *at, size_t len, int prot, int how, int fd, off_t from);
int __real_munmap(void *at, size_t len);
/* Where an address is taken, XNU and FreeBSD go on upwards from there, but Linux anywhere. */
static void *map_near(void *at, size_t len, int prot, int how)
{
    for (uintptr_t near = (uintptr_t)at, end = near + (1u << 30); near < end; near += 1 << 16) {
        void *map = __real_mmap((void *)near, len, prot, how | MAP_FIXED_NOREPLACE, -1, 0);
        if ((uintptr_t)map == near)
            return map;
        if (map != MAP_FAILED) /* a kernel before 4.17 */
            __real_munmap(map, len);
        else if (errno != EEXIST)
            break;
    }
    return __real_mmap(at, len, prot, how, -1, 0);
}

void *__wrap_mmap(void *at, size_t len, int prot, int how, int fd, off_t from)
{
    bool is_near = at != NULL && (how & (MAP_FIXED | MAP_ANONYMOUS)) == MAP_ANONYMOUS;
    void *map = must_fail() ? MAP_FAILED
                : is_near   ? map_near(at, len, prot, how)
                            : __real_mmap(at, len, prot, how, fd, from);
    if (map == MAP_FAILED)
        return map;
    struct mapping *mapping = &mappings[mapping_count++];
    struct stat file;
    *mapping = (struct mapping){ .at = (uintptr_t)map, .len = len, .prot = prot };
    if ((how & MAP_ANONYMOUS) == 0 && fstat(fd, &file) == 0)
        mapping->file[0] = file.st_dev, mapping->file[1] = file.st_ino;
    if (mapping_count == sizeof mappings / sizeof mappings[0])
        damage_die("too many mappings");
    return map;
}

static struct mapping *find_mapping(uintptr_t at)
{
    for (size_t i = 0; i < mapping_count; i++)
        if (at >= mappings[i].at && at - mappings[i].at < mappings[i].len)
            return &mappings[i];
    return NULL;
}

int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
    struct mapping *mapping = find_mapping((uintptr_t)at);
    if (EXPECT(mapping != NULL && mapping->at == (uintptr_t)at && mapping->len == len, "munmap of no mapping"))
        *mapping = mappings[--mapping_count];
    return __real_munmap(at, len);
}

int __real_mprotect(void *at, size_t len, int prot);
int __wrap_mprotect(void *at, size_t len, int prot);
int __wrap_mprotect(void *at, size_t len, int prot)
{
    struct mapping *mapping = find_mapping((uintptr_t)at);
    if (must_fail())
        return -1;
    if (EXPECT(mapping != NULL && mapping->at == (uintptr_t)at && mapping->len == len, "mprotect of no mapping"))
        mapping->prot = prot;
    return __real_mprotect(at, len, prot);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    EXPECT((flags & O_ACCMODE) == O_RDWR && (flags & O_CLOEXEC) != 0, "%s: flags %x", path, (unsigned)flags);
    if (kernel_open(path) != 0)
        return -1;
    devices++;
    return device_fd;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    if (fd != device_fd)
        return __real_close(fd);
    EXPECT(devices-- > 0, "the device is closed twice");
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    uintptr_t argument = va_arg(args, uintptr_t);
    va_end(args);
    EXPECT(fd == device_fd && devices > 0, "ioctl of descriptor %d", fd);
    for (size_t i = 0; i < mapping_count; i++)
        EXPECT(mappings[i].prot == PROT_READ, "a mapping has protection %d", mappings[i].prot);
    return kernel_ioctl(request, argument);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    void *at = must_fail() ? NULL : __real_calloc(n, size);
    allocated += at != NULL;
    return at;
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    void *at = must_fail() ? NULL : __real_realloc(old, size);
    allocated += at != NULL && old == NULL;
    return at;
}

void __real_free(void *at);
void __wrap_free(void *at);
void __wrap_free(void *at)
{
    allocated -= at != NULL;
    __real_free(at);
}

/* ---- the process that the models see ---- */

/* Where stubs are: anywhere, and below 4 GiB. */
enum { TEXT_SIZE = 1 << 20 };
static unsigned char *text_64, *text_32;

static bool is_text(uint64_t at, size_t len)
{
    uint64_t offset = at - (uintptr_t)(now.platform.word == 4 ? text_32 : text_64);
    return offset < TEXT_SIZE && len < TEXT_SIZE - offset;
}

/* Not through libc: a sanitizer would look at the addresses first. These see what may not be read or written. */
static bool copy(long call, uint64_t theirs, void *ours, size_t len)
{
    struct iovec here = { ours, len }, there = { (void *)(uintptr_t)theirs, len };
    return (uintptr_t)theirs == theirs &&
           syscall(call, (long)process_id(), &here, 1L, &there, 1L, 0L) == (long)len;
}

bool process_read(uint64_t from, void *to, size_t len)
{
    if (is_text(from, len)) { /* there are many sites: no system call for each */
        memcpy(to, (void *)(uintptr_t)from, len);
        return true;
    }
    return copy(SYS_process_vm_readv, from, to, len);
}

bool process_write(uint64_t to, const void *from, size_t len)
{
    return copy(SYS_process_vm_writev, to, (void *)(uintptr_t)from, len);
}

bool process_file(uint64_t at, uint64_t len, uint64_t file[2])
{
    static const uint64_t same[2] = { 1, 1 };
    const struct mapping *mapping = find_mapping((uintptr_t)at);
    if (mapping == NULL || len > mapping->len - (at - mapping->at) || forged == FORGE_NO_FILE)
        return false;
    memcpy(file, forged == FORGE_SAME_FILE ? same : mapping->file, sizeof same);
    return file[1] != 0;
}

int32_t process_id(void)
{
    static pid_t id;
    return (int32_t)(id == 0 ? id = getpid() : id);
}

/* ---- random providers ---- */

static uint32_t random_state;

static uint32_t below(uint32_t n)
{
    random_state ^= random_state << 13; /* xorshift32 */
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % n;
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

enum { MOST_SLOTS = 4000, BARE = 700 /* a document without probes measures less */ };
static usdt_probedef_t *defs[MOST_SLOTS];
static size_t slots, all_size, largest; /* what all probes, and the largest, measure in a document at most */
static char provider[54], module[64];

/* Mostly short; of all lengths up to `longest`. */
static size_t random_name(char *to, size_t longest)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", more[] = "0123456789-.";
    size_t len = 1 + below((uint32_t)(one_in(8) ? longest : longest < 12 ? longest : 12));
    for (size_t i = 0; i < len; i++)
        to[i] = i > 0 && one_in(5) ? more[below(12)] : first[below(53)];
    to[len] = '\0';
    return len;
}

/* Of slot i no other has: it begins with i as three letters. */
static void own_name(char *to, size_t longest, size_t i)
{
    random_name(to, longest - 3);
    memmove(to + 3, to, strlen(to) + 1);
    for (size_t n = 0; n < 3; n++, i /= 26)
        to[n] = (char)('a' + i % 26);
}

static const char *random_type(char to[128])
{
    static const char *const types[] = {
        "int", "char *", "uint8_t", "unsigned long long", "const struct foo *", "int64_t", "bool", "double", "size_t",
        "enum color", "void *", "short", "unsigned char", "pid_t", "long", "uint32_t", "wchar_t", "foo_t", "float",
        "int (*)(int, char *)", "char **", "struct timespec", "volatile unsigned short int", "uintptr_t",
    };
    if (!one_in(8))
        return types[below(sizeof types / sizeof types[0])];
    size_t len = 1 + below(one_in(4) ? 127 : 20);
    for (size_t i = 0; i < len; i++)
        to[i] = (char)(' ' + below(95));
    to[len] = '\0';
    return to;
}

/* What every system reads right. Returns what it adds to a document, at most. */
static size_t translate_randomly(usdt_probedef_t *def)
{
    char texts[USDT_ARG_MAX][128];
    const char *types[USDT_ARG_MAX];
    unsigned char map[USDT_ARG_MAX];
    size_t argc = def->argc == 0 ? 0 : below(USDT_ARG_MAX + 1), size = 0;
    for (size_t i = 0; i < argc; i++) {
        types[i] = random_type(texts[i]);
        map[i] = (unsigned char)below(def->argc < 6 ? (uint32_t)def->argc : 6);
        size += strlen(types[i]) + 2;
    }
    if (usdt_probe_translate(def, argc, types, map) != 0)
        damage_die(usdt_errstr(NULL));
    return size;
}

/* Code of the program's own, or a site elsewhere, which set_up() places. */
static void code_randomly(usdt_probedef_t *def)
{
    enum { MOST = 200 };
    struct usdt_own_code *code = calloc(1, sizeof *code + MOST);
    if (code == NULL)
        damage_die("no memory");
    code->elsewhere = one_in(3);
    code->size = code->elsewhere ? 0 : 4 + 4 * (size_t)below(MOST / 4);
    code->site = code->elsewhere ? 0 : 4 * (size_t)below((uint32_t)code->size / 4);
    ((struct usdt_own_def *)def)->code = code;
}

static void random_probe(size_t slot, bool is_huge)
{
    char function[128], name[64], texts[USDT_ARG_MAX][128];
    const char *types[USDT_ARG_MAX];
    size_t argc = one_in(4) ? below(USDT_ARG_MAX + 1) : below(7);
    if (is_huge)
        argc = USDT_ARG_MAX;
    bool in_function = one_in(2);
    random_name(function, 127);
    random_name(name, 63);
    own_name(in_function ? function : name, in_function ? 127 : 63, slot);
    for (size_t i = 0; i < argc; i++) {
        types[i] = random_type(texts[i]);
        if (is_huge)
            types[i] = (snprintf(texts[i], sizeof texts[i], "%0127zu", slot), texts[i]);
    }
    defs[slot] = usdt_create_probe(function, name, argc, types);
    if (defs[slot] == NULL)
        damage_die(usdt_errstr(NULL));
    size_t size = sizeof(struct check_dof_probe) + 4 + 4 + strlen(function) + strlen(name) + 2;
    for (size_t i = 0; i < argc; i++)
        size += strlen(types[i]) + 1;
    if (!is_huge && one_in(4))
        size += translate_randomly(defs[slot]);
    if (!is_huge && one_in(6)) {
        code_randomly(defs[slot]);
        size += 4;
    }
    all_size += size;
    largest = size > largest ? size : largest;
}

static void random_names(void)
{
    all_size = largest = slots = 0;
    do
        random_name(provider, 53);
    while (!check_is_good_provider(provider));
    random_name(module, 63);
}

static void random_provider(size_t count)
{
    random_names();
    for (; slots < count; slots++) {
        defs[slots] = NULL;
        if (slots == 0 || !one_in(10)) /* a removed probe leaves its slot unused */
            random_probe(slots, false);
    }
}

/* More than one document of so many bytes holds: of the largest probes, and small ones where the first ends. */
static void huge_provider(size_t limit)
{
    random_names();
    for (; all_size < limit + 16384; slots++)
        random_probe(slots, all_size + BARE + 5000 < limit);
}

static void release_provider(void)
{
    for (size_t i = 0; i < slots; i++) {
        usdt_probe_release(defs[i]);
        defs[i] = NULL;
    }
    slots = 0;
}

/* ---- a row, a kernel ---- */

static unsigned char *map_text(uintptr_t hint)
{
    void *at = __real_mmap((void *)hint, TEXT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static bool map_texts(void)
{
    text_64 = map_text(0);
    for (uintptr_t hint = 0x20000000; hint < 0xb0000000; hint += 0x1000000) {
        text_32 = map_text(hint);
        if (text_32 != NULL && (uint64_t)(uintptr_t)text_32 + TEXT_SIZE <= UINT32_MAX)
            return text_64 != NULL;
    }
    return false;
}

/* Where each probe's own code is behind the slots; returns its size, and counts the sites elsewhere. */
static size_t place_code(const struct usdt_platform *platform, size_t *elsewhere)
{
    size_t size = 0;
    for (size_t i = 0; i < slots; i++) {
        struct usdt_own_code *code = defs[i] == NULL ? NULL : ((struct usdt_own_def *)defs[i])->code;
        if (code == NULL)
            continue;
        for (size_t at = 0; at < code->size; at += 4)
            memcpy(code->bytes + at, strcmp(platform->arch, "arm64") == 0 ? "\x1f\x20\x03\xd5" : "\x90\x90\x90\x90", 4);
        code->at = size;
        size += (code->size + USDT_CODE_ALIGN - 1) / USDT_CODE_ALIGN * USDT_CODE_ALIGN;
        *elsewhere += code->elsewhere != 0;
    }
    return size;
}

/* Each where there is a nop, behind the image. */
static void place_elsewhere(unsigned char *at)
{
    for (size_t i = 0; i < slots; i++)
        if (defs[i] != NULL && usdt_is_elsewhere(defs[i])) {
            memcpy(at, strcmp(now.platform.arch, "arm64") == 0 ? "\x1f\x20\x03\xd5" : "\x90\x90\x90\x90", 4);
            ((struct usdt_own_def *)defs[i])->code->elsewhere = (uintptr_t)at;
            at += 4;
        }
}

/* Boots the row's kernel and lays the stubs of `defs` out. False: there is no template here. */
static bool set_up(const struct row *row)
{
    const struct usdt_platform *platform = usdt_platform_find(row->system, row->arch);
    if (platform == NULL || platform->stub == NULL)
        return false;
    now.row = row;
    now.platform = *platform;
    now.layout = (struct usdt_layout){
        .platform = &now.platform, .provider = provider, .module = module, .defs = defs, .count = slots, .page = 4096,
        .direct_call = platform->elf_machine != 0 && strcmp(row->arch, "x86_64") == 0 && one_in(2),
    };
    size_t elsewhere = 0;
    now.layout.code = place_code(platform, &elsewhere);
    size_t own = slots * platform->stub->size + now.layout.code, size = own + 4 * elsewhere;
    if (size > TEXT_SIZE)
        damage_die("too many slots");
    unsigned char *text = platform->word == 4 ? text_32 : text_64;
    text += below((uint32_t)(TEXT_SIZE - size) / 64 + 1) * 64;
    now.text = (uintptr_t)text;
    usdt_layout_write(&now.layout, text, own);
    place_elsewhere(text + own);
    kernel_boot(row->system, row->arch);
    forged = FORGE_NOTHING;
    wrong[0] = now.why[0] = '\0';
    return true;
}

/* Documents of at most so many bytes. */
static void limit_documents(uint32_t bytes)
{
    now.platform.dof_max = bytes;
    kernel.limit = bytes;
}

static bool has_types(const char *types, size_t count, size_t argc, char *const *of)
{
    bool same = count == argc;
    for (size_t i = 0; same && i < count; types += strlen(types) + 1, i++)
        same = strcmp(types, of[i]) == 0;
    return same;
}

static bool is_translated(const struct kernel_probe *probe, const usdt_probedef_t *def)
{
    const struct usdt_translation *translation = ((const struct usdt_own_def *)def)->translation;
    if (translation == NULL)
        return usdt_is_identity(probe->translated_count, probe->map) &&
               has_types(probe->translated, probe->translated_count, def->argc, def->types);
    return has_types(probe->translated, probe->translated_count, translation->argc, translation->types) &&
           memcmp(probe->map, translation->map, translation->argc) == 0;
}

/* Documents may be listed in any order: the site says which probe it is to be. */
static void compare_probe(const struct kernel_probe *probe, void *argument)
{
    const struct usdt_stub *stub = now.platform.stub;
    bool *is_listed = argument;
    uint64_t slot = (probe->site - now.text) / stub->size;
    for (size_t i = 0; i < slots; i++)
        if (defs[i] != NULL && usdt_is_elsewhere(defs[i]) && usdt_code_of(defs[i])->elsewhere == probe->site)
            slot = i;
    if (!EXPECT(slot < slots && defs[slot] != NULL && !is_listed[slot], "a site at slot %" PRIu64, slot))
        return;
    is_listed[slot] = true;
    const usdt_probedef_t *def = defs[slot];
    uint64_t at = now.text + slot * stub->size;
    EXPECT(strcmp(probe->provider, provider) == 0, "slot %" PRIu64 ": provider \"%s\"", slot, probe->provider);
    EXPECT(strcmp(probe->module, module) == 0, "slot %" PRIu64 ": module \"%s\"", slot, probe->module);
    EXPECT(strcmp(probe->function, def->function) == 0, "slot %" PRIu64 ": function \"%s\"", slot, probe->function);
    EXPECT(strcmp(probe->name, def->name) == 0, "slot %" PRIu64 ": name \"%s\"", slot, probe->name);
    EXPECT(has_types(probe->native, probe->native_count, def->argc, def->types), "slot %" PRIu64 ": native types",
           slot);
    EXPECT(is_translated(probe, def), "slot %" PRIu64 ": translation", slot);
    if (usdt_is_elsewhere(def)) {
        EXPECT(probe->sites == 1 && probe->enabled_sites == 0, "slot %" PRIu64 ": %zu sites, %zu is-enabled sites", slot,
               probe->sites, probe->enabled_sites);
        return;
    }
    const struct usdt_own_code *code = usdt_code_of(def);
    uint64_t last = code == NULL ? at + usdt_layout_site(&now.layout)
                                 : now.text + slots * stub->size + code->at + code->site;
    EXPECT(probe->sites == (code == NULL ? 1 : 2) && probe->site == at + usdt_layout_site(&now.layout) &&
               probe->last_site == last,
           "slot %" PRIu64 " at %" PRIx64 ": %zu sites, %" PRIx64 ", %" PRIx64, slot, at, probe->sites, probe->site,
           probe->last_site);
    EXPECT(probe->enabled_sites == 1 && probe->enabled_site == at + stub->isenabled_site,
           "slot %" PRIu64 " at %" PRIx64 ": %zu is-enabled sites, %" PRIx64, slot, at, probe->enabled_sites,
           probe->enabled_site);
}

/* How many probes the kernel lists. */
static size_t list_probes(void)
{
    static bool is_listed[MOST_SLOTS];
    size_t n = 0;
    memset(is_listed, 0, slots);
    kernel_list(compare_probe, is_listed);
    for (size_t i = 0; i < slots; i++)
        n += is_listed[i];
    return n;
}

static size_t defined(void)
{
    size_t n = 0;
    for (size_t i = 0; i < slots; i++)
        n += defs[i] != NULL;
    return n;
}

/* That dtrace, started now, sees what was defined. */
static bool is_held(void)
{
    kernel_dtrace_starts();
    EXPECT(kernel.refused + kernel.lost == 0, "a document is %s: %s", kernel.lost > 0 ? "lost" : "refused",
           kernel.reason);
    return EXPECT(list_probes() == defined(), "not all is held") && wrong[0] == '\0';
}

/* That nothing is left, with the kernel or here. */
static bool is_clean(const struct usdt_helper *list, long allocations)
{
    EXPECT(list == NULL, "the list is not empty");
    EXPECT(kernel_documents() == 0, "the kernel has %zu documents left", kernel_documents());
    EXPECT(mapping_count == 0, "%zu mappings are left", mapping_count);
    EXPECT(devices == 0, "%u descriptors are left", devices);
    EXPECT(allocated == allocations, "%ld allocations are left", allocated - allocations);
    return wrong[0] == '\0';
}

static enum usdt_helped submit(struct usdt_helper **list)
{
    return usdt_helper_submit(list, &now.layout, now.text, now.why);
}

static bool is_system(const char *name)
{
    return strcmp(now.row->system, name) == 0;
}

/* In a child of a fork() all is held as before, and by whom is the library's business. */
static void live_in_child(struct usdt_helper *list)
{
    unsigned adds = kernel.adds;
    kernel_forks();
    usdt_helper_forked(list);
    EXPECT(kernel.adds == adds * (is_system("linux") ? 2 : 1), "%u documents, %u after a fork", adds, kernel.adds);
    is_held();
}

/* Those that on Linux have a document each. */
static size_t alone(void)
{
    size_t n = 0;
    for (size_t i = 0; i < slots; i++)
        n += defs[i] != NULL && usdt_is_elsewhere(defs[i]);
    return n;
}

/* Submits what is set up, and takes it back. */
static bool live(void)
{
    struct usdt_helper *list = NULL;
    long allocations = allocated;
    enum usdt_helped helped = submit(&list);
    EXPECT(helped == USDT_HELPER_DONE, "submit returns %d: %s", (int)helped, now.why);
    unsigned adds = kernel.adds;
    EXPECT(adds > 0 && kernel_documents() == adds, "%u documents", adds);
    EXPECT(!is_system("linux") || adds >= alone(), "%u documents, with %zu probes that are in other files", adds, alone());
    EXPECT(!is_system("macos") || list_probes() == 0, "macOS has read a document before dtrace starts");
    if (!one_in(8)) /* dtrace is not always started */
        is_held();
    if (one_in(8))
        live_in_child(list);
    EXPECT(usdt_helper_withdraw(&list, now.why), "withdraw fails: %s", now.why);
    EXPECT(kernel.removes == adds, "%u of %u documents are removed", kernel.removes, adds);
    kernel_dtrace_starts();
    return is_clean(list, allocations);
}

/* ---- what is printed ---- */

static int failed;

__attribute__((format(printf, 2, 3))) static void report(bool good, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s ", good ? "ok" : "not ok");
    vprintf(format, args);
    printf(good ? "\n" : " [%s]\n", wrong);
    va_end(args);
    fflush(stdout);
    failed |= !good;
}

/* ---- 10,000 random providers ---- */

/* How often a row was tried, and went wrong; how often there were several documents. */
static unsigned tried[ROWS], bad[ROWS], splits;

static void try_random(unsigned number, uint32_t seed)
{
    random_state = seed + number * 2654435761u;
    random_state |= random_state == 0;
    random_provider(1 + below(one_in(16) ? 48 : 8));
    for (size_t r = 0; r < ROWS; r++) {
        if (!set_up(&rows[r]))
            continue;
        tried[r]++;
        if (one_in(4)) /* so that each holds two probes or more: a process may not have more than 32 */
            limit_documents((uint32_t)(2 * largest + BARE) + below((uint32_t)all_size));
        kernel.next_generation = one_in(4) ? 0 : (int)below(INT32_MAX - 1000);
        if (!live() && bad[r]++ < 5)
            report(false, "provider %u of seed %" PRIu32 ": %s %s", number, seed, rows[r].system, rows[r].arch);
        splits += kernel.removes > 1;
    }
    release_provider();
}

static long count_mappings(void)
{
    char text[4096];
    long lines = 0;
#ifdef __SANITIZE_ADDRESS__ /* which maps more now and then */
    return 0;
#endif
    int fd = __real_open("/proc/self/maps", O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    __real_close(fd);
    return lines;
}

static void try_randoms(uint32_t seed, unsigned count)
{
    long allocations = allocated, maps = 0;
    for (unsigned i = 0; i < count; i++) {
        try_random(i, seed);
        if (i == count / 2)
            maps = count_mappings();
    }
    for (size_t r = 0; r < ROWS; r++)
        if (tried[r] > 0)
            report(bad[r] == 0, "%u random providers, seed %" PRIu32 ": %s %s", tried[r], seed,
                   rows[r].system, rows[r].arch);
    wrong[0] = '\0';
    EXPECT(splits >= count / 100, "only %u", splits);
    report(wrong[0] == '\0', "%u of them needed several documents", splits);
    EXPECT(allocated == allocations, "%ld allocations", allocated - allocations);
    int fd = __real_open("/dev/null", O_RDONLY);
    EXPECT(fd < 10, "descriptor %d", fd);
    __real_close(fd);
    EXPECT(count_mappings() <= maps, "%ld mappings, %ld before", count_mappings(), maps);
    report(wrong[0] == '\0', "nothing is left of them");
}
/* ---- what the rules are broken in ---- */

/* Slots: main:start(int, char *), none, main:end(), and three of the longest names, with 13 arguments. */
static void define(void)
{
    static const char *const two[] = { "int", "char *" };
    char function[128], name[64], type[128];
    const char *types[13];
    release_provider();
    strcpy(provider, "prov-9.x");
    strcpy(module, "mod");
    slots = 6;
    defs[0] = usdt_create_probe("main", "start", 2, (const char **)(uintptr_t)two);
    defs[2] = usdt_create_probe("main", "end", 0, NULL);
    memset(function, 'f', 127);
    memset(name, 'n', 63);
    function[127] = name[63] = type[127] = '\0';
    for (size_t i = 3; i < slots; i++) {
        memset(type, (int)('q' + i), 127);
        name[62] = (char)('A' + i);
        for (size_t n = 0; n < 13; n++)
            types[n] = type;
        defs[i] = usdt_create_probe(function, name, 13, types);
    }
    largest = 48 + 8 + 128 + 64 + 13 * 128;
}

/* In more than one document. */
static void split(void)
{
    limit_documents((uint32_t)(2 * largest + BARE));
}

/*
 * What came of it: R refused, L lost without a word, C lost because of the code that is at its sites, A
 * held as it was defined, W held, but not as it was defined; ? none of these.
 */
static char outcome(struct usdt_helper **list)
{
    enum usdt_helped helped = submit(list);
    if (helped == USDT_HELPER_FAILED)
        return now.why[0] == '\0' ? '?' : 'R';
    if (helped != USDT_HELPER_DONE)
        return '?';
    kernel_dtrace_starts();
    if (kernel.lost > 0)
        return strncmp(kernel.reason, "CODE_", 5) == 0 ? 'C' : 'L';
    bool is_same = is_held();
    wrong[0] = '\0'; /* so it is to be */
    return is_same ? 'A' : 'W';
}

/* Submits what is set up: what comes of it is one letter of `expected`, by column, and R and L are for this
   rule (NULL: for any). */
static void try_outcome(const char *what, const char *rule, const char *expected)
{
    struct usdt_helper *list = NULL;
    long allocations = allocated;
    char letter = expected[now.row->column], found;
    if (letter == '.')
        return;
    found = outcome(&list);
    const char *reason = kernel.reason == NULL ? "" : kernel.reason;
    EXPECT(found == letter, "%c, not %c: %s, %s", found, letter, reason, now.why);
    EXPECT((letter != 'R' && letter != 'L') || rule == NULL || strcmp(reason, rule) == 0, "%s: %s", reason, now.why);
    kernel.damage = NULL;
    usdt_helper_withdraw(&list, now.why);
    is_clean(list, allocations);
    static const char *const outcomes[] = { "Rrefused", "Llost", "Clost for its code", "Aaccepted",
                                            "Wseen to be another" };
    const char *said = "";
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
        if (outcomes[i][0] == letter)
            said = outcomes[i] + 1;
    report(wrong[0] == '\0', "%s %s: %s: %s", now.row->system, now.row->arch, what, said);
}

/* ---- each rule of a document, broken ---- */

#define REFUSED "RRLLR" /* macOS has said yes before it reads */
#define LOST "LLLLL"
#define ACCEPTED "AAAAA"
#define ANOTHER "WWWWW"
#define MOVED "WWWCW"

typedef void edit(unsigned char *document);

static void put_in_provider(unsigned char *document, uint32_t name)
{
    memcpy(document + damage_dof_contents(document, CHECK_PROVIDER) + offsetof(struct check_dof_provider, name),
           &name, sizeof name);
}

/* A type has 127 characters; the provider takes the end of it. */
static void name_of_54(unsigned char *document)
{
    put_in_provider(document, damage_dof_probe(document, 2).native + 127 - 54);
}
static void name_of_63(unsigned char *document)
{
    put_in_provider(document, damage_dof_probe(document, 2).native + 127 - 63);
}
static void name_of_64(unsigned char *document)
{
    put_in_provider(document, damage_dof_probe(document, 2).native + 127 - 64);
}

static void swap_sections(unsigned char *a, unsigned char *b)
{
    struct check_dof_section section;
    memcpy(&section, a, sizeof section);
    memcpy(a, b, sizeof section);
    memcpy(b, &section, sizeof section);
}

static void enabled_first(unsigned char *document)
{
    swap_sections(document + damage_dof_header(document).sections,
                  document + damage_dof_section(document, CHECK_PRENOFFS));
}

static void drop_provider(unsigned char *document)
{
    struct check_dof_header header = damage_dof_header(document);
    header.section_count--;
    swap_sections(document + header.sections + header.section_count * sizeof(struct check_dof_section),
                  document + damage_dof_section(document, CHECK_PROVIDER));
    memcpy(document, &header, sizeof header);
}

static void name_of_127(unsigned char *document)
{
    struct check_dof_probe probe = damage_dof_probe(document, 2);
    probe.name = probe.function;
    memcpy(document + damage_dof_place(document, PROBE, 2), &probe, sizeof probe);
}

static const struct damage {
    enum check_rule rule;
    const char *expected;
    struct patch patches[3];
    edit *edit;
} damages[] = {
    { CHECK_DOF_MAGIC, REFUSED, .patches = { BYTE(HEADER, 0, 3, 'f') } },
    { CHECK_DOF_MODEL_KNOWN, REFUSED, .patches = { HDR(model, SET, 3) } },
    { CHECK_DOF_MODEL, ACCEPTED, .patches = { HDR(model, SET, 1) } },
    { CHECK_DOF_MODEL, ACCEPTED, .patches = { HDR(model, SET, 2) } },
    { CHECK_DOF_ENCODING, REFUSED, .patches = { HDR(encoding, SET, 2) } },
    { CHECK_DOF_VERSION, REFUSED, .patches = { HDR(version, SET, 0) } },
    { CHECK_DOF_VERSION, "WWLLW", .patches = { HDR(version, SET, 1) } },
    { CHECK_DOF_VERSION, "AALLW", .patches = { HDR(version, SET, 2) } },
    { CHECK_DOF_VERSION, "RRAAA", .patches = { HDR(version, SET, 3) } },
    { CHECK_DOF_VERSION, REFUSED, .patches = { HDR(version, SET, 4) } },
    { CHECK_DOF_DIF_VERSION, REFUSED, .patches = { HDR(dif_version, SET, 1) } },
    { CHECK_DOF_REGISTERS, REFUSED, .patches = { HDR(registers, SET, 9) } },
    { CHECK_DOF_REGISTERS, REFUSED, .patches = { HDR(tuple_registers, SET, 9) } },
    { CHECK_DOF_IDENT, REFUSED, .patches = { BYTE(HEADER, 0, 10, 1) } },
    { CHECK_DOF_IDENT, REFUSED, .patches = { BYTE(HEADER, 0, 15, 1) } },
    { CHECK_DOF_FLAGS, REFUSED, .patches = { HDR(flags, SET, 1) } },
    { CHECK_DOF_HEADER_SIZE, ACCEPTED, .patches = { HDR(header_size, SET, 72) } },
    { CHECK_DOF_SECTION_SIZE, REFUSED, .patches = { HDR(section_size, SET, 40) } },
    { CHECK_DOF_LOADED_SMALL, REFUSED, .patches = { HDR(loaded, SET, 63) } },
    { CHECK_DOF_LOADED_LIMIT, REFUSED, .patches = { HDR(loaded, SET, UINT64_C(1) << 32) } },
    { CHECK_DOF_LOADED_LIMIT, "..LL.", .patches = { HDR(loaded, SET, 512 << 10) } },
    { CHECK_DOF_LOADED_LIMIT, "RR...", .patches = { HDR(loaded, SET, 8 << 20) } },
    { CHECK_DOF_LOADED_LIMIT, "....R", .patches = { HDR(loaded, SET, 256 << 20) } },
    { CHECK_DOF_FILE_SIZE, ACCEPTED, .patches = { HDR(file_size, ADD, 8) } },
    { CHECK_DOF_TABLE_BOUNDS, REFUSED, .patches = { HDR(section_count, SET, UINT32_MAX) } },
    { CHECK_DOF_TABLE_ALIGNED, REFUSED, .patches = { HDR(sections, ADD, 4) } },
    { CHECK_DOF_SECTION_LOAD, REFUSED, .patches = { SEC(PROBES, flags, SET, 0) } },
    { CHECK_DOF_SECTION_LOAD, REFUSED, .patches = { SEC(PROVIDER, flags, SET, 0) } },
    { CHECK_DOF_SECTION_BOUNDS, REFUSED, .patches = { SEC(PRARGS, size, ADD, 1 << 20) } },
    { CHECK_DOF_SECTION_BOUNDS, REFUSED, .patches = { SEC(PROBES, offset, SET, MINUS(48)) } },
    { CHECK_DOF_SECTION_ALIGN, REFUSED, .patches = { SEC(PROBES, align, SET, 0) } },
    { CHECK_DOF_SECTION_ALIGN, REFUSED, .patches = { SEC(STRTAB, align, SET, 3) } },
    { CHECK_DOF_SECTION_ALIGNED, REFUSED, .patches = { SEC(PROBES, offset, ADD, 4) } },
    { CHECK_DOF_SECTION_NATURAL, ACCEPTED, .patches = { SEC(PROBES, align, SET, 4) } },
    { CHECK_DOF_STRINGS_NUL, REFUSED, .patches = { SEC(STRTAB, size, ADD, MINUS(1)) } },
    { CHECK_DOF_ENTRY_SIZE, REFUSED, .patches = { SEC(PROBES, entry_size, SET, 47) } },
    { CHECK_DOF_ENTRY_SIZE, REFUSED, .patches = { SEC(PRARGS, entry_size, SET, 0) } },
    { CHECK_DOF_ENTRY_SIZE, REFUSED, .patches = { SEC(PROFFS, entry_size, SET, 8) } },
    { CHECK_DOF_ENTRY_SIZE, REFUSED, .patches = { SEC(PRENOFFS, entry_size, SET, 8) } },
    { CHECK_DOF_ENTRIES, ACCEPTED, .patches = { SEC(PROBES, size, ADD, 1) } },
    { CHECK_DOF_SECTION_ZERO, REFUSED, .edit = enabled_first },
    { CHECK_DOF_PROVIDER_NONE, LOST, .edit = drop_provider },
    { CHECK_DOF_PROVIDER_SHORT, REFUSED, .patches = { SEC(PROVIDER, size, SET, 40) } },
    { CHECK_DOF_REFERENCE, REFUSED, .patches = { PROV(strings, SET, 99) } },
    { CHECK_DOF_REFERENCE, REFUSED, .patches = { PROV(probes, SET, 0) } },
    { CHECK_DOF_REFERENCE, REFUSED, .patches = { SEC(STRTAB, type, SET, 1) } },
    { CHECK_DOF_STRING, REFUSED, .patches = { PROV(name, SET, 1 << 20) } },
    { CHECK_DOF_STRING, REFUSED, .patches = { PRB(0, function, SET, 1 << 20) } },
    { CHECK_DOF_STRING, REFUSED, .patches = { PRB(2, native, SET, UINT32_MAX) } },
    { CHECK_DOF_PROVIDER_LONG, LOST, .edit = name_of_54 },
    { CHECK_DOF_PROVIDER_LONG, LOST, .edit = name_of_63 },
    { CHECK_DOF_PROVIDER_FIELD, REFUSED, .edit = name_of_64 },
    { CHECK_DOF_PROVIDER_NAME, LOST, .patches = { PROV(name, ADD, 8) } }, /* "" */
    { CHECK_DOF_PROVIDER_NAME, LOST, .patches = { BYTE(PROVIDER_STRING, 0, 0, '9') } },
    { CHECK_DOF_PROVIDER_NAME, LOST, .patches = { BYTE(PROVIDER_STRING, 0, 2, ' ') } },
    { CHECK_DOF_PROVIDER_NAME, LOST, .patches = { BYTE(PROVIDER_STRING, 0, 2, ':') } },
    { CHECK_DOF_PROVIDER_DIGIT, LOST, .patches = { BYTE(PROVIDER_STRING, 0, 7, '1') } },
    { CHECK_DOF_PROVIDER_RESERVED, LOST, .patches = { WORD(PROVIDER_STRING, 0, 0, SET, 0x646970) } }, /* pid */
    { CHECK_DOF_PROVIDER_RESERVED, "WWLLW",
      .patches = { WORD(PROVIDER_STRING, 0, 0, SET, 0x636a626f), BYTE(PROVIDER_STRING, 0, 4, 0) } }, /* objc */
    { CHECK_DOF_STABILITY, LOST, .patches = { PROV(attributes[0], SET, 8u << 24) } },
    { CHECK_DOF_STABILITY, LOST, .patches = { PROV(attributes[4], SET, 8u << 16) } },
    { CHECK_DOF_CLASS, ACCEPTED, .patches = { PROV(attributes[2], SET, 6u << 8) } },
    { CHECK_DOF_PROBES_NONE, REFUSED, .patches = { SEC(PROBES, size, SET, 0) } },
    { CHECK_DOF_FUNCTION_LONG, REFUSED, .patches = { BYTE(FUNCTION_STRING, 2, 127, 'f') } },
    { CHECK_DOF_FUNCTION_NAME, LOST, .patches = { BYTE(FUNCTION_STRING, 2, 5, ' ') } },
    { CHECK_DOF_PROBE_LONG, REFUSED, .edit = name_of_127 },
    { CHECK_DOF_PROBE_NAME, LOST, .patches = { BYTE(NAME_STRING, 2, 0, '9') } },
    { CHECK_DOF_TYPE_LONG, REFUSED, .patches = { BYTE(TYPE_STRING, 2, 127, 't') } },
    { CHECK_DOF_TYPE_EMPTY, ANOTHER, .patches = { BYTE(TYPE_STRING, 0, 0, 0) } },
    { CHECK_DOF_MAP_BOUNDS, REFUSED, .patches = { PRB(2, map, SET, UINT32_MAX) } },
    { CHECK_DOF_MAP_READ, "WLLWW", .patches = { BYTE(MAP, 2, 7, 8) } },
    { CHECK_DOF_OFFSETS_NONE, REFUSED, .patches = { PRB(1, offset_count, SET, 0) } },
    { CHECK_DOF_OFFSETS_BOUNDS, REFUSED, .patches = { PRB(1, offsets, SET, UINT32_MAX) } },
    { CHECK_DOF_OFFSETS_BOUNDS, REFUSED, .patches = { PRB(0, offset_count, SET, 9) } },
    { CHECK_DOF_ENABLED_BOUNDS, REFUSED, .patches = { PRB(2, enabled, SET, 9) } },
    { CHECK_DOF_OFFSET_NEGATIVE, MOVED, .patches = { WORD(OFFSETS, 0, 0, SET, 0xfffffffc) } },
    { CHECK_DOF_ADDRESS, "WWAAW", .patches = { PRB(1, addr, SET, UINT64_MAX) } },
    { CHECK_DOF_PADDING, ACCEPTED, .patches = { PRB(0, pad16, SET, 1) } },
    { CHECK_DOF_TWICE, ANOTHER, .patches = { AS(1, name, 0) } },
    { CHECK_DOF_SAME_ADDRESS, "RRAAR", .patches = { AS(1, addr, 0) } },
    { CHECK_DOF_SAME_ADDRESS, "AALLA", .patches = { { OFFSETS, 2, 0, 4, COPY, 0, 1 } } },
    { CHECK_DOF_GIVEN_FUNCTION, ANOTHER, .patches = { BYTE(FUNCTION_STRING, 2, 126, 'g') } },
    { CHECK_DOF_GIVEN_NAME, ANOTHER, .patches = { BYTE(NAME_STRING, 2, 62, 'm') } },
    { CHECK_DOF_GIVEN_TYPE, ANOTHER, .patches = { BYTE(TYPE_STRING, 0, 0, 'I') } },
    { CHECK_DOF_GIVEN_TRANSLATED, ANOTHER, .patches = { PRB(0, translated_count, SET, 1) } },
    { CHECK_DOF_GIVEN_NATIVE, ANOTHER,
      .patches = { PRB(2, native_count, SET, 12), PRB(2, translated_count, SET, 12) } },
    { CHECK_DOF_GIVEN_OFFSETS, ANOTHER, .patches = { PRB(1, enabled_count, SET, 0) } },
    { CHECK_DOF_GIVEN_SITE, MOVED, .patches = { WORD(OFFSETS, 1, 0, ADD, 1) } },
    { CHECK_DOF_GIVEN_ENABLED, MOVED, .patches = { WORD(ENABLED, 2, 0, ADD, 1) } },
};

static const struct damage *damaging;

static void damage_document(unsigned char *document, size_t len)
{
    if (damaging->edit != NULL)
        damaging->edit(document);
    for (size_t i = 0; i < 3 && damaging->patches[i].place != NOWHERE; i++)
        damage_dof(document, len, &damaging->patches[i]);
}

static void try_documents(const struct row *row)
{
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        set_up(row);
        damaging = &damages[i];
        kernel.damage = damage_document;
        char what[200];
        snprintf(what, sizeof what, "not so: %s", check_rule_text(damaging->rule));
        try_outcome(what, check_rule_name(damaging->rule), damaging->expected);
    }
    for (int rule = 0; rule < CHECK_RULES; rule++) {
        size_t i = 0;
        while (i < sizeof damages / sizeof damages[0] && damages[i].rule != (enum check_rule)rule)
            i++;
        if (kernel_has_rule(rule) && i == sizeof damages / sizeof damages[0])
            report(false, "%s %s: nothing breaks %s", row->system, row->arch, check_rule_name((enum check_rule)rule));
    }
}

/* ---- the record, the place, the row of the table ---- */

static void long_module(struct kernel_record *record) { memset(record->module, 'm', sizeof record->module); }
static void bad_module(struct kernel_record *record) { record->module[1] = ' '; }
static void no_document(struct kernel_record *record) { record->dof = record->addr = 8; }
static void other_addr(struct kernel_record *record) { record->addr += 64; }
static void other_pid(struct kernel_record *record) { record->pid++; }

static const struct {
    const char *what, *rule, *expected;
    void (*damage)(struct kernel_record *);
    int forged;
} records[] = {
    { "the record's module has no NUL", "MODULE_LONG", REFUSED, long_module, 0 },
    { "the record's module has a space", "MODULE_NAME", LOST, bad_module, 0 },
    { "the record's document is nowhere", "DOCUMENT_FAULT", REFUSED, no_document, 0 },
    { "the record's address is not the document's", "ADDR_NOT_DOF", "AALLA", other_addr, 0 },
    { "the record has another process's id", "PID", "ARAAA", other_pid, 0 },
    { "the document is in no file", "NO_FILE", "AAAAR", NULL, FORGE_NO_FILE },
    { "two documents are in one file", "SAME_FILE", "AAAAL", NULL, FORGE_SAME_FILE },
};

static void try_records(const struct row *row)
{
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        set_up(row);
        split();
        kernel.damage_record = records[i].damage;
        forged = records[i].forged;
        try_outcome(records[i].what, records[i].rule, records[i].expected);
    }
}

static void version_1(struct usdt_platform *platform) { platform->dof_version = 1; }
static void version_2(struct usdt_platform *platform) { platform->dof_version = 2; }
static void version_3(struct usdt_platform *platform) { platform->dof_version = 3; }
static void other_probe_bias(struct usdt_platform *platform) { platform->probe_bias++; }
static void other_enabled_bias(struct usdt_platform *platform) { platform->isenabled_bias++; }
static void other_base(struct usdt_platform *platform) { platform->base_is_dof = false; }
static void other_request(struct usdt_platform *platform) { platform->add++; }

static const struct {
    const char *what, *rule, *expected;
    void (*change)(struct usdt_platform *);
} columns[] = {
    { "the table says DOF version 1", "DOF_VERSION", "WWLLW", version_1 },
    { "the table says DOF version 2", "DOF_VERSION", "AALLW", version_2 },
    { "the table says DOF version 3", "DOF_VERSION", "RRAAA", version_3 },
    { "the table has another bias of probes", "", MOVED, other_probe_bias },
    { "the table has another bias of is-enabled probes", "", MOVED, other_enabled_bias },
    { "the table has offsets count from the probe's address", NULL, "..LL.", other_base },
    { "the table has another request", "REQUEST", "RRRRR", other_request },
};

static void try_columns(const struct row *row)
{
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        set_up(row);
        columns[i].change(&now.platform);
        try_outcome(columns[i].what, columns[i].rule, columns[i].expected);
    }
}

static void spoil(uintptr_t document, size_t len, bool whole)
{
    __real_mprotect((void *)document, len, whole ? PROT_NONE : PROT_READ | PROT_WRITE);
    if (!whole)
        ((unsigned char *)document)[len / 2] ^= 1;
}

/* Between the ioctl and the start of dtrace; only macOS has not read by then. */
static void try_later(const struct row *row)
{
    for (int gone = 0; gone < 2; gone++) {
        struct usdt_helper *list = NULL;
        set_up(row);
        long allocations = allocated;
        if (EXPECT(submit(&list) == USDT_HELPER_DONE && mapping_count == 1, "%zu mappings: %s", mapping_count,
                   now.why))
            spoil(mappings[0].at, mappings[0].len, gone);
        kernel_dtrace_starts();
        bool is_lost = kernel.lost > 0 && strcmp(kernel.reason, "DOCUMENT_CHANGED") == 0;
        EXPECT(is_lost == is_system("macos"), "%u are lost", kernel.lost);
        usdt_helper_withdraw(&list, now.why);
        is_clean(list, allocations);
        report(wrong[0] == '\0', "%s %s: the document %s before dtrace starts: %s", row->system, row->arch,
               gone ? "goes" : "changes", is_system("macos") ? "lost" : "accepted");
    }
}

/* What is at the sites, only macOS on arm64 looks at. */
static void try_code(const struct row *row)
{
    for (int enabled = 0; enabled < 2; enabled++) {
        set_up(row);
        const struct usdt_stub *stub = now.platform.stub;
        ((unsigned char *)(uintptr_t)now.text)[enabled ? stub->isenabled_site : stub->site] ^= 0x40;
        try_outcome(enabled ? "other code at an is-enabled site" : "other code at a site", "", "AAACA");
    }
}

/* What the library does never: the models can say no. */
static void try_faults(const struct row *row)
{
    const uintptr_t nowhere = 8;
    uint64_t pointer = nowhere;
    set_up(row);
    EXPECT(kernel_ioctl(now.platform.add, nowhere) == -1 && errno == EFAULT, "%s", kernel.reason);
    if (is_system("macos"))
        EXPECT(kernel_ioctl(now.platform.add, (uintptr_t)&pointer) == -1 && errno == EFAULT, "%s", kernel.reason);
    if (is_system("freebsd"))
        EXPECT(kernel_ioctl(now.platform.remove, nowhere) == -1 && errno == EFAULT, "%s", kernel.reason);
    EXPECT(kernel_ioctl(1, nowhere) == -1 && errno == ENOTTY, "%s", kernel.reason);
    report(wrong[0] == '\0' && kernel.refused > 1, "%s %s: bad pointers and requests: refused", row->system, row->arch);
}

/* ---- many at a time ---- */

enum { MANY = 70 };

/* The stubs are the n-th from the first ones of all. */
static void move(size_t n)
{
    now.text = (uintptr_t)(now.platform.word == 4 ? text_32 : text_64) + n * slots * now.platform.stub->size;
    usdt_stubs_write(now.platform.stub, (void *)(uintptr_t)now.text, slots);
}

static void submit_many(struct usdt_helper **lists, size_t count, bool apart)
{
    for (size_t i = 0; i < count; i++) {
        move(apart ? i : 0);
        lists[i] = NULL;
        EXPECT(submit(&lists[i]) == USDT_HELPER_DONE, "provider %zu: %s", i, now.why);
    }
    kernel_dtrace_starts();
}

static void withdraw_many(struct usdt_helper **lists, size_t count, long allocations)
{
    for (size_t i = 0; i < count; i++) {
        size_t before = kernel_documents();
        bool had = lists[i] != NULL;
        EXPECT(usdt_helper_withdraw(&lists[i], now.why), "withdraw %zu: %s", i, now.why);
        EXPECT(kernel_documents() == before - had, "%zu documents, %zu before", kernel_documents(), before);
    }
    is_clean(lists[0], allocations);
}

static void try_same_address(const struct row *row)
{
    struct usdt_helper *lists[2];
    set_up(row);
    long allocations = allocated;
    submit_many(lists, 2, false);
    bool loses = is_system("illumos") || is_system("freebsd");
    EXPECT(kernel.lost == loses && (!loses || strcmp(kernel.reason, "SAME_ADDR") == 0), "%u are lost", kernel.lost);
    withdraw_many(lists, 2, allocations);
    report(wrong[0] == '\0', "%s %s: two documents have one address: %s", row->system, row->arch,
           loses ? "lost" : "accepted");
}

/* Without the library's own limit the kernel's is seen; with it, nothing is lost. */
static void try_many(const struct row *row)
{
    static struct usdt_helper *lists[MANY];
    set_up(row);
    long allocations = allocated;
    unsigned most = is_system("linux") ? MANY : is_system("macos") ? 64 : 32;
    now.platform.helpers_max = 0;
    submit_many(lists, MANY, true);
    EXPECT(kernel.lost == MANY - most, "%u of %d are lost", kernel.lost, MANY);
    withdraw_many(lists, MANY, allocations);
    report(wrong[0] == '\0', "%s %s: of %d providers %u are held", row->system, row->arch, MANY, most);
    if (is_system("linux"))
        return;

    set_up(row);
    submit_many(lists, most, true);
    struct usdt_helper *more = NULL;
    move(most);
    EXPECT(submit(&more) == USDT_HELPER_FAILED && now.why[0] != '\0' && more == NULL, "one more is submitted");
    EXPECT(usdt_helper_withdraw(&lists[0], now.why) && submit(&more) == USDT_HELPER_DONE, "none in its place: %s",
           now.why);
    kernel_dtrace_starts();
    EXPECT(kernel.lost == 0, "%u are lost", kernel.lost);
    lists[0] = more;
    withdraw_many(lists, most, allocations);
    report(wrong[0] == '\0', "%s %s: %u providers are held, and another is not submitted", row->system, row->arch,
           most);
}

/* As many as the system's own limit splits. */
static void try_huge(const struct row *row)
{
    release_provider();
    if (!set_up(row) || kernel.limit > 8u << 20)
        return; /* Linux: 60,000 probes */
    huge_provider((size_t)kernel.limit);
    set_up(row);
    bool good = live() && EXPECT(kernel.removes == 2, "%u documents", kernel.removes);
    report(good, "%s %s: %zu probes, more than a document holds: 2 documents", row->system, row->arch, slots);
}

/* ---- failures ---- */

/* Submits what is set up: it fails with a message, and leaves nothing; by the kernel's rule, or NULL if the
   library knows it before. */
static void must_be_refused(const char *what, const char *rule)
{
    struct usdt_helper *list = NULL;
    long allocations = allocated;
    enum usdt_helped helped = submit(&list);
    EXPECT(helped == USDT_HELPER_FAILED && now.why[0] != '\0', "submit returns %d: %s", (int)helped, now.why);
    const char *reason = kernel.reason == NULL ? "no rule" : kernel.reason;
    EXPECT(strcmp(reason, rule == NULL ? "no rule" : rule) == 0, "%s", reason);
    EXPECT(kernel.adds == kernel.removes, "%u added, %u removed", kernel.adds, kernel.removes);
    EXPECT(kernel.add_error == 0 || strcmp(now.why, strerror(kernel.add_error)) == 0, "the message is %s", now.why);
    is_clean(list, allocations);
    report(wrong[0] == '\0', "%s %s: %s: \"%s\"", now.row->system, now.row->arch, what, now.why);
}

static const int errors[] = { EACCES, E2BIG, EINVAL, ENOMEM, EFAULT, EPERM, EBUSY, EIO, EAGAIN, ENOTSUP };
enum { ERRORS = sizeof errors / sizeof errors[0] };

static void try_refusals(const struct row *row)
{
    char what[100];
    for (size_t i = 0; i < ERRORS; i++)
        for (unsigned good = 0; good < 2; good++) {
            set_up(row);
            split();
            kernel.add_error = errors[i];
            kernel.good_adds = good;
            snprintf(what, sizeof what, "document %u fails with %s", good + 1, strerror(errors[i]));
            must_be_refused(what, "ADD_ERROR");
        }
    set_up(row);
    limit_documents(1000);
    must_be_refused("a probe fits into no document", NULL);
    if (strcmp(row->system, "macos") == 0) {
        set_up(row);
        kernel.restricted = true;
        must_be_refused("a restricted process", "RESTRICTED");
        set_up(row);
        kernel.never = true;
        must_be_refused("mode never", NULL);
        set_up(row);
        now.text = UINT64_C(0x7000000000000000);
        must_be_refused("stubs out of reach of any document", NULL);
    } else {
        set_up(row);
        kernel.limit = 4000; /* an older kernel */
        must_be_refused("a lower limit than the table's", "DOF_LOADED_LIMIT");
    }
}

static void try_devices(const struct row *row)
{
    static const int absent[] = { ENOENT, ENXIO, ENODEV }, closed[] = { EACCES, EPERM, EMFILE };
    struct usdt_helper *list = NULL;
    for (size_t i = 0; i < 3; i++) {
        set_up(row);
        kernel.open_error = absent[i];
        enum usdt_helped helped = submit(&list);
        EXPECT(helped == USDT_HELPER_NONE && list == NULL, "submit returns %d", (int)helped);
        report(wrong[0] == '\0', "%s %s: no device, %s: no DTrace here", row->system, row->arch, strerror(absent[i]));
        set_up(row);
        kernel.open_error = closed[i];
        must_be_refused("the device cannot be opened", NULL);
    }
    set_up(row);
    kernel.device = NULL;
    EXPECT(submit(&list) == USDT_HELPER_NONE && list == NULL, "not so");
    report(wrong[0] == '\0', "%s %s: no device: no DTrace here", row->system, row->arch);
    set_up(row);
    if (kernel.other_device != NULL) {
        kernel.device = kernel.other_device;
        report(live(), "%s %s: only %s is there", row->system, row->arch, kernel.device);
    }
}

/* The kernel goes on holding what it does not take back: what it holds is gone here all the same. */
static void try_withdrawals(const struct row *row)
{
    for (size_t i = 0; i < 2 * ERRORS; i++) {
        struct usdt_helper *list = NULL;
        set_up(row);
        split();
        long allocations = allocated;
        EXPECT(submit(&list) == USDT_HELPER_DONE, "%s", now.why);
        *(i % 2 == 0 ? &kernel.remove_error : &kernel.open_error) = errors[i / 2];
        now.why[0] = '\0';
        EXPECT(!usdt_helper_withdraw(&list, now.why) && now.why[0] != '\0', "withdraw succeeds");
        kernel_boot(row->system, row->arch);
        is_clean(list, allocations);
        report(wrong[0] == '\0', "%s %s: %s fails at the end: \"%s\"", row->system, row->arch,
               i % 2 == 0 ? "the ioctl" : "open", now.why);
    }
}

/* The process is another by now: its generations begin again, or have gone on. */
static void try_generations(const struct row *row)
{
    for (int more = 0; more < 2; more++) {
        struct usdt_helper *list = NULL;
        set_up(row);
        long allocations = allocated;
        kernel.next_generation = 5;
        EXPECT(submit(&list) == USDT_HELPER_DONE, "%s", now.why);
        kernel_boot(row->system, row->arch);
        kernel.next_generation = more ? 6 : 5;
        bool done = usdt_helper_withdraw(&list, now.why);
        EXPECT(done == more && (more || strcmp(kernel.reason, "GENERATION") == 0), "withdraw: %s", now.why);
        is_clean(list, allocations);
        report(wrong[0] == '\0', "%s %s: a generation that %s removed: %s", row->system, row->arch,
               more ? "was" : "is none is", more ? "accepted" : "refused");
    }
}

/* Each call for memory, one after the other. */
static void try_memory(const struct row *row)
{
    bool hit = true;
    for (long n = 1; hit && wrong[0] == '\0'; n++) {
        struct usdt_helper *list = NULL;
        set_up(row);
        split();
        long allocations = allocated;
        calls = 0;
        fails = n;
        enum usdt_helped helped = submit(&list);
        fails = 0;
        hit = calls >= n;
        EXPECT(!hit || list == NULL || helped == USDT_HELPER_DONE, "call %ld: a list", n);
        EXPECT(!hit || helped == USDT_HELPER_DONE || now.why[0] != '\0', "call %ld: no message", n);
        usdt_helper_withdraw(&list, now.why);
        if (!is_clean(list, allocations))
            is_wrong("call %ld", n);
    }
    report(calls > 3 && wrong[0] == '\0', "%s %s: no memory, in each of %ld calls", row->system, row->arch, calls);
}

int main(int argc, char **argv)
{
    uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1;
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 10000;
    device_fd = __real_open("/dev/null", O_RDWR | O_CLOEXEC);
    if (device_fd < 0 || !map_texts())
        damage_die("no memory, or no /dev/null");
    if (!process_read((uintptr_t)&seed, &random_state, sizeof seed)) {
        fputs("models: process_vm_readv() is not allowed here\n", stderr);
        return 3;
    }
    static void (*const tests[])(const struct row *) = {
        try_documents, try_records, try_columns, try_code, try_faults, try_later, try_same_address,
        try_many, try_refusals, try_devices, try_withdrawals, try_generations, try_memory,
    };
    random_state = 1;
    for (size_t r = 0; r < ROWS; r++) {
        define();
        for (size_t i = 0; set_up(&rows[r]) && i < sizeof tests / sizeof tests[0]; i++)
            tests[i](&rows[r]);
        try_huge(&rows[r]);
    }
    release_provider();
    try_randoms(seed, count);
    return failed;
}
