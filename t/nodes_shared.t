#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Shared subscriptions with members at two nodes: each message goes to one of
# them, at the node of the publisher as long as there is one.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Nodes;
use MqttTest::Workers;
use Test::More tests => 3 * 5 + 4;

use constant EACH => 30;

###############################################################################

my ($first, $second) = two_nodes(workers => 2);

my $publisher = $first->client(version => 4);
my $n = 0;

for my $qos (0, 1, 2) {
    my %here = map { ("here $_" => $first->client(version => 5)) } 1, 2;
    my %there = map { ("there $_" => $second->client(version => 5)) } 1 .. 4;

    my $filter = "\$share/g/jobs/$qos/+";

    $_->subscribe($filter => $qos) for values %here, values %there;

    my $plain = $second->client(version => 5);
    $plain->subscribe("jobs/$qos/#" => $qos);

    wanted($first, $second, $filter, "jobs/$qos/#");

    # both nodes have members

    my @sent = map { publish($qos) } 1 .. EACH;
    my %got = collect(2 * EACH, %here, %there, plain => $plain);

    is_deeply([ sort map { @{ $got{$_} } } keys %here ], [ sort @sent ],
              "QoS $qos: one of the publisher's node gets each");
    is(scalar(map { @{ $got{$_} } } keys %there), 0,
       "QoS $qos: and none of the other one");

    # only the other one has

    $_->disconnect for values %here;
    wait_for { $first->total('subscriptions') == 0 };

    @sent = map { publish($qos) } 1 .. EACH;
    %got = collect(2 * EACH, %there, plain => $plain);

    is_deeply([ sort map { @{ $got{$_} } } keys %there ], [ sort @sent ],
              "QoS $qos: then one of the other node");
    is_deeply($got{plain}, [ @sent ], "QoS $qos: beside ordinary ones");

    my $idle = grep { !@{ $got{$_} } } keys %there;
    is($idle, 0, "QoS $qos: all of them in turn");

    $_->disconnect for values %there, $plain;
}

# a group with an exact filter, one that comes and goes

my $c = $second->client(version => 5);
$c->subscribe('$share/h/exact/topic' => 1);
wanted($first, $second, '$share/h/exact/topic');

$publisher->publish_wait('exact/topic', 'x', qos => 1);
is($c->recv_message->{payload}, 'x', 'a group with an exact filter');

my $before = $first->total('inbox_frames_out');

$c->unsubscribe('$share/h/exact/topic');
unwanted($first, $second, '$share/h/exact/topic');

$publisher->publish_wait('exact/topic', 'y', qos => 1);
is($c->recv_message(0.2), undef, 'nothing when it has left');
is($first->total('inbox_frames_out'), $before, 'and nothing is sent');
is($first->total('inbox_dropped'), 0, 'nothing was dropped');


sub publish {
    my ($qos) = @_;

    $n++;
    $publisher->publish_wait("jobs/$qos/x", "m$n", qos => $qos);

    return "m$n";
}

###############################################################################
