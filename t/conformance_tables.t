#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The tables of 5.0, every cell of them that a client can reach: the flags of
# the fixed header (table 2-2, [MQTT-2.1.3-1]), the properties of each packet
# (table 2-4, 2.2.2.2) and the reason codes of each packet (table 2-6).  What
# is not in a cell is refused with its reason code and a close; the rest leaves
# the connection alone, or ends it as it should.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen type_number /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

# Each packet with nothing but what it must have, of "more" fields.  PUBACK and
# alike are for an id that is not in use.

my %packets = (
    PUBLISH     => { topic => 'a', qos => 1, packet_id => 1 },
    PUBACK      => { packet_id => 9 },
    PUBREC      => { packet_id => 9 },
    PUBREL      => { packet_id => 9, flags => 2 },
    PUBCOMP     => { packet_id => 9 },
    SUBSCRIBE   => { packet_id => 1, filters => [ [ 'b', 0 ] ], flags => 2 },
    UNSUBSCRIBE => { packet_id => 1, filters => [ 'b' ], flags => 2 },
    PINGREQ     => {},
    DISCONNECT  => {},
);

# table 2-4: identifier, a value, packets of a client that may have it; where
# the packet is refused in any case the reason stands behind a colon

my @acks = qw/ PUBACK PUBREC PUBREL PUBCOMP /;

my @properties = (
    [ 0x01, "\1", qw/ PUBLISH WILL / ],
    [ 0x02, "\0\0\0\x3c", qw/ PUBLISH WILL / ],
    [ 0x03, "\0\1t", qw/ PUBLISH WILL / ],
    [ 0x08, "\0\1r", qw/ PUBLISH WILL / ],
    [ 0x09, "\0\1\xff", qw/ PUBLISH WILL / ],
    [ 0x0b, "\1", qw/ PUBLISH:82 SUBSCRIBE / ],
    [ 0x11, "\0\0\0\x3c", qw/ CONNECT DISCONNECT / ],
    [ 0x12, "\0\1i" ],
    [ 0x13, "\0\x3c" ],
    [ 0x15, "\0\1m", qw/ CONNECT:8c / ],
    [ 0x16, "\0\1d", qw/ CONNECT:82 / ],
    [ 0x17, "\1", qw/ CONNECT / ],
    [ 0x18, "\0\0\0\1", qw/ WILL / ],
    [ 0x19, "\1", qw/ CONNECT / ],
    [ 0x1a, "\0\1i" ],
    [ 0x1c, "\0\1s", qw/ DISCONNECT / ],
    [ 0x1f, "\0\1r", @acks, qw/ DISCONNECT / ],
    [ 0x21, "\0\1", qw/ CONNECT / ],
    [ 0x22, "\0\1", qw/ CONNECT / ],
    [ 0x23, "\0\1", qw/ PUBLISH / ],
    [ 0x24, "\1" ],
    [ 0x25, "\1" ],
    [ 0x26, "\0\1k\0\1v", @acks,
      qw/ CONNECT WILL PUBLISH SUBSCRIBE UNSUBSCRIBE DISCONNECT / ],
    [ 0x27, "\0\1\0\0", qw/ CONNECT / ],
    [ 0x28, "\1" ],
    [ 0x29, "\1" ],
    [ 0x2a, "\1" ],
);

my %known = map { $_->[0] => 1 } @properties;

# unknown ones, and identifiers of several bytes

my @unknown = ((grep { !$known{$_} } 0 .. 0x7f), 0x80, 0x3fff, 0x4000,
               0x1fffff, 0x200000, 0xfffffff);

# table 2-6, those that are allowed in packets of a client

my @publish = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99);

my %codes = (
    PUBACK     => [ @publish ],
    PUBREC     => [ @publish ],
    PUBREL     => [ 0x00, 0x92 ],
    PUBCOMP    => [ 0x00, 0x92 ],
    DISCONNECT => [ 0x00, 0x04, 0x80 .. 0x83, 0x87, 0x89, 0x8b .. 0x90,
                    0x93 .. 0xa2 ],
);

# these are for servers or for CONNACK only

my %refused = map { $_ => 1 } 0x91, 0x92;

@{ $codes{DISCONNECT} } = grep { !$refused{$_} } @{ $codes{DISCONNECT} };

my @carriers = sort('CONNECT', 'WILL', grep { $_ ne 'PINGREQ' } keys %packets);

plan tests => 3 * @carriers + 1 + 2 * (16 - 2) + keys(%codes) + 1;

# the first cell of a table that is wrong

my $wrong;

for my $carrier (@carriers) {
    undef $wrong;

    for my $property (@properties) {
        my ($id, $value, @in) = @$property;
        my ($cell) = grep { /^$carrier\b/ } @in;
        my $once = !$cell ? 0x81 : $cell =~ /:(\w+)/ ? hex $1 : 0;

        cell($carrier, $id, $once, [ [ $id => $value ] ]);
    }

    ok(!$wrong, "2.2.2.2, table 2-4: properties of $carrier") or diag($wrong);
    undef $wrong;

    for my $property (@properties) {
        my ($id, $value, @in) = @$property;
        my ($cell) = grep { /^$carrier\b/ } @in or next;

        next if $cell =~ /:/;

        cell($carrier, "two of $id", $id == 0x26 ? 0 : 0x82,
             [ ([ $id => $value ]) x 2 ]);
        cell($carrier, "half of $id", 0x81,
             [ [ $id => substr $value, 0, -1 ] ]);
        cell($carrier, "nothing behind $id", 0x81, [ [ $id => '' ] ]);
    }

    ok(!$wrong, "2.2.2.2: properties of $carrier twice, in part")
        or diag($wrong);
    undef $wrong;

    cell($carrier, "unknown $_", 0x81, [ [ $_ => "\0\1x" ] ]) for @unknown;

    ok(!$wrong, "2.2.2.2: no other properties of $carrier") or diag($wrong);
}

is($t->total('clients'), 0, 'nobody is left');

# table 2-2; what a server sends is refused with any flags

for my $version (4, 5) {
    for my $type (1 .. 14) {
        my ($name) = grep { type_number($_) == $type }
                     qw/ CONNECT CONNACK SUBACK UNSUBACK PINGRESP /,
                     keys %packets;

        undef $wrong;

        for my $flags (0 .. 15) {
            my %fields = %{ $packets{$name} || {} };

            # all flags of PUBLISH mean something, see t/publish_check.t

            last if $name eq 'PUBLISH';
            next if $packets{$name} && $flags == ($fields{flags} // 0);

            my $c = $t->client(version => $version);

            $c->send_raw($packets{$name}
                         ? gen($name, $version, %fields, flags => $flags)
                         : chr($type << 4 | $flags) . "\2\0\0");
            ended($c, "$name with flags $flags", qr/^(?:129|130)$/);
        }

        ok(!$wrong, "MQTT-2.1.3-1, $version: flags of $name") or diag($wrong);
    }
}

for my $type (sort keys %codes) {
    my %allowed = map { $_ => 1 } @{ $codes{$type} };

    undef $wrong;

    for my $code (0 .. 255) {
        my $c = $t->client(version => 5);

        $c->send($type => %{ $packets{$type} }, reason => $code, props => []);

        $allowed{$code} ? lives($c, "$type $code", $type)
                        : ended($c, "$type $code", 0x82);
        $c->close;
    }

    ok(!$wrong, "table 2-6: reason codes of $type") or diag($wrong);
}

ok(wait_for { $t->total('connections') == 0 }, 'nothing is left');

###############################################################################

# one cell of table 2-4; the reason is 0 where all is well

sub cell {
    my ($carrier, $what, $reason, $props) = @_;

    my $c = $t->socket(version => 5);
    my $name = sprintf '%s in %s, expected 0x%02x', $what, $carrier, $reason;

    if ($carrier eq 'CONNECT' || $carrier eq 'WILL') {
        my $connack = $c->connect($carrier eq 'CONNECT' ? (props => $props)
                                  : (will => { topic => 'w',
                                               props => $props }));

        $connack = $connack ? $connack->{reason} : 'close';
        $wrong //= "$name: $connack" if $connack ne $reason;

        $reason ? $c->close : $c->disconnect;
        return;
    }

    $c->connect(props => [ [ session_expiry => 1 ] ], clean => 1);
    $c->send($carrier => %{ $packets{$carrier} }, props => $props);

    $reason ? ended($c, $name, $reason) : lives($c, $name, $carrier);

    # nothing is kept

    $c->send(DISCONNECT => props => [ [ session_expiry => 0 ] ])
        if !$c->closed;
    $c->close;
}


sub ended {
    my ($c, $name, $reason) = @_;

    my $p = $c->recv;
    my $got = !$p ? 'close' : $p->{type} eq 'DISCONNECT' ? $p->{reason}
            : $p->{type};

    $reason = 'close' if $c->version < 5;

    $wrong //= "$name: $got"
        if ref $reason ? $got !~ $reason : $got ne $reason;
    $wrong //= "$name: not closed" if $c->recv || !$c->closed;
}


sub lives {
    my ($c, $name, $type) = @_;

    if ($type eq 'DISCONNECT') {
        $wrong //= "$name: not just closed" if $c->recv || !$c->closed;
        return;
    }

    $wrong //= "$name: not alive" if !$c->is_alive;
}

###############################################################################
