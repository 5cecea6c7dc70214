# examples.t - what the README, `make demo` and examples/ show a newcomer works as they say.
use strict;
use warnings;
use File::Copy ();
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use USDT::Program;
use USDT::Tracer;

my $out = $ENV{O} // '.';
my $cc = $ENV{CC} || 'cc';
my $flags = $ENV{USDT_TEST_CFLAGS} // '';
my @runner = split ' ', $ENV{USDT_TEST_RUNNER} // '';
my $dir = File::Temp->newdir;
my $shows_strings = USDT::Program::native_bits() == 64; # ftrace reads eight bytes of a pointer
my $WARN = '-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror';

sub slurp { my ($path) = @_; open my $in, '<', $path or die "$path: $!"; local $/; return <$in> }

# Compiles an example, with whatever compiler and options; returns the program.
sub compiled {
    my ($source, $compiler) = @_;
    my ($program) = $source =~ m{(\w+)\.\w+$};
    my $log = qx{$compiler $WARN $flags -I. -o $dir/$program $source $out/libusdt.a -pthread 2>&1};
    is($log, '', "$source compiles without a warning");
    return "$dir/$program";
}

sub published {
    my ($process) = @_;
    return slurp("/proc/$process->{pid}/maps") =~ m{/usdt(?:-\d+)?/\S+\.so$|memfd:usdt }m;
}

sub children { my ($pid) = @_; return split ' ', slurp("/proc/$pid/task/$pid/children") }
sub gone { my ($pid) = @_; return !kill(0, $pid) || slurp("/proc/$pid/stat") =~ /\) Z/ }

# Runs a program until it has published its probes.
sub running {
    my ($program, @arguments) = @_;
    my $process = USDT::Tracer->start(@runner, $program, @arguments);
    ok($process->until(sub { published($process) }), 'it publishes its probes');
    return $process;
}

# The hits of a process, as `usdt trace` shows them: thread, probe, arguments.
sub traced {
    my ($pid, $count, $provider) = @_;
    my @lines = qx{timeout 60 $out/usdt trace -p $pid --count $count $provider 2>/dev/null};
    return map { /^[\d:.]+ (\d+) $provider:(\w+) ?(.*)/ ? [$1, $2, $3] : () } @lines;
}

subtest 'the example of the README' => sub {
    my ($code) = slurp('README.md') =~ /```c\n(.*?)```/s;
    my $file = slurp('examples/hello.c');
    ok(defined $code && index($file, $code) >= 0, 'is examples/hello.c');
    cmp_ok(scalar(() = $code =~ /^.*\S/mg), '<=', 22, 'is short');
    is(running(compiled('examples/hello.c', $cc))->stop, '', 'and it complains of nothing');
};

subtest 'examples/vendored' => sub {
    delete local @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};
    my $sources = "$dir/vendored";
    system "mkdir -p $sources/examples && cp LICENSE usdt*.h usdt*.c usdt_tracepoints_*.s $sources &&
        cp -r examples/hello.c examples/vendored $sources/examples";
    my ($other) = grep { $cc !~ /\Q$_/ } $cc =~ /clang/ ? 'gcc' : 'clang';
    for my $compiler ($cc, $other // (), $cc =~ /-m32|--target|aarch64/ ? () : "$cc -m32") {
        my $made = qx{echo 'int main(void){return 0;}' | $compiler -x c -o $dir/trivial - 2>&1};
        SKIP: {
            skip "$compiler cannot link a program", 2 if $? != 0;
            my $log = qx{make -s -C $sources/examples/vendored CC='$compiler' CFLAGS='$WARN -O1' 2>&1};
            is($log, '', "$compiler compiles what README.md says, without a warning");
            my $hello = USDT::Tracer->start($compiler eq $cc ? @runner : (), "$sources/examples/vendored/hello");
            ok($hello->until(sub { published($hello) }), 'and it publishes its probe');
            $hello->stop;
            unlink "$sources/examples/vendored/hello";
        }
    }
};

subtest 'examples/interpreter.c' => sub {
    my $program = compiled('examples/interpreter.c', "$cc -std=c11");
    my $forth = running($program, 'examples/fib.forth');
    ok($forth->until(sub { $forth->output =~ /^2\n5\n13\n/ }), 'runs its script');
    USDT::Tracer::with(ftrace => 'the probes of the script', sub {
        my (@fib, $fib);
        $fib = sub {
            my ($n) = @_;
            push @fib, "fib_entry $n";
            my $value = $n < 2 ? $n : $fib->($n - 1) + $fib->($n - 2);
            push @fib, "fib_return $value";
            return $value;
        };
        for my $n (3, 5, 7) {
            push @fib, "show_entry $n";
            my $value = $fib->($n);
            push @fib, "answer $n $value", 'show_return 0';
        }
        my @hits = map { "$_->[1] $_->[2]" } traced($forth->{pid}, 2 * @fib, 'forth');
        shift @hits while @hits && $hits[0] ne 'show_entry 3';
        splice @hits, scalar @fib;
        is_deeply(\@hits, \@fib, 'are hit when its words are called and return, and where it says, with its values');
    });
    $forth->stop('KILL');
    for (
        ['1 2 + . 7 dup * . 3 0 if 9 . then .', "3\n49\n3\n", 'values and a branch'],
        [': 2dup over over ; 1 2 2dup . . . .', "2\n1\n2\n1\n", 'a word whose name cannot be a probe'],
        ["probe none\nprobe two int, char *\n1 2 two none", '', 'probes, untraced'],
        ['drop', "interpreter: the stack is empty\n", 'an empty stack'],
        [': f f ; f', "interpreter: too deep: f\n", 'endless calls'],
        ['begin 1 again', "interpreter: the stack is full\n", 'a full stack'],
        [': f 1', "interpreter: the script ends too early \n", 'half a definition'],
        ['what', "interpreter: what is what\n", 'a word that is not there'],
    ) {
        my ($text, $prints, $name) = @$_;
        open my $script, '>', "$dir/script" or die $!;
        print $script $text;
        close $script;
        is(qx{@runner $program $dir/script 2>&1} =~ s/^no probes: .*\n//r, $prints, $name);
    }
};

subtest 'examples/sensor.c' => sub {
    my $program = compiled('examples/sensor.c', "$cc -std=c11");
    my $sensor = running($program);
    my $why = $shows_strings ? USDT::Tracer::missing('ftrace') : 'ftrace reads eight bytes of a pointer';
    USDT::Tracer::subtest_unless($why, 'usdt trace', sub {
        my @hits = map { "$_->[1] $_->[2]" } traced($sensor->{pid}, 6, 'sensor');
        is(scalar(grep { /^reading \{id=\d+, place="roof", state=BROKEN, bar=0\} -3\.0625$/ } @hits), 2, 'a structure, and a double');
    });
    $sensor->stop('TERM');
};

subtest 'examples/jit.c' => sub {
    my $program = compiled('examples/jit.c', "$cc -std=c11");
    if (USDT::Program::native_arch() eq 'i386') {
        is(qx{$program x 2>&1}, "jit: no code for this processor: x\n", 'says what it cannot do');
        return;
    }
    is(qx{@runner $program '2 x * 1 + x x * -' 3 2>/dev/null}, "1 2\n2 1\n3 -2\n", 'compiles an expression');
    for (['y', 'is no number, x, +, - or *: y'], ['1 +', 'takes two values, which are not there: +'],
        ['1 2', 'leaves no single value: 1 2'], ['x 1e3 +', 'is no number, x, +, - or *: 1e3'],
        ['', 'leaves no single value: '], [join(' ', 1, ('x +') x 9999), 'too long: the expression']) {
        my ($source, $why) = @$_;
        like(qx{@runner $program '$source' 1 2>&1}, qr/^jit: \Q$why\E$/m, $why);
    }
    my $jit = running($program, '3 x * 1 -');
    for my $tracer (qw(ftrace bpftrace)) {
        USDT::Tracer::with($tracer => 'its registers', sub {
            my @hits = $tracer eq 'ftrace' ? map({ $_->[2] } traced($jit->{pid}, 4, 'jit')) : do {
                my $run = USDT::Tracer->bpftrace($jit->{pid}, 'usdt:*:jit:eval { printf("%d %d %s\n", arg0, arg1, str(arg2)); }');
                $run->lines(qr/\d+ \d+ .*/, 4);
            };
            cmp_ok(scalar @hits, '>', 3, 'four hits');
            my @wrong = grep { !/^(\d+) (\d+) "?(.*?)"?$/ || $2 != 3 * $1 - 1 || $3 ne '3 x * 1 -' } @hits;
            is_deeply(\@wrong, [], 'with the values of the compiled code');
        });
    }
    $jit->stop('TERM');
};

subtest 'examples/server.c' => sub {
    my $program = compiled('examples/server.c', "$cc -std=c11");
    my $server = running($program, '--port', 0, '--load', 4);
    my ($port) = $server->output =~ /^port (\d+)$/m or return fail('it says its port');
    my %pages = ('/' => '200 120', '/cart' => '200 300', '/report' => '200 2000', map { ($_ => '404 0') } '/missing', '/x');
    for my $path (sort keys %pages) {
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 20) or die "port $port: $@";
        print $socket "GET $path HTTP/1.0\r\n\r\n";
        my $answer = do { local $/; <$socket> };
        my ($head, $body) = split /\r\n\r\n/, $answer // '', 2;
        is(($head =~ /^HTTP\S+ (\d+)/)[0] . ' ' . length $body, $pages{$path}, "answers $path");
    }
    USDT::Tracer::with(ftrace => 'its requests', sub {
        my $start = $shows_strings ? qr/^(\d+) "(.*?)" "(.*)"$/ : qr/^(\d+) (0x[0-9a-f]+) (0x[0-9a-f]+)$/;
        my (%open, @wrong, %seen, %threads);
        for (traced($server->{pid}, 150, 'web')) {
            my ($thread, $probe, $arguments) = @$_;
            $threads{$thread}++;
            if ($probe eq 'request_start') {
                my ($id, $path, $json) = $arguments =~ $start or push @wrong, $arguments;
                push @wrong, "$path $json" if $shows_strings && JSON::PP::decode_json($json)->{path} ne $path;
                $open{"$thread $id"} = $path;
            } else {
                my ($id, $rest) = $arguments =~ /^(\d+) (\d+ \d+)$/ or push @wrong, $arguments;
                my $path = delete $open{"$thread $id"} // next; # it had begun before
                push @wrong, "$path $rest" if $shows_strings && $pages{$path} ne $rest;
                $seen{$rest}++;
            }
        }
        is_deeply(\@wrong, [], 'each that is done was started by its thread, and got what belongs to its path');
        is(scalar keys %threads, 4, 'in all threads that were there');
        is_deeply([sort keys %seen], [sort @pages{'/', '/cart', '/missing', '/report'}], 'all the load asks for');
    });
    my ($load) = children($server->{pid});
    $server->stop('TERM');
    ok(USDT::Tracer::wait_for(10, sub { gone($load) }), 'the load ends with it');

    my $parent = running($program, qw(--port 0 --workers 2 --threads 2));
    my @workers;
    ok($parent->until(sub { (@workers = children($parent->{pid})) == 2 }), '--workers 2');
    if (!@runner) {
        my %files = map { (split /\t/)[0, 4] } qx{$out/usdt list web:request_done 2>/dev/null};
        my @files = @files{$parent->{pid}, @workers};
        ok(defined $files[0], 'have probes');
        is_deeply(\@files, [($files[0]) x 3], 'in one file');
    }
    $parent->stop('TERM');
    ok(USDT::Tracer::wait_for(10, sub { !grep { !gone($_) } @workers }), 'which end with their parent');
};

subtest 'examples/cxx.cpp' => sub {
    my $cxx = $cc =~ s/\bclang\b/clang++/r =~ s/\bgcc\b/g++/r =~ s/\bcc\b/c++/r;
    my $none = qx{echo '#include <string>' | $cxx -x c++ -fsyntax-only - 2>&1};
    plan skip_all => "$cxx, or the library of C++ for it, is not installed" if $?;
    my $program = compiled('examples/cxx.cpp', "$cxx -std=c++11");
    my $jobs = running($program, 60);
    USDT::Tracer::with(ftrace => 'its probes', sub {
        my @hits = traced($jobs->{pid}, 12, 'jobs');
        is(scalar @hits, 12, 'are hit');
        my @wrong = grep {
            my (undef, $probe, $arguments) = @$_;
            my ($id) = $arguments =~ /^(\d+)/;
            my $ok = $id % 5 != 0 ? 1 : 0;
            my $size = length "job $id";
            my $name = $shows_strings ? qr/"job $id"/ : qr/0x[0-9a-f]+/;
            $arguments !~ ($probe eq 'job_start' ? qr/^$id $name$/ : qr/^$id $ok $size$/);
        } @hits;
        is_deeply(\@wrong, [], 'with the values of their types');
    });
    $jobs->stop('KILL');
};

sub shows_hits {
    my ($text, $strings) = @_;
    my @paths = ('/', '/cart', '/cart/42', '/checkout', '/missing');
    my %shown = $text =~ /^\d\d:\d\d:\d\d\.\d+ \d+ shop:start (\d+) "?(.*?)"?$/mg;
    cmp_ok(scalar(keys %shown), '>', 3, 'it shows live values');
    is_deeply(\%shown, { map { ($_ => $paths[$_ % 5]) } keys %shown }, 'the right ones') if $strings;
}

subtest 'make demo' => sub {
    my $text = qx{timeout 60 make -s O=$out CFLAGS='@{[ $ENV{USDT_TEST_CFLAGS} // "-O2 -g" ]}' demo 2>&1};
    is($?, 0, 'ends by itself, and well') or diag $text;
    my $why = USDT::Tracer::missing('ftrace');
    like($text, qr/bpftrace -p \d+ -e 'usdt:\S+:shop:start/, 'it says what to type') if !USDT::Tracer::emulated('');
    like($text, $why ? qr/^(?:There is no tracer here|Only root can trace), but the program itself can listen/m
        : qr/^\$ usdt trace/m, 'and who shows the hits');
    shows_hits($text, $why || $shows_strings);
    like($text, qr/^The program says: \d+ of \d+ requests were traced$/m, 'and how many there were');
};

subtest 'usdt demo, without privileges' => sub {
    my $dir = File::Temp->newdir;
    chmod 0755, $dir or die $!;
    File::Copy::cp("$out/usdt", "$dir/usdt") or die "$dir/usdt: $!";
    my @as = $> == 0 ? ($^X, '-e', '$( = $) = 65534; $< = $> = 65534; exec { $ARGV[0] } @ARGV or die $!') : ();
    mkdir "$dir/run", 0700 or die $!;
    chown 65534, 65534, "$dir/run" if @as;
    local $ENV{XDG_RUNTIME_DIR} = "$dir/run";
    # It would go on for half a minute.
    open my $from, '-|', 'timeout', 12, @as, @USDT::Program::RUNNER, "$dir/usdt", 'demo' or die "timeout: $!";
    my $text = join '', <$from>;
    close $from;
    like($text, qr/^Only root can trace, but the program itself can listen to its probes/m, 'it says how it shows hits');
    shows_hits($text, 1);
    like($text, qr/^As root.*^\$ usdt how/ms, 'and then what to type as root');
};
done_testing;
