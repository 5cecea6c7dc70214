# threads.t - probes that fire while providers change: from eight threads, from a signal handler, under a
# tracer and without. Longer under `make stress`.
#
# Every hit carries (n, ~n, 3n), so a tracer sees an argument that does not belong to the others.
use strict;
use warnings;
use Test::More;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

my $seconds = $ENV{USDT_TEST_STRESS} ? 30 : 2;
my $sanitized = ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;
my $threads = "$ENV{B}/tests/threads";

sub start { my (@mode) = @_; return USDT::Program->ready(program => [$threads, @mode]) }

# Ends it, and sees that it ended well.
sub ends { my ($self) = @_; is($self->quit, 0, 'the program ends well') }

# A program that holds the image which the other one publishes and withdraws: so the file and the tracers
# on it stay.
sub holder {
    my $self = USDT::Program->new;
    $self->provide('p', 'changing', 'threads', map { ("c$_" => [('uint64_t') x 3]) } 0 .. 3);
    return $self;
}

# bpftrace on images, for all programs: counts hits, and those whose arguments are torn, by provider. Each
# thread has a count of its own: they lose some where one thread takes the processor from another meanwhile.
sub bpftrace {
    my (@images) = @_;
    my @script;
    for my $image (@images) {
        push @script, "usdt:@{[ $image->path ]}:$_->{provider}:$_->{name} { \@$_->{provider}\[tid] = count();"
            . ' if (arg1 != ~arg0 || arg2 != 3 * arg0) { @torn[tid] = count(); } }' for @{ $image->{elf}{notes} };
    }
    # The last to be attached.
    push @script, 'interval:ms:50 { if (!@on) { printf("attached\n"); @on = 1; } }';
    my $tracer = USDT::Tracer->start('bpftrace', '-e', "@script");
    ok($tracer->until(sub { $tracer->output =~ /^attached$/m }), 'bpftrace attaches');
    return $tracer;
}

sub counted {
    my ($output) = @_;
    my %sum = (steady => 0, changing => 0, torn => 0);
    $sum{$1} += $2 while $output =~ /^\@(\w+)\[\d+\]: (\d+)$/mg;
    return \%sum;
}

subtest "eight threads fire for $seconds seconds while three change everything" => sub {
    my $program = start('fire', $seconds);
    my $numbers = $program->work;
    cmp_ok($numbers->{enables}, '>', 10, "$numbers->{enables} times something was enabled");
    cmp_ok($numbers->{refused}, '>', 0, "$numbers->{refused} calls were refused, as they had to be");
    ends($program);
};

USDT::Tracer::with('bpftrace', 'the same under a tracer', sub {
    my $holder = holder();
    my $program = start('fire', $seconds);
    my $tracer = bpftrace(USDT::Image->of($program, 'steady'), USDT::Image->of($holder));
    my $numbers = $program->work;
    my $seen = counted($tracer->stop);
    cmp_ok($numbers->{fired}, '>', 1000, "$numbers->{fired} times the probe that stays was fired");
    is($seen->{steady}, $numbers->{fired}, 'the tracer saw each of them');
    cmp_ok($seen->{changing}, '>', 1000, "and $seen->{changing} hits of the probes that come and go");
    is($seen->{torn}, 0, 'no argument was torn');
    ends($program);
    is($holder->quit, 0, 'the other program ends well');
});

USDT::Tracer::with('bpftrace', 'a signal handler that interrupts enable and disable', sub {
    my $holder = holder();
    my $program = start('signal', $seconds / 2);
    my $tracer = bpftrace(USDT::Image->of($program, 'steady'), USDT::Image->of($holder));
    my $numbers = $program->work;
    my $seen = counted($tracer->stop);
    cmp_ok($numbers->{handled}, '>', 100, "ran $numbers->{handled} times");
    cmp_ok($numbers->{forked}, '>', 0, "forked $numbers->{forked} times");
    is($seen->{steady}, $numbers->{handled}, 'each of its hits was seen');
    cmp_ok($seen->{changing}, '>', 100, 'also those of the probes it interrupted the change of');
    is($seen->{torn}, 0, 'no argument was torn');
    ends($program);
});

USDT::Tracer::with('bpftrace', 'a tracer of the old probes while 1,000 are added in 10 batches', sub {
    my $program = start('grow', 10);
    my $tracer = bpftrace(USDT::Image->of($program, 'steady'));
    my $numbers = $program->work;
    is($numbers->{enables}, 10, 'ten times the provider was enabled again');
    cmp_ok($numbers->{fired}, '>', 100, "the old probe was fired $numbers->{fired} times meanwhile");
    my @steady = grep { $_->{path} =~ m{/steady-} } $program->images;
    is(scalar @steady, 11, 'eleven images hold its probes');
    my $notes = 0;
    $notes += @{ USDT::Image->new(%$_)->{elf}{notes} } for @steady;
    is($notes, 1001, 'with 1,001 notes in all');
    my $output = $tracer->stop;
    is(counted($output)->{steady}, $numbers->{fired}, 'the tracer missed none of them') or diag $output;
    ends($program);
});

# Linux has direct calls on x86_64 only.
subtest 'a thread half-way through a direct call when the probe goes' => sub {
    my $program = start('half', 10);
    my $numbers = $program->work;
    is($numbers->{wrong}, 0, 'goes on with the right stack pointer');
    ends($program);
} if $ENV{B} =~ /x86_64$/;

subtest 'ThreadSanitizer' => sub {
    plan skip_all => 'this run has another sanitizer' if $sanitized;
    plan skip_all => USDT::Tracer::emulated('ThreadSanitizer') if USDT::Tracer::emulated('ThreadSanitizer');
    plan skip_all => 'make is not installed' if system('command -v make >/dev/null 2>&1') != 0;
    my $dir = ($ENV{O} // '.') . '/build/tsan';
    my ($arch) = $ENV{B} =~ m{([^/]+)$};
    my $make = "make -s O=$dir ARCH=$arch CFLAGS='-O1 -g -fsanitize=thread' $dir/build/$arch/tests/threads 2>&1";
    my $log = qx{$make};
    plan skip_all => 'this compiler has no ThreadSanitizer for this processor' if $log =~ /cannot find \S*tsan|unsupported/;
    is($?, 0, 'the program is built') or diag $log;
    for (['fire', $seconds], ['signal', $seconds / 4], ['grow', 10]) {
        my $program = USDT::Program->ready(
            program => ["$dir/build/$arch/tests/threads", @$_],
            env     => { TSAN_OPTIONS => 'exitcode=66 report_signal_unsafe=0' },
        );
        note explain $program->work;
        is($program->quit, 0, "finds nothing: $_->[0]");
    }
};
done_testing;
