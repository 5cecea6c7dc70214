# fuzz.t - what the fuzzers found worth keeping still does no harm; and the judges that the fuzzers rely on
# see each rule broken when it is. No clang, no libFuzzer: the targets are built as programs that replay.
use strict;
use warnings;
use Test::More;
use USDT::Build qw(run);

my $programs = "$ENV{B}/fuzz";
my @runner = split ' ', $ENV{USDT_TEST_RUNNER} // '';
my $CANNOT_PUBLISH = 3;    # fuzz_api, where no file can be published

subtest 'the judges of DOF and ELF' => sub {
    my ($code, $out, $err) = run({}, @runner, "$programs/check_selftest");
    is $err, '', 'the self-test runs';
    my @results = split /\n/, $out;
    cmp_ok scalar @results, '>', 10, 'and has cases: those of the processors that this assembler takes';
    /^ok (.*)/ ? pass $1 : fail $_ for @results;
    is $code, 0, 'it is content';
};

my %least = (build => 51, api => 51, dump => 12, struct => 36);
for my $target (qw(build api dump struct)) {
    subtest "the kept inputs of fuzz_$target" => sub {
        my @inputs = glob "fuzz/corpus/$target/*";
        cmp_ok scalar @inputs, '>=', $least{$target}, 'are many';
        cmp_ok scalar @inputs, '<=', 300, 'but not too many';
        my ($code, $out, $err) = run({}, @runner, "$programs/replay_$target", "fuzz/corpus/$target");
        SKIP: {
            skip $err =~ s/\s+/ /gr, 1 if $code == $CANNOT_PUBLISH;
            is "$code $out", '0 ' . @inputs . " inputs\n", 'break nothing' or diag $err;
        }
    };
}
done_testing;
