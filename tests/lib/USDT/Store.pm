# USDT::Store - what the tests of the store share: directories of their own, programs that publish a
# known definition, what its image must be, and programs that are stopped in the middle of a command.
package USDT::Store;
use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use File::Temp ();
use IO::Handle;
use IPC::Open2;
use USDT::Program;
use USDT::Tracer;
no warnings 'portable'; # addresses have 64 bits

our @EXPORT = qw(runtime_dir files read_file defined_in enabled_in pristine wrong_files wrong_mappings unused kinds
    no_stepper step);

my $stepper = ($ENV{B} // '.') . '/tests/stepper';

# A definition: what test_usdt is told to have it, up to `enable`. Each makes one image, named store-*.
my %definitions = (
    one   => [[qw(provider p store mod)], [qw(probe a func a int)], [qw(add p a)]],
    other => [[qw(provider p store mod)], [qw(probe b func b long)], [qw(add p b)]],
    extra => [[qw(provider p store mod)], [qw(probe x func x), 'char *'], [qw(add p x)]],
    big   => [[qw(provider p store mod)], [qw(many p 3000)]],
);
my $final = qr/^[\w.-]+-[0-9a-f]{40}\.so$/;

sub runtime_dir { my $dir = File::Temp->newdir; chmod 0700, $dir; return $dir }

# What is in the directory of the images.
sub files {
    my ($dir) = @_;
    opendir my $list, "$dir/usdt" or return;
    my @files = sort grep { !/^\.\.?$/ } readdir $list;
    return @files;
}

sub read_file {
    my ($path) = @_;
    open my $file, '<:raw', $path or return;
    local $/;
    return scalar(<$file>) // '';
}

# A program that has defined its probes and enabled none.
sub defined_in {
    my ($dir, $definition) = @_;
    my $program = USDT::Program->new(env => { XDG_RUNTIME_DIR => "$dir" });
    $program->ok(@$_) for @{ $definitions{ $definition // 'one' } };
    return $program;
}

# And one that has; what `enable` said is its notice.
sub enabled_in {
    my ($dir, $definition) = @_;
    my $program = defined_in($dir, $definition);
    $program->{notice} = $program->ok('enable', 'p');
    return $program;
}

# The names and bytes of the images of these definitions, as a program makes them that is alone.
my %pristine;
sub pristine {
    my (@wanted) = @_;
    return map {
        $pristine{$_} //= do {
            my $dir = runtime_dir();
            my $program = enabled_in($dir, $_);
            +{ map { ($_ => read_file("$dir/usdt/$_")) } files($dir) };
        };
        %{ $pristine{$_} };
    } @wanted ? @wanted : sort keys %definitions;
}

# Files that do not hold what their name promises.
sub wrong_files {
    my ($dir, %images) = @_;
    %images = pristine() if !%images;
    my @wrong;
    for my $name (grep { /$final/ } files($dir)) {
        my $bytes = read_file("$dir/usdt/$name") // next; # gone since
        push @wrong, !defined $images{$name} ? "$name: nobody's image" : "$name: other content"
            if !defined $images{$name} || $images{$name} ne $bytes;
    }
    return @wrong;
}

# What is wrong with what a program has mapped: it must be the image of its definition, from this directory.
sub wrong_mappings {
    my ($dir, $program, $definition) = @_;
    my %images = pristine($definition // 'one');
    my ($name) = (keys %images);
    my @maps = grep { m{r-xp .*(?:/usdt|memfd:usdt)} && !m{/test_usdt} } $program->maps;
    return 'it has mapped ' . join(' ', @maps) . ", not $dir/usdt/$name"
        if @maps != 1 || $maps[0] !~ m{^([0-9a-f]+)-([0-9a-f]+) .* \Q$dir/usdt/$name\E$};
    my ($from, $length) = (hex $1, hex($2) - hex $1);
    open my $memory, '<:raw', '/proc/' . $program->pid . '/mem' or return "its memory: $!";
    sysseek $memory, $from, 0;
    my $bytes = '';
    sysread $memory, $bytes, $length;
    my $want = substr $images{$name} . "\0" x 65536, 0, $length;
    return 'it has other bytes in memory' if $bytes ne $want;
    # The kernel writes "(deleted)" behind the name of a file that is gone, but for one that overlayfs shows.
    return "$name is gone from under it" if !-e "$dir/usdt/$name";
    return ();
}

# Files that none of these programs has mapped.
sub unused {
    my ($dir, @programs) = @_;
    my %used = map { ($_->{path} => 1) } map { $_->images } @programs;
    return grep { !$used{"$dir/usdt/$_"} } files($dir);
}

# What a program that was killed has left, in words, for counting.
sub kinds {
    my ($dir) = @_;
    my %images = pristine();
    return 'no directory' if !-d "$dir/usdt";
    my %of = (final => [], temporary => []);
    push @{ $of{ /$final/ ? 'final' : 'temporary' } }, $_ for files($dir);
    return 'no file' if !map { @$_ } values %of;
    my @words;
    for my $name (@{ $of{temporary} }) {
        my $size = -s "$dir/usdt/$name";
        my $whole = grep { length $_ == ($size || 0) } values %images;
        push @words, !$size ? 'an empty temporary file' : !$whole ? 'a half-written temporary file'
            : (stat "$dir/usdt/$name")[3] > 1 ? 'a file under both names' : 'a complete temporary file';
    }
    push @words, 'a file' if @{ $of{final} } && !grep { /both/ } @words;
    return join ' and ', sort @words;
}

# ---- a program stopped after so many system calls of a command (tests/stepper.c) ----

# Why that cannot be done here, or ''.
sub no_stepper {
    return 'stepper needs Linux' if !-x $stepper;
    return USDT::Tracer::emulated('ptrace') if USDT::Tracer::emulated('ptrace');
    return $> == 0 ? '' : 'only root can stop any program';
}

# Sends a command and kills the program, or lets it wait, after so many system calls. Returns an object,
# or undef if the command had fewer: then the reply has come.
sub step {
    my ($how, $calls, $program, @command) = @_;
    my $pid = open2(my $from, my $to, $stepper, $program->pid, $calls, $how);
    my $self = bless { pid => $pid, from => $from, to => $to }, 'USDT::Store::Stopped';
    my $line = readline $from;
    ($line // '') eq "attached\n" or croak 'stepper: ' . ($line // 'no word');
    $program->send(@command);
    $line = readline $from;
    if (($line // '') =~ /^replied/) {
        $program->{last_reply} = $program->receive;
        return;
    }
    ($line // '') =~ /^stopped (\d+)/ or croak 'stepper: ' . ($line // 'no word');
    $self->{call} = $1;
    if ($how eq 'kill') {
        ($line = readline $from) eq "ended\n" or croak "stepper: $line";
        $program->quit;
    }
    return $self;
}

package USDT::Store::Stopped;

# Lets a program that waits go on.
sub release {
    my ($self) = @_;
    my $to = delete $self->{to} or return;
    local $SIG{PIPE} = 'IGNORE';
    print {$to} "go\n";
    close $to;
    waitpid $self->{pid}, 0;
}

sub DESTROY { local ($?, $@, $!); $_[0]->release }

1;
