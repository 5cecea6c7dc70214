# cookbook.t - the dtrace commands of doc/cookbook.md print what it says. Runs in the machine of tests/vm/machine.
use strict;
use warnings;
use Socket qw(AF_INET SOCK_DGRAM);
use Test::More;
use USDT::Cookbook;
use USDT::Tracer;

# The machine's loopback interface is down: the flags of `lo` become IFF_UP, by SIOCSIFFLAGS.
socket my $any, AF_INET, SOCK_DGRAM, 0 or die "socket: $!";
ioctl $any, 0x8914, my $request = pack 'a16 s x22', 'lo', 1 or die "lo: $!";

my ($subject) = USDT::Cookbook::sections('console');
my (undef, @start) = @{ $subject->{steps} };
$start[-1] = { command => 'sleep 3' }; # dtprobed is told of it; there is no usdt here, nor is F wanted
my $dtprobed = USDT::Tracer->start('dtprobed', '-F');
ok(USDT::Tracer::wait_for(20, sub { -e '/dev/dtrace/helper' }), 'dtprobed runs') or diag $dtprobed->output;

my @recipes = USDT::Cookbook::sections('dtrace');
recipe($_) for @recipes;
$dtprobed->stop('TERM');
done_testing;

sub recipe {
    my ($recipe) = @_;
    # One client is enough for an emulated processor.
    $_->{command} =~ s/--load 4/--load 1/ for @start, @{ $recipe->{steps} };
    USDT::Cookbook::type("$ENV{B}/examples", { steps => [@start] }, $recipe);
    for my $step (@{ $recipe->{steps} }) {
        note $step->{printed};
        my @differ = USDT::Cookbook::differences($step);
        is_deeply(\@differ, [], "$recipe->{title}: " . $step->{command} =~ s/\n.*/.../sr)
            or diag $step->{printed}, $step->{errors};
    }
}
