# store.t - the shared files under chance: programs killed at any moment, crowds that come and go.
#
# What tests/store.t does at each system call in turn, here hits also what is between, and many at once.
# USDT_TEST_ROUNDS: how many kills (500).
use strict;
use warnings;
use File::Temp ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);
use USDT::Program;
use USDT::Store;

my $rounds = $ENV{USDT_TEST_ROUNDS} || 500;
my ($path) = USDT::Program->path(USDT::Program::native_bits());
my @definitions = qw(one other extra big);
pristine();

# What a program does that is to be killed: publishes and withdraws the images of all definitions, adds
# a probe to a live provider and takes it away, and so on.
my $life = File::Temp->new;
print $life map { join("\t", @$_), "\n" }
    [qw(provider p store mod)], [qw(probe a func a int)], [qw(add p a)], [qw(probe x func x), 'char *'],
    [qw(provider q store mod)], [qw(probe b func b long)], [qw(add q b)], [qw(provider r store mod)], [qw(many r 3000)],
    ([qw(enable p)], [qw(add p x)], [qw(enable p)], [qw(enable q)], [qw(disable p)], [qw(enable p)], [qw(remove p x)],
    [qw(enable r)], [qw(disable q)], [qw(disable p)], [qw(enable q)], [qw(disable r)], [qw(disable q)]) x 2000;
$life->flush;

sub lives {
    my ($dir) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    $ENV{XDG_RUNTIME_DIR} = "$dir";
    open STDIN, '<', $life->filename or POSIX::_exit(126);
    open STDOUT, '>', '/dev/null' or POSIX::_exit(126);
    exec @USDT::Program::RUNNER, $path, '-' or POSIX::_exit(127);
}

# Ends it; true if it was killed, not at its end already.
sub kills {
    my ($pid) = @_;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    return ($? & 127) == POSIX::SIGKILL();
}

# The counts of a hash, the most frequent first.
sub counts { my (%count) = @_; return map { "$count{$_} times $_" } sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count }

subtest "$rounds kills at any moment" => sub {
    my $dir = runtime_dir();
    my (@wrong, %left, %with);
    my $killed = 0;
    for my $round (1 .. $rounds) {
        my $two = $round % 3 == 0;
        my $user = $round % 3 == 1 ? enabled_in($dir, 'one') : undef;
        my @pids = map { lives($dir) } 0 .. $two;
        my $definition = $definitions[rand @definitions];
        my $next = defined_in($dir, $definition);
        sleep 0.002 + rand 0.015;

        my @now;
        for my $pid (@pids) {
            $killed += kills($pid);
            push @now, wrong_files($dir);
            $left{ kinds($dir) }++ if !$user && $pid == $pids[-1] && @pids == 1;
            # One of two that are killed leaves the other at work.
            my $again = $next // defined_in($dir, $definition);
            undef $next;
            my $notice = $again->do('enable', 'p');
            push @now, "reply: $notice" if $notice ne 'ok ';
            push @now, wrong_mappings($dir, $again, $definition), wrong_files($dir);
            sleep rand 0.004;
            push @now, map { "a little later: $_" } wrong_mappings($dir, $again, $definition);
            push @now, map { "who was there before: $_" } wrong_mappings($dir, $user) if $user;
            push @now, map { "left: $_" } unused($dir, $again, $user // ()) if $pid == $pids[-1];
            $again->quit;
        }
        $with{ $two ? 'while another went on' : $user ? 'while another had a file' : 'alone' }++;
        $user->quit if $user;
        push @now, map { "left at the end: $_" } files($dir);
        # One fault is reported once: what it left goes.
        unlink map { "$dir/usdt/$_" } files($dir);
        push @wrong, map { "round $round, next $definition, " . ($two ? 'two' : 'one') . ": $_" } @now;
    }
    diag "$killed programs were killed: ", join(', ', counts(%with));
    diag 'one that was alone left: ', join('; ', counts(%left));
    cmp_ok($killed, '>=', $rounds, 'were done');
    my $within = grep { !/^no / } map { ($_) x $left{$_} } keys %left;
    cmp_ok($within, '>', $rounds / 20, 'many of them when there was a file');
    cmp_ok(scalar(grep { /temporary|both/ } keys %left), '>', 0, 'some while it was being made');
    is(scalar @wrong, 0, 'never is a wrong image there or mapped, nor left what the next program does not use or remove')
        or diag map { "$_\n" } @wrong[0 .. ($#wrong < 20 ? $#wrong : 20)];
};

subtest 'fifty programs that enable at once, while others come and go' => sub {
    my $dir = runtime_dir();
    for my $round (1 .. 10) {
        my @others = map { lives($dir) } 1 .. 4;
        my @programs = map { defined_in($dir) } 1 .. 50;
        my @sweeping = map { defined_in($dir, 'other') } 1 .. 5;
        $_->send('enable', 'p') for @programs[0 .. 24], @sweeping, @programs[25 .. 49];
        my @replies = map { $_->receive } @programs, @sweeping;
        is_deeply([grep { $_ ne 'ok ' } @replies], [], "round $round: all are enabled, without a notice");
        my %inodes = map { ((stat $_->{path})[1] // 'gone' => 1) } map { $_->images } @programs;
        is(scalar(keys %inodes), 1, 'by one file');
        my @wrong = ((map { wrong_mappings($dir, $_) } @programs), map { wrong_mappings($dir, $_, 'other') } @sweeping);
        is_deeply(\@wrong, [], 'all have the right image');
        kills($_) for @others;
        my $next = enabled_in($dir, 'extra');
        is_deeply([unused($dir, @programs, @sweeping, $next)], [], 'and what was left by those that were killed is gone');
        $_->send('quit') for @programs, @sweeping;
        $_->quit for @programs, @sweeping, $next;
        is_deeply([files($dir)], [], 'all end at once: nothing is left');
    }
};
done_testing;
