# store.t - where images live: a shared file in a directory of the user's own, else a memfd.
#
# Uses directories of its own through XDG_RUNTIME_DIR; needs no tracer.
use strict;
use warnings;
use File::Temp ();
use POSIX ();
use Test::More;
use USDT::Program;
use USDT::Tracer;

my $DEGRADED = 10;

sub runtime_dir { my $dir = File::Temp->newdir; chmod 0700, $dir; return $dir }
sub files {
    my ($dir) = @_;
    opendir my $list, "$dir/usdt" or return;
    my @files = sort grep { !/^\.\.?$/ } readdir $list;
    return @files;
}

sub program {
    my ($dir, @probes) = @_;
    my $program = USDT::Program->new(env => { XDG_RUNTIME_DIR => "$dir" });
    $program->{notice} = $program->provide('p', 'store', 'mod', @probes ? @probes : (a => ['int']));
    return $program;
}

subtest 'a file in XDG_RUNTIME_DIR' => sub {
    my $dir = runtime_dir();
    my $program = program($dir);
    my ($image) = $program->images;
    like($image->{path}, qr{^\Q$dir\E/usdt/store-[0-9a-f]{40}\.so$}, 'is named by provider and content');
    is(sprintf('%o', (stat "$dir/usdt")[2] & 07777), '700', 'in a directory for this user alone');
    is(sprintf('%o', (stat $image->{path})[2] & 07777), '400', 'and cannot be written');
    my @open = grep { m{/usdt/} } map { readlink // '' } glob "/proc/@{[ $program->pid ]}/fd/*";
    is_deeply(\@open, [], 'it needs no descriptor while it is mapped');
    $program->ok('disable', 'p');
    is_deeply([files($dir)], [], 'disabling removes it');
    $program->ok('enable', 'p');
    is(scalar(files($dir)), 1, 'enabling makes it again');
    $program->quit;
    is_deeply([files($dir)], [], 'the end of the program removes it');
};

subtest 'processes with the same definition' => sub {
    my $dir = runtime_dir();
    my @programs = map { program($dir) } 1 .. 3;
    my %inodes = map { (stat +($_->images)[0]{path})[1] => 1 } @programs;
    is(scalar(keys %inodes), 1, 'share one file');
    my $other = program($dir, a => ['long']);
    is(scalar(files($dir)), 2, 'another definition has another');
    $other->quit;
    $programs[0]->ok('disable', 'p');
    is(scalar(files($dir)), 1, 'who disables does not take it from the others');
    $programs[1]->quit;
    is(scalar(files($dir)), 1, 'nor who ends');
    $programs[2]->quit;
    is_deeply([files($dir)], [], 'the last one removes it');
};

subtest 'a forked child' => sub {
    my $dir = runtime_dir();
    my $program = program($dir);
    my $child = $program->ok('fork');
    like($child, qr/^\d+$/, 'goes on');
    $program->ok('disable', 'p');
    is(scalar(files($dir)), 1, "does not take its parent's file away when it disables");
    like($program->do('quit'), qr/^ok/, 'nor when it ends');
    is($program->receive, 'ok child ended with 0', 'the child ends well');
    is($program->do('probe?', 'a'), 'ok 0 0', 'the parent goes on');
    is(scalar(files($dir)), 1, 'with its file');
    $program->quit;
    is_deeply([files($dir)], [], 'and removes it');
};

subtest 'a program that is killed' => sub {
    my $dir = runtime_dir();
    my $program = program($dir);
    my ($left) = files($dir);
    kill 'KILL', $program->pid;
    $program->quit;
    is_deeply([files($dir)], [$left], 'leaves its file');
    my $inode = (stat "$dir/usdt/$left")[1];
    my $same = program($dir);
    is((stat +($same->images)[0]{path})[1], $inode, 'which the next program of the same definition uses');
    kill 'KILL', $same->pid;
    $same->quit;
    open my $half, '>', "$dir/usdt/.1.2.so" or die $!;
    close $half;
    my $next = program($dir, b => ['int']);
    my ($image) = $next->images;
    is_deeply([map { "$dir/usdt/$_" } files($dir)], [$image->{path}],
        'the next enable of any program removes it, and half-written ones');
};

subtest 'programs that start and end at once' => sub {
    my $dir = runtime_dir();
    for my $round (1 .. 5) {
        # All have defined their probes; then all enable, and all end, with no word between.
        my @programs = map { USDT::Program->new(env => { XDG_RUNTIME_DIR => "$dir" }) } 1 .. 20;
        for my $program (@programs) {
            $program->ok(@$_) for [qw(provider p store mod)], [qw(probe a func a int)], [qw(add p a)];
        }
        $_->send('enable', 'p') for @programs;
        my @replies = map { $_->receive } @programs;
        is_deeply([grep { $_ ne 'ok ' } @replies], [], "round $round: all are enabled");
        is_deeply([map { my ($image) = $_->images; $image->{path} =~ m{^\Q$dir\E/} ? () : $image->{path} } @programs],
            [], 'from this directory');
        is(scalar(files($dir)), 1, 'and share one file');
        $_->send('quit') for @programs;
        $_->quit for @programs;
        is_deeply([files($dir)], [], 'which the last one removes');
    }
};

subtest 'a place that cannot be trusted is passed over' => sub {
    my $elsewhere = sub {
        my ($dir, $name) = @_;
        my $program = program($dir);
        my ($image) = $program->images;
        unlike($image ? $image->{path} : '', qr{^\Q$dir\E/}, $name);
        is($program->quit, 0, 'and the program works');
    };
    my $dir = runtime_dir();
    symlink '/tmp', "$dir/usdt";
    $elsewhere->($dir, 'a symbolic link in place of the directory');
    $dir = runtime_dir();
    mkdir "$dir/usdt";
    chmod 0770, "$dir/usdt";
    $elsewhere->($dir, 'a directory that a group may write');
    $dir = runtime_dir();
    chmod 0777, $dir;
    $elsewhere->($dir, 'a parent that anybody may write');
    $elsewhere->('relative/path', 'a relative XDG_RUNTIME_DIR');
    $dir = runtime_dir();
    my $victim = program($dir);
    my ($image) = $victim->images;
    $victim->quit;
    for my $what ('other content', 'a symbolic link', 'a FIFO') {
        mkdir "$dir/usdt", 0700;
        unlink $image->{path};
        if ($what eq 'a FIFO') {
            POSIX::mkfifo($image->{path}, 0600);
        } elsif ($what eq 'a symbolic link') {
            symlink '/etc/passwd', $image->{path};
        } else {
            open my $file, '>', $image->{path} or die $!;
            print $file 'x';
            close $file;
            # The sweep would take it: somebody holds it.
            open $file, '<', $image->{path} or die $!;
            flock $file, 1;
            $elsewhere->($dir, "$what under the right name");
            is(-s $image->{path}, 1, 'which stays as it was');
            next;
        }
        $elsewhere->($dir, "$what under the right name");
        ok(-l $image->{path} || -p $image->{path}, 'which stays as it was');
    }
};

USDT::Tracer::subtest_unless($> == 0 ? '' : 'only root can mount', 'no usable directory at all', sub {
    my $program = USDT::Program->new(
        env     => { XDG_RUNTIME_DIR => '' },
        command => ['unshare', '-m', 'sh', '-c',
            'mount -t tmpfs -o noexec none /run && mount -t tmpfs -o ro none /tmp && exec "$@"', 'sh'],
    );
    $program->ok(qw(provider p store mod));
    $program->ok(qw(probe a func a int));
    $program->ok(qw(add p a));
    my $reply = $program->do(qw(enable p));
    like($reply, qr/^ok .*memfd.*\/run\/usdt\/\S+: is on a file system mounted noexec/,
        'is a notice that names the places and their faults');
    like($reply, qr/\/tmp\/usdt-0: Read-only file system/, 'each of them');
    my ($map) = grep { m{r-xp .*/memfd:usdt } } $program->maps;
    ok($map, 'the probes are in a memfd');
    my @open = grep { m{/memfd:usdt } } map { readlink // '' } glob "/proc/@{[ $program->pid ]}/fd/*";
    is(scalar @open, 1, 'whose descriptor stays open for tracers');
    $program->ok(qw(disable p));
    @open = grep { m{/memfd:usdt } } map { readlink // '' } glob "/proc/@{[ $program->pid ]}/fd/*";
    is_deeply(\@open, [], 'until the probes are disabled');
    is($program->quit, 0, 'the program ended well');
});
done_testing;
