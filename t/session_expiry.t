#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Session Expiry Interval (3.1.2.11.2) of sessions with subscriptions: they end
# not early and at most a second late, what is left of them is cleaned up;
# whoever is back in time keeps the session.  Others just have a time to live.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ slow /;
use Test::More tests => 25;

###############################################################################

use constant MANY => 1000;

my $t = MqttTest->new;
my $redis = $t->redis;

$t->write_conf(workers => 2,
               server => 'mqtt_max_session_expiry 4294967295;');
$t->run;

# with and without something to be done at the end

my $plain = client('plain', 100);
my $full = client('full', 100);
add_fields('full');
my $never = client('never', 0xffffffff);
add_fields('never');

$_->disconnect for $plain, $full, $never;

ok(wait_for { $redis->command('TTL', key('plain')) > 0 },
   'a session without subscriptions has a time to live');
ok(wait_for { defined $redis->command('ZSCORE', 'test:{x}s', 'full') },
   'one with subscriptions is due some time');
is($redis->command('TTL', key('full')), -1, 'and has no time to live');

my $left = $redis->command('ZSCORE', 'test:{x}s', 'full') / 1000 - clock();
ok($left > 90 && $left <= 100, 'after its expiry interval') or diag($left);

is($redis->command('ZSCORE', 'test:{x}s', 'never'), undef,
   'one without an end is never due');
is(session('never')->{o}, '', 'though it was released');

# the end

my $c = client('short', 2);
add_fields('short');

my $begin = now();
$c->disconnect;

ok(wait_for { session('short')->{o} eq '' }, 'released');
ok(wait_for { !$redis->command('EXISTS', key('short')) }, 'it has ended');

my $took = now() - $begin;
ok($took >= 1.98 && $took <= 2 + slow(1.0), 'after 2 seconds')
    or diag("after $took s");

ok(wait_for { !defined $redis->command('ZSCORE', 'test:{x}s', 'short') },
   'and is not due any more');

# somebody is back in time

$c = client('back', 1);
add_fields('back');
$c->disconnect;
ok(wait_for { session('back')->{t} }, 'one second to go');

my $back = client('back', 3);
is($back->connack->{session_present}, 1, 'back in time');
is(session('back')->{t}, undef, 'it does not end while connected');

ok(wait_for { !defined $redis->command('ZSCORE', 'test:{x}s', 'back') },
   'nothing is due');

# a worker that was too slow notes it all the same

$redis->command('ZADD', 'test:{x}s', int(clock() * 1000) + 300, 'back');
ok(wait_for { !defined $redis->command('ZSCORE', 'test:{x}s', 'back') },
   'the old time has come');
is(scalar(grep { /^s/ } keys %{ session('back') }), 2, 'nothing has happened');
$back->expect_alive;

$begin = now();
$back->disconnect;
ok(wait_for { !$redis->command('EXISTS', key('back')) }, 'later it ends');

$took = now() - $begin;
ok($took >= 2.98 && $took <= 3 + slow(1.0), 'after 3 seconds')
    or diag("after $took s");

# too late, whether somebody has cleaned up or not: the workers are not asked

$c = client('late', 100);
add_fields('late');
$c->disconnect;
ok(wait_for { session('late')->{t} }, 'released');

$redis->command('HSET', key('late'), 't', int(clock() * 1000) - 1);
$c = client('late', 0);
is($c->connack->{session_present}, 0, 'too late by a millisecond');
$c->disconnect;

# many at once

my @many = map { client("many-$_", 2) } 1 .. MANY;
add_fields($_->client_id) for @many;
$_->disconnect for @many;

ok(wait_for { $t->total('clients') == 0 }, 'many sessions');
$begin = now();

my $ended = wait_for { !$redis->keys('*{c:many*') } 20;

ok($ended, 'end');
cmp_ok(now() - $begin, '<', 2 + slow(1.5), 'in time');
ok(wait_for { $redis->keys('*{[^ln]*') == 4 }, 'nothing is left of them')
    or diag(join "\n", $redis->keys);

###############################################################################

sub client {
    my ($id, $expiry) = @_;

    return $t->client(client_id => $id, clean => 0,
                      props => [ [ session_expiry => $expiry ] ]);
}


sub add_fields {
    my ($id) = @_;

    $redis->command('HSET', key($id), 'sa/#', "\1", 'sb', 'x', 'v', 'state');
}


sub clock {
    my ($s, $us) = @{ $redis->command('TIME') };

    return $s + $us / 1e6;
}


sub key {
    my ($id) = @_;

    return "test:{c:$id}";
}


sub session {
    my ($id) = @_;

    return { o => '?', @{ $redis->command('HGETALL', key($id)) } };
}

###############################################################################
