# forks.t - probes and processes: parent and children are traced alike, and no way to make a process, or
# to become another program, takes anything from anybody.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

my $forks = $ENV{USDT_TEST_STRESS} ? 1000 : 100;
my $dir = File::Temp->newdir;
chmod 0700, $dir;

sub files { return map { s{.*/}{}r } glob "$dir/usdt/{*,.*.so}" }

sub start {
    my (@mode) = @_;
    return USDT::Program->ready(
        program => ["$ENV{B}/tests/forks", @mode],
        env     => { XDG_RUNTIME_DIR => "$dir", ASAN_OPTIONS => 'detect_leaks=0' }, # of children that exit at once
    );
}

USDT::Tracer::with('ftrace', "$forks forks while traced", sub {
    my $program = start('fork', $forks);
    my $image = USDT::Image->of($program);
    my $ftrace = USDT::Ftrace->new;
    $ftrace->watch('f', $image->path, $image->site('f'), USDT::Ftrace::place(USDT::Program::native_bits(), 0) . ':s32');
    $ftrace->start;
    my $numbers = $program->work;
    is($numbers->{fired}, $forks, 'the parent fired once before each fork');
    is($numbers->{children}, 2 * $forks, 'each child found the probe traced, and fired twice');
    my (%hits, %who);
    $hits{ $_->{args}[0] }++, $who{ $_->{pid} }++ for $ftrace->hits;
    is_deeply(\%hits, { 1 => $forks, 2 => 2 * $forks }, 'the tracer saw every hit of the parent and of the children');
    is(scalar(keys %who), $forks + 1, 'by as many processes');
    $ftrace->stop;
    is($program->quit, 0, 'the program ends well');
    is_deeply([files()], [], 'and leaves no file');
});

USDT::Tracer::with('ftrace', 'vfork, posix_spawn, system, clone; children that disable, free, add, exit', sub {
    my $program = start('ways');
    my $image = USDT::Image->of($program);
    my $inode = (stat $image->path)[1];
    my $ftrace = USDT::Ftrace->new;
    $ftrace->watch('f', $image->path, $image->site('f'));
    $ftrace->start;
    my $numbers = $program->work;
    cmp_ok(scalar(grep { $_->{pid} == $program->pid } $ftrace->hits), '==', 8, 'the parent went on firing and was seen');
    is($numbers->{fired}, 8, 'as often as it says');
    is(scalar(grep { $_->{pid} != $program->pid } $ftrace->hits), 2, 'so was each child made without handlers');
    $ftrace->stop;
    is((stat $image->path)[1], $inode, 'its file is still there, and the same');
    is(scalar(files()), 1, 'and no other');
    is($program->quit, 0, 'the program ends well');
    is_deeply([files()], [], 'and leaves no file');
});

subtest 'a program that becomes another' => sub {
    my $program = start('exec', '/bin/cat');
    my ($file) = files();
    ok($file, 'its probe is in a file');
    my $exe = sub { readlink '/proc/' . $program->pid . '/exe' };
    my $before = $exe->();
    print { $program->{to} } "go\n";
    ok(USDT::Tracer::wait_for(10, sub { $exe->() ne $before }), 'it is another now');
    is_deeply([grep { m{/usdt/} } $program->maps], [], 'has nothing of it mapped');
    is_deeply([grep { m{/usdt/} } map { readlink // '' } glob "/proc/@{[ $program->pid ]}/fd/*"], [], 'and nothing open');
    is_deeply([files()], [$file], 'only the file is left');
    my $next = USDT::Program->new(env => { XDG_RUNTIME_DIR => "$dir" });
    $next->provide('p', 'next', 'mod', n => []);
    is_deeply([grep { $_ eq $file } files()], [], 'which the next program removes');
    $next->quit;
    is_deeply([files()], [], 'with its own');
    is($program->quit, 0, 'the program that it became ends well');
};
done_testing;
