# names.t - which names and types are allowed, and what is said of those that are not.
#
# The rules are those of DTrace and the other tracers (the limits at usdt_create_provider in usdt.h).
use strict;
use warnings;
use Test::More;
use USDT::Program;

my $INVALID = 8;
my $p = USDT::Program->new;
my $names = 0;

# What is said when a name is given as provider, module, function, probe or type; '' if it is taken.
sub verdict {
    my ($kind, $name) = @_;
    my $handle = 'n' . $names++;
    my @command = $kind eq 'provider' ? ('provider', $handle, $name, 'mod')
        : $kind eq 'module'   ? ('provider', $handle, 'prov', $name)
        : $kind eq 'function' ? ('probe', $handle, $name, 'name')
        : $kind eq 'probe'    ? ('probe', $handle, 'func', $name)
        :                       ('probe', $handle, 'func', 'name', 'int', $name);
    my $reply = $p->do(@command);
    if ($reply =~ /^ok/) {
        $p->ok($kind =~ /provider|module/ ? 'free' : 'release', $handle);
        return '';
    }
    $reply =~ s/^error $INVALID // or return "not an error of the right code: $reply";
    return $reply;
}

my %max = (provider => 53, module => 63, function => 127, probe => 63);
for my $kind (sort keys %max) {
    my $max = $max{$kind};
    is(verdict($kind, $_), '', "$kind name '$_'") for 'a', '_', 'A_b-c.d', 'x1y';
    is(verdict($kind, 'x' x $max), '', "$kind name of $max characters");
    like(verdict($kind, 'x' x ($max + 1)),
        qr/^$kind name "x+(?:\.\.\.)?": is ${\ ($max + 1)} characters long, at most $max are allowed$/,
        "$kind name of one more");
    is(verdict($kind, ''), qq($kind name "": must not be empty), "$kind name that is empty");
    is(verdict($kind, $_), qq($kind name "$_": must start with a letter or '_'), "$kind name '$_'")
        for '9lives', '-x', '.x';
    is(verdict($kind, $_), qq($kind name "$_": may hold only letters, digits, '_', '-' and '.'),
        "$kind name '$_'") for 'a b', 'a:b', 'a/b', 'a"b', 'x*', 'a%s%n';
    is(verdict($kind, "caf\xc3\xa9"), qq($kind name "caf??": may hold only letters, digits, '_', '-' and '.'),
        "$kind name that is not ASCII");
    like(verdict($kind, 'x' x 3000), qr/^$kind name "x{59,60}\.\.\.": is 3000 characters long/,
        "$kind name of 3,000 characters is cut in the message");
}
is(verdict('provider', 'web2'),
    'provider name "web2": must not end in a digit: DTrace appends the process id to the name',
    'a provider name cannot end in a digit');
is(verdict($_, 'web2'), '', "a $_ name can") for qw(module function probe);
is(verdict('provider', $_), qq(provider name "$_": is reserved by DTrace; choose another),
    "the provider name '$_' is reserved") for qw(pid objc oneshot);

is(verdict('type', $_), '', "type '$_'") for 'int', 'char *', 'struct anything_at_all *', 'T' x 127, '???';
is(verdict('type', ''), 'type of argument 1 "": must not be empty; use "int" or "char *"', 'an empty type');
like(verdict('type', 'T' x 128), qr/^type of argument 1 "T+\.\.\.": is 128 characters long, at most 127 are/,
    'a type that is too long');
is(verdict('type', "in\x01t"), 'type of argument 1 "in?t": may hold only printable ASCII characters',
    'a type with a control character');

$p->ok('probe', 'wide', 'func', 'wide', ('int') x 40);
$p->ok(qw(release wide));
pass 'more than 32 types are no error';
is($p->quit, 0, 'the program ended well');
done_testing;
