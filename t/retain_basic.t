#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Retained messages, 3.3.1.3: stored, replaced, removed and sent to those who
# subscribe, in all versions.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 3 * 14 + 9;

###############################################################################

my $t = MqttTest->new;

$t->write_conf;
$t->run;

for my $version (3, 4, 5) {
    note("version $version");

    my $c = $t->client(version => $version);
    my $s = $t->client(version => $version);
    my $top = "v$version";

    # every QoS, and the smaller one of publish and subscription

    for my $qos (0 .. 2) {
        $c->publish_wait("$top/qos$qos", "payload $qos", qos => $qos,
                         retain => 1);
    }

    for my $qos (0 .. 2) {
        for my $granted (0 .. 2) {
            my $name = "published with $qos, granted $granted";
            my $expected = $qos < $granted ? $qos : $granted;

            $s->subscribe("$top/qos$qos" => $granted);
            my $m = $s->recv_message;

            is(text($m), "$top/qos$qos=payload $qos qos $expected retain 1",
               $name);
        }
    }

    # to a subscriber that is there already it is a message like any other

    $c->publish_wait("$top/qos1", 'newer', qos => 1, retain => 1);
    is(text($s->recv_message), "$top/qos1=newer qos 1 retain 0", 'live');

    $s->unsubscribe("$top/qos1");
    $s->subscribe("$top/qos1" => 1);
    is(text($s->recv_message), "$top/qos1=newer qos 1 retain 1", 'replaced');

    # a message without RETAIN changes nothing

    $c->publish_wait("$top/qos1", 'passing', qos => 1);
    is(text($s->recv_message), "$top/qos1=passing qos 1 retain 0",
       'without RETAIN');

    my $other = $t->client(version => $version);

    $other->subscribe("$top/qos1" => 1);
    is(text($other->recv_message), "$top/qos1=newer qos 1 retain 1",
       'the retained one stays');
    $other->disconnect;

    # an empty payload removes it; as a message it is delivered

    $c->publish_wait("$top/qos1", '', qos => 1, retain => 1);
    is(text($s->recv_message), "$top/qos1= qos 1 retain 0",
       'the empty message');

    $s->unsubscribe("$top/qos1");
    $s->subscribe("$top/qos1" => 1);
    $s->is_alive;
    $_->disconnect for $c, $s;
}

# PUBLISH and SUBSCRIBE pipelined by one client

my $c = $t->client(version => 4);

$c->queue(PUBLISH => topic => 'pipe/line', payload => 'x', retain => 1);
$c->queue(SUBSCRIBE => packet_id => 9, filters => [ [ 'pipe/#' => 0 ] ]);
$c->flush;
$c->expect('SUBACK', packet_id => 9, -name => 'SUBACK comes first');
$c->expect('PUBLISH', topic => 'pipe/line', payload => 'x', retain => 1);

# what was removed is gone from Redis, with everything around it

$c->publish_wait("v$_/qos0", '', retain => 1, qos => 1) for 3 .. 5;
$c->publish_wait("v$_/qos2", '', retain => 1, qos => 1) for 3 .. 5;
$c->publish_wait('pipe/line', '', retain => 1, qos => 1);
$c->publish_wait('never/there', '', retain => 1, qos => 1);

ok(wait_for { !$t->redis->keys('*{r*') }, 'no keys are left')
    or diag(join ' ', $t->redis->keys('*{r*'));

is($t->total('retained_stored'), 3 * 4 + 1, 'stored');
is($t->total('retained_removed'), 3 * 3 + 1, 'removed');
is($t->total('retained_sent'), 3 * 11 + 1, 'sent');

# a large one

my $large = join '', map { chr(65 + $_ % 26) } 1 .. 300_000;

$c->publish_wait('large', $large, retain => 1, qos => 1);

my $s = $t->client(version => 5);

$s->subscribe('large' => 1, 'large/+' => 1, 'large/#' => 1);

for my $n (1 .. 2) {
    my $m = $s->recv_message;
    ok($m && $m->{payload} eq $large, "large message, $n");
}

$s->expect_nothing;

###############################################################################

sub text {
    my ($m) = @_;

    return 'nothing' if !$m;

    return "$m->{topic}=$m->{payload} qos $m->{qos} retain $m->{retain}";
}

###############################################################################
