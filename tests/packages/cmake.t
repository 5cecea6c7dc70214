# cmake.t - libusdt in programs that are built by CMake: as part of their tree, and found by find_package() where make
# or CMake has installed it. Run by `make packages`.
use strict;
use warnings;
use File::Temp;
use Test::More;
use USDT::Compile;

plan skip_all => 'cmake: not installed' if !tool_path('cmake');
plan skip_all => 'no C and C++ compiler' if !can_compile('cc') || !can_compile('c++');
delete @ENV{qw(CMAKE_PREFIX_PATH CMAKE_GENERATOR CMAKE_BUILD_TYPE ASMFLAGS CXXFLAGS)};

my $T = File::Temp->newdir;
my ($VERSION) = read_file("$ROOT/usdt.h") =~ /^#define USDT_VERSION "([\d.]+)"/m;
my $SONAME = 'libusdt.so.2';
my $PROGRAM = "$ROOT/debian/tests/program.c";

# Configures and builds a tree; undef if that fails.
sub build {
    my ($name, $source, @options) = @_;
    my $out = "$T/build " . $name =~ s/\W+/-/gr;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $text) = run('cmake', '-S', $source, '-B', $out, @options);
    ($status, my $said) = run('cmake', '--build', $out, '-j2') if $status == 0;
    $text .= $said // '';
    ok($status == 0 && $text !~ /warning/i, "$name: is configured and built, without a warning") or diag($text);
    return $status == 0 ? $out : undef;
}

my %language = (c => 'C', cc => 'C++'); # by the suffix of a source

# The shared libraries of ours that a file needs.
sub needs { return join ' ', map { /\(NEEDED\).*\[(libusdt.*)\]/ ? $1 : () } readelf_lines('-d', $_[0]) }

sub works {
    my ($name, $program, $library) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $text) = run('env', 'LD_LIBRARY_PATH=' . ($library // ''), $program);
    is("$status $text", "0 version $VERSION, enable 0 \n", $name);
}

# A project of C and C++ that begins with `$how` and links with `@libraries`.
sub project {
    my ($name, $how, @libraries) = @_;
    mkdir "$T/$name" or die "$T/$name: $!";
    write_file("$T/$name/program$_", read_file($PROGRAM)) for qw(.c .cc);
    my $text = "cmake_minimum_required(VERSION 3.18)\nproject(program LANGUAGES CXX C)\n$how\n";
    for my $library (@libraries) {
        my $as = $library =~ s/.*:://r;
        $text .= "add_executable(${as}_$_ program.$_)\ntarget_link_libraries(${as}_$_ $library)\n" for qw(c cc);
    }
    write_file("$T/$name/CMakeLists.txt", "$text\ninstall(TARGETS usdt_c DESTINATION bin)\n");
    return "$T/$name";
}

# ---- a part of the program's tree ----

my $sub = project('sub', "add_subdirectory($ROOT usdt)", 'usdt::usdt');
subtest 'add_subdirectory()' => sub {
    my $out = build('an archive', $sub, "-DCMAKE_INSTALL_PREFIX=$T/sub-prefix") // return;
    works("a program in $language{$_} works", "$out/usdt_$_") for qw(c cc);
    is(needs("$out/usdt_c"), '', 'it has libusdt in it');
    is_deeply([map { s/(.*)\.o$/$1/r } archive_members("$out/usdt/libusdt.a")],
        [sort map { s{.*/}{}r } glob("$ROOT/usdt*.c"), "$ROOT/usdt_tracepoints_@{[elf_arch()]}.s"],
        'made of all sources, and the stubs of this processor');
    is_deeply([grep { m{(?:^|/)(?:test_usdt|usdt|libusdt\.so\S*)$} } files_below($out)], [],
        'neither the tests nor the command nor another library is built');
    succeeds('the program is installed', 'cmake', '--install', $out);
    is_deeply([files_below("$T/sub-prefix")], ['bin/usdt_c'], 'and nothing of libusdt with it');
    unlike(read_file("$out/CMakeCache.txt"), qr/BUILD_SHARED_LIBS|^CMAKE_BUILD_TYPE:STRING=./m,
        "the program's own choices are left to it");

    $out = build('a shared library', $sub, '-DBUILD_SHARED_LIBS=ON', '-DUSDT_INSTALL=ON',
        "-DCMAKE_INSTALL_PREFIX=$T/both", '-DCMAKE_INSTALL_LIBDIR=lib') // return;
    works("a program in $language{$_} works", "$out/usdt_$_") for qw(c cc);
    is(needs("$out/usdt_c"), $SONAME, "it needs $SONAME");
    succeeds('with USDT_INSTALL', 'cmake', '--install', $out);
    ok(-e "$T/both/lib/$SONAME", 'libusdt is installed, too');
};

subtest 'FetchContent' => sub {
    my $fetch = project('fetch', 'include(FetchContent)
        FetchContent_Declare(usdt SOURCE_DIR "' . $ROOT . '")
        FetchContent_MakeAvailable(usdt)', 'usdt::usdt');
    my $out = build('from a directory', $fetch) // return;
    works("a program in $language{$_} works", "$out/usdt_$_") for qw(c cc);
};

subtest 'other processors' => sub {
    my %options = (
        i386 => [map { "-DCMAKE_${_}_FLAGS=-m32" } qw(C CXX ASM)],
        arm64 => ['-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64',
            map { ("-DCMAKE_${_}_COMPILER=clang", "-DCMAKE_${_}_COMPILER_TARGET=aarch64-linux-gnu") } qw(C ASM)],
    );
    for my $arch (sort keys %options) {
        my @can = $arch eq 'i386' ? ('cc', '-m32') : ('clang', '--target=aarch64-linux-gnu');
        next if !need(can_compile(@can), "@can", 'cannot link a program');
        my $out = build($arch, $arch eq 'i386' ? $sub : $ROOT, @{ $options{$arch} }) // next;
        my ($archive) = grep { -e } "$out/libusdt.a", "$out/usdt/libusdt.a";
        is_deeply([grep { /tracepoints/ } archive_members($archive)], ["usdt_tracepoints_$arch.s.o"],
            "the stubs are those of $arch, whatever this machine is");
        works('a program works', "$out/usdt_c") if $arch eq 'i386';
    }
};

# ---- what CMake builds is what make builds ----

my @make = ('make', '-j2', "O=$T/make");
succeeds('make builds it', @make, "$T/make/libusdt.a", "$T/make/$SONAME");

subtest 'the shared library' => sub {
    my $out = build('by itself', $ROOT, '-DBUILD_SHARED_LIBS=ON') // return;
    my %symbols = map { $_ => [sort map { s/^\w+ //r } split /\n/,
        (run('nm', '-D', '--defined-only', '--with-symbol-versions', "$_/$SONAME"))[1]] } $out, "$T/make";
    is_deeply($symbols{$out}, $symbols{"$T/make"}, 'exports what that of make exports, in the same version');
    my %dynamic = map { $_ => [grep { /SONAME|NEEDED/ } readelf_lines('-d', "$_/$SONAME")] } $out, "$T/make";
    is_deeply([map { s/^ \w+//r } @{ $dynamic{$out} }], [map { s/^ \w+//r } @{ $dynamic{"$T/make"} }],
        'needs the same, and has the same name');
    like(read_file("$out/CMakeCache.txt"), qr/^CMAKE_PROJECT_VERSION:STATIC=\Q$VERSION\E$/m,
        'its version is that of usdt.h');
};

# ---- find_package() ----

my $found = project('found', 'find_package(usdt 2 CONFIG REQUIRED)', 'usdt::usdt', 'usdt::static');
my $only = project('only', 'find_package(usdt 2 CONFIG REQUIRED)', 'usdt::usdt');

subtest 'installed by make' => sub {
    my $lib = "opt/lib/@{[elf_arch()]}-linux-gnu";
    succeeds('make install', @make, "DESTDIR=$T/dest", 'PREFIX=/opt', "LIBDIR=/$lib", 'install');
    rename "$T/dest", "$T/moved tree" or die "$T/dest: $!";
    my $out = build('found where it was moved', $found, "-Dusdt_DIR=$T/moved tree/$lib/cmake/usdt") // return;
    works("usdt::usdt in $language{$_}", "$out/usdt_$_", "$T/moved tree/$lib") for qw(c cc);
    works("usdt::static in $language{$_}", "$out/static_$_") for qw(c cc);
    is_deeply([map { needs("$out/${_}_c") } qw(usdt static)], [$SONAME, ''], 'the one is shared, the other is not');

    symlink "$T/moved tree/opt/lib", "$T/lib" or die "$T/lib: $!";
    $out = build('found by a link to its lib, as /lib is', $only,
        "-Dusdt_DIR=$T/lib/@{[elf_arch()]}-linux-gnu/cmake/usdt");
    ok($out, 'the header is found all the same');
};

subtest 'installed by CMake' => sub {
    for my $shared ('OFF', 'ON') {
        my $out = build("BUILD_SHARED_LIBS=$shared", $ROOT, "-DBUILD_SHARED_LIBS=$shared") // next;
        my $prefix = "$T/prefix-$shared";
        succeeds('is installed', 'cmake', '--install', $out, '--prefix', $prefix);
        my $program = build("found, $shared", $only, "-DCMAKE_PREFIX_PATH=$prefix") // next;
        my ($lib) = map { s{/cmake/usdt$}{}r } glob "$prefix/lib*/cmake/usdt $prefix/lib/*/cmake/usdt";
        works("a program in $language{$_} works", "$program/usdt_$_", $lib) for qw(c cc);
        is(needs("$program/usdt_c"), $shared eq 'ON' ? $SONAME : '', 'and needs what was installed');
    }
};

# ---- versions, as CMake itself would decide ----

subtest 'find_package() with a version' => sub {
    for my $whose ('ours', 'theirs') {
        mkdir "$T/$whose" or die "$T/$whose: $!";
        write_file("$T/$whose/usdt-config.cmake", '');
    }
    my $ours = read_file("$ROOT/cmake/usdt-config-version.cmake.in") =~ s/\@VERSION\@/2.3.4/r;
    write_file("$T/ours/usdt-config-version.cmake", $ours);
    my @accepted = qw(2 2.0 2.3 2.3.4 2.3.3.9 2...3 2.0...2.9 2.0...<3 2...2.3.4 2.3.4...2.3.4);
    my @refused = qw(1 1.9 3 2.4 2.3.5 2.3.4.1 20 2.0...2.2 2...<2.3.4 1...1.9 3...4);
    my $ask = "include(CMakePackageConfigHelpers)
        write_basic_package_version_file($T/theirs/usdt-config-version.cmake
            VERSION 2.3.4 COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)\n";
    for my $request (map { /\.\.\./ ? "$_ " : ("$_ ", "$_ EXACT") } @accepted, @refused) {
        $ask .= "set(usdt_DIR)\nfind_package(usdt $request QUIET CONFIG PATHS $T/$_ NO_DEFAULT_PATH)
            message(\"$_ $request \${usdt_FOUND}\")\n" for 'ours', 'theirs';
    }
    my $text = succeeds('cmake can be asked', 'cmake', '-P', write_file("$T/versions.cmake", $ask));
    my %answers = map { /^(ours|theirs) (.*) ([01])$/ ? ("$1 $2" => $3) : () } split /\n/, $text;
    my %ours = map { /^ours (.*)/ ? ($1 => $answers{$_}) : () } keys %answers;
    my %theirs = map { /^theirs (.*)/ ? ($1 => $answers{$_}) : () } keys %answers;
    is_deeply(\%ours, \%theirs, 'our answers are those of a file that CMake writes (SameMajorVersion)');
    is_deeply([map { $ours{"$_ "} } @accepted, @refused], [(1) x @accepted, (0) x @refused],
        "accepted are @accepted; refused are @refused");
    is_deeply([grep { $ours{$_} } grep { /EXACT/ } sort keys %ours], ['2.3.4 EXACT'], 'EXACT is this one');
};

done_testing;
