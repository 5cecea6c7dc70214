# places.t - where an image may be put: places that are not trusted, each with its reason, and nothing
# there followed or changed; the file systems it works on; and what a provider does without any place.
#
# Runs in a mount namespace of its own, so that whatever it mounts goes with it.
use strict;
use warnings;
use Config;
use Cwd qw(getcwd);
use File::Spec;
use File::Temp ();
use Test::More;

my $no_mounts = $> != 0 ? 'only root can mount'
    : system('unshare -m true 2>/dev/null') != 0 ? 'a mount namespace is not permitted here' : '';
if (!$no_mounts && !$ENV{USDT_TEST_PLACES}) {
    $ENV{USDT_TEST_PLACES} = 1;
    exec 'unshare', '-m', $^X, (map { "-I$_" } grep { !ref } @INC), $0, @ARGV or die "unshare: $!";
}
# /tmp gets hidden: the program must be found without it.
BEGIN { $ENV{O} = File::Spec->abs2rel($ENV{O} // '.') }

use Fcntl qw(:flock :mode);
use POSIX ();
use Socket;
use Time::HiRes qw(time);
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;
use USDT::Store;
use USDT::Tracer;

# Where everything is put that is made here; the programs see another /run and /tmp.
if (!$no_mounts) {
    mounted('tmpfs', 'mode=1777,suid,exec,dev', '/var/tmp');
    $ENV{TMPDIR} = '/var/tmp';
}

my $sanitized = ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;
my $NOBODY = 65534;
my $PUBLISH = 9; # USDT_ERROR_PUBLISH
my ($image) = keys %{ { pristine('one') } };
my ($bytes) = values %{ { pristine('one') } };

sub with_mounts { USDT::Tracer::subtest_unless($no_mounts, @_) }

sub write_file {
    my ($path, $content, $mode) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print $file $content;
    close $file or die "$path: $!";
    chmod $mode // 0400, $path;
    return $path;
}

# A directory, with those below it that a test asks for.
sub base {
    my (@below) = @_;
    my $dir = runtime_dir();
    mkdir "$dir/$_", 0700 or die "$dir/$_: $!" for @below;
    return $dir;
}

sub mounted {
    my ($type, $options, $on, $device) = @_;
    return if system('mount', '-t', $type, '-o', $options, $device // 'none', $on) == 0;
    die "cannot mount $type ($options) on $on\n";
}

# A program that defines its probes and enables none. With `world`, a directory: it finds world/run as /run,
# and world/tmp as /tmp. `before`: a command to run it by. Further: what test_usdt is called there.
sub starts {
    my (%o) = @_;
    my @command = $o{world} ? ('unshare', '-m', 'sh', '-c',
        'mount --bind "$0/run" /run && mount --bind "$0/tmp" /tmp && exec "$@"', $o{world}) : ();
    push @command, @{ $o{before} // [] };
    my $program = USDT::Program->new(env => { XDG_RUNTIME_DIR => $o{xdg} // '' }, command => \@command);
    $program->ok(@$_) for [qw(provider p store mod)], [qw(probe a func a int)], [qw(add p a)];
    return $program;
}

# /run and /tmp that anybody may write, as /tmp is, but without the sticky bit.
sub hostile_world {
    my $world = base('run', 'tmp');
    chmod 0777, "$world/$_" for qw(run tmp);
    return $world;
}
my $hostile = qr{/run: another user may change it; /tmp: another user may change it};

sub in_memfd {
    my ($program) = @_;
    return scalar grep { m{r-xp .*/memfd:usdt } } $program->maps;
}

# Works: enabled, can be asked and fired, disabled and ended.
sub goes_on {
    my ($program, $name) = @_;
    my @replies = map { $program->do(@$_) } ['probe?', 'a'], [qw(fire a i:1)], [qw(disable p)], [qw(fire a i:1)];
    $replies[2] =~ s/ .*//; # the last notice
    is_deeply([@replies, $program->quit], ['ok 0 0', 'ok 0x1', 'ok', 'ok 0x1', 0], $name);
}

# Everything that may not change of a file, by whatever name.
sub state_of {
    my ($path) = @_;
    my @st = Time::HiRes::lstat($path) or return "$path: not there";
    return join ' ', $path, @st[0, 1], sprintf('%o', $st[2]), @st[3, 4, 5, 7, 9, 10],
        -l $path ? readlink $path : -f _ ? read_file($path) : -d _ ? join ',', sort map { s{.*/}{}r } glob "$path/*" : '';
}

# Somebody who locks a file and does not let go.
sub holds {
    my ($path, $how) = @_;
    open my $file, '<', $path or die "$path: $!";
    flock $file, $how // LOCK_SH or die "$path: $!";
    return $file;
}

# A program that died is written to all the same.
$SIG{PIPE} = sub { };

# ---- (1) what others have planted ----

# Each: what is in place of XDG_RUNTIME_DIR ($_[0], made already, 0700) or below; the reason for refusing it;
# returns the paths that must stay as they are, and what must be kept until then.
my $dir_of_files = sub { my ($xdg) = @_; mkdir "$xdg/usdt", 0700 or die $!; return "$xdg/usdt/$image" };
my $cannot_be_a_directory = qr{/usdt: is not a directory};
my $not_ours = qr{/usdt: must belong to this user alone \(mode 0700\)};
my $may_change = qr{: another user may change it};
my $not_regular = qr{$image: is not a regular file};
my @planted = (
    ['a symbolic link to a directory, as the directory' => $cannot_be_a_directory, sub {
        mkdir "$_[0]/elsewhere", 0700;
        write_file("$_[0]/elsewhere/x.so", 'x');
        symlink "$_[0]/elsewhere", "$_[0]/usdt" or die $!;
        ("$_[0]/usdt", "$_[0]/elsewhere", "$_[0]/elsewhere/x.so");
    }],
    ['a dangling symbolic link as the directory' => $cannot_be_a_directory, sub {
        symlink "$_[0]/nowhere", "$_[0]/usdt" or die $!;
        ("$_[0]/usdt", "$_[0]/nowhere");
    }],
    ['a symbolic link to a device as the directory' => $cannot_be_a_directory, sub { symlink '/dev/null', "$_[0]/usdt" or die $!; ("$_[0]/usdt", '/dev/null') }],
    ['a symbolic link to itself as the directory' => $cannot_be_a_directory, sub { symlink 'usdt', "$_[0]/usdt" or die $!; "$_[0]/usdt" }],
    ['a file as the directory' => $cannot_be_a_directory, sub { write_file("$_[0]/usdt", 'text', 0600) }],
    ['a FIFO as the directory' => $cannot_be_a_directory, sub { POSIX::mkfifo("$_[0]/usdt", 0600) or die $!; "$_[0]/usdt" }],
    ['a directory that a group may write' => $not_ours, sub { mkdir "$_[0]/usdt"; chmod 0720, "$_[0]/usdt"; "$_[0]/usdt" }],
    ['a directory that others may write' => $not_ours, sub { mkdir "$_[0]/usdt"; chmod 0702, "$_[0]/usdt"; "$_[0]/usdt" }],
    ['a directory that a group may read' => $not_ours, sub { mkdir "$_[0]/usdt"; chmod 0740, "$_[0]/usdt"; "$_[0]/usdt" }],
    ['a directory of another user' => $not_ours, sub { mkdir "$_[0]/usdt", 0700; chown $NOBODY, -1, "$_[0]/usdt"; "$_[0]/usdt" }, 'root'],
    ['a parent that others may write' => $may_change, sub { chmod 0703, $_[0]; $_[0] }],
    ['a parent that a group may write' => $may_change, sub { chmod 0730, $_[0]; $_[0] }],
    ['a parent of another user' => $may_change, sub { chown $NOBODY, -1, $_[0]; $_[0] }, 'root'],
    ['a parent of another user, with the sticky bit' => $may_change, sub { chown $NOBODY, -1, $_[0]; chmod 01777, $_[0]; $_[0] }, 'root'],
    ['a file of the right name with other content' => qr{$image: has other content}, sub {
        my $file = write_file(&$dir_of_files, 'x' x length $bytes, 0600);
        ($file, holds($file));
    }],
    ['a file of the right name with less content' => qr{$image: has other content}, sub {
        my $file = write_file(&$dir_of_files, substr $bytes, 0, 4096);
        ($file, holds($file));
    }],
    ['an empty file of the right name' => qr{$image: has other content}, sub {
        my $file = write_file(&$dir_of_files, '');
        ($file, holds($file));
    }],
    ['a file of the right name with more content' => qr{$image: has other content}, sub {
        my $file = write_file(&$dir_of_files, $bytes . 'x');
        ($file, holds($file));
    }],
    ['a hard link to another file' => qr{$image: has other content}, sub {
        my $victim = write_file("$_[0]/victim", 'secret', 0600);
        my $file = &$dir_of_files;
        link $victim, $file or die $!;
        ($file, $victim, holds($file));
    }],
    ['a file of the right content of another user' => qr{$image: belongs to, or may be written by, another user}, sub {
        my $file = write_file(&$dir_of_files, $bytes);
        chown $NOBODY, -1, $file;
        ($file, holds($file));
    }, 'root'],
    (map { my $mode = $_; [sprintf('a file of the right content with mode %o', $mode)
            => qr{$image: belongs to, or may be written by, another user}, sub {
        my $file = write_file(&$dir_of_files, $bytes, $mode);
        ($file, holds($file));
    }] } 0620, 0602),
    ['a directory in place of the file' => $not_regular, sub { my $file = &$dir_of_files; mkdir $file or die $!; $file }],
    ['a FIFO in place of the file' => $not_regular, sub { my $file = &$dir_of_files; POSIX::mkfifo($file, 0600) or die $!; $file }],
    ['a device in place of the file' => $not_regular, sub { my $file = &$dir_of_files; system('mknod', $file, qw(c 1 3)) == 0 or die; $file }, 'root'],
    ['a socket in place of the file' => qr{$image: No such device or address}, sub {
        my $file = &$dir_of_files;
        socket my $socket, AF_UNIX, SOCK_STREAM, 0 or die $!;
        my $here = getcwd(); # the name of a socket is short
        chdir "$_[0]/usdt" or die $!;
        bind $socket, pack_sockaddr_un('s') or die $!;
        rename 's', $image or die $!;
        chdir $here or die $!;
        ($file, $socket);
    }],
    ['a symbolic link to the right content in place of the file' => qr{$image: is a symbolic link}, sub {
        my $target = write_file("$_[0]/target", $bytes);
        my $file = &$dir_of_files;
        symlink $target, $file or die $!;
        ($file, $target);
    }],
    ['a dangling symbolic link in place of the file' => qr{$image: is a symbolic link}, sub {
        my $file = &$dir_of_files;
        symlink "$_[0]/nowhere", $file or die $!;
        ($file, "$_[0]/nowhere");
    }],
    ['a symbolic link to a device in place of the file' => qr{$image: is a symbolic link}, sub {
        my $file = &$dir_of_files;
        symlink '/dev/zero', $file or die $!;
        ($file, '/dev/zero');
    }],
    ['a symbolic link to itself in place of the file' => qr{$image: is a symbolic link}, sub {
        my $file = &$dir_of_files;
        symlink $image, $file or die $!;
        $file;
    }],
    ['a file that somebody has locked' => qr{$image: is held by another process}, sub {
        my $file = write_file(&$dir_of_files, $bytes);
        ($file, holds($file, LOCK_EX));
    }],
);

subtest 'what others have planted is refused, and stays as it was' => sub {
    for (@planted) {
        my ($name, $reason, $plant, $root) = @$_;
        next if $root && $> != 0;
        my $base = base('xdg');
        my $xdg = "$base/xdg";
        my @kept = $plant->($xdg);
        my @paths = grep { !ref } @kept;
        my @before = map { state_of($_) } @paths;
        my $program = starts(xdg => $xdg, $no_mounts ? () : (world => hostile_world()));
        my $start = time;
        local $SIG{ALRM} = sub { kill 'KILL', $program->pid };
        alarm 30;
        my $reply = eval { $program->do(qw(enable p)) } // 'it ended';
        alarm 0;
        cmp_ok(time - $start, '<', 5, "$name: enable does not hang") or next;
        if ($no_mounts) {
            like($reply, qr/^ok $/, 'another place is found');
            is(scalar(grep { $_->{path} =~ m{^\Q$base} } $program->images), 0, 'nothing there is mapped');
        } else {
            like($reply, qr{^ok .*memfd \(\Q$xdg\E[^;]*$reason; $hostile\)}, 'the notice says why');
            is(in_memfd($program), 1, 'the probes are in a memfd');
        }
        goes_on($program, 'the program works');
        is_deeply([map { state_of($_) } @paths], \@before, 'it is as it was');
    }
};

with_mounts('what is planted in /run and /tmp is refused as well', sub {
    my $world = base('run', 'tmp', 'elsewhere');
    chmod 0755, "$world/run";
    chmod 01777, "$world/tmp";
    chown $NOBODY, -1, "$world/elsewhere";
    mkdir "$world/run/usdt", 0700;
    chown $NOBODY, -1, "$world/run/usdt";
    symlink "$world/elsewhere", "$world/tmp/usdt-0" or die $!;
    system('chown', '-h', $NOBODY, "$world/tmp/usdt-0");
    my @paths = map { "$world/$_" } qw(run/usdt tmp/usdt-0 elsewhere);
    my @before = map { state_of($_) } @paths;
    my $program = starts(xdg => 'relative/path', world => $world);
    like($program->do(qw(enable p)),
        qr{memfd \(/run/usdt: must belong to this user alone \(mode 0700\); /tmp/usdt-0: is not a directory\)},
        'the notice says why; a relative XDG_RUNTIME_DIR is none');
    is(in_memfd($program), 1, 'the probes are in a memfd');
    my $descriptors = sub { scalar grep { m{/memfd:usdt } } map { readlink // '' } glob "/proc/@{[ $program->pid ]}/fd/*" };
    is($descriptors->(), 1, 'whose descriptor stays open for tracers');
    $program->ok(qw(disable p));
    is($descriptors->(), 0, 'until the probes are disabled');
    is($program->quit, 0, 'the program ended well');
    is_deeply([map { state_of($_) } @paths], \@before, 'all is as it was');
});

subtest 'a wrong file that nobody holds' => sub {
    my $base = base('xdg', 'xdg/usdt');
    my $victim = write_file("$base/victim", 'secret', 0600);
    link $victim, "$base/xdg/usdt/$image" or die $!;
    my $before = state_of($victim) =~ s/ \d\S* (?=secret)//r; # its links are counted, and that is a change
    my $program = starts(xdg => "$base/xdg");
    $program->ok(qw(enable p));
    is_deeply([wrong_files("$base/xdg")], [], 'is removed');
    is(read_file($victim), 'secret', 'by that name only');
    $program->ok($_, 'p') for qw(disable enable);
    is_deeply([wrong_mappings("$base/xdg", $program)], [], 'the next enable uses the place');
    $program->quit;
    is_deeply([files("$base/xdg")], [], 'and leaves it empty');
};

subtest 'a directory full of files that are not ours' => sub {
    my $base = base('xdg', 'xdg/usdt');
    for (1 .. 10_000) { open my $file, '>', "$base/xdg/usdt/foreign.$_" or die $! }
    my $program = starts(xdg => "$base/xdg");
    my $start = time;
    like($program->do(qw(enable p)), qr/^ok $/, 'is used');
    cmp_ok(time - $start, '<', 2, 'at once');
    is_deeply([wrong_mappings("$base/xdg", $program)], [], 'with the right image');
    $program->quit;
    is(scalar(files("$base/xdg")), 10_000, 'they all stay, and they only');
};

# ---- (2) a program with more rights than who called it ----

USDT::Tracer::subtest_unless($no_mounts || USDT::Tracer::emulated('set-user-id'),
    'a program that runs with more rights than its caller', sub {
    my $world = base('run', 'tmp', 'bin', 'xdg');
    my $xdg = "$world/xdg";
    chmod 0755, $world, "$world/run", "$world/bin";
    chmod 01777, "$world/tmp";
    mounted('tmpfs', 'suid,exec,mode=755', "$world/bin");
    chown $NOBODY, $NOBODY, $xdg;
    my ($path) = USDT::Program->path(USDT::Program::native_bits());
    # By its mode: who owns it, where the image is, and what is said of that.
    for (['0755', 0, "$xdg/usdt/$image", 'a usual one uses XDG_RUNTIME_DIR'],
        ['04755', 1, "/run/usdt/$image", 'a set-user-id one ignores it, and uses what root alone can write'],
        ['02755', 1, undef, 'a set-group-id one, whose caller could write its file, has none']) {
        my ($mode, $secure, $where, $name) = @$_;
        my $copy = "$world/bin/test_usdt.$mode";
        system('cp', $path, $copy) == 0 or die;
        chown 0, 12345, $copy;
        chmod oct $mode, $copy;
        my $program = starts(xdg => $xdg, world => $world, before => ['setpriv', "--reuid=$NOBODY",
            "--regid=$NOBODY", '--clear-groups', 'sh', '-c', "exec $copy -"]);
        my %auxv = unpack $Config{ptrsize} == 8 ? 'Q*' : 'L*', read_file('/proc/' . $program->pid . '/auxv');
        SKIP: {
            skip 'a 32-bit program has another auxv', 1 if USDT::Program::native_bits() != 64;
            is($auxv{23}, $secure, "mode $mode: AT_SECURE is $secure");
        }
        like($program->do(qw(enable p)), $where ? qr/^ok $/ : qr/^ok .*memfd \(no file: .*not dumpable/, 'it is enabled');
        is_deeply([map { $_->{path} } $program->images], [$where // ()], $name);
        is(in_memfd($program), $where ? 0 : 1, 'else in a memfd');
        is(-d "$xdg/usdt" ? 1 : 0, $secure ? 0 : 1, 'XDG_RUNTIME_DIR is touched by a usual one only');
        is(-d "$world/tmp/usdt-$NOBODY" ? 1 : 0, 0, '/tmp by none');
        my $status = $program->quit;
        is($status, 0, 'the program ended well') if !($sanitized && $secure); # LeakSanitizer cannot look at it
        is_deeply([glob "$world/run/usdt/*.so"], [], 'and left no file');
        system('rm', '-rf', "$xdg/usdt");
    }
    system('umount', '-l', "$world/bin");
});

# ---- (3) file systems ----

# Attaches the kernel's tracer and bpftrace to a program whose image is in this directory.
sub is_traced {
    my ($dir, $where) = @_;
    my $program = starts(xdg => $dir);
    like($program->do(qw(enable p)), qr/^ok $/, "$where: enabled without a notice");
    is_deeply([wrong_mappings($dir, $program)], [], 'by a file there');
    traced_by_ftrace($program, USDT::Image->of($program)->path);
    traced_by_bpftrace($program);
    # Nobody may take the file away while it is used.
    my ($same, $other) = map { my $next = starts(xdg => $dir); $next } 1, 2;
    $other->ok(@$_) for [qw(probe b func b long)], [qw(add p b)];
    $_->ok(qw(enable p)) for $same, $other;
    is_deeply([map { wrong_mappings($dir, $_) } $program, $same], [], 'a program that sweeps leaves it');
    $same->quit;
    is_deeply([wrong_mappings($dir, $program)], [], 'and one that ends');
    $_->quit for $other, $program;
    is_deeply([files($dir)], [], 'the last one removes it');
}

sub traced_by_ftrace {
    my ($program, $path) = @_;
    USDT::Tracer::with(ftrace => "traced by the kernel's tracer", sub {
        my $ftrace = USDT::Ftrace->new;
        my @enabled = $program->enabled('a');
        $ftrace->watch('a', $path, USDT::Image->new(path => $path)->site('a'),
            USDT::Ftrace::place($program->bits, 0) . ':s32');
        $ftrace->start;
        push @enabled, $program->enabled('a');
        $program->ok('fire', 'a', 'i:-77');
        is_deeply([map { $_->{args}[0] } $ftrace->hits], [-77], 'the value is seen');
        $ftrace->stop;
        is_deeply([@enabled, $program->enabled('a')], ['0 0', '1 1', '0 0'], 'it is enabled while it is traced');
    });
}

sub traced_by_bpftrace {
    my ($program) = @_;
    USDT::Tracer::with(bpftrace => 'traced by bpftrace', sub {
        my $tracer = USDT::Tracer->bpftrace($program->pid, 'usdt:*:store:a { printf("value %d\n", arg0) }');
        is($program->enabled('a'), '1 1', 'it is enabled');
        $program->ok('fire', 'a', 'i:-78');
        is_deeply([$tracer->lines(qr/value .*/, 1)], ['value -78'], 'the value is seen');
        is($program->enabled('a'), '0 0', 'until then');
    });
}

# A file system in a file; '' and the reason if that cannot be.
sub ext4 {
    my ($base, $size) = @_;
    return (undef, 'mkfs.ext4 is not installed') if system('command -v mkfs.ext4 >/dev/null 2>&1') != 0;
    my $log = qx{exec 2>&1; truncate -s $size $base/disk && mkfs.ext4 -q -m 0 $base/disk && mkdir $base/ext4 &&
        mount -o loop $base/disk $base/ext4};
    return (undef, "ext4 cannot be mounted: $log") if $? != 0;
    chmod 0700, "$base/ext4";
    return "$base/ext4";
}

sub overlay {
    my ($base) = @_;
    mounted('tmpfs', 'mode=700', $base);
    mkdir "$base/$_", 0700 for qw(lower upper work merged);
    my $mount = sub {
        mounted('overlay', "lowerdir=$base/lower,upperdir=$base/upper,workdir=$base/work", "$base/merged", 'overlay');
        return "$base/merged";
    };
    return ("$base/lower", $mount);
}

with_mounts('an image on tmpfs', sub {
    my $base = base();
    mounted('tmpfs', 'mode=700', $base);
    is_traced($base, 'tmpfs');
    system('umount', '-l', $base);
});

with_mounts('an image on ext4', sub {
    my $base = base();
    my ($dir, $why) = ext4($base, '4M');
    if (!$dir) {
        return fail("must not be skipped: $why") if $ENV{USDT_TEST_STRICT} && $why !~ /is not installed$/;
        plan skip_all => $why;
    }
    is_traced($dir, 'ext4');
    is(system('umount', '-l', $dir), 0, 'unmounted');
});

with_mounts('an image on overlayfs', sub {
    my $base = base();
    my ($lower, $mount) = overlay($base);
    my $merged = $mount->();
    is_traced($merged, 'a new directory');
    system('umount', '-l', $_) for $merged, $base;
});

for my $copied_up (0, 1) {
    with_mounts('an image that the lower layer of overlayfs had' . ($copied_up ? ', copied up' : ''), sub {
        my $base = base();
        my ($lower, $mount) = overlay($base);
        mkdir "$lower/usdt", 0700;
        write_file("$lower/usdt/$image", $bytes);
        my $merged = $mount->();
        system('touch', "$merged/usdt/$image") if $copied_up;
        is(-e "$base/upper/usdt/$image" ? 1 : 0, $copied_up, 'the upper layer has it or not');
        is_traced($merged, 'the file that was there');
        system('umount', '-l', $_) for $merged, $base;
    });
}

with_mounts('an image in a mount namespace of the program', sub {
    my $base = base('run', 'tmp');
    my $program = starts(world => $base, xdg => '/nowhere', before => ['sh', '-c',
        'mount -t tmpfs -o mode=755 none /run && exec "$@"', 'sh']);
    like($program->do(qw(enable p)), qr/^ok $/, 'is enabled');
    my ($mapped) = map { $_->{path} } $program->images;
    is($mapped, "/run/usdt/$image", 'by a file of that namespace');
    ok(!-e $mapped, 'which is not there outside');
    traced_by_ftrace($program, '/proc/' . $program->pid . "/root$mapped");
    traced_by_bpftrace($program);
    is($program->quit, 0, 'the program ended well');
});

# ---- (4) no place, or none left ----

# A root directory with the program and the libraries it needs.
sub root_dir {
    my (@below) = @_;
    my $root = base();
    mounted('tmpfs', 'mode=755', $root);
    my ($path) = USDT::Program->path(USDT::Program::native_bits());
    for my $file (qx{ldd $path} =~ m{(/\S+) \(}g) {
        system('mkdir', '-p', $root . $file =~ s{/[^/]*$}{}r) == 0 && system('cp', '-L', $file, "$root$file") == 0 or die $file;
    }
    system('cp', $path, "$root/test_usdt") == 0 or die;
    mkdir "$root/$_", 0755 for @below;
    return $root;
}

sub starts_in {
    my ($root) = @_;
    return starts(xdg => '/xdg', before => ['sh', '-c', "exec chroot $root /test_usdt -"]);
}

sub in_root {
    my ($name, $code) = @_;
    my $why = $sanitized ? 'a sanitizer that runs without /proc is not installed'
        : $no_mounts || USDT::Tracer::emulated('chroot');
    USDT::Tracer::subtest_unless($why, $name, $code);
}

in_root('no /tmp, /run, XDG_RUNTIME_DIR nor /proc', sub {
    my $root = root_dir();
    my $program = starts_in($root);
    like($program->do(qw(enable p)), qr{^ok .*memfd \(/run, /tmp: not there\)}, 'is a notice');
    is(in_memfd($program), 1, 'the probes are in a memfd');
    mkdir "$root/tmp";
    chmod 01777, "$root/tmp";
    $program->ok(qw(disable p));
    like($program->do(qw(enable p)), qr/^ok /, 'when there is a /tmp');
    is_deeply([map { s{.*(?=/tmp/)}{}r } map { $_->{path} } $program->images], ["/tmp/usdt-0/$image"], 'the next enable uses it');
    goes_on($program, 'the program works');
    is_deeply([glob "$root/tmp/usdt-0/* $root/tmp/usdt-0/.*.so"], [], 'and leaves no file');
    system('umount', '-l', $root);
});

in_root('everything is mounted read-only', sub {
    my $root = root_dir(qw(run tmp xdg));
    chmod 0700, "$root/xdg";
    system('mount', '-o', 'remount,ro', $root) == 0 or die;
    my $program = starts_in($root);
    like($program->do(qw(enable p)), qr{^ok .*memfd \(/xdg/usdt: Read-only file system; /run/usdt: Read-only file system; /tmp/usdt-0: Read-only file system\)},
        'is a notice that names each place');
    is(in_memfd($program), 1, 'the probes are in a memfd');
    system('mount', '-o', 'remount,rw', $root) == 0 or die;
    $program->ok(qw(disable p));
    $program->ok(qw(enable p));
    is_deeply([map { s{.*(?=/xdg/)}{}r } map { $_->{path} } $program->images], ["/xdg/usdt/$image"], 'when it is writable, the next enable uses the first');
    goes_on($program, 'the program works');
    is_deeply([map { glob "$root/$_/* $root/$_/.*.so" } qw(xdg/usdt run/usdt tmp)], [], 'nothing is left');
    system('umount', '-l', $root);
});

USDT::Tracer::subtest_unless($no_mounts || USDT::Tracer::emulated('noexec'), 'places that are mounted noexec', sub {
    my $base = base('run', 'tmp', 'xdg');
    mounted('tmpfs', 'noexec,mode=700', "$base/$_") for qw(run tmp xdg);
    my $noexec = qr{is on a file system mounted noexec};
    my $program = starts(xdg => "$base/xdg", world => $base);
    for my $time ('the first', 'the second') {
        like($program->do(qw(enable p)), qr{^ok .*memfd \(\Q$base\E/xdg/usdt/$image: $noexec; /run/usdt/$image: $noexec; /tmp/},
            "$time enable has a notice that names each place");
        is(in_memfd($program), 1, 'the probes are in a memfd');
        is_deeply([map { glob "$base/$_/* $base/$_/.*.so" } qw(xdg/usdt run/usdt tmp/usdt-0)], [], 'no file is left there');
        $program->ok(qw(disable p));
    }
    # This flag is one of the mount, and the program has mounts of its own.
    system('nsenter', '-m', '-t', $program->pid, 'mount', '-o', 'remount,exec', "$base/xdg") == 0 or die;
    like($program->do(qw(enable p)), qr/^ok /, 'where it may be executed');
    is_deeply([wrong_mappings("$base/xdg", $program)], [], 'the next enable uses it');
    goes_on($program, 'the program works');
    is_deeply([files("$base/xdg")], [], 'and leaves no file');
    system('umount', '-l', "$base/$_") for qw(run tmp xdg);
});

# A place without room; make_room is called then.
sub is_full {
    my ($xdg, $reason, $make_room) = @_;
    my $program = starts(xdg => $xdg, world => hostile_world());
    for my $time ('the first', 'the second') {
        like($program->do(qw(enable p)), qr{^ok .*memfd \(\Q$xdg\E/usdt\S*: $reason; $hostile\)}, "$time enable has a notice");
        is(in_memfd($program), 1, 'the probes are in a memfd');
        is($program->enabled('a') . $program->do(qw(fire a i:5)), '0 0ok 0x5', 'and can be fired');
        is_deeply([files($xdg)], [], 'nothing is left');
        $program->ok(qw(disable p));
    }
    $make_room->();
    $program->ok(qw(enable p));
    is_deeply([wrong_mappings($xdg, $program)], [], 'when there is room the next enable uses it');
    goes_on($program, 'the program works');
    is_deeply([files($xdg)], [], 'and leaves no file');
}

with_mounts('a tmpfs too small for the file', sub {
    my $xdg = base();
    mounted('tmpfs', 'size=4k,mode=700', $xdg);
    is_full($xdg, qr/No space left on device/, sub { system('mount', '-o', 'remount,size=64k', $xdg) == 0 or die });
    system('umount', '-l', $xdg);
});

for my $inodes (1, 2) {
    with_mounts("a file system with no inode left for the " . ($inodes == 1 ? 'directory' : 'file'), sub {
        my $xdg = base();
        mounted('tmpfs', "nr_inodes=$inodes,mode=700", $xdg);
        is_full($xdg, qr/No space left on device/, sub { system('mount', '-o', 'remount,nr_inodes=10', $xdg) == 0 or die });
        system('umount', '-l', $xdg);
    });
}

with_mounts('an ext4 that is full', sub {
    my $base = base();
    my ($dir, $why) = ext4($base, '1M');
    if (!$dir) {
        return fail("must not be skipped: $why") if $ENV{USDT_TEST_STRICT} && $why !~ /is not installed$/;
        plan skip_all => $why;
    }
    mkdir "$dir/usdt", 0700;
    open my $filler, '>:raw', "$dir/filler" or die $!;
    1 while syswrite $filler, 'x' x 1024;
    close $filler;
    is_full($dir, qr/No space left on device/, sub { unlink "$dir/filler" });
    is(system('umount', '-l', $dir), 0, 'unmounted');
});

# No way at all.
for (
    ['a program that may open no further file', '--nofile', 3, 64, qr/Too many open files/],
    ['a program that may write no file', '--fsize', 0, 1_000_000, qr/File too large/],
) {
    my ($name, $limit, $little, $enough, $reason) = @$_;
    my $why = system('command -v prlimit >/dev/null 2>&1') != 0 ? 'prlimit is not installed' : '';
    USDT::Tracer::subtest_unless($why, $name, sub {
        my $xdg = base();
        my $program = starts(xdg => $xdg);
        is(system('prlimit', '--pid', $program->pid, "$limit=$little:"), 0, 'limited');
        for my $time ('the first', 'the second') {
            like($program->do(qw(enable p)), qr/^error $PUBLISH cannot publish probes: .*$reason.*memfd: $reason/,
                "$time enable fails with a message");
            is($program->do(qw(fire a i:1)), 'ok 0x1', 'firing is safe');
            is_deeply([files($xdg)], [], 'nothing is left');
        }
        system('prlimit', '--pid', $program->pid, "$limit=$enough:");
        like($program->do(qw(enable p)), qr/^ok /, 'when the limit is lifted the next enable works');
        is_deeply([wrong_mappings($xdg, $program)], [], 'with the right image');
        goes_on($program, 'the program works');
        is_deeply([files($xdg)], [], 'and leaves no file');
    });
}
done_testing;
