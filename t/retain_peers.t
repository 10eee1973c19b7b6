#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Retained messages with mosquitto's clients, of all versions.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

plan skip_all => 'mosquitto_sub is missing: run "make deps"'
    if !grep { -x "$_/mosquitto_sub" } split /:/, $ENV{PATH};
plan tests => 3 * 3;

my $t = MqttTest->new;

$t->write_conf(workers => 2);
$t->run;

my $port = $t->port('mqtt');

for my $version ('31', '311', '5') {
    my $peer = "-V $version -h 127.0.0.1 -p $port";
    my $top = "peer$version";

    for my $n (1 .. 5) {
        my $qos = $n % 3;

        system("mosquitto_pub $peer -q $qos -r -t $top/$n/x -m 'payload $n'");
    }

    is(sub_by("$peer -q 1 -t $top/3/x -C 1"), "1 $top/3/x payload 3",
       "$version: one topic");
    is(sub_by("$peer -q 2 -t '$top/+/x' -C 5"),
       join("\n", map { "1 $top/$_/x payload $_" } 1 .. 5),
       "$version: wildcard");

    # -n: no payload, it removes

    system("mosquitto_pub $peer -q 1 -r -t $top/3/x -n");

    is(sub_by("$peer -q 2 -t '$top/#' -C 4"),
       join("\n", map { "1 $top/$_/x payload $_" } 1, 2, 4, 5),
       "$version: one is removed");
}

###############################################################################

sub sub_by {
    my ($args) = @_;

    my $seconds = 10 * ($ENV{TEST_MQTT_SLOW} || 1);
    my $output = `mosquitto_sub $args -W $seconds -F '%r %t %p' 2>&1`;

    return join "\n", sort split /\n/, $output;
}

###############################################################################
