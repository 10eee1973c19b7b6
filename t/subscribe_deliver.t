#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# How a message arrives, by the options of the subscriptions that match, 3.3
# and 3.8.3.1: QoS, one copy for several filters, identifiers, No Local, Retain
# As Published, subscriptions that are replaced or end.  Publisher and
# subscriber in the same worker and in two, both ways.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ props /;
use Test::More tests => 4 * (3 * (9 + 7) + 17) + 13;

use constant { NO_LOCAL => 4, RAP => 8 };

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my ($one, $two) = $t->worker_pids;

# the subscriber is there before the publisher, and the other way round

for my $case ([ 'one worker', $one, $one, 1 ], [ 'two, one', $two, $one, 0 ],
              [ 'one, two', $one, $two, 1 ], [ 'one, two', $one, $two, 0 ])
{
    my ($where, $from, $to, $early) = @$case;

    $where .= $early ? ', subscriber first' : ', publisher first';

    for my $version (3, 4, 5) {
        deliver($version, "$where, $version", $from, $to, $early);
    }

    options($where, $from, $to, $early);
}

# No Local and overlapping filters of the publisher itself

my $c = $t->client_at($one);
my $other = $t->client_at($two);

for my $s ($c, $other) {
    $s->subscribe('n/+' => 1 | NO_LOCAL);
}

$c->publish_wait('n/1', 'x', qos => 1);
$c->expect_alive('MQTT-3.8.3-3: No Local, not to the publisher');
is(text($other->recv_message), 'n/1=x qos 1 dup 0 retain 0',
   'but to others');

$c->subscribe('n/1' => 0);
$c->publish_wait('n/1', 'y', qos => 1);
is(text($c->recv_message), 'n/1=y qos 0 dup 0 retain 0',
   'another filter without No Local: with its QoS');
$c->expect_alive('and once');
is(text($other->recv_message), 'n/1=y qos 1 dup 0 retain 0', 'others');

$other->publish_wait('n/1', 'z', qos => 1);
is(text($c->recv_message), 'n/1=z qos 1 dup 0 retain 0',
   'a message of another client: both filters, the higher QoS');
$other->expect_alive('and its own is not sent back');

# a client of that id on a new connection is the same client, another one with
# the same filter is not

$other->unsubscribe('n/+');
$other->disconnect;

my $twin = $t->client_at($two, version => 4);

$twin->subscribe('n/+' => 1);
$twin->publish_wait('n/2', 'own', qos => 1);
is(text($twin->recv_message), 'n/2=own qos 1 dup 0 retain 0',
   '3.1.1: a client gets what it publishes');
is(text($c->recv_message), 'n/2=own qos 1 dup 0 retain 0', 'and so do others');

# a subscription ends with its connection

$c->disconnect;
wait_for { $t->total('clients') == 1 };
is($t->total('subscriptions'), 1, 'subscriptions end with the connection');
is($twin->publish_wait('n/3', 'x', qos => 1)->{type}, 'PUBACK', 'PUBACK');
is(text($twin->recv_message), 'n/3=x qos 1 dup 0 retain 0',
   'who is left is served');

my $five = $t->client_at($one, version => 5);

is($five->publish_wait('nobody/here', 'x', qos => 1)->{reason}, 0x10,
   '3.4.2.1: nobody has subscribed');

###############################################################################

sub pair {
    my ($version, $from, $to, $early) = @_;

    my ($p, $s);

    $s = $t->client_at($to, version => $version) if $early;
    $p = $t->client_at($from, version => $version);
    $s //= $t->client_at($to, version => $version);

    return ($p, $s);
}


# what all versions have in common

sub deliver {
    my ($version, $name, $from, $to, $early) = @_;

    my ($p, $s) = pair($version, $from, $to, $early);

    # [MQTT-3.8.4-8]: the smaller of both; [MQTT-3.3.1-9]: no RETAIN

    for my $granted (0 .. 2) {
        $s->subscribe("q/$granted" => $granted);

        for my $qos (0 .. 2) {
            $p->publish_wait("q/$granted", "p$qos", qos => $qos,
                             dup => $qos ? 1 : 0);

            my $expected = $qos < $granted ? $qos : $granted;

            is(text($s->recv_message),
               "q/$granted=p$qos qos $expected dup 0 retain 0",
               "MQTT-3.8.4-8, MQTT-3.3.1-3, $name: $qos to $granted");
        }
    }

    # one copy, with the highest QoS

    $s->subscribe('o/a' => 0, 'o/+' => 2, 'o/#' => 1, '+/a' => 0);
    $p->publish_wait('o/a', 'x', qos => 2);
    is(text($s->recv_message), 'o/a=x qos 2 dup 0 retain 0',
       "MQTT-3.3.4-2, $name: several filters, the highest QoS");
    $s->expect_alive("$name: one copy");

    # [MQTT-3.8.4-3]: replaced

    $s->subscribe('o/+' => 0);
    $p->publish_wait('o/a', 'y', qos => 2);
    is(text($s->recv_message), 'o/a=y qos 1 dup 0 retain 0',
       "MQTT-3.8.4-3, $name: replaced, the highest QoS left");
    $s->expect_alive("$name: still one copy");

    # larger than a read of the gateway

    my $large = join '', map { chr(32 + $_ % 90) } 1 .. 200_000;

    $s->subscribe('large' => 1);
    $p->publish_wait('large', $large, qos => 1);
    ok(($s->recv_message // {})->{payload} eq $large,
       "$name: a message of 200,000 bytes");

    # [MQTT-3.10.4-1], [MQTT-3.10.4-2]: the filter as it is written, and all
    # that was on its way is completed

    $s->{auto_ack} = 0;
    $s->subscribe('u/#' => 2);
    $p->publish('u/1', 'x', qos => 2, packet_id => 900);

    my $m = $s->recv;

    $s->unsubscribe('u/+');
    $s->unsubscribe('u/#');
    $s->send(PUBREC => packet_id => $m->{packet_id});
    $s->expect(PUBREL => packet_id => $m->{packet_id}, reason => 0,
               -name => "MQTT-3.10.4-3, $name: completed after UNSUBACK");
    $s->send(PUBCOMP => packet_id => $m->{packet_id});
    $p->recv;
    $p->send(PUBREL => packet_id => 900);
    $p->recv;

    $p->publish_wait('u/2', 'y', qos => 1);
    $s->expect_alive("MQTT-3.10.4-2, $name: nothing new");

    $_->disconnect for $p, $s;
}


# what came with 5.0

sub options {
    my ($name, $from, $to, $early) = @_;

    my ($p, $s) = pair(5, $from, $to, $early);

    # identifiers: of each filter that matches, [MQTT-3.3.4-3], [MQTT-3.3.4-4]

    my %id = ('i/a' => 1, 'i/+' => 127, 'i/#' => 128, '+/a' => 268_435_455,
              'i/b' => 5);

    for my $filter (sort keys %id) {
        $s->send(SUBSCRIBE => packet_id => 1, filters => [ [ $filter, 1 ] ],
                 props => [ [ subscription_id => $id{$filter} ] ]);
        $s->recv;
    }

    is(ids($p, $s, 'i/a'), '1 127 128 268435455',
       "MQTT-3.3.4-3, $name: identifiers of all filters that match");
    is(ids($p, $s, 'i/b'), '5 127 128', "$name: others for another topic");

    # the same identifier twice is told twice; a filter without one says none

    $s->send(SUBSCRIBE => packet_id => 1, filters => [ [ 'i/a', 1 ] ],
             props => [ [ subscription_id => 127 ] ]);
    $s->recv;
    is(ids($p, $s, 'i/a'), '127 127 128 268435455',
       "$name: replaced by another identifier");

    $s->subscribe('i/a' => 1, 'i/#' => 1);
    is(ids($p, $s, 'i/a'), '127 268435455', "$name: replaced by none");

    $s->unsubscribe('i/+', '+/a');
    is(ids($p, $s, 'i/a'), '', "$name: no identifier left");
    $s->unsubscribe('i/a', 'i/#');

    # one SUBSCRIBE, one identifier for all its filters

    $s->send(SUBSCRIBE => packet_id => 1,
             filters => [ [ 'j/1', 0 ], [ 'j/2', 2 ] ],
             props => [ [ subscription_id => 9 ] ]);
    $s->recv;
    is(ids($p, $s, "j/$_"), '9', "$name: of a list, filter $_") for 1, 2;

    # Retain As Published, [MQTT-3.8.3.1], by filter

    $s->subscribe('r/1' => 1 | RAP, 'r/2' => 1, 'r/3' => 1, 'r/+' => 0 | RAP);

    for my $row ([ 'r/1', 1, 1 ], [ 'r/1', 0, 0 ], [ 'r/2', 1, 1 ],
                 [ 'r/2', 0, 0 ])
    {
        my ($topic, $retain, $expected) = @$row;

        $p->publish_wait($topic, 'x', qos => 1, retain => $retain);
        is(text($s->recv_message), "$topic=x qos 1 dup 0 retain $expected",
           "MQTT-3.3.1-13, $name: $topic published with RETAIN $retain");
    }

    $s->unsubscribe('r/+');

    for my $row ([ 'r/1', 1, 1 ], [ 'r/2', 1, 0 ]) {
        my ($topic, $retain, $expected) = @$row;

        $p->publish_wait($topic, 'y', qos => 1, retain => $retain);
        is(text($s->recv_message), "$topic=y qos 1 dup 0 retain $expected",
           "MQTT-3.3.1-12, $name: $topic without the other filter");
    }

    $p->publish_wait("r/$_", '', qos => 1, retain => 1) for 1, 2;
    $s->recv_message for 1, 2;

    # a copy for each share beside that of the client itself, 4.8.2

    $s->subscribe('h/1' => 0, '$share/g1/h/1' => 1, '$share/g2/h/+' => 2);
    $p->publish_wait('h/1', 'x', qos => 2);

    my @copies = map { text(scalar $s->recv_message) } 1 .. 3;

    is(join(', ', sort @copies),
       join(', ', map { "h/1=x qos $_ dup 0 retain 0" } 0 .. 2),
       "MQTT-4.8.2-4, $name: one of each share, one for the client itself");

    $s->unsubscribe('$share/g1/h/1');
    $p->publish_wait('h/1', 'y', qos => 2);
    @copies = map { text(scalar $s->recv_message) } 1, 2;
    is(join(', ', sort @copies),
       join(', ', map { "h/1=y qos $_ dup 0 retain 0" } 0, 2),
       "$name: a share that ended");

    $s->unsubscribe('h/1', '$share/g2/h/+');

    # a client without Topic Alias, and messages with one

    $s->subscribe('al/#' => 1);
    $p->publish_wait('al/long', 'x', qos => 1,
                     props => [ [ topic_alias => 3 ] ]);
    $p->publish_wait('', 'y', qos => 1, props => [ [ topic_alias => 3 ] ]);

    for my $payload ('x', 'y') {
        $s->expect(PUBLISH => topic => 'al/long', payload => $payload,
                   props => [],
                   -name => "MQTT-3.3.2-12, $name: an alias ends here");
    }

    $_->disconnect for $p, $s;
}


sub ids {
    my ($p, $s, $topic) = @_;

    $p->publish_wait($topic, 'x', qos => 1);

    return join ' ', sort { $a <=> $b }
                     props($s->recv_message // {}, 'subscription_id');
}


sub text {
    my ($m) = @_;

    return 'nothing' if !$m;

    return "$m->{topic}=$m->{payload} qos $m->{qos} dup $m->{dup}"
           . " retain $m->{retain}";
}

###############################################################################
