#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What a client sends without waiting for CONNACK is served, in its order,
# wherever TCP cuts it: at every byte, byte by byte, all at once.  FIN behind
# the last packet takes nothing back.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use Test::More tests => 3 * 5 + 8;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(server => 'mqtt_max_packet_size 4m;');
$t->run;

for my $version (3, 4, 5) {
    my @packets = (
        gen(CONNECT => $version, client_id => "cut-$version"),
        gen(PUBLISH => $version, topic => 'a/b', payload => 'zero'),
        gen(PUBLISH => $version, topic => 'a/b', payload => 'one', qos => 1,
                                 packet_id => 1),
        gen(PUBLISH => $version, topic => 'a', payload => '', qos => 2,
                                 packet_id => 2),
        gen(PUBREL => $version, packet_id => 2),
        gen('PINGREQ', $version),
        gen(DISCONNECT => $version),
    );

    my $wanted = 'CONNACK PUBACK PUBREC PUBCOMP PINGRESP close';
    my $bytes = join '', @packets;

    is(answers($version, $bytes), $wanted, "$version: all at once");
    is(answers($version, split //, $bytes), $wanted,
       "$version: byte by byte");
    is(answers($version, @packets), $wanted, "$version: packet by packet");

    # at every byte once, the other versions at every third

    my %got;
    my $step = $version == 5 ? 1 : 3;

    for (my $i = 1; $i < length $bytes; $i += $step) {
        my $answers = answers($version, substr($bytes, 0, $i),
                              substr($bytes, $i));

        push @{ $got{$answers} }, $i;
    }

    is_deeply([ keys %got ], [ $wanted ], "$version: cut in two")
        or diag(explain \%got);

    # FIN right behind it: a close would be a reset, with CONNACK unread

    my $before = total_in();

    my $c = $t->socket(version => $version);
    $c->send_raw($bytes);
    $c->shutdown;

    ok(wait_for { total_in() == $before + 3 },
       "$version: FIN behind all of it");
}

# a CONNECT that is refused takes what follows with it

my $before = total_in();
my $c = $t->socket(version => 4);

$c->queue(CONNECT => client_id => '', clean => 0);
$c->queue(PUBLISH => topic => 'a', qos => 1, packet_id => 1);
$c->flush;

$c->expect('CONNACK', reason => 2);
$c->expect_close;
is(total_in(), $before, 'nothing behind a refused CONNECT is taken');

# more than one read of the gateway: packets of all sizes, the last one larger
# than its buffer

$c = $t->socket(version => 5);
$c->queue(CONNECT => client_id => 'many');

my @sizes = (0, 1, 127, 128, 5000, 16384, (200) x 400, 65536, 1, 300_000, 7);

for my $i (0 .. $#sizes) {
    $c->queue(PUBLISH => topic => 'a/b', payload => 'x' x $sizes[$i],
                         qos => 1, packet_id => $i + 1);
}

$c->flush;
$c->expect('CONNACK', reason => 0);

my @ids;

while (@ids < @sizes) {
    my $packet = $c->recv or last;
    push @ids, $packet->{packet_id};
}

is("@ids", join(' ', 1 .. @sizes), 'packets of all sizes, in their order');
$c->expect_alive;

# the same, and the client leaves behind its last byte

$before = total_in();

$c = $t->socket(version => 4);
$c->queue(CONNECT => client_id => 'gone');
$c->queue(PUBLISH => topic => 'a/b', payload => 'x' x 2000) for 1 .. 500;
$c->queue('DISCONNECT');
$c->shutdown;

ok(wait_for { total_in() == $before + 500 }, 'all publishes before a FIN');
ok(wait_for { $t->total('clients') == 0 }, 'and the client is gone');

###############################################################################

# the types of the packets that come back

sub answers {
    my ($version, @pieces) = @_;

    my $client = $t->socket(version => $version);

    for my $piece (@pieces) {
        $client->send_raw($piece);

        # let the gateway read it alone: TCP_NODELAY sends it at once

        select undef, undef, undef, 0.0005 if @pieces > 2;
        select undef, undef, undef, 0.002 if @pieces == 2;
    }

    my @types;

    while (my $packet = $client->recv) {
        push @types, $packet->{type};
        push @types, "reason $packet->{reason}"
            if ($packet->{reason} // 0) >= 0x80;
    }

    push @types, $client->closed ? 'close' : 'open';
    $client->close;

    return join ' ', @types;
}


sub total_in {
    my $sum = 0;

    $sum += $t->total("messages_in_qos$_") for 0 .. 2;

    return $sum;
}

###############################################################################
