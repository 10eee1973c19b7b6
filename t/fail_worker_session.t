#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Persistent sessions of a worker that is killed: resumed at another one with
# what came meanwhile, whether it was taken over before that or not; their time
# goes on; a log ends with the session that read it.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ slow /;
use MqttTest::Workers qw/ spread_server client_on /;
use Test::More tests => 29;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, gateway => 'lease_timeout 1s;',
               servers => spread_server());
$t->run;

my ($first, $second) = $t->worker_pids;
my $publisher = client_on($t, $second);

# [ client id, session expiry ]

my %client = map {
    my ($id, $expiry) = @$_;
    my $c = client_on($t, $first, session($id, $expiry));

    $c->subscribe("a/$id" => 1, "b/$id/+" => 2);
    ($id => $c);
} [ now => 100 ], [ later => 100 ], [ short => 2 ], [ clean => 0 ];

# QoS 0: an acknowledgement of the last second may not be known yet

$publisher->publish("a/$_", 'before') for keys %client;
is($client{$_}->recv_message->{payload}, 'before', "$_: online")
    for sort keys %client;

# unsubscribed, which the state that was saved last does not know

my $again = client_on($t, $first, session('again', 100));
$again->subscribe('again' => 1);
$publisher->publish_wait('again', $_, qos => 1) for 1 .. 6;
is(payloads($again, 6), '1 2 3 4 5 6', 'a subscription');
ok(wait_for { cursor('again') =~ /:6$/ }, 'all was acknowledged');
$again->unsubscribe('again');

# unsubscribed with a message in flight, which is in no log any more

my $gone = client_on($t, $first, session('gone', 100), auto_ack => 0);
$gone->subscribe('gone' => 1);
$publisher->publish_wait('gone', 'in flight', qos => 1);
my $sent = $gone->recv_message;
$gone->unsubscribe('gone');

# at once, before anybody has taken over: the session is claimed

my $killed = now();
ok($t->kill_worker($first), 'a worker is killed');

my $c = client_on($t, $second, session('now', 100));
is($c->connack->{session_present}, 1, 'a session that is resumed at once');

$publisher->publish_wait("a/$_", 'a', qos => 1) for keys %client;
$publisher->publish_wait("b/$_/x", 'b', qos => 2) for keys %client;

is_deeply([ sort map { $c->recv_message->{payload} } 1 .. 2 ], [ 'a', 'b' ],
          'gets what comes');
is(others($c), '', 'once');

$gone = client_on($t, $second, session('gone', 0));
my $again_sent = $gone->recv_message || {};
is_deeply([ map { $again_sent->{$_} } qw/ payload packet_id dup / ],
          [ 'in flight', $sent->{packet_id}, 1 ], 'sent again after all');
$gone->is_alive;
$gone->disconnect;

# the filter for the second time: its log has the same numbers

$again = client_on($t, $second, session('again', 100), auto_ack => 0);
$again->subscribe('again' => 1);
$publisher->publish_wait('again', $_, qos => 1) for 1 .. 6;
payloads($again, 6);

$again = client_on($t, $second, session('again', 100));
is(payloads($again, 6), '1 2 3 4 5 6', 'what was not acknowledged');
$again->disconnect(props => [ [ session_expiry => 0 ] ]);

ok(wait_for { session_of('later')->{o} eq '' }, 'others are taken over');
is(session_of('now')->{o} =~ /:/ ? 1 : 0, 1, 'not those that are resumed');
ok(wait_for { session_of('clean')->{o} eq '?' }, 'clean ones are gone');

my $left = $t->redis->command('ZSCORE', 'test:{x}s', 'later') / 1000 - clock();
ok($left > 80 && $left <= 100, 'their time goes on') or diag($left);

ok(wait_for { session_of('short')->{o} eq '?' }, 'a short one ends');
cmp_ok(now() - $killed, '>=', 1.9, 'not early');
ok(wait_for { !$t->redis->keys('*{f:?/short*') }, 'and its logs with it');

# when it was taken over

my $late = client_on($t, $second, session('later', 100));
is($late->connack->{session_present}, 1, 'a session that was taken over');
is_deeply([ sort map { $late->recv_message->{payload} } 1 .. 2 ],
          [ 'a', 'b' ], 'has what came meanwhile');
is(others($late), '', 'once');

$late->disconnect(props => [ [ session_expiry => 0 ] ]);
ok(wait_for { !$t->redis->keys('*{f:?/later*') }, 'its logs end with it');

# a clean start

my $clean = client_on($t, $second, client_id => 'now', clean => 1);
$c->expect_disconnect(0x8e);
ok(wait_for { !$t->redis->keys('*{f:*') }, 'a clean start ends the logs');
$clean->disconnect;

# both workers at once: nobody is left to take over but those that come

my @kept = map {
    my $c = client_on($t, $second, session("both-$_", 100));
    $c->subscribe("c/$_" => 1);
    $c;
} 1 .. 10;

$publisher->close;
$t->allow_log(qr/worker process \d+ exited on signal 9/);

my @workers = $t->worker_pids;
CORE::kill('KILL', @workers);

my %dead = map { $_ => 1 } @workers;
ok(wait_for { 2 == grep { !$dead{$_} } $t->worker_pids }, 'all are killed');

ok(wait_for {
    !grep { session_of("both-$_")->{o} ne '' } 1 .. 10
}, 'the next ones take over');

$publisher = $t->accepted;
$publisher->publish_wait("c/$_", 'offline', qos => 1) for 1 .. 10;

my $got = grep {
    my $c = $t->client(session("both-$_", 0));
    my $m = $c->recv_message;

    $c->connack->{session_present} && $m && $m->{payload} eq 'offline';
} 1 .. 10;

is($got, 10, 'all sessions are resumed');
MqttTest::Client->close_all;
ok(wait_for { !$t->redis->keys('*{[cfx]*') }, 'and end with their logs');

###############################################################################

sub session {
    my ($id, $expiry) = @_;

    return (client_id => $id, clean => 0,
            props => [ [ session_expiry => $expiry ] ]);
}


sub session_of {
    my ($id) = @_;

    return { o => '?', @{ $t->redis->command('HGETALL', "test:{c:$id}") } };
}


sub cursor {
    my ($id) = @_;

    return $t->redis->command('HGET', "test:{f:$id}", "r$id") // '';
}


sub payloads {
    my ($c, $n) = @_;

    return join ' ', map { $_->{payload} } grep { $_ }
                     map { $c->recv_message } 1 .. $n;
}


sub clock {
    my ($s, $us) = @{ $t->redis->command('TIME') };

    return $s + $us / 1e6;
}


# what else comes within a moment

sub others {
    my ($c) = @_;

    return join ' ', map { $_->{payload} } grep { $_ } $c->recv_message(0.3);
}

###############################################################################
