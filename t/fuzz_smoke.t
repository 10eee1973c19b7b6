#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Fuzzing with libFuzzer: every t/fuzz/fuzz_*.c is built without nginx, with
# AddressSanitizer and UndefinedBehaviorSanitizer, and run over a copy of its
# corpus.  A target names what it is linked with in comments,
#
#     /* sources: wire/ngx_mqtt_props.c ... */
#
# relative to ngx_mqtt_module/.  An input that crashes a target is kept in
# the build directory and printed.
#
# TEST_FUZZ_SECONDS  for all targets together, default 60
# TEST_FUZZ_CC       the compiler, default clang
# TEST_BUILD         where to build, relative to the root, default build/fuzz

use warnings;
use strict;

use Test::More;

use Cwd qw/ abs_path /;
use File::Basename qw/ basename dirname /;
use File::Copy qw/ copy /;
use File::Path qw/ make_path /;
use File::Temp qw/ tempdir /;

###############################################################################

my $root = abs_path(dirname(__FILE__) . '/..');

chdir $root or BAIL_OUT("cannot change to $root: $!");

my $build = $ENV{TEST_BUILD} || 'build/fuzz';
my $cc = $ENV{TEST_FUZZ_CC} || 'clang';
my $seconds = $ENV{TEST_FUZZ_SECONDS} || 60;

my @flags = qw/ -g -O1 -Wall -Wextra -Wpointer-arith -Wno-unused-parameter
        -Werror -fno-sanitize-recover=all -fno-omit-frame-pointer
        -DNGX_MQTT_STANDALONE=1 /;

push @flags, '-fsanitize=fuzzer,address,undefined', '-It/unit', '-It/fuzz';
push @flags, map { "-I$_" } grep { -d } glob('ngx_mqtt_module/*');

my @targets = sort glob('t/fuzz/fuzz_*.c');

plan tests => 1 + 4 * @targets;

ok(scalar @targets, 'there are fuzz targets');

my $share = int($seconds / (@targets || 1)) || 1;

make_path($build);

foreach my $target (@targets) {
        my $name = basename($target, '.c');
        my $corpus = tempdir(CLEANUP => 1);

        my $program = build($target, $name);

        SKIP: {
                # the failed build has been reported
                skip "$name is not built", 3 if !defined $program;

                cmp_ok(seeds($name, $corpus), '>', 0,
                        "$name: there are seeds");
                fuzz($name, $program, $corpus);
        }
}

###############################################################################

sub build {
        my ($target, $name) = @_;

        my $program = "$build/$name";
        my @sources = map { "ngx_mqtt_module/$_" } sources($target);

        unlink $program;

        my ($out) = command($cc, @flags, $target, @sources, '-o', $program);
        my $built = ok($? == 0 && -x $program, "$name: build");

        diag($out) if $out ne '';

        return $built ? $program : undef;
}

sub sources {
        my ($target) = @_;
        my @sources;

        open my $f, '<', $target or die "cannot open $target: $!\n";

        while (<$f>) {
                push @sources, split ' ', $1
                        if m!^/\*\s*sources:\s*(.*?)\s*\*/!;
        }

        close $f;

        return @sources;
}

sub seeds {
        my ($name, $corpus) = @_;
        my $n = 0;

        foreach my $seed (glob("t/fuzz/corpus/$name/*")) {
                copy($seed, $corpus) or die "cannot copy $seed: $!\n";
                $n++;
        }

        return $n;
}

sub fuzz {
        my ($name, $program, $corpus) = @_;

        my $prefix = "$build/$name-";

        unlink glob("$prefix*");

        $program = "./$program" if $program !~ m!^/!;

        my ($out) = command($program, "-max_total_time=$share", '-timeout=10',
                '-print_final_stats=1', "-artifact_prefix=$prefix", $corpus);

        my $status = $?;
        my ($runs) = $out =~ /^stat::number_of_executed_units:\s*(\d+)/m;

        is($status, 0, "$name: no crash in $share seconds")
                or report($out, glob("$prefix*"));

        cmp_ok($runs || 0, '>', 1000, "$name: it ran");
}

sub report {
        my ($out, @artifacts) = @_;

        my @lines = grep { !/^#\d+\s+(NEW|REDUCE|pulse|RELOAD)/ }
                split /\n/, $out;

        splice @lines, 0, @lines - 60 if @lines > 60;

        diag($_) foreach @lines;

        foreach my $file (@artifacts) {
                open my $f, '<:raw', $file or next;
                local $/;
                diag("$file: " . unpack('H*', <$f>));
                close $f;
        }
}

sub command {
        my $cmd = join ' ', map { quotemeta } @_;

        my $out = qx/$cmd 2>&1/;

        return defined $out ? $out : '';
}

###############################################################################
