# bench.t - what a traced probe costs on this kernel, beside a compile-time probe: where the kernel makes a direct call
# of the 10-byte nop, less. A measurement, not a test of it: times are not asserted.
use strict;
use warnings;
use JSON::PP ();
use Test::More;

my $bench = "$ENV{B}/bench/bench";
plan skip_all => "$bench is not there: it wants systemtap-sdt-dev" if !-x $bench;
plan skip_all => 'this kernel puts a breakpoint, as that of the machine at hand does' if (qx{uname -r} =~ /^(\d+)/)[0] < 7;

my $json = qx{$bench --hits --json 2>bench.err};
is($?, 0, 'the bench ends well');
is(do { open my $file, '<', 'bench.err' or die $!; local $/; <$file> }, '', 'and bpftrace has counted every hit');
my ($hit) = grep { $_->{measure} =~ /^hit/ } @{ JSON::PP->new->decode($json)->{rows} };
cmp_ok($hit->{$_}, '>', 0, "$_: $hit->{$_} ns") for qw(value reference);
diag(sprintf 'a hit costs %.0f ns, %.2f x that of a compile-time probe (%s)', $hit->{value}, $hit->{value} / $hit->{reference},
    (qx{uname -r} =~ /(\S+)/)[0]);
done_testing;
