#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A session outlives its connection: subscriptions, messages of QoS 1 and 2
# that came meanwhile, in their order and once, whatever worker the client
# comes back to and whatever was restarted.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 2 * 16 + 12;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, server => 'mqtt_send_window 10;');
$t->run;

my $publisher = $t->client(version => 5);

for my $v (4, 5) {
    my %session = session($v, "device-$v");
    my $c = $t->client(%session);

    is($c->connack->{session_present}, 0, "$v: a new session");

    my $ack = $c->subscribe("one/$v" => 1, "many/$v/+" => 2, "zero/$v" => 0);
    is_deeply($ack->{codes}, [ 1, 2, 0 ], "$v: subscribed");

    $publisher->publish_wait("one/$v", 'live', qos => 1);
    is($c->recv_message->{payload}, 'live', "$v: live");

    $c->is_alive;
    $c->disconnect;
    gone();

    $publisher->publish_wait("one/$v", "one $_", qos => 1) for 1 .. 3;
    $publisher->publish_wait("many/$v/x", "many $_", qos => 2) for 1 .. 30;
    $publisher->publish_wait("zero/$v", 'zero', qos => 1);
    $publisher->publish("one/$v", 'zero', qos => 0);
    $publisher->is_alive;

    # until it is at each worker, some of them

    my (@got, %qos);

    for my $round (1 .. 3) {
        $c = $t->client(%session);

        is($c->connack->{session_present}, 1, "$v: session present");

        for (1 .. ($round == 3 ? 99 : 8)) {
            my $m = $c->recv_message($round == 3 && @got >= 33 ? 0.3 : 5)
                or last;

            push @got, $m->{payload};
            $qos{"$m->{topic} $m->{qos}"}++;
        }

        $c->is_alive;

        $round == 2 ? $c->abort : $c->disconnect if $round < 3;
        gone() if $round < 3;
    }

    is(join(', ', grep { /one/ } @got), 'one 1, one 2, one 3',
       "$v: QoS 1, in order, once");
    is(join(', ', grep { /many/ } @got), join(', ', map { "many $_" } 1 .. 30),
       "$v: QoS 2, in order, once");
    is_deeply(\%qos, { "one/$v 1" => 3, "many/$v/x 2" => 30 },
              "$v: with their QoS, and nothing of QoS 0");

    $publisher->publish_wait("many/$v/y", 'live', qos => 1);
    my $m = $c->recv_message;
    is("$m->{payload} $m->{qos} $m->{dup}", 'live 1 0', "$v: live again");

    # not acknowledged: again, with DUP and the same packet id

    $c->{auto_ack} = 0;
    $publisher->publish_wait("one/$v", 'not acknowledged', qos => 1);
    $m = $c->recv_message;
    my $id = $m->{packet_id};

    $publisher->publish_wait("many/$v/y", 'received', qos => 2);
    $m = $c->recv_message;
    my $released = $m->{packet_id};
    $c->send(PUBREC => packet_id => $released);
    $c->expect(PUBREL => packet_id => $released);

    $c->abort;
    gone();

    $c = $t->client(%session, auto_ack => 0);
    $c->expect(PUBREL => packet_id => $released, -name => "$v: PUBREL again");
    $c->expect(PUBLISH => packet_id => $id, dup => 1,
               payload => 'not acknowledged', -name => "$v: PUBLISH again");
    $c->expect_nothing(0.2, "$v: what was received is not sent again");

    $c->send(PUBCOMP => packet_id => $released);
    $c->send(PUBACK => packet_id => $id);
    $c->is_alive;
    $c->disconnect;
    gone();

    # an unsubscribed filter is forgotten, the others are not

    $c = $t->client(%session);
    $c->unsubscribe("one/$v");
    $c->is_alive;
    $c->disconnect;
    gone();

    $publisher->publish_wait("one/$v", 'x', qos => 1);
    $publisher->publish_wait("many/$v/z", 'still', qos => 1);

    $c = $t->client(%session);
    is($c->recv_message->{payload}, 'still', "$v: what is subscribed");
    is($c->recv_message(0.2), undef, "$v: and nothing else");
    $c->disconnect;
    gone();
}

# nginx goes and comes

$publisher->disconnect;
ok($t->stop, 'stopped');
$t->run;

$publisher = $t->client(version => 5);
is($publisher->publish_wait('many/4/a', 'restarted', qos => 1)->{reason}, 0,
   'a subscription that nobody has told this nginx of');

my $c = $t->client(session(4, 'device-4'));
is($c->recv_message->{payload}, 'restarted', 'is there after a restart');

ok($t->reload, 'reloaded');
$c->close;
$publisher = $t->client(version => 5);
$publisher->publish_wait('many/4/a', 'reloaded', qos => 1);

$c = $t->client(session(4, 'device-4'));
is($c->recv_message->{payload}, 'reloaded', 'and after a reload');

# clean start: nothing is left, in Redis either

$c = $t->client(version => 4, client_id => 'device-4', clean => 1);
is($c->connack->{session_present}, 0, 'a clean session');
$c->disconnect;

$c = $t->client(version => 5, client_id => 'device-5', clean => 0);
is($c->connack->{session_present}, 1, 'the session of 5.0, for the last time');
$c->disconnect;
$publisher->disconnect;

my $empty = wait_for {
    !grep { !/\{(?:i|l|n|r)\}/ } $t->redis->keys('test:*');
} 5;

ok($empty, 'Redis has no session and no log anymore')
    or diag(join ' ', $t->redis->keys('test:*'));

$publisher = $t->client(version => 5);
is($publisher->publish_wait('many/4/a', 'x', qos => 1)->{reason}, 0x10,
   'and nobody subscribes');

# an offline session takes no more than the bound, the newest ones

$t->write_conf(workers => 2, gateway => 'offline_messages 10;');
ok($t->reload, 'reloaded with a bound');
$publisher = $t->client(version => 5);

$c = $t->client(session(5, 'small'));
$c->subscribe('small' => 1);
$c->disconnect;
gone();

$publisher->publish_wait('small', $_, qos => 1) for 1 .. 25;
$c = $t->client(session(5, 'small'));

my @got = map { ($c->recv_message || {})->{payload} // '' } 1 .. 10;

is("@got", join(' ', 16 .. 25), 'the newest ones are kept');

my $counted = wait_for { $t->total('messages_discarded') == 15 } 5;
ok($counted, 'others are counted');

$c->disconnect(props => [ [ session_expiry => 0 ] ]);

###############################################################################

sub session {
    my ($v, $id) = @_;

    return (version => $v, client_id => $id, clean => 0,
            $v == 5 ? (props => [ [ session_expiry => 3600 ] ]) : ());
}


# the connections but the publisher's

sub gone {
    return wait_for { $t->total('clients') == 1 } 5;
}

###############################################################################
