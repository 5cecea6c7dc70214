# faults.t - when a call to the system fails, each in turn, once or always, a program goes on: it has a
# working provider by another way or an error with a reason, its probes are safe to fire, nothing leaks,
# and the next enable works.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Tracer;

my $runner = $ENV{USDT_TEST_RUNNER} // '';
my $dir = File::Temp->newdir;
chmod 0700, $dir;

sub faults {
    my ($mode) = @_;
    # Children end where they stand.
    my @lines = qx{XDG_RUNTIME_DIR=$dir ASAN_OPTIONS=detect_leaks=0 $runner $ENV{B}/tests/faults $mode};
    is($?, 0, "faults $mode ends well");
    chomp @lines;
    return @lines;
}

subtest 'no call to the system is forgotten' => sub {
    # These cannot fail, or not so that anybody would notice.
    my %cannot = map { $_ => 1 } qw(_GLOBAL_OFFSET_TABLE_ __errno_location __tls_get_addr ___tls_get_addr sched_yield sysconf
        __isoc99_sscanf __isoc23_sscanf sscanf snprintf vsnprintf bcmp memchr memcmp memcpy memmove memset strcmp strcpy strlen
        strncat strncmp strncpy strerror strrchr strchr strcspn strspn strtol geteuid getpid getauxval getenv free prctl
        pthread_atfork pthread_self pthread_mutex_lock pthread_mutex_trylock pthread_mutex_unlock pthread_once
        pthread_setcancelstate), map { "__${_}_chk" } qw(memcpy memset snprintf vsnprintf strcpy strncat strncpy read);
    my ($wrapped) = do { local (@ARGV, $/) = 'Makefile'; <> =~ /^\$\(B\)\/tests\/faults: (.*?[^\\]\n)/ms };
    my %needs = map { $_ => 1 } map { /^\s+U (\w+)/ } qx{nm -u @{[ $ENV{O} // '.' ]}/libusdt.a};
    delete @needs{ grep { /^(usdt_|__aarch64_|__(asan|ubsan|tsan|lsan|sanitizer|stack_chk))/ } keys %needs };
    cmp_ok(scalar(keys %needs), '>', 40, 'the library calls ' . keys(%needs) . ' functions');
    for my $name (grep { !$cannot{$_} } sort keys %needs) {
        like($wrapped, qr/[\s,]\Q$name\E[\s)]/, "$name is made to fail");
    }
};

subtest 'each call, each errno' => sub {
    # What only a daemon of DTrace makes it call, and what takes another process.
    my %never = (plain => { ioctl => 1, fcntl => 1, nanosleep => 1 }, dtrace => { nanosleep => 1 });
    # Only on x86_64 does the kernel have direct calls to be asked about.
    @{ $never{plain} }{qw(uname syscall)} = (1, 1), $never{dtrace}{uname} = 1 if $ENV{B} !~ /x86_64$/;
    my ($system, %seen);
    for (faults('calls')) {
        my ($function, $calls, $faults, $failed) = split ' ';
        if (!defined $calls) {
            $system = $function;
            next;
        }
        $seen{$system}++;
        is($failed, 0, "$system: $function: $calls calls, $faults faults");
        cmp_ok($calls, $never{$system}{$function} ? '==' : '>', 0, '... of as many as expected');
    }
    is_deeply(\%seen, { plain => 28, dtrace => 28 }, 'with and without DTrace');
};

subtest 'limits, closed descriptors, seccomp' => sub {
    plan skip_all => 'a sanitizer does not live within limits itself' if ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;
    my %seen;
    for (faults('limits')) {
        my ($name, $result, $after, $files) = split ' ';
        $seen{$name}++;
        SKIP: {
            # (Of /proc/self/maps, which is read for usdt_probe_use_site(), an emulator writes a file.)
            my $why = $name =~ /^(?:RLIMIT_AS|RLIMIT_FSIZE|seccomp)/ ? USDT::Tracer::emulated($name) : '';
            skip $why, 1 if $why;
            is("$result $after $files", '0 0 0', "$name: no harm, another process can enable, no file is left");
        }
    }
    is_deeply(\%seen, { (map { $_ => 1 } qw(RLIMIT_NOFILE RLIMIT_AS RLIMIT_FSIZE closed_stdio
        closed_descriptors seccomp_strict)), seccomp_filter_first => 6, seccomp_filter_later => 6 }, 'all were tried');
};
done_testing;
