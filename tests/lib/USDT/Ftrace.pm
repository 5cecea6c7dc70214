# USDT::Ftrace - the kernel's own tracer: uprobe events with arguments, read in an instance of our own.
package USDT::Ftrace;
use strict;
use warnings;
use Carp qw(croak);
use USDT::Program;
use USDT::Tracer;

my $instances = 0;

sub new {
    my ($class) = @_;
    my $dir = USDT::Tracer::tracefs() // croak 'no tracefs';
    my $name = "usdt_test_${\ $$}_" . $instances++;
    mkdir "$dir/instances/$name" or croak "$dir/instances/$name: $!";
    return bless { dir => $dir, name => $name, instance => "$dir/instances/$name", events => [] }, $class;
}

sub put {
    my ($mode, $file, $text) = @_;
    open my $to, $mode, $file or croak "$file: $!";
    defined syswrite $to, $text or croak "$file: $text: $!";
    close $to;
}

# Where argument $i of a C function is at a probe's site, for the fetch expressions of uprobe_events. For a
# processor, or for the programs of so many bits.
sub place {
    my ($for, $i) = @_;
    my $arch = $for eq '32' ? 'i386' : $for eq '64' ? USDT::Program::native_arch() : $for;
    return sprintf '+%d(%%sp)', 4 * $i if $arch eq 'i386';
    my @registers = $arch eq 'arm64' ? map { "%x$_" } 0 .. 7
        : ('%di', '%si', '%dx', '%cx', '%r8', '%r9');
    return $registers[$i] // sprintf '+%d(%%sp)', 8 * ($i - @registers);
}

# Watches an offset of a file; each fetch expression is shown as a0, a1, ... The offset may be "site(semaphore)".
sub watch {
    my ($self, $event, $file, $offset, @fetch) = @_;
    my $n = 0;
    my $args = join ' ', map { 'a' . $n++ . "=$_" } @fetch;
    put('>>', "$self->{dir}/uprobe_events",
        sprintf "p:%s/%s %s:%s %s\n", $self->{name}, $event, $file, $offset, $args);
    push @{ $self->{events} }, $event;
}

sub start { my ($self) = @_; put('>', "$self->{instance}/events/$self->{name}/enable", "1\n") }

# All hits so far, oldest first: { event, pid, args => [...] }; strings come without their quotes.
sub hits {
    my ($self) = @_;
    open my $trace, '<', "$self->{instance}/trace" or croak $!;
    my @hits;
    while (my $line = <$trace>) {
        my ($pid, $event, $rest) =
            $line =~ /^\s*\S.*?-(\d+)\s+\[\d+\].*?\d+\.\d+: (\w+): \(\S+\)\s?(.*)$/ or next;
        my @args;
        push @args, $1 // $2 while $rest =~ /\ba\d+=(?:"(.*?)"(?= a\d+=|$)|(\S+))/g;
        push @hits, { event => $event, pid => $pid, args => \@args };
    }
    return @hits;
}

sub stop {
    my ($self) = @_;
    my $instance = delete $self->{instance} or return;
    eval { put('>', "$instance/events/$self->{name}/enable", "0\n") } if @{ $self->{events} };
    rmdir $instance;
    put('>>', "$self->{dir}/uprobe_events", "-:$self->{name}/$_\n") for @{ $self->{events} };
}

sub DESTROY { local ($?, $@, $!); eval { $_[0]->stop } }

1;
