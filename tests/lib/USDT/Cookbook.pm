# USDT::Cookbook - what doc/cookbook.md has the reader type, and what it says is printed then.
#
# A block is ```console or ```dtrace. "$ " begins a command, "> " goes on with it; the other lines are what it prints.
package USDT::Cookbook;
use strict;
use warnings;
use File::Temp ();
use USDT::Build qw(run);

my $LIMIT = 60 * ($ENV{USDT_TEST_PATIENCE} // 1);    # seconds for a recipe

# The sections that have blocks of a kind: { title, steps => [{ command, prints => [lines] }] }.
sub sections {
    my ($kind) = @_;
    open my $file, '<', 'doc/cookbook.md' or die "doc/cookbook.md: $!";
    my (undef, @sections) = split /^## /m, do { local $/; <$file> };
    my @found;
    for my $section (@sections) {
        my @steps;
        while ($section =~ /^```$kind\n(.*?)^```$/msg) {
            for (split /\n/, $1) {
                if (/^\$ (.*)/) {
                    push @steps, { command => $1, prints => [] };
                } elsif (/^> (.*)/) {
                    $steps[-1]{command} .= "\n$1";
                } else {
                    push @{ $steps[-1]{prints} }, $_;
                }
            }
        }
        push @found, { title => $section =~ s/\n.*//sr, steps => \@steps } if @steps;
    }
    return @found;
}

# Has a shell run the commands of sections, one after the other, in a directory; what it has started ends with it.
# Adds to each step what it has printed: `printed`, and on standard error, `errors`.
sub type {
    my ($dir, @sections) = @_;
    my @steps = map { @{ $_->{steps} } } @sections;
    my $outputs = File::Temp->newdir;
    my $script = "cd $dir\n";
    $script .= "exec > $outputs/$_.out 2> $outputs/$_.err\n$steps[$_]{command}\n" for 0 .. $#steps;
    run({}, 'timeout', $LIMIT, 'bash', '-c', $script . 'kill -KILL 0'); # timeout has made a process group of its own
    for my $i (0 .. $#steps) {
        @{ $steps[$i] }{qw(printed errors)} = map {
            my $text = '';
            if (open my $file, '<', "$outputs/$i.$_") { local $/; $text = <$file> // '' }
            $text;
        } qw(out err);
    }
    return;
}

# Whether a step has printed what the cookbook says, whatever the numbers, the pages and the order: the kinds of line
# that are only in one of them.
sub differences {
    my ($step) = @_;
    my %printed = map { (shape($_) => $_) } split /\n/, $step->{printed};
    my %says = map { (shape($_) => $_) } @{ $step->{prints} };
    delete $_->{''} for \%printed, \%says;
    return ((map { "- $says{$_}" } grep { !defined $printed{$_} } sort keys %says),
        map { "+ $printed{$_}" } grep { !defined $says{$_} } sort keys %printed);
}

sub shape {
    my ($line) = @_;
    return '' if $line =~ /^\s*PID\s+PROBE/; # the header that `usdt list` has on a terminal
    $line =~ s/\|[@ ]*(\||(?=\d))/|/;        # a bar
    $line =~ s/\b0x[0-9a-f]+|\b[0-9a-f]{40}\b|(?<=\()[0-9a-f]{12}(?=\))|\d+(?:\.\d+)*(?:[KM]\b)?/N/g;
    $line =~ s{/(?:cart|report|missing)?(?=["\]\s]|$)}{PAGE}g;
    $line =~ s/\bAttach(?:ing|ed) N probes?(?:\.\.\.)?/Attached/;
    $line =~ s/\s+/ /g;
    return $line =~ s/^ | $//gr;
}

1;
