# dist.t - `make dist`: the same bytes from the same commit, whoever packs it; and what is packed builds and tests
# itself. Run by `make packages`.
use strict;
use warnings;
use Digest::SHA;
use File::Temp;
use Test::More;
use USDT::Compile;

my ($not_git, $why) = run('git', 'cat-file', '-e', 'HEAD:usdt.h');
plan skip_all => "not a tree of git: $why" if $not_git;

my $T = File::Temp->newdir;
my ($VERSION) = read_file("$ROOT/usdt.h") =~ /^#define USDT_VERSION "([\d.]+)"/m;
my $NAME = "libusdt-$VERSION";

# Packs a clone of this tree, as somebody with these settings; the checksum of what came out.
sub pack_clone {
    my ($who, $umask, $config, %env) = @_;
    my $clone = "$T/$who";
    mkdir "$T/home-$who" or die "$T/home-$who: $!";
    write_file("$T/home-$who/.gitconfig", $config);
    $env{HOME} = "$T/home-$who";
    my $text = succeeds("$who clones and packs", 'env', (map { "$_=$env{$_}" } sort keys %env), 'sh', '-ec', '
        umask $1
        git clone -q "$2" "$3"
        cd "$3"
        find . -path ./.git -prune -o -exec touch -d "$4" {} +
        make -s dist', 'sh', $umask, $ROOT, $clone, $env{TIME});
    my $tar = read_file("$clone/$NAME.tar.gz") // return "nothing: $text";
    return Digest::SHA::sha256_hex($tar);
}

my $one = pack_clone('one', '022', '', TZ => 'UTC', LC_ALL => 'C', TIME => '2001-01-01');
my $other = pack_clone('other', '077', "[tar]\numask = 0\n[core]\nautocrlf = true\n", TZ => 'Asia/Tokyo',
    LC_ALL => 'C.UTF-8', TIME => '2022-02-02', CFLAGS => '-O0');
is($other, $one, 'other umask, time zone, locale, times of files and settings of git: the same bytes');

my (undef, $list) = run('tar', '-tvzf', "$T/one/$NAME.tar.gz", '--numeric-owner', '--full-time');
my @entries = map { [split ' ', $_, 6] } split /\n/, $list;
my (undef, $tracked) = run({ dir => "$T/one" }, 'git', 'ls-files');
is_deeply([sort map { $_->[5] } grep { $_->[5] !~ m{/$} } @entries], [map { "$NAME/$_" } sort split /\n/, $tracked],
    'all that is committed is in it, and nothing else');
is_deeply([sort keys %{{ map { ("$_->[0] $_->[1]" => 1) } @entries }}],
    ['-rw-r--r-- 0/0', '-rwxr-xr-x 0/0', 'drwxr-xr-x 0/0'], 'owned by 0, readable for all, writable for the owner');
my %times = map { ("$_->[3] $_->[4]" => 1) } @entries;
is(scalar keys %times, 1, 'and of one time');

subtest 'what is packed' => sub {
    my $tree = "$T/unpacked/$NAME";
    mkdir "$T/unpacked" or die "$T/unpacked: $!";
    succeeds('unpacks', 'tar', '-xzf', "$T/one/$NAME.tar.gz", '-C', "$T/unpacked");
    my @make = ('make', '-j2', '-C', $tree);
    my $text = succeeds('builds by itself', @make);
    unlike($text, qr/warning/, 'without a warning');
    like(succeeds('and tests itself', @make, 'test', 'TESTS=tests/abi.t tests/dof.t'), qr/^All tests successful/m,
        'without a tree of git');
    my ($status, $said) = run({ env => { GIT_CEILING_DIRECTORIES => "$T" } }, @make, '-s', 'dist');
    ok($status != 0, 'it cannot be packed again');
    like($said, qr/^dist: packs what is committed in git; here is no such tree$/m, 'and says why');
    is_deeply([glob "$tree/*.tar*"], [], 'and leaves nothing');
};

subtest 'what is not committed' => sub {
    write_file("$T/one/usdt.h", read_file("$T/one/usdt.h") . "/* changed */\n");
    my ($status, $said) = run({ dir => "$T/one" }, 'make', '-s', 'dist');
    is("$status $said", "0 dist: what is not in HEAD is left out\n", 'is left out, and that is said');
    is(Digest::SHA::sha256_hex(read_file("$T/one/$NAME.tar.gz")), $one, 'the bytes are the same');
};

done_testing;
