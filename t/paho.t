#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Eclipse Paho's client for Python, of 3.1.1 and 5.0, over TCP and TLS: six
# clients on two workers with every QoS, retained messages, takeover, what is
# new in 5.0.  The scenarios are those of t/tools/paho_peer.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

# that of the distribution: it is for this one that Paho is installed

my $python = '/usr/bin/python3';

die "no Paho for Python: run 'make deps'\n"
    if system("$python -c 'import paho.mqtt.client' 2> /dev/null");

$ENV{TEST_MQTT_TIMEOUT} = 300;

my $t = MqttTest->new;
my $dir = $t->certs;

# Paho takes the end of a QoS 2 message that it receives for the end of one
# that it has sent, and so passes any smaller Receive Maximum

my $maximum = 'mqtt_receive_maximum 1000;';

$t->write_conf(workers => 2, listen => 'reuseport', server => $maximum,
               servers => <<"END");
    server {
        $maximum
        listen 127.0.0.1:%%PORT_tls%% ssl reuseport;
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;
        mqtt_pass test;
    }
END

$t->run;

my %steps = (4 => 19, 5 => 32);

plan tests => 2 * (19 + 32) + 4 + 1;

for my $version (4, 5) {
    for my $transport ('tcp', 'tls') {
        my $port = $t->port($transport eq 'tls' ? 'tls' : 'mqtt');
        my $ca = $transport eq 'tls' ? "$dir/ca.crt" : '';

        my @lines = `$python $FindBin::Bin/tools/paho_peer $version $port $ca`;

        chomp @lines;

        for my $line (@lines) {
            my ($result, $name, $why) = split /\t/, $line;

            ok($result eq 'ok', "$version, $transport: $name") or diag($why);
        }

        is(@lines, $steps{$version}, "$version, $transport: all steps");
    }
}

my @frames = map { $_->{counters}{bus_frames_in} }
             @{ $t->status->{gateways}{test}{workers} };

is(grep({ $_ > 100 } @frames), 2, 'messages went between the workers');

###############################################################################
