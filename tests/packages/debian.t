# debian.t - the Debian packages of what is committed: they build as their tests pass, lintian has nothing to say, and
# programs are built with what is in them, as the packages' own tests do it. Run by `make packages`.
use strict;
use warnings;
use File::Temp;
use Test::More;
use USDT::Compile;

my ($lacks, $what) = run('dpkg-checkbuilddeps');
plan skip_all => "no Debian packages can be built here: $what" if $lacks;
my ($not_git, $why) = run('git', 'cat-file', '-e', 'HEAD:usdt.h');
plan skip_all => "not a tree of git: $why" if $not_git;
delete @ENV{grep { /^(?:DEB|DH)_/ } keys %ENV};

my $T = File::Temp->newdir;
my ($VERSION) = read_file("$ROOT/usdt.h") =~ /^#define USDT_VERSION "([\d.]+)"/m;
my ($ARCH, $TRIPLET) = map { (run('dpkg-architecture', '-q', $_))[1] =~ /(\S+)/ } qw(DEB_HOST_ARCH DEB_HOST_MULTIARCH);
my $DEBS = "$T/build/deb";
my $ROOTFS = "$T/root";

like(read_file("$ROOT/debian/changelog"), qr/\Alibusdt \(\Q$VERSION\E\) /, 'debian/changelog has the version');
my ($status, $text) = run('make', "O=$T", 'deb');
if (!ok($status == 0, 'make deb')) {
    diag($text);
    done_testing;
    exit;
}
like($text, qr/^All tests successful/m, 'tests what it has built');
my @DEBS = map { "${_}_${VERSION}_$ARCH.deb" } qw(libusdt-dev libusdt2 usdt-tools);
is_deeply([grep { /\.deb$/ && !/dbgsym/ } map { s{.*/}{}r } glob "$DEBS/*"], \@DEBS, "makes @DEBS");

if (need(tool_path('lintian'), 'lintian', 'not installed')) {
    is((run('lintian', '-EvIL', '+pedantic', '--allow-root', glob "$DEBS/*.changes"))[1] =~ s/^N:.*\n//mgr, '',
        'lintian finds nothing, down to what is pedantic');
}

for my $deb (@DEBS) {
    succeeds("$deb unpacks", 'dpkg-deb', '-x', "$DEBS/$deb", $ROOTFS);
}
is((run('dpkg-deb', '-f', "$DEBS/$DEBS[0]", 'Depends'))[1], "libusdt2 (= $VERSION)\n", 'libusdt-dev wants its library');
like((run('dpkg-deb', '-f', "$DEBS/$DEBS[1]", 'Depends'))[1], qr/\Alibc6 \(>= [\d.]+\)\n\z/, 'which wants libc alone');

# What debian/tests runs where the packages are installed.
my %installed = (
    LD_LIBRARY_PATH => "$ROOTFS/usr/lib/$TRIPLET", PATH => "$ROOTFS/usr/bin:$ENV{PATH}",
    PKG_CONFIG_LIBDIR => "$ROOTFS/usr/lib/$TRIPLET/pkgconfig", PKG_CONFIG_SYSROOT_DIR => $ROOTFS,
    CMAKE_PREFIX_PATH => "$ROOTFS/usr", AUTOPKGTEST_TMP => "$T/autopkgtest",
);
my @WITH = ('env', map { "$_=$installed{$_}" } sort keys %installed);
mkdir $installed{AUTOPKGTEST_TMP} or die "$installed{AUTOPKGTEST_TMP}: $!";
for my $test ('cmake', 'pkg-config') {
    next if !need(tool_path($test), $test, 'not installed');
    my $text = succeeds("debian/tests/$test", @WITH, "debian/tests/$test");
    my @said = $text =~ /^(version .*)/mg;
    is_deeply(\@said, [("version $VERSION, enable 0 ") x 3], 'programs in C and in C++, and a static one, work');
}
is((run(@WITH, 'usdt', '--version'))[1], "usdt $VERSION\n", 'usdt-tools has the command');
done_testing;
