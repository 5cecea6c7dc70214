#!/usr/bin/env perl
# test.pl - what tracers print: probes of 0 to 32 arguments, of int and of char *, in 64- and 32-bit
# programs, every value compared. Drives test_usdt, as the old library's test.pl did.
#
# Other tests are in tests/. Run by `make test`.
use strict;
use warnings;
no warnings 'portable'; # addresses have 64 bits
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/tests/lib";
use POSIX ();
use Test::More;
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

my @counts = 0 .. 32;

# The values a probe of $n arguments is fired with: signs alternate, no two are equal.
sub int_value { my ($n, $i) = @_; return ($i % 2 ? -1 : 1) * ($n * 1000 + $i + 1) }
sub str_value { my ($n, $i) = @_; return "s$n.$i" }

# A program with all these probes, published.
sub start_program {
    my ($bits) = @_;
    my $program = USDT::Program->new(bits => $bits);
    $program->provide('p', 'testlib', 'modname',
        (map { ("int$_" => [('int') x $_]) } @counts), (map { ("str$_" => [('char *') x $_]) } @counts));
    return $program;
}

# Fires each probe once. Returns what was passed: probe => [values as hexadecimal].
sub fire_all {
    my ($program) = @_;
    my %passed;
    for my $n (@counts) {
        my @at = 0 .. $n - 1;
        $passed{"int$n"} = [split ' ', $program->ok('fire', "int$n", map { 'i:' . int_value($n, $_) } @at)];
        $passed{"str$n"} = [split ' ', $program->ok('fire', "str$n", map { 's:' . str_value($n, $_) } @at)];
    }
    return \%passed;
}

# The probes of which usdt_is_enabled and isenabled_addr do not say this.
sub all_probes {
    my ($program, $want) = @_;
    return join ' ', grep { $program->enabled($_) ne $want } map { ("int$_", "str$_") } @counts;
}

# What was seen of the probes: { probe => [values] }, each seen once; compares at most $limit arguments.
sub compare {
    my ($seen, $limit, $int, $str) = @_;
    for my $n (@counts) {
        my $last = ($n < $limit ? $n : $limit) - 1;
        is_deeply($seen->{"int$n"}, [map { $int->($n, $_) } 0 .. $last], "int x $n");
        is_deeply($seen->{"str$n"}, [map { $str->($n, $_) } 0 .. $last], "char * x $n");
    }
}

sub ftrace {
    my ($program) = @_;
    my $bits = $program->bits;
    my $image = USDT::Image->of($program);
    my $ftrace = USDT::Ftrace->new;
    for my $n (@counts) {
        my @places = map { USDT::Ftrace::place($bits, $_) } 0 .. $n - 1;
        $ftrace->watch("int$n", $image->path, $image->site("int$n"), map { "$_:s32" } @places);
        # The kernel reads a pointer of a 32-bit program as 8 bytes: there, see the pointer itself.
        $ftrace->watch("str$n", $image->path, $image->site("str$n"),
            map { $bits == 64 ? "+0($_):string" : "$_:x32" } @places);
    }
    is(all_probes($program, '0 0'), '', 'no probe is enabled before');
    $ftrace->start;
    is(all_probes($program, '1 1'), '', 'all probes are enabled while traced');
    my $passed = fire_all($program);
    my %seen;
    my @hits = $ftrace->hits;
    $seen{ $_->{event} } = $_->{args} for @hits;
    $ftrace->stop;
    is(all_probes($program, '0 0'), '', 'no probe is enabled after');
    is(scalar @hits, 2 * @counts, 'each probe was hit once');
    is_deeply([grep { $_->{pid} != $program->pid } @hits], [], 'by this process');
    compare(\%seen, 32, \&int_value,
        $bits == 64 ? \&str_value : sub { my ($n, $i) = @_; $passed->{"str$n"}[$i] });
}

# bpftrace 0.17 knows six arguments on x86_64, 0.27 the twelve that libbpf takes; which came first with
# twelve is not known here.
sub bpftrace_arguments {
    my ($major, $minor) = qx{bpftrace --version} =~ /v(\d+)\.(\d+)/;
    return $major > 0 || $minor >= 25 ? 12 : 6;
}

sub bpftrace {
    my ($program) = @_;
    my $image = USDT::Image->of($program);
    my $limit = bpftrace_arguments();
    my $script = '';
    for my $n (@counts) {
        my @args = map { "arg$_" } 0 .. ($n < $limit ? $n : $limit) - 1;
        my $int = join '', map { ", $_" } @args;
        my $str = join '', map { ", str($_)" } @args;
        $script .= sprintf qq(usdt:%s:testlib:int$n { printf("int$n%s\\n"%s); }\n), $image->path, ' %d' x @args, $int;
        $script .= sprintf qq(usdt:%s:testlib:str$n { printf("str$n%s\\n"%s); }\n), $image->path, ' %s' x @args, $str;
    }
    local $ENV{BPFTRACE_STRLEN} = 16;
    is(all_probes($program, '0 0'), '', 'no probe is enabled before');
    my $tracer = USDT::Tracer->bpftrace($program->pid, $script);
    is(all_probes($program, '1 1'), '', 'all probes are enabled while traced');
    fire_all($program);
    my @lines = $tracer->lines(qr/(?:int|str)\d.*/, 2 * @counts);
    is(all_probes($program, '0 0'), '', 'no probe is enabled after');
    is(scalar @lines, 2 * @counts, 'each probe was hit once') or diag $tracer->output;
    my %seen = map { my ($probe, @values) = split; ($probe => \@values) } @lines;
    compare(\%seen, $limit, \&int_value, \&str_value);
}

sub perf {
    my ($program) = @_;
    my $image = USDT::Image->of($program);
    my $data = File::Temp->new;
    my $run = sub { my $log = qx{@_ 2>&1}; $? == 0 or diag "@_: $log"; return $log };
    $run->("perf buildid-cache --add '@{[ $image->path ]}'");
    $run->("perf probe 'sdt_testlib:*'");
    is(all_probes($program, '0 0'), '', 'no probe is enabled before');
    # perf places its probes some time before it records what they say: have it tell us when.
    my $dir = File::Temp->newdir;
    POSIX::mkfifo("$dir/$_", 0600) for qw(control ack);
    my $tracer = USDT::Tracer->start('perf', 'record', '-q', '-e', 'sdt_testlib:*', '-p', $program->pid,
        '-o', $data->filename, '-D', '-1', '--control', "fifo:$dir/control,$dir/ack");
    ok($tracer->until(sub { all_probes($program, '1 1') eq '' }), 'all probes are enabled while traced');
    open my $control, '+<', "$dir/control" or die $!;
    open my $ack, '+<', "$dir/ack" or die $!;
    syswrite $control, "enable\n";
    sysread $ack, my $answer, 5;
    my $passed = fire_all($program);
    $tracer->stop;
    is(all_probes($program, '0 0'), '', 'no probe is enabled after');
    my $script = qx{perf script -i @{[ $data->filename ]} -F event,trace 2>/dev/null};
    $run->("perf probe -q -d 'sdt_testlib:*'");
    $run->("perf buildid-cache --remove '@{[ $image->path ]}'");
    my %seen;
    for (split /\n/, $script) {
        my ($probe, $rest) = /sdt_testlib:(\w+): \(\w+\)\s*(.*)/ or next;
        push @{ $seen{$probe} }, $rest =~ /arg\d+=(\S+)/g;
    }
    # perf does not follow pointers in such a probe: compare them with what the program passed.
    compare({ map { ($_ => $seen{$_} // []) } keys %$passed }, 12, \&int_value,
        sub { my ($n, $i) = @_; hex $passed->{"str$n"}[$i] });
    is(scalar(keys %seen), 2 * @counts, 'each probe was hit');
}

my $slow = ($ENV{USDT_TEST_PATIENCE} // 1) == 1 ? ''
    : 'bpftrace compiles 66 probes for minutes on an emulated machine; tests/vm/bpftrace.t has fewer';
for my $bits (USDT::Program::widths()) {
    my ($path, $why) = USDT::Program->path($bits);
    USDT::Tracer::subtest_unless($path ? '' : $why, "a $bits-bit program", sub {
        my $program = start_program($bits);
        USDT::Tracer::with(ftrace   => 'ftrace shows every argument', sub { ftrace($program) });
        USDT::Tracer::subtest_unless($slow || USDT::Tracer::missing('bpftrace'), 'bpftrace shows the arguments',
            sub { bpftrace($program) });
        USDT::Tracer::with(perf     => 'perf shows the arguments', sub { perf($program) });
        $program->ok('disable', 'p');
        is_deeply([$program->writable_code], [], 'nothing ever was writable and executable');
        is($program->quit, 0, 'the program ended well');
    });
}
done_testing;
