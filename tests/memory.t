# memory.t - what the library does to the memory of its program: never writable code, no leak, no
# growth, and work that grows with the number of probes and no faster.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Program;
use USDT::Tracer;

my $out = $ENV{O} // '.';
my $dir = File::Temp->newdir;
my $sanitized = ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;

my $no_valgrind = $sanitized ? 'a valgrind that runs sanitized programs is not installed'
    : USDT::Tracer::missing('valgrind');

# Everything a program does with the library, as commands for test_usdt.
my @life = (
    [qw(provider p life mod)], [qw(probe a func a int), 'char *'], [qw(probe b func b)], [qw(add p a)],
    [qw(add p b)], [qw(add p a)], [qw(enable p)], [qw(fire a i:1 s:text)], [qw(probe? a)], [qw(many p 300)],
    [qw(enable p)], [qw(remove p b)], [qw(enable p)], [qw(fire b)], [qw(disable p)], [qw(fire a i:1 s:text)],
    [qw(enable p)], [qw(add p b)], [qw(enable p)], [qw(remove p a)], [qw(release a)], [qw(provider q 9 mod)],
    [qw(probe c func c), ''], [qw(provider q other mod)], [qw(enable q)], [qw(free q)], [qw(disable p)],
    [qw(enable p)], [qw(free p)], [qw(fire b)], [qw(release b)], ['quit'],
);

sub run_life {
    my (@command) = @_;
    my $input = File::Temp->new;
    print $input join("\t", @$_), "\n" for @life;
    $input->flush;
    my $log = "$dir/log";
    system("@command @USDT::Program::RUNNER $out/test_usdt - < @{[ $input->filename ]} > $dir/replies 2> $log");
    my $status = $?;
    open my $in, '<', $log or die $!;
    local $/;
    return ($status, scalar <$in>);
}

subtest 'no mapping is writable and executable, at any moment' => sub {
    plan skip_all => 'the sanitizer maps memory of its own' if $sanitized;
    my $cc = $ENV{CC} || 'cc';
    is(system("$cc -shared -fPIC -o $dir/wx.so tests/wx_preload.c"), 0, 'the watcher is built');
    my ($status, $log) = run_life("env WX_COUNT=1 LD_PRELOAD=$dir/wx.so");
    is($status, 0, 'it found none') or diag $log;
    cmp_ok(scalar(() = $log =~ /looked/g), '>', 20, 'and looked after every change of a mapping');
};

USDT::Tracer::subtest_unless($no_valgrind,
    'valgrind finds no error and no leak', sub {
    my ($status, $log) = run_life(
        'valgrind --error-exitcode=99 --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all');
    is($status, 0, 'no error') or diag $log;
    like($log, qr/ERROR SUMMARY: 0 errors/, 'it says so');
    like($log, qr/All heap blocks were freed|definitely lost: 0 bytes/, 'everything was freed');
});

USDT::Tracer::subtest_unless($no_valgrind, 'nor in programs that change their providers over and over', sub {
    my $valgrind = 'valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all';
    my @programs = ('growth enable 20', 'growth add 100', 'growth many 20');
    push @programs, 'bad_input' if $ENV{USDT_TEST_STRESS}; # every bad call and order of calls: a minute
    my $runtime = File::Temp->newdir;
    chmod 0700, $runtime;
    for my $program (@programs) {
        is(system("XDG_RUNTIME_DIR=$runtime $valgrind $ENV{B}/tests/$program > $dir/replies 2> $dir/log"), 0, $program)
            or diag do { local (@ARGV, $/) = "$dir/log"; <> };
    }
});

# Instructions that the program executes to add and publish so many probes.
sub instructions {
    my ($count, @after) = @_;
    my $input = File::Temp->new;
    print $input join("\t", @$_), "\n" for [qw(provider p grow mod)], ['many', 'p', $count], @after, ['quit'];
    $input->flush;
    my $valgrind = 'valgrind --tool=callgrind --callgrind-out-file=/dev/null';
    my $log = qx{$valgrind $out/test_usdt - < @{[ $input->filename ]} 2>&1 >/dev/null};
    $log =~ /Collected : (\d+)/ or die $log;
    return $1;
}

USDT::Tracer::subtest_unless($no_valgrind,
    'the work for a probe does not grow with their number', sub {
    for (['added' => []], ['added and enabled' => [[qw(enable p)]]]) {
        my ($what, $after) = @$_;
        my ($none, $few, $many) = map { instructions($_, @$after) } 1, 1000, 16000;
        my ($each_of_few, $each_of_many) = (($few - $none) / 1000, ($many - $none) / 16000);
        cmp_ok($each_of_many, '<', 1.1 * $each_of_few, sprintf
            '%s: %.0f instructions for each of 1,000, %.0f for each of 16,000', $what, $each_of_few, $each_of_many);
    }
});

subtest 'a hundred thousand probes in one provider' => sub {
    my $program = USDT::Program->new;
    $program->ok(qw(provider p huge mod));
    like($program->do(qw(many p 100000)), qr/^ok/, 'are added');
    like($program->do(qw(enable p)), qr/^ok/, 'enabled');
    my ($image) = $program->images;
    my $notes = () = do { local (@ARGV, $/) = $image->{path}; <> } =~ /\x03\0\0\0stapsdt\0/g;
    is($notes, 100000, 'in one image');
    $program->ok(qw(nth d p 99999));
    is($program->enabled('d'), '0 0', 'the last can be asked');
    $program->ok(qw(fire d i:1));
    like($program->do(qw(disable p)), qr/^ok/, 'disabled');
    $program->ok(qw(free p));
    is($program->quit, 0, 'and freed');
};
done_testing;
