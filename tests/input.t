# input.t - bad names, types, counts and orders of calls: runs the checks of tests/bad_input.c.
#
# The program gets a directory of its own, in which it counts the files it leaves.
use strict;
use warnings;
use File::Temp ();

die "input.t: `make test` builds the program and says where (B)\n" if !defined $ENV{B};
my $dir = File::Temp->newdir;
local $ENV{XDG_RUNTIME_DIR} = "$dir";
my $status = system(split(' ', $ENV{USDT_TEST_RUNNER} // ''), "$ENV{B}/tests/bad_input");
print STDERR "# bad_input was ended by signal ", $status & 127, "\n" if $status & 127;
exit($status == 0 ? 0 : 1);
