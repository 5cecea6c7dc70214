# Reads an ELF image with stapsdt notes and judges it by facts/linux.md ("The ELF image", "Argument
# specifications", "Names") and by what the gABI asks of the parts that tracers read. Knows nothing of
# the library's sources. Bytes that are not an image are a violation, never a death.
package USDT::ELF;
use strict;
use warnings;

use constant {
    # gABI: ELFCLASS32, ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ET_DYN and the like
    CLASS32 => 1, CLASS64 => 2, LSB => 1, CURRENT => 1, DYN => 3,
    PT_LOAD => 1, PF_X => 1, PF_W => 2,
    SHT_NULL => 0, SHT_PROGBITS => 1, SHT_STRTAB => 3, SHT_NOTE => 7, SHT_NOBITS => 8,
    SHF_WRITE => 1, SHF_ALLOC => 2, SHF_EXECINSTR => 4,
    NT_GNU_BUILD_ID => 3,
    BUILD_ID_SIZE   => 20,    # perf's BUILD_ID_SIZE, the kernel's BUILD_ID_SIZE_MAX
    NT_STAPSDT      => 3,     # <sys/sdt.h>: _SDT_NOTE_TYPE
    MOST_OPERANDS   => 12,    # libbpf's USDT_MAX_ARG_CNT
    LONGEST_NAME    => 63,
    PAGE            => 4096,
};

# e_machine: EM_386, EM_X86_64, EM_AARCH64, with the name of the stack pointer.
my %MACHINE = (
    3   => { arch => 'i386',   class => CLASS32, stack => 'esp' },
    62  => { arch => 'x86_64', class => CLASS64, stack => 'rsp' },
    183 => { arch => 'arm64',  class => CLASS64, stack => 'sp' },
);

# The structures of each class: template, size, members in their order.
my @HEADER = qw(type machine version entry phoff shoff flags ehsize phentsize phnum shentsize shnum shstrndx);
my @SECTION = qw(name_offset type flags addr offset size link info addralign entsize);
my %LAYOUT = (
    CLASS32, {
        word    => 4,
        header  => ['x16 S<2 L<5 S<6', 52, @HEADER],
        segment => ['L<8', 32, qw(type offset vaddr paddr filesz memsz flags align)],
        section => ['L<10', 40, @SECTION],
        note    => 'L<3',
    },
    CLASS64, {
        word    => 8,
        header  => ['x16 S<2 L< Q<3 L< S<6', 64, @HEADER],
        segment => ['L<2 Q<6', 56, qw(type flags offset vaddr paddr filesz memsz align)],
        section => ['L<2 Q<4 L<2 Q<2', 64, @SECTION],
        note    => 'Q<3',
    },
);

# x86_64's general registers: the 64-bit name and the width that each name stands for.
my %REGISTER;
for ((map { ["r${_}x", "e${_}x", "${_}x", "${_}l"] } qw(a b c d)),
    (map { ["r$_", "e$_", $_, "${_}l"] } qw(si di bp sp)),
    (map { ["r$_", "r${_}d", "r${_}w", "r${_}b"] } 8 .. 15)) {
    my @names = @$_;
    @REGISTER{@names} = map { [$names[0], $_] } 8, 4, 2, 1;
}

my $NAME = qr/\A[A-Za-z_][A-Za-z0-9_.-]*\z/;

# The order that bcc and bpftrace 0.17 need (facts/linux.md); .probes is there if semaphores are.
my @ORDER = qw(.text .stapsdt.base .probes .note.stapsdt);

# parse($bytes) returns
#   header    { class arch word type machine ... shstrndx }
#   segments  [ { type flags offset vaddr paddr filesz memsz align } ]
#   sections  [ { index name type flags addr offset size link info addralign entsize } ]
#   build_id  in hexadecimal
#   notes     [ { provider name site base semaphore arguments operands at } ], at being where in the file
#             the site is written, and an operand { size signed register width } or
#             { size signed stack offset }
sub parse {
    my ($class, $bytes) = @_;
    my $self = bless {
        bytes => \$bytes, size => length $bytes, header => {}, segments => [], sections => [],
        notes => [], build_id => undef, faults => [], broken => {},
    }, $class;
    if ($self->_read_header && $self->_read_segments && $self->_read_sections) {
        $self->_judge_sections;
        $self->_read_build_id;
        $self->_read_notes;
    }
    return $self;
}

# The rules that are broken, a string each with the first place where.
sub violations { return @{ $_[0]{faults} } }

# The section of a name, if there is one.
sub section {
    my ($self, $name) = @_;
    my ($found) = grep { $_->{name} eq $name } @{ $self->{sections} };
    return $found;
}

sub contents {
    my ($self, $section) = @_;
    return '' if $section->{type} == SHT_NOBITS;
    return substr ${ $self->{bytes} }, $section->{offset}, $section->{size};
}

sub _bad {
    my ($self, $rule, $text) = @_;
    push @{ $self->{faults} }, $text unless $self->{broken}{$rule}++;
    return 0;
}

sub _power_of_two { return $_[0] > 0 && !($_[0] & ($_[0] - 1)) }

# Does [offset, offset + size) lie within [0, end)? Sums of 64 bits may be too large to add.
sub _within {
    my ($offset, $size, $end) = @_;
    return $offset <= $end && $size <= $end - $offset;
}

sub _read_header {
    my ($self) = @_;
    my ($header, $bytes, $size) = @{$self}{qw(header bytes size)};
    return $self->_bad(magic => 'no ELF magic number') if substr($$bytes, 0, 4) ne "\x7fELF";
    return $self->_bad(short => "the file is $size bytes, not a header") if $size < 16;
    my ($class, $data, $version) = unpack 'x4 C3', $$bytes;
    my $layout = $self->{layout} = $LAYOUT{$class} // return $self->_bad(class => "class $class");
    return $self->_bad(data => "byte order $data, not 1 (LSB)") if $data != LSB;
    my ($template, $need, @members) = @{ $layout->{header} };
    return $self->_bad(short => "the file is $size bytes, not a header") if $size < $need;
    @{$header}{@members} = unpack $template, $$bytes;
    @{$header}{qw(class word)} = ($class, $layout->{word});
    $self->_bad(version => 'the version is not 1') if $version != CURRENT || $header->{version} != CURRENT;
    $self->_bad(type => "type $header->{type}, not 3 (ET_DYN)") if $header->{type} != DYN;
    my $machine = $self->{machine} = $MACHINE{ $header->{machine} }
        // return $self->_bad(machine => "machine $header->{machine}");
    $header->{arch} = $machine->{arch};
    return $self->_bad(class => "class $class on $machine->{arch}") if $class != $machine->{class};
    $self->_bad(ehsize => "e_ehsize $header->{ehsize}, not $need") if $header->{ehsize} != $need;
    return $self->_judge_table(qw(segment program phoff phnum phentsize))
        && $self->_judge_table(qw(section section shoff shnum shentsize));
}

sub _judge_table {
    my ($self, $kind, $named, $at, $count, $entry) = @_;
    my ($offset, $number, $size) = @{ $self->{header} }{$at, $count, $entry};
    my $need = $self->{layout}{$kind}[1];
    return $self->_bad($count => "no $named headers") if !$number || !$offset;
    return $self->_bad($entry => "$named headers of $size bytes, not $need") if $size != $need;
    return $self->_bad($at => "$number $named headers at $offset reach beyond $self->{size}")
        if !_within($offset, $number * $need, $self->{size});
    return $self->_bad($at => "$named headers at $offset, not a multiple of $self->{layout}{word}")
        if $offset % $self->{layout}{word};
    return 1;
}

sub _table {
    my ($self, $kind, $offset, $count) = @_;
    my ($template, $size, @members) = @{ $self->{layout}{$kind} };
    return map {
        my %entry;
        @entry{@members} = unpack $template, substr ${ $self->{bytes} }, $offset + $_ * $size, $size;
        \%entry;
    } 0 .. $count - 1;
}

sub _read_segments {
    my ($self) = @_;
    my $header = $self->{header};
    $self->{segments} = [$self->_table(segment => @{$header}{qw(phoff phnum)})];
    my $end = 0;
    for my $i (0 .. $#{ $self->{segments} }) {
        my $segment = $self->{segments}[$i];
        my ($type, $flags, $offset, $vaddr, $filesz, $memsz, $align) =
            @{$segment}{qw(type flags offset vaddr filesz memsz align)};
        $self->_bad(segment => "segment $i reaches beyond $self->{size}")
            if !_within($offset, $filesz, $self->{size});
        $self->_bad(wx => "segment $i is writable and executable") if $flags & PF_W && $flags & PF_X;
        $self->_bad(vaddr => "segment $i is at $vaddr, but at $offset in the file")
            if $filesz && $vaddr != $offset;
        $self->_bad(memsz => "segment $i is $filesz bytes in the file, $memsz in memory") if $filesz > $memsz;
        $self->_bad(p_align => "segment $i has alignment $align") if $align && !_power_of_two($align);
        next if $type != PT_LOAD;
        $self->_bad(ascending => "segment $i lies before the end of another") if $vaddr < $end;
        $end = $vaddr + $memsz;
    }
    return 1;
}

sub _read_sections {
    my ($self) = @_;
    my $header = $self->{header};
    my $sections = $self->{sections} = [$self->_table(section => @{$header}{qw(shoff shnum)})];
    my $names = $header->{shstrndx} < @$sections ? $sections->[$header->{shstrndx}] : { type => SHT_NULL };
    return $self->_bad(shstrndx => "section $header->{shstrndx} is no string table")
        if $names->{type} != SHT_STRTAB;
    my $sound = 1;
    for my $i (0 .. $#$sections) {
        my $section = $sections->[$i];
        $section->{index} = $i;
        next if $section->{type} == SHT_NULL || $section->{type} == SHT_NOBITS;
        $sound &= _within(@{$section}{qw(offset size)}, $self->{size})
            || $self->_bad(bounds => "section $i reaches beyond $self->{size}");
    }
    return 0 if !$sound;
    my $strings = $self->contents($names);
    return $self->_bad(strings => 'the section names do not end with a NUL') if $strings !~ /\0\z/;
    for my $section (@$sections) {
        my $at = $section->{name_offset};
        return $self->_bad(name => "section $section->{index} has its name at $at of " . length $strings)
            if $at >= length $strings;
        $section->{name} = substr $strings, $at, index($strings, "\0", $at) - $at;
    }
    return 1;
}

sub _judge_sections {
    my ($self) = @_;
    my ($null, @sections) = @{ $self->{sections} };
    $self->_bad(null => 'section 0 is not null') if $null->{type} != SHT_NULL;
    for my $section (@sections) {
        my ($name, $type, $flags, $addr, $offset, $size, $align) =
            @{$section}{qw(name type flags addr offset size addralign)};
        $self->_bad(sh_align => "$name has alignment $align") if $align && !_power_of_two($align);
        $self->_bad(aligned => "$name is at $offset, not a multiple of $align")
            if _power_of_two($align) && $offset % $align;
        next if !($flags & SHF_ALLOC);
        $self->_bad(addr => "$name is at $addr, but at $offset in the file") if $addr != $offset;
        $self->_bad(loaded => "$name is in no segment that loads it") if !$self->_segment_of($section);
    }
    $self->_judge_overlaps(grep { $_->{type} != SHT_NOBITS } @sections);
    $self->_judge_section('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR);
    $self->_judge_text;
    $self->_judge_section('.stapsdt.base', SHT_PROGBITS, SHF_ALLOC);
    $self->_judge_section('.note.stapsdt', SHT_NOTE, undef);
    my $base = $self->section('.stapsdt.base');
    $self->_bad(base_size => ".stapsdt.base is $base->{size} bytes, not 1") if $base && $base->{size} != 1;
    my @order = grep { defined } map { $self->section($_) } @ORDER;
    for (1 .. $#order) {
        my ($before, $after) = @order[$_ - 1, $_];
        $self->_bad(order => "$after->{name} comes before $before->{name}")
            if $after->{index} < $before->{index} || $after->{offset} < $before->{offset};
    }
    return;
}

# No byte of the file belongs to two of its parts.
sub _judge_overlaps {
    my ($self, @sections) = @_;
    my $header = $self->{header};
    my @parts = map { [@{$_}{qw(name offset size)}] } @sections;
    push @parts, ['the header', 0, $self->{layout}{header}[1]],
        ['the program headers', $header->{phoff}, $header->{phnum} * $self->{layout}{segment}[1]],
        ['the section headers', $header->{shoff}, $header->{shnum} * $self->{layout}{section}[1]];
    my ($before, $end) = ('', 0);
    for (sort { $a->[1] <=> $b->[1] } grep { $_->[2] } @parts) {
        my ($name, $offset, $size) = @$_;
        $self->_bad(overlap => "$name and $before overlap") if $offset < $end;
        ($before, $end) = ($name, $offset + $size);
    }
    return;
}

sub _judge_section {
    my ($self, $name, $type, $flags) = @_;
    my $section = $self->section($name) // return $self->_bad("no $name" => "there is no $name");
    $self->_bad("type $name" => "$name has type $section->{type}, not $type") if $section->{type} != $type;
    my $has = $section->{flags} & (SHF_ALLOC | SHF_EXECINSTR | SHF_WRITE);
    $self->_bad("flags $name" => "$name has flags $has, not $flags") if defined $flags && $has != $flags;
    return 1;
}

# DTrace for Linux 2.0.7 takes the start of a file's first mapping for the start of the file: if it is
# another place, its probes are never hit, and nothing says so. And what is mapped to be executed is
# whole pages: text that ends within one would have what follows it, the notes too, mapped with it.
sub _judge_text {
    my ($self) = @_;
    my $text = $self->section('.text') // return;
    my $segment = $self->_segment_of($text);
    $self->_bad(first => "the segment of .text starts at $segment->{offset} in the file, not at 0")
        if $segment && $segment->{offset};
    my $end = $text->{offset} + $text->{size};
    $self->_bad(page_end => ".text ends at $end, not at the end of a page") if $end % PAGE;
    return;
}

# The PT_LOAD that holds a section and gives the permissions that it asks for.
sub _segment_of {
    my ($self, $section) = @_;
    my ($addr, $size, $flags) = @{$section}{qw(addr size flags)};
    my $need = ($flags & SHF_WRITE ? PF_W : 0) | ($flags & SHF_EXECINSTR ? PF_X : 0);
    for (grep { $_->{type} == PT_LOAD } @{ $self->{segments} }) {
        next if $addr < $_->{vaddr} || ($_->{flags} & $need) != $need;
        return $_ if _within($addr - $_->{vaddr}, $size, $_->{memsz});
    }
    return;
}

# The notes of a section: [owner, type, descriptor, where that is in the file]...
sub _notes_of {
    my ($self, $section) = @_;
    my ($data, $at, @notes) = ($self->contents($section), 0);
    while ($at < length $data) {
        my $left = length($data) - $at;
        my ($name, $size, $type) = $left < 12 ? (0, $left, 0) : unpack 'L<3', substr $data, $at, 12;
        my $padded = 12 + $name + -$name % 4;
        if ($padded + $size > $left) {
            $self->_bad(note => "a note at $at of $section->{name} reaches beyond it");
            last;
        }
        push @notes, [substr($data, $at + 12, $name), $type, substr($data, $at + $padded, $size),
            $section->{offset} + $at + $padded];
        $at += $padded + $size + -$size % 4;
    }
    return @notes;
}

sub _read_build_id {
    my ($self) = @_;
    my $section = $self->section('.note.gnu.build-id')
        // return $self->_bad(build_id => 'there is no .note.gnu.build-id');
    my ($note, @more) = $self->_notes_of($section);
    return $self->_bad(build_id => 'the build-id is not one GNU note of type 3')
        if !$note || @more || $note->[0] ne "GNU\0" || $note->[1] != NT_GNU_BUILD_ID;
    $self->{build_id} = unpack 'H*', $note->[2];
    $self->_bad(build_id => 'the build-id is ' . length($note->[2]) . ' bytes, not 20')
        if length $note->[2] != BUILD_ID_SIZE;
    return 1;
}

sub _read_notes {
    my ($self) = @_;
    my $section = $self->section('.note.stapsdt') // return;
    $self->_bad(note_aligned => ".note.stapsdt is at $section->{offset}, not a multiple of 4")
        if $section->{offset} % 4;
    my $words = $self->{layout}{note};
    my $size  = 3 * $self->{layout}{word};
    my $n = 0;
    for ($self->_notes_of($section)) {
        my ($owner, $type, $data, $at) = @$_;
        my $where = 'note ' . $n++;
        $self->_bad(owner => "$where is not stapsdt, type 3"), next
            if $owner ne "stapsdt\0" || $type != NT_STAPSDT;
        $self->_bad(strings => "$where is not three words and three strings"), next
            if length $data < $size || substr($data, $size) !~ /\A([^\0]*)\0([^\0]*)\0([^\0]*)\0\z/;
        my %note = (provider => $1, name => $2, arguments => $3, at => $at);
        @note{qw(site base semaphore)} = unpack $words, $data;
        $self->_judge_note($where, \%note);
        push @{ $self->{notes} }, \%note;
    }
    $self->_bad(notes => 'there are no notes') if !$n;
    return;
}

sub _judge_note {
    my ($self, $where, $note) = @_;
    my ($text, $base, $probes) = map { $self->section($_) } qw(.text .stapsdt.base .probes);
    $self->_bad(site => "$where has its site at $note->{site}, outside .text")
        if $text && !_holds($text, $note->{site});
    $self->_bad(base => "$where has base $note->{base}, not $base->{addr}")
        if $base && $note->{base} != $base->{addr};
    $self->_judge_semaphore($where, $note->{semaphore}, $probes) if $note->{semaphore};
    my $length = length $note->{name};
    $self->_bad(long => "$where: name of $length bytes, at most 63") if $length > LONGEST_NAME;
    for (qw(provider name)) {
        $self->_bad("pattern $_" => "$where: $_ \"$note->{$_}\" is no name") if $note->{$_} !~ $NAME;
    }
    # A space separates two operands, and is in arm64's [sp, 8] also.
    my @operands = split / (?![^\[]*\])/, $note->{arguments}, -1;
    my $count = grep { length } @operands;
    $self->_bad(many => "$where has $count operands, at most 12") if $count > MOST_OPERANDS;
    $note->{operands} = [map { $self->_operand($where, $_) // () } @operands];
    return;
}

sub _holds {
    my ($section, $address) = @_;
    return $address >= $section->{addr} && $address - $section->{addr} < $section->{size};
}

# A counter of 16 bits, which uprobes write to.
sub _judge_semaphore {
    my ($self, $where, $address, $probes) = @_;
    return $self->_bad(semaphore => "$where has a semaphore outside .probes")
        if !$probes || !_holds($probes, $address);
    $self->_bad(semaphore => "$where has its semaphore at $address, an odd address") if $address % 2;
    my $segment = $self->_segment_of($probes);
    $self->_bad(semaphore => "$where has its semaphore where nothing is writable")
        if !$segment || !($segment->{flags} & PF_W);
    return 1;
}

# One operand, or nothing if a tracer could not read it.
sub _operand {
    my ($self, $where, $text) = @_;
    my ($arch, $stack) = @{ $self->{machine} }{qw(arch stack)};
    my $word = $self->{layout}{word};
    my ($minus, $size, $place) = $text =~ /\A(-?)([1248])@(.+)\z/s;
    my ($offset, $base, $register) = !defined $place ? ()
        : $arch eq 'arm64' ? $place =~ /\A(?:\[(?<base>\w+),\ (?<offset>-?\d{1,9})\]|(?<register>x\d+))\z/x
            ? @+{qw(offset base register)} : ()
        : $place =~ /\A(?:(-?\d{1,9})\(%(\w+)\)|%(\w+))\z/;
    return $self->_bad(form => "$where: operand \"$text\" is not of a form that all tracers read") || undef
        if !defined $base && !defined $register;
    my %operand = (size => $size, signed => $minus ? 1 : 0);
    $self->_bad(wide => "$where: operand \"$text\" is wider than a word") if $size > $word;
    if (defined $register) {
        my $known = $arch eq 'x86_64' ? $REGISTER{$register}
            : $arch eq 'arm64' && $register =~ /\Ax(?:[12]?\d|30)\z/ ? [$register, undef] : undef;
        return $self->_bad(register => "$where: operand \"$text\" is in no register of $arch") || undef
            if !$known;
        @operand{qw(register width)} = ($known->[0], $known->[1] // $size);
        $self->_bad(width => "$where: operand \"$text\" is $size bytes in a register name of $operand{width}")
            if $operand{width} != $size;
    } else {
        @operand{qw(stack offset)} = ($base, $offset);
        # Nothing lives below the stack pointer at a site (design.md 2), and arguments are words.
        $self->_bad(stack => "$where: operand \"$text\" is no argument on the stack")
            if $base ne $stack || $offset < 0 || $offset % $word;
    }
    return \%operand;
}

1;
