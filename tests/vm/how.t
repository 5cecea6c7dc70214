# how.t - the command usdt on these kernels, and with their tracers: it lists and traces a probe, and what `usdt how`
# prints for dtrace and for a bpftrace of today shows its hits. (tests/how.t has the tracers of the machine at hand.) Runs
# in the machine of tests/vm/machine.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use USDT::Program;
use USDT::Tracer;

my $dtprobed = -x '/usr/sbin/dtprobed' && USDT::Tracer->start('dtprobed', '-F');
USDT::Tracer::wait_for(20, sub { -e '/dev/dtrace/helper' }) if $dtprobed;

my $program = USDT::Program->new;
my $pid = $program->pid;
$program->provide('p', 'how', 'mod', twelve => ['int8_t', 'uint16_t', 'int', 'long', 'char *', ('int') x 6, 'char *']);
my @values = (map({ "i:$_" } -1, 65535, -300, -1), 's:five', map({ "i:-$_" } 6 .. 11), 's:twelve');
my @twelve = (-1, 65535, -300, -1, 'five', map({ -$_ } 6 .. 11), 'twelve');
sub fire { $program->ok('fire', 'twelve', @values) }

like(qx{./usdt list -p $pid}, qr/^$pid\thow:twelve\tno\tint8_t, uint16_t, .*char \*\t\S+\.so$/m, 'usdt list');

# Starts a command, fires until it has shown a hit, and ends it as Ctrl-C does; returns the words of the hit.
sub hit {
    my ($command, $pattern) = @_;
    my $tracer = USDT::Tracer->start('setsid', 'sh', '-c', $command);
    ok($tracer->until(sub { fire(); sleep 0.2; $tracer->output =~ $pattern }), 'shows a hit');
    my ($hit) = $tracer->stop('-INT') =~ $pattern;
    note $tracer->output;
    return [split ' ', ($hit // '') =~ tr/"//dr];
}

is_deeply(hit("exec ./usdt trace -p $pid how", qr/ how:twelve (.*)$/m), \@twelve, 'usdt trace, with all values');

my $text = qx{./usdt how -p $pid how:twelve};
my %how = map { /^# (\w+)/ ? ($1 => $_) : () } split /\n\n/, $text; # of two for bpftrace, the new one's
is_deeply(hit($how{bpftrace}, qr/^twelve (.*)$/m), \@twelve, 'bpftrace of today, with all values');
SKIP: {
    skip 'there is no dtrace here', 1 if !$dtprobed;
    skip 'this dtrace does not start on this kernel without a help (see dtrace.t)', 1
        if qx{dtrace -l -n BEGIN 2>&1} =~ m{dtrace/[\d.]+/\w+\.d", line};
    is_deeply(hit($how{dtrace}, qr/:twelve +twelve (.*)$/m), [@twelve[0 .. 9]], 'dtrace, with the ten that it takes');
}
is($program->quit, 0, 'the program ended well');
$dtprobed->stop('TERM') if $dtprobed;
done_testing;
