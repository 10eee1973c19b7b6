#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Hostile input of every kind.  Each connection is closed, with the reason
# code where there is one to say, and a client of the same worker that goes on
# publishing meanwhile notices nothing; the library looks for alerts and leaks.
# TEST_MQTT_SEED=n repeats a run.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen gen_varint type_number /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf;
$t->run;

my $seed = $ENV{TEST_MQTT_SEED} // int rand 2 ** 31;
srand $seed;

# [ what, version, bytes behind CONNECT, reason of the DISCONNECT ]

my @cases = (
    [ 'remaining length of 5 bytes', 5, "\x30\xff\xff\xff\xff\x01", 0x81 ],
    [ 'remaining length that does not end', 5, "\x30\xff\xff\xff\xff", 0x81 ],
    [ 'over-long remaining length', 5, "\xc0\x80\x00", 0x81 ],
    [ 'over-long remaining length', 4, "\xc0\x80\x80\x00", 0x81 ],
    [ 'the largest remaining length', 5, "\x30\xff\xff\xff\x7f", 0x95 ],
    [ 'reserved packet type', 5, "\0\0", 0x81 ],
    [ 'reserved packet type', 4, "\0\0", 0x81 ],
    [ 'AUTH in 3.1.1', 4, "\xf0\0", 0x81 ],
    [ 'AUTH without method', 5, "\xf0\0", 0x82 ],
    [ 'AUTH to re-authenticate', 5,
      gen(AUTH => 5, reason => 0x19, props => [ [ auth_method => 'x' ] ]),
      0x82 ],
    [ 'PINGREQ with a body', 5, "\xc0\1x", 0x81 ],
    [ 'SUBSCRIBE without filters', 5, "\x82\3\0\1\0", 0x82 ],
    [ 'SUBSCRIBE with packet id 0', 5,
      gen(SUBSCRIBE => 5, filters => [ [ 'a', 0 ] ]), 0x82 ],
    [ 'SUBSCRIBE with flags 0', 5,
      gen(SUBSCRIBE => 5, flags => 0, packet_id => 1,
          filters => [ [ 'a', 0 ] ]), 0x81 ],
    [ 'SUBSCRIBE with reserved options', 5,
      gen(SUBSCRIBE => 5, packet_id => 1, filters => [ [ 'a', 0xc0 ] ]),
      0x81 ],
    [ 'SUBSCRIBE with half a filter', 5, "\x82\5\0\1\0\0\7", 0x81 ],
    [ 'UNSUBSCRIBE without filters', 4, "\xa2\2\0\1", 0x82 ],
    (map { my $version = $_;
           map { [ "$_ from a client", $version,
                   chr(type_number($_) << 4) . "\2\0\1", 0x82 ] }
               qw/ CONNACK SUBACK UNSUBACK / } 4, 5),
    (map { [ 'PINGRESP from a client', $_, "\xd0\0", 0x82 ] } 4, 5),
);

plan tests => 2 * @cases + 6 * 2 + 1;

my $witness = $t->client(client_id => 'witness', keep_alive => 0);
my $published = 0;

# "wrong" is the first violation of a rule that all hostile input shares

my $wrong;

for my $case (@cases) {
    my ($what, $version, $bytes, $reason) = @$case;

    my $c = $t->client(version => $version);
    $c->send_raw($bytes);
    $c->expect_disconnect($reason, "$version: $what");

    ok(witness(), 'the other client is served');
}

# every type with all flags: no body, and one that fits nothing

for my $version (4, 5) {
    group("$version: every first byte", 512, sub {
        my ($n) = @_;

        return ($version, connect_packet($version)
                          . chr($n >> 1) . ($n & 1 ? "\3\xff\0\xff" : "\0"));
    });
}

group('random bytes first', 100, sub { (4, random_bytes()) });

group('random bytes behind CONNECT', 200, sub {
    my $version = 3 + int rand 3;

    return ($version, connect_packet($version) . random_bytes());
});

group('packets cut off', 300, sub {
    my ($n) = @_;

    my $version = 3 + $n % 3;
    my $bytes = conversation($version);

    return ($version, substr $bytes, 0, int rand length $bytes);
});

group('packets with some bytes changed', 600, sub {
    my ($n) = @_;

    my $version = 3 + $n % 3;
    my $bytes = conversation($version);

    for (0 .. int rand 4) {
        my $at = int rand length $bytes;

        substr $bytes, $at, rand() < 0.8, random_byte(rand() < 0.9);
    }

    return ($version, $bytes);
});

$witness->disconnect;
ok(wait_for { $t->total('connections') == 0 }, 'nothing is left');

###############################################################################

# A number of connections that send bytes, then FIN; all of them have to be
# closed, after answers that can be read, if it is known in what version.

sub group {
    my ($name, $count, $make) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    undef $wrong;

    my $served = 0;

    for my $n (0 .. $count - 1) {
        my ($version, $bytes) = $make->($n);

        my $c = $t->socket(version => $version);

        # a refusal may come, and a reset, before all is sent

        $c->send_raw($bytes);
        $c->shutdown;

        my $closed = eval {
            1 while $c->recv;
            $c->closed;
        };

        $served += witness() if $n % 10 == 0;

        # a changed CONNECT may have been of another version

        next if $@ && substr($bytes, 0, 12) ne
                      substr connect_packet($version), 0, 12;

        $wrong //= $@ ? "$n: $@" . unpack 'H*', $bytes
                   : !$closed ? "$n: not closed: " . unpack 'H*', $bytes
                   : undef;

        last if $wrong;
    }

    ok(!$wrong, "$name: closed") or diag("$wrong, seed $seed");
    is($served, int(($count + 9) / 10), "$name: the other client is served");
}


# the client that goes on

sub witness {
    my $packet = $witness->publish_wait('wit/ness', $published++,
                                        qos => 1 + $published % 2);

    return $packet && $packet->{reason} < 0x80 ? 1 : 0;
}


sub connect_packet {
    my ($version) = @_;

    return gen(CONNECT => $version, client_id => 'hostile');
}


# some packets of each type

sub conversation {
    my ($version) = @_;

    my $props = $version < 5 ? undef
                : [ [ user_property => 'n', 'v' ], [ topic_alias => 3 ],
                    [ content_type => 't' ], [ message_expiry => 9 ] ];

    my %will = rand() < 0.5 ? ()
               : (will => { topic => 'w', payload => 'x', qos => 1 });

    return gen(CONNECT => $version, client_id => 'hostile', username => 'u',
               password => 'p', %will)
           . gen(SUBSCRIBE => $version, packet_id => 1,
                 filters => [ [ 'a/#', 1 ], [ '+/b', 2 ] ])
           . gen(PUBLISH => $version, topic => 'a/b', payload => 'x' x 20,
                 qos => 1, packet_id => 2, props => $props)
           . gen(PUBLISH => $version, topic => 'a', payload => 'x' x 200,
                 qos => 2, packet_id => 3)
           . gen(PUBREL => $version, packet_id => 3)
           . gen(PUBREC => $version, packet_id => 4)
           . gen('PINGREQ', $version)
           . gen(UNSUBSCRIBE => $version, packet_id => 5,
                 filters => [ 'a/#' ])
           . gen(DISCONNECT => $version, reason => 4);
}


sub random_byte {
    my ($any) = @_;

    return '' if !$any;
    return chr int rand 256 if rand() < 0.5;
    return (map { chr } 0, 1, 0x7f, 0x80, 0xff)[int rand 5];
}


sub random_bytes {
    return join '', map { random_byte(1) } 0 .. int rand 300;
}

###############################################################################
