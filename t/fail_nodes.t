#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Two nodes, and a worker of one stands still, Redis is started anew, a node is
# killed: what was acknowledged arrives, nobody waits for the dead, and all is
# as before afterwards.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Nodes;
use MqttTest::Util qw/ suspend /;
use Test::More tests => 13 + 2 * 5 + 18;

###############################################################################

my ($first, $second) = two_nodes(workers => 1,
                                 gateway => 'takeover_timeout 300s;');

my $publisher = $first->client(version => 4);
my $n = 0;

# a worker that stands still: frames wait for it

my $s = $second->client(version => 4);
$s->subscribe('stop/+' => 1);
wanted($first, $second, 'stop/+');

my ($pid) = $second->worker_pids;
my ($inbox) = grep { index($_, node_id($second)) >= 0 }
              $first->redis->keys('test:{w:*}i'),
              inbox_key($second);

suspend($pid);

my @sent = publish('stop/x', 20);
is(acked(@sent), 20, 'stopped: acknowledged as soon as they wait for it');
is($first->redis->command('XLEN', $inbox), 20, 'stopped: they do');

# so many that no more are taken; frames that say nothing, from nobody

my $script = <<'END';
for i = 1, tonumber(ARGV[2]) do
    redis.call('XADD', KEYS[1], '*', 'f', ARGV[1])
end
END

$first->redis->command('EVAL', $script, 1, $inbox,
                       pack('Q>4C', 1, 0xabc, 0, 1, 7), 10_000);

push @sent, publish('stop/x', 1);
is(acked($sent[-1]), 1, 'full: one more is taken');

my @waiting = publish('stop/x', 5);
$publisher->expect_nothing(0.3, 'full: then the publisher waits');

my $other = $first->client(version => 4);
$other->subscribe('other' => 1);
$other->publish_wait('other', 'x', qos => 1);
is($other->recv_message->{payload}, 'x', 'full: others do not');

my $dropped = $first->total('inbox_dropped');
$other->publish('stop/x', 'qos 0');
$other->is_alive;
is($first->total('inbox_dropped'), $dropped + 1, 'full: QoS 0 is dropped');

kill 'CONT', $pid;

is(acked(@waiting), 5, 'goes on: the publisher as well');
is_deeply([ took($s, 26) ], [ map { $_->{payload} } @sent, @waiting ],
          'goes on: all of them, in order');

# for so long that it is dropped, and then nobody waits for it

suspend($pid);
$first->redis->command('EVAL', $script, 1, $inbox,
                       pack('Q>4C', 1, 0xabc, 0, 1, 7), 10_000);

@sent = publish('stop/x', 1);
acked(@sent);
@waiting = publish('stop/x', 5);
$publisher->expect_nothing(0.3, 'full again: the publisher waits');

ok(wait_for { @{ nodes_members($first) } == 1 }, 'dropped');
is(acked(@waiting), 5, 'dropped: the publisher does not wait any more');

kill 'CONT', $pid;
wanted($first, $second, 'stop/+');
$publisher->publish_wait('stop/x', 'again', qos => 1);
is_deeply([ took($s, 2) ], [ $sent[0]{payload}, 'again' ], 'and back again');

# a frame that is sent again because the reply was lost; by whoever it may be

$inbox = inbox_key($second);

for my $case ([ 7, 'one' ], [ 7, 'one', 'r', 1 ], [ 9, 'two', 'r', 1 ],
              [ 8, 'three', 'r', 1 ], [ 8, 'four' ])
{
    my ($number, $payload, @mark) = @$case;

    my $body = pack('N NQ>N N4 a*a*', 0, 1, 0, 0, 6, length $payload, 0, 0,
                    'stop/y', $payload);
    my $frame = pack('Q>4C a*', $number, 0xabc, 0, 1, 3, $body);

    $first->redis->command('XADD', $inbox, '*', 'f', $frame, @mark);
}

is_deeply([ took($s, 3) ], [ qw/ one two four / ], 'sent again: taken once');

$s->disconnect;

# Redis stands still, or is started anew without any data

for my $how ('stands still', 'begins anew') {
    my @s = map { $_->client(version => 4) } $first, $second;

    $_->subscribe('redis/+' => 1, 'redis' => 2) for @s;
    wanted($first, $second, 'redis/+', 'redis');

    $how eq 'begins anew' ? $first->redis->kill : $first->redis->pause;

    @sent = publish('redis/x', 20);
    $publisher->is_alive;
    $publisher->expect_nothing(0.3, "$how: nothing is acknowledged");
    is_deeply([ took($s[0], 20) ], [ map { $_->{payload} } @sent ],
              "$how: subscribers of this node are served");

    ($pid) = $second->worker_pids;
    suspend($pid);

    $how eq 'begins anew' ? $first->redis->start : $first->redis->resume;

    is(acked(@sent), 20, "$how: acknowledged afterwards");

    # before the other node can tell anew what it wants

    push @sent, publish('redis/y', 5);
    acked(@sent[-5 .. -1]);

    if ($how eq 'begins anew') {
        wait_for { @{ nodes_members($first) } == 1 };
        polled($first);
    }

    push @sent, publish('redis/y', 5);
    acked(@sent[-5 .. -1]);

    kill 'CONT', $pid;

    my %got = map { $_ => 1 } took($s[1], 30);

    is_deeply([ sort keys %got ], [ sort map { $_->{payload} } @sent ],
              "$how: and all are delivered at the other one");

    $_->disconnect for @s;

    nodes_known($first, $second);
    ok(unwanted($first, $second, 'redis/+', 'redis'),
       "$how: then forgotten");
}

$_->wait_ready for $first, $second;

# a node is killed

my @session = (version => 5, clean => 0,
               props => [ [ session_expiry => 600 ] ]);
my @dead = map { $second->client(@session, client_id => "session $_") } 1, 2;

$dead[0]->subscribe('dead/+' => 1, 'dead' => 1);
wanted($first, $second, 'dead/+', 'dead');

ok($second->kill_hard, 'killed');

my $since = now();
@sent = publish('dead/x', 20);
is(acked(@sent), 20, 'killed: nobody waits for it');
cmp_ok(now() - $since, '<', 2, 'killed: not for long');

$since = now();
my $c = $first->client(@session, client_id => 'session 1');
cmp_ok(now() - $since, '<', 4, 'killed: its sessions can be taken over');
is($c->connack->{session_present}, 1, 'killed: they are there');
is_deeply([ took($c, 20) ], [ map { $_->{payload} } @sent ],
          'killed: with their messages');

ok(wait_for { @{ nodes_members($first) } == 1 }, 'killed: dropped');
polled($first);

$since = now();
my $d = $first->client(@session, client_id => 'session 2');
cmp_ok(now() - $since, '<', 0.9, 'dropped: not waited for at all');

$_->disconnect for $c, $d;

my $out = $first->total('inbox_frames_out');
$publisher->publish_wait('dead', 'x', qos => 1);
is($first->total('inbox_frames_out'), $out, 'dropped: it gets nothing');

is(scalar(grep { $first->redis->command('TTL', $_) <= 0 }
          grep { $_ ne inbox_key($first) } $first->redis->keys('test:{w:*}i')),
   0, 'its inbox will expire');

# and started again, as a new node

$second->allow_log(qr/signal/);
$second->run;
is(nodes_known($first, $second), 2, 'back as a new node');

$s = $second->client(version => 4);
$s->subscribe('dead/+' => 1);
wanted($first, $second, 'dead/+');
$publisher->publish_wait('dead/x', 'y', qos => 1);
is_deeply([ took($s, 1) ], [ 'y' ], 'and served');
$s->disconnect;

# a worker process that is killed is known to be dead at once

my $killed = inbox_key($second);

$publisher->publish_wait('dead/x', 'y', qos => 1);
$since = now();
$second->kill_worker($second->worker_pids);

ok(wait_for { $killed ne (inbox_key($second) // '')
              && @{ nodes_members($first) } == 2 },
   'a worker process killed: forgotten');
cmp_ok(now() - $since, '<', 4, 'a worker process killed: at once');
is($first->redis->command('EXISTS', $killed), 0,
   'a worker process killed: with its inbox');

for (1 .. 2) {
    $first->client(version => 4, client_id => "session $_")->disconnect;
}

# one that is stopped at once leaves nothing either

ok($second->stop_fast, 'stopped at once');
is(@{ nodes_members($first) }, 1, 'stopped at once: not in the index');
ok($first->stop, 'stopped');


sub inbox_key {
    my ($t) = @_;

    my $node = node_id($t);
    my ($owner) = grep { /^$node:/ } @{ nodes_members($t) };

    return $owner && "test:{w:$owner}i";
}


sub publish {
    my ($topic, $count) = @_;

    return map {
        my $payload = 'm' . ++$n;

        { payload => $payload,
          id => $publisher->publish($topic, $payload, qos => 1) };
    } 1 .. $count;
}


sub acked {
    my (@messages) = @_;

    my %open = map { $_->{id} => 1 } @messages;

    while (%open) {
        my $p = $publisher->recv(10) or last;

        delete $open{ $p->{packet_id} } if $p->{type} eq 'PUBACK';
    }

    return @messages - keys %open;
}


sub took {
    my ($client, $count) = @_;

    return map { ($client->recv_message || { payload => 'none' })->{payload} }
           1 .. $count;
}

###############################################################################
