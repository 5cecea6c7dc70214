# tools.t - tracers that find or break at probes, rather than print them: bcc's tplist, gdb.
use strict;
use warnings;
use File::Temp ();
use Test::More;
use USDT::Image;
use USDT::Program;
use USDT::Tracer;

for my $bits (USDT::Program::widths()) {
    my ($path, $why) = USDT::Program->path($bits);
    USDT::Tracer::subtest_unless($path ? '' : $why, "a $bits-bit program", sub {
        my $program = USDT::Program->new(bits => $bits);
        $program->provide('p', 'tools', 'mod', start => ['int', 'char *', 'uint8_t', ('long') x 9], end => []);
        my $image = USDT::Image->of($program);

        USDT::Tracer::with(tplist => 'tplist lists the probes of a process', sub {
            my $tplist = USDT::Tracer::find('tplist');
            my $list = qx{$tplist -p @{[ $program->pid ]} -v 2>&1};
            like($list, qr/^tools:start .*\n\s+1 location\(s\)\n\s+12 argument\(s\)/m, 'with all arguments');
            like($list, qr/^tools:end .*\n\s+1 location\(s\)\n\s+0 argument\(s\)/m, 'or none');
        });

        USDT::Tracer::with(gdb => 'gdb breaks at a probe and reads its arguments', sub {
            my $ready = File::Temp->newdir;
            my @commands = (
                sprintf('add-symbol-file %s -o %#x', $image->path, $image->address),
                'info probes stap tools', 'break -probe-stap tools:start', "shell touch $ready/set", 'continue',
                'print $_probe_argc', 'print $_probe_arg0', 'print (char*)$_probe_arg1', 'print $_probe_arg2',
                'print $_probe_arg11', 'detach',
            );
            my $gdb = USDT::Tracer->start('gdb', '-nx', '-q', '-batch', '-p', $program->pid,
                map { ('-ex', $_) } @commands);
            ok($gdb->until(sub { -e "$ready/set" }), 'the breakpoint is set') or return;
            # gdb has stopped the program: the command waits for it to go on.
            my $reply = $program->do('fire', 'start', 'i:-5', 's:hello', 'i:300', map { "i:$_" } 3 .. 11);
            my $output = $gdb->stop('CONT');
            like($output, qr/^stap\s+tools\s+start\s+0x[0-9a-f]+/m, 'the probe is listed');
            like($output, qr/\$1 = 12\n\$2 = -5\n\$3 = 0x[0-9a-f]+ "hello"\n\$4 = 44\n\$5 = 11\n/,
                'argc, a negative int, a string, a byte and the twelfth argument');
            unlike($output, qr/outside of ELF segments/, 'gdb has no complaint about the image');
            like($reply, qr/^ok/, 'the program goes on');
        });
        is($program->quit, 0, 'the program ended well');
    });
}
done_testing;
