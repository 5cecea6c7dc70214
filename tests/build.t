# build.t - what make builds, installs and cleans, judged by what the compilers say and by what readelf and nm
# find in the files; and that the tree can be vendored.
#
# Everything is built in a temporary directory (O=), whatever make has built before.
use strict;
use warnings;
use File::Copy qw(copy);
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sys::Hostname qw(hostname);
use Test::More;
use USDT::Compile;

my $T = File::Temp->newdir;
my $NATIVE = elf_arch();
my $SONAME = 'libusdt.so.2';
my @FUNCTIONS = functions_declared();
my ($VERSION) = read_file("$ROOT/usdt.h") =~ /^#define USDT_VERSION "([\d.]+)"/m;
{
    local $/;
    my (undef, %source) = split /^==== (\S+)\n/m, <DATA>;
    write_file("$T/$_", $source{$_}) for keys %source;
}

# ---- facts about files ----

# What makes a linked file unfit for W^X: an executable stack, or a segment both writable and executable.
sub unsafe_segments {
    my ($path) = @_;
    my @segments = map { /^ +([A-Z]\w+)(?: +0x\w+){5} ([R ][W ][E ]) / ? [$1, $2] : () }
        readelf_lines('-l', $path);
    return ('segments not found') if !grep { $_->[0] eq 'LOAD' } @segments;
    my @stack = grep { $_->[0] eq 'GNU_STACK' } @segments;
    my @unsafe = grep { $_->[1] =~ /WE/ || ($_->[0] eq 'GNU_STACK' && $_->[1] =~ /E/) } @segments;
    return (@stack ? () : 'no GNU_STACK', map { "@$_" } @unsafe);
}

# What readelf says of each object of an archive, by its name.
sub by_member {
    my ($option, $archive) = @_;
    my (%text, $member);
    for (readelf_lines($option, $archive)) {
        $member = $1 if /^File: .*\((.*)\)$/;
        $text{$member} .= "$_\n" if defined $member;
    }
    return %text;
}

# The objects that let the linker make the stack executable: no mark, or one that says so.
sub unmarked_members {
    my ($archive) = @_;
    my %sections = by_member('-S', $archive);
    my $mark = qr/ \.note\.GNU-stack +PROGBITS +\w+ +\w+ +\w+ +\w+ +([A-Za-z]*) *\d+ +\d+ +\d+$/m;
    return grep { ($sections{$_} // '') !~ $mark || $1 =~ /X/ } archive_members($archive);
}

sub dynamic {
    my ($path, $tag) = @_;
    return map { /\($tag\) .*\[(.*)\]/ ? $1 : () } readelf_lines('-d', $path);
}

# The x86 property of a file or of one object's text: "IBT, SHSTK" at best.
sub cet_of {
    my ($text) = @_;
    return $text =~ /x86 feature: (.*)/ ? $1 : 'none';
}

sub cet_of_file { return cet_of(join "\n", readelf_lines('-n', $_[0])) }

# A program made of use.c has published a probe and fired it. There is a place for the image: this
# directory, where the program itself could be made and run, is no better than the library's own.
sub works {
    my ($name, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $text) = run(@command);
    my $good = qr/\Aenable 0 .*\nprobe 1\ntraced 0\nfired\nprobe 0\nversion \Q$VERSION\E\n0\z/;
    like("$text$status", $good, $name);
}

# ---- every compiler, 64 and 32 bits ----

my @cc = compilers(qw(gcc clang));
if (!@cc) {
    done_testing();
    exit;
}
my $cc = $cc[0];

# Starts a make of all that it can make, in a directory of its own.
sub build {
    my ($c, $arch) = @_;
    my $out = "$T/$c-$arch";
    my @variables = ("O=$out", "CC=$c", "ARCH=$arch");
    return {
        name => "$c ARCH=$arch", cc => $c, arch => $arch, variables => \@variables,
        bits => $arch eq 'i386' ? 32 : 64, width => $arch ne $NATIVE ? ['-m32'] : [],
        out => $out, so => "$out/$SONAME", a => "$out/libusdt.a",
        job => start('make', @variables, 'all'),
    };
}

sub check_exports {
    my ($build) = @_;
    my (undef, $text) = run('nm', '-D', '--defined-only', $build->{so});
    my %symbols = map { /^[0-9a-f]+ (\S) (USDT_[\d.]+|\w+)/ ? ($2 => $1) : () } split /\n/, $text;
    is(delete $symbols{'USDT_2.0'}, 'A', 'the shared library defines the version USDT_2.0');
    is_deeply(\%symbols, { map { $_ => 'T' } @FUNCTIONS }, 'and the functions of usdt.h, and nothing else')
        or diag($text);
    my @versions = map { /\bFUNC +GLOBAL +DEFAULT +\d+ (\w+@@\S+)$/ ? $1 : () }
        readelf_lines('--dyn-syms', $build->{so});
    is_deeply([sort @versions], [map { "$_\@\@USDT_2.0" } @FUNCTIONS], 'each of them in that version');
    my @global = map { /^[0-9a-f]+ [A-Z] (\S+)$/ ? $1 : () } split /\n/,
        (run('nm', '-g', '--defined-only', $build->{a}))[1];
    my %global = map { $_ => 1 } @global;
    is_deeply([grep { !$global{$_} } @FUNCTIONS], [], 'the archive defines them too');
    is_deeply([grep { !/^(?:usdt_|__x86\.get_pc_thunk\.)/ } @global], [], 'and no global name but usdt_*');
}

sub check_dynamic {
    my ($build) = @_;
    is_deeply([dynamic($build->{so}, 'SONAME')], [$SONAME], "the SONAME is $SONAME");
    my @needed = dynamic($build->{so}, 'NEEDED');
    ok((grep { /^libc\.so/ } @needed), 'the shared library needs libc') or diag("@needed");
    is_deeply([grep { !/^(?:libc|libpthread|ld-linux[-\w]*)\.so\.\d+$/ } @needed], [], 'and nothing else');
    is_deeply([grep { /TEXTREL/ } readelf_lines('-d', $build->{so})], [], 'no relocation changes its code');
}

sub check_programs {
    my ($build) = @_;
    my @link = ($build->{cc}, @{ $build->{width} }, "-I$ROOT", "$T/use.c", '-o');
    succeeds('a program links with the shared library', @link, "$build->{out}/shared", $build->{so});
    succeeds('and with the archive', @link, "$build->{out}/static", $build->{a}, '-pthread');
    works('the one runs', 'env', "LD_LIBRARY_PATH=$build->{out}", "$build->{out}/shared");
    works('so does the other', "$build->{out}/static");
    for my $file ($SONAME, 'test_usdt', 'shared', 'static') {
        is_deeply([unsafe_segments("$build->{out}/$file")], [],
            "$file: the stack is not executable, nothing is both writable and executable");
    }
    is_deeply([unmarked_members($build->{a})], [], 'each object of the archive says: no executable stack');
}

my @builds;
for my $c (@cc) {
    my $has_32 = $NATIVE eq 'x86_64'
        && need(can_compile($c, '-m32'), "$c -m32", 'cannot link a 32-bit program (gcc-multilib)');
    my @pair = map { build($c, $_) } $NATIVE, $has_32 ? 'i386' : ();    # both at the same time
    for my $build (@pair) {
        my ($status, $text) = finish($build->{job});
        push @builds, $build if $status == 0;
        subtest $build->{name} => sub {
            ok($status == 0, 'everything is built') or return diag($text);
            $text .= succeeds('and the program that the tests drive', 'make', @{ $build->{variables} },
                "$build->{out}/build/usdt_build");
            is_deeply([grep { /warning/i } split /\n/, $text], [], 'without a warning');
            is_deeply([map { bits_of("$build->{out}/$_") } $SONAME, 'libusdt.a', 'test_usdt'],
                [($build->{bits}) x 3], "for $build->{bits} bits");
            unlike((run('make', @{ $build->{variables} }))[1], qr/ -o /, 'a second make has nothing to do');
            check_exports($build);
            check_dynamic($build);
            check_programs($build);
        };
    }
}

# ---- what the checks above say of worse files ----

subtest 'the checks notice' => sub {
    my @link = ($cc, '-o', "$T/bad", "$T/trivial.c");
    succeeds('a program with an executable stack is made', @link, '-z', 'execstack');
    is_deeply([unsafe_segments("$T/bad")], ['GNU_STACK RWE'], 'an executable stack');
    succeeds('one with all in one segment is made', @link, '-nostdlib', '-static', '-Wl,-e,main,--omagic');
    like(join(', ', unsafe_segments("$T/bad")), qr/LOAD RWE/, 'a segment that is writable and executable');
    write_file("$T/no_mark.s", "\t.text\n");
    write_file("$T/bad_mark.s", "\t.section .note.GNU-stack, \"x\", %progbits\n");
    write_file("$T/good_mark.s", "\t.section .note.GNU-stack, \"\", %progbits\n");
    my @marks = qw(no_mark bad_mark good_mark);
    run($cc, '-c', '-o', "$T/$_.o", "$T/$_.s") for @marks;
    run('ar', 'rcs', "$T/bad.a", map { "$T/$_.o" } @marks);
    is_deeply([unmarked_members("$T/bad.a")], [qw(bad_mark.o no_mark.o)],
        'an object without the mark against executable stacks, and one that asks for it');
    for my $c (@cc) {
        my $out = "$T/warnings-$c";
        my (undef, $text) = run('make', "O=$out", "CC=$c", "CFLAGS=-O2 -include $T/bad.h",
            "$out/build/$NATIVE/usdt_buf.o");
        my %warned = map { $_ => 1 } $text =~ /\bbad\.h:(\d+):\d+: warning:/g;
        my @lines = split /\n/, read_file("$T/bad.h");
        my %deserved = map { $lines[$_] =~ m{/\* (-W\w+) \*/} ? ($1 => $_ + 1) : () } 0 .. $#lines;
        is(scalar keys %deserved, 5, 'code that deserves it') if $c eq $cc;
        is_deeply([grep { !$warned{ $deserved{$_} } } sort keys %deserved], [],
            "$c warns by each of @{[ sort keys %deserved ]}") or diag($text);
    }
};

# ---- CC, AR, CFLAGS, LDFLAGS ----

subtest 'the variables' => sub {
    my ($out, $traps) = ("$T/variables", "$T/traps");
    my @cflags = qw(-O0 -fno-inline -DUSDT_TEST_MARK=1 -frecord-gcc-switches);
    my %real = ('my-cc' => tool_path($cc), 'my-ar' => tool_path('ar'));
    write_file("$T/$_", qq{#!/bin/sh\necho "\$*" >> $T/$_.log\nexec $real{$_} "\$@"\n}, 0755) for keys %real;
    mkdir $traps or die "$traps: $!";    # who calls a compiler by another name than CC falls into one
    write_file("$traps/$_", "#!/bin/sh\necho \$0 >> $T/trapped\nexit 1\n", 0755)
        for qw(cc c99 gcc clang ar gcc-ar llvm-ar);

    my ($status, $text) = run({ env => { PATH => "$traps:$ENV{PATH}" } }, 'make', "O=$out", "CC=$T/my-cc",
        "AR=$T/my-ar", "CFLAGS=@cflags", 'LDFLAGS=-Wl,-rpath,/usdt-test-mark', 'all');
    ok($status == 0, 'CC and AR may have any name') or return diag($text);
    is(read_file("$T/trapped"), undef, 'and no other compiler or archiver is called');
    my @members = archive_members("$out/libusdt.a");
    my @calls = split /\n/, read_file("$T/my-cc.log");
    my @compiled = grep { /(?:^| )-c / } @calls;
    my @linked = grep { !/(?:^| )-(?:c|E) / } @calls;
    is(scalar(grep { !m{ (?:tools|fuzz)/} } @compiled), @members + 1, 'CC compiles each object of the archive, and test_usdt');
    cmp_ok(scalar(grep { m{ tools/} } @compiled), '>', 3, 'and the command');
    is_deeply([grep { /\.c$/ && (!/ \Q@cflags\E / || / -O2/) } @compiled], [],
        'with CFLAGS instead of the default');
    is(scalar @linked, 3, 'CC links the shared library, test_usdt and usdt');
    is_deeply([grep { !/(?:^| )\Q@cflags\E / } @linked], [], 'with CFLAGS too');
    is_deeply([map { dynamic("$out/$_", 'R(?:UN)?PATH') } $SONAME, 'test_usdt'], [('/usdt-test-mark') x 2],
        'and with LDFLAGS');
    my %record = by_member('-p.GCC.command.line', "$out/libusdt.a");
    is_deeply([sort grep { $record{$_} =~ / -fno-inline\b/ } keys %record],
        [grep { !/tracepoints/ } @members],
        'the objects in the archive record that they were compiled so');
    my @archived = split /\n/, read_file("$T/my-ar.log");
    ok(@archived == 1 && $archived[0] =~ m{ \Q$out\E/libusdt\.a }, 'AR makes the archive')
        or diag("@archived");

    run('make', "O=$out", "CC=$T/my-cc", "AR=$T/my-ar", 'CFLAGS=-O0 -DUSDT_TEST_MARK=2', 'all');
    my @anew = grep { /USDT_TEST_MARK=2.*\.c$/ } split /\n/, read_file("$T/my-cc.log");
    is(scalar @anew, scalar(grep { /\.c$/ } @compiled), 'other CFLAGS compile everything anew');
};

# ---- indirect branch tracking and shadow stacks ----

# Linked without the C library's start files: where those lack the property, no program has it.
for my $build (@builds) {
    my ($c, $name, @width) = (@$build{qw(cc name)}, @{ $build->{width} });
    my @cet = (@width, '-O1', '-fcf-protection=full');
    next if !need($NATIVE =~ /86/ && can_compile($c, @cet), "$name -fcf-protection",
        'needs x86 and a newer compiler');
    subtest "$name, all compiled with -fcf-protection=full" => sub {
        my ($out, $program) = ("$build->{out}-cet", "$T/cet");
        my @bare = ('-nostdlib', '-Wl,-e,main', '-Wl,--unresolved-symbols=ignore-all');
        my @use = ($c, @cet, "-I$ROOT", '-o', $program, "$T/use.c");
        succeeds('the library is built', 'make', '-j2', "O=$out", "CC=$c", "ARCH=$build->{arch}",
            'CFLAGS=-O1 -fcf-protection=full', 'LDFLAGS=-nostdlib', "$out/libusdt.a", "$out/$SONAME");
        my %notes = by_member('-n', "$out/libusdt.a");
        is_deeply({ map { $_ => cet_of($notes{$_}) } keys %notes },
            { map { $_ => 'IBT, SHSTK' } archive_members("$out/libusdt.a") },
            'each object of the archive has IBT and SHSTK');
        is(cet_of_file("$out/$SONAME"), 'IBT, SHSTK', 'so has the shared library');
        succeeds('a program is linked with the archive', @use, @bare, "$out/libusdt.a");
        is(cet_of_file($program), 'IBT, SHSTK', 'it keeps IBT and SHSTK');
        run($c, @width, '-fcf-protection=none', '-c', '-o', "$T/plain.o", "$T/plain.c");
        succeeds('another, with an object that lacks them', @use, "$T/plain.o", @bare, "$out/libusdt.a");
        is(cet_of_file($program), 'none', 'does not: so the check can tell');
        SKIP: {
            run($c, @cet, '-o', $program, "$T/trivial.c");
            skip('the C library here takes IBT and SHSTK away from every program', 2)
                if cet_of_file($program) ne 'IBT, SHSTK';
            run(@use, "$out/libusdt.a", '-pthread');
            is(cet_of_file($program), 'IBT, SHSTK', 'linked in the usual way with the archive it keeps them');
            run(@use, "$out/$SONAME");
            is(cet_of_file($program), 'IBT, SHSTK', 'and with the shared library');
        }
    };
}

# ---- install, pkg-config, uninstall, clean ----

# What usdt.pc says, without pkg-config.
sub flags_of_pc {
    my ($path, @fields) = @_;
    my (%variable, %field);
    for (split /\n/, read_file($path)) {
        1 while s/\$\{(\w+)\}/$variable{$1} \/\/ die "$1 is not defined"/e;
        $variable{$1} = $2 if /^(\w+)=(.*)/;
        $field{$1} = $2 if /^([\w.]+): *(.*)/;
    }
    return map { split ' ', $field{$_} // '' } @fields;
}

my ($first) = @builds;
my @make = ('make', @{ $first->{variables} }) if $first;

subtest 'install and uninstall' => sub {
    my ($dest, $lib) = ("$T/dest dir", "$T/dest dir/opt/usdt/lib");
    my @where = ("DESTDIR=$dest", 'PREFIX=/opt/usdt');
    my @files = map { "opt/usdt/$_" } 'bin/usdt', 'include/usdt.h', 'lib/cmake/usdt/usdt-config-version.cmake',
        'lib/cmake/usdt/usdt-config.cmake', 'lib/libusdt.a', 'lib/libusdt.so', "lib/$SONAME",
        "lib/libusdt.so.$VERSION", 'lib/pkgconfig/usdt.pc', 'share/bash-completion/completions/usdt';
    for my $page (files_below("$ROOT/man")) {
        my ($section) = $page =~ /(\d)$/;
        push @files, map { "opt/usdt/share/man/man$section/$_.$section" } read_file("$ROOT/man/$page") =~ /^\.Nm (\w+)/mg;
    }
    @files = sort @files;
    my $text = succeeds('make install', @make, @where, 'install');
    unlike($text, qr/ -c /, 'compiles nothing that is built already');
    is_deeply([files_below($dest)], \@files,
        'installs the command, the header, both libraries, their links, usdt.pc, CMake files, completion and manual');
    is_deeply([map { readlink "$lib/$_" } 'libusdt.so', $SONAME], [$SONAME, "libusdt.so.$VERSION"],
        'the links name their neighbours, so they hold wherever the tree is moved');
    is(read_file("$lib/$SONAME"), read_file($first->{so}), 'the shared library arrives as it was built');
    is_deeply([map { sprintf '%o', (stat "$dest/$_")[2] & 07777 } @files],
        [qw(755 644 644 644 644 755 755 755), ('644') x (@files - 8)],
        'readable for all, writable for the owner');
    is_deeply([flags_of_pc("$lib/pkgconfig/usdt.pc", 'Version', 'Cflags', 'Libs')],
        [$VERSION, '-I/opt/usdt/include', '-L/opt/usdt/lib', '-lusdt'], 'usdt.pc does not know of DESTDIR');
    write_file("$lib/libother.so", 'not ours');
    succeeds('a second make install', @make, @where, 'install');
    is_deeply([files_below($dest)], [sort @files, 'opt/usdt/lib/libother.so'], 'changes no name');
    succeeds('make uninstall', @make, @where, 'uninstall');
    is_deeply([files_below($dest)], ['opt/usdt/lib/libother.so'],
        'takes away what it has installed, and only that');
} if $first;

sub check_installed {
    my ($how, $prefix, $flags) = @_;
    my @compile = ($first->{cc}, @{ $first->{width} }, '-o', "$T/installed", "$T/use_installed.c");
    succeeds("$how: a program compiles and links with the flags", @compile, $flags->('--cflags', '--libs'));
    is_deeply([grep { /usdt/ } dynamic("$T/installed", 'NEEDED')], [$SONAME],
        'it needs the shared library by its SONAME');
    works('and runs', 'env', "LD_LIBRARY_PATH=$prefix/lib", "$T/installed");
    succeeds("$how: a static program too", @compile, '-static', $flags->('--cflags', '--libs', '--static'));
    works('which runs by itself', "$T/installed");
}

subtest 'usdt.pc' => sub {
    my $prefix = "$T/usr";
    succeeds('make install without DESTDIR', @make, "PREFIX=$prefix", 'install');
    check_installed('as text', $prefix, sub {
        my @fields = ('Cflags', 'Libs', (grep { $_ eq '--static' } @_) ? 'Libs.private' : ());
        return flags_of_pc("$prefix/lib/pkgconfig/usdt.pc", @fields);
    });
    if (need(tool_path('pkg-config'), 'pkg-config', 'not installed')) {
        my @ask = ('env', "PKG_CONFIG_PATH=$prefix/lib/pkgconfig", 'pkg-config');
        is((run(@ask, '--modversion', 'usdt'))[1], "$VERSION\n", 'pkg-config knows the version');
        check_installed('pkg-config', $prefix, sub { split ' ', (run(@ask, @_, 'usdt'))[1] });
    }
    succeeds('make uninstall', @make, "PREFIX=$prefix", 'uninstall');
    is_deeply([files_below($prefix)], [], 'leaves no file');
} if $first;

subtest 'clean' => sub {
    my $out = "$T/clean";
    mkdir $out or die "$out: $!";
    write_file("$out/mine", '');
    my @archs = grep { my $arch = $_; grep { $_->{arch} eq $arch } @builds } $NATIVE, 'i386';
    for my $arch (@archs > 1 ? (@archs, $NATIVE) : @archs) {    # the last one finds its objects older
        my @targets = ('all', "$out/build/usdt_build");
        succeeds("make ARCH=$arch", 'make', '-j2', "O=$out", "CC=$cc", 'CFLAGS=-O0', "ARCH=$arch", @targets);
        my $bits = $arch eq 'i386' ? 32 : 64;
        is_deeply([map { bits_of("$out/$_") } $SONAME, 'libusdt.a', 'test_usdt'], [($bits) x 3],
            "makes $bits-bit files, whatever was there");
    }
    my @built = files_below($out);
    cmp_ok(scalar @built, '>', 20, 'there is something to clean');
    succeeds('make clean', 'make', "O=$out", 'clean');
    is_deeply([files_below($out)], ['mine'], 'leaves nothing of what was built, and what is not its own');
    opendir my $list, $out or die "$out: $!";
    is_deeply([grep { !/^\.\.?$/ && -d "$out/$_" } readdir $list], [], 'not even a directory');
};

# ---- vendoring ----

# Copies what a binding lists into an empty directory, and compiles it there. Returns a check of the outcome.
sub vendor {
    my ($name, $arch, @flags) = @_;
    my $dir = "$T/vendor-" . $name =~ s/\W+/-/gr;
    mkdir $dir or die "$dir: $!";
    my @from = (glob("$ROOT/usdt*.[ch]"), "$ROOT/usdt_tracepoints_$arch.s");
    copy($_, $dir) or die "$_: $!" for @from;
    my @sources = map { m{/([^/]+\.[cs])$} ? $1 : () } @from;
    my $job = start({ dir => $dir }, 'cc', @flags, '-c', @sources);
    return sub {
        my ($status, $text) = finish($job);
        subtest "vendored: $name" => sub {
            is("$text($status)", '(0)', 'all usdt*.c and one .s compile, without a word');
            my @objects = glob "$dir/*.o";
            is_deeply([map { m{([^/]+)$} } @objects], [archive_members("$first->{out}/libusdt.a")],
                'and are what is in libusdt.a') if $first && $first->{arch} eq $arch;
            succeeds('a program links with the objects', 'cc', (grep { /^-m/ } @flags), "-I$dir",
                '-o', "$dir/use", "$T/use.c", @objects, '-pthread');
            works('publishes a probe, and fires it', "$dir/use");
            my (undef, $said) = run('sh', '-c', '(ulimit -f 0; "$0"; echo $?) | cat', "$dir/use");
            like($said, qr/\Aenable -1 \S.*\nprobe 0\ntraced 0\nfired\nprobe 0\nversion \S+\n0\n\z/,
                'without a place for it enable() returns -1 and says why, and firing is safe');
        };
    };
}

if (need(can_compile('cc'), 'cc', 'not installed')) {
    my $has_32 = $NATIVE eq 'x86_64'
        && need(can_compile('cc', '-m32'), 'cc -m32', 'cannot link a 32-bit program (gcc-multilib)');
    my @checks = (vendor('cc -O2', $NATIVE, '-O2'),
        vendor('cc -O2 -std=c11 -pedantic-errors', $NATIVE, '-O2', '-std=c11', '-pedantic-errors'));
    $_->() for @checks;
    vendor('cc -m32', 'i386', '-m32')->() if $has_32;
}

# ---- nothing of the machine it was written on ----

# Where a text names a machine: a user's or a build's directory, a private host, this host. The slashes are
# apart so that this file does not name them itself.
sub machine_names {
    my ($text) = @_;
    my ($this) = hostname() =~ /^(?!localhost|debian|ubuntu|runner)([^.]{5,})/;
    my @found = $text =~ m{(?<![\w.])(/(?:work|home|root|Users)/\w\S*)}g;
    push @found, $text =~ /\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}\b(?!\.)/g;
    push @found, $text =~ /\b(\Q$this\E)\b/g if defined $this;
    while ($text =~ m{\b(?:https?|ftp)://([^\s/"'`<>()\[\]{}\$]+)}g) {
        my $host = $1;
        push @found, $host if $host =~ /[\@:]/ || $host !~ /\./ || $host =~ /^[\d.]+$/
            || $host =~ /\bmirrors?\b|proxy|cache|artifactory|nexus/
            || $host =~ /\.(?:local|lan|internal|intra|corp|home|localdomain)$/;
    }
    return @found;
}

subtest 'the sources name no machine' => sub {
    my $slashes = ':' . '//';
    my @names = ('cd /' . 'home/jane/usdt', 'x=/' . 'work/main', 'ping 192.' . '168.1.20',
        "see https${slashes}deb.mirror.example.org/debian", "http${slashes}apt-cacher/debian",
        "http${slashes}me\@git.example.org/", "http${slashes}host.corp/a");
    my @fine = ("see https${slashes}docs.kernel.org/trace/uprobetracer.html", 'cd work/main; ls ../home/x',
        '/tmp/usdt-0', '/run/user/1000/usdt', 'Linux 6.18.10, 10.5 ns');
    is_deeply([grep { !machine_names($_) } @names], [], 'such names are found');
    is_deeply([grep { machine_names($_) } @fine], [], 'and others are not');

    my ($status, $list) = run({ dir => $ROOT }, 'git', 'ls-files', '-co', '--exclude-standard');
    my @files = $status == 0 ? split /\n/, $list
        : grep { !m{^(?:\.git|build)/|\.(?:a|o|so\S*)$} } files_below($ROOT);
    my %found;
    for my $file (grep { -f "$ROOT/$_" } @files) {
        my $text = read_file("$ROOT/$file") // '';
        my @in_file = $text =~ /\0/ ? () : machine_names($text);
        $found{$file} = \@in_file if @in_file;
    }
    cmp_ok(scalar @files, '>', 20, 'there are sources to look at');
    is_deeply(\%found, {}, 'no source file has one');
};

done_testing();
__DATA__
==== trivial.c
int main(void)
{
    return 0;
}
==== plain.c
int plain;
==== bad.h
static int usdt_test_unused(void) /* -Wall */
{
    return 0;
}
static inline int usdt_test_unused_parameter(int parameter) /* -Wextra */
{
    int local[0]; /* -Wpedantic */
    return sizeof local == 0;
}
static inline int usdt_test_narrow(long long value)
{
    int narrow = value; /* -Wconversion */
    {
        int narrow = 1; /* -Wshadow */
        (void)narrow;
    }
    return narrow;
}
==== use_installed.c
#include <usdt.h>
#include "use.c"
==== use.c
#include "usdt.h"
#include <stdio.h>

int main(void)
{
    const char *types[] = { "int", "char *" };
    void *argv[] = { (void *)1, (void *)"value" };
    usdt_provider_t *p = usdt_create_provider("buildtest", "main");
    usdt_probedef_t *d = usdt_create_probe("main", "start", 2, types);
    if (p == NULL || d == NULL || usdt_provider_add_probe(p, d) != 0)
        return 2;
    int result = usdt_provider_enable(p);
    printf("enable %d %s\nprobe %d\n", result, usdt_errstr(p), d->probe != NULL);
    printf("traced %d\n", usdt_is_enabled(d->probe));
    USDT_PROBE(d->probe, 1, "value");
    usdt_fire_probe(d->probe, 2, argv);
    puts("fired");
    usdt_provider_disable(p);
    usdt_fire_probe(d->probe, 2, argv);
    printf("probe %d\nversion %s\n", d->probe != NULL, usdt_version());
    usdt_provider_free(p);
    usdt_probe_release(d);
    return 0;
}
