#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# mqtt_retain off: no retained messages at one listener of a gateway.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use Test::More tests => 21;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_off%%;
        mqtt_pass test;
        mqtt_retain off;
    }
END
$t->run;

# where it is on

my $on = $t->client(version => 5);

is(prop($on->connack, 'retain_available'), undef, 'on: CONNACK tells nothing');
$on->publish_wait('a/b', 'x', qos => 1, retain => 1);

# where it is off

for my $version (3, 4, 5) {
    my $c = $t->client(port => 'off', version => $version);

    is(prop($c->connack, 'retain_available'), 0, 'off: CONNACK tells so')
        if $version == 5;

    $c->subscribe('a/b' => 1);
    $c->expect_nothing(0.2, "version $version: no retained message");

    # what is published elsewhere comes, and may be marked

    $on->publish_wait('a/b', 'y', qos => 1, retain => 1);
    is($c->recv_message->{payload}, 'y', "version $version: live messages");

    $c->publish_wait('a/c', 'x', qos => 1);
    $c->expect_alive("version $version: publish without RETAIN");

    $c->publish('a/c', 'x', qos => 0, retain => 1);
    $c->expect_disconnect(0x9a, "version $version: RETAIN");

    $c = $t->socket(port => 'off', version => $version);
    my $connack = $c->connect(will => { topic => 'w', payload => 'x',
                                        retain => 1 });

    is($connack && $connack->{reason}, $version == 5 ? 0x9a : undef,
       "version $version: a will with RETAIN");
}

like($t->error_log, qr/client sent PUBLISH with RETAIN, reason code: 0x9a/,
     'logged');

$on->subscribe('a/c' => 0);
$on->expect_nothing(0.2, 'nothing was stored');

# the directive

my ($output, $rc) = $t->nginx_t_conf(server => 'mqtt_retain maybe;');

isnt($rc, 0, 'an invalid value is refused');
like($output, qr/invalid value "maybe" in "mqtt_retain" directive/,
     'and named');

###############################################################################
