# dump.t - usdt dump says what a document or an image holds, who accepts it, and if nobody does, for which rule; and
# whatever a file is, it comes to an end.
use strict;
use warnings;
use File::Temp ();
use POSIX ();
use Test::More;
use USDT::Build qw(@PLATFORMS definition build_dof build_elf here must_be_here run peek poke);
use USDT::Program;

my $usdt = ($ENV{O} // '.') . '/usdt';
plan skip_all => "$usdt has not been built" if !-x $usdt;

my @runner = split ' ', $ENV{USDT_TEST_RUNNER} // '';
my $dir = File::Temp->newdir;
my $serial = 0;

sub file_of {
    my ($bytes) = @_;
    my $path = "$dir/file" . ++$serial;
    open my $file, '>:raw', $path or die "$path: $!";
    print {$file} $bytes or die "$path: $!";
    close $file or die "$path: $!";
    return $path;
}

# Dumps bytes, or what is named: exit code, standard output, standard error.
sub dump_of { return run({}, @runner, $usdt, 'dump', @_) }
sub dump_bytes { return dump_of(file_of($_[0])) }

# What is said of a system.
sub verdict {
    my ($text, $system, $arch) = @_;
    return $text =~ /^  \Q$system\E +\Q$arch\E +(.*)$/m ? $1 : undef;
}

my @here = grep { here(@$_) } @PLATFORMS;
must_be_here(@$_) && !here(@$_) and fail "@$_ is described here" for @PLATFORMS;
my $DEFINITION = definition('prov', 'mod', ['main', 'start', 'int', 'char *'], undef, ['main', 'done']);

# ---------------------------------------------------------------------------------------------------

for (@here) {
    my ($system, $arch) = @$_;
    my ($document) = build_dof($system, $arch, 0x10000, 0x20000, $DEFINITION);
    my ($code, $text, $err) = dump_bytes($document->{bytes});
    subtest "a document for $system $arch" => sub {
        is "$code $err", '0 ', 'is dumped';
        my $version = peek($document->{bytes}, 6, 'C');
        like $text, qr/^  version $version, .*\((?:I|L)(?:LP32|P64)\), encoding 1 \(LSB\)/m, 'its header';
        like $text, qr/^provider prov, 2 probes\n/m, 'its provider';
        like $text, qr/^  main:start\(int, char \*\)\n    site [0-9a-f]+[-+][0-9a-f]+\n    is-enabled site \S+\n/m,
            'a probe';
        like $text, qr/^  main:done\(\)\n    site /m, 'and one without arguments';
        is verdict($text, $system, $arch), 'accepted', 'its system accepts it';
        for my $other (map { $_->[0] } grep { $_->[1] eq $arch } @PLATFORMS) {
            my $verdict = verdict($text, $other, $arch);
            if ($version != 3 && $other eq 'macos') {
                like $verdict, qr/^not accepted: refused; .* \[DOF_VERSION: 2 on macos\]$/,
                    'macOS takes only version 3';
            } elsif ($version == 3 && $other =~ /freebsd|illumos/) {
                my $rule = 'the version is one that the system takes';
                like $verdict, qr/^not accepted: refused; .* $rule \[DOF_VERSION: 3 on $other\]$/,
                    "$other does not take version 3";
            } elsif ($version == 2 && $other eq 'linux') {
                like $verdict, qr/^accepted, but .*DOF_ENABLED_LOST/, 'Linux has no is-enabled probes in version 2';
            } elsif ($system eq 'macos' && $other eq 'linux') {
                like $verdict, qr/^accepted, but .*DOF_OFFSET_NEGATIVE/, 'Linux reads offsets of another base';
            }
        }
        my $bits = $arch eq 'i386' ? qr/x86_64|arm64/ : qr/i386/;
        unlike $text, qr/^  \S+ +(?:$bits) /m, 'processors of another width are not asked';
    };
}

# ---- broken documents: what is changed in one of Linux, the rule that is named, by whom. Header and section header as
# in <sys/dtrace.h>: dof_hdr_t has 64 bytes, section headers of 32 follow it. ----

my ($dof) = here('linux', 'x86_64') ? build_dof('linux', 'x86_64', 0x10000, 0x20000, $DEFINITION) : ();

sub section {
    my ($bytes, $type) = @_;
    my ($count, $table) = unpack 'x28 V Q<', $bytes;
    for my $at (map { $table + 32 * $_ } 0 .. $count - 1) {
        return { header => $at, offset => peek($bytes, $at + 16, 'Q<'), size => peek($bytes, $at + 24, 'Q<') }
            if peek($bytes, $at, 'V') == $type;
    }
    die "no section of type $type";
}

sub renamed {
    my ($bytes, $from, $to) = @_;
    $bytes =~ s/\0\Q$from\E\0/\0$to\0/ or die "$from is not there";
    return $bytes;
}

subtest 'broken documents' => sub {
    plan skip_all => 'this assembler makes no document for linux x86_64' if !$dof;
    my $good = $dof->{bytes};
    my %at = (strings => section($good, 8), provider => section($good, 15), probes => section($good, 16),
        offsets => section($good, 18));
    my ($refused, $lost, $but) = ('not accepted: refused; it breaks the rule: ',
        'not accepted: taken, but its probes are lost; it breaks the rule: ',
        'accepted, but libusdt keeps one more rule: ');
    my @broken = (
        [DOF_MODEL_KNOWN => $refused, poke($good, 4, 'C', 3)],
        [DOF_ENCODING => $refused, poke($good, 5, 'C', 2)],
        [DOF_VERSION => $refused, poke($good, 6, 'C', 4)],
        [DOF_DIF_VERSION => $refused, poke($good, 7, 'C', 1)],
        [DOF_REGISTERS => $refused, poke($good, 8, 'C', 9)],
        [DOF_IDENT => $refused, poke($good, 12, 'C', 1)],
        [DOF_FLAGS => $refused, poke($good, 16, 'V', 1)],
        [DOF_SECTION_SIZE => $refused, poke($good, 24, 'V', 40)],
        [DOF_TABLE_BOUNDS => $refused, poke($good, 28, 'V', 0xffffffff)],
        [DOF_TABLE_ALIGNED => $refused, poke($good, 32, 'Q<', 60)],
        [DOF_LOADED_SMALL => $refused, poke($good, 40, 'Q<', 63)],
        [DOF_LOADED_LIMIT => $refused, poke($good, 40, 'Q<', 1 << 40)],
        [DOF_LOADED => $refused, substr $good, 0, -1],
        [DOF_SHORT => $refused, substr $good, 0, 63],
        [DOF_SHORT => $refused, substr $good, 0, 4],
        [DOF_FILE_SIZE => $but, poke($good, 48, 'Q<', 1)],
        [DOF_SECTION_BOUNDS => $refused, poke($good, $at{probes}{header} + 16, 'Q<', 1 << 50)],
        [DOF_SECTION_ALIGN => $refused, poke($good, $at{probes}{header} + 4, 'V', 3)],
        [DOF_SECTION_LOAD => $refused, poke($good, $at{offsets}{header} + 8, 'V', 0)],
        [DOF_ENTRY_SIZE => $refused, poke($good, $at{probes}{header} + 12, 'V', 47)],
        [DOF_PROVIDER_NONE => $lost, poke($good, $at{provider}{header}, 'V', 1)],
        [DOF_STRINGS_NUL => $refused, poke($good, $at{strings}{offset} + $at{strings}{size} - 1, 'C', 65)],
        [DOF_STRING => $refused, poke($good, $at{provider}{offset} + 16, 'V', 1 << 20)],
        [DOF_REFERENCE => $refused, poke($good, $at{provider}{offset}, 'V', 99)],
        [DOF_STABILITY => $lost, poke($good, $at{provider}{offset} + 20, 'V', 0x08000000)],
        [DOF_PROVIDER_DIGIT => $lost, renamed($good, 'prov', 'pro9')],
        [DOF_PROVIDER_NAME => $lost, renamed($good, 'prov', 'a:b ')],
        [DOF_PROVIDER_RESERVED => $lost, renamed($good, 'prov', "pid\0")],
        [DOF_PROBE_NAME => $lost, renamed($good, 'start', '9tart')],
        [DOF_OFFSETS_NONE => $refused, poke($good, $at{probes}{offset} + 34, 'v', 0)],
        [DOF_OFFSETS_BOUNDS => $refused, poke($good, $at{probes}{offset} + 28, 'V', 99)],
        [DOF_SAME_ADDRESS => $refused, poke($good, $at{probes}{offset} + 48, 'Q<', 0x10000)],
        [DOF_SECTION_TWICE => 'not judged: ', poke($good, $at{offsets}{header}, 'V', 17)],
    );
    for (@broken) {
        my ($rule, $words, $bytes) = @$_;
        my ($code, $text, $err) = dump_bytes($bytes);
        my $verdict = verdict($text, 'linux', 'x86_64') // 'none';
        like $verdict, qr/^\Q$words\E.*\[$rule: /, $rule or diag $text;
        is "$code $err", ($verdict =~ /^accepted/ ? '0 ' : '1 '), 'and the exit code says so';
    }
    my ($macos) = build_dof('macos', 'x86_64', 0x10000, 0x20000, $DEFINITION);
    my (undef, $text) = dump_bytes(renamed($macos->{bytes}, 'prov', 'objc'));
    like verdict($text, 'macos', 'x86_64'), qr/^\Q$lost\E.*\[DOF_PROVIDER_RESERVED: "objc"\]$/, 'objc is not for macOS';
    (undef, $text) = dump_bytes(renamed($good, 'prov', 'objc'));
    is verdict($text, 'linux', 'x86_64'), 'accepted', 'but for Linux';
    my ($code, $behind) = dump_bytes($good . 'more');
    is "$code " . verdict($behind, 'linux', 'x86_64'), '0 accepted', 'what is behind a document does not count';
    like $behind, qr/the last 4 bytes of the file are no part of it/, 'but is named';
    my (undef, $escaped) = dump_bytes(renamed($good, 'start', "\e[2\x7f\x9b"));
    like $escaped, qr/main:\\x1b\[2\\x7f\\x9b\(/, 'control characters are not printed';
    unlike $escaped, qr/[^\n -~]/, 'not anywhere';
};

# ---------------------------------------------------------------------------------------------------

for my $arch (map { $_->[1] } grep { $_->[0] eq 'linux' } @here) {
    for my $flags ($arch eq 'x86_64' ? (0 .. 3) : (0, 2)) {
        my $image = build_elf('linux', $arch, $flags, $DEFINITION);
        subtest "an image for $arch, flags $flags" => sub {
            my ($code, $text, $err) = dump_bytes($image->{bytes});
            is "$code $err", '0 ', 'is dumped';
            like $text, qr/^  class \d \((?:32|64) bits\), machine \d+ \($arch\), type 3/m, 'its header';
            like $text, qr/^  build-id $image->{'build-id'}, 2 probes, made by libusdt$/m, 'its build-id';
            my $semaphore = $flags & 2 ? qr/, semaphore [0-9a-f]+/ : '';
            my $operands = qr/operands -4@\S+ [48]@\S+/;
            like $text, qr/^provider prov\n  main:start\(int, char \*\)\n    site [0-9a-f]+$semaphore, $operands\n/m,
                'a probe';
            like $text, qr/^  main:done\(\)\n    site [0-9a-f]+$semaphore$/m, 'and one without arguments';
            is verdict($text, 'linux', $arch), 'accepted', 'Linux accepts it';
            my @others = $text =~ /^  (?:illumos|freebsd|macos) .*?(not accepted: its DTrace takes DOF documents)/mg;
            is scalar @others, ($arch eq 'arm64' ? 1 : 3), 'no other system does';
        };
    }
}

subtest 'broken images' => sub {
    plan skip_all => 'this assembler makes no image for linux x86_64' if !here('linux', 'x86_64');
    my $good = build_elf('linux', 'x86_64', 2, $DEFINITION)->{bytes};
    my $foreign = $good =~ s/\.usdt\.probes\0/.else.probes\0/r;
    my $notes = index $good, "stapsdt\0";
    my $site = peek($good, $notes + 8, 'Q<');
    my ($refused, $partly, $but) = ('not accepted: refused; it breaks the rule: ',
        'accepted, but not by every tracer; it breaks the rule: ', 'accepted, but libusdt keeps one more rule: ');
    my @broken = (
        [ELF_SHORT => $refused, substr $good, 0, 63],
        [ELF_SHORT => $refused, substr $good, 0, 4],
        [ELF_CLASS => $refused, poke($good, 4, 'C', 3)],
        [ELF_DATA => $refused, poke($good, 5, 'C', 2)],
        [ELF_TYPE => $but, poke($good, 16, 'v', 2)],
        [ELF_TABLE_NONE => $refused, poke($good, 60, 'v', 0)],
        [ELF_TABLE_BOUNDS => $refused, poke($good, 40, 'Q<', 1 << 50)],
        [ELF_HEADER_ZERO => $but, poke($good, 24, 'Q<', 1)],
        [ELF_SECTION_MISSING => $refused, $good =~ s/\.note\.stapsdt\0/.note.nothing\0/r],
        [ELF_SECTION_MISSING => $partly, $good =~ s/\.note\.gnu\.build-id\0/.note.gnu.build_id\0/r],
        [ELF_NOTE_OWNER => $refused, poke($good, $notes, 'C', 83)],
        [ELF_NOTE_BOUNDS => $refused, poke($good, $notes - 8, 'V', 1 << 30)],
        [ELF_NOTE_SITE => $refused, poke($good, $notes + 8, 'Q<', 0)],
        [ELF_NOTE_SEMAPHORE => $refused, poke($good, $notes + 24, 'Q<', 1)],
        [ELF_PROVIDER_NAME => $partly, $good =~ s/prov\0start\0/pr:v\0start\0/r],
        [ELF_OPERAND_SIZE => $partly, $good =~ s/-4\@%edi/-3\@%edi/r],
        [ELF_OPERAND_SIZE => $partly, $good =~ s/-4\@%edi/4f\@%xmm/r],
        [ELF_OPERAND_PLACE => $but, $good =~ s/-4\@%edi/-4\@%ebp/r],
        [ELF_CODE_SITE => $refused, poke($good, $site, 'C', 0xc3)],
    );
    for (@broken) {
        my ($rule, $words, $bytes) = @$_;
        my ($code, $text, $err) = dump_bytes($bytes);
        my $verdict = verdict($text, 'linux', 'x86_64') // 'none';
        like $verdict, qr/^\Q$words\E.*\[$rule: /, $rule or diag $text;
        is "$code $err", ($verdict =~ /^accepted/ ? '0 ' : '1 '), 'and the exit code says so';
    }
    for (['as it is', $foreign], ['with other code', poke($foreign, $site, 'C', 0xc3)],
        ['that is no shared object', poke($foreign, 16, 'v', 2)],
        ['with other operands', $foreign =~ s/-4\@%edi/-4\@%ebp/r],
        ['with a constant', $foreign =~ s/-4\@%edi/-4\@\$012/r]) {
        my ($code, $text) = dump_bytes($_->[1]);
        is "$code " . verdict($text, 'linux', 'x86_64'), '0 accepted', "an image not made by libusdt, $_->[0]";
        like $text, qr/not made by libusdt: the code at its sites is not judged/, 'is said to be that';
    }
    my ($code, $text) = dump_bytes(poke($good, 18, 'v', 243));
    is scalar(() = $text =~ /^  linux .*not accepted: .*\[ELF_(?:MACHINE|CLASS)/mg), 3,
        'of an unknown processor, all are asked';
    is $code, 1, 'and none accepts it';
};

# ---------------------------------------------------------------------------------------------------

subtest 'a process' => sub {
    plan skip_all => 'an emulator runs the programs' if @runner;
    my $program = USDT::Program->new;
    $program->provide('p', 'dumped', 'mod', start => ['int', 'char *'], end => []);
    $program->provide('q', 'other', 'mod', go => ['long']);
    my ($code, $text, $err) = dump_of($program->pid);
    is "$code $err", '0 ', 'is dumped';
    # A newer libc has probes of its own; so has libstdc++, which comes with a sanitizer.
    $text =~ s/^file \S+\/lib(?:c|stdc\+\+)\.so.*?(?=^file |\z)//msg;
    is scalar(() = $text =~ /^file \//mg), 2, 'each of its images';
    like $text, qr/^provider dumped\n(?:.*\n)*?  \S+:start\(int, char \*\)$/m, 'its probes';
    is scalar(() = $text =~ /^  linux .* accepted$/mg), 2, 'they are accepted';
    is $program->quit, 0, 'the program ended well';
    ($code, $text, $err) = dump_of($program->pid);
    is $code, 1, 'one that has ended is not';
    like $err, qr/\Ausdt: process \d+: there is none of this number\n\z/, 'and why';
    ($code, $text, $err) = dump_of($$);
    is $code, 1, 'one without probes: this one' if $err;
    like $err, qr/\A(?:usdt: dump: process $$ has no file with probes mapped\n)?\z/, 'and why';
};

subtest 'what is no document and no image' => sub {
    POSIX::mkfifo("$dir/fifo", 0600) or die "mkfifo: $!";
    open my $large, '>', "$dir/large" or die $!;
    truncate $large, (64 << 20) + 1 or die $!;
    close $large;
    my @none = (
        ["$dir", qr/it is a directory: name a file in it/],
        ["$dir/fifo", qr/it is no regular file/],
        ['/dev/zero', qr/it is no regular file/],
        ["$dir/large", qr/it has more than 64 MiB/],
        ["$dir/missing", qr/No such file or directory/],
        ['/proc/self/environ', qr/it begins neither/],
        [file_of(''), qr/it begins neither like a DOF document .* nor like an ELF file/],
        [file_of("\x7fD"), qr/it begins neither/],
        [file_of("hello\n"), qr/it begins neither/],
        ["$dir/\e[2J", qr/No such file/],
    );
    # It says it has a page, and has less: like a file that becomes shorter.
    my $page = '/sys/kernel/mm/transparent_hugepage/enabled';
    push @none, [$page, qr/it has become shorter/] if -r $page && -s _ == 4096;
    for (@none) {
        my ($path, $why) = @$_;
        my ($code, $text, $err) = dump_of($path);
        is "$code $text", '1 ', "$path is not dumped";
        my $shown = $path =~ s/\e/\\x1b/r;
        like $err, qr/\Ausdt: dump: \Q$shown\E: $why[^\n]*\n\z/, 'one line says why';
    }
    my ($code, undef, $err) = dump_of('/proc/self/exe');
    is "$code $err", '1 ', 'an ELF file without probes is dumped, and not accepted';
};

subtest 'hostile files' => sub {
    plan skip_all => 'this assembler makes no document for linux x86_64' if !$dof;
    my @good = ($dof->{bytes}, build_elf('linux', 'x86_64', 2, $DEFINITION)->{bytes});
    srand 7;
    for my $good (@good) {
        my $bad = 0;
        for my $n (1 .. ($ENV{USDT_TEST_STRESS} ? 3000 : 150)) {
            my $bytes = $good;
            for (0 .. $n % 4) {
                $bytes = poke($bytes, 4 + int rand(length($bytes) - 4), 'C', rand(2) < 1 ? 255 : int rand 256);
            }
            $bytes = substr $bytes, 0, int rand length $bytes if $n % 10 == 0;
            my ($code, $text, $err) = dump_bytes($bytes);
            unlink "$dir/file$serial";
            my $is_good = ($code == 0 || $code == 1) && ($err eq '' ? $text =~ /^accepted\?$/m : length $bytes < 4);
            $bad++ or diag "exit code $code: $err\n$text" if !$is_good;
        }
        is $bad, 0, 'have an end, and a verdict';
    }

    # As many probes as a file has room for, all with all types of one string table, all at one place.
    my ($long) = build_dof('linux', 'x86_64', 0x10000, 0x20000,
        definition('prov', 'mod', ['main', 'start', ('x' x 120) x 3]));
    my $probe = substr $long->{bytes}, section($long->{bytes}, 16)->{offset}, 48;
    my $many = $long->{bytes} . "\0" x (-length($long->{bytes}) % 8) . $probe x 200_000;
    my $probes = section($many, 16)->{header};
    $many = poke($many, $probes + 16, 'Q< Q<', length($many) - 48 * 200_000, 48 * 200_000);
    $many = poke($many, 40, 'Q< Q<', (length $many) x 2);
    my $before = time;
    my ($code, $text) = dump_bytes($many);
    is $code, 1, 'very many probes at one place';
    like verdict($text, 'linux', 'x86_64'), qr/DOF_SAME_ADDRESS: two at 10008/, 'are found, too';
    like verdict($text, 'illumos', 'x86_64'), qr/DOF_VERSION/, 'or refused before';
    like $text, qr/^\.\.\. and more: what is listed ends after 64 MiB$/m, 'they are not all listed';
    cmp_ok time - $before, '<', 60, 'soon';
    cmp_ok length $text, '<', 65 << 20, 'and what is listed has an end';
};

subtest 'the command line' => sub {
    my ($code, $text, $err) = dump_of('--help');
    is "$code $err", '0 ', '--help';
    like $text, qr/\Ausage: usdt dump FILE\|PID\n/, 'says how it is used';
    for (['no argument'], ['two', 'a', 'b'], ['an unknown option', '--nothing'], ['process 0', '0'],
        ['a number that is none', '9' x 30]) {
        my ($name, @arguments) = @$_;
        ($code, $text, $err) = dump_of(@arguments);
        is "$code $text", '2 ', "wrong use: $name";
        like $err, qr/\Ausdt: [^\n]+\n\z/, 'one line says why';
    }
    my $number = "$dir/12";
    rename file_of($dof ? $dof->{bytes} : 'x'), $number or die $!;
    ($code, $text) = dump_of($number);
    is $code, $dof ? 0 : 1, 'a file with a number for a name, and its folder';
};
done_testing;
