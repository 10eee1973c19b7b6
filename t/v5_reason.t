#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Reason strings of 5.0: in CONNACK, DISCONNECT, SUBACK, UNSUBACK and PUBACK
# that refuse something; not for who does not want them, [MQTT-3.1.2-29], or
# has no room for them, [MQTT-3.2.2-19] and alike.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $topic = $t->kafka->topic('reason',
                             config => { 'max.message.bytes' => 1000 });

$t->write_conf(
    kafka   => 1,
    gateway => "topic large kafka=$topic uplink;",
    server  => 'mqtt_max_subscriptions 3; mqtt_max_packet_size 8k;'
               . ' mqtt_max_client_id 20;',
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_off%%;
        mqtt_pass test;
        mqtt_retain off;
    }
END

$t->run;

# [ what, port, fields of CONNECT, reason, reason string ]

my @connacks = (
    [ 'a long client id', 'mqtt', { client_id => 'i' x 21 }, 0x85,
      'client id is too long' ],
    [ 'an authentication method', 'mqtt', { auth_method => 'SCRAM' }, 0x8c,
      'enhanced authentication is not supported' ],
    [ 'a will with RETAIN', 'off', { will => { topic => 'w', retain => 1 } },
      0x9a, 'will with RETAIN is not allowed' ],
);

# [ what, port, what is sent, reason, reason string ]

my @disconnects = (
    [ 'a large packet', 'mqtt', sub { $_[0]->publish('a', 'x' x 8192) }, 0x95,
      'client sent too large PUBLISH of 8199 bytes' ],
    [ 'a second CONNECT', 'mqtt', sub { $_[0]->send('CONNECT') }, 0x82,
      'client sent a second CONNECT' ],
    [ 'a packet of servers', 'mqtt', sub { $_[0]->send_raw("\xd0\0") }, 0x82,
      'client sent unexpected PINGRESP' ],
    [ 'wrong flags', 'mqtt', sub { $_[0]->send_raw("\xc1\0") }, 0x81,
      'client sent PINGREQ with flags 1' ],
    [ 'a topic with a wildcard', 'mqtt', sub { $_[0]->publish('a/#', 'x') },
      0x90, 'client sent invalid PUBLISH' ],
    [ 'topic alias 0', 'mqtt',
      sub { $_[0]->publish('a', 'x', props => [ [ topic_alias => 0 ] ]) },
      0x94, 'client sent topic alias 0 over maximum 10' ],
    [ 'RETAIN', 'off', sub { $_[0]->publish('a', 'x', retain => 1) }, 0x9a,
      'client sent PUBLISH with RETAIN' ],
);

my @wants = (
    [ 'wanted by default', [], 1 ],
    [ 'wanted', [ [ request_problem_info => 1 ] ], 1 ],
    [ 'not wanted', [ [ request_problem_info => 0 ] ], 0 ],
    [ 'too large', [ [ maximum_packet_size => 20 ] ], 0 ],
);

plan tests => @wants * (@connacks + @disconnects + 7) + 6;

for my $want (@wants) {
    my ($name, $props, $wanted) = @$want;

    for my $case (@connacks) {
        my ($what, $port, $fields, $reason, $text) = @$case;
        my %fields = %$fields;
        my $method = delete $fields{auth_method};

        my $c = $t->socket(port => $port);
        my $connack = $c->connect(%fields, props => [ @$props,
            $method ? [ auth_method => $method ] : () ]);

        is(join(' ', $connack->{reason}, prop($connack, 'reason_string')
                                         // 'none'),
           join(' ', $reason, $wanted ? $text : 'none'),
           "CONNACK, $name: $what");
    }

    for my $case (@disconnects) {
        my ($what, $port, $send, $reason, $text) = @$case;
        my $c = $t->client(port => $port, props => $props);

        $send->($c);

        my $packet = $c->recv;

        is(text($packet), join(' ', 'DISCONNECT', $reason,
                               $wanted ? $text : 'none'),
           "DISCONNECT, $name: $what");
    }

    # the first filter that is refused; what is granted says nothing

    my $c = $t->client(props => $props);

    is(text($c->subscribe('a' => 0)), 'SUBACK 0 none',
       "SUBACK, $name: granted");
    is(text($c->subscribe('b' => 1, 'c#' => 0, 'd+' => 0)),
       'SUBACK 1 143 143 '
       . ($wanted ? 'filter 2: topic filter invalid' : 'none'),
       "SUBACK, $name: an invalid filter");
    is(text($c->subscribe('c' => 0, 'd' => 0)),
       'SUBACK 0 151 ' . ($wanted ? 'filter 2: quota exceeded' : 'none'),
       "SUBACK, $name: too many");
    is(text($c->unsubscribe('#a', 'x')),
       'UNSUBACK 143 17 ' . ($wanted ? 'filter 1: topic filter invalid'
                                     : 'none'),
       "UNSUBACK, $name");

    for my $qos (1, 2) {
        my $p = $c->publish_wait('large', 'x' x 2000, qos => $qos);

        is(text($p), ($qos == 1 ? 'PUBACK' : 'PUBREC') . ' 151 '
                     . ($wanted ? 'quota exceeded' : 'none'),
           "QoS $qos, $name: a record that Kafka refuses");
    }

    is(text($c->publish_wait('nobody', 'x', qos => 1)), 'PUBACK 16 none',
       "PUBACK, $name: no refusal");
    $c->disconnect;
}

# a client with as many subscriptions as it may have can replace one

my $c = $t->client;

is_deeply($c->subscribe(map { $_ => 0 } 1 .. 3)->{codes}, [ 0, 0, 0 ],
          'as many as allowed');
is_deeply($c->subscribe(2 => 1, 4 => 0, 3 => 2)->{codes}, [ 1, 0x97, 2 ],
          'one more is refused, others are replaced');
$c->publish_wait(4, 'x', qos => 1);
$c->expect_alive('the one that was refused is none');

# nothing of it before 5.0

for my $version (3, 4) {
    my $old = $t->client(version => $version);

    $old->publish('a/#', 'x');
    $old->expect_close("$version: closed");
}

my $unknown = $t->socket(version => 5);

is(text($unknown->connect(proto_level => 6)), 'CONNACK 132 none',
   'a version that is not known');

###############################################################################

sub text {
    my ($packet) = @_;

    return 'nothing' if !$packet;

    return join ' ', $packet->{type},
                     $packet->{codes} ? @{ $packet->{codes} }
                                      : $packet->{reason},
                     prop($packet, 'reason_string') // 'none';
}

###############################################################################
