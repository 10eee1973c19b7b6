#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A persistent session whose subscriptions overlap: a message that is in more
# than one of its logs is one message, also when it is sent again on another
# connection.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 4;

###############################################################################

my $t = MqttTest->new;

$t->write_conf;
$t->run;

my $publisher = $t->client;
my @session = (client_id => 'both', version => 4, clean => 0);

my $c = $t->client(@session);
$c->subscribe('o/a' => 2, 'o/+' => 2);
$c->disconnect;

# the second one is in both logs, behind the first one in one of them

$publisher->publish_wait('o/b', 1, qos => 2);
$publisher->publish_wait('o/a', 2, qos => 2);

$c = $t->client(@session, auto_ack => 0);
is(messages($c), '1:1 2:2', 'what came while it was away');

# nothing was acknowledged

$c = $t->client(@session, auto_ack => 0);
is(messages($c), '1:1 2:2', 'again');

$c = $t->client(@session);
is(messages($c), '1:1 2:2', 'once more');

$c->disconnect;
$c = $t->client(@session);
is(messages($c), '', 'and not any more');

###############################################################################

# payload and packet identifier of all that comes

sub messages {
    my ($c) = @_;

    my @got;

    while (my $m = $c->recv_message(@got < 2 ? 2 : 0.5)) {
        push @got, "$m->{payload}:$m->{packet_id}";
    }

    return join ' ', @got;
}

###############################################################################
