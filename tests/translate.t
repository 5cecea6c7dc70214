# translate.t - what a provider says to DTrace only, args[] and stability: what is refused, in which words, and that
# other tracers go on seeing the arguments as declared. (What DTrace makes of it: tests/dof.t, tests/models.t and
# tests/vm/dtrace.t.)
use strict;
use warnings;
use Test::More;
use USDT::Image;
use USDT::Program;

my ($INVALID) = 8;
my $p = USDT::Program->new;
$p->ok(qw(provider p app mod));
$p->ok('probe', 'start', 'main', 'start', 'int', 'struct req *');
$p->ok('probe', 'end', 'main', 'end');
$p->ok('add', 'p', $_) for qw(start end);

sub refuses {
    my ($probe, $given, $why, $name) = @_;
    is($p->do('translate', $probe, @$given), "error $INVALID probe main:$probe: $why", $name);
    return;
}

subtest 'args[]' => sub {
    for (['nothing'], ['the same', 0, 'int', 1, 'struct req *'], ['another order', 1, 'reqinfo_t *', 0, 'pid_t'],
        ['one twice', 0, 'int', 0, 'long'], ['one of two', 1, 'struct req *'],
        ['as many as there can be', (0, 'int') x 32]) {
        my ($name, @given) = @$_;
        is($p->do('translate', 'start', @given), 'ok', "$name is taken");
    }
    refuses('start', [0, 'int', 2, 'int'], 'map[1] is 2, but the probe has 2 arguments; the first is 0',
        'an argument behind the last is refused');
    refuses('start', [255, 'int'], 'map[0] is 255, but the probe has 2 arguments; the first is 0',
        'and one far behind');
    is($p->do('translate', 'start', (0, 'int') x 33),
        "error $INVALID probe main:start: 33 translated arguments, at most 32 are allowed", 'more are refused');
    refuses('end', [0, 'int'], 'map[0] is 0, but the probe has 0 arguments; the first is 0',
        'and one where there is none');
    refuses('start', [0, 'int', 0, ''], 'type of argument 1 "": must not be empty; use "int" or "char *"',
        'a type is refused as that of an argument');
    refuses('start', [0, 't' x 128],
        'type of argument 0 "' . 't' x 60 . '...": is 128 characters long, at most 127 are allowed',
        'also one too long');
};

subtest 'stability' => sub {
    is($p->do('stability', 'p', @$_), 'ok ', "@$_ is taken") for [0, 0, 7, 5], [1, 7, 0, 0], [4, 6, 6, 5];
    for ([5, 0, 0, 0, 'what it is of is 5, at most 4 is'], [0, 8, 0, 0, 'stability of the name is 8, at most 7 is'],
        [0, 0, 8, 0, 'stability of the data is 8, at most 7 is'], [0, 0, 0, 6, 'dependency is 6, at most 5 is'],
        [0, -1, 0, 0, 'stability of the name is 4294967295, at most 7 is']) {
        my ($of, $name, $data, $class, $why) = @$_;
        is($p->do('stability', 'p', $of, $name, $data, $class),
            "error $INVALID $why allowed; usdt.h has the names", $why);
    }
};

subtest 'other tracers' => sub {
    $p->ok('translate', 'start', 1, 'struct req *', 0, 'int');
    like($p->do(qw(enable p)), qr/^ok/, 'the provider is enabled');
    my %note = map { ($_->{name} => $_) } @{ USDT::Image->of($p, 'app')->{elf}{notes} };
    $p->ok('provider', 'q', 'plain', 'mod');
    $p->ok('probe', 'start2', 'main', 'start', 'int', 'struct req *');
    $p->ok(qw(add q start2));
    $p->ok(qw(enable q));
    my ($plain) = @{ USDT::Image->of($p, 'plain')->{elf}{notes} };
    is($note{start}{arguments}, $plain->{arguments}, 'are told of the arguments as they were declared');
    isnt($plain->{arguments} // '', '', 'and are told');
    my $elf = USDT::Image->of($p, 'app')->{elf};
    is($elf->contents($elf->section('.usdt.probes')), "main\0int\0struct req *\0\x{01}01 struct req *\0\x{01}00 int\0\0main\0\0",
        'the file says what DTrace is told');
    is($p->do('translate', 'start', 0, 'int'), 'ok', 'a probe may be translated anew while it is published');
    $p->ok(qw(release start));
    $p->ok(qw(disable p));
    like($p->do(qw(enable p)), qr/^ok/, 'and be enabled again');
};
is($p->quit, 0, 'the program ends well');
done_testing;
