#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A device that moves from worker to worker without saying so: the next
# connection goes on where the last one was, with what it had acknowledged the
# moment before.

# What it had not acknowledged comes again, and says so.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 2 * 3 + 2 * 2 * 3;

use constant MOVES => 40;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, servers => spread_server());
$t->run;

my @workers = $t->worker_pids;
my $publisher = $t->client(version => 4);

for my $v (4, 5) {
    my @session = (version => $v, client_id => "moving-$v", clean => 0,
                   $v == 5 ? (props => [ [ session_expiry => 600 ] ]) : ());

    my $c = client_on($t, $workers[0], @session);
    $c->subscribe("a/$v" => 1, "b/$v/+" => 2, "b/#" => 2, "+/$v" => 2);

    my (@expected, @got);

    for my $move (1 .. MOVES) {
        for my $n (1 .. 3) {
            my $payload = "$move-$n";

            $publisher->publish_wait($n == 2 ? "b/$v/x" : "a/$v", $payload,
                                     qos => 2);
            push @expected, $payload;

            my $m = $c->recv_message or last;
            push @got, $m->{payload};
        }

        $c->is_alive;
        $c = $t->client(port => 'spread', @session);
        push @got, 'no session' if !$c->connack->{session_present};
    }

    while (my $m = $c->recv_message(0.2)) {
        push @got, $m->{payload};
    }

    is("@got", "@expected", "$v: every message once, in order");
    cmp_ok($t->total('takeovers'), '>=', MOVES, "$v: it moved");
    is($publisher->is_alive, 1, "$v: the publisher is served");

    $c->disconnect;
    $t->client(version => 4, client_id => "moving-$v")->disconnect;
}

# [MQTT-3.3.1-1]: DUP for what may have been sent on the connection before, and
# for nothing else

for my $v (4, 5) {
    for my $to (@workers) {
        my $where = $to == $workers[0] ? 'same worker' : 'other worker';
        my @session = (version => $v, client_id => "dup-$v-$to", clean => 0,
                       auto_ack => 0);

        push @session, props => [ [ session_expiry => 600 ] ] if $v == 5;

        my $c = client_on($t, $workers[0], @session);
        $c->subscribe("dup/$v/$to" => 1);
        $publisher->publish_wait("dup/$v/$to", $_, qos => 1) for 1 .. 2;
        $c->recv;

        my $m = $c->recv;

        is($m->{dup}, 0, "$v, $where: sent for the first time");

        my $again = client_on($t, $to, @session);

        is(join(' ', map { my $m = $again->recv || {};
                           ($m->{payload} // 'none') . '/' . ($m->{dup} // '')
                         } 1, 2),
           '1/1 2/1', "$v, $where: sent again, MQTT-3.3.1-1");

        $publisher->publish_wait("dup/$v/$to", 3, qos => 1);
        is($again->recv->{dup}, 0, "$v, $where: the next one is new");

        $_->close for $c, $again;
        $t->client(version => 4, client_id => "dup-$v-$to")->disconnect;
    }
}

###############################################################################
