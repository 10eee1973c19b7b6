#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# P2P while things break: the worker of the addressee is killed with messages
# that it was pushed, the sender's one with messages that were acknowledged,
# Redis is away, connections come and go all the time.  What was acknowledged
# arrives, in order; with QoS 2 once.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ suspend /;
use MqttTest::Workers qw/ spread_server client_on socket_on /;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;
my $redis = $t->redis;

my $down = $kafka->topic('command', partitions => 2);
my $chat = $kafka->topic('chat');

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END",
lease_timeout 1s;
        kafka_set auto.commit.interval.ms 10;
        topic command kafka=$down downlink;
        topic chat kafka=$chat uplink;
END
               servers => spread_server('mqtt_send_window 10;'));

$t->run;
ok($t->wait_total(kafka_partitions => 2, 20), 'partitions are assigned');

###############################################################################
# the worker of the addressee is killed: what it had in hand comes again

for my $qos (1, 2) {
    my ($first, $second) = $t->worker_pids;

    my $sender = client_on($t, $second, session("sender-$qos"));
    my $clean = client_on($t, $second, client_id => "clean-$qos");
    my $c = client_on($t, $first, session("device-$qos"), auto_ack => 0);

    # more than its window

    MqttTest::Client->publish_many([ $sender ], count => 50, qos => $qos,
                                   topic => "chat/p2p/device-$qos");
    MqttTest::Client->publish_many([ $clean ], count => 50, qos => $qos,
                                   topic => "chat/p2p/device-$qos",
                                   payload => sub { 50 + $_[1] });
    records("device-$qos", $qos, 'true', 100 .. 149);

    is($c->recv_message->{payload}, $_, "QoS $qos: $_ was pushed") for 0 .. 9;

    ok($t->kill_worker($first), 'its worker is killed');

    # before and after somebody takes over

    MqttTest::Client->publish_many([ $sender ], count => 25, qos => $qos,
                                   topic => "chat/p2p/device-$qos",
                                   payload => sub { 150 + $_[1] });
    records("device-$qos", $qos, 'false', 175 .. 199);

    $c = client_on($t, $second, session("device-$qos"));
    is($c->connack->{session_present}, 1, 'resumed');

    is_deeply([ took($c, 200) ], [ 0 .. 199 ],
              "QoS $qos: all, in order, once");
    $c->expect_alive;

    # nobody has it in hand: offline with its worker

    $sender->publish_wait("chat/p2p/device-$qos", 'x', qos => $qos);
    is($c->recv_message->{payload}, 'x', 'and goes on');

    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    $_->disconnect for $sender, $clean;
    ok($t->wait_total(clients => 0, 5), 'gone');
}

# QoS 2 is exact: what was received does not come again, although the inbox is
# not cut at once

{
    my ($first, $second) = $t->worker_pids;
    my $sender = client_on($t, $second, session('sender'));
    my $c = client_on($t, $first, session('exact'));

    $sender->publish_wait('chat/p2p/exact', $_, qos => 2) for 1 .. 6;
    is_deeply([ took($c, 4) ], [ 1 .. 4 ], 'four are received');
    is($redis->command('LLEN', 'test:{c:exact}p'), 6, 'and kept for a moment');

    ok($t->kill_worker($first), 'its worker is killed');

    $c = client_on($t, $second, session('exact'));
    is_deeply([ took($c, 2) ], [ 5, 6 ], 'the rest comes');
    is($c->recv_message(0.3), undef, 'and nothing else');

    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    $sender->disconnect;
    ok($t->wait_total(clients => 0, 5), 'gone');
}

# a message that comes between the claim of a session and CONNACK, which waits
# for the previous owner

for my $version (4, 5) {
    my ($first, $second) = $t->worker_pids;
    my @session = $version == 5 ? session('between')
                                : (client_id => 'between', clean => 0);

    my $sender = client_on($t, $second, session('sender'));
    my $old = client_on($t, $first, @session, version => $version);
    my $c = socket_on($t, $second, version => $version);
    my $owner = $redis->command('HGET', 'test:{c:between}', 'o');

    suspend($first);
    $c->send(CONNECT => @session, keep_alive => 60);

    ok(wait_for {
        $redis->command('HGET', 'test:{c:between}', 'o') ne $owner
    }, 'claimed');
    $sender->publish_wait('chat/p2p/between', 'x', qos => 1);
    CORE::kill('CONT', $first);

    $c->expect('CONNACK', reason => 0, session_present => 1);
    is(($c->recv_message // {})->{payload}, 'x', 'a message in between');

    $c->disconnect;
    $sender->disconnect;
    ok($t->wait_total(clients => 0, 5), 'gone');
    $t->client(client_id => 'between')->disconnect;
}

###############################################################################
# the sender's worker is killed right behind its acknowledgement

for my $online (0, 1) {
    my ($first, $second) = $t->worker_pids;

    my $sender = client_on($t, $first, session('sender'));
    my $c = client_on($t, $second, session("late-$online"));

    if (!$online) {
        $c->disconnect;
        ok($t->wait_total(clients => 1, 5), 'offline');
    }

    is($sender->publish_wait("chat/p2p/late-$online", 'x', qos => 1)->{reason},
       0, 'acknowledged');
    ok($t->kill_worker($first), 'and killed');

    $c = client_on($t, $second, session("late-$online")) if !$online;

    is(($c->recv_message // {})->{payload}, 'x',
       $online ? 'is there' : 'is there when it comes');

    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    ok($t->wait_total(clients => 0, 5), 'gone');
}

# in the middle of many, which it sends again itself

{
    my ($first, $second) = $t->worker_pids;
    my @session = session('middle');

    client_on($t, $second, @session)->disconnect;

    my $sender = client_on($t, $first, session('sender'));
    my $acked = 0;

    MqttTest::Client->publish_many([ $sender ], count => 500, qos => 1,
        topic => 'chat/p2p/middle', until => sub {
            return @{ $sender->acked } > 100;
        });

    $acked = @{ $sender->acked };
    ok($t->kill_worker($first), 'killed while it sends');

    my $c = client_on($t, $second, @session);
    my @got = took($c, 500, 1);

    cmp_ok(scalar @got, '>=', $acked, 'what was acknowledged is there');
    is_deeply(\@got, [ 0 .. $#got ], 'in order');

    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    ok($t->wait_total(clients => 0, 5), 'gone');
}

###############################################################################
# Redis is away: senders wait, nothing is committed, and it goes on by itself

{
    my @pids = $t->worker_pids;
    my $sender = client_on($t, $pids[0], session('sender'));
    my $online = client_on($t, $pids[1], session('online'));
    my $clean = client_on($t, $pids[0], client_id => 'clean');

    client_on($t, $pids[1], session('offline'))->disconnect;
    ok($t->wait_total(clients => 3, 5), 'offline');

    $redis->pause;
    ok($t->wait_total(redis_up => 0, 20), 'Redis does not answer');

    for my $to (qw/ online offline /) {
        $sender->publish("chat/p2p/$to", $_, qos => 1) for 0 .. 4;
        records($to, 1, 'false', 5 .. 9);
    }

    $sender->publish('chat/p2p/clean', 'needs none', qos => 1);
    is(($clean->recv_message // {})->{payload}, 'needs none',
       'a clean session of the same worker needs no Redis');

    ok(!$sender->recv_wanted(sub { $_[0]{type} eq 'PUBACK' }, 1),
       'nothing is acknowledged');

    my @offsets = $kafka->committed($t->dir, $down);

    $redis->resume;

    my $acks = grep { $sender->recv_wanted(sub { $_[0]{type} eq 'PUBACK' },
                                           20) } 1 .. 11;

    is($acks, 11, 'all are acknowledged when it is back');

    # of the two senders each is in order

    is(in_order(took($online, 10)), '0 1 2 3 4, 5 6 7 8 9', 'online');

    ok($t->wait_total(kafka_inflight => 0, 10), 'the records are done');

    my $c = client_on($t, $pids[1], session('offline'));
    is(in_order(took($c, 10)), '0 1 2 3 4, 5 6 7 8 9', 'offline');
    $c->expect_alive;

    $_->disconnect(props => [ [ session_expiry => 0 ] ]) for $c, $online;
    $_->disconnect for $sender, $clean;
    ok($t->wait_total(clients => 0, 5), 'gone');
}

# Redis refuses to store: a device is told, a record waits

{
    my ($pid) = $t->worker_pids;
    my $sender = client_on($t, $pid, session('sender'));

    client_on($t, $pid, session('full'))->disconnect;

    $t->allow_log(qr/could not be stored in Redis|OOM/);
    $redis->command('CONFIG', 'SET', 'maxmemory', 1);

    is($sender->publish_wait('chat/p2p/full', 'x', qos => 1)->{reason}, 0x80,
       'no memory for it');

    $kafka->write($down, { key => 'k', payload => 'record', headers => [
        [ mqttSecondTopic => '/p2p/full' ], [ cleansessionflag => 'false' ] ]
    });

    ok((wait_for { $t->total('kafka_inflight') == 1 } 10), 'a record waits');
    ok(!(wait_for { $t->total('kafka_inflight') == 0 } 1.5), 'and waits');

    $redis->command('CONFIG', 'SET', 'maxmemory', 0);

    ok($t->wait_total(kafka_inflight => 0, 10), 'until there is some');
    is($sender->publish_wait('chat/p2p/full', 'y', qos => 1)->{reason}, 0,
       'also for the device');

    my $c = client_on($t, $pid, session('full'));
    is_deeply([ took($c, 2) ], [ 'record', 'y' ], 'what was stored');
    $c->expect_alive;
    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    $sender->disconnect;
    ok($t->wait_total(clients => 0, 5), 'gone');
}

###############################################################################
# a client that comes and goes while messages come, at both workers

for my $qos (1, 2) {
    my @pids = $t->worker_pids;
    my @senders = map { client_on($t, $pids[$_], session("churn-$_")) } 0, 1;
    my (@old, %got, %sent);

    client_on($t, $pids[0], session("churn"))->disconnect;

    for my $round (1 .. 60) {
        for my $n (0, 1) {
            $senders[$n]->publish('chat/p2p/churn', "$n $_", qos => $qos)
                for map { $sent{$n}++ // 0 } 1 .. 5;
        }

        my $c = client_on($t, $pids[rand 2], session('churn'));

        for (1 .. int rand 12) {
            my $m = $c->recv_message(0.2) or last;
            my ($from, $n) = split / /, $m->{payload};

            push @{ $got{$from} }, $n;
        }

        if ($round % 3 == 0) {
            push @old, $c;
        } elsif ($round % 3 == 1) {
            $c->abort;
        } else {
            $c->disconnect;
        }

        settle($senders[$_], 5, $qos) for 0, 1;
    }

    my $c = client_on($t, $pids[0], session('churn'));

    while (my $m = $c->recv_message(1)) {
        my ($from, $n) = split / /, $m->{payload};

        push @{ $got{$from} }, $n;
    }

    for my $n (0, 1) {
        my %seen;
        my @order = grep { !$seen{$_}++ } @{ $got{$n} };

        is_deeply(\@order, [ 0 .. 299 ], "QoS $qos: all of $n, in order");
        is(scalar @{ $got{$n} }, 300, "QoS $qos: once") if $qos == 2;
    }

    $c->expect_alive;
    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    $_->disconnect(props => [ [ session_expiry => 0 ] ]) for @senders;
    $_->close for @old;
    ok($t->wait_total(clients => 0, 5), 'gone');
}

MqttTest::Client->close_all;

for my $id ('sender', 'sender-1', 'sender-2') {
    $t->client(client_id => $id)->disconnect;
}

my $empty = wait_for { !$t->redis->keys('test:{[cfx]*') };
ok($empty, 'nothing is left in Redis')
    or diag(join ' ', $t->redis->keys('test:{[cfx]*'));

done_testing();

###############################################################################

sub session {
    my ($id) = @_;

    return (client_id => $id, clean => 0,
            props => [ [ session_expiry => 600 ] ]);
}


# written, and done unless Redis is away

sub records {
    my ($id, $qos, $flag, @payloads) = @_;

    my $consumed = $t->total('kafka_consumed');

    $kafka->write($down, map { {
        key => 'k', payload => $_, partition => 0,
        headers => [ [ mqttSecondTopic => "/p2p/$id" ], [ qoslevel => $qos ],
                     [ cleansessionflag => $flag ] ],
    } } @payloads);

    return if !$t->total('redis_up');

    wait_for {
        $t->total('kafka_consumed') >= $consumed + @payloads
            && !$t->total('kafka_inflight')
    } or fail("the records for $id are done");
}


sub took {
    my ($c, $count, $timeout) = @_;

    my @got;

    while (@got < $count) {
        my $m = $c->recv_message($timeout // 10) or last;

        push @got, $m->{payload} if !@got || $m->{payload} ne $got[-1];
    }

    return @got;
}


# those of the device, those of Kafka

sub in_order {
    my @device = grep { $_ < 5 } @_;
    my @kafka = grep { $_ > 4 } @_;

    return "@device, @kafka";
}


sub settle {
    my ($c, $count, $qos) = @_;

    for (1 .. $count) {
        my $type = $qos == 2 ? 'PUBREC' : 'PUBACK';
        my $ack = $c->recv_wanted(sub { $_[0]{type} eq $type });

        if (!$ack || $ack->{reason}) {
            fail("$type");
            return;
        }

        next if $qos == 1;

        $c->send(PUBREL => packet_id => $ack->{packet_id});
        $c->recv_wanted(sub { $_[0]{type} eq 'PUBCOMP' });
    }
}

###############################################################################
