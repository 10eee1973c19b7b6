#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A retained message is found by who subscribes right behind its publish, also
# when Redis gets the look-up first: in another worker, under a new parent, and
# when it has no acknowledgement that could be waited for, [MQTT-3.3.1-5],
# [MQTT-3.3.1-9].

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 3 * 4 + 4 + 3 + 3;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my ($one, $two) = $t->worker_pids;
my $parent = 0;

for my $case ([ $one, $one ], [ $one, $two ], [ $two, $one ]) {
    my ($from, $to) = @$case;
    my $where = $from == $to ? 'one worker' : 'two workers';

    for my $make (sub { "$_[0]/a" }, sub { "$_[0]/+" }, sub { '#' },
                  sub { '+/a' })
    {
        $parent++;
        look_up_first($where, $from, $to, "p$parent/a", $make->("p$parent"));
    }
}

# all by one client and in one segment

for my $filter ('one/b', 'two/#', '#', '+/b') {
    my $topic = $filter =~ m{^(\w+)/} ? "$1/b" : 'n' . ++$parent . '/b';
    my $c = $t->client_at($one);

    $c->queue(PUBLISH => topic => $topic, payload => 'x', retain => 1);
    $c->queue(SUBSCRIBE => packet_id => 1, filters => [ [ $filter, 0 ] ]);
    $c->flush;

    ok(found($c, $topic), "published and subscribed at once: $filter");
    $c->disconnect;
}

# a live message, then the same one as a retained one

for my $case ([ $one, $one ], [ $one, $two ], [ $two, $one ]) {
    my ($from, $to) = @$case;
    my $p = $t->client_at($from);
    my $s = $t->client_at($to);
    my $missed = 0;

    for my $n (1 .. 50) {
        my $topic = "live/$from/$to/$n";

        $s->subscribe($topic => 0);
        $p->publish($topic, 'x', retain => 1);
        $s->recv_message;
        $s->unsubscribe($topic);
        $s->subscribe($topic => 0);
        $missed++ if !found($s, $topic);
    }

    is($missed, 0, 'seen live, then found');
    $_->disconnect for $p, $s;
}

# a worker that is stuck in its write is not waited for for ever

my $stuck = $t->client_at($one);
my ($p, $s) = map { $t->client_at($two) } 1, 2;

$t->redis->pause;
$stuck->publish('stuck/a', 'x', retain => 1);
ok($stuck->is_alive, 'a write is under way');
kill STOP => $one;
$t->redis->resume;

my $start = now();

$p->publish_wait('stuck/b', 'y', qos => 1, retain => 1);
$s->subscribe('stuck/b' => 0);

ok(found($s, 'stuck/b'), 'the worker is stopped, others find their messages');
cmp_ok(now() - $start, '>=', 0.9, 'after a second');

kill CONT => $one;

$_->disconnect for $stuck, $p, $s;

###############################################################################

# Redis reads what one connection has sent as a whole: with a command in front
# of it the look-up comes before the write of the other worker.

sub look_up_first {
    my ($where, $from, $to, $topic, $filter) = @_;

    my $p = $t->client_at($from);
    my $first = $t->client_at($to);
    my $s = $t->client_at($to);

    $t->redis->pause;

    $first->subscribe('nothing/here' => 0);
    $p->publish($topic, 'x', retain => 1);
    $p->is_alive or diag('the publisher is dead');
    $s->subscribe($filter => 0);
    $s->is_alive or diag('the subscriber is dead');

    $t->redis->resume;

    ok(found($s, $topic), "$where: $filter");

    $_->disconnect for $p, $first, $s;
}


# wildcards find what was there before, too

sub found {
    my ($c, $topic) = @_;

    while (my $m = $c->recv_message(5)) {
        return 1 if $m->{topic} eq $topic && $m->{retain};
    }

    return 0;
}

###############################################################################
