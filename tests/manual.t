# manual.t - the manual: its programs compile and print what the pages say, it names what usdt.h declares as usdt.h
# does, formatters understand it, and each function is found by its name.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use USDT::Compile;

my $T = File::Temp->newdir;
my @RUNNER = split ' ', $ENV{USDT_TEST_RUNNER} // '';

# ---- the pages ----

# What the escapes of roff that the pages use stand for.
my %ESCAPES = ('\e' => '\\', '\-' => '-', '\&' => '', '\(aq' => "'", '\(dq' => '"', '\(ha' => '^', '\(ti' => '~',
    '\(ga' => '`');
sub plain {
    my ($text) = @_;
    $text =~ s/(\\(?:\(..|.))/$ESCAPES{$1} \/\/ die "what is $1?"/ge;
    return $text;
}

my (@pages, %page_of);
for my $file (files_below("$ROOT/man")) {
    my $text = read_file("$ROOT/man/$file");
    my (undef, %sections) = split /^\.Sh (.*)\n/m, $text;
    my ($name, $number) = $file =~ /^(\w+)\.(\d)$/ or next;
    my $page = { file => $file, path => "$ROOT/man/$file", name => $name, number => $number, text => $text,
        sections => \%sections, names => [$sections{NAME} =~ /^\.Nm (\w+)/mg] };
    push @pages, $page;
    push @{ $page_of{"$_ $number"} }, $page for @{ $page->{names} };
}

# ---- usdt.h ----

my $header = read_file("$ROOT/usdt.h");
$header =~ s{/\*.*?\*/}{}gs;
my $declarations = $header =~ s/^\s*#(?:.*\\\n)*.*\n//mgr;

sub spaced {
    my ($code) = @_;
    $code =~ s/\s+/ /g;
    $code =~ s/(?<=[(*]) | (?=[,)])|^ | $//g;
    return $code;
}

my %prototypes = map { /(\w+)\(/ ? ($1 => spaced($_)) : () }
    $declarations =~ /\bUSDT_API\s+(?:USDT_NONNULL_\s+)?([^;{}]*?\([^;{}]*\));/g;
my %callbacks = map { /\(\*(\w+)\)/ ? ($1 => spaced($_)) : () } $declarations =~ /^(typedef [^;{}]*\));/mg;
# A macro that ends in _, or in a number, is the header's own; and so are these.
my @macros = grep { !/_$|^USDT_(?:H|API|INLINE)$/ } $header =~ /^#define (USDT_[A-Z_]+)\b/mg;
my %bodies = map { /^\{(.*)\}\s*(\w+)$/s ? ($2 => $1) : () } $declarations =~ /^typedef \w+ \w+ (\{[^}]*\}\s*\w+);/mg;

# ---- what is declared is described ----

subtest 'a page for each name' => sub {
    my @exported = read_file("$ROOT/libusdt.map") =~ /^ +(usdt_\w+);/mg;
    is_deeply([sort keys %prototypes], [sort @exported], 'usdt.h declares what libusdt.map exports');
    is(scalar(grep { !/^USDT_/ } keys %bodies), 5, 'the types of usdt.h are found');
    for my $name (sort(@exported), sort(keys %bodies), sort(keys %callbacks), @macros) {
        is(scalar @{ $page_of{"$name 3"} // [] }, 1, "$name has one");
    }
    for my $page (@pages) {
        is(scalar(grep { $_ eq $page->{name} } @{ $page->{names} }), 1, "$page->{file}: its name is one of its names");
        next if $page->{number} != 3;
        my @missing = grep { !exists $page->{sections}{$_} }
            'LIBRARY', 'SYNOPSIS', 'DESCRIPTION', 'EXAMPLES', 'SEE ALSO';
        is_deeply(\@missing, [], "$page->{file} has the sections of a function");
    }
};

# The functions and macros of a SYNOPSIS, as C has them.
sub synopsis_of {
    my ($page) = @_;
    my ($type, $name, @arguments, %found) = ('');
    for (split /\n/, $page->{sections}{SYNOPSIS}) {
        my ($macro, @words) = map { s/^"(.*)"$/$1/r } /"[^"]*"|\S+/g;
        $type = "@words" if $macro eq '.Ft';
        ($name, @arguments) = @words if $macro eq '.Fn' || $macro eq '.Fo';
        push @arguments, "@words" if $macro eq '.Fa';
        next if $macro ne '.Fn' && $macro ne '.Fc';
        $found{$name =~ s/^\(\*(\w+)\)$/$1/r} = spaced("$type $name(" . join(', ', @arguments) . ')');
        $type = '';
    }
    return %found;
}

subtest 'the pages say what usdt.h says' => sub {
    for my $page (grep { $_->{number} == 3 } @pages) {
        my %found = synopsis_of($page);
        is_deeply([sort grep { !/^USDT_/ } keys %found],
            [sort grep { exists $prototypes{$_} || exists $callbacks{$_} } @{ $page->{names} }],
            "$page->{file}: its functions are those that it is found by");
        is($found{$_}, $prototypes{$_} // $callbacks{$_}, "$_ is declared as in usdt.h")
            for grep { !/^USDT_/ } sort keys %found;
        is_deeply([grep { !/ \.\.\.$/ && index($header, "$_\n") < 0 } $page->{sections}{SYNOPSIS} =~ /^\.Fd (#.* \d+)$/mg],
            [], "$page->{file}: its macros have the values of usdt.h");
    }
    for my $type (grep { !/error/ } sort keys %bodies) {
        my ($page) = @{ $page_of{"$type 3"} };
        my %described = map { $_ => 1 } map { /(\w+)/g } $page->{text} =~ /^\.It Fa (.*)/mg;
        my @members = map { /(?|\(\*(\w+)\)|(\w+)$)/ } split /;\s*/, $bodies{$type};
        cmp_ok(scalar @members, '>', 3, "the members of $type are found");
        is_deeply([grep { !$described{$_} } @members], [], 'and described');
    }
};

subtest 'errors' => sub {
    my @codes = $bodies{usdt_error_t} =~ /(USDT_ERROR_\w+)/g;
    my %known = map { $_ => 1 } @codes;
    cmp_ok(scalar @codes, '>', 10, 'the codes are found');
    my $page = $page_of{'usdt_errstr 3'}[0];
    is_deeply([$page->{sections}{DESCRIPTION} =~ /^\.It Dv (\w+)/mg], \@codes, 'usdt_errstr.3 has all, in their order');
    my %format = read_file("$ROOT/usdt.c") =~ /^    \[(USDT_ERROR_\w+)\] = "(.*)",$/mg;
    my %shown = $page->{sections}{DESCRIPTION} =~ /^\.It Dv (\w+)\n(?:[^.].*\n)*\.Dl (.*)/mg;
    is_deeply({ map { $_ => plain($shown{$_}) } keys %shown }, \%format, 'and their messages');
    for my $page (@pages) {
        my @others = grep { !$known{$_} } $page->{text} =~ /\b(USDT_ERROR_\w+)/g;
        is_deeply(\@others, [], "$page->{file} names no other code");
    }
};

subtest 'usdt.1 and the command' => sub {
    my ($page) = @{ $page_of{'usdt 1'} };
    my (@options, @commands);
    for my $file (files_below("$ROOT/tools")) {
        my $code = read_file("$ROOT/tools/$file");
        push @options, $code =~ /\{ "(\w+)", (?:no|required)_argument/g;
        push @commands, $code =~ /\{ "(\w+)", \1_main \}/g;
    }
    is_deeply([$page->{text} =~ /^\.Ss (\w+)/mg], \@commands, 'each command has a part');
    is_deeply([grep { $page->{text} !~ /^\.Cm $_$/m } @commands], [], 'and is in the SYNOPSIS');
    my %described = map { $_ => 1 } $page->{text} =~ /Fl \\-(\w+)/g;
    is_deeply([grep { !$described{$_} } @options], [], 'each option is described');
};

subtest 'references' => sub {
    for my $page (@pages) {
        my @dead = grep { /^usdt/i && !$page_of{$_} } plain($page->{text}) =~ /\bXr (\S+ \d)/g;
        is_deeply(\@dead, [], "$page->{file}: each page of ours that it names is there");
    }
};

# ---- the programs ----

for my $page (grep { $_->{number} != 1 } @pages) {
    subtest "the program of $page->{file}" => sub {
        my @displays = $page->{text} =~ /^\.Bd -literal.*\n((?s:.*?))^\.Ed$/mg;
        my @plain = grep { s/\\(?:\(..|.)//gr =~ /[-'`^~]/ || /^[.']/m } @displays;
        is_deeply(\@plain, [], 'characters that formatters replace are escaped');
        my ($program) = $page->{sections}{EXAMPLES} =~ /^\.Bd -literal\n((?s:.*?))^\.Ed$/m;
        my ($output) = $page->{sections}{EXAMPLES} =~ /\bit prints:\n\.Bd -literal\n((?s:.*?))^\.Ed$/mi;
        $page->{program} = plain($program);
        my $name = "$T/$page->{name}";
        write_file("$name.c", $page->{program});
        my @make = (@CC, qw(-std=c11 -Wall -Wextra -Werror), @CFLAGS, "-I$ROOT", '-o', $name, "$name.c",
            "$OUT/libusdt.a", '-pthread');
        is(succeeds('compiles', @make), '', 'without a warning');
        mkdir "$name.run" or die "$name.run: $!";
        my ($status, $text) = run({ env => { XDG_RUNTIME_DIR => "$name.run" } }, 'timeout', 60, 'sh', '-c',
            'exec "$@" 2>"$0"', "$name.err", @RUNNER, $name);
        is($status, 0, 'ends well, in time');
        is($text, plain($output // ''), 'and prints what the page says') or diag(read_file("$name.err"));
        is_deeply([files_below("$name.run")], [], 'and leaves no file');
    };
}

# ---- formatters ----

my $man_db = tool_path('man') && (run('man', '--version'))[1] =~ /^man \d/;

# What a formatter makes of a page, and its complaints.
sub format_page {
    my ($page, @command) = @_;
    my (undef, $text) = run('sh', '-c', 'exec "$@" 2>"$0"', "$T/complaints", @command, $page->{path});
    $text =~ s/.\x08//g;
    return ($text, read_file("$T/complaints"));
}

sub lines_of { return join "\n", map { s/^\s+|\s+$//gr } grep { /\S/ } split /\n/, $_[0] }

sub shows_program {
    my ($page, $text) = @_;
    return if !defined $page->{program};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $shown = index(lines_of($text), lines_of($page->{program})) >= 0;
    ok($shown, "$page->{file}: what it shows is the program") or diag($text);
}

subtest 'mandoc' => sub {
    return if !need(tool_path('mandoc'), 'mandoc', 'not installed');
    for my $page (@pages) {
        # Whether other pages are installed is no fault of this one.
        my @complaints = grep { !/: referenced manual not found: |^mandoc: outdated mandoc\.db / } split /\n/,
            (run('mandoc', '-Tlint', $page->{path}))[1];
        is_deeply(\@complaints, [], "$page->{file}: no complaint");
        shows_program($page, (format_page($page, 'mandoc', '-Tascii'))[0]);
    }
};

subtest 'man-db and groff' => sub {
    return if !need($man_db, 'man-db', 'not installed');
    for my $page (@pages) {
        my (undef, $complaints) = format_page($page, qw(man --warnings -E UTF-8 -Tutf8 -Z -l));
        is($complaints, '', "$page->{file}: no warning");
        shows_program($page, (format_page($page, qw(man -E ASCII -Tascii -P cat -l)))[0]);
    }
};

# ---- installed ----

subtest 'make install' => sub {
    my $dir = abs_path($T) . '/dest/usr/share/man';
    succeeds('make install-man, which is a part of make install', 'make', '-s', 'install-man', "DESTDIR=$T/dest",
        'PREFIX=/usr');
    for (['man', $man_db, 'man-db'], ['mman', tool_path('mman'), 'mandoc']) {
        my ($man, $have, $package) = @$_;
        next if !need($have, $package, 'not installed');
        for my $key (sort keys %page_of) {
            my ($name, $number) = split ' ', $key;
            my ($path) = (run($man, '-M', $dir, '-w', $number, $name))[1] =~ m{^(/.*)$}m; # mandoc wants a database, too
            is(abs_path($path // ''), "$dir/man$number/$page_of{$key}[0]{file}", "$man $number $name");
        }
    }
};
done_testing;
