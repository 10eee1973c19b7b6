#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What may be wrong with a CONNECT: each version answers with its own CONNACK
# code or closes without a word, and counts it; nothing else can come first.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(
    server => 'mqtt_max_client_id 100;',
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_impatient%%;
        mqtt_pass test;
        mqtt_connect_timeout 200ms;
    }
END

$t->run;

# [ what, version of the CONNECT, its fields, answer by version of the answer ]
# where the answer is a code, "close" for none, and 0 for accepted

my %close = (4 => 'close', 5 => 0x81);
my %bad_will = (will => { topic => 'w', payload => 'x' });

my @rows = (
    # the table of protocol names and levels

    (map { [ "MQTT level $_", 4, { proto_level => $_ }, 1 ] } 0 .. 3),
    (map { [ "MQTT level $_", 5, { proto_level => $_ }, 0x84 ] } 6, 7, 127),
    (map { [ "MQIsdp level $_", 3, { proto_level => $_ }, 1 ] }
         0, 1, 2, 4, 5),
    [ 'MQIsdp level 6', 5, { proto_name => 'MQIsdp', proto_level => 6 },
      0x84 ],
    [ 'MQTT level 4', 4, {}, 0 ],
    [ 'MQTT level 5', 5, {}, 0 ],
    [ 'MQIsdp level 3', 3, {}, 0 ],
    [ 'MQTT level 4 of a bridge', 4, { proto_level => 0x84 }, 0 ],
    [ 'MQIsdp level 3 of a bridge', 3, { proto_level => 0x83 }, 0 ],
    (map { [ "protocol name \"$_\"", 4, { proto_name => $_ }, 'close' ] }
         '', 'mqtt', 'MQTX', 'MQTTT', 'MQIsd', 'MQIsdpX'),

    # connect flags

    (map { my $flags = $_;
           map { [ "flags $flags in the fixed header", $_,
                   { flags => $flags }, $_ == 3 ? 0 : $close{$_} ] } 3, 4, 5 }
         1, 2, 4, 8, 15),
    [ 'reserved flag', 3, { connect_flags => 0x03 }, 0 ],
    [ 'reserved flag', 4, { connect_flags => 0x03 }, 'close' ],
    [ 'reserved flag', 5, { connect_flags => 0x03 }, 0x81 ],
    [ 'will QoS without will', 3, { connect_flags => 0x0a }, 0 ],
    [ 'will retain without will', 3, { connect_flags => 0x22 }, 0 ],

    (map { my $version = $_; (
        [ 'will QoS without will', $version, { connect_flags => 0x0a },
          $close{$version} ],
        [ 'will retain without will', $version, { connect_flags => 0x22 },
          $close{$version} ],
        [ 'will with QoS 3', $version, { %bad_will, connect_flags => 0x1e },
          $close{$version} ],
        [ 'will flag and no will', $version, { connect_flags => 0x06 },
          $close{$version} ],
        [ 'user name flag and no user name', $version,
          { connect_flags => 0x82 }, $close{$version} ],
        [ 'password flag and no password', $version,
          { username => 'u', connect_flags => 0xc2 }, $close{$version} ],
        [ 'will topic with a control character', $version,
          { will => { topic => "a\tb" } }, $close{$version} ],
        [ 'user name with a control character', $version,
          { username => "a\x1bb" }, $close{$version} ],
        [ 'password of any bytes', $version,
          { username => 'u', password => "\x01\0\xff" }, 0 ],
        [ 'will topic that is not UTF-8', $version,
          { will => { topic => "w\xff" } }, $close{$version} ],
        [ 'user name that is not UTF-8', $version, { username => "\xc0\x80" },
          $close{$version} ],
    ) } 4, 5),

    [ 'will with QoS 3', 3, { %bad_will, connect_flags => 0x1e }, 'close' ],
    [ 'a will', 3, { %bad_will }, 0 ],
    [ 'a will', 4, { %bad_will }, 0 ],
    [ 'a will', 5, { %bad_will }, 0 ],
    [ 'will topic with a wildcard', 3, { will => { topic => 'a/#' } },
      'close' ],
    [ 'will topic with a wildcard', 4, { will => { topic => '+/a' } },
      'close' ],
    [ 'will topic with a wildcard', 5, { will => { topic => '+/a' } }, 0x90 ],
    [ 'empty will topic', 5, { will => { topic => '' } }, 0x90 ],
    [ 'empty will topic', 4, { will => { topic => '' } }, 'close' ],

    [ 'password without user name', 3, { password => 'p' }, 'close' ],
    [ 'password without user name', 4, { password => 'p' }, 'close' ],
    [ 'password without user name', 5, { password => 'p' }, 0 ],

    # client id

    [ 'empty client id', 3, { client_id => '' }, 2 ],
    [ 'empty client id, session', 3, { client_id => '', clean => 0 }, 2 ],
    [ 'empty client id, session', 4, { client_id => '', clean => 0 }, 2 ],
    [ 'empty client id, clean', 4, { client_id => '' }, 0 ],
    [ 'empty client id, session', 5, { client_id => '', clean => 0 }, 0 ],
    [ 'client id of 100 bytes', 4, { client_id => 'i' x 100 }, 0 ],
    [ 'client id of 101 bytes', 4, { client_id => 'i' x 101 }, 2 ],
    [ 'client id of 101 bytes', 5, { client_id => 'i' x 101 }, 0x85 ],

    (map { my $id = $_; map {
        [ sprintf('client id %v02x', $id), $_, { client_id => $id },
          $close{$_} // 'close' ]
    } 3, 4, 5 } "a\0b", "a\xff", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                "a\x01b", "a\nb", "\x7f", "abcdefgh\xc2\x80", "\xef\xbf\xbf"),
    [ 'U+FEFF and U+00A0', 4, { client_id => "\xef\xbb\xbf\xc2\xa0" }, 0 ],

    # the end of the packet

    (map { my $version = $_; (
        [ 'a byte too many', $version, { trail => 'x' },
          $close{$version} // 'close' ],
        [ 'no client id', $version, { cut => 3 },
          $close{$version} // 'close' ],
        [ 'half a client id', $version, { cut => 1 },
          $close{$version} // 'close' ],
    ) } 3, 4, 5),

    [ 'nothing behind the level', 4, { cut => 6 }, 'close' ],

    # properties

    (map { [ "$_->[0]", 5, { props => $_->[1] }, $_->[2] ] }
        [ 'receive maximum 0', [ [ receive_maximum => 0 ] ], 0x82 ],
        [ 'maximum packet size 0', [ [ maximum_packet_size => 0 ] ], 0x82 ],
        [ 'request problem information 2', [ [ request_problem_info => 2 ] ],
          0x82 ],
        [ 'request response information 2',
          [ [ request_response_info => 2 ] ], 0x82 ],
        [ 'session expiry twice', [ ([ session_expiry => 1 ]) x 2 ], 0x82 ],
        [ 'topic alias in CONNECT', [ [ topic_alias => 1 ] ], 0x81 ],
        [ 'will delay in CONNECT', [ [ will_delay => 1 ] ], 0x81 ],
        [ 'unknown property', [ [ 0x7e => 'x' ] ], 0x81 ],
        [ 'user property that is not UTF-8',
          [ [ user_property => 'a', "\xff" ] ], 0x81 ],
        [ 'properties longer than the packet', "\x7f", 0x81 ],
        [ 'authentication data without method', [ [ auth_data => 'd' ] ],
          0x82 ],
        [ 'enhanced authentication', [ [ auth_method => 'SCRAM' ] ], 0x8c ],
        [ 'enhanced authentication with data',
          [ [ auth_method => 'SCRAM' ], [ auth_data => 'd' ] ], 0x8c ]),
);

my @firsts = ((map { [ $_ ] } qw/ PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE
                                  UNSUBSCRIBE PINGREQ DISCONNECT AUTH /),
              [ PUBLISH => topic => 'a' ]);

plan tests => @rows + @firsts + 10;

my ($refused, $accepted) = (0, 0);

for my $row (@rows) {
    my ($what, $version, $fields, $expected) = @$row;
    my %fields = (client_id => 'abc', %$fields);

    my $c = $t->socket(version => $version);
    $c->send_raw(bytes($version, %fields));

    my $packet = $c->recv;
    my $got = $packet && $packet->{type} eq 'CONNACK' ? $packet->{reason}
              : $packet ? $packet->{type} : 'close';

    # it was accepted or it is closed

    $got .= $got eq '0' ? $c->is_alive ? '' : ', dead'
                        : wait_closed($c) ? '' : ', open';

    is($got, $expected, "$version: $what");

    $c->disconnect if $got eq '0';
    $expected eq '0' ? $accepted++ : $refused++;
}

is($t->total('connects'), $accepted, 'CONNECTs accepted are counted');
is($t->total('connects_refused'), $refused, 'CONNECTs refused are counted');

# the first packet

for my $first (@firsts) {
    my ($type, %fields) = @$first;

    my $c = $t->socket(version => 4);

    $c->send_raw(gen($type, 4, client_id => 'abc', packet_id => 1, %fields));
    $c->expect_close("$type" . (%fields ? " @{[ %fields ]}" : "")
                     . ' is no first packet');
}

is($t->total('connects_refused'), $refused, 'they are no CONNECTs');
cmp_ok($t->total('protocol_errors'), '>=', scalar @firsts,
       'but protocol errors');

# a second CONNECT

for my $version (3, 4, 5) {
    my $c = $t->client(version => $version, client_id => 'twice');

    $c->send(CONNECT => client_id => 'twice');
    $c->expect_disconnect(0x82, "$version: a second CONNECT");
}

# no CONNECT in time

my $silent = $t->socket(port => 'impatient');
$silent->expect_close('nothing sent: closed');

my $half = $t->socket(port => 'impatient');
$half->send_raw(substr gen(CONNECT => 5, client_id => 'abc'), 0, 7);
$half->expect_close('half a CONNECT: closed');

is($t->total('connect_timeouts'), 2, 'both are counted');

###############################################################################

# "cut" takes bytes off the end of the body

sub bytes {
    my ($version, %fields) = @_;

    my $cut = delete $fields{cut} // return gen(CONNECT => $version, %fields);
    my $packet = gen(CONNECT => $version, %fields);

    substr $packet, -$cut, $cut, '';
    substr $packet, 1, 1, chr(length($packet) - 2);

    return $packet;
}


sub wait_closed {
    my ($c) = @_;

    return !$c->recv && $c->closed;
}

###############################################################################
