#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Members of shared subscriptions with a persistent session: what they leave
# behind goes to another member, or waits for them if there is none; what was
# sent with QoS 2 always waits [MQTT-4.8.2-4].

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 2 * (4 + 3 + 4) + 3;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, servers => spread_server('mqtt_send_window 4;'));
$t->run;

my @workers = sort { $a <=> $b } $t->worker_pids;
my $publisher = client_on($t, $workers[0]);

for my $n (0, 1) {
    my ($on, $heir_on) = ($workers[$n], $workers[1 - $n]);

    # alone

    my $member = member($on, "alone$n");

    publish(1, 1 .. 6);
    my %got = collect(4, m => $member);
    is(join(' ', @{ $got{m} }), '1 2 3 4', 'alone: its window');
    leave($member);

    $member = member($heir_on, "alone$n", 1);
    is($member->connack->{session_present}, 1, 'alone: resumed');

    %got = collect(6, m => $member);
    is(join(' ', @{ $got{m} }), '1 2 3 4 5 6', 'alone: they have waited');
    is(join(' ', map { $_->{dup} } @{ $member->{got} }), '0 0 0 0 0 0',
       'alone: as the first deliveries, anybody could have had them');

    end($member);

    # with another member

    $member = member($on, "two$n");

    publish(1, 1 .. 6);
    collect(4, m => $member);

    my $heir = client_on($t, $heir_on);
    $heir->subscribe('$share/g/s' => 2);

    leave($member);

    my %rest = collect(6, heir => $heir);
    is(join(' ', @{ $rest{heir} }), '5 6 1 2 3 4',
       'two: the other one gets what was left, and then those');

    $member = member($on, "two$n", 1);
    is(join(' ', @{ { collect(0, m => $member) }->{m} }), '',
       'two: they do not come again');

    publish(1, 1 .. 8);

    my %both = collect(8, m => $member, heir => $heir);
    is(join(' ', map { scalar @$_ } values %both), '4 4',
       'two: it is a member again');

    end($heir);
    end($member);

    # QoS 2

    $member = member($on, "twice$n");

    publish(2, 1 .. 6);
    %got = collect(4, m => $member);
    is(join(' ', @{ $got{m} }), '1 2 3 4', 'QoS 2: its window');

    $heir = client_on($t, $heir_on);
    $heir->subscribe('$share/g/s' => 2);

    leave($member);

    %rest = collect(2, heir => $heir);
    is(join(' ', @{ $rest{heir} }), '5 6', 'QoS 2: those that were not sent');

    $member = member($on, "twice$n", 1);

    %got = collect(4, m => $member);
    is(join(' ', @{ $got{m} }), '1 2 3 4', 'QoS 2: the others wait for it');
    is(join(' ', map { $_->{dup} } @{ $member->{got} }), '1 1 1 1',
       'QoS 2: again');

    end($heir);
    end($member);
}

# CONNACK is first, whatever comes while the session is resumed

my $member = member($workers[0], 'busy');

# what it has to ask Redis for, with the other one in place already

$member->subscribe("q/$_" => 1) for 1 .. 20;
leave($member);

my $other = client_on($t, $workers[1]);
$other->subscribe('$share/g/s' => 1);

my ($first, $count) = (0, 0);

for my $round (1 .. 20) {
    my $c = $t->socket(port => 'spread');

    $c->queue(CONNECT => client_id => 'busy', clean => 0,
              props => [ [ session_expiry => 100 ] ]);
    $c->flush;

    $publisher->publish('s', "$round $_", qos => 1) for 1 .. 10;

    my $p = $c->recv;
    $first++ if $p && $p->{type} eq 'CONNACK' && $p->{session_present};

    collect(0, c => $c, other => $other);
    $count += @{ delete $c->{got} || [] } + @{ delete $other->{got} || [] };

    leave($c);
    collect(0, other => $other);
    $count += @{ delete $other->{got} || [] };
}

is($first, 20, 'resumed: CONNACK is first');

# acknowledgements on their way may be late

MqttTest::Client->pump([ $other, $publisher ], until => sub { $count >= 200 },
    on_packet => sub { $count++ if $_[1]{type} eq 'PUBLISH' });

is($count, 200, 'resumed: all come, to one or the other');

$other->disconnect;

my $again = member($workers[0], 'busy', 1);
ok((wait_for { $t->total('subscriptions') == 21 }), 'resumed: it is a member');

###############################################################################

sub member {
    my ($worker, $id, $ack) = @_;

    my $c = client_on($t, $worker, auto_ack => $ack // 0, client_id => $id,
                      clean => 0, props => [ [ session_expiry => 100 ] ]);

    $c->subscribe('$share/g/s' => 2) if !$c->connack->{session_present};

    return $c;
}


sub publish {
    my ($qos, @payloads) = @_;

    $publisher->publish_wait('s', $_, qos => $qos) for @payloads;
}


sub leave {
    my ($c) = @_;

    my $before = $t->total('subscriptions');

    $c->close;

    wait_for { $t->total('subscriptions') < $before } or diag('not left');
}


sub end {
    my ($c) = @_;

    my $before = $t->total('subscriptions');

    $c->unsubscribe('$share/g/s');
    $c->disconnect($c->{version} == 5
                   ? (props => [ [ session_expiry => 0 ] ]) : ());

    wait_for { $t->total('subscriptions') < $before } or diag('not ended');
}

###############################################################################
