#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Several publishes of one client: QoS 2 duplicates, Receive Maximum, the
# window of 3.1.1, the order of acknowledgements, topic aliases.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 3 * 12 + 16;

###############################################################################

my $t = MqttTest->new;

my $topic = $t->kafka->topic('flow');

$t->write_conf(
    kafka => 1,
    gateway => <<"END",
        kafka_set linger.ms 100;
        topic slow kafka=$topic uplink;
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_narrow%%;
        mqtt_pass test;
        mqtt_receive_maximum 3;
        mqtt_max_inflight 3;
    }
END

$t->run;

for my $version (3, 4, 5) {
    my $c = $t->client(version => $version);
    my $unknown = $version == 5 ? 0x92 : 0;
    my $pubrec = sub { $_[0] == 0 || $version == 5 && $_[0] == 0x10 };

    # the same packet again and again is one message

    my $before = $t->total('messages_in_qos2');

    for my $dup (0, 1, 1) {
        $c->publish('fast', 'x', qos => 2, packet_id => 5, dup => $dup);
        $c->expect('PUBREC', packet_id => 5, reason => $pubrec,
                   -name => "$version: PUBREC of QoS 2, DUP $dup");
    }

    is($t->total('messages_in_qos2'), $before + 1, "$version: one message");

    # its release, too, may be repeated; the id is free then

    for my $reason (0, $unknown) {
        $c->send(PUBREL => packet_id => 5);
        $c->expect('PUBCOMP', packet_id => 5, reason => $reason,
                   -name => "$version: PUBCOMP with reason $reason");
    }

    $c->publish('fast', 'x', qos => 2, packet_id => 5);
    $c->expect('PUBREC', packet_id => 5, -name => "$version: a new message");
    is($t->total('messages_in_qos2'), $before + 2, "$version: is one");

    # the same id with QoS 1 meanwhile is another message, 2.2.1

    $c->publish('fast', 'x', qos => 1, packet_id => 5);
    $c->expect('PUBACK', packet_id => 5, -name => "$version: QoS 1 beside it");

    $c->send(PUBREL => packet_id => 5);
    $c->expect('PUBCOMP', packet_id => 5, reason => 0,
               -name => "$version: and its PUBCOMP");

    # in the order of their packets, whatever Kafka's part in it

    my @wanted;

    for my $id (1 .. 20) {
        my $qos = $id % 3 == 2 ? 2 : 1;

        $c->queue(PUBLISH => topic => $id % 4 < 2 ? 'slow' : 'fast',
                  qos => $qos, packet_id => $id, payload => "$version $id");

        push @wanted, ($qos == 1 ? 'PUBACK' : 'PUBREC') . " $id";
    }

    $c->flush;

    my @got = map { my $p = $c->recv // {};
                    join ' ', map { $_ // '' } @$p{qw/ type packet_id /} }
              1 .. 20;

    is_deeply(\@got, \@wanted, "$version: acknowledged in publish order");

    $c->expect_alive("$version: and nothing more");
    $c->disconnect;
}

# Receive Maximum counts what Kafka has not acknowledged yet

my $c = $t->client(port => 'narrow');

$c->queue(PUBLISH => topic => 'slow', qos => 1, packet_id => $_) for 1 .. 3;
$c->flush;
$c->expect('PUBACK', packet_id => $_, reason => 0) for 1 .. 3;

$c->queue(PUBLISH => topic => 'slow', qos => 1, packet_id => $_) for 4 .. 7;
$c->flush;
$c->expect_disconnect(0x93, 'four at once with Receive Maximum 3');

# and QoS 2 publishes until they are released

$c = $t->client(port => 'narrow');

for my $id (1 .. 3) {
    $c->publish('fast', 'x', qos => 2, packet_id => $id);
    $c->expect('PUBREC', packet_id => $id);
}

$c->publish('fast', 'x', qos => 2, packet_id => 2, dup => 1);
$c->expect('PUBREC', packet_id => 2, -name => 'a duplicate is within it');

$c->send(PUBREL => packet_id => 1);
$c->expect('PUBCOMP', packet_id => 1);

$c->publish('fast', 'x', qos => 2, packet_id => 4);
$c->expect('PUBREC', packet_id => 4, -name => 'one released, one more');

$c->publish('fast', 'x', qos => 0);
$c->expect_alive('QoS 0 does not count');

$c->publish('fast', 'x', qos => 2, packet_id => 5);
$c->expect_disconnect(0x93, 'the fourth that is not released');

# 3.1.1 knows no such limit: its client is read at the pace of Kafka

$c = $t->client(version => 4, port => 'narrow');

$c->queue(PUBLISH => topic => 'slow', qos => 1, packet_id => $_,
                     payload => "window $_") for 1 .. 20;
$c->flush;

is(join(' ', map { ($_->{packet_id} // 'none') }
             map { $c->recv // {} } 1 .. 20),
   join(' ', 1 .. 20), '3.1.1: all are taken, three by three');

# topic aliases; the record tells which topic was meant

my @aliases = (
    [ 1, 'slow/one', 'slow/one' ],
    [ 1, '', 'slow/one' ],
    [ 10, 'slow/ten', 'slow/ten' ],
    [ 1, '', 'slow/one' ],
    [ 1, 'slow/another', 'slow/another' ],
    [ 1, '', 'slow/another' ],
    [ 10, '', 'slow/ten' ],
);

$c = $t->client(client_id => 'aliases');

for my $i (0 .. $#aliases) {
    my ($alias, $name) = @{ $aliases[$i] };

    # a large one does not arrive in one piece

    $c->queue(PUBLISH => topic => $name, qos => 1, packet_id => $i + 1,
                         payload => $i == 3 ? 'x' x 200_000 : "n $i",
                         props => [ [ topic_alias => $alias ] ]);
}

$c->flush;
$c->recv for @aliases;

my @records = grep { $_->{key} eq 'aliases' }
              $t->kafka->records($topic, count => 3 * 10 + 3 + 3 + 20 + 7);

my @second = map { my %h = map { @$_ } @{ $_->{headers} };
                   $h{mqttSecondTopic} } @records;

is_deeply([ map { "slow$_" } @second ], [ map { $_->[2] } @aliases ],
          'topic aliases: set, used, set anew');

$c->publish('', 'x', props => [ [ topic_alias => 2 ] ]);
$c->expect_disconnect(0x82, 'an alias that was not set');

$c = $t->client(client_id => 'aliases');
$c->publish('', 'x', props => [ [ topic_alias => 1 ] ]);
$c->expect_disconnect(0x82, 'aliases end with their connection');

###############################################################################
