# how.t - the commands that `usdt how` prints work as they are printed: each is given to a shell, while the program
# fires, and shows the values; ended by Ctrl-C, it leaves nothing behind.
use strict;
use warnings;
no warnings 'portable';
use File::Temp ();
use Test::More;
use Time::HiRes qw(sleep);
use USDT::Program;
use USDT::Tracer;

my $out = $ENV{O} // '.';
my $cc = $ENV{CC} || 'cc';
plan skip_all => "$out/usdt runs in a user-mode emulator, whose /proc shows the emulator's memory" if @USDT::Program::RUNNER;

# What `usdt how` says: by the first word of each block, or of bpftrace's two, "bpftrace" (old) and "new".
sub how {
    my ($pid, $probe) = @_;
    my $text = qx{$out/usdt how -p $pid '$probe'};
    is($?, 0, "usdt how -p PID $probe");
    my (undef, @blocks) = split /\n\n/, $text;
    unlike($text, qr/^#.*['"`\\]/m, 'no comment harms a shell that takes none');
    my %how = (text => $text);
    for (@blocks) {
        my ($tool, $new) = /^# (\w+)( \(new)?/ or die "a block without a comment: $_";
        $how{ $new ? 'new' : $tool } = "$_\n";
    }
    return \%how;
}

# The values of each hit that a tracer has shown.
sub hits {
    my ($tool, $name, $output) = @_;
    return map { my $rest = $_; [$rest =~ /\barg\d+=(".*?"(?= arg\d+=|$)|\S+)/g] }
        $output =~ /\b$name(?:_\d+)?: \(\w+\) ?(.*)/g if $tool eq 'ftrace' || $tool eq 'perf';
    return map { [split] } $output =~ /^$name\b ?(.*)$/mg;
}

sub different { my %seen; return grep { !$seen{"@$_"}++ } @_ }

# Gives a block to a shell, and fires until it has shown so many different hits; returns those, when it was ended. (Of a
# probe at two places one may be traced a moment before the other.)
sub run {
    my ($tool, $name, $how, $fire, $count) = @_;
    my $dir = File::Temp->newdir; # perf.data is put there
    my $tracer = USDT::Tracer->start('sh', '-c', 'cd "$0" && exec setsid sh -c "$1"', "$dir", $how->{$tool});
    my $shown = $tool eq 'new' ? 'bpftrace' : $tool;
    $name =~ tr/-./__/;
    if ($tool eq 'perf') { # shows what it has recorded when it has ended
        $tracer->until(sub { -s "$dir/perf.data" });
        for (1 .. 40) { $fire->(); sleep 0.05 }
    } else {
        ok($tracer->until(sub { $fire->(); different(hits($shown, $name, $tracer->output)) >= $count }), "$tool shows something");
    }
    my $output = $tracer->stop('-INT'); # as Ctrl-C does: all of them
    my @hits = different(hits($shown, $name, $output));
    ok(scalar @hits, "$tool has shown hits") or diag("$how->{$tool}\n$output");
    return @hits;
}

# The tracers that run what is printed for them. (A sanitizer is in the command; of its tracers one will do.)
my $sanitized = ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;
sub tools { return $sanitized ? 'ftrace' : (bpftrace_is_new() ? 'new' : 'bpftrace', qw(perf gdb ftrace)) }

sub bpftrace_is_new {
    my ($major, $minor) = (USDT::Tracer::find('bpftrace') ? qx{bpftrace --version} : '') =~ /v(\d+)\.(\d+)/;
    return defined $major && ($major > 0 || $minor >= 25);
}

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!";
    print $file $text;
    close $file or die "$path: $!";
}

sub leftovers {
    my ($pid) = @_;
    my $dir = USDT::Tracer::tracefs() // return ();
    open my $events, '<', "$dir/uprobe_events" or return ();
    return (grep { /usdt_$pid\b|sdt_how/ } <$events>), glob "$dir/instances/usdt-$pid-*";
}

# Whether a hit is as wanted: each value equal, or like a pattern.
sub is_hit {
    my ($hit, $want, $name) = @_;
    my @differ = grep { ref $want->[$_] ? $hit->[$_] !~ $want->[$_] : $hit->[$_] ne $want->[$_] } 0 .. $#$hit;
    ok(@$hit == @$want && !@differ, $name) or diag("got @$hit\nnot @$want");
}

# Each tracer on a probe. $want: the values of a hit, or of each of those that one round of firing makes; where
# tracers differ by their names, and "-" where one leaves it out. Before them, what a tracer says that cannot.
sub each_tool {
    my ($pid, $provider, $name, $fire, @want) = @_;
    my $cannot = ref $want[0] eq 'Regexp' ? shift @want : qr/^nothing$/;
    my $how = how($pid, "$provider:$name");
    for my $tool (tools()) {
        USDT::Tracer::with($tool eq 'new' ? 'bpftrace' : $tool, "$tool: $provider:$name", sub {
            $tool = 'bpftrace' if !$how->{$tool}; # few arguments: one block is for both
            if ($how->{$tool} !~ /^[^#]/m) {
                like($how->{$tool}, $cannot, "$tool: says why it cannot");
                return;
            }
            my @hits = run($tool, $name, $how, $fire, scalar @want);
            # Of two places the second may have been hit before the first was traced.
            @$_ = sort { "@$a" cmp "@$b" } @$_ for @want > 1 ? (\@hits, \@want) : ();
            for my $i (0 .. $#want) {
                my @values = map { ref eq 'HASH' ? $_->{$tool} // $_->{any} : $_ } @{ $want[$i] };
                splice @values, 6 if $tool eq 'bpftrace';
                is_hit($hits[$i] // [], [grep { $_ ne '-' } @values], "the values are right ($i)");
            }
            is_deeply([leftovers($pid)], [], 'nothing is left behind');
        });
    }
    return $how;
}

# A string, and a pointer, as tracers show them.
my $number = qr/^[0-9]+$/;
my $address = qr/^(?:0x[0-9a-f]{6,16}|[0-9]{7,20})$/;
sub string {
    my ($bits, $string) = @_;
    return { any => $string, ftrace => $bits == 64 ? qq("$string") : $address, perf => $address };
}

# perf (6.1) sees no sign of 8 and 16 bits.
sub narrow { my ($number, $unsigned) = @_; return { any => $number, perf => $unsigned } }

sub pointer { my ($number) = @_; return { any => sprintf('%#x', $number), perf => $number } }

# Fires it as often as the tracer wants; the values last passed, in hexadecimal.
sub firing {
    my ($program, $probe, @values) = @_;
    return sub { return split ' ', $program->ok('fire', $probe, @values) };
}

sub run_time {
    my ($bits) = @_;
    my $program = USDT::Program->new(bits => $bits);
    my $pid = $program->pid;
    $program->provide('p', 'how', 'mod',
        narrow => [qw(int8_t uint8_t int16_t uint16_t), 'int', 'unsigned int'],
        words  => ['const char *', 'void *', 'long', 'unsigned long', 'char*', 'char **'],
        twelve => [('int') x 3, 'char *', 'uint8_t', 'long', 'int8_t', 'uint16_t', 'char *', 'unsigned int', 'size_t',
            'int'],
        none   => []);
    my $all_bits = $bits == 64 ? '18446744073709551615' : '4294967295';

    my $how = each_tool($pid, 'how', 'narrow', firing($program, 'narrow', map { "i:$_" } -1, 255, -300, 65535, -42,
        4000000000), [narrow(-1, 255), 255, narrow(-300, 65236), 65535, -42, 4000000000]);
    like($how->{perf}, qr/^# Argument 1 is shown without its sign: -1 as 255\.\n# Argument 3 .* 65535\.$/m,
        'says what perf does');
    each_tool($pid, 'how', 'words', firing($program, 'words', 's:one', 'i:4096', 'i:-2', 'i:-1', 's:two', 'i:256'),
        [string($bits, 'one'), pointer(4096), -2, $all_bits, string($bits, 'two'), pointer(256)]);
    $how = each_tool($pid, 'how', 'twelve', firing($program, 'twelve', map({ "i:$_" } 1, -2, 3), 's:four', 'i:250',
        'i:-6', 'i:-7', 'i:65000', 's:nine', 'i:4000000001', 'i:11', 'i:-12'),
        [1, -2, 3, string($bits, 'four'), 250, -6, narrow(-7, 249), 65000, string($bits, 'nine'), 4000000001, 11, -12]);
    like($how->{bpftrace}, qr/^# Arguments 7 to 12 are left out: it takes 6\.$/m, 'an old bpftrace takes six');
    like($how->{new}, qr/str\(arg8\), .*\(int32\)arg11\); \}'$/m, 'a new one all');
    like($how->{perf}, qr/^# Argument 4 is shown as the address of the string/m, 'perf follows no string');
    like($how->{dtrace}, qr/^# Arguments 11 to 12 are left out: it takes 10\.$/m, 'dtrace takes ten');
    my $casts = join '.*, ', map { "\Q$_" } '(int)arg0', 'copyinstr(arg3)', '(uint8_t)arg4', '(int8_t)arg6',
        '(uint16_t)arg7', '(uint32_t)arg9';
    like($how->{dtrace}, qr/^dtrace -p $pid -n 'how\$target:::twelve \{ printf\("twelve( %\w){10}", $casts\); \}'$/m,
        'casts and strings of dtrace');
    each_tool($pid, 'how', 'none', firing($program, 'none'), []);
    # What DTrace shows in another order, twice and not at all, the others show as it is.
    $program->ok('probe', 'turned', 'func', 'turned', 'int8_t', 'char *', 'int', 'short');
    $program->ok('translate', 'turned', 3, 'long', 1, 'char *', 0, 'int', 1, 'char *');
    $program->ok('add', 'p', 'turned');
    like($program->do('enable', 'p'), qr/^ok/, 'a translated probe is enabled');
    $how = each_tool($pid, 'how', 'turned', firing($program, 'turned', 'i:-1', 's:two', 'i:-3', 'i:4'),
        [narrow(-1, 255), string($bits, 'two'), -3, 4]);
    is($how->{dtrace} =~ s/\n+$//r, join("\n", '# dtrace (2.0 on Linux), as root',
        '# The provider has chosen which arguments it shows, and in which order.',
        "dtrace -p $pid -n 'how\$target:::turned { printf(\"turned %d %s %d %s\", (int16_t)arg0, copyinstr(arg1), "
            . "(int8_t)arg2, copyinstr(arg3)); }'"), 'dtrace those in the order that it was told');
    is($program->quit, 0, 'the program ended well');
}

# Probes of <sys/sdt.h>: no types, semaphores, operands of any kind, and a probe that is at two places.
my $static_program = <<'END';
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define SEMAPHORE __attribute__((section(".probes"), used))
unsigned short howstatic_values_semaphore SEMAPHORE, howstatic_places_semaphore SEMAPHORE;
unsigned short howstatic_odd_semaphore SEMAPHORE, howstatic_real_semaphore SEMAPHORE;
volatile int counter = 41;
__attribute__((noinline)) static void first(int value) { STAP_PROBE1(howstatic, places, value); __asm__(""); }
__attribute__((noinline)) static void second(int value) { STAP_PROBE1(howstatic, places, value + 1); }
int main(void)
{
    char line[64];
    volatile int8_t narrow = -5;
    volatile uint16_t on_stack = 65000;
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
        int value = -1000 - line[0];
        if (howstatic_values_semaphore > 0)
            STAP_PROBE5(howstatic, values, (int8_t)narrow, on_stack, value, UINT64_MAX - (unsigned char)line[0], line);
        if (howstatic_places_semaphore > 0) {
            first(value);
            second(value);
        }
        if (howstatic_odd_semaphore > 0)
            STAP_PROBE3(howstatic, odd, 7, counter, value);
        if (howstatic_real_semaphore > 0)
            STAP_PROBE2(howstatic, real, value, 1.5);
        puts("ok");
        fflush(stdout);
    }
    return 0;
}
END

# The program in a directory of that name. It prints nothing of its own.
sub start_static {
    my ($name) = @_;
    my $dir = File::Temp->newdir;
    mkdir "$dir/$name" or die "$dir/$name: $!";
    write_file("$dir/static.c", $static_program);
    my $log = qx{$cc -std=gnu11 -O2 -o '$dir/static' '$dir/static.c' 2>&1};
    is($log, '', 'a program with probes of <sys/sdt.h> compiles');
    rename "$dir/static", "$dir/$name/static" or die $!;
    return (USDT::Program->new(program => ["$dir/$name/static", '-']), $dir);
}

sub static_probes {
    my ($program, $dir) = start_static('plain');
    my $pid = $program->pid;
    my $fire = sub { $program->ok('x') }; # x is 120
    my $how = each_tool($pid, 'howstatic', 'values', $fire,
        [narrow(-5, 251), 65000, -1120, '18446744073709551495', $number]);
    like($how->{text}, qr/^# Their types are not known: a uint64 may be/m, 'says that the types are not known');
    like($how->{ftrace}, qr/:0x[0-9a-f]+\(0x[0-9a-f]+\) arg0=/, 'ftrace is told of the semaphore');
    each_tool($pid, 'howstatic', 'places', $fire, [-1120], [-1119]);
    $how = each_tool($pid, 'howstatic', 'odd', $fire, [{ any => 7, perf => '-' }, '-', -1120]);
    like($how->{perf}, qr/^# Argument [12] is left out/m, 'perf takes no constant, and no variable');
    like($how->{ftrace}, qr/^# Argument 2 is left out: it cannot read counter\(%rip\)\.$/m, 'ftrace no variable');
    each_tool($pid, 'howstatic', 'real', $fire, qr/cannot trace it: an argument is a floating-point number/, [-1120]);
    is($program->quit, 0, 'the program ended well');
}

for my $bits (USDT::Program::widths()) {
    my ($path, $why) = USDT::Program->path($bits);
    USDT::Tracer::subtest_unless($path ? '' : $why, "a $bits-bit program", sub { run_time($bits) });
}
subtest 'a provider with semaphores' => sub {
    my $program = USDT::Program->new;
    $program->ok(@$_) for [qw(provider p howcounts mod)], [qw(semaphores p)], [qw(probe c func c int)], [qw(add p c)],
        [qw(enable p)];
    my $fire = sub { $program->ok('semaphore?', 'c') > 0 && $program->ok('fire', 'c', 'i:-5') };
    each_tool($program->pid, 'howcounts', 'c', $fire, [-5]);
    is($program->ok('semaphore?', 'c'), 0, 'none counts any more');
    is($program->quit, 0, 'the program ended well');
};

# The programs for bpftrace and dtrace contain the structures. (dtrace's run in the machine of tests/vm.)
USDT::Tracer::subtest_unless(USDT::Program::native_bits() == 64 ? '' : 'they are shown of 64-bit programs', 'structures', sub {
    my $program = USDT::Program->new(program => ["$ENV{B}/tests/described"]);
    is($program->receive, 'ready', 'a program that describes them');
    my $fire = sub { $program->send(''); $program->receive };
    my $how = how($program->pid, 'described:request');
    my $common = 'struct usdt_point { int x; int y; }; enum usdt_state { IDLE = 0, BUSY = 7, DONE = -1 }; struct usdt_req { int id; '
        . 'char *path; struct usdt_point at; enum usdt_state state; BITS signed char small; unsigned char is_new; char name[12]; '
        . 'unsigned short table[2][3]; struct usdt_point corners[2]; double ratio; float half; char *none; char *words[2]; union { '
        . 'unsigned int number; unsigned char bytes[4]; } UNNAMED; struct usdt_point *origin; struct usdt_req *next; void *opaque; '
        . 'long long big; }; ';
    my $for_bpftrace = $common =~ s/BITS/unsigned int flags : 3; unsigned int rest : 13;/r =~ s/UNNAMED//r;
    my $for_d = $common =~ s/BITS/unsigned char unused28[2];/r =~ s/UNNAMED/unnamed0/r =~ s/enum usdt_state \{.*?\}; //r
        =~ s/enum usdt_state state/int state/r;
    like($how->{bpftrace}, qr/ -e '\Q$for_bpftrace\Eusdt:/, 'by C\'s own types');
    like($how->{dtrace}, qr/ -n '\Q$for_d\Edescribed\$target:::request /, 'and as D takes them');
    like($how->{$_}, qr/^# Some members are left out: floating-point numbers, arrays, /m, "$_: says what it leaves out")
        for qw(bpftrace dtrace);
    like($how->{dtrace}, qr/, arg0 == 0 \? 0 : \*\(int \*\)copyin\(arg0 \+ offsetof\(struct usdt_req, at\) \+ 4, 4\), /,
        'dtrace reads each member alone, and none of NULL');
    like($how->{dtrace}, qr/ : \(int8_t\)\*\(unsigned char \*\)copyin\(arg0 \+ offsetof\(struct usdt_req, small\), 1\), /,
        'and gives a narrow one its sign');
    my $tool = bpftrace_is_new() && $how->{new} ? 'new' : 'bpftrace';
    USDT::Tracer::with(bpftrace => 'bpftrace prints the members', sub {
        my ($hit) = run($tool, 'request', $how, $fire, 1);
        is("@$hit" =~ s/(origin|next)=0x[0-9a-f]+/$1/gr, '{id=-7 path=/cart at={x=3 y=-4} state=7 flags=5 rest=8000 small=-8 is_new=1 '
            . 'name=twelve chars none= number=67305985 origin next opaque=0x1000 big=-9000000000} {x=0 y=0} 42', 'with their values');
    }) if !$sanitized;
    like(how($program->pid, 'described:measure')->{text}, qr/^# Argument 1 is shown as the bits of a floating-point number: usdt trace /m,
        'of a double, what shows it');
    is($program->quit, 0, 'the program ended well');
});

# Structures in each other, of each other, by typedef, and with words of D.
subtest 'odd structures' => sub {
    my $program = USDT::Program->new;
    $program->ok(provider => 'p', 'howtypes', 'mod');
    $program->ok(type => 'p', 'typedef struct { int n; struct { char c; } inner; struct later *later; enum { ONE } e; } thing_t; '
        . 'struct later { thing_t thing; struct later *self; char string; struct unknown *u; };');
    $program->ok(type => 'p', 'struct flex { short probe; unsigned bits : 5; long long more[]; }; union u { int i; bool b; };');
    $program->ok(probe => 'd', 'f', 'one', 'thing_t *', 'const struct flex *', 'union u *const', 'struct unknown *', 'thing_t');
    $program->ok(add => 'p', 'd');
    $program->ok(enable => 'p');
    my $how = how($program->pid, 'howtypes:one');
    my $bits = USDT::Program::native_bits();
    if ($bits == 32) {
        unlike($how->{bpftrace}, qr/struct usdt_/, 'tracers lay structures out for 64 bits: not of a program of 32');
    } else {
        my $common = 'struct usdt_thing_t { int n; struct { char c; } inner; struct usdt_later *later; unsigned int e; TAIL}; ';
        my $later = 'struct usdt_later { struct usdt_thing_t thing; struct usdt_later *self; char STRING; struct usdt_unknown *u; };';
        like($how->{bpftrace}, qr/'\Q@{[ $common =~ s{TAIL}{}r ]}\Estruct usdt_flex \{ short probe; unsigned int bits : 5; long long more\[\]; \}; /,
            'what is pointed to comes behind');
        like($how->{bpftrace}, qr/ union usdt_u \{ int i; unsigned char b; \}; \Q@{[ $later =~ s{STRING}{string}r ]}\E usdt:/, 'once');
        like($how->{dtrace}, qr/struct usdt_flex \{ short probe_; unsigned char unused2\[6\]; \}; /, 'D has no array without a size');
        like($how->{dtrace}, qr/ char string_; /, 'nor members of the names of its words');
        USDT::Tracer::with(bpftrace => 'bpftrace takes them', sub {
            my $fire = sub { $program->ok('fire', 'd', ('i:0') x 3, 'i:16', 'i:17') };
            my ($hit) = run(bpftrace_is_new() && $how->{new} ? 'new' : 'bpftrace', 'one', $how, $fire, 1);
            like("@$hit", qr/^\{n=0 inner=\{c=0\} later=(?:\(nil\)|0x0|0) e=0\} \{probe=0 bits=0\} \{i=0 b=0\} 0x10 17$/, 'NULL reads as 0');
        }) if !$sanitized;
    }
    is($program->quit, 0, 'the program ended well');
};

subtest 'names with - and .' => sub {
    my $program = USDT::Program->new;
    $program->provide('p', 'how-to.do', 'mod', 'a-b.c' => ['int']);
    each_tool($program->pid, 'how-to.do', 'a-b.c', firing($program, 'a-b.c', 'i:-5'),
        qr/^# perf cannot trace it: only letters, digits and _ may be in the name of a probe$/m, [-5]);
    is($program->quit, 0, 'the program ended well');
};

my $no_sdt = system("echo '#include <sys/sdt.h>' | $cc -E - > /dev/null 2>&1") == 0 ? ''
    : '<sys/sdt.h> (package systemtap-sdt-dev) is not installed';
$no_sdt ||= USDT::Tracer::emulated('a compile-time probe');
USDT::Tracer::subtest_unless($no_sdt, 'compile-time probes', \&static_probes);

# A path that shells, gdb, bpftrace and the kernel each take in another way, or do not take.
USDT::Tracer::subtest_unless($no_sdt, 'a path of special characters', sub {
    for ([q{it's "a" $dir; # of some\\}, qr/^# perf cannot trace it: the path of the file has a blank, a quote/m],
        ['a:b', qr/^# \w+ cannot trace it: the path of the file has a (colon$|blank, a quote or # : ,$)/m]) {
        my ($name, $cannot) = @$_;
        my ($program, $dir) = start_static($name);
        each_tool($program->pid, 'howstatic', 'places', sub { $program->ok('x') }, $cannot, [-1120], [-1119]);
        is($program->quit, 0, 'the program ended well');
    }
});

# Where libusdt has no directory for a file: a memfd, which has no name.
my $no_mounts = $> != 0 ? 'only root can mount'
    : system('unshare -m true 2>/dev/null') != 0 ? 'a mount namespace is not permitted here' : '';
USDT::Tracer::subtest_unless($no_mounts || USDT::Tracer::emulated('noexec'), 'an image in a memfd', sub {
    my $program = USDT::Program->new(env => { XDG_RUNTIME_DIR => '' }, command => ['unshare', '-m', 'sh', '-c',
        'mount -t tmpfs -o noexec none /run && mount -t tmpfs -o noexec none /tmp && exec "$@"', 'sh']);
    $program->provide('p', 'howhidden', 'mod', h => ['int']);
    my $how = each_tool($program->pid, 'howhidden', 'h', firing($program, 'h', 'i:-5'),
        qr/^# perf cannot trace it: the file has no name any more$/m, [-5]);
    like($how->{bpftrace}, qr/'usdt:\*:howhidden:h /, 'an old bpftrace finds it');
    like($how->{new}, qr{'usdt:/proc/\d+/fd/\d+:howhidden:h }, 'a new one is told where it is');
    is($program->quit, 0, 'the program ended well');
});

# In a container: the path is one of its own.
$no_mounts ||= USDT::Tracer::emulated('a mount');
USDT::Tracer::subtest_unless($no_mounts, 'an image that only the program sees', sub {
    my $program = USDT::Program->new(env => { XDG_RUNTIME_DIR => '' }, command => ['unshare', '-m', 'sh', '-c',
        'mount -t tmpfs -o mode=755 none /run && exec "$@"', 'sh']);
    $program->provide('p', 'howcontained', 'mod', c => ['int']);
    each_tool($program->pid, 'howcontained', 'c', firing($program, 'c', 'i:-5'),
        qr/^# perf cannot trace it: the process sees other files/m, [-5]);
    is($program->quit, 0, 'the program ended well');
});

# Every form of an operand, and what the kernel is told.
subtest 'operands of each processor' => sub {
    my $dir = File::Temp->newdir;
    write_file("$dir/fetch.c", <<'END');
#include "tool.h"
#include <string.h>
int main(void)
{
    struct elf_file file = { .count = 0 };
    struct elf_operand operand = { .bytes = 0 };
    unsigned machine;
    int wide, bytes;
    char type[64], text[64];
    while (scanf("%u %d %d %127[^|]|%63[^\n]", &machine, &wide, &bytes, operand.place, type) == 5) {
        file.machine = (uint16_t)machine;
        file.wide = wide != 0;
        operand.bytes = bytes < 0 ? -bytes : bytes;
        operand.is_signed = bytes < 0;
        puts(fetch_operand(&file, &operand, strcmp(type, "-") == 0 ? NULL : type, text, sizeof text) ? text : "none");
    }
    return 0;
}
END
    is(qx{$cc -std=c11 -Itools -o $dir/fetch $dir/fetch.c tools/fetch.c 2>&1}, '', 'compiles');
    my @cases = (
        # ELF's machine, 64 bits, width, place, type => expression
        ['62 1 -4 %edi', '-', '%di:s32'], ['62 1 8 %rdi', '-', '%di:u64'], ['62 1 -1 %dil', '-', '%di:s8'],
        ['62 1 1 %al', 'bool', '%ax:u8'], ['62 1 -2 %r9w', 'short', '%r9:s16'], ['62 1 4 %r15d', '-', '%r15:u32'],
        ['62 1 8 8(%rsp)', '-', '+8(%sp):u64'], ['62 1 -4 -4(%rbp)', 'int', '-4(%bp):s32'],
        ['62 1 8 (%rax)', '-', '+0(%ax):u64'], ['62 1 8 16+8(%rsp)', '-', '+24(%sp):u64'],
        ['62 1 8 %rsi', 'char *', '+0(%si):string'], ['62 1 8 %rsi', 'const char *const', '+0(%si):string'],
        ['62 1 8 8(%rsp)', 'char*', '+0(+8(%sp)):string'], ['62 1 8 %rsi', 'char [16]', '+0(%si):string'],
        ['62 1 8 %rsi', 'char **', '%si:x64'], ['62 1 8 %rsi', 'struct charm *', '%si:x64'],
        ['62 1 8 %rsi', 'unsigned char *', '%si:x64'], ['62 1 8 %rsi', 'char (*)(void)', '%si:x64'],
        ['62 1 -4 $-7', '-', '\-7:s32'], ['62 1 8 $0', 'char *', '\0:x64'],
        ['62 1 1 %ah', '-', 'none'], ['62 1 4 counter(%rip)', '-', 'none'], ['62 1 4 (%rax,%rbx,4)', '-', 'none'],
        ['62 1 4 8(%rip)', '-', 'none'], ['62 1 8 %xmm0', '-', 'none'], ['62 1 16 %rax', '-', 'none'],
        ['62 1 4 %r16d', '-', 'none'], ['62 1 4 8(%rsp', '-', 'none'], ['62 1 4 8(%rsp)x', '-', 'none'],
        ['62 1 4 99999999999(%rsp)', '-', 'none'], ['62 1 4 %', '-', 'none'], ['62 1 4 $', '-', 'none'],
        ['3 0 -4 4(%esp)', '-', '+4(%sp):s32'], ['3 0 4 4(%esp)', 'char *', '+4(%sp):x32'],
        ['3 0 4 %eax', 'char *', '+0(%ax):string'], ['3 0 4 %esi', 'void *', '%si:x32'],
        ['183 1 -4 x0', '-', '%x0:s32'], ['183 1 4 w30', '-', '%x30:u32'], ['183 1 8 [sp, 8]', '-', '+8(%sp):u64'],
        ['183 1 8 [sp]', '-', '+0(%sp):u64'], ['183 1 8 [x29,-16]', '-', '-16(%x29):u64'],
        ['183 1 8 x1', 'char *', '+0(%x1):string'],
        ['183 1 -4 -5', '-', '\-5:s32'], ['183 1 8 [x1, x2]', '-', 'none'], ['183 1 4 x31', '-', 'none'],
        ['183 1 8 [sp, 8', '-', 'none'], ['183 1 8 d0', '-', 'none'], ['243 1 8 a0', '-', 'none'],
    );
    write_file("$dir/cases", join '', map { "$_->[0]|$_->[1]\n" } @cases);
    my @got = split /\n/, qx{$dir/fetch < $dir/cases};
    is($got[$_], $cases[$_][2], "$cases[$_][0], $cases[$_][1]") for 0 .. $#cases;
};

subtest 'errors' => sub {
    my $program = USDT::Program->new;
    $program->provide('p', 'howfails', 'mod', map { ("p$_" => []) } 1 .. 7);
    my $pid = $program->pid;
    for (['', 2, qr/^usdt: how: of which process\? -p PID/],
        ["-p $pid", 2, qr/^usdt: how: which probe\? usdt how -p $pid PROVIDER:PROBE$/],
        ["-p $pid a:b c:d", 2, qr/^usdt: how: one PROVIDER:PROBE only/],
        ['-p x a:b', 2, qr/^usdt: -p x: a process is a number/],
        ["-p $pid howfails:none", 1, qr/^usdt: how: howfails:none: process $pid has no such probe: usdt list -p $pid/],
        ["-p $pid 'howfails:*'", 1, qr/^usdt: how: howfails:\*: 7 probes are like it: name one: (howfails:p\d, ){5}\./],
        ['-p 99999999 a:b', 1, qr/^usdt: process 99999999: there is none/], ['--nothing', 2, qr/^usdt: /]) {
        my ($arguments, $code, $message) = @$_;
        my @lines = split /\n/, qx{$out/usdt how $arguments 2>&1 >/dev/null};
        is($? >> 8, $code, "usdt how $arguments: exit code");
        is(scalar @lines, 1, 'one line');
        like($lines[0], $message, 'which says why');
    }
    like(qx{$out/usdt how --help}, qr/^usage: usdt how -p PID PROVIDER:PROBE\n/, '--help');
    is($?, 0, 'is no error');
    like(how($pid, 'howfails:p[3]')->{text}, qr/^# howfails:p3\(\) in process $pid$/m, 'a pattern of one probe');
    is($program->quit, 0, 'the program ended well');
};
done_testing;
