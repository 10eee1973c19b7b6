#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The smoke test: a client of every version connects, pings, publishes with
# every QoS to a topic that is not mapped to Kafka, and leaves.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen prop /;
use Test::More tests => 3 * 17 + 11;

###############################################################################

my $t = MqttTest->new;

$t->write_conf;
$t->run;

for my $version (3, 4, 5) {
    note("version $version");

    my $c = $t->socket(version => $version);
    my $connack = $c->connect(client_id => "basic-$version", keep_alive => 30);

    is($connack->{reason}, 0, 'connected');
    is($connack->{session_present}, 0, 'no session');

    $c->expect_alive;

    $c->publish('nowhere/qos', 'zero', qos => 0);
    $c->expect_alive('QoS 0 has no answer');

    # a 5.0 server may tell that there are no subscribers

    my $accepted = sub { $_[0] == 0 || $version == 5 && $_[0] == 0x10 };

    $c->publish('nowhere/qos', 'one', qos => 1, packet_id => 7);
    $c->expect('PUBACK', packet_id => 7, reason => $accepted);

    $c->publish('nowhere/qos', 'two', qos => 2, packet_id => 8);
    $c->expect('PUBREC', packet_id => 8, reason => $accepted);
    $c->send('PUBREL', packet_id => 8);
    $c->expect('PUBCOMP', packet_id => 8, reason => 0);

    # the same without waiting in between

    $c->queue(PUBLISH => topic => 'nowhere', qos => 1, packet_id => $_)
        for 1 .. 3;
    $c->queue('PINGREQ');
    $c->flush;

    my @answers = map { $c->recv // () } 1 .. 4;
    my @ids = map { $_->{packet_id} } grep { $_->{type} eq 'PUBACK' } @answers;

    is(@answers, 4, 'pipelined packets are answered');
    is("@ids", '1 2 3', 'in their order');

    $c->publish('nowhere', '', qos => 1, packet_id => 9);
    $c->expect('PUBACK', packet_id => 9, -name => 'empty payload');

    $c->send('DISCONNECT');
    $c->expect_close('DISCONNECT ends the connection');

    # packets behind CONNECT, before CONNACK

    $c = $t->socket(version => $version);
    $c->queue('CONNECT', client_id => "pipe-$version");
    $c->queue(PUBLISH => topic => 'nowhere', qos => 1, packet_id => 1);
    $c->queue('PINGREQ');
    $c->flush;

    $c->expect('CONNACK', reason => 0, -name => 'CONNACK comes first');
    $c->expect('PUBACK', packet_id => 1, reason => $accepted);
    $c->expect('PINGRESP');
    $c->disconnect;

    # CONNECT byte by byte

    $c = $t->socket(version => $version);

    for my $byte (split //, gen('CONNECT', $version, client_id => 'slow')) {
        $c->send_raw($byte);
        select undef, undef, undef, 0.002;
    }

    $c->expect('CONNACK', reason => 0, -name => 'CONNECT byte by byte');
    $c->expect_alive;

    # a second CONNECT is a protocol error

    $c->send('CONNECT', client_id => 'slow');
    $c->expect_disconnect(0x82, 'second CONNECT');
}

# an empty client id: assigned in 5.0, clean sessions only before

my $c = $t->socket(version => 5);
my $connack = $c->connect(client_id => '');
is($connack->{reason}, 0, '5.0: empty client id is accepted');
ok(length prop($connack, 'assigned_client_id'), '5.0: and one is assigned');
$c->disconnect;

$c = $t->socket(version => 4);
is($c->connect(client_id => '')->{reason}, 0,
   '3.1.1: empty client id with a clean session is accepted');
$c->disconnect;

$c = $t->socket(version => 4);
is($c->connect(client_id => '', clean => 0)->{reason}, 2,
   '3.1.1: empty client id without one is refused');
$c->expect_close;

# unknown protocol levels

$c = $t->socket(version => 4);
is($c->connect(proto_level => 2)->{reason}, 1, 'level 2 is refused');
$c->expect_close;

$c = $t->socket(version => 5);
is($c->connect(proto_level => 6)->{reason}, 0x84, 'level 6 is refused');
$c->expect_close;

# anything but CONNECT as the first packet

$c = $t->socket(version => 4);
$c->send('PINGREQ');
$c->expect_close('PINGREQ before CONNECT');

# nobody else has noticed

$c = $t->client(version => 4);
$c->expect_alive('others are served');

###############################################################################
