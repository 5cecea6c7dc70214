# header.t - usdt.h as its users include it: each standard of C and C++ that is promised, what USDT_PROBE()
# and usdt_fire_probe() hand to a probe, what the inline check compiles to, and a program of libusdt 1.x.
#
# The programs are tests/header_probe.c, which is C and C++, and the short ones at the end of this file.
# All compilers make them with a library that is built here without special flags; the compiler, the flags
# and the library of `make test` itself (under a sanitizer, say) come last.
use strict;
use warnings;
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use USDT::Compile;

my $T = File::Temp->newdir;
my @WARN = qw(-Wall -Wextra -Wpedantic -Wshadow -Wconversion);
my @USE = (@WARN, '-Werror', '-O2', "-I$T", "-I$ROOT");

# ---- the sources ----

{
    local $/;
    my (undef, %source) = split /^==== (\S+)\n/m, <DATA>;
    write_file("$T/$_", $source{$_}) for keys %source;
}
my $VALUES = "$ROOT/tests/header_probe.c";
my $COMPAT = "$T/compat.c";

# Expressions of all kinds, and the value that arrives of each; %d is the number of the argument.
my @KINDS = (
    ['-%d - 1', '(uintptr_t)(intptr_t)(-%d - 1)'],
    ['number + %d', '(uintptr_t)(intptr_t)(-4000000L + %d)'],
    ['byte', '255u'],
    ['truth', '1u'],
    ['colour', '(uintptr_t)(intptr_t)RED'],
    ['text', '(uintptr_t)text'],
    ['numbers', '(uintptr_t)numbers'],
    ['&numbers[%d & 3]', '(uintptr_t)&numbers[%d & 3]'],
    ['NULL', '0u'],
    ['%du', '%du'],
    ["'a'", '97u'],
    ['&traced', '(uintptr_t)&traced'],
    ['BLUE', '70000u'],
);

sub numbered {
    my ($pattern, $i) = @_;
    $pattern =~ s/%d/$i/g;
    return $pattern;
}

# fire_all() for header_probe.c: each number of arguments, with other kinds at other places.
sub fire_all {
    my $c = "static void fire_all(void)\n{\n";
    for my $n (0 .. 32) {
        my @kinds = map { $KINDS[($_ * 5 + $n) % @KINDS] } 0 .. $n - 1;
        my $give = join '', map { ', ' . numbered($kinds[$_][0], $_) } 0 .. $n - 1;
        my $want = join ', ', $n == 0 ? 0 : map { numbered($kinds[$_][1], $_) } 0 .. $n - 1;
        $c .= "    USDT_PROBE(&traced$give);\n    const uintptr_t want$n\[] = { $want };\n"
            . "    check(recorded($n, want$n), \"USDT_PROBE() hands over $n argument(s)\");\n";
    }
    return "$c}\n";
}
write_file("$T/header_calls.h", fire_all());

# ---- running programs that report their checks ----

my (@queue, $made);
my @runner; # what those to be queued are started with

# To be compiled by `compiler` with what follows the source, and run.
sub queue {
    my ($name, $compiler, $source, @after) = @_;
    my $program = "$T/program" . ++$made;
    my @command = (@$compiler, '-o', $program, $source, @after);
    push @queue, { name => $name, program => [@runner, $program], command => \@command };
}

sub report {
    my ($entry, $job) = @_;
    my ($compiled, $messages) = finish($job);
    subtest $entry->{name} => sub {
        ok($compiled == 0, 'compiles without a warning') or diag($messages);
        return if $compiled != 0;
        my ($status, $text) = run(@{ $entry->{program} });
        my ($checks, $done, @notes) = (0, 'never');
        for (split /\n/, $text) {
            if (/^(not )?ok (.*)/) {
                ok(!$1, $2) or diag(join "\n", splice @notes, 0, 8);
                $checks++;
                @notes = ();
            } elsif (/^done (\d+)$/) {
                $done = $1;
            } else {
                push @notes, $_;
            }
        }
        ok($status == 0 && $done eq $checks && $checks > 0, 'runs to its end')
            or diag("ended with $status after $checks checks, done: $done\n", join "\n", @notes);
    };
}

# Two at a time.
sub run_queue {
    while (my @two = splice @queue, 0, 2) {
        my @jobs = map { start(@{ $_->{command} }) } @two;
        report($two[$_], $jobs[$_]) for 0 .. $#two;
    }
}

# The library by a plain build: its path, or undef (which fails).
sub library {
    my ($cc, @arguments) = @_;
    my $out = "$T/lib@arguments";
    my ($status, $text) = run('make', '-j2', "O=$out", "CC=$cc", @arguments, "$out/libusdt.a");
    ok($status == 0, join ' ', 'the library is made', @arguments) or diag($text);
    return "$out/libusdt.a";
}

my @cc = compilers(qw(gcc clang));
my @cxx = compilers(qw(g++ clang++));
my $cc = $cc[0];

sub knows {
    my ($compiler, $std) = @_;
    my @language = $std =~ /\+\+/ ? qw(-x c++) : ();
    my $known = can_compile($compiler, @language, "-std=$std");
    return need($known, "$compiler -std=$std", 'not known to this version');
}

SKIP: {
    skip('neither gcc nor clang works', 1) if !$cc;
    skip('a make test without a sanitizer or an emulator does this, with the same library', 1)
        if "@CFLAGS" =~ /-fsanitize/ || $ENV{USDT_TEST_RUNNER};

    # ---- each compiler, each standard ----

    my @with = (library($cc), '-pthread');
    for my $c (@cc) {
        queue("$c -std=$_", [$c, "-std=$_", @USE], $VALUES, @with) for grep { knows($c, $_) } qw(c99 c11 c17);
    }
    for my $c (@cxx) {
        queue("$c -std=$_", [$c, "-std=$_", @USE, '-x', 'c++'], $VALUES, '-x', 'none', @with)
            for grep { knows($c, $_) } qw(c++11 c++14 c++17 c++20);
    }
    queue("$cc -O0", [$cc, '-std=c11', @USE, '-O0'], $VALUES, @with);

    # ---- a program written for libusdt 1.x ----

    my $binding = 'a binding of libusdt 1.x';
    queue("$binding, $_", [$_, '-std=gnu99', @USE], $COMPAT, @with) for @cc;
    queue("$binding in C++, $_", [$_, '-std=c++11', @USE, qw(-x c++)], $COMPAT, qw(-x none), @with) for @cxx;

    # ---- 32-bit ----

    if (need(can_compile($cc, '-m32'), "$cc -m32", 'no 32-bit libraries (gcc-multilib)')) {
        my @with32 = (library($cc, 'ARCH=i386'), '-pthread');
        queue("$cc -m32", [$cc, '-m32', '-std=c99', @USE], $VALUES, @with32);
        queue("$binding, $cc -m32", [$cc, '-m32', '-std=gnu99', @USE], $COMPAT, @with32);
        if (@cxx && need(can_compile($cxx[0], qw(-x c++ -m32)), "$cxx[0] -m32", 'no 32-bit libraries')) {
            my @as = ($cxx[0], '-m32', '-std=c++17', @USE, '-x', 'c++');
            queue("$cxx[0] -m32", \@as, $VALUES, '-x', 'none', @with32);
        }
    }
    run_queue();
}

# ---- what must not compile ----

for my $c (@cc, @cxx) {
    my @as = ($c, @USE, '-fsyntax-only', '-x', $c =~ /\+\+/ ? 'c++' : 'c');
    my %refused;
    for my $n (32, 33, 34, 39, 40, 41, 48) {
        my $c_text = qq{#include "usdt.h"\nvoid f(usdt_probe_t *);\nvoid f(usdt_probe_t *p)\n}
            . '{ USDT_PROBE(p, ' . join(', ', (3) x $n) . "); }\n";
        my ($status, $messages) = run(@as, write_file("$T/many.c", $c_text));
        diag($messages) if $n == 32 && $status != 0;
        $refused{$n} = $status != 0 ? 1 : 0;
    }
    is_deeply(\%refused, { 32 => 0, map { $_ => 1 } 33, 34, 39, 40, 41, 48 },
        "$c: USDT_PROBE() takes 32 arguments; more are an error of the compiler");
}

# ---- what the check compiles to ----

for my $c (@cc, @cxx) {
    my @language = $c =~ /\+\+/ ? qw(-x c++) : ();
    succeeds("$c: usdt_is_enabled() and USDT_PROBE() compile by themselves",
        $c, @USE, @language, '-c', '-o', "$T/inline.o", "$T/inline.c");
    my (undef, $code) = run('objdump', '-dr', "$T/inline.o");
    my ($check) = $code =~ /^[0-9a-f]+ <[^>]*check_only[^>]*>:\n(.*?)(?:\n\n|\z)/ms;
    like($code, qr/usdt_fire_probe/, "$c -O2: the code of a probe calls usdt_fire_probe()");
    unlike($code, qr/usdt_is_enabled/, "$c -O2: but usdt_is_enabled() is inlined everywhere");
    ok(defined $check && $check =~ /\bret/ && $check !~ /\bcall|\bbl\b|R_[A-Z0-9]+_/,
        "$c -O2: a check alone calls nothing and needs no other symbol") or diag($code);
}

# ---- with the library, compiler and flags of `make test` ----

SKIP: {
    skip("$OUT holds no library: run make", 1) if !-e "$OUT/libusdt.a";
    my @width = bits_of("$OUT/libusdt.a") == 32 && elf_arch() eq 'x86_64' ? '-m32' : ();
    my @link = (@CFLAGS, @width, "-I$T", "-I$ROOT");
    my @library = ("$OUT/libusdt.a", '-pthread');
    @runner = split ' ', $ENV{USDT_TEST_RUNNER} // '';
    my $as = join ' ', 'as make test has it,', @CC, @CFLAGS, @width;

    queue("values, $as", [@CC, '-std=c11', @WARN, @link], $VALUES, @library);
    queue("a binding of libusdt 1.x, $as", [@CC, '-std=gnu99', @WARN, @link], $COMPAT, @library);
    my @CXX = map { /^-/ ? $_ : cxx_of($_) } @CC;
    if (need(can_compile(@CXX, qw(-x c++), @width), "@CXX", 'not installed')) {
        queue("values in C++, @CXX", [@CXX, '-std=c++11', @WARN, @link, qw(-x c++)], $VALUES,
            qw(-x none), @library);
    }
    run_queue();

    my ($library) = glob "$OUT/libusdt.so.*";
    succeeds('a program that only knows dlopen() is made', @CC, @link, '-o', "$T/foreign", "$T/foreign.c",
        '-ldl');
    is((run(@runner, "$T/foreign", $library // 'libusdt.so.2'))[1], "0 1 0 0\n",
        'it finds usdt_is_enabled() in the shared library: 0 pristine, 1 changed, 0 again, 0 for NULL');
}

done_testing();
__DATA__
==== inline.c
#include "usdt.h"

#ifdef __cplusplus
extern "C" {
#endif
int check_only(usdt_probe_t *probe);
void check_and_fire(usdt_probe_t *probe, int value);
#ifdef __cplusplus
}
#endif

int check_only(usdt_probe_t *probe)
{
    return usdt_is_enabled(probe);
}

void check_and_fire(usdt_probe_t *probe, int value)
{
    USDT_PROBE(probe, value, probe, "text");
}
==== foreign.c
#include "usdt.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    void *symbol = library != NULL ? dlsym(library, "usdt_is_enabled") : NULL;
    int (*is_enabled)(usdt_probe_t *);
    uint32_t site = 5;
    usdt_probe_t probe;
    if (symbol == NULL) {
        puts(dlerror());
        return 1;
    }
    memcpy(&is_enabled, &symbol, sizeof symbol);
    memset(&probe, 0, sizeof probe);
    probe.site = &site;
    probe.pristine = 5;
    printf("%d", is_enabled(&probe));
    site = 6;
    printf(" %d", is_enabled(&probe));
    site = 5;
    printf(" %d %d\n", is_enabled(&probe), is_enabled(NULL));
    return 0;
}
==== compat.c
/* Written as a binding of libusdt 1.x is: nothing here is newer. */
#include <usdt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks;

static void check(int good, const char *statement)
{
    printf("%s %s\n", good ? "ok" : "not ok", statement);
    fflush(stdout);
    checks++;
}

static void says(usdt_provider_t *provider, const char *message, const char *statement)
{
    const char *said = usdt_errstr(provider);
    int same = strcmp(said, message) == 0 && provider->error != NULL && strcmp(provider->error, message) == 0;
    if (!same)
        printf("# says \"%s\", should say \"%s\"\n", said, message);
    check(same, statement);
}

static void test_constants(void)
{
    static const usdt_error_t errors[] = {
        USDT_ERROR_MALLOC, USDT_ERROR_VALLOC, USDT_ERROR_NOPROBES, USDT_ERROR_LOADDOF,
        USDT_ERROR_ALREADYENABLED, USDT_ERROR_UNLOADDOF, USDT_ERROR_DUP_PROBE, USDT_ERROR_REMOVE_PROBE
    };
    int i, good = 1;
    for (i = 0; i < 8; i++)
        if ((int)errors[i] != i)
            good = 0;
    check(good, "the errors of 1.x have the numbers 0 to 7, in order");
    check(USDT_ARG_MAX == 32, "USDT_ARG_MAX is 32");
}

static void test_definitions(void)
{
    char name[] = "myprov", module[] = "mymod", func[] = "myfunc", probe[] = "myprobe", type[] = "int";
    const char *types[40];
    usdt_provider_t *provider = usdt_create_provider(name, module);
    usdt_probedef_t *one, *many;
    int i;
    for (i = 0; i < 40; i++)
        types[i] = type;
    one = usdt_create_probe(func, probe, 2, types);
    many = usdt_create_probe("many", "many", 40, types);
    memset(name, 'x', sizeof name);
    memset(module, 'x', sizeof module);
    memset(func, 'x', sizeof func);
    memset(probe, 'x', sizeof probe);
    memset(type, 'x', sizeof type);
    check(strcmp(provider->name, "myprov") == 0 && strcmp(provider->module, "mymod") == 0,
          "create_provider copies both strings");
    check(provider->error == NULL && provider->probedefs == NULL && provider->enabled == 0,
          "a new provider has no error and no probes, and is not enabled");
    check(strcmp(one->function, "myfunc") == 0 && strcmp(one->name, "myprobe") == 0 && one->argc == 2 &&
          strcmp(one->types[0], "int") == 0 && strcmp(one->types[1], "int") == 0 && one->probe == NULL,
          "create_probe copies the strings and the types");
    check(many->argc == 32 && strcmp(many->types[31], "int") == 0, "argc above 32 becomes 32");
    check(usdt_provider_add_probe(provider, one) == 0 && one->refcnt == 2,
          "a probe in a provider has two references, the caller's and the provider's");
    usdt_probe_release(many);
    usdt_probe_release(one);
    check(provider->probedefs == one && one->refcnt == 1,
          "the provider's is left when the caller gives up its own");
    usdt_provider_free(provider);
}

static void test_errors(void)
{
    const char *types[] = { "int" };
    usdt_provider_t *provider = usdt_create_provider("myprov", "mymod");
    usdt_probedef_t *probe = usdt_create_probe("myfunc", "myprobe", 1, types);
    usdt_probedef_t *same = usdt_create_probe("myfunc", "myprobe", 0, NULL);
    usdt_probedef_t *other = usdt_create_probe("myfunc", "other", 0, NULL);
    check(usdt_provider_enable(provider) == -1, "a provider without probes cannot be enabled");
    says(provider, "no probes defined", "because it has none");
    check(usdt_provider_remove_probe(provider, probe) == -1, "nothing can be removed from it");
    says(provider, "no probes defined", "because it has none");
    check(usdt_provider_add_probe(provider, probe) == 0, "a probe is added");
    check(usdt_provider_add_probe(provider, same) == -1, "another of the same function and name is not");
    says(provider, "probe named myprov:mymod:myfunc:myprobe already exists",
         "and the message of 1.x says so");
    check(usdt_provider_remove_probe(provider, other) == -1, "a probe that is not there cannot be removed");
    says(provider, "failed to remove probe myprov:mymod:myfunc:other", "and the message of 1.x says so");
    check(usdt_provider_add_probe(provider, other) == 0 && provider->probedefs != NULL &&
          provider->probedefs->next != NULL && provider->probedefs->next->next == NULL &&
          (provider->probedefs == other || provider->probedefs->next == other),
          "probedefs and next lead to each probe of the provider");
    check(usdt_provider_remove_probe(provider, probe) == 0 && provider->probedefs == other &&
          other->next == NULL,
          "and no longer to one that is removed");
    usdt_error(provider, USDT_ERROR_MALLOC);
    says(provider, "failed to allocate memory", "usdt_error() sets a message");
    usdt_error(provider, USDT_ERROR_VALLOC);
    says(provider, "failed to allocate page-aligned memory", "or another");
    usdt_error(provider, USDT_ERROR_LOADDOF, "no such device");
    says(provider, "failed to load DOF: no such device", "with a reason");
    usdt_error(provider, USDT_ERROR_UNLOADDOF, "no such device");
    says(provider, "failed to unload DOF: no such device", "or that");
    usdt_error(provider, USDT_ERROR_DUP_PROBE, "a", "b", "c", "d");
    says(provider, "probe named a:b:c:d already exists", "or with the names of a probe");
    usdt_error(provider, USDT_ERROR_REMOVE_PROBE, "a", "b", "c", "d");
    says(provider, "failed to remove probe a:b:c:d", "or these");
    usdt_provider_free(provider);
    usdt_probe_release(other);
    usdt_probe_release(same);
    usdt_probe_release(probe);
}

static void fire(usdt_probedef_t *probedef, size_t argc)
{
    void **argv = (void **)calloc(40, sizeof *argv);
    usdt_fire_probe(probedef->probe, argc, argv);
    if (usdt_is_enabled(probedef->probe))
        usdt_fire_probe(probedef->probe, argc, argv);
    free(argv);
}

static void test_life(void)
{
    const char *types[] = { "int", "char *" };
    usdt_provider_t *provider = usdt_create_provider("myprov", "mymod");
    usdt_probedef_t *probe = usdt_create_probe("myfunc", "myprobe", 2, types);
    int (*isenabled)(void);
    check(usdt_provider_add_probe(provider, probe) == 0 && probe->probe == NULL,
          "a probe that was never enabled has no usdt_probe_t");
    check(usdt_provider_disable(provider) == 0, "disable is 0 when not enabled");
    check(usdt_provider_enable(provider) == 0 && provider->enabled == 1, "enable is 0, and sets enabled");
    check(probe->probe != NULL && probe->probe->isenabled_addr != NULL && probe->probe->probe_addr != NULL,
          "the probe then has its two addresses");
    isenabled = probe->probe->isenabled_addr;
    check(isenabled() == 0 && usdt_is_enabled(probe->probe) == 0, "nobody traces it");
    check(usdt_provider_enable(provider) == 0, "enable is 0 when already enabled");
    says(provider, "provider is already enabled", "and says that it was");
    fire(probe, 0);
    fire(probe, 2);
    fire(probe, 40);
    check(usdt_provider_disable(provider) == 0 && probe->probe == NULL && provider->enabled == 0,
          "disable takes it all back");
    fire(probe, 2);
    check(usdt_is_enabled(NULL) == 0, "usdt_is_enabled(NULL) is 0, usdt_fire_probe(NULL) does nothing");
    check(usdt_provider_enable(provider) == 0 && probe->probe != NULL, "and can be enabled again");
    usdt_probe_release(probe);
    fire(provider->probedefs, 2);
    usdt_provider_free(provider);
}

int main(void)
{
    test_constants();
    test_definitions();
    test_errors();
    test_life();
    printf("done %d\n", checks);
    return 0;
}
