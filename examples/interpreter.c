/*
 * interpreter.c - a small Forth whose scripts have probes: what the implementer of a language copies.
 *
 * Each word that a script defines gets two probes, WORD_entry and WORD_return, whose argument is the top of the
 * stack, or 0; `probe NAME TYPE, TYPE...` is a probe of the script's own, and NAME fires it with values of the stack.
 *
 *     : square dup * ;
 *     probe area int, int
 *     7 dup square area
 *
 * The script is compiled, then all of its probes are published at once, then it runs.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <usdt.h>

/* The instructions, those before PUSH by name; and how many values each takes from the stack and gives. */
enum { ADD, SUB, MUL, LESS, DUP, DROP, SWAP, OVER, DOT, MS, IF, THEN, BEGIN, AGAIN, EXIT, PUSH, CALL, FIRE };
static const struct { const char *name; int takes, gives; } builtins[] = {
    [ADD] = { "+", 2, 1 },      [SUB] = { "-", 2, 1 },      [MUL] = { "*", 2, 1 },      [LESS] = { "<", 2, 1 },
    [DUP] = { "dup", 1, 2 },    [DROP] = { "drop", 1, 0 },  [SWAP] = { "swap", 2, 2 },  [OVER] = { "over", 2, 3 },
    [DOT] = { ".", 1, 0 },      [MS] = { "ms", 1, 0 },      [IF] = { "if", 1, 0 },      [THEN] = { "then", 0, 0 },
    [BEGIN] = { "begin", 0, 0 }, [AGAIN] = { "again", 0, 0 }, [EXIT] = { "exit", 0, 0 }, [PUSH] = { "", 0, 1 },
    [CALL] = { "", 0, 0 },      [FIRE] = { "", 0, 0 },
};
typedef struct { int op, operand; } code_t; /* the operand: a number, a word, or where to go */
static code_t code[4096];
static int ncode;

/* What the script defines: functions, with `entry` and `leave`, and probes, with `fire`. */
typedef struct {
    const char *name;
    int start, argc;
    usdt_probe_t *entry, *leave, *fire;
} word_t;
static word_t words[256];
static int nwords;
static usdt_provider_t *provider;

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "interpreter: %s %s\n", what, which);
    exit(1);
}

/* The provider owns the probe. A name that tracers do not take (2dup_entry) is no reason to fail: the probe
   of a definition that is NULL is never enabled. */
static usdt_probe_t *make_probe(const char *word, const char *suffix, int argc, const char **types)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", word, suffix);
    usdt_probedef_t *def = usdt_create_probe(word, name, (size_t)argc, types);
    if (def != NULL && usdt_provider_add_probe(provider, def) != 0) {
        usdt_probe_release(def);
        def = NULL;
    }
    usdt_probe_t *probe = usdt_probedef_probe(def);
    usdt_probe_release(def);
    return probe;
}

static int emit(int op, int operand)
{
    if (ncode == sizeof code / sizeof *code)
        fail("the script is too long", "");
    code[ncode] = (code_t){ op, operand };
    return ncode++;
}

static word_t *define(const char *name)
{
    if (name == NULL || nwords == sizeof words / sizeof *words)
        fail("a name is missing, or there are too many words", "");
    words[nwords] = (word_t){ .name = name, .start = ncode };
    return &words[nwords++];
}

static void compile(char *text)
{
    const char *types[USDT_ARG_MAX];
    int open[32], nopen = 0, over = -1; /* ifs and begins; the jump over the definition that is being compiled */
    char *lines, *rest, *end, *type;
    for (char *line = strtok_r(text, "\n", &lines); line != NULL; line = strtok_r(NULL, "\n", &lines)) {
        for (char *token = strtok_r(line, " \t", &rest); token != NULL; token = strtok_r(NULL, " \t", &rest)) {
            int op = 0, word = nwords - 1;
            while (op < PUSH && strcmp(builtins[op].name, token) != 0)
                op++;
            while (word >= 0 && strcmp(words[word].name, token) != 0)
                word--;
            if (strcmp(token, "\\") == 0) {
                break; /* a comment */
            } else if (strcmp(token, ":") == 0 && over < 0) {
                over = emit(AGAIN, 0);
                word_t *new = define(strtok_r(NULL, " \t", &rest));
                new->entry = make_probe(new->name, "_entry", 1, (const char *[]){ "long" });
                new->leave = make_probe(new->name, "_return", 1, (const char *[]){ "long" });
            } else if (strcmp(token, ";") == 0 && over >= 0) {
                emit(EXIT, 0);
                code[over].operand = ncode;
                over = -1;
            } else if (strcmp(token, "probe") == 0) {
                word_t *new = define(strtok_r(NULL, " \t", &rest));
                while (new->argc < USDT_ARG_MAX && (type = strtok_r(NULL, ",", &rest)) != NULL)
                    types[new->argc++] = type + strspn(type, " ");
                new->fire = make_probe(new->name, "", new->argc, types);
                break;
            } else if (word >= 0) {
                emit(words[word].fire != NULL ? FIRE : CALL, word);
            } else if (op == IF || op == BEGIN) {
                if (nopen == sizeof open / sizeof *open)
                    fail("too deep:", token);
                open[nopen++] = op == IF ? emit(IF, 0) : ncode;
            } else if (op == THEN || op == AGAIN) {
                if (nopen-- == 0)
                    fail("what does it end:", token);
                if (op == THEN)
                    code[open[nopen]].operand = ncode;
                else
                    emit(AGAIN, open[nopen]);
            } else if (op < PUSH) {
                emit(op, 0);
            } else {
                emit(PUSH, (int)strtol(token, &end, 10));
                if (*end != '\0')
                    fail("what is", token);
            }
        }
    }
    if (over >= 0 || nopen > 0)
        fail("the script ends too early", "");
    emit(EXIT, 0);
}

/* The dispatch loop. An untraced probe costs it a compare of four bytes, which a JIT compiler can emit, too: the
   probe is traced if *probe->site != probe->pristine. */
static void run(void)
{
    long stack[257] = { 0 }, *top = stack; /* the values are stack[1] to *top; stack[0] is 0 */
    struct { int back, word; } calls[256];
    for (int at = 0, ncalls = 0;;) {
        code_t i = code[at++];
        int takes = i.op == FIRE ? words[i.operand].argc : builtins[i.op].takes;
        if (top - stack < takes || top - stack - takes + builtins[i.op].gives > 255)
            fail("the stack is", top - stack < takes ? "empty" : "full");
        switch (i.op) {
        case ADD: top--; *top += top[1]; break;
        case SUB: top--; *top -= top[1]; break;
        case MUL: top--; *top *= top[1]; break;
        case LESS: top--; *top = *top < top[1]; break;
        case DUP: top++; *top = top[-1]; break;
        case DROP: top--; break;
        case SWAP: top[1] = *top; *top = top[-1]; top[-1] = top[1]; break;
        case OVER: top++; *top = top[-2]; break;
        case DOT: printf("%ld\n", *top--); fflush(stdout); break;
        case MS: nanosleep(&(struct timespec){ *top / 1000, *top % 1000 * 1000000 }, NULL); top--; break;
        case IF: at = *top-- ? at : i.operand; break;
        case AGAIN: at = i.operand; break;
        case PUSH: *++top = i.operand; break;
        case CALL:
            if (ncalls == 256)
                fail("too deep:", words[i.operand].name);
            USDT_PROBE(words[i.operand].entry, *top);
            calls[ncalls].back = at;
            calls[ncalls++].word = i.operand;
            at = words[i.operand].start;
            break;
        case EXIT:
            if (ncalls == 0)
                return;
            at = calls[--ncalls].back;
            USDT_PROBE(words[calls[ncalls].word].leave, *top);
            break;
        case FIRE: /* as many arguments as the script said: no macro knows */
            top -= takes;
            if (usdt_is_enabled(words[i.operand].fire)) {
                void *argv[USDT_ARG_MAX];
                for (int n = 0; n < takes; n++)
                    argv[n] = (void *)(uintptr_t)top[n + 1];
                usdt_fire_probe(words[i.operand].fire, (size_t)takes, argv);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static char text[65536];
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (file == NULL || fread(text, 1, sizeof text - 1, file) == 0)
        fail("usage: interpreter SCRIPT", "");
    provider = usdt_create_provider("forth", "script");
    compile(text);
    if (usdt_provider_enable(provider) != 0)
        fprintf(stderr, "no probes: %s\n", usdt_errstr(provider)); /* harmless: the script runs */
    run();
    usdt_provider_free(provider);
}
