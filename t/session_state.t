#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What of a session is kept besides its subscriptions: packet ids in both
# directions, QoS 2 in every state, messages that are in no log.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 32 + 2 * 7;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2);
$t->run;

my $publisher = $t->client(version => 5);
my $key = 'test:{c:device}';

# QoS 2 from the client: a publish whose PUBREC got lost is not published twice

my $watcher = $t->client(version => 4);
$watcher->subscribe('in' => 2);

my $c = device();
$c->publish('in', 'first', qos => 2, packet_id => 7);
$c->expect(PUBREC => packet_id => 7);
$c->abort;

$c = device();
is($c->connack->{session_present}, 1, 'session present');
$c->publish('in', 'first', qos => 2, packet_id => 7, dup => 1);
$c->expect(PUBREC => packet_id => 7);
$c->send(PUBREL => packet_id => 7);
$c->expect(PUBCOMP => packet_id => 7, reason => 0);
$c->abort;

# and when it is released the id is free, at once

$c = device();
$c->publish('in', 'second', qos => 2, packet_id => 7);
$c->expect(PUBREC => packet_id => 7);
$c->send(PUBREL => packet_id => 7);
$c->expect(PUBCOMP => packet_id => 7);

is(join(' ', map { ($watcher->recv_message || {})->{payload} // '' } 1, 2),
   'first second', 'each was published once');
is($watcher->recv_message(0.1), undef, 'and nothing else');

# QoS 2 to the client: after PUBREC only PUBREL comes again, until PUBCOMP

$c->subscribe('out/#' => 2);
$publisher->publish_wait('out/1', 'x', qos => 2);

my $m = $c->expect('PUBLISH', qos => 2, dup => 0);
my $id = $m->{packet_id};
$c->abort;

$c = device();
$c->expect('PUBLISH', packet_id => $id, dup => 1, -name => 'PUBLISH again');
$c->send(PUBREC => packet_id => $id);
$c->expect(PUBREL => packet_id => $id);
$c->abort;

$c = device();
$c->expect(PUBREL => packet_id => $id, -name => 'PUBREL again');
$c->send(PUBREC => packet_id => $id);
$c->expect(PUBREL => packet_id => $id, -name => 'a second PUBREC is answered');
$c->send(PUBCOMP => packet_id => $id);
$c->is_alive;
$c->disconnect;

$c = device();
$c->expect_nothing(0.2, 'nothing after PUBCOMP');

# acknowledged out of order: what is done does not come again

$publisher->publish_wait("out/$_", $_, qos => $_ < 3 ? 1 : 2) for 1 .. 4;

my @m = map { $c->recv } 1 .. 4;

is(join(' ', map { $_->{payload} } @m), '1 2 3 4', 'in order');

$c->send(PUBREC => packet_id => $m[3]{packet_id});
$c->expect(PUBREL => packet_id => $m[3]{packet_id});
$c->send(PUBCOMP => packet_id => $m[3]{packet_id});
$c->send(PUBACK => packet_id => $m[1]{packet_id});
$c->is_alive;
$c->abort;

$c = device();
$c->expect('PUBLISH', packet_id => $m[0]{packet_id}, payload => '1', dup => 1);
$c->expect('PUBLISH', packet_id => $m[2]{packet_id}, payload => '3', dup => 1);
$c->expect_nothing(0.2, 'the others are done');

$c->send(PUBACK => packet_id => $m[0]{packet_id});
$c->send(PUBREC => packet_id => $m[2]{packet_id});
$c->expect(PUBREL => packet_id => $m[2]{packet_id});
$c->send(PUBCOMP => packet_id => $m[2]{packet_id});
$c->is_alive;

# messages that are in two logs of the session: again as one, not as two

$c->subscribe('two/+' => 2, 'two/#' => 2);

for my $online (1, 0) {
    my $how = $online ? 'live' : 'from the logs';

    $c->disconnect if !$online;
    $publisher->publish_wait('two/x', $_, qos => $_ % 2 + 1) for 1 .. 3;
    $c = device() if !$online;

    my @sent = map { $c->recv } 1 .. 3;
    my $again = join ' ', map { "$_->{packet_id} $_->{payload} 1" } @sent;

    for my $time ('again', 'and again') {
        $c->abort;
        $c = device();

        is(join(' ', map { "$_->{packet_id} $_->{payload} $_->{dup}" }
                     map { $c->recv } 1 .. 3), $again, "$how: $time");
        $c->expect_nothing(0.2, "$how: once");
    }

    for my $p (@sent) {
        $c->send(($p->{qos} == 1 ? 'PUBACK' : 'PUBREC'),
                 packet_id => $p->{packet_id});
        next if $p->{qos} == 1;

        $c->expect(PUBREL => packet_id => $p->{packet_id});
        $c->send(PUBCOMP => packet_id => $p->{packet_id});
    }

    $c->abort;
    $c = device();
    $c->expect_nothing(0.2, "$how: nothing is left");
}

$c->unsubscribe('two/+', 'two/#');

# retained messages are in no log

$publisher->publish_wait('kept', 'retained', qos => 1, retain => 1);
$c->subscribe('kept' => 1);
$m = $c->expect('PUBLISH', payload => 'retained', retain => 1);
$c->abort;

$c = device();
$c->expect('PUBLISH', payload => 'retained', retain => 1, dup => 1,
           packet_id => $m->{packet_id}, -name => 'a retained message again');
$c->send(PUBACK => packet_id => $m->{packet_id});
$c->unsubscribe('kept');
$c->disconnect;
$publisher->publish_wait('kept', '', qos => 1, retain => 1);

# packet ids begin again behind 65535, and leave out those in use

state(65533);
$c = device();
$publisher->publish_wait("out/$_", $_, qos => 1) for 1 .. 4;

is(join(' ', map { $c->recv->{packet_id} } 1 .. 4), '65534 65535 1 2',
   'no id 0');

$c->send(PUBACK => packet_id => $_) for 65535, 2;
$c->is_alive;
$c->disconnect;

state(65533);
$c = device();
is(join(' ', map { $c->recv->{packet_id} } 1, 2), '65534 1', 'two are in use');

$publisher->publish_wait("out/$_", $_, qos => 1) for 1 .. 2;
is(join(' ', map { $c->recv->{packet_id} } 1, 2), '65535 2',
   'others are taken');

$c->send(PUBACK => packet_id => $_) for 65534, 65535, 1, 2;
$c->is_alive;
$c->disconnect;

# The cursor in the log has passed a message, the state has not: its last save
# was refused because the next connection had the session already.  The client
# has sent PUBREC, and holds the packet id until PUBREL.

$c = device();
$publisher->publish_wait('out/1', 'twice', qos => 2);
$m = $c->expect('PUBLISH', payload => 'twice', qos => 2);
my $before = $t->redis->command('HGET', $key, 'v');
$c->send(PUBREC => packet_id => $m->{packet_id});
$c->expect('PUBREL', packet_id => $m->{packet_id});
$c->disconnect;
released();
$t->redis->command('HSET', $key, 'v', $before);

$c = device();
$c->expect('PUBREL', packet_id => $m->{packet_id},
           -name => 'PUBREL of a message that only the cursor tells of');
$c->send(PUBCOMP => packet_id => $m->{packet_id});
$c->expect_alive;
$c->disconnect;

# a state that is not understood costs no more than the state

released();
$t->redis->command('HSET', $key, 'v', "\x7fnonsense");
$c = device();
is($c->connack->{session_present}, 1, 'session present');
$publisher->publish_wait('out/1', 'still', qos => 1);
is(($c->recv_message || {})->{payload}, 'still', 'subscribed');
ok($t->error_log =~ /\[error\].* state of the session was not understood/,
   'a line in the log');

$c->disconnect(props => [ [ session_expiry => 0 ] ]);


sub device {
    released();

    return $t->client(version => 5, client_id => 'device', clean => 0,
                      props => [ [ session_expiry => 600 ] ],
                      auto_ack => 0);
}


# the last connection has saved what it had

sub released {
    wait_for { ($t->redis->command('HGET', $key, 'o') // '') eq '' } 5
        or die "the session is not released\n";
}


# another packet id is the last one of the session

sub state {
    my ($last) = @_;

    released();

    my $v = $t->redis->command('HGET', $key, 'v');

    substr($v, 1, 2) = pack 'n', $last;
    $t->redis->command('HSET', $key, 'v', $v);
}

###############################################################################
