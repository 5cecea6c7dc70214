# USDT::Program - runs test_usdt and talks to it; knows what it has mapped.
#
# After every command it looks at the program's mappings: none may be writable and executable. Of a program
# in an emulator only those of images can be judged: the others are the emulator's, which writes code. And
# what its program may execute, an emulator only reads: `maps` tells such images as the program has them.
package USDT::Program;
use strict;
use warnings;
use Carp qw(croak);
use Fcntl qw(LOCK_EX);
use IO::Handle;
use IPC::Open2;
no warnings 'portable'; # addresses have 64 bits

my $out = $ENV{O} // '.';
my %built;

# What the programs that `make` built are started with: nothing, or an emulator of their processor.
our @RUNNER = split ' ', $ENV{USDT_TEST_RUNNER} // '';

my $IMAGE = qr{/usdt(?:-\d+)?/\S+\.so$|/memfd:usdt };
my $WRITABLE_CODE = @RUNNER ? qr{^\S+ .w.*$IMAGE} : qr{^\S+ .wx};

# The processor of these programs, as the Makefile calls it, and their width.
my $native_arch;
sub native_arch { return $native_arch //= arch_of("$out/test_usdt") }

sub arch_of {
    my ($path) = @_;
    open my $file, '<:raw', $path or croak "$path: $!";
    read $file, my $header, 20;
    my $machine = unpack 'x18 v', $header;
    return { 3 => 'i386', 62 => 'x86_64', 183 => 'arm64' }->{$machine} // croak "$path is for machine $machine";
}

sub native_bits { return native_arch() eq 'i386' ? 32 : 64 }

# The widths of programs to test.
sub widths { return native_arch() eq 'x86_64' ? (64, 32) : native_bits() }

# The path of test_usdt for programs of so many bits, or undef and why there is none.
sub path {
    my ($class, $bits) = @_;
    return "$out/test_usdt" if $bits == native_bits();
    if (!$built{$bits}) {
        my $dir = "$out/build/32";
        open my $lock, '>', "$out/build/32.lock" or croak "$out/build/32.lock: $!";
        flock $lock, LOCK_EX or croak "flock: $!"; # tests run side by side
        my $log = qx{make ARCH=i386 O=$dir CFLAGS='@{[ $ENV{USDT_TEST_CFLAGS} // "-O2 -g" ]}' $dir/test_usdt 2>&1};
        croak "the 32-bit build fails:\n$log" if $? != 0 && can_link_32();
        $built{$bits} = $? == 0 ? ["$dir/test_usdt"]
            : [undef, 'a compiler for 32-bit programs (gcc-multilib) is not installed'];
    }
    return @{ $built{$bits} };
}

sub can_link_32 {
    my $cc = $ENV{CC} || 'cc';
    local $?;
    return system("echo 'int main(void){return 0;}' | $cc -m32 -x c -o $out/build/can_link_32 - 2>/dev/null") == 0;
}

# Starts a program. Options: bits (default: the machine's), command (a list to put before it), env,
# program (another than test_usdt, with its arguments: see work()).
sub new {
    my ($class, %o) = @_;
    my $bits = $o{bits} // native_bits();
    my ($path, $why) = $o{program} ? () : $class->path($bits);
    croak $why if defined $why;
    local %ENV = (%ENV, %{ $o{env} // {} });
    my $pid = open2(my $from, my $to, @{ $o{command} // [] }, @RUNNER, @{ $o{program} // [$path, '-'] });
    $to->autoflush(1);
    return bless { pid => $pid, from => $from, to => $to, bits => $bits, wx => [] }, $class;
}

sub pid  { $_[0]{pid} }
sub bits { $_[0]{bits} }

# One command; returns the reply.
sub do {
    my ($self, @fields) = @_;
    $self->send(@fields);
    return $self->receive;
}

sub send {
    my ($self, @fields) = @_;
    local $SIG{PIPE} = 'IGNORE';
    $self->{sent} = "@fields";
    print { $self->{to} } join("\t", @fields), "\n";
}

sub receive {
    my ($self) = @_;
    my $reply = readline $self->{from};
    croak "the program ended at: $self->{sent}" if !defined $reply;
    chomp $reply;
    push @{ $self->{wx} }, map { "after '$self->{sent}': $_" } grep { $_ =~ $WRITABLE_CODE } $self->maps;
    return $reply;
}

# One command that must succeed; returns what follows "ok".
sub ok {
    my ($self, @fields) = @_;
    my $reply = $self->do(@fields);
    $reply =~ /^ok ?(.*)/s or croak "'@fields' failed: $reply";
    return $1;
}

# For the programs of tests/ that print "ready PID", wait for a line, work, and print "NAME NUMBER" lines and "end".
# As new(), and waits for the first of these.
sub ready {
    my ($class, @options) = @_;
    my $self = $class->new(@options);
    my $line = $self->receive;
    $line =~ /^ready \d+$/ or croak "the program is not ready: $line";
    return $self;
}

# Has it work; returns the numbers by their names.
sub work {
    my ($self) = @_;
    $self->send('go');
    my %numbers;
    while ((my $line = $self->receive) ne 'end') {
        my ($name, $number) = $line =~ /^(\w+) (-?\d+)$/ or croak "not a result: $line";
        $numbers{$name} = $number;
    }
    return \%numbers;
}

# A provider with probes: name => [types]. Definitions are named as their probes.
sub provide {
    my ($self, $handle, $name, $module, @probes) = @_;
    $self->ok('provider', $handle, $name, $module);
    while (my ($probe, $types) = splice @probes, 0, 2) {
        $self->ok('probe', $probe, 'func', $probe, @$types);
        $self->ok('add', $handle, $probe);
    }
    return $self->ok('enable', $handle);
}

# What usdt_is_enabled and isenabled_addr say, as "a b".
sub enabled { my ($self, $probe) = @_; return $self->ok('probe?', $probe) }

sub maps {
    my ($self) = @_;
    open my $maps, '<', "/proc/$self->{pid}/maps" or return;
    chomp(my @lines = <$maps>);
    return @lines if !@RUNNER;
    return map { s/^(\S+ r-)-(?=p .*$IMAGE)/$1x/r } @lines;
}

# The images that are mapped: { path, address }.
sub images {
    my ($self) = @_;
    my @images;
    for ($self->maps) {
        my ($address, $path) = m{^([0-9a-f]+)-\S+ r-xp \S+ \S+ \S+\s+(/\S*/usdt(?:-\d+)?/\S+\.so)$} or next;
        push @images, { address => hex $address, path => $path };
    }
    return @images;
}

# Mappings that were writable and executable at any time.
sub writable_code { return @{ $_[0]{wx} } }

# Ends the program; returns its exit status.
sub quit {
    my ($self) = @_;
    return $self->{status} if defined $self->{status};
    eval { $self->do('quit') };
    close $self->{to};
    close $self->{from};
    waitpid $self->{pid}, 0;
    return $self->{status} = $?;
}

sub DESTROY { local ($?, $@, $!); $_[0]->quit }

1;
