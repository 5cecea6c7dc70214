# USDT::Image - the image a program has published: its file, and where its probes are in it.
package USDT::Image;
use strict;
use warnings;
use Carp qw(croak);
use USDT::ELF;

# The one image that the program has mapped, or that of the given provider.
sub of {
    my ($class, $program, $provider) = @_;
    my @images = $program->images;
    @images = grep { $_->{path} =~ m{/\Q$provider\E-[0-9a-f]{40}\.so$} } @images if defined $provider;
    croak 'the program has ' . @images . ' images: ' . join ' ', map { $_->{path} } @images if @images != 1;
    return $class->new(%{ $images[0] });
}

sub new {
    my ($class, %image) = @_;
    open my $file, '<:raw', $image{path} or croak "$image{path}: $!";
    local $/;
    $image{elf} = USDT::ELF->parse(scalar <$file>);
    return bless \%image, $class;
}

sub path    { $_[0]{path} }
sub address { $_[0]{address} }

# Offset of a probe's site in the file.
sub site {
    my ($self, $name) = @_;
    my @notes = grep { $_->{name} eq $name } @{ $self->{elf}{notes} };
    croak @notes . " notes for $name" if @notes != 1;
    return $notes[0]{site};
}

1;
