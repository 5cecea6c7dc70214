# kernel.t - what the kernel makes of a probe's site: a breakpoint, or where it can a direct call. Runs in
# the machine of tests/vm/machine, on a kernel of each kind and processor.
use strict;
use warnings;
use Test::More;
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;

my ($major, $minor) = qx{uname -r} =~ /^(\d+)\.(\d+)/;
my $arm64 = USDT::Program::native_arch() eq 'arm64';
my $calls = !$arm64 && $major > 6; # the kernels are 6.12 and 7.2; 6.18 has the form that libusdt avoids
my $program = USDT::Program->new;
$program->provide('p', 'kernel', 'mod', k => [('int') x 8, 'char *', 'long']);
my $image = USDT::Image->of($program);

# The instructions of a site, one byte after the other.
my ($untouched, $breakpoint) = $arm64 ? ('1f2003d5', 'a00020d4') # nop, brk #5
    : ('90662e0f1f843e4883ec80', 'cc662e0f1f843e4883ec80');
my ($in_stub, $site) = $arm64 ? (4, 'the nop') : $calls ? (9, 'the 10-byte nop') : (8, 'the first nop');

sub site_bytes {
    my ($pid) = @_;
    open my $mem, '<:raw', "/proc/$pid/mem" or die $!;
    my $at = $image->address + $image->site('k') - ($calls ? 1 : 0);
    sysseek $mem, $at, 0 or die $!;
    sysread $mem, my $bytes, length($untouched) / 2;
    return unpack 'H*', $bytes;
}

is($image->site('k') % 64, $in_stub, "the note names $site");
is(site_bytes($program->pid), $untouched, $arm64 ? 'the site is a nop' : 'the site is two nops');

my $ftrace = USDT::Ftrace->new;
my @places = map { USDT::Ftrace::place(64, $_) } 0 .. 9;
$ftrace->watch('k', $image->path, $image->site('k'), (map { "$_:s32" } @places[0 .. 7]), "+0($places[8]):string",
    "$places[9]:s64");
is($program->enabled('k'), '0 0', 'the probe is not enabled before it is watched');
$ftrace->start;
is($program->enabled('k'), '1 1', 'it is when it is watched');
my @values = map { -10 * $_ } 1 .. 8;
my @all = ((map { "i:$_" } @values), 's:the ninth', 'i:-9223372036854775808');
push @values, 'the ninth', '-9223372036854775808';
$program->ok('fire', 'k', @all) for 1 .. 5;
my $traced = site_bytes($program->pid);
if ($calls) {
    like($traced, qr/^90488d642480e8/, 'the kernel has made it a direct call');
} else {
    is($traced, $breakpoint, 'the kernel has put a breakpoint');
}
is($program->enabled('k'), '1 1', 'the probe still is enabled');

my $child = $program->ok('fork');
is($program->enabled('k'), '1 1', 'and in a forked child');
$program->ok('fire', 'k', @all) for 1 .. 5;
$program->ok('quit');
is($program->receive, 'ok child ended with 0', 'which lives');
is_deeply([map { [$_->{pid}, @{ $_->{args} }] } $ftrace->hits],
    [(map { [$program->pid, @values] } 1 .. 5), (map { [$child, @values] } 1 .. 5)],
    'every hit is seen, with all ten arguments, also those on the stack');
$ftrace->stop;
is($program->enabled('k'), '0 0', 'the probe is not enabled after');
is(site_bytes($program->pid), $untouched, 'and its site is as it was') if !$calls;
is($program->quit, 0, 'the program ended well');
done_testing;
