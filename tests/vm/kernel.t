# kernel.t - what the kernel makes of a probe's site: a breakpoint, or where it can a direct call. Runs in
# the machine of tests/vm/machine, on a kernel of each kind.
use strict;
use warnings;
use Test::More;
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;

my ($major, $minor) = qx{uname -r} =~ /^(\d+)\.(\d+)/;
my $calls = $major > 6; # the two kernels are 6.12 and 7.2; 6.18 has the form that libusdt avoids
my $program = USDT::Program->new;
$program->provide('p', 'kernel', 'mod', k => [('int') x 8]);
my $image = USDT::Image->of($program);

sub site_bytes {
    my ($pid) = @_;
    open my $mem, '<:raw', "/proc/$pid/mem" or die $!;
    my $at = $image->address + $image->site('k') - ($calls ? 1 : 0);
    sysseek $mem, $at, 0 or die $!;
    sysread $mem, my $bytes, 11;
    return unpack 'H*', $bytes;
}

my $untouched = '90662e0f1f843e4883ec80';
is(($image->site('k') % 64), $calls ? 9 : 8, 'the note names the ' . ($calls ? '10-byte nop' : 'first nop'));
is(site_bytes($program->pid), $untouched, 'the site is two nops');

my $ftrace = USDT::Ftrace->new;
$ftrace->watch('k', $image->path, $image->site('k'), map { USDT::Ftrace::place(64, $_) . ':s32' } 0 .. 7);
$ftrace->start;
is($program->enabled('k'), '1 1', 'the probe is enabled when it is watched');
my @values = map { -10 * $_ } 1 .. 8;
$program->ok('fire', 'k', map { "i:$_" } @values) for 1 .. 5;
my $traced = site_bytes($program->pid);
if ($calls) {
    like($traced, qr/^90488d642480e8/, 'the kernel has made it a direct call');
} else {
    is($traced, 'cc' . substr($untouched, 2), 'the kernel has put a breakpoint');
}
is($program->enabled('k'), '1 1', 'the probe still is enabled');

my $child = $program->ok('fork');
is($program->enabled('k'), '1 1', 'and in a forked child');
$program->ok('fire', 'k', map { "i:$_" } @values) for 1 .. 5;
$program->ok('quit');
is($program->receive, 'ok child ended with 0', 'which lives');
is_deeply([map { [$_->{pid}, @{ $_->{args} }] } $ftrace->hits],
    [(map { [$program->pid, @values] } 1 .. 5), (map { [$child, @values] } 1 .. 5)],
    'every hit is seen, with all arguments, also those on the stack');
$ftrace->stop;
is($program->enabled('k'), '0 0', 'the probe is not enabled after');
is(site_bytes($program->pid), $untouched, 'and its site is as it was') if !$calls;
is($program->quit, 0, 'the program ended well');
done_testing;
