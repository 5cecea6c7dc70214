# listen.t - a program hears the hits of its own probes: with their values, without privileges or a tracer, beside
# one, and while threads fire and listeners come and go. Longer under `make stress`.
use strict;
use warnings;
use File::Copy ();
use File::Temp ();
use Test::More;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

my $seconds = $ENV{USDT_TEST_STRESS} ? 30 : 2;
my $sanitized = ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;
my $listen = "$ENV{B}/tests/listen";
my $dir = File::Temp->newdir;
chmod 0755, $dir or die $!;

subtest 'values, errors, and what listeners may do' => sub {
    my $program = "$dir/listen";
    File::Copy::cp($listen, $program) or die "$program: $!";
    # Root listens as anybody does.
    my @as = $> == 0 ? ($^X, '-e', '$( = $) = 65534; $< = $> = 65534; exec { $ARGV[0] } @ARGV or die $!') : ();
    open my $from, '-|', @as, @USDT::Program::RUNNER, $program, 'values' or die "$program: $!";
    my @lines = <$from>;
    ok(close $from, 'the program ends well') or diag("status $?");
    cmp_ok(scalar @lines, '>', 30, 'it has checked all of it');
    for (@lines) { chomp; like($_, qr/^ok /, s/^(not )?ok //r) }
};

my $TIMES = 10_000;
subtest 'every hit is heard, while it is listened to' => sub {
    my $program = USDT::Program->ready(program => [$listen, 'hits', $TIMES]);
    is_deeply($program->work, { before => 0, heard => $TIMES, after => 0 }, "$TIMES of $TIMES");
    is($program->quit, 0, 'the program ends well');
};

USDT::Tracer::with('bpftrace', 'and seen by a tracer, before, meanwhile and afterwards', sub {
    my $program = USDT::Program->ready(program => [$listen, 'hits', $TIMES]);
    my $path = USDT::Image->of($program, 'listen')->path;
    my $tracer = USDT::Tracer->start('bpftrace', '-e',
        "usdt:$path:listen:a { \@hits = count(); if (arg1 != ~arg0 || arg2 != 3 * arg0) { \@torn = count(); } }"
            . ' interval:ms:50 { if (!@on) { printf("attached\n"); @on = 1; } }');
    ok($tracer->until(sub { $tracer->output =~ /^attached$/m }), 'bpftrace attaches');
    my $numbers = $program->work;
    is_deeply($numbers, { before => 1, heard => $TIMES, after => 1 }, 'the probe is enabled all the time');
    my $output = $tracer->stop;
    is(($output =~ /^\@hits: (\d+)$/m)[0], 2 * $TIMES, 'the tracer sees the hits that are heard, and the others');
    unlike($output, qr/^\@torn: [1-9]/m, 'with their values');
    is($program->quit, 0, 'the program ends well');
});

subtest "four threads fire for $seconds seconds while three listen now and then" => sub {
    my $program = USDT::Program->ready(program => [$listen, 'threads', $seconds]);
    my $numbers = $program->work;
    cmp_ok($numbers->{heard}, '>', 10, "$numbers->{heard} hits are heard");
    cmp_ok($numbers->{listened}, '>', 10, "$numbers->{listened} listeners came and went, and none was called later");
    is($program->quit, 0, 'the program ends well');
};

for (['thread', 'ThreadSanitizer', 'TSAN_OPTIONS'], ['address', 'AddressSanitizer', 'ASAN_OPTIONS']) {
    my ($sanitizer, $name, $options) = @$_;
    subtest $name => sub {
        plan skip_all => 'this run has a sanitizer' if $sanitized;
        plan skip_all => USDT::Tracer::emulated($name) if USDT::Tracer::emulated($name);
        plan skip_all => 'make is not installed' if system('command -v make >/dev/null 2>&1') != 0;
        my $out = ($ENV{O} // '.') . "/build/listen-$sanitizer";
        my ($arch) = $ENV{B} =~ m{([^/]+)$};
        my $program = "$out/build/$arch/tests/listen";
        my $log = qx{make -s O=$out ARCH=$arch CFLAGS='-O1 -g -fsanitize=$sanitizer' $program 2>&1};
        plan skip_all => "this compiler has no $name for this processor"
            if $log =~ /cannot find \S*[at]san|unsupported/;
        is($?, 0, 'the program is built') or diag $log;
        local $ENV{$options} = 'exitcode=66';
        is(system('/bin/sh', '-c', "exec @USDT::Program::RUNNER $program values >/dev/null"), 0, 'finds nothing: values');
        my $self = USDT::Program->ready(program => [$program, 'threads', $seconds]);
        note explain $self->work;
        is($self->quit, 0, 'nor with threads');
    };
}
done_testing;
