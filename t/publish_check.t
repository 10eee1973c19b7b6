#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# PUBLISH and its acknowledgements as single packets: what is refused, with
# the reason code of 5.0 or a close, and what only looks wrong.

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

$t->write_conf(servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_noalias%%;
        mqtt_pass test;
        mqtt_topic_alias_maximum 0;
    }
END

$t->run;

# [ what, version, fields of PUBLISH, reason of the DISCONNECT, listener ]

my %id = (qos => 1, packet_id => 1);

my @bad = (
    (map { my $version = $_; (
        [ 'QoS 3', $version, { flags => 6, packet_id => 1 }, 0x81 ],
        [ 'QoS 1 and packet id 0', $version, { qos => 1 }, 0x82 ],
        [ 'QoS 2 and packet id 0', $version, { qos => 2 }, 0x82 ],
        [ 'empty topic', $version, { topic => '' }, 0x82 ],
        [ 'topic "#"', $version, { topic => '#' }, 0x90 ],
        [ 'topic "a/+/b"', $version, { topic => 'a/+/b' }, 0x90 ],
        [ 'topic "a+"', $version, { topic => 'a+' }, 0x90 ],
        [ 'topic with NUL', $version, { topic => "a\0b" }, 0x81 ],
        [ 'topic with an invalid byte', $version, { topic => "a\xff" },
          0x81 ],
        [ 'topic with an over-long form', $version, { topic => "\xc0\xaf" },
          0x81 ],
        [ 'topic with a surrogate', $version, { topic => "\xed\xa0\x80" },
          0x81 ],
        [ 'topic with a control character', $version, { topic => "a\x1fb" },
          0x81 ],
        [ 'topic with DEL', $version, { topic => "abcdefgh\x7f" }, 0x81 ],
        [ 'topic with U+009F', $version, { topic => "a\xc2\x9f" }, 0x81 ],
        [ 'topic with a noncharacter', $version, { topic => "\xef\xb7\x90" },
          0x81 ],
        [ 'topic with half a character', $version, { topic => "a\xe2\x82" },
          0x81 ],
        [ 'topic longer than the packet', $version, { raw => "\0\x05abcd" },
          0x81 ],
        [ 'no packet id', $version, { flags => 2, raw => "\0\1a" }, 0x81 ],
        [ 'no topic', $version, { raw => '' }, 0x81 ],
        [ 'one byte', $version, { raw => "\0" }, 0x81 ],
    ) } 3, 4, 5),

    [ 'DUP with QoS 0', 4, { flags => 8 }, 0x81 ],
    [ 'DUP with QoS 0', 5, { flags => 8 }, 0x81 ],

    (map { [ $_->[0], 5, { props => $_->[1], %{ $_->[3] || {} } }, $_->[2],
             $_->[4] ] }
        [ 'subscription identifier', [ [ subscription_id => 1 ] ], 0x82 ],
        [ 'topic alias 0', [ [ topic_alias => 0 ] ], 0x94 ],
        [ 'topic alias 11', [ [ topic_alias => 11 ] ], 0x94 ],
        [ 'topic alias 65535', [ [ topic_alias => 65535 ] ], 0x94 ],
        [ 'topic alias 1 of 0', [ [ topic_alias => 1 ] ], 0x94, {},
          'noalias' ],
        [ 'unknown topic alias', [ [ topic_alias => 10 ] ], 0x82,
          { topic => '' } ],
        [ 'topic alias twice', [ ([ topic_alias => 1 ]) x 2 ], 0x82 ],
        [ 'payload format 2', [ [ payload_format => 2 ] ], 0x82 ],
        [ 'message expiry twice', [ ([ message_expiry => 1 ]) x 2 ], 0x82 ],
        [ 'response topic with a wildcard', [ [ response_topic => 'a/#' ] ],
          0x82 ],
        [ 'a property of CONNECT', [ [ session_expiry => 1 ] ], 0x81 ],
        [ 'unknown property', [ [ 0x7f => 'x' ] ], 0x81 ],
        [ 'content type that is not UTF-8', [ [ content_type => "\xff" ] ],
          0x81 ],
        [ 'properties longer than the packet', "\x10\x01", 0x81 ],
        [ 'length of properties of 5 bytes', "\xff\xff\xff\xff\x01", 0x81 ],
        [ 'property cut off', "\x03\x02\0\0", 0x81 ]),
);

# all of these are served; [ what, version, fields ]

my @good = (
    [ 'DUP with QoS 0', 3, { flags => 8 } ],
    (map { my $version = $_; (
        [ 'QoS 1', $version, { %id } ],
        [ 'DUP', $version, { %id, dup => 1 } ],
        [ 'packet id 65535', $version, { %id, packet_id => 65535 } ],
        [ 'retain', $version, { %id, retain => 1 } ],
        [ 'topic "/"', $version, { %id, topic => '/' } ],
        [ 'topic "$SYS/a"', $version, { %id, topic => '$SYS/a' } ],
        [ 'topic of all planes', $version,
          { %id, topic => "a\xc3\xa9/\xe2\x82\xac/\xf0\x9f\x9a\x97 b" } ],
        [ 'topic of 65535 bytes', $version,
          { %id, topic => 'a/' x 32767 . 'b' } ],
        [ 'payload of all bytes', $version,
          { %id, payload => join '', map { chr } 0 .. 255 } ],
    ) } 3, 4, 5),
    [ 'all properties', 5, { %id, props => [
        [ payload_format => 1 ], [ message_expiry => 10 ],
        [ content_type => 'text/plain' ], [ response_topic => 'r/t' ],
        [ correlation_data => "\0\xff" ], [ topic_alias => 10 ],
        [ user_property => 'a', '' ], [ user_property => 'a', 'b' ] ] } ],
);

# acknowledgements: [ what, packet, fields, answer, its reason in 5.0 ]

my @acks = (
    [ 'PUBACK that nobody waits for', PUBACK => {} ],
    [ 'PUBCOMP that nobody waits for', PUBCOMP => {} ],
    [ 'PUBREC that nobody waits for', PUBREC => {}, PUBREL => 0x92 ],
    [ 'PUBREL that nobody waits for', PUBREL => {}, PUBCOMP => 0x92 ],
);

my @acks_v5 = (
    [ 'PUBREC with an error', PUBREC => { reason => 0x87 } ],
    [ 'PUBACK with properties', PUBACK =>
      { props => [ [ reason_string => 'x' ] ] } ],
    [ 'PUBREL with a reason', PUBREL => { reason => 0x92 }, PUBCOMP => 0x92 ],
);

my @bad_acks = (
    (map { my $version = $_; map { (
        [ "$_ with packet id 0", $version, $_, { packet_id => 0 }, 0x82 ],
        [ "$_ of one byte", $version, $_, { raw => "\1" }, 0x81 ],
    ) } qw/ PUBACK PUBREC PUBREL PUBCOMP / } 4, 5),
    (map { [ 'PUBREL with wrong flags', $_, PUBREL => { flags => 0 }, 0x81 ] }
         4, 5),
    (map { [ 'PUBACK with flags', $_, PUBACK => { flags => 2 }, 0x81 ] }
         4, 5),
    [ 'PUBACK with a body', 4, PUBACK => { raw => "\0\1\0" }, 0x81 ],
    [ 'PUBACK with reason 0x01', 5, PUBACK => { reason => 1 }, 0x82 ],
    [ 'PUBREL with reason 0x10', 5, PUBREL => { reason => 0x10 }, 0x82 ],
    [ 'PUBACK and a byte more', 5, PUBACK => { props => [], trail => 'x' },
      0x81 ],
);

plan tests => @bad + 2 * @good + 3 * @acks + @acks_v5 + @bad_acks + 2;

for my $case (@bad) {
    my ($what, $version, $fields, $reason, $port) = @$case;

    my $c = $t->client(version => $version, port => $port // 'mqtt');
    $c->send_raw(bytes('PUBLISH', $version, topic => 'a', %$fields));
    $c->expect_disconnect($reason, "$version: $what");
}

my $errors = $t->total('protocol_errors');
is($errors, @bad, 'each is a protocol error');

for my $case (@good) {
    my ($what, $version, $fields) = @$case;

    my $c = $t->client(version => $version);

    # nobody has subscribed, but a retained message is kept

    my $expected = $version == 5 && !$fields->{retain} ? 'PUBACK 16'
                                                       : 'PUBACK 0';

    $c->send(PUBLISH => topic => 'a', %$fields);

    my $packet = $fields->{qos} ? $c->recv // {} : {};
    my $got = join ' ', map { $packet->{$_} // () } qw/ type reason /;

    is($got, $fields->{qos} ? $expected : '', "$version: $what");
    $c->expect_alive("$version: $what: served");
    $c->disconnect;
}

for my $version (3, 4, 5) {
    for my $case (@acks, $version == 5 ? @acks_v5 : ()) {
        my ($what, $type, $fields, $answer, $reason) = @$case;

        my $c = $t->client(version => $version);
        $c->queue($type => packet_id => 77, %$fields);
        $c->queue('PINGREQ');
        $c->flush;

        my $got = join ' ', map { $_->{type} eq 'PINGRESP' ? 'PINGRESP'
                                  : "$_->{type} $_->{packet_id} $_->{reason}" }
                            map { $c->recv // () }
                            1 .. ($answer ? 2 : 1);

        my $wanted = $answer
                     ? "$answer 77 " . ($version == 5 ? $reason : 0) . ' '
                     : '';

        is($got, "${wanted}PINGRESP", "$version: $what");
        $c->disconnect;
    }
}

for my $case (@bad_acks) {
    my ($what, $version, $type, $fields, $reason) = @$case;

    my $c = $t->client(version => $version);
    $c->send_raw(bytes($type, $version, packet_id => 1, %$fields));
    $c->expect_disconnect($reason, "$version: $what");
}

is($t->total('protocol_errors'), $errors + @bad_acks,
   'a stray acknowledgement is none');

###############################################################################

# "raw" is the whole body

sub bytes {
    my ($type, $version, %fields) = @_;

    my $body = delete $fields{raw} // return gen($type, $version, %fields);
    my $head = substr gen($type, $version, %fields), 0, 1;

    return $head . chr(length $body) . $body;
}

###############################################################################
