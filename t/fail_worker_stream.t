#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Workers are killed while messages for persistent sessions come in, are pushed
# and are taken: whatever was acknowledged to a publisher reaches every
# session, in the order of each publisher; QoS 2 reaches it once as far as the
# publisher did not have to ask again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 2 * 6;

use constant { KILLS => 4, EACH => 250 };

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 3, servers => spread_server('mqtt_send_window 20;'));
$t->run;

my ($sequence, %published, %acknowledged, %got, %last, $disorder, $twice);

for my $qos (1, 2) {
    $sequence = $disorder = $twice = 0;
    %published = %acknowledged = %got = %last = ();

    my @subscribers = map { { id => "$qos-session-$_" } } 1 .. 3;

    for my $s (@subscribers) {
        connect_session($s);
        $s->{client}->subscribe("kill/$qos/+" => $qos);
    }

    my $publisher;
    my $kills = 0;

    while ($sequence < EACH) {

        # a publisher that starts again sends what was not acknowledged

        $publisher //= { client => open_client(version => 4) };
        publish($publisher, $qos) or undef $publisher;

        take($_, $qos) for @subscribers;

        next if $kills == KILLS
                || $sequence < EACH / (KILLS + 1) * ($kills + 1);

        my @pids = $t->worker_pids;
        $t->kill_worker($pids[ rand @pids ]);
        $kills++;
    }

    is($kills, KILLS, "QoS $qos: workers were killed");
    is(keys %acknowledged, EACH, "QoS $qos: all are acknowledged in the end");

    my $all = wait_for {
        take($_, $qos) for @subscribers;
        !grep { keys %{ $got{ $_->{id} } // {} } < EACH } @subscribers;
    } 30;

    ok($all, "QoS $qos: all messages reach all sessions")
        or diag(join ' ', map { scalar keys %{ $got{ $_->{id} } // {} } }
                          @subscribers);
    is($disorder, 0, "QoS $qos: in order");
    is($qos == 2 ? $twice : 0, 0, "QoS $qos: once");

    my $left = 0;

    for my $s (@subscribers) {
        $left++ while ($s->{client}->recv(0.2) // {})->{payload};
        $s->{client}->disconnect;
        $t->client(version => 4, client_id => $s->{id})->disconnect;
    }

    is($qos == 2 ? $left : 0, 0, "QoS $qos: and nothing else");
    $publisher->{client}->disconnect if $publisher;
}


sub open_client {
    my (%args) = @_;

    my $c;

    wait_for { $c = eval { $t->client(port => 'spread', %args) } } 20
        or die "no connection: $@";

    return $c;
}


sub connect_session {
    my ($s) = @_;

    $s->{client} = open_client(version => 4, clean => 0, auto_ack => 0,
                               client_id => $s->{id});
}


# One message, numbered; false if the connection was lost.  What was published
# may be there although it was not acknowledged: the next try is a new one.

sub publish {
    my ($p, $qos) = @_;

    my $n = $sequence;
    my $try = $published{$n}++;
    my $ack = $p->{client}->publish_wait("kill/$qos/x", "$n $try",
                                         qos => $qos) or return 0;

    $acknowledged{$n} = 1;
    $sequence++;

    return 1;
}


# A receiver as of 4.3.3: what was received and not released is not taken a
# second time, also from another connection.

sub take {
    my ($s, $qos) = @_;

    while (my $p = $s->{client}->recv(0.002)) {
        my $id = $p->{packet_id};

        if ($p->{type} eq 'PUBREL') {
            delete $s->{received}{$id};
            $s->{client}->send(PUBCOMP => packet_id => $id);

        } elsif ($p->{type} eq 'PUBLISH') {
            count($s, split / /, $p->{payload}) if !$s->{received}{$id};

            $s->{received}{$id} = 1 if $qos == 2;
            $s->{client}->send(($qos == 2 ? 'PUBREC' : 'PUBACK'),
                               packet_id => $id);
        }
    }

    connect_session($s) if $s->{client}->closed;
}


sub count {
    my ($s, $n, $try) = @_;

    my $before = $got{ $s->{id} }{$n};

    $twice++ if $before && $before->{$try};
    $got{ $s->{id} }{$n}{$try}++;

    return if $before;

    $disorder++ if $n < ($last{ $s->{id} } // -1);
    $last{ $s->{id} } = $n;
}

###############################################################################
