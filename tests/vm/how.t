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
$program->ok('probe', 'turned', 'func', 'turned', 'int8_t', 'char *', 'int', 'short');
$program->ok('translate', 'turned', 3, 'long', 1, 'char *', 0, 'int');
$program->ok('add', 'p', 'turned');
like($program->do('enable', 'p'), qr/^ok/, 'a translated probe is enabled');
my $fire = sub { $program->ok('fire', 'twelve', @values); $program->ok('fire', 'turned', qw(i:-1 s:two i:-3 i:4)) };

like(qx{./usdt list -p $pid}, qr/^$pid\thow:twelve\tno\tint8_t, uint16_t, .*char \*\t\S+\.so$/m, 'usdt list');

# Starts a command, fires until it has shown a hit, and ends it as Ctrl-C does; returns the words of the hit.
sub hit {
    my ($command, $pattern) = @_;
    my $tracer = USDT::Tracer->start('setsid', 'sh', '-c', $command);
    ok($tracer->until(sub { $fire->(); sleep 0.2; $tracer->output =~ $pattern }), 'shows a hit');
    my ($hit) = $tracer->stop('-INT') =~ $pattern;
    note $tracer->output;
    return [split ' ', ($hit // '') =~ tr/"//dr];
}

is_deeply(hit("exec ./usdt trace -p $pid how", qr/ how:twelve (.*)$/m), \@twelve, 'usdt trace, with all values');

# By tracer, what `usdt how` prints; of two for bpftrace, the new one's.
sub how {
    my ($of, $probe) = @_;
    return map { /^# (\w+)/ ? ($1 => $_) : () } split /\n\n/, qx{./usdt how -p $of $probe};
}
my %how = how($pid, 'how:twelve');
is_deeply(hit($how{bpftrace}, qr/^twelve (.*)$/m), \@twelve, 'bpftrace of today, with all values');
my $why = $dtprobed ? '' : 'there is no dtrace here';
SKIP: {
    skip $why, 1 if $why;
    is_deeply(hit($how{dtrace}, qr/:twelve +twelve (.*)$/m), [@twelve[0 .. 9]], 'dtrace, with the ten that it takes');
    my %turned = how($pid, 'how:turned');
    is_deeply(hit($turned{dtrace}, qr/:turned +turned (.*)$/m), [4, 'two', -1], 'and those of a translated probe, in its order');
}
is($program->quit, 0, 'the program ended well');

# Structures: in the programs that are printed, and read.
my ($described) = glob 'build/*/tests/described';
my $other = USDT::Program->new(program => ["./$described"]);
is($other->receive, 'ready', 'a program that describes structures');
$fire = sub { $other->send(''); $other->receive };
%how = how($other->pid, 'described:request');
# (bpftrace reads more of text that has no NUL.)
sub members { my ($hit) = @_; return [map { s/^chars\K\W+$//r } grep { !/^(?:origin|next)=/ } @$hit] }
my @before = ('{id=-7', 'path=/cart', 'at={x=3', 'y=-4}', 'state=7');
my @behind = ('number=67305985', 'opaque=0x1000', 'big=-9000000000}', '{x=0', 'y=0}', '42');
is_deeply(members(hit($how{bpftrace}, qr/^request (.*)$/m)), [@before, qw(flags=5 rest=8000 small=-8 is_new=1 name=twelve chars none=),
    @behind], 'bpftrace of today shows the members');
SKIP: {
    skip $why, 1 if $why;
    is_deeply(members(hit($how{dtrace}, qr/:request +request (.*)$/m)), [@before, qw(small=-8 is_new=1 name=twelve chars none=NULL),
        @behind], 'dtrace those that it has no bit-fields for');
}
is($other->quit, 0, 'the program ended well');
$dtprobed->stop('TERM') if $dtprobed;
done_testing;
