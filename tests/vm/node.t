# node.t - bindings/node in the machine of tests/vm/machine: its Node.js, and the tracers there.
use strict;
use warnings;
use Test::More;
use USDT::NodeTest;

plan skip_all => 'bindings/node is not built (npm ci there)' if !-e 'bindings/node/build/usdt.node';
exit USDT::NodeTest::run_files(map { "bindings/node/test/$_.test.js" } qw(api machine/tracers));
