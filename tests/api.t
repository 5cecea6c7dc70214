# api.t - the API of libusdt 1.x, row by row, and what 2.0 adds: results, messages, references.
#
# No tracer is needed. Error codes are those of usdt_error_t, by number.
use strict;
use warnings;
use Test::More;
use USDT::Program;

my ($MALLOC, $VALLOC, $NOPROBES, $LOADDOF, $ALREADY, $UNLOADDOF, $DUP, $REMOVE, $INVALID) = 0 .. 8;

my $p = USDT::Program->new;
sub enabled_is { my ($probe, $want, $name) = @_; is($p->enabled($probe), $want, $name) }

subtest 'a provider without probes' => sub {
    is($p->do(qw(provider p prov mod)), 'ok ', 'is created, with no error yet');
    is($p->do(qw(enable p)), "error $NOPROBES no probes defined", 'cannot be enabled');
    is($p->do(qw(disable p)), 'ok no probes defined', 'can be disabled: it is not enabled');
    $p->ok(qw(probe d func name));
    is($p->do(qw(remove p d)), "error $NOPROBES no probes defined", 'has nothing to remove');
};

subtest 'adding' => sub {
    like($p->do(qw(add p d)), qr/^ok /, 'a probe is added');
    $p->ok(qw(probe same func name int));
    is($p->do(qw(add p same)), "error $DUP probe named prov:mod:func:name already exists",
        'another of the same function and name is refused');
    is($p->do(qw(add p d)), "error $DUP probe named prov:mod:func:name already exists", 'and itself');
    $p->ok(qw(probe other-func func2 name));
    like($p->do(qw(add p other-func)), qr/^ok /, 'the same name in another function is another probe');
    $p->ok(qw(provider q second mod));
    is($p->do(qw(add q d)),
        "error $INVALID probe func:name is in provider \"prov\" already; create another for this provider",
        'a definition is in one provider at a time');
    is($p->do(qw(remove q d)), "error $NOPROBES no probes defined", 'and can be removed only from that');
    $p->ok(qw(add q same));
    is($p->do(qw(remove q d)), "error $REMOVE failed to remove probe second:mod:func:name",
        'also when the other has probes');
};

subtest 'enabling and disabling' => sub {
    enabled_is('d', '0 0', 'a probe that was never enabled is not traced');
    like($p->do(qw(fire d i:1)), qr/^ok/, 'and may be fired');
    like($p->do(qw(enable p)), qr/^ok/, 'a provider is enabled');
    is(scalar(my @i = $p->images), 1, 'one image holds its probes');
    is($p->do(qw(enable p)), 'ok provider is already enabled', 'enabling again is no error, and says so');
    enabled_is('d', '0 0', 'nobody traces it');
    $p->ok(qw(fire d));
    $p->ok(qw(disable p));
    is(scalar(@i = $p->images), 0, 'no image is mapped after disabling');
    is($p->do('probe?', 'd'), 'ok 0 0', 'the probe is safe to ask');
    $p->ok(qw(fire d i:1 i:2));
    like($p->do(qw(disable p)), qr/^ok/, 'disabling again is no error');
};

subtest 'a usdt_probe_t kept across disable and enable' => sub {
    $p->ok(qw(enable p));
    $p->ok(qw(keep d));
    $p->ok(qw(disable p));
    enabled_is('d', '0 0', 'is not enabled');
    $p->ok(qw(fire d i:1));
    $p->ok(qw(enable p));
    $p->ok(qw(fire d i:1));
    pass 'and is safe to fire all the time';
};

subtest 'changing a live provider' => sub {
    my ($before) = $p->images;
    $p->ok(qw(probe late func late int));
    $p->ok(qw(add p late));
    my @images = $p->images;
    is_deeply(\@images, [$before], 'adding alone publishes nothing');
    $p->ok(qw(enable p));
    @images = $p->images;
    is(scalar @images, 2, 'the next enable publishes the new probe in an image of its own');
    ok((grep { $_->{path} eq $before->{path} && $_->{address} == $before->{address} } @images),
        'and leaves the old image where it was');
    like($p->do(qw(remove p late)), qr/^ok/, 'a probe is removed from a live provider');
    is_deeply([$p->images], [$before], 'an image without probes goes');
    is($p->do(qw(remove p late)), "error $REMOVE failed to remove probe prov:mod:func:late",
        'it cannot be removed twice');
    $p->ok(qw(fire late i:1));
    $p->ok(qw(add p late));
    $p->ok(qw(enable p));
    is(scalar(@images = $p->images), 2, 'it can be added again');
    $p->ok(qw(remove p late));
    $p->ok(qw(release late));
};

subtest 'references' => sub {
    $p->ok(qw(release same));
    $p->ok(qw(free q));
    $p->ok(qw(release other-func));
    $p->ok(qw(fire d i:1));
    $p->ok(qw(free p));
    is(scalar(my @i = $p->images), 0, 'freeing an enabled provider disables it');
    enabled_is('d', '0 0', 'a probe whose provider is gone stays valid for who has a reference');
    $p->ok(qw(fire d i:1));
    $p->ok(qw(provider r third mod));
    $p->ok(qw(add r d));
    $p->ok(qw(enable r));
    is(scalar(@i = $p->images), 1, 'and can be added to another provider');
    $p->ok(qw(free r));
    $p->ok(qw(release d));
};

subtest 'NULL in place of anything' => sub {
    $p->provide('nulls', 'nulls', 'mod', n => []);
    is($p->do(qw(nulls nulls n)), 'ok', 'does what usdt.h says');
    is($p->do(qw(enable nulls)), 'ok provider is already enabled', 'and harms nothing');
    $p->ok(qw(free nulls));
    $p->ok(qw(release n));
};

subtest 'addresses are used again' => sub {
    my %seen;
    for (1 .. 20) {
        $p->provide('cycle', 'cycle', 'mod', c => ['int']);
        $seen{ ($p->images)[0]{address} }++;
        $p->ok(qw(free cycle));
        $p->ok(qw(release c));
    }
    is(scalar(keys %seen), 1, 'twenty providers in turn need the addresses of one');
    my @maps = $p->maps;
    for (1 .. 20) {
        $p->provide('cycle', 'cycle', 'mod', c => ['int']);
        $p->ok(qw(disable cycle)), $p->ok(qw(enable cycle)) for 1 .. 3;
        $p->ok(qw(free cycle));
        $p->ok(qw(release c));
    }
    is(scalar(my @now = $p->maps), scalar @maps, 'and leave no mapping behind');
};

is_deeply([$p->writable_code], [], 'nothing ever was writable and executable');
is($p->quit, 0, 'the program ended well');
done_testing;
