# systems.t - the whole library as compiled for illumos, FreeBSD, macOS and a system without tracing, run here (on
# macOS's arm64 as well: make test ARCH=arm64). tests/systems.c is the program, the tracer, and the system.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Program; # before USDT::Compile, which takes O away
use USDT::Compile;

my $dir = File::Temp->newdir;
my $native = USDT::Program::native_arch();
my @wrap = map { "-Wl,--wrap=$_" } qw(open close ioctl mmap mprotect);

# What a header of those systems says, where one of Linux cannot. (gcc's <stddef.h> looks for FreeBSD's.)
mkdir "$dir/$_" or die "$dir/$_: $!" for qw(sys libkern);
write_file("$dir/sys/_types.h", "\n");
write_file("$dir/libkern/OSCacheControl.h", <<'HEADER');
#include <stddef.h>
#define MAP_JIT 0x40000000
void sys_icache_invalidate(void *, size_t);
void pthread_jit_write_protect_np(int);
HEADER

sub lives {
    my ($system, $macro, $arch, @width) = @_;
    subtest "$system, $arch" => sub {
        my $program = "$dir/$system-$arch";
        my ($status, $text) = run(@CC, @width, qw(-std=c11 -g), @CFLAGS, qw(-U__linux__ -U__linux -Ulinux -U__gnu_linux__),
            "-D$macro", '-isystem', $dir, '-I.', '-o', $program, (glob 'usdt*.c'),
            qw(tests/systems.c tests/kernels.c fuzz/check.c fuzz/check_dof.c), "usdt_tracepoints_$arch.s", @wrap, '-pthread');
        is($status, 0, 'it compiles') or return diag($text);
        ($status, $text) = run(@USDT::Program::RUNNER, $program, $system);
        is($status, 0, 'it ends well') or diag($text);
        my @results = $text =~ /^(ok|not ok) (.*)/mg;
        while (my ($result, $what) = splice @results, 0, 2) { is($result, 'ok', $what) }
    };
}

my %macro = (illumos => '__sun', freebsd => '__FreeBSD__', macos => '__APPLE__', none => 'NO_SYSTEM');
my @archs = $native eq 'x86_64' && need(can_compile($CC[0], '-m32'), '-m32', 'cannot link a 32-bit program (gcc-multilib)')
    ? (['x86_64'], ['i386', '-m32']) : [$native];
for (@archs) {
    my ($arch, @width) = @$_;
    # Of macOS the library has no 32-bit stubs, of the others none for arm64.
    my @systems = $arch eq 'arm64' ? qw(macos none) : $arch eq 'i386' ? qw(illumos freebsd none) : sort keys %macro;
    lives($_, $macro{$_}, $arch, @width) for @systems;
}
done_testing;
