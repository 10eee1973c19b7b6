#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Client status events while Kafka stands still: they wait up to their bound,
# keep their order over workers and a reload, and are counted when dropped.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use JSON::PP ();
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $status = $kafka->topic('status');

# the producer takes few records, so that events wait

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    client_status kafka=$status queue=100;
    kafka_queue 16k messages=10;
    drain_rate 0;
END

$t->run;

# one event for each worker: the producers are up

my @first = map { $t->client(client_id => "first-$_") } 1 .. 8;

ok((wait_for { $t->total('kafka_acked') == @first } 20), 'all of the first');

$kafka->pause;

# one client id on both workers, and some of its own for both

my @moves = map { $t->client(client_id => 'moves') } 1 .. 20;

ok((wait_for { $t->total('status_waiting') > 0 } 10), 'events wait');
is($t->total('status_dropped'), 0, 'none is dropped');
$moves[-1]->expect_alive;

# a reload in the middle: the old workers wait for Kafka with theirs

ok($t->reload, 'reload');
$_->recv for @first, $moves[-1];

my $again = $t->client(client_id => 'moves');

$again->disconnect;

$kafka->resume;

my $count = @first * 2 + 20 * 2 + 3;
my @records = $kafka->records($status, count => $count, timeout => 40);

is(@records, $count, 'all events are in Kafka');

my @events = map { JSON::PP->new->utf8->decode($_->{payload}) } @records;
my @own = grep { $_->{clientId} eq 'moves'
                 && $_->{eventType} ne 'disconnect' } @events;

is_deeply([ map { $_->{eventType} } @own ],
          [ (qw/ connect tcpclean /) x 21 ], 'in order');

my @epochs = map { $_->{epoch} } @own;

is_deeply(\@epochs, [ sort { $a <=> $b } @epochs ], 'epochs grow');
ok((wait_for { !$t->old_worker_pids } 20), 'the old workers are gone');
is($t->total('status_events'), $count, 'counted');
is($t->total('status_dropped'), 0, 'none dropped');

###############################################################################
# over the bound

$kafka->pause;

for (1 .. 250) {
    $t->client(client_id => "over-$_")->disconnect;
}

ok((wait_for { $t->total('clients') == 0 } 10), 'all have left');

my $dropped = $t->total('status_dropped');
my $waiting = $t->total('status_waiting');

cmp_ok($dropped, '>', 0, "$dropped dropped");
cmp_ok($waiting, '<=', 200, "$waiting wait");
like($t->error_log, qr/client status events .* are dropped, 100 wait/,
     'and logged');

$kafka->resume;

my $total = $count + 3 * 250 - $dropped;

@records = $kafka->records($status, count => $total, timeout => 40);
is(@records, $total, 'the others are there');
is($t->total('status_events'), $total, 'and counted');

done_testing();

###############################################################################
