# live.t - what a tracer sees while a program goes on: widths and signs, strings, NULL, counts that
# differ, thousands of probes, names that clash, changes to a live provider, fork.
#
# By the kernel's own tracer (ftrace); by bpftrace where what it finds by itself matters.
use strict;
use warnings;
no warnings 'portable';
use Test::More;
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

# Where a program of this machine has its first two arguments at a site.
my ($first, $second) = map { USDT::Ftrace::place(USDT::Program::native_bits(), $_) } 0, 1;

# Watches probes of a program: [event, probe, fetch...]; runs code; returns what was hit, in order.
sub hits {
    my ($program, $watch, $code, $provider) = @_;
    my $image = USDT::Image->of($program, $provider);
    my $ftrace = USDT::Ftrace->new;
    $ftrace->watch($_->[0], $image->path, $image->site($_->[1]), @$_[2 .. $#$_]) for @$watch;
    $ftrace->start;
    $code->($ftrace);
    return $ftrace->hits;
}

# Fetch expressions for all arguments of a probe, as its note describes them: so says the image.
sub by_note {
    my ($program, $probe) = @_;
    my ($note) = grep { $_->{name} eq $probe } @{ USDT::Image->of($program)->{elf}{notes} };
    my %wide = (dil => 'di', edi => 'di', rdi => 'di', sil => 'si', esi => 'si', rsi => 'si', dl => 'dx',
        edx => 'dx', rdx => 'dx', cl => 'cx', ecx => 'cx', rcx => 'cx');
    my @fetch;
    for (split / (?=-?\d@)/, $note->{arguments}) {
        my ($sign, $size, $place) = /^(-?)(\d)@(.+)$/ or die "operand $_";
        # x86: %reg, or 8(%reg); arm64: reg, or [reg, 8].
        my ($off, $reg) = $place =~ /^\[(sp), (\d+)\]$/ ? ($2, $1) : $place =~ /^(x\d)$/ ? (undef, $1)
            : $place =~ /^(?:(\d+)\()?%(\w+)\)?$/ ? ($1, $2) : die "operand $_";
        $reg = $wide{$reg} // $reg =~ s/^(r[89])[bwd]$/$1/r =~ s/^[er](sp)$/$1/r;
        my $type = ($sign ? 's' : 'u') . 8 * $size;
        push @fetch, defined $off ? "+$off(%$reg):$type" : "%$reg:$type";
    }
    return @fetch;
}

sub widths {
    my ($bits) = @_;
    my $wide = $bits == 64;
    my $arm64 = USDT::Program::native_arch() eq 'arm64'; # its char has no sign
    # type, value passed, value seen
    my @cases = (
        ['int8_t', -1, -1], ['int8_t', -128, -128], ['uint8_t', 255, 255], ['uint8_t', 256, 0],
        ['uint8_t', -1, 255], ['int16_t', -32768, -32768], ['uint16_t', 65535, 65535], ['uint16_t', -1, 65535],
        ['int32_t', -2147483648, -2147483648], ['uint32_t', -1, 4294967295], ['int', -42, -42],
        ['unsigned int', 4000000000, 4000000000], ['char', -7, $arm64 ? 249 : -7], ['unsigned char', -7, 249],
        ['short', -300, -300], ['bool', 1, 1], ['enum colour', -3, -3],
        ['int64_t', -1, -1], ['long', -1, -1], ['ssize_t', -5, -5],
        ['int64_t', '-9223372036854775808', $wide ? '-9223372036854775808' : 0],
        ['uint64_t', '18446744073709551615', $wide ? '18446744073709551615' : 4294967295],
        ['uint64_t', '9223372036854775808', $wide ? '9223372036854775808' : 0],
        ['unsigned long', -1, $wide ? '18446744073709551615' : 4294967295],
        ['size_t', 5000000000, $wide ? 5000000000 : 705032704], ['something_unknown', 77, 77],
    );
    my $program = USDT::Program->new(bits => $bits);
    # Each case in a register's place and, behind eight more arguments, in a place on the stack.
    my @probes = map { ("low$_" => [$cases[$_][0]], "high$_" => [('int') x 8, $cases[$_][0]]) } 0 .. $#cases;
    $program->provide('p', 'widths', 'mod', @probes);
    my @watch = map { my $i = $_; map { ["$_$i", "$_$i", by_note($program, "$_$i")] } qw(low high) } 0 .. $#cases;
    my %seen = map { ($_->{event} => $_->{args}) } hits($program, \@watch, sub {
        for my $i (0 .. $#cases) {
            $program->ok('fire', "low$i", "i:$cases[$i][1]");
            $program->ok('fire', "high$i", ("i:11") x 8, "i:$cases[$i][1]");
        }
    });
    for my $i (0 .. $#cases) {
        my ($type, $value, $want) = @{ $cases[$i] };
        is($seen{"low$i"}[0], $want, "$type $value is seen as $want");
        is($seen{"high$i"}[8], $want, "$type $value is seen as $want on the stack");
    }
}

sub strings {
    my $program = USDT::Program->new;
    $program->provide('p', 'strings', 'mod', s => ['char *', 'char *'], long => ['char *']);
    my @hits = hits($program, [['s', 's', "+0($first):string", "+0($second):string", "$first:x64"],
            # The kernel shows less than a page of a string at a time.
            ['long', 'long', "+0($first):x64", "+2048($first):string", "+4093($first):string"]],
        sub {
            $program->ok('fire', 's', 's:first', 's:second "quoted"');
            $program->ok('fire', 's', 's:', 's:');
            $program->ok('fire', 'long', 'r:4096');
            $program->ok('fire', 's', 'n:', 's:not NULL');
        });
    my @s = map { $_->{args} } grep { $_->{event} eq 's' } @hits;
    is_deeply([@{ $s[0] }[0, 1]], ['first', 'second "quoted"'], 'strings');
    is_deeply([@{ $s[1] }[0, 1]], ['', ''], 'empty strings');
    my ($long) = map { $_->{args} } grep { $_->{event} eq 'long' } @hits;
    is_deeply($long, ['0x7878787878787878', 'x' x 2048, 'xxx'], 'a string of 4 KiB');
    is($s[2][2], '0x0', 'a NULL pointer');
    is_deeply([@{ $s[2] }[0, 1]], ['(fault)', 'not NULL'], 'harms neither the program nor its neighbour');
    is($program->quit, 0, 'the program ended well');
}

sub counts {
    my ($bits) = @_;
    my $program = USDT::Program->new(bits => $bits);
    $program->provide('p', 'counts', 'mod', map { ("c$_" => [('int') x $_]) } 0, 3, 6, 7, 12, 13, 32);
    my @places = map { USDT::Ftrace::place($bits, $_) . ':s32' } 0 .. 31;
    for my $declared (0, 3, 6, 7, 12, 13, 32) {
        for my $passed (0, 1, 5, 6, 7, 12, 13, 31, 32, 33, 40) {
            my @hits = hits($program, [["c$declared", "c$declared", @places[0 .. $declared - 1]]], sub {
                # What was on the stack before must not be seen.
                $program->ok('fire', "c$declared", map { 'i:' . -$_ } 1 .. $passed);
            });
            my @want = map { $_ <= $passed ? -$_ : 0 } 1 .. $declared;
            is_deeply([map { @{ $_->{args} } } @hits], \@want, "$passed arguments for $declared")
                or diag explain \@hits;
        }
    }
    is($program->quit, 0, 'the program ended well');
}

sub thousands {
    my $program = USDT::Program->new;
    $program->ok(qw(provider p thousands mod));
    $program->ok(qw(many p 10000));
    $program->provide('q', 'single', 'mod', last => ['int']);
    $program->ok(qw(enable p));
    my $image = USDT::Image->of($program, 'thousands');
    is(scalar @{ $image->{elf}{notes} }, 10000, 'ten thousand probes are in one image');
    my @sites = map { $_->{site} } @{ $image->{elf}{notes} };
    is(scalar(keys %{ { map { ($_ => 1) } @sites } }), 10000, 'each at a place of its own');
    my $ftrace = USDT::Ftrace->new;
    $ftrace->watch("m$_", $image->path, $image->site("m$_"), "$first:s32") for 0, 5000, 9999;
    $ftrace->start;
    for my $i (0, 5000, 9999, 1, 9998) {
        $program->ok('nth', 'd', 'p', $i);
        is($program->enabled('d'), ($i =~ /^(0|5000|9999)$/ ? '1 1' : '0 0'), "probe $i is enabled if it is traced");
        $program->ok('fire', 'd', "i:$i");
    }
    is_deeply([map { "$_->{event}=$_->{args}[0]" } $ftrace->hits], ['m0=0', 'm5000=5000', 'm9999=9999'],
        'the first, the last and one between are hit');
}

sub clashes {
    my $program = USDT::Program->new;
    $program->ok('provider', $_, $_, 'mod') for qw(module_a module_b);
    for my $provider (qw(module_a module_b)) {
        $program->ok('probe', "$provider.show", 'func', 'show', 'int');
        $program->ok('add', $provider, "$provider.show");
        $program->ok('enable', $provider);
    }
    my @hits = hits($program, [['show', 'show', "$first:s32"]], sub {
        is($program->enabled('module_a.show'), '1 1', 'the one that is traced is enabled');
        is($program->enabled('module_b.show'), '0 0', 'the other is not');
        $program->ok('fire', 'module_a.show', 'i:1');
        $program->ok('fire', 'module_b.show', 'i:2');
    }, 'module_a');
    is_deeply([map { $_->{args}[0] } @hits], [1], 'a probe of one provider is not hit by its namesake');

    USDT::Tracer::with(bpftrace => 'bpftrace tells them apart', sub {
        my $tracer = USDT::Tracer->bpftrace($program->pid,
            'usdt:*:module_a:show { printf("a %d\n", arg0) } usdt:*:module_b:show { printf("b %d\n", arg0) }');
        is($program->enabled("module_$_.show"), '1 1', "$_ is enabled") for qw(a b);
        $program->ok('fire', "module_$_.show", $_ eq 'a' ? 'i:10' : 'i:20') for qw(a b);
        is_deeply([sort $tracer->lines(qr/[ab] .*/, 2)], ['a 10', 'b 20'], 'each value by its own');
    });
}

sub twice {
    my $program = USDT::Program->new;
    for my $n (1, 2) {
        $program->ok('provider', "p$n", 'twice', 'mod');
        $program->ok('probe', "t$n", 'func', 't', 'int');
        $program->ok('add', "p$n", "t$n");
        $program->ok('enable', "p$n");
    }
    my $tracer = USDT::Tracer->bpftrace($program->pid, 'usdt:*:twice:t { printf("t %d\n", arg0) }');
    $program->ok('fire', "t$_", "i:$_") for 1, 2;
    is_deeply([sort $tracer->lines(qr/t .*/, 2)], ['t 1', 't 2'], 'a tracer sees both');
}

sub wildcards {
    my $program = USDT::Program->new;
    $program->provide('p', 'wild', 'mod', map { ("w$_" => ['int']) } 1 .. 5);
    $program->provide('q', 'tame', 'mod', t => ['int']);
    my $tracer = USDT::Tracer->bpftrace($program->pid, 'usdt:*:wild:* { printf("hit %s %d\n", probe, arg0) }');
    is($program->enabled("w$_"), '1 1', 'its probes are enabled') for 1 .. 5;
    is($program->enabled('t'), '0 0', "another provider's are not");
    $program->ok('fire', $_, 'i:7') for 't';
    $program->ok('fire', "w$_", "i:$_") for 1 .. 5;
    is_deeply([map { s/^.*://r } $tracer->lines(qr/hit usdt:.*/, 5)], [map { "w$_ $_" } 1 .. 5], 'and hit');
}

sub two_processes {
    my @programs = map { my $p = USDT::Program->new; $p->provide('p', 'twins', 'mod', t => ['int']); $p } 1, 2;
    my @hits = hits($programs[0], [['t', 't', "$first:s32"]], sub {
        is($_->enabled('t'), '1 1', 'one attach covers them both') for @programs;
        my $third = USDT::Program->new;
        $third->provide('p', 'twins', 'mod', t => ['int']);
        is($third->enabled('t'), '1 1', 'and those that start later');
        is_deeply([map { $_->{path} } $third->images], [map { $_->{path} } $programs[0]->images],
            'which use the same file');
        $programs[$_]->ok('fire', 't', "i:$_") for 0, 1;
    });
    is_deeply([map { [$_->{pid}, $_->{args}[0]] } @hits], [map { [$programs[$_]->pid, $_] } 0, 1],
        'each hit says whose it is');
    USDT::Tracer::with(bpftrace => 'bpftrace -p traces one of them', sub {
        my $tracer = USDT::Tracer->bpftrace($programs[0]->pid, 'usdt:*:twins:t { printf("%d %d\n", pid, arg0) }');
        is($programs[0]->enabled('t'), '1 1', 'it is enabled');
        $programs[$_]->ok('fire', 't', 'i:' . (50 + $_)) for 1, 0;
        is_deeply([$tracer->lines(qr/\d+ \d+/, 1)], [$programs[0]->pid . ' 50'], 'only it is seen');
    });
}

sub live_changes {
    my $program = USDT::Program->new;
    $program->provide('p', 'changing', 'mod', a => ['int'], b => ['int']);
    my $image = USDT::Image->of($program);
    my $ftrace = USDT::Ftrace->new;
    $ftrace->watch($_, $image->path, $image->site($_), "$first:s32") for qw(a b);
    $ftrace->start;
    $program->ok('keep', 'b');
    for my $i (1 .. 10) {
        $program->ok('fire', 'a', "i:$i");
        $program->ok('probe', "n$i", 'func', "n$i", 'int');
        $program->ok('add', 'p', "n$i");
        $program->ok('enable', 'p');
        is($program->enabled('a'), '1 1', 'the traced probe stays so');
    }
    $program->ok('fire', 'b', 'i:100');
    $program->ok('remove', 'p', 'b');
    is($program->enabled('b'), '0 0', 'a removed probe is not enabled, though a tracer is attached to it');
    $program->ok('fire', 'b', 'i:101');
    $program->ok('fire', 'a', 'i:11');
    $program->ok('add', 'p', 'b');
    $program->ok('enable', 'p');
    $program->ok('fire', 'b', 'i:102');
    is($program->enabled('b'), '1 1', 'one that is added again is');
    $program->ok('keep', 'a');
    $program->ok('disable', 'p');
    is($program->enabled($_), '0 0', 'no probe is enabled after disabling, though the tracer still waits') for qw(a b);
    $program->ok('fire', 'a', 'i:12');
    my @seen = map { "$_->{event}$_->{args}[0]" } $ftrace->hits;
    is_deeply(\@seen, [(map { "a$_" } 1 .. 10), 'b100', 'a11', 'b102'],
        'the tracer misses nothing while probes are added, and a removed probe never fires');
    my @again = (sub { $program->ok('enable', 'p'); $program->images })->();
    cmp_ok(scalar @again, '>', 1, 'all that was published is published again');
}

sub forks {
    my $program = USDT::Program->new;
    $program->provide('p', 'forking', 'mod', f => ['int']);
    my $parent = $program->pid;
    my $child;
    my @hits = hits($program, [['f', 'f', "$first:s32"]], sub {
        $program->ok('fire', 'f', 'i:1');
        $child = $program->ok('fork');
        is($program->enabled('f'), '1 1', 'the child of a traced program is traced');
        $program->ok('fire', 'f', 'i:2');
        $program->ok('disable', 'p');
        $program->ok('fire', 'f', 'i:3');
        $program->ok('quit');
        $program->receive; # the parent says how its child ended
        is($program->enabled('f'), '1 1', 'the parent still is when the child has disabled and ended');
        $program->ok('fire', 'f', 'i:4');
    });
    is_deeply([map { [$_->{pid}, $_->{args}[0]] } @hits], [[$parent, 1], [$child, 2], [$parent, 4]],
        'both are seen, each as itself');
}

sub memfds {
    my $program = USDT::Program->new(
        env     => { XDG_RUNTIME_DIR => '' },
        command => ['unshare', '-m', 'sh', '-c',
            'mount -t tmpfs -o noexec none /run && mount -t tmpfs -o noexec none /tmp && exec "$@"', 'sh'],
    );
    $program->provide('p', 'hidden', 'mod', h => ['int']);
    my ($fd) = grep { (readlink // '') =~ m{/memfd:usdt } } glob "/proc/@{[ $program->pid ]}/fd/*";
    my $image = USDT::Image->new(path => $fd);
    my $ftrace = USDT::Ftrace->new;
    $ftrace->watch('h', $fd, $image->site('h'), "$first:s32");
    $ftrace->start;
    is($program->enabled('h'), '1 1', 'is enabled through /proc/PID/fd');
    $program->ok('fire', 'h', 'i:5');
    is_deeply([map { $_->{args}[0] } $ftrace->hits], [5], 'and hit');
}

for my $bits (USDT::Program::widths()) {
    my ($path, $why) = USDT::Program->path($bits);
    $why = USDT::Tracer::missing('ftrace') if $path;
    USDT::Tracer::subtest_unless($why, "types have their width and sign in a $bits-bit program", sub { widths($bits) });
    USDT::Tracer::subtest_unless($why, "a count other than declared, $bits bits", sub { counts($bits) });
}
USDT::Tracer::with(ftrace   => 'strings', \&strings);
USDT::Tracer::with(ftrace   => 'ten thousand probes', \&thousands);
USDT::Tracer::with(ftrace   => 'two providers with a probe of one name', \&clashes);
USDT::Tracer::with(bpftrace => 'the same provider twice', \&twice);
USDT::Tracer::with(bpftrace => 'a wildcard attaches to all probes of a provider', \&wildcards);
USDT::Tracer::with(ftrace   => 'the same provider in two processes', \&two_processes);
USDT::Tracer::with(ftrace   => 'a provider changes while it is traced', \&live_changes);
USDT::Tracer::with(ftrace   => 'a traced program forks', \&forks);
USDT::Tracer::with(ftrace   => 'an image in a memfd', \&memfds);
done_testing;
