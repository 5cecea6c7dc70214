# examples.t - what the README and `make demo` show a newcomer works as they say.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Tracer;

my $out = $ENV{O} // '.';

sub slurp { my ($path) = @_; open my $in, '<', $path or die "$path: $!"; local $/; return <$in> }

subtest 'the example of the README' => sub {
    my ($code) = slurp('README.md') =~ /```c\n(.*?)```/s;
    my $file = slurp('examples/hello.c');
    ok(defined $code && index($file, $code) >= 0, 'is examples/hello.c');
    cmp_ok(scalar(() = $code =~ /^.*\S/mg), '<=', 22, 'is short');
    my $dir = File::Temp->newdir;
    my $cc = $ENV{CC} || 'cc';
    my $flags = $ENV{USDT_TEST_CFLAGS} // '';
    my $log = qx{$cc -Wall -Wextra -Werror $flags -I. -o $dir/hello examples/hello.c $out/libusdt.a -pthread 2>&1};
    is($log, '', 'compiles without a warning');
    my $hello = USDT::Tracer->start(split(' ', $ENV{USDT_TEST_RUNNER} // ''), "$dir/hello");
    my $published = sub { slurp("/proc/$hello->{pid}/maps") =~ /myapp-|memfd:usdt/ };
    ok(USDT::Tracer::wait_for(5, $published), 'publishes its probe');
    is($hello->stop, '', 'and complains of nothing');
};

subtest 'make demo' => sub {
    my $text = qx{timeout 60 make -s O=$out CFLAGS='@{[ $ENV{USDT_TEST_CFLAGS} // "-O2 -g" ]}' demo 2>&1};
    is($?, 0, 'ends by itself, and well') or diag $text;
    my $why = USDT::Tracer::missing('ftrace');
    like($text, qr/bpftrace -p \d+ -e 'usdt:\S+:shop:start/, 'it says what to type') if !USDT::Tracer::emulated('');
    if ($why) {
        like($text, qr/^(?:usdt: trace: |Only root can trace)/m, 'and why it shows nothing');
    } else {
        my @paths = ('/', '/cart', '/cart/42', '/checkout', '/missing');
        my %shown = $text =~ /^\d\d:\d\d:\d\d\.\d+ \d+ shop:start (\d+) "(.*)"$/mg;
        cmp_ok(scalar(keys %shown), '>', 3, 'it shows live values');
        is_deeply(\%shown, { map { ($_ => $paths[$_ % 5]) } keys %shown }, 'the right ones');
    }
    like($text, qr/^The program says: \d+ of \d+ requests were traced$/m, 'and how many there were');
};
done_testing;
