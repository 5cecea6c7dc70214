# bpftrace.t - a bpftrace of today on run-time probes: how it finds them, and how many processes one
# attach covers, and twelve arguments. Runs in the machine of tests/vm/machine.
use strict;
use warnings;
use Test::More;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

sub worker { my $w = USDT::Program->new; $w->provide('p', 'worker', 'mod', w => ['int'], v => ['int']); return $w }

like(qx{bpftrace --version}, qr/v0\.(2[5-9]|[3-9])|v[1-9]/, 'bpftrace is one that does not see memfds');

subtest 'by process' => sub {
    my $program = worker();
    my $list = qx{bpftrace -p @{[ $program->pid ]} -l 'usdt:*' 2>&1};
    like($list, qr/^usdt:\S+:worker:w$/m, "bpftrace -l 'usdt:*' lists them");
    my $tracer = USDT::Tracer->bpftrace($program->pid, 'usdt:*:worker:* { printf("hit %s %d\n", probe, arg0) }');
    $program->ok('fire', $_, 'i:5') for qw(w v);
    is_deeply([sort map { s/^.*://r } $tracer->lines(qr/hit usdt:.*/, 2)], ['v 5', 'w 5'], 'usdt:*:worker:* hits them');
};

subtest 'twelve arguments' => sub {
    my $program = USDT::Program->new;
    $program->provide('p', 'twelve', 'mod', i => [('int') x 12], s => [('char *') x 12], more => [('int') x 32]);
    my ($int, $str) = (join(', ', map { "arg$_" } 0 .. 11), join(', ', map { "str(arg$_)" } 0 .. 11));
    local $ENV{BPFTRACE_MAX_STRLEN} = 16;
    my $tracer = USDT::Tracer->bpftrace($program->pid, qq(
        usdt:*:twelve:i { printf("i@{[ ' %d' x 12 ]}\\n", $int); }
        usdt:*:twelve:s { printf("s@{[ ' %s' x 12 ]}\\n", $str); }
        usdt:*:twelve:more { printf("more@{[ ' %d' x 12 ]}\\n", $int); }));
    $program->ok('fire', 'i', map { 'i:' . -$_ } 1 .. 12);
    $program->ok('fire', 's', map { "s:str$_" } 1 .. 12);
    $program->ok('fire', 'more', map { 'i:' . (100 + $_) } 1 .. 32);
    is_deeply([$tracer->lines(qr/(?:i|s|more) .*/, 3)], [join(' ', 'i', map { -$_ } 1 .. 12),
        join(' ', 's', map { "str$_" } 1 .. 12), join(' ', 'more', map { 100 + $_ } 1 .. 12)],
        'of int, of char *, and the first twelve of thirty-two');
};

# examples/jit.c: arguments in registers that the compiler chose, and on its stack.
subtest 'compiled code' => sub {
    my $jit = USDT::Tracer->start("$ENV{B}/examples/jit", '3 x * 1 -');
    ok($jit->until(sub { $jit->output =~ /^2 5$/m }), 'runs');
    my $tracer = USDT::Tracer->bpftrace($jit->{pid}, 'usdt:*:jit:eval { printf("%d %d %s\n", arg0, arg1, str(arg2)); }');
    my @hits = $tracer->lines(qr/\d+ \d+ .*/, 4);
    cmp_ok(scalar @hits, '>', 3, 'is traced');
    is_deeply([grep { !/^(\d+) (\d+) 3 x \* 1 -$/ || $2 != 3 * $1 - 1 } @hits], [], 'with the values of its registers');
    $jit->stop('TERM');
};

subtest 'one attach for all processes' => sub {
    my $first = worker();
    my $image = USDT::Image->of($first)->path;
    my $ended = $first->pid;
    kill 'KILL', $ended;
    $first->quit;
    ok(-e $image, 'the file outlives a program that was killed');
    my $tracer = USDT::Tracer->start('bpftrace', '-e',
        "usdt:$image:worker:w { printf(\"%d %d\\n\", pid, arg0) } interval:s:1 { printf(\"attached\\n\") }");
    ok($tracer->until(sub { $tracer->output =~ /^attached$/m }), 'bpftrace attaches before any process is there');
    my @workers = map { worker() } 1 .. 3;
    is($_->enabled('w'), '1 1', 'a process that starts later is traced') for @workers;
    $workers[$_]->ok('fire', 'w', "i:$_") for 0 .. 2;
    is_deeply([$tracer->lines(qr/\d+ \d+/, 3)], [map { $workers[$_]->pid . " $_" } 0 .. 2], 'three workers are seen');
    is($_->enabled('w'), '0 0', 'and not enabled after') for @workers;
};
done_testing;
