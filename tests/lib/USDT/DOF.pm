# Reads a document in the DTrace Object Format and judges it as the kernels do. Written from the
# layouts of <sys/dtrace.h> and the rules of facts/dof.md, knowing nothing of the library's sources.
# Bytes that are not a document are a violation, never a death.
package USDT::DOF;
use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(STRTAB PROVIDER PROBES PRARGS PROFFS PRENOFFS LOAD);

use constant {
    # <sys/dtrace.h> DOF_SECT_*: the kinds of section a provider is made of.
    STRTAB => 8, PROVIDER => 15, PROBES => 16, PRARGS => 17, PROFFS => 18, PRENOFFS => 26,
    LOAD             => 1,     # DOF_SECF_LOAD
    HEADER_SIZE      => 64,    # dof_hdr_t
    SECTION_SIZE     => 32,    # dof_sec_t
    PROBE_SIZE       => 48,    # dof_probe_t
    PROVIDER_SIZE    => 44,    # dof_provider_t
    PROVIDER_SIZE_V1 => 40,    # without dofpv_prenoffs, which version 2 added
    DIF_VERSION      => 2,     # DIF_VERSION_2
    REGISTERS        => 8,     # DIF_DIR_NREGS, DIF_DTR_NREGS
    STABILITY_MAX    => 7,     # DTRACE_STABILITY_MAX
    CLASS_MAX        => 5,     # DTRACE_CLASS_MAX
    REACH            => (1 << 31) + 2,    # of an int32 offset, and what XNU adds
};

# The members of the structures, in their order; of the header, those after the identification.
my ($HEADER,   @HEADER)   = ('L<4 Q<4', qw(flags hdrsize secsize secnum secoff loadsz filesz pad));
my ($SECTION,  @SECTION)  = ('L<4 Q<2', qw(type align flags entsize offset size));
my ($PROVIDER, @PROVIDER) = ('L<*', qw(strtab probes prargs proffs name
    provattr modattr funcattr nameattr argsattr prenoffs));
my $PROBE = 'Q< L<6 C2 S< L< S<2 L<';

my %KIND = (
    STRTAB, 'string table', PROVIDER, 'provider', PROBES, 'probes', PRARGS, 'argument map',
    PROFFS, 'offsets', PRENOFFS, 'is-enabled offsets',
);
my %ATTRIBUTES = (
    provider => 'provattr', module => 'modattr', function => 'funcattr', name => 'nameattr',
    args     => 'argsattr',
);

# What a section's contents need: bytes an entry, and the alignment of their widest member.
my %ENTRY = (PROBES, PROBE_SIZE, PRARGS, 1, PROFFS, 4, PRENOFFS, 4);
my %ALIGN = (PROVIDER, 4, PROBES, 8, PROFFS, 4, PRENOFFS, 4);

# facts/dof.md: the versions taken, the size that loadsz must stay below, the first version whose
# is-enabled offsets count, the provider names that cannot be used.
my %SYSTEM = (
    linux   => { versions => [1 .. 3], below => 256 << 20, enabled => 3, reserved => [qw(pid)] },
    macos   => { versions => [3],      below => 512 << 10, enabled => 2, reserved => [qw(pid objc oneshot)] },
    freebsd => { versions => [1, 2],   below => 8 << 20,   enabled => 2, reserved => [qw(pid)] },
    illumos => { versions => [1, 2],   below => 8 << 20,   enabled => 2, reserved => [qw(pid)] },
);
my %MODEL = (x86_64 => 2, arm64 => 2, i386 => 1);    # DOF_MODEL_LP64, DOF_MODEL_ILP32

# Longest strings in bytes, without the NUL: DTRACE_PROVNAMELEN and its fellows count it. A provider
# name has to leave room for the pid that the kernel appends to it, 10 digits.
my %LONGEST = (provider => 63, function => 127, probe => 63, type => 127);
my $LONGEST_WITH_PID = 53;

my $NAME     = qr/\A[A-Za-z_][A-Za-z0-9_.-]*\z/;
my %GOOD     = map { my $more = $LONGEST{$_} - 1; $_ => qr/\A[A-Za-z_][A-Za-z0-9_.-]{0,$more}\z/ }
    qw(function probe);
my $IDENTITY = pack 'C*', 0 .. 255;

# parse($bytes, system => .., arch => .., dof => address, text => [first, last + 1]) returns
#   header    { magic model encoding version difvers difireg diftreg ident flags hdrsize ... pad }
#   sections  [ { index type align flags entsize offset size } ]
#   provider  { name, attributes => { provider => [name, data, class, 0], ... }, section indices }
#   probes    [ { addr function name native translated map offsets enabled_offsets pcs enabled_pcs
#                 pad } ]
# dof, the document's own address, is needed on macOS only, where program counters count from it; text,
# if given, is where they have to be.
sub parse {
    my ($class, $bytes, %given) = @_;
    my $self = bless {
        system => $given{system}, arch => $given{arch}, dof => $given{dof} // 0, text => $given{text},
        bytes  => \$bytes, size => length $bytes, header => {}, sections => [], provider => undef,
        probes => [], faults => [], broken => {},
    }, $class;
    $self->_read_header && $self->_read_sections && $self->_read_provider && $self->_read_probes;
    return $self;
}

# The rules that are broken, a string each with the first place where; none if the kernel of that
# system takes the document and every probe in it works.
sub violations {
    my ($self, $system, $arch) = @_;
    $system //= $self->{system};
    $arch   //= $self->{arch};
    local $self->{faults} = [@{ $self->{faults} }];
    local $self->{broken} = { %{ $self->{broken} } };
    $self->_check_header($system, $arch)   if exists $self->{header}{pad};
    $self->_check_provider($system)        if $self->{provider};
    $self->_check_probes($system, $arch)   if $self->{provider};
    return @{ $self->{faults} };
}

# The program counters of a probe's offsets, and those of its is-enabled offsets; undef where the sum is
# no address. The kernels add to dofpr_addr. XNU adds to the document's address, and on x86 moves to
# the first nop: one byte back, or two on, past the xor.
sub program_counters {
    my ($self, $probe, $system, $arch) = @_;
    my $xnu  = $system eq 'macos';
    my $base = $xnu ? $self->{dof} : $probe->{addr};
    my ($site, $enabled) = $xnu && $arch ne 'arm64' ? (-1, 2) : (0, 0);
    my $last = $arch eq 'i386' ? 0xffffffff : ~0;
    # Far enough from both ends no sum can leave the address space; this is for speed only.
    return ([map { $base + $_ + $site } @{ $probe->{offsets} }],
        [map { $base + $_ + $enabled } @{ $probe->{enabled_offsets} }])
        if $base > REACH && $base < $last - REACH;
    return ([map { _address($base, $_ + $site, $last) } @{ $probe->{offsets} }],
        [map { _address($base, $_ + $enabled, $last) } @{ $probe->{enabled_offsets} }]);
}

# The document with the bytes of its headers and sections made zero: what no part accounts for.
sub unaccounted {
    my ($self) = @_;
    my $left = ${ $self->{bytes} };
    my $header = $self->{header};
    my @parts = ([0, HEADER_SIZE], [$header->{secoff}, $header->{secnum} * SECTION_SIZE],
        map { [@{$_}{qw(offset size)}] } @{ $self->{sections} });
    substr $left, $_->[0], $_->[1], "\0" x $_->[1] for @parts;
    return $left;
}

# The contents of a section.
sub contents {
    my ($self, $section) = @_;
    return substr ${ $self->{bytes} }, $section->{offset}, $section->{size};
}

# ---------------------------------------------------------------------------------------------------
# Reading. Each returns false where nothing further can be read.

sub _bad {
    my ($self, $rule, $text) = @_;
    push @{ $self->{faults} }, $text unless $self->{broken}{$rule}++;
    return 0;
}

# Without the help of floating point, which a sum of two 64-bit numbers may need.
sub _address {
    my ($base, $offset, $last) = @_;
    return $base < -$offset ? undef : $base + $offset if $offset < 0 && $base <= $last;
    return $base > $last || $offset > $last - $base ? undef : $base + $offset;
}

sub _read_header {
    my ($self) = @_;
    return $self->_bad(short => "the document is $self->{size} bytes, its header alone 64")
        if $self->{size} < HEADER_SIZE;
    my ($header, $bytes) = @{$self}{qw(header bytes)};
    @{$header}{qw(magic model encoding version difvers difireg diftreg ident)} =
        unpack 'a4 C6 a6', $$bytes;
    @{$header}{@HEADER} = unpack "\@16 $HEADER", $$bytes;
    return $self->_bad(magic => 'the magic number is not 7F D O F') if $header->{magic} ne "\x7fDOF";
    return $self->_bad(encoding => "encoding $header->{encoding}, not 1 (LSB)")
        if $header->{encoding} != 1;
    return $self->_bad(loadsz => "loadsz $header->{loadsz} is below 64")
        if $header->{loadsz} < HEADER_SIZE;
    return 1;
}

sub _read_sections {
    my ($self) = @_;
    my ($header, $bytes) = @{$self}{qw(header bytes)};
    my $end = $header->{loadsz} < $self->{size} ? $header->{loadsz} : $self->{size};
    my ($at, $count) = @{$header}{qw(secoff secnum)};
    return $self->_bad(secsize => "section headers are $header->{secsize} bytes, not 32")
        if $header->{secsize} != SECTION_SIZE;
    return $self->_bad(secbounds => "$count section headers at $at reach beyond $end")
        if $at > $end || $count * SECTION_SIZE > $end - $at;
    return $self->_bad(secoff => "section headers are at $at, not a multiple of 8") if $at % 8;
    my $sound = 1;
    for my $i (0 .. $count - 1) {
        my %section = (index => $i);
        @section{@SECTION} = unpack $SECTION, substr $$bytes, $at + $i * SECTION_SIZE, SECTION_SIZE;
        push @{ $self->{sections} }, \%section;
        $sound &= $self->_judge_section(\%section, $end);
    }
    return $sound;
}

# A section that is not of a provider and not to be loaded is ignored by the kernels.
sub _judge_section {
    my ($self, $section, $end) = @_;
    my ($i, $type, $align, $flags, $offset, $size) = @{$section}{qw(index type align flags offset size)};
    my $kind = $KIND{$type};
    return 1 if !$kind && !($flags & LOAD);
    $kind //= "type $type";
    $self->_bad(load => "section $i ($kind) is not flagged to be loaded") if !($flags & LOAD);
    return $self->_bad(bounds => "section $i ($kind) reaches beyond $end")
        if $offset > $end || $size > $end - $offset;
    if ($align == 0 || $align & ($align - 1)) {
        $self->_bad(power => "section $i ($kind) has alignment $align, not a power of two");
    } elsif ($offset % $align) {
        $self->_bad(aligned => "section $i ($kind) is at $offset, not a multiple of its alignment $align");
    }
    return $self->_bad(nul => "section $i ($kind) does not end with a NUL")
        if $type == STRTAB && substr($self->contents($section), -1) ne "\0";
    return 1;
}

# A section that the provider uses: its entries, and whether their members are aligned where it is.
sub _judge_entries {
    my ($self, $section) = @_;
    my ($i, $type, $offset, $size) = @{$section}{qw(index type offset size)};
    my ($kind, $entry, $align) = ($KIND{$type}, $ENTRY{$type}, $ALIGN{$type});
    $self->_bad(natural => "section $i ($kind) is at $offset, not a multiple of $align")
        if $align && $offset % $align;
    return $self->_bad(entsize => "section $i ($kind) has entries of $section->{entsize} bytes, not $entry")
        if $entry && $section->{entsize} != $entry;
    return $self->_bad(entries => "section $i ($kind) is $size bytes, not a multiple of $entry")
        if $entry && $size % $entry;
    return 1;
}

sub _read_provider {
    my ($self) = @_;
    my @found = grep { $_->{type} == PROVIDER } @{ $self->{sections} };
    return $self->_bad(provider => 'there is no provider') if !@found;
    # The kernels take several; the library writes one, and one is what is read here.
    return $self->_bad(provider => 'there are ' . @found . ' providers') if @found > 1;
    my ($section) = @found;
    my $need = $self->{header}{version} == 1 ? PROVIDER_SIZE_V1 : PROVIDER_SIZE;
    return $self->_bad(short => "the provider is $section->{size} bytes, not $need")
        if $section->{size} < $need;
    my %provider = (prenoffs => 0);
    my @values = unpack $PROVIDER, substr $self->contents($section), 0, $need;
    @provider{ @PROVIDER[0 .. $#values] } = @values;

    my $sound = $self->_judge_entries($section);
    my $first = $self->{sections}[0];
    return $self->_bad(zero => 'section 0 is the is-enabled offsets, where 0 means none')
        if $first->{type} == PRENOFFS;
    for ([strtab => STRTAB], [probes => PROBES], [prargs => PRARGS], [proffs => PROFFS],
        $provider{prenoffs} ? [prenoffs => PRENOFFS] : ()) {
        my ($member, $type) = @$_;
        my $index = $provider{$member};
        my $to = $index < @{ $self->{sections} } ? $self->{sections}[$index] : { type => -1 };
        return $self->_bad(reference => "the provider's $KIND{$type} are in section $index, which is none")
            if $to->{type} != $type;
        $sound &= $self->_judge_entries($to);
    }
    my $table = $self->contents($self->{sections}[$provider{strtab}]);
    $provider{name} = _string(\$table, $provider{name})
        // return $self->_bad(string => 'the provider name is outside the string table');
    $provider{attributes} = { map { $_ => [reverse unpack 'C4', pack 'L<', $provider{ $ATTRIBUTES{$_} }] }
        keys %ATTRIBUTES };
    $self->{provider} = \%provider;
    return $sound;
}

# The string at an offset, or nothing; a table ends with a NUL.
sub _string {
    my ($table, $offset) = @_;
    return if $offset >= length $$table;
    return substr $$table, $offset, index($$table, "\0", $offset) - $offset;
}

# The strings that follow each other from an offset, or nothing.
sub _strings {
    my ($table, $offset, $count) = @_;
    my @strings;
    for (1 .. $count) {
        push @strings, _string($table, $offset) // return;
        $offset += 1 + length $strings[-1];
    }
    return \@strings;
}

sub _read_probes {
    my ($self) = @_;
    my $provider = $self->{provider};
    my ($table, $probes, $map, $sites, $enabled) = map { $self->contents($_) }
        @{ $self->{sections} }[@{$provider}{qw(strtab probes prargs proffs)}],
        $provider->{prenoffs} ? $self->{sections}[$provider->{prenoffs}] : { offset => 0, size => 0 };
    my $count = length($probes) / PROBE_SIZE;
    return $self->_bad(probes => 'there are no probes') if !$count;
    my ($system, $arch) = @{$self}{qw(system arch)};
    my $table_size = length $table;
    my %types;    # most probes share their list with others
    for my $i (0 .. $count - 1) {
        my ($addr, $func, $name, $nargv, $xargv, $argidx, $offidx, $nargc, $xargc, $noffs, $enoffidx,
            $nenoffs, @pad) = unpack $PROBE, substr $probes, $i * PROBE_SIZE, PROBE_SIZE;
        return $self->_bad(string => "probe $i: the function name is outside the string table")
            if $func >= $table_size;
        return $self->_bad(string => "probe $i: the name is outside the string table")
            if $name >= $table_size;
        my %probe = (
            addr => $addr, pad => \@pad,
            function => substr($table, $func, index($table, "\0", $func) - $func),
            name     => substr($table, $name, index($table, "\0", $name) - $name),
        );
        $probe{native} = $types{"$nargv $nargc"} //= _strings(\$table, $nargv, $nargc)
            // return $self->_bad(string => "probe $i: native types are outside the string table");
        $probe{translated} = $types{"$xargv $xargc"} //= _strings(\$table, $xargv, $xargc)
            // return $self->_bad(string => "probe $i: translated types are outside the string table");
        return $self->_bad(map => "probe $i: the argument map ends at " . ($argidx + $xargc) . ' of '
                . length $map) if $argidx + $xargc > length $map;
        $probe{map} = substr $map, $argidx, $xargc;
        return $self->_bad(offsets => "probe $i: offsets end at " . ($offidx + $noffs) . ' of '
                . length($sites) / 4) if 4 * ($offidx + $noffs) > length $sites;
        $probe{offsets} = [unpack 'l<*', substr $sites, 4 * $offidx, 4 * $noffs];
        # A document without is-enabled offsets has no section for them.
        ($enoffidx, $nenoffs) = (0, 0) if $self->{header}{version} == 1;
        return $self->_bad(enabled => "probe $i: is-enabled offsets end at " . ($enoffidx + $nenoffs)
                . ' of ' . length($enabled) / 4) if 4 * ($enoffidx + $nenoffs) > length $enabled;
        $probe{enabled_offsets} = [unpack 'l<*', substr $enabled, 4 * $enoffidx, 4 * $nenoffs];
        @probe{qw(pcs enabled_pcs)} = $self->program_counters(\%probe, $system, $arch);
        push @{ $self->{probes} }, \%probe;
    }
    return 1;
}

# ---------------------------------------------------------------------------------------------------
# Judging what was read, for a system.

sub _check_header {
    my ($self, $system, $arch) = @_;
    my $header = $self->{header};
    my ($version, $loadsz) = @{$header}{qw(version loadsz)};
    my $rules = $SYSTEM{$system};
    $self->_bad(version => "version $version, $system takes @{ $rules->{versions} }")
        if !grep { $_ == $version } @{ $rules->{versions} };
    $self->_bad(model => "model $header->{model}, $arch has $MODEL{$arch}")
        if $header->{model} != $MODEL{$arch};
    $self->_bad(difvers => "DIF version $header->{difvers}, not 2") if $header->{difvers} != DIF_VERSION;
    for (qw(difireg diftreg)) {
        $self->_bad(registers => "$_ is $header->{$_}, at most 8") if $header->{$_} > REGISTERS;
    }
    $self->_bad(ident => 'identification bytes 10 to 15 are not zero') if $header->{ident} =~ /[^\0]/;
    $self->_bad(flags => "flags $header->{flags}, not 0") if $header->{flags};
    if ($loadsz >= $rules->{below}) {
        $self->_bad(big => "loadsz $loadsz, $system takes less than $rules->{below}");
    } elsif ($loadsz > $self->{size}) {
        $self->_bad(big => "loadsz $loadsz, the document is $self->{size} bytes");
    }
    return;
}

sub _check_provider {
    my ($self, $system) = @_;
    my $name = $self->{provider}{name};
    my $length = length $name;
    $self->_bad(name => "provider name of $length bytes, at most $LONGEST_WITH_PID with the pid")
        if $length > $LONGEST_WITH_PID && $length <= $LONGEST{provider};
    $self->_check_name(provider => $name, 'provider');
    $self->_bad(name => "provider \"$name\" is reserved on $system")
        if grep { $_ eq $name } @{ $SYSTEM{$system}{reserved} };
    $self->_bad(name => "provider \"$name\" ends with a digit") if $name =~ /[0-9]\z/;
    for (sort keys %ATTRIBUTES) {
        my ($of_name, $of_data, $of_class) = @{ $self->{provider}{attributes}{$_} };
        $self->_bad(stability => "$_ stability $of_name/$of_data, at most 7")
            if $of_name > STABILITY_MAX || $of_data > STABILITY_MAX;
        $self->_bad(class => "$_ class $of_class, at most 5") if $of_class > CLASS_MAX;
    }
    return;
}

sub _check_name {
    my ($self, $kind, $name, $where) = @_;
    return $self->_bad("long $kind" => "$where: name of " . length($name) . " bytes, at most $LONGEST{$kind}")
        if length $name > $LONGEST{$kind};
    return $self->_bad("name $kind" => "$where: \"$name\" is no name") if $name !~ $NAME;
    return 1;
}

sub _check_probes {
    my ($self, $system, $arch) = @_;
    my $stored = $system eq ($self->{system} // '') && $arch eq ($self->{arch} // '');
    my $lost   = $self->{header}{version} < $SYSTEM{$system}{enabled};
    my ($low, $high) = @{ $self->{text} // [] };
    my (%types, %names, @addresses, @unordered);
    my $highest = -1;
    for my $i (0 .. $#{ $self->{probes} }) {
        my $probe = $self->{probes}[$i];
        my ($function, $name, $offsets, $enabled) = @{$probe}{qw(function name offsets enabled_offsets)};
        $self->_check_name(function => $function, "probe $i: function") if $function !~ $GOOD{function};
        $self->_check_name(probe => $name, "probe $i") if $name !~ $GOOD{probe};
        $self->_bad(twice => "probe $i: $function:$name is there already") if $names{"$function:$name"}++;
        my ($native, $translated, $map) = @{$probe}{qw(native translated map)};
        $self->_check_arguments($i, $probe, $system, $arch) if !$types{"$native$translated$map"}++;
        $self->_bad(none => "probe $i: no offset") if !@$offsets;
        $self->_bad(lost => "probe $i: is-enabled offsets are lost in version $self->{header}{version}")
            if $lost && @$enabled;
        # An uint32_t is added to dofpr_addr: nothing lies before it.
        $self->_bad(negative => "probe $i: an offset is beyond 2 GiB")
            if $system ne 'macos' && grep { $_ < 0 } @$offsets, @$enabled;
        my @pcs = $stored ? @{$probe}{qw(pcs enabled_pcs)} : $self->program_counters($probe, $system, $arch);
        for (@{ $pcs[0] }, @{ $pcs[1] }) {
            if (!defined) {
                $self->_bad(address => "probe $i: an offset leads out of the address space");
                next;
            }
            # Only what does not follow all the others can be one of them.
            if ($_ > $highest) {
                $highest = $_;
            } else {
                push @unordered, [$i, $_];
            }
            push @addresses, $_;
            $self->_bad(text => sprintf 'probe %d: 0x%x is outside the stubs', $i, $_)
                if defined $low && ($_ < $low || $_ >= $high);
        }
    }
    my %count;
    $count{$_}++ for @unordered ? @addresses : ();
    for (@unordered) {
        my ($i, $address) = @$_;
        $self->_bad(same => sprintf 'probe %d: 0x%x is there already', $i, $address) if $count{$address} > 1;
    }
    return;
}

sub _check_arguments {
    my ($self, $i, $probe, $system, $arch) = @_;
    for my $types (@{$probe}{qw(native translated)}) {
        my ($long) = grep { length $_ > $LONGEST{type} } @$types;
        $self->_bad(type => "probe $i: type of " . length($long) . " bytes, at most $LONGEST{type}") if $long;
        $self->_bad(type => "probe $i: empty type") if grep { $_ eq '' } @$types;
    }
    my ($map, $native) = ($probe->{map}, scalar @{ $probe->{native} });
    return 1 if $map eq substr($IDENTITY, 0, length $map) && length $map <= $native;
    my ($outside) = grep { $_ >= $native } unpack 'C*', $map;
    return $self->_bad(index => "probe $i: the argument map names argument $outside of $native")
        if defined $outside;
    my ($misread) = grep { $_ >= 6 } unpack 'C*', $map;
    return 1 if !defined $misread || $system !~ /freebsd|macos/ || "$system $arch" eq 'macos arm64';
    return $self->_bad(misread => "probe $i: the argument map names argument $misread, which $system misreads");
}

1;
