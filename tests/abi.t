# abi.t - programs linked with libusdt.so.2 go on working with a newer one: debian/libusdt2.symbols lists what it
# exports, in which version and since when; tests/abi.c has the functions' types and the layout of the public structs.
# (That usdt.h and the library agree is a matter of build.t and header.t.)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use USDT::Compile;

my ($VERSION) = read_file("$ROOT/usdt.h") =~ /^#define USDT_VERSION "([\d.]+)"/m;
my ($MAJOR) = $VERSION =~ /^(\d+)/;
my $LIBRARY = "$OUT/libusdt.so.$MAJOR";
my $LIST = "$ROOT/debian/libusdt$MAJOR.symbols";

# ---- symbols ----

my %since = read_file($LIST) =~ /^ (\S+\@USDT_\S+) ([\d.]+)$/mg;
my ($status, $text) = run('nm', '-D', '--defined-only', '--with-symbol-versions', $LIBRARY);
my %exported = map { ($_ => 1) } map({ s/@@/@/r } $text =~ /^\w+ [^A ] (\S+)$/mg),
    map({ "$_\@$_" } $text =~ /^\w+ A (\S+)$/mg);
cmp_ok(scalar keys %since, '>', 16, 'there is a list of symbols');
is_deeply([grep { !$exported{$_} } sort keys %since], [], 'each is still exported, in the version it always had')
    or diag($text);
is_deeply([grep { !$since{$_} } sort keys %exported], [], 'and no other: what is new is added to the list');
is_deeply([grep { my ($of) = /\@USDT_(.*)/; index("$since{$_}.", "$of.") != 0 } sort keys %since], [],
    'each is there since a release of the number that its version has');

# ---- layouts and types ----

my @as = ('-std=c11', "-I$ROOT", '-fsyntax-only', "$ROOT/tests/abi.c");
succeeds("usdt.h declares what it always did: @CC", @CC, @as);
succeeds("on 32 bits, too: $CC[0] -m32", $CC[0], '-m32', @as)
    if elf_arch() eq 'x86_64' && need(can_compile($CC[0], '-m32'), "$CC[0] -m32", 'no 32-bit libraries (gcc-multilib)');
done_testing;
