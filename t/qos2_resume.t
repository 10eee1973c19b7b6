#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A QoS 2 publish that was on its way to Kafka when its client left, in
# whatever way, and comes again with the next connection, to the same worker
# or to another one: it is produced once.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 2 * 2 * 3 * 5 + 2 * 5 + 6;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;
my $topic = $kafka->topic('once');

$t->write_conf(kafka => 1, workers => 2, servers => spread_server(),
               gateway => <<"END");
    takeover_timeout 60s;
    topic once kafka=$topic uplink;
END

$t->run;

my @workers = $t->worker_pids;
my ($n, @expected) = (0);

# each way to leave, then back to the same worker, or to the other one

for my $v (4, 5) {
    for my $place (0, 1) {
        for my $end (qw/ abort disconnect takeover /) {
            my $name = "$v: $end, then "
                       . ($place ? 'another worker' : 'the same worker');
            my $c = device($v, $workers[0]);

            in_flight($c, 2);
            my $epoch = session('e');
            my $socket = socket_on($t, $workers[$place], version => $v);

            if ($end ne 'takeover') {
                $c->$end;
                wait_for { (session('o') // '') eq '' };
            }

            again($socket, 2);
            wait_for { session('e') ne $epoch };
            $kafka->resume;

            is(($socket->recv || {})->{session_present}, 1,
               "$name: the session is resumed");
            released($socket, 2, $name);
            is($t->total('kafka_queue_messages'), 0, "$name: nothing waits");

            $socket->disconnect;
            $c->close if $end eq 'takeover';
        }
    }
}

# more than one worker has them: a connection that gives up while it waits is
# followed by another one

for my $place (0, 1) {
    my $c = device(5, $workers[0]);

    in_flight($c, 3);

    for my $n (1, 2) {
        my $epoch = session('e');

        again(my $waiting = socket_on($t, $workers[$n % 2], version => 5), 3);
        wait_for { session('e') ne $epoch };
        $waiting->abort;
        $c->close;
    }

    again(my $d = socket_on($t, $workers[$place], version => 5), 3);
    $d->expect_nothing(0.2, 'the last one waits too');
    $kafka->resume;

    is(($d->recv || {})->{session_present}, 1, 'and resumes the session');
    released($d, 3, 'in the end');
    $d->disconnect;
}

# a session that begins anew has nothing to wait for

my $c = device(5, $workers[0]);
in_flight($c, 1);
my $d = client_on($t, $workers[1], version => 5, client_id => 'device');
is($d->connack->{session_present}, 0, 'a clean start does not wait');
$kafka->resume;
$d->publish_wait('once', 'clean', qos => 2, packet_id => 1);
push @expected, 'clean';
$d->disconnect;
$c->close;

wait_for { $t->total('kafka_queue_messages') == 0 };

my @got = map { $_->{payload} } $kafka->records($topic);

is(join(' ', sort @got), join(' ', sort @expected),
   'each message is in Kafka once');

# a Kafka that stays away: the next connection does not wait for ever, and
# nothing is lost

$t->write_conf(kafka => 1, workers => 2, servers => spread_server(),
               gateway => <<"END");
    takeover_timeout 500ms;
    topic once kafka=$topic uplink;
END

$t->reload;
@workers = $t->worker_pids;

$c = device(5, $workers[0]);
in_flight($c, 1);
$c->abort;

again($d = socket_on($t, $workers[1], version => 5), 1);
is(($d->recv || {})->{session_present}, 1, 'Kafka stays away: resumed');
$kafka->resume;
$d->expect(PUBREC => packet_id => 1, -timeout => 20);

wait_for { $t->total('kafka_queue_messages') == 0 };
@got = map { $_->{payload} } $kafka->records($topic);
cmp_ok(scalar(grep { $_ eq $expected[-1] } @got), '>=', 1,
       'and the message is there');

$d->send(PUBREL => packet_id => 1);
$d->expect(PUBCOMP => packet_id => 1);
$d->disconnect(props => [ [ session_expiry => 0 ] ]);


sub session {
    return $t->redis->command('HGET', 'test:{c:device}', $_[0]);
}


sub connect_args {
    my ($v) = @_;

    return (client_id => 'device', clean => 0,
            $v == 5 ? (props => [ [ session_expiry => 600 ] ]) : ());
}


sub device {
    my ($v, $worker) = @_;

    wait_for { (session('o') // '') eq '' };

    return client_on($t, $worker, version => $v, connect_args($v));
}


# Kafka stands still, the records of packet ids 1 .. $count wait for it

sub in_flight {
    my ($c, $count) = @_;

    $kafka->pause;
    $n++;

    for my $id (1 .. $count) {
        $c->publish('once', "$n-$id", qos => 2, packet_id => $id);
        push @expected, "$n-$id";
    }

    wait_for { $t->total('kafka_queue_messages') == $count };
}


sub again {
    my ($socket, $count) = @_;

    $socket->queue(CONNECT => connect_args($socket->version));
    $socket->queue(PUBLISH => topic => 'once', payload => "$n-$_", qos => 2,
                              packet_id => $_, dup => 1) for 1 .. $count;
    $socket->flush;
}


sub released {
    my ($socket, $count, $name) = @_;

    my @ids = map { $_->{packet_id} }
              grep { $_ && $_->{type} eq 'PUBREC' }
              map { $socket->recv } 1 .. $count;

    is(join(' ', sort @ids), join(' ', 1 .. $count), "$name: PUBREC");

    $socket->send(PUBREL => packet_id => $_) for 1 .. $count;

    is(join(' ', map { ($socket->recv || {})->{type} // '' } 1 .. $count),
       join(' ', ('PUBCOMP') x $count), "$name: PUBCOMP");
    $socket->expect_nothing(0.05, "$name: nothing else");
}

###############################################################################
