#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A session comes back with a smaller Receive Maximum than it has messages in
# flight: no more of them are sent again at once (MQTT 5.0, 3.3.4, 4.4), and
# none is lost, also if the last connection was still there.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 4 * 7;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2);
$t->run;

my $publisher = $t->client(version => 5);

for my $case (map { [ $_, 0 ], [ $_, 1 ] } 'retained', 'log') {
    my ($from, $takeover) = @$case;
    my @session = (version => 5, client_id => $from, clean => 0,
                   auto_ack => 0);
    my $props = [ session_expiry => 60 ];

    $publisher->publish_wait("$from/$_", $_, qos => 1, retain => 1)
        for $from eq 'retained' ? 1 .. 6 : ();

    my $c = $t->client(@session, props => [ $props ]);
    $c->subscribe("$from/+" => 1);

    $publisher->publish_wait("$from/$_", $_, qos => 1)
        for $from eq 'log' ? 1 .. 6 : ();

    my %id = map { $_->{payload} => $_->{packet_id} } messages($c, 6);
    is(keys %id, 6, "$from: in flight");

    my $last = $c;
    $c->disconnect if !$takeover;

    $c = $t->client(@session, props => [ $props, [ receive_maximum => 2 ] ]);

    my @again = messages($c, 2);
    is(@again, 2, "$from: two of them");
    $c->expect_nothing(0.3, "$from: not more");

    for (0 .. 3) {
        $c->send(PUBACK => packet_id => $again[$_]{packet_id});
        push @again, messages($c, 1);
    }

    is_deeply({ map { $_->{payload} => $_->{packet_id} } @again }, \%id,
              "$from: the others behind their PUBACK, with their ids");
    is(grep({ $_->{dup} } @again), 6, "$from: as duplicates");

    $c->send(PUBACK => packet_id => $_->{packet_id}) for @again[ -2, -1 ];
    $c->is_alive;
    $c->disconnect;

    # after a takeover what was acknowledged last might come again

    ok((wait_for { $t->redis->command('HGET', "test:{c:$from}", 'o') eq '' }),
       "$from: away");

    $c = $t->client(@session, props => [ $props ]);
    $c->expect_nothing(0.3, "$from: all are done");
    $c->unsubscribe("$from/+");
    $c->disconnect;
}


sub messages {
    my ($c, $n) = @_;

    return grep { defined } map { $c->recv_message } 1 .. $n;
}

###############################################################################
