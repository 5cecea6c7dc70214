/*
 * fuzz_build.c - fuzzes what names and types mean, and the builders of DOF documents and ELF images.
 *
 * An input is a struct head, then text as tests/usdt_build.c takes it: a line PROVIDER tab MODULE, then a line
 * for each slot, FUNC tab NAME [tab TYPE]... So that short inputs make long documents, a byte 0x80+N
 * stands for N more of the character before it, and a field of one byte 0x10+N for N+1 more of the
 * field before it. What the library refuses is an unused slot.
 *
 * Every document built is judged by check_dof() or check_elf(), which do not know the library; then bytes
 * of it are changed and it is judged again, to see that the judges bear anything. Knows the library by
 * usdt_internal.h only.
 */
#include "check.h"
#include "usdt_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_SLOTS = 72 /* more than fit in a page */, MOST_FIELDS = 2 + 40, TEXT_MAX = 1 << 16 };

struct head {
    uint8_t platform;
    uint8_t flags;      /* FLAG_ */
    uint8_t dof_max;    /* from 128 on: so low that documents are split */
    uint8_t text, dof;  /* the addresses of stubs and document, see addresses() */
    uint8_t text_raw[8], dof_raw[8];
    uint8_t seed[4];    /* of the changes to the documents */
};
static_assert(sizeof(struct head) == 25, "the corpus has it so");
enum { FLAG_DIRECT = 1, FLAG_AGAIN = 2, FLAG_APPEND = 4, FLAG_SEMAPHORES = 8, FLAG_PAGE_SHIFT = 4, FLAG_TYPES = 64 };

static unsigned char description[] = "struct s { int x; };";

static const char *const platforms[][2] = {
    { "linux", "x86_64" },   { "linux", "i386" },   { "linux", "arm64" },    { "macos", "x86_64" },
    { "macos", "i386" },     { "macos", "arm64" },  { "freebsd", "x86_64" }, { "freebsd", "i386" },
    { "illumos", "x86_64" }, { "illumos", "i386" },
};
enum { PLATFORMS = sizeof platforms / sizeof platforms[0] };

/* What an execution works on. */
static struct {
    char text[TEXT_MAX];
    char *fields[MOST_SLOTS][MOST_FIELDS];
    usdt_probedef_t *defs[MOST_SLOTS];
    int widths[MOST_SLOTS][USDT_ARG_MAX];
    struct check_probe probes[MOST_SLOTS]; /* of the slots that are used, in order */
    size_t slots, probe_count;
    struct usdt_platform platform;
    struct usdt_layout layout;
    uint64_t text_addr, dof_addr;
    uint32_t random;
} now;

__attribute__((noreturn)) static void die(const char *what, const char *detail)
{
    fprintf(stderr, "fuzz_build: %s-%s: %s: %s\n", now.platform.system, now.platform.arch, what, detail);
    abort();
}

static void require(bool holds, const char *what, const char *detail)
{
    if (!holds)
        die(what, detail);
}

static uint32_t next_random(void)
{
    now.random ^= now.random << 13; /* xorshift32 */
    now.random ^= now.random >> 17;
    now.random ^= now.random << 5;
    return now.random;
}

static uint64_t number(const uint8_t bytes[8])
{
    uint64_t n;
    memcpy(&n, bytes, sizeof n);
    return n;
}

/* ---- names and types ---- */

static bool is_good_name(enum usdt_name kind, const char *name)
{
    switch (kind) {
    case USDT_NAME_PROVIDER: return check_is_good_provider(name);
    case USDT_NAME_MODULE: return check_is_good_name(name, CHECK_LONGEST_MODULE);
    case USDT_NAME_FUNCTION: return check_is_good_name(name, CHECK_LONGEST_FUNCTION);
    case USDT_NAME_PROBE: break;
    }
    return check_is_good_name(name, CHECK_LONGEST_PROBE);
}

/* A refusal says why, in print. */
static void check_why(bool good, bool is_good, const char *why, const char *what, const char *string)
{
    require(good == is_good, what, string);
    require(good || why[0] != '\0', "a refusal says why", string);
    for (size_t i = 0; !good && why[i] != '\0'; i++)
        require(i < USDT_WHY_MAX - 1 && why[i] >= 0x20 && why[i] <= 0x7e, "a refusal is printable", string);
}

/* A long input has many fields: the first are judged in every way, later ones in the one whose turn it is. */
enum { EVERY_WAY = 8 };

/* On every platform, or on one. */
static void check_sizes(const char *type, bool every, size_t turn)
{
    static const struct usdt_platform *rows[PLATFORMS];
    for (size_t i = every ? 0 : turn % PLATFORMS; i < PLATFORMS; i += every ? 1 : PLATFORMS) {
        if (rows[i] == NULL)
            rows[i] = usdt_platform_find(platforms[i][0], platforms[i][1]);
        const struct usdt_platform *platform = rows[i];
        int size = usdt_type_size(platform, type), width = size < 0 ? -size : size;
        int expected = check_width(platforms[i][0], platforms[i][1], type);
        now.platform.system = platform->system, now.platform.arch = platform->arch; /* for die() */
        require((width == 1 || width == 2 || width == 4 || width == 8) && (unsigned)width <= platform->word,
                "a type has a width", type);
        require(expected == 0 || size == expected, "a type has the width of C", type);
    }
}

/* Any bytes, in memory of exactly their size. */
static void check_strings(const uint8_t *data, size_t size)
{
    size_t turn = 0;
    for (size_t at = 0; at < size; turn++) {
        const uint8_t *end = memchr(data + at, '\t', size - at);
        size_t len = end == NULL ? size - at : (size_t)(end - data) - at;
        char *string = malloc(len + 1);
        require(string != NULL, "malloc", "");
        memcpy(string, data + at, len);
        string[len] = '\0';
        for (enum usdt_name kind = USDT_NAME_PROVIDER; kind <= USDT_NAME_PROBE; kind++) {
            if (turn >= EVERY_WAY && turn % 4 != kind)
                continue;
            char why[USDT_WHY_MAX] = "";
            check_why(usdt_check_name(kind, string, why), is_good_name(kind, string), why, "a name is judged",
                      string);
        }
        char why[USDT_WHY_MAX] = "";
        check_why(usdt_check_type(len, string, why), check_is_good_type(string), why, "a type is judged", string);
        check_sizes(string, turn < EVERY_WAY, turn);
        free(string);
        at += len + 1;
    }
}

/* ---- the definition ---- */

static void expand(const uint8_t *data, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < size; i++) {
        size_t copies = data[i] >= 0x80 ? data[i] - 0x80u : 1;
        char c = data[i] < 0x80 ? (char)data[i] : len > 0 ? now.text[len - 1] : 'x';
        if (copies > TEXT_MAX - 1 - len)
            break;
        memset(now.text + len, c, copies);
        len += copies;
    }
    now.text[len] = '\0';
}

static size_t split(char *line, char *fields[MOST_FIELDS])
{
    size_t n = 0;
    for (char *at = line; at != NULL && n < MOST_FIELDS;) {
        char *field = at;
        if ((at = strchr(at, '\t')) != NULL)
            *at++ = '\0';
        size_t copies = field[0] >= 0x10 && field[0] < 0x20 && field[1] == '\0' ? (size_t)(field[0] - 0x0f) : 0;
        if (copies == 0 || n == 0)
            fields[n++] = field;
        else
            for (; copies > 0 && n < MOST_FIELDS; copies--, n++)
                fields[n] = fields[n - 1];
    }
    return n;
}

/* Makes a slot of a line: a definition and what the judges are to find, or nothing. */
static void define(size_t slot, size_t n)
{
    char *const *fields = now.fields[slot];
    usdt_probedef_t *def = n < 2 ? NULL
        : usdt_create_probe(fields[0], fields[1], n - 2, (const char **)(uintptr_t)(fields + 2));
    size_t argc = n < 2 ? 0 : n - 2 < USDT_ARG_MAX ? n - 2 : USDT_ARG_MAX;
    bool good = n >= 2 && is_good_name(USDT_NAME_FUNCTION, fields[0]) &&
                is_good_name(USDT_NAME_PROBE, fields[1]);
    for (size_t i = 0; i < argc; i++)
        good = good && check_is_good_type(fields[2 + i]);
    require(good == (def != NULL), "a definition is judged", n < 2 ? "" : fields[1]);
    for (size_t i = 0; def != NULL && i < now.probe_count; i++)
        if (strcmp(now.probes[i].function, fields[0]) == 0 && strcmp(now.probes[i].name, fields[1]) == 0) {
            usdt_probe_release(def); /* no provider holds it twice */
            def = NULL;
        }
    now.defs[slot] = def;
    if (def == NULL)
        return;
    for (size_t i = 0; i < argc; i++)
        now.widths[slot][i] = usdt_type_size(&now.platform, fields[2 + i]);
    now.probes[now.probe_count++] = (struct check_probe){
        .function = fields[0], .name = fields[1], .types = (const char *const *)(uintptr_t)(fields + 2),
        .widths = now.widths[slot], .argc = argc, .slot = slot,
    };
}

static void read_definition(void)
{
    char *line = now.text, *names[MOST_FIELDS] = { NULL };
    now.slots = now.probe_count = 0;
    for (size_t n = 0; line != NULL && now.slots < MOST_SLOTS; n++) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = '\0';
        if (n == 0)
            split(line, names);
        else
            define(now.slots, split(line, now.fields[now.slots])), now.slots++;
        line = end == NULL ? NULL : end + 1;
    }
    now.layout = (struct usdt_layout){
        .platform = &now.platform, .provider = "prov", .module = "mod", .defs = now.defs, .count = now.slots,
    };
    if (names[0] != NULL && is_good_name(USDT_NAME_PROVIDER, names[0]))
        now.layout.provider = names[0];
    if (names[1] != NULL && is_good_name(USDT_NAME_MODULE, names[1]))
        now.layout.module = names[1];
}

/* Where the stubs and the document are: the first in the address space of a program (57 bits with five
   levels of pages), the second also about 2 GiB from them, as far as XNU's offsets reach. */
static void addresses(const struct head *head)
{
    uint64_t last = now.platform.word == 4 ? UINT32_MAX : (UINT64_C(1) << 57) - 1;
    uint64_t raw = number(head->text_raw), room = (MOST_SLOTS + 1) * (uint64_t)now.platform.stub->size;
    static const uint64_t usual[] = { 0x7f1234567100, 0xb7700100, 0x400100, 0xffffff000 };
    uint64_t text = head->text < 4 ? usual[head->text] : raw;
    text &= last & ~UINT64_C(63);
    now.text_addr = text < 4096 ? 4096 : text > last - room ? (last - room) & ~UINT64_C(63) : text;

    uint64_t from = number(head->dof_raw), dof;
    switch (head->dof % 6) {
    case 0: dof = 0; break;
    case 1: dof = now.text_addr - (from & 0xffffff); break;
    case 2: dof = now.text_addr + (UINT64_C(1) << 31) + (from & 0xfff) - 0x800; break;
    case 3: dof = now.text_addr - (UINT64_C(1) << 31) + (from & 0xfff) - 0x800; break;
    case 4: dof = now.text_addr + (from & 0xffffffff) - (UINT64_C(1) << 31); break;
    default: dof = from; break;
    }
    now.dof_addr = dof & last & ~UINT64_C(7);
}

/* ---- judging ---- */

static struct check_given given_of(size_t first, size_t next)
{
    const struct usdt_stub *stub = now.platform.stub;
    struct check_given given = {
        .system = now.platform.system, .arch = now.platform.arch, .provider = now.layout.provider,
        .probes = now.probes, .code = stub->code, .slot_size = stub->size,
        .site = stub->site + (now.layout.direct_call ? 1u : 0u), .enabled_site = stub->isenabled_site,
        .semaphores = now.layout.semaphores, .direct = now.layout.direct_call, .text = now.text_addr, .dof = now.dof_addr,
        .below = now.platform.dof_max, .page = now.layout.page, .slots = now.slots,
        .types = (const char *)description, .types_size = now.layout.types == NULL ? 0 : sizeof description,
    };
    size_t i = 0;
    while (i < now.probe_count && now.probes[i].slot < first)
        i++;
    given.probes = now.probes + i;
    while (i < now.probe_count && now.probes[i].slot < next)
        i++, given.count++;
    return given;
}

typedef bool judge(const struct check_given *, const unsigned char *, size_t, struct check_verdict *);

static void must_be_good(judge *check, const struct check_given *given, const unsigned char *bytes, size_t len)
{
    struct check_verdict verdict;
    if (check(given, bytes, len, &verdict))
        return;
    fprintf(stderr, "fuzz_build: %s: not so: %s\n", check_rule_name(verdict.broken),
            check_rule_text(verdict.broken));
    die("broken", verdict.where);
}

/* Changes and cuts a good document: the judge may say what it likes, and read nothing outside of it. */
static void judge_changed(judge *check, const struct check_given *given, const unsigned char *bytes, size_t len)
{
    struct check_verdict verdict;
    for (int round = 0; round < 3; round++) {
        size_t size = next_random() % 8 == 0 ? next_random() % (len + 1) : len;
        unsigned char *copy = malloc(size + 1);
        require(copy != NULL, "malloc", "");
        memcpy(copy + 1, bytes, size);
        for (uint32_t n = next_random() % 3 + 1; n > 0 && size > 0; n--) {
            /* Headers are at the start, and, of ELF, at the end. */
            size_t at = next_random() % size, part = next_random() % 4;
            at = part == 0 ? at % 256 : part == 1 ? size - 1 - at % 512 % size : at;
            uint32_t value = next_random();
            copy[1 + at % size] = (unsigned char)(value & 0x100 ? value & 7 : value & 0x200 ? 0xff : value);
        }
        check(given, copy + 1, size, &verdict); /* + 1: of no alignment */
        require(verdict.broken < CHECK_RULES, "a verdict is a rule", verdict.where);
        free(copy);
    }
}

/* ---- DOF ---- */

/* The most that a probe adds to a document: its strings, entries and what aligns the sections. */
static size_t most_added(const struct check_probe *probe)
{
    size_t size = sizeof(struct check_dof_probe) + strlen(probe->function) + 1 + strlen(probe->name) + 1 +
                  probe->argc + 4 + 4 + 6 * 8;
    for (size_t i = 0; i < probe->argc; i++)
        size += strlen(probe->types[i]) + 1;
    return size;
}

/* XNU finds a probe at the document's address and an int32. */
static bool is_far(const struct check_probe *probe)
{
    const struct usdt_stub *stub = now.platform.stub;
    uint64_t slot = now.text_addr + probe->slot * stub->size;
    int64_t site = (int64_t)(slot + stub->site - now.dof_addr);
    int64_t enabled = (int64_t)(slot + stub->isenabled_site - now.dof_addr);
    return strcmp(now.platform.system, "macos") == 0 &&
           (site + 1 > INT32_MAX || site < INT32_MIN || enabled > INT32_MAX || enabled - 2 < INT32_MIN);
}

/* Whether a refusal of the probes from slot `first` on is one of usdt_internal.h's. */
static void check_refusal(size_t first, int error)
{
    struct check_given left = given_of(first, now.slots);
    bool far = false;
    for (size_t i = 0; i < left.count; i++)
        far = far || is_far(&left.probes[i]);
    if (error == ERANGE)
        require(far, "ERANGE", "every stub is near");
    else if (error == E2BIG)
        require(left.count == 0 || sizeof(struct check_dof_header) + 6 * sizeof(struct check_dof_section) +
                                           sizeof(struct check_dof_provider) + strlen(left.provider) + 2 +
                                           most_added(left.probes) >= now.platform.dof_max,
                "E2BIG", "the probe would fit");
    else
        die("usdt_dof_build fails", strerror(error));
}

static void build_dof(bool append, bool again)
{
    for (size_t next = 0, first = 0, front = append ? 64 : 0; next < now.slots; first = next) {
        struct usdt_buf out = { 0 }, same = { 0 };
        if (append)
            usdt_buf_grow(&out, front);
        if (!usdt_dof_build(&now.layout, now.text_addr, now.dof_addr, &next, &out)) {
            check_refusal(first, errno);
            usdt_buf_free(&out);
            return;
        }
        require(next > first && next <= now.slots && !out.failed && out.len > front, "a document", "next");
        struct check_given given = given_of(first, next), left = given_of(next, now.slots);
        must_be_good(check_dof, &given, out.data + front, out.len - front);
        require(left.count == 0 || out.len - front + most_added(left.probes) >= now.platform.dof_max,
                "a document holds as many probes as fit", "there is room");
        if (again) {
            size_t at = first;
            require(usdt_dof_build(&now.layout, now.text_addr, now.dof_addr, &at, &same) && at == next &&
                        same.len == out.len - front && memcmp(same.data, out.data + front, same.len) == 0,
                    "a document is the same again", "differs");
        }
        judge_changed(check_dof, &given, out.data + front, out.len - front);
        usdt_buf_free(&out);
        usdt_buf_free(&same);
    }
}

/* ---- ELF ---- */

/* Offset and end of .text, of an image that was found good. */
static void text_of(const unsigned char *image, uint64_t text[2])
{
    /* <elf.h>: Elf32_Ehdr's and Elf64_Ehdr's e_shoff, the headers' sizes, and what is in them. */
    const bool wide = now.platform.word == 8;
    const size_t size = wide ? 64 : 40, flags_at = 8, offset_at = wide ? 24 : 16, word = wide ? 8 : 4;
    uint64_t table = 0;
    memcpy(&table, image + (wide ? 40 : 32), word);
    for (size_t i = 0;; i++) {
        uint64_t flags = 0, offset = 0, len = 0;
        memcpy(&flags, image + table + i * size + flags_at, word);
        memcpy(&offset, image + table + i * size + offset_at, word);
        memcpy(&len, image + table + i * size + offset_at + word, word);
        if ((flags & 4) != 0) { /* SHF_EXECINSTR */
            text[0] = offset, text[1] = offset + len;
            return;
        }
    }
}

static void build_elf(bool again)
{
    struct usdt_buf out = { 0 }, other = { 0 };
    unsigned char id[USDT_BUILD_ID], other_id[USDT_BUILD_ID];
    struct check_given given = given_of(0, now.slots);
    uint64_t text[2];
    if (now.platform.elf_machine == 0)
        return;
    require(usdt_elf_build(&now.layout, &out, id) && !out.failed, "usdt_elf_build", "fails");
    given.build_id = id;
    must_be_good(check_elf, &given, out.data, out.len);
    text_of(out.data, text);
    require(usdt_layout_stubs(&now.layout) == text[0], "the first stub is where .text begins",
            "usdt_layout_stubs");
    require(usdt_layout_mapped(&now.layout) == text[1], "what is mapped ends with .text", "usdt_layout_mapped");
    if (again) {
        require(usdt_elf_build(&now.layout, &other, other_id) && other.len == out.len &&
                    memcmp(other.data, out.data, out.len) == 0,
                "an image is the same again", "differs");
        usdt_buf_free(&other);
        now.layout.provider = strcmp(now.layout.provider, "prov") == 0 ? "prow" : "prov";
        require(usdt_elf_build(&now.layout, &other, other_id) &&
                    (now.probe_count == 0) == (memcmp(id, other_id, sizeof id) == 0),
                "another image has another build-id", "provider");
    }
    judge_changed(check_elf, &given, out.data, out.len);
    usdt_buf_free(&out);
    usdt_buf_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pages[] = { 4096, 4096, 16384, 65536 };
    struct head head = { 0 };
    struct check_verdict verdict;
    memcpy(&head, data, size < sizeof head ? size : sizeof head);
    data += size < sizeof head ? size : sizeof head;
    size -= size < sizeof head ? size : sizeof head;

    check_strings(data, size);
    const char *const *name = platforms[head.platform % PLATFORMS];
    now.platform = *usdt_platform_find(name[0], name[1]);
    if (now.platform.stub == NULL) /* this machine's assembler does not take it */
        return 0;
    memcpy(&now.random, head.seed, sizeof now.random);
    now.random |= 1;
    if (head.dof_max >= 128)
        now.platform.dof_max = 260 + (head.dof_max - 128u) * 64;
    expand(data, size);
    read_definition();
    now.layout.page = pages[head.flags >> FLAG_PAGE_SHIFT & 3];
    now.layout.direct_call = (head.flags & FLAG_DIRECT) != 0 && now.platform.elf_machine != 0 &&
                             strcmp(now.platform.arch, "x86_64") == 0;
    now.layout.semaphores = (head.flags & FLAG_SEMAPHORES) != 0 && now.slots > 0;
    struct usdt_buf types = { .data = description, .len = sizeof description };
    now.layout.types = (head.flags & FLAG_TYPES) != 0 ? &types : NULL;
    addresses(&head);
    build_dof((head.flags & FLAG_APPEND) != 0, (head.flags & FLAG_AGAIN) != 0);
    build_elf((head.flags & FLAG_AGAIN) != 0);

    struct check_given given = given_of(0, now.slots);
    unsigned char id[USDT_BUILD_ID] = { 0 };
    given.build_id = id;
    check_dof(&given, data, size, &verdict);
    if (now.platform.elf_machine != 0)
        check_elf(&given, data, size, &verdict);
    for (size_t i = 0; i < now.slots; i++)
        usdt_probe_release(now.defs[i]);
    return 0;
}
