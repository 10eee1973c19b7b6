#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A member of a shared subscription leaves: what it has not acknowledged, or
# was not sent yet, goes to another one, 4.8.2; in order, once, as a first
# delivery.  QoS 2 messages that were sent go to nobody else.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 8 * 3 + 3 + 2 * 4 + 2 + 4 + 8;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 3, servers => spread_server('mqtt_send_window 4;'));
$t->run;

my @workers = sort { $a <=> $b } $t->worker_pids;
my @publishers = map { client_on($t, $_) } @workers;

# all ways from a publisher to a member to its heir

my @ways = (sub { $_[0]->close }, sub { $_[0]->disconnect },
            sub { $_[0]->abort });

for my $n (0 .. 7) {
    my ($from, $first, $second) = map { $n >> $_ & 1 } 0 .. 2;
    my $name = "from worker $from to worker $first, then $second";

    my $member = member($first, '$share/g/a');

    publish($from, 'a', 1, 1 .. 10);

    is(payloads($member, 4), '1 2 3 4', "$name: as many as its window");

    my $heir = client_on($t, $workers[$second]);
    $heir->subscribe('$share/g/a' => 1);

    $member->send(PUBACK => packet_id => $member->{got}[0]{packet_id});
    is(payloads($member, 1), '5', "$name: one more");

    $ways[$n % 3]->($member);

    is_deeply([ messages($heir, 9) ],
              [ map { [ $_, 1, 0 ] } 2 .. 10 ],
              "$name: the others go on to the other member");

    $heir->disconnect;
    none_left();
}

# a second connection of the same client

my $member = member(0, '$share/g/a', client_id => 'same');

publish(1, 'a', 1, 1 .. 6);
is(payloads($member, 4), '1 2 3 4', 'taken over: as many as its window');

my $heir = client_on($t, $workers[1]);
$heir->subscribe('$share/g/a' => 1);

my $again = client_on($t, $workers[2], client_id => 'same');

is_deeply([ messages($heir, 6) ], [ map { [ $_, 1, 0 ] } 1 .. 6 ],
          'taken over: all go to the other member');

$_->disconnect for $heir, $again;
none_left();

# nobody is left

$member = member(1, '$share/g/a');
publish(0, 'a', 1, 1 .. 10);
payloads($member, 4);
$member->close;
none_left();

$heir = client_on($t, $workers[0]);
$heir->subscribe('$share/g/a' => 1);
is(payloads($heir, 0), '', 'the last one takes them with it');
$heir->disconnect;
none_left();

# QoS 2: what was sent stays, with PUBREC or without; in this worker and from
# another one

for my $from (0, 1) {
    $member = member(0, '$share/g/b');

    publish($from, 'b', 2, 1 .. 7);
    is(payloads($member, 4), '1 2 3 4', 'QoS 2: as many as its window');

    my $id = $member->{got}[0]{packet_id};

    $member->send(PUBREC => packet_id => $id);
    is(($member->recv // {})->{type}, 'PUBREL', 'QoS 2: received');
    $member->send(PUBCOMP => packet_id => $id);
    is(payloads($member, 1), '5', 'QoS 2: one more');
    $member->send(PUBREC => packet_id => $member->{got}[1]{packet_id});

    $heir = client_on($t, $workers[1]);
    $heir->subscribe('$share/g/b' => 2);

    $member->close;

    is_deeply([ messages($heir, 2) ], [ map { [ $_, 2, 0 ] } 6 .. 7 ],
              'QoS 2: those that were not sent');

    $heir->disconnect;
    none_left();
}

# refused by the member: nobody else gets it [MQTT-4.8.2-6]

$member = member(0, '$share/g/a');
publish(1, 'a', 1, 1);
payloads($member, 1);

$heir = client_on($t, $workers[1]);
$heir->subscribe('$share/g/a' => 1);

$member->send(PUBACK => packet_id => $member->{got}[0]{packet_id},
              reason => 0x80);
ok($member->is_alive, 'refused');
$member->close;
is(payloads($heir, 0), '', 'refused: nobody else gets it');
$heir->disconnect;
none_left();

# UNSUBSCRIBE: those that were sent stay with it [MQTT-3.10.4-3], until it
# leaves; what waits for another filter stays

$member = member(0, '$share/g/a', '$share/g/b');

publish(1, 'a', 1, 1 .. 6);
publish(1, 'b', 1, 7 .. 8);
is(payloads($member, 4), '1 2 3 4', 'unsubscribed: as many as its window');

$heir = client_on($t, $workers[2]);
$heir->subscribe('$share/g/#' => 1, '$share/g/a' => 1, '$share/g/b' => 1);

$member->unsubscribe('$share/g/a');

is_deeply([ messages($heir, 2) ], [ map { [ $_, 1, 0 ] } 5 .. 6 ],
          'unsubscribed: what waited');

$member->send(PUBACK => packet_id => $_->{packet_id})
    for @{ $member->{got} }[0, 1];

is(payloads($member, 2), '7 8', 'unsubscribed: the other filter');

$member->close;

is_deeply([ messages($heir, 4) ],
          [ map { [ $_, 1, 0 ] } 3, 4, 7, 8 ],
          'unsubscribed, left: what it did not acknowledge');

$heir->disconnect;
none_left();

# messages on their way to a worker whose member leaves: a worker that stands
# still has both to read

for my $n (0 .. 7) {
    my ($way, $order) = ($n >> 1, $n & 1);

    $member = client_on($t, $workers[0]);
    $member->subscribe('$share/g/a' => 1);
    publish(1, 'a', 1, 'first');
    payloads($member, 1);

    $heir = client_on($t, $workers[2]);

    kill 'STOP', $workers[0];

    my $leave = sub {
        return $ways[$way]->($member) if $way < 3;

        $member->send(UNSUBSCRIBE => packet_id => 1,
                      filters => [ '$share/g/a' ]);
    };

    $leave->() if $order;

    publish(1, 'a', 1, 1 .. 20);
    $heir->subscribe('$share/g/a' => 1);

    $leave->() if !$order;

    kill 'CONT', $workers[0];

    my %got = collect(20, heir => $heir,
                      $way == 3 ? (member => $member) : ());
    my @all = map { @$_ } values %got;

    is(join(' ', sort { $a <=> $b } @all), join(' ', 1 .. 20),
       "on their way, $way, $order: all come");

    $heir->disconnect;
    $member->close;
    none_left();
}

###############################################################################

sub member {
    my ($worker, @rest) = @_;

    my @filters = grep { /\$share/ } @rest;
    my %args = grep { !/\$share/ } @rest;

    my $c = client_on($t, $workers[$worker], auto_ack => 0, %args);

    $c->subscribe(map { $_ => 2 } @filters);

    return $c;
}


sub publish {
    my ($from, $topic, $qos, @payloads) = @_;

    $publishers[$from]->publish_wait($topic, $_, qos => $qos) for @payloads;
}


sub payloads {
    my ($c, $count) = @_;

    my %got = collect($count, c => $c);

    return join ' ', @{ $got{c} };
}


sub messages {
    my ($c, $count) = @_;

    collect($count, c => $c);

    return map { [ $_->{payload}, $_->{qos}, $_->{dup} ] }
           splice @{ $c->{got} };
}


sub none_left {
    wait_for { $t->total('subscriptions') == 0 }
        or diag('subscriptions are left');
}

###############################################################################
