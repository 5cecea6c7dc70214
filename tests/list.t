# list.t - `usdt list`: every probe of a process is there, as it is; and what is asked wrongly, or may not be seen, is
# said in one line.
use strict;
use warnings;
use Cwd ();
use File::Temp ();
use IPC::Open2 ();
use JSON::PP ();
use Test::More;
use USDT::Build qw(run);
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

my $out = $ENV{O} // '.';
my $usdt = "$out/usdt";
plan skip_all => "$usdt runs in a user-mode emulator, whose /proc shows the emulator's memory" if @USDT::Program::RUNNER;

sub usdt { return run({}, $usdt, @_) }
# (A newer libc has probes of its own; so has libstdc++, which comes with a sanitizer.)
sub rows { my ($text) = @_; return grep { $_->[1] !~ /^(?:libc|libstdcxx):/ } map { [split /\t/, $_, -1] } split /\n/, $text }

subtest 'a process with run-time probes' => sub {
    my $program = USDT::Program->new;
    $program->provide('p', 'listed', 'mod', b => ['int', 'char *', 'struct foo *'], a => [], z => [('uint8_t') x 32]);
    my ($code, $text, $errors) = usdt('list', '-p', $program->pid);
    my $image = USDT::Image->of($program)->path;
    is_deeply([rows($text)], [[$program->pid, 'listed:a', 'no', '', $image],
        [$program->pid, 'listed:b', 'no', 'int, char *, struct foo *', $image],
        [$program->pid, 'listed:z', 'no', join(', ', ('uint8_t') x 32), $image]], 'sorted, with types and the file');
    is("$code$errors", '0', 'and nothing else');
    is_deeply([map { $_->[1] } rows((usdt('list', 'list*:[ab]'))[1])], ['listed:a', 'listed:b'], 'of all processes, by a glob');
    is_deeply([map { $_->[1] } rows((usdt('list', 'listed'))[1])], [map { "listed:$_" } qw(a b z)], 'by the provider');
    ($code, $text, $errors) = usdt('list', 'listed:none');
    like("$code $text$errors", qr/^1 (?:usdt: list: \d+ process.*\n)?usdt: list: no probe is like "listed:none"\n\z/, 'none is like it');

    my $json = JSON::PP->new->decode((usdt('list', '--json', '-p', $program->pid, 'listed'))[1]);
    my ($note) = grep { $_->{name} eq 'b' } @{ USDT::Image->of($program)->{elf}{notes} };
    is($json->[1]{function}, 'func', 'JSON: the function');
    is($json->[1]{offset}, $note->{site}, 'the place in the file');
    is($json->[1]{address}, USDT::Image->of($program)->address + $note->{site}, 'and in memory');
    is_deeply($json->[1]{arguments}, ['int', 'char *', 'struct foo *'], 'the types');
    is($json->[0]{traced}, JSON::PP::false(), 'not traced');

    USDT::Tracer::with(ftrace => 'while it is traced' => sub {
        my $ftrace = USDT::Ftrace->new;
        $ftrace->watch('b', $image, $note->{site});
        $ftrace->start;
        is_deeply([map { $_->[2] } rows((usdt('list', '-p', $program->pid))[1])], [qw(no yes no)], 'the one that is');
        $ftrace->stop;
        is_deeply([map { $_->[2] } rows((usdt('list', '-p', $program->pid))[1])], [qw(no no no)], 'and when it is not');
    });
};

subtest 'other programs' => sub {
    my $program = USDT::Program->new(bits => (USDT::Program->path(32))[0] ? 32 : 64);
    $program->provide('p', 'narrow', 'mod', a => ['long', 'char *']);
    is_deeply([map { $_->[3] } rows((usdt('list', '-p', $program->pid))[1])], ['long, char *'], '32 bits');

    my $memfd = USDT::Program->new(env => { XDG_RUNTIME_DIR => '/nowhere' }, command => ['unshare', '-m', 'sh', '-c',
        'for d in /run /tmp; do mount -t tmpfs -o noexec n $d || exit 9; done; exec "$0" "$@"']);
    if (eval { $memfd->provide('p', 'inmemory', 'mod', a => ['int']); 1 }) {
        is_deeply([map { @$_[1, 3] } rows((usdt('list', '-p', $memfd->pid))[1])], ['inmemory:a', 'int'], 'a memfd');
    }
    my $dir = File::Temp->newdir;
    SKIP: {
        skip '<sys/sdt.h> is not installed (systemtap-sdt-dev)', 1
            if system("echo '#include <sys/sdt.h>' | cc -E -x c - > /dev/null 2>&1") != 0;
        open my $source, '>', "$dir/static.c" or die $!;
        print $source "#include <sys/sdt.h>\n#include <unistd.h>\nint main(int c, char **v)\n",
            "{ STAP_PROBE3(compiled, in, c, v, (short)-1); puts: write(1, \"\\n\", 1); sleep(60); return 0; }\n";
        close $source;
        is(system("cc -O2 -o $dir/static $dir/static.c 2>/dev/null"), 0, 'a compile-time probe');
        my $pid = open my $from, '-|', "$dir/static" or die $!;
        readline $from;
        my @rows = rows((usdt('list', '-p', $pid))[1]);
        is_deeply([map { @$_[1, 3, 4] } @rows], ['compiled:in', 'int32, uint64, int16', "$dir/static"], 'is listed by its widths');
        kill 'KILL', $pid;
        close $from;
    }
};

subtest 'described structures' => sub {
    my $program = USDT::Program->new;
    my @texts = ('struct req { int id; const char *path; };', 'union either { int i; float f; };');
    $program->ok('provider', 'p', 'described', 'mod');
    $program->ok('probe', $_, 'func', $_, 'struct req *') for qw(one two);
    $program->ok('type', 'p', $_) for @texts;
    $program->ok('add', 'p', $_) for qw(one two);
    $program->ok('enable', 'p');
    $program->provide('q', 'plain', 'mod', a => ['struct req *']);
    my $pid = $program->pid;
    my $image = USDT::Image->of($program, 'described')->path;
    my (undef, $text) = usdt('list', '-p', $pid, '[dp]*');
    is(scalar(() = $text =~ /\n/g), 3, 'lines of probes only, where nobody asks for more');
    my (undef, $more) = usdt('list', '-p', $pid, '--types', '[dp]*');
    is($more, "$text\n// $image\n$texts[0]\n$texts[1]\n", '--types: as the program gave them, once for each file');
    my $json = JSON::PP->new->decode((usdt('list', '--json', '-p', $pid, '[dp]*'))[1]);
    is_deeply([map { $_->{structures} } @$json], [("$texts[0]\n$texts[1]") x 2, undef], 'JSON, of each probe');
    like((usdt('dump', $image))[1], qr/^structures\n  \Q$texts[0]\E\n  \Q$texts[1]\E\n\naccepted\?$/m, 'usdt dump has them, too');
    SKIP: {
        skip 'script (package bsdutils) is not installed', 1 if !USDT::Build::find_program('script');
        my (undef, $shown) = run({}, 'script', '-qc', "$usdt list -p $pid described", '/dev/null');
        like($shown =~ tr/\r//dr, qr{\A *PID .*\n(?:.*\n){2}\n// \Q$image\E\n\Q$texts[0]\E\n}, 'on a terminal they are shown');
    }
};

subtest 'completion by bash' => sub {
    plan skip_all => 'bash is not installed' if !grep { -x "$_/bash" } split /:/, $ENV{PATH};
    my $program = USDT::Program->new;
    $program->provide('p', 'completes', 'mod', one => [], other => []);
    my $complete = sub {
        my @words = @_;
        local $ENV{PATH} = Cwd::abs_path($out) . ":$ENV{PATH}";
        my ($code, $text, $errors) = run({}, 'bash', '-c', '. tools/usdt.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _usdt;
            echo "${COMPREPLY[@]}"', 'bash', 'usdt', @words);
        is($errors, '', "usdt @words: no error");
        chomp $text;
        return $text;
    };
    my $pid = $program->pid;
    is($complete->('tr'), 'trace', 'commands');
    is($complete->('trace', '--f'), '--for', 'options');
    like($complete->('how', '-p', substr $pid, 0, -1), qr/\b$pid\b/, 'processes with probes');
    is($complete->('how', '-p', $pid, 'comp'), 'completes:one completes:other', 'and their probes');
    is($complete->('dump', 'usdt.h'), 'usdt.h', 'files');
};

# Languages that can call C functions have probes, at run time.
my $python = <<'END';
import ctypes, sys
usdt = ctypes.CDLL(sys.argv[1])
for name in 'usdt_create_provider', 'usdt_create_probe':
    getattr(usdt, name).restype = ctypes.c_void_p
provider = ctypes.c_void_p(usdt.usdt_create_provider(b'snake', b'main'))
probe = ctypes.c_void_p(usdt.usdt_create_probe(b'f', b'hiss', 2, (ctypes.c_char_p * 2)(b'int', b'char *')))
if usdt.usdt_provider_add_probe(provider, probe) == 0: print(usdt.usdt_provider_enable(provider), flush=True)
sys.stdin.read()
END
my $ruby = <<'END';
require 'fiddle/import'
module USDT
  extend Fiddle::Importer
  dlload ARGV[0]
  extern 'void *usdt_create_provider(char *, char *)'
  extern 'void *usdt_create_probe(char *, char *, size_t, void *)'
  extern 'int usdt_provider_add_probe(void *, void *)'
  extern 'int usdt_provider_enable(void *)'
end
provider = USDT.usdt_create_provider('gem', 'main')
probe = USDT.usdt_create_probe('f', 'shine', 1, ['uint8_t'].pack('p'))
puts USDT.usdt_provider_enable(provider) if USDT.usdt_provider_add_probe(provider, probe) == 0
$stdout.flush
STDIN.read
END
subtest 'three languages' => sub {
    plan skip_all => 'a sanitizer is in libusdt.so, and not in those programs' if ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;
    plan skip_all => 'the libusdt.so here is of another width' if USDT::Program::native_arch() ne 'x86_64' || ($ENV{CC} // '') =~ /-m32/;
    my ($library) = map { Cwd::abs_path($_) } glob "$out/libusdt.so.2";
    my $program = USDT::Program->new;
    $program->provide('p', 'sea', 'mod', wave => ['long']);
    for (['python3', '-c', $python, 'snake:hiss', 'int, char *', qr/^python:function__entry$/],
        ['ruby', '-e', $ruby, 'gem:shine', 'uint8_t', qr/^ruby:method__entry$/]) {
        my ($name, $option, $script, $probe, $types, $own) = @$_;
        SKIP: {
            # Debian's: these have compile-time probes of their own.
            skip "$name is not installed", 4 if !-x "/usr/bin/$name";
            my $pid = IPC::Open2::open2(my $from, my $to, "/usr/bin/$name", $option, $script, $library);
            is(readline $from, "0\n", "$name enables a provider");
            my @rows = grep { $_->[0] != $$ } rows((usdt('list'))[1]);
            is_deeply([map { "$_->[1]($_->[3])" } grep { $_->[0] == $pid && $_->[1] =~ /^(?:snake|gem):/ } @rows], ["$probe($types)"],
                'of all processes, its probe is listed');
            ok((grep { $_->[0] == $program->pid && $_->[1] eq 'sea:wave' } @rows) == 1, "beside a C program's");
            ok((grep { $_->[0] == $pid && $_->[1] =~ $own } @rows) > 0, "and compile-time ones of its own");
            close $to;
            waitpid $pid, 0;
        }
    }
};

subtest 'what is asked wrongly' => sub {
    for (
        [[], 2, qr/^usage: usdt COMMAND/], [['nonsense'], 2, qr/^usdt: nonsense: there is no such command; usdt --help lists them$/],
        [['list', '-p', 'x'], 2, qr/^usdt: -p x: a process is a number above 0$/], [['list', '-p', '0'], 2, qr/^usdt: -p 0: /],
        [['list', 'a', 'b'], 2, qr/^usdt: list: one GLOB, not 2: "b" \(quote it/], [['list', '--what'], 2, qr/^usdt: unrecognized option '--what'$/],
        [['list', '-p', '4194305'], 1, qr/^usdt: process 4194305: there is none of this number$/],
    ) {
        my ($arguments, $code, $message) = @$_;
        my ($is, $text, $errors) = usdt(@$arguments);
        is($is, $code, "usdt @$arguments: exit code $code");
        like($errors, $message, 'and the reason');
        is($text, '', 'on standard error');
    }
    like((usdt('--help'))[1], qr/^usage: usdt COMMAND/, 'usdt --help');
    like((usdt('--version'))[1], qr/^usdt \d+\.\d+\.\d+$/, 'usdt --version');
    like((usdt($_, '--help'))[1], qr/^usage: usdt $_ /, "usdt $_ --help") for qw(list);
    my ($code, undef, $errors) = run({}, 'sh', '-c', "$usdt --help > /dev/full");
    is($code, 1, 'a full disk') if -e '/dev/full';
};

# Files that are none, or lie: a process that has them mapped is listed all the same.
subtest 'hostile files' => sub {
    my $dir = File::Temp->newdir;
    my $program = USDT::Program->new;
    $program->provide('p', 'good', 'mod', a => ['int']);
    $program->ok(@$_) for ['type', 'p', 'struct large { int members[8], more[9]; }; enum e { A, B }; ' . '/* and so on */ ' x 40],
        ['disable', 'p'], ['enable', 'p'];
    my $bytes = do { open my $file, '<:raw', USDT::Image->of($program)->path or die $!; local $/; <$file> };
    srand 1;
    my $failed = 0;
    my $mapped = sub {
        my ($path, @options) = @_;
        my $pid = open my $from, '-|', 'perl', '-e', 'open my $f, "<", $ARGV[0];
            syscall 9, 0, 4096, 5, 2, fileno $f, 0; $| = 1; print "\n"; sleep 60', $path or die $!;
        readline $from;
        my ($code, $text) = usdt('list', '-p', $pid, @options);
        kill 'KILL', $pid;
        close $from;
        return ($code, $text);
    };
    (my $odd = $bytes) =~ s/\0good\0a\0/\0g\e[m\0a\0/ or die 'no note';
    open my $file, '>:raw', "$dir/odd\tname.so" or die $!;
    print $file $odd;
    close $file;
    SKIP: {
        skip 'mmap has another number on this processor', 1 if USDT::Program::native_arch() ne 'x86_64';
        my (undef, $text) = $mapped->("$dir/odd\tname.so");
        like($text, qr{^\d+\tg\\x1b\[m:a\tno\tint\t\S+/odd\\x09name\.so$}, 'control characters are not printed as they are');
        my $names = "\x{7f}\x{e9}\x{20ac}\x{1f600}\"\\";
        utf8::encode(my $path = "$dir/$names");
        rename "$dir/odd\tname.so", "$path\xff\xc0\x80.so" or die $!;
        (undef, $text) = $mapped->("$path\xff\xc0\x80.so", '--json');
        is(JSON::PP->new->utf8->decode($text)->[0]{file}, "$dir/$names" . "\x{fffd}" x 3 . '.so', 'JSON of any bytes');
    }
    for my $n (1 .. 60) {
        my $bad = $bytes;
        substr $bad, int rand length $bad, 1, chr int rand 256 for 1 .. 1 + rand 20;
        $bad = substr $bad, 0, int rand length $bad if $n % 3 == 0;
        next if length $bad < 4096;
        open my $file, '>:raw', "$dir/bad$n.so" or die $!;
        print $file $bad;
        close $file;
        my ($code) = $mapped->("$dir/bad$n.so");
        $failed += $code != 0 && $code != 1;
    }
    is($failed, 0, 'none does harm');
};
done_testing;
