# newcomer.t - a new Debian with gcc, make and perl, and nothing else: from a clone to a hit that is seen, by `make
# demo`. Run by `make packages`; installs that Debian in a directory of its own, and removes it.
use strict;
use warnings;
use File::Temp;
use Test::More;
use USDT::Compile;
use USDT::Tracer;

my $why = $> != 0 ? 'only root can trace' : !tool_path('mmdebstrap') ? 'mmdebstrap is not installed'
    : USDT::Tracer::missing('ftrace');
plan skip_all => $why if $why;
my ($not_git, $what) = run('git', 'cat-file', '-e', 'HEAD:usdt.h');
plan skip_all => "not a tree of git: $what" if $not_git;

my $T = File::Temp->newdir;
my $debian = "$T/debian";
chmod 0711, $T or die "$T: $!"; # apt has a user of its own
my ($release) = (read_file('/etc/os-release') // '') =~ /^VERSION_CODENAME=(\w+)/m;
my ($failed, $text) = run('mmdebstrap', '--quiet', '--variant=essential', '--include=gcc,libc6-dev,make,perl', $release // 'stable', $debian);
plan skip_all => "Debian cannot be installed from here: $text" if $failed;

is((run('chroot', $debian, 'sh', '-c', 'command -v bpftrace perf gdb dtrace readelf pkg-config git'))[1] =~ s{.*/readelf\n}{}r, '',
    'it has no tracer (binutils is gcc\'s)');
succeeds('a clone of what is committed', 'git', 'clone', '-q', $ROOT, "$debian/libusdt");
# As a container has them; they go with the namespace.
my $output = succeeds('make demo', 'unshare', '-m', 'sh', '-ec', '
    mount -t proc proc "$0/proc"
    mount -t sysfs sysfs "$0/sys"
    mount -t tracefs tracefs "$0/sys/kernel/tracing"
    chroot "$0" sh -c "cd /libusdt && make demo"', $debian);
like($output, qr{^\d\d:\d\d:\d\d\.\d+ \d+ shop:start \d+ "/cart/42"$}m, 'shows hits');
like($output, qr/^The program says: [1-9]\d* of \d+ requests were traced$/m, 'as many as the program has seen');
done_testing;
