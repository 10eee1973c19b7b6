#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Redis stands still, dies and comes back while messages for a persistent
# session are stored and taken: what was acknowledged is there, each message
# once, and nobody has to do anything.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp;
use MqttTest;
use Test::More tests => 2 * 8 + 6;

###############################################################################

my $dir = File::Temp->newdir('mqtt-redis-XXXXXX', TMPDIR => 1);

# a Redis that forgets nothing

my $redis = MqttTest::Redis->new(dir => $dir->dirname, args => [
    '--appendonly', 'yes', '--appendfsync', 'always',
]);

my $t = MqttTest->new(redis => $redis);

$t->write_conf(workers => 2, server => 'mqtt_send_window 10;');
$t->run;

my $publisher = $t->client(version => 4);
my $n = 0;

for my $v (4, 5) {
    my @session = (version => $v, client_id => "session-$v", clean => 0,
                   $v == 5 ? (props => [ [ session_expiry => 600 ] ]) : ());

    my $c = $t->client(@session);
    $c->subscribe("a/$v" => 1, "+/$v" => 2);

    # one after another, while Redis stands still, and dies at last

    $redis->pause;
    my @sent = map { publish($v, $_ % 2 + 1) } 1 .. 40;

    $publisher->is_alive;
    $publisher->expect_nothing(0.3, "$v: not stored, not acknowledged");
    ok($c->is_alive, "$v: the subscriber is served");

    $redis->kill;
    $publisher->is_alive;
    $redis->start;

    is(acked(@sent), @sent, "$v: all are acknowledged by the next Redis");

    my %got = take($c, @sent);
    is_deeply([ sort keys %got ], [ sort map { $_->{payload} } @sent ],
              "$v: and delivered");
    is_deeply([ grep { $got{$_} > 1 } sort keys %got ], [], "$v: each once");

    # the same while the session is away

    $c->is_alive;
    $c->disconnect;
    ok($t->wait_ready, "$v: Redis is back");

    $redis->pause;
    @sent = map { publish($v, $_ % 2 + 1) } 1 .. 40;
    $publisher->is_alive;
    $redis->kill;
    $publisher->is_alive;
    $redis->start;
    acked(@sent);
    $t->wait_ready;

    $c = $t->client(@session);
    %got = take($c, @sent);
    is_deeply([ sort keys %got ], [ sort map { $_->{payload} } @sent ],
              "$v: stored for a session that is away");
    is_deeply([ grep { $got{$_} > 1 } sort keys %got ], [], "$v: each once");

    $c->is_alive;
    $c->disconnect;
    $t->client(version => 4, client_id => "session-$v")->disconnect;
}

$t->wait_ready;

# Redis forgets: who is connected is served, and learns of it

my $c = $t->client(version => 5, client_id => 'forgotten', clean => 0,
                   props => [ [ session_expiry => 600 ] ]);
$c->subscribe('b' => 1, 'c' => 2);

$redis->command('FLUSHALL');

$publisher->publish_wait('b', 'x', qos => 1);
is(($c->recv_message || {})->{payload}, 'x', 'delivered without a log');

my $told = wait_for { !$c->is_alive } 5;
ok($told, 'told that its session is lost');

$c = $t->client(version => 5, client_id => 'forgotten', clean => 0,
                props => [ [ session_expiry => 600 ] ]);
is($c->connack->{session_present}, 0, 'there is none when it comes back');

$c->subscribe('b' => 1);
$publisher->publish_wait('b', 'y', qos => 1);
is(($c->recv_message || {})->{payload}, 'y', 'and it can have another');
$c->disconnect;

$publisher->publish_wait('b', 'z', qos => 1);
$c = $t->client(version => 5, client_id => 'forgotten', clean => 0);
is($c->connack->{session_present}, 1, 'which is there');
is(($c->recv_message || {})->{payload}, 'z', 'with its messages');
$c->disconnect;


sub publish {
    my ($v, $qos) = @_;

    my $payload = 'message ' . ++$n;

    return { payload => $payload,
             id => $publisher->publish("a/$v", $payload, qos => $qos) };
}


# waits for PUBACK or PUBCOMP of all; how many there were

sub acked {
    my (@sent) = @_;

    my %open = map { $_->{id} => 1 } @sent;

    while (%open) {
        my $p = $publisher->recv(10) or last;

        $publisher->send(PUBREL => packet_id => $p->{packet_id})
            if $p->{type} eq 'PUBREC';
        delete $open{ $p->{packet_id} } if $p->{type} =~ /PUBACK|PUBCOMP/;
    }

    return @sent - keys %open;
}


sub take {
    my ($c, @sent) = @_;

    my %got;

    while (my $m = $c->recv_message(keys %got < @sent ? 10 : 0.2)) {
        $got{ $m->{payload} }++;
    }

    return %got;
}

###############################################################################
