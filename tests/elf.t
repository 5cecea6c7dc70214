# The ELF images of Linux, read by USDT::ELF: notes, operands, text, build-id; the stubs of every
# platform, byte for byte and disassembled; and the reader sees each rule broken when it is.
use strict;
use warnings;

use Test::More;
use File::Temp ();
use USDT::Build qw(@PLATFORMS definition build_elf build_stub here must_be_here run poke find_program);
use USDT::ELF;

use constant PAGE => 4096;

my (@here, %stub);
for (@PLATFORMS) {
    my ($system, $arch) = @$_;
    if (here($system, $arch)) {
        push @here, $_;
        $stub{"$system $arch"} = build_stub($system, $arch);
    } elsif (must_be_here(@$_)) {
        fail "$system $arch is described here: an x86 assembler takes every template, and each its own";
    } else {
        SKIP: { skip "$system $arch: this machine's assembler has no template of it", 1 }
    }
}
my @images = map { $_->[1] } grep { $_->[0] eq 'linux' } @here;

# e_machine, class.
my %MACHINE = (x86_64 => [62, 2], i386 => [3, 1], arm64 => [183, 2]);

# Where the ABI puts the first arguments of a function; the others are on the stack, a word each. At the
# site the return address is off the stack (design.md 2), so they begin at the stack pointer.
my %REGISTERS = (
    x86_64 => [qw(rdi rsi rdx rcx r8 r9)],
    i386   => [],
    arm64  => [map { "x$_" } 0 .. 7],
);
my %STACK = (x86_64 => ['rsp', 8], i386 => ['esp', 4], arm64 => ['sp', 8]);

# The operand of the argument in a position, of a width that is negative if it is signed.
sub operand {
    my ($arch, $position, $width) = @_;
    my %operand = (size => abs $width, signed => $width < 0 ? 1 : 0);
    my $registers = $REGISTERS{$arch};
    my ($stack, $word) = @{ $STACK{$arch} };
    return $position < @$registers
        ? { %operand, register => $registers->[$position], width => abs $width }
        : { %operand, stack => $stack, offset => $word * ($position - @$registers) };
}

# ---------------------------------------------------------------------------------------------------

my @SLOTS = (
    ['main', 'zero'],
    ['main', 'one', 'int'],
    undef,
    ['read', 'six', ('int') x 6],
    ['read', 'twelve', ('int') x 12],
    ['read', 'thirteen', ('int') x 13],
    undef,
    ['read', 'n' x 63, ('int') x 32],
    ['main', '_a-b.c9', 'int'],
);

for my $arch (@images) {
    subtest "linux $arch: the image holds what was defined" => sub { check_image($arch, 0) };
    subtest "linux $arch: and semaphores" => sub { check_image($arch, 0, 1) };
}
SKIP: {
    skip 'x86_64 has no template here', 1 if !$stub{'linux x86_64'};
    subtest 'linux x86_64: notes point at the 10-byte nop where the kernel makes it a call' =>
        sub { check_image('x86_64', 1) };
}

sub check_image {
    my ($arch, $direct, $semaphores) = @_;
    my $file = build_elf('linux', $arch, $direct + ($semaphores ? 2 : 0), definition('prov-9.x', 'mod', @SLOTS));
    my $elf  = USDT::ELF->parse($file->{bytes});
    my $stub = $stub{"linux $arch"};
    is_deeply [$elf->violations], [], 'no rule is broken';

    my ($machine, $class) = @{ $MACHINE{$arch} };
    my $header = $elf->{header};
    is_deeply [@{$header}{qw(class machine type entry flags)}], [$class, $machine, 3, 0, 0],
        'the header says what it is, a shared object without an entry';
    is $elf->{build_id}, $file->{'build-id'}, 'the build-id is the one printed';

    my $text = $elf->section('.text');
    is length $stub->{bytes}, $file->{stub}, 'a slot is as long as a stub';
    check_text($file, $elf, $stub, scalar @SLOTS);
    check_layout($file, $elf, $semaphores ? scalar @SLOTS : 0);
    is $elf->contents($elf->section('.usdt.probes')), join('', map { my ($function, undef, @types) = @$_;
        map { "$_\0" } $function, @types, '' } grep { $_ } @SLOTS), 'functions and types are there, in the order of the notes';

    my $probes = $semaphores ? $elf->section('.probes') : undef;
    my @used = grep { $SLOTS[$_] } 0 .. $#SLOTS;
    is scalar @{ $elf->{notes} }, scalar @used, 'there is a note for each slot that is used';
    for my $n (0 .. $#used) {
        my (undef, $name, @types) = @{ $SLOTS[$used[$n]] };
        my $last = @types > 12 ? 11 : $#types;    # libbpf refuses more than 12
        my $note = $elf->{notes}[$n];
        is_deeply { map { $_ => $note->{$_} } qw(provider name site semaphore operands) }, {
            provider => 'prov-9.x', name => $name, semaphore => $probes ? $probes->{addr} + 2 * $used[$n] : 0,
            site => $text->{addr} + $used[$n] * $file->{stub} + $stub->{site} + $direct,
            operands => [map { operand($arch, $_, -4) } 0 .. $last],
        }, 'probe ' . substr($name, 0, 10) . ': provider, name, site and ' . ($last + 1) . ' operands';
    }
    return;
}

# The text: stubs and nothing else, from the first slot behind the build-id to the end of a page.
sub check_text {
    my ($file, $elf, $stub, $slots) = @_;
    my ($id, $text) = map { $elf->section($_) } qw(.note.gnu.build-id .text);
    my ($slot, $end) = ($file->{stub}, $id->{offset} + $id->{size});
    is_deeply [$slot, @{$text}{qw(offset addralign)}], [64, $end + -$end % 64, 64],
        'the text begins with the slot behind the build-id';
    like substr($file->{bytes}, $end, $text->{offset} - $end), qr/\A\0*\z/, 'with nothing between';
    is(($text->{offset} + $text->{size}) % PAGE, 0, 'and ends at the end of a page');
    ok $elf->contents($text) eq $stub->{bytes} x ($text->{size} / $slot), 'each slot holds the stub';
    cmp_ok $text->{size}, '>=', $slots * $slot, 'there are enough';
    return;
}

# What is in the file, from its first byte to its last, and what of it is loaded. So many semaphores are.
sub check_layout {
    my ($file, $elf, $semaphores) = @_;
    my ($header, $size) = ($elf->{header}, length $file->{bytes});
    my ($id, $text, $base, $notes, $more, $names) = map { $elf->section($_) }
        my @names = qw(.note.gnu.build-id .text .stapsdt.base .note.stapsdt .usdt.probes .shstrtab);
    splice @names, 3, 0, '.probes' if $semaphores;
    is_deeply [map { $_->{name} } @{ $elf->{sections} }], ['', @names], 'the sections and their order';
    my $probes = $semaphores ? $elf->section('.probes') : undef;
    my $after = sub {
        my ($part, $align) = @_;
        my $end = $part->{offset} + $part->{size};
        return $end + -$end % $align;
    };
    is $header->{phoff}, $header->{ehsize}, 'the program headers follow the header';
    is $id->{offset}, $header->{phoff} + ($probes ? 3 : 2) * $header->{phentsize}, 'the build-id follows these';
    is $base->{offset}, $after->($text, 1), 'the base follows the text';
    is $notes->{offset}, $after->($probes // $base, 4), 'the notes follow the base, or the semaphores';
    is_deeply [@{$probes}{qw(offset size)}], [$after->($base, 4), 2 * $semaphores], 'which follow the base' if $probes;
    is $more->{offset}, $after->($notes, 1), 'what is more of the probes follows the notes';
    is $names->{offset}, $after->($more, 1), 'and the section names that';
    my $gap = $header->{shoff} - $after->($names, 1);
    ok $gap >= 0 && $gap < 8, 'the section headers follow these, aligned' or diag "$gap bytes between";
    is $size, $header->{shoff} + @{ $elf->{sections} } * $header->{shentsize}, 'and nothing follows those';
    my $loaded = $base->{offset} + ($probes ? 0 : $base->{size});
    my $data = $probes ? $probes->{offset} + $probes->{size} - $base->{offset} : 0;
    my @members = qw(type flags offset vaddr filesz memsz align);
    is_deeply [map { [@{$_}{@members}] } @{ $elf->{segments} }], [
        [1, 4 | 1, 0, 0, $loaded, $loaded, PAGE],
        $probes ? [1, 4 | 2, ($base->{offset}) x 2, $data, $data, PAGE] : (),
        [4, 4, ($id->{offset}) x 2, ($id->{size}) x 2, 4],
    ], 'one segment is loaded, read and executed, from the start of the file; one, read and written, with semaphores';
    return;
}

my %SPELLING = (
    x86_64 => '-4@%edi -4@%esi -4@%edx -4@%ecx -4@%r8d -4@%r9d -4@0(%rsp) -4@8(%rsp)',
    i386   => '-4@0(%esp) -4@4(%esp) -4@8(%esp) -4@12(%esp) -4@16(%esp) -4@20(%esp) -4@24(%esp) -4@28(%esp)',
    arm64  => '-4@x0 -4@x1 -4@x2 -4@x3 -4@x4 -4@x5 -4@x6 -4@x7 -4@[sp, 0]',
);
for my $arch (@images) {
    my $words = () = $SPELLING{$arch} =~ /@/g;
    my $file = build_elf('linux', $arch, 0, definition('prov', 'mod', ['f', 'p', ('int') x $words]));
    my $elf = USDT::ELF->parse($file->{bytes});
    is $elf->{notes}[0]{arguments}, $SPELLING{$arch},
        "linux $arch: arguments are spelled as <sys/sdt.h> spells them";
}

# ---------------------------------------------------------------------------------------------------

# Width in bytes, negative if signed, on x86_64 (LP64), i386 (ILP32, and an argument is cut to the word it
# has on the stack) and arm64 (LP64; AAPCS64: char and wchar_t are unsigned). An enumeration is an int:
# that is what its constants are (C11 6.7.2.2). What no one knows is a word.
my @TYPES = (
    ['int8_t',   -1, -1, -1], ['uint8_t',   1, 1, 1],
    ['int16_t',  -2, -2, -2], ['uint16_t',  2, 2, 2],
    ['int32_t',  -4, -4, -4], ['uint32_t',  4, 4, 4],
    ['int64_t',  -8, -4, -8], ['uint64_t',  8, 4, 8],
    ['char',     -1, -1, 1],  ['unsigned char', 1, 1, 1], ['signed char', -1, -1, -1],
    ['short',    -2, -2, -2], ['unsigned short', 2, 2, 2],
    ['int',      -4, -4, -4], ['unsigned',  4, 4, 4], ['unsigned int', 4, 4, 4],
    ['long',     -8, -4, -8], ['unsigned long', 8, 4, 8],
    ['long long', -8, -4, -8], ['unsigned long long', 8, 4, 8],
    ['size_t',    8, 4, 8],   ['ssize_t',  -8, -4, -8],
    ['uintptr_t', 8, 4, 8],   ['intptr_t', -8, -4, -8],
    ['bool',      1, 1, 1],   ['_Bool',     1, 1, 1],
    ['enum x',   -4, -4, -4], ['wchar_t',  -4, -4, 4],
    ['float',     4, 4, 4],   ['double',    8, 4, 8],
    ['char *',    8, 4, 8],   ['const struct foo *', 8, 4, 8], ['void *', 8, 4, 8], ['int **', 8, 4, 8],
    ['unknown_t', 8, 4, 8],   ['struct foo', 8, 4, 8], ['char[16]', 8, 4, 8],
    ['unsigned   long  int', 8, 4, 8], ['const volatile unsigned char', 1, 1, 1],
    ['long unsigned int', 8, 4, 8], ['short signed', -2, -2, -2], ['int const', -4, -4, -4],
    ['integer', 8, 4, 8], ['unsignedlong', 8, 4, 8], ['char*', 8, 4, 8],
);
my %COLUMN = (x86_64 => 1, i386 => 2, arm64 => 3);

for my $arch (@images) {
    subtest "linux $arch: each type has its width and sign, in each position" => sub {
        my $file = build_elf('linux', $arch, 0,
            definition('prov', 'mod', map { ['f', "p$_", ($TYPES[$_][0]) x 12] } 0 .. $#TYPES));
        my $elf = USDT::ELF->parse($file->{bytes});
        is_deeply [$elf->violations], [], 'tracers can read all operands';
        for my $i (0 .. $#TYPES) {
            my $width = $TYPES[$i][$COLUMN{$arch}];
            is_deeply $elf->{notes}[$i]{operands}, [map { operand($arch, $_, $width) } 0 .. 11],
                "$TYPES[$i][0] is $width"
                or diag $elf->{notes}[$i]{arguments};
        }
    };
}

# ---------------------------------------------------------------------------------------------------

for my $arch (@images) {
    subtest "linux $arch: the build-id stands for the definition" => sub {
        my @definition = ('prov', 'mod', ['f', 'p', 'int'], ['f', 'q', 'char *', 'int']);
        my ($first, $again) = map { build_elf('linux', $arch, 0, definition(@definition)) } 1, 2;
        ok $first->{bytes} eq $again->{bytes}, 'two processes make the same image of it';
        my %other = (
            'another provider name'  => ['prow', @definition[1 .. 3]],
            'another probe name'     => [@definition[0 .. 2], ['f', 'r', 'char *', 'int']],
            'another function'       => [@definition[0 .. 2], ['g', 'q', 'char *', 'int']],
            'another type'           => [@definition[0 .. 2], ['f', 'q', 'char *', 'unsigned']],
            'one argument more'      => [@definition[0 .. 2], ['f', 'q', 'char *', 'int', 'int']],
            'one argument less'      => [@definition[0 .. 2], ['f', 'q', 'char *']],
            'one probe more'         => [@definition, ['f', 'r']],
            'one probe less'         => [@definition[0 .. 2]],
            'the other order'        => [@definition[0, 1, 3, 2]],
            'an unused slot between' => [@definition[0 .. 2], undef, $definition[3]],
        );
        my %seen = ($first->{'build-id'} => 'the first');
        for my $what (sort keys %other) {
            my $file = build_elf('linux', $arch, 0, definition(@{ $other{$what} }));
            my $same = $seen{ $file->{'build-id'} };
            ok !$same, "$what is another build-id" or diag "the same as $same";
            $seen{ $file->{'build-id'} } = $what;
            my $elf = USDT::ELF->parse($file->{bytes});
            is $elf->{build_id}, $file->{'build-id'}, '... which is in the image';
        }
        if ($arch eq 'x86_64') {
            my $direct = build_elf('linux', $arch, 1, definition(@definition));
            ok !$seen{ $direct->{'build-id'} }, 'notes on the 10-byte nop are another build-id';
        }
        my $counted = build_elf('linux', $arch, 2, definition(@definition));
        ok !$seen{ $counted->{'build-id'} }, 'notes with semaphores are another build-id';
    };
}

# The direct-call nop must not cross a page (design.md 3), wherever in the text its slot is.
for my $arch (@images) {
    subtest "linux $arch: 10,000 probes have a site each" => sub {
        my $count = 10_000;
        my $file = build_elf('linux', $arch, 0,
            definition('prov', 'mod', map { ["f$_", "p$_", 'int', 'char *'] } 1 .. $count));
        my $elf = USDT::ELF->parse($file->{bytes});
        my ($text, $site) = ($elf->section('.text'), $stub{"linux $arch"}{site});
        is_deeply [$elf->violations], [], 'no rule is broken';
        is scalar @{ $elf->{notes} }, $count, 'each has a note';
        my @wrong = grep {
            my $note = $elf->{notes}[$_];
            $note->{site} != $text->{addr} + $_ * $file->{stub} + $site || $note->{name} ne 'p' . ($_ + 1)
        } 0 .. $count - 1;
        is scalar @wrong, 0, 'with its name and site, in order' or diag "note $wrong[0]";
        my @split = grep { $_->{site} % 4 || $_->{site} % PAGE > PAGE - 11 } @{ $elf->{notes} };
        is scalar @split, 0, 'which is a multiple of 4, with the nop behind it in the same page';
    };
}

# The headers take the place of the first slots of the first page.
for my $arch (@images) {
    subtest "linux $arch: probes fill the page of the headers, and the next one" => sub {
        my $first = build_elf('linux', $arch, 0, definition('prov', 'mod', ['f', 'p']));
        my $text = USDT::ELF->parse($first->{bytes})->section('.text');
        my ($slot, $room) = ($first->{stub}, (PAGE - $text->{offset}) / $first->{stub});
        for my $count (map { ($_, $_ + 1) } $room, $room + PAGE / $slot) {
            my $file = build_elf('linux', $arch, 0,
                definition('prov', 'mod', map { ['f', "p$_", 'int'] } 1 .. $count));
            my $elf = USDT::ELF->parse($file->{bytes});
            is_deeply [$elf->violations], [], "$count probes: no rule is broken";
            is scalar @{ $elf->{notes} }, $count, 'each has a note';
            check_text($file, $elf, $stub{"linux $arch"}, $count);
            check_layout($file, $elf);
        }
    };
}

# ---------------------------------------------------------------------------------------------------
# Stubs, in hexadecimal: facts/dof.md "Machine code", design.md 2 and 3.

my $FIVE = '9090909090';
my %SITE = (
    'linux x86_64' => '90' . '662e0f1f843e4883ec80',    # a nop, and the 10-byte nop
    'linux i386'   => '90',
    map { ("$_ x86_64" => $FIVE, "$_ i386" => $FIVE) } qw(macos freebsd illumos),
);

# Entry to return, the site in parentheses. endbr64, pop %r11, xchg %ax,%ax, SITE, push %r11, ret; pop
# %ecx, SITE, push %ecx, ret; bti c, nop, ret (each word as the file has it).
sub probe_code {
    my ($platform) = @_;
    return qr/^5f2403d5(1f2003d5)c0035fd6/ if $platform =~ /arm64/;
    return $platform =~ /x86_64/ ? qr/^f30f1efa415b6690($SITE{$platform})4153c3/
        : qr/^(?:f30f1efb)?59($SITE{$platform})51c3/;
}

# Everywhere but on Linux: the register cleared, then the site, then ret. On Linux x86_64 and arm64: a
# cell on the stack, its address in the first argument register, the site, the cell as the result.
sub enabled_code {
    my ($platform) = @_;
    return {
        'linux x86_64' => qr/^f30f1efa(?:..)*?4889e7(90)58c3/,
        'linux i386'   => qr/^(?:f30f1efb)?(?:..)*?(90)c3/,
        'linux arm64'  => qr/^5f2403d5(?:.{8})*?e0030091(1f2003d5)e00741f8c0035fd6/,
        'macos arm64'  => qr/^5f2403d5(000080d2|1f2003d5)c0035fd6/,
    }->{$platform} // ($platform =~ /x86_64/ ? qr/^(?:f30f1efa)?48(?:31|33)c0(90)(?:90)*c3/
        : qr/^(?:f30f1efb)?(?:31|33)c0(90)(?:90)*c3/);
}

for (@here) {
    my $platform = "@$_";
    subtest "$platform: the stubs are the expected instructions" => sub {
        my $stub = $stub{$platform};
        my ($bytes, $entry, $site, $enabled, $enabled_site) =
            @{$stub}{qw(bytes probe site isenabled isenabled_site)};
        is PAGE % length $bytes, 0, 'a page holds a whole number of them';
        is $site % 4, 0, 'the site is a multiple of 4';
        for (['probe', probe_code($platform), $entry, $site],
            ['is-enabled', enabled_code($platform), $enabled, $enabled_site]) {
            my ($what, $code, $from, $to) = @$_;
            my $hex = unpack 'H*', substr $bytes, $from;
            my $found = $hex =~ $code ? $from + $-[1] / 2 : undef;
            ok defined $found, "the $what stub is as expected" or diag $hex;
            is $found, $to, 'and its site where it is said to be';
        }
        cmp_ok $site % PAGE, '<=', PAGE - 11, 'the nop that becomes a call is in one page'
            if $platform eq 'linux x86_64';
    };
}

# Disassembled from an address to the first return: [address, length, text]...
sub disassemble_x86 {
    my ($objdump, $path, $arch, $from) = @_;
    my ($code, $out) = run({}, $objdump, qw(-D -b binary --insn-width=16 -m),
        $arch eq 'x86_64' ? 'i386:x86-64' : 'i386', "--start-address=$from", $path);
    my @instructions;
    for (split /\n/, $out) {
        my ($address, $bytes, $text) = /^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t(.*?)\s*$/ or next;
        push @instructions, [hex $address, length($bytes) / 3, $text];
        last if $text =~ /^ret/;
    }
    return @instructions;
}

sub disassemble_arm64 {
    my ($llvm_mc, $path, $bytes, $from) = @_;
    my @words = map { [unpack 'C4', $_] } unpack '(a4)*', substr $bytes, $from;
    my ($last) = grep { unpack('H*', pack 'C4', @{ $words[$_] }) eq 'c0035fd6' } 0 .. $#words;    # ret
    return if !defined $last;
    # One at a time: a word that is no instruction leaves no line.
    my $at = $from - 4;
    return map {
        my $input = join(' ', map { sprintf '0x%02x', $_ } @$_) . "\n";
        my ($code, $out) = run({ in => $input }, $llvm_mc, qw(--disassemble --triple=aarch64 --mattr=+bti));
        my ($text) = $out =~ /^\t(?!\.)(.*?)\s*$/m;
        [$at += 4, 4, join ' ', split ' ', $text // '(bad)'];
    } @words[0 .. $last];
}

my $directory = File::Temp->newdir;
for (@here) {
    my ($system, $arch) = @$_;
    my $platform = "$system $arch";
    my $tool = $arch eq 'arm64' ? 'llvm-mc' : 'objdump';
    SKIP: {
        my $path = find_program($tool)
            // skip "$platform: $tool is not installed, no stub is disassembled", 1;
        subtest "$platform: entry and sites are instructions" => sub {
            my $stub = $stub{$platform};
            my $slot = "$directory/slot";
            open my $file, '>:raw', $slot or die "$slot: $!";
            print {$file} $stub->{bytes};
            close $file or die "$slot: $!";
            for (['probe', @{$stub}{qw(probe site)}],
                ['is-enabled', @{$stub}{qw(isenabled isenabled_site)}]) {
                my ($what, $entry, $site) = @$_;
                my @found = $arch eq 'arm64' ? disassemble_arm64($path, $slot, $stub->{bytes}, $entry)
                    : disassemble_x86($path, $slot, $arch, $entry);
                like $found[-1][2] // 'nothing', qr/^ret/, "$what: it returns";
                is join(', ', grep { /bad|undefined|udf/ } map { $_->[2] } @found), '',
                    "$what: each instruction on the way is one";
                my ($at) = grep { $_->[0] == $site } @found;
                like $at ? $at->[2] : 'nothing', qr/^(?:nop$|mov\s+x0, #0)/,
                    "$what: an instruction begins at the site, and does nothing";
                next if $platform ne 'linux x86_64' || $what ne 'probe';
                my ($next) = grep { $_->[0] == $site + 1 } @found;
                is $next ? $next->[1] : 0, 10, "$what: the one behind it is 10 bytes";
                like $next ? $next->[2] : '', qr/nopw/, "$what: and does nothing";
            }
        };
    }
}

SKIP: {
    my $readelf = find_program('readelf') // skip 'readelf is not installed', 1;
    for my $arch (@images) {
        my $file = build_elf('linux', $arch, 0, definition('prov', 'mod', @SLOTS));
        my $image = "$directory/image";
        open my $out, '>:raw', $image or die "$image: $!";
        print {$out} $file->{bytes};
        close $out or die "$image: $!";
        my ($code, $text, $errors) = run({}, $readelf, qw(-a -W), $image);
        is "$code $errors" . join('', grep { /warning|error/i } split /^/, $text), '0 ',
            "linux $arch: readelf has nothing to complain of";
        like $text, qr/NT_STAPSDT.*?Provider: prov\s+Name: twelve/s, "linux $arch: and lists the notes";
    }
}

# ---------------------------------------------------------------------------------------------------
# The reader. Each case breaks one rule of a good image, and that one is found broken.

# Where a member is in the structures of ELFCLASS64 (gABI).
my %HEADER = (
    magic => 0, class => 4, data => 5, ident_version => 6, type => 16, machine => 18, version => 20,
    phoff => 32, shoff => 40, ehsize => 52, phentsize => 54, phnum => 56, shentsize => 58, shnum => 60,
    shstrndx => 62,
);
my %SEGMENT = (type => 0, flags => 4, offset => 8, vaddr => 16, filesz => 32, memsz => 40, align => 48);
my %SECTION = (name => 0, type => 4, flags => 8, addr => 16, offset => 24, size => 32, addralign => 48);

# Edits: functions of ($bytes, $elf) that return the new bytes. These put values in a place.
sub in_header {
    my ($member, @values) = @_;
    return sub { poke($_[0], $HEADER{$member}, @values) };
}

sub at_segment { my ($elf, $i, $member) = @_; return $elf->{header}{phoff} + 56 * $i + $SEGMENT{$member} }

sub in_segment {
    my ($i, $member, @values) = @_;
    return sub { poke($_[0], at_segment($_[1], $i, $member), @values) };
}

sub at_section {
    my ($elf, $name, $member) = @_;
    return $elf->{header}{shoff} + 64 * $elf->section($name)->{index} + $SECTION{$member};
}

sub in_section {
    my ($name, $member, @values) = @_;
    return sub { poke($_[0], at_section($_[1], $name, $member), @values) };
}

sub in_build_id {
    my ($at, @values) = @_;
    return sub { poke($_[0], $_[1]->section('.note.gnu.build-id')->{offset} + $at, @values) };
}

# A section takes the name of another.
sub renamed {
    my ($name, $new) = @_;
    return sub { poke($_[0], at_section($_[1], $name, 'name'), 'L<', $_[1]->section($new)->{name_offset}) };
}

# Two headers of a table change places.
sub swapped {
    my ($table, $size, $i, $k) = @_;
    return sub {
        my ($bytes, $elf) = @_;
        my ($first, $second) = map { $elf->{header}{$table} + $size * $_ } $i, $k;
        my ($old, $new) = map { substr $bytes, $_, $size } $first, $second;
        return poke(poke($bytes, $first, 'a*', $new), $second, 'a*', $old);
    };
}

# In a note: values at a distance from the site; other text of the same length among the three strings.
sub in_note {
    my ($n, $at, @values) = @_;
    return sub { poke($_[0], $_[1]{notes}[$n]{at} + $at, @values) };
}

sub note_text {
    my ($n, $old, $new) = @_;
    die "\"$old\" and \"$new\" differ in length" if length $old != length $new;
    return sub {
        my ($bytes, $elf) = @_;
        my $at = index $bytes, $old, $elf->{notes}[$n]{at};
        return poke($bytes, $at, 'a*', $new);
    };
}

sub edits {
    my @edits = @_;
    return sub {
        my ($bytes, $elf) = @_;
        $bytes = $_->($bytes, $elf) for @edits;
        return $bytes;
    };
}

# Two bytes before the notes, and as many behind as keep the section headers aligned.
sub notes_moved {
    my ($bytes, $elf) = @_;
    my ($notes, $names) = map { $elf->section($_) } '.note.stapsdt', '.shstrtab';
    my $end = $names->{offset} + $names->{size};
    for ([$notes, 'offset', 'Q<', $notes->{offset} + 2], [$notes, 'addralign', 'Q<', 1],
        [$names, 'offset', 'Q<', $names->{offset} + 2], [$names, 'addralign', 'Q<', 1]) {
        my ($section, $member, @values) = @$_;
        $bytes = poke($bytes, at_section($elf, $section->{name}, $member), @values);
    }
    substr $bytes, $end, 0, "\0" x 6;
    substr $bytes, $notes->{offset}, 0, "\0" x 2;
    return poke($bytes, $HEADER{shoff}, 'Q<', $elf->{header}{shoff} + 8);
}

# A table of section names that has .probes instead of .shstrtab.
my $probes_named = sub {
    my ($bytes, $elf) = @_;
    my $names = $elf->section('.shstrtab');
    return poke($bytes, $names->{offset} + $names->{name_offset}, 'a*', ".probes\0");
};

# The segments of the image; that of the build-id's note is loaded by the other, so that what becomes of
# its numbers breaks nothing else. The text is what is between the two numbers, and the base is behind it.
my ($LOADED, $NOTE) = (0, 1);
my ($TEXT, $TEXT_END) = (256, 4096);
my $FAR = 1 << 40;

# A segment takes another place, in the file and in memory.
sub placed {
    my ($i, $from, $end) = @_;
    return edits((map { in_segment($i, $_, 'Q<', $from) } qw(offset vaddr)),
        map { in_segment($i, $_, 'Q<', $end - $from) } qw(filesz memsz));
}

# The segment of the build-id's note becomes one that is loaded also: where it is, which is in the other
# one; or behind the other one, which is where a second one may be.
my $note_loaded = in_segment($NOTE, type => 'L<', 1);
my $two_loaded  = edits($note_loaded, placed($NOTE, $TEXT_END + 4, $TEXT_END + 8));
my $TWELVE = '-8@%rdi -8@%rsi -8@%rdx -8@%rcx -8@%r8 -8@%r9 -8@0(%rsp) -8@8(%rsp) -8@16(%rsp) -8@24(%rsp)'
    . ' -8@32(%rsp) -8@40(%rsp)';
my $THIRTEEN = join ' ', ('-8@0(%rsp)') x 6, '-8@%rdi', ('8@%rdi') x 6;

my @header_cases = (
    ['the magic number', in_header(magic => 'C', 0x7e), 'no ELF magic number'],
    ['an unknown class', in_header(class => 'C', 3), 'class 3'],
    ['another byte order', in_header(data => 'C', 2), 'byte order 2, not 1 (LSB)'],
    ['the version of the identification', in_header(ident_version => 'C', 0), 'the version is not 1'],
    ['the version', in_header(version => 'L<', 2), 'the version is not 1'],
    ['a program instead of a shared object', in_header(type => 'S<', 2), 'type 2, not 3 (ET_DYN)'],
    ['another machine', in_header(machine => 'S<', 40), 'machine 40'],
    ['a machine of 32 bits', in_header(machine => 'S<', 3), 'class 2 on i386'],
    ['half a header', sub { substr $_[0], 0, 63 }, 'the file is 63 bytes, not a header'],
    ['the size of the header', in_header(ehsize => 'S<', 52), 'e_ehsize 52, not 64'],
    ['no program headers', in_header(phnum => 'S<', 0), 'no program headers'],
    ['program headers of 32 bits', in_header(phentsize => 'S<', 32), 'program headers of 32 bytes, not 56'],
    ['program headers outside', in_header(phoff => 'Q<', $FAR),
        qr/\A2 program headers at $FAR reach beyond \d+\z/],
    ['program headers not aligned', in_header(phoff => 'Q<', 68),
        'program headers at 68, not a multiple of 8'],
    ['no section headers', in_header(shnum => 'S<', 0), 'no section headers'],
    ['section headers nowhere', in_header(shoff => 'Q<', 0), 'no section headers'],
    ['section headers of 32 bits', in_header(shentsize => 'S<', 40), 'section headers of 40 bytes, not 64'],
    ['section headers outside', in_header(shoff => 'Q<', ~0),
        qr/\A7 section headers at \d+ reach beyond \d+\z/],
    ['section headers not aligned', in_header(shoff => 'Q<', 68),
        'section headers at 68, not a multiple of 8'],
    ['section names in no section', in_header(shstrndx => 'S<', 7), 'section 7 is no string table'],
    ['section names in the text', in_header(shstrndx => 'S<', 2), 'section 2 is no string table'],
);

my @segment_cases = (
    ['a writable text', in_segment($LOADED, flags => 'L<', 7), 'segment 0 is writable and executable'],
    ['a text that is not executable', in_segment($LOADED, flags => 'L<', 4),
        '.text is in no segment that loads it'],
    ['an address that is not the place in the file', in_segment($NOTE, vaddr => 'Q<', 4096),
        qr/\Asegment 1 is at 4096, but at \d+ in the file\z/],
    ['a segment mapped elsewhere', in_segment($LOADED, vaddr => 'Q<', 0x1800),
        ['segment 0 is at 6144, but at 0 in the file',
            '.note.gnu.build-id is in no segment that loads it']],
    ['a text mapped elsewhere', edits($note_loaded, in_segment($LOADED, vaddr => 'Q<', 0x1800)),
        ['segment 0 is at 6144, but at 0 in the file', 'segment 1 lies before the end of another',
            '.text is in no segment that loads it']],
    ['a segment that is longer than the file',
        edits(map { in_segment($NOTE, $_, 'Q<', $FAR) } qw(filesz memsz)),
        qr/\Asegment 1 reaches beyond \d+\z/],
    ['a segment with less in memory than in the file', in_segment($NOTE, memsz => 'Q<', 0),
        qr/\Asegment 1 is \d+ bytes in the file, 0 in memory\z/],
    ['a segment of alignment 3', in_segment($NOTE, align => 'Q<', 3), 'segment 1 has alignment 3'],
    ['no rule, by two segments that are loaded', $two_loaded, []],
    ['segments in another order', edits($two_loaded, swapped(phoff => 56, 0, 1)),
        'segment 1 lies before the end of another'],
    ['segments that overlap', $note_loaded, 'segment 1 lies before the end of another'],
    ['segments that overlap in a byte', edits($two_loaded, placed($NOTE, $TEXT_END, $TEXT_END + 8)),
        'segment 1 lies before the end of another'],
    ['an image that no segment loads', in_segment($LOADED, type => 'L<', 4),
        '.note.gnu.build-id is in no segment that loads it'],
    ['a text that no segment loads', edits($note_loaded, in_segment($LOADED, type => 'L<', 4)),
        '.text is in no segment that loads it'],
    ['a text that is loaded but for a byte', placed($LOADED, 0, $TEXT_END - 1),
        '.text is in no segment that loads it'],
    ['a base that no segment loads', placed($LOADED, 0, $TEXT_END),
        '.stapsdt.base is in no segment that loads it'],
    ['a segment of the text from behind the headers', placed($LOADED, 176, $TEXT_END + 1),
        'the segment of .text starts at 176 in the file, not at 0'],
    ['a segment of the headers, and one of the text',
        edits($note_loaded, placed($LOADED, 0, $TEXT), in_segment($LOADED, flags => 'L<', 4),
            placed($NOTE, $TEXT, $TEXT_END + 1), in_segment($NOTE, flags => 'L<', 5)),
        "the segment of .text starts at $TEXT in the file, not at 0"],
    ['a text from another place in the file', in_segment($LOADED, offset => 'Q<', 64),
        ['segment 0 is at 0, but at 64 in the file',
            'the segment of .text starts at 64 in the file, not at 0']],
);

my @section_cases = (
    ['section 0', sub { poke($_[0], $_[1]{header}{shoff} + 4, 'L<', 1) }, 'section 0 is not null'],
    ['an address that is not the place in the file', in_section('.note.gnu.build-id', addr => 'Q<', 256),
        qr/\A\.note\.gnu\.build-id is at 256, but at \d+ in the file\z/],
    ['a section that is longer than the file', in_section('.note.stapsdt', size => 'Q<', $FAR),
        qr/\Asection 4 reaches beyond \d+\z/],
    ['a section behind the file', in_section('.note.stapsdt', offset => 'Q<', ~0),
        qr/\Asection 4 reaches beyond \d+\z/],
    ['a name behind the names', in_section('.text', name => 'L<', 9999),
        qr/\Asection 2 has its name at 9999 of \d+\z/],
    ['names without an end', sub {
            my $names = $_[1]->section('.shstrtab');
            return poke($_[0], $names->{offset} + $names->{size} - 1, 'a', 'x');
        }, 'the section names do not end with a NUL'],
    ['a section of alignment 3', in_section('.text', addralign => 'Q<', 3), '.text has alignment 3'],
    ['a section that is not aligned', in_section('.text', addralign => 'Q<', 1 << 20),
        ".text is at $TEXT, not a multiple of 1048576"],
    ['no text', renamed('.text', '.shstrtab'), 'there is no .text'],
    ['a text of another type', in_section('.text', type => 'L<', 8), '.text has type 8, not 1'],
    ['a text that is not executable', in_section('.text', flags => 'Q<', 2), '.text has flags 2, not 6'],
    ['a text that is not mapped', in_section('.text', flags => 'Q<', 4), '.text has flags 4, not 6'],
    ['a text that is writable', in_section('.text', flags => 'Q<', 7),
        ['.text is in no segment that loads it', '.text has flags 7, not 6']],
    ['a text that ends a slot before the page', in_section('.text', size => 'Q<', $TEXT_END - $TEXT - 64),
        '.text ends at 4032, not at the end of a page'],
    ['a text that ends a byte before the page', in_section('.text', size => 'Q<', $TEXT_END - $TEXT - 1),
        '.text ends at 4095, not at the end of a page'],
    ['a text that ends at half the page', in_section('.text', size => 'Q<', 2048 - $TEXT),
        '.text ends at 2048, not at the end of a page'],
    ['a text of a page that begins within one', in_section('.text', size => 'Q<', 4096),
        ['.text is in no segment that loads it', '.stapsdt.base and .text overlap',
            '.text ends at 4352, not at the end of a page']],
    ['no base', renamed('.stapsdt.base', '.shstrtab'), 'there is no .stapsdt.base'],
    ['a base of two bytes', edits(placed($LOADED, 0, $TEXT_END + 2),
        in_section('.stapsdt.base', size => 'Q<', 2)), '.stapsdt.base is 2 bytes, not 1'],
    ['a base that is not mapped', in_section('.stapsdt.base', flags => 'Q<', 0),
        '.stapsdt.base has flags 0, not 2'],
    ['no notes section', renamed('.note.stapsdt', '.shstrtab'), 'there is no .note.stapsdt'],
    ['notes of another type', in_section('.note.stapsdt', type => 'L<', 1),
        '.note.stapsdt has type 1, not 7'],
    ['notes before the base', swapped(shoff => 64, 3, 4), '.note.stapsdt comes before .stapsdt.base'],
    ['the base before the text', swapped(shoff => 64, 2, 3), '.stapsdt.base comes before .text'],
    ['notes before .probes', $probes_named, '.note.stapsdt comes before .probes'],
    ['notes not aligned', \&notes_moved,
        ['.usdt.probes and .note.stapsdt overlap', qr/\A\.note\.stapsdt is at \d+, not a multiple of 4\z/]],
    ['parts that overlap', sub {
            my $names = $_[1]->section('.shstrtab');
            return poke($_[0], at_section($_[1], '.shstrtab', 'size'), 'Q<', $names->{size} + 32);
        }, 'the section headers and .shstrtab overlap'],
    ['no build-id', renamed('.note.gnu.build-id', '.shstrtab'), 'there is no .note.gnu.build-id'],
    ['a build-id of another type', in_build_id(8, 'L<', 4), 'the build-id is not one GNU note of type 3'],
    ['a build-id of another owner', in_build_id(12, 'a*', 'gnu'),
        'the build-id is not one GNU note of type 3'],
    ['a build-id of 16 bytes',
        edits(in_section('.note.gnu.build-id', size => 'Q<', 32), in_build_id(4, 'L<', 16)),
        'the build-id is 16 bytes, not 20'],
);

my @note_cases = (
    ['no notes', in_section('.note.stapsdt', size => 'Q<', 0), 'there are no notes'],
    ['a note that is too long', in_note(1, -16, 'L<', 9999),
        qr/\Aa note at \d+ of \.note\.stapsdt reaches beyond it\z/],
    ['half a note',
        sub {
            my ($bytes, $elf) = @_;
            my $section = $elf->section('.note.stapsdt');
            my $size = $elf->{notes}[2]{at} - 12 - $section->{offset};
            return poke($bytes, at_section($elf, '.note.stapsdt', 'size'), 'Q<', $size);
        },
        qr/\Aa note at \d+ of \.note\.stapsdt reaches beyond it\z/],
    ['a note of another owner', in_note(1, -8, 'a*', 'stapsdx'), 'note 1 is not stapsdt, type 3'],
    ['a note of another type', in_note(1, -12, 'L<', 4), 'note 1 is not stapsdt, type 3'],
    ['two strings instead of three', in_note(1, 24 + length 'prov', 'a', ':'),
        'note 1 is not three words and three strings'],
    ['four strings', in_note(1, 25, 'C', 0), 'note 1 is not three words and three strings'],
    ['a site before the text', in_note(1, 0, 'Q<', 255), 'note 1 has its site at 255, outside .text'],
    ['a site behind the text', in_note(1, 0, 'Q<', 4096), 'note 1 has its site at 4096, outside .text'],
    ['another base', in_note(1, 8, 'Q<', 4097), 'note 1 has base 4097, not 4096'],
    ['no base', in_note(1, 8, 'Q<', 0), 'note 1 has base 0, not 4096'],
    ['a semaphore without .probes', in_note(1, 16, 'Q<', 4096), 'note 1 has a semaphore outside .probes'],
    ['a semaphore at an odd address', edits($probes_named, in_note(1, 16, 'Q<', 1)),
        ['.note.stapsdt comes before .probes', 'note 1 has its semaphore at 1, an odd address']],
    ['a semaphore that is not writable', edits($probes_named, in_note(1, 16, 'Q<', 2)),
        ['.note.stapsdt comes before .probes', 'note 1 has its semaphore where nothing is writable']],
    (map { ["provider $_", note_text(1, 'prov', $_), "note 1: provider \"$_\" is no name"] }
        'p:ov', '9rov', 'p ov', '-rov'),
    (map { ["name $_", note_text(1, 'one', $_), "note 1: name \"$_\" is no name"] }
        'o:e', '1ne', 'o e', '.ne'),
    ['a name of 64 bytes', note_text(3, 'n' x 63 . "\0-4", 'n' x 64 . "\0" . '4'),
        'note 3: name of 64 bytes, at most 63'],
    ['13 operands', note_text(2, $TWELVE, $THIRTEEN), 'note 2 has 13 operands, at most 12'],
    (map {
        my ($new, $what) = @$_;
        ["operand $new", note_text(2, '-8@%rdi', $new), "note 2: operand \"$new\" $what"];
    } ['-8@%edi', 'is 8 bytes in a register name of 4'], ['-4@%rdi', 'is 4 bytes in a register name of 8'],
        ['-8@%sil', 'is 8 bytes in a register name of 1'], ['-8@%rxx', 'is in no register of x86_64'],
        ['-8@%mm0', 'is in no register of x86_64'],
        map { [$_, 'is not of a form that all tracers read'] } '-8@$123', '8f@%xmm', '-3@%rdi', '16@%rdi',
            '%rdi+12', '-8@(rd)', '+8@%rdi', '-8@12(%'),
    ['an operand in the caller\'s frame', note_text(2, '-8@8(%rsp)', '-8@8(%rbp)'),
        'note 2: operand "-8@8(%rbp)" is no argument on the stack'],
    ['an operand below the stack', note_text(2, '-8@16(%rsp)', '-8@-8(%rsp)'),
        'note 2: operand "-8@-8(%rsp)" is no argument on the stack'],
    ['an operand between two words', note_text(2, '-8@8(%rsp)', '-8@4(%rsp)'),
        'note 2: operand "-8@4(%rsp)" is no argument on the stack'],
    ['two spaces', note_text(2, '-8@%r8 -8@%r9', '-8@%r8  8@%r9'),
        'note 2: operand "" is not of a form that all tracers read'],
);

my @i386_cases = (
    ['a register', note_text(2, '-4@0(%esp) -4@4(%esp)', '-4@%eax -4@1004(%esp)'),
        'note 2: operand "-4@%eax" is in no register of i386'],
    ['8 bytes', note_text(2, '-4@0(%esp)', '-8@0(%esp)'),
        'note 2: operand "-8@0(%esp)" is wider than a word'],
    ['the stack pointer of x86_64', note_text(2, '-4@4(%esp)', '-4@4(%rsp)'),
        'note 2: operand "-4@4(%rsp)" is no argument on the stack'],
    ['between two words', note_text(2, '-4@4(%esp)', '-4@6(%esp)'),
        'note 2: operand "-4@6(%esp)" is no argument on the stack'],
);

my @arm64_cases = (
    ['a register name of 32 bits', note_text(2, '-8@x0', '-8@w0'),
        'note 2: operand "-8@w0" is not of a form that all tracers read'],
    ['no register', note_text(2, '-8@x6 -8@x7', '8@x31 -8@x7'),
        'note 2: operand "8@x31" is in no register of arm64'],
    ['another base', note_text(2, '-8@[sp, 8]', '-8@[x1, 8]'),
        'note 2: operand "-8@[x1, 8]" is no argument on the stack'],
    ['between two words', note_text(2, '-8@[sp, 8]', '-8@[sp, 4]'),
        'note 2: operand "-8@[sp, 4]" is no argument on the stack'],
    ['the spelling of x86', note_text(2, '-8@[sp, 8]', '-8@88(%sp)'),
        'note 2: operand "-8@88(%sp)" is not of a form that all tracers read'],
);

my %good;    # bytes and structure of the image that is edited
sub good {
    my ($arch) = @_;
    return @{ $good{$arch} //= do {
        my $file = build_elf('linux', $arch, 0, definition('prov', 'mod', ['f', 'zero'], ['f', 'one', 'int'],
            ['f', 'twelve', ('int64_t') x 12], ['f', 'n' x 63, 'int']));
        [$file->{bytes}, USDT::ELF->parse($file->{bytes})];
    } };
}

sub check_case {
    my ($arch, $case) = @_;
    my ($name, $edit, $expected) = @$case;
    my @expected = ref $expected eq 'ARRAY' ? @$expected : $expected;
    my @found = USDT::ELF->parse($edit->(good($arch)))->violations;
    my @wrong = grep {
        my $rule = $expected[$_] // '';
        ref $rule ? $found[$_] !~ $rule : $found[$_] ne $rule;
    } 0 .. $#found;
    ok @found == @expected && !@wrong, $name or diag explain { found => \@found, expected => \@expected };
    return;
}

for (['x86_64', 'the header', @header_cases], ['x86_64', 'the segments', @segment_cases],
    ['x86_64', 'the sections', @section_cases], ['x86_64', 'the notes', @note_cases],
    ['i386', 'operands on i386', @i386_cases], ['arm64', 'operands on arm64', @arm64_cases]) {
    my ($arch, $of, @cases) = @$_;
    SKIP: {
        skip "one broken rule of $of: no $arch here", 1 if !$stub{"linux $arch"};
        subtest "one broken rule of $of is found, and no other" => sub { check_case($arch, $_) for @cases };
    }
}

subtest 'bytes that are no image are violations, not deaths' => sub {
    srand 20;
    my ($died, $noticed) = ('', 0);
    local $SIG{__WARN__} = sub { die @_ };
    my $judge = sub {
        my ($bytes, $what) = @_;
        my @found = eval { USDT::ELF->parse($bytes)->violations };
        $died ||= "$what: $@" if $@;
        return scalar @found;
    };
    for my $n (1 .. 500) {
        my ($bytes, $elf) = good($images[rand @images]);
        # Between the headers with the build-id and the base is only text.
        my ($head, $tail) = map { $elf->section($_)->{offset} } qw(.text .stapsdt.base);
        for (1 .. 1 + rand 6) {
            my $at = rand() < 0.5 ? rand $head : $tail + rand(length($bytes) - $tail);
            substr($bytes, $at, 1, chr rand 256);
        }
        $bytes = substr $bytes, 0, rand length $bytes if rand() < 0.2;
        $noticed++ if $judge->($bytes, "corruption $n");
    }
    is $died, '', 'none of 500 corruptions is fatal';
    cmp_ok $noticed, '>', 250, 'most are noticed';

    my ($bytes, $elf) = good($images[0]);
    my @lengths = (0 .. 400, map { int rand length $bytes } 1 .. 200);
    my @silent = grep { !$judge->(substr($bytes, 0, $_), "cut to $_") } @lengths, length($bytes) - 1;
    is $died, '', 'none of ' . @lengths . ' truncations is fatal';
    is "@silent", '', 'and each is noticed';
};

done_testing;
