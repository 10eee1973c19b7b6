#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A QoS 2 publish that is in flight at one node when its client goes on at
# another one: in Kafka, which stands still for longer than the other node
# waits for a worker that says nothing, or in a slow Redis.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Nodes;
use Test::More tests => 2 * 4 + 2 * 6 + 2;

# the wait for a worker of another node that does not answer, s

use constant REMOTE => 1;

###############################################################################

my $kafka = MqttTest->new->kafka;
my $topic = $kafka->topic('nodes');
my ($one, $two) = two_nodes(kafka => 1, gateway => <<"END");
    takeover_timeout 30s;
    topic once kafka=$topic uplink;
END

my $redis = $one->redis;
my $n = 0;
my @expected;

for my $end ('disconnect', 'nothing') {
    my $c = device($one);

    $kafka->pause;
    published($c, 'once/x');
    wait_for { $one->total('kafka_queue_messages') == 1 };

    $c->disconnect if $end eq 'disconnect';
    wait_for { session('o') eq '' } if $end eq 'disconnect';

    my $d = again($two, 'once/x');
    $d->expect_nothing(REMOTE + 0.5, "$end: the other node waits");
    $kafka->resume;

    is(($d->recv || {})->{session_present}, 1, "$end: then it goes on");
    $d->expect(PUBREC => packet_id => $n);
    $d->send(PUBREL => packet_id => $n);
    $d->expect(PUBCOMP => packet_id => $n);
    $d->disconnect;
    $c->close;
}

is(join(' ', map { $_->{payload} } $kafka->records($topic)), "@expected",
   'in Kafka once');

# Redis is slow: the message waits for it, so does what the session saves, and
# the other node may claim it before or after that

my $keeper = $one->client(version => 4, client_id => 'keeper', clean => 0);

$keeper->subscribe('kept' => 2);
@expected = ();

for my $end ('abort', 'nothing') {
    for my $round (1 .. 3) {
        my $c = device($one);
        my $clients = $one->total('clients');

        $redis->pause;
        published($c, 'kept');
        $c->is_alive;

        if ($end eq 'abort') {
            $c->abort;
            $one->wait_total(clients => $clients - 1);
        }

        my $d = again($two, 'kept');
        $d->expect_nothing(0.05, "$end $round: Redis says nothing");
        $redis->resume;

        my $types = join ' ', map { ($d->recv || {})->{type} // '' } 1, 2;
        is($types, 'CONNACK PUBREC', "$end $round: then it goes on");

        $d->send(PUBREL => packet_id => $n);
        $d->recv;
        $d->disconnect;
        $c->close;
    }
}

my @got;

while (my $m = $keeper->recv_message(@got < @expected ? () : 0.3)) {
    push @got, $m->{payload};
}

is("@got", "@expected", 'the message came once');

$keeper->disconnect;
$one->client(version => 4, client_id => $_)->disconnect
    for qw/ keeper device /;


sub session {
    return $redis->command('HGET', 'test:{c:device}', $_[0]) // '';
}


sub connect_args {
    return (client_id => 'device', clean => 0,
            props => [ [ session_expiry => 600 ] ]);
}


sub device {
    my ($node) = @_;

    wait_for { session('o') eq '' };

    return $node->client(version => 5, connect_args());
}


sub published {
    my ($c, $topic) = @_;

    $c->publish($topic, ++$n, qos => 2, packet_id => $n);
    push @expected, $n;
}


sub again {
    my ($node, $topic) = @_;

    my $c = $node->socket(version => 5);

    $c->queue(CONNECT => connect_args());
    $c->queue(PUBLISH => topic => $topic, payload => $n, qos => 2,
                         packet_id => $n, dup => 1);
    $c->flush;

    return $c;
}

###############################################################################
