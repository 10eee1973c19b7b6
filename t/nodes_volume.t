#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Many messages between two nodes at once, in both directions: each arrives
# once, and those of a publisher in their order; many filters with wildcards,
# more than are told one by one.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Nodes;
use Test::More tests => 2 * 5 + 7;

use constant { PUBLISHERS => 3, EACH => 400, FILTERS => 600 };

###############################################################################

my ($first, $second) = two_nodes(workers => 2,
    server => 'mqtt_max_queued 10000; mqtt_max_subscriptions 1000;');

my @nodes = ($first, $second);

for my $qos (1, 2) {
    my @subscribers = map {
        $_->client(version => 4), $_->client(version => 5)
    } @nodes;

    $_->subscribe("volume/$qos/+" => $qos) for @subscribers;
    wanted($first, $second, "volume/$qos/+");
    wanted($second, $first, "volume/$qos/+");

    my @publishers = map { $_->client(version => 4) }
                     map { ($_) x PUBLISHERS } @nodes;
    my $total = @publishers * EACH;
    my $drain = sub { take($_) for @subscribers; return 0 };

    my $acked = MqttTest::Client->publish_many(\@publishers,
        count => EACH, qos => $qos, window => 20,
        topic => sub { "volume/$qos/" . $_[1] % 3 },
        payload => sub { "$_[0]{client_id} $_[1]" },
        until => $drain);

    is($acked, $total, "QoS $qos: all are acknowledged");

    for my $s (@subscribers) {
        wait_for { take($s); keys %{ $s->{seen} } == $total } 20;

        is_deeply([ scalar keys %{ $s->{seen} }, $s->{disorder} // 0,
                    scalar grep { $_ > 1 } values %{ $s->{seen} } ],
                  [ $total, 0, 0 ], "QoS $qos: all, in order, once");
    }

    $_->disconnect for @subscribers, @publishers;
}

# filters with wildcards: the first thousand of a worker one by one, then by
# first levels; of four clients two are at the same worker

my @clients = map { $second->client(version => 4) } 1 .. 4;
my $publisher = $first->client(version => 4);

sub filters {
    my ($client, $i) = @_;

    return map {; "client$client/$i/$_/+" } 1 .. 100;
}

for my $client (0 .. 3) {
    for my $i (1 .. FILTERS / 100) {
        $clients[$client]->subscribe(map { $_ => 1 } filters($client, $i));
    }
}

wait_for { told() >= 1000 };
polled($first);

my $told = told();
cmp_ok($told, '<', 4 * FILTERS, 'many filters: not all of them one by one');

for my $client (0 .. 3) {
    my @topics = map { "client$client/$_/x" } '1/1', FILTERS / 100 . '/100';

    $publisher->publish_wait($_, $_, qos => 1) for @topics;

    is_deeply([ map { ($clients[$client]->recv_message || {})->{payload} }
                @topics ], \@topics, "many filters: client $client");
}

for my $client (0 .. 3) {
    for my $i (1 .. FILTERS / 100) {
        $clients[$client]->unsubscribe(filters($client, $i));
    }
}

ok(wait_for { !$first->redis->keys('test:{n}o:*') }, 'all are forgotten');
is($first->total('inbox_dropped'), 0, 'nothing was dropped');


sub told {
    my $n = 0;

    $n += $first->redis->command('SCARD', $_)
        for $first->redis->keys('test:{n}o:*');

    return $n;
}


sub take {
    my ($s) = @_;

    while (my $m = $s->recv_message(0.001)) {
        my ($publisher, $i) = split / /, $m->{payload};

        next if $s->{seen}{ $m->{payload} }++;

        $s->{disorder}++ if $i < ($s->{last}{$publisher} // -1);
        $s->{last}{$publisher} = $i;
    }
}

###############################################################################
