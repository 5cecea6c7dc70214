# store.t - where images live: a shared file in a directory of the user's own, else a memfd.
#
# What becomes of the file when programs are killed, start, end and change at once, also by each order of
# the steps of two of them. Which places are trusted, and what a provider does without one: places.t.
#
# Uses directories of its own through XDG_RUNTIME_DIR; needs no tracer.
use strict;
use warnings;
use Test::More;
use USDT::Program;
use USDT::Store;
use USDT::Tracer;

# A sanitized program takes long to start: some points for it, another set each time.
my $sanitized = ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;
my $every = $sanitized ? 6 : 1;
my $first = $sanitized ? 1 + $$ % $every : 1;

subtest 'a file in XDG_RUNTIME_DIR' => sub {
    my $dir = runtime_dir();
    my $program = enabled_in($dir);
    my ($image) = $program->images;
    like($image->{path}, qr{^\Q$dir\E/usdt/store-[0-9a-f]{40}\.so$}, 'is named by provider and content');
    is(sprintf('%o', (stat "$dir/usdt")[2] & 07777), '700', 'in a directory for this user alone');
    is(sprintf('%o', (stat $image->{path})[2] & 07777), '400', 'and cannot be written');
    my @open = grep { m{/usdt/} } map { readlink // '' } glob "/proc/@{[ $program->pid ]}/fd/*";
    is_deeply(\@open, [], 'it needs no descriptor while it is mapped');
    $program->ok('disable', 'p');
    is_deeply([files($dir)], [], 'disabling removes it');
    $program->ok('enable', 'p');
    is(scalar(files($dir)), 1, 'enabling makes it again');
    $program->quit;
    is_deeply([files($dir)], [], 'the end of the program removes it');
};

subtest 'processes with the same definition' => sub {
    my $dir = runtime_dir();
    my @programs = map { enabled_in($dir) } 1 .. 3;
    my %inodes = map { (stat +($_->images)[0]{path})[1] => 1 } @programs;
    is(scalar(keys %inodes), 1, 'share one file');
    my $other = enabled_in($dir, 'other');
    is(scalar(files($dir)), 2, 'another definition has another');
    $other->quit;
    $programs[0]->ok('disable', 'p');
    is(scalar(files($dir)), 1, 'who disables does not take it from the others');
    $programs[1]->quit;
    is(scalar(files($dir)), 1, 'nor who ends');
    $programs[2]->quit;
    is_deeply([files($dir)], [], 'the last one removes it');
};

subtest 'a forked child' => sub {
    my $dir = runtime_dir();
    my $program = enabled_in($dir);
    my $child = $program->ok('fork');
    like($child, qr/^\d+$/, 'goes on');
    $program->ok('disable', 'p');
    is(scalar(files($dir)), 1, "does not take its parent's file away when it disables");
    like($program->do('quit'), qr/^ok/, 'nor when it ends');
    is($program->receive, 'ok child ended with 0', 'the child ends well');
    is($program->do('probe?', 'a'), 'ok 0 0', 'the parent goes on');
    is(scalar(files($dir)), 1, 'with its file');
    $program->quit;
    is_deeply([files($dir)], [], 'and removes it');
};

subtest 'a program that is killed' => sub {
    my $dir = runtime_dir();
    my $program = enabled_in($dir);
    my ($left) = files($dir);
    kill 'KILL', $program->pid;
    $program->quit;
    is_deeply([files($dir)], [$left], 'leaves its file');
    my $inode = (stat "$dir/usdt/$left")[1];
    my $same = enabled_in($dir);
    is((stat +($same->images)[0]{path})[1], $inode, 'which the next program of the same definition uses');
    kill 'KILL', $same->pid;
    $same->quit;
    open my $half, '>', "$dir/usdt/.1.2.so" or die $!;
    close $half;
    my $next = enabled_in($dir, 'other');
    my ($image) = $next->images;
    is_deeply([map { "$dir/usdt/$_" } files($dir)], [$image->{path}],
        'the next enable of any program removes it, and half-written ones');
};

# Programs that have defined their probes enable at the same moment: no reply is awaited between.
sub enable_at_once {
    my (@programs) = @_;
    $_->send('enable', 'p') for @programs;
    return grep { $_ ne 'ok ' } map { $_->receive } @programs;
}

sub inodes { my %seen = map { ((stat $_->{path})[1] => 1) } map { $_->images } @_; return keys %seen }

subtest 'fifty programs that enable the same provider at once' => sub {
    my $dir = runtime_dir();
    for my $round (1 .. ($sanitized ? 1 : 3)) {
        my @programs = map { defined_in($dir) } 1 .. 50;
        is_deeply([enable_at_once(@programs)], [], "round $round: all are enabled, without a notice");
        is(scalar(inodes(@programs)), 1, 'by one file');
        is_deeply([map { wrong_mappings($dir, $_) } @programs], [], 'which all have mapped, with the right bytes');
        is_deeply([unused($dir, @programs)], [], 'and nothing is beside it');
        $_->send('quit') for @programs;
        $_->quit for @programs;
        is_deeply([files($dir)], [], 'all end at once: it is gone');
    }
};

subtest 'fifty programs, while others come and go and new ones sweep' => sub {
    my $dir = runtime_dir();
    my @going = map { enabled_in($dir) } 1 .. 10;
    my @killed = map { enabled_in($dir, $_) } qw(other big);
    for (@killed) { kill 'KILL', $_->pid; $_->quit }
    my @programs = map { defined_in($dir) } 1 .. 50;
    my @others = map { defined_in($dir, 'other') } 1 .. 10; # the first enable of each sweeps
    $_->send('enable', 'p') for @programs[0 .. 24];
    $_->send('quit') for @going[0 .. 4];
    for (@others) { $_->send('enable', 'p'); $_->send('disable', 'p'); $_->send('enable', 'p') }
    kill 'KILL', $_->pid for @going[5 .. 9];
    $_->send('enable', 'p') for @programs[25 .. 49];
    $_->quit for @going;
    is_deeply([grep { $_ ne 'ok ' } map { $_->receive } @programs, (@others) x 3], [], 'all are enabled, without a notice');
    is(scalar(inodes(@programs)), 1, 'by one file');
    is_deeply([map { wrong_mappings($dir, $_) } @programs], [], 'which all have mapped, with the right bytes');
    is_deeply([map { wrong_mappings($dir, $_, 'other') } @others], [], 'and the others theirs');
    is_deeply([unused($dir, @programs, @others)], [], 'and nothing is beside them');
    $_->send('quit') for @programs, @others;
    $_->quit for @programs, @others;
    is_deeply([files($dir)], [], 'all end at once: nothing is left');
};

# What is in the directory before; returns the programs that use it.
my %before = (
    'an empty directory'                  => sub { () },
    'a file that another program uses'    => sub { enabled_in($_[0]) },
    'files of programs that were killed'  => sub {
        # The first enable of one sweeps: none is left for it.
        my @programs = map { enabled_in($_[0], $_) } qw(one other);
        for (@programs) { kill 'KILL', $_->pid; $_->quit }
        return;
    },
);

# Kills a program after each system call of a command. Each time another enables.
sub kill_at_every_call {
    my ($before, $command, $next_definition) = @_;
    my (@wrong, %left);
    my $calls = $first;
    for (; $calls < 1000; $calls += $every) {
        my $dir = runtime_dir();
        my $program = defined_in($dir);
        my @users = $before{$before}->($dir);
        $program->ok('enable', 'p') if $command ne 'enable';
        my $killed = step(kill => $calls, $program, $command, 'p') or last;
        my @now = wrong_files($dir);
        $left{ kinds($dir) }++;
        my $next = enabled_in($dir, $next_definition);
        push @now, "notice: $next->{notice}" if $next->{notice};
        push @now, wrong_mappings($dir, $next, $next_definition), wrong_files($dir),
            (map { "another program: $_" } map { wrong_mappings($dir, $_) } @users),
            (map { "left: $_" } unused($dir, $next, @users));
        $_->quit for $next, @users;
        push @now, map { "left at the end: $_" } files($dir);
        push @wrong, map { "after call $calls ($killed->{call}): $_" } @now;
    }
    note join '; ', map { "$left{$_} times $_" } sort keys %left;
    return ($calls, @wrong);
}

USDT::Tracer::subtest_unless(USDT::Store::no_stepper(), 'a program killed after any one of its system calls', sub {
    my %next = (one => 'the next program of the same definition', other => 'the next program, of another definition,');
    for (
        ['enable', 'an empty directory', 'one'], ['enable', 'an empty directory', 'other'],
        ['enable', 'a file that another program uses', 'other'],
        ['enable', 'files of programs that were killed', 'one'],
        ['disable', 'an empty directory', 'one'], ['disable', 'a file that another program uses', 'other'],
    ) {
        my ($command, $before, $definition) = @$_;
        my ($calls, @wrong) = kill_at_every_call($before, $command, $definition);
        cmp_ok($calls, '>', 4, "$command, with $before: killed after each of " . ($calls - 1) . ' calls');
        is_deeply(\@wrong, [], "$next{$definition} has the right image, and uses or removes what was left");
    }
});

# Stops a program of this definition after each system call of a command, lets others do something, and
# lets it go on. The others are programs of definition `one`; they have the right image then.
sub others_meanwhile {
    my ($definition, $command, $prepare, $meanwhile) = @_;
    my (@wrong, $elsewhere);
    my $calls = $first;
    for (; $calls < 1000; $calls += $every) {
        my $dir = runtime_dir();
        my $program = defined_in($dir, $definition);
        my @prepared = $prepare->($dir);
        $program->ok('enable', 'p') if $command ne 'enable';
        my $stopped = step(pause => $calls, $program, $command, 'p') or last;
        my ($users, @replies) = $meanwhile->($dir, @prepared);
        $stopped->release;
        push @replies, $program->receive;
        my @now = map { "reply: $_" } grep { !/^ok ?$/ } @replies;
        for my $user (@$users) {
            # A file whose lock is not to be had for so long is passed over.
            my ($there) = grep { !m{^\Q$dir\E/} } map { $_->{path} } $user->images;
            push @now, map { "another program: $_" } wrong_mappings($there ? $there =~ s{/usdt/.*}{}r : $dir, $user);
            $elsewhere++ if $there;
        }
        push @now, wrong_mappings($dir, $program, $definition) if $command eq 'enable';
        push @now, wrong_files($dir);
        $_->quit for @$users, $program;
        push @now, map { "left at the end: $_" } files($dir);
        push @wrong, map { "after call $calls ($stopped->{call}): $_" } @now;
    }
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply(\@wrong, [], "each has the right image, whichever of " . ($calls - 1) . ' calls it stopped after');
    cmp_ok($calls, '>', 4, 'which are all there are');
    cmp_ok($elsewhere // 0, '<=', 5, 'few find it locked for so long that they go elsewhere');
}

# The first program ends its use, a second one starts.
sub take_over {
    my ($dir, $leaves) = @_;
    my $starts = defined_in($dir);
    return ([$leaves, $starts], $leaves->do('disable', 'p'), $starts->do('enable', 'p'), $leaves->do('enable', 'p'));
}

my $when_made = 1; # after so many calls of an enable the temporary file is there
for (
    ['one disables: the last other disables, a new one starts', 'one', 'disable', sub { enabled_in($_[0]) }, \&take_over],
    ['one enables and sweeps: the last other disables, a new one starts', 'one', 'enable', sub { enabled_in($_[0]) },
        \&take_over],
    ['one makes the file: others sweep, and make it too', 'one', 'enable', sub { () }, sub {
        my ($dir) = @_;
        my @programs = map { defined_in($dir) } 1, 2;
        my $sweeps = enabled_in($dir, 'other');
        return (\@programs, map { $_->do('enable', 'p') } @programs);
    }],
    ['one sweeps what was left: another uses it, removes it and makes it again', 'other', 'enable',
        $before{'files of programs that were killed'}, sub {
        my ($dir) = @_;
        my $program = defined_in($dir);
        return ([$program], map { $program->do($_, 'p') } qw(enable disable enable));
    }],
    ['one sweeps: another is between making a temporary file and locking it', 'other', 'enable', sub {
        my ($dir) = @_;
        for (;; $when_made++) {
            my $maker = defined_in($dir);
            my $stopped = step(pause => $when_made, $maker, 'enable', 'p') or die 'no such moment';
            return ($maker, $stopped) if kinds($dir) eq 'an empty temporary file';
            $stopped->release;
            $maker->receive;
        }
    }, sub {
        my ($dir, $maker, $stopped) = @_;
        $stopped->release;
        return ([$maker], $maker->receive);
    }],
) {
    my ($name, @what) = @$_;
    USDT::Tracer::subtest_unless(USDT::Store::no_stepper(), "while $name", sub { others_meanwhile(@what) });
}

done_testing;
