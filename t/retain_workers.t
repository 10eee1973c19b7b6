#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Retained messages belong to the gateway, not to a worker: stored through one,
# found through another, there after a restart, and stored exactly when they
# are acknowledged, also while Redis is away.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 17;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(
    workers => 2,
    stream  => 'log_format w $pid; access_log %%TESTDIR%%/access.log w;',
);
$t->run;

# clients until both workers have one

my %client;

ok(wait_for {
    my $c = $t->client(version => 5);
    my ($pid) = $t->error_log =~ /.*\ (\d+)\#\d+:\ \*\d+\ client\ connected
                                  .*"\Q$c->{client_id}\E"/sx;

    $client{$pid} //= $c if $pid;

    keys %client == 2;
}, 'two clients at two workers') or BAIL_OUT('one worker has all clients');

my ($one, $two) = @client{ sort keys %client };

for my $pair ([ $one, $two, 'one way' ], [ $two, $one, 'and back' ]) {
    my ($c, $s, $name) = @$pair;

    $c->publish_wait('both/ways', $name, qos => 1, retain => 1);
    $s->subscribe('both/ways' => 1);

    my $m = $s->recv_message;
    is($m->{payload}, $name, "found by the other worker, $name");
    is($m->{retain}, 1, "as a retained message, $name");

    $s->unsubscribe('both/ways');
}

# Redis keeps them when all of nginx has gone

$one->publish_wait("restart/$_", "payload $_", qos => 1, retain => 1)
    for 1 .. 20;

ok($t->stop, 'stopped');
$t->run;

my $s = $t->client(version => 4);

$s->subscribe('restart/#' => 2);

my @found = map { ($s->recv_message || {})->{payload} // 'none' } 1 .. 20;

is(join(',', sort @found), join(',', sort map { "payload $_" } 1 .. 20),
   'all are there after a restart');

# While Redis is away a retained publish has no answer; others have.  Those of
# one client take effect in their order.

my $c = $t->client(version => 4);

$t->redis->pause;

$c->publish('away', "number $_", qos => $_ % 3, retain => 1) for 1 .. 20;
$c->publish('other', 'x', qos => 1, packet_id => 1000);
$c->subscribe('away' => 0);

$c->is_alive;
$c->expect_nothing(0.3, 'no answer without Redis');

$t->redis->resume;

my (@answers, @messages);

while (@answers < 15 || !@messages) {
    my $p = $c->recv or last;

    push @{ $p->{type} eq 'PUBLISH' ? \@messages : \@answers }, $p;
}

is(join(' ', map { $_->{packet_id} } @answers),
   join(' ', sort({ $a <=> $b } map { $_->{packet_id} } @answers)),
   'answers come in their order');
is(@answers, 15, 'one for each of QoS 1 and 2');
is(join(' ', map { "$_->{payload} $_->{retain}" } @messages), 'number 20 1',
   'the last one stays');

# the connection is lost with the write under way

$t->redis->pause;
$c->publish('lost', 'x', qos => 1, retain => 1, packet_id => 2000);
$c->is_alive;
$t->redis->kill;
$c->is_alive;
$t->redis->start;

my $ack = $c->recv;
is($ack && $ack->{packet_id}, 2000, 'acknowledged by the next Redis');

$c->subscribe('lost' => 1);
is(($c->recv_message || {})->{payload}, 'x', 'which has it');

$t->wait_ready;

# Redis refuses for good: a bad reason code for 5.0, a close before

$t->redis->command('SET', 'test:{r:bad}m', 'not a hash');

my $five = $t->client(version => 5);
my $puback = $five->publish_wait('bad/one', 'x', qos => 1, retain => 1);
is($puback->{reason}, 0x80, '5.0 is told');

$five->publish_wait('good/one', 'x', qos => 1, retain => 1);
$five->subscribe('good/+' => 0);
is(($five->recv_message || {})->{payload}, 'x', 'and goes on');

$c->publish('bad/one', 'x', qos => 1, retain => 1);
$c->expect_close('3.1.1 is closed');

like($t->error_log, qr/\[error\].*"bad" could not be stored: "WRONGTYPE/,
     'logged');

###############################################################################
