# growth.t - what a process holds does not grow, however long it changes its providers: memory,
# descriptors, mappings, files. The figures are printed.
use strict;
use warnings;
use File::Temp ();
use Test::More;

my $runner = $ENV{USDT_TEST_RUNNER} // '';
my $stress = $ENV{USDT_TEST_STRESS};
my $dir = File::Temp->newdir;
chmod 0700, $dir;
$ENV{ASAN_OPTIONS} = 'quarantine_size_mb=0:thread_local_quarantine_size_kb=0'; # it keeps what was freed

for (['enable', $stress ? 10_000 : 200, 'enable and disable'],
    ['add', $stress ? 100_000 : 2_000, 'define, add, enable, remove and release'],
    ['many', $stress ? 2_000 : 600, 'a provider of up to 300 probes made, enabled and freed']) {
    my ($mode, $cycles, $what) = @$_;
    my %is = map { split ' ' } grep { / / } split /\n/, qx{XDG_RUNTIME_DIR=$dir $runner $ENV{B}/tests/growth $mode $cycles};
    is($?, 0, "$cycles times: $what");
    my $figures = join ', ', map { "$_ $is{$_}" } sort keys %is;
    $stress ? diag "$cycles times $what: $figures" : note $figures;
    # A page here or there is the allocator's, or the scheduler's.
    my $grown = $is{rss_kib_after} - $is{rss_kib_before};
    cmp_ok($grown, '<=', 256, "resident memory: $is{rss_kib_before} KiB half-way, $is{rss_kib_after} KiB at the end");
    for my $thing (qw(descriptors mappings files)) {
        is($is{"${thing}_after"}, $is{"${thing}_before"}, "$thing: " . $is{"${thing}_before"});
    }
}
is_deeply([glob "$dir/usdt/{*,.*.so}"], [], 'no file is left');
done_testing;
