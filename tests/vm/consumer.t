# consumer.t - bindings/node-consumer on DTrace for Linux: one process of Node.js makes probes, another traces them.
# Runs in the machine of tests/vm/machine; its tests are those in bindings/node-consumer/test/machine.
use strict;
use warnings;
use Test::More;
use USDT::NodeTest;
use USDT::Tracer;

for my $built (qw(node/build/usdt.node node-consumer/build/consumer.node)) {
    plan skip_all => "bindings/$built is not built (npm ci there)" unless -e "bindings/$built";
}
my $dtprobed = -e '/dev/dtrace/helper' ? undef : USDT::Tracer->start('dtprobed', '-F');
USDT::Tracer::wait_for(20, sub { -e '/dev/dtrace/helper' }) or BAIL_OUT('dtprobed does not start');
my $ended = USDT::NodeTest::run_files(glob 'bindings/node-consumer/test/machine/*.test.js');
$dtprobed->stop('TERM') if $dtprobed;
exit $ended;
