#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# How much a client may publish: messages and bytes in a second.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(
    server => 'mqtt_publish_rate 20;',
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_bytes%%;
        mqtt_pass test;
        mqtt_publish_bytes_rate 10k;
    }
    server {
        listen 127.0.0.1:%%PORT_any%%;
        mqtt_pass test;
    }
END

$t->run;

for my $version (4, 5) {
    for my $qos (0 .. 2) {
        my $c = $t->client(version => $version);

        $c->queue(PUBLISH => topic => 'a', payload => 'x', qos => $qos,
                  $qos ? (packet_id => $_) : ()) for 1 .. 19;
        $c->flush;

        if ($qos) {
            $c->recv for 1 .. 19;
        }

        $c->expect_alive("$version: QoS $qos: a second's worth");

        $c->queue(PUBLISH => topic => 'a', payload => 'x', qos => 0)
            for 1 .. 40;
        $c->flush;

        $c->expect_disconnect(0x96, "$version: QoS $qos: too many");
    }
}

is($t->total('publish_rate_exceeded'), 6, 'counted');
ok($t->wait_log(qr/client publishes too much/), 'logged');

# at the rate it goes on; other packets do not count

my $c = $t->client;
my $start = now();

for my $n (1 .. 30) {
    $c->publish('a', $n);
    $c->is_alive for 1 .. 2;

    my $next = $start + $n / 15;
    wait_for { now() >= $next } 1;
}

$c->expect_alive('within the rate');
$c->disconnect;

# bytes

$c = $t->client(port => 'bytes');
$c->publish('a', 'x' x 4000) for 1 .. 2;
$c->expect_alive('eight thousand bytes');
$c->publish('a', 'x' x 4000);
$c->expect_disconnect(0x96, 'twelve thousand');

$c = $t->client(port => 'bytes');
$c->publish('a', 'x' x 50000);
$c->expect_alive('one large message passes');
$c->publish('a', 'x');
$c->expect_disconnect(0x96, 'nothing behind it does');

$c = $t->client(port => 'any');
$c->queue(PUBLISH => topic => 'a', payload => 'x') for 1 .. 5000;
$c->flush;
$c->expect_alive('without a limit');
$c->disconnect;

done_testing();

###############################################################################
