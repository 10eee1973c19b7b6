#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Messages from the log of a shared subscription: Receive Maximum, Maximum
# Packet Size, identifiers, expiry, bounds of the log, a member that hangs.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use MqttTest::Util qw/ now slow /;
use MqttTest::Workers;
use Test::More tests => 20;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, gateway => 'offline_messages 20;',
               servers => spread_server());
$t->run;

my ($first, $second) = $t->worker_pids;
my $publisher = client_on($t, $first, version => 5);

# Receive Maximum

my $c = member($first, 'one', [ [ receive_maximum => 2 ] ], 0);
$c->subscribe('$share/g/f' => 2);

publish(1, 'f', 1 .. 6);

my %got = collect(2, c => $c);
is("@{ $got{c} }", '1 2', 'Receive Maximum');

$c->send(PUBACK => packet_id => $c->{got}[1]{packet_id});
%got = collect(1, c => $c);
is("@{ $got{c} }", '3', 'one is acknowledged, one comes');

is($t->redis->command('LLEN', 'test:{f:$share/g/f}l'), 3,
   'the others are in the log');

# it hangs: somebody in another worker gets all there is

my $other = client_on($t, $second);
$other->subscribe('$share/g/f' => 1);
%got = collect(3, other => $other);
is("@{ $got{other} }", '4 5 6', 'a member that hangs holds what it has');

publish(1, 'f', 7 .. 12);
%got = collect(6, other => $other);
is("@{ $got{other} }", '7 8 9 10 11 12', 'and nothing that comes then');

$other->disconnect;
end($c);

# who is told of a message and has no room passes it on

$c = member($first, 'one', [ [ receive_maximum => 2 ] ], 0);
$other = client_on($t, $second);

$_->subscribe('$share/g/f' => 1) for $c, $other;

publish(1, 'f', 1 .. 4);
collect(4, c => $c, other => $other);

my $start = now();
publish(1, 'f', 5, 6);
%got = collect(2, other => $other);
is("@{ $got{other} }", '5 6', 'a member without room passes it on');
cmp_ok(now() - $start, '<', slow(1), 'at once');

$other->disconnect;
end($c);

# Maximum Packet Size: done with

my @tiny = ([ maximum_packet_size => 60 ], [ receive_maximum => 1 ]);

$c = member($first, 'tiny', \@tiny);
$c->subscribe('$share/g/f' => 1);
depart($t, $c);

publish(1, 'f', 'x' x 100, 'small');

$c = member($second, 'tiny', \@tiny);
%got = collect(1, c => $c);
is("@{ $got{c} }", 'small', 'one that is too large is left out');
ok(wait_for { !$t->redis->keys('*{f:*}[lpq]') }, 'and done with');
end($c);

# Subscription Identifiers, one for each subscription that chose the client

$c = member($first, 'ids');
$c->send(SUBSCRIBE => packet_id => 1, filters => [ [ '$share/g/i/+', 1 ] ],
         props => [ [ subscription_id => 7 ] ]);
$c->expect(SUBACK => codes => [ 1 ]);
$c->send(SUBSCRIBE => packet_id => 2, filters => [ [ '$share/h/i/a', 2 ] ],
         props => [ [ subscription_id => 8 ] ]);
$c->expect(SUBACK => codes => [ 2 ]);
depart($t, $c);

publish(2, 'i/a', 'x');

$c = member($second, 'ids');
%got = collect(2, c => $c);
is(join(' ', sort map { "$_->{qos}:" . prop($_, 'subscription_id') }
                      @{ $c->{got} }), '1:7 2:8',
   'two groups of a client: identifiers and QoS of each');
end($c);

# expiry

$c = member($first, 'late');
$c->subscribe('$share/g/e' => 1);
depart($t, $c);

$publisher->publish_wait('e', 'short', qos => 1,
                         props => [ [ message_expiry => 1 ] ]);
my $sent = now();
$publisher->publish_wait('e', 'long', qos => 1,
                         props => [ [ message_expiry => 100 ] ]);

wait_for { now() - $sent > 2.1 };

$c = member($second, 'late');
%got = collect(1, c => $c);
is("@{ $got{c} }", 'long', 'one has expired');

my $left = prop($c->{got}[0], 'message_expiry');
ok($left >= 95 && $left <= 98, 'the time of the other one goes on')
    or diag($left);
depart($t, $c);

# bounds

publish(1, 'e', 1 .. 30);

$c = member($first, 'late');
%got = collect(20, c => $c);
is("@{ $got{c} }", join(' ', 11 .. 30), 'the newest are kept');

# QoS 1 and 2 of a subscription that becomes one of QoS 0

is_deeply($c->subscribe('$share/g/e' => 0)->{codes}, [ 0 ], 'now QoS 0');
ok(wait_for { !$t->redis->keys('*{f:*') }, 'there is no log any more');

publish(1, 'e', 'live');
%got = collect(1, c => $c);
is("@{ $got{c} } $c->{got}[-1]{qos}", 'live 0', 'live only');

# a log ends while messages of it are in hand: others get them

my $clean = client_on($t, $second, auto_ack => 0);

$c->subscribe('$share/g/e' => 1);
$clean->subscribe('$share/g/e' => 1);

publish(1, 'e', 1 .. 4);
%got = collect(4, c => $c, clean => $clean);
is_deeply([ sort map { @$_ } values %got ], [ 1 .. 4 ], 'two members');

$c->unsubscribe('$share/g/e');
$c->disconnect;

$other = client_on($t, $first);
$other->subscribe('$share/g/e' => 1);
$clean->close;

%got = collect(2, other => $other);
is("@{ $got{other} }", "@{ [ map { $_->{payload} } @{ $clean->{got} } ] }",
   'what a member has when its log ends goes to another one');

###############################################################################

sub member {
    my ($worker, $id, $props, $ack) = @_;

    return client_on($t, $worker, client_id => $id, clean => 0,
                     auto_ack => $ack // 1,
                     props => [ [ session_expiry => 100 ],
                                @{ $props || [] } ]);
}


sub publish {
    my ($qos, $topic, @payloads) = @_;

    $publisher->publish_wait($topic, $_, qos => $qos) for @payloads;
}


sub end {
    my ($c) = @_;

    $c->disconnect(props => [ [ session_expiry => 0 ] ]);

    wait_for { !$t->redis->keys('*{f:*') } or diag('not ended');
}

###############################################################################
