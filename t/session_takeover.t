#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A device that moves from worker to worker without saying so: the next
# connection goes on where the last one was, with what it had acknowledged the
# moment before.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 2 * 3;

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

###############################################################################
