# trace.t - `usdt trace` prints the hits of a process with their values, and leaves nothing in tracefs, however it ends.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Build qw(run);
use USDT::Program;
use USDT::Tracer;

my $out = $ENV{O} // '.';
my $usdt = "$out/usdt";
my $cc = $ENV{CC} || 'cc';
plan skip_all => "$usdt runs in a user-mode emulator, whose /proc shows the emulator's memory" if @USDT::Program::RUNNER;
my $TIME = qr/\d\d:\d\d:\d\d\.\d{6}/;

# Starts `usdt trace` on a program, and waits until it traces.
sub start {
    my ($program, $probe, @arguments) = @_;
    my $tracer = USDT::Tracer->start($usdt, 'trace', '-p', $program->pid, @arguments);
    ok($tracer->until(sub { $tracer->output =~ /Ctrl-C ends it$/m && $program->enabled($probe) eq '1 1' }), 'it traces');
    return $tracer;
}

# What it printed of hits: "probe arguments", without time and thread.
sub hits { my ($program, $text) = @_; return map { /^$TIME @{[ $program->pid ]} (.*)$/ ? $1 : () } split /\n/, $text }

# What is left of ours in tracefs.
sub left {
    my $dir = USDT::Tracer::tracefs();
    my @instances = glob "$dir/instances/usdt_[0-9]*";
    open my $events, '<', "$dir/uprobe_events" or die $!;
    return (@instances, grep { m{^p:usdt_\d+/} } <$events>);
}

sub values_of {
    my ($bits) = @_;
    my $program = USDT::Program->new(bits => $bits);
    $program->provide('p', 'traced', 'mod', one => ['int', 'char *', 'uint8_t', 'const struct foo *', 'int64_t'], none => [],
        twelve => [('short') x 12], more => [('int') x 32]);
    my $tracer = start($program, 'one', 'traced:*');
    $program->ok('fire', 'one', 'i:-5', 's:text', 'i:255', 'i:4096', 'i:-1');
    $program->ok('fire', 'none');
    $program->ok('fire', 'twelve', map { "i:-$_" } 1 .. 12);
    $program->ok('fire', 'more', map { "i:$_" } 1 .. 32);
    ok($tracer->until(sub { (() = $tracer->output =~ /traced:/g) >= 4 }), 'four hits');
    my @hits = hits($program, $tracer->stop);
    my $string = $bits == 64 ? '"text"' : qr/0x[0-9a-f]+/; # ftrace reads eight bytes of a pointer
    like($hits[0], qr/^traced:one -5 $string 255 0x1000 -1$/, 'by their types');
    is($hits[1], 'traced:none', 'no arguments');
    is($hits[2], join(' ', 'traced:twelve', map { -$_ } 1 .. 12), 'twelve');
    is($hits[3], join(' ', 'traced:more', 1 .. 12), 'the twelve that the note has, of more');
    is($tracer->{status} // $?, 0, 'exit code 0');
    is_deeply([left()], [], 'nothing is left');
}

sub odd_strings {
    my $program = USDT::Program->new;
    $program->provide('p', 'odd', 'mod', s => ['char *', 'char *']);
    my $tracer = start($program, 's', 'odd:s');
    $program->ok('fire', 's', 's:a "quoted" a1="x" one', 's:two');
    $program->ok('fire', 's', 's:', 'n:');
    ok($tracer->until(sub { (() = $tracer->output =~ /odd:s/g) >= 2 }), 'two hits');
    my @hits = hits($program, $tracer->stop);
    like($hits[0], qr/quoted.*"two"$/, 'text that looks like arguments');
    is($hits[1], 'odd:s "" (fault)', 'an empty string, and NULL');
}

# uprobe_events know no quotes.
sub odd_path {
    my $dir = File::Temp->newdir;
    mkdir "$dir/a #b", 0700 or die $!;
    my $program = USDT::Program->new(env => { XDG_RUNTIME_DIR => "$dir/a #b" });
    $program->provide('p', 'blank', 'mod', s => ['int']);
    my $tracer = start($program, 's', 'blank');
    $program->ok('fire', 's', 'i:7');
    ok($tracer->until(sub { $tracer->output =~ /blank:s 7$/m }), 'is traced');
    $tracer->stop;
    like((run({}, $usdt, 'list', '-p', $program->pid, 'blank'))[1], qr{\t\Q$dir\E/a #b/usdt/blank-\w+\.so$}, 'and listed');
    is_deeply([left()], [], 'nothing is left');
}

sub only_this_process {
    my ($one, $other) = map { my $p = USDT::Program->new; $p->provide('p', 'shared', 'mod', s => ['int']); $p } 1, 2;
    my $tracer = start($one, 's', '--count', 3, 'shared');
    for my $i (1 .. 5) { $_->ok('fire', 's', "i:$i") for $other, $one }
    ok(USDT::Tracer::wait_for(20, sub { $tracer->ended }), '--count 3 ends it');
    is_deeply([hits($one, $tracer->output)], [map { "shared:s $_" } 1 .. 3], 'three hits of this process');
    is_deeply([hits($other, $tracer->output)], [], 'none of the other');
    is_deeply([left()], [], 'nothing is left');
    my ($code, $text, $errors) = run({}, $usdt, 'trace', '-p', $one->pid, '--for', '0.5', 'shared');
    is("$code $text", '1 ', '--for half a second ends it: no hit');
}

sub endings {
    for my $signal (qw(INT TERM HUP)) {
        my $program = USDT::Program->new;
        $program->provide('p', 'ends', 'mod', s => ['int']);
        my $tracer = start($program, 's', 'ends');
        $tracer->stop($signal);
        is_deeply([left()], [], "SIG$signal: nothing is left");
        is($program->enabled('s'), '0 0', 'and the probe is not traced');
    }
    my $program = USDT::Program->new;
    $program->provide('p', 'ends', 'mod', s => ['int']);
    my $tracer = start($program, 's', 'ends');
    $tracer->stop('KILL');
    isnt(scalar(left()), 0, 'SIGKILL: something is left');
    $tracer = start($program, 's', 'ends');
    $program->ok('fire', 's', 'i:1');
    ok($tracer->until(sub { $tracer->output =~ /ends:s 1$/m }), 'the next one traces');
    $program->quit;
    ok(USDT::Tracer::wait_for(20, sub { $tracer->ended }), 'and ends with the program');
    is_deeply([left()], [], 'and has removed what was left');
}

# Has a program fire once for each line that it is sent, until usdt trace has printed hits of all of its probes, so many.
sub described {
    my ($count, @program) = @_;
    my $program = USDT::Program->new(program => [@program]);
    is($program->receive, 'ready', 'a program with structures');
    my $tracer = USDT::Tracer->start($usdt, 'trace', '-p', $program->pid, '--count', $count, 'described');
    $tracer->until(sub { $tracer->output =~ /Ctrl-C ends it$/m });
    ok(USDT::Tracer::wait_for(20, sub { $program->send(''); $program->receive; $tracer->ended }), 'its hits are shown');
    my @hits = hits($program, $tracer->output);
    is($program->quit, 0, 'the program ended well');
    is_deeply([left()], [], 'nothing is left');
    return @hits;
}

sub structures {
    my @hits = described(2, "$ENV{B}/tests/described");
    my ($hit) = grep { /request/ } @hits;
    my $second = '{id=2, path="/second", at={x=0, y=0}, state=IDLE, flags=0, rest=0, small=0, is_new=false, name="", '
        . 'table={{0, 0, 0}, {0, 0, 0}}, corners={{x=0, y=0}, {x=0, y=0}}, ratio=0, half=0, none=NULL, words={NULL, NULL}, '
        . 'number=0, bytes={0, 0, 0, 0}, origin=NULL, next=NULL, opaque=NULL, big=0}';
    is($hit, 'described:request {id=-7, path="/cart", at={x=3, y=-4}, state=BUSY, flags=5, rest=8000, small=-8, is_new=true, '
        . 'name="twelve chars", table={{1, 2, 3}, {4, 5, 65535}}, corners={{x=1, y=2}, {x=3, y=4}}, ratio=0.1, half=-0.5, '
        . 'none=NULL, words={"one", "two"}, number=67305985, bytes={1, 2, 3, 4}, origin={x=100, y=-200}, '
        . "next=$second, opaque=0x1000, big=-9000000000} NULL 42", 'every kind of member, and what it points to');
    my ($numbers) = grep { /measure/ } @hits;
    is($numbers, 'described:measure -1234.5 0.33333334 42', 'a double, and a float');
}

# What is too much, not there, or only says so.
sub odd_structures {
    my $dir = File::Temp->newdir;
    open my $source, '>', "$dir/odd.c" or die $!;
    print $source <<'END';
#include "usdt.h"
#include <stdio.h>
#include <string.h>
#define TYPES(...) __VA_ARGS__ static const char text[] = #__VA_ARGS__;
TYPES(
struct large { char text[600]; int behind; };
struct list { struct list *next; int n; };
struct many { const char *s[100]; int n; };
union number { double d; long long i; unsigned char b[8]; };
typedef struct { short h[20]; char c[2][4]; int n; } unnamed_t;
struct tail { int n; int more[]; };
)
int main(void)
{
    const char *types[] = { "struct large *", "struct list *", "struct list *", "struct many *", "const union number *const", "unnamed_t *",
        "struct tail *", "struct nobody *", "struct list", "struct large **" };
    usdt_provider_t *p = usdt_create_provider("described", "main");
    usdt_probedef_t *d = usdt_create_probe("f", "odd", 10, types);
    if (usdt_provider_add_type(p, text) != 0 || usdt_provider_add_probe(p, d) != 0 || usdt_provider_enable(p) != 0)
        return fprintf(stderr, "%s\n", usdt_errstr(p)), 1;
    static struct large large;
    memset(large.text, 'x', sizeof large.text);
    static struct list third = { NULL, 3 }, second = { &third, 2 }, first = { &second, 1 };
    static struct many many = { .s = { "a", "b" }, .n = 1 };
    static union number number = { .i = 0x3ff8000000000000 };
    static unnamed_t unnamed = { { 1, 2 }, { "one", "two" }, 3 };
    static struct tail tail = { 7 };
    puts("ready");
    fflush(stdout);
    for (int c; (c = getchar()) != EOF;) {
        if (c != '\n')
            continue;
        USDT_PROBE(d->probe, &large, &first, 16, &many, &number, &unnamed, &tail, 4096, 5, 6);
        puts("ok");
        fflush(stdout);
    }
    usdt_provider_free(p);
    usdt_probe_release(d);
    return 0;
}
END
    close $source;
    is(system("$cc @{[ $ENV{USDT_TEST_CFLAGS} // '' ]} -I. -o $dir/odd $dir/odd.c $out/libusdt.a -pthread"), 0, 'it compiles') or return;
    my ($hit) = described(1, "$dir/odd");
    my @lines = ('{text="' . 'x' x 512 . '", behind=...}', '{next={next=0x, n=2}, n=1}', '0x10 (fault)',
        '{s={"a", "b", ' . ('NULL, ' x 14) . '...}, n=...}', '{d=1.5, i=4609434218613702656, b={0, 0, 0, 0, 0, 0, 248, 63}}',
        '{h={1, 2, ' . '0, ' x 14 . '...}, c={"one", "two"}, n=3}', '{n=7, more=...}', '0x1000 5 0x6');
    is($hit =~ s/(?<=next=0x)[0-9a-f]+//r, 'described:odd ' . join(' ', @lines), 'as much as is read, and how it is');
}

# More hits than the buffers hold, while nobody prints.
sub drops {
    my $program = USDT::Program->new;
    $program->provide('p', 'drops', 'mod', s => [('char *') x 4]);
    my $tracer = start($program, 's', 'drops');
    kill 'STOP', $tracer->{pid};
    my $count = 40_000;
    for my $part (1 .. $count / 1000) {
        $program->send('fire', 's', ('r:200') x 4) for 1 .. 1000;
        $program->receive for 1 .. 1000;
    }
    kill 'CONT', $tracer->{pid};
    ok($tracer->until(sub { (() = $tracer->output =~ /drops:s/g) > 100 }), 'some hits are printed');
    $program->quit;
    USDT::Tracer::wait_for(60, sub { $tracer->ended });
    my $text = $tracer->output;
    my $printed = () = $text =~ /drops:s/g;
    my ($lost) = $text =~ /^usdt: trace: (\d+) hits were lost/m;
    is($printed + ($lost // 0), $count, "printed $printed, lost @{[ $lost // 'none' ]}: all are accounted for");
    cmp_ok($lost // 0, '>', 0, 'and some were');
}

subtest 'what is asked wrongly' => sub {
    for (
        [[], 2, qr/^usdt: trace: of which process\? -p PID$/], [['-p', $$], 2, qr/^usdt: trace: of which probes\?/],
        [['-p', $$, '--count', 0, 'x'], 2, qr/--count 0: a number above 0$/], [['-p', $$, '--for', 'x', 'x'], 2, qr/--for x: seconds/],
        [['-p', $$, 'nosuch'], 1, qr/^usdt: trace: process \d+ has no probe like "nosuch"; usdt list -p \d+ shows all$/],
    ) {
        my ($arguments, $code, $message) = @$_;
        my ($is, $text, $errors) = run({}, $usdt, 'trace', @$arguments);
        is($is, $code, "usdt trace @$arguments: exit code $code");
        like($errors, $message, 'and the reason');
    }
};
USDT::Tracer::with(ftrace => '64 bits: values', sub { values_of(64) });
my ($path, $why) = USDT::Program->path(32);
USDT::Tracer::subtest_unless($path ? USDT::Tracer::missing('ftrace') : $why, '32 bits: values', sub { values_of(32) });
my $no_structures = USDT::Program::native_bits() == 64 ? USDT::Tracer::missing('ftrace') : 'they are shown of 64-bit programs';
USDT::Tracer::subtest_unless($no_structures, 'structures and doubles', \&structures);
USDT::Tracer::subtest_unless($no_structures, 'odd structures', \&odd_structures);
USDT::Tracer::with(ftrace => 'odd strings', \&odd_strings);
USDT::Tracer::with(ftrace => 'a path with a blank', \&odd_path);
USDT::Tracer::with(ftrace => 'one process of two', \&only_this_process);
USDT::Tracer::with(ftrace => 'however it ends', \&endings);
USDT::Tracer::with(ftrace => 'too many hits', \&drops);
done_testing;
