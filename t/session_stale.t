#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A subscription of a session that somebody else has claimed meanwhile leaves
# no reader behind, which nobody would ever detach; one that is in the session
# has its reader, also if the client is gone before SUBACK.  Logs that others
# read, or that cannot be read.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 15;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(server => 'mqtt_send_window 1;');
$t->run;

my $redis = $t->redis;
my $session = 'test:{c:device}';

for my $filter ('a/b', 'a/+', '$share/g/a/b') {
    my $c = device();

    $redis->command('HINCRBY', $session, 'e', 1);
    $c->send(SUBSCRIBE => packet_id => 1, filters => [ [ $filter, 1 ] ]);
    $c->expect_disconnect(0x8e);

    ok(wait_for { !$redis->keys('*{f:*') }, "$filter: no reader is left");
    $redis->command('DEL', $session);
}

# the client does not wait for SUBACK

my $c = device();

$redis->pause;
$c->send(SUBSCRIBE => packet_id => 1, filters => [ [ 'a/+', 1 ] ]);
$c->queue('PINGREQ');
$c->flush;
$c->expect_nothing(0.3, 'it waits for Redis');
$c->abort;
$redis->resume;

ok(wait_for { ($redis->command('HGET', $session, 'o') // 'x') eq '' },
   'it has left');
is_deeply([ grep { /^r/ } @{ $redis->command('HKEYS', 'test:{f:a/+}') } ],
          [ 'rdevice' ], 'what is in the session has its reader');

# somebody else reads the log, and has what is missing in it

$c = device(auto_ack => 0);

my $publisher = $t->client;

$publisher->publish_wait('a/b', $_, qos => 1) for 1 .. 5;

my $m = $c->expect('PUBLISH', payload => 1);
my $reader = $redis->command('HGET', 'test:{f:a/+}', 'rdevice');
my ($epoch) = $reader =~ /^(\d+)/;

$redis->command('HSET', 'test:{f:a/+}', 'rdevice', $epoch + 1 . ':4');
$redis->command('LTRIM', 'test:{f:a/+}l', 4, -1);

$c->send(PUBACK => packet_id => $m->{packet_id});
$c->expect_disconnect(0x8e);
is($t->total('messages_discarded'), 0, 'nothing was discarded');

$redis->command('HSET', 'test:{f:a/+}', 'rdevice', $reader);
$redis->command('HSET', $session, 'o', '');

# a log that cannot be read: the client is told, it would wait for ever

$c = device();
$c->disconnect;

my $log = $redis->command('LRANGE', 'test:{f:a/+}l', 0, -1);

$redis->command('SET', 'test:{f:a/+}l', 'no list');

$c = device();
$c->expect_disconnect(0x80);
like($t->error_log, qr/messages could not be read/, 'and the log tells');

$redis->command('DEL', 'test:{f:a/+}l');
$redis->command('RPUSH', 'test:{f:a/+}l', @$log);

$c = device();
is($c->recv_message->{payload}, 5, 'it comes back');
$c->disconnect(props => [ [ session_expiry => 0 ] ]);
wait_for { !$redis->keys('*{f:*') } or diag('not ended');

###############################################################################

sub device {
    my (%options) = @_;

    wait_for { ($redis->command('HGET', $session, 'o') // '') eq '' } 5;

    return $t->client(%options, client_id => 'device', clean => 0,
                      props => [ [ session_expiry => 100 ] ]);
}

###############################################################################
