#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Unit tests in C: every t/unit/test_*.c is built without nginx, with
# AddressSanitizer and UndefinedBehaviorSanitizer, and run; its TAP becomes a
# subtest.  A test names what it is linked with in comments,
#
#     /* sources: wire/ngx_mqtt_props.c ... */
#
# relative to ngx_mqtt_module/, and with libraries: /* libs: -lcrypto */.
# Lines may be repeated.
#
# TEST_BUILD  where to build, relative to the root, default build/unit
# TEST_CC     the compiler, default cc

use warnings;
use strict;

use Test::More;

use Cwd qw/ abs_path /;
use File::Basename qw/ basename dirname /;
use File::Path qw/ make_path /;

###############################################################################

my $root = abs_path(dirname(__FILE__) . '/..');

chdir $root or BAIL_OUT("cannot change to $root: $!");

my $build = $ENV{TEST_BUILD} || 'build/unit';
my $cc = $ENV{TEST_CC} || 'cc';

my @flags = qw/ -g -O1 -Wall -Wextra -Wpointer-arith -Wno-unused-parameter
        -Werror -fno-sanitize-recover=all -fno-omit-frame-pointer
        -DNGX_MQTT_STANDALONE=1 /;

push @flags, '-fsanitize=address,undefined', '-It/unit';
push @flags, map { "-I$_" } grep { -d } glob('ngx_mqtt_module/*');

$ENV{ASAN_OPTIONS} ||= 'detect_leaks=1:abort_on_error=0';
$ENV{UBSAN_OPTIONS} ||= 'print_stacktrace=1';

my @tests = sort glob('t/unit/test_*.c');

plan tests => scalar @tests || 1;

ok(0, 'there are unit tests') if !@tests;

make_path($build);

foreach my $test (@tests) {
        my $name = basename($test, '.c');

        subtest $name => sub {
                my $program = build($test, $name);

                if (defined $program) {
                        run($program);
                }

                done_testing();
        };
}

###############################################################################

sub build {
        my ($test, $name) = @_;

        my $program = "$build/$name";
        my @sources = map { "ngx_mqtt_module/$_" } named($test, 'sources');

        unlink $program;

        my @cmd = ($cc, @flags, $test, @sources, '-o', $program,
                   named($test, 'libs'));
        my $out = qx/@{[join ' ', map { quotemeta } @cmd]} 2>&1/;

        my $built = ok($? == 0 && -x $program, 'build');

        diag($out) if $out ne '';

        return $built ? $program : undef;
}

sub named {
        my ($test, $what) = @_;
        my @names;

        open my $f, '<', $test or die "cannot open $test: $!\n";

        while (<$f>) {
                push @names, split ' ', $1
                        if m!^/\*\s*$what:\s*(.*?)\s*\*/!;
        }

        close $f;

        return @names;
}

sub run {
        my ($program) = @_;
        my ($seen, $planned, @other) = (0);

        $program = "./$program" if $program !~ m!^/!;

        open my $f, '-|', quotemeta($program) . ' 2>&1'
                or die "cannot run $program: $!\n";

        while (my $line = <$f>) {
                chomp $line;

                if ($line =~ /^(not )?ok \d+(?: - )?(.*)$/) {
                        $seen++;
                        ok(!$1, $2);

                } elsif ($line =~ /^1\.\.(\d+)$/) {
                        $planned = $1;

                } elsif ($line =~ /^# ?(.*)$/) {
                        diag($1);

                } else {
                        push @other, $line;
                }
        }

        close $f;
        my $status = $?;

        diag(join "\n", @other) if @other;

        is($planned, $seen, 'ran to its end');
        is($status, 0, 'exited with 0');
}

###############################################################################
