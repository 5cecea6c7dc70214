# semaphores.t - a provider that asks for semaphores: each counts while a tracer that knows of it is there, whichever
# and however many, and none of it does harm.
use strict;
use warnings;
use Test::More;
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

# A program whose provider p has the probes a, b and c of one int, with semaphores.
sub start {
    my ($provider, %option) = @_;
    my $program = USDT::Program->new(%option);
    $program->ok('provider', 'p', $provider, 'mod');
    $program->ok(qw(semaphores p));
    for my $probe (qw(a b c)) {
        $program->ok('probe', $probe, 'func', $probe, 'int');
        $program->ok('add', 'p', $probe);
    }
    $program->ok(qw(enable p));
    return $program;
}

# The semaphores of a, b and c.
sub semaphores { my ($program) = @_; return join ' ', map { $program->ok('semaphore?', $_) } qw(a b c) }

# Where ftrace is to watch a probe: by its site, counted by its semaphore.
sub place {
    my ($program, $probe, $provider) = @_;
    my ($note) = grep { $_->{name} eq $probe } @{ USDT::Image->of($program, $provider)->{elf}{notes} };
    return sprintf '0x%x(0x%x)', @$note{qw(site semaphore)};
}

sub watch {
    my ($program, @probes) = @_;
    my $ftrace = USDT::Ftrace->new;
    $ftrace->watch($_, USDT::Image->of($program)->path, place($program, $_)) for @probes;
    $ftrace->start;
    return $ftrace;
}

sub by_ftrace {
    my ($bits) = @_;
    my $program = start('semaphores', bits => $bits);
    my @maps = grep { m{/semaphores-[0-9a-f]+\.so$} } $program->maps;
    is(join(' ', map { (split)[1] } @maps), 'r-xp rw-p', 'the image is mapped to be executed, and to be counted in');
    is(semaphores($program), '0 0 0', 'none counts');
    my $ftrace = watch($program, 'b');
    is(semaphores($program), '0 1 0', 'that of the traced probe does');
    is($program->enabled('b'), '1 1', 'which is enabled');
    $program->ok(qw(fire b i:7));
    is(scalar(() = $ftrace->hits), 1, 'and seen');
    my $other = watch($program, 'b', 'c');
    like(semaphores($program), qr/^0 [12] 1$/, 'a second tracer');
    $ftrace->stop;
    like(semaphores($program), qr/^0 1 1$/, 'the first leaves');
    $other->stop;
    is(semaphores($program), '0 0 0', 'so does the second');
    is($program->quit, 0, 'the program ends well');
}

# The life of what is traced.
sub changes {
    my $twin = start('changes'); # it keeps the file that is watched, while the other has none
    my $program = start('changes');
    my $ftrace = watch($program, 'a', 'b');
    is(semaphores($program), '1 1 0', 'two are traced');
    $program->ok(qw(keep a));
    $program->ok(qw(disable p));
    is($program->ok(qw(semaphore? a)), 0, 'disabled: who kept the probe sees 0');
    $program->ok(qw(enable p));
    is(semaphores($program), '1 1 0', 'enabled again');
    $program->ok(qw(remove p b));
    is($program->ok(qw(semaphore? a)), 1, 'another is removed');
    $program->ok(qw(probe d func d int));
    $program->ok(qw(add p d));
    $program->ok(qw(enable p));
    is($program->ok(qw(semaphore? d)), 0, 'a probe that is added later has one, too');
    my ($new) = grep { my $image = $_; grep { $_->{name} eq 'd' } @{ $image->{elf}{notes} } }
        map { USDT::Image->new(%$_) } $program->images;
    my ($note) = grep { $_->{name} eq 'd' } @{ $new->{elf}{notes} };
    my $later = USDT::Ftrace->new;
    $later->watch('d', $new->path, sprintf '0x%x(0x%x)', @$note{qw(site semaphore)});
    $later->start;
    is($program->ok(qw(semaphore? d)), 1, 'which counts');
    like($program->do('fork'), qr/^ok \d+$/, 'fork');
    is($program->ok(qw(semaphore? a)), 1, 'the child is traced as its parent');
    $program->ok(qw(fire a i:1));
    like($program->do('quit'), qr/^ok/, 'the child ends');
    $program->receive;
    $program->ok(qw(fire a i:1));
    is(scalar(grep { $_->{event} eq 'a' } $ftrace->hits), 2, 'both are seen');
    $ftrace->stop;
    $later->stop;
    is($program->ok(qw(semaphore? a)) + $program->ok(qw(semaphore? d)), 0, 'the tracers leave');
    is($program->quit, 0, 'the program ends well');
}

# One without semaphores beside one that has them; and before a program starts.
sub without {
    my $program = USDT::Program->new;
    $program->provide('p', 'without', 'mod', a => ['int'], b => ['int'], c => ['int']);
    is_deeply([map { $_->{semaphore} } @{ USDT::Image->of($program)->{elf}{notes} }], [0, 0, 0], 'no note has one');
    my $ftrace = USDT::Ftrace->new;
    my $image = USDT::Image->of($program);
    $ftrace->watch('a', $image->path, $image->site('a'));
    $ftrace->start;
    is(semaphores($program), '0 0 0', 'none counts, traced or not');
    is($program->enabled('a'), '1 1', 'though it is enabled');
    $ftrace->stop;

    my $first = start('before');
    $ftrace = watch($first, 'c');
    my $second = start('before');
    is(semaphores($second), '0 0 1', 'a program that starts while it is traced counts at once');
    $ftrace->stop;
    is(semaphores($_), '0 0 0', 'until the tracer leaves') for $first, $second;
}

sub by_bpftrace {
    my $program = start('bpf');
    my @tracers = map { USDT::Tracer->bpftrace($program->pid, "usdt:*:$_ { \@[arg0] = count(); }") } 'bpf:b', 'bpf:*';
    ok($tracers[1]->until(sub { semaphores($program) =~ /^[1-9]\d* [1-9]\d* [1-9]/ }), 'all count');
    ok($tracers[1]->until(sub { $program->enabled('b') eq '1 1' }), 'and are enabled');
    $program->ok(qw(fire b i:21));
    my @seen = map { $tracers[$_]->stop } 1, 0;
    like($_, qr/^@\[21\]: 1$/m, 'a tracer saw the hit') for @seen;
    is(semaphores($program), '0 0 0', 'when both have left, none counts');
}

sub by_perf {
    my $program = start('forperf');
    my $image = USDT::Image->of($program);
    my $data = File::Temp->new;
    my $log = '';
    $log .= qx{$_ 2>&1} for "perf buildid-cache --add '@{[ $image->path ]}'", "perf probe 'sdt_forperf:*'";
    my $tracer = USDT::Tracer->start('perf', 'record', '-q', '-e', 'sdt_forperf:*', '-p', $program->pid, '-o', $data->filename);
    ok($tracer->until(sub { semaphores($program) =~ /^[1-9]\d* [1-9]\d* [1-9]/ }), 'all count while perf records') or diag($log);
    my $bpftrace = -e '/usr/bin/bpftrace' ? USDT::Tracer->bpftrace($program->pid, 'usdt:*:forperf:a { @hits = count(); }') : undef;
    $tracer->stop;
    qx{perf probe -q -d 'sdt_forperf:*' 2>&1; perf buildid-cache --remove '@{[ $image->path ]}' 2>&1};
    SKIP: {
        skip 'bpftrace is not installed', 2 if !$bpftrace;
        like(semaphores($program), qr/^[1-9]\d* 0 0$/, 'perf has left, bpftrace is still there');
        $bpftrace->stop;
        is(semaphores($program), '0 0 0', 'now nobody is');
    }
}

subtest 'other programs than those of this system' => sub {
    my $program = start('any');
    is(semaphores($program), '0 0 0', 'they are there, and 0');
    $program->ok(qw(fire b i:7));
    $program->ok(qw(disable p));
    $program->ok(qw(enable p));
    is(semaphores($program), '0 0 0', 'also when enabled again');
    is(scalar(my @wx = $program->writable_code), 0, 'nothing is writable and executable') if !@USDT::Program::RUNNER;
    is($program->quit, 0, 'the program ends well');
};
for my $bits (USDT::Program::widths()) {
    my ($path, $why) = USDT::Program->path($bits);
    USDT::Tracer::subtest_unless($path ? USDT::Tracer::missing('ftrace') : $why,
        "$bits bits: a semaphore counts while ftrace is there", sub { by_ftrace($bits) });
}
USDT::Tracer::with(ftrace   => 'what is traced changes', \&changes);
USDT::Tracer::with(ftrace   => 'with, without, and before', \&without);
USDT::Tracer::with(bpftrace => 'two bpftraces', \&by_bpftrace);
USDT::Tracer::with(perf     => 'perf, and bpftrace', \&by_perf);
done_testing;
