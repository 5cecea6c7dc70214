# bpftrace.t - a bpftrace of today on run-time probes: how it finds them, and how many processes one
# attach covers. Runs in the machine of tests/vm/machine. (Values: test.pl, which runs there too.)
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
