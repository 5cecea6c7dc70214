# cross.t - the library and test_usdt compiled and linked for every system and processor that can be had,
# without a warning. Run by `make cross`, which brings the compiler: ZIG, and its headers and libraries of
# macOS, FreeBSD, NetBSD, musl and glibc. For illumos there are stand-in headers here, and no linker.
#
# Where there are no stubs for a processor, the program runs under qemu: it must say so, and do no harm.
use strict;
use warnings;
use File::Temp ();
use POSIX ();
use Test::More;
use USDT::Build qw(build_stub here run);

my $zig = $ENV{ZIG} or die "cross.t: ZIG must name a zig; `make cross` does\n";
my $dir = File::Temp->newdir;
my @strict = qw(-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -O2 -I.);
my @sources = sort glob 'usdt*.c';

# zig's name of each; what its programs begin with; the template, if there is one, else the processor's name in
# the message; what qemu calls it, if it is run (those of musl: they need no libraries, and take a minute to
# build, once).
my $elf = "\x7fELF";
my $macho = "\xcf\xfa\xed\xfe";
my @targets = (
    { zig => 'x86_64-macos', magic => $macho, template => 'macos_x86_64' },
    { zig => 'aarch64-macos', magic => $macho, template => 'macos_arm64' },
    { zig => 'x86_64-freebsd', magic => $elf, template => 'x86_64' },
    { zig => 'aarch64-freebsd', magic => $elf, template => 'arm64' },
    { zig => 'x86_64-netbsd', magic => $elf, template => 'x86_64' },
    { zig => 'x86_64-linux-musl', magic => $elf, template => 'x86_64', run => 'x86_64' },
    { zig => 'x86-linux-gnu', magic => $elf, template => 'i386' },
    { zig => 'aarch64-linux-gnu', magic => $elf, template => 'arm64' },
    { zig => 'riscv64-linux-musl', magic => $elf, name => 'riscv', run => 'riscv64' },
    { zig => 's390x-linux-musl', magic => $elf, name => 's390', run => 's390x' },
    { zig => 'powerpc64le-linux-gnu', magic => $elf, name => 'powerpc' },
    { zig => 'arm-linux-gnueabihf', magic => $elf, name => 'arm' },
);

sub quiet { my ($name, @command) = @_; my ($code, $out, $err) = run({}, @command); is("$code$out$err", '0', $name) }

sub read_file { my ($path) = @_; open my $file, '<:raw', $path or return ''; local $/; return <$file> }

# A life with a probe, by commands; the replies.
sub live {
    my (@command) = @_;
    my @life = ([qw(provider p cross mod)], [qw(probe a func a int)], [qw(add p a)], [qw(enable p)], [qw(probe? a)],
        [qw(fire a i:1)], [qw(disable p)], [qw(enable p)], [qw(free p)], [qw(fire a i:1)], [qw(quit)]);
    my $input = File::Temp->new;
    print $input join("\t", @$_), "\n" for @life;
    $input->flush;
    my @replies = qx{XDG_RUNTIME_DIR=$dir @command - < @{[ $input->filename ]} 2>&1};
    chomp @replies;
    return ($?, @replies);
}

# How to run its programs: a command, '' for none, or undef.
sub runner {
    my ($name) = @_;
    return '' if $name eq (POSIX::uname())[4];
    for my $program ("qemu-$name", "qemu-$name-static") {
        return $program if system("command -v $program >/dev/null 2>&1") == 0;
    }
    return;
}

for my $target (@targets) {
    subtest $target->{zig} => sub {
        my $program = "$dir/test_usdt.$target->{zig}";
        quiet('compiled and linked, without a warning', $zig, 'cc', '-target', $target->{zig}, @strict, '-o', $program,
            @sources, 'test_usdt.c', $target->{template} ? "usdt_tracepoints_$target->{template}.s" : ());
        is(substr(read_file($program), 0, 4), $target->{magic}, 'for that system');
        return if !$target->{run};
        my $runner = runner($target->{run});
        SKIP: {
            skip "qemu-$target->{run} (qemu-user) is not installed", 3 if !defined $runner;
            my ($status, @replies) = live($runner, $program);
            is($status, 0, 'it runs and ends well');
            my $reply = $target->{name} ? qr/^error \d+ no tracing support for $target->{name} on linux$/ : qr/^ok/;
            like($replies[3], $reply, $target->{name} ? 'enable says that there is no tracing' : 'enable works');
            is_deeply([@replies[4, 5, 9]], ['ok 0 0', 'ok 0x1', 'ok 0x1'], 'checking and firing are safe');
        }
    };
}

for my $bits (64, 32) {
    subtest "illumos, $bits bits" => sub {
        my $include = qx{cc -print-file-name=include};
        chomp $include;
        my @compile = ('cc', "-m$bits", @strict, qw(-ffreestanding -nostdinc -isystem), $include, qw(-isystem tests/cross/illumos
            -U__linux__ -U__gnu_linux__ -U__linux -Ulinux -D__sun -D__illumos__ -c -o), "$dir/illumos.o");
        quiet($_, @compile, $_) for @sources;
    };
}

subtest 'the templates for Mach-O are those for ELF' => sub {
    for my $arch (qw(x86_64 arm64)) {
        SKIP: {
            skip "this machine's assembler does not take $arch", 1 if !here('macos', $arch);
            my $stub = build_stub('macos', $arch);
            my $target = ($arch eq 'arm64' ? 'aarch64' : $arch) . '-macos';
            quiet("$arch: assembled", $zig, 'cc', '-target', $target, '-c', '-o', "$dir/stub.o", "usdt_tracepoints_macos_$arch.s");
            my $code = pack 'L<5 a*', length $stub->{bytes}, @$stub{qw(probe site isenabled isenabled_site)}, $stub->{bytes};
            cmp_ok(index(read_file("$dir/stub.o"), $code), '>', 0, "$arch: the same bytes");
        }
    }
};
done_testing;
