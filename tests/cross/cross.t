# cross.t - the library (archive and shared), and test_usdt with it, made by the Makefile for every system and
# processor that can be had, without a warning. Run by `make cross`, which brings the compiler: ZIG, and its headers
# and libraries of macOS, FreeBSD, NetBSD, OpenBSD, musl and glibc. For illumos there are stand-in headers here, and no linker.
#
# Where there are no stubs for a processor, the program runs under qemu: it must say so, and do no harm.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Build qw(build_stub here);
use USDT::Compile;

my $zig = $ENV{ZIG} or die "cross.t: ZIG must name a zig; `make cross` does\n";
my $out = "$OUT/build/cross"; # kept: make does again what has changed
my $dir = File::Temp->newdir;

# zig's name of each; what qemu calls it, if its programs are run (those of musl: they need no libraries, and take
# a minute to build, once); the processor's name in the message, if it has no stubs.
my @targets = (
    ['x86_64-macos'], ['aarch64-macos'], ['x86_64-freebsd'], ['x86-freebsd'], ['aarch64-freebsd'],
    ['x86_64-netbsd'], ['x86_64-openbsd'], ['x86-linux-gnu'], ['aarch64-linux-gnu'], ['powerpc64le-linux-gnu'], ['arm-linux-gnueabihf'],
    ['x86_64-linux-musl', 'x86_64'], ['riscv64-linux-musl', 'riscv64', 'riscv'], ['s390x-linux-musl', 's390x', 's390'],
);

# A file's kind: what it begins with, and the machine, at its place there (gABI; <mach-o/loader.h>).
my %elf_machine = (x86_64 => 62, x86 => 3, aarch64 => 183, riscv64 => 243, s390x => 22, powerpc64le => 21, arm => 40);
my %macho_machine = (x86_64 => 0x01000007, aarch64 => 0x0100000c);

sub kind_of {
    my ($path) = @_;
    my $bytes = read_file($path) // return 'nothing';
    return 'Mach-O ' . unpack('x4 L<', $bytes) if $bytes =~ /^\xcf\xfa\xed\xfe/;
    return 'ELF ' . unpack(substr($bytes, 5, 1) eq "\1" ? 'x18 S<' : 'x18 S>', $bytes) if $bytes =~ /^\x7fELF/;
    return 'something else';
}

sub is_quiet {
    my ($name, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $text) = run(@command);
    return is("$status $text", '0 ', $name);
}

# A life with a probe, by commands; how the program ended, and the replies.
sub live {
    my (@command) = @_;
    my @life = ([qw(provider p cross mod)], [qw(probe a func a int)], [qw(add p a)], [qw(enable p)], [qw(probe? a)],
        [qw(fire a i:1)], [qw(disable p)], [qw(enable p)], [qw(free p)], [qw(fire a i:1)], [qw(quit)]);
    my $input = write_file("$dir/life", join '', map { join("\t", @$_) . "\n" } @life);
    my ($status, $text) = run({ env => { XDG_RUNTIME_DIR => "$dir" } }, 'sh', '-c', "exec @command - < $input");
    return ($status, split /\n/, $text);
}

# The command its programs are started with, '' for none; or undef.
sub runner {
    my ($processor) = @_;
    return '' if $processor eq elf_arch();
    my ($found) = grep { tool_path($_) } "qemu-$processor", "qemu-$processor-static";
    return $found;
}

for (@targets) {
    my ($target, $run, $no_stubs) = @$_;
    my ($processor, $system) = split /-/, $target;
    subtest $target => sub {
        my $shared = $system eq 'macos' ? 'libusdt.2.dylib' : 'libusdt.so.2';
        my @made = ("$out/$target/test_usdt", "$out/$target/$shared");
        unlink @made;
        is_quiet('compiled and linked, without a warning', 'make', '-s', '-j2', "CC=$zig cc -target $target", "AR=$zig ar",
            'CFLAGS=-O2 -Werror', "O=$out/$target", 'all');
        my $kind = $system eq 'macos' ? "Mach-O $macho_machine{$processor}" : "ELF $elf_machine{$processor}";
        is(kind_of($_), $kind, "$_ is for that system") for @made;
        SKIP: {
            my $nm = tool_path('llvm-nm') // skip('llvm-nm is not installed', 1);
            my (undef, $text) = run($nm, '-gU', $system eq 'macos' ? () : '-D', $made[1]);
            my @exported = sort grep { !/^_?_(?:mh|dso)_/ } $text =~ /^[0-9a-f]+ [A-Z] _?(\w+)/mg;
            is_deeply([grep { !/^USDT_/ } @exported], [functions_declared()], 'the shared library has the functions of usdt.h');
        }
        return if !defined $run;
        SKIP: {
            my $runner = runner($run) // skip("qemu-$run (qemu-user) is not installed", 3);
            my ($status, @replies) = live($runner, $made[0]);
            is($status, 0, 'the program runs, and ends well');
            like($replies[3], $no_stubs ? qr/^error \d+ no tracing support for $no_stubs on linux$/ : qr/^ok/,
                $no_stubs ? 'enable says that there is no tracing' : 'enable works');
            is_deeply([@replies[4, 5, 9]], ['ok 0 0', 'ok 0x1', 'ok 0x1'], 'checking and firing are safe');
        }
    };
}

# Compiled only: illumos on its processors, and Linux's SPARC, which zig's linker does not know.
my @strict = qw(-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -O2 -fPIC -I. -c);
my @illumos = ('-ffreestanding', '-nostdinc', '-isystem', 'tests/cross/illumos', '-isystem');
for my $compiler (['cc', '-m64'], ['cc', '-m32'], [$zig, 'cc', '-target', 'sparc64-freestanding-none']) {
    subtest "illumos, by @$compiler[1 .. $#$compiler]" => sub {
        my (undef, $include) = run('cc', '-print-file-name=include');
        chomp $include;
        is_quiet($_, @$compiler, @strict, @illumos, $include, qw(-U__linux__ -U__gnu_linux__ -U__linux -Ulinux -D__sun
            -D__illumos__), '-o', "$dir/object.o", $_) for sort glob 'usdt*.c';
    };
}
subtest 'sparc64-linux-gnu' => sub {
    is_quiet($_, $zig, qw(cc -target sparc64-linux-gnu), @strict, '-o', "$dir/object.o", $_) for sort glob 'usdt*.c';
};

subtest 'the native halves of the packages for Node.js' => sub {
    for my $package (qw(node node-consumer)) {
        my $headers = "bindings/$package/node_modules/node-api-headers/include";
        SKIP: {
            skip "node-api-headers is not installed (npm ci in bindings/$package)", 1 if !-d $headers;
            for my $target (qw(x86_64-macos aarch64-macos x86_64-freebsd)) {
                is_quiet("$_, $target", $zig, 'cc', '-target', $target, @strict, '-I', $headers, '-o', "$dir/object.o", $_)
                    for sort glob "bindings/$package/*.c";
            }
        }
    }
};

subtest 'the templates for Mach-O are those for ELF' => sub {
    for my $arch (qw(x86_64 arm64)) {
        SKIP: {
            skip "this machine's assembler does not take $arch", 1 if !here('macos', $arch);
            my $stub = build_stub('macos', $arch);
            my $target = ($arch eq 'arm64' ? 'aarch64' : $arch) . '-macos';
            my $code = pack 'L<5 a*', length $stub->{bytes}, @$stub{qw(probe site isenabled isenabled_site)}, $stub->{bytes};
            my $object = read_file("$out/$target/build/$arch/usdt_tracepoints_macos_$arch.o") // '';
            cmp_ok(index($object, $code), '>', 0, "$arch: the same bytes");
        }
    }
};
done_testing;
