# models.t - the library's code for the helper devices of illumos, FreeBSD, macOS and Linux, run here against
# models of those kernels: what is submitted is what dtrace would see, each of their rules is seen when it is broken,
# a refusal is an error with a message, and nothing is left behind.
use strict;
use warnings;
use Test::More;
use USDT::Build qw(run);

my ($seed, $providers) = (1, $ENV{USDT_TEST_STRESS} ? 100_000 : 10_000);
my ($code, $out, $err) = run({}, split(' ', $ENV{USDT_TEST_RUNNER} // ''), "$ENV{B}/tests/models", $seed, $providers);
plan skip_all => $err =~ s/\s+/ /gr if $code == 3;
is $err, '', 'the models run';
is $code, 0, 'and are content';

my %subtests;
for (split /\n/, $out) {
    my ($result, $row, $what) = /^(ok|not ok) (?:([a-z]+ \w+): )?(.*)/ or next;
    push @{ $subtests{ $row // 'random' } }, [$result eq 'ok', $what];
}
cmp_ok scalar(grep { /^(illumos|freebsd|macos|linux) / } keys %subtests), '>', 1,
    'the processors whose templates this assembler takes';
for my $name (sort keys %subtests) {
    subtest $name => sub {
        ok $_->[0], $_->[1] for @{ $subtests{$name} };
        cmp_ok scalar @{ $subtests{$name} }, '>', $name eq 'random' ? 4 : 100, 'all were tried';
    };
}
done_testing;
