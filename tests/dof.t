# The DOF documents of every platform, read by USDT::DOF: what was put in is in them, no kernel's rule
# is broken, too much is split; and the reader sees each rule broken when it is.
use strict;
use warnings;
no warnings 'portable';    # addresses are 64 bits wide

use Test::More;
use USDT::Build qw(@PLATFORMS definition build_dof build_stub try_build here must_be_here peek poke number);
use USDT::DOF qw(STRTAB PROVIDER PROBES PRARGS PROFFS PRENOFFS LOAD);

# Where the first stub is, and the document: a 32-bit address above 2 GiB, a 64-bit one above 4 GiB.
sub text { return $_[0] eq 'i386' ? 0xb7700000 : 0x7f1234567000 }
sub dof_at { return text($_[0]) - 0x345000 }

sub parse {
    my ($bytes, $system, $arch, %more) = @_;
    return USDT::DOF->parse($bytes, system => $system, arch => $arch, dof => dof_at($arch), %more);
}

my $NAME_53 = 'p' x 53;     # leaves room for a pid in DTRACE_PROVNAMELEN
my @SIX = ('int', 'char *', 'uint8_t', 'long', 'const struct foo *', 'size_t');
my @SLOTS = (
    ['main', 'zero'],
    ['main', 'one', 'int'],
    undef,
    ['main', 'two', 'char *', 'int'],
    ['read-all', 'six', @SIX],
    ['read.all', 'twelve', map { "type_${_}_t" } 1 .. 12],
    undef,
    ['f' x 127, 'n' x 63, map { ('t' x 125) . sprintf '%02d', $_ } 1 .. 32],
    ['one', 'zero', @SIX],     # strings that are there already
    ['_', '_x', 'int'],
);

my @here;
for (@PLATFORMS) {
    my ($system, $arch) = @$_;
    if (here($system, $arch)) {
        push @here, $_;
    } elsif (must_be_here(@$_)) {
        fail "$system $arch is described here: an x86 assembler takes every template, and each its own";
    } else {
        SKIP: { skip "$system $arch: this machine's assembler has no template of it", 1 }
    }
}

# The first probe site and is-enabled site of a stub that starts at 0.
my %stub = map { ("@$_" => build_stub(@$_)) } @here;

sub expected_probes {
    my ($platform, $text, $size, @slots) = @_;
    my $stub = $stub{$platform};
    my @expected;
    for my $i (0 .. $#slots) {
        my ($function, $name, @types) = @{ $slots[$i] // next };
        push @expected, {
            function => $function, name => $name, native => \@types, translated => \@types,
            map => join('', map { chr } 0 .. $#types), pad => [0, 0],
            pcs => [$text + $i * $size + $stub->{site}],
            enabled_pcs => [$text + $i * $size + $stub->{isenabled_site}],
        };
    }
    return @expected;
}

for (@here) {
    my ($system, $arch) = @$_;
    subtest "$system $arch: the document holds what was defined" => sub { check_small($system, $arch) };
}

sub check_small {
    my ($system, $arch) = @_;
    my $text = text($arch);
    my ($file, @others) =
        build_dof($system, $arch, $text, dof_at($arch), definition($NAME_53, 'mod', @SLOTS));
    is scalar @others, 0, 'a provider that fits is one document';
    is "$file->{first} $file->{next}", '0 ' . @SLOTS, 'which covers every slot';

    my $size = $file->{stub};
    my $doc = parse($file->{bytes}, $system, $arch, text => [$text, $text + @SLOTS * $size]);
    is_deeply [$doc->violations], [], 'no rule is broken';
    is_deeply $doc->{header}, {
        magic => "\x7fDOF", model => $arch eq 'i386' ? 1 : 2, encoding => 1,
        # facts/dof.md, design.md 6
        version => $system =~ /linux|macos/ ? 3 : 2,
        difvers => 2, difireg => 8, diftreg => 8, ident => "\0" x 6,
        flags => 0, hdrsize => 64, secsize => 32, secnum => 6, secoff => 64,
        loadsz => length $file->{bytes}, filesz => length $file->{bytes}, pad => 0,
    }, 'each field of the header is right';
    is_deeply [sort { $a <=> $b } map { $_->{type} } @{ $doc->{sections} }],
        [STRTAB, PROVIDER, PROBES, PRARGS, PROFFS, PRENOFFS], 'each section is there once';
    is_deeply [grep { $_->{flags} != LOAD } @{ $doc->{sections} }], [], 'with no flag but to load it';
    unlike $doc->unaccounted, qr/[^\0]/, 'only zeros lie between them';

    is $doc->{provider}{name}, $NAME_53, 'the provider has its name';
    # The attributes of a USDT provider in the DTrace guide; Private is 1, Evolving 5, Common 5.
    my ($public, $private) = ([5, 5, 5, 0], [1, 1, 0, 0]);
    is_deeply $doc->{provider}{attributes}, {
        provider => $public, module => $private, function => $private, name => $public, args => $public,
    }, 'and the usual stability';

    my @expected = expected_probes("$system $arch", $text, $size, @SLOTS);
    my @addresses = map { delete $_->{addr} } @{ $doc->{probes} };
    delete @{$_}{qw(offsets enabled_offsets)} for @{ $doc->{probes} };
    is scalar @{ $doc->{probes} }, scalar @expected, 'there is a probe for each slot that is used';
    for my $i (0 .. $#expected) {
        my $name = substr $expected[$i]{name}, 0, 10;
        is_deeply $doc->{probes}[$i], $expected[$i], "probe $name: names, types and program counters";
    }
    my @used = grep { $SLOTS[$_] } 0 .. $#SLOTS;
    is_deeply \@addresses, [map { $text + $_ * $size + $stub{"$system $arch"}{probe} } @used],
        'each probe has a base of its own, its stub';
    return;
}

# ---------------------------------------------------------------------------------------------------

# What args[] are to be. In another order than they are passed in, these arguments are the last that are read right.
my %LAST = ((map { ("linux $_" => 9) } qw(x86_64 i386 arm64)), 'macos arm64' => 4,
    map { ("$_ x86_64" => 5, "$_ i386" => 5) } qw(freebsd macos));
for (@here) {
    my ($system, $arch) = @$_;
    subtest "$system $arch: translated arguments and attributes" => sub { check_translated($system, $arch) };
}

sub check_translated {
    my ($system, $arch) = @_;
    my @seven = ('int') x 7;
    my @slots = (
        ['f', 'plain', 'int', 'char *'],
        ['f', 'order', 'int', 'char *', 'long', '=2=id_t', '=0=struct req *', '=0=int'],
        ['f', 'one', 'int'],
        ['f', 'typed', 'int', 'char *', '=0=pid_t', '=1=struct req *'],
        ['f', 'same', @seven, map { "=$_=long" } 0 .. 6],
        ['f', 'fewer', @seven, '=0=int'],
        ['f', 'after', 'int', 'char *'],
        ['f', 'many', ('int') x 6, map { '=' . ($_ % 5) . '=short' } 1 .. 32],
    );
    my @attributes = ('075', '760', '012', '433', '674');
    my ($file) = build_dof($system, $arch, text($arch), dof_at($arch),
        definition('prov', join("\t", 'mod', @attributes), @slots));
    my $doc = parse($file->{bytes}, $system, $arch);
    is_deeply [$doc->violations], [], 'no rule is broken';
    is_deeply $doc->{provider}{attributes}, {
        provider => [0, 7, 5, 0], module => [7, 6, 0, 0], function => [0, 1, 2, 0], name => [4, 3, 3, 0],
        args => [6, 7, 4, 0],
    }, 'the attributes are those that were set';
    for my $i (0 .. $#slots) {
        my (undef, $name, @fields) = @{ $slots[$i] };
        my @native = grep { !/^=/ } @fields;
        my @seen = map { /^=(\d+)=(.*)/ ? [$1, $2] : () } @fields;
        @seen = map { [$_, $native[$_]] } 0 .. $#native if !@seen;
        my $probe = $doc->{probes}[$i];
        is_deeply $probe->{native}, \@native, "$name: the native types are those that were declared";
        my @map = unpack 'C*', $probe->{map};
        is_deeply [map { [$map[$_], $probe->{translated}[$_]] } 0 .. $#{ $probe->{translated} }],
            \@seen, 'args[] are those that were declared for it';
    }
    my $last = $LAST{"$system $arch"};
    for my $n (0 .. ($last // 8) + 1) {
        my ($code, $message) = try_build(definition('prov', 'mod', ['f', 'p', ('int') x 32, "=$n=int", '=0=int']),
            'dof', $system, $arch, number(text($arch)), number(dof_at($arch)));
        my $want = !defined $last || $n <= $last ? '0 '
            : "2 usdt_build: probe f:p: map[0] is $n; DTrace on $system reads no others in a map than 0 to $last\n";
        is "$code $message", $want, "argument $n is refused only where it would be misread";
    }
    return;
}

# ---------------------------------------------------------------------------------------------------

# XNU's int32 offsets reach 2 GiB from the document, in both directions.
for (grep { $_->[0] eq 'macos' && $_->[1] ne 'i386' } @here) {
    my ($system, $arch) = @$_;
    subtest "$system $arch: stubs are within 2 GiB of the document" => sub {
        my $text = text($arch);
        for my $case (['above', -1], ['below', 1]) {
            my ($where, $sign) = @$case;
            my $near = $text + $sign * (0x80000000 - 4096);
            my ($file) = build_dof($system, $arch, $text, $near, definition('prov', 'mod', ['f', 'p']));
            my $doc = parse($file->{bytes}, $system, $arch, dof => $near);
            is $doc->{probes}[0]{pcs}[0], $text + $stub{"$system $arch"}{site},
                "a stub just less than 2 GiB $where is found";
            my $far = $text + $sign * (0x80000000 + 4096);
            my ($code, $message, @files) = try_build(definition('prov', 'mod', ['f', 'p']), 'dof', $system,
                $arch, number($text), number($far));
            ok $code > 0 && $message ne '', "a stub more than 2 GiB $where is refused, and it is said why"
                or diag "exit $code, @{[ scalar @files ]} documents, message \"$message\"";
        }
    };
}

# ---------------------------------------------------------------------------------------------------

# facts/dof.md: helper providers of a process. Each document is one of them.
my %MOST_DOCUMENTS = (macos => 64, illumos => 32);

for (grep { $_->[0] eq 'macos' } @here) {
    my ($system, $arch) = @$_;
    subtest "$system $arch: a provider too big for XNU is split" => sub {
        check_split($system, $arch, 512 << 10, map {
            $_ % 7 == 3 ? undef : ["function_$_", "probe_$_", $_ % 2 ? ('int', "struct s$_ *") : ()]
        } 1 .. 10_000);
    };
}

SKIP: {
    my ($system, $arch) = qw(illumos x86_64);
    skip "$system $arch: this machine's assembler has no template of it", 1 if !$stub{"$system $arch"};
    subtest "$system $arch: a provider of 200,000 probes, too big for illumos, is split" => sub {
        check_split($system, $arch, 8 << 20, map { ["function_$_", "probe_$_", 'int'] } 1 .. 200_000);
    };
}

sub check_split {
    my ($system, $arch, $limit, @slots) = @_;
    my $text = text($arch);
    my @files = build_dof($system, $arch, $text, dof_at($arch), definition('prov', 'mod', @slots));
    cmp_ok scalar @files, '>', 1, 'into several documents';
    cmp_ok scalar @files, '<=', $MOST_DOCUMENTS{$system}, 'no more than a process may have';
    my ($site, $enabled_site) = @{ $stub{"$system $arch"} }{qw(site isenabled_site)};
    my $slot = 0;
    for my $n (0 .. $#files) {
        my $file = $files[$n];
        my ($first, $next, $size) = @{$file}{qw(first next stub)};
        cmp_ok length $file->{bytes}, '<', $limit, "document $n is below the limit";
        is $file->{max}, $limit, "which is the kernel's";
        is $first, $slot, "document $n begins where the one before it ends";
        my $low = $text + $first * $size;
        my $doc = parse($file->{bytes}, $system, $arch, text => [$low, $text + $next * $size]);
        is_deeply [$doc->violations], [], "document $n breaks no rule";
        is $doc->{provider}{name}, 'prov', "document $n names the provider";
        # A line for each probe is quicker to compare than its structure.
        my @found = map {
            my ($pcs, $enabled, $native, $translated) = @{$_}{qw(pcs enabled_pcs native translated)};
            "$_->{function} $_->{name} (@$native) (@$translated) @$pcs @$enabled";
        } @{ $doc->{probes} };
        my @expected = map {
            my ($function, $name, @types) = @{ $slots[$_] };
            my $at = $text + $_ * $size;
            "$function $name (@types) (@types) ${\($at + $site)} ${\($at + $enabled_site)}";
        } grep { $slots[$_] } $first .. $next - 1;
        is scalar @found, scalar @expected, "document $n holds as many probes as it has slots";
        my ($wrong) = grep { $found[$_] ne ($expected[$_] // 'none') } 0 .. $#found;
        ok !defined $wrong, "document $n holds each of its probes, in order"
            or diag "found $found[$wrong], expected ", $expected[$wrong] // 'none';
        $slot = $next;
    }
    is $slot, scalar @slots, 'the last one ends with the last slot';
    return;
}

# ---------------------------------------------------------------------------------------------------
# The reader. Each case breaks one rule of a good document, and that one is found broken.

# Where a member of a structure is (<sys/dtrace.h>).
my %HEADER = (
    magic => 0, model => 4, encoding => 5, version => 6, difvers => 7, difireg => 8, diftreg => 9,
    ident => 10, flags => 16, secsize => 24, secnum => 28, secoff => 32, loadsz => 40,
);
my %SECTION  = (type => 0, align => 4, flags => 8, entsize => 12, offset => 16, size => 24);
my %PROVIDER = (
    strtab => 0, probes => 4, prargs => 8, proffs => 12, name => 16, provattr => 20, modattr => 24,
    funcattr => 28, nameattr => 32, argsattr => 36, prenoffs => 40,
);
my %PROBE = (
    addr => 0, func => 8, name => 12, nargv => 16, xargv => 20, argidx => 24, offidx => 28,
    nargc => 32, xargc => 33, noffs => 34, enoffidx => 36, nenoffs => 40,
);

sub section {
    my ($doc, $type) = @_;
    my ($found) = grep { $_->{type} == $type } @{ $doc->{sections} };
    return $found;
}
sub at_provider { return section($_[0], PROVIDER)->{offset} + $PROVIDER{ $_[1] } }
sub at_probe    { return section($_[0], PROBES)->{offset} + 48 * $_[1] + $PROBE{ $_[2] } }

# Edits: functions of ($bytes, $doc) that return the new bytes. These put values in a place.
sub in_header {
    my ($member, @values) = @_;
    return sub { poke($_[0], $HEADER{$member}, @values) };
}

sub in_section {
    my ($type, $member, @values) = @_;
    return sub { poke($_[0], 64 + 32 * section($_[1], $type)->{index} + $SECTION{$member}, @values) };
}

sub in_provider {
    my ($member, @values) = @_;
    return sub { poke($_[0], at_provider($_[1], $member), @values) };
}

sub in_probe {
    my ($probe, $member, @values) = @_;
    return sub { poke($_[0], at_probe($_[1], $probe, $member), @values) };
}

# Lets a member of probe 0 be what it is in probe 1.
sub like_probe_0 {
    my ($member, $template) = @_;
    return sub {
        my ($bytes, $doc) = @_;
        return poke($bytes, at_probe($doc, 1, $member), $template,
            peek($bytes, at_probe($doc, 0, $member), $template));
    };
}

# Changes the list of sections, each { type, align, flags, entsize, data }, and lays the document out
# anew, each at a multiple of 8 plus its `shift`.
sub laid_out {
    my ($change) = @_;
    return sub {
        my ($bytes, $doc) = @_;
        my @sections = $change->(map { { %$_, data => $doc->contents($_) } } @{ $doc->{sections} });
        my $offset = 64 + 32 * @sections;
        my ($headers, $contents) = ('', '');
        for (@sections) {
            my $gap = -$offset % 8 + ($_->{shift} // 0);
            $offset += $gap;
            $headers .= pack 'L<4 Q<2', @{$_}{qw(type align flags entsize)}, $offset, length $_->{data};
            $contents .= "\0" x $gap . $_->{data};
            $offset += length $_->{data};
        }
        $bytes = poke(substr($bytes, 0, 64), $HEADER{secnum}, 'L<', scalar @sections);
        return poke($bytes, $HEADER{loadsz}, 'Q<2', $offset, $offset) . $headers . $contents;
    };
}

sub shifted {
    my ($type, $shift) = @_;
    return laid_out(sub { map { $_->{type} == $type ? { %$_, align => 1, shift => $shift } : $_ } @_ });
}

# Adds to a section, and lets a member of a probe (or of the provider: no probe) lead to what is new.
sub added {
    my ($type, $data, $probe, $member) = @_;
    return sub {
        my ($bytes, $doc) = @_;
        my $end = section($doc, $type)->{size};
        my $new = laid_out(sub { map { $_->{type} == $type ? { %$_, data => $_->{data} . $data } : $_ } @_ })
            ->($bytes, $doc);
        $doc = USDT::DOF->parse($new, system => $doc->{system}, arch => $doc->{arch});
        my $at = defined $probe ? at_probe($doc, $probe, $member) : at_provider($doc, $member);
        return poke($new, $at, 'L<', $end);
    };
}

sub provider_named { return added(STRTAB, "$_[0]\0", undef, 'name') }
sub probe_string   { return added(STRTAB, "$_[2]\0", @_[0, 1]) }
sub probe_map      { return added(PRARGS, $_[1], $_[0], 'argidx') }

# The is-enabled offsets first, the provider's references following.
sub enabled_first {
    my ($bytes, $doc) = @_;
    my $old = $doc->{provider}{prenoffs};
    for (qw(strtab probes prargs proffs prenoffs)) {
        my $index = $doc->{provider}{$_};
        my $new = $index == $old ? 0 : $index < $old ? $index + 1 : $index;
        $bytes = poke($bytes, at_provider($doc, $_), 'L<', $new);
    }
    $doc = USDT::DOF->parse($bytes, system => $doc->{system}, arch => $doc->{arch});
    return laid_out(sub { (grep { $_->{type} == PRENOFFS } @_), grep { $_->{type} != PRENOFFS } @_ })
        ->($bytes, $doc);
}

my $FAR = 0xffff_ffff;
my %KIND = (
    STRTAB, 'string table', PROVIDER, 'provider', PROBES, 'probes', PRARGS, 'argument map',
    PROFFS, 'offsets', PRENOFFS, 'is-enabled offsets',
);

# Name, edit, what is found (a string, or a pattern where the layout decides a number), platform if it is
# not illumos x86_64.
my @header_cases = (
    ['the magic number', in_header(magic => 'C', 0x7e), 'the magic number is not 7F D O F'],
    ['another byte order', in_header(encoding => 'C', 2), 'encoding 2, not 1 (LSB)'],
    ['a 32-bit document on 64 bits', in_header(model => 'C', 1), 'model 1, x86_64 has 2'],
    ['a 64-bit document on 32 bits', in_header(model => 'C', 2), 'model 2, i386 has 1', 'illumos i386'],
    ['version 0 on illumos', in_header(version => 'C', 0),
        ['version 0, illumos takes 1 2', 'probe 0: is-enabled offsets are lost in version 0']],
    ['version 3 on illumos', in_header(version => 'C', 3), 'version 3, illumos takes 1 2'],
    ['version 3 on FreeBSD', in_header(version => 'C', 3), 'version 3, freebsd takes 1 2', 'freebsd x86_64'],
    ['version 2 on XNU', in_header(version => 'C', 2), 'version 2, macos takes 3', 'macos x86_64'],
    ['version 4 on XNU', in_header(version => 'C', 4), 'version 4, macos takes 3', 'macos arm64'],
    ['version 4 on Linux', in_header(version => 'C', 4), 'version 4, linux takes 1 2 3', 'linux x86_64'],
    ['version 2 on Linux', in_header(version => 'C', 2),
        'probe 0: is-enabled offsets are lost in version 2', 'linux x86_64'],
    ['the DIF version', in_header(difvers => 'C', 1), 'DIF version 1, not 2'],
    ['too many integer registers', in_header(difireg => 'C', 9), 'difireg is 9, at most 8'],
    ['too many tuple registers', in_header(diftreg => 'C', 9), 'diftreg is 9, at most 8'],
    ['the first byte of padding', in_header(ident => 'C', 1), 'identification bytes 10 to 15 are not zero'],
    ['the last byte of padding', in_header(ident => 'x5 C', 1), 'identification bytes 10 to 15 are not zero'],
    ['a flag', in_header(flags => 'L<', 1), 'flags 1, not 0'],
    ['a loadsz below the header', in_header(loadsz => 'Q<', 63), 'loadsz 63 is below 64'],
    ['a loadsz beyond the document', in_header(loadsz => 'Q<', 100_000),
        qr/\Aloadsz 100000, the document is \d+ bytes\z/],
    ['half a header', sub { substr $_[0], 0, 63 }, 'the document is 63 bytes, its header alone 64'],
    (map {
        my ($platform, $limit) = @$_;
        my ($system) = split ' ', $platform;
        ["loadsz at the limit of $system", in_header(loadsz => 'Q<', $limit),
            "loadsz $limit, $system takes less than $limit", $platform];
    } ['illumos i386', 8388608], ['freebsd x86_64', 8388608], ['macos arm64', 524288],
        ['linux x86_64', 268435456]),
);

my @section_cases = (
    ['section headers of 40 bytes', in_header(secsize => 'L<', 40), 'section headers are 40 bytes, not 32'],
    ['section headers not aligned', in_header(secoff => 'Q<', 68),
        'section headers are at 68, not a multiple of 8'],
    ['too many section headers', in_header(secnum => 'L<', $FAR),
        qr/\A$FAR section headers at 64 reach beyond \d+\z/],
    ['section headers outside', in_header(secoff => 'Q<', 1 << 63),
        qr/\A6 section headers at 9223372036854775808 reach beyond \d+\z/],
    (map {
        my $type = $_;
        my $section = qr/section \d \($KIND{$type}\)/;
        (["$KIND{$type}: not to be loaded", in_section($type, flags => 'L<', 0),
            qr/\A$section is not flagged to be loaded\z/],
        ["$KIND{$type}: no alignment", in_section($type, align => 'L<', 0),
            qr/\A$section has alignment 0, not a power of two\z/],
        ["$KIND{$type}: alignment 3", in_section($type, align => 'L<', 3),
            qr/\A$section has alignment 3, not a power of two\z/],
        ["$KIND{$type}: not aligned", in_section($type, align => 'L<', 1 << 20),
            qr/\A$section is at \d+, not a multiple of its alignment 1048576\z/],
        ["$KIND{$type}: too far", in_section($type, offset => 'Q<', 1 << 63),
            qr/\A$section reaches beyond \d+\z/],
        ["$KIND{$type}: too long", in_section($type, size => 'Q<', ~0), qr/\A$section reaches beyond \d+\z/]);
    } sort { $a <=> $b } keys %KIND),
    (map {
        my ($type, $shift, $align) = @$_;
        ["$KIND{$type}: members not aligned", shifted($type, $shift),
            qr/\Asection \d \($KIND{$type}\) is at \d+, not a multiple of $align\z/];
    } [PROBES, 4, 8], [PROVIDER, 2, 4], [PROFFS, 1, 4], [PRENOFFS, 2, 4]),
    (map {
        my ($type, $right, $wrong) = @$_;
        ["$KIND{$type}: entry size", in_section($type, entsize => 'L<', $wrong),
            qr/\Asection \d \($KIND{$type}\) has entries of $wrong bytes, not $right\z/];
    } [PROBES, 48, 56], [PRARGS, 1, 2], [PROFFS, 4, 8], [PRENOFFS, 4, 0]),
    ['half a probe', in_section(PROBES, size => 'Q<', 47),
        qr/\Asection \d \(probes\) is 47 bytes, not a multiple of 48\z/],
    ['a string table without an end',
        sub {
            my ($bytes, $doc) = @_;
            my $table = section($doc, STRTAB);
            return poke($bytes, $table->{offset} + $table->{size} - 1, 'a', 'x');
        }, qr/\Asection \d \(string table\) does not end with a NUL\z/],
    ['an empty string table', in_section(STRTAB, size => 'Q<', 0),
        qr/\Asection \d \(string table\) does not end with a NUL\z/],
    ['is-enabled offsets as section 0', \&enabled_first,
        'section 0 is the is-enabled offsets, where 0 means none'],
);

my @provider_cases = (
    ['no provider', in_section(PROVIDER, type => 'L<', 0), 'there is no provider'],
    ['two providers', laid_out(sub { @_, grep { $_->{type} == PROVIDER } @_ }), 'there are 2 providers'],
    ['a short provider', in_section(PROVIDER, size => 'Q<', 43), 'the provider is 43 bytes, not 44'],
    (map {
        my ($member, $kind, $index) = @$_;
        ["$kind in no section", in_provider($member, 'L<', $index),
            "the provider's $kind are in section $index, which is none"];
    } [strtab => 'string table', 6], [probes => 'probes', $FAR], [prargs => 'argument map', 7],
        [proffs => 'offsets', 1 << 20], [prenoffs => 'is-enabled offsets', 6]),
    ['offsets in a section of another type',
        sub { poke($_[0], at_provider($_[1], 'proffs'), 'L<', $_[1]{provider}{prenoffs}) },
        qr/\Athe provider's offsets are in section \d, which is none\z/],
    ['is-enabled offsets without a section', in_provider(prenoffs => 'L<', 0),
        'probe 0: is-enabled offsets end at 1 of 0'],
    ['a provider name outside the strings', in_provider(name => 'L<', $FAR),
        'the provider name is outside the string table'],
    ['a provider name of 54 bytes', provider_named('p' x 54),
        'provider name of 54 bytes, at most 53 with the pid'],
    ['a provider name of 64 bytes', provider_named('p' x 64), 'provider: name of 64 bytes, at most 63'],
    ['a provider name that ends with a digit', provider_named('p9'), 'provider "p9" ends with a digit'],
    (map { ["provider name \"$_\"", provider_named($_), "provider: \"$_\" is no name"] }
        '', 'a b', 'a:b', '9p', '-p', "\xe9t\xe9"),
    (map { ["provider pid on $_", provider_named('pid'), "provider \"pid\" is reserved on $_", "$_ x86_64"] }
        qw(illumos freebsd macos linux)),
    (map {
        ["provider $_ on XNU", provider_named($_), "provider \"$_\" is reserved on macos", 'macos x86_64'];
    } qw(objc oneshot)),
    (map {
        my ($member, $kind) = @$_;
        (["$kind name stability 8", in_provider($member, 'L<', 8 << 24 | 1 << 16),
            "$kind stability 8/1, at most 7"],
        ["$kind data stability 8", in_provider($member, 'L<', 1 << 24 | 8 << 16),
            "$kind stability 1/8, at most 7"],
        ["$kind class 6", in_provider($member, 'L<', 7 << 24 | 7 << 16 | 6 << 8),
            "$kind class 6, at most 5"]);
    } [provattr => 'provider'], [modattr => 'module'], [funcattr => 'function'], [nameattr => 'name'],
        [argsattr => 'args']),
);

my @probe_cases = (
    ['no probes', in_section(PROBES, size => 'Q<', 0), 'there are no probes'],
    (map {
        my ($member, $what) = @$_;
        ["$what outside the strings", in_probe(1, $member, 'L<', $FAR),
            qr/\Aprobe 1: \Q$what\E (?:is|are) outside the string table\z/];
    } [func => 'the function name'], [name => 'the name'], [nargv => 'native types'],
        [xargv => 'translated types']),
    ['native types that run out', probe_string(2, nargv => 'int'),
        'probe 2: native types are outside the string table'],
    ['a function name of 128 bytes', probe_string(3, func => 'f' x 128),
        'probe 3: function: name of 128 bytes, at most 127'],
    ['a probe name of 64 bytes', probe_string(3, name => 'n' x 64), 'probe 3: name of 64 bytes, at most 63'],
    (map {
        (["function name \"$_\"", probe_string(3, func => $_), "probe 3: function: \"$_\" is no name"],
        ["probe name \"$_\"", probe_string(3, name => $_), "probe 3: \"$_\" is no name"]);
    } '', 'a b', 'a:b', '1a', '.a', "a\n"),
    ['a native type of 128 bytes', probe_string(1, nargv => 't' x 128),
        'probe 1: type of 128 bytes, at most 127'],
    ['a translated type of 128 bytes', probe_string(1, xargv => 't' x 128),
        'probe 1: type of 128 bytes, at most 127'],
    ['a type of no bytes', probe_string(1, nargv => ''), 'probe 1: empty type'],
    ['function and name of another probe', like_probe_0(name => 'L<'), 'probe 1: main:zero is there already'],
    ['a probe without an offset', in_probe(2, noffs => 'S<', 0), 'probe 2: no offset'],
    ['too many offsets', in_probe(2, noffs => 'S<', 65535), 'probe 2: offsets end at 65537 of 8'],
    ['offsets whose index wraps', in_probe(2, offidx => 'L<', $FAR),
        'probe 2: offsets end at 4294967296 of 8'],
    ['too many is-enabled offsets', in_probe(2, nenoffs => 'S<', 7),
        'probe 2: is-enabled offsets end at 9 of 8'],
    ['is-enabled offsets whose index wraps', in_probe(2, enoffidx => 'L<', $FAR),
        'probe 2: is-enabled offsets end at 4294967296 of 8'],
    ['an argument map outside', in_probe(2, argidx => 'L<', $FAR),
        qr/\Aprobe 2: the argument map ends at 4294967297 of \d+\z/],
    (map {
        my ($system) = split ' ';
        ["an argument map of what $_ misreads", probe_map(4, pack 'C*', 1, 0, 2 .. 11),
            "probe 4: the argument map names argument 6, which $system misreads", $_];
    } 'freebsd x86_64', 'freebsd i386', 'macos x86_64', 'macos i386'),
    ['an argument map with no such argument', probe_map(2, "\0\2"),
        'probe 2: the argument map names argument 2 of 2'],
    ['more translated than native arguments', in_probe(2, nargc => 'C', 1),
        'probe 2: the argument map names argument 1 of 1'],
    ['two probes at one address', like_probe_0(addr => 'Q<'), qr/\Aprobe 1: 0x[0-9a-f]+ is there already\z/],
    ['two probes with one offset on XNU', like_probe_0(offidx => 'L<'),
        qr/\Aprobe 1: 0x[0-9a-f]+ is there already\z/, 'macos arm64'],
    ['a probe at an is-enabled site',
        sub {
            my ($bytes, $doc) = @_;
            my ($sites, $enabled) = map { section($doc, $_)->{offset} } PROFFS, PRENOFFS;
            return poke($bytes, $enabled, 'L<', peek($bytes, $sites, 'L<'));
        }, qr/\Aprobe 0: 0x[0-9a-f]+ is there already\z/],
    ['an offset before dofpr_addr',
        sub { poke($_[0], section($_[1], PROFFS)->{offset} + 4, 'l<', -4) },
        'probe 1: an offset is beyond 2 GiB'],
    ['an address above 64 bits', in_probe(1, addr => 'Q<', ~0),
        'probe 1: an offset leads out of the address space'],
    ['an address above 32 bits', in_probe(1, addr => 'Q<', $FAR),
        'probe 1: an offset leads out of the address space', 'illumos i386'],
    ['an offset above 32 bits on XNU',
        sub { poke($_[0], section($_[1], PROFFS)->{offset} + 4, 'l<', 0x7fffffff) },
        'probe 1: an offset leads out of the address space', 'macos i386'],
    ['an address outside the stubs', in_probe(1, addr => 'Q<', 0x1000),
        'probe 1: 0x1008 is outside the stubs'],
    ['an offset outside the stubs on XNU',
        sub { poke($_[0], section($_[1], PROFFS)->{offset} + 4, 'l<', 0x7fffffff) },
        sprintf('probe 1: 0x%x is outside the stubs', dof_at('x86_64') + 0x7ffffffe), 'macos x86_64'],
);

my @sound_cases = (
    ['a document laid out anew', laid_out(sub { @_ })],
    ['version 1 on illumos', in_header(version => 'C', 1)],
    ['provider objc on illumos', provider_named('objc')],
    ['a section of another kind that is not to be loaded',
        laid_out(sub { @_, { type => 1, align => 3, flags => 0, entsize => 7, data => 'comment' } })],
    ['an argument map that changes the order', probe_map(2, "\1\0")],
    ['the same on FreeBSD', probe_map(2, "\1\0"), undef, 'freebsd x86_64'],
    ['Standard stability', in_provider(provattr => 'L<', 7 << 24 | 7 << 16 | 5 << 8)],
    ['names at their limits and beside the rules', provider_named('_-.' . 'x' x 50)],
);

my %good;    # bytes and structure of a platform's document
sub good {
    my ($platform) = @_;
    return @{ $good{$platform} //= do {
        my ($system, $arch) = split ' ', $platform;
        my ($file) = build_dof($system, $arch, text($arch), dof_at($arch), definition('prov', 'mod', @SLOTS));
        my $text = text($arch);
        my @given = (text => [$text, $text + @SLOTS * $file->{stub}]);
        [$file->{bytes}, parse($file->{bytes}, $system, $arch, @given), @given];
    } };
}

sub check_case {
    my ($case, @default) = @_;
    my ($name, $edit, $expected, $platform) = @$case;
    $platform //= 'illumos x86_64';
    SKIP: {
        skip "$name: no $platform here", 1 if !$stub{$platform};
        my ($bytes, $doc, @given) = good($platform);
        my @found = parse($edit->($bytes, $doc), split(' ', $platform), @given)->violations;
        my @expected = ref $expected eq 'ARRAY' ? @$expected : defined $expected ? $expected : ();
        my @wrong = grep {
            my $rule = $expected[$_] // '';
            ref $rule ? $found[$_] !~ $rule : $found[$_] ne $rule;
        } 0 .. $#found;
        my $same = @found == @expected && !@wrong;
        ok $same, $name or diag explain { found => \@found, expected => \@expected };
    }
    return;
}

for (['header', @header_cases], ['sections', @section_cases], ['provider', @provider_cases],
    ['probes', @probe_cases]) {
    my ($of, @cases) = @$_;
    subtest "one broken rule of the $of is found, and no other" => sub { check_case($_) for @cases };
}
subtest 'what breaks no rule is let pass' => sub { check_case($_) for @sound_cases };

# ---------------------------------------------------------------------------------------------------

subtest 'bytes that are no document are violations, not deaths' => sub {
    my @platforms = grep { $stub{$_} } 'linux x86_64', 'macos arm64', 'illumos i386', 'linux arm64';
    srand 20;
    my ($died, $noticed) = ('', 0);
    local $SIG{__WARN__} = sub { die @_ };
    my $judge = sub {
        my ($platform, $bytes, $what) = @_;
        my @found = eval { parse($bytes, split ' ', $platform)->violations };
        $died ||= "$platform, $what: $@" if $@;
        return scalar @found;
    };
    for my $n (1 .. 500) {
        my $platform = $platforms[rand @platforms];
        my ($bytes) = good($platform);
        # Most of the document is names; half of the time, hit what is not.
        for (1 .. 1 + rand 6) {
            substr($bytes, rand(rand() < 0.5 ? 256 : length $bytes), 1, chr rand 256);
        }
        $bytes = substr $bytes, 0, rand length $bytes if rand() < 0.2;
        $noticed++ if $judge->($platform, $bytes, "corruption $n");
    }
    is $died, '', 'none of 500 corruptions is fatal';
    cmp_ok $noticed, '>', 250, 'most are noticed';

    my ($bytes) = good($platforms[0]);
    my @silent = grep { !$judge->($platforms[0], substr($bytes, 0, $_), "cut to $_") }
        0 .. length($bytes) - 1;
    is $died, '', 'none of the ' . length($bytes) . ' truncations is fatal';
    is "@silent", '', 'and each is noticed';
};

done_testing;
