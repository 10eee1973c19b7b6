#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Each packet of a client, cut at every byte and with wrong lengths.  A body
# that is too short or too long for what it says is malformed whatever follows
# it: the connection is closed, with 0x81 or 0x82 in 5.0, and nothing of the
# packet is executed.  Those that still are whole packets are served.  A packet
# whose rest does not come is nothing, and in pieces it is the same packet.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen gen_varint /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my $witness = $t->client(version => 5);
$witness->subscribe('cut/#' => 2);

my $wrong;

for my $version (3, 4, 5) {
    for my $packet (packets($version)) {
        my ($name, $bytes, $whole) = @$packet;

        my ($first, $body) = split_packet($bytes);

        # of any length, behind it a packet that would be served

        undef $wrong;

        for my $length (0 .. length($body) + 1) {
            my $cut = substr($body . "\0", 0, $length);
            my $is_whole = $whole->($length);

            try($version, $name, "length $length",
                $first . gen_varint($length) . $cut, $is_whole);
        }

        ok(!$wrong, "$version: $name of every length") or diag($wrong);

        # cut off by FIN: not even what is whole in it is done

        undef $wrong;

        for my $length (1 .. length($bytes) - 1) {
            cut_off($version, $name, substr $bytes, 0, $length);
        }

        ok(!$wrong, "$version: $name, cut off at every byte") or diag($wrong);

        # byte by byte

        undef $wrong;
        try($version, $name, 'byte by byte', $bytes, 1, 1);
        ok(!$wrong, "$version: $name, byte by byte") or diag($wrong);
    }
}

# lengths of strings and of properties in them

for my $packet (packets(5)) {
    my ($name, $bytes) = @$packet;

    undef $wrong;

    for my $at (2 .. length($bytes) - 1) {
        for my $byte ("\xff", "\x80") {
            my $changed = $bytes;

            substr $changed, $at, 1, $byte;
            survives($name, "byte $at is " . ord $byte, $changed);
        }
    }

    ok(!$wrong, "5: $name with each byte changed") or diag($wrong);
}

is($witness->recv_message(0.3), undef, 'nothing of them was published');
$witness->expect_alive;
$witness->disconnect;

ok(wait_for { $t->total('connections') == 0 }, 'nothing is left');

done_testing();

###############################################################################

# name, bytes, and of which lengths of the body it is a packet

sub packets {
    my ($version) = @_;

    my $v5 = $version == 5;
    my @props = $v5 ? (props => [ [ user_property => 'k', 'v' ] ]) : ();

    my %publish = (topic => 'out/a', payload => 'pay', qos => 1,
                   packet_id => 1, @props);
    my $head = length((split_packet(gen(PUBLISH => $version, %publish)))[1])
               - 3;

    my @filters = ([ 'f/1', 1 ], [ 'f/2', 0 ]);
    my @packets = ([ PUBLISH => { %publish }, sub { $_[0] >= $head } ]);

    for my $type (qw/ PUBACK PUBREC PUBREL PUBCOMP /) {
        push @packets, [ $type => { packet_id => 9,
                                    $v5 ? (reason => 0, @props) : () },
                         sub { $_[0] == 2 || ($v5 && $_[0] == 3) } ];
    }

    push @packets, [ SUBSCRIBE => { packet_id => 1, filters => \@filters,
                                    @props },
                     sub { $_[0] == 2 + 6 + ($v5 ? 8 : 0) } ],
                   [ UNSUBSCRIBE => { packet_id => 1,
                                      filters => [ 'f/1', 'f/2' ], @props },
                     sub { $_[0] == 2 + 5 + ($v5 ? 8 : 0) } ],
                   [ PINGREQ => {}, sub { 0 } ],
                   [ DISCONNECT => { $v5 ? (reason => 4, @props) : () },
                     sub { $v5 && $_[0] < 2 } ];

    return map {
        my ($name, $fields, $shorter) = @$_;

        my $bytes = gen($name, $version, %$fields);
        my $length = length((split_packet($bytes))[1]);

        [ $name, $bytes, sub {
            $_[0] == $length || ($name eq 'PUBLISH' && $_[0] > $length)
            || $shorter->($_[0]);
        } ];
    } @packets;
}


# all are shorter than 128 bytes

sub split_packet {
    my ($bytes) = @_;

    return (substr($bytes, 0, 1), substr $bytes, 2);
}


# Sends it, and PUBLISH behind it; if it is a packet PUBLISH is served.

sub try {
    my ($version, $name, $what, $bytes, $is_whole, $pieces) = @_;

    return if $wrong;

    my $ends = $name eq 'DISCONNECT' && $is_whole;
    my $c = $t->client(version => $version);
    my $last = gen(PUBLISH => $version, qos => 1, packet_id => 77,
                   topic => $is_whole && !$ends ? 'out/b' : 'cut/b',
                   payload => 'behind');

    $c->send_raw($_) for $pieces ? split(//, $bytes) : $bytes;
    $c->send_raw($last);

    my ($served, $reason);

    while (my $p = $c->recv) {
        $served = 1 if $p->{type} eq 'PUBACK' && $p->{packet_id} == 77;
        $reason = $p->{reason} if $p->{type} eq 'DISCONNECT';
        last if $served;
    }

    $wrong = !$is_whole && $served ? 'what follows was served'
           : $is_whole && !$ends && !$served ? 'what follows was not served'
           : !$served && !$c->closed ? 'still open'
           : $ends && defined $reason ? "answered with $reason"
           : !$is_whole && $version == 5
             && ($reason // 0) !~ /^(?:129|130)$/ ? 'reason ' . ($reason // '')
           : undef;

    $wrong = "$name, $what: $wrong, " . unpack 'H*', $bytes if $wrong;
    $c->close;
}


sub cut_off {
    my ($version, $name, $bytes) = @_;

    return if $wrong;

    my $c = $t->client(version => $version);

    $c->send_raw($bytes);
    $c->shutdown;

    my $p = $c->recv;

    $wrong = "$name: $p->{type} for " . unpack 'H*', $bytes if $p;
    $wrong //= "$name: still open" if !$c->closed;
}


# any answer, as long as there is one, or the rest is waited for

sub survives {
    my ($name, $what, $bytes) = @_;

    return if $wrong;

    my $c = $t->client(version => 5);

    $c->send_raw($bytes);
    $c->shutdown;

    1 while $c->recv;

    $wrong = "$name, $what: still open" if !$c->closed;
}

###############################################################################
