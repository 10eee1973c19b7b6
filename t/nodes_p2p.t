#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# P2P between two nodes: to a client that is connected at the other one, from
# devices and from Kafka, in order; to a session that is offline, and resumed
# at any of them; to one that moves between them all the time.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Kafka;
use MqttTest::Nodes;
use Test::More;

###############################################################################

my $kafka = MqttTest::Kafka->shared;
my $down = $kafka->topic('command', partitions => 4);
my $chat = $kafka->topic('chat');

my ($first, $second) = two_nodes(kafka => 1, workers => 2,
                                 server => 'mqtt_send_window 10;',
                                 gateway => <<"END");
kafka_set group.id p2p-$down;
        topic command kafka=$down downlink;
        topic chat kafka=$chat uplink;
END

ok((wait_for {
    my @n = map { $_->total('kafka_partitions') } $first, $second;

    $n[0] && $n[1] && $n[0] + $n[1] == 4;
} 30), 'both nodes consume');

my %sender = map { $_ => { clean => client($_, 'clean', 0),
                           persistent => client($_, 'persistent', 600) } }
             'first', 'second';

###############################################################################
# online at the other node

for my $case ([ 'first', 'second' ], [ 'second', 'first' ]) {
    my ($from, $to) = @$case;

    for my $expiry (0, 600) {
        my $id = "$to/$expiry";
        my $c = node($to)->client(session($id, $expiry));
        my $frames = node($to)->total('inbox_frames_in');

        for my $sender (qw/ clean persistent /) {
            for my $qos (0 .. 2) {
                is(publish($sender{$from}{$sender}, $id, "QoS $qos", $qos), 0,
                   "$from to $id, $sender, QoS $qos");
                is_deeply(seen($c), [ "chat/p2p/$id", "QoS $qos", $qos ],
                          'is there');
            }
        }

        cmp_ok(node($to)->total('inbox_frames_in') - $frames, '>=', 6,
               'through the inbox of its worker');

        # whatever node has the partition

        for my $partition (0 .. 3) {
            for my $qos (0 .. 2) {
                $kafka->write($down, record("$id", $qos, $partition));
                is_deeply(seen($c), [ "command/p2p/$id", 'x', $qos ],
                          "from partition $partition, QoS $qos");
            }
        }

        # from both nodes, in order

        my @senders = map { $sender{$_}{persistent} } $from, $to;

        MqttTest::Client->publish_many(\@senders,
            count => 200, qos => 1, topic => "chat/p2p/$id",
            payload => sub { $_[0]->client_id . " $_[1]" });

        my %got;

        for (1 .. 400) {
            my $m = $c->recv_message or last;
            my ($who, $n) = split / /, $m->{payload};

            push @{ $got{$who} }, $n;
        }

        is_deeply($got{$_->client_id}, [ 0 .. 199 ],
                  $_->client_id . ' in order') for @senders;

        $c->expect_alive('and nothing else');
        $c->disconnect;
        ok($_->wait_total(clients => 2, 5), 'gone') for $first, $second;

        # offline, as both nodes see it

        for my $sender (qw/ clean persistent /) {
            my $reason = $expiry && $sender eq 'persistent' ? 0 : 0x10;

            is(publish($sender{$_}{$sender}, $id, "stored by $_", 1), $reason,
               "offline, from $_, $sender") for $from, $to;
        }

        $c = node($from)->client(session($id, $expiry));

        if ($expiry) {
            is(seen($c)->[1], "stored by $_", "is resumed with that of $_")
                for $from, $to;
        }

        $c->expect_alive('and nothing else');
        $c->disconnect(props => $expiry ? [ [ session_expiry => 0 ] ] : []);
        ok($_->wait_total(clients => 2, 5), 'gone') for $first, $second;
    }
}

###############################################################################
# one that moves, with and without DISCONNECT, while messages are under way

for my $qos (1, 2) {
    my (%sent, %got, $old);

    my $take = sub {
        my ($c, $timeout) = @_;

        my $m = $c->recv_message($timeout) or return;
        my ($who, $n) = split / /, $m->{payload};

        push @{ $got{$who} }, $n;

        return 1;
    };

    for my $round (1 .. 20) {
        for my $from (qw/ first second /) {
            my $sender = $sender{$from}{persistent};

            $sender->publish("chat/p2p/mover-$qos", "$from $_",
                             qos => $qos)
                for map { $sent{$from}++ // 0 } 1 .. 8;
        }

        my $c = ($round % 3 ? $second : $first)->client(
            session("mover-$qos", 600));

        $round == 1 or $c->connack->{session_present}
            or fail('the session is there');

        $round == 1 or $take->($c) or fail('something comes') for 1 .. 5;

        for my $from (qw/ first second /) {
            settle($sender{$from}{persistent}, 8, $qos);
        }

        # every other one is just taken over

        $round % 2 ? $c->disconnect : push @{ $old }, $c;
    }

    my $c = $second->client(session("mover-$qos", 600));

    1 while $take->($c, 1);

    $c->expect_alive;
    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    $_->close for @$old;

    for my $from (qw/ first second /) {

        # nobody was there before the first round

        my @all = grep { $_ >= 8 } @{ $got{$from} };
        my %count;

        $count{$_}++ for @all;

        is_deeply([ sort { $a <=> $b } keys %count ], [ 8 .. 159 ],
                  "QoS $qos: all of $from");
        is_deeply([ grep { $count{$_} > 1 } keys %count ], [],
                  "QoS $qos: once") if $qos == 2;

        # what comes again comes in the order in which it came first

        my %seen;
        my @order = grep { !$seen{$_}++ } @all;

        is_deeply(\@order, [ 8 .. 159 ], "QoS $qos: in order");
    }

    ok($_->wait_total(clients => 2, 5), 'gone') for $first, $second;
}

is($_->total('inbox_dropped'), 0, 'no frame was dropped') for $first, $second;

my @left;
my $empty = wait_for {
    @left = grep { !/\{c:[a-z]+-[a-z]+\}$/ } $first->redis->keys('test:{c:*');

    !@left;
};

ok($empty, 'nothing is left in Redis') or diag("@left");

done_testing();

###############################################################################

sub node { return $_[0] eq 'first' ? $first : $second }


sub session {
    my ($id, $expiry) = @_;

    return (client_id => $id, clean => 0,
            props => [ [ session_expiry => $expiry ] ]);
}


sub client {
    my ($node, $kind, $expiry) = @_;

    return node($node)->client(session("$node-$kind", $expiry),
                               clean => !$expiry);
}


sub record {
    my ($id, $qos, $partition) = @_;

    return { key => 'k', payload => 'x', partition => $partition,
             headers => [ [ mqttSecondTopic => "/p2p/$id" ],
                          [ qoslevel => $qos ],
                          [ cleansessionflag => 'false' ] ] };
}


sub publish {
    my ($c, $id, $payload, $qos) = @_;

    my $packet_id = $c->publish("chat/p2p/$id", $payload, qos => $qos);

    return 0 if $qos == 0;

    return settle($c, 1, $qos);
}


# the reason of the last of so many acknowledgements

sub settle {
    my ($c, $count, $qos) = @_;

    my $reason;

    for (1 .. $count) {
        my $type = $qos == 2 ? 'PUBREC' : 'PUBACK';
        my $ack = $c->recv_wanted(sub { $_[0]{type} eq $type });

        if (!$ack) {
            fail("$type comes");
            return;
        }

        $reason = $ack->{reason};
        next if $qos == 1;

        $c->send(PUBREL => packet_id => $ack->{packet_id});
        $c->recv_wanted(sub { $_[0]{type} eq 'PUBCOMP' });
    }

    return $reason;
}


sub seen {
    my ($c) = @_;

    my $m = $c->recv_message or return [ '', '', '' ];

    return [ @$m{qw/ topic payload qos /} ];
}

###############################################################################
