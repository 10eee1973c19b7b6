#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Redis Cluster: slots move and primaries go away under traffic.  Nothing that
# was acknowledged is lost, the order is kept, other slots do not wait.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp;
use MqttTest;
use MqttTest::Nodes;
use MqttTest::RedisCluster;
use MqttTest::Util qw/ wait_for /;
use Test::More tests => 29;

###############################################################################

my $dir = File::Temp->newdir('mqtt-redis-XXXXXX', TMPDIR => 1);
my $redis = MqttTest::RedisCluster->new(dir => $dir->dirname);

my ($t, $other) = two_nodes(redis => $redis, workers => 2);

$_->allow_log(qr/Redis is unavailable/) for $t, $other;

# a PUBACK waits for the one before it, so others have a client of their own

my $publisher = $t->client(version => 4);
my $second = $t->client(version => 4);
my @nodes = $redis->primaries;
my $n = 0;

# sessions whose logs are at all nodes

my @topics = map { "log/$_" } 1 .. 12;
my %owners = map { $redis->owner(log_slot($_))->port => 1 } @topics;

is(keys %owners, 3, 'the logs are spread over all nodes');

my @session = (version => 4, client_id => 'away', clean => 0);
my $c = $t->client(@session);

$c->subscribe(map { ($_ => 1) } @topics);
$c->disconnect;

is_deeply([ publish(@topics) ], [], 'messages for it are acknowledged');
is($t->total('redis_moved'), 0, 'no command took the wrong way');

# a slot moves step by step

my $slot = log_slot($topics[0]);
my $from = $redis->owner($slot);
my ($to) = grep { $_->port != $from->port } @nodes;

$redis->move_begin($slot, $to);

# scripts have keys that are not there, so what is for this slot waits

is_deeply([ publish_by($second, @topics[1 .. 11]) ], [],
          'others are acknowledged while a slot is to move');

my @sent = map { send_one($topics[0]) } 1 .. 20;

# one key of two is there

$redis->move_keys($from, $slot, $to, 1);

push @sent, map { send_one($topics[0]) } 1 .. 20;

is_deeply([ publish_by($second, @topics[1 .. 11]) ], [],
          'others are acknowledged while its keys are at two nodes');

push @sent, map { send_one($topics[0]) } 1 .. 20;

$redis->move_keys($from, $slot, $to);

ok((wait_for { $t->total('redis_asked') > 0 }), 'the other node is asked');
is($t->total('redis_moved'), 0, 'the slot has not moved yet');

push @sent, map { send_one($topics[0]) } 1 .. 20;
$redis->move_end($from, $slot, $to);
push @sent, map { send_one($topics[0]) } 1 .. 20;

is_deeply([ unacked(@sent) ], [], 'acknowledged when it has moved');
cmp_ok($t->total('redis_moved'), '>', 0, 'by a redirection');

my $moved = $t->total('redis_moved');

is_deeply([ publish(@topics) ], [], 'and later');
is($t->total('redis_moved'), $moved, 'without another one');

$c = $t->client(@session);
is($c->connack->{session_present}, 1, 'the session is there');

my %got = take($c, $n);
my @wrong = grep {
    "@{ $got{$_} // [] }" ne join ' ', sort { $a <=> $b } @{ $got{$_} // [] }
} @topics;

is(scalar(map { @$_ } values %got), $n, 'with all that was acknowledged');
is_deeply(\@wrong, [], 'in order');
$c->is_alive;
$c->disconnect;

# a slot has moved, its old node still owes replies: what comes new waits

$slot = log_slot($topics[0]);
$from = $redis->owner($slot);
($to, my $third) = grep { $_->port != $from->port } @nodes;

my ($sign) = grep { $redis->owner(log_slot($_))->port == $to->port } @topics;

$redis->move_begin($slot, $to);
$redis->move_keys($from, $slot, $to);
$redis->move_begin(log_slot($sign), $third);
$from->pause;

@sent = map { send_one($topics[0]) } 1 .. 20;
$publisher->is_alive;

$_->command('CLUSTER', 'SETSLOT', $slot, 'NODE',
            $to->command('CLUSTER', 'MYID')) for $to, $third;

$moved = $t->total('redis_moved');
$redis->move_end($to, log_slot($sign), $third);

push @sent, send_one($sign);
ok(wait_for { $t->total('redis_moved') > $moved },
   'another slot is redirected, so the map is asked for');

# of one that does not hang, within a second

$publisher->expect_nothing(1.5, 'nothing is acknowledged yet');

push @sent, map { send_one($topics[0]) } 1 .. 5;

$publisher->is_alive;
$from->resume;

is_deeply([ unacked(@sent) ], [], 'all are when the old node answers');

$from->command('CLUSTER', 'SETSLOT', $slot, 'NODE',
               $to->command('CLUSTER', 'MYID'));

$c = $t->client(@session);
%got = take($c, 26);
is_deeply($got{ $topics[0] }, [ $n - 25 .. $n - 6, $n - 4 .. $n ],
          'the new ones are behind the old ones');
$c->is_alive;
$c->disconnect;

# the inbox of a worker moves: its reader follows

my $subscriber = $other->client(version => 4);

$subscriber->subscribe('far' => 1);
wanted($t, $other, 'far');

for my $owner (grep { /^@{[ node_id($other) ]}:/ } @{ nodes_members($other) })
{
    my $slot = $redis->slot("test:{w:$owner}i");
    my $from = $redis->owner($slot);
    my ($to) = grep { $_->port != $from->port } @nodes;

    $redis->move_begin($slot, $to);
    $redis->move_end($from, $slot, $to);
}

$publisher->publish_wait('far', "x$_", qos => 1) for 1 .. 5;
is_deeply([ map { ($subscriber->recv_message(10) || {})->{payload} } 1 .. 5 ],
          [ map { "x$_" } 1 .. 5 ], 'a message reaches the other node');

# a primary without a replica goes away

my $gone = $redis->owner(log_slot($topics[0]));
my @there = grep { $redis->owner(log_slot($_))->port != $gone->port } @topics;
my $retained = (grep {
    $redis->owner($redis->slot("test:{r:p$_}m"))->port == $gone->port
} 1 .. 100)[0];

$gone->pause;

my $id = $publisher->publish("p$retained/x", 'kept', qos => 1, retain => 1);

is_deeply([ publish_by($second, @there) ], [],
          'the slots of others are served');
$publisher->expect_nothing(0.3, 'those of a primary that hangs wait');

$gone->kill;

wait_for { $t->total('redis_up') < 2 };
cmp_ok($t->total('redis_up'), '<', 2, 'the status tells of it');
is_deeply([ publish_by($second, @there) ], [],
          'the slots of others are served again');
$publisher->expect_nothing(0.3, 'those of one that is gone wait');

$gone->start;

my $puback = $publisher->recv(20) || {};
is($puback->{packet_id}, $id, 'and are served when it is back');
ok($t->wait_ready, 'the status tells of it');

$c = $t->client(version => 4);
$c->subscribe("p$retained/x" => 0);
is(($c->recv_message || {})->{payload}, 'kept', 'retained');
ok($publisher->is_alive, 'nobody was closed');

# one address is one Redis: a node of a cluster is not taken for it

my $single = MqttTest->new(redis => $nodes[0]);

$single->allow_log(qr/Redis is unavailable/);
$single->write_conf;
$single->run(ready => 0);

ok($single->wait_log(qr/Redis is unavailable: refused: "MOVED /),
   'without "cluster" it is refused');

###############################################################################

sub log_slot { return $redis->slot("test:{f:$_[0]}") }


sub send_one {
    my ($topic, $by) = @_;

    return ($by // $publisher)->publish($topic, ++$n, qos => 1);
}


# what was not acknowledged

sub unacked { return unacked_by($publisher, @_) }


sub unacked_by {
    my ($by, @sent) = @_;

    my %open = map { $_ => 1 } @sent;

    while (%open) {
        my $p = $by->recv(10) or last;

        delete $open{ $p->{packet_id} } if $p->{type} eq 'PUBACK';
    }

    return sort keys %open;
}


sub publish { return publish_by($publisher, @_) }


sub publish_by {
    my ($by, @topics) = @_;

    return unacked_by($by, map { send_one($_, $by) } @topics);
}


sub take {
    my ($c, $n) = @_;

    my %got;

    while ($n-- > 0) {
        my $m = $c->recv_message(10) or last;

        push @{ $got{ $m->{topic} } }, $m->{payload};
    }

    return %got;
}

###############################################################################
