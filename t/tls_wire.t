#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The tests of packets and flows once more, with TLS at port "mqtt": whatever
# TLS cuts or joins, the answers are the same.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

my @files = qw/ connect_basic connect_pipelined connect_props connect_refuse
                disconnect keepalive limits publish_check publish_flow
                retain_basic retain_flow retain_options qos_out
                session_offline session_state session_takeover session_window
                shared_basic shared_persistent slow_reader subscribe_check
                subscribe_deliver subscribe_match takeover v5_message
                v5_reason will_basic /;

plan tests => 1 + @files;

###############################################################################

$ENV{TEST_MQTT_TLS} = 1;
$ENV{TEST_MQTT_TIMEOUT} = 1200;

my $t = MqttTest->new;

$t->write_conf;
$t->run;

like($t->client->socket->get_sslversion, qr/^TLSv1/, 'a client uses TLS');

delete $ENV{TEST_MQTT_TIMEOUT};

for my $file (@files) {
    my $output = `$^X $FindBin::Bin/$file.t 2>&1`;

    is($?, 0, $file) or diag(join "\n", grep { !/^ok / } split /\n/, $output);
}

###############################################################################
