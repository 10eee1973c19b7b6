#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A worker is killed, and its clients come back to all others in the moment in
# which these take it over: each is told to be gone once, before it is told to
# be connected again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Status;
use MqttTest::Workers qw/ spread_server client_on /;
use Test::More;

use constant { CLIENTS => 100, ROUNDS => 4 };

###############################################################################

my $t = MqttTest->new;
my $status = $t->kafka->topic('status', partitions => 3);
my $told = 0;

$t->write_conf(kafka => 1, workers => 4, servers => spread_server(),
               gateway => "client_status kafka=$status;");
$t->run;
$t->allow_log(qr/worker process \d+ exited on signal 9/);

for my $round (1 .. ROUNDS) {
    my ($first) = $t->worker_pids;

    my @clients = map { client_on($t, $first, client_id => "c$round-$_") }
                  1 .. CLIENTS;
    my @sockets = map { $t->socket(port => 'spread') } 1 .. CLIENTS;

    events($told + CLIENTS);
    CORE::kill('KILL', $first);

    # some of the sockets are gone as well

    my $n = 0;

    for my $c (@sockets) {
        $n++;
        eval { $c->send(CONNECT => client_id => "c$round-$n") };
    }

    my $back = grep { my $p = eval { $_->recv }; $p && !$p->{reason} }
               @sockets;

    cmp_ok($back, '>', CLIENTS / 4, "round $round: $back are back");

    my @events = events($told + CLIENTS + $back);

    is_deeply([ status_faults(@events) ], [], 'each is told once');
    is_deeply([ status_disorder(@events) ], [], 'in order');

    ok((wait_for {
        4 == $t->worker_pids && 4 == $t->redis->command('ZCARD', 'test:{l}w')
    } 20), 'all is taken over');

    MqttTest::Client->close_all;
    events($told + $back);
}

done_testing();

###############################################################################

sub events {
    my ($count) = @_;

    my @events = status_events($t, $status, $count);

    is(@events, $count, "$count events");
    $told = @events;

    return @events;
}

###############################################################################
