# struct.t - descriptions of structures: what is none is refused, with line and column; what is one is laid out as
# compilers do, for each processor; and it is in the image of the probes.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Build qw(run);
use USDT::ELF;
use USDT::Image;
use USDT::Program;

my @runner = @USDT::Program::RUNNER;
my $structs = "$ENV{B}/tests/structs";
my $dir = File::Temp->newdir;

# What the parser makes of a text, or of several, one added to the other.
sub parse {
    my ($machine, @texts) = @_;
    my ($code, $out, $err) = run({ in => join "\n----\n", @texts }, @runner, $structs, $machine);
    is("$code$err", '0', 'structs ends well') if "$code$err" ne '0';
    return $out;
}

sub layout { return [sort split /\n/, parse('x86_64', @_)] }

# ---- refused ----

subtest 'what is no description' => sub {
    my (@cases, $text);
    while (<DATA>) {
        chomp;
        push @cases, [$text, $1] and next if /^    => (.*)/;
        $text = s/\\n/\n/gr =~ s/\\t/\t/gr;
    }
    cmp_ok(scalar @cases, '>=', 190, 'there are many cases');
    is(parse('x86_64', $_->[0]), "error description $_->[1]\n", 'refused: ' . $_->[0] =~ s/\s+/ /gr) for @cases;
};

subtest 'bytes and sizes' => sub {
    for (["struct a { int x; /* \xc3\xa9 */ };", '1:22: byte 0xc3'], ["struct a {\r\n int x; };", '1:11: byte 0x0d'],
        ["struct a {\n\tint x\x1b; };", '2:7: byte 0x1b'], ["struct a { int x; }; \x7f", '1:22: byte 0x7f']) {
        is(parse('x86_64', $_->[0]), "error description $_->[1]: only printable ASCII, tabs and newlines are allowed\n",
            $_->[1]);
    }
    is(parse('x86_64', '/*' . ' ' x 32764 . '*/'), '', 'the longest text');
    is(parse('x86_64', '/*' . ' ' x 32765 . '*/'), "error descriptions of 32769 bytes: at most 32768 of a provider are allowed\n",
        'is a byte shorter than this');
    my $doubled = 'struct s0 { int a, b; }; ' . join '', map { "struct s$_ { struct s@{[ $_ - 1 ]} a, b; }; " } 1 .. 13;
    like(parse('x86_64', $doubled), qr/^error .*"b": makes the members more than 10000, with those of members,/, 'too many members');
    my $deep = 'struct { ' x 15 . 'int x; ' . '}; ' x 15;
    is_deeply(layout("struct a { $deep};"), ['struct a 4 4', 'x 0 4'], 'sixteen structures in each other');
};

subtest 'several texts' => sub {
    is_deeply(layout('struct a { int x; };', 'struct b { struct a a[2]; };'), ['a 0 8', 'struct a 4 4', 'struct b 8 4', 'x 0 4'],
        'one knows the others');
    is(parse('x86_64', 'struct a { int x; };', "struct b {\n  foo x; };"),
        qq(error description 2:3: "foo": is no type that is known here; describe it before, or point to it as void *\n),
        'lines are counted from the one that is added');
    is(parse('x86_64', 'struct a { int x; }; // a comment', 'struct b { int y };'),
        qq(error description 1:18: "}": is where the ; behind a member is wanted\n), 'a comment ends with its text');
    like(parse('x86_64', 'struct a { int x; };', ' struct a { int x; };'), qr/^error description 1:9: "a": is described already/, 'once');
};

# ---- layouts ----

# [text, structures]: every type, wherever it may be.
my @types = ('char', 'signed char', 'unsigned char', 'short', 'short int', 'unsigned short', 'signed short int', 'int', 'signed',
    'unsigned', 'unsigned int', 'long', 'unsigned long', 'long int', 'signed long int', 'long long', 'unsigned long long int',
    'long unsigned int', 'float', 'double', 'bool', '_Bool', 'enum colour', 'struct inner', 'union both', 'inner_t', 'pointer_t',
    map({ ("int${_}_t", "uint${_}_t") } 8, 16, 32, 64), qw(size_t ssize_t ptrdiff_t intptr_t uintptr_t intmax_t uintmax_t),
    qw(pid_t uid_t gid_t wchar_t u8 u16 u32 u64 s8 s16 s32 s64), 'const int', 'int const volatile');
my $before = <<'END';
enum colour { RED, GREEN = 0x10, BLUE, };
struct inner { char c; double d; short s; };
union both { char c[5]; long long l; struct inner inner; };
typedef struct inner inner_t;
typedef const char *pointer_t;
struct later;
END
sub every_type {
    my $n = 0;
    my @texts = map {
        my $i = $n++;
        "struct t$i { char before; $_ x; char between; $_ a[3], b[2][GREEN]; const $_ *p; $_ *const *pp; char after; };",
        "union v$i { char c; $_ x; $_ a[2]; };",
    } @types;
    push @texts, 'struct pointers { char c; const char *s; char *restrict r; void *v; struct later *l; int (*f)(int, char *[3]);
        char d; void (*g[2])(void); int (*array)[4]; struct { char x; } *anonymous; char e; };',
        'struct nested { char a; struct { short b; struct { char c; long long d; }; union { int e; char f[7]; }; } g; char h;
        struct { char i; } j[3]; union { double k; char l; }; struct named { char m; int n; } o; };',
        'struct flexible { short n; char c; long long rest[]; };', 'struct flexible_characters { int n; char text[]; };',
        "struct odd/*comment*/{//another\n\tint\tx\n,y;unsigned char z;};",
        'struct bits { unsigned a : 1, b : 31; unsigned c : 1; int d : 31, e : 2; char f : 4; unsigned char g : 5; short h : 9;
        long long i : 40; unsigned long long j : 24, k : 1; bool l : 1; enum colour m : 6; int n; unsigned char o : 8; char p;
        unsigned q : 7; uint16_t r : 16; long s : 3; };',
        'union bit_union { int a : 3; unsigned long long b : 33; char c : 7; };',
        'struct bits_behind { char a; int b : 24; short c; int d : 17; char e[3]; int f : 9; long long g : 60; char h; };';
    return @texts;
}

# Any structure. Names are unique, so that members of those without a name are found.
my $names;
sub random_struct {
    my ($tag, $depth, @known) = @_;
    my $kind = rand 8 < 1 ? 'union' : 'struct';
    my $text = "$kind $tag { ";
    for (1 .. 1 + rand 8) {
        my $name = 'm' . $names++;
        my $type = $types[rand @types];
        my $which = int rand 12;
        if ($which < 4) { $text .= "$type $name; " }
        elsif ($which == 4) { $text .= "$type $name" . join('', map { '[' . int(1 + rand 5) . ']' } 1 .. 1 + rand 3) . '; ' }
        elsif ($which == 5) { $text .= "$type *$name; " }
        elsif ($which == 6 && @known) { $text .= "$known[rand @known] $name; " }
        elsif ($which == 7 && $depth < 4) { $text .= random_struct('', $depth + 1, @known) . (rand 2 < 1 ? '; ' : " $name; ") }
        else {
            my ($of, $most) = @{ (['int', 32], ['unsigned', 32], ['char', 8], ['unsigned short', 16], ['long long', 64], ['bool', 1],
                ['uint8_t', 8], ['enum colour', 32], ['unsigned long long', 64])[rand 9] };
            $text .= "$of $name : " . int(1 + rand $most) . '; ';
        }
    }
    return "$text}";
}

# A program that prints what a compiler makes of them, as structs does.
sub asking_program {
    my ($text, $layout) = @_;
    my ($of, $program) = ('', '');
    for (split /\n/, $layout) {
        my ($first, $second, @rest) = split;
        if ($first eq 'struct' || $first eq 'union') {
            $of = "$first $second";
            $program .= "printf(\"$of %zu %zu\\n\", sizeof($of), _Alignof($of));\n";
        } elsif (@rest == 2) {
            $program .= "{ union { $of s; unsigned char b[sizeof($of)]; } u; memset(&u, 0, sizeof u); "
                . "u.s.$first = ONES(u.s.$first); print_bits(\"$first\", u.b, sizeof u.b); }\n";
        } else {
            my $size = $rest[0] == 0 ? '(size_t)0' : "sizeof((($of *)0)->$first)";
            $program .= "printf(\"$first %zu %zu\\n\", offsetof($of, $first), $size);\n";
        }
    }
    return <<"END";
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
typedef int8_t s8; typedef int16_t s16; typedef int32_t s32; typedef int64_t s64;
#define ONES(member) _Generic((member), bool: 1, default: -1)
static void print_bits(const char *name, const unsigned char *bytes, size_t size)
{
    size_t first = size * 8, count = 0;
    for (size_t i = 0; i < size * 8; i++)
        if (bytes[i / 8] >> i % 8 & 1)
            first = i < first ? i : first, count++;
    printf("%s %zu %zu %zu\\n", name, first / 8, first % 8, count);
}
$text
int main(void)
{
$program
return 0;
}
END
}

sub write_file { my ($path, $text) = @_; open my $file, '>', $path or die "$path: $!"; print $file $text; close $file or die }
sub found { return USDT::Build::find_program($_[0]) }

sub compiled_alike {
    my ($machine, $runner, $text, @cc) = @_;
    my $layout = parse($machine, $text);
    unlike($layout, qr/^error/, "$machine: the descriptions are taken") or return diag($text);
    write_file("$dir/asks.c", asking_program($text, $layout));
    my ($code, undef, $err) = run({}, @cc, qw(-std=gnu11 -w -O0 -o), "$dir/asks", "$dir/asks.c");
    is($code, 0, "@cc takes them") or return diag($err);
    my ($status, $out) = run({}, @$runner, "$dir/asks");
    is($status, 0, 'its program runs');
    my @differ = grep { (split /\n/, $layout)[$_] ne ((split /\n/, $out)[$_] // '') } 0 .. ($layout =~ tr/\n//) - 1;
    cmp_ok($layout =~ tr/\n//, '>', 100, 'there are many members');
    is($out, $layout, "@cc: all of @{[ $layout =~ tr/\n// ]} lines alike") or
        diag(map { (split /\n/, $layout)[$_] . ' is ' . (split /\n/, $out)[$_] . "\n" } @differ[0 .. ($#differ < 9 ? $#differ : 9)]);
}

subtest 'sizes and offsets are those of compilers' => sub {
    srand($ENV{USDT_TEST_SEED} // 1);
    my @batches = map {
        my @random;
        $names = 0;
        push @random, random_struct("r$_", 0, map { /^(\w+ r\d+)/ } grep { rand 3 < 1 } @random) . ';' for 1 .. 50;
        join "\n", @random;
    } 1 .. ($ENV{USDT_TEST_STRESS} ? 40 : 4);
    my @targets = (['arm64', ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'],
        (found('aarch64-linux-gnu-gcc') ? 'aarch64-linux-gnu-gcc' : qw(clang --target=aarch64-linux-gnu))]);
    if (`uname -m` eq "x86_64\n") {
        push @targets, map { ['x86_64', [], $_], ['i386', [], $_, '-m32'] } qw(gcc clang);
    } elsif (`uname -m` eq "aarch64\n") {
        @targets = map { ['arm64', [], $_] } qw(gcc clang);
    }
    for (@targets) {
        my ($machine, $runner, @cc) = @$_;
        SKIP: {
            my ($tool) = grep { !found($_) } $cc[0], @$runner ? $runner->[0] : ();
            skip "$tool is not installed", 1 if $tool;
            write_file("$dir/any.c", "#include <stdio.h>\nint main(void) { return puts(\"any\") < 0; }\n");
            skip "@cc: no libraries for $machine", 1
                if (run({}, @cc, '-o', "$dir/any", "$dir/any.c"))[0] != 0 || (run({}, @$runner, "$dir/any"))[0] != 0;
            compiled_alike($machine, $runner, "$before$_", @cc) for join("\n", every_type()), @batches;
        }
    }
};

# ---- usdt_provider_add_type() ----

my $CODE = 8; # USDT_ERROR_INVALID
sub types_in { my ($elf) = @_; my $section = $elf->section('.usdt.types'); return $section && $elf->contents($section) }
sub types_of { my ($program, $provider) = @_; return types_in(USDT::Image->of($program, $provider)->{elf}) }

subtest 'a provider with descriptions' => sub {
    my $program = USDT::Program->new;
    my $text = 'struct req { int id; const char *path; };';
    $program->ok('provider', 'p', 'typed', 'mod');
    $program->ok('probe', 'd', 'f', 'one', 'struct req *');
    $program->ok('add', 'p', 'd');
    is($program->do('type', 'p', $text), 'ok ', 'a description');
    is($program->do('type', 'p', 'struct more { struct req *of; };'), 'ok ', 'and another');
    is($program->do('type', 'p', $text), 'ok ', 'the same text again is no error');
    is($program->do('type', 'p', "$text "), qq(error $CODE description 1:8: "req": is described already; describe it once, )
        . 'or add the very same text again', 'another of that name is');
    is($program->do('type', 'p', 'struct bad { in x; };'), qq(error $CODE description 1:14: "in": is no type that is known here; )
        . 'describe it before, or point to it as void *', 'what is no description is refused');
    is($program->do('type', 'p', '/*' . ' ' x 32764 . '*/'), "error $CODE descriptions of 32844 bytes: at most 32768 of a provider "
        . 'are allowed', 'so is too much');
    $program->ok('enable', 'p');
    my $all = "$text\0struct more { struct req *of; };\0";
    is(types_of($program, 'typed'), $all, 'the image has what was taken, each text as it was given');
    is_deeply([USDT::Image->of($program, 'typed')->{elf}->violations], [], 'and is a good one');
    my $first = USDT::Image->of($program, 'typed')->path;

    like($program->do('type', 'p', 'enum late { LATE };'), qr/^ok/, 'one may be added to a provider that is enabled');
    is(types_of($program, 'typed'), $all, 'which changes no image that is published');
    $program->ok('probe', 'e', 'f', 'two', 'struct req *');
    $program->ok('add', 'p', 'e');
    $program->ok('enable', 'p');
    my ($second) = grep { $_->{path} ne $first } $program->images;
    is(types_in(USDT::Image->new(%$second)->{elf}), "${all}enum late { LATE };\0", 'but is in the next');
    $program->ok('disable', 'p');
    $program->ok('enable', 'p');
    is_deeply([map { types_in(USDT::Image->new(%$_)->{elf}) } $program->images],
        [("${all}enum late { LATE };\0") x 2], 'and in all when it is enabled anew');
    is($program->quit, 0, 'the program ended well');
};

subtest 'a provider without' => sub {
    my $program = USDT::Program->new;
    $program->provide('p', 'untyped', 'mod', one => ['struct req *']);
    is(types_of($program, 'untyped'), undef, 'has no such section');
    my $other = USDT::Program->new;
    $other->ok('provider', 'p', 'untyped', 'mod');
    $other->ok('probe', 'd', 'func', 'one', 'struct req *');
    $other->ok('add', 'p', 'd');
    $other->ok('type', 'p', 'struct req { int id; };');
    $other->ok('enable', 'p');
    isnt(USDT::Image->of($other)->path, USDT::Image->of($program)->path, 'and is another file than one that has');
};
done_testing;
__DATA__
int x;
    => 1:1: "int": begins no description; struct, union, enum and typedef do
x
    => 1:1: "x": begins no description; struct, union, enum and typedef do
;
    => 1:1: ";": begins no description; struct, union, enum and typedef do
42
    => 1:1: "42": begins no description; struct, union, enum and typedef do
struct
    => 1:7: the end: is where the name of a structure, or a {, is wanted
struct;
    => 1:7: ";": is where the name of a structure, or a {, is wanted
struct {
    => 1:9: the end: comes before the } of a structure
struct { int x; };
    => 1:1: "struct": begins a structure that has no name; give it one
struct { int x; } a;
    => 1:19: "a": is where the ; behind a description is wanted
struct a
    => 1:9: the end: is where the ; behind a description is wanted
struct a {
    => 1:11: the end: comes before the } of a structure
struct a { }
    => 1:12: "}": ends a structure without a member; it must have one
struct a { };
    => 1:12: "}": ends a structure without a member; it must have one
struct a { int }
    => 1:16: "}": is where a name is wanted
struct a { int; };
    => 1:12: "int": begins a member that has no name
struct a { int x }
    => 1:18: "}": is where the ; behind a member is wanted
struct a { int x; }
    => 1:20: the end: is where the ; behind a description is wanted
struct a { int x; } b;
    => 1:21: "b": is where the ; behind a description is wanted
struct a { int x; } *p;
    => 1:21: "*": is where the ; behind a description is wanted
struct a { int x; }; struct a { int y; };
    => 1:29: "a": is described already; describe it once, or add the very same text again
struct a { int x; }; union a { int y; };
    => 1:28: "a": is a struct elsewhere; write struct
union a { int x; }; struct b { struct a x; };
    => 1:39: "a": is a union elsewhere; write union
struct a; union a;
    => 1:17: "a": is a struct elsewhere; write struct
union u { }
    => 1:11: "}": ends a structure without a member; it must have one
union
    => 1:6: the end: is where the name of a structure, or a {, is wanted
enum a { A }; struct a { int x; };
    => 1:22: "a": is the name of an enum already; describe it once
struct a { int x; }; enum a { A };
    => 1:27: "a": is the name of a structure or union already; describe it once
struct a { int x, x; };
    => 1:19: "x": is the name of a member already; choose another
struct a { int x; char *x; };
    => 1:25: "x": is the name of a member already; choose another
struct a { int x; struct { int x; }; };
    => 1:19: "struct": begins members of which one has a name that is here already
struct a { struct { int x; }; union { int y; int x; }; };
    => 1:31: "union": begins members of which one has a name that is here already
struct a { struct { union { int x; }; }; int x; };
    => 1:46: "x": is the name of a member already; choose another
struct a { int x; struct { union { int x; }; }; };
    => 1:19: "struct": begins members of which one has a name that is here already
struct a { struct a x; };
    => 1:21: "x": has the type of the structure that it is in; point to it
struct a { struct { struct a x; } y; };
    => 1:30: "x": has the type of the structure that it is in; point to it
struct a { struct b x; };
    => 1:21: "x": has a type that is not described yet; describe it before, or point to it
struct b; struct a { struct b x; };
    => 1:31: "x": has a type that is not described yet; describe it before, or point to it
struct a { struct b { int x; }; };
    => 1:12: "struct": begins a member that has no name
struct a { enum b x; };
    => 1:17: "b": is an enum that is not described yet; describe it before
struct a { enum { A }; };
    => 1:12: "enum": begins a member that has no name
struct a { void x; };
    => 1:17: "x": is void, which has no size; void * is a pointer
struct a { void x[4]; };
    => 1:17: "x": is void, which has no size; void * is a pointer
struct a { foo x; };
    => 1:12: "foo": is no type that is known here; describe it before, or point to it as void *
struct a { uint33_t x; };
    => 1:12: "uint33_t": is no type that is known here; describe it before, or point to it as void *
struct a { FILE *f; };
    => 1:12: "FILE": is no type that is known here; describe it before, or point to it as void *
struct a { unsigned foo x; };
    => 1:25: "x": is where the ; behind a member is wanted
struct a { long long long x; };
    => 1:12: "long": begins words that are no type of C together
struct a { short long x; };
    => 1:12: "short": begins words that are no type of C together
struct a { char int x; };
    => 1:12: "char": begins words that are no type of C together
struct a { signed unsigned x; };
    => 1:12: "signed": begins words that are no type of C together
struct a { int int x; };
    => 1:12: "int": begins words that are no type of C together
struct a { short short x; };
    => 1:12: "short": begins words that are no type of C together
struct a { unsigned double x; };
    => 1:12: "unsigned": begins words that are no type of C together
struct a { long double x; };
    => 1:17: "double": long double is not known here; describe it as char [16]
struct a { double long x; };
    => 1:12: "double": begins words that are no type of C together
struct a { _Complex double x; };
    => 1:12: "_Complex": is no type, and no part of one here
struct a { __int128 x; };
    => 1:12: "__int128": is no type that is known here; describe it before, or point to it as void *
struct a { static int x; };
    => 1:12: "static": is no type, and no part of one here
struct a { register int x; };
    => 1:12: "register": is no type, and no part of one here
struct a { extern int x; };
    => 1:12: "extern": is no type, and no part of one here
struct a { inline int x; };
    => 1:12: "inline": is no type, and no part of one here
struct a { int restrict x; };
    => 1:16: "restrict": is a word of C's own; choose another name
struct a { int const; };
    => 1:12: "int": begins a member that has no name
struct a { int while; };
    => 1:16: "while": is a word of C's own; choose another name
struct a { int int; };
    => 1:12: "int": begins words that are no type of C together
struct a { int *; };
    => 1:17: ";": is where a name is wanted
struct a { int 4; };
    => 1:16: "4": is where a name is wanted
struct a { int 4x; };
    => 1:16: "4x": is where a name is wanted
struct a { int x; int y z; };
    => 1:25: "z": is where the ; behind a member is wanted
struct a { int x,; };
    => 1:18: ";": is where a name is wanted
struct a { int x, , y; };
    => 1:19: ",": is where a name is wanted
struct a { int x = 1; };
    => 1:18: "=": is where the ; behind a member is wanted
struct a { int x y; };
    => 1:18: "y": is where the ; behind a member is wanted
struct a { int x[]; };
    => 1:16: "x": is an array without a size; it must be the last member of a structure that has others
struct a { int n; int x[]; int y; };
    => 1:32: "y": follows an array without a size; that must be the last member
union a { int n; int x[]; };
    => 1:22: "x": is an array without a size; it must be the last member of a structure that has others
struct a { int n; int x[][2]; };
    => 1:27: "2": follows a dimension without a size; only the first may have none, and then there is no other
struct a { int n; int x[2][]; };
    => 1:28: "]": leaves a dimension without a size; give it one
struct a { int x[0]; };
    => 1:18: "0": is no size of an array; for one without a size write []
struct a { int x[-1]; };
    => 1:18: "-": is no constant; write a number, or a constant of an enum (there are no expressions)
struct a { int x[n]; };
    => 1:18: "n": is no constant; write a number, or a constant of an enum (there are no expressions)
struct a { int x[1+1]; };
    => 1:19: "+": is where the array's ] is wanted; there are no expressions
struct a { int x[sizeof(int)]; };
    => 1:18: "sizeof": is no constant; write a number, or a constant of an enum (there are no expressions)
struct a { int x[2; };
    => 1:19: ";": is where the array's ] is wanted; there are no expressions
struct a { int x[2][2][2][2][2]; };
    => 1:30: "2": begins a fifth dimension; at most 4 are allowed
struct a { int x[2]]; };
    => 1:20: "]": is where the ; behind a member is wanted
struct a { int x[1048577]; };
    => 1:18: "1048577": makes the array too large; 1048576 bytes are the most
struct a { int x[4294967296]; };
    => 1:18: "4294967296": is too large; at most 4294967295 is allowed
struct a { int x[99999999999999999999]; };
    => 1:18: "99999999999999999999": is too large; at most 4294967295 is allowed
struct a { int x[262145]; };
    => 1:16: "x": makes the structure larger than 1048576 bytes, which is the most
struct a { char x[1024][1025]; };
    => 1:25: "1025": makes the array too large; 1048576 bytes are the most
struct a { char x[1048576]; char y; };
    => 1:34: "y": makes the structure larger than 1048576 bytes, which is the most
struct a { int x[08]; };
    => 1:18: "08": is no number; write a decimal, octal or hexadecimal one
struct a { int x[0x]; };
    => 1:18: "0x": is no number; write a decimal, octal or hexadecimal one
struct a { int x[0xg]; };
    => 1:18: "0xg": is no number; write a decimal, octal or hexadecimal one
struct a { int x[1.5]; };
    => 1:19: ".": is where the array's ] is wanted; there are no expressions
struct a { int x[12abc]; };
    => 1:18: "12abc": is no number; write a decimal, octal or hexadecimal one
struct a { int x['a']; };
    => 1:18: "'": is no constant; write a number, or a constant of an enum (there are no expressions)
struct a { int n; char x[]; }; struct b { struct a a; };
    => 1:52: "a": ends with an array without a size; such a structure is no member of another
struct a { int n; char x[]; }; struct b { struct a a[2]; };
    => 1:52: "a": ends with an array without a size; such a structure is no member of another
struct a { int : 3; };
    => 1:16: ":": begins a bit-field without a name; give it one
struct a { int : 0; };
    => 1:16: ":": begins a bit-field without a name; give it one
struct a { int x : 0; };
    => 1:20: "0": is no width of this bit-field; 1 to the bits of its type are
struct a { int x : 33; };
    => 1:20: "33": is no width of this bit-field; 1 to the bits of its type are
struct a { char x : 9; };
    => 1:21: "9": is no width of this bit-field; 1 to the bits of its type are
struct a { bool x : 2; };
    => 1:21: "2": is no width of this bit-field; 1 to the bits of its type are
struct a { _Bool x : 2; };
    => 1:22: "2": is no width of this bit-field; 1 to the bits of its type are
struct a { float x : 3; };
    => 1:18: "x": cannot be a bit-field; only an integer can
struct a { int *x : 3; };
    => 1:17: "x": cannot be a bit-field; only an integer can
struct a { char *x : 3; };
    => 1:18: "x": cannot be a bit-field; only an integer can
struct a { int x[2] : 3; };
    => 1:16: "x": cannot be a bit-field; only an integer can
struct a { struct { int y; } x : 3; };
    => 1:30: "x": cannot be a bit-field; only an integer can
enum { A = -1 }; struct a { int x : A; };
    => 1:37: "A": is no width of this bit-field; 1 to the bits of its type are
enum { A = -1 }; struct a { int x[A]; };
    => 1:35: "A": is no size of an array; for one without a size write []
struct a { int x : ; };
    => 1:20: ";": is no constant; write a number, or a constant of an enum (there are no expressions)
struct a { int x : y; };
    => 1:20: "y": is no constant; write a number, or a constant of an enum (there are no expressions)
struct a { int f(void); };
    => 1:17: "(": begins a function, which is no member; a pointer to one is (*name)()
struct a { int (f)(void); };
    => 1:17: "f": is where the * of a pointer to a function is wanted
struct a { int (*f(void); };
    => 1:19: "(": is where the ) behind the name is wanted
struct a { int (*f); };
    => 1:20: ";": is where the parameters of a function, or the size of an array, are wanted
struct a { int (*f)(void };
    => 1:26: "}": is nothing that a function's parameters have
struct a { int (*f)(int x; };
    => 1:26: ";": is nothing that a function's parameters have
struct a { int (*f)(int = 3); };
    => 1:25: "=": is nothing that a function's parameters have
struct a { int (*)(void); };
    => 1:18: ")": is where a name is wanted
struct a { int (*f)[2; };
    => 1:22: ";": is where the array's ] is wanted; there are no expressions
enum
    => 1:5: the end: is where the name of an enum, or a {, is wanted
enum;
    => 1:5: ";": is where the name of an enum, or a {, is wanted
enum { };
    => 1:8: "}": is where the name of a constant is wanted
enum e { };
    => 1:10: "}": is where the name of a constant is wanted
enum e { A, A };
    => 1:13: "A": is the name of a constant already; describe it once
enum e { A }; enum f { A };
    => 1:24: "A": is the name of a constant already; describe it once
enum e { A }; enum e { B };
    => 1:20: "e": is described already; describe it once, or add the very same text again
enum e;
    => 1:6: "e": is an enum that is not described yet; describe it before
enum e { A = };
    => 1:14: "}": is no constant; write a number, or a constant of an enum (there are no expressions)
enum e { A = B };
    => 1:14: "B": is no constant; write a number, or a constant of an enum (there are no expressions)
enum e { A = 1 + 1 };
    => 1:16: "+": is where a comma or the enum's } is wanted
enum e { A = 4294967296 };
    => 1:14: "4294967296": is too large; at most 4294967295 is allowed
enum e { A = 4294967295, B };
    => 1:26: "B": makes the enum wider than an int; its constants must fit into an int, or an unsigned one
enum e { A = -1, B = 4294967295 };
    => 1:18: "B": makes the enum wider than an int; its constants must fit into an int, or an unsigned one
enum e { A = -2147483649 };
    => 1:10: "A": makes the enum wider than an int; its constants must fit into an int, or an unsigned one
enum e { A B };
    => 1:12: "B": is where a comma or the enum's } is wanted
enum e { A, , B };
    => 1:13: ",": is where the name of a constant is wanted
enum e { 1 };
    => 1:10: "1": is where the name of a constant is wanted
enum e { int };
    => 1:10: "int": is a word of C's own; choose another name
enum e { A } x;
    => 1:14: "x": is where the ; behind a description is wanted
enum e { A
    => 1:11: the end: is where a comma or the enum's } is wanted
typedef
    => 1:8: the end: is where a type is wanted
typedef int;
    => 1:12: ";": is where a name is wanted
typedef int x
    => 1:14: the end: is where the ; behind a typedef is wanted
typedef int x[4];
    => 1:13: "x": is an array; a typedef names no array here
typedef int x; typedef int x;
    => 1:28: "x": is the name of a type already; describe it once
typedef int uint8_t;
    => 1:13: "uint8_t": is the name of a type already; describe it once
typedef int int;
    => 1:9: "int": begins words that are no type of C together
typedef struct { int x; } a; typedef int a;
    => 1:42: "a": is the name of a type already; describe it once
typedef struct a b; struct c { b x; };
    => 1:34: "x": has a type that is not described yet; describe it before, or point to it
enum e { A }; typedef int A;
    => 1:27: "A": is the name of a constant already; describe it once
typedef int A; enum e { A };
    => 1:25: "A": is the name of a type already; describe it once
typedef foo x;
    => 1:9: "foo": is no type that is known here; describe it before, or point to it as void *
typedef int x, y;
    => 1:14: ",": is where the ; behind a typedef is wanted
#include <stdint.h>
    => 1:1: "#": there is no preprocessor here; write what it would make of this
#define N 4
    => 1:1: "#": there is no preprocessor here; write what it would make of this
struct a { int x[4]; } __attribute__((packed));
    => 1:24: "__attribute__": attributes are not taken: members lie where the compiler puts them without any
struct __attribute__((packed)) a { int x; };
    => 1:8: "__attribute__": attributes are not taken: members lie where the compiler puts them without any
struct a { int x __attribute__((aligned(8))); };
    => 1:18: "__attribute__": attributes are not taken: members lie where the compiler puts them without any
struct a { _Alignas(8) int x; };
    => 1:12: "_Alignas": attributes are not taken: members lie where the compiler puts them without any
struct a { _Atomic int x; };
    => 1:12: "_Atomic": attributes are not taken: members lie where the compiler puts them without any
_Static_assert(1, "");
    => 1:1: "_Static_assert": attributes are not taken: members lie where the compiler puts them without any
__extension__ struct a { int x; };
    => 1:1: "__extension__": attributes are not taken: members lie where the compiler puts them without any
struct a { int x; /* not ended };
    => 1:19: "/*": the comment does not end; end it with */
/* not ended
    => 1:1: "/*": the comment does not end; end it with */
struct a { int x; // };
    => 1:24: the end: comes before the } of a structure
struct a { int x; \ };
    => 1:19: "\": is where a type is wanted
struct a { int x; @ };
    => 1:19: "@": is where a type is wanted
struct a { int $x; };
    => 1:16: "$": is where a name is wanted
struct a { int "x"; };
    => 1:16: """: is where a name is wanted
struct a { int x; } struct b { int y; };
    => 1:21: "struct": is where the ; behind a description is wanted
struct a : b { int x; };
    => 1:10: ":": is where the ; behind a description is wanted
class a { int x; };
    => 1:1: "class": begins no description; struct, union, enum and typedef do
struct int { int x; };
    => 1:8: "int": is a word of C's own; choose another name
struct struct { int x; };
    => 1:8: "struct": is a word of C's own; choose another name
struct a { public: int x; };
    => 1:12: "public": is no type that is known here; describe it before, or point to it as void *
struct a { int &x; };
    => 1:16: "&": is where a name is wanted
struct a { int x; }}; 
    => 1:20: "}": is where the ; behind a description is wanted
extern struct a x;
    => 1:1: "extern": begins no description; struct, union, enum and typedef do
const struct a { int x; };
    => 1:1: "const": begins no description; struct, union, enum and typedef do
struct a { int x; } ; struct b { int y, *y; };
    => 1:42: "y": is the name of a member already; choose another
struct a { unsigned; };
    => 1:12: "unsigned": begins a member that has no name
struct a { int x : 3, : 2; };
    => 1:23: ":": begins a bit-field without a name; give it one
struct a { long double *x; };
    => 1:17: "double": long double is not known here; describe it as char [16]
struct a { int x; };\nstruct b {\n    int y;\n    foo z;\n};
    => 4:5: "foo": is no type that is known here; describe it before, or point to it as void *
/* a comment\n   of two lines */ struct a { int x y; };
    => 2:37: "y": is where the ; behind a member is wanted
\n\n\tstruct a { int x; } int;
    => 3:22: "int": is where the ; behind a description is wanted
struct a { int x; };\n// struct b\nstruct a { int x; };
    => 3:8: "a": is described already; describe it once, or add the very same text again
struct a { struct { struct { struct { struct { struct { struct { struct { struct { struct { struct { struct { struct { struct { struct { struct { struct { int x; }; }; }; }; }; }; }; }; }; }; }; }; }; }; }; }; };
    => 1:154: "{": opens a structure in 16 others, which are the most
struct abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz { int x; } abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz;
    => 1:72: "abcdefghijklmnopqrstuvwxyzabcdefghijklmn...": is where the ; behind a description is wanted
