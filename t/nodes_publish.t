#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Two nodes are one gateway: what is published at one reaches the subscribers
# of the other, with every QoS, whatever the filter; a node alone asks Redis
# nothing.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Nodes;
use Test::More tests => 2 * 14 + 15;

###############################################################################

my ($first, $second) = two_nodes(workers => 2);

is(nodes_known($first, $second), 4, 'four workers know each other');

for my $case ([ $first, $second, 'from the first' ],
              [ $second, $first, 'from the second' ])
{
    my ($from, $to, $way) = @$case;

    my $publisher = $from->client(version => 5, client_id => 'publisher');

    my %topic = ('exact/one' => 'exact/one', 'wild/+' => 'wild/x',
                 'all/#' => 'all', '+/plus' => 'any/plus');
    my %clients;

    for my $filter (sort keys %topic) {
        my @c = map { $to->client(version => 5) } 1 .. 3;

        $_->subscribe($filter => 2) for @c;
        $clients{$filter} = \@c;
    }

    ok(wanted($from, $to, keys %topic), "$way: all filters are known");

    for my $filter (sort keys %topic) {

        for my $qos (0, 1, 2) {
            $publisher->publish_wait($topic{$filter}, "qos $qos", qos => $qos);
        }

        # each one of every QoS, once and in order

        my @got;

        for my $c (@{ $clients{$filter} }) {
            my @m = map { $c->recv_message } 1 .. 3;

            push @got, join ', ', map { $_ ? "$_->{payload}, $_->{qos}" : '' }
                                  @m;
        }

        is_deeply(\@got, [ ('qos 0, 0, qos 1, 1, qos 2, 2') x 3 ],
                  "$way: \"$filter\" is served");
    }

    $_->disconnect for map { @$_ } values %clients;

    ok(unwanted($from, $to, keys %topic), "$way: and forgotten");

    # nobody is there any more

    my $before = $from->total('inbox_frames_out');

    my $ack = $publisher->publish_wait('exact/one', 'x', qos => 1);
    is($ack->{reason}, 0x10, "$way: nobody has subscribed");
    is($from->total('inbox_frames_out'), $before, "$way: nothing is sent");

    # what is subscribed to at both nodes comes once

    my $near = $from->client(version => 4);
    my $far = $to->client(version => 4);

    my $five = $to->client(version => 5);

    $_->subscribe('both/#' => 1) for $near, $far;
    $five->subscribe('v5/+' => 1);
    wanted($from, $to, 'both/#', 'v5/+');

    $publisher->publish_wait("both/$_", "n$_", qos => 1) for 1 .. 5;

    for my $c ($near, $far) {
        is_deeply([ map { ($c->recv_message || {})->{payload} } 1 .. 5 ],
                  [ map { "n$_" } 1 .. 5 ], "$way: in order");
        is($c->recv_message(0.2), undef, "$way: once");
    }

    # properties, and large ones

    $publisher->publish_wait('v5/x', 'p', qos => 1,
                             props => [ [ content_type => 'text/plain' ] ]);

    my $m = $five->recv_message;
    is_deeply($m->{props}, [ [ content_type => 'text/plain' ] ],
              "$way: properties are kept");

    my $large = 'x' x 200_000;

    $publisher->publish_wait('v5/large', $large, qos => 2);
    ok($five->recv_message->{payload} eq $large, "$way: a large payload");

    $_->disconnect for $near, $far, $five, $publisher;
}

# nothing is left in the inboxes, no frame went to its own sender

ok(wait_for { inbox_lengths($first) == 0 }, 'the inboxes are empty');
is($_->total('inbox_dropped'), 0, 'nothing was dropped') for $first, $second;
ok(wait_for {
    $first->total('inbox_frames_out') == $second->total('inbox_frames_in')
    && $first->total('inbox_frames_in') == $second->total('inbox_frames_out')
}, 'as many frames came as were sent');

is(@{ nodes_members($first) }, 4, 'all workers are in the index');

# a node that ends leaves nothing, the other one is alone

my $id = node_id($second);

ok($second->stop, 'the second node ends');
ok(wait_for { @{ nodes_members($first) } == 2 }, 'it is out of the index');
ok(wait_for { inboxes($first, $id) == 0 }, 'its inboxes are gone');

my $alone = $first->client(version => 4);
$alone->subscribe('alone/#' => 1, 'alone' => 2);
wanted($first, $first, 'alone/#', 'alone');

my %before = commands($first);

for my $qos (0, 1, 2) {
    $alone->publish_wait("alone/$qos", 'x', qos => $qos) for 1 .. 10;
    $alone->publish_wait("elsewhere/$qos", 'x', qos => $qos) for 1 .. 10;
}

my $n = 0;

$n++ while $alone->recv_message($n < 30 ? 5 : 0.2);
is($n, 30, 'alone: it gets its messages');

my %after = commands($first);

is($after{xadd} // 0, $before{xadd} // 0, 'alone: no frame in an inbox');
cmp_ok(($after{evalsha} // 0) - ($before{evalsha} // 0), '<', 60,
       'alone: no script for a publish');

my @written = grep { ($after{$_} // 0) > ($before{$_} // 0) }
              qw/ xadd xlen rpush sadd srem hincrby /;

is_deeply(\@written, [], 'alone: nothing is written');

$alone->disconnect;

ok($first->stop, 'the first node ends');
is_deeply([ grep { !/\{n\}[vs]$/ } $first->redis->keys('test:*') ], [],
          'nothing but the version is left');

###############################################################################
