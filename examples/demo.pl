#!/usr/bin/env perl
# demo.pl - what `make demo` runs: starts examples/demo.c, watches its probes through the kernel's own
# tracer for a few seconds, and says what to type instead. Needs root, and no package.
#
# usage: demo.pl PROGRAM
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../tests/lib";
use Time::HiRes qw(sleep time);
use USDT::ELF;
use USDT::Ftrace;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

my $program = shift // die "usage: demo.pl PROGRAM\n";
$| = 1;

my $why = USDT::Tracer::missing('ftrace');
# Five requests a second; longer where somebody must attach by hand.
my $pid = open my $demo, '-|', @USDT::Program::RUNNER, $program, $why ? 45 : 20 or die "$program: $!\n";
my $first = readline $demo // exit 1; # it has said why
my ($image) = map { m{^\S+ r-[-x]p .*\s(/\S+/shop-[0-9a-f]{40}\.so)$} ? $1 : () } do {
    open my $maps, '<', "/proc/$pid/maps" or die "/proc/$pid/maps: $!\n";
    <$maps>;
};
print "A program (process $pid) has made two probes at run time:\n",
    "    shop:start (int, char *)    shop:done (int, int)\n";
print $image ? "They are in $image.\n\n" : "No directory could hold their image: they are in a memfd.\n\n";

my $ftrace;
if ($why) {
    print "They cannot be shown here: $why.\n",
        "As root, while it runs, each of these shows them:\n\n";
} elsif ($image) {
    my $notes = USDT::Image->new(path => $image);
    my ($first, $second) = map { USDT::Ftrace::place(USDT::Program::arch_of($program), $_) } 0, 1;
    $ftrace = USDT::Ftrace->new;
    $ftrace->watch('start', $image, $notes->site('start'), "$first:s32", "+0($second):string");
    $ftrace->watch('done',  $image, $notes->site('done'),  "$first:s32", "$second:s32");
    sleep 0.7; # some requests pass untraced
    $ftrace->start;
    my ($shown, $end) = (0, time + 3);
    while (time < $end) {
        sleep 0.1;
        my @hits = $ftrace->hits;
        for my $hit (@hits[$shown .. $#hits]) {
            my @args = @{ $hit->{args} };
            print $hit->{event} eq 'start' ? "    process $hit->{pid} shop:start $args[0] \"$args[1]\"\n"
                : "    process $hit->{pid} shop:done  $args[0] $args[1]\n";
        }
        $shown = @hits;
    }
    $ftrace->stop;
    print "\nThat was the kernel's own tracer (ftrace). With the tools, while it runs:\n\n";
}
print <<"END";
    bpftrace -p $pid -e 'usdt:*:shop:start { printf("%d %s\\n", arg0, str(arg1)) }'
    dtrace -p $pid -n 'shop\$target:::start { printf("%d %s", arg0, copyinstr(arg1)) }'

END
print 'The program says: ', $_ while <$demo>;
close $demo;
exit($? == 0 ? 0 : 1);
