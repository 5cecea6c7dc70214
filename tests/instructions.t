# instructions.t - how many instructions checking, firing and publishing take, counted by callgrind: the same on every
# run, so that what has become slower fails. Times are make bench's.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Program;
use USDT::Tracer;

# Of each, as counted when it was last looked at (gcc 12, x86_64, -O2), less the loop: not more than a tenth more.
my %counted = (
    check  => 7,       # with a NULL check and the reload of the pointer
    probe  => 7,       # USDT_PROBE of three arguments: they are not computed
    fire3  => 28, fire6 => 39, fire12 => 49, fire32 => 68,
    listened => 95,    # fire3, with a listener that does nothing
    create => 2_556,   # and add, a probe of three arguments
    enable => 5_400, # create, add, publish
    toggle => 49_900,  # disable and enable a provider of one probe
);
my $native = USDT::Program::native_arch();
my $flags = $ENV{USDT_TEST_CFLAGS} // '-O2 -g';
my $why = $flags =~ /-fsanitize/ ? 'a valgrind that runs sanitized programs is not installed'
    : USDT::Tracer::missing('valgrind');
my $compiler = qx{@{[ $ENV{CC} || 'cc' ]} -dM -E -x c /dev/null 2>&1};
$why ||= "the numbers are of gcc 12, x86_64 and -O2: not counted"
    if $native ne 'x86_64' || $flags !~ /-O2\b/ || $compiler !~ /__GNUC__ 12$/m || $compiler =~ /__clang__/;

# A directory of its own: what others have in theirs is read when a program starts.
my $runtime = File::Temp->newdir;
chmod 0700, $runtime or die $!;
sub instructions {
    my ($what, $times) = @_;
    local $ENV{XDG_RUNTIME_DIR} = "$runtime";
    my $log = qx{valgrind --tool=callgrind --callgrind-out-file=/dev/null $ENV{B}/tests/counted $what $times 2>&1};
    $log =~ /Collected : (\d+)/ or die $log;
    return $1;
}

# Of one more, on the average: what programs do at their start and end is in both numbers, and varies a little.
sub each_of {
    my ($what) = @_;
    my ($less, $more) = $what eq 'toggle' ? (10, 110) : $what =~ /^(?:create|enable)$/ ? (1000, 3000) : (1000, 201_000);
    return (instructions($what, $more) - instructions($what, $less)) / ($more - $less);
}

if ($why) {
    plan skip_all => $why if !$ENV{USDT_TEST_STRICT} || $why =~ /is not installed$|not counted$|emulator$/;
    fail("must not be skipped: $why");
} else {
    my $loop = each_of('loop');
    for my $what (sort keys %counted) {
        my $each = each_of($what) - ($what =~ /^(?:check|probe|fire|listened)/ ? $loop : 0);
        cmp_ok($each, '<=', $counted{$what} * 1.1, sprintf '%s: %.0f instructions', $what, $each);
        cmp_ok($each, '>=', $counted{$what} * 0.7, '... and not so few that the number here is of yesterday');
    }
}
done_testing;
