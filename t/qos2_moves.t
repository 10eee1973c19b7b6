#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A device that keeps to the rules of QoS 2 in both directions, and whose
# connection ends after any packet: the next one is to either worker, sooner or
# later than the end of the last one.  Every message comes once, in order.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ now slow /;
use MqttTest::Workers;
use Test::More tests => 2 * 5;

use constant { EACH => 150, SEED => $ENV{TEST_SEED} || time };

###############################################################################

srand SEED;
diag('TEST_SEED=' . SEED) if $ENV{TEST_VERBOSE};

my $t = MqttTest->new;

$t->write_conf(workers => 2, servers => spread_server());
$t->run;

my $publisher = $t->client(version => 5);
my ($v, $c, @old, %unacked, %released, $next, %received, @got, @sent, $moves);

for $v (4, 5) {
    my $keeper = $t->client(version => 4, client_id => "keeper-$v",
                            clean => 0);

    $keeper->subscribe("up/$v" => 2);

    (%unacked, %released, %received) = ();
    (@got, @sent, @old) = ();
    ($next, $moves, $c) = (0, 0);

    connected($v);
    $c->subscribe("down/$v" => 2);
    send_more($v);

    my ($published, $cut) = (0, 0);
    my $end = now() + slow(60);

    # what is not wanted any more: the device is connected, and has everything

    while (now() < $end && (@got < EACH || @sent < EACH || %unacked
                            || %released))
    {
        if ($published < EACH && $published - @got < 5) {
            $publisher->publish("down/$v", $published++, qos => 2);
            answer_publisher();
        }

        $cut = int rand 12 if !$cut--;

        if ($cut == 0 && @got < EACH) {
            move($v);
            next;
        }

        my $p = $c->recv(0.05) or next;
        served($v, $p);
    }

    is(join(' ', @got), join(' ', 0 .. EACH - 1),
       "$v: the device has each message once");
    is(join(' ', @sent), join(' ', 0 .. EACH - 1), "$v: and has sent all");

    my @kept;

    while (@kept < EACH) {
        my $m = $keeper->recv_message or last;
        push @kept, $m->{payload};
    }

    is(join(' ', @kept), join(' ', 0 .. EACH - 1),
       "$v: each of them was published once");
    is($keeper->recv_message(0.2), undef, "$v: and nothing else");
    cmp_ok($moves, '>', 20, "$v: the device has moved");

    $_->close for @old;
    $c->disconnect;
    $keeper->disconnect;
    $t->client(version => 4, client_id => $_)->disconnect
        for "device-$v", "keeper-$v";
}


sub answer_publisher {
    while (my $p = $publisher->recv(0)) {
        $publisher->send(PUBREL => packet_id => $p->{packet_id})
            if $p->{type} eq 'PUBREC';
    }
}


# CONNECT, and what is not acknowledged comes again, in order, 4.4

sub connected {
    my ($v) = @_;

    $c = $t->client(port => 'spread', version => $v,
                    client_id => "device-$v", clean => 0, auto_ack => 0,
                    $v == 5 ? (props => [ [ session_expiry => 600 ] ]) : ());

    $c->queue(PUBLISH => topic => "up/$v", payload => $unacked{$_}, qos => 2,
                         packet_id => $_, dup => 1)
        for sort { $unacked{$a} <=> $unacked{$b} } keys %unacked;
    $c->queue(PUBREL => packet_id => $_)
        for sort { $released{$a} <=> $released{$b} } keys %released;
    $c->flush;
}


sub move {
    my ($v) = @_;

    $moves++;

    # the last connection is closed before, or never

    if (rand() < 0.5) {
        $c->abort;

    } else {
        push @old, $c;
    }

    connected($v);
    send_more($v);
}


sub send_more {
    my ($v) = @_;

    while (@sent < EACH && keys(%unacked) + keys(%released) < 5) {
        my $id = $next = $next % 20 + 1;

        last if exists $unacked{$id} || exists $released{$id};

        $unacked{$id} = @sent;
        push @sent, scalar @sent;

        $c->queue(PUBLISH => topic => "up/$v", payload => $unacked{$id},
                             qos => 2, packet_id => $id);
    }

    $c->flush;
}


sub served {
    my ($v, $p) = @_;
    my $id = $p->{packet_id};

    if ($p->{type} eq 'PUBLISH') {
        push @got, $p->{payload} if !$received{$id}++;
        $c->send(PUBREC => packet_id => $id);

    } elsif ($p->{type} eq 'PUBREL') {
        delete $received{$id};
        $c->send(PUBCOMP => packet_id => $id);

    } elsif ($p->{type} eq 'PUBREC') {
        $released{$id} //= delete $unacked{$id} if exists $unacked{$id};
        $c->send(PUBREL => packet_id => $id);

    } elsif ($p->{type} eq 'PUBCOMP') {
        delete $released{$id};
        send_more($v);
    }
}

###############################################################################
