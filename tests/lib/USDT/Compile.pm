# USDT::Compile - what the tests that compile share: running commands, finding compilers, and asking
# readelf about what came out. Knows nothing of probes.
#
# Loading it takes what `make test` was called with (O, CC, CFLAGS, MAKEFLAGS ...) out of the
# environment, so that a make started by a test builds with what that test says and nothing else.
package USDT::Compile;
use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Spec;
use File::Temp ();
use POSIX ();
use Test::More;
use Text::ParseWords qw(shellwords);

our @EXPORT = qw($ROOT $OUT @CC @CFLAGS run start finish succeeds read_file write_file files_below tool_path
    need can_compile compilers cxx_of bits_of elf_arch functions_declared archive_members readelf_lines);

our $ROOT = abs_path(dirname(__FILE__) . '/../../..');
our $OUT = File::Spec->rel2abs($ENV{O} // '.', $ROOT);               # where make has put the library
our @CC = shellwords($ENV{CC} // '');                                # what it was built with
our @CFLAGS = shellwords($ENV{USDT_TEST_CFLAGS} // '');              # and with which flags

@CC = ('cc') if !@CC;
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CC CXX AR CFLAGS CPPFLAGS LDFLAGS O ARCH PREFIX
    DESTDIR LIBDIR INCLUDEDIR STRICT TESTS PROVE_FLAGS PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR)};
$ENV{LC_ALL} = 'C';

my $LIMIT = 300;    # seconds for one command; they take a few, on a machine that is busy more

# Starts a command; its output, standard and error in one, goes to a file until finish() takes it.
# Before the command, a hash of {dir => where to run it, env => {...}} may be given.
sub start {
    my $option = ref $_[0] ? shift : {};
    my @command = @_;
    open my $output, '+>', undef or die "temporary file: $!";
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        setpgrp;
        alarm $LIMIT;
        %ENV = (%ENV, %{ $option->{env} // {} });
        open STDIN, '<', File::Spec->devnull or POSIX::_exit(126);
        open STDOUT, '>&', $output or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
        chdir($option->{dir} // $ROOT) or POSIX::_exit(126);
        { no warnings 'exec'; exec { $command[0] } @command; }
        print {*STDERR} "$command[0]: $!\n";
        POSIX::_exit(127);
    }
    return { pid => $pid, output => $output, command => "@command" };
}

# Its exit status (negative: the signal that ended it) and its output.
sub finish {
    my ($job) = @_;
    waitpid $job->{pid}, 0;
    my $status = $? & 127 ? -($? & 127) : $? >> 8;
    kill 'KILL', -$job->{pid} if $status == -POSIX::SIGALRM();    # what it has started goes too
    my $output = $job->{output};
    seek $output, 0, 0;
    my $text = do { local $/; <$output> } // '';
    return ($status, $text);
}

sub run {
    return finish(start(@_));
}

# A test that passes when the command ends with 0; else its output is shown. Returns the output.
sub succeeds {
    my ($name, @command) = @_;
    my $job = start(@command);
    my ($status, $text) = finish($job);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($status == 0, $name) or diag("$job->{command}\nended with $status:\n$text");
    return $text;
}

# The bytes of a file, or undef.
sub read_file {
    my ($path) = @_;
    open my $file, '<:raw', $path or return undef;
    local $/;
    return scalar(<$file>) // '';
}

sub write_file {
    my ($path, $text, $mode) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print $file $text;
    close $file or die "$path: $!";
    chmod $mode, $path or die "$path: $!" if defined $mode;
    return $path;
}

# Every file and symbolic link below a directory, as sorted names relative to it; no directories.
sub files_below {
    my ($top, $below) = @_;
    my $dir = defined $below ? "$top/$below" : $top;
    opendir my $list, $dir or return;
    my @found;
    for my $name (grep { !/^\.\.?$/ } readdir $list) {
        my $relative = defined $below ? "$below/$name" : $name;
        push @found, -d "$dir/$name" && !-l "$dir/$name" ? files_below($top, $relative) : $relative;
    }
    return sort @found;
}

# Where a program is, or undef.
sub tool_path {
    my ($name) = @_;
    return -x $name ? $name : undef if $name =~ m{/};
    for my $dir (File::Spec->path) {
        return "$dir/$name" if -f "$dir/$name" && -x _;
    }
    return undef;
}

# True if `have`; else this is skipped with the reason. With USDT_TEST_STRICT set, what CI is known to
# have (the compilers and -m32) must be there, and to lack it is a failure.
sub need {
    my ($have, $what, $reason) = @_;
    return 1 if $have;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    if (($ENV{USDT_TEST_STRICT} // '') ne '' && $what =~ /^(?:gcc|clang|g\+\+|.*-m32)$/) {
        fail("$what is there to be tested: $reason");
        return 0;
    }
    SKIP: { skip("$what: $reason", 1) }
    return 0;
}

# Whether a compiler makes a program of a trivial source with these flags; asked once each.
my %can;
sub can_compile {
    my ($compiler, @flags) = @_;
    return $can{"$compiler @flags"} //= do {
        my $dir = File::Temp->newdir;
        my $source = write_file("$dir/trivial.c", "int main(void) { return 0; }\n");
        my ($status) = tool_path($compiler) ? run($compiler, @flags, '-o', "$dir/trivial", $source) : 127;
        $status == 0 ? 1 : 0;
    };
}

# Those of the compilers named that work; the others are skipped with the reason, or fail.
sub compilers {
    return grep { need(can_compile($_), $_, tool_path($_) ? 'cannot link a program' : 'not installed') } @_;
}

# The C++ compiler that belongs to a C compiler.
sub cxx_of {
    my ($cc) = @_;
    my ($dir, $base) = $cc =~ m{^(.*/)?([^/]*)$};
    $base =~ s/\bclang\b/clang++/ || $base =~ s/\bgcc\b/g++/ || $base =~ s/^cc$/c++/;
    return ($dir // '') . $base;
}

# 32 or 64, of an ELF file or an archive of them.
sub bits_of {
    my ($path) = @_;
    my (undef, $text) = run('readelf', '-h', $path);
    return $text =~ /Class:\s+ELF(\d+)/ ? $1 : 0;
}

# The library's name for this machine's processor.
sub elf_arch {
    my (undef, $machine) = run('uname', '-m');
    chomp $machine;
    my %ours = (amd64 => 'x86_64', aarch64 => 'arm64');
    return $machine =~ /^i\d86$/ ? 'i386' : $ours{$machine} // $machine;
}

# The functions that usdt.h declares with USDT_API.
sub functions_declared {
    my $header = read_file("$ROOT/usdt.h") // die "usdt.h: $!";
    $header =~ s{/\*.*?\*/}{}gs;
    $header =~ s/^\s*#\s*define\b.*?(?<!\\)\n//gms;
    my %seen;
    $seen{$1}++ while $header =~ /\bUSDT_API\b[^;{]*?\b(\w+)\s*\(/g;
    return sort keys %seen;
}

sub archive_members {
    my ($path) = @_;
    my (undef, $text) = run('ar', 't', $path);
    return sort split /\n/, $text;
}

sub readelf_lines {
    my ($option, $path) = @_;
    my ($status, $text) = run('readelf', '-W', $option, $path);
    die "readelf $option $path: $text" if $status != 0;
    return split /\n/, $text;
}

1;
