#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A worker was killed in the middle of a change of the directory: while the
# others add their filters again, and nobody knows where the members of shared
# subscriptions are, a message still comes to one member of each.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 3, servers => spread_server());
$t->run;

my @workers = sort { $a <=> $b } $t->worker_pids;

plan skip_all => 'no access to the memory of a worker' if !tear(0);
plan tests => 4 * 3 + 4;

my %member;

for my $sub ([ 0, 'g' ], [ 1, 'g' ], [ 2, 'g' ], [ 1, 'h' ], [ 2, 'h' ],
             [ 2, 'i' ], [ 0, 'o' ])
{
    my ($n, $group) = @$sub;

    $member{"$group$n"} = client_on($t, $workers[$n]);
    $member{"$group$n"}->subscribe("\$share/$group/t" => 1);
}

my $ordinary = client_on($t, $workers[1]);
$ordinary->subscribe('t' => 1);

for my $from (0 .. 3) {
    my $publisher = client_on($t, $workers[$from % 3]);
    my $name = "from worker " . $from % 3;

    my $rebuilt = rebuilt();

    ok(tear(1), "$name: torn");

    $publisher->publish_wait('t', "$from $_", qos => $_ % 3) for 1 .. 12;

    my %got = collect(12 * 5, %member, x => $ordinary);
    my %seen;

    for my $name (keys %got) {
        $seen{substr($name, 0, 1) . " $_"}++ for @{ $got{$name} };
    }

    is_deeply([ grep { $seen{$_} != 1 } sort keys %seen ], [],
              "$name: none comes twice");
    is(scalar(keys %seen), 12 * 5, "$name: all come");

    wait_for { rebuilt() == $rebuilt + 3 } or diag('not rebuilt');
    wait_for { $t->total('directory_filters') == 8 } or diag('not added');
}

# as it was

my $publisher = client_on($t, $workers[0]);

delete @member{'h1', 'h2', 'i2', 'o0'};
wait_for { $t->total('subscriptions') == 4 };

$publisher->publish_wait('t', $_, qos => 1) for 1 .. 12;

my %got = collect(12, %member);
is(join(' ', map { scalar @{ $got{$_} } } sort keys %got), '4 4 4',
   'rebuilt: in turn again');

# and the worker that was killed had messages

delete $member{g0};
wait_for { $t->total('subscriptions') == 3 };

$_->{auto_ack} = 0 for values %member;

$publisher->publish_wait('t', $_, qos => 1) for 1 .. 12;
%got = collect(12, %member);

is(@{ $got{g1} }, 6, 'killed: it has its messages');

tear(1);
ok($t->kill_worker($workers[1]), 'killed');

my %again = collect(6, g2 => $member{g2});
is(join(' ', sort @{ $again{g2} }), join(' ', sort @{ $got{g1} }),
   'killed: the other one gets them');

###############################################################################

sub rebuilt {
    return scalar(() = $t->error_log =~ /subscriptions are added again/g);
}


# Finds the directory in the memory of a worker and sets its first word, as one
# that is killed behind ngx_mqtt_directory_change().

sub tear {
    my ($really) = @_;

    my ($pid) = $t->worker_pids;

    open my $maps, '<', "/proc/$pid/maps" or return;
    open my $mem, '+<:raw', "/proc/$pid/mem" or return;

    while (<$maps>) {
        my ($start, $end) = /^(\w+)-(\w+) rw-s .*zero/ or next;

        no warnings 'portable';

        $start = hex $start;
        my $size = hex($end) - $start;

        sysseek $mem, $start, 0;
        (sysread($mem, my $bytes, $size) // 0) == $size or return;

        for (my $at = 0; $at < $size; $at += 4096) {
            my ($torn, $pending, $epoch, $live, @zeros)
                = unpack 'L L Q Q Q3 Q4', substr $bytes, $at, 80;

            next if $torn || $pending || $live != 7 || grep { $_ } @zeros
                    or $epoch < 1 || $epoch > 100;

            return 1 if !$really;

            sysseek $mem, $start + $at, 0;

            return syswrite($mem, pack 'L', 1) == 4;
        }
    }

    return;
}

###############################################################################
