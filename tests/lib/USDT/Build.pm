# Runs build/usdt_build for a test: writes the definition, reads back the files and the numbers it
# prints. Also what tests of binary formats share: reading a file, patching bytes, finding a program.
package USDT::Build;
use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use POSIX      ();

our @EXPORT_OK = qw(@PLATFORMS definition build_dof build_elf build_stub here must_be_here try_build
    run peek poke find_program number);

# Every platform the library describes (design.md): operating system, architecture.
our @PLATFORMS = (
    ['linux', 'x86_64'],   ['linux', 'i386'], ['linux', 'arm64'],
    ['macos', 'x86_64'],   ['macos', 'i386'], ['macos', 'arm64'],
    ['freebsd', 'x86_64'], ['freebsd', 'i386'],
    ['illumos', 'x86_64'], ['illumos', 'i386'],
);

my @RUNNER    = split ' ', $ENV{USDT_TEST_RUNNER} // '';
my $PROGRAM   = ($ENV{O} // '.') . '/build/usdt_build';
my $NOT_HERE  = 3;    # usdt_build --help
my $DIRECTORY = File::Temp->newdir;
my $serial    = 0;

# definition('prov', 'module', [func, name, type...], undef, ...): undef is a slot that is not used.
sub definition {
    my ($provider, $module, @slots) = @_;
    return join '', map { "$_\n" } "$provider\t$module", map { $_ ? join("\t", @$_) : '-' } @slots;
}

# A 64-bit address as usdt_build takes it.
sub number { return sprintf '0x%x', $_[0] }

# run({ in => text }, command...): exit code (-1 if it was killed), standard output, standard error.
sub run {
    my ($given, @command) = @_;
    my $base = "$DIRECTORY/run" . ++$serial;
    _write("$base.in", $given->{in} // '');
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<', "$base.in"  or POSIX::_exit(126);
        open STDOUT, '>', "$base.out" or POSIX::_exit(126);
        open STDERR, '>', "$base.err" or POSIX::_exit(126);
        { no warnings 'exec'; exec { $command[0] } @command; }
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    my $code = $? & 127 ? -1 : $? >> 8;
    my @text = map { _read("$base.$_") } qw(out err);
    unlink map { "$base.$_" } qw(in out err);
    return ($code, @text);
}

# Runs usdt_build: exit code, message, then a hash for each file it wrote, with the bytes and the
# numbers it printed.
sub try_build {
    my ($input, $what, @arguments) = @_;
    my $prefix = "$DIRECTORY/out" . ++$serial;
    my ($code, $out, $err) = run({ in => $input }, @RUNNER, $PROGRAM, $what, @arguments, $prefix);
    my @files;
    for my $line (split /\n/, $out) {
        my ($file, @values) = split ' ', $line;
        push @files, { bytes => _read($file), map { split /=/, $_, 2 } @values };
        unlink $file;
    }
    return ($code, $err, @files);
}

# The three kinds of file. They die unless usdt_build succeeded.
sub build_dof {
    my ($system, $arch, $text, $dof, $input) = @_;
    return _must($input, 'dof', $system, $arch, number($text), number($dof));
}

sub build_elf {
    my ($system, $arch, $direct, $input) = @_;
    return (_must($input, 'elf', $system, $arch, $direct))[0];
}

sub build_stub {
    my ($system, $arch) = @_;
    return (_must('', 'stub', $system, $arch))[0];
}

# Can this usdt_build describe the platform? It depends on the templates that the machine assembles.
sub here {
    my ($system, $arch) = @_;
    my ($code, $err) = try_build('', 'stub', $system, $arch);
    die "usdt_build stub $system $arch: exit $code: $err" if $code != 0 && $code != $NOT_HERE;
    return $code == 0;
}

# An x86 assembler takes every template, and each its own.
sub must_be_here {
    my ($system, $arch) = @_;
    my ($made_for) = ($ENV{B} // (POSIX::uname())[4]) =~ m{([^/]+)$};
    return $made_for =~ /^(?:x86_64|amd64|i\d86)$/ || $made_for eq $arch;
}

sub _must {
    my ($input, $what, @arguments) = @_;
    my ($code, $err, @files) = try_build($input, $what, @arguments);
    die "usdt_build $what @arguments: exit $code: $err" if $code || !@files;
    return @files;
}

# peek($bytes, offset, template) and poke($bytes, offset, template, value...) at a place.
sub peek {
    my ($bytes, $offset, $template) = @_;
    return unpack "\@$offset $template", $bytes;
}

sub poke {
    my ($bytes, $offset, $template, @values) = @_;
    my $new = pack $template, @values;
    die 'poke: outside' if $offset < 0 || $offset + length $new > length $bytes;
    substr $bytes, $offset, length $new, $new;
    return $bytes;
}

# The path of a program, or nothing.
sub find_program {
    my ($name) = @_;
    my ($found) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH} // '';
    return $found;
}

sub _read {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/;
    return scalar(<$file>) // '';
}

sub _write {
    my ($path, $bytes) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print {$file} $bytes or die "$path: $!";
    close $file          or die "$path: $!";
    return;
}

1;
