# code.t - code of a program's own in which a probe is hit, and sites in memory of its own: what is refused, in which
# words; where arguments can be; that the code runs whatever happens to its provider; and what tracers read there.
# (DTrace: tests/vm/dtrace.t. A compiler that does all that: examples/jit.c, by tests/examples.t.)
use strict;
use warnings;
use IPC::Open2;
use Test::More;
use USDT::Build;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;
no warnings 'portable'; # values have 64 bits

my $code = "$ENV{B}/tests/code";
my $INVALID = 8;
my $arch = USDT::Program::native_arch();
my $bits = USDT::Program::native_bits();
my $nop = $arch eq 'arm64' ? '1f2003d5' : '90';
my $ret = $arch eq 'arm64' ? 'c0035fd6' : 'c3';
my ($first) = $arch eq 'arm64' ? 'x1' : $arch eq 'i386' ? '%eax' : '%rax';

subtest 'what is refused' => sub {
    my $p = USDT::Program->new;
    $p->ok('probe', 'start', 'main', 'start', 'int', 'char *');
    my $unit = $arch eq 'arm64' ? 4 : 1;
    my $name = $arch eq 'arm64' ? '0xd503201f' : 'the byte 0x90';
    my @bad = (
        ['', 0, 'code has 0 bytes, so its site cannot be at 0'],
        [$nop, $unit, "code has $unit bytes, so its site cannot be at $unit"],
        [$nop, 1 << 20, "code has $unit bytes, so its site cannot be at 1048576"],
        [$nop, -$unit, qr/code has $unit bytes, so its site cannot be at \d{10,}$/],
        [$nop x 65540, 0, 'code has ' . 65540 * $unit . ' bytes, at most 65536 are allowed'],
        [$ret, 0, qr/code has 0xc[03] at 0, where its site is; a site is a nop, \Q$name\E$/],
        ["$nop$ret", $unit, qr/code has 0xc[03] at $unit, where its site is; a site is a nop, \Q$name\E$/],
        $arch eq 'arm64' ? (
            ["$nop$ret", 2, 'code has 8 bytes, and its site at 2; both are multiples of 4'],
            ["${nop}00", 0, 'code has 5 bytes, and its site at 0; both are multiples of 4'],
            ['1f2003', 0, 'code has 3 bytes, so its site cannot be at 0'],
            ['3f2003d5', 0, 'code has 0x3f at 0, where its site is; a site is a nop, 0xd503201f'], # yield
        ) : map { [$_, 0, 'code has 0x' . substr($_, 0, 2) . ' at 0, where its site is; a site is a nop, the byte 0x90'] }
            qw(6690 0f1f00 f390 cc cd03 0fc7f8 e800000000 e9fb000000 662e0f1f840000000000),
    );
    for (@bad) {
        my ($hex, $site, $why) = @$_;
        my $answer = $p->do('code', 'start', $site, $hex);
        my $begin = "error $INVALID probe main:start: ";
        ref $why ? like($answer, qr/^\Q$begin\E$why/, substr $answer, 0, 120) : is($answer, "$begin$why", $why);
    }
    # Of all bytes one is a site.
    my @taken = grep { $p->do('code', 'start', 0, sprintf('%02x', $_) . substr "$nop$ret", 2) eq 'ok' } 0 .. 255;
    is_deeply(\@taken, [hex substr $nop, 0, 2], 'of 256 first bytes the one of a nop is taken');
    my $more = $arch eq 'arm64' ? '"x19", "[x29, -8]", "[sp]"' : $arch eq 'i386' ? '"%ebx", "-4(%ebp)", "(%esp)"'
        : '"%rbx", "-8(%rbp)", "(%rsp)"';
    for ('', 'rax', '$5', '8@%rax') {
        is($p->do('code', 'start', 0, "$nop$ret", $first, $_),
            "error $INVALID probe main:start: place 1 is \"$_\"; it is a register or memory at one, as $more", "\"$_\" is refused");
    }
    is($p->do('code', 'start', 0, "$nop$ret", $first), "error $INVALID probe main:start: place 1 is NULL; it is a register or "
        . "memory at one, as $more", 'a place too few');
    is($p->do('code', 'start', 0, "$nop$ret", $first, $first), 'ok', 'and good ones are taken');
    is($p->do('code', 'start', 0, "$nop$ret"), 'ok', 'also none, and again');
    is($p->quit, 0, 'the program ends well');
};

subtest 'places' => sub {
    my $pid = open2(my $from, my $to, @USDT::Program::RUNNER, $code, 'operands');
    my $ask = sub { print {$to} join("\t", @_), "\n"; chomp(my $answer = <$from>); return $answer };
    my @r64 = map { "r$_" } qw(ax cx dx bx sp bp si di), 8 .. 15;
    my @long = (map({ "%$_" } @r64), map({ ("(%$_)", "8(%$_)", "-128(%$_)") } @r64));
    for my $place (@long) {
        my $note = $place =~ s/^\(/0(/r;
        is($ask->(qw(linux x86_64 long), $place), "ok -8\@$note", "x86_64: $place");
    }
    # The names of a register's parts, as the assembler knows them: `test` takes two of one width.
    my @all = map { my $r = $_; map { [$_, $ask->(qw(linux x86_64), $_, "%$r")] } qw(char short int), 'unsigned long' } @r64;
    my %width = (char => 'b', short => 'w', int => 'l', 'unsigned long' => 'q');
    my $source = join '', map { my ($type, $note) = @$_; $note =~ /\@(.*)/; "test$width{$type} $1, $1\n" } @all;
    SKIP: {
        skip 'the assembler here is not for x86_64', 1 if USDT::Program::native_arch() ne 'x86_64';
        skip 'as is not installed', 1 if !USDT::Build::find_program('as');
        open my $as, '|-', 'as -o /dev/null -' or die $!;
        print {$as} $source;
        ok(close $as, scalar(@all) . ' registers and parts of them are known to the assembler');
    }
    is(join(' ', map { $_->[1] =~ s/^ok //r } @all[24 .. 31]), '-1@%sil -2@%si -4@%esi 8@%rsi -1@%dil -2@%di -4@%edi 8@%rdi',
        'by their names');
    is($ask->(qw(linux i386 int), $_->[0]), "ok $_->[1]", "i386: $_->[0]")
        for ['%eax', '-4@%eax'], ['%edi', '-4@%edi'], ['8(%esp)', '-4@8(%esp)'], ['-4(%ebp)', '-4@-4(%ebp)'];
    is($ask->(qw(linux i386), 'unsigned char', '%ebx'), 'ok 1@%bl', 'i386: a byte of ebx');
    is($ask->(qw(linux i386), 'unsigned char', '%esi'),
        'error place 3 is %esi, of which no byte has a name; one of %eax, %ebx, %ecx, %edx has', 'i386: none of esi');
    is($ask->(qw(linux arm64 long), "x$_"), "ok -8\@x$_", "arm64: x$_") for 0 .. 30;
    is($ask->(qw(linux arm64 int), $_->[0]), "ok -4\@$_->[1]", "arm64: $_->[0]")
        for ['[sp]', '[sp, 0]'], ['[sp, 16]', '[sp, 16]'], ['[x29,-8]', '[x29, -8]'], ['[x0]', '[x0, 0]'];
    my %bad = (
        x86_64 => ['', ' ', '%', 'rax', '%rax ', ' %rax', '%RAX', '%eax', '%al', '%rip', '%xmm0', '%r16', '%rax)', '$1', '7',
            '8', '-(%rax)', '()', '(%rax', '8(%rax', '8(rax)', '8(%rax,%rbx)', '(%rax,%rbx,8)', '1000000000(%rax)',
            '0x8(%rax)', '+8(%rax)', '8(%eax)', '8(%rip)', '8(%rax))', '%fs:8', '*%rax', 'x0', '[sp]', '4@%rax', "%rax\x01"],
        i386 => ['%rax', '%r8d', '%r8', '8(%rax)', '%ax', '(%r8)', '%gs', '[esp]'],
        arm64 => ['', 'x', 'x31', 'x99', 'x100', 'x01', 'X0', 'w0', 'sp', '[sp', '[sp]]', '[]', '[sp,]', '[sp, ]', '[sp, x1]',
            '[sp, -]', '[sp,  8]', '[sp, 1000000000]', '[x31]', '[w0]', 'x0 ', '#8', '[sp, #8]', '[sp], 8', '[sp, 8]!', '%rax'],
    );
    my $refused = 0;
    for my $of (sort keys %bad) {
        like($ask->('linux', $of, 'long', $_), qr/^error place 3 is "\Q@{[ s{[^ -~]}{?}gr ]}\E"; it is a register or memory at /,
            "$of: \"" . s/[^ -~]/?/gr . '" is refused') && $refused++ for @{ $bad{$of} };
    }
    like($ask->(qw(linux x86_64 long), 'x' x 200), qr/^error place 3 is "x{30,40}\.\.\."; it/, 'a long one is shown in part');
    cmp_ok($refused, '>', 60, "$refused are refused");
    close $to;
    waitpid $pid, 0;
    is($?, 0, 'the program ends well');
};

subtest 'it runs, whatever happens to its provider' => sub {
    open my $from, '-|', @USDT::Program::RUNNER, $code, 'values' or die $!;
    my @lines = <$from>;
    ok(close $from, 'the program ends well') or diag("status $?");
    cmp_ok(scalar @lines, '>', 20, 'it has checked all of it');
    for (@lines) { chomp; like($_, qr/^ok /, s/^(not )?ok //r) }
};

# What the registers hold in tests/code.c, as the arguments' types show it.
my @wide = map { 0x1100 + $_ } 0 .. ($bits == 32 ? 6 : 11);
my @narrow = (-100, -32768, -2147483648, $bits == 32 ? -1698898192 : 0x123456789abcdef0, 0x9abcdef0,
    $bits == 32 ? 0x9a : 0x12, 0x80, -1);
my $TIMES = 1000;

USDT::Tracer::with('bpftrace', 'bpftrace reads them all', sub {
    plan skip_all => 'bpftrace 0.17 takes the registers of programs for its own width' if $bits == 32;
    my $program = USDT::Program->ready(program => [$code, 'hits', $TIMES]);
    my $path = USDT::Image->of($program, 'code')->path;
    # 0.17 knows arg0 to arg5.
    my $most = qx{bpftrace --version} =~ /v0\.(\d+)/ && $1 < 20 ? 6 : 12;
    my $differs = join ' || ', map { "arg$_ != (uint64)$wide[$_]" } 0 .. $most - 1;
    my $last = $most < @narrow ? $most - 1 : $#narrow;
    my $tracer = USDT::Tracer->start('bpftrace', '-e',
        "usdt:$path:code:wide { \@wide = count(); if ($differs) { \@torn = count(); } }"
            . "usdt:$path:code:narrow { \@narrow = count(); \@seen[" . join(', ', map { "arg$_" } 0 .. $last)
            . '] = count(); } interval:ms:50 { if (!@on) { printf("attached\n"); @on = 1; } }');
    ok($tracer->until(sub { $tracer->output =~ /^attached$/m }), 'bpftrace attaches');
    is_deeply($program->work, { enabled => 2 }, 'the probes are enabled');
    my $output = $tracer->stop;
    is(($output =~ /^\@wide: (\d+)$/m)[0], $TIMES, "every hit, $most registers");
    unlike($output, qr/^\@torn: [1-9]/m, 'with their values');
    is(($output =~ /^\@narrow: (\d+)$/m)[0], $TIMES, 'and the other');
    my ($seen) = $output =~ /^\@seen\[(.*)\]: $TIMES$/m;
    my $mask = { 0 => 0xff, 1 => 0xffff, 2 => 0xffffffff, 7 => 0xffff };
    my @seen = split /, /, $seen // '';
    my @same = map { my $m = $mask->{$_} // ~0; ($seen[$_] & $m) == ($narrow[$_] & $m) ? $narrow[$_] : $seen[$_] } 0 .. $#seen;
    is_deeply(\@same, [@narrow[0 .. $last]], 'registers, parts of them, and memory') or diag($output);
    is($program->quit, 0, 'the program ends well');
});

USDT::Tracer::with('ftrace', 'usdt trace reads them all', sub {
    my $program = USDT::Program->ready(program => [$code, 'hits', 3]);
    my $out = $ENV{O} // '.';
    my $tracer = USDT::Tracer->start("$out/usdt", 'trace', '-p', $program->pid, '--count', 9, 'code:*');
    ok($tracer->until(sub { $tracer->output =~ /Ctrl-C ends it/ }), 'it attaches');
    $program->work;
    ok($tracer->until(sub { (() = $tracer->output =~ / code:\w+ /g) >= 9 }),
        'it shows nine hits') or diag($tracer->output);
    my $output = $tracer->stop;
    is((() = $output =~ / code:wide @wide$/mg), 3, 'the registers') or diag($output);
    is_deeply([$output =~ / code:call (\d+)$/mg], [0, 1, 2], 'the argument of a call');
    is((() = $output =~ / code:narrow @narrow$/mg), 3, 'parts of them, and memory') or diag($output);
    is($program->quit, 0, 'the program ends well');
});
done_testing;
