#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Secrets of devices in Redis: right and wrong ones, a secret that belongs to
# another device, changes that count at once, Redis that is away.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Auth qw/ sign device reason /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(gateway => "auth device_credential;\nauth anonymous;");
$t->run;

my $redis = $t->redis;
my $id = 'GID_test@@@device-001';

provision('DK1', s => 'mySecret', c => $id, i => 'mqtt-1');
provision('DK2', s => 'other', c => 'GID_test@@@device-002', i => 'mqtt-1',
          p => 'RW:fleet/a/#  R:news');
provision('DK3', s => 'broken', c => 'broken', i => 'mqtt-1', p => 'X:a');
provision('DK4', s => '', c => 'empty', i => 'mqtt-1');
provision('DK5', c => 'nosecret', i => 'mqtt-1');

my %ok = device($id, 'DK1', 'mySecret', 'mqtt-1');

is($ok{password}, 'lWidBc6+m/6VDRTGiRp5LFLZYNE=', 'the vector');

for my $version (3, 4, 5) {
    my $bad = $version == 5 ? 0x86 : 4;

    my $is = sub {
        my ($reason, $name, %args) = @_;

        is(reason($t, 'mqtt', %ok, version => $version, %args), $reason,
           "$version: $name");
    };

    $is->(0, 'accepted');
    $is->($bad, 'a wrong secret', password => sign('x', $id));
    $is->($bad, 'truncated', password => substr $ok{password}, 0, 27);
    $is->($bad, 'longer', password => "$ok{password}=");
    $is->($bad, 'no password', password => undef);
    $is->($bad, 'unknown device', username => 'DeviceCredential|DK9|mqtt-1');
    $is->($bad, 'another instance', username => 'DeviceCredential|DK1|mqtt-2');
    $is->($bad, 'a secret of another device',
          device($id, 'DK2', 'other', 'mqtt-1'));
    $is->($bad, 'the signature of another client id',
          client_id => 'GID_test@@@device-002');
    $is->($bad, 'an empty secret', device('empty', 'DK4', '', 'mqtt-1'));
    $is->($bad, 'the secret of nobody', device('x', 'DK9', '-', 'mqtt-1'));
    $is->($bad, 'no secret', device('nosecret', 'DK5', '-', 'mqtt-1'));
    $is->(0, 'another user name', username => 'x');
}

$t->allow_log(qr/device credential in Redis has a permission/);
is(reason($t, 'mqtt', device('broken', 'DK3', 'broken', 'mqtt-1')), 0x88,
   'permissions that are not understood allow nothing');

# another type of key is an error of Redis, not an open door

$redis->command('SET', 'test:{d:DK6}', 'x');
is(reason($t, 'mqtt', device('x', 'DK6', 'x', 'mqtt-1')), 0x88,
   'what is no hash');

###############################################################################
# permissions

my $c = $t->client(device('GID_test@@@device-002', 'DK2', 'other', 'mqtt-1'));

is($c->publish_wait('fleet/a/b', 'x', qos => 1)->{reason}, 0x10,
   'may publish');
is($c->publish_wait('fleet/b', 'x', qos => 1)->{reason}, 0x87, 'or not');
is_deeply($c->subscribe('news' => 0, 'fleet/a/+' => 1, 'fleet/+' => 1)
           ->{codes}, [ 0, 1, 0x87 ], 'subscriptions');
$c->disconnect;

# what was changed counts at once

$redis->command('HSET', 'test:{d:DK1}', 's', 'changed');
is(reason($t, 'mqtt', %ok), 0x86, 'the secret was changed');
is(reason($t, 'mqtt', device($id, 'DK1', 'changed', 'mqtt-1')), 0,
   'the new one');
$redis->command('DEL', 'test:{d:DK1}');
is(reason($t, 'mqtt', device($id, 'DK1', 'changed', 'mqtt-1')), 0x86,
   'the device was removed');

###############################################################################
# Redis away; a client that leaves while it is asked

provision('DK1', s => 'mySecret', c => $id, i => 'mqtt-1');

$redis->pause;

my @leaving = map { my $s = $t->socket; $s->send(CONNECT => %ok); $s } 1 .. 9;
$_->close for @leaving;
my $waiting = $t->socket;
$waiting->send(CONNECT => %ok);
$waiting->expect_nothing(0.2, 'waits for Redis');

$redis->resume;
$waiting->expect('CONNACK', reason => 0);
$waiting->disconnect;

$t->allow_log(qr/Redis/);
$redis->kill;
ok(wait_for { $t->total('redis_up') == 0 }, 'Redis is away');
is(reason($t, 'mqtt', %ok), 0x88, 'nobody is let in');

unlike($t->error_log, qr/mySecret|other\b|changed|lWidBc/,
       'no secret and no signature in the log');

$redis->start;
ok(wait_for { $t->total('redis_up') == 1 }, 'Redis is back');

done_testing();

###############################################################################

sub provision {
    my ($key, %fields) = @_;

    $redis->command('HSET', "test:{d:$key}", %fields);
}

###############################################################################
