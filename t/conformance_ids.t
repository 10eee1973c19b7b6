#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# When a packet identifier means a new message and when it does not, 4.3 and
# 4.4: after PUBACK, after a PUBREC that refuses, after a refusal by the
# receiver, and when a message expires that was sent already.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 16;

###############################################################################

my $t = MqttTest->new;

$t->write_file('acl.conf', "deny publish no/#\nallow all #\n");
$t->write_conf(workers => 2, listen => 'reuseport',
               gateway => 'acl %%TESTDIR%%/acl.conf;');
$t->run;

my ($one, $two) = $t->worker_pids;

my $watcher = $t->client_at($two, version => 5);
my $c = $t->client_at($one, version => 5);

$watcher->subscribe('yes/#' => 2);

# acknowledged: a new message, whatever DUP says

for my $n (1, 2) {
    $c->publish('yes/1', "one $n", qos => 1, packet_id => 5, dup => $n - 1);
    $c->expect(PUBACK => packet_id => 5, -name => "QoS 1, PUBACK $n");
    is(($watcher->recv_message // {})->{payload}, "one $n",
       "MQTT-4.3.2-5: delivered, $n");
}

# refused: the identifier is free, and the next one that has it is a message

$c->publish('no/1', 'refused', qos => 2, packet_id => 6);
$c->expect(PUBREC => packet_id => 6, reason => 0x87, -name => 'refused');
$c->publish('yes/1', 'two', qos => 2, packet_id => 6);
$c->expect(PUBREC => packet_id => 6, reason => 0,
           -name => 'MQTT-4.3.3-9: the same packet id');
$c->send(PUBREL => packet_id => 6);
$c->expect(PUBCOMP => packet_id => 6, reason => 0);
is(($watcher->recv_message // {})->{payload}, 'two', 'is a new message');

# sent to a session that is persistent: refused by it, or expired since then

my %session = (version => 5, client_id => 'session', clean => 0,
               auto_ack => 0, props => [ [ session_expiry => 100 ] ]);

my $s = $t->client_at($one, %session);

$s->subscribe('yes/#' => 2);

my @sent = map {
    $c->publish_wait('yes/2', "qos $_", qos => $_ < 3 ? $_ : 2,
                     props => [ $_ == 3 ? [ message_expiry => 1 ] : () ]);
    $s->expect(PUBLISH => payload => "qos $_");
} 1 .. 3;

my $begin = now();

$s->send(PUBACK => packet_id => $sent[0]{packet_id}, reason => 0x80);
$s->send(PUBREC => packet_id => $sent[1]{packet_id}, reason => 0x97);
$s->is_alive;
$s->abort;

wait_for { now() - $begin > 1.5 };

$s = $t->client_at($two, %session);

$s->expect(PUBLISH => payload => 'qos 3', dup => 1,
           packet_id => $sent[2]{packet_id},
           props => [ [ message_expiry => 0 ] ],
           -name => 'MQTT-4.3.3-7: it was sent, it does not expire');
$s->expect_nothing(0.3, 'MQTT-4.4.0-2: what was refused does not come again');
$s->send(PUBREC => packet_id => $sent[2]{packet_id});
$s->expect(PUBREL => packet_id => $sent[2]{packet_id});
$s->send(PUBCOMP => packet_id => $sent[2]{packet_id});
$s->expect_alive;
$s->disconnect(props => [ [ session_expiry => 0 ] ]);

$_->disconnect for $c, $watcher;

ok(wait_for { $t->total('clients') == 0 }, 'all are gone');

###############################################################################
