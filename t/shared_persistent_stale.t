#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Shared subscriptions with persistent sessions: a member whose session
# somebody else has claimed meanwhile.  A QoS 2 message is the session's when
# it is saved with its packet identifier; a save that is refused leaves it to
# others.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 8;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my $redis = $t->redis;
my $session = 'test:{c:one}';
my $publisher = $t->client;

# the epoch is another one by the time that it saves

my $member = $t->client(session('one'));
$member->subscribe('$share/g/k' => 2);
$redis->command('HINCRBY', $session, 'e', 1);

$publisher->publish_wait('k', 'first', qos => 2);
$member->expect_disconnect(0x8e);
is($redis->command('HGET', $session, 'v') // '', '', 'nothing was saved');

my $other = $t->client;
$other->subscribe('$share/g/k' => 2);
is(($other->recv_message // {})->{payload}, 'first',
   'the message goes to another one');
ok(wait_for { !$redis->keys('*{f:*}[lpq]') }, 'and is done with');
$other->disconnect;

# connections that take over from each other while messages come: each is in
# one save or another, or in none

my (%seen, %open, $c);

$redis->command('HSET', $session, 'o', '');

my $many = $t->client(version => 4, client_id => 'many');
my $n = 0;

for my $round (1 .. 60) {
    my $next = $t->client(session('one'));

    is($next->connack->{session_present}, 1, 'resumed') if $round == 1;

    # what the last one was sent meanwhile it has not received

    $c->close if $c;
    $c = $next;

    $many->queue(PUBLISH => topic => 'k', qos => 2, payload => ++$n,
                 packet_id => $n) for 1 .. 5;
    turn() for 1 .. rand 10;
}

wait_for { turn(); keys %seen == $n && !%open } 20;

is(join(' ', grep { ($seen{$_} // 0) != 1 } 1 .. $n), '', 'each comes once');
is(keys %open, 0, 'and is released');
ok(wait_for { turn(); !$redis->keys('*{f:*}[lpq]') }, 'and is done with');

###############################################################################

sub session {
    my ($id) = @_;

    return (client_id => $id, clean => 0,
            props => [ [ session_expiry => 100 ] ]);
}


sub turn {
    for my $client ($many, $c) {
        $client->fill;

        for my $p ($client->cut_all) {
            $client->acknowledge($p);

            if ($p->{type} eq 'PUBREC') {
                $client->queue(PUBREL => packet_id => $p->{packet_id});
            }

            delete $open{$p->{packet_id}} if $p->{type} eq 'PUBREL';

            $seen{$p->{payload}}++
                if $p->{type} eq 'PUBLISH' && !$open{$p->{packet_id}}++;
        }

        $client->drain;
    }

    select undef, undef, undef, 0.001;
}

###############################################################################
