#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# "redis ... wait=1": nothing is acknowledged before a replica has it, so a
# failover loses nothing that was.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp;
use MqttTest;
use MqttTest::RedisCluster;
use MqttTest::Util qw/ wait_for /;
use Test::More tests => 24;

###############################################################################

my $dir = File::Temp->newdir('mqtt-redis-XXXXXX', TMPDIR => 1);

# one primary, one replica

my $redis = MqttTest::Redis->new_single(dir => $dir->dirname,
                                        parameters => 'wait=1 timeout=2s',
                                        args => [ '--repl-diskless-sync-delay',
                                                  0 ]);

mkdir "$dir/replica" or die "mkdir: $!\n";

my $replica = MqttTest::Redis->new_single(
    dir => "$dir/replica", args => [ '--replicaof', '127.0.0.1', $redis->port ]
);

$redis->wait_replicas(1) or die "no replica\n";

my $t = MqttTest->new(redis => $redis);

$t->write_conf;
$t->run;

my $publisher = $t->client(version => 4);
my @session = (version => 4, client_id => 'away', clean => 0);

my $c = $t->client(@session);
$c->subscribe('a' => 1);
$c->disconnect;

is($publisher->publish_wait('a', 1, qos => 1)->{type}, 'PUBACK',
   'acknowledged with a replica');
is($publisher->publish_wait('r', 'x', qos => 1, retain => 1)->{type}, 'PUBACK',
   'retained with a replica');
is($t->total('redis_waits_failed'), 0, 'it was there in time');

$replica->pause;

my @sent = map { $publisher->publish('a', $_, qos => 1) } 2 .. 11;
push @sent, $publisher->publish('r', 'y', qos => 1, retain => 1);

$publisher->expect_nothing(1, 'not acknowledged without one');
ok((wait_for { $redis->command('HGET', 'test:{f:a}', 'n') == 11 }),
   'though it is written');
cmp_ok($t->total('redis_waits_failed'), '>', 0, 'the status tells of it');
like($t->error_log, qr/0 of 1 replicas have what was written/, 'and the log');
is($t->total('redis_up'), 1, 'Redis itself is there');

ok($publisher->is_alive, 'clients are served');

is($t->socket(version => 4)->connect->{reason}, 3,
   'new ones are refused');

$replica->resume;

is(acked($publisher, @sent), @sent, 'acknowledged when it is back');

$c = $t->client(@session);
is_deeply([ take($c, 11) ], [ 1 .. 11 ], 'each is there once, in order');
$c->is_alive;
$c->disconnect;

# the connection breaks while replies are held: they are asked for again

$replica->pause;
@sent = map { $publisher->publish('a', $_, qos => 1) } 12 .. 21;
$publisher->expect_nothing(0.5, 'not acknowledged');

$redis->command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
$publisher->expect_nothing(0.5, 'nor when the connection is made again');
$replica->resume;

is(acked($publisher, @sent), @sent, 'acknowledged with the replica');
$t->wait_ready;

$c = $t->client(@session);
is_deeply([ take($c, 10) ], [ 12 .. 21 ], 'each is there once, in order');
$c->is_alive;
$c->disconnect;

###############################################################################
# a cluster fails over to a replica that was behind

mkdir "$dir/cluster" or die "mkdir: $!\n";

my $cluster = MqttTest::RedisCluster->new(
    dir => "$dir/cluster", replicas => 1, parameters => 'wait=1 timeout=2s',
);

my $u = MqttTest->new(redis => $cluster);

$u->allow_log(qr/Redis is unavailable/);
$u->write_conf(workers => 2);
$u->run;

$publisher = $u->client(version => 4);
$c = $u->client(@session);
$c->subscribe('a' => 1);
$c->disconnect;

my $primary = $cluster->owner($cluster->slot('test:{f:a}'));
my ($heir) = $cluster->replicas_of($primary);

@sent = map { $publisher->publish('a', $_, qos => 1) } 1 .. 20;
is(acked($publisher, @sent), @sent, 'acknowledged by the cluster');

$heir->pause;
@sent = map { $publisher->publish('a', $_, qos => 1) } 21 .. 40;
$publisher->expect_nothing(0.3, 'not without the replica');
ok((wait_for { $primary->command('HGET', 'test:{f:a}', 'n') == 40 }),
   'though it is written');

$primary->kill;
$heir->resume;

push @sent, map { $publisher->publish('a', $_, qos => 1) } 41 .. 60;

wait_for { ($heir->command('ROLE') || [ '' ])->[0] eq 'master' } 20;
is($heir->command('ROLE')->[0], 'master', 'the replica takes over');

$publisher->expect_nothing(1, 'nothing is acknowledged by it alone');

# the old one comes back as its replica

$primary->start;

is(acked($publisher, @sent), @sent, 'all are when it has a replica');
ok($u->wait_ready, 'all slots are served');

$c = connected(@session);
is_deeply([ take($c, 60) ], [ 1 .. 60 ], 'each is there once, in order');
$c->is_alive;

###############################################################################

sub acked {
    my ($client, @sent) = @_;

    my %open = map { $_ => 1 } @sent;

    while (%open) {
        my $p = $client->recv(20) or last;

        delete $open{ $p->{packet_id} } if $p->{type} eq 'PUBACK';
    }

    return @sent - keys %open;
}


sub take {
    my ($c, $n) = @_;

    my @got;

    while (my $m = $c->recv_message(@got < $n ? 10 : 0.2)) {
        push @got, $m->{payload};
    }

    return @got;
}


# a claim fails as long as there are too few replicas

sub connected {
    my (@args) = @_;

    my $c;

    wait_for { $c = eval { $u->client(@args) } };

    return $c;
}

###############################################################################
