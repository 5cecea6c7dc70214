# cookbook.t - the commands of doc/cookbook.md print what it says, those that can run here. (The dtrace ones run in the
# machine of tests/vm/machine.)
use strict;
use warnings;
use File::Temp ();
use Cwd qw(abs_path);
use Test::More;
use USDT::Cookbook;
use USDT::Program;
use USDT::Tracer;

plan skip_all => 'the programs are not for this machine' if @USDT::Program::RUNNER;
plan skip_all => 'the cookbook has the .s file of x86_64' if USDT::Program::native_arch() ne 'x86_64';

plan skip_all => 'its programs are built without a sanitizer' if ($ENV{USDT_TEST_CFLAGS} // '') =~ /-fsanitize/;

my ($subject, @recipes) = USDT::Cookbook::sections('console');
my $dir = File::Temp->newdir;
system 'cp', '-r', glob('usdt*.[ch] usdt_tracepoints_*.s'), 'examples', "$dir";
my $usdt = abs_path(($ENV{O} // '.') . '/usdt');
symlink $usdt, "$dir/usdt" or die $!;
$ENV{PATH} = "$dir:$ENV{PATH}";
delete $ENV{XDG_RUNTIME_DIR};
delete $ENV{CFLAGS};

my ($build, @start) = @{ $subject->{steps} };
USDT::Cookbook::type($dir, { steps => [$build] });
is($build->{printed} . $build->{errors}, '', 'the server is built as it says') or BAIL_OUT('no server');
is(scalar @recipes, 12, 'there are so many recipes');

for my $recipe (@recipes) {
    my $text = join "\n", map { $_->{command} } @{ $recipe->{steps} };
    my @tools = grep { $text =~ /\b$_\b/ } qw(bpftrace perf gdb);
    my ($why) = grep { $_ } (map { USDT::Tracer::missing($_) } 'ftrace', @tools),
        $text =~ /\bjq\b/ && !USDT::Build::find_program('jq') ? 'jq is not installed' : '';
    USDT::Tracer::subtest_unless($why // '', $recipe->{title}, sub {
        my @steps = @{ $recipe->{steps} };
        for (1, 2) { # the times of the cookbook are too short for a machine that is very busy
            USDT::Cookbook::type($dir, { steps => [@start] }, $recipe);
            last if !grep { USDT::Cookbook::differences($_) } @steps;
        }
        for my $step (@steps) {
            my @differ = USDT::Cookbook::differences($step);
            is_deeply(\@differ, [], $step->{command} =~ s/\n.*/.../sr) or diag($step->{printed}, $step->{errors});
        }
    });
}
done_testing;
