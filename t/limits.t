#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The size of a packet, told from its fixed header before there is memory for
# it, and the length and the levels of a topic.  (Client ids are in
# connect_refuse.t, what CONNACK tells in connect_props.t.)

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen gen_varint /;
use Test::More tests => 2 * 9 + 10;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(
    server => <<'END',
        mqtt_max_packet_size 2k;
        mqtt_max_topic_length 20;
        mqtt_max_topic_levels 3;
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_default%%;
        mqtt_pass test;
    }
END

$t->run;

for my $version (4, 5) {
    my $c = $t->client(version => $version);
    my $sum = length publish($version, '');

    $c->send_raw(publish($version, 'x' x (2048 - $sum - 1)));
    $c->expect('PUBACK', -name => "$version: a packet of 2048 bytes");

    $c->send_raw(publish($version, 'x' x (2048 - $sum)));
    $c->expect_disconnect(0x95, "$version: 2049 bytes are too many");

    # the header alone is enough, the body never comes

    for my $size (2046, 1_000_000, 268_435_455) {
        $c = $t->client(version => $version);

        $c->send_raw(chr(0x32) . gen_varint($size));
        $c->expect_disconnect(0x95, "$version: remaining length $size");
    }

    $c = $t->socket(version => $version);
    $c->send_raw(chr(0x10) . gen_varint(2046));
    $c->expect_close("$version: the same of CONNECT");

    # topics

    $c = $t->client(version => $version);
    $c->publish('t' x 20, 'x', qos => 1, packet_id => 1);
    $c->expect('PUBACK', -name => "$version: topic of 20 bytes");
    $c->publish('t' x 21, 'x', qos => 1, packet_id => 1);
    $c->expect_disconnect(0x90, "$version: 21 bytes are too long");

    $c = $t->client(version => $version);
    $c->publish('/b/c', 'x', qos => 1, packet_id => 1);
    $c->expect('PUBACK', -name => "$version: topic of 3 levels");
    $c->disconnect;
}

for my $topic ('a/b/c/d', '///') {
    for my $version (4, 5) {
        my $c = $t->client(version => $version);
        $c->publish($topic, 'x', qos => 0);
        $c->expect_disconnect(0x90,
                              "$version: \"$topic\" has too many levels");
    }
}

# by an alias as well

my $c = $t->client;
$c->publish('a/b/c/d', 'x', props => [ [ topic_alias => 1 ] ]);
$c->expect_disconnect(0x90, 'too many levels for an alias');

# the default: 1 MiB in all

for my $over (0, 1) {
    my $packet = publish(5, 'x' x (1048576 - 2 - length(publish(5, ''))
                                   + $over));

    $c = $t->client(port => 'default');
    $c->queue_raw($packet);
    $c->drain while !$c->fill;

    is(length $packet, 1048576 + $over, 'the packet is ' . length $packet);

    if ($over) {
        $c->expect_disconnect(0x95, 'which is too large');

    } else {
        $c->expect('PUBACK', -name => 'which is taken');
    }
}

is($t->total('protocol_errors'), 2 * 6 + 5 + 1, 'protocol errors are counted');

###############################################################################

sub publish {
    my ($version, $payload) = @_;

    return gen(PUBLISH => $version, topic => 'a', qos => 1, packet_id => 1,
               payload => $payload);
}

###############################################################################
